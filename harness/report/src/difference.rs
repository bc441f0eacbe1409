//! What was wanted against what was answered, in a few lines.

use crate::text::{clean, cut, cut_pair};
use lnconform_engine::redact::sorted;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// What a line of a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Only wanted, or stored.
    Want,
    /// Only answered, or seen.
    Got,
    /// In both.
    Both,
    /// Left out.
    Gap,
}

impl Mark {
    /// What stands before the line.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Mark::Want => "-",
            Mark::Got => "+",
            Mark::Both | Mark::Gap => " ",
        }
    }
}

pub(crate) type Lines = Vec<(Mark, String)>;

/// Lines of context around a difference.
const CONTEXT: usize = 2;

/// The difference between two values, at most `most` lines of `width` characters. Fields of the
/// answer that nothing was asked of are left out, since they are not compared either.
pub(crate) fn of_values(want: &Value, got: &Value, width: usize, most: usize) -> Lines {
    let want = sorted(want);
    let whole = sorted(got);
    let asked = asked_for(&want, &whole);
    // Where only a matcher can tell the two apart, the whole answer is shown.
    let got = if asked == want { whole } else { asked };
    of_texts(&pretty(&want), &pretty(&got), width, most)
}

/// One value, marked as wanted or got.
pub(crate) fn of_value(mark: Mark, value: &Value, width: usize, most: usize) -> Lines {
    let text = pretty(&sorted(value));
    limit(
        text.lines()
            .map(|l| (mark, cut(&clean(l), width).into_owned()))
            .collect(),
        most,
    )
}

/// The difference between two texts, line by line.
pub(crate) fn of_texts(want: &str, got: &str, width: usize, most: usize) -> Lines {
    let diff = TextDiff::from_lines(want, got);
    let mut lines = Lines::new();
    for (i, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if i > 0 {
            lines.push((Mark::Gap, "…".into()));
        }
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = clean(change.value().trim_end_matches(['\n', '\r'])).into_owned();
            match change.tag() {
                ChangeTag::Delete => gone.push(text),
                ChangeTag::Insert => come.push(text),
                ChangeTag::Equal => {
                    settle(&mut gone, &mut come, width, &mut lines);
                    lines.push((Mark::Both, cut(&text, width).into_owned()));
                }
            }
        }
        settle(&mut gone, &mut come, width, &mut lines);
    }
    limit(lines, most)
}

/// Puts lines that went and lines that came beside one another, so that the cut shows where each
/// pair begins to differ.
fn settle(gone: &mut Vec<String>, come: &mut Vec<String>, width: usize, lines: &mut Lines) {
    let pairs = gone.len().min(come.len());
    for i in 0..pairs {
        (gone[i], come[i]) = cut_pair(&gone[i], &come[i], width);
    }
    let cut_all = |v: &mut Vec<String>| -> Vec<String> {
        v.drain(..).map(|l| cut(&l, width).into_owned()).collect()
    };
    lines.extend(cut_all(gone).into_iter().map(|l| (Mark::Want, l)));
    lines.extend(cut_all(come).into_iter().map(|l| (Mark::Got, l)));
}

/// A unified diff that was made elsewhere.
pub(crate) fn of_unified(diff: &str, width: usize, most: usize) -> Lines {
    let lines = diff
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.starts_with("@@"))
        .map(|(i, line)| {
            let (mark, rest) = match line.as_bytes().first() {
                // The names of the two sides.
                _ if i < 2 && (line.starts_with("---") || line.starts_with("+++")) => {
                    (Mark::Gap, line)
                }
                Some(b'-') => (Mark::Want, &line[1..]),
                Some(b'+') => (Mark::Got, &line[1..]),
                Some(b' ') => (Mark::Both, &line[1..]),
                _ => (Mark::Both, line),
            };
            (mark, cut(&clean(rest), width).into_owned())
        })
        .collect();
    limit(lines, most)
}

fn limit(mut lines: Lines, most: usize) -> Lines {
    if lines.len() > most {
        let left = lines.len() - most + 1;
        lines.truncate(most.saturating_sub(1));
        lines.push((
            Mark::Gap,
            format!("… {left} more lines, in the result file"),
        ));
    }
    lines
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The part of `got` that `want` speaks of.
fn asked_for(want: &Value, got: &Value) -> Value {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) if want.keys().any(|k| got.contains_key(k)) => {
            got.iter()
                .filter_map(|(k, v)| Some((k.clone(), asked_for(want.get(k)?, v))))
                .collect()
        }
        (Value::Array(want), Value::Array(got)) if want.len() == got.len() => {
            want.iter().zip(got).map(|(w, g)| asked_for(w, g)).collect()
        }
        // What anything satisfies does not differ.
        (Value::String(matcher), _) if matcher == "$any" => want.clone(),
        _ => got.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(lines: Lines) -> String {
        lines
            .into_iter()
            .map(|(m, l)| format!("{}{l}\n", m.sign()))
            .collect()
    }

    #[test]
    fn only_what_was_asked_for_is_compared() {
        let want = json!({"value": "1", "records": [{"type": "8", "value": "$any"}]});
        let got = json!({"rest": "", "records": [{"value": "00", "type": "9"}], "value": "1"});
        insta::assert_snapshot!(shown(of_values(&want, &got, 80, 20)), @r#"
           "records": [
             {
        -      "type": "8",
        +      "type": "9",
               "value": "$any"
             }
        "#);
        // Scalars, and things of different kinds.
        assert_eq!(
            shown(of_values(&json!("a"), &json!(3), 80, 20)),
            "-\"a\"\n+3\n"
        );
        let refused = of_values(
            &json!({"value": "1"}),
            &json!({"error": {"kind": "invalid"}}),
            80,
            20,
        );
        assert!(shown(refused).contains("invalid"));
        // Only a matcher tells them apart: the whole answer is there.
        let whole = of_values(&json!({"a": "$any"}), &json!({"a": 1, "b": 2}), 80, 20);
        assert!(shown(whole).contains("\"b\": 2"));
    }

    #[test]
    fn long_things_are_cut_where_they_differ() {
        let want = json!({"onion": format!("{}ff{}", "00".repeat(600), "11".repeat(60))});
        let got = json!({"onion": format!("{}fe{}", "00".repeat(600), "11".repeat(60))});
        let text = shown(of_values(&want, &got, 60, 20));
        assert!(text.contains("ff111") && text.contains("fe111"), "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= 61), "{text}");
        let many = of_values(&json!((0..100).collect::<Vec<_>>()), &json!([]), 60, 10);
        assert_eq!(many.len(), 10);
        assert!(many[9].1.contains("more lines"), "{many:?}");
    }

    #[test]
    fn a_stored_diff_is_marked_again() {
        let text = "--- stored (1)\n+++ seen (2)\n@@ -1,2 +1,2 @@\n a: 1\n-b: \u{1b}2\n+b: 3\n";
        assert_eq!(
            shown(of_unified(text, 40, 9)),
            " --- stored (1)\n +++ seen (2)\n a: 1\n-b: \\u{1b}2\n+b: 3\n"
        );
    }
}
