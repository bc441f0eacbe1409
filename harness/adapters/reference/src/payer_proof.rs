//! Payer proofs of BOLT 12.

use crate::Outcome;
use crate::operations::{hexes, records_of, refused, secret_key, shown, unchecked};
use lnconform_drafts::bech32;
use lnconform_drafts::bolt12::merkle::TreeError;
use lnconform_drafts::payer_proof::{self as proofs, Payment};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv;
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex, hex_bytes};
use serde_json::{Value, json};

/// Param `invoice`: a TLV stream in hex, or an `lni1…` string.
fn invoice(rules: &Rules, p: Params<'_>) -> Result<Vec<u8>, OpError> {
    let text = p.str("invoice")?;
    if let Some(bytes) = hex_bytes(text) {
        return Ok(bytes);
    }
    let decoded = bech32::decode(rules, text).map_err(refused)?;
    if decoded.prefix != "lni" {
        return Err(OpError::invalid(format!(
            "param invoice has the prefix {}; an invoice has lni",
            decoded.prefix
        )));
    }
    Ok(decoded.bytes)
}

/// Param `include`: types as decimal strings.
fn include(p: Params<'_>) -> Result<Vec<u64>, OpError> {
    p.list("include")?
        .iter()
        .map(|kind| Params::new(&json!({ "include": kind })).u64("include"))
        .collect()
}

/// `payer_proof.create`: `invoice` (hex, or a string), `preimage`, `payer_secret`, `include` [types
/// beside those that every proof shows], and, where the proof carries one, `note` → `proof`. With
/// `unchecked`, the proof shows exactly `include`, whatever the writer's rules say.
pub(crate) fn create(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (invoice, include) = (invoice(rules, p)?, include(p)?);
    let preimage = p.array("preimage")?;
    let payment = Payment {
        invoice: &invoice,
        preimage: &preimage,
        include: &include,
        note: p.maybe("note", Params::str)?,
    };
    let unchecked = unchecked(p)?;
    let mut secret = secret_key(p, "payer_secret")?;
    let made = if unchecked {
        proofs::create_unchecked(rules, &payment, &secret)
    } else {
        proofs::create(rules, &payment, &secret)
    };
    secret.non_secure_erase();
    let records = made.map_err(refused)?;
    Ok(ResultObject::new()
        .with("proof", proofs::encode(&records))
        .done())
}

/// `payer_proof.disclose`: `invoice`, `include` [all types that are shown] → `root` (of the
/// invoice's tree), `omitted` [markers], `missing_hashes`, `leaf_hashes`.
pub(crate) fn disclose(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (invoice, include) = (invoice(rules, p)?, include(p)?);
    let records = tlv::frames(rules, &invoice).map_err(refused)?;
    let said = proofs::disclose(rules, &records, |kind| include.contains(&kind));
    let said = said.map_err(|error| match error {
        TreeError::Rule(violation) => refused(violation),
        TreeError::Empty => OpError::invalid(format!("param invoice: {error}")),
    })?;
    let omitted: Vec<String> = said.markers.iter().map(u64::to_string).collect();
    Ok(ResultObject::new()
        .with("root", hex(said.root))
        .with("omitted", omitted)
        .with("missing_hashes", hexes(&said.missing_hashes))
        .with("leaf_hashes", hexes(&said.leaf_hashes))
        .done())
}

/// `payer_proof.encode`: `records` (whatever they are), and, where the proof is to be signed anew,
/// `payer_secret` → `proof`.
pub(crate) fn encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let mut records = records_of(p, "records")?;
    if let Some(mut secret) = p.maybe("payer_secret", secret_key)? {
        let signed = proofs::sign(rules, &mut records, &secret);
        secret.non_secure_erase();
        signed.map_err(refused)?;
    }
    Ok(ResultObject::new()
        .with("proof", proofs::encode(&records))
        .done())
}

/// `payer_proof.verify`: `proof` (string) → `payer_id`, `invoice_node_id`, `payment_hash`,
/// `preimage`, `note` (where there is one), `disclosed` [records of the invoice that are shown].
pub(crate) fn verify(rules: &Rules, params: &Value) -> Outcome {
    let text = Params::new(params).str("proof")?;
    let proof = proofs::verify(rules, text).map_err(refused)?;
    Ok(ResultObject::new()
        .maybe("payer_id", proof.payer_id.map(hex))
        .maybe("invoice_node_id", proof.invoice_node_id.map(hex))
        .maybe("payment_hash", proof.payment_hash.map(hex))
        .maybe("preimage", proof.preimage.map(hex))
        .maybe("note", proof.note)
        .with("disclosed", shown(&proof.disclosed))
        .done())
}

#[cfg(test)]
mod tests {
    use crate::Reference;
    use lnconform_drafts::bech32;
    use lnconform_drafts::keys::{self, PublicKey, SecretKey};
    use lnconform_drafts::tlv::{self, Record};
    use lnconform_protocol::Answer;
    use lnconform_protocol::params::hex;
    use serde_json::{Value, json};

    fn answer(op: &str, params: Value) -> Result<Value, (String, Option<String>)> {
        match Reference::default().answer(op, &params) {
            Answer::Result(result) => Ok(result),
            Answer::Error(error) => Err((error.message, error.rule)),
            Answer::Unsupported(unsupported) => panic!("{unsupported:?}"),
        }
    }

    fn public(byte: u8) -> PublicKey {
        keys::public(&SecretKey::from_slice(&[byte; 32]).unwrap())
    }

    /// A signed invoice of what a proof needs and an amount.
    fn invoice() -> Vec<u8> {
        let mut records = vec![
            Record::new(0, [7; 16]),
            Record::new(88, public(0x42).serialize()),
            Record::new(168, keys::sha256(&[&[1; 32]])),
            Record::new(170, [3, 0xe8]),
            Record::new(176, public(0x46).serialize()),
        ];
        let shown: Vec<Value> = records
            .iter()
            .map(|r| json!({"type": r.kind.to_string(), "value": hex(&r.value)}))
            .collect();
        let signed = answer(
            "bolt12.sign",
            json!({"message_name": "invoice", "field_name": "signature", "records": shown,
                "secret_key": hex([0x46; 32])}),
        );
        let signature = signed.unwrap()["signature"].as_str().unwrap().to_owned();
        let bytes = lnconform_protocol::params::hex_bytes(&signature).unwrap();
        records.push(Record::new(240, bytes));
        tlv::encode_unchecked(&records)
    }

    fn create(invoice: &str, more: Value) -> Result<Value, (String, Option<String>)> {
        let mut params = json!({"invoice": invoice, "preimage": hex([1; 32]),
            "payer_secret": hex([0x42; 32]), "include": ["170"]});
        for (key, value) in more.as_object().unwrap() {
            params[key] = value.clone();
        }
        answer("payer_proof.create", params)
    }

    #[test]
    fn what_is_made_is_verified() {
        let invoice = invoice();
        let made = create(&hex(&invoice), json!({"note": "for you"})).unwrap();
        let text = bech32::encode("lni", &invoice);
        assert_eq!(create(&text, json!({"note": "for you"})).unwrap(), made);
        let shown = answer("payer_proof.verify", made).unwrap();
        assert_eq!(shown["note"], "for you");
        assert_eq!(shown["preimage"], hex([1; 32]));
        assert_eq!(shown["payer_id"], hex(public(0x42).serialize()));
        assert_eq!(shown["invoice_node_id"], hex(public(0x46).serialize()));
        assert_eq!(shown["payment_hash"], hex(keys::sha256(&[&[1; 32]])));
        let types: Vec<&str> = shown["disclosed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["type"].as_str().unwrap())
            .collect();
        assert_eq!(types, ["88", "168", "170", "176"]);
        let plain = create(&hex(&invoice), json!({})).unwrap();
        let plain = answer("payer_proof.verify", plain).unwrap();
        assert!(plain.get("note").is_none());
    }

    #[test]
    fn a_proof_is_taken_apart_and_put_together() {
        let invoice = hex(invoice());
        let said = answer(
            "payer_proof.disclose",
            json!({"invoice": invoice, "include": ["88", "168", "176"]}),
        );
        let said = said.unwrap();
        assert_eq!(said["omitted"], json!(["169"]));
        assert_eq!(said["leaf_hashes"].as_array().unwrap().len(), 3);
        assert_eq!(said["missing_hashes"].as_array().unwrap().len(), 2);
        let records = json!([{"type": "88", "value": hex(public(0x42).serialize())}]);
        let unsigned = answer("payer_proof.encode", json!({"records": records})).unwrap();
        let signed = answer(
            "payer_proof.encode",
            json!({"records": records, "payer_secret": hex([0x42; 32])}),
        );
        assert_ne!(signed.unwrap(), unsigned);
        let nothing = answer(
            "payer_proof.disclose",
            json!({"invoice": "", "include": []}),
        );
        assert!(nothing.unwrap_err().0.starts_with("param invoice"));
    }

    #[test]
    fn a_refusal_names_its_rule_and_a_wrong_param_itself() {
        let invoice = hex(invoice());
        let rule = |more| create(&invoice, more).unwrap_err().1.unwrap();
        assert_eq!(
            rule(json!({"include": ["0"]})),
            "payer-proof/writer/metadata"
        );
        assert_eq!(
            rule(json!({"preimage": hex([2; 32])})),
            "payer-proof/writer/preimage"
        );
        // Without the rules of the writer, and then refused by those of the reader.
        let made = create(&invoice, json!({"include": ["88"], "unchecked": true})).unwrap();
        let refused = answer("payer_proof.verify", made).unwrap_err();
        assert_eq!(
            refused.1.unwrap(),
            "payer-proof/reader/payment-hash-missing"
        );
        for (more, param) in [
            (json!({"include": [170]}), "include"),
            (json!({"payer_secret": hex([0; 32])}), "payer_secret"),
            (json!({"preimage": "01"}), "preimage"),
        ] {
            let (message, rule) = create(&invoice, more).unwrap_err();
            assert!(message.contains(param) && rule.is_none(), "{message}");
        }
        let offer = bech32::encode("lno", &[]);
        assert!(create(&offer, json!({})).unwrap_err().0.contains("lno"));
    }
}
