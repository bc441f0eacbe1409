//! BOLT 12: offers, their string form, and signatures.

use super::{
    Draft, Named, Reading, UpstreamExpect, boolean, bytes, element_lines, field, line_of, list,
};
use super::{literal, only, parse, string};
use serde_json::{Value, json};

/// Calls `case` for each element of a top-level list, and notes those of an unknown shape.
fn each(
    out: &mut Reading,
    text: &str,
    name_key: &str,
    case: impl Fn(&mut Reading, &Named<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let parsed = parse(text)?;
    let all = parsed.as_array().ok_or("it is no list")?;
    let lines = element_lines(text, None);
    for (index, json) in all.iter().enumerate() {
        let line = line_of(&lines, index);
        let result = string(json, name_key).and_then(|name| {
            case(
                out,
                &Named {
                    group: None,
                    name,
                    json,
                    line,
                },
            )
        });
        if let Err(message) = result {
            out.fault(format_args!("line {line}"), message);
        }
    }
    Ok(())
}

/// What an invalid offer breaks, by a part of its description; the first that fits.
pub(super) const INVALID_OFFER: &[(&str, &str)] = &[
    ("out of order", "bolt01/tlv/order"),
    ("padding", "bolt12/encoding/padding"),
    ("utf-8", "bolt01/types/utf8"),
    (
        "unknown feature",
        "bolt12/offer/reader/features-unknown-even",
    ),
    ("unknown even", "bolt01/tlv/unknown-even"),
    ("type >", "bolt12/offer/reader/type-range"),
    ("num_hops", "bolt12/offer/reader/path-hops"),
    ("path is empty", "bolt12/offer/reader/path-hops"),
    ("malformed: empty", "bolt12/offer/reader/issuer-or-paths"),
    (
        "missing offer_issuer_id",
        "bolt12/offer/reader/issuer-or-paths",
    ),
    (
        "missing offer_amount",
        "bolt12/offer/reader/currency-without-amount",
    ),
    (
        "missing offer_description",
        "bolt12/offer/reader/amount-without-description",
    ),
    ("zero offer_amount", "bolt12/offer/reader/amount-zero"),
    ("truncated offer_paths", "bolt01/tlv/value-length"),
    ("truncated onionmsg_hop", "bolt01/tlv/value-length"),
    ("offer_chains length", "bolt01/tlv/value-length"),
    ("chains", "bolt12/offer/chains-empty"),
    ("bad first_node_id", "bolt01/types/point"),
    ("bad path_key", "bolt01/types/point"),
    ("bad blinded_node_id", "bolt01/types/point"),
    ("invalid offer_issuer_id", "bolt01/types/point"),
    ("truncated at type", "bolt01/tlv/truncated"),
    ("truncated in length", "bolt01/tlv/truncated"),
    ("truncated after length", "bolt01/tlv/length"),
    ("truncated in", "bolt01/tlv/length"),
];

/// What a valid offer shows beside the form, by a part of its description.
pub(super) const VALID_OFFER: &[(&str, &str)] = &[
    ("unknown odd", "bolt01/tlv/unknown-odd"),
    ("with feature", "bolt12/offer/reader/features-unknown-odd"),
    ("sciddir", "bolt01/types/sciddir-or-pubkey"),
];

fn read_offer(
    out: &mut Reading,
    named: &Named<'_>,
    input: Value,
    expect: UpstreamExpect,
    covers: Vec<&'static str>,
) {
    let draft = Draft {
        operation: "bolt12.offer.decode",
        input,
        expect,
        covers,
    };
    out.push(named, None, draft);
}

pub(super) fn offers(out: &mut Reading, text: &str) -> Result<(), String> {
    each(out, text, "description", |out, named| {
        let json = named.json;
        // No `now`: an offer of the file never expires while it is tested.
        let input = json!({"offer": string(json, "bolt12")?});
        let name = named.name.to_ascii_lowercase();
        let (expect, covers) = if boolean(json, "valid")? {
            let records: Vec<Value> = list(json, "fields")?
                .iter()
                .map(|f| {
                    let kind = field(f, "type")?
                        .as_u64()
                        .ok_or("`type` is no 64-bit number")?;
                    Ok(json!({"type": kind.to_string(), "value": bytes(f, "hex")?}))
                })
                .collect::<Result<_, String>>()?;
            let mut covers = vec!["bolt12/encoding/tlv", "bolt12/offer/prefix"];
            let shown = VALID_OFFER.iter().filter(|(part, _)| name.contains(part));
            covers.extend(shown.map(|(_, rule)| rule));
            (
                UpstreamExpect::Result(literal(json!({"records": records}))),
                covers,
            )
        } else {
            let rule = INVALID_OFFER
                .iter()
                .find(|(part, _)| name.contains(part))
                .map(|r| r.1);
            (UpstreamExpect::Error, rule.into_iter().collect())
        };
        read_offer(out, named, input, expect, covers);
        Ok(())
    })
}

pub(super) fn format_strings(out: &mut Reading, text: &str) -> Result<(), String> {
    each(out, text, "comment", |out, named| {
        let input = json!({"offer": string(named.json, "string")?});
        let expect = if boolean(named.json, "valid")? {
            UpstreamExpect::Result(json!({}))
        } else {
            UpstreamExpect::Error
        };
        let covers = if named.name.contains('+') {
            vec!["bolt12/encoding/plus"]
        } else if named.name.to_ascii_lowercase().contains("case") {
            vec!["bolt12/encoding/case"]
        } else {
            vec!["bolt12/encoding/tlv"]
        };
        read_offer(out, named, input, expect, covers);
        Ok(())
    })
}

/// Each value of the tree is a step with the same records as input, so that a failure names the
/// hash that differs; then the signature and its digest.
pub(super) fn signatures(out: &mut Reading, text: &str) -> Result<(), String> {
    each(out, text, "comment", |out, named| {
        let json = named.json;
        let leaves = list(json, "leaves")?;
        let mut records = Vec::new();
        let mut hashes = Vec::new();
        for leaf in leaves {
            let (key, hash) = keyed(leaf, "H(`LnLeaf`,")?;
            let tlv = key
                .strip_prefix("H(`LnLeaf`,")
                .and_then(|k| k.strip_suffix(')'))
                .unwrap_or_default();
            records.push(record(tlv)?);
            let nonce = keyed(leaf, "H(`LnNonce`")?.1;
            let both = keyed(leaf, "H(`LnBranch`,leaf")?.1;
            hashes.push([hash, nonce, both]);
        }
        let branches: Vec<&str> = list(json, "branches")?
            .iter()
            .map(|b| Ok(keyed(b, "H(`LnBranch`,")?.1))
            .collect::<Result<_, String>>()?;
        let root = string(json, "merkle")?;
        let input = json!({"records": records});
        let mut step = |step: &str, expect: Value, rule: &'static str| {
            let expect = UpstreamExpect::Result(expect);
            let draft = Draft {
                operation: "bolt12.merkle",
                input: input.clone(),
                expect,
                covers: vec![rule],
            };
            out.push(named, Some(step), draft);
        };
        for (i, [leaf, nonce, both]) in hashes.iter().enumerate() {
            let at = |hash: &str| only(i, hashes.len(), hash.into());
            step(
                &format!("leaf-{i}"),
                json!({"leaves": at(leaf)}),
                "bolt12/signature/leaf",
            );
            step(
                &format!("nonce-{i}"),
                json!({"nonces": at(nonce)}),
                "bolt12/signature/nonce",
            );
            let both = json!({"leaf_nonce_branches": at(both)});
            step(&format!("leaf-nonce-{i}"), both, "bolt12/signature/branch");
        }
        for (i, branch) in branches.iter().enumerate() {
            let expect = json!({"branches": only(i, branches.len(), (*branch).into())});
            step(&format!("branch-{i}"), expect, "bolt12/signature/branch");
        }
        step("root", json!({"root": root}), "bolt12/signature/shape");
        if json.get("signature").is_some() {
            signed(out, named, &records)?;
        }
        Ok(())
    })
}

fn signed(out: &mut Reading, named: &Named<'_>, records: &[Value]) -> Result<(), String> {
    let json = named.json;
    let message_name = string(json, "tlv")?;
    let tag = string(json, "signature_tag")?;
    let field_name = tag
        .strip_prefix("lightning")
        .and_then(|rest| rest.strip_prefix(message_name))
        .ok_or("`signature_tag` does not hold the name of the stream")?;
    // Who signs: the payer of a request (88), the node of an invoice (176).
    let signer = if message_name == "invoice_request" {
        "88"
    } else {
        "176"
    };
    let public_key = records
        .iter()
        .find(|r| r["type"] == signer)
        .ok_or_else(|| format!("no leaf of type {signer} holds the signer's key"))?;
    let input = json!({
        "message_name": message_name,
        "field_name": field_name,
        "records": records,
        "public_key": public_key["value"],
        "signature": bytes(json, "signature")?,
    });
    let digest = keyed(json, "H(signature_tag")?.1;
    for (step, expect) in [
        ("verify", json!({"valid": true})),
        ("digest", json!({"digest": digest})),
    ] {
        let draft = Draft {
            operation: "bolt12.verify",
            input: input.clone(),
            expect: UpstreamExpect::Result(expect),
            covers: vec!["bolt12/signature/tag"],
        };
        out.push(named, Some(step), draft);
    }
    Ok(())
}

/// The entry whose key begins with `prefix`; upstream spells the formula out in the key.
fn keyed<'a>(value: &'a Value, prefix: &str) -> Result<(&'a str, &'a str), String> {
    let object = value.as_object().ok_or("an element is no object")?;
    let (key, value) = object
        .iter()
        .find(|(key, _)| key.starts_with(prefix))
        .ok_or_else(|| format!("there is no `{prefix}…`"))?;
    Ok((
        key,
        value
            .as_str()
            .ok_or_else(|| format!("`{key}` is no string"))?,
    ))
}

/// One record in hex as type and value.
fn record(tlv: &str) -> Result<Value, String> {
    let wrong = || format!("`{tlv}` is no record");
    let bytes = hex::decode(tlv).map_err(|_| wrong())?;
    let (kind, rest) = bigsize(&bytes).ok_or_else(wrong)?;
    let (length, value) = bigsize(rest).ok_or_else(wrong)?;
    if usize::try_from(length) != Ok(value.len()) {
        return Err(wrong());
    }
    Ok(json!({"type": kind.to_string(), "value": hex::encode(value)}))
}

fn bigsize(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let width = match first {
        0xfd => 2,
        0xfe => 4,
        0xff => 8,
        small => return Some((small.into(), rest)),
    };
    let (number, rest) = rest.split_at_checked(width)?;
    Some((number.iter().fold(0, |n, &b| n << 8 | u64::from(b)), rest))
}
