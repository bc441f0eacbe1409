//! `run --keep`: what failed stays up, the command ends, and `clean` ends the rest. On a real bitcoind,
//! with nodes that do what a step tells them to.
#![cfg(target_os = "linux")]

mod nodes;

use lnconform_tests::{Place, python, repository};
use nodes::{
    PATIENCE, RESULTS, Running, assert_tidy, of_type, place, processes, run, signal, temporary,
    within,
};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A place with a scenario that passes and one that fails, in clusters of their own.
fn prepared() -> (Place, String) {
    let mut place = place();
    for (name, visits) in [("good", 1), ("bad", 2)] {
        place.write(
            &format!("mine/own/{name}.yaml"),
            &format!(
                "description: d\nprovenance: {{draft-by-implementation: \"a test\"}}\ncluster: own\n\
                 topology: {{nodes: {{payer: {{}}, payee: {{}}}}}}\n\
                 steps: [{{name: visit, on: payer, do: fake.visit, expect: {{visits: {visits}}}}}]\n"
            ),
        );
    }
    place.env("LNCONFORM_TEST_STARTS", place.path("starts"));
    let script = repository("harness/engine/tests/fake_node.py");
    let adapter = format!("fake={} -I -S {}", python(), script.display());
    (place, adapter)
}

fn arguments<'a>(adapter: &'a str, filter: &'a str) -> Vec<&'a str> {
    vec![
        "run",
        "--adapter",
        adapter,
        "--vectors",
        "mine",
        "--keep",
        filter,
    ]
}

/// The one folder of a run.
fn folder(place: &Place) -> PathBuf {
    let mut found = temporary(place);
    found.retain(|path| path.join("attach.txt").exists());
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// What an adapter answers at its socket.
fn ask(socket: &Path, request: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    writeln!(stream, "{request}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_cluster_that_failed_stays_up_until_clean_ends_it() {
    let (place, adapter) = prepared();
    let mut run = Running::start(&place, &arguments(&adapter, "own/**"));
    let status = run.end();
    let said = run.said();
    assert_eq!(status.code(), Some(1), "{said}");

    // Only what failed is there.
    let folder = folder(&place);
    let page = std::fs::read_to_string(folder.join("attach.txt")).unwrap();
    assert!(
        page.contains("own/bad#visit") && !page.contains("own/good"),
        "{page}"
    );
    let bitcoind = processes(&place);
    let bitcoind = bitcoind.iter().filter(|p| p.command.contains("bitcoind"));
    assert_eq!(bitcoind.count(), 1);
    for line in page.lines() {
        assert!(
            said.contains(line.trim()),
            "{line} is not on the screen:\n{said}"
        );
    }
    let records = place.results(RESULTS);
    let clusters = of_type(&records, "check");
    assert_eq!(clusters.len(), 2);
    let failed = clusters.iter().find(|c| c["outcome"] == "failed").unwrap();
    let node_id = of_type(&records, "node")
        .into_iter()
        .find(|n| n["cluster"] == failed["cluster"] && n["role"] == "payer")
        .unwrap()["node_id"]
        .as_str()
        .unwrap();
    for part in [
        node_id,
        "bitcoin-cli -regtest",
        "data dir: ",
        "address: 127.0.0.1:",
    ] {
        assert!(page.contains(part), "{part}:\n{page}");
    }

    // The node is the same: the step's visit is not forgotten.
    let socket = page.lines().find_map(|line| line.split_once("nc -N -U "));
    let cluster = folder.join(failed["cluster"].as_str().unwrap());
    assert!(socket.is_some(), "{page}");
    let payer = cluster.join("payer/adapter.sock");
    let answer = ask(&payer, &json!({"id": 7, "op": "fake.visit", "params": {}}));
    assert_eq!(answer, json!({"id": 7, "result": {"visits": 2}}));
    let answer = ask(&payer, &json!({"id": 8, "op": "made.up"}));
    assert!(answer["unsupported"]["reason"].is_string(), "{answer}");
    let answer = ask(&payer, &json!("no object"));
    assert_eq!(answer["error"]["kind"], "invalid");

    let shown = place.run(&["clean", "--dry-run"]).code(0);
    assert!(shown.stdout.contains("attach.txt"), "{}", shown.screen());
    assert!(folder.exists());
    let _ = place.run(&["clean"]).code(0);
    within(PATIENCE, Instant::now(), &0, || processes(&place).len());
    assert_tidy(&place, run.id());
}

#[test]
fn nothing_stays_of_a_run_in_which_nothing_failed() {
    let (place, adapter) = prepared();
    run(&place, 0, &arguments(&adapter, "own/good"));
}

#[test]
fn whoever_kills_the_command_in_front_ends_what_is_behind() {
    let (place, adapter) = prepared();
    place.write(
        "mine/own/waits.yaml",
        "description: d\nprovenance: {draft-by-implementation: \"a test\"}\n\
         topology: {nodes: {payer: {}, payee: {}}}\n\
         steps: [{name: never, on: payer, do: event.next, with: {kinds: [never]}, deadline: 300s, expect: {}}]\n",
    );
    let mut run = Running::start(&place, &arguments(&adapter, "own/waits"));
    run.until("a node", |place| place.path("starts").exists());
    signal("KILL", run.id());
    run.end();
    within(PATIENCE, Instant::now(), &0, || processes(&place).len());
    assert!(temporary(&place).is_empty(), "{:?}", temporary(&place));
}
