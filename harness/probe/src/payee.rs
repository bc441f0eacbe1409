//! The honest payee: what becomes of an HTLC that has arrived, by the rules of `drafts`.
//!
//! No clock and no node: heights and times are given.

pub(crate) mod amp_payee;
pub(crate) mod state;

use crate::blind::Paths;
use crate::payee::amp_payee::{AmpSets, Known, OTHER_TO_AMP, TIMED_OUT};
use crate::shot::KEYSEND;
use lnconform_drafts::amp;
use lnconform_drafts::bigsize;
use lnconform_drafts::failure::code;
use lnconform_drafts::keys;
use lnconform_drafts::mpp::{self, Action, Expected, Part};
use lnconform_drafts::payload::{self, Context, Dialect, Payload, Position};
use lnconform_drafts::rules::{AIT_ENTRY_UNUSED as ENTRY_UNUSED, Rules};
use lnconform_drafts::tlv::Record;
use std::collections::{HashMap, HashSet};

/// Blocks that an HTLC must have left. LDK, which holds the channel, cannot claim one with less.
pub const MIN_FINAL_DELTA: u32 = 42;

/// bLIP 3, receiver.
pub(crate) const PREIMAGE: &str = "blip-0003/receiver/preimage";
/// BOLT 4, failure messages: the secret that belongs to a hash.
const PAYMENT_SECRET: &str = "bolt04/failure/payment-secret";
/// BOLT 4, failure messages: a hash that was paid.
pub(crate) const PAID: &str = "bolt04/failure/paid-unknown";
/// BOLT 4, failure messages: an expiry too near.
const CLTV_NEAR: &str = "bolt04/failure/cltv-near";
/// BOLT 4, onion decryption: an onion that has been seen before.
const REPLAY: &str = "bolt04/onion/replay";

/// An HTLC that has arrived, its onion peeled.
#[derive(Clone, Debug)]
pub struct Arrived<'a> {
    /// Its hash.
    pub hash: [u8; 32],
    /// In msat.
    pub amount_msat: u64,
    /// Block height.
    pub cltv_expiry: u32,
    /// The payload, without its length.
    pub payload: &'a [u8],
    /// The secret that its onion shares with us: the same in a second copy of the onion.
    pub shared_secret: [u8; 32],
    /// The height of the tip.
    pub height: u32,
    /// Seconds.
    pub now: u64,
}

/// What was asked for with an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Absent: whoever made the invoice has it, and the payment is held.
    pub preimage: Option<[u8; 32]>,
    /// Its payment secret.
    pub secret: [u8; 32],
    /// In msat; absent: any.
    pub amount_msat: Option<u64>,
}

/// Why an HTLC is failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The requirement that says so; absent for a hash that nothing is known of.
    pub rule: Option<&'static str>,
    /// Failure code, flags included.
    pub code: u16,
    /// Code and data, as they go into the packet.
    pub failure: Vec<u8>,
    /// In words.
    pub message: String,
}

/// What becomes of an HTLC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is a part of its hash's set, which has this total.
    Take {
        /// In msat: what its payload says of the amount.
        amount_msat: u64,
        /// In msat.
        total_msat: u64,
        /// The set is whole.
        whole: bool,
    },
    /// It is failed.
    Refuse(Refusal),
    /// It is failed, and so are those that were taken before for these hashes, its own among them.
    RefuseSet(Refusal, Vec<[u8; 32]>),
}

/// A set that has been taken in part, or in whole and not yet settled.
#[derive(Clone, Debug, Default)]
pub struct Set {
    parts: Vec<Part>,
    /// The preimage that settles it, where it is known.
    pub preimage: Option<[u8; 32]>,
    /// It came with a keysend preimage.
    pub keysend: bool,
    /// Custom records of its first part.
    pub records: Vec<Record>,
    /// The sum of what the HTLCs hold, in msat.
    pub amount_msat: u64,
    /// Of an AMP payment: what its HTLCs have in common.
    pub set_id: Option<[u8; 32]>,
    /// Of an AMP payment: its HTLCs.
    pub arrival: Option<crate::proofs::tunnel::Arrival>,
    /// The trampoline onion, of a payment that is for somebody else.
    pub trampoline: Option<Vec<u8>>,
    /// When the first of its HTLCs expires, block height.
    pub cltv_expiry: u32,
    /// The path key that came beside the trampoline onion: it lies inside a blinded path.
    pub path_key: Option<[u8; 33]>,
}

impl Set {
    /// How many HTLCs it has.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// What its HTLCs bring, in msat.
    pub(crate) fn amounts(&self) -> impl Iterator<Item = u64> + '_ {
        self.parts.iter().map(|part| part.amt_to_forward)
    }

    /// What its HTLCs declare to bring in all, in msat.
    pub(crate) fn total_msat(&self) -> u64 {
        let declared = self.parts.first().and_then(|part| part.total_msat);
        declared.unwrap_or(self.amount_msat)
    }

    /// What the payload of its first HTLC says: amount and total, in msat.
    pub fn first(&self) -> (u64, u64) {
        let first = self.parts.first().copied().unwrap_or_default();
        let total = first.total_msat.unwrap_or(first.amt_to_forward);
        (first.amt_to_forward, total)
    }

    /// A set of so many HTLCs that are accounted for elsewhere.
    pub(crate) fn of_amp(
        set_id: [u8; 32],
        parts: usize,
        amount_msat: u64,
        records: Vec<Record>,
    ) -> Self {
        Self {
            parts: vec![Part::default(); parts],
            amount_msat,
            records,
            set_id: Some(set_id),
            ..Self::default()
        }
    }
}

/// What the payee remembers.
pub struct Payee {
    pub(crate) rules: Rules,
    invoices: HashMap<[u8; 32], Invoice>,
    sets: HashMap<[u8; 32], Set>,
    pub(crate) paid: HashSet<[u8; 32]>,
    /// Hashes whose invoices do not offer to take several parts.
    single: HashSet<[u8; 32]>,
    /// Shared secrets of the onions that have come.
    seen: HashSet<[u8; 32]>,
    pub(crate) amp: AmpSets,
    /// Hashes of the entries of its pools.
    pub(crate) entries: HashSet<[u8; 32]>,
    /// Blinded paths that lead here.
    pub(crate) paths: Paths,
    /// It is a trampoline too.
    pub trampoline: bool,
    /// It speaks the trampoline dialect of pull request 836.
    pub pr836: bool,
}

/// What is to be done with HTLCs that LDK holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// They are settled with these preimages.
    Settle(Vec<[u8; 32]>),
    /// Somebody will say what becomes of them.
    Hold,
    /// They are for somebody else.
    Relay,
    /// Others are waited for.
    Wait,
    /// They were given up.
    Gone,
}

impl Default for Payee {
    fn default() -> Self {
        Self {
            rules: Rules::all(),
            invoices: HashMap::new(),
            sets: HashMap::new(),
            paid: HashSet::new(),
            single: HashSet::new(),
            seen: HashSet::new(),
            amp: AmpSets::default(),
            entries: HashSet::new(),
            paths: Paths::default(),
            trampoline: false,
            pr836: false,
        }
    }
}

impl Payee {
    /// Remembers an invoice.
    pub fn expect(&mut self, hash: [u8; 32], invoice: Invoice) {
        self.invoices.insert(hash, invoice);
    }

    /// The invoice of a hash does not offer to take several parts.
    pub fn single_part(&mut self, hash: [u8; 32]) {
        self.single.insert(hash);
    }

    /// An HTLC that has come is about to come again, with the same onion by right.
    pub fn forget_onion(&mut self, shared_secret: &[u8; 32]) {
        self.seen.remove(shared_secret);
    }

    /// The invoice of a hash.
    pub fn invoice(&self, hash: &[u8; 32]) -> Option<Invoice> {
        self.invoices.get(hash).cloned()
    }

    fn dialect(&self) -> Option<Dialect> {
        if self.pr836 {
            Some(Dialect::Pr836)
        } else {
            self.trampoline.then_some(Dialect::AcinqLegacy)
        }
    }

    /// The set of a hash.
    pub fn set(&self, hash: &[u8; 32]) -> Option<&Set> {
        self.sets.get(hash)
    }

    /// LDK holds all HTLCs of a hash.
    pub fn held(&mut self, hash: [u8; 32]) -> Held {
        if let Some(held) = self.amp.held(hash) {
            return held;
        }
        match self.sets.get(&hash) {
            Some(set) if set.trampoline.is_some() => Held::Relay,
            Some(set) => set
                .preimage
                .map_or(Held::Hold, |preimage| Held::Settle(vec![preimage])),
            None => Held::Gone,
        }
    }

    /// What is locked to a hash is settled; answers its set when all of it is.
    pub fn settled(&mut self, hash: [u8; 32]) -> Option<Set> {
        self.paid.insert(hash);
        match self.amp.settled(hash) {
            Some(of_amp) => of_amp,
            None => self.sets.remove(&hash),
        }
    }

    /// The set of a hash was failed; answers it.
    pub fn failed(&mut self, hash: &[u8; 32]) -> Option<Set> {
        self.amp.failed(hash);
        self.sets.remove(hash)
    }

    /// Sets that have waited too long for their rest, with what their HTLCs are failed with.
    pub fn overdue(&mut self, now: u64) -> Vec<([u8; 32], Refusal)> {
        let rules = &self.rules;
        let late = self.sets.iter().filter_map(|(hash, set)| {
            let expected = Expected {
                basic_mpp: true,
                now,
                ..Expected::default()
            };
            match mpp::receive(rules, &expected, &set.parts) {
                Ok(Action::Fail(code)) => {
                    let message = "the rest of the set did not come in time";
                    Some((*hash, refusal(None, code, Vec::new(), message)))
                }
                _ => None,
            }
        });
        let late: Vec<_> = late.collect();
        for (hash, _) in &late {
            self.sets.remove(hash);
        }
        let code = code::MPP_TIMEOUT;
        let message = "the rest of the AMP set did not come in time";
        let of_amp = self.amp.overdue(now).into_iter();
        let rule = Some(TIMED_OUT);
        let of_amp = of_amp.map(|hash| (hash, refusal(rule, code, Vec::new(), message)));
        late.into_iter().chain(of_amp).collect()
    }

    /// Decides about an HTLC.
    pub fn arrive(&mut self, htlc: &Arrived<'_>) -> Decision {
        // BOLT 4 lets a node settle at once what it has the preimage of; this one never does.
        if !self.seen.insert(htlc.shared_secret) {
            return Decision::Refuse(details(htlc, Some(REPLAY), "its onion has come before"));
        }
        let context = Context {
            amount_msat: Some(htlc.amount_msat),
            cltv_expiry: Some(htlc.cltv_expiry),
            known: &[KEYSEND, amp::LND.record_type],
            dialect: self.dialect(),
            // An invoice says how many blocks are to be left; bLIP 3 does not.
            height: self.invoices.get(&htlc.hash).map(|_| htlc.height),
            min_final_cltv_expiry_delta: Some(MIN_FINAL_DELTA),
            ..Context::default()
        };
        let last = Position {
            last: true,
            trampoline: false,
        };
        let payload = match payload::read(&self.rules, htlc.payload, last, &context) {
            Ok(payload) => payload,
            Err(e) => return Decision::Refuse(unreadable(htlc, e)),
        };
        let unknown = |rule, message: &str| Decision::Refuse(details(htlc, rule, message));
        let secret = payload.payment_data.map(|(secret, _)| secret);
        let of_amp = payload
            .records
            .iter()
            .find(|r| r.kind == amp::LND.record_type);
        if let Some(record) = of_amp {
            let known = Known {
                plain_invoice: self.invoices.values().any(|i| Some(i.secret) == secret),
                paid: self.paid.contains(&htlc.hash),
            };
            return self
                .amp
                .arrive(&self.rules, htlc, &payload, &record.value, known);
        }
        // BOLT 4, failure messages: what expires too soon is failed before it is looked at.
        if htlc.cltv_expiry.saturating_sub(htlc.height) < MIN_FINAL_DELTA {
            let left = i64::from(htlc.cltv_expiry) - i64::from(htlc.height);
            return unknown(
                Some(CLTV_NEAR),
                &format!("it expires in {left} blocks, and {MIN_FINAL_DELTA} are needed"),
            );
        }
        if self.paid.contains(&htlc.hash) {
            let of_pool = self.entries.contains(&htlc.hash);
            let rule = if of_pool { ENTRY_UNUSED } else { PAID };
            return unknown(Some(rule), "the hash was paid before");
        }
        if secret.is_some_and(|secret| self.amp.asks(&secret)) {
            return unknown(Some(OTHER_TO_AMP), "its invoice asks for AMP");
        }
        let keysend = payload.records.iter().find(|r| r.kind == KEYSEND);
        // Pull request 836: what the invoice asks for is in the onion inside.
        let inside = self.pr836 && payload.trampoline_onion.is_some();
        let invoice = self.invoices.get(&htlc.hash).filter(|_| !inside);
        let (expected, preimage) = match (invoice, keysend.filter(|_| !inside)) {
            (Some(invoice), _) => {
                if secret != Some(invoice.secret) {
                    return unknown(
                        Some(PAYMENT_SECRET),
                        "the payment secret is not that of the invoice for this hash",
                    );
                }
                let expected = Expected {
                    basic_mpp: !self.single.contains(&htlc.hash),
                    amount_msat: invoice.amount_msat,
                    payment_secret: Some(invoice.secret),
                    now: htlc.now,
                };
                (expected, invoice.preimage)
            }
            (None, Some(record)) => {
                // bLIP 3, receiver: the preimage has to open the hash. One of another length is no
                // preimage, whatever it hashes to.
                let preimage: Option<[u8; 32]> = record.value[..].try_into().ok();
                let opens = |p: &[u8; 32]| keys::sha256(&[p]) == htlc.hash;
                let Some(preimage) = preimage.filter(opens) else {
                    return unknown(
                        Some(PREIMAGE),
                        &format!(
                            "its {} bytes of preimage do not open the hash",
                            record.value.len()
                        ),
                    );
                };
                let first = self.sets.get(&htlc.hash).and_then(|set| set.parts.first());
                let expected = Expected {
                    basic_mpp: true,
                    payment_secret: first.and_then(|part| part.payment_secret),
                    now: htlc.now,
                    ..Expected::default()
                };
                (expected, Some(preimage))
            }
            (None, None) if payload.trampoline_onion.is_some() => {
                let first = self.sets.get(&htlc.hash).and_then(|set| set.parts.first());
                let expected = Expected {
                    basic_mpp: true,
                    payment_secret: first.and_then(|part| part.payment_secret),
                    now: htlc.now,
                    ..Expected::default()
                };
                (expected, None)
            }
            (None, None) => return unknown(None, "nothing was asked for with this hash"),
        };
        self.add(htlc, &payload, &expected, preimage)
    }

    pub(crate) fn add(
        &mut self,
        htlc: &Arrived<'_>,
        payload: &Payload,
        expected: &Expected,
        preimage: Option<[u8; 32]>,
    ) -> Decision {
        let amount_msat = payload.amt_to_forward.unwrap_or(htlc.amount_msat);
        let part = Part {
            payment_hash: htlc.hash,
            payment_secret: payload.payment_data.map(|(secret, _)| secret),
            amt_to_forward: amount_msat,
            total_msat: payload.total_msat(),
            arrived: htlc.now,
        };
        let known = self.sets.get(&htlc.hash);
        let mut parts = known.map(|set| set.parts.clone()).unwrap_or_default();
        parts.push(part);
        let whole = match mpp::receive(&self.rules, expected, &parts) {
            Ok(Action::Fulfil) => true,
            Ok(Action::Wait) => false,
            Ok(Action::Fail(code)) => {
                let message = "the rest of the set did not come in time";
                let refusal = refusal(None, code, Vec::new(), message);
                return Decision::RefuseSet(refusal, vec![htlc.hash]);
            }
            Err(violation) => {
                let refusal = details(htlc, Some(violation.rule), &violation.message);
                return Decision::RefuseSet(refusal, vec![htlc.hash]);
            }
        };
        let set = self.sets.entry(htlc.hash).or_default();
        if set.parts.is_empty() {
            set.records = custom(payload);
            set.preimage = preimage;
            set.keysend = payload.records.iter().any(|r| r.kind == KEYSEND);
            set.trampoline.clone_from(&payload.trampoline_onion);
            set.path_key = payload.path_key;
            set.cltv_expiry = htlc.cltv_expiry;
        }
        set.parts = parts;
        set.cltv_expiry = set.cltv_expiry.min(htlc.cltv_expiry);
        set.amount_msat = set.amount_msat.saturating_add(htlc.amount_msat);
        Decision::Take {
            amount_msat,
            total_msat: payload.total_msat().unwrap_or(amount_msat),
            whole,
        }
    }
}

/// The records that nobody but payer and payee knows of.
pub(crate) fn custom(payload: &Payload) -> Vec<Record> {
    let custom = |r: &&Record| r.kind >= 65_536 && r.kind != KEYSEND;
    payload.records.iter().filter(custom).cloned().collect()
}

/// A refusal with data behind its code.
pub(crate) fn refusal(
    rule: Option<&'static str>,
    code: u16,
    data: Vec<u8>,
    message: &str,
) -> Refusal {
    Refusal {
        rule,
        code,
        failure: [&code.to_be_bytes()[..], &data].concat(),
        message: message.to_owned(),
    }
}

/// `incorrect_or_unknown_payment_details`, with the amount and the height.
pub fn details(htlc: &Arrived<'_>, rule: Option<&'static str>, message: &str) -> Refusal {
    let data = [
        &htlc.amount_msat.to_be_bytes()[..],
        &htlc.height.to_be_bytes(),
    ];
    let code = code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS;
    refusal(rule, code, data.concat(), message)
}

/// A payload that its rules refuse, with the data that the code calls for.
pub(crate) fn unreadable(htlc: &Arrived<'_>, e: payload::Error) -> Refusal {
    let refused = match e {
        payload::Error::Refused(refused) => refused,
        payload::Error::Key(e) => {
            let code = code::INVALID_ONION_PAYLOAD;
            return refusal(None, code, vec![0, 0, 0], &e.to_string());
        }
    };
    let data = match refused.code {
        code::INVALID_ONION_PAYLOAD => {
            let (kind, offset) = refused.at.unwrap_or((0, 0));
            [bigsize::encode(kind), offset.to_be_bytes().to_vec()].concat()
        }
        code::FINAL_INCORRECT_CLTV_EXPIRY => htlc.cltv_expiry.to_be_bytes().to_vec(),
        code::FINAL_INCORRECT_HTLC_AMOUNT => htlc.amount_msat.to_be_bytes().to_vec(),
        code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS => {
            return details(
                htlc,
                Some(refused.violation.rule),
                &refused.violation.message,
            );
        }
        _ => Vec::new(),
    };
    let violation = refused.violation;
    refusal(Some(violation.rule), refused.code, data, &violation.message)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::shot::{payment_data, truncated};
    use lnconform_drafts::{rules, tlv};

    const PREIMAGE_BYTES: [u8; 32] = [3; 32];

    fn hash() -> [u8; 32] {
        keys::sha256(&[&PREIMAGE_BYTES])
    }

    fn stream(records: &[Record]) -> Vec<u8> {
        let mut all = vec![
            Record::new(2, truncated(100_000)),
            Record::new(4, truncated(600)),
        ];
        all.extend(records.iter().cloned());
        tlv::encode_unchecked(&all)
    }

    fn arrived(payload: &[u8]) -> Arrived<'_> {
        Arrived {
            hash: hash(),
            amount_msat: 100_000,
            cltv_expiry: 600,
            payload,
            shared_secret: fresh(),
            height: 500,
            now: 1_000,
        }
    }

    /// A secret of its own for each onion.
    pub(crate) fn fresh() -> [u8; 32] {
        static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        keys::sha256(&[&number.to_be_bytes()])
    }

    fn keysend() -> Record {
        Record::new(KEYSEND, PREIMAGE_BYTES)
    }

    fn rule(decision: Decision) -> (Option<&'static str>, u16) {
        match decision {
            Decision::Refuse(r) | Decision::RefuseSet(r, _) => (r.rule, r.code),
            take => panic!("{take:?}"),
        }
    }

    #[test]
    fn keysend_is_taken_once() {
        let mut payee = Payee::default();
        let payload = stream(&[keysend(), Record::new(5_482_373_485, [1])]);
        let taken = payee.arrive(&arrived(&payload));
        let whole = Decision::Take {
            amount_msat: 100_000,
            total_msat: 100_000,
            whole: true,
        };
        assert_eq!(taken, whole);
        let set = payee.settled(hash()).unwrap();
        assert_eq!(set.preimage, Some(PREIMAGE_BYTES));
        assert_eq!(set.records, [Record::new(5_482_373_485, [1])]);
        let again = payee.arrive(&arrived(&payload));
        assert_eq!(rule(again), (Some(PAID), 0x400f));
    }

    #[test]
    fn a_preimage_that_is_none_is_refused() {
        for value in [vec![4; 32], vec![3; 31], vec![3; 33], vec![]] {
            let payload = stream(&[Record::new(KEYSEND, value)]);
            let decision = Payee::default().arrive(&arrived(&payload));
            assert_eq!(rule(decision), (Some(PREIMAGE), 0x400f));
        }
        // 31 bytes that do open the hash.
        let payload = stream(&[Record::new(KEYSEND, [5; 31])]);
        let htlc = Arrived {
            hash: keys::sha256(&[&[5; 31]]),
            ..arrived(&payload)
        };
        assert_eq!(
            rule(Payee::default().arrive(&htlc)),
            (Some(PREIMAGE), 0x400f)
        );
    }

    #[test]
    fn what_the_onion_says_has_to_hold() {
        let payload = stream(&[keysend()]);
        let refused = |htlc: Arrived<'_>| match Payee::default().arrive(&htlc) {
            Decision::Refuse(r) => (r.rule, r.failure),
            other => panic!("{other:?}"),
        };
        let (rule, failure) = refused(Arrived {
            amount_msat: 99_999,
            ..arrived(&payload)
        });
        assert_eq!(rule, Some(rules::PAYLOAD_FINAL_AMOUNT));
        assert_eq!(failure, [&[0, 19][..], &99_999_u64.to_be_bytes()].concat());
        let (rule, failure) = refused(Arrived {
            cltv_expiry: 599,
            ..arrived(&payload)
        });
        assert_eq!(rule, Some(rules::PAYLOAD_FINAL_CLTV));
        assert_eq!(failure, [&[0, 18][..], &599_u32.to_be_bytes()].concat());
        let (rule, _) = refused(Arrived {
            height: 559,
            ..arrived(&payload)
        });
        assert_eq!(rule, Some(CLTV_NEAR));
        let near = Arrived {
            height: 558,
            ..arrived(&payload)
        };
        assert!(matches!(
            Payee::default().arrive(&near),
            Decision::Take { .. }
        ));
    }

    #[test]
    fn an_unknown_even_record_is_named_with_its_place() {
        let payload = stream(&[Record::new(100, [1]), keysend()]);
        let Decision::Refuse(refusal) = Payee::default().arrive(&arrived(&payload)) else {
            panic!("taken");
        };
        assert_eq!(refusal.rule, Some("bolt01/tlv/unknown-even"));
        assert_eq!(refusal.failure[..3], [0x40, 22, 100]);
    }

    #[test]
    fn parts_make_a_set_or_none() {
        let part = |secret: u8, total| stream(&[payment_data(&[secret; 32], total), keysend()]);
        let mut payee = Payee::default();
        let (one, two) = (part(1, 200_000), part(1, 200_000));
        let first = payee.arrive(&arrived(&one));
        assert!(
            matches!(first, Decision::Take { whole: false, .. }),
            "{first:?}"
        );
        let second = payee.arrive(&arrived(&two));
        assert!(
            matches!(second, Decision::Take { whole: true, .. }),
            "{second:?}"
        );
        assert_eq!(payee.set(&hash()).unwrap().parts(), 2);

        let mut payee = Payee::default();
        payee.arrive(&arrived(&one));
        let other_total = part(1, 300_000);
        let decision = payee.arrive(&arrived(&other_total));
        assert!(matches!(decision, Decision::RefuseSet(..)));
        assert_eq!(rule(decision).0, Some(rules::MPP_TOTAL_SAME));
        let other_secret = part(2, 200_000);
        let decision = payee.arrive(&arrived(&other_secret));
        assert_eq!(rule(decision).0, Some(rules::MPP_PAYMENT_SECRET));

        assert!(payee.overdue(1_060).is_empty());
        let overdue = payee.overdue(1_061);
        assert_eq!(overdue[0].1.code, 23);
        assert!(payee.set(&hash()).is_none());
    }

    /// With the preimage of [`keysend`].
    fn invoice() -> Invoice {
        Invoice {
            preimage: Some(PREIMAGE_BYTES),
            secret: [7; 32],
            amount_msat: Some(100_000),
        }
    }

    #[test]
    fn an_invoice_wants_its_blocks() {
        let payload = stream(&[payment_data(&[7; 32], 100_000)]);
        for (height, taken) in [(558, true), (559, false)] {
            let mut payee = Payee::default();
            payee.expect(hash(), invoice());
            let htlc = Arrived {
                height,
                ..arrived(&payload)
            };
            match payee.arrive(&htlc) {
                Decision::Take { .. } => assert!(taken),
                refused => assert_eq!(rule(refused), (Some(rules::PAYLOAD_FINAL_HEIGHT), 0x400f)),
            }
        }
    }

    #[test]
    fn an_invoice_wants_its_secret() {
        let mut payee = Payee::default();
        payee.expect(hash(), invoice());
        let payload = stream(&[keysend()]);
        let decision = payee.arrive(&arrived(&payload));
        assert_eq!(rule(decision), (Some(PAYMENT_SECRET), 0x400f));
        let payload = stream(&[payment_data(&[7; 32], 100_000)]);
        let decision = payee.arrive(&arrived(&payload));
        assert!(matches!(decision, Decision::Take { whole: true, .. }));
    }

    #[test]
    fn only_a_trampoline_takes_what_is_for_others() {
        let onion = Record::new(66_100, [0; 66]);
        let payload = stream(&[payment_data(&[7; 32], 100_000), onion]);
        let mut payee = Payee::default();
        let decision = payee.arrive(&arrived(&payload));
        assert_eq!(rule(decision), (Some("bolt01/tlv/unknown-even"), 0x4016));
        payee.trampoline = true;
        let decision = payee.arrive(&arrived(&payload));
        assert!(
            matches!(decision, Decision::Take { whole: true, .. }),
            "{decision:?}"
        );
        assert_eq!(payee.held(hash()), Held::Relay);
    }

    #[test]
    fn a_hash_that_nobody_asked_for_is_unknown() {
        let payload = stream(&[]);
        let decision = Payee::default().arrive(&arrived(&payload));
        assert_eq!(rule(decision), (None, 0x400f));
    }
}
