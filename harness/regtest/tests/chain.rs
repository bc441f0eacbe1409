//! A real bitcoind. It is taken from where `lnconform` would take it, and built into the cache if
//! it is nowhere; system packages are never installed from here.

#![cfg(unix)]

use lnconform_regtest::chain::{Chain, ChainError, START_HEIGHT};
use lnconform_regtest::provision;
use lnconform_regtest::run::RunDir;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn bitcoind() -> &'static Path {
    static EXE: OnceLock<PathBuf> = OnceLock::new();
    EXE.get_or_init(|| {
        let found = provision::install("bitcoind", false, &mut |p| {
            eprintln!("{} {}: {}", p.name, p.phase, p.message);
        });
        match found {
            Ok(found) => found.path,
            Err(error) => panic!("{error}"),
        }
    })
}

fn run(name: &str) -> RunDir {
    RunDir::create(&format!("test-chain-{name}-{}", std::process::id())).unwrap()
}

/// An executable shell script in place of bitcoind.
fn fake(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("bitcoind");
    // Written by another process: one that we hold open for writing could not be run.
    let mut writer = Command::new("sh")
        .args(["-c", "rm -f \"$0\"; cat > \"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(format!("#!/bin/sh\n{script}\n").as_bytes())
        .unwrap();
    assert!(writer.wait().unwrap().success());
    path
}

const VERSION: &str =
    r#"case "$*" in *-version) echo "Bitcoin Core daemon version v31.0.0"; exit;; esac"#;

/// Waits until the process has ended.
fn gone(pid: u32) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if !Path::new(&format!("/proc/{pid}")).exists() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn balance(chain: &Chain, address: &str) -> u64 {
    let found: Value = chain
        .call(
            "scantxoutset",
            &["start".into(), vec![format!("addr({address})")].into()],
        )
        .unwrap();
    (found["total_amount"].as_f64().unwrap() * 1e8).round() as u64
}

const ALICE: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const BOB: &str = "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry";

#[test]
fn a_chain_starts_funds_mines_and_leaves_nothing() {
    let exe = bitcoind();
    let run = run("whole");
    let begin = Instant::now();
    let chain = Chain::start(&run, exe, "a").unwrap();
    eprintln!("bitcoind and {START_HEIGHT} blocks: {:?}", begin.elapsed());
    assert_eq!(chain.height().unwrap(), START_HEIGHT);

    let begin = Instant::now();
    let txid = chain
        .fund(&[(ALICE, 10_000_000), (BOB, 5_000_000), (ALICE, 1_000)])
        .unwrap();
    chain
        .mempool_contains(&[txid], Duration::from_secs(5))
        .unwrap();
    assert_eq!(chain.mine(1).unwrap(), START_HEIGHT + 1);
    eprintln!("funding: {:?}", begin.elapsed());
    assert_eq!(balance(&chain, ALICE), 10_001_000);
    assert_eq!(balance(&chain, BOB), 5_000_000);
    // The change of the first pays the second.
    chain.fund(&[(BOB, 1_000_000)]).unwrap();
    chain.mine(6).unwrap();
    assert_eq!(balance(&chain, BOB), 6_000_000);

    let environment = std::fs::read_to_string(format!("/proc/{}/environ", chain.pid()));
    if let Ok(environment) = environment {
        assert!(environment.contains(&format!("LNCONFORM_RUN={}", run.id())));
    }
    let begin = Instant::now();
    let (pid, path) = (chain.pid(), run.path().to_owned());
    chain.stop();
    assert!(gone(pid));
    eprintln!("stop: {:?}", begin.elapsed());
    drop(run);
    assert!(!path.exists());
}

#[test]
fn chains_run_side_by_side() {
    let exe = bitcoind();
    let run = run("side");
    let chains: Vec<Chain> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|i| {
                let run = &run;
                scope.spawn(move || Chain::start(run, exe, &format!("c{i}")).unwrap())
            })
            .collect();
        starts.into_iter().map(|s| s.join().unwrap()).collect()
    });
    for chain in &chains {
        assert_eq!(chain.mine(1).unwrap(), START_HEIGHT + 1);
    }
    let ports: std::collections::BTreeSet<u16> = chains
        .iter()
        .flat_map(|c| [c.info().rpc_port, c.info().p2p.port()])
        .collect();
    assert_eq!(ports.len(), 8);
}

#[test]
fn what_cannot_be_done_is_said_with_a_reason() {
    let run = run("errors");
    let chain = Chain::start(&run, bitcoind(), "a").unwrap();
    let error = chain
        .fund(&[("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", 10_000)])
        .unwrap_err();
    assert!(error.to_string().contains("another network"), "{error}");
    let error = chain
        .fund(&[(ALICE, 21_000_000 * 100_000_000)])
        .unwrap_err();
    assert!(matches!(error, ChainError::Funds { .. }), "{error}");
    let error = chain.fund(&[(ALICE, 1)]).unwrap_err();
    assert!(error.to_string().contains("dust"), "{error}");
    // None of these has lost a coin.
    chain.fund(&[(ALICE, 10_000)]).unwrap();

    let other = "00".repeat(32).parse().unwrap();
    let error = chain
        .mempool_contains(&[other], Duration::from_millis(30))
        .unwrap_err();
    assert!(
        matches!(&error, ChainError::Mempool { missing, present, .. } if missing.len() == 1 && present.len() == 1),
        "{error}"
    );

    let error = chain.call::<Value>("nonsense", &[]).unwrap_err();
    assert!(matches!(error, ChainError::Rpc { .. }), "{error}");
    // Killed by somebody else: the next call says so, with the end of the log.
    Command::new("kill")
        .args(["-9", &chain.pid().to_string()])
        .status()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let error = loop {
        match chain.height() {
            Err(error @ ChainError::Ended { .. }) => break error,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
    };
    assert!(error.to_string().contains("UpdateTip"), "{error}");
}

#[test]
fn a_wrong_version_is_named_with_what_to_type() {
    let run = run("version");
    let folder = tempfile::tempdir().unwrap();
    let exe = fake(folder.path(), "echo 'Bitcoin Core version v0.21.1'");
    let error = Chain::start(&run, &exe, "a").unwrap_err().to_string();
    for part in ["0.21.1", ">=31.0.0", "lnconform install bitcoind"] {
        assert!(error.contains(part), "{error}");
    }
    let exe = fake(folder.path(), "echo hello");
    let error = Chain::start(&run, &exe, "a").unwrap_err().to_string();
    assert!(
        error.contains("is not bitcoind") && error.contains("hello"),
        "{error}"
    );
    let error = Chain::start(&run, Path::new("/nonexistent/bitcoind"), "a")
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not run"), "{error}");
}

/// bitcoind, asked for its version, would write into the user's own data folder.
#[test]
fn asking_for_the_version_leaves_no_trace_and_may_be_done_at_the_same_time() {
    let exe = bitcoind();
    let home = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "export HOME='{}'\nexec '{}' \"$@\"",
        home.path().display(),
        exe.display()
    );
    let exe = fake(folder.path(), &script);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| provision::check_program("bitcoind", &exe).unwrap());
        }
    });
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn a_bitcoind_that_ends_at_once_is_reported_at_once() {
    let run = run("ends");
    let folder = tempfile::tempdir().unwrap();
    let exe = fake(
        folder.path(),
        &format!("{VERSION}\necho 'Error: the moon is wrong' >&2; exit 1"),
    );
    let begin = Instant::now();
    let error = Chain::start(&run, &exe, "a").unwrap_err();
    assert!(error.to_string().contains("the moon is wrong"), "{error}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_port_that_was_taken_in_between_leads_to_another_try() {
    let exe = bitcoind();
    let run = run("retry");
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("tried");
    let script = format!(
        "{VERSION}\n[ -e '{0}' ] && exec '{1}' \"$@\"\ntouch '{0}'\necho 'Unable to bind to 127.0.0.1:1' >&2; exit 1",
        mark.display(),
        exe.display()
    );
    let chain = Chain::start(&run, &fake(folder.path(), &script), "a").unwrap();
    assert!(mark.exists());
    assert_eq!(chain.height().unwrap(), START_HEIGHT);
}
