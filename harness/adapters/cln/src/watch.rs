//! Threads that wait for what lightningd has to tell, and tell it as events.

use crate::node::Running;
use crate::ops::msat;
use crate::rpc::CallError;
use lnconform_adapter_process::{entries, number, spawn};
use lnconform_protocol::OpError;
use lnconform_protocol::params::ResultObject;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Waits for payments that arrive and for forwards that end.
///
/// # Errors
/// When there is no thread for it.
pub(crate) fn start(running: &Arc<Running>) -> Result<(), OpError> {
    let own = running.clone();
    spawn("received", move || ended("received", received(&own), &own))?;
    let own = running.clone();
    spawn("forwards", move || ended("forwards", forwards(&own), &own))
}

/// Notes why nothing more is told, unless the node was stopped.
fn ended(what: &str, why: CallError, running: &Running) {
    if !running.is_ending() {
        eprintln!("adapter: no more is told of {what}: {why}");
    }
}

/// `waitanyinvoice` answers with the first payment after one that is known, and waits for it.
fn received(running: &Running) -> CallError {
    let last = &running.shared.pay_index;
    loop {
        let after = json!({"lastpay_index": last.load(Ordering::Relaxed)});
        let invoice = match running.call_for("waitanyinvoice", &after, None) {
            Ok(invoice) => invoice,
            Err(e) => return e,
        };
        let index = number(&invoice["pay_index"]);
        if index <= last.load(Ordering::Relaxed) {
            return CallError::Answer {
                method: "waitanyinvoice".into(),
                why: format!("its pay_index {index} is not after the one that was named"),
            };
        }
        let hash = invoice["payment_hash"].as_str().map(str::to_owned);
        let request = invoice["bolt12"].as_str().map(|bolt12| {
            let decoded = running.call("decode", &json!({"string": bolt12}));
            decoded.unwrap_or_default()
        });
        let of_request = |name: &str| request.as_ref().and_then(|r| r.get(name));
        let quantity = of_request("invreq_quantity").map(|q| number(q).to_string());
        let fields = ResultObject::new()
            .maybe("payment", hash.as_deref())
            .maybe("payment_hash", hash.as_deref())
            .with(
                "amount_msat",
                msat(&invoice["amount_received_msat"]).to_string(),
            )
            .maybe(
                "note",
                of_request("invreq_payer_note").and_then(Value::as_str),
            )
            .maybe("quantity", quantity)
            .maybe(
                "settled_time",
                invoice["paid_at"].as_u64().map(|t| t.to_string()),
            )
            .done();
        last.store(index, Ordering::Relaxed);
        running.events.push("payment-received", hash, (), fields);
    }
}

/// `wait` answers when a forward has changed after an index that is known.
fn forwards(running: &Running) -> CallError {
    let last = &running.shared.forward_index;
    loop {
        let next = last.load(Ordering::Relaxed).saturating_add(1);
        let wait = json!({"subsystem": "forwards", "indexname": "updated", "nextvalue": next});
        if let Err(e) = running.call_for("wait", &wait, None) {
            return e;
        }
        let list = match running.call("listforwards", &json!({"index": "updated", "start": next})) {
            Ok(list) => list,
            Err(e) => return e,
        };
        let mut changed: Vec<&Value> = entries(&list["forwards"]).iter().collect();
        changed.sort_by_key(|f| number(&f["updated_index"]));
        let before = last.load(Ordering::Relaxed);
        for forward in changed {
            let index = number(&forward["updated_index"]);
            if index > last.load(Ordering::Relaxed) {
                last.store(index, Ordering::Relaxed);
                tell(running, forward);
            }
        }
        // A change of which the list has nothing: it was overtaken by the next one, or deleted.
        if last.load(Ordering::Relaxed) == before {
            last.store(next, Ordering::Relaxed);
        }
    }
}

fn tell(running: &Running, forward: &Value) {
    let kind = match forward["status"].as_str() {
        Some("settled") => "payment-forwarded",
        Some("failed" | "local_failed") => "forward-failed",
        _ => return,
    };
    let fields = ResultObject::new()
        .maybe("from_scid", forward["in_channel"].as_str())
        .maybe("to_scid", forward["out_channel"].as_str())
        .maybe("from", peer_of(running, &forward["in_channel"]))
        .maybe("to", peer_of(running, &forward["out_channel"]))
        .maybe(
            "amount_msat",
            forward.get("out_msat").map(|m| msat(m).to_string()),
        )
        .with("incoming_msat", msat(&forward["in_msat"]).to_string())
        .maybe(
            "fee_msat",
            forward.get("fee_msat").map(|m| msat(m).to_string()),
        )
        .maybe("code", forward["failcode"].as_u64())
        .maybe("reason", forward["failreason"].as_str())
        .done();
    running.events.push(kind, None, (), fields);
}

/// The peer at the other end of a channel of this node.
fn peer_of(running: &Running, scid: &Value) -> Option<String> {
    let channels = running
        .call("listpeerchannels", &json!({"short_channel_id": scid}))
        .ok()?;
    let channel = entries(&channels["channels"]).first()?;
    channel["peer_id"].as_str().map(str::to_owned)
}
