//! Payments over trampolines, to a node and into a blinded path.

use super::{
    FORWARD, Made, PEEL, Read, Trace, fields, framed, made, record, records, shown_records,
};
use crate::upstream::{
    Named, Reading, bytes, element_lines, field, line_of, list, literal, onion, only, parse,
};
use serde_json::{Value, json};

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
pub(in crate::upstream) fn trampoline(out: &mut Reading, text: &str) -> Result<(), String> {
    let json = parse(text)?;
    let named = onion::trace(&json, "trampoline payment");
    trampoline_steps(out, &named, &json)
}

pub(super) fn trampoline_steps(out: &mut Reading, named: &Named<'_>, json: &Value) -> Read<()> {
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
