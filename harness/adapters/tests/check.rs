//! `adapter check` against a right adapter, the documented example, and adapters with one fault
//! each: every faulty one is refused by the rule that it breaks and by no other, and every rule
//! is broken by one of them.

mod common;

use common::{faulty, limits, repository};
use lnconform_adapters::check::{self, Options, Outcome, Verdict};
use lnconform_adapters::{FaultKind, Launch, Limits};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn options() -> Options {
    Options {
        quiet: Duration::from_millis(20),
        workers: 2,
        ..Options::default()
    }
}

fn of(verdicts: &[Verdict], outcome: Outcome) -> Vec<&'static str> {
    verdicts
        .iter()
        .filter(|v| v.outcome == outcome)
        .map(|v| v.rule)
        .collect()
}

/// Faults, the rules that they break, and a part of what is said about the first of them.
const FAULTS: &[(&str, &[&str], &str)] = &[
    (
        "crash-at-start",
        &["adapter/hello/answer"],
        "exited with code 3 before it answered `hello`",
    ),
    (
        "hang-hello",
        &["adapter/hello/answer"],
        "did not answer `hello` within",
    ),
    (
        "slow-start",
        &["adapter/hello/answer"],
        "did not answer `hello` within",
    ),
    (
        "wrong-protocol",
        &["adapter/hello/version"],
        "protocol 2; 1 was asked",
    ),
    (
        "parrots-protocol",
        &["adapter/hello/version"],
        "offered protocol 1000",
    ),
    (
        "bad-hello",
        &["adapter/hello/shape"],
        "missing field `operations`",
    ),
    ("lists-hello", &["adapter/hello/shape"], "lists `hello`"),
    ("crash", &["adapter/process/stays"], "exited with code 3"),
    (
        "crash-on-request",
        &["adapter/process/stays"],
        "exited with code 3 before it answered `bigsize",
    ),
    (
        "closes-stdout",
        &["adapter/process/stays"],
        "closed its standard output",
    ),
    ("hang", &["adapter/process/answers"], "did not answer"),
    ("garbage", &["adapter/output/answers-only"], "DEBUG"),
    (
        "garbage-before-hello",
        &["adapter/output/answers-only"],
        "Welcome",
    ),
    (
        "two-answers-in-one",
        &["adapter/output/answers-only"],
        "more than one of",
    ),
    (
        "two-objects-in-a-line",
        &["adapter/output/answers-only"],
        "not JSON",
    ),
    ("not-utf8", &["adapter/output/utf8"], "not UTF-8"),
    (
        "dies-mid-line",
        &["adapter/output/whole-lines"],
        "in the middle of a line",
    ),
    (
        "long-line",
        &["adapter/output/line-length"],
        "more than 4194304 bytes",
    ),
    ("double-answer", &["adapter/output/once"], "a second time"),
    ("wrong-id", &["adapter/output/asked"], "never asked"),
    ("flood", &["adapter/output/asked"], "more than 100 answers"),
    ("float-ids", &["adapter/ids/echo"], "never asked"),
    (
        "ignores-before-hello",
        &["adapter/hello/not-first"],
        "did not answer",
    ),
    (
        "answers-anything",
        &["adapter/operations/made-up", "adapter/operations/unlisted"],
        "answered result {}",
    ),
    (
        "lies-about-operations",
        &["adapter/operations/listed"],
        "lists amp.child",
    ),
    (
        "hides-operations",
        &["adapter/operations/unlisted"],
        "`amp.child` answered error",
    ),
    (
        "crash-on-json",
        &["adapter/lines/invalid-json", "adapter/lines/empty"],
        "exited with code 3",
    ),
    (
        "crash-on-array",
        &["adapter/lines/array"],
        "exited with code 3",
    ),
    (
        "answers-no-request",
        &["adapter/lines/no-request"],
        "id is \"1\"",
    ),
    (
        "crash-on-utf8",
        &["adapter/lines/invalid-utf8"],
        "exited with code 3",
    ),
    (
        "reads-latin1",
        &["adapter/lines/invalid-utf8"],
        "answered id 1, which was never asked",
    ),
    (
        "crash-on-empty",
        &["adapter/lines/empty"],
        "exited with code 3",
    ),
    ("cuts-lines", &["adapter/lines/long"], "did not answer"),
    ("shallow", &["adapter/lines/nesting"], "exited with code 3"),
    (
        "small-pipe",
        &["adapter/pipelining/thousand"],
        "exited with code 3",
    ),
    (
        "json-numbers",
        &["adapter/values/numbers"],
        "{\"value\":10,",
    ),
    (
        "null-result",
        &["adapter/values/numbers", "adapter/values/nulls"],
        "answered result null",
    ),
    (
        "null-error",
        &["adapter/values/nulls"],
        "/unsupported/issue",
    ),
    (
        "shutdown-first",
        &["adapter/shutdown/order"],
        "before earlier requests",
    ),
    (
        "ignores-shutdown",
        &[
            "adapter/shutdown/order",
            "adapter/shutdown/exit",
            "adapter/shutdown/end-of-input",
        ],
        "did not answer `shutdown`",
    ),
    (
        "stays-after-shutdown",
        &["adapter/shutdown/exit"],
        "did not exit within",
    ),
    (
        "exit-code",
        &["adapter/shutdown/exit", "adapter/shutdown/end-of-input"],
        "exit status: 1",
    ),
    (
        "end-of-input",
        &["adapter/shutdown/end-of-input"],
        "exit status: 3",
    ),
    (
        "mainnet",
        &["adapter/node/network"],
        "network \"mainnet\" answered result",
    ),
];

/// Adapters that are right, or right enough: with the rules that warn.
const RIGHT: &[(&str, &[&str])] = &[
    ("none", &[]),
    ("node", &[]),
    ("reversed", &[]),
    ("strict-params", &["adapter/params/unknown"]),
    ("internal-errors", &["adapter/operations/listed"]),
];

#[test]
fn each_faulty_adapter_is_refused_by_the_rule_it_breaks() {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((fault, rules, saw)) =
                    FAULTS.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let limits = match *fault {
                        "hang-hello" | "slow-start" => Limits {
                            hello: Duration::from_millis(500),
                            ..limits()
                        },
                        // Waited for; the others end by themselves.
                        "hang" | "cuts-lines" => Limits {
                            codec: Duration::from_secs(1),
                            ..limits()
                        },
                        "ignores-before-hello" => Limits {
                            hello: Duration::from_secs(4),
                            ..limits()
                        },
                        "ignores-shutdown" | "stays-after-shutdown" => Limits {
                            shutdown: Duration::from_millis(700),
                            ..limits()
                        },
                        _ => limits(),
                    };
                    let options = Options {
                        limits,
                        ..options()
                    };
                    let verdicts = check::check(&faulty(fault), &options, |_| {}).unwrap();
                    let failed = of(&verdicts, Outcome::Failed);
                    let first = verdicts.iter().find(|v| v.outcome == Outcome::Failed);
                    if failed != *rules
                        || check::accepted(&verdicts)
                        || !first.is_some_and(|v| v.saw.contains(saw) && !v.advice.is_empty())
                    {
                        let text = check::render(&verdicts);
                        wrong
                            .lock()
                            .unwrap()
                            .push(format!("{fault} should break {rules:?}:\n{text}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_is_broken_by_a_faulty_adapter() {
    let broken: BTreeSet<_> = FAULTS
        .iter()
        .flat_map(|(_, rules, _)| *rules)
        .chain(RIGHT.iter().flat_map(|(_, rules)| *rules))
        .copied()
        .collect();
    let rules: BTreeSet<_> = check::rule_ids().into_iter().collect();
    assert_eq!(broken, rules);
}

#[test]
fn right_adapters_are_accepted() {
    for (name, warnings) in RIGHT {
        let mut seen = Vec::new();
        let verdicts = check::check(&faulty(name), &options(), |v| seen.push(v.rule)).unwrap();
        let text = check::render(&verdicts);
        assert!(check::accepted(&verdicts), "{name}:\n{text}");
        assert_eq!(
            of(&verdicts, Outcome::Warning),
            *warnings,
            "{name}:\n{text}"
        );
        assert_eq!(seen, check::rule_ids());
        assert_eq!(
            of(&verdicts, Outcome::NotApplicable).len(),
            1,
            "{name}:\n{text}"
        );
    }
}

#[test]
fn the_example_of_the_documentation_is_accepted_without_a_warning() {
    let script = repository("docs/examples/adapter.py");
    let text = std::fs::read_to_string(&script).unwrap();
    assert!(text.lines().count() < 60);
    let args = vec![script.to_string_lossy().into_owned()];
    let launch = Launch {
        args,
        ..Launch::new("example", common::python())
    };
    let verdicts = check::check(&launch, &options(), |_| {}).unwrap();
    let text = check::render(&verdicts);
    assert!(check::accepted(&verdicts), "{text}");
    assert!(of(&verdicts, Outcome::Warning).is_empty(), "{text}");
}

#[test]
fn a_program_that_is_missing_is_no_verdict() {
    let fault = check::check(&Launch::new("x", "no-such-program"), &options(), |_| {}).unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
}

#[test]
fn what_does_not_fit_into_the_time_is_said_and_refuses() {
    let options = Options {
        budget: Duration::ZERO,
        ..options()
    };
    let verdicts = check::check(&faulty("none"), &options, |_| {}).unwrap();
    assert!(!check::accepted(&verdicts));
    let late = verdicts
        .iter()
        .find(|v| v.outcome == Outcome::NotRun)
        .unwrap();
    assert!(late.saw.contains("not begun"), "{}", late.saw);
}
