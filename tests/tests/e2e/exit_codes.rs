//! Each exit code of `run`, by a situation that a user meets.

use crate::{bigsize, place, screen, screens};
use lnconform_tests::Place;

#[test]
fn zero_all_as_expected() {
    let place = place();
    let ran = place
        .run(&["run", "mine/**", "--vectors", "v", "--adapter", "reference"])
        .code(0);
    assert_eq!(ran.stderr, "");
    screen!("run_passes", ran.screen());
    let run = &place.results(".lnconform/last.jsonl")[0];
    assert_eq!((&run["type"], &run["format"]), (&"run".into(), &1.into()));
    let checks = place.last("check");
    assert_eq!(checks.len(), 2);
    assert!(
        checks
            .iter()
            .all(|c| c["outcome"] == "passed" && c["expected"] == true)
    );
    assert_eq!(place.last("summary")[0]["exit_code"], 0);
}

/// The vectors, the ledger and the snapshots that the binary carries go together.
#[test]
fn zero_for_the_codec_lane_as_it_is() {
    let place = Place::new();
    let ran = place.run(&["run", "--lane", "codec"]).code(0);
    assert!(
        ran.stdout.contains("; exit code 0: all as expected"),
        "{}",
        ran.screen()
    );
}

#[test]
fn one_a_wrong_answer() {
    let place = place();
    let run = |name: &str, mode: &str| {
        let adapter = bigsize(name, mode);
        place
            .run(&["run", "mine/**", "--vectors", "v", "--adapter", &adapter])
            .code(1)
    };
    let ran = [run("lenient", "lenient"), run("wrong", "off-by-one")];
    screen!("run_must_failures", screens(&ran));
    let checks = place.last("check");
    let failed: Vec<_> = checks.iter().filter(|c| c["outcome"] == "failed").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["expected"], false);
    assert_eq!(failed[0]["blame"], "implementation");
    // The command that a failure names shows the failure again, and nothing else.
    let again = failed[0]["rerun"].as_str().unwrap();
    let line = again.replacen("lnconform", "\"$0\"", 1);
    let binary = lnconform_tests::binary().to_string_lossy();
    let shell = place.within("/bin/sh".as_ref(), &["-c", &line, &binary]);
    let ran = place.finish(shell, &[], "").code(1);
    assert!(ran.stdout.contains("\n1 check in "), "{}", ran.screen());
    assert_eq!(place.last("check")[0]["got"], failed[0]["got"]);
}

#[test]
fn one_in_other_formats() {
    let mut place = place();
    place.env("GITHUB_STEP_SUMMARY", place.path("summary.md"));
    let wrong = bigsize("wrong", "off-by-one");
    let args = [
        "run",
        "mine/**",
        "--vectors",
        "v",
        "--adapter",
        &wrong,
        "--format",
    ];
    let ran = place.run(&[&args[..], &["github"]].concat()).code(1);
    let page = ran.redacted(&place.read("summary.md"));
    screen!(
        "run_github_failure",
        format!("{}\nthe page:\n{page}", ran.screen())
    );
    let json = place.run(&[&args[..], &["json"]].concat()).code(1).json();
    assert_eq!(json["exit_code"], 1, "{json}");
    assert_eq!(json["counts"]["failed"], 1, "{json}");
}

#[test]
fn two_mistakes_in_the_command() {
    let place = place();
    let run = |args: &[&str]| {
        let args: Vec<&str> = ["run", "--vectors", "v"]
            .iter()
            .chain(args)
            .copied()
            .collect();
        let ran = place.run(&args).code(2);
        assert_eq!(ran.stdout, "", "{}", ran.screen());
        ran
    };
    let all = [
        run(&["mine/reed"]),
        run(&["a/["]),
        run(&["@filters.txt"]),
        run(&["--shard", "3/2"]),
        run(&["--adapter", "refrence"]),
        run(&["--adapter", "Mine=./adapter"]),
        run(&["--adapter", "mine='./adapter"]),
        run(&["--adapter", "mine="]),
        run(&["--adapter", "mine=./a", "--adapter", "mine=./b"]),
        run(&["--require", "eclare"]),
        run(&["--spec", "bolt1"]),
        run(&["--requirement", "bolt01/bigsize/minimum"]),
        run(&["--tag", "slwo"]),
        run(&["--role", "cashier=ldk-node"]),
        run(&["--role", "payer"]),
        run(&["--today", "tomorrow"]),
        run(&["--set", "offers"]),
        run(&["--failed", "none.jsonl"]),
        run(&["--vectors", "w"]),
        run(&["--specs", "bolts"]),
        run(&["--lane", "codex"]),
        run(&["--repeat", "0"]),
        run(&["--sed", "1"]),
    ];
    screen!("mistakes_in_the_command", screens(&all));
    assert!(
        !place.path(".lnconform").exists(),
        "nothing was run, so nothing is written"
    );
}

#[test]
fn three_the_ledger() {
    let place = place();
    let wrong = bigsize("wrong", "off-by-one");
    let run = |entries: &str, who: &str, code: i32| {
        place.write("ledger.yaml", entries);
        let args = ["run", "mine/**", "--vectors", "v", "--adapter", who];
        let ledger = ["--expectations", "ledger.yaml", "--today", "2027-01-31"];
        place.run(&[&args[..], &ledger].concat()).code(code)
    };
    let entry = |check: &str, who: &str, kind: &str, expires: &str| {
        format!(
            "- check: {check}\n  implementation: {who}\n  signature: {{kind: {kind}}}\n  reason: It adds one.\n  \
             issue: https://example.org/1\n  expires: {expires}\n"
        )
    };
    let expected = run(
        &entry("mine/read", "wrong", "mismatch", "2027-01-31"),
        &wrong,
        0,
    );
    let checks = place.last("check");
    let known = checks.iter().find(|c| c["id"] == "mine/read").unwrap();
    assert_eq!(
        (&known["outcome"], &known["expected"]),
        (&"failed".into(), &true.into())
    );
    assert_eq!(known["expectation"], "ledger.yaml:1");
    let all = [
        expected,
        // The day after its last: stale, and nothing worse.
        run(
            &entry("mine/read", "wrong", "mismatch", "2027-01-30"),
            &wrong,
            3,
        ),
        // An entry past its day whose check passes: only stale.
        run(
            &entry("mine/read", "reference", "mismatch", "2027-01-30"),
            "reference",
            3,
        ),
        // One that nothing matches.
        run(
            &entry("mine/**#3", "reference", "mismatch", "2027-12-31"),
            "reference",
            3,
        ),
        // A pass that was not expected.
        run(
            &entry("mine/read", "reference", "mismatch", "2027-12-31"),
            "reference",
            1,
        ),
        // A failure, but another one.
        run(
            &entry("mine/read", "wrong", "crash", "2027-12-31"),
            &wrong,
            1,
        ),
    ];
    screen!("ledger", screens(&all));
    // Somebody else's entry is not judged in a run without them.
    let _ = run(
        &entry("mine/read", "wrong", "mismatch", "2027-12-31"),
        "reference",
        0,
    );
}

#[test]
fn three_an_entry_for_an_unknown_check_only_in_an_unfiltered_run() {
    let place = Place::new();
    // Only with vectors of its own, so that the run is quick: a `vectors/` here takes the place of
    // the built-in ones.
    place.write("vectors/mine/read.yaml", crate::READ);
    place.write(
        "ledger.yaml",
        "- check: mine/gone\n  implementation: reference\n  signature: {kind: mismatch}\n  reason: It was.\n  \
         issue: {none: it is gone}\n  expires: 2099-12-31\n",
    );
    place.write("tests/snapshots/redactions.yaml", "[]\n");
    let bless = |code| {
        place
            .run(&["run", "--expectations", "ledger.yaml"])
            .code(code)
    };
    let _ = bless(3);
    let _ = place.run(&["bless"]).code(0);
    let ran = bless(3);
    screen!("ledger_unknown_check", ran.screen());
    let _ = place
        .run(&["run", "mine/*", "--expectations", "ledger.yaml"])
        .code(0);
}

#[test]
fn four_nothing_passed_or_failed() {
    let place = place();
    let without = bigsize("without", "without");
    let args = ["run", "mine/**", "--vectors", "v", "--adapter", &without];
    let ran = place.run(&args).code(4);
    screen!("run_only_unsupported", ran.screen());
}

#[test]
fn five_named_and_missing() {
    let mut place = place();
    let gone = place.run(&[
        "run",
        "mine/**",
        "--vectors",
        "v",
        "--adapter",
        "mine=./adapter",
        "--adapter",
        "reference",
    ]);
    let gone = gone.code(5);
    // The rest was run all the same.
    let passed = place
        .last("check")
        .iter()
        .filter(|c| c["outcome"] == "passed")
        .count();
    assert_eq!(passed, 2);
    place.program("adapter", "#!/bin/sh\nexit 0\n");
    place.env("PATH", place.path("nothing"));
    let no_bitcoind = place
        .run(&[
            "run",
            "--lane",
            "cluster",
            "--adapter",
            "ldk-node",
            "keysend/direct",
        ])
        .code(5);
    let checks = place.last("check");
    assert!(!checks.is_empty());
    for check in &checks {
        assert_eq!(
            (&check["outcome"], &check["blame"]),
            (&"could-not-run".into(), &"environment".into())
        );
        assert_eq!(check["expected"], false);
    }
    // Not named, it is shown and fails nothing.
    let unnamed = place
        .run(&["run", "mine/**", "keysend/direct", "--vectors", "v"])
        .code(0);
    screen!("run_could_not_run", screens(&[gone, no_bitcoind, unnamed]));
}

#[test]
fn several_at_once_the_gravest_counts() {
    let place = place();
    let wrong = bigsize("wrong", "off-by-one");
    let args = [
        "run",
        "mine/**",
        "--vectors",
        "v",
        "--adapter",
        &wrong,
        "--adapter",
        "gone=./gone",
    ];
    // 1 before 5.
    let _ = place.run(&args).code(1);
    // 5 before 3.
    place.write(
        "ledger.yaml",
        "- check: mine/read\n  implementation: reference\n  signature: {kind: mismatch}\n  reason: It was.\n  \
         issue: {none: for this test}\n  expires: 2020-01-01\n",
    );
    let args = [
        "run",
        "mine/**",
        "--vectors",
        "v",
        "--adapter",
        "reference",
        "--expectations",
        "ledger.yaml",
    ];
    let _ = place
        .run(&[&args[..], &["--adapter", "gone=./gone"]].concat())
        .code(5);
    let _ = place.run(&args).code(3);
}

#[test]
fn a_should_is_a_warning_unless_strict() {
    let place = Place::new();
    // The reference answers 253; a vector that says 254 makes it break the SHOULD that it covers.
    let wrong = crate::READ
        .replace(
            "bolt01/bigsize/form",
            "bolt12/offer/reader/features-unknown-even-shown",
        )
        .replace("value: \"253\"", "value: \"254\"");
    place.write("v/mine/should.yaml", &wrong);
    // With a MUST beside it, the MUST counts.
    let both = wrong.replace("covers: [", "covers: [bolt01/bigsize/minimal, ");
    place.write("w/mine/must.yaml", &both);
    let args = [
        "run",
        "mine/should",
        "--vectors",
        "v",
        "--adapter",
        "reference",
    ];
    let warned = place.run(&args).code(0);
    let check = &place.last("check")[0];
    assert_eq!(check["outcome"], "failed");
    assert_eq!(
        (&check["warning"], &check["expected"]),
        (&true.into(), &true.into())
    );
    assert_eq!(check["keyword"], "SHOULD");
    let strict = place.run(&[&args[..], &["--strict"]].concat()).code(1);
    assert!(
        place.last("check")[0]["rerun"]
            .as_str()
            .unwrap()
            .contains("--strict")
    );
    screen!("run_should", screens(&[warned, strict]));
    let _ = place
        .run(&[
            "run",
            "mine/must",
            "--vectors",
            "w",
            "--adapter",
            "reference",
        ])
        .code(1);
}
