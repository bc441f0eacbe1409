//! Receipts: what a recipient signs over a request and the HTLCs that paid it.

use super::{Hash, Message};
use crate::keys::{Point, SecretKey, sha256};
use crate::keysend_proof::{field, padded};
use crate::rules::{self, Rules, Violation};

/// Bytes of a receipt.
pub const RECEIPT_LENGTH: usize = 177;

/// One HTLC by what a receipt says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Htlc {
    /// What it was locked to.
    pub payment_hash: Hash,
    /// Its amount, in msat.
    pub amount_msat: u64,
}

/// `set_digest`: SHA-256 over hash and amount of every HTLC, sorted as byte strings, so that the
/// order in which they came does not matter.
pub fn set_digest(htlcs: &[Htlc]) -> Hash {
    // Hash first, then the amount big-endian: numbers sort as their bytes do.
    let mut sorted = htlcs.to_vec();
    sorted.sort_unstable();
    let amounts: Vec<[u8; 8]> = sorted
        .iter()
        .map(|htlc| htlc.amount_msat.to_be_bytes())
        .collect();
    let parts: Vec<&[u8]> = sorted
        .iter()
        .zip(&amounts)
        .flat_map(|(htlc, amount)| [&htlc.payment_hash[..], &amount[..]])
        .collect();
    sha256(&parts)
}

/// Sum of the amounts, in msat; `None` beyond 64 bits, which no chain has.
pub fn set_sum(htlcs: &[Htlc]) -> Option<u64> {
    htlcs
        .iter()
        .try_fold(0_u64, |sum, htlc| sum.checked_add(htlc.amount_msat))
}

/// What a receipt states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Set id of the AMP part.
    pub set_id: Hash,
    /// SHA-256 of its root.
    pub root_hash: Hash,
    /// [`set_digest`] of all HTLCs.
    pub set_digest: Hash,
    /// What the recipient received, in msat.
    pub received_msat: u64,
    /// When the last part was settled, in seconds since 1970, by its own clock.
    pub settled_time: u64,
}

impl Statement {
    /// What is signed for this statement under `commitment`, 144 bytes.
    pub fn message(&self, commitment: &Hash) -> Message {
        Message::new(
            "ln-ait/0/receipt",
            &[
                commitment,
                &self.set_id,
                &self.root_hash,
                &self.set_digest,
                &self.received_msat.to_be_bytes(),
                &self.settled_time.to_be_bytes(),
            ],
        )
    }

    /// Signs the statement with the recipient's secret key. `aux` is BIP 340's auxiliary randomness,
    /// zeros by default.
    pub fn sign(&self, commitment: &Hash, secret: &SecretKey, aux: Option<&[u8; 32]>) -> Receipt {
        Receipt {
            version: 0,
            statement: *self,
            signature: self.message(commitment).sign(secret, aux),
        }
    }
}

/// `ait_receipt`: a statement that the recipient signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// 0, unless the rule on it is off.
    pub version: u8,
    /// What is stated.
    pub statement: Statement,
    /// BIP 340 by the recipient.
    pub signature: [u8; 64],
}

impl Receipt {
    /// Its 177 bytes.
    pub fn encode(&self) -> [u8; RECEIPT_LENGTH] {
        let stated = &self.statement;
        let mut bytes = [0; RECEIPT_LENGTH];
        bytes[0] = self.version;
        bytes[1..33].copy_from_slice(&stated.set_id);
        bytes[33..65].copy_from_slice(&stated.root_hash);
        bytes[65..97].copy_from_slice(&stated.set_digest);
        bytes[97..105].copy_from_slice(&stated.received_msat.to_be_bytes());
        bytes[105..113].copy_from_slice(&stated.settled_time.to_be_bytes());
        bytes[113..].copy_from_slice(&self.signature);
        bytes
    }

    /// Reads a receipt. With the rule on the length off, missing bytes count as zero and surplus
    /// bytes are dropped.
    ///
    /// # Errors
    /// AMP proofs, records: another length than 177, a version other than 0.
    pub fn decode(rules: &Rules, bytes: &[u8]) -> Result<Self, Violation> {
        rules.check(
            rules::AIT_RECEIPT_LENGTH,
            bytes.len() == RECEIPT_LENGTH,
            || {
                format!(
                    "the receipt has {} bytes, not {RECEIPT_LENGTH}",
                    bytes.len()
                )
            },
        )?;
        let bytes = padded::<RECEIPT_LENGTH>(bytes);
        rules.check(rules::AIT_RECEIPT_VERSION, bytes[0] == 0, || {
            format!("the receipt has version {}, not 0", bytes[0])
        })?;
        Ok(Self {
            version: bytes[0],
            statement: Statement {
                set_id: field(&bytes, 1),
                root_hash: field(&bytes, 33),
                set_digest: field(&bytes, 65),
                received_msat: u64::from_be_bytes(field(&bytes, 97)),
                settled_time: u64::from_be_bytes(field(&bytes, 105)),
            },
            signature: field(&bytes, 113),
        })
    }

    /// Whether `recipient_id` signed it under `commitment`.
    pub fn is_signed_by(&self, recipient_id: &Point, commitment: &Hash) -> bool {
        self.statement
            .message(commitment)
            .is_signed_by(recipient_id, &self.signature)
    }

    /// Checks the signature, as a verifier does.
    ///
    /// # Errors
    /// AMP proofs, verifier: the recipient did not sign it for this request.
    pub fn check_signature(
        &self,
        rules: &Rules,
        recipient_id: &Point,
        commitment: &Hash,
    ) -> Result<(), Violation> {
        rules.check(
            rules::AIT_SIGNATURE,
            self.is_signed_by(recipient_id, commitment),
            || "the receipt was not signed by the recipient id for this request".into(),
        )
    }
}
