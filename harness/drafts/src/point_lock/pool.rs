//! The pool of nonce pairs that a recipient leaves with its LSP.

use super::{NoncePair, NoncePoints, Result};
use crate::amp_tunnel;
use crate::bolt12::merkle::{self, tagged_hash};
use crate::keys::{self, Point, PublicKey, SecretKey};
use crate::rules::{self, Rules};

/// A hash of the tree.
pub type Node = [u8; 32];

/// Length of a header in bytes.
pub const HEADER_LENGTH: usize = 78;

/// What the recipient says of a pool and signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Node id of the LSP that may hand out the entries.
    pub lsp_id: Point,
    /// How many entries there are.
    pub count: u32,
    /// The last second at which an entry may be used, since 1970.
    pub expiry: u64,
    /// Root over the leaves.
    pub root: Node,
}

impl Header {
    /// Its 78 bytes: version 0, LSP, count, expiry, root.
    pub fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[1..34].copy_from_slice(&self.lsp_id);
        bytes[34..38].copy_from_slice(&self.count.to_be_bytes());
        bytes[38..46].copy_from_slice(&self.expiry.to_be_bytes());
        bytes[46..].copy_from_slice(&self.root);
        bytes
    }

    /// Reads a header. With the rules off, missing bytes are zeros, surplus ones and the version
    /// are ignored.
    ///
    /// # Errors
    /// `keysend-proof/point-lock/pool-length`, `…/pool-version`.
    pub fn decode(rules: &Rules, bytes: &[u8]) -> Result<Self> {
        rules.check(
            rules::POINT_LOCK_POOL_LENGTH,
            bytes.len() == HEADER_LENGTH,
            || format!("the pool's header has {} bytes, not 78", bytes.len()),
        )?;
        let mut padded = [0; HEADER_LENGTH];
        let there = bytes.len().min(HEADER_LENGTH);
        padded[..there].copy_from_slice(&bytes[..there]);
        rules.check(rules::POINT_LOCK_POOL_VERSION, padded[0] == 0, || {
            format!("the pool has version {}, not 0", padded[0])
        })?;
        let mut header = Header {
            lsp_id: [0; 33],
            count: 0,
            expiry: 0,
            root: [0; 32],
        };
        let (mut count, mut expiry) = ([0; 4], [0; 8]);
        header.lsp_id.copy_from_slice(&padded[1..34]);
        count.copy_from_slice(&padded[34..38]);
        expiry.copy_from_slice(&padded[38..46]);
        header.root.copy_from_slice(&padded[46..]);
        header.count = u32::from_be_bytes(count);
        header.expiry = u64::from_be_bytes(expiry);
        Ok(header)
    }
}

/// What the header's signature signs.
pub fn header_digest(header: &[u8]) -> Node {
    tagged_hash(b"ln-ksp/0/pool-header", header)
}

/// The leaf of an entry.
pub fn leaf(index: u32, nonces: &NoncePoints) -> Node {
    let preimage = [index.to_be_bytes().as_slice(), &nonces.r1, &nonces.r2].concat();
    tagged_hash(b"ln-ksp/0/pool-leaf", &preimage)
}

/// The smaller node first, so that a path need not say left or right. A tag of its own keeps
/// branches and leaves apart.
fn branch(a: &Node, b: &Node) -> Node {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    tagged_hash(b"ln-ksp/0/pool-branch", &[*low, *high].concat())
}

/// The levels of the tree, leaves first; a last node without a neighbour goes up unchanged.
fn levels(leaves: Vec<Node>) -> Vec<Vec<Node>> {
    let mut levels = vec![leaves];
    while let Some(level) = levels.last().filter(|level| level.len() > 1) {
        let next = level
            .chunks(2)
            .map(|nodes| match nodes {
                [a, b] => branch(a, b),
                rest => rest.first().copied().unwrap_or([0; 32]),
            })
            .collect();
        levels.push(next);
    }
    levels
}

/// A pool as its recipient holds it.
#[derive(Clone)]
pub struct Pool {
    /// The public halves, in the order of their indices.
    pub entries: Vec<NoncePoints>,
    /// What was signed.
    pub header: Header,
    /// BIP 340, by the recipient's node key.
    pub signature: [u8; 64],
    levels: Vec<Vec<Node>>,
}

impl Pool {
    /// Makes a pool of the given nonces, with an auxiliary randomness of zeros.
    ///
    /// An empty pool has a root of zeros, which is nobody's leaf.
    pub fn new(recipient: &SecretKey, lsp_id: Point, expiry: u64, nonces: &[NoncePair]) -> Self {
        let entries: Vec<NoncePoints> = nonces.iter().map(NoncePair::points).collect();
        let leaves = (0u32..)
            .zip(&entries)
            .map(|(index, points)| leaf(index, points))
            .collect();
        let levels = levels(leaves);
        let root = levels.last().and_then(|top| top.first()).copied();
        let header = Header {
            lsp_id,
            count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            expiry,
            root: root.unwrap_or([0; 32]),
        };
        Self {
            signature: merkle::sign(&header_digest(&header.encode()), recipient, None),
            entries,
            header,
            levels,
        }
    }

    /// The leaves.
    pub fn leaves(&self) -> &[Node] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// The neighbours from the leaf of entry `index` up to the root; `None` for an unknown entry.
    pub fn path(&self, index: u32) -> Option<Vec<Node>> {
        amp_tunnel::neighbours(&self.levels, index)
    }
}

/// One entry as the LSP hands it to a payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// The header's bytes.
    pub header: &'a [u8],
    /// The recipient's signature of them.
    pub signature: &'a [u8; 64],
    /// Which entry.
    pub index: u32,
    /// Its nonces.
    pub nonces: NoncePoints,
    /// Neighbours from its leaf to the root.
    pub path: &'a [Node],
}

/// Checks, as a payer, that an entry is one that `recipient` made for `lsp_id` to hand out, and may
/// be used at `now` (seconds since 1970).
///
/// # Errors
/// `keysend-proof/point-lock/pool-length`, `…/pool-version`, `…/pool-signature`, `…/pool-lsp`,
/// `…/pool-expiry`, `…/entry-index`, `…/entry-points`, `…/entry-inclusion`.
pub fn check(
    rules: &Rules,
    recipient: &PublicKey,
    lsp_id: &Point,
    assignment: &Assignment<'_>,
    now: u64,
) -> Result<Header> {
    let header = Header::decode(rules, assignment.header)?;
    let key = recipient.x_only_public_key().0.serialize();
    rules.check(
        rules::POINT_LOCK_POOL_SIGNATURE,
        merkle::verify(
            &header_digest(assignment.header),
            &key,
            assignment.signature,
        ),
        || "the pool's header is not signed by the recipient".into(),
    )?;
    rules.check(rules::POINT_LOCK_POOL_LSP, header.lsp_id == *lsp_id, || {
        "the pool was made for another LSP than the one that served it".into()
    })?;
    rules.at_most(rules::POINT_LOCK_POOL_EXPIRY, now, header.expiry, || {
        format!("the pool expired at {}, before {now}", header.expiry)
    })?;
    // Below the count: at most one less, and nothing where there is no entry.
    rules.at_least(
        rules::POINT_LOCK_ENTRY_INDEX,
        header.count.into(),
        u64::from(assignment.index) + 1,
        || {
            format!(
                "entry {} of a pool that has {}",
                assignment.index, header.count
            )
        },
    )?;
    let NoncePoints { r1, r2 } = &assignment.nonces;
    rules.check(
        rules::POINT_LOCK_ENTRY_POINTS,
        keys::is_point(r1) && keys::is_point(r2),
        || format!("entry {} has a nonce that is no point", assignment.index),
    )?;
    let leaf = leaf(assignment.index, &assignment.nonces);
    let root = assignment
        .path
        .iter()
        .fold(leaf, |node, next| branch(&node, next));
    rules.check(
        rules::POINT_LOCK_ENTRY_INCLUSION,
        root == header.root,
        || {
            format!(
                "entry {} is not in the pool that the recipient signed",
                assignment.index
            )
        },
    )?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::super::PointLockError;
    use super::super::tests::{pair, secret};
    use super::*;
    use proptest::prelude::*;

    const LSP: Point = [2; 33];

    fn pool(count: u8) -> Pool {
        let nonces: Vec<NoncePair> = (0..count).map(|i| pair(10 + 2 * i)).collect();
        Pool::new(&secret(1), LSP, 500, &nonces)
    }

    fn checked(rules: &Rules, pool: &Pool, change: impl FnOnce(&mut Case)) -> Option<&'static str> {
        let index = 1;
        let mut case = Case {
            header: pool.header.encode().to_vec(),
            signature: pool.signature,
            index,
            nonces: pool.entries[1],
            path: pool.path(index).unwrap(),
            lsp: LSP,
            now: 500,
            resign: false,
        };
        change(&mut case);
        if case.resign {
            case.signature = merkle::sign(&header_digest(&case.header), &secret(1), None);
        }
        let assignment = Assignment {
            header: &case.header,
            signature: &case.signature,
            index: case.index,
            nonces: case.nonces,
            path: &case.path,
        };
        let recipient = keys::public(&secret(1));
        match check(rules, &recipient, &case.lsp, &assignment, case.now) {
            Ok(_) => None,
            Err(PointLockError::Rule(violation)) => Some(violation.rule),
            Err(other) => panic!("{other}"),
        }
    }

    struct Case {
        header: Vec<u8>,
        signature: [u8; 64],
        index: u32,
        nonces: NoncePoints,
        path: Vec<Node>,
        lsp: Point,
        now: u64,
        resign: bool,
    }

    #[test]
    fn every_entry_leads_to_the_root() {
        for count in 1..10 {
            let pool = pool(count);
            for index in 0..u32::from(count) {
                let path = pool.path(index).unwrap();
                let leaf = leaf(index, &pool.entries[index as usize]);
                let root = path.iter().fold(leaf, |node, next| branch(&node, next));
                assert_eq!(root, pool.header.root, "{index} of {count}");
            }
            assert_eq!(pool.path(u32::from(count)), None);
        }
        assert_eq!(pool(0).path(0), None);
        assert_eq!(pool(0).header.root, [0; 32]);
    }

    #[test]
    fn each_rule_refuses_one_thing() {
        type Change = fn(&mut Case);
        let pool = pool(3);
        let changes: [(&str, Change); 8] = [
            (rules::POINT_LOCK_POOL_LENGTH, |c| {
                c.header.push(0);
                c.resign = true;
            }),
            (rules::POINT_LOCK_POOL_VERSION, |c| {
                c.header[0] = 1;
                c.resign = true;
            }),
            (rules::POINT_LOCK_POOL_SIGNATURE, |c| c.signature[63] ^= 1),
            (rules::POINT_LOCK_POOL_LSP, |c| c.lsp[0] = 3),
            (rules::POINT_LOCK_POOL_EXPIRY, |c| c.now = 501),
            (rules::POINT_LOCK_ENTRY_INDEX, |c| {
                c.header[37] = 1;
                c.resign = true;
            }),
            (rules::POINT_LOCK_ENTRY_POINTS, |c| {
                c.nonces.r1 = [4; 33];
                c.header[46..].copy_from_slice(&leaf(1, &c.nonces));
                c.path.clear();
                c.resign = true;
            }),
            (rules::POINT_LOCK_ENTRY_INCLUSION, |c| {
                c.nonces.r1 = c.nonces.r2;
            }),
        ];
        assert_eq!(checked(&Rules::all(), &pool, |_| ()), None);
        for (id, change) in changes {
            assert_eq!(checked(&Rules::all(), &pool, change), Some(id));
            let off = Rules::all().without(id).unwrap();
            assert_eq!(checked(&off, &pool, change), None, "{id}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn headers_come_back(lsp_id: [u8; 33], count: u32, expiry: u64, root: Node) {
            let header = Header { lsp_id, count, expiry, root };
            prop_assert_eq!(Header::decode(&Rules::all(), &header.encode()), Ok(header));
        }

        #[test]
        fn reading_never_panics(bytes: Vec<u8>) {
            let rules = Rules::all()
                .without(rules::POINT_LOCK_POOL_LENGTH)
                .and_then(|r| r.without(rules::POINT_LOCK_POOL_VERSION))
                .unwrap();
            prop_assert!(Header::decode(&rules, &bytes).is_ok());
        }
    }
}
