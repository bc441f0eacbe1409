//! The transcript as an observation: what of it is the same in every run.
//!
//! Kept are the messages that add an HTLC and take it away, errors, warnings and onion messages. Left
//! out is what keeps channels going, since it comes in an order of its own: commitments and
//! revocations, pings, fees, gossip, and everything about opening a channel and coming back to it. Each
//! peer has a list for each direction, in the order in which things were said; how the two directions
//! lie against each other is left to chance, and not told. An HTLC that is sent again after a
//! reconnection is told once.
//!
//! Of a message there is what follows from the step that caused it: amounts, the records of the
//! payload, the failure as hop, code and data. Values that are drawn, or follow from the height of the
//! chain, are named instead of shown.

use crate::node::Node;
use crate::shot::KEYSEND;
use lnconform_drafts::failure::code;
use lnconform_drafts::payload::kind;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// Longer values are told by their length, in bytes.
const SHOWN: usize = 16;

/// The messages about HTLCs that the peer is told of, and answers.
const OF_HTLCS: [&str; 4] = [
    "update_add_htlc",
    "update_fulfill_htlc",
    "update_fail_htlc",
    "update_fail_malformed_htlc",
];
/// Other messages that are told, by their names.
const OTHERS: [&str; 4] = ["error", "warning", "onion_message", "disconnect"];

/// `probe.transcript` {`payment_hash`, `since`} -> `peers` [{`peer`, `out`, `in`}], `next`.
///
/// With `payment_hash` only the HTLCs of that hash, and the messages that take them away; then other
/// scenarios of the cluster leave no trace. `since` is the `next` of an earlier answer.
pub fn transcript(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let hash = params.maybe("payment_hash", Params::array::<32>)?;
    let since = params.maybe("since", Params::u32)?.unwrap_or(0);
    let lines = node()?.hook.transcript.lines();
    let lines = lines.map_err(|e| OpError::internal(format!("the transcript is gone: {e}")))?;
    let since = usize::try_from(since).unwrap_or(usize::MAX);
    let peers = told(&lines, since, hash.map(hex).as_deref());
    Ok(json!({"peers": peers, "next": lines.len()}))
}

/// What is told of the lines from `since` on.
fn told(lines: &[Value], since: usize, hash: Option<&str>) -> Value {
    let mut peers: Vec<(String, [Vec<Value>; 2])> = Vec::new();
    // HTLCs of that hash: who added them, their channel and number.
    let mut ours = HashSet::new();
    let mut seen = HashSet::new();
    for (at, line) in lines.iter().enumerate() {
        let (Some(peer), Some(message)) = (line["peer"].as_str(), line["message"].as_str()) else {
            continue;
        };
        let out = line["direction"] == "out";
        let place = (
            line["channel_id"].as_str().unwrap_or_default(),
            line["htlc_id"].as_u64(),
        );
        if OF_HTLCS.contains(&message) {
            let adds = message == "update_add_htlc";
            // Who takes an HTLC away is not who has added it.
            let added_by_us = if adds { out } else { !out };
            if adds && hash.is_none_or(|hash| line["payment_hash"] == hash) {
                ours.insert((added_by_us, place));
            }
            if !ours.contains(&(added_by_us, place)) && hash.is_some() {
                continue;
            }
            if !seen.insert((out, message, place)) {
                continue;
            }
        } else if hash.is_some() || !OTHERS.contains(&message) {
            continue;
        }
        if at < since {
            continue;
        }
        let index = peers.iter().position(|(known, _)| known == peer);
        let index = index.unwrap_or_else(|| {
            peers.push((peer.to_owned(), [Vec::new(), Vec::new()]));
            peers.len() - 1
        });
        peers[index].1[usize::from(!out)].push(of_message(message, line));
    }
    peers
        .into_iter()
        .map(|(peer, [out, came])| json!({"peer": peer, "out": out, "in": came}))
        .collect()
}

fn of_message(message: &str, line: &Value) -> Value {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let failure = line.get("failure").map(of_failure);
    ResultObject::new()
        .with("message", message)
        .maybe("amount_msat", text("amount_msat"))
        .maybe("path_key", text("path_key").map(|_| "[key]"))
        .maybe("payload", line.get("payload").map(of_payload))
        .maybe("failure", failure)
        .done()
}

fn of_payload(payload: &Value) -> Value {
    match payload.as_array() {
        Some(records) => records.iter().map(of_record).collect(),
        None => json!({"breaks": payload["breaks"]}),
    }
}

fn of_record(record: &Value) -> Value {
    let number = record["type"].as_str().and_then(|n| n.parse::<u64>().ok());
    let value = record["value"].as_str().unwrap_or_default();
    let shown = match number {
        Some(kind::CLTV) => "[expiry]".to_owned(),
        Some(kind::SHORT_CHANNEL_ID) => "[scid]".to_owned(),
        // A secret, and the total.
        Some(8) => format!("[payment_secret]{}", value.get(64..).unwrap_or_default()),
        Some(KEYSEND) if value.len() == 64 => "[preimage]".to_owned(),
        _ => short(value),
    };
    json!({"type": record["type"], "value": shown})
}

/// Hex, or how many bytes it stands for.
fn short(value: &str) -> String {
    let bytes = value.len() / 2;
    if bytes > SHOWN {
        format!("[{bytes} bytes]")
    } else {
        value.to_owned()
    }
}

fn of_failure(failure: &Value) -> Value {
    let mut shown = ResultObject::new();
    for field in ["hop", "code", "name", "malformed", "reason"] {
        shown = shown.maybe(field, failure.get(field).cloned());
    }
    let data = failure["data"].as_str().map(|data| {
        // BOLT 4, incorrect_or_unknown_payment_details: the amount, and the height of the chain.
        if failure["code"] == code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS && data.len() == 24 {
            format!("{}[height]", &data[..16])
        } else {
            short(data)
        }
    });
    shown.maybe("data", data).done()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(direction: &str, channel: &str, id: u64, hash: &str) -> Value {
        json!({
            "at_ms": 5, "direction": direction, "peer": "02aa", "message": "update_add_htlc",
            "channel_id": channel, "htlc_id": id, "amount_msat": "1000", "payment_hash": hash,
            "cltv_expiry": 700, "height": 600,
            "payload": [
                {"type": "2", "value": "03e8"}, {"type": "4", "value": "02bc"},
                {"type": "8", "value": format!("{}03e8", "11".repeat(32))},
                {"type": "65537", "value": "6869"}, {"type": "5482373484", "value": "22".repeat(32)},
            ],
        })
    }

    fn taken(direction: &str, channel: &str, id: u64, message: &str) -> Value {
        json!({
            "direction": direction, "peer": "02aa", "message": message, "channel_id": channel,
            "htlc_id": id,
        })
    }

    #[test]
    fn what_is_drawn_is_named_and_what_follows_from_the_step_is_shown() {
        let told = told(&[add("out", "c", 0, "aa")], 0, None);
        assert_eq!(told[0]["in"], json!([]));
        let message = &told[0]["out"][0];
        assert_eq!(message["amount_msat"], "1000");
        assert!(message.get("cltv_expiry").is_none() && message.get("at_ms").is_none());
        let values: Vec<&str> = message["payload"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["value"].as_str().unwrap())
            .collect();
        assert_eq!(
            values,
            [
                "03e8",
                "[expiry]",
                "[payment_secret]03e8",
                "6869",
                "[preimage]"
            ]
        );
    }

    #[test]
    fn a_failure_keeps_its_code_and_the_amount_and_not_the_height() {
        let failed = json!({"code": 0x400f, "data": "00000000000003e800000258", "hop": 0});
        let shown = json!({"hop": 0, "code": 0x400f, "data": "00000000000003e8[height]"});
        assert_eq!(of_failure(&failed), shown);
        let malformed = json!({"code": 0xc005, "data": "aa".repeat(32), "malformed": true});
        assert_eq!(of_failure(&malformed)["data"], "[32 bytes]");
    }

    #[test]
    fn a_hash_has_its_own_messages_and_nobody_elses() {
        let lines = [
            add("out", "c", 0, "aa"),
            add("out", "c", 1, "bb"),
            // Another direction numbers its HTLCs by itself.
            add("in", "c", 0, "cc"),
            json!({"direction": "in", "peer": "02aa", "message": "commitment_signed"}),
            json!({"direction": "in", "peer": "02aa", "message": "warning", "data": "x"}),
            taken("in", "c", 1, "update_fail_htlc"),
            taken("in", "c", 0, "update_fulfill_htlc"),
            taken("out", "c", 0, "update_fail_htlc"),
            // Sent again.
            add("out", "c", 0, "aa"),
        ];
        let names = |told: &Value, way: &str| -> Vec<String> {
            let list = told[0][way].as_array().into_iter().flatten();
            list.map(|m| m["message"].as_str().unwrap().to_owned())
                .collect()
        };
        let of_aa = told(&lines, 0, Some("aa"));
        assert_eq!(names(&of_aa, "out"), ["update_add_htlc"]);
        assert_eq!(names(&of_aa, "in"), ["update_fulfill_htlc"]);
        let of_cc = told(&lines, 0, Some("cc"));
        assert_eq!(names(&of_cc, "in"), ["update_add_htlc"]);
        assert_eq!(names(&of_cc, "out"), ["update_fail_htlc"]);
        assert_eq!(told(&lines, 0, Some("dd")), json!([]));
        let late = told(&lines, 3, None);
        assert_eq!(names(&late, "out"), ["update_fail_htlc"]);
        assert_eq!(
            names(&late, "in"),
            ["warning", "update_fail_htlc", "update_fulfill_htlc"]
        );
    }
}
