//! Invoices with blinded paths.

use crate::lnd::CALL;
use crate::node::Running;
use crate::ops::until;
use crate::read;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::ResultObject;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a peer may take to announce itself.
const ANNOUNCED: Duration = Duration::from_secs(15);

/// `invoice.create` with `blinded`: paths over one peer, or over `via` where that is given. Answers `invoice`, `payment_hash` and
/// `paths` in the form of `blinded_path.pay`.
pub(crate) fn create(running: &Running, body: ResultObject, via: Option<&[Value]>) -> Outcome {
    let hops = via.map_or(1, <[Value]>::len);
    let config = json!({"min_num_real_hops": hops, "num_hops": hops, "max_num_paths": 3});
    let body = body
        .with("is_blinded", true)
        .with("blinded_path_config", config)
        .done();
    // LND makes no path over a peer before it has the peer's announcement.
    let deadline = Instant::now() + ANNOUNCED;
    let answer = until(
        running,
        deadline,
        "there is no blinded path",
        || match running.client.post("/v1/invoices", &body, CALL) {
            Err(e) if e.says("could not find any routes to self") => Ok(Err(e.to_string())),
            answer => answer.map(Ok),
        },
    )?;
    let invoice = &answer["payment_request"];
    let invoice = read::need(invoice, "/v1/invoices", "payment_request")?;
    let decoded = running.client.get(&format!("/v1/payreq/{invoice}"), CALL)?;
    let paths: Vec<Value> = read::entries(&decoded["blinded_paths"])
        .iter()
        .map(path)
        // LND chooses its paths; what else there is than what was asked for is left out.
        .filter(|path| {
            let first = via.and_then(|via| via.first());
            first.is_none_or(|id| path["first_node_id"] == *id)
        })
        .collect();
    if paths.is_empty() {
        return Err(OpError::rejected("LND made no such path").into());
    }
    Ok(ResultObject::new()
        .with("invoice", invoice)
        .maybe("payment_hash", read::hex_of(&answer["r_hash"]))
        .with("paths", paths)
        .done())
}

fn path(path: &Value) -> Value {
    let blinded = &path["blinded_path"];
    let hops = read::entries(&blinded["blinded_hops"]).iter().map(|hop| {
        ResultObject::new()
            .maybe("blinded_node_id", read::hex_of(&hop["blinded_node"]))
            .maybe("encrypted_data", read::hex_of(&hop["encrypted_data"]))
            .done()
    });
    let number = |name: &str| read::number(&path[name]);
    ResultObject::new()
        .maybe("first_node_id", read::hex_of(&blinded["introduction_node"]))
        .maybe("first_path_key", read::hex_of(&blinded["blinding_point"]))
        .with("hops", hops.collect::<Value>())
        .with(
            "payinfo",
            json!({
                "fee_base_msat": number("base_fee_msat").to_string(),
                "fee_proportional_millionths": number("proportional_fee_rate").to_string(),
                "cltv_expiry_delta": number("total_cltv_delta"),
                "htlc_minimum_msat": number("htlc_min_msat").to_string(),
            }),
        )
        .done()
}
