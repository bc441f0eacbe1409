//! `--format github`: annotations on the vectors, and a summary on the run's page.
//!
//! Everything that comes from outside is escaped twice over: for workflow commands, which end at
//! a line end, and for the page, where every character that Markdown or HTML might take for its
//! own is written as a number.

use crate::digest::Digest;
use crate::markup::{self, code};
use crate::terminal::ReportError;
use crate::text::{clean, count, duration};
use lnconform_engine::record::{Check, Outcome, Record};
use lnconform_engine::results::{ReadEnd, Sink, visit};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Annotations of one kind that GitHub shows for a step.
const ANNOTATIONS: usize = 10;
/// Unexpected results on the page.
const LISTED: usize = 50;
/// The most that is appended to the page, in bytes; GitHub takes 1 MiB a step.
const PAGE: usize = 900 * 1024;

/// Writes workflow commands to `out` at the end of a run, and appends Markdown to the file that
/// `GITHUB_STEP_SUMMARY` names.
pub struct GithubView<W: Write> {
    out: W,
    page: Option<PathBuf>,
    digest: Digest,
}

impl<W: Write> GithubView<W> {
    /// A view on `out`; `page` is the file for the summary, where there is one.
    pub fn new(out: W, page: Option<PathBuf>) -> Self {
        Self {
            out,
            page,
            digest: Digest::default(),
        }
    }

    /// Writes the annotations and the page. Called once, after the last record.
    ///
    /// # Errors
    /// The output's and the page's.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.write_all(annotations(&self.digest).as_bytes())?;
        self.out.flush()?;
        if let Some(page) = &self.page {
            let mut file = OpenOptions::new().create(true).append(true).open(page)?;
            file.write_all(markdown(&self.digest).as_bytes())?;
        }
        Ok(())
    }
}

impl<W: Write> Sink for GithubView<W> {
    fn record(&mut self, record: &Record) {
        self.digest.record(record);
    }
}

/// Annotates from a result file.
///
/// # Errors
/// The result file, the output, the page.
pub fn show<W: Write>(path: &Path, out: W, page: Option<PathBuf>) -> Result<ReadEnd, ReportError> {
    let mut view = GithubView::new(out, page);
    let end = visit(path, |record| view.record(&record))?;
    view.finish()?;
    Ok(end)
}

/// The message of a workflow command: it ends with the line.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a workflow command: it also ends at `,` and `:`.
fn property(text: &str) -> String {
    data(&clean(text)).replace(':', "%3A").replace(',', "%2C")
}

/// `file=…,line=…,` of a `file:line`.
fn position(source: Option<&str>) -> String {
    let Some(source) = source else {
        return String::new();
    };
    match source.rsplit_once(':') {
        Some((file, line)) if !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()) => {
            format!("file={},line={line},", property(file))
        }
        _ => format!("file={},", property(source)),
    }
}

fn annotations(digest: &Digest) -> String {
    let mut text = String::new();
    for check in digest.unexpected.iter().take(ANNOTATIONS) {
        let lines: Vec<_> = message(check)
            .iter()
            .map(|l| clean(l).into_owned())
            .collect();
        let _ = writeln!(
            text,
            "::error {}title={}::{}",
            position(check.source.as_deref()),
            property(&format!("{} on {}", check.id, check.who())),
            data(&lines.join("\n"))
        );
    }
    for warning in digest.warnings.iter().take(ANNOTATIONS) {
        let _ = writeln!(
            text,
            "::warning {}title={}::{}",
            position(warning.source.as_deref()),
            property(&format!("{} on {}", warning.id, warning.who)),
            data(&clean(warning.message.lines().next().unwrap_or_default()))
        );
    }
    let (stale, flaky) = digest.notes();
    for note in stale.iter().take(ANNOTATIONS) {
        // A stale entry of the ledger begins with its place.
        let mut parts = note.splitn(3, ':');
        let place = match (parts.next(), parts.next()) {
            (Some(file), Some(line)) if file.ends_with(".yaml") => format!("{file}:{line}"),
            _ => String::new(),
        };
        let position = position((!place.is_empty()).then_some(place.as_str()));
        let _ = writeln!(
            text,
            "::error {position}title=stale::{}",
            data(&clean(note))
        );
    }
    for note in flaky.iter().take(ANNOTATIONS) {
        let _ = writeln!(text, "::warning title=flaky::{}", data(&clean(note)));
    }
    let unexpected = digest.counters.unexpected;
    if unexpected > ANNOTATIONS as u64 {
        let _ = writeln!(
            text,
            "::notice title=lnconform::{} more unexpected results, on the page of the run and in the result file",
            unexpected - ANNOTATIONS as u64
        );
    }
    let _ = writeln!(text, "{}", clean(&digest.verdict()));
    text
}

/// The lines of an annotation.
fn message(check: &Check) -> Vec<String> {
    let mut lines = Vec::new();
    let keyword = match check.keyword {
        Some(keyword) => format!("{keyword:?} ").to_uppercase(),
        None => String::new(),
    };
    if let Some(requirement) = check.requirements.first() {
        lines.push(format!("{keyword}{requirement}"));
    }
    if check.outcome != Outcome::Failed {
        lines.push(check.outcome.as_str().to_owned());
    }
    lines.extend(
        check
            .message
            .iter()
            .flat_map(|m| m.lines())
            .take(4)
            .map(str::to_owned),
    );
    lines.extend(check.rerun.iter().map(|r| format!("again: {r}")));
    lines
}

/// The unexpected results, as many as the page has room for.
fn unexpected(text: &mut String, digest: &Digest) {
    let all = digest.counters.unexpected;
    if all == 0 {
        return;
    }
    let _ = writeln!(text, "### Unexpected ({all})\n");
    let mut listed = 0;
    for check in digest.unexpected.iter().take(LISTED) {
        let mut item = format!("- {} on {}", code(&check.id), code(&check.who()));
        for line in message(check) {
            let _ = write!(item, "<br>{}", code(&line));
        }
        if text.len() + item.len() > PAGE {
            break;
        }
        let _ = writeln!(text, "{item}");
        listed += 1;
    }
    if all > listed {
        let _ = writeln!(text, "- {} more, in the result file", all - listed);
    }
    text.push('\n');
}

fn markdown(digest: &Digest) -> String {
    let mut text = String::from("## lnconform\n\n");
    let took = digest
        .summary
        .as_ref()
        .map(|s| format!(" in {}", duration(s.duration_ms)));
    let checks = count(digest.counters.total(), "check");
    let _ = writeln!(
        text,
        "{checks}{}; **{}**\n",
        took.unwrap_or_default(),
        digest.verdict()
    );
    markup::counts(&mut text, digest);
    unexpected(&mut text, digest);
    let mut section = |heading: &str, lines: Vec<String>, all: u64| {
        if lines.is_empty() || text.len() > PAGE {
            return;
        }
        let _ = writeln!(text, "### {heading} ({all})\n");
        for line in lines {
            let _ = writeln!(text, "- {line}");
        }
        text.push('\n');
    };
    let warnings = digest.warnings.iter().take(LISTED);
    let warnings = warnings.map(|w| {
        format!(
            "{} on {}: {}",
            code(&w.id),
            code(&w.who),
            code(w.message.lines().next().unwrap_or_default())
        )
    });
    section("Warnings", warnings.collect(), digest.counters.warnings);
    let (stale, flaky) = digest.notes();
    for (heading, notes) in [("Stale, changed or missing", stale), ("Flaky", flaky)] {
        let lines = notes.iter().take(LISTED).map(|n| code(n)).collect();
        section(heading, lines, notes.len() as u64);
    }
    let untested: Vec<String> = digest
        .untested()
        .map(|(name, mark)| format!("{}: {}", code(name), code(mark)))
        .collect();
    let all = untested.len() as u64;
    section("Not ours to vouch for", untested, all);
    let missing: Vec<String> = digest.missing().map(|line| code(&line)).collect();
    let count = missing.len() as u64;
    section("Missing", missing, count);
    let mut tables = String::new();
    markup::matrix(&mut tables, &digest.sections);
    if digest.disagreed > 0 {
        let _ = writeln!(
            tables,
            "{} where the text is silent.\n",
            crate::text::count(digest.disagreed, "disagreement")
        );
    }
    if !tables.is_empty() && text.len() + tables.len() < PAGE {
        let _ = writeln!(
            text,
            "<details><summary>By section</summary>\n\n{tables}</details>"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_pages_are_escaped() {
        assert_eq!(data("50%\r\n::x"), "50%25%0D%0A::x");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
        assert_eq!(
            position(Some("vectors/a.yaml:7")),
            "file=vectors/a.yaml,line=7,"
        );
        assert_eq!(position(Some("c:\\x")), "file=c%3A\\x,");
        assert_eq!(position(None), "");
    }
}
