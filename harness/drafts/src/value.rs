//! Reading the value of a known record, field by field.
//!
//! BOLT 1, TLV, receiver: a known type's value has exactly the length of its encoding, and its
//! variable-length fields are minimal. With the rule on lengths off, bytes that are missing
//! count as zero and bytes left over are passed over.

use crate::keys::{Point, is_point};
use crate::rules::{self, Rules, Violation};

/// Highest amount in msat: 21 million bitcoin.
pub const MAX_MSAT: u64 = 0x1d24_b2df_ac52_0000;

/// A reader over one value.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rules: &'a Rules,
    /// The field's name, for messages.
    name: &'a str,
    rest: &'a [u8],
}

type Result<T> = std::result::Result<T, Violation>;

impl<'a> Reader<'a> {
    /// Reads `bytes`, the value of the field `name`.
    pub fn new(rules: &'a Rules, name: &'a str, bytes: &'a [u8]) -> Self {
        Self {
            rules,
            name,
            rest: bytes,
        }
    }

    /// Whether every byte was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length` when fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.bytes(N)?;
        let mut array = [0; N];
        array[..taken.len()].copy_from_slice(taken);
        Ok(array)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length` when fewer are left.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let there = self.rest.len();
        self.rules
            .check(rules::TLV_VALUE_LENGTH, length <= there, || {
                format!("{} needs {length} more bytes and has {there}", self.name)
            })?;
        let (taken, rest) = self.rest.split_at(length.min(there));
        self.rest = rest;
        Ok(taken)
    }

    /// All bytes that are left.
    pub fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// One byte.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length`.
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length`.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length`.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length`.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A truncated integer of up to two bytes: all that is left.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length`, `bolt01/tlv/value-minimal`.
    pub fn tu16(&mut self) -> Result<u16> {
        self.truncated::<2>()
            .map(|[.., a, b]| u16::from_be_bytes([a, b]))
    }

    /// A truncated integer of up to four bytes: all that is left.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length`, `bolt01/tlv/value-minimal`.
    pub fn tu32(&mut self) -> Result<u32> {
        self.truncated::<4>()
            .map(|[.., a, b, c, d]| u32::from_be_bytes([a, b, c, d]))
    }

    /// A truncated integer of up to eight bytes: all that is left.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length`, `bolt01/tlv/value-minimal`.
    pub fn tu64(&mut self) -> Result<u64> {
        self.truncated::<8>().map(u64::from_be_bytes)
    }

    fn truncated<const WIDTH: usize>(&mut self) -> Result<[u8; 8]> {
        let bytes = self.remainder();
        self.rules
            .check(rules::TLV_VALUE_LENGTH, bytes.len() <= WIDTH, || {
                format!("{} has {} bytes, more than {WIDTH}", self.name, bytes.len())
            })?;
        self.rules
            .check(rules::TLV_VALUE_MINIMAL, bytes.first() != Some(&0), || {
                format!("{} begins with a zero byte", self.name)
            })?;
        let bytes = &bytes[..bytes.len().min(WIDTH)];
        let mut padded = [0; 8];
        padded[8 - bytes.len()..].copy_from_slice(bytes);
        Ok(padded)
    }

    /// A compressed point, 33 bytes. With the rule off they are any 33 bytes.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length`, `bolt01/types/point`.
    pub fn point(&mut self) -> Result<Point> {
        let point = self.array()?;
        self.rules.check(rules::TYPES_POINT, is_point(&point), || {
            format!("{} has a key that is no point of the curve", self.name)
        })?;
        Ok(point)
    }

    /// All that is left, as text. With the rule off, what is no UTF-8 is replaced.
    ///
    /// # Errors
    /// `bolt01/types/utf8`.
    pub fn utf8(&mut self) -> Result<String> {
        let text = String::from_utf8_lossy(self.remainder());
        self.rules.check(
            rules::TYPES_UTF8,
            matches!(text, std::borrow::Cow::Borrowed(_)),
            || format!("{} is not UTF-8", self.name),
        )?;
        Ok(text.into_owned())
    }

    /// Ends the value.
    ///
    /// # Errors
    /// `bolt01/tlv/value-length` when bytes are left.
    pub fn end(self) -> Result<()> {
        let left = self.rest.len();
        self.rules.check(rules::TLV_VALUE_LENGTH, left == 0, || {
            format!("{} has {left} bytes too many", self.name)
        })
    }
}

/// The shortest form of a truncated integer, 0 to 8 bytes.
pub fn truncated(value: u64) -> Vec<u8> {
    let skipped = (value.leading_zeros() / 8) as usize;
    value.to_be_bytes()[skipped..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule<T>(bytes: &[u8], read: impl Fn(&mut Reader<'_>) -> Result<T>) -> Option<&'static str> {
        let rules = Rules::all();
        let mut reader = Reader::new(&rules, "field", bytes);
        match read(&mut reader).and_then(|_| reader.end()) {
            Ok(()) => None,
            Err(violation) => Some(violation.rule),
        }
    }

    #[test]
    fn truncated_integers_have_one_form() {
        assert_eq!(rule(&[], |r| r.tu64()), None);
        assert_eq!(rule(&[1, 0], |r| r.tu16()), None);
        assert_eq!(rule(&[0], |r| r.tu64()), Some(rules::TLV_VALUE_MINIMAL));
        assert_eq!(rule(&[1; 3], |r| r.tu16()), Some(rules::TLV_VALUE_LENGTH));
        assert_eq!(rule(&[1; 5], |r| r.tu32()), Some(rules::TLV_VALUE_LENGTH));
        assert_eq!(rule(&[1; 9], |r| r.tu64()), Some(rules::TLV_VALUE_LENGTH));
    }

    #[test]
    fn fixed_fields_take_what_they_need_and_no_more() {
        assert_eq!(rule(&[1, 2], |r| r.u16()), None);
        assert_eq!(rule(&[1], |r| r.u16()), Some(rules::TLV_VALUE_LENGTH));
        assert_eq!(rule(&[1, 2, 3], |r| r.u16()), Some(rules::TLV_VALUE_LENGTH));
        assert_eq!(rule(&[4; 33], |r| r.point()), Some(rules::TYPES_POINT));
        assert_eq!(rule(&[2; 32], |r| r.point()), Some(rules::TLV_VALUE_LENGTH));
        assert_eq!(rule(&[0xc0], |r| r.utf8()), Some(rules::TYPES_UTF8));
        assert_eq!(rule("é".as_bytes(), |r| r.utf8()), None);
    }

    #[test]
    fn a_rule_that_is_off_accepts_what_it_refused() {
        let off = Rules::all().without(rules::TLV_VALUE_LENGTH).unwrap();
        assert_eq!(Reader::new(&off, "f", &[1]).u16().unwrap(), 0x100);
        assert_eq!(
            Reader::new(&off, "f", &[1; 9]).tu64().unwrap(),
            0x0101_0101_0101_0101
        );
        let off = Rules::all().without(rules::TLV_VALUE_MINIMAL).unwrap();
        assert_eq!(Reader::new(&off, "f", &[0, 5]).tu32().unwrap(), 5);
        let off = Rules::all().without(rules::TYPES_POINT).unwrap();
        assert_eq!(Reader::new(&off, "f", &[4; 33]).point().unwrap(), [4; 33]);
        let off = Rules::all().without(rules::TYPES_UTF8).unwrap();
        assert_eq!(
            Reader::new(&off, "f", b"a\xc0").utf8().unwrap(),
            "a\u{fffd}"
        );
    }

    proptest! {
        #[test]
        fn a_truncated_integer_comes_back(value: u64) {
            let rules = Rules::all();
            let bytes = truncated(value);
            prop_assert_eq!(Reader::new(&rules, "f", &bytes).tu64().unwrap(), value);
        }
    }
}
