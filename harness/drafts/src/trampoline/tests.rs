use super::*;
use crate::blinding;
use proptest::prelude::*;

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

fn key(byte: u8) -> PublicKey {
    keys::public(&secret(byte))
}

fn hop(node: u8, records: &[(u64, &[u8])]) -> SendHop {
    SendHop {
        pubkey: key(node),
        records: records
            .iter()
            .map(|(kind, value)| Record::new(*kind, *value))
            .collect(),
        supports: Some(true),
    }
}

fn payment_data(secret: u8, total: u8) -> Vec<u8> {
    [&[secret; 32][..], &[total]].concat()
}

/// A payment of BOLT 11 over trampoline 0x42 to 0x43, by way of 0x41.
struct Payment {
    trampolines: Vec<SendHop>,
    hops: Vec<SendHop>,
    invoice: Invoice<'static>,
    multi_part: bool,
    carrier: Option<usize>,
    same_key: bool,
}

fn bolt11() -> Payment {
    let next = key(0x43).serialize();
    Payment {
        trampolines: vec![
            hop(0x42, &[(2, &[90]), (4, &[100]), (14, &next)]),
            hop(0x43, &[(2, &[80]), (4, &[90]), (8, &payment_data(7, 80))]),
        ],
        hops: vec![
            hop(0x41, &[(2, &[95]), (4, &[110]), (6, &[0; 8])]),
            hop(0x42, &[(2, &[95]), (4, &[110]), (8, &payment_data(9, 95))]),
        ],
        invoice: Invoice {
            supports: true,
            payment_secret: Some([7; 32]),
            ..Invoice::default()
        },
        multi_part: true,
        carrier: None,
        same_key: false,
    }
}

fn sent(rules: &Rules, payment: &Payment) -> Result<(onion::Built, onion::Built), Error> {
    let (outer, inner) = (secret(1), secret(if payment.same_key { 1 } else { 2 }));
    send(
        rules,
        &Sender {
            invoice: payment.invoice,
            session_key: &outer,
            trampoline_session_key: &inner,
            associated_data: b"hash",
            trampolines: &payment.trampolines,
            hops: &payment.hops,
            carrier: payment.carrier,
            multi_part: payment.multi_part,
            trampoline_size: None,
            size: onion::PAYMENT_SIZE,
        },
    )
}

#[track_caller]
fn isolates(change: impl Fn(&mut Payment), payment: Payment, rule: &str) {
    let mut payment = payment;
    assert!(sent(&Rules::all(), &payment).is_ok(), "before {rule}");
    change(&mut payment);
    match sent(&Rules::all(), &payment) {
        Err(Error::Rule(violation)) => assert_eq!(violation.rule, rule, "{}", violation.message),
        other => panic!("{rule}: {other:?}"),
    }
    let off = Rules::all().without(rule).unwrap();
    assert!(sent(&off, &payment).is_ok(), "{rule}");
}

fn drop_record(hop: &mut SendHop, kind: u64) {
    hop.records.retain(|record| record.kind != kind);
}

#[test]
fn each_rule_for_bolt11_is_named_and_can_be_off() {
    for kind in [2, 4] {
        isolates(
            |p| drop_record(&mut p.trampolines[1], kind),
            bolt11(),
            rules::TRAMPOLINE_SENDER_AMOUNT_CLTV,
        );
    }
    isolates(
        |p| drop_record(&mut p.trampolines[0], 14),
        bolt11(),
        rules::TRAMPOLINE_SENDER_OUTGOING_NODE,
    );
    isolates(
        |p| p.trampolines[1].records[2].value[0] = 1,
        bolt11(),
        rules::TRAMPOLINE_SENDER_PAYMENT_SECRET,
    );
    isolates(
        |p| p.trampolines[0].supports = Some(false),
        bolt11(),
        rules::TRAMPOLINE_SENDER_HOPS_SUPPORT,
    );
    isolates(
        |p| p.same_key = true,
        bolt11(),
        rules::TRAMPOLINE_SENDER_SESSION_KEYS,
    );
    isolates(
        |p| {
            // Of several parts, whoever carries the onion has to have a payment secret.
            p.multi_part = false;
            p.carrier = Some(0);
        },
        bolt11(),
        rules::TRAMPOLINE_SENDER_LAST_HOP,
    );
    isolates(
        |p| drop_record(&mut p.hops[1], 8),
        bolt11(),
        rules::TRAMPOLINE_SENDER_RANDOM_SECRET,
    );
    isolates(
        |p| p.hops[1].records[2].value = payment_data(7, 95),
        bolt11(),
        rules::TRAMPOLINE_SENDER_INVOICE_SECRET,
    );
    isolates(
        |p| p.invoice.supports = false,
        bolt11(),
        rules::TRAMPOLINE_SENDER_UNSUPPORTED,
    );
}

#[test]
fn a_payment_arrives() {
    let payment = bolt11();
    let (_, outer) = sent(&Rules::all(), &payment).unwrap();
    let context = |data| onion::Context {
        associated_data: data,
        size: None,
        path_key: None,
    };
    let first = onion::peel(
        &Rules::all(),
        &secret(0x41),
        &outer.packet,
        context(b"hash"),
    )
    .unwrap();
    let packet = first.next.unwrap();
    let second = onion::peel(&Rules::all(), &secret(0x42), &packet, context(b"hash")).unwrap();
    assert!(second.next.is_none());
    let speaks = payload::Context {
        dialect: Some(Dialect::Pr836),
        ..payload::Context::default()
    };
    let last = Position {
        last: true,
        trampoline: false,
    };
    let outer = payload::read(&Rules::all(), &second.payload, last, &speaks).unwrap();
    let trampoline = secret(0x42);
    let receiver = Receiver {
        supports: true,
        secret: &trampoline,
        associated_data: b"hash",
        received_msat: 95,
        cltv_expiry: Some(110),
    };
    let (_, action) = receive(&Rules::all(), &outer, &receiver).unwrap();
    let Action::Forward { node, records } = action else {
        panic!("{action:?}");
    };
    assert_eq!(node, Some(key(0x43).serialize()));
    assert_eq!(records[0].kind, kind::TRAMPOLINE_ONION);

    let none = Receiver {
        supports: false,
        ..receiver
    };
    let refused = receive(&Rules::all(), &outer, &none).unwrap_err();
    assert!(matches!(refused, Error::Rule(v) if v.rule == rules::TRAMPOLINE_UNSUPPORTED));
    let part = Receiver {
        received_msat: 94,
        ..receiver
    };
    assert_eq!(
        receive(&Rules::all(), &outer, &part).unwrap().1,
        Action::Wait
    );
    let off = Rules::all().without(rules::TRAMPOLINE_WAIT_PARTS).unwrap();
    assert_ne!(receive(&off, &outer, &part).unwrap().1, Action::Wait);

    let recipient = secret(0x43);
    let outer = Payload {
        amt_to_forward: Some(80),
        outgoing_cltv_value: Some(90),
        trampoline_onion: Some(records[0].value.clone()),
        ..Payload::default()
    };
    let receiver = Receiver {
        secret: &recipient,
        received_msat: 80,
        ..receiver
    };
    let (inner, action) = receive(&Rules::all(), &outer, &receiver).unwrap();
    assert_eq!(action, Action::Receive);
    assert_eq!(inner.payment_data, Some(([7; 32], 80)));
}

/// The data of a path from 0x42 to 0x43.
fn path() -> blinding::Built {
    let next = key(0x43).serialize();
    let relay = [&[10, 7][..], &[0, 10, 0, 0, 0, 0, 10]].concat();
    let data = [&[4, 33][..], &next, &relay].concat();
    blinding::build(&secret(5), &[(key(0x42), data), (key(0x43), vec![6, 1, 9])]).unwrap()
}

#[test]
fn each_rule_for_bolt12_is_named_and_can_be_off() {
    let built = path();
    let data: &'static [Vec<u8>] = built
        .path
        .hops
        .iter()
        .map(|hop| hop.encrypted_data.clone())
        .collect::<Vec<_>>()
        .leak();
    let first_key = built.path.first_path_key;
    let make = || Payment {
        trampolines: vec![
            hop(
                0x41,
                &[(2, &[95]), (4, &[110]), (14, &key(0x42).serialize())],
            ),
            hop(0x42, &[(10, &data[0]), (12, &first_key)]),
            SendHop {
                pubkey: PublicKey::from_slice(&built.path.hops[1].blinded_node_id).unwrap(),
                ..hop(1, &[(2, &[80]), (4, &[90]), (10, &data[1]), (18, &[80])])
            },
        ],
        hops: vec![hop(
            0x41,
            &[(2, &[99]), (4, &[120]), (8, &payment_data(9, 99))],
        )],
        invoice: Invoice {
            bolt12: true,
            supports: true,
            path_data: data,
            path_key: Some(first_key),
            ..Invoice::default()
        },
        multi_part: false,
        carrier: None,
        same_key: false,
    };
    fn record(hop: &mut SendHop, kind: u64) -> &mut Record {
        hop.records.iter_mut().find(|r| r.kind == kind).unwrap()
    }
    isolates(
        |p| record(&mut p.trampolines[2], 10).value[0] ^= 1,
        make(),
        rules::TRAMPOLINE_SENDER_BLINDED_DATA,
    );
    isolates(
        |p| drop_record(&mut p.trampolines[1], 12),
        make(),
        rules::TRAMPOLINE_SENDER_BLINDED_PATH_KEY,
    );
    isolates(
        |p| drop_record(&mut p.trampolines[2], 18),
        make(),
        rules::TRAMPOLINE_SENDER_BLINDED_FINAL_FIELDS,
    );
    isolates(
        |p| p.trampolines[1].records.push(Record::new(65537, [])),
        make(),
        rules::TRAMPOLINE_SENDER_BLINDED_ONLY,
    );
    isolates(
        |p| drop_record(&mut p.trampolines[0], 4),
        make(),
        rules::TRAMPOLINE_SENDER_PREPENDED_AMOUNT_CLTV,
    );
    isolates(
        |p| drop_record(&mut p.trampolines[0], 14),
        make(),
        rules::TRAMPOLINE_SENDER_PREPENDED_NODE,
    );
}

#[test]
fn each_rule_for_a_recipient_without_the_feature_is_named_and_can_be_off() {
    let mut entry = path().path.encode().unwrap();
    entry.extend_from_slice(&[0; 28]);
    let paths: &'static [Vec<u8>] = vec![entry.clone()].leak();
    let make = || Payment {
        trampolines: vec![hop(
            0x42,
            &[(2, &[80]), (4, &[90]), (21, &[2, 0, 0]), (22, &entry)],
        )],
        hops: vec![hop(0x42, &[(2, &[95]), (4, &[110])])],
        invoice: Invoice {
            bolt12: true,
            features: Some(&[2, 0, 0]),
            paths,
            ..Invoice::default()
        },
        multi_part: false,
        carrier: None,
        same_key: false,
    };
    isolates(
        |p| drop_record(&mut p.trampolines[0], 22),
        make(),
        rules::TRAMPOLINE_SENDER_RECIPIENT_PATHS,
    );
    isolates(
        |p| {
            let node = Record::new(14, key(9).serialize());
            p.trampolines[0].records.insert(2, node);
        },
        make(),
        rules::TRAMPOLINE_SENDER_NO_OUTGOING_NODE,
    );
    isolates(
        |p| drop_record(&mut p.trampolines[0], 21),
        make(),
        rules::TRAMPOLINE_SENDER_RECIPIENT_FEATURES,
    );
    isolates(
        |p| p.invoice.paths = &[],
        make(),
        rules::TRAMPOLINE_SENDER_UNSUPPORTED,
    );
}

#[test]
fn failures_come_back_under_both_onions() {
    let (outer, inner) = ([[1; 32], [2; 32]], [[3; 32], [4; 32]]);
    // The recipient fails; its trampoline hides that for the payer, and for the hop in front.
    let made = failure::create(&Rules::all(), &inner[1], &[0x20, 25], failure::PADDED).unwrap();
    let packet = wrap_failure(&inner[0], &outer[1], &made.packet);
    let packet = failure::wrap(&outer[0], &packet);
    let (whose, decoded) = decode_failure(&Rules::all(), &outer, &inner, &packet).unwrap();
    assert_eq!(whose, Whose::Trampoline(1));
    assert_eq!(decoded.code(), code::TEMPORARY_TRAMPOLINE_FAILURE);
    // The hop in front of the trampoline fails.
    let made = failure::create(&Rules::all(), &outer[0], &[0x40, 10], failure::PADDED).unwrap();
    let (whose, _) = decode_failure(&Rules::all(), &outer, &inner, &made.packet).unwrap();
    assert_eq!(whose, Whose::Hop(0));
}

#[test]
fn inside_a_blinded_path_there_is_one_failure() {
    let own = [0x20, 25];
    let code_of = |place, from_next| {
        let answer = answer_failure(place, from_next, &own, b"onion");
        u16::from_be_bytes([answer[0], answer[1]])
    };
    let blinded = code::INVALID_ONION_BLINDING;
    assert_eq!(code_of(Place::Outside, true), 0x2019);
    assert_eq!(code_of(Place::Introduction, false), 0x2019);
    assert_eq!(code_of(Place::Introduction, true), blinded);
    assert_eq!(code_of(Place::Inside, false), blinded);
    let answer = answer_failure(Place::Inside, true, &own, b"onion");
    assert_eq!(answer[2..], keys::sha256(&[b"onion"]));
}

proptest! {
    #[test]
    fn onions_of_any_size_come_back(lengths in prop::collection::vec(2..90_usize, 1..7), more in 0..300_usize) {
        let hops: Vec<Hop> = lengths
            .iter()
            .zip(0x41..)
            .map(|(length, node)| Hop { pubkey: key(node), framed: onion::frame(&vec![node; *length]) })
            .collect();
        let size = onion::needed(&hops) + more;
        let built = onion::build(&Rules::all(), &secret(1), b"hash", &hops, size).unwrap();
        let mut packet = Some(built.packet);
        for (at, hop) in hops.iter().enumerate() {
            let onion = packet.take().unwrap();
            prop_assert_eq!(&onion, &built.packets[at]);
            let context = onion::Context { associated_data: b"hash", size: Some(size), path_key: None };
            let peeled = onion::peel(&Rules::all(), &secret(0x41 + at as u8), &onion, context).unwrap();
            prop_assert_eq!(onion::frame(&peeled.payload), hop.framed.clone());
            prop_assert_eq!(peeled.shared_secret, built.shared_secrets[at]);
            packet = peeled.next;
        }
        prop_assert!(packet.is_none());
    }
}
