//! The end of a run: what was counted, what is missing, and why the exit code is what it is.

use crate::digest::{COLUMNS, Digest, Row};
use crate::style::{Paint, Style};
use crate::text::{clean, count, cut, duration};
use std::fmt::Write as _;
use std::path::Path;

/// Lines that a list has at most.
const LISTED: usize = 20;
/// Rows of the table of counts.
const ROWS: usize = 30;

/// What stands at the end of a run.
pub(super) fn ending(digest: &Digest, style: Style, results: Option<&Path>) -> String {
    let mut text = String::new();
    warnings(&mut text, digest, style);
    list(
        &mut text,
        style,
        "disagreements, where the text leaves it open",
        digest.disagreements.iter().map(String::as_str),
        digest.disagreed,
    );
    let people = digest.sections.roles();
    text.push_str(&digest.matrix.text(style, people, results));
    table(&mut text, digest, style);
    for (name, mark) in digest.untested() {
        let _ = writeln!(
            text,
            "{}",
            cut(&clean(&format!("{name}: {mark}")), style.width)
        );
    }
    if digest.simulations > 0 {
        let line = match digest.simulations {
            1 => "1 of these is a simulation".to_owned(),
            n => format!("{n} of these are simulations"),
        };
        let _ = writeln!(text, "{line}");
    }
    snapshots(&mut text, digest);
    times(&mut text, digest, style);
    for missing in digest.missing() {
        // Whole, since it holds the command to type.
        let _ = writeln!(text, "missing    {}", clean(&missing));
    }
    let (stale, flaky) = digest.notes();
    for (heading, notes) in [("stale, changed or missing", stale), ("flaky", flaky)] {
        list(
            &mut text,
            style,
            heading,
            notes.iter().copied(),
            notes.len() as u64,
        );
    }
    let good = digest.summary.as_ref().is_some_and(|s| s.exit_code == 0);
    let verdict = style.paint(
        if good { Paint::Good } else { Paint::Bad },
        &digest.verdict(),
    );
    let took = digest
        .summary
        .as_ref()
        .map(|s| format!(" in {}", duration(s.duration_ms)));
    let checks = count(digest.counters.total(), "check");
    let _ = writeln!(text, "{checks}{}; {verdict}", took.unwrap_or_default());
    if let Some(path) = results {
        let _ = writeln!(text, "results    {}", clean(&path.display().to_string()));
    }
    text
}

fn snapshots(text: &mut String, digest: &Digest) {
    let s = digest.snapshots;
    let parts = [
        (s.same, "same"),
        (s.new, "new"),
        (s.changed, "changed"),
        (s.drift, "drift"),
    ];
    let parts = parts.iter().filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(n, what)| format!("{n} {what}")).collect();
    if !parts.is_empty() {
        let _ = writeln!(text, "snapshots  {}", parts.join(", "));
    }
}

fn times(text: &mut String, digest: &Digest, style: Style) {
    if digest.phases.is_empty() {
        return;
    }
    let parts = digest
        .phases
        .iter()
        .map(|(name, ms)| format!("{} {}", clean(name), duration(*ms)));
    let line = format!("time       {}", parts.collect::<Vec<_>>().join(", "));
    let _ = writeln!(text, "{}", cut(&line, style.width.max(140)));
}

fn warnings(text: &mut String, digest: &Digest, style: Style) {
    let lines: Vec<String> = digest
        .warnings
        .iter()
        .map(|w| {
            let first = w.message.lines().next().unwrap_or_default();
            let requirement = w.requirement.as_deref().unwrap_or_default();
            format!("{} on {}: {requirement}: {first}", w.id, w.who)
        })
        .collect();
    let all = digest.counters.warnings;
    list(
        text,
        style,
        "warnings, a SHOULD failed",
        lines.iter().map(String::as_str),
        all,
    );
}

/// A headed list of at most [`LISTED`] lines, with how many there are in all.
fn list<'t>(
    text: &mut String,
    style: Style,
    heading: &str,
    lines: impl Iterator<Item = &'t str>,
    all: u64,
) {
    let lines: Vec<&str> = lines.take(LISTED).collect();
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "{} ({all})", style.paint(Paint::Warn, heading));
    for line in &lines {
        let _ = writeln!(text, "  {}", cut(&clean(line), style.width.max(160)));
    }
    if all > lines.len() as u64 {
        let _ = writeln!(
            text,
            "  … {} more, in the result file",
            all - lines.len() as u64
        );
    }
}

/// The rows of the table of counts. Where there are too many, choices of roles with nothing unexpected
/// are one row; then whoever has something unexpected is kept first, the rest by name, and what
/// does not fit is one row.
pub(crate) fn rows(digest: &Digest) -> Vec<(String, Row)> {
    let named: Vec<(String, Row)> = digest.rows.iter().map(|(n, r)| (n.clone(), *r)).collect();
    if named.len() <= ROWS {
        return named;
    }
    let folded = |name: &String, row: &Row| digest.choices.contains(name) && row.unexpected == 0;
    let (choices, mut named): (Vec<_>, Vec<_>) = named.into_iter().partition(|(n, r)| folded(n, r));
    let sum = |rows: &[(String, Row)]| {
        let mut sum = Row::default();
        rows.iter().for_each(|(_, r)| sum.merge(r));
        sum
    };
    if named.len() + 1 > ROWS {
        named.sort_by_key(|(_, r)| r.unexpected == 0);
        let rest = named.split_off(ROWS - 1 - usize::from(!choices.is_empty()));
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.push((format!("{} others", rest.len()), sum(&rest)));
    }
    match choices.as_slice() {
        [] => {}
        [only] => named.push(only.clone()),
        many => named.push((format!("{} choices of roles", many.len()), sum(many))),
    }
    named
}

fn table(text: &mut String, digest: &Digest, style: Style) {
    let mut rows = rows(digest);
    if rows.is_empty() {
        return;
    }
    if rows.len() > 1 {
        let mut all = Row::default();
        rows.iter().for_each(|(_, r)| all.merge(r));
        rows.push(("all".into(), all));
    }
    // A column that is empty throughout says nothing, except for the first two.
    let used: Vec<usize> = (0..COLUMNS.len())
        .filter(|c| *c < 2 || rows.iter().any(|(_, r)| r.cells()[*c] > 0))
        .collect();
    let numbers: usize = used.iter().map(|c| COLUMNS[*c].len().max(6) + 2).sum();
    let names: Vec<String> = rows
        .iter()
        .map(|(n, _)| cut(&clean(n), style.width.saturating_sub(numbers).max(16)).into_owned())
        .collect();
    let first = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let mut head = " ".repeat(first);
    for c in &used {
        let _ = write!(head, "  {:>1$}", COLUMNS[*c], COLUMNS[*c].len().max(6));
    }
    let _ = writeln!(text, "{}", style.paint(Paint::Faint, &head));
    for (name, (_, row)) in names.iter().zip(&rows) {
        let pad = " ".repeat(first - name.chars().count());
        let _ = write!(text, "{name}{pad}");
        for c in &used {
            let cell = format!("{:>1$}", row.cells()[*c], COLUMNS[*c].len().max(6));
            let bad = *c == 1 && row.unexpected > 0;
            let cell = if bad {
                style.paint(Paint::Bad, &cell)
            } else {
                cell
            };
            let _ = write!(text, "  {cell}");
        }
        text.push('\n');
    }
}
