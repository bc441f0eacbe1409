//! The payer of a static invoice, in LDK's dialect: it judges the invoice that a server sends for the
//! request, and pays by it.
//!
//! A static invoice is an event `static-invoice-received` {`request`, `bytes`} or `static-invoice-refused`
//! {`request`, `rule`, `message`}. `offer.pay` pays by one once its receiver has asked for the HTLC; with
//! `hold` (bool) the HTLC goes out at once, flagged so that the next node holds it, and the answer has
//! `release_path` and `message_paths`: a step tells the receiver when it likes.

use super::{Offers, first_node};
use crate::blind;
use crate::messages::async_wire::{DIALECT, Mark, held_htlc_available};
use crate::messages::{Received, To, reply_record};
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::now;
use lnconform_drafts::async_payments::htlc;
use lnconform_drafts::blinding::BlindedPath;
use lnconform_drafts::bolt12::invoice::{self, Invoice, Kind};
use lnconform_drafts::bolt12::invoice_request;
use lnconform_drafts::bolt12::offer::{Context, Offer};
use lnconform_drafts::keys::{self, Point};
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::{ResultObject, hex, hex_bytes};
use serde_json::{Value, json};
use std::time::Instant;

/// What a payer knows of its request.
pub struct Asked<'a> {
    /// Its records.
    pub request: &'a [Record],
    /// The point that it was sent to.
    pub sent_to: Option<Point>,
    /// Seconds since 1970.
    pub now: u64,
}

/// The fields of an offer among records.
fn of_offer(records: &[Record]) -> impl Iterator<Item = &Record> {
    let is = |kind: u64| (1..80).contains(&kind) || (1_000_000_000..2_000_000_000).contains(&kind);
    records.iter().filter(move |record| is(record.kind))
}

/// Reads a static invoice for a request, by every rule of its payer.
///
/// # Errors
/// A [`Violation`] of a reader rule of invoices or of static invoices.
pub fn read(
    rules: &Rules,
    kind: Kind,
    stream: &[u8],
    asked: &Asked<'_>,
) -> Result<Invoice, Violation> {
    // A static invoice has no field of a request, so none that names its chain.
    let context = Context {
        now: Some(asked.now),
        chains: None,
    };
    let read = invoice::read(rules, kind, stream, context)?;
    // BOLT 12, invoice reader: what it repeats is what was sent; a static invoice repeats the offer alone.
    let same = of_offer(asked.request).eq(of_offer(&read.records));
    rules.check(rules::INVOICE_MIRROR, same, || {
        "it is for another offer than the one that was asked".into()
    })?;
    let offer = &read.request.offer;
    if let (Some(end), None, Some(_)) = (asked.sent_to, offer.issuer_id, &offer.paths) {
        rules.check(
            rules::INVOICE_NODE_ID_PATH,
            read.node_id == Some(end),
            || "invoice_node_id is not the end of the path that the request took".into(),
        )?;
    }
    Ok(read)
}

impl Offers {
    /// A static invoice has come.
    pub(super) fn static_invoiced(&self, received: &Received, stream: &[u8]) {
        let asked = received.path_id.as_deref();
        let asked = asked.and_then(|mark| self.asked(Some(mark), &[]));
        let Some(asked) = asked else {
            let fields = json!({"message": "nothing was asked for over this path"});
            return self.hook.tell("static-invoice-refused", fields);
        };
        let request = hex(asked.path_id);
        let known = Asked {
            request: &asked.records,
            sent_to: asked.sent_to,
            now: now(),
        };
        match read(&Rules::all(), DIALECT.invoice(), stream, &known) {
            Ok(_) => {
                let fields = json!({"request": request, "bytes": hex(stream)});
                self.hook.tell("static-invoice-received", fields);
            }
            Err(violation) => {
                let fields = json!({
                    "request": request,
                    "rule": violation.rule,
                    "message": violation.to_string(),
                });
                self.hook.tell("static-invoice-refused", fields);
            }
        }
    }
}

/// The static invoice that was taken for a request.
fn taken(node: &Node, handle: &str) -> Option<Vec<u8>> {
    node.hook.events.find(|seen| {
        let ours = seen.kind == "static-invoice-received" && seen.fields["request"] == handle;
        ours.then(|| seen.fields["bytes"].as_str().and_then(hex_bytes))?
    })
}

/// Tells the receiver of the payment, over each of the paths that it left for that; the answer goes along
/// a path of `reply_paths`, a different one for each as long as there are.
fn tell(node: &Node, invoice: &Invoice, reply_paths: &[BlindedPath]) -> Result<(), OpError> {
    let paths = invoice.message_paths.as_deref().unwrap_or_default();
    let payload = held_htlc_available().map_err(|e| OpError::internal(e.to_string()))?;
    for (path, reply) in paths.iter().zip(reply_paths.iter().cycle()) {
        let records = vec![reply_record(reply), payload.clone()];
        let sent = node.messages.send(&[], &To::Path(path.clone()), records);
        sent.map_err(|e| OpError::rejected(format!("the receiver is not told: {e}")))?;
    }
    node.peers.process_events();
    Ok(())
}

/// Pays by the static invoice that has come for a request, if one has: `request` is its stream.
///
/// # Errors
/// `rejected` where a path of the invoice cannot be gone, `timeout` where the receiver has not asked for
/// the HTLC by the deadline.
pub(super) fn pay(node: &Node, handle: &str, request: &[u8], how: How<'_>) -> Option<Outcome> {
    let stream = taken(node, handle)?;
    Some(pay_by(node, handle, request, &stream, how))
}

/// How a payment is made.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    /// The next node shall hold it.
    pub(super) hold: bool,
    pub(super) wrong: Option<&'a str>,
    pub(super) deadline: Instant,
}

fn pay_by(
    node: &Node,
    handle: &str,
    request: &[u8],
    stream: &[u8],
    How {
        hold,
        wrong,
        deadline,
    }: How<'_>,
) -> Outcome {
    let rules = Rules::all();
    let broken = |v: Violation| OpError::rejected(v.to_string()).with_rule(v.rule);
    let asked = tlv::frames(&rules, request).map_err(broken)?;
    let known = Asked {
        request: &asked,
        sent_to: None,
        now: now(),
    };
    let invoice = read(&rules, DIALECT.invoice(), stream, &known).map_err(broken)?;
    let amount = amount(&asked, &invoice.request.offer)
        .ok_or_else(|| OpError::invalid("param amount_msat is missing: the offer has none"))?;
    let preimage = node.hook.draw();
    let hash = keys::sha256(&[&preimage]);
    let payer = htlc::Payer {
        static_invoice: true,
        payment_hash: hash,
        preimage: Some(preimage),
        invoice_request: Some(request),
        used: &[],
    };
    let mut more = htlc::payload(&rules, DIALECT, &[], &payer).map_err(broken)?;
    if wrong == Some("static-payment-preimage-other") {
        for record in &mut more {
            if record.kind == DIALECT.payload_preimage() {
                record.value = node.hook.draw().to_vec();
            }
        }
    }
    let paths = invoice.paths.as_deref().unwrap_or_default();
    let pays = invoice.blindedpay.as_deref().unwrap_or_default();
    let usable = invoice.usable_paths.first();
    let chosen = usable.and_then(|at| Some((paths.get(*at)?, pays.get(*at)?)));
    let (path, pay) = chosen.ok_or_else(|| OpError::rejected("no path of it may be used"))?;
    let first = first_node(path)?;
    let shot = blind::along(node, (path, first, pay), hash, amount, more)?;
    let payment = hex(node.hook.draw());
    let mut answer = ResultObject::new();
    if hold {
        lock(&node.hook.wire).ask(hash, false);
        node.send(&payment, vec![shot]);
        let what = "a path for the release from the next node";
        let wanted = hex(hash);
        let release = node.hook.events.wait(deadline, what, |seen| {
            let ours = seen.kind == "release-path" && seen.fields["payment_hash"] == wanted;
            ours.then(|| seen.fields["path"].as_str().and_then(hex_bytes))?
        })?;
        let paths = invoice.message_paths.iter().flatten();
        let paths = paths.filter_map(|path| path.encode().ok()).map(hex);
        answer = answer
            .with("release_path", hex(release))
            .with("message_paths", paths.collect::<Value>());
    } else {
        let mut replies = Vec::new();
        for _ in 0..2 {
            let mark = Mark::Paying(hash);
            let path = node.hook.own_path(mark);
            replies.push(path.map_err(|e| OpError::internal(e.to_string()))?);
        }
        tell(node, &invoice, &replies)?;
        let what = "the receiver's word that the HTLC may come";
        let wanted = hex(hash);
        node.hook.events.wait(deadline, what, |seen| {
            (seen.kind == "payment-asked-for" && seen.fields["payment_hash"] == wanted)
                .then_some(())
        })?;
        node.send(&payment, vec![shot]);
    }
    Ok(answer
        .with("payment", payment)
        .with("payment_hash", hex(hash))
        .with("preimage", hex(preimage))
        .with("request", handle)
        .with("invoice", hex(stream))
        .done())
}

/// What the payer owes, in msat.
fn amount(request: &[Record], offer: &Offer) -> Option<u64> {
    let find = |kind| request.iter().find(|record| record.kind == kind);
    let number = |record: &Record| {
        let bytes = record.value.iter();
        bytes.fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let asked = find(invoice_request::kind::AMOUNT).map(number);
    let quantity = find(invoice_request::kind::QUANTITY).map_or(1, number);
    asked.or(offer.amount.map(|one| one.saturating_mul(quantity)))
}

/// Which answers come over the reply path of a request, those of BOLT 12 aside.
pub(super) const ANSWERS: [u64; 1] = [70];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_is_what_was_asked_for_or_what_the_offer_says() {
        let record = |kind, value: &[u8]| Record::new(kind, value);
        let offer = |amount| Offer {
            amount,
            ..Offer::default()
        };
        let asked = [record(invoice_request::kind::AMOUNT, &[1, 0])];
        assert_eq!(amount(&asked, &offer(Some(7))), Some(256));
        assert_eq!(amount(&asked, &offer(None)), Some(256));
        let two = [record(invoice_request::kind::QUANTITY, &[2])];
        assert_eq!(amount(&two, &offer(Some(7))), Some(14));
        assert_eq!(amount(&[], &offer(None)), None);
    }

    #[test]
    fn static_invoices_are_known_by_their_type() {
        assert_eq!(ANSWERS, [DIALECT.static_invoice()]);
    }
}
