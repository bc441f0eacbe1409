//! Onion messages and held HTLCs, of which ldk-node tells no events: they are read off LDK's log.
//!
//! With option `watch` of `node.start` these become events, in the order in which LDK wrote them:
//! - `onion-message` {`direction` (`sent` or `received`), `message` (`invoice_request`, `invoice`,
//!   `static_invoice`, `invoice_error`, or one of async payments such as `held_htlc_available`),
//!   `reply_path` (whether one that was received has it), `error` (the text of an `invoice_error`),
//!   `invoice` (bytes of a static invoice, in that message and in `serve_static_invoice`)};
//! - `onion-message-kept` {`peer`}: a message for a peer that is offline, which gets it when it is
//!   back;
//! - `htlc-held`: an HTLC of a peer that is kept until its recipient asks for it;
//! - `htlc-released` {`held` (whether it was kept by then)}: it goes on;
//! - `htlc-not-held`: somebody asked for an HTLC that is not kept, and nothing happens.

use super::events::Events;
use ldk_node::logger::LogRecord;
use lnconform_protocol::params::{ResultObject, hex};
use serde_json::{Value, json};
use std::sync::Arc;

const MESSENGER: &str = "lightning::onion_message::messenger";
const MANAGER: &str = "lightning::ln::channelmanager";

/// Turns lines of the log into events.
pub(super) struct Watch(pub(super) Arc<Events>);

impl Watch {
    /// Looks at a line, whatever its level.
    pub(super) fn look(&self, record: &LogRecord<'_>) {
        if !matches!(record.module_path, MESSENGER | MANAGER) {
            return;
        }
        if let Some((kind, fields)) = read(record.module_path, &record.args.to_string()) {
            self.0.push(kind, None, None, fields);
        }
    }
}

/// What a line tells; most tell nothing.
fn read(module: &str, line: &str) -> Option<(&'static str, Value)> {
    let starts = |prefix: &str| line.starts_with(prefix);
    match module {
        MESSENGER => {
            let (direction, reply_path, contents) =
                if let Some(rest) = line.strip_prefix("Received an onion message with ") {
                    let (article, contents) = rest.split_once(" reply_path: ")?;
                    ("received", Some(article == "a"), contents)
                } else if starts("Constructing onion message ") {
                    ("sent", None, line.split_once(": ")?.1)
                } else {
                    let kept =
                        line.strip_prefix("Generating OnionMessageIntercepted event for peer ")?;
                    let peer = kept.split(' ').next()?;
                    return Some(("onion-message-kept", json!({ "peer": peer })));
                };
            let name = name(contents);
            let error = (name == "invoice_error").then(|| error(contents)).flatten();
            let fields = ResultObject::new()
                .with("direction", direction)
                .with("message", name)
                .maybe("reply_path", reply_path)
                .maybe("error", error)
                .maybe("invoice", static_invoice(contents));
            Some(("onion-message", fields.done()))
        }
        MANAGER if starts("Intercepted held HTLC with id ") => Some(("htlc-held", json!({}))),
        MANAGER if starts("Releasing held htlc with intercept_id ") => {
            Some(("htlc-released", json!({"held": true})))
        }
        MANAGER if starts("Marking held htlc with intercept_id ") => {
            Some(("htlc-released", json!({"held": false})))
        }
        MANAGER if starts("Failed to release HTLC with intercept_id ") => {
            Some(("htlc-not-held", json!({})))
        }
        _ => None,
    }
}

/// The text of an `invoice_error`.
fn error(contents: &str) -> Option<&str> {
    let (_, text) = contents.split_once("UntrustedString(\"")?;
    Some(text.rsplit_once("\")")?.0)
}

/// The bytes of a static invoice, which LDK shows as a list of numbers.
fn static_invoice(contents: &str) -> Option<String> {
    let of_message = |start: &str| contents.strip_prefix(start)?.strip_prefix("bytes: [");
    let (bytes, _) = of_message("StaticInvoice { ")
        .or_else(|| {
            of_message("ServeStaticInvoice(ServeStaticInvoice { invoice: StaticInvoice { ")
        })?
        .split_once(']')?;
    let bytes: Option<Vec<u8>> = bytes.split(", ").map(|b| b.parse().ok()).collect();
    bytes.map(hex)
}

/// The name of a message in the specifications, from the form in which LDK shows its contents.
fn name(contents: &str) -> &'static str {
    // Invoices and requests are shown as tuples of their TLV streams.
    if contents.starts_with('(') {
        return if contents.contains(" InvoiceTlvStreamRef ") {
            "invoice"
        } else {
            "invoice_request"
        };
    }
    let end = contents.find(|c: char| !c.is_alphanumeric());
    match &contents[..end.unwrap_or(contents.len())] {
        "StaticInvoice" => "static_invoice",
        "InvoiceError" => "invoice_error",
        "OfferPathsRequest" => "offer_paths_request",
        "OfferPaths" => "offer_paths",
        "ServeStaticInvoice" => "serve_static_invoice",
        "StaticInvoicePersisted" => "static_invoice_persisted",
        "HeldHtlcAvailable" => "held_htlc_available",
        "ReleaseHeldHtlc" => "release_held_htlc",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_messenger_become_messages() {
        let line = |text: &str| read(MESSENGER, text);
        let received = |reply_path: bool, message: &str| {
            let fields =
                json!({"direction": "received", "message": message, "reply_path": reply_path});
            Some(("onion-message", fields))
        };
        let sent = |message: &str| {
            let fields = json!({"direction": "sent", "message": message});
            Some(("onion-message", fields))
        };
        assert_eq!(
            line(
                "Received an onion message with a reply_path: HeldHtlcAvailable(HeldHtlcAvailable)"
            ),
            received(true, "held_htlc_available")
        );
        assert_eq!(
            line(
                "Received an onion message with no reply_path: (PayerTlvStreamRef { metadata: None }, OfferTlvStreamRef { x: 1 })"
            ),
            received(false, "invoice_request")
        );
        assert_eq!(
            line(
                "Constructing onion message when responding with Invoice to an onion message: (PayerTlvStreamRef {}, InvoiceTlvStreamRef { paths: None })"
            ),
            sent("invoice")
        );
        assert_eq!(
            line(
                "Constructing onion message when sending OffersMessage: StaticInvoice { bytes: [1, 254], x: [2] }"
            ),
            Some((
                "onion-message",
                json!({"direction": "sent", "message": "static_invoice", "invoice": "01fe"})
            ))
        );
        assert_eq!(
            line(
                "Constructing onion message when responding with InvoiceError to an onion message: InvoiceError { erroneous_field: None, message: UntrustedString(\"no (\\\"x\\\")\") }"
            ),
            Some((
                "onion-message",
                json!({"direction": "sent", "message": "invoice_error", "error": "no (\\\"x\\\")"})
            ))
        );
        assert_eq!(
            line(
                "Received an onion message with a reply_path: ServeStaticInvoice(ServeStaticInvoice { invoice: StaticInvoice { bytes: [10, 11], x: [2] } })"
            ),
            Some((
                "onion-message",
                json!({"direction": "received", "message": "serve_static_invoice", "reply_path": true, "invoice": "0a0b"})
            ))
        );
        assert_eq!(
            line("Generating OnionMessageIntercepted event for peer 02aa when forwarding"),
            Some(("onion-message-kept", json!({"peer": "02aa"})))
        );
        assert_eq!(
            line("Buffered onion message when sending OffersMessage"),
            None
        );
    }

    #[test]
    fn lines_of_the_manager_tell_of_held_htlcs() {
        let line = |text: &str| read(MANAGER, text).map(|(kind, _)| kind);
        assert_eq!(
            line("Intercepted held HTLC with id ab, holding until the recipient is online"),
            Some("htlc-held")
        );
        assert_eq!(
            line("Releasing held htlc with intercept_id ab"),
            Some("htlc-released")
        );
        assert_eq!(
            line("Marking held htlc with intercept_id ab as ready to release"),
            Some("htlc-released")
        );
        assert_eq!(
            line("Failed to release HTLC with intercept_id ab: HTLC not found"),
            Some("htlc-not-held")
        );
        assert_eq!(
            line("Failed to release held HTLC with payment id ab: x"),
            None
        );
        // The same words of another module are another thing.
        assert_eq!(read(MESSENGER, "Intercepted held HTLC with id ab, x"), None);
    }
}
