//! `explain`: a check or a requirement, with all that is known of it.

use crate::args::ExplainArgs;
use crate::commands::run::quoted;
use crate::failure::{Done, Failure, print};
use crate::world::World;
use lnconform_engine::record::{Check, Record};
use lnconform_engine::results;
use lnconform_engine::run::check_requirements;
use lnconform_spec::{Entry, text};
use lnconform_vectors::case::Case;
use std::path::Path;

/// Explains an id.
pub fn explain(args: &ExplainArgs) -> Done {
    let specs = args.specs.as_deref().filter(|d| !d.as_os_str().is_empty());
    let world = World::load(specs, &args.vectors)?;
    let vector = args.id.split('#').next().unwrap_or(&args.id);
    if let Some(entry) = world.catalogue.get(&args.id) {
        requirement(&world, entry, specs);
        let covering: Vec<String> = world
            .set
            .cases
            .iter()
            .flat_map(check_requirements)
            .filter(|(_, r)| r.contains(&args.id))
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
        if !world.set.cases.iter().any(|c| c.id == args.id) {
            outcomes(&args.results, |c| c.requirements.contains(&args.id));
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
    let Some(first) = known.first() else {
        let checks = world.set.cases.iter().map(|c| c.id.as_str());
        let ids = checks.chain(world.catalogue.entries().map(|e| e.id.as_str()));
        let near = lnconform_yaml::suggest(&args.id, ids).map(|n| format!("; did you mean `{n}`?"));
        return Err(Failure::usage(format!(
            "`{}` is neither a check nor a requirement{}",
            args.id,
            near.unwrap_or_else(|| "; `lnconform list` shows the checks".into())
        )));
    };
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
        if id == args.id || vector == args.id || !args.id.contains('#') {
            print(format!("check {id}"));
        }
        for wanted in requirements {
            if let Some(entry) = world.catalogue.get(&wanted)
                && !shown.contains(&entry.id.as_str())
            {
                shown.push(&entry.id);
                requirement(&world, entry, specs);
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
    outcomes(&args.results, |c| {
        c.id == args.id || c.id.split(['#', '?']).next() == Some(&args.id)
    });
    Ok(0)
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
    match specs {
        Some(dir) => match text::sentence_of(&world.catalogue, entry, &world.sources, dir) {
            Some(sentence) => print(format!("  the text: {}", sentence.text)),
            None => print(format!(
                "  the text: not found below {} at the pinned revision",
                dir.display()
            )),
        },
        None => print("  the text: give a checkout with --specs DIR"),
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
