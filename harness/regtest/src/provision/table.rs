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
    /// The environment variable that names the program, where one of the user's own will do.
    #[serde(default)]
    pub env: Option<String>,
    /// The program's file name.
    pub program: String,
    /// Usual build time on two idle cores.
    pub minutes: u32,
    /// Official releases. Always empty: downloads are not offered before one was run.
    pub releases: [(); 0],
    /// How it is built.
    pub build: Build,
}

/// How a program comes into the cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "recipe", rename_all = "kebab-case")]
pub enum Build {
    /// CMake and Ninja, from a source package of the Python registry; the program lies in `bin/` of
    /// the build folder.
    BitcoinCoreCmake(CmakeBuild),
    /// A Python environment with pinned packages, and a Python program of this repository beside it.
    Venv(VenvBuild),
}

/// A build from a source package of the Python registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CmakeBuild {
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

/// A Python environment, and the program that runs in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenvBuild {
    /// The newest Python 3 for which the packages below are there built, as its minor version.
    pub newest_python: u32,
    /// What pip installs: each package with its version, as pip writes them, and the SHA-256 of
    /// every file of it that will do, in hexadecimal. Packages that these need have to be listed.
    pub packages: BTreeMap<String, Vec<String>>,
    /// Files of the program, by name, with their content. Not in the file: they are embedded.
    #[serde(skip_deserializing, default)]
    pub files: BTreeMap<String, String>,
}

/// The Python programs of this repository, embedded, so that the binary alone can install them:
/// name of the entry, file, content.
const EMBEDDED: &[(&str, &str, &str)] = &[
    (
        "draft-py",
        "adapter.py",
        include_str!("../../../adapters/draft-py/adapter.py"),
    ),
    (
        "draft-py",
        "keysend_proof.py",
        include_str!("../../../adapters/draft-py/keysend_proof.py"),
    ),
];

/// The table: entries by name.
///
/// # Errors
/// A mistake in the embedded file, which a test rules out.
pub fn table() -> Result<&'static BTreeMap<String, Entry>, &'static lnconform_yaml::Diagnostic> {
    static TABLE: OnceLock<Result<BTreeMap<String, Entry>, lnconform_yaml::Diagnostic>> =
        OnceLock::new();
    TABLE
        .get_or_init(|| {
            let mut table: BTreeMap<String, Entry> =
                lnconform_yaml::from_str(Path::new("harness/regtest/versions.yaml"), VERSIONS)?;
            for (name, file, content) in EMBEDDED {
                if let Some(Build::Venv(build)) = table.get_mut(*name).map(|e| &mut e.build) {
                    build.files.insert((*file).into(), (*content).into());
                }
            }
            Ok(table)
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
            let digests = match &entry.build {
                Build::BitcoinCoreCmake(build) => vec![&build.sha256],
                Build::Venv(build) => {
                    assert!(build.files.contains_key(&entry.program), "{name}");
                    // Nothing is installed that no hash vouches for.
                    assert!(build.packages.values().all(|h| !h.is_empty()), "{name}");
                    build.packages.values().flatten().collect()
                }
            };
            assert!(!digests.is_empty(), "{name}");
            for digest in digests {
                assert_eq!(hex::decode(digest).unwrap().len(), 32, "{name}: {digest}");
            }
        }
        assert!(table.contains_key("draft-py"));
        for (name, ..) in EMBEDDED {
            assert!(table.contains_key(*name), "{name} is embedded for nobody");
        }
    }

    #[test]
    fn an_embedded_program_has_the_version_of_its_entry() {
        let entry = &table().unwrap()["draft-py"];
        let line = format!("__version__ = \"{}\"", entry.version);
        let Build::Venv(build) = &entry.build else {
            panic!()
        };
        let says = build.files.values().filter(|f| f.contains(&line)).count();
        assert_eq!(says, 1, "{line}");
    }

    #[test]
    fn an_unknown_key_and_a_broken_version_are_refused() {
        let read = |text: &str| {
            lnconform_yaml::from_str::<BTreeMap<String, Entry>>(Path::new("v.yaml"), text)
                .unwrap_err()
                .to_string()
        };
        assert!(read(&VERSIONS.replace("minutes:", "minuts:")).contains("did you mean `minutes`"));
        let error = read(&VERSIONS.replace("newest_python:", "newest_pyton:"));
        assert!(error.contains("newest_pyton"), "{error}");
        let error = read(&VERSIONS.replace("version: 31.99.0", "version: soon"));
        assert!(error.contains("v.yaml:"), "{error}");
    }
}
