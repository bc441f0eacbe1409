//! The point-lock form of the keysend proof, as a simulation: no Lightning node locks payments to
//! points today, so nothing here talks to one.
//!
//! The recipient leaves nonce pairs with its LSP ([`pool`]). The payer locks the payment to the
//! point whose discrete logarithm is the recipient's BIP 340 signature of the payment's message
//! ([`lock`]), so that whoever settles it ([`recipient`]) hands the payer the proof ([`extract`]).
//! [`attacks`] computes what breaks the neighbouring constructions, and what a nonce used twice
//! costs.
//!
//! Source: keysend-proof draft, "Point-lock form". Its rules have ids
//! `keysend-proof/point-lock/…`.

pub mod attacks;
pub mod pool;
pub mod recipient;
pub mod scalar;

use crate::bolt12::merkle::{self, tagged_hash};
use crate::keys::{self, Point, PublicKey, SecretKey};
use crate::rules::{self, Rules, Violation};
use bitcoin::secp256k1::Parity;
pub use scalar::Scalar;

/// Length of a request in bytes.
pub const REQUEST_LENGTH: usize = 114;
/// Flags of a request that version 0 knows.
const KNOWN_FLAGS: u8 = 0b11;

/// Why something of the point-lock form was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointLockError {
    /// A rule of the draft.
    #[error(transparent)]
    Rule(#[from] Violation),
    /// Keys or nonces that cancel each other out, or bytes that are no point.
    #[error("the {0} is no point of the curve; choose other nonces or tweaks")]
    NoPoint(&'static str),
    /// No shard at all.
    #[error("the set has no shards, and needs one at least")]
    NoShards,
}

type Result<T, E = PointLockError> = std::result::Result<T, E>;

/// What the point-lock form reads of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The request itself.
    pub request: [u8; REQUEST_LENGTH],
    /// Seconds since 1970, as the payer says.
    pub payment_time: u64,
    /// What the payer means to pay, in msat.
    pub amount_msat: u64,
}

/// Reads a request. With the rule off, missing bytes are zeros and surplus ones are dropped.
///
/// # Errors
/// `keysend-proof/point-lock/request`: another length than 114, another version than 0, or an
/// unknown flag.
pub fn terms(rules: &Rules, request: &[u8]) -> Result<Terms, Violation> {
    terms_by(rules, rules::POINT_LOCK_REQUEST, request)
}

/// [`terms`], by the rule of a form of its own.
pub(crate) fn terms_by(
    rules: &Rules,
    rule: &'static str,
    request: &[u8],
) -> Result<Terms, Violation> {
    let mut padded = [0; REQUEST_LENGTH];
    let there = request.len().min(REQUEST_LENGTH);
    padded[..there].copy_from_slice(&request[..there]);
    let [version, flags, ..] = padded;
    let (nonce_end, time_end, amount_end) = (34, 42, 50);
    rules.check(
        rule,
        request.len() == REQUEST_LENGTH && version == 0 && flags & !KNOWN_FLAGS == 0,
        || {
            format!(
                "the request has {} bytes, version {version} and flags {flags:#04x}, not 114 bytes of version 0 with known flags",
                request.len()
            )
        },
    )?;
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
    };
    Ok(Terms {
        request: padded,
        payment_time: number(&padded[nonce_end..time_end]),
        amount_msat: number(&padded[time_end..amount_end]),
    })
}

/// The commitment `C` over chain, recipient and request, as in the hash form.
pub fn commitment(
    chain_hash: &[u8; 32],
    recipient: &PublicKey,
    request: &[u8; REQUEST_LENGTH],
) -> [u8; 32] {
    let preimage = [chain_hash.as_slice(), &recipient.serialize(), request].concat();
    tagged_hash(b"ln-ksp/0/commit", &preimage)
}

/// The message `m` that the recipient signs by settling.
///
/// Keysend-proof draft, point-lock payer: a tagged hash of the commitment, so that it can be shown
/// to the LSP without opening the request.
pub fn message(commitment: &[u8; 32]) -> [u8; 32] {
    tagged_hash(b"ln-ksp/0/ptlc-msg", commitment)
}

/// The public half of a nonce pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoncePoints {
    /// First point.
    pub r1: Point,
    /// Second point.
    pub r2: Point,
}

/// The secret half of a nonce pair.
#[derive(Clone, Copy)]
pub struct NoncePair {
    /// Secret of the first point.
    pub r1: SecretKey,
    /// Secret of the second point.
    pub r2: SecretKey,
}

impl NoncePair {
    /// Its points.
    pub fn points(&self) -> NoncePoints {
        NoncePoints {
            r1: keys::public(&self.r1).serialize(),
            r2: keys::public(&self.r2).serialize(),
        }
    }
}

/// A lock and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// `b`, how often the first nonce counts.
    pub coefficient: Scalar,
    /// `R`, with either parity.
    pub nonce: PublicKey,
    /// `e`, the BIP 340 challenge.
    pub challenge: Scalar,
    /// `S`, whose discrete logarithm settles.
    pub point: PublicKey,
}

impl Lock {
    /// `x(R)`, the first half of the proof.
    pub fn nonce_x(&self) -> [u8; 32] {
        self.nonce.x_only_public_key().0.serialize()
    }

    /// The discrete logarithm of `R_even`, for whoever has the secret nonces.
    pub fn nonce_opening(&self, nonces: &NoncePair) -> Scalar {
        self.coefficient
            .by(nonces.r1.into())
            .plus(nonces.r2.into())
            .negated_if(is_odd(&self.nonce))
    }
}

/// Whether the y coordinate of a point is odd.
fn is_odd(point: &PublicKey) -> bool {
    point.x_only_public_key().1 == Parity::Odd
}

/// The point of `point` and its opposite whose y coordinate is even.
fn even(point: &PublicKey) -> PublicKey {
    PublicKey::from_x_only_public_key(point.x_only_public_key().0, Parity::Even)
}

/// The BIP 340 challenge of nonce, key and message.
pub fn challenge(nonce: &PublicKey, key: &PublicKey, message: &[u8; 32]) -> Scalar {
    let x = |point: &PublicKey| point.x_only_public_key().0.serialize();
    let preimage = [x(nonce), x(key), *message].concat();
    Scalar::reduce(tagged_hash(b"BIP0340/challenge", &preimage))
}

/// How often the first nonce counts, so that nobody chooses messages to make nonces cancel out.
fn coefficient(recipient: &PublicKey, nonces: &NoncePoints, message: &[u8; 32]) -> Scalar {
    let x = recipient.x_only_public_key().0.serialize();
    let preimage = [x.as_slice(), &nonces.r1, &nonces.r2, message].concat();
    Scalar::reduce(tagged_hash(b"ln-ksp/0/nonce-coef", &preimage))
}

/// The lock of a payment to `recipient`, from its public nonces and the message.
///
/// Keysend-proof draft, point-lock payer: `R = b*R1 + R2`, then `S = R_even + e*P_even`.
///
/// # Errors
/// [`PointLockError::NoPoint`] when a nonce is no point, or keys and nonces cancel each other out.
pub fn lock(recipient: &PublicKey, nonces: &NoncePoints, message: &[u8; 32]) -> Result<Lock> {
    let read =
        |bytes: &Point, name| PublicKey::from_slice(bytes).or(Err(PointLockError::NoPoint(name)));
    let (r1, r2) = (read(&nonces.r1, "nonce R1")?, read(&nonces.r2, "nonce R2")?);
    let coefficient = coefficient(recipient, nonces, message);
    let nonce = sum(coefficient.times(&r1), Some(r2)).ok_or(PointLockError::NoPoint("nonce R"))?;
    let challenge = challenge(&nonce, recipient, message);
    let point = sum(Some(even(&nonce)), challenge.times(&even(recipient)))
        .ok_or(PointLockError::NoPoint("lock"))?;
    Ok(Lock {
        coefficient,
        nonce,
        challenge,
        point,
    })
}

/// The sum of two points, `None` being the one at infinity.
pub(crate) fn sum(a: Option<PublicKey>, b: Option<PublicKey>) -> Option<PublicKey> {
    match (a, b) {
        (Some(a), Some(b)) => a.combine(&b).ok(),
        (a, b) => a.or(b),
    }
}

/// `s`, the discrete logarithm of [`lock`]'s point: the recipient's half of a BIP 340 signature.
///
/// # Errors
/// As [`lock`].
pub fn opening(secret: &SecretKey, nonces: &NoncePair, message: &[u8; 32]) -> Result<Scalar> {
    let recipient = keys::public(secret);
    let lock = lock(&recipient, &nonces.points(), message)?;
    let key = Scalar::from(*secret).negated_if(is_odd(&recipient));
    Ok(lock.nonce_opening(nonces).plus(lock.challenge.by(key)))
}

/// The locks of the hops of a route, the payer's own first: `S + (y_0 + … + y_i)*G`.
///
/// # Errors
/// [`PointLockError::NoPoint`] when tweaks cancel the lock out.
pub fn route_locks(lock: &PublicKey, tweaks: &[Scalar]) -> Result<Vec<PublicKey>> {
    let mut locks = Vec::with_capacity(tweaks.len());
    let mut at = *lock;
    for tweak in tweaks {
        at = sum(Some(at), tweak.point()).ok_or(PointLockError::NoPoint("route lock"))?;
        locks.push(at);
    }
    Ok(locks)
}

/// What the recipient is told of the route: the sum of all tweaks.
pub fn route_sum(tweaks: &[Scalar]) -> Scalar {
    tweaks.iter().fold(Scalar::ZERO, |sum, y| sum.plus(*y))
}

/// What settles each hop of a route, the payer's own first, from what the recipient revealed:
/// every forwarder takes away the tweak that it was told.
pub fn route_scalars(revealed: Scalar, tweaks: &[Scalar]) -> Vec<Scalar> {
    let mut scalars: Vec<Scalar> = Vec::with_capacity(tweaks.len());
    let mut at = revealed;
    for tweak in tweaks.iter().skip(1).rev() {
        scalars.push(at);
        at = at.minus(*tweak);
    }
    if !tweaks.is_empty() {
        scalars.push(at);
    }
    scalars.reverse();
    scalars
}

/// The proof, from the scalar that settled the payer's own hop: `x(R)`, then `s = t - y_0`.
///
/// # Errors
/// `keysend-proof/point-lock/route-scalar` when `settled` does not open `S + y_0*G`.
pub fn extract(rules: &Rules, lock: &Lock, tweak: Scalar, settled: Scalar) -> Result<[u8; 64]> {
    let offered = sum(Some(lock.point), tweak.point());
    rules.check(
        rules::POINT_LOCK_ROUTE_SCALAR,
        settled.point() == offered,
        || "the scalar does not open the lock that the payer offered".into(),
    )?;
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(&lock.nonce_x());
    proof[32..].copy_from_slice(&settled.minus(tweak).to_bytes());
    Ok(proof)
}

/// What a proof of the point-lock form shows to anybody. That the payer came by it in paying is
/// what the form gives to the payer, and nothing that the proof shows.
pub const PROVEN: [&str; 2] = [
    "The recipient key signed a message that names this chain, this recipient key and this request \
     with its nonce, time, amount, payer key and terms.",
    "The proof belongs to this request alone.",
];

/// What it does not show.
pub const NOT_PROVEN: [&str; 5] = [
    "That value moved: the recipient can give the proof away.",
    "That the payment was made at the time in the request, which is the word of the payer within \
     what the recipient allows.",
    "That the holder of the payer key took part: anybody can name a key.",
    "What was paid in routing fees.",
    "Who stands behind the keys.",
];

/// Checks a proof as a third party does; no pool, nonce or route is needed.
///
/// A proof of another length, where that rule is off, is cut or filled up with zeros.
///
/// # Errors
/// `keysend-proof/point-lock/request`, `…/proof-length`, `…/proof-signature`.
pub fn verify(
    rules: &Rules,
    chain_hash: &[u8; 32],
    recipient: &PublicKey,
    request: &[u8],
    proof: &[u8],
) -> Result<Terms, Violation> {
    let terms = terms(rules, request)?;
    let message = message(&commitment(chain_hash, recipient, &terms.request));
    let by = [
        rules::POINT_LOCK_PROOF_LENGTH,
        rules::POINT_LOCK_PROOF_SIGNATURE,
    ];
    signs(rules, by, recipient, &message, proof)?;
    Ok(terms)
}

/// Whether a proof is the recipient's signature of `message`, by the rules of a form on length and
/// signature.
pub(crate) fn signs(
    rules: &Rules,
    [length, signature]: [&'static str; 2],
    recipient: &PublicKey,
    message: &[u8; 32],
    proof: &[u8],
) -> Result<(), Violation> {
    rules.check(length, proof.len() == 64, || {
        format!("the proof has {} bytes, not 64", proof.len())
    })?;
    let mut padded = [0; 64];
    let there = proof.len().min(64);
    padded[..there].copy_from_slice(&proof[..there]);
    let key = recipient.x_only_public_key().0.serialize();
    rules.check(signature, merkle::verify(message, &key, &padded), || {
        "the proof is no signature of this request's message by the recipient's key".into()
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn secret(byte: u8) -> SecretKey {
        SecretKey::from_slice(&[byte; 32]).unwrap()
    }

    pub(crate) fn pair(byte: u8) -> NoncePair {
        NoncePair {
            r1: secret(byte),
            r2: secret(byte + 1),
        }
    }

    pub(crate) fn tweak(byte: u8) -> Scalar {
        Scalar::from(secret(byte))
    }

    /// Time 1000, amount 5000.
    pub(crate) fn request(nonce: u8) -> [u8; REQUEST_LENGTH] {
        let mut request = [0; REQUEST_LENGTH];
        request[1] = 1;
        request[2..34].fill(nonce);
        request[34..42].copy_from_slice(&1000u64.to_be_bytes());
        request[42..50].copy_from_slice(&5000u64.to_be_bytes());
        request[50..82].fill(7);
        request
    }

    fn rule<T: std::fmt::Debug>(result: Result<T, Violation>) -> &'static str {
        result.unwrap_err().rule
    }

    #[test]
    fn a_request_is_read_or_refused() {
        let all = Rules::all();
        let read = terms(&all, &request(1)).unwrap();
        assert_eq!((read.payment_time, read.amount_msat), (1000, 5000));
        let long = [request(1).as_slice(), &[0]].concat();
        let mut version = request(1);
        version[0] = 1;
        let mut flags = request(1);
        flags[1] = 4;
        let off = Rules::all().without(rules::POINT_LOCK_REQUEST).unwrap();
        for bad in [&request(1)[..113], &[], &long, &version, &flags] {
            assert_eq!(rule(terms(&all, bad)), rules::POINT_LOCK_REQUEST);
            let read = terms(&off, bad).unwrap();
            assert_eq!(read.request[..10.min(bad.len())], bad[..10.min(bad.len())]);
        }
        assert_eq!(terms(&off, &long).unwrap().request, request(1));
        flags[1] = 3;
        assert!(terms(&all, &flags).is_ok());
    }

    #[test]
    fn the_commitment_is_that_of_the_hash_form() {
        use crate::keysend_proof::{Opening, Request};
        let all = Rules::all();
        let recipient = keys::public(&secret(1));
        let read = Request::decode(&all, &request(1)).unwrap();
        let opening = Opening::derive(&all, &[3; 32], &recipient.serialize(), &read).unwrap();
        assert_eq!(
            *opening.commitment,
            commitment(&[3; 32], &recipient, &request(1))
        );
    }

    #[test]
    fn settling_signs_and_the_payer_has_the_proof() {
        let all = Rules::all();
        let chain = [3; 32];
        // Keys and nonces of both parities are among these.
        for byte in 1..40 {
            let (key, nonces) = (secret(byte), pair(byte + 40));
            let recipient = keys::public(&key);
            let request = request(byte);
            let m = message(&commitment(&chain, &recipient, &request));
            let lock = lock(&recipient, &nonces.points(), &m).unwrap();
            let s = opening(&key, &nonces, &m).unwrap();
            assert_eq!(s.point(), Some(lock.point));

            let tweaks = [tweak(90), tweak(91), tweak(92)];
            let locks = route_locks(&lock.point, &tweaks).unwrap();
            let scalars = route_scalars(s.plus(route_sum(&tweaks)), &tweaks);
            assert_eq!(scalars.len(), 3);
            for (lock, scalar) in locks.iter().zip(&scalars) {
                assert_eq!(scalar.point(), Some(*lock));
            }
            let proof = extract(&all, &lock, tweaks[0], scalars[0]).unwrap();
            let read = verify(&all, &chain, &recipient, &request, &proof).unwrap();
            assert_eq!(read.amount_msat, 5000);
            // Any other chain, recipient, request or proof is refused.
            let signature = rules::POINT_LOCK_PROOF_SIGNATURE;
            let other = keys::public(&secret(100));
            assert_eq!(
                rule(verify(&all, &[4; 32], &recipient, &request, &proof)),
                signature
            );
            assert_eq!(
                rule(verify(&all, &chain, &other, &request, &proof)),
                signature
            );
            for at in [2, 41, 49, 81, 113] {
                let mut changed = request;
                changed[at] ^= 1;
                assert_eq!(
                    rule(verify(&all, &chain, &recipient, &changed, &proof)),
                    signature
                );
            }
            for at in [0, 63] {
                let mut changed = proof;
                changed[at] ^= 1;
                assert_eq!(
                    rule(verify(&all, &chain, &recipient, &request, &changed)),
                    signature
                );
            }
            let length = rules::POINT_LOCK_PROOF_LENGTH;
            for bad in [&proof[..63], &[proof.as_slice(), &[0]].concat()] {
                assert_eq!(
                    rule(verify(&all, &chain, &recipient, &request, bad)),
                    length
                );
            }
            let off = Rules::all().without(length).unwrap();
            let long = [proof.as_slice(), &[0]].concat();
            assert!(verify(&off, &chain, &recipient, &request, &long).is_ok());
        }
    }

    #[test]
    fn a_scalar_of_another_lock_is_no_settlement() {
        let (key, nonces) = (secret(1), pair(2));
        let recipient = keys::public(&key);
        let lock = lock(&recipient, &nonces.points(), &[5; 32]).unwrap();
        let settled = opening(&key, &nonces, &[5; 32]).unwrap().plus(tweak(9));
        assert!(extract(&Rules::all(), &lock, tweak(9), settled).is_ok());
        let wrong = settled.plus(Scalar::ONE);
        let id = rules::POINT_LOCK_ROUTE_SCALAR;
        match extract(&Rules::all(), &lock, tweak(9), wrong) {
            Err(PointLockError::Rule(violation)) => assert_eq!(violation.rule, id),
            other => panic!("{other:?}"),
        }
        assert!(extract(&Rules::all().without(id).unwrap(), &lock, tweak(9), wrong).is_ok());
    }

    #[test]
    fn what_is_no_point_is_said() {
        let recipient = keys::public(&secret(1));
        let mut points = pair(2).points();
        points.r2 = [4; 33];
        assert_eq!(
            lock(&recipient, &points, &[5; 32]),
            Err(PointLockError::NoPoint("nonce R2"))
        );
        let point = Scalar::ONE.point().unwrap();
        assert_eq!(
            route_locks(&point, &[Scalar::ONE.negated()]),
            Err(PointLockError::NoPoint("route lock"))
        );
        assert_eq!(route_locks(&point, &[]), Ok(vec![]));
        assert!(route_scalars(Scalar::ONE, &[]).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn verifying_never_panics(request: Vec<u8>, proof: Vec<u8>, off: bool) {
            let mut rules = Rules::all();
            if off {
                for id in [rules::POINT_LOCK_REQUEST, rules::POINT_LOCK_PROOF_LENGTH] {
                    rules = rules.without(id).unwrap();
                }
            }
            let key = keys::public(&secret(1));
            prop_assert!(verify(&rules, &[0; 32], &key, &request, &proof).is_err());
        }
    }
}
