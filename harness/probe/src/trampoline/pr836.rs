//! Trampoline payments in the numbers of pull request 836: types 12, 14, 20, 21 and 22, failures
//! `NODE|25`, `NODE|26` and `PERM|27`, under two onions. The probe as payer, as trampoline that waits for
//! nobody, and as the recipient of a trampoline onion.

mod payer;
pub(super) mod receiver;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use payer::pay;

use crate::misbehave::Plan;
use bitcoin::secp256k1::PublicKey;
use lnconform_drafts::failure;
use lnconform_drafts::payload::kind;
use lnconform_drafts::rules::Rules;
use lnconform_protocol::OpError;
use lnconform_protocol::params::Params;
use std::collections::HashMap;

/// What the option `trampoline` of `node.start` says.
pub const OPTION: &str = "pr-836";
/// Feature bit `trampoline_routing`, optional.
pub const FEATURE: usize = 57;
/// What the probe asks for as a trampoline, and what it leaves others as a payer unless a step says otherwise,
/// in msat.
pub(crate) const FEE_MSAT: u64 = 1_000;

/// Secrets of inner onions, by payment hash.
#[derive(Default)]
pub struct Secrets {
    sent: HashMap<[u8; 32], Vec<[u8; 32]>>,
    held: HashMap<[u8; 32], [u8; 32]>,
}

impl Secrets {
    /// Keeps what is shared with the payer of a payment that has come; nothing, if its onion could not be
    /// read.
    fn keep(&mut self, hash: [u8; 32], shared: Option<[u8; 32]>) {
        match shared {
            Some(shared) => self.held.insert(hash, shared),
            None => self.held.remove(&hash),
        };
    }

    /// Keeps what is shared with the nodes of the inner onion of a payment of ours.
    pub fn sent(&mut self, hash: [u8; 32], inner: Vec<[u8; 32]>) {
        self.sent.insert(hash, inner);
    }

    /// What is shared with the payer of a payment that has come.
    pub fn inner(&self, hash: &[u8; 32]) -> Option<[u8; 32]> {
        self.held.get(hash).copied()
    }

    /// What a payer reads failures of a payment with, its outer secrets first: those of trampolines
    /// count on from the hops of the outer onion.
    pub fn both(&self, hash: Option<[u8; 32]>, outer: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
        let inner = hash.and_then(|hash| self.sent.get(&hash));
        [outer, inner.cloned().unwrap_or_default()].concat()
    }
}

/// A failure for the payer of a payment: under the inner secret first where there is one, then under the
/// outer one.
///
/// # Errors
/// That of a failure that is too long.
pub fn failure(
    inner: Option<[u8; 32]>,
    outer: &[u8; 32],
    message: &[u8],
) -> Result<Vec<u8>, failure::CreateError> {
    let rules = Rules::all();
    let first = inner.as_ref().unwrap_or(outer);
    let packet = failure::create(&rules, first, message, failure::PADDED)?.packet;
    Ok(match inner {
        Some(_) => failure::wrap(outer, &packet),
        None => packet,
    })
}

/// Param `trampolines`.
pub(crate) fn node_ids(params: Params<'_>) -> Result<Vec<PublicKey>, OpError> {
    let bad = || OpError::invalid("param trampolines is no list of node ids");
    let mut nodes = Vec::new();
    for id in params.list("trampolines")? {
        let id = id.as_str().ok_or_else(bad)?;
        nodes.push(id.parse::<PublicKey>().map_err(|_| bad())?);
    }
    Ok(nodes)
}

/// The second payment in these numbers.
pub fn translate(plan: &mut Plan) {
    for record in &mut plan.records {
        if record.kind == kind::LEGACY_TRAMPOLINE_ONION {
            record.kind = kind::TRAMPOLINE_ONION;
        }
    }
}
