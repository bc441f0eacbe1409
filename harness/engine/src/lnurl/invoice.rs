//! What a LNURL payer reads of a BOLT 11 invoice: network, amount, `h`, and whether it is for AMP.
//!
//! The rest, the signature included, is for the node that pays it.

use super::Check;
use super::encoding::Long;
use bech32::Fe32;
use bech32::primitives::decode::CheckedHrpstring;
use lnconform_protocol::OpError;

/// Longest invoice that is read, in characters.
const MAX_LENGTH: usize = 8192;
/// BOLT 11: the timestamp has 35 bits and the signature 520, in groups of 5.
const TIMESTAMP: usize = 7;
const SIGNATURE: usize = 104;
/// BOLT 11: `9` and `h` as groups; a hash has 52 groups.
const FEATURES: u8 = 5;
const DESCRIPTION_HASH: u8 = 23;
const HASH_GROUPS: usize = 52;
/// The feature of a reusable AMP invoice, as LND has it.
const AMP: usize = 30;

/// An invoice, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invoice {
    /// In millisatoshi; `None` leaves the amount to the payer.
    pub(super) amount_msat: Option<u64>,
    /// `h`.
    pub(super) description_hash: Option<[u8; 32]>,
    /// Feature bit 30 is set.
    pub(super) amp: bool,
}

/// Reads an invoice for regtest.
pub(super) fn read(text: &str) -> Result<Invoice, OpError> {
    let wrong = |what: &str| Check::Invoice.error(what);
    Check::Invoice.that(text.len() <= MAX_LENGTH, || {
        format!("{} characters are more than {MAX_LENGTH}", text.len())
    })?;
    let read = CheckedHrpstring::new::<Long>(text).map_err(|e| Check::Invoice.error(e))?;
    let prefix = read.hrp().to_lowercase();
    let amount = prefix
        .strip_prefix("lnbcrt")
        .ok_or_else(|| Check::Regtest.error(format_args!("the invoice begins with {prefix}")))?;
    let amount_msat = amount_msat(amount).ok_or_else(|| wrong("its amount is not one"))?;

    let groups: Vec<u8> = read
        .data_part_ascii_no_checksum()
        .iter()
        .filter_map(|&c| Fe32::from_char(char::from(c)).ok())
        .map(Fe32::to_u8)
        .collect();
    let fields = groups
        .len()
        .checked_sub(SIGNATURE)
        .and_then(|end| groups.get(TIMESTAMP..end))
        .ok_or_else(|| wrong("it is too short for a timestamp and a signature"))?;
    let mut invoice = Invoice {
        amount_msat,
        description_hash: None,
        amp: false,
    };
    let mut rest = fields;
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(*high) * 32 + usize::from(*low);
        let (value, next) = after
            .split_at_checked(length)
            .ok_or_else(|| wrong("a field is longer than the invoice"))?;
        match *kind {
            // BOLT 11, reader: an `h` of another length is passed over.
            DESCRIPTION_HASH if length == HASH_GROUPS => {
                invoice.description_hash.get_or_insert(hash(value));
            }
            // Big-endian: bit 0 is the lowest of the last group.
            FEATURES => {
                let group = value.iter().rev().nth(AMP / 5).copied().unwrap_or(0);
                invoice.amp = group >> (AMP % 5) & 1 == 1;
            }
            _ => {}
        }
        rest = next;
    }
    Check::Invoice.that(rest.is_empty(), || "its last field is cut off".to_owned())?;
    Ok(invoice)
}

/// The first 32 bytes of 52 groups.
fn hash(groups: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (i, &group) in groups.iter().enumerate() {
        for bit in 0..5 {
            let place = i * 5 + bit;
            if group >> (4 - bit) & 1 == 1
                && let Some(byte) = bytes.get_mut(place / 8)
            {
                *byte |= 0x80 >> (place % 8);
            }
        }
    }
    bytes
}

/// BOLT 11: digits and a multiplier, of bitcoin. `None` where it is neither that nor empty.
fn amount_msat(text: &str) -> Option<Option<u64>> {
    const MSAT_PER_BITCOIN: u64 = 100_000_000_000;
    if text.is_empty() {
        return Some(None);
    }
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, 'm') => (&text[..at], MSAT_PER_BITCOIN / 1_000),
        (at, 'u') => (&text[..at], MSAT_PER_BITCOIN / 1_000_000),
        (at, 'n') => (&text[..at], MSAT_PER_BITCOIN / 1_000_000_000),
        (at, 'p') => (&text[..at], 0),
        _ => (text, MSAT_PER_BITCOIN),
    };
    if digits.starts_with(['0', '+']) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        // A tenth of a millisatoshi: BOLT 11 wants the last digit to be 0.
        0 => number.is_multiple_of(10).then_some(Some(number / 10)),
        unit => number.checked_mul(unit).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, want) in [
            ("", Some(None)),
            ("1", Some(Some(100_000_000_000))),
            ("2500u", Some(Some(250_000_000))),
            ("20m", Some(Some(2_000_000_000))),
            ("500n", Some(Some(50_000))),
            ("9678785340p", Some(Some(967_878_534))),
            ("9678785341p", None),
            ("01u", None),
            ("0", None),
            ("+1u", None),
            ("u", None),
            ("1x", None),
            ("1uu", None),
            ("-1u", None),
            ("18446744073709551616n", None),
            ("999999999999m", None),
        ] {
            assert_eq!(amount_msat(text), want, "{text}");
        }
    }
}
