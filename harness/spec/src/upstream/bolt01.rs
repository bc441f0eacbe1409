//! BOLT 1: appendix A (BigSize) and appendix B (TLV), which stand in the text itself.

use super::{Draft, Named, Reading, UpstreamExpect, bytes, literal, parse, string};
use serde_json::{Map, Value, json};

pub(super) fn messaging(out: &mut Reading, text: &str) -> Result<(), String> {
    bigsize(out, text);
    tlv(out, text);
    if out.cases.is_empty() && out.faults.is_empty() {
        return Err("there is neither a BigSize list nor a TLV stream".to_owned());
    }
    Ok(())
}

/// The JSON blocks below the headings that name BigSize and decoding or encoding.
fn bigsize(out: &mut Reading, text: &str) {
    let mut heading = String::new();
    let mut block: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        if let Some((start, mut json)) = block.take() {
            if line.trim_start().starts_with("```") {
                bigsize_list(out, &heading, start, &json);
            } else {
                json.push_str(line);
                json.push('\n');
                block = Some((start, json));
            }
        } else if line.starts_with('#') {
            heading = line.to_ascii_lowercase();
        } else if line.trim() == "```json" && heading.contains("bigsize") {
            block = Some((index + 2, String::new()));
        }
    }
}

fn bigsize_list(out: &mut Reading, heading: &str, start: usize, text: &str) {
    let decode = heading.contains("decoding");
    if !decode && !heading.contains("encoding") {
        return;
    }
    let list = match parse(text) {
        Ok(Value::Array(list)) => list,
        Ok(_) => return out.fault(format_args!("line {start}"), "it is no list".to_owned()),
        Err(message) => return out.fault(format_args!("line {start}"), message),
    };
    let lines = super::element_lines(text, None);
    for (index, json) in list.iter().enumerate() {
        let line = start + super::line_of(&lines, index) - 1;
        match bigsize_case(json, decode) {
            Ok((name, draft)) => {
                let group = Some(if decode {
                    "bigsize-decode"
                } else {
                    "bigsize-encode"
                });
                out.push(
                    &Named {
                        group,
                        name,
                        json,
                        line,
                    },
                    None,
                    draft,
                );
            }
            Err(message) => out.fault(format_args!("line {line}"), message),
        }
    }
}

fn bigsize_case(json: &Value, decode: bool) -> Result<(&str, Draft), String> {
    let name = string(json, "name")?;
    let value = super::field(json, "value")?
        .as_u64()
        .ok_or("`value` is no 64-bit number")?
        .to_string();
    let bytes = bytes(json, "bytes")?;
    let error = json.get("exp_error").and_then(Value::as_str);
    let draft = match (decode, error) {
        (true, None) => Draft {
            operation: "bigsize.decode",
            input: json!({"bytes": bytes}),
            expect: UpstreamExpect::Result(json!({"value": value, "rest": ""})),
            covers: vec!["bolt01/bigsize/form"],
        },
        (true, Some(error)) => Draft {
            operation: "bigsize.decode",
            input: json!({"bytes": bytes}),
            expect: UpstreamExpect::Error,
            covers: vec![if error.contains("canonical") {
                "bolt01/bigsize/minimal"
            } else {
                "bolt01/bigsize/truncated"
            }],
        },
        (false, None) => Draft {
            operation: "bigsize.encode",
            input: json!({"value": value}),
            expect: UpstreamExpect::Result(json!({"bytes": bytes})),
            covers: vec!["bolt01/bigsize/form"],
        },
        (false, Some(_)) => return Err("an encoding case has an error".to_owned()),
    };
    Ok((name, draft))
}

/// The pairs of bullets "Invalid stream" or "Valid stream" and "Reason", "Explanation" or "Values",
/// each under a paragraph that says which namespace is meant.
fn tlv(out: &mut Reading, text: &str) {
    let mut namespaces: Vec<&'static str> = Vec::new();
    let mut inside = false;
    let mut fenced = false;
    let mut paragraph = String::new();
    let mut stream: Option<(usize, bool, String)> = None;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        if line.starts_with('#') {
            let heading = line.to_ascii_lowercase();
            if line.starts_with("## ") {
                inside = heading.contains("type-length-value test vectors");
            }
            paragraph.clear();
            continue;
        }
        if !inside {
            continue;
        }
        let Some((label, content)) = bullet(line) else {
            if line.trim().is_empty() {
                paragraph.clear();
            } else {
                paragraph.push_str(line);
                paragraph.push(' ');
                if let Some(named) = named_namespaces(&paragraph) {
                    namespaces = named;
                }
            }
            continue;
        };
        match label {
            "Invalid stream" | "Valid stream" => {
                stream = Some((index + 1, label == "Valid stream", content.to_owned()));
            }
            "Reason" | "Explanation" | "Values" => {
                if let Some((line, valid, stream)) = stream.take() {
                    let values = (label == "Values").then_some(content);
                    if let Err(message) =
                        tlv_case(out, &namespaces, line, valid, &stream, content, values)
                    {
                        out.fault(format_args!("line {line}"), message);
                    }
                }
            }
            _ => {}
        }
    }
    if let Some((line, ..)) = stream {
        out.fault(
            format_args!("line {line}"),
            "the stream has no reason".to_owned(),
        );
    }
}

/// `1. Invalid stream: 0x…` as label and content.
fn bullet(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim_start();
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let text = match after.strip_prefix(". ") {
        Some(text) if after.len() < rest.len() => text,
        _ => rest
            .strip_prefix("- ")
            .or_else(|| rest.strip_prefix("* "))?,
    };
    let (label, content) = text.split_once(':')?;
    Some((label.trim(), content.trim()))
}

/// Which namespaces a lead paragraph is about.
fn named_namespaces(paragraph: &str) -> Option<Vec<&'static str>> {
    if paragraph.contains("any namespace") || paragraph.contains("either namespace") {
        Some(vec!["n1", "n2"])
    } else {
        match (paragraph.contains("`n1`"), paragraph.contains("`n2`")) {
            (true, true) => Some(vec!["n1", "n2"]),
            (true, false) => Some(vec!["n1"]),
            (false, true) => Some(vec!["n2"]),
            (false, false) => None,
        }
    }
}

fn tlv_case(
    out: &mut Reading,
    namespaces: &[&'static str],
    line: usize,
    valid: bool,
    stream: &str,
    reason: &str,
    values: Option<&str>,
) -> Result<(), String> {
    if namespaces.is_empty() {
        return Err("no namespace is named for the stream".to_owned());
    }
    let bytes: String = stream
        .strip_prefix("0x")
        .unwrap_or(stream)
        .split_whitespace()
        .collect();
    if hex::decode(&bytes).is_err() {
        return Err("the stream is not hex".to_owned());
    }
    let fields = match values {
        Some(values) => fields(values)?,
        None => json!({}),
    };
    let covers = covers(valid, values.is_some(), bytes.is_empty(), reason);
    let json = json!({"namespaces": namespaces, "reason": reason, "stream": bytes, "valid": valid});
    for namespace in namespaces {
        let draft = Draft {
            operation: "tlv.namespace.decode",
            input: json!({"namespace": namespace, "stream": bytes}),
            expect: if valid {
                UpstreamExpect::Result(json!({"fields": literal(fields.clone())}))
            } else {
                UpstreamExpect::Error
            },
            covers: covers.clone(),
        };
        out.push(
            &Named {
                group: Some("tlv"),
                name: reason,
                json: &json,
                line,
            },
            Some(namespace),
            draft,
        );
    }
    Ok(())
}

fn covers(valid: bool, known: bool, empty: bool, reason: &str) -> Vec<&'static str> {
    const RULES: &[(&str, &str)] = &[
        ("ordering", "bolt01/tlv/order"),
        ("duplicate", "bolt01/tlv/order"),
        ("unknown even", "bolt01/tlv/unknown-even"),
        ("minimally encoded", "bolt01/tlv/minimal"),
        ("type truncated", "bolt01/tlv/truncated"),
        ("missing length", "bolt01/tlv/truncated"),
        ("length truncated", "bolt01/tlv/truncated"),
        ("missing value", "bolt01/tlv/length"),
        ("value truncated", "bolt01/tlv/length"),
        ("encoding length", "bolt01/tlv/value-length"),
        ("not minimal", "bolt01/tlv/value-minimal"),
        ("valid point", "bolt01/types/point"),
    ];
    let reason = reason.to_ascii_lowercase();
    match (valid, known, empty) {
        (true, true, _) => vec!["bolt01/tlv/decode-known"],
        (true, false, true) => vec!["bolt01/tlv/stop"],
        (true, false, false) => vec!["bolt01/tlv/unknown-odd"],
        (false, ..) => RULES
            .iter()
            .find(|(part, _)| reason.contains(part))
            .map(|r| r.1)
            .into_iter()
            .collect(),
    }
}

/// `` `tlv3` `node_id`=02… `amount_msat_1`=1 `` as the fields of `tlv.namespace.decode`: amounts
/// are 64-bit, so decimal strings; CLTV values are numbers.
fn fields(values: &str) -> Result<Value, String> {
    let mut records = Map::new();
    let mut current: Option<(String, Map<String, Value>)> = None;
    for token in values.split_whitespace() {
        let token = token.replace('`', "");
        let Some((name, value)) = token.split_once('=') else {
            records.extend(
                current
                    .take()
                    .map(|(name, fields)| (name, Value::Object(fields))),
            );
            current = Some((token, Map::new()));
            continue;
        };
        let (_, fields) = current.as_mut().ok_or("the values name no record")?;
        let value = if name.starts_with("cltv") {
            value
                .parse::<u32>()
                .map_err(|_| format!("`{name}` is no 32-bit number"))?
                .into()
        } else {
            Value::String(value.to_owned())
        };
        fields.insert(name.to_owned(), value);
    }
    records.extend(current.map(|(name, fields)| (name, Value::Object(fields))));
    Ok(Value::Object(records))
}
