//! Invoices, and payments that are held for them.

use super::Node;
use crate::lnd::CALL;
use crate::{blinded, read, watch};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::json;
use sha2::{Digest, Sha256};

pub(super) fn create_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let amount = params.maybe("amount_msat", Params::number)?.unwrap_or(0);
    let memo = params
        .maybe("description", Params::str)?
        .unwrap_or_default();
    let memo_hash = params.maybe("description_hash", Params::array::<32>)?;
    if memo_hash.is_some() && !memo.is_empty() {
        return Err(
            OpError::invalid("params description and description_hash exclude another").into(),
        );
    }
    let expiry = params.maybe("expiry", Params::number)?;
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    let hash = params.maybe("payment_hash", Params::array::<32>)?;
    let amp = params.maybe("amp", Params::bool)?.unwrap_or(false);
    if hash.is_some() && preimage.is_some() {
        return Err(OpError::invalid("params preimage and payment_hash exclude another").into());
    }
    if amp && hash.is_some() {
        return Err(Fail::Unsupported("lnd holds no AMP payment".into()));
    }
    let blinded = params.maybe("blinded", Params::bool)?.unwrap_or(false);
    let via = params.maybe("via", Params::list)?;
    if blinded && (amp || hash.is_some()) {
        let why = "lnd makes no blinded paths for AMP, nor for a payment that is held";
        return Err(Fail::Unsupported(why.into()));
    }
    let running = node()?;
    let body = ResultObject::new()
        .with("memo", memo)
        .maybe("description_hash", memo_hash.map(read::base64))
        .with("value_msat", amount.to_string())
        .maybe("expiry", expiry.map(|s| s.to_string()))
        // Hints for channels that are not announced; without such channels there are none.
        .with("private", !blinded);
    let (path, body) = match hash {
        Some(hash) => (
            "/v2/invoices/hodl",
            body.with("hash", read::base64(hash)).done(),
        ),
        None => {
            let body = body
                .maybe("r_preimage", preimage.map(read::base64))
                .with("is_amp", amp);
            if blinded {
                return blinded::create(&running, body, via);
            }
            ("/v1/invoices", body.done())
        }
    };
    let answer = running.client.post(path, &body, CALL)?;
    let invoice = read::need(&answer["payment_request"], path, "payment_request")?;
    let payment_hash = match hash {
        Some(hash) => {
            watch::hold(&running, &hash)?;
            Some(hex(hash))
        }
        None => read::hex_of(&answer["r_hash"]),
    };
    Ok(ResultObject::new()
        .with("invoice", invoice)
        .maybe("payment_hash", payment_hash)
        .maybe("payment_secret", read::hex_of(&answer["payment_addr"]))
        .done())
}

pub(super) fn lookup_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let path = format!("/v1/invoice/{}", hex(hash));
    Ok(read::invoice(&node()?.client.get(&path, CALL)?))
}

pub(super) fn settle(params: Params<'_>, node: Node<'_>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    if preimage.is_some_and(|p| Sha256::digest(p).as_slice() != hash) {
        return Err(
            OpError::rejected("param preimage is not the one of param payment_hash").into(),
        );
    }
    let running = node()?;
    let preimage = match preimage {
        Some(preimage) => read::base64(preimage),
        // A held keysend brought it along.
        None => {
            let invoice = running
                .client
                .get(&format!("/v1/invoice/{}", hex(hash)), CALL)?;
            invoice["r_preimage"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        }
    };
    let body = json!({ "preimage": preimage });
    running.client.post("/v2/invoices/settle", &body, CALL)?;
    Ok(json!({}))
}

pub(super) fn cancel(params: Params<'_>, node: Node<'_>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let body = json!({"payment_hash": read::base64(hash)});
    node()?.client.post("/v2/invoices/cancel", &body, CALL)?;
    Ok(json!({}))
}
