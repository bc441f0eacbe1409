//! Payments: Eclair answers with an id at once, and tells of the end by an event.

use crate::http::CallError;
use crate::node::Running;
use lnconform_adapter_process::{
    LOOK_EVERY, deadline, entries, lock, number, payment_end, spawn, sum,
};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject};
use serde_json::{Value, json};
use std::sync::Arc;
use std::thread;

/// Eclair's words for failures of the onion, and their numbers (BOLT 4, failure messages). It tells
/// the words alone.
const FAILURES: [(&str, u16); 6] = [
    ("incorrect payment details or unknown payment hash", 0x400f),
    ("general temporary failure of the processing node", 0x2002),
    ("general permanent failure of the processing node", 0x6002),
    (
        "processing node does not know the next peer in the route",
        0x400a,
    ),
    ("channel is currently unavailable", 0x1007),
    (
        "payment expiry is too close to the current block height for safe handling by the relaying node",
        0x100e,
    ),
];

/// Starts a payment and answers its handle, Eclair's id.
///
/// # Errors
/// What Eclair refuses at once.
pub(crate) fn send(running: &Running, call: &str, fields: &[(&str, String)]) -> Outcome {
    let after = running.events.last();
    let answer = running.call(call, fields)?;
    let Some(id) = answer.as_str() else {
        return Err(
            OpError::internal(format!("eclair's answer to {call} is no id: {answer}")).into(),
        );
    };
    lock(&running.shared.sent).insert(id.to_owned(), after);
    lock(&running.shared.open).insert(id.to_owned());
    // Its end may have been told before the id was.
    let told = running.events.find(|seen| {
        let ended = matches!(seen.kind, "payment-sent" | "payment-failed");
        (ended && seen.payment.as_deref() == Some(id)).then_some(())
    });
    if told.is_some() {
        lock(&running.shared.open).remove(id);
    }
    Ok(json!({ "payment": id }))
}

fn push(running: &Running, kind: &'static str, id: &str, fields: ResultObject) {
    lock(&running.shared.open).remove(id);
    let fields = fields.with("payment", id).done();
    running.events.push(kind, Some(id.to_owned()), (), fields);
}

/// Tells of a payment that was made, from the event `payment-sent`.
pub(crate) fn sent(running: &Running, event: &Value) {
    let Some(id) = event["id"].as_str() else {
        return;
    };
    let parts = entries(&event["parts"]);
    let fees = sum(parts.iter().map(|p| number(&p["feesPaid"])));
    let fields = ResultObject::new()
        .with("status", "succeeded")
        .maybe("payment_hash", event["paymentHash"].as_str())
        .maybe("preimage", event["paymentPreimage"].as_str())
        .with("fee_msat", fees.to_string())
        .with("parts", parts.len());
    push(running, "payment-sent", id, fields);
}

/// Tells of a payment that failed, from the event `payment-failed`.
pub(crate) fn failed(running: &Running, event: &Value) {
    let Some(id) = event["id"].as_str() else {
        return;
    };
    let parts = running.call("getsentinfo", &[("id", id.to_owned())]);
    let failure = parts.map_or_else(
        |e| json!({"reason": format!("eclair does not say why: {e}")}),
        |parts| failure(entries(&parts)),
    );
    let fields = ResultObject::new()
        .with("status", "failed")
        .with("failure", failure);
    push(running, "payment-failed", id, fields);
}

/// The failure of a payment: the last one of its last attempt.
fn failure(parts: &[Value]) -> Value {
    let last = parts
        .iter()
        .rev()
        .find_map(|p| entries(&p["status"]["failures"]).last());
    let Some(last) = last else {
        return json!({"reason": "eclair found no route, or does not say why"});
    };
    let said = last["failureMessage"].as_str().unwrap_or_default();
    let code = FAILURES.iter().find(|(words, _)| said.contains(words));
    let route = entries(&last["failedRoute"]);
    let node = last["failedNode"].as_str();
    let hop = node.and_then(|node| route.iter().position(|h| h["nextNodeId"] == node));
    ResultObject::new()
        .maybe("code", code.map(|(_, code)| *code))
        .maybe("hop", hop)
        .with("reason", said)
        .done()
}

/// Looks after payments whose end was not seen before a restart, which ends Eclair's attempts: what
/// is known of the parts decides.
///
/// # Errors
/// When there is no thread for it.
pub(crate) fn resume(running: &Arc<Running>) -> Result<(), OpError> {
    let open: Vec<String> = lock(&running.shared.open).iter().cloned().collect();
    for id in open {
        let running = running.clone();
        spawn("payment", move || {
            // It may be told by an event meanwhile.
            while !running.over() && lock(&running.shared.open).contains(&id) {
                match running.call("getsentinfo", &[("id", id.clone())]) {
                    Ok(parts) => {
                        if decided(&running, &id, entries(&parts)) {
                            return;
                        }
                    }
                    Err(CallError::Refused { .. }) => {
                        decided(&running, &id, &[]);
                        return;
                    }
                    Err(_) => return,
                }
                thread::sleep(LOOK_EVERY);
            }
        })?;
    }
    Ok(())
}

/// Whether the parts have ended; if so, that is told.
fn decided(running: &Running, id: &str, parts: &[Value]) -> bool {
    let of = |kind: &'static str| parts.iter().filter(move |p| p["status"]["type"] == kind);
    if of("pending").next().is_some() {
        return false;
    }
    let made: Vec<&Value> = of("sent").collect();
    let Some(first) = made.first() else {
        let fields = ResultObject::new()
            .with("status", "failed")
            .with("failure", failure(parts));
        push(running, "payment-failed", id, fields);
        return true;
    };
    let fees = made.iter().map(|p| number(&p["status"]["feesPaid"]));
    let fields = ResultObject::new()
        .with("status", "succeeded")
        .maybe("payment_hash", first["paymentHash"].as_str())
        .maybe("preimage", first["status"]["paymentPreimage"].as_str())
        .with("fee_msat", sum(fees).to_string())
        .with("parts", made.len());
    push(running, "payment-sent", id, fields);
    true
}

/// `payment.wait`.
pub(crate) fn wait(params: Params<'_>, running: &Running) -> Outcome {
    let payment = params.str("payment")?;
    let deadline = deadline(params, 25_000)?;
    let after = lock(&running.shared.sent).get(payment).copied();
    let after = after
        .ok_or_else(|| Fail::from(OpError::rejected("the node was asked for no such payment")))?;
    payment_end(&running.events, payment, after, deadline)
}
