//! BOLT 12 over onion messages: the offers that the probe makes, and those that it asks for an invoice.
//!
//! - `offer.create` {`amount_msat`, `description`, `expiry` (seconds), `quantity_max`, `paths` (bool,
//!   true), `issuer_id` (bool, true), `features` [bits], `by_channel` (bool: the path begins at an end of
//!   a channel), `refuse` (text)} answers `offer` and `offer_id`. Requests are answered with an invoice by
//!   themselves, or with an `invoice_error` that says `refuse`. The invoice has `invoice_paths` (1) paths
//!   and `invoice_features` [bits]; several `parts` may pay it (`allowed`), must (`required`) or may not
//!   (`forbidden`, which it is without). With `reply_path` (bool) a reply path goes along with the
//!   invoice. `misbehave` is what is wrong with each invoice.
//! - `offer.request` {`offer`, `amount_msat`, `quantity`, `note`, `features` [bits], `reply_path` (bool,
//!   true), `via` [node ids], `records` (further fields of the onion message), `again` (an earlier request,
//!   which is sent once more), `along` (an offer: a misbehaviour may take its path)} sends a request and
//!   answers `request`, its handle in events, and `bytes`, its stream.
//! - `offer.pay` {`offer`, `amount_msat`, `quantity`, `note`, `parts` (1), `deadline_ms`} asks and pays, and
//!   answers `payment`, `payment_hash` and `invoice`. With `request` in the place of `offer` it pays the
//!   invoice for that request or refund; with `async` (bool) it pays by a static invoice and by no other, see
//!   [`static_payer`].
//! - `refund.create` {`amount_msat`, `description`, `expiry` (seconds), `paths` (bool, true), `to` (node
//!   id: it is sent there as well)} answers `refund`, `request`, its handle in events, and `bytes`. A
//!   request for no offer that comes over a message is answered like one that is handed to `refund.pay`.
//! - `refund.pay` {`refund`, `along` (a refund: a misbehaviour may take its path)} sends the invoice for it,
//!   and answers `payment`, `payment_hash` and `invoice`.
//!
//! Events of the payee: `invoice-sent` {`offer_id`, where it is for an offer, `payment_hash`, `amount_msat`},
//! `invoice-request-refused` {`offer_id`, `rule`, `message`}. Events of the payer: `invoice-received`
//! {`request`, `payment_hash`, `amount_msat`, `bytes`, `reply_path` (bool)}, `invoice-refused`
//! {`request`, `rule`, `message`}, `invoice-error` {`request`, `error`, `erroneous_field`}.

mod payee;
mod payer;
pub(crate) mod static_payer;

use self::payee::Published;
use crate::messages::bolt12::Asked;
use crate::messages::{Hears, Messages, Received};
use crate::node::Node;
use crate::node::hook::Hook;
use bitcoin::secp256k1::PublicKey;
use lnconform_drafts::blinding::{BlindedPath, FirstNode};
use lnconform_drafts::bolt12::invoice::Invoice;
use lnconform_drafts::bolt12::invoice_request;
use lnconform_drafts::bolt12::offer::{self, Context};
use lnconform_drafts::onion_message::kind as message;
use lnconform_drafts::rules::{Rules, Violation};
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::Params;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    published: Vec<Published>,
    asked: Vec<Asked>,
    /// Invoices that were taken, by the handle of their request.
    invoices: HashMap<String, Invoice>,
}

/// What the probe has made and asked for.
pub struct Offers {
    hook: Arc<Hook>,
    state: Mutex<State>,
}

fn broken(violation: &Violation) -> OpError {
    OpError::rejected(violation.to_string()).with_rule(violation.rule)
}

impl Hears for Offers {
    const KNOWN: &'static [u64] = &static_payer::ANSWERS;

    fn new(hook: Arc<Hook>) -> Self {
        Self {
            hook,
            state: Mutex::default(),
        }
    }

    fn hear(&self, messages: &Messages, received: &Received, payload: &Record) -> bool {
        match payload.kind {
            message::INVOICE_REQUEST => self.requested(messages, received, &payload.value),
            message::INVOICE => self.invoiced(received, &payload.value),
            message::INVOICE_ERROR => self.told(received, &payload.value),
            kind if static_payer::ANSWERS.contains(&kind) => {
                self.static_invoiced(received, &payload.value);
            }
            _ => return false,
        }
        true
    }
}

// ---- operations

/// Answers one of the operations of this file.
pub fn call(op: &str, params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    match op {
        "offer.create" => payee::create(params, node),
        "offer.request" => payer::request(params, node),
        "refund.create" => payer::create_refund(params, node),
        "refund.pay" => payee::pay_refund(params, node),
        _ => payer::pay(params, node),
    }
}

/// A list of feature bits; without one there are none.
fn bits(params: Params<'_>, name: &str) -> Result<Vec<u16>, OpError> {
    let list = params.maybe(name, Params::list)?.unwrap_or_default();
    let bit = |value: &Value| value.as_u64().and_then(|bit| u16::try_from(bit).ok());
    let bits: Option<Vec<u16>> = list.iter().map(bit).collect();
    bits.ok_or_else(|| OpError::invalid(format!("param {name} is no list of feature bits")))
}

/// The first path of the offer or refund that a param names, which was made for something else.
fn other_path(params: Params<'_>) -> Result<Option<BlindedPath>, OpError> {
    let Some(text) = params.maybe("along", Params::str)? else {
        return Ok(None);
    };
    let rules = Rules::all();
    let refund = text.starts_with(invoice_request::PREFIX);
    let paths = if refund {
        let read = invoice_request::decode(&rules, text, Context::default());
        read.map(|request| request.fields.paths)
    } else {
        offer::decode(&rules, text, Context::default()).map(|offer| offer.paths)
    };
    let paths = paths.map_err(|e| broken(&e))?.unwrap_or_default();
    match paths.into_iter().next() {
        Some(path) => Ok(Some(path)),
        None => Err(OpError::invalid("param along has no path")),
    }
}

fn first_node(path: &BlindedPath) -> Result<PublicKey, OpError> {
    match path.first_node {
        FirstNode::NodeId(id) => PublicKey::from_slice(&id)
            .map_err(|e| OpError::invalid(format!("the path's first node is no key: {e}"))),
        FirstNode::Channel { .. } => Err(OpError::rejected(
            "the path begins at a channel, and the probe pays to node ids only",
        )),
    }
}
