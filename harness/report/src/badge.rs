//! `--format badge`: the JSON that shields.io's endpoint badge reads.

use crate::digest::Digest;
use crate::terminal::ReportError;
use crate::text::{clean, clean_json};
use lnconform_engine::record::{Outcome, Record};
use lnconform_engine::results::{ReadEnd, Sink, visit};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

/// Writes `{"schemaVersion": 1, "label", "message", "color", "isError"}`. The label is `lnconform`,
/// with the implementation's name where only one took part. The message counts what passed among
/// what passed or failed, then what is unexpected.
///
/// With the name of an implementation, only the checks count that ran on it, alone or in any role; what
/// is stale or missing in the rest of the run is none of its business.
///
/// # Errors
/// The result file, the output; an implementation on which no check ran.
pub fn show<W: Write>(
    path: &Path,
    implementation: Option<&str>,
    mut out: W,
) -> Result<ReadEnd, ReportError> {
    let mut digest = Digest::default();
    let mut people = BTreeSet::new();
    let end = visit(path, |record| {
        if let (Some(name), Record::Check(check)) = (implementation, &record) {
            let roles = check.roles.iter().flat_map(BTreeMap::values);
            let who: Vec<&String> = check.implementation.iter().chain(roles).collect();
            let its_own = who.iter().any(|w| *w == name);
            people.extend(who.into_iter().cloned());
            if !its_own {
                return;
            }
        }
        digest.record(&record);
    })?;
    let made = match implementation {
        None => badge(&digest),
        Some(name) if digest.counters.total() == 0 => {
            let people: Vec<&str> = people.iter().map(String::as_str).collect();
            return Err(ReportError::Nobody {
                name: clean(name).into_owned(),
                there: match people.as_slice() {
                    [] => "nobody".to_owned(),
                    people => clean(&people.join(", ")).into_owned(),
                },
            });
        }
        Some(name) => {
            // How the run ended says something of all of them.
            let code = digest.counters.exit_code(0, false, false);
            if let Some(summary) = &mut digest.summary {
                summary.exit_code = code;
            }
            let mut made = badge(&digest);
            made["label"] = json!(format!("lnconform: {}", clean(name)));
            made
        }
    };
    let text = made.to_string();
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
