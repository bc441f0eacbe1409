//! The operations `fulfillment.*`: payloads in `update_fulfill_htlc`, and the receipt inside one.

use crate::Outcome;
use crate::onion::{attribution, secrets};
use crate::operations::refused;
use lnconform_drafts::Rules;
use lnconform_drafts::failure::ATTRIBUTION;
use lnconform_drafts::fulfillment::{self, Place};
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex, records as shown};
use serde_json::Value;

fn records(p: Params<'_>) -> Result<Vec<Record>, OpError> {
    let records = p.records("records")?.into_iter();
    Ok(records
        .map(|(kind, value)| Record::new(kind, value))
        .collect())
}

/// `records`, or a `stream` that need not be one.
pub(crate) fn create(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = p.array::<32>("shared_secret")?;
    let stream = match p.maybe("stream", Params::hex)? {
        Some(stream) => stream,
        None => fulfillment::stream(rules, &records(p)?).map_err(refused)?,
    };
    Ok(ResultObject::new()
        .with("stream", hex(&stream))
        .with("payload", hex(fulfillment::seal(rules, &secret, &stream)))
        .done())
}

pub(crate) fn pass(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = p.array::<32>("shared_secret")?;
    let payload = p.hex("payload")?;
    let passed = fulfillment::pass(rules, &secret, &payload).map_err(refused)?;
    Ok(ResultObject::new().with("payload", hex(passed)).done())
}

pub(crate) fn decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secrets = secrets(p, "shared_secrets")?;
    let payload = p.hex("payload")?;
    let records = fulfillment::open(rules, &secrets, &payload).map_err(refused)?;
    let records = records.iter().map(|r| (r.kind, &r.value[..]));
    Ok(ResultObject::new().with("records", shown(records)).done())
}

pub(crate) fn attribution_update(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = p.array::<32>("shared_secret")?;
    let payload = p.maybe("payload", Params::hex)?;
    let data = attribution(rules, p)?;
    let time = p.u32("hold_time")?;
    let place = match p.str("position")? {
        "final" => Place::Final(payload.as_deref()),
        "intermediate" => Place::Intermediate(payload.as_deref()),
        other => {
            return Err(OpError::invalid(format!(
                "param position is {other}, neither intermediate nor final"
            )));
        }
    };
    let data = fulfillment::attribute(rules, &secret, place, data.as_ref(), time);
    Ok(ResultObject::new()
        .with("attribution_data", hex(data))
        .done())
}

pub(crate) fn attribution_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secrets = secrets(p, "shared_secrets")?;
    let payload = p.maybe("payload", Params::hex)?;
    p.need("attribution_data")?;
    let data = attribution(rules, p)?.unwrap_or([0; ATTRIBUTION]);
    let open = p.maybe("open_hops", Params::u32)?;
    let open = open.map_or(secrets.len(), |open| open as usize);
    let read = fulfillment::attributed(rules, &secrets, open, payload.as_deref(), &data);
    Ok(ResultObject::new()
        .with("hold_times", read.hold_times)
        .maybe("blame", read.blame)
        .done())
}

pub(crate) fn receipt(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let records = records(p)?;
    let hash = p.array::<32>("payment_hash")?;
    let receipt = fulfillment::receipt(rules, &records, &hash).map_err(refused)?;
    Ok(ResultObject::new().with("receipt", hex(receipt)).done())
}
