//! BOLT 4 and pull request 836: payments, messages and failures step by step. Each file is one trace
//! or a list of them; every value that it gives is a check of its own.

use super::{
    Draft, Named, Reading, UpstreamExpect, bytes, field, list, literal, onion, parse, string,
};
use super::{element_lines, line_of, only};
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
    prefix: &'static str,
}

impl Trace<'_, '_> {
    fn step(
        &mut self,
        step: impl AsRef<str>,
        operation: &'static str,
        input: Value,
        expect: Value,
        covers: &[&'static str],
    ) {
        let step = format!("{}{}", self.prefix, step.as_ref());
        let draft = Draft {
            operation,
            input,
            expect: UpstreamExpect::Result(expect),
            covers: covers.to_vec(),
        };
        self.out.push(self.named, Some(&step), draft);
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
            let slug = name.replace(['_', '.'], "-");
            let expect = name
                .rsplit('.')
                .fold(literal(value.clone()), |inner, key| json!({key: inner}));
            self.step(
                format!("{step}-{slug}"),
                "payload.decode",
                input.clone(),
                expect,
                covers,
            );
        }
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

/// A payment along a path that ends blinded.
pub(super) fn blinded_payment(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let named = onion::trace(&json, "blinded payment");
    let generate = field(&json, "generate")?;
    let route = list(field(generate, "full_route")?, "hops")?;
    let built = Made {
        session_key: bytes(generate, "session_key")?,
        associated_data: bytes(generate, "associated_data")?,
        hops: hops(route)?.0,
        shared_secrets: Vec::new(),
        onion: bytes(generate, "onion")?,
    };
    let decrypt = list(field(&json, "decrypt")?, "hops")?;
    if decrypt.len() != route.len() {
        return Err("`decrypt` has another number of hops than `full_route`".to_owned());
    }
    let blinded = list(field(generate, "blinded_route")?, "hops")?.len();
    let first = route
        .len()
        .checked_sub(blinded)
        .ok_or("the blinded route is longer than the whole")?;
    let mut trace = Trace {
        out,
        named: &named,
        prefix: "",
    };
    trace.build("build", "onion.build", &built, onion::CONSTRUCTION);
    if let Ok(payinfo) = field(generate, "blinded_payinfo") {
        payinfo_steps(&mut trace, payinfo, &route[first..])?;
    }

    // What a hop receives beside the onion: the amount and expiry that the hop in front passes on.
    let mut amount = None;
    let mut path_key: Option<String> = None;
    for (at, (hop, node)) in route.iter().zip(decrypt).enumerate() {
        let secret = bytes(node, "node_privkey")?;
        let packet = bytes(node, "onion")?;
        let mut input = json!({
            "node_secret": secret,
            "onion": packet,
            "associated_data": built.associated_data,
        });
        // The introduction node finds the path key in its payload, later ones in the message.
        if let Some(key) = path_key.as_ref().filter(|_| at > first) {
            input["path_key"] = json!(key);
        }
        trace.step(
            format!("peel-{at}"),
            "onion.peel",
            input.clone(),
            json!({"payload": framed(hop)?}),
            PEEL,
        );
        if let Some(next) = decrypt.get(at + 1) {
            let expect = json!({"next_onion": bytes(next, "onion")?});
            trace.step(
                format!("next-onion-{at}"),
                "onion.peel",
                input,
                expect,
                FORWARD,
            );
        }
        let inside = at >= first;
        let mut input = json!({
            "payload": framed(hop)?,
            "position": match (inside, position(at, route.len())) {
                (false, plain) => plain,
                (true, "final") => "blinded-final",
                (true, _) => "blinded-intermediate",
            },
        });
        if inside {
            input["node_secret"] = json!(secret);
            if let Some(key) = path_key.as_ref().filter(|_| at > first) {
                input["path_key"] = json!(key);
            }
        }
        let tlvs = field(hop, "tlvs")?;
        trace.payload(&format!("payload-{at}"), &input, &fields(tlvs)?, &[]);
        if inside && at + 1 < route.len() {
            let next = bytes(node, "next_path_key")?;
            trace.step(
                format!("payload-{at}-next-path-key"),
                "payload.decode",
                input.clone(),
                json!({"next_path_key": next}),
                &[
                    "bolt04/payload/reader/path-key-htlc",
                    "bolt04/payload/reader/path-key-payload",
                ],
            );
            path_key = Some(next);
        }
        if !inside {
            amount = tlvs
                .get("amt_to_forward")
                .and_then(Value::as_u64)
                .zip(tlvs.get("outgoing_cltv_value").and_then(Value::as_u64));
        } else if let (Some((incoming, expiry)), true) = (amount, at + 1 < route.len()) {
            // Upstream gives what comes in first and what comes out last; between them the sums of
            // the text have to lead from one to the other.
            let relay = field(field(tlvs, "encrypted_recipient_data")?, "payment_relay")?;
            let number = |key: &str| relay.get(key).and_then(Value::as_u64).unwrap_or(0);
            let whole = 1_000_000 + u128::from(number("fee_proportional_millionths"));
            let rest = u128::from(incoming.saturating_sub(number("fee_base_msat")));
            let out_amount = u64::try_from((rest * 1_000_000).div_ceil(whole))
                .map_err(|_| "an amount is beyond 64 bits")?;
            let out_expiry = expiry.saturating_sub(number("cltv_expiry_delta"));
            input["amount_msat"] = json!(incoming.to_string());
            input["cltv_expiry"] = json!(expiry);
            trace.step(
                format!("payload-{at}-forward"),
                "payload.decode",
                input,
                json!({"forward": {"amount_msat": out_amount.to_string(), "cltv_expiry": out_expiry}}),
                &["bolt04/payload/reader/blinded-amount", "bolt04/payload/reader/blinded-cltv"],
            );
            amount = Some((out_amount, out_expiry));
        }
    }
    let (last_amount, last_expiry) = amount.ok_or("no hop in front of the blinded route")?;
    if (Some(last_amount), Some(last_expiry))
        != (
            generate.get("final_amount_msat").and_then(Value::as_u64),
            generate.get("final_cltv").and_then(Value::as_u64),
        )
    {
        return Err("the fees of the blinded route do not lead to `final_amount_msat`".to_owned());
    }
    Ok(())
}

/// Fees and delta of the whole blinded route.
fn payinfo_steps(trace: &mut Trace<'_, '_>, payinfo: &Value, route: &[Value]) -> Read<()> {
    let mut hops = Vec::with_capacity(route.len());
    for hop in route {
        let data = field(field(hop, "tlvs")?, "encrypted_recipient_data")?;
        let mut records = Vec::new();
        if let Ok(id) = string(data, "short_channel_id") {
            let id: u64 = channel(id)?.parse().map_err(|_| "no channel")?;
            records.push(json!({"type": "2", "value": hex::encode(id.to_be_bytes())}));
        }
        if let Ok(relay) = field(data, "payment_relay") {
            let number = |key: &str| relay.get(key).and_then(Value::as_u64).unwrap_or(0);
            let base = number("fee_base_msat").to_be_bytes();
            let base = &base[base.iter().position(|b| *b != 0).unwrap_or(8)..];
            let value = format!(
                "{:04x}{:08x}{}",
                number("cltv_expiry_delta"),
                number("fee_proportional_millionths"),
                hex::encode(base)
            );
            records.push(json!({"type": "10", "value": value}));
        }
        if let Ok(limits) = field(data, "payment_constraints") {
            let number = |key: &str| limits.get(key).and_then(Value::as_u64).unwrap_or(0);
            let least = number("htlc_minimum_msat").to_be_bytes();
            let least = &least[least.iter().position(|b| *b != 0).unwrap_or(8)..];
            let value = format!("{:08x}{}", number("max_cltv_expiry"), hex::encode(least));
            records.push(json!({"type": "12", "value": value}));
        }
        hops.push(json!({ "records": records }));
    }
    let input = json!({"use": "payment", "hops": hops});
    for (name, cover) in [
        ("fee_base_msat", "bolt04/blinded-payment/creator/fee-base"),
        (
            "fee_proportional_millionths",
            "bolt04/blinded-payment/creator/fee-proportional",
        ),
        (
            "cltv_expiry_delta",
            "bolt04/blinded-payment/creator/cltv-delta",
        ),
    ] {
        let value = field(payinfo, name)?;
        let value = if name == "cltv_expiry_delta" {
            value.clone()
        } else {
            decimal(value, name)?
        };
        trace.step(
            format!("payinfo-{}", name.replace('_', "-")),
            "blinded_path.data",
            input.clone(),
            json!({"payinfo": {name: value}}),
            &[cover],
        );
    }
    Ok(())
}

/// A message along a path that was joined from two; older revisions have older names.
pub(super) fn onion_message(out: &mut Reading, text: &str) -> Result<(), String> {
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
    let mut trace = Trace {
        out,
        named: &named,
        prefix: "",
    };

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

const TRAMPOLINE: &[&str] = &["trampoline/receiver/peel"];

/// A peeled onion: what the hop reads, and what it passes on.
fn peel(
    trace: &mut Trace<'_, '_>,
    step: &str,
    section: &Value,
    associated_data: &str,
    path_key: Option<&str>,
    payload: Option<&str>,
) -> Read<()> {
    let mut input = json!({
        "node_secret": bytes(section, "node_privkey")?,
        "onion": bytes(section, "onion")?,
        "associated_data": associated_data,
    });
    if let Some(key) = path_key {
        input["path_key"] = json!(key);
    }
    if let Some(payload) = payload {
        let expect = json!({ "payload": payload });
        trace.step(
            format!("{step}-payload"),
            "onion.peel",
            input.clone(),
            expect,
            PEEL,
        );
    }
    if let Ok(next) = bytes(section, "next_onion") {
        let expect = json!({ "next_onion": next });
        trace.step(
            format!("{step}-next-onion"),
            "onion.peel",
            input,
            expect,
            FORWARD,
        );
    }
    Ok(())
}

/// A trampoline payment through one trampoline to a recipient that is one.
pub(super) fn trampoline(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let named = onion::trace(&json, "trampoline payment");
    trampoline_steps(out, &named, &json)
}

fn trampoline_steps(out: &mut Reading, named: &Named<'_>, json: &Value) -> Read<()> {
    let mut trace = Trace {
        out,
        named,
        prefix: "",
    };
    let alice = field(json, "generate_alice")?;
    let inner = made(
        alice,
        "trampoline_hops",
        "trampoline_session_key",
        "trampoline_onion",
    )?;
    let outer = made(alice, "hops", "session_key", "onion")?;
    trace.build("trampoline-build", "trampoline.build", &inner, TRAMPOLINE);
    trace.build("build", "onion.build", &outer, onion::CONSTRUCTION);
    payloads(
        &mut trace,
        "trampoline-payload",
        alice,
        "trampoline_hops",
        true,
    )?;
    payloads(&mut trace, "payload", alice, "hops", false)?;
    send(&mut trace, alice, &inner, &outer)?;

    let associated = &inner.associated_data;
    let payload_of = |made: &Made, at: usize| -> Read<String> {
        let hop = made.hops.get(at).ok_or("a hop is missing")?;
        bytes(hop, "payload")
    };
    if let Ok(bob) = field(json, "decrypt_bob") {
        peel(
            &mut trace,
            "bob",
            bob,
            associated,
            None,
            Some(&payload_of(&outer, 0)?),
        )?;
    }
    let carol = field(json, "decrypt_carol")?;
    let for_carol = payload_of(&outer, 1)?;
    peel(
        &mut trace,
        "carol",
        carol,
        associated,
        None,
        Some(&for_carol),
    )?;
    let carols_key = bytes(carol, "node_privkey")?;
    let input = json!({
        "node_secret": carols_key,
        "onion": inner.onion,
        "associated_data": associated,
    });
    let next = bytes(carol, "next_trampoline_onion")?;
    trace.step(
        "carol-trampoline-payload",
        "trampoline.peel",
        input.clone(),
        json!({"payload": payload_of(&inner, 0)?}),
        TRAMPOLINE,
    );
    trace.step(
        "carol-next-trampoline-onion",
        "trampoline.peel",
        input,
        json!({ "next_onion": next }),
        TRAMPOLINE,
    );
    let input = json!({
        "payload": for_carol,
        "node_secret": carols_key,
        "associated_data": associated,
    });
    trace.step(
        "carol-forwards",
        "trampoline.receive",
        input,
        json!({"action": "forward", "next": {
            "node_id": record(&payload_of(&inner, 0)?, 14)?,
            "records": [{"type": "20", "value": next}],
        }}),
        &["trampoline/receiver/next-onion"],
    );

    if let Ok(section) = field(json, "generate_carol") {
        let route = made(section, "hops", "session_key", "onion")?;
        trace.build("carol-build", "onion.build", &route, onion::CONSTRUCTION);
        payloads(&mut trace, "carol-payload", section, "hops", false)?;
        if let Ok(dave) = field(json, "decrypt_dave") {
            peel(
                &mut trace,
                "dave",
                dave,
                associated,
                None,
                Some(&payload_of(&route, 0)?),
            )?;
        }
    }
    if let Ok(eve) = field(json, "decrypt_eve") {
        let secret = bytes(eve, "node_privkey")?;
        let payload = bytes(eve, "decrypted_payload")?;
        peel(&mut trace, "eve", eve, associated, None, Some(&payload))?;
        let inside = bytes(eve, "decrypted_trampoline_payload")?;
        let input = json!({
            "node_secret": secret,
            "onion": record(&payload, 20)?,
            "associated_data": associated,
        });
        trace.step(
            "eve-trampoline-payload",
            "trampoline.peel",
            input,
            json!({ "payload": inside }),
            TRAMPOLINE,
        );
        let input = json!({
            "payload": payload,
            "node_secret": secret,
            "associated_data": associated,
        });
        trace.step(
            "eve-receives",
            "trampoline.receive",
            input,
            json!({"action": "receive"}),
            &[
                "trampoline/receiver/final-cltv",
                "trampoline/receiver/final-amount",
            ],
        );
    }
    Ok(())
}

/// A check for each field of each payload of an onion.
fn payloads(
    trace: &mut Trace<'_, '_>,
    step: &str,
    section: &Value,
    hops_key: &str,
    trampoline: bool,
) -> Read<()> {
    let hops = list(section, hops_key)?;
    for (at, hop) in hops.iter().enumerate() {
        let tlvs = hop.get("tlvs").map_or_else(|| field(hop, "payload"), Ok)?;
        let last = at + 1 == hops.len();
        let payload = framed(hop)?;
        let blinded = records(&payload, true)?.iter().any(|(kind, _)| *kind == 10);
        let input = json!({
            "payload": payload,
            "position": match (trampoline, last) {
                (true, true) => "trampoline-final",
                (true, false) => "trampoline",
                (false, true) => "final",
                (false, false) => "intermediate",
            },
            "dialect": "trampoline/pr-836",
        });
        let mut input = input;
        // Without the hop's key the data stays sealed; the path key came with the HTLC, unless the
        // payload has it.
        let inner_key = records(&payload, true)?.iter().any(|(kind, _)| *kind == 12);
        if blinded && !inner_key {
            // Any will do, since nothing is opened with it.
            let any = "02989c0b76cb563971fdc9bef31ec06c3560f3249d6ee9e5d83c57625596e05f6f";
            if trampoline {
                input["outer"] = json!({ "current_path_key": any });
            } else {
                input["path_key"] = json!(any);
            }
        }
        // Fields of what is sealed or wrapped inside belong to others.
        let given: Vec<(String, Value)> = fields(tlvs)?
            .into_iter()
            .filter(|(name, _)| !name.starts_with("encrypted_data."))
            .collect();
        trace.payload(&format!("{step}-{at}"), &input, &given, &[]);
    }
    Ok(())
}

/// Both onions at once, by the sender's rules.
fn send(trace: &mut Trace<'_, '_>, alice: &Value, inner: &Made, outer: &Made) -> Read<()> {
    let hop_of = |hop: &Value, without: u64| -> Read<Value> {
        Ok(json!({
            "pubkey": bytes(hop, "pubkey")?,
            "records": shown_records(&bytes(hop, "payload")?, without)?,
        }))
    };
    let trampolines = inner
        .hops
        .iter()
        .map(|hop| hop_of(hop, u64::MAX))
        .collect::<Read<Value>>()?;
    let hops = outer
        .hops
        .iter()
        .map(|hop| hop_of(hop, 20))
        .collect::<Read<Value>>()?;
    let last = list(alice, "trampoline_hops")?
        .last()
        .ok_or("there is no trampoline")?;
    let secret = bytes(field(last, "payload")?, "payment_secret")?;
    let input = json!({
        "invoice": {"kind": "bolt11", "trampoline_routing": true, "payment_secret": secret},
        "session_key": outer.session_key,
        "trampoline_session_key": inner.session_key,
        "associated_data": inner.associated_data,
        "trampoline_hops": trampolines,
        "hops": hops,
    });
    for (step, name, onion, covers) in [
        (
            "send-trampoline-onion",
            "trampoline_onion",
            &inner.onion,
            [
                "trampoline/sender/amount-cltv",
                "trampoline/sender/outgoing-node",
                "trampoline/sender/payment-secret",
            ]
            .as_slice(),
        ),
        (
            "send-onion",
            "onion",
            &outer.onion,
            [
                "trampoline/sender/session-keys",
                "trampoline/sender/last-hop",
            ]
            .as_slice(),
        ),
    ] {
        trace.step(
            step,
            "trampoline.send",
            input.clone(),
            json!({name: onion}),
            covers,
        );
    }
    Ok(())
}

/// Payments to a blinded path, whose recipient is a trampoline or is none.
pub(super) fn trampoline_to_blinded(out: &mut Reading, text: &str) -> Result<(), String> {
    let parsed = parse(text)?;
    let lines = element_lines(text, None);
    for (index, json) in parsed.as_array().ok_or("it is no list")?.iter().enumerate() {
        let line = line_of(&lines, index);
        let named = Named {
            line,
            ..onion::trace(json, "trampoline to blinded path")
        };
        if let Err(message) = to_blinded_steps(out, &named, json) {
            out.fault(format_args!("line {line}"), message);
        }
    }
    Ok(())
}

fn to_blinded_steps(out: &mut Reading, named: &Named<'_>, json: &Value) -> Read<()> {
    let mut trace = Trace {
        out,
        named,
        prefix: "",
    };
    let path = field(json, "generate_blinded_path_eve")?;
    blinded_path(&mut trace, path)?;

    let inside = field(json, "generate_trampoline_onion")?;
    let associated = bytes(inside, "associated_data")?;
    let inner = if inside.get("hops").is_some() {
        payloads(&mut trace, "trampoline-payload", inside, "hops", true)?;
        made(inside, "hops", "session_key", "trampoline_onion")?
    } else {
        // One trampoline; its fields stand in the section itself.
        let payload = bytes(inside, "encoded_tlvs")?;
        let input = json!({"payload": payload, "position": "trampoline-final"});
        // The section holds the finished onion as well, which is no field of the payload.
        let given: Vec<_> = fields(inside)?
            .into_iter()
            .filter(|(name, _)| name != "trampoline_onion_packet")
            .collect();
        trace.payload(
            "trampoline-payload-0",
            &input,
            &given,
            &["trampoline/receiver/recipient-paths"],
        );
        let features = json!({"recipient_features": record(&payload, 21)?});
        trace.step(
            "trampoline-payload-0-recipient-features",
            "payload.decode",
            input,
            features,
            &["trampoline/receiver/recipient-features"],
        );
        Made {
            session_key: bytes(inside, "session_key")?,
            associated_data: associated.clone(),
            hops: vec![json!({
                "pubkey": bytes(inside, "trampoline_node_id")?,
                "payload": payload,
            })],
            shared_secrets: Vec::new(),
            onion: bytes(inside, "trampoline_onion")?,
        }
    };
    trace.build("trampoline-build", "trampoline.build", &inner, TRAMPOLINE);
    let section = field(json, "generate_payment_onion")?;
    let outer = made(section, "hops", "session_key", "onion")?;
    trace.build("build", "onion.build", &outer, onion::CONSTRUCTION);
    payloads(&mut trace, "payload", section, "hops", false)?;

    let payload_of = |made: &Made, at: usize| -> Read<String> {
        let hop = made.hops.get(at).ok_or("a hop is missing")?;
        bytes(hop, "payload")
    };
    let bob = field(json, "relay_payment_bob")?;
    peel(
        &mut trace,
        "bob",
        bob,
        &associated,
        None,
        Some(&payload_of(&outer, 0)?),
    )?;
    let carol = field(json, "decrypt_onion_carol")?;
    let for_carol = payload_of(&outer, 1)?;
    peel(
        &mut trace,
        "carol",
        carol,
        &associated,
        None,
        Some(&for_carol),
    )?;
    let carols_key = bytes(carol, "node_privkey")?;
    let input = json!({
        "node_secret": carols_key,
        "onion": inner.onion,
        "associated_data": associated,
    });
    trace.step(
        "carol-trampoline-payload",
        "trampoline.peel",
        input,
        json!({"payload": payload_of(&inner, 0)?}),
        TRAMPOLINE,
    );
    let relay = field(json, "relay_payment_carol")?;
    let onward = made(relay, "hops", "session_key", "onion")?;
    trace.build("carol-build", "onion.build", &onward, onion::CONSTRUCTION);
    payloads(&mut trace, "carol-payload", relay, "hops", false)?;
    let delivers = inner.hops.len() == 1;
    let input = json!({
        "payload": for_carol,
        "node_secret": carols_key,
        "associated_data": associated,
    });
    let (expect, covers): (Value, &[&'static str]) = if delivers {
        (
            json!({"action": "deliver"}),
            &["trampoline/receiver/recipient-paths"],
        )
    } else {
        let packet = record(&payload_of(&onward, 0)?, 20)?;
        (
            json!({"action": "forward", "next": {
                "node_id": record(&payload_of(&inner, 0)?, 14)?,
                "records": [{"type": "20", "value": packet}],
            }}),
            &["trampoline/receiver/next-onion"],
        )
    };
    trace.step("carol-relays", "trampoline.receive", input, expect, covers);

    let eve = field(json, "receive_payment_eve")?;
    if delivers {
        let dave = field(json, "relay_payment_dave")?;
        peel(
            &mut trace,
            "dave",
            dave,
            &associated,
            None,
            Some(&payload_of(&onward, 0)?),
        )?;
        let input = json!({
            "payload": payload_of(&onward, 0)?,
            "position": "blinded-intermediate",
            "node_secret": bytes(dave, "node_privkey")?,
        });
        trace.payload("dave-payload", &input, &fields(field(dave, "tlvs")?)?, &[]);
        let path_key = bytes(eve, "path_key")?;
        trace.step(
            "dave-payload-next-path-key",
            "payload.decode",
            input,
            json!({ "next_path_key": path_key }),
            &["bolt04/payload/reader/path-key-payload"],
        );
        let payload = payload_of(&onward, 1)?;
        peel(
            &mut trace,
            "eve",
            eve,
            &associated,
            Some(&path_key),
            Some(&payload),
        )?;
        let input = json!({
            "payload": payload,
            "position": "blinded-final",
            "node_secret": bytes(eve, "node_privkey")?,
            "path_key": path_key,
        });
        trace.step(
            "eve-path-id",
            "payload.decode",
            input,
            json!({"encrypted_data": {"path_id": bytes(eve, "path_id")?}}),
            &["bolt04/payload/reader/path-key-htlc"],
        );
        return Ok(());
    }
    trampolines_to_the_end(&mut trace, json, &associated, &onward, eve)
}

/// The second case: every node of the path is a trampoline.
fn trampolines_to_the_end(
    trace: &mut Trace<'_, '_>,
    json: &Value,
    associated: &str,
    onward: &Made,
    eve: &Value,
) -> Read<()> {
    let first = |made: &Made| -> Read<String> {
        bytes(made.hops.first().ok_or("a hop is missing")?, "payload")
    };
    let dave = field(json, "decrypt_onion_dave")?;
    let for_dave = first(onward)?;
    peel(trace, "dave", dave, associated, None, Some(&for_dave))?;
    let daves_key = bytes(dave, "node_privkey")?;
    let relay = field(json, "relay_payment_dave")?;
    let last = made(relay, "hops", "session_key", "onion")?;
    trace.build("dave-build", "onion.build", &last, onion::CONSTRUCTION);
    payloads(trace, "dave-payload", relay, "hops", false)?;
    let for_eve = first(&last)?;
    // What Dave finds inside, what he makes of it, and what he sends on.
    let found = fields(field(dave, "trampoline_tlvs")?)?;
    let input = json!({
        "payload": for_dave,
        "node_secret": daves_key,
        "associated_data": associated,
    });
    for (name, value) in found {
        let expect = name
            .rsplit('.')
            .fold(literal(value), |inner, key| json!({key: inner}));
        trace.step(
            format!("dave-trampoline-payload-{}", name.replace(['_', '.'], "-")),
            "trampoline.receive",
            input.clone(),
            json!({ "payload": expect }),
            &[
                "trampoline/receiver/path-key",
                "trampoline/receiver/blinded-valid",
            ],
        );
    }
    let tlvs = field(
        list(relay, "hops")?.first().ok_or("a hop is missing")?,
        "tlvs",
    )?;
    let path_key = bytes(tlvs, "current_path_key")?;
    trace.step(
        "dave-relays",
        "trampoline.receive",
        input,
        json!({"action": "forward", "next": {"records": [
            {"type": "12", "value": path_key},
            {"type": "20", "value": record(&for_eve, 20)?},
        ]}}),
        &[
            "trampoline/receiver/next-path-key",
            "trampoline/receiver/next-onion",
        ],
    );
    peel(trace, "eve", eve, associated, None, Some(&for_eve))?;
    let inside = field(field(eve, "tlvs")?, "trampoline_onion")?;
    let input = json!({
        "payload": for_eve,
        "node_secret": bytes(eve, "node_privkey")?,
        "associated_data": associated,
    });
    for (name, value) in fields(inside)? {
        let expect = name
            .rsplit('.')
            .fold(literal(value), |inner, key| json!({key: inner}));
        trace.step(
            format!("eve-trampoline-payload-{}", name.replace(['_', '.'], "-")),
            "trampoline.receive",
            input.clone(),
            json!({"action": "receive", "payload": expect}),
            &["trampoline/receiver/path-key"],
        );
    }
    Ok(())
}

fn blinded_path(trace: &mut Trace<'_, '_>, path: &Value) -> Read<()> {
    let hops = list(path, "hops")?;
    // Where the session key is not given, the path can be read but not built.
    let Ok(session_key) = bytes(path, "session_key") else {
        return Ok(());
    };
    let made = hops
        .iter()
        .map(|hop| {
            Ok(json!({"pubkey": bytes(hop, "node_id")?, "encrypted_data": bytes(hop, "encoded_tlvs")?}))
        })
        .collect::<Read<Value>>()?;
    let input = json!({"session_key": session_key, "hops": made});
    trace.step(
        "path-first-path-key",
        "blinded_path.build",
        input.clone(),
        json!({"first_path_key": bytes(path, "path_key")?}),
        &["bolt04/blinding/writer/first-path-key"],
    );
    for (at, hop) in hops.iter().enumerate() {
        for (step, name, value, cover) in [
            (
                "blinded-node-id",
                "blinded_node_id",
                bytes(hop, "blinded_node_id")?,
                "bolt04/blinding/writer/blinded-id",
            ),
            (
                "encrypted-data",
                "encrypted_recipient_data",
                bytes(hop, "encrypted_data")?,
                "bolt04/blinding/writer/encrypt",
            ),
        ] {
            trace.step(
                format!("path-{step}-{at}"),
                "blinded_path.build",
                input.clone(),
                json!({"hops": only(at, hops.len(), json!({name: value}))}),
                &[cover],
            );
        }
    }
    Ok(())
}

/// A failure as the file writes it out, as code and data in hex.
fn failure_hex(failure: &Value) -> Option<String> {
    if let Some(text) = failure.as_str() {
        return Some(text.split_whitespace().collect());
    }
    let number = |key: &str| failure.get(key).and_then(Value::as_u64).unwrap_or(0);
    match failure.get("type").and_then(Value::as_str)? {
        "incorrect_or_unknown_payment_details" => Some(format!(
            "400f{:016x}{:08x}",
            number("htlc_msat"),
            number("height")
        )),
        "temporary_trampoline_failure" => Some("2019".to_owned()),
        "unknown_next_trampoline" => Some("401b".to_owned()),
        _ => None,
    }
}

/// Failures under two onions.
pub(super) fn trampoline_error(out: &mut Reading, text: &str) -> Result<(), String> {
    let parsed = parse(text)?;
    let lines = element_lines(text, None);
    let cases = match &parsed {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    let single = !parsed.is_array();
    for (index, json) in cases.into_iter().enumerate() {
        let line = if single { 1 } else { line_of(&lines, index) };
        let named = Named {
            line,
            ..onion::trace(json, "trampoline failure")
        };
        let mut steps = || -> Read<()> {
            if json.get("generate_alice").is_some()
                && json.get("generate_blinded_path_eve").is_none()
            {
                trampoline_steps(out, &named, json)?;
            }
            error_steps(out, &named, json)
        };
        if let Err(message) = steps() {
            out.fault(format_args!("line {line}"), message);
        }
    }
    Ok(())
}

fn error_steps(out: &mut Reading, named: &Named<'_>, json: &Value) -> Read<()> {
    const WRAP: &[&str] = &["bolt04/error/return-packet"];
    let mut trace = Trace {
        out,
        named,
        prefix: "",
    };
    let mut packet: Option<String> = None;
    let create = |section: &Value, outer: &str, inner: &str| -> Read<Option<Value>> {
        let Some(failure) = section.get("failure").and_then(failure_hex) else {
            return Ok(None);
        };
        Ok(Some(json!({
            "shared_secret": bytes(section, outer)?,
            "trampoline_shared_secret": bytes(section, inner)?,
            "failure": failure,
        })))
    };
    if let Ok(eve) = field(json, "failure_eve") {
        let made = bytes(eve, "failure_packet")?;
        if let Some(input) = create(eve, "onion_shared_secret", "trampoline_onion_shared_secret")? {
            trace.step(
                "eve-failure-packet",
                "trampoline.failure.create",
                input,
                json!({ "packet": made }),
                WRAP,
            );
        }
        packet = Some(made);
    }
    let wrapped = |trace: &mut Trace<'_, '_>, who: &str, packet: &mut Option<String>| -> Read<()> {
        let Ok(section) = field(json, &format!("failure_{who}")) else {
            return Ok(());
        };
        let Ok(made) = bytes(section, "failure_packet") else {
            return Ok(());
        };
        if let Some(before) = packet.take() {
            let input = json!({
                "shared_secret": bytes(section, "onion_shared_secret")?,
                "packet": before,
            });
            trace.step(
                format!("{who}-failure-packet"),
                "onion.failure.wrap",
                input,
                json!({ "packet": made }),
                WRAP,
            );
        }
        *packet = Some(made);
        Ok(())
    };
    wrapped(&mut trace, "dave", &mut packet)?;
    let carol = field(json, "failure_carol")?;
    let made = bytes(carol, "failure_packet")?;
    let (outer, inner) = (
        "upstream_onion_shared_secret",
        "upstream_trampoline_onion_shared_secret",
    );
    if carol.get("downstream_shared_secrets").is_some() {
        let input = json!({
            "packet": packet.take().ok_or("no failure reaches Carol")?,
            "downstream_shared_secrets": field(carol, "downstream_shared_secrets")?,
            "shared_secret": bytes(carol, outer)?,
            "trampoline_shared_secret": bytes(carol, inner)?,
        });
        for (step, name, value) in [
            (
                "carol-unwrapped-failure",
                "unwrapped",
                bytes(carol, "downstream_unwrapped_failure")?,
            ),
            ("carol-failure-packet", "packet", made.clone()),
        ] {
            trace.step(
                step,
                "trampoline.failure.wrap",
                input.clone(),
                json!({name: value}),
                WRAP,
            );
        }
    } else if let Some(input) = create(carol, outer, inner)? {
        trace.step(
            "carol-failure-packet",
            "trampoline.failure.create",
            input,
            json!({ "packet": made }),
            WRAP,
        );
    }
    packet = Some(made);
    wrapped(&mut trace, "bob", &mut packet)?;
    let alice = field(json, "failure_alice")?;
    let input = json!({
        "packet": packet.ok_or("no failure reaches Alice")?,
        "shared_secrets": field(alice, "onion_shared_secrets")?,
        "trampoline_shared_secrets": field(alice, "trampoline_onion_shared_secrets")?,
    });
    if let Ok(unwrapped) = bytes(alice, "unwrapped_onion_failure") {
        let expect = json!({ "unwrapped": unwrapped });
        trace.step(
            "alice-unwrapped-failure",
            "trampoline.failure.decode",
            input.clone(),
            expect,
            &["bolt04/error/hmac"],
        );
    }
    if let Some(failure) = alice.get("decrypted_failure").and_then(failure_hex) {
        trace.step(
            "alice-failure",
            "trampoline.failure.decode",
            input,
            json!({"trampoline": true, "failure": failure}),
            &["bolt04/error/hmac"],
        );
    }
    Ok(())
}

/// The failure that the last hop made and every hop in front wrapped.
pub(super) fn onion_error(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let generate = field(&json, "generate")?;
    let hops = list(generate, "hops")?;
    let secrets: Vec<String> = hops
        .iter()
        .map(|h| bytes(h, "hop_shared_secret"))
        .collect::<Result<_, _>>()?;
    let failure = bytes(generate, "failure_message")?;
    let code = failure
        .get(..4)
        .and_then(|code| u16::from_str_radix(code, 16).ok());
    let code = code.ok_or("`failure_message` has no code")?;
    let last = secrets.len().checked_sub(1).ok_or("there is no hop")?;
    let packet = bytes(&json, "errorpacket")?;
    let named = onion::trace(&json, "onion error");
    let mut trace = Trace {
        out,
        named: &named,
        prefix: "",
    };
    let hop = &hops[last];
    let input = json!({"shared_secret": secrets[last], "failure": failure});
    if let Ok(um) = bytes(hop, "um_key") {
        trace.step(
            "um",
            "onion.keys",
            json!({"shared_secret": secrets[last]}),
            json!({ "um": um }),
            &["bolt04/onion/keys"],
        );
    }
    if let Ok(body) = bytes(hop, "payload") {
        // The HMAC in front is not given.
        trace.step(
            "plain",
            "onion.failure.plain",
            input,
            json!({ "body": body }),
            &["bolt04/error/pad-least", "bolt04/error/pad-exact"],
        );
    }
    for (at, hop) in hops.iter().enumerate() {
        if let Ok(ammag) = bytes(hop, "ammag_key") {
            trace.step(
                format!("ammag-{at}"),
                "onion.keys",
                json!({"shared_secret": secrets[at]}),
                json!({ "ammag": ammag }),
                &["bolt04/onion/keys"],
            );
        }
    }
    let input = json!({"shared_secrets": secrets, "packet": packet});
    for (step, expect) in [
        ("hop", json!({ "hop": last })),
        ("code", json!({ "code": code })),
        ("data", json!({"data": failure[4..]})),
    ] {
        trace.step(
            format!("decode-{step}"),
            "onion.failure.decode",
            input.clone(),
            expect,
            &["bolt04/error/hmac"],
        );
    }
    Ok(())
}

/// The failure in a packet that is not hidden, and how many bytes it has together with the padding.
fn unpadded(plain: &str) -> Option<(String, usize)> {
    let bytes = hex::decode(plain).ok()?;
    let length = |at: usize| -> Option<usize> {
        let pair: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(u16::from_be_bytes(pair)))
    };
    let long = length(32)?;
    let failure = bytes.get(34..34 + long)?;
    Some((hex::encode(failure), long + length(34 + long)?))
}

/// The traces in the text of BOLT 4: a failure, and a success, with attribution data.
pub(super) fn text(out: &mut Reading, markdown: &str) -> Result<(), String> {
    let section = markdown
        .split_once("\n# Test Vector")
        .map(|(_, section)| section)
        .ok_or("it has no test vectors")?;
    let (failing, succeeding) = section
        .split_once("\n## Returning success")
        .unwrap_or((section, ""));
    let line = markdown[..markdown.len() - section.len()].lines().count();
    let values = |text: &str, key: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.trim().strip_prefix(key))
            .filter_map(|rest| rest.trim_start().strip_prefix('='))
            .map(|value| value.trim().trim_start_matches("0x").to_owned())
            .collect()
    };
    let after = |text: &str, key: &str| -> Option<String> {
        let (_, rest) = text.split_once(key)?;
        let value: String = rest.split_whitespace().next()?.to_owned();
        hex::decode(&value).ok().map(|_| value)
    };
    let failure = values(failing, "encoded_failure_message");
    let plain = values(failing, "raw_error_packet");
    let (Some(encoded), Some(plain)) = (failure.first(), plain.first()) else {
        return Err("the failure that is returned is not there".to_owned());
    };
    // What the text calls the encoded message has the padding behind it: the lengths in the packet
    // say where it ends.
    let (failure, padded) = unpadded(plain).ok_or("the packet's lengths are not true")?;
    if !encoded.starts_with(&failure) {
        return Err("the packet holds another failure".to_owned());
    }
    let mut secrets = values(failing, "shared_secret");
    // The failing hop's stands there twice: once where it makes the failure.
    secrets.dedup();
    let ammags = values(failing, "ammag_key");
    let times: Vec<u32> = (0..secrets.len())
        .filter_map(|node| {
            let key = format!("htlc_hold_time[{node}]");
            values(failing, &key).first()?.parse().ok()
        })
        .collect();
    // Texts from before attribution data have no times. Where there are some, the text numbers them
    // from the payer on, but what it then shows holds them, under its HMACs, in the order in which
    // the nodes meet the failure: the first of them is the failing node's.
    let times = (times.len() == secrets.len()).then(|| times.into_iter().rev().collect::<Vec<_>>());
    let json = json!({"failure": failure, "packet": plain, "shared_secrets": secrets});
    let named = Named {
        group: Some("returning-errors"),
        name: "returning errors",
        json: &json,
        line,
    };
    let mut trace = Trace {
        out,
        named: &named,
        prefix: "",
    };
    // The failing hop is the last one; the list begins with it.
    let count = secrets.len();
    let mut packet: Option<(String, Option<String>)> = None;
    for (at, secret) in secrets.iter().enumerate() {
        let node = count - 1 - at;
        let time = times.as_ref().map(|times| times[node]);
        let made = after(failing, &format!("error packet for node {node}:"))
            .ok_or("an error packet is missing")?;
        let data = after(failing, &format!("attribution data for node {node}:"));
        // What this hop hides, and what attribution data came with it.
        let (before, came) = match packet.take() {
            None => (plain.clone(), None),
            Some((before, came)) => (before, came),
        };
        let input = if at == 0 {
            let input = json!({"shared_secret": secret, "failure": failure, "pad_to": padded});
            trace.step(
                "plain",
                "onion.failure.plain",
                input.clone(),
                json!({ "plain": plain }),
                &["bolt04/error/pad-least"],
            );
            input
        } else {
            json!({"shared_secret": secret, "packet": before})
        };
        trace.step(
            format!("packet-{node}"),
            if at == 0 {
                "onion.failure.create"
            } else {
                "onion.failure.wrap"
            },
            input,
            json!({ "packet": made }),
            &["bolt04/error/return-packet"],
        );
        let mut key = |name: &str, value: &str| {
            trace.step(
                format!("{name}-{node}"),
                "onion.keys",
                json!({ "shared_secret": secret }),
                json!({name: value}),
                &["bolt04/onion/keys"],
            );
        };
        if let (0, Some(um)) = (at, values(failing, "um_key").first()) {
            key("um", um);
        }
        if let Some(ammag) = ammags.get(at) {
            key("ammag", ammag);
        }
        if let (Some(data), Some(time)) = (&data, time) {
            let covers: &[&'static str] = if at == 0 {
                &["bolt04/error/attribution-begin"]
            } else {
                &[
                    "bolt04/error/attribution-transform",
                    "bolt04/error/attribution-update",
                ]
            };
            trace.attribution(
                format!("attribution-{node}"),
                secret,
                Some(&before),
                came.as_deref(),
                time,
                data,
                covers,
            );
        }
        packet = Some((made, data));
    }
    let mut route = secrets.clone();
    route.reverse();
    let Some((packet, data)) = packet else {
        return Err("there is no hop".to_owned());
    };
    for (step, expect) in [
        ("failure", json!({ "failure": failure })),
        ("hop", json!({"hop": count - 1})),
    ] {
        trace.step(
            format!("decode-{step}"),
            "onion.failure.decode",
            json!({"shared_secrets": route, "packet": packet}),
            expect,
            &["bolt04/error/hmac"],
        );
    }
    if let (Some(data), Some(times)) = (&data, &times) {
        trace.step(
            "decode-hold-times",
            "onion.attribution.decode",
            json!({"shared_secrets": route, "packet": packet, "attribution_data": data}),
            json!({"hold_times": times, "hop": count - 1}),
            &["bolt04/error/attribution-hmac"],
        );
    }

    let Some(times) = times else {
        return Ok(());
    };
    let mut before: Option<String> = None;
    for (at, secret) in secrets.iter().enumerate() {
        let node = count - 1 - at;
        let Some(data) = after(succeeding, &format!("attribution data for node {node}:")) else {
            break;
        };
        trace.attribution(
            format!("success-attribution-{node}"),
            secret,
            None,
            before.as_deref(),
            times[node],
            &data,
            &["bolt04/error/attribution-update"],
        );
        before = Some(data);
    }
    if let Some(data) = before {
        trace.step(
            "success-hold-times",
            "onion.attribution.decode",
            json!({"shared_secrets": route, "attribution_data": data}),
            json!({ "hold_times": times }),
            &["bolt04/error/attribution-hmac"],
        );
    }
    Ok(())
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

    #[test]
    fn failures_are_written_out() {
        let details =
            json!({"type": "incorrect_or_unknown_payment_details", "htlc_msat": 1, "height": 2});
        assert_eq!(
            failure_hex(&details),
            Some(format!("400f{:016x}{:08x}", 1, 2))
        );
        assert_eq!(failure_hex(&json!("40 0f")), Some("400f".into()));
        assert_eq!(failure_hex(&json!({"type": "another"})), None);
        assert_eq!(unpadded(&"00".repeat(36)), Some((String::new(), 0)));
        assert_eq!(unpadded("00"), None);
    }
}
