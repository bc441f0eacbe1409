//! Frozen sets: which vectors somebody's CI was promised, each with the hash of what it asserts.
//!
//! A set is a file of `specs/sets/` and never changes: new vectors come into the next set. So a new
//! version of the harness breaks nobody who runs one, and an edit of a vector in it is noticed.

use lnconform_yaml::Diagnostic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A frozen set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenSet {
    /// Year and number: `2027.1`.
    pub set: String,
    /// The day from which on it does not change, YYYY-MM-DD.
    pub frozen: String,
    /// Id of each vector, and the hash of what it asserts.
    pub vectors: BTreeMap<String, String>,
}

/// How a vector differs from what the set promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Broken {
    /// It is not there any more.
    Gone,
    /// It asserts something else.
    Changed,
}

impl FrozenSet {
    /// Every set: those of `dir/sets/*.yaml`, where `dir` is laid out as `specs/` is and has that
    /// folder, else those in the binary; by name.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a file that is not named as its set.
    pub fn all(dir: &Path) -> Result<Vec<Self>, Diagnostic> {
        let folder = dir.join("sets");
        let mut texts = Vec::new();
        if folder.is_dir() {
            let unreadable = |e: std::io::Error| {
                Diagnostic::new(&folder, format!("the sets cannot be read: {e}"))
            };
            for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                if path.extension().is_some_and(|e| e == "yaml") {
                    texts.push((path.clone(), lnconform_yaml::read(&path)?));
                }
            }
        } else if let Some(folder) = crate::EMBEDDED.get_dir("sets") {
            for file in folder.files() {
                let text = file.contents_utf8().unwrap_or_default();
                texts.push((Path::new("specs").join(file.path()), text.to_owned()));
            }
        }
        let mut sets = Vec::new();
        for (path, text) in texts {
            sets.push(Self::parse(&path, &text)?);
        }
        sets.sort_by(|a, b| a.set.cmp(&b.set));
        Ok(sets)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, Diagnostic> {
        let set: Self = lnconform_yaml::from_str(file, text)?;
        if file.file_stem().is_none_or(|stem| stem != set.set.as_str()) {
            return Err(
                Diagnostic::new(file, format!("holds the set `{}`", set.set))
                    .at(text, &["set"])
                    .help(format!("name it {}.yaml", set.set)),
            );
        }
        Ok(set)
    }

    /// The file.
    pub fn yaml(&self) -> String {
        let mut text = format!(
            "# A frozen set of vectors: `lnconform run --set {0}`. It does not change; new vectors come\n\
             # into the next one. Behind each id stands the hash of what the vector asserts. Where a test\n\
             # says that one changed, put the vector back and write another one beside it.\n\
             set: \"{0}\"\nfrozen: \"{1}\"\nvectors:\n",
            self.set, self.frozen
        );
        for (id, digest) in &self.vectors {
            text.push_str(&format!("  \"{id}\": \"{digest}\"\n"));
        }
        text
    }

    /// The vectors that are not as promised; `now` gives the hash of the one with that id.
    pub fn broken(&self, now: impl Fn(&str) -> Option<String>) -> Vec<(String, Broken)> {
        let each = self.vectors.iter().filter_map(|(id, digest)| {
            let broken = match now(id) {
                None => Broken::Gone,
                Some(now) if now != *digest => Broken::Changed,
                Some(_) => return None,
            };
            Some((id.clone(), broken))
        });
        each.collect()
    }
}

/// Whether a set may be called so: a year, a dot, a number.
pub fn is_set_name(name: &str) -> bool {
    let digits = |s: &str, most: usize| {
        (1..=most).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit())
    };
    name.split_once('.')
        .is_some_and(|(year, number)| year.len() == 4 && digits(year, 4) && digits(number, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> FrozenSet {
        let vectors = [("a/b?c=d", "01"), ("a/e", "02"), ("a/f", "03")];
        FrozenSet {
            set: "2027.1".into(),
            frozen: "2026-12-01".into(),
            vectors: vectors.map(|(id, d)| (id.to_owned(), d.to_owned())).into(),
        }
    }

    #[test]
    fn a_set_is_read_back_and_named_after_its_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sets")).unwrap();
        let file = |name: &str| dir.path().join("sets").join(name);
        std::fs::write(file("2027.1.yaml"), set().yaml()).unwrap();
        assert_eq!(FrozenSet::all(dir.path()).unwrap(), [set()]);
        std::fs::write(file("2027.2.yaml"), set().yaml()).unwrap();
        let error = FrozenSet::all(dir.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("holds the set `2027.1`; name it 2027.1.yaml"),
            "{error}"
        );
    }

    #[test]
    fn what_changed_and_what_is_gone_is_named() {
        let now = |id: &str| match id {
            "a/b?c=d" => Some("01".to_owned()),
            "a/e" => Some("99".to_owned()),
            _ => None,
        };
        assert_eq!(
            set().broken(now),
            [
                ("a/e".to_owned(), Broken::Changed),
                ("a/f".to_owned(), Broken::Gone)
            ]
        );
    }

    #[test]
    fn names_are_a_year_and_a_number() {
        assert!(is_set_name("2027.1") && is_set_name("2030.12"));
        for wrong in ["2027", "27.1", "2027.", "2027.x", "2027.1.1", "../2027.1"] {
            assert!(!is_set_name(wrong), "{wrong}");
        }
    }
}
