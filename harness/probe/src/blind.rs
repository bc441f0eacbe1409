//! Blinded payments: BOLT 4, route blinding and payload format. Paths of the probe's own making
//! ([`creator`]), payments along anybody's path ([`payer`]), and what becomes of an HTLC that comes along
//! one ([`judge`]).
//!
//! Paths have one form for all who make them, `paths` of `invoice.create` with `blinded`, so that a step can
//! hand one to `blinded_path.pay`.

mod creator;
mod judge;
mod payer;
#[cfg(test)]
pub(crate) mod tests;

pub use creator::create;
pub use judge::{Judged, Paths, judge};
pub use payer::{Tail, pay};
pub(crate) use payer::{along, shot_along};

use crate::ops::public_key;
use bitcoin::secp256k1::PublicKey;
use lnconform_drafts::blinding::{BlindedHop, BlindedPath, FirstNode};
use lnconform_drafts::keys::Point;
use lnconform_drafts::payload::RecipientPath;
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, hex};
use serde_json::{Value, json};

/// Blocks that may pass before a path of the probe's ends.
const LIFETIME: u32 = 144;

/// The operation that pays along a path.
pub const PAY: &str = "blinded_path.pay";
/// The operation that makes one, with `blinded`.
pub const CREATE: &str = "invoice.create";

/// A path for payments, and what a payer has to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The introduction node.
    pub(crate) first_node: PublicKey,
    /// What it opens its data with.
    pub(crate) path_key: Point,
    /// The introduction node first.
    pub(crate) hops: Vec<BlindedHop>,
    fee_base_msat: u64,
    fee_proportional_millionths: u64,
    /// Blocks, those that the recipient wants to have left among them.
    pub(crate) cltv_expiry_delta: u32,
    htlc_minimum_msat: u64,
}

impl Path {
    /// Reads what [`Path::value`] writes.
    fn read(params: Params<'_>) -> Result<Self, OpError> {
        let mut hops = Vec::new();
        for hop in params.list("hops")? {
            let hop = Params::new(hop);
            hops.push(BlindedHop {
                blinded_node_id: public_key(hop, "blinded_node_id")?.serialize(),
                encrypted_data: hop.hex("encrypted_data")?,
            });
        }
        if hops.is_empty() {
            return Err(OpError::invalid("param path has no hops"));
        }
        let info = Params::new(params.need("payinfo")?);
        Ok(Self {
            first_node: public_key(params, "first_node_id")?,
            path_key: public_key(params, "first_path_key")?.serialize(),
            hops,
            fee_base_msat: info.number("fee_base_msat")?,
            fee_proportional_millionths: info.number("fee_proportional_millionths")?,
            cltv_expiry_delta: info.u32("cltv_expiry_delta")?,
            htlc_minimum_msat: info.number("htlc_minimum_msat")?,
        })
    }

    fn value(&self) -> Value {
        let hop = |hop: &BlindedHop| {
            json!({
                "blinded_node_id": hex(hop.blinded_node_id),
                "encrypted_data": hex(&hop.encrypted_data),
            })
        };
        json!({
            "first_node_id": self.first_node.to_string(),
            "first_path_key": hex(self.path_key),
            "hops": self.hops.iter().map(hop).collect::<Value>(),
            "payinfo": {
                "fee_base_msat": self.fee_base_msat.to_string(),
                "fee_proportional_millionths": self.fee_proportional_millionths.to_string(),
                "cltv_expiry_delta": self.cltv_expiry_delta,
                "htlc_minimum_msat": self.htlc_minimum_msat.to_string(),
            },
        })
    }

    /// The path as `recipient_blinded_paths` of pull request 836 has it, with its payinfo.
    ///
    /// # Errors
    /// `invalid`: it has no such form.
    pub(crate) fn handed_over(&self) -> Result<Vec<u8>, OpError> {
        let long = |e: &dyn std::fmt::Display| OpError::invalid(format!("param path: {e}"));
        let path = BlindedPath {
            first_node: FirstNode::NodeId(self.first_node.serialize()),
            first_path_key: self.path_key,
            hops: self.hops.clone(),
        };
        let base = u32::try_from(self.fee_base_msat).map_err(|e| long(&e))?;
        let part = u32::try_from(self.fee_proportional_millionths).map_err(|e| long(&e))?;
        let delta = u16::try_from(self.cltv_expiry_delta).map_err(|e| long(&e))?;
        let mut bytes = path.encode().map_err(|e| long(&e))?;
        bytes.extend(base.to_be_bytes());
        bytes.extend(part.to_be_bytes());
        bytes.extend(delta.to_be_bytes());
        bytes.extend(self.htlc_minimum_msat.to_be_bytes());
        // No highest amount, and no features.
        bytes.extend(u64::MAX.to_be_bytes());
        bytes.extend([0, 0]);
        Ok(bytes)
    }

    /// The same read again; `None` where it begins at a channel instead of a node.
    pub(crate) fn taken_over(given: &RecipientPath) -> Option<Self> {
        let FirstNode::NodeId(first) = given.path.first_node else {
            return None;
        };
        let number = |at: std::ops::Range<usize>| {
            let bytes = given.payinfo.get(at)?;
            let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
            Some(bytes.iter().fold(0, add))
        };
        Some(Self {
            first_node: PublicKey::from_slice(&first).ok()?,
            path_key: given.path.first_path_key,
            hops: given.path.hops.clone(),
            fee_base_msat: number(0..4)?,
            fee_proportional_millionths: number(4..8)?,
            cltv_expiry_delta: u32::try_from(number(8..10)?).ok()?,
            htlc_minimum_msat: number(10..18)?,
        })
    }

    /// What the HTLC to the introduction node has to hold, in msat.
    pub(crate) fn with_fee(&self, amount_msat: u64) -> u64 {
        let part =
            u128::from(amount_msat) * u128::from(self.fee_proportional_millionths) / 1_000_000;
        let part = u64::try_from(part).unwrap_or(u64::MAX);
        amount_msat
            .saturating_add(self.fee_base_msat)
            .saturating_add(part)
    }
}

fn key(point: &Point) -> Result<PublicKey, OpError> {
    PublicKey::from_slice(point).map_err(|e| OpError::invalid(format!("param path: {e}")))
}
