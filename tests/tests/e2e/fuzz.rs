//! `fuzz --differential`: what is found, how it is written, and that it is found again.

use lnconform_tests::{Place, Ran, binary, script};
use serde_json::Value;
use std::collections::BTreeSet;

/// A rule that no vector of these places is about.
const RULE: &str = "bolt12/offer/reader/amount-zero";

const VALID: &str = "\
description: An offer of an issuer id, an amount and a description.
covers: [bolt12/offer/reader/issuer-or-paths]
operation: bolt12.offer.decode
input: {offer: lno1pqpvx5q2pe8kuefqvd6hqgr0vcs8getpzcssx0x93p99a20lqv37zkuzgvnxf8zj8watajgmwkdjnewdqea5mc6y}
expect: {amount: \"50000\"}
";

/// A place whose own vectors are one valid offer.
fn place() -> Place {
    let place = Place::new();
    place.write("vectors/mine/valid.yaml", VALID);
    place
}

/// A reader of offers that takes an amount of zero.
fn lenient() -> String {
    let binary = binary().display();
    format!("lenient={binary} adapter reference --without {RULE}")
}

fn fuzz(place: &Place, more: &[&str]) -> (Ran, Value) {
    let args = [
        "fuzz",
        "--differential",
        "--seconds",
        "600",
        "--format",
        "json",
    ];
    let ran = place.run(&[&args[..], more].concat());
    let report =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.screen()));
    (ran, report)
}

fn finds(report: &Value) -> &Vec<Value> {
    report["finds"].as_array().unwrap()
}

#[test]
fn a_reader_that_lacks_a_rule_is_found_made_small_and_fails_what_was_written() {
    let place = place();
    let lenient = lenient();
    let search = [
        "--seed",
        "5",
        "--inputs",
        "300",
        "--adapter",
        &lenient,
        "--out",
        "finds",
    ];
    let (ran, report) = fuzz(&place, &search);
    assert_eq!(ran.code, Some(1), "{}", ran.screen());
    assert_eq!(report["exit_code"], 1);
    assert_eq!(report["inputs"], 300);
    let found = finds(&report);
    assert_eq!(found.len(), 1, "{}", ran.screen());
    assert_eq!(found[0]["rule"], RULE);
    assert_eq!(found[0]["operation"], "bolt12.offer.decode");
    let groups = found[0]["groups"].as_array().unwrap();
    let group = |answer: &str| groups.iter().find(|g| g["answer"] == answer).unwrap();
    assert_eq!(
        group("refused")["implementations"],
        serde_json::json!(["reference"])
    );
    assert_eq!(
        group("accepted")["implementations"],
        serde_json::json!(["lenient"])
    );
    assert!(ran.stderr.contains(RULE), "{}", ran.stderr);

    // An amount of zero, a description for it, and somebody to ask: no smaller offer has the rule
    // at stake.
    let file = found[0]["file"].as_str().unwrap();
    let text = place.read(file);
    let offer = text
        .split_once("offer: ")
        .unwrap()
        .1
        .lines()
        .next()
        .unwrap();
    assert!(offer.starts_with("lno1pqqq5qq"), "{text}");
    assert!(text.contains("of seed 5"), "{text}");

    // What was written is a vector: it passes on the one, and fails on the other.
    let run = |adapter: &str| {
        let id = file
            .strip_prefix("finds/")
            .unwrap()
            .strip_suffix(".yaml")
            .unwrap();
        place.run(&["run", id, "--vectors", "finds", "--adapter", adapter])
    };
    let right = run("reference");
    assert_eq!(right.code, Some(0), "{}", right.screen());
    let wrong = run(&lenient);
    assert_eq!(wrong.code, Some(1), "{}", wrong.screen());

    // And from then on it is known.
    let (ran, report) = fuzz(&place, &[&search[..], &["--vectors", "finds"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.screen());
    assert!(report["known"].as_u64().unwrap() > 0);
    assert!(finds(&report).is_empty());
}

#[test]
fn the_same_seed_and_number_of_inputs_give_the_same_finds() {
    let place = place();
    let search = |out: &str, inputs: &str| {
        let lenient = lenient();
        let args = [
            "--seed",
            "5",
            "--adapter",
            &lenient,
            "--out",
            out,
            "--inputs",
            inputs,
        ];
        let (_, mut report) = fuzz(&place, &args);
        for find in report["finds"].as_array_mut().unwrap() {
            let file = find["file"].take();
            find["text"] = place.read(file.as_str().unwrap()).into();
        }
        report["duration_ms"] = Value::Null;
        report
    };
    let one = search("one", "300");
    assert_eq!(finds(&one).len(), 1);
    assert_eq!(one, search("two", "300"));
    // Fewer inputs give those of its finds that these show.
    let first = finds(&one)[0]["number"].as_u64().unwrap();
    let before = search("three", &first.max(1).to_string());
    assert!(finds(&before).is_empty());
    let with = search("four", &(first + 1).to_string());
    assert_eq!(finds(&with)[0]["text"], finds(&one)[0]["text"]);
}

#[test]
fn an_adapter_that_dies_is_a_find_and_the_search_goes_on() {
    let place = place();
    let dying = format!("offers={}", script("tests/adapters/offers.py", "150"));
    let (ran, report) = fuzz(
        &place,
        &[
            "--seed",
            "1",
            "--inputs",
            "60",
            "--adapter",
            &dying,
            "--out",
            "finds",
        ],
    );
    assert_eq!(ran.code, Some(1), "{}", ran.screen());
    assert_eq!(report["inputs"], 60);
    let found = finds(&report);
    assert!(!found.is_empty(), "{}", ran.screen());
    let mut rules = BTreeSet::new();
    for find in found {
        let groups = find["groups"].as_array().unwrap();
        let crash = groups.iter().find(|g| g["answer"] == "crash");
        assert_eq!(
            crash.unwrap()["implementations"],
            serde_json::json!(["offers"])
        );
        assert!(rules.insert(find["rule"].to_string()), "{}", ran.screen());
        // Whatever is longer than it takes to kill it went.
        let text = place.read(find["file"].as_str().unwrap());
        let offer = text
            .split_once("offer: ")
            .unwrap()
            .1
            .lines()
            .next()
            .unwrap();
        assert!(offer.len() > 150, "{text}");
    }
}

#[test]
fn what_cannot_be_searched_says_so() {
    let place = place();
    place.write("v/mine/read.yaml", crate::READ);
    for (args, said) in [
        (&["fuzz"][..], "--differential"),
        (&["fuzz", "--differential", "nothing/**"], "nothing/**"),
        (
            &["fuzz", "--differential", "mine/read", "--vectors", "v"],
            "bolt12.offer.decode",
        ),
        (
            &["fuzz", "--differential", "--adapter", "reference"],
            "no two implementations",
        ),
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(2), "{}", ran.screen());
        assert!(ran.stderr.contains(said), "{}", ran.screen());
    }
    let missing = [
        "fuzz",
        "--differential",
        "--adapter",
        "gone=/nowhere/at-all",
    ];
    let ran = place.run(&missing);
    assert_eq!(ran.code, Some(5), "{}", ran.screen());
}
