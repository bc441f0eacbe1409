//! BOLT 12: offers, what follows on them, and the Merkle tree behind their signatures.

pub mod invoice;
pub mod invoice_error;
pub mod invoice_request;
pub mod merkle;
pub mod offer;

use crate::blinding::BlindedPath;
use crate::keys::{self, Point, SecretKey};
use crate::rules::{Rules, Violation};
use crate::tlv::Record;
use crate::value::Reader;

/// Type of the one signature that these messages have.
pub const SIGNATURE: u64 = 240;

/// A signature of BIP 340.
pub type Signature = [u8; 64];

/// Reads a value that is paths and nothing else.
fn paths(rules: &Rules, name: &str, value: &[u8]) -> Result<Vec<BlindedPath>, Violation> {
    let mut value = Reader::new(rules, name, value);
    let mut paths = Vec::new();
    while !value.is_empty() {
        paths.push(BlindedPath::read(rules, &mut value)?);
    }
    Ok(paths)
}

/// Reads a value of `N` bytes.
fn array<const N: usize>(rules: &Rules, name: &str, value: &[u8]) -> Result<[u8; N], Violation> {
    let mut value = Reader::new(rules, name, value);
    let bytes = value.array()?;
    value.end()?;
    Ok(bytes)
}

/// Reads a value that is a point and nothing else.
fn point(rules: &Rules, name: &str, value: &[u8]) -> Result<Point, Violation> {
    let bytes = array(rules, name, value)?;
    // The length first: what is too long is no case of a bad point.
    Reader::new(rules, name, value).point()?;
    Ok(bytes)
}

/// Checks that no path is without hops, under the rule `id`.
fn check_hops(
    rules: &Rules,
    id: &'static str,
    name: &str,
    paths: Option<&Vec<BlindedPath>>,
) -> Result<(), Violation> {
    for (path, at) in paths.into_iter().flatten().zip(1..) {
        rules.at_least(id, path.hops.len() as u64, 1, || {
            format!("path {at} of {name} has no hops")
        })?;
    }
    Ok(())
}

/// Whether `signature` is that of `key` over `records`, as field `signature` of `message`.
fn is_signed(message: &str, records: &[Record], key: &Point, signature: &Signature) -> bool {
    // The order of the records was checked when they were read; a reader with that rule off gets
    // no tree here, and no valid signature.
    let Ok(tree) = merkle::tree(&Rules::all(), records) else {
        return false;
    };
    let hash = merkle::signed_hash(&Rules::all(), message, "signature", &tree.root);
    let mut x = [0; 32];
    x.copy_from_slice(&key[1..]);
    merkle::verify(&hash, &x, signature)
}

/// Records with the signature of `secret` over them as field `signature` of `message`, in the
/// place of one that is there. What has no Merkle tree, because it is empty or out of order,
/// is left as it is: the writer's rules refuse it.
pub fn sign(message: &str, records: &[Record], secret: &SecretKey) -> Vec<Record> {
    let mut signed: Vec<Record> = records
        .iter()
        .filter(|record| record.kind != SIGNATURE)
        .cloned()
        .collect();
    if let Ok(tree) = merkle::tree(&Rules::all(), &signed) {
        let hash = merkle::signed_hash(&Rules::all(), message, "signature", &tree.root);
        let record = Record::new(SIGNATURE, merkle::sign(&hash, secret, None));
        let at = signed.partition_point(|other| other.kind < SIGNATURE);
        signed.insert(at, record);
    }
    signed
}

/// The public key of `secret`, compressed.
pub fn key_of(secret: &SecretKey) -> Point {
    keys::public(secret).serialize()
}

#[cfg(test)]
mod tests;
