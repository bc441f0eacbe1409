use super::*;
use crate::rules::Shift;
use crate::value::truncated;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PREIMAGE: [u8; 32] = [1; 32];

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

fn payer() -> SecretKey {
    secret(0x42)
}

/// A signed invoice of the fields that every proof needs and `more`.
fn invoice(more: &[(u64, &[u8])]) -> Vec<Record> {
    let mut fields = BTreeMap::from([
        (0, vec![7; 16]),
        (
            kind::INVREQ_PAYER_ID,
            keys::public(&payer()).serialize().to_vec(),
        ),
        (
            kind::INVOICE_PAYMENT_HASH,
            keys::sha256(&[&PREIMAGE]).to_vec(),
        ),
        (
            kind::INVOICE_NODE_ID,
            keys::public(&secret(0x46)).serialize().to_vec(),
        ),
    ]);
    fields.extend(more.iter().map(|(kind, value)| (*kind, value.to_vec())));
    let mut records: Vec<Record> = fields
        .into_iter()
        .map(|(kind, value)| Record { kind, value })
        .collect();
    let root = merkle::tree(&Rules::all(), &records).unwrap().root;
    let hash = merkle::signed_hash(&Rules::all(), "invoice", "signature", &root);
    let signature = merkle::sign(&hash, &secret(0x46), None);
    records.push(Record::new(kind::SIGNATURE, signature));
    records.sort_by_key(|record| record.kind);
    records
}

fn stream(records: &[Record]) -> Vec<u8> {
    tlv::encode_unchecked(records)
}

/// A proof of `invoice` that shows exactly `include`.
fn exactly(invoice: &[Record], include: &[u64]) -> Vec<Record> {
    let payment = Payment {
        invoice: &stream(invoice),
        preimage: &PREIMAGE,
        include,
        note: None,
    };
    create_unchecked(&Rules::all(), &payment, &payer()).unwrap()
}

const NEEDED: [u64; 3] = [88, 168, 176];

fn needed_and(more: &[u64]) -> Vec<u64> {
    NEEDED.iter().chain(more).copied().collect()
}

/// Puts `value` in the place of the field `kind` and signs anew.
fn with(mut records: Vec<Record>, kind: u64, value: &[u8]) -> Vec<Record> {
    records.retain(|record| record.kind != kind);
    records.push(Record::new(kind, value));
    records.sort_by_key(|record| record.kind);
    sign(&Rules::all(), &mut records, &payer()).unwrap();
    records
}

fn without(mut records: Vec<Record>, kind: u64) -> Vec<Record> {
    records.retain(|record| record.kind != kind);
    if kind != kind::PROOF_SIGNATURE {
        sign(&Rules::all(), &mut records, &payer()).unwrap();
    }
    records
}

fn markers(list: &[u64]) -> Vec<u8> {
    list.iter()
        .flat_map(|marker| bigsize::encode(*marker))
        .collect()
}

fn marked(records: Vec<Record>, list: &[u64]) -> Vec<Record> {
    with(records, kind::PROOF_OMITTED_TLVS, &markers(list))
}

fn flipped(mut records: Vec<Record>, kind: u64) -> Vec<Record> {
    let record = records.iter_mut().find(|r| r.kind == kind).unwrap();
    record.value[40] ^= 1;
    records
}

fn longer(records: Vec<Record>, kind: u64) -> Vec<Record> {
    let mut value = value_of(&records, kind).unwrap().to_vec();
    value.extend([9; 32]);
    with(records, kind, &value)
}

fn shorter(records: Vec<Record>, kind: u64) -> Vec<Record> {
    let value = value_of(&records, kind).unwrap().to_vec();
    with(records, kind, &value[..value.len() - 32])
}

fn read(rules: &Rules, records: &[Record]) -> Result<Proof, Violation> {
    verify(rules, &encode(records))
}

/// Fields around those that every proof shows: two in front, three between, one behind.
fn usual() -> Vec<Record> {
    let amount = truncated(1000);
    invoice(&[
        (10, b"tea"),
        (22, &keys::public(&secret(0x46)).serialize()),
        (89, b"note"),
        (91, &[1, b'a', 1, b'b']),
        (164, &[1]),
        (170, &amount),
        (3_000_000_001, b"B"),
    ])
}

#[test]
fn a_proof_shows_what_was_chosen_and_hides_the_rest() {
    let invoice = usual();
    let payment = Payment {
        invoice: &stream(&invoice),
        preimage: &PREIMAGE,
        include: &[170],
        note: Some("for whom it may concern"),
    };
    let records = create(&Rules::all(), &payment, &payer()).unwrap();
    let kinds: Vec<u64> = records.iter().map(|r| r.kind).collect();
    assert_eq!(
        kinds,
        [88, 168, 170, 176, 240, 241, 1001, 1002, 1003, 1004, 1005]
    );
    let proof = read(&Rules::all(), &records).unwrap();
    assert_eq!(proof.omitted, [1, 2, 89, 90, 91, 177]);
    assert_eq!(proof.leaf_hashes.unwrap().len(), 4);
    assert_eq!(proof.preimage, Some(PREIMAGE));
    assert_eq!(proof.note.as_deref(), Some("for whom it may concern"));
    let shown: Vec<u64> = proof.disclosed.iter().map(|r| r.kind).collect();
    assert_eq!(shown, [88, 168, 170, 176]);
}

#[test]
fn features_are_always_shown_and_no_markers_need_no_field() {
    let invoice = invoice(&[(174, &[2, 0, 0])]);
    let payment = Payment {
        invoice: &stream(&invoice),
        preimage: &PREIMAGE,
        include: &[],
        note: None,
    };
    let records = create(&Rules::all(), &payment, &payer()).unwrap();
    assert!(value_of(&records, 174).is_some());
    assert!(value_of(&records, kind::PROOF_OMITTED_TLVS).is_none());
    let left_out = read(&Rules::all(), &records).unwrap();
    let explicit = read(&Rules::all(), &marked(records, &[])).unwrap();
    assert_eq!((left_out.omitted.len(), explicit.omitted.len()), (0, 0));
}

/// The example of pull request 1295, whose text gives the markers.
#[test]
fn the_example_of_the_text_has_its_markers() {
    let records: Vec<Record> = [0, 10, 20, 30, 40, 50, 60]
        .map(|kind| Record::new(kind, [kind as u8]))
        .to_vec();
    let tree = merkle::tree(&Rules::all(), &records).unwrap();
    let disclosed = disclose(&Rules::all(), &records, |kind| matches!(kind, 10 | 40)).unwrap();
    assert_eq!(disclosed.markers, [11, 12, 41, 42]);
    assert_eq!(disclosed.leaf_hashes, [tree.nonces[1], tree.nonces[4]]);
    // 0; 20 and 30 as one; 50; 60.
    assert_eq!(
        disclosed.missing_hashes,
        [
            tree.pairs[0],
            branch(&tree.pairs[2], &tree.pairs[3]),
            tree.pairs[5],
            tree.pairs[6]
        ]
    );
}

#[test]
fn nothing_between_239_and_the_experimental_types_is_a_marker() {
    assert_eq!(next_marker(0), 1);
    assert_eq!(next_marker(238), 239);
    assert_eq!(next_marker(239), 1_000_000_000);
    assert_eq!(next_marker(1_000_000_000), 1_000_000_001);
    assert_eq!(next_marker(u64::MAX), u64::MAX);
}

/// Each reader rule has a proof that it alone refuses: with the rule off, the proof passes.
#[test]
fn every_reader_rule_is_isolated() {
    let usual = usual();
    let plain = exactly(&usual, &NEEDED);
    assert_eq!(
        read(&Rules::all(), &plain).unwrap().omitted,
        [1, 2, 89, 90, 91, 169, 177]
    );
    let before = invoice(&[(87, b"x"), (89, b"y")]);
    let to_239 = invoice(&[(239, b"x"), (1_000_000_001, b"y")]);
    let to_the_top = invoice(&[(3_999_999_999, b"x"), (4_000_000_001, b"y")]);
    let less = |kind: u64| -> Vec<u64> { NEEDED.into_iter().filter(|k| *k != kind).collect() };
    for (rule, records) in [
        (
            rules::PROOF_PAYER_ID_MISSING,
            exactly(&usual, &less(kind::INVREQ_PAYER_ID)),
        ),
        (
            rules::PROOF_PAYMENT_HASH_MISSING,
            exactly(&usual, &less(kind::INVOICE_PAYMENT_HASH)),
        ),
        (
            rules::PROOF_NODE_ID_MISSING,
            exactly(&usual, &less(kind::INVOICE_NODE_ID)),
        ),
        (
            rules::PROOF_SIGNATURE_MISSING,
            without(plain.clone(), kind::SIGNATURE),
        ),
        (
            rules::PROOF_PROOF_SIGNATURE_MISSING,
            without(plain.clone(), kind::PROOF_SIGNATURE),
        ),
        (
            rules::PROOF_PREIMAGE_MISSING,
            without(plain.clone(), kind::PROOF_PREIMAGE),
        ),
        (
            rules::PROOF_MISSING_HASHES_MISSING,
            without(plain.clone(), kind::PROOF_MISSING_HASHES),
        ),
        (
            rules::PROOF_LEAF_HASHES_MISSING,
            without(plain.clone(), kind::PROOF_LEAF_HASHES),
        ),
        (rules::PROOF_METADATA, exactly(&usual, &needed_and(&[0]))),
        (
            rules::PROOF_PREIMAGE,
            with(plain.clone(), kind::PROOF_PREIMAGE, &[2; 32]),
        ),
        (
            rules::PROOF_OMITTED_ZERO,
            marked(plain.clone(), &[0, 1, 2, 89, 90, 91, 169, 177]),
        ),
        (
            rules::PROOF_OMITTED_ORDER,
            marked(plain.clone(), &[1, 2, 89, 89, 89, 169, 177]),
        ),
        (
            rules::PROOF_OMITTED_ORDER,
            marked(plain.clone(), &[1, 2, 89, 90, 89, 169, 177]),
        ),
        (
            rules::PROOF_OMITTED_SIGNATURE,
            marked(exactly(&to_239, &needed_and(&[239])), &[240]),
        ),
        (
            rules::PROOF_OMITTED_HIGH,
            exactly(&to_the_top, &needed_and(&[3_999_999_999])),
        ),
        (
            rules::PROOF_OMITTED_INCLUDED,
            marked(exactly(&before, &needed_and(&[87])), &[88]),
        ),
        (
            rules::PROOF_OMITTED_AFTER_INCLUDED,
            marked(plain.clone(), &[1, 2, 89, 90, 91, 170, 177]),
        ),
        (
            rules::PROOF_OMITTED_AFTER_INCLUDED,
            marked(plain.clone(), &[1, 2, 89, 90, 91, 169, 1_000_000_000]),
        ),
        (
            rules::PROOF_OMITTED_AFTER_PREVIOUS,
            marked(plain.clone(), &[1, 3, 89, 90, 91, 169, 177]),
        ),
        (
            rules::PROOF_OMITTED_AFTER_PREVIOUS,
            marked(plain.clone(), &[2, 3, 89, 90, 91, 169, 177]),
        ),
        (
            rules::PROOF_LEAF_HASHES,
            longer(plain.clone(), kind::PROOF_LEAF_HASHES),
        ),
        (
            rules::PROOF_MISSING_HASHES,
            longer(plain.clone(), kind::PROOF_MISSING_HASHES),
        ),
        (
            rules::PROOF_SIGNATURE,
            flipped(plain.clone(), kind::SIGNATURE),
        ),
        (
            rules::PROOF_PROOF_SIGNATURE,
            flipped(plain.clone(), kind::PROOF_SIGNATURE),
        ),
    ] {
        let refused = read(&Rules::all(), &records).expect_err(rule);
        assert_eq!(refused.rule, rule, "{refused}");
        let off = Rules::all().without(rule).unwrap();
        read(&off, &records).unwrap_or_else(|e| panic!("{rule} off: {e}"));
    }
    // These change the tree, so another rule refuses as well.
    for (rule, records) in [
        (
            rules::PROOF_LEAF_HASHES,
            shorter(plain.clone(), kind::PROOF_LEAF_HASHES),
        ),
        (
            rules::PROOF_MISSING_HASHES,
            shorter(plain.clone(), kind::PROOF_MISSING_HASHES),
        ),
        (
            rules::PROOF_OMITTED_PROOF,
            marked(plain.clone(), &[1, 2, 89, 90, 91, 169, 1001]),
        ),
    ] {
        assert_eq!(read(&Rules::all(), &records).unwrap_err().rule, rule);
    }
}

#[test]
fn boundaries_move_by_one() {
    let twice = marked(exactly(&usual(), &NEEDED), &[1, 2, 89, 89, 89, 169, 177]);
    let lax = Rules::all()
        .shift(rules::PROOF_OMITTED_ORDER, Shift::Lax)
        .unwrap();
    assert!(read(&lax, &twice).is_ok());
    let top = invoice(&[
        (3_999_999_997, b"x"),
        (3_999_999_998, b"y"),
        (3_999_999_999, b"z"),
    ]);
    let top = exactly(&top, &needed_and(&[3_999_999_997]));
    let proof = read(&Rules::all(), &top).unwrap();
    assert_eq!(proof.omitted, [3_999_999_998, 3_999_999_999]);
    let strict = Rules::all()
        .shift(rules::PROOF_OMITTED_HIGH, Shift::Strict)
        .unwrap();
    assert_eq!(
        read(&strict, &top).unwrap_err().rule,
        rules::PROOF_OMITTED_HIGH
    );
}

#[test]
fn the_form_of_each_value_is_checked() {
    let plain = exactly(&usual(), &needed_and(&[10, 164]));
    for (kind, value, rule) in [
        (88, &[2; 32][..], rules::TLV_VALUE_LENGTH),
        (88, &[4; 33], rules::TYPES_POINT),
        (168, &[2; 33], rules::TLV_VALUE_LENGTH),
        (176, &[2; 34], rules::TLV_VALUE_LENGTH),
        (240, &[2; 63], rules::TLV_VALUE_LENGTH),
        (1001, &[1; 31], rules::TLV_VALUE_LENGTH),
        (1002, &[1, 0xfd, 0], rules::TLV_VALUE_LENGTH),
        (1002, &[1, 0xfd, 0, 2], rules::TLV_VALUE_MINIMAL),
        (1003, &[1; 33], rules::TLV_VALUE_LENGTH),
        (1004, &[1; 33], rules::TLV_VALUE_LENGTH),
        (1005, &[0xc0], rules::TYPES_UTF8),
        (10, &[0xc0], rules::TYPES_UTF8),
        (164, &[0, 1], rules::TLV_VALUE_MINIMAL),
        (91, &[2, b'a'], rules::TLV_VALUE_LENGTH),
        (162, &[0; 27], rules::TLV_VALUE_LENGTH),
        (172, &[0, 0, 1], rules::TLV_VALUE_LENGTH),
        (1006, &[], rules::TLV_UNKNOWN_EVEN),
        (1_000_000_000, &[], rules::TLV_UNKNOWN_EVEN),
    ] {
        let refused = read(&Rules::all(), &with(plain.clone(), kind, value)).unwrap_err();
        assert_eq!(refused.rule, rule, "{kind}: {refused}");
    }
    // Unknown odd fields of the proof are signed by the payer and no fields of the invoice.
    assert!(read(&Rules::all(), &with(plain.clone(), 1007, b"new")).is_ok());
    assert!(read(&Rules::all(), &with(plain.clone(), 999_999_999, b"")).is_ok());
    let prefix = bech32::encode("lni", &stream(&plain));
    assert_eq!(
        verify(&Rules::all(), &prefix).unwrap_err().rule,
        rules::PROOF_PREFIX
    );
}

#[test]
fn the_older_form_is_refused_by_its_name() {
    let usual = usual();
    let mut older: Vec<Record> = usual
        .iter()
        .filter(|r| NEEDED.contains(&r.kind) || r.kind == kind::SIGNATURE)
        .cloned()
        .collect();
    for (kind, value) in [(242, &PREIMAGE[..]), (248, &[1; 96]), (250, &[2; 64])] {
        older.push(Record::new(kind, value));
    }
    let refused = read(&Rules::all(), &older).unwrap_err();
    assert_eq!(refused.rule, rules::TLV_UNKNOWN_EVEN);
    assert!(refused.message.contains("1295"), "{refused}");
    let both = with(exactly(&usual, &NEEDED), 242, &PREIMAGE);
    let refused = read(&Rules::all(), &both).unwrap_err();
    assert!(!refused.message.contains("1295"), "{refused}");
}

#[test]
fn the_writer_refuses_what_would_be_no_proof() {
    let usual = usual();
    let made = |rules: &Rules,
                invoice: &[Record],
                include: &[u64],
                preimage: &[u8; 32],
                by: &SecretKey| {
        let invoice = stream(invoice);
        let payment = Payment {
            invoice: &invoice,
            preimage,
            include,
            note: None,
        };
        create(rules, &payment, by)
    };
    let less =
        |kind: u64| -> Vec<Record> { usual.iter().filter(|r| r.kind != kind).cloned().collect() };
    let mut odd = usual.clone();
    odd.push(Record::new(1007, b"in the invoice"));
    odd.sort_by_key(|r| r.kind);
    let fine = (&PREIMAGE, payer());
    for (rule, invoice, include, (preimage, by)) in [
        (rules::PROOF_WRITER_METADATA, usual.clone(), &[0][..], fine),
        (rules::PROOF_ZERO_IMPLIED, less(0), &[], fine),
        (rules::PROOF_WRITER_REQUIRED, less(88), &[], fine),
        (rules::PROOF_WRITER_REQUIRED, less(168), &[], fine),
        (rules::PROOF_WRITER_REQUIRED, less(176), &[], fine),
        (rules::PROOF_WRITER_REQUIRED, less(240), &[], fine),
        (
            rules::PROOF_WRITER_FROM_INVOICE,
            usual.clone(),
            &[240],
            fine,
        ),
        (rules::PROOF_WRITER_FROM_INVOICE, odd, &[1007], fine),
        (
            rules::PROOF_WRITER_PREIMAGE,
            usual.clone(),
            &[],
            (&[2; 32], payer()),
        ),
        (
            rules::PROOF_WRITER_SIGNATURE,
            usual.clone(),
            &[],
            (&PREIMAGE, secret(0x43)),
        ),
    ] {
        let refused = made(&Rules::all(), &invoice, include, preimage, &by).unwrap_err();
        assert_eq!(refused.rule, rule, "{refused}");
        let off = Rules::all().without(rule).unwrap();
        assert!(
            made(&off, &invoice, include, preimage, &by).is_ok(),
            "{rule}"
        );
    }
}

// The same drafted a second time and in another way, to hold the first against. Prover: every
// node is a range of leaves, found by counting. Verifier: level by level from the leaves.

fn tagged(tag: &[u8], parts: &[&[u8]]) -> Node {
    let tag = sha256::Hash::hash(tag);
    let mut engine = sha256::Hash::engine();
    engine.input(tag.as_ref());
    engine.input(tag.as_ref());
    for part in parts {
        engine.input(part);
    }
    sha256::Hash::from_engine(engine).to_byte_array()
}

fn joined(a: Node, b: Node) -> Node {
    let mut both = [a, b];
    both.sort();
    tagged(b"LnBranch", &[&both[0], &both[1]])
}

/// Every range of leaves that is a node with two children, and where its right child begins.
fn ranges(start: usize, end: usize) -> Vec<(usize, usize, usize)> {
    let mut width = 1;
    while start + width * 2 < end {
        width *= 2;
    }
    if end - start < 2 {
        return Vec::new();
    }
    let middle = start + width;
    let mut all = ranges(start, middle);
    all.extend(ranges(middle, end));
    all.push((start, middle, end));
    all
}

fn naive_hash(leaves: &[Node]) -> Node {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [a, b] => joined(*a, *b),
                rest => rest[0],
            })
            .collect();
    }
    level[0]
}

fn naive_disclose(invoice: &[Record], shown: &BTreeSet<u64>) -> Disclosure {
    let first = invoice[0].encode();
    let nonce = |r: &Record| {
        let tag = [b"LnNonce", &first[..]].concat();
        tagged(&tag, &[&bigsize::encode(r.kind)])
    };
    let leaves: Vec<Node> = invoice
        .iter()
        .map(|r| joined(tagged(b"LnLeaf", &[&r.encode()]), nonce(r)))
        .collect();
    let hidden =
        |from: usize, to: usize| invoice[from..to].iter().all(|r| !shown.contains(&r.kind));
    // In the order in which parents are complete: by their end, the smaller first.
    let mut missing: Vec<(usize, usize, Node)> = Vec::new();
    for (start, middle, end) in ranges(0, leaves.len()) {
        let sides = (hidden(start, middle), hidden(middle, end));
        if sides == (true, false) {
            missing.push((end, end - start, naive_hash(&leaves[start..middle])));
        } else if sides == (false, true) {
            missing.push((end, end - start, naive_hash(&leaves[middle..end])));
        }
    }
    missing.sort();
    // Every leaf has a number: its type where it is shown, else one more than its neighbour's.
    let mut numbers: Vec<u64> = Vec::new();
    for record in invoice {
        let number = match numbers.last() {
            _ if shown.contains(&record.kind) => record.kind,
            None => 0,
            Some(239) => 1_000_000_000,
            Some(left) => left + 1,
        };
        numbers.push(number);
    }
    let is_marker = |number: &u64| *number != 0 && !shown.contains(number);
    Disclosure {
        markers: numbers.into_iter().filter(is_marker).collect(),
        missing_hashes: missing.into_iter().map(|(_, _, hash)| hash).collect(),
        leaf_hashes: invoice
            .iter()
            .filter(|r| shown.contains(&r.kind))
            .map(nonce)
            .collect(),
        root: naive_hash(&leaves),
    }
}

/// The root that a disclosure leads to; none where the hashes are not exactly enough.
fn naive_root(shown: &[Record], said: &Disclosure) -> Option<Node> {
    let mut numbered: Vec<(u64, Option<Node>)> = vec![(0, None)];
    numbered.extend(said.markers.iter().map(|marker| (*marker, None)));
    for (record, nonce) in shown.iter().zip(&said.leaf_hashes) {
        let leaf = joined(tagged(b"LnLeaf", &[&record.encode()]), *nonce);
        numbered.push((record.kind, Some(leaf)));
    }
    numbered.sort();
    let leaves: Vec<Option<Node>> = numbered.into_iter().map(|(_, leaf)| leaf).collect();
    let known = |from: usize, to: usize| leaves[from..to].iter().any(Option::is_some);
    let mut gaps: Vec<(usize, usize)> = ranges(0, leaves.len())
        .into_iter()
        .filter(|(start, middle, end)| known(*start, *middle) != known(*middle, *end))
        .map(|(start, _, end)| (end, end - start))
        .collect();
    gaps.sort();
    if gaps.len() != said.missing_hashes.len() {
        return None;
    }
    let mut level: Vec<(usize, usize, Option<Node>)> = leaves
        .iter()
        .enumerate()
        .map(|(at, leaf)| (at, at + 1, *leaf))
        .collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| {
                let [(start, _, left), (_, end, right)] = pair else {
                    return pair[0];
                };
                let given = |gap: (usize, usize)| {
                    let at = gaps.iter().position(|g| *g == gap).unwrap();
                    said.missing_hashes[at]
                };
                let hash = match (left, right) {
                    (None, None) => None,
                    (Some(a), Some(b)) => Some(joined(*a, *b)),
                    (Some(one), None) | (None, Some(one)) => {
                        Some(joined(*one, given((*end, end - start))))
                    }
                };
                (*start, *end, hash)
            })
            .collect();
    }
    level[0].2
}

/// What the reader makes of a disclosure, without the fields that every proof has.
fn read_back(shown: &[Record], said: &Disclosure) -> Result<Option<Node>, Violation> {
    let proof = Proof {
        disclosed: shown.to_vec(),
        omitted: said.markers.clone(),
        missing_hashes: Some(said.missing_hashes.clone()),
        leaf_hashes: Some(said.leaf_hashes.clone()),
        ..Proof::default()
    };
    let positions = check_markers(&Rules::all(), &proof)?;
    rebuild(&Rules::all(), &proof, &positions)
}

fn field_types() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1_u64..240,
        2 => 235_u64..240,
        1 => 1_000_000_000_u64..1_000_000_010,
        1 => 1_000_000_000_u64..4_000_000_000,
    ]
}

fn small_invoices(fields: usize) -> impl Strategy<Value = Vec<Record>> {
    let value = prop::collection::vec(any::<u8>(), 0..4);
    prop::collection::btree_map(field_types(), value, 0..fields).prop_map(|map| {
        std::iter::once(Record::new(0, [7; 16]))
            .chain(map.into_iter().map(|(kind, value)| Record { kind, value }))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every set of included fields, over every tree of up to seven.
    #[test]
    fn every_set_of_fields_is_proven_as_the_naive_prover_does(invoice in small_invoices(7)) {
        for set in 0..1_u32 << (invoice.len() - 1) {
            let shown: Vec<Record> = invoice[1..]
                .iter()
                .enumerate()
                .filter(|(at, _)| set >> at & 1 == 1)
                .map(|(_, record)| record.clone())
                .collect();
            let kinds: BTreeSet<u64> = shown.iter().map(|r| r.kind).collect();
            let said = disclose(&Rules::all(), &invoice, |kind| kinds.contains(&kind)).unwrap();
            prop_assert_eq!(&said, &naive_disclose(&invoice, &kinds));
            let root = read_back(&shown, &said).unwrap();
            prop_assert_eq!(root, naive_root(&shown, &said));
            prop_assert_eq!(root, (!shown.is_empty()).then_some(said.root));
        }
    }

    /// A list of markers is right if, and only if, it is the one that the writer makes.
    #[test]
    fn no_other_markers_are_read(
        invoice in small_invoices(7),
        set: u32,
        at: prop::sample::Index,
        marker in prop_oneof![0_u64..240, 230_u64..1010, field_types(), any::<u64>()],
        change in 0..4,
    ) {
        let kinds: BTreeSet<u64> = invoice[1..]
            .iter()
            .enumerate()
            .filter(|(at, _)| set >> at & 1 == 1)
            .map(|(_, record)| record.kind)
            .collect();
        let shown: Vec<Record> = invoice.iter().filter(|r| kinds.contains(&r.kind)).cloned().collect();
        let mut said = disclose(&Rules::all(), &invoice, |kind| kinds.contains(&kind)).unwrap();
        prop_assume!(!said.markers.is_empty());
        let before = said.markers.clone();
        let at = at.index(before.len());
        match change {
            0 => said.markers[at] = marker,
            1 => said.markers.insert(at, marker),
            2 => said.markers.push(before[at]),
            _ => said.markers.swap(at, 0),
        }
        prop_assume!(said.markers != before);
        // More or fewer leaves may be a list that is right for another invoice.
        let other = read_back(&shown, &said);
        if said.markers.len() == before.len() {
            let moved = |markers: &[u64]| -> Vec<usize> {
                kinds.iter().map(|k| markers.iter().filter(|m| *m < k).count()).collect()
            };
            prop_assert!(other.is_err() || moved(&said.markers) != moved(&before));
        }
        prop_assert_ne!(other.ok().flatten(), Some(said.root));
    }

    #[test]
    fn a_changed_bit_is_refused(at: prop::sample::Index, bit in 0..8_u8) {
        let mut proof = stream(&exactly(&usual(), &needed_and(&[10, 3_000_000_001])));
        prop_assert!(verify_stream(&Rules::all(), &proof).is_ok());
        let at = at.index(proof.len());
        proof[at] ^= 1_u8 << bit;
        prop_assert!(verify_stream(&Rules::all(), &proof).is_err());
    }

    #[test]
    fn no_bytes_and_no_switch_make_it_panic(
        records in crate::tlv::tests::arbitrary_records(prop_oneof![field_types(), 1001_u64..1006, Just(0), Just(88), Just(168), Just(176), 238_u64..243]),
        which in 0..rules::ALL.len(),
        cut: prop::sample::Index,
    ) {
        let rules = Rules::all().without(rules::ALL[which].id).unwrap();
        let _ = read(&rules, &records);
        let bytes = stream(&exactly(&usual(), &NEEDED));
        let _ = verify_stream(&rules, &bytes[..cut.index(bytes.len())]);
        let payment = Payment { invoice: &stream(&records), preimage: &PREIMAGE, include: &[8], note: None };
        let _ = create(&rules, &payment, &payer());
        let _ = create_unchecked(&rules, &payment, &payer());
    }
}
