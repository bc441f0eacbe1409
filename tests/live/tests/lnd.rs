//! LND through the binary: paid and paying, and gone with a harness that is killed.
#![cfg(target_os = "linux")]

mod nodes;

use lnconform_tests::Place;
use nodes::{
    RESULTS, Running, has_result, install, labelled, of_type, place, processes, run, set, signal,
    within,
};
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A live run on two of them.
const LIVE: [&str; 6] = [
    "run",
    "--lane",
    "cluster",
    "--adapter",
    "lnd",
    "keysend/direct",
];

/// As [`place`], with LND, which is installed first, once.
fn with_lnd() -> Place {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| install("lnd"));
    let mut place = place();
    if let Some(program) = std::env::var_os("LND_EXE").filter(|value| !value.is_empty()) {
        place.env("LND_EXE", program);
    }
    place
}

#[test]
fn keysend_is_paid_between_two_lnds() {
    let place = with_lnd();
    run(&place, 0, &LIVE);
    let records = place.results(RESULTS);
    let checks = of_type(&records, "check");
    assert!(!checks.is_empty());
    for check in &checks {
        assert_eq!(check["outcome"], "passed", "{check}");
    }
    let nodes = of_type(&records, "node");
    assert_eq!(set(&nodes, "role"), BTreeSet::from(["payer", "payee"]));
    assert_eq!(set(&nodes, "implementation"), BTreeSet::from(["lnd"]));
    assert_eq!(set(&nodes, "node_id").len(), 2, "two nodes share a key");
}

/// The kernel ends the adapter with the harness, and lnd with the adapter.
#[test]
fn no_lnd_outlives_a_harness_that_is_killed() {
    let place = with_lnd();
    let args = [&LIVE[..], &["--repeat", "50"]].concat();
    let mut run = Running::start(&place, &args);
    run.until("a first result and a living lnd", |place| {
        let lives = labelled(place)
            .iter()
            .any(|p| p.command.contains("--lnddir="));
        has_result(place) && lives
    });
    let begin = Instant::now();
    signal("KILL", run.id());
    run.end();
    within(Duration::from_secs(10), begin, &0, || {
        processes(&place).len()
    });
}
