//! `--format junit`: what CI systems that know no other format read.
//!
//! A suite for each implementation or choice of roles, a case for each check. What decides the exit
//! code of a run is a failure or an error here, and nothing else is: a failure that the ledger
//! foretells, a SHOULD that does not hold and what an implementation lacks are skipped cases with
//! their reason, so that they are neither red nor lost among the passed.

use crate::difference;
use crate::digest::Digest;
use crate::terminal::ReportError;
use crate::text::{clean, clean_lines};
use lnconform_engine::record::{Blame, Check, Outcome, Record};
use lnconform_engine::results::{ReadEnd, Sink, visit};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Lines of a difference.
const DIFFERENCE: usize = 60;
/// Characters of a line of a difference.
const WIDTH: usize = 160;

/// Writes a result file as JUnit XML.
///
/// # Errors
/// The result file, the output.
pub fn show<W: Write>(path: &Path, mut out: W) -> Result<ReadEnd, ReportError> {
    let mut digest = Digest::default();
    let mut cases: BTreeMap<String, Vec<TestCase>> = BTreeMap::new();
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    let end = visit(path, |record| {
        digest.record(&record);
        if let Record::Check(check) = &record {
            let who = match check.who() {
                who if who.is_empty() => "(nobody)".to_owned(),
                who => clean(&who).into_owned(),
            };
            let time = times.entry(who.clone()).or_default();
            *time = time.saturating_add(check.duration_us);
            cases.entry(who).or_default().push(case(check));
        }
    })?;
    let mut report = Report::new("lnconform");
    if let Some(summary) = &digest.summary {
        report.set_time(Duration::from_millis(summary.duration_ms));
    }
    let versions = digest.versions();
    for (who, cases) in cases {
        let mut suite = TestSuite::new(who.as_str());
        suite.set_time(Duration::from_micros(
            times.get(&who).copied().unwrap_or_default(),
        ));
        if let Some(version) = versions.get(who.as_str()).filter(|v| !v.is_empty()) {
            suite.add_property(("version", clean(version).as_ref()));
        }
        suite.add_test_cases(cases);
        report.add_test_suite(suite);
    }
    report.add_test_suite(of_run(&digest));
    let text = report.to_string().map_err(io::Error::other)?;
    // The schema that most readers share calls it so. A quotation mark of anybody else's is escaped, so
    // that this is the attribute and nothing else.
    let text = text.replace(" disabled=\"", " skipped=\"");
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(end)
}

/// The run itself: what is wrong with it apart from its checks.
fn of_run(digest: &Digest) -> TestSuite {
    let mut suite = TestSuite::new("lnconform run");
    if let Some(h) = &digest.header {
        for (name, value) in [
            ("run", &h.run),
            ("harness", &h.harness),
            ("seed", &h.seed),
            ("vectors", &h.vectors),
            ("started", &h.started),
            ("machine", &h.machine),
        ] {
            suite.add_property((name, clean(value).as_ref()));
        }
        for (spec, revision) in &h.specs {
            let name = format!("spec {}", clean(spec));
            suite.add_property((name.as_str(), clean(revision).as_ref()));
        }
    }
    let (stale, flaky) = digest.notes();
    for note in stale {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type("stale").set_message(clean(note).as_ref());
        let mut case = TestCase::new(clean(note).as_ref(), status);
        case.set_classname("stale, changed or missing");
        suite.add_test_case(case);
    }
    for note in flaky {
        let mut status = TestCaseStatus::skipped();
        status.set_type("flaky").set_message(clean(note).as_ref());
        let mut case = TestCase::new(clean(note).as_ref(), status);
        case.set_classname("flaky");
        suite.add_test_case(case);
    }
    let good = digest.summary.as_ref().is_some_and(|s| s.exit_code == 0);
    let verdict = digest.verdict();
    let status = match good {
        true => TestCaseStatus::success(),
        false => {
            // Whoever counts failures alone has those of the checks; this one is about the run.
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("exit-code").set_message(verdict.as_str());
            status
        }
    };
    let mut case = TestCase::new("the run as a whole", status);
    case.set_classname("run").set_system_out(verdict.as_str());
    suite.add_test_case(case);
    suite
}

fn case(check: &Check) -> TestCase {
    let message = check
        .message
        .as_deref()
        .and_then(|m| m.lines().next())
        .map(|m| clean(m).into_owned())
        .unwrap_or_default();
    let (mut status, kind, message) = match check.outcome {
        Outcome::Passed if check.expected => (TestCaseStatus::success(), None, message),
        _ if check.expected => {
            let (kind, why) = match check.outcome {
                Outcome::Failed if check.warning => ("warning", "a SHOULD does not hold"),
                Outcome::Failed => ("known-failure", "a known failure"),
                other => (other.as_str(), other.as_str()),
            };
            let mut told = why.to_owned();
            if let Some(entry) = &check.expectation {
                told.push_str(&format!(" ({})", clean(entry)));
            }
            if !message.is_empty() {
                told.push_str(&format!(": {message}"));
            }
            (TestCaseStatus::skipped(), Some(kind.to_owned()), told)
        }
        outcome => {
            let error = matches!(check.blame, Some(Blame::Harness | Blame::Environment))
                || outcome == Outcome::CouldNotRun;
            let kind = match (outcome, &check.failure) {
                (Outcome::Passed, _) => "unexpected-pass".to_owned(),
                (Outcome::Failed, Some(failure)) => failure
                    .kind
                    .as_deref()
                    .map_or("failed".to_owned(), |k| clean(k).into_owned()),
                (outcome, _) => outcome.as_str().to_owned(),
            };
            let status = TestCaseStatus::non_success(match error {
                true => NonSuccessKind::Error,
                false => NonSuccessKind::Failure,
            });
            (status, Some(kind), message)
        }
    };
    if let Some(kind) = kind {
        status.set_type(kind.as_str());
        status.set_message(message.as_str());
        if !check.expected {
            status.set_description(description(check).as_str());
        }
    }
    let mut name = clean(&check.id).into_owned();
    if check.attempt > 1 {
        name.push_str(&format!(" (attempt {})", check.attempt));
    }
    let mut case = TestCase::new(name.as_str(), status);
    case.set_classname(clean(crate::sections::section(&check.id)).as_ref());
    case.set_time(Duration::from_micros(check.duration_us));
    if check.flaky {
        case.set_system_out("flaky");
    }
    case
}

/// Everything about an unexpected result, in lines.
fn description(check: &Check) -> String {
    let mut lines: Vec<String> = Vec::new();
    if !check.requirements.is_empty() {
        let keyword = check
            .keyword
            .map_or(String::new(), |k| format!("{k:?} ").to_uppercase());
        lines.push(format!(
            "{keyword}{}",
            clean(&check.requirements.join(", "))
        ));
    }
    lines.extend(
        check
            .message
            .iter()
            .flat_map(|m| clean_lines(m))
            .map(std::borrow::Cow::into_owned),
    );
    if let (Some(want), Some(got)) = (&check.want, &check.got) {
        lines.push("wanted (-) and got (+):".into());
        lines.extend(
            difference::of_values(want, got, WIDTH, DIFFERENCE)
                .iter()
                .map(|(mark, line)| format!("{}{line}", mark.sign())),
        );
    }
    if let Some(blame) = check.blame {
        lines.push(format!("blame: {}", format!("{blame:?}").to_lowercase()));
    }
    if let Some(log) = &check.log_tail {
        lines.push("the tail of the log:".into());
        lines.extend(clean_lines(log).map(|l| format!("  {l}")));
    }
    for (name, value) in [("vector", &check.source), ("again", &check.rerun)] {
        if let Some(value) = value {
            lines.push(format!("{name}: {}", clean(value)));
        }
    }
    lines.extend(
        check
            .evidence
            .iter()
            .map(|p| format!("evidence: {}", clean(p))),
    );
    lines.join("\n")
}
