//! AMP payments and reusable AMP invoices (`specs/drafts/amp-reusable-invoice.md`) of the probe.
//!
//! LDK's reader of invoices refuses feature bit 30, so they are read and written as far as BOLT 11 goes, and
//! by the rules of the draft here.
//!
//! - `invoice.create` with `amp` (`amount_msat`, `description`, `expiry` in seconds, 30 days) → `invoice`,
//!   `payment_hash`, `payment_secret`;
//! - `amp.send` with `invoice` pays one, with `to` it pays without; `shards` [{`amount_msat`, `root_share`,
//!   `set_id`, `index`, `payment_hash`}] are sent as they are, with `total_msat` and `payment_secret`;
//! - `invoice.pay` with `amp` is `amp.send`; without, an AMP invoice is `rejected`, unless a step misbehaves.

use crate::misbehave::{Part, Plan};
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::now;
use crate::ops;
use crate::payee::MIN_FINAL_DELTA;
use crate::payee::amp_payee::AmpInvoice;
use crate::proofs::{pool, tunnel, value};
use bitcoin::secp256k1::{PublicKey, Secp256k1};
use lightning03::bolt11_invoice::{
    Currency, InvoiceBuilder, RawTaggedField, SignedRawBolt11Invoice, TaggedField,
};
use lightning03::types::features::Bolt11InvoiceFeatures;
use lightning03::types::payment::{PaymentHash, PaymentSecret};
use lnconform_drafts::amp;
use lnconform_drafts::amp_tunnel::REQUEST_TYPE;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, hex};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// `option_amp`: the even bit stands in invoices, the odd one in what a node announces.
pub const FEATURE: usize = 30;
/// Feature bits 8 (`var_onion_optin`), 14 (`payment_secret`) and 30 (`option_amp`), least byte first.
const FEATURES: [u8; 4] = [0, 0x41, 0, 0x40];
/// Invoice, writer: seconds that it lasts where its user asks for nothing else.
const EXPIRY: u64 = 2_592_000;
/// BOLT 11: seconds that an invoice lasts which does not say.
const EXPIRY_DEFAULT: u64 = 3_600;

/// Invoice, reader: it is paid by AMP.
const PAY_BY_AMP: &str = "amp/invoice/pay-by-amp";
/// Invoice, reader: it is paid before it has expired.
const PAY_AGAIN: &str = "amp/invoice/pay-again";
/// Payer: other invoices are not.
const ONLY_AMP_INVOICES: &str = "amp/payer/only-amp-invoices";
/// Payer: a set id is drawn anew.
const SET_ID: &str = "amp/payer/set-id";

type SendResult<T> = Result<T, OpError>;

fn read(text: &str) -> SendResult<SignedRawBolt11Invoice> {
    text.parse()
        .map_err(|e| OpError::invalid(format!("param invoice: {e:?}")))
}

fn has_bit(invoice: &SignedRawBolt11Invoice, bit: usize) -> bool {
    let flags = invoice.features().map_or(&[][..], |f| f.le_flags());
    flags
        .get(bit / 8)
        .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

/// Whether an invoice asks to be paid by AMP.
pub fn is_amp(text: &str) -> bool {
    read(text).is_ok_and(|invoice| has_bit(&invoice, FEATURE))
}

/// Bit 31 beside others, least byte first. LDK knows neither of the two bits, and sets none itself.
pub fn announced(flags: &[u8]) -> Vec<u8> {
    let odd = FEATURE + 1;
    let mut flags = flags.to_vec();
    if flags.len() <= odd / 8 {
        flags.resize(odd / 8 + 1, 0);
    }
    flags[odd / 8] |= 1 << (odd % 8);
    flags
}

/// `invoice.create` with `amp`.
pub(crate) fn create(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let amount_msat = params.maybe("amount_msat", Params::number)?;
    let description = params
        .maybe("description", Params::str)?
        .unwrap_or_default();
    let expiry = params.maybe("expiry", Params::number)?.unwrap_or(EXPIRY);
    let node = node()?;
    let (hash, secret) = (node.hook.draw(), node.hook.draw());
    let made = now();
    let mut builder = InvoiceBuilder::new(Currency::Regtest)
        .description(description.to_owned())
        .payment_hash(PaymentHash(hash))
        .payment_secret(PaymentSecret(secret))
        .duration_since_epoch(Duration::from_secs(made))
        .min_final_cltv_expiry_delta(MIN_FINAL_DELTA.into())
        .expiry_time(Duration::from_secs(expiry));
    if let Some(msat) = amount_msat {
        builder = builder.amount_milli_satoshis(msat);
    }
    let wrong = |e| OpError::invalid(format!("no invoice can be made of this: {e}"));
    let mut raw = builder.build_raw().map_err(wrong)?;
    for field in &mut raw.data.tagged_fields {
        if let RawTaggedField::KnownSemantics(TaggedField::Features(features)) = field {
            *features = Bolt11InvoiceFeatures::from_le_bytes(FEATURES.to_vec());
        }
    }
    let (secp, key) = (Secp256k1::new(), node.hook.secret);
    let signed = raw.sign(|message| {
        Ok::<_, std::convert::Infallible>(secp.sign_ecdsa_recoverable(message, &key))
    });
    let Ok(signed) = signed;
    let invoice = AmpInvoice {
        payment_hash: hash,
        amount_msat,
        expires: made.saturating_add(expiry),
        closed: false,
    };
    lock(&node.hook.payee).amp.expect(secret, invoice);
    Ok(json!({
        "invoice": signed.to_string(),
        "payment_hash": hex(hash),
        "payment_secret": hex(secret),
    }))
}

/// What an HTLC is sent by, of an invoice or of a step.
struct Asked {
    to: PublicKey,
    secret: Option<[u8; 32]>,
    amount_msat: Option<u64>,
    delta: u32,
}

fn asked(params: Params<'_>, lie: Option<&str>, clock: u64) -> SendResult<Asked> {
    if params.get("invoice").is_none() {
        return Ok(Asked {
            to: ops::public_key(params, "to")?,
            secret: params.maybe("payment_secret", Params::array::<32>)?,
            amount_msat: None,
            delta: ops::FINAL_DELTA,
        });
    }
    let invoice = read(params.str("invoice")?)?;
    if !has_bit(&invoice, FEATURE)
        && !has_bit(&invoice, FEATURE + 1)
        && lie != Some("amp-to-plain-invoice")
    {
        let why = "the invoice does not ask for AMP";
        return Err(OpError::rejected(why).with_rule(ONLY_AMP_INVOICES));
    }
    let lasts = invoice
        .expiry_time()
        .map_or(EXPIRY_DEFAULT, |e| e.as_seconds());
    let made = invoice.data.timestamp.as_unix_timestamp();
    if clock >= made.saturating_add(lasts) && lie != Some("amp-invoice-expired") {
        let why = "the invoice has expired";
        return Err(OpError::rejected(why).with_rule(PAY_AGAIN));
    }
    let to = match invoice.payee_pub_key() {
        Some(key) => key.0,
        None => {
            invoice
                .recover_payee_pub_key()
                .map_err(|e| OpError::invalid(format!("param invoice: {e}")))?
                .0
        }
    };
    let secret = invoice.payment_secret().map(|secret| secret.0);
    let secret = secret.ok_or_else(|| OpError::invalid("the invoice has no payment secret"))?;
    let delta = invoice
        .min_final_cltv_expiry_delta()
        .map_or(18, |delta| delta.0);
    Ok(Asked {
        to,
        secret: Some(secret),
        amount_msat: invoice.amount_pico_btc().map(|pico| pico / 10),
        // Some blocks more, that one which is found meanwhile does no harm.
        delta: u32::try_from(delta).unwrap_or(u32::MAX).saturating_add(8),
    })
}

/// HTLCs that a step has chosen; their total is their sum, unless the step says otherwise.
fn shards(params: Params<'_>, to: PublicKey, secret: [u8; 32], delta: u32) -> SendResult<Plan> {
    let mut plan = Plan::new(to, [0; 32], Vec::new(), delta);
    for shard in params.list("shards")? {
        let shard = Params::new(shard);
        let record = amp::Record {
            root_share: shard.array::<32>("root_share")?.into(),
            set_id: shard.array::<32>("set_id")?,
            index: shard.u32("index")?,
            own_payment_data: None,
        };
        let record = record.encode(&Rules::all(), &amp::LND);
        let record = record.map_err(|v| OpError::invalid(v.message).with_rule(v.rule))?;
        plan.parts.push(Part {
            hash: shard.array::<32>("payment_hash")?,
            amount_msat: shard.number("amount_msat")?,
            total_msat: 0,
            secret: Some(secret),
            amp: Some(record.to_vec()),
            records: None,
        });
    }
    let amounts = plan.parts.iter().map(|part| part.amount_msat);
    let sum = amounts.fold(0, u64::saturating_add);
    plan.with_total(sum);
    Ok(plan)
}

/// `amp.send`.
pub(crate) fn send(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    let delta = params.maybe("final_cltv_delta", Params::u32)?;
    let total = params.maybe("total_msat", Params::number)?;
    let given = params.maybe("amount_msat", Params::number)?;
    let lie = ops::misbehaviour(params, "amp.send")?;
    if params.get("invoice").is_none() {
        ops::public_key(params, "to")?;
    }
    let chosen = params.get("shards").is_some();
    let node = node()?;
    let asked = asked(params, lie.as_deref(), node.hook.now())?;
    let secret = asked.secret.unwrap_or_else(|| node.hook.draw());
    let delta = delta.unwrap_or(asked.delta);
    let mut plan = if chosen {
        shards(params, asked.to, secret, delta)?
    } else {
        let amount = given.or(asked.amount_msat);
        let amount = amount.ok_or_else(|| OpError::invalid("param amount_msat is missing"))?;
        let amounts = ops::parts(params, amount)?;
        Plan::amp(asked.to, secret, amounts, delta, || node.hook.draw())
    };
    let records = records.into_iter();
    plan.records = records
        .map(|(kind, value)| Record::new(kind, value))
        .collect();
    if let Some(total) = total {
        plan.with_total(total);
    }
    if !chosen {
        tunnel::bound(&mut plan);
    }
    ops::apply(&mut plan, lie.as_deref())?;
    may_be_sent(&node, &plan)?;
    lock(&node.proofs).seals.sending(&plan);
    let sent = ops::start(&node, &plan)?;
    let payment = sent["payment"].as_str().unwrap_or_default();
    let mut proofs = lock(&node.proofs);
    let ids = set_ids(&plan).into_iter();
    proofs
        .tunnels
        .sets
        .extend(ids.map(|id| (id, payment.to_owned())));
    Ok(sent)
}

fn set_ids(plan: &Plan) -> HashSet<[u8; 32]> {
    let id = |part: &Part| part.amp.as_ref()?.get(32..64)?.try_into().ok();
    plan.parts.iter().filter_map(id).collect()
}

/// Whether all of a payment was settled.
fn is_settled(node: &Node, payment: &str) -> bool {
    let ended = node.hook.events.find(|seen| {
        let ours = seen.payment.as_deref() == Some(payment);
        ours.then(|| seen.kind == "payment-sent")
    });
    ended == Some(true)
}

/// The payer's rules that look at what was sent before.
fn may_be_sent(node: &Node, plan: &Plan) -> SendResult<()> {
    let (tunnels, sets) = {
        let proofs = lock(&node.proofs);
        let request = value(&plan.records, REQUEST_TYPE);
        let tunnels = request.map(|request| proofs.tunnels.sent_with(request));
        (tunnels.unwrap_or_default(), proofs.tunnels.sets.clone())
    };
    if tunnels.iter().any(|payment| is_settled(node, payment)) {
        let why = "the tunnel of this request was settled before the rest was sent";
        return Err(OpError::rejected(why).with_rule(pool::EARLY_SETTLE));
    }
    // A set may be sent in several steps: its id is used up once a payment with it was settled.
    let ids = set_ids(plan);
    let used = |(id, payment): &([u8; 32], String)| ids.contains(id) && is_settled(node, payment);
    if !plan.again && sets.iter().any(used) {
        let why = "the set id is that of a payment that was settled";
        return Err(OpError::rejected(why).with_rule(SET_ID));
    }
    Ok(())
}

/// `invoice.pay` of an AMP invoice.
pub(crate) fn pay(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    if params.maybe("amp", Params::bool)? == Some(true) {
        return send(params, node);
    }
    let lie = ops::misbehaviour(params, "invoice.pay")?;
    let invoice = read(params.str("invoice")?)?;
    if lie.as_deref() != Some("plain-to-amp-invoice") {
        let why = "the invoice is to be paid by AMP";
        return Err(OpError::rejected(why).with_rule(PAY_BY_AMP).into());
    }
    let node = node()?;
    let asked = asked(params, None, node.hook.now())?;
    let amount = params
        .maybe("amount_msat", Params::number)?
        .or(asked.amount_msat);
    let amount = amount.ok_or_else(|| OpError::invalid("param amount_msat is missing"))?;
    let hash = invoice
        .payment_hash()
        .ok_or_else(|| OpError::invalid("the invoice has no payment hash"))?
        .0;
    let mut plan = Plan::new(asked.to, hash, vec![amount], asked.delta);
    if let Some(secret) = asked.secret {
        plan.with_secret(secret);
    }
    ops::start(&node, &plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_odd_bit_is_announced_beside_what_there_was() {
        assert_eq!(announced(&[2]), [2, 0, 0, 0x80]);
        assert_eq!(announced(&[0, 1, 0, 0, 7]), [0, 1, 0, 0x80, 7]);
    }

    #[test]
    fn what_is_no_invoice_is_no_amp_invoice() {
        assert!(!is_amp("lnbcrt1"));
    }

    #[test]
    fn shards_go_as_they_are_and_make_up_their_total() {
        let to = lnconform_drafts::keys::public(
            &bitcoin::secp256k1::SecretKey::from_slice(&[9; 32]).unwrap(),
        );
        let shard = |n: u8, index: u32| {
            json!({"amount_msat": "50000", "root_share": hex([n; 32]), "set_id": hex([7; 32]),
                   "index": index, "payment_hash": hex([n + 1; 32])})
        };
        let params = json!({"shards": [shard(1, 0), shard(3, u32::MAX)]});
        let plan = shards(Params::new(&params), to, [4; 32], 80).unwrap();
        let hashes: Vec<_> = plan.parts.iter().map(|part| part.hash[0]).collect();
        assert_eq!(hashes, [2, 4]);
        assert!(plan.parts.iter().all(|part| part.total_msat == 100_000));
        let lengths: Vec<_> = plan
            .parts
            .iter()
            .map(|p| p.amp.as_ref().unwrap().len())
            .collect();
        assert_eq!(lengths, [64, 68]);
        let params = json!({"shards": [{"amount_msat": "1"}]});
        assert!(shards(Params::new(&params), to, [4; 32], 80).is_err());
    }
}
