//! What a node wrote down of its own conversations, cut to what a check can carry.
//!
//! A node that keeps a transcript (the peer that the harness plays does) appends a JSON object for
//! each message to `transcript.jsonl` in its folder: `at_ms`, `direction` (`in` or `out`), `peer`
//! (a node id) and `message`, and what is worth knowing of it.

use crate::record::Transcript;
use serde_json::{Map, Value};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Name of the file.
pub(crate) const FILE: &str = "transcript.jsonl";
/// Messages that a check carries of each node: the last.
pub const LINES: usize = 200;
/// Bytes that they have together.
pub const BYTES: usize = 64 * 1024;
/// Characters of a text in a message.
const TEXT: usize = 160;
/// Items of a list, fields of an object.
const ITEMS: usize = 32;
/// Lists and objects inside each other.
const DEPTH: usize = 6;
/// Bytes of a file that are looked at, from its end.
const READ: u64 = 4 << 20;

/// The transcript of `role` beyond the first `from` bytes of the file; none where there is nothing
/// new, or nothing that can be read.
pub(crate) fn read(path: &Path, role: &str, from: u64) -> Option<Transcript> {
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let start = from.max(length.saturating_sub(READ));
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let transcript = of_text(role, &text);
    (!transcript.lines.is_empty()).then_some(transcript)
}

/// The last messages of a text, as many as may be carried.
fn of_text(role: &str, text: &str) -> Transcript {
    let mut lines = Vec::new();
    let (mut left_out, mut room) = (0, BYTES);
    for line in text.lines().rev().filter(|line| !line.trim().is_empty()) {
        // The first line of a long file, or the last of one that is being written, is half a line.
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
            left_out += 1;
            continue;
        };
        if lines.len() == LINES || room == 0 {
            left_out += 1;
            continue;
        }
        let fields = object(fields, DEPTH);
        let length = serde_json::to_string(&fields).map_or(0, |text| text.len());
        match room.checked_sub(length) {
            Some(rest) => {
                room = rest;
                lines.push(fields);
            }
            None => {
                room = 0;
                left_out += 1;
            }
        }
    }
    lines.reverse();
    Transcript {
        role: role.to_owned(),
        lines,
        left_out,
    }
}

fn object(fields: Map<String, Value>, depth: usize) -> Map<String, Value> {
    let fields = fields.into_iter().take(ITEMS);
    fields
        .map(|(key, value)| (shortened(key), cut(value, depth - 1)))
        .collect()
}

/// A value without what is too long or too deep.
fn cut(value: Value, depth: usize) -> Value {
    match value {
        Value::String(text) => Value::String(shortened(text)),
        Value::Array(_) | Value::Object(_) if depth == 0 => Value::String("…".into()),
        Value::Array(items) => {
            let more = items.len() > ITEMS;
            let items = items.into_iter().take(ITEMS).map(|v| cut(v, depth - 1));
            let more = more.then(|| Value::String("…".into()));
            Value::Array(items.chain(more).collect())
        }
        Value::Object(fields) => Value::Object(object(fields, depth)),
        other => other,
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_new_is_read_and_what_is_long_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let old = json!({"message": "init"}).to_string();
        let long = json!({"message": "update_add_htlc", "onion": "ab".repeat(1366),
            "deep": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}, "many": vec![7; 100]});
        std::fs::write(&path, format!("{old}\n{long}\n{{\"mess")).unwrap();
        let from = u64::try_from(old.len()).unwrap() + 1;
        let read_ = read(&path, "payer", from).unwrap();
        assert_eq!((read_.role.as_str(), read_.left_out), ("payer", 1));
        let [line] = read_.lines.as_slice() else {
            panic!("{read_:?}");
        };
        assert_eq!(line["onion"], format!("{}…", "ab".repeat(80)));
        assert_eq!(
            line["deep"],
            json!({"a": {"b": {"c": {"d": {"e": "…"}}}}}),
            "{line:?}"
        );
        assert_eq!(line["many"].as_array().unwrap().len(), ITEMS + 1);
        // Nothing new, no file.
        let length = std::fs::metadata(&path).unwrap().len();
        assert_eq!(read(&path, "payer", length), None);
        assert_eq!(read(&dir.path().join("none"), "payer", 0), None);
    }

    #[test]
    fn the_last_messages_are_kept() {
        let lines = |n: usize, text: &str| -> String {
            (0..n)
                .map(|i| format!("{}\n", json!({"at_ms": i, "data": [text, text, text]})))
                .collect()
        };
        let many = of_text("payee", &lines(1000, "x"));
        assert_eq!((many.lines.len(), many.left_out), (LINES, 800));
        assert_eq!(many.lines[LINES - 1]["at_ms"], 999);
        let wide = of_text("payee", &lines(LINES, &"y".repeat(TEXT)));
        let bytes = serde_json::to_string(&wide.lines).unwrap().len();
        assert!(bytes <= BYTES + LINES + 2, "{bytes}");
        assert!(wide.lines.len() < LINES && wide.left_out > 0);
        assert_eq!(wide.lines.last().unwrap()["at_ms"], LINES - 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_grow(text in "([{}\":,a0\\[\\]\n]|\\PC){0,300}") {
            let kept = of_text("r", &text);
            prop_assert!(kept.lines.len() <= LINES);
        }
    }
}
