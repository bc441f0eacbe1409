//! The operations `keysend_proof.*`: our draft in `specs/drafts/keysend-proof.md`.
//!
//! Secrets that come as params are test data; copies that the caller's JSON holds are not wiped.

use crate::Outcome;
use crate::operations::{refused, secret_key};
use lnconform_drafts::keysend_proof::{
    self as ksp, Contradiction, Decision, Opening, Payment, Proof, Receipt, Request, Seen,
    Statement, Window,
};
use lnconform_drafts::rules::{KSP_RECIPIENT_ID, Rules};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex, hex_bytes};
use serde_json::{Value, json};

/// A number of one byte.
fn byte(p: Params<'_>, name: &str) -> Result<u8, OpError> {
    let value = p.u32(name)?;
    u8::try_from(value)
        .map_err(|_| OpError::invalid(format!("param {name} is {value}, more than one byte holds")))
}

/// A list of 32-byte values; absent is empty.
fn hashes(p: Params<'_>, name: &str) -> Result<Vec<[u8; 32]>, OpError> {
    if p.get(name).is_none() {
        return Ok(Vec::new());
    }
    p.list(name)?
        .iter()
        .map(|item| Params::new(&json!({ name: item })).array::<32>(name))
        .collect()
}

fn statement(p: Params<'_>) -> Result<Statement, OpError> {
    Ok(Statement {
        payment_hash: p.array("payment_hash")?,
        received_msat: p.u64("received_msat")?,
        settled_time: p.u64("settled_time")?,
    })
}

/// Param `recipient_id`. That it has 33 bytes is part of the rule that it is a point; with that rule
/// off, missing bytes count as zero and surplus bytes are dropped.
fn recipient_id(rules: &Rules, p: Params<'_>) -> Result<[u8; 33], OpError> {
    let bytes = p.hex("recipient_id")?;
    rules
        .check(KSP_RECIPIENT_ID, bytes.len() == 33, || {
            format!("the recipient id has {} bytes, not 33", bytes.len())
        })
        .map_err(refused)?;
    let mut id = [0; 33];
    let there = bytes.len().min(33);
    id[..there].copy_from_slice(&bytes[..there]);
    Ok(id)
}

fn opening(rules: &Rules, p: Params<'_>, request: &Request) -> Result<Opening, OpError> {
    let chain_hash = p.array("chain_hash")?;
    let recipient_id = recipient_id(rules, p)?;
    Opening::derive(rules, &chain_hash, &recipient_id, request).map_err(refused)
}

/// Param `commitment`, else the commitment of `request`, `chain_hash` and `recipient_id`, with the
/// request's payer key.
fn commitment(rules: &Rules, p: Params<'_>) -> Result<([u8; 32], Option<[u8; 32]>), OpError> {
    if p.get("commitment").is_some() {
        return Ok((p.array("commitment")?, None));
    }
    if p.get("request").is_none() {
        return Err(OpError::invalid(
            "param commitment is missing, and so is request, from which it could be derived",
        ));
    }
    let request = Request::decode(rules, &p.hex("request")?).map_err(refused)?;
    let opening = opening(rules, p, &request)?;
    Ok((*opening.commitment, Some(request.payer_key)))
}

/// `keysend_proof.commit`: `chain_hash`, `recipient_id` (33 bytes), `request` → `commitment`,
/// `preimage`, `payment_hash`.
pub(crate) fn commit(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let request = Request::decode(rules, &p.hex("request")?).map_err(refused)?;
    let opening = opening(rules, p, &request)?;
    Ok(ResultObject::new()
        .with("commitment", hex(opening.commitment.as_slice()))
        .with("preimage", hex(opening.preimage.as_slice()))
        .with("payment_hash", hex(opening.payment_hash))
        .done())
}

/// `keysend_proof.request.decode`: `request` → `version`, `flags`, `nonce`, `payment_time`,
/// `amount_msat`, `payer_key`, `terms_hash`, and the two flags as `receipt_wanted` and
/// `preimage_bound`.
pub(crate) fn request_decode(rules: &Rules, params: &Value) -> Outcome {
    let request = Request::decode(rules, &Params::new(params).hex("request")?).map_err(refused)?;
    Ok(ResultObject::new()
        .with("version", request.version)
        .with("flags", request.flags)
        .with("nonce", hex(request.nonce.as_slice()))
        .with("payment_time", request.payment_time.to_string())
        .with("amount_msat", request.amount_msat.to_string())
        .with("payer_key", hex(request.payer_key))
        .with("terms_hash", hex(request.terms_hash))
        .with("receipt_wanted", request.receipt_wanted())
        .with("preimage_bound", request.preimage_bound())
        .done())
}

/// `keysend_proof.request.encode`: `version` (0 where it is left out), `flags`, `nonce`,
/// `payment_time`, `amount_msat`, `payer_key`, `terms_hash` (zeros where it is left out),
/// `unchecked` (write what the payer's rules forbid) → `request`.
pub(crate) fn request_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let request = Request {
        version: p.maybe("version", byte)?.unwrap_or(0),
        flags: byte(p, "flags")?,
        nonce: p.array::<32>("nonce")?.into(),
        payment_time: p.u64("payment_time")?,
        amount_msat: p.u64("amount_msat")?,
        payer_key: p.array("payer_key")?,
        terms_hash: p.maybe("terms_hash", Params::array)?.unwrap_or([0; 32]),
    };
    let bytes = if p.maybe("unchecked", Params::bool)?.unwrap_or(false) {
        request.encode_unchecked()
    } else {
        request.encode(rules).map_err(refused)?
    };
    Ok(ResultObject::new()
        .with("request", hex(bytes.as_slice()))
        .done())
}

/// `keysend_proof.reply.decode`: `reply` → `node_id`.
pub(crate) fn reply_decode(rules: &Rules, params: &Value) -> Outcome {
    let reply = Params::new(params).hex("reply")?;
    let node_id = ksp::decode_reply(rules, &reply).map_err(refused)?;
    Ok(ResultObject::new().with("node_id", hex(node_id)).done())
}

/// `keysend_proof.receipt.sign`: `secret_key`, `algorithm`, `commitment`, `payment_hash`,
/// `received_msat`, `settled_time`, `aux` (algorithm 0 only; zeros where it is left out) →
/// `receipt`, `digest`.
pub(crate) fn receipt_sign(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let mut secret = secret_key(p, "secret_key")?;
    let algorithm = byte(p, "algorithm")?;
    let commitment = p.array("commitment")?;
    let statement = statement(p)?;
    let aux = p.maybe("aux", Params::array::<32>)?;
    let signed = statement.sign(rules, algorithm, &commitment, &secret, aux.as_ref());
    secret.non_secure_erase();
    let (receipt, digest) = signed.map_err(refused)?;
    Ok(ResultObject::new()
        .with("receipt", hex(receipt.encode()))
        .with("digest", hex(digest))
        .done())
}

/// `keysend_proof.receipt.decode`: `receipt` → `version`, `algorithm`, `payment_hash`,
/// `received_msat`, `settled_time`, `signature` (64 or 65 bytes). The signature is not checked.
pub(crate) fn receipt_decode(rules: &Rules, params: &Value) -> Outcome {
    let receipt = Receipt::decode(rules, &Params::new(params).hex("receipt")?).map_err(refused)?;
    Ok(ResultObject::new()
        .with("version", receipt.version)
        .with("algorithm", receipt.algorithm)
        .with("payment_hash", hex(receipt.statement.payment_hash))
        .with("received_msat", receipt.statement.received_msat.to_string())
        .with("settled_time", receipt.statement.settled_time.to_string())
        .with("signature", hex(&receipt.signature))
        .done())
}

/// `keysend_proof.receipt.message`: `algorithm`, `commitment`, `payment_hash`, `received_msat`,
/// `settled_time` → `message`, the bytes that a node is asked to sign (algorithm 1: the text;
/// algorithm 0: the digest), `digest`, `signed_bytes` (commitment and statement, 80 bytes) and, with
/// algorithm 0, `tag`, for nodes that take the 80 bytes and the tag and hash themselves.
pub(crate) fn receipt_message(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let algorithm = byte(p, "algorithm")?;
    let commitment = p.array("commitment")?;
    let message = statement(p)?
        .message(rules, algorithm, &commitment)
        .map_err(refused)?;
    let tag = message.text.is_none().then_some(ksp::RECEIPT_TAG);
    let asked = match &message.text {
        Some(text) => hex(text.as_bytes()),
        None => hex(message.digest),
    };
    Ok(ResultObject::new()
        .with("message", asked)
        .with("digest", hex(message.digest))
        .with("signed_bytes", hex(message.bytes.as_slice()))
        .maybe("tag", tag)
        .done())
}

/// `keysend_proof.receipt.assemble`: `algorithm`, `payment_hash`, `received_msat`, `settled_time`,
/// `signature` (64 or 65 bytes in hex, or 104 characters of zbase32, as nodes answer) → `receipt`.
/// Given `commitment` and `recipient_id` as well, the signature is checked.
pub(crate) fn receipt_assemble(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let text = p.str("signature")?;
    let signature = match text.len() {
        104 => ksp::zbase32_decode(text),
        _ => hex_bytes(text),
    };
    let signature = signature.ok_or_else(|| {
        OpError::invalid("param signature is neither hex nor 104 characters of zbase32")
    })?;
    let algorithm = byte(p, "algorithm")?;
    let receipt =
        Receipt::assemble(rules, algorithm, statement(p)?, &signature).map_err(refused)?;
    let commitment = p.maybe("commitment", Params::array::<32>)?;
    let recipient_id = p.maybe("recipient_id", |p, _| recipient_id(rules, p))?;
    match (commitment, recipient_id) {
        (Some(commitment), Some(recipient_id)) => {
            // Algorithm 0 looks at the x coordinate alone and would take a wrong first byte.
            ksp::check_recipient_id(rules, &recipient_id).map_err(refused)?;
            receipt
                .check_signature(rules, &recipient_id, &commitment)
                .map_err(refused)?;
        }
        (None, None) => {}
        _ => {
            return Err(OpError::invalid(
                "params commitment and recipient_id check the signature together; give both or none",
            ));
        }
    }
    Ok(ResultObject::new()
        .with("receipt", hex(receipt.encode()))
        .done())
}

/// `keysend_proof.claim.sign`: `secret_key`, `challenge`, `aux`, and `commitment`, or `request`,
/// `chain_hash` and `recipient_id` (then the key is held against the request) → `claim`, `digest`.
pub(crate) fn claim_sign(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let challenge = p.array("challenge")?;
    let aux = p.maybe("aux", Params::array::<32>)?;
    let (commitment, payer_key) = commitment(rules, p)?;
    let mut secret = secret_key(p, "secret_key")?;
    let signed = ksp::sign_claim(
        rules,
        &secret,
        payer_key.as_ref(),
        &commitment,
        &challenge,
        aux.as_ref(),
    );
    secret.non_secure_erase();
    let (claim, digest) = signed.map_err(refused)?;
    Ok(ResultObject::new()
        .with("claim", hex(claim))
        .with("digest", hex(digest))
        .done())
}

/// `keysend_proof.accept`, the recipient's decision: `chain_hash`, `recipient_id` (its own),
/// `request`, `preimage` (the keysend record), `payment_hash`, `received_msat`, `now`, and, where
/// there are any, `seen` [payment hashes that have a receipt], `seen_commitments` [commitments that
/// have one], `window_past` and `window_future` in seconds (604800 and 7200 where left out) →
/// `receipt_due` true with `commitment`, or false with `reason` where the payer wants none.
///
/// An error, with its rule, says that no receipt is due: `invalid` where form or preimage are wrong,
/// `rejected` where amount, time or an earlier receipt is the reason. Whether the payment is kept as
/// a plain keysend payment is not this operation's matter.
pub(crate) fn accept(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let request = p.hex("request")?;
    let (chain_hash, recipient_id) = (p.array("chain_hash")?, recipient_id(rules, p)?);
    let (preimage, payment_hash) = (p.array("preimage")?, p.array("payment_hash")?);
    let payment = Payment {
        chain_hash: &chain_hash,
        recipient_id: &recipient_id,
        request: &request,
        preimage: &preimage,
        payment_hash: &payment_hash,
        received_msat: p.u64("received_msat")?,
        now: p.u64("now")?,
    };
    let usual = Window::default();
    let window = Window {
        past: p.maybe("window_past", Params::u64)?.unwrap_or(usual.past),
        future: p
            .maybe("window_future", Params::u64)?
            .unwrap_or(usual.future),
    };
    let (payment_hashes, commitments) = (hashes(p, "seen")?, hashes(p, "seen_commitments")?);
    let seen = Seen {
        payment_hashes: &payment_hashes,
        commitments: &commitments,
    };
    let decision = ksp::accept(rules, &payment, window, seen).map_err(refused)?;
    let result = ResultObject::new();
    Ok(match decision {
        Decision::Due(opening) => result
            .with("receipt_due", true)
            .with("commitment", hex(opening.commitment.as_slice())),
        Decision::NotWanted(reason) => result.with("receipt_due", false).with("reason", reason),
    }
    .done())
}

/// `keysend_proof.verify`, the third party's: `chain_hash`, `recipient_id`, `request`, `receipt`
/// (absent: tier 0), `challenge` and `claim` (both or none) → `tier` (0, 1 with a receipt, 2 with
/// receipt and claim), `statement` (what is proven, and what is not), the same as lists of sentences
/// in `proven` and `not_proven`, `commitment`, `payment_hash`, `payment_time`, `amount_msat`,
/// `payer_key` and, with a receipt, `received_msat` and `settled_time`.
pub(crate) fn verify(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (chain_hash, recipient_id) = (p.array("chain_hash")?, recipient_id(rules, p)?);
    let request = p.hex("request")?;
    let receipt = p.maybe("receipt", Params::hex)?;
    let challenge = p.maybe("challenge", Params::array::<32>)?;
    let claim = p.maybe("claim", Params::hex)?;
    let proof = Proof {
        chain_hash: &chain_hash,
        recipient_id: &recipient_id,
        request: &request,
        receipt: receipt.as_deref(),
        challenge: challenge.as_ref(),
        claim: claim.as_deref(),
    };
    let verified = ksp::verify(rules, &proof).map_err(refused)?;
    let stated = verified.receipt.as_ref().map(|r| r.statement);
    Ok(ResultObject::new()
        .with("tier", verified.tier)
        .with("statement", verified.statement())
        .with("proven", verified.proven.clone())
        .with("not_proven", verified.not_proven.clone())
        .with("commitment", hex(verified.opening.commitment.as_slice()))
        .with("payment_hash", hex(verified.payment_hash()))
        .with("payment_time", verified.request.payment_time.to_string())
        .with("amount_msat", verified.request.amount_msat.to_string())
        .with("payer_key", hex(verified.request.payer_key))
        .maybe("received_msat", stated.map(|s| s.received_msat.to_string()))
        .maybe("settled_time", stated.map(|s| s.settled_time.to_string()))
        .done())
}

/// `keysend_proof.fraud`: `recipient_id`, `receipts` [two], and `commitment`, or `request` and
/// `chain_hash` → `proven` (the recipient signed two receipts for one commitment that state
/// different things), `statement`, and, where it is proven, `differs` [names of fields].
pub(crate) fn fraud(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let recipient_id = recipient_id(rules, p)?;
    let (commitment, _) = commitment(rules, p)?;
    let receipts = p
        .list("receipts")?
        .iter()
        .map(|item| Params::new(&json!({ "receipts": item })).hex("receipts"))
        .collect::<Result<Vec<_>, _>>()?;
    let [first, second] = receipts.as_slice() else {
        return Err(OpError::invalid(format!(
            "param receipts holds {}, not two",
            receipts.len()
        )));
    };
    let Contradiction {
        proven,
        statement,
        differs,
    } = ksp::contradiction(rules, &recipient_id, &commitment, [first, second]).map_err(refused)?;
    Ok(ResultObject::new()
        .with("proven", proven)
        .with("statement", statement)
        .maybe("differs", proven.then_some(differs))
        .done())
}
