//! Signatures and hashes of DNSSEC: the algorithms that are in use (RFC 8624).

use super::Name;
use super::chain::{Anchor, Key};
use bitcoin::hashes::{Hash, sha1, sha256, sha384, sha512};
use num_bigint::BigUint;
use ring::signature::{self, UnparsedPublicKey};

/// Most bytes of an RSA modulus that is looked at: 4096 bits, which is also RFC 3110's bound.
const LONGEST_MODULUS: usize = 512;
/// Most bytes of an RSA exponent; those in use have one or three.
const LONGEST_EXPONENT: usize = 8;

/// Whether an algorithm hashes with SHA-1: RSASHA1, and the same for zones with NSEC3.
pub(super) fn is_sha1(algorithm: u8) -> bool {
    matches!(algorithm, 5 | 7)
}

/// Whether an algorithm is RSA.
fn is_rsa(algorithm: u8) -> bool {
    matches!(algorithm, 5 | 7 | 8 | 10)
}

/// Exponent and modulus (RFC 3110, 2).
fn rsa(public: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&short, rest) = public.split_first()?;
    let (length, rest) = match short {
        0 => {
            let (long, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*long)), rest)
        }
        short => (usize::from(short), rest),
    };
    let (exponent, modulus) = rest.split_at_checked(length)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    Some((exponent, &modulus[zeros..]))
}

/// How many bits the modulus of an RSA key has; `None` for another key. One that is cut short has
/// none.
pub(super) fn rsa_bits(key: &Key) -> Option<u64> {
    if !is_rsa(key.algorithm) {
        return None;
    }
    let modulus = rsa(key.public()).map_or(&[][..], |(_, modulus)| modulus);
    Some(BigUint::from_bytes_be(modulus).bits())
}

/// The hash of `message` as PKCS #1, 1.5 wraps it, without the padding (RFC 8017, 9.2).
fn digest_info(algorithm: u8, message: &[u8]) -> Option<Vec<u8>> {
    // SEQUENCE { SEQUENCE { OID, NULL }, OCTET STRING }, up to the hash.
    let (head, hash): (&[u8], Vec<u8>) = match algorithm {
        5 | 7 => (
            &[
                0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 20,
            ],
            sha1::Hash::hash(message).as_byte_array().to_vec(),
        ),
        8 => (
            &[
                0x30, 0x31, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 32,
            ],
            sha256::Hash::hash(message).as_byte_array().to_vec(),
        ),
        10 => (
            &[
                0x30, 0x51, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 64,
            ],
            sha512::Hash::hash(message).as_byte_array().to_vec(),
        ),
        _ => return None,
    };
    Some([head, &hash].concat())
}

fn rsa_verify(algorithm: u8, public: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    let (exponent, modulus) = rsa(public)?;
    let length = modulus.len();
    if length > LONGEST_MODULUS || exponent.len() > LONGEST_EXPONENT || signature.len() != length {
        return None;
    }
    let info = digest_info(algorithm, message)?;
    let padding = length.checked_sub(info.len() + 3).filter(|ff| *ff >= 8)?;
    let modulus = BigUint::from_bytes_be(modulus);
    let signature = BigUint::from_bytes_be(signature);
    if signature >= modulus {
        return None;
    }
    let opened = signature.modpow(&BigUint::from_bytes_be(exponent), &modulus);
    let wanted = [&[0, 1], vec![0xff; padding].as_slice(), &[0], &info].concat();
    Some(opened == BigUint::from_bytes_be(&wanted))
}

/// Whether `signature` is one of `message` under `key`. A key or an algorithm that is not known
/// signs nothing.
pub(super) fn verify(key: &Key, message: &[u8], signature: &[u8]) -> bool {
    let public = key.public();
    let point = || [&[4], public].concat();
    match key.algorithm {
        algorithm if is_rsa(algorithm) => {
            rsa_verify(algorithm, public, message, signature).unwrap_or(false)
        }
        13 => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point())
            .verify(message, signature)
            .is_ok(),
        14 => UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point())
            .verify(message, signature)
            .is_ok(),
        15 => UnparsedPublicKey::new(&signature::ED25519, public)
            .verify(message, signature)
            .is_ok(),
        _ => false,
    }
}

/// Whether `anchor` names `key` of `zone` (RFC 4034, 5.1.4). SHA-1 counts here: bLIP 32 lets a
/// verifier take it.
pub(super) fn names(anchor: &Anchor, zone: &Name, key: &Key) -> bool {
    if anchor.key_tag != key.tag || anchor.algorithm != key.algorithm {
        return false;
    }
    let hashed = [zone.wire(), key.data.clone()].concat();
    match anchor.digest_type {
        1 => anchor.digest == sha1::Hash::hash(&hashed).as_byte_array(),
        2 => anchor.digest == sha256::Hash::hash(&hashed).as_byte_array(),
        4 => anchor.digest == sha384::Hash::hash(&hashed).as_byte_array(),
        _ => false,
    }
}
