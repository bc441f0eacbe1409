//! What LND answers, in the protocol's form. No I/O.
//!
//! LND's REST interface writes bytes as base64, 64-bit numbers as decimal strings, and fields that
//! have no value with their zero.

use crate::codes;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use lnconform_adapter_process::sum;
pub(crate) use lnconform_adapter_process::{entries, number};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{self, ResultObject, hex};
use serde_json::{Map, Value, json};

/// The record that holds a keysend's preimage (bLIP 3).
pub(crate) const KEYSEND: u64 = 5_482_373_484;

/// Base64 as LND reads it in bodies.
pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Base64 as LND reads it in paths.
pub(crate) fn base64_url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE.encode(bytes)
}

/// The bytes of a base64 field; an absent or empty one has none.
pub(crate) fn bytes(value: &Value) -> Option<Vec<u8>> {
    let text = value.as_str().filter(|t| !t.is_empty())?;
    STANDARD.decode(text).ok()
}

/// A base64 field as hex; an absent or empty one is absent.
pub(crate) fn hex_of(value: &Value) -> Option<String> {
    bytes(value).map(hex)
}

/// As [`hex_of`], where zeros mean that there is nothing.
fn nonzero(value: &Value) -> Option<String> {
    bytes(value).filter(|b| b.iter().any(|b| *b != 0)).map(hex)
}

/// A 64-bit number as a decimal string.
fn decimal(value: &Value) -> String {
    number(value).to_string()
}

/// A 64-bit number, absent where it is zero: a time that has not come, a total that was not sent.
fn unless_zero(value: &Value) -> Option<String> {
    Some(number(value))
        .filter(|t| *t != 0)
        .map(|t| t.to_string())
}

/// A text that every answer of the call has.
pub(crate) fn need<'a>(value: &'a Value, call: &str, what: &str) -> Result<&'a str, OpError> {
    lnconform_adapter_process::need(value, "lnd", call, what)
}

/// Short channel id in its usual form: block, transaction, output.
pub(crate) fn scid(id: u64) -> String {
    format!("{}x{}x{}", id >> 40, id >> 16 & 0xff_ffff, id & 0xffff)
}

/// Custom records in ascending type, without the keysend's preimage.
pub(crate) fn records(map: &Value) -> Value {
    let mut found: Vec<(u64, Vec<u8>)> = map
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(kind, value)| Some((kind.parse().ok()?, bytes(value).unwrap_or_default())))
        .filter(|(kind, _)| *kind != KEYSEND)
        .collect();
    found.sort_unstable();
    params::records(found.iter().map(|(kind, value)| (*kind, &value[..])))
}

/// Custom records in the form that LND reads.
pub(crate) fn custom_records(records: &[(u64, Vec<u8>)]) -> Value {
    let map: Map<String, Value> = records
        .iter()
        .map(|(kind, value)| (kind.to_string(), base64(value).into()))
        .collect();
    Value::Object(map)
}

fn lower(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_ascii_lowercase()
}

/// The AMP record of an HTLC or of a hop.
fn amp(record: &Value) -> Option<Value> {
    record.is_object().then(|| {
        ResultObject::new()
            .maybe("root_share", hex_of(&record["root_share"]))
            .maybe("set_id", hex_of(&record["set_id"]))
            .with("index", number(&record["child_index"]))
            .maybe("payment_hash", nonzero(&record["hash"]))
            .maybe("preimage", nonzero(&record["preimage"]))
            .done()
    })
}

/// An HTLC that arrived for an invoice.
fn htlc(htlc: &Value) -> Value {
    ResultObject::new()
        .with("amount_msat", decimal(&htlc["amt_msat"]))
        .maybe("total_msat", unless_zero(&htlc["mpp_total_amt_msat"]))
        .with("state", lower(&htlc["state"]))
        .with("records", records(&htlc["custom_records"]))
        .maybe("amp", amp(&htlc["amp"]))
        .done()
}

/// The result of `invoice.lookup`, from `lnrpc.Invoice`.
pub(crate) fn invoice(invoice: &Value) -> Value {
    let is_amp = invoice["is_amp"] == true;
    let mut sets: Vec<(&String, &Value)> = invoice["amp_invoice_state"]
        .as_object()
        .into_iter()
        .flatten()
        .collect();
    sets.sort_unstable_by_key(|(id, _)| id.as_str());
    let sets: Value = sets
        .into_iter()
        .map(|(id, set)| {
            ResultObject::new()
                .with("set_id", id.as_str())
                .with("state", lower(&set["state"]))
                .with("received_msat", decimal(&set["amt_paid_msat"]))
                .maybe("settled_time", unless_zero(&set["settle_time"]))
                .done()
        })
        .collect();
    ResultObject::new()
        .maybe("payment_hash", hex_of(&invoice["r_hash"]))
        .maybe("payment_secret", nonzero(&invoice["payment_addr"]))
        .with("state", lower(&invoice["state"]))
        .with("is_amp", is_amp)
        .with("is_keysend", invoice["is_keysend"] == true)
        .with("amount_msat", decimal(&invoice["value_msat"]))
        .with("received_msat", decimal(&invoice["amt_paid_msat"]))
        .maybe("settled_time", unless_zero(&invoice["settle_date"]))
        .maybe("sets", is_amp.then_some(sets))
        .with(
            "htlcs",
            entries(&invoice["htlcs"])
                .iter()
                .map(htlc)
                .collect::<Value>(),
        )
        .done()
}

/// HTLCs of a payment as `parts` of an event, the sum of their amounts, and the records of the
/// first.
fn parts(htlcs: &[&Value]) -> (Value, u64, Value) {
    let mut sorted = htlcs.to_vec();
    sorted.sort_by_key(|h| number(&h["amp"]["child_index"]));
    let sum = sum(sorted.iter().map(|h| number(&h["amt_msat"])));
    let first = sorted
        .first()
        .map_or_else(|| json!([]), |h| records(&h["custom_records"]));
    let parts = sorted
        .iter()
        .map(|h| {
            ResultObject::new()
                .with("amount_msat", decimal(&h["amt_msat"]))
                .maybe("total_msat", unless_zero(&h["mpp_total_amt_msat"]))
                .with("records", records(&h["custom_records"]))
                .maybe("amp", amp(&h["amp"]))
                .done()
        })
        .collect();
    (parts, sum, first)
}

/// The events `payment-received` of a message of SubscribeInvoices, each with its payment's
/// handle. For AMP the amount is that of the set: `amt_paid_msat` is the sum over all sets.
pub(crate) fn received(invoice: &Value) -> Vec<(Option<String>, Value)> {
    let settled: Vec<&Value> = entries(&invoice["htlcs"])
        .iter()
        .filter(|h| h["state"] == "SETTLED")
        .collect();
    let hash = hex_of(&invoice["r_hash"]);
    let secret = nonzero(&invoice["payment_addr"]);
    if invoice["is_amp"] == true {
        let sets = invoice["amp_invoice_state"]
            .as_object()
            .into_iter()
            .flatten();
        let mut sets: Vec<_> = sets.filter(|(_, set)| set["state"] == "SETTLED").collect();
        sets.sort_by_key(|(_, set)| number(&set["settle_index"]));
        return sets
            .into_iter()
            .map(|(id, set)| {
                let of_set: Vec<&Value> = settled
                    .iter()
                    .copied()
                    .filter(|h| hex_of(&h["amp"]["set_id"]).as_ref() == Some(id))
                    .collect();
                let (parts, sum, records) = parts(&of_set);
                let fields = ResultObject::new()
                    .with("payment", id.as_str())
                    .maybe("payment_hash", hash.clone())
                    .with("set_id", id.as_str())
                    .maybe("payment_secret", secret.clone())
                    .with("amount_msat", sum.to_string())
                    .with("records", records)
                    .with("parts", parts)
                    .maybe("settled_time", unless_zero(&set["settle_time"]))
                    .done();
                (Some(id.clone()), fields)
            })
            .collect();
    }
    if invoice["state"] != "SETTLED" {
        return Vec::new();
    }
    let (parts, sum, records) = parts(&settled);
    let fields = ResultObject::new()
        .maybe("payment", hash.clone())
        .maybe("payment_hash", hash.clone())
        .maybe("payment_secret", secret)
        .with("keysend", invoice["is_keysend"] == true)
        .with("amount_msat", sum.to_string())
        .with("records", records)
        .with("parts", parts)
        .maybe("settled_time", unless_zero(&invoice["settle_date"]))
        .done();
    vec![(hash, fields)]
}

/// The event `payment-held` of an invoice whose payment has arrived and waits for a decision.
pub(crate) fn held(invoice: &Value) -> Value {
    let accepted: Vec<&Value> = entries(&invoice["htlcs"])
        .iter()
        .filter(|h| h["state"] == "ACCEPTED")
        .collect();
    let (parts, sum, records) = parts(&accepted);
    let hash = hex_of(&invoice["r_hash"]);
    ResultObject::new()
        .maybe("payment", hash.clone())
        .maybe("payment_hash", hash)
        .maybe("payment_secret", nonzero(&invoice["payment_addr"]))
        .with("keysend", invoice["is_keysend"] == true)
        .with("amount_msat", sum.to_string())
        .with("records", records)
        .with("parts", parts)
        .done()
}

/// A failure of an HTLC: `lnrpc.Failure`. `hop` counts from 0 for the first node after the payer,
/// as everywhere in the protocol; LND counts the payer.
pub(crate) fn failure(failure: &Value) -> Option<Value> {
    let name = failure["code"].as_str().filter(|n| *n != "RESERVED")?;
    let source = number(&failure["failure_source_index"]);
    Some(
        ResultObject::new()
            .maybe("code", codes::number(name))
            .maybe("hop", source.checked_sub(1))
            .with("reason", name)
            .done(),
    )
}

/// An attempt of a payment: `lnrpc.HTLCAttempt`.
pub(crate) fn attempt(attempt: &Value) -> Value {
    let last = entries(&attempt["route"]["hops"])
        .last()
        .unwrap_or(&Value::Null);
    let status = match attempt["status"].as_str() {
        Some("SUCCEEDED") => "succeeded",
        Some("FAILED") => "failed",
        _ => "in-flight",
    };
    ResultObject::new()
        .with("amount_msat", decimal(&last["amt_to_forward_msat"]))
        .with("status", status)
        .maybe("preimage", nonzero(&attempt["preimage"]))
        .maybe("amp", amp(&last["amp_record"]))
        .maybe("failure", failure(&attempt["failure"]))
        .done()
}

/// Whether LND still works on the payment.
pub(crate) fn is_final(payment: &Value) -> bool {
    matches!(payment["status"].as_str(), Some("SUCCEEDED" | "FAILED"))
}

/// How a payment ended, as `payment.wait` shows it: from `lnrpc.Payment`.
pub(crate) fn payment(payment: &Value) -> Value {
    let attempts = entries(&payment["htlcs"]);
    let is_amp = attempts.iter().any(|a| {
        entries(&a["route"]["hops"])
            .last()
            .is_some_and(|h| h["amp_record"].is_object())
    });
    let identifier = payment["payment_hash"].as_str().map(str::to_owned);
    let (hash, set_id) = if is_amp {
        (None, identifier)
    } else {
        (identifier, None)
    };
    let succeeded = payment["status"] == "SUCCEEDED";
    let preimage = payment["payment_preimage"]
        .as_str()
        .filter(|p| succeeded && !is_amp && p.bytes().any(|b| b != b'0'));
    let settled = attempts
        .iter()
        .filter(|a| a["status"] == "SUCCEEDED")
        .count();
    let reason = payment["failure_reason"].as_str().unwrap_or_default();
    ResultObject::new()
        .with("status", if succeeded { "succeeded" } else { "failed" })
        .maybe("payment_hash", hash)
        .maybe("set_id", set_id)
        .maybe("preimage", preimage)
        .maybe("fee_msat", succeeded.then(|| decimal(&payment["fee_msat"])))
        .maybe("parts", succeeded.then_some(settled))
        .with("htlcs", attempts.iter().map(attempt).collect::<Value>())
        .maybe(
            "failure",
            (!succeeded).then(|| last_failure(attempts.iter().map(attempt), reason)),
        )
        .done()
}

/// The failure of a payment: that of its last failed HTLC, and why the payer gave up.
pub(crate) fn last_failure(htlcs: impl DoubleEndedIterator<Item = Value>, reason: &str) -> Value {
    let last = htlcs.rev().find_map(|h| h.get("failure").cloned());
    let mut object = ResultObject::new();
    if let Some(last) = &last {
        object = object
            .maybe("code", last.get("code").cloned())
            .maybe("hop", last.get("hop").cloned());
    }
    let of_htlc = last.as_ref().and_then(|l| l["reason"].as_str());
    let reason = if reason.is_empty() {
        of_htlc
    } else {
        Some(reason)
    };
    object.maybe("reason", reason).done()
}

/// Features of a node, `{"9": {…}}`, as hex with the highest byte first.
pub(crate) fn features(map: &Value) -> Option<String> {
    let bits: Vec<usize> = map
        .as_object()?
        .keys()
        .filter_map(|k| k.parse().ok())
        .collect();
    let highest = *bits.iter().max()?;
    // BOLT 9 has no feature near this; a larger number is no feature but a mistake.
    if highest > 8 * 8192 {
        return None;
    }
    let mut field = vec![0_u8; highest / 8 + 1];
    let length = field.len();
    for bit in bits {
        field[length - 1 - bit / 8] |= 1 << (bit % 8);
    }
    Some(hex(field))
}

#[cfg(test)]
mod tests;
