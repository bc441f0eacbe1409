//! Files whose operations no implementation answers yet: one case an entry or step, so that the
//! report shows what waits. Expectations are as much as the operation's description fixes.

use super::{
    Draft, Named, Reading, UpstreamExpect, bytes, element_lines, field, line_of, list, onion,
};
use super::{parse, string};
use serde_json::json;

fn any() -> UpstreamExpect {
    UpstreamExpect::Result(json!({}))
}

/// The failure that the last hop made and every hop in front wrapped.
pub(super) fn onion_error(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let generate = field(&json, "generate")?;
    let secrets: Vec<String> = list(generate, "hops")?
        .iter()
        .map(|h| bytes(h, "hop_shared_secret"))
        .collect::<Result<_, _>>()?;
    let failure = bytes(generate, "failure_message")?;
    let code = failure
        .get(..4)
        .and_then(|code| u16::from_str_radix(code, 16).ok());
    let code = code.ok_or("`failure_message` has no code")?;
    let last = secrets.len().checked_sub(1).ok_or("there is no hop")?;
    let draft = Draft {
        operation: "onion.failure.decode",
        input: json!({"shared_secrets": secrets, "packet": bytes(&json, "errorpacket")?}),
        expect: UpstreamExpect::Result(json!({"hop": last, "code": code, "data": failure[4..]})),
        covers: Vec::new(),
    };
    out.push(&onion::trace(&json, "onion error"), Some("decode"), draft);
    Ok(())
}

pub(super) fn blinded_payment(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let named = onion::trace(&json, "blinded payment");
    let generate = field(&json, "generate")?;
    let hops = list(field(generate, "full_route")?, "hops")?;
    let draft = onion::build(
        bytes(generate, "session_key")?,
        &bytes(generate, "associated_data")?,
        hops,
        &bytes(generate, "onion")?,
    )?;
    out.push(&named, Some("build"), draft);
    let blinded = list(field(generate, "blinded_route")?, "hops")?.len();
    let first = hops
        .len()
        .checked_sub(blinded)
        .ok_or("the blinded route is longer than the whole")?;
    for (i, hop) in hops.iter().enumerate() {
        let position = match i {
            _ if i < first => "intermediate",
            _ if i + 1 == hops.len() => "blinded-final",
            _ => "blinded-intermediate",
        };
        let draft = Draft {
            operation: "payload.decode",
            input: json!({"payload": bytes(hop, "payload")?, "position": position}),
            expect: any(),
            covers: Vec::new(),
        };
        out.push(&named, Some(&format!("payload-{i}")), draft);
    }
    Ok(())
}

pub(super) fn onion_message(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let named = onion::trace(&json, "onion message");
    for (i, hop) in list(field(&json, "decrypt")?, "hops")?.iter().enumerate() {
        // Upstream names the key `privkey` here and gives the whole message.
        let secret = bytes(hop, "privkey").or_else(|_| bytes(hop, "node_privkey"))?;
        let message = bytes(hop, "onion_message").or_else(|_| bytes(hop, "onionmessage"))?;
        let draft = Draft {
            operation: "onion_message.peel",
            input: json!({"node_secret": secret, "message": message}),
            expect: any(),
            covers: Vec::new(),
        };
        out.push(&named, Some(&format!("peel-{i}")), draft);
    }
    Ok(())
}

pub(super) fn trampoline(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let alice = field(&json, "generate_alice")?;
    let carol = field(&json, "decrypt_carol")?;
    let draft = Draft {
        operation: "trampoline.peel",
        input: json!({
            "node_secret": bytes(carol, "node_privkey")?,
            "onion": bytes(alice, "trampoline_onion")?,
            "associated_data": bytes(alice, "associated_data")?,
        }),
        expect: UpstreamExpect::Result(
            json!({"next_onion": bytes(carol, "next_trampoline_onion")?}),
        ),
        covers: Vec::new(),
    };
    out.push(
        &onion::trace(&json, "trampoline payment"),
        Some("peel-carol"),
        draft,
    );
    Ok(())
}

pub(super) fn trampoline_to_blinded(out: &mut Reading, text: &str) -> Result<(), String> {
    let parsed = parse(text)?;
    let lines = element_lines(text, None);
    for (index, json) in parsed.as_array().ok_or("it is no list")?.iter().enumerate() {
        let line = line_of(&lines, index);
        let draft = (|| {
            let made = field(json, "generate_trampoline_onion")?;
            let carol = field(json, "decrypt_onion_carol")?;
            Ok::<_, String>(Draft {
                operation: "trampoline.peel",
                input: json!({
                    "node_secret": bytes(carol, "node_privkey")?,
                    "onion": bytes(made, "trampoline_onion")?,
                    "associated_data": bytes(made, "associated_data")?,
                }),
                expect: any(),
                covers: Vec::new(),
            })
        })();
        let named = Named {
            line,
            ..onion::trace(json, "trampoline to blinded path")
        };
        match draft {
            Ok(draft) => out.push(&named, Some("peel-carol"), draft),
            Err(message) => out.fault(format_args!("line {line}"), message),
        }
    }
    Ok(())
}

pub(super) fn extended_queries(out: &mut Reading, text: &str) -> Result<(), String> {
    let parsed = parse(text)?;
    let lines = element_lines(text, None);
    for (index, json) in parsed.as_array().ok_or("it is no list")?.iter().enumerate() {
        let line = line_of(&lines, index);
        let case =
            bytes(json, "hex").and_then(|bytes| Ok((bytes, string(field(json, "msg")?, "type")?)));
        match case {
            Ok((bytes, name)) => out.push(
                &Named {
                    group: None,
                    name,
                    json,
                    line,
                },
                None,
                Draft {
                    operation: "gossip.query.decode",
                    input: json!({"bytes": bytes}),
                    expect: any(),
                    covers: Vec::new(),
                },
            ),
            Err(message) => out.fault(format_args!("line {line}"), message),
        }
    }
    Ok(())
}
