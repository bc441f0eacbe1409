use super::*;
use crate::blinding;
use crate::keys;
use proptest::prelude::*;

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

fn point(byte: u8) -> Point {
    keys::public(&secret(byte)).serialize()
}

fn stream(records: &[(u64, &[u8])]) -> Vec<u8> {
    let records: Vec<Record> = records
        .iter()
        .map(|(kind, value)| Record::new(*kind, *value))
        .collect();
    tlv::encode_unchecked(&records)
}

const INTERMEDIATE: Position = Position {
    last: false,
    trampoline: false,
};
const FINAL: Position = Position {
    last: true,
    trampoline: false,
};
const TRAMPOLINE: Position = Position {
    last: false,
    trampoline: true,
};
const TRAMPOLINE_FINAL: Position = Position {
    last: true,
    trampoline: true,
};

const CHANNEL: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 10];

fn refusal(
    rules: &Rules,
    stream: &[u8],
    position: Position,
    context: &Context<'_>,
) -> Option<Refusal> {
    match read(rules, stream, position, context) {
        Ok(_) => None,
        Err(Error::Refused(refusal)) => Some(*refusal),
        Err(e) => panic!("{e}"),
    }
}

/// The payload is refused by the rule, with the code, and taken with that rule alone switched off.
#[track_caller]
fn isolates(
    stream: &[u8],
    position: Position,
    context: &Context<'_>,
    rule: &str,
    code: u16,
) -> Refusal {
    let refused = refusal(&Rules::all(), stream, position, context).expect(rule);
    assert_eq!(
        refused.violation.rule, rule,
        "{}",
        refused.violation.message
    );
    assert_eq!(refused.code, code, "{rule}");
    let off = Rules::all().without(rule).unwrap();
    assert_eq!(refusal(&off, stream, position, context), None, "{rule}");
    refused
}

/// An HTLC of 1100 msat that expires at 900, at height 800.
const HTLC: Context<'static> = Context {
    path_key: None,
    secret: None,
    data: None,
    amount_msat: Some(1100),
    cltv_expiry: Some(900),
    height: Some(800),
    min_final_cltv_expiry_delta: Some(18),
    expected_msat: Some(1000),
    channel: Some(Channel {
        fee_base_msat: 90,
        fee_proportional_millionths: 10_000,
        cltv_expiry_delta: 40,
    }),
    channels: Some(&[10]),
    features_used: &[],
    known: &[],
    dialect: None,
    outer: None,
};

#[test]
fn a_node_that_forwards() {
    let good: &[(u64, &[u8])] = &[(2, &[3, 0xe8]), (4, &[3, 0x5c]), (6, CHANNEL)];
    let read = read(&Rules::all(), &stream(good), INTERMEDIATE, &HTLC).unwrap();
    assert_eq!(read.amt_to_forward, Some(1000));
    assert_eq!(read.outgoing_cltv_value, Some(860));
    assert_eq!(read.short_channel_id, Some(10));
    let without = |kind: u64| {
        let left: Vec<_> = good.iter().copied().filter(|(k, _)| *k != kind).collect();
        stream(&left)
    };
    let payload = code::INVALID_ONION_PAYLOAD;
    for (kind, rule) in [
        (2, rules::PAYLOAD_AMOUNT_CLTV),
        (4, rules::PAYLOAD_AMOUNT_CLTV),
        (6, rules::PAYLOAD_SHORT_CHANNEL_ID),
    ] {
        let refused = isolates(&without(kind), INTERMEDIATE, &HTLC, rule, payload);
        assert_eq!(refused.at, Some((kind, 0)));
    }
    let odd = [good, &[(100, &[])]].concat();
    let refused = isolates(
        &stream(&odd),
        INTERMEDIATE,
        &HTLC,
        rules::TLV_UNKNOWN_EVEN,
        payload,
    );
    assert_eq!(refused.at, Some((100, 18)));
    let known = Context {
        known: &[100],
        ..HTLC
    };
    assert_eq!(
        refusal(&Rules::all(), &stream(&odd), INTERMEDIATE, &known),
        None
    );

    let good = stream(good);
    let other = Context {
        channels: Some(&[11]),
        ..HTLC
    };
    let next = code::UNKNOWN_NEXT_PEER;
    isolates(
        &good,
        INTERMEDIATE,
        &other,
        rules::PAYLOAD_FORWARDABLE,
        next,
    );
    let poor = Context {
        amount_msat: Some(1099),
        ..HTLC
    };
    let fee = code::FEE_INSUFFICIENT;
    isolates(&good, INTERMEDIATE, &poor, rules::PAYLOAD_FEE, fee);
    let late = Context {
        cltv_expiry: Some(899),
        ..HTLC
    };
    let delta = code::INCORRECT_CLTV_EXPIRY;
    isolates(&good, INTERMEDIATE, &late, rules::PAYLOAD_CLTV_DELTA, delta);
    let keyed = Context {
        path_key: Some(point(5)),
        ..HTLC
    };
    isolates(
        &good,
        INTERMEDIATE,
        &keyed,
        rules::PAYLOAD_PATH_KEY_UNBLINDED,
        code::INVALID_ONION_BLINDING,
    );
}

#[test]
fn a_recipient() {
    let secret_total = [&[7; 32][..], &[3, 0xe8]].concat();
    let good = stream(&[(2, &[3, 0xe8]), (4, &[3, 0x5c]), (8, &secret_total)]);
    let taken = read(&Rules::all(), &good, FINAL, &HTLC).unwrap();
    assert_eq!(taken.payment_data, Some(([7; 32], 1000)));
    let bare = stream(&[(2, &[3, 0xe8]), (4, &[3, 0x5c])]);
    let taken = read(&Rules::all(), &bare, FINAL, &HTLC).unwrap();
    assert_eq!(taken.total_msat(), Some(1000));
    let with = |amount, expiry, height| Context {
        amount_msat: Some(amount),
        cltv_expiry: Some(expiry),
        height: Some(height),
        ..HTLC
    };
    assert_eq!(
        refusal(&Rules::all(), &bare, FINAL, &with(1000, 860, 842)),
        None
    );
    isolates(
        &bare,
        FINAL,
        &with(999, 860, 842),
        rules::PAYLOAD_FINAL_AMOUNT,
        code::FINAL_INCORRECT_HTLC_AMOUNT,
    );
    isolates(
        &bare,
        FINAL,
        &with(1000, 859, 800),
        rules::PAYLOAD_FINAL_CLTV,
        code::FINAL_INCORRECT_CLTV_EXPIRY,
    );
    isolates(
        &bare,
        FINAL,
        &with(1000, 860, 843),
        rules::PAYLOAD_FINAL_HEIGHT,
        code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS,
    );
}

/// 40 blocks, 1 %, 89 msat; until 1000, from 500 msat on.
const RELAY: &[u8] = &[0, 40, 0, 0, 0x27, 0x10, 89];
const LIMITS: &[u8] = &[0, 0, 3, 0xe8, 1, 0xf4];

/// A payload with sealed data for node 0x41, at the first node of a route or further along.
fn sealed(data: &[(u64, &[u8])], more: &[(u64, &[u8])], first: bool) -> Vec<u8> {
    let plain = stream(data);
    let built = blinding::build(&secret(7), &[(keys::public(&secret(0x41)), plain)]).unwrap();
    let data = built.path.hops[0].encrypted_data.clone();
    let key = built.path.first_path_key;
    let mut records = vec![Record::new(10, data)];
    if first {
        records.push(Record::new(12, key));
    }
    records.extend(more.iter().map(|(kind, value)| Record::new(*kind, *value)));
    records.sort_by_key(|record| record.kind);
    tlv::encode_unchecked(&records)
}

#[test]
fn a_node_that_forwards_inside_a_blinded_route() {
    let key = secret(0x41);
    let first = Context {
        secret: Some(&key),
        ..HTLC
    };
    let later = Context {
        path_key: Some(point(7)),
        ..first
    };
    let data: &[(u64, &[u8])] = &[(2, CHANNEL), (10, RELAY), (12, LIMITS)];
    let blinded = code::INVALID_ONION_BLINDING;
    for (context, begins) in [(first, true), (later, false)] {
        let taken = read(
            &Rules::all(),
            &sealed(data, &[], begins),
            INTERMEDIATE,
            &context,
        )
        .unwrap();
        // 1011 msat less one part in 101, rounded up.
        assert_eq!(taken.forward, Some((1001, 860)));
        assert!(taken.next_path_key.is_some());
        let check = |data: &[(u64, &[u8])], more: &[(u64, &[u8])], context: &Context<'_>, rule| {
            isolates(
                &sealed(data, more, begins),
                INTERMEDIATE,
                context,
                rule,
                blinded,
            )
        };
        let with = |amount, expiry| Context {
            amount_msat: Some(amount),
            cltv_expiry: Some(expiry),
            ..context
        };
        check(data, &[], &with(1100, 1001), rules::PAYLOAD_MAX_CLTV_EXPIRY);
        check(data, &[], &with(499, 900), rules::PAYLOAD_HTLC_MINIMUM);
        check(
            &[data, &[(14, &[2])]].concat(),
            &[],
            &context,
            rules::PAYLOAD_FEATURES_UNKNOWN,
        );
        let used = Context {
            features_used: &[17],
            ..context
        };
        check(data, &[], &used, rules::PAYLOAD_FEATURES_USED);
        let both: &[(u64, &[u8])] = &[(2, CHANNEL), (4, &point(9)), (10, RELAY), (12, LIMITS)];
        check(both, &[], &context, rules::PAYLOAD_NEXT_TWICE);
        check(
            data,
            &[(6, CHANNEL)],
            &context,
            rules::PAYLOAD_BLINDED_EXTRA,
        );
        check(
            data,
            &[(65537, &[])],
            &context,
            rules::PAYLOAD_BLINDED_EXTRA,
        );
        check(&data[1..], &[], &context, rules::PAYLOAD_BLINDED_NEXT);
        let no_relay: &[(u64, &[u8])] = &[(2, CHANNEL), (12, LIMITS)];
        check(no_relay, &[], &context, rules::PAYLOAD_BLINDED_RELAY);
    }
    isolates(
        &sealed(data, &[], true),
        INTERMEDIATE,
        &later,
        rules::PAYLOAD_PATH_KEY_TWICE,
        blinded,
    );
    let lost = isolates(
        &sealed(data, &[], false),
        INTERMEDIATE,
        &first,
        rules::PAYLOAD_PATH_KEY_MISSING,
        code::INVALID_ONION_PAYLOAD,
    );
    assert_eq!(lost.at.map(|(kind, _)| kind), Some(12));
    let wrong = Context {
        path_key: Some(point(8)),
        ..first
    };
    let refused = refusal(
        &Rules::all(),
        &sealed(data, &[], false),
        INTERMEDIATE,
        &wrong,
    );
    assert_eq!(refused.unwrap().violation.rule, rules::PAYLOAD_DECRYPT);
}

#[test]
fn the_recipient_of_a_blinded_route() {
    let key = secret(0x41);
    let context = Context {
        secret: Some(&key),
        path_key: Some(point(7)),
        ..HTLC
    };
    let data: &[(u64, &[u8])] = &[(6, &[1, 2, 3])];
    let good: &[(u64, &[u8])] = &[(2, &[3, 0xe8]), (4, &[3, 0x5c]), (18, &[3, 0xe8])];
    let taken = read(&Rules::all(), &sealed(data, good, false), FINAL, &context).unwrap();
    assert_eq!(taken.data.unwrap().path_id, Some(vec![1, 2, 3]));
    let blinded = code::INVALID_ONION_BLINDING;
    for missing in 0..3 {
        let mut left = good.to_vec();
        left.remove(missing);
        // Without an amount there is less than expected, which is another rule.
        let context = Context {
            expected_msat: None,
            ..context
        };
        isolates(
            &sealed(data, &left, false),
            FINAL,
            &context,
            rules::PAYLOAD_BLINDED_FINAL_FIELDS,
            blinded,
        );
    }
    let more = [good, &[(16, &[1])]].concat();
    isolates(
        &sealed(data, &more, false),
        FINAL,
        &context,
        rules::PAYLOAD_BLINDED_FINAL_EXTRA,
        blinded,
    );
    let with = |expected, expiry, height| Context {
        expected_msat: Some(expected),
        cltv_expiry: Some(expiry),
        height: Some(height),
        ..context
    };
    for (context, rule) in [
        (with(1001, 900, 800), rules::PAYLOAD_BLINDED_FINAL_AMOUNT),
        (with(1000, 859, 800), rules::PAYLOAD_BLINDED_FINAL_CLTV),
        (with(1000, 860, 843), rules::PAYLOAD_BLINDED_FINAL_HEIGHT),
    ] {
        isolates(&sealed(data, good, false), FINAL, &context, rule, blinded);
    }
    // What the HTLC brings may be more than the payload says, and not less.
    let brings = |amount_msat| Context {
        amount_msat: Some(amount_msat),
        ..context
    };
    for enough in [1000, 1001] {
        let read = read(
            &Rules::all(),
            &sealed(data, good, false),
            FINAL,
            &brings(enough),
        );
        assert!(read.is_ok(), "{enough}: {read:?}");
    }
    isolates(
        &sealed(data, good, false),
        FINAL,
        &brings(999),
        rules::PAYLOAD_FINAL_AMOUNT,
        blinded,
    );
    // The introduction node that is the recipient answers as every recipient does.
    let alone = Context {
        path_key: None,
        cltv_expiry: Some(859),
        ..context
    };
    isolates(
        &sealed(data, good, true),
        FINAL,
        &alone,
        rules::PAYLOAD_BLINDED_FINAL_CLTV,
        code::FINAL_INCORRECT_CLTV_EXPIRY,
    );
}

#[test]
fn inside_a_trampoline_onion() {
    let outer = Outer {
        amt_to_forward: Some(1000),
        outgoing_cltv_value: Some(860),
        total_msat: Some(1500),
        multi_part: false,
        path_key: None,
    };
    let with = |outer| Context {
        outer: Some(outer),
        ..Context::default()
    };
    let good = stream(&[(2, &[3, 0xe8]), (4, &[3, 0x5c])]);
    assert_eq!(
        refusal(&Rules::all(), &good, TRAMPOLINE_FINAL, &with(outer)),
        None
    );
    let amount = code::FINAL_INCORRECT_HTLC_AMOUNT;
    let check = |outer, rule, code| {
        isolates(&good, TRAMPOLINE_FINAL, &with(outer), rule, code);
    };
    check(
        Outer {
            outgoing_cltv_value: Some(859),
            ..outer
        },
        rules::TRAMPOLINE_FINAL_CLTV,
        code::FINAL_INCORRECT_CLTV_EXPIRY,
    );
    check(
        Outer {
            amt_to_forward: Some(999),
            ..outer
        },
        rules::TRAMPOLINE_FINAL_AMOUNT,
        amount,
    );
    check(
        Outer {
            total_msat: Some(999),
            multi_part: true,
            ..outer
        },
        rules::TRAMPOLINE_FINAL_TOTAL,
        amount,
    );
    let next = stream(&[(2, &[3, 0xe8]), (4, &[3, 0x5c]), (14, &point(9))]);
    let taken = read(&Rules::all(), &next, TRAMPOLINE, &with(outer)).unwrap();
    assert_eq!(taken.outgoing_node_id, Some(point(9)));
    isolates(
        &good,
        TRAMPOLINE,
        &with(outer),
        rules::PAYLOAD_SHORT_CHANNEL_ID,
        code::INVALID_ONION_PAYLOAD,
    );
    let data: &[(u64, &[u8])] = &[(4, &point(9)), (10, RELAY), (12, LIMITS)];
    let keyed = Outer {
        path_key: Some(point(7)),
        ..outer
    };
    for (begins, outer, rule) in [
        (false, outer, rules::TRAMPOLINE_PATH_KEY_MISSING),
        (true, keyed, rules::TRAMPOLINE_PATH_KEY_TWICE),
    ] {
        let refused = refusal(
            &Rules::all(),
            &sealed(data, &[], begins),
            TRAMPOLINE,
            &with(outer),
        );
        assert_eq!(refused.unwrap().violation.rule, rule);
        let off = Rules::all().without(rule).unwrap();
        let taken = read(&off, &sealed(data, &[], begins), TRAMPOLINE, &with(outer));
        assert!(taken.is_ok(), "{rule}");
    }
}

#[test]
fn dialects_are_told_apart() {
    let legacy = stream(&[(2, &[1]), (4, &[1]), (66098, &point(9))]);
    let refused = refusal(&Rules::all(), &legacy, TRAMPOLINE, &Context::default()).unwrap();
    assert_eq!(refused.violation.rule, rules::TLV_UNKNOWN_EVEN);
    assert!(
        refused
            .violation
            .message
            .contains("trampoline/acinq-legacy")
    );
    let spoken = Context {
        dialect: Some(Dialect::AcinqLegacy),
        ..Context::default()
    };
    let taken = read(&Rules::all(), &legacy, TRAMPOLINE, &spoken).unwrap();
    assert_eq!(taken.outgoing_node_id, Some(point(9)));
    let mini = stream(&[(1, &[1]), (2, &[1]), (4, &[1])]);
    let refused = refusal(&Rules::all(), &mini, TRAMPOLINE, &Context::default()).unwrap();
    assert!(refused.violation.message.contains("trampoline/pr-1292"));
    // LND's AMP record has the number of outgoing_node_id.
    let amp = stream(&[(2, &[1]), (4, &[1]), (14, &[0; 65])]);
    let refused = refusal(&Rules::all(), &amp, FINAL, &Context::default()).unwrap();
    assert_eq!(refused.violation.rule, rules::TLV_UNKNOWN_EVEN);
    for name in [
        "trampoline/pr-836",
        "trampoline/acinq-legacy",
        "trampoline/pr-1292",
    ] {
        assert_eq!(Dialect::find(name).unwrap().name(), name);
    }
}

#[test]
fn each_rule_of_the_writer_is_named() {
    let records = |list: &[(u64, &[u8])]| -> Vec<Record> {
        list.iter()
            .map(|(kind, value)| Record::new(*kind, *value))
            .collect()
    };
    let rule = |list: &[(u64, &[u8])], position, blinded, writer: &Writer<'_>| {
        write(&Rules::all(), &records(list), position, blinded, writer)
            .err()
            .map(|fault| fault.violation.rule)
    };
    let nobody = Writer::default();
    let plain: &[(u64, &[u8])] = &[(2, &[1]), (4, &[1]), (6, CHANNEL)];
    assert_eq!(rule(plain, INTERMEDIATE, false, &nobody), None);
    let secret_total = [&[7; 32][..], &[9]].concat();
    let asked = Writer {
        payment_secret: Some([7; 32]),
        total_msat: Some(9),
        metadata: Some(&[5]),
        ..nobody
    };
    let paid: &[(u64, &[u8])] = &[(2, &[1]), (4, &[1]), (8, &secret_total), (16, &[5])];
    assert_eq!(rule(paid, FINAL, false, &asked), None);
    for (list, position, writer, id) in [
        (
            &plain[1..],
            INTERMEDIATE,
            nobody,
            rules::PAYLOAD_WRITER_AMOUNT_CLTV,
        ),
        (
            &plain[..2],
            INTERMEDIATE,
            nobody,
            rules::PAYLOAD_WRITER_SHORT_CHANNEL_ID,
        ),
        (plain, FINAL, nobody, rules::PAYLOAD_WRITER_FINAL_NO_CHANNEL),
        (
            &plain[..2],
            FINAL,
            asked,
            rules::PAYLOAD_WRITER_PAYMENT_DATA,
        ),
        (&paid[..3], FINAL, asked, rules::PAYLOAD_WRITER_METADATA),
        (
            paid,
            FINAL,
            Writer {
                payment_secret: Some([8; 32]),
                ..asked
            },
            rules::PAYLOAD_WRITER_PAYMENT_SECRET,
        ),
        (
            paid,
            FINAL,
            Writer {
                total_msat: Some(8),
                ..asked
            },
            rules::PAYLOAD_WRITER_TOTAL,
        ),
    ] {
        assert_eq!(rule(list, position, false, &writer), Some(id));
    }
    let forwarded: &[(u64, &[u8])] = &[(2, &[1]), (4, &[1]), (6, CHANNEL), (8, &secret_total)];
    assert_eq!(
        rule(forwarded, INTERMEDIATE, false, &nobody),
        Some(rules::PAYLOAD_WRITER_NO_PAYMENT_DATA)
    );

    let key = point(7);
    let route = Writer {
        encrypted_data: Some(&[1, 2]),
        path_key: Some(key),
        first_blinded: true,
        height: Some(800),
        ..nobody
    };
    let first: &[(u64, &[u8])] = &[(10, &[1, 2]), (12, &key)];
    let last: &[(u64, &[u8])] = &[
        (2, &[1]),
        (4, &[3, 0x20]),
        (10, &[1, 2]),
        (12, &key),
        (18, &[1]),
    ];
    assert_eq!(rule(first, INTERMEDIATE, true, &route), None);
    assert_eq!(rule(last, FINAL, true, &route), None);
    let early: &[(u64, &[u8])] = &[
        (2, &[1]),
        (4, &[3, 0x1f]),
        (10, &[1, 2]),
        (12, &key),
        (18, &[1]),
    ];
    let more: &[(u64, &[u8])] = &[(2, &[1]), (10, &[1, 2]), (12, &key)];
    for (list, position, id) in [
        (
            &first[1..],
            INTERMEDIATE,
            rules::PAYLOAD_WRITER_BLINDED_DATA,
        ),
        (
            &first[..1],
            INTERMEDIATE,
            rules::PAYLOAD_WRITER_FIRST_PATH_KEY,
        ),
        (
            &last[..4],
            FINAL,
            rules::PAYLOAD_WRITER_BLINDED_FINAL_FIELDS,
        ),
        (early, FINAL, rules::PAYLOAD_WRITER_BASELINE_HEIGHT),
        (more, INTERMEDIATE, rules::PAYLOAD_WRITER_BLINDED_ONLY),
    ] {
        assert_eq!(rule(list, position, true, &route), Some(id));
    }
}

proptest! {
    #[test]
    fn any_payload_is_read_or_refused(
        stream in prop::collection::vec(any::<u8>(), 0..80),
        which in 0..rules::ALL.len(),
        last: bool,
        trampoline: bool,
    ) {
        let key = secret(3);
        let off = Rules::all().without(rules::ALL[which].id).unwrap();
        let context = Context { secret: Some(&key), ..HTLC };
        for rules in [Rules::all(), off] {
            for dialect in [None, Some(Dialect::Pr836), Some(Dialect::AcinqLegacy)] {
                let context = Context { dialect, ..context };
                let _ = read(&rules, &stream, Position { last, trampoline }, &context);
            }
        }
    }
}
