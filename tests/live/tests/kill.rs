//! Runs that are stopped or killed in the middle, and nodes that are: what ends, how soon, and
//! what can be read afterwards.
#![cfg(target_os = "linux")]

mod nodes;

use lnconform_tests::{Place, Ran};
use nodes::{
    Process, RESULTS, Running, assert_tidy, check, has_result, labelled, of_type, place, processes,
    signal, temporary, within,
};
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After Ctrl-C and SIGTERM everything has to be gone within this.
const STOPPED: Duration = Duration::from_secs(5);
/// After the harness was killed no node may outlive it by more than this.
const OUTLIVED: Duration = Duration::from_secs(10);

/// A live run that goes on for long.
const LIVE: [&str; 8] = [
    "run",
    "--lane",
    "cluster",
    "keysend/direct",
    "--adapter",
    "ldk-node",
    "--repeat",
    "50",
];
/// The same of the other lane.
const CODEC: [&str; 8] = [
    "run",
    "--lane",
    "codec",
    "bolt01/bigsize/**",
    "--adapter",
    "reference",
    "--repeat",
    "10000",
];

/// One at a time: they measure how long stopping takes.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // Another test that failed says nothing about this one.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a run and waits until it is in the middle of its work: a check is in the result file,
/// and bitcoind and nodes live, or the adapter of the codec lane.
fn at_work<'a>(place: &'a Place, args: &[&str]) -> Running<'a> {
    let mut run = Running::start(place, args);
    let programs: &[&str] = if args.contains(&"codec") {
        &["adapter reference"]
    } else {
        &["bitcoind", "adapter ldk-node"]
    };
    run.until("a first result and living children", |place| {
        let living = labelled(place);
        let lives = |program: &&str| living.iter().any(|p| p.command.contains(program));
        has_result(place) && programs.iter().all(lives)
    });
    run
}

/// `report` shows the results that there are. Answers what it says.
#[track_caller]
fn report(place: &Place) -> String {
    let ran = place.run(&["report", RESULTS]).code(0);
    let checks = of_type(&place.results(RESULTS), "check").len();
    assert!(checks > 0);
    let plural = if checks == 1 { "" } else { "s" };
    let count = format!("\n{checks} check{plural}");
    assert!(
        ran.stdout.contains(&count),
        "{count} is not in {}",
        ran.stdout
    );
    ran.stdout
}

/// Stops a run by a signal that asks for it.
fn stopped_by(name: &str, args: &[&str]) {
    let place = place();
    let _alone = alone();
    let mut run = at_work(&place, args);
    let begin = Instant::now();
    signal(name, run.id());
    // The harness itself, a zombie until it is waited for, shows no environment any more.
    let took = within(STOPPED, begin, &Vec::<Process>::new(), || processes(&place));
    println!("SIG{name}: everything stopped after {took:?}");
    let status = run.end();
    assert_eq!(status.code(), Some(130), "{}", run.said());
    assert_tidy(&place, run.id());

    // Readable to its last line, which is a whole one.
    assert!(place.read(RESULTS).ends_with('\n'));
    let records = place.results(RESULTS);
    let summary = records.last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["exit_code"], 130);
    // What the stop cut off is no result.
    assert_eq!(summary["unexpected"], 0, "{}", run.said());
    let failed = of_type(&records, "check")
        .into_iter()
        .find(|c| c["outcome"] != "passed");
    assert_eq!(failed, None);
    assert!(report(&place).contains("stopped by the user"));
}

#[test]
fn ctrl_c_stops_everything_within_five_seconds() {
    stopped_by("INT", &LIVE);
}

#[test]
fn sigterm_stops_everything_within_five_seconds() {
    stopped_by("TERM", &LIVE);
}

#[test]
fn ctrl_c_stops_the_codec_lane() {
    stopped_by("INT", &CODEC);
}

/// Kills the harness in the middle of a run.
fn killed(args: &[&str]) {
    let place = place();
    let _alone = alone();
    let mut run = at_work(&place, args);
    let begin = Instant::now();
    signal("KILL", run.id());
    let took = within(OUTLIVED, begin, &Vec::<Process>::new(), || labelled(&place));
    println!("SIGKILL: everything that the run had started was gone after {took:?}");
    assert_eq!(run.end().code(), None, "it ended by itself: {}", run.said());
    // The watchdog goes when it has tidied up.
    within(OUTLIVED, begin, &Vec::<Process>::new(), || {
        processes(&place)
    });
    // It leaves the locks on ports, which nobody holds any more, and may leave the folder.
    let _: Ran = place.run(&["clean"]).code(0);
    assert_tidy(&place, run.id());

    let records = place.results(RESULTS);
    assert_eq!(records[0]["type"], "run");
    assert!(of_type(&records, "summary").is_empty());
    assert!(report(&place).contains("the run was ended before its end"));
}

#[test]
fn no_node_outlives_a_killed_harness_by_ten_seconds() {
    killed(&LIVE);
}

#[test]
fn a_harness_killed_in_the_codec_lane_leaves_a_readable_file() {
    killed(&CODEC);
}

#[test]
fn a_killed_node_is_one_failure_and_the_run_goes_on() {
    let place = place();
    let _alone = alone();
    let payment = r#"
spec: blip-0003
covers: [blip-0003/sender/record]
topology: pair
steps:
  - {name: send, on: payer, do: keysend.send, with: {to: $payee.node_id, amount_msat: "100000"}, bind: payment}
  - {name: paid, on: payer, do: payment.wait, with: {payment: $payment}, deadline: 60s, expect: {status: succeeded}}
"#;
    let waits = r#"
  - {name: waits, on: payee, do: event.next, with: {kinds: [payment-forwarded]}, deadline: 100s, expect: {}}
  - {name: after, on: payer, do: chain.sync, with: {height: 1}, expect: {}}
"#;
    let killed =
        format!("description: The payee is killed while it is waited for.{payment}{waits}");
    place.write("mine/own/killed.yaml", &killed);
    place.write(
        "mine/own/later.yaml",
        &format!("description: A payment after that.{payment}"),
    );
    let args = [
        "run",
        "--vectors",
        "mine",
        "own/killed",
        "own/later",
        "--adapter",
        "ldk-node",
        "--jobs",
        "1",
    ];
    let mut run = Running::start(&place, &args);
    run.until("the payment", |place| {
        log_of(place, "payer").contains("Successfully sent payment")
    });
    // Its log is open in the process that drives it.
    let is_payee = |p: &Process| p.command.contains("adapter ldk-node") && holds(p.pid, "/payee/");
    let payee = labelled(&place).into_iter().find(is_payee).unwrap();
    signal("KILL", payee.pid);
    let status = run.end();
    assert_eq!(status.code(), Some(1), "{}", run.said());
    assert_tidy(&place, run.id());

    let records = place.results(RESULTS);
    let mut failed: Vec<&Value> = of_type(&records, "check");
    failed.retain(|c| c["outcome"] == "failed");
    assert_eq!(failed.len(), 1, "{}", run.said());
    assert_eq!(failed[0]["id"], "own/killed#waits");
    assert_eq!(failed[0]["blame"], "implementation", "{}", failed[0]);
    assert_eq!(failed[0]["failure"]["kind"], "crash", "{}", failed[0]);
    let message = failed[0]["message"].as_str().unwrap();
    assert!(message.contains("signal 9"), "{message}");
    assert_eq!(
        check(&records, "own/killed#after")["outcome"],
        "could-not-run"
    );
    assert_eq!(check(&records, "own/later#paid")["outcome"], "passed");
    assert_eq!(records.last().unwrap()["unexpected"], 1, "{}", run.said());
    report(&place);
}

/// What the adapter of a role in the first cluster has logged.
fn log_of(place: &Place, role: &str) -> String {
    let log = |run: &std::path::PathBuf| run.join("c0").join(role).join("adapter.log");
    let text = temporary(place)
        .iter()
        .find_map(|run| std::fs::read_to_string(log(run)).ok());
    text.unwrap_or_default()
}

/// Whether a process has a file open whose path contains `part`.
fn holds(pid: u32, part: &str) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .any(|path| path.to_string_lossy().contains(part))
}
