//! Payments along a path that ends blinded.

use super::{FORWARD, Made, PEEL, Read, Trace, channel, decimal, fields, framed, hops, position};
use crate::upstream::{Reading, bytes, field, list, onion, parse, string};
use serde_json::{Value, json};

/// A payment along a path that ends blinded.
pub(in crate::upstream) fn blinded_payment(out: &mut Reading, text: &str) -> Result<(), String> {
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
    let mut trace = Trace::new(out, &named);
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

/// A `tu64` of BOLT 1 in hex: without its leading zeros.
fn truncated(number: u64) -> String {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    hex::encode(&bytes[zeros..])
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
            let value = format!(
                "{:04x}{:08x}{}",
                number("cltv_expiry_delta"),
                number("fee_proportional_millionths"),
                truncated(number("fee_base_msat"))
            );
            records.push(json!({"type": "10", "value": value}));
        }
        if let Ok(limits) = field(data, "payment_constraints") {
            let number = |key: &str| limits.get(key).and_then(Value::as_u64).unwrap_or(0);
            let least = truncated(number("htlc_minimum_msat"));
            let value = format!("{:08x}{least}", number("max_cltv_expiry"));
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
