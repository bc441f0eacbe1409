//! The version table, `versions.yaml`, embedded.

use semver::{Version, VersionReq};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// The file, as text: a cache on a build server is keyed by it.
pub const VERSIONS: &str = include_str!("../../versions.yaml");

/// One program that the harness finds, and may install.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What is installed.
    #[serde(deserialize_with = "parsed")]
    pub version: Version,
    /// What is accepted when found.
    #[serde(deserialize_with = "parsed")]
    pub supported: VersionReq,
    /// Whether `run --install` installs and requires it.
    pub default: bool,
    /// The environment variable that names the program.
    pub env: String,
    /// The program's file name.
    pub program: String,
    /// Usual build time on two idle cores.
    pub minutes: u32,
    /// Official releases. Always empty: downloads are not offered before one was run.
    pub releases: [(); 0],
    /// How it is built.
    pub build: Build,
}

/// A build from a source package of the Python registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The way to build it.
    pub recipe: Recipe,
    /// The package and its version, as pip writes them.
    pub requirement: String,
    /// The source package's file name.
    pub file: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Where in it the source lies.
    pub folder: String,
    /// Python packages without which pip cannot fetch the source package.
    pub fetch: Vec<String>,
    /// Programs that the system has to have, with the system package that brings each.
    pub programs: BTreeMap<String, String>,
    /// Programs that may come from the Python registry, with their package there.
    pub wheels: BTreeMap<String, String>,
    /// System packages with headers and libraries.
    pub libraries: Vec<String>,
    /// Arguments for configuring.
    pub cmake: Vec<String>,
    /// What is built.
    pub target: String,
}

/// The ways to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// CMake and Ninja; the program lies in `bin/` of the build folder.
    BitcoinCoreCmake,
}

/// The table: entries by name.
///
/// # Errors
/// A mistake in the embedded file, which a test rules out.
pub fn table() -> Result<&'static BTreeMap<String, Entry>, &'static lnconform_yaml::Diagnostic> {
    static TABLE: OnceLock<Result<BTreeMap<String, Entry>, lnconform_yaml::Diagnostic>> =
        OnceLock::new();
    TABLE
        .get_or_init(|| {
            lnconform_yaml::from_str(Path::new("harness/regtest/versions.yaml"), VERSIONS)
        })
        .as_ref()
}

fn parsed<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<T, D::Error>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    String::deserialize(deserializer)?
        .parse()
        .map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_supports_what_it_installs() {
        let table = table().unwrap();
        assert!(table.contains_key("bitcoind"));
        for (name, entry) in table {
            assert!(entry.supported.matches(&entry.version), "{name}");
            let digest = hex::decode(&entry.build.sha256).unwrap();
            assert_eq!(digest.len(), 32, "{name}");
        }
    }

    #[test]
    fn an_unknown_key_and_a_broken_version_are_refused() {
        let read = |text: &str| {
            lnconform_yaml::from_str::<BTreeMap<String, Entry>>(Path::new("v.yaml"), text)
                .unwrap_err()
                .to_string()
        };
        assert!(read(&VERSIONS.replace("minutes:", "minuts:")).contains("did you mean `minutes`"));
        let error = read(&VERSIONS.replace("version: 31.99.0", "version: soon"));
        assert!(error.contains("v.yaml:"), "{error}");
    }
}
