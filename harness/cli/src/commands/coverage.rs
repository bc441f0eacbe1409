//! `spec coverage`: which requirements a run covered, and who satisfies them.

use crate::args::{CoverageArgs, MutantsArgs, Page, TextOrJson};
use crate::failure::{Done, Failure, note_of_end, print, print_json};
use crate::world::catalogue;
use lnconform_adapters::registry::PROBE;
use lnconform_engine::mutants::Verdicts;
use lnconform_engine::record::{Lane, Outcome, Record};
use lnconform_engine::results;
use lnconform_engine::run::exit;
use lnconform_report::html::coverage as page;
use lnconform_spec::coverage::{self as spec, Score, score_table, scores};
use lnconform_spec::{Catalogue, Coverage, Emitted, wire};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// Which requirements a run covered, who satisfies them, and which of them `mutants` showed to be
/// tested.
pub fn coverage(args: &CoverageArgs) -> Done {
    let specs = args.specs_named.as_slice();
    let catalogue = catalogue()?;
    catalogue.only(specs).map_err(Failure::usage)?;
    let (mut coverage, run) = of_results(&args.results, &catalogue)?;
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
        Page::Text => table(&coverage, args.statements),
        Page::Markdown => coverage.markdown(),
        Page::Html => html(&coverage, &run).map_err(Failure::harness)?,
    };
    match (&args.output, args.format) {
        (Some(file), _) => std::fs::write(file, text)
            .map_err(|e| Failure::usage(format!("{} cannot be written: {e}", file.display())))?,
        (None, Page::Json) => print_json(&text),
        (None, _) => print(text.trim_end()),
    }
    Ok(0)
}

/// What the checks of a result file cover, and which run it is of.
fn of_results(file: &Path, catalogue: &Catalogue) -> Result<(Coverage, String), Failure> {
    struct Seen {
        check: String,
        requirements: Vec<String>,
        outcome: Outcome,
        who: BTreeSet<String>,
        wire: bool,
    }
    let mut seen: Vec<Seen> = Vec::new();
    let mut run = String::new();
    let end = results::visit(file, |record| match record {
        Record::Check(check) => {
            let roles = check.roles.into_iter().flat_map(BTreeMap::into_values);
            let who: BTreeSet<String> = check.implementation.into_iter().chain(roles).collect();
            seen.push(Seen {
                check: check.id,
                requirements: check.requirements,
                outcome: check.outcome,
                wire: check.lane == Lane::Cluster && who.contains(PROBE),
                who,
            });
        }
        Record::Run(header) => run = format!("Run {} of {}", header.run, header.started),
        _ => {}
    })?;
    note_of_end(file, &end);
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
    Ok((spec::coverage(catalogue, emitted), run))
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

/// The counts for a terminal, below each statement where they are asked for.
fn table(coverage: &Coverage, statements: bool) -> String {
    let mut text = String::new();
    if statements {
        text.push_str(&coverage.statements());
    }
    text.push_str(&coverage.table());
    if !coverage.sections.is_empty() {
        text.push_str("\nmutants caught:\n");
        text.push_str(&score_table(&coverage.sections));
    }
    text
}

/// The page, of what it needs to know of the catalogues.
fn html(coverage: &Coverage, heading: &str) -> io::Result<String> {
    let counts = coverage.counts();
    page::page(&page::Coverage {
        heading,
        specs: counts
            .iter()
            .map(|(name, both)| (name.as_str(), totals(*both)))
            .collect(),
        all: totals(coverage.total()),
        scores: coverage.sections.iter().map(score).collect(),
        groups: coverage
            .groups()
            .into_iter()
            .map(|group| page::Group {
                spec: group.spec,
                class: group.class(),
                must: group.must,
                statements: group.rows.into_iter().map(statement).collect(),
            })
            .collect(),
    })
}

fn totals(both: [spec::Counts; 2]) -> page::Totals {
    let [must, rest] = both.map(|counts| page::Counts {
        covered: counts.covered,
        wire: counts.wire,
        asked: counts.asked(),
        excluded: counts.excluded,
    });
    page::Totals { must, rest }
}

fn score(score: &Score) -> page::Score {
    page::Score {
        title: score.title(),
        caught: score.caught,
        explained: score.explained,
        survived: score.survived,
    }
}

fn statement(one: &spec::Requirement) -> page::Statement<'_> {
    page::Statement {
        id: &one.id,
        keyword: &one.keyword,
        section: &one.section,
        paraphrase: &one.paraphrase,
        state: match one.state() {
            spec::State::Covered => page::State::Covered,
            spec::State::Excluded => page::State::Excluded,
            spec::State::Uncovered => page::State::Uncovered,
        },
        tested: one.tested,
        excluded: one.excluded.as_deref(),
        checks: &one.checks,
        wire: one.wire.len(),
        satisfied: &one.satisfied,
        violated: &one.violated,
        together: one.together().collect(),
    }
}
