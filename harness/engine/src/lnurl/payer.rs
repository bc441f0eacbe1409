//! The payer's side of LUD-06.

use super::{Check, encoding, hash, http, invoice};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Map, Value};
use std::time::Instant;

/// Gets an invoice and checks it.
pub(super) fn fetch(p: Params<'_>, deadline: Instant) -> Result<Value, OpError> {
    let amount = p.u64("amount_msat")?;
    let accepted = accepted(p)?;
    let url = match p.maybe("lnurl", |p, name| p.str(name).map(encoding::decode))? {
        Some(url) => http::loopback(&url?, Check::Encoding)?,
        None => http::loopback(p.str("url")?, Check::Encoding)?,
    };

    let offer = answer(&http::get(&url, deadline)?)?;
    Check::Tag.that(
        offer.get("tag").and_then(Value::as_str) == Some("payRequest"),
        || format!("tag is {}, not \"payRequest\"", shown(&offer, "tag")),
    )?;
    let callback = offer
        .get("callback")
        .and_then(Value::as_str)
        .ok_or_else(|| Check::Callback.error("callback is no string"))?;
    let mut callback = http::loopback(callback, Check::Callback)?;
    let bound = |name| offer.get(name).and_then(Value::as_u64);
    let (min, max) = bound("minSendable")
        .zip(bound("maxSendable"))
        .filter(|(min, max)| (1..=*max).contains(min))
        .ok_or_else(|| {
            Check::Range.error(format_args!(
                "minSendable {} and maxSendable {} are no range from 1 msat on",
                shown(&offer, "minSendable"),
                shown(&offer, "maxSendable")
            ))
        })?;
    let metadata = offer
        .get("metadata")
        .and_then(Value::as_str)
        .ok_or_else(|| Check::Metadata.error("metadata is no string"))?;
    let description = description(metadata)?;
    Check::Amount.that((min..=max).contains(&amount), || {
        format!("{amount} msat are not between {min} and {max}")
    })?;

    callback
        .query_pairs_mut()
        .append_pair("amount", &amount.to_string());
    let given = answer(&http::get(&callback, deadline)?)?;
    let text = given
        .get("pr")
        .and_then(Value::as_str)
        .ok_or_else(|| Check::Invoice.error("pr is no string"))?;
    let no_routes = given.get("routes").and_then(Value::as_array);
    Check::Invoice.that(no_routes.is_some_and(Vec::is_empty), || {
        format!("routes is {}, not an empty list", shown(&given, "routes"))
    })?;
    let read = invoice::read(text)?;
    let mut deviations = Vec::new();
    let mut judge = |check: Check, result: Result<(), OpError>| match result {
        Err(_) if accepted.contains(&check) => {
            deviations.push(check.name());
            Ok(())
        }
        result => result,
    };
    let want = hash(metadata);
    judge(
        Check::MetadataHash,
        Check::MetadataHash.that(read.description_hash == Some(want), || {
            match read.description_hash {
                Some(h) => format!("h of the invoice is {}, not {}", hex(h), hex(want)),
                None => "the invoice has no h".to_owned(),
            }
        }),
    )?;
    judge(
        Check::InvoiceAmount,
        Check::InvoiceAmount.that(read.amount_msat == Some(amount), || {
            match read.amount_msat {
                Some(other) => format!("the invoice is for {other} msat, not {amount}"),
                None => format!("the invoice has no amount; {amount} msat were asked for"),
            }
        }),
    )?;
    Ok(ResultObject::new()
        .with("invoice", text)
        .with("metadata", metadata)
        .with("description", description)
        .with("description_hash", hex(want))
        .with("min_msat", min.to_string())
        .with("max_msat", max.to_string())
        .with("amp", read.amp)
        .with("deviations", deviations)
        .done())
}

/// The checks that may fail: those of the invoice against what was asked for.
fn accepted(p: Params<'_>) -> Result<Vec<Check>, OpError> {
    let may = [Check::MetadataHash, Check::InvoiceAmount];
    let Some(names) = p.maybe("accept", |p, name| p.list(name).map(<[Value]>::to_vec))? else {
        return Ok(Vec::new());
    };
    let known = |name: &Value| may.into_iter().find(|c| name.as_str() == Some(c.name()));
    names
        .iter()
        .map(|name| {
            known(name).ok_or_else(|| {
                OpError::invalid(format!(
                    "param accept: {name} is neither {} nor {}",
                    may[0].name(),
                    may[1].name()
                ))
            })
        })
        .collect()
}

/// LUD-01: the body is JSON whatever the headers say. LUD-06: an error has `status` and `reason`.
fn answer(body: &[u8]) -> Result<Map<String, Value>, OpError> {
    let object: Map<String, Value> =
        serde_json::from_slice(body).map_err(|e| Check::Answer.error(e))?;
    let refused = object.get("status").and_then(Value::as_str) == Some("ERROR");
    Check::Status.that(!refused, || {
        format!("the service says {}", shown(&object, "reason"))
    })?;
    Ok(object)
}

/// The text of the entry `text/plain`.
fn description(metadata: &str) -> Result<String, OpError> {
    let entries: Vec<Vec<Value>> = serde_json::from_str(metadata)
        .map_err(|e| Check::Metadata.error(format_args!("it is no JSON list of lists: {e}")))?;
    Check::Metadata.that(
        entries
            .iter()
            .all(|e| e.first().is_some_and(Value::is_string)),
        || "an entry does not begin with its type".to_owned(),
    )?;
    let of_type = |prefix: &str| {
        let begins = |e: &&Vec<Value>| e[0].as_str().is_some_and(|t| t.starts_with(prefix));
        entries.iter().filter(begins).collect::<Vec<_>>()
    };
    let images = of_type("image/png;base64").len() + of_type("image/jpeg;base64").len();
    Check::Metadata.that(images <= 1, || format!("there are {images} images"))?;
    match of_type("text/plain")[..] {
        [entry] => entry
            .get(1)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Check::Metadata.error("text/plain has no text")),
        ref found => Err(Check::Metadata.error(format_args!(
            "there are {} entries text/plain, not one",
            found.len()
        ))),
    }
}

/// A field as a message shows it.
fn shown(object: &Map<String, Value>, name: &str) -> String {
    const MOST: usize = 200;
    match object.get(name) {
        None => "absent".to_owned(),
        Some(value) => {
            let text = value.to_string();
            match text.char_indices().nth(MOST) {
                Some((at, _)) => format!("{}…", &text[..at]),
                None => text,
            }
        }
    }
}
