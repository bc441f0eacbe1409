//! DNSSEC proofs in onion messages (bLIP 32).

use crate::Outcome;
use crate::operations::{refused, shown};
use lnconform_drafts::dns::chain::Anchor;
use lnconform_drafts::dns::{Name, message, proof};
use lnconform_drafts::rules::Rules;
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::Value;

/// A name as text; what is not UTF-8 in it is shown as `\u{fffd}`.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// `dns.query.encode`: `domain_name`, `reply_path` (a blinded path, where there is one) → `records` of
/// the onion message.
pub(crate) fn query_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let reply_path = p.maybe("reply_path", Params::hex)?;
    let name = p.str("domain_name")?;
    let records = message::query(rules, name.as_bytes(), reply_path.as_deref());
    Ok(ResultObject::new()
        .with("records", shown(&records.map_err(refused)?))
        .done())
}

/// `dns.query.decode`: `bytes` (the value of record 65536) → `domain_name`.
pub(crate) fn query_decode(rules: &Rules, params: &Value) -> Outcome {
    let value = Params::new(params).hex("bytes")?;
    let name = message::read_query(rules, &value).map_err(refused)?;
    Ok(ResultObject::new().with("domain_name", text(&name)).done())
}

/// `dns.proof.decode`: `bytes` (the value of record 65538) → `domain_name`, `proof`.
pub(crate) fn proof_decode(rules: &Rules, params: &Value) -> Outcome {
    let value = Params::new(params).hex("bytes")?;
    let answer = message::read_answer(rules, &value).map_err(refused)?;
    Ok(ResultObject::new()
        .with("domain_name", text(&answer.domain_name))
        .with("proof", hex(answer.proof))
        .done())
}

/// `dns.proof.answer`: `query` (the value of record 65536), `reply_path` (where it came with one),
/// `proof` → `replies`, and, where it does, `reply_path` and `records` of the onion message.
pub(crate) fn proof_answer(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let reply_path = p.maybe("reply_path", Params::hex)?;
    let (query, proof) = (p.hex("query")?, p.hex("proof")?);
    let record = message::answer(rules, &query, reply_path.as_deref(), &proof).map_err(refused)?;
    Ok(ResultObject::new()
        .with("replies", record.is_some())
        .maybe(
            "reply_path",
            reply_path.filter(|_| record.is_some()).map(hex),
        )
        .maybe("records", record.map(|record| shown(&[record])))
        .done())
}

/// `dns.proof.verify`: `domain_name`, `proof`, `now` (absent: times are not looked at), `anchors` [`DS`
/// of the root: `key_tag`, `algorithm`, `digest_type`, `digest`] (absent: those that are published) →
/// `texts` [the TXT records, strings joined], `name` (after aliases), `valid_from`, `valid_until`.
pub(crate) fn proof_verify(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let name = p.str("domain_name")?;
    let name = Name::parse(name.as_bytes()).ok_or_else(|| {
        OpError::invalid(format!("param domain_name is {name}, which is no name"))
    })?;
    let bytes = p.hex("proof")?;
    let now = p.maybe("now", Params::u64)?;
    let anchors = match p.maybe("anchors", Params::list)? {
        Some(list) => list.iter().map(anchor).collect::<Result<_, _>>()?,
        None => proof::root_anchors(),
    };
    let proven = proof::verify(rules, &name, &bytes, &anchors, now).map_err(refused)?;
    let texts: Vec<String> = proven.texts.iter().map(|t| text(t)).collect();
    Ok(ResultObject::new()
        .with("texts", texts)
        .with("name", proven.name.to_string())
        .with("valid_from", proven.from.to_string())
        .with("valid_until", proven.until.to_string())
        .done())
}

fn anchor(value: &Value) -> Result<Anchor, OpError> {
    let p = Params::new(value);
    let small = |name| {
        let number = p.u32(name)?;
        let wrong =
            |_| OpError::invalid(format!("param anchors: {name} is {number}, not below 256"));
        u8::try_from(number).map_err(wrong)
    };
    let tag = p.u32("key_tag")?;
    let wrong = |_| OpError::invalid(format!("param anchors: key_tag is {tag}, not below 65536"));
    Ok(Anchor {
        key_tag: u16::try_from(tag).map_err(wrong)?,
        algorithm: small("algorithm")?,
        digest_type: small("digest_type")?,
        digest: p.hex("digest")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(op: fn(&Rules, &Value) -> Outcome, params: Value) -> Outcome {
        op(&Rules::all(), &params)
    }

    #[test]
    fn a_query_is_answered_along_its_path_for_its_name() {
        let asked = ask(
            query_encode,
            json!({"domain_name": "a.example.", "reply_path": "0102"}),
        );
        let asked = asked.unwrap();
        assert_eq!(asked["records"][0], json!({"type": "2", "value": "0102"}));
        let query = &asked["records"][1];
        assert_eq!(query["type"], "65536");
        let read = ask(query_decode, json!({"bytes": query["value"]})).unwrap();
        assert_eq!(read["domain_name"], "a.example.");

        // The shortest record that there is: a type without data, of the root.
        let proof = "0000100001000000000000";
        let mut params = json!({"query": query["value"], "proof": proof, "reply_path": "0102"});
        let answer = ask(proof_answer, params.clone()).unwrap();
        assert_eq!(
            (&answer["replies"], &answer["reply_path"]),
            (&json!(true), &json!("0102"))
        );
        let value = &answer["records"][0]["value"];
        let read = ask(proof_decode, json!({"bytes": value})).unwrap();
        assert_eq!(read, json!({"domain_name": "a.example.", "proof": proof}));
        params.as_object_mut().unwrap().remove("reply_path");
        assert_eq!(
            ask(proof_answer, params).unwrap(),
            json!({"replies": false})
        );
    }

    #[test]
    fn mistakes_are_named() {
        let rule = |op, params| ask(op, params).unwrap_err().rule.unwrap_or_default();
        let path = "01";
        let encode = |name: &str| json!({"domain_name": name, "reply_path": path});
        for (op, params, id) in [
            (
                query_encode as fn(&Rules, &Value) -> Outcome,
                json!({"domain_name": "a."}),
                "blip-0032/query/sender/reply-path",
            ),
            (
                query_encode,
                encode("a"),
                "blip-0032/query/sender/domain-name",
            ),
            (
                query_encode,
                encode("\u{e9}."),
                "blip-0032/query/sender/domain-name",
            ),
            (
                query_decode,
                json!({"bytes": "0261"}),
                "bolt01/tlv/value-length",
            ),
            (
                proof_decode,
                json!({"bytes": "01610001"}),
                "bolt01/tlv/value-length",
            ),
            (
                proof_answer,
                json!({"query": "0161", "proof": ""}),
                "blip-0032/query/recipient/format",
            ),
            (
                proof_verify,
                json!({"domain_name": "a.", "proof": ""}),
                "blip-0032/proof/recipient/signatures",
            ),
        ] {
            assert_eq!(rule(op, params), id);
        }
        let no_name = ask(proof_verify, json!({"domain_name": "a..b.", "proof": ""}));
        assert!(no_name.unwrap_err().message.contains("which is no name"));
        let anchors = json!([{"key_tag": 65536, "algorithm": 8, "digest_type": 2, "digest": ""}]);
        let params = json!({"domain_name": "a.", "proof": "", "anchors": anchors});
        assert!(
            ask(proof_verify, params)
                .unwrap_err()
                .message
                .contains("not below 65536")
        );
    }
}
