//! Payments: invoices, keysends and AMP, sent as LND sends them or over routes of the caller's.

use super::Node;
use crate::lnd::CALL;
use crate::node::Running;
use crate::payments::{self, Route, Shard};
use crate::read::{self, KEYSEND};
use lnconform_adapter_process::{deadline, draw, lock, payment_end};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex, hex_bytes};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Blocks of delay for the last hop where the caller gives none: LND's own default.
const FINAL_CLTV_DELTA: u32 = 80;
/// Fees that a payment may cost at least, in msat.
const FEES: u64 = 100_000;

/// The body of SendPaymentV2 that all payments share.
fn payment(params: Params<'_>, amount: Option<u64>) -> Result<ResultObject, OpError> {
    let fees = amount.unwrap_or(0).max(FEES);
    Ok(ResultObject::new()
        .maybe("amt_msat", amount.map(|msat| msat.to_string()))
        .maybe("max_parts", params.maybe("max_parts", Params::u32)?)
        .maybe(
            "max_shard_size_msat",
            params
                .maybe("max_shard_msat", Params::number)?
                .map(|m| m.to_string()),
        )
        .with("fee_limit_msat", fees.to_string())
        .with("timeout_seconds", payments::TRY_FOR)
        // The end of its stream ends its attempts.
        .with("cancelable", true))
}

pub(super) fn pay_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let invoice = params.str("invoice")?;
    let amount = params.maybe("amount_msat", Params::number)?;
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    let body = payment(params, amount)?
        .with("payment_request", invoice)
        .with("amp", params.maybe("amp", Params::bool)?.unwrap_or(false))
        .with("dest_custom_records", read::custom_records(&records));
    let running = node()?;
    let body = if amount.is_none() {
        // The limit is drawn from the invoice's amount.
        let decoded = decode(&running, invoice)?;
        let fees = read::number(&decoded["num_msat"]).max(FEES);
        body.with("fee_limit_msat", fees.to_string())
    } else {
        body
    };
    payments::send(&running, body.done())
}

/// LND's reading of an invoice (DecodePayReq).
fn decode(running: &Running, invoice: &str) -> Result<Value, Fail> {
    if !invoice.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(OpError::invalid("param invoice holds a character that no invoice has").into());
    }
    Ok(running.client.get(&format!("/v1/payreq/{invoice}"), CALL)?)
}

/// Node ids of hops.
fn via(params: Params<'_>) -> Result<Vec<Vec<u8>>, OpError> {
    params
        .maybe("via", Params::list)?
        .unwrap_or_default()
        .iter()
        .map(|hop| {
            Params::new(&json!({"via": hop}))
                .array::<33>("via")
                .map(Vec::from)
        })
        .collect()
}

fn mpp_record(secret: [u8; 32], total_msat: u64) -> (&'static str, Value) {
    let record = json!({
        "payment_addr": read::base64(secret),
        "total_amt_msat": total_msat.to_string(),
    });
    ("mpp_record", record)
}

pub(super) fn keysend(params: Params<'_>, node: Node<'_>) -> Outcome {
    let to = params.array::<33>("to")?;
    let parts: Vec<u64> = params
        .maybe("parts", Params::list)?
        .unwrap_or_default()
        .iter()
        .map(|p| Params::new(p).number("amount_msat"))
        .collect::<Result<_, _>>()?;
    let sum = parts
        .iter()
        .try_fold(0_u64, |sum, part| sum.checked_add(*part));
    let amount = match (params.maybe("amount_msat", Params::number)?, sum) {
        (Some(amount), _) => amount,
        (None, Some(sum)) if !parts.is_empty() => sum,
        _ => params.number("amount_msat")?,
    };
    let preimage = match params.maybe("preimage", Params::array::<32>)? {
        Some(preimage) => preimage,
        None => draw::<32>()?,
    };
    let hash = params.maybe("payment_hash", Params::array::<32>)?;
    let hash = hash.unwrap_or_else(|| Sha256::digest(preimage).into());
    let mut records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    let record = params.maybe("keysend_record", Params::hex)?;
    if !records.iter().any(|(kind, _)| *kind == KEYSEND) {
        records.push((KEYSEND, record.unwrap_or_else(|| preimage.to_vec())));
    }
    let delta = params.maybe("final_cltv_delta", Params::u32)?;
    let secret = params.maybe("payment_secret", Params::array::<32>)?;
    let total = params.maybe("total_msat", Params::number)?;
    let via = via(params)?;
    let by_route = !via.is_empty() || !parts.is_empty() || secret.is_some() || total.is_some();
    if !by_route {
        let body = payment(params, Some(amount))?
            .with("dest", read::base64(to))
            .with("payment_hash", read::base64(hash))
            .maybe("final_cltv_delta", delta)
            .with("dest_custom_records", read::custom_records(&records))
            .done();
        return payments::send(&node()?, body);
    }
    let mut payload = vec![("custom_records", read::custom_records(&records))];
    match (secret, total) {
        (Some(secret), total) => payload.push(mpp_record(secret, total.unwrap_or(amount))),
        (None, Some(_)) => {
            return Err(OpError::invalid("param total_msat needs param payment_secret").into());
        }
        (None, None) => {}
    }
    let amounts = if parts.is_empty() {
        vec![amount]
    } else {
        parts
    };
    let shards: Vec<Shard> = amounts
        .into_iter()
        .map(|amount_msat| Shard {
            payment_hash: hash,
            route: Route {
                amount_msat,
                via: via.clone(),
                to: to.to_vec(),
                final_cltv_delta: delta.unwrap_or(FINAL_CLTV_DELTA),
                payload: payload.clone(),
            },
        })
        .collect();
    payments::send_shards(&node()?, &hex(hash), &shards)
}

pub(super) fn amp(params: Params<'_>, node: Node<'_>) -> Outcome {
    let to = params.maybe("to", Params::array::<33>)?;
    let invoice = params.maybe("invoice", Params::str)?;
    if to.is_some() == invoice.is_some() {
        return Err(
            OpError::invalid("one of params to and invoice is needed, and not both").into(),
        );
    }
    let amount = params.maybe("amount_msat", Params::number)?;
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    if let Some(shards) = params.maybe("shards", Params::list)? {
        return amp_shards(params, node, to, invoice, &records, shards);
    }
    let body = payment(params, amount)?
        .with("amp", true)
        .maybe("payment_request", invoice)
        .maybe("dest", to.map(read::base64))
        .with("dest_custom_records", read::custom_records(&records))
        .done();
    payments::send(&node()?, body)
}

fn amp_shards(
    params: Params<'_>,
    node: Node<'_>,
    to: Option<[u8; 33]>,
    invoice: Option<&str>,
    records: &[(u64, Vec<u8>)],
    list: &[Value],
) -> Outcome {
    let read = list
        .iter()
        .map(|s| AmpShard::read(Params::new(s), records))
        .collect::<Result<Vec<_>, OpError>>()?;
    let Some(first) = read.first() else {
        return Err(OpError::invalid("param shards is empty").into());
    };
    let handle = hex(first.set_id.unwrap_or(first.payment_hash));
    let sum = read
        .iter()
        .try_fold(0_u64, |sum, s| sum.checked_add(s.amount_msat));
    let sum = sum.ok_or_else(|| OpError::invalid("the amounts of param shards overflow"))?;
    let total = params.maybe("total_msat", Params::number)?.unwrap_or(sum);
    let secret = params.maybe("payment_secret", Params::array::<32>)?;
    let delta = params.maybe("final_cltv_delta", Params::u32)?;
    let running = node()?;
    let decoded = invoice.map(|i| decode(&running, i)).transpose()?;
    let of_invoice = |field: &str| decoded.as_ref().map(|d| &d[field]);
    let to = match (to, of_invoice("destination").and_then(Value::as_str)) {
        (Some(to), _) => to.to_vec(),
        (None, Some(text)) => hex_bytes(text).unwrap_or_default(),
        (None, None) => return Err(OpError::internal("lnd names no destination").into()),
    };
    let of_invoice_secret = of_invoice("payment_addr")
        .and_then(read::bytes)
        .and_then(|b| <[u8; 32]>::try_from(b).ok());
    let Some(secret) = secret.or(of_invoice_secret) else {
        return Err(OpError::invalid("param payment_secret is missing").into());
    };
    let cltv = of_invoice("cltv_expiry")
        .map(read::number)
        .and_then(|n| u32::try_from(n).ok());
    let delta = delta.or(cltv).unwrap_or(FINAL_CLTV_DELTA);
    let shards: Vec<Shard> = read
        .into_iter()
        .map(|shard| {
            let mut payload = vec![("custom_records", shard.records)];
            if shard.payment_data {
                payload.push(mpp_record(secret, total));
            }
            if let Some(record) = shard.amp_record {
                payload.push(("amp_record", record));
            }
            Shard {
                payment_hash: shard.payment_hash,
                route: Route {
                    amount_msat: shard.amount_msat,
                    via: shard.via,
                    to: to.clone(),
                    final_cltv_delta: delta,
                    payload,
                },
            }
        })
        .collect();
    payments::send_shards(&running, &handle, &shards)
}

/// One HTLC of a set whose values the caller chose.
struct AmpShard {
    amount_msat: u64,
    payment_hash: [u8; 32],
    set_id: Option<[u8; 32]>,
    via: Vec<Vec<u8>>,
    amp_record: Option<Value>,
    payment_data: bool,
    records: Value,
}

impl AmpShard {
    fn read(params: Params<'_>, shared: &[(u64, Vec<u8>)]) -> Result<Self, OpError> {
        let with_record = params.maybe("amp_record", Params::bool)?.unwrap_or(true);
        let set_id = params.maybe("set_id", Params::array::<32>)?;
        let amp_record = with_record
            .then(|| -> Result<Value, OpError> {
                Ok(json!({
                    "root_share": read::base64(params.array::<32>("root_share")?),
                    "set_id": read::base64(params.array::<32>("set_id")?),
                    "child_index": params.u32("index")?,
                }))
            })
            .transpose()?;
        let records = params.maybe("records", Params::records)?;
        let records = records.as_deref().unwrap_or(shared);
        Ok(Self {
            amount_msat: params.number("amount_msat")?,
            payment_hash: params.array::<32>("payment_hash")?,
            set_id,
            via: via(params)?,
            amp_record,
            payment_data: params.maybe("payment_data", Params::bool)?.unwrap_or(true),
            records: read::custom_records(records),
        })
    }
}

pub(super) fn wait_payment(params: Params<'_>, node: Node<'_>) -> Outcome {
    let payment = hex(params.array::<32>("payment")?);
    let deadline = deadline(params, 25_000)?;
    let running = node()?;
    let after = lock(&running.shared.sent_after).get(&payment).copied();
    let Some(after) = after else {
        return Err(OpError::rejected("the node was asked for no such payment").into());
    };
    payment_end(&running.events, &payment, after, deadline)
}
