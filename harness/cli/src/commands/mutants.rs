//! `mutants`: which seeded defects of the reference the vectors catch.

use crate::args::{MutantsArgs, TextOrJson};
use crate::commands::coverage::section_scores;
use crate::config::Config;
use crate::failure::{Done, Failure, print};
use crate::guard::{Guard, draw_id};
use crate::world::{World, catalogue, merge, oracle};
use lnconform_adapter_reference::{RULES, VALUES};
use lnconform_adapters::Limits;
use lnconform_engine::mutants::{self, Explanations, Mutant, MutantsError, Trial, Verdicts};
use lnconform_engine::plan::{Selection, plan};
use lnconform_engine::run::exit;
use lnconform_spec::coverage::score_table;
use lnconform_vectors::case::{Body, Case};
use std::path::Path;

/// Every mutant that the reference can be.
pub fn all() -> Vec<Mutant> {
    let mut all = mutants::mutants(RULES.iter().map(|rule| (rule.id, rule.bounded)));
    all.extend(mutants::of_values(
        VALUES.iter().map(|value| (value.id, value.mistakes)),
    ));
    all
}

/// The explanations of survivors.
///
/// # Errors
/// Mistakes in `specs/mutants.yaml`.
pub fn explanations(all: &[Mutant]) -> Result<Explanations, Failure> {
    Ok(Explanations::open(Path::new(""), all)?)
}

/// Runs the selected codec vectors against each mutant, or against those of the specifications
/// `only`, where some are named.
///
/// # Errors
/// Vectors and filters, the adapter's start, an interrupt.
pub fn verdicts(args: &MutantsArgs, only: &[String]) -> Result<Verdicts, Failure> {
    let select = merge(&args.select(), &Config::find()?)?;
    let world = World::load(select.specs.as_deref(), &select.vectors)?;
    let all = all();
    let explanations = explanations(&all)?;
    let selection = Selection {
        slow: true,
        ..crate::world::selection(&select, 0)?
    };
    // The plan for nobody says which filters match nothing.
    plan(&world.set.cases, &[], &selection).map_err(Failure::usage)?;
    let codec =
        |case: &&Case| matches!(case.body, Body::Codec(_)) && selection.filters.matches(&case.id);
    let cases: Vec<&Case> = world.set.cases.iter().filter(codec).collect();
    let mut chosen = mutants::of_cases(all, &cases);
    if !only.is_empty() {
        chosen = mutants::of_specs(chosen, |spec| only.iter().any(|name| name == spec));
    }
    if chosen.is_empty() {
        return Err(Failure::usage(
            "no rule of the reference belongs to these vectors; `mutants` takes codec vectors of a specification that the reference implements",
        ));
    }

    let id = draw_id();
    let guard = Guard::start(&id)?;
    let reference = oracle(&id, 0)?;
    let Some(launch) = &reference.codec else {
        return Err(Failure::harness("the reference answers no codec operation"));
    };
    let trial = Trial {
        launch,
        limits: &Limits::default(),
        cases: &cases,
        explanations: &explanations,
        stop: &guard.stop,
        jobs: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    trial.judge(&chosen).map_err(|e| failure(e, &guard))
}

/// Why nothing came of asking mutants.
pub fn failure(error: MutantsError, guard: &Guard) -> Failure {
    match error {
        // After a stop nothing is started any more, which is nobody's fault.
        MutantsError::Start { .. } if !guard.stop.is_set() => Failure::environment(error),
        MutantsError::Pattern(..) | MutantsError::Trace(..) => Failure::harness(error),
        MutantsError::Start { .. } | MutantsError::Stopped => Failure {
            code: exit::INTERRUPTED,
            lines: vec![MutantsError::Stopped.to_string()],
        },
    }
}

/// Shows what [`verdicts`] finds.
pub fn run(args: &MutantsArgs) -> Done {
    let verdicts = verdicts(args, &[])?;
    match args.format {
        TextOrJson::Text if args.by_section => {
            let scores = section_scores(&catalogue()?, &verdicts);
            print(score_table(&scores).trim_end());
        }
        TextOrJson::Json if args.by_section => {
            let scores = section_scores(&catalogue()?, &verdicts);
            let sections = serde_json::json!({"sections": scores});
            print(sections);
        }
        TextOrJson::Json => print(serde_json::to_string(&verdicts).map_err(Failure::harness)?),
        TextOrJson::Text => print(verdicts.table()),
    }
    Ok(match verdicts.survivors().next() {
        None => exit::OK,
        Some(_) => exit::UNEXPECTED,
    })
}
