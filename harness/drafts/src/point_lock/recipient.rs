//! The recipient: what it asks before it reveals a scalar, and what it writes down first.

use super::{
    NoncePair, PointLockError, Result, Scalar, Terms, commitment, lock, message, opening, terms,
};
use crate::keys::{self, Point, SecretKey};
pub use crate::keysend_proof::Window;
use crate::rules::{self, Rules, Violation};

/// A note that an entry is used, and by which payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark<L = Point> {
    /// Which entry.
    pub index: u32,
    /// The message that it signs.
    pub message: [u8; 32],
    /// The lock of the payment, or whatever tells it from every other.
    pub lock: L,
}

/// Storage that survives a crash. A recipient that loses marks loses its key.
pub trait Marks<L = Point> {
    /// The mark of an entry.
    fn find(&self, index: u32) -> Option<Mark<L>>;

    /// Writes a mark; `true` once it is on durable storage.
    fn write(&mut self, mark: Mark<L>) -> bool;
}

/// Marks of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory<L = Point> {
    /// The marks, oldest first.
    pub marks: Vec<Mark<L>>,
    /// Whether it can be written to.
    pub writable: bool,
}

impl<L> Default for Memory<L> {
    fn default() -> Self {
        Self {
            marks: Vec::new(),
            writable: true,
        }
    }
}

impl<L: Copy> Marks<L> for Memory<L> {
    fn find(&self, index: u32) -> Option<Mark<L>> {
        self.marks.iter().find(|mark| mark.index == index).copied()
    }

    fn write(&mut self, mark: Mark<L>) -> bool {
        if self.writable {
            self.marks.push(mark);
        }
        self.writable
    }
}

/// A payment that has arrived and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// Which entry of the pool the payer used.
    pub index: u32,
    /// The request's bytes.
    pub request: &'a [u8],
    /// The lock of the last hop.
    pub lock: Point,
    /// Sum of the route's tweaks.
    pub tweak: Scalar,
    /// What it brings, in msat.
    pub received_msat: u64,
}

/// What is revealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// `t`, which opens the lock.
    pub scalar: Scalar,
    /// The mark that was written before, or found.
    pub mark: Mark,
    /// The payment had been marked before.
    pub resumed: bool,
}

/// The rules that every form of the point lock asks of a payment, under the names of that form.
pub(crate) struct Names {
    pub entry_known: &'static str,
    pub expiry: &'static str,
    pub amount: &'static str,
    pub amount_excess: &'static str,
    pub time_past: &'static str,
    pub time_future: &'static str,
    pub entry_unused: &'static str,
    pub mark: &'static str,
}

const NAMES: Names = Names {
    entry_known: rules::POINT_LOCK_ENTRY_KNOWN,
    expiry: rules::POINT_LOCK_REDEEM_EXPIRY,
    amount: rules::POINT_LOCK_AMOUNT,
    amount_excess: rules::POINT_LOCK_AMOUNT_EXCESS,
    time_past: rules::POINT_LOCK_TIME_PAST,
    time_future: rules::POINT_LOCK_TIME_FUTURE,
    entry_unused: rules::POINT_LOCK_ENTRY_UNUSED,
    mark: rules::POINT_LOCK_MARK,
};

/// A recipient and its pool.
#[derive(Clone)]
pub struct Recipient<'a> {
    /// Node key.
    pub secret: SecretKey,
    /// Chain.
    pub chain_hash: [u8; 32],
    /// Secret nonces by index.
    pub nonces: &'a [NoncePair],
    /// Last second at which an entry may be used.
    pub expiry: u64,
    /// Its policy on time.
    pub window: Window,
}

impl Recipient<'_> {
    /// Decides on a payment at `now` (seconds since 1970), marks its entry and reveals the scalar.
    ///
    /// With `entry-known` off, an index beyond the pool counts from its beginning again. An error
    /// is a payment returned: nothing has been revealed.
    ///
    /// # Errors
    /// `keysend-proof/point-lock/request`, `…/entry-known`, `…/redeem-expiry`, `…/lock`,
    /// `…/amount`, `…/amount-excess`, `…/time-past`, `…/time-future`, `…/entry-unused`,
    /// `…/mark-before-reveal`; [`PointLockError::NoPoint`].
    pub fn redeem(
        &self,
        rules: &Rules,
        incoming: &Incoming<'_>,
        now: u64,
        marks: &mut impl Marks,
    ) -> Result<Redeemed> {
        let index = incoming.index;
        let terms = terms(rules, incoming.request)?;
        let nonces = self.entry(rules, &NAMES, index, now)?;

        let key = keys::public(&self.secret);
        let message = message(&commitment(&self.chain_hash, &key, &terms.request));
        let expected = super::sum(
            Some(lock(&key, &nonces.points(), &message)?.point),
            incoming.tweak.point(),
        );
        rules.check(
            rules::POINT_LOCK_LOCK,
            expected.is_some_and(|lock| lock.serialize() == incoming.lock),
            || "the lock is not the one of this entry, request and route".into(),
        )?;

        self.amount_and_time(rules, &NAMES, &terms, incoming.received_msat, now)?;
        let mark = Mark {
            index,
            message,
            lock: incoming.lock,
        };
        let resumed = mark_before_reveal(rules, &NAMES, mark, marks)?;
        let scalar = opening(&self.secret, nonces, &message)?.plus(incoming.tweak);
        Ok(Redeemed {
            scalar,
            mark,
            resumed,
        })
    }

    /// The secret nonces of an entry that may be used at `now`.
    pub(crate) fn entry(
        &self,
        rules: &Rules,
        names: &Names,
        index: u32,
        now: u64,
    ) -> Result<&NoncePair> {
        let count = self.nonces.len();
        rules.at_least(
            names.entry_known,
            u64::try_from(count).unwrap_or(u64::MAX),
            u64::from(index) + 1,
            || format!("entry {index} is not one of the {count} of this pool"),
        )?;
        let nonces = usize::try_from(index)
            .ok()
            .and_then(|index| self.nonces.get(index.checked_rem(count)?))
            .ok_or(PointLockError::NoPoint("nonce of an empty pool"))?;
        rules.at_most(names.expiry, now, self.expiry, || {
            format!("the pool expired at {}, before {now}", self.expiry)
        })?;
        Ok(nonces)
    }

    /// Whether what came is what the request names, in amount and time.
    pub(crate) fn amount_and_time(
        &self,
        rules: &Rules,
        names: &Names,
        terms: &Terms,
        received_msat: u64,
        now: u64,
    ) -> Result<(), Violation> {
        let (amount_msat, time) = (terms.amount_msat, terms.payment_time);
        rules.at_least(names.amount, received_msat, amount_msat, || {
            format!("{received_msat} msat came of the {amount_msat} msat that the request names")
        })?;
        rules.at_most(
            names.amount_excess,
            received_msat,
            amount_msat.saturating_mul(2),
            || {
                format!(
                    "{received_msat} msat came, more than twice the {amount_msat} msat that the request names"
                )
            },
        )?;
        rules.at_most(
            names.time_past,
            now.saturating_sub(time),
            self.window.past,
            || format!("the request's time {time} is too old"),
        )?;
        rules.at_most(
            names.time_future,
            time.saturating_sub(now),
            self.window.future,
            || format!("the request's time {time} is yet to come"),
        )
    }
}

/// Writes the mark of a payment, unless it is there; `true` where it was.
pub(crate) fn mark_before_reveal<L: Copy + PartialEq>(
    rules: &Rules,
    names: &Names,
    mark: Mark<L>,
    marks: &mut impl Marks<L>,
) -> Result<bool, Violation> {
    let index = mark.index;
    let found = marks.find(index);
    let resumed = found == Some(mark);
    rules.check(names.entry_unused, found.is_none() || resumed, || {
        format!("entry {index} was used by another payment")
    })?;
    if !resumed {
        // Before the reveal: who crashes in between resumes, and never signs with this pair
        // for another message.
        let written = marks.write(mark);
        rules.check(names.mark, written, || {
            format!("the mark of entry {index} is not on durable storage")
        })?;
    }
    Ok(resumed)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{pair, request, secret, tweak};
    use super::super::{route_locks, route_sum};
    use super::*;
    use crate::rules::Shift;
    use proptest::prelude::*;

    const NOW: u64 = 1500;

    struct World {
        nonces: Vec<NoncePair>,
        request: Vec<u8>,
        index: u32,
        /// The payer's lock is for this request.
        locked: Option<Vec<u8>>,
        lock: Option<Point>,
        received_msat: u64,
        now: u64,
        expiry: u64,
        window: Window,
        marks: Memory,
    }

    impl World {
        fn new() -> Self {
            Self {
                nonces: vec![pair(20)],
                request: request(1).to_vec(),
                index: 0,
                locked: None,
                lock: None,
                received_msat: 5000,
                now: NOW,
                expiry: NOW,
                window: Window {
                    past: 500,
                    future: 500,
                },
                marks: Memory::default(),
            }
        }

        fn redeem(&mut self, rules: &Rules) -> Result<Redeemed> {
            let recipient = Recipient {
                secret: secret(1),
                chain_hash: [3; 32],
                nonces: &self.nonces,
                expiry: self.expiry,
                window: self.window,
            };
            let key = keys::public(&secret(1));
            let locked = self.locked.as_ref().unwrap_or(&self.request);
            let read = Rules::all().without(rules::POINT_LOCK_REQUEST).unwrap();
            let locked = terms(&read, locked).unwrap().request;
            let message = message(&commitment(&[3; 32], &key, &locked));
            let point = lock(&key, &self.nonces[0].points(), &message)
                .unwrap()
                .point;
            let tweaks = [tweak(70), tweak(71)];
            let route = route_locks(&point, &tweaks).unwrap();
            let incoming = Incoming {
                index: self.index,
                request: &self.request,
                lock: self.lock.unwrap_or(route[1].serialize()),
                tweak: route_sum(&tweaks),
                received_msat: self.received_msat,
            };
            let redeemed = recipient.redeem(rules, &incoming, self.now, &mut self.marks)?;
            if self.lock.is_none() && self.locked.is_none() {
                assert_eq!(redeemed.scalar.point(), Some(route[1]));
            }
            Ok(redeemed)
        }

        fn rule(&mut self, rules: &Rules) -> Option<&'static str> {
            match self.redeem(rules) {
                Ok(_) => None,
                Err(PointLockError::Rule(violation)) => Some(violation.rule),
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn changed(change: impl FnOnce(&mut World)) -> World {
        let mut world = World::new();
        change(&mut world);
        world
    }

    #[test]
    fn each_rule_returns_the_payment_and_nothing_is_marked() {
        type Change = fn(&mut World);
        let changes: [(&str, Change); 12] = [
            (rules::POINT_LOCK_REQUEST, |w| w.request[1] = 4),
            (rules::POINT_LOCK_REQUEST, |w| w.request.push(0)),
            (rules::POINT_LOCK_ENTRY_KNOWN, |w| w.index = 1),
            (rules::POINT_LOCK_REDEEM_EXPIRY, |w| w.expiry = NOW - 1),
            (rules::POINT_LOCK_LOCK, |w| {
                w.locked = Some(request(2).to_vec())
            }),
            (rules::POINT_LOCK_LOCK, |w| w.lock = Some([4; 33])),
            (rules::POINT_LOCK_AMOUNT, |w| w.received_msat = 4999),
            (rules::POINT_LOCK_AMOUNT_EXCESS, |w| {
                w.received_msat = 10_001
            }),
            (rules::POINT_LOCK_TIME_PAST, |w| w.window.past = 499),
            (rules::POINT_LOCK_TIME_FUTURE, |w| {
                w.now = 499;
            }),
            (rules::POINT_LOCK_ENTRY_UNUSED, |w| {
                w.marks.marks.push(Mark {
                    index: 0,
                    message: [1; 32],
                    lock: [2; 33],
                });
            }),
            (rules::POINT_LOCK_MARK, |w| w.marks.writable = false),
        ];
        for (id, change) in changes {
            let mut world = changed(change);
            let before = world.marks.clone();
            assert_eq!(world.rule(&Rules::all()), Some(id));
            assert_eq!(world.marks, before, "{id}");
            let off = Rules::all().without(id).unwrap();
            assert_eq!(changed(change).rule(&off), None, "{id}");
        }
    }

    #[test]
    fn the_boundaries_pass() {
        for change in [
            (|_| ()) as fn(&mut World),
            |w| w.received_msat = 10_000,
            |w| w.now = 500,
            |w| w.request[1] = 3,
        ] {
            assert_eq!(changed(change).rule(&Rules::all()), None);
        }
        for id in [
            rules::POINT_LOCK_AMOUNT,
            rules::POINT_LOCK_ENTRY_KNOWN,
            rules::POINT_LOCK_REDEEM_EXPIRY,
            rules::POINT_LOCK_TIME_PAST,
        ] {
            let strict = Rules::all().shift(id, Shift::Strict).unwrap();
            assert_eq!(World::new().rule(&strict), Some(id));
        }
    }

    #[test]
    fn the_marked_payment_is_redeemed_again_and_no_other() {
        let all = Rules::all();
        let mut world = World::new();
        let first = world.redeem(&all).unwrap();
        assert!(!first.resumed);
        assert_eq!(world.marks.marks, [first.mark]);
        let again = world.redeem(&all).unwrap();
        assert!(again.resumed);
        assert_eq!(again.scalar, first.scalar);
        assert_eq!(world.marks.marks.len(), 1);
        world.request = request(2).to_vec();
        assert_eq!(world.rule(&all), Some(rules::POINT_LOCK_ENTRY_UNUSED));
    }

    #[test]
    fn an_empty_pool_redeems_nothing() {
        let recipient = Recipient {
            secret: secret(1),
            chain_hash: [3; 32],
            nonces: &[],
            expiry: NOW,
            window: Window::default(),
        };
        let request = request(1);
        let incoming = Incoming {
            index: 0,
            request: &request,
            lock: [2; 33],
            tweak: Scalar::ZERO,
            received_msat: 5000,
        };
        let off = Rules::all().without(rules::POINT_LOCK_ENTRY_KNOWN).unwrap();
        assert!(
            recipient
                .redeem(&off, &incoming, NOW, &mut Memory::default())
                .is_err()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn deciding_never_panics(request: Vec<u8>, index: u32, lock: Vec<u8>, received_msat: u64, now: u64) {
            let mut rules = Rules::all();
            for rule in rules::ALL.iter().filter(|r| r.id.starts_with("keysend-proof/point-lock/")) {
                rules = rules.without(rule.id).unwrap();
            }
            let mut world = World::new();
            world.lock = <[u8; 33]>::try_from(lock).ok().or(Some([0; 33]));
            (world.request, world.index, world.received_msat, world.now) = (request, index, received_msat, now);
            prop_assert!(world.redeem(&rules).is_ok());
        }
    }
}
