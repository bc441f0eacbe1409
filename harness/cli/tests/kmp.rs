//! lightning-kmp on the JVM, as it looks from the command line.

mod shared;

use shared::lnconform;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

fn run(args: &[&str]) -> (Option<i32>, String) {
    shared::run("kmp.jsonl", args)
}

#[test]
fn it_is_installed_keeps_the_protocol_and_does_what_the_ledger_says() {
    let (code, said) = run(&["install", "kmp"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["adapter", "check", "kmp"]);
    assert!(!said.contains("warning"), "{said}");
    assert_eq!(code, Some(0), "{said}");
    let lane = ["bolt01/**", "bolt12/**", "payer-proof/**"];
    let args = [
        &["run"],
        &lane[..],
        &["--lane", "codec", "--adapter", "kmp"],
    ]
    .concat();
    let (code, said) = run(&args);
    assert_eq!(code, Some(0), "{said}");
    // Not an empty run: it has failures, each of them foretold.
    assert!(said.contains("known"), "{said}");
}

/// The JVM unpacks native libraries and keeps notes in a folder for temporary files: not this one.
#[test]
fn a_process_that_is_killed_leaves_nothing_behind() {
    let (code, said) = run(&["install", "kmp"]);
    assert_eq!(code, Some(0), "{said}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kmp-killed");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let mut adapter = lnconform()
        .args(["adapter", "kmp"])
        .current_dir(&folder)
        .env("TMPDIR", &folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let hello = "{\"id\": 1, \"op\": \"hello\", \"params\": {\"protocol\": 1}}\n";
    let mut stdin = adapter.stdin.take().unwrap();
    stdin.write_all(hello.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(adapter.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("\"name\":\"kmp\""), "{line}");
    adapter.kill().unwrap();
    adapter.wait().unwrap();
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
