//! `--format badge`: the JSON that shields.io's endpoint badge reads.

use crate::digest::Digest;
use crate::terminal::ReportError;
use crate::text::{clean, clean_json};
use lnconform_engine::record::Outcome;
use lnconform_engine::results::{ReadEnd, Sink, visit};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Writes `{"schemaVersion": 1, "label", "message", "color", "isError"}`. The label is `lnconform`,
/// with the implementation's name where only one took part. The message counts what passed among
/// what passed or failed, then what is unexpected.
///
/// # Errors
/// The result file, the output.
pub fn show<W: Write>(path: &Path, mut out: W) -> Result<ReadEnd, ReportError> {
    let mut digest = Digest::default();
    let end = visit(path, |record| digest.record(&record))?;
    let text = badge(&digest).to_string();
    writeln!(out, "{}", clean_json(&text))?;
    out.flush()?;
    Ok(end)
}

fn badge(digest: &Digest) -> Value {
    let count = |outcome| {
        let counts = &digest.counters.counts;
        counts
            .iter()
            .find(|(o, _)| **o == outcome)
            .map_or(0, |(_, n)| *n)
    };
    let passed = count(Outcome::Passed);
    let judged = passed + count(Outcome::Failed);
    let unexpected = digest.counters.unexpected;
    let (message, color) = match digest.summary.as_ref().map(|s| s.exit_code) {
        None => ("run not finished".to_owned(), "lightgrey"),
        _ if judged == 0 => ("nothing passed or failed".to_owned(), "lightgrey"),
        Some(0) if passed == judged => (format!("{passed} passed"), "brightgreen"),
        Some(0) => (format!("{passed} of {judged} passed"), "green"),
        Some(1 | 6) => (
            format!("{passed} of {judged} passed, {unexpected} unexpected"),
            "red",
        ),
        Some(3) => (
            format!("{passed} of {judged} passed, expectations stale"),
            "orange",
        ),
        Some(_) => (
            format!("{passed} of {judged} passed, not all could run"),
            "lightgrey",
        ),
    };
    let mut label = "lnconform".to_owned();
    let mut names = digest.rows.keys();
    if let (Some(only), None) = (names.next(), names.next()) {
        label = format!("lnconform: {}", clean(only));
    }
    json!({
        "schemaVersion": 1,
        "label": label,
        "message": message,
        "color": color,
        "isError": color == "red",
    })
}
