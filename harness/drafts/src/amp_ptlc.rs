//! AMP on point locks, as a simulation: a set of shards that only all shares together open, and of
//! which any one that is settled hands the payer the proof.
//!
//! The lock of a set is that of [`point_lock`], over a message that commits to the payment; each
//! shard adds a child scalar that depends on all shares ([`child`], [`shard_locks`]). The
//! [`recipient`] decides on the set; [`extract`] is the payer's side. [`attacks`] tries what the
//! parties could try, [`attempt`] compares the locks that a secret of one attempt could have, and
//! [`designs`] plays the same cheats against every design between the invoice stack and this one.
//!
//! Source: AMP tunneling draft, "Point locks". Its rules have ids `amp-tunnel/point-lock/…`.

pub mod attacks;
pub mod attempt;
pub mod designs;
pub mod recipient;

pub use crate::amp_tunnel::ROOT_BOUND;
use crate::bolt12::merkle::tagged_hash;
use crate::keys::PublicKey;
use crate::point_lock::{self, Lock, PointLockError, REQUEST_LENGTH, Scalar, Terms};
use crate::rules::{self, Rules, Violation};

type Result<T, E = PointLockError> = std::result::Result<T, E>;

/// Reads a request. With the rule off, missing bytes are zeros and surplus ones are dropped.
///
/// # Errors
/// `amp-tunnel/point-lock/request`: another length than 114, another version than 0, or an unknown
/// flag.
pub fn terms(rules: &Rules, request: &[u8]) -> Result<Terms, Violation> {
    point_lock::terms_by(rules, rules::AIT_POINT_REQUEST, request)
}

/// Whether a payer may lock a set to a request.
///
/// # Errors
/// `amp-tunnel/point-lock/root-unbound`: the request has [`ROOT_BOUND`] set.
pub fn payable(rules: &Rules, terms: &Terms) -> Result<(), Violation> {
    rules.check(rules::AIT_POINT_ROOT_UNBOUND, !binds_root(terms), || {
        "the request binds the root, which one shard would then give away; unset bit 1".into()
    })
}

fn binds_root(terms: &Terms) -> bool {
    let [_, flags, ..] = terms.request;
    flags & ROOT_BOUND != 0
}

/// The commitment `C` over chain, recipient, payment address and request, as in the hash forms.
pub fn commitment(
    chain_hash: &[u8; 32],
    recipient: &PublicKey,
    payment_addr: &[u8; 32],
    request: &[u8; REQUEST_LENGTH],
) -> [u8; 32] {
    let id = recipient.serialize();
    let preimage = [chain_hash.as_slice(), &id, payment_addr, request].concat();
    tagged_hash(b"ln-ait/0/commit", &preimage)
}

/// The message `m` that the recipient signs by settling.
pub fn message(commitment: &[u8; 32]) -> [u8; 32] {
    tagged_hash(b"ln-ait/0/ptlc-msg", commitment)
}

/// The root that a request with [`ROOT_BOUND`] has in the hash form.
pub fn bound_root(commitment: &[u8; 32]) -> [u8; 32] {
    tagged_hash(b"ln-ait/0/root", commitment)
}

/// The root of a set: all shares, one XORed on another. Zeros for no share.
pub fn root<'a>(shares: impl IntoIterator<Item = &'a [u8; 32]>) -> [u8; 32] {
    let mut root = [0; 32];
    for share in shares {
        for (byte, other) in root.iter_mut().zip(share) {
            *byte ^= other;
        }
    }
    root
}

/// The child scalar `d` of a shard.
///
/// AMP tunneling draft, point locks, payer: a tagged hash of root, share and index (u32), modulo
/// the group order.
pub fn child(root: &[u8; 32], share: &[u8; 32], index: u32) -> Scalar {
    let preimage = [root.as_slice(), share, &index.to_be_bytes()].concat();
    Scalar::reduce(tagged_hash(b"ln-ait/0/ptlc-child", &preimage))
}

/// The lock of one shard, `T = S + d*G`.
///
/// # Errors
/// [`PointLockError::NoPoint`] when lock and child cancel each other out.
pub fn shard_lock(lock: &PublicKey, child: Scalar) -> Result<PublicKey> {
    point_lock::sum(Some(*lock), child.point()).ok_or(PointLockError::NoPoint("shard lock"))
}

/// The locks of a set, as its payer makes them.
///
/// # Errors
/// `amp-tunnel/point-lock/child-nonzero`: a child scalar is zero, so that the shard's lock is `S`.
/// `amp-tunnel/point-lock/child-distinct`: two shards of the set have one child scalar.
/// [`PointLockError::NoPoint`].
pub fn shard_locks(rules: &Rules, lock: &Lock, children: &[Scalar]) -> Result<Vec<PublicKey>> {
    let zero = children.iter().position(|child| child.is_zero());
    rules.check(rules::AIT_POINT_CHILD_NONZERO, zero.is_none(), || {
        let at = zero.unwrap_or_default();
        format!("the child scalar of shard {at} is zero; draw another share or index")
    })?;
    let twin = twins(children);
    rules.check(rules::AIT_POINT_CHILD_DISTINCT, twin.is_none(), || {
        let (a, b) = twin.unwrap_or_default();
        format!("shards {a} and {b} have one child scalar; use indexes of their own")
    })?;
    let locks = children.iter();
    locks.map(|child| shard_lock(&lock.point, *child)).collect()
}

/// The first two places of a list that hold the same.
fn twins<T: PartialEq>(items: &[T]) -> Option<(usize, usize)> {
    items.iter().enumerate().find_map(|(b, item)| {
        let a = items[..b].iter().position(|earlier| earlier == item)?;
        Some((a, b))
    })
}

/// What tells one set from every other: a tagged hash of its locks (those of the last hops), in the
/// order of their bytes.
pub fn set_digest(locks: &[[u8; 33]]) -> [u8; 32] {
    let mut sorted = locks.to_vec();
    sorted.sort_unstable();
    tagged_hash(b"ln-ait/0/ptlc-set", &sorted.concat())
}

/// The proof, from the scalar that settled the payer's own hop of any one shard: `x(R)`, then
/// `s = t - y_0 - d`, 64 bytes.
///
/// # Errors
/// `amp-tunnel/point-lock/settled-scalar` when `settled` does not open `S + (d + y_0)*G`.
pub fn extract(
    rules: &Rules,
    lock: &Lock,
    child: Scalar,
    tweak: Scalar,
    settled: Scalar,
) -> Result<[u8; 64]> {
    let added = child.plus(tweak);
    let offered = point_lock::sum(Some(lock.point), added.point());
    rules.check(
        rules::AIT_POINT_SETTLED_SCALAR,
        settled.point() == offered,
        || "the scalar does not open the lock that the payer offered for this shard".into(),
    )?;
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(&lock.nonce_x());
    proof[32..].copy_from_slice(&settled.minus(added).to_bytes());
    Ok(proof)
}

/// What a proof shows to anybody.
pub const PROVEN: [&str; 2] = [
    "The recipient key signed a message that names this chain, this recipient key, this payment \
     address and this request with its nonce, time, amount, payer key and terms.",
    "The proof belongs to this request alone.",
];

/// What it does not show.
pub const NOT_PROVEN: [&str; 6] = [
    "That value moved: the recipient can give the proof away.",
    "How many shards there were, or that more than one of them was settled.",
    "That the payment was made at the time in the request, which is the word of the payer within \
     what the recipient allows.",
    "That the holder of the payer key took part: anybody can name a key.",
    "What was paid in routing fees.",
    "Who stands behind the keys.",
];

/// Checks a proof as a third party does; no pool, share or route is needed.
///
/// A proof of another length, where that rule is off, is cut or filled up with zeros.
///
/// # Errors
/// `amp-tunnel/point-lock/request`, `…/proof-length`, `…/proof-signature`.
pub fn verify(
    rules: &Rules,
    chain_hash: &[u8; 32],
    recipient: &PublicKey,
    payment_addr: &[u8; 32],
    request: &[u8],
    proof: &[u8],
) -> Result<Terms, Violation> {
    let terms = terms(rules, request)?;
    let message = message(&commitment(
        chain_hash,
        recipient,
        payment_addr,
        &terms.request,
    ));
    let by = [
        rules::AIT_POINT_PROOF_LENGTH,
        rules::AIT_POINT_PROOF_SIGNATURE,
    ];
    point_lock::signs(rules, by, recipient, &message, proof)?;
    Ok(terms)
}

#[cfg(test)]
mod tests;
