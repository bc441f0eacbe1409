//! Keysend proof, our own draft (`specs/drafts/keysend-proof.md`), version 0.
//!
//! A payer puts a [`Request`] into the onion and derives the keysend preimage from it
//! ([`Opening`]); the recipient decides with [`accept`] and signs a [`Receipt`]; anybody checks
//! with [`verify`], and with [`contradiction`] whether a recipient signed two different things.
//!
//! Nonce, commitment and preimage are secrets until the payment is settled: they are wiped when
//! they are dropped, left out of debug output, and compared in constant time. Copies inside the
//! hash function are not reached.

mod contradiction;
mod proof;
mod receipt;

pub use contradiction::Contradiction;
pub(crate) use proof::sentences;
pub use proof::{Proof, Verified, claim_digest, contradiction, sign_claim, verify};
pub use receipt::{
    ALGORITHM_BIP340, ALGORITHM_SIGNED_MESSAGE, Message, RECEIPT_TAG, Receipt, Statement,
    zbase32_decode, zbase32_encode,
};

use crate::keys::{Point, is_point, sha256};
use crate::rules::{self, Rules, Violation};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Custom record of the final hop's payload that holds a [`Request`].
pub const REQUEST_TYPE: u64 = 1_263_751_217;
/// Custom record that holds a [`Receipt`].
pub const RECEIPT_TYPE: u64 = 1_263_751_219;
/// Custom record that names the node to send the receipt to.
pub const REPLY_TYPE: u64 = 1_263_751_221;
/// Bytes of a request.
pub const REQUEST_LENGTH: usize = 114;
/// Bit 0 of the flags: the payer asks for a receipt.
pub const RECEIPT_WANTED: u8 = 1;
/// Bit 1 of the flags: the keysend preimage is the derived one.
pub const PREIMAGE_BOUND: u8 = 2;

type Hash = [u8; 32];

/// The tagged hash of BIP 340 over the parts in sequence.
pub(crate) fn tagged(tag: &[u8], parts: &[&[u8]]) -> Hash {
    let tag = sha256(&[tag]);
    let mut all: Vec<&[u8]> = vec![&tag, &tag];
    all.extend_from_slice(parts);
    sha256(&all)
}

/// The first `N` bytes; what is missing counts as zero.
pub(crate) fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    let there = bytes.len().min(N);
    array[..there].copy_from_slice(&bytes[..there]);
    array
}

/// `N` bytes at `at`, of an array that is long enough.
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    padded(bytes.get(at..).unwrap_or_default())
}

/// The rules of one draft on the layout of a request, which the drafts share.
pub(crate) struct RequestRules {
    pub(crate) length: &'static str,
    pub(crate) version: &'static str,
    pub(crate) flags: &'static str,
    pub(crate) payer_version: &'static str,
    pub(crate) payer_flags: &'static str,
    pub(crate) payer_amount: &'static str,
    pub(crate) payer_key: &'static str,
}

const REQUEST_RULES: RequestRules = RequestRules {
    length: rules::KSP_REQUEST_LENGTH,
    version: rules::KSP_REQUEST_VERSION,
    flags: rules::KSP_REQUEST_FLAGS,
    payer_version: rules::KSP_PAYER_VERSION,
    payer_flags: rules::KSP_PAYER_FLAGS,
    payer_amount: rules::KSP_PAYER_AMOUNT_POSITIVE,
    payer_key: rules::KSP_PAYER_KEY,
};

/// `ksp_request`: what the payer says about a payment.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// 0, unless the rule on it is off.
    pub version: u8,
    /// [`RECEIPT_WANTED`] and [`PREIMAGE_BOUND`].
    pub flags: u8,
    /// 32 fresh random bytes, secret until the payment is settled.
    pub nonce: Zeroizing<[u8; 32]>,
    /// When the payer says it pays, in seconds since 1970.
    pub payment_time: u64,
    /// What the recipient is to receive, in msat.
    pub amount_msat: u64,
    /// X-only key that can claim the proof.
    pub payer_key: [u8; 32],
    /// SHA-256 of what was bought, or zeros.
    pub terms_hash: [u8; 32],
}

impl Request {
    /// Reads a request. With the rule on the length off, missing bytes count as zero and surplus
    /// bytes are dropped.
    ///
    /// # Errors
    /// Keysend proof, records: a length other than 114, a version other than 0, an unknown flag.
    pub fn decode(rules: &Rules, bytes: &[u8]) -> Result<Self, Violation> {
        Self::decode_by(rules, &REQUEST_RULES, bytes)
    }

    /// Reads a request by the rules of one draft.
    pub(crate) fn decode_by(
        rules: &Rules,
        ids: &RequestRules,
        bytes: &[u8],
    ) -> Result<Self, Violation> {
        rules.check(ids.length, bytes.len() == REQUEST_LENGTH, || {
            format!(
                "the request has {} bytes, not {REQUEST_LENGTH}",
                bytes.len()
            )
        })?;
        let bytes = Zeroizing::new(padded::<REQUEST_LENGTH>(bytes));
        let [version, flags] = field(&*bytes, 0);
        rules.check(ids.version, version == 0, || {
            format!("the request has version {version}, not 0")
        })?;
        rules.check(ids.flags, known_flags(flags), || {
            format!("the request has flags {flags:#04x}, of which 0x03 are known")
        })?;
        Ok(Self {
            version,
            flags,
            nonce: Zeroizing::new(field(&*bytes, 2)),
            payment_time: u64::from_be_bytes(field(&*bytes, 34)),
            amount_msat: u64::from_be_bytes(field(&*bytes, 42)),
            payer_key: field(&*bytes, 50),
            terms_hash: field(&*bytes, 82),
        })
    }

    /// Writes a request as the payer's rules ask for.
    ///
    /// # Errors
    /// Keysend proof, payer: a version other than 0, an unknown flag, an amount of 0, a key that
    /// is no x-only key.
    pub fn encode(&self, rules: &Rules) -> Result<Zeroizing<[u8; REQUEST_LENGTH]>, Violation> {
        self.encode_by(rules, &REQUEST_RULES)
    }

    /// Writes a request by the rules of one draft.
    pub(crate) fn encode_by(
        &self,
        rules: &Rules,
        ids: &RequestRules,
    ) -> Result<Zeroizing<[u8; REQUEST_LENGTH]>, Violation> {
        rules.check(ids.payer_version, self.version == 0, || {
            format!("a request is written with version 0, not {}", self.version)
        })?;
        rules.check(ids.payer_flags, known_flags(self.flags), || {
            format!("flags {:#04x} hold more than 0x03", self.flags)
        })?;
        rules.at_least(ids.payer_amount, self.amount_msat, 1, || {
            "the amount of a request is above 0 msat".into()
        })?;
        rules.check(
            ids.payer_key,
            bitcoin::secp256k1::XOnlyPublicKey::from_slice(&self.payer_key).is_ok(),
            || "the payer key is no x-only key of secp256k1".into(),
        )?;
        Ok(self.encode_unchecked())
    }

    /// Writes whatever the fields hold.
    pub fn encode_unchecked(&self) -> Zeroizing<[u8; REQUEST_LENGTH]> {
        let mut bytes = Zeroizing::new([0; REQUEST_LENGTH]);
        bytes[0] = self.version;
        bytes[1] = self.flags;
        bytes[2..34].copy_from_slice(&*self.nonce);
        bytes[34..42].copy_from_slice(&self.payment_time.to_be_bytes());
        bytes[42..50].copy_from_slice(&self.amount_msat.to_be_bytes());
        bytes[50..82].copy_from_slice(&self.payer_key);
        bytes[82..].copy_from_slice(&self.terms_hash);
        bytes
    }

    /// Whether the payer asks for a receipt.
    pub fn receipt_wanted(&self) -> bool {
        self.flags & RECEIPT_WANTED != 0
    }

    /// Whether the keysend preimage is said to be the derived one.
    pub fn preimage_bound(&self) -> bool {
        self.flags & PREIMAGE_BOUND != 0
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("version", &self.version)
            .field("flags", &self.flags)
            .field("payment_time", &self.payment_time)
            .field("amount_msat", &self.amount_msat)
            .finish_non_exhaustive()
    }
}

fn known_flags(flags: u8) -> bool {
    flags & !(RECEIPT_WANTED | PREIMAGE_BOUND) == 0
}

/// Reads a `ksp_reply`: the node to send the receipt to. With the rules off it is any 33 bytes.
///
/// # Errors
/// Keysend proof, records: a length other than 33, no point of the curve.
pub fn decode_reply(rules: &Rules, bytes: &[u8]) -> Result<Point, Violation> {
    rules.check(rules::KSP_REPLY_LENGTH, bytes.len() == 33, || {
        format!("the reply has {} bytes, not 33", bytes.len())
    })?;
    let node_id: Point = padded(bytes);
    rules.check(rules::KSP_REPLY_POINT, is_point(&node_id), || {
        "the reply is no compressed point of secp256k1".into()
    })?;
    Ok(node_id)
}

/// What a request opens for one recipient on one chain.
#[derive(Clone, PartialEq, Eq)]
pub struct Opening {
    /// What receipt and claim are over.
    pub commitment: Zeroizing<Hash>,
    /// The keysend preimage of a bound request.
    pub preimage: Zeroizing<Hash>,
    /// Its SHA-256.
    pub payment_hash: Hash,
}

impl Opening {
    /// Derives from a request.
    ///
    /// # Errors
    /// Keysend proof, derivation: the recipient id is no point. With that rule off any 33 bytes
    /// are taken.
    pub fn derive(
        rules: &Rules,
        chain_hash: &Hash,
        recipient_id: &Point,
        request: &Request,
    ) -> Result<Self, Violation> {
        check_recipient_id(rules, recipient_id)?;
        let request = request.encode_unchecked();
        let wrong = |id, how| rules.mistaken(id, how);
        let committed: &[&[u8]] = if wrong(rules::KSP_DERIVED_COMMITMENT, "without-chain") {
            &[recipient_id, &*request]
        } else if wrong(rules::KSP_DERIVED_COMMITMENT, "recipient-last") {
            &[chain_hash, &*request, recipient_id]
        } else {
            &[chain_hash, recipient_id, &*request]
        };
        let commitment = Zeroizing::new(tagged(b"ln-ksp/0/commit", committed));
        let preimage = match wrong(rules::KSP_DERIVED_PREIMAGE, "commitment-itself") {
            true => commitment.clone(),
            false => Zeroizing::new(tagged(b"ln-ksp/0/preimage", &[&*commitment])),
        };
        let mut payment_hash = sha256(&[&*preimage]);
        if wrong(rules::KSP_DERIVED_PAYMENT_HASH, "hashed-twice") {
            payment_hash = sha256(&[&payment_hash]);
        }
        Ok(Self {
            commitment,
            preimage,
            payment_hash,
        })
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("payment_hash", &self.payment_hash)
            .finish_non_exhaustive()
    }
}

/// Checks that a recipient id is a point.
///
/// # Errors
/// Keysend proof, derivation.
pub fn check_recipient_id(rules: &Rules, recipient_id: &Point) -> Result<(), Violation> {
    rules.check(rules::KSP_RECIPIENT_ID, is_point(recipient_id), || {
        "the recipient id is no compressed point of secp256k1".into()
    })
}

fn same(a: &Hash, b: &Hash) -> bool {
    a.ct_eq(b).into()
}

fn among(list: &[Hash], one: &Hash) -> bool {
    list.iter()
        .fold(subtle::Choice::from(0), |found, item| {
            found | item.ct_eq(one)
        })
        .into()
}

/// A payment as its recipient sees it.
#[derive(Clone, Copy)]
pub struct Payment<'a> {
    /// The recipient's chain.
    pub chain_hash: &'a Hash,
    /// The recipient's own node id.
    pub recipient_id: &'a Point,
    /// Value of the record [`REQUEST_TYPE`].
    pub request: &'a [u8],
    /// Value of the keysend record 5482373484.
    pub preimage: &'a Hash,
    /// What the HTLCs are locked to.
    pub payment_hash: &'a Hash,
    /// Sum of the HTLCs, in msat.
    pub received_msat: u64,
    /// The recipient's clock, in seconds since 1970.
    pub now: u64,
}

/// How far `payment_time` may be from the recipient's clock, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Into the past.
    pub past: u64,
    /// Into the future.
    pub future: u64,
}

impl Default for Window {
    /// 7 days and 2 hours: a payment may wait long for a recipient that is offline.
    fn default() -> Self {
        Self {
            past: 604_800,
            future: 7_200,
        }
    }
}

/// What a recipient has signed receipts for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// Payment hashes.
    pub payment_hashes: &'a [Hash],
    /// Commitments.
    pub commitments: &'a [Hash],
}

/// A recipient's answer to a well-formed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A receipt over this opening is due.
    Due(Opening),
    /// None is, since the payer wants none; nothing else was looked at.
    NotWanted(String),
}

/// Decides whether a receipt is due for a payment that is not settled yet.
///
/// # Errors
/// Keysend proof, recipient: the rule for which none is due. Whether the payment is kept as a plain
/// keysend payment is another matter.
pub fn accept(
    rules: &Rules,
    payment: &Payment<'_>,
    window: Window,
    seen: Seen<'_>,
) -> Result<Decision, Violation> {
    check_recipient_id(rules, payment.recipient_id)?;
    let request = Request::decode(rules, payment.request)?;
    let wanted = rules.check(
        rules::KSP_RECIPIENT_RECEIPT_WANTED,
        request.receipt_wanted(),
        || "the request wants no receipt: bit 0 of its flags is clear".into(),
    );
    if let Err(not_wanted) = wanted {
        return Ok(Decision::NotWanted(not_wanted.message));
    }
    let opening = Opening::derive(rules, payment.chain_hash, payment.recipient_id, &request)?;

    rules.check(
        rules::KSP_RECIPIENT_PREIMAGE_HASH,
        same(&sha256(&[payment.preimage]), payment.payment_hash),
        || "the keysend preimage does not hash to the payment hash".into(),
    )?;
    rules.check(
        rules::KSP_RECIPIENT_PREIMAGE_BOUND,
        !request.preimage_bound() || same(payment.preimage, &opening.preimage),
        || {
            "the keysend preimage is not the one derived from the request for this recipient \
             and chain"
                .into()
        },
    )?;
    let (received, amount) = (payment.received_msat, request.amount_msat);
    rules.at_least(rules::KSP_RECIPIENT_AMOUNT_LEAST, received, amount, || {
        format!("received {received} msat, less than the {amount} msat of the request")
    })?;
    // Twice an amount beyond half of u64 is more than can be received.
    rules.at_most(
        rules::KSP_RECIPIENT_AMOUNT_MOST,
        received,
        amount.saturating_mul(2),
        || format!("received {received} msat, more than twice the {amount} msat of the request"),
    )?;
    let age = payment.now.saturating_sub(request.payment_time);
    rules.at_most(rules::KSP_RECIPIENT_TIME_PAST, age, window.past, || {
        format!(
            "the request is {age} s old, and {} s are allowed",
            window.past
        )
    })?;
    let ahead = request.payment_time.saturating_sub(payment.now);
    rules.at_most(
        rules::KSP_RECIPIENT_TIME_FUTURE,
        ahead,
        window.future,
        || {
            format!(
                "the request is {ahead} s ahead, and {} s are allowed",
                window.future
            )
        },
    )?;
    rules.check(
        rules::KSP_RECIPIENT_SECOND_PAYMENT,
        !among(seen.payment_hashes, payment.payment_hash),
        || "another payment with this payment hash has a receipt".into(),
    )?;
    rules.check(
        rules::KSP_RECIPIENT_ONE_RECEIPT,
        !among(seen.commitments, &opening.commitment),
        || "another payment with this commitment has a receipt".into(),
    )?;
    Ok(Decision::Due(opening))
}

#[cfg(test)]
mod tests;
