//! The honest payee of AMP: sets of HTLCs with a hash each, by `specs/drafts/amp-reusable-invoice.md`.

use crate::payee::{Arrived, Decision, Held, Set, custom, details, refusal};
use lnconform_drafts::amp::{self, LND};
use lnconform_drafts::bigsize;
use lnconform_drafts::failure::code;
use lnconform_drafts::payload::Payload;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::Record;
use std::collections::{HashMap, HashSet};

/// Seconds that the HTLCs of a set wait for the rest: recipient, `mpp_timeout`.
pub const TIMEOUT: u64 = 120;

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

/// Sets under way.
#[derive(Debug, Default)]
pub struct AmpSets {
    sets: HashMap<Key, AmpSet>,
    of_hash: HashMap<[u8; 32], Key>,
    done: HashSet<Key>,
}

impl AmpSets {
    /// Decides about an HTLC with an AMP record.
    pub fn arrive(
        &mut self,
        rules: &Rules,
        htlc: &Arrived<'_>,
        payload: &Payload,
        record: &[u8],
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
}
