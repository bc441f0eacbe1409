//! What the probe can do wrong on purpose, as data: `specs/misbehaviours.yaml`.

use lnconform_yaml::Diagnostic;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::OnceLock;

/// The implementation that does them.
pub const WHO: &str = "probe";

/// One thing done wrong.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Misbehaviour {
    /// What a step says after `misbehave:`.
    pub name: String,
    /// The statement for a sender that it breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaks: Option<String>,
    /// The statement for a reader by which the other end has to notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<String>,
    /// Operations on which a step may name it.
    pub operations: Vec<String>,
    /// It needs a payment of several HTLCs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_parts: bool,
    /// It is in what the step asks for, and not in the HTLCs: an invoice paid against its terms, a request
    /// beside the payment of an invoice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_step: bool,
    /// In words.
    pub does: String,
}

/// The list as it is built in.
const TEXT: &str = include_str!("../../../specs/misbehaviours.yaml");

/// All of them, in the order of the list. It is read once a process, since every step of every
/// vector is held against it.
///
/// # Errors
/// The built-in list is malformed; a test holds that it is not.
pub fn list() -> Result<&'static [Misbehaviour], Diagnostic> {
    static LIST: OnceLock<Result<Vec<Misbehaviour>, Diagnostic>> = OnceLock::new();
    let read = || lnconform_yaml::from_str(Path::new("specs/misbehaviours.yaml"), TEXT);
    match LIST.get_or_init(read) {
        Ok(list) => Ok(list),
        Err(mistake) => Err(mistake.clone()),
    }
}

/// A copy of [`list`].
///
/// # Errors
/// As [`list`].
pub fn all() -> Result<Vec<Misbehaviour>, Diagnostic> {
    list().map(<[_]>::to_vec)
}

/// The one of that name.
pub fn find(name: &str) -> Option<Misbehaviour> {
    list().ok()?.iter().find(|m| m.name == name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalogue;
    use std::collections::HashSet;

    #[test]
    fn each_is_named_once_and_breaks_a_statement_of_a_catalogue() {
        let catalogue = Catalogue::embedded().unwrap();
        let mut names = HashSet::new();
        for m in all().unwrap() {
            assert!(names.insert(m.name.clone()), "{} twice", m.name);
            let statements: Vec<_> = m.breaks.iter().chain(&m.reader).collect();
            assert!(!statements.is_empty(), "{} breaks nothing", m.name);
            for id in statements {
                assert!(
                    catalogue.get(id).is_some(),
                    "{}: no catalogue has {id}",
                    m.name
                );
            }
            assert!(!m.operations.is_empty() && m.does.ends_with('.'));
            assert_eq!(find(&m.name), Some(m));
        }
        assert_eq!(find("nothing"), None);
    }
}
