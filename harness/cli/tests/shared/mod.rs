//! What the tests of the binary share: how it is started, and what it said.

// Each test program that includes this file uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary, which is told of no checkout of the specifications.
pub fn lnconform() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lnconform"));
    command.env_remove("LNCONFORM_SPECS");
    command
}

/// The repository, for its vectors, ledger and snapshots.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a command to its end. Answers its exit code and what it said, on both outputs.
pub fn finish(command: &mut Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

/// Runs a command line in the repository, as [`finish`]; the results of a `run` go to a file of that
/// name below the folder for such files.
pub fn run(results: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut command = lnconform();
    command.args(args).current_dir(repository());
    if args[0] == "run" {
        let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join(results);
        command.arg("--results").arg(results);
    }
    finish(&mut command)
}
