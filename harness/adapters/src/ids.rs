//! Request ids: random to look at, never reused, and readable backwards.

use lnconform_protocol::MAX_ID;

const MASK: u64 = MAX_ID - 1;
const M1: u64 = 0x9e37_79b9_7f4a_7c15;
const M2: u64 = 0xbf58_476d_1ce4_e5b9;
/// More than half of the 53 bits, which makes `x ^ x >> SHIFT` its own inverse.
const SHIFT: u32 = 27;

/// The inverse of an odd number modulo 2^64 (Newton's method doubles the right bits each time).
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

/// Maps the counter of a request to its id and back, one-to-one below 2^53.
///
/// Being one-to-one, no id is used twice, and an id that comes back tells without any table
/// whether it was ever asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    key: u64,
}

impl Ids {
    /// Ids of one process: the run's seed, and which of the run's processes it is.
    pub(crate) fn new(seed: u64, life: u64) -> Self {
        // splitmix64, so that neighbouring seeds have nothing in common.
        let mut z = seed.wrapping_add(life.wrapping_add(1).wrapping_mul(M1));
        z = (z ^ (z >> 30)).wrapping_mul(M2);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self {
            key: (z ^ (z >> 31)) & MASK,
        }
    }

    /// The id of request number `counter`, which is below 2^53.
    pub(crate) fn id(self, counter: u64) -> u64 {
        let mut x = (counter ^ self.key) & MASK;
        x = x.wrapping_mul(M1) & MASK;
        x ^= x >> SHIFT;
        x = x.wrapping_mul(M2) & MASK;
        x ^ x >> SHIFT
    }

    /// The counter whose id this is; `None` when it is no id at all.
    pub(crate) fn counter(self, id: u64) -> Option<u64> {
        if id > MASK {
            return None;
        }
        let mut x = id ^ id >> SHIFT;
        x = x.wrapping_mul(const { inverse(M2) }) & MASK;
        x ^= x >> SHIFT;
        x = x.wrapping_mul(const { inverse(M1) }) & MASK;
        Some(x ^ self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_leads_back_to_its_counter(seed: u64, life in 0u64..5, counter in 0..MAX_ID) {
            let ids = Ids::new(seed, life);
            let id = ids.id(counter);
            prop_assert!(id < MAX_ID);
            prop_assert_eq!(ids.counter(id), Some(counter));
        }
    }

    #[test]
    fn neighbours_of_an_id_were_not_asked() {
        let ids = Ids::new(1, 0);
        for counter in 0..1000 {
            let id = ids.id(counter);
            for near in [id.wrapping_sub(1), id + 1, counter] {
                assert!(ids.counter(near).is_none_or(|c| c > 1_000_000), "{near}");
            }
        }
        assert_eq!(ids.counter(MAX_ID), None);
        assert_ne!(ids.id(0), Ids::new(2, 0).id(0));
        assert_ne!(ids.id(0), Ids::new(1, 1).id(0));
    }
}
