//! What the probe does wrong, and what is asked for on the wire: nothing is forgotten.

use crate::coverage::files;
use lnconform_spec::{Catalogue, misbehaviours, wire};
use lnconform_tests::repository;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// Each misbehaviour is used where the other end may be the probe itself, well-behaved: there the rule of
/// the list, and no other, has to notice.
#[test]
fn every_misbehaviour_meets_the_honest_probe() {
    let mut met = BTreeSet::new();
    for scenario in scenarios() {
        let roles = scenario["roles"].as_object();
        let probes = roles.into_iter().flatten().filter(|(_, who)| {
            let who = who.as_array();
            who.is_some_and(|who| who.iter().any(|name| name == misbehaviours::WHO))
        });
        if probes.count() > 1 {
            collect(&scenario, "misbehave", &mut met);
        }
    }
    let all = misbehaviours::all().unwrap();
    let names = all.iter().map(|m| m.name.as_str());
    let alone: Vec<&str> = names.filter(|name| !met.contains(*name)).collect();
    assert!(all.len() > 200, "{}", all.len());
    assert!(alone.is_empty(), "no scenario with two probes: {alone:#?}");
}

/// Of each MUST for who reads there is a scenario on the wire, or the reason why there can be none; and
/// where there is a scenario, no reason.
#[test]
fn no_must_of_a_reader_is_forgotten_on_the_wire() {
    let catalogue = Catalogue::embedded().unwrap();
    let reasons = wire::reasons().unwrap();
    let mut named = BTreeSet::new();
    for scenario in scenarios() {
        collect(&scenario, "covers", &mut named);
    }
    let (mut forgotten, mut both) = (Vec::new(), Vec::new());
    for entry in catalogue.entries().filter(|e| wire::asked(e)) {
        match (named.contains(&entry.id), reasons.contains_key(&entry.id)) {
            (false, false) => forgotten.push(&entry.id),
            (true, true) => both.push(&entry.id),
            _ => {}
        }
    }
    assert!(
        forgotten.is_empty(),
        "neither a scenario in vectors/wire nor a reason in specs/wire: {forgotten:#?}"
    );
    assert!(
        both.is_empty(),
        "a scenario in vectors/wire and a reason in specs/wire: {both:#?}"
    );
}

/// The scenarios in which the harness plays a peer.
fn scenarios() -> Vec<Value> {
    let files = files(&repository("vectors/wire")).into_iter();
    let read = |file| serde_yaml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    files.map(read).collect()
}

/// The words that stand below `key`, alone or in a list, anywhere in a scenario.
fn collect(value: &Value, key: &str, words: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if name == key {
                    let one = value.as_str();
                    let several = value.as_array().into_iter().flatten();
                    let all = one.into_iter().chain(several.filter_map(Value::as_str));
                    words.extend(all.map(str::to_owned));
                } else {
                    collect(value, key, words);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, key, words)),
        _ => {}
    }
}
