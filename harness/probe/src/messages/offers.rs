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

pub(crate) mod static_payer;

use crate::messages::bolt12::{self, Asked, FIRST_PATH_UNUSABLE, Made, Sealed, Terms, Wish};
use crate::messages::{Messages, Received, To, reply_record};
use crate::misbehave::Plan;
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::{Hook, now};
use crate::payee::Invoice as Expected;
use bitcoin::secp256k1::PublicKey;
use lnconform_drafts::bech32;
use lnconform_drafts::blinding::{self, BlindedPath, FirstNode};
use lnconform_drafts::bolt12::invoice::{Invoice, MultiPart};
use lnconform_drafts::bolt12::invoice_request::{self, ReplyTo};
use lnconform_drafts::bolt12::offer::{self, Context, Offer};
use lnconform_drafts::bolt12::{invoice_error, key_of};
use lnconform_drafts::features;
use lnconform_drafts::keys;
use lnconform_drafts::onion_message::kind as message;
use lnconform_drafts::payload;
use lnconform_drafts::rules::{Rules, Violation};
use lnconform_drafts::tlv::{self, Record};
use lnconform_drafts::value::truncated;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex, hex_bytes};
use lnconform_spec::misbehaviours;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest that an HTLC along a path of the probe's may last: no limit, block height.
const LATEST: u32 = u32::MAX >> 1;

/// An offer, and how requests for it are answered.
#[derive(Clone)]
struct Published {
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

impl Offers {
    /// Listens for the messages of BOLT 12.
    pub(crate) fn listening(hook: Arc<Hook>, messages: &Messages) -> Arc<Self> {
        let offers = Arc::new(Self {
            hook,
            state: Mutex::default(),
        });
        let own = offers.clone();
        messages.listen(
            &static_payer::ANSWERS,
            Box::new(move |messages, received| own.hear(messages, received)),
        );
        offers
    }

    fn push(&self, kind: &'static str, fields: Value) {
        self.hook.events.push(kind, None, (), fields);
    }

    fn hear(&self, messages: &Messages, received: &Received) -> bool {
        let Some(payload) = &received.payload else {
            return false;
        };
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

    // ---- payee

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

    fn requested(&self, messages: &Messages, received: &Received, stream: &[u8]) {
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
                self.push("invoice-request-refused", fields);
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
        self.push("invoice-sent", fields);
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

    // ---- payer

    /// The request that an answer is for: one whose metadata it repeats, of several the one whose path
    /// for answers it came along; else the one with that path.
    fn asked(&self, path_id: Option<&[u8]>, stream: &[u8]) -> Option<Asked> {
        let state = lock(&self.state);
        let records = tlv::frames(&Rules::all(), stream).unwrap_or_default();
        let kind = invoice_request::kind::METADATA;
        let metadata = records.iter().find(|record| record.kind == kind);
        let same = |asked: &Asked| metadata.is_some_and(|m| asked.records.contains(m));
        let marked = |asked: &Asked| path_id.is_some_and(|mark| asked.path_id == mark);
        let first = |is: &dyn Fn(&Asked) -> bool| state.asked.iter().find(|asked| is(asked));
        first(&|asked| same(asked) && marked(asked))
            .or_else(|| first(&same))
            .or_else(|| first(&marked))
            .cloned()
    }

    fn invoiced(&self, received: &Received, stream: &[u8]) {
        let path_id = received.path_id.as_deref();
        let Some(asked) = self.asked(path_id, stream) else {
            let fields = json!({"message": "nothing was asked for that this invoice answers"});
            return self.push("invoice-refused", fields);
        };
        let handle = hex(asked.path_id);
        match asked.read(stream, path_id, now()) {
            Ok(invoice) => {
                let fields = ResultObject::new()
                    .with("request", handle.clone())
                    .maybe("payment_hash", invoice.payment_hash.map(hex))
                    .maybe("amount_msat", invoice.amount.map(|msat| msat.to_string()))
                    .with("bytes", hex(stream))
                    .with("reply_path", received.reply_path.is_some())
                    .done();
                lock(&self.state).invoices.insert(handle, invoice);
                self.push("invoice-received", fields);
            }
            Err(violation) => {
                let fields = json!({
                    "request": handle, "rule": violation.rule, "message": violation.to_string(),
                });
                self.push("invoice-refused", fields);
            }
        }
    }

    fn told(&self, received: &Received, stream: &[u8]) {
        let asked = self.asked(received.path_id.as_deref(), &[]);
        let fields = ResultObject::new().maybe("request", asked.map(|a| hex(a.path_id)));
        let fields = match invoice_error::read(&Rules::all(), stream) {
            Ok(error) => fields.maybe("error", error.error).maybe(
                "erroneous_field",
                error.erroneous_field.map(|field| field.to_string()),
            ),
            Err(violation) => fields
                .with("rule", violation.rule)
                .with("message", violation.to_string()),
        };
        self.push("invoice-error", fields.done());
    }
}

// ---- operations

/// Answers one of the operations of this file.
pub fn call(op: &str, params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    match op {
        "offer.create" => create(params, node),
        "offer.request" => request(params, node),
        "refund.create" => create_refund(params, node),
        "refund.pay" => pay_refund(params, node),
        _ => pay(params, node),
    }
}

fn wrong(params: Params<'_>, op: &str) -> Result<Option<String>, OpError> {
    let Some(name) = params.maybe("misbehave", Params::str)? else {
        return Ok(None);
    };
    match misbehaviours::find(name) {
        Some(known) if known.operations.iter().any(|o| o == op) => Ok(Some(known.name)),
        _ => Err(OpError::invalid(format!(
            "param misbehave is {name}, which is nothing that {op} can do"
        ))),
    }
}

/// A list of feature bits; without one there are none.
fn bits(params: Params<'_>, name: &str) -> Result<Vec<u16>, OpError> {
    let list = params.maybe(name, Params::list)?.unwrap_or_default();
    let bit = |value: &Value| value.as_u64().and_then(|bit| u16::try_from(bit).ok());
    let bits: Option<Vec<u16>> = list.iter().map(bit).collect();
    bits.ok_or_else(|| OpError::invalid(format!("param {name} is no list of feature bits")))
}

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

fn create(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
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
    let wrong = wrong(params, "offer.create")?;
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

/// What is asked for, of params.
struct Wanted {
    offer: Offer,
    wish: Wish,
    reply_path: bool,
    via: Vec<PublicKey>,
    records: Vec<Record>,
    /// The handle of a request that is sent once more.
    again: Option<String>,
    along: Option<BlindedPath>,
    wrong: Option<String>,
}

impl Wanted {
    fn read(params: Params<'_>, op: &str) -> Result<Self, Fail> {
        let text = params.str("offer")?;
        let wrong = wrong(params, op)?;
        let chains = [bolt12::regtest()];
        let late = wrong.as_deref() == Some("invreq-offer-expired");
        let context = Context {
            // A payer who does not look at the time asks all the same.
            now: (!late).then(now),
            chains: Some(&chains),
        };
        let offer = offer::decode(&Rules::all(), text, context).map_err(|e| broken(&e))?;
        let wish = Wish {
            amount_msat: params.maybe("amount_msat", Params::number)?,
            quantity: params.maybe("quantity", Params::number)?,
            note: params.maybe("note", Params::str)?.map(str::to_owned),
            features: bits(params, "features")?,
        };
        let via = params.maybe("via", Params::list)?.unwrap_or_default();
        let via = via
            .iter()
            .map(|id| id.as_str().and_then(|id| id.parse().ok()))
            .collect::<Option<Vec<PublicKey>>>()
            .ok_or_else(|| OpError::invalid("param via holds something else than node ids"))?;
        let records = params.maybe("records", Params::records)?;
        let records = records.unwrap_or_default().into_iter();
        Ok(Self {
            offer,
            wish,
            reply_path: params.maybe("reply_path", Params::bool)?.unwrap_or(true),
            via,
            records: records
                .map(|(kind, value)| Record::new(kind, value))
                .collect(),
            again: params.maybe("again", Params::str)?.map(str::to_owned),
            along: other_path(params)?,
            wrong,
        })
    }

    /// Sends the request and answers its handle and its stream.
    fn send(&self, node: &Node) -> Result<(String, Vec<u8>), OpError> {
        let hook = &node.hook;
        let (metadata, payer, mark) = (hook.draw(), hook.draw_key(), hook.draw());
        let wrong = self.wrong.as_deref();
        let sealed = match &self.again {
            Some(handle) => Sealed::again(&node.offers.earlier(handle)?),
            None => bolt12::ask(&self.offer, &self.wish, metadata, &payer, wrong)
                .map_err(|e| broken(&e))?,
        };
        let stream = sealed.stream();
        let mut records = sealed.fields();
        records.extend(self.records.iter().cloned());
        if self.reply_path {
            let mut back = self.via.clone();
            back.reverse();
            let mut answers = vec![message::INVOICE, message::INVOICE_ERROR];
            answers.extend(static_payer::ANSWERS);
            let path = node.messages.reply_path(&back, &mark, &answers);
            let path = path.map_err(|e| OpError::internal(format!("no reply path: {e}")))?;
            records.push(reply_record(&path));
        }
        records.sort_by_key(|record| record.kind);
        let to = self.to(&sealed)?;
        let asked = Asked {
            records: sealed.records,
            path_id: mark,
            sent_to: to.end(),
        };
        lock(&node.offers.state).asked.push(asked);
        let sent = node.messages.send(&self.via, &to, records);
        sent.map_err(|e| OpError::rejected(e.to_string()))?;
        node.peers.process_events();
        Ok((hex(mark), stream))
    }

    fn to(&self, sealed: &Sealed) -> Result<To, OpError> {
        if sealed.along {
            let other = self.along.clone().map(To::Path);
            return other.ok_or_else(|| OpError::invalid("param along is missing"));
        }
        let path = self.offer.paths.as_ref().and_then(|paths| paths.first());
        match (path, sealed.past_path) {
            (Some(path), false) => Ok(To::Path(path.clone())),
            (Some(path), true) => first_node(path).map(To::Node),
            (None, _) => {
                let id = self.offer.issuer_id.unwrap_or([0; 33]);
                let id = PublicKey::from_slice(&id)
                    .map_err(|e| OpError::invalid(format!("the issuer id is no key: {e}")))?;
                Ok(To::Node(id))
            }
        }
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

fn request(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let wanted = Wanted::read(params, "offer.request")?;
    let (handle, stream) = wanted.send(&*node()?)?;
    Ok(json!({"request": handle, "bytes": hex(stream)}))
}

/// A request for no offer, which is made and, where somebody is named, sent.
fn create_refund(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let amount_msat = params.number("amount_msat")?;
    let description = params.maybe("description", Params::str)?;
    let expiry = params.maybe("expiry", Params::number)?;
    let paths = params.maybe("paths", Params::bool)?.unwrap_or(true);
    let to = params.maybe("to", crate::ops::public_key)?;
    let wrong = wrong(params, "refund.create")?;
    let node = node()?;
    let hook = &node.hook;
    let (metadata, mark) = (hook.draw(), hook.draw());
    let answers = [message::INVOICE, message::INVOICE_ERROR];
    // Without a path the invoice goes to the payer id, so that this has to be the node's.
    let (path, payer) = if paths {
        let path = node.messages.reply_path(&[], &mark, &answers);
        let path = path.map_err(|e| OpError::internal(format!("no path: {e}")))?;
        (Some(path), hook.draw_key())
    } else {
        (None, hook.secret)
    };
    let refund = bolt12::Refund {
        amount_msat,
        description: description.unwrap_or("tea"),
        until: expiry.map(|seconds| now().saturating_add(seconds)),
        path: path.as_ref(),
    };
    let sealed = bolt12::refund(&refund, metadata, &payer, wrong.as_deref());
    let sealed = sealed.map_err(|e| broken(&e))?;
    let (stream, fields) = (sealed.stream(), sealed.fields());
    let asked = Asked {
        records: sealed.records,
        path_id: mark,
        sent_to: None,
    };
    lock(&node.offers.state).asked.push(asked);
    if let Some(to) = to {
        let sent = node.messages.send(&[], &To::Node(to), fields);
        sent.map_err(|e| OpError::rejected(e.to_string()))?;
        node.peers.process_events();
    }
    let text = bech32::encode(invoice_request::PREFIX, &stream);
    Ok(json!({"refund": text, "request": hex(mark), "bytes": hex(stream)}))
}

fn pay_refund(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let text = params.str("refund")?;
    let wrong = wrong(params, "refund.pay")?;
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

impl Offers {
    /// What was asked for under a handle.
    fn earlier(&self, handle: &str) -> Result<Asked, OpError> {
        let state = lock(&self.state);
        let found = state.asked.iter().find(|a| hex(a.path_id) == handle);
        let found = found.cloned();
        found.ok_or_else(|| OpError::invalid(format!("the probe has sent no request {handle}")))
    }
}

fn pay(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let earlier = params.maybe("request", Params::str)?.map(str::to_owned);
    let wanted = match earlier {
        Some(_) => None,
        None => Some(Wanted::read(params, "offer.pay")?),
    };
    let wrong = wrong(params, "offer.pay")?;
    let parts = params.maybe("parts", Params::u32)?.unwrap_or(1);
    // What goes wrong goes wrong with the payment: the request is honest.
    let wanted = wanted.map(|wanted| Wanted {
        wrong: None,
        ..wanted
    });
    let ms = params.maybe("deadline_ms", Params::u32)?.unwrap_or(15_000);
    let deadline = Instant::now() + Duration::from_millis(ms.into());
    let hold = params.maybe("hold", Params::bool)?.unwrap_or(false);
    // A payee who is there may answer a request that its server passes on, with an invoice of its own.
    let waits = params.maybe("async", Params::bool)?.unwrap_or(hold);
    let node = node()?;
    let handle = match (wanted, earlier) {
        (Some(wanted), _) => wanted.send(&node)?.0,
        (None, earlier) => earlier.unwrap_or_default(),
    };
    let asked = node.offers.earlier(&handle)?;
    let what = "an answer to the invoice request";
    let stream = node.hook.events.wait(deadline, what, |seen| {
        if seen.fields["request"] != handle.as_str() {
            return None;
        }
        match seen.kind {
            "invoice-received" if waits => None,
            "invoice-received" | "static-invoice-received" => {
                seen.fields["bytes"].as_str().and_then(hex_bytes).map(Ok)
            }
            "invoice-refused" | "invoice-error" | "static-invoice-refused" => {
                let why = format!("{} {}", seen.kind, seen.fields);
                Some(Err(OpError::rejected(why)))
            }
            _ => None,
        }
    })??;
    let how = static_payer::How {
        hold,
        wrong: wrong.as_deref(),
        deadline,
    };
    if let Some(paid) = static_payer::pay(&node, &handle, &asked.stream(), how) {
        return paid;
    }
    let invoice = lock(&node.offers.state).invoices.get(&handle).cloned();
    let invoice = invoice.ok_or_else(|| OpError::internal("the invoice is not there"))?;
    let parts = match wrong.as_deref() {
        Some(_) => 2,
        None => usize::try_from(parts).unwrap_or(1),
    };
    let (plan, taken) = plan(&invoice, parts)?;
    if wrong.is_none() {
        let allowed = asked.pays(&stream, now(), &taken);
        allowed.map_err(|e| broken(&e))?;
    }
    let shots = plan.shots(&node.route(plan.to, 0)?, || node.hook.draw_key());
    let payment = hex(node.hook.draw());
    node.send(&payment, shots);
    Ok(json!({
        "payment": payment, "payment_hash": hex(plan.hash()), "invoice": hex(stream),
    }))
}

/// HTLCs along paths of the invoice that have no forwarder in them, and the path of each: so many parts,
/// and where several must pay, one for each of two paths at least.
fn plan(invoice: &Invoice, parts: usize) -> Result<(Plan, Vec<usize>), Fail> {
    use payload::kind;
    let pays = invoice.blindedpay.as_deref().unwrap_or_default();
    let paths = invoice.paths.as_deref().unwrap_or_default();
    let short = invoice.usable_paths.iter().filter_map(|at| {
        let path = paths.get(*at).filter(|path| path.hops.len() == 1)?;
        Some((*at, path, pays.get(*at)?))
    });
    let short: Vec<_> = short.collect();
    let Some((_, first, _)) = short.first() else {
        return Err(Fail::Unsupported(
            "the probe pays along no blinded path with a forwarder in it".into(),
        ));
    };
    let parts = match invoice.multi_part() {
        MultiPart::Required => parts.max(2),
        _ => parts.max(1),
    };
    let amount = invoice.amount.unwrap_or(0);
    let each = amount / u64::try_from(parts).unwrap_or(1);
    let mut amounts = vec![each; parts];
    // What is left over goes with the first.
    amounts[0] += amount - amounts.iter().sum::<u64>();
    let delta = short.iter().map(|(_, _, pay)| pay.cltv_expiry_delta).max();
    let hash = invoice.payment_hash.unwrap_or_default();
    let delta = delta.unwrap_or_default().into();
    let mut plan = Plan::new(first_node(first)?, hash, amounts, delta);
    let mut taken = Vec::with_capacity(parts);
    for (part, (at, path, _)) in plan.parts.iter_mut().zip(short.iter().cycle()) {
        let data = path.hops.first().map(|hop| hop.encrypted_data.clone());
        part.records = Some(vec![
            Record::new(kind::ENCRYPTED_DATA, data.unwrap_or_default()),
            Record::new(kind::PATH_KEY, path.first_path_key),
            Record::new(kind::TOTAL, truncated(amount)),
        ]);
        taken.push(*at);
    }
    Ok((plan, taken))
}
