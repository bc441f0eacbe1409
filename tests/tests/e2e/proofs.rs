//! `spec proofs`, and the page that holds its table.

use super::{screen, screens};
use lnconform_tests::{Place, repository};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PAGE: &str = "docs/proof-of-payment.md";
const RECORD: &str = "docs/proof-of-payment.json";

fn recorded() -> Value {
    let text = std::fs::read_to_string(repository(RECORD)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Between the two comments stands what the command in the first one prints.
#[test]
fn the_page_holds_the_table_that_the_command_makes() {
    let record = repository(RECORD);
    let record = record.to_str().unwrap();
    let made = Place::new()
        .run(&[
            "spec",
            "proofs",
            "--recorded",
            record,
            "--format",
            "markdown",
        ])
        .code(0)
        .stdout;
    let page = std::fs::read_to_string(repository(PAGE)).unwrap();
    let begin = format!("<!-- lnconform spec proofs --recorded {RECORD} --format markdown -->\n");
    let (_, rest) = page.split_once(&begin).unwrap();
    let (table, _) = rest.split_once("<!-- end -->").unwrap();
    assert_eq!(
        table.trim(),
        made.trim(),
        "make the table of {PAGE} anew, as it says"
    );
}

#[test]
fn every_claim_of_the_page_was_shown_and_its_checks_are_those_of_the_set() {
    let recorded = recorded();
    let mut ids = BTreeSet::new();
    for form in recorded["forms"].as_array().unwrap() {
        for claim in form["claims"].as_array().unwrap() {
            assert_eq!(claim["state"], "shown", "{claim}");
            let checks = claim["checks"].as_array().unwrap();
            ids.extend(checks.iter().map(|c| c["check"].as_str().unwrap()));
        }
    }
    let listed = Place::new()
        .run(&["spec", "proofs", "--format", "ids"])
        .code(0)
        .stdout;
    assert_eq!(listed.lines().collect::<BTreeSet<_>>(), ids);
}

/// The forms and their claims without what a run showed: words, statements and the ids of the checks.
fn claims(table: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for form in table["forms"].as_array().unwrap() {
        all.push(json!([form["number"], form["form"], form["name"]]));
        for claim in form["claims"].as_array().unwrap() {
            let checks = claim["checks"].as_array().unwrap();
            let checks = checks
                .iter()
                .map(|c| json!([c["check"], c["wanted"], c["simulation"]]));
            all.push(json!([
                claim["number"],
                claim["about"],
                claim["says"],
                checks.collect::<Vec<_>>()
            ]));
        }
    }
    all
}

/// The record is of these claims, word by word, and says which run it is from; with a result file,
/// `docs/site/build.sh` makes it anew for the site.
#[test]
fn the_record_is_of_the_claims_of_today_and_says_its_run() {
    let recorded = recorded();
    let today = Place::new()
        .run(&["spec", "proofs", "--format", "json"])
        .code(0)
        .json();
    let (recorded_claims, of_today) = (claims(&recorded), claims(&today));
    assert!(of_today.len() > 50, "{}", of_today.len());
    for (was, is) in recorded_claims.iter().zip(&of_today) {
        assert_eq!(
            was, is,
            "make {RECORD} anew: lnconform spec proofs RESULTS --format json"
        );
    }
    assert_eq!(recorded_claims.len(), of_today.len());
    let from = &recorded["recorded"];
    assert_eq!(from["harness"], env!("CARGO_PKG_VERSION"));
    let day = from["day"].as_str().unwrap();
    let who = from["implementations"].as_object().unwrap();
    assert!(day.len() == 10 && who.len() > 5, "{from}");
    let page = std::fs::read_to_string(repository(PAGE)).unwrap();
    assert!(
        page.contains(day),
        "{PAGE} does not say of which day its outcomes are"
    );
    // Each version that took part is that of the page.
    for (name, version) in who {
        let version = version.as_str().unwrap();
        assert!(
            page.contains(version),
            "{PAGE} does not name {name} {version}"
        );
    }
}

/// What the page says of checks that need no node is what a run says today.
#[test]
fn the_reference_passes_what_the_page_says_that_it_passes() {
    let place = Place::new();
    let ids = place
        .run(&["spec", "proofs", "--format", "ids"])
        .code(0)
        .stdout;
    let codec: Vec<&str> = ids.lines().filter(|id| !id.contains('#')).collect();
    assert!(codec.len() > 40, "{}", codec.len());
    place.write("ids.txt", &codec.join("\n"));
    let run = [
        "run",
        "@ids.txt",
        "--adapter",
        "reference",
        "--results",
        "r.jsonl",
    ];
    let _ = place.run(&run).code(0);
    let table = place
        .run(&["spec", "proofs", "r.jsonl", "--format", "json"])
        .code(0)
        .json();
    let recorded = recorded();
    for id in codec {
        let passed = |table: &Value| table["recorded"]["checks"][id]["passed"]["reference"].clone();
        assert_eq!(
            (passed(&table), passed(&recorded)),
            (1.into(), 1.into()),
            "{id}"
        );
    }
    // Of what did not run, nothing is said.
    let live = &table["forms"][0]["claims"][0];
    assert_eq!(live["checks"][0]["state"], "not-run", "{live}");
    assert_eq!(live["state"], "not-run", "{live}");
}

#[test]
fn mistakes_in_claims_and_records_are_named() {
    let place = Place::new();
    place.write(
        "specs/proofs.yaml",
        "forms:\n- form: keysend\n  name: Keysend\n  holds: {says: a, shown_by: [keysend/dirct#paid]}\n  \
         proves: {says: b, shown_by: [keysend/direct]}\n  to: {says: c, shown_by: [proof-of-payment/keysend]}\n  \
         atomic: {says: d, shown_by: [proof-of-payment/keysend]}\n",
    );
    let unknown = place.run(&["spec", "proofs"]).code(2);
    place.write(
        "specs/proofs.yaml",
        "forms:\n- form: keysend\n  nam: Keysend\n",
    );
    let key = place.run(&["spec", "proofs"]).code(2);
    place.write("other.json", "{}");
    let record = Place::new()
        .run(&["spec", "proofs", "--recorded", "none.json"])
        .code(2);
    place.write("specs/proofs.yaml", "forms: []\n");
    let shape = place
        .run(&["spec", "proofs", "--recorded", "other.json"])
        .code(2);
    let both = place
        .run(&["spec", "proofs", "r.jsonl", "--recorded", "other.json"])
        .code(2);
    screen!(
        "spec_proofs_mistakes",
        screens(&[unknown, key, record, shape, both])
    );
}
