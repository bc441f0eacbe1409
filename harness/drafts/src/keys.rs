//! Points, shared secrets and the hashes built on them.

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use bitcoin::secp256k1::ecdh::SharedSecret;
use bitcoin::secp256k1::{All, Scalar, Secp256k1};
pub use bitcoin::secp256k1::{PublicKey, SecretKey};
use std::sync::LazyLock;

/// A compressed point, not necessarily checked.
pub type Point = [u8; 33];

/// A context allocates, so one serves the process.
pub(crate) static SECP: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// A secret that turned out to be zero or beyond the group's order. For keys and data of honest
/// origin that has probability 2^-127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keys given multiply to zero or beyond the group order; choose another session key")]
pub struct KeyError;

impl From<bitcoin::secp256k1::Error> for KeyError {
    fn from(_: bitcoin::secp256k1::Error) -> Self {
        Self
    }
}

/// Whether 33 bytes are a compressed point of the curve.
pub fn is_point(bytes: &[u8]) -> bool {
    bytes.len() == 33 && PublicKey::from_slice(bytes).is_ok()
}

/// SHA-256 of the parts in sequence.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = sha256::HashEngine::default();
    for part in parts {
        engine.input(part);
    }
    sha256::Hash::from_engine(engine).to_byte_array()
}

/// HMAC-SHA256 of the parts in sequence.
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    for part in parts {
        engine.input(part);
    }
    Hmac::from_engine(engine).to_byte_array()
}

/// BOLT 4, shared secret: SHA-256 of the compressed product of key and point.
pub fn ecdh(point: &PublicKey, secret: &SecretKey) -> [u8; 32] {
    SharedSecret::new(point, secret).secret_bytes()
}

/// BOLT 4, key generation: HMAC with the key type's name as the key.
pub fn derive(name: &str, shared_secret: &[u8; 32]) -> [u8; 32] {
    hmac(name.as_bytes(), &[shared_secret])
}

/// `secret` times `factor`.
///
/// # Errors
/// [`KeyError`].
pub fn multiply_secret(secret: &SecretKey, factor: [u8; 32]) -> Result<SecretKey, KeyError> {
    Ok(secret.mul_tweak(&scalar(factor)?)?)
}

/// `point` times `factor`.
///
/// # Errors
/// [`KeyError`].
pub fn multiply_point(point: &PublicKey, factor: [u8; 32]) -> Result<PublicKey, KeyError> {
    Ok(point.mul_tweak(&SECP, &scalar(factor)?)?)
}

fn scalar(bytes: [u8; 32]) -> Result<Scalar, KeyError> {
    Scalar::from_be_bytes(bytes).map_err(|_| KeyError)
}

/// The public key of `secret`.
pub fn public(secret: &SecretKey) -> PublicKey {
    secret.public_key(&SECP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_ecdh_agree() {
        let (a, b) = (
            SecretKey::from_slice(&[1; 32]).unwrap(),
            SecretKey::from_slice(&[2; 32]).unwrap(),
        );
        assert_eq!(ecdh(&public(&a), &b), ecdh(&public(&b), &a));
        assert_ne!(ecdh(&public(&a), &b), ecdh(&public(&a), &a));
    }

    #[test]
    fn multiplying_key_and_point_is_the_same() {
        let secret = SecretKey::from_slice(&[7; 32]).unwrap();
        let factor = sha256(&[b"factor"]);
        assert_eq!(
            public(&multiply_secret(&secret, factor).unwrap()),
            multiply_point(&public(&secret), factor).unwrap()
        );
        for bad in [[0; 32], [0xff; 32]] {
            assert_eq!(multiply_secret(&secret, bad), Err(KeyError));
            assert_eq!(multiply_point(&public(&secret), bad), Err(KeyError));
        }
    }

    #[test]
    fn a_point_is_33_bytes_on_the_curve() {
        let point = public(&SecretKey::from_slice(&[7; 32]).unwrap()).serialize();
        assert!(is_point(&point));
        assert!(!is_point(&point[..32]));
        assert!(!is_point(&[4; 33]));
        // x = 5 has no y on secp256k1.
        let mut off = [0; 33];
        (off[0], off[32]) = (2, 5);
        assert!(!is_point(&off));
    }
}
