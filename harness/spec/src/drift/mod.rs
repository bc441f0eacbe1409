//! Drift: what became of the statements of a text between two revisions of it, and what they take
//! along.
//!
//! Sentences are compared by their hashes first, so that other line breaks are no change. What is left
//! is paired by its words: a statement that was reworded is one change, not one gone and one new. A
//! condition that changes changes every statement below it, as in [`crate::text`]; those are told one
//! by one, with the same words. A heading that changes its name moves no statement.

mod pair;
mod show;
#[cfg(test)]
mod tests;

use crate::catalogue::{Catalogue, Entry, Keyword};
use crate::revisions::Text;
use crate::sources::Sources;
use crate::text::{self, Form, Unit};
use crate::tree;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What became of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Its RFC 2119 word is another one, or it has gained or lost it.
    Keyword,
    /// Its words are others, or those of the condition above it.
    Changed,
    /// It stands in another section, or before or after another statement than it did.
    Moved,
    /// It was not there.
    New,
    /// It is not there any more.
    Gone,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Keyword => "keyword",
            Kind::Changed => "changed",
            Kind::Moved => "moved",
            Kind::New => "new",
            Kind::Gone => "gone",
        }
    }

    /// All of them, in the order in which they are shown.
    pub const ALL: [Kind; 5] = [
        Kind::Keyword,
        Kind::Changed,
        Kind::Moved,
        Kind::New,
        Kind::Gone,
    ];
}

/// A statement in one of the two texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// As in [`text::Statement`].
    pub section: String,
    /// Its keyword, or the inherited one; absent for a sentence without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyword: Option<Keyword>,
    /// White space folded, the bullets above it in front.
    pub text: String,
    /// Without the bullets above it.
    pub own: String,
    /// See [`text::hash`].
    pub hash: String,
    /// Where its paragraph or bullet begins, counted from 1.
    pub line: usize,
}

impl From<&Unit> for Place {
    fn from(unit: &Unit) -> Self {
        Self {
            section: unit.section.clone(),
            keyword: unit.keyword,
            text: unit.text.clone(),
            own: unit.own.clone(),
            hash: unit.hash.clone(),
            line: unit.line,
        }
    }
}

/// A run of words, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "in", content = "words", rename_all = "lowercase")]
pub enum Words {
    /// In both texts.
    Both(String),
    /// Only in the old one.
    Old(String),
    /// Only in the new one.
    New(String),
}

/// What became of one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The gravest of what became of it.
    pub kind: Kind,
    /// It stands elsewhere, whatever else became of it.
    pub moved: bool,
    /// In the old text; absent where it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Place>,
    /// In the new text; absent where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Place>,
    /// The word diff; empty unless the words changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Words>,
    /// Ids of the catalogue entries whose sentence it is: in the old text, else in the new one.
    pub entries: Vec<String>,
    /// Ids of the checks that cover these entries.
    pub checks: Vec<String>,
    /// Snapshots of these checks, as paths.
    pub snapshots: Vec<String>,
}

/// A heading with another name: its statements are where they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// The section in the old text.
    pub old: String,
    /// In the new one.
    pub new: String,
    /// How many statements of it are in both.
    pub statements: usize,
    /// Ids of the catalogue entries that name the section.
    pub entries: Vec<String>,
}

/// Whether both sides have the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Both.
    Both,
    /// Only the new side.
    New,
    /// Only the old side.
    Gone,
}

/// Differences that are in no statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Beside {
    /// Sentences and bullets without a keyword that are others, gone or new.
    pub sentences: usize,
    /// Lines of fenced code.
    pub code_lines: usize,
}

/// What became of one text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextDrift {
    /// Its path in the new checkout, else in the old one.
    pub text: String,
    /// Whether both sides have it.
    pub state: State,
    /// The specifications whose catalogues have entries for it.
    pub specs: Vec<String>,
    /// Statements that are as they were.
    pub unchanged: usize,
    /// Headings with another name.
    pub sections: Vec<Renamed>,
    /// The others, in the order of the new text; what is gone stands where it stood.
    pub changes: Vec<Change>,
    /// What differs beside them.
    pub beside: Beside,
}

impl TextDrift {
    /// Nothing differs but line breaks.
    pub fn is_same(&self) -> bool {
        self.changes.is_empty() && self.sections.is_empty() && self.beside == Beside::default()
    }

    /// How many changes there are of each kind.
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for change in &self.changes {
            *counts.entry(change.kind).or_default() += 1;
        }
        counts
    }
}

/// What became of the texts of two folders or revisions; its JSON form is that of
/// `spec drift --format json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The texts that differ, by path.
    pub texts: Vec<TextDrift>,
    /// How many texts are the same, byte for byte or in all statements.
    pub same: usize,
}

/// Compares texts of the same path. A text without any statement that only one side has is passed
/// over.
pub fn drift(old: &[Text], new: &[Text], catalogue: &Catalogue, sources: &Sources) -> Drift {
    let mut drift = Drift::default();
    let paths: BTreeSet<&str> = old.iter().chain(new).map(|t| t.below.as_str()).collect();
    for path in paths {
        let on = |side: &[Text]| {
            let text = side.iter().find(|t| t.below == path);
            text.map(|t| t.content.clone())
        };
        let (before, after) = (on(old), on(new));
        let state = match (&before, &after) {
            (Some(_), None) => State::Gone,
            (None, Some(_)) => State::New,
            _ => State::Both,
        };
        if before == after {
            drift.same += 1;
            continue;
        }
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let entries = entries_of(path, &before, &after, catalogue, sources);
        let mut text = compare(&before, &after, &entries);
        path.clone_into(&mut text.text);
        text.state = state;
        match state {
            State::Both if text.is_same() => drift.same += 1,
            State::New | State::Gone if text.changes.is_empty() => {}
            _ => drift.texts.push(text),
        }
    }
    drift
}

/// The entries of the catalogues that a text may belong to: those that were written from this very
/// text, else those of a text with this file name, else the one that knows most of its sentences.
/// Pull requests repeat the text that they change, so that several catalogues may have a part of it.
fn entries_of<'a>(
    path: &str,
    old: &str,
    new: &str,
    catalogue: &'a Catalogue,
    sources: &Sources,
) -> Vec<&'a Entry> {
    let hashes: BTreeSet<String> = [old, new]
        .into_iter()
        .flat_map(text::units)
        .map(|u| u.hash)
        .collect();
    let blobs = [old, new].map(|text| tree::blob(text.as_bytes()));
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut by_spec: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in catalogue.entries() {
        if hashes.contains(&entry.sentence) {
            by_spec.entry(&entry.spec).or_default().push(entry);
        }
    }
    let is_this = |spec: &str, by_blob: bool| {
        let header = catalogue.headers().find(|h| h.spec == spec);
        header.is_some_and(|header| match by_blob {
            true => sources
                .iter()
                .any(|s| s.document == header.document && blobs.contains(&s.blob)),
            false => name(&header.document) == name(path),
        })
    };
    for by_blob in [true, false] {
        // The others with the file name come along: a pull request repeats the text.
        if by_spec.keys().any(|spec| is_this(spec, by_blob)) {
            by_spec.retain(|spec, _| is_this(spec, true) || is_this(spec, false));
            return by_spec.into_values().flatten().collect();
        }
    }
    let most = by_spec.into_values().max_by_key(Vec::len);
    most.unwrap_or_default()
}

/// Compares two texts; `entries` are the catalogue's for them. [`Change::checks`] and
/// [`Change::snapshots`] are left empty, see [`Drift::attach`].
pub fn compare(old: &str, new: &str, entries: &[&Entry]) -> TextDrift {
    let mut by_hash: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        by_hash.entry(&entry.sentence).or_default().push(entry);
    }
    let (mut old_units, mut new_units) = (text::units(old), text::units(new));
    // A condition counts by the statements below it, unless an entry is about it alone. One that is
    // a statement of its own in the other text has got, or lost, what stands below it.
    let leaves: BTreeSet<String> = old_units
        .iter()
        .chain(&new_units)
        .filter(|u| u.form == Form::Leaf)
        .map(|u| u.hash.clone())
        .collect();
    for units in [&mut old_units, &mut new_units] {
        units.retain(|u| {
            u.form != Form::Condition
                || (by_hash.contains_key(u.hash.as_str()) && !leaves.contains(&u.hash))
        });
    }
    let normative = |u: &Unit| u.keyword.is_some() || by_hash.contains_key(u.hash.as_str());
    let pairs = pair::pairs(&old_units, &new_units, &normative);

    // Of entries with the same sentence, the one of the section is meant.
    let entries_for = |unit: &Unit| -> Vec<String> {
        let all = by_hash
            .get(unit.hash.as_str())
            .map_or(&[][..], Vec::as_slice);
        let here: Vec<_> = all.iter().filter(|e| e.section == unit.section).collect();
        let chosen = if here.is_empty() {
            all.iter().collect()
        } else {
            here
        };
        chosen.into_iter().map(|e| e.id.clone()).collect()
    };
    let change = |kind, moved, old: Option<&Unit>, new: Option<&Unit>, words| {
        let mut entries = old.map(entries_for).unwrap_or_default();
        if entries.is_empty() {
            entries = new.map(entries_for).unwrap_or_default();
        }
        Change {
            kind,
            moved,
            old: old.map(Place::from),
            new: new.map(Place::from),
            words,
            entries,
            checks: Vec::new(),
            snapshots: Vec::new(),
        }
    };

    // Each with its place: what is gone goes behind what stood before it.
    let mut placed: Vec<((usize, usize), Change)> = Vec::new();
    let mut unchanged = 0;
    let mut beside = Beside::default();
    let mut left = [0usize; 2];
    let mut after = 0;
    for (index, unit) in old_units.iter().enumerate() {
        match pairs.of_old[index] {
            Some(other) => {
                after = other + 1;
                let there = &new_units[other];
                if !normative(unit) && !normative(there) {
                    continue;
                }
                let moved = pairs.moved[index];
                let kind = if unit.hash == there.hash {
                    moved.then_some(Kind::Moved)
                } else if unit.keyword != there.keyword {
                    Some(Kind::Keyword)
                } else {
                    Some(Kind::Changed)
                };
                match kind {
                    None => unchanged += 1,
                    Some(kind) => {
                        let words = match kind {
                            Kind::Moved => Vec::new(),
                            _ => words(&unit.text, &there.text),
                        };
                        let one = change(kind, moved, Some(unit), Some(there), words);
                        placed.push(((other + 1, 0), one));
                    }
                }
            }
            None if normative(unit) => {
                let one = change(Kind::Gone, false, Some(unit), None, Vec::new());
                placed.push(((after, index + 1), one));
            }
            None => left[0] += 1,
        }
    }
    let taken: BTreeSet<usize> = pairs.of_old.iter().flatten().copied().collect();
    for (index, unit) in new_units.iter().enumerate() {
        if taken.contains(&index) {
            continue;
        }
        if normative(unit) {
            let one = change(Kind::New, false, None, Some(unit), Vec::new());
            placed.push(((index + 1, 0), one));
        } else {
            left[1] += 1;
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    // One that reads otherwise is gone from one text and new in the other.
    beside.sentences = left[0].max(left[1]);
    beside.code_lines = code_lines(&text::fenced(old), &text::fenced(new));

    let sections = pairs
        .renamed
        .iter()
        .map(|(from, to)| {
            let here = |(index, unit): &(usize, &Unit)| {
                unit.section == *from && normative(unit) && pairs.of_old[*index].is_some()
            };
            let named = |e: &&&Entry| e.section == *from;
            Renamed {
                old: from.clone(),
                new: to.clone(),
                statements: old_units.iter().enumerate().filter(here).count(),
                entries: entries.iter().filter(named).map(|e| e.id.clone()).collect(),
            }
        })
        // A section without statements is nobody's.
        .filter(|one| one.statements > 0 || !one.entries.is_empty())
        .collect();
    let specs: BTreeSet<&str> = entries.iter().map(|e| e.spec.as_str()).collect();
    TextDrift {
        text: String::new(),
        state: State::Both,
        specs: specs.into_iter().map(str::to_owned).collect(),
        unchanged,
        sections,
        changes: placed.into_iter().map(|(_, change)| change).collect(),
        beside,
    }
}

impl Drift {
    /// Whether an entry of a catalogue goes along with a change.
    pub fn has_entries(&self) -> bool {
        let mut changes = self.texts.iter().flat_map(|t| &t.changes);
        changes.any(|c| !c.entries.is_empty())
    }

    /// Says which checks and snapshots hang on the entries of each change. `of_entry` answers both
    /// for an entry's id.
    pub fn attach(&mut self, of_entry: impl Fn(&str) -> (Vec<String>, Vec<String>)) {
        for change in self.texts.iter_mut().flat_map(|t| &mut t.changes) {
            let (mut checks, mut snapshots) = (BTreeSet::new(), BTreeSet::new());
            for entry in &change.entries {
                let (c, s) = of_entry(entry);
                checks.extend(c);
                snapshots.extend(s);
            }
            change.checks = checks.into_iter().collect();
            change.snapshots = snapshots.into_iter().collect();
        }
    }
}

/// The word diff of two folded texts.
fn words(old: &str, new: &str) -> Vec<Words> {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.split(' ').collect(), new.split(' ').collect());
    let mut found = Vec::new();
    for op in similar::capture_diff_slices(similar::Algorithm::Myers, &a, &b) {
        let (tag, old, new) = op.as_tag_tuple();
        if tag == similar::DiffTag::Equal {
            found.push(Words::Both(a[old].join(" ")));
            continue;
        }
        if !old.is_empty() {
            found.push(Words::Old(a[old].join(" ")));
        }
        if !new.is_empty() {
            found.push(Words::New(b[new].join(" ")));
        }
    }
    found
}

/// How many lines of code differ; one that reads otherwise counts once.
fn code_lines(old: &[&str], new: &[&str]) -> usize {
    similar::capture_diff_slices(similar::Algorithm::Myers, old, new)
        .iter()
        .filter(|op| op.tag() != similar::DiffTag::Equal)
        .map(|op| op.old_range().len().max(op.new_range().len()))
        .sum()
}
