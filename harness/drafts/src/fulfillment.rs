//! Fulfillment payloads (bolts pull request 1344) and the receipt of a keysend proof inside one:
//! `specs/drafts/fulfillment-receipt.md`.
//!
//! A payload is a padded TLV stream that the final node encrypts for the payer. Every hop on the way
//! back hides it once more, as it does with a failure, and its HMACs in the attribution data cover it.

use crate::blinding::{decrypt, encrypt, unauthenticated};
use crate::failure::{self, Attributed, Attribution};
use crate::keys;
use crate::keysend_proof::{RECEIPT_TYPE, Receipt};
use crate::onion::apply_stream;
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};

/// Type of `attribution_data` in `update_fulfill_htlc`.
pub const ATTRIBUTION_DATA: u64 = 1;
/// Type of `fulfillment_payload` in `update_fulfill_htlc`.
pub const FULFILLMENT_PAYLOAD: u64 = 3;
/// Type of the padding inside a payload.
pub const PADDING: u64 = 1;
/// A stream has a multiple of so many bytes.
pub const BLOCK: usize = 256;
/// Bytes of a payload, at most, its tag counted.
pub const LONGEST: usize = 32_768;

/// Pull request 1344: the key that the final node encrypts with.
pub fn key(shared_secret: &[u8; 32]) -> [u8; 32] {
    keys::derive("fulfillment", shared_secret)
}

/// Records, in the order of their types, with the padding that makes a multiple of [`BLOCK`] bytes of
/// them. Where the multiple is there without it, none is added.
///
/// # Errors
/// A [`Violation`] of `bolt01/tlv/sender/order`; a record of the padding's type is one too many.
pub fn stream(rules: &Rules, records: &[Record]) -> Result<Vec<u8>, Violation> {
    let bare = tlv::encode_unchecked(records).len();
    let mut records = records.to_vec();
    let missing = if rules.mistaken(rules::FULFILLMENT_PADDING, "not-padded") {
        None
    } else {
        padding(bare)
    };
    if let Some(length) = missing {
        let at = records.partition_point(|record| record.kind < PADDING);
        records.insert(at, Record::new(PADDING, vec![0; length]));
    }
    tlv::encode(rules, &records)
}

/// Bytes of padding, its type and length not counted, behind or before `bare` bytes of other records.
/// `None`: they need none.
fn padding(bare: usize) -> Option<usize> {
    if bare > 0 && bare.is_multiple_of(BLOCK) {
        return None;
    }
    // No record has one byte, and none has 255 or 256: the length takes one byte up to 252, then three.
    // One block more is then always enough.
    let whole = |room: usize| {
        let lengths = [room.checked_sub(2), room.checked_sub(4)];
        let fits = |length: &usize| Record::new(PADDING, vec![0; *length]).encode().len() == room;
        lengths.into_iter().flatten().find(fits)
    };
    let first = bare.div_ceil(BLOCK).max(1) * BLOCK;
    whole(first - bare).or_else(|| whole(first + BLOCK - bare))
}

/// The final node's payload: the stream, encrypted.
pub fn seal(rules: &Rules, shared_secret: &[u8; 32], stream: &[u8]) -> Vec<u8> {
    let key = if rules.mistaken(rules::FULFILLMENT_ENCRYPTION, "key-of-failures") {
        failure::um(shared_secret)
    } else {
        key(shared_secret)
    };
    let mut payload = encrypt(&key, stream);
    if rules.mistaken(rules::FULFILLMENT_NO_AMMAG, "hidden-at-once") {
        apply_stream(&failure::ammag(shared_secret), &mut payload);
    }
    payload
}

/// Checks that a payload is not too long to be received.
///
/// # Errors
/// A [`Violation`] of `fulfillment/receiver/length`, by which the channel is failed.
pub fn check_length(rules: &Rules, payload: &[u8]) -> Result<(), Violation> {
    let (length, longest) = (payload.len() as u64, LONGEST as u64);
    rules.at_most(rules::FULFILLMENT_LENGTH, length, longest, || {
        format!("the payload has {length} bytes, and {longest} are allowed")
    })
}

/// What a hop on the way makes of a payload that came from downstream.
///
/// # Errors
/// A [`Violation`] of `fulfillment/receiver/length`.
pub fn pass(rules: &Rules, shared_secret: &[u8; 32], payload: &[u8]) -> Result<Vec<u8>, Violation> {
    check_length(rules, payload)?;
    let mut passed = payload.to_vec();
    if rules.mistaken(rules::FULFILLMENT_OBFUSCATE, "passed-as-it-came") {
        return Ok(passed);
    }
    let key = if rules.mistaken(rules::FULFILLMENT_OBFUSCATE, "stream-of-attribution") {
        failure::ammagext(shared_secret)
    } else {
        failure::ammag(shared_secret)
    };
    apply_stream(&key, &mut passed);
    Ok(passed)
}

/// The payload as it is before each hop hides it, from the first hop to the final node.
fn peeled(shared_secrets: &[[u8; 32]], payload: &[u8]) -> Vec<Vec<u8>> {
    let mut payload = payload.to_vec();
    let mut seen = Vec::with_capacity(shared_secrets.len());
    let last = shared_secrets.len().saturating_sub(1);
    for shared_secret in &shared_secrets[..last] {
        apply_stream(&failure::ammag(shared_secret), &mut payload);
        seen.push(payload.clone());
    }
    seen.push(payload);
    seen
}

/// What the payer reads: the records of the payload, padding left out. The secrets are those of the
/// hops from the first one on, the final node's last; without any there is no payload to read.
///
/// With the rule on the tag off, what stands there is read unauthenticated.
///
/// # Errors
/// A [`Violation`] of `fulfillment/receiver/length`, `fulfillment/origin/tag` or a `bolt01/tlv/…` rule.
pub fn open(
    rules: &Rules,
    shared_secrets: &[[u8; 32]],
    payload: &[u8],
) -> Result<Vec<Record>, Violation> {
    check_length(rules, payload)?;
    let inner = peeled(shared_secrets, payload).pop().unwrap_or_default();
    let key = key(shared_secrets.last().unwrap_or(&[0; 32]));
    let plain = decrypt(&key, &inner);
    rules.check(rules::FULFILLMENT_TAG, plain.is_some(), || {
        format!(
            "the payload of {} bytes does not decrypt with the final node's key",
            inner.len()
        )
    })?;
    let plain = plain.unwrap_or_else(|| unauthenticated(&key, &inner));
    let mut records = tlv::decode(rules, &plain, |_| false)?;
    if !rules.mistaken(rules::FULFILLMENT_IGNORE_PADDING, "shown") {
        records.retain(|record| record.kind != PADDING);
    }
    Ok(records)
}

/// Where in a route a node is that makes attribution data, and the payload there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The final node, and what it sends.
    Final(Option<&'a [u8]>),
    /// A node on the way, and what came from downstream.
    Intermediate(Option<&'a [u8]>),
}

/// What a node does with attribution data on the way back of a settlement; see [`failure::attribute`].
/// `hold_time` is in units of 100 ms.
pub fn attribute(
    rules: &Rules,
    shared_secret: &[u8; 32],
    place: Place<'_>,
    data: Option<&Attribution>,
    hold_time: u32,
) -> Attribution {
    let covered = match place {
        Place::Final(Some(payload))
            if rules.mistaken(rules::FULFILLMENT_FINAL_ATTRIBUTION, "covered") =>
        {
            payload.to_vec()
        }
        Place::Final(_) | Place::Intermediate(None) => Vec::new(),
        Place::Intermediate(Some(payload)) => {
            let name = rules::FULFILLMENT_HOP_ATTRIBUTION;
            if rules.mistaken(name, "not-covered") {
                Vec::new()
            } else if rules.mistaken(name, "covered-as-passed-on") {
                failure::wrap(shared_secret, payload)
            } else {
                payload.to_vec()
            }
        }
    };
    failure::attribute(shared_secret, &covered, data, hold_time)
}

/// Reads the attribution data of a settlement; see [`failure::attributed`]. `payload` as the payer got it.
/// So many hops are `open`: those behind them are in a blinded path, with a path key in their message, and
/// say nothing (BOLT 2, removing an HTLC).
pub fn attributed(
    rules: &Rules,
    shared_secrets: &[[u8; 32]],
    open: usize,
    payload: Option<&[u8]>,
    data: &Attribution,
) -> Attributed {
    let mut covered = payload.map_or_else(Vec::new, |payload| peeled(shared_secrets, payload));
    // The final node's HMACs are over the times alone.
    covered.pop();
    let at = |hop: usize| covered.get(hop).cloned().unwrap_or_default();
    let open = &shared_secrets[..open.min(shared_secrets.len())];
    failure::attributed_over(rules, open, at, data, None)
}

/// The receipt among the records of a payload that came with the settlement of `payment_hash`.
///
/// With the rule on the payment off, the receipt of another one is answered.
///
/// # Errors
/// A [`Violation`] of `fulfillment/payer/missing`, `fulfillment/payer/same-payment`, or of the rules by
/// which a receipt is one.
pub fn receipt(
    rules: &Rules,
    records: &[Record],
    payment_hash: &[u8; 32],
) -> Result<Vec<u8>, Violation> {
    let found = records.iter().find(|record| record.kind == RECEIPT_TYPE);
    rules.check(rules::FULFILLMENT_MISSING, found.is_some(), || {
        "the payment was settled without a receipt".into()
    })?;
    let Some(record) = found else {
        return Ok(Vec::new());
    };
    let decoded = Receipt::decode(rules, &record.value)?;
    let same = decoded.statement.payment_hash == *payment_hash;
    rules.check(rules::FULFILLMENT_SAME_PAYMENT, same, || {
        "the receipt is that of another payment than the one that was settled".into()
    })?;
    Ok(record.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ATTRIBUTION;
    use proptest::prelude::*;

    const SECRETS: [[u8; 32]; 4] = [[1; 32], [2; 32], [3; 32], [4; 32]];

    /// What the payer gets over the first `hops` secrets, with nobody wrong.
    fn returned(hops: usize, records: &[Record]) -> (Vec<u8>, Attribution) {
        let rules = Rules::all();
        let stream = stream(&rules, records).unwrap();
        let last = &SECRETS[hops - 1];
        let mut payload = seal(&rules, last, &stream);
        let mut data = attribute(&rules, last, Place::Final(Some(&payload)), None, 1);
        for (hop, secret) in SECRETS[..hops - 1].iter().enumerate().rev() {
            let place = Place::Intermediate(Some(&payload));
            let time = u32::try_from(10 + hop).unwrap();
            data = attribute(&rules, secret, place, Some(&data), time);
            payload = pass(&rules, secret, &payload).unwrap();
        }
        (payload, data)
    }

    fn refused(payload: &[u8]) -> &'static str {
        open(&Rules::all(), &SECRETS, payload).unwrap_err().rule
    }

    #[test]
    fn the_payer_reads_what_the_final_node_wrote_and_whose_times() {
        let records = [Record::new(65_537, [7, 8, 9])];
        for hops in 1..=4 {
            let (payload, data) = returned(hops, &records);
            assert_eq!(payload.len(), 256 + 16);
            let secrets = &SECRETS[..hops];
            assert_eq!(open(&Rules::all(), secrets, &payload).unwrap(), records);
            let read = attributed(&Rules::all(), secrets, hops, Some(&payload), &data);
            assert_eq!(read.blame, None);
            let mut times: Vec<u32> = (0..hops - 1).map(|hop| 10 + hop as u32).collect();
            times.push(1);
            assert_eq!(read.hold_times, times);
        }
    }

    #[test]
    fn without_a_payload_the_attribution_is_that_of_bolt_4() {
        let rules = Rules::all();
        let data = attribute(&rules, &SECRETS[1], Place::Final(None), None, 1);
        assert_eq!(data, failure::attribute(&SECRETS[1], &[], None, 1));
        let data = attribute(
            &rules,
            &SECRETS[0],
            Place::Intermediate(None),
            Some(&data),
            2,
        );
        let read = attributed(&rules, &SECRETS[..2], 2, None, &data);
        assert_eq!((read.hold_times, read.blame), (vec![2, 1], None));
        let same = failure::attributed(&rules, &SECRETS[..2], &[], &data, None);
        assert_eq!(same.hold_times, [2, 1]);
    }

    #[test]
    fn who_alters_the_payload_behind_its_hmacs_is_found() {
        let (mut payload, data) = returned(4, &[]);
        payload[0] ^= 1;
        let read = attributed(&Rules::all(), &SECRETS, 4, Some(&payload), &data);
        assert_eq!(read.blame, Some(0));
        assert_eq!(refused(&payload), rules::FULFILLMENT_TAG);
        // It is left out.
        let read = attributed(&Rules::all(), &SECRETS, 4, None, &data);
        assert_eq!(read.blame, Some(0));

        // The node before the final one alters it and says so with its HMACs, and so does everybody after.
        let rules = Rules::all();
        let stream = stream(&rules, &[]).unwrap();
        let mut payload = seal(&rules, &SECRETS[3], &stream);
        let mut data = attribute(&rules, &SECRETS[3], Place::Final(Some(&payload)), None, 1);
        payload[3] ^= 4;
        for secret in SECRETS[..3].iter().rev() {
            data = attribute(
                &rules,
                secret,
                Place::Intermediate(Some(&payload)),
                Some(&data),
                1,
            );
            payload = pass(&rules, secret, &payload).unwrap();
        }
        assert_eq!(refused(&payload), rules::FULFILLMENT_TAG);
        let read = attributed(&rules, &SECRETS, 4, Some(&payload), &data);
        assert_eq!(read.blame, None);
    }

    #[test]
    fn each_rule_of_the_reader_is_named_and_can_be_off() {
        let sealed = |stream: &[u8]| {
            let mut payload = seal(&Rules::all(), &SECRETS[3], stream);
            for secret in SECRETS[..3].iter().rev() {
                payload = pass(&Rules::all(), secret, &payload).unwrap();
            }
            payload
        };
        let cases: [(&[u8], &str); 4] = [
            (&[3, 5, 0], rules::TLV_LENGTH),
            (&[3, 0, 1, 0], rules::TLV_ORDER),
            (&[3, 0, 3, 0], rules::TLV_ORDER),
            (&[4, 0], rules::TLV_UNKNOWN_EVEN),
        ];
        for (stream, rule) in cases {
            assert_eq!(refused(&sealed(stream)), rule);
            let off = Rules::all().without(rule).unwrap();
            assert!(open(&off, &SECRETS, &sealed(stream)).is_ok());
        }
        let short = sealed(&[3, 1, 9]);
        assert_eq!(refused(&short[..10]), rules::FULFILLMENT_TAG);
        assert_eq!(refused(&[]), rules::FULFILLMENT_TAG);
        let off = Rules::all().without(rules::FULFILLMENT_TAG).unwrap();
        let mut garbled = short.clone();
        *garbled.last_mut().unwrap() ^= 1;
        assert_eq!(
            open(&off, &SECRETS, &garbled).unwrap(),
            [Record::new(3, [9])]
        );

        let longest = vec![0; LONGEST];
        let longer = vec![0; LONGEST + 1];
        let secret = &SECRETS[0];
        assert!(pass(&Rules::all(), secret, &longest).is_ok());
        assert_eq!(
            pass(&Rules::all(), secret, &longer).unwrap_err().rule,
            rules::FULFILLMENT_LENGTH
        );
        assert_eq!(refused(&longer), rules::FULFILLMENT_LENGTH);
        assert_eq!(refused(&longest), rules::FULFILLMENT_TAG);
    }

    #[test]
    fn hops_in_a_blinded_path_hide_the_payload_and_say_nothing() {
        let rules = Rules::all();
        let stream = stream(&rules, &[]).unwrap();
        let mut payload = seal(&rules, &SECRETS[3], &stream);
        for secret in SECRETS[2..3].iter().rev() {
            payload = pass(&rules, secret, &payload).unwrap();
        }
        // The second one is the introduction node.
        let place = Place::Intermediate(Some(&payload));
        let data = attribute(&rules, &SECRETS[1], place, None, 5);
        payload = pass(&rules, &SECRETS[1], &payload).unwrap();
        let place = Place::Intermediate(Some(&payload));
        let data = attribute(&rules, &SECRETS[0], place, Some(&data), 6);
        payload = pass(&rules, &SECRETS[0], &payload).unwrap();
        let read = |open| attributed(&rules, &SECRETS, open, Some(&payload), &data);
        assert_eq!((read(2).hold_times, read(2).blame), (vec![6, 5], None));
        assert_eq!(read(4).blame, Some(2));
        assert_eq!(open(&rules, &SECRETS, &payload), Ok(Vec::new()));
    }

    #[test]
    fn no_secrets_read_nothing() {
        assert!(open(&Rules::all(), &[], &[1; 300]).is_err());
        let read = attributed(&Rules::all(), &[], 1, Some(&[1; 300]), &[0; ATTRIBUTION]);
        assert_eq!(read, Attributed::default());
    }

    #[test]
    fn a_receipt_is_of_this_payment_or_none() {
        let rules = Rules::all();
        let none = receipt(&rules, &[Record::new(65_537, [1])], &[5; 32]);
        assert_eq!(none.unwrap_err().rule, rules::FULFILLMENT_MISSING);
        let bytes = {
            let statement = crate::keysend_proof::Statement {
                payment_hash: [5; 32],
                received_msat: 1,
                settled_time: 2,
            };
            let secret = keys::SecretKey::from_slice(&[9; 32]).unwrap();
            let signed = statement.sign(&rules, 0, &[6; 32], &secret, None).unwrap();
            signed.0.encode()
        };
        let records = [Record::new(RECEIPT_TYPE, bytes.clone())];
        assert_eq!(receipt(&rules, &records, &[5; 32]).unwrap(), bytes);
        let other = receipt(&rules, &records, &[6; 32]);
        assert_eq!(other.unwrap_err().rule, rules::FULFILLMENT_SAME_PAYMENT);
        let off = Rules::all()
            .without(rules::FULFILLMENT_SAME_PAYMENT)
            .unwrap();
        assert_eq!(receipt(&off, &records, &[6; 32]).unwrap(), bytes);
        let off = Rules::all().without(rules::FULFILLMENT_MISSING).unwrap();
        assert_eq!(receipt(&off, &[], &[5; 32]).unwrap(), Vec::<u8>::new());
        // A receipt and its padding fill one block.
        assert_eq!(stream(&rules, &records).unwrap().len(), BLOCK);
    }

    #[test]
    fn padding_has_its_place_and_fills_a_block() {
        let rules = Rules::all();
        let of = |length: usize| stream(&rules, &[Record::new(3, vec![7; length])]).unwrap();
        // 253 bytes and 3 of padding; 254 and 2; 257 leave 255, which no record has; 512 need none.
        for (length, whole) in [(251, 256), (252, 256), (253, 768), (504, 512), (508, 512)] {
            assert_eq!(of(length).len(), whole, "{length}");
        }
        assert_eq!(stream(&rules, &[]).unwrap().len(), 512);
        let low = stream(&rules, &[Record::new(0, []), Record::new(3, [])]).unwrap();
        assert_eq!(low[..3], [0, 0, 1]);
        let twice = stream(&rules, &[Record::new(PADDING, [0])]);
        assert_eq!(twice.unwrap_err().rule, rules::TLV_SENDER_ORDER);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            values in prop::collection::btree_map((32_768_u64..40_000).prop_map(|n| 2 * n + 1), prop::collection::vec(any::<u8>(), 0..300), 0..4),
            hops in 1_usize..=4,
        ) {
            let records: Vec<Record> = values.into_iter().map(|(kind, value)| Record::new(kind, value)).collect();
            let (payload, data) = returned(hops, &records);
            prop_assert_eq!((payload.len() - 16) % BLOCK, 0);
            prop_assert_eq!(open(&Rules::all(), &SECRETS[..hops], &payload).unwrap(), records);
            let read = attributed(&Rules::all(), &SECRETS[..hops], hops, Some(&payload), &data);
            prop_assert_eq!(read.blame, None);
        }

        #[test]
        fn a_changed_byte_is_noticed(at in any::<prop::sample::Index>(), hops in 2_usize..=4) {
            let (mut payload, data) = returned(hops, &[Record::new(65_537, [7])]);
            let at = at.index(payload.len());
            payload[at] ^= 1;
            prop_assert_eq!(
                open(&Rules::all(), &SECRETS[..hops], &payload).unwrap_err().rule,
                rules::FULFILLMENT_TAG
            );
            let read = attributed(&Rules::all(), &SECRETS[..hops], hops, Some(&payload), &data);
            prop_assert_eq!(read.blame, Some(0));
        }

        #[test]
        fn anything_is_read_without_a_panic(payload in prop::collection::vec(any::<u8>(), 0..600), hops in 0_usize..=4) {
            prop_assert!(open(&Rules::all(), &SECRETS[..hops], &payload).is_err());
        }
    }
}
