//! Payers, trampolines and recipients of pull request 836 against each other, and each lie.

use super::payer::*;
use super::receiver::*;
use super::*;
use crate::misbehave::Plan;
use crate::payee::{Arrived, Decision, Invoice, Payee, Set};
use crate::shot::read_failure;
use crate::trampoline::relay::DELTA;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::failure;
use lnconform_drafts::keys;
use lnconform_drafts::onion::{self, Context};
use lnconform_drafts::rules::Rules;
use lnconform_protocol::OpError;
use lnconform_spec::misbehaviours;

const HASH: [u8; 32] = [1; 32];
const SECRET: [u8; 32] = [4; 32];

fn secret(n: u8) -> SecretKey {
    SecretKey::from_slice(&[n; 32]).unwrap()
}

fn id(n: u8) -> PublicKey {
    keys::public(&secret(n))
}

/// A payment of 90000 msat by these nodes, the last of them its recipient.
fn through<'a>(nodes: &'a [PublicKey], parts: &'a [u64]) -> Through<'a> {
    Through {
        nodes,
        hash: HASH,
        secret: SECRET,
        amount_msat: 90_000,
        delta: 60,
        height: 500,
        fee_msat: FEE_MSAT,
        step: DELTA,
        parts,
    }
}

fn sent(lie: Option<&str>) -> (Plan, Vec<[u8; 32]>) {
    let nodes = [id(8), id(9)];
    through(&nodes, &[]).plan([6; 32], &secret(3), lie).unwrap()
}

#[test]
fn a_fee_or_an_expiry_that_is_too_low_is_answered_with_what_is_asked_for() {
    for (fee_msat, step) in [(FEE_MSAT - 1, DELTA), (FEE_MSAT, DELTA - 1)] {
        let nodes = [id(8), id(9)];
        let through = Through {
            fee_msat,
            step,
            ..through(&nodes, &[])
        };
        let (plan, _) = through.plan([6; 32], &secret(3), None).unwrap();
        let refused = open(&secret(8), &HASH, &held(&plan, 8), |_| None)
            .1
            .unwrap_err();
        let expected = [0x20, 26, 0, 0, 3, 232, 0, 0, 0, 0, 0, 40];
        assert_eq!(refused.failure, expected);
    }
}

/// The set that a node holds when a payment has come.
pub(crate) fn held(plan: &Plan, node: u8) -> Set {
    let mut payee = Payee::default();
    payee.pr836 = true;
    for shot in plan.shots(&[], || secret(5)) {
        let expiry = 500 + shot.first_delta();
        let packed = shot.pack(expiry).unwrap();
        let context = Context {
            associated_data: &HASH,
            size: Some(onion::PAYMENT_SIZE),
            path_key: None,
        };
        let peeled = onion::peel(&Rules::all(), &secret(node), &packed.packet, context).unwrap();
        let htlc = Arrived {
            hash: HASH,
            amount_msat: shot.htlc_msat,
            cltv_expiry: expiry,
            payload: &peeled.payload,
            shared_secret: crate::payee::tests::fresh(),
            height: 500,
            now: 1_000,
        };
        let judged = crate::blind::judge(&mut payee, &secret(node), &htlc, None, true, &[0; 32]);
        assert_eq!(judged, crate::blind::Judged::Plain);
        let decision = payee.arrive(&htlc);
        assert!(matches!(decision, Decision::Take { .. }), "{decision:?}");
    }
    payee.set(&HASH).unwrap().clone()
}

/// The rule by which the honest trampoline or the honest recipient refuses.
fn judged(lie: Option<&str>) -> Result<(), Option<&'static str>> {
    let code = |r: Refusal| r.rule;
    let (plan, _) = sent(lie);
    let todo = open(&secret(8), &HASH, &held(&plan, 8), |_| None)
        .1
        .map_err(code)?;
    let Todo::Relay(relay) = todo else {
        panic!("{todo:?}");
    };
    assert_eq!(relay.next, id(9));
    let mut onward = relay.plan(500, [7; 32]);
    translate(&mut onward);
    let set = held(&onward, 9);
    let todo = open(&secret(9), &HASH, &set, |_| None).1.map_err(code)?;
    let Todo::Receive(secret) = todo else {
        panic!("{todo:?}");
    };
    let invoice = Invoice {
        preimage: Some([2; 32]),
        secret: SECRET,
        amount_msat: Some(90_000),
    };
    settles(Some(&invoice), secret, &set, 500)
        .map(|_| ())
        .map_err(code)
}

#[test]
fn an_honest_payment_goes_through() {
    assert_eq!(judged(None), Ok(()));
    let (plan, _) = sent(None);
    assert_eq!(plan.parts[0].amount_msat, 91_000);
    assert_eq!(plan.delta, 100);
}

#[test]
fn each_lie_is_noticed_by_the_statement_that_the_list_names() {
    let mut all = misbehaviours::all().unwrap();
    all.retain(|m| m.name.starts_with("trampoline-"));
    all.retain(|m| m.operations.iter().any(|o| o == "invoice.pay"));
    all.retain(|m| !m.needs_parts);
    assert!(!all.is_empty());
    for m in all {
        let rule = judged(Some(&m.name)).unwrap_err();
        assert_eq!(rule, m.reader.as_deref(), "{}", m.name);
    }
}

/// A payment of two parts to 9, which is the recipient itself.
fn in_parts(parts: &[u64], lie: Option<&str>) -> Result<Plan, OpError> {
    let nodes = [id(9)];
    through(&nodes, parts)
        .plan([6; 32], &secret(3), lie)
        .map(|(plan, _)| plan)
}

#[test]
fn parts_are_held_against_the_total() {
    let opened = |lie| {
        let plan = in_parts(&[50_000, 40_000], lie).unwrap();
        open(&secret(9), &HASH, &held(&plan, 9), |_| None).1
    };
    assert_eq!(opened(None), Ok(Todo::Receive(Some(SECRET))));
    let name = "trampoline-final-total";
    let refused = opened(Some(name)).unwrap_err();
    let reader = misbehaviours::find(name).unwrap().reader;
    assert_eq!(refused.rule, reader.as_deref());
}

#[test]
fn a_lie_that_cannot_be_told_is_refused() {
    for (parts, lie) in [
        (&[][..], "trampoline-final-total"),
        (&[], "trampoline-no-node"),
        (&[80_000], "trampoline-hmac"),
    ] {
        assert!(in_parts(parts, Some(lie)).is_err(), "{lie}");
    }
}

#[test]
fn a_failure_of_a_trampoline_is_read_with_the_inner_secrets() {
    let (plan, inner) = sent(None);
    let shot = plan.shots(&[], || secret(5)).remove(0);
    let outer = shot.pack(600).unwrap().secrets;
    let shared = open(&secret(8), &HASH, &held(&plan, 8), |_| None)
        .0
        .unwrap();
    assert_eq!(shared, inner[0]);
    let message = (failure::PERM | 27).to_be_bytes();
    let packet = failure(Some(shared), &outer[0], &message).unwrap();
    assert!(read_failure(&outer, &packet).is_err());
    let mut secrets = Secrets::default();
    secrets.sent.insert(HASH, inner);
    let both = secrets.both(Some(HASH), outer.clone());
    let decoded = read_failure(&both, &packet).unwrap();
    assert_eq!((decoded.hop, decoded.failure), (1, message.to_vec()));
    let plain = failure(None, &outer[0], &message).unwrap();
    assert_eq!(read_failure(&both, &plain).unwrap().hop, 0);
}
