//! Sending: LND's own payments, followed on their streams, and HTLCs over routes that the caller
//! chose.

use crate::http::{CallError, Stream};
use crate::lnd::CALL;
use crate::node::Running;
use crate::read;
use lnconform_adapter_process::{lock, spawn};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::{ResultObject, hex_bytes};
use serde_json::{Value, json};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Until LND has taken a payment, or refused it.
const TAKEN: Duration = Duration::from_secs(15);
/// For how long LND looks for routes.
pub(crate) const TRY_FOR: u32 = 12;
/// After which no further attempt is made: an AMP payment without liquidity is tried beyond its
/// timeout.
const END_AFTER: Duration = Duration::from_secs(TRY_FOR as u64 + 3);

/// Remembers where among the events the payment began, and that its end is to be told.
fn begin(running: &Running, payment: &str, after: u32) {
    lock(&running.shared.sent_after).insert(payment.to_owned(), after);
    lock(&running.shared.open).insert(payment.to_owned());
}

/// Tells how a payment ended.
fn end(running: &Running, payment: &str, result: Value) {
    lock(&running.shared.open).remove(payment);
    let kind = if result["status"] == "succeeded" {
        "payment-sent"
    } else {
        "payment-failed"
    };
    let mut fields = ResultObject::new().with("payment", payment);
    if let Value::Object(map) = result {
        for (name, value) in map {
            fields = fields.with(&name, value);
        }
    }
    let fields = fields.done();
    running
        .events
        .push(kind, Some(payment.to_owned()), (), fields);
}

/// Sends by SendPaymentV2 (`POST /v2/router/send`) and answers the payment's handle once LND has
/// taken it.
///
/// # Errors
/// What LND refuses at once: an invoice that is wrong, a payment that was paid before.
pub(crate) fn send(running: &Arc<Running>, body: Value) -> Outcome {
    // What it has learnt of channels in earlier payments, failures of other scenarios among it, is
    // not to decide this one.
    running
        .client
        .post("/v2/router/mc/reset", &json!({}), CALL)?;
    let after = running.events.last();
    let stream = running
        .client
        .stream("POST", "/v2/router/send", Some(&body))?;
    let (taken, answer) = mpsc::sync_channel(1);
    let node = running.clone();
    spawn("payment", move || {
        follow(&node, stream, None, after, Some(taken));
    })?;
    let payment = answer
        .recv_timeout(TAKEN)
        .map_err(|_| OpError::timeout("lnd has neither taken nor refused the payment"))??;
    Ok(json!({ "payment": payment }))
}

type Taken = SyncSender<Result<String, OpError>>;

/// Reads what LND tells of a payment until it has ended or the node is gone.
fn follow(
    running: &Running,
    mut stream: Stream,
    mut payment: Option<String>,
    after: u32,
    mut taken: Option<Taken>,
) {
    let mut look_again = Some(Instant::now() + END_AFTER);
    loop {
        match stream.next(look_again) {
            Ok(Some(update)) => {
                if payment.is_none() {
                    payment = update["payment_hash"].as_str().map(str::to_owned);
                }
                let Some(handle) = &payment else { return };
                if let Some(taken) = taken.take() {
                    begin(running, handle, after);
                    // Whoever asked may have given up.
                    let _ = taken.send(Ok(handle.clone()));
                }
                if read::is_final(&update) {
                    end(running, handle, read::payment(&update));
                    return;
                }
            }
            Err(CallError::Timeout { .. }) => {
                let Some(handle) = &payment else { return };
                // The payment is cancelable: the end of this stream ends its attempts. HTLCs that
                // are under way, with a payee that holds them, go on.
                drop(stream);
                match track(running, handle) {
                    Ok(again) => {
                        stream = again;
                        look_again = None;
                    }
                    Err(e) => {
                        eprintln!("adapter: payment {handle}: {e}");
                        return;
                    }
                }
            }
            Ok(None) | Err(_) if running.client.is_ending() => return,
            Ok(None) => {
                eprintln!("adapter: lnd told no end of payment {payment:?}");
                return;
            }
            Err(e) => {
                match (taken.take(), &payment) {
                    (Some(taken), _) => drop(taken.send(Err(e.into()))),
                    (None, Some(handle)) => {
                        let failure = json!({"reason": e.to_string()});
                        let result = json!({"status": "failed", "failure": failure});
                        end(running, handle, result);
                    }
                    (None, None) => {}
                }
                return;
            }
        }
    }
}

/// TrackPaymentV2.
fn track(running: &Running, payment: &str) -> Result<Stream, CallError> {
    let id = hex_bytes(payment).unwrap_or_default();
    let path = format!("/v2/router/track/{}", read::base64_url(id));
    running.client.stream("GET", &path, None)
}

/// Looks after the payments whose end was not seen before the node was stopped.
pub(crate) fn resume(running: &Arc<Running>) {
    let open: Vec<String> = lock(&running.shared.open).iter().cloned().collect();
    for payment in open {
        let node = running.clone();
        let after = lock(&running.shared.sent_after)
            .get(&payment)
            .copied()
            .unwrap_or(0);
        let followed = track(running, &payment)
            .map_err(OpError::from)
            .and_then(|stream| {
                spawn("payment", move || {
                    follow(&node, stream, Some(payment), after, None);
                })
            });
        if let Err(e) = followed {
            let why = e.message;
            eprintln!("adapter: a payment from before the restart is not followed: {why}");
        }
    }
}

/// One HTLC over a route that the caller chose.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Its hash.
    pub(crate) payment_hash: [u8; 32],
    /// Where it goes.
    pub(crate) route: Route,
}

/// How a shard finds its way, and what its last hop is told.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) amount_msat: u64,
    /// The hops' node ids, payee last; empty: LND looks for a way to `to`.
    pub(crate) via: Vec<Vec<u8>>,
    pub(crate) to: Vec<u8>,
    pub(crate) final_cltv_delta: u32,
    /// `mpp_record`, `amp_record` and `custom_records` of the last hop.
    pub(crate) payload: Vec<(&'static str, Value)>,
}

impl Route {
    /// The route in LND's form (BuildRoute, or QueryRoutes where no hops are given).
    fn build(&self, running: &Running) -> Result<Value, OpError> {
        let client = &running.client;
        let mut route = if self.via.is_empty() {
            let path = format!(
                "/v1/graph/routes/{}/0?amt_msat={}&final_cltv_delta={}",
                lnconform_protocol::params::hex(&self.to),
                self.amount_msat,
                self.final_cltv_delta
            );
            let found = client.get(&path, CALL)?;
            read::entries(&found["routes"])
                .first()
                .cloned()
                .unwrap_or_default()
        } else {
            let hops: Vec<String> = self.via.iter().map(read::base64).collect();
            let body = json!({
                "amt_msat": self.amount_msat.to_string(),
                "final_cltv_delta": self.final_cltv_delta,
                "hop_pubkeys": hops,
            });
            client.post("/v2/router/route", &body, CALL)?["route"].clone()
        };
        let last = route
            .get_mut("hops")
            .and_then(Value::as_array_mut)
            .and_then(|hops| hops.last_mut());
        let Some(Value::Object(last)) = last else {
            return Err(OpError::rejected("lnd finds no route"));
        };
        for (name, value) in &self.payload {
            last.insert((*name).to_owned(), value.clone());
        }
        Ok(route)
    }
}

/// Sends HTLCs by SendToRouteV2, all at once, as one payment with this handle.
///
/// # Errors
/// When LND finds a route for one of them not; then none is sent.
pub(crate) fn send_shards(running: &Arc<Running>, payment: &str, shards: &[Shard]) -> Outcome {
    if shards.is_empty() {
        return Err(OpError::invalid("there is nothing to send").into());
    }
    let bodies = shards
        .iter()
        .map(|shard| {
            Ok(json!({
                "payment_hash": read::base64(shard.payment_hash),
                "route": shard.route.build(running)?,
            }))
        })
        .collect::<Result<Vec<_>, OpError>>()?;
    begin(running, payment, running.events.last());
    // By what LND calls the payment: the set, unless the caller left the AMP records out.
    let amp = shards.iter().any(|s| {
        s.route
            .payload
            .iter()
            .any(|(name, _)| *name == "amp_record")
    });
    let identifier = if amp { "set_id" } else { "payment_hash" };
    let results = Arc::new(Mutex::new(vec![None; shards.len()]));
    for (number, body) in bodies.into_iter().enumerate() {
        let node = running.clone();
        let results = results.clone();
        let payment = payment.to_owned();
        let amount = shards[number].route.amount_msat;
        let work = move || {
            let Some(result) = attempt(&node, &body, amount) else {
                return;
            };
            let mut results = lock(&results);
            results[number] = Some(result);
            let all: Option<Vec<Value>> = results.iter().cloned().collect();
            if let Some(all) = all {
                end(&node, &payment, together(identifier, &payment, all));
            }
        };
        spawn("shard", work)?;
    }
    Ok(json!({ "payment": payment }))
}

/// Sends one HTLC and waits until it is resolved; nothing when the node is stopped before.
fn attempt(running: &Running, body: &Value, amount_msat: u64) -> Option<Value> {
    // Its answer comes when the HTLC is resolved, which a payee that holds it may put off.
    let answer = running
        .client
        .stream("POST", "/v2/router/route/send", Some(body))
        .and_then(|mut stream| stream.whole());
    match answer {
        Ok(value) => Some(read::attempt(&value)),
        Err(_) if running.client.is_ending() => None,
        Err(e) => Some(json!({
            "amount_msat": amount_msat.to_string(),
            "status": "failed",
            "failure": {"reason": e.to_string()},
        })),
    }
}

/// How a payment of several HTLCs ended.
fn together(identifier: &str, payment: &str, htlcs: Vec<Value>) -> Value {
    let settled = htlcs.iter().filter(|h| h["status"] == "succeeded").count();
    let succeeded = settled == htlcs.len();
    let amp = identifier == "set_id";
    let preimage = htlcs.iter().find_map(|h| h.get("preimage").cloned());
    let failure = (!succeeded).then(|| read::last_failure(htlcs.iter().cloned(), ""));
    ResultObject::new()
        .with("status", if succeeded { "succeeded" } else { "failed" })
        .with(identifier, payment)
        .maybe("preimage", preimage.filter(|_| succeeded && !amp))
        .with("parts", settled)
        .with("htlcs", htlcs)
        .maybe("failure", failure)
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_htlc_fails_the_payment_and_the_others_are_shown() {
        let good = json!({"amount_msat": "1", "status": "succeeded", "preimage": "07"});
        let bad = json!({"amount_msat": "2", "status": "failed",
            "failure": {"code": 16399, "hop": 1, "reason": "X"}});
        let result = together("payment_hash", "aa", vec![good.clone(), bad]);
        assert_eq!(result["status"], "failed");
        assert_eq!(
            result["failure"],
            json!({"code": 16399, "hop": 1, "reason": "X"})
        );
        assert_eq!(result["parts"], 1);
        assert!(result.get("preimage").is_none());
        let result = together("payment_hash", "aa", vec![good]);
        assert_eq!(
            (&result["status"], &result["preimage"]),
            (&json!("succeeded"), &json!("07"))
        );
        assert!(result.get("failure").is_none());
        assert_eq!(result["payment_hash"], "aa");
    }
}
