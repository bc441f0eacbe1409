//! The binary as an adapter, and `adapter check` on built-in, documented and faulty adapters.

use crate::{screen, screens};
use lnconform_tests::{Place, binary, faulty, repository, script};
use std::path::Path;
use std::process::Command;

const BUILT_IN: [&str; 5] = ["reference", "ldk-0.2", "ldk-0.3", "ldk-node", "probe"];

#[test]
fn one_line_in_one_line_out() {
    let hello = "{\"id\":1,\"op\":\"hello\",\"params\":{\"protocol\":1,\"harness\":\"x\"}}\n";
    let place = Place::new();
    for name in BUILT_IN {
        let ran = place.run_with(&["adapter", name], hello).code(0);
        assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.screen());
        let answer = ran.json();
        assert_eq!(answer["id"], 1, "{name}");
        assert_eq!(answer["result"]["implementation"]["name"], name);
    }
}

#[test]
fn the_check_accepts_every_built_in_adapter_and_the_example() {
    let example = script("docs/examples/adapter.py", "");
    std::thread::scope(|scope| {
        for adapter in BUILT_IN.into_iter().chain([example.as_str()]) {
            scope.spawn(move || {
                let place = Place::new();
                let ran = place.run(&["adapter", "check", adapter]).code(0);
                assert!(ran.stdout.contains("; accepted"), "{}", ran.screen());
                assert!(
                    !ran.stdout.lines().any(|l| l.starts_with("failed")),
                    "{}",
                    ran.screen()
                );
                assert!(ran.took.as_secs() < 60, "{:?}", ran.took);
            });
        }
    });
}

/// The templates in the other languages are adapters as good as the first, and right.
#[test]
fn the_templates_are_accepted_and_right() {
    let place = Place::new();
    let rust = binary().with_file_name("examples").join("adapter");
    assert!(
        rust.is_file(),
        "`cargo test -p lnconform-tests --examples` builds {}",
        rust.display()
    );
    let go = place.path("adapter-go");
    let source = repository("docs/examples/adapter.go");
    let compiler = ["go", "/usr/local/go/bin/go"]
        .into_iter()
        .find(|go| Command::new(go).arg("version").output().is_ok())
        .expect("the README asks for Go");
    let args = [
        "build",
        "-o",
        go.to_str().unwrap(),
        source.to_str().unwrap(),
    ];
    let mut build = place.within(Path::new(compiler), &args);
    // What this machine has compiled of Go's own library is used again.
    let cache = Command::new(compiler).args(["env", "GOCACHE"]).output();
    let cache = String::from_utf8(cache.unwrap().stdout).unwrap();
    build.env("GOCACHE", cache.trim_end());
    build.env("GOTOOLCHAIN", "local");
    let built = place.finish(build, &[], "");
    assert_eq!(built.code, Some(0), "{}", built.screen());
    for template in [rust, go] {
        let command = template.to_str().unwrap();
        let ran = place.run(&["adapter", "check", command]).code(0);
        assert!(ran.stdout.contains("; accepted"), "{}", ran.screen());
        let mine = format!("mine={command}");
        let ran = place
            .run(&["run", "bolt01/bigsize/**", "--adapter", &mine])
            .code(0);
        assert!(
            place.last("check").iter().all(|c| c["outcome"] == "passed"),
            "{}",
            ran.screen()
        );
    }
}

/// The faults, and the rule that each breaks. Every other one is tried by the tests of the check
/// itself; these are those of the issue, and what the binary makes of them.
const FAULTS: &[(&str, &str)] = &[
    ("crash", "adapter/process/stays"),
    ("hang", "adapter/process/answers"),
    ("garbage", "adapter/output/answers-only"),
    ("garbage-before-hello", "adapter/output/answers-only"),
    ("wrong-id", "adapter/output/asked"),
    ("double-answer", "adapter/output/once"),
    ("flood", "adapter/output/asked"),
    ("slow-start", "adapter/hello/answer"),
    ("wrong-protocol", "adapter/hello/version"),
    ("lies-about-operations", "adapter/operations/listed"),
    ("dies-mid-line", "adapter/output/whole-lines"),
    ("closes-stdout", "adapter/process/stays"),
    ("not-utf8", "adapter/output/utf8"),
    ("long-line", "adapter/output/line-length"),
    ("two-answers-in-one", "adapter/output/answers-only"),
    ("mainnet", "adapter/node/network"),
];

#[test]
fn the_check_refuses_every_faulty_adapter_and_names_the_rule() {
    // The slow ones wait for a deadline of the protocol; all at once they wait together.
    std::thread::scope(|scope| {
        for (fault, rule) in FAULTS {
            scope.spawn(move || {
                let place = Place::new();
                let ran = place.run(&["adapter", "check", &faulty(fault)]).code(1);
                let failed: Vec<_> = ran
                    .stdout
                    .lines()
                    .filter(|l| l.starts_with("failed"))
                    .filter_map(|l| l.split_whitespace().nth(1))
                    .collect();
                assert_eq!(failed, [*rule], "{fault}:\n{}", ran.screen());
            });
        }
    });
}

#[test]
fn the_verdicts_are_a_line_each() {
    let place = Place::new();
    let right = place.run(&["adapter", "check", &faulty("none")]).code(0);
    let wrong = place.run(&["adapter", "check", &faulty("garbage")]).code(1);
    screen!("adapter_check", without_times(&screens(&[right, wrong])));
}

/// `answered after 152 ms` without the number.
fn without_times(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for i in 1..words.len() {
        let unit = words[i].trim_end_matches([':', '\n', ',']);
        if unit.starts_with("ms") && words[i - 1].bytes().all(|b| b.is_ascii_digit()) {
            words[i - 1] = "[N]";
        }
    }
    words.join(" ")
}

#[test]
fn mistakes_have_exit_codes_of_their_own() {
    let place = Place::new();
    let all = [
        place
            .run(&["adapter", "check", "no-such-program-here"])
            .code(5),
        place.run(&["adapter", "check", "python3 'open"]).code(2),
        place.run(&["adapter", "check", ""]).code(2),
        place.run(&["adapter", "refrence"]).code(2),
        place.run(&["adapter"]).code(2),
    ];
    screen!("mistakes_with_adapters", screens(&all));
}
