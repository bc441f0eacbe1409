//! The dialects of a draft beside each other, by their numbers.

use crate::style::{Paint, Style};
use crate::text::{clean, cut, wrap};
use lnconform_engine::record::Dialect;
use std::fmt::Write as _;

/// The widest column of items.
const ITEM: usize = 50;
/// The heads of the last two rows, which are of one length.
const PASSED: &str = "checks passed";
const FAILED: &str = "checks failed";
/// The narrowest column of a dialect.
const CELL: usize = 8;
/// Dialects that are shown.
const KEPT: usize = 500;
/// Characters of a cell that is not cut to a screen.
const WIDE: usize = 300;

/// The dialects of one draft: a column for each, a row for each item. All of it is safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The draft, in words.
    pub name: String,
    /// The dialects, without the draft that their names begin with.
    pub dialects: Vec<String>,
    /// An item, and its number in each dialect (`-` where it has none); then what its checks came to.
    pub rows: Vec<(String, Vec<String>)>,
    /// Who lists each dialect.
    pub speakers: Vec<String>,
}

/// The drafts of a run's dialects, in their order.
pub(crate) fn drafts(dialects: &[Dialect]) -> Vec<Draft> {
    let dialects = &dialects[..dialects.len().min(KEPT)];
    let drafts = dialects.chunk_by(|a, b| a.draft == b.draft);
    drafts.map(draft).collect()
}

fn draft(dialects: &[Dialect]) -> Draft {
    let safe = |text: &str| cut(&clean(text), WIDE).into_owned();
    let items = dialects.iter().flat_map(|d| d.numbers.keys());
    let items: Vec<&String> = items.fold(Vec::new(), |mut seen, item| {
        if !seen.contains(&item) {
            seen.push(item);
        }
        seen
    });
    let number = |dialect: &Dialect, item: &str| match dialect.numbers.get(item) {
        Some(serde_json::Value::String(number)) if !number.is_empty() => safe(number),
        _ => "-".to_owned(),
    };
    let count = |of: fn(&Dialect) -> u64| dialects.iter().map(|d| of(d).to_string()).collect();
    let numbers = items.iter().map(|item| {
        let cells = dialects.iter().map(|d| number(d, item)).collect();
        (safe(item), cells)
    });
    let counts = [
        (PASSED.to_owned(), count(|d| d.passed)),
        (FAILED.to_owned(), count(|d| d.failed)),
    ];
    Draft {
        name: dialects
            .first()
            .map_or_else(String::new, |d| safe(&d.draft)),
        dialects: dialects.iter().map(short).collect(),
        rows: numbers.chain(counts).collect(),
        speakers: dialects
            .iter()
            .map(|dialect| match dialect.speakers.as_slice() {
                [] => "nobody here".to_owned(),
                speakers => safe(&speakers.join(", ")),
            })
            .collect(),
    }
}

/// A table for each draft; nothing where there are no dialects.
pub(crate) fn tables(dialects: &[Dialect], style: Style) -> String {
    let mut text = String::new();
    for draft in drafts(dialects) {
        table(&mut text, &draft, style);
    }
    text
}

/// The name without the draft that all of them begin with.
fn short(dialect: &Dialect) -> String {
    let name = &dialect.name;
    clean(name.split_once('/').map_or(name.as_str(), |(_, own)| own)).into_owned()
}

fn table(text: &mut String, draft: &Draft, style: Style) {
    let left = draft.rows.iter().map(|(item, _)| item.chars().count());
    let left = left.max().unwrap_or(0).clamp(PASSED.len(), ITEM);
    let room = style.width.saturating_sub(left + 4) / draft.dialects.len().max(1);
    let most = room.saturating_sub(2).max(CELL);
    let heading = format!("{}, by the numbers of each dialect", draft.name);
    let heading = cut(&heading, style.width).into_owned();
    let _ = writeln!(text, "{}", style.paint(Paint::Strong, &heading));
    let heads = (String::new(), draft.dialects.clone());
    let rows: Vec<(String, Vec<String>)> = std::iter::once(&heads)
        .chain(&draft.rows)
        .map(|(item, cells)| {
            let cells = cells.iter().map(|cell| cut(cell, most).into_owned());
            (cut(item, left).into_owned(), cells.collect())
        })
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|(_, cells)| cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..draft.dialects.len()).map(width).collect();
    for (row, (head, cells)) in rows.iter().enumerate() {
        let mut line = format!("  {head:<left$}");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(line, "  {cell:<width$}");
        }
        let line = line.trim_end();
        if row == 0 {
            let _ = writeln!(text, "{}", style.paint(Paint::Faint, line));
        } else {
            let _ = writeln!(text, "{line}");
        }
    }
    for (dialect, speakers) in draft.dialects.iter().zip(&draft.speakers) {
        let line = format!("{dialect} is spoken by {speakers}");
        for line in wrap(&line, style.width.saturating_sub(2).max(20), 3) {
            let _ = writeln!(text, "  {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dialect(name: &str, numbers: serde_json::Value) -> Dialect {
        serde_json::from_value(json!({
            "name": name, "title": "T", "draft": "A draft", "speakers": ["owl"], "passed": 3,
            "failed": 1, "numbers": numbers, "source": "S",
        }))
        .unwrap()
    }

    #[test]
    fn dialects_stand_beside_each_other() {
        let one = dialect("x/one", json!({"feature bits": "1/2", "a record": "7"}));
        let mut two = dialect(
            "x/two\u{1b}",
            json!({"feature bits": "3/4", "a record": ""}),
        );
        two.speakers.clear();
        let mut other = dialect("y/one", json!({"a": "b".repeat(200)}));
        other.draft = "Another draft".into();
        let shown = tables(&[one, two, other], Style::plain());
        insta::assert_snapshot!(shown, @r"
        A draft, by the numbers of each dialect
                         one  two\u{1b}
          feature bits   1/2  3/4
          a record       7    -
          checks passed  3    3
          checks failed  1    1
          one is spoken by owl
          two\u{1b} is spoken by nobody here
        Another draft, by the numbers of each dialect
                         one
          a              bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…
          checks passed  3
          checks failed  1
          one is spoken by owl
        ");
        assert!(
            shown
                .lines()
                .all(|l| l.chars().count() <= Style::plain().width)
        );
        assert_eq!(tables(&[], Style::plain()), "");
    }
}
