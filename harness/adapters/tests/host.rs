//! The host against adapters with one fault each.

mod common;

use common::{faulty, limits};
use lnconform_adapters::{Adapter, Blame, Fault, FaultKind, Launch, Limits, Supervised};
use lnconform_protocol::Answer;
use serde_json::{Value, json};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(5);

fn ask(adapter: &Adapter) -> Result<Answer, Fault> {
    adapter.call("bigsize.decode", &json!({"bytes": "0aff"}), DEADLINE)
}

/// What is wrong with a faulty adapter: at its start, at a request, just after it or at its end.
fn fault_of(launch: Launch, limits: Limits) -> Option<Fault> {
    let adapter = match Adapter::start(launch, limits) {
        Ok(adapter) => adapter,
        Err(fault) => return Some(fault),
    };
    if let Err(fault) = ask(&adapter) {
        return Some(fault);
    }
    if let Err(fault) = adapter.settle() {
        return Some(fault);
    }
    adapter.shutdown().err()
}

#[test]
fn a_right_adapter_is_asked_and_stopped() {
    let adapter = Adapter::start(faulty("none"), limits()).unwrap();
    assert_eq!(adapter.hello().implementation.name, "faulty");
    assert_eq!(
        ask(&adapter).unwrap(),
        Answer::Result(json!({"value": "10", "rest": "ff"}))
    );
    assert!(matches!(
        adapter.call("x", &json!({}), DEADLINE).unwrap(),
        Answer::Unsupported(_)
    ));
    assert!(adapter.shutdown().unwrap().success());
}

#[test]
fn each_fault_is_one_result_with_its_reason() {
    use FaultKind::*;
    let short = Duration::from_millis(700);
    // Fault, kind, a part of the message, a part of standard error.
    let cases: &[(&str, FaultKind, &str, &str)] = &[
        (
            "crash",
            Died,
            "exited with code 3 before it answered `bigsize.decode`",
            "Segmentation",
        ),
        (
            "crash-at-start",
            Died,
            "exited with code 3 before it answered `hello`",
            "no license",
        ),
        (
            "hang",
            Hung,
            "did not answer `bigsize.decode` within 700 ms",
            "thinking",
        ),
        (
            "hang-hello",
            NoHello,
            "did not answer `hello` within 700 ms",
            "",
        ),
        (
            "slow-start",
            NoHello,
            "did not answer `hello` within 700 ms",
            "",
        ),
        ("garbage", Garbage, "DEBUG: decoding \\u{1b}[1mnow", ""),
        (
            "garbage-before-hello",
            Garbage,
            "it had not answered `hello`",
            "",
        ),
        ("two-answers-in-one", Garbage, "more than one of", ""),
        ("two-objects-in-a-line", Garbage, "not JSON", ""),
        (
            "wrong-id",
            NeverAsked,
            "which was never asked: {\"id\": ",
            "",
        ),
        (
            "double-answer",
            AnsweredTwice,
            "answered `bigsize.decode` a second time: {\"id\"",
            "",
        ),
        (
            "flood",
            Flood,
            "more than 100 answers that nobody asked for",
            "",
        ),
        (
            "dies-mid-line",
            DiedMidLine,
            "exited with code 1 in the middle of a line: {\"id\"",
            "",
        ),
        (
            "closes-stdout",
            ClosedStdout,
            "closed its standard output before it answered",
            "",
        ),
        ("not-utf8", NotUtf8, "not UTF-8", ""),
        (
            "long-line",
            LineTooLong,
            "more than 4194304 bytes, which begins with: {\"id\"",
            "",
        ),
        (
            "wrong-protocol",
            WrongProtocol,
            "protocol 2; 1 was asked",
            "",
        ),
        ("bad-hello", BadHello, "missing field `operations`", ""),
        ("ignores-shutdown", Hung, "did not answer `shutdown`", ""),
        ("stays-after-shutdown", Hung, "did not exit within", ""),
    ];
    std::thread::scope(|scope| {
        for (name, kind, message, stderr) in cases {
            scope.spawn(move || {
                let mut limits = limits();
                match kind {
                    NoHello => limits.hello = short,
                    Hung => limits.shutdown = short,
                    _ => {}
                }
                let launch = faulty(name);
                let fault = if *name == "hang" {
                    let adapter = Adapter::start(launch, limits).unwrap();
                    let params = json!({"bytes": "0a"});
                    Some(adapter.call("bigsize.decode", &params, short).unwrap_err())
                } else {
                    fault_of(launch, limits)
                };
                let fault = fault.unwrap_or_else(|| panic!("{name}: no fault"));
                assert_eq!(fault.kind, *kind, "{name}: {fault}");
                assert_eq!(fault.blame, Blame::Implementation, "{name}");
                assert!(fault.message.contains(message), "{name}: {fault}");
                assert!(
                    fault.message.starts_with(&format!("adapter {name} ")),
                    "{name}: {fault}"
                );
                assert!(fault.message.len() < 400, "{name}: {fault}");
                assert!(
                    fault.stderr_tail.contains(stderr),
                    "{name}: {}",
                    fault.stderr_tail
                );
                assert_eq!(fault.could_not_run(), *kind == NoHello, "{name}");
            });
        }
    });
    // The exit code is the caller's to judge.
    let adapter = Adapter::start(faulty("exit-code"), limits()).unwrap();
    assert_eq!(adapter.shutdown().unwrap().code(), Some(1));
}

#[test]
fn what_cannot_be_started_is_the_environment_s_fault() {
    let fault = fault_of(Launch::new("none", "no-such-program-here"), limits()).unwrap();
    assert_eq!(
        (fault.kind, fault.blame),
        (FaultKind::NotFound, Blame::Environment)
    );
    assert!(
        fault.message.contains("no program no-such-program-here"),
        "{fault}"
    );
    let fault = fault_of(Launch::new("none", "/dev/null"), limits()).unwrap();
    assert!(fault.message.contains("not executable"), "{fault}");
    let launch = Launch {
        cwd: Some("/no/such/folder".into()),
        ..faulty("none")
    };
    let fault = fault_of(launch, limits()).unwrap();
    assert!(fault.message.contains("working directory"), "{fault}");
}

#[test]
fn a_fault_fails_all_that_is_outstanding_and_all_that_comes() {
    let adapter = Adapter::start(faulty("crash"), limits()).unwrap();
    let (send, receive) = channel();
    for i in 0..3 {
        let send = send.clone();
        adapter.submit(
            "bigsize.decode",
            &json!({"bytes": "0a"}),
            DEADLINE,
            move |result| {
                send.send((i, result.unwrap_err())).unwrap();
            },
        );
    }
    for _ in 0..3 {
        let (_, fault) = receive.recv_timeout(DEADLINE).unwrap();
        assert_eq!(fault.kind, FaultKind::Died);
        assert!(fault.stderr_tail.contains("Segmentation"));
    }
    assert_eq!(ask(&adapter).unwrap_err().kind, FaultKind::Died);
}

#[test]
fn several_threads_call_at_once_and_get_their_own_answers() {
    let adapter = Adapter::start(faulty("reversed"), limits()).unwrap();
    std::thread::scope(|scope| {
        for i in 1..9 {
            let adapter = &adapter;
            scope.spawn(move || {
                for j in 0..5 {
                    let n = i * 20 + j;
                    let params = json!({"bytes": format!("{n:02x}")});
                    let answer = adapter.call("bigsize.decode", &params, DEADLINE).unwrap();
                    assert_eq!(
                        answer,
                        Answer::Result(json!({"value": n.to_string(), "rest": ""}))
                    );
                }
            });
        }
    });
    assert!(adapter.shutdown().unwrap().success());
}

#[test]
fn standard_error_is_kept_to_64_kib_and_appended_to_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("adapter.log");
    std::fs::write(&log, "before\n").unwrap();
    let script = "import sys\nprint('first', 'x' * 200000, 'last', file=sys.stderr)";
    let args = ["-I", "-S", "-c", script].map(str::to_owned).to_vec();
    let launch = Launch {
        args,
        log: Some(log.clone()),
        ..Launch::new("loud", common::python())
    };
    let fault = fault_of(launch, limits()).unwrap();
    assert_eq!(fault.kind, FaultKind::Died);
    assert_eq!(fault.stderr_tail.len(), 64 * 1024);
    assert!(fault.stderr_tail.ends_with("last\n"));
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.starts_with("before\nfirst x") && text.ends_with("x last\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn dropping_kills_what_the_adapter_started() {
    let script = "import os, sys, time\nif os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\n\
                  os.execv(sys.executable, [sys.executable, '-I', '-S', sys.argv[1], 'none'])";
    let mut launch = faulty("none");
    let path = launch.args[2].clone();
    launch.args = ["-I", "-S", "-c", script, &path]
        .map(str::to_owned)
        .to_vec();
    let adapter = Adapter::start(launch, limits()).unwrap();
    ask(&adapter).unwrap();
    let group = adapter.id();
    drop(adapter);
    let members = || -> Vec<String> {
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
            .filter(|stat| {
                let rest = stat.rsplit(')').next().unwrap_or_default();
                let fields: Vec<_> = rest.split_whitespace().collect();
                fields.get(2) == Some(&group.to_string().as_str()) && fields[0] != "Z"
            })
            .collect()
    };
    let until = Instant::now() + DEADLINE;
    loop {
        let left = members();
        if left.is_empty() {
            break;
        }
        assert!(
            Instant::now() < until,
            "what the adapter started lives on: {left:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What came of each request, of none in particular, and how often the process was restarted.
type Batch = (
    Vec<Result<Answer, Fault>>,
    Vec<(Option<usize>, FaultKind)>,
    u64,
);

/// Runs a batch of `n` requests with the poison at `poisons`.
fn batch(launch: Launch, n: usize, poisons: &[usize], window: usize, deadline: Duration) -> Batch {
    let params: Vec<Value> = (0..n)
        .map(|i| match poisons.contains(&i) {
            true => json!({"bytes": "dead"}),
            false => json!({"bytes": format!("{:02x}", i % 200)}),
        })
        .collect();
    let mut adapter = Supervised::new(launch, limits());
    let mut results: Vec<Option<Result<Answer, Fault>>> = (0..n).map(|_| None).collect();
    let requests = params.iter().map(|p| ("bigsize.decode", p));
    let late = adapter.batch(requests, window, deadline, |i, result, _| {
        assert!(
            results[i].replace(result).is_none(),
            "request {i} came twice"
        );
    });
    let restarts = adapter.restarts();
    adapter.shutdown().unwrap();
    (
        results.into_iter().map(Option::unwrap).collect(),
        late.into_iter().map(|l| (l.index, l.fault.kind)).collect(),
        restarts,
    )
}

fn failed(results: &[Result<Answer, Fault>]) -> Vec<usize> {
    (0..results.len())
        .filter(|&i| results[i].is_err())
        .collect()
}

#[test]
fn a_batch_is_answered_in_any_order() {
    for fault in ["none", "reversed"] {
        let (results, late, restarts) = batch(faulty(fault), 700, &[], 50, DEADLINE);
        for (i, result) in results.iter().enumerate() {
            let want = json!({"value": (i % 200).to_string(), "rest": ""});
            assert_eq!(result.as_ref().unwrap(), &Answer::Result(want), "{fault}");
        }
        assert!(late.is_empty() && restarts == 0);
    }
}

#[test]
fn only_the_request_that_kills_the_adapter_fails() {
    let (results, late, _) = batch(faulty("crash-on-poison"), 300, &[7, 150], 64, DEADLINE);
    assert_eq!(failed(&results), [7, 150]);
    let fault = results[7].as_ref().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Died);
    assert!(fault.stderr_tail.contains("poisoned"));
    assert!(late.is_empty());
    // One at a time there is nothing to look for.
    let (results, _, restarts) = batch(faulty("crash-on-poison"), 6, &[2], 1, DEADLINE);
    assert_eq!((failed(&results), restarts), (vec![2], 1));
}

#[test]
fn only_the_request_that_hangs_the_adapter_fails() {
    let short = Duration::from_millis(500);
    let (results, late, _) = batch(faulty("hang-on-request"), 60, &[20], 16, short);
    assert_eq!(failed(&results), [20]);
    assert_eq!(results[20].as_ref().unwrap_err().kind, FaultKind::Hung);
    assert!(late.is_empty());
}

#[test]
fn after_three_restarts_the_rest_fails_at_once() {
    let clock = Instant::now();
    let (results, late, _) = batch(faulty("crash"), 2000, &[], 256, DEADLINE);
    assert_eq!(failed(&results).len(), 2000);
    assert!(late.is_empty());
    let last = results[1999].as_ref().unwrap_err();
    assert!(last.message.contains("broke more than 3 times"), "{last}");
    assert!(last.message.contains("exited with code 3"), "{last}");
    assert!(
        results[0]
            .as_ref()
            .unwrap_err()
            .message
            .starts_with("adapter crash exited")
    );
    assert!(clock.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_death_that_does_not_come_again_is_reported_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark").to_string_lossy().into_owned();
    let launch = Launch {
        env: vec![("FAULTY_MARK".into(), mark)],
        ..faulty("dies-once")
    };
    let (results, late, restarts) = batch(launch, 6, &[], 8, DEADLINE);
    assert_eq!(failed(&results), [0; 0]);
    assert_eq!(late, [(None, FaultKind::Died)]);
    assert_eq!(restarts, 1);
}

#[test]
fn a_second_answer_is_reported_with_the_request_it_was_for() {
    let (results, late, _) = batch(faulty("double-answer"), 1, &[], 8, DEADLINE);
    assert!(failed(&results).is_empty());
    assert_eq!(late, [(Some(0), FaultKind::AnsweredTwice)]);
}

#[test]
fn what_never_says_hello_is_not_started_again() {
    let limits = Limits {
        hello: Duration::from_millis(500),
        ..limits()
    };
    let mut adapter = Supervised::new(faulty("hang-hello"), limits);
    let clock = Instant::now();
    let params = json!({});
    let mut faults = Vec::new();
    let requests = std::iter::repeat_n(("bigsize.decode", &params), 5);
    let late = adapter.batch(requests, 8, DEADLINE, |_, result, _| {
        faults.push(result.unwrap_err());
    });
    assert!(late.is_empty() && faults.len() == 5);
    assert!(faults.iter().all(Fault::could_not_run));
    assert!(clock.elapsed() < Duration::from_secs(3));
    assert_eq!(adapter.restarts(), 0);
    assert!(adapter.hello().is_err());
}

#[test]
fn a_supervised_call_finds_a_new_process_after_a_fault() {
    let mut adapter = Supervised::new(faulty("crash-on-poison"), limits());
    assert_eq!(adapter.hello().unwrap().protocol, 1);
    let (good, poison) = (json!({"bytes": "0a"}), json!({"bytes": "dead"}));
    for _ in 0..3 {
        assert!(adapter.call("bigsize.decode", &poison, DEADLINE).is_err());
        assert!(adapter.call("bigsize.decode", &good, DEADLINE).is_ok());
    }
    assert!(adapter.call("bigsize.decode", &poison, DEADLINE).is_err());
    let fault = adapter.call("bigsize.decode", &good, DEADLINE).unwrap_err();
    assert!(fault.message.contains("not sent"), "{fault}");
}
