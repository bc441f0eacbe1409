//! `baseline init|update|prune`: the ledger written from a result file.
//!
//! What is written says that nobody has explained it yet: the reason begins with
//! [`TODO`](crate::ledger::TODO), and the entry counts for thirty days only. The loader takes such
//! entries, so that a project can start from where it stands; `doctor` lists them.
//!
//! `update` and `prune` change texts and not values, so comments and order stay.

use crate::ledger::{self, Entry, EntryText, Issue, Ledger, PlanScope, Signature, TODO};
use crate::record::{Blame, Check, Failure, Lane, Outcome, Record};
use crate::results::{self, Actor, ResultsError};
use jiff::civil::Date;
use lnconform_yaml::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Days for which a written entry counts.
pub const DAYS: i32 = 30;

/// The longest part of a message that becomes a signature, in bytes.
const MESSAGE_BYTES: usize = 60;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The result file.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// The ledger to be changed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Ledger(Vec<Diagnostic>),
    /// The ledger is one that a text cannot be taken out of.
    #[error("{}: its entries do not begin on lines of their own; write each as `- check: …`", .0.display())]
    Flow(PathBuf),
}

/// What the checks of one id on one implementation came to in a result file.
#[derive(Debug, Default)]
struct Seen {
    /// Distinct ways of failing, and whether each was expected.
    failures: Vec<(Failure, bool)>,
    passed: bool,
    lacking: bool,
    could_not_run: bool,
}

/// A result file, as far as the ledger is concerned.
#[derive(Debug, Default)]
struct Harvest {
    seen: BTreeMap<(String, Actor), Seen>,
    versions: BTreeMap<String, String>,
    filtered: bool,
    cut: bool,
}

fn harvest(file: &Path) -> Result<Harvest, ResultsError> {
    let mut all = Harvest::default();
    let end = results::visit(file, |record| match record {
        Record::Run(run) => {
            all.filtered |= run.filtered;
            all.versions
                .extend(run.implementations.into_iter().map(|i| (i.name, i.version)));
        }
        Record::Check(check) => note(&mut all.seen, &check),
        _ => {}
    })?;
    all.cut = end.cut || end.unfinished;
    Ok(all)
}

fn note(all: &mut BTreeMap<(String, Actor), Seen>, check: &Check) {
    let Some(actor) = Actor::of(check) else {
        return;
    };
    let seen = all.entry((check.id.clone(), actor)).or_default();
    match check.outcome {
        Outcome::Passed => seen.passed = true,
        Outcome::Unsupported | Outcome::NotApplicable => seen.lacking = true,
        Outcome::CouldNotRun => seen.could_not_run = true,
        // A fault of the harness is to be mended and not to be expected.
        Outcome::Failed if check.blame == Some(Blame::Harness) => seen.could_not_run = true,
        Outcome::Failed => {
            let failure = failure_of(check);
            let signature = signature_of(&failure);
            match seen
                .failures
                .iter_mut()
                .find(|(f, _)| signature_of(f) == signature)
            {
                Some((_, expected)) => *expected &= check.expected,
                None => seen.failures.push((failure, check.expected)),
            }
        }
    }
}

/// How a check failed; a file of an older harness tells only the message.
fn failure_of(check: &Check) -> Failure {
    let mut failure = check.failure.clone().unwrap_or_default();
    if failure.message.is_empty() {
        failure.message = check.message.clone().unwrap_or_default();
    }
    failure
}

/// The signature by which a failure is known again. The message counts only where nothing else
/// is known, since its wording moves between versions.
fn signature_of(failure: &Failure) -> Signature {
    let mut signature = Signature {
        kind: failure.kind.clone(),
        code: failure.code,
        rule: failure.rule.clone(),
        message: None,
    };
    if signature.is_empty() {
        let line = failure.message.lines().next().unwrap_or_default();
        let mut end = line.len().min(MESSAGE_BYTES);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        signature.message = Some(line[..end].trim_end().to_owned()).filter(|m| !m.is_empty());
    }
    if signature.is_empty() {
        signature.kind = Some("unknown".into());
    }
    signature
}

/// The text of a new ledger with an entry for each unexpected failure of a result file.
///
/// # Errors
/// The result file.
pub fn init(file: &Path, today: Date) -> Result<String, BaselineError> {
    let all = harvest(file)?;
    let mut text = String::from(
        "# Expected failures. Each entry is judged in every run: a pass, another failure or an\n\
         # expired date fails it. Say why it fails, and where that is followed up.\n",
    );
    for entry in entries(&all, today) {
        text.push('\n');
        text.push_str(&render(&entry));
    }
    Ok(text)
}

fn entries(all: &Harvest, today: Date) -> Vec<EntryText> {
    let expires = today.saturating_add(jiff::Span::new().days(DAYS));
    let mut found = Vec::new();
    for ((id, actor), seen) in &all.seen {
        for (failure, expected) in &seen.failures {
            if *expected {
                continue;
            }
            let (implementation, roles) = match actor {
                Actor::Implementation(name) => (Some(name.clone()), None),
                Actor::Roles(roles) => (None, Some(roles.clone())),
            };
            let first = failure.message.lines().next().unwrap_or_default();
            found.push(EntryText {
                check: as_glob(id),
                implementation,
                roles,
                versions: None,
                signature: signature_of(failure),
                // It passed and failed within one run, or failed in several ways.
                flaky: seen.passed || seen.failures.len() > 1,
                reason: format!("{TODO}: say why. Seen: {first}")
                    .trim_end()
                    .to_owned(),
                issue: Issue::Text(format!("none: {TODO}")),
                expires: expires.to_string(),
            });
        }
    }
    found
}

/// An id as a pattern that means it; ids are compared as they stand, too, so only what is no glob
/// needs to be escaped.
fn as_glob(id: &str) -> String {
    if globset::Glob::new(id).is_ok() {
        id.to_owned()
    } else {
        globset::escape(id)
    }
}

/// One entry as a block that begins with `- check:`.
fn render(entry: &EntryText) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        text.push_str(if text.is_empty() { "- " } else { "  " });
        text.push_str(&format!("{key}: {value}\n"));
    };
    line("check", scalar(&entry.check));
    if let Some(name) = &entry.implementation {
        line("implementation", scalar(name));
    }
    if let Some(roles) = &entry.roles {
        let roles = roles
            .iter()
            .map(|(r, n)| format!("{}: {}", scalar(r), scalar(n)));
        line(
            "roles",
            format!("{{{}}}", roles.collect::<Vec<_>>().join(", ")),
        );
    }
    if let Some(versions) = &entry.versions {
        line("versions", scalar(versions));
    }
    let s = &entry.signature;
    let parts = [
        s.kind.as_deref().map(|v| format!("kind: {}", scalar(v))),
        s.code.map(|v| format!("code: {v}")),
        s.rule.as_deref().map(|v| format!("rule: {}", scalar(v))),
        s.message
            .as_deref()
            .map(|v| format!("message: {}", scalar(v))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    line("signature", format!("{{{}}}", parts.join(", ")));
    if entry.flaky {
        line("flaky", "true".into());
    }
    line("reason", scalar(&entry.reason));
    line(
        "issue",
        match &entry.issue {
            Issue::Text(text) => scalar(text),
            Issue::None { none } => format!("{{none: {}}}", scalar(none)),
        },
    );
    line("expires", scalar(&entry.expires));
    text
}

/// A scalar that is good inside `{…}` too: plain where that is plainly right, else in the double
/// quotes of JSON, which YAML reads alike.
fn scalar(text: &str) -> String {
    let plain = text.bytes().enumerate().all(|(i, b)| {
        b.is_ascii_alphabetic() || (i > 0 && (b.is_ascii_digit() || b"-_./@~=".contains(&b)))
    });
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let date = text.len() == 10 && ledger::date(text).is_ok();
    if date || (plain && !text.is_empty() && !word.contains(&text.to_ascii_lowercase().as_str())) {
        text.to_owned()
    } else {
        serde_json::Value::String(text.to_owned()).to_string()
    }
}

/// What `update` or `prune` made of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The new text.
    pub text: String,
    /// One line for each entry that came or went.
    pub what: Vec<String>,
}

/// Adds an entry for each unexpected failure that the ledger does not hold; drops none.
/// `known` are the run's other files of the ledger, whose entries are not repeated.
///
/// # Errors
/// The result file; mistakes in the text.
pub fn update(
    file: &Path,
    text: &str,
    known: &Ledger,
    result_file: &Path,
    today: Date,
) -> Result<Changed, BaselineError> {
    let old = ledger::parse(file, text).map_err(BaselineError::Ledger)?;
    let all = harvest(result_file)?;
    let mut new = text.to_owned();
    let mut what = Vec::new();
    for entry in entries(&all, today) {
        let same = |e: &Entry| {
            let e = &e.text;
            e.check == entry.check
                && e.implementation == entry.implementation
                && e.roles == entry.roles
                && e.signature == entry.signature
        };
        if old.iter().any(same) || known.entries().iter().any(same) {
            continue;
        }
        if !new.is_empty() && !new.ends_with('\n') {
            new.push('\n');
        }
        if !new.is_empty() {
            new.push('\n');
        }
        new.push_str(&render(&entry));
        what.push(format!("added {} on {}", entry.check, who(&entry)));
    }
    Ok(Changed { text: new, what })
}

fn who(entry: &EntryText) -> String {
    match (&entry.implementation, &entry.roles) {
        (Some(name), _) => name.clone(),
        (None, Some(roles)) => crate::record::roles_text(roles),
        (None, None) => String::new(),
    }
}

/// Removes the entries that match nothing in the results: their check ran on their
/// implementation, and did not fail so. Entries whose check or implementation is not in the
/// results stay, except where an unfiltered run that came to its end holds no such check at all.
/// Flaky entries stay while their check exists.
///
/// # Errors
/// The result file; mistakes in the text; a text whose entries are not lines of their own.
pub fn prune(file: &Path, text: &str, result_file: &Path) -> Result<Changed, BaselineError> {
    let entries = ledger::parse(file, text).map_err(BaselineError::Ledger)?;
    let all = harvest(result_file)?;
    let mut gone = BTreeSet::new();
    let mut what = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        if let Some(why) = useless(entry, &all).map_err(BaselineError::Ledger)? {
            gone.insert(i);
            what.push(format!(
                "removed {} on {}: {why}",
                entry.text.check,
                entry.who()
            ));
        }
    }
    let text = without(text, entries.len(), &gone)
        .ok_or_else(|| BaselineError::Flow(file.to_path_buf()))?;
    Ok(Changed { text, what })
}

/// Why an entry matches nothing in the results.
///
/// The judge of runs is asked, with a ledger of this one entry, so that the two cannot differ.
fn useless(entry: &Entry, all: &Harvest) -> Result<Option<&'static str>, Vec<Diagnostic>> {
    // Whether it has expired is for the run to say.
    let text = EntryText {
        expires: "9999-12-31".into(),
        ..entry.text.clone()
    };
    let mut alone = Ledger::of_texts(&[(entry.file.clone(), render(&text))], Vec::new())?;
    alone.set_versions(all.versions.clone());
    let day = Date::constant(2000, 1, 1);
    let mut covered = false;
    let mut plan = PlanScope {
        unfiltered: !all.filtered && !all.cut,
        ..PlanScope::default()
    };
    for ((id, actor), seen) in &all.seen {
        let case = id.split('#').next().unwrap_or_default();
        plan.known.insert(case.to_owned());
        // `upstream/boltNN/FILE/case`: the file was there.
        if id.starts_with("upstream/")
            && let Some((file, _)) = id.rsplit_once('/')
        {
            let parts: Vec<&str> = file.split('/').take(3).collect();
            plan.upstream.insert(parts.join("/"));
        }
        if !seen.could_not_run {
            plan.planned.push((case.to_owned(), actor.clone()));
        }
        let mut check = probe(id, actor);
        let outcomes = [
            (seen.passed, Outcome::Passed),
            (seen.lacking, Outcome::Unsupported),
        ];
        for (_, outcome) in outcomes.into_iter().filter(|(seen, _)| *seen) {
            check.outcome = outcome;
            alone.judge(&check, "", &Failure::default(), day);
        }
        check.outcome = Outcome::Failed;
        for (failure, _) in &seen.failures {
            let verdict = alone.judge(&check, "", failure, day);
            covered |= verdict.expected;
        }
    }
    if covered {
        return Ok(None);
    }
    let stale = !alone.finish(&plan, day).is_empty();
    let only = &alone.entries()[0];
    Ok(if only.passed() && !entry.text.flaky {
        Some("it passes")
    } else if only.failed_otherwise() {
        Some("it fails in another way")
    } else if stale {
        Some("nothing fails so any more")
    } else {
        None
    })
}

fn probe(id: &str, actor: &Actor) -> Check {
    let (implementation, roles) = match actor {
        Actor::Implementation(name) => (Some(name.clone()), None),
        Actor::Roles(roles) => (None, Some(roles.clone())),
    };
    Check {
        id: id.to_owned(),
        attempt: 1,
        lane: if roles.is_some() {
            Lane::Cluster
        } else {
            Lane::Codec
        },
        implementation,
        roles,
        cluster: None,
        outcome: Outcome::Failed,
        expected: false,
        warning: false,
        flaky: false,
        simulation: false,
        blame: None,
        requirements: Vec::new(),
        keyword: None,
        duration_us: 0,
        message: None,
        want: None,
        got: None,
        expectation: None,
        evidence: Vec::new(),
        rerun: None,
        log_tail: None,
        transcripts: Vec::new(),
        failure: None,
        source: None,
    }
}

/// The text without some of its entries. An entry is its lines and the comment that stands
/// directly above it; the comment at the top of the file stays. `None` where the entries do not
/// begin on lines of their own.
fn without(text: &str, count: usize, gone: &BTreeSet<usize>) -> Option<String> {
    if gone.is_empty() {
        return Some(text.to_owned());
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut starts = Vec::new();
    for i in 0..count {
        let place = lnconform_yaml::locate(text, &[&i.to_string()])?;
        // The dash stands on the line of the first key, or on one before it.
        let mut line = place.line - 1;
        while !lines.get(line)?.trim_start().starts_with('-') {
            line = line.checked_sub(1)?;
        }
        if starts.last().is_some_and(|last| *last >= line) {
            return None;
        }
        starts.push(line);
    }
    let comment = |line: usize| lines[line].trim_start().starts_with('#');
    let blank = |line: usize| lines[line].trim().is_empty();
    // Where each entry begins with its own comment.
    let begins: Vec<usize> = starts
        .iter()
        .map(|start| {
            let mut first = *start;
            while first > 0 && comment(first - 1) {
                first -= 1;
            }
            if first == 0 { *start } else { first }
        })
        .collect();
    let mut keep = vec![true; lines.len()];
    for i in gone {
        let end = begins.get(i + 1).copied().unwrap_or(lines.len());
        // A comment after the last entry, set off by a blank line, is not part of it.
        let mut last = end;
        if i + 1 == count
            && let Some(gap) = (starts[*i]..end)
                .find(|l| blank(*l) && (*l + 1..end).all(|m| blank(m) || comment(m)))
        {
            last = gap;
        }
        keep[begins[*i]..last].fill(false);
    }
    let mut out: String = lines
        .iter()
        .zip(keep)
        .filter(|(_, k)| *k)
        .map(|(l, _)| *l)
        .collect();
    while out.ends_with("\n\n") {
        out.pop();
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{check, head, write_file};

    fn day() -> Date {
        Date::constant(2026, 11, 25)
    }

    fn failed(id: &str, name: &str, kind: &str) -> Check {
        Check {
            expected: false,
            blame: Some(Blame::Implementation),
            message: Some(format!("answered {kind}")),
            failure: Some(Failure {
                kind: Some(kind.into()),
                ..Failure::default()
            }),
            ..check(id, name, Outcome::Failed)
        }
    }

    fn file(checks: Vec<Check>) -> (tempfile::TempDir, PathBuf) {
        let mut records = vec![Record::Run(head())];
        records.extend(checks.into_iter().map(|c| Record::Check(Box::new(c))));
        records.push(Record::Summary(crate::record::Summary {
            counts: BTreeMap::new(),
            unexpected: 0,
            stale: 0,
            exit_code: 0,
            duration_ms: 1,
            notes: vec![],
        }));
        write_file(&records)
    }

    #[test]
    fn init_writes_what_the_loader_takes_and_the_run_then_expects() {
        let mut ours = failed("a/ours", "lnd", "crash");
        ours.blame = Some(Blame::Harness);
        let mut odd = failed("a/odd?x=[1", "lnd", "accepted");
        odd.failure = None;
        odd.message = Some("one: \"two\" # three\nsecond line".into());
        let checks = vec![
            failed("a/b", "lnd", "accepted"),
            check("a/c", "lnd", Outcome::Passed),
            odd,
            ours,
            failed("a/f", "lnd", "mismatch"),
            check("a/f", "lnd", Outcome::Passed),
        ];
        let (_dir, results) = file(checks.clone());
        let text = init(&results, day()).unwrap();
        insta::assert_snapshot!(text, @r###"
        # Expected failures. Each entry is judged in every run: a pass, another failure or an
        # expired date fails it. Say why it fails, and where that is followed up.

        - check: a/b
          implementation: lnd
          signature: {kind: accepted}
          reason: "TODO: say why. Seen: answered accepted"
          issue: "none: TODO"
          expires: 2026-12-25

        - check: a/f
          implementation: lnd
          signature: {kind: mismatch}
          flaky: true
          reason: "TODO: say why. Seen: answered mismatch"
          issue: "none: TODO"
          expires: 2026-12-25

        - check: "a/odd[?]x=[[]1"
          implementation: lnd
          signature: {message: "one: \"two\" # three"}
          reason: "TODO: say why. Seen: one: \"two\" # three"
          issue: "none: TODO"
          expires: 2026-12-25
        "###);
        let ledger = Ledger::of_texts(&[("l.yaml".into(), text)], vec![]).unwrap();
        assert_eq!(ledger.unexplained().count(), 3);
        for c in &checks {
            let verdict = ledger.judge(c, "", &failure_of(c), day());
            assert_eq!(verdict.expected, c.id != "a/ours", "{}: {verdict:?}", c.id);
        }
    }

    const OLD: &str = "\
# Ours.
#
- check: a/fixed
  implementation: lnd
  signature: {kind: accepted}
  reason: r
  issue: https://example.org/1
  expires: 2027-01-01

# Why b fails.
- check: a/b
  implementation: lnd
  signature: {kind: accepted} # as seen
  reason: r
  issue: {none: n}
  expires: 2026-01-01
# Elsewhere.
- check: a/elsewhere
  implementation: lnd
  signature: {kind: accepted}
  reason: r
  issue: https://example.org/2
  expires: 2027-01-01
# Other.
- check: a/other
  implementation: lnd
  signature: {kind: accepted}
  reason: r
  issue: https://example.org/2
  expires: 2027-01-01

# The end.
";

    #[test]
    fn prune_takes_out_lines_and_leaves_the_rest_as_it_was() {
        let (_dir, results) = file(vec![
            check("a/fixed", "lnd", Outcome::Passed),
            failed("a/b", "lnd", "accepted"),
            check("a/elsewhere", "cln", Outcome::Passed),
            failed("a/other", "lnd", "crash"),
        ]);
        let changed = prune(Path::new("l.yaml"), OLD, &results).unwrap();
        assert_eq!(
            changed.what,
            [
                "removed a/fixed on lnd: it passes",
                "removed a/other on lnd: it fails in another way"
            ]
        );
        let kept = "\
# Ours.
#
# Why b fails.
- check: a/b
  implementation: lnd
  signature: {kind: accepted} # as seen
  reason: r
  issue: {none: n}
  expires: 2026-01-01
# Elsewhere.
- check: a/elsewhere
  implementation: lnd
  signature: {kind: accepted}
  reason: r
  issue: https://example.org/2
  expires: 2027-01-01

# The end.
";
        assert_eq!(changed.text, kept);
        // What is right is not touched a second time.
        assert_eq!(
            prune(Path::new("l.yaml"), kept, &results).unwrap().text,
            kept
        );
    }

    #[test]
    fn prune_takes_unknown_ids_only_by_an_unfiltered_run() {
        let none = vec![check("z/z", "lnd", Outcome::Passed)];
        let (_dir, results) = file(none.clone());
        assert_eq!(
            prune(Path::new("l.yaml"), OLD, &results)
                .unwrap()
                .what
                .len(),
            4
        );
        let mut records = vec![Record::Run(crate::record::Run {
            filtered: true,
            ..head()
        })];
        records.extend(none.into_iter().map(|c| Record::Check(Box::new(c))));
        let (_dir, results) = write_file(&records);
        assert_eq!(prune(Path::new("l.yaml"), OLD, &results).unwrap().text, OLD);
    }

    #[test]
    fn update_adds_and_drops_nothing() {
        let (_dir, results) = file(vec![
            failed("a/b", "lnd", "accepted"),
            failed("a/new", "lnd", "accepted"),
        ]);
        let none = Ledger::default();
        let changed = update(Path::new("l.yaml"), OLD, &none, &results, day()).unwrap();
        assert_eq!(changed.what, ["added a/new on lnd"]);
        assert!(changed.text.starts_with(OLD));
        let again = update(Path::new("l.yaml"), &changed.text, &none, &results, day()).unwrap();
        assert_eq!(again.text, changed.text);
    }

    #[test]
    fn a_flow_list_cannot_be_pruned() {
        let flow = "[{check: a/b, implementation: lnd, signature: {kind: k}, reason: r, issue: 'https://e.org/1', expires: 2027-01-01}]\n";
        let (_dir, results) = file(vec![check("a/b", "lnd", Outcome::Passed)]);
        let error = prune(Path::new("l.yaml"), flow, &results)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "l.yaml: its entries do not begin on lines of their own; write each as `- check: …`"
        );
    }
}
