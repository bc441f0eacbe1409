use super::*;
use crate::rules::Shift;
use proptest::prelude::*;

const ROOT: Hash = [0x11; 32];

fn all() -> Rules {
    Rules::all()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn record(index: u32) -> Record {
    Record {
        root_share: [0xaa; 32].into(),
        set_id: [0xbb; 32],
        index,
        own_payment_data: None,
    }
}

/// The HTLCs of a set in the form `dialect`, with indices 0, 1, ….
fn set(dialect: &Dialect, root: &Hash, drawn: &[Hash]) -> Vec<Part> {
    shares(root, drawn)
        .into_iter()
        .zip(0..)
        .map(|(share, index)| Part {
            payment_hash: Child::derive(&all(), dialect, root, &share, index)
                .unwrap()
                .payment_hash,
            share,
            index,
        })
        .collect()
}

#[test]
fn forms_are_told_apart_by_type_and_length() {
    for (kind, length, want) in [
        (14, 64, Some(&LND)),
        (14, 68, Some(&LND)),
        (14, 63, None),
        (14, 69, None),
        (14, 106, None),
        (10, 64, Some(&DRAFT_2021)),
        (10, 68, Some(&DRAFT_2021)),
        (10, 106, Some(&PR_658)),
        (10, 105, None),
        (8, 64, None),
    ] {
        assert_eq!(Dialect::of(kind, length), want, "type {kind}, {length}");
    }
    for dialect in DIALECTS {
        assert_eq!(Dialect::named(dialect.name), Some(dialect));
    }
    assert_eq!(Dialect::named("lnd"), None);
}

#[test]
fn a_wrong_type_is_named_with_the_form_it_seems_to_be() {
    let refused = LND.check_type(&all(), 10, 106).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the record has type 10, and that of amp/lnd is 14; it has type and length of amp/pr-658 \
         (amp/record/type)"
    );
    for (dialect, kind, rule) in [
        (&LND, 10, rules::AMP_TYPE),
        (&DRAFT_2021, 14, rules::AMP_2021_TYPE),
        (&PR_658, 14, rules::AMP_PR_658_TYPE),
    ] {
        assert_eq!(dialect.check_type(&all(), kind, 0).unwrap_err().rule, rule);
        let off = all().without(rule).unwrap();
        assert_eq!(dialect.check_type(&off, kind, 0), Ok(()));
        let right = dialect.record_type;
        assert_eq!(dialect.check_type(&all(), right, 0), Ok(()));
    }
}

#[test]
fn the_index_is_truncated() {
    for (index, tail) in [
        (0, ""),
        (1, "01"),
        (0xff, "ff"),
        (0x100, "0100"),
        (0xffff, "ffff"),
        (0x1_0000, "010000"),
        (0xff_ffff, "ffffff"),
        (0x100_0000, "01000000"),
        (0x8000_0000, "80000000"),
        (u32::MAX, "ffffffff"),
    ] {
        let bytes = record(index).encode(&all(), &LND).unwrap();
        assert_eq!(hex(&bytes[64..]), tail, "{index}");
        assert_eq!(Record::decode(&all(), &LND, &bytes).unwrap(), record(index));
    }
}

#[test]
fn each_rule_of_the_record_is_named_and_can_be_off() {
    let value = |tail: &[u8]| [&[0xaa; 32][..], &[0xbb; 32], tail].concat();
    for (bytes, rule, index) in [
        (value(&[])[..63].to_vec(), rules::AMP_LENGTH_LEAST, 0),
        (Vec::new(), rules::AMP_LENGTH_LEAST, 0),
        (value(&[1, 2, 3, 4, 5]), rules::AMP_LENGTH_MOST, 0x0102_0304),
        (value(&[0]), rules::AMP_INDEX_MINIMAL, 0),
        (value(&[0, 1]), rules::AMP_INDEX_MINIMAL, 1),
        (value(&[0, 1, 2, 3]), rules::AMP_INDEX_MINIMAL, 0x1_0203),
    ] {
        let refused = Record::decode(&all(), &LND, &bytes).unwrap_err();
        assert_eq!(refused.rule, rule, "{refused}");
        let off = all().without(rule).unwrap();
        assert_eq!(Record::decode(&off, &LND, &bytes).unwrap().index, index);
    }
    for length in [0, 105, 107] {
        let bytes = vec![1; length];
        let refused = Record::decode(&all(), &PR_658, &bytes).unwrap_err();
        assert_eq!(refused.rule, rules::AMP_PR_658_LENGTH);
        let off = all().without(rules::AMP_PR_658_LENGTH).unwrap();
        assert!(Record::decode(&off, &PR_658, &bytes).is_ok());
    }
    let lax = all().shift(rules::AMP_LENGTH_LEAST, Shift::Lax).unwrap();
    assert!(Record::decode(&lax, &LND, &value(&[])[..63]).is_ok());
    assert!(Record::decode(&lax, &LND, &value(&[])[..62]).is_err());
    let strict = all().shift(rules::AMP_LENGTH_MOST, Shift::Strict).unwrap();
    assert!(Record::decode(&strict, &LND, &value(&[1, 2, 3, 4])).is_err());
}

#[test]
fn the_record_of_pull_request_658_has_its_fields_in_its_order() {
    let record = Record {
        own_payment_data: Some(OwnPaymentData {
            payment_id: [0xcc; 32],
            total_msat: 0x0102_0304_0506_0708,
        }),
        ..record(0xfffe)
    };
    let bytes = record.encode(&all(), &PR_658).unwrap();
    let want = [
        &[0xcc; 32][..],
        &[0xbb; 32],
        &[0xaa; 32],
        &[0xff, 0xfe],
        &[1, 2, 3, 4, 5, 6, 7, 8],
    ]
    .concat();
    assert_eq!(*bytes, want);
    assert_eq!(Record::decode(&all(), &PR_658, &bytes).unwrap(), record);
}

#[test]
fn an_index_of_pull_request_658_has_two_bytes() {
    let derive = |rules: &Rules, index| Child::derive(rules, &PR_658, &ROOT, &ROOT, index);
    assert!(derive(&all(), 0xffff).is_ok());
    for refused in [
        derive(&all(), 0x1_0000).unwrap_err(),
        record(0x1_0000).encode(&all(), &PR_658).unwrap_err(),
    ] {
        assert_eq!(refused.rule, rules::AMP_PR_658_INDEX);
    }
    let off = all().without(rules::AMP_PR_658_INDEX).unwrap();
    assert_eq!(derive(&off, 0x1_0002), derive(&all(), 2));
}

/// Values from the text alone, computed with another SHA-256 than this crate's.
#[test]
fn children_are_the_hashes_of_the_text() {
    let share = [0x22; 32];
    for (dialect, index, preimage, payment_hash) in [
        (
            &LND,
            0,
            "335871fc1753869b9b40cf7ec313b79ff36758add259ef27ff17cf6922aa2ac0",
            "e3f63ae82e97b42d415a99334f4b420c80bb13ea3a24b0aa18024a3649450afb",
        ),
        (
            &LND,
            u32::MAX,
            "c9c80c96ebcc38229179c6aeffc1cdd2661f2e90f4f13398f4dfde79527f5bca",
            "65b204144865f7afb4b95d8d07e8b1843f703a76b6bb74b58d2db1c31f94fb14",
        ),
        (
            &DRAFT_2021,
            0,
            "335871fc1753869b9b40cf7ec313b79ff36758add259ef27ff17cf6922aa2ac0",
            "e3f63ae82e97b42d415a99334f4b420c80bb13ea3a24b0aa18024a3649450afb",
        ),
        (
            &PR_658,
            0,
            "c51d1e37d6b4ba298319cc1961241df2c262ea57d5eaaa3e22e77dacc20f3930",
            "e6b921a7c6da500613c251c45da0f58029517e8a91c2fc73829eff03e6cf8bbd",
        ),
    ] {
        let child = Child::derive(&all(), dialect, &ROOT, &share, index).unwrap();
        assert_eq!(hex(&*child.preimage), preimage, "{}", dialect.name);
        assert_eq!(hex(&child.payment_hash), payment_hash, "{}", dialect.name);
    }
}

#[test]
fn one_htlc_carries_the_root_itself() {
    let parts = set(&LND, &ROOT, &[]);
    assert_eq!(*parts[0].share, ROOT);
    assert_eq!(*reconstruct(&all(), &LND, &parts).unwrap().root, ROOT);
}

#[test]
fn a_share_that_is_missing_repeated_or_altered_is_noticed() {
    let whole = set(&LND, &ROOT, &[[1; 32], [2; 32]]);
    assert!(reconstruct(&all(), &LND, &whole).is_ok());
    let missing = whole[..2].to_vec();
    let repeated = [&whole[..], &whole[..1]].concat();
    let mut altered = whole.clone();
    altered[1].share[31] ^= 1;
    let mut index = whole.clone();
    index[2].index += 1;
    let mut hash = whole.clone();
    hash[2].payment_hash[0] ^= 1;
    for parts in [missing, repeated, altered, index, hash] {
        let refused = reconstruct(&all(), &LND, &parts).unwrap_err();
        assert_eq!(refused.rule, rules::AMP_PAYMENT_HASH);
        let off = all().without(rules::AMP_PAYMENT_HASH).unwrap();
        assert!(reconstruct(&off, &LND, &parts).is_ok());
    }
    let refused = reconstruct(&all(), &PR_658, &whole).unwrap_err();
    assert_eq!(refused.rule, rules::AMP_PAYMENT_HASH);
}

#[test]
fn debug_output_shows_no_secret() {
    let secret = "170, 170, 170";
    let child = Child {
        preimage: [0xaa; 32].into(),
        payment_hash: [1; 32],
    };
    let part = Part {
        share: [0xaa; 32].into(),
        index: 0,
        payment_hash: [1; 32],
    };
    let set = Reconstructed {
        root: [0xaa; 32].into(),
        preimages: vec![[0xaa; 32].into()],
    };
    for shown in [
        format!("{:?}", record(7)),
        format!("{child:?}"),
        format!("{part:?}"),
        format!("{set:?}"),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        root_share: Hash,
        set_id: Hash,
        index: u32,
        payment_id: Hash,
        total_msat: u64,
    ) {
        for dialect in [&LND, &DRAFT_2021] {
            let record = Record {
                root_share: root_share.into(),
                set_id,
                index,
                own_payment_data: None,
            };
            let bytes = record.encode(&all(), dialect).unwrap();
            prop_assert_eq!(&Record::decode(&all(), dialect, &bytes).unwrap(), &record);
            prop_assert_eq!(Dialect::of(dialect.record_type, bytes.len()), Some(dialect));
            // A reader of the other form never takes it.
            prop_assert!(Record::decode(&all(), &PR_658, &bytes).is_err());
        }
        let record = Record {
            root_share: root_share.into(),
            set_id,
            index: index & 0xffff,
            own_payment_data: Some(OwnPaymentData { payment_id, total_msat }),
        };
        let bytes = record.encode(&all(), &PR_658).unwrap();
        prop_assert_eq!(&Record::decode(&all(), &PR_658, &bytes).unwrap(), &record);
        prop_assert!(Record::decode(&all(), &LND, &bytes).is_err());
    }

    /// One value has one encoding: whatever is read is written the same again.
    #[test]
    fn what_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 60..72)) {
        if let Ok(record) = Record::decode(&all(), &LND, &bytes) {
            prop_assert_eq!(&*record.encode(&all(), &LND).unwrap(), &bytes);
        }
    }

    #[test]
    fn any_set_is_reconstructed_in_any_order(
        root: Hash,
        drawn in prop::collection::vec(any::<Hash>(), 0..8),
        turn in 0usize..8,
    ) {
        for dialect in DIALECTS {
            let mut parts = set(dialect, &root, &drawn);
            let turn = turn % parts.len();
            parts.rotate_left(turn);
            let whole = reconstruct(&all(), dialect, &parts).unwrap();
            prop_assert_eq!(*whole.root, root);
            for (part, preimage) in parts.iter().zip(&whole.preimages) {
                prop_assert_eq!(sha256(&[&**preimage]), part.payment_hash);
            }
        }
    }

    #[test]
    fn splitting_again_keeps_the_root(root: Hash, left: Hash, again: Hash) {
        let right = split(&root, &left);
        let far = split(&right, &again);
        prop_assert_eq!(*xor(&xor(&left, &again), &far), root);
    }

    #[test]
    fn any_flipped_bit_of_any_share_is_noticed(
        root: Hash,
        drawn in prop::collection::vec(any::<Hash>(), 0..4),
        bit in 0usize..256,
    ) {
        let mut parts = set(&LND, &root, &drawn);
        parts[0].share[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(reconstruct(&all(), &LND, &parts).is_err());
    }
}
