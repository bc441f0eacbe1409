//! What remains on the wire: `specs/wire/*.yaml` says of statements for who reads why no peer can
//! break them, or see them kept, over a connection.
//!
//! A statement for a writer or a sender has no place here: what a node writes is seen when it writes.

use crate::{Catalogue, Class, Entry, Role};
use lnconform_yaml::Diagnostic;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Name of the specification, as its catalogue has it.
    spec: String,
    entries: Vec<Group>,
}

/// Statements that share a reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    statements: Vec<String>,
    reason: String,
}

/// A peer could break it, or could be seen to keep it: a MUST or MUST NOT for who reads, receives, or is
/// a node at all, which its catalogue does not exclude.
pub fn asked(entry: &Entry) -> bool {
    entry.keyword.class() == Class::Must
        && matches!(entry.role, Role::Reader | Role::Receiver | Role::Node)
        && entry.excluded.is_none()
}

/// The built-in reasons by id of the statement, held against the built-in catalogues.
///
/// # Errors
/// A mistake in a file of either; in a tested build there is none.
pub fn reasons() -> Result<BTreeMap<String, String>, Vec<Diagnostic>> {
    let catalogue = Catalogue::embedded()?;
    let files = crate::EMBEDDED.get_dir("wire").into_iter();
    let mut texts = Vec::new();
    for file in files.flat_map(|dir| dir.files()) {
        let name = Path::new("specs").join(file.path());
        let text = file.contents_utf8();
        let text = text.ok_or_else(|| vec![Diagnostic::new(&name, "is not UTF-8")])?;
        texts.push((name, text));
    }
    read(&catalogue, &texts).map_err(|mistake| vec![mistake])
}

/// Reads files that are in memory.
///
/// # Errors
/// A key that is not known, a reason that is empty, a statement that its catalogue does not have, that
/// nobody asks for on the wire ([`asked`]), or that has a reason already; with its place.
fn read(
    catalogue: &Catalogue,
    texts: &[(PathBuf, &str)],
) -> Result<BTreeMap<String, String>, Diagnostic> {
    let mut reasons = BTreeMap::new();
    for (file, text) in texts {
        let parsed: File = lnconform_yaml::from_str(file, text)?;
        for (index, group) in parsed.entries.into_iter().enumerate() {
            let index = index.to_string();
            if group.reason.trim().is_empty() {
                let path = ["entries", &index, "reason"];
                return Err(Diagnostic::new(file, "the reason is empty").at(text, &path));
            }
            for (place, id) in group.statements.into_iter().enumerate() {
                let place = place.to_string();
                let wrong = |what: &str| {
                    let path = ["entries", &index, "statements", &place];
                    Err(Diagnostic::new(file, format!("`{id}` {what}")).at(text, &path))
                };
                match catalogue.get(&id) {
                    Some(entry) if entry.spec != parsed.spec => {
                        return wrong("is a statement of another specification");
                    }
                    Some(entry) if asked(entry) => {}
                    Some(_) => {
                        return wrong(
                            "needs no reason: it is excluded, or no MUST for who reads, receives or is a node",
                        );
                    }
                    None => return wrong("is in no catalogue"),
                }
                if reasons.contains_key(&id) {
                    return wrong("has a reason already");
                }
                reasons.insert(id, group.reason.clone());
            }
        }
    }
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_belongs_to_a_statement_that_is_asked_for() {
        let catalogue = Catalogue::embedded().unwrap();
        for (id, reason) in reasons().unwrap() {
            assert!(catalogue.get(&id).is_some_and(asked), "{id}");
            assert!(reason.ends_with('.'), "{id}: {reason}");
        }
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        let entry = |id: &str, keyword: &str, role: &str, more: &str| {
            format!(
                "- {{id: {id}, keyword: {keyword}, section: S, sentence: 0123456789abcdef, \
                 role: {role}, paraphrase: P{more}}}\n"
            )
        };
        let text = [
            "spec: a\ndocument: a.md\nrevision: '1'\ntitle: A\nentries:\n".to_owned(),
            entry("a/reader", "MUST", "reader", ""),
            entry("a/node", "MUST NOT", "node", ""),
            entry("a/should", "SHOULD", "reader", ""),
            entry("a/writer", "MUST", "writer", ""),
            entry("a/hidden", "MUST", "reader", ", excluded: why"),
        ]
        .concat();
        let catalogue = Catalogue::from_texts(&[(Path::new("a.yaml"), &text)]).unwrap();
        let read = |spec: &str, statements: &str, reason: &str| {
            let text = format!(
                "spec: {spec}\nentries:\n- statements: [{statements}]\n  reason: '{reason}'\n"
            );
            read(&catalogue, &[(PathBuf::from("w.yaml"), &text)])
        };
        let good = read("a", "a/reader, a/node", "It is so.").unwrap();
        assert_eq!(good.len(), 2);
        assert_eq!(good["a/node"], "It is so.");
        for (spec, statements, reason, says) in [
            ("a", "a/reader", " ", "w.yaml:4:11: the reason is empty"),
            (
                "a",
                "a/reader, a/other",
                "It is so.",
                "w.yaml:3:26: `a/other` is in no",
            ),
            ("a", "a/should", "It is so.", "needs no reason"),
            ("a", "a/writer", "It is so.", "needs no reason"),
            ("a", "a/hidden", "It is so.", "needs no reason"),
            ("a", "a/node, a/node", "It is so.", "has a reason already"),
            ("b", "a/node", "It is so.", "another specification"),
        ] {
            let error = read(spec, statements, reason).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
