//! Atomic multi-path payments as LND has them (`specs/drafts/amp-reusable-invoice.md`), and the two
//! earlier forms of the record.
//!
//! A payer shares a root among the HTLCs of a set ([`split`], [`shares`]); each HTLC carries a
//! [`Record`] and is locked to a [`Child`] of the root. The recipient learns the root only from all
//! shares together ([`reconstruct`]).
//!
//! Root, shares and preimages are secrets until the set is settled: they are wiped when they are
//! dropped, and left out of debug output. Copies inside the hash function are not reached.

use crate::keys::sha256;
use crate::rules::{self, Rules, Violation};
use std::fmt;
use zeroize::Zeroizing;

type Hash = [u8; 32];
/// 32 bytes that are wiped when they are dropped.
type Secret = Zeroizing<Hash>;

/// One form of the record and of the derivation, as data.
#[derive(Debug, PartialEq, Eq)]
pub struct Dialect {
    /// `amp/lnd`, `amp/2021` or `amp/pr-658`.
    pub name: &'static str,
    /// Type of the record in the payload of the final hop.
    pub record_type: u64,
    /// Least bytes of the record's value.
    pub shortest: usize,
    /// Most bytes of the record's value.
    pub longest: usize,
    /// The child preimage is a hash over the share too, and the index has four bytes in it. Without
    /// this the preimage is a hash over the root and an index of two bytes.
    pub share_in_preimage: bool,
    /// The record names an invoice and the total, which else are in `payment_data`.
    pub own_payment_data: bool,
    type_rule: &'static str,
}

/// What LND sends and reads.
pub const LND: Dialect = Dialect {
    name: "amp/lnd",
    record_type: 14,
    shortest: 64,
    longest: 68,
    share_in_preimage: true,
    own_payment_data: false,
    type_rule: rules::AMP_TYPE,
};

/// The draft "BOLT 21" of March 2021: LND's form under another type.
pub const DRAFT_2021: Dialect = Dialect {
    name: "amp/2021",
    record_type: 10,
    type_rule: rules::AMP_2021_TYPE,
    ..LND
};

/// Pull request 658 to the BOLTs, August 2019.
pub const PR_658: Dialect = Dialect {
    name: "amp/pr-658",
    record_type: 10,
    shortest: PR_658_LENGTH,
    longest: PR_658_LENGTH,
    share_in_preimage: false,
    own_payment_data: true,
    type_rule: rules::AMP_PR_658_TYPE,
};

/// All forms, the one in use first.
pub const DIALECTS: [&Dialect; 3] = [&LND, &DRAFT_2021, &PR_658];

const PR_658_LENGTH: usize = 106;

impl Dialect {
    /// The form of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        DIALECTS.into_iter().find(|dialect| dialect.name == name)
    }

    /// Which form a record has, by its type and the length of its value in bytes. No two forms share
    /// both.
    pub fn of(kind: u64, length: usize) -> Option<&'static Self> {
        DIALECTS.into_iter().find(|dialect| {
            dialect.record_type == kind && (dialect.shortest..=dialect.longest).contains(&length)
        })
    }

    /// Checks the type under which a record came.
    ///
    /// # Errors
    /// AMP, record and earlier forms: another type than the form's.
    pub fn check_type(&self, rules: &Rules, kind: u64, length: usize) -> Result<(), Violation> {
        rules.check(self.type_rule, kind == self.record_type, || {
            let seems = match Self::of(kind, length) {
                Some(other) => format!("; it has type and length of {}", other.name),
                None => String::new(),
            };
            format!(
                "the record has type {kind}, and that of {} is {}{seems}",
                self.name, self.record_type
            )
        })
    }
}

/// What the record of pull request 658 holds beside share, set id and index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnPaymentData {
    /// Payment hash of the invoice, or zeros where there is none.
    pub payment_id: Hash,
    /// Sum of the set, in msat.
    pub total_msat: u64,
}

/// The AMP record of one HTLC.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// This HTLC's share of the root.
    pub root_share: Secret,
    /// Names the set among those for one payment secret. Whether it is zero is no matter of the
    /// record, but of the recipient of the HTLC.
    pub set_id: Hash,
    /// Tells the children of one share apart.
    pub index: u32,
    /// Only in the form of pull request 658.
    pub own_payment_data: Option<OwnPaymentData>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("set_id", &self.set_id)
            .field("index", &self.index)
            .field("own_payment_data", &self.own_payment_data)
            .finish_non_exhaustive()
    }
}

/// `N` bytes at `at`; what is missing counts as zero.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    let rest = bytes.get(at..).unwrap_or_default();
    let there = rest.len().min(N);
    array[..there].copy_from_slice(&rest[..there]);
    array
}

impl Record {
    /// Reads a record's value, without type and length. With the rules on the length off, missing
    /// bytes count as zero and surplus bytes are passed over; with the rule on the index off, leading
    /// zero bytes of it count for nothing.
    ///
    /// # Errors
    /// AMP, record: fewer than 64 or more than 68 bytes, an index that is not truncated. AMP, earlier
    /// forms: another length than 106 in the form of pull request 658.
    pub fn decode(rules: &Rules, dialect: &Dialect, bytes: &[u8]) -> Result<Self, Violation> {
        if dialect.own_payment_data {
            return Self::decode_pr_658(rules, bytes);
        }
        let length = bytes.len();
        let (shortest, longest) = (dialect.shortest as u64, dialect.longest as u64);
        rules.at_least(rules::AMP_LENGTH_LEAST, length as u64, shortest, || {
            format!("the AMP record has {length} bytes, fewer than {shortest}")
        })?;
        rules.at_most(rules::AMP_LENGTH_MOST, length as u64, longest, || {
            format!("the AMP record has {length} bytes, more than {longest}")
        })?;
        let index = bytes.get(dialect.shortest..).unwrap_or_default();
        let index = &index[..index.len().min(4)];
        rules.check(rules::AMP_INDEX_MINIMAL, index.first() != Some(&0), || {
            format!(
                "the child index has {} bytes and begins with a zero",
                index.len()
            )
        })?;
        Ok(Self {
            root_share: field(bytes, 0).into(),
            set_id: field(bytes, 32),
            index: index
                .iter()
                .fold(0, |number, byte| number << 8 | u32::from(*byte)),
            own_payment_data: None,
        })
    }

    fn decode_pr_658(rules: &Rules, bytes: &[u8]) -> Result<Self, Violation> {
        rules.check(
            rules::AMP_PR_658_LENGTH,
            bytes.len() == PR_658_LENGTH,
            || {
                format!(
                    "the AMP record of pull request 658 has {PR_658_LENGTH} bytes, not {}",
                    bytes.len()
                )
            },
        )?;
        Ok(Self {
            root_share: field(bytes, 64).into(),
            set_id: field(bytes, 32),
            index: u16::from_be_bytes(field(bytes, 96)).into(),
            own_payment_data: Some(OwnPaymentData {
                payment_id: field(bytes, 0),
                total_msat: u64::from_be_bytes(field(bytes, 98)),
            }),
        })
    }

    /// Writes the record's value, without type and length. The form of pull request 658 takes zeros
    /// where the record has no [`OwnPaymentData`]; the other forms pass over what it has.
    ///
    /// # Errors
    /// AMP, earlier forms: an index above 65535 in the form of pull request 658. With that rule off
    /// its lower two bytes are written.
    pub fn encode(
        &self,
        rules: &Rules,
        dialect: &Dialect,
    ) -> Result<Zeroizing<Vec<u8>>, Violation> {
        // Room for the longest form: a vector that grows leaves an unwiped copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(PR_658_LENGTH));
        if dialect.own_payment_data {
            let index = two_bytes(rules, self.index)?;
            let own = self.own_payment_data.unwrap_or_default();
            bytes.extend_from_slice(&own.payment_id);
            bytes.extend_from_slice(&self.set_id);
            bytes.extend_from_slice(&*self.root_share);
            bytes.extend_from_slice(&index);
            bytes.extend_from_slice(&own.total_msat.to_be_bytes());
        } else {
            bytes.extend_from_slice(&*self.root_share);
            bytes.extend_from_slice(&self.set_id);
            let index = self.index.to_be_bytes();
            bytes.extend(index.iter().skip_while(|byte| **byte == 0));
        }
        Ok(bytes)
    }
}

/// The index of pull request 658.
fn two_bytes(rules: &Rules, index: u32) -> Result<[u8; 2], Violation> {
    rules.at_most(
        rules::AMP_PR_658_INDEX,
        index.into(),
        u16::MAX.into(),
        || {
            format!(
                "child index {index} does not fit into the two bytes that pull request 658 gives it"
            )
        },
    )?;
    Ok(field(&index.to_be_bytes(), 2))
}

/// Preimage and payment hash of one HTLC.
#[derive(Clone, PartialEq, Eq)]
pub struct Child {
    /// Settles the HTLC.
    pub preimage: Secret,
    /// What the HTLC is locked to.
    pub payment_hash: Hash,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("payment_hash", &self.payment_hash)
            .finish_non_exhaustive()
    }
}

impl Child {
    /// Derives a child: the preimage is the SHA-256 of root, share and index (four bytes,
    /// big-endian), the payment hash that of the preimage. In the form of pull request 658 the
    /// share is left out and the index has two bytes.
    ///
    /// # Errors
    /// AMP, earlier forms: an index above 65535 in the form of pull request 658. With that rule off
    /// its lower two bytes count.
    pub fn derive(
        rules: &Rules,
        dialect: &Dialect,
        root: &Hash,
        share: &Hash,
        index: u32,
    ) -> Result<Self, Violation> {
        let wrong = |how| rules.mistaken(rules::AMP_CHILD_PREIMAGE, how);
        let mut counter = index.to_be_bytes();
        if wrong("index-little-endian") {
            counter.reverse();
        }
        let preimage: Secret = if dialect.share_in_preimage && wrong("without-share") {
            sha256(&[root, &counter])
        } else if dialect.share_in_preimage {
            sha256(&[root, share, &counter])
        } else {
            sha256(&[root, &two_bytes(rules, index)?])
        }
        .into();
        let mut payment_hash = sha256(&[&*preimage]);
        if rules.mistaken(rules::AMP_CHILD_PAYMENT_HASH, "hashed-twice") {
            payment_hash = sha256(&[&payment_hash]);
        }
        Ok(Self {
            preimage,
            payment_hash,
        })
    }
}

fn xor(a: &Hash, b: &Hash) -> Secret {
    let mut both = Zeroizing::new([0; 32]);
    for (byte, (a, b)) in both.iter_mut().zip(a.iter().zip(b)) {
        *byte = a ^ b;
    }
    both
}

/// Splits a share in two: with `left`, drawn at random, goes what is returned.
pub fn split(share: &Hash, left: &Hash) -> Secret {
    xor(share, left)
}

/// Shares a root among one HTLC more than there are `drawn` shares, which have to be random: those,
/// and the one that makes all of them together the root. Without any, the one share is the root.
pub fn shares(root: &Hash, drawn: &[Hash]) -> Vec<Secret> {
    let last = drawn
        .iter()
        .fold(Zeroizing::new(*root), |rest, share| split(&rest, share));
    drawn
        .iter()
        .map(|share| Zeroizing::new(*share))
        .chain([last])
        .collect()
}

/// What the recipient knows of one HTLC of a set.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// Its share of the root.
    pub share: Secret,
    /// Its child index.
    pub index: u32,
    /// What it is locked to.
    pub payment_hash: Hash,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("index", &self.index)
            .field("payment_hash", &self.payment_hash)
            .finish_non_exhaustive()
    }
}

/// A set whose root is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Reconstructed {
    /// XOR of all shares.
    pub root: Secret,
    /// What settles each HTLC, in the order of the parts.
    pub preimages: Vec<Secret>,
}

impl fmt::Debug for Reconstructed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconstructed").finish_non_exhaustive()
    }
}

/// Recovers the root of a complete set, and with it the preimages of all its HTLCs. Nothing but the
/// payment hashes decides: equal shares, a share of zeros and a root of zeros pass. No part at all
/// gives a root of zeros and no preimage.
///
/// # Errors
/// AMP, reconstruction: a child hash that is not the payment hash of its HTLC; a missing, repeated
/// or altered share shows in all of them. AMP, earlier forms: an index above 65535 in the form of
/// pull request 658.
pub fn reconstruct(
    rules: &Rules,
    dialect: &Dialect,
    parts: &[Part],
) -> Result<Reconstructed, Violation> {
    let counted = match rules.mistaken(rules::AMP_RECONSTRUCT_ROOT, "last-share-left-out") {
        true => parts.len().saturating_sub(1),
        false => parts.len(),
    };
    let root = parts[..counted]
        .iter()
        .fold(Zeroizing::new([0; 32]), |root, part| {
            xor(&root, &part.share)
        });
    let mut preimages = Vec::with_capacity(parts.len());
    for (number, part) in parts.iter().enumerate() {
        let child = Child::derive(rules, dialect, &root, &part.share, part.index)?;
        rules.check(
            rules::AMP_PAYMENT_HASH,
            child.payment_hash == part.payment_hash,
            || {
                format!(
                    "HTLC {} of {} is not locked to the child hash of the root that all shares give",
                    number + 1,
                    parts.len()
                )
            },
        )?;
        preimages.push(child.preimage);
    }
    Ok(Reconstructed { root, preimages })
}

#[cfg(test)]
mod tests;
