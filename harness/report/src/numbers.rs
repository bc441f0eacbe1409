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

/// A table for each draft; nothing where there are no dialects.
pub(crate) fn tables(dialects: &[Dialect], style: Style) -> String {
    let mut text = String::new();
    for draft in dialects.chunk_by(|a, b| a.draft == b.draft) {
        table(&mut text, draft, style);
    }
    text
}

/// The name without the draft that all of them begin with.
fn short(dialect: &Dialect) -> String {
    let name = &dialect.name;
    clean(name.split_once('/').map_or(name.as_str(), |(_, own)| own)).into_owned()
}

fn table(text: &mut String, draft: &[Dialect], style: Style) {
    let Some(first) = draft.first() else {
        return;
    };
    let items: Vec<&String> = first.numbers.keys().collect();
    let left = items.iter().map(|i| i.chars().count()).max().unwrap_or(0);
    let left = left.clamp(PASSED.len(), ITEM);
    let room = style.width.saturating_sub(left + 4) / draft.len();
    let most = room.saturating_sub(2).max(CELL);
    let columns: Vec<Vec<String>> = draft
        .iter()
        .map(|dialect| {
            let number = |item: &&String| match dialect.numbers.get(*item) {
                Some(serde_json::Value::String(number)) if !number.is_empty() => {
                    cut(&clean(number), most).into_owned()
                }
                _ => "-".to_owned(),
            };
            [cut(&short(dialect), most).into_owned()]
                .into_iter()
                .chain(items.iter().map(number))
                .chain([dialect.passed, dialect.failed].map(|n| n.to_string()))
                .collect()
        })
        .collect();
    let heading = format!("{}, by the numbers of each dialect", clean(&first.draft));
    let heading = cut(&heading, style.width).into_owned();
    let _ = writeln!(text, "{}", style.paint(Paint::Strong, &heading));
    let heads = [String::new()]
        .into_iter()
        .chain(items.iter().map(|i| cut(&clean(i), left).into_owned()))
        .chain([PASSED.to_owned(), FAILED.to_owned()]);
    for (row, head) in heads.enumerate() {
        let mut line = format!("  {head:<left$}");
        for column in &columns {
            let width = column.iter().map(|c| c.chars().count()).max().unwrap_or(0);
            let cell = column.get(row).map_or("", String::as_str);
            let _ = write!(line, "  {cell:<width$}");
        }
        let line = line.trim_end();
        if row == 0 {
            let _ = writeln!(text, "{}", style.paint(Paint::Faint, line));
        } else {
            let _ = writeln!(text, "{line}");
        }
    }
    for dialect in draft {
        let speakers = match dialect.speakers.as_slice() {
            [] => "nobody here".to_owned(),
            speakers => speakers.join(", "),
        };
        let line = format!("{} is spoken by {}", short(dialect), clean(&speakers));
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
