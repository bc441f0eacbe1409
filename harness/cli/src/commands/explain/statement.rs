//! `explain` of a requirement: the statement, where it stands, what checks it, and who keeps to it.

use super::requirement;
use crate::failure::print;
use crate::world::World;
use lnconform_engine::record::{Check, Outcome, Record};
use lnconform_engine::results;
use lnconform_engine::run::check_requirements;
use lnconform_spec::{Catalogue, Emitted, Entry, coverage};
use lnconform_vectors::case::Body;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Ids shown of each lane, and failures shown of a run, before the rest is counted.
const SHOWN: usize = 3;

/// Shows a requirement on one screen. Of a result file that is not there, nothing is said.
pub fn explain(world: &World, entry: &Entry, specs: Option<&Path>, file: &Path) {
    requirement(world, entry, specs);
    if let Some(header) = world.catalogue.headers().find(|h| h.spec == entry.spec) {
        let revision: String = header.revision.chars().take(12).collect();
        print(format!("  source: {} at {revision}", header.document));
    }
    let more = checks(world, &entry.id) | outcomes(&world.catalogue, &entry.id, file);
    if more {
        print(format!("all of it: lnconform explain --all {}", entry.id));
    }
}

/// The checks by lane; whether some are only counted.
fn checks(world: &World, id: &str) -> bool {
    let mut lanes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for case in &world.set.cases {
        let lane = match case.body {
            Body::Codec(_) => "codec",
            Body::Scenario(_) => "cluster",
        };
        let those = check_requirements(case).into_iter();
        let those = those.filter(|(_, covered)| covered.iter().any(|r| r == id));
        lanes
            .entry(lane)
            .or_default()
            .extend(those.map(|(check, _)| check));
    }
    lanes.retain(|_, checks| !checks.is_empty());
    if lanes.is_empty() {
        print("no vector covers it");
    }
    let mut cut = false;
    for (lane, checks) in lanes {
        print(format!("{} in the {lane} lane:", number(checks.len())));
        cut |= first(&checks);
    }
    cut
}

/// What a run says of it, if its file is there; whether some is only counted.
fn outcomes(catalogue: &Catalogue, id: &str, file: &Path) -> bool {
    let mut seen: Vec<(Check, Vec<String>)> = Vec::new();
    let read = results::visit(file, |record| {
        if let Record::Check(check) = record
            && check.requirements.iter().any(|r| r == id)
        {
            let roles = check.roles.iter().flat_map(BTreeMap::values);
            let who: BTreeSet<&String> = check.implementation.iter().chain(roles).collect();
            let who = who.into_iter().cloned().collect();
            seen.push((*check, who));
        }
    });
    if read.is_err() || seen.is_empty() {
        return false;
    }
    // What nobody expected comes first.
    seen.sort_by_key(|(check, _)| check.expected);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (check, _) in &seen {
        *counts.entry(check.outcome.as_str()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(o, n)| format!("{n} {o}")).collect();
    print(format!("in {}: {}", file.display(), counts.join(", ")));
    let only = [id.to_owned()];
    let names: Vec<Vec<&str>> = seen
        .iter()
        .map(|(_, who)| who.iter().map(String::as_str).collect())
        .collect();
    let emitted = seen.iter().zip(&names).map(|((check, _), who)| Emitted {
        check: &check.id,
        requirements: &only,
        outcome: check.outcome.as_str(),
        implementations: who,
        // Not shown here.
        wire: false,
    });
    let coverage = coverage(catalogue, emitted);
    let of_this = coverage.requirements.iter().find(|r| r.id == id);
    for (what, who) in of_this.into_iter().flat_map(|r| {
        [
            ("satisfied by", &r.satisfied),
            ("violated by", &r.violated),
            ("took part where it failed", &r.involved),
        ]
    }) {
        if !who.is_empty() {
            let who: Vec<&str> = who.iter().map(String::as_str).collect();
            print(format!("  {what}: {}", who.join(", ")));
        }
    }
    let failed: Vec<String> = seen
        .iter()
        .filter(|(check, _)| check.outcome == Outcome::Failed)
        .map(|(check, _)| {
            let unexpected = if check.expected { "" } else { ", unexpected" };
            format!("{} failed on {}{unexpected}", check.id, check.who())
        })
        .collect();
    first(&failed) | (seen.len() > failed.len())
}

/// Shows the first few lines and counts the others; whether there are others.
fn first(lines: &[String]) -> bool {
    for line in lines.iter().take(SHOWN) {
        print(format!("  {line}"));
    }
    let more = lines.len().saturating_sub(SHOWN);
    if more > 0 {
        print(format!("  and {more} more"));
    }
    more > 0
}

fn number(checks: usize) -> String {
    match checks {
        1 => "1 check".to_owned(),
        n => format!("{n} checks"),
    }
}
