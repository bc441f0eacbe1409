//! Messages that the node signs.

use super::Node;
use crate::http::CallError;
use crate::lnd::CALL;
use crate::read;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, hex, hex_bytes};
use serde_json::json;

/// How a message is signed.
enum Scheme {
    /// BIP 340 over the tagged hash of the message, by the node's key.
    Bip340(String),
    /// `lightning-signed-message`, as zbase32.
    Message,
}

fn scheme(params: Params<'_>) -> Result<Scheme, Fail> {
    match params.maybe("algorithm", Params::str)? {
        None | Some("lightning-signed-message") => Ok(Scheme::Message),
        Some("bip340") => Ok(Scheme::Bip340(
            params
                .maybe("tag", Params::str)?
                .unwrap_or_default()
                .to_owned(),
        )),
        Some(other) => Err(Fail::Unsupported(format!(
            "lnd signs bip340 and lightning-signed-message, not {other}"
        ))),
    }
}

pub(super) fn sign(params: Params<'_>, node: Node<'_>) -> Outcome {
    let message = params.hex("message")?;
    let scheme = scheme(params)?;
    let running = node()?;
    let msg = read::base64(message);
    let signature = match scheme {
        Scheme::Message => {
            let answer = running
                .client
                .post("/v1/signmessage", &json!({ "msg": msg }), CALL)?;
            answer["signature"].as_str().map(str::to_owned)
        }
        Scheme::Bip340(tag) => {
            // Family 6, index 0 is the node's key.
            let body = json!({
                "msg": msg,
                "key_loc": {"key_family": 6, "key_index": 0},
                "schnorr_sig": true,
                "tag": read::base64(tag),
            });
            let answer = running.client.post("/v2/signer/signmessage", &body, CALL)?;
            read::hex_of(&answer["signature"])
        }
    };
    let signature = signature.ok_or_else(|| OpError::internal("lnd answers no signature"))?;
    Ok(json!({ "signature": signature }))
}

pub(super) fn verify(params: Params<'_>, node: Node<'_>) -> Outcome {
    let message = params.hex("message")?;
    let scheme = scheme(params)?;
    let signature = params.str("signature")?;
    let key = params.maybe("public_key", Params::hex)?;
    if key.as_ref().is_some_and(|k| k.len() != 32 && k.len() != 33) {
        return Err(OpError::invalid("param public_key has neither 32 nor 33 bytes").into());
    }
    let running = node()?;
    let key = key.unwrap_or_else(|| hex_bytes(&running.node_id).unwrap_or_default());
    let msg = read::base64(message);
    let valid = match scheme {
        Scheme::Message => {
            let body = json!({"msg": msg, "signature": signature});
            let answer = running.client.post("/v1/verifymessage", &body, CALL);
            let found = match answer {
                Ok(answer) => answer["pubkey"].as_str().map(str::to_owned),
                // What recovers to no key is a wrong signature, not a wrong question.
                Err(CallError::Refused { .. }) => None,
                Err(e) => return Err(e.into()),
            };
            // LND's own verdict also asks whether the key is in its graph.
            found.is_some_and(|k| k.ends_with(&hex(&key)))
        }
        Scheme::Bip340(tag) => {
            let bytes = hex_bytes(signature)
                .ok_or_else(|| OpError::invalid("param signature is not hex"))?;
            let body = json!({
                "msg": msg,
                "signature": read::base64(bytes),
                "pubkey": read::base64(&key[key.len() - 32..]),
                "is_schnorr_sig": true,
                "tag": read::base64(tag),
            });
            match running.client.post("/v2/signer/verifymessage", &body, CALL) {
                Ok(answer) => answer["valid"] == true,
                Err(CallError::Refused { .. }) => false,
                Err(e) => return Err(e.into()),
            }
        }
    };
    Ok(json!({ "valid": valid }))
}
