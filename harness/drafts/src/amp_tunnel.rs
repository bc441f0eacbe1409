//! AMP proofs and invoice tunneling, our own draft (`specs/drafts/amp-tunneling.md`), version 0.
//!
//! A payer puts a [`Request`] into every HTLC of an AMP set and derives root and set id from it
//! ([`Opening`]); the recipient decides with [`accept`] and signs a [`Receipt`]. With a tunnel, a
//! part of the amount goes to a hash of a [`Pool`] that the recipient made in advance and whose
//! entries its LSP hands out by [`Assignment`]; the recipient decides with [`settle`] whether the
//! secret is released. Anybody checks with [`verify`]; [`fraud`] and [`contradiction`] convict an
//! LSP and a recipient.
//!
//! Nonce, commitment, root and shares are secrets until the payment is settled: they are wiped when
//! they are dropped and left out of debug output. Copies inside the hash function are not reached.

mod pool;
mod receipt;
mod recipient;
mod verifier;

pub use crate::keysend_proof::{Contradiction, REQUEST_LENGTH, Request, Window};
pub(crate) use pool::neighbours;
pub use pool::{
    ASSIGNMENT_LENGTH, Assigned, Assignment, Entry, HEADER_LENGTH, Header, Pool, Signature,
    check_entry, check_offer, leaf,
};
pub use receipt::{Htlc, RECEIPT_LENGTH, Receipt, Statement, set_digest, set_sum};
pub use recipient::{
    Decision, Judged, OwnPool, Part, Payment, Release, Seen, Tunnel, TunnelPart, Used, accept,
    settle,
};
pub use verifier::{
    Fraud, Other, Proof, Shown, Verified, claim_message, contradiction, fraud, sign_claim, verify,
};

use crate::amp;
use crate::bolt12::merkle;
use crate::keys::{Point, SecretKey, is_point, sha256};
use crate::keysend_proof::{RequestRules, padded, tagged};
use crate::rules::{self, Rules, Violation};
use std::fmt;
use zeroize::Zeroizing;

/// Custom record of the final hop's payload that holds a [`Request`].
pub const REQUEST_TYPE: u64 = 1_095_324_721;
/// Custom record that holds a [`Receipt`].
pub const RECEIPT_TYPE: u64 = 1_095_324_723;
/// Custom record that holds an [`Assignment`].
pub const ASSIGNMENT_TYPE: u64 = 1_095_324_725;
/// Bit 1 of the flags: root and set id are the derived ones.
pub const ROOT_BOUND: u8 = 2;

type Hash = [u8; 32];
/// 32 bytes that are wiped when they are dropped.
type Secret = Zeroizing<Hash>;

const REQUEST_RULES: RequestRules = RequestRules {
    length: rules::AIT_REQUEST_LENGTH,
    version: rules::AIT_REQUEST_VERSION,
    flags: rules::AIT_REQUEST_FLAGS,
    payer_version: rules::AIT_PAYER_VERSION,
    payer_flags: rules::AIT_PAYER_FLAGS,
    payer_amount: rules::AIT_PAYER_AMOUNT_POSITIVE,
    payer_key: rules::AIT_PAYER_KEY,
};

/// Reads an `ait_request`. With the rule on the length off, missing bytes count as zero and surplus
/// bytes are dropped.
///
/// # Errors
/// AMP proofs, records: a length other than 114, a version other than 0, an unknown flag.
pub fn decode_request(rules: &Rules, bytes: &[u8]) -> Result<Request, Violation> {
    Request::decode_by(rules, &REQUEST_RULES, bytes)
}

/// Writes an `ait_request` as the payer's rules ask for.
///
/// # Errors
/// AMP proofs, payer: a version other than 0, an unknown flag, an amount of 0, a key that is no
/// x-only key.
pub fn encode_request(
    rules: &Rules,
    request: &Request,
) -> Result<Zeroizing<[u8; REQUEST_LENGTH]>, Violation> {
    request.encode_by(rules, &REQUEST_RULES)
}

/// Whether root and set id are said to be the derived ones: bit 1, which keysend proofs use for the
/// preimage.
pub fn root_bound(request: &Request) -> bool {
    request.flags & ROOT_BOUND != 0
}

/// Whom a payment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The chain, in BOLT 7's order.
    pub chain_hash: Hash,
    /// Node id of the recipient.
    pub recipient_id: Point,
    /// `payment_secret` of the AMP part.
    pub payment_addr: Hash,
}

/// What a request opens for one recipient, payment address and chain.
#[derive(Clone, PartialEq, Eq)]
pub struct Opening {
    /// What receipt and claim are over.
    pub commitment: Secret,
    /// Root of the AMP set of a bound request.
    pub root: Secret,
    /// Its set id.
    pub set_id: Secret,
    /// What the LSP assigns an entry to. It opens nothing.
    pub assignee: Hash,
}

impl Opening {
    /// Derives from a request.
    ///
    /// # Errors
    /// AMP proofs, derivation: the recipient id is no point. With that rule off any 33 bytes are
    /// taken.
    pub fn derive(rules: &Rules, place: &Place, request: &Request) -> Result<Self, Violation> {
        check_recipient_id(rules, &place.recipient_id)?;
        let request = request.encode_unchecked();
        let commitment = Zeroizing::new(tagged(
            b"ln-ait/0/commit",
            &[
                &place.chain_hash,
                &place.recipient_id,
                &place.payment_addr,
                &*request,
            ],
        ));
        let root = tagged(b"ln-ait/0/root", &[&*commitment]).into();
        let set_id = tagged(b"ln-ait/0/set-id", &[&*commitment]).into();
        let assignee = assignee(&commitment);
        Ok(Self {
            commitment,
            root,
            set_id,
            assignee,
        })
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("assignee", &self.assignee)
            .finish_non_exhaustive()
    }
}

/// What the LSP is told of a commitment: it could open the AMP part with the commitment itself.
pub fn assignee(commitment: &Hash) -> Hash {
    tagged(b"ln-ait/0/assignee", &[commitment])
}

/// `root_hash` of a set.
pub fn root_hash(root: &Hash) -> Hash {
    sha256(&[root])
}

/// Checks that a recipient id is a point.
///
/// # Errors
/// AMP proofs, derivation.
pub fn check_recipient_id(rules: &Rules, recipient_id: &Point) -> Result<(), Violation> {
    rules.check(rules::AIT_RECIPIENT_ID, is_point(recipient_id), || {
        "the recipient id is no compressed point of secp256k1".into()
    })
}

/// Bytes that are signed with BIP 340 over their tagged hash, as a node's interface takes them. They
/// may begin with a commitment, so they are a secret as that is.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Tag of the hash, in ASCII.
    pub tag: &'static str,
    /// What is hashed under it.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl Message {
    fn new(tag: &'static str, parts: &[&[u8]]) -> Self {
        // Room for all of it, so that no outgrown copy stays behind.
        let length = parts.iter().map(|part| part.len()).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            bytes.extend_from_slice(part);
        }
        Self { tag, bytes }
    }

    /// The digest under the signature.
    pub fn digest(&self) -> Hash {
        tagged(self.tag.as_bytes(), &[&self.bytes])
    }

    /// Signs. `aux` is BIP 340's auxiliary randomness, zeros by default.
    pub fn sign(&self, secret: &SecretKey, aux: Option<&[u8; 32]>) -> [u8; 64] {
        merkle::sign(&self.digest(), secret, aux)
    }

    /// Whether `signature`, 64 bytes, is one by the x-only key.
    pub fn is_signed_by_key(&self, key: &[u8; 32], signature: &[u8]) -> bool {
        <&[u8; 64]>::try_from(signature).is_ok_and(|s| merkle::verify(&self.digest(), key, s))
    }

    /// Whether `signature` is one by a node, whose id counts by its x coordinate.
    pub fn is_signed_by(&self, node_id: &Point, signature: &[u8]) -> bool {
        self.is_signed_by_key(&padded(&node_id[1..]), signature)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

/// One HTLC of an AMP set, as its payer makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its amount, in msat.
    pub amount_msat: u64,
    /// Its share of the root.
    pub share: Secret,
    /// Its child index.
    pub index: u32,
    /// Its child.
    pub child: amp::Child,
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("amount_msat", &self.amount_msat)
            .field("index", &self.index)
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}

/// Cuts a set into HTLCs: one more amount than there are shares, which have to be random. HTLC `k`
/// has the index `first_index + k`, modulo 2^32; a retry takes a first index that no earlier attempt
/// reached. Shares or amounts beyond the shorter of the two are left out.
///
/// # Errors
/// None: LND's form of the derivation has no rule that could refuse.
pub fn shards(
    rules: &Rules,
    root: &Hash,
    amounts: &[u64],
    drawn: &[Hash],
    first_index: u32,
) -> Result<Vec<Shard>, Violation> {
    let mut index = first_index;
    amounts
        .iter()
        .zip(amp::shares(root, drawn))
        .map(|(amount_msat, share)| {
            let child = amp::Child::derive(rules, &amp::LND, root, &share, index)?;
            let shard = Shard {
                amount_msat: *amount_msat,
                share,
                index,
                child,
            };
            index = index.wrapping_add(1);
            Ok(shard)
        })
        .collect()
}

/// Parts in a million of one.
pub const PPM: u32 = 1_000_000;

/// Splits an amount, in msat: the tunnel, the whole part of the product, and the AMP part. `ppm`
/// above [`PPM`] counts as that.
///
/// The first is also the most that an LSP gains by handing out an entry twice, the second the most
/// that a recipient gains by keeping the AMP part and cancelling the tunnel.
pub fn split(amount_msat: u64, ppm: u32) -> (u64, u64) {
    let product = u128::from(amount_msat) * u128::from(ppm.min(PPM)) / u128::from(PPM);
    // At most the amount, which fits.
    let tunnel = u64::try_from(product).unwrap_or(amount_msat);
    (tunnel, amount_msat - tunnel)
}

#[cfg(test)]
mod tests;
