//! The terminal view: what is unexpected in full, the rest counted.

mod ending;
mod unexpected;

pub(crate) use ending::rows;
pub use unexpected::failure;

use crate::digest::Digest;
use crate::progress::Progress;
use crate::style::Style;
use crate::text::{clean, cut};
use ending::ending;
use lnconform_engine::record::{Check, Observation, Outcome, Record, Run, SnapshotState};
use lnconform_engine::results::{ReadEnd, ResultsError, Sink, visit};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Unexpected results that are shown in full; those that follow get a line each.
const FULL: u64 = 25;
/// Unexpected results that get at least a line.
const LINES: u64 = 200;
/// Reasons why checks could not run that are told only once each.
const REASONS: usize = 50;

/// A requirement, as it is shown with a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// `MUST`, `SHOULD NOT`, …
    pub keyword: String,
    /// Document and section.
    pub section: String,
    /// The statement in our words.
    pub paraphrase: String,
}

/// Looks a requirement up by its id.
pub type Requirements<'a> = Box<dyn Fn(&str) -> Option<Requirement> + Send + 'a>;

/// Shows a run while it goes, and its end.
pub struct View<'a, W: Write> {
    out: W,
    style: Style,
    requirements: Requirements<'a>,
    progress: Progress,
    results: Option<PathBuf>,
    digest: Digest,
    shown: u64,
    /// By who and why: how many checks more could not run than the one that was shown.
    idle: BTreeMap<(String, String), u64>,
    /// The first fault of `out`; nothing is written after it.
    fault: Option<io::Error>,
}

impl<'a, W: Write> View<'a, W> {
    /// A view on `out`.
    pub fn new(out: W, style: Style, requirements: Requirements<'a>) -> Self {
        Self {
            out,
            style,
            requirements,
            progress: Progress::hidden(),
            results: None,
            digest: Digest::default(),
            shown: 0,
            idle: BTreeMap::new(),
            fault: None,
        }
    }

    /// Shows progress beside it.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Names the result file at the end.
    #[must_use]
    pub fn with_results(mut self, path: &Path) -> Self {
        self.results = Some(path.into());
        self
    }

    /// Writes the end: warnings, counts, times, what is not installed, what is stale, and why
    /// the exit code is what it is. Called once, after the last record.
    ///
    /// # Errors
    /// The first fault of the output.
    pub fn finish(&mut self) -> io::Result<()> {
        self.progress.end();
        let more = self.idle.iter().filter(|(_, more)| **more > 0);
        let more: String = more
            .map(|((who, why), more)| unexpected::more_of(who, why, *more, self.style))
            .collect();
        self.print(&more);
        let text = ending(&self.digest, self.style, self.results.as_deref());
        self.print(&text);
        match self.fault.take() {
            Some(fault) => Err(fault),
            None => self.out.flush(),
        }
    }

    fn print(&mut self, text: &str) {
        if self.fault.is_some() || text.is_empty() {
            return;
        }
        let out = &mut self.out;
        let done = self
            .progress
            .aside(|| out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        // Whoever closed the pipe has seen enough.
        self.fault = done.err().filter(|e| e.kind() != io::ErrorKind::BrokenPipe);
    }

    fn check(&mut self, check: &Check) {
        if check.expected || self.is_told(check) {
            return;
        }
        self.shown += 1;
        if self.shown <= FULL {
            let text = failure(check, self.style, &self.requirements);
            self.print(&text);
        } else if self.shown <= LINES {
            let text = format!("{}\n", unexpected::headline(check, self.style));
            self.print(&text);
        } else if self.shown == LINES + 1 {
            self.print("… more unexpected results, in the result file\n");
        }
    }

    /// Whether a check could not run for a reason that was shown already: of an adapter that does not
    /// start, one is enough.
    fn is_told(&mut self, check: &Check) -> bool {
        let (Outcome::CouldNotRun, Some(why)) = (check.outcome, &check.message) else {
            return false;
        };
        let full = self.idle.len() >= REASONS;
        match self.idle.entry((check.who(), why.clone())) {
            Entry::Occupied(mut more) => {
                *more.get_mut() += 1;
                true
            }
            Entry::Vacant(free) if !full => {
                free.insert(0);
                false
            }
            Entry::Vacant(_) => false,
        }
    }

    fn observation(&mut self, observation: &Observation) {
        if !matches!(
            observation.snapshot,
            SnapshotState::Changed | SnapshotState::Drift
        ) {
            return;
        }
        self.shown += 1;
        if self.shown <= FULL {
            let store = self.digest.header.as_ref().and_then(unexpected::store);
            let text = unexpected::snapshot(observation, store, self.style);
            self.print(&text);
        }
    }
}

impl<W: Write> Sink for View<'_, W> {
    fn record(&mut self, record: &Record) {
        match record {
            Record::Run(run) => {
                let text = beginning(run, self.style);
                self.print(&text);
            }
            Record::Check(check) => {
                self.progress.step(!check.expected);
                self.check(check);
            }
            Record::Observation(observation) => self.observation(observation),
            _ => {}
        }
        self.digest.record(record);
    }

    fn tick(&mut self) {
        self.progress.tick();
    }
}

/// What stands at the beginning of a run: which it is, and who takes part.
fn beginning(run: &Run, style: Style) -> String {
    let mut text = format!(
        "lnconform {}, run {}, seed {}\n",
        clean(&run.harness),
        clean(&run.run),
        clean(&run.seed)
    );
    let here = || run.implementations.iter().filter(|i| i.available);
    let names: Vec<String> = here()
        .map(|i| format!("{} {}", i.name, i.version).trim().to_owned())
        .collect();
    let with = (!names.is_empty()).then(|| format!("with {}", names.join(", ")));
    let untested = here().filter_map(|i| Some(format!("{}: {}", i.name, i.untested.as_ref()?)));
    for line in with.into_iter().chain(untested) {
        let _ = writeln!(text, "{}", cut(&clean(&line), style.width));
    }
    text
}

/// Shows a result file as the run that wrote it did.
///
/// # Errors
/// [`ReportError`].
pub fn show<W: Write>(
    path: &Path,
    out: W,
    style: Style,
    requirements: Requirements<'_>,
) -> Result<ReadEnd, ReportError> {
    let mut view = View::new(out, style, requirements).with_results(path);
    let mut dialects = Vec::new();
    let end = visit(path, |record| {
        view.record(&record);
        if let Record::Dialect(dialect) = record {
            dialects.push(dialect);
        }
    })?;
    view.print(&crate::numbers::tables(&dialects, style));
    if end.cut {
        view.print("the last line of the result file is cut in the middle and does not count\n");
    }
    view.finish()?;
    Ok(end)
}

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The result file.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// Where the report goes.
    #[error("the report cannot be written: {0}; give another place with `--output PATH`")]
    Output(#[from] io::Error),
    /// A report of one implementation that the result file does not have.
    #[error("no check of the result file ran on `{name}`; there is {there}")]
    Nobody {
        /// Who was asked for.
        name: String,
        /// Who is there, joined by commas.
        there: String,
    },
}
