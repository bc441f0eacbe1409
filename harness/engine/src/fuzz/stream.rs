//! A TLV stream taken apart without a rule, so that what comes of a change may break any of them.

use super::draw::Draw;
use lnconform_drafts::bigsize;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::Record;

/// One record as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its type, in the bytes that say it.
    pub kind: Vec<u8>,
    /// Its length, in the bytes that say it; it need not be that of the value.
    pub length: Vec<u8>,
    /// What follows.
    pub value: Vec<u8>,
}

impl Piece {
    /// A record as it ought to be.
    pub fn new(kind: u64, value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        Self {
            kind: bigsize::encode(kind),
            length: bigsize::encode(value.len() as u64),
            value,
        }
    }

    /// The type, however it is written.
    pub fn number(&self) -> u64 {
        lenient(&self.kind).map_or(0, |(number, _)| number)
    }

    /// Puts another value there, with its length.
    pub fn set(&mut self, value: Vec<u8>) {
        self.length = bigsize::encode(value.len() as u64);
        self.value = value;
    }
}

/// Records, and what follows the last one that can be told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    /// The records, in their order.
    pub pieces: Vec<Piece>,
    /// Bytes that are no whole record.
    pub rest: Vec<u8>,
}

impl Stream {
    /// Takes a stream apart.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut stream = Self::default();
        let mut rest = bytes;
        while let Some((piece, tail)) = piece(rest) {
            stream.pieces.push(piece);
            rest = tail;
        }
        stream.rest = rest.to_vec();
        stream
    }

    /// The bytes again.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in &self.pieces {
            bytes.extend_from_slice(&piece.kind);
            bytes.extend_from_slice(&piece.length);
            bytes.extend_from_slice(&piece.value);
        }
        bytes.extend_from_slice(&self.rest);
        bytes
    }

    /// Puts a record in front of the first one with a higher type.
    pub fn insert(&mut self, piece: Piece) {
        let number = piece.number();
        let at = self.pieces.iter().position(|p| p.number() > number);
        self.pieces.insert(at.unwrap_or(self.pieces.len()), piece);
    }
}

/// A number of one, three, five or nine bytes, whether or not that is its shortest form.
fn lenient(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let width = match first {
        0xfd => 2,
        0xfe => 4,
        0xff => 8,
        small => return Some((u64::from(small), 1)),
    };
    let mut number = [0; 8];
    number[8 - width..].copy_from_slice(bytes.get(1..=width)?);
    Some((u64::from_be_bytes(number), 1 + width))
}

fn piece(bytes: &[u8]) -> Option<(Piece, &[u8])> {
    let (_, kind) = lenient(bytes)?;
    let (length, width) = lenient(&bytes[kind..])?;
    let start = kind + width;
    let end = usize::try_from(length).ok()?.checked_add(start)?;
    let value = bytes.get(start..end)?;
    let piece = Piece {
        kind: bytes[..kind].to_vec(),
        length: bytes[kind..start].to_vec(),
        value: value.to_vec(),
    };
    Some((piece, &bytes[end..]))
}

/// A number in more bytes than it needs.
fn long_form(bytes: &[u8]) -> Option<Vec<u8>> {
    let (number, width) = lenient(bytes)?;
    let number = number.to_be_bytes();
    Some(match width {
        1 => [&[0xfd], &number[6..]].concat(),
        3 => [&[0xfe], &number[4..]].concat(),
        5 => [&[0xff], &number[..]].concat(),
        _ => return None,
    })
}

/// Types that no message of BOLT 12 defines, from each of the ranges that the texts tell apart.
fn unknown_type(draw: &mut Draw) -> u64 {
    const RANGES: [(u64, u64); 15] = [
        (1, 79),
        (92, 159),
        (178, 239),
        (240, 252),
        (253, 1000),
        (1001, 1010),
        (1011, 65_535),
        (65_536, 999_999_999),
        (1_000_000_000, 1_000_000_010),
        (1_999_999_990, 2_000_000_010),
        (2_999_999_990, 3_000_000_010),
        (3_999_999_990, 4_000_000_010),
        (4_294_967_290, 4_294_967_300),
        (5_000_000_000, 5_000_000_100),
        (u64::MAX - 10, u64::MAX),
    ];
    let (low, high) = *draw.pick(&RANGES);
    let span = usize::try_from(high - low).unwrap_or(usize::MAX - 1) + 1;
    low + draw.below(span) as u64
}

/// Makes one change and says which. `field` answers a plausible value for a type of any message.
pub(super) fn change(
    draw: &mut Draw,
    stream: &mut Stream,
    field: impl Fn(&mut Draw, u64) -> Option<Vec<u8>>,
) -> &'static str {
    /// Types of the fields of all messages of BOLT 12 and payer proofs.
    const KNOWN: [u64; 40] = [
        0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 80, 82, 84, 86, 88, 89, 90, 91, 160, 162, 164,
        166, 168, 170, 172, 174, 176, 178, 236, 240, 241, 1, 3, 5, 1001, 1002, 1003, 1005,
    ];
    if stream.pieces.is_empty() || draw.one_in(12) {
        return match draw.below(3) {
            0 => {
                let mut bytes = stream.bytes();
                bytes.truncate(draw.below(bytes.len()));
                *stream = Stream::parse(&bytes);
                "cut short"
            }
            1 => {
                let count = 1 + draw.below(4);
                let more = draw.bytes(count);
                stream.rest.extend(more);
                "bytes behind it"
            }
            _ => {
                let mut bytes = stream.bytes();
                if !bytes.is_empty() {
                    let at = draw.below(bytes.len());
                    bytes[at] ^= 1 << draw.below(8);
                }
                *stream = Stream::parse(&bytes);
                "a bit anywhere"
            }
        };
    }
    let at = draw.below(stream.pieces.len());
    let piece = &mut stream.pieces[at];
    match draw.below(18) {
        0 => {
            let mut value = piece.value.clone();
            if let Some(last) = value.len().checked_sub(1) {
                value[draw.below(last + 1)] ^= 1 << draw.below(8);
            }
            piece.set(value);
            "a bit of a value"
        }
        1 => {
            let mut value = piece.value.clone();
            value.truncate(value.len().saturating_sub(1 + draw.below(3)));
            piece.set(value);
            "a shorter value"
        }
        2 => {
            let mut value = piece.value.clone();
            value.push(draw.byte());
            piece.set(value);
            "a longer value"
        }
        3 => {
            let mut value = vec![0];
            value.extend_from_slice(&piece.value);
            piece.set(value);
            "a zero in front of a value"
        }
        4 => {
            piece.set(Vec::new());
            "an empty value"
        }
        5 | 6 => {
            stream.pieces.remove(at);
            "a record left out"
        }
        7 => {
            let again = piece.clone();
            stream.pieces.insert(at, again);
            "a record twice"
        }
        8 => {
            let other = draw.below(stream.pieces.len());
            stream.pieces.swap(at, other);
            "two records swapped"
        }
        9 | 10 => {
            let kind = unknown_type(draw);
            let count = draw.below(5);
            let value = draw.bytes(count);
            stream.insert(Piece::new(kind, value));
            "a record of an unknown type"
        }
        11 | 12 => {
            let kind = *draw.pick(&KNOWN);
            let value = field(draw, kind).unwrap_or_default();
            stream.insert(Piece::new(kind, value));
            "a field of some message"
        }
        13 | 14 => {
            let kind = piece.number();
            match field(draw, kind) {
                Some(value) => stream.pieces[at].set(value),
                None => {
                    let count = draw.below(70);
                    let value = draw.bytes(count);
                    stream.pieces[at].set(value);
                }
            }
            "another value"
        }
        15 => {
            if let Some(long) = long_form(&piece.kind) {
                piece.kind = long;
            }
            "a type in more bytes than it needs"
        }
        16 => {
            if draw.one_in(2) {
                if let Some(long) = long_form(&piece.length) {
                    piece.length = long;
                }
                return "a length in more bytes than it needs";
            }
            let length = piece.value.len() as u64;
            let wrong = match draw.below(3) {
                0 => length + 1,
                1 => length.saturating_sub(1),
                _ => draw.number(),
            };
            piece.length = bigsize::encode(wrong);
            "a length that is not the value's"
        }
        _ => {
            let kind = piece.number();
            let other = match draw.below(4) {
                0 => kind.wrapping_add(1),
                1 => kind.wrapping_sub(1),
                2 => kind.wrapping_add(2),
                _ => unknown_type(draw),
            };
            let mut moved = stream.pieces.remove(at);
            moved.kind = bigsize::encode(other);
            stream.insert(moved);
            "a record of another type"
        }
    }
}

/// The records, where the stream is one by BOLT 1's framing.
pub(super) fn records(bytes: &[u8]) -> Option<Vec<Record>> {
    lnconform_drafts::tlv::frames(&Rules::all(), bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_forms_mean_the_same() {
        for number in [0, 1, 252, 253, 65_535, 65_536, 4_294_967_295] {
            let short = bigsize::encode(number);
            let long = long_form(&short).unwrap();
            assert!(long.len() > short.len());
            assert_eq!(lenient(&long), Some((number, long.len())));
        }
        assert_eq!(long_form(&bigsize::encode(u64::MAX)), None);
    }

    #[test]
    fn every_change_is_made_and_most_change_something() {
        let start = Stream {
            pieces: vec![
                Piece::new(8, [1, 0]),
                Piece::new(10, "tea"),
                Piece::new(22, [2; 33]),
            ],
            rest: Vec::new(),
        };
        let mut seen = std::collections::BTreeMap::new();
        for number in 0..2000 {
            let mut draw = Draw::new(1, number);
            let mut stream = start.clone();
            let what = change(&mut draw, &mut stream, |draw, kind| {
                (kind == 10).then(|| draw.bytes(3))
            });
            let changed = stream.bytes() != start.bytes();
            *seen.entry(what).or_insert(0) += usize::from(changed);
        }
        assert_eq!(seen.len(), 18, "{seen:?}");
        assert!(seen.values().all(|changed| *changed > 0), "{seen:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Stream::parse(&bytes).bytes(), bytes);
        }

        #[test]
        fn what_was_changed_is_taken_apart_again(seed: u64) {
            let mut draw = Draw::new(seed, 0);
            let mut stream = Stream { pieces: vec![Piece::new(8, [1]), Piece::new(300, [2; 300])], rest: vec![] };
            change(&mut draw, &mut stream, |_, _| None);
            let bytes = stream.bytes();
            prop_assert_eq!(Stream::parse(&bytes).bytes(), bytes);
        }
    }
}
