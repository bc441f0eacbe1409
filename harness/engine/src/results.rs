//! The result file: written as a run goes, read back by everything a person looks at.
//!
//! A run appends one line a record and hands it to the system at least every 64 KiB, and every
//! 50 ms while somebody calls [`Sink::tick`], so that what a killed run leaves is readable to its
//! last whole line. A disk that fills up does not end a run: the lines wait in memory, writing is
//! tried again, and at the end the whole file is saved elsewhere where that is possible. Such a
//! run ends with exit code 5 at least (the environment is at fault, and whoever comes after needs
//! the file), see [`ResultsError::exit_code`].

use crate::record::{Blame, Check, Outcome, Phase, Record, Run, Summary, roles_text};
use crate::record::{Dialect, Disagreement, Node, Observation};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Version of the result file that is written and read here.
pub const FORMAT: u32 = 1;

/// Bytes that may wait before they are handed to the system.
const FLUSH_BYTES: usize = 64 * 1024;
/// How long a line may wait for it.
const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// How long writing rests after it failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What may wait in memory while the disk is full, in bytes.
const WAITING_BYTES: usize = 256 * 1024 * 1024;
/// The longest line that is read, in bytes: sixteen answers at the protocol's limit.
const LINE_BYTES: u64 = 64 * 1024 * 1024;

/// Who a check ran on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// One implementation, in the codec lane.
    Implementation(String),
    /// An implementation for each role, in the cluster lane.
    Roles(BTreeMap<String, String>),
}

impl Actor {
    /// Of a check; `None` where it names nobody.
    pub fn of(check: &Check) -> Option<Self> {
        Self::from_fields(check.implementation.as_ref(), check.roles.as_ref())
    }

    /// Of an observation; `None` where it names nobody.
    pub fn of_observation(observation: &Observation) -> Option<Self> {
        Self::from_fields(
            observation.implementation.as_ref(),
            observation.roles.as_ref(),
        )
    }

    fn from_fields(
        implementation: Option<&String>,
        roles: Option<&BTreeMap<String, String>>,
    ) -> Option<Self> {
        match (implementation, roles) {
            (Some(name), _) => Some(Actor::Implementation(name.clone())),
            (None, Some(roles)) => Some(Actor::Roles(roles.clone())),
            (None, None) => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Implementation(name) => f.write_str(name),
            Actor::Roles(roles) => f.write_str(&roles_text(roles)),
        }
    }
}

/// Takes the records of a run as they happen.
pub trait Sink {
    /// One record. A sink that cannot take it remembers why and says so at the end.
    fn record(&mut self, record: &Record);

    /// Time passes; called some twenty times a second while a run lasts.
    fn tick(&mut self) {}
}

/// What can be wrong with a result file.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// It cannot be made.
    #[error("the result file {} cannot be written: {why}; give another place with `--results FILE`", path.display())]
    Create {
        /// As given.
        path: PathBuf,
        /// The system's words.
        why: io::Error,
    },
    /// Writing failed on the way, and the end of the file is missing there.
    #[error(
        "the result file {} is incomplete: {why}; {}; free some space, or give another place with `--results FILE`",
        path.display(),
        saved_text(saved.as_deref(), *lost)
    )]
    Write {
        /// As given.
        path: PathBuf,
        /// The system's words.
        why: io::Error,
        /// Where the whole of it was saved instead.
        saved: Option<PathBuf>,
        /// Lines that could be kept nowhere.
        lost: u64,
    },
    /// It cannot be read.
    #[error("the result file {} cannot be read: {why}; `lnconform run --results FILE` writes one", path.display())]
    Read {
        /// As given.
        path: PathBuf,
        /// The system's words.
        why: io::Error,
    },
    /// It is something else.
    #[error("{}:{line}: {what}; give a file that `lnconform run` wrote", path.display())]
    Foreign {
        /// As given.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

fn saved_text(saved: Option<&Path>, lost: u64) -> String {
    match saved {
        Some(saved) => format!("the whole of it was saved as {}", saved.display()),
        None => format!("it could be saved nowhere else, and {lost} lines of it are lost"),
    }
}

impl ResultsError {
    /// The exit code that it means: 5 where the environment failed during or before a run, 2
    /// where the user named something that is not there.
    pub fn exit_code(&self) -> u8 {
        let environment = |e: &io::Error| {
            matches!(
                e.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        match self {
            ResultsError::Write { .. } => 5,
            ResultsError::Create { why, .. } if environment(why) => 5,
            _ => 2,
        }
    }
}

/// Appends records to a result file.
#[derive(Debug)]
pub struct ResultWriter {
    path: PathBuf,
    file: File,
    /// Whole lines, and at its front possibly the rest of one, that the system has not taken.
    waiting: Vec<u8>,
    /// Bytes of the file that the system has taken.
    taken: u64,
    flushed: Instant,
    fault: Option<io::Error>,
    dropped: u64,
    closed: bool,
}

impl ResultWriter {
    /// Makes the file and the folders above it; one that exists is moved to `FILE.old`. A pipe or
    /// device is written to as it is.
    ///
    /// # Errors
    /// [`ResultsError::Create`].
    pub fn create(path: &Path) -> Result<Self, ResultsError> {
        let failed = |why| ResultsError::Create {
            path: path.into(),
            why,
        };
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = Self::open(path).map_err(failed)?;
        Ok(Self {
            path: path.into(),
            file,
            waiting: Vec::with_capacity(2 * FLUSH_BYTES),
            taken: 0,
            flushed: Instant::now(),
            fault: None,
            dropped: 0,
            closed: false,
        })
    }

    fn open(path: &Path) -> io::Result<File> {
        if path.metadata().is_ok_and(|m| !m.is_file()) {
            return OpenOptions::new().write(true).open(path);
        }
        // Two runs may start in one folder at once: whoever comes second moves the other's file
        // away, which goes on growing under its new name, and neither writes into the other's.
        for _ in 0..100 {
            match OpenOptions::new().write(true).create_new(true).open(path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    match std::fs::rename(path, old_name(path)) {
                        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                        _ => {}
                    }
                }
                made => return made,
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "other runs keep making it anew",
        ))
    }

    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a record. A fault is kept for [`ResultWriter::finish`].
    pub fn write(&mut self, record: &Record) {
        let start = self.waiting.len();
        if serde_json::to_writer(&mut self.waiting, record).is_err() {
            // Unreachable by the types of a record; a broken line would spoil the file.
            self.waiting.truncate(start);
            self.dropped += 1;
            return;
        }
        self.waiting.push(b'\n');
        if self.waiting.len() > WAITING_BYTES {
            self.waiting.truncate(start);
            self.dropped += 1;
        }
        if self.waiting.len() >= FLUSH_BYTES {
            self.flush(false);
        }
    }

    /// Whether and why writing fails at the moment.
    pub fn fault(&self) -> Option<&io::Error> {
        self.fault.as_ref()
    }

    /// Hands to the system what waits, unless that failed less than a second ago.
    fn flush(&mut self, now: bool) {
        if self.waiting.is_empty()
            || (self.fault.is_some() && !now && self.flushed.elapsed() < RETRY_AFTER)
        {
            return;
        }
        self.flushed = Instant::now();
        let mut done = 0;
        self.fault = loop {
            match self.file.write(&self.waiting[done..]) {
                Ok(0) if done < self.waiting.len() => {
                    break Some(io::Error::from(io::ErrorKind::WriteZero));
                }
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Some(e),
            }
            if done == self.waiting.len() {
                break None;
            }
        };
        // What was taken in part is continued at that very byte the next time.
        self.waiting.drain(..done);
        self.taken += done as u64;
    }

    /// Writes what waits and closes the file.
    ///
    /// # Errors
    /// [`ResultsError::Write`], which says where the whole of it was saved instead.
    pub fn finish(mut self) -> Result<PathBuf, ResultsError> {
        self.closed = true;
        self.flush(true);
        let Some(why) = self.fault.take() else {
            if self.dropped == 0 {
                return Ok(std::mem::take(&mut self.path));
            }
            return Err(ResultsError::Write {
                path: self.path.clone(),
                why: io::Error::new(io::ErrorKind::StorageFull, "too much waited for the disk"),
                saved: None,
                lost: self.dropped,
            });
        };
        let saved = self.save_elsewhere().filter(|_| self.dropped == 0);
        let lines = self.waiting.iter().filter(|b| **b == b'\n').count() as u64;
        let lost = self.dropped + if saved.is_some() { 0 } else { lines };
        Err(ResultsError::Write {
            path: self.path.clone(),
            why,
            saved,
            lost,
        })
    }

    /// A complete copy in the folder for temporary files.
    fn save_elsewhere(&self) -> Option<PathBuf> {
        let name = format!("lnconform-results-{}.jsonl", std::process::id());
        let place = std::env::temp_dir().join(name);
        // Not through a link that somebody else may have put there.
        let _ = std::fs::remove_file(&place);
        let mut copy = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&place)
            .ok()?;
        let whole = || -> io::Result<()> {
            if self.taken > 0 {
                let mut begin = File::open(&self.path)?.take(self.taken);
                io::copy(&mut begin, &mut copy)?;
            }
            copy.write_all(&self.waiting)?;
            copy.sync_all()
        };
        let mut whole = whole;
        match whole() {
            Ok(()) => Some(place),
            Err(_) => {
                let _ = std::fs::remove_file(&place);
                None
            }
        }
    }
}

impl Sink for ResultWriter {
    fn record(&mut self, record: &Record) {
        self.write(record);
    }

    fn tick(&mut self) {
        if self.flushed.elapsed() >= FLUSH_AFTER {
            self.flush(false);
        }
    }
}

impl Drop for ResultWriter {
    fn drop(&mut self) {
        if !self.closed {
            self.flush(true);
        }
    }
}

fn old_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

/// How reading a result file ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadEnd {
    /// The last line was cut in the middle, as a killed run or a full disk leaves it.
    pub cut: bool,
    /// There is no summary: the run was ended before its end.
    pub unfinished: bool,
    /// Lines of types that only a newer harness knows.
    pub unknown: u64,
    /// Whole lines.
    pub lines: u64,
}

/// Reads a result file record by record, in constant memory. The first is always a `run`.
///
/// # Errors
/// [`ResultsError::Read`], or [`ResultsError::Foreign`] with the line at fault. A last line
/// without its line end that does not parse is no error but `cut`.
pub fn visit(path: &Path, mut each: impl FnMut(Record)) -> Result<ReadEnd, ResultsError> {
    let unreadable = |why| ResultsError::Read {
        path: path.into(),
        why,
    };
    let foreign = |line, what: String| ResultsError::Foreign {
        path: path.into(),
        line,
        what,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut reader = BufReader::with_capacity(FLUSH_BYTES, file);
    let mut end = ReadEnd {
        unfinished: true,
        ..ReadEnd::default()
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader)
            .take(LINE_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(unreadable)?;
        if read == 0 {
            break;
        }
        let number = end.lines + 1;
        let whole = line.last() == Some(&b'\n');
        if !whole && read as u64 == LINE_BYTES {
            return Err(foreign(
                number,
                format!("a line is longer than {LINE_BYTES} bytes"),
            ));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            end.lines += 1;
            continue;
        }
        match parse(&line) {
            Ok(parsed) => {
                end.lines += 1;
                match parsed {
                    Some(Record::Run(run)) if run.format != FORMAT => {
                        return Err(foreign(
                            number,
                            format!(
                                "the file has format {}, this lnconform reads {FORMAT}",
                                run.format
                            ),
                        ));
                    }
                    Some(record) => {
                        if number == 1 && !matches!(record, Record::Run(_)) {
                            return Err(foreign(
                                1,
                                "the first line is not the head of a run".into(),
                            ));
                        }
                        end.unfinished &= !matches!(record, Record::Summary(_));
                        each(record);
                    }
                    None if number == 1 => {
                        return Err(foreign(1, "the first line is not the head of a run".into()));
                    }
                    None => end.unknown += 1,
                }
            }
            Err(_) if !whole && number > 1 => {
                end.cut = true;
                break;
            }
            Err(what) => return Err(foreign(number, what)),
        }
    }
    if end.lines == 0 {
        return Err(foreign(
            1,
            "the file is empty: a run was cut before its first line".into(),
        ));
    }
    Ok(end)
}

/// `None` for a type that is not known here.
fn parse(line: &[u8]) -> Result<Option<Record>, String> {
    match serde_json::from_slice::<Record>(line) {
        Ok(record) => Ok(Some(record)),
        Err(e) => {
            const KNOWN: [&str; 7] = [
                "run",
                "check",
                "observation",
                "disagreement",
                "node",
                "phase",
                "summary",
            ];
            let kind = serde_json::from_slice::<serde_json::Value>(line)
                .ok()
                .and_then(|v| v.get("type")?.as_str().map(str::to_owned));
            match kind {
                Some(kind) if !KNOWN.contains(&kind.as_str()) => Ok(None),
                // The line's own column is what helps; its line is always 1.
                _ => Err(format!("not a record of a result file: {e}").replace(" at line 1", "")),
            }
        }
    }
}

/// A result file in memory.
#[derive(Clone, Debug)]
pub struct Results {
    /// The head; of merged files, the first.
    pub header: Run,
    /// Every check.
    pub checks: Vec<Check>,
    /// Every observation.
    pub observations: Vec<Observation>,
    /// Disagreements.
    pub disagreements: Vec<Disagreement>,
    /// Where the time went.
    pub phases: Vec<Phase>,
    /// Live nodes.
    pub nodes: Vec<Node>,
    /// Dialects that checks were about.
    pub dialects: Vec<Dialect>,
    /// Its end; absent where the run was ended before.
    pub summary: Option<Summary>,
    /// The last line was cut in the middle.
    pub cut: bool,
}

/// Reads a whole result file; [`visit`] does the same in constant memory.
///
/// # Errors
/// As [`visit`].
pub fn read(path: &Path) -> Result<Results, ResultsError> {
    let mut header = None;
    let (mut checks, mut observations, mut disagreements) = (Vec::new(), Vec::new(), Vec::new());
    let (mut phases, mut nodes, mut summary) = (Vec::new(), Vec::new(), None);
    let mut dialects = Vec::new();
    let end = visit(path, |record| match record {
        Record::Run(run) => {
            header.get_or_insert(run);
        }
        Record::Check(check) => checks.push(*check),
        Record::Observation(o) => observations.push(o),
        Record::Disagreement(d) => disagreements.push(d),
        Record::Node(n) => nodes.push(n),
        Record::Phase(p) => phases.push(p),
        Record::Dialect(d) => dialects.push(d),
        Record::Summary(s) => summary = Some(s),
    })?;
    let header = header.ok_or_else(|| ResultsError::Foreign {
        path: path.into(),
        line: 1,
        what: "the first line is not the head of a run".into(),
    })?;
    let cut = end.cut;
    Ok(Results {
        header,
        checks,
        observations,
        disagreements,
        phases,
        nodes,
        dialects,
        summary,
        cut,
    })
}

/// Counts of a run, in constant memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Checks by outcome.
    pub counts: BTreeMap<Outcome, u64>,
    /// Checks that came out otherwise than expected, whatever the outcome.
    pub unexpected: u64,
    /// Of these, those that passed or failed: exit code 1.
    pub unexpected_results: u64,
    /// Of these, those that could not run: exit code 5.
    pub missing: u64,
    /// Of these, those for which the harness is to blame: exit code 6.
    pub harness_faults: u64,
    /// Failed SHOULDs.
    pub warnings: u64,
    /// Flaky checks.
    pub flaky: u64,
    /// Failures that the ledger expects.
    pub expected_failures: u64,
}

impl Counters {
    /// Counts one check.
    pub fn check(&mut self, check: &Check) {
        *self.counts.entry(check.outcome).or_default() += 1;
        self.warnings += u64::from(check.warning);
        self.flaky += u64::from(check.flaky);
        if check.expected {
            self.expected_failures +=
                u64::from(check.outcome == Outcome::Failed && check.expectation.is_some());
            return;
        }
        self.unexpected += 1;
        if check.blame == Some(Blame::Harness) {
            self.harness_faults += 1;
        } else if check.outcome == Outcome::CouldNotRun {
            self.missing += 1;
        } else {
            self.unexpected_results += 1;
        }
    }

    /// Checks with that outcome.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or(0)
    }

    /// All checks.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The exit code of a run with these counts: 6, 1, 5, 3, 4, whichever comes first.
    /// `stale` counts what exit code 3 is about; `missing` is something named that is absent
    /// beside the checks (bitcoind, a result file that could not be completed); `harness_fault` a
    /// fault of ours beside the checks.
    pub fn exit_code(&self, stale: u64, missing: bool, harness_fault: bool) -> u8 {
        if harness_fault || self.harness_faults > 0 {
            6
        } else if self.unexpected_results > 0 {
            1
        } else if missing || self.missing > 0 {
            5
        } else if stale > 0 {
            3
        } else if self.of(Outcome::Passed) + self.of(Outcome::Failed) == 0 {
            4
        } else {
            0
        }
    }

    /// The last line of a result file. `notes` are what is stale, one line each.
    pub fn summary(&self, notes: Vec<String>, exit_code: u8, duration: Duration) -> Summary {
        Summary {
            counts: self
                .counts
                .iter()
                .map(|(o, n)| (o.as_str().to_owned(), *n))
                .collect(),
            unexpected: self.unexpected,
            stale: notes.len() as u64,
            exit_code,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            notes,
        }
    }
}

impl Sink for Counters {
    fn record(&mut self, record: &Record) {
        if let Record::Check(check) = record {
            self.check(check);
        }
    }
}

/// Hands each record to the result file, the counters and the views.
#[derive(Default)]
pub struct Fanout<'a> {
    /// The result file.
    pub file: Option<ResultWriter>,
    /// Counts so far.
    pub counters: Counters,
    /// What people look at.
    pub views: Vec<Box<dyn Sink + Send + 'a>>,
}

impl fmt::Debug for Fanout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fanout")
            .field("file", &self.file)
            .field("counters", &self.counters)
            .field("views", &self.views.len())
            .finish()
    }
}

impl Sink for Fanout<'_> {
    fn record(&mut self, record: &Record) {
        if let Some(file) = &mut self.file {
            file.record(record);
        }
        self.counters.record(record);
        for view in &mut self.views {
            view.record(record);
        }
    }

    fn tick(&mut self) {
        if let Some(file) = &mut self.file {
            file.tick();
        }
        for view in &mut self.views {
            view.tick();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::{Lane, RunImplementation};
    use proptest::prelude::*;

    /// A head for tests.
    pub(crate) fn head() -> Run {
        let lnd = RunImplementation {
            name: "lnd".into(),
            version: "0.19.3-beta".into(),
            available: true,
            reason: None,
            self_reported: None,
            untested: None,
        };
        Run {
            format: FORMAT,
            run: "r1".into(),
            harness: "0.1.0".into(),
            vectors: "sha256:00".into(),
            specs: BTreeMap::new(),
            implementations: vec![lnd],
            seed: "1".into(),
            machine: "linux x86_64, 2 cores".into(),
            started: "2026-11-25T12:00:00Z".into(),
            command: vec!["lnconform".into(), "run".into()],
            filtered: false,
            shard: None,
        }
    }

    /// A codec check for tests.
    pub(crate) fn check(id: &str, name: &str, outcome: Outcome) -> Check {
        Check {
            id: id.into(),
            attempt: 1,
            implementation: Some(name.into()),
            roles: None,
            cluster: None,
            lane: Lane::Codec,
            outcome,
            expected: outcome != Outcome::Failed,
            warning: false,
            flaky: false,
            simulation: false,
            blame: None,
            requirements: vec![],
            keyword: None,
            duration_us: 5,
            message: None,
            want: None,
            got: None,
            expectation: None,
            evidence: vec![],
            rerun: None,
            log_tail: None,
            transcripts: Vec::new(),
            failure: None,
            source: None,
        }
    }

    /// A check of a scenario for tests.
    pub(crate) fn check_on(id: &str, roles: &[(&str, &str)], outcome: Outcome) -> Check {
        let roles = roles
            .iter()
            .map(|(r, i)| ((*r).to_owned(), (*i).to_owned()))
            .collect();
        Check {
            implementation: None,
            roles: Some(roles),
            lane: Lane::Cluster,
            ..check(id, "", outcome)
        }
    }

    /// Writes records to a file in a folder of its own.
    pub(crate) fn write_file(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let mut writer = ResultWriter::create(&path).unwrap();
        records.iter().for_each(|r| writer.write(r));
        writer.finish().unwrap();
        (dir, path)
    }

    fn some() -> Vec<Record> {
        vec![
            Record::Run(head()),
            Record::Check(Box::new(check("a/b", "lnd", Outcome::Passed))),
            Record::Phase(Phase::new("start", std::time::Duration::from_millis(3))),
            Record::Check(Box::new(check("a/c", "lnd", Outcome::Failed))),
        ]
    }

    #[test]
    fn what_is_written_is_read_and_the_old_file_is_kept() {
        let (dir, path) = write_file(&some());
        let first = read(&path).unwrap();
        assert_eq!(
            (first.header, first.checks.len(), first.cut),
            (head(), 2, false)
        );
        assert_eq!((first.phases.len(), first.summary), (1, None));
        let writer = ResultWriter::create(&path).unwrap();
        let old = dir.path().join("r.jsonl.old");
        assert_eq!(read(&old).unwrap().checks.len(), 2);
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        drop(writer);
    }

    #[test]
    fn two_runs_in_one_folder_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/r.jsonl");
        let mut one = ResultWriter::create(&path).unwrap();
        let mut two = ResultWriter::create(&path).unwrap();
        for record in some() {
            one.write(&record);
            two.write(&record);
        }
        one.finish().unwrap();
        two.finish().unwrap();
        assert_eq!(read(&path).unwrap().checks.len(), 2);
        assert_eq!(read(&old_name(&path)).unwrap().checks.len(), 2);
    }

    #[test]
    fn lines_reach_the_file_by_time_and_by_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let mut writer = ResultWriter::create(&path).unwrap();
        writer.write(&some()[0]);
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::metadata(&path).unwrap().len() == 0 {
            assert!(Instant::now() < deadline, "no line came");
            writer.tick();
        }
        assert_eq!(read(&path).unwrap().checks.len(), 0);
        for _ in 0..2000 {
            writer.write(&some()[1]);
        }
        // Not flushed by anybody: what is missing waits in less than one batch.
        let seen = read(&path).unwrap();
        assert!(seen.checks.len() > 1000, "{}", seen.checks.len());
        writer.finish().unwrap();
        assert_eq!(read(&path).unwrap().checks.len(), 2000);
    }

    #[test]
    fn a_cut_file_is_readable_to_its_last_line() {
        let (_dir, path) = write_file(&some());
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for end in first..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let lines = whole[..end].iter().filter(|b| **b == b'\n').count() as u64;
            let read = visit(&path, |_| {}).unwrap();
            // A line that only lacks its line end is whole.
            let whole_last = whole.get(end) == Some(&b'\n');
            assert_eq!(read.lines, lines + u64::from(whole_last));
            assert_eq!(
                read.cut,
                whole[end - 1] != b'\n' && !whole_last,
                "cut at {end}"
            );
            assert!(read.unfinished);
        }
    }

    #[test]
    fn what_is_no_result_file_is_refused_with_its_line() {
        let (_dir, path) = write_file(&some());
        let good = std::fs::read_to_string(&path).unwrap();
        let fault = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let error = visit(&path, |_| {}).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error
                .to_string()
                .replace(&path.display().to_string(), "r.jsonl")
        };
        assert_eq!(
            fault(""),
            "r.jsonl:1: the file is empty: a run was cut before its first line; give a file that `lnconform run` wrote"
        );
        assert!(fault("# not json\n").starts_with("r.jsonl:1: not a record of a result file"));
        let headless = good.split_once('\n').unwrap().1;
        assert!(fault(headless).starts_with("r.jsonl:1: the first line is not the head"));
        let newer = good.replace("\"format\":1", "\"format\":2");
        assert!(fault(&newer).contains("the file has format 2, this lnconform reads 1"));
        let broken = good.replace("\"attempt\":1", "\"attempt\":");
        assert!(fault(&broken).starts_with("r.jsonl:2: not a record"));
        let wrong = good.replace("\"outcome\":\"passed\"", "\"outcome\":\"perhaps\"");
        assert!(fault(&wrong).contains("unknown variant `perhaps`"));
        let future = format!("{good}{{\"type\":\"mood\",\"x\":1}}\n");
        std::fs::write(&path, future).unwrap();
        assert_eq!(visit(&path, |_| {}).unwrap().unknown, 1);
        assert!(
            read(Path::new("/nonexistent/r"))
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = ResultWriter::create(&file.join("r.jsonl")).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("`--results FILE`"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_loses_nothing_that_was_measured() {
        // Writing to this device always fails for want of space.
        let mut writer = ResultWriter::create(Path::new("/dev/full")).unwrap();
        for _ in 0..2000 {
            writer.write(&some()[1]);
        }
        assert_eq!(
            writer.fault().map(io::Error::kind),
            Some(io::ErrorKind::StorageFull)
        );
        let error = writer.finish().unwrap_err();
        assert_eq!(error.exit_code(), 5);
        let text = error.to_string();
        assert!(text.contains("/dev/full is incomplete"), "{text}");
        let ResultsError::Write {
            saved: Some(saved),
            lost: 0,
            ..
        } = error
        else {
            panic!("not saved: {text}");
        };
        let lines = std::fs::read_to_string(&saved).unwrap().lines().count();
        std::fs::remove_file(&saved).unwrap();
        assert_eq!(lines, 2000);
    }

    #[test]
    fn the_exit_code_follows_the_precedence() {
        let counted = |checks: &[Check]| {
            let mut counters = Counters::default();
            checks.iter().for_each(|c| counters.check(c));
            counters
        };
        let passed = check("a", "x", Outcome::Passed);
        let failed = check("b", "x", Outcome::Failed);
        let missing = Check {
            expected: false,
            ..check("c", "x", Outcome::CouldNotRun)
        };
        let ours = Check {
            blame: Some(Blame::Harness),
            ..failed.clone()
        };
        let known = Check {
            expected: true,
            expectation: Some("l:1".into()),
            ..failed.clone()
        };
        let code = |checks: &[Check], stale| counted(checks).exit_code(stale, false, false);
        assert_eq!(code(std::slice::from_ref(&passed), 0), 0);
        assert_eq!(code(&[], 0), 4);
        assert_eq!(code(&[check("c", "x", Outcome::Unsupported)], 0), 4);
        assert_eq!(code(&[], 1), 3);
        assert_eq!(code(std::slice::from_ref(&passed), 1), 3);
        assert_eq!(code(std::slice::from_ref(&missing), 1), 5);
        assert_eq!(code(&[failed.clone(), missing.clone()], 1), 1);
        assert_eq!(code(&[failed, missing, ours], 1), 6);
        assert_eq!(code(std::slice::from_ref(&known), 0), 0);
        assert_eq!(
            counted(std::slice::from_ref(&passed)).exit_code(1, true, false),
            5
        );
        assert_eq!(
            counted(std::slice::from_ref(&passed)).exit_code(1, true, true),
            6
        );
        let summary =
            counted(&[passed, known]).summary(vec!["s".into()], 3, Duration::from_secs(1));
        let counts = [("failed".to_owned(), 1), ("passed".to_owned(), 1)].into();
        assert_eq!(
            (summary.counts, summary.stale, summary.unexpected),
            (counts, 1, 0)
        );
    }

    #[test]
    fn everybody_hears_everything() {
        struct Ear(std::sync::mpsc::Sender<&'static str>);
        impl Sink for Ear {
            fn record(&mut self, _: &Record) {
                self.0.send("record").unwrap();
            }
            fn tick(&mut self) {
                self.0.send("tick").unwrap();
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let (heard, ear) = std::sync::mpsc::channel();
        let mut all = Fanout {
            file: Some(ResultWriter::create(&dir.path().join("r")).unwrap()),
            views: vec![Box::new(Ear(heard))],
            ..Fanout::default()
        };
        some().iter().for_each(|r| all.record(r));
        all.tick();
        assert_eq!(all.counters.total(), 2);
        let path = all.file.take().unwrap().finish().unwrap();
        assert_eq!(read(&path).unwrap().checks.len(), 2);
        drop(all);
        assert_eq!(
            ear.iter().collect::<Vec<_>>(),
            ["record", "record", "record", "record", "tick"]
        );
    }

    /// How many lines a second; `cargo test --release -- --ignored --nocapture` prints it.
    #[test]
    #[ignore = "a measurement"]
    fn lines_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ResultWriter::create(&dir.path().join("r")).unwrap();
        let record = Record::Check(Box::new(Check {
            requirements: vec!["bolt01/bigsize/minimal".into()],
            ..check(
                "bolt01/bigsize/some-case-with-a-name",
                "reference",
                Outcome::Passed,
            )
        }));
        writer.write(&Record::Run(head()));
        let start = Instant::now();
        for _ in 0..1_000_000 {
            writer.write(&record);
        }
        let path = writer.finish().unwrap();
        let wrote = start.elapsed();
        let end = visit(&path, |_| {}).unwrap();
        println!(
            "write {wrote:?}, read {:?} for {} lines",
            start.elapsed() - wrote,
            end.lines
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("r");
            std::fs::write(&path, bytes).unwrap();
            let _ = read(&path);
        }

        #[test]
        fn a_record_survives_the_file(id in "\\PC{0,30}", message in proptest::option::of(".{0,30}"), attempt: u32) {
            let mut check = check(&id, "lnd", Outcome::Failed);
            check.message = message;
            check.attempt = attempt;
            let (_dir, path) = write_file(&[Record::Run(head()), Record::Check(Box::new(check.clone()))]);
            prop_assert_eq!(&read(&path).unwrap().checks, &[check]);
        }
    }
}
