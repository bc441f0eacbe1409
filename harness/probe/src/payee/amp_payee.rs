//! The honest payee of AMP: sets of HTLCs with a hash each, by `specs/drafts/amp-reusable-invoice.md`.

use crate::payee::{Arrived, Decision, Held, MIN_FINAL_DELTA, PAID, Set, custom, details, refusal};
use lnconform_drafts::amp::{self, LND};
use lnconform_drafts::bigsize;
use lnconform_drafts::failure::code;
use lnconform_drafts::payload::Payload;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::Record;
use std::collections::{HashMap, HashSet};

/// Seconds that the HTLCs of a set wait for the rest: recipient, `mpp_timeout`.
pub const TIMEOUT: u64 = 120;

/// No invoice with its payment secret asks for AMP.
const TO_OTHER_INVOICE: &str = "amp/recipient/amp-to-other-invoice";
/// The invoice with its payment secret asks for AMP.
pub const OTHER_TO_AMP: &str = "amp/recipient/other-to-amp-invoice";
const UNKNOWN_SECRET: &str = "amp/recipient/unknown-secret";
const INVOICE_CLOSED: &str = "amp/recipient/invoice-closed";
const TOTAL_LOW: &str = "amp/recipient/total-low";
const EXPIRY: &str = "amp/recipient/expiry";
/// The rest of a set did not come in time.
pub const TIMED_OUT: &str = "amp/recipient/timeout";
const NO_PAYMENT_DATA: &str = "amp/recipient/no-payment-data";
const TOTAL_ZERO: &str = "amp/recipient/total-zero";
const TOTAL_MISMATCH: &str = "amp/recipient/total-mismatch";
const SET_ID_ZERO: &str = "amp/recipient/set-id-zero";
const SET_ID_AGAIN: &str = "amp/recipient/set-id-again";
const RECONSTRUCTION: &str = "amp/recipient/reconstruction";

/// Payment secret and set id: what the HTLCs of a set have in common.
type Key = ([u8; 32], [u8; 32]);

#[derive(Debug, Default)]
struct AmpSet {
    total_msat: u64,
    amount_msat: u64,
    first: u64,
    parts: Vec<amp::Part>,
    records: Vec<Record>,
    arrival: crate::proofs::tunnel::Arrival,
    /// By hash; there once the set is whole and opens.
    preimages: Vec<[u8; 32]>,
    held: HashSet<[u8; 32]>,
    settled: HashSet<[u8; 32]>,
}

impl AmpSet {
    fn hashes(&self) -> Vec<[u8; 32]> {
        self.parts.iter().map(|part| part.payment_hash).collect()
    }
}

/// A reusable AMP invoice. It is payable, again and again, until it has expired or is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmpInvoice {
    /// The one that BOLT 11 demands; no HTLC is locked to it.
    pub payment_hash: [u8; 32],
    /// In msat; absent: any.
    pub amount_msat: Option<u64>,
    /// Seconds since 1970 from which on it takes nothing.
    pub expires: u64,
    /// It was cancelled.
    pub closed: bool,
}

/// What the payee knows of an HTLC from elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Its payment secret is that of an invoice that does not ask for AMP.
    pub plain_invoice: bool,
    /// Its hash was paid before.
    pub paid: bool,
}

/// Sets under way.
#[derive(Debug, Default)]
pub struct AmpSets {
    /// It takes payments to invoices alone.
    pub invoices_only: bool,
    /// By payment secret.
    pub(super) invoices: HashMap<[u8; 32], AmpInvoice>,
    sets: HashMap<Key, AmpSet>,
    of_hash: HashMap<[u8; 32], Key>,
    pub(super) done: HashSet<Key>,
}

impl AmpSets {
    /// Remembers an invoice with this payment secret.
    pub fn expect(&mut self, secret: [u8; 32], invoice: AmpInvoice) {
        self.invoices.insert(secret, invoice);
    }

    /// Whether an invoice with this payment secret asks for AMP.
    pub fn asks(&self, secret: &[u8; 32]) -> bool {
        self.invoices.contains_key(secret)
    }

    /// Closes the invoice with this payment hash. `false` if there is none.
    pub fn close(&mut self, payment_hash: &[u8; 32]) -> bool {
        let mut all = self.invoices.values_mut();
        let found = all.find(|invoice| invoice.payment_hash == *payment_hash);
        found.map(|invoice| invoice.closed = true).is_some()
    }

    /// Recipient: what the invoice of an HTLC's payment secret says.
    fn of_invoice(
        &self,
        htlc: &Arrived<'_>,
        secret: &[u8; 32],
        total_msat: u64,
        known: Known,
    ) -> Result<(), (&'static str, String)> {
        if known.plain_invoice {
            return Err((TO_OTHER_INVOICE, "its invoice does not ask for AMP".into()));
        }
        let Some(invoice) = self.invoices.get(secret) else {
            return if self.invoices_only {
                Err((UNKNOWN_SECRET, "no invoice has its payment secret".into()))
            } else {
                Ok(())
            };
        };
        if invoice.closed || htlc.now >= invoice.expires {
            return Err((INVOICE_CLOSED, "the invoice is closed".into()));
        }
        let asked = invoice.amount_msat.unwrap_or(0);
        // A total of 0 has a statement of its own.
        if total_msat > 0 && total_msat < asked {
            let message = format!("total_msat is {total_msat}, and the invoice asks for {asked}");
            return Err((TOTAL_LOW, message));
        }
        Ok(())
    }

    /// Decides about an HTLC with an AMP record.
    pub fn arrive(
        &mut self,
        rules: &Rules,
        htlc: &Arrived<'_>,
        payload: &Payload,
        record: &[u8],
        known: Known,
    ) -> Decision {
        let refuse = |rule, message: &str| Decision::Refuse(details(htlc, Some(rule), message));
        // Recipient: a record that is refused is a payload that is not understood.
        let record = match amp::Record::decode(rules, &LND, record) {
            Ok(record) => record,
            Err(violation) => {
                let data = [bigsize::encode(LND.record_type), vec![0, 0]].concat();
                let code = code::INVALID_ONION_PAYLOAD;
                return Decision::Refuse(refusal(
                    Some(violation.rule),
                    code,
                    data,
                    &violation.message,
                ));
            }
        };
        let Some((secret, total_msat)) = payload.payment_data else {
            return refuse(NO_PAYMENT_DATA, "it has an AMP record and no payment data");
        };
        if let Err((rule, message)) = self.of_invoice(htlc, &secret, total_msat, known) {
            return refuse(rule, &message);
        }
        if htlc.cltv_expiry.saturating_sub(htlc.height) < MIN_FINAL_DELTA {
            return refuse(EXPIRY, "it expires too soon");
        }
        if total_msat == 0 {
            return refuse(TOTAL_ZERO, "total_msat is 0");
        }
        if record.set_id == [0; 32] {
            return refuse(SET_ID_ZERO, "the set id is zero");
        }
        let key = (secret, record.set_id);
        if self.done.contains(&key) {
            return refuse(SET_ID_AGAIN, "the set was settled");
        }
        if known.paid {
            return refuse(PAID, "the hash was paid before");
        }
        let set = self.sets.entry(key).or_default();
        if set.parts.is_empty() {
            set.total_msat = total_msat;
            set.first = htlc.now;
            set.records = custom(payload);
            set.arrival.payment_addr = secret;
            set.arrival.total_msat = total_msat;
        } else if set.total_msat != total_msat {
            let message = format!(
                "total_msat is {total_msat}, and {} in the HTLCs before",
                set.total_msat
            );
            return refuse(TOTAL_MISMATCH, &message);
        }
        set.amount_msat = set.amount_msat.saturating_add(htlc.amount_msat);
        let part = amp::Part {
            share: record.root_share,
            index: record.index,
            payment_hash: htlc.hash,
        };
        set.arrival.add(&part, htlc.amount_msat, &payload.records);
        set.parts.push(part);
        self.of_hash.insert(htlc.hash, key);
        let whole = set.amount_msat >= set.total_msat;
        if whole {
            match amp::reconstruct(rules, &LND, &set.parts) {
                Ok(opened) => set.preimages = opened.preimages.iter().map(|p| **p).collect(),
                Err(violation) => {
                    let hashes = set.hashes();
                    self.forget(key);
                    let refusal = details(htlc, Some(RECONSTRUCTION), &violation.message);
                    return Decision::RefuseSet(refusal, hashes);
                }
            }
        }
        Decision::Take {
            amount_msat: htlc.amount_msat,
            // To LDK it is a payment of its own.
            total_msat: htlc.amount_msat,
            whole,
        }
    }

    /// LDK holds the HTLC of a hash. `None` if it is not one of a set.
    pub fn held(&mut self, hash: [u8; 32]) -> Option<Held> {
        let set = self.sets.get_mut(self.of_hash.get(&hash)?)?;
        set.held.insert(hash);
        // Recipient: nothing of a set is settled before all of it can be.
        let all = !set.preimages.is_empty() && set.held.len() == set.parts.len();
        Some(if all {
            Held::Settle(set.preimages.clone())
        } else {
            Held::Wait
        })
    }

    /// The HTLC of a hash is settled: the set, if it was the last one. `None` if it is not one of a
    /// set.
    pub fn settled(&mut self, hash: [u8; 32]) -> Option<Option<Set>> {
        let key = *self.of_hash.get(&hash)?;
        let set = self.sets.get_mut(&key)?;
        set.settled.insert(hash);
        if set.settled.len() < set.parts.len() {
            return Some(None);
        }
        let mut whole = Set::of_amp(key.1, set.parts.len(), set.amount_msat, set.records.clone());
        whole.arrival = Some(set.arrival.clone());
        self.done.insert(key);
        self.forget(key);
        Some(Some(whole))
    }

    /// The set of a hash was failed.
    pub fn failed(&mut self, hash: &[u8; 32]) {
        if let Some(key) = self.of_hash.get(hash).copied() {
            self.forget(key);
        }
    }

    /// Hashes of the sets that have waited too long; they are forgotten.
    pub fn overdue(&mut self, now: u64) -> Vec<[u8; 32]> {
        let late =
            |set: &AmpSet| set.preimages.is_empty() && now.saturating_sub(set.first) > TIMEOUT;
        let keys: Vec<Key> = self
            .sets
            .iter()
            .filter(|(_, set)| late(set))
            .map(|(key, _)| *key)
            .collect();
        let hashes = keys.iter().filter_map(|key| self.sets.get(key));
        let hashes = hashes.flat_map(AmpSet::hashes).collect();
        for key in keys {
            self.forget(key);
        }
        hashes
    }

    fn forget(&mut self, key: Key) {
        self.sets.remove(&key);
        self.of_hash.retain(|_, of| *of != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misbehave::Plan;
    use crate::payee::Payee;
    use bitcoin::secp256k1::SecretKey;
    use lnconform_drafts::keys;

    /// What the payee says of each HTLC of a plan, whose first arrives at second 1000.
    fn arrive(payee: &mut Payee, plan: &Plan) -> Vec<Decision> {
        let key = SecretKey::from_slice(&[5; 32]).unwrap();
        let shots = plan.shots(&[], || key);
        let decide = |shot: &crate::shot::Shot| {
            payee.arrive(&Arrived {
                hash: shot.hash,
                amount_msat: shot.htlc_msat,
                cltv_expiry: 580,
                payload: &shot.pack(580).unwrap().payload,
                shared_secret: crate::payee::tests::fresh(),
                height: 500,
                now: 1_000,
            })
        };
        shots.iter().map(decide).collect()
    }

    fn plan(parts: usize) -> Plan {
        let to = keys::public(&SecretKey::from_slice(&[9; 32]).unwrap());
        let mut drawn = 10;
        let draw = || {
            drawn += 1;
            [drawn; 32]
        };
        Plan::amp(to, [4; 32], vec![100_000; parts], 80, draw)
    }

    #[test]
    fn a_set_is_settled_when_all_of_it_is_held() {
        let (mut payee, plan) = (Payee::default(), plan(3));
        let decisions = arrive(&mut payee, &plan);
        let whole = |d: &Decision| matches!(d, Decision::Take { whole: true, .. });
        assert_eq!(
            decisions.iter().map(whole).collect::<Vec<_>>(),
            [false, false, true]
        );
        let hashes: Vec<_> = plan.shots(&[], || SecretKey::from_slice(&[5; 32]).unwrap());
        let hashes: Vec<_> = hashes.iter().map(|shot| shot.hash).collect();
        assert_eq!(payee.held(hashes[0]), Held::Wait);
        assert_eq!(payee.held(hashes[2]), Held::Wait);
        let Held::Settle(preimages) = payee.held(hashes[1]) else {
            panic!("not settled");
        };
        for (preimage, hash) in preimages.iter().zip(&hashes) {
            assert_eq!(keys::sha256(&[preimage]), *hash);
        }
        assert!(payee.settled(hashes[0]).is_none());
        assert!(payee.settled(hashes[1]).is_none());
        let set = payee.settled(hashes[2]).unwrap();
        assert_eq!((set.parts(), set.amount_msat), (3, 300_000));
    }

    #[test]
    fn half_a_set_is_given_up_after_two_minutes() {
        let mut payee = Payee::default();
        let mut half = plan(2);
        half.parts.pop();
        assert!(matches!(
            arrive(&mut payee, &half)[..],
            [Decision::Take { whole: false, .. }]
        ));
        assert!(payee.overdue(1_120).is_empty());
        let overdue = payee.overdue(1_121);
        assert_eq!((overdue.len(), overdue[0].1.code), (1, 23));
        assert_eq!(payee.held(overdue[0].0), Held::Gone);
    }

    #[test]
    fn a_settled_set_is_not_opened_again() {
        let (mut payee, plan) = (Payee::default(), plan(1));
        arrive(&mut payee, &plan);
        let hash = plan.parts[0].hash;
        payee.held(hash);
        assert!(payee.settled(hash).is_some());
        let mut again = plan.clone();
        again.parts[0].hash = [1; 32];
        match &arrive(&mut payee, &again)[..] {
            [Decision::Refuse(refusal)] => assert_eq!(refusal.rule, Some(SET_ID_AGAIN)),
            other => panic!("{other:?}"),
        }
    }

    fn invoice(secret: [u8; 32], amount_msat: u64) -> Payee {
        let mut payee = Payee::default();
        let invoice = AmpInvoice {
            payment_hash: [8; 32],
            amount_msat: Some(amount_msat),
            expires: 1_001,
            closed: false,
        };
        payee.amp.expect(secret, invoice);
        payee
    }

    fn rule(decisions: &[Decision]) -> Option<&'static str> {
        match decisions.last().unwrap() {
            Decision::Refuse(refusal) | Decision::RefuseSet(refusal, _) => refusal.rule,
            Decision::Take { .. } => None,
        }
    }

    #[test]
    fn an_invoice_is_paid_while_it_is_open_and_with_what_it_asks_for() {
        // The plan's total is 300000 msat, and its secret all fours.
        let paid = |payee: &mut Payee| rule(&arrive(payee, &plan(3)));
        assert_eq!(paid(&mut invoice([4; 32], 300_000)), None);
        assert_eq!(paid(&mut invoice([4; 32], 300_001)), Some(TOTAL_LOW));
        let mut closed = invoice([4; 32], 300_000);
        assert!(!closed.amp.close(&[9; 32]) && closed.amp.close(&[8; 32]));
        assert_eq!(paid(&mut closed), Some(INVOICE_CLOSED));
        let mut expired = invoice([4; 32], 300_000);
        expired.amp.invoices.get_mut(&[4; 32]).unwrap().expires = 1_000;
        assert_eq!(paid(&mut expired), Some(INVOICE_CLOSED));
        let mut other = invoice([5; 32], 300_000);
        assert_eq!(paid(&mut other), None);
        other.amp.invoices_only = true;
        assert_eq!(paid(&mut other), Some(UNKNOWN_SECRET));
    }

    #[test]
    fn an_invoice_takes_one_set_after_another() {
        let mut payee = invoice([4; 32], 100_000);
        for n in [20, 40] {
            let mut drawn = n;
            let draw = || {
                drawn += 1;
                [drawn; 32]
            };
            let to = keys::public(&SecretKey::from_slice(&[9; 32]).unwrap());
            let one = Plan::amp(to, [4; 32], vec![100_000], 80, draw);
            assert_eq!(rule(&arrive(&mut payee, &one)), None);
            payee.held(one.hash());
            assert_eq!(payee.settled(one.hash()).unwrap().amount_msat, 100_000);
        }
    }

    #[test]
    fn half_a_set_does_not_complete_half_another() {
        let mut payee = invoice([4; 32], 200_000);
        let half = |set_id: u8| {
            let mut half = plan(2);
            half.parts.truncate(1);
            half.parts[0].hash = [set_id; 32];
            half.parts[0].amp.as_mut().unwrap()[32..64].fill(set_id);
            half
        };
        for set_id in [1, 2] {
            let decisions = arrive(&mut payee, &half(set_id));
            assert!(
                matches!(decisions[..], [Decision::Take { whole: false, .. }]),
                "{decisions:?}"
            );
            assert_eq!(payee.held([set_id; 32]), Held::Wait);
        }
    }
}
