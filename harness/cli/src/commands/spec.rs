//! `spec import` and `spec audit`: upstream's vectors, and what the negative ones test.

use crate::args::{AuditArgs, TextOrJson};
use crate::config::Config;
use crate::failure::{Done, Failure, note, print, print_json};
use crate::guard::{Guard, draw_id};
use crate::world::{World, oracle};
use lnconform_adapters::Limits;
use lnconform_engine::audit::{Auditor, is_negative};
use lnconform_engine::filter::Filters;
use lnconform_engine::run::exit;
use lnconform_spec::upstream;
use lnconform_vectors::case::{Case, Origin};
use std::path::Path;

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
