//! What the views have in common: a run's records, counted and kept within bounds, so that
//! memory stays flat however many checks there are.

use crate::matrix::Matrix;
use crate::sections::Sections;
use lnconform_engine::record::{Check, Outcome, Record, Run, SnapshotState, Summary};
use lnconform_engine::results::{Counters, Sink};
use std::collections::{BTreeMap, BTreeSet};

/// Unexpected checks that are kept whole.
pub(crate) const KEPT: usize = 1000;
/// Warnings and disagreements that are kept.
const LISTED: usize = 200;

/// Reasons for checks that could not run that are kept.
const REASONS: usize = 20;

/// Checks of one implementation, or of one choice of roles, each in exactly one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub passed: u64,
    pub unexpected: u64,
    /// Failures that the ledger expects, or of a MAY.
    pub known: u64,
    /// Failures of a SHOULD.
    pub warned: u64,
    pub unsupported: u64,
    pub not_applicable: u64,
    pub could_not_run: u64,
}

/// The headings of a [`Row`].
pub(crate) const COLUMNS: [&str; 7] = [
    "passed",
    "unexpected",
    "known",
    "warned",
    "unsupported",
    "n/a",
    "not run",
];

/// A sign for each column, so that colour is never the only one.
pub(crate) const SIGNS: [&str; 7] = ["✓", "✗", "◆", "▲", "○", "–", "□"];

/// A name for each column in style sheets.
pub(crate) const CLASSES: [&str; 7] = [
    "passed",
    "unexpected",
    "known",
    "warned",
    "unsupported",
    "not-applicable",
    "not-run",
];

/// The columns in the order in which a reader has to know of them.
pub(crate) const SEVERITY: [usize; 7] = [1, 2, 3, 0, 4, 6, 5];

/// The column of a check, from 0.
pub(crate) fn column(check: &Check) -> usize {
    match check.outcome {
        _ if !check.expected => 1,
        Outcome::Passed => 0,
        Outcome::Failed if check.warning => 3,
        Outcome::Failed => 2,
        Outcome::Unsupported => 4,
        Outcome::NotApplicable => 5,
        Outcome::CouldNotRun => 6,
    }
}

/// Some checks of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub class: &'static str,
    pub sign: &'static str,
    pub word: &'static str,
    pub count: u64,
}

impl Mark {
    /// Of a column, from 0.
    pub(crate) fn new(column: usize, count: u64) -> Self {
        Self {
            class: CLASSES[column],
            sign: SIGNS[column],
            word: COLUMNS[column],
            count,
        }
    }
}

impl Row {
    pub(crate) fn cells(&self) -> [u64; 7] {
        [
            self.passed,
            self.unexpected,
            self.known,
            self.warned,
            self.unsupported,
            self.not_applicable,
            self.could_not_run,
        ]
    }

    pub(crate) fn add(&mut self, check: &Check) {
        let cell = match column(check) {
            0 => &mut self.passed,
            1 => &mut self.unexpected,
            2 => &mut self.known,
            3 => &mut self.warned,
            4 => &mut self.unsupported,
            5 => &mut self.not_applicable,
            _ => &mut self.could_not_run,
        };
        *cell += 1;
    }

    /// What is in it, without the columns that hold nothing; what a reader has to know first comes
    /// first.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let cells = self.cells();
        SEVERITY
            .into_iter()
            .filter(|c| cells[*c] > 0)
            .map(|c| Mark::new(c, cells[c]))
            .collect()
    }

    pub(crate) fn merge(&mut self, other: &Row) {
        self.passed += other.passed;
        self.unexpected += other.unexpected;
        self.known += other.known;
        self.warned += other.warned;
        self.unsupported += other.unsupported;
        self.not_applicable += other.not_applicable;
        self.could_not_run += other.could_not_run;
    }
}

/// Observations by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshots {
    pub same: u64,
    pub new: u64,
    pub changed: u64,
    pub drift: u64,
}

/// A run in numbers and short lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digest {
    pub header: Option<Run>,
    pub rows: BTreeMap<String, Row>,
    /// The names of those rows that are choices of roles.
    pub choices: BTreeSet<String>,
    pub matrix: Matrix,
    pub sections: Sections,
    pub counters: Counters,
    /// At most [`KEPT`].
    pub unexpected: Vec<Check>,
    /// Id, who, requirement, message; at most [`LISTED`].
    pub warnings: Vec<Warning>,
    /// One line each; at most [`LISTED`].
    pub disagreements: Vec<String>,
    pub disagreed: u64,
    /// Checks of simulations that passed or failed.
    pub simulations: u64,
    pub snapshots: Snapshots,
    /// Why checks could not run that nobody asked for by name, with how many of them; at most
    /// [`REASONS`].
    pub not_run: Vec<(String, u64)>,
    /// Milliseconds by phase, in the order in which they were met.
    pub phases: Vec<(String, u64)>,
    pub summary: Option<Summary>,
}

/// A SHOULD that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    pub id: String,
    pub who: String,
    pub requirement: Option<String>,
    pub message: String,
    pub source: Option<String>,
}

impl Digest {
    /// Versions of the implementations, by name; empty where none is known.
    pub(crate) fn versions(&self) -> BTreeMap<&str, &str> {
        let all = self.header.iter().flat_map(|h| &h.implementations);
        all.map(|i| (i.name.as_str(), i.version.as_str())).collect()
    }

    /// Implementations that are not installed, with the reason, which holds the command that
    /// installs them.
    pub(crate) fn absent(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header
            .iter()
            .flat_map(|h| &h.implementations)
            .filter(|i| !i.available)
            .map(|i| {
                (
                    i.name.as_str(),
                    i.reason
                        .as_deref()
                        .unwrap_or("nobody said why it cannot run"),
                )
            })
    }

    /// Implementations whose adapter we never ran against the real thing, each with the mark that
    /// says so: a result of theirs is never shown without it.
    pub(crate) fn untested(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.header.iter().flat_map(|h| &h.implementations);
        all.filter(|i| i.available)
            .filter_map(|i| Some((i.name.as_str(), i.untested.as_deref()?)))
    }

    /// What is missing, in a line each, with what to type: implementations that are not installed,
    /// and other reasons (no bitcoind) why checks could not run.
    pub(crate) fn missing(&self) -> impl Iterator<Item = String> {
        let absent = self
            .absent()
            // Most reasons begin with the name already.
            .map(|(name, reason)| match reason.starts_with(name) {
                true => reason.to_string(),
                false => format!("{name}: {reason}"),
            });
        // The checks of what is absent have its reason, which is told already.
        let told = |why: &str| self.absent().any(|(_, reason)| reason == why);
        let others = self
            .not_run
            .iter()
            .filter(move |(why, _)| !told(why))
            .map(|(why, n)| format!("{why} ({} could not run)", crate::text::count(*n, "check")));
        absent.chain(others)
    }

    /// What is stale, and what is flaky, of the notes of the summary.
    pub(crate) fn notes(&self) -> (Vec<&str>, Vec<&str>) {
        let notes = self
            .summary
            .iter()
            .flat_map(|s| &s.notes)
            .map(String::as_str);
        notes.partition(|n| !n.starts_with("flaky:"))
    }

    fn could_not_run(&mut self, why: &str) {
        if let Some((_, n)) = self.not_run.iter_mut().find(|(known, _)| known == why) {
            *n += 1;
        } else if self.not_run.len() < REASONS {
            self.not_run.push((why.to_owned(), 1));
        }
    }

    /// Why the run ended as it did, in a sentence.
    pub(crate) fn verdict(&self) -> String {
        let Some(summary) = &self.summary else {
            return "the run was ended before its end; this is what it had measured".into();
        };
        let c = &self.counters;
        let why = match summary.exit_code {
            0 => "all as expected".to_owned(),
            1 => crate::text::count(c.unexpected_results, "unexpected result"),
            2 => "usage".to_owned(),
            3 => format!(
                "{} of stale, changed or missing expectations and snapshots",
                crate::text::count(summary.stale, "case")
            ),
            4 => "nothing passed or failed".to_owned(),
            5 if c.missing == 0 => "something beside the checks failed on this machine".to_owned(),
            5 => "something that was asked for by name could not run".to_owned(),
            6 => "a fault of the harness; please report it with the result file".to_owned(),
            130 => "stopped by the user".to_owned(),
            _ => "unknown to this version".to_owned(),
        };
        format!("exit code {}: {why}", summary.exit_code)
    }
}

impl Sink for Digest {
    fn record(&mut self, record: &Record) {
        match record {
            Record::Run(run) => self.header = Some(run.clone()),
            Record::Check(check) => {
                self.counters.check(check);
                self.matrix.add(check);
                self.sections.add(check);
                let mut who = check.who();
                if who.is_empty() {
                    // A file that could not be read as what its name says.
                    who.push_str("(nobody)");
                }
                if check.roles.is_some() && !self.choices.contains(&who) {
                    self.choices.insert(who.clone());
                }
                self.rows.entry(who).or_default().add(check);
                if check.outcome == Outcome::CouldNotRun && check.expected {
                    self.could_not_run(check.message.as_deref().unwrap_or("nobody said why"));
                }
                if check.simulation && matches!(check.outcome, Outcome::Passed | Outcome::Failed) {
                    self.simulations += 1;
                }
                if !check.expected && self.unexpected.len() < KEPT {
                    self.unexpected.push((**check).clone());
                }
                if check.warning && check.expected && self.warnings.len() < LISTED {
                    self.warnings.push(Warning {
                        id: check.id.clone(),
                        who: check.who(),
                        requirement: check.requirements.first().cloned(),
                        message: check.message.clone().unwrap_or_default(),
                        source: check.source.clone(),
                    });
                }
            }
            Record::Observation(observation) => {
                let s = &mut self.snapshots;
                *match observation.snapshot {
                    SnapshotState::Same => &mut s.same,
                    SnapshotState::New => &mut s.new,
                    SnapshotState::Changed => &mut s.changed,
                    SnapshotState::Drift => &mut s.drift,
                } += 1;
            }
            Record::Disagreement(disagreement) => {
                self.disagreed += 1;
                if self.disagreements.len() < LISTED {
                    let groups = disagreement
                        .groups
                        .iter()
                        .map(|g| format!("{}: {}", g.implementations.join(", "), g.value));
                    let groups = groups.collect::<Vec<_>>().join(" | ");
                    self.disagreements
                        .push(format!("{}: {groups}", disagreement.id));
                }
            }
            Record::Phase(phase) => {
                match self.phases.iter_mut().find(|(name, _)| *name == phase.name) {
                    Some((_, ms)) => *ms += phase.duration_ms,
                    None => self.phases.push((phase.name.clone(), phase.duration_ms)),
                }
            }
            Record::Node(_) | Record::Dialect(_) => {}
            Record::Summary(summary) => self.summary = Some(summary.clone()),
        }
    }
}
