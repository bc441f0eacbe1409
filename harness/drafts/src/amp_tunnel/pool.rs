//! The pool of hashes that a recipient leaves with its LSP, and the assignments by which the LSP
//! hands them out.

use super::{Hash, Message, Opening, Place};
use crate::keys::{Point, SecretKey, is_point};
use crate::keysend_proof::{field, padded, tagged};
use crate::rules::{self, Rules, Violation};

/// Bytes of a header.
pub const HEADER_LENGTH: usize = 175;
/// Bytes of an assignment.
pub const ASSIGNMENT_LENGTH: usize = 101;

/// Bytes that are meant to be a signature; any length is read, and only 64 bytes can be valid.
pub type Signature<'a> = &'a [u8];

/// What the recipient says of a pool and signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 0, unless the rule on it is off.
    pub version: u8,
    /// Recipient, chain and payment address of the AMP part.
    pub place: Place,
    /// Node id of the LSP whose assignments count.
    pub lsp_id: Point,
    /// The last second at which an entry may be used, since 1970.
    pub expiry: u64,
    /// How many entries there are.
    pub count: u32,
    /// Root over the leaves.
    pub root: Hash,
}

impl Header {
    /// Its 175 bytes.
    pub fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[0] = self.version;
        bytes[1..33].copy_from_slice(&self.place.chain_hash);
        bytes[33..66].copy_from_slice(&self.place.recipient_id);
        bytes[66..98].copy_from_slice(&self.place.payment_addr);
        bytes[98..131].copy_from_slice(&self.lsp_id);
        bytes[131..139].copy_from_slice(&self.expiry.to_be_bytes());
        bytes[139..143].copy_from_slice(&self.count.to_be_bytes());
        bytes[143..].copy_from_slice(&self.root);
        bytes
    }

    /// Reads a header. With the rule on the length off, missing bytes count as zero and surplus
    /// bytes are dropped.
    ///
    /// # Errors
    /// AMP proofs, pool: another length than 175, a version other than 0, an LSP that is no point.
    pub fn decode(rules: &Rules, bytes: &[u8]) -> Result<Self, Violation> {
        rules.check(
            rules::AIT_HEADER_LENGTH,
            bytes.len() == HEADER_LENGTH,
            || {
                format!(
                    "the pool's header has {} bytes, not {HEADER_LENGTH}",
                    bytes.len()
                )
            },
        )?;
        let bytes = padded::<HEADER_LENGTH>(bytes);
        let header = Self {
            version: bytes[0],
            place: Place {
                chain_hash: field(&bytes, 1),
                recipient_id: field(&bytes, 33),
                payment_addr: field(&bytes, 66),
            },
            lsp_id: field(&bytes, 98),
            expiry: u64::from_be_bytes(field(&bytes, 131)),
            count: u32::from_be_bytes(field(&bytes, 139)),
            root: field(&bytes, 143),
        };
        rules.check(rules::AIT_HEADER_VERSION, header.version == 0, || {
            format!("the pool has version {}, not 0", header.version)
        })?;
        rules.check(rules::AIT_LSP_POINT, is_point(&header.lsp_id), || {
            "the pool's LSP is no compressed point of secp256k1".into()
        })?;
        Ok(header)
    }

    /// What its recipient signs.
    pub fn message(bytes: &[u8]) -> Message {
        Message::new("ln-ait/0/pool-header", &[bytes])
    }
}

/// The leaf of an entry.
pub fn leaf(index: u32, hash: &Hash) -> Hash {
    tagged(b"ln-ait/0/pool-leaf", &[&index.to_be_bytes(), hash])
}

/// The smaller node first, so that a path need not say left or right. A tag of its own keeps
/// branches and leaves apart.
fn branch(a: &Hash, b: &Hash) -> Hash {
    tagged(b"ln-ait/0/pool-branch", &[a.min(b), a.max(b)])
}

/// The tree over the hashes of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Leaves first; the last level is the root alone.
    levels: Vec<Vec<Hash>>,
}

impl Pool {
    /// Builds the tree over the hashes, in the order of their indexes; `None` without any, and for
    /// more than 2^32 - 1.
    pub fn build(hashes: &[Hash]) -> Option<Self> {
        let count = u32::try_from(hashes.len())
            .ok()
            .filter(|count| *count > 0)?;
        let mut level: Vec<Hash> = (0..count)
            .zip(hashes)
            .map(|(index, hash)| leaf(index, hash))
            .collect();
        let mut levels = Vec::new();
        while level.len() > 1 {
            let next = level
                .chunks(2)
                .map(|nodes| match nodes {
                    [a, b] => branch(a, b),
                    // A last node without a neighbour.
                    rest => rest.first().copied().unwrap_or_default(),
                })
                .collect();
            levels.push(std::mem::replace(&mut level, next));
        }
        levels.push(level);
        Some(Self { levels })
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let top = self.levels.last().and_then(|top| top.first());
        top.copied().unwrap_or_default()
    }

    /// The leaves.
    pub fn leaves(&self) -> &[Hash] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// The neighbours from the leaf of an entry upwards; `None` for an index beyond the leaves.
    pub fn path(&self, index: u32) -> Option<Vec<Hash>> {
        neighbours(&self.levels, index)
    }
}

/// The neighbours from leaf `index` of a tree upwards, whose levels begin with the leaves; `None` for an index
/// beyond them.
pub(crate) fn neighbours(levels: &[Vec<Hash>], index: u32) -> Option<Vec<Hash>> {
    let mut at = usize::try_from(index).ok()?;
    levels.first()?.get(at)?;
    let mut path = Vec::new();
    for level in levels {
        path.extend(level.get(at ^ 1));
        at /= 2;
    }
    Some(path)
}

/// An entry of a pool as it is shown to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Bytes of the header.
    pub header: &'a [u8],
    /// The recipient's signature of it.
    pub signature: Signature<'a>,
    /// Which entry.
    pub index: u32,
    /// Its hash.
    pub hash: Hash,
    /// Neighbours from its leaf up to the root.
    pub path: &'a [Hash],
}

/// Checks an entry for a payment whose place is known from elsewhere, as payer or verifier.
///
/// # Errors
/// AMP proofs, pool, in the order of the text.
pub fn check_entry(rules: &Rules, place: &Place, entry: &Entry<'_>) -> Result<Header, Violation> {
    let header = Header::decode(rules, entry.header)?;
    let own = &header.place;
    rules.check(
        rules::AIT_POOL_CHAIN,
        own.chain_hash == place.chain_hash,
        || "the pool is of another chain than the payment".into(),
    )?;
    rules.check(
        rules::AIT_POOL_RECIPIENT,
        own.recipient_id == place.recipient_id,
        || "the pool is of another recipient than the payment".into(),
    )?;
    rules.check(
        rules::AIT_POOL_PAYMENT_ADDR,
        own.payment_addr == place.payment_addr,
        || "the pool is of another payment address than the AMP part".into(),
    )?;
    rules.check(
        rules::AIT_POOL_SIGNATURE,
        Header::message(entry.header).is_signed_by(&place.recipient_id, entry.signature),
        || "the pool's header is not signed by the recipient".into(),
    )?;
    // Below the count: at most one less, and nothing where there is no entry.
    rules.at_least(
        rules::AIT_POOL_INDEX,
        header.count.into(),
        u64::from(entry.index) + 1,
        || format!("entry {} of a pool that has {}", entry.index, header.count),
    )?;
    let root = entry
        .path
        .iter()
        .fold(leaf(entry.index, &entry.hash), |node, next| {
            branch(&node, next)
        });
    rules.check(rules::AIT_POOL_INCLUSION, root == header.root, || {
        format!(
            "the hash is not that of entry {} in the pool that the recipient signed",
            entry.index
        )
    })?;
    Ok(header)
}

/// Checks, as a payer before it pays, what an LSP handed out.
///
/// # Errors
/// Those of [`check_entry`]; AMP proofs, assignment; AMP proofs, paying through a tunnel: another
/// LSP than the one that served the entry, or a time (`now`, in seconds since 1970) after the
/// expiry.
pub fn check_offer(
    rules: &Rules,
    place: &Place,
    opening: &Opening,
    entry: &Entry<'_>,
    assignment: &[u8],
    served_by: &Point,
    now: u64,
) -> Result<Header, Violation> {
    let header = check_entry(rules, place, entry)?;
    Assignment::decode(rules, assignment)?.check(rules, &header, entry.index, &opening.assignee)?;
    rules.check(rules::AIT_PAYER_LSP, header.lsp_id == *served_by, || {
        "the pool is for another LSP than the one that served the entry".into()
    })?;
    rules.at_most(rules::AIT_PAYER_POOL_EXPIRY, now, header.expiry, || {
        format!("the pool expired at {}, and it is {now}", header.expiry)
    })?;
    Ok(header)
}

/// An earlier assignment, as its LSP remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Which entry.
    pub index: u32,
    /// To which request.
    pub assignee: Hash,
}

/// `ait_assignment`: an LSP's word that an entry is for one request, which it is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// 0, unless the rule on it is off.
    pub version: u8,
    /// Root of the pool.
    pub root: Hash,
    /// Which entry.
    pub index: u32,
    /// BIP 340 by the LSP.
    pub signature: [u8; 64],
}

impl Assignment {
    /// What an LSP signs to assign an entry.
    pub fn message(root: &Hash, index: u32, assignee: &Hash) -> Message {
        Message::new("ln-ait/0/assign", &[root, &index.to_be_bytes(), assignee])
    }

    /// As [`Assignment::message`], held against what was assigned in this pool before.
    ///
    /// # Errors
    /// AMP proofs, assignment: the entry was assigned to another request.
    pub fn message_once(
        rules: &Rules,
        root: &Hash,
        new: Assigned,
        earlier: &[Assigned],
    ) -> Result<Message, Violation> {
        let taken = |old: &Assigned| old.index == new.index && old.assignee != new.assignee;
        rules.check(rules::AIT_ASSIGN_ONCE, !earlier.iter().any(taken), || {
            format!("entry {} is assigned to another request", new.index)
        })?;
        Ok(Self::message(root, new.index, &new.assignee))
    }

    /// Signs an assignment with the LSP's secret key; `message` is that of the other arguments.
    pub fn sign(
        root: &Hash,
        index: u32,
        message: &Message,
        secret: &SecretKey,
        aux: Option<&[u8; 32]>,
    ) -> Self {
        Self {
            version: 0,
            root: *root,
            index,
            signature: message.sign(secret, aux),
        }
    }

    /// Its 101 bytes.
    pub fn encode(&self) -> [u8; ASSIGNMENT_LENGTH] {
        let mut bytes = [0; ASSIGNMENT_LENGTH];
        bytes[0] = self.version;
        bytes[1..33].copy_from_slice(&self.root);
        bytes[33..37].copy_from_slice(&self.index.to_be_bytes());
        bytes[37..].copy_from_slice(&self.signature);
        bytes
    }

    /// Reads an assignment. With the rule on the length off, missing bytes count as zero and surplus
    /// bytes are dropped.
    ///
    /// # Errors
    /// AMP proofs, records: another length than 101, a version other than 0.
    pub fn decode(rules: &Rules, bytes: &[u8]) -> Result<Self, Violation> {
        rules.check(
            rules::AIT_ASSIGNMENT_LENGTH,
            bytes.len() == ASSIGNMENT_LENGTH,
            || {
                format!(
                    "the assignment has {} bytes, not {ASSIGNMENT_LENGTH}",
                    bytes.len()
                )
            },
        )?;
        let bytes = padded::<ASSIGNMENT_LENGTH>(bytes);
        rules.check(rules::AIT_ASSIGNMENT_VERSION, bytes[0] == 0, || {
            format!("the assignment has version {}, not 0", bytes[0])
        })?;
        Ok(Self {
            version: bytes[0],
            root: field(&bytes, 1),
            index: u32::from_be_bytes(field(&bytes, 33)),
            signature: field(&bytes, 37),
        })
    }

    /// Whether `lsp_id` signed it for `assignee`.
    pub fn is_signed_by(&self, lsp_id: &Point, assignee: &Hash) -> bool {
        Self::message(&self.root, self.index, assignee).is_signed_by(lsp_id, &self.signature)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// AMP proofs, assignment: `lsp_id` did not sign it for `assignee`.
    pub fn check_signature(
        &self,
        rules: &Rules,
        lsp_id: &Point,
        assignee: &Hash,
    ) -> Result<(), Violation> {
        rules.check(
            rules::AIT_ASSIGNMENT_SIGNATURE,
            self.is_signed_by(lsp_id, assignee),
            || "the LSP of the pool did not sign the assignment for this request".into(),
        )
    }

    /// Checks that it assigns entry `index` of a pool to `assignee`, as payer, recipient or
    /// verifier.
    ///
    /// # Errors
    /// AMP proofs, assignment: another entry, or a signature that is not the LSP's for this request.
    pub fn check(
        &self,
        rules: &Rules,
        pool: &Header,
        index: u32,
        assignee: &Hash,
    ) -> Result<(), Violation> {
        rules.check(
            rules::AIT_ASSIGNMENT_ENTRY,
            self.root == pool.root && self.index == index,
            || format!("the assignment is not one of entry {index} of this pool"),
        )?;
        self.check_signature(rules, &pool.lsp_id, assignee)
    }
}
