//! Every screen, from runs that hold everything at once.

use crate::terminal::{failure, show};
use crate::{Progress, Requirement, Style, View, diff, github, json};
use lnconform_engine::record::*;
use lnconform_engine::results::{Counters, FORMAT, ResultWriter, Sink};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A name that nobody should be able to use.
pub(crate) const HOSTILE: &str = "<script>\u{1b}[31m`x`|::error::\u{202e}";

/// Why an implementation is not there.
const NO_LND: &str = "no lnd found; install it with `lnconform install lnd`";

/// Screens lie beside the other snapshots of the project.
macro_rules! screen {
    ($name:expr, $text:expr) => {
        insta::with_settings!({
            snapshot_path => "../../../tests/snapshots/screens",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

pub(crate) fn requirement(id: &str) -> Option<Requirement> {
    (id == "bolt12/offer/reader/unknown-even").then(|| Requirement {
        keyword: "MUST NOT".into(),
        section: "BOLT 12, Requirements For Offers".into(),
        paraphrase: "A reader does not respond to an offer with an even type it does not know."
            .into(),
    })
}

pub(crate) fn implementation(name: &str, version: &str, reason: Option<&str>) -> RunImplementation {
    RunImplementation {
        name: name.into(),
        version: version.into(),
        available: reason.is_none(),
        reason: reason.map(str::to_owned),
        self_reported: None,
        untested: None,
    }
}

pub(crate) fn head(implementations: Vec<RunImplementation>) -> Record {
    Record::Run(Run {
        format: FORMAT,
        run: "20261125-120000-abcd".into(),
        harness: "0.1.0".into(),
        vectors: "sha256:00".into(),
        specs: BTreeMap::new(),
        implementations,
        seed: "42".into(),
        machine: "linux x86_64, 2 cores".into(),
        started: "2026-11-25T12:00:00Z".into(),
        command: vec!["lnconform".into(), "run".into()],
        filtered: false,
        shard: None,
    })
}

pub(crate) fn check(id: &str, who: &str, outcome: Outcome) -> Check {
    Check {
        id: id.into(),
        attempt: 1,
        implementation: Some(who.into()),
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
        transcripts: vec![],
        failure: None,
        source: None,
    }
}

pub(crate) fn refused() -> Check {
    Check {
        blame: Some(Blame::Implementation),
        requirements: vec!["bolt12/offer/reader/unknown-even".into()],
        keyword: Some(Keyword::Must),
        message: Some("an error was due, and a result was answered".into()),
        want: Some(json!({"error": {"rule": "bolt12/offer/reader/unknown-even"}})),
        got: Some(json!({"offer_id": "ab".repeat(32), "records": [{"type": "22", "value": "02"}]})),
        evidence: vec![".lnconform/evidence/1/ldk-0.2.stderr".into()],
        rerun: Some("lnconform run 'bolt12/offer/unknown-even' --adapter ldk-0.2".into()),
        failure: Some(Failure {
            kind: Some("accepted".into()),
            ..Failure::default()
        }),
        source: Some("vectors/bolt12/offer/unknown-even.yaml:9".into()),
        ..check("bolt12/offer/unknown-even", "ldk-0.2", Outcome::Failed)
    }
}

pub(crate) fn hostile() -> Check {
    Check {
        message: Some(format!(
            "::error::one\r\n##[error]{HOSTILE}\n::set-env name=x::y"
        )),
        log_tail: Some((1..=30).map(|i| format!("line {i} {HOSTILE}\n")).collect()),
        blame: Some(Blame::Implementation),
        rerun: Some(format!("lnconform run a/b --adapter '{HOSTILE}=./x'")),
        ..check("a/b", HOSTILE, Outcome::Failed)
    }
}

pub(crate) fn scenario() -> Check {
    let roles = [("payee", "lnd"), ("payer", "ldk-node")];
    Check {
        implementation: None,
        roles: Some(roles.map(|(r, i)| (r.to_owned(), i.to_owned())).into()),
        lane: Lane::Cluster,
        attempt: 2,
        blame: Some(Blame::Implementation),
        requirements: vec!["blip-0003/receiver/preimage".into()],
        keyword: Some(Keyword::Must),
        message: Some("payment-received did not come within 15 s; last seen: channel-ready".into()),
        want: Some(json!({"amount_msat": "1000"})),
        log_tail: Some("12:00:01 opened\n12:00:02 closed\n".into()),
        evidence: vec!["/x/payee.log".into(), "/x/payer.log".into()],
        rerun: Some(
            "lnconform run 'keysend/direct#2' --role payee=lnd --role payer=ldk-node".into(),
        ),
        ..check("keysend/direct#2", "", Outcome::Failed)
    }
}

/// One of everything.
pub(crate) fn everything() -> Vec<Record> {
    let warned = Check {
        expected: true,
        warning: true,
        requirements: vec!["bolt11/writer/case".into()],
        keyword: Some(Keyword::Should),
        message: Some("upper case\nand more".into()),
        source: Some("vectors/bolt11/case.yaml:3".into()),
        ..check("bolt11/case", "ldk-0.2", Outcome::Failed)
    };
    let known = Check {
        expected: true,
        expectation: Some("tests/expectations/ldk.yaml:3".into()),
        ..check("bolt12/offer/known", "ldk-0.2", Outcome::Failed)
    };
    let mended = Check {
        expected: false,
        expectation: Some("tests/expectations/ldk.yaml:9".into()),
        message: Some("passes, although tests/expectations/ldk.yaml:9 expects it to fail; remove the entry if it is fixed, or say `flaky: true`".into()),
        rerun: Some("lnconform run 'bolt12/offer/mended' --adapter ldk-0.2".into()),
        ..check("bolt12/offer/mended", "ldk-0.2", Outcome::Passed)
    };
    let absent = Check {
        message: Some(NO_LND.into()),
        ..check("bolt12/offer/known", "lnd", Outcome::CouldNotRun)
    };
    let no_chain = Check {
        message: Some("bitcoind is not installed: `lnconform install bitcoind` installs it".into()),
        ..check("keysend/forwarded#paid", "ldk-node", Outcome::CouldNotRun)
    };
    let checks = [
        check("bolt12/offer/minimal", "reference", Outcome::Passed),
        check("bolt12/offer/minimal", "ldk-0.2", Outcome::Passed),
        check("payer-proof/minimal", "ldk-0.2", Outcome::Unsupported),
        refused(),
        mended,
        warned,
        known,
        absent,
        no_chain,
        scenario(),
        hostile(),
    ];
    let mut records = vec![head(vec![
        implementation("reference", "0.1.0", None),
        implementation("ldk-0.2", "0.2.1", None),
        implementation("lnd", "", Some(NO_LND)),
        implementation(HOSTILE, HOSTILE, None),
    ])];
    let mut counters = Counters::default();
    for check in checks {
        counters.check(&check);
        records.push(Record::Check(Box::new(check)));
    }
    let observation = |id: &str, snapshot, diff: Option<&str>| {
        Record::Observation(Observation {
            id: id.into(),
            implementation: Some("ldk-0.2".into()),
            roles: None,
            value: json!(1),
            snapshot,
            revision: None,
            diff: diff.map(str::to_owned),
        })
    };
    records.push(observation("a/same", SnapshotState::Same, None));
    records.push(observation(
        "bolt12/offer/minimal",
        SnapshotState::Changed,
        Some("--- stored (0.2.1)\n+++ seen (0.2.1)\n@@ -1,2 +1,2 @@\n offer_id: ab\n-issuer: x\n+issuer: y\n"),
    ));
    records.push(observation(
        "a/drift",
        SnapshotState::Drift,
        Some("--- stored (0.2.0)\n+++ seen (0.2.1)\n@@ -1 +1 @@\n-1\n+2\n"),
    ));
    records.push(Record::Disagreement(Disagreement {
        id: "bolt12/offer/silent".into(),
        groups: vec![
            DisagreementGroup {
                implementations: vec!["ldk-0.2".into(), "reference".into()],
                value: json!({"n": 1}),
            },
            DisagreementGroup {
                implementations: vec!["lnd".into()],
                value: json!("other"),
            },
        ],
    }));
    for (name, duration_ms) in [
        ("start", 410),
        ("fund", 350),
        ("steps", 1200),
        ("steps", 300),
    ] {
        let took = std::time::Duration::from_millis(duration_ms);
        records.push(Record::Phase(Phase::new(name, took)));
    }
    let notes = vec![
        "tests/expectations/ldk.yaml:20: a/gone on ldk-0.2: no check has this id; remove the entry"
            .to_owned(),
        "bolt12/offer/minimal on ldk-0.2: the observation changed".to_owned(),
    ];
    let code = counters.exit_code(2, false, false);
    let mut summary = counters.summary(notes, code, Duration::from_millis(2345));
    // As the engine does it: flaky checks are noted, and are not stale.
    summary
        .notes
        .push("flaky: keysend/direct#2 on payee=lnd,payer=ldk-node passed 1 of 2 times".into());
    records.push(Record::Summary(summary));
    records
}

fn pretty(records: &[Record], style: Style) -> String {
    let mut out = Vec::new();
    let mut view = View::new(&mut out, style, Box::new(requirement))
        .with_progress(Progress::hidden())
        .with_results(Path::new(".lnconform/last.jsonl"));
    for record in records {
        view.record(record);
        view.tick();
    }
    view.finish().unwrap();
    drop(view);
    String::from_utf8(out).unwrap()
}

pub(crate) fn file(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let mut writer = ResultWriter::create(&path).unwrap();
    records.iter().for_each(|r| writer.write(r));
    writer.finish().unwrap();
    (dir, path)
}

/// Nothing that a terminal or a log reader would act on.
pub(crate) fn harmless(text: &str) {
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
    assert!(!text.contains('\u{202e}') && !text.contains("##["));
}

#[test]
fn a_run_with_everything_in_it() {
    let text = pretty(&everything(), Style::plain());
    harmless(&text);
    assert!(
        !text.lines().any(|l| l.trim_start().starts_with("::")),
        "{text}"
    );
    screen!("run_everything", text);
}

#[test]
fn a_run_in_which_all_is_well() {
    let passed = check("bolt01/bigsize/zero", "reference", Outcome::Passed);
    let mut counters = Counters::default();
    counters.check(&passed);
    let records = [
        head(vec![implementation("reference", "0.1.0", None)]),
        Record::Check(Box::new(passed)),
        Record::Summary(counters.summary(vec![], 0, Duration::from_millis(12))),
    ];
    screen!("run_all_well", pretty(&records, Style::plain()));
}

/// Scenarios on two implementations: a pair and a line of three in one folder, and a folder with
/// more scenarios than a line has room for.
pub(crate) fn roles() -> Vec<Record> {
    let on = |id: &str, who: &[(&str, &str)], outcome| Check {
        implementation: None,
        roles: Some(
            who.iter()
                .map(|(r, i)| ((*r).to_owned(), (*i).to_owned()))
                .collect(),
        ),
        lane: Lane::Cluster,
        expected: true,
        ..check(id, "", outcome)
    };
    let mut checks = Vec::new();
    let people = ["ldk-node", "lnd"];
    for payer in people {
        for payee in people {
            let pair = [("payee", payee), ("payer", payer)];
            checks.push(on("keysend/direct#received", &pair, Outcome::Passed));
            checks.push(on("keysend/direct#paid", &pair, Outcome::Passed));
            // One that one of the two cannot do.
            let lacks = (payee == "lnd").then_some(Outcome::Unsupported);
            checks.push(on(
                "keysend/held?seconds=1/2#held",
                &pair,
                lacks.unwrap_or(Outcome::Passed),
            ));
            if payer == "lnd" {
                checks.push(on("keysend/only-lnd#x", &pair, Outcome::NotApplicable));
            }
            for n in 1..=14 {
                let id = format!("keysend-proof/live/receipt-number-{n}#x");
                checks.push(on(&id, &pair, Outcome::Passed));
            }
            for forwarder in people {
                let line = [("forwarder", forwarder), pair[0], pair[1]];
                let mut received = on("keysend/forwarded#received", &line, Outcome::Passed);
                let mut paid = on("keysend/forwarded#paid", &line, Outcome::Passed);
                if (payer, forwarder, payee) == ("lnd", "lnd", "ldk-node") {
                    // The ledger expects it, and what follows is not reached.
                    received.outcome = Outcome::Failed;
                    paid.outcome = Outcome::CouldNotRun;
                }
                if (payer, forwarder, payee) == ("ldk-node", "ldk-node", "lnd") {
                    paid.outcome = Outcome::Failed;
                    paid.expected = false;
                }
                checks.extend([received, paid]);
            }
        }
    }
    // Of one choice there is nothing to compare.
    checks.push(on(
        "bolt12/live/offer#x",
        &[("payee", "ldk-node"), ("payer", "ldk-node")],
        Outcome::Passed,
    ));
    let checks = checks.into_iter().map(|c| Record::Check(Box::new(c)));
    std::iter::once(head(vec![])).chain(checks).collect()
}

#[test]
fn who_paid_whom_is_a_table_without_an_empty_cell() {
    let text = pretty(&roles(), Style::plain());
    let end = text.find("  passed  unexpected").unwrap();
    let tables = &text[text.find("keysend/, ").unwrap()..end];
    // The heading of the counts, which follow, is cut off.
    let tables = &tables[..tables.rfind('\n').unwrap() + 1];
    assert!(!tables.contains("bolt12"), "{tables}");
    for line in tables.lines() {
        assert!(line.chars().count() <= Style::plain().width, "{line}");
    }
    screen!("role_matrix", tables);

    // The result file shows the same.
    let (_dir, path) = file(&roles());
    let mut out = Vec::new();
    show(&path, &mut out, Style::plain(), Box::new(requirement)).unwrap();
    assert!(String::from_utf8(out).unwrap().contains(tables));
}

#[test]
fn simulations_are_called_so() {
    let simulated = |outcome| Check {
        simulation: true,
        ..check("keysend-proof/point-lock/lock", "reference", outcome)
    };
    let shown = |checks: Vec<Check>| {
        let records: Vec<Record> = checks
            .into_iter()
            .map(|c| Record::Check(Box::new(c)))
            .collect();
        pretty(&records, Style::plain())
    };
    let plain = check("bolt01/bigsize/zero", "reference", Outcome::Failed);
    let text = shown(vec![simulated(Outcome::Failed), plain.clone()]);
    assert!(
        text.contains("FAILED  keysend-proof/point-lock/lock on reference, simulation\n"),
        "{text}"
    );
    assert!(
        text.contains("FAILED  bolt01/bigsize/zero on reference\n"),
        "{text}"
    );
    assert!(text.contains("\n1 of these is a simulation\n"), "{text}");

    // One that could not be made is none.
    let text = shown(vec![
        simulated(Outcome::Passed),
        simulated(Outcome::Failed),
        simulated(Outcome::Unsupported),
    ]);
    assert!(text.contains("\n2 of these are simulations\n"), "{text}");
    assert!(!shown(vec![plain]).contains("simulation"));
}

#[test]
fn what_we_never_ran_is_marked_wherever_it_is_shown() {
    let mark = "never run against the real node in our CI";
    let mut marked = implementation("cln", "v25.09", None);
    marked.untested = Some(mark.into());
    let mut absent = implementation("eclair", "", Some("set ECLAIR_HOME"));
    absent.untested = Some(mark.into());
    let reference = implementation("reference", "0.1.0", None);
    let mut records = vec![head(vec![reference, marked, absent])];
    records.push(Record::Check(Box::new(check(
        "a/b",
        "cln",
        Outcome::Passed,
    ))));
    let text = pretty(&records, Style::plain());
    // At the beginning and at the end; who is not there has no results.
    assert_eq!(text.matches(&format!("cln: {mark}")).count(), 2, "{text}");
    assert_eq!(text.matches(mark).count(), 2, "{text}");
    let (folder, path) = file(&records);
    let page = folder.path().join("page.md");
    github::show(&path, &mut Vec::new(), Some(page.clone())).unwrap();
    let page = std::fs::read_to_string(page).unwrap();
    assert_eq!(page.matches(mark).count(), 1, "{page}");
    let mut out = Vec::new();
    json::show(&path, &mut out).unwrap();
    let summary: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(summary["untested"], json!({ "cln": mark }));
    // Without one there is no trace of it.
    let (_folder, path) = file(&everything());
    let mut out = Vec::new();
    json::show(&path, &mut out).unwrap();
    let summary: Value = serde_json::from_slice(&out).unwrap();
    assert!(summary.get("untested").is_none());
}

#[test]
fn why_checks_could_not_run_is_told_once_for_each_reason() {
    let idle = |id: &str, who: &str, why: &str| {
        Record::Check(Box::new(Check {
            message: Some(why.into()),
            expected: false,
            ..check(id, who, Outcome::CouldNotRun)
        }))
    };
    let nothing = "adapter mine: there is no program ./nothing";
    let mut records = vec![head(vec![implementation("mine", "", None)])];
    records.extend((0..300).map(|n| idle(&format!("a/{n}"), "mine", nothing)));
    records.push(idle("b/0", "mine", "no bitcoind"));
    records.push(idle("b/1", "other", nothing));
    // What comes behind them is not lost.
    let wrong = check("c/0", "other", Outcome::Failed);
    records.push(Record::Check(Box::new(Check {
        expected: false,
        ..wrong
    })));
    let text = pretty(&records, Style::plain());
    let told: Vec<&str> = text.lines().filter(|l| l.starts_with("COULD")).collect();
    assert_eq!(
        told,
        [
            "COULD NOT RUN  a/0 on mine",
            "COULD NOT RUN  b/0 on mine",
            "COULD NOT RUN  b/1 on other",
            &format!("COULD NOT RUN  299 more checks on mine: {nothing}"),
        ]
    );
    assert!(text.contains("\nFAILED  c/0 on other\n"), "{text}");
    assert!(text.contains("\n303 checks"), "{text}");
}

#[test]
fn colours_are_for_terminals() {
    let style = Style {
        color: true,
        ..Style::plain()
    };
    let text = failure(&refused(), style, &requirement);
    assert!(
        text.contains("\u{1b}[1m\u{1b}[31mFAILED\u{1b}[0m"),
        "{text:?}"
    );
    let plain = failure(&refused(), Style::plain(), &requirement);
    let mut stripped = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

#[test]
fn a_failure_fits_on_a_screen() {
    let deep: Value = (0..200)
        .map(|i| json!({"type": i.to_string(), "value": "00".repeat(500)}))
        .collect();
    let monster = Check {
        requirements: (0..50)
            .map(|i| format!("spec/rule-{i}-{}", "x".repeat(300)))
            .collect(),
        message: Some("a long line ".repeat(100)),
        want: Some(json!({"records": deep})),
        got: Some(json!({"records": []})),
        log_tail: Some("log ".repeat(1000) + &"\nlog".repeat(1000)),
        evidence: (0..50).map(|i| format!("/evidence/{i}")).collect(),
        expectation: Some("l.yaml:1".into()),
        blame: Some(Blame::Harness),
        flaky: true,
        attempt: 7,
        ..refused()
    };
    let any = |_: &str| {
        let known = requirement("bolt12/offer/reader/unknown-even")?;
        Some(Requirement {
            paraphrase: known.paraphrase.repeat(9),
            ..known
        })
    };
    let text = failure(&monster, Style::plain(), &any);
    assert!(
        text.lines().count() <= 40,
        "{} lines:\n{text}",
        text.lines().count()
    );
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    for part in [
        "FAILED",
        "rule-0",
        "wanted",
        "blame",
        "log",
        "/evidence/0",
        "again   lnconform run",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[test]
fn many_failures_do_not_flood_the_screen_or_the_memory() {
    let mut records = vec![head(vec![])];
    for i in 0..5000 {
        let check = Check {
            id: format!("a/{i}"),
            ..refused()
        };
        records.push(Record::Check(Box::new(check)));
    }
    let text = pretty(&records, Style::plain());
    assert!(text.lines().count() < 1000, "{}", text.lines().count());
    assert!(text.contains("a/24 on") && text.contains("a/199 on") && !text.contains("a/201 on"));
    assert!(text.contains("… more unexpected results, in the result file"));
    assert!(text.contains("the run was ended before its end"));
    let mut out = Vec::new();
    let mut view = json::JsonView::new(&mut out);
    records.iter().for_each(|r| view.record(r));
    view.finish().unwrap();
    drop(view);
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["unexpected"].as_array().unwrap().len(), 1000);
    assert_eq!(value["unexpected_total"], 5000);
    assert!(value.get("exit_code").is_none());
}

#[test]
fn a_file_shows_what_the_run_showed() {
    let (_dir, path) = file(&everything());
    let mut out = Vec::new();
    let end = show(&path, &mut out, Style::plain(), Box::new(requirement)).unwrap();
    assert!(!end.unfinished && !end.cut);
    let shown = String::from_utf8(out).unwrap();
    let name = path.display().to_string();
    assert_eq!(
        shown.replace(&name, ".lnconform/last.jsonl"),
        pretty(&everything(), Style::plain())
    );
    // Cut in the middle of its last line.
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let mut out = Vec::new();
    let end = show(&path, &mut out, Style::plain(), Box::new(requirement)).unwrap();
    let shown = String::from_utf8(out).unwrap();
    assert!(end.cut && end.unfinished);
    assert!(
        shown.contains("cut in the middle") && shown.contains("ended before its end"),
        "{shown}"
    );
}

#[test]
fn a_reader_that_went_away_is_no_fault() {
    struct Closed(std::io::ErrorKind);
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let outcome = |kind| {
        let mut view = View::new(Closed(kind), Style::plain(), Box::new(requirement));
        everything().iter().for_each(|r| view.record(r));
        view.finish().map_err(|e| e.kind())
    };
    assert_eq!(outcome(std::io::ErrorKind::BrokenPipe), Ok(()));
    assert_eq!(
        outcome(std::io::ErrorKind::StorageFull),
        Err(std::io::ErrorKind::StorageFull)
    );
}

#[test]
fn one_object_sums_it_up() {
    let (_dir, path) = file(&everything());
    let mut out = Vec::new();
    json::show(&path, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let name = path.display().to_string();
    harmless(&text);
    screen!("run_json", text.replace(&name, "r.jsonl"));
}

#[test]
fn annotations_and_the_page_of_a_run() {
    let (dir, path) = file(&everything());
    let page = dir.path().join("summary.md");
    std::fs::write(&page, "before\n").unwrap();
    let mut out = Vec::new();
    github::show(&path, &mut out, Some(page.clone())).unwrap();
    let text = String::from_utf8(out).unwrap();
    harmless(&text);
    // Each command is ours: one a line, and nothing from outside begins one.
    for line in text.lines().filter(|l| l.trim_start().starts_with("::")) {
        assert!(
            ["::error ", "::warning ", "::notice "]
                .iter()
                .any(|c| line.starts_with(c)),
            "{line}"
        );
    }
    assert_eq!(
        text.lines().filter(|l| l.starts_with("::error ")).count(),
        6
    );
    screen!("run_github", text);
    let page = std::fs::read_to_string(&page).unwrap();
    harmless(&page);
    assert!(page.starts_with("before\n") && !page.contains("<script"));
    screen!("run_github_page", page);
}

#[test]
fn what_changed_between_two_runs() {
    let failed = |id: &str, kind: &str| Check {
        failure: Some(Failure {
            kind: Some(kind.into()),
            ..Failure::default()
        }),
        ..check(id, "ldk-0.2", Outcome::Failed)
    };
    let known = |id: &str, kind: &str| Check {
        expected: true,
        ..failed(id, kind)
    };
    let passed = |id: &str| check(id, "ldk-0.2", Outcome::Passed);
    let of = |version: &str, checks: Vec<Check>, seen: i32| {
        let mut records = vec![head(vec![implementation("ldk-0.2", version, None)])];
        records.extend(checks.into_iter().map(|c| Record::Check(Box::new(c))));
        records.push(Record::Observation(Observation {
            id: "a/seen".into(),
            implementation: Some("ldk-0.2".into()),
            roles: None,
            value: json!({"x": seen}),
            snapshot: SnapshotState::New,
            revision: None,
            diff: None,
        }));
        records.push(Record::Summary(Counters::default().summary(
            vec![],
            0,
            Duration::ZERO,
        )));
        file(&records)
    };
    let (_old_dir, old) = of(
        "0.2.1",
        vec![
            passed("a/same"),
            passed("a/same"),
            passed("a/broke"),
            failed("a/mended", "crash"),
            passed("a/gone"),
            known("a/otherwise", "invalid"),
            passed("a/flaky"),
        ],
        1,
    );
    let (_new_dir, new) = of(
        "0.2.2",
        vec![
            passed("a/same"),
            failed("a/broke", "accepted"),
            passed("a/mended"),
            known("a/otherwise", "timeout"),
            passed("a/new"),
            failed("a/new-and-bad", HOSTILE),
            passed("a/flaky"),
            known("a/flaky", "timeout"),
        ],
        2,
    );
    let changes = diff::compare(&old, &new).unwrap();
    assert_eq!(
        (changes.new_trouble(), changes.same, changes.is_empty()),
        (2, 1, false)
    );
    let mut out = Vec::new();
    changes.write(&mut out, Style::plain()).unwrap();
    let text = String::from_utf8(out).unwrap();
    harmless(&text);
    screen!("diff", text);
    let none = diff::compare(&new, &new).unwrap();
    assert!(none.is_empty() && none.new_trouble() == 0);
}

#[test]
fn the_table_folds_what_is_too_long() {
    let mut records = vec![head(vec![])];
    for i in 0..100 {
        let outcome = if i == 77 {
            Outcome::Failed
        } else {
            Outcome::Passed
        };
        let check = check("a/b", &format!("adapter-{i:03}"), outcome);
        records.push(Record::Check(Box::new(check)));
    }
    let text = pretty(&records, Style::plain());
    assert!(
        text.contains("71 others") && text.contains("adapter-077"),
        "{text}"
    );
    let all = text.lines().find(|l| l.starts_with("all ")).unwrap();
    assert_eq!(
        all.split_whitespace().collect::<Vec<_>>(),
        ["all", "99", "1"]
    );
}

/// A run with many choices of roles is not a scroll of tables: what is unexpected is shown, the rest
/// is one table of roles against implementations, and one row of counts.
#[test]
fn many_choices_of_roles_are_one_table() {
    let on = |id: &str, payer: &str, payee: &str, outcome| Check {
        implementation: None,
        roles: Some(
            [("payee", payee), ("payer", payer)]
                .map(|(r, i)| (r.into(), i.into()))
                .into(),
        ),
        lane: Lane::Cluster,
        ..check(id, "", outcome)
    };
    let mut records = vec![head(vec![])];
    let mut add = |check: Check| records.push(Record::Check(Box::new(check)));
    let who: Vec<String> = (0..7).map(|n| format!("node-{n}")).collect();
    for payer in &who {
        for payee in &who {
            add(on("wire/many#paid", payer, payee, Outcome::Passed));
            let lacks = payee == "node-6";
            let outcome = if lacks {
                Outcome::Unsupported
            } else {
                Outcome::Passed
            };
            let mut check = on("wire/many#told", payer, payee, outcome);
            check.expected = true;
            add(check);
        }
        let mut failed = on("few/one#paid", payer, "node-0", Outcome::Failed);
        failed.expected = payer != "node-3";
        add(failed);
    }
    let text = pretty(&records, Style::plain());
    let (_, ending) = text.split_once("few/, by who").unwrap();
    screen!("roles_many", format!("few/, by who{ending}"));
}
