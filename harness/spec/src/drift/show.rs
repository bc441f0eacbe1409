//! Drift for people.

use super::{Beside, Change, Drift, Kind, Place, State, TextDrift, Words};
use crate::markup::{markdown as escaped, wrapped};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Characters in a line, behind an indent of eleven.
const WIDTH: usize = 89;
/// Words of context on either side of a change.
const CONTEXT: usize = 8;
/// Ids named, before the rest is counted.
const NAMED: usize = 3;

/// How changed words are marked.
struct Marks {
    old: [&'static str; 2],
    new: [&'static str; 2],
}

/// As `git diff --word-diff` marks them.
const PLAIN: Marks = Marks {
    old: ["[-", "-]"],
    new: ["{+", "+}"],
};

const MARKDOWN: Marks = Marks {
    old: ["<del>", "</del>"],
    new: ["<ins>", "</ins>"],
};

impl Drift {
    /// For a terminal: a block for each text, a few lines for each change.
    pub fn table(&self) -> String {
        let mut out = String::new();
        for text in &self.texts {
            if !out.is_empty() {
                out.push('\n');
            }
            let _ = writeln!(out, "{}: {}", text.text, headline(text));
            for one in &text.sections {
                let _ = writeln!(
                    out,
                    "  section  {} -> {}: {}, {}",
                    one.old,
                    one.new,
                    count(one.statements, "statement"),
                    entries(&one.entries),
                );
            }
            // A text that one side lacks altogether is one line.
            if text.state == State::Both {
                let mut last = None;
                for change in &text.changes {
                    self::change(&mut out, change, last);
                    last = Some(change);
                }
            }
            if let Some(beside) = beside(text.beside).filter(|_| text.state == State::Both) {
                let _ = writeln!(out, "  beside   {beside}");
            }
        }
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "{}", self.total());
        out
    }

    /// For a comment on a pull request. What comes from the texts is escaped.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for text in &self.texts {
            let _ = writeln!(out, "### {}\n\n{}\n", escaped(&text.text), headline(text));
            let rows = !text.sections.is_empty() || !text.changes.is_empty();
            if rows && text.state == State::Both {
                out.push_str("| | statement | takes along |\n|---|---|---|\n");
                for one in &text.sections {
                    let _ = writeln!(
                        out,
                        "| section | {} → {} | {} |",
                        escaped(&one.old),
                        escaped(&one.new),
                        listed(&one.entries),
                    );
                }
                for change in &text.changes {
                    let mut along = vec![match change.entries.as_slice() {
                        [] => "no entry".to_owned(),
                        some => listed(some),
                    }];
                    if !change.checks.is_empty() {
                        along.push(listed(&change.checks));
                    }
                    if !change.snapshots.is_empty() {
                        along.push(count(change.snapshots.len(), "snapshot"));
                    }
                    let _ = writeln!(
                        out,
                        "| {} | {}: {} | {} |",
                        change.kind.as_str(),
                        escaped(&place(change)),
                        said(change, &MARKDOWN, &escaped),
                        along.join("<br>")
                    );
                }
                out.push('\n');
            }
            if let Some(beside) = beside(text.beside).filter(|_| text.state == State::Both) {
                let _ = writeln!(out, "Beside these: {beside}.\n");
            }
        }
        let _ = writeln!(out, "{}", self.total());
        out
    }

    /// `2 texts differ: 1 keyword, 3 changed; 4 are as they were`, and what goes along.
    fn total(&self) -> String {
        let same = match self.same {
            0 => String::new(),
            1 => "; 1 text is as it was".to_owned(),
            n => format!("; {n} texts are as they were"),
        };
        let differ = match self.texts.len() {
            0 => return format!("no statement differs{same}"),
            1 => "1 text differs".to_owned(),
            n => format!("{n} texts differ"),
        };
        let sections = self.texts.iter().map(|t| t.sections.len()).sum();
        let all = self.texts.iter().flat_map(|t| &t.changes);
        let kinds = kinds(sections, all.map(|c| c.kind));
        let along = |of: fn(&Change) -> &[String]| {
            let all = self.texts.iter().flat_map(|t| &t.changes).flat_map(of);
            all.collect::<BTreeSet<_>>()
        };
        let mut entries = along(|c| &c.entries);
        let sections = self.texts.iter().flat_map(|t| &t.sections);
        entries.extend(sections.flat_map(|s| &s.entries));
        let along = match entries.len() {
            0 => "no entry of a catalogue goes along".to_owned(),
            n => format!(
                "along go {} of a catalogue, {}, {}",
                if n == 1 {
                    "1 entry".to_owned()
                } else {
                    format!("{n} entries")
                },
                count(along(|c| &c.checks).len(), "check"),
                count(along(|c| &c.snapshots).len(), "snapshot"),
            ),
        };
        format!("{differ}: {kinds}{same}\n{along}")
    }
}

/// `1 keyword, 2 changed; 152 as they were`, or what became of the whole text.
fn headline(text: &TextDrift) -> String {
    let all = text.changes.len();
    match text.state {
        State::Gone => {
            let known = text
                .changes
                .iter()
                .filter(|c| !c.entries.is_empty())
                .count();
            let known = format!("{known} of them with an entry");
            format!("only in the old one, {}, {known}", count(all, "statement"))
        }
        State::New => format!("only in the new one, {}", count(all, "statement")),
        State::Both => format!(
            "{}; {} as they were",
            kinds(text.sections.len(), text.changes.iter().map(|c| c.kind)),
            count(text.unchanged, "statement")
        ),
    }
}

fn kinds(sections: usize, of: impl Iterator<Item = Kind>) -> String {
    let all: Vec<Kind> = of.collect();
    let mut some: Vec<String> = Vec::new();
    if sections > 0 {
        some.push(format!("{} renamed", count(sections, "section")));
    }
    some.extend(Kind::ALL.iter().filter_map(|kind| {
        let n = all.iter().filter(|k| *k == kind).count();
        (n > 0).then(|| format!("{n} {}", kind.as_str()))
    }));
    if some.is_empty() {
        return "no statement differs".to_owned();
    }
    some.join(", ")
}

fn change(out: &mut String, change: &Change, last: Option<&Change>) {
    let again = last.is_some_and(|last| same_edit(last, change));
    let text = match (&change.new, again) {
        (Some(new), true) => format!("the same edit above: {}", new.own),
        _ => said(change, &PLAIN, &str::to_owned),
    };
    let mut parts = vec![place(change), text, entries(&change.entries)];
    if !change.checks.is_empty() {
        let snapshots = match change.snapshots.len() {
            0 => String::new(),
            n => format!("; {}", count(n, "snapshot")),
        };
        parts.push(format!("checks: {}{snapshots}", some(&change.checks)));
    }
    let mut heading = change.kind.as_str();
    for line in parts.iter().flat_map(|part| wrapped(part, WIDTH)) {
        let _ = writeln!(out, "  {heading:<8} {line}");
        heading = "";
    }
}

/// An edit of the condition above both, which is shown once.
fn same_edit(last: &Change, this: &Change) -> bool {
    let edits = |change: &Change| -> Vec<Words> {
        let words = change.words.iter();
        words
            .filter(|w| !matches!(w, Words::Both(_)))
            .cloned()
            .collect()
    };
    let above = |change: &Change| match (&change.old, &change.new) {
        (Some(old), Some(new)) => old.own == new.own && old.text != new.text,
        _ => false,
    };
    above(last) && above(this) && this.kind == last.kind && edits(last) == edits(this)
}

/// `MUST -> SHOULD, Offers / Writer, line 12 -> 14`.
fn place(change: &Change) -> String {
    let keyword = |p: &Place| p.keyword.map_or("none", |k| k.as_str());
    let mut parts = Vec::new();
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            if change.kind == Kind::Keyword {
                parts.push(format!("{} -> {}", keyword(old), keyword(new)));
            }
            parts.push(match old.section == new.section || !change.moved {
                true => new.section.clone(),
                false => format!("{} -> {}", old.section, new.section),
            });
            let also = match change.moved && change.kind != Kind::Moved {
                true => ", moved",
                false => "",
            };
            parts.push(format!("line {} -> {}{also}", old.line, new.line));
        }
        (Some(one), None) | (None, Some(one)) => {
            parts.push(keyword(one).to_owned());
            parts.push(one.section.clone());
            parts.push(format!("line {}", one.line));
        }
        (None, None) => {}
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// What it says, with the words that changed; long stretches between them are left out.
fn said(change: &Change, marks: &Marks, safe: &dyn Fn(&str) -> String) -> String {
    if change.words.is_empty() {
        let one = change.new.as_ref().or(change.old.as_ref());
        return safe(one.map_or("", |p| &p.text));
    }
    let last = change.words.len() - 1;
    let parts = change.words.iter().enumerate().map(|(index, words)| {
        let marked =
            |[open, close]: [&str; 2], words: &str| format!("{open}{}{close}", safe(words));
        match words {
            Words::Both(text) => safe(&shortened(text, index > 0, index < last)),
            Words::Old(text) => marked(marks.old, text),
            Words::New(text) => marked(marks.new, text),
        }
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// Some words at the ends that touch a change.
fn shortened(text: &str, before: bool, after: bool) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let (head, tail) = (
        if before { CONTEXT } else { 0 },
        if after { CONTEXT } else { 0 },
    );
    if words.len() <= head + tail + 1 {
        return text.to_owned();
    }
    let (first, last) = (&words[..head], &words[words.len() - tail..]);
    [first, &["…"], last].concat().join(" ")
}

fn entries(ids: &[String]) -> String {
    match ids {
        [] => "no entry in a catalogue".to_owned(),
        ids => some(ids),
    }
}

fn some(ids: &[String]) -> String {
    let named = ids[..ids.len().min(NAMED)].join(", ");
    match ids.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn listed(ids: &[String]) -> String {
    let named: Vec<String> = ids.iter().take(NAMED).map(|id| escaped(id)).collect();
    match ids.len().saturating_sub(NAMED) {
        0 => named.join("<br>"),
        more => format!("{}<br>and {more} more", named.join("<br>")),
    }
}

fn beside(beside: Beside) -> Option<String> {
    let parts = [
        (beside.sentences, "sentence or bullet without a keyword"),
        (beside.code_lines, "line of code"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| match (n, what) {
            (1, _) => format!("1 {what}"),
            (n, "line of code") => format!("{n} lines of code"),
            (n, _) => format!("{n} sentences or bullets without a keyword"),
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn count(n: usize, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}
