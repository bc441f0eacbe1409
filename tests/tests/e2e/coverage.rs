//! `spec coverage`: who satisfies which statement, on every kind of page; and the mutants by section.

use crate::{bigsize, place, running};
use lnconform_tests::repository;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_page_says_who_satisfies_a_statement() {
    let place = place();
    let wrong = bigsize("wrong", "lenient");
    let args = running("reference", &["--adapter", &wrong]);
    let _ = place.run(&args).code(1);
    // A result file may be somebody else's, and so is what stands in it.
    let results = place
        .read(".lnconform/last.jsonl")
        .replace("\"wrong\"", "\"<script>\"");
    place.write("theirs.jsonl", &results);
    let coverage = |more: &[&str]| {
        let args = ["spec", "coverage", "theirs.jsonl", "--spec", "bolt01"];
        place.run(&[&args, more].concat()).code(0)
    };
    let json = coverage(&["--format", "json"]).json();
    let rows = json["requirements"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|r| r["id"] == "bolt01/bigsize/minimal")
        .unwrap();
    assert_eq!(row["satisfied"], serde_json::json!(["reference"]));
    assert_eq!(row["violated"], serde_json::json!(["<script>"]));
    assert_eq!(row["section"], "Appendix A: BigSize Test Vectors");
    let sections = json["sections"].as_array().unwrap();
    assert!(
        sections.iter().all(|s| s["spec"] == "bolt01") && sections.len() > 1,
        "{sections:?}"
    );

    let statements = coverage(&["--statements"]);
    let markdown = coverage(&["--format", "markdown"]);
    let html = coverage(&["--format", "html", "-o", "page.html"]);
    assert_eq!(html.stdout, "");
    let page = place.read("page.html");
    // A page has scripts of its own: as many with a harmless name.
    let args = [
        "spec",
        "coverage",
        ".lnconform/last.jsonl",
        "--spec",
        "bolt01",
    ];
    let harmless = [&args[..], &["--format", "html", "-o", "harmless.html"]].concat();
    let _ = place.run(&harmless).code(0);
    let scripts = |text: &str| text.matches("<script").count();
    let own = scripts(&place.read("harmless.html"));
    for (text, scripts_of_its_own) in [(&markdown.stdout, 0), (&page, own)] {
        let escaped = ["&lt;script&gt;", "&#60;script&#62;"];
        assert!(escaped.iter().any(|name| text.contains(name)), "{text}");
        assert_eq!(scripts(text), scripts_of_its_own, "{text}");
        for id in rows.iter().map(|r| r["id"].as_str().unwrap()) {
            assert!(text.contains(id), "{id}");
        }
    }
    assert!(
        !page.contains("http:") && !page.contains("https:"),
        "it needs no network"
    );
    let lines: Vec<&str> = statements.stdout.lines().collect();
    let at = lines
        .iter()
        .position(|l| l.contains("bolt01/bigsize/minimal"))
        .unwrap();
    assert_eq!(
        lines[at..at + 4],
        [
            "    covered   bolt01/bigsize/minimal (MUST)",
            "              1 check: mine/refused",
            "              satisfied by reference",
            "              violated by <script>",
        ]
    );
    let nowhere = place
        .run(&["spec", "coverage", "theirs.jsonl", "-o", "no/page.html"])
        .code(2);
    assert!(
        nowhere.stderr.contains("no/page.html cannot be written"),
        "{}",
        nowhere.stderr
    );
}

#[test]
fn mutants_are_counted_by_section() {
    let place = place();
    let _ = place.run(&running("reference", &[])).code(0);
    // A part of the vectors leaves survivors.
    let by_section = place.run(&["mutants", "bolt01/**", "--by-section"]).code(1);
    let each = place
        .run(&["mutants", "bolt01/**", "--format", "json"])
        .code(1);
    let all = each.json()["mutants"].as_array().unwrap().len();
    let json = place
        .run(&["mutants", "bolt01/**", "--by-section", "--format", "json"])
        .code(1)
        .json();
    let sections = json["sections"].as_array().unwrap();
    let counted = |s: &serde_json::Value| -> u64 {
        ["caught", "explained", "survived"]
            .iter()
            .map(|k| s[*k].as_u64().unwrap())
            .sum()
    };
    assert_eq!(sections.iter().map(counted).sum::<u64>(), all as u64);
    place.write("mutants.json", &each.stdout);
    let coverage = place
        .run(&[
            "spec",
            "coverage",
            ".lnconform/last.jsonl",
            "--spec",
            "bolt01",
            "--mutants",
            "mutants.json",
        ])
        .code(0);
    let scores = coverage.stdout.split("mutants caught:\n").nth(1).unwrap();
    assert_eq!(scores.trim(), by_section.stdout.trim());
}

/// An exclusion says that no check can be had; where a vector has one after all, the reason is out of
/// date, and it would come back should the check be lost.
#[test]
fn no_vector_covers_what_the_catalogues_exclude() {
    let mut excluded = BTreeMap::new();
    for file in files(&repository("specs/catalogue")) {
        let text = fs::read_to_string(&file).unwrap();
        let catalogue: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        for entry in catalogue["entries"].as_array().unwrap() {
            if let Some(reason) = entry["excluded"].as_str() {
                excluded.insert(entry["id"].as_str().unwrap().to_owned(), reason.to_owned());
            }
        }
    }
    assert!(excluded.len() > 50, "{excluded:?}");
    let part_of_id = |c: char| c.is_ascii_alphanumeric() || "/-_".contains(c);
    for file in files(&repository("vectors")) {
        let text = fs::read_to_string(&file).unwrap();
        for word in text.split(|c| !part_of_id(c)) {
            let reason = excluded.get(word);
            assert_eq!(reason, None, "{} names {word}", file.display());
        }
    }
}

/// Every YAML file below a folder.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
    found
}
