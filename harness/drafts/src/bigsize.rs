//! BigSize, the variable-length integer of BOLT 1: 1, 3, 5 or 9 bytes, big-endian.

use crate::rules::{self, Rules, Violation};

/// The rules that a BigSize is read under; they differ between contexts.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    /// The bytes end before the value is complete.
    pub truncated: &'static str,
    /// A shorter form would do.
    pub minimal: &'static str,
}

/// A BigSize on its own.
pub const ALONE: Ids = Ids {
    truncated: rules::BIGSIZE_TRUNCATED,
    minimal: rules::BIGSIZE_MINIMAL,
};

/// Reads one BigSize; answers its value and the bytes after it.
///
/// With the rule on truncation off, the bytes that are missing count as zero.
///
/// # Errors
/// A [`Violation`] of one of `ids`.
pub fn read<'a>(rules: &Rules, ids: Ids, bytes: &'a [u8]) -> Result<(u64, &'a [u8]), Violation> {
    let (&first, after) = match bytes.split_first() {
        Some(parts) => parts,
        None => {
            rules.check(ids.truncated, false, || {
                "a bigsize was expected at the end".into()
            })?;
            return Ok((0, bytes));
        }
    };
    let (width, least) = match first {
        0..=0xfc => return Ok((u64::from(first), after)),
        0xfd => (2, 0xfd),
        0xfe => (4, 0x1_0000),
        0xff => (8, 0x1_0000_0000),
    };
    let there = after.len().min(width);
    rules.check(ids.truncated, there == width, || {
        format!("a bigsize of {} bytes ends after {}", 1 + width, 1 + there)
    })?;
    let mut padded = [0; 8];
    padded[8 - width..8 - width + there].copy_from_slice(&after[..there]);
    let value = u64::from_be_bytes(padded);
    rules.check(ids.minimal, value >= least, || {
        format!("bigsize {value} is written in {} bytes", 1 + width)
    })?;
    Ok((value, &after[there..]))
}

/// Reads one BigSize from the front of `bytes`; answers its value and the bytes after it.
///
/// # Errors
/// A [`Violation`] of `bolt01/bigsize/truncated` or `bolt01/bigsize/minimal`.
pub fn decode<'a>(rules: &Rules, bytes: &'a [u8]) -> Result<(u64, &'a [u8]), Violation> {
    read(rules, ALONE, bytes)
}

/// Appends `value` in its shortest form.
pub fn write(value: u64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    match value {
        0..=0xfc => out.push(bytes[7]),
        0xfd..=0xffff => {
            out.push(0xfd);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xfe);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(0xff);
            out.extend_from_slice(&bytes);
        }
    }
}

/// `value` in its shortest form.
pub fn encode(value: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(9);
    write(value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_width_begins_and_ends_where_it_should() {
        for (value, width) in [
            (0, 1),
            (0xfc, 1),
            (0xfd, 3),
            (0xffff, 3),
            (0x1_0000, 5),
            (0xffff_ffff, 5),
            (0x1_0000_0000, 9),
            (u64::MAX, 9),
        ] {
            assert_eq!(encode(value).len(), width, "{value}");
        }
    }

    #[test]
    fn longer_forms_and_cut_ones_are_refused_by_name() {
        let rule = |bytes: &[u8]| decode(&Rules::all(), bytes).unwrap_err().rule;
        for bytes in [
            &[0xfd, 0, 0xfc][..],
            &[0xfe, 0, 0, 0xff, 0xff],
            &[0xff, 0, 0, 0, 0, 255, 255, 255, 255],
        ] {
            assert_eq!(rule(bytes), rules::BIGSIZE_MINIMAL);
        }
        for bytes in [
            &[][..],
            &[0xfd],
            &[0xfd, 1],
            &[0xfe, 1, 1, 1],
            &[0xff, 1, 1, 1, 1, 1, 1, 1],
        ] {
            assert_eq!(rule(bytes), rules::BIGSIZE_TRUNCATED);
        }
    }

    #[test]
    fn a_rule_that_is_off_accepts_what_it_refused() {
        let lax = Rules::all().without(rules::BIGSIZE_MINIMAL).unwrap();
        assert_eq!(decode(&lax, &[0xfd, 0, 0xfc, 7]).unwrap(), (0xfc, &[7][..]));
        let lax = Rules::all().without(rules::BIGSIZE_TRUNCATED).unwrap();
        assert_eq!(decode(&lax, &[0xfd, 1]).unwrap(), (0x100, &[][..]));
        assert_eq!(decode(&lax, &[]).unwrap(), (0, &[][..]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u64, rest: Vec<u8>) {
            let mut bytes = encode(value);
            bytes.extend_from_slice(&rest);
            prop_assert_eq!(decode(&Rules::all(), &bytes).unwrap(), (value, &rest[..]));
        }

        #[test]
        fn what_is_read_is_the_only_form(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok((value, rest)) = decode(&Rules::all(), &bytes) {
                prop_assert_eq!(&encode(value)[..], &bytes[..bytes.len() - rest.len()]);
            }
        }
    }
}
