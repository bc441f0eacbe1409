//! One unexpected result, with all that is needed to look into it.

use super::Requirement;
use crate::difference::{self, Lines, Mark};
use crate::style::{Paint, Style};
use crate::text::{clean, clean_lines, count, cut, wrap};
use lnconform_engine::record::{Check, Keyword, Observation, Outcome, Run, SnapshotState};
use lnconform_engine::shell;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Requirements that are told.
const RULES: usize = 2;
/// Lines of a message.
const WHY: usize = 4;
/// Lines of a difference.
const DIFFERENCE: usize = 11;
/// Lines of a log.
const LOG: usize = 10;
/// Files among the evidence that are named.
const SEEN: usize = 2;

/// The first line of an unexpected result.
pub(super) fn headline(check: &Check, style: Style) -> String {
    let (what, paint) = match check.outcome {
        Outcome::Passed => ("UNEXPECTED PASS", Paint::Warn),
        Outcome::CouldNotRun => ("COULD NOT RUN", Paint::Bad),
        Outcome::Failed => ("FAILED", Paint::Bad),
        Outcome::Unsupported => ("UNSUPPORTED", Paint::Bad),
        Outcome::NotApplicable => ("NOT APPLICABLE", Paint::Bad),
    };
    let mut name = format!("{} on {}", clean(&check.id), clean(&check.who()));
    if check.attempt > 1 {
        let _ = write!(name, ", attempt {}", check.attempt);
    }
    if check.flaky {
        name.push_str(", flaky");
    }
    if check.simulation {
        name.push_str(", simulation");
    }
    let name = cut(&name, style.width.saturating_sub(what.len() + 2).max(20)).into_owned();
    format!(
        "{}  {}",
        style.paint(paint, what),
        style.paint(Paint::Strong, &name)
    )
}

/// Lines with a label before them. Text from outside never begins a line, where a log reader
/// might take it for a command.
struct Block {
    text: String,
    style: Style,
}

impl Block {
    const LABEL: usize = 10;

    fn width(&self) -> usize {
        self.style.width.saturating_sub(Self::LABEL).max(20)
    }

    /// One safe line; cut if `whole` is not asked for.
    fn line(&mut self, label: &str, text: &str, whole: bool) {
        let text = clean(text);
        let text = if whole {
            text
        } else {
            cut(&text, self.width()).into_owned().into()
        };
        let label = self.style.paint(Paint::Faint, &format!("  {label:<7}"));
        let _ = writeln!(self.text, "{label} {text}");
    }

    fn wrapped(&mut self, label: &str, text: &str, most: usize) {
        let lines = wrap(&clean(text), self.width(), most);
        self.lines(label, lines.into_iter().map(Cow::Owned));
    }

    fn lines<'t>(&mut self, label: &str, lines: impl Iterator<Item = Cow<'t, str>>) {
        for (i, line) in lines.enumerate() {
            self.line(if i == 0 { label } else { "" }, &line, false);
        }
    }

    /// The requirements of a check; the first has room for more than the second.
    fn rules(&mut self, check: &Check, requirements: &dyn Fn(&str) -> Option<Requirement>) {
        for (i, id) in check.requirements.iter().take(RULES).enumerate() {
            match requirements(id) {
                Some(r) => {
                    let rule = format!("{} {id} ({})", r.keyword, r.section);
                    self.line("rule", &rule, false);
                    self.wrapped("", &r.paraphrase, RULES - i);
                }
                None => {
                    let keyword = check.keyword.map_or("", Keyword::as_str);
                    self.line("rule", format!("{keyword} {id}").trim_start(), false);
                }
            }
        }
        if let Some(more @ 1..) = check.requirements.len().checked_sub(RULES) {
            self.line("", &format!("and {more} more"), false);
        }
    }

    /// What was wanted and what was answered.
    fn answer(&mut self, check: &Check) {
        let width = self.width() - 2;
        let (told, lines) = match (&check.want, &check.got) {
            (Some(want), Some(got)) => (
                "- wanted, + answered",
                difference::of_values(want, got, width, DIFFERENCE),
            ),
            (Some(want), None) => (
                "- wanted",
                difference::of_value(Mark::Want, want, width, DIFFERENCE),
            ),
            (None, Some(got)) => (
                "+ answered",
                difference::of_value(Mark::Got, got, width, DIFFERENCE),
            ),
            (None, None) => return,
        };
        self.line("", told, false);
        self.difference(&lines);
    }

    fn difference(&mut self, lines: &Lines) {
        for (mark, line) in lines {
            let line = format!("{} {line}", mark.sign());
            let line = match mark {
                Mark::Want => self.style.paint(Paint::Bad, &line),
                Mark::Got => self.style.paint(Paint::Good, &line),
                Mark::Both | Mark::Gap => line,
            };
            let _ = writeln!(self.text, "          {line}");
        }
    }
}

/// One unexpected result in full; at most 40 lines.
pub fn failure(
    check: &Check,
    style: Style,
    requirements: &dyn Fn(&str) -> Option<Requirement>,
) -> String {
    let mut b = Block {
        text: format!("{}\n", headline(check, style)),
        style,
    };
    b.rules(check, requirements);
    let message = check.message.as_deref().unwrap_or_default();
    // One sentence may need some lines; of many lines, the first say most.
    match message.trim_end().split_once('\n') {
        None if message.is_empty() => {}
        None => b.wrapped("why", message.trim_end(), WHY),
        Some(_) => b.lines("why", clean_lines(message).take(WHY)),
    }
    b.answer(check);
    if let Some(blame) = check.blame {
        b.line("blame", blame.as_str(), false);
    }
    let entry = check.expectation.as_ref().map(|e| format!("ledger {e}"));
    let source: Vec<String> = check.source.iter().cloned().chain(entry).collect();
    if !source.is_empty() {
        b.line("in", &source.join(", "), false);
    }
    if let Some(log) = &check.log_tail {
        let lines: Vec<_> = clean_lines(log).collect();
        let tail = lines.len().saturating_sub(LOG);
        b.lines("log", lines.into_iter().skip(tail));
    }
    for path in check.evidence.iter().take(SEEN) {
        b.line("seen", path, true);
    }
    if let Some(more @ 1..) = check.evidence.len().checked_sub(SEEN) {
        b.line("", &format!("and {more} more files"), false);
    }
    if let Some(rerun) = &check.rerun {
        // Whole, since it is to be copied.
        b.line("again", rerun, true);
    }
    b.text.push('\n');
    b.text
}

/// That so many checks more could not run, for a reason that was shown with the first of them.
pub(super) fn more_of(who: &str, why: &str, more: u64, style: Style) -> String {
    let why = why.lines().next().unwrap_or_default();
    let more = count(more, "more check");
    let line = format!("{more} on {}: {}", clean(who), clean(why));
    let line = cut(&line, style.width.saturating_sub(15).max(20));
    format!("{}  {line}\n", style.paint(Paint::Bad, "COULD NOT RUN"))
}

/// The store of snapshots that the command of a run named: what accepts a change has to name it too.
pub(super) fn store(run: &Run) -> Option<&str> {
    let mut words = run.command.iter().map(String::as_str);
    words
        .find_map(|word| match word.strip_prefix("--snapshots")? {
            "" => Some(None),
            joined => joined.strip_prefix('=').map(Some),
        })
        .and_then(|joined| joined.or_else(|| words.next()))
}

/// One observation that differs from its snapshot, in the store that the run named.
pub(super) fn snapshot(observation: &Observation, store: Option<&str>, style: Style) -> String {
    let changed = observation.snapshot == SnapshotState::Changed;
    let (what, paint) = if changed {
        ("CHANGED", Paint::Bad)
    } else {
        ("DRIFT", Paint::Warn)
    };
    let name = format!(
        "{} on {}",
        clean(&observation.id),
        clean(&observation.who())
    );
    let name = style.paint(Paint::Strong, &cut(&name, style.width.saturating_sub(9)));
    let mut b = Block {
        text: format!("{}  {name}\n", style.paint(paint, what)),
        style,
    };
    match &observation.diff {
        Some(diff) => {
            let lines = difference::of_unified(diff, b.width() - 2, 2 * DIFFERENCE);
            b.difference(&lines);
        }
        None => b.line("", "differs from its snapshot", false),
    }
    if !changed {
        b.line(
            "",
            "seen under another version, so it does not fail the run",
            false,
        );
    }
    let store = store.map(|dir| format!(" --snapshots {}", shell::word(dir)));
    let accept = format!(
        "lnconform bless '{}'{}",
        observation.id,
        store.unwrap_or_default()
    );
    b.line("accept", &accept, true);
    b.text.push('\n');
    b.text
}
