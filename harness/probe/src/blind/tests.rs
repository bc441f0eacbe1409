//! Payers, creators and nodes of blinded paths against each other, and each wrong.

use super::creator::*;
use super::judge::*;
use super::payer::*;
use super::*;
use crate::payee::{Arrived, Decision, Invoice, Payee};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::blinding::{self, BlindedHop};
use lnconform_drafts::failure::code;
use lnconform_drafts::keys;
use lnconform_drafts::onion::{self, Context as OnionContext, PAYMENT_SIZE};
use lnconform_drafts::payload::{self, Context, Position, kind};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::Record;
use lnconform_protocol::params::Params;
use lnconform_spec::misbehaviours;
use proptest::prelude::*;
use serde_json::json;

const HASH: [u8; 32] = [1; 32];
const HEIGHT: u32 = 500;
const SCID: u64 = 7;
const MINIMUM: u64 = 200_000;
const AMOUNT: u64 = 300_000;
/// No wrong: the path names a path key of its own.
const OVERRIDE: &str = "path-override";

fn secret(n: u8) -> SecretKey {
    SecretKey::from_slice(&[n; 32]).unwrap()
}

fn public(n: u8) -> PublicKey {
    keys::public(&secret(n))
}

/// A path over 8 to 9, and 9 who waits for a payment along it.
fn path(wrong: Option<&str>) -> (Path, Payee) {
    let relay = blinding::Relay {
        cltv_expiry_delta: 40,
        fee_proportional_millionths: 10,
        fee_base_msat: 5_000,
    };
    let step = Step {
        scid: SCID,
        relay,
        minimum_msat: 1,
    };
    let draft = Draft {
        via: vec![(public(8), step)],
        recipient: public(9),
        path_id: [3; 32],
        height: HEIGHT,
        // Less than a fee is less than most minimums, too.
        minimum_msat: if wrong == Some("blinded-fee-none") {
            1
        } else {
            MINIMUM
        },
        over: (wrong == Some(OVERRIDE)).then(|| secret(4)),
    };
    let mut payee = Payee::default();
    let invoice = Invoice {
        preimage: None,
        secret: draft.path_id,
        amount_msat: Some(AMOUNT),
    };
    payee.paths.expect(HASH, invoice);
    let by_creator = wrong.filter(|name| name.starts_with("path-") && *name != OVERRIDE);
    (draft.build(&secret(5), by_creator).unwrap(), payee)
}

/// A path over 8 and 9 to 10, by channels of these numbers.
pub(crate) fn trampolines() -> Path {
    let step = |scid| Step {
        scid,
        relay: blinding::Relay {
            cltv_expiry_delta: 40,
            fee_proportional_millionths: 10,
            fee_base_msat: 5_000,
        },
        minimum_msat: 1,
    };
    let draft = Draft {
        via: vec![(public(8), step(8)), (public(9), step(9))],
        recipient: public(10),
        path_id: [3; 32],
        height: HEIGHT,
        minimum_msat: MINIMUM,
        over: None,
    };
    draft.build(&secret(5), None).unwrap()
}

/// What becomes of a payment by `payer`: the rule that refuses it and the code, or nothing if 9
/// takes it.
fn travel(payer: u8, wrong: Option<&str>) -> Option<(&'static str, u16)> {
    let (path, payee) = path(wrong);
    let next = |scid| (scid == SCID).then(|| public(9));
    let mut plan = Plan::new(&path, AMOUNT, &secret(payer), next).unwrap();
    if let Some(name) = wrong.filter(|name| !name.starts_with("path-")) {
        assert!(
            plan.misbehave(name, &path),
            "{name} is in the list and not here"
        );
    }
    let (at, amount) = (if plan.first == public(8) { 8 } else { 9 }, plan.htlc_msat);
    let shot = plan.shot(HASH, Vec::new(), secret(6));
    let cltv = HEIGHT + shot.first_delta();
    let packed = shot.pack(cltv).unwrap();
    walk(payee, at, &packed.packet, packed.path_key, amount, cltv)
}

fn walk(
    mut payee: Payee,
    at: u8,
    packet: &[u8],
    path_key: Option<PublicKey>,
    amount_msat: u64,
    cltv_expiry: u32,
) -> Option<(&'static str, u16)> {
    let context = OnionContext {
        associated_data: &HASH,
        size: Some(PAYMENT_SIZE),
        path_key,
    };
    let peeled = onion::peel(&Rules::all(), &secret(at), packet, context).unwrap();
    let htlc = Arrived {
        hash: HASH,
        amount_msat,
        cltv_expiry,
        payload: &peeled.payload,
        shared_secret: crate::payee::tests::fresh(),
        height: HEIGHT,
        now: 1_000,
    };
    let mut other = Payee::default();
    let judge_of = if at == 9 { &mut payee } else { &mut other };
    let last = peeled.next.is_none();
    let judged = judge(judge_of, &secret(at), &htlc, path_key, last, &[4; 32]);
    match judged {
        Judged::Plain => panic!("it is blinded"),
        Judged::Decided(Decision::Take { whole, .. }) => {
            assert!(whole && at == 9);
            None
        }
        Judged::Decided(Decision::Refuse(refused) | Decision::RefuseSet(refused, _)) => {
            Some((refused.rule.unwrap(), refused.code))
        }
        Judged::PassOn => {
            let read = payload::read(
                &Rules::all(),
                &peeled.payload,
                Position::default(),
                &Context {
                    path_key: path_key.map(|key| key.serialize()),
                    secret: Some(&secret(at)),
                    amount_msat: Some(amount_msat),
                    cltv_expiry: Some(cltv_expiry),
                    ..Context::default()
                },
            )
            .unwrap();
            let (amount, cltv) = read.forward.unwrap();
            let next = PublicKey::from_slice(&read.next_path_key.unwrap()).unwrap();
            walk(payee, 9, &peeled.next.unwrap(), Some(next), amount, cltv)
        }
    }
}

#[test]
fn an_honest_payment_arrives_from_either_end_of_the_first_channel() {
    assert_eq!(travel(7, None), None);
    assert_eq!(travel(8, None), None);
}

#[test]
fn a_path_key_that_the_creator_names_is_the_next_one() {
    assert_eq!(travel(7, Some(OVERRIDE)), None);
    assert_eq!(travel(8, Some(OVERRIDE)), None);
    let (named, derived) = (path(Some(OVERRIDE)).0, path(None).0);
    assert_ne!(
        named.hops[1].blinded_node_id,
        derived.hops[1].blinded_node_id
    );
}

#[test]
fn a_path_comes_back_from_a_trampoline_s_form() {
    let (path, _) = path(None);
    let bytes = path.handed_over().unwrap();
    let record = vec![Record::new(kind::RECIPIENT_PATHS, bytes)];
    let dialect = Some(payload::Dialect::Pr836);
    let read = payload::Payload::from_records(&Rules::all(), record, dialect).unwrap();
    let given = read.recipient_paths.unwrap();
    assert_eq!(Path::taken_over(&given[0]), Some(path));
}

#[test]
fn each_is_noticed_by_the_statement_that_the_list_names() {
    let mut seen = 0;
    for wrong in misbehaviours::all().unwrap() {
        let ours = |o: &String| [PAY, CREATE].contains(&o.as_str());
        // What is done to trampolines has its tests there.
        let by_trampolines = wrong.name.starts_with("trampoline-");
        if by_trampolines || !wrong.operations.iter().any(ours) {
            continue;
        }
        seen += 1;
        let name = wrong.name.as_str();
        let reader = wrong.reader.as_deref();
        let of_last = name.starts_with("blinded-final")
            || [
                "blinded-data-missing",
                "blinded-fee-short",
                "blinded-cltv-short",
            ]
            .contains(&name);
        // 7 pays over 8, the introduction node; 8 pays 9 itself.
        let payer = if of_last { 8 } else { 7 };
        let noticed = travel(payer, Some(name));
        assert_eq!(noticed.map(|(rule, _)| rule), reader, "{name}");
        let code = match name {
            // Nothing tells these that they are inside a path.
            "blinded-path-key-missing" => code::INVALID_ONION_PAYLOAD,
            "blinded-to-introduction" => code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS,
            _ => code::INVALID_ONION_BLINDING,
        };
        assert_eq!(noticed.map(|(_, code)| code), Some(code), "{name}");
    }
    assert!(seen >= 25, "{seen}");
    // The first node of a path may be its end.
    for name in [
        "blinded-path-key-missing",
        "blinded-path-key-twice",
        "blinded-data-altered",
    ] {
        let wanted = misbehaviours::find(name).unwrap().reader;
        let noticed = travel(8, Some(name)).map(|(rule, _)| rule);
        assert_eq!(noticed, wanted.as_deref());
    }
}

#[test]
fn a_path_is_for_its_hash_alone() {
    let (path, mut payee) = path(None);
    let next = |_| Some(public(9));
    let plan = Plan::new(&path, AMOUNT, &secret(8), next).unwrap();
    let shot = plan.shot([2; 32], Vec::new(), secret(6));
    let cltv = HEIGHT + shot.first_delta();
    let packed = shot.pack(cltv).unwrap();
    let htlc = Arrived {
        hash: [2; 32],
        amount_msat: plan.htlc_msat,
        cltv_expiry: cltv,
        payload: &packed.payload,
        shared_secret: crate::payee::tests::fresh(),
        height: HEIGHT,
        now: 1_000,
    };
    let judged = judge(
        &mut payee,
        &secret(9),
        &htlc,
        packed.path_key,
        true,
        &[4; 32],
    );
    let Judged::Decided(Decision::Refuse(refused)) = judged else {
        panic!("{judged:?}");
    };
    assert_eq!(
        (refused.rule, refused.code),
        (Some(PATH_ID), code::INVALID_ONION_BLINDING)
    );
    assert_eq!(refused.failure[2..], [4; 32]);
}

#[test]
fn what_has_nothing_to_do_with_a_path_is_left_to_others() {
    let htlc = Arrived {
        hash: HASH,
        amount_msat: 1,
        cltv_expiry: 600,
        payload: &[2, 1, 1],
        shared_secret: crate::payee::tests::fresh(),
        height: HEIGHT,
        now: 1_000,
    };
    let mut payee = Payee::default();
    let judged = judge(&mut payee, &secret(9), &htlc, None, true, &[4; 32]);
    assert_eq!(judged, Judged::Plain);
}

#[test]
fn the_data_of_all_hops_has_one_length() {
    let (path, _) = path(None);
    let lengths: Vec<_> = path
        .hops
        .iter()
        .map(|hop| hop.encrypted_data.len())
        .collect();
    assert_eq!(lengths[0], lengths[1]);
}

#[test]
fn a_path_that_is_none_is_refused() {
    let (path, _) = path(None);
    for (member, value) in [
        ("hops", json!([])),
        ("first_node_id", json!("02")),
        ("payinfo", json!({})),
    ] {
        let mut given = path.value();
        given[member] = value;
        assert!(Path::read(Params::new(&given)).is_err(), "{member}");
    }
    // 9 is the end of its path, not a payer along it.
    let own = Path {
        first_node: public(9),
        hops: path.hops[1..].to_vec(),
        ..path
    };
    assert!(Plan::new(&own, AMOUNT, &secret(9), |_| None).is_err());
}

proptest! {
    #[test]
    fn a_path_comes_back_from_its_form(
        base: u64, part: u64, delta: u32, minimum: u64,
        data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..4),
    ) {
        let hop = |data: &Vec<u8>| BlindedHop {
            blinded_node_id: public(3).serialize(),
            encrypted_data: data.clone(),
        };
        let path = Path {
            first_node: public(1),
            path_key: public(2).serialize(),
            hops: data.iter().map(hop).collect(),
            fee_base_msat: base,
            fee_proportional_millionths: part,
            cltv_expiry_delta: delta,
            htlc_minimum_msat: minimum,
        };
        let value = path.value();
        let read = Path::read(Params::new(&value)).unwrap();
        prop_assert_eq!(read.value(), value);
    }
}
