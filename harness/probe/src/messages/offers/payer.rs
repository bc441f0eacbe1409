//! Whoever pays: requests for offers, refunds, what comes back for both, and the payment.

use super::{Offers, bits, broken, first_node, other_path, static_payer};
use crate::messages::bolt12::{self, Asked, Sealed, Wish};
use crate::messages::{Received, To, reply_record};
use crate::misbehave::Plan;
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::now;
use crate::ops::misbehaviour;
use bitcoin::secp256k1::PublicKey;
use lnconform_drafts::bech32;
use lnconform_drafts::blinding::BlindedPath;
use lnconform_drafts::bolt12::invoice::{Invoice, MultiPart};
use lnconform_drafts::bolt12::invoice_error;
use lnconform_drafts::bolt12::invoice_request;
use lnconform_drafts::bolt12::offer::{self, Context, Offer};
use lnconform_drafts::onion_message::kind as message;
use lnconform_drafts::payload;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_drafts::value::truncated;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex, hex_bytes};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Offers {
    /// The request that an answer is for: one whose metadata it repeats, of several the one whose path
    /// for answers it came along; else the one with that path.
    pub(super) fn asked(&self, path_id: Option<&[u8]>, stream: &[u8]) -> Option<Asked> {
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

    pub(super) fn invoiced(&self, received: &Received, stream: &[u8]) {
        let path_id = received.path_id.as_deref();
        let Some(asked) = self.asked(path_id, stream) else {
            let fields = json!({"message": "nothing was asked for that this invoice answers"});
            return self.hook.tell("invoice-refused", fields);
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
                self.hook.tell("invoice-received", fields);
            }
            Err(violation) => {
                let fields = json!({
                    "request": handle, "rule": violation.rule, "message": violation.to_string(),
                });
                self.hook.tell("invoice-refused", fields);
            }
        }
    }

    pub(super) fn told(&self, received: &Received, stream: &[u8]) {
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
        self.hook.tell("invoice-error", fields.done());
    }
}

// ---- operations

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
        let wrong = misbehaviour(params, op)?;
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

pub(super) fn request(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let wanted = Wanted::read(params, "offer.request")?;
    let (handle, stream) = wanted.send(&*node()?)?;
    Ok(json!({"request": handle, "bytes": hex(stream)}))
}

/// A request for no offer, which is made and, where somebody is named, sent.
pub(super) fn create_refund(
    params: Params<'_>,
    node: impl Fn() -> Result<Arc<Node>, Fail>,
) -> Outcome {
    let amount_msat = params.number("amount_msat")?;
    let description = params.maybe("description", Params::str)?;
    let expiry = params.maybe("expiry", Params::number)?;
    let paths = params.maybe("paths", Params::bool)?.unwrap_or(true);
    let to = params.maybe("to", crate::ops::public_key)?;
    let wrong = misbehaviour(params, "refund.create")?;
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

impl Offers {
    /// What was asked for under a handle.
    fn earlier(&self, handle: &str) -> Result<Asked, OpError> {
        let state = lock(&self.state);
        let found = state.asked.iter().find(|a| hex(a.path_id) == handle);
        let found = found.cloned();
        found.ok_or_else(|| OpError::invalid(format!("the probe has sent no request {handle}")))
    }
}

pub(super) fn pay(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let earlier = params.maybe("request", Params::str)?.map(str::to_owned);
    let wanted = match earlier {
        Some(_) => None,
        None => Some(Wanted::read(params, "offer.pay")?),
    };
    let wrong = misbehaviour(params, "offer.pay")?;
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
