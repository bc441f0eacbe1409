//! Strict YAML: every mistake is named as `file:line:column: what`, with what was meant.
//!
//! Reading is done by `serde_yaml`, into types that deny unknown keys. Positions that serde loses
//! (a wrong value found later, a reference to something that does not exist) are looked up
//! only when there is something to report, so that reading a thousand good files stays fast.

mod locate;

pub use locate::{Place, duplicate_key, items, locate, locate_key};

use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};

/// A mistake in a user's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Where in it, when that is known.
    pub place: Option<Place>,
    /// What is wrong, in a lower-case fragment.
    pub message: String,
    /// What was meant, or what to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake without a position.
    pub fn new(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            place: None,
            message: message.into(),
            help: None,
        }
    }

    /// Sets the position to the value at `path` of `text`, or its closest parent that exists.
    #[must_use]
    pub fn at(mut self, text: &str, path: &[&str]) -> Self {
        self.place = locate(text, path);
        self
    }

    /// Sets the position to the key that ends `path`.
    #[must_use]
    pub fn at_key(mut self, text: &str, path: &[&str]) -> Self {
        self.place = locate_key(text, path);
        self
    }

    /// Says what was meant.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// Reads one document into `T`, which should deny unknown fields.
///
/// # Errors
/// A [`Diagnostic`] at the line and column at fault: broken YAML, a duplicate key, an unknown
/// or missing key (with the closest known one), a value of the wrong type.
pub fn from_str<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, Diagnostic> {
    if let Some((key, place)) = duplicate_key(text) {
        return Err(Diagnostic {
            file: file.into(),
            place: Some(place),
            message: format!("the key `{key}` stands here for the second time"),
            help: Some("keep one of the two".into()),
        });
    }
    from_tested(file, text)
}

/// As [`from_str`], for a document that is part of the binary: without the look for keys that stand
/// twice, which takes as long as all the rest. A test of whoever embeds the document looks for them.
///
/// # Errors
/// Those of [`from_str`], but for a key that stands twice where any key may stand.
pub fn from_tested<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, Diagnostic> {
    serde_yaml::from_str(text).map_err(|error| explain(file, text, &error))
}

/// Reads a file into `T`; see [`from_str`].
///
/// # Errors
/// Those of [`from_str`], and a file that cannot be read or is not UTF-8.
pub fn from_file<T: DeserializeOwned>(file: &Path) -> Result<T, Diagnostic> {
    from_str(file, &read(file)?)
}

/// Reads a file as text.
///
/// # Errors
/// When it cannot be read or is not UTF-8.
pub fn read(file: &Path) -> Result<String, Diagnostic> {
    std::fs::read_to_string(file).map_err(|e| Diagnostic::new(file, format!("cannot be read: {e}")))
}

fn explain(file: &Path, text: &str, error: &serde_yaml::Error) -> Diagnostic {
    let place = error.location().map(|l| Place {
        line: l.line(),
        column: l.column(),
    });
    // The message of serde_yaml ends with the place, which stands in front here.
    let mut message = error.to_string();
    if let Some(at) = message.rfind(" at line ") {
        message.truncate(at);
    }
    let mut diagnostic = Diagnostic {
        file: file.into(),
        place,
        message,
        help: None,
    };
    if let Some((unknown, known)) = unknown_field(&diagnostic.message) {
        // serde points at the mapping or at the value; the key itself is what the user looks for.
        if let Some(place) = locate::first_key(text, &unknown, place) {
            diagnostic.place = Some(place);
        }
        let nearest = suggest(&unknown, known.iter().map(String::as_str));
        diagnostic.message = format!("unknown key `{unknown}`");
        diagnostic.help = Some(match nearest {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "no key is allowed here".to_owned(),
            None => format!("known keys here: {}", known.join(", ")),
        });
    }
    diagnostic
}

/// Takes serde's "unknown field `x`, expected one of `a`, `b`" apart.
fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let start = message.find("unknown field `")? + "unknown field `".len();
    let rest = &message[start..];
    let end = rest.find('`')?;
    let known = rest[end + 1..]
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    Some((rest[..end].to_owned(), known))
}

/// The candidate closest to `word`, if one is close enough to have been meant.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(distance, c)| *distance <= 1.max(word.len().max(c.len()) / 3))
        .min()
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Doc {
        description: String,
        #[serde(default)]
        input: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        steps: Vec<Step>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Step {
        on: String,
    }

    fn fault(text: &str) -> String {
        from_str::<Doc>(Path::new("v.yaml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_unknown_key_is_placed_and_corrected() {
        assert_eq!(
            fault("description: d\ndescripton: e\n"),
            "v.yaml:2:1: unknown key `descripton`; did you mean `description`?"
        );
        assert_eq!(
            fault("description: d\nsteps:\n  - on: a\n  - {on: b, onn: c}\n"),
            "v.yaml:4:13: unknown key `onn`; did you mean `on`?"
        );
    }

    #[test]
    fn a_duplicate_key_is_placed_also_in_free_values() {
        assert_eq!(
            fault("description: d\ninput:\n  a: 1\n  a: 2\n"),
            "v.yaml:4:3: the key `a` stands here for the second time; keep one of the two"
        );
    }

    #[test]
    fn broken_yaml_and_wrong_types_are_placed() {
        assert!(
            fault("description: [\n").starts_with("v.yaml:"),
            "{}",
            fault("description: [\n")
        );
        let wrong = fault("description: d\nsteps: 5\n");
        assert!(wrong.starts_with("v.yaml:2:8: "), "{wrong}");
        let missing = fault("steps: []\n");
        assert!(missing.contains("missing field `description`"), "{missing}");
    }

    #[test]
    fn suggestions_are_close_ones_only() {
        assert_eq!(suggest("ldk-nod", ["ldk-node", "lnd"]), Some("ldk-node"));
        assert_eq!(suggest("zebra", ["ldk-node", "lnd"]), None);
    }
}
