//! Numbers modulo the order of secp256k1.
//!
//! All arithmetic is libsecp256k1's, through the tweaks of secret keys; what stands here is only
//! the zero, which is no secret key, and the reduction of a hash.

use crate::keys::SECP;
use bitcoin::secp256k1::constants::CURVE_ORDER;
use bitcoin::secp256k1::{PublicKey, Scalar as Tweak, SecretKey};
use std::fmt;

/// A number modulo the group order, 32 bytes big-endian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scalar([u8; 32]);

impl Scalar {
    /// Zero.
    pub const ZERO: Self = Self([0; 32]);
    /// One.
    pub const ONE: Self = {
        let mut bytes = [0; 32];
        bytes[31] = 1;
        Self(bytes)
    };

    /// The number that 32 bytes write; `None` at or beyond the group order.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        // Both are big-endian and of one length, so their order is that of the numbers.
        (bytes < CURVE_ORDER).then_some(Self(bytes))
    }

    /// A hash modulo the group order.
    pub fn reduce(hash: [u8; 32]) -> Self {
        if hash < CURVE_ORDER {
            return Self(hash);
        }
        // Twice the order is beyond 2^256, so once is enough.
        let mut bytes = [0; 32];
        let mut borrow = false;
        for i in (0..32).rev() {
            let (low, first) = hash[i].overflowing_sub(CURVE_ORDER[i]);
            let (low, second) = low.overflowing_sub(u8::from(borrow));
            bytes[i] = low;
            borrow = first || second;
        }
        Self(bytes)
    }

    /// Its 32 bytes, big-endian.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// As a secret key; `None` for zero.
    pub fn secret_key(self) -> Option<SecretKey> {
        SecretKey::from_slice(&self.0).ok()
    }

    /// Its multiple of the generator; `None` for zero.
    pub fn point(self) -> Option<PublicKey> {
        Some(self.secret_key()?.public_key(&SECP))
    }

    /// Its multiple of `point`; `None` for zero.
    pub fn times(self, point: &PublicKey) -> Option<PublicKey> {
        point.mul_tweak(&SECP, &self.tweak()).ok()
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match self.secret_key() {
            None => other,
            // The one sum that is no secret key is zero.
            Some(key) => key.add_tweak(&other.tweak()).map_or(Self::ZERO, Self::from),
        }
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// The product.
    #[must_use]
    pub fn by(self, other: Self) -> Self {
        // The one product that is no secret key is zero.
        self.secret_key()
            .and_then(|key| key.mul_tweak(&other.tweak()).ok())
            .map_or(Self::ZERO, Self::from)
    }

    /// What makes zero with it.
    #[must_use]
    pub fn negated(self) -> Self {
        self.secret_key()
            .map_or(Self::ZERO, |key| Self::from(key.negate()))
    }

    /// Negated if `odd`: the scalar of the point with the even y coordinate.
    #[must_use]
    pub fn negated_if(self, odd: bool) -> Self {
        if odd { self.negated() } else { self }
    }

    /// What makes one with it; `None` for zero.
    pub fn inverse(self) -> Option<Self> {
        if self.is_zero() {
            return None;
        }
        // Fermat: the power of the order less two. The order is odd and ends in 0x41.
        let mut exponent = CURVE_ORDER;
        exponent[31] -= 2;
        let bits = exponent
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
        Some(bits.fold(Self::ONE, |power, bit| {
            let square = power.by(power);
            if bit { square.by(self) } else { square }
        }))
    }

    fn tweak(self) -> Tweak {
        // Every value of this type is below the order.
        Tweak::from_be_bytes(self.0).unwrap_or(Tweak::ZERO)
    }
}

impl From<SecretKey> for Scalar {
    fn from(key: SecretKey) -> Self {
        Self(key.secret_bytes())
    }
}

/// Nothing of the value: most of them are secrets.
impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scalar(…)")
    }
}

/// Solves linear equations for one unknown: `rows` are the factors of the unknowns and, last, the
/// sum. `None` where the equations leave the unknown in column `wanted` open or contradict
/// each other.
///
/// Every row has the same number of columns, two at least; a ragged one counts as contradictory.
pub fn solve(mut rows: Vec<Vec<Scalar>>, wanted: usize) -> Option<Scalar> {
    let width = rows.first()?.len();
    if wanted + 1 >= width || rows.iter().any(|row| row.len() != width) {
        return None;
    }
    let mut done = 0;
    for column in 0..width - 1 {
        let Some(found) = (done..rows.len()).find(|&r| !rows[r][column].is_zero()) else {
            continue;
        };
        rows.swap(done, found);
        let inverse = rows[done][column].inverse()?;
        let pivot: Vec<Scalar> = rows[done].iter().map(|cell| cell.by(inverse)).collect();
        for (r, row) in rows.iter_mut().enumerate() {
            let factor = row[column];
            if r != done && !factor.is_zero() {
                for (cell, p) in row.iter_mut().zip(&pivot) {
                    *cell = cell.minus(factor.by(*p));
                }
            }
        }
        rows[done] = pivot;
        done += 1;
    }
    // Nothing is left that says "zero is something else".
    if rows[done..].iter().any(|row| !row[width - 1].is_zero()) {
        return None;
    }
    rows.iter()
        .find(|row| {
            row[..width - 1]
                .iter()
                .enumerate()
                .all(|(column, cell)| cell.is_zero() != (column == wanted))
        })
        .map(|row| row[width - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small(n: u8) -> Scalar {
        let mut bytes = [0; 32];
        bytes[31] = n;
        Scalar(bytes)
    }

    fn scalars() -> impl Strategy<Value = Scalar> {
        prop_oneof![
            any::<[u8; 32]>().prop_map(Scalar::reduce),
            (0u8..4).prop_map(small),
            (0u8..4).prop_map(|n| small(n).negated()),
        ]
    }

    #[test]
    fn a_hash_is_reduced_by_the_order_once() {
        assert_eq!(Scalar::reduce(CURVE_ORDER), Scalar::ZERO);
        assert_eq!(Scalar::from_bytes(CURVE_ORDER), None);
        let mut one_more = CURVE_ORDER;
        one_more[31] += 1;
        assert_eq!(Scalar::reduce(one_more), Scalar::ONE);
        let mut last = CURVE_ORDER;
        last[31] -= 1;
        assert_eq!(Scalar::reduce(last), Scalar::ONE.negated());
        assert_eq!(Scalar::from_bytes(last), Some(Scalar::ONE.negated()));
        // 2^256 - 1 - n, from the order's published value.
        let top = Scalar::reduce([0xff; 32]).to_bytes();
        let known = [
            1, 0x45, 0x51, 0x23, 0x19, 0x50, 0xb7, 0x5f, 0xc4, 0x40, 0x2d, 0xa1, 0x73, 0x2f, 0xc9,
            0xbe, 0xbe,
        ];
        assert_eq!(top[..15], [0; 15]);
        assert_eq!(top[15..], known);
    }

    #[test]
    fn small_numbers_behave() {
        assert_eq!(small(2).plus(small(3)), small(5));
        assert_eq!(small(2).minus(small(3)), Scalar::ONE.negated());
        assert_eq!(small(2).by(small(3)), small(6));
        assert_eq!(small(2).minus(small(2)), Scalar::ZERO);
        assert_eq!(Scalar::ZERO.negated(), Scalar::ZERO);
        assert_eq!(Scalar::ZERO.by(small(3)), Scalar::ZERO);
        assert_eq!(small(3).by(Scalar::ZERO), Scalar::ZERO);
        assert_eq!(Scalar::ZERO.inverse(), None);
        assert_eq!(Scalar::ZERO.point(), None);
        assert_eq!(small(2).inverse().unwrap().by(small(2)), Scalar::ONE);
    }

    #[test]
    fn equations_are_solved_only_where_they_determine() {
        let row = |cells: &[u8]| cells.iter().map(|n| small(*n)).collect::<Vec<_>>();
        // x + 2y = 8, 3x + y = 9.
        let two = vec![row(&[1, 2, 8]), row(&[3, 1, 9])];
        assert_eq!(solve(two.clone(), 0), Some(small(2)));
        assert_eq!(solve(two, 1), Some(small(3)));
        assert_eq!(solve(vec![row(&[1, 2, 8])], 0), None);
        // The same equation twice says no more than once.
        assert_eq!(solve(vec![row(&[1, 2, 8]), row(&[2, 4, 16])], 0), None);
        assert_eq!(solve(vec![row(&[1, 2, 8]), row(&[1, 2, 9])], 0), None);
        // An unknown of its own leaves the other ones open, or not.
        assert_eq!(solve(vec![row(&[1, 0, 8])], 0), Some(small(8)));
        assert_eq!(solve(vec![row(&[1, 0, 8])], 1), None);
        assert_eq!(solve(vec![], 0), None);
        assert_eq!(solve(vec![row(&[1, 8])], 1), None);
        assert_eq!(solve(vec![row(&[1, 0, 8]), row(&[1])], 0), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_is_a_field(a in scalars(), b in scalars(), c in scalars()) {
            prop_assert_eq!(a.plus(b), b.plus(a));
            prop_assert_eq!(a.by(b), b.by(a));
            prop_assert_eq!(a.plus(b).plus(c), a.plus(b.plus(c)));
            prop_assert_eq!(a.plus(b).by(c), a.by(c).plus(b.by(c)));
            prop_assert_eq!(a.minus(a), Scalar::ZERO);
            match a.inverse() {
                None => prop_assert!(a.is_zero()),
                Some(inverse) => prop_assert_eq!(a.by(inverse), Scalar::ONE),
            }
        }
    }
}
