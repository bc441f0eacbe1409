//! The binary starts and does its work. The end-to-end tests are in `tests/`; that this test is
//! in this package makes `cargo test --workspace` build the binary that they run.

use std::process::Command;

#[test]
fn the_binary_runs_a_check() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoke");
    std::fs::create_dir_all(&dir).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lnconform"));
        command
            .args(args)
            .current_dir(&dir)
            .env_remove("LNCONFORM_SPECS");
        command.output().unwrap()
    };
    let version = run(&["--version"]);
    let said = String::from_utf8(version.stdout).unwrap();
    assert_eq!(said, format!("lnconform {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(version.status.code(), Some(0));
    let ran = run(&[
        "run",
        "bolt01/bigsize/non-minimal-3",
        "--adapter",
        "reference",
    ]);
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert!(said.contains("\n1 check in "), "{said}");
    let missing = run(&["run", "no/such/check"]);
    assert_eq!(missing.status.code(), Some(2));
}
