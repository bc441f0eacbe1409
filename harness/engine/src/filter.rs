//! Filters: globs over check ids, and files of them.

use globset::{GlobBuilder, GlobMatcher};
use std::path::PathBuf;

/// Which check ids a run was asked for. Empty means all.
#[derive(Clone, Debug, Default)]
pub struct Filters(Vec<Filter>);

#[derive(Clone, Debug)]
struct Filter {
    text: String,
    glob: GlobMatcher,
}

/// A mistake in a filter; all of them are the user's, exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// Not a glob.
    #[error(
        "the filter `{filter}` is not a glob: {why}; quote it for the shell and escape `[` as `[[]`"
    )]
    Glob {
        /// As given.
        filter: String,
        /// The parser's words.
        why: String,
    },
    /// `@FILE` that cannot be read.
    #[error("the filter file {} cannot be read: {why}; give a file with one filter a line", path.display())]
    File {
        /// As given.
        path: PathBuf,
        /// The system's words.
        why: std::io::Error,
    },
}

impl Filters {
    /// Reads filters as given on the command line; `@FILE` stands for the lines of a file, where
    /// empty lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn parse<S: AsRef<str>>(given: &[S]) -> Result<Self, FilterError> {
        let mut filters = Vec::new();
        for text in given {
            let text = text.as_ref();
            if let Some(path) = text.strip_prefix('@') {
                let path = PathBuf::from(path);
                let lines = std::fs::read_to_string(&path).map_err(|why| FilterError::File {
                    path: path.clone(),
                    why,
                })?;
                for line in lines.lines().map(str::trim) {
                    if !line.is_empty() && !line.starts_with('#') {
                        filters.push(Filter::new(line)?);
                    }
                }
            } else {
                filters.push(Filter::new(text)?);
            }
        }
        Ok(Self(filters))
    }

    /// Whether no filter was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a check is asked for. A filter without `#` also takes every step of a vector, and
    /// one without `?` every value of a matrix.
    pub fn matches(&self, id: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|f| f.matches(id))
    }

    /// The first filter that matches none of `ids`.
    pub fn idle<'a, I: Iterator<Item = &'a str> + Clone>(&self, ids: I) -> Option<&str> {
        self.0
            .iter()
            .find(|f| !ids.clone().any(|id| f.matches(id)))
            .map(|f| f.text.as_str())
    }
}

impl Filter {
    fn new(text: &str) -> Result<Self, FilterError> {
        // An id holds `?` before its axes; a glob's `?` matches it, as it matches any character.
        let glob = GlobBuilder::new(text)
            .literal_separator(true)
            .build()
            .map_err(|e| FilterError::Glob {
                filter: text.to_owned(),
                why: e.kind().to_string(),
            })?;
        Ok(Self {
            text: text.to_owned(),
            glob: glob.compile_matcher(),
        })
    }

    fn matches(&self, id: &str) -> bool {
        let step = id.find('#').map(|at| &id[..at]);
        let vector = id.find(['#', '?']).map(|at| &id[..at]);
        self.glob.is_match(id)
            || step.is_some_and(|s| self.glob.is_match(s))
            || vector.is_some_and(|v| self.glob.is_match(v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_go_by_path_segments_and_take_steps_along() {
        let f = |t: &str| Filters::parse(&[t]).unwrap();
        assert!(f("keysend/**").matches("keysend/direct#2"));
        assert!(f("*/offer/*").matches("bolt12/offer/minimal"));
        assert!(!f("*/offer/*").matches("upstream/bolt12/offer/minimal"));
        assert!(f("keysend/direct").matches("keysend/direct#2"));
        assert!(f("a/b").matches("a/b?amount=1"));
        assert!(f("a/b?amount=1").matches("a/b?amount=1"));
        assert!(!f("a/b?amount=1").matches("a/b?amount=2"));
        assert!(f("keysend/*#2").matches("keysend/direct#2"));
        assert!(!f("keysend/direct#2").matches("keysend/direct"));
        assert!(!f("keysend/direct#2").matches("keysend/direct#3"));
        assert!(Filters::default().matches("anything"));
    }

    #[test]
    fn an_idle_filter_is_named() {
        let f = Filters::parse(&["a/**", "zebra/**"]).unwrap();
        assert_eq!(f.idle(["a/b", "c"].into_iter()), Some("zebra/**"));
        assert_eq!(f.idle(["a/b", "zebra/x"].into_iter()), None);
    }

    #[test]
    fn mistakes_are_the_users() {
        assert!(
            Filters::parse(&["a/["])
                .unwrap_err()
                .to_string()
                .contains("not a glob")
        );
        assert!(
            Filters::parse(&["@/nonexistent"])
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
    }
}
