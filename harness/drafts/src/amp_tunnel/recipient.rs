//! What a recipient decides: whether a receipt is due, and whether a tunnel's secret is released.

use super::pool::{Assignment, Header};
use super::receipt::{Htlc, set_digest, set_sum};
use super::{
    Hash, Opening, Place, Request, Secret, Window, check_recipient_id, decode_request, root_bound,
    root_hash,
};
use crate::amp;
use crate::rules::{self, Rules, Violation};
use std::fmt;
use zeroize::Zeroizing;

/// One HTLC of the AMP set.
#[derive(Clone)]
pub struct Part {
    /// Record 1095324721 of its payload.
    pub request: Option<Vec<u8>>,
    /// Its share of the root.
    pub share: Secret,
    /// Its child index.
    pub index: u32,
    /// What it is locked to, and its amount.
    pub htlc: Htlc,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("index", &self.index)
            .field("htlc", &self.htlc)
            .finish_non_exhaustive()
    }
}

/// One HTLC of the tunnel.
#[derive(Clone)]
pub struct TunnelPart {
    /// Record 1095324721 of its payload.
    pub request: Option<Vec<u8>>,
    /// Its amount, in msat.
    pub amount_msat: u64,
}

/// The tunnel as the recipient sees it.
#[derive(Clone)]
pub struct Tunnel {
    /// What its HTLCs are locked to.
    pub payment_hash: Hash,
    /// The total that they declare, in msat.
    pub total_msat: u64,
    /// Record 1095324725 of their payloads.
    pub assignment: Option<Vec<u8>>,
    /// Its HTLCs.
    pub htlcs: Vec<TunnelPart>,
}

impl Tunnel {
    /// Its HTLCs by hash and amount.
    fn set(&self) -> impl Iterator<Item = Htlc> {
        self.htlcs.iter().map(|part| Htlc {
            payment_hash: self.payment_hash,
            amount_msat: part.amount_msat,
        })
    }
}

/// Other payments for which the recipient signed a receipt or released a secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// Their commitments.
    pub commitments: &'a [Hash],
    /// Their set ids.
    pub set_ids: &'a [Hash],
}

/// A payment as its recipient sees it.
#[derive(Clone, Copy)]
pub struct Payment<'a> {
    /// The recipient's chain and id, and the payment address of the set.
    pub place: &'a Place,
    /// Set id in the AMP records.
    pub set_id: &'a Hash,
    /// The total that the set declares, in msat.
    pub total_msat: u64,
    /// The set.
    pub parts: &'a [Part],
    /// The tunnel, where there is one.
    pub tunnel: Option<&'a Tunnel>,
    /// The recipient's clock, in seconds since 1970.
    pub now: u64,
    /// How far the request's time may be from it.
    pub window: Window,
    /// Other payments.
    pub seen: Seen<'a>,
}

/// A payment that keeps the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What the request opens.
    pub opening: Opening,
    /// SHA-256 of the set's root.
    pub root_hash: Hash,
    /// Digest of all HTLCs, those of the tunnel included.
    pub set_digest: Hash,
    /// Sum of all HTLCs, in msat.
    pub received_msat: u64,
}

/// A recipient's answer to a payment whose request is well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A receipt is due.
    Due(Judged),
    /// None is, since the payer wants none; nothing else was looked at.
    NotWanted(String),
}

/// The one request of all HTLCs. With the rule off, the first that there is.
fn request(rules: &Rules, payment: &Payment<'_>) -> Result<Request, Violation> {
    let tunnel = payment.tunnel.map_or(&[][..], |tunnel| &tunnel.htlcs);
    let copies: Vec<Option<&[u8]>> = payment
        .parts
        .iter()
        .map(|part| part.request.as_deref())
        .chain(tunnel.iter().map(|part| part.request.as_deref()))
        .collect();
    let first = copies.iter().flatten().next().copied();
    rules.check(
        rules::AIT_SAME_REQUEST,
        first.is_some() && copies.iter().all(|copy| *copy == first),
        || "not every HTLC of the payment carries the same request".into(),
    )?;
    decode_request(rules, first.unwrap_or_default())
}

fn judge(rules: &Rules, payment: &Payment<'_>, request: &Request) -> Result<Judged, Violation> {
    let opening = Opening::derive(rules, payment.place, request)?;
    let root = payment
        .parts
        .iter()
        .fold(Zeroizing::new([0; 32]), |root, part| {
            amp::split(&root, &part.share)
        });
    for (number, part) in payment.parts.iter().enumerate() {
        let child = amp::Child::derive(rules, &amp::LND, &root, &part.share, part.index)?;
        rules.check(
            rules::AIT_CHILD_HASH,
            child.payment_hash == part.htlc.payment_hash,
            || {
                format!(
                    "HTLC {} of {} is not locked to the child hash that the shares give",
                    number + 1,
                    payment.parts.len()
                )
            },
        )?;
    }
    let bound = root_bound(request);
    rules.check(
        rules::AIT_ROOT_BOUND,
        !bound || root == opening.root,
        || {
            "the shares do not give the root of the request for this recipient, payment address \
             and chain"
                .into()
        },
    )?;
    rules.check(
        rules::AIT_SET_ID_BOUND,
        !bound || *payment.set_id == *opening.set_id,
        || {
            "the set id is not that of the request for this recipient, payment address and chain"
                .into()
        },
    )?;
    let amount = request.amount_msat;
    let tunnel = payment.tunnel.map_or(0, |tunnel| tunnel.total_msat);
    let total = u128::from(payment.total_msat) + u128::from(tunnel);
    rules.check(rules::AIT_TOTAL, total == u128::from(amount), || {
        format!(
            "the parts declare {} and {tunnel} msat, and the request names {amount} msat",
            payment.total_msat
        )
    })?;
    let htlcs: Vec<Htlc> = payment
        .parts
        .iter()
        .map(|part| part.htlc)
        .chain(payment.tunnel.into_iter().flat_map(Tunnel::set))
        .collect();
    let received = set_sum(&htlcs).unwrap_or(u64::MAX);
    rules.at_least(rules::AIT_AMOUNT_LEAST, received, amount, || {
        format!("received {received} msat, less than the {amount} msat of the request")
    })?;
    // Twice an amount beyond half of u64 is more than can be received.
    rules.at_most(
        rules::AIT_AMOUNT_MOST,
        received,
        amount.saturating_mul(2),
        || format!("received {received} msat, more than twice the {amount} msat of the request"),
    )?;
    let window = payment.window;
    let age = payment.now.saturating_sub(request.payment_time);
    rules.at_most(rules::AIT_TIME_PAST, age, window.past, || {
        format!(
            "the request is {age} s old, and {} s are allowed",
            window.past
        )
    })?;
    let ahead = request.payment_time.saturating_sub(payment.now);
    rules.at_most(rules::AIT_TIME_FUTURE, ahead, window.future, || {
        format!(
            "the request is {ahead} s ahead, and {} s are allowed",
            window.future
        )
    })?;
    rules.check(
        rules::AIT_ONE_PAYMENT,
        !payment.seen.commitments.contains(&opening.commitment),
        || "another payment with this commitment has a receipt or a secret".into(),
    )?;
    rules.check(
        rules::AIT_ONE_SET,
        !payment.seen.set_ids.contains(payment.set_id),
        || "another payment with this set id has a receipt or a secret".into(),
    )?;
    Ok(Judged {
        root_hash: root_hash(&root),
        set_digest: set_digest(&htlcs),
        received_msat: received,
        opening,
    })
}

/// Decides whether a receipt is due for a payment.
///
/// # Errors
/// AMP proofs, recipient: the rule for which none is due. Whether the payment is kept is another
/// matter.
pub fn accept(rules: &Rules, payment: &Payment<'_>) -> Result<Decision, Violation> {
    check_recipient_id(rules, &payment.place.recipient_id)?;
    let request = request(rules, payment)?;
    let wanted = rules.check(rules::AIT_RECEIPT_WANTED, request.receipt_wanted(), || {
        "the request wants no receipt: bit 0 of its flags is clear".into()
    });
    if let Err(not_wanted) = wanted {
        return Ok(Decision::NotWanted(not_wanted.message));
    }
    judge(rules, payment, &request).map(Decision::Due)
}

/// The recipient's own pool.
#[derive(Clone, Copy, Debug)]
pub struct OwnPool<'a> {
    /// Bytes of its header.
    pub header: &'a [u8],
    /// Its hashes, in the order of their indexes.
    pub hashes: &'a [Hash],
}

/// An entry whose secret was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Which entry.
    pub index: u32,
    /// For which request.
    pub commitment: Hash,
}

/// A secret that may be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Of which entry.
    pub index: u32,
    /// The payment.
    pub judged: Judged,
}

/// Decides whether the secret of the tunnel's entry is released. `amp_settled` says whether the AMP
/// set is.
///
/// With the rule on the entry off, a hash that is not in the pool counts as entry `u32::MAX`.
///
/// # Errors
/// AMP proofs, recipient, and settling a tunnel: the rule for which it is not. Whether the tunnel is
/// cancelled or may wait for what is missing is another matter.
pub fn settle(
    rules: &Rules,
    payment: &Payment<'_>,
    amp_settled: bool,
    pool: OwnPool<'_>,
    used: &[Used],
) -> Result<Release, Violation> {
    check_recipient_id(rules, &payment.place.recipient_id)?;
    let held: Vec<Htlc> = payment.tunnel.into_iter().flat_map(Tunnel::set).collect();
    rules.check(rules::AIT_TUNNEL_HELD, !held.is_empty(), || {
        "no tunnel is held".into()
    })?;
    let (sum, total) = (
        set_sum(&held).unwrap_or(u64::MAX),
        payment.tunnel.map_or(0, |tunnel| tunnel.total_msat),
    );
    rules.at_least(rules::AIT_TUNNEL_COMPLETE, sum, total, || {
        format!("the tunnel's HTLCs bring {sum} msat, less than the {total} msat that they declare")
    })?;
    rules.check(rules::AIT_AMP_SETTLED, amp_settled, || {
        "the AMP set is not settled".into()
    })?;
    let request = request(rules, payment)?;
    let judged = judge(rules, payment, &request)?;

    let header = Header::decode(rules, pool.header)?;
    let index = payment.tunnel.and_then(|tunnel| {
        let at = pool.hashes.iter().position(|h| *h == tunnel.payment_hash)?;
        u32::try_from(at).ok()
    });
    rules.check(rules::AIT_ENTRY_KNOWN, index.is_some(), || {
        "the tunnel is not locked to a hash of the pool".into()
    })?;
    let index = index.unwrap_or(u32::MAX);
    rules.at_most(
        rules::AIT_SETTLE_POOL_EXPIRY,
        payment.now,
        header.expiry,
        || {
            format!(
                "the pool expired at {}, and it is {}",
                header.expiry, payment.now
            )
        },
    )?;
    let assignment = payment.tunnel.and_then(|t| t.assignment.as_deref());
    rules.check(rules::AIT_SETTLE_ASSIGNMENT, assignment.is_some(), || {
        "no assignment came with the tunnel".into()
    })?;
    if let Some(assignment) = assignment {
        let assignee = &judged.opening.assignee;
        Assignment::decode(rules, assignment)?.check(rules, &header, index, assignee)?;
    }
    let taken = |used: &Used| used.index == index && used.commitment != *judged.opening.commitment;
    rules.check(rules::AIT_ENTRY_UNUSED, !used.iter().any(taken), || {
        format!("the secret of entry {index} was released for another request")
    })?;
    Ok(Release { index, judged })
}
