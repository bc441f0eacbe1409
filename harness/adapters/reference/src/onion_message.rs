//! Onion messages.

use crate::Outcome;
use crate::blinded_path::shown_data;
use crate::onion::{associated_data, hops, shown as shown_onion};
use crate::operations::{path, public_key, records_of, refused, secret_key, shown};
use crate::payload::numbers;
use lnconform_drafts::onion_message::{
    self, Context, Error, Message, NextNode, ReplyPath, Stop, Writer,
};
use lnconform_drafts::rules::Rules;
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

fn error(error: Error) -> OpError {
    match error {
        Error::Rule(violation) => refused(violation),
        other => OpError::invalid(other.to_string()),
    }
}

/// `hops` are those of the blinded path; each may have further `records`. Params beside those of
/// the protocol: `version`, `associated_data` and `may_reply`, to break the writer's rules.
pub(crate) fn build(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let session_key = secret_key(p, "session_key")?;
    let path_key = p.array::<33>("path_key")?;
    let stops = hops(p, "hops", |hop| {
        Ok(Stop {
            blinded_node_id: public_key(hop, "pubkey")?,
            encrypted_data: hop.hex("encrypted_recipient_data")?,
            records: hop
                .maybe("records", |hop, name| records_of(hop, name))?
                .unwrap_or_default(),
        })
    })?;
    let associated_data = associated_data(p)?;
    let version = p.maybe("version", Params::u32)?.unwrap_or_default();
    let writer = Writer {
        size: p.maybe("size", Params::u32)?.map(|size| size as usize),
        version: u8::try_from(version)
            .map_err(|_| OpError::invalid("param version is no number below 256"))?,
        associated_data: &associated_data,
        may_reply: p.maybe("may_reply", Params::bool)?,
    };
    let (message, built) =
        onion_message::build(rules, &session_key, &path_key, &stops, &writer).map_err(error)?;
    let wire = message.encode().map_err(error)?;
    Ok(shown_onion(&built)
        .with("onion", hex(&message.packet))
        .with("message", hex(wire))
        .done())
}

/// The message is `message` with its type in front, or `path_key` and `onion`.
pub(crate) fn peel(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let node_secret = secret_key(p, "node_secret")?;
    let message = match p.maybe("message", Params::hex)? {
        Some(bytes) => Message::decode(rules, &bytes).map_err(error)?,
        None => Message {
            path_key: p.array::<33>("path_key")?,
            packet: p.hex("onion")?,
        },
    };
    let channels = match p.get("channels") {
        None => None,
        Some(_) => Some(hops(p, "channels", |channel| {
            Ok((
                channel.u64("short_channel_id")?,
                channel.array::<33>("node_id")?,
            ))
        })?),
    };
    let reply_paths = match p.get("reply_paths") {
        None => Vec::new(),
        Some(_) => hops(p, "reply_paths", |path| {
            Ok(ReplyPath {
                path_id: path.hex("path_id")?,
                answers: numbers(path, "answers")?,
            })
        })?,
    };
    let list = |name: &str| match p.get(name) {
        None => Ok(Vec::new()),
        Some(_) => numbers(p, name),
    };
    let (features_used, known) = (list("features_used")?, list("known")?);
    let context = Context {
        features_used: &features_used,
        channels: channels.as_deref(),
        reply_paths: &reply_paths,
        known: &known,
    };
    let peeled = onion_message::peel(rules, &node_secret, &message, &context).map_err(error)?;
    let next = match &peeled.next {
        None => None,
        Some((node, message)) => {
            let mut next = match node {
                NextNode::Id(id) => json!({"node_id": hex(id)}),
                NextNode::Channel(id) => json!({"short_channel_id": id.to_string()}),
            };
            next["path_key"] = hex(message.path_key).into();
            next["onion"] = hex(&message.packet).into();
            next["message"] = hex(message.encode().map_err(error)?).into();
            Some(next)
        }
    };
    Ok(ResultObject::new()
        .with("records", shown(&peeled.records))
        .with("final", peeled.last)
        .with("shared_secret", hex(peeled.shared_secret))
        .with("encrypted_data", shown_data(&peeled.data))
        .maybe("next", next)
        .maybe("reply_path", peeled.reply_path.as_ref().map(path))
        .maybe(
            "payload",
            peeled
                .payload
                .map(|record| json!({"type": record.kind.to_string(), "value": hex(record.value)})),
        )
        .done())
}
