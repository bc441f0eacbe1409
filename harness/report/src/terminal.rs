//! The terminal view: what is unexpected in full, the rest counted.

use crate::difference::{self, Lines, Mark};
use crate::digest::{COLUMNS, Digest, Row};
use crate::progress::Progress;
use crate::style::{Paint, Style};
use crate::text::{clean, clean_lines, count, cut, duration, wrap};
use lnconform_engine::record::{
    Blame, Check, Keyword, Observation, Outcome, Record, Run, SnapshotState,
};
use lnconform_engine::results::{ReadEnd, ResultsError, Sink, visit};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Unexpected results that are shown in full; those that follow get a line each.
const FULL: u64 = 25;
/// Lines that a list has at most.
const LISTED: usize = 20;
/// Unexpected results that get at least a line.
const LINES: u64 = 200;
/// Rows of the table of counts.
const ROWS: usize = 30;
/// Lines of a message.
const WHY: usize = 4;
/// Lines of a difference.
const DIFFERENCE: usize = 11;
/// Lines of a log.
const LOG: usize = 10;

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
        if check.expected {
            return;
        }
        self.shown += 1;
        if self.shown <= FULL {
            let text = failure(check, self.style, &self.requirements);
            self.print(&text);
        } else if self.shown <= LINES {
            let text = format!("{}\n", headline(check, self.style));
            self.print(&text);
        } else if self.shown == LINES + 1 {
            self.print("… more unexpected results, in the result file\n");
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
            let store = self.digest.header.as_ref().and_then(store);
            let text = snapshot(observation, store, self.style);
            self.print(&text);
        }
    }
}

impl<W: Write> Sink for View<'_, W> {
    fn record(&mut self, record: &Record) {
        match record {
            Record::Run(run) => {
                let mut text = format!(
                    "lnconform {}, run {}, seed {}\n",
                    clean(&run.harness),
                    clean(&run.run),
                    clean(&run.seed)
                );
                let here = run.implementations.iter().filter(|i| i.available);
                let here: Vec<String> = here
                    .map(|i| format!("{} {}", i.name, i.version).trim().to_owned())
                    .collect();
                let untested = run.implementations.iter().filter(|i| i.available);
                let untested = untested.filter_map(|i| Some((&i.name, i.untested.as_ref()?)));
                if !here.is_empty() {
                    let line = format!("with {}", here.join(", "));
                    let _ = writeln!(text, "{}", cut(&clean(&line), self.style.width));
                }
                for (name, mark) in untested {
                    let line = format!("{name}: {mark}");
                    let _ = writeln!(text, "{}", cut(&clean(&line), self.style.width));
                }
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

/// The first line of an unexpected result.
fn headline(check: &Check, style: Style) -> String {
    let (what, paint) = match check.outcome {
        Outcome::Passed => ("UNEXPECTED PASS", Paint::Warn),
        Outcome::CouldNotRun => ("COULD NOT RUN", Paint::Bad),
        Outcome::Failed => ("FAILED", Paint::Bad),
        Outcome::Unsupported => ("UNSUPPORTED", Paint::Bad),
        Outcome::NotApplicable => ("NOT APPLICABLE", Paint::Bad),
    };
    let mut name = format!("{} on {}", clean(&check.id), clean(&check.who()));
    if check.attempt > 1 {
        let _ = write!(name, ", attempt {}", check.attempt);
    }
    if check.flaky {
        name.push_str(", flaky");
    }
    if check.simulation {
        name.push_str(", simulation");
    }
    let name = cut(&name, style.width.saturating_sub(what.len() + 2).max(20)).into_owned();
    format!(
        "{}  {}",
        style.paint(paint, what),
        style.paint(Paint::Strong, &name)
    )
}

/// Lines with a label before them. Text from outside never begins a line, where a log reader
/// might take it for a command.
struct Block {
    text: String,
    style: Style,
}

impl Block {
    const LABEL: usize = 10;

    fn width(&self) -> usize {
        self.style.width.saturating_sub(Self::LABEL).max(20)
    }

    /// One safe line; cut if `whole` is not asked for.
    fn line(&mut self, label: &str, text: &str, whole: bool) {
        let text = clean(text);
        let text = if whole {
            text
        } else {
            cut(&text, self.width()).into_owned().into()
        };
        let label = self.style.paint(Paint::Faint, &format!("  {label:<7}"));
        let _ = writeln!(self.text, "{label} {text}");
    }

    fn wrapped(&mut self, label: &str, text: &str, most: usize) {
        let lines = wrap(&clean(text), self.width(), most);
        self.lines(label, lines.into_iter().map(std::borrow::Cow::Owned));
    }

    fn lines<'t>(&mut self, label: &str, lines: impl Iterator<Item = std::borrow::Cow<'t, str>>) {
        for (i, line) in lines.enumerate() {
            self.line(if i == 0 { label } else { "" }, &line, false);
        }
    }

    fn difference(&mut self, lines: &Lines) {
        for (mark, line) in lines {
            let line = format!("{} {line}", mark.sign());
            let line = match mark {
                Mark::Want => self.style.paint(Paint::Bad, &line),
                Mark::Got => self.style.paint(Paint::Good, &line),
                Mark::Both | Mark::Gap => line,
            };
            let _ = writeln!(self.text, "          {line}");
        }
    }
}

/// One unexpected result in full; at most 40 lines.
pub fn failure(
    check: &Check,
    style: Style,
    requirements: &dyn Fn(&str) -> Option<Requirement>,
) -> String {
    let mut b = Block {
        text: format!("{}\n", headline(check, style)),
        style,
    };
    for (i, id) in check.requirements.iter().take(2).enumerate() {
        match requirements(id) {
            Some(r) => {
                b.line(
                    "rule",
                    &format!("{} {id} ({})", r.keyword, r.section),
                    false,
                );
                b.wrapped("", &r.paraphrase, 2 - i);
            }
            None => {
                let keyword = check.keyword.map_or("", |k| match k {
                    Keyword::Must => "MUST ",
                    Keyword::Should => "SHOULD ",
                    Keyword::May => "MAY ",
                });
                b.line("rule", &format!("{keyword}{id}"), false);
            }
        }
    }
    if check.requirements.len() > 2 {
        b.line(
            "",
            &format!("and {} more", check.requirements.len() - 2),
            false,
        );
    }
    let message = check.message.as_deref().unwrap_or_default();
    // One sentence may need some lines; of many lines, the first say most.
    match message.trim_end().split_once('\n') {
        None if message.is_empty() => {}
        None => b.wrapped("why", message.trim_end(), WHY),
        Some(_) => b.lines("why", clean_lines(message).take(WHY)),
    }
    let width = b.width() - 2;
    let lines = match (&check.want, &check.got) {
        (Some(want), Some(got)) => {
            b.line("", "- wanted, + answered", false);
            difference::of_values(want, got, width, DIFFERENCE)
        }
        (Some(want), None) => {
            b.line("", "- wanted", false);
            difference::of_value(Mark::Want, want, width, DIFFERENCE)
        }
        (None, Some(got)) => {
            b.line("", "+ answered", false);
            difference::of_value(Mark::Got, got, width, DIFFERENCE)
        }
        (None, None) => Vec::new(),
    };
    b.difference(&lines);
    if let Some(blame) = check.blame {
        let blame = match blame {
            Blame::Implementation => "implementation",
            Blame::Harness => "harness",
            Blame::Environment => "environment",
        };
        b.line("blame", blame, false);
    }
    let entry = check.expectation.as_ref().map(|e| format!("ledger {e}"));
    let source: Vec<String> = check.source.iter().cloned().chain(entry).collect();
    if !source.is_empty() {
        b.line("in", &source.join(", "), false);
    }
    if let Some(log) = &check.log_tail {
        let lines: Vec<_> = clean_lines(log).collect();
        let tail = lines.len().saturating_sub(LOG);
        b.lines("log", lines.into_iter().skip(tail));
    }
    for path in check.evidence.iter().take(2) {
        b.line("seen", path, true);
    }
    if check.evidence.len() > 2 {
        b.line(
            "",
            &format!("and {} more files", check.evidence.len() - 2),
            false,
        );
    }
    if let Some(rerun) = &check.rerun {
        // Whole, since it is to be copied.
        b.line("again", rerun, true);
    }
    b.text.push('\n');
    b.text
}

/// The store of snapshots that the command of a run named: what accepts a change has to name it too.
fn store(run: &Run) -> Option<&str> {
    let mut words = run.command.iter().map(String::as_str);
    words
        .find_map(|word| match word.strip_prefix("--snapshots")? {
            "" => Some(None),
            joined => joined.strip_prefix('=').map(Some),
        })
        .and_then(|joined| joined.or_else(|| words.next()))
}

/// One observation that differs from its snapshot, in the store that the run named.
fn snapshot(observation: &Observation, store: Option<&str>, style: Style) -> String {
    let who = match (&observation.implementation, &observation.roles) {
        (Some(name), _) => name.clone(),
        (None, Some(roles)) => lnconform_engine::record::roles_text(roles),
        (None, None) => String::new(),
    };
    let changed = observation.snapshot == SnapshotState::Changed;
    let (what, paint) = if changed {
        ("CHANGED", Paint::Bad)
    } else {
        ("DRIFT", Paint::Warn)
    };
    let name = format!("{} on {}", clean(&observation.id), clean(&who));
    let name = style.paint(Paint::Strong, &cut(&name, style.width.saturating_sub(9)));
    let mut b = Block {
        text: format!("{}  {name}\n", style.paint(paint, what)),
        style,
    };
    match &observation.diff {
        Some(diff) => {
            let lines = difference::of_unified(diff, b.width() - 2, 2 * DIFFERENCE);
            b.difference(&lines);
        }
        None => b.line("", "differs from its snapshot", false),
    }
    if !changed {
        b.line(
            "",
            "seen under another version, so it does not fail the run",
            false,
        );
    }
    let store = store.map(|dir| format!(" --snapshots '{}'", dir.replace('\'', "'\\''")));
    let accept = format!(
        "lnconform bless '{}'{}",
        observation.id,
        store.unwrap_or_default()
    );
    b.line("accept", &accept, true);
    b.text.push('\n');
    b.text
}

/// What stands at the end of a run.
fn ending(digest: &Digest, style: Style, results: Option<&Path>) -> String {
    let mut text = String::new();
    warnings(&mut text, digest, style);
    list(
        &mut text,
        style,
        "disagreements, where the text leaves it open",
        digest.disagreements.iter().map(String::as_str),
        digest.disagreed,
    );
    let people = digest.sections.roles();
    text.push_str(&digest.matrix.text(style, people, results));
    table(&mut text, digest, style);
    for (name, mark) in digest.untested() {
        let _ = writeln!(
            text,
            "{}",
            cut(&clean(&format!("{name}: {mark}")), style.width)
        );
    }
    if digest.simulations > 0 {
        let line = match digest.simulations {
            1 => "1 of these is a simulation".to_owned(),
            n => format!("{n} of these are simulations"),
        };
        let _ = writeln!(text, "{line}");
    }
    let s = digest.snapshots;
    if s != crate::digest::Snapshots::default() {
        let parts = [
            (s.same, "same"),
            (s.new, "new"),
            (s.changed, "changed"),
            (s.drift, "drift"),
        ];
        let parts = parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}"));
        let _ = writeln!(text, "snapshots  {}", parts.collect::<Vec<_>>().join(", "));
    }
    if !digest.phases.is_empty() {
        let parts = digest
            .phases
            .iter()
            .map(|(name, ms)| format!("{} {}", clean(name), duration(*ms)));
        let line = format!("time       {}", parts.collect::<Vec<_>>().join(", "));
        let _ = writeln!(text, "{}", cut(&line, style.width.max(140)));
    }
    for missing in digest.missing() {
        // Whole, since it holds the command to type.
        let _ = writeln!(text, "missing    {}", clean(&missing));
    }
    let (stale, flaky) = digest.notes();
    for (heading, notes) in [("stale, changed or missing", stale), ("flaky", flaky)] {
        list(
            &mut text,
            style,
            heading,
            notes.iter().copied(),
            notes.len() as u64,
        );
    }
    let good = digest.summary.as_ref().is_some_and(|s| s.exit_code == 0);
    let verdict = style.paint(
        if good { Paint::Good } else { Paint::Bad },
        &digest.verdict(),
    );
    let took = digest
        .summary
        .as_ref()
        .map(|s| format!(" in {}", duration(s.duration_ms)));
    let checks = count(digest.counters.total(), "check");
    let _ = writeln!(text, "{checks}{}; {verdict}", took.unwrap_or_default());
    if let Some(path) = results {
        let _ = writeln!(text, "results    {}", clean(&path.display().to_string()));
    }
    text
}

fn warnings(text: &mut String, digest: &Digest, style: Style) {
    let lines: Vec<String> = digest
        .warnings
        .iter()
        .map(|w| {
            let first = w.message.lines().next().unwrap_or_default();
            let requirement = w.requirement.as_deref().unwrap_or_default();
            format!("{} on {}: {requirement}: {first}", w.id, w.who)
        })
        .collect();
    let all = digest.counters.warnings;
    list(
        text,
        style,
        "warnings, a SHOULD failed",
        lines.iter().map(String::as_str),
        all,
    );
}

/// A headed list of at most [`LISTED`] lines, with how many there are in all.
fn list<'t>(
    text: &mut String,
    style: Style,
    heading: &str,
    lines: impl Iterator<Item = &'t str>,
    all: u64,
) {
    let lines: Vec<&str> = lines.take(LISTED).collect();
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "{} ({all})", style.paint(Paint::Warn, heading));
    for line in &lines {
        let _ = writeln!(text, "  {}", cut(&clean(line), style.width.max(160)));
    }
    if all > lines.len() as u64 {
        let _ = writeln!(
            text,
            "  … {} more, in the result file",
            all - lines.len() as u64
        );
    }
}

/// The rows of the table of counts. Where there are too many, choices of roles with nothing unexpected
/// are one row; then whoever has something unexpected is kept first, the rest by name, and what
/// does not fit is one row.
pub(crate) fn rows(digest: &Digest) -> Vec<(String, Row)> {
    let named: Vec<(String, Row)> = digest.rows.iter().map(|(n, r)| (n.clone(), *r)).collect();
    if named.len() <= ROWS {
        return named;
    }
    let folded = |name: &String, row: &Row| digest.choices.contains(name) && row.unexpected == 0;
    let (choices, mut named): (Vec<_>, Vec<_>) = named.into_iter().partition(|(n, r)| folded(n, r));
    let sum = |rows: &[(String, Row)]| {
        let mut sum = Row::default();
        rows.iter().for_each(|(_, r)| sum.merge(r));
        sum
    };
    if named.len() + 1 > ROWS {
        named.sort_by_key(|(_, r)| r.unexpected == 0);
        let rest = named.split_off(ROWS - 1 - usize::from(!choices.is_empty()));
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.push((format!("{} others", rest.len()), sum(&rest)));
    }
    match choices.as_slice() {
        [] => {}
        [only] => named.push(only.clone()),
        many => named.push((format!("{} choices of roles", many.len()), sum(many))),
    }
    named
}

fn table(text: &mut String, digest: &Digest, style: Style) {
    let mut rows = rows(digest);
    if rows.is_empty() {
        return;
    }
    if rows.len() > 1 {
        let mut all = Row::default();
        rows.iter().for_each(|(_, r)| all.merge(r));
        rows.push(("all".into(), all));
    }
    // A column that is empty throughout says nothing, except for the first two.
    let used: Vec<usize> = (0..COLUMNS.len())
        .filter(|c| *c < 2 || rows.iter().any(|(_, r)| r.cells()[*c] > 0))
        .collect();
    let numbers: usize = used.iter().map(|c| COLUMNS[*c].len().max(6) + 2).sum();
    let names: Vec<String> = rows
        .iter()
        .map(|(n, _)| cut(&clean(n), style.width.saturating_sub(numbers).max(16)).into_owned())
        .collect();
    let first = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let mut head = " ".repeat(first);
    for c in &used {
        let _ = write!(head, "  {:>1$}", COLUMNS[*c], COLUMNS[*c].len().max(6));
    }
    let _ = writeln!(text, "{}", style.paint(Paint::Faint, &head));
    for (name, (_, row)) in names.iter().zip(&rows) {
        let pad = " ".repeat(first - name.chars().count());
        let _ = write!(text, "{name}{pad}");
        for c in &used {
            let cell = format!("{:>1$}", row.cells()[*c], COLUMNS[*c].len().max(6));
            let bad = *c == 1 && row.unexpected > 0;
            let cell = if bad {
                style.paint(Paint::Bad, &cell)
            } else {
                cell
            };
            let _ = write!(text, "  {cell}");
        }
        text.push('\n');
    }
}
