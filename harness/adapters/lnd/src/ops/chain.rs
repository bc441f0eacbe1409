//! The chain and the wallet.

use super::Node;
use crate::http::CallError;
use crate::lnd::CALL;
use crate::node::Running;
use crate::read;
use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::Params;
use serde_json::{Value, json};

pub(super) fn chain_sync(params: Params<'_>, node: Node<'_>) -> Outcome {
    lnconform_adapter_process::chain_sync(params, node, Running::over, |running| {
        let info = running.client.get("/v1/getinfo", CALL)?;
        let behind = info["synced_to_chain"] != true;
        let why = behind.then(|| "synced_to_chain is false".to_owned());
        Ok::<_, CallError>((read::number(&info["block_height"]), why))
    })
}

pub(super) fn new_address(node: Node<'_>) -> Outcome {
    let answer = node()?
        .client
        .get("/v1/newaddress?type=WITNESS_PUBKEY_HASH", CALL)?;
    let address = read::need(&answer["address"], "/v1/newaddress", "address")?;
    Ok(json!({ "address": address }))
}

/// `spendable_sat` counts what may be spent in a channel's funding, unconfirmed change included.
pub(super) fn balance(node: Node<'_>) -> Outcome {
    let running = node()?;
    let wallet = running
        .client
        .get("/v1/balance/blockchain?account=default", CALL)?;
    let channels = running.client.get("/v1/balance/channels", CALL)?;
    let sat = |value: &Value| read::number(value).to_string();
    Ok(json!({
        "confirmed_sat": sat(&wallet["confirmed_balance"]),
        "spendable_sat": sat(&wallet["total_balance"]),
        "total_sat": sat(&wallet["total_balance"]),
        "lightning_sat": sat(&channels["local_balance"]["sat"]),
    }))
}
