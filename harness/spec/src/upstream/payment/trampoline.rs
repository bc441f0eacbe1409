//! Payments over trampolines, to a node and into a blinded path.

use super::{
    Made, Read, Trace, fields, framed, made, nested, record, records, shown_records, slug,
};
use crate::upstream::{
    Named, Reading, bytes, element_lines, field, line_of, list, onion, only, parse,
};
use serde_json::{Value, json};

const TRAMPOLINE: &[&str] = &["trampoline/receiver/peel"];

/// A trampoline payment through one trampoline to a recipient that is one.
pub(in crate::upstream) fn trampoline(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let named = onion::trace(&json, "trampoline payment");
    trampoline_steps(out, &named, &json)
}

pub(super) fn trampoline_steps(out: &mut Reading, named: &Named<'_>, json: &Value) -> Read<()> {
    let mut trace = Trace::new(out, named);
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

    let beside = json!({"associated_data": inner.associated_data});
    if let Ok(bob) = field(json, "decrypt_bob") {
        trace.peel("bob", bob, &beside, &outer.payload(0)?)?;
    }
    let carol = field(json, "decrypt_carol")?;
    trace.peel("carol", carol, &beside, &outer.payload(1)?)?;
    let input = carols_trampoline(&mut trace, carol, &inner)?;
    let next = bytes(carol, "next_trampoline_onion")?;
    trace.step(
        "carol-next-trampoline-onion",
        "trampoline.peel",
        input,
        json!({ "next_onion": next }),
        TRAMPOLINE,
    );
    trace.step(
        "carol-forwards",
        "trampoline.receive",
        received(&outer.payload(1)?, carol, &beside)?,
        forwarded(&inner, next)?,
        &["trampoline/receiver/next-onion"],
    );

    if let Ok(section) = field(json, "generate_carol") {
        let route = made(section, "hops", "session_key", "onion")?;
        trace.build("carol-build", "onion.build", &route, onion::CONSTRUCTION);
        payloads(&mut trace, "carol-payload", section, "hops", false)?;
        if let Ok(dave) = field(json, "decrypt_dave") {
            trace.peel("dave", dave, &beside, &route.payload(0)?)?;
        }
    }
    if let Ok(eve) = field(json, "decrypt_eve") {
        eve_receives(&mut trace, eve, &beside)?;
    }
    Ok(())
}

/// What Carol finds in the trampoline onion. Answers the input, for what else she makes of it.
fn carols_trampoline(trace: &mut Trace<'_, '_>, carol: &Value, inner: &Made) -> Read<Value> {
    let input = json!({
        "node_secret": bytes(carol, "node_privkey")?,
        "onion": inner.onion,
        "associated_data": inner.associated_data,
    });
    trace.step(
        "carol-trampoline-payload",
        "trampoline.peel",
        input.clone(),
        json!({"payload": inner.payload(0)?}),
        TRAMPOLINE,
    );
    Ok(input)
}

/// What a trampoline is given that is to act on the payload of its hop.
fn received(payload: &str, section: &Value, beside: &Value) -> Read<Value> {
    Ok(json!({
        "payload": payload,
        "node_secret": bytes(section, "node_privkey")?,
        "associated_data": beside["associated_data"],
    }))
}

/// It sends the onion `next` to the node that the first trampoline's payload names.
fn forwarded(inner: &Made, next: String) -> Read<Value> {
    Ok(json!({"action": "forward", "next": {
        "node_id": record(&inner.payload(0)?, 14)?,
        "records": [{"type": "20", "value": next}],
    }}))
}

/// The recipient, who is a trampoline.
fn eve_receives(trace: &mut Trace<'_, '_>, eve: &Value, beside: &Value) -> Read<()> {
    let payload = bytes(eve, "decrypted_payload")?;
    trace.peel("eve", eve, beside, &payload)?;
    let inside = bytes(eve, "decrypted_trampoline_payload")?;
    trace.step(
        "eve-trampoline-payload",
        "trampoline.peel",
        json!({
            "node_secret": bytes(eve, "node_privkey")?,
            "onion": record(&payload, 20)?,
            "associated_data": beside["associated_data"],
        }),
        json!({ "payload": inside }),
        TRAMPOLINE,
    );
    trace.step(
        "eve-receives",
        "trampoline.receive",
        received(&payload, eve, beside)?,
        json!({"action": "receive"}),
        &[
            "trampoline/receiver/final-cltv",
            "trampoline/receiver/final-amount",
        ],
    );
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
        let found = records(&payload, true)?;
        let has = |wanted: u64| found.iter().any(|(kind, _)| *kind == wanted);
        let mut input = json!({
            "payload": payload,
            "position": match (trampoline, last) {
                (true, true) => "trampoline-final",
                (true, false) => "trampoline",
                (false, true) => "final",
                (false, false) => "intermediate",
            },
            "dialect": "trampoline/pr-836",
        });
        // Without the hop's key the data stays sealed; the path key came with the HTLC, unless the
        // payload has it.
        if has(10) && !has(12) {
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
pub(in crate::upstream) fn trampoline_to_blinded(
    out: &mut Reading,
    text: &str,
) -> Result<(), String> {
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
    let mut trace = Trace::new(out, named);
    let path = field(json, "generate_blinded_path_eve")?;
    blinded_path(&mut trace, path)?;

    let inside = field(json, "generate_trampoline_onion")?;
    let inner = if inside.get("hops").is_some() {
        payloads(&mut trace, "trampoline-payload", inside, "hops", true)?;
        made(inside, "hops", "session_key", "trampoline_onion")?
    } else {
        only_trampoline(&mut trace, inside)?
    };
    let beside = json!({"associated_data": inner.associated_data});
    trace.build("trampoline-build", "trampoline.build", &inner, TRAMPOLINE);
    let section = field(json, "generate_payment_onion")?;
    let outer = made(section, "hops", "session_key", "onion")?;
    trace.build("build", "onion.build", &outer, onion::CONSTRUCTION);
    payloads(&mut trace, "payload", section, "hops", false)?;

    let bob = field(json, "relay_payment_bob")?;
    trace.peel("bob", bob, &beside, &outer.payload(0)?)?;
    let carol = field(json, "decrypt_onion_carol")?;
    trace.peel("carol", carol, &beside, &outer.payload(1)?)?;
    carols_trampoline(&mut trace, carol, &inner)?;
    let relay = field(json, "relay_payment_carol")?;
    let onward = made(relay, "hops", "session_key", "onion")?;
    trace.build("carol-build", "onion.build", &onward, onion::CONSTRUCTION);
    payloads(&mut trace, "carol-payload", relay, "hops", false)?;
    let delivers = inner.hops.len() == 1;
    let (expect, cover) = if delivers {
        let expect = json!({"action": "deliver"});
        (expect, "trampoline/receiver/recipient-paths")
    } else {
        let packet = record(&onward.payload(0)?, 20)?;
        let expect = forwarded(&inner, packet)?;
        (expect, "trampoline/receiver/next-onion")
    };
    let input = received(&outer.payload(1)?, carol, &beside)?;
    trace.step(
        "carol-relays",
        "trampoline.receive",
        input,
        expect,
        &[cover],
    );
    let end = match delivers {
        true => delivered,
        false => trampolines_to_the_end,
    };
    end(&mut trace, json, &beside, &onward)
}

/// The onion for a single trampoline, whose fields stand in the section itself.
fn only_trampoline(trace: &mut Trace<'_, '_>, inside: &Value) -> Read<Made> {
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
    Ok(Made {
        session_key: bytes(inside, "session_key")?,
        associated_data: bytes(inside, "associated_data")?,
        hops: vec![json!({
            "pubkey": bytes(inside, "trampoline_node_id")?,
            "payload": payload,
        })],
        shared_secrets: Vec::new(),
        onion: bytes(inside, "trampoline_onion")?,
    })
}

/// The first case: Carol delivers into the path, whose nodes know nothing of trampolines.
fn delivered(trace: &mut Trace<'_, '_>, json: &Value, beside: &Value, onward: &Made) -> Read<()> {
    let dave = field(json, "relay_payment_dave")?;
    let for_dave = onward.payload(0)?;
    trace.peel("dave", dave, beside, &for_dave)?;
    let input = json!({
        "payload": for_dave,
        "position": "blinded-intermediate",
        "node_secret": bytes(dave, "node_privkey")?,
    });
    trace.payload("dave-payload", &input, &fields(field(dave, "tlvs")?)?, &[]);
    let eve = field(json, "receive_payment_eve")?;
    let path_key = bytes(eve, "path_key")?;
    trace.step(
        "dave-payload-next-path-key",
        "payload.decode",
        input,
        json!({ "next_path_key": path_key }),
        &["bolt04/payload/reader/path-key-payload"],
    );
    let payload = onward.payload(1)?;
    let mut with_key = beside.clone();
    with_key["path_key"] = json!(path_key);
    trace.peel("eve", eve, &with_key, &payload)?;
    trace.step(
        "eve-path-id",
        "payload.decode",
        json!({
            "payload": payload,
            "position": "blinded-final",
            "node_secret": bytes(eve, "node_privkey")?,
            "path_key": path_key,
        }),
        json!({"encrypted_data": {"path_id": bytes(eve, "path_id")?}}),
        &["bolt04/payload/reader/path-key-htlc"],
    );
    Ok(())
}

/// The second case: every node of the path is a trampoline.
fn trampolines_to_the_end(
    trace: &mut Trace<'_, '_>,
    json: &Value,
    beside: &Value,
    onward: &Made,
) -> Read<()> {
    let dave = field(json, "decrypt_onion_dave")?;
    let for_dave = onward.payload(0)?;
    trace.peel("dave", dave, beside, &for_dave)?;
    let relay = field(json, "relay_payment_dave")?;
    let last = made(relay, "hops", "session_key", "onion")?;
    trace.build("dave-build", "onion.build", &last, onion::CONSTRUCTION);
    payloads(trace, "dave-payload", relay, "hops", false)?;
    let for_eve = last.payload(0)?;
    // What Dave finds inside, what he makes of it, and what he sends on.
    let input = received(&for_dave, dave, beside)?;
    for (name, value) in fields(field(dave, "trampoline_tlvs")?)? {
        trace.step(
            format!("dave-trampoline-payload-{}", slug(&name)),
            "trampoline.receive",
            input.clone(),
            json!({"payload": nested(&name, &value)}),
            &[
                "trampoline/receiver/path-key",
                "trampoline/receiver/blinded-valid",
            ],
        );
    }
    let hop = list(relay, "hops")?.first().ok_or("a hop is missing")?;
    let path_key = bytes(field(hop, "tlvs")?, "current_path_key")?;
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
    let eve = field(json, "receive_payment_eve")?;
    trace.peel("eve", eve, beside, &for_eve)?;
    let inside = field(field(eve, "tlvs")?, "trampoline_onion")?;
    let input = received(&for_eve, eve, beside)?;
    for (name, value) in fields(inside)? {
        trace.step(
            format!("eve-trampoline-payload-{}", slug(&name)),
            "trampoline.receive",
            input.clone(),
            json!({"action": "receive", "payload": nested(&name, &value)}),
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
