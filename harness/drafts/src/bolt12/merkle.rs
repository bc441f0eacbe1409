//! The Merkle tree of BOLT 12 and the signatures over its root.

use crate::bigsize;
use crate::keys::SECP;
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Keypair, Message, SecretKey, XOnlyPublicKey};

/// A node of the tree.
pub type Node = [u8; 32];

/// BOLT 12, signature calculation: types of this range hold signatures and stay out of the tree.
pub const SIGNATURE_TYPES: std::ops::RangeInclusive<u64> = 240..=1000;

/// A hash tagged as in BIP 340, with the tag already taken in.
#[derive(Clone)]
struct Tagged(sha256::HashEngine);

impl Tagged {
    fn new(tag: &[&[u8]]) -> Self {
        let tag = crate::keys::sha256(tag);
        let mut engine = sha256::HashEngine::default();
        engine.input(&tag);
        engine.input(&tag);
        Self(engine)
    }

    fn hash(&self, parts: &[&[u8]]) -> Node {
        let mut engine = self.0.clone();
        for part in parts {
            engine.input(part);
        }
        sha256::Hash::from_engine(engine).to_byte_array()
    }
}

/// H(tag, message) of BOLT 12: SHA-256 over the tag's SHA-256 twice and the message.
pub fn tagged_hash(tag: &[u8], message: &[u8]) -> Node {
    Tagged::new(&[tag]).hash(&[message])
}

/// A tree with all its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Hash of each record that is no signature.
    pub leaves: Vec<Node>,
    /// Nonce of each such record.
    pub nonces: Vec<Node>,
    /// Branch over each leaf and its nonce.
    pub pairs: Vec<Node>,
    /// The branches above those, each after the two below it, left before right.
    pub branches: Vec<Node>,
    /// The root.
    pub root: Node,
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Nothing to hash.
    #[error("there is no record outside of the signature types 240 to 1000")]
    Empty,
    /// The records are no stream.
    #[error(transparent)]
    Rule(#[from] Violation),
}

/// Builds the tree over records in stream order; signature records are left out.
///
/// BOLT 12, signature calculation: each leaf is paired with a nonce made from the first record
/// of the stream, and a tree that is not full is deepest at the low end.
///
/// # Errors
/// [`TreeError`]: no record, or records out of order (`bolt01/tlv/order`).
pub fn tree(rules: &Rules, records: &[Record]) -> Result<Tree, TreeError> {
    tlv::check_order(rules, rules::TLV_ORDER, records)?;
    let first = records.first().ok_or(TreeError::Empty)?.encode();
    let wrong = |id, how| rules.mistaken(id, how);
    let nonce_tag = match wrong(rules::SIGNATURE_NONCE, "tag-without-first-record") {
        true => Tagged::new(&[b"LnNonce"]),
        false => Tagged::new(&[b"LnNonce", &first]),
    };
    let leaf_tag = match wrong(rules::SIGNATURE_LEAF, "tag-of-nonces") {
        true => nonce_tag.clone(),
        false => Tagged::new(&[b"LnLeaf"]),
    };
    let branch_tag = Tagged::new(&[b"LnBranch"]);

    let hashed = || {
        records
            .iter()
            .filter(|r| !SIGNATURE_TYPES.contains(&r.kind))
    };
    let leaves: Vec<Node> = hashed()
        .map(|r| match wrong(rules::SIGNATURE_LEAF, "value-alone") {
            true => leaf_tag.hash(&[&r.value]),
            false => leaf_tag.hash(&[&r.encode()]),
        })
        .collect();
    let nonces: Vec<Node> = hashed()
        .map(|r| match wrong(rules::SIGNATURE_NONCE, "whole-record") {
            true => nonce_tag.hash(&[&r.encode()]),
            false => nonce_tag.hash(&[&bigsize::encode(r.kind)]),
        })
        .collect();
    let pairs: Vec<Node> = leaves
        .iter()
        .zip(&nonces)
        .map(|(leaf, nonce)| branch(rules, &branch_tag, leaf, nonce))
        .collect();
    if pairs.is_empty() {
        return Err(TreeError::Empty);
    }
    let mut branches = Vec::with_capacity(pairs.len() - 1);
    let root = climb(rules, &branch_tag, &pairs, &mut branches);
    Ok(Tree {
        leaves,
        nonces,
        pairs,
        branches,
        root,
    })
}

/// The smaller hash first, so that a proof need not say left or right.
fn branch(rules: &Rules, tag: &Tagged, a: &Node, b: &Node) -> Node {
    let wrong = |how| rules.mistaken(rules::SIGNATURE_BRANCH, how);
    if wrong("left-first") || (a <= b) != wrong("larger-first") {
        tag.hash(&[a, b])
    } else {
        tag.hash(&[b, a])
    }
}

/// Root over `nodes`, which are not empty. The depth is the logarithm of their number.
fn climb(rules: &Rules, tag: &Tagged, nodes: &[Node], branches: &mut Vec<Node>) -> Node {
    match nodes {
        [] => [0; 32],
        [one] => *one,
        _ => {
            // The left side is the largest full tree that leaves something for the right.
            let at = match rules.mistaken(rules::SIGNATURE_SHAPE, "split-in-halves") {
                true => nodes.len() / 2,
                false => nodes.len().next_power_of_two() / 2,
            };
            let (left, right) = nodes.split_at(at);
            let left = climb(rules, tag, left, branches);
            let alone = right.len() == 1 && at > 1;
            let mut right = climb(rules, tag, right, branches);
            if alone && rules.mistaken(rules::SIGNATURE_SHAPE, "last-one-doubled") {
                right = branch(rules, tag, &right, &right);
            }
            let node = branch(rules, tag, &left, &right);
            branches.push(node);
            node
        }
    }
}

/// What a signature of field `field` in message `message` signs.
///
/// BOLT 12, signature calculation: the tag is `lightning`, then the two names.
pub fn signed_hash(rules: &Rules, message: &str, field: &str, root: &Node) -> Node {
    let [message, field] = [
        (message, "without-message-name"),
        (field, "without-field-name"),
    ]
    .map(
        |(name, how)| match rules.mistaken(rules::SIGNATURE_TAG, how) {
            true => "",
            false => name,
        },
    );
    Tagged::new(&[b"lightning", message.as_bytes(), field.as_bytes()]).hash(&[root])
}

/// Signs `hash` as BIP 340 has it, with `aux` as the auxiliary randomness (zeros by default).
pub fn sign(hash: &Node, secret: &SecretKey, aux: Option<&[u8; 32]>) -> [u8; 64] {
    let keys = Keypair::from_secret_key(&SECP, secret);
    SECP.sign_schnorr_with_aux_rand(&Message::from_digest(*hash), &keys, aux.unwrap_or(&[0; 32]))
        .serialize()
}

/// Whether `signature` signs `hash` with the key whose x coordinate is `key`.
pub fn verify(hash: &Node, key: &[u8; 32], signature: &[u8; 64]) -> bool {
    let (Ok(key), Ok(signature)) = (
        XOnlyPublicKey::from_slice(key),
        Signature::from_slice(signature),
    ) else {
        return false;
    };
    SECP.verify_schnorr(&signature, &Message::from_digest(*hash), &key)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use crate::tlv::tests::arbitrary_records;
    use proptest::prelude::*;

    fn records(kinds: &[u64]) -> Vec<Record> {
        kinds
            .iter()
            .map(|&kind| Record::new(kind, [kind as u8]))
            .collect()
    }

    #[test]
    fn a_tree_is_deepest_at_the_low_end() {
        let tree = tree(&Rules::all(), &records(&[0, 1, 2])).unwrap();
        let tag = Tagged::new(&[b"LnBranch"]);
        let all = Rules::all();
        let low = branch(&all, &tag, &tree.pairs[0], &tree.pairs[1]);
        assert_eq!(
            tree.branches,
            [low, branch(&all, &tag, &tree.pairs[2], &low)]
        );
        assert_eq!(tree.root, tree.branches[1]);
    }

    #[test]
    fn the_nonce_is_tagged_with_the_first_record() {
        let tree = tree(&Rules::all(), &records(&[1, 3])).unwrap();
        assert_eq!(tree.leaves[1], tagged_hash(b"LnLeaf", &[3, 1, 3]));
        assert_eq!(tree.nonces[1], tagged_hash(b"LnNonce\x01\x01\x01", &[3]));
    }

    #[test]
    fn signatures_stay_out_of_the_tree() {
        let all = Rules::all();
        let plain = tree(&all, &records(&[1, 3, 239, 1001])).unwrap();
        assert_eq!(
            tree(&all, &records(&[1, 3, 239, 240, 1000, 1001])).unwrap(),
            plain
        );
        assert_eq!(plain.leaves.len(), 4);
        for empty in [&[][..], &[240, 1000]] {
            assert_eq!(tree(&all, &records(empty)), Err(TreeError::Empty));
        }
        let refused = tree(&all, &records(&[3, 1])).unwrap_err();
        assert!(matches!(refused, TreeError::Rule(v) if v.rule == rules::TLV_ORDER));
    }

    #[test]
    fn a_signature_verifies_with_its_key_and_message_only() {
        let secret = SecretKey::from_slice(&[0x42; 32]).unwrap();
        let key = keys::public(&secret).x_only_public_key().0.serialize();
        let hash = signed_hash(&Rules::all(), "invoice", "signature", &[7; 32]);
        assert_eq!(hash, tagged_hash(b"lightninginvoicesignature", &[7; 32]));
        let signature = sign(&hash, &secret, None);
        assert!(verify(&hash, &key, &signature));
        assert!(verify(&hash, &key, &sign(&hash, &secret, Some(&[1; 32]))));
        assert!(!verify(
            &signed_hash(&Rules::all(), "offer", "signature", &[7; 32]),
            &key,
            &signature
        ));
        let mut forged = signature;
        forged[0] ^= 1;
        assert!(!verify(&hash, &key, &forged));
        assert!(!verify(&hash, &[0xff; 32], &signature));
    }

    proptest! {
        #[test]
        fn every_record_counts(records in arbitrary_records(0_u64..240), at: prop::sample::Index) {
            prop_assume!(!records.is_empty());
            let before = tree(&Rules::all(), &records).unwrap();
            prop_assert_eq!(before.branches.len() + 1, records.len());
            let mut changed = records;
            let at = at.index(changed.len());
            changed[at].value.push(0);
            prop_assert_ne!(tree(&Rules::all(), &changed).unwrap().root, before.root);
        }
    }
}
