//! `--format markdown`: a page for a repository, a wiki or a comment.

use crate::diff::{Diff, State};
use crate::difference;
use crate::digest::{Digest, SEVERITY};
use crate::markup::{self, block, code};
use crate::sections::section;
use crate::terminal::{ReportError, Requirement};
use crate::text::{clean, count, duration};
use lnconform_engine::record::{Check, Dialect, Disagreement, Keyword, Outcome, Record, Run};
use lnconform_engine::results::{ReadEnd, Sink, visit};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

/// Unexpected results that are told in full.
const FULL: usize = 50;
/// Lines of a list.
const LISTED: usize = 200;
/// Lines of a difference.
const DIFFERENCE: usize = 24;
/// Characters of a line of a difference.
const WIDTH: usize = 120;

/// Failures that the ledger foretells: entry and who, to how many and the first id.
type Known = BTreeMap<(String, String), (u64, String)>;

/// Writes a result file as Markdown.
///
/// # Errors
/// The result file, the output.
pub fn show<W: Write>(
    path: &Path,
    mut out: W,
    requirements: &dyn Fn(&str) -> Option<Requirement>,
) -> Result<ReadEnd, ReportError> {
    let mut digest = Digest::default();
    let mut known = Known::new();
    let mut disagreements: Vec<Disagreement> = Vec::new();
    let mut dialects = Vec::new();
    let end = visit(path, |record| {
        digest.record(&record);
        match record {
            Record::Check(check)
                if check.outcome == Outcome::Failed && check.expected && !check.warning =>
            {
                let entry = check.expectation.clone().unwrap_or_default();
                let key = (entry, check.who());
                if known.contains_key(&key) || known.len() < LISTED {
                    known.entry(key).or_insert_with(|| (0, check.id.clone())).0 += 1;
                }
            }
            Record::Disagreement(d) if disagreements.len() < LISTED => disagreements.push(d),
            Record::Dialect(dialect) => dialects.push(dialect),
            _ => {}
        }
    })?;
    let mut text = page(&digest, &known, &disagreements, requirements);
    in_dialects(&mut text, &dialects);
    if end.cut {
        text.push_str(
            "The last line of the result file is cut in the middle and does not count.\n",
        );
    }
    out.write_all(text.trim_end().as_bytes())?;
    writeln!(out)?;
    out.flush()?;
    Ok(end)
}

fn page(
    digest: &Digest,
    known: &Known,
    disagreements: &[Disagreement],
    requirements: &dyn Fn(&str) -> Option<Requirement>,
) -> String {
    let mut text = String::from("# lnconform\n\n");
    let _ = writeln!(text, "**{}**\n", digest.verdict());
    if let Some(run) = &digest.header {
        of_run(&mut text, run);
    }
    markup::counts(&mut text, digest);
    if !digest.sections.columns().is_empty() {
        text.push_str("## By section\n\n");
        markup::matrix(&mut text, &digest.sections);
    }
    by_role(&mut text, digest);
    unexpected(&mut text, digest, requirements);
    let warnings = digest.warnings.iter().map(|w| {
        let rule = w.requirement.as_deref().map(code).unwrap_or_default();
        let why = code(w.message.lines().next().unwrap_or_default());
        format!("{} on {}: {rule} {why}", code(&w.id), code(&w.who))
    });
    list(
        &mut text,
        "Warnings",
        warnings.collect(),
        digest.counters.warnings,
    );
    known_failures(&mut text, known);
    let (stale, flaky) = digest.notes();
    for (heading, notes) in [("Stale, changed or missing", stale), ("Flaky", flaky)] {
        let all = notes.len() as u64;
        list(
            &mut text,
            heading,
            notes.iter().map(|n| code(n)).collect(),
            all,
        );
    }
    let missing: Vec<String> = digest.missing().map(|m| code(&m)).collect();
    let all = missing.len() as u64;
    list(&mut text, "Missing", missing, all);
    if digest.disagreed > 0 {
        let _ = writeln!(text, "## Disagreements ({})\n", digest.disagreed);
        text.push_str("Where the text is silent; nobody is in the wrong.\n\n");
        let rows: Vec<Vec<String>> = disagreements
            .iter()
            .flat_map(|d| {
                d.groups.iter().map(|g| {
                    let who = code(&g.implementations.join(", "));
                    vec![code(&d.id), who, code(&g.value.to_string())]
                })
            })
            .collect();
        let heads = ["check", "who", "answer"].map(str::to_owned);
        markup::table(&mut text, &heads, 3, &rows);
    }
    times(&mut text, digest);
    text
}

fn of_run(text: &mut String, run: &Run) {
    let _ = write!(
        text,
        "Run {}, started {}, lnconform {}, seed {}, on {}.",
        code(&run.run),
        code(&run.started),
        code(&run.harness),
        code(&run.seed),
        code(&run.machine)
    );
    if run.filtered {
        text.push_str(" It was narrowed; what is not here says nothing.");
    }
    text.push_str("\n\n");
    let here: Vec<String> = run
        .implementations
        .iter()
        .filter(|i| i.available)
        .map(|i| code(format!("{} {}", i.name, i.version).trim()))
        .collect();
    if !here.is_empty() {
        let _ = writeln!(text, "With {}.\n", here.join(", "));
    }
}

fn known_failures(text: &mut String, known: &Known) {
    if known.is_empty() {
        return;
    }
    text.push_str("## Known failures\n\n");
    let rows: Vec<Vec<String>> = known
        .iter()
        .map(|((entry, who), (n, first))| {
            let entry = match entry.as_str() {
                "" => "a MAY".to_owned(),
                entry => code(entry),
            };
            vec![entry, code(who), code(first), n.to_string()]
        })
        .collect();
    let heads = ["ledger entry", "who", "first check", "checks"].map(str::to_owned);
    markup::table(text, &heads, 3, &rows);
}

fn times(text: &mut String, digest: &Digest) {
    if digest.phases.is_empty() {
        return;
    }
    text.push_str("## Times\n\n");
    let rows: Vec<Vec<String>> = digest
        .phases
        .iter()
        .map(|(name, ms)| vec![code(name), duration(*ms)])
        .collect();
    let heads = ["phase", "together"].map(str::to_owned);
    markup::table(text, &heads, 1, &rows);
    if let Some(s) = &digest.summary {
        let _ = writeln!(text, "The run took {}.\n", duration(s.duration_ms));
    }
}

/// The numbers of each draft, by dialect, and who speaks which.
fn in_dialects(text: &mut String, dialects: &[Dialect]) {
    let drafts = crate::numbers::drafts(dialects);
    if !drafts.is_empty() {
        text.push_str("## Dialects\n\n");
    }
    for draft in &drafts {
        let row = |first: String, cells: &[String]| {
            std::iter::once(first)
                .chain(cells.iter().map(|c| code(c)))
                .collect::<Vec<_>>()
        };
        let heads = row(code(&draft.name), &draft.dialects);
        let items = draft
            .rows
            .iter()
            .map(|(item, cells)| row(code(item), cells));
        let rows: Vec<Vec<String>> = items
            .chain([row("spoken by".into(), &draft.speakers)])
            .collect();
        markup::table(text, &heads, heads.len(), &rows);
    }
}

fn by_role(text: &mut String, digest: &Digest) {
    let people = digest.sections.roles();
    let mut roles: Vec<&String> = Vec::new();
    for role in people.values().flat_map(BTreeMap::keys) {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    if roles.is_empty() {
        return;
    }
    roles.sort_by_key(|r| (crate::matrix::rank(r), *r));
    text.push_str("## By role\n\n");
    let heads: Vec<String> = std::iter::once("implementation".to_owned())
        .chain(roles.iter().map(|r| code(r)))
        .collect();
    let rows: Vec<Vec<String>> = people
        .iter()
        .map(|(who, row)| {
            std::iter::once(code(who))
                .chain(
                    roles
                        .iter()
                        .map(|r| row.get(*r).map_or(String::new(), markup::cell)),
                )
                .collect()
        })
        .collect();
    markup::table(text, &heads, heads.len(), &rows);
    for (folder, roles, table) in digest.matrix.tables() {
        // Of one choice there is nothing to compare.
        if table.rows.len() < 2 {
            continue;
        }
        let _ = writeln!(
            text,
            "{}\n",
            code(&format!("{folder}/, by who takes each role"))
        );
        // Many choices with a few scenarios are easier to read the other way round, and Markdown
        // has no headings of several lines.
        let heads: Vec<String> = roles
            .iter()
            .map(|r| code(r))
            .chain(SEVERITY.map(|c| crate::digest::COLUMNS[c].to_owned()))
            .collect();
        let rows: Vec<Vec<String>> = table
            .rows
            .iter()
            .map(|(who, cells)| {
                let n = |c: usize| cells.values().filter(|cell| cell.column() == c).count();
                who.iter()
                    .map(|w| code(w))
                    .chain(SEVERITY.map(|c| match n(c) {
                        0 => String::new(),
                        n => n.to_string(),
                    }))
                    .collect()
            })
            .collect();
        markup::table(text, &heads, roles.len(), &rows);
    }
}

fn unexpected(
    text: &mut String,
    digest: &Digest,
    requirements: &dyn Fn(&str) -> Option<Requirement>,
) {
    let all = digest.counters.unexpected;
    if all == 0 {
        return;
    }
    let _ = writeln!(text, "## Unexpected ({all})\n");
    for check in digest.unexpected.iter().take(FULL) {
        one(text, check, requirements);
    }
    let told = digest.unexpected.len().min(FULL) as u64;
    if all > told {
        let _ = writeln!(text, "{} more, in the result file.\n", all - told);
    }
}

/// One unexpected result.
fn one(text: &mut String, check: &Check, requirements: &dyn Fn(&str) -> Option<Requirement>) {
    let _ = writeln!(text, "### {} on {}\n", code(&check.id), code(&check.who()));
    let mut facts = vec![format!(
        "{}, section {}",
        check.outcome,
        code(section(&check.id))
    )];
    if check.attempt > 1 {
        facts.push(format!("attempt {}", check.attempt));
    }
    if check.flaky {
        facts.push("flaky".into());
    }
    for id in check.requirements.iter().take(3) {
        facts.push(match requirements(id) {
            Some(r) => format!(
                "{} {}: {}",
                clean(&r.keyword),
                code(id),
                code(&r.paraphrase)
            ),
            None => {
                let keyword = check.keyword.map_or("", Keyword::as_str);
                format!("{keyword} {}", code(id)).trim_start().to_owned()
            }
        });
    }
    facts.extend(
        check
            .message
            .iter()
            .flat_map(|m| m.lines().take(4))
            .map(code),
    );
    if let Some(blame) = check.blame {
        facts.push(format!("blame: {}", blame.as_str()));
    }
    if let Some(source) = &check.source {
        facts.push(format!("vector: {}", code(source)));
    }
    if let Some(again) = &check.rerun {
        facts.push(format!("again: {}", code(again)));
    }
    for fact in facts {
        let _ = writeln!(text, "- {fact}");
    }
    text.push('\n');
    if let (Some(want), Some(got)) = (&check.want, &check.got) {
        let lines: Vec<String> = difference::of_values(want, got, WIDTH, DIFFERENCE)
            .iter()
            .map(|(mark, line)| format!("{}{line}", mark.sign()))
            .collect();
        block(text, &lines);
    }
    if let Some(log) = &check.log_tail {
        let all: Vec<&str> = log.lines().collect();
        let tail = &all[all.len().saturating_sub(10)..];
        let lines: Vec<String> = tail.iter().map(|l| clean(l).into_owned()).collect();
        block(text, &lines);
    }
}

fn list(text: &mut String, heading: &str, lines: Vec<String>, all: u64) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "## {heading} ({all})\n");
    let told = lines.len().min(LISTED);
    for line in lines.iter().take(LISTED) {
        let _ = writeln!(text, "- {line}");
    }
    if all > told as u64 {
        let _ = writeln!(text, "- {} more, in the result file", all - told as u64);
    }
    text.push('\n');
}

/// Writes the difference of two result files as Markdown.
///
/// # Errors
/// The output's.
pub fn show_diff<W: Write>(diff: &Diff, mut out: W) -> io::Result<()> {
    let mut text = String::new();
    let trouble = diff.new_trouble();
    let _ = writeln!(
        text,
        "**{}**; {}.\n",
        match trouble {
            0 => "nothing is newly unexpected".to_owned(),
            n => format!("{} newly unexpected", count(n, "check")),
        },
        diff.summary()
    );
    for line in diff.ended_early() {
        let _ = writeln!(text, "{line}\n");
    }
    if !diff.implementations.is_empty() {
        let version = |v: &Option<String>| v.as_deref().map_or("absent".to_owned(), code);
        let rows: Vec<Vec<String>> = diff
            .implementations
            .iter()
            .map(|(name, old, new)| vec![code(name), version(old), version(new)])
            .collect();
        let heads = ["implementation", "old", "new"].map(str::to_owned);
        markup::table(&mut text, &heads, 3, &rows);
    }
    for (heading, changes) in diff.kinds() {
        let _ = writeln!(text, "## {heading} ({})\n", changes.len());
        let side = |s: &Option<State>| s.as_ref().map_or("absent".to_owned(), |s| code(&s.text()));
        let rows: Vec<Vec<String>> = changes
            .iter()
            .take(LISTED)
            .map(|c| vec![code(&c.id), code(&c.who), side(&c.old), side(&c.new)])
            .collect();
        let heads = ["check", "who", "old", "new"].map(str::to_owned);
        markup::table(&mut text, &heads, 4, &rows);
        if changes.len() > LISTED {
            let _ = writeln!(text, "{} more.\n", changes.len() - LISTED);
        }
    }
    let observed: Vec<String> = diff
        .observations
        .iter()
        .map(|(id, who)| format!("{} on {}", code(id), code(who)))
        .collect();
    let all = observed.len() as u64;
    list(&mut text, "observed otherwise", observed, all);
    out.write_all(text.trim_end().as_bytes())?;
    writeln!(out)?;
    out.flush()
}
