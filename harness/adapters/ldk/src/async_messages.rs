//! Async payments, read by one version of `lightning`: its onion messages, and the two messages
//! between peers that it has put fields of its own numbers into.
//!
//! This file is compiled once for each version: `super` says which.

use super::codec::{accepted, message_paths, refused};
use super::lightning::ln::msgs::{DecodeError, RevokeAndACK, UpdateAddHTLC};
use super::lightning::onion_message::async_payments::AsyncPaymentsMessage;
use super::lightning::onion_message::packet::OnionMessageContents;
use super::lightning::util::ser::{BigSize, LengthReadable, Readable, ReadableArgs, Writeable};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex, records};
use serde_json::{Value, json};

/// Operations of this file.
pub(crate) const OPERATIONS: &[&str] = &[
    "async.message.decode",
    "async.update_add_htlc.decode",
    "async.revoke_and_ack.decode",
];

/// Answers one of [`OPERATIONS`].
pub(crate) fn answer(op: &str, params: Params<'_>) -> Option<Outcome> {
    match op {
        "async.message.decode" => Some(message(params)),
        "async.update_add_htlc.decode" => Some(update_add_htlc(params)),
        "async.revoke_and_ack.decode" => Some(revoke_and_ack(params)),
        _ => None,
    }
}

/// LDK knows its own numbers only.
fn check_dialect(params: Params<'_>) -> Result<(), Fail> {
    match params.str("dialect")? {
        "async/ldk" => Ok(()),
        other => Err(Fail::Unsupported(format!(
            "LDK reads async payments of the dialect async/ldk, not {other}"
        ))),
    }
}

fn message(params: Params<'_>) -> Outcome {
    check_dialect(params)?;
    let kind = params.u64("type")?;
    let value = params.hex("value")?;
    // LDK's own test for whether a record of an onion message is one of these; others it leaves to
    // whoever registered a handler, and refuses even ones that nobody wants.
    if !AsyncPaymentsMessage::is_known_type(kind) {
        return Err(refused("message", &DecodeError::UnknownRequiredFeature));
    }
    let mut rest = &value[..];
    let read = AsyncPaymentsMessage::read(&mut rest, kind).map_err(|e| refused("message", &e))?;
    // What LDK does with what is left of a record's value when it reads an onion message.
    if !rest.is_empty() {
        return Err(refused("message", &DecodeError::InvalidValue));
    }
    // Records of the stream that LDK writes, behind the length that it puts there.
    let written = read.encode();
    let mut stream = &written[..];
    BigSize::read(&mut stream).map_err(|e| refused("message", &e))?;
    let found = accepted(stream)?;
    let shown = records(found.iter().map(|(kind, value)| (*kind, &value[..])));
    let result = ResultObject::new()
        .with("message", name(&read))
        .with("type", read.tlv_type().to_string())
        .with("records", shown);
    let result = match &read {
        AsyncPaymentsMessage::OfferPathsRequest(read) => {
            result.with("invoice_slot", read.invoice_slot)
        }
        AsyncPaymentsMessage::OfferPaths(read) => {
            result.maybe("paths", message_paths(&read.paths)).maybe(
                "paths_absolute_expiry",
                read.paths_absolute_expiry.map(|at| at.to_string()),
            )
        }
        AsyncPaymentsMessage::ServeStaticInvoice(read) => {
            let path = std::slice::from_ref(&read.forward_invoice_request_path);
            result
                .with("static_invoice", hex(read.invoice.encode()))
                .maybe(
                    "forward_invoice_request_path",
                    message_paths(path).and_then(|paths| paths.first().cloned()),
                )
        }
        AsyncPaymentsMessage::StaticInvoicePersisted(_)
        | AsyncPaymentsMessage::HeldHtlcAvailable(_)
        | AsyncPaymentsMessage::ReleaseHeldHtlc(_) => result,
    };
    Ok(result.done())
}

/// The texts' name for what LDK calls in its own way.
fn name(read: &AsyncPaymentsMessage) -> &'static str {
    match read {
        AsyncPaymentsMessage::OfferPathsRequest(_) => "offer_paths_request",
        AsyncPaymentsMessage::OfferPaths(_) => "offer_paths",
        AsyncPaymentsMessage::ServeStaticInvoice(_) => "serve_static_invoice",
        AsyncPaymentsMessage::StaticInvoicePersisted(_) => "static_invoice_persisted",
        AsyncPaymentsMessage::HeldHtlcAvailable(_) => "held_htlc_available",
        AsyncPaymentsMessage::ReleaseHeldHtlc(_) => "release_held_htlc",
    }
}

/// A message between peers behind its type, whole.
fn peer_message<T: LengthReadable>(params: Params<'_>, name: &str, kind: u16) -> Result<T, Fail> {
    check_dialect(params)?;
    let bytes = params.hex("message")?;
    let mut rest = match bytes.split_first_chunk::<2>() {
        Some((first, rest)) if u16::from_be_bytes(*first) == kind => rest,
        _ => {
            let message = format!("the message does not begin with {kind}, the type of {name}");
            return Err(OpError::invalid(message).into());
        }
    };
    T::read_from_fixed_length_buffer(&mut rest).map_err(|e| refused(name, &e))
}

fn update_add_htlc(params: Params<'_>) -> Outcome {
    let read: UpdateAddHTLC = peer_message(params, "update_add_htlc", 128)?;
    Ok(ResultObject::new()
        .with("channel_id", hex(read.channel_id.0))
        .with("htlc", read.htlc_id.to_string())
        .with("amount_msat", read.amount_msat.to_string())
        .with("payment_hash", hex(read.payment_hash.0))
        .with("cltv_expiry", read.cltv_expiry)
        .maybe("path_key", read.blinding_point.map(|key| key.to_string()))
        .with("hold_htlc", read.hold_htlc.is_some())
        .done())
}

fn revoke_and_ack(params: Params<'_>) -> Outcome {
    let read: RevokeAndACK = peer_message(params, "revoke_and_ack", 133)?;
    let mut paths = Vec::new();
    for (htlc, path) in &read.release_htlc_message_paths {
        let path = message_paths(std::slice::from_ref(path)).and_then(|all| all.first().cloned());
        paths.push(json!({"htlc": htlc.to_string(), "path": path}));
    }
    // LDK keeps no difference between a record without paths and no record.
    let paths = (!paths.is_empty()).then_some(Value::Array(paths));
    Ok(ResultObject::new()
        .with("channel_id", hex(read.channel_id.0))
        .with("per_commitment_secret", hex(read.per_commitment_secret))
        .with(
            "next_per_commitment_point",
            read.next_per_commitment_point.to_string(),
        )
        .maybe("release_paths", paths)
        .done())
}

#[cfg(test)]
mod tests {
    use super::super::codec::Codec;
    use lnconform_protocol::{Answer, ErrorKind, Handler};
    use serde_json::{Value, json};

    fn ask(op: &str, params: Value) -> Answer {
        Codec.call(op, &params)
    }

    fn message(kind: &str, value: &str) -> Answer {
        let params = json!({"dialect": "async/ldk", "type": kind, "value": value});
        ask("async.message.decode", params)
    }

    #[test]
    fn messages_have_their_length_in_front() {
        for (kind, name) in [
            ("72", "held_htlc_available"),
            ("74", "release_held_htlc"),
            ("75546", "static_invoice_persisted"),
        ] {
            let want = json!({"message": name, "type": kind, "records": []});
            assert_eq!(message(kind, "00"), Answer::Result(want));
            for value in ["", "0000", "02"] {
                assert!(matches!(message(kind, value), Answer::Error(_)), "{value}");
            }
        }
        match message("75540", "0400020007") {
            Answer::Result(got) => assert_eq!(got["invoice_slot"], 7),
            other => panic!("{other:?}"),
        }
        assert!(matches!(message("65540", "0400020007"), Answer::Error(_)));
    }

    #[test]
    fn the_flag_has_ldks_number() {
        let add = |records: &str| {
            let onion = format!("00{}{}", "02".repeat(33), "00".repeat(1332));
            let fixed = format!(
                "0080{}{:016x}{:016x}{}{:08x}",
                "01".repeat(32),
                7,
                1000,
                "02".repeat(32),
                144
            );
            let message = format!("{fixed}{onion}{records}");
            let params = json!({"dialect": "async/ldk", "message": message});
            ask("async.update_add_htlc.decode", params)
        };
        for (records, held) in [("", false), ("fe0001271100", true)] {
            match add(records) {
                Answer::Result(got) => assert_eq!(got["hold_htlc"], held, "{records}"),
                other => panic!("{other:?}"),
            }
        }
        // An even number that LDK does not know, which is the draft's.
        assert!(matches!(add("0200"), Answer::Error(_)));
    }

    #[test]
    fn other_dialects_and_other_messages_are_not_read() {
        let params = json!({"dialect": "async/pr-1149", "type": "65540", "value": ""});
        assert!(matches!(
            ask("async.message.decode", params),
            Answer::Unsupported(_)
        ));
        let params = json!({"dialect": "async/ldk", "message": "0085"});
        match ask("async.update_add_htlc.decode", params) {
            Answer::Error(e) => {
                assert_eq!(e.kind, ErrorKind::Invalid);
                assert!(e.message.contains("128"), "{}", e.message);
            }
            other => panic!("{other:?}"),
        }
    }
}
