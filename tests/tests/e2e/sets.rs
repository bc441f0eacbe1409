//! Frozen sets: nobody's CI is surprised, and nobody changes what was promised.

use crate::{screen, screens};
use lnconform_tests::{Place, repository};
use serde_json::json;

/// What was promised: an edit of a vector in a set is ours to take back. Where an expectation was wrong,
/// the right vector is a new one, for the next set.
#[test]
fn every_frozen_set_is_what_it_was() {
    let place = Place::new();
    let sets = place
        .run(&["spec", "sets", "--format", "json"])
        .code(0)
        .json();
    let sets = sets["sets"].as_array().unwrap();
    let files = std::fs::read_dir(repository("specs/sets")).unwrap().count();
    assert!(files > 0 && sets.len() == files, "{sets:?}");
    for set in sets {
        assert_eq!(set["broken"], json!([]), "{}", set["set"]);
        assert!(set["vectors"].as_u64().unwrap() > 0);
    }
}

const ONE: &str = "description: One.\ncovers: [bolt01/bigsize/minimal]\noperation: bigsize.decode\n\
                   input: {bytes: \"01\"}\nexpect: {value: \"1\", rest: \"\"}\n";
const TWO: &str = "description: Two.\ncovers: [bolt01/bigsize/minimal]\noperation: bigsize.decode\n\
                   input: {bytes: \"02\"}\nexpect: {value: \"2\", rest: \"\"}\n";

#[test]
fn a_set_leaves_new_vectors_out_and_notices_changed_ones() {
    let place = Place::new();
    place
        .write("vectors/a/one.yaml", ONE)
        .write("vectors/a/two.yaml", TWO);
    let run = |set: &str| {
        place.run(&[
            "run",
            "--set",
            set,
            "--adapter",
            "reference",
            "--format",
            "json",
        ])
    };
    let _ = run("1999.1").code(2);
    let frozen = place
        .run(&["spec", "freeze", "2027.1", "--today", "2026-12-01"])
        .code(0);
    let again = place.run(&["spec", "freeze", "2027.1"]).code(2);
    let name = place.run(&["spec", "freeze", "next"]).code(2);
    let list = place.run(&["spec", "sets"]).code(0);
    // A new vector is not in it.
    place.write(
        "vectors/a/new.yaml",
        &TWO.replace("02", "03").replace("\"2\"", "\"3\""),
    );
    // The first time nothing is known of what they answer.
    assert_eq!(run("2027.1").code(3).json()["counts"]["passed"], 2);
    let _ = place.run(&["bless"]).code(0);
    let ids: Vec<String> = place
        .last("check")
        .iter()
        .map(|c| c["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["a/one", "a/two"]);
    let listed = place
        .run(&["list", "--set", "2027.1", "--adapter", "reference"])
        .code(0);
    // What is said for people may be bettered.
    place.write(
        "vectors/a/one.yaml",
        &ONE.replace("One.", "The number one."),
    );
    let _ = run("2027.1").code(0);
    // What it asserts may not, and it may not go.
    place.write(
        "vectors/a/one.yaml",
        &ONE.replace("rest: \"\"", "rest: \"00\""),
    );
    let changed = run("2027.1").code(2);
    std::fs::remove_file(place.path("vectors/a/two.yaml")).unwrap();
    let gone = place.run(&["spec", "sets"]).code(0);
    // A set of the configuration is filters, as ever.
    place.write("lnconform.yaml", "sets: {mine: [a/new]}\n");
    assert_eq!(run("mine").json()["counts"]["passed"], 1);
    let unknown = run("yours").code(2);
    screen!(
        "frozen_sets",
        screens(&[frozen, again, name, list, listed, changed, gone, unknown])
    );
}
