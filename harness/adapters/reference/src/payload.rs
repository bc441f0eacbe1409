//! Payloads of onion hops, and multi-part payments.

use crate::Outcome;
use crate::blinded_path::shown_data;
use crate::onion::is_framed;
use crate::operations::{path, records_of, refused, secret_key, shown, unchecked};
use lnconform_drafts::bigsize;
use lnconform_drafts::failure;
use lnconform_drafts::mpp::{self, Part};
use lnconform_drafts::onion::frame;
use lnconform_drafts::payload::{
    self, Channel, Context, Dialect, Error, Outer, Payload, Position, Writer,
};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv;
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

fn position(p: Params<'_>) -> Result<Position, OpError> {
    let name = p.str("position")?;
    Position::find(name).ok_or_else(|| {
        OpError::invalid(format!(
            "param position is {name}, not intermediate, final, blinded-intermediate, \
             blinded-final, trampoline or trampoline-final"
        ))
    })
}

fn dialect(p: Params<'_>) -> Result<Option<Dialect>, OpError> {
    p.maybe("dialect", |p, name| {
        let text = p.str(name)?;
        match Dialect::find(text) {
            Some(dialect @ (Dialect::Pr836 | Dialect::AcinqLegacy)) => Ok(dialect),
            _ => Err(OpError::invalid(format!(
                "param dialect is {text}, not trampoline/pr-836 or trampoline/acinq-legacy"
            ))),
        }
    })
}

/// A list of 64-bit numbers in decimal.
pub(crate) fn numbers(p: Params<'_>, name: &str) -> Result<Vec<u64>, OpError> {
    p.list(name)?
        .iter()
        .map(|one| Params::new(&json!({ name: one })).number(name))
        .collect()
}

fn maybe_numbers(p: Params<'_>, name: &str) -> Result<Option<Vec<u64>>, OpError> {
    p.get(name).map(|_| numbers(p, name)).transpose()
}

/// An object among the params.
pub(crate) fn object<'a, T>(
    p: Params<'a>,
    name: &str,
    read: impl Fn(Params<'a>) -> Result<T, OpError>,
) -> Result<Option<T>, OpError> {
    match p.get(name) {
        None => Ok(None),
        Some(value) if value.is_object() => read(Params::new(value)).map(Some),
        Some(_) => Err(OpError::invalid(format!("param {name} is no object"))),
    }
}

fn u16_of(p: Params<'_>, name: &str) -> Result<u16, OpError> {
    u16::try_from(p.u32(name)?)
        .map_err(|_| OpError::invalid(format!("param {name} is no number below 2^16")))
}

/// The payload without its length.
pub(crate) fn unframed(p: Params<'_>, name: &str) -> Result<Vec<u8>, OpError> {
    let framed = p.hex(name)?;
    if !is_framed(&framed) {
        return Err(OpError::invalid(format!(
            "param {name} does not begin with its own length as a bigsize"
        )));
    }
    let (_, stream) = bigsize::decode(&Rules::all(), &framed).map_err(refused)?;
    Ok(stream.to_vec())
}

/// The error of a payload, with the failure that a node answers.
pub(crate) fn payload_error(error: Error) -> OpError {
    match error {
        Error::Refused(refusal) => {
            let refusal = *refusal;
            let data = refusal.at.map(|(kind, offset)| {
                let mut data = bigsize::encode(kind);
                data.extend_from_slice(&offset.to_be_bytes());
                hex(data)
            });
            OpError {
                code: Some(refusal.code),
                data,
                ..refused(refusal.violation)
            }
        }
        other => OpError::invalid(other.to_string()),
    }
}

pub(crate) fn decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let position = position(p)?;
    let stream = unframed(p, "payload")?;
    Ok(read(rules, p, &stream, position)?.done())
}

/// Reads a payload with what the params say that the node knows.
pub(crate) fn read(
    rules: &Rules,
    p: Params<'_>,
    stream: &[u8],
    position: Position,
) -> Result<ResultObject, OpError> {
    let secret = p.maybe("node_secret", |p, name| secret_key(p, name))?;
    let data = p.maybe("encrypted_data", Params::hex)?;
    let channels = maybe_numbers(p, "channels")?;
    let features_used = maybe_numbers(p, "features_used")?.unwrap_or_default();
    let known = maybe_numbers(p, "known")?.unwrap_or_default();
    let channel = object(p, "channel", |p| {
        Ok(Channel {
            fee_base_msat: p.u32("fee_base_msat")?,
            fee_proportional_millionths: p.u32("fee_proportional_millionths")?,
            cltv_expiry_delta: u16_of(p, "cltv_expiry_delta")?,
        })
    })?;
    let outer = object(p, "outer", |p| {
        Ok(Outer {
            amt_to_forward: p.maybe("amt_to_forward", Params::u64)?,
            outgoing_cltv_value: p.maybe("outgoing_cltv_value", Params::u32)?,
            total_msat: p.maybe("total_msat", Params::u64)?,
            multi_part: p.maybe("multi_part", Params::bool)?.unwrap_or(false),
            path_key: p.maybe("current_path_key", Params::array::<33>)?,
        })
    })?;
    let context = Context {
        path_key: p.maybe("path_key", Params::array::<33>)?,
        secret: secret.as_ref(),
        data: data.as_deref(),
        amount_msat: p.maybe("amount_msat", Params::u64)?,
        cltv_expiry: p.maybe("cltv_expiry", Params::u32)?,
        height: p.maybe("block_height", Params::u32)?,
        min_final_cltv_expiry_delta: p.maybe("min_final_cltv_expiry_delta", Params::u32)?,
        expected_msat: p.maybe("expected_msat", Params::u64)?,
        channel,
        channels: channels.as_deref(),
        features_used: &features_used,
        known: &known,
        dialect: dialect(p)?,
        outer,
    };
    let read = payload::read(rules, stream, position, &context).map_err(payload_error)?;
    Ok(shown_payload(&read, position))
}

/// What a node answers to a payload that `payload.decode` refuses: the failure's `code`, its `data`
/// where the field at fault is known, and the `rule`.
pub(crate) fn refuse(rules: &Rules, params: &Value) -> Outcome {
    match decode(rules, params) {
        Ok(_) => Err(OpError::invalid("the payload is not refused")),
        Err(OpError {
            code: Some(code),
            data,
            rule,
            ..
        }) => Ok(ResultObject::new()
            .with("code", code)
            .maybe("name", failure::find(code).map(|kind| kind.name))
            .maybe("data", data)
            .maybe("rule", rule)
            .done()),
        Err(e) => Err(e),
    }
}

/// The fields of a payload, and what follows from them.
pub(crate) fn shown_payload(read: &Payload, position: Position) -> ResultObject {
    let paths = read.recipient_paths.as_ref().map(|paths| {
        paths
            .iter()
            .map(|one| {
                let mut shown = path(&one.path);
                shown["payinfo"] = hex(&one.payinfo).into();
                shown
            })
            .collect::<Value>()
    });
    let dialects: Vec<&str> = Dialect::seen(&read.records)
        .into_iter()
        .filter(|dialect| position.trampoline || *dialect != Dialect::Mini)
        .map(Dialect::name)
        .collect();
    let last = position.last && read.recipient_paths.is_none();
    ResultObject::new()
        .with("records", shown(&read.records))
        .maybe(
            "amt_to_forward",
            read.amt_to_forward.map(|msat| msat.to_string()),
        )
        .maybe("outgoing_cltv_value", read.outgoing_cltv_value)
        .maybe(
            "short_channel_id",
            read.short_channel_id.map(|id| id.to_string()),
        )
        .maybe(
            "payment_data",
            read.payment_data.map(|(secret, total)| {
                json!({"payment_secret": hex(secret), "total_msat": total.to_string()})
            }),
        )
        .maybe(
            "encrypted_recipient_data",
            read.encrypted_data.as_ref().map(hex),
        )
        .maybe("current_path_key", read.path_key.map(hex))
        .maybe("outgoing_node_id", read.outgoing_node_id.map(hex))
        .maybe("payment_metadata", read.metadata.as_ref().map(hex))
        .maybe(
            "total_amount_msat",
            read.total_amount_msat.map(|msat| msat.to_string()),
        )
        .maybe(
            "trampoline_onion_packet",
            read.trampoline_onion.as_ref().map(hex),
        )
        .maybe(
            "recipient_features",
            read.recipient_features.as_ref().map(hex),
        )
        .maybe("recipient_blinded_paths", paths)
        .maybe("encrypted_data", read.data.as_ref().map(shown_data))
        .maybe("next_path_key", read.next_path_key.map(hex))
        .maybe(
            "forward",
            read.forward.map(|(amount, expiry)| {
                json!({"amount_msat": amount.to_string(), "cltv_expiry": expiry})
            }),
        )
        .maybe(
            "total_msat",
            read.total_msat()
                .filter(|_| last)
                .map(|msat| msat.to_string()),
        )
        .maybe("dialects", (!dialects.is_empty()).then_some(dialects))
}

pub(crate) fn encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let position = position(p)?;
    let blinded = p.str("position")?.starts_with("blinded-");
    let records = records_of(p, "records")?;
    if position.trampoline && !unchecked(p)? {
        return Err(OpError::invalid(
            "payloads of a trampoline onion are written by the rules of trampoline.send; set \
             unchecked to write one alone",
        ));
    }
    let stream = if unchecked(p)? {
        tlv::encode_unchecked(&records)
    } else {
        let nothing = json!({});
        let given = object(p, "recipient", Ok)?.unwrap_or(Params::new(&nothing));
        let metadata = given.maybe("payment_metadata", Params::hex)?;
        let encrypted_data = given.maybe("encrypted_recipient_data", Params::hex)?;
        let writer = Writer {
            payment_secret: given.maybe("payment_secret", Params::array::<32>)?,
            metadata: metadata.as_deref(),
            encrypted_data: encrypted_data.as_deref(),
            path_key: given.maybe("path_key", Params::array::<33>)?,
            first_blinded: p.maybe("first_blinded", Params::bool)?.unwrap_or(false),
            total_msat: p.maybe("total_msat", Params::u64)?,
            height: p.maybe("block_height", Params::u32)?,
        };
        payload::write(rules, &records, position, blinded, &writer)
            .map_err(|fault| refused(fault.violation))?
    };
    Ok(ResultObject::new()
        .with("payload", hex(frame(&stream)))
        .with("tlvs", hex(&stream))
        .done())
}

fn parts(p: Params<'_>) -> Result<Vec<Part>, OpError> {
    crate::onion::hops(p, "htlcs", |htlc| {
        Ok(Part {
            payment_hash: htlc
                .maybe("payment_hash", Params::array::<32>)?
                .unwrap_or_default(),
            payment_secret: htlc.maybe("payment_secret", Params::array::<32>)?,
            amt_to_forward: htlc.u64("amt_to_forward")?,
            total_msat: htlc.maybe("total_msat", Params::u64)?,
            arrived: htlc.maybe("arrived", Params::u64)?.unwrap_or_default(),
        })
    })
}

/// The writer's rules on the parts of one payment, in the order in which they are sent.
pub(crate) fn mpp_send(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let invoice = mpp::Invoice {
        basic_mpp: p.bool("basic_mpp")?,
        amount_msat: p.maybe("amount_msat", Params::u64)?,
        wish_msat: p.maybe("wish_msat", Params::u64)?,
    };
    let reached = mpp::send(rules, &invoice, &parts(p)?).map_err(refused)?;
    Ok(ResultObject::new().with("parts", reached).done())
}

/// What a recipient does with the parts that are there: `action` is `fulfil`, `wait` or `fail`, the
/// last one with a `code`.
pub(crate) fn mpp_receive(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let expected = mpp::Expected {
        basic_mpp: p.bool("basic_mpp")?,
        amount_msat: p.maybe("expected_msat", Params::u64)?,
        payment_secret: p.maybe("payment_secret", Params::array::<32>)?,
        now: p.maybe("now", Params::u64)?.unwrap_or_default(),
    };
    let action = mpp::receive(rules, &expected, &parts(p)?).map_err(refused)?;
    let (name, code) = match action {
        mpp::Action::Fulfil => ("fulfil", None),
        mpp::Action::Wait => ("wait", None),
        mpp::Action::Fail(code) => ("fail", Some(code)),
    };
    Ok(ResultObject::new()
        .with("action", name)
        .maybe("code", code)
        .done())
}
