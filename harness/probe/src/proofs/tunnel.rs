//! AMP proofs and tunnels (`specs/drafts/amp-tunneling.md`) of the probe: the set that a request asks for,
//! what a lying payer makes of it, and what the honest recipient says of it.

use crate::misbehave::{Part, Plan};
use crate::proofs::form::{Form, another, flip, record};
use crate::proofs::receipts::{First, Receipts};
use crate::proofs::{chain_hash, value};
use bitcoin::constants::ChainHash;
use bitcoin::secp256k1::SecretKey;
use lnconform_drafts::amp::{self, LND};
use lnconform_drafts::amp_tunnel::{
    self, ASSIGNMENT_TYPE, Decision, Htlc, Opening, Payment, Place, Proof, REQUEST_TYPE, Receipt,
    Seen, Statement, accept, contradiction, decode_request, root_bound, verify,
};
use lnconform_drafts::keysend_proof::{Request, Window};
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::params::{ResultObject, hex};
use serde_json::Value;

/// AMP proofs, contradictory receipts.
const CONTRADICTION: &str = "amp-tunnel/contradiction/proven";

// ---- payer

/// The request of an AMP proof.
const FORM: Form = Form {
    kind: REQUEST_TYPE,
    prefix: "amp-tunnel-",
    read: decode_request,
    seal: bind,
    // The root stays what it was. The set id is that of what is said, so that the root alone is wrong.
    unseal: |plan, before, after| {
        let place = place(plan);
        if let (Some(before), Some(after)) = (opening(&place, before), opening(&place, after)) {
            derive(plan, &before.root, &after.set_id);
        }
    },
};

/// Whether a payment has what the lie is about.
pub fn fits(plan: &Plan, name: &str) -> bool {
    let there = |kind| value(&plan.records, kind).is_some();
    match name {
        "tunnel-request-differs" => there(REQUEST_TYPE),
        _ if name.starts_with("assignment-") => there(ASSIGNMENT_TYPE),
        _ => !name.starts_with(FORM.prefix) || FORM.request(plan).is_some(),
    }
}

fn place(plan: &Plan) -> Place {
    let secret = plan.parts.first().and_then(|part| part.secret);
    Place {
        chain_hash: chain_hash(),
        recipient_id: plan.to.serialize(),
        payment_addr: secret.unwrap_or_default(),
    }
}

fn opening(place: &Place, request: &Request) -> Option<Opening> {
    Opening::derive(&Rules::all(), place, request).ok()
}

/// Gives the set of a bound request the derived root and set id.
pub fn bound(plan: &mut Plan) {
    if let Some(request) = FORM.request(plan) {
        bind(plan, &request);
    }
}

fn bind(plan: &mut Plan, request: &Request) {
    let opening = opening(&place(plan), request).filter(|_| root_bound(request));
    if let Some(opening) = opening {
        derive(plan, &opening.root, &opening.set_id);
    }
}

/// Makes the set anew: of this root and set id, with the shares that were drawn but for the last.
fn derive(plan: &mut Plan, root: &[u8; 32], set_id: &[u8; 32]) {
    let rules = Rules::all();
    let decoded = |part: &Part| amp::Record::decode(&rules, &LND, part.amp.as_ref()?).ok();
    let Some(mut records) = plan.parts.iter().map(decoded).collect::<Option<Vec<_>>>() else {
        return;
    };
    let Some((last, others)) = records.split_last_mut() else {
        return;
    };
    let mut rest = amp::split(root, &[0; 32]);
    for record in others {
        rest = amp::split(&rest, &record.root_share);
    }
    last.root_share = rest;
    for (part, record) in plan.parts.iter_mut().zip(&mut records) {
        record.set_id = *set_id;
        // In this dialect neither of the two can refuse.
        if let Ok(child) = amp::Child::derive(&rules, &LND, root, &record.root_share, record.index)
        {
            part.hash = child.payment_hash;
        }
        part.amp = record.encode(&rules, &LND).ok().map(|value| value.to_vec());
    }
}

/// Derives the root for somewhere, or somebody, else.
fn misplaced(plan: &mut Plan, change: impl FnOnce(&mut Place)) {
    let Some(request) = FORM.request(plan) else {
        return;
    };
    let right = place(plan);
    let mut wrong = right;
    change(&mut wrong);
    if let (Some(wrong), Some(right)) = (opening(&wrong, &request), opening(&right, &request)) {
        derive(plan, &wrong.root, &right.set_id);
    }
}

/// The last HTLC carries other records than the rest.
fn last(plan: &mut Plan, change: impl FnOnce(&mut Vec<Record>)) {
    let mut records = plan.records.clone();
    change(&mut records);
    if let Some(part) = plan.parts.last_mut() {
        part.records = Some(records);
    }
}

/// Does to a payment what `name` says. `false` if nobody has said how.
#[must_use]
pub fn misbehave(plan: &mut Plan, name: &str) -> bool {
    match name {
        "amp-tunnel-request-missing" => {
            last(plan, |records| records.retain(|r| r.kind != REQUEST_TYPE));
        }
        "amp-tunnel-request-differs" => last(plan, |records| {
            for record in records.iter_mut().filter(|r| r.kind == REQUEST_TYPE) {
                record.value[2] ^= 1;
            }
        }),
        "amp-tunnel-recipient" => misplaced(plan, |place| place.recipient_id[0] ^= 1),
        "amp-tunnel-chain" => misplaced(plan, |place| {
            place.chain_hash = ChainHash::BITCOIN.to_bytes();
        }),
        "amp-tunnel-payment-addr" => misplaced(plan, |place| place.payment_addr[0] ^= 1),
        "amp-tunnel-set-id" => {
            if let Some(opening) = FORM.request(plan).and_then(|r| opening(&place(plan), &r)) {
                let mut other = *opening.set_id;
                other[0] ^= 1;
                derive(plan, &opening.root, &other);
            }
        }
        "amp-tunnel-total" => {
            FORM.sealed(plan, |r| r.amount_msat = r.amount_msat.saturating_sub(1));
        }
        "amp-tunnel-overpaid" => {
            if let Some(part) = plan.parts.last_mut() {
                part.amount_msat = part.amount_msat.saturating_add(part.total_msat + 1);
            }
        }
        // The set id is one that was used before, by the caller's choice.
        "amp-tunnel-set-id-again" => plan.again = true,
        "tunnel-request-differs" => record(plan, REQUEST_TYPE, |value| flip(value, 2)),
        "assignment-missing" => plan.records.retain(|r| r.kind != ASSIGNMENT_TYPE),
        "assignment-length" => record(plan, ASSIGNMENT_TYPE, |value| value.push(0)),
        "assignment-version" => record(plan, ASSIGNMENT_TYPE, |value| flip(value, 0)),
        "assignment-signature" => record(plan, ASSIGNMENT_TYPE, |value| flip(value, 100)),
        _ => return FORM.misbehave(plan, name),
    }
    true
}

// ---- recipient

/// An AMP set as its recipient reports it.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// `payment_secret`.
    pub payment_addr: [u8; 32],
    /// In msat, as declared.
    pub total_msat: u64,
    /// Its HTLCs.
    pub parts: Vec<amp_tunnel::Part>,
}

impl Arrival {
    /// As `amp_tunnel.accept` takes it: `payment_secret`, `total_msat` and `htlcs`.
    pub fn json(&self) -> Value {
        let htlc = |part: &amp_tunnel::Part| {
            ResultObject::new()
                .maybe("request", part.request.as_ref().map(hex))
                .with("root_share", hex(*part.share))
                .with("index", part.index)
                .with("payment_hash", hex(part.htlc.payment_hash))
                .with("amount_msat", part.htlc.amount_msat.to_string())
                .done()
        };
        ResultObject::new()
            .with("payment_secret", hex(self.payment_addr))
            .with("total_msat", self.total_msat.to_string())
            .with("htlcs", self.parts.iter().map(htlc).collect::<Value>())
            .done()
    }

    /// One HTLC more.
    pub fn add(&mut self, part: &amp::Part, amount_msat: u64, records: &[Record]) {
        self.parts.push(amp_tunnel::Part {
            request: value(records, REQUEST_TYPE).map(<[u8]>::to_vec),
            share: part.share.clone(),
            index: part.index,
            htlc: Htlc {
                payment_hash: part.payment_hash,
                amount_msat,
            },
        });
    }
}

/// What a receipt for a set takes that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub(super) commitment: [u8; 32],
    pub(super) statement: Statement,
    pub(super) amount_msat: u64,
}

/// A set that was sent with a request.
pub(super) struct Made {
    pub(super) place: Place,
    pub(super) request: Vec<u8>,
    pub(super) set_id: [u8; 32],
    pub(super) htlcs: Vec<Htlc>,
    pub(super) receipt: First,
}

/// What payer and recipient of AMP proofs remember.
#[derive(Default)]
pub struct Seals {
    pub(super) commitments: Vec<[u8; 32]>,
    pub(super) set_ids: Vec<[u8; 32]>,
    pub(super) receipts: Receipts<Due>,
    pub(super) made: Vec<Made>,
}

impl Seals {
    /// Whether a receipt is due for a set that was settled `now`, in seconds. `None` if no HTLC of it has a
    /// request.
    pub fn settled(
        &mut self,
        recipient_id: [u8; 33],
        set_id: &[u8; 32],
        arrival: &Arrival,
        now: u64,
    ) -> Option<Result<(), Violation>> {
        if arrival.parts.iter().all(|part| part.request.is_none()) {
            return None;
        }
        let place = Place {
            chain_hash: chain_hash(),
            recipient_id,
            payment_addr: arrival.payment_addr,
        };
        let payment = Payment {
            place: &place,
            set_id,
            total_msat: arrival.total_msat,
            parts: &arrival.parts,
            tunnel: None,
            now,
            window: Window::default(),
            seen: self.seen(),
        };
        let judged = match accept(&Rules::all(), &payment) {
            Ok(Decision::Due(judged)) => Ok(judged),
            Ok(Decision::NotWanted(message)) => Err(Violation {
                rule: rules::AIT_RECEIPT_WANTED,
                message,
            }),
            Err(violation) => Err(violation),
        };
        let due = judged.map(|judged| {
            let first = arrival.parts.first();
            let request = first.and_then(|part| part.request.as_deref());
            let request = decode_request(&Rules::all(), request.unwrap_or_default());
            Due {
                commitment: *judged.opening.commitment,
                statement: Statement {
                    set_id: *set_id,
                    root_hash: judged.root_hash,
                    set_digest: judged.set_digest,
                    received_msat: judged.received_msat,
                    settled_time: now,
                },
                amount_msat: request.map_or(0, |request| request.amount_msat),
            }
        });
        if let Ok(due) = &due {
            self.signed_for(due.commitment, *set_id);
        }
        Some(self.receipts.decided(*set_id, due))
    }

    /// A receipt is signed, or a secret released, for this commitment and set id.
    pub fn signed_for(&mut self, commitment: [u8; 32], set_id: [u8; 32]) {
        self.commitments.push(commitment);
        self.set_ids.push(set_id);
    }

    /// The payments for which a receipt was signed or a secret released.
    pub fn seen(&self) -> Seen<'_> {
        Seen {
            commitments: &self.commitments,
            set_ids: &self.set_ids,
        }
    }

    /// The receipt for a set: the same bytes each time, unless there is a lie in it.
    ///
    /// # Errors
    /// `rejected`, with the rule by which none is due; `invalid` for a lie that is none about a set.
    pub fn receipt(
        &self,
        set_id: &[u8; 32],
        secret: &SecretKey,
        lie: Option<&str>,
    ) -> Result<Vec<u8>, OpError> {
        let due = self.receipts.due(set_id, "set with this id")?;
        let receipt = match lie {
            None => Some(sign(due, secret)),
            Some(lie) => lied(due, secret, lie),
        };
        receipt.ok_or_else(|| OpError::invalid("param misbehave is no lie in the receipt of a set"))
    }

    /// Remembers a set that is about to be sent, if it has a request.
    pub fn sending(&mut self, plan: &Plan) {
        let rules = Rules::all();
        let Some(request) = value(&plan.records, REQUEST_TYPE) else {
            return;
        };
        let first = plan.parts.first().and_then(|part| part.amp.as_deref());
        let Ok(first) = amp::Record::decode(&rules, &LND, first.unwrap_or_default()) else {
            return;
        };
        let htlc = |part: &Part| Htlc {
            payment_hash: part.hash,
            amount_msat: part.amount_msat,
        };
        self.made.push(Made {
            place: place(plan),
            request: request.to_vec(),
            set_id: first.set_id,
            htlcs: plan.parts.iter().map(htlc).collect(),
            receipt: First::default(),
        });
    }

    /// Judges a receipt that has come; answers its tier. One that names no set of the payer's is held
    /// against the last that it sent.
    ///
    /// # Errors
    /// The verifier's rule by which it is refused.
    pub fn judge(&mut self, receipt: &[u8]) -> Result<u8, Violation> {
        let rules = Rules::all();
        let set_id = Receipt::decode(&rules, receipt)?.statement.set_id;
        let named = self.made.iter().position(|made| made.set_id == set_id);
        let at = named.or(self.made.len().checked_sub(1));
        let Some(made) = at.and_then(|at| self.made.get_mut(at)) else {
            return Err(Violation {
                rule: rules::AIT_SET_ID,
                message: "no set was sent with a request".into(),
            });
        };
        let proof = Proof {
            place: &made.place,
            request: &made.request,
            receipt: Some(receipt),
            htlcs: Some(&made.htlcs),
            tunnel: None,
            challenge: None,
            claim: None,
        };
        let verified = verify(&rules, &proof)?;
        let (id, commitment) = (&made.place.recipient_id, &*verified.opening.commitment);
        made.receipt.hold(receipt, CONTRADICTION, |both| {
            let judged = contradiction(&rules, id, commitment, both)?;
            Ok(judged.proven.then_some(judged.statement))
        })?;
        Ok(verified.tier)
    }
}

fn sign(due: &Due, secret: &SecretKey) -> Vec<u8> {
    let receipt = due.statement.sign(&due.commitment, secret, None);
    receipt.encode().to_vec()
}

/// A receipt with a lie in it. `None` if nobody has said how to lie so.
fn lied(due: &Due, secret: &SecretKey, name: &str) -> Option<Vec<u8>> {
    let mut lied = due.clone();
    let stated = &mut lied.statement;
    // version, set_id, root_hash, set_digest, received_msat, settled_time, signature.
    let changed = |at: usize| {
        let mut receipt = sign(due, secret);
        receipt[at] ^= 1;
        Some(receipt)
    };
    match name {
        "amp-receipt-version" => return changed(0),
        "amp-receipt-received-unsigned" => return changed(104),
        "amp-receipt-time-unsigned" => return changed(112),
        "amp-receipt-length" => {
            let mut receipt = sign(due, secret);
            receipt.push(0);
            return Some(receipt);
        }
        "amp-receipt-key" => {
            return Some(sign(due, &another(secret)?));
        }
        "amp-receipt-set-id" => stated.set_id[0] ^= 1,
        "amp-receipt-root" => stated.root_hash[0] ^= 1,
        "amp-receipt-digest" => stated.set_digest[0] ^= 1,
        "amp-receipt-amount" => stated.received_msat = due.amount_msat.saturating_sub(1),
        "amp-receipt-sum" => stated.received_msat = stated.received_msat.saturating_add(1),
        "amp-receipt-contradicts" => stated.settled_time = stated.settled_time.saturating_add(1),
        "amp-receipt-commitment" => lied.commitment[0] ^= 1,
        _ => return None,
    }
    Some(sign(&lied, secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payee::{Held, Payee, Set};
    use crate::proofs::Proofs;
    use crate::proofs::testing::{NOW, PAYEE, arrive, id, named, request, restarted, secret};
    use lnconform_drafts::amp_tunnel::{
        Assignment, Header, OwnPool, Pool, Tunnel, TunnelPart, settle,
    };
    use lnconform_spec::misbehaviours;

    const ADDR: [u8; 32] = [4; 32];

    fn plan(nonce: u8, root: u8, flags: u8) -> Plan {
        set(nonce, root, flags, vec![60_000, 40_000])
    }

    fn set(nonce: u8, root: u8, flags: u8, amounts: Vec<u64>) -> Plan {
        let mut drawn = root;
        let draw = || {
            drawn += 1;
            [drawn; 32]
        };
        let mut plan = Plan::amp(id(PAYEE), ADDR, amounts, 80, draw);
        plan.records = vec![Record::new(REQUEST_TYPE, request(nonce, flags))];
        bound(&mut plan);
        plan
    }

    /// The set as the honest payee has it, all of it settled.
    fn arrived(plan: &Plan) -> Set {
        let mut payee = Payee::default();
        let hashes = arrive(&mut payee, plan);
        let held: Vec<_> = hashes.iter().map(|hash| payee.held(*hash)).collect();
        assert!(
            matches!(held[..], [Held::Wait, Held::Settle(_)]),
            "{held:?}"
        );
        assert!(payee.settled(hashes[0]).is_none());
        payee.settled(hashes[1]).unwrap()
    }

    fn judged(plan: &Plan, seals: &mut Seals) -> Option<&'static str> {
        let set = arrived(plan);
        let arrival = set.arrival.as_ref().unwrap();
        let (id, set_id) = (id(PAYEE).serialize(), set.set_id.unwrap());
        let due = seals.settled(id, &set_id, arrival, NOW + 1).unwrap();
        due.err().map(|violation| violation.rule)
    }

    #[test]
    fn the_honest_recipient_signs_nothing_for_a_lie_and_says_why() {
        for m in named("amp-tunnel-") {
            let again = m.name == "amp-tunnel-again";
            let set_again = m.name == "amp-tunnel-set-id-again";
            let flags = if again || set_again { 1 } else { 3 };
            let mut seals = Seals::default();
            assert_eq!(judged(&plan(1, 10, flags), &mut seals), None);
            let root = if set_again { 10 } else { 20 };
            let mut lying = plan(if again { 1 } else { 2 }, root, flags);
            assert!(fits(&lying, &m.name));
            assert!(lying.misbehave(&m.name), "{}", m.name);
            assert_eq!(
                judged(&lying, &mut seals),
                m.reader.as_deref(),
                "{}",
                m.name
            );
        }
    }

    #[test]
    fn the_honest_payer_refuses_a_receipt_with_a_lie_by_the_rule_that_the_list_names() {
        for m in named("amp-receipt-") {
            let (mut payer, mut payee) = (Seals::default(), Seals::default());
            assert!(payer.judge(&[0; 177]).is_err());
            let plan = plan(1, 10, 3);
            payer.sending(&plan);
            assert_eq!(judged(&plan, &mut payee), None);
            let set_id = arrived(&plan).set_id.unwrap();
            let honest = payee.receipt(&set_id, &secret(PAYEE), None).unwrap();
            assert_eq!(
                payee.receipt(&set_id, &secret(PAYEE), None).unwrap(),
                honest
            );
            if m.name == "amp-receipt-contradicts" {
                assert_eq!(payer.judge(&honest).unwrap(), 3);
            }
            let lied = payee
                .receipt(&set_id, &secret(PAYEE), Some(&m.name))
                .unwrap();
            let rule = payer.judge(&lied).map_err(|violation| violation.rule);
            assert_eq!(rule.err(), m.reader.as_deref(), "{}", m.name);
            assert_eq!(payer.judge(&honest).unwrap(), 3);
        }
    }

    /// What the recipient says of a tunnel of 20000 msat beside a set of 80000 msat.
    fn settled(lie: Option<&str>) -> Result<u32, Option<&'static str>> {
        let rules = Rules::all();
        let amp = set(1, 10, 3, vec![50_000, 30_000]);
        let place = place(&amp);
        let opening = opening(&place, &FORM.request(&amp).unwrap()).unwrap();
        let hashes = [[31; 32], [32; 32]];
        let pool = Pool::build(&hashes).unwrap();
        let header = Header {
            version: 0,
            place,
            lsp_id: id(7).serialize(),
            expiry: NOW + 60,
            count: 2,
            root: pool.root(),
        };
        let message = Assignment::message(&pool.root(), 0, &opening.assignee);
        let assignment = Assignment::sign(&pool.root(), 0, &message, &secret(7), None);
        let mut tunnel = Plan::new(id(PAYEE), hashes[0], vec![20_000], 80);
        tunnel.records = amp.records.clone();
        tunnel
            .records
            .push(Record::new(ASSIGNMENT_TYPE, assignment.encode().to_vec()));
        if let Some(lie) = lie {
            assert!(fits(&tunnel, lie) && tunnel.misbehave(lie), "{lie}");
        }
        let records = tunnel.shots(&[], || secret(5)).remove(0).records;
        let carried = |kind| value(&records, kind).map(<[u8]>::to_vec);
        let arrived = arrived(&amp);
        let arrival = arrived.arrival.unwrap();
        let payment = Payment {
            place: &place,
            set_id: &arrived.set_id.unwrap(),
            total_msat: arrival.total_msat,
            parts: &arrival.parts,
            tunnel: Some(&Tunnel {
                payment_hash: tunnel.hash(),
                total_msat: 20_000,
                assignment: carried(ASSIGNMENT_TYPE),
                htlcs: vec![TunnelPart {
                    request: carried(REQUEST_TYPE),
                    amount_msat: 20_000,
                }],
            }),
            now: NOW + 1,
            window: Window::default(),
            seen: Seen::default(),
        };
        let header = header.encode();
        let pool = OwnPool {
            header: &header,
            hashes: &hashes,
        };
        let released = settle(&rules, &payment, true, pool, &[]);
        released
            .map(|release| release.index)
            .map_err(|violation| Some(violation.rule))
    }

    #[test]
    fn the_honest_recipient_keeps_the_secret_of_a_tunnel_with_a_lie() {
        assert_eq!(settled(None), Ok(0));
        let mut all = misbehaviours::all().unwrap();
        all.retain(|m| m.operations == ["invoice.pay"]);
        all.retain(|m| m.name.starts_with("assignment-") || m.name.starts_with("tunnel-"));
        assert!(!all.is_empty());
        for m in all {
            assert_eq!(
                settled(Some(&m.name)),
                Err(m.reader.as_deref()),
                "{}",
                m.name
            );
        }
        assert!(!fits(&plan(1, 10, 3), "assignment-missing"));
    }

    #[test]
    fn what_is_refused_gets_no_receipt() {
        let mut seals = Seals::default();
        let mut lying = plan(1, 10, 3);
        assert!(lying.misbehave("amp-tunnel-set-id"));
        let rule = judged(&lying, &mut seals);
        let set_id = arrived(&lying).set_id.unwrap();
        let e = seals.receipt(&set_id, &secret(PAYEE), None).unwrap_err();
        assert_eq!(e.rule.as_deref(), rule);
        assert!(seals.receipt(&[0; 32], &secret(PAYEE), None).is_err());
    }

    #[test]
    fn a_lie_needs_a_request_and_a_set_without_one_is_plain_amp() {
        let mut bare = plan(1, 10, 3);
        bare.records.clear();
        assert!(!fits(&bare, "amp-tunnel-nonce"));
        let set = arrived(&bare);
        let arrival = set.arrival.as_ref().unwrap();
        let id = id(PAYEE).serialize();
        let due = Seals::default().settled(id, &set.set_id.unwrap(), arrival, NOW);
        assert!(due.is_none());
    }

    #[test]
    fn a_set_and_its_receipt_are_known_after_a_restart() {
        let (mut payer, mut payee) = (Proofs::new(&id(5)), Proofs::new(&id(PAYEE)));
        let plan = plan(1, 10, 3);
        payer.seals.sending(&plan);
        assert_eq!(judged(&plan, &mut payee.seals), None);
        let set_id = arrived(&plan).set_id.unwrap();
        let honest = payee.seals.receipt(&set_id, &secret(PAYEE), None).unwrap();

        let (mut payer, mut payee) = (restarted(&payer, 5), restarted(&payee, PAYEE));
        let again = payee.seals.receipt(&set_id, &secret(PAYEE), None);
        assert_eq!(again.unwrap(), honest);
        assert_eq!(payer.seals.judge(&honest).unwrap(), 3);
        let rule = judged(&plan, &mut payee.seals).unwrap();

        let (mut payer, payee) = (restarted(&payer, 5), restarted(&payee, PAYEE));
        let refused = payee.seals.receipt(&set_id, &secret(PAYEE), None);
        assert_eq!(refused.unwrap_err().rule.as_deref(), Some(rule));
        let lie = lied(
            payee.seals.receipts.due.get(&set_id).unwrap(),
            &secret(PAYEE),
            "amp-receipt-contradicts",
        );
        let judged = payer.seals.judge(&lie.unwrap());
        assert_eq!(judged.unwrap_err().rule, CONTRADICTION);
    }
}
