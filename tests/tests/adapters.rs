//! The binary as an adapter, and `adapter check` on built-in, documented and faulty adapters.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The program under test: `LNCONFORM_BIN`, else the one that is built beside this test. Cargo
/// does not build the binary of another package for a test, so it is asked to here.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("LNCONFORM_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--quiet", "--package", "lnconform"])
            .current_dir(repository());
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(
            build.status().unwrap().success(),
            "the binary does not build"
        );
        profile
            .join("lnconform")
            .with_extension(std::env::consts::EXE_EXTENSION)
    })
}

fn run(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .args(args)
        .current_dir(repository())
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The command of the faulty adapter, with the interpreter itself: a `python3` on PATH may be a
/// script that looks for it.
fn faulty(fault: &str) -> String {
    static PYTHON: OnceLock<String> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let script = "import sys; print(sys.executable, end='')";
        let output = Command::new("python3").args(["-c", script]).output();
        text(&output.expect("the tests need python3 on PATH").stdout)
    });
    format!("{python} -I -S tests/faulty/adapter.py {fault}")
}

#[test]
fn one_line_in_one_line_out() {
    let hello = "{\"id\":1,\"op\":\"hello\",\"params\":{\"protocol\":1,\"harness\":\"x\"}}\n";
    for name in ["reference", "ldk-0.2", "ldk-0.3", "ldk-node"] {
        let output = run(&["adapter", name], hello);
        let answer = text(&output.stdout);
        assert_eq!(answer.lines().count(), 1, "{name}: {answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["id"], 1, "{name}");
        assert_eq!(answer["result"]["implementation"]["name"], name);
        assert_eq!(output.status.code(), Some(0), "{name}");
    }
}

#[test]
fn the_check_accepts_every_built_in_adapter_and_the_example() {
    for adapter in [
        "reference",
        "ldk-0.2",
        "ldk-0.3",
        "ldk-node",
        "python3 docs/examples/adapter.py",
    ] {
        let output = run(&["adapter", "check", adapter], "");
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{adapter}:\n{said}");
        assert!(said.contains("; accepted"), "{adapter}:\n{said}");
        assert!(
            !said.lines().any(|l| l.starts_with("failed")),
            "{adapter}:\n{said}"
        );
    }
}

#[test]
fn the_check_refuses_every_faulty_adapter_and_names_the_rule() {
    let faults = [
        ("crash", "adapter/process/stays"),
        ("hang", "adapter/process/answers"),
        ("garbage", "adapter/output/answers-only"),
        ("wrong-id", "adapter/output/asked"),
        ("double-answer", "adapter/output/once"),
        ("flood", "adapter/output/asked"),
        ("slow-start", "adapter/hello/answer"),
        ("lies-about-operations", "adapter/operations/listed"),
        ("dies-mid-line", "adapter/output/whole-lines"),
        ("closes-stdout", "adapter/process/stays"),
    ];
    // The slow ones wait for a deadline of the protocol; all at once they wait together.
    std::thread::scope(|scope| {
        for (fault, rule) in faults {
            scope.spawn(move || {
                let output = run(&["adapter", "check", &faulty(fault)], "");
                let said = text(&output.stdout);
                assert_eq!(output.status.code(), Some(1), "{fault}:\n{said}");
                let failed: Vec<_> = said
                    .lines()
                    .filter(|l| l.starts_with("failed"))
                    .filter_map(|l| l.split_whitespace().nth(1))
                    .collect();
                assert_eq!(failed, [rule], "{fault}:\n{said}");
            });
        }
    });
}

#[test]
fn mistakes_have_exit_codes_of_their_own() {
    let output = run(&["adapter", "check", "no-such-program-here"], "");
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("no-such-program-here"));
    let output = run(&["adapter", "check", "python3 'open"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("quote"),
        "{}",
        text(&output.stderr)
    );
    let output = run(&["adapter", "refrence"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean `reference`"));
}
