//! The static invoice server and the receiver in one, in LDK's dialect: an offer, the static invoice
//! that answers each request for it, and the payment.
//!
//! - `async.offer` takes `amount_msat` and `misbehave`, and answers `offer`. Where it misbehaves, a
//!   request is answered by the wrong static invoice first and by the right one after it; what comes of
//!   either tells the event `onion-message` in `about`: `wrong` or `right`.

use crate::messages::async_wire::{DIALECT, Error, Mark};
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::{Hook, now};
use crate::payee::{Decision, PREIMAGE};
use crate::shot::{KEYSEND, truncated};
use bitcoin::Network;
use bitcoin::constants::ChainHash;
use bitcoin::secp256k1::SecretKey;
use lnconform_drafts::async_payments::message::write_paths;
use lnconform_drafts::blinding::{self, BlindedPath};
use lnconform_drafts::bolt12::{self, invoice, offer};
use lnconform_drafts::keys;
use lnconform_drafts::payload::kind;
use lnconform_drafts::rules::{self, Rules};
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::Params;
use lnconform_spec::misbehaviours;
use serde_json::json;
use std::sync::Arc;

/// Types of the fields that are written here.
pub(crate) mod field {
    pub const CHAINS: u64 = 2;
    pub const AMOUNT: u64 = 8;
    pub const DESCRIPTION: u64 = 10;
    pub const OFFER_PATHS: u64 = 16;
    pub const ISSUER_ID: u64 = 22;
    pub const INVOICE_PATHS: u64 = 160;
    pub const BLINDEDPAY: u64 = 162;
    pub const CREATED_AT: u64 = 164;
    pub const RELATIVE_EXPIRY: u64 = 166;
    pub const NODE_ID: u64 = 176;
}

/// Seconds that a static invoice is good for.
const EXPIRY: u64 = 3_600;
/// Blocks that the payer's HTLC has at the least when it comes.
const FINAL_DELTA: u16 = 80;
/// Blocks that an HTLC for a static invoice may have fewer than other HTLCs when it comes: LDK adds nothing
/// of [`FINAL_DELTA`] to a path without forwarders, and 41 at the least of its own. The channel takes 41.
pub(crate) const SPARE: u32 = 1;
/// Blocks from the tip on for which a path of a payment is good.
const PATH_BLOCKS: u32 = 2_016;

/// An offer that requests may come for.
#[derive(Clone, Debug)]
pub struct Offered {
    records: Vec<Record>,
    misbehave: Option<String>,
}

/// What goes into a static invoice.
pub(crate) struct Parts<'a> {
    /// The fields of the offer.
    pub(crate) offer: &'a [Record],
    /// The path of the payment.
    pub(crate) payment_path: BlindedPath,
    /// The paths of the message about it.
    pub(crate) message_paths: [BlindedPath; 2],
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl Parts<'_> {
    /// The static invoice, signed, with what `wrong` says done wrong.
    pub(crate) fn invoice(
        &self,
        secret: &SecretKey,
        wrong: Option<&str>,
    ) -> Result<Vec<u8>, Error> {
        let too_long = |e: &dyn std::fmt::Display| Error::Other(e.to_string());
        let path = |path: &BlindedPath| path.encode().map_err(|e| too_long(&e));
        let mut records = self.offer.to_vec();
        let mut payinfo = vec![0; 8];
        payinfo.extend(FINAL_DELTA.to_be_bytes());
        payinfo.extend(1_u64.to_be_bytes());
        payinfo.extend(u64::from(u32::MAX).to_be_bytes());
        payinfo.extend([0, 0]);
        let (mut made, mut key) = (self.now, *secret);
        match wrong {
            Some("static-invoice-expired") => made = self.now.saturating_sub(2 * EXPIRY),
            Some("static-invoice-expired-default") => {
                let age = u64::from(invoice::STATIC_DEFAULT_EXPIRY) + EXPIRY;
                made = self.now.saturating_sub(age);
            }
            Some("static-invoice-other-key") => {
                key = SecretKey::from_slice(&keys::sha256(&[&secret.secret_bytes()]))
                    .map_err(|_| Error::Key)?;
            }
            Some("static-invoice-other-offer") => {
                for record in &mut records {
                    if record.kind == field::DESCRIPTION {
                        record.value = b"coffee".to_vec();
                    }
                }
            }
            _ => {}
        }
        records.extend([
            Record::new(field::INVOICE_PATHS, path(&self.payment_path)?),
            Record::new(field::BLINDEDPAY, payinfo),
            Record::new(field::CREATED_AT, truncated(made)),
        ]);
        if wrong != Some("static-invoice-expired-default") {
            records.push(Record::new(field::RELATIVE_EXPIRY, truncated(EXPIRY)));
        }
        if wrong == Some("static-invoice-payment-hash") {
            let hash = keys::sha256(&[&self.now.to_be_bytes()]);
            records.push(Record::new(invoice::kind::PAYMENT_HASH, hash));
        }
        records.push(Record::new(field::NODE_ID, bolt12::key_of(&key)));
        let kind = DIALECT.invoice();
        if let (Some(number), true) = (
            kind.message_paths(),
            wrong != Some("static-invoice-without-message-paths"),
        ) {
            let paths = write_paths(&self.message_paths).map_err(|e| too_long(&e))?;
            records.push(Record::new(number, paths));
        }
        if wrong.is_none() {
            let writer = invoice::Writer {
                expiry: u32::try_from(EXPIRY).ok(),
                secret: Some(secret),
                ..invoice::Writer::default()
            };
            let written = invoice::write(&Rules::all(), kind, &records, &writer)?;
            return Ok(tlv::encode_unchecked(&written));
        }
        let mut signed = bolt12::sign(kind.message(), &records, &key);
        if wrong == Some("static-invoice-signature")
            && let Some(byte) = signed.last_mut().and_then(|r| r.value.last_mut())
        {
            *byte ^= 1;
        }
        Ok(tlv::encode_unchecked(&signed))
    }
}

/// The records of an offer in the request that answers it.
fn is_of_offer(kind: u64) -> bool {
    (1..80).contains(&kind) || (1_000_000_000..2_000_000_000).contains(&kind)
}

impl Hook {
    /// The path over which a payment comes.
    pub(crate) fn payment_path(&self) -> Result<BlindedPath, Error> {
        let path_id = self.draw().to_vec();
        let until = self.height().saturating_add(PATH_BLOCKS);
        let constraints = [&until.to_be_bytes()[..], &truncated(1)].concat();
        let data = tlv::encode_unchecked(&[
            Record::new(blinding::kind::PATH_ID, path_id.clone()),
            Record::new(blinding::kind::PAYMENT_CONSTRAINTS, constraints),
        ]);
        let own = keys::public(&self.secret);
        let built = blinding::build(&self.draw_key(), &[(own, data)]);
        let built = built.map_err(|e| Error::Other(e.to_string()))?;
        lock(&self.wire).mark(path_id, Mark::Payment);
        Ok(built.path)
    }

    /// A request for an invoice has come over the path of an offer.
    pub(crate) fn request_came(
        &self,
        number: usize,
        request: &[u8],
        reply_path: Option<&BlindedPath>,
    ) -> Result<(), Error> {
        let rules = Rules::all();
        let records = tlv::frames(&rules, request)?;
        let offered = lock(&self.wire).offered(number);
        let (Some(offered), Some(reply_path)) = (offered, reply_path) else {
            return Err(Error::Other("the request cannot be answered".into()));
        };
        let asked = records.iter().filter(|r| is_of_offer(r.kind));
        if !asked.eq(&offered.records) {
            return Err(Error::Other("the request is for another offer".into()));
        }
        let wrong = offered.misbehave.as_deref();
        for (about, wrong) in [("wrong", wrong), ("right", None)] {
            if about == "wrong" && wrong.is_none() {
                continue;
            }
            let parts = Parts {
                offer: &offered.records,
                payment_path: self.payment_path()?,
                message_paths: [
                    self.own_path(Mark::Available(true, Some(about)))?,
                    self.own_path(Mark::Available(true, Some(about)))?,
                ],
                now: now(),
            };
            let invoice = parts.invoice(&self.secret, wrong)?;
            let payload = Record::new(DIALECT.static_invoice(), invoice);
            self.send_over(reply_path, payload, None)?;
            self.message_event("sent", "static_invoice", None, Some(about));
        }
        Ok(())
    }

    /// A payload as the payee takes it: what a static invoice's payer adds to that of a keysend payment
    /// is read and taken out.
    pub(crate) fn of_static_invoice(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let rules = Rules::all();
        let records = tlv::frames(&rules, payload).ok()?;
        let value = |kind: u64| records.iter().find(|r| r.kind == kind).map(|r| &r.value);
        value(DIALECT.payload_invoice_request())?;
        let key = value(kind::PATH_KEY)?.as_slice().try_into().ok()?;
        let sealed = value(kind::ENCRYPTED_DATA)?;
        let read = blinding::unblind(&rules, &self.secret, &key, sealed).ok()?;
        let mark = lock(&self.wire).find(read.data.path_id.as_ref()?);
        if mark != Some(Mark::Payment) {
            return None;
        }
        let kept: Vec<Record> = records
            .iter()
            .filter(|r| matches!(r.kind, kind::AMOUNT | kind::CLTV | KEYSEND))
            .cloned()
            .collect();
        Some(tlv::encode_unchecked(&kept))
    }
}

/// What a payee says of an HTLC for its static invoice, of which it has read a keysend payment.
pub(crate) fn judged(decision: Decision) -> Decision {
    match decision {
        Decision::Refuse(mut refusal) if refusal.rule == Some(PREIMAGE) => {
            // Pull request 1149: it is claimed with the preimage that came along, or not at all.
            refusal.rule = Some(rules::PR_1149_PAYLOAD_CLAIM);
            Decision::Refuse(refusal)
        }
        other => other,
    }
}

/// `async.offer`.
pub fn offer(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let amount = params.number("amount_msat")?;
    let wrong = params.maybe("misbehave", Params::str)?;
    if let Some(wrong) = wrong {
        let known = misbehaviours::find(wrong);
        if !known.is_some_and(|m| m.operations.iter().any(|o| o == "async.offer")) {
            return Err(OpError::invalid(format!(
                "param misbehave is {wrong}, which is nothing that async.offer can do"
            ))
            .into());
        }
    }
    let node = node()?;
    let hook = &node.hook;
    let number = lock(&hook.wire).next_offer();
    let path = hook.own_path(Mark::Request(number))?;
    let path = path.encode().map_err(|e| Error::Other(e.to_string()))?;
    let chain = ChainHash::using_genesis_block(Network::Regtest).to_bytes();
    let records = vec![
        Record::new(field::CHAINS, chain),
        Record::new(field::AMOUNT, truncated(amount)),
        Record::new(field::DESCRIPTION, *b"tea"),
        Record::new(field::OFFER_PATHS, path),
        Record::new(field::ISSUER_ID, bolt12::key_of(&hook.secret)),
    ];
    let text = offer::encode(&Rules::all(), &records).map_err(Error::from)?;
    lock(&hook.wire).offer(Offered {
        records,
        misbehave: wrong.map(str::to_owned),
    });
    Ok(json!({"offer": text}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::offers::static_payer;

    fn secret() -> SecretKey {
        SecretKey::from_slice(&[9; 32]).unwrap()
    }

    fn path() -> BlindedPath {
        let data = tlv::encode_unchecked(&[Record::new(blinding::kind::PATH_ID, [7; 32])]);
        blinding::build(&secret(), &[(keys::public(&secret()), data)])
            .unwrap()
            .path
    }

    fn offer_records() -> Vec<Record> {
        let chain = ChainHash::using_genesis_block(Network::Regtest).to_bytes();
        vec![
            Record::new(field::CHAINS, chain),
            Record::new(field::AMOUNT, truncated(100_000)),
            Record::new(field::DESCRIPTION, *b"tea"),
            Record::new(field::OFFER_PATHS, path().encode().unwrap()),
            Record::new(field::ISSUER_ID, bolt12::key_of(&secret())),
        ]
    }

    /// What a payer of this dialect finds wrong with it.
    fn read(wrong: Option<&str>) -> Option<&'static str> {
        let offer = offer_records();
        let parts = Parts {
            offer: &offer,
            payment_path: path(),
            message_paths: [path(), path()],
            now: 1_700_000_000,
        };
        let stream = parts.invoice(&secret(), wrong).unwrap();
        let asked = static_payer::Asked {
            request: &offer,
            sent_to: None,
            now: 1_700_000_000,
        };
        let read = static_payer::read(&Rules::all(), DIALECT.invoice(), &stream, &asked);
        read.err().map(|violation| violation.rule)
    }

    #[test]
    fn a_preimage_that_opens_nothing_is_refused_by_the_rule_for_static_invoices() {
        let refused = |rule| {
            let refusal = crate::payee::refusal(Some(rule), 1, Vec::new(), "");
            match judged(Decision::Refuse(refusal)) {
                Decision::Refuse(refusal) => refusal.rule,
                _ => None,
            }
        };
        assert_eq!(refused(PREIMAGE), Some(rules::PR_1149_PAYLOAD_CLAIM));
        let other = rules::PAYLOAD_FINAL_AMOUNT;
        assert_eq!(refused(other), Some(other));
    }

    #[test]
    fn a_payer_takes_the_right_one_and_refuses_each_wrong_one_by_its_rule() {
        assert_eq!(read(None), None);
        let mut count = 0;
        for known in misbehaviours::all().unwrap() {
            if known.operations.iter().any(|o| o == "async.offer") {
                count += 1;
                assert_eq!(
                    read(Some(&known.name)),
                    known.reader.as_deref(),
                    "{}",
                    known.name
                );
            }
        }
        assert_eq!(count, 7);
    }
}
