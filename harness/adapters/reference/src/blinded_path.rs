//! Blinded paths: building them, reading them hop by hop, and the data that they carry.

use crate::Outcome;
use crate::onion::hops;
use crate::operations::{
    hexes, path, public_key, records_of, refused, secret_key, shown, unchecked,
};
use lnconform_drafts::blinding::{self, Creator, Data, PayInfo};
use lnconform_drafts::keys;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv;
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

/// The path, and what its builder knows, one a hop. `blinded_path.build` is asked for the first alone,
/// `blinded_path.trace` for both; the reference answers both to either.
pub(crate) fn build(_: &Rules, params: &Value) -> Outcome {
    let (mut result, built) = made(params)?;
    result["path_keys"] = hexes(&built.path_keys);
    let secrets = built.path_secrets.iter().map(|s| hex(s.secret_bytes()));
    result["path_secrets"] = secrets.collect();
    let rhos = built.shared_secrets.iter().map(|s| hex(blinding::rho(s)));
    result["rhos"] = rhos.collect();
    result["shared_secrets"] = hexes(&built.shared_secrets);
    Ok(result)
}

/// What a node derives from its key and a path key.
pub(crate) fn derive(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let node_secret = secret_key(p, "node_secret")?;
    let path_key = public_key(p, "path_key")?;
    // Sealed for itself, so that nothing but the keys is asked for.
    let rho = blinding::rho(&keys::ecdh(&path_key, &node_secret));
    let sealed = blinding::seal(&rho, &[]);
    let read = blinding::unblind(rules, &node_secret, &path_key.serialize(), &sealed)
        .map_err(unblind_error)?;
    Ok(ResultObject::new()
        .with("shared_secret", hex(read.shared_secret))
        .with("rho", hex(rho))
        .with("blinded_secret", hex(read.blinded_secret.secret_bytes()))
        .with("next_path_key", hex(read.next_path_key))
        .done())
}

fn made(params: &Value) -> Result<(Value, blinding::Built), OpError> {
    let p = Params::new(params);
    let session_key = secret_key(p, "session_key")?;
    let hops = hops(p, "hops", |hop| {
        Ok((public_key(hop, "pubkey")?, hop.hex("encrypted_data")?))
    })?;
    let built =
        blinding::build(&session_key, &hops).map_err(|e| OpError::invalid(e.to_string()))?;
    let mut result = path(&built.path);
    let encoded = built
        .path
        .encode()
        .map_err(|e| OpError::invalid(e.to_string()))?;
    result["path"] = hex(encoded).into();
    Ok((result, built))
}

pub(crate) fn unblind_error(error: blinding::UnblindError) -> OpError {
    match error {
        blinding::UnblindError::Rule(violation) => refused(violation),
        other @ blinding::UnblindError::Key(_) => OpError::invalid(other.to_string()),
    }
}

pub(crate) fn unblind(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let node_secret = secret_key(p, "node_secret")?;
    // A bad point here is what the rule is about, and no ill-typed param.
    let path_key = p.array::<33>("path_key")?;
    let data = p
        .maybe("encrypted_recipient_data", Params::hex)?
        .unwrap_or_default();
    let read = blinding::unblind(rules, &node_secret, &path_key, &data).map_err(unblind_error)?;
    Ok(ResultObject::new()
        .with("tlvs", hex(&read.tlvs))
        .with("records", shown(&read.data.records))
        .with("shared_secret", hex(read.shared_secret))
        .with("blinded_secret", hex(read.blinded_secret.secret_bytes()))
        .with("rho", hex(blinding::rho(&read.shared_secret)))
        // What is to be sent on: the builder's override where the data holds one.
        .with("next_path_key", hex(read.forward_path_key()))
        .with("derived_path_key", hex(read.next_path_key))
        .done())
}

/// The fields of `encrypted_data_tlv`.
pub(crate) fn shown_data(data: &Data) -> Value {
    ResultObject::new()
        .with("records", shown(&data.records))
        .maybe(
            "short_channel_id",
            data.short_channel_id.map(|id| id.to_string()),
        )
        .maybe("next_node_id", data.next_node_id.map(hex))
        .maybe("path_id", data.path_id.as_ref().map(hex))
        .maybe(
            "next_path_key_override",
            data.next_path_key_override.map(hex),
        )
        .maybe(
            "payment_relay",
            data.payment_relay.map(|relay| {
                json!({
                    "cltv_expiry_delta": relay.cltv_expiry_delta,
                    "fee_proportional_millionths": relay.fee_proportional_millionths,
                    "fee_base_msat": relay.fee_base_msat,
                })
            }),
        )
        .maybe(
            "payment_constraints",
            data.payment_constraints.map(|limits| {
                json!({
                    "max_cltv_expiry": limits.max_cltv_expiry,
                    "htlc_minimum_msat": limits.htlc_minimum_msat.to_string(),
                })
            }),
        )
        .maybe("allowed_features", data.allowed_features.as_ref().map(hex))
        .done()
}

fn shown_payinfo(payinfo: &PayInfo) -> Value {
    json!({
        "fee_base_msat": payinfo.fee_base_msat.to_string(),
        "fee_proportional_millionths": payinfo.fee_proportional_millionths.to_string(),
        "cltv_expiry_delta": payinfo.cltv_expiry_delta,
    })
}

/// The data of a path by the creator's rules, one entry of `hops` a node, the recipient last: `use`
/// is `payment` or `message`. A hop without `records` has no data at all.
pub(crate) fn data(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let records = hops(p, "hops", |hop| {
        hop.maybe("records", |hop, name| records_of(hop, name))
    })?;
    let delta = p
        .maybe("min_final_cltv_expiry_delta", Params::u32)?
        .unwrap_or_default();
    let delta = u16::try_from(delta).map_err(|_| {
        OpError::invalid("param min_final_cltv_expiry_delta is no number below 2^16")
    })?;
    let minimums: Vec<u64> = match p.get("minimums_msat") {
        None => Vec::new(),
        Some(_) => p
            .list("minimums_msat")?
            .iter()
            .map(|one| Params::new(&json!({ "minimums_msat": one })).u64("minimums_msat"))
            .collect::<Result<_, _>>()?,
    };
    let creator = Creator {
        max_cltv_expiry: p.maybe("max_cltv_expiry", Params::u32)?,
        min_final_cltv_expiry_delta: delta,
        minimums: &minimums,
    };
    let given = || records.iter().map(|one| one.clone().unwrap_or_default());
    let (streams, payinfo) = match p.str("use")? {
        _ if unchecked(p)? => (
            given().map(|one| tlv::encode_unchecked(&one)).collect(),
            None,
        ),
        "payment" => {
            let (streams, payinfo) =
                blinding::payment_data(rules, &records, &creator).map_err(refused)?;
            (streams, Some(payinfo))
        }
        "message" => {
            let given: Vec<_> = given().collect();
            (
                blinding::message_data(rules, &given).map_err(refused)?,
                None,
            )
        }
        other => {
            return Err(OpError::invalid(format!(
                "param use is {other}, not payment or message"
            )));
        }
    };
    let shown: Vec<Value> = streams
        .iter()
        .map(|stream| json!({"encrypted_data": hex(stream)}))
        .collect();
    Ok(ResultObject::new()
        .with("hops", shown)
        .maybe("payinfo", payinfo.as_ref().map(shown_payinfo))
        .done())
}
