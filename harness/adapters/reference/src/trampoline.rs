//! Trampoline payments: pull request 836, and the prototype as far as it can be told.

use crate::Outcome;
use crate::onion::{associated_data, build_sized, hops, secrets, shown_failure};
use crate::operations::{public_key, records_of, refused, secret_key, shown};
use crate::payload::{object, payload_error, shown_payload, unframed};
use lnconform_drafts::failure;
use lnconform_drafts::onion;
use lnconform_drafts::payload::{self, Context, Dialect, Position};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::trampoline::{
    self, Action, Error, Invoice, Place, Receiver, SendHop, Sender, Whose,
};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

pub(crate) fn dialects() -> Vec<String> {
    [Dialect::Pr836, Dialect::AcinqLegacy]
        .map(|dialect| dialect.name().to_owned())
        .to_vec()
}

/// As `onion.build`; without a `size` the onion is as large as its payloads need.
pub(crate) fn build(rules: &Rules, params: &Value) -> Outcome {
    build_sized(rules, params, onion::needed)
}

pub(crate) fn peel(rules: &Rules, params: &Value) -> Outcome {
    crate::onion::peel(rules, params)
}

/// The failure of a trampoline for the payer: made under the inner secret, hidden under the outer.
pub(crate) fn failure_create(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let inner = p.array::<32>("trampoline_shared_secret")?;
    let outer = p.array::<32>("shared_secret")?;
    let failure = p.hex("failure")?;
    let created =
        failure::create(rules, &inner, &failure, failure::PADDED).map_err(|e| match e {
            failure::CreateError::Rule(violation) => refused(violation),
            other => OpError::invalid(other.to_string()),
        })?;
    Ok(ResultObject::new()
        .with("packet", hex(failure::wrap(&outer, &created.packet)))
        .with("inner_packet", hex(&created.packet))
        .done())
}

/// `downstream_shared_secrets`, where given, are those of the trampoline's own route, whose layers
/// are taken off first.
pub(crate) fn failure_wrap(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let inner = p.array::<32>("trampoline_shared_secret")?;
    let outer = p.array::<32>("shared_secret")?;
    let mut packet = p.hex("packet")?;
    if p.get("downstream_shared_secrets").is_some() {
        for secret in secrets(p, "downstream_shared_secrets")? {
            packet = failure::wrap(&secret, &packet);
        }
    }
    Ok(ResultObject::new()
        .with("unwrapped", hex(&packet))
        .with("inner_packet", hex(failure::wrap(&inner, &packet)))
        .with(
            "packet",
            hex(trampoline::wrap_failure(&inner, &outer, &packet)),
        )
        .done())
}

pub(crate) fn failure_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let outer = secrets(p, "shared_secrets")?;
    let inner = secrets(p, "trampoline_shared_secrets")?;
    let packet = p.hex("packet")?;
    let (whose, decoded) =
        trampoline::decode_failure(rules, &outer, &inner, &packet).map_err(refused)?;
    // What is left under the inner secrets once the outer ones are off.
    let unwrapped = outer.iter().fold(packet.clone(), |packet, secret| {
        failure::wrap(secret, &packet)
    });
    let (hop, inside) = match whose {
        Whose::Hop(hop) => (hop, false),
        Whose::Trampoline(hop) => (hop, true),
    };
    let result = ResultObject::new()
        .with("hop", hop)
        .with("trampoline", inside)
        .maybe("unwrapped", inside.then(|| hex(unwrapped)));
    Ok(shown_failure(result, &decoded).done())
}

/// What a trampoline sends back, by its `place` in a blinded path (`outside`, `introduction`,
/// `inside`): its own `failure`, or with `from_next` the one of the node behind it.
pub(crate) fn failure_answer(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let place = match p.str("place")? {
        "outside" => Place::Outside,
        "introduction" => Place::Introduction,
        "inside" => Place::Inside,
        other => {
            return Err(OpError::invalid(format!(
                "param place is {other}, not outside, introduction or inside"
            )));
        }
    };
    let from_next = p.maybe("from_next", Params::bool)?.unwrap_or(false);
    let answer = trampoline::answer_failure(place, from_next, &p.hex("failure")?, &p.hex("onion")?);
    let code = answer
        .first_chunk::<2>()
        .map_or(0, |code| u16::from_be_bytes(*code));
    Ok(ResultObject::new()
        .with("failure", hex(&answer))
        .with("code", code)
        .maybe("name", failure::find(code).map(|kind| kind.name))
        .done())
}

fn error(error: Error) -> OpError {
    match error {
        Error::Rule(violation) => refused(violation),
        Error::Payload(e) => payload_error(e),
        other => OpError::invalid(other.to_string()),
    }
}

fn send_hop(p: Params<'_>) -> Result<SendHop, OpError> {
    Ok(SendHop {
        pubkey: public_key(p, "pubkey")?,
        records: records_of(p, "records")?,
        supports: p.maybe("supports", Params::bool)?,
    })
}

fn byte_strings(p: Params<'_>, name: &str) -> Result<Vec<Vec<u8>>, OpError> {
    match p.get(name) {
        None => Ok(Vec::new()),
        Some(_) => p
            .list(name)?
            .iter()
            .map(|one| Params::new(&json!({ name: one })).hex(name))
            .collect(),
    }
}

/// Both onions of a payment by the sender's rules.
pub(crate) fn send(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let nothing = json!({});
    let given = object(p, "invoice", Ok)?.unwrap_or(Params::new(&nothing));
    let bolt12 = match given.str("kind")? {
        "bolt11" => false,
        "bolt12" => true,
        other => {
            return Err(OpError::invalid(format!(
                "param kind is {other}, not bolt11 or bolt12"
            )));
        }
    };
    let features = given.maybe("features", Params::hex)?;
    let paths = byte_strings(given, "paths")?;
    let path_data = byte_strings(given, "path_data")?;
    let session_key = secret_key(p, "session_key")?;
    let trampoline_session_key = secret_key(p, "trampoline_session_key")?;
    let associated_data = associated_data(p)?;
    let trampolines = hops(p, "trampoline_hops", send_hop)?;
    let route = hops(p, "hops", send_hop)?;
    let count = |name: &str| -> Result<Option<usize>, OpError> {
        Ok(p.maybe(name, Params::u32)?.map(|n| n as usize))
    };
    let sender = Sender {
        invoice: Invoice {
            bolt12,
            supports: given.bool("trampoline_routing")?,
            payment_secret: given.maybe("payment_secret", Params::array::<32>)?,
            features: features.as_deref(),
            paths: &paths,
            path_data: &path_data,
            path_key: given.maybe("path_key", Params::array::<33>)?,
        },
        session_key: &session_key,
        trampoline_session_key: &trampoline_session_key,
        associated_data: &associated_data,
        trampolines: &trampolines,
        hops: &route,
        carrier: count("carrier")?,
        multi_part: p.maybe("multi_part", Params::bool)?.unwrap_or(false),
        trampoline_size: count("trampoline_size")?,
        size: count("size")?.unwrap_or(onion::PAYMENT_SIZE),
    };
    let (inner, outer) = trampoline::send(rules, &sender).map_err(error)?;
    Ok(ResultObject::new()
        .with("trampoline_onion", hex(inner.packet))
        .with("onion", hex(outer.packet))
        .done())
}

/// What a node does with an outer `payload` that holds a trampoline onion: `action` is `receive`,
/// `forward`, `deliver` (along the recipient's paths) or `wait` (for the other parts).
pub(crate) fn receive(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let stream = unframed(p, "payload")?;
    let secret = secret_key(p, "node_secret")?;
    let associated_data = associated_data(p)?;
    let cltv_expiry = p.maybe("cltv_expiry", Params::u32)?;
    let outer_position = Position {
        last: true,
        trampoline: false,
    };
    let context = Context {
        cltv_expiry,
        dialect: Some(Dialect::Pr836),
        ..Context::default()
    };
    let outer = payload::read(rules, &stream, outer_position, &context).map_err(payload_error)?;
    if outer.trampoline_onion.is_none() {
        return Err(OpError::invalid(
            "param payload holds no trampoline_onion_packet",
        ));
    }
    let receiver = Receiver {
        supports: p.maybe("supports", Params::bool)?.unwrap_or(true),
        secret: &secret,
        associated_data: &associated_data,
        received_msat: match p.maybe("received_msat", Params::u64)? {
            Some(received) => received,
            None => outer.total_msat().unwrap_or_default(),
        },
        cltv_expiry,
    };
    let (inner, action) = trampoline::receive(rules, &outer, &receiver).map_err(error)?;
    let (name, next) = match &action {
        Action::Wait => ("wait", None),
        Action::Receive => ("receive", None),
        Action::Deliver => ("deliver", None),
        Action::Forward { node, records } => {
            let next = ResultObject::new()
                .maybe("node_id", node.map(hex))
                .with("records", shown(records));
            ("forward", Some(next.done()))
        }
    };
    let last = matches!(action, Action::Receive);
    let inner_position = Position {
        last,
        trampoline: true,
    };
    Ok(ResultObject::new()
        .with("action", name)
        .with("payload", shown_payload(&inner, inner_position).done())
        .maybe("next", next)
        .done())
}
