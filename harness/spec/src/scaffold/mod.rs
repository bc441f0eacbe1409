//! A catalogue to be filled in: one entry for every statement of a text, with all but the paraphrase.
//!
//! What the tool cannot know stays open: the paraphrase is empty, so that the file does not load before
//! somebody has read the statement and said it in other words. Ids and roles are guesses to be looked
//! over; once vectors name an id, it outlives every edit of the text.

mod patch;
mod slug;
#[cfg(test)]
mod tests;

pub use patch::{Patch, PatchError, is_patch};

use crate::catalogue::{Catalogue, Keyword, Role};
use crate::drift::{Kind, compare};
use crate::markup::wrapped;
use crate::sources::Sources;
use crate::text::{self, Form, Unit};
use crate::tree;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

/// Characters of a line of a quoted sentence.
const WIDTH: usize = 94;

/// What a skeleton is made of, beside the text.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Path of the text, as a checkout has it.
    pub path: String,
    /// Name of the specification; guessed from the path where it is absent.
    pub spec: Option<String>,
    /// The revision; the pinned one, else the text's blob hash, where it is absent.
    pub revision: Option<String>,
    /// The sentences stand as comments above their entries.
    pub quote: bool,
    /// Statements that have an entry in some catalogue are taken as well.
    pub all: bool,
}

/// A skeleton of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skeleton {
    /// The catalogue file, YAML.
    pub yaml: String,
    /// Name of the specification.
    pub spec: String,
    /// Statements that it has an entry for.
    pub entries: usize,
    /// Statements left out, since a catalogue has an entry for them.
    pub known: usize,
    /// The entry that `specs/sources.yaml` has to get, where the text is not listed there.
    pub source: Option<String>,
}

/// One entry to be.
struct Draft<'a> {
    unit: &'a Unit,
    role: Role,
    id: String,
}

/// Makes a skeleton for the statements of `new`. With the text before it, `old`, only for those that
/// are new or changed; where an entry knows the old form, it is named with its new hash, since an id
/// outlives an edit.
pub fn scaffold(
    old: Option<&str>,
    new: &str,
    origin: &Origin,
    catalogue: &Catalogue,
    sources: &Sources,
) -> Skeleton {
    let blob = tree::blob(new.as_bytes());
    let listed = sources.by_blob(&blob);
    let spec = origin.spec.clone();
    let spec = spec.or_else(|| listed.map(|s| s.name.clone()));
    let spec = spec.unwrap_or_else(|| slug::spec(&origin.path));
    let document = listed.map_or(origin.path.as_str(), |s| &s.document);
    let revision = origin.revision.clone();
    let revision = revision.or_else(|| listed.map(|s| s.revision.clone()));
    let revision = revision.unwrap_or_else(|| format!("blob:{}", &blob[..12]));

    let known: BTreeSet<&str> = match origin.all {
        true => BTreeSet::new(),
        false => catalogue.entries().map(|e| e.sentence.as_str()).collect(),
    };
    // What changed keeps its id; what the old text has as well is not the change's.
    let mut kept: Vec<(String, usize, String)> = Vec::new();
    let mut asked: Option<BTreeSet<(usize, String)>> = None;
    if let Some(old) = old {
        let entries: Vec<_> = catalogue.entries().collect();
        let drift = compare(old, new, &entries);
        let mut open = BTreeSet::new();
        for change in &drift.changes {
            let Some(place) = &change.new else { continue };
            if matches!(change.kind, Kind::Changed | Kind::Keyword) && !change.entries.is_empty() {
                for id in &change.entries {
                    kept.push((place.hash.clone(), place.line, id.clone()));
                }
            } else if change.kind != Kind::Moved && place.keyword.is_some() {
                open.insert((place.line, place.hash.clone()));
            }
        }
        asked = Some(open);
    }

    let units = text::units(new);
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    let (mut lead, mut left_out) = ("", 0);
    let mut ids = slug::Ids::new(&spec, catalogue);
    for unit in &units {
        if unit.form == Form::Prose {
            lead = &unit.text;
        }
        let is_statement = unit.form != Form::Condition && unit.keyword.is_some();
        if !is_statement || (unit.form == Form::Prose && is_boilerplate(&unit.text)) {
            continue;
        }
        if let Some(asked) = &asked
            && !asked.contains(&(unit.line, unit.hash.clone()))
        {
            continue;
        }
        if known.contains(unit.hash.as_str()) {
            left_out += 1;
            continue;
        }
        let role = slug::role(lead, unit);
        let id = ids.draw(role, unit);
        drafts.push(Draft { unit, role, id });
    }
    let title = text::title(new).unwrap_or_else(|| spec.clone());
    let mut yaml = String::new();
    let _ = writeln!(yaml, "# Requirements of {}.", one_line(&title));
    yaml.push_str(
        "# Written by `lnconform spec scaffold`. To do, entry by entry: read the statement (by its line),\n\
         # and write the paraphrase: what it asks, in words of your own. Look over id and role. An id may\n\
         # be changed until a vector names it. Where nothing can show whether it is kept, say so:\n\
         # excluded: 'why it cannot be observed'\n",
    );
    if left_out > 0 {
        let _ = writeln!(
            yaml,
            "# {left_out} of the statements have an entry in another catalogue and are left out."
        );
    }
    if !kept.is_empty() {
        yaml.push_str(
            "# These entries know a statement as it was; at this revision their `sentence` is:\n",
        );
        for (hash, line, id) in &kept {
            let _ = writeln!(yaml, "#   {id}: \"{hash}\" (line {line})");
        }
    }
    let _ = writeln!(yaml, "spec: {}", quoted(&spec));
    let _ = writeln!(yaml, "document: {}", quoted(document));
    let _ = writeln!(yaml, "revision: {}", quoted(&revision));
    let _ = writeln!(yaml, "title: {}", quoted(&title));
    // Of a change, the rest of a section is in a catalogue that this text does not show.
    if old.is_none_or(str::is_empty) {
        sections(&mut yaml, &drafts, &units, &known);
    }
    yaml.push_str(if drafts.is_empty() {
        "entries: []\n"
    } else {
        "entries:\n"
    });
    for draft in &drafts {
        entry(&mut yaml, draft, origin.quote);
    }
    let unlisted = !sources.iter().any(|s| s.document == document);
    Skeleton {
        yaml,
        entries: drafts.len(),
        known: left_out,
        source: unlisted.then(|| {
            format!(
                "  - name: {}\n    kind: text\n    document: {}\n    repository: {}\n    revision: {}\n    blob: \"{blob}\"",
                quoted(&spec),
                quoted(document),
                quoted("https://… where the text comes from"),
                quoted(&revision)
            )
        }),
        spec,
    }
}

/// The sections all of whose statements have an entry, here or in another catalogue.
fn sections(yaml: &mut String, drafts: &[Draft<'_>], units: &[Unit], known: &BTreeSet<&str>) {
    let mut open: HashMap<&str, usize> = HashMap::new();
    for draft in drafts.iter().filter(|d| d.unit.form == Form::Leaf) {
        *open.entry(&draft.unit.section).or_default() += 1;
    }
    let mut complete: Vec<&str> = Vec::new();
    for draft in drafts {
        let section = draft.unit.section.as_str();
        let statements = units.iter().filter(|u| {
            u.form == Form::Leaf
                && u.section == section
                && u.keyword.is_some()
                && !known.contains(u.hash.as_str())
        });
        let whole = open.get(section).is_some_and(|n| *n == statements.count());
        if whole && !complete.contains(&section) {
            complete.push(section);
        }
    }
    if !complete.is_empty() {
        yaml.push_str("complete:\n");
        for section in complete {
            let _ = writeln!(yaml, "  - {}", quoted(section));
        }
    }
}

fn entry(yaml: &mut String, draft: &Draft<'_>, quote: bool) {
    let unit = draft.unit;
    let what = match unit.form {
        Form::Prose => ", a sentence of prose",
        Form::Leaf | Form::Condition => "",
    };
    let _ = writeln!(yaml, "  # line {}{what}", unit.line);
    if quote {
        for line in wrapped(&one_line(&unit.text), WIDTH) {
            let _ = writeln!(yaml, "  #   {line}");
        }
    }
    let role = match draft.role {
        Role::Reader => "reader",
        Role::Writer => "writer",
        Role::Sender => "sender",
        Role::Receiver => "receiver",
        Role::Node => "node",
    };
    let _ = writeln!(
        yaml,
        "  - id: {}\n    keyword: {}\n    section: {}\n    sentence: \"{}\"\n    role: {role}\n    paraphrase: ''",
        draft.id,
        unit.keyword.map_or("MUST", Keyword::as_str),
        quoted(&unit.section),
        unit.hash,
    );
}

/// A sentence that says what the keywords mean.
fn is_boilerplate(text: &str) -> bool {
    ["RFC 2119", "RFC2119", "BCP 14", "RFC 8174"]
        .iter()
        .any(|name| text.contains(name))
}

/// A YAML scalar in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", one_line(text).replace('\'', "''"))
}

/// Without what would end a line or a comment, or do something on a screen.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
