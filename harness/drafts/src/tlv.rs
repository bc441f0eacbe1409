//! TLV streams of BOLT 1: records of type, length and value.

use crate::bigsize::{self, Ids};
use crate::rules::{self, Rules, Violation};

const IDS: Ids = Ids {
    truncated: rules::TLV_TRUNCATED,
    minimal: rules::TLV_MINIMAL,
};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The type.
    pub kind: u64,
    /// The value, without type and length.
    pub value: Vec<u8>,
}

impl Record {
    /// A record of type `kind`.
    pub fn new(kind: u64, value: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            value: value.into(),
        }
    }

    /// Appends type, length and value.
    pub fn write(&self, out: &mut Vec<u8>) {
        bigsize::write(self.kind, out);
        bigsize::write(self.value.len() as u64, out);
        out.extend_from_slice(&self.value);
    }

    /// Type, length and value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.value.len() + 18);
        self.write(&mut out);
        out
    }
}

/// Cuts a stream into records by the framing rules alone: complete and minimal types and
/// lengths, values inside the stream, strictly increasing types.
///
/// With a rule off, a value that reaches beyond the end is what is there of it.
///
/// # Errors
/// A [`Violation`] of `bolt01/tlv/truncated`, `minimal`, `order` or `length`.
pub fn frames(rules: &Rules, stream: &[u8]) -> Result<Vec<Record>, Violation> {
    let mut rest = stream;
    let mut records: Vec<Record> = Vec::new();
    // BOLT 1, TLV, receiver: the stream ends where no byte is left for a type.
    while !rest.is_empty() {
        let (kind, after) = bigsize::read(rules, IDS, rest)?;
        if let Some(last) = records.last() {
            order(rules, rules::TLV_ORDER, last.kind, kind)?;
        }
        let (length, after) = bigsize::read(rules, IDS, after)?;
        let left = after.len() as u64;
        rules.at_most(rules::TLV_LENGTH, length, left, || {
            format!("record {kind} has length {length}, but {left} bytes are left")
        })?;
        // A length that does not fit into usize is certainly beyond the end.
        let taken = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(after.len());
        let (value, after) = after.split_at(taken);
        records.push(Record::new(kind, value));
        rest = after;
    }
    Ok(records)
}

fn order(rules: &Rules, id: &'static str, last: u64, kind: u64) -> Result<(), Violation> {
    // Nothing follows the highest type; what comes after it is one below the bound at best.
    let (value, least) = match last.checked_add(1) {
        Some(next) => (kind, next),
        None => (0, if kind == last { 1 } else { 2 }),
    };
    rules.at_least(id, value, least, || {
        if kind == last {
            format!("type {kind} occurs twice")
        } else {
            format!("type {kind} follows type {last}")
        }
    })
}

/// Refuses even types that are not known, under the rule `id`. Unknown odd types pass.
///
/// # Errors
/// A [`Violation`] of `id`.
pub fn refuse_unknown_even(
    rules: &Rules,
    id: &'static str,
    records: &[Record],
    known: impl Fn(u64) -> bool,
) -> Result<(), Violation> {
    for record in records {
        let kind = record.kind;
        rules.check(id, kind % 2 == 1 || known(kind), || {
            format!("type {kind} is even and unknown")
        })?;
    }
    Ok(())
}

/// Reads a stream: framing first, then unknown even types. Unknown odd records are kept.
///
/// # Errors
/// A [`Violation`] of a `bolt01/tlv/…` rule.
pub fn decode(
    rules: &Rules,
    stream: &[u8],
    known: impl Fn(u64) -> bool,
) -> Result<Vec<Record>, Violation> {
    let records = frames(rules, stream)?;
    refuse_unknown_even(rules, rules::TLV_UNKNOWN_EVEN, &records, known)?;
    Ok(records)
}

/// Checks that types increase strictly, under the rule `id`.
///
/// # Errors
/// A [`Violation`] of `id`.
pub fn check_order(rules: &Rules, id: &'static str, records: &[Record]) -> Result<(), Violation> {
    records
        .windows(2)
        .try_for_each(|pair| order(rules, id, pair[0].kind, pair[1].kind))
}

/// Writes records as they are, in whatever order; a builder of invalid streams needs that.
pub fn encode_unchecked<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        record.write(&mut out);
    }
    out
}

/// Writes records by the sender's rules.
///
/// # Errors
/// A [`Violation`] of `bolt01/tlv/sender/order`.
pub fn encode(rules: &Rules, records: &[Record]) -> Result<Vec<u8>, Violation> {
    check_order(rules, rules::TLV_SENDER_ORDER, records)?;
    Ok(encode_unchecked(records))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(stream: &[u8]) -> &'static str {
        decode(&Rules::all(), stream, |_| false).unwrap_err().rule
    }

    #[test]
    fn each_framing_rule_is_named() {
        for (stream, want) in [
            (&[0xfd][..], rules::TLV_TRUNCATED),
            (&[0xfd, 1], rules::TLV_TRUNCATED),
            (&[0x0f], rules::TLV_TRUNCATED),
            (&[0x0f, 0xfd, 0x26], rules::TLV_TRUNCATED),
            (&[0xfd, 0, 1, 0], rules::TLV_MINIMAL),
            (&[0x0f, 0xfd, 0, 1, 0], rules::TLV_MINIMAL),
            (&[0x0f, 2, 0], rules::TLV_LENGTH),
            (
                &[0x0f, 0xff, 255, 255, 255, 255, 255, 255, 255, 255],
                rules::TLV_LENGTH,
            ),
            (&[0x1f, 0, 0x0f, 0], rules::TLV_ORDER),
            (&[0x1f, 0, 0x1f, 0], rules::TLV_ORDER),
            (
                &[0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0],
                rules::TLV_ORDER,
            ),
            (&[0x12, 0], rules::TLV_UNKNOWN_EVEN),
        ] {
            assert_eq!(rule(stream), want, "{stream:02x?}");
        }
    }

    #[test]
    fn known_even_and_unknown_odd_types_pass() {
        let records = decode(&Rules::all(), &[0x12, 1, 7, 0x21, 0], |kind| kind == 0x12).unwrap();
        assert_eq!(records, [Record::new(0x12, [7]), Record::new(0x21, [])]);
        assert_eq!(decode(&Rules::all(), &[], |_| false).unwrap(), []);
    }

    #[test]
    fn a_rule_that_is_off_accepts_what_it_refused() {
        for (stream, id) in [
            (&[0x0f][..], rules::TLV_TRUNCATED),
            (&[0xfd, 0, 1, 0], rules::TLV_MINIMAL),
            (&[0x0f, 2, 0], rules::TLV_LENGTH),
            (&[0x1f, 0, 0x1f, 0], rules::TLV_ORDER),
            (&[0x12, 0], rules::TLV_UNKNOWN_EVEN),
        ] {
            assert_eq!(rule(stream), id);
            assert!(
                decode(&Rules::all().without(id).unwrap(), stream, |_| false).is_ok(),
                "{id}"
            );
        }
    }

    #[test]
    fn the_sender_keeps_the_order() {
        let records = [Record::new(3, [1]), Record::new(1, [])];
        assert_eq!(
            encode(&Rules::all(), &records).unwrap_err().rule,
            rules::TLV_SENDER_ORDER
        );
        assert_eq!(encode_unchecked(&records), [3, 1, 1, 1, 0]);
    }

    pub(crate) fn arbitrary_records(
        kinds: impl Strategy<Value = u64>,
    ) -> impl Strategy<Value = Vec<Record>> {
        let value = prop::collection::vec(any::<u8>(), 0..300);
        prop::collection::btree_map(kinds, value, 0..8).prop_map(|map| {
            map.into_iter()
                .map(|(kind, value)| Record { kind, value })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in arbitrary_records(any::<u64>())) {
            let stream = encode(&Rules::all(), &records).unwrap();
            prop_assert_eq!(decode(&Rules::all(), &stream, |_| true).unwrap(), records);
        }

        #[test]
        fn any_bytes_are_read_or_refused(stream in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(records) = decode(&Rules::all(), &stream, |_| true) {
                prop_assert_eq!(encode(&Rules::all(), &records).unwrap(), stream);
            }
        }

        #[test]
        fn no_switch_makes_the_reader_panic(stream in prop::collection::vec(any::<u8>(), 0..60), which in 0..rules::ALL.len()) {
            let rules = Rules::all().without(rules::ALL[which].id).unwrap();
            let _ = decode(&rules, &stream, |_| false);
        }
    }
}
