//! The two TLV namespaces that BOLT 1, appendix B, defines for its test vectors.

use crate::keys::Point;
use crate::rules::{Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::Reader;
use std::fmt;

/// A short channel id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortChannelId(pub u64);

impl fmt::Display for ShortChannelId {
    /// Block, transaction and output, such as `0x0x550`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(id) = self;
        write!(f, "{}x{}x{}", id >> 40, id >> 16 & 0xff_ffff, id & 0xffff)
    }
}

/// A stream of namespace n1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct N1 {
    /// All records, in stream order.
    pub records: Vec<Record>,
    /// Type 1: an amount in msat.
    pub tlv1: Option<u64>,
    /// Type 2.
    pub tlv2: Option<ShortChannelId>,
    /// Type 3: a node and two amounts in msat.
    pub tlv3: Option<(Point, u64, u64)>,
    /// Type 254: a CLTV delta in blocks.
    pub tlv4: Option<u16>,
}

/// Reads a stream of namespace n1.
///
/// # Errors
/// A [`Violation`] of a `bolt01/tlv/…` or `bolt01/types/…` rule.
pub fn n1(rules: &Rules, stream: &[u8]) -> Result<N1, Violation> {
    let records = tlv::decode(rules, stream, |kind| matches!(kind, 1 | 2 | 3 | 254))?;
    let mut n1 = N1::default();
    for record in &records {
        let value = |name| Reader::new(rules, name, &record.value);
        match record.kind {
            1 => n1.tlv1 = Some(value("tlv1").tu64()?),
            2 => {
                let mut value = value("tlv2");
                n1.tlv2 = Some(ShortChannelId(value.u64()?));
                value.end()?;
            }
            3 => {
                let mut value = value("tlv3");
                // The length first: a value that is too short is no case of a bad point.
                n1.tlv3 = Some((value.array()?, value.u64()?, value.u64()?));
                value.end()?;
                Reader::new(rules, "tlv3", &record.value).point()?;
            }
            254 => {
                let mut value = value("tlv4");
                n1.tlv4 = Some(value.u16()?);
                value.end()?;
            }
            _ => {}
        }
    }
    Ok(N1 { records, ..n1 })
}

/// A stream of namespace n2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct N2 {
    /// All records, in stream order.
    pub records: Vec<Record>,
    /// Type 0: an amount in msat.
    pub tlv1: Option<u64>,
    /// Type 11: a CLTV expiry, as a block height.
    pub tlv2: Option<u32>,
}

/// Reads a stream of namespace n2.
///
/// # Errors
/// A [`Violation`] of a `bolt01/tlv/…` rule.
pub fn n2(rules: &Rules, stream: &[u8]) -> Result<N2, Violation> {
    let records = tlv::decode(rules, stream, |kind| matches!(kind, 0 | 11))?;
    let mut n2 = N2::default();
    for record in &records {
        match record.kind {
            0 => n2.tlv1 = Some(Reader::new(rules, "tlv1", &record.value).tu64()?),
            11 => n2.tlv2 = Some(Reader::new(rules, "tlv2", &record.value).tu32()?),
            _ => {}
        }
    }
    Ok(N2 { records, ..n2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;
    use proptest::prelude::*;

    #[test]
    fn a_short_channel_id_shows_its_parts() {
        assert_eq!(ShortChannelId(550).to_string(), "0x0x550");
        assert_eq!(ShortChannelId(0x0000_0100_0002_0003).to_string(), "1x2x3");
        assert_eq!(
            ShortChannelId(u64::MAX).to_string(),
            "16777215x16777215x65535"
        );
    }

    #[test]
    fn fields_are_read_and_odd_types_kept() {
        let n1 = n1(
            &Rules::all(),
            &[1, 2, 1, 0, 0x21, 0, 0xfd, 0, 0xfe, 2, 2, 0x26],
        )
        .unwrap();
        assert_eq!(
            (n1.tlv1, n1.tlv4, n1.records.len()),
            (Some(256), Some(550), 3)
        );
        let n2 = n2(&Rules::all(), &[0, 1, 9, 11, 0]).unwrap();
        assert_eq!((n2.tlv1, n2.tlv2), (Some(9), Some(0)));
    }

    #[test]
    fn values_are_refused_by_name() {
        for (stream, want) in [
            (&[1, 1, 0][..], rules::TLV_VALUE_MINIMAL),
            (&[1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1], rules::TLV_VALUE_LENGTH),
            (&[2, 1, 0], rules::TLV_VALUE_LENGTH),
            (&[2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0], rules::TLV_VALUE_LENGTH),
            (&[0, 0], rules::TLV_UNKNOWN_EVEN),
        ] {
            assert_eq!(
                n1(&Rules::all(), stream).unwrap_err().rule,
                want,
                "{stream:?}"
            );
        }
        let bad_point = [&[3, 49, 4][..], &[0; 48]].concat();
        assert_eq!(
            n1(&Rules::all(), &bad_point).unwrap_err().rule,
            rules::TYPES_POINT
        );
        assert!(
            n1(
                &Rules::all().without(rules::TYPES_POINT).unwrap(),
                &bad_point
            )
            .is_ok()
        );
        assert_eq!(
            n2(&Rules::all(), &[11, 5, 1, 1, 1, 1, 1]).unwrap_err().rule,
            rules::TLV_VALUE_LENGTH
        );
    }

    proptest! {
        #[test]
        fn any_stream_is_read_or_refused(stream in prop::collection::vec(any::<u8>(), 0..80), which in 0..rules::ALL.len()) {
            let off = Rules::all().without(rules::ALL[which].id).unwrap();
            for rules in [Rules::all(), off] {
                let _ = (n1(&rules, &stream), n2(&rules, &stream));
            }
        }
    }
}
