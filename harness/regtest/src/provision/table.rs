//! The version table, `versions.yaml`, embedded.

use semver::{Version, VersionReq};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// The file, as text: a cache on a build server is keyed by it.
pub const VERSIONS: &str = include_str!("../../versions.yaml");

/// Where it lies, for messages.
const FILE: &str = "harness/regtest/versions.yaml";

/// One program that the harness finds, and may install.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What is installed where no version is asked for.
    #[serde(deserialize_with = "parsed")]
    pub version: Version,
    /// What is accepted when found. The three numbers decide, whatever follows them.
    #[serde(deserialize_with = "parsed")]
    pub supported: VersionReq,
    /// Whether `run --install` installs and requires it.
    pub default: bool,
    /// The environment variable that names the program, where one of the user's own will do.
    #[serde(default)]
    pub env: Option<String>,
    /// The entry with which this one is installed, in that one's version.
    #[serde(default)]
    pub follows: Option<String>,
    /// The program's file name.
    pub program: String,
    /// Usual build time on two idle cores.
    pub minutes: u32,
    /// Official releases. Always empty: downloads are not offered before one was run.
    pub releases: [(); 0],
    /// Further versions that can be installed, each with the fields of [`build`](Self::build) that
    /// differ for it: at least the checksums.
    #[serde(default)]
    pub versions: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// Which of its versions go with which versions of other programs.
    #[serde(default)]
    pub works_with: Vec<WorksWith>,
    /// How it is built.
    pub build: Build,
}

/// Versions that go together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorksWith {
    /// Of the entry that has this row.
    #[serde(deserialize_with = "parsed")]
    pub versions: VersionReq,
    /// The other program's name in the table.
    pub program: String,
    /// Its versions that go with those.
    #[serde(deserialize_with = "parsed")]
    pub accepts: VersionReq,
    /// Whether what it accepts, or what it keeps out, was seen here; else it was only read.
    pub ran: bool,
    /// Why others do not go together with those, for the message.
    #[serde(default)]
    pub why: Option<String>,
}

impl Entry {
    /// The entry as it is for one of its versions, with or without a `v` in front; `None` if the
    /// table has no such version.
    pub fn at(&self, version: &str) -> Option<Self> {
        let version = parse_version(version)?;
        if version == self.version {
            return Some(self.clone());
        }
        let (_, pins) = self
            .versions
            .iter()
            .find(|(v, _)| parse_version(v).as_ref() == Some(&version))?;
        let build = self.build.with(pins).ok()?;
        Some(Self {
            version,
            build,
            ..self.clone()
        })
    }

    /// All versions that can be installed, the default first, then the newest first.
    pub fn known(&self) -> Vec<Version> {
        let mut others: Vec<Version> = self
            .versions
            .keys()
            .filter_map(|v| parse_version(v))
            .collect();
        others.sort();
        others.push(self.version.clone());
        others.reverse();
        others
    }

    /// The version as its makers write it, which is how rows and arguments name it: Go's tags
    /// begin with a `v`.
    pub fn label(&self, version: &Version) -> String {
        match &self.build {
            Build::GoModule(_) => format!("v{version}"),
            Build::BitcoinCoreCmake(_)
            | Build::Venv(_)
            | Build::Maven(_)
            | Build::CargoCrate(_) => version.to_string(),
        }
    }

    /// All versions that can be installed, for messages.
    pub fn labels(&self) -> String {
        let labels: Vec<_> = self.known().iter().map(|v| self.label(v)).collect();
        labels.join(", ")
    }

    /// Whether a version that was found is accepted.
    pub fn supports(&self, version: &Version) -> bool {
        self.supported.matches(&numbers(version))
    }
}

/// A version with or without a `v` in front.
pub fn parse_version(text: &str) -> Option<Version> {
    text.strip_prefix('v').unwrap_or(text).parse().ok()
}

/// The three numbers alone. To a range, `0.21.2-beta` is a pre-release and outside of nearly every
/// one; to LND it is the release.
pub(super) fn numbers(version: &Version) -> Version {
    Version::new(version.major, version.minor, version.patch)
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
    /// A program of a Go module, or one of this repository compiled inside that module's source.
    GoModule(GoBuild),
    /// A program of this repository for the JVM, compiled with libraries from Maven's registry.
    Maven(MavenBuild),
    /// A program of a crate of the Rust registry.
    CargoCrate(CargoBuild),
}

impl Build {
    /// The same recipe with some fields replaced.
    ///
    /// # Errors
    /// A field that the recipe does not have, or a value of another kind.
    fn with(&self, pins: &BTreeMap<String, serde_json::Value>) -> Result<Self, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        if let Some(fields) = value.as_object_mut() {
            // Embedded, and no field of the text.
            fields.remove("files");
            for (field, value) in pins {
                fields.insert(field.clone(), value.clone());
            }
        }
        let mut build: Self = serde_json::from_value(value)?;
        if let Some(files) = build.files() {
            *files = self.clone().files().cloned().unwrap_or_default();
        }
        Ok(build)
    }

    /// The files of this repository that belong to it.
    fn files(&mut self) -> Option<&mut BTreeMap<String, String>> {
        match self {
            Self::Venv(build) => Some(&mut build.files),
            Self::GoModule(build) => Some(&mut build.files),
            Self::Maven(build) => Some(&mut build.files),
            Self::BitcoinCoreCmake(_) | Self::CargoCrate(_) => None,
        }
    }
}

/// A build from the Go module proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoBuild {
    /// The module's path. Its version is the entry's, with a `v` in front.
    pub module: String,
    /// The module's checksum, `h1:` and the base64 of a SHA-256, as go.sum has it.
    pub sum: String,
    /// The checksum of its go.mod alone.
    pub go_mod_sum: String,
    /// The oldest Go that compiles it.
    #[serde(with = "text")]
    pub go: Version,
    /// The package of the program, from the module's folder.
    pub package: String,
    /// Build tags.
    pub tags: Vec<String>,
    /// Files of a program of this repository, by name, with their content: they are laid into the
    /// package's folder of the module. Not in the file: they are embedded.
    #[serde(skip_deserializing, default)]
    pub files: BTreeMap<String, String>,
}

/// A build from the Rust registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CargoBuild {
    /// The crate. Its version is the entry's.
    pub package: String,
    /// SHA-256 of the crate's file, in hexadecimal, as the registry's index has it.
    pub sha256: String,
    /// The oldest Rust that compiles it, and whose cargo fetches it.
    #[serde(with = "text")]
    pub rust: Version,
    /// Whether it is built with the features that it has by default.
    pub default_features: bool,
    /// Programs that the system has to have, with the system package that brings each.
    pub programs: BTreeMap<String, String>,
    /// System packages with headers and libraries.
    pub libraries: Vec<String>,
    /// A library of the system that takes the place of one that the crate would compile.
    #[serde(default)]
    pub system: Option<SystemLibrary>,
}

/// A library of the system, used where it has the right version.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemLibrary {
    /// The system package.
    pub package: String,
    /// How its version begins.
    pub versions: String,
    /// What tells the build to use it.
    pub env: BTreeMap<String, String>,
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
    /// The oldest Python 3 that the program and its packages work with, as its minor version.
    #[serde(default = "oldest_python")]
    pub oldest_python: u32,
    /// The newest Python 3 for which the packages below are there built, as its minor version.
    pub newest_python: u32,
    /// What pip installs: each package with its version, as pip writes them, and the SHA-256 of
    /// every file of it that will do, in hexadecimal. Packages that these need have to be listed.
    pub packages: BTreeMap<String, Vec<String>>,
    /// The same for packages that are there as source only: they are built with what is among
    /// [`packages`](Self::packages), and need no compiler.
    #[serde(default)]
    pub sources: BTreeMap<String, Vec<String>>,
    /// Files of Debian's package archive that are unpacked, and not installed, beside the program.
    #[serde(default)]
    pub archive: Vec<ArchiveFile>,
    /// Files of the program, by name, with their content. Not in the file: they are embedded.
    #[serde(skip_deserializing, default)]
    pub files: BTreeMap<String, String>,
}

/// A program on the JVM, and the libraries that it needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MavenBuild {
    /// The oldest Java that compiles and runs it.
    pub java: u32,
    /// The class that is started.
    pub main: String,
    /// Libraries, `GROUP:ARTIFACT:VERSION`, each with the SHA-256 of its file in hexadecimal.
    /// Libraries that these need have to be listed.
    pub libraries: BTreeMap<String, String>,
    /// Sources of the program, by file name, with their content. Not in the file: they are embedded.
    #[serde(skip_deserializing, default)]
    pub files: BTreeMap<String, String>,
}

/// The oldest Python 3 that this repository's own programs work with.
fn oldest_python() -> u32 {
    9
}

/// A package of Debian's archive, for one kind of processor or for all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveFile {
    /// Its path in the archive, from `pool/` on.
    pub file: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The processor that it is for, as Rust names it (`x86_64`); absent for all.
    #[serde(default)]
    pub arch: Option<String>,
}

impl VenvBuild {
    /// The files of Debian's archive for this machine.
    pub fn archive_here(&self) -> impl Iterator<Item = &ArchiveFile> {
        let here = |f: &&ArchiveFile| {
            f.arch
                .as_deref()
                .is_none_or(|a| a == std::env::consts::ARCH)
        };
        self.archive.iter().filter(here)
    }
}

/// The programs of this repository in other languages, embedded, so that the binary alone can install them:
/// name of the entry, file, content.
const EMBEDDED: &[(&str, &str, &str)] = &[
    (
        "draft-py",
        "adapter.py",
        include_str!("../../../adapters/draft-py/adapter.py"),
    ),
    (
        "draft-py",
        "amp.py",
        include_str!("../../../adapters/draft-py/amp.py"),
    ),
    (
        "draft-py",
        "amp_tunnel.py",
        include_str!("../../../adapters/draft-py/amp_tunnel.py"),
    ),
    (
        "draft-py",
        "common.py",
        include_str!("../../../adapters/draft-py/common.py"),
    ),
    (
        "draft-py",
        "keysend_proof.py",
        include_str!("../../../adapters/draft-py/keysend_proof.py"),
    ),
    (
        "e-x",
        "server.py",
        include_str!("../../electrum-server/server.py"),
    ),
    (
        "electrum",
        "adapter.py",
        include_str!("../../../adapters/electrum/adapter.py"),
    ),
    (
        "electrum",
        "codec.py",
        include_str!("../../../adapters/electrum/codec.py"),
    ),
    (
        "electrum",
        "common.py",
        include_str!("../../../adapters/electrum/common.py"),
    ),
    (
        "electrum",
        "daemon.py",
        include_str!("../../../adapters/electrum/daemon.py"),
    ),
    (
        "electrum",
        "home.py",
        include_str!("../../../adapters/electrum/home.py"),
    ),
    (
        "electrum",
        "node.py",
        include_str!("../../../adapters/electrum/node.py"),
    ),
    (
        "kmp",
        "Bolt11.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Bolt11.java"),
    ),
    (
        "kmp",
        "Bolt12.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Bolt12.java"),
    ),
    (
        "kmp",
        "Fail.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Fail.java"),
    ),
    (
        "kmp",
        "Json.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Json.java"),
    ),
    (
        "kmp",
        "Main.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Main.java"),
    ),
    (
        "kmp",
        "Onion.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Onion.java"),
    ),
    (
        "kmp",
        "Params.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Params.java"),
    ),
    (
        "kmp",
        "Protocol.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Protocol.java"),
    ),
    (
        "kmp",
        "Result.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Result.java"),
    ),
    (
        "kmp",
        "SelfCheck.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/SelfCheck.java"),
    ),
    (
        "kmp",
        "Tlvs.java",
        include_str!("../../../adapters/kmp/src/main/java/lnconform/kmp/Tlvs.java"),
    ),
    (
        "lnd-codec",
        "amp.go",
        include_str!("../../../adapters/lnd/codec/amp.go"),
    ),
    (
        "lnd-codec",
        "invoice.go",
        include_str!("../../../adapters/lnd/codec/invoice.go"),
    ),
    (
        "lnd-codec",
        "main.go",
        include_str!("../../../adapters/lnd/codec/main.go"),
    ),
    (
        "lnd-codec",
        "onion.go",
        include_str!("../../../adapters/lnd/codec/onion.go"),
    ),
    (
        "lnd-codec",
        "payload.go",
        include_str!("../../../adapters/lnd/codec/payload.go"),
    ),
    (
        "lnd-codec",
        "params.go",
        include_str!("../../../adapters/lnd/codec/params.go"),
    ),
    (
        "lnd-codec",
        "protocol.go",
        include_str!("../../../adapters/lnd/codec/protocol.go"),
    ),
    (
        "lnd-codec",
        "tlv.go",
        include_str!("../../../adapters/lnd/codec/tlv.go"),
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
                lnconform_yaml::from_str(Path::new(FILE), VERSIONS)?;
            for (name, entry) in &mut table {
                if let Some(files) = entry.build.files() {
                    let own = EMBEDDED.iter().filter(|(of, ..)| of == name);
                    files.extend(own.map(|(_, file, content)| ((*file).into(), (*content).into())));
                }
            }
            for (name, entry) in &table {
                for (version, pins) in &entry.versions {
                    let path = [name.as_str(), "versions", version];
                    let wrong = |message: String| {
                        lnconform_yaml::Diagnostic::new(FILE, message).at(VERSIONS, &path)
                    };
                    parse_version(version)
                        .ok_or_else(|| wrong(format!("`{version}` is no version")))?;
                    entry.build.with(pins).map_err(|e| wrong(e.to_string()))?;
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

/// A version as text.
mod text {
    use super::{Deserializer, Version};
    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(value: &Version, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Version, D::Error> {
        super::parsed(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn the_table_can_be_read_and_supports_what_it_installs() {
        let table = table().unwrap();
        assert!(table.contains_key("bitcoind"));
        for (name, entry) in table {
            for version in entry.known() {
                let entry = entry.at(&version.to_string()).unwrap();
                assert_eq!(entry.version, version);
                assert!(entry.supports(&version), "{name} {version}");
                let digests: Vec<&str> = match &entry.build {
                    Build::BitcoinCoreCmake(build) => vec![&build.sha256],
                    Build::CargoCrate(build) => vec![&build.sha256],
                    Build::Venv(build) => {
                        assert!(build.files.contains_key(&entry.program), "{name}");
                        // Nothing is installed that no hash vouches for.
                        let mut lists = build.packages.values().chain(build.sources.values());
                        assert!(lists.all(|h| !h.is_empty()), "{name}");
                        let packages = build.packages.values().chain(build.sources.values());
                        let archive = build.archive.iter().map(|f| &f.sha256);
                        let all = packages.flatten().chain(archive);
                        all.map(String::as_str).collect()
                    }
                    Build::Maven(build) => {
                        for library in build.libraries.keys() {
                            let parts = crate::provision::maven::coordinates(library);
                            assert!(parts.is_some(), "{name}: {library}");
                        }
                        build.libraries.values().map(String::as_str).collect()
                    }
                    Build::GoModule(build) => {
                        for sum in [&build.sum, &build.go_mod_sum] {
                            let digest = sum.strip_prefix("h1:").unwrap();
                            assert_eq!(STANDARD.decode(digest).unwrap().len(), 32, "{name}");
                        }
                        continue;
                    }
                };
                assert!(!digests.is_empty(), "{name}");
                for digest in digests {
                    assert_eq!(hex::decode(digest).unwrap().len(), 32, "{name}: {digest}");
                }
            }
        }
        for (name, ..) in EMBEDDED {
            assert!(table.contains_key(*name), "{name} is embedded for nobody");
        }
        assert!(table.contains_key("draft-py"));
    }

    #[test]
    fn a_codec_is_compiled_in_the_source_of_the_program_that_it_follows() {
        let table = table().unwrap();
        let (lnd, codec) = (&table["lnd"], &table["lnd-codec"]);
        assert_eq!(codec.follows.as_deref(), Some("lnd"));
        assert_eq!(codec.known(), lnd.known());
        for version in lnd.known() {
            let version = version.to_string();
            let build = |entry: &Entry| match entry.at(&version).unwrap().build {
                Build::GoModule(build) => build,
                other => panic!("{other:?}"),
            };
            let (lnd, codec) = (build(lnd), build(codec));
            assert_eq!(
                (&lnd.module, &lnd.sum, &lnd.go_mod_sum, &lnd.go, &lnd.tags),
                (
                    &codec.module,
                    &codec.sum,
                    &codec.go_mod_sum,
                    &codec.go,
                    &codec.tags
                )
            );
            assert!(lnd.files.is_empty());
            assert!(codec.files.contains_key("main.go"));
            assert!(codec.files.keys().all(|f| !f.ends_with("_test.go")));
        }
    }

    /// A source file that is added to the program is added to the list, too.
    #[test]
    fn all_sources_of_the_go_program_are_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/lnd/codec");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".go") && !name.ends_with("_test.go"))
            .collect();
        there.sort();
        let Build::GoModule(build) = &table().unwrap()["lnd-codec"].build else {
            panic!()
        };
        assert_eq!(build.files.keys().cloned().collect::<Vec<_>>(), there);
    }

    /// The same for the Python programs.
    #[test]
    fn all_sources_of_the_python_programs_are_embedded() {
        let folders = [
            ("draft-py", "../adapters/draft-py"),
            ("electrum", "../adapters/electrum"),
            ("e-x", "electrum-server"),
        ];
        for (name, folder) in folders {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut there: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .filter(|file| file.ends_with(".py"))
                .collect();
            there.sort();
            let Build::Venv(build) = &table().unwrap()[name].build else {
                panic!()
            };
            assert_eq!(build.files.keys().cloned().collect::<Vec<_>>(), there);
        }
    }

    #[test]
    fn versions_are_read_with_and_without_their_letter_and_differ_in_their_checksums() {
        let lnd = &table().unwrap()["lnd"];
        assert_eq!(lnd.labels(), "v0.21.2-beta, v0.21.1-beta, v0.20.2-beta");
        let sum = |version: &str| match lnd.at(version).unwrap().build {
            Build::GoModule(build) => build.sum,
            other => panic!("{other:?}"),
        };
        assert_eq!(sum("v0.20.2-beta"), sum("0.20.2-beta"));
        assert_ne!(sum("v0.20.2-beta"), sum("v0.21.2-beta"));
        for unknown in ["v0.20.2", "vv0.20.2-beta", "0.19.0-beta", "", "v"] {
            assert!(lnd.at(unknown).is_none(), "{unknown}");
        }
        let bitcoind = &table().unwrap()["bitcoind"];
        assert_eq!(bitcoind.labels(), "31.99.0");
        assert!(lnd.supports(&"0.21.99-beta.rc1".parse().unwrap()));
        assert!(!lnd.supports(&"0.22.0-beta".parse().unwrap()));
    }

    #[test]
    fn a_further_version_may_replace_only_what_the_recipe_has() {
        let build = &table().unwrap()["lnd"].build;
        let pin = |field: &str, value: serde_json::Value| {
            build.with(&BTreeMap::from([(field.to_owned(), value)]))
        };
        assert!(pin("sum", "h1:x".into()).is_ok());
        let error = pin("sums", "h1:x".into()).unwrap_err().to_string();
        assert!(error.contains("sums"), "{error}");
        assert!(pin("tags", "one".into()).is_err());
        assert!(pin("go", "soon".into()).is_err());
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
