//! Payments: calls that last until the payment has ended, each in a thread of its own.

use crate::node::{Running, sent};
use crate::ops::msat;
use crate::rpc::CallError;
use lnconform_adapter_process::{
    LOOK_EVERY, bolt12_bytes, deadline, entries, label, lock, payment_end, spawn,
};
use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::{Params, ResultObject, hex, hex_bytes};
use lnconform_protocol::{ErrorKind, OpError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long Core Lightning tries, in seconds: long enough for a retry, and over before the harness
/// waits in vain.
pub(crate) const TRY_FOR: u32 = 15;
/// How long an attempt may take to show itself. What takes longer is under way all the same.
const SHOWS: Duration = Duration::from_secs(3);
/// Longest call that pays.
const PAYS: Duration = Duration::from_secs(120);

/// A payment that was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// Last event before it was sent.
    after: u32,
    /// The BOLT 12 invoice that is paid, as a string.
    invoice: Option<String>,
}

/// Whether an error ends a payment that was tried, and does not refuse the request: no route, too
/// expensive, failed at the destination or on the way, out of time (lightning-pay,
/// lightning-keysend); no route for the request, no or a bad answer (lightning-fetchinvoice).
fn ends_payment(e: &CallError) -> bool {
    matches!(e.code(), Some(202..=206 | 208..=210 | 219 | 1003..=1005))
}

/// Starts a payment and answers its handle, which is also the label under which Core Lightning
/// keeps it. `work` makes the calls, and is given the label.
///
/// # Errors
/// What Core Lightning refuses before it has tried anything.
pub(crate) fn send(
    running: &Arc<Running>,
    work: impl FnOnce(&Running, &str) -> Result<Value, CallError> + Send + 'static,
) -> Outcome {
    let label = label()?;
    let after = running.events.last();
    let sent = Sent {
        after,
        ..Sent::default()
    };
    lock(&running.shared.sent).insert(label.clone(), sent);
    // True once the handle was given: from then on a refusal is the payment's end.
    let given = Arc::new(Mutex::new(false));
    let (tell, told) = mpsc::channel();
    {
        let (running, label, given) = (running.clone(), label.clone(), given.clone());
        spawn("payment", move || {
            let outcome = work(&running, &label);
            let given = lock(&given);
            let early = match outcome {
                Ok(answer) => {
                    succeeded(&running, &label, &answer);
                    Ok(())
                }
                Err(e) if ends_payment(&e) => {
                    failed(&running, &label, failure(&running, &label, &e));
                    Ok(())
                }
                Err(e) if !*given => Err(e),
                Err(e @ CallError::Refused { .. }) => {
                    failed(&running, &label, json!({"reason": e.to_string()}));
                    Ok(())
                }
                // The node went away: what became of it is seen when it is back.
                Err(_) => {
                    lock(&running.shared.open).insert(label.clone());
                    Ok(())
                }
            };
            // Nobody may be there to be told any more.
            let _ = tell.send(early);
        })?;
    }
    let end = Instant::now() + SHOWS;
    loop {
        match told.recv_timeout(LOOK_EVERY) {
            Ok(Ok(())) => break,
            Ok(Err(e)) => {
                lock(&running.shared.sent).remove(&label);
                return Err(e.into());
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(OpError::internal("the thread of the payment has ended").into());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() >= end || attempts(running, &label).is_ok_and(|a| !a.is_empty()) {
            let mut given = lock(&given);
            // It may have ended since.
            if let Ok(Err(e)) = told.try_recv() {
                lock(&running.shared.sent).remove(&label);
                return Err(e.into());
            }
            *given = true;
            break;
        }
    }
    Ok(json!({ "payment": label }))
}

/// Attempts that Core Lightning keeps under a label.
fn attempts(running: &Running, label: &str) -> Result<Vec<Value>, CallError> {
    let list = running.call("listsendpays", &json!({}))?;
    Ok(entries(&list["payments"])
        .iter()
        .filter(|p| p["label"] == label)
        .cloned()
        .collect())
}

/// Tells of a payment that was made: the answer of `pay` and its like, or an attempt.
fn succeeded(running: &Running, label: &str, answer: &Value) {
    let preimage = answer["payment_preimage"].as_str();
    // The newer calls name the preimage alone.
    let hash = match (
        answer["payment_hash"].as_str(),
        preimage.and_then(hex_bytes),
    ) {
        (Some(hash), _) => Some(hash.to_owned()),
        (None, Some(preimage)) => Some(hex(Sha256::digest(preimage))),
        (None, None) => None,
    };
    let fee = match (answer.get("amount_sent_msat"), answer.get("amount_msat")) {
        (Some(sent), Some(amount)) => msat(sent).checked_sub(msat(amount)),
        _ => None,
    };
    let parts = answer["parts"]
        .as_u64()
        .or_else(|| answer["successful_parts"].as_u64());
    let fields = ResultObject::new()
        .with("payment", label)
        .with("status", "succeeded")
        .maybe("payment_hash", hash)
        .maybe("preimage", preimage)
        .maybe("fee_msat", fee.map(|f| f.to_string()))
        .maybe("parts", parts)
        .done();
    running
        .events
        .push("payment-sent", Some(label.into()), (), fields);
}

fn failed(running: &Running, label: &str, failure: Value) {
    let fields = json!({"payment": label, "status": "failed", "failure": failure});
    running
        .events
        .push("payment-failed", Some(label.into()), (), fields);
}

/// Why a payment failed: what the error says, else what `waitsendpay` says of its last attempt
/// that failed.
fn failure(running: &Running, label: &str, e: &CallError) -> Value {
    let CallError::Refused { message, data, .. } = e else {
        return json!({"reason": e.to_string()});
    };
    let told = |data: &Value| -> Option<Value> {
        let code = data["failcode"].as_u64()?;
        // Core Lightning counts from the payer, the protocol from the first node after it.
        let hop = data["erring_index"].as_u64().and_then(|i| i.checked_sub(1));
        let reason = data["failcodename"].as_str().unwrap_or(message);
        Some(
            ResultObject::new()
                .with("code", code)
                .maybe("hop", hop)
                .with("reason", reason)
                .done(),
        )
    };
    if let Some(failure) = told(data) {
        return failure;
    }
    let attempts = attempts(running, label).unwrap_or_default();
    let last = attempts.iter().rev().find(|a| a["status"] == "failed");
    if let Some(attempt) = last {
        let mut ask = json!({"payment_hash": attempt["payment_hash"], "timeout": 1});
        for name in ["partid", "groupid"] {
            if let Some(value) = attempt.get(name) {
                ask[name] = value.clone();
            }
        }
        if let Err(CallError::Refused { data, .. }) = running.call("waitsendpay", &ask)
            && let Some(failure) = told(&data)
        {
            return failure;
        }
    }
    json!({ "reason": message })
}

/// Looks after payments whose end was not seen before a restart.
///
/// # Errors
/// When there is no thread for it.
pub(crate) fn resume(running: &Arc<Running>) -> Result<(), OpError> {
    let open: Vec<String> = lock(&running.shared.open).drain().collect();
    for label in open {
        let running = running.clone();
        spawn("payment", move || {
            while !running.is_ending() {
                let Ok(attempts) = attempts(&running, &label) else {
                    lock(&running.shared.open).insert(label);
                    return;
                };
                if let Some(done) = attempts.iter().find(|a| a["status"] == "complete") {
                    return succeeded(&running, &label, done);
                }
                if !attempts.iter().any(|a| a["status"] == "pending") {
                    let why = "it had not been made when the node went away";
                    return failed(&running, &label, json!({"reason": why}));
                }
                thread::sleep(LOOK_EVERY);
            }
            lock(&running.shared.open).insert(label);
        })?;
    }
    Ok(())
}

/// Pays a BOLT 11 or BOLT 12 invoice. `pay` has left the newest Core Lightning, and `xpay` is not
/// in the oldest.
pub(crate) fn invoice(
    running: &Running,
    label: &str,
    invoice: &str,
    amount: Option<u64>,
) -> Result<Value, CallError> {
    let with = |name: &str| {
        ResultObject::new()
            .with(name, invoice)
            .with("label", label)
            .with("retry_for", TRY_FOR)
            .maybe("amount_msat", amount)
            .done()
    };
    match running.call_for("pay", &with("bolt11"), Some(PAYS)) {
        Err(e) if e.no_such_method() => running.call_for("xpay", &with("invstring"), Some(PAYS)),
        other => other,
    }
}

/// Sends a keysend payment; as [`invoice`], there are two calls for it.
pub(crate) fn keysend(running: &Running, params: &Value) -> Result<Value, CallError> {
    match running.call_for("keysend", params, Some(PAYS)) {
        Err(e) if e.no_such_method() => running.call_for("xkeysend", params, Some(PAYS)),
        other => other,
    }
}

/// Asks for the invoice of an offer and pays it.
pub(crate) fn offer(running: &Running, label: &str, ask: &Value) -> Result<Value, CallError> {
    let answer = running.call_for("fetchinvoice", ask, Some(PAYS))?;
    let Some(bolt12) = answer["invoice"].as_str() else {
        return Err(CallError::Answer {
            method: "fetchinvoice".into(),
            why: "it has no invoice".into(),
        });
    };
    if let Some(sent) = lock(&running.shared.sent).get_mut(label) {
        sent.invoice = Some(bolt12.to_owned());
    }
    invoice(running, label, bolt12, None)
}

/// `payment.wait`.
pub(crate) fn wait(params: Params<'_>, running: &Running) -> Outcome {
    let payment = params.str("payment")?;
    let deadline = deadline(params, 25_000)?;
    let after = sent(running, payment)?.after;
    payment_end(&running.events, payment, after, deadline)
}

/// `payment.invoice`: the BOLT 12 invoice that is paid.
pub(crate) fn invoice_of(params: Params<'_>, running: &Running) -> Outcome {
    let payment = params.str("payment")?;
    let Some(invoice) = sent(running, payment)?.invoice else {
        return Err(
            OpError::rejected("the payment is not for a BOLT 12 invoice, or has none yet").into(),
        );
    };
    let bytes = bolt12_bytes(&invoice).ok_or_else(|| {
        OpError::new(
            ErrorKind::Internal,
            "lightningd's invoice is no BOLT 12 string",
        )
    })?;
    Ok(json!({ "invoice": hex(bytes) }))
}
