//! `spec …`: catalogues against runs and upstream's vectors.

use crate::args::{AuditArgs, MutantsArgs, TextOrJson};
use crate::config::Config;
use crate::failure::{Done, Failure, note, print, print_json};
use crate::guard::{Guard, draw_id};
use crate::world::{World, oracle};
use lnconform_adapters::Limits;
use lnconform_engine::audit::{Auditor, is_negative};
use lnconform_engine::filter::Filters;
use lnconform_engine::mutants::Verdicts;
use lnconform_engine::record::{Outcome, Record};
use lnconform_engine::results;
use lnconform_engine::run::exit;
use lnconform_spec::{Catalogue, Emitted, coverage as count, upstream};
use lnconform_vectors::case::{Case, Origin};
use std::path::Path;

/// Which requirements a run covered, and which of them `mutants` showed to be tested.
pub fn coverage(file: &Path, format: TextOrJson, specs: &[String], mutants: Option<&Path>) -> Done {
    let own = Path::new("specs");
    let catalogue = Catalogue::open(own.join("catalogue").is_dir().then_some(own))?;
    if let Some(unknown) = specs.iter().find(|s| !catalogue.specs().contains_key(*s)) {
        let known = catalogue.specs().into_keys().collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format!(
            "there is no catalogue of `{unknown}`; there is {known}"
        )));
    }
    let mut emitted: Vec<(String, Vec<String>, Outcome)> = Vec::new();
    let end = results::visit(file, |record| {
        if let Record::Check(check) = record {
            emitted.push((check.id, check.requirements, check.outcome));
        }
    })?;
    if end.cut || end.unfinished {
        let file = file.display();
        note(format!(
            "{file}: the run was ended before its end, so there may be more"
        ));
    }
    let emitted = emitted
        .iter()
        .map(|(check, requirements, outcome)| Emitted {
            check,
            requirements,
            outcome: outcome.as_str(),
        });
    let mut coverage = count(&catalogue, emitted);
    if let Some(path) = mutants {
        let wrong = |why: String| {
            Failure::usage(format!(
                "{}: {why}; `--mutants` takes what `lnconform mutants --format json` wrote",
                path.display()
            ))
        };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let verdicts: Verdicts = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        verdicts.tested().for_each(|id| coverage.set_tested(id));
    } else if matches!(format, TextOrJson::Json) {
        // The table does not show it, so only the JSON pays for it, and for what is asked.
        let every = MutantsArgs {
            filters: Vec::new(),
            specs: None,
            vectors: Vec::new(),
            format,
        };
        match super::mutants::verdicts(&every, specs) {
            Ok(verdicts) => verdicts.tested().for_each(|id| coverage.set_tested(id)),
            // Vectors to which no rule of the reference belongs test none.
            Err(none) if none.code == exit::USAGE => {}
            Err(other) => return Err(other),
        }
    }
    if !specs.is_empty() {
        coverage.requirements.retain(|r| specs.contains(&r.spec));
    }
    match format {
        TextOrJson::Json => {
            print_json(&serde_json::to_string(&coverage).map_err(Failure::harness)?);
        }
        TextOrJson::Text => print(coverage.table()),
    }
    Ok(0)
}

/// What upstream's files in a checkout give.
pub fn import(dir: &Path) -> Done {
    if !dir.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", dir.display())));
    }
    let rows = upstream::import(dir)?;
    let mut cases = 0;
    for row in &rows {
        cases += row.cases;
        let note = row
            .note
            .as_deref()
            .map(|n| format!("  ({n})"))
            .unwrap_or_default();
        print(format!(
            "{:>5}  {}  {}{note}",
            row.cases,
            row.file,
            row.operations.join(", ")
        ));
    }
    print(format!("{cases:>5}  cases in {} files", rows.len()));
    Ok(0)
}

/// Which negative cases do not test what they name.
pub fn audit(args: &AuditArgs) -> Done {
    let specs = args.specs.as_deref().filter(|_| !args.own);
    let mut vectors = args.vectors.clone();
    vectors.extend(Config::find()?.vectors);
    let world = World::load(specs, &vectors)?;
    for problem in &world.problems {
        note(format!("{}: {}", problem.file, problem.message));
    }
    let filters = Filters::parse(&args.filters).map_err(Failure::usage)?;
    let asked = |case: &&Case| (case.origin == Origin::Upstream) != args.own && is_negative(case);
    let negatives = || world.set.cases.iter().filter(asked);
    if let Some(idle) = filters.idle(negatives().map(|case| case.id.as_str())) {
        return Err(Failure::usage(format!(
            "the filter `{idle}` matches no negative case; `lnconform spec import` shows what a checkout gives"
        )));
    }
    let cases: Vec<&Case> = negatives().filter(|c| filters.matches(&c.id)).collect();
    let ours: Vec<&Case> = world.set.cases.iter().collect();

    let id = draw_id();
    let guard = Guard::start(&id)?;
    let reference = oracle(&id, 0)?;
    let Some(launch) = &reference.codec else {
        return Err(Failure::harness("the reference answers no codec operation"));
    };
    let auditor = Auditor {
        launch,
        limits: &Limits::default(),
        stop: &guard.stop,
    };
    let audit = auditor
        .judge(&cases, &ours)
        .map_err(|e| super::mutants::failure(e, &guard))?;
    match args.format {
        TextOrJson::Json => print_json(&serde_json::to_string(&audit).map_err(Failure::harness)?),
        TextOrJson::Text => print(audit.table()),
    }
    Ok(exit::OK)
}
