//! Nodes that the user brings, as they look from the command line: stand-ins that say a version
//! and nothing else.
#![cfg(unix)]

mod shared;

use shared::{finish, lnconform, repository};
use std::os::unix::fs::PermissionsExt;

const MARK: &str = "never run against the real node in our CI";

/// A folder with both stand-ins.
struct Brought {
    dir: tempfile::TempDir,
}

impl Brought {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let eclair = dir.path().join("eclair");
        std::fs::create_dir_all(eclair.join("bin")).unwrap();
        std::fs::create_dir(eclair.join("lib")).unwrap();
        std::fs::write(eclair.join("lib/eclair-node_2.13-0.13.1.jar"), "").unwrap();
        for (path, script) in [
            (dir.path().join("lightningd"), "#!/bin/sh\necho v25.09\n"),
            (eclair.join("bin/eclair-node.sh"), "#!/bin/sh\nexit 1\n"),
        ] {
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { dir }
    }

    /// Runs the binary in the repository, for its vectors; with the stand-ins unless `bare`.
    fn run(&self, bare: bool, args: &[&str]) -> (Option<i32>, String) {
        let mut command = lnconform();
        command
            .env_remove("CLN_EXE")
            .env_remove("ECLAIR_HOME")
            .args(args)
            .current_dir(repository());
        if !bare {
            command
                .env("CLN_EXE", self.dir.path().join("lightningd"))
                .env("ECLAIR_HOME", self.dir.path().join("eclair"));
        }
        if args[0] == "run" {
            let results = self.dir.path().join("results.jsonl");
            command.arg("--results").arg(results);
        }
        finish(&mut command)
    }
}

#[test]
fn the_adapters_keep_the_protocol() {
    let brought = Brought::new();
    for name in ["cln", "eclair"] {
        let (code, said) = brought.run(false, &["adapter", "check", name]);
        assert!(!said.contains("warning"), "{said}");
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.matches("; accepted").count(), 1, "{said}");
    }
}

#[test]
fn whatever_shows_them_says_that_they_were_never_run() {
    let brought = Brought::new();
    let (_, said) = brought.run(false, &["doctor"]);
    for name in ["cln", "eclair"] {
        let line = said.lines().find(|l| l.starts_with(name)).unwrap();
        assert!(line.contains(MARK) && line.contains(" at "), "{said}");
    }
    let args = [
        "run",
        "bolt01/bigsize/**",
        "--adapter",
        "reference",
        "--adapter",
        "cln",
    ];
    let (code, said) = brought.run(false, &args);
    assert_eq!(code, Some(0), "{said}");
    // At the beginning and at the end.
    assert_eq!(said.matches(&format!("cln: {MARK}")).count(), 2, "{said}");
    let results = std::fs::read_to_string(brought.dir.path().join("results.jsonl")).unwrap();
    assert!(
        results
            .lines()
            .next()
            .unwrap()
            .contains(&format!(r#""untested":"{MARK}""#))
    );
    // A command of the user's own under that name is no adapter of ours.
    let lightningd = brought.dir.path().join("lightningd");
    let own = format!("cln={}", lightningd.display());
    let args = [
        "run",
        "bolt01/bigsize/**",
        "--adapter",
        "reference",
        "--adapter",
        &own,
    ];
    let (_, said) = brought.run(false, &args);
    assert!(!said.contains(MARK), "{said}");
}

#[test]
fn what_was_not_brought_is_told_with_what_to_set() {
    let brought = Brought::new();
    for args in [
        &["run", "keysend/direct", "--adapter", "cln"][..],
        &["adapter", "check", "cln"],
        &["adapter", "cln"],
        &["install", "cln"],
    ] {
        let (code, said) = brought.run(true, args);
        assert_eq!(code, Some(5), "{args:?}: {said}");
        assert!(
            said.contains("set CLN_EXE=/path/to/lightningd"),
            "{args:?}: {said}"
        );
    }
    let (code, said) = brought.run(true, &["adapter", "cln", "--verbose"]);
    assert_eq!(code, Some(2), "{said}");
}
