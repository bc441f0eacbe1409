//! The worked example of `docs/spec-authors.md`, and the commands that the page names.

use lnconform_tests::{Place, repository};
use serde_json::Value;

fn page() -> String {
    std::fs::read_to_string(repository("docs/spec-authors.md")).unwrap()
}

/// Outside of comments, which say what is still to come.
#[test]
fn the_page_names_commands_that_exist() {
    let page = page();
    let mut shown = String::new();
    let mut rest = page.as_str();
    while let Some((before, after)) = rest.split_once("<!--") {
        shown.push_str(before);
        rest = after.split_once("-->").unwrap().1;
    }
    shown.push_str(rest);
    let place = Place::new();
    let mut named: Vec<Vec<&str>> = Vec::new();
    for line in shown
        .lines()
        .filter_map(|line| line.strip_prefix("lnconform "))
    {
        let words = line
            .split(' ')
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        let words: Vec<&str> = words.collect();
        if !named.contains(&words) {
            named.push(words);
        }
    }
    assert!(named.len() >= 6, "{named:?}");
    for words in named {
        let _ = place.run(&[words.as_slice(), &["--help"]].concat()).code(0);
    }
}

#[test]
fn each_demand_of_the_example_is_covered_or_excluded_and_its_vectors_notice() {
    let place = Place::new();
    let _ = place
        .run(&["run", "dns/**", "--adapter", "reference"])
        .code(0);
    let coverage = [
        "spec",
        "coverage",
        ".lnconform/last.jsonl",
        "--spec",
        "blip-0032",
    ];
    let rows = place
        .run(&[&coverage[..], &["--format", "json"]].concat())
        .code(0)
        .json();
    let rows = rows["requirements"].as_array().unwrap();
    let of = |test: &dyn Fn(&Value) -> bool| rows.iter().filter(|row| test(row)).count();
    let covered = |row: &Value| row["checks"].as_array().is_some_and(|all| !all.is_empty());
    assert_eq!(rows.len(), 11);
    assert_eq!(of(&covered), 9);
    assert_eq!(of(&|row| !covered(row) && row["excluded"].is_string()), 2);
    // To look a name up is nothing that the reference could get wrong.
    assert_eq!(of(&|row| row["tested"] == true), 8);
    let mutants = place
        .run(&["mutants", "dns/**", "--format", "json"])
        .code(0)
        .json();
    let mutants = mutants["mutants"].as_array().unwrap();
    let audit = ["spec", "audit", "--own", "dns/**", "--format", "json"];
    let audit = place.run(&audit).code(0).json();
    let cases = audit["cases"].as_array().unwrap();
    assert!(cases.iter().all(|case| case["reaches"] == true), "{audit}");
    // As the page says.
    let figures = format!("{} negative cases", cases.len());
    assert!(page().contains(&figures), "{figures}");
    let figures = format!("{} mutants, all caught", mutants.len());
    assert!(page().contains(&figures), "{figures}");
}
