//! Failures on their way back, under one onion and under two.

use super::trampoline::trampoline_steps;
use super::{Read, Trace};
use crate::upstream::{Named, Reading, bytes, element_lines, field, line_of, list, onion, parse};
use serde_json::{Value, json};

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
pub(in crate::upstream) fn trampoline_error(out: &mut Reading, text: &str) -> Result<(), String> {
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

const WRAP: &[&str] = &["bolt04/error/return-packet"];

fn error_steps(out: &mut Reading, named: &Named<'_>, json: &Value) -> Read<()> {
    let mut trace = Trace::new(out, named);
    let mut packet: Option<String> = None;
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
    let packet = wrapped(&mut trace, json, "dave", packet)?;
    let carol = field(json, "failure_carol")?;
    let packet = carols_failure(&mut trace, carol, packet)?;
    let packet = wrapped(&mut trace, json, "bob", Some(packet))?;
    let packet = packet.ok_or("no failure reaches Alice")?;
    alices_failure(&mut trace, field(json, "failure_alice")?, &packet)
}

/// What a failure is made of under two onions; nothing where the file does not say which it is.
fn create(section: &Value, outer: &str, inner: &str) -> Read<Option<Value>> {
    let Some(failure) = section.get("failure").and_then(failure_hex) else {
        return Ok(None);
    };
    Ok(Some(json!({
        "shared_secret": bytes(section, outer)?,
        "trampoline_shared_secret": bytes(section, inner)?,
        "failure": failure,
    })))
}

/// A hop that knows of one onion wraps what came to it. Answers what goes on from there; what came,
/// where the file has no packet of this hop.
fn wrapped(
    trace: &mut Trace<'_, '_>,
    json: &Value,
    who: &str,
    packet: Option<String>,
) -> Read<Option<String>> {
    let Ok(section) = field(json, &format!("failure_{who}")) else {
        return Ok(packet);
    };
    let Ok(made) = bytes(section, "failure_packet") else {
        return Ok(packet);
    };
    if let Some(before) = packet {
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
    Ok(Some(made))
}

/// Carol, a trampoline, wraps what came to her, or makes a failure of her own. Answers her packet.
fn carols_failure(
    trace: &mut Trace<'_, '_>,
    carol: &Value,
    packet: Option<String>,
) -> Read<String> {
    let made = bytes(carol, "failure_packet")?;
    let (outer, inner) = (
        "upstream_onion_shared_secret",
        "upstream_trampoline_onion_shared_secret",
    );
    if carol.get("downstream_shared_secrets").is_some() {
        let input = json!({
            "packet": packet.ok_or("no failure reaches Carol")?,
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
    Ok(made)
}

/// What Alice, the payer, makes of the packet that reaches her.
fn alices_failure(trace: &mut Trace<'_, '_>, alice: &Value, packet: &str) -> Read<()> {
    let input = json!({
        "packet": packet,
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
pub(in crate::upstream) fn onion_error(out: &mut Reading, text: &str) -> Result<(), String> {
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
    let mut trace = Trace::new(out, &named);
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
pub(super) fn unpadded(plain: &str) -> Option<(String, usize)> {
    let bytes = hex::decode(plain).ok()?;
    let length = |at: usize| -> Option<usize> {
        let pair: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(u16::from_be_bytes(pair)))
    };
    let long = length(32)?;
    let failure = bytes.get(34..34 + long)?;
    Some((hex::encode(failure), long + length(34 + long)?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
