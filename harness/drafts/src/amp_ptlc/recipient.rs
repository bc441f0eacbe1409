//! The recipient of a set: what it asks before it reveals a scalar, and what it writes down first.

use super::{Result, binds_root, child, commitment, message, root, set_digest, shard_lock, terms};
use super::{Terms, twins};
use crate::keys::{self, Point};
use crate::point_lock::recipient::{self, Mark, Marks, Names, mark_before_reveal};
use crate::point_lock::{PointLockError, Scalar, lock, opening, route_locks};
use crate::rules::{self, Rules};

const NAMES: Names = Names {
    entry_known: rules::AIT_POINT_ENTRY_KNOWN,
    expiry: rules::AIT_POINT_REDEEM_EXPIRY,
    amount: rules::AIT_POINT_AMOUNT,
    amount_excess: rules::AIT_POINT_AMOUNT_EXCESS,
    time_past: rules::AIT_POINT_TIME_PAST,
    time_future: rules::AIT_POINT_TIME_FUTURE,
    entry_unused: rules::AIT_POINT_ENTRY_UNUSED,
    mark: rules::AIT_POINT_MARK,
};

/// One shard that has arrived and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// Which entry of the pool the payer used.
    pub entry: u32,
    /// The request's bytes.
    pub request: &'a [u8],
    /// This shard's share of the root.
    pub share: [u8; 32],
    /// Tells the children of one share apart.
    pub child_index: u32,
    /// The lock of the last hop.
    pub lock: Point,
    /// Sum of the route's tweaks.
    pub tweak: Scalar,
    /// What it brings, in msat.
    pub received_msat: u64,
}

/// What is revealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// What opens the lock of each shard, in the order in which they were given.
    pub scalars: Vec<Scalar>,
    /// The mark that was written before, or found. Its `lock` is the [`set_digest`].
    pub mark: Mark<[u8; 32]>,
    /// The set had been marked before.
    pub resumed: bool,
}

/// A recipient, its pool and the payment address of its reusable invoice.
#[derive(Clone)]
pub struct Recipient<'a> {
    /// Key, chain, nonces and policy.
    pub own: recipient::Recipient<'a>,
    /// Payment address.
    pub payment_addr: [u8; 32],
}

impl Recipient<'_> {
    /// The message that the recipient would sign for a request.
    pub fn message(&self, terms: &Terms) -> [u8; 32] {
        let key = keys::public(&self.own.secret);
        message(&commitment(
            &self.own.chain_hash,
            &key,
            &self.payment_addr,
            &terms.request,
        ))
    }

    /// Decides on a set at `now` (seconds since 1970), marks its entry and reveals the scalars.
    ///
    /// Request and entry of the first shard count where the rules that compare them are off. With
    /// `entry-known` off, an index beyond the pool counts from its beginning again. An error is the
    /// whole set returned: nothing has been revealed.
    ///
    /// # Errors
    /// `amp-tunnel/point-lock/request`, `…/same-request`, `…/same-entry`, `…/root-free`,
    /// `…/entry-known`, `…/redeem-expiry`, `…/set-distinct`, `…/lock`, `…/amount`,
    /// `…/amount-excess`, `…/time-past`, `…/time-future`, `…/entry-unused`,
    /// `…/mark-before-reveal`; [`PointLockError::NoPoint`], [`PointLockError::NoShards`].
    pub fn redeem(
        &self,
        rules: &Rules,
        shards: &[Incoming<'_>],
        now: u64,
        marks: &mut impl Marks<[u8; 32]>,
    ) -> Result<Redeemed> {
        let first = shards.first().ok_or(PointLockError::NoShards)?;
        let terms = terms(rules, first.request)?;
        rules.check(
            rules::AIT_POINT_SAME_REQUEST,
            shards.iter().all(|shard| shard.request == first.request),
            || "the shards of the set bring different requests".into(),
        )?;
        rules.check(
            rules::AIT_POINT_SAME_ENTRY,
            shards.iter().all(|shard| shard.entry == first.entry),
            || "the shards of the set name different entries".into(),
        )?;
        rules.check(rules::AIT_POINT_ROOT_FREE, !binds_root(&terms), || {
            "the request binds the root, which one shard would then give away".into()
        })?;
        let nonces = self.own.entry(rules, &NAMES, first.entry, now)?;

        let root = root(shards.iter().map(|shard| &shard.share));
        let children: Vec<Scalar> = shards
            .iter()
            .map(|shard| child(&root, &shard.share, shard.child_index))
            .collect();
        let twin = twins(&children);
        rules.check(rules::AIT_POINT_SET_DISTINCT, twin.is_none(), || {
            let (a, b) = twin.unwrap_or_default();
            format!("shards {a} and {b} of the set have one share and one index")
        })?;
        let key = keys::public(&self.own.secret);
        let message = self.message(&terms);
        let point = lock(&key, &nonces.points(), &message)?.point;
        for (at, (shard, child)) in shards.iter().zip(&children).enumerate() {
            let last = route_locks(&shard_lock(&point, *child)?, &[shard.tweak])?;
            rules.check(
                rules::AIT_POINT_LOCK,
                last.iter().any(|lock| lock.serialize() == shard.lock),
                || {
                    format!(
                        "the lock of shard {at} is not the one of this entry, request, set and \
                         route; a share is missing or was altered, or the lock is another's"
                    )
                },
            )?;
        }

        let received_msat = shards
            .iter()
            .fold(0u64, |sum, shard| sum.saturating_add(shard.received_msat));
        self.own
            .amount_and_time(rules, &NAMES, &terms, received_msat, now)?;
        let locks: Vec<Point> = shards.iter().map(|shard| shard.lock).collect();
        let mark = Mark {
            index: first.entry,
            message,
            lock: set_digest(&locks),
        };
        let resumed = mark_before_reveal(rules, &NAMES, mark, marks)?;
        let s = opening(&self.own.secret, nonces, &message)?;
        let scalars = shards
            .iter()
            .zip(&children)
            .map(|(shard, child)| s.plus(*child).plus(shard.tweak))
            .collect();
        Ok(Redeemed {
            scalars,
            mark,
            resumed,
        })
    }
}
