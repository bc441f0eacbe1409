//! The string form of BOLT 12: a prefix, `1`, data in the bech32 alphabet, no checksum.

use crate::rules::{self, Rules, Violation};

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Values of the alphabet by ASCII code; 255 for what is not in it.
const VALUES: [u8; 128] = {
    let mut values = [255; 128];
    let mut at = 0;
    while at < 32 {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// A decoded string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The human-readable prefix, in lower case.
    pub prefix: String,
    /// The data.
    pub bytes: Vec<u8>,
}

/// White space, for the reader of `+`. BOLT 12 speaks of an ASCII encoding and lists no
/// characters, so these are the six of ASCII.
fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Removes each `+` and the white space after it.
fn join(rules: &Rules, text: &str) -> Result<String, Violation> {
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('+') {
        joined.push_str(before);
        let after = after.trim_start_matches(is_white);
        let is_bech32 = |c: char| c.is_ascii_alphanumeric();
        let (left, right) = (before.chars().next_back(), after.chars().next());
        // BOLT 12, encoding, reader: only a `+` between two bech32 characters joins.
        rules.check(
            rules::ENCODING_PLUS,
            left.is_some_and(is_bech32) && right.is_some_and(is_bech32),
            || match (left, right) {
                (None, _) => "a + is at the start or follows another one".into(),
                (_, None) => "a + is at the end".into(),
                _ => "a + is not between two bech32 characters".into(),
            },
        )?;
        rest = after;
    }
    joined.push_str(rest);
    Ok(joined)
}

/// Decodes a string by the rules of the encoding alone.
///
/// With a rule off: mixed case is read as lower case; without a separator the first three
/// characters are the prefix; characters outside the alphabet are passed over; bits left over
/// are dropped.
///
/// # Errors
/// A [`Violation`] of a `bolt12/encoding/…` rule.
pub fn decode(rules: &Rules, text: &str) -> Result<Decoded, Violation> {
    let joined = join(rules, text)?;
    let upper = joined.bytes().any(|b| b.is_ascii_uppercase());
    let lower = joined.bytes().any(|b| b.is_ascii_lowercase());
    rules.check(rules::ENCODING_CASE, !(upper && lower), || {
        "upper and lower case are mixed".into()
    })?;
    let text = joined.to_ascii_lowercase();

    // The alphabet lacks `1`, so the last one is the separator.
    let separator = text.rfind('1').filter(|&at| at > 0);
    rules.check(rules::ENCODING_SEPARATOR, separator.is_some(), || {
        "there is no prefix followed by 1".into()
    })?;
    let (prefix, data) = match separator {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => text.split_at_checked(3).unwrap_or((&text, "")),
    };
    let data = match rules.mistaken(rules::ENCODING_NO_CHECKSUM, "six-characters-cut") {
        true => data.get(..data.len().saturating_sub(6)).unwrap_or_default(),
        false => data,
    };
    let odd = prefix.chars().find(|c| !c.is_ascii_alphanumeric());
    rules.check(rules::ENCODING_CHARSET, odd.is_none(), || {
        format!("{odd:?} in the prefix is no ASCII letter or digit")
    })?;

    let mut bytes = Vec::with_capacity(data.len() * 5 / 8);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for c in data.chars() {
        let value = u8::try_from(c)
            .ok()
            .and_then(|c| VALUES.get(usize::from(c)))
            .filter(|&&v| v < 32);
        rules.check(rules::ENCODING_CHARSET, value.is_some(), || {
            format!("{c:?} is not in the bech32 alphabet")
        })?;
        let Some(&value) = value else { continue };
        buffer = (buffer << 5 | u32::from(value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits & 0xff) as u8);
        }
    }
    // BIP 173, which "bech32-style" calls up: an incomplete group at the end has 4 bits at most,
    // and they are zero.
    rules.at_most(rules::ENCODING_PADDING, u64::from(bits), 4, || {
        format!("{bits} bits are left over at the end, more than 4")
    })?;
    rules.check(
        rules::ENCODING_PADDING_ZERO,
        buffer & ((1 << bits) - 1) == 0,
        || format!("the {bits} bits left over at the end are not zero"),
    )?;
    Ok(Decoded {
        prefix: prefix.to_owned(),
        bytes,
    })
}

/// Encodes `bytes` behind `prefix`, in lower case and without `+`.
pub fn encode(prefix: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(prefix.len() + 2 + bytes.len() * 8 / 5);
    text.push_str(prefix);
    text.push('1');
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    let mut push = |value: u32| text.push(char::from(ALPHABET[(value & 31) as usize]));
    for &byte in bytes {
        buffer = (buffer << 8 | u32::from(byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(buffer >> bits);
        }
    }
    if bits > 0 {
        push(buffer << (5 - bits));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(text: &str) -> Option<&'static str> {
        decode(&Rules::all(), text).err().map(|v| v.rule)
    }

    #[test]
    fn strings_are_read_in_either_case_and_joined() {
        let plain = encode("lno", &[1, 2, 3, 4, 5]);
        let want = decode(&Rules::all(), &plain).unwrap();
        assert_eq!(
            (want.prefix.as_str(), &want.bytes[..]),
            ("lno", &[1, 2, 3, 4, 5][..])
        );
        let upper = plain.to_uppercase();
        let (a, b) = plain.split_at(5);
        for text in [
            upper,
            format!("{a}+{b}"),
            format!("{a}+ \t\r\n\x0b\x0c{b}"),
            plain.replacen("l", "l+", 1),
        ] {
            assert_eq!(decode(&Rules::all(), &text).unwrap(), want, "{text:?}");
        }
    }

    #[test]
    fn each_rule_is_named_and_can_be_off() {
        for (text, id) in [
            ("lnoqqqqq", rules::ENCODING_SEPARATOR),
            ("1qqqqqqq", rules::ENCODING_SEPARATOR),
            ("", rules::ENCODING_SEPARATOR),
            ("lno1qbq", rules::ENCODING_CHARSET),
            ("lno1qqé", rules::ENCODING_CHARSET),
            ("ln-o1qq", rules::ENCODING_CHARSET),
            (" lno1qq", rules::ENCODING_CHARSET),
            ("lno1qq\u{a0}", rules::ENCODING_CHARSET),
            ("LnO1qq", rules::ENCODING_CASE),
            ("+lno1qq", rules::ENCODING_PLUS),
            ("lno1qq+", rules::ENCODING_PLUS),
            ("lno1qq+ ", rules::ENCODING_PLUS),
            ("lno1q++q", rules::ENCODING_PLUS),
            ("lno1q+ +q", rules::ENCODING_PLUS),
            ("lno1q+\u{a0}q", rules::ENCODING_PLUS),
            ("lno1q", rules::ENCODING_PADDING),
            ("lno1qqq", rules::ENCODING_PADDING),
            ("lno1qp", rules::ENCODING_PADDING_ZERO),
            ("lno1qqqqp", rules::ENCODING_PADDING_ZERO),
        ] {
            assert_eq!(rule(text), Some(id), "{text:?}");
            let off = Rules::all().without(id).unwrap();
            // A no-break space after a + is against two rules.
            if !text.contains("+\u{a0}") {
                assert!(decode(&off, text).is_ok(), "{text:?} without {id}");
            }
        }
        assert_eq!(rule("lno1"), None);
        assert_eq!(rule("lno1qqqqq"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: Vec<u8>) {
            let decoded = decode(&Rules::all(), &encode("lnr", &bytes)).unwrap();
            prop_assert_eq!(decoded, Decoded { prefix: "lnr".into(), bytes });
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(lno1)?[qpzry9x8+ A-Z1\\PC]{0,40}", which in 0..rules::ALL.len()) {
            let off = Rules::all().without(rules::ALL[which].id).unwrap();
            let _ = decode(&off, &text);
            if let Ok(decoded) = decode(&Rules::all(), &text)
                && !text.contains('+')
            {
                prop_assert_eq!(encode(&decoded.prefix, &decoded.bytes), text.to_lowercase());
            }
        }
    }
}
