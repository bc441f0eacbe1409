//! The traces with attribution data that stand in the text of BOLT 4.

use super::Trace;
use super::errors::unpadded;
use crate::upstream::{Named, Reading};
use serde_json::json;

/// The traces in the text of BOLT 4: a failure, and a success, with attribution data.
pub(in crate::upstream) fn text(out: &mut Reading, markdown: &str) -> Result<(), String> {
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
    let mut trace = Trace::new(out, &named);
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
