//! `spec …`: catalogues against runs and upstream's vectors.

use crate::args::{MutantsArgs, TextOrJson};
use crate::failure::{Done, Failure, note, print, print_json};
use lnconform_engine::mutants::Verdicts;
use lnconform_engine::record::{Outcome, Record};
use lnconform_engine::results;
use lnconform_engine::run::exit;
use lnconform_spec::{Catalogue, Emitted, coverage as count, upstream};
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
