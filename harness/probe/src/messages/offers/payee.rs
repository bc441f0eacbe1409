//! Whoever is to be paid: offers, the invoices that requests for them are answered with, and the invoice for
//! a refund.

use super::{Offers, bits, broken, other_path};
use crate::messages::bolt12::{self, FIRST_PATH_UNUSABLE, Made, Sealed, Terms};
use crate::messages::{Messages, Received, To, reply_record};
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::now;
use crate::ops::misbehaviour;
use crate::payee::Invoice as Expected;
use bitcoin::secp256k1::PublicKey;
use lnconform_drafts::blinding::{self, BlindedPath, FirstNode};
use lnconform_drafts::bolt12::invoice::MultiPart;
use lnconform_drafts::bolt12::invoice_request::{self, ReplyTo};
use lnconform_drafts::bolt12::offer::{self, Context};
use lnconform_drafts::bolt12::{invoice_error, key_of};
use lnconform_drafts::features;
use lnconform_drafts::keys;
use lnconform_drafts::onion_message::kind as message;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_drafts::value::truncated;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// The longest that an HTLC along a path of the probe's may last: no limit, block height.
const LATEST: u32 = u32::MAX >> 1;

/// An offer, and how requests for it are answered.
#[derive(Clone)]
pub(super) struct Published {
    made: Made,
    wrong: Option<String>,
    refuse: Option<String>,
    reply_path: bool,
    paid_in: PaidIn,
    /// The invoice for each request, so that one that comes again gets the same.
    answered: HashMap<Vec<u8>, Sealed>,
}

/// What an invoice says of the parts that pay it.
#[derive(Clone)]
struct PaidIn {
    paths: usize,
    multi_part: MultiPart,
    features: Vec<u16>,
}

impl Default for PaidIn {
    fn default() -> Self {
        Self {
            paths: 1,
            multi_part: MultiPart::Forbidden,
            features: Vec::new(),
        }
    }
}

impl Offers {
    /// Which offer a request is for: one whose fields it has, of several the one whose path it came
    /// along; else the one with that path, or with the same issuer id.
    fn published(&self, path_id: Option<&[u8]>, stream: &[u8]) -> Option<usize> {
        let state = lock(&self.state);
        let records = tlv::frames(&Rules::all(), stream).unwrap_or_default();
        let marked = |p: &Published| path_id.is_some() && p.made.path_id.as_deref() == path_id;
        let same = |p: &Published| p.made.offer.records.iter().all(|r| records.contains(r));
        let own = |p: &Published| {
            let id = p.made.offer.issuer_id;
            let kind = offer::kind::ISSUER_ID;
            let there = records.iter().find(|record| record.kind == kind);
            there.is_some_and(|there| id.is_some_and(|id| id[..] == there.value))
        };
        // Offers without paths may be alike, and then the last one is meant.
        let last = |is: &dyn Fn(&Published) -> bool| state.published.iter().rposition(is);
        last(&|p| same(p) && marked(p))
            .or_else(|| last(&same))
            .or_else(|| last(&marked))
            .or_else(|| last(&own))
    }

    pub(super) fn requested(&self, messages: &Messages, received: &Received, stream: &[u8]) {
        let path_id = received.path_id.as_deref();
        let at = self.published(path_id, stream);
        let known = at.and_then(|at| lock(&self.state).published.get(at).cloned());
        let made = known.as_ref().map(|p| &p.made);
        let response = bolt12::read_request(stream, made, path_id, now());
        let id = made.map(|made| hex(made.offer.id()));
        let (known, response) = match (known, response) {
            (Some(known), Ok(response)) => (known, response),
            (None, Ok(response)) if !response.request.fields.answers_offer() => {
                if let Err(e) = self.repay(messages, &response, None, None) {
                    eprintln!("adapter: a refund is not asked for: {}", e.message);
                }
                return;
            }
            (_, answer) => {
                let (rule, text) = match &answer {
                    Err(violation) => (Some(violation.rule), violation.to_string()),
                    Ok(_) => (None, "it is for no offer of the probe's".into()),
                };
                let fields = ResultObject::new()
                    .maybe("offer_id", id)
                    .maybe("rule", rule)
                    .with("message", text.clone())
                    .done();
                self.hook.tell("invoice-request-refused", fields);
                return self.complain(messages, received, &text);
            }
        };
        if let Some(text) = &known.refuse {
            return self.complain(messages, received, text);
        }
        // BOLT 12, invoice request reader: an earlier invoice answers for an issuer id only.
        let repeats = known.made.offer.issuer_id.is_some();
        let again = known.answered.get(stream).filter(|_| repeats).cloned();
        let sealed = match again {
            Some(sealed) => Ok(sealed),
            None => {
                let wrong = known.wrong.as_deref();
                let made = self.invoice(&known.made, &known.paid_in, wrong, &response);
                made.map(|(sealed, _)| sealed)
            }
        };
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(e) => {
                eprintln!("adapter: no invoice can be made: {e}");
                return self.complain(messages, received, "no invoice can be made");
            }
        };
        let mut state = lock(&self.state);
        if let Some(published) = at.and_then(|at| state.published.get_mut(at)) {
            published.answered.insert(stream.to_vec(), sealed.clone());
        }
        drop(state);
        let to = match (&received.reply_path, sealed.past_path) {
            (Some(path), false) => To::Path(path.clone()),
            (Some(_), true) => To::Node(received.peer),
            // Nobody can be answered.
            (None, _) => return,
        };
        let mut records = sealed.fields();
        if known.reply_path {
            let mark = self.hook.draw();
            match messages.reply_path(&[], &mark, &[message::INVOICE_ERROR]) {
                Ok(path) => records.insert(0, reply_record(&path)),
                Err(e) => eprintln!("adapter: no reply path can be made: {e}"),
            }
        }
        if let Err(e) = messages.send(&[], &to, records) {
            eprintln!("adapter: an invoice is not sent: {e}");
        }
    }

    /// A new invoice, which the payee expects to be paid, and its hash.
    fn invoice(
        &self,
        made: &Made,
        paid_in: &PaidIn,
        wrong: Option<&str>,
        response: &invoice_request::Response,
    ) -> Result<(Sealed, [u8; 32]), String> {
        let amount_msat = response
            .invoice_amount
            .ok_or("nobody has named an amount")?;
        let secret = self.hook.draw();
        let paths = (0..paid_in.paths.max(1)).map(|at| {
            // Nobody is to take a path that asks for what it does not know; who does shows by a
            // secret that is not the invoice's.
            let astray = at == 0 && wrong == Some(FIRST_PATH_UNUSABLE);
            self.payment_path(if astray { self.hook.draw() } else { secret })
        });
        let terms = Terms {
            amount_msat,
            preimage: self.hook.draw(),
            paths: paths.collect::<Result<_, String>>()?,
            multi_part: paid_in.multi_part,
            features: paid_in.features.clone(),
            now: now(),
        };
        let asked = &response.request.records;
        let sealed = bolt12::answer(asked, made, &terms, wrong).map_err(|e| e.to_string())?;
        let hash = terms.payment_hash();
        let expected = Expected {
            preimage: Some(terms.preimage),
            secret,
            amount_msat: Some(amount_msat),
        };
        let mut payee = lock(&self.hook.payee);
        payee.expect(hash, expected);
        if paid_in.multi_part == MultiPart::Forbidden {
            payee.single_part(hash);
        }
        drop(payee);
        let of_an_offer = response.request.fields.answers_offer();
        let fields = ResultObject::new()
            .maybe("offer_id", of_an_offer.then(|| hex(made.offer.id())))
            .with("payment_hash", hex(hash))
            .with("amount_msat", amount_msat.to_string())
            .done();
        self.hook.tell("invoice-sent", fields);
        Ok((sealed, hash))
    }

    /// A path to the probe for HTLCs, marked with a payment secret.
    fn payment_path(&self, secret: [u8; 32]) -> Result<BlindedPath, String> {
        let constraints = [&LATEST.to_be_bytes()[..], &truncated(1)].concat();
        let data = tlv::encode_unchecked(&[
            Record::new(blinding::kind::PATH_ID, secret),
            Record::new(blinding::kind::PAYMENT_CONSTRAINTS, constraints),
        ]);
        let own = keys::public(&self.hook.secret);
        let built = blinding::build(&self.hook.draw_key(), &[(own, data)]);
        built.map(|built| built.path).map_err(|e| e.to_string())
    }

    /// Sends the invoice for a refund, and answers its hash and its stream. `along` is a path that was
    /// given out for something else.
    fn repay(
        &self,
        messages: &Messages,
        response: &invoice_request::Response,
        wrong: Option<&str>,
        along: Option<&BlindedPath>,
    ) -> Result<([u8; 32], Vec<u8>), OpError> {
        let made = Made::none(self.hook.secret);
        let (sealed, hash) = self
            .invoice(&made, &PaidIn::default(), wrong, response)
            .map_err(|e| OpError::internal(format!("no invoice can be made: {e}")))?;
        let fields = &response.request.fields;
        // BOLT 12, invoice request reader: along a path of the request, else to the payer's id.
        let path = match response.request.reply_to() {
            ReplyTo::Paths => fields.paths.as_ref().and_then(|paths| paths.first()),
            _ => None,
        };
        let to = match (along.filter(|_| sealed.along), path) {
            (Some(other), _) => To::Path(other.clone()),
            (None, Some(path)) if sealed.past_path => {
                let first = messages.first_node(path);
                To::Node(first.map_err(|e| OpError::rejected(e.to_string()))?)
            }
            (None, Some(path)) => To::Path(path.clone()),
            (None, None) => {
                let id = PublicKey::from_slice(&fields.payer_id.unwrap_or([0; 33]));
                let id =
                    id.map_err(|e| OpError::invalid(format!("the payer id is no key: {e}")))?;
                To::Node(id)
            }
        };
        let sent = messages.send(&[], &to, sealed.fields());
        sent.map_err(|e| OpError::rejected(e.to_string()))?;
        Ok((hash, sealed.stream()))
    }

    /// Says in an `invoice_error` what is wrong, where that can be said to somebody.
    fn complain(&self, messages: &Messages, received: &Received, text: &str) {
        let Some(path) = &received.reply_path else {
            return;
        };
        let record = Record::new(invoice_error::kind::ERROR, text);
        let sent = invoice_error::write(&Rules::all(), &[record])
            .map_err(|e| e.to_string())
            .and_then(|stream| {
                let records = vec![Record::new(message::INVOICE_ERROR, stream)];
                let to = To::Path(path.clone());
                messages.send(&[], &to, records).map_err(|e| e.to_string())
            });
        if let Err(e) = sent {
            eprintln!("adapter: an invoice_error is not sent: {e}");
        }
    }
}

// ---- operations

impl PaidIn {
    fn read(params: Params<'_>) -> Result<Self, OpError> {
        let multi_part = match params.maybe("parts", Params::str)? {
            None | Some("forbidden") => MultiPart::Forbidden,
            Some("allowed") => MultiPart::Allowed,
            Some("required") => MultiPart::Required,
            Some(other) => {
                return Err(OpError::invalid(format!(
                    "param parts is {other}, not forbidden, allowed or required"
                )));
            }
        };
        let paths = params.maybe("invoice_paths", Params::u32)?.unwrap_or(1);
        Ok(Self {
            paths: usize::try_from(paths.min(8)).unwrap_or(1),
            multi_part,
            features: bits(params, "invoice_features")?,
        })
    }
}

/// The node as an end of one of its announced channels, which takes less room than its id.
fn own_end(node: &Node) -> Result<FirstNode, OpError> {
    let channels = node.cm.list_channels();
    let usable = channels.iter().filter(|c| c.is_usable && c.is_announced);
    let mut known = usable.filter_map(|c| Some((c.short_channel_id?, c.counterparty.node_id)));
    let (short_channel_id, other) = known.next().ok_or_else(|| {
        OpError::rejected("the probe has no announced channel that a path could begin at")
    })?;
    // BOLT 7, channel_announcement: the lesser id is the first.
    let end = u8::from(other.serialize() < node.id.serialize());
    Ok(FirstNode::Channel {
        end,
        short_channel_id,
    })
}

pub(super) fn create(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    use offer::kind;
    let amount = params.maybe("amount_msat", Params::number)?;
    if params.maybe("async", Params::bool)? == Some(true) {
        return crate::messages::invoice_server::offer(params, node);
    }
    let description = params.maybe("description", Params::str)?;
    let expiry = params.maybe("expiry", Params::number)?;
    let quantity_max = params.maybe("quantity_max", Params::number)?;
    let paths = params.maybe("paths", Params::bool)?.unwrap_or(true);
    let issuer_id = params.maybe("issuer_id", Params::bool)?.unwrap_or(true);
    let reply_path = params.maybe("reply_path", Params::bool)?.unwrap_or(false);
    let refuse = params.maybe("refuse", Params::str)?.map(str::to_owned);
    let by_channel = params.maybe("by_channel", Params::bool)?.unwrap_or(false);
    let features = bits(params, "features")?;
    let paid_in = PaidIn::read(params)?;
    let wrong = misbehaviour(params, "offer.create")?;
    let node = node()?;
    let hook = &node.hook;
    let mut records = vec![Record::new(kind::CHAINS, bolt12::regtest())];
    if let Some(amount) = amount {
        records.push(Record::new(kind::AMOUNT, truncated(amount)));
    }
    let description = description.or(amount.map(|_| "tea"));
    if let Some(text) = description {
        records.push(Record::new(kind::DESCRIPTION, text));
    }
    if !features.is_empty() {
        let bitmap = features::from_bits(features);
        records.push(Record::new(kind::FEATURES, bitmap));
    }
    if let Some(seconds) = expiry {
        let until = now().saturating_add(seconds);
        records.push(Record::new(kind::ABSOLUTE_EXPIRY, truncated(until)));
    }
    let internal = |e: &dyn std::fmt::Display| OpError::internal(format!("no path: {e}"));
    // Without paths an offer is asked for at the node's id.
    let (mut path_id, mut secret) = (None, hook.secret);
    if paths {
        let mark = hook.draw();
        let mut path = node.messages.path(&[], &mark).map_err(|e| internal(&e))?;
        if by_channel {
            path.first_node = own_end(&node)?;
        }
        secret = if issuer_id {
            hook.draw_key()
        } else {
            // Without an issuer id the end of the path signs.
            let data = path.hops.last().map(|hop| hop.encrypted_data.clone());
            let data = data.unwrap_or_default();
            let read = blinding::unblind(&Rules::all(), &hook.secret, &path.first_path_key, &data);
            read.map_err(|e| internal(&e))?.blinded_secret
        };
        let value = path.encode().map_err(|e| internal(&e))?;
        records.push(Record::new(kind::PATHS, value));
        path_id = Some(mark.to_vec());
    }
    if let Some(most) = quantity_max {
        records.push(Record::new(kind::QUANTITY_MAX, truncated(most)));
    }
    if issuer_id {
        records.push(Record::new(kind::ISSUER_ID, key_of(&secret)));
    }
    let rules = Rules::all();
    let text = offer::encode(&rules, &records).map_err(|e| broken(&e))?;
    let read = offer::decode(&rules, &text, Context::default()).map_err(|e| broken(&e))?;
    let offer_id = hex(read.id());
    let published = Published {
        made: Made {
            offer: read,
            path_id,
            secret,
        },
        wrong,
        refuse,
        reply_path,
        paid_in,
        answered: HashMap::new(),
    };
    lock(&node.offers.state).published.push(published);
    Ok(json!({"offer": text, "offer_id": offer_id}))
}

pub(super) fn pay_refund(
    params: Params<'_>,
    node: impl Fn() -> Result<Arc<Node>, Fail>,
) -> Outcome {
    let text = params.str("refund")?;
    let wrong = misbehaviour(params, "refund.pay")?;
    let along = other_path(params)?;
    let response = bolt12::read_refund(text, now()).map_err(|e| broken(&e))?;
    let node = node()?;
    let (hash, stream) =
        node.offers
            .repay(&node.messages, &response, wrong.as_deref(), along.as_ref())?;
    node.peers.process_events();
    let hash = hex(hash);
    Ok(json!({"payment": hash, "payment_hash": hash, "invoice": hex(stream)}))
}
