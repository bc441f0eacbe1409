//! The dialects of a run: lines of the type `dialect`, whatever their fields are.

use crate::text::{clean, cut};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Lines that are kept.
const KEPT: usize = 500;
/// The longest line that is read, in bytes.
const LINE: u64 = 1024 * 1024;
/// Characters of a cell.
const CELL: usize = 300;

/// A table: headings, and as many cells in each row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialects {
    pub heads: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// Reads the lines of the type `dialect`. Which fields they have is not asked: each is a column. A
/// file without such lines, and one that cannot be read, gives none; [`visit`] is who complains.
///
/// [`visit`]: lnconform_engine::results::visit
pub(crate) fn read(path: &Path) -> Dialects {
    let Ok(file) = File::open(path) else {
        return Dialects::default();
    };
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE).read_until(b'\n', &mut line) {
            Ok(1..) if lines.len() < KEPT => {}
            _ => break,
        }
        // The writer puts the type first; so the lines of a large file need not be parsed again.
        if !line.starts_with(b"{\"type\":\"dialect\"") {
            continue;
        }
        if let Ok(Value::Object(mut fields)) = serde_json::from_slice(&line) {
            fields.shift_remove("type");
            lines.push(fields);
        }
    }
    table(&lines)
}

fn table(lines: &[Map<String, Value>]) -> Dialects {
    let mut heads: Vec<&String> = Vec::new();
    for field in lines.iter().flat_map(Map::keys) {
        if !heads.contains(&field) {
            heads.push(field);
        }
    }
    let cell = |value: Option<&Value>| {
        let text = value.map(shown).unwrap_or_default();
        cut(&clean(&text), CELL).into_owned()
    };
    Dialects {
        rows: lines
            .iter()
            .map(|line| heads.iter().map(|h| cell(line.get(*h))).collect())
            .collect(),
        heads: heads
            .iter()
            .map(|h| clean(&h.replace('_', " ")).into_owned())
            .collect(),
    }
}

/// A value in a few words: lists and fields are joined by commas.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            items.join(", ")
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(k, v)| format!("{k} {}", shown(v)))
                .collect();
            fields.join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_a_column() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let text = concat!(
            "{\"type\":\"run\"}\n",
            "{\"type\":\"dialect\",\"name\":\"async/ldk\",\"speakers\":[\"ldk-node\",\"lnd\"],\"passed\":3}\n",
            "{\"type\":\"dialect\",\"name\":\"<b>\\u001b\",\"feature_bits\":{\"held\":52}}\n",
            "{\"type\":\"dialect\",\"name\":",
        );
        std::fs::write(&path, text).unwrap();
        let table = read(&path);
        assert_eq!(table.heads, ["name", "speakers", "passed", "feature bits"]);
        assert_eq!(table.rows[0], ["async/ldk", "ldk-node, lnd", "3", ""]);
        assert_eq!(table.rows[1], ["<b>\\u{1b}", "", "", "held 52"]);
        assert_eq!(table.rows.len(), 2);
        assert_eq!(read(&dir.path().join("none")), Dialects::default());
    }
}
