//! `diff OLD NEW`: what appeared, disappeared and changed between two result files.

use crate::style::{Paint, Style};
use crate::text::{clean, count, cut};
use lnconform_engine::record::{Check, Outcome, Record};
use lnconform_engine::results::{ResultsError, visit};
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::Path;

/// Lines of a section.
const LISTED: usize = 200;

/// What a check came to in one file, over all its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Attempts by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// At least one was unexpected.
    pub unexpected: bool,
    /// At least one was a warning.
    pub warning: bool,
    /// How it failed, for telling one failure from another.
    pub failure: Option<String>,
}

impl State {
    fn add(&mut self, check: &Check) {
        *self.outcomes.entry(check.outcome).or_default() += 1;
        self.unexpected |= !check.expected;
        self.warning |= check.warning;
        if check.outcome == Outcome::Failed && self.failure.is_none() {
            self.failure = Some(match &check.failure {
                Some(f) if f.kind.is_some() || f.code.is_some() || f.rule.is_some() => {
                    let code = f.code.map(|c| c.to_string());
                    let parts = [f.kind.clone(), code, f.rule.clone()];
                    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
                }
                _ => check.message.clone().unwrap_or_default(),
            });
        }
    }

    /// `passed`, `failed (invalid, unexpected)`, `passed, failed (flaky)`.
    pub(crate) fn text(&self) -> String {
        let names: Vec<&str> = self.outcomes.keys().map(|o| o.as_str()).collect();
        let mut notes = Vec::new();
        notes.extend(
            self.failure
                .as_deref()
                .filter(|f| !f.is_empty())
                .map(|f| cut(&clean(f.lines().next().unwrap_or_default()), 60).into_owned()),
        );
        if names.len() > 1 {
            notes.push("flaky".into());
        }
        if self.unexpected {
            notes.push("unexpected".into());
        } else if self.warning {
            notes.push("warning".into());
        }
        let names = names.join(", ");
        if notes.is_empty() {
            names
        } else {
            format!("{names} ({})", notes.join(", "))
        }
    }

    /// The same for a reader: how often it was repeated does not matter.
    fn same(&self, other: &State) -> bool {
        self.outcomes.keys().eq(other.outcomes.keys())
            && (self.unexpected, self.warning, &self.failure)
                == (other.unexpected, other.warning, &other.failure)
    }
}

/// One check that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Id of the check.
    pub id: String,
    /// Implementation or roles.
    pub who: String,
    /// In the old file; absent where it appeared.
    pub old: Option<State>,
    /// In the new file; absent where it disappeared.
    pub new: Option<State>,
}

impl Change {
    /// Unexpected now and not before: what `--fail-on new` is about.
    pub fn is_new_trouble(&self) -> bool {
        self.new.as_ref().is_some_and(|s| s.unexpected)
            && !self.old.as_ref().is_some_and(|s| s.unexpected)
    }

    fn is_mended(&self) -> bool {
        self.old.as_ref().is_some_and(|s| s.unexpected)
            && self.new.as_ref().is_some_and(|s| !s.unexpected)
    }
}

type Kind = (&'static str, Paint, fn(&Change) -> bool);

/// What changes mean, in the order in which a reader has to know.
const KINDS: [Kind; 5] = [
    ("newly unexpected", Paint::Bad, Change::is_new_trouble),
    ("no longer unexpected", Paint::Good, Change::is_mended),
    ("changed", Paint::Warn, |c| {
        c.old.is_some() && c.new.is_some() && !c.is_new_trouble() && !c.is_mended()
    }),
    ("appeared", Paint::Strong, |c| {
        c.old.is_none() && !c.is_new_trouble()
    }),
    ("disappeared", Paint::Warn, |c| c.new.is_none()),
];

/// The difference of two result files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Checks that differ, by id and who.
    pub changes: Vec<Change>,
    /// (id, who) of observations that are in both and differ.
    pub observations: Vec<(String, String)>,
    /// Name, old version, new version of implementations; absent where it took no part.
    pub implementations: Vec<(String, Option<String>, Option<String>)>,
    /// Checks that are the same in both.
    pub same: u64,
    /// A file ends before the run did.
    pub unfinished: [bool; 2],
}

#[derive(Default)]
struct Side {
    checks: BTreeMap<(String, String), State>,
    observations: BTreeMap<(String, String), u64>,
    versions: BTreeMap<String, String>,
    unfinished: bool,
}

fn side(path: &Path) -> Result<Side, ResultsError> {
    let mut side = Side::default();
    let end = visit(path, |record| match record {
        Record::Run(run) => side.versions.extend(
            run.implementations
                .into_iter()
                .filter(|i| i.available)
                .map(|i| (i.name, i.version)),
        ),
        Record::Check(check) => {
            let who = check.who();
            side.checks
                .entry((check.id.clone(), who))
                .or_default()
                .add(&check);
        }
        Record::Observation(o) => {
            let who = o.who();
            side.observations.insert((o.id, who), fingerprint(&o.value));
        }
        _ => {}
    })?;
    side.unfinished = end.unfinished;
    Ok(side)
}

/// Only equality counts, so the value itself need not be kept.
fn fingerprint(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    lnconform_engine::redact::sorted(value)
        .to_string()
        .hash(&mut hasher);
    hasher.finish()
}

/// Compares two result files.
///
/// # Errors
/// A file that cannot be read.
pub fn compare(old: &Path, new: &Path) -> Result<Diff, ResultsError> {
    let (old, mut new) = (side(old)?, side(new)?);
    let mut diff = Diff {
        unfinished: [old.unfinished, new.unfinished],
        ..Diff::default()
    };
    for (key, was) in old.checks {
        let is = new.checks.remove(&key);
        if is.as_ref().is_some_and(|is| is.same(&was)) {
            diff.same += 1;
        } else {
            let (id, who) = key;
            diff.changes.push(Change {
                id,
                who,
                old: Some(was),
                new: is,
            });
        }
    }
    for ((id, who), is) in new.checks {
        diff.changes.push(Change {
            id,
            who,
            old: None,
            new: Some(is),
        });
    }
    diff.changes
        .sort_by(|a, b| (&a.id, &a.who).cmp(&(&b.id, &b.who)));
    for (key, was) in old.observations {
        if new.observations.get(&key).is_some_and(|is| *is != was) {
            diff.observations.push(key);
        }
    }
    let mut versions: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    for (name, version) in old.versions {
        versions.entry(name).or_default().0 = Some(version);
    }
    for (name, version) in new.versions {
        versions.entry(name).or_default().1 = Some(version);
    }
    diff.implementations = versions
        .into_iter()
        .filter(|(_, (a, b))| a != b)
        .map(|(n, (a, b))| (n, a, b))
        .collect();
    Ok(diff)
}

impl Diff {
    /// Checks that are unexpected now and were not before; `--fail-on new` fails if there is one.
    pub fn new_trouble(&self) -> u64 {
        self.changes.iter().filter(|c| c.is_new_trouble()).count() as u64
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.observations.is_empty() && self.implementations.is_empty()
    }

    /// The changes by what they mean: heading and changes; headings without changes are left out.
    pub(crate) fn kinds(&self) -> Vec<(&'static str, Vec<&Change>)> {
        KINDS
            .into_iter()
            .map(|(heading, _, is)| {
                (
                    heading,
                    self.changes.iter().filter(|c| is(c)).collect::<Vec<_>>(),
                )
            })
            .filter(|(_, changes)| !changes.is_empty())
            .collect()
    }

    /// `7 differences, 1 check the same`.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{}, {} the same",
            count(self.changes.len() as u64, "difference"),
            count(self.same, "check")
        )
    }

    /// Which of the two runs were ended before their end, in a sentence each.
    pub(crate) fn ended_early(&self) -> Vec<String> {
        [("old", self.unfinished[0]), ("new", self.unfinished[1])]
            .into_iter()
            .filter(|(_, which)| *which)
            .map(|(name, _)| format!("the {name} run was ended before its end"))
            .collect()
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// The output's.
    pub fn write(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        out.write_all(self.text(style).as_bytes())?;
        out.flush()
    }

    fn text(&self, style: Style) -> String {
        let mut text = String::new();
        for line in self.ended_early() {
            let _ = writeln!(text, "{line}");
        }
        let lines = self.implementations.iter().map(|(name, old, new)| {
            let absent = "absent".to_owned();
            format!(
                "{}: {} -> {}",
                name,
                old.as_ref().unwrap_or(&absent),
                new.as_ref().unwrap_or(&absent)
            )
        });
        section(
            &mut text,
            style,
            "implementations",
            Paint::Strong,
            lines.collect(),
        );
        for (heading, paint, is) in KINDS {
            let lines = self.changes.iter().filter(|c| is(c)).map(|c| {
                let side = |s: &Option<State>| s.as_ref().map(State::text);
                let states = match (side(&c.old), side(&c.new)) {
                    (Some(old), Some(new)) => format!("{old} -> {new}"),
                    (Some(only), None) | (None, Some(only)) => only,
                    (None, None) => String::new(),
                };
                format!("{} on {}: {states}", c.id, c.who)
            });
            section(&mut text, style, heading, paint, lines.collect());
        }
        let lines = self
            .observations
            .iter()
            .map(|(id, who)| format!("{id} on {who}"));
        section(
            &mut text,
            style,
            "observed otherwise",
            Paint::Warn,
            lines.collect(),
        );
        let _ = writeln!(text, "{}", self.summary());
        text
    }
}

fn section(text: &mut String, style: Style, heading: &str, paint: Paint, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "{} ({})", style.paint(paint, heading), lines.len());
    for line in lines.iter().take(LISTED) {
        let _ = writeln!(text, "  {}", cut(&clean(line), style.width.max(160)));
    }
    if lines.len() > LISTED {
        let _ = writeln!(text, "  … {} more", lines.len() - LISTED);
    }
}
