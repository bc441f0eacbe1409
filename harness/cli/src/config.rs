//! The configuration file that `lnconform init` writes into somebody else's repository: it pins
//! the harness and names what a run there takes, so that CI and a developer type the same.

use lnconform_yaml::Diagnostic;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Its name, looked for in the working directory.
pub const FILE: &str = "lnconform.yaml";

/// What the file holds. The command line wins over it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The version of the harness that the repository was last run with.
    pub harness: Option<String>,
    /// A checkout of the specifications.
    pub specs: Option<PathBuf>,
    /// Folders of vectors beside the built-in ones.
    #[serde(default)]
    pub vectors: Vec<PathBuf>,
    /// Ledgers of expected failures.
    #[serde(default)]
    pub expectations: Vec<PathBuf>,
    /// As `--adapter`.
    #[serde(default)]
    pub adapters: Vec<String>,
    /// Name to filters; `--set NAME` takes one, `default` is taken where no filter is given.
    #[serde(default)]
    pub sets: BTreeMap<String, Vec<String>>,
}

impl Config {
    /// Reads the file of the working directory; no file is no configuration.
    ///
    /// # Errors
    /// A [`Diagnostic`]: broken YAML, an unknown key, another version of the harness.
    pub fn find() -> Result<Self, Diagnostic> {
        let file = Path::new(FILE);
        if !file.exists() {
            return Ok(Self::default());
        }
        Self::parse(file, &lnconform_yaml::read(file)?)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, Diagnostic> {
        let config: Self = lnconform_yaml::from_str(file, text)?;
        let here = env!("CARGO_PKG_VERSION");
        if let Some(pinned) = &config.harness
            && pinned != here
        {
            let message =
                format!("this repository is pinned to lnconform {pinned}, this is {here}");
            return Err(Diagnostic::new(file, message)
                .at(text, &["harness"])
                .help("take that version, or change the pin after a run that you are happy with"));
        }
        Ok(config)
    }

    /// The filters of a set.
    ///
    /// # Errors
    /// When the file has no such set; names those it has.
    pub fn set(&self, name: &str) -> Result<&[String], String> {
        self.sets.get(name).map(Vec::as_slice).ok_or_else(|| {
            let known = self.sets.keys().map(String::as_str).collect::<Vec<_>>();
            if known.is_empty() {
                format!(
                    "there is no set `{name}`: {FILE} has no `sets`; `lnconform init` writes one"
                )
            } else {
                format!(
                    "there is no set `{name}` in {FILE}; it has {}",
                    known.join(", ")
                )
            }
        })
    }
}

/// The file that `init` writes.
pub fn template() -> String {
    format!(
        "# What `lnconform run` takes in this repository; the command line wins over it.\n\
         # Pins the harness, so that a new version's vectors surprise nobody's CI.\n\
         harness: \"{}\"\n\
         # A checkout of the specifications, whose own vector files are run too.\n\
         # specs: ../bolts\n\
         # Vectors of your own, beside the built-in ones.\n\
         # vectors: [conformance/vectors]\n\
         # Failures that are known; `lnconform baseline init -o conformance/expectations.yaml` writes it.\n\
         # expectations: [conformance/expectations.yaml]\n\
         # Your implementation (docs/adapter.md of lnconform); without it, all that is installed takes part.\n\
         # adapters: [\"mynode=./conformance/adapter\"]\n\
         # Filters by name: `lnconform run --set offers`; `default` is taken where no filter is given.\n\
         sets:\n  default: [\"**\"]\n  offers: [\"bolt12/**\"]\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_read_back() {
        let config = Config::parse(Path::new(FILE), &template()).unwrap();
        assert_eq!(config.harness.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(config.set("offers").unwrap(), ["bolt12/**"]);
        assert!(config.set("offer").unwrap_err().contains("default, offers"));
    }

    #[test]
    fn another_version_is_refused_at_its_place() {
        let error = Config::parse(Path::new(FILE), "sets: {}\nharness: \"9.0.0\"\n").unwrap_err();
        assert!(
            error.to_string().starts_with("lnconform.yaml:2:10: "),
            "{error}"
        );
    }
}
