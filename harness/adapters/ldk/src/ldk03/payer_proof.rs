//! Payer proofs, which lightning has from 0.3 on.

use super::codec::{accepted, refused, refused_message};
use super::lightning::bitcoin::secp256k1::{Keypair, Secp256k1, SecretKey};
use super::lightning::offers::invoice::Bolt12Invoice;
use super::lightning::offers::payer_proof::{PaidBolt12Invoice, PayerProof, UnsignedPayerProof};
use super::lightning::types::payment::PaymentPreimage;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex, records};
use serde_json::json;

/// `payer_proof.create`: LDK's builder, signed with the secret key that is given.
pub(crate) fn create(p: Params<'_>) -> Outcome {
    if p.maybe("unchecked", Params::bool)?.unwrap_or(false) {
        return Err(Fail::Unsupported(
            "LDK builds no proof that is against the rules".into(),
        ));
    }
    let invoice =
        Bolt12Invoice::try_from(p.hex("invoice")?).map_err(|e| refused_message("invoice", e))?;
    let secret = SecretKey::from_slice(&p.array::<32>("payer_secret")?)
        .map_err(|e| OpError::invalid(format!("param payer_secret: {e}")))?;
    let mut builder = PaidBolt12Invoice::Bolt12Invoice(invoice)
        .prove_payer(PaymentPreimage(p.array("preimage")?))
        .map_err(|e| refused("payer proof", &e))?;
    for kind in p.list("include")? {
        let kind = Params::new(&json!({ "include": kind })).u64("include")?;
        builder = builder
            .include_type(kind)
            .map_err(|e| refused("payer proof", &e))?;
    }
    if let Some(note) = p.maybe("note", Params::str)? {
        builder = builder.with_proof_note(note.to_owned());
    }
    let unsigned = builder.build().map_err(|e| refused("payer proof", &e))?;
    let secp = Secp256k1::new();
    let keys = Keypair::from_secret_key(&secp, &secret);
    let proof = unsigned
        .sign(|proof: &UnsignedPayerProof| {
            Ok(secp.sign_schnorr_no_aux_rand(proof.as_ref().as_digest(), &keys))
        })
        .map_err(|e| refused("payer proof", &e))?;
    Ok(json!({"proof": proof.to_string()}))
}

/// `payer_proof.verify`: reading a proof is checking it.
pub(crate) fn verify(p: Params<'_>) -> Outcome {
    let proof: PayerProof = p
        .str("proof")?
        .parse()
        .map_err(|e| refused_message("payer proof", e))?;
    let found = accepted(proof.bytes())?;
    let disclosed = found
        .iter()
        .filter(|(kind, _)| !(240..1_000_000_000).contains(kind))
        .map(|(kind, value)| (*kind, &value[..]));
    Ok(ResultObject::new()
        .with("payer_id", hex(proof.payer_signing_pubkey().serialize()))
        .with(
            "invoice_node_id",
            hex(proof.issuer_signing_pubkey().serialize()),
        )
        .with("payment_hash", hex(proof.payment_hash().0))
        .with("preimage", hex(proof.payment_preimage().0))
        .maybe("note", proof.proof_note().map(|note| note.0.to_owned()))
        .with("disclosed", records(disclosed))
        .done())
}

#[cfg(test)]
mod tests {
    use super::super::{MORE, more};
    use super::*;
    use serde_json::Value;

    fn failed(op: &str, params: &Value) -> Fail {
        more(op, Params::new(params)).unwrap().unwrap_err()
    }

    #[test]
    fn every_operation_of_this_version_asks_for_its_params() {
        for op in MORE {
            let Fail::Error(error) = failed(op, &json!({})) else {
                panic!("{op}");
            };
            assert!(error.message.contains("param"), "{op}: {}", error.message);
        }
        assert!(more("payer_proof.disclose", Params::new(&json!({}))).is_none());
    }

    #[test]
    fn what_is_refused_is_refused_in_ldks_words() {
        let Fail::Error(error) = failed("payer_proof.verify", &json!({"proof": "lnp1"})) else {
            panic!("an empty proof is an error");
        };
        assert!(
            error.message.starts_with("payer proof: "),
            "{}",
            error.message
        );
        assert_eq!(error.rule, None);
        let unchecked = json!({"unchecked": true});
        assert!(matches!(
            failed("payer_proof.create", &unchecked),
            Fail::Unsupported(_)
        ));
    }
}
