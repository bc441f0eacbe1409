//! `explain`: a check, a requirement, a mutant, a misbehaviour or an implementation, with all that is
//! known of it.

mod implementation;
mod statement;

use crate::args::ExplainArgs;
use crate::commands::{list, mutants, run::quoted};
use crate::failure::{Done, Failure, print};
use crate::world::World;
use lnconform_adapters::registry::{BUILTINS, builtin};
use lnconform_engine::mutants::{Defect, Mutant};
use lnconform_engine::record::{Check, Record};
use lnconform_engine::results;
use lnconform_engine::run::check_requirements;
use lnconform_spec::misbehaviours::{self, Misbehaviour};
use lnconform_spec::{Entry, text};
use lnconform_vectors::case::{Body, Case};
use std::path::Path;

/// Explains an id.
pub fn explain(args: &ExplainArgs) -> Done {
    let specs = args.specs.as_deref().filter(|d| !d.as_os_str().is_empty());
    let world = World::load(specs, &args.vectors)?;
    if let Some(mutant) = Mutant::parse(&args.id) {
        return explain_mutant(&world, &mutant, specs);
    }
    if let Some(misbehaviour) = misbehaviours::find(&args.id) {
        return explain_misbehaviour(&world, &misbehaviour, specs);
    }
    let vector = args.id.split('#').next().unwrap_or(&args.id);
    if let Some(entry) = world.catalogue.get(&args.id) {
        let is_check = world.set.cases.iter().any(|c| c.id == args.id);
        if args.all {
            requirement(&world, entry, specs);
            covering(&world, &args.id, |_| true);
            if !is_check {
                outcomes(&args.results, |c| c.requirements.contains(&args.id));
            }
        } else {
            statement::explain(&world, entry, specs, &args.results);
        }
        if !is_check {
            return Ok(0);
        }
        // A vector may bear the name of the requirement that it is about.
        print("");
    }
    let known: Vec<&Case> = world
        .set
        .cases
        .iter()
        .filter(|c| c.id == vector || c.id.split('?').next() == Some(vector))
        .collect();
    if known.is_empty() && builtin(&args.id).is_some() {
        return implementation::explain(&args.id, &args.results);
    }
    let Some(first) = known.first() else {
        let checks = world.set.cases.iter().map(|c| c.id.as_str());
        let ids = checks.chain(world.catalogue.entries().map(|e| e.id.as_str()));
        let ids = ids.chain(BUILTINS.iter().map(|b| b.name));
        let near = lnconform_yaml::suggest(&args.id, ids).map(|n| format!("; did you mean `{n}`?"));
        return Err(Failure::usage(format!(
            "`{}` is no check, requirement, mutant, misbehaviour or implementation{}",
            args.id,
            near.unwrap_or_else(|| "; `lnconform list` shows the checks".into())
        )));
    };
    vector_of(&world, args, first, &known, specs);
    outcomes(&args.results, |c| {
        c.id == args.id || c.id.split(['#', '?']).next() == Some(&args.id)
    });
    Ok(0)
}

/// Shows a vector: its checks, what they rest on, its text, and how to run it. `known` are the cases that
/// are asked for, with `first` among them.
fn vector_of(
    world: &World,
    args: &ExplainArgs,
    first: &Case,
    known: &[&Case],
    specs: Option<&Path>,
) {
    let whole = !args.id.contains('#');
    print(&first.id);
    print(format!("  {}", first.description));
    print(format!("  {}:{}", first.file.display(), first.line));
    if let Some(spec) = &first.spec {
        print(format!("  specification: {spec}"));
    }
    if !first.tags.is_empty() {
        print(format!("  tags: {}", first.tags.join(", ")));
    }
    let mut shown: Vec<&str> = Vec::new();
    for (id, requirements) in known.iter().flat_map(|c| check_requirements(c)) {
        if id == args.id || whole {
            print(format!("check {id}"));
        }
        for wanted in requirements {
            if let Some(entry) = world.catalogue.get(&wanted)
                && !shown.contains(&entry.id.as_str())
            {
                shown.push(&entry.id);
                requirement(world, entry, specs);
            }
        }
    }
    if let Ok(text) = std::fs::read_to_string(&first.file) {
        print("vector:");
        for line in text.lines() {
            print(format!("  {line}"));
        }
    }
    let specs = specs.map(|dir| format!(" --specs {}", quoted(dir)));
    let vectors = args
        .vectors
        .iter()
        .map(|dir| format!(" --vectors {}", quoted(dir)));
    let slow = first
        .tags
        .iter()
        .any(|t| t == "slow")
        .then(|| " --slow".to_owned());
    let options: String = specs.into_iter().chain(vectors).chain(slow).collect();
    print(format!("run it: lnconform run '{}'{options}", args.id));
}

fn explain_misbehaviour(world: &World, m: &Misbehaviour, specs: Option<&Path>) -> Done {
    list::show_misbehaviour(m);
    for id in m.breaks.iter().chain(&m.reader) {
        if let Some(entry) = world.catalogue.get(id) {
            requirement(world, entry, specs);
        }
    }
    print("scenarios with it:");
    let has = |case: &&Case| match &case.body {
        Body::Scenario(scenario) => scenario
            .steps
            .iter()
            .any(|step| step.with["misbehave"] == m.name.as_str()),
        Body::Codec(_) => false,
    };
    for case in world.set.cases.iter().filter(has) {
        print(format!("  {}", case.id));
    }
    Ok(0)
}

/// Explains a mutant: the rule it breaks, how to be it, and which checks have to catch it.
fn explain_mutant(world: &World, mutant: &Mutant, specs: Option<&Path>) -> Done {
    let all = mutants::all();
    if !all.contains(mutant) {
        let ids: Vec<String> = all.iter().map(ToString::to_string).collect();
        let near = lnconform_yaml::suggest(&mutant.to_string(), ids.iter().map(String::as_str))
            .map(|n| format!("; did you mean `{n}`?"));
        return Err(Failure::usage(format!(
            "there is no mutant `{mutant}`{}",
            near.unwrap_or_else(|| "; `lnconform mutants` lists them".into())
        )));
    }
    let rule = &mutant.requirement;
    print(mutant);
    print(match &mutant.defect {
        Defect::Without => format!("  the reference without the rule {rule}"),
        Defect::Lax => {
            format!("  written by hand: the reference takes the first value that is against {rule}")
        }
        Defect::Strict => {
            format!("  written by hand: the reference refuses the last value that keeps {rule}")
        }
        Defect::Mistake(name) => {
            format!("  written by hand: the reference gets {rule} wrong: {name}")
        }
    });
    if let Some(reason) = mutants::explanations(&all)?.of(mutant) {
        print(format!("  not caught, because: {reason}"));
    }
    match world.catalogue.get(rule) {
        Some(entry) => requirement(world, entry, specs),
        None => print(format!("no catalogue has {rule}")),
    }
    covering(world, rule, |case| matches!(case.body, Body::Codec(_)));
    print(format!(
        "be it: lnconform adapter reference {}",
        mutant.args().join(" ")
    ));
    let spec = rule.split('/').next().unwrap_or_default();
    print(format!("try it: lnconform mutants '{spec}/**'"));
    Ok(0)
}

/// Shows the checks that cover a requirement.
fn covering(world: &World, requirement: &str, of_this: impl Fn(&Case) -> bool) {
    let covering: Vec<String> = world
        .set
        .cases
        .iter()
        .filter(|case| of_this(case))
        .flat_map(check_requirements)
        .filter(|(_, r)| r.iter().any(|id| id == requirement))
        .map(|(id, _)| id)
        .collect();
    if covering.is_empty() {
        print("no vector covers it");
    } else {
        print("checks:");
        for id in covering {
            print(format!("  {id}"));
        }
    }
}

fn requirement(world: &World, entry: &Entry, specs: Option<&Path>) {
    print(format!(
        "{} ({}, {})",
        entry.id,
        entry.keyword.as_str(),
        entry.section
    ));
    print(format!("  {}", entry.paraphrase));
    if let Some(reason) = &entry.excluded {
        print(format!("  excluded: {reason}"));
    }
    let sentence = text::sentence_of(&world.catalogue, entry, &world.sources, specs);
    match (sentence, specs) {
        (Some(sentence), _) => print(format!("  the text: {}", sentence.text)),
        (None, Some(dir)) => print(format!(
            "  the text: not found below {} at the pinned revision",
            dir.display()
        )),
        (None, None) => print("  the text: give a checkout with --specs DIR"),
    }
}

fn outcomes(file: &Path, of_this: impl Fn(&Check) -> bool) {
    let mut lines: Vec<String> = Vec::new();
    let read = results::visit(file, |record| {
        if let Record::Check(check) = record
            && of_this(&check)
        {
            let unexpected = if check.expected { "" } else { ", unexpected" };
            let why = check
                .message
                .as_deref()
                .map(|m| format!(": {m}"))
                .unwrap_or_default();
            lines.push(format!(
                "  {} {} on {}{unexpected}{why}",
                check.id,
                check.outcome,
                check.who()
            ));
        }
    });
    if read.is_ok() && !lines.is_empty() {
        print(format!("in {}:", file.display()));
        for line in lines {
            print(line);
        }
    }
}
