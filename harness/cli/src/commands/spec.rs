//! `spec …`: catalogues against runs and upstream's vectors.

use crate::args::{AuditArgs, CoverageArgs, MutantsArgs, Page, TextOrJson};
use crate::config::Config;
use crate::failure::{Done, Failure, note, print, print_json};
use crate::guard::{Guard, draw_id};
use crate::world::{World, catalogue, oracle};
use lnconform_adapters::Limits;
use lnconform_adapters::registry::PROBE;
use lnconform_engine::audit::{Auditor, is_negative};
use lnconform_engine::filter::Filters;
use lnconform_engine::mutants::Verdicts;
use lnconform_engine::record::{Lane, Outcome, Record};
use lnconform_engine::results;
use lnconform_engine::run::exit;
use lnconform_report::html;
use lnconform_spec::coverage::{Score, score_table, scores};
use lnconform_spec::{Catalogue, Emitted, coverage as count, upstream, wire};
use lnconform_vectors::case::{Case, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which requirements a run covered, who satisfies them, and which of them `mutants` showed to be
/// tested.
pub fn coverage(args: &CoverageArgs) -> Done {
    let (file, specs) = (args.results.as_path(), args.specs_named.as_slice());
    let catalogue = catalogue()?;
    catalogue.only(specs).map_err(Failure::usage)?;
    struct Seen {
        check: String,
        requirements: Vec<String>,
        outcome: Outcome,
        who: Vec<String>,
        wire: bool,
    }
    let mut seen: Vec<Seen> = Vec::new();
    let mut run = String::new();
    let end = results::visit(file, |record| match record {
        Record::Check(check) => {
            let roles = check.roles.into_iter().flat_map(BTreeMap::into_values);
            let who: BTreeSet<String> = check.implementation.into_iter().chain(roles).collect();
            let wire = check.lane == Lane::Cluster && who.contains(PROBE);
            seen.push(Seen {
                check: check.id,
                requirements: check.requirements,
                outcome: check.outcome,
                who: who.into_iter().collect(),
                wire,
            });
        }
        Record::Run(header) => run = format!("Run {} of {}", header.run, header.started),
        _ => {}
    })?;
    if end.cut || end.unfinished {
        let file = file.display();
        note(format!(
            "{file}: the run was ended before its end, so there may be more"
        ));
    }
    let names: Vec<Vec<&str>> = seen
        .iter()
        .map(|one| one.who.iter().map(String::as_str).collect())
        .collect();
    let emitted = seen
        .iter()
        .zip(&names)
        .map(|(one, implementations)| Emitted {
            check: &one.check,
            requirements: &one.requirements,
            outcome: one.outcome.as_str(),
            implementations,
            wire: one.wire,
        });
    let mut coverage = count(&catalogue, emitted);
    if args.wire || args.format != Page::Text {
        coverage.set_off_wire(&wire::reasons()?);
    }
    if let Some(verdicts) = mutants_of(args)? {
        verdicts.tested().for_each(|id| coverage.set_tested(id));
        coverage.sections = section_scores(&catalogue, &verdicts);
    }
    if !specs.is_empty() {
        coverage.requirements.retain(|r| specs.contains(&r.spec));
        coverage.sections.retain(|s| specs.contains(&s.spec));
    }
    let text = match args.format {
        Page::Json => serde_json::to_string(&coverage).map_err(Failure::harness)?,
        Page::Text if args.wire => coverage.wire_table(args.statements),
        Page::Text => {
            let mut text = String::new();
            if args.statements {
                text.push_str(&coverage.statements());
            }
            text.push_str(&coverage.table());
            if !coverage.sections.is_empty() {
                text.push_str("\nmutants caught:\n");
                text.push_str(&score_table(&coverage.sections));
            }
            text
        }
        Page::Markdown => coverage.markdown(),
        Page::Html => html::coverage(&coverage, &run).map_err(Failure::harness)?,
    };
    match (&args.output, args.format) {
        (Some(file), _) => std::fs::write(file, text)
            .map_err(|e| Failure::usage(format!("{} cannot be written: {e}", file.display())))?,
        (None, Page::Json) => print_json(&text),
        (None, _) => print(text.trim_end()),
    }
    Ok(0)
}

/// What came of the mutants: from a file, else for JSON by trying them.
fn mutants_of(args: &CoverageArgs) -> Result<Option<Verdicts>, Failure> {
    if let Some(path) = &args.mutants {
        let wrong = |why: String| {
            Failure::usage(format!(
                "{}: {why}; `--mutants` takes what `lnconform mutants --format json` wrote",
                path.display()
            ))
        };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        return serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| wrong(e.to_string()));
    }
    // The table does not show it, so only the JSON pays for it, and for what is asked.
    if args.format != Page::Json {
        return Ok(None);
    }
    let every = MutantsArgs {
        filters: Vec::new(),
        specs: None,
        vectors: Vec::new(),
        by_section: false,
        format: TextOrJson::Json,
    };
    match super::mutants::verdicts(&every, &args.specs_named) {
        Ok(verdicts) => Ok(Some(verdicts)),
        // Vectors to which no rule of the reference belongs test none.
        Err(none) if none.code == exit::USAGE => Ok(None),
        Err(other) => Err(other),
    }
}

/// How the vectors do against the mutants of each section.
pub fn section_scores(catalogue: &Catalogue, verdicts: &Verdicts) -> Vec<Score> {
    let mutants = verdicts.mutants.iter();
    let each = mutants.map(|v| (v.requirement.as_str(), v.caught, v.explained.is_some()));
    scores(catalogue, each)
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
