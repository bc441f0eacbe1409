//! The operations: params in, pure functions of the drafts, results out.

use crate::Outcome;
use crate::amp;
use crate::amp_tunnel;
use crate::async_messages;
use crate::blinded_path;
use crate::bolt12;
use crate::dns;
use crate::fulfillment;
use crate::keysend_proof;
use crate::onion;
use crate::onion_message;
use crate::payer_proof;
use crate::payload;
use crate::simulation::{amp_ptlc, evidence, invoice_stack, point_lock};
use crate::trampoline;
use lnconform_drafts::bolt12::{merkle, offer};
use lnconform_drafts::keys::{PublicKey, SecretKey};
use lnconform_drafts::rules::{Rules, Violation};
use lnconform_drafts::tlv::{self, Record};
use lnconform_drafts::{bech32, bigsize, blinding, features, namespace};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{self, Params, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::HashSet;

/// An operation.
pub(crate) type Operation = fn(&Rules, &Value) -> Outcome;

/// Every operation by name, in the order in which `hello` lists them.
pub(crate) const NAMES: &[(&str, Operation)] = &[
    ("bigsize.decode", bigsize_decode),
    ("bigsize.encode", bigsize_encode),
    ("tlv.decode", tlv_decode),
    ("tlv.encode", tlv_encode),
    ("tlv.namespace.decode", tlv_namespace_decode),
    ("bolt12.string.decode", bolt12_string_decode),
    ("bolt12.offer.decode", bolt12_offer_decode),
    ("bolt12.offer.encode", bolt12_offer_encode),
    (
        "bolt12.invoice_request.decode",
        bolt12::invoice_request_decode,
    ),
    (
        "bolt12.invoice_request.encode",
        bolt12::invoice_request_encode,
    ),
    (
        "bolt12.invoice_request.respond",
        bolt12::invoice_request_respond,
    ),
    ("bolt12.refund.decode", bolt12::refund_decode),
    ("bolt12.refund.encode", bolt12::refund_encode),
    ("bolt12.invoice.decode", bolt12::invoice_decode),
    ("bolt12.invoice.encode", bolt12::invoice_encode),
    ("bolt12.invoice.match", bolt12::invoice_match),
    (
        "bolt12.static_invoice.decode",
        bolt12::static_invoice_decode,
    ),
    (
        "bolt12.static_invoice.encode",
        bolt12::static_invoice_encode,
    ),
    ("bolt12.invoice_error.decode", bolt12::invoice_error_decode),
    ("bolt12.invoice_error.encode", bolt12::invoice_error_encode),
    ("bolt12.merkle", bolt12_merkle),
    ("bolt12.sign", bolt12_sign),
    ("bolt12.verify", bolt12_verify),
    ("payer_proof.create", payer_proof::create),
    ("payer_proof.disclose", payer_proof::disclose),
    ("payer_proof.encode", payer_proof::encode),
    ("payer_proof.verify", payer_proof::verify),
    ("amp.child", amp::child),
    ("amp.reconstruct", amp::reconstruct),
    ("amp.record.decode", amp::record_decode),
    ("amp.record.encode", amp::record_encode),
    ("keysend_proof.commit", keysend_proof::commit),
    (
        "keysend_proof.request.decode",
        keysend_proof::request_decode,
    ),
    (
        "keysend_proof.request.encode",
        keysend_proof::request_encode,
    ),
    ("keysend_proof.reply.decode", keysend_proof::reply_decode),
    ("keysend_proof.receipt.sign", keysend_proof::receipt_sign),
    (
        "keysend_proof.receipt.decode",
        keysend_proof::receipt_decode,
    ),
    (
        "keysend_proof.receipt.message",
        keysend_proof::receipt_message,
    ),
    (
        "keysend_proof.receipt.assemble",
        keysend_proof::receipt_assemble,
    ),
    ("keysend_proof.claim.sign", keysend_proof::claim_sign),
    ("keysend_proof.accept", keysend_proof::accept),
    ("keysend_proof.verify", keysend_proof::verify),
    ("keysend_proof.fraud", keysend_proof::fraud),
    ("amp_tunnel.request.decode", amp_tunnel::request_decode),
    ("amp_tunnel.request.encode", amp_tunnel::request_encode),
    ("amp_tunnel.commit", amp_tunnel::commit),
    ("amp_tunnel.shards", amp_tunnel::shards),
    ("amp_tunnel.receipt.message", amp_tunnel::receipt_message),
    ("amp_tunnel.receipt.sign", amp_tunnel::receipt_sign),
    ("amp_tunnel.receipt.assemble", amp_tunnel::receipt_assemble),
    ("amp_tunnel.receipt.decode", amp_tunnel::receipt_decode),
    ("amp_tunnel.pool.build", amp_tunnel::pool_build),
    ("amp_tunnel.pool.decode", amp_tunnel::pool_decode),
    ("amp_tunnel.pool.check", amp_tunnel::pool_check),
    (
        "amp_tunnel.assignment.message",
        amp_tunnel::assignment_message,
    ),
    ("amp_tunnel.assignment.sign", amp_tunnel::assignment_sign),
    (
        "amp_tunnel.assignment.assemble",
        amp_tunnel::assignment_assemble,
    ),
    (
        "amp_tunnel.assignment.decode",
        amp_tunnel::assignment_decode,
    ),
    ("amp_tunnel.accept", amp_tunnel::accept),
    ("amp_tunnel.settle", amp_tunnel::settle),
    ("amp_tunnel.claim.message", amp_tunnel::claim_message),
    ("amp_tunnel.claim.sign", amp_tunnel::claim_sign),
    ("amp_tunnel.verify", amp_tunnel::verify),
    ("amp_tunnel.fraud", amp_tunnel::fraud),
    ("amp_tunnel.contradiction", amp_tunnel::contradiction),
    ("amp_tunnel.alpha", amp_tunnel::alpha),
    ("onion.build", onion::build),
    ("onion.peel", onion::peel),
    ("onion.peel_route", onion::peel_route),
    ("onion.process", onion::process),
    ("onion.trace", onion::trace),
    ("onion.keys", onion::keys),
    ("onion.failure.plain", onion::failure_plain),
    ("onion.failure.create", onion::failure_create),
    ("onion.failure.wrap", onion::failure_wrap),
    ("onion.failure.decode", onion::failure_decode),
    ("onion.attribution.update", onion::attribution_update),
    ("onion.attribution.decode", onion::attribution_decode),
    ("fulfillment.create", fulfillment::create),
    ("fulfillment.pass", fulfillment::pass),
    ("fulfillment.decode", fulfillment::decode),
    (
        "fulfillment.attribution.update",
        fulfillment::attribution_update,
    ),
    (
        "fulfillment.attribution.decode",
        fulfillment::attribution_decode,
    ),
    ("fulfillment.receipt", fulfillment::receipt),
    ("payload.decode", payload::decode),
    ("payload.refuse", payload::refuse),
    ("payload.encode", payload::encode),
    ("blinded_path.build", blinded_path::build),
    ("blinded_path.trace", blinded_path::build),
    ("blinded_path.keys", blinded_path::derive),
    ("blinded_path.unblind", blinded_path::unblind),
    ("blinded_path.data", blinded_path::data),
    ("trampoline.build", trampoline::build),
    ("trampoline.peel", trampoline::peel),
    ("trampoline.failure.create", trampoline::failure_create),
    ("trampoline.failure.wrap", trampoline::failure_wrap),
    ("trampoline.failure.decode", trampoline::failure_decode),
    ("trampoline.failure.answer", trampoline::failure_answer),
    ("trampoline.send", trampoline::send),
    ("trampoline.receive", trampoline::receive),
    ("onion_message.build", onion_message::build),
    ("onion_message.peel", onion_message::peel),
    ("mpp.send", payload::mpp_send),
    ("mpp.receive", payload::mpp_receive),
    ("async.message.decode", async_messages::message_decode),
    ("async.message.encode", async_messages::message_encode),
    ("async.update_add_htlc.decode", async_messages::add_decode),
    ("async.update_add_htlc.encode", async_messages::add_encode),
    ("async.revoke_and_ack.decode", async_messages::revoke_decode),
    ("async.revoke_and_ack.encode", async_messages::revoke_encode),
    ("async.features", async_messages::features),
    ("async.announce", async_messages::announce),
    ("async.hold", async_messages::hold),
    ("async.payload.encode", async_messages::payload_encode),
    ("async.payload.claim", async_messages::payload_claim),
    ("async.server.receive", async_messages::server_receive),
    ("async.receiver.receive", async_messages::receiver_receive),
    ("async.receiver.update", async_messages::receiver_update),
    ("features.decode", features_decode),
    ("dns.query.encode", dns::query_encode),
    ("dns.query.decode", dns::query_decode),
    ("dns.proof.answer", dns::proof_answer),
    ("dns.proof.decode", dns::proof_decode),
    ("dns.proof.verify", dns::proof_verify),
    ("simulation.point_lock.pool", point_lock::make_pool),
    ("simulation.point_lock.pool.verify", point_lock::verify_pool),
    ("simulation.point_lock.lock", point_lock::make_lock),
    ("simulation.point_lock.redeem", point_lock::redeem),
    ("simulation.point_lock.extract", point_lock::extract),
    ("simulation.point_lock.verify", point_lock::verify),
    ("simulation.point_lock.session", point_lock::session),
    ("simulation.point_lock.additive", point_lock::additive),
    ("simulation.point_lock.nonce_reuse", point_lock::nonce_reuse),
    ("simulation.amp_ptlc.lock", amp_ptlc::lock),
    ("simulation.amp_ptlc.redeem", amp_ptlc::redeem),
    ("simulation.amp_ptlc.extract", amp_ptlc::extract),
    ("simulation.amp_ptlc.verify", amp_ptlc::verify),
    ("simulation.amp_ptlc.session", amp_ptlc::session),
    ("simulation.amp_ptlc.attempt", amp_ptlc::attempt),
    ("simulation.amp_ptlc.designs", amp_ptlc::designs),
    ("simulation.evidence", evidence::evidence),
    ("simulation.invoice_stack", invoice_stack::invoice_stack),
];

/// The operation of that name.
pub(crate) fn find(name: &str) -> Option<Operation> {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, operation)| *operation)
}

pub(crate) fn refused(violation: Violation) -> OpError {
    let error = if violation.is_contextual() {
        OpError::rejected(violation.message)
    } else {
        OpError::invalid(violation.message)
    };
    error.with_rule(violation.rule)
}

pub(crate) fn records_of(p: Params<'_>, name: &str) -> Result<Vec<Record>, OpError> {
    Ok(p.records(name)?
        .into_iter()
        .map(|(kind, value)| Record { kind, value })
        .collect())
}

pub(crate) fn shown(records: &[Record]) -> Value {
    params::records(
        records
            .iter()
            .map(|record| (record.kind, record.value.as_slice())),
    )
}

pub(crate) fn hexes<'a, T: AsRef<[u8]> + 'a>(items: impl IntoIterator<Item = &'a T>) -> Value {
    items.into_iter().map(hex).collect()
}

/// Param `unchecked`: writes what the sender's rules forbid, for building invalid input.
pub(crate) fn unchecked(p: Params<'_>) -> Result<bool, OpError> {
    Ok(p.maybe("unchecked", Params::bool)?.unwrap_or(false))
}

fn bigsize_decode(rules: &Rules, params: &Value) -> Outcome {
    let bytes = Params::new(params).hex("bytes")?;
    let (value, rest) = bigsize::decode(rules, &bytes).map_err(refused)?;
    Ok(ResultObject::new()
        .with("value", value.to_string())
        .with("rest", hex(rest))
        .done())
}

fn bigsize_encode(_: &Rules, params: &Value) -> Outcome {
    let value = Params::new(params).u64("value")?;
    Ok(ResultObject::new()
        .with("bytes", hex(bigsize::encode(value)))
        .done())
}

fn tlv_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let stream = p.hex("stream")?;
    let known: HashSet<u64> = match p.get("known") {
        None => HashSet::new(),
        Some(_) => p
            .list("known")?
            .iter()
            .map(|kind| Params::new(&json!({ "known": kind })).u64("known"))
            .collect::<Result<_, _>>()?,
    };
    let records = tlv::decode(rules, &stream, |kind| known.contains(&kind)).map_err(refused)?;
    Ok(ResultObject::new().with("records", shown(&records)).done())
}

fn tlv_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let records = records_of(p, "records")?;
    let stream = if unchecked(p)? {
        tlv::encode_unchecked(&records)
    } else {
        tlv::encode(rules, &records).map_err(refused)?
    };
    Ok(ResultObject::new().with("stream", hex(stream)).done())
}

fn tlv_namespace_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let stream = p.hex("stream")?;
    let (records, fields) = match p.str("namespace")? {
        "n1" => {
            let n1 = namespace::n1(rules, &stream).map_err(refused)?;
            let fields = ResultObject::new()
                .maybe(
                    "tlv1",
                    n1.tlv1.map(|msat| json!({"amount_msat": msat.to_string()})),
                )
                .maybe(
                    "tlv2",
                    n1.tlv2.map(|scid| json!({"scid": scid.to_string()})),
                )
                .maybe(
                    "tlv3",
                    n1.tlv3.map(|(node_id, first, second)| {
                        json!({
                            "node_id": hex(node_id),
                            "amount_msat_1": first.to_string(),
                            "amount_msat_2": second.to_string(),
                        })
                    }),
                )
                .maybe("tlv4", n1.tlv4.map(|delta| json!({"cltv_delta": delta})));
            (n1.records, fields)
        }
        "n2" => {
            let n2 = namespace::n2(rules, &stream).map_err(refused)?;
            let fields = ResultObject::new()
                .maybe(
                    "tlv1",
                    n2.tlv1.map(|msat| json!({"amount_msat": msat.to_string()})),
                )
                .maybe("tlv2", n2.tlv2.map(|expiry| json!({"cltv_expiry": expiry})));
            (n2.records, fields)
        }
        other => {
            return Err(OpError::invalid(format!(
                "param namespace is {other}, not n1 or n2"
            )));
        }
    };
    Ok(ResultObject::new()
        .with("records", shown(&records))
        .with("fields", fields.done())
        .done())
}

fn bolt12_string_decode(rules: &Rules, params: &Value) -> Outcome {
    let text = Params::new(params).str("string")?;
    let decoded = bech32::decode(rules, text).map_err(refused)?;
    Ok(ResultObject::new()
        .with("hrp", decoded.prefix)
        .with("bytes", hex(decoded.bytes))
        .done())
}

fn bolt12_offer_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let text = p.str("offer")?;
    let now = p.maybe("now", Params::u64)?;
    let chains = bolt12::chains(p)?;
    let context = offer::Context {
        now,
        chains: chains.as_deref(),
    };
    let offer = offer::decode(rules, text, context).map_err(refused)?;
    let result = ResultObject::new()
        .with("records", shown(&offer.records))
        .with("offer_id", hex(offer.id()));
    Ok(bolt12::with_offer(result, &offer, "").done())
}

/// A blinded path: `first_node_id` is a key or, 9 bytes long, one end of a channel.
pub(crate) fn path(path: &blinding::BlindedPath) -> Value {
    let hops = path.hops.iter().map(|hop| {
        json!({
            "blinded_node_id": hex(hop.blinded_node_id),
            "encrypted_recipient_data": hex(&hop.encrypted_data),
        })
    });
    json!({
        "first_node_id": hex(path.first_node.encode()),
        "first_path_key": hex(path.first_path_key),
        "hops": hops.collect::<Value>(),
    })
}

fn bolt12_offer_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let records = records_of(p, "records")?;
    let offer = if unchecked(p)? {
        offer::encode_unchecked(&records)
    } else {
        offer::encode(rules, &records).map_err(refused)?
    };
    Ok(ResultObject::new().with("offer", offer).done())
}

fn tree(rules: &Rules, p: Params<'_>) -> Result<merkle::Tree, OpError> {
    let records = records_of(p, "records")?;
    merkle::tree(rules, &records).map_err(|e| match e {
        merkle::TreeError::Rule(violation) => refused(violation),
        empty @ merkle::TreeError::Empty => OpError::invalid(empty.to_string()),
    })
}

fn bolt12_merkle(rules: &Rules, params: &Value) -> Outcome {
    let tree = tree(rules, Params::new(params))?;
    Ok(ResultObject::new()
        .with("leaves", hexes(&tree.leaves))
        .with("nonces", hexes(&tree.nonces))
        .with("leaf_nonce_branches", hexes(&tree.pairs))
        .with("branches", hexes(&tree.branches))
        .with("root", hex(tree.root))
        .done())
}

fn signed_hash(rules: &Rules, p: Params<'_>) -> Result<merkle::Node, OpError> {
    let (message, field) = (p.str("message_name")?, p.str("field_name")?);
    Ok(merkle::signed_hash(
        rules,
        message,
        field,
        &tree(rules, p)?.root,
    ))
}

fn bolt12_sign(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = secret_key(p, "secret_key")?;
    let aux = p.maybe("aux", Params::array::<32>)?;
    let hash = signed_hash(rules, p)?;
    let signature = merkle::sign(&hash, &secret, aux.as_ref());
    Ok(ResultObject::new()
        .with("signature", hex(signature))
        .with("digest", hex(hash))
        .done())
}

/// The key is a compressed one or its x coordinate alone.
fn bolt12_verify(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let key = p.hex("public_key")?;
    let x = match key.as_slice() {
        [2 | 3, x @ ..] if x.len() == 32 => x,
        x => x,
    };
    let key: [u8; 32] = x.try_into().map_err(|_| {
        let got = key.len();
        OpError::invalid(format!(
            "param public_key has {got} bytes, and is no key of 32 or 33"
        ))
    })?;
    let signature = p.array::<64>("signature")?;
    let hash = signed_hash(rules, p)?;
    let valid = merkle::verify(&hash, &key, &signature);
    Ok(ResultObject::new()
        .with("valid", valid)
        .with("digest", hex(hash))
        .done())
}

pub(crate) fn secret_key(p: Params<'_>, name: &str) -> Result<SecretKey, OpError> {
    SecretKey::from_slice(&p.array::<32>(name)?)
        .map_err(|_| OpError::invalid(format!("param {name} is no secret key of secp256k1")))
}

pub(crate) fn public_key(p: Params<'_>, name: &str) -> Result<PublicKey, OpError> {
    PublicKey::from_slice(&p.array::<33>(name)?)
        .map_err(|_| OpError::invalid(format!("param {name} is no point of secp256k1")))
}

fn features_decode(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let features = p.hex("features")?;
    // Names do not depend on the context; it is read so that an ill-typed one is noticed.
    p.maybe("context", |p, name| p.str(name).map(str::to_owned))?;
    let bits: Vec<u64> = features::bits(&features).collect();
    let names: Vec<&str> = bits.iter().filter_map(|&bit| features::name(bit)).collect();
    Ok(ResultObject::new()
        .with("bits", bits)
        .with("names", names)
        .done())
}
