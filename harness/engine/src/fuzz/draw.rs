//! Draws by the seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The draws for one input. Each input has a stream of its own, so that it depends on the seed and
/// its number alone, and not on what was drawn for others.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The draws for input `number` of a seed.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut source = ChaCha8Rng::seed_from_u64(seed);
        source.set_stream(number);
        Self(source)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // The bias is 2^-32 at the most for what is drawn here.
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.0.next_u64() % end).unwrap_or_default()
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`, which has at least one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.0.next_u64().to_le_bytes()[0]
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// Any number, small and extreme ones more often.
    pub fn number(&mut self) -> u64 {
        const EDGES: [u64; 12] = [
            0,
            1,
            2,
            0xff,
            0x100,
            0xffff_ffff,
            0x1_0000_0000,
            2_099_999_999_999_999_999,
            2_100_000_000_000_000_000,
            2_100_000_000_000_000_001,
            u64::MAX - 1,
            u64::MAX,
        ];
        match self.below(3) {
            0 => *self.pick(&EDGES),
            1 => u64::from(self.byte()),
            _ => {
                let shift = self.below(64);
                self.0.next_u64() >> shift
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_the_seed_and_the_number_alone() {
        let draws = |seed, number| Draw::new(seed, number).bytes(8);
        assert_eq!(draws(1, 2), draws(1, 2));
        assert_ne!(draws(1, 2), draws(1, 3));
        assert_ne!(draws(1, 2), draws(2, 2));
        // The same on every machine: a find is named by seed and number.
        let mut draw = Draw::new(1, 0);
        let first: Vec<usize> = (0..4).map(|_| draw.below(10)).collect();
        let again: Vec<usize> = {
            let mut draw = Draw::new(1, 0);
            (0..4).map(|_| draw.below(10)).collect()
        };
        assert_eq!(first, again);
    }

    #[test]
    fn bounds_are_kept() {
        let mut draw = Draw::new(7, 7);
        assert!((0..1000).all(|_| draw.below(3) < 3));
        assert_eq!(draw.below(0), 0);
        let hits = (0..1000).filter(|_| draw.one_in(4)).count();
        assert!((150..350).contains(&hits), "{hits}");
    }
}
