//! BOLT 4: onion construction and decryption, route blinding. Each file is one trace.

use super::{Draft, Named, Reading, UpstreamExpect, bytes, field, list, only, parse};
use serde_json::{Value, json};

pub(super) const CONSTRUCTION: &[&str] = &[
    "bolt04/onion/keys",
    "bolt04/onion/stream",
    "bolt04/onion/construction/shared-secret",
    "bolt04/onion/construction/blinding-factor",
    "bolt04/onion/construction/ephemeral-key",
    "bolt04/onion/construction/padding",
    "bolt04/onion/construction/shift",
    "bolt04/onion/construction/layer",
    "bolt04/onion/construction/obfuscate",
    "bolt04/onion/construction/filler",
    "bolt04/onion/construction/hmac",
];

/// Bytes of an onion beside its payloads: version, key, HMAC.
const FRAME: usize = 1 + 33 + 32;

/// The name of a trace: its comment, else the file's own.
pub(super) fn trace<'a>(json: &'a Value, else_name: &'a str) -> Named<'a> {
    let name = json
        .get("comment")
        .and_then(Value::as_str)
        .unwrap_or(else_name);
    Named {
        group: None,
        name,
        json,
        line: 1,
    }
}

/// Params and result of `onion.build` from a list of hops with `pubkey` and `payload`. Payloads
/// have their length in front, in the files and in the operation.
pub(super) fn build(
    session_key: String,
    associated_data: &str,
    hops: &[Value],
    onion: &str,
) -> Result<Draft, String> {
    let hops: Vec<Value> = hops
        .iter()
        .map(|hop| Ok(json!({"pubkey": bytes(hop, "pubkey")?, "payload": bytes(hop, "payload")?})))
        .collect::<Result<_, String>>()?;
    let size = (onion.len() / 2)
        .checked_sub(FRAME)
        .ok_or("`onion` is shorter than its frame")?;
    Ok(Draft {
        operation: "onion.build",
        input: json!({
            "session_key": session_key,
            "associated_data": associated_data,
            "hops": hops,
            "size": size,
        }),
        expect: UpstreamExpect::Result(json!({"onion": onion})),
        covers: CONSTRUCTION.to_vec(),
    })
}

pub(super) fn onion(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let named = trace(&json, "onion");
    let generate = field(&json, "generate")?;
    let associated_data = bytes(generate, "associated_data")?;
    let hops = list(generate, "hops")?;
    let onion = bytes(&json, "onion")?;
    out.push(
        &named,
        Some("build"),
        build(
            bytes(generate, "session_key")?,
            &associated_data,
            hops,
            &onion,
        )?,
    );

    let payloads: Vec<String> = hops
        .iter()
        .map(|h| bytes(h, "payload"))
        .collect::<Result<_, _>>()?;
    let secrets = list(&json, "decode")?;
    if secrets.is_empty()
        || secrets.len() != payloads.len()
        || !secrets.iter().all(Value::is_string)
    {
        return Err("`decode` is no list of one secret a hop".to_owned());
    }
    // The file holds the onion of the first hop only.
    out.push(
        &named,
        Some("peel-0"),
        Draft {
            operation: "onion.peel",
            input: json!({
                "node_secret": secrets[0],
                "onion": onion,
                "associated_data": associated_data,
            }),
            expect: UpstreamExpect::Result(json!({"payload": payloads[0]})),
            covers: vec!["bolt04/onion/keys", "bolt04/onion/stream"],
        },
    );
    out.push(
        &named,
        Some("peel-route"),
        Draft {
            operation: "onion.peel_route",
            input: json!({
                "node_secrets": secrets,
                "onion": onion,
                "associated_data": associated_data,
            }),
            expect: UpstreamExpect::Result(json!({"payloads": payloads})),
            covers: vec![
                "bolt04/onion/forward-version",
                "bolt04/onion/forward-public-key",
                "bolt04/onion/forward-payloads",
                "bolt04/onion/forward-hmac",
            ],
        },
    );
    Ok(())
}

pub(super) fn route_blinding(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let named = trace(&json, "route blinding");
    let hops = list(field(&json, "generate")?, "hops")?;
    // The route is put together from several: a hop with a session key begins one.
    let starts: Vec<usize> = (0..hops.len())
        .filter(|&i| hops[i].get("session_key").is_some())
        .collect();
    if starts.first() != Some(&0) {
        return Err("the first hop has no `session_key`".to_owned());
    }
    for (number, &start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(hops.len());
        blind(out, &named, number, start, &hops[start..end])?;
    }
    let unblind = list(field(&json, "unblind")?, "hops")?;
    if unblind.len() != hops.len() {
        return Err("`unblind` has another number of hops than `generate`".to_owned());
    }
    for (i, (hop, made)) in unblind.iter().zip(hops).enumerate() {
        unblind_hop(out, &named, i, hop, made)?;
    }
    Ok(())
}

/// Steps of one path: the path itself, then every value of every hop, counted over the whole route.
fn blind(
    out: &mut Reading,
    named: &Named<'_>,
    number: usize,
    start: usize,
    hops: &[Value],
) -> Result<(), String> {
    let all = |key: &str| {
        hops.iter()
            .map(|h| bytes(h, key))
            .collect::<Result<Vec<_>, _>>()
    };
    let node_ids = all("node_id")?;
    let path_keys = all("path_key")?;
    let blinded = all("blinded_node_id")?;
    let encrypted = all("encrypted_data")?;
    let made: Vec<Value> = node_ids
        .iter()
        .zip(all("encoded_tlvs")?)
        .map(|(id, tlvs)| json!({"pubkey": id, "encrypted_data": tlvs}))
        .collect();
    let input = json!({"session_key": bytes(&hops[0], "session_key")?, "hops": made});
    // What only the builder knows has an operation of its own.
    let mut step = |step: String, expect: Value, covers: &[&'static str]| {
        let known = ["path_keys", "path_secrets", "shared_secrets", "rhos"];
        let inside = known.iter().any(|name| expect.get(name).is_some());
        let draft = Draft {
            operation: if inside {
                "blinded_path.trace"
            } else {
                "blinded_path.build"
            },
            input: input.clone(),
            expect: UpstreamExpect::Result(expect),
            covers: covers.to_vec(),
        };
        out.push(named, Some(&step), draft);
    };
    let path: Vec<Value> = blinded
        .iter()
        .zip(&encrypted)
        .map(|(id, data)| json!({"blinded_node_id": id, "encrypted_recipient_data": data}))
        .collect();
    step(
        format!("path-{number}"),
        json!({"first_node_id": node_ids[0], "first_path_key": path_keys[0], "hops": path}),
        &[
            "bolt04/blinding/writer/first-node-id",
            "bolt04/blinding/writer/first-path-key",
            "bolt04/blinding/writer/blinded-id-set",
        ],
    );
    for (i, hop) in hops.iter().enumerate() {
        let at = |value: Value| only(i, hops.len(), value);
        let hop_number = start + i;
        let mut one = |name: &str, field: &str, value: Value, covers: &[&'static str]| {
            step(
                format!("{name}-{hop_number}"),
                json!({field: at(value)}),
                covers,
            );
        };
        let key = if i == 0 {
            "bolt04/blinding/writer/first-key"
        } else {
            "bolt04/blinding/writer/next-key"
        };
        one("path-key", "path_keys", path_keys[i].clone().into(), &[key]);
        let secret = bytes(hop, "path_privkey")?.into();
        one(
            "path-secret",
            "path_secrets",
            secret,
            &["bolt04/blinding/writer/next-secret"],
        );
        let shared = bytes(hop, "shared_secret")?.into();
        one(
            "shared-secret",
            "shared_secrets",
            shared,
            &["bolt04/blinding/writer/shared-secret"],
        );
        one(
            "rho",
            "rhos",
            bytes(hop, "rho")?.into(),
            &["bolt04/blinding/writer/rho"],
        );
        one(
            "blinded-node-id",
            "hops",
            json!({"blinded_node_id": blinded[i]}),
            &["bolt04/blinding/writer/blinded-id"],
        );
        one(
            "encrypted-data",
            "hops",
            json!({"encrypted_recipient_data": encrypted[i]}),
            &["bolt04/blinding/writer/encrypt"],
        );
    }
    Ok(())
}

fn unblind_hop(
    out: &mut Reading,
    named: &Named<'_>,
    number: usize,
    hop: &Value,
    made: &Value,
) -> Result<(), String> {
    let input = json!({
        "node_secret": bytes(hop, "node_privkey")?,
        "path_key": bytes(hop, "path_key")?,
        "encrypted_recipient_data": bytes(made, "encrypted_data")?,
    });
    let mut step = |step: &str, expect: Value, covers: &[&'static str]| {
        let inside = ["blinded_secret", "shared_secret", "rho"]
            .iter()
            .any(|name| expect.get(name).is_some());
        let draft = Draft {
            operation: if inside {
                "blinded_path.keys"
            } else {
                "blinded_path.unblind"
            },
            input: input.clone(),
            expect: UpstreamExpect::Result(expect),
            covers: covers.to_vec(),
        };
        out.push(named, Some(&format!("unblind-{number}{step}")), draft);
    };
    step(
        "",
        json!({"tlvs": bytes(hop, "decrypted_data")?}),
        &["bolt04/blinding/open"],
    );
    // The file gives the derived key also where the data overrides it.
    let derived = bytes(hop, "next_path_key")?;
    let overridden = hop.get("next_path_key_override").is_some();
    let (next, rule) = if overridden {
        let key = bytes(hop, "next_path_key_override")?;
        (key, "bolt04/blinding/next-path-key-override")
    } else {
        (derived.clone(), "bolt04/blinding/next-path-key")
    };
    step("-next-path-key", json!({"next_path_key": next}), &[rule]);
    if overridden {
        let rule = "bolt04/blinding/next-path-key";
        step(
            "-derived-path-key",
            json!({"derived_path_key": derived}),
            &[rule],
        );
    }
    let secret = bytes(hop, "blinded_privkey")?;
    step(
        "-blinded-secret",
        json!({"blinded_secret": secret}),
        &["bolt04/blinding/blinded-secret"],
    );
    let shared = bytes(made, "shared_secret")?;
    step(
        "-shared-secret",
        json!({"shared_secret": shared}),
        &["bolt04/blinding/shared-secret"],
    );
    step(
        "-rho",
        json!({"rho": bytes(made, "rho")?}),
        &["bolt04/blinding/rho"],
    );
    Ok(())
}
