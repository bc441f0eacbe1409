//! Live scenarios through the binary, as a user runs them: from a folder without anything of this
//! repository, on nodes and a bitcoind that the run starts itself.
#![cfg(target_os = "linux")]

mod nodes;

use lnconform_tests::{Place, Ran, binary};
use nodes::{RESULTS, check, of_type, place, run, set};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn keysend_and_offers_are_paid_between_real_nodes() {
    let place = place();
    run(
        &place,
        0,
        &[
            "run",
            "--lane",
            "cluster",
            "--adapter",
            "ldk-node",
            // Not keysend/chain-from-electrum: electrs is installed only where somebody asks for it.
            "keysend/[!c]*",
            "keysend/chosen-preimage",
            "keysend/*/*",
            "bolt12/live/**",
        ],
    );
    let records = place.results(RESULTS);

    let checks = of_type(&records, "check");
    let scenario = |id: &'_ str| id.split('#').next().unwrap_or_default().to_owned();
    let scenarios: BTreeSet<String> = set(&checks, "id").into_iter().map(scenario).collect();
    for needed in [
        "keysend/direct",
        "keysend/forwarded",
        "keysend/chosen-preimage",
        "bolt12/live/offer-fixed",
        "bolt12/live/offer-free",
        "bolt12/live/offer-expired",
        "bolt12/live/offer-quantity",
        "bolt12/live/refund",
    ] {
        assert!(
            scenarios.contains(needed),
            "{needed} is not in {scenarios:?}"
        );
    }
    for check in &checks {
        assert_eq!(check["outcome"], "passed", "{check}");
        assert_eq!(check["expected"], true, "{check}");
    }

    // Where the time went: in the steps of each scenario, and in what its cluster took.
    let phases = of_type(&records, "phase");
    let named = |name: &str| -> Vec<_> {
        let of_name = phases.iter().copied().filter(|p| p["name"] == name);
        of_name.collect()
    };
    let steps = named("steps");
    let ids: BTreeSet<String> = set(&steps, "id").into_iter().map(str::to_owned).collect();
    assert_eq!(ids, scenarios);
    let clusters = set(&checks, "cluster");
    assert_eq!(set(&steps, "cluster"), clusters);
    for name in ["start", "fund", "open", "graph", "stop"] {
        let of_name = named(name);
        assert_eq!(set(&of_name, "cluster"), clusters, "phase {name}");
        assert_eq!(of_name.len(), clusters.len(), "phase {name}");
    }

    // Several scenarios share a cluster, and each cluster has a node for each role.
    assert!(clusters.len() < scenarios.len(), "{clusters:?}");
    let nodes = of_type(&records, "node");
    for cluster in &clusters {
        let here = |records: &[&serde_json::Value]| -> Vec<serde_json::Value> {
            let of_cluster = records.iter().filter(|r| r["cluster"] == *cluster);
            of_cluster.map(|r| (*r).clone()).collect()
        };
        let roles = here(&checks)[0]["roles"].as_object().unwrap().len();
        assert_eq!(here(&nodes).len(), roles, "cluster {cluster}");
    }
    assert_eq!(
        set(&nodes, "node_id").len(),
        nodes.len(),
        "two nodes share a key"
    );
    let roles: BTreeSet<&str> = checks
        .iter()
        .filter_map(|check| check["roles"].as_object())
        .flat_map(|roles| roles.keys().map(String::as_str))
        .collect();
    assert!(roles.is_superset(&BTreeSet::from(["payer", "forwarder", "payee"])));
    assert_eq!(set(&nodes, "role"), roles);
    for node in nodes {
        assert_eq!(node["implementation"], "ldk-node", "{node}");
        assert_eq!(node["node_id"].as_str().unwrap().len(), 66, "{node}");
        assert!(!node["version"].as_str().unwrap().is_empty(), "{node}");
        assert!(node["started_ms"].as_u64().unwrap() > 0, "{node}");
    }
}

#[test]
fn two_runs_at_the_same_time_both_pass() {
    let places = [place(), place()];
    std::thread::scope(|scope| {
        for place in &places {
            scope.spawn(|| {
                run(
                    place,
                    0,
                    &[
                        "run",
                        "--lane",
                        "cluster",
                        "--adapter",
                        "ldk-node",
                        "keysend/**",
                    ],
                )
            });
        }
    });
    let [a, b] = places
        .each_ref()
        .map(|p| p.results(RESULTS)[0]["run"].clone());
    assert_ne!(a, b, "two runs have one id");
}

/// Everything that a failure on live nodes has to show.
#[track_caller]
fn assert_shown(place: &Place, said: &str, id: &str) {
    let records = place.results(RESULTS);
    let failed = check(&records, id);
    assert_eq!(failed["outcome"], "failed", "{failed}");
    assert_eq!(failed["expected"], false, "{failed}");
    assert_eq!(failed["blame"], "implementation", "{failed}");
    let evidence = failed["evidence"].as_array().unwrap();
    let tail = failed["log_tail"].as_str().unwrap();
    for role in ["payer", "payee"] {
        let logs = evidence.iter().map(|p| Path::new(p.as_str().unwrap()));
        let logs: Vec<_> = logs.filter(|p| p.iter().any(|part| part == role)).collect();
        assert!(!logs.is_empty(), "no log of {role}: {evidence:?}");
        for log in logs {
            // As they are printed they are read from the working directory.
            let length = std::fs::metadata(place.dir().join(log)).unwrap().len();
            assert!(length > 0, "{} is empty", log.display());
        }
        assert!(tail.contains(&format!("{role}/")), "{tail}");
        assert!(
            said.contains(&format!("{role}/")),
            "no log of {role} on the screen:\n{said}"
        );
    }
    assert!(
        !tail.contains("Shutdown complete"),
        "the tail shows how the node was stopped, not the step: {tail}"
    );
    for part in [id, "blame   implementation", "again   lnconform run "] {
        assert!(said.contains(part), "{part} is not on the screen:\n{said}");
    }
}

#[test]
fn a_wrong_amount_is_a_failure_with_all_that_is_needed_to_look_into_it() {
    let place = place();
    place.write(
        "mine/own/wrong-amount.yaml",
        r#"
description: The payee is to get one millisatoshi more than was sent.
spec: blip-0003
covers: [blip-0003/sender/record]
topology: pair
steps:
  - {name: send, on: payer, do: keysend.send, with: {to: $payee.node_id, amount_msat: "100000"}}
  - {name: received, on: payee, do: event.next, with: {kinds: [payment-received]}, deadline: 30s, expect: {amount_msat: "100001"}}
  - {name: after, on: payer, do: chain.sync, with: {height: 1}, expect: {}}
"#,
    );
    let said = run(
        &place,
        1,
        &[
            "run",
            "--adapter",
            "ldk-node",
            "--vectors",
            "mine",
            "own/**",
        ],
    );
    let id = "own/wrong-amount#received";
    assert_shown(&place, &said, id);
    let records = place.results(RESULTS);
    let failed = check(&records, id);
    assert_eq!(failed["want"]["result"]["amount_msat"], "100001");
    assert_eq!(failed["got"]["result"]["amount_msat"], "100000");
    // What comes after a failed step did not run, and is no second failure.
    let after = check(&records, "own/wrong-amount#after");
    assert_eq!(after["outcome"], "could-not-run");
    assert_eq!(after["expected"], true);

    // The command that is printed shows it again.
    let rerun = failed["rerun"].as_str().unwrap();
    let args = ["-c", rerun];
    let mut shell = place.within(Path::new("sh"), &args);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = std::iter::once(binary().parent().unwrap().to_owned());
    shell.env(
        "PATH",
        std::env::join_paths(beside.chain(std::env::split_paths(&path))).unwrap(),
    );
    let again: Ran = place.finish(shell, &args, "").code(1);
    assert!(again.stdout.contains(id), "{}", again.screen());
    let records = place.results(RESULTS);
    let same = check(&records, id);
    assert_eq!(same["got"]["result"]["amount_msat"], "100000");
}

#[test]
fn a_condition_that_never_comes_shows_the_last_state_and_the_logs() {
    let place = place();
    place.write(
        "mine/own/event.yaml",
        r#"
description: The payee of a payment is to forward one, which it never does.
spec: blip-0003
covers: [blip-0003/sender/record]
topology: pair
steps:
  - {name: send, on: payer, do: keysend.send, with: {to: $payee.node_id, amount_msat: "100000"}}
  - {name: received, on: payee, do: event.next, with: {kinds: [payment-received]}, deadline: 30s}
  - {name: never, on: payee, do: event.next, with: {kinds: [payment-forwarded]}, deadline: 1s, expect: {}}
"#,
    );
    place.write(
        "mine/own/channel.yaml",
        r#"
description: A usable channel is to become unusable, which it never does.
spec: blip-0003
covers: [blip-0003/sender/record]
topology: pair
steps:
  - {name: never, on: payer, do: channel.list, until: true, deadline: 1s, expect: {result: {$contains: {usable: false}}}}
"#,
    );
    let said = run(
        &place,
        1,
        &[
            "run",
            "--adapter",
            "ldk-node",
            "--vectors",
            "mine",
            "own/**",
        ],
    );
    let records = place.results(RESULTS);
    for (id, last) in [
        ("own/event#never", "payment-received"),
        ("own/channel#never", "usable"),
    ] {
        assert_shown(&place, &said, id);
        let failed = check(&records, id);
        let waited = failed["duration_us"].as_u64().unwrap();
        assert!(waited >= 900_000, "{id} was given up after {waited} µs");
        let seen = failed["got"].to_string();
        assert!(seen.contains(last), "the last state seen is not in {seen}");
        assert!(
            said.contains(last),
            "the last state seen is not on the screen:\n{said}"
        );
    }
}

#[test]
fn a_bitcoind_of_another_version_is_refused_by_name() {
    // It needs none that works.
    let mut place = Place::new();
    let fake = place.program(
        "bitcoind",
        "#!/bin/sh\necho 'Bitcoin Core daemon version v25.1.0'\n",
    );
    place.env("BITCOIND_EXE", fake);
    let said = run(
        &place,
        5,
        &[
            "run",
            "--lane",
            "cluster",
            "--adapter",
            "ldk-node",
            "keysend/direct",
        ],
    );
    let records = place.results(RESULTS);
    let checks = of_type(&records, "check");
    assert!(!checks.is_empty());
    for check in checks {
        assert_eq!(check["outcome"], "could-not-run", "{check}");
        assert_eq!(check["blame"], "environment", "{check}");
        let message = check["message"].as_str().unwrap();
        for part in ["25.1.0", "lnconform install bitcoind"] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
    }
    for part in ["25.1.0", "lnconform install bitcoind"] {
        assert!(said.contains(part), "{part} is not on the screen:\n{said}");
    }
}
