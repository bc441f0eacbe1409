use super::*;
use crate::payee::{Arrived, Decision, Invoice as Expected, Payee};
use lnconform_drafts::blinding::kind as data;
use lnconform_drafts::onion_message::{self, Message, ReplyPath};
use lnconform_spec::misbehaviours::{self, Misbehaviour};

const NOW: u64 = 1_800_000_000;

fn secret(n: u8) -> SecretKey {
    SecretKey::from_slice(&[n; 32]).unwrap()
}

fn path(n: u8, mark: &[u8]) -> BlindedPath {
    let stream = tlv::encode_unchecked(&[Record::new(data::PATH_ID, mark)]);
    let hop = (keys::public(&secret(n)), stream);
    blinding::build(&secret(0x51), &[hop]).unwrap().path
}

/// The offer that a wrong needs: with an amount, for several items, without an issuer id.
fn made(name: &str) -> Made {
    use offer::kind;
    let issued = name != "invoice-node-id-not-the-end";
    let own = path(9, &[3; 32]);
    let key = if issued {
        secret(8)
    } else {
        let hop = &own.hops[0].encrypted_data;
        let all = Rules::all();
        let read = blinding::unblind(&all, &secret(9), &own.first_path_key, hop);
        read.unwrap().blinded_secret
    };
    let mut fields = Fields::from([
        (kind::CHAINS, regtest().to_vec()),
        (kind::DESCRIPTION, b"tea".to_vec()),
    ]);
    let pathless = name == "invreq-along-a-path";
    if !pathless {
        fields.insert(kind::PATHS, own.encode().unwrap());
    }
    if issued {
        fields.insert(kind::ISSUER_ID, key_of(&key).to_vec());
    }
    let priced = ["invreq-amount-below", "invreq-offer-cheaper"].contains(&name);
    if priced || name.contains("quantity") {
        fields.insert(kind::AMOUNT, truncated(50_000));
    }
    if name.contains("quantity") && name != "invreq-quantity-unwanted" {
        fields.insert(kind::QUANTITY_MAX, vec![3]);
    }
    if name == "invreq-offer-expired" {
        fields.insert(kind::ABSOLUTE_EXPIRY, truncated(NOW - 1));
    }
    let text = offer::encode(&Rules::all(), &records(&fields)).unwrap();
    Made {
        offer: offer::decode(&Rules::all(), &text, Context::default()).unwrap(),
        path_id: (!pathless).then(|| vec![3; 32]),
        secret: key,
    }
}

fn wish(made: &Made) -> Wish {
    Wish {
        amount_msat: made.offer.amount.is_none().then_some(50_000),
        quantity: made.offer.quantity_max.map(|_| 1),
        note: Some("no sugar".into()),
        // Odd ones, which nobody has to know.
        features: vec![101],
    }
}

fn terms(name: &str) -> Terms {
    let count = if name == FIRST_PATH_UNUSABLE { 2 } else { 1 };
    Terms {
        amount_msat: 50_000,
        preimage: [4; 32],
        paths: vec![path(9, &[5; 32]); count],
        multi_part: MultiPart::Forbidden,
        features: vec![101],
        now: NOW,
    }
}

/// What the reader of the onion message says, and hands on if it takes it.
fn carried(sealed: &Sealed, mark: &[u8]) -> Result<Vec<u8>, &'static str> {
    let way = path(7, mark);
    let stop = onion_message::Stop {
        blinded_node_id: keys::PublicKey::from_slice(&way.hops[0].blinded_node_id).unwrap(),
        encrypted_data: way.hops[0].encrypted_data.clone(),
        records: sealed.fields(),
    };
    let writer = onion_message::Writer::default();
    let all = Rules::all();
    let key = way.first_path_key;
    let (sent, _) = onion_message::build(&all, &secret(0x52), &key, &[stop], &writer).unwrap();
    let read = Message::decode(&all, &sent.encode().unwrap()).unwrap();
    let replies = [ReplyPath {
        path_id: vec![6; 32],
        answers: vec![message::INVOICE, message::INVOICE_ERROR],
    }];
    let context = onion_message::Context {
        reply_paths: &replies,
        ..Default::default()
    };
    match onion_message::peel(&all, &secret(7), &read, &context) {
        Ok(peeled) => Ok(peeled.payload.unwrap().value),
        Err(onion_message::Error::Rule(violation)) => Err(violation.rule),
        Err(e) => panic!("{e}"),
    }
}

/// What the honest payee says of a request.
fn request(name: &str, wrong: Option<&str>) -> Result<(), &'static str> {
    let made = made(name);
    let asked = ask(&made.offer, &wish(&made), [1; 32], &secret(2), wrong).unwrap();
    let stream = carried(&asked, &[3; 32])?;
    let own = made.path_id.as_deref().filter(|_| !asked.past_path);
    let mark = if asked.along { Some(&[8; 32][..]) } else { own };
    let expired = wrong.is_none() && name == "invreq-offer-expired";
    let now = if expired { NOW - 1 } else { NOW };
    let read = read_request(&stream, Some(&made), mark, now);
    read.map(|_| ()).map_err(|violation| violation.rule)
}

/// What the honest payer says of an invoice.
fn invoice(name: &str, wrong: Option<&str>) -> Result<(), &'static str> {
    let made = made(name);
    let sent = ask(&made.offer, &wish(&made), [1; 32], &secret(2), None).unwrap();
    let answered = answer(&sent.records, &made, &terms(name), wrong).unwrap();
    let stream = carried(&answered, &[6; 32])?;
    let asked = Asked {
        records: sent.records,
        path_id: [6; 32],
        sent_to: made
            .offer
            .paths
            .as_ref()
            .map(|paths| paths[0].hops[0].blinded_node_id),
    };
    let mark = (!answered.past_path).then_some(&[6; 32][..]);
    let read = asked.read(&stream, mark, NOW);
    let read = read.map_err(|violation| violation.rule)?;
    // What is wrong with a path alone shows by the paths that are left.
    if name == FIRST_PATH_UNUSABLE {
        let usable: &[usize] = if wrong.is_some() { &[1] } else { &[0, 1] };
        assert_eq!(read.usable_paths, usable);
        let first = asked.pays(&stream, NOW, &[0]).err().map(|v| v.rule);
        let refused = wrong.map(|_| "bolt12/invoice/reader/payinfo-features");
        assert_eq!(first, refused);
        assert_eq!(asked.pays(&stream, NOW, &[1]), Ok(()));
    }
    Ok(())
}

/// What the payee says of a refund; the payer's key is 2, and its path leads to 7.
fn refunded(with_path: bool, wrong: Option<&str>) -> Result<(Asked, Response), &'static str> {
    let own = path(7, &[6; 32]);
    let wish = Refund {
        amount_msat: 50_000,
        description: "tea",
        until: Some(NOW + 100),
        path: with_path.then_some(&own),
    };
    let sealed = refund(&wish, [1; 32], &secret(2), wrong).unwrap();
    let text = lnconform_drafts::bech32::encode(invoice_request::PREFIX, &sealed.stream());
    let read = read_refund(&text, NOW).map_err(|violation| violation.rule);
    // It is read alike where a message brings it.
    let carried = read_request(&carried(&sealed, &[3; 32])?, None, None, NOW);
    let carried = carried.map_err(|violation| violation.rule);
    assert_eq!(carried, read);
    let asked = Asked {
        records: sealed.records,
        path_id: [6; 32],
        sent_to: None,
    };
    Ok((asked, read?))
}

/// What the payer says of the invoice for a refund.
fn repaid(with_path: bool, wrong: Option<&str>) -> Result<(), &'static str> {
    let (asked, _) = refunded(with_path, None)?;
    let made = Made::none(secret(8));
    let answered = answer(&asked.records, &made, &terms(""), wrong).unwrap();
    let mark: Option<&[u8]> = match (answered.along, with_path && !answered.past_path) {
        (true, _) => Some(&[8; 32]),
        (false, true) => Some(&[6; 32]),
        (false, false) => None,
    };
    let read = asked.read(&answered.stream(), mark, NOW);
    read.map(|_| ()).map_err(|violation| violation.rule)
}

use invoice_request::{ReplyTo, Response};

fn of(operation: &str) -> Vec<Misbehaviour> {
    let all = misbehaviours::all().unwrap().into_iter();
    let of = all.filter(|m| m.operations.iter().any(|o| o == operation));
    let of: Vec<_> = of.collect();
    assert!(!of.is_empty());
    of
}

#[test]
fn the_honest_payee_notices_each_request_by_the_statement_that_the_list_names() {
    for m in of("offer.request") {
        assert_eq!(request(&m.name, None), Ok(()), "{} left out", m.name);
        let noticed = request(&m.name, Some(&m.name)).err();
        assert_eq!(noticed, m.reader.as_deref(), "{}", m.name);
    }
}

#[test]
fn the_honest_payer_notices_each_invoice_by_the_statement_that_the_list_names() {
    for m in of("offer.create") {
        assert_eq!(invoice(&m.name, None), Ok(()), "{} left out", m.name);
        let noticed = invoice(&m.name, Some(&m.name)).err();
        assert_eq!(noticed, m.reader.as_deref(), "{}", m.name);
    }
}

#[test]
fn the_honest_payee_notices_each_refund_by_the_statement_that_the_list_names() {
    for m in of("refund.create") {
        for with_path in [true, false] {
            let (_, response) = refunded(with_path, None).unwrap();
            let to = if with_path {
                ReplyTo::Paths
            } else {
                ReplyTo::PayerId
            };
            assert_eq!(response.request.reply_to(), to);
            let noticed = refunded(with_path, Some(&m.name)).err();
            assert_eq!(noticed, m.reader.as_deref(), "{}", m.name);
        }
    }
}

#[test]
fn the_honest_payer_notices_each_invoice_for_a_refund_by_the_statement_that_the_list_names() {
    for m in of("refund.pay") {
        let with_path = m.name != "refund-invoice-along-a-path";
        assert_eq!(repaid(with_path, None), Ok(()), "{} left out", m.name);
        let noticed = repaid(with_path, Some(&m.name)).err();
        assert_eq!(noticed, m.reader.as_deref(), "{}", m.name);
    }
}

#[test]
fn several_parts_are_paid_where_the_invoice_says_so_and_taken_there_alone() {
    let made = made("");
    let sent = ask(&made.offer, &wish(&made), [1; 32], &secret(2), None).unwrap();
    let asked = Asked {
        records: sent.records.clone(),
        path_id: [6; 32],
        sent_to: None,
    };
    for (multi_part, parts, refused) in [
        (MultiPart::Forbidden, &[0, 0][..], Some("mpp-absent")),
        (MultiPart::Forbidden, &[0], None),
        (MultiPart::Allowed, &[0, 1], None),
        (MultiPart::Required, &[0, 0], Some("mpp-compulsory")),
        (MultiPart::Required, &[0, 1], None),
    ] {
        let terms = Terms {
            paths: vec![path(9, &[5; 32]); 2],
            multi_part,
            ..terms("")
        };
        let answered = answer(&sent.records, &made, &terms, None).unwrap();
        let judged = asked.pays(&answered.stream(), NOW, parts);
        let rule = refused.map(|rule| format!("bolt12/invoice/reader/{rule}"));
        assert_eq!(judged.err().map(|v| v.rule.to_owned()), rule);
    }
}

#[test]
fn a_part_for_an_invoice_of_a_single_one_is_refused_by_the_statement_that_the_list_names() {
    use payload::kind;
    let listed = misbehaviours::find("invoice-paid-in-parts").unwrap();
    let data = [&[5; 32][..], &[100]].concat();
    let payload = tlv::encode_unchecked(&[
        Record::new(kind::AMOUNT, [50]),
        Record::new(kind::CLTV, [200]),
        Record::new(kind::PAYMENT_DATA, data),
    ]);
    let arrived = Arrived {
        hash: [1; 32],
        amount_msat: 50,
        cltv_expiry: 200,
        payload: &payload,
        shared_secret: [2; 32],
        height: 100,
        now: NOW,
    };
    for (single, refused) in [(false, None), (true, listed.reader.as_deref())] {
        let mut payee = Payee::default();
        let expected = Expected {
            preimage: Some([3; 32]),
            secret: [5; 32],
            amount_msat: Some(100),
        };
        payee.expect([1; 32], expected);
        if single {
            payee.single_part([1; 32]);
        }
        let rule = match payee.arrive(&arrived) {
            Decision::Take { .. } => None,
            Decision::Refuse(refusal) | Decision::RefuseSet(refusal, _) => refusal.rule,
        };
        assert_eq!(rule, refused);
    }
}

#[test]
fn what_does_not_go_with_the_offer_is_not_asked_for() {
    let made = made("invreq-quantity-above");
    let wish = Wish {
        quantity: Some(4),
        ..Wish::default()
    };
    let refused = ask(&made.offer, &wish, [1; 32], &secret(2), None).unwrap_err();
    assert_eq!(refused.rule, "bolt12/invoice-request/writer/quantity-max");
}

#[test]
fn a_request_for_no_offer_of_the_probes_is_refused() {
    let made = made("");
    let asked = ask(&made.offer, &wish(&made), [1; 32], &secret(2), None).unwrap();
    let refused = read_request(&asked.stream(), None, Some(&[3; 32]), NOW).unwrap_err();
    assert_eq!(refused.rule, "bolt12/invoice-request/reader/offer-match");
}

#[test]
fn a_blinded_payload_is_read_as_one_for_the_node_id_and_no_other_is() {
    use payload::kind;
    let way = path(9, &[5; 32]);
    let blinded = [
        Record::new(kind::AMOUNT, [100]),
        Record::new(kind::CLTV, [200]),
        Record::new(kind::ENCRYPTED_DATA, way.hops[0].encrypted_data.clone()),
        Record::new(kind::PATH_KEY, way.first_path_key),
        Record::new(kind::TOTAL, [100]),
    ];
    let payload = tlv::encode_unchecked(&blinded);
    let opened = unblinded(&secret(9), &payload).unwrap();
    let expected = [
        Record::new(kind::AMOUNT, [100]),
        Record::new(kind::CLTV, [200]),
        Record::new(kind::PAYMENT_DATA, [&[5; 32][..], &[100]].concat()),
    ];
    assert_eq!(opened, tlv::encode_unchecked(&expected));
    assert_eq!(unblinded(&secret(8), &payload), None);
    assert_eq!(unblinded(&secret(9), &opened), None);
}
