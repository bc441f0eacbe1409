//! The differential lane: the same inputs to every implementation, and what they answer held
//! against each other.
//!
//! Inputs are drawn in an order that the seed alone fixes: input `n` is the same whatever came
//! before it. The clock only says how many there are. Half of them are valid messages made up with
//! random optional fields, half are inputs of codec vectors; most are then changed in one to three
//! places and, where a key of ours has signed them, signed again.
//!
//! Two answers differ where one accepts and another refuses, where two accept and show other
//! values for a field that both know, and where an adapter breaks. A difference has a part for each
//! implementation that does not do what the oracle does: the operation, the rule by which the
//! oracle refuses, or the words of the one that refuses what the oracle accepts. A part is known if
//! a vector's own input shows it already: what the text says about that one is in the vector, and
//! `run` judges it. With every other part there is a find, which is made as small as it can be and
//! written as a vector, for somebody to look at.

mod draw;
mod find;
mod make;
mod message;
mod panel;
mod shrink;
mod stream;

pub use find::Find;
pub use panel::{Key, Subject};

use crate::wait::Stop;
use draw::Draw;
use lnconform_adapters::Limits;
use lnconform_vectors::mutate::Codecs;
use message::{MAKERS, Maker};
use panel::{Difference, Panel};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Inputs that are asked at once.
const BATCH: u64 = 128;

/// The operations that are searched, in the order in which they are drawn.
pub fn operations() -> impl Iterator<Item = &'static str> {
    let mut seen = BTreeSet::new();
    MAKERS
        .iter()
        .map(|maker| maker.operation)
        .filter(move |op| seen.insert(*op))
}

/// The input of a codec vector.
#[derive(Clone, Debug)]
pub struct Start {
    /// The vector's id.
    pub id: String,
    /// Its operation.
    pub operation: String,
    /// Its params.
    pub params: Value,
    /// Requirements that it covers.
    pub covers: Vec<String>,
    /// Inputs are made from it; the others only say what is known.
    pub selected: bool,
}

/// One input.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The operation.
    pub operation: String,
    /// Its params.
    pub params: Value,
    /// Where it began: a vector's id, or `made`.
    pub from: String,
    /// What was changed, in order.
    pub changes: Vec<&'static str>,
}

/// What a search is made with.
pub struct Setup<'a> {
    /// Who is asked.
    pub subjects: Vec<Subject>,
    /// The one among them whose rule names a refusal.
    pub oracle: &'a str,
    /// Codec vectors of [`operations`].
    pub corpus: &'a [Start],
    /// Drives every draw.
    pub seed: u64,
    /// How long new inputs are drawn.
    pub time: Duration,
    /// How many inputs at the most.
    pub inputs: Option<u64>,
    /// Limits of the adapters.
    pub limits: Limits,
    /// Folder for the finds; made with the first.
    pub out: &'a Path,
    /// Version of the harness, for the finds.
    pub version: &'a str,
    /// Ends the search.
    pub stop: &'a Stop,
}

/// What happens during a search.
#[derive(Debug)]
pub enum Event<'a> {
    /// The vectors were asked: how many, and the differences that they show.
    Corpus {
        /// Inputs of vectors.
        inputs: usize,
        /// Distinct differences.
        known: usize,
    },
    /// Some inputs were asked.
    Inputs(u64),
    /// A find was written.
    Found(&'a Find),
    /// Something worth a line.
    Note(String),
}

/// What came of a search.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The seed, a decimal string.
    pub seed: String,
    /// Inputs that were drawn and judged; the same seed and this number give the same finds.
    pub inputs: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Who was asked: name and version.
    pub implementations: BTreeMap<String, String>,
    /// Inputs whose difference a vector shows too.
    pub known: u64,
    /// Distinct known differences, each with how often it was seen.
    pub known_keys: BTreeMap<String, u64>,
    /// New differences.
    pub finds: Vec<Find>,
    /// What else is worth a line: who was left out or gave up.
    pub notes: Vec<String>,
    /// Ended by a signal before its time.
    pub interrupted: bool,
}

/// Why there was no search, or none to its end.
#[derive(Debug, thiserror::Error)]
pub enum FuzzError {
    /// Nobody to compare with.
    #[error(
        "no two implementations answer one of these operations; name more with `--adapter`: {0}"
    )]
    Alone(String),
    /// A find could not be written.
    #[error("the find {path} cannot be written: {source}", path = .0.display(), source = .1)]
    Write(PathBuf, std::io::Error),
}

/// Searches until its time is over, or its number of inputs is reached, or it is stopped.
///
/// # Errors
/// [`FuzzError`].
pub fn search(setup: &Setup<'_>, tell: &mut dyn FnMut(Event<'_>)) -> Result<Report, FuzzError> {
    let started = Instant::now();
    let mut panel = Panel::new(&setup.subjects, setup.oracle, &setup.limits, setup.stop);
    let selected: BTreeSet<&str> = setup
        .corpus
        .iter()
        .filter(|start| start.selected)
        .map(|start| start.operation.as_str())
        .collect();
    let makers: Vec<&Maker> = MAKERS
        .iter()
        .filter(|m| selected.contains(m.operation) && panel.speakers(m.operation) > 1)
        .collect();
    if makers.is_empty() {
        let ops: Vec<&str> = selected.into_iter().collect();
        return Err(FuzzError::Alone(ops.join(", ")));
    }
    let mut report = Report {
        seed: setup.seed.to_string(),
        implementations: setup
            .subjects
            .iter()
            .map(|s| (s.name.clone(), s.version.clone()))
            .collect(),
        ..Report::default()
    };
    let known = corpus(setup, &mut panel, &mut report, tell);
    let source = Source::new(setup, &makers);
    let deadline = started + setup.time;
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    'search: while !setup.stop.is_set() && Instant::now() < deadline {
        let left = setup.inputs.map_or(BATCH, |n| n - report.inputs);
        let numbers = report.inputs..report.inputs + left.min(BATCH);
        if numbers.is_empty() {
            break;
        }
        let inputs: Vec<Input> = numbers.map(|number| source.input(number)).collect();
        let answers = panel.ask(&inputs);
        for (input, said) in inputs.iter().zip(&answers) {
            // What a stop cut off is no answer; and the clock counts between two inputs, since
            // one that is new takes its time.
            if setup.stop.is_set() || Instant::now() >= deadline {
                break 'search;
            }
            let number = report.inputs;
            report.inputs += 1;
            let Some(difference) = panel.difference(&input.operation, said) else {
                continue;
            };
            let (old, new): (Vec<&String>, Vec<&String>) = difference
                .parts
                .iter()
                .filter(|part| !known.contains(*part))
                .partition(|part| found.contains_key(*part));
            if old.is_empty() && new.is_empty() {
                report.known += 1;
                *report
                    .known_keys
                    .entry(difference.key.to_string())
                    .or_default() += 1;
            }
            let places: BTreeSet<usize> = old.iter().map(|part| found[*part]).collect();
            for place in places {
                report.finds[place].seen += 1;
            }
            for part in new {
                // The find for one part may have brought the next.
                if found.contains_key(part) {
                    continue;
                }
                let codecs = &source.codecs;
                let small = shrink::smallest(&mut panel, codecs, input, &difference, part);
                if setup.stop.is_set() {
                    // It was not made as small as it would be with the same seed: not this find.
                    report.inputs -= 1;
                    break 'search;
                }
                let covers = source.covers(&small.0.operation);
                let find = find::write(setup, number, &small.0, &small.1, &covers)?;
                tell(Event::Found(&find));
                for part in &small.1.parts {
                    found.entry(part.clone()).or_insert(report.finds.len());
                }
                report.finds.push(find);
            }
        }
        for note in panel.notes() {
            tell(Event::Note(note.clone()));
            report.notes.push(note);
        }
        tell(Event::Inputs(report.inputs));
    }
    report.interrupted = setup.stop.is_set();
    report.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    panel.shutdown();
    Ok(report)
}

/// Asks the vectors' own inputs: which fields each implementation knows, and what is known.
fn corpus(
    setup: &Setup<'_>,
    panel: &mut Panel<'_>,
    report: &mut Report,
    tell: &mut dyn FnMut(Event<'_>),
) -> BTreeSet<String> {
    let inputs: Vec<Input> = setup
        .corpus
        .iter()
        .map(|start| Input {
            operation: start.operation.clone(),
            params: start.params.clone(),
            from: start.id.clone(),
            changes: Vec::new(),
        })
        .collect();
    let answers = panel.ask(&inputs);
    for (input, said) in inputs.iter().zip(&answers) {
        panel.learn(&input.operation, said);
    }
    let known: BTreeSet<String> = inputs
        .iter()
        .zip(&answers)
        .filter_map(|(input, said)| panel.difference(&input.operation, said))
        .flat_map(|Difference { parts, .. }| parts)
        .collect();
    report.notes.extend(panel.notes());
    for note in &report.notes {
        tell(Event::Note(note.clone()));
    }
    tell(Event::Corpus {
        inputs: inputs.len(),
        known: known.len(),
    });
    known
}

/// Where inputs come from.
struct Source<'a> {
    seed: u64,
    makers: &'a [&'a Maker],
    /// Vectors to begin with, by operation.
    starts: BTreeMap<&'a str, Vec<&'a Start>>,
    corpus: &'a [Start],
    codecs: Codecs,
}

impl<'a> Source<'a> {
    fn new(setup: &'a Setup<'_>, makers: &'a [&'a Maker]) -> Self {
        let mut starts: BTreeMap<&str, Vec<&Start>> = BTreeMap::new();
        for start in setup.corpus.iter().filter(|start| start.selected) {
            starts.entry(&start.operation).or_default().push(start);
        }
        Self {
            seed: setup.seed,
            makers,
            starts,
            corpus: setup.corpus,
            codecs: Codecs::standard(),
        }
    }

    /// Input `number`.
    fn input(&self, number: u64) -> Input {
        let mut draw = Draw::new(self.seed, number);
        let maker = *draw.pick(self.makers);
        let starts = self.starts.get(maker.operation).filter(|_| draw.one_in(2));
        let (params, from) = match starts {
            Some(starts) => {
                let start = draw.pick(starts);
                (start.params.clone(), start.id.clone())
            }
            None => (maker.make(&mut draw), "made".to_owned()),
        };
        let mut input = Input {
            operation: maker.operation.to_owned(),
            params,
            from,
            changes: Vec::new(),
        };
        message::change(&mut draw, &self.codecs, &mut input);
        input
    }

    /// Requirements for a find that no rule names: those of the first vector of its operation.
    fn covers(&self, operation: &str) -> Vec<String> {
        let mut starts = self.corpus.iter().filter(|s| s.operation == operation);
        starts
            .find(|s| !s.covers.is_empty())
            .map(|s| s.covers.clone())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
