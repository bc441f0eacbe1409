//! The operations on invoice requests, refunds, invoices, static invoices and invoice errors.

use crate::Outcome;
use crate::operations::{hexes, path, records_of, refused, secret_key, shown, unchecked};
use lnconform_drafts::bech32;
use lnconform_drafts::blinding::BlindedPath;
use lnconform_drafts::bolt12::invoice::{self, Fallback, Invoice, Kind, MultiPart, Payinfo};
use lnconform_drafts::bolt12::invoice_request::{
    self, Fields, Form, InvoiceRequest, Name, ReplyTo,
};
use lnconform_drafts::bolt12::offer::{self, ChainHash, Context, Offer};
use lnconform_drafts::bolt12::{self, invoice_error};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

/// Dialects of static invoices that the reference reads and writes.
pub(crate) fn dialects() -> Vec<String> {
    ["async/ldk", "async/pr-1149"].map(String::from).to_vec()
}

/// Param `name`: a list of hex values.
fn hex_list(p: Params<'_>, name: &str) -> Result<Vec<Vec<u8>>, OpError> {
    p.list(name)?
        .iter()
        .map(|item| {
            let one = json!({ name: item });
            Params::new(&one).hex(name)
        })
        .collect()
}

/// Param `chains`: the chains that the reader supports.
pub(crate) fn chains(p: Params<'_>) -> Result<Option<Vec<ChainHash>>, OpError> {
    p.maybe("chains", |p, name| {
        p.list(name)?
            .iter()
            .map(|chain| Params::new(&json!({ name: chain })).array::<32>(name))
            .collect()
    })
}

/// One of `choices` by the name in param `name`.
fn choice<T: Copy>(p: Params<'_>, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, OpError> {
    let Some(got) = p.maybe(name, |p, name| p.str(name).map(str::to_owned))? else {
        return Ok(None);
    };
    let found = choices.iter().find(|(choice, _)| *choice == got);
    let names = || {
        let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
        names.join(", ")
    };
    match found {
        Some((_, value)) => Ok(Some(*value)),
        None => Err(OpError::invalid(format!(
            "param {name} is {got}, none of {}",
            names()
        ))),
    }
}

/// The stream of a request, from `bytes` or `string`.
fn request_stream(rules: &Rules, p: Params<'_>) -> Result<Vec<u8>, OpError> {
    match p.get("bytes") {
        Some(_) => p.hex("bytes"),
        None => invoice_request::unwrap(rules, p.str("string")?).map_err(refused),
    }
}

/// The stream of an invoice, from `bytes` or `string`. BOLT 12 has no prefix for invoices.
fn invoice_stream(rules: &Rules, p: Params<'_>) -> Result<Vec<u8>, OpError> {
    if p.get("bytes").is_some() {
        return p.hex("bytes");
    }
    let decoded = bech32::decode(rules, p.str("string")?).map_err(refused)?;
    if decoded.prefix != invoice::PREFIX {
        return Err(OpError::invalid(format!(
            "the prefix is {}, and that of invoices is {}",
            decoded.prefix,
            invoice::PREFIX
        )));
    }
    Ok(decoded.bytes)
}

fn shown_paths(paths: Option<&Vec<BlindedPath>>) -> Option<Value> {
    paths.map(|paths| paths.iter().map(path).collect())
}

/// Adds the fields of an offer, each name behind `prefix`.
pub(crate) fn with_offer(to: ResultObject, offer: &Offer, prefix: &str) -> ResultObject {
    let name = |field: &str| format!("{prefix}{field}");
    let decimal = |number: Option<u64>| number.map(|number| number.to_string());
    to.maybe(&name("chains"), offer.chains.as_ref().map(hexes))
        .maybe(&name("metadata"), offer.metadata.as_ref().map(hex))
        .maybe(&name("currency"), offer.currency.clone())
        .maybe(&name("amount"), decimal(offer.amount))
        .maybe(&name("description"), offer.description.clone())
        .maybe(&name("features"), offer.features.as_ref().map(hex))
        .maybe(&name("absolute_expiry"), decimal(offer.absolute_expiry))
        .maybe(&name("paths"), shown_paths(offer.paths.as_ref()))
        .maybe(&name("issuer"), offer.issuer.clone())
        .maybe(&name("quantity_max"), decimal(offer.quantity_max))
        .maybe(&name("issuer_id"), offer.issuer_id.map(hex))
}

fn shown_name(name: &Name) -> Value {
    json!({
        "name": String::from_utf8_lossy(&name.name),
        "domain": String::from_utf8_lossy(&name.domain),
    })
}

/// Adds the fields of a request, those of its offer among them.
fn with_request(to: ResultObject, fields: &Fields) -> ResultObject {
    with_offer(to, &fields.offer, "offer_")
        .maybe("invreq_metadata", fields.metadata.as_ref().map(hex))
        .maybe("invreq_chain", fields.chain.map(hex))
        .maybe("invreq_amount", fields.amount.map(|n| n.to_string()))
        .maybe("invreq_features", fields.features.as_ref().map(hex))
        .maybe("invreq_quantity", fields.quantity.map(|n| n.to_string()))
        .maybe("invreq_payer_id", fields.payer_id.map(hex))
        .maybe("invreq_payer_note", fields.payer_note.clone())
        .maybe("invreq_paths", shown_paths(fields.paths.as_ref()))
        .maybe(
            "invreq_bip_353_name",
            fields.bip_353_name.as_ref().map(shown_name),
        )
}

fn reply_to(request: &InvoiceRequest) -> &'static str {
    match request.reply_to() {
        ReplyTo::ReplyPath => "reply-path",
        ReplyTo::Paths => "paths",
        ReplyTo::PayerId => "payer-id",
    }
}

fn shown_request(rules: &Rules, request: &InvoiceRequest) -> Value {
    let contact = request.contact();
    let result = ResultObject::new().with("records", shown(&request.records));
    with_request(result, &request.fields)
        .maybe("signature", request.signature.map(hex))
        .maybe("contact_secret", contact.secret.map(hex))
        .maybe("payer_offer", contact.offer.as_ref().map(hex))
        .maybe("payer_bip_353_name", contact.name.as_ref().map(shown_name))
        .maybe(
            "payer_bip_353_signature",
            contact
                .signature
                .map(|(key, signature)| json!({"key": hex(key), "signature": hex(signature)})),
        )
        .maybe(
            "expected_amount",
            request
                .fields
                .expected_amount(rules, None)
                .map(|n| n.to_string()),
        )
        .with("reply_to", reply_to(request))
        .done()
}

pub(crate) fn invoice_request_decode(rules: &Rules, params: &Value) -> Outcome {
    decode_request(rules, params, invoice_request::read)
}

pub(crate) fn refund_decode(rules: &Rules, params: &Value) -> Outcome {
    decode_request(rules, params, invoice_request::read_refund)
}

type ReadRequest =
    fn(&Rules, &[u8], Context<'_>) -> Result<InvoiceRequest, lnconform_drafts::Violation>;

fn decode_request(rules: &Rules, params: &Value, read: ReadRequest) -> Outcome {
    let p = Params::new(params);
    let chains = chains(p)?;
    let context = Context {
        now: p.maybe("now", Params::u64)?,
        chains: chains.as_deref(),
    };
    let stream = request_stream(rules, p)?;
    let request = read(rules, &stream, context).map_err(refused)?;
    Ok(shown_request(rules, &request))
}

/// An offer in a param, which is not what is tested: it is read by all rules of the encoding.
fn offer_of(p: Params<'_>) -> Result<Option<Offer>, OpError> {
    p.maybe("offer", |p, name| {
        offer::decode(&Rules::all(), p.str(name)?, Context::default()).map_err(|violation| {
            OpError::invalid(format!("param {name} is no offer: {}", violation.message))
        })
    })
}

pub(crate) fn invoice_request_respond(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let chains = chains(p)?;
    let offer = offer_of(p)?;
    let seen = p.maybe("seen", hex_list)?.unwrap_or_default();
    let responder = invoice_request::Responder {
        context: Context {
            now: p.maybe("now", Params::u64)?,
            chains: chains.as_deref(),
        },
        offer: offer.as_ref(),
        via: choice(
            p,
            "via",
            &[
                ("direct", invoice_request::Via::Direct),
                ("offer-path", invoice_request::Via::OfferPath),
                ("other-path", invoice_request::Via::OtherPath),
            ],
        )?,
        converted: p.maybe("converted_amount", Params::u64)?,
        seen: &seen,
        repeat: p.maybe("repeat", Params::bool)?.unwrap_or(false),
    };
    let stream = request_stream(rules, p)?;
    let response = invoice_request::respond(rules, &stream, &responder).map_err(refused)?;
    let decimal = |number: Option<u64>| number.map(|number| number.to_string());
    Ok(ResultObject::new()
        .maybe("expected_amount", decimal(response.expected_amount))
        .maybe("invoice_amount", decimal(response.invoice_amount))
        .with("node_ids", hexes(&response.node_ids))
        .with("reply_to", reply_to(&response.request))
        .with("may_repeat", response.may_repeat)
        .done())
}

fn shown_payinfo(pay: &Payinfo) -> Value {
    json!({
        "fee_base_msat": pay.fee_base_msat,
        "fee_proportional_millionths": pay.fee_proportional_millionths,
        "cltv_expiry_delta": pay.cltv_expiry_delta,
        "htlc_minimum_msat": pay.htlc_minimum_msat.to_string(),
        "htlc_maximum_msat": pay.htlc_maximum_msat.to_string(),
        "features": hex(&pay.features),
    })
}

fn shown_fallback(fallback: &Fallback) -> Value {
    json!({"version": fallback.version, "address": hex(&fallback.address)})
}

fn shown_invoice(invoice: &Invoice) -> Value {
    let result = ResultObject::new().with("records", shown(&invoice.records));
    let pays = invoice.blindedpay.as_ref();
    let fallbacks = invoice.fallbacks.as_ref();
    let usable = || invoice.usable_fallbacks.iter().map(shown_fallback);
    with_request(result, &invoice.request)
        .maybe("invoice_paths", shown_paths(invoice.paths.as_ref()))
        .maybe(
            "invoice_blindedpay",
            pays.map(|pays| pays.iter().map(shown_payinfo).collect::<Value>()),
        )
        .maybe(
            "invoice_created_at",
            invoice.created_at.map(|n| n.to_string()),
        )
        .maybe("invoice_relative_expiry", invoice.relative_expiry)
        .maybe("invoice_payment_hash", invoice.payment_hash.map(hex))
        .maybe("invoice_amount", invoice.amount.map(|n| n.to_string()))
        .maybe(
            "invoice_fallbacks",
            fallbacks.map(|all| all.iter().map(shown_fallback).collect::<Value>()),
        )
        .maybe(
            "usable_fallbacks",
            fallbacks.map(|_| usable().collect::<Value>()),
        )
        .maybe("invoice_features", invoice.features.as_ref().map(hex))
        .maybe("invoice_node_id", invoice.node_id.map(hex))
        .maybe(
            "invoice_message_paths",
            shown_paths(invoice.message_paths.as_ref()),
        )
        .maybe("signature", invoice.signature.map(hex))
        .with("usable_paths", invoice.usable_paths.clone())
        .with("expiry", invoice.expiry.to_string())
        .done()
}

pub(crate) fn invoice_decode(rules: &Rules, params: &Value) -> Outcome {
    decode_invoice(rules, Params::new(params), Kind::Invoice)
}

pub(crate) fn static_invoice_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    decode_invoice(rules, p, static_kind(p)?)
}

/// Param `dialect`: whose numbers a static invoice has.
fn static_kind(p: Params<'_>) -> Result<Kind, OpError> {
    let dialects = [
        ("async/ldk", Kind::StaticLdk),
        ("async/pr-1149", Kind::StaticPr1149),
    ];
    Ok(choice(p, "dialect", &dialects)?.unwrap_or(Kind::StaticLdk))
}

fn decode_invoice(rules: &Rules, p: Params<'_>, kind: Kind) -> Outcome {
    let chains = chains(p)?;
    let context = Context {
        now: p.maybe("now", Params::u64)?,
        chains: chains.as_deref(),
    };
    let stream = invoice_stream(rules, p)?;
    let invoice = invoice::read(rules, kind, &stream, context).map_err(refused)?;
    Ok(shown_invoice(&invoice))
}

/// The records of a request in a param, which is not what is tested.
fn request_of(p: Params<'_>) -> Result<Option<Vec<Record>>, OpError> {
    p.maybe("request", |p, name| {
        tlv::frames(&Rules::all(), &p.hex(name)?).map_err(|violation| {
            OpError::invalid(format!("param {name} is no stream: {}", violation.message))
        })
    })
}

const MULTI_PART: [(&str, MultiPart); 3] = [
    ("required", MultiPart::Required),
    ("allowed", MultiPart::Allowed),
    ("forbidden", MultiPart::Forbidden),
];

pub(crate) fn invoice_match(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let chains = chains(p)?;
    let request = request_of(p)?;
    let parts = p.maybe("parts", |p, name| {
        p.list(name)?
            .iter()
            .map(|part| {
                let index = Params::new(&json!({ name: part })).u32(name)?;
                // An index that does not fit into usize is that of no path.
                Ok(usize::try_from(index).unwrap_or(usize::MAX))
            })
            .collect::<Result<Vec<_>, OpError>>()
    })?;
    let payer = invoice::Payer {
        context: Context {
            now: p.maybe("now", Params::u64)?,
            chains: chains.as_deref(),
        },
        request: request.as_deref(),
        sent_to: p.maybe("sent_to", Params::array::<33>)?,
        via: choice(
            p,
            "via",
            &[
                ("direct", invoice::Via::Direct),
                ("invreq-path", invoice::Via::RequestPath),
                ("reply-path", invoice::Via::ReplyPath),
                ("other-path", invoice::Via::OtherPath),
            ],
        )?,
        parts: parts.as_deref(),
    };
    let stream = invoice_stream(rules, p)?;
    let invoice = invoice::match_request(rules, &stream, &payer).map_err(refused)?;
    let multi_part = invoice.multi_part();
    let multi_part = MULTI_PART.iter().find(|(_, value)| *value == multi_part);
    Ok(ResultObject::new()
        .with("matches", true)
        .maybe("invoice_amount", invoice.amount.map(|n| n.to_string()))
        .maybe("invoice_node_id", invoice.node_id.map(hex))
        .with("usable_paths", invoice.usable_paths)
        .maybe("multi_part", multi_part.map(|(name, _)| *name))
        .done())
}

pub(crate) fn invoice_error_decode(rules: &Rules, params: &Value) -> Outcome {
    let stream = Params::new(params).hex("bytes")?;
    let error = invoice_error::read(rules, &stream).map_err(refused)?;
    Ok(ResultObject::new()
        .with("records", shown(&error.records))
        .maybe(
            "erroneous_field",
            error.erroneous_field.map(|n| n.to_string()),
        )
        .maybe("suggested_value", error.suggested_value.map(hex))
        .maybe("error", error.error)
        .done())
}

pub(crate) fn invoice_error_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let records = records_of(p, "records")?;
    let stream = if unchecked(p)? {
        tlv::encode_unchecked(&records)
    } else {
        invoice_error::write(rules, &records).map_err(refused)?
    };
    Ok(ResultObject::new().with("bytes", hex(stream)).done())
}

/// What a writer answers: the stream, its string and its records.
fn written(prefix: &str, records: &[Record]) -> Value {
    let stream = tlv::encode_unchecked(records);
    ResultObject::new()
        .with("bytes", hex(&stream))
        .with("string", bech32::encode(prefix, &stream))
        .with("records", shown(records))
        .done()
}

/// `name@domain`, with or without the sign of bitcoin in front.
fn resolved_from(p: Params<'_>) -> Result<Option<Name>, OpError> {
    p.maybe("resolved_from", |p, name| {
        let text = p.str(name)?;
        let text = text.strip_prefix('₿').unwrap_or(text);
        let (user, domain) = text
            .split_once('@')
            .ok_or_else(|| OpError::invalid(format!("param {name} is {text}, not name@domain")))?;
        Ok(Name {
            name: user.into(),
            domain: domain.into(),
        })
    })
}

pub(crate) fn invoice_request_encode(rules: &Rules, params: &Value) -> Outcome {
    encode_request(rules, Params::new(params), Form::Answer)
}

pub(crate) fn refund_encode(rules: &Rules, params: &Value) -> Outcome {
    encode_request(rules, Params::new(params), Form::Refund)
}

fn encode_request(rules: &Rules, p: Params<'_>, form: Form) -> Outcome {
    let records = records_of(p, "records")?;
    let secret = p.maybe("secret_key", secret_key)?;
    let offer = offer_of(p)?;
    let name = resolved_from(p)?;
    let writer = invoice_request::Writer {
        offer: offer.as_ref(),
        chain: p.maybe("chain", Params::array::<32>)?,
        resolved_from: name.as_ref(),
        converted: p.maybe("converted_amount", Params::u64)?,
        secret: secret.as_ref(),
    };
    let records = match (unchecked(p)?, &secret) {
        (true, Some(secret)) => bolt12::sign(invoice_request::MESSAGE, &records, secret),
        (true, None) => records,
        (false, _) => invoice_request::write(rules, form, &records, &writer).map_err(refused)?,
    };
    Ok(written(invoice_request::PREFIX, &records))
}

pub(crate) fn invoice_encode(rules: &Rules, params: &Value) -> Outcome {
    encode_invoice(rules, Params::new(params), Kind::Invoice)
}

pub(crate) fn static_invoice_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    encode_invoice(rules, p, static_kind(p)?)
}

fn encode_invoice(rules: &Rules, p: Params<'_>, kind: Kind) -> Outcome {
    let records = records_of(p, "records")?;
    let secret = p.maybe("secret_key", secret_key)?;
    let request = request_of(p)?;
    let allowed = p.maybe("allowed_features", hex_list)?;
    let writer = invoice::Writer {
        request: request.as_deref(),
        preimage: p.maybe("preimage", Params::array::<32>)?,
        multi_part: choice(p, "multi_part", &MULTI_PART)?,
        expiry: p.maybe("relative_expiry", Params::u32)?,
        expected_amount: p.maybe("expected_amount", Params::u64)?,
        allowed_features: allowed.as_deref(),
        sent_to: p.maybe("sent_to", Params::array::<33>)?,
        secret: secret.as_ref(),
    };
    let records = match (unchecked(p)?, &secret) {
        (true, Some(secret)) => bolt12::sign(kind.message(), &records, secret),
        (true, None) => records,
        (false, _) => invoice::write(rules, kind, &records, &writer).map_err(refused)?,
    };
    Ok(written(invoice::PREFIX, &records))
}

#[cfg(test)]
mod tests {
    use crate::Reference;
    use lnconform_drafts::bolt12::key_of;
    use lnconform_drafts::keys::SecretKey;
    use lnconform_drafts::rules;
    use lnconform_protocol::params::hex;
    use lnconform_protocol::{Answer, ErrorKind, OpError};
    use serde_json::{Value, json};

    fn ok(op: &str, params: Value) -> Value {
        match Reference::default().answer(op, &params) {
            Answer::Result(result) => result,
            other => panic!("{op} {params}: {other:?}"),
        }
    }

    fn refused(op: &str, params: Value) -> OpError {
        match Reference::default().answer(op, &params) {
            Answer::Error(error) => error,
            other => panic!("{op} {params}: {other:?}"),
        }
    }

    fn key(byte: u8) -> String {
        hex(key_of(&SecretKey::from_slice(&[byte; 32]).unwrap()))
    }

    fn secret(byte: u8) -> String {
        hex([byte; 32])
    }

    fn record(kind: u64, value: impl AsRef<[u8]>) -> Value {
        json!({"type": kind.to_string(), "value": hex(value)})
    }

    /// A path whose one hop is `end`.
    fn path(end: u8) -> String {
        format!("{0}{0}01{1}0001aa", key(9), key(end))
    }

    fn payinfo() -> String {
        format!("{:08x}{:08x}{:04x}{:016x}{:016x}0000", 1, 2, 3, 4, 5)
    }

    fn offer_records() -> Vec<Value> {
        vec![
            record(8, [100]),
            record(10, "tea"),
            json!({"type": "20", "value": ""}),
            json!({"type": "22", "value": key(7)}),
        ]
    }

    fn request_records() -> Vec<Value> {
        let mut records = vec![record(0, [1; 8])];
        records.extend(offer_records());
        records.push(record(86, [2]));
        records.push(json!({"type": "88", "value": key(5)}));
        records.push(record(89, "thanks"));
        records.push(record(91, b"\x01a\x01b"));
        records
    }

    #[test]
    fn offer_request_and_invoice_follow_on_each_other() {
        let offer = ok("bolt12.offer.encode", json!({"records": offer_records()}))["offer"].clone();
        let request = ok(
            "bolt12.invoice_request.encode",
            json!({
                "records": request_records(), "offer": offer, "secret_key": secret(5),
                "resolved_from": "₿a@b",
            }),
        );
        for input in [
            json!({"bytes": request["bytes"]}),
            json!({"string": request["string"]}),
        ] {
            let read = ok("bolt12.invoice_request.decode", input);
            assert_eq!(read["records"], request["records"]);
            assert_eq!(read["offer_amount"], "100");
            assert_eq!(read["offer_issuer_id"], json!(key(7)));
            assert_eq!(read["invreq_metadata"], "0101010101010101");
            assert_eq!(read["invreq_quantity"], "2");
            assert_eq!(read["invreq_payer_id"], json!(key(5)));
            assert_eq!(read["invreq_payer_note"], "thanks");
            assert_eq!(
                read["invreq_bip_353_name"],
                json!({"name": "a", "domain": "b"})
            );
            assert_eq!(read["expected_amount"], "200");
            assert_eq!(read["reply_to"], "reply-path");
            assert_eq!(read["signature"].as_str().map(str::len), Some(128));
            assert_eq!(read.get("invreq_amount"), None);
        }
        let response = ok(
            "bolt12.invoice_request.respond",
            json!({"bytes": request["bytes"], "offer": offer, "via": "direct",
                "seen": ["0101010101010101"], "repeat": true}),
        );
        assert_eq!(
            response,
            json!({"expected_amount": "200", "invoice_amount": "200", "node_ids": [key(7)],
                "reply_to": "reply-path", "may_repeat": true})
        );

        let mut records = request_records();
        records.extend([
            json!({"type": "160", "value": path(7)}),
            json!({"type": "162", "value": payinfo()}),
            record(164, [100]),
            json!({"type": "168", "value": hex(lnconform_drafts::keys::sha256(&[&[3; 32]]))}),
            record(170, [200]),
            record(172, [17, 0, 2, 1, 1, 1, 0, 2, 1, 1]),
            record(174, [2, 0, 0]),
            json!({"type": "176", "value": key(7)}),
        ]);
        let params = json!({
            "records": records, "secret_key": secret(7), "request": request["bytes"],
            "preimage": secret(3), "multi_part": "allowed", "expiry": 7200,
            "expected_amount": "200", "allowed_features": [""],
        });
        // A fallback of version 17 is no witness program.
        let error = refused("bolt12.invoice.encode", params.clone());
        assert_eq!(
            error.rule.as_deref(),
            Some(rules::INVOICE_WRITER_FALLBACK_PROGRAM)
        );
        let mut unchecked = params;
        unchecked["unchecked"] = json!(true);
        let invoice = ok("bolt12.invoice.encode", unchecked);
        let read = ok(
            "bolt12.invoice.decode",
            json!({"string": invoice["string"], "now": "7300"}),
        );
        assert_eq!(read["invoice_amount"], "200");
        assert_eq!(
            read["invoice_blindedpay"],
            json!([{"fee_base_msat": 1, "fee_proportional_millionths": 2, "cltv_expiry_delta": 3,
                "htlc_minimum_msat": "4", "htlc_maximum_msat": "5", "features": ""}])
        );
        assert_eq!(
            read["usable_fallbacks"],
            json!([{"version": 1, "address": "0101"}])
        );
        assert_eq!(read["usable_paths"], json!([0]));
        assert_eq!(read["expiry"], "7300");
        let matched = ok(
            "bolt12.invoice.match",
            json!({"bytes": invoice["bytes"], "request": request["bytes"], "via": "reply-path",
                "parts": [0, 0], "now": "7300"}),
        );
        assert_eq!(
            matched,
            json!({"matches": true, "invoice_amount": "200", "invoice_node_id": key(7),
                "usable_paths": [0], "multi_part": "allowed"})
        );
        let error = refused(
            "bolt12.invoice.match",
            json!({"bytes": invoice["bytes"], "request": "0000"}),
        );
        assert_eq!(
            (error.kind, error.rule.as_deref()),
            (ErrorKind::Invalid, Some(rules::INVOICE_MIRROR))
        );
        let error = refused(
            "bolt12.invoice.decode",
            json!({"bytes": invoice["bytes"], "now": "7301"}),
        );
        assert_eq!(
            (error.kind, error.rule.as_deref()),
            (ErrorKind::Rejected, Some(rules::INVOICE_EXPIRY_DEFAULT))
        );
    }

    #[test]
    fn refunds_and_errors_are_written_and_read() {
        let records = json!([
            record(0, [1; 8]),
            record(10, "back"),
            record(82, [100]),
            {"type": "88", "value": key(5)},
        ]);
        let refund = ok("bolt12.refund.encode", json!({"records": records}));
        for op in ["bolt12.refund.decode", "bolt12.invoice_request.decode"] {
            let read = ok(op, json!({"string": refund["string"]}));
            assert_eq!(read["records"], records);
            assert_eq!(read["reply_to"], "payer-id");
            assert_eq!(read.get("signature"), None);
        }
        let answer = ok(
            "bolt12.invoice_request.encode",
            json!({"records": request_records(), "secret_key": secret(5)}),
        );
        let error = refused("bolt12.refund.decode", json!({"bytes": answer["bytes"]}));
        assert_eq!(error.rule.as_deref(), Some(rules::INVREQ_REFUND));

        let records = json!([record(1, [82]), record(3, [101]), record(5, "too little")]);
        let stream = ok("bolt12.invoice_error.encode", json!({"records": records}));
        assert_eq!(
            ok("bolt12.invoice_error.decode", stream),
            json!({"records": records, "erroneous_field": "82", "suggested_value": "65",
                "error": "too little"})
        );
    }

    #[test]
    fn static_invoices_are_written_and_read_in_their_dialect() {
        for (dialect, kind, other) in [
            ("async/ldk", "236", "async/pr-1149"),
            ("async/pr-1149", "178", "async/ldk"),
        ] {
            let mut records = offer_records();
            records.extend([
                json!({"type": "160", "value": path(7)}),
                json!({"type": "162", "value": payinfo()}),
                record(164, [100]),
                json!({"type": "176", "value": key(7)}),
                json!({"type": kind, "value": path(7).repeat(2)}),
            ]);
            let params = json!({"records": records, "secret_key": secret(7), "dialect": dialect});
            let bytes = ok("bolt12.static_invoice.encode", params)["bytes"].clone();
            let params = json!({"bytes": bytes, "dialect": dialect, "now": "1209700"});
            let read = ok("bolt12.static_invoice.decode", params);
            let paths = read["invoice_message_paths"].as_array().map(Vec::len);
            assert_eq!(paths, Some(2));
            assert_eq!(read["expiry"], "1209700");
            let params = json!({"bytes": bytes, "dialect": other});
            let error = refused("bolt12.static_invoice.decode", params);
            assert_eq!(error.rule.as_deref(), Some(rules::TLV_UNKNOWN_EVEN));
        }
    }

    #[test]
    fn unfit_params_are_named() {
        for (op, params, want) in [
            ("bolt12.invoice.decode", json!({}), "string is missing"),
            ("bolt12.invoice.decode", json!({"string": "lno1qq"}), "lni"),
            (
                "bolt12.invoice_request.respond",
                json!({"bytes": "", "via": "owl"}),
                "offer-path",
            ),
            (
                "bolt12.static_invoice.decode",
                json!({"bytes": "", "dialect": "async/owl"}),
                "async/ldk",
            ),
            (
                "bolt12.invoice_request.encode",
                json!({"records": [], "resolved_from": "owl"}),
                "name@domain",
            ),
            (
                "bolt12.invoice.match",
                json!({"bytes": "", "request": "00"}),
                "request is no stream",
            ),
            (
                "bolt12.invoice.match",
                json!({"bytes": "", "parts": ["1"]}),
                "parts",
            ),
        ] {
            let error = refused(op, params);
            assert_eq!((error.kind, &error.rule), (ErrorKind::Invalid, &None));
            assert!(error.message.contains(want), "{}", error.message);
        }
    }
}
