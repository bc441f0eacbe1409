//! Text from outside in HTML and in Markdown, where it is shown as it is and is never markup; and the
//! tables of Markdown. What a template writes, the template engine escapes.

use crate::digest::{COLUMNS, Digest, Row};
use crate::sections::Sections;
use crate::terminal::rows;
use crate::text::{clean, cut};
use std::fmt::Write as _;

/// Characters of a piece of code.
const CODE: usize = 400;

/// A character between two tags: what would begin a tag or a reference has its name.
fn put(out: &mut String, c: char) {
    match c {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        c => out.push(c),
    }
}

/// One line from outside as HTML or SVG, for a text or an attribute.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No characters of XML.
            '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => put(&mut out, c),
        }
    }
    out
}

/// Lines as they are: nothing in such a block is Markdown, and only markup has to be written
/// otherwise, so that it holds lines with backticks, pipes and the like unchanged.
pub(crate) fn block(out: &mut String, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    out.push_str("<pre>\n");
    for line in lines {
        line.chars().for_each(|c| put(out, c));
        out.push('\n');
    }
    out.push_str("</pre>\n\n");
}

/// Text from outside as HTML in Markdown: code on one line, cut to 400 characters. `<`, `>` and `&`
/// have their names; all other punctuation that Markdown might take for its own (a pipe, a
/// backtick, a bracket, an `@`) is written as a number.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::from("<code>");
    for c in cut(&clean(text), CODE).chars() {
        match c {
            c if c.is_ascii_punctuation() && !"-/=,;<>&".contains(c) => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => put(&mut out, c),
        }
    }
    out.push_str("</code>");
    out
}

/// A table: headings as they are, cells that are safe already.
pub(crate) fn table(out: &mut String, heads: &[String], right: usize, rows: &[Vec<String>]) {
    let _ = writeln!(out, "| {} |", heads.join(" | "));
    let left = "---|".repeat(right.min(heads.len()));
    let _ = writeln!(
        out,
        "|{left}{}",
        "--:|".repeat(heads.len() - right.min(heads.len()))
    );
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out.push('\n');
}

/// The table of counts; nothing where there is nobody.
pub(crate) fn counts(out: &mut String, digest: &Digest) {
    let rows = rows(digest);
    if rows.is_empty() {
        return;
    }
    let heads: Vec<String> = std::iter::once(String::new())
        .chain(COLUMNS.map(str::to_owned))
        .collect();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(who, row)| {
            std::iter::once(code(who))
                .chain(row.cells().map(|n| n.to_string()))
                .collect()
        })
        .collect();
    table(out, &heads, 1, &rows);
}

/// The matrix of the codec lane: a row for each section, a column for each implementation; nothing
/// where no check ran on a single implementation.
pub(crate) fn matrix(out: &mut String, sections: &Sections) {
    let columns = sections.columns();
    if columns.is_empty() {
        return;
    }
    let heads: Vec<String> = std::iter::once("section".to_owned())
        .chain(columns.iter().map(|c| code(c)))
        .collect();
    let rows: Vec<Vec<String>> = sections
        .codec()
        .map(|(section, row)| {
            std::iter::once(code(section))
                .chain(columns.iter().map(|c| row.get(*c).map_or("".into(), cell)))
                .collect()
        })
        .collect();
    table(out, &heads, 1, &rows);
}

/// What a cell holds, in words: `12 passed, 1 known`.
pub(crate) fn cell(row: &Row) -> String {
    let parts: Vec<String> = row
        .marks()
        .iter()
        .map(|m| format!("{} {}", m.count, m.word))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markup_is_shown() {
        assert_eq!(code("<b>|`*x"), "<code>&lt;b&gt;&#124;&#96;&#42;x</code>");
        assert_eq!(code("a &lt; b"), "<code>a &amp;lt; b</code>");
        assert_eq!(
            html("<b a=\"'&\u{ffff}\n"),
            "&lt;b a=&quot;&#39;&amp;\\u{ffff}\\u{a}"
        );
        let mut text = String::new();
        block(&mut text, &["`|<b>&".to_owned()]);
        assert_eq!(text, "<pre>\n`|&lt;b&gt;&amp;\n</pre>\n\n");
    }

    proptest! {
        #[test]
        fn code_is_one_line_without_markup(text in any::<String>()) {
            let page = code(&text);
            let inner = page.strip_prefix("<code>").and_then(|p| p.strip_suffix("</code>")).unwrap();
            prop_assert!(!inner.contains(['<', '>', '|', '`', '*', '[', '\n', '\r', '"', '@', '_']));
        }
    }
}
