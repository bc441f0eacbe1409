//! `fuzz --differential`: the same made-up inputs to every implementation.

use crate::args::{FuzzArgs, TextOrJson};
use crate::config::Config;
use crate::failure::{Done, Failure, note, print, print_json};
use crate::guard::{Guard, draw, draw_id};
use crate::world::{World, merge, oracle, participants, selection};
use lnconform_adapters::Limits;
use lnconform_engine::fuzz::{self, Event, Find, FuzzError, Report, Setup, Start, Subject};
use lnconform_engine::plan::{Participant, Selection, plan};
use lnconform_engine::run::{exit, introduce};
use lnconform_vectors::case::{Body, Case};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How often the count of inputs is told.
const TELL: Duration = Duration::from_secs(10);

/// Known differences that the summary names.
const LISTED: usize = 12;

/// Searches and shows what was found.
pub fn fuzz(args: &FuzzArgs) -> Done {
    let mut select = merge(&args.select(), &Config::find()?)?;
    // What upstream's files show depends on a checkout, and finds are to depend on the seed.
    select.specs = None;
    let world = World::load(None, &select.vectors)?;
    let seed = args.seed.unwrap_or_else(draw);
    let selection = selection(&select, seed)?;
    // The plan for nobody says which filters match nothing.
    plan(&world.set.cases, &[], &selection).map_err(Failure::usage)?;
    let operations: BTreeSet<&str> = fuzz::operations().collect();
    let corpus = corpus(&world, &selection, &operations)?;

    let id = draw_id();
    let guard = Guard::start(&id)?;
    let limits = Limits::default();
    let mut people = participants(&select, &id, seed, &limits, true)?;
    let mut judge = oracle(&id, seed)?;
    let oracle = judge.name.clone();
    if !people.iter().any(|p| p.name == oracle) {
        introduce(std::slice::from_mut(&mut judge), &limits);
        people.insert(0, judge);
    }
    if guard.stop.is_set() {
        return Ok(exit::INTERRUPTED);
    }
    let subjects = subjects(&people, &operations)?;
    let setup = Setup {
        subjects,
        oracle: &oracle,
        corpus: &corpus,
        seed,
        time: Duration::from_secs(args.seconds),
        inputs: args.inputs,
        limits,
        out: &args.out,
        version: env!("CARGO_PKG_VERSION"),
        stop: &guard.stop,
    };
    let who: Vec<String> = setup
        .subjects
        .iter()
        .map(|s| format!("{} {}", s.name, s.version))
        .collect();
    note(format!("seed {seed}, with {}", who.join(", ")));
    let mut told = Instant::now();
    let report = fuzz::search(&setup, &mut |event| match event {
        Event::Corpus { inputs, known } => note(format!(
            "{inputs} inputs of vectors show {known} differences, which are known"
        )),
        Event::Inputs(count) => {
            if told.elapsed() >= TELL {
                told = Instant::now();
                note(format!("{count} inputs"));
            }
        }
        Event::Found(find) => note(format!("new: {}", headline(find))),
        Event::Note(text) => note(text),
    })
    .map_err(|e| match e {
        FuzzError::Alone(_) => Failure::usage(e),
        FuzzError::Write(..) => Failure::environment(e),
    })?;
    let code = if report.interrupted {
        exit::INTERRUPTED
    } else if report.finds.is_empty() {
        exit::OK
    } else {
        exit::UNEXPECTED
    };
    match args.format {
        TextOrJson::Json => {
            let mut value = serde_json::to_value(&report).map_err(Failure::harness)?;
            value["exit_code"] = code.into();
            print_json(&value.to_string());
        }
        TextOrJson::Text => print(summary(&report, args)),
    }
    Ok(code)
}

/// The inputs to begin with, at least one of which is selected.
fn corpus(
    world: &World,
    selection: &Selection,
    operations: &BTreeSet<&str>,
) -> Result<Vec<Start>, Failure> {
    let cases = world.set.cases.iter();
    let corpus: Vec<Start> = cases
        .filter_map(|case| start(case, operations, selection.filters.matches(&case.id)))
        .collect();
    if !corpus.iter().any(|start| start.selected) {
        let operations: Vec<&str> = fuzz::operations().collect();
        return Err(Failure::usage(format!(
            "none of these vectors has an operation that is searched: {}",
            operations.join(", ")
        )));
    }
    Ok(corpus)
}

/// The input of a case, where its operation is searched.
fn start(case: &Case, operations: &BTreeSet<&str>, selected: bool) -> Option<Start> {
    match &case.body {
        Body::Codec(codec) if operations.contains(codec.operation.as_str()) => Some(Start {
            id: case.id.clone(),
            operation: codec.operation.clone(),
            params: codec.input.clone(),
            covers: case.covers.clone(),
            selected,
        }),
        Body::Codec(_) | Body::Scenario(_) => None,
    }
}

/// Those who answer one of the operations. Whoever is missing is named; one that was asked for
/// ends the command.
fn subjects(people: &[Participant], operations: &BTreeSet<&str>) -> Result<Vec<Subject>, Failure> {
    let mut subjects = Vec::new();
    for person in people {
        let Some(launch) = &person.codec else {
            continue;
        };
        if let Some(why) = &person.unavailable {
            if person.named {
                return Err(Failure::environment(format!("{}: {why}", person.name)));
            }
            note(format!("{} is left out: {why}", person.name));
            continue;
        }
        if operations.iter().any(|op| person.operations.contains(*op)) {
            subjects.push(Subject {
                name: person.name.clone(),
                version: person.version.clone(),
                launch: launch.clone(),
                operations: person.operations.clone(),
            });
        }
    }
    Ok(subjects)
}

/// A find in a line.
fn headline(find: &Find) -> String {
    let groups: Vec<String> = find
        .groups
        .iter()
        .map(|group| format!("{} by {}", group.answer, group.implementations.join(", ")))
        .collect();
    let mut line = format!("{}, {}: {}", find.operation, find.rule, groups.join("; "));
    if !find.why.is_empty() {
        let _ = write!(line, " ({})", find.why.join("; "));
    }
    line
}

/// What the command prints.
fn summary(report: &Report, args: &FuzzArgs) -> String {
    let mut text = String::new();
    for find in &report.finds {
        let _ = writeln!(text, "new  {}", headline(find));
        let _ = writeln!(
            text,
            "     {}, seen {}",
            find.file.display(),
            times(find.seen)
        );
    }
    let mut known: Vec<(&String, &u64)> = report.known_keys.iter().collect();
    known.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (key, count) in known.iter().take(LISTED) {
        let _ = writeln!(text, "known  {key}, {}", times(**count));
    }
    if known.len() > LISTED {
        let _ = writeln!(text, "known  … and {} more", known.len() - LISTED);
    }
    let _ = write!(
        text,
        "{} inputs of seed {} in {:.1} s: {} known and {} new differences",
        report.inputs,
        report.seed,
        Duration::from_millis(report.duration_ms).as_secs_f32(),
        known.len(),
        report.finds.len()
    );
    if let Some(find) = report.finds.first() {
        let name = find.file.file_stem().unwrap_or_default().to_string_lossy();
        let _ = write!(
            text,
            "\nlook at each; one runs by `lnconform run {name} --vectors {}`",
            args.out.display()
        );
    }
    text
}

fn times(count: u64) -> String {
    match count {
        1 => "once".into(),
        n => format!("{n} times"),
    }
}
