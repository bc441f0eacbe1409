//! `spec proofs`: what proof of payment each form of payment leaves, joined with a run.

use crate::args::ProofsFormat;
use crate::failure::{Done, Failure, note_of_end, print, print_json};
use crate::world::World;
use lnconform_engine::record::{Check, Record};
use lnconform_engine::results;
use lnconform_engine::run::{check_requirements, exit};
use lnconform_spec::Proofs;
use lnconform_spec::proofs::Recorded;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Shows the table.
///
/// # Errors
/// A mistake in `specs/proofs.yaml`, an id of a check that no vector has, a file that is none.
pub fn proofs(results: Option<&Path>, recorded: Option<&Path>, format: ProofsFormat) -> Done {
    let proofs = Proofs::open(Some(Path::new("specs")))?;
    let world = World::load(None, &[])?;
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    for case in &world.set.cases {
        let simulation = case.tags.iter().any(|tag| tag == "simulation");
        for (id, _) in check_requirements(case) {
            known.insert(id, simulation);
        }
    }
    proofs.resolve(&known)?;
    if format == ProofsFormat::Ids {
        proofs.checks().into_iter().for_each(print);
        return Ok(exit::OK);
    }
    let recorded = match (results, recorded) {
        (Some(file), _) => Some(of_results(file, &proofs)?),
        (None, Some(file)) => Some(of_record(file)?),
        (None, None) => None,
    };
    let table = proofs.table(&known, recorded);
    match format {
        ProofsFormat::Json => print_json(&serde_json::to_string(&table).map_err(Failure::harness)?),
        ProofsFormat::Markdown => print(table.markdown().trim_end()),
        ProofsFormat::Text | ProofsFormat::Ids => print(table.text().trim_end()),
    }
    Ok(exit::OK)
}

/// Who it ran on: an implementation, or each that took a role, once.
fn who(check: &Check) -> String {
    match (&check.implementation, &check.roles) {
        (Some(name), _) => name.clone(),
        (None, Some(roles)) => {
            let names: BTreeSet<&str> = roles.values().map(String::as_str).collect();
            names.into_iter().collect::<Vec<_>>().join("+")
        }
        (None, None) => String::new(),
    }
}

/// What a result file says of the checks that claims rest on.
fn of_results(file: &Path, proofs: &Proofs) -> Result<Recorded, Failure> {
    let wanted: BTreeSet<&str> = proofs.checks().into_iter().collect();
    let mut recorded = Recorded::default();
    let end = results::visit(file, |record| match record {
        Record::Run(run) => {
            recorded.harness = run.harness;
            // RFC 3339 begins with the day.
            recorded.day = run.started.chars().take(10).collect();
            let there = run.implementations.into_iter().filter(|i| i.available);
            recorded.implementations = there.map(|i| (i.name, i.version)).collect();
        }
        Record::Check(check) if wanted.contains(check.id.as_str()) => {
            let outcomes = recorded.checks.entry(check.id.clone()).or_default();
            outcomes.add(&who(&check), check.outcome.as_str(), check.expected);
        }
        _ => {}
    })?;
    note_of_end(file, &end);
    Ok(recorded)
}

/// What `--format json` wrote.
fn of_record(file: &Path) -> Result<Recorded, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!(
            "{}: {why}; `--recorded` takes what `lnconform spec proofs RESULTS --format json` wrote",
            file.display()
        ))
    };
    #[derive(serde::Deserialize)]
    struct Table {
        recorded: Recorded,
    }
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    let table: Table = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    Ok(table.recorded)
}
