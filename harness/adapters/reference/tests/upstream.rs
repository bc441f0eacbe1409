//! The official vectors, where a checkout of the specifications is at hand. Only the variable
//! `LNCONFORM_SPECS` is read; without it the test says so and ends.

use lnconform_adapter_reference::Reference;
use lnconform_protocol::Answer;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The text of a file below the checkout, in whichever layout it has.
fn file(path: &str) -> Option<String> {
    let Some(specs) = std::env::var_os("LNCONFORM_SPECS") else {
        println!("upstream: not run");
        return None;
    };
    let specs = PathBuf::from(specs);
    // A checkout of the BOLTs, or a folder that holds one.
    let found = [specs.join("bolts").join(path), specs.join(path)]
        .into_iter()
        .find(|p| p.exists());
    match found {
        Some(path) => Some(read(&path)),
        None => {
            println!("upstream: {path} is not below LNCONFORM_SPECS");
            None
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn cases(path: &str) -> Option<Value> {
    file(path).map(|text| serde_json::from_str(&text).unwrap())
}

fn call(op: &str, params: Value) -> Answer {
    Reference::default().answer(op, &params)
}

fn ok(op: &str, params: Value) -> Value {
    match call(op, params) {
        Answer::Result(result) => result,
        other => panic!("{op}: {other:?}"),
    }
}

/// The rule that refuses; `None` when nothing does.
fn refusing(op: &str, params: Value) -> Option<String> {
    match call(op, params) {
        Answer::Result(_) => None,
        Answer::Error(error) => Some(error.rule.unwrap_or_else(|| panic!("{}", error.message))),
        Answer::Unsupported(u) => panic!("{}", u.reason),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

#[test]
fn bigsize_cases() {
    let Some(text) = file("01-messaging.md") else {
        return;
    };
    let mut count = 0;
    for block in text.split("```json").skip(1) {
        let block = block.split("```").next().unwrap();
        let Ok(Value::Array(cases)) = serde_json::from_str::<Value>(block) else {
            continue;
        };
        for case in cases {
            let (Some(value), Some(bytes)) = (case["value"].as_u64(), case["bytes"].as_str())
            else {
                continue;
            };
            if case["name"].as_str().is_none() || bytes.len() > 18 {
                continue;
            }
            count += 1;
            match case["exp_error"].as_str() {
                Some(error) => {
                    let rule = refusing("bigsize.decode", json!({"bytes": bytes})).expect(error);
                    let want = if error.contains("EOF") {
                        "truncated"
                    } else {
                        "minimal"
                    };
                    assert_eq!(rule, format!("bolt01/bigsize/{want}"), "{case}");
                }
                None => {
                    let value = value.to_string();
                    let decoded = ok("bigsize.decode", json!({"bytes": bytes}));
                    assert_eq!(decoded, json!({"value": value, "rest": ""}), "{case}");
                    let encoded = ok("bigsize.encode", json!({"value": value}));
                    assert_eq!(encoded, json!({"bytes": bytes}), "{case}");
                }
            }
        }
        if count >= 26 {
            break;
        }
    }
    println!("upstream: {count} BigSize cases");
    assert_eq!(count, 26);
}

/// The bullets of appendix B, each with the line before the list that says where it applies.
fn bullets(text: &str) -> Vec<(String, bool, String, String)> {
    let start = text
        .find("\n### TLV Decoding Failures")
        .expect("appendix B");
    let end = text.find("\n## Appendix C").expect("appendix C");
    let (mut out, mut paragraph, mut last_was_text) = (Vec::new(), String::new(), false);
    let mut lines = text[start..end].lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        let bullet = line
            .strip_prefix("1. ")
            .and_then(|l| l.split_once(" stream: 0x"));
        if let Some((validity, stream)) = bullet {
            let reason = lines
                .next()
                .unwrap()
                .trim()
                .trim_start_matches("2. ")
                .to_owned();
            let stream = stream.replace(' ', "");
            out.push((paragraph.clone(), validity == "Valid", stream, reason));
            last_was_text = false;
        } else if line.is_empty() {
            last_was_text = false;
        } else {
            if !last_was_text {
                paragraph.clear();
            }
            paragraph.push_str(line);
            paragraph.push(' ');
            last_was_text = true;
        }
    }
    out
}

#[test]
fn tlv_cases() {
    let Some(text) = file("01-messaging.md") else {
        return;
    };
    let cases = bullets(&text);
    for (paragraph, valid, stream, reason) in &cases {
        let namespaces: &[&str] = match (paragraph.contains("`n1`"), paragraph.contains("`n2`")) {
            (true, false) => &["n1"],
            (false, true) => &["n2"],
            _ => &["n1", "n2"],
        };
        for namespace in namespaces {
            let params = json!({"namespace": namespace, "stream": stream});
            let what = format!("{namespace} {stream}: {reason}");
            if *valid {
                let decoded = ok("tlv.namespace.decode", params);
                assert_eq!(decoded["fields"], values(reason), "{what}");
            } else {
                let want = match reason {
                    r if r.contains("minimally encoded") => "bolt01/tlv/minimal",
                    r if r.contains("is not minimal") => "bolt01/tlv/value-minimal",
                    r if r.contains("unknown even") => "bolt01/tlv/unknown-even",
                    r if r.contains("encoding length") => "bolt01/tlv/value-length",
                    r if r.contains("valid point") => "bolt01/types/point",
                    r if r.contains("ordering") || r.contains("duplicate") => "bolt01/tlv/order",
                    r if r.contains("value") => "bolt01/tlv/length",
                    _ => "bolt01/tlv/truncated",
                };
                let rule = refusing("tlv.namespace.decode", params);
                assert_eq!(rule.as_deref(), Some(want), "{what}");
            }
        }
    }
    println!("upstream: {} TLV cases", cases.len());
    assert_eq!(cases.len(), 57);
}

/// Fields out of "Values: `tlv3` `node_id`=02… `amount_msat_1`=1".
fn values(reason: &str) -> Value {
    let mut fields = Map::new();
    let Some(values) = reason.strip_prefix("Values: ") else {
        return json!({});
    };
    let mut words = values.split(' ');
    let name = words.next().unwrap().trim_matches('`');
    let mut inner = Map::new();
    for word in words {
        let (field, value) = word.split_once('=').unwrap();
        let value = match field.trim_matches('`') {
            "cltv_delta" | "cltv_expiry" => json!(value.parse::<u32>().unwrap()),
            _ => json!(value),
        };
        inner.insert(field.trim_matches('`').into(), value);
    }
    fields.insert(name.into(), inner.into());
    fields.into()
}

#[test]
fn format_string_cases() {
    let Some(cases) = cases("bolt12/format-string-test.json") else {
        return;
    };
    for case in list(&cases) {
        let valid = case["valid"].as_bool().unwrap();
        let string = json!({"string": case["string"]});
        assert_eq!(
            refusing("bolt12.string.decode", string).is_none(),
            valid,
            "{case}"
        );
        let rule = refusing("bolt12.offer.decode", json!({"offer": case["string"]}));
        assert_eq!(rule.is_none(), valid, "{case}");
        if let Some(rule) = rule {
            println!("{}: {rule}", case["comment"]);
        }
    }
    println!("upstream: {} strings", list(&cases).len());
}

#[test]
fn offer_cases() {
    let Some(cases) = cases("bolt12/offers-test.json") else {
        return;
    };
    for case in list(&cases) {
        let rule = refusing("bolt12.offer.decode", json!({"offer": case["bolt12"]}));
        assert_eq!(
            rule.is_none(),
            case["valid"].as_bool().unwrap(),
            "{case}: {rule:?}"
        );
        match rule {
            Some(rule) => println!("{}: {rule}", case["description"]),
            None => {
                let decoded = ok("bolt12.offer.decode", json!({"offer": case["bolt12"]}));
                let fields: Vec<Value> = list(&decoded["records"])
                    .iter()
                    .map(|r| {
                        let kind: u64 = r["type"].as_str().unwrap().parse().unwrap();
                        let length = r["value"].as_str().unwrap().len() / 2;
                        json!({"type": kind, "length": length, "hex": r["value"]})
                    })
                    .collect();
                assert_eq!(list(&case["fields"]), fields, "{case}");
                let encoded = ok(
                    "bolt12.offer.encode",
                    json!({"records": decoded["records"]}),
                );
                assert_eq!(encoded["offer"], case["bolt12"]);
            }
        }
    }
    println!("upstream: {} offers", list(&cases).len());
}

#[test]
fn signature_cases() {
    let Some(cases) = cases("bolt12/signature-test.json") else {
        return;
    };
    for case in list(&cases) {
        // The records are spelled out in the leaves' keys only: "H(`LnLeaf`,<hex>)".
        let find = |leaf: &Value, prefix: &str| {
            let (key, value) = leaf
                .as_object()
                .unwrap()
                .iter()
                .find(|(k, _)| k.starts_with(prefix))
                .unwrap();
            let hex = key
                .rsplit_once(',')
                .unwrap()
                .1
                .trim_end_matches(')')
                .to_owned();
            (hex, value.clone())
        };
        let leaves = list(&case["leaves"]);
        let stream: String = leaves
            .iter()
            .map(|leaf| find(leaf, "H(`LnLeaf`").0)
            .collect();
        let known: Vec<String> = (0..100).map(|kind: u32| kind.to_string()).collect();
        let records =
            ok("tlv.decode", json!({"stream": stream, "known": known}))["records"].clone();
        let tree = ok("bolt12.merkle", json!({"records": records}));
        for (name, prefix) in [
            ("leaves", "H(`LnLeaf`"),
            ("nonces", "H(`LnNonce`"),
            ("leaf_nonce_branches", "H(`LnBranch`"),
        ] {
            let want: Value = leaves.iter().map(|leaf| find(leaf, prefix).1).collect();
            assert_eq!(tree[name], want, "{name}");
        }
        let want: Value = list(&case["branches"])
            .iter()
            .map(|b| find(b, "H(`LnBranch`").1)
            .collect();
        assert_eq!(tree["branches"], want);
        assert_eq!(tree["root"], case["merkle"]);

        if let Some(signature) = case.get("signature") {
            let decoded = ok("bolt12.string.decode", json!({"string": case["bolt12"]}));
            assert!(decoded["bytes"].as_str().unwrap().starts_with(&stream));
            let mut params = json!({
                "message_name": "invoice_request", "field_name": "signature",
                "records": records, "secret_key": "42".repeat(32),
            });
            let signed = ok("bolt12.sign", params.clone());
            assert_eq!(signed["digest"], case["H(signature_tag,merkle)"]);
            assert_eq!(&signed["signature"], signature);
            let payer = list(&records).iter().find(|r| r["type"] == "88").unwrap();
            params["public_key"] = payer["value"].clone();
            params["signature"] = signature.clone();
            assert_eq!(ok("bolt12.verify", params)["valid"], true);
        }
    }
    println!("upstream: {} signature cases", list(&cases).len());
}

#[test]
fn onion_trace() {
    let Some(case) = cases("bolt04/onion-test.json") else {
        return;
    };
    let generate = &case["generate"];
    let built = ok("onion.build", generate.clone());
    assert_eq!(built["onion"], case["onion"]);
    let mut onion = case["onion"].clone();
    let hops = list(&generate["hops"]);
    for (at, secret) in list(&case["decode"]).iter().enumerate() {
        let peeled = ok(
            "onion.peel",
            json!({
                "node_secret": secret, "onion": onion, "size": 1300,
                "associated_data": generate["associated_data"],
            }),
        );
        assert_eq!(peeled["payload"], hops[at]["payload"]);
        assert_eq!(peeled["shared_secret"], built["shared_secrets"][at]);
        onion = peeled.get("next_onion").cloned().unwrap_or_default();
    }
    assert!(onion.is_null());
    println!("upstream: {} hops of an onion", hops.len());
}

#[test]
fn route_blinding_trace() {
    let Some(case) = cases("bolt04/route-blinding-test.json") else {
        return;
    };
    let generated = list(&case["generate"]["hops"]);
    // The route is two paths put together; each begins at a hop with a session key.
    let starts: Vec<usize> = (0..generated.len())
        .filter(|&at| generated[at].get("session_key").is_some())
        .collect();
    for (which, &start) in starts.iter().enumerate() {
        let end = starts.get(which + 1).copied().unwrap_or(generated.len());
        let hops: Value = generated[start..end]
            .iter()
            .map(|hop| json!({"pubkey": hop["node_id"], "encrypted_data": hop["encoded_tlvs"]}))
            .collect();
        let built = ok(
            "blinded_path.build",
            json!({"session_key": generated[start]["session_key"], "hops": hops}),
        );
        assert_eq!(built["first_path_key"], generated[start]["path_key"]);
        for (at, hop) in generated[start..end].iter().enumerate() {
            let route = &case["route"]["hops"][start + at];
            let made = &built["hops"][at];
            assert_eq!(made["blinded_node_id"], route["blinded_node_id"]);
            assert_eq!(made["encrypted_recipient_data"], route["encrypted_data"]);
            assert_eq!(built["path_keys"][at], hop["path_key"]);
            assert_eq!(built["shared_secrets"][at], hop["shared_secret"]);
        }
    }
    let unblind = list(&case["unblind"]["hops"]);
    for (at, hop) in unblind.iter().enumerate() {
        let read = ok(
            "blinded_path.unblind",
            json!({
                "node_secret": hop["node_privkey"], "path_key": hop["path_key"],
                "encrypted_recipient_data": case["route"]["hops"][at]["encrypted_data"],
            }),
        );
        assert_eq!(read["tlvs"], hop["decrypted_data"]);
        assert_eq!(read["blinded_secret"], hop["blinded_privkey"]);
        assert_eq!(read["derived_path_key"], hop["next_path_key"]);
        if let Some(next) = unblind.get(at + 1) {
            assert_eq!(read["next_path_key"], next["path_key"]);
        }
    }
    println!("upstream: {} hops of a blinded route", unblind.len());
}
