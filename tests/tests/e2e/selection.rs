//! Which checks a run makes: `list`, filters, shards, order, repeats, the configuration file.

use crate::{bigsize, place, running, screen, screens};
use lnconform_tests::Place;
use std::collections::BTreeSet;

/// The ids that a command lists, a line each.
fn ids(stdout: &str) -> Vec<String> {
    let first = |line: &str| line.split("  ").next().unwrap_or_default().to_owned();
    stdout.lines().map(first).collect()
}

/// (id, implementation) of each check of the last run, in the order in which they were reported.
fn checks(place: &Place) -> Vec<(String, String)> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let all = place.last("check").into_iter();
    all.map(|c| (text(&c["id"]), text(&c["implementation"])))
        .collect()
}

#[test]
fn what_is_listed_is_what_a_run_makes() {
    let mut place = place();
    // No bitcoind, so that the scenarios are there and cost nothing.
    place.env("PATH", place.path("nothing"));
    let what = ["bolt01/**", "keysend/**", "mine/*", "--vectors", "v"];
    let args = |command: &[&'static str]| [command, &what[..]].concat();
    let listed = place.run(&args(&["list"])).code(0);
    let list: BTreeSet<String> = ids(&listed.stdout).into_iter().collect();
    assert!(
        list.len() > 80 && list.contains("mine/read"),
        "{}",
        listed.screen()
    );
    assert!(
        list.iter().any(|id| id.contains('#')),
        "{}",
        listed.screen()
    );
    assert!(
        listed
            .stderr
            .contains("2 slow vectors are left out: `--slow` takes them")
    );
    let dry = place.run(&args(&["run", "--dry-run"])).code(0);
    assert_eq!(ids(&dry.stdout).into_iter().collect::<BTreeSet<_>>(), list);
    assert!(
        !place.path(".lnconform").exists(),
        "a dry run writes nothing"
    );
    let json = place
        .run(&args(&["list", "--format", "json"]))
        .code(0)
        .json();
    let rows = json["checks"].as_array().unwrap();
    let of_json: BTreeSet<String> = rows
        .iter()
        .map(|c| c["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(of_json, list);
    for row in rows {
        assert!(row["lane"] == "codec" || row["lane"] == "cluster", "{row}");
        assert!(
            !row["implementations"].as_array().unwrap().is_empty(),
            "{row}"
        );
        assert!(row["requirements"].is_array(), "{row}");
    }
    let _ = place.run(&args(&["run"])).code(0);
    let ran: BTreeSet<String> = checks(&place).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ran, list);
}

#[test]
fn slow_vectors_run_when_asked_for() {
    let place = Place::new();
    let slow = |args: &[&str]| {
        let args = [&["list", "--lane", "cluster"], args].concat();
        place
            .run(&args)
            .code(0)
            .stdout
            .contains("keysend/feature-bit")
    };
    assert!(!slow(&[]));
    assert!(slow(&["--slow"]));
    assert!(slow(&["--tag", "slow"]));
    let left_out = place.run(&["list", "keysend/feature-bit"]).code(0);
    assert!(left_out.stderr.contains("--slow"), "{}", left_out.screen());
}

#[test]
fn what_is_left_out_is_said() {
    let place = Place::new();
    let slow = place.run(&["run", "keysend/feature-bit"]).code(4);
    let nobody = ["run", "keysend/direct", "--adapter", "reference"];
    let nobody = place.run(&nobody).code(4);
    screen!("run_left_out", screens(&[slow, nobody]));
}

#[test]
fn variables_that_are_set_to_nothing_say_nothing() {
    let mut place = place();
    for name in ["LNCONFORM_SPECS", "LNCONFORM_SEED", "GITHUB_STEP_SUMMARY"] {
        place.env(name, "");
    }
    let args = ["mine/*", "--vectors", "v", "--adapter", "reference"];
    let _ = place.run(&[&["run"], &args[..]].concat()).code(0);
    let _ = place
        .run(&[&["run", "--format", "github"], &args[..]].concat())
        .code(0);
    let _ = place.run(&[&["list"], &args[..]].concat()).code(0);
    let _ = place.run(&["explain", "bolt01/bigsize/minimal"]).code(0);
    let _ = place.run(&["spec", "import"]).code(2);
}

#[test]
fn filters_take_by_id_and_by_file() {
    let place = place();
    let list = |args: &[&str]| {
        let ran =
            place.run(&[&["list", "--vectors", "v", "--adapter", "reference"], args].concat());
        ids(&ran.code(0).stdout)
    };
    assert_eq!(list(&["mine/read"]), ["mine/read"]);
    assert_eq!(list(&["mine/*"]), ["mine/read", "mine/refused"]);
    place.write(
        "some.txt",
        "# those of this test\n\nmine/refused\nbolt01/bigsize/decode-0\n",
    );
    assert_eq!(
        list(&["@some.txt"]),
        ["bolt01/bigsize/decode-0", "mine/refused"]
    );
    let minimal = list(&["--requirement", "bolt01/bigsize/minimal", "mine/*"]);
    assert_eq!(minimal, ["mine/refused"]);
    let spec = list(&["--spec", "bolt01"]);
    assert!(
        !spec.is_empty() && spec.iter().all(|id| id.starts_with("bolt01/")),
        "{spec:?}"
    );
    assert!(list(&["--lane", "cluster"]).is_empty());
}

#[test]
fn a_seed_replays_the_same_order() {
    let place = Place::new();
    let order = |seed: &str| {
        let args = ["--shuffle", "--seed", seed, "--adapter", "reference"];
        let ran = place
            .run(&[&["run", "bolt01/bigsize/**"], &args[..]].concat())
            .code(0);
        assert!(
            ran.stdout.contains(&format!("seed {seed}\n")),
            "{}",
            ran.stdout
        );
        assert_eq!(place.last("run")[0]["seed"], seed);
        checks(&place)
    };
    let first = order("1");
    assert!(first.len() > 20);
    assert_eq!(order("1"), first);
    let other = order("2");
    assert_ne!(other, first);
    let sorted = |mut all: Vec<_>| {
        all.sort();
        all
    };
    assert_eq!(sorted(other), sorted(first.clone()));
    // From the environment as well.
    let mut place = place;
    place.env("LNCONFORM_SEED", "1");
    let args = [
        "run",
        "bolt01/bigsize/**",
        "--shuffle",
        "--adapter",
        "reference",
    ];
    let _ = place.run(&args).code(0);
    assert_eq!(checks(&place), first);
}

#[test]
fn repeats_are_counted_and_flaky_ones_named() {
    let place = place();
    let args = running("reference", &["--repeat", "3"]);
    let ran = place.run(&args).code(0);
    assert!(ran.stdout.contains("6 checks in "), "{}", ran.screen());
    let attempts: BTreeSet<_> = place
        .last("check")
        .iter()
        .map(|c| (c["id"].to_string(), c["attempt"].as_u64().unwrap()))
        .collect();
    assert_eq!(attempts.len(), 6);
    // An adapter that dies once fails one of three; no hidden retry makes it pass.
    let dies = format!(
        "dies={}",
        lnconform_tests::script("tests/adapters/bigsize.py", "third-is-wrong")
    );
    let args = [
        "run",
        "mine/read",
        "--vectors",
        "v",
        "--adapter",
        &dies,
        "--repeat",
        "5",
    ];
    let ran = place.run(&args).code(1);
    assert!(
        ran.stdout
            .contains("flaky: mine/read on dies passed 4 of 5 times"),
        "{}",
        ran.screen()
    );
}

#[test]
fn fail_fast_stops_at_the_first_unexpected_result() {
    let place = Place::new();
    // Many more than there may be on their way through the harness.
    const ALL: usize = 120 * 100;
    let bytes: Vec<_> = (0..120)
        .map(|n| format!("\"{:02x}{n:04x}\"", n % 250))
        .collect();
    let text = crate::READ.replace(
        "expect: {value: \"253\", rest: \"\"}",
        &format!(
            "matrix: {{input.bytes: [{}]}}\nexpect: {{value: \"none\"}}",
            bytes.join(", ")
        ),
    );
    place.write("v/mine/many.yaml", &text);
    let args = running("reference", &["--fail-fast", "--repeat", "100"]);
    let ran = place.run(&args).code(1);
    let made = place.last("check").len();
    println!("{made} of {ALL}");
    assert!((1..ALL).contains(&made), "{made} checks\n{}", ran.stdout);
    assert_eq!(place.last("summary")[0]["exit_code"], 1);
}

#[test]
fn shards_make_up_the_whole() {
    let place = Place::new();
    let args = ["run", "bolt01/**", "--adapter", "reference"];
    let run = |shard: &[&str]| {
        let _ = place.run(&[&args[..], shard].concat()).code(0);
        checks(&place).into_iter().collect::<BTreeSet<_>>()
    };
    let whole = run(&[]);
    let one = run(&["--shard", "1/2"]);
    let two = run(&["--shard", "2/2"]);
    assert!(!one.is_empty() && !two.is_empty());
    assert!(one.is_disjoint(&two));
    assert_eq!(one.union(&two).cloned().collect::<BTreeSet<_>>(), whole);
}

#[test]
fn failed_runs_what_failed() {
    let place = place();
    let lenient = bigsize("lenient", "lenient");
    let args = running(&lenient, &["--adapter", "reference"]);
    let _ = place
        .run(&[&args[..], &["--results", "first.jsonl"]].concat())
        .code(1);
    // Without the filter: the result file says what.
    let args = [
        "run",
        "--vectors",
        "v",
        "--adapter",
        &lenient,
        "--adapter",
        "reference",
    ];
    let ran = place
        .run(&[&args[..], &["--failed", "first.jsonl"]].concat())
        .code(1);
    assert_eq!(
        checks(&place),
        [("mine/refused".to_owned(), "lenient".to_owned())]
    );
    // It can read the file that it writes.
    let again = ["--failed", ".lnconform/last.jsonl"];
    let _ = place.run(&[&args[..], &again].concat()).code(1);
    assert_eq!(checks(&place).len(), 1, "{}", ran.screen());
    assert!(place.path(".lnconform/last.jsonl.old").exists());
    // Nothing failed: nothing to run, and that is said.
    let _ = place.run(&running("reference", &[])).code(0);
    let nothing = place.run(&[&args[..], &again].concat());
    // How many there are changes with every vector.
    let screen = nothing.code(4).screen();
    let said: Vec<&str> = screen
        .lines()
        .filter(|line| !line.contains(" vectors are left out"))
        .collect();
    assert_eq!(said.len() + 2, screen.lines().count(), "{screen}");
    screen!("run_failed_none", said.join("\n"));
}

#[test]
fn a_matrix_has_an_id_for_each_value() {
    let place = Place::new();
    let text = crate::READ.replace(
        "input: {bytes: \"fd00fd\"}\nexpect: {value: \"253\", rest: \"\"}",
        "input: {bytes: \"00\"}\nmatrix: {input.bytes: [\"01\", \"02\"]}\nexpect: {rest: \"\"}",
    );
    place.write("v/mine/many.yaml", &text);
    let list = |filter: &str| {
        let args = ["list", filter, "--vectors", "v", "--adapter", "reference"];
        ids(&place.run(&args).code(0).stdout)
    };
    assert_eq!(list("mine/*"), ["mine/many?bytes=01", "mine/many?bytes=02"]);
    assert_eq!(list("mine/many?bytes=02"), ["mine/many?bytes=02"]);
}

#[test]
fn the_configuration_file_says_what_a_run_takes() {
    let place = place();
    let init = place.run(&["init"]).code(0);
    let twice = place.run(&["init"]).code(2);
    screen!(
        "init",
        format!(
            "{}\n{}",
            screens(&[init, twice]),
            place
                .read("lnconform.yaml")
                .replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
        )
    );
    let offers = place.run(&["list", "--set", "offers"]).code(0);
    let listed = ids(&offers.stdout);
    assert!(
        !listed.is_empty() && listed.iter().all(|id| id.starts_with("bolt12/")),
        "{listed:?}"
    );
    // The file's own answers, where the command line is silent.
    let mine = bigsize("mine", "right");
    let config = format!(
        "harness: \"{}\"\nvectors: [v]\nadapters: [\"{mine}\"]\nexpectations: [known.yaml]\n\
         sets:\n  default: [\"mine/*\"]\n  one: [mine/read]\n",
        env!("CARGO_PKG_VERSION")
    );
    place
        .write("lnconform.yaml", &config)
        .write("known.yaml", "[]\n");
    let _ = place.run(&["run"]).code(0);
    let who = |id: &str| (id.to_owned(), "mine".to_owned());
    let mut ran = checks(&place);
    ran.sort();
    assert_eq!(ran, [who("mine/read"), who("mine/refused")]);
    let _ = place.run(&["run", "--set", "one"]).code(0);
    assert_eq!(checks(&place), [who("mine/read")]);
    let _ = place
        .run(&["run", "mine/refused", "--adapter", "reference"])
        .code(0);
    assert_eq!(
        checks(&place),
        [("mine/refused".to_owned(), "reference".to_owned())]
    );
    // Mistakes in it, and a pin that is not this version.
    let wrong = |text: &str| {
        place.write("lnconform.yaml", text);
        place.run(&["run"]).code(2)
    };
    let all = [
        wrong("harness: \"99.0.0\"\n"),
        wrong("harnes: \"99.0.0\"\n"),
        wrong("sets: {default: [mine/*]\n"),
        wrong("sets: {default: [nothing/*]}\n"),
        wrong("expectations: [gone.yaml]\n"),
        wrong("adapters: [mine]\n"),
    ];
    screen!(
        "mistakes_in_the_configuration",
        screens(&all).replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
    );
}
