//! Electrum and its server, as they look from the command line.
#![cfg(target_os = "linux")]

mod shared;

use std::path::Path;
use std::process::Command;

fn run(args: &[&str]) -> (Option<i32>, String) {
    shared::run("electrum.jsonl", args)
}

/// One after the other: each alone keeps the machine busy.
#[test]
fn it_is_installed_with_its_server_keeps_the_protocol_and_pays_over_a_trampoline() {
    for program in ["bitcoind", "electrum"] {
        let (code, said) = run(&["install", program]);
        assert_eq!(code, Some(0), "{said}");
        // Its server comes with it.
        assert_eq!(said.contains("e-x "), program == "electrum", "{said}");
    }
    let (code, said) = run(&["adapter", "check", "electrum"]);
    assert!(!said.contains("warning"), "{said}");
    assert_eq!(code, Some(0), "{said}");
    // Its codec and its node are asked apart.
    assert_eq!(said.matches("; accepted").count(), 2, "{said}");
    let run_of = |filter: &str, lane: &str| {
        let args = ["run", filter, "--lane", lane, "--adapter", "electrum"];
        let (code, said) = run(&args);
        assert_eq!(code, Some(0), "{said}");
        said
    };
    let said = run_of("bolt01/**", "codec");
    assert!(said.contains("53 same"), "{said}");
    let said = run_of("trampoline/live/one-trampoline", "cluster");
    assert!(said.contains("3 checks"), "{said}");
}

/// The adapter's own code against a daemon that misbehaves; Electrum itself is not needed.
#[test]
fn what_its_daemon_answers_is_taken_in_bounds_and_told_with_whose_fault_it_is() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let output = Command::new("python3")
        .arg(tests.join("electrum_rpc.py"))
        .arg(shared::repository().join("harness/adapters/electrum"))
        .output()
        .expect("the README asks for Python 3");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
