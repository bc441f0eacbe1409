//! Onion messages along a blinded path.

use super::Trace;
use crate::upstream::{Reading, bytes, field, list, onion, parse};
use serde_json::{Value, json};

/// A message along a path that was joined from two; older revisions have older names.
pub(in crate::upstream) fn onion_message(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let named = onion::trace(&json, "onion message");
    let generate = field(&json, "generate")?;
    let made = list(generate, "hops")?;
    let route = field(&json, "route")?;
    let blinded = list(route, "hops")?;
    let sent = field(&json, "onionmessage")?;
    let decrypt = list(field(&json, "decrypt")?, "hops")?;
    let either =
        |value: &Value, new: &str, old: &str| bytes(value, new).or_else(|_| bytes(value, old));
    let mut trace = Trace::new(out, &named);

    let packet = bytes(sent, "onion_message_packet")?;
    let mut stops = Vec::with_capacity(blinded.len());
    for (hop, ids) in blinded.iter().zip(made) {
        // The file leaves the id of the first hop out of the route.
        let id = bytes(hop, "blinded_node_id").or_else(|_| bytes(ids, "blinded_node_id"))?;
        stops.push(json!({
            "pubkey": id,
            "encrypted_recipient_data": bytes(hop, "encrypted_recipient_data")?,
        }));
    }
    if let (Some(stop), Ok(greeting)) = (stops.last_mut(), bytes(sent, "unknown_tag_1")) {
        stop["records"] = json!([{"type": "1", "value": greeting}]);
    }
    let input = json!({
        "session_key": bytes(generate, "session_key")?,
        "path_key": either(route, "first_path_key", "blinding")
            .or_else(|_| bytes(route, "path_key"))?,
        "hops": stops,
        "size": (packet.len() / 2).saturating_sub(66),
    });
    trace.step(
        "build",
        "onion_message.build",
        input,
        json!({"onion": packet}),
        &[
            "bolt04/onion-message/writer/sphinx",
            "bolt04/onion-message/writer/version",
        ],
    );

    for (at, (hop, node)) in made.iter().zip(decrypt).enumerate() {
        let input = json!({
            "node_secret": either(node, "privkey", "node_privkey")?,
            "path_key": bytes(hop, "E")?,
            "encrypted_recipient_data": bytes(hop, "encrypted_recipient_data")?,
        });
        let mut unblind = |name: &str, field: &str, value: String, cover: &'static str| {
            let inside = matches!(field, "shared_secret" | "rho");
            trace.step(
                format!("unblind-{at}-{name}"),
                if inside {
                    "blinded_path.keys"
                } else {
                    "blinded_path.unblind"
                },
                input.clone(),
                json!({field: value}),
                &[cover],
            );
        };
        unblind(
            "tlvs",
            "tlvs",
            bytes(hop, "encrypted_data_tlv")?,
            "bolt04/blinding/open",
        );
        unblind(
            "shared-secret",
            "shared_secret",
            bytes(hop, "ss")?,
            "bolt04/blinding/shared-secret",
        );
        unblind("rho", "rho", bytes(hop, "rho")?, "bolt04/blinding/rho");
        // One path: the key of the hop behind; where two are joined the data overrides it.
        if let Some(next) = made.get(at + 1) {
            let next = bytes(next, "E")?;
            unblind(
                "next-path-key",
                "next_path_key",
                next,
                "bolt04/blinding/next-path-key",
            );
        }
    }
    for (at, node) in decrypt.iter().enumerate() {
        let input = json!({
            "node_secret": either(node, "privkey", "node_privkey")?,
            "message": either(node, "onion_message", "onionmessage")?,
        });
        match decrypt.get(at + 1) {
            Some(next) => {
                trace.step(
                    format!("peel-{at}-next-node"),
                    "onion_message.peel",
                    input.clone(),
                    json!({"next": {"node_id": bytes(node, "next_node_id")?}}),
                    &["bolt04/onion-message/reader/forward"],
                );
                trace.step(
                    format!("peel-{at}-message"),
                    "onion_message.peel",
                    input,
                    json!({"next": {"message": either(next, "onion_message", "onionmessage")?}}),
                    &[
                        "bolt04/onion-message/reader/decrypt",
                        "bolt04/onion-message/reader/next-path-key",
                    ],
                );
            }
            None => {
                trace.step(
                    format!("peel-{at}-final"),
                    "onion_message.peel",
                    input,
                    json!({"final": true}),
                    &["bolt04/onion-message/reader/decrypt"],
                );
            }
        }
    }
    Ok(())
}
