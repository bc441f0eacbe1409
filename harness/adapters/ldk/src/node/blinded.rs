//! Blinded paths to this node, without an invoice that somebody has to ask for.
//!
//! ldk-node makes paths for BOLT 12 invoices only. A refund that nobody offers gets an invoice too, and
//! nobody is sent it, since the key that it is for belongs to no node.

use super::running::{Running, refused};
use ldk_node::bitcoin::Network;
use ldk_node::bitcoin::secp256k1::{Secp256k1, SecretKey};
use ldk_node::lightning::blinded_path::IntroductionNode;
use ldk_node::lightning::blinded_path::payment::BlindedPaymentPath;
use ldk_node::lightning::offers::refund::RefundBuilder;
use ldk_node::lightning::util::ser::Writeable;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};
use std::sync::Arc;

/// The refund's key: whoever knew it could do nothing with an invoice over nothing.
const NOBODY: [u8; 32] = [0x42; 32];

/// `invoice.create` with `blinded`: answers `payment_hash`, `paths` (over `via` where that is given)
/// and the BOLT 12 `invoice` that they stand in.
pub(super) fn create(
    amount: Option<u64>,
    params: Params<'_>,
    node: impl Fn() -> Result<Arc<Running>, Fail>,
) -> Outcome {
    let amount = amount.ok_or_else(|| OpError::invalid("param amount_msat is missing"))?;
    for chosen in ["preimage", "payment_hash"] {
        if params.get(chosen).is_some() {
            return Err(Fail::Unsupported(format!(
                "LDK takes no {chosen} for a blinded path"
            )));
        }
    }
    let via = params.maybe("via", Params::list)?;
    let invalid = |e: &dyn std::fmt::Debug| OpError::invalid(format!("param amount_msat: {e:?}"));
    let nobody = SecretKey::from_slice(&NOBODY).map_err(|e| invalid(&e))?;
    let key = nobody.public_key(&Secp256k1::signing_only());
    let refund = RefundBuilder::new(NOBODY.to_vec(), key, amount)
        .and_then(|builder| builder.chain(Network::Regtest).build())
        .map_err(|e| invalid(&e))?;
    let invoice = node()?
        .node
        .bolt12_payment()
        .request_refund_payment(&refund)
        .map_err(refused)?;
    let paths = invoice.payment_paths().iter().filter_map(path);
    // LDK chooses its paths; what else there is than what was asked for is left out.
    let wanted = |path: &Value| {
        via.is_none_or(|via| {
            let hops = path["hops"].as_array().map_or(0, Vec::len);
            hops == via.len() + 1 && via.first().is_none_or(|id| path["first_node_id"] == *id)
        })
    };
    let paths: Vec<Value> = paths.filter(wanted).collect();
    if paths.is_empty() {
        return Err(OpError::rejected("LDK made no such path").into());
    }
    Ok(ResultObject::new()
        .with("payment_hash", hex(invoice.payment_hash().0))
        .with("invoice", hex(invoice.encode()))
        .with("paths", paths)
        .done())
}

/// A path in the form of `blinded_path.pay`; `None` for one that begins at a channel.
fn path(path: &BlindedPaymentPath) -> Option<Value> {
    let IntroductionNode::NodeId(first) = path.introduction_node() else {
        return None;
    };
    let hops = path.blinded_hops().iter().map(|hop| {
        json!({
            "blinded_node_id": hop.blinded_node_id.to_string(),
            "encrypted_data": hex(&hop.encrypted_payload),
        })
    });
    let info = &path.payinfo;
    Some(json!({
        "first_node_id": first.to_string(),
        "first_path_key": path.blinding_point().to_string(),
        "hops": hops.collect::<Value>(),
        "payinfo": {
            "fee_base_msat": info.fee_base_msat.to_string(),
            "fee_proportional_millionths": info.fee_proportional_millionths.to_string(),
            "cltv_expiry_delta": info.cltv_expiry_delta,
            "htlc_minimum_msat": info.htlc_minimum_msat.to_string(),
        },
    }))
}
