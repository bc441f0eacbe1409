//! BOLT 4 and pull request 836: payments, messages and failures step by step. Each file is one trace
//! or a list of them; every value that it gives is a check of its own.

mod blinded;
mod errors;
mod onion_message;
mod text;
mod trampoline;

pub(super) use blinded::blinded_payment;
pub(super) use errors::{onion_error, trampoline_error};
pub(super) use onion_message::onion_message;
pub(super) use text::text;
pub(super) use trampoline::{trampoline, trampoline_to_blinded};

use super::{Draft, Named, Reading, UpstreamExpect, bytes, field, list, literal, only, string};
use serde_json::{Map, Value, json};

type Read<T> = Result<T, String>;

const PEEL: &[&str] = &["bolt04/onion/keys", "bolt04/onion/stream"];
const FORWARD: &[&str] = &[
    "bolt04/onion/forward-version",
    "bolt04/onion/forward-public-key",
    "bolt04/onion/forward-payloads",
    "bolt04/onion/forward-hmac",
];

/// One trace, and where its steps go.
struct Trace<'a, 'b> {
    out: &'a mut Reading,
    named: &'a Named<'b>,
}

impl<'a, 'b> Trace<'a, 'b> {
    fn new(out: &'a mut Reading, named: &'a Named<'b>) -> Self {
        Self { out, named }
    }

    fn step(
        &mut self,
        step: impl AsRef<str>,
        operation: &'static str,
        input: Value,
        expect: Value,
        covers: &[&'static str],
    ) {
        let draft = Draft {
            operation,
            input,
            expect: UpstreamExpect::Result(expect),
            covers: covers.to_vec(),
        };
        self.out.push(self.named, Some(step.as_ref()), draft);
    }

    /// A check for every field that the file gives of a payload.
    fn payload(
        &mut self,
        step: &str,
        input: &Value,
        fields: &[(String, Value)],
        covers: &[&'static str],
    ) {
        for (name, value) in fields {
            self.step(
                format!("{step}-{}", slug(name)),
                "payload.decode",
                input.clone(),
                nested(name, value),
                covers,
            );
        }
    }

    /// A peeled onion: what the hop reads, and what it passes on where the file says so. `beside` is
    /// what comes with the onion: its associated data, and a path key.
    fn peel(&mut self, step: &str, section: &Value, beside: &Value, payload: &str) -> Read<()> {
        let mut input = json!({
            "node_secret": bytes(section, "node_privkey")?,
            "onion": bytes(section, "onion")?,
        });
        for (name, value) in beside.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        self.step(
            format!("{step}-payload"),
            "onion.peel",
            input.clone(),
            json!({ "payload": payload }),
            PEEL,
        );
        if let Ok(next) = bytes(section, "next_onion") {
            let expect = json!({ "next_onion": next });
            self.step(
                format!("{step}-next-onion"),
                "onion.peel",
                input,
                expect,
                FORWARD,
            );
        }
        Ok(())
    }

    /// What a hop makes of attribution data: `packet` is the failure before it hides it.
    #[expect(
        clippy::too_many_arguments,
        reason = "one each, and named where they are given"
    )]
    fn attribution(
        &mut self,
        step: String,
        secret: &str,
        packet: Option<&str>,
        came: Option<&str>,
        time: u32,
        made: &str,
        covers: &[&'static str],
    ) {
        let mut input = json!({"shared_secret": secret, "hold_time": time});
        for (name, value) in [("packet", packet), ("attribution_data", came)] {
            if let Some(value) = value {
                input[name] = json!(value);
            }
        }
        let expect = json!({ "attribution_data": made });
        self.step(step, "onion.attribution.update", input, expect, covers);
    }

    /// The whole onion, and what each hop shares with the sender where the file says so.
    fn build(&mut self, step: &str, operation: &'static str, made: &Made, covers: &[&'static str]) {
        let mut input = json!({
            "session_key": made.session_key,
            "associated_data": made.associated_data,
            "hops": made.hops,
        });
        input["size"] = json!((made.onion.len() / 2).saturating_sub(66));
        self.step(
            step,
            operation,
            input.clone(),
            json!({"onion": made.onion}),
            covers,
        );
        for (at, secret) in made.shared_secrets.iter().enumerate() {
            if let Some(secret) = secret {
                let expect = json!({"shared_secrets": only(at, made.hops.len(), json!(secret))});
                self.step(
                    format!("{step}-shared-secret-{at}"),
                    operation,
                    input.clone(),
                    expect,
                    &["bolt04/onion/construction/shared-secret"],
                );
            }
        }
    }
}

/// What an onion is made of.
struct Made {
    session_key: String,
    associated_data: String,
    hops: Vec<Value>,
    shared_secrets: Vec<Option<String>>,
    onion: String,
}

impl Made {
    /// The payload of a hop.
    fn payload(&self, at: usize) -> Read<String> {
        bytes(self.hops.get(at).ok_or("a hop is missing")?, "payload")
    }
}

/// The name of a field as a part of an id.
fn slug(name: &str) -> String {
    name.replace(['_', '.'], "-")
}

/// A field alone; a dotted name is a field inside.
fn nested(name: &str, value: &Value) -> Value {
    let inner = literal(value.clone());
    name.rsplit('.')
        .fold(inner, |inner, key| json!({key: inner}))
}

/// The payload of a hop, behind its length, whatever the file calls it.
fn framed(hop: &Value) -> Read<String> {
    if let Some(payload) = hop.get("payload").filter(|p| p.is_object()) {
        return bytes(payload, "hex");
    }
    bytes(hop, "encoded_tlvs").or_else(|_| bytes(hop, "payload"))
}

fn key(hop: &Value) -> Read<String> {
    bytes(hop, "node_id").or_else(|_| bytes(hop, "pubkey"))
}

fn hops(hops: &[Value]) -> Read<(Vec<Value>, Vec<Option<String>>)> {
    let made = hops
        .iter()
        .map(|hop| Ok(json!({"pubkey": key(hop)?, "payload": framed(hop)?})))
        .collect::<Read<_>>()?;
    let secrets = hops
        .iter()
        .map(|hop| bytes(hop, "shared_secret").ok())
        .collect();
    Ok((made, secrets))
}

fn made(section: &Value, hops_key: &str, session: &str, onion: &str) -> Read<Made> {
    let (hops, shared_secrets) = hops(list(section, hops_key)?)?;
    Ok(Made {
        session_key: bytes(section, session)?,
        associated_data: bytes(section, "associated_data")?,
        hops,
        shared_secrets,
        onion: bytes(section, onion)?,
    })
}

/// The records of a payload in hex behind its length, or of a bare stream.
fn records(hex_text: &str, is_framed: bool) -> Read<Vec<(u64, Vec<u8>)>> {
    let all = hex::decode(hex_text).map_err(|_| "a payload is not hex".to_owned())?;
    let mut rest = all.as_slice();
    let number = |rest: &mut &[u8]| -> Read<u64> {
        let short = || "a payload ends inside a number".to_owned();
        let (first, after) = rest.split_first().ok_or_else(short)?;
        let width = match first {
            0xfd => 2,
            0xfe => 4,
            0xff => 8,
            _ => {
                *rest = after;
                return Ok(u64::from(*first));
            }
        };
        let (number, after) = after.split_at_checked(width).ok_or_else(short)?;
        *rest = after;
        Ok(number.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    };
    if is_framed && number(&mut rest)? != rest.len() as u64 {
        return Err("a payload has another length than it says".to_owned());
    }
    let mut found = Vec::new();
    while !rest.is_empty() {
        let kind = number(&mut rest)?;
        let length = usize::try_from(number(&mut rest)?).unwrap_or(usize::MAX);
        let (value, after) = rest
            .split_at_checked(length)
            .ok_or("a record reaches beyond its payload")?;
        rest = after;
        found.push((kind, value.to_vec()));
    }
    Ok(found)
}

fn record(payload: &str, kind: u64) -> Read<String> {
    records(payload, true)?
        .into_iter()
        .find(|(found, _)| *found == kind)
        .map(|(_, value)| hex::encode(value))
        .ok_or_else(|| format!("a payload has no record {kind}"))
}

/// The records of a payload as operations take them, without the one of type `without`.
fn shown_records(payload: &str, without: u64) -> Read<Value> {
    Ok(records(payload, true)?
        .into_iter()
        .filter(|(kind, _)| *kind != without)
        .map(|(kind, value)| json!({"type": kind.to_string(), "value": hex::encode(value)}))
        .collect())
}

/// `572330x7x1105` as one number.
fn channel(text: &str) -> Read<String> {
    let parts: Vec<u64> = text
        .split('x')
        .filter_map(|part| part.parse().ok())
        .collect();
    match parts.as_slice() {
        [block, transaction, output] => Ok((block << 40 | transaction << 16 | output).to_string()),
        _ => Err(format!("`{text}` is no short channel id")),
    }
}

fn decimal(value: &Value, what: &str) -> Read<Value> {
    match value.as_u64() {
        Some(number) => Ok(json!(number.to_string())),
        None => Err(format!("`{what}` is no number")),
    }
}

/// What the file says of a payload, in the names of `payload.decode`; a dotted name is a field
/// inside.
fn fields(tlvs: &Value) -> Read<Vec<(String, Value)>> {
    let map = tlvs
        .as_object()
        .ok_or("the fields of a payload are no object")?;
    let mut found = Vec::new();
    let mut push = |name: &str, value: Value| found.push((name.to_owned(), value));
    for (name, value) in map {
        match name.as_str() {
            "amt_to_forward" => push("amt_to_forward", decimal(value, name)?),
            "outgoing_cltv" | "outgoing_cltv_value" => push("outgoing_cltv_value", value.clone()),
            "short_channel_id" | "outgoing_channel_id" => {
                push("short_channel_id", channel(string(tlvs, name)?)?.into());
            }
            "outgoing_node_id" | "current_path_key" => push(name, bytes(tlvs, name)?.into()),
            "payment_secret" => push("payment_data.payment_secret", bytes(tlvs, name)?.into()),
            "total_amount_msat" if map.contains_key("payment_secret") => {
                push("payment_data.total_msat", decimal(value, name)?);
            }
            "total_amount_msat" => push("total_amount_msat", decimal(value, name)?),
            "trampoline_onion" if value.is_string() => {
                push("trampoline_onion_packet", bytes(tlvs, name)?.into());
            }
            "encrypted_recipient_data" if value.is_string() => {
                push("encrypted_recipient_data", bytes(tlvs, name)?.into());
            }
            "encrypted_recipient_data" => {
                for (inner, value) in data_fields(value)? {
                    push(&format!("encrypted_data.{inner}"), value);
                }
            }
            "recipient_blinded_paths" => push("recipient_blinded_paths", paths(value)?),
            _ => {}
        }
    }
    Ok(found)
}

/// The same of the data inside.
fn data_fields(data: &Value) -> Read<Vec<(&'static str, Value)>> {
    let map = data.as_object().ok_or("the sealed data is no object")?;
    let mut found = Vec::new();
    for (name, value) in map {
        match name.as_str() {
            "short_channel_id" => {
                found.push(("short_channel_id", channel(string(data, name)?)?.into()));
            }
            "outgoing_node_id" | "next_node_id" => {
                found.push(("next_node_id", bytes(data, name)?.into()));
            }
            "path_id" => found.push(("path_id", bytes(data, name)?.into())),
            "next_path_key_override" => {
                found.push(("next_path_key_override", bytes(data, name)?.into()));
            }
            "payment_relay" => {
                let mut relay = Map::new();
                for key in [
                    "cltv_expiry_delta",
                    "fee_proportional_millionths",
                    "fee_base_msat",
                ] {
                    // A truncated integer of zero is left out.
                    let number = value.get(key).cloned().unwrap_or(json!(0));
                    relay.insert(key.to_owned(), number);
                }
                found.push(("payment_relay", Value::Object(relay)));
            }
            "payment_constraints" => {
                let limits = json!({
                    "max_cltv_expiry": field(value, "max_cltv_expiry")?,
                    "htlc_minimum_msat":
                        decimal(field(value, "htlc_minimum_msat")?, "htlc_minimum_msat")?,
                });
                found.push(("payment_constraints", limits));
            }
            "allowed_features" if list(value, "features").is_ok_and(Vec::is_empty) => {
                found.push(("allowed_features", json!("")));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn paths(value: &Value) -> Read<Value> {
    let list_of = value
        .as_array()
        .ok_or("the recipient's paths are no list")?;
    list_of
        .iter()
        .map(|one| {
            let path = field(one, "blinded_path")?;
            let hops = list(path, "hops")?
                .iter()
                .map(|hop| {
                    Ok(json!({
                        "blinded_node_id": bytes(hop, "blinded_node_id")?,
                        "encrypted_recipient_data": bytes(hop, "encrypted_data")?,
                    }))
                })
                .collect::<Read<Value>>()?;
            Ok(json!({
                "first_node_id": bytes(path, "introduction_node_id")?,
                "first_path_key": bytes(path, "path_key")?,
                "hops": hops,
            }))
        })
        .collect()
}

fn position(at: usize, count: usize) -> &'static str {
    if at + 1 == count {
        "final"
    } else {
        "intermediate"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_one_number() {
        assert_eq!(channel("0x0x10"), Ok("10".into()));
        assert_eq!(
            channel("1x2x3"),
            Ok((1_u64 << 40 | 2 << 16 | 3).to_string())
        );
        assert!(channel("1x2").is_err());
    }

    #[test]
    fn fields_get_the_names_of_the_operation() {
        let tlvs = json!({
            "amt_to_forward": 5,
            "outgoing_cltv": 6,
            "outgoing_channel_id": "0x0x7",
            "payment_secret": "AA",
            "total_amount_msat": 8,
            "encrypted_recipient_data": {
                "padding": "00",
                "payment_relay": {"cltv_expiry_delta": 1, "fee_proportional_millionths": 2},
                "allowed_features": {"features": []},
            },
            "comment": "not a field",
        });
        let found: Map<String, Value> = fields(&tlvs).unwrap().into_iter().collect();
        let want = json!({
            "amt_to_forward": "5",
            "outgoing_cltv_value": 6,
            "short_channel_id": "7",
            "payment_data.payment_secret": "aa",
            "payment_data.total_msat": "8",
            "encrypted_data.payment_relay":
                {"cltv_expiry_delta": 1, "fee_proportional_millionths": 2, "fee_base_msat": 0},
            "encrypted_data.allowed_features": "",
        });
        assert_eq!(Value::Object(found), want);
        // Without a payment secret it is another field.
        let blinded = fields(&json!({"total_amount_msat": 8})).unwrap();
        assert_eq!(blinded, [("total_amount_msat".to_owned(), json!("8"))]);
    }

    #[test]
    fn records_are_found_behind_the_length() {
        assert_eq!(
            record("05020101060109", 6),
            Err("a payload has another length than it says".into())
        );
        assert_eq!(record("06020101060109", 6), Ok("09".into()));
        assert!(record("03020101", 6).is_err());
        assert!(records("fd00", true).is_err());
        let shown = shown_records("06020101060109", 6).unwrap();
        assert_eq!(shown, json!([{"type": "2", "value": "01"}]));
    }
}
