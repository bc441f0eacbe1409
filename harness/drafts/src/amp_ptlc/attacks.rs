//! What the parties of a set can put together, from what they have been told and what was revealed.
//!
//! That these ways fail is a demonstration. That every other one fails too is the security of
//! Schnorr signatures and of the hash.

use super::{bound_root, child, root, shard_lock};
use crate::keys::{Point, PublicKey};
use crate::point_lock::attacks::{Recovery, Reveal, recover};
use crate::point_lock::{self, Lock, NoncePoints, PointLockError, Scalar};

/// One way to open shards, and how many it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// How it is made.
    pub how: &'static str,
    /// How many of the locks it opens.
    pub opens: usize,
}

/// A shard as it waits at the last hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its share.
    pub share: [u8; 32],
    /// Its index.
    pub child_index: u32,
    /// Its lock at the last hop.
    pub lock: Point,
    /// Sum of the route's tweaks.
    pub tweak: Scalar,
}

fn is(scalar: Scalar, lock: &Point) -> bool {
    scalar
        .point()
        .is_some_and(|point| point.serialize() == *lock)
}

/// What a dishonest recipient does with the shards that are there, when others are missing or were
/// altered: it knows `s` and everything that came with these shards.
pub fn on_incomplete(s: Scalar, commitment: &[u8; 32], there: &[Waiting]) -> Vec<Try> {
    let came = root(there.iter().map(|shard| &shard.share));
    let bound = bound_root(commitment);
    let count = |how, of: &dyn Fn(&Waiting) -> Scalar| Try {
        how,
        opens: there
            .iter()
            .filter(|shard| is(s.plus(of(shard)).plus(shard.tweak), &shard.lock))
            .count(),
    };
    let under = |root: &[u8; 32], shard: &Waiting| child(root, &shard.share, shard.child_index);
    vec![
        count("its signature alone", &|_| Scalar::ZERO),
        count("the root of the shares that came", &|shard| {
            under(&came, shard)
        }),
        count("the share as the root", &|shard| under(&shard.share, shard)),
        count("a root of zeros", &|shard| under(&[0; 32], shard)),
        count("the root that the commitment gives", &|shard| {
            under(&bound, shard)
        }),
    ]
}

/// What an earlier payment on the same entry left with the LSP, its payer taking part: the lock and
/// what opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The lock of that payment.
    pub lock: Lock,
    /// `s` of it.
    pub s: Scalar,
}

/// What an LSP does with shards that it should pass on: it knows `s` of earlier payments and is
/// even told children and tweaks of this one, which is more than it would ever have. Only where an
/// earlier payment had the same lock, so that it was the same payer's, it is not: who gives away
/// both `s` and the children gives away its own funds.
///
/// # Errors
/// [`PointLockError::NoPoint`] where a shard's lock cancels out.
pub fn on_shards(
    lock: &Lock,
    children: &[Scalar],
    known: &[Known],
) -> Result<Vec<Try>, PointLockError> {
    let targets = children
        .iter()
        .map(|child| shard_lock(&lock.point, *child))
        .collect::<Result<Vec<PublicKey>, _>>()?;
    let count = |how, guess: &dyn Fn(&Known) -> Option<Scalar>| Try {
        how,
        opens: children
            .iter()
            .zip(&targets)
            .filter(|(child, target)| {
                let others = known.iter().filter(|k| k.lock.point != lock.point);
                others.filter_map(guess).any(|s| {
                    s.plus(**child)
                        .point()
                        .is_some_and(|point| point == **target)
                })
            })
            .count(),
    };
    Ok(vec![
        Try {
            how: "the children alone",
            opens: children
                .iter()
                .zip(&targets)
                .filter(|(child, target)| child.point().as_ref() == Some(target))
                .count(),
        },
        Try {
            how: "the earlier opening, without the children",
            opens: targets
                .iter()
                .filter(|target| known.iter().any(|k| k.s.point().as_ref() == Some(target)))
                .count(),
        },
        count("the earlier opening", &|k| Some(k.s)),
        count("the earlier opening, moved to the new challenge", &|k| {
            Some(k.s.plus(lock.challenge).minus(k.lock.challenge))
        }),
        count("the earlier opening, scaled to the new challenge", &|k| {
            Some(k.s.by(lock.challenge).by(k.lock.challenge.inverse()?))
        }),
        count("the earlier opening, scaled to the new coefficient", &|k| {
            Some(k.s.by(lock.coefficient).by(k.lock.coefficient.inverse()?))
        }),
    ])
}

/// How many locks of a set are opened by what settled another shard of it: what a node that stands
/// in both routes could take before the recipient does.
pub fn opened_by_others(locks: &[Point], scalars: &[Scalar]) -> usize {
    let others = |at: usize| scalars.iter().enumerate().filter(move |(i, _)| *i != at);
    locks
        .iter()
        .enumerate()
        .filter(|(at, lock)| others(*at).any(|(_, scalar)| is(*scalar, lock)))
        .count()
}

/// One settled shard as its payer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The message that the set was locked to.
    pub message: [u8; 32],
    /// The entry's nonce points.
    pub nonces: NoncePoints,
    /// The shard's child scalar.
    pub child: Scalar,
    /// What opened the shard's lock, less the route's tweaks.
    pub scalar: Scalar,
}

/// What all settled shards of a recipient that keeps no marks are worth to their payers together.
///
/// Shards of one set are one equation: the children are known, and what is left is the same `s`.
///
/// # Errors
/// As [`point_lock::lock`].
pub fn from_settled(
    recipient: &PublicKey,
    settled: &[Settled],
) -> Result<Recovery, PointLockError> {
    let mut reveals: Vec<Reveal> = Vec::new();
    for shard in settled {
        let lock = point_lock::lock(recipient, &shard.nonces, &shard.message)?;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&lock.nonce_x());
        signature[32..].copy_from_slice(&shard.scalar.minus(shard.child).to_bytes());
        let reveal = Reveal {
            message: shard.message,
            points: vec![shard.nonces.r1, shard.nonces.r2],
            signature,
        };
        if !reveals.contains(&reveal) {
            reveals.push(reveal);
        }
    }
    recover(recipient, &reveals)
}
