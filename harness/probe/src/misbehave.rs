//! What is done wrong on purpose. The list itself, with the statements that are broken, is
//! `specs/misbehaviours.yaml`; here is how.

use crate::shot::{Forward, KEYSEND, Length, Shot, Twist, payment_data};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::amp;
use lnconform_drafts::keys;
use lnconform_drafts::payload::kind;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::Record;

/// Blocks that are fewer than any recipient asks for, and enough to forward.
const SOON: u32 = 40;

/// One HTLC of a payment.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its hash.
    pub hash: [u8; 32],
    /// What its payload says of its amount, in msat.
    pub amount_msat: u64,
    /// What its payload says of the whole, in msat.
    pub total_msat: u64,
    /// Payment secret; without one there is no payment data.
    pub secret: Option<[u8; 32]>,
    /// Value of the AMP record.
    pub amp: Option<Vec<u8>>,
    /// Records of its own, in the place of the payment's.
    pub records: Option<Vec<Record>>,
}

/// A payment before it is cut into HTLCs, all of them to one recipient.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The recipient.
    pub to: PublicKey,
    /// Its HTLCs.
    pub parts: Vec<Part>,
    /// Value of the keysend record.
    pub keysend: Option<Vec<u8>>,
    /// Further records of each payload.
    pub records: Vec<Record>,
    /// Blocks from the tip until the last HTLC expires.
    pub delta: u32,
    /// A preimage may be used that has been used before.
    pub again: bool,
    /// Type of the record that holds what is said of AMP.
    amp_type: u64,
    twist: Option<Twist>,
    /// Every HTLC has the session key of the first.
    one_session: bool,
    htlc_less_msat: u64,
    cltv_above: u32,
    /// What the first of those who pass it on is told wrongly.
    pub(crate) to_forwarder: Option<Misled>,
}

/// What somebody who passes a payment on is told wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misled {
    /// The channel is none.
    Channel,
    /// It keeps 1 msat less than it asks for.
    Fee,
    /// It has 1 block less than it asks for.
    Delta,
}

impl Misled {
    fn change(self, hop: &mut Forward) {
        match self {
            // A block that nobody will mine here.
            Misled::Channel => hop.scid |= 0xff_ffff << 40,
            Misled::Fee => hop.fee_msat = hop.fee_msat.saturating_sub(1),
            Misled::Delta => hop.delta = hop.delta.saturating_sub(1),
        }
    }
}

impl Plan {
    /// An honest payment in such parts, all locked to one hash.
    pub fn new(to: PublicKey, hash: [u8; 32], amounts: Vec<u64>, delta: u32) -> Self {
        let total_msat = amounts
            .iter()
            .fold(0_u64, |sum, part| sum.saturating_add(*part));
        let part = |amount_msat| Part {
            hash,
            amount_msat,
            total_msat,
            secret: None,
            amp: None,
            records: None,
        };
        Self {
            to,
            parts: amounts.into_iter().map(part).collect(),
            keysend: None,
            records: Vec::new(),
            delta,
            again: false,
            amp_type: amp::LND.record_type,
            twist: None,
            one_session: false,
            htlc_less_msat: 0,
            cltv_above: 0,
            to_forwarder: None,
        }
    }

    /// An honest AMP payment in such parts: root, set id and shares are drawn.
    pub fn amp(
        to: PublicKey,
        secret: [u8; 32],
        amounts: Vec<u64>,
        delta: u32,
        mut draw: impl FnMut() -> [u8; 32],
    ) -> Self {
        let mut plan = Self::new(to, [0; 32], amounts, delta);
        let rules = Rules::all();
        let (root, set_id) = (draw(), draw());
        let drawn: Vec<[u8; 32]> = plan.parts.iter().skip(1).map(|_| draw()).collect();
        let shares = amp::shares(&root, &drawn);
        for ((part, share), index) in plan.parts.iter_mut().zip(shares).zip(0_u32..) {
            part.secret = Some(secret);
            // In this dialect neither of the two can refuse.
            if let Ok(child) = amp::Child::derive(&rules, &amp::LND, &root, &share, index) {
                part.hash = child.payment_hash;
            }
            let record = amp::Record {
                root_share: share,
                set_id,
                index,
                own_payment_data: None,
            };
            part.amp = record
                .encode(&rules, &amp::LND)
                .ok()
                .map(|value| value.to_vec());
        }
        plan
    }

    /// The hash of its first HTLC: of all of them, unless it is an AMP payment.
    pub fn hash(&self) -> [u8; 32] {
        self.parts.first().map_or([0; 32], |part| part.hash)
    }

    /// Every part gets this payment secret.
    pub fn with_secret(&mut self, secret: [u8; 32]) {
        self.parts
            .iter_mut()
            .for_each(|part| part.secret = Some(secret));
    }

    /// Every part names this total, in msat.
    pub fn with_total(&mut self, msat: u64) {
        self.parts
            .iter_mut()
            .for_each(|part| part.total_msat = msat);
    }

    /// Does wrong what `name` says. `false` if nobody has said how.
    #[must_use]
    pub fn misbehave(&mut self, name: &str) -> bool {
        match name {
            "keysend-preimage-mismatch" => {
                if let Some(first) = self.keysend.as_mut().and_then(|value| value.first_mut()) {
                    *first ^= 1;
                }
            }
            "keysend-preimage-31" => self.resize(31),
            "keysend-preimage-33" => self.resize(33),
            "keysend-preimage-again" | "keysend-invoice-preimage" => self.again = true,
            "keysend-record-twice" => self.twist = Some(Twist::Twice(KEYSEND)),
            "keysend-record-first" => self.twist = Some(Twist::First(KEYSEND)),
            "keysend-record-long-length" => self.twist = Some(Twist::LongLength(KEYSEND)),
            "unknown-even-record" => self.records.push(Record::new(65_536, [])),
            "unknown-even-record-low" => self.records.push(Record::new(65_534, [])),
            "payload-cut" => self.twist = Some(Twist::Cut),
            "payload-without-amount" => self.twist = Some(Twist::Without(kind::AMOUNT)),
            "payload-without-cltv" => self.twist = Some(Twist::Without(kind::CLTV)),
            "amount-leading-zero" => self.twist = Some(Twist::LeadingZero(kind::AMOUNT)),
            "htlc-below-onion-amount" => self.htlc_less_msat = 1,
            "htlc-before-onion-cltv" => self.cltv_above = 1,
            "mpp-total-differs" | "amp-total-differs" => {
                if let Some(last) = self.parts.last_mut() {
                    last.total_msat += 1;
                }
            }
            "mpp-secret-missing" => {
                if let Some(last) = self.parts.last_mut() {
                    last.secret = None;
                }
            }
            "invoice-secret-wrong" | "amp-secret-wrong" => {
                for secret in self.parts.iter_mut().filter_map(|p| p.secret.as_mut()) {
                    secret[0] ^= 1;
                }
            }
            "amp-without-payment-data" => {
                self.parts.iter_mut().for_each(|part| part.secret = None);
            }
            "amp-record-63" => self.last_record(|value| value.truncate(63)),
            "amp-record-69" => self.last_record(|value| value.resize(69, 1)),
            "amp-index-leading-zero" => self.last_record(|value| value.insert(64, 0)),
            "amp-index-other" => self.last_record(|value| {
                value.truncate(64);
                value.extend([1, 0]);
            }),
            "amp-share-altered" => self.last_record(|value| value[0] ^= 1),
            "amp-set-id-zero" => {
                for value in self.parts.iter_mut().filter_map(|p| p.amp.as_mut()) {
                    value[32..64].fill(0);
                }
            }
            "amp-total-zero" => self.with_total(0),
            "amp-early" => {
                let first = self.parts.first().map_or(0, |part| part.amount_msat);
                self.with_total(first);
            }
            // The caller has left out what forbids it.
            "amp-to-plain-invoice" | "plain-to-amp-invoice" | "amp-invoice-expired" => {}
            "amp-set-id-again" => self.again = true,
            "amp-total-low" => {
                let total = self.parts.first().map_or(0, |part| part.total_msat);
                self.with_total(total.saturating_sub(1));
                if let Some(last) = self.parts.last_mut() {
                    last.amount_msat = last.amount_msat.saturating_sub(1);
                }
            }
            "amp-expires-soon" => self.delta = SOON,
            "amp-record-type-10" => self.amp_type = kind::ENCRYPTED_DATA,
            "amp-record-type-15" => self.amp_type = 15,
            "onion-again" => self.one_session = true,
            "onion-version" => self.twist = Some(Twist::Version),
            "onion-key" => self.twist = Some(Twist::Key),
            "onion-hmac" => self.twist = Some(Twist::Hmac),
            "onion-payload-length" => self.twist = Some(Twist::Length(Length::Long)),
            "onion-payload-length-zero" => self.twist = Some(Twist::Length(Length::Reserved(0))),
            "onion-payload-length-one" => self.twist = Some(Twist::Length(Length::Reserved(1))),
            "onion-payload-beyond" => self.twist = Some(Twist::Length(Length::BEYOND)),
            "onion-next-hmac-beyond" => self.twist = Some(Twist::Length(Length::NO_HMAC)),
            "onion-overrun" => self.twist = Some(Twist::Length(Length::OVERRUN)),
            "forward-unknown-channel" => self.to_forwarder = Some(Misled::Channel),
            "forward-fee-short" => self.to_forwarder = Some(Misled::Fee),
            "forward-cltv-short" => self.to_forwarder = Some(Misled::Delta),
            "invoice-cltv-short" => self.delta = self.delta.saturating_sub(1),
            "invoice-total-below" => {
                for part in &mut self.parts {
                    part.total_msat = part.total_msat.saturating_sub(1);
                }
                if let Some(last) = self.parts.last_mut() {
                    last.amount_msat = last.amount_msat.saturating_sub(1);
                }
            }
            _ => {
                return crate::proofs::lies::misbehave(self, name)
                    || crate::proofs::tunnel::misbehave(self, name);
            }
        }
        true
    }

    /// Changes the AMP record of the last HTLC, which has 64 bytes at least.
    fn last_record(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(value) = self.parts.last_mut().and_then(|part| part.amp.as_mut()) {
            change(value);
        }
    }

    fn resize(&mut self, length: usize) {
        if let Some(value) = &mut self.keysend {
            value.resize(length, 0);
            let hash = keys::sha256(&[value]);
            self.parts.iter_mut().for_each(|part| part.hash = hash);
        }
    }

    /// Its HTLCs over a route, each with a session key of its own.
    pub fn shots(&self, route: &[Forward], mut session: impl FnMut() -> SecretKey) -> Vec<Shot> {
        let mut route = route.to_vec();
        if let (Some(misled), Some(hop)) = (self.to_forwarder, route.first_mut()) {
            misled.change(hop);
        }
        let first = session();
        let mut session = || if self.one_session { first } else { session() };
        let shot = |part: &Part| {
            let mut records = part.records.as_ref().unwrap_or(&self.records).clone();
            if let Some(value) = &self.keysend {
                records.push(Record::new(KEYSEND, value.clone()));
            }
            if let Some(secret) = &part.secret {
                records.push(payment_data(secret, part.total_msat));
            }
            if let Some(value) = &part.amp {
                records.push(Record::new(self.amp_type, value.clone()));
            }
            Shot {
                hash: part.hash,
                htlc_msat: part.amount_msat.saturating_sub(self.htlc_less_msat),
                delta: self.delta,
                route: route.clone(),
                to: self.to,
                amount_msat: part.amount_msat,
                cltv_above: self.cltv_above,
                records,
                twist: self.twist,
                session: session(),
                tail: None,
            }
        };
        self.parts.iter().map(shot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payee::amp_payee::AmpInvoice;
    use crate::payee::{Arrived, Decision, Invoice, MIN_FINAL_DELTA, Payee};
    use lnconform_drafts::onion;
    use lnconform_spec::misbehaviours::{self, Misbehaviour};

    /// Whether the payee alone can notice what goes wrong with it.
    fn is_payment(operation: &str) -> bool {
        ["keysend.send", "invoice.pay", "amp.send"].contains(&operation)
    }

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_slice(&[n; 32]).unwrap()
    }

    const PREIMAGE: [u8; 32] = [3; 32];
    const SECRET: [u8; 32] = [4; 32];

    fn plan(operation: &str, parts: usize) -> Plan {
        let hash = keys::sha256(&[&PREIMAGE]);
        let to = keys::public(&secret(9));
        let amounts = vec![100_000; parts];
        if operation == "amp.send" {
            let mut drawn = 10;
            let draw = || {
                drawn += 1;
                [drawn; 32]
            };
            return Plan::amp(to, SECRET, amounts, MIN_FINAL_DELTA, draw);
        }
        let mut plan = Plan::new(to, hash, amounts, MIN_FINAL_DELTA);
        if operation == "keysend.send" {
            plan.keysend = Some(PREIMAGE.to_vec());
        }
        if operation == "invoice.pay" || parts > 1 {
            plan.with_secret(SECRET);
        }
        plan
    }

    /// What the honest payee says of the last part: the rule, or nothing if it takes it.
    fn judged(plan: &Plan, payee: &mut Payee) -> Option<&'static str> {
        let mut last = None;
        let draw = || SecretKey::from_slice(&crate::payee::tests::fresh()).unwrap();
        for shot in plan.shots(&[], draw) {
            let expiry = 500 + shot.first_delta();
            let packed = shot.pack(expiry).unwrap();
            let context = onion::Context {
                associated_data: &shot.hash,
                size: Some(onion::PAYMENT_SIZE),
                path_key: None,
            };
            let peeled = onion::peel(&Rules::all(), &secret(9), &packed.packet, context);
            let (payload, shared_secret) = match peeled {
                Ok(peeled) => (peeled.payload, peeled.shared_secret),
                Err(onion::Error::Rule(violation)) => return Some(violation.rule),
                Err(e) => panic!("{e}"),
            };
            let arrived = Arrived {
                hash: shot.hash,
                amount_msat: shot.htlc_msat,
                cltv_expiry: expiry,
                payload: &payload,
                shared_secret,
                height: 500,
                now: 1_000,
            };
            last = match payee.arrive(&arrived) {
                Decision::Take { .. } => None,
                Decision::Refuse(refusal) | Decision::RefuseSet(refusal, _) => refusal.rule,
            };
            // What is wrong with a set shows with one of its HTLCs.
            if last.is_some() {
                return last;
            }
        }
        last
    }

    fn payee(operation: &str, misbehaviour: &str) -> Payee {
        let hash = keys::sha256(&[&PREIMAGE]);
        let mut payee = Payee::default();
        if operation == "invoice.pay" || misbehaviour == "keysend-invoice-preimage" {
            let invoice = Invoice {
                preimage: Some(PREIMAGE),
                secret: SECRET,
                amount_msat: Some(100_000),
            };
            payee.expect(hash, invoice);
        }
        if misbehaviour == "keysend-preimage-again" {
            assert_eq!(judged(&plan(operation, 1), &mut payee), None);
            payee.settled(hash);
        }
        let asks_for_amp = [
            "amp-secret-wrong",
            "amp-total-low",
            "amp-invoice-expired",
            "amp-record-type-15",
            "plain-to-amp-invoice",
        ];
        if asks_for_amp.contains(&misbehaviour) {
            let invoice = AmpInvoice {
                payment_hash: [8; 32],
                amount_msat: Some(100_000),
                expires: if misbehaviour == "amp-invoice-expired" {
                    1_000
                } else {
                    1_001
                },
                closed: false,
            };
            payee.amp.expect(SECRET, invoice);
            payee.amp.invoices_only = misbehaviour == "amp-secret-wrong";
        }
        if misbehaviour == "amp-to-plain-invoice" {
            let invoice = Invoice {
                preimage: Some(PREIMAGE),
                secret: SECRET,
                amount_msat: None,
            };
            payee.expect(hash, invoice);
        }
        if misbehaviour == "amp-set-id-again" {
            let first = plan(operation, 1);
            assert_eq!(judged(&first, &mut payee), None);
            payee.held(first.hash());
            assert!(payee.settled(first.hash()).is_some());
        }
        payee
    }

    /// The list without the lies in proofs, which the payee does not refuse: `lies` has their tests.
    fn ours() -> Vec<Misbehaviour> {
        let mut list = misbehaviours::all().unwrap();
        let proofs = [
            "keysend-proof-",
            "receipt-",
            "amp-tunnel-",
            "amp-receipt-",
            "tunnel-",
            "assignment-",
            "trampoline-",
            // `onward` has its tests.
            "forward-",
        ];
        list.retain(|m| !proofs.iter().any(|proof| m.name.starts_with(proof)));
        list
    }

    fn parts(misbehaviour: &Misbehaviour) -> usize {
        if misbehaviour.needs_parts { 2 } else { 1 }
    }

    #[test]
    fn the_honest_payee_notices_each_by_the_statement_that_the_list_names() {
        let list = ours();
        assert!(!list.is_empty());
        for misbehaviour in &list {
            for operation in misbehaviour.operations.iter().filter(|o| is_payment(o)) {
                let name = &misbehaviour.name;
                let mut bad = plan(operation, parts(misbehaviour));
                assert!(bad.misbehave(name), "{name} is in the list and not here");
                let noticed = judged(&bad, &mut payee(operation, name));
                assert_eq!(
                    noticed,
                    misbehaviour.reader.as_deref(),
                    "{name} on {operation}"
                );
            }
        }
    }

    #[test]
    fn without_it_the_same_payment_is_taken() {
        for misbehaviour in &ours() {
            for operation in misbehaviour.operations.iter().filter(|o| is_payment(o)) {
                let honest = plan(operation, parts(misbehaviour));
                let taken = judged(&honest, &mut payee(operation, ""));
                assert_eq!(taken, None, "{}", misbehaviour.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_does_nothing() {
        assert!(!plan("keysend.send", 1).misbehave("keysend-preimage-32"));
    }
}
