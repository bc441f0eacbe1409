//! `mutants`: the binary's own reference with one rule missing, and the vectors that notice.

use lnconform_tests::{binary, repository};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(binary())
        .args(args)
        .current_dir(dir)
        .env("NO_COLOR", "1")
        .env_remove("LNCONFORM_SPECS")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// A repository of vectors with three rules of BOLT 1 in it.
fn vectors(dir: &Path) {
    let files = [
        (
            "minimal",
            "description: A number in more bytes than it needs.\nspec: bolt01\ncovers: [bolt01/bigsize/minimal]\n\
             operation: bigsize.decode\ninput: {bytes: \"fd00fc\"}\nexpect: {error: {rule: bolt01/bigsize/minimal}}\n",
        ),
        (
            "order",
            "description: Two records in the wrong order, under another name.\nspec: bolt01\ncovers: [bolt01/tlv/decode-known]\n\
             operation: tlv.decode\ninput: {stream: \"03000200\", known: [\"2\", \"3\"]}\nexpect: {error: {}}\n",
        ),
        (
            "wrong",
            "description: What the right reference does not do says nothing.\nspec: bolt01\ncovers: [bolt01/bigsize/truncated]\n\
             operation: bigsize.decode\ninput: {bytes: \"fd00\"}\nexpect: {value: \"0\"}\n",
        ),
    ];
    let folder = dir.join("vectors/bolt01");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, vector) in files {
        std::fs::write(folder.join(format!("{name}.yaml")), vector).unwrap();
    }
}

fn rows(output: &Output) -> Vec<Value> {
    let json: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", text(&output.stdout), text(&output.stderr)));
    json["mutants"].as_array().unwrap().clone()
}

fn row<'a>(rows: &'a [Value], id: &str) -> &'a Value {
    rows.iter()
        .find(|row| row["id"] == id)
        .unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn a_mutant_is_caught_by_a_check_that_names_its_rule_and_by_no_other() {
    let dir = tempfile::tempdir().unwrap();
    vectors(dir.path());
    let output = run(dir.path(), &["mutants", "--format", "json"]);
    let all = rows(&output);
    assert_eq!(code(&output), Some(1), "{}", text(&output.stderr));
    let minimal = row(&all, "without:bolt01/bigsize/minimal");
    assert_eq!(minimal["requirement"], "bolt01/bigsize/minimal");
    assert_eq!(minimal["caught"], true);
    assert_eq!(minimal["by"], serde_json::json!(["bolt01/minimal"]));
    // It fails, but names another requirement.
    let order = row(&all, "without:bolt01/tlv/order");
    assert_eq!(order["caught"], false);
    assert_eq!(order["unnamed"], serde_json::json!(["bolt01/order"]));
    // It names the rule and fails, but fails on the right reference as well.
    let truncated = row(&all, "without:bolt01/bigsize/truncated");
    assert_eq!(truncated["caught"], false);
    assert_eq!(truncated["naming"], 0);
    // A boundary moved by hand is marked, and other specifications are not asked for.
    assert_eq!(row(&all, "lax:bolt01/tlv/order")["hand_written"], true);
    assert!(
        all.iter()
            .all(|r| r["requirement"].as_str().unwrap().starts_with("bolt01/")),
        "{all:?}"
    );
}

#[test]
fn an_explained_survivor_does_not_fail_and_a_new_one_does() {
    let dir = tempfile::tempdir().unwrap();
    vectors(dir.path());
    let found = rows(&run(dir.path(), &["mutants", "--format", "json"]));
    let survivors: Vec<&str> = found
        .iter()
        .filter(|row| row["caught"] == false)
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    assert!(survivors.len() > 2, "{survivors:?}");
    let explain = |ids: &[&str]| {
        let lines = ids
            .iter()
            .map(|id| format!("- {{id: \"{id}\", reason: of no interest here}}\n"));
        std::fs::create_dir_all(dir.path().join("specs")).unwrap();
        std::fs::write(
            dir.path().join("specs/mutants.yaml"),
            lines.collect::<String>(),
        )
        .unwrap();
        run(dir.path(), &["mutants", "bolt01/**"])
    };
    let all = explain(&survivors);
    assert_eq!(code(&all), Some(0), "{}", text(&all.stderr));
    assert!(text(&all.stdout).contains("of no interest here"));
    let one_less = explain(&survivors[1..]);
    assert_eq!(code(&one_less), Some(1));
    let said = text(&one_less.stdout);
    let survived: Vec<&str> = said.lines().filter(|l| l.starts_with("survived")).collect();
    assert_eq!(survived.len(), 1, "{said}");
    assert!(survived[0].contains(survivors[0]), "{said}");
    let unknown = explain(&["without:bolt01/tlv/odrer"]);
    assert_eq!(code(&unknown), Some(2));
    let said = text(&unknown.stderr);
    assert!(
        said.contains("did you mean `without:bolt01/tlv/order`?"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_tried_is_the_users_mistake() {
    let dir = tempfile::tempdir().unwrap();
    vectors(dir.path());
    let output = run(dir.path(), &["mutants", "bolt99/**"]);
    assert_eq!(code(&output), Some(2));
    assert!(text(&output.stderr).contains("bolt99/**"));
}

#[test]
fn a_mutant_is_explained() {
    let output = run(&repository(""), &["explain", "lax:bolt01/tlv/order"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    for line in [
        "lax:bolt01/tlv/order",
        "be it: lnconform adapter reference --shift bolt01/tlv/order=lax",
        "  bolt01/tlv/n1/duplicate",
    ] {
        assert!(said.lines().any(|l| l == line), "{line} in\n{said}");
    }
    let unknown = run(&repository(""), &["explain", "without:bolt01/tlv/odrer"]);
    assert_eq!(code(&unknown), Some(2));
    let said = text(&unknown.stderr);
    assert!(
        said.contains("did you mean `without:bolt01/tlv/order`?"),
        "{said}"
    );
}

#[test]
fn coverage_marks_what_mutants_showed_to_be_tested() {
    let dir = tempfile::tempdir().unwrap();
    vectors(dir.path());
    let mutants = run(dir.path(), &["mutants", "--format", "json"]);
    std::fs::write(dir.path().join("mutants.json"), &mutants.stdout).unwrap();
    run(dir.path(), &["run", "--adapter", "reference"]);
    let results = ".lnconform/last.jsonl";
    let tested = |more: &[&str]| -> Vec<String> {
        let args = [&["spec", "coverage", results, "--format", "json"], more].concat();
        let output = run(dir.path(), &args);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = json["requirements"].as_array().unwrap();
        all.iter()
            .filter(|r| r["tested"] == true)
            .map(|r| r["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(tested(&[]), ["bolt01/bigsize/minimal"]);
    assert_eq!(
        tested(&["--mutants", "mutants.json"]),
        ["bolt01/bigsize/minimal"]
    );
}
