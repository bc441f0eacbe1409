//! `bolt12/payer-proof-test.json`, merged with pull request 1346.
//!
//! A valid case is a check of the reader, and, as `…/disclose` and `…/create`, of what the writer
//! works out and writes. An invalid one is a check of the reader.

use super::{Draft, Named, Reading, UpstreamExpect, bytes, element_lines, field, line_of, list};
use super::{literal, parse, string};
use serde_json::{Value, json};

/// What makes a proof invalid, by upstream's reason.
pub(super) const INVALID: &[(&str, &str)] = &[
    (
        "missing_invreq_payer_id",
        "payer-proof/reader/payer-id-missing",
    ),
    (
        "missing_invoice_payment_hash",
        "payer-proof/reader/payment-hash-missing",
    ),
    (
        "missing_invoice_node_id",
        "payer-proof/reader/node-id-missing",
    ),
    ("missing_signature", "payer-proof/reader/signature-missing"),
    (
        "missing_proof_preimage",
        "payer-proof/reader/preimage-missing",
    ),
    (
        "missing_proof_missing_hashes",
        "payer-proof/reader/missing-hashes-missing",
    ),
    (
        "missing_proof_leaf_hashes",
        "payer-proof/reader/leaf-hashes-missing",
    ),
    (
        "missing_proof_signature",
        "payer-proof/reader/proof-signature-missing",
    ),
    ("wrong_proof_preimage", "payer-proof/reader/preimage"),
    (
        "proof_omitted_tlvs_not_ascending",
        "payer-proof/reader/omitted-order",
    ),
    (
        "proof_omitted_tlvs_contains_zero",
        "payer-proof/reader/omitted-zero",
    ),
    (
        "proof_omitted_tlvs_contains_signature_field",
        "payer-proof/reader/omitted-signature-type",
    ),
    (
        "proof_omitted_tlvs_contains_proof_field",
        "payer-proof/reader/omitted-proof-type",
    ),
    (
        "proof_omitted_tlvs_contains_high_field",
        "payer-proof/reader/omitted-too-high",
    ),
    (
        "proof_omitted_tlvs_contains_included_tlv_field",
        "payer-proof/reader/omitted-included",
    ),
    // Which of the two it is the reason does not say.
    (
        "proof_omitted_tlvs_not_sequential",
        "payer-proof/reader/omitted-after-included",
    ),
    (
        "proof_omitted_tlvs_not_sequential",
        "payer-proof/reader/omitted-after-previous",
    ),
    (
        "proof_leaf_hashes_too_few",
        "payer-proof/reader/leaf-hashes",
    ),
    (
        "proof_leaf_hashes_too_many",
        "payer-proof/reader/leaf-hashes",
    ),
    (
        "proof_missing_hashes_too_few",
        "payer-proof/reader/missing-hashes",
    ),
    (
        "proof_missing_hashes_too_many",
        "payer-proof/reader/missing-hashes",
    ),
    ("wrong_invoice_signature", "payer-proof/reader/signature"),
    (
        "wrong_proof_signature",
        "payer-proof/reader/proof-signature",
    ),
    ("contains_invreq_metadata", "payer-proof/reader/metadata"),
];

/// What a valid proof shows when it is read.
const READ: [&str; 5] = [
    "payer-proof/reader/signature",
    "payer-proof/reader/proof-signature",
    "payer-proof/reader/preimage",
    "payer-proof/reader/leaf-hashes",
    "payer-proof/reader/missing-hashes",
];

/// What it shows when it is taken apart.
const DISCLOSED: [&str; 3] = [
    "payer-proof/writer/leaf-hashes",
    "payer-proof/writer/omitted",
    "payer-proof/writer/missing-hashes",
];

/// What it shows when it is made.
const MADE: [&str; 5] = [
    "payer-proof/writer/required-fields",
    "payer-proof/writer/preimage",
    "payer-proof/writer/copy",
    "payer-proof/writer/signature",
    "payer-proof/writer/proof-signature",
];

/// The requirements that valid cases name.
#[cfg(test)]
pub(super) fn named() -> impl Iterator<Item = &'static str> {
    READ.into_iter().chain(DISCLOSED).chain(MADE)
}

/// Types of fields of the invoice: no signatures, and nothing of the proof's own.
fn is_of_invoice(kind: u64) -> bool {
    !(240..1_000_000_000).contains(&kind)
}

fn kind_of(json: &Value) -> Result<u64, String> {
    field(json, "tag")?
        .as_u64()
        .ok_or_else(|| "`tag` is no 64-bit number".to_owned())
}

pub(super) fn payer_proofs(out: &mut Reading, text: &str) -> Result<(), String> {
    let parsed = parse(text)?;
    for (key, is_valid) in [("valid_vectors", true), ("invalid_vectors", false)] {
        let lines = element_lines(text, Some(key));
        for (index, json) in list(&parsed, key)?.iter().enumerate() {
            let line = line_of(&lines, index);
            let read = if is_valid {
                valid(out, &parsed, json, line)
            } else {
                invalid(out, json, line)
            };
            if let Err(message) = read {
                out.fault(format_args!("line {line}"), message);
            }
        }
    }
    Ok(())
}

fn valid(out: &mut Reading, file: &Value, json: &Value, line: usize) -> Result<(), String> {
    let input = field(json, "input")?;
    let working = field(json, "working")?;
    let result = field(json, "result")?;
    let named = Named {
        group: None,
        name: string(json, "name")?,
        json,
        line,
    };
    let proof = string(result, "bech32")?;
    let preimage = bytes(input, "preimage")?;
    let note = input.get("note").and_then(Value::as_str);
    let fields = list(result, "proof_fields")?;

    let mut shown = Vec::new();
    let mut explicit = false;
    for one in fields {
        let (kind, value) = (kind_of(one)?, bytes(one, "hex")?);
        explicit |= kind == 1002 && value.is_empty();
        if is_of_invoice(kind) {
            shown.push(json!({"type": kind.to_string(), "value": value}));
        }
    }
    let mut expect = json!({"preimage": preimage, "disclosed": shown});
    if let Some(note) = note {
        expect["note"] = note.into();
    }
    let read = Draft {
        operation: "payer_proof.verify",
        input: json!({"proof": proof}),
        expect: UpstreamExpect::Result(literal(expect)),
        covers: READ.to_vec(),
    };

    let mut include = Vec::new();
    for one in list(input, "invoice_fields")? {
        let kind = kind_of(one)?;
        if is_of_invoice(kind) && field(one, "included")? == true {
            include.push(kind.to_string());
        }
    }
    let invoice = bytes(input, "invoice_hex")?;
    let mut params = json!({
        "invoice": invoice,
        "preimage": preimage,
        "payer_secret": bytes(file, "payer_secret")?,
        "include": include,
    });
    if let Some(note) = note {
        params["note"] = note.into();
    }
    let made = Draft {
        operation: "payer_proof.create",
        input: params,
        expect: UpstreamExpect::Result(literal(json!({"proof": proof}))),
        covers: MADE.to_vec(),
    };

    let omitted: Vec<String> = list(working, "proof_omitted_tlvs")?
        .iter()
        .map(|marker| marker.as_u64().map(|marker| marker.to_string()))
        .collect::<Option<_>>()
        .ok_or("`proof_omitted_tlvs` holds no 64-bit numbers")?;
    let taken_apart = Draft {
        operation: "payer_proof.disclose",
        input: json!({"invoice": invoice, "include": include}),
        expect: UpstreamExpect::Result(json!({
            "root": bytes(working, "invoice_merkle_root")?,
            "omitted": omitted,
            "missing_hashes": list(working, "proof_missing_hashes")?,
            "leaf_hashes": list(working, "proof_leaf_hashes")?,
        })),
        covers: DISCLOSED.to_vec(),
    };

    out.push(&named, None, read);
    // A field 1002 that is there and empty is read; a writer may leave it out.
    if !explicit {
        out.push(&named, Some("create"), made);
    }
    out.push(&named, Some("disclose"), taken_apart);
    Ok(())
}

fn invalid(out: &mut Reading, json: &Value, line: usize) -> Result<(), String> {
    let name = string(json, "reason")?;
    let draft = Draft {
        operation: "payer_proof.verify",
        input: json!({"proof": string(json, "bech32")?}),
        expect: UpstreamExpect::Error,
        covers: INVALID
            .iter()
            .filter(|(reason, _)| *reason == name)
            .map(|(_, rule)| *rule)
            .collect(),
    };
    let named = Named {
        group: None,
        name,
        json,
        line,
    };
    out.push(&named, None, draft);
    Ok(())
}
