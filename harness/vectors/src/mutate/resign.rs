//! Signers for `resign: true`: BOLT 12 messages after a change.
//!
//! A vector holds no secret. The keys of ours that sign are those whose secret is one byte, 32 times
//! over, so the public key in the message says with what it is signed.

use super::{Bolt12String, FieldCodec, Tlv};
use lnconform_drafts::bolt12::merkle;
use lnconform_drafts::keys::{self, SecretKey};
use lnconform_drafts::rules::{self, Rules};
use lnconform_drafts::tlv::Record;
use lnconform_protocol::params::{hex, hex_bytes};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Operations whose input holds signed BOLT 12 messages.
pub(super) const OPERATIONS: [&str; 7] = [
    "bolt12.invoice_request.decode",
    "bolt12.refund.decode",
    "bolt12.invoice.decode",
    "bolt12.static_invoice.decode",
    "bolt12.invoice_request.respond",
    "bolt12.invoice.match",
    "payer_proof.verify",
];

/// A signed message.
struct Signed {
    /// Name of the message, for the tag.
    message: &'static str,
    /// Name of the field, for the tag.
    field: &'static str,
    /// Type of the record with the signature.
    signature: &'static str,
    /// Type of the record with the key.
    key: &'static str,
}

impl Signed {
    const fn new(message: &'static str, key: &'static str) -> Self {
        Self {
            message,
            field: "signature",
            signature: "240",
            key,
        }
    }
}

/// A payer proof holds two signatures: the invoice's stays, the payer's is remade.
const PROOF: Signed = Signed {
    message: "payer_proof",
    field: "proof_signature",
    signature: "241",
    key: "88",
};

/// Secret keys by the x coordinate of their public key: BIP 340 knows no more of a key.
static SECRETS: LazyLock<HashMap<[u8; 32], SecretKey>> = LazyLock::new(|| {
    (1..=u8::MAX)
        .filter_map(|byte| SecretKey::from_slice(&[byte; 32]).ok())
        .map(|secret| {
            let (x, _) = keys::public(&secret).x_only_public_key();
            (x.serialize(), secret)
        })
        .collect()
});

/// The message in the parameter `field` of `operation`.
fn message(operation: &str, field: &str) -> Option<Signed> {
    let name = match field {
        // The second word of `bolt12.invoice.match` and its like.
        "bytes" | "string" => operation.split('.').nth(1)?,
        other => other,
    };
    match name {
        "invoice_request" | "request" | "refund" => Some(Signed::new("invoice_request", "88")),
        "invoice" => Some(Signed::new("invoice", "176")),
        "static_invoice" => Some(Signed::new("static_invoice", "176")),
        "proof" => Some(PROOF),
        _ => None,
    }
}

/// Remakes every signature that the messages in `input` have.
///
/// # Errors
/// When there is none, or its key is not one of [`SECRETS`].
pub(super) fn messages(operation: &str, input: &mut Value) -> Result<(), String> {
    let mut remade = 0;
    for (field, value) in input.as_object_mut().into_iter().flatten() {
        let (Some(signed), Value::String(text)) = (message(operation, field), value) else {
            continue;
        };
        let codec: &dyn FieldCodec = if Bolt12String.recognises(text) {
            &Bolt12String
        } else {
            &Tlv
        };
        let mut decoded = codec.decode(text)?;
        if sign(&signed, &mut decoded["records"]).map_err(|e| format!("{field}: {e}"))? {
            *text = codec.encode(&decoded)?;
            remade += 1;
        }
    }
    if remade == 0 {
        return Err("there is no signature to remake, or no key that it is for".into());
    }
    Ok(())
}

/// Whether there was a signature and its key; it is put in place of the old one.
fn sign(signed: &Signed, records: &mut Value) -> Result<bool, String> {
    let bytes = |v: &Value| v.as_str().and_then(hex_bytes).unwrap_or_default();
    let list = records.as_array_mut().ok_or("there are no records")?;
    let find = |kind: &str| list.iter().position(|r| r["type"] == kind);
    let (Some(signature), Some(key)) = (find(signed.signature), find(signed.key)) else {
        return Ok(false);
    };
    let secret = bytes(&list[key]["value"])
        .get(1..33)
        .and_then(|x| <[u8; 32]>::try_from(x).ok())
        .and_then(|x| SECRETS.get(&x))
        .ok_or("the key is none whose secret is one byte 32 times over")?;
    let records: Vec<Record> = list
        .iter()
        .map(|r| {
            let kind = r["type"].as_str().and_then(|s| s.parse().ok());
            Record::new(kind.unwrap_or_default(), bytes(&r["value"]))
        })
        .collect();
    // Whoever breaks the order still wants a signature over what stands there.
    let rules = Rules::all()
        .without(rules::TLV_ORDER)
        .map_err(|e| e.to_string())?;
    let root = merkle::tree(&rules, &records)
        .map_err(|e| e.to_string())?
        .root;
    let hash = merkle::signed_hash(&Rules::all(), signed.message, signed.field, &root);
    list[signature]["value"] = hex(merkle::sign(&hash, secret, None)).into();
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::{Codecs, join_records};
    use super::*;
    use serde_json::json;

    fn public(byte: u8) -> String {
        let secret = SecretKey::from_slice(&[byte; 32]).unwrap();
        hex(keys::public(&secret).serialize())
    }

    fn request(key: &str) -> String {
        let records = json!([
            {"type": "0", "value": "0102"},
            {"type": "88", "value": key},
            {"type": "240", "value": "00".repeat(64)},
        ]);
        hex(join_records(&records).unwrap())
    }

    #[test]
    fn a_request_is_signed_with_the_key_that_it_names() {
        let mut input = json!({"bytes": request(&public(0x42)), "now": "5"});
        let operation = "bolt12.invoice_request.decode";
        Codecs::standard().resign(operation, &mut input).unwrap();
        let decoded = Tlv.decode(input["bytes"].as_str().unwrap()).unwrap();
        let signature = hex_bytes(decoded["records"][2]["value"].as_str().unwrap()).unwrap();
        let records = [
            Record::new(0, [1, 2]),
            Record::new(88, hex_bytes(&public(0x42)).unwrap()),
        ];
        let root = merkle::tree(&Rules::all(), &records).unwrap().root;
        let verify = |message: &str, byte: u8| {
            let key = SecretKey::from_slice(&[byte; 32]).unwrap();
            let (x, _) = keys::public(&key).x_only_public_key();
            merkle::verify(
                &merkle::signed_hash(&Rules::all(), message, "signature", &root),
                &x.serialize(),
                signature.as_slice().try_into().unwrap(),
            )
        };
        assert!(verify("invoice_request", 0x42));
        assert!(!verify("invoice_request", 0x43));
        assert!(!verify("invoice", 0x42));
        assert_eq!(input["now"], "5");
    }

    #[test]
    fn a_payer_proof_is_signed_by_the_payer_and_not_again_by_the_payee() {
        let records = json!([
            {"type": "88", "value": public(0x42)},
            {"type": "176", "value": public(0x41)},
            {"type": "240", "value": "00".repeat(64)},
            {"type": "241", "value": "00".repeat(64)},
            {"type": "1001", "value": "05"},
        ]);
        let text = Bolt12String
            .encode(&json!({"prefix": "lnp", "records": records}))
            .unwrap();
        let mut input = json!({ "proof": text });
        messages("payer_proof.verify", &mut input).unwrap();
        let decoded = Bolt12String
            .decode(input["proof"].as_str().unwrap())
            .unwrap();
        assert_eq!(decoded["records"][2], records[2]);
        let signature = hex_bytes(decoded["records"][3]["value"].as_str().unwrap()).unwrap();
        let records: Vec<Record> = [(88, public(0x42)), (176, public(0x41)), (1001, "05".into())]
            .map(|(kind, value)| Record::new(kind, hex_bytes(&value).unwrap()))
            .to_vec();
        let root = merkle::tree(&Rules::all(), &records).unwrap().root;
        let secret = SecretKey::from_slice(&[0x42; 32]).unwrap();
        let (x, _) = keys::public(&secret).x_only_public_key();
        let verify = |field: &str| {
            merkle::verify(
                &merkle::signed_hash(&Rules::all(), "payer_proof", field, &root),
                &x.serialize(),
                signature.as_slice().try_into().unwrap(),
            )
        };
        assert!(verify("proof_signature"));
        assert!(!verify("signature"));
    }

    #[test]
    fn what_cannot_be_signed_says_why() {
        let operation = "bolt12.invoice_request.decode";
        let sign = |bytes: String| messages(operation, &mut json!({ "bytes": bytes }));
        let foreign = "033cc5884a5ea9ff0323e15b824326649c523bbabec91b759b29e5cd067b4de344";
        assert!(sign(request(foreign)).unwrap_err().contains("32 times"));
        assert!(
            sign("00020102".into())
                .unwrap_err()
                .contains("no signature")
        );
        assert!(sign("0003".into()).is_err());
        assert!(
            messages("bolt12.invoice.match", &mut json!({"other": 1}))
                .unwrap_err()
                .contains("no signature")
        );
    }

    #[test]
    fn both_messages_of_a_pair_are_signed() {
        let operation = "bolt12.invoice.match";
        let invoice = json!([
            {"type": "0", "value": "0102"},
            {"type": "176", "value": public(0x41)},
            {"type": "240", "value": "00".repeat(64)},
        ]);
        let invoice = hex(join_records(&invoice).unwrap());
        let before = json!({"request": request(&public(0x42)), "bytes": invoice});
        let mut input = before.clone();
        messages(operation, &mut input).unwrap();
        assert_ne!(input["request"], before["request"]);
        assert_ne!(input["bytes"], before["bytes"]);
    }
}
