//! Computes expected values from the reference and writes them into vector files.
//!
//! `expect: $fill` takes the whole answer, `field: $fill` one field. A file whose `provenance` is
//! `derived` is refreshed: each literal is computed anew, matchers stay. Only the blocks `expect`
//! and `provenance` are rewritten, and only where a value changes; all other text stays as it is.

use crate::Set;
use crate::bindings::{escape, literal, short};
use crate::case::{Body, Case, Origin, Provenance};
use crate::expect::holds_fill;
use crate::file::VectorFile;
use lnconform_protocol::Answer;
use lnconform_yaml::Diagnostic;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Who computes, for `provenance`.
#[derive(Clone, Copy, Debug)]
pub struct Generator<'a> {
    /// Version of the reference.
    pub version: &'a str,
    /// Seed, where one is used.
    pub seed: Option<&'a str>,
}

/// Whether the file's own text asks to be filled or refreshed.
pub fn wants(file: &VectorFile) -> bool {
    let derived = file
        .provenance
        .as_ref()
        .is_some_and(|p| p.get("derived").is_some());
    file.expect
        .as_ref()
        .is_some_and(|e| derived || holds_fill(e))
}

/// The new text of a vector file; equal to `text` where nothing changes.
///
/// `case` is the file's case, loaded with [`Options::unfilled`](crate::Options::unfilled), so
/// that parents and mutations are in its input. `compute` is the reference.
///
/// # Errors
/// When the case is none that the reference can compute, when it answers `unsupported`, or a
/// result where an error stands in the file (or the other way round), or lacks a field.
pub fn fill(
    file: &Path,
    text: &str,
    case: &Case,
    compute: impl FnOnce(&str, &Value) -> Answer,
    generator: &Generator<'_>,
) -> Result<String, Diagnostic> {
    let own: VectorFile = lnconform_yaml::from_str(file, text)?;
    let Some(before) = own.expect.as_ref().filter(|_| wants(&own)) else {
        return Ok(text.to_owned());
    };
    let fault = |message: String| Diagnostic::new(file, message).at(text, &["expect"]);
    let codec = match &case.body {
        Body::Codec(codec) if own.matrix.is_none() => codec,
        Body::Codec(_) => {
            return Err(
                fault("a file with a matrix has no one answer to fill in".into())
                    .help("write one file a case, or expect with matchers"),
            );
        }
        Body::Scenario(_) => {
            return Err(
                fault("the reference has no nodes, so a scenario cannot be filled".into())
                    .help("bind names and match"),
            );
        }
    };
    let answer = compute(&codec.operation, &codec.input);
    let refresh = matches!(case.provenance, Some(Provenance::Derived { .. }));
    let after = expected(before, &answer, refresh).map_err(fault)?;
    let has_derived = own
        .provenance
        .as_ref()
        .is_some_and(|p| p.get("derived").is_some());
    if after == *before && has_derived {
        return Ok(text.to_owned());
    }
    let mut derived = json!({"generator": codec.operation, "version": generator.version});
    if let Some(seed) = generator.seed {
        derived["seed"] = json!(seed);
    }
    let provenance = json!({"derived": derived});
    let new = replace(text, "expect", &after)
        .and_then(|t| replace(&t, "provenance", &provenance))
        .ok_or_else(|| {
            fault("the file is written in braces".into()).help("write its keys one a line")
        })?;
    // What was written must read as what was meant.
    let read: VectorFile = lnconform_yaml::from_str(file, &new)?;
    if read.expect.as_ref() == Some(&after) && read.provenance == Some(provenance) {
        Ok(new)
    } else {
        Err(fault("the block cannot be rewritten in place".into())
            .help("write `expect: $fill` on a line of its own"))
    }
}

/// A file that [`fill_all`] would rewrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The file.
    pub file: PathBuf,
    /// Its new text.
    pub text: String,
}

/// Works out the new text of every vector file of `set` that asks for it; nothing is written.
///
/// `set` is loaded with [`Options::unfilled`](crate::Options::unfilled). `only` narrows it to these
/// files, unless it is empty. `--check` is: the list is empty.
///
/// # Errors
/// Every file that cannot be filled.
pub fn fill_all(
    set: &Set,
    only: &[PathBuf],
    mut compute: impl FnMut(&str, &Value) -> Answer,
    generator: &Generator<'_>,
) -> Result<Vec<Rewrite>, Vec<Diagnostic>> {
    let (mut rewrites, mut problems) = (Vec::new(), Vec::new());
    let mut done = BTreeSet::new();
    let own = set.cases.iter().filter(|c| c.origin != Origin::Upstream);
    for case in own.filter(|c| only.is_empty() || only.contains(&c.file)) {
        if !done.insert(&case.file) {
            continue;
        }
        let outcome = lnconform_yaml::read(&case.file).and_then(|text| {
            let new = fill(&case.file, &text, case, &mut compute, generator)?;
            Ok((new != text).then_some(new))
        });
        match outcome {
            Ok(Some(text)) => rewrites.push(Rewrite {
                file: case.file.clone(),
                text,
            }),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(rewrites)
    } else {
        Err(problems)
    }
}

fn expected(before: &Value, answer: &Answer, refresh: bool) -> Result<Value, String> {
    let got = match answer {
        Answer::Unsupported(u) => {
            return Err(format!("the reference does not compute this: {}", u.reason));
        }
        Answer::Result(got) => got,
        Answer::Error(e) => {
            let mut full = json!({"kind": e.kind});
            if let Some(rule) = &e.rule {
                full["rule"] = json!(rule);
            }
            if let Some(code) = e.code {
                full["code"] = json!(code);
            }
            return match before.get("error") {
                _ if before == "$fill" => Ok(json!({"error": full})),
                Some(error) => Ok(json!({"error": filled(error, &full, refresh)?})),
                None => Err(format!(
                    "the reference refuses this: {}: {}",
                    e.kind.as_str(),
                    e.message
                )),
            };
        }
    };
    match before {
        Value::Object(map) if map.contains_key("error") => {
            Err("the reference accepts this, and an error is expected".into())
        }
        Value::Object(map) if map.contains_key("one_of") => {
            Err("alternatives come from the text and are not filled".into())
        }
        Value::Object(map) => {
            let mut new = Map::new();
            for (key, value) in map {
                let value = match key.as_str() {
                    "observe" => value.clone(),
                    "result" => filled(value, got, refresh)?,
                    _ => field(key, value, got, refresh)?,
                };
                new.insert(key.clone(), value);
            }
            Ok(Value::Object(new))
        }
        other => filled(other, got, refresh),
    }
}

fn field(key: &str, before: &Value, got: &Value, refresh: bool) -> Result<Value, String> {
    match got.get(key) {
        Some(got) => filled(before, got, refresh),
        None if before == "$absent" => Ok(before.clone()),
        None => Err(format!(
            "the reference answers no `{key}`, but {}",
            short(got)
        )),
    }
}

fn filled(before: &Value, got: &Value, refresh: bool) -> Result<Value, String> {
    match before {
        Value::String(s) if s == "$fill" => Ok(escape(got)),
        Value::String(s) if literal(s).is_none() => Ok(before.clone()),
        Value::Object(map) => map
            .iter()
            .map(|(k, v)| Ok((k.clone(), field(k, v, got, refresh)?)))
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object),
        Value::Array(list) => match got.as_array() {
            Some(new) if new.len() == list.len() => list
                .iter()
                .zip(new)
                .map(|(b, g)| filled(b, g, refresh))
                .collect(),
            Some(_) if refresh => Ok(escape(got)),
            _ => Err(format!(
                "the reference answers {}, not {} elements",
                short(got),
                list.len()
            )),
        },
        _ if refresh => Ok(escape(got)),
        _ => Ok(before.clone()),
    }
}

/// Puts `key: value` in place of the block of that key at the left margin, or behind all others.
fn replace(text: &str, key: &str, value: &Value) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let root = lnconform_yaml::locate(text, &[])?;
    if root.column != 1 || lines.get(root.line - 1)?.starts_with('{') {
        return None;
    }
    let start = lines.iter().position(|l| {
        l.strip_prefix(key)
            .is_some_and(|rest| rest.trim_start_matches(' ').starts_with(':'))
    });
    let belongs = |l: &&str| {
        l.starts_with([' ', '\t', '#', '\n', '\r']) || (l.starts_with("- ") || l.trim_end() == "-")
    };
    let (start, end) = match start {
        None => (lines.len(), lines.len()),
        Some(start) => {
            let mut end = start + 1 + lines[start + 1..].iter().take_while(|l| belongs(l)).count();
            // Blank lines and comments at the end belong to what follows.
            while end > start + 1
                && (lines[end - 1].trim().is_empty() || lines[end - 1].starts_with('#'))
            {
                end -= 1;
            }
            (start, end)
        }
    };
    let mut new = lines[..start].concat();
    if !new.is_empty() && !new.ends_with('\n') {
        new.push('\n');
    }
    entry(&mut new, key, value, 0);
    new.push_str(&lines[end..].concat());
    Some(new)
}

/// Longest line that is written; longer ones are broken into blocks.
const WIDTH: usize = 100;

fn entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    let key = key_text(key);
    let head = format!("{}{key}:", " ".repeat(indent));
    let inline = flow(value);
    let nested = match value {
        Value::Object(map) => !map.is_empty() && (head.len() + inline.len() >= WIDTH),
        Value::Array(list) => !list.is_empty() && (head.len() + inline.len() >= WIDTH),
        _ => false,
    };
    out.push_str(&head);
    if !nested {
        out.push(' ');
        out.push_str(&inline);
        out.push('\n');
        return;
    }
    out.push('\n');
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| entry(out, k, v, indent + 2)),
        Value::Array(list) => {
            for element in list {
                out.push_str(&format!("{}- {}\n", " ".repeat(indent + 2), flow(element)));
            }
        }
        _ => {}
    }
}

fn key_text(key: &str) -> String {
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&key.to_ascii_lowercase().as_str());
    if plain {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    }
}

/// A value on one line; strings always in double quotes, whose escapes YAML takes from JSON.
fn flow(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => format!(
            "{{{}}}",
            map.iter()
                .map(|(k, v)| format!("{}: {}", key_text(k), flow(v)))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Root, Vectors};
    use lnconform_protocol::OpError;
    use proptest::prelude::*;

    fn run(text: &str, answer: Answer) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.yaml");
        std::fs::write(&path, text).unwrap();
        let options = Options {
            unfilled: true,
            ..Options::default()
        };
        let set = Vectors::load(&[Root::Added(dir.path().to_owned())], &[], &options)
            .map_err(|e| format!("{e:?}"))?;
        let generator = Generator {
            version: "0.1.0",
            seed: None,
        };
        fill(
            Path::new("v.yaml"),
            text,
            &set.cases[0],
            |_, _| answer,
            &generator,
        )
        .map_err(|e| e.to_string())
    }

    const HEAD: &str = "# a comment\ndescription: d   # kept\ncovers: [a/b]\noperation: bigsize.decode\ninput: {bytes: \"00\"}\n";

    #[test]
    fn a_whole_answer_is_filled_in_and_the_rest_is_kept() {
        let text = format!("{HEAD}expect: $fill\n\n# the end\ntags: [x]\n");
        let got = run(&text, Answer::Result(json!({"value": "0", "rest": ""}))).unwrap();
        assert_eq!(
            got,
            format!(
                "{HEAD}expect: {{value: \"0\", rest: \"\"}}\n\n# the end\ntags: [x]\nprovenance: {{derived: {{generator: \"bigsize.decode\", version: \"0.1.0\"}}}}\n"
            )
        );
        // Once filled, it stays.
        assert_eq!(
            run(&got, Answer::Result(json!({"value": "0", "rest": ""}))).unwrap(),
            got
        );
        // And is refreshed when the reference answers something else.
        let new = run(&got, Answer::Result(json!({"value": "1", "rest": ""}))).unwrap();
        assert!(new.contains("expect: {value: \"1\", rest: \"\"}"), "{new}");
    }

    #[test]
    fn one_field_is_filled_in_and_matchers_stay() {
        let text = format!("{HEAD}expect:\n  value: $fill\n  rest: $hex\n");
        let got = run(
            &text,
            Answer::Result(json!({"value": "0", "rest": "", "more": 1})),
        )
        .unwrap();
        assert!(
            got.contains("expect: {value: \"0\", rest: \"$hex\"}\nprovenance:"),
            "{got}"
        );
    }

    #[test]
    fn an_error_is_filled_in_with_its_rule() {
        let text = format!("{HEAD}expect: $fill\n");
        let refused = Answer::Error(OpError::invalid("no").with_rule("r/s"));
        let got = run(&text, refused.clone()).unwrap();
        assert!(
            got.contains("expect: {error: {kind: \"invalid\", rule: \"r/s\"}}"),
            "{got}"
        );
        let error = run(&got, Answer::Result(json!({}))).unwrap_err();
        assert!(error.contains("accepts this"), "{error}");
        let text = format!("{HEAD}expect: {{value: $fill}}\n");
        assert!(run(&text, refused).unwrap_err().contains("refuses this"));
    }

    #[test]
    fn a_folder_is_filled_and_then_needs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yaml"), format!("{HEAD}expect: $fill\n")).unwrap();
        std::fs::write(
            dir.path().join("b.yaml"),
            format!("{HEAD}expect: {{value: \"5\"}}\n"),
        )
        .unwrap();
        let generator = Generator {
            version: "1",
            seed: Some("7"),
        };
        let all = |only: &[PathBuf], value: Value| {
            let options = Options {
                unfilled: true,
                ..Options::default()
            };
            let set = Vectors::load(&[Root::Added(dir.path().to_owned())], &[], &options).unwrap();
            fill_all(&set, only, |_, _| Answer::Result(value.clone()), &generator)
        };
        let rewrites = all(&[], json!({"value": "0"})).unwrap();
        assert_eq!(rewrites.len(), 1);
        assert!(
            rewrites[0].text.contains("seed: \"7\""),
            "{}",
            rewrites[0].text
        );
        assert!(
            all(&[dir.path().join("b.yaml")], json!({"value": "0"}))
                .unwrap()
                .is_empty()
        );
        std::fs::write(&rewrites[0].file, &rewrites[0].text).unwrap();
        assert!(all(&[], json!({"value": "0"})).unwrap().is_empty());
        assert_eq!(all(&[], json!({"other": "0"})).unwrap_err().len(), 1);
    }

    #[test]
    fn a_file_that_does_not_ask_is_left_alone() {
        let text = format!("{HEAD}expect: {{value: \"5\"}}\nprovenance: {{text: Appendix A}}\n");
        assert_eq!(
            run(&text, Answer::Result(json!({"value": "0"}))).unwrap(),
            text
        );
    }

    #[test]
    fn what_cannot_be_filled_says_so() {
        let text = format!("{HEAD}expect: {{gone: $fill}}\n");
        assert!(
            run(&text, Answer::Result(json!({"value": "0"})))
                .unwrap_err()
                .contains("no `gone`")
        );
        let text = format!("{HEAD}expect: $fill\nmatrix: {{implementation: [a, b]}}\n");
        assert!(
            run(&text, Answer::Result(json!({})))
                .unwrap_err()
                .contains("matrix")
        );
        let text = "{description: d, covers: [a], operation: o, input: {}, expect: $fill}\n";
        assert!(
            run(text, Answer::Result(json!({})))
                .unwrap_err()
                .contains("in braces")
        );
    }

    proptest! {
        #[test]
        fn every_result_is_written_so_that_it_reads_the_same(value in crate::bindings::tests::any_value()) {
            let text = format!("{HEAD}expect: {{result: $fill}}\n");
            // A result called like a matcher's mapping is no pattern; the loader refuses it later.
            let got = run(&text, Answer::Result(value.clone())).unwrap();
            let read: VectorFile = lnconform_yaml::from_str(Path::new("v"), &got).unwrap();
            prop_assert_eq!(&read.expect.unwrap()["result"], &escape(&value));
        }
    }
}
