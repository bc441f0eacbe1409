//! A find as a vector, for somebody to look at.

use super::panel::{Difference, Group, Said};
use super::{FuzzError, Input, Setup};
use lnconform_vectors::bindings::escape;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::PathBuf;

/// A new difference.
#[derive(Clone, Debug, Serialize)]
pub struct Find {
    /// The vector that was written.
    pub file: PathBuf,
    /// The operation.
    pub operation: String,
    /// The rule by which the oracle refuses, or `accepted`.
    pub rule: String,
    /// Who did what.
    pub groups: Vec<FindGroup>,
    /// Where the oracle accepts: why others refuse, and the fields that are shown differently.
    pub why: Vec<String>,
    /// Number of the input that showed it first.
    pub number: u64,
    /// How many inputs showed it.
    pub seen: u64,
}

/// Implementations with the same answer.
#[derive(Clone, Debug, Serialize)]
pub struct FindGroup {
    /// Their names.
    pub implementations: Vec<String>,
    /// `accepted`, `refused`, `crash`, `hang`, `protocol` or `internal`.
    pub answer: String,
    /// The words of the first of them, where it did not accept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Writes the vector and answers what it is about.
///
/// # Errors
/// When the folder or the file cannot be written.
pub(super) fn write(
    setup: &Setup<'_>,
    number: u64,
    input: &Input,
    difference: &Difference,
    covers: &[String],
) -> Result<Find, FuzzError> {
    let key = difference.key.to_string();
    let file = setup.out.join(format!("{}.yaml", name(difference, &key)));
    let text = vector(setup, number, input, difference, covers);
    let failed = |e| FuzzError::Write(file.clone(), e);
    std::fs::create_dir_all(setup.out).map_err(failed)?;
    std::fs::write(&file, text).map_err(failed)?;
    Ok(Find {
        file,
        operation: input.operation.clone(),
        rule: difference.key.rule.clone(),
        groups: difference.groups.iter().map(shown).collect(),
        why: difference.key.why.clone(),
        number,
        seen: 1,
    })
}

fn shown(group: &Group) -> FindGroup {
    FindGroup {
        implementations: group.who.clone(),
        answer: group.did.to_owned(),
        message: group.message.as_deref().map(line),
    }
}

/// `bolt12-invoice-decode-accepted-1a2b3c4d`: a name that says what it is about, and is the same
/// for the same difference.
fn name(difference: &Difference, key: &str) -> String {
    let hash = Sha256::digest(key.as_bytes());
    let mut name = String::new();
    for part in [&difference.key.operation, &difference.key.rule] {
        // The rule may be somebody's words.
        for c in part.chars().take(60) {
            match c {
                c if c.is_ascii_alphanumeric() => name.push(c.to_ascii_lowercase()),
                _ if name.ends_with('-') => {}
                _ => name.push('-'),
            }
        }
        name.push('-');
    }
    for byte in &hash[..4] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// One line without control characters, and not a long one.
fn line(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = printable.take(200).collect();
    line.truncate(line.trim_end().len());
    line
}

/// What ought to be answered if the oracle is right.
fn expected(difference: &Difference) -> Value {
    match &difference.oracle {
        Said::Refused {
            rule: Some(rule), ..
        } => json!({"error": {"rule": rule}}),
        Said::Refused { rule: None, .. } => json!({"error": {}}),
        Said::Accepted(_) => {
            let fields: Map<String, Value> = difference
                .fields
                .iter()
                .map(|(field, value)| {
                    let value = match value {
                        Value::Null => json!("$absent"),
                        value => escape(value),
                    };
                    (field.clone(), value)
                })
                .collect();
            Value::Object(fields)
        }
        // Nobody to ask: either of what the others did.
        Said::Broke { .. } | Said::Silent => json!({"one_of": [
            {"because": "to be looked up"},
            {"because": "to be looked up", "error": {}},
        ]}),
    }
}

fn vector(
    setup: &Setup<'_>,
    number: u64,
    input: &Input,
    difference: &Difference,
    covers: &[String],
) -> String {
    let covers = match &difference.oracle {
        Said::Refused {
            rule: Some(rule), ..
        } => vec![rule.clone()],
        _ => covers.to_vec(),
    };
    let mut text = String::new();
    let mut comment = |what: &str| {
        let _ = writeln!(text, "# {}", line(what));
    };
    comment("Found by `lnconform fuzz --differential`, to be looked at: what does the text say?");
    for group in &difference.groups {
        let said = group.message.as_deref().unwrap_or_default();
        let colon = if said.is_empty() { "" } else { ": " };
        comment(&format!(
            "{} by {}{colon}{said}",
            group.did,
            group.who.join(", ")
        ));
    }
    for field in difference.fields.keys() {
        comment(&format!("shown differently: {field}"));
    }
    let versions: Vec<String> = setup
        .subjects
        .iter()
        .map(|s| format!("{} {}", s.name, s.version))
        .collect();
    comment(&format!("with {}", versions.join(", ")));
    let changes = match input.changes.as_slice() {
        [] => "as it is".to_owned(),
        changes => changes.join(", then "),
    };
    comment(&format!(
        "input {number} of seed {}: {}, {changes}; then made smaller",
        setup.seed, input.from
    ));
    let description = match (&difference.oracle, difference.fields.is_empty()) {
        (Said::Refused { .. }, _) => "To be looked at: refused by some, and accepted by others.",
        (Said::Accepted(_), true) => "To be looked at: accepted by some, and refused by others.",
        (_, false) => "To be looked at: read differently.",
        _ => "To be looked at: answered differently.",
    };
    let whole = json!({
        "description": description,
        "covers": covers,
        "operation": input.operation,
        "input": input.params,
        "expect": expected(difference),
        "provenance": {"derived": {
            "generator": "fuzz --differential",
            "version": setup.version,
            "seed": setup.seed.to_string(),
        }},
    });
    match serde_yaml::to_string(&whole) {
        Ok(yaml) => text.push_str(&yaml),
        // JSON is YAML.
        Err(_) => {
            let _ = writeln!(text, "{whole}");
        }
    }
    text
}
