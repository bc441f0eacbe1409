//! LND's names for failures, and their numbers.

/// BOLT 4, failure messages: onion unparsable.
const BADONION: u16 = 0x8000;
/// Permanent.
const PERM: u16 = 0x4000;
/// The node, not the channel.
const NODE: u16 = 0x2000;
/// With a channel update.
const UPDATE: u16 = 0x1000;

/// `lnrpc.Failure.FailureCode` to the number of BOLT 4 (Onion Routing Protocol, Failure Messages),
/// flags included. Codes 16, 17 and `PERM|16` have left the text, but LND still knows them.
const CODES: [(&str, u16); 25] = [
    ("INVALID_REALM", PERM | 1),
    ("TEMPORARY_NODE_FAILURE", NODE | 2),
    ("PERMANENT_NODE_FAILURE", PERM | NODE | 2),
    ("REQUIRED_NODE_FEATURE_MISSING", PERM | NODE | 3),
    ("INVALID_ONION_VERSION", BADONION | PERM | 4),
    ("INVALID_ONION_HMAC", BADONION | PERM | 5),
    ("INVALID_ONION_KEY", BADONION | PERM | 6),
    ("TEMPORARY_CHANNEL_FAILURE", UPDATE | 7),
    ("PERMANENT_CHANNEL_FAILURE", PERM | 8),
    ("REQUIRED_CHANNEL_FEATURE_MISSING", PERM | 9),
    ("UNKNOWN_NEXT_PEER", PERM | 10),
    ("AMOUNT_BELOW_MINIMUM", UPDATE | 11),
    ("FEE_INSUFFICIENT", UPDATE | 12),
    ("INCORRECT_CLTV_EXPIRY", UPDATE | 13),
    ("EXPIRY_TOO_SOON", UPDATE | 14),
    ("INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS", PERM | 15),
    ("INCORRECT_PAYMENT_AMOUNT", PERM | 16),
    ("FINAL_EXPIRY_TOO_SOON", 17),
    ("FINAL_INCORRECT_CLTV_EXPIRY", 18),
    ("FINAL_INCORRECT_HTLC_AMOUNT", 19),
    ("CHANNEL_DISABLED", UPDATE | 20),
    ("EXPIRY_TOO_FAR", 21),
    ("INVALID_ONION_PAYLOAD", PERM | 22),
    ("MPP_TIMEOUT", 23),
    ("INVALID_ONION_BLINDING", BADONION | PERM | 24),
];

/// The number of a failure that LND names; `None` for its own (`UNREADABLE_FAILURE`, …).
pub(crate) fn number(name: &str) -> Option<u16> {
    CODES
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, code)| *code)
}

/// LND's name for a number.
pub(crate) fn name(number: u16) -> Option<&'static str> {
    CODES.iter().find(|(_, n)| *n == number).map(|(n, _)| *n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_bolt_4() {
        for (name, want) in [
            ("INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS", 0x400f),
            ("INVALID_ONION_BLINDING", 0xc018),
            ("INVALID_ONION_VERSION", 0xc004),
            ("TEMPORARY_CHANNEL_FAILURE", 0x1007),
            ("UNKNOWN_NEXT_PEER", 0x400a),
            ("REQUIRED_NODE_FEATURE_MISSING", 0x6003),
            ("TEMPORARY_NODE_FAILURE", 0x2002),
            ("MPP_TIMEOUT", 23),
            ("INVALID_ONION_PAYLOAD", 0x4016),
        ] {
            assert_eq!(number(name), Some(want), "{name}");
            assert_eq!(super::name(want), Some(name));
        }
        for own in [
            "RESERVED",
            "INTERNAL_FAILURE",
            "UNKNOWN_FAILURE",
            "UNREADABLE_FAILURE",
        ] {
            assert_eq!(number(own), None, "{own}");
        }
    }

    #[test]
    fn each_number_has_one_name() {
        let mut numbers: Vec<u16> = CODES.iter().map(|(_, n)| *n).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), CODES.len());
    }
}
