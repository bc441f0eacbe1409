use super::htlc::{
    Announcement, Error, Event, Move, Payer, ReleasePath, RevokeAndAck, UpdateAddHtlc, announce,
    claim, hold, payload,
};
use super::message::{Message, Name, Sender, kind};
use super::offline::{self, Left, Receiver, updates};
use super::server::{Answer, Incoming, Kept, Server};
use super::{Dialect, Expected, Mark};
use crate::blinding::{BlindedHop, BlindedPath, FirstNode};
use crate::keys::{self, Point, SecretKey, sha256};
use crate::rules::{self, Rules};
use crate::tlv::{Record, tests::arbitrary_records};
use proptest::prelude::*;

fn point(byte: u8) -> Point {
    keys::public(&SecretKey::from_slice(&[byte; 32]).unwrap()).serialize()
}

fn path(byte: u8) -> BlindedPath {
    BlindedPath {
        first_node: FirstNode::NodeId(point(byte)),
        first_path_key: point(9),
        hops: vec![BlindedHop {
            blinded_node_id: point(8),
            encrypted_data: vec![byte],
        }],
    }
}

fn without(id: &str) -> Rules {
    Rules::all().without(id).unwrap()
}

fn message(name: Name, records: Vec<Record>) -> Message {
    Message::from_records(&Rules::all(), Dialect::Pr1149, name, records).unwrap()
}

#[test]
fn numbers_are_distinct_and_found_again() {
    for dialect in Dialect::ALL {
        assert_eq!(Dialect::find(dialect.name()), Some(dialect));
        for name in Name::ALL {
            assert_eq!(Name::find(name.as_str()), Some(name));
            if let Some(number) = name.number(dialect) {
                assert_eq!(number % 2, 0);
                assert_eq!(Name::by_number(dialect, number), Some(name));
                let other = Dialect::ALL.into_iter().find(|d| *d != dialect).unwrap();
                assert_eq!(Name::by_number(other, number), None, "{number}");
            }
        }
    }
    assert_eq!(Dialect::find("async/owl"), None);
    assert_eq!(
        Expected::find("invoice_request"),
        Some(Expected::InvoiceRequest)
    );
}

#[test]
fn the_length_in_front_is_ldks() {
    let held = message(Name::HeldHtlcAvailable, vec![]);
    let sent = |dialect| {
        held.encode(&Rules::all(), dialect, &Sender::default())
            .unwrap()
    };
    assert_eq!(sent(Dialect::Pr1149), []);
    assert_eq!(sent(Dialect::Ldk), [0]);
    let read = |dialect, value: &[u8]| {
        Message::decode(&Rules::all(), dialect, Name::HeldHtlcAvailable, value)
            .map_err(|violation| violation.rule)
    };
    assert!(read(Dialect::Ldk, &[0]).is_ok());
    assert_eq!(read(Dialect::Ldk, &[]), Err(rules::TLV_VALUE_LENGTH));
    assert_eq!(read(Dialect::Ldk, &[0, 1]), Err(rules::TLV_VALUE_LENGTH));
    assert_eq!(read(Dialect::Ldk, &[2, 1]), Err(rules::TLV_VALUE_LENGTH));
    assert_eq!(
        read(Dialect::Ldk, &[0xfd, 0, 0]),
        Err(rules::TLV_VALUE_MINIMAL)
    );
    assert_eq!(read(Dialect::Pr1149, &[0]), Err(rules::TLV_TRUNCATED));
    let off = without(rules::TLV_VALUE_LENGTH);
    for value in [&[][..], &[0, 1], &[2]] {
        assert!(Message::decode(&off, Dialect::Ldk, Name::HeldHtlcAvailable, value).is_ok());
    }
}

#[test]
fn a_sender_keeps_to_its_rules() {
    let complete = Sender {
        reply_path: true,
        offer_paths: None,
    };
    let bare = Sender::default();
    let one = Record::new(kind::PATHS, path(1).encode().unwrap());
    let slot = Record::new(kind::INVOICE_SLOT, [0, 1]);
    let forward = Record::new(
        kind::FORWARD_INVOICE_REQUEST_PATH,
        path(1).encode().unwrap(),
    );
    for (name, records, sender, rule) in [
        (
            Name::OfferPathsRequest,
            vec![slot],
            bare,
            rules::BLIP_66_REQUEST_REPLY_PATH,
        ),
        (
            Name::OfferPaths,
            vec![one],
            bare,
            rules::BLIP_66_PATHS_REPLY_PATH,
        ),
        (
            Name::OfferPaths,
            vec![],
            complete,
            rules::BLIP_66_PATHS_PATHS,
        ),
        (
            Name::ServeStaticInvoice,
            vec![forward],
            bare,
            rules::BLIP_66_SERVE_REPLY_PATH,
        ),
        (
            Name::ServeStaticInvoice,
            vec![],
            complete,
            rules::BLIP_66_SERVE_FORWARD_PATH,
        ),
    ] {
        let sent = message(name, records);
        let refused = sent.encode(&Rules::all(), Dialect::Pr1149, &sender);
        assert_eq!(refused.unwrap_err().rule, rule);
        let off = without(rule);
        assert!(
            sent.encode(&off, Dialect::Pr1149, &sender).is_ok(),
            "{rule}"
        );
    }
    let sent = message(Name::StaticInvoicePersisted, vec![]);
    assert!(sent.encode(&Rules::all(), Dialect::Ldk, &bare).is_ok());
}

fn add(hold: bool) -> UpdateAddHtlc {
    UpdateAddHtlc {
        channel_id: [1; 32],
        id: 7,
        amount_msat: 1000,
        payment_hash: [2; 32],
        cltv_expiry: 144,
        onion: vec![3; super::htlc::ONION],
        path_key: Some(point(4)),
        hold,
        more: vec![Record::new(65537, [1])],
    }
}

#[test]
fn the_flag_is_read_by_its_own_dialect_alone() {
    let all = Rules::all();
    for dialect in Dialect::ALL {
        let bytes = add(true).encode(&all, dialect, None, None).unwrap();
        assert_eq!(UpdateAddHtlc::decode(&all, dialect, &bytes), Ok(add(true)));
    }
    let of_ldk = add(true).encode(&all, Dialect::Ldk, None, None).unwrap();
    let read = UpdateAddHtlc::decode(&all, Dialect::Pr1149, &of_ldk).unwrap();
    assert!(!read.hold);
    let of_draft = add(true).encode(&all, Dialect::Pr1149, None, None).unwrap();
    match UpdateAddHtlc::decode(&all, Dialect::Ldk, &of_draft) {
        Err(Error::Rule(violation)) => assert_eq!(violation.rule, rules::TLV_UNKNOWN_EVEN),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        UpdateAddHtlc::decode(&all, Dialect::Ldk, &[0, 133]),
        Err(Error::Type { got: 133, .. })
    ));
}

#[test]
fn nothing_is_held_for_who_is_there() {
    for (receiver, sender, rule) in [
        (Some(false), None, rules::PR_1149_HOLD_RECEIVER_OFFLINE),
        (Some(true), Some(false), rules::PR_1149_HOLD_SENDER_OFFLINE),
    ] {
        let send = |hold, rules: &Rules| add(hold).encode(rules, Dialect::Ldk, receiver, sender);
        match send(true, &Rules::all()) {
            Err(Error::Rule(violation)) => assert_eq!(violation.rule, rule),
            other => panic!("{other:?}"),
        }
        assert!(send(true, &without(rule)).is_ok());
        assert!(send(false, &Rules::all()).is_ok());
    }
}

fn revoke(paths: Option<Vec<ReleasePath>>) -> RevokeAndAck {
    RevokeAndAck {
        channel_id: [1; 32],
        per_commitment_secret: [2; 32],
        next_per_commitment_point: point(3),
        release_paths: paths,
        more: vec![],
    }
}

#[test]
fn who_holds_gives_a_path() {
    let all = Rules::all();
    for dialect in Dialect::ALL {
        let htlc = dialect.htlc_in_front().then_some(7);
        let given = revoke(Some(vec![
            ReleasePath {
                htlc,
                path: path(1),
            };
            2
        ]));
        let bytes = given.encode(&all, dialect, true, true).unwrap();
        assert_eq!(RevokeAndAck::decode(&all, dialect, &bytes), Ok(given));
        for (held, advertised, refused) in [
            (true, true, true),
            (true, false, false),
            (false, true, false),
        ] {
            for none in [None, Some(vec![])] {
                let sent = revoke(none).encode(&all, dialect, held, advertised);
                assert_eq!(sent.is_err(), refused);
            }
        }
    }
}

#[test]
fn the_receiver_is_told_over_two_paths() {
    let release = [path(1), path(2)];
    let told = |over, reply: Option<u8>| Announcement {
        name: Some(Name::HeldHtlcAvailable),
        over: path(over),
        reply_path: reply.map(path),
    };
    let rule = |announcements: &[Announcement]| {
        announce(&Rules::all(), &release, announcements)
            .err()
            .map(|violation| violation.rule)
    };
    assert_eq!(rule(&[told(3, Some(1)), told(4, Some(2))]), None);
    let two = Some(rules::PR_1149_AVAILABLE_TWO_PATHS);
    assert_eq!(rule(&[]), two);
    assert_eq!(rule(&[told(3, Some(1)), told(3, Some(2))]), two);
    let unique = Some(rules::PR_1149_AVAILABLE_REPLY_PATH_UNIQUE);
    for reply in [None, Some(1), Some(5)] {
        assert_eq!(rule(&[told(3, Some(1)), told(4, reply)]), unique);
    }
    let mut other = told(3, Some(1));
    other.name = None;
    assert_eq!(
        rule(&[other, told(4, Some(2))]),
        Some(rules::PR_1149_AVAILABLE_MESSAGE)
    );
}

#[test]
fn a_held_htlc_waits_for_its_own_release() {
    let events = [
        Event::Add {
            htlc: 1,
            hold: true,
        },
        Event::Add {
            htlc: 2,
            hold: true,
        },
        Event::Committed { htlc: 1 },
        Event::Release { htlc: Some(2) },
        Event::Release { htlc: None },
        Event::Committed { htlc: 2 },
        Event::Release { htlc: Some(1) },
        Event::Release { htlc: Some(1) },
    ];
    let path = |at, htlc| Move::Path {
        at,
        names: Some(htlc),
    };
    let on = |at, htlc| Move::Forward { at, htlc };
    assert_eq!(
        hold(&Rules::all(), &events),
        [path(2, 1), path(5, 2), on(5, 2), on(6, 1)]
    );
    let right = hold(&Rules::all(), &events);
    for value in rules::VALUES.iter().filter(|v| {
        v.id.starts_with("pr-1149/bolt02/") // those that `hold` asks for
    }) {
        for name in value.mistakes {
            let wrong = Rules::all().mistake(value.id, name).unwrap();
            assert_ne!(hold(&wrong, &events), right, "{}={name}", value.id);
        }
    }
}

#[test]
fn a_payload_for_a_static_invoice_has_its_own_preimage() {
    let payer = Payer {
        static_invoice: true,
        payment_hash: sha256(&[&[5; 32]]),
        preimage: Some([5; 32]),
        invoice_request: Some(&[1, 2]),
        used: &[[6; 32]],
    };
    for dialect in Dialect::ALL {
        let records = payload(&Rules::all(), dialect, &[], &payer).unwrap();
        let told = claim(&Rules::all(), dialect, &records, Some([7; 32])).unwrap();
        assert_eq!(told.claims_with, Some([5; 32]));
        assert_eq!(told.invoice_request.as_deref(), Some(&[1, 2][..]));
    }
    let none = claim(&Rules::all(), Dialect::Ldk, &[], Some([7; 32])).unwrap();
    assert_eq!(none.claims_with, Some([7; 32]));
    for (changed, rule) in [
        (
            Payer {
                preimage: None,
                ..payer
            },
            rules::PR_1149_PAYLOAD_PREIMAGE,
        ),
        (
            Payer {
                used: &[[5; 32]],
                ..payer
            },
            rules::PR_1149_PAYLOAD_PREIMAGE,
        ),
        (
            Payer {
                payment_hash: [0; 32],
                ..payer
            },
            rules::PR_1149_PAYLOAD_PAYMENT_HASH,
        ),
        (
            Payer {
                invoice_request: None,
                ..payer
            },
            rules::PR_1149_PAYLOAD_INVOICE_REQUEST,
        ),
        (
            Payer {
                static_invoice: false,
                ..payer
            },
            rules::PR_1149_PAYLOAD_NO_PREIMAGE,
        ),
    ] {
        let refused = payload(&Rules::all(), Dialect::Ldk, &[], &changed).unwrap_err();
        assert_eq!(refused.rule, rule);
        assert!(payload(&without(rule), Dialect::Ldk, &[], &changed).is_ok());
    }
}

fn mark(expects: Expected, slot: Option<u16>) -> Mark {
    Mark {
        expects: Some(expects),
        recipient: Some(vec![1]),
        slot,
    }
}

#[test]
fn a_server_answers_over_its_own_paths_alone() {
    let request = message(Name::OfferPathsRequest, vec![Record::new(0, [0, 3])]);
    let mut server = Server::default();
    let mut ask = |rules: &Rules, over: &Mark| {
        server
            .receive(rules, Incoming::Async(&request), over)
            .map_err(|violation| violation.rule)
    };
    let own = mark(Expected::Async(Name::OfferPathsRequest), None);
    let Answer::OfferPaths { path, reply_path } = ask(&Rules::all(), &own).unwrap() else {
        panic!("no paths");
    };
    assert_eq!(path, mark(Expected::InvoiceRequest, Some(3)));
    let serve = mark(Expected::Async(Name::ServeStaticInvoice), Some(3));
    assert_eq!(reply_path, serve);
    for stranger in [Mark::default(), path, serve] {
        let id = rules::BLIP_66_REQUEST_AUTHENTICATE;
        assert_eq!(ask(&Rules::all(), &stranger), Err(id));
        assert!(ask(&without(id), &stranger).is_ok());
    }
}

#[test]
fn a_request_is_answered_with_the_invoice_that_it_is_for() {
    let kept = |slot| Kept {
        recipient: vec![1],
        slot,
        invoice: vec![slot as u8],
        forward_path: Some(vec![9]),
    };
    let mut server = Server {
        kept: vec![kept(1), kept(2)],
        ..Server::default()
    };
    let mut ask = |over: &Mark| {
        server
            .receive(&Rules::all(), Incoming::InvoiceRequest, over)
            .unwrap()
    };
    assert_eq!(
        ask(&mark(Expected::InvoiceRequest, Some(2))),
        Answer::Invoice {
            invoice: vec![2],
            forward_path: Some(vec![9]),
        }
    );
    for over in [
        mark(Expected::InvoiceRequest, Some(3)),
        mark(Expected::Async(Name::ServeStaticInvoice), Some(2)),
        Mark::default(),
    ] {
        assert_eq!(ask(&over), Answer::Nothing);
    }
}

#[test]
fn a_receiver_wants_paths_that_last() {
    let expiry = Record::new(kind::PATHS_ABSOLUTE_EXPIRY, 1000_u64.to_be_bytes());
    let paths = Record::new(kind::PATHS, path(1).encode().unwrap());
    let sent = message(Name::OfferPaths, vec![paths, expiry]);
    let over = mark(Expected::Async(Name::OfferPaths), Some(4));
    let reply = path(2);
    let take = |now| {
        let receiver = Receiver {
            now,
            least_lifetime: 100,
            reply_path: Some(&reply),
        };
        offline::receive(&Rules::all(), &receiver, &sent, &over).map_err(|violation| violation.rule)
    };
    assert_eq!(
        take(900),
        Ok(offline::Answer::Serve {
            slot: Some(4),
            offer_paths: vec![path(1)],
            kept: Some(reply.clone()),
        })
    );
    for now in [901, 1001, u64::MAX] {
        assert_eq!(take(now), Err(rules::BLIP_66_PATHS_CHECK_EXPIRY));
    }
}

#[test]
fn invoices_are_renewed_in_time_and_after_changes() {
    let left = |slot, made_at, changed| Left {
        slot,
        made_at,
        changed,
        reply_path: None,
    };
    let all = [left(1, 900, false), left(2, 901, false), left(3, 999, true)];
    let due = updates(&Rules::all(), 1000, 100, &all);
    assert_eq!(due, [(1, None), (3, None)]);
}

proptest! {
    #[test]
    fn a_message_comes_back(slot: u16, at: u64, count in 1..4_u8) {
        for dialect in Dialect::ALL {
            let mut paths = Vec::new();
            for byte in 1..=count {
                paths.extend(path(byte).encode().unwrap());
            }
            let expiry = Record::new(kind::PATHS_ABSOLUTE_EXPIRY, at.to_be_bytes());
            for sent in [
                message(Name::OfferPathsRequest, vec![Record::new(0, slot.to_be_bytes())]),
                message(Name::OfferPaths, vec![Record::new(kind::PATHS, paths), expiry]),
            ] {
                let sender = Sender { reply_path: true, offer_paths: None };
                let value = sent.encode(&Rules::all(), dialect, &sender).unwrap();
                prop_assert_eq!(Message::decode(&Rules::all(), dialect, sent.name, &value).unwrap(), sent);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..120), which in 0..rules::ALL.len(),
    ) {
        let off = without(rules::ALL[which].id);
        for dialect in Dialect::ALL {
            for rules in [&Rules::all(), &off] {
                for name in Name::ALL {
                    let _ = Message::decode(rules, dialect, name, &bytes);
                }
                let _ = UpdateAddHtlc::decode(rules, dialect, &[&[0, 128][..], &bytes].concat());
                let _ = RevokeAndAck::decode(rules, dialect, &[&[0, 133][..], &bytes].concat());
            }
        }
    }

    #[test]
    fn any_fields_are_written_and_read(more in arbitrary_records((1..40_000_u64).prop_map(|n| 2 * n + 1)), hold: bool) {
        prop_assume!(more.iter().all(|record| record.kind != 75537));
        for dialect in Dialect::ALL {
            let sent = UpdateAddHtlc { more: more.clone(), ..add(hold) };
            let bytes = sent.encode(&Rules::all(), dialect, None, None).unwrap();
            prop_assert_eq!(UpdateAddHtlc::decode(&Rules::all(), dialect, &bytes).unwrap(), sent);
        }
    }
}
