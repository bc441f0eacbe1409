//! Cases from the vector files of the specifications themselves, read where they lie.
//!
//! Nothing is copied: a folder that the user names is searched for the known file names, each file
//! is read into [`UpstreamCase`]s, and the operations' names and fields are those of the adapter
//! protocol.
//!
//! **Ids.** `upstream/`, the path from the `boltNN/` folder on without `.json`, `/SLUG~HASH`, and in
//! a trace `/step`. SLUG is the case's own name in lower case with everything but letters and
//! digits as `-`; HASH is the first 8 hex digits of the SHA-256 of the case's JSON with keys sorted
//! and no white space (for a trace, of the whole file). BOLT 1 has no vector file, its cases stand
//! in the text: they are `upstream/bolt01/01-messaging/bigsize-decode/…`, `…/bigsize-encode/…` and
//! `…/tlv/…/n1`, `/n2` for the namespace; the hash of a TLV case is that of its bullets as an object
//! `{namespaces, reason, stream, valid}`. Of BOLT 4 the text holds one trace more,
//! `upstream/bolt04/04-onion-routing/returning-errors/…`; the hash is that of
//! `{failure, packet, shared_secrets}`.
//!
//! **Expectations** are patterns, as in a vector file: a field that is not in the pattern is not
//! compared, `$any` stands for any value, and a string of upstream's that begins with `$` has it
//! doubled.

mod bolt01;
mod bolt12;
mod onion;
mod other;
mod payer_proof;
mod payment;

use crate::sources::Sources;
use crate::tree::{self, File};
use lnconform_yaml::Diagnostic;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::Path;

/// One check that upstream's files ask for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UpstreamCase {
    /// Begins with `upstream/`; see the module.
    pub id: String,
    /// The file, as a path below the searched folder, with `/`.
    pub file: String,
    /// Where in the file the case begins, counted from 1; 1 for a trace.
    pub line: usize,
    /// Upstream's own name of the case, verbatim.
    pub name: String,
    /// The operation of the adapter protocol.
    pub operation: String,
    /// Its params.
    pub input: Value,
    /// What must be answered.
    pub expect: UpstreamExpect,
    /// Ids of the requirements that the case covers; empty where no catalogue reaches that far.
    pub covers: Vec<String>,
    /// `bolt12`; `pr-836` for a file below a folder of that name.
    pub spec: String,
}

/// What upstream says must be answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamExpect {
    /// A result that matches this pattern.
    Result(Value),
    /// An error, whichever.
    Error,
}

/// A file that has a known name and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamProblem {
    /// `upstream/` and the path from the `boltNN/` folder on without `.json`.
    pub id: String,
    /// The file, as a path below the searched folder.
    pub file: String,
    /// The other file of that path, where two differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// A line of `spec import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportRow {
    /// The file, as a path below the searched folder.
    pub file: String,
    /// `upstream/` and the path from the `boltNN/` folder on without `.json`.
    pub id: String,
    /// How many cases it gives.
    pub cases: usize,
    /// The operations that these need, each once.
    pub operations: Vec<String>,
    /// A copy of another file, a problem, or not read at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a reader of one kind of file fills.
pub(crate) struct Reading {
    /// Id up to the file.
    prefix: String,
    file: String,
    spec: String,
    cases: Vec<UpstreamCase>,
    /// Entries of an unknown shape; the first is told.
    faults: Vec<String>,
}

/// The part of a case that readers fill in.
pub(crate) struct Draft {
    pub operation: &'static str,
    pub input: Value,
    pub expect: UpstreamExpect,
    pub covers: Vec<&'static str>,
}

/// One named case of a file; in a trace, the one that all steps belong to.
pub(crate) struct Named<'a> {
    /// Folder between file and case, for texts that hold several lists.
    pub group: Option<&'static str>,
    /// Upstream's name.
    pub name: &'a str,
    /// What is hashed.
    pub json: &'a Value,
    /// Line, from 1.
    pub line: usize,
}

impl Reading {
    /// Adds a case; `step` within a trace.
    pub(crate) fn push(&mut self, named: &Named<'_>, step: Option<&str>, draft: Draft) {
        let mut id = self.prefix.clone();
        for part in named
            .group
            .into_iter()
            .chain([case_part(named.name, named.json).as_str()])
            .chain(step)
        {
            id.push('/');
            id.push_str(part);
        }
        self.cases.push(UpstreamCase {
            id,
            file: self.file.clone(),
            line: named.line,
            name: named.name.to_owned(),
            operation: draft.operation.to_owned(),
            input: draft.input,
            expect: draft.expect,
            covers: draft.covers.iter().map(|c| (*c).to_owned()).collect(),
            spec: self.spec.clone(),
        });
    }

    /// Notes an entry that has an unknown shape.
    pub(crate) fn fault(&mut self, place: impl std::fmt::Display, message: String) {
        self.faults.push(format!("{place}: {message}"));
    }
}

type Reader = fn(&mut Reading, &str) -> Result<(), String>;

/// File name, the folder it lies in, what its cases are read with.
const KNOWN: &[(&str, &str, Reader)] = &[
    ("01-messaging.md", "bolt01", bolt01::messaging),
    ("04-onion-routing.md", "bolt04", payment::text),
    ("onion-test.json", "bolt04", onion::onion),
    ("route-blinding-test.json", "bolt04", onion::route_blinding),
    ("onion-error-test.json", "bolt04", payment::onion_error),
    (
        "blinded-payment-onion-test.json",
        "bolt04",
        payment::blinded_payment,
    ),
    (
        "blinded-onion-message-onion-test.json",
        "bolt04",
        payment::onion_message,
    ),
    (
        "trampoline-payment-onion-test.json",
        "bolt04",
        payment::trampoline,
    ),
    (
        "trampoline-to-blinded-path-payment-onion-test.json",
        "bolt04",
        payment::trampoline_to_blinded,
    ),
    (
        "trampoline-onion-error-test.json",
        "bolt04",
        payment::trampoline_error,
    ),
    ("extended-queries.json", "bolt07", other::extended_queries),
    ("offers-test.json", "bolt12", bolt12::offers),
    ("format-string-test.json", "bolt12", bolt12::format_strings),
    ("signature-test.json", "bolt12", bolt12::signatures),
    ("payer-proof-test.json", "bolt12", payer_proof::payer_proofs),
];

/// All cases below `dir`: any part of the upstream repositories, or full checkouts.
///
/// Of copies with the same cases one is read. Of files with the same path and other cases, the
/// pinned one, else the one closest to `dir`, is read; the others are problems that name both. A
/// file with an unknown shape is one problem, its other cases are kept.
///
/// # Errors
/// When `dir` cannot be read.
pub fn cases(dir: &Path) -> Result<(Vec<UpstreamCase>, Vec<UpstreamProblem>), Diagnostic> {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for outcome in read(dir)? {
        all.extend(outcome.cases);
        problems.extend(outcome.problem);
    }
    Ok((all, problems))
}

/// What [`cases`] finds, a row a file; vector files of upstream that are not read have a row, too.
///
/// # Errors
/// When `dir` cannot be read.
pub fn import(dir: &Path) -> Result<Vec<ImportRow>, Diagnostic> {
    let mut rows = Vec::new();
    for outcome in read(dir)? {
        let mut operations: Vec<String> = Vec::new();
        for case in &outcome.cases {
            if !operations.contains(&case.operation) {
                operations.push(case.operation.clone());
            }
        }
        rows.push(ImportRow {
            file: outcome.file,
            id: outcome.id,
            cases: outcome.cases.len(),
            operations,
            note: outcome.problem.map(|p| p.message).or(outcome.note),
        });
    }
    for file in tree::scan(dir)? {
        let mut parts = file.below.rsplit('/');
        let (name, folder) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        if is_bolt_folder(folder) && name.ends_with(".json") && !KNOWN.iter().any(|k| k.0 == name) {
            rows.push(ImportRow {
                id: format!("upstream/{folder}/{}", name.trim_end_matches(".json")),
                file: file.below,
                cases: 0,
                operations: Vec::new(),
                note: Some("not read: no operation for it".to_owned()),
            });
        }
    }
    Ok(rows)
}

fn is_bolt_folder(name: &str) -> bool {
    name.strip_prefix("bolt")
        .is_some_and(|n| n.len() == 2 && n.bytes().all(|b| b.is_ascii_digit()))
}

struct Outcome {
    id: String,
    file: String,
    cases: Vec<UpstreamCase>,
    problem: Option<UpstreamProblem>,
    note: Option<String>,
}

fn read(dir: &Path) -> Result<Vec<Outcome>, Diagnostic> {
    let files = tree::scan(dir)?;
    let sources = Sources::embedded()?;
    let mut outcomes = Vec::new();
    for &(name, folder, reader) in KNOWN {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let id = format!("upstream/{folder}/{stem}");
        let mut found: Vec<(&File, Option<(String, String)>)> = files
            .iter()
            .filter(|file| lies_at(file, folder, name))
            .map(|file| {
                let text = std::fs::read(&file.path).ok().and_then(|bytes| {
                    let blob = tree::blob(&bytes);
                    String::from_utf8(bytes).ok().map(|text| (blob, text))
                });
                (file, text)
            })
            .collect();
        let pinned = |text: &Option<(String, String)>| {
            text.as_ref()
                .is_some_and(|(blob, _)| sources.by_blob(blob).is_some())
        };
        found.sort_by_key(|(file, text)| (!pinned(text), file.depth, file.below.clone()));
        // The one that is read, with its blob and the ids of its cases.
        let mut first: Option<(String, String, HashSet<String>)> = None;
        for (file, text) in found {
            let mut outcome = Outcome {
                id: id.clone(),
                file: file.below.clone(),
                cases: Vec::new(),
                problem: None,
                note: None,
            };
            let problem = |message, other| UpstreamProblem {
                id: id.clone(),
                file: file.below.clone(),
                other,
                message,
            };
            let Some((blob, text)) = text else {
                outcome.problem = Some(problem(
                    "the file cannot be read as UTF-8 text".to_owned(),
                    None,
                ));
                outcomes.push(outcome);
                continue;
            };
            if let Some((other, other_blob, _)) = &first
                && *other_blob == blob
            {
                outcome.note = Some(format!("a copy of {other}"));
                outcomes.push(outcome);
                continue;
            }
            let (cases, fault) = read_file(reader, &id, &file.below, folder, &text);
            let ids: HashSet<String> = cases.iter().map(|c| c.id.clone()).collect();
            match &first {
                Some((other, _, other_ids)) if *other_ids == ids => {
                    outcome.note = Some(format!("the same cases as {other}"));
                }
                Some((other, ..)) => {
                    outcome.problem = Some(problem(
                        format!(
                            "{} and {other} are both {} and hold different cases; only the second is \
                             read, so name the folder of one of them",
                            file.below,
                            id.trim_start_matches("upstream/")
                        ),
                        Some(other.clone()),
                    ));
                }
                None => {
                    outcome.problem = fault.map(|message| problem(message, None));
                    outcome.cases = cases;
                    first = Some((file.below.clone(), blob, ids));
                }
            }
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

/// Whether this is upstream's `folder/name`: in such a folder, or at the top of the searched one
/// (which then may be that folder itself). The BOLT texts lie in no folder of theirs.
fn lies_at(file: &File, folder: &str, name: &str) -> bool {
    let mut parts = file.below.rsplit('/');
    parts.next() == Some(name)
        && if name.ends_with(".md") {
            // A pull request's whole text is no vector file of its own; its JSON files are.
            !file.below.split('/').any(is_pull)
        } else {
            parts.next().is_none_or(|parent| parent == folder)
        }
}

/// `pr-836`.
fn is_pull(part: &str) -> bool {
    part.strip_prefix("pr-")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn read_file(
    reader: Reader,
    id: &str,
    below: &str,
    folder: &str,
    text: &str,
) -> (Vec<UpstreamCase>, Option<String>) {
    let pull = below.split('/').find(|part| is_pull(part));
    let mut reading = Reading {
        prefix: id.to_owned(),
        file: below.to_owned(),
        spec: pull.unwrap_or(folder).to_owned(),
        cases: Vec::new(),
        faults: Vec::new(),
    };
    if let Err(message) = reader(&mut reading, text) {
        reading.faults.push(message);
    }
    // A case that the file holds twice is one check.
    let mut seen = HashSet::new();
    reading.cases.retain(|case| seen.insert(case.id.clone()));
    if reading.cases.is_empty() && reading.faults.is_empty() {
        reading.faults.push("it holds no case".to_owned());
    }
    let fault = reading.faults.first().map(|first| {
        let more = match reading.faults.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        format!("the file has an unknown shape: {first}{more}")
    });
    (reading.cases, fault)
}

/// `SLUG~HASH`.
fn case_part(name: &str, json: &Value) -> String {
    let mut hash = hex::encode(Sha256::digest(canonical(json)));
    hash.truncate(8);
    format!("{}~{hash}", slug(name))
}

/// Lower-case letters and digits, everything else a single `-`, at most 60 characters.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(60);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "case".to_owned()
    } else {
        slug.to_owned()
    }
}

/// JSON with the keys of every object sorted, and no white space.
fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(b.0));
                Value::Object(
                    entries
                        .into_iter()
                        .map(|(k, v)| (k.clone(), sorted(v)))
                        .collect(),
                )
            }
            Value::Array(list) => list.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// A pattern that matches just this value: strings that begin with `$` have it doubled.
fn literal(value: Value) -> Value {
    match value {
        Value::String(s) if s.starts_with('$') => Value::String(format!("${s}")),
        Value::Array(list) => list.into_iter().map(literal).collect(),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(k, v)| (k, literal(v)))
                .collect::<Map<_, _>>(),
        ),
        other => other,
    }
}

/// A list pattern of `length` elements with `element` at `index` and anything elsewhere.
fn only(index: usize, length: usize, element: Value) -> Value {
    (0..length)
        .map(|i| {
            if i == index {
                element.clone()
            } else {
                "$any".into()
            }
        })
        .collect()
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value, String> {
    value
        .get(name)
        .ok_or_else(|| format!("there is no `{name}`"))
}

fn string<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    field(value, name)?
        .as_str()
        .ok_or_else(|| format!("`{name}` is no string"))
}

fn boolean(value: &Value, name: &str) -> Result<bool, String> {
    field(value, name)?
        .as_bool()
        .ok_or_else(|| format!("`{name}` is neither true nor false"))
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>, String> {
    field(value, name)?
        .as_array()
        .ok_or_else(|| format!("`{name}` is no list"))
}

/// A hex string; upstream writes some with blanks between the fields.
fn bytes(value: &Value, name: &str) -> Result<String, String> {
    let text: String = string(value, name)?
        .split_whitespace()
        .collect::<String>()
        .to_ascii_lowercase();
    match hex::decode(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(format!("`{name}` is not hex")),
    }
}

/// The lines on which the elements of a list begin: the top-level list, or the list under `key` of
/// the top-level object.
fn element_lines(json: &str, key: Option<&str>) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut line = 1;
    // Whether each open container is a list, and the key last seen in the outermost object.
    let mut open: Vec<bool> = Vec::new();
    let mut last_string = String::new();
    let mut top_key = String::new();
    let depth = if key.is_some() { 2 } else { 1 };
    let mut value_starts = true;
    let mut chars = json.chars();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        }
        if c.is_whitespace() {
            continue;
        }
        let in_list =
            open.len() == depth && open.last() == Some(&true) && key.is_none_or(|k| k == top_key);
        if in_list && value_starts && !matches!(c, ']' | ',') {
            lines.push(line);
        }
        value_starts = matches!(c, '[' | ',' | ':' | '{');
        match c {
            '"' => {
                last_string.clear();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => {
                            chars.next();
                        }
                        '\n' => line += 1,
                        c => last_string.push(c),
                    }
                }
            }
            ':' if open.len() == 1 => top_key.clone_from(&last_string),
            '[' => open.push(true),
            '{' => open.push(false),
            ']' | '}' => {
                open.pop();
            }
            _ => {}
        }
    }
    lines
}

/// Line of element `index`; 1 where it is not known.
fn line_of(lines: &[usize], index: usize) -> usize {
    lines.get(index).copied().unwrap_or(1)
}

#[cfg(test)]
mod tests;
