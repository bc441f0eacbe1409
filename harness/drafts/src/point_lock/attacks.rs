//! What an attacker computes, from public data and from what was revealed to it.
//!
//! The recipients in here are the careless ones that the draft forbids; the attackers are given
//! nothing that they would not have.

use super::{
    NoncePair, NoncePoints, Result, Scalar, challenge, even, is_odd, lock, opening, scalar,
};
use crate::bolt12::merkle;
use crate::keys::{self, Point, PublicKey, SecretKey, sha256};

/// The tweak of the additive scheme: a hash over nonce, time and amount of a request.
///
/// A request that is shorter counts as far as it goes.
pub fn additive_tweak(request: &[u8]) -> Scalar {
    let end = request.len().min(50);
    Scalar::reduce(sha256(&[&request[end.min(2)..end]]))
}

/// The lock of the additive scheme, `P + t*G`; `None` where they cancel out.
pub fn additive_lock(key: &PublicKey, request: &[u8]) -> Option<PublicKey> {
    super::sum(Some(*key), additive_tweak(request).point())
}

/// What the recipient reveals to open it, `p + t`.
pub fn additive_opening(secret: &SecretKey, request: &[u8]) -> Scalar {
    Scalar::from(*secret).plus(additive_tweak(request))
}

/// Whether `opened` opens the additive lock of a request.
pub fn additive_verify(key: &PublicKey, request: &[u8], opened: Scalar) -> bool {
    let lock = additive_lock(key, request);
    lock.is_some() && opened.point() == lock
}

/// One thing that an attacker tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How it is made.
    pub how: &'static str,
    /// What it takes for the recipient's secret key.
    pub key: Scalar,
    /// Whether it is that, up to the sign that BIP 340 leaves open.
    pub is_key: bool,
    /// Whether what it makes of it verifies as a proof of a request that was never paid.
    pub forgery_verifies: bool,
}

fn is_key(candidate: Scalar, key: &PublicKey) -> bool {
    candidate
        .point()
        .is_some_and(|point| even(&point) == even(key))
}

/// The payer's attack on the additive scheme, with its one opening of `paid`: take the tweak away,
/// and put that of `claimed` in its place.
pub fn on_additive(key: &PublicKey, paid: &[u8], opened: Scalar, claimed: &[u8]) -> Vec<Attempt> {
    let candidate = opened.minus(additive_tweak(paid));
    let forged = candidate.plus(additive_tweak(claimed));
    vec![Attempt {
        how: "the opening less the tweak",
        key: candidate,
        is_key: is_key(candidate, key),
        forgery_verifies: additive_verify(key, claimed, forged),
    }]
}

/// A payment's message, and the request it came from, which gives the additive tweak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid<'a> {
    /// `m`.
    pub message: &'a [u8; 32],
    /// The request's bytes.
    pub request: &'a [u8],
}

/// The same payer against the point lock: everything linear that it can do with one opening and
/// what it knows. That these fail is a demonstration; that all others do is the security of
/// Schnorr signatures.
///
/// # Errors
/// As [`lock`].
pub fn on_point_lock(
    key: &PublicKey,
    nonces: &NoncePoints,
    paid: Paid<'_>,
    opened: Scalar,
    claimed: Paid<'_>,
) -> Result<Vec<Attempt>> {
    let lock = lock(key, nonces, paid.message)?;
    let other = challenge(&lock.nonce, key, claimed.message);
    let x = key.x_only_public_key().0.serialize();
    let verifies = |s: Scalar| {
        let signature = [lock.nonce_x(), s.to_bytes()].concat();
        <[u8; 64]>::try_from(signature)
            .is_ok_and(|signature| merkle::verify(claimed.message, &x, &signature))
    };
    // If the guess of the key were right, moving the opening from one challenge to the other
    // would make a signature.
    let attempt = |how, candidate: Scalar| Attempt {
        how,
        key: candidate,
        is_key: is_key(candidate, key),
        forgery_verifies: verifies(opened.plus(other.minus(lock.challenge).by(candidate))),
    };
    let mut attempts = vec![
        attempt("the opening as it is", Scalar::ZERO),
        attempt(
            "the opening less the tweak",
            opened.minus(additive_tweak(paid.request)),
        ),
        attempt(
            "the opening less the challenge",
            opened.minus(lock.challenge),
        ),
        attempt(
            "the opening less the coefficient",
            opened.minus(lock.coefficient),
        ),
    ];
    if let Some(inverse) = lock.challenge.inverse() {
        attempts.push(attempt("the opening by the challenge", opened.by(inverse)));
    }
    let exchanged = opened
        .minus(additive_tweak(paid.request))
        .plus(additive_tweak(claimed.request));
    attempts.push(Attempt {
        how: "the opening with the other tweak",
        key: Scalar::ZERO,
        is_key: false,
        forgery_verifies: verifies(exchanged),
    });
    Ok(attempts)
}

/// What a careless recipient uses as the nonce of a payment.
#[derive(Clone, Copy)]
pub enum Nonce {
    /// One nonce, as plain Schnorr has it.
    Single(SecretKey),
    /// A pair, combined as the draft has it.
    Pair(NoncePair),
}

/// What an attacker sees of one payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reveal {
    /// The message.
    pub message: [u8; 32],
    /// The nonce points that went into the lock: one or two.
    pub points: Vec<Point>,
    /// `x(R)`, then `s`.
    pub signature: [u8; 64],
}

/// Opens the lock of a message, whatever the nonce was used for before.
///
/// # Errors
/// As [`lock`].
pub fn reveal(secret: &SecretKey, nonce: &Nonce, message: &[u8; 32]) -> Result<Reveal> {
    let key = keys::public(secret);
    let (points, x, s) = match nonce {
        Nonce::Pair(pair) => {
            let points = pair.points();
            let lock = lock(&key, &points, message)?;
            let s = opening(secret, pair, message)?;
            (vec![points.r1, points.r2], lock.nonce_x(), s)
        }
        Nonce::Single(r) => {
            let point = keys::public(r);
            let s = Scalar::from(*r).negated_if(is_odd(&point)).plus(
                challenge(&point, &key, message).by(Scalar::from(*secret).negated_if(is_odd(&key))),
            );
            let x = point.x_only_public_key().0.serialize();
            (vec![point.serialize()], x, s)
        }
    };
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&x);
    signature[32..].copy_from_slice(&s.to_bytes());
    Ok(Reveal {
        message: *message,
        points,
        signature,
    })
}

/// What the reveals of several payments are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Equations: one a reveal.
    pub equations: usize,
    /// Unknowns: the key, and every nonce point that occurs.
    pub unknowns: usize,
    /// The secret key, if the equations determine it and its point is that of the recipient.
    pub key: Option<SecretKey>,
}

/// Solves for the secret key, from public data alone. Each reveal is one linear equation:
/// `s = ±(b*r1 + r2) + e*p` or `s = ±r + e*p`, with signs, `b` and `e` that anybody computes.
///
/// # Errors
/// As [`lock`]; a reveal with no point or more than two is an equation that does not count.
pub fn recover(key: &PublicKey, reveals: &[Reveal]) -> Result<Recovery> {
    let mut unknown: Vec<Point> = Vec::new();
    for point in reveals.iter().flat_map(|reveal| &reveal.points) {
        if !unknown.contains(point) {
            unknown.push(*point);
        }
    }
    let at = |point: &Point| unknown.iter().position(|known| known == point);
    let wanted = unknown.len();
    let mut rows = Vec::with_capacity(reveals.len());
    for reveal in reveals {
        let mut row = vec![Scalar::ZERO; wanted + 2];
        let (nonce, factors) = match reveal.points.as_slice() {
            [r1, r2] => {
                let points = NoncePoints { r1: *r1, r2: *r2 };
                let lock = lock(key, &points, &reveal.message)?;
                (lock.nonce, vec![(r1, lock.coefficient), (r2, Scalar::ONE)])
            }
            [r] => match PublicKey::from_slice(r) {
                Ok(point) => (point, vec![(r, Scalar::ONE)]),
                Err(_) => continue,
            },
            _ => continue,
        };
        for (point, factor) in factors {
            if let Some(column) = at(point) {
                row[column] = row[column].plus(factor.negated_if(is_odd(&nonce)));
            }
        }
        row[wanted] = challenge(&nonce, key, &reveal.message).negated_if(is_odd(key));
        let mut s = [0; 32];
        s.copy_from_slice(&reveal.signature[32..]);
        row[wanted + 1] = Scalar::reduce(s);
        rows.push(row);
    }
    let equations = rows.len();
    let found = scalar::solve(rows, wanted).and_then(Scalar::secret_key);
    Ok(Recovery {
        equations,
        unknowns: wanted + 1,
        key: found.filter(|found| keys::public(found) == *key),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{pair, request, secret};
    use super::super::{commitment, message};
    use super::*;

    #[test]
    fn an_additive_tweak_leaks_the_key_and_binds_nothing() {
        for byte in 1..20 {
            let key = keys::public(&secret(byte));
            let (paid, claimed) = (request(1), request(2));
            let opened = additive_opening(&secret(byte), &paid);
            assert!(additive_verify(&key, &paid, opened));
            assert!(!additive_verify(&key, &claimed, opened));
            let attempts = on_additive(&key, &paid, opened, &claimed);
            assert_eq!(attempts[0].key, Scalar::from(secret(byte)));
            assert!(attempts[0].is_key && attempts[0].forgery_verifies);
        }
        // Nothing but nonce, time and amount counts, and a short request is no fault.
        let mut other = request(1);
        other[60] ^= 1;
        assert_eq!(additive_tweak(&request(1)), additive_tweak(&other));
        other[49] ^= 1;
        assert_ne!(additive_tweak(&request(1)), additive_tweak(&other));
        for short in [&[][..], &[1], &[1, 2], &[1, 2, 3]] {
            assert!(!additive_tweak(short).is_zero());
        }
    }

    #[test]
    fn the_same_attempts_on_a_point_lock_fail() {
        for byte in 1..20 {
            let key = keys::public(&secret(byte));
            let nonces = pair(byte + 40);
            let requests = [request(1), request(2)];
            let m = requests
                .each_ref()
                .map(|r| message(&commitment(&[3; 32], &key, r)));
            let opened = opening(&secret(byte), &nonces, &m[0]).unwrap();
            let paid = |i: usize| Paid {
                message: &m[i],
                request: &requests[i],
            };
            let tried = |claimed| {
                on_point_lock(&key, &nonces.points(), paid(0), opened, paid(claimed)).unwrap()
            };
            let attempts = tried(1);
            assert_eq!(attempts.len(), 6);
            assert!(attempts.iter().all(|a| !a.is_key && !a.forgery_verifies));
            // What was paid does verify, so the attempts are judged by a verifier that can say yes.
            assert!(tried(0)[0].forgery_verifies);
        }
    }

    fn recovered(byte: u8, uses: &[(Nonce, u8)]) -> Recovery {
        let key = keys::public(&secret(byte));
        let reveals: Vec<Reveal> = uses
            .iter()
            .map(|(nonce, m)| reveal(&secret(byte), nonce, &[*m; 32]).unwrap())
            .collect();
        let x = key.x_only_public_key().0.serialize();
        for reveal in &reveals {
            assert!(merkle::verify(&reveal.message, &x, &reveal.signature));
        }
        recover(&key, &reveals).unwrap()
    }

    #[test]
    fn a_nonce_is_worth_as_many_reveals_as_it_has_secrets() {
        for byte in 1..8 {
            let single = |n: u8| Nonce::Single(secret(n));
            let double = |n: u8| Nonce::Pair(pair(n));
            let leaked = |uses: &[(Nonce, u8)]| {
                let recovery = recovered(byte, uses);
                assert_eq!(recovery.equations, uses.len());
                if let Some(key) = recovery.key {
                    assert_eq!(key, secret(byte));
                }
                (recovery.unknowns, recovery.key.is_some())
            };
            assert_eq!(leaked(&[(single(30), 1)]), (2, false));
            assert_eq!(leaked(&[(single(30), 1), (single(30), 2)]), (2, true));
            assert_eq!(leaked(&[(single(30), 1), (single(31), 2)]), (3, false));
            // One message twice is one equation.
            assert_eq!(leaked(&[(single(30), 1), (single(30), 1)]), (2, false));
            let pairs = |n: [u8; 3]| [(double(n[0]), 1), (double(n[1]), 2), (double(n[2]), 3)];
            assert_eq!(leaked(&pairs([30, 30, 30])), (3, true));
            assert_eq!(leaked(&pairs([30, 30, 30])[..2]), (3, false));
            assert_eq!(leaked(&pairs([30, 40, 50])), (7, false));
            assert_eq!(leaked(&pairs([30, 30, 50])), (5, false));
        }
    }

    #[test]
    fn reveals_that_are_none_do_not_count() {
        let key = keys::public(&secret(1));
        let good = reveal(&secret(1), &Nonce::Single(secret(9)), &[1; 32]).unwrap();
        let none = Reveal {
            points: vec![],
            ..good.clone()
        };
        let bad = Reveal {
            points: vec![[4; 33]],
            ..good.clone()
        };
        let recovery = recover(&key, &[good, none, bad]).unwrap();
        assert_eq!((recovery.equations, recovery.key), (1, None));
        assert_eq!(recover(&key, &[]).unwrap().key, None);
    }
}
