//! Tests over the messages that follow on an offer.

use super::invoice::{self, Kind, MultiPart, Payer};
use super::invoice_request::{self, Form, Name, ReplyTo, Responder, Via};
use super::offer::{self, BITCOIN, Context, Offer};
use super::*;
use crate::rules;
use crate::tlv;
use crate::value::{MAX_MSAT, truncated};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ANY: Context<'static> = Context {
    now: None,
    chains: None,
};

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

fn key(byte: u8) -> Vec<u8> {
    key_of(&secret(byte)).to_vec()
}

/// A blinded path through `ends`.
fn path(ends: &[u8]) -> Vec<u8> {
    let mut path = [key(9), key(9), vec![ends.len() as u8]].concat();
    for &end in ends {
        path.extend_from_slice(&key(end));
        path.extend_from_slice(&[0, 1, 0xaa]);
    }
    path
}

fn payinfo(features: &[u8]) -> Vec<u8> {
    let mut pay = vec![0; 26];
    pay.extend_from_slice(&(features.len() as u16).to_be_bytes());
    pay.extend_from_slice(features);
    pay
}

fn fallback(version: u8, bytes: u16) -> Vec<u8> {
    let mut fallback = vec![version];
    fallback.extend_from_slice(&bytes.to_be_bytes());
    fallback.resize(3 + usize::from(bytes), 7);
    fallback
}

/// A record to put in its type's place, or to take out.
type Change = (u64, Option<Vec<u8>>);

fn set(kind: u64, value: impl Into<Vec<u8>>) -> Change {
    (kind, Some(value.into()))
}

fn drop(kind: u64) -> Change {
    (kind, None)
}

fn changed(records: &[Record], changes: &[Change]) -> Vec<Record> {
    let mut fields: BTreeMap<u64, Vec<u8>> = records
        .iter()
        .map(|record| (record.kind, record.value.clone()))
        .collect();
    for (kind, value) in changes {
        match value {
            Some(value) => fields.insert(*kind, value.clone()),
            None => fields.remove(kind),
        };
    }
    fields
        .into_iter()
        .map(|(kind, value)| Record { kind, value })
        .collect()
}

fn records(fields: &[(u64, &[u8])]) -> Vec<Record> {
    fields
        .iter()
        .map(|(kind, value)| Record::new(*kind, *value))
        .collect()
}

fn stream(records: &[Record]) -> Vec<u8> {
    tlv::encode_unchecked(records)
}

/// The answer of payer 5 to an offer of issuer 7, unsigned.
fn request() -> Vec<Record> {
    records(&[
        (0, &[1; 8]),
        (8, &[100]),
        (10, b"tea"),
        (22, &key(7)),
        (88, &key(5)),
    ])
}

/// A refund by payer 5.
fn refund() -> Vec<Record> {
    records(&[(0, &[1; 8]), (10, b"back"), (82, &[100]), (88, &key(5))])
}

/// The invoice of issuer 7 for [`request`], unsigned.
fn invoice() -> Vec<Record> {
    changed(
        &request(),
        &[
            set(160, path(&[7])),
            set(162, payinfo(&[])),
            set(164, [100]),
            set(168, crate::keys::sha256(&[&[3; 32]])),
            set(170, [100]),
            set(176, key(7)),
        ],
    )
}

/// The static invoice of issuer 7 with paths of type `kind`, unsigned.
fn static_invoice(kind: u64) -> Vec<Record> {
    changed(
        &invoice(),
        &[
            drop(0),
            drop(88),
            drop(168),
            drop(170),
            set(kind, [path(&[7]), path(&[7])].concat()),
        ],
    )
}

type Read<'a> = &'a dyn Fn(&Rules, &[Record]) -> Result<(), Violation>;

/// With every rule in force `id` refuses; with it off, nothing does.
fn isolates(id: &str, what: &str, read: &dyn Fn(&Rules) -> Result<(), Violation>) {
    let named = read(&Rules::all()).err().map(|v| v.rule);
    assert_eq!(named, Some(id), "{what}");
    let off = read(&Rules::all().without(id).unwrap()).err();
    assert_eq!(off, None, "{what} without {id}");
}

fn accepts(what: &str, read: &dyn Fn(&Rules) -> Result<(), Violation>) {
    assert_eq!(read(&Rules::all()).err(), None, "{what}");
}

fn read_request(context: Context<'_>) -> impl Fn(&Rules, &[Record]) -> Result<(), Violation> + '_ {
    move |rules, records| {
        let signed = sign(invoice_request::MESSAGE, records, &secret(5));
        invoice_request::read(rules, &stream(&signed), context).map(|_| ())
    }
}

fn read_refund(rules: &Rules, records: &[Record]) -> Result<(), Violation> {
    invoice_request::read_refund(rules, &stream(records), ANY).map(|_| ())
}

#[test]
fn each_rule_of_the_request_reader_is_named_and_can_be_off() {
    let later = Context {
        now: Some(101),
        chains: None,
    };
    let other = Context {
        now: None,
        chains: Some(&[[1; 32]]),
    };
    let plain = read_request(ANY);
    let late = read_request(later);
    let elsewhere = read_request(other);
    let several = |max: u64| set(20, truncated(max));
    let cases: &[(Vec<Change>, Read<'_>, &str)] = &[
        (vec![drop(88)], &plain, rules::INVREQ_PAYER_ID),
        (vec![drop(0)], &plain, rules::INVREQ_METADATA),
        (vec![set(161, [])], &plain, rules::INVREQ_TYPE_RANGE),
        (vec![set(999_999_999, [])], &plain, rules::INVREQ_TYPE_RANGE),
        (
            vec![set(3_000_000_001, [])],
            &plain,
            rules::INVREQ_TYPE_RANGE,
        ),
        (vec![set(92, [])], &plain, rules::TLV_UNKNOWN_EVEN),
        (
            vec![set(2_000_000_000, [])],
            &plain,
            rules::TLV_UNKNOWN_EVEN,
        ),
        (
            vec![set(84, [1])],
            &plain,
            rules::INVREQ_FEATURES_UNKNOWN_EVEN,
        ),
        (vec![set(88, key(6))], &plain, rules::INVREQ_SIGNATURE),
        (vec![set(90, path(&[]))], &plain, rules::INVREQ_PATH_HOPS),
        (vec![drop(10)], &plain, rules::INVREQ_OFFER_VALID),
        (vec![set(8, [])], &plain, rules::INVREQ_OFFER_VALID),
        (vec![set(16, path(&[]))], &plain, rules::INVREQ_OFFER_VALID),
        (vec![set(14, [100])], &late, rules::INVREQ_OFFER_UNEXPIRED),
        (vec![several(3)], &plain, rules::INVREQ_QUANTITY_MISSING),
        (
            vec![several(3), set(86, [])],
            &plain,
            rules::INVREQ_QUANTITY_ZERO,
        ),
        (
            vec![several(3), set(86, [4])],
            &plain,
            rules::INVREQ_QUANTITY_MAX,
        ),
        (vec![set(86, [1])], &plain, rules::INVREQ_QUANTITY_UNWANTED),
        (vec![set(82, [99])], &plain, rules::INVREQ_AMOUNT_LEAST),
        (
            vec![several(0), set(86, [2]), set(82, [199])],
            &plain,
            rules::INVREQ_AMOUNT_LEAST,
        ),
        (vec![drop(8)], &plain, rules::INVREQ_AMOUNT_MISSING),
        (
            vec![set(82, truncated(MAX_MSAT + 1))],
            &plain,
            rules::TYPES_AMOUNT_BOUND,
        ),
        (
            vec![set(91, *b"\x02a \x01d")],
            &plain,
            rules::INVREQ_BIP_353_NAME,
        ),
        (
            vec![set(91, *b"\x01a\x01/")],
            &plain,
            rules::INVREQ_BIP_353_NAME,
        ),
        (vec![], &elsewhere, rules::INVREQ_CHAIN_BITCOIN),
        (vec![set(80, [2; 32])], &elsewhere, rules::INVREQ_CHAIN),
    ];
    for (changes, read, id) in cases {
        let records = changed(&request(), changes);
        isolates(id, &format!("{changes:?}"), &|rules| read(rules, &records));
    }
}

#[test]
fn each_rule_of_the_refund_reader_is_named_and_can_be_off() {
    for (changes, id) in [
        (vec![set(2, BITCOIN)], rules::INVREQ_REFUND_FIELDS),
        (vec![set(12, [2])], rules::INVREQ_REFUND_FIELDS),
        (vec![set(20, [])], rules::INVREQ_REFUND_FIELDS),
        (vec![drop(82)], rules::INVREQ_REFUND_AMOUNT),
        (vec![drop(88)], rules::INVREQ_PAYER_ID),
        (vec![set(240, [7; 64])], rules::INVREQ_SIGNATURE),
    ] {
        let records = changed(&refund(), &changes);
        isolates(id, &format!("{changes:?}"), &|rules| {
            read_refund(rules, &records)
        });
    }
    let answer = sign(invoice_request::MESSAGE, &request(), &secret(5));
    isolates(rules::INVREQ_REFUND, "an answer", &|rules| {
        read_refund(rules, &answer)
    });
}

#[test]
fn what_the_text_allows_in_a_request_is_accepted() {
    let here = Context {
        now: Some(100),
        chains: Some(&[BITCOIN]),
    };
    let read = read_request(here);
    for changes in [
        vec![],
        vec![set(82, [100])],
        vec![set(14, [100])],
        vec![set(20, [3]), set(86, [3]), set(82, truncated(300))],
        vec![set(20, []), set(86, [])],
        vec![drop(8), drop(10), set(82, [1])],
        vec![set(6, *b"EUR"), set(82, [1])],
        vec![set(80, BITCOIN)],
        vec![set(84, [2]), set(89, *b"hi"), set(90, path(&[5, 6]))],
        vec![set(91, *b"\x05a-_.Z\x039.b")],
        vec![
            set(159, []),
            set(1_000_000_001, []),
            set(2_999_999_999, []),
            set(241, []),
            set(999, []),
        ],
        vec![drop(22), set(16, path(&[7]))],
    ] {
        let records = changed(&request(), &changes);
        accepts(&format!("{changes:?}"), &|rules| read(rules, &records));
    }
    for changes in [
        vec![],
        vec![set(8, [1])],
        vec![set(14, []), set(18, *b"me"), set(90, path(&[5]))],
        vec![set(82, truncated(MAX_MSAT))],
    ] {
        let records = changed(&refund(), &changes);
        accepts(&format!("{changes:?}"), &|rules| {
            read_refund(rules, &records)
        });
    }
    // A refund that is signed after all is checked as any request.
    let signed = sign(invoice_request::MESSAGE, &refund(), &secret(5));
    accepts("a signed refund", &|rules| read_refund(rules, &signed));
}

#[test]
fn an_answer_without_a_signature_is_refused() {
    let unsigned = stream(&request());
    isolates(rules::INVREQ_SIGNATURE, "unsigned", &|rules| {
        invoice_request::read(rules, &unsigned, ANY).map(|_| ())
    });
}

#[test]
fn requests_have_their_prefix() {
    let text = |prefix| {
        let signed = sign(invoice_request::MESSAGE, &request(), &secret(5));
        crate::bech32::encode(prefix, &stream(&signed))
    };
    accepts("lnr", &|rules| {
        invoice_request::decode(rules, &text("lnr"), ANY).map(|_| ())
    });
    isolates(rules::INVREQ_PREFIX, "lno", &|rules| {
        invoice_request::decode(rules, &text("lno"), ANY).map(|_| ())
    });
}

#[test]
fn fields_of_contacts_are_shown_where_they_are_well_formed() {
    let mut point_and_signature = key(4);
    point_and_signature.extend_from_slice(&[8; 64]);
    let well = [
        set(2_000_001_729, [1; 32]),
        set(2_000_001_731, [8, 1, 1]),
        set(2_000_001_733, *b"\x01a\x01b"),
        set(2_000_001_735, point_and_signature.clone()),
    ];
    let ill = [
        set(2_000_001_729, [1; 31]),
        set(2_000_001_733, *b"\x02a"),
        set(2_000_001_735, [point_and_signature, vec![0]].concat()),
    ];
    let contact = |changes: &[Change]| {
        let records = changed(&request(), changes);
        let signed = sign(invoice_request::MESSAGE, &records, &secret(5));
        invoice_request::read(&Rules::all(), &stream(&signed), ANY)
            .unwrap()
            .contact()
    };
    let shown = contact(&well);
    assert_eq!(shown.secret, Some([1; 32]));
    assert_eq!(shown.offer, Some(vec![8, 1, 1]));
    assert_eq!(
        shown.name,
        Some(Name {
            name: b"a".to_vec(),
            domain: b"b".to_vec()
        })
    );
    assert_eq!(
        shown.signature.map(|(key, s)| (key.to_vec(), s)),
        Some((key(4), [8; 64]))
    );
    assert_eq!(contact(&ill), invoice_request::Contact::default());
}

fn made(changes: &[Change]) -> Offer {
    let offered: Vec<_> = changed(&request(), changes)
        .into_iter()
        .filter(|record| offer::in_range(record.kind))
        .collect();
    offer::read(&Rules::all(), &stream(&offered), ANY).unwrap()
}

#[test]
fn who_responds_checks_the_rest() {
    let seen = [vec![1; 8]];
    let plain = made(&[]);
    let responder = Responder::default();
    let with_paths = vec![set(16, path(&[7]))];
    let cases: &[(Vec<Change>, Responder<'_>, Option<&str>)] = &[
        (
            vec![set(33, [])],
            Responder {
                offer: Some(&plain),
                ..responder
            },
            Some(rules::INVREQ_OFFER_MATCH),
        ),
        (
            vec![set(2_000_000_001, [])],
            Responder {
                offer: Some(&plain),
                ..responder
            },
            None,
        ),
        (
            vec![],
            Responder {
                via: Some(Via::OtherPath),
                ..responder
            },
            Some(rules::INVREQ_VIA_NO_PATH),
        ),
        (
            vec![],
            Responder {
                via: Some(Via::Direct),
                ..responder
            },
            None,
        ),
        (
            with_paths.clone(),
            Responder {
                via: Some(Via::Direct),
                ..responder
            },
            Some(rules::INVREQ_VIA_OFFER_PATH),
        ),
        (
            with_paths.clone(),
            Responder {
                via: Some(Via::OtherPath),
                ..responder
            },
            Some(rules::INVREQ_VIA_OFFER_PATH),
        ),
        (
            with_paths,
            Responder {
                via: Some(Via::OfferPath),
                ..responder
            },
            None,
        ),
        (
            vec![set(6, *b"EUR"), set(82, [200])],
            Responder {
                converted: Some(201),
                ..responder
            },
            Some(rules::INVREQ_AMOUNT_LEAST),
        ),
        (
            vec![set(6, *b"EUR"), set(82, [200])],
            Responder {
                converted: Some(200),
                ..responder
            },
            None,
        ),
        (
            vec![],
            Responder {
                repeat: true,
                ..responder
            },
            Some(rules::INVREQ_PREVIOUS_INVOICE),
        ),
        (
            vec![drop(22), set(16, path(&[7]))],
            Responder {
                repeat: true,
                seen: &seen,
                ..responder
            },
            Some(rules::INVREQ_PREVIOUS_INVOICE),
        ),
        (
            vec![],
            Responder {
                repeat: true,
                seen: &seen,
                ..responder
            },
            None,
        ),
    ];
    for (changes, responder, id) in cases {
        let signed = sign(
            invoice_request::MESSAGE,
            &changed(&request(), changes),
            &secret(5),
        );
        let respond = |rules: &Rules| {
            invoice_request::respond(rules, &stream(&signed), responder).map(|_| ())
        };
        match id {
            Some(id) => isolates(id, &format!("{changes:?} {responder:?}"), &respond),
            None => accepts(&format!("{changes:?} {responder:?}"), &respond),
        }
    }
}

#[test]
fn a_response_says_what_the_invoice_asks_for_and_where_it_goes() {
    let respond = |records: &[Record], sign_it: bool| {
        let records = match sign_it {
            true => sign(invoice_request::MESSAGE, records, &secret(5)),
            false => records.to_vec(),
        };
        let seen = [vec![1; 8]];
        let responder = Responder {
            seen: &seen,
            converted: Some(1000),
            ..Responder::default()
        };
        invoice_request::respond(&Rules::all(), &stream(&records), &responder).unwrap()
    };
    let answer = respond(&changed(&request(), &[set(20, []), set(86, [3])]), true);
    assert_eq!(answer.expected_amount, Some(300));
    assert_eq!(answer.invoice_amount, Some(300));
    assert_eq!(answer.node_ids, [key_of(&secret(7))]);
    assert!(answer.may_repeat);
    assert_eq!(answer.request.reply_to(), ReplyTo::ReplyPath);

    let currency = respond(&changed(&request(), &[set(6, *b"EUR")]), true);
    assert_eq!(currency.expected_amount, Some(1000));
    let tip = respond(&changed(&request(), &[set(82, [101])]), true);
    assert_eq!(
        (tip.expected_amount, tip.invoice_amount),
        (Some(100), Some(101))
    );
    let ends = [drop(22), set(16, [path(&[1, 7]), path(&[8])].concat())];
    let along = respond(&changed(&request(), &ends), true);
    assert_eq!(along.node_ids, [key_of(&secret(7)), key_of(&secret(8))]);
    assert!(!along.may_repeat);

    let back = respond(&refund(), false);
    assert_eq!(
        (back.expected_amount, back.invoice_amount),
        (None, Some(100))
    );
    assert_eq!(back.request.reply_to(), ReplyTo::PayerId);
    assert!(back.node_ids.is_empty());
    let paths = respond(&changed(&refund(), &[set(90, path(&[5]))]), false);
    assert_eq!(paths.request.reply_to(), ReplyTo::Paths);
}

#[test]
fn the_expected_amount_does_not_overflow() {
    let records = changed(&request(), &[set(20, []), set(86, truncated(u64::MAX))]);
    let signed = sign(invoice_request::MESSAGE, &records, &secret(5));
    let request = invoice_request::read(&Rules::all(), &stream(&signed), ANY).unwrap();
    assert_eq!(
        request.fields.expected_amount(&Rules::all(), None),
        Some(u64::MAX)
    );
}

#[test]
fn the_request_writer_keeps_its_rules() {
    let offer = made(&[]);
    let me = secret(5);
    let writer = invoice_request::Writer {
        secret: Some(&me),
        ..Default::default()
    };
    let name = Name {
        name: b"a".to_vec(),
        domain: b"b".to_vec(),
    };
    let named = invoice_request::Writer {
        resolved_from: Some(&name),
        ..writer
    };
    let answering = invoice_request::Writer {
        offer: Some(&offer),
        ..writer
    };
    let unsigned = invoice_request::Writer::default();
    let cases: &[(Vec<Change>, invoice_request::Writer<'_>, &str)] = &[
        (
            vec![set(33, [])],
            answering,
            rules::INVREQ_WRITER_COPY_OFFER,
        ),
        (vec![set(2, [2; 32])], writer, rules::INVREQ_WRITER_CHAIN),
        (
            vec![set(80, [2; 32])],
            writer,
            rules::INVREQ_WRITER_CHAIN_BITCOIN,
        ),
        (vec![], unsigned, rules::INVREQ_WRITER_SIGNATURE),
        (
            vec![set(88, key(6))],
            writer,
            rules::INVREQ_WRITER_SIGNATURE,
        ),
        (vec![drop(8)], writer, rules::INVREQ_WRITER_AMOUNT),
        (
            vec![set(82, [99])],
            writer,
            rules::INVREQ_WRITER_AMOUNT_LEAST,
        ),
        (vec![drop(88)], writer, rules::INVREQ_WRITER_PAYER_ID),
        (
            vec![set(20, [])],
            writer,
            rules::INVREQ_WRITER_QUANTITY_POSITIVE,
        ),
        (
            vec![set(20, [3]), set(86, [])],
            writer,
            rules::INVREQ_WRITER_QUANTITY_POSITIVE,
        ),
        (
            vec![set(20, [3]), set(86, [4])],
            writer,
            rules::INVREQ_WRITER_QUANTITY_MAX,
        ),
        (
            vec![set(86, [1])],
            writer,
            rules::INVREQ_WRITER_QUANTITY_ABSENT,
        ),
        (vec![set(161, [])], writer, rules::INVREQ_WRITER_TYPE_RANGE),
        (vec![drop(0)], writer, rules::INVREQ_WRITER_METADATA),
        (
            vec![set(91, *b"\x01c\x01b")],
            named,
            rules::INVREQ_WRITER_BIP_353_NAME,
        ),
        (
            vec![set(91, *b"\x01a\x01c")],
            named,
            rules::INVREQ_WRITER_BIP_353_DOMAIN,
        ),
    ];
    for (changes, writer, id) in cases {
        let records = changed(&request(), changes);
        isolates(id, &format!("{changes:?}"), &|rules| {
            invoice_request::write(rules, Form::Answer, &records, writer).map(|_| ())
        });
    }
    accepts("the answer", &|rules| {
        let written = invoice_request::write(rules, Form::Answer, &request(), &answering)?;
        invoice_request::read(rules, &stream(&written), ANY).map(|_| ())
    });
}

#[test]
fn the_refund_writer_keeps_its_rules() {
    let writer = invoice_request::Writer::default();
    let elsewhere = invoice_request::Writer {
        chain: Some([2; 32]),
        ..writer
    };
    let mut cases = vec![
        (
            vec![drop(10)],
            writer,
            rules::INVREQ_WRITER_REFUND_DESCRIPTION,
        ),
        (vec![drop(88)], writer, rules::INVREQ_WRITER_REFUND_PAYER_ID),
        (vec![], elsewhere, rules::INVREQ_WRITER_REFUND_CHAIN),
        (vec![drop(82)], writer, rules::INVREQ_WRITER_REFUND_AMOUNT),
    ];
    for (kind, value) in [
        (2, BITCOIN.to_vec()),
        (4, vec![1]),
        (6, b"EUR".to_vec()),
        (8, vec![1]),
        (12, vec![]),
        (16, path(&[7])),
        (20, vec![]),
        (22, key(7)),
        (240, vec![7; 64]),
    ] {
        let change = vec![set(kind, value)];
        cases.push((change, writer, rules::INVREQ_WRITER_REFUND_FIELDS));
    }
    for (changes, writer, id) in cases {
        let records = changed(&refund(), &changes);
        isolates(id, &format!("{changes:?}"), &|rules| {
            invoice_request::write(rules, Form::Refund, &records, &writer).map(|_| ())
        });
    }
    let there = changed(&refund(), &[set(80, [2; 32]), set(18, *b"me")]);
    accepts("elsewhere", &|rules| {
        let written = invoice_request::write(rules, Form::Refund, &there, &elsewhere)?;
        read_refund(rules, &written)
    });
}

fn signed_invoice(kind: Kind, records: &[Record], by: u8) -> Vec<u8> {
    stream(&sign(kind.message(), records, &secret(by)))
}

#[test]
fn each_rule_of_the_invoice_reader_is_named_and_can_be_off() {
    let at = |now| Context {
        now: Some(now),
        chains: None,
    };
    let elsewhere = Context {
        now: None,
        chains: Some(&[[1; 32]]),
    };
    let two = |a: &[u8], b: &[u8]| [payinfo(a), payinfo(b)].concat();
    let paths = set(160, [path(&[7]), path(&[7])].concat());
    let cases: &[(Vec<Change>, Context<'_>, &str)] = &[
        (vec![drop(170)], ANY, rules::INVOICE_AMOUNT),
        (vec![drop(164)], ANY, rules::INVOICE_CREATED_AT),
        (vec![drop(168)], ANY, rules::INVOICE_PAYMENT_HASH),
        (vec![drop(176)], ANY, rules::INVOICE_NODE_ID),
        (
            vec![set(174, [4, 0, 0])],
            ANY,
            rules::INVOICE_FEATURES_UNKNOWN_EVEN,
        ),
        (vec![set(178, [])], ANY, rules::TLV_UNKNOWN_EVEN),
        (vec![drop(160)], ANY, rules::INVOICE_PATHS),
        (vec![set(160, [])], ANY, rules::INVOICE_PATHS),
        (vec![set(160, path(&[]))], ANY, rules::INVOICE_PATH_HOPS),
        (vec![drop(162)], ANY, rules::INVOICE_BLINDEDPAY),
        (vec![paths.clone()], ANY, rules::INVOICE_BLINDEDPAY_COUNT),
        (
            vec![set(162, two(&[], &[]))],
            ANY,
            rules::INVOICE_BLINDEDPAY_COUNT,
        ),
        (
            vec![set(162, payinfo(&[1]))],
            ANY,
            rules::INVOICE_USABLE_PATHS,
        ),
        (
            vec![paths, set(162, two(&[1], &[4]))],
            ANY,
            rules::INVOICE_USABLE_PATHS,
        ),
        (vec![set(22, key(8))], ANY, rules::INVOICE_NODE_ID_ISSUER),
        (
            vec![drop(22), set(16, path(&[7, 8]))],
            ANY,
            rules::INVOICE_NODE_ID_PATH,
        ),
        (vec![set(82, [101])], ANY, rules::INVOICE_AMOUNT_REQUEST),
        (vec![], elsewhere, rules::INVOICE_CHAIN_BITCOIN),
        (vec![set(80, [2; 32])], elsewhere, rules::INVOICE_CHAIN),
        (vec![set(166, [10])], at(111), rules::INVOICE_EXPIRY),
        (vec![], at(7301), rules::INVOICE_EXPIRY_DEFAULT),
        (
            vec![set(170, truncated(MAX_MSAT + 1))],
            ANY,
            rules::TYPES_AMOUNT_BOUND,
        ),
    ];
    for (changes, context, id) in cases {
        let bytes = signed_invoice(Kind::Invoice, &changed(&invoice(), changes), 7);
        isolates(id, &format!("{changes:?}"), &|rules| {
            invoice::read(rules, Kind::Invoice, &bytes, *context).map(|_| ())
        });
    }
    for bytes in [
        stream(&invoice()),
        signed_invoice(Kind::Invoice, &invoice(), 8),
        signed_invoice(Kind::StaticLdk, &invoice(), 7),
    ] {
        isolates(rules::INVOICE_SIGNATURE, "signature", &|rules| {
            invoice::read(rules, Kind::Invoice, &bytes, ANY).map(|_| ())
        });
    }
}

#[test]
fn what_the_text_allows_in_an_invoice_is_accepted() {
    let at = |now| Context {
        now: Some(now),
        chains: Some(&[BITCOIN]),
    };
    let two_paths = set(160, [path(&[7]), path(&[7])].concat());
    let pays = set(162, [payinfo(&[1]), payinfo(&[2])].concat());
    for (changes, context) in [
        (vec![], at(7300)),
        (vec![set(166, [10])], at(110)),
        (vec![set(166, [])], at(100)),
        (vec![set(82, [100])], at(0)),
        (vec![set(174, [3, 0, 0])], at(0)),
        (vec![two_paths, pays], at(0)),
        (
            vec![drop(22), set(16, [path(&[8]), path(&[7])].concat())],
            at(0),
        ),
        (vec![drop(22)], at(0)),
        (vec![set(4_000_000_001, []), set(161, [])], at(0)),
    ] {
        let bytes = signed_invoice(Kind::Invoice, &changed(&invoice(), &changes), 7);
        accepts(&format!("{changes:?}"), &|rules| {
            invoice::read(rules, Kind::Invoice, &bytes, context).map(|_| ())
        });
    }
}

#[test]
fn unusable_paths_and_fallbacks_are_passed_over() {
    let addresses = [
        fallback(16, 2),
        fallback(17, 2),
        fallback(1, 40),
        fallback(1, 41),
        fallback(1, 1),
        fallback(0, 20),
        fallback(0, 21),
        fallback(0, 32),
    ];
    let changes = [
        set(160, [path(&[7]), path(&[7])].concat()),
        set(162, [payinfo(&[1]), payinfo(&[2])].concat()),
        set(172, addresses.concat()),
    ];
    let usable = |rules: &Rules, more: &[Change]| {
        let records = changed(&changed(&invoice(), &changes), more);
        let bytes = signed_invoice(Kind::Invoice, &records, 7);
        let read = invoice::read(rules, Kind::Invoice, &bytes, ANY).unwrap();
        assert_eq!(read.usable_paths, [1]);
        let sizes = read.usable_fallbacks.iter();
        sizes
            .map(|f| (f.version, f.address.len()))
            .collect::<Vec<_>>()
    };
    let all = usable(&Rules::all(), &[]);
    assert_eq!(all, [(16, 2), (1, 40), (0, 20), (0, 32)]);
    for (id, more) in [
        (rules::INVOICE_FALLBACK_VERSION, vec![(17, 2)]),
        (rules::INVOICE_FALLBACK_LENGTH, vec![(1, 41), (1, 1)]),
        (rules::INVOICE_FALLBACK_PROGRAM, vec![(0, 21)]),
    ] {
        let with = usable(&Rules::all().without(id).unwrap(), &[]);
        let new: Vec<_> = with.iter().filter(|f| !all.contains(f)).copied().collect();
        assert_eq!(new, more, "{id}");
    }
    assert_eq!(usable(&Rules::all(), &[set(80, [2; 32])]).len(), 8);
}

#[test]
fn a_payer_checks_the_rest() {
    let sent = sign(invoice_request::MESSAGE, &request(), &secret(5));
    let payer = Payer::default();
    let asked = Payer {
        request: Some(&sent),
        ..payer
    };
    let via = |via| Payer {
        via: Some(via),
        ..payer
    };
    let parts = |parts| Payer {
        parts: Some(parts),
        ..payer
    };
    let three = vec![
        set(160, [path(&[7]), path(&[7]), path(&[7])].concat()),
        set(162, [payinfo(&[]), payinfo(&[]), payinfo(&[1])].concat()),
    ];
    let with_features = |features: &[u8]| [three.clone(), vec![set(174, features)]].concat();
    let by_path = vec![drop(22), set(16, [path(&[7]), path(&[8])].concat())];
    let no_offer = vec![drop(22), drop(8), set(82, [100])];
    let back = |more: Vec<Change>| [no_offer.clone(), more].concat();
    use invoice::Via;
    let cases: &[(Vec<Change>, Payer<'_>, Option<&str>)] = &[
        (vec![], asked, None),
        (vec![set(3_000_000_001, [])], asked, None),
        (vec![set(10, *b"tee")], asked, Some(rules::INVOICE_MIRROR)),
        (vec![set(0, [2; 8])], asked, Some(rules::INVOICE_MIRROR)),
        (vec![set(33, [])], asked, Some(rules::INVOICE_MIRROR)),
        (
            vec![set(2_999_999_999, [])],
            asked,
            Some(rules::INVOICE_MIRROR),
        ),
        (
            by_path.clone(),
            Payer {
                sent_to: Some(key_of(&secret(8))),
                ..payer
            },
            Some(rules::INVOICE_NODE_ID_PATH),
        ),
        (
            by_path,
            Payer {
                sent_to: Some(key_of(&secret(7))),
                ..payer
            },
            None,
        ),
        (vec![], via(Via::ReplyPath), None),
        (
            vec![],
            via(Via::Direct),
            Some(rules::INVOICE_VIA_REPLY_PATH),
        ),
        (vec![set(90, path(&[5]))], via(Via::RequestPath), None),
        (
            vec![set(90, path(&[5]))],
            via(Via::ReplyPath),
            Some(rules::INVOICE_VIA_INVREQ_PATH),
        ),
        (back(vec![]), via(Via::Direct), None),
        (
            back(vec![]),
            via(Via::OtherPath),
            Some(rules::INVOICE_VIA_NO_PATH),
        ),
        (three.clone(), parts(&[0]), None),
        (
            three.clone(),
            parts(&[2]),
            Some(rules::INVOICE_PAYINFO_FEATURES),
        ),
        (
            three.clone(),
            parts(&[0, 1]),
            Some(rules::INVOICE_MPP_ABSENT),
        ),
        (with_features(&[2, 0, 0]), parts(&[0, 0]), None),
        (with_features(&[2, 0, 0]), parts(&[0]), None),
        (with_features(&[1, 0, 0]), parts(&[0, 1]), None),
        (
            with_features(&[1, 0, 0]),
            parts(&[0, 0]),
            Some(rules::INVOICE_MPP_COMPULSORY),
        ),
    ];
    for (changes, payer, id) in cases {
        let bytes = signed_invoice(Kind::Invoice, &changed(&invoice(), changes), 7);
        let pay = |rules: &Rules| invoice::match_request(rules, &bytes, payer).map(|_| ());
        match id {
            Some(id) => isolates(id, &format!("{changes:?}"), &pay),
            None => accepts(&format!("{changes:?}"), &pay),
        }
    }
}

#[test]
fn the_invoice_writer_keeps_its_rules() {
    let issuer = secret(7);
    let asked = request();
    let allowed = [vec![]];
    let writer = invoice::Writer {
        request: Some(&asked),
        preimage: Some([3; 32]),
        multi_part: Some(MultiPart::Forbidden),
        expiry: Some(invoice::DEFAULT_EXPIRY),
        expected_amount: Some(100),
        allowed_features: Some(&allowed),
        sent_to: None,
        secret: Some(&issuer),
    };
    // Those whose change is in the request too.
    let apart = invoice::Writer {
        request: None,
        ..writer
    };
    let unsigned = invoice::Writer {
        secret: None,
        ..writer
    };
    let cases: &[(Vec<Change>, invoice::Writer<'_>, &str)] = &[
        (vec![drop(164)], writer, rules::INVOICE_WRITER_CREATED_AT),
        (
            vec![drop(170), drop(8)],
            invoice::Writer {
                request: None,
                expected_amount: None,
                ..writer
            },
            rules::INVOICE_WRITER_AMOUNT,
        ),
        (
            vec![set(33, [])],
            writer,
            rules::INVOICE_WRITER_COPY_REQUEST,
        ),
        (
            vec![set(82, [101])],
            apart,
            rules::INVOICE_WRITER_AMOUNT_REQUEST,
        ),
        (
            vec![set(170, [101])],
            writer,
            rules::INVOICE_WRITER_AMOUNT_EXPECTED,
        ),
        (vec![drop(168)], writer, rules::INVOICE_WRITER_PAYMENT_HASH),
        (
            vec![set(168, [3; 32])],
            writer,
            rules::INVOICE_WRITER_PAYMENT_HASH,
        ),
        (
            vec![set(22, key(8))],
            apart,
            rules::INVOICE_WRITER_NODE_ID_ISSUER,
        ),
        (
            vec![drop(22), set(16, path(&[8]))],
            apart,
            rules::INVOICE_WRITER_NODE_ID_PATH,
        ),
        (
            vec![drop(22), set(16, [path(&[8]), path(&[7])].concat())],
            invoice::Writer {
                sent_to: Some(key_of(&secret(8))),
                ..apart
            },
            rules::INVOICE_WRITER_NODE_ID_PATH,
        ),
        (
            vec![set(242, [7; 64])],
            writer,
            rules::INVOICE_WRITER_SIGNATURE_SINGLE,
        ),
        (vec![], unsigned, rules::INVOICE_WRITER_SIGNATURE_SINGLE),
        (
            vec![set(240, [7; 64])],
            unsigned,
            rules::INVOICE_WRITER_SIGNATURE,
        ),
        (
            vec![set(174, [2, 0, 0])],
            invoice::Writer {
                multi_part: Some(MultiPart::Required),
                ..writer
            },
            rules::INVOICE_WRITER_MPP_COMPULSORY,
        ),
        (
            vec![set(174, [1, 0, 0])],
            invoice::Writer {
                multi_part: Some(MultiPart::Allowed),
                ..writer
            },
            rules::INVOICE_WRITER_MPP_OPTIONAL,
        ),
        (
            vec![],
            invoice::Writer {
                expiry: Some(7201),
                ..writer
            },
            rules::INVOICE_WRITER_RELATIVE_EXPIRY,
        ),
        (
            vec![set(172, fallback(17, 2))],
            writer,
            rules::INVOICE_WRITER_FALLBACK_PROGRAM,
        ),
        (
            vec![set(172, fallback(0, 21))],
            writer,
            rules::INVOICE_WRITER_FALLBACK_PROGRAM,
        ),
        (
            vec![set(160, []), set(162, [])],
            invoice::Writer {
                allowed_features: None,
                ..writer
            },
            rules::INVOICE_WRITER_PATHS,
        ),
        (
            vec![set(160, [path(&[7]), path(&[7])].concat())],
            writer,
            rules::INVOICE_WRITER_BLINDEDPAY,
        ),
        (
            vec![set(162, payinfo(&[2]))],
            writer,
            rules::INVOICE_WRITER_PAYINFO_FEATURES,
        ),
    ];
    for (changes, writer, id) in cases {
        let records = changed(&invoice(), changes);
        isolates(id, &format!("{changes:?}"), &|rules| {
            invoice::write(rules, Kind::Invoice, &records, writer).map(|_| ())
        });
    }
    let allows = [
        set(166, truncated(7201)),
        set(172, fallback(0, 20)),
        set(174, [2, 0, 0]),
    ];
    accepts("an invoice", &|rules| {
        let writer = invoice::Writer {
            multi_part: Some(MultiPart::Allowed),
            expiry: Some(7201),
            ..writer
        };
        let records = changed(&invoice(), &allows);
        let written = invoice::write(rules, Kind::Invoice, &records, &writer)?;
        invoice::read(rules, Kind::Invoice, &stream(&written), ANY).map(|_| ())
    });
}

#[test]
fn static_invoices_have_two_dialects_and_rules_of_their_own() {
    let late = Context {
        now: Some(101 + 14 * 24 * 3600),
        chains: None,
    };
    let last = Context {
        now: Some(100 + 14 * 24 * 3600),
        chains: None,
    };
    for (kind, number, other) in [(Kind::StaticLdk, 236, 178), (Kind::StaticPr1149, 178, 236)] {
        let base = static_invoice(number);
        let cases: &[(Vec<Change>, Context<'_>, Option<&str>)] = &[
            (vec![], last, None),
            (vec![set(number, path(&[7]))], ANY, None),
            (
                vec![set(0, []), set(88, key(5)), set(170, [100])],
                ANY,
                None,
            ),
            (
                vec![set(168, [3; 32])],
                ANY,
                Some(rules::STATIC_NO_PAYMENT_HASH),
            ),
            (vec![drop(number)], ANY, Some(rules::STATIC_MESSAGE_PATHS)),
            (
                vec![set(number, [])],
                ANY,
                Some(rules::STATIC_MESSAGE_PATHS),
            ),
            (vec![set(other, [])], ANY, Some(rules::TLV_UNKNOWN_EVEN)),
            (vec![], late, Some(rules::STATIC_EXPIRY_DEFAULT)),
            (vec![set(166, [1])], late, Some(rules::INVOICE_EXPIRY)),
            (vec![drop(164)], ANY, Some(rules::INVOICE_CREATED_AT)),
            (vec![drop(160)], ANY, Some(rules::INVOICE_PATHS)),
        ];
        for (changes, context, id) in cases {
            let bytes = signed_invoice(kind, &changed(&base, changes), 7);
            let read = |rules: &Rules| invoice::read(rules, kind, &bytes, *context).map(|_| ());
            match id {
                Some(id) => isolates(id, &format!("{kind:?} {changes:?}"), &read),
                None => accepts(&format!("{kind:?} {changes:?}"), &read),
            }
        }
        let as_invoice = signed_invoice(Kind::Invoice, &base, 7);
        isolates(rules::INVOICE_SIGNATURE, "tag", &|rules| {
            invoice::read(rules, kind, &as_invoice, ANY).map(|_| ())
        });
    }
}

#[test]
fn the_writer_of_static_invoices_keeps_its_rules() {
    let issuer = secret(7);
    let writer = invoice::Writer {
        secret: Some(&issuer),
        expiry: Some(invoice::STATIC_DEFAULT_EXPIRY),
        ..Default::default()
    };
    let day = invoice::Writer {
        expiry: Some(24 * 3600),
        ..writer
    };
    let two_chains = set(2, [BITCOIN, [2; 32]].concat());
    let cases: &[(Vec<Change>, invoice::Writer<'_>, &str)] = &[
        (
            vec![set(168, [3; 32])],
            writer,
            rules::STATIC_WRITER_PAYMENT_HASH,
        ),
        (vec![set(170, [100])], writer, rules::STATIC_WRITER_AMOUNT),
        (
            vec![set(236, path(&[7]))],
            writer,
            rules::STATIC_WRITER_MESSAGE_PATHS,
        ),
        (
            vec![set(89, *b"hi")],
            writer,
            rules::STATIC_WRITER_INVREQ_FIELDS,
        ),
        (vec![two_chains], writer, rules::STATIC_WRITER_ONE_CHAIN),
        (vec![], day, rules::STATIC_WRITER_RELATIVE_EXPIRY),
        (
            vec![drop(160), drop(162)],
            writer,
            rules::INVOICE_WRITER_PATHS,
        ),
    ];
    for (changes, writer, id) in cases {
        let records = changed(&static_invoice(236), changes);
        isolates(id, &format!("{changes:?}"), &|rules| {
            invoice::write(rules, Kind::StaticLdk, &records, writer).map(|_| ())
        });
    }
    let records = changed(&static_invoice(236), &[set(166, truncated(24 * 3600))]);
    accepts("a day", &|rules| {
        let written = invoice::write(rules, Kind::StaticLdk, &records, &day)?;
        invoice::read(rules, Kind::StaticLdk, &stream(&written), ANY).map(|_| ())
    });
}

#[test]
fn invoice_errors_are_written_by_rules_and_read_without() {
    let error = records(&[(1, &[82]), (3, &[101]), (5, b"too little")]);
    for (changes, id) in [
        (vec![drop(5)], rules::INVERR_WRITER_ERROR),
        (vec![drop(1)], rules::INVERR_WRITER_SUGGESTED_ALONE),
        (vec![set(3, [0, 1])], rules::INVERR_WRITER_SUGGESTED_VALUE),
        (vec![set(1, [88])], rules::INVERR_WRITER_SUGGESTED_VALUE),
        (vec![set(5, [0xff])], rules::TYPES_UTF8),
    ] {
        let records = changed(&error, &changes);
        isolates(id, &format!("{changes:?}"), &|rules| {
            invoice_error::write(rules, &records).map(|_| ())
        });
    }
    for changes in [
        vec![],
        vec![drop(1), drop(3)],
        vec![drop(3)],
        vec![set(1, truncated(2_000_000_001))],
    ] {
        let records = changed(&error, &changes);
        accepts(&format!("{changes:?}"), &|rules| {
            let stream = invoice_error::write(rules, &records)?;
            assert_eq!(invoice_error::read(rules, &stream)?.records, records);
            Ok(())
        });
    }
    let read = invoice_error::read(&Rules::all(), &stream(&error)).unwrap();
    assert_eq!(read.erroneous_field, Some(82));
    assert_eq!(read.suggested_value, Some(vec![101]));
    assert_eq!(read.error.as_deref(), Some("too little"));
    // The rules for readers are still to be written.
    let alone = stream(&records(&[(3, &[1])]));
    accepts("a value alone", &|rules| {
        invoice_error::read(rules, &alone).map(|_| ())
    });
    isolates(rules::TLV_UNKNOWN_EVEN, "type 2", &|rules| {
        invoice_error::read(rules, &[2, 0]).map(|_| ())
    });
}

/// Changes of optional fields that leave a request or invoice valid.
fn harmless() -> impl Strategy<Value = Vec<Change>> {
    let note = prop::option::of("\\PC{0,20}").prop_map(|note| (89, note.map(String::into_bytes)));
    let hops = prop::option::of(prop::collection::vec(1_u8..20, 1..5))
        .prop_map(|ends| (90, ends.map(|ends| path(&ends))));
    let extra = prop::collection::btree_map(
        prop_oneof![93_u64..159, 1_000_000_001_u64..2_999_999_999].prop_map(|kind| kind | 1),
        prop::collection::vec(any::<u8>(), 0..30),
        0..4,
    );
    let amount = prop::option::of(100..=MAX_MSAT).prop_map(|amount| (82, amount.map(truncated)));
    (note, hops, extra, amount).prop_map(|(note, hops, extra, amount)| {
        let mut changes = vec![note, hops, amount];
        changes.extend(extra.into_iter().map(|(kind, value)| set(kind, value)));
        changes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_request_that_is_written_is_read(changes in harmless()) {
        let all = Rules::all();
        let me = secret(5);
        let writer = invoice_request::Writer { secret: Some(&me), ..Default::default() };
        let records = changed(&request(), &changes);
        let written = invoice_request::write(&all, Form::Answer, &records, &writer).unwrap();
        let read = invoice_request::read(&all, &stream(&written), ANY).unwrap();
        prop_assert_eq!(&read.records, &written);
        let unsigned: Vec<_> = written.into_iter().filter(|r| r.kind != SIGNATURE).collect();
        prop_assert_eq!(unsigned, records);
    }

    #[test]
    fn an_invoice_that_is_written_answers_its_request_and_no_other(changes in harmless(), flip in any::<prop::sample::Index>()) {
        let all = Rules::all();
        let issuer = secret(7);
        let asked = changed(&request(), &changes);
        let amount = asked.iter().find(|r| r.kind == 82).map_or(vec![100], |r| r.value.clone());
        let records = changed(&changed(&invoice(), &changes), &[set(170, amount)]);
        let writer = invoice::Writer { request: Some(&asked), secret: Some(&issuer), ..Default::default() };
        let written = invoice::write(&all, Kind::Invoice, &records, &writer).unwrap();
        let bytes = stream(&written);
        let payer = Payer { request: Some(&asked), ..Payer::default() };
        let read = invoice::match_request(&all, &bytes, &payer).unwrap();
        prop_assert_eq!(&read.records, &written);
        let mut other = asked.clone();
        let at = flip.index(other.len());
        other[at].value.push(0);
        let payer = Payer { request: Some(&other), ..Payer::default() };
        prop_assert_eq!(invoice::match_request(&all, &bytes, &payer).unwrap_err().rule, rules::INVOICE_MIRROR);
    }

    #[test]
    fn a_signature_covers_every_byte_of_the_rest(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = signed_invoice(Kind::Invoice, &invoice(), 7);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(invoice::read(&Rules::all(), Kind::Invoice, &bytes, ANY).is_err());
    }

    #[test]
    fn no_mutated_stream_makes_a_reader_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        which in 0..rules::ALL.len(),
        message in 0..4_usize,
        now: u64,
    ) {
        let records = match message {
            0 => request(),
            1 => refund(),
            2 => changed(&invoice(), &[set(172, fallback(0, 20)), set(91, *b"\x01a\x01b")]),
            _ => static_invoice(236),
        };
        let mut bytes = stream(&sign("invoice", &records, &secret(7)));
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() * 4) + 1);
        let context = Context { now: Some(now), chains: Some(&[BITCOIN]) };
        let off = Rules::all().without(rules::ALL[which].id).unwrap();
        for rules in [Rules::all(), off] {
            let responder = Responder { context, via: Some(Via::Direct), converted: Some(now), ..Responder::default() };
            let payer = Payer { context, request: Some(&records), parts: Some(&[0, 7]), ..Payer::default() };
            let _ = invoice_request::respond(&rules, &bytes, &responder);
            let _ = invoice_request::read_refund(&rules, &bytes, context);
            let _ = invoice::match_request(&rules, &bytes, &payer);
            let _ = invoice_error::read(&rules, &bytes);
            for kind in [Kind::Invoice, Kind::StaticLdk, Kind::StaticPr1149] {
                let _ = invoice::read(&rules, kind, &bytes, context);
                if let Ok(records) = tlv::frames(&rules, &bytes) {
                    let _ = invoice::write(&rules, kind, &records, &Default::default());
                    let _ = invoice_request::write(&rules, Form::Answer, &records, &Default::default());
                    let _ = invoice_request::write(&rules, Form::Refund, &records, &Default::default());
                    let _ = invoice_error::write(&rules, &records);
                }
            }
        }
    }
}
