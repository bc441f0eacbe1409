//! "Force the receiver to reveal a unique secret bound to the attempt": what lock that needs.
//!
//! One payment, several attempts at it, and a careless recipient that settles every one. For each
//! form: does the lock follow the attempt, can the payer open it before it pays, and how many of
//! the settlements can the payer prove afterwards?
//!
//! Source: AMP tunneling draft, "Point locks", rationale.

use crate::bolt12::merkle::{self, tagged_hash};
use crate::keys::{self, SecretKey, sha256};
use crate::point_lock::attacks::{Recovery, Reveal, recover};
use crate::point_lock::{NoncePair, PointLockError, Scalar, lock, opening};

/// What a payment is locked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A hash whose preimage the payer draws, as in keysend and AMP.
    PayerHash,
    /// A hash whose preimage the recipient drew beforehand, as in a stack of invoices.
    RecipientHash,
    /// A point that follows from the request.
    RequestPoint,
    /// A point that follows from request and attempt.
    AttemptPoint,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::PayerHash,
        Self::RecipientHash,
        Self::RequestPoint,
        Self::AttemptPoint,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PayerHash => "payer-hash",
            Self::RecipientHash => "recipient-hash",
            Self::RequestPoint => "request-point",
            Self::AttemptPoint => "attempt-point",
        }
    }
}

/// The message that the recipient signs by settling one attempt, where the lock is bound to it.
pub fn message(commitment: &[u8; 32], attempt: &[u8; 32]) -> [u8; 32] {
    tagged_hash(b"ln-ait/0/ptlc-attempt", &[*commitment, *attempt].concat())
}

/// One attempt: what it was locked to, and what settled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A hash of 32 bytes or a point of 33.
    pub lock: Vec<u8>,
    /// Preimage or scalar.
    pub secret: [u8; 32],
    /// The payer could compute the secret before it paid.
    pub payer_opens: bool,
    /// What the payer can show of it: a signature of the recipient, or the preimage of a hash that
    /// the recipient has signed.
    pub proof: Option<Vec<u8>>,
}

/// What a form is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The attempts in the order given.
    pub attempts: Vec<Attempt>,
    /// No two attempts have one lock.
    pub lock_follows_attempt: bool,
    /// No two attempts reveal one secret.
    pub secrets_distinct: bool,
    /// The payer can open an attempt without being paid for.
    pub payer_opens: bool,
    /// How many settlements the payer can prove: proofs that differ.
    pub settlements_shown: usize,
    /// What the signatures are worth to who sees them all.
    pub recovery: Recovery,
}

/// Settles every attempt at one payment.
///
/// `preimage` is that of the pool's entry for [`Form::RecipientHash`], `nonces` the pair of the
/// pool's entry for the point forms.
///
/// # Errors
/// As [`lock`].
pub fn compare(
    form: Form,
    secret: &SecretKey,
    nonces: &NoncePair,
    preimage: &[u8; 32],
    commitment: &[u8; 32],
    attempts: &[[u8; 32]],
) -> Result<Compared, PointLockError> {
    let key = keys::public(secret);
    let x = key.x_only_public_key().0.serialize();
    let mut reveals = Vec::new();
    let mut made = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        let of_point = |message: [u8; 32]| -> Result<(Attempt, Reveal), PointLockError> {
            let points = nonces.points();
            let lock = lock(&key, &points, &message)?;
            let s = opening(secret, nonces, &message)?;
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&lock.nonce_x());
            signature[32..].copy_from_slice(&s.to_bytes());
            // All that the payer knows of the lock before it pays.
            let guesses = [
                Scalar::ZERO,
                lock.coefficient,
                lock.challenge,
                lock.coefficient.plus(lock.challenge),
            ];
            let made = Attempt {
                lock: lock.point.serialize().to_vec(),
                secret: s.to_bytes(),
                payer_opens: guesses.iter().any(|g| g.point() == Some(lock.point)),
                proof: merkle::verify(&message, &x, &signature).then(|| signature.to_vec()),
            };
            let reveal = Reveal {
                message,
                points: vec![points.r1, points.r2],
                signature,
            };
            Ok((made, reveal))
        };
        // The payer's own preimage of an attempt; that it is derived stands for its having drawn it.
        let payers = tagged_hash(
            b"lnconform/simulation/preimage",
            &[*commitment, *attempt].concat(),
        );
        let of_hash = |secret: [u8; 32], proves: bool| {
            let hash = sha256(&[&secret]);
            Attempt {
                lock: hash.to_vec(),
                secret,
                payer_opens: sha256(&[&payers]) == hash,
                proof: proves.then(|| secret.to_vec()),
            }
        };
        made.push(match form {
            Form::PayerHash => of_hash(payers, false),
            Form::RecipientHash => of_hash(*preimage, true),
            Form::RequestPoint => {
                let (made, reveal) = of_point(super::message(commitment))?;
                note(&mut reveals, reveal);
                made
            }
            Form::AttemptPoint => {
                let (made, reveal) = of_point(message(commitment, attempt))?;
                note(&mut reveals, reveal);
                made
            }
        });
    }
    let locks: Vec<&[u8]> = made.iter().map(|a| a.lock.as_slice()).collect();
    let secrets: Vec<[u8; 32]> = made.iter().map(|a| a.secret).collect();
    let mut proofs: Vec<&Vec<u8>> = Vec::new();
    for proof in made.iter().filter_map(|a| a.proof.as_ref()) {
        note(&mut proofs, proof);
    }
    let settlements_shown = proofs.len();
    Ok(Compared {
        lock_follows_attempt: super::twins(&locks).is_none(),
        secrets_distinct: super::twins(&secrets).is_none(),
        payer_opens: made.iter().any(|a| a.payer_opens),
        settlements_shown,
        recovery: recover(&key, &reveals)?,
        attempts: made,
    })
}

/// Adds what is not there yet: the same signature twice is no second equation and no second proof.
fn note<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}
