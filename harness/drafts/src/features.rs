//! Feature bitmaps of BOLT 9.

/// Names of the features, each with the even bit of its pair. BOLT 9 and, for what the harness
/// meets on live nodes, bLIP 3.
pub const NAMES: &[(u32, &str)] = &[
    (0, "option_data_loss_protect"),
    (4, "option_upfront_shutdown_script"),
    (6, "gossip_queries"),
    (8, "var_onion_optin"),
    (10, "gossip_queries_ex"),
    (12, "option_static_remotekey"),
    (14, "payment_secret"),
    (16, "basic_mpp"),
    (18, "option_support_large_channel"),
    (22, "option_anchors"),
    (24, "option_route_blinding"),
    (26, "option_shutdown_anysegwit"),
    (28, "option_dual_fund"),
    (34, "option_quiesce"),
    (36, "option_attribution_data"),
    (38, "option_onion_messages"),
    (42, "option_provide_storage"),
    (44, "option_channel_type"),
    (46, "option_scid_alias"),
    (48, "option_payment_metadata"),
    (50, "option_zeroconf"),
    (54, "keysend"),
    (60, "option_simple_close"),
    (62, "option_splice"),
];

/// The bits that are set, ascending. Bit 0 is the lowest of the last byte.
pub fn bits(features: &[u8]) -> impl Iterator<Item = u64> + '_ {
    features.iter().rev().zip(0_u64..).flat_map(|(&byte, at)| {
        (0..8_u64)
            .filter(move |bit| byte >> bit & 1 == 1)
            .map(move |bit| at * 8 + bit)
    })
}

/// The name of the feature that a bit of either parity stands for.
pub fn name(bit: u64) -> Option<&'static str> {
    let even = u32::try_from(bit & !1).ok()?;
    NAMES
        .binary_search_by_key(&even, |(bit, _)| *bit)
        .ok()
        .map(|at| NAMES[at].1)
}

/// The lowest even bit that is set and not among `known`.
pub fn unknown_even(features: &[u8], known: &[u64]) -> Option<u64> {
    bits(features).find(|bit| bit % 2 == 0 && !known.contains(bit))
}

/// The shortest bitmap with these bits.
pub fn from_bits(bits: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let mut little: Vec<u8> = Vec::new();
    for bit in bits {
        let at = usize::from(bit / 8);
        if little.len() <= at {
            little.resize(at + 1, 0);
        }
        little[at] |= 1 << (bit % 8);
    }
    little.reverse();
    little
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn bits_count_from_the_end() {
        assert_eq!(bits(&[0x80, 0x01]).collect::<Vec<_>>(), [0, 15]);
        assert_eq!(bits(&[]).count(), 0);
        assert_eq!(name(55), Some("keysend"));
        assert_eq!(name(16), name(17));
        assert_eq!(name(122), None);
    }

    #[test]
    fn unknown_even_bits_are_found() {
        let features = from_bits([122, 17, 16]);
        assert_eq!(unknown_even(&features, &[]), Some(16));
        assert_eq!(unknown_even(&features, &[16]), Some(122));
        assert_eq!(unknown_even(&from_bits([123]), &[]), None);
        assert_eq!(unknown_even(&[0, 0], &[]), None);
    }

    #[test]
    fn the_table_is_sorted_for_the_search() {
        assert!(NAMES.is_sorted());
        assert!(NAMES.iter().all(|(bit, _)| bit % 2 == 0));
    }

    proptest! {
        #[test]
        fn a_set_of_bits_comes_back(set in prop::collection::btree_set(0_u16..2000, 0..20)) {
            let back: BTreeSet<u16> = bits(&from_bits(set.iter().copied())).map(|b| b as u16).collect();
            prop_assert_eq!(back, set);
        }
    }
}
