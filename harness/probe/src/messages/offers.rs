//! BOLT 12 over onion messages: the offers that the probe makes, and those that it asks for an invoice.
//!
//! - `offer.create` {`amount_msat`, `description`, `expiry` (seconds), `quantity_max`, `paths` (bool,
//!   true), `issuer_id` (bool, true), `refuse` (text)} answers `offer` and `offer_id`. Requests are
//!   answered with an invoice by themselves, or with an `invoice_error` that says `refuse`. With
//!   `reply_path` (bool) a reply path goes along with the invoice. `misbehave` is what is wrong with each
//!   invoice.
//! - `offer.request` {`offer`, `amount_msat`, `quantity`, `note`, `reply_path` (bool, true), `via` [node
//!   ids], `records` (further fields of the onion message)} sends a request and answers `request`, its
//!   handle in events, and `bytes`, its stream.
//! - `offer.pay` {`offer`, `amount_msat`, `quantity`, `note`, `deadline_ms`} asks and pays, and answers
//!   `payment`, `payment_hash` and `invoice`; with `async` (bool) by a static invoice and by no other, see
//!   [`static_payer`].
//!
//! Events of the payee: `invoice-sent` {`offer_id`, `payment_hash`, `amount_msat`},
//! `invoice-request-refused` {`offer_id`, `rule`, `message`}. Events of the payer: `invoice-received`
//! {`request`, `payment_hash`, `amount_msat`, `bytes`, `reply_path` (bool)}, `invoice-refused`
//! {`request`, `rule`, `message`}, `invoice-error` {`request`, `error`, `erroneous_field`}.

pub(crate) mod static_payer;

use crate::messages::bolt12::{self, Asked, Made, Sealed, Terms, Wish};
use crate::messages::{Messages, Received, To, reply_record};
use crate::misbehave::Plan;
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::{Hook, now};
use crate::payee::Invoice as Expected;
use bitcoin::secp256k1::PublicKey;
use lnconform_drafts::blinding::{self, BlindedPath, FirstNode};
use lnconform_drafts::bolt12::invoice::Invoice;
use lnconform_drafts::bolt12::invoice_request;
use lnconform_drafts::bolt12::offer::{self, Context, Offer};
use lnconform_drafts::bolt12::{invoice_error, key_of};
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
    /// The invoice for each request, so that one that comes again gets the same.
    answered: HashMap<Vec<u8>, Sealed>,
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

    /// Which offer a request is for: that whose path it came along, else the one with its issuer id.
    fn published(&self, path_id: Option<&[u8]>, stream: &[u8]) -> Option<usize> {
        let state = lock(&self.state);
        let by_path = path_id.and_then(|mark| {
            let mut all = state.published.iter();
            all.position(|p| p.made.path_id.as_deref() == Some(mark))
        });
        by_path.or_else(|| {
            let records = tlv::frames(&Rules::all(), stream).ok()?;
            let kind = offer::kind::ISSUER_ID;
            let issuer = &records.iter().find(|record| record.kind == kind)?.value;
            let mut all = state.published.iter();
            // Offers without paths share the node's id, and the last one with it that fits is meant.
            let own = |p: &Published| {
                p.made
                    .offer
                    .issuer_id
                    .is_some_and(|id| id[..] == issuer[..])
            };
            let same = |p: &Published| p.made.offer.records.iter().all(|r| records.contains(r));
            let found = all.clone().rposition(|p| own(p) && same(p));
            found.or_else(|| all.rposition(own))
        })
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
        let again = known.answered.get(stream).cloned();
        let sealed = match again {
            Some(sealed) => Ok(sealed),
            None => self.invoice(&known, &response),
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

    /// A new invoice, which the payee expects to be paid.
    fn invoice(
        &self,
        known: &Published,
        response: &invoice_request::Response,
    ) -> Result<Sealed, String> {
        let amount_msat = response
            .invoice_amount
            .ok_or("nobody has named an amount")?;
        let secret = self.hook.draw();
        let constraints = [&LATEST.to_be_bytes()[..], &truncated(1)].concat();
        let data = tlv::encode_unchecked(&[
            Record::new(blinding::kind::PATH_ID, secret),
            Record::new(blinding::kind::PAYMENT_CONSTRAINTS, constraints),
        ]);
        let own = keys::public(&self.hook.secret);
        let path = blinding::build(&self.hook.draw_key(), &[(own, data)])
            .map_err(|e| e.to_string())?
            .path;
        let terms = Terms {
            amount_msat,
            preimage: self.hook.draw(),
            path,
            now: now(),
        };
        let wrong = known.wrong.as_deref();
        let asked = &response.request.records;
        let sealed =
            bolt12::answer(asked, &known.made, &terms, wrong).map_err(|e| e.to_string())?;
        let hash = terms.payment_hash();
        let expected = Expected {
            preimage: Some(terms.preimage),
            secret,
            amount_msat: Some(amount_msat),
        };
        lock(&self.hook.payee).expect(hash, expected);
        let fields = json!({
            "offer_id": hex(known.made.offer.id()),
            "payment_hash": hex(hash),
            "amount_msat": amount_msat.to_string(),
        });
        self.push("invoice-sent", fields);
        Ok(sealed)
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

    /// The request that an answer is for: that whose reply path it came along, else the one whose
    /// metadata it repeats.
    fn asked(&self, path_id: Option<&[u8]>, stream: &[u8]) -> Option<Asked> {
        let state = lock(&self.state);
        let metadata = || {
            let records = tlv::frames(&Rules::all(), stream).ok()?;
            let kind = invoice_request::kind::METADATA;
            records.into_iter().find(|record| record.kind == kind)
        };
        let wanted = match path_id {
            Some(_) => None,
            None => metadata(),
        };
        let found = state.asked.iter().find(|asked| match path_id {
            Some(mark) => asked.path_id == mark,
            None => wanted.as_ref().is_some_and(|w| asked.records.contains(w)),
        });
        found.cloned()
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
    if let Some(seconds) = expiry {
        let until = now().saturating_add(seconds);
        records.push(Record::new(kind::ABSOLUTE_EXPIRY, truncated(until)));
    }
    let internal = |e: &dyn std::fmt::Display| OpError::internal(format!("no path: {e}"));
    // Without paths an offer is asked for at the node's id.
    let (mut path_id, mut secret) = (None, hook.secret);
    if paths {
        let mark = hook.draw();
        let path = node.messages.path(&[], &mark).map_err(|e| internal(&e))?;
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
            wrong,
        })
    }

    /// Sends the request and answers its handle and its stream.
    fn send(&self, node: &Node) -> Result<(String, Vec<u8>), OpError> {
        let hook = &node.hook;
        let (metadata, payer, mark) = (hook.draw(), hook.draw_key(), hook.draw());
        let wrong = self.wrong.as_deref();
        let sealed = bolt12::ask(&self.offer, &self.wish, metadata, &payer, wrong)
            .map_err(|e| broken(&e))?;
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

fn pay(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let wanted = Wanted::read(params, "offer.pay")?;
    let ms = params.maybe("deadline_ms", Params::u32)?.unwrap_or(15_000);
    let deadline = Instant::now() + Duration::from_millis(ms.into());
    let hold = params.maybe("hold", Params::bool)?.unwrap_or(false);
    // A payee who is there may answer a request that its server passes on, with an invoice of its own.
    let waits = params.maybe("async", Params::bool)?.unwrap_or(hold);
    let node = node()?;
    let (handle, asked) = wanted.send(&node)?;
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
        wrong: wanted.wrong.as_deref(),
        deadline,
    };
    if let Some(paid) = static_payer::pay(&node, &handle, &asked, how) {
        return paid;
    }
    let invoice = lock(&node.offers.state).invoices.get(&handle).cloned();
    let invoice = invoice.ok_or_else(|| OpError::internal("the invoice is not there"))?;
    let plan = plan(&invoice)?;
    let shots = plan.shots(&node.route(plan.to, 0)?, || node.hook.draw_key());
    let payment = hex(node.hook.draw());
    node.send(&payment, shots);
    Ok(json!({
        "payment": payment, "payment_hash": hex(plan.hash()), "invoice": hex(stream),
    }))
}

/// One HTLC along a path of the invoice that has no forwarder in it.
fn plan(invoice: &Invoice) -> Result<Plan, Fail> {
    use payload::kind;
    let pays = invoice.blindedpay.as_deref().unwrap_or_default();
    let paths = invoice.paths.as_deref().unwrap_or_default();
    let short = invoice.usable_paths.iter().find_map(|at| {
        let path = paths.get(*at).filter(|path| path.hops.len() == 1)?;
        Some((path, pays.get(*at)?))
    });
    let Some((path, pay)) = short else {
        return Err(Fail::Unsupported(
            "the probe pays along no blinded path with a forwarder in it".into(),
        ));
    };
    let data = path.hops.first().map(|hop| hop.encrypted_data.clone());
    let amount = invoice.amount.unwrap_or(0);
    let hash = invoice.payment_hash.unwrap_or_default();
    let mut plan = Plan::new(
        first_node(path)?,
        hash,
        vec![amount],
        pay.cltv_expiry_delta.into(),
    );
    plan.records = vec![
        Record::new(kind::ENCRYPTED_DATA, data.unwrap_or_default()),
        Record::new(kind::PATH_KEY, path.first_path_key),
        Record::new(kind::TOTAL, truncated(amount)),
    ];
    Ok(plan)
}
