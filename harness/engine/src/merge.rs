//! Results of several runs as one: the shards of a run, and what somebody else reports of an
//! implementation.
//!
//! Records are passed on one by one, so that memory grows with the number of checks alone (their
//! names are kept, to notice a check that comes twice).

use crate::record::{Dialect, Record, Run, RunImplementation, Shard, Summary};
use crate::results::{Actor, Counters, ResultWriter, ResultsError, Sink, visit};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// One of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The result file.
    pub path: PathBuf,
    /// Somebody else ran it. Its implementations keep apart from ours, and their failures do not
    /// change the exit code: they were judged where they were run.
    pub self_reported: bool,
}

/// Why results are not put together.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A file cannot be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// There is nothing to begin with.
    #[error("no result file of ours: name at least one that is not self-reported")]
    Nothing,
    /// The result would take the place of a part.
    #[error("{} is one of the files that are merged; give another place with `--output FILE`", .0.display())]
    Itself(PathBuf),
    /// Two runs differ in what makes their checks comparable.
    #[error(
        "{} and {} cannot be one run: {what} is {one} in the first and {other} in the second; \
         run the shards of one run with the same --seed and the same files",
        first.display(), second.display()
    )]
    Differ {
        /// The first file.
        first: PathBuf,
        /// The one that does not fit.
        second: PathBuf,
        /// What differs.
        what: String,
        /// In the first.
        one: String,
        /// In the second.
        other: String,
    },
    /// A check is in two of them.
    #[error(
        "{} and {} both hold the check {id} on {who}, attempt {attempt}; a result counts once: leave one file out",
        first.display(), second.display()
    )]
    Twice {
        /// Where it came first.
        first: PathBuf,
        /// Where it came again.
        second: PathBuf,
        /// The check.
        id: String,
        /// Who ran it.
        who: String,
        /// Which repeat.
        attempt: u32,
    },
}

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The last record; absent where a run of ours was cut short.
    pub summary: Option<Summary>,
    /// What the user should know: a shard that is missing, a file that was cut short.
    pub notes: Vec<String>,
}

struct Opened<'a> {
    part: &'a Part,
    head: Run,
    summary: Option<Summary>,
    cut: bool,
}

/// Hands to the sink what the files hold, as if it had been one run: one head, the records in the
/// order of the files, one summary.
///
/// Shards have to agree in seed, vectors, specifications and harness. What is self-reported may
/// differ in all of them; its implementations are called `NAME (self-reported)`, and the head says
/// where they come from.
///
/// # Errors
/// [`MergeError`]. The sink has seen nothing where the heads do not fit together.
pub fn merge(parts: &[Part], sink: &mut dyn Sink) -> Result<Merged, MergeError> {
    let mut opened = Vec::with_capacity(parts.len());
    for part in parts {
        opened.push(open(part)?);
    }
    let ours: Vec<&Opened> = opened.iter().filter(|o| !o.part.self_reported).collect();
    let first = ours.first().ok_or(MergeError::Nothing)?;
    for other in &ours[1..] {
        agree(first, other)?;
    }
    let mut notes = missing(&ours);
    for part in opened.iter().filter(|o| o.cut || o.summary.is_none()) {
        notes.push(format!(
            "{} was cut short: what its run would have shown after that is missing",
            part.part.path.display()
        ));
    }
    sink.record(&Record::Run(head(&opened, &ours)));

    let mut counters = Counters::default();
    let mut dialects: Vec<Dialect> = Vec::new();
    let mut seen: HashMap<(String, Actor, u32), usize> = HashMap::new();
    for (index, part) in opened.iter().enumerate() {
        let mut twice = None;
        visit(&part.part.path, |record| {
            if twice.is_some() {
                return;
            }
            if let Record::Dialect(dialect) = &record
                && !part.part.self_reported
            {
                add(&mut dialects, dialect);
            }
            let Some(record) = renamed(record, index, part.part.self_reported) else {
                return;
            };
            if let Record::Check(check) = &record {
                if let Some(actor) = Actor::of(check) {
                    let key = (check.id.clone(), actor, check.attempt);
                    if let Some(before) = seen.insert(key, index) {
                        twice = Some(MergeError::Twice {
                            first: opened[before].part.path.clone(),
                            second: part.part.path.clone(),
                            id: check.id.clone(),
                            who: check.who(),
                            attempt: check.attempt,
                        });
                        return;
                    }
                }
                if !part.part.self_reported {
                    counters.check(check);
                }
            }
            sink.record(&record);
        })?;
        if let Some(error) = twice {
            return Err(error);
        }
    }
    for dialect in dialects {
        sink.record(&Record::Dialect(dialect));
    }
    let summary = summary(&ours, &counters);
    if let Some(summary) = &summary {
        sink.record(&Record::Summary(summary.clone()));
    }
    Ok(Merged { summary, notes })
}

fn open(part: &Part) -> Result<Opened<'_>, ResultsError> {
    let (mut head, mut summary) = (None, None);
    let end = visit(&part.path, |record| match record {
        Record::Run(run) => {
            head.get_or_insert(run);
        }
        Record::Summary(end) => summary = Some(end),
        _ => {}
    })?;
    let head = head.ok_or_else(|| ResultsError::Foreign {
        path: part.path.clone(),
        line: 1,
        what: "the first line is not the head of a run".into(),
    })?;
    Ok(Opened {
        part,
        head,
        summary,
        cut: end.cut,
    })
}

/// Whether the checks of two runs mean the same.
fn agree(first: &Opened, second: &Opened) -> Result<(), MergeError> {
    let (a, b) = (&first.head, &second.head);
    let of = |shard: Option<Shard>| shard.map_or("none".into(), |s| s.of.to_string());
    let pairs = [
        ("the harness", a.harness.clone(), b.harness.clone()),
        (
            "the hash of the vectors",
            a.vectors.clone(),
            b.vectors.clone(),
        ),
        ("the seed", a.seed.clone(), b.seed.clone()),
        ("the number of shards", of(a.shard), of(b.shard)),
    ];
    let differ = |what: String, one: String, other: String| MergeError::Differ {
        first: first.part.path.clone(),
        second: second.part.path.clone(),
        what,
        one,
        other,
    };
    for (what, one, other) in pairs {
        if one != other {
            return Err(differ(what.into(), one, other));
        }
    }
    let names: BTreeSet<&String> = a.specs.keys().chain(b.specs.keys()).collect();
    for name in names {
        let revision = |run: &Run| run.specs.get(name).cloned().unwrap_or("absent".into());
        if revision(a) != revision(b) {
            let what = format!("the revision of {name}");
            return Err(differ(what, revision(a), revision(b)));
        }
    }
    let versions = |run: &Run| -> BTreeMap<String, String> {
        let known = run.implementations.iter().filter(|i| i.available);
        known.map(|i| (i.name.clone(), i.version.clone())).collect()
    };
    let theirs = versions(b);
    for (name, one) in versions(a) {
        if let Some(other) = theirs.get(&name).filter(|other| **other != one) {
            return Err(differ(format!("the version of {name}"), one, other.clone()));
        }
    }
    Ok(())
}

/// The shards that are not there.
fn missing(ours: &[&Opened]) -> Vec<String> {
    let parts: BTreeSet<Shard> = ours.iter().filter_map(|o| o.head.shard).collect();
    let Some(of) = parts.first().map(|s| s.of) else {
        return Vec::new();
    };
    let there: BTreeSet<u32> = parts.iter().map(|s| s.part).collect();
    (1..=of)
        .filter(|part| !there.contains(part))
        .map(|part| format!("shard {part}/{of} is missing"))
        .collect()
}

/// The head of the whole.
fn head(opened: &[Opened], ours: &[&Opened]) -> Run {
    let mut head = ours[0].head.clone();
    let sharded = ours.iter().all(|o| o.head.shard.is_some());
    let whole = sharded && missing(ours).is_empty();
    head.filtered = if whole {
        ours.iter()
            .any(|o| o.head.shard.is_some_and(|s| s.filtered))
    } else {
        ours.iter().any(|o| o.head.filtered)
    };
    // The first to start is when it began.
    if let Some(started) = ours.iter().map(|o| &o.head.started).min() {
        head.started.clone_from(started);
    }
    head.shard = None;
    let mut all: Vec<RunImplementation> = Vec::new();
    for part in opened {
        for implementation in &part.head.implementations {
            let mut one = implementation.clone();
            if part.part.self_reported {
                if !one.available {
                    continue;
                }
                one.name = reported(&one.name);
                one.self_reported = Some(provenance(part, &head));
            }
            match all.iter_mut().find(|i| i.name == one.name) {
                // Where it ran at all, it was there.
                Some(known) if !known.available && one.available => *known = one,
                Some(_) => {}
                None => all.push(one),
            }
        }
    }
    head.implementations = all;
    head
}

fn provenance(part: &Opened, ours: &Run) -> String {
    let run = &part.head;
    let vectors = if run.vectors == ours.vectors {
        "the same vectors"
    } else {
        "other vectors"
    };
    format!(
        "run {} of {}, lnconform {}, {vectors}, on {}",
        run.run, run.started, run.harness, run.machine
    )
}

/// The name under which somebody else's results stand beside ours.
fn reported(name: &str) -> String {
    format!("{name} (self-reported)")
}

/// A record of the part `index`, so that it does not clash with another part's. Heads and summaries
/// are made anew.
fn renamed(record: Record, index: usize, self_reported: bool) -> Option<Record> {
    let rename = |name: &mut String| {
        if self_reported {
            *name = reported(name);
        }
    };
    let cluster = |name: &mut Option<String>| {
        if let Some(name) = name {
            *name = format!("{}.{name}", index + 1);
        }
    };
    match record {
        Record::Run(_) | Record::Summary(_) => None,
        Record::Check(mut check) => {
            check.implementation.iter_mut().for_each(rename);
            check
                .roles
                .iter_mut()
                .for_each(|r| r.values_mut().for_each(rename));
            cluster(&mut check.cluster);
            Some(Record::Check(check))
        }
        Record::Observation(mut seen) => {
            seen.implementation.iter_mut().for_each(rename);
            seen.roles
                .iter_mut()
                .for_each(|r| r.values_mut().for_each(rename));
            Some(Record::Observation(seen))
        }
        Record::Disagreement(mut differ) => {
            for group in &mut differ.groups {
                group.implementations.iter_mut().for_each(rename);
            }
            Some(Record::Disagreement(differ))
        }
        // These count checks: they are added up, see `add`.
        Record::Dialect(_) => None,
        Record::Node(mut node) => {
            rename(&mut node.implementation);
            cluster(&mut node.cluster);
            Some(Record::Node(node))
        }
        Record::Phase(mut phase) => {
            cluster(&mut phase.cluster);
            // Where somebody else's time went is not where ours did.
            (!self_reported).then_some(Record::Phase(phase))
        }
    }
}

/// The checks in one dialect, over all parts.
fn add(dialects: &mut Vec<Dialect>, more: &Dialect) {
    match dialects.iter_mut().find(|d| d.name == more.name) {
        Some(known) => {
            known.passed += more.passed;
            known.failed += more.failed;
            for speaker in &more.speakers {
                if !known.speakers.contains(speaker) {
                    known.speakers.push(speaker.clone());
                }
            }
        }
        None => dialects.push(more.clone()),
    }
}

/// The end of the whole; absent where one of ours has none.
fn summary(ours: &[&Opened], counters: &Counters) -> Option<Summary> {
    let ends: Vec<&Summary> = ours.iter().filter_map(|o| o.summary.as_ref()).collect();
    if ends.len() < ours.len() {
        return None;
    }
    let mut notes: Vec<String> = Vec::new();
    for note in ends.iter().flat_map(|end| &end.notes) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    let (flaky, stale): (Vec<_>, Vec<_>) =
        notes.into_iter().partition(|n| n.starts_with("flaky: "));
    let codes: BTreeSet<u8> = ends.iter().map(|end| end.exit_code).collect();
    // 5 and 6 may stand for something beside the checks. A part without a pass or a failure is
    // nothing by itself, and a part that was stopped makes the whole a stopped one.
    let code = match counters.exit_code(stale.len() as u64, codes.contains(&5), codes.contains(&6))
    {
        _ if codes.contains(&130) => 130,
        code => code,
    };
    let longest = ends.iter().map(|end| end.duration_ms).max().unwrap_or(0);
    let count = stale.len() as u64;
    let notes = stale.into_iter().chain(flaky).collect();
    let mut whole = counters.summary(notes, code, std::time::Duration::from_millis(longest));
    whole.stale = count;
    Some(whole)
}

/// The whole in a file. It is written beside its place and moved there when it is complete; a file
/// that was there before is moved to `FILE.old`.
///
/// # Errors
/// [`MergeError`]; nothing is left then, and what was there before is untouched.
pub fn merge_into(parts: &[Part], output: &Path) -> Result<Merged, MergeError> {
    let same = |part: &Part| match (part.path.canonicalize(), output.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    if let Some(part) = parts.iter().find(|part| same(part)) {
        return Err(MergeError::Itself(part.path.clone()));
    }
    let beside = with_ending(output, "part");
    let mut writer = ResultWriter::create(&beside)?;
    let moved = merge(parts, &mut writer).and_then(|merged| {
        writer.finish()?;
        let place = || -> std::io::Result<()> {
            if output.is_file() {
                std::fs::rename(output, with_ending(output, "old"))?;
            }
            std::fs::rename(&beside, output)
        };
        place().map_err(|why| ResultsError::Create {
            path: output.into(),
            why,
        })?;
        Ok(merged)
    });
    if moved.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    moved
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Blame, Outcome};
    use crate::results::read;
    use crate::results::tests::{check, check_on, head, write_file};
    use std::time::Duration;

    fn ended(
        records: Vec<Record>,
        head: Run,
        code: u8,
        notes: &[&str],
    ) -> (tempfile::TempDir, PathBuf) {
        let mut counters = Counters::default();
        records.iter().for_each(|r| counters.record(r));
        let notes = notes.iter().map(|n| (*n).to_owned()).collect();
        let summary = counters.summary(notes, code, Duration::from_millis(7));
        let mut all = vec![Record::Run(head)];
        all.extend(records);
        all.push(Record::Summary(summary));
        write_file(&all)
    }

    fn shard(part: u32, of: u32) -> Run {
        Run {
            filtered: true,
            shard: Some(Shard {
                part,
                of,
                filtered: false,
            }),
            ..head()
        }
    }

    fn one(id: &str, outcome: Outcome) -> Record {
        Record::Check(Box::new(check(id, "lnd", outcome)))
    }

    fn ours(path: &Path) -> Part {
        Part {
            path: path.into(),
            self_reported: false,
        }
    }

    fn into(parts: &[Part]) -> (Result<Merged, MergeError>, tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("all.jsonl");
        (merge_into(parts, &out), dir, out)
    }

    #[test]
    fn shards_are_one_run_again() {
        let (_a, a) = ended(
            vec![one("a/b", Outcome::Passed)],
            shard(1, 2),
            0,
            &["x.yaml:1: old"],
        );
        let mut clustered = check_on("a/c", &[("payer", "lnd")], Outcome::Failed);
        clustered.cluster = Some("c1".into());
        clustered.blame = Some(Blame::Implementation);
        let (_b, b) = ended(
            vec![Record::Check(Box::new(clustered))],
            Run {
                started: "2026-11-25T11:00:00Z".into(),
                ..shard(2, 2)
            },
            1,
            &["x.yaml:1: old", "flaky: a/c on lnd passed 1 of 2 times"],
        );
        let (merged, _dir, out) = into(&[ours(&a), ours(&b)]);
        let merged = merged.unwrap();
        assert_eq!(merged.notes, Vec::<String>::new());
        let whole = read(&out).unwrap();
        assert_eq!(whole.summary, merged.summary);
        let end = whole.summary.unwrap();
        assert_eq!(
            (end.exit_code, end.unexpected, end.stale, end.notes.len()),
            (1, 1, 1, 2)
        );
        assert_eq!((whole.header.filtered, whole.header.shard), (false, None));
        assert_eq!(whole.header.started, "2026-11-25T11:00:00Z");
        assert_eq!(whole.checks.len(), 2);
        assert_eq!(whole.checks[1].cluster.as_deref(), Some("2.c1"));
        // One of two is not the whole, and says so.
        let (merged, _dir, out) = into(&[ours(&b)]);
        assert_eq!(merged.unwrap().notes, ["shard 1/2 is missing"]);
        assert!(read(&out).unwrap().header.filtered);
    }

    #[test]
    fn what_was_cut_short_stays_so() {
        let (_a, a) = ended(vec![one("a/b", Outcome::Passed)], shard(1, 2), 0, &[]);
        let (_b, b) = write_file(&[Record::Run(shard(2, 2)), one("a/c", Outcome::Passed)]);
        let (merged, _dir, out) = into(&[ours(&a), ours(&b)]);
        let merged = merged.unwrap();
        assert!(merged.notes[0].contains("cut short"), "{:?}", merged.notes);
        assert_eq!((merged.summary, read(&out).unwrap().summary), (None, None));
    }

    #[test]
    fn runs_that_differ_are_named_with_what_differs() {
        let (_a, a) = ended(vec![one("a/b", Outcome::Passed)], head(), 0, &[]);
        type Change = fn(&mut Run);
        let changes: [(&str, Change); 5] = [
            ("the seed is 1 in the first and 2", |r| r.seed = "2".into()),
            ("the hash of the vectors", |r| {
                r.vectors = "sha256:01".into()
            }),
            ("the revision of bolt12 is absent", |r| {
                r.specs.insert("bolt12".into(), "9".into());
            }),
            ("the version of lnd", |r| {
                r.implementations[0].version = "9".into()
            }),
            ("the number of shards", |r| r.shard = shard(1, 3).shard),
        ];
        for (words, change) in changes {
            let mut other = head();
            change(&mut other);
            let (_b, b) = ended(vec![one("a/c", Outcome::Passed)], other, 0, &[]);
            let (merged, dir, _) = into(&[ours(&a), ours(&b)]);
            let text = merged.unwrap_err().to_string();
            assert!(text.contains(words), "{text}");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
        let (merged, _dir, _) = into(&[ours(&a), ours(&a)]);
        let text = merged.unwrap_err().to_string();
        assert!(
            text.contains("both hold the check a/b on lnd, attempt 1"),
            "{text}"
        );
        assert!(matches!(
            merge_into(&[ours(&a)], &a),
            Err(MergeError::Itself(_))
        ));
        assert_eq!(read(&a).unwrap().checks.len(), 1);
    }

    /// Somebody else's failures are shown, and fail nobody's gate.
    #[test]
    fn a_self_reported_implementation_stands_apart() {
        let (_a, a) = ended(vec![one("a/b", Outcome::Passed)], head(), 0, &[]);
        let theirs = Run {
            vectors: "sha256:99".into(),
            seed: "77".into(),
            ..head()
        };
        let (_b, b) = ended(vec![one("a/b", Outcome::Failed)], theirs, 1, &["stale"]);
        let foreign = Part {
            path: b,
            self_reported: true,
        };
        let (merged, _dir, out) = into(&[ours(&a), foreign.clone()]);
        let end = merged.unwrap().summary.unwrap();
        assert_eq!((end.exit_code, end.unexpected, end.stale), (0, 0, 0));
        let whole = read(&out).unwrap();
        let names: Vec<_> = whole.checks.iter().map(|c| c.who()).collect();
        assert_eq!(names, ["lnd", "lnd (self-reported)"]);
        let listed = &whole.header.implementations[1];
        assert_eq!(listed.name, "lnd (self-reported)");
        assert!(
            listed
                .self_reported
                .as_ref()
                .unwrap()
                .contains("other vectors")
        );
        assert_eq!(whole.header.implementations[0].self_reported, None);
        assert!(matches!(into(&[foreign]).0, Err(MergeError::Nothing)));
    }
}
