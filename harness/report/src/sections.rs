//! The checks of a run by section, and live nodes by the role they took.

use crate::digest::Row;
use lnconform_engine::record::{Check, Lane};
use std::collections::BTreeMap;

/// Sections that are kept; the checks of those that come after them are under [`OTHERS`].
const KEPT: usize = 2000;
/// The name of the rest.
const OTHERS: &str = "(others)";

/// Counts by section and by role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sections {
    /// Section to implementation, of checks on one implementation.
    codec: BTreeMap<String, BTreeMap<String, Row>>,
    /// Implementations, in the order in which they were met.
    names: Vec<String>,
    /// Implementation to role, of checks of scenarios.
    roles: BTreeMap<String, BTreeMap<String, Row>>,
}

/// The vector of a check: its id without step and axes.
pub(crate) fn vector(id: &str) -> &str {
    let id = id.split('#').next().unwrap_or_default();
    id.split('?').next().unwrap_or_default()
}

/// The section of a check: the first two folders of its vector, or the first three of upstream's.
pub(crate) fn section(id: &str) -> &str {
    let path = vector(id);
    let most = if path.starts_with("upstream/") { 3 } else { 2 };
    let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    match slashes.len() {
        0 => "",
        n => &path[..slashes[n.min(most) - 1]],
    }
}

/// The group of a section: its first folder, or upstream's first two.
pub(crate) fn group(section: &str) -> &str {
    let skip = usize::from(section.starts_with("upstream/"));
    section
        .match_indices('/')
        .nth(skip)
        .map_or(section, |(at, _)| &section[..at])
}

impl Sections {
    /// Takes a check.
    pub(crate) fn add(&mut self, check: &Check) {
        if let Some(roles) = &check.roles {
            for (role, who) in roles {
                self.roles
                    .entry(who.clone())
                    .or_default()
                    .entry(role.clone())
                    .or_default()
                    .add(check);
            }
            return;
        }
        let Some(who) = &check.implementation else {
            return;
        };
        if check.lane != Lane::Codec {
            return;
        }
        let name = section(&check.id);
        let name = match self.codec.contains_key(name) || self.codec.len() < KEPT {
            true => name,
            false => OTHERS,
        };
        if !self.codec.contains_key(name) {
            self.codec.insert(name.to_owned(), BTreeMap::new());
        }
        let Some(row) = self.codec.get_mut(name) else {
            return;
        };
        if !row.contains_key(who) {
            row.insert(who.clone(), Row::default());
            if !self.names.contains(who) {
                self.names.push(who.clone());
            }
        }
        if let Some(cell) = row.get_mut(who) {
            cell.add(check);
        }
    }

    /// Implementations of the codec lane.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// Sections, with a cell for each implementation that has checks there.
    pub(crate) fn codec(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, Row>)> {
        self.codec.iter().map(|(s, row)| (s.as_str(), row))
    }

    /// Implementations, with a cell for each role that they took.
    pub(crate) fn roles(&self) -> &BTreeMap<String, BTreeMap<String, Row>> {
        &self.roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_folders() {
        let cases = [
            (
                "bolt12/offer/reader/x?offer=a/b#3",
                "bolt12/offer",
                "bolt12",
            ),
            ("bolt12/offer/x", "bolt12/offer", "bolt12"),
            ("keysend/direct#2", "keysend", "keysend"),
            ("top", "", ""),
            (
                "upstream/bolt12/offers-test/case~12345678/step",
                "upstream/bolt12/offers-test",
                "upstream/bolt12",
            ),
            ("upstream/bolt12/x", "upstream/bolt12", "upstream/bolt12"),
        ];
        for (id, of, above) in cases {
            assert_eq!((section(id), group(section(id))), (of, above), "{id}");
        }
    }
}
