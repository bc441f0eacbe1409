//! What a payer says in a keysend proof's request that is not so, and what a recipient says in its
//! receipt. Each is one field; the rest is as an honest one would have it, made anew where it depends on
//! that field.

use crate::misbehave::Plan;
use crate::proofs::form::{Form, another, record};
use crate::proofs::{self, Due};
use bitcoin::constants::ChainHash;
use bitcoin::secp256k1::SecretKey;
use lnconform_drafts::keysend_proof::{
    ALGORITHM_BIP340, ALGORITHM_SIGNED_MESSAGE, Opening, REPLY_TYPE, REQUEST_TYPE, Request,
};
use lnconform_drafts::rules::Rules;

/// The request of a keysend proof.
const FORM: Form = Form {
    kind: REQUEST_TYPE,
    prefix: "keysend-proof-",
    read: Request::decode,
    seal: |plan, request| {
        let to = plan.to.serialize();
        lock_to(plan, request, &proofs::chain_hash(), &to);
    },
    // The preimage is that of the request as it was.
    unseal: |_, _, _| (),
};

/// Whether a payment has what the lie is about.
pub fn fits(plan: &Plan, name: &str) -> bool {
    match name {
        "keysend-proof-reply-length" | "keysend-proof-reply-point" => {
            proofs::value(&plan.records, REPLY_TYPE).is_some()
        }
        _ if name.starts_with(FORM.prefix) => FORM.request(plan).is_some(),
        // Those go with `trampolines`, and are done elsewhere.
        _ if name.starts_with("trampoline-") => false,
        _ => true,
    }
}

/// Does to a payment what `name` says. `false` if nobody has said how.
#[must_use]
pub fn misbehave(plan: &mut Plan, name: &str) -> bool {
    match name {
        "keysend-proof-amount" => {
            FORM.unsealed(plan, |r| r.amount_msat = r.amount_msat.saturating_sub(1));
        }
        // The preimage is derived for somebody, or somewhere, else.
        "keysend-proof-recipient" => {
            let mut other = plan.to.serialize();
            other[0] ^= 1;
            seal(plan, &proofs::chain_hash(), &other);
        }
        "keysend-proof-chain" => {
            let to = plan.to.serialize();
            seal(plan, &ChainHash::BITCOIN.to_bytes(), &to);
        }
        "keysend-proof-amount-above" => {
            let sent = sum(plan);
            FORM.sealed(plan, |r| r.amount_msat = sent.saturating_add(1));
        }
        "keysend-proof-amount-below" => {
            let sent = sum(plan);
            FORM.sealed(plan, |r| r.amount_msat = sent.saturating_sub(1) / 2);
        }
        // The request alone is out of place: the payment is that of an invoice.
        "keysend-proof-on-invoice" => plan.keysend = None,
        "keysend-proof-reply-length" => record(plan, REPLY_TYPE, |value| value.push(0)),
        "keysend-proof-reply-point" => record(plan, REPLY_TYPE, |value| {
            if let Some(first) = value.first_mut() {
                *first = 4;
            }
        }),
        _ => return FORM.misbehave(plan, name),
    }
    true
}

fn sum(plan: &Plan) -> u64 {
    let amounts = plan.parts.iter().map(|part| part.amount_msat);
    amounts.fold(0, u64::saturating_add)
}

fn seal(plan: &mut Plan, chain_hash: &[u8; 32], to: &[u8; 33]) {
    if let Some(request) = FORM.request(plan) {
        lock_to(plan, &request, chain_hash, to);
    }
}

/// Derives preimage and hash from a request, if the request says that they are.
fn lock_to(plan: &mut Plan, request: &Request, chain_hash: &[u8; 32], to: &[u8; 33]) {
    if !proofs::is_bound(request) {
        return;
    }
    if let Ok(opening) = Opening::derive(&Rules::all(), chain_hash, to, request) {
        plan.keysend = Some(opening.preimage.to_vec());
        for part in &mut plan.parts {
            part.hash = opening.payment_hash;
        }
    }
}

/// A receipt with a lie in it. `None` for an unknown algorithm, or if nobody has said how to lie so.
pub fn receipt(due: &Due, algorithm: u8, secret: &SecretKey, name: &str) -> Option<Vec<u8>> {
    let mut lied = due.clone();
    let honest = || proofs::sign(due, algorithm, secret);
    let message = || proofs::sign(due, ALGORITHM_SIGNED_MESSAGE, secret);
    let changed = |at: usize, receipt: Option<Vec<u8>>| {
        let mut receipt = receipt?;
        *receipt.get_mut(at)? ^= 1;
        Some(receipt)
    };
    // version, algorithm, payment_hash, received_msat, settled_time, signature.
    match name {
        "receipt-version" => changed(0, honest()),
        "receipt-algorithm" => {
            let mut receipt = proofs::sign(due, ALGORITHM_BIP340, secret)?;
            receipt[1] = 2;
            Some(receipt)
        }
        "receipt-length" => {
            let mut receipt = honest()?;
            receipt.push(0);
            Some(receipt)
        }
        "receipt-header" => {
            let mut receipt = message()?;
            receipt[50] -= 4;
            Some(receipt)
        }
        "receipt-high-s" => high_s(message()?),
        "receipt-hash" => {
            lied.statement.payment_hash[0] ^= 1;
            proofs::sign(&lied, algorithm, secret)
        }
        "receipt-amount" => {
            lied.statement.received_msat = due.amount_msat.saturating_sub(1);
            proofs::sign(&lied, algorithm, secret)
        }
        "receipt-received-unsigned" => changed(41, honest()),
        "receipt-time-unsigned" => changed(49, honest()),
        "receipt-commitment" => {
            lied.commitment[0] ^= 1;
            proofs::sign(&lied, ALGORITHM_BIP340, secret)
        }
        "receipt-key" => proofs::sign(due, ALGORITHM_BIP340, &another(secret)?),
        "receipt-key-message" => proofs::sign(due, ALGORITHM_SIGNED_MESSAGE, &another(secret)?),
        "receipt-contradicts" => {
            lied.statement.received_msat = lied.statement.received_msat.saturating_add(1);
            proofs::sign(&lied, algorithm, secret)
        }
        _ => None,
    }
}

/// The other signature with the same key and message: `s` is its own negative, and the recovery id
/// names the other point.
fn high_s(mut receipt: Vec<u8>) -> Option<Vec<u8>> {
    let s = SecretKey::from_slice(receipt.get(83..115)?).ok()?;
    receipt[83..115].copy_from_slice(&s.negate().secret_bytes());
    receipt[50] = 31 + ((receipt[50] - 31) ^ 1);
    Some(receipt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payee::{Invoice, Payee, Set};
    use crate::proofs::Proofs;
    use crate::proofs::testing::{NOW, PAYEE, arrive, id, named, request, restarted, secret};
    use lnconform_drafts::keys;
    use lnconform_drafts::keysend_proof::{PREIMAGE_BOUND, RECEIPT_WANTED};
    use lnconform_drafts::tlv::Record;

    /// The payment secret of an invoice.
    const SECRET: [u8; 32] = [7; 32];

    /// A payment with a request; one that is not bound has that preimage.
    fn plan(nonce: u8, unbound: Option<[u8; 32]>) -> Plan {
        let flags = RECEIPT_WANTED | unbound.map_or(PREIMAGE_BOUND, |_| 0);
        let preimage = unbound.unwrap_or_default();
        let hash = keys::sha256(&[&preimage]);
        let mut plan = Plan::new(id(PAYEE), hash, vec![100_000], 80);
        plan.keysend = Some(preimage.to_vec());
        plan.records = vec![
            Record::new(REQUEST_TYPE, request(nonce, flags)),
            Record::new(REPLY_TYPE, id(5).serialize()),
        ];
        FORM.sealed(&mut plan, |_| ());
        plan
    }

    /// What arrives at the honest payee.
    fn arrived(plan: &Plan) -> ([u8; 32], Set) {
        let mut payee = Payee::default();
        if plan.keysend.is_none() {
            let invoice = Invoice {
                preimage: Some([1; 32]),
                secret: SECRET,
                amount_msat: None,
            };
            payee.expect(plan.hash(), invoice);
        }
        let hash = arrive(&mut payee, plan)[0];
        (hash, payee.set(&hash).unwrap().clone())
    }

    /// The rule by which the honest payee signs no receipt, or looks for no reply.
    fn judged(plan: &Plan, proofs: &mut Proofs) -> Option<&'static str> {
        let (hash, set) = arrived(plan);
        let due = proofs.settled(hash, &set, NOW + 1).unwrap();
        let reply = proofs.reply(&set.records);
        due.err().or(reply.err()).map(|violation| violation.rule)
    }

    #[test]
    fn what_is_decided_before_the_settlement_is_told_with_it() {
        let honest = plan(1, None);
        let (hash, set) = arrived(&honest);
        let mut payee = Proofs::new(&id(PAYEE));
        assert!(payee.settle_ahead(hash, &set, NOW + 1));
        assert!(payee.receipt(&hash, 0, &secret(PAYEE), None).is_ok());
        assert_eq!(payee.settled(hash, &set, NOW + 2), Some(Ok(())));
        // Once more it would be another payment.
        assert!(payee.settled(hash, &set, NOW + 3).unwrap().is_err());

        let mut unwanted = plan(2, None);
        FORM.sealed(&mut unwanted, |r| r.flags &= !RECEIPT_WANTED);
        let mut payer = Proofs::new(&id(5));
        for plan in [&honest, &unwanted] {
            payer.sending(plan).unwrap();
        }
        assert!(payer.wants(&hash) && !payer.wants(&unwanted.hash()));
        let (hash, set) = arrived(&unwanted);
        assert!(!payee.settle_ahead(hash, &set, NOW + 1));
        assert!(payee.settled(hash, &set, NOW + 2).unwrap().is_err());
    }

    #[test]
    fn the_honest_payee_signs_nothing_for_a_lie_and_says_why() {
        for m in named("keysend-proof-") {
            let again = m.name == "keysend-proof-again";
            let mut proofs = Proofs::new(&id(PAYEE));
            let unbound = |n| again.then_some([n; 32]);
            assert_eq!(judged(&plan(1, unbound(1)), &mut proofs), None);
            let mut lying = plan(if again { 1 } else { 2 }, unbound(2));
            assert!(fits(&lying, &m.name));
            assert!(lying.misbehave(&m.name), "{}", m.name);
            if lying.keysend.is_none() {
                lying.with_secret(SECRET);
            }
            assert_eq!(
                judged(&lying, &mut proofs),
                m.reader.as_deref(),
                "{}",
                m.name
            );
        }
    }

    #[test]
    fn a_lie_needs_something_to_lie_about() {
        let mut bare = plan(1, None);
        bare.records.clear();
        for m in named("keysend-proof-") {
            assert!(!fits(&bare, &m.name), "{}", m.name);
        }
        assert!(fits(&bare, "keysend-preimage-33"));
    }

    /// A payer that has paid, and the payee that is to sign.
    fn paid() -> (Proofs, Proofs, [u8; 32]) {
        let (mut payer, mut payee) = (Proofs::new(&id(5)), Proofs::new(&id(PAYEE)));
        let plan = plan(1, None);
        payer.sending(&plan).unwrap();
        assert_eq!(judged(&plan, &mut payee), None);
        (payer, payee, plan.hash())
    }

    #[test]
    fn an_honest_receipt_proves_and_is_the_same_each_time() {
        for algorithm in [ALGORITHM_BIP340, ALGORITHM_SIGNED_MESSAGE] {
            let (mut payer, payee, hash) = paid();
            let (due, receipt) = payee
                .receipt(&hash, algorithm, &secret(PAYEE), None)
                .unwrap();
            assert_eq!(due.reply, Some(id(5)));
            for _ in 0..2 {
                let again = payee
                    .receipt(&hash, algorithm, &secret(PAYEE), None)
                    .unwrap();
                assert_eq!(again.1, receipt);
                assert_eq!(payer.judge(&receipt).unwrap(), 1);
            }
        }
        let (_, payee, hash) = paid();
        assert!(payee.receipt(&hash, 2, &secret(PAYEE), None).is_err());
        assert!(payee.receipt(&[0; 32], 0, &secret(PAYEE), None).is_err());
    }

    #[test]
    fn the_honest_payer_refuses_a_receipt_with_a_lie_by_the_rule_that_the_list_names() {
        for m in named("receipt-") {
            let (mut payer, payee, hash) = paid();
            if m.name == "receipt-contradicts" {
                let (_, first) = payee.receipt(&hash, 0, &secret(PAYEE), None).unwrap();
                assert_eq!(payer.judge(&first).unwrap(), 1);
            }
            let lied = payee.receipt(&hash, 0, &secret(PAYEE), Some(&m.name));
            let (_, receipt) = lied.unwrap_or_else(|e| panic!("{}: {e:?}", m.name));
            let rule = payer.judge(&receipt).map_err(|violation| violation.rule);
            assert_eq!(rule.err(), m.reader.as_deref(), "{}", m.name);
        }
    }

    #[test]
    fn an_honest_payer_sends_no_request_twice() {
        let mut payer = Proofs::new(&id(5));
        let mut plan = plan(1, None);
        payer.sending(&plan).unwrap();
        assert_eq!(payer.sending(&plan).unwrap_err().rule, proofs::NO_RESEND);
        assert!(plan.misbehave("keysend-proof-again"));
        payer.sending(&plan).unwrap();
    }

    #[test]
    fn what_is_refused_gets_no_receipt() {
        let mut payee = Proofs::new(&id(PAYEE));
        let mut lying = plan(1, None);
        assert!(lying.misbehave("keysend-proof-unwanted"));
        let rule = judged(&lying, &mut payee);
        let e = payee
            .receipt(&lying.hash(), 0, &secret(PAYEE), None)
            .unwrap_err();
        assert_eq!(e.rule.as_deref(), rule);
    }

    #[test]
    fn payer_and_payee_go_on_after_a_restart() {
        let (payer, mut payee, hash) = paid();
        let mut lying = plan(2, None);
        assert!(lying.misbehave("keysend-proof-unwanted"));
        let rule = judged(&lying, &mut payee).unwrap();
        let (ahead, set) = arrived(&plan(3, None));
        assert!(payee.settle_ahead(ahead, &set, NOW + 1));

        let (mut payer, mut payee) = (restarted(&payer, 5), restarted(&payee, PAYEE));
        let sent = payer.sending(&plan(1, None));
        assert_eq!(sent.unwrap_err().rule, proofs::NO_RESEND);
        let (due, receipt) = payee.receipt(&hash, 0, &secret(PAYEE), None).unwrap();
        assert_eq!(due.reply, Some(id(5)));
        assert_eq!(payer.judge(&receipt).unwrap(), 1);
        let refused = payee.receipt(&lying.hash(), 0, &secret(PAYEE), None);
        assert_eq!(refused.unwrap_err().rule.as_deref(), Some(rule));
        assert_eq!(payee.settled(ahead, &set, NOW + 2), Some(Ok(())));

        let mut payer = restarted(&payer, 5);
        let lie = Some("receipt-contradicts");
        let (_, other) = payee.receipt(&hash, 0, &secret(PAYEE), lie).unwrap();
        assert_eq!(payer.judge(&other).unwrap_err().rule, proofs::CONTRADICTION);
        // The same request again is another payment.
        assert!(judged(&plan(1, None), &mut payee).is_some());
    }
}
