//! Codec operations, answered by one version of `lightning`.
//!
//! This file is compiled once for each version: `super` says which.
//!
//! Field names of messages that hold several groups of fields are the specification's own
//! (`offer_amount`, `invreq_amount`, `invoice_amount`); those of an offer go without their prefix.
//! Named fields are there only when their record is.

use super::lightning::bitcoin::Address;
use super::lightning::bitcoin::Network;
use super::lightning::bitcoin::constants::ChainHash;
use super::lightning::bitcoin::secp256k1::schnorr::Signature;
use super::lightning::bitcoin::secp256k1::{Keypair, PublicKey, Secp256k1, SecretKey};
use super::lightning::blinded_path::message::BlindedMessagePath;
use super::lightning::blinded_path::payment::{
    BlindedPaymentPath, PaymentConstraints, PaymentRelay,
};
use super::lightning::blinded_path::{BlindedHop, Direction, IntroductionNode};
use super::lightning::bolt11_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef};
use super::lightning::io::{self, Read};
use super::lightning::ln::msgs::DecodeError;
use super::lightning::offers::invoice::{Bolt12Invoice, UnsignedBolt12Invoice};
use super::lightning::offers::invoice_error::InvoiceError;
use super::lightning::offers::invoice_request::{InvoiceRequest, UnsignedInvoiceRequest};
use super::lightning::offers::merkle::{TaggedHash, verify_signature};
use super::lightning::offers::offer::{Amount, Offer, Quantity};
use super::lightning::offers::parse::{Bolt12ParseError, Bolt12SemanticError};
use super::lightning::offers::refund::Refund;
use super::lightning::offers::static_invoice::StaticInvoice;
use super::lightning::util::ser::{BigSize, FixedLengthReader, Readable, Writeable};
use super::{MORE, NAME, VERSION, dns, held_htlc_paths, lightning, more, onion};
use lnconform_protocol::outcome::{Fail, Outcome, answer};
use lnconform_protocol::params::{Params, ResultObject, hex, records};
use lnconform_protocol::{Answer, Handler, Hello, Implementation, OpError, PROTOCOL};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::Duration;

/// Operations that this version answers.
pub const OPERATIONS: [&str; 15] = [
    "bigsize.decode",
    "bigsize.encode",
    "tlv.decode",
    "tlv.namespace.decode",
    "bolt11.decode",
    "bolt12.offer.decode",
    "bolt12.refund.decode",
    "bolt12.invoice_request.decode",
    "bolt12.invoice.decode",
    "bolt12.static_invoice.decode",
    "bolt12.invoice_error.decode",
    "bolt12.sign",
    "bolt12.verify",
    "dns.query.decode",
    "dns.proof.decode",
];

/// The handler of the codec operations; it keeps no state.
#[derive(Debug)]
pub struct Codec;

impl Handler for Codec {
    fn hello(&self) -> Hello {
        Hello {
            implementation: Implementation {
                name: NAME.into(),
                version: VERSION.into(),
                language: "Rust".into(),
                source: "https://github.com/lightningdevkit/rust-lightning".into(),
            },
            protocol: PROTOCOL,
            operations: OPERATIONS
                .iter()
                .chain(&onion::OPERATIONS)
                .chain(MORE)
                .map(|&op| op.into())
                .collect(),
            dialects: vec!["async/ldk".into()],
        }
    }

    fn call(&mut self, op: &str, params: &Value) -> Answer {
        answer(call(op, Params::new(params)))
    }
}

fn call(op: &str, params: Params<'_>) -> Outcome {
    match op {
        "bigsize.decode" => bigsize_decode(params),
        "bigsize.encode" => bigsize_encode(params),
        "tlv.decode" => tlv_decode(params),
        "tlv.namespace.decode" => namespace_decode(params),
        "bolt11.decode" => bolt11_decode(params),
        "bolt12.offer.decode" => offer_decode(params),
        "bolt12.refund.decode" => refund_decode(params),
        "bolt12.invoice_request.decode" => invoice_request_decode(params),
        "bolt12.invoice.decode" => invoice_decode(params),
        "bolt12.static_invoice.decode" => static_invoice_decode(params),
        "bolt12.invoice_error.decode" => invoice_error_decode(params),
        "bolt12.invoice_request.respond" => Err(Fail::Unsupported(
            "LDK tells requests for its own offers by a MAC in their metadata, inside the node"
                .into(),
        )),
        "bolt12.invoice.match" => Err(Fail::Unsupported(
            "LDK tells invoices for its own requests by a MAC in their metadata, inside the node"
                .into(),
        )),
        "bolt12.sign" => sign(params),
        "bolt12.verify" => verify(params),
        "dns.query.decode" => dns::query_decode(params),
        "dns.proof.decode" => dns::proof_decode(params),
        _ => onion::call(op, params)
            .or_else(|| more(op, params))
            .unwrap_or_else(|| Err(Fail::Unsupported(format!("{NAME} has no operation {op}")))),
    }
}

/// LDK's own word for what is wrong, with what was being read.
pub(super) fn refused(what: &str, e: &impl Debug) -> Fail {
    OpError::invalid(format!("{what}: {e:?}")).into()
}

/// As [`refused`], for a BOLT 12 message: LDK tells what is wrong from what it cannot do.
pub(super) fn refused_message(what: &str, e: Bolt12ParseError) -> Fail {
    match e {
        Bolt12ParseError::InvalidSemantics(Bolt12SemanticError::UnsupportedCurrency) => {
            Fail::Unsupported(format!("LDK reads no {what} for an amount in a currency"))
        }
        e => refused(what, &e),
    }
}

/// What LDK reads but does not answer: features that it must know and does not. Its own test for
/// that is the first thing it does when it is asked to request or to send an invoice.
fn unanswered(what: &str) -> Fail {
    OpError::invalid(format!(
        "{what}: UnknownRequiredFeatures (read, but LDK does not answer it)"
    ))
    .into()
}

fn bigsize_decode(params: Params<'_>) -> Outcome {
    let bytes = params.hex("bytes")?;
    let mut rest = &bytes[..];
    let value = BigSize::read(&mut rest).map_err(|e| refused("bigsize", &e))?;
    Ok(json!({"value": value.0.to_string(), "rest": hex(rest)}))
}

fn bigsize_encode(params: Params<'_>) -> Outcome {
    Ok(json!({"bytes": hex(BigSize(params.u64("value")?).encode())}))
}

pub(super) type Records = Vec<(u64, Vec<u8>)>;

/// Splits a stream with LDK's reader. What it rejects (order, duplicates, lengths, even types that
/// `knows` does not know) is its own doing; only what is kept of each record is ours.
///
/// LDK documents `decode_tlv_stream!` and hides the form with a handler for further types, which
/// is the only one that does not fix the known types when it is compiled.
#[expect(clippy::drop_non_drop, reason = "in LDK's macro")]
fn read_records(stream: &[u8], knows: impl Fn(u64) -> bool) -> Result<Records, DecodeError> {
    let mut found = Records::new();
    let mut left = stream;
    let stream = &mut left;
    let mut keep = |kind: u64, value: &mut FixedLengthReader<'_, &[u8]>| {
        if kind.is_multiple_of(2) && !knows(kind) {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        let mut chunk = [0; 1024];
        loop {
            match value.read(&mut chunk)? {
                0 => break,
                n => bytes.extend_from_slice(&chunk[..n]),
            }
        }
        found.push((kind, bytes));
        Ok::<bool, DecodeError>(true)
    };
    // Never called: the range below has no end to step back over.
    let rewind = |_: &mut &[u8], _: usize| {};
    lightning::_decode_tlv_stream_range!(stream, .., rewind, {}, keep);
    Ok(found)
}

/// Records of a stream in order, whatever their types; `None` where it is no stream.
pub(super) fn records_of_stream(stream: &[u8]) -> Option<Records> {
    read_records(stream, |_| true).ok()
}

/// Records of a message that LDK has accepted.
pub(super) fn accepted(bytes: &[u8]) -> Result<Records, Fail> {
    read_records(bytes, |_| true).map_err(|e| {
        OpError::internal(format!(
            "LDK accepts the message, but not its TLV stream: {e:?}"
        ))
        .into()
    })
}

fn shown(found: &Records) -> Value {
    records(found.iter().map(|(kind, value)| (*kind, &value[..])))
}

fn has(found: &Records, kind: u64) -> bool {
    found.iter().any(|(k, _)| *k == kind)
}

fn value_of(found: &Records, kind: u64) -> Option<&[u8]> {
    let record = found.iter().find(|(k, _)| *k == kind);
    record.map(|(_, value)| &value[..])
}

fn tlv_decode(params: Params<'_>) -> Outcome {
    let stream = params.hex("stream")?;
    let mut known = Vec::new();
    for kind in params.list("known")? {
        // Types are 64-bit fields, so decimal strings.
        known.push(Params::new(&json!({ "known": kind })).u64("known")?);
    }
    let found =
        read_records(&stream, |kind| known.contains(&kind)).map_err(|e| refused("stream", &e))?;
    Ok(json!({"records": shown(&found)}))
}

/// Zero bytes, then the reader.
struct ZerosThen<'a, R> {
    zeros: usize,
    reader: &'a mut R,
}

impl<R: Read> Read for ZerosThen<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.zeros == 0 {
            return self.reader.read(buffer);
        }
        let n = self.zeros.min(buffer.len());
        buffer[..n].fill(0);
        self.zeros -= n;
        Ok(n)
    }
}

/// A truncated integer. LDK's own reader for one is private, but two public types end in one: it
/// is reached through them, past fixed fields of zero bytes.
struct Tu64(u64);

impl Readable for Tu64 {
    fn read<R: Read>(reader: &mut R) -> Result<Self, DecodeError> {
        let mut reader = ZerosThen { zeros: 4, reader };
        PaymentConstraints::read(&mut reader).map(|v| Tu64(v.htlc_minimum_msat))
    }
}

/// As [`Tu64`], of up to four bytes.
struct Tu32(u32);

impl Readable for Tu32 {
    fn read<R: Read>(reader: &mut R) -> Result<Self, DecodeError> {
        let mut reader = ZerosThen { zeros: 6, reader };
        PaymentRelay::read(&mut reader).map(|v| Tu32(v.fee_base_msat))
    }
}

/// BOLT 1, appendix B: the namespace `n1`.
#[derive(Default)]
struct N1 {
    tlv1: Option<Tu64>,
    tlv2: Option<u64>,
    tlv3: Option<(PublicKey, u64, u64)>,
    tlv4: Option<u16>,
}

#[expect(clippy::drop_non_drop, reason = "in LDK's macro")]
fn read_n1(mut stream: &[u8]) -> Result<N1, DecodeError> {
    let stream = &mut stream;
    let N1 {
        mut tlv1,
        mut tlv2,
        mut tlv3,
        mut tlv4,
    } = N1::default();
    lightning::decode_tlv_stream!(stream, {
        (1, tlv1, option),
        (2, tlv2, option),
        (3, tlv3, option),
        (254, tlv4, option),
    });
    Ok(N1 {
        tlv1,
        tlv2,
        tlv3,
        tlv4,
    })
}

/// BOLT 1, appendix B: the namespace `n2`.
#[derive(Default)]
struct N2 {
    tlv1: Option<Tu64>,
    tlv2: Option<Tu32>,
}

#[expect(clippy::drop_non_drop, reason = "in LDK's macro")]
fn read_n2(mut stream: &[u8]) -> Result<N2, DecodeError> {
    let stream = &mut stream;
    let N2 { mut tlv1, mut tlv2 } = N2::default();
    lightning::decode_tlv_stream!(stream, {
        (0, tlv1, option),
        (11, tlv2, option),
    });
    Ok(N2 { tlv1, tlv2 })
}

/// Short channel id in its usual form: block, transaction, output.
fn scid(id: u64) -> String {
    format!("{}x{}x{}", id >> 40, id >> 16 & 0xff_ffff, id & 0xffff)
}

fn namespace_decode(params: Params<'_>) -> Outcome {
    let stream = params.hex("stream")?;
    let fields = match params.str("namespace")? {
        "n1" => {
            let n1 = read_n1(&stream).map_err(|e| refused("n1", &e))?;
            ResultObject::new()
                .maybe(
                    "tlv1",
                    n1.tlv1.map(|v| json!({"amount_msat": v.0.to_string()})),
                )
                .maybe("tlv2", n1.tlv2.map(|v| json!({"scid": scid(v)})))
                .maybe(
                    "tlv3",
                    n1.tlv3.map(|(node, one, two)| {
                        json!({
                            "node_id": node.to_string(),
                            "amount_msat_1": one.to_string(),
                            "amount_msat_2": two.to_string(),
                        })
                    }),
                )
                .maybe("tlv4", n1.tlv4.map(|v| json!({ "cltv_delta": v })))
        }
        "n2" => {
            let n2 = read_n2(&stream).map_err(|e| refused("n2", &e))?;
            ResultObject::new()
                .maybe(
                    "tlv1",
                    n2.tlv1.map(|v| json!({"amount_msat": v.0.to_string()})),
                )
                .maybe("tlv2", n2.tlv2.map(|v| json!({"cltv_expiry": v.0})))
        }
        other => {
            return Err(
                OpError::invalid(format!("param namespace is {other}, not n1 or n2")).into(),
            );
        }
    };
    let found = accepted(&stream)?;
    Ok(json!({"records": shown(&found), "fields": fields.done()}))
}

/// Positions of the bits that are set, lowest first; `le` is the field, last byte first.
fn bits(le: &[u8]) -> Vec<usize> {
    (0..le.len() * 8)
        .filter(|bit| le[bit / 8] >> (bit % 8) & 1 == 1)
        .collect()
}

/// A feature field as it stands on the wire, highest byte first.
fn feature_bytes(le: &[u8]) -> String {
    hex(le.iter().rev().copied().collect::<Vec<u8>>())
}

fn bolt11_decode(params: Params<'_>) -> Outcome {
    let invoice: Bolt11Invoice = params
        .str("invoice")?
        .parse()
        .map_err(|e| refused("invoice", &e))?;
    if let Some(now) = params.maybe("now", Params::u64)?
        && invoice.would_expire(Duration::from_secs(now))
    {
        return Err(OpError::rejected("the invoice has expired").into());
    }
    let hints: Vec<Value> = invoice
        .route_hints()
        .iter()
        .map(|hint| {
            hint.0
                .iter()
                .map(|hop| {
                    json!({
                        "node_id": hop.src_node_id.to_string(),
                        "scid": scid(hop.short_channel_id),
                        "fee_base_msat": hop.fees.base_msat,
                        "fee_proportional_millionths": hop.fees.proportional_millionths,
                        "cltv_expiry_delta": hop.cltv_expiry_delta,
                    })
                })
                .collect()
        })
        .collect();
    let (description, description_hash) = match invoice.description() {
        Bolt11InvoiceDescriptionRef::Direct(text) => (Some(text.as_inner().0.clone()), None),
        Bolt11InvoiceDescriptionRef::Hash(hash) => (None, Some(hash.0.to_string())),
    };
    Ok(ResultObject::new()
        .with("network", network(invoice.network()))
        .maybe(
            "amount_msat",
            invoice.amount_milli_satoshis().map(|v| v.to_string()),
        )
        .with(
            "timestamp",
            invoice.duration_since_epoch().as_secs().to_string(),
        )
        .with("payment_hash", invoice.payment_hash().to_string())
        .with("payment_secret", hex(invoice.payment_secret().0))
        .with("payee", invoice.get_payee_pub_key().to_string())
        .maybe("features", invoice.features().map(|f| bits(f.le_flags())))
        .with("expiry", invoice.expiry_time().as_secs().to_string())
        .with(
            "min_final_cltv_expiry",
            invoice.min_final_cltv_expiry_delta(),
        )
        .with("route_hints", hints)
        .maybe("description", description)
        .maybe("description_hash", description_hash)
        .maybe("payment_metadata", invoice.payment_metadata().map(hex))
        .done())
}

fn network(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "bitcoin",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
        _ => "testnet",
    }
}

fn chain(chain: &ChainHash) -> String {
    hex(chain.to_bytes())
}

fn path(node: &IntroductionNode, path_key: PublicKey, hops: &[BlindedHop]) -> Value {
    let first = match node {
        IntroductionNode::NodeId(id) => id.to_string(),
        IntroductionNode::DirectedShortChannelId(direction, scid) => {
            let direction = match direction {
                Direction::NodeOne => "00",
                Direction::NodeTwo => "01",
            };
            format!("{direction}{}", hex(scid.to_be_bytes()))
        }
    };
    let hops: Vec<Value> = hops
        .iter()
        .map(|hop| {
            json!({
                "blinded_node_id": hop.blinded_node_id.to_string(),
                "encrypted_recipient_data": hex(&hop.encrypted_payload),
            })
        })
        .collect();
    json!({"first_node_id": first, "first_path_key": path_key.to_string(), "hops": hops})
}

pub(super) fn message_path(p: &BlindedMessagePath) -> Value {
    path(p.introduction_node(), p.blinding_point(), p.blinded_hops())
}

pub(super) fn message_paths(paths: &[BlindedMessagePath]) -> Option<Vec<Value>> {
    (!paths.is_empty()).then(|| paths.iter().map(message_path).collect())
}

fn payment_paths(paths: &[BlindedPaymentPath]) -> Vec<Value> {
    paths
        .iter()
        .map(|p| path(p.introduction_node(), p.blinding_point(), p.blinded_hops()))
        .collect()
}

fn blinded_pay(paths: &[BlindedPaymentPath]) -> Vec<Value> {
    paths
        .iter()
        .map(|p| {
            json!({
                "fee_base_msat": p.payinfo.fee_base_msat,
                "fee_proportional_millionths": p.payinfo.fee_proportional_millionths,
                "cltv_expiry_delta": p.payinfo.cltv_expiry_delta,
                "htlc_minimum_msat": p.payinfo.htlc_minimum_msat.to_string(),
                "htlc_maximum_msat": p.payinfo.htlc_maximum_msat.to_string(),
                "features": feature_bytes(p.payinfo.features.le_flags()),
            })
        })
        .collect()
}

/// The fields of an offer, wherever they stand.
#[derive(Default)]
struct OfferFields {
    chains: Vec<ChainHash>,
    metadata: Option<Vec<u8>>,
    amount: Option<Amount>,
    description: Option<String>,
    features: Vec<u8>,
    expiry: Option<Duration>,
    paths: Option<Vec<Value>>,
    issuer: Option<String>,
    quantity: Option<Quantity>,
    issuer_id: Option<PublicKey>,
}

impl OfferFields {
    /// Adds the fields whose records are there, each name with `prefix`.
    fn add(self, to: ResultObject, found: &Records, prefix: &str) -> ResultObject {
        let name = |field: &str| format!("{prefix}{field}");
        let (amount, currency) = match self.amount {
            Some(Amount::Bitcoin { amount_msats }) => (Some(amount_msats), None),
            Some(Amount::Currency {
                iso4217_code,
                amount,
            }) => (Some(amount), Some(iso4217_code.as_str().to_owned())),
            None => (None, None),
        };
        let quantity = match self.quantity {
            Some(Quantity::Bounded(n)) => Some(n.get()),
            Some(Quantity::Unbounded) => Some(0),
            Some(Quantity::One) | None => None,
        };
        // LDK fills these two in where they are absent.
        let chains = has(found, 2).then(|| Value::from_iter(self.chains.iter().map(chain)));
        let features = has(found, 12).then(|| feature_bytes(&self.features));
        to.maybe(&name("chains"), chains)
            .maybe(&name("metadata"), self.metadata.map(hex))
            .maybe(&name("amount"), amount.map(|v| v.to_string()))
            .maybe(&name("currency"), currency)
            .maybe(&name("description"), self.description)
            .maybe(&name("features"), features)
            .maybe(
                &name("absolute_expiry"),
                self.expiry.map(|v| v.as_secs().to_string()),
            )
            .maybe(&name("paths"), self.paths)
            .maybe(&name("issuer"), self.issuer)
            .maybe(&name("quantity_max"), quantity.map(|v| v.to_string()))
            .maybe(&name("issuer_id"), self.issuer_id.map(|v| v.to_string()))
    }
}

/// [`OfferFields`] of a type that has the accessors of an offer.
macro_rules! offer_fields {
    ($message: expr) => {
        OfferFields {
            chains: $message.chains(),
            metadata: $message.metadata().cloned(),
            amount: $message.amount(),
            description: $message.description().map(|v| v.0.to_owned()),
            features: $message.offer_features().le_flags().to_vec(),
            expiry: $message.absolute_expiry(),
            paths: message_paths($message.paths()),
            issuer: $message.issuer().map(|v| v.0.to_owned()),
            quantity: Some($message.supported_quantity()),
            issuer_id: $message.issuer_signing_pubkey(),
        }
    };
}

fn offer_decode(params: Params<'_>) -> Outcome {
    let text = params.str("offer")?;
    let now = params.maybe("now", Params::u64)?;
    let accepted_chains = match params.get("chains") {
        None => None,
        Some(_) => Some(
            params
                .list("chains")?
                .iter()
                .map(|chain| Params::new(&json!({ "chains": chain })).array::<32>("chains"))
                .collect::<Result<Vec<_>, _>>()?,
        ),
    };
    let offer: Offer = text.parse().map_err(|e| refused("offer", &e))?;
    if offer.offer_features().requires_unknown_bits() {
        return Err(unanswered("offer"));
    }
    if let Some(now) = now
        && offer.is_expired_no_std(Duration::from_secs(now))
    {
        return Err(OpError::rejected("the offer has expired").into());
    }
    if let Some(chains) = accepted_chains
        && !chains
            .iter()
            .any(|chain| offer.supports_chain(ChainHash::from(*chain)))
    {
        return Err(OpError::rejected("none of the offer's chains is accepted").into());
    }
    // LDK's own id of an offer is a tagged hash of its own and no field of the specification's.
    let found = accepted(&offer.encode())?;
    let result = ResultObject::new().with("records", shown(&found));
    Ok(offer_fields!(offer).add(result, &found, "").done())
}

/// The message's bytes; LDK reads no string of this kind.
fn stream(params: Params<'_>, what: &str) -> Result<Vec<u8>, Fail> {
    if params.get("bytes").is_none() && params.get("string").is_some() {
        return Err(Fail::Unsupported(format!(
            "LDK reads offers and refunds from strings, but {what} only from bytes"
        )));
    }
    Ok(params.hex("bytes")?)
}

/// Which chains are accepted is compared in the node, where the adapter's user cannot see it.
fn no_chains(params: Params<'_>, what: &str) -> Result<(), Fail> {
    match params.get("chains") {
        None => Ok(()),
        Some(_) => Err(Fail::Unsupported(format!(
            "LDK holds {what} against the chain of its node, not when it reads them"
        ))),
    }
}

/// The payer's name of BIP 353, from a message that has the accessor.
macro_rules! bip_353_name {
    ($message: expr) => {
        $message
            .offer_from_hrn()
            .as_ref()
            .map(|name| json!({"name": name.user(), "domain": name.domain()}))
    };
}

/// Fallback addresses that LDK offers to pay to, where the record is there.
fn fallbacks(found: &Records, usable: impl FnOnce() -> Vec<Address>) -> Option<Vec<Value>> {
    // Of an empty list of chains LDK's accessor would take bitcoin, after an assertion of its
    // debug builds.
    let chain = value_of(found, 2) != Some(&[]);
    (has(found, 172) && chain).then(|| {
        usable()
            .iter()
            .filter_map(Address::witness_program)
            .map(|program| {
                json!({
                    "version": program.version().to_num(),
                    "address": hex(program.program().as_bytes()),
                })
            })
            .collect()
    })
}

fn refund_decode(params: Params<'_>) -> Outcome {
    no_chains(params, "refunds")?;
    let refund = match params.maybe("string", Params::str)? {
        Some(string) => string.parse(),
        None => Refund::try_from(params.hex("bytes")?),
    }
    .map_err(|e| refused_message("refund", e))?;
    if refund.features().requires_unknown_bits() {
        return Err(unanswered("refund"));
    }
    if let Some(now) = params.maybe("now", Params::u64)?
        && refund.is_expired_no_std(Duration::from_secs(now))
    {
        return Err(OpError::rejected("the refund has expired").into());
    }
    let found = accepted(&refund.encode())?;
    let offer = OfferFields {
        description: Some(refund.description().0.to_owned()),
        expiry: refund.absolute_expiry(),
        issuer: refund.issuer().map(|v| v.0.to_owned()),
        ..OfferFields::default()
    };
    let result = ResultObject::new().with("records", shown(&found));
    let result = offer
        .add(result, &found, "offer_")
        .with("invreq_metadata", hex(refund.payer_metadata()))
        .maybe(
            "invreq_chain",
            has(&found, 80).then(|| chain(&refund.chain())),
        )
        .with("invreq_amount", refund.amount_msats().to_string())
        .maybe(
            "invreq_features",
            has(&found, 84).then(|| feature_bytes(refund.features().le_flags())),
        )
        .maybe("invreq_quantity", refund.quantity().map(|v| v.to_string()))
        .with("invreq_payer_id", refund.payer_signing_pubkey().to_string())
        .maybe(
            "invreq_payer_note",
            refund.payer_note().map(|v| v.0.to_owned()),
        )
        .maybe("invreq_paths", message_paths(refund.paths()));
    Ok(result.done())
}

/// Adds the fields of an invoice request from a type that has its accessors.
macro_rules! add_invreq_fields {
    ($message: expr, $amount: expr, $found: expr, $to: expr) => {
        $to.with("invreq_metadata", hex($message.payer_metadata()))
            .maybe(
                "invreq_chain",
                has($found, 80).then(|| chain(&$message.chain())),
            )
            .maybe(
                "invreq_amount",
                $amount.filter(|_| has($found, 82)).map(|v| v.to_string()),
            )
            .maybe(
                "invreq_features",
                has($found, 84)
                    .then(|| feature_bytes($message.invoice_request_features().le_flags())),
            )
            .maybe(
                "invreq_quantity",
                $message.quantity().map(|v| v.to_string()),
            )
            .with(
                "invreq_payer_id",
                $message.payer_signing_pubkey().to_string(),
            )
            .maybe(
                "invreq_payer_note",
                $message.payer_note().map(|v| v.0.to_owned()),
            )
    };
}

fn invoice_request_decode(params: Params<'_>) -> Outcome {
    let bytes = stream(params, "invoice requests")?;
    no_chains(params, "invoice requests")?;
    let request =
        InvoiceRequest::try_from(bytes).map_err(|e| refused_message("invoice request", e))?;
    if request.invoice_request_features().requires_unknown_bits() {
        return Err(unanswered("invoice request"));
    }
    let found = accepted(&request.encode())?;
    let result = ResultObject::new().with("records", shown(&found));
    let result = offer_fields!(request).add(result, &found, "offer_");
    let result = add_invreq_fields!(request, request.amount_msats(), &found, result)
        .maybe("invreq_bip_353_name", bip_353_name!(request))
        .with("signature", hex(request.signature().serialize()));
    Ok(result.done())
}

/// Adds the fields that both kinds of invoice have.
macro_rules! add_invoice_fields {
    ($invoice: expr, $found: expr, $to: expr) => {
        $to.with("invoice_paths", payment_paths($invoice.payment_paths()))
            .with("invoice_blindedpay", blinded_pay($invoice.payment_paths()))
            .with(
                "invoice_created_at",
                $invoice.created_at().as_secs().to_string(),
            )
            .maybe(
                "invoice_relative_expiry",
                has($found, 166).then(|| $invoice.relative_expiry().as_secs()),
            )
            .maybe(
                "invoice_features",
                has($found, 174).then(|| feature_bytes($invoice.invoice_features().le_flags())),
            )
            .maybe(
                "usable_fallbacks",
                fallbacks($found, || $invoice.fallbacks()),
            )
            .with("invoice_node_id", $invoice.signing_pubkey().to_string())
            // A sum beyond 64 bits has no end that could be shown.
            .maybe(
                "expiry",
                $invoice
                    .created_at()
                    .checked_add($invoice.relative_expiry())
                    .map(|end| end.as_secs().to_string()),
            )
            .with("signature", hex($invoice.signature().serialize()))
    };
}

fn invoice_decode(params: Params<'_>) -> Outcome {
    let bytes = stream(params, "invoices")?;
    no_chains(params, "invoices")?;
    let invoice = Bolt12Invoice::try_from(bytes).map_err(|e| refused_message("invoice", e))?;
    if invoice.invoice_features().requires_unknown_bits() {
        return Err(unanswered("invoice"));
    }
    if let Some(now) = params.maybe("now", Params::u64)?
        && invoice.is_expired_no_std(Duration::from_secs(now))
    {
        return Err(OpError::rejected("the invoice has expired").into());
    }
    let found = accepted(&invoice.encode())?;
    let offer = OfferFields {
        chains: invoice.offer_chains().unwrap_or_default(),
        metadata: invoice.metadata().cloned(),
        amount: invoice.amount(),
        description: invoice.description().map(|v| v.0.to_owned()),
        features: invoice
            .offer_features()
            .map(|f| f.le_flags().to_vec())
            .unwrap_or_default(),
        expiry: invoice.absolute_expiry(),
        // LDK answers the refund's paths here too; those are not the offer's.
        paths: message_paths(invoice.message_paths()).filter(|_| has(&found, 16)),
        issuer: invoice.issuer().map(|v| v.0.to_owned()),
        quantity: invoice.supported_quantity(),
        issuer_id: invoice.issuer_signing_pubkey(),
    };
    let result = ResultObject::new().with("records", shown(&found));
    let result = offer.add(result, &found, "offer_");
    // LDK keeps no accessor for the request's own amount: it is held against the invoice's.
    let result = add_invreq_fields!(invoice, Some(invoice.amount_msats()), &found, result);
    let result = add_invoice_fields!(invoice, &found, result)
        .with("invoice_payment_hash", hex(invoice.payment_hash().0))
        .with("invoice_amount", invoice.amount_msats().to_string());
    Ok(result.done())
}

fn static_invoice_decode(params: Params<'_>) -> Outcome {
    let bytes = stream(params, "static invoices")?;
    no_chains(params, "static invoices")?;
    if let Some(dialect) = params.maybe("dialect", Params::str)?
        && dialect != "async/ldk"
    {
        return Err(Fail::Unsupported(format!(
            "LDK reads static invoices of the dialect async/ldk, not {dialect}"
        )));
    }
    let invoice =
        StaticInvoice::try_from(bytes).map_err(|e| refused_message("static invoice", e))?;
    if invoice.invoice_features().requires_unknown_bits() {
        return Err(unanswered("static invoice"));
    }
    if let Some(now) = params.maybe("now", Params::u64)?
        && invoice.is_expired_no_std(Duration::from_secs(now))
    {
        return Err(OpError::rejected("the static invoice has expired").into());
    }
    let found = accepted(&invoice.encode())?;
    let offer = OfferFields {
        // Of no chains LDK's accessor would make bitcoin, after an assertion of its debug builds.
        chains: match value_of(&found, 2) {
            Some([]) => Vec::new(),
            _ => vec![invoice.chain()],
        },
        metadata: invoice.metadata().cloned(),
        amount: invoice.amount(),
        description: invoice.description().map(|v| v.0.to_owned()),
        features: invoice.offer_features().le_flags().to_vec(),
        expiry: invoice.absolute_expiry(),
        paths: message_paths(invoice.offer_message_paths()),
        issuer: invoice.issuer().map(|v| v.0.to_owned()),
        quantity: Some(invoice.supported_quantity()),
        issuer_id: invoice.issuer_signing_pubkey(),
    };
    let result = ResultObject::new().with("records", shown(&found));
    let result = offer.add(result, &found, "offer_");
    let result = add_invoice_fields!(invoice, &found, result).maybe(
        "invoice_message_paths",
        message_paths(held_htlc_paths(&invoice)),
    );
    Ok(result.done())
}

fn invoice_error_decode(params: Params<'_>) -> Outcome {
    let bytes = params.hex("bytes")?;
    // What LDK does with record 68 of an onion message, whose value this is.
    let mut rest = &bytes[..];
    let error = InvoiceError::read(&mut rest).map_err(|e| refused("invoice error", &e))?;
    if !rest.is_empty() {
        return Err(refused("invoice error", &DecodeError::InvalidValue));
    }
    let field = error.erroneous_field;
    let suggested = field.as_ref().and_then(|f| f.suggested_value.as_ref());
    Ok(ResultObject::new()
        .maybe(
            "erroneous_field",
            field.as_ref().map(|f| f.tlv_fieldnum.to_string()),
        )
        .maybe("suggested_value", suggested.map(hex))
        .with("error", error.message.0)
        .done())
}

/// An unsigned message, which is all that LDK's public interface hashes.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives as long as one request, on the stack"
)]
enum Unsigned {
    Request(UnsignedInvoiceRequest),
    Invoice(UnsignedBolt12Invoice),
}

impl Unsigned {
    fn read(params: Params<'_>) -> Result<Self, Fail> {
        let name = params.str("message_name")?;
        let field = params.str("field_name")?;
        let mut bytes = Vec::new();
        for (kind, value) in params.records("records")? {
            // BOLT 12, signature calculation: records 240 to 1000 are not signed.
            if (240..=1000).contains(&kind) {
                continue;
            }
            bytes.extend(BigSize(kind).encode());
            bytes.extend(BigSize(value.len() as u64).encode());
            bytes.extend(value);
        }
        // What LDK's reader refuses it does not hash; that says nothing of a signature.
        let unhashed = |e: Bolt12ParseError| match e {
            Bolt12ParseError::InvalidSemantics(e) => Fail::Unsupported(format!(
                "LDK's public interface hashes only what its reader accepts, and this {name} is \
                 {e:?}"
            )),
            e => refused(name, &e),
        };
        match (name, field) {
            ("invoice_request", "signature") => UnsignedInvoiceRequest::try_from(bytes)
                .map(Unsigned::Request)
                .map_err(unhashed),
            ("invoice", "signature") => UnsignedBolt12Invoice::try_from(bytes)
                .map(Unsigned::Invoice)
                .map_err(unhashed),
            _ => Err(Fail::Unsupported(format!(
                "LDK's public interface hashes invoice requests and invoices for their \
                 signature, not {name} for {field}"
            ))),
        }
    }

    fn hash(&self) -> &TaggedHash {
        match self {
            Unsigned::Request(request) => request.as_ref(),
            Unsigned::Invoice(invoice) => invoice.as_ref(),
        }
    }
}

fn sign(params: Params<'_>) -> Outcome {
    let secret = SecretKey::from_slice(&params.array::<32>("secret_key")?)
        .map_err(|e| refused("secret_key", &e))?;
    let secp = Secp256k1::new();
    let keys = Keypair::from_secret_key(&secp, &secret);
    // No auxiliary randomness: the same request has the same answer.
    let signature =
        match Unsigned::read(params)? {
            Unsigned::Request(request) => {
                let by = |m: &UnsignedInvoiceRequest| {
                    Ok(secp.sign_schnorr_no_aux_rand(
                        AsRef::<TaggedHash>::as_ref(m).as_digest(),
                        &keys,
                    ))
                };
                request
                    .sign(by)
                    .map(|r| r.signature())
                    .map_err(|e| refused("sign", &e))?
            }
            Unsigned::Invoice(invoice) => {
                let by = |m: &UnsignedBolt12Invoice| {
                    Ok(secp.sign_schnorr_no_aux_rand(
                        AsRef::<TaggedHash>::as_ref(m).as_digest(),
                        &keys,
                    ))
                };
                invoice
                    .sign(by)
                    .map(|r| r.signature())
                    .map_err(|e| refused("sign", &e))?
            }
        };
    Ok(json!({"signature": hex(signature.serialize())}))
}

fn verify(params: Params<'_>) -> Outcome {
    let mut key = params.hex("public_key")?;
    if key.len() == 32 {
        // An x-only key stands for the point with the even y; LDK wants it written out.
        key.insert(0, 2);
    }
    let key = PublicKey::from_slice(&key).map_err(|e| refused("public_key", &e))?;
    let signature = Signature::from_slice(&params.array::<64>("signature")?)
        .map_err(|e| refused("signature", &e))?;
    let unsigned = Unsigned::read(params)?;
    Ok(json!({"valid": verify_signature(&signature, unsigned.hash(), key).is_ok()}))
}

#[cfg(test)]
mod tests {
    use super::lightning::offers::offer::OfferBuilder;
    use super::lightning::offers::refund::RefundBuilder;
    use super::*;
    use lnconform_protocol::ErrorKind;
    use lnconform_protocol::outcome::answer;

    fn ask(op: &str, params: Value) -> Answer {
        answer(call(op, Params::new(&params)))
    }

    fn result(op: &str, params: Value) -> Value {
        match ask(op, params.clone()) {
            Answer::Result(value) => value,
            other => panic!("{op} {params}: {other:?}"),
        }
    }

    fn error(op: &str, params: Value) -> OpError {
        match ask(op, params.clone()) {
            Answer::Error(e) => e,
            other => panic!("{op} {params}: {other:?}"),
        }
    }

    fn key(byte: u8) -> Keypair {
        Keypair::from_secret_key(
            &Secp256k1::new(),
            &SecretKey::from_slice(&[byte; 32]).unwrap(),
        )
    }

    fn offer() -> Offer {
        OfferBuilder::new(key(0x41).public_key())
            .amount_msats(1000)
            .description("tea".into())
            .issuer("shop".into())
            .chain(Network::Regtest)
            .absolute_expiry(Duration::from_secs(100))
            .supported_quantity(Quantity::Bounded(5.try_into().unwrap()))
            .build()
            .unwrap()
    }

    #[test]
    fn every_listed_operation_names_the_param_that_is_missing() {
        for op in OPERATIONS {
            let e = error(op, json!({}));
            assert_eq!(e.kind, ErrorKind::Invalid, "{op}");
            assert!(e.message.contains("is missing"), "{op}: {e:?}");
        }
        assert!(matches!(
            ask("onion.peel", json!({})),
            Answer::Unsupported(_)
        ));
    }

    #[test]
    fn an_offer_of_ldks_own_builder_comes_back_field_by_field() {
        let offer = offer();
        let got = result("bolt12.offer.decode", json!({"offer": offer.to_string()}));
        assert_eq!(
            got,
            json!({
                "records": got["records"],
                "chains": [hex(ChainHash::using_genesis_block(Network::Regtest).to_bytes())],
                "amount": "1000",
                "description": "tea",
                "absolute_expiry": "100",
                "issuer": "shop",
                "quantity_max": "5",
                "issuer_id": key(0x41).public_key().to_string(),
            })
        );
        let mut again = Vec::new();
        for (kind, value) in Params::new(&got).records("records").unwrap() {
            again.extend(BigSize(kind).encode());
            again.extend(BigSize(value.len() as u64).encode());
            again.extend(value);
        }
        assert_eq!(again, offer.encode());
    }

    #[test]
    fn an_offer_is_held_against_the_time_and_the_chains_only_where_they_are_given() {
        let offer = offer().to_string();
        let ask = |more: Value| {
            let mut params = more;
            params["offer"] = offer.clone().into();
            ask("bolt12.offer.decode", params)
        };
        let main = hex(ChainHash::BITCOIN.to_bytes());
        let regtest = hex(ChainHash::REGTEST.to_bytes());
        for right in [
            json!({}),
            json!({"now": "100"}),
            json!({"chains": [main, regtest]}),
        ] {
            assert!(matches!(ask(right.clone()), Answer::Result(_)), "{right}");
        }
        for wrong in [json!({"now": "101"}), json!({ "chains": [main] })] {
            match ask(wrong.clone()) {
                Answer::Error(e) => assert_eq!(e.kind, ErrorKind::Rejected, "{wrong}"),
                other => panic!("{wrong}: {other:?}"),
            }
        }
    }

    #[test]
    fn garbage_is_refused_with_ldks_own_word() {
        for text in ["", "lno1", "lno1qqqq", "lnr1qqqq", "hello"] {
            let e = error("bolt12.offer.decode", json!({"offer": text}));
            assert_eq!(e.kind, ErrorKind::Invalid, "{text}");
        }
        let mut text = offer().to_string();
        text.push('b');
        let e = error("bolt12.offer.decode", json!({"offer": text}));
        assert!(e.message.contains("Bech32"), "{e:?}");
        for op in ["invoice_request", "invoice", "static_invoice", "refund"] {
            let op = format!("bolt12.{op}.decode");
            assert_eq!(
                error(&op, json!({"bytes": "00"})).kind,
                ErrorKind::Invalid,
                "{op}"
            );
        }
        assert!(matches!(
            ask("bolt12.invoice.decode", json!({"string": "lni1qq"})),
            Answer::Unsupported(_)
        ));
    }

    #[test]
    fn features_that_ldk_must_know_and_does_not_are_refused_as_ldk_refuses_them() {
        let with = |features: &str| {
            let mut bytes = Vec::new();
            let issuer = key(0x41).public_key().serialize().to_vec();
            let features = Params::new(&json!({ "f": features })).hex("f").unwrap();
            for (kind, value) in [(12, features), (22, issuer)] {
                bytes.extend(BigSize(kind).encode());
                bytes.extend(BigSize(value.len() as u64).encode());
                bytes.extend(value);
            }
            let text = Offer::try_from(bytes).unwrap().to_string();
            ask("bolt12.offer.decode", json!({ "offer": text }))
        };
        match with("0800") {
            Answer::Result(got) => assert_eq!(got["features"], "0800"),
            other => panic!("{other:?}"),
        }
        match with("0400") {
            Answer::Error(e) => assert!(e.message.contains("UnknownRequiredFeatures"), "{e:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refund_is_read_from_both_forms() {
        let refund = RefundBuilder::new(vec![1; 32], key(0x42).public_key(), 2000)
            .unwrap()
            .description("back".into())
            .build()
            .unwrap();
        let bytes = result(
            "bolt12.refund.decode",
            json!({"bytes": hex(refund.encode())}),
        );
        let text = result(
            "bolt12.refund.decode",
            json!({"string": refund.to_string()}),
        );
        assert_eq!(bytes, text);
        assert_eq!(bytes["invreq_amount"], "2000");
        assert_eq!(bytes["offer_description"], "back");
        assert_eq!(bytes["invreq_metadata"], "01".repeat(32));
        assert!(bytes.get("invreq_chain").is_none());
    }

    /// Records of an invoice request without its signature, of the offer above.
    fn request_records() -> Value {
        let mut found = vec![(0, vec![9; 8])];
        found.extend(accepted(&offer().encode()).unwrap());
        found.push((80, ChainHash::REGTEST.to_bytes().to_vec()));
        found.push((86, vec![2]));
        found.push((88, key(0x42).public_key().serialize().to_vec()));
        shown(&found)
    }

    #[test]
    fn an_invoice_request_is_signed_verified_and_decoded() {
        let records = request_records();
        let signed = |secret: u8| {
            json!({
                "message_name": "invoice_request", "field_name": "signature",
                "records": records, "secret_key": hex([secret; 32]),
            })
        };
        let signature = result("bolt12.sign", signed(0x42))["signature"].clone();
        // LDK holds a signature against the payer's key before it hands it out.
        assert_eq!(error("bolt12.sign", signed(0x43)).kind, ErrorKind::Invalid);

        let verify = |records: &Value, public_key: String| {
            let params = json!({
                "message_name": "invoice_request", "field_name": "signature",
                "records": records, "public_key": public_key, "signature": signature,
            });
            result("bolt12.verify", params)["valid"].clone()
        };
        let right = key(0x42).public_key().to_string();
        assert_eq!(verify(&records, right.clone()), true);
        let x_only = hex(key(0x42).x_only_public_key().0.serialize());
        assert_eq!(verify(&records, x_only), true);
        assert_eq!(verify(&records, key(0x43).public_key().to_string()), false);
        let mut other = records.clone();
        other[0]["value"] = hex([8; 8]).into();
        assert_eq!(verify(&other, right), false);

        let mut bytes = Vec::new();
        let mut all = Params::new(&json!({ "r": records })).records("r").unwrap();
        all.push((
            240,
            Params::new(&json!({ "s": signature })).hex("s").unwrap(),
        ));
        for (kind, value) in all {
            bytes.extend(BigSize(kind).encode());
            bytes.extend(BigSize(value.len() as u64).encode());
            bytes.extend(value);
        }
        let op = "bolt12.invoice_request.decode";
        let got = result(op, json!({"bytes": hex(&bytes)}));
        assert_eq!(got["invreq_quantity"], "2");
        assert_eq!(got["offer_amount"], "1000");
        assert_eq!(got["signature"], signature);
        // LDK works an amount out where none is sent; only what is sent is shown.
        assert!(got.get("invreq_amount").is_none());
        *bytes.last_mut().unwrap() ^= 1;
        let e = error(op, json!({"bytes": hex(&bytes)}));
        assert!(e.message.contains("InvalidSignature"), "{e:?}");
    }

    #[test]
    fn what_ldk_cannot_hash_is_unsupported() {
        // An offer in a currency, which LDK's reader of requests refuses.
        let mut records = request_records();
        let currency = json!({"type": "6", "value": hex("USD")});
        let records = records.as_array_mut().unwrap();
        let at = records.iter().position(|r| r["type"] == "8").unwrap();
        records.insert(at, currency);
        let params = json!({
            "message_name": "invoice_request", "field_name": "signature", "records": records,
            "secret_key": hex([0x42; 32]),
        });
        match ask("bolt12.sign", params) {
            Answer::Unsupported(u) => assert!(u.reason.contains("UnsupportedCurrency"), "{u:?}"),
            other => panic!("{other:?}"),
        }
        let params = json!({
            "message_name": "n1", "field_name": "signature", "records": [],
            "secret_key": hex([1; 32]),
        });
        assert!(matches!(ask("bolt12.sign", params), Answer::Unsupported(_)));
    }

    /// LDK puts the length of the stream in front of it, which BOLT 4 and BOLT 12 do not.
    #[test]
    fn an_invoice_error_is_read_as_ldk_writes_it() {
        let error = InvoiceError::from_string("too dear".into());
        let op = "bolt12.invoice_error.decode";
        let got = result(op, json!({"bytes": hex(error.encode())}));
        assert_eq!(got, json!({"error": "too dear"}));
        let got = result(op, json!({"bytes": "0a01015203020102050178"}));
        assert_eq!(
            got,
            json!({"erroneous_field": "82", "suggested_value": "0102", "error": "x"})
        );
        assert_eq!(error_kind(op, "03010152"), ErrorKind::Invalid);
        assert_eq!(error_kind(op, "0305017800"), ErrorKind::Invalid);
    }

    fn error_kind(op: &str, bytes: &str) -> ErrorKind {
        error(op, json!({ "bytes": bytes })).kind
    }

    #[test]
    fn what_only_the_node_knows_is_unsupported() {
        for op in ["bolt12.invoice_request.respond", "bolt12.invoice.match"] {
            assert!(matches!(ask(op, json!({})), Answer::Unsupported(_)), "{op}");
        }
        let chains = json!({"bytes": "00", "chains": [hex([0; 32])]});
        for op in ["invoice_request", "invoice", "static_invoice", "refund"] {
            let op = format!("bolt12.{op}.decode");
            let got = ask(&op, chains.clone());
            assert!(matches!(got, Answer::Unsupported(_)), "{op}");
        }
    }

    #[test]
    fn bigsize_keeps_what_follows_and_refuses_long_forms() {
        assert_eq!(
            result("bigsize.decode", json!({"bytes": "fd00fd0102"})),
            json!({"value": "253", "rest": "0102"})
        );
        for bytes in ["", "fd00", "fd00fc", "fe0000ffff", "ff00000000ffffffff"] {
            error("bigsize.decode", json!({"bytes": bytes}));
        }
        for (value, bytes) in [
            ("0", "00"),
            ("253", "fd00fd"),
            ("18446744073709551615", "ffffffffffffffffff"),
        ] {
            let got = result("bigsize.encode", json!({"value": value}));
            assert_eq!(got, json!({"bytes": bytes}));
        }
    }

    #[test]
    fn a_stream_is_read_by_ldks_rules() {
        let ask = |stream: &str, known: Value| {
            ask("tlv.decode", json!({"stream": stream, "known": known}))
        };
        assert_eq!(
            ask("0801ff2100", json!(["8"])),
            Answer::Result(json!({"records": [
                {"type": "8", "value": "ff"}, {"type": "33", "value": ""}]}))
        );
        for (stream, known) in [
            ("0801ff", json!([])),
            ("01000100", json!([])),
            ("02000100", json!(["2"])),
            ("0102ff", json!([])),
            ("0900fd00", json!([])),
            ("01fd0001ff", json!([])),
        ] {
            assert!(matches!(ask(stream, known), Answer::Error(_)), "{stream}");
        }
    }

    #[test]
    fn the_namespaces_of_bolt_1_are_read() {
        let ask = |namespace: &str, stream: &str| {
            ask(
                "tlv.namespace.decode",
                json!({"namespace": namespace, "stream": stream}),
            )
        };
        let node = "023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb";
        for (namespace, stream, fields) in [
            ("n1", "", json!({})),
            ("n1", "2100", json!({})),
            ("n1", "0100", json!({"tlv1": {"amount_msat": "0"}})),
            ("n1", "01020100", json!({"tlv1": {"amount_msat": "256"}})),
            (
                "n1",
                "02080000000000000226",
                json!({"tlv2": {"scid": "0x0x550"}}),
            ),
            ("n1", "fd00fe020226", json!({"tlv4": {"cltv_delta": 550}})),
            ("n2", "0b020100", json!({"tlv2": {"cltv_expiry": 256}})),
            ("n2", "0001ff", json!({"tlv1": {"amount_msat": "255"}})),
        ] {
            match ask(namespace, stream) {
                Answer::Result(got) => assert_eq!(got["fields"], fields, "{stream}"),
                other => panic!("{stream}: {other:?}"),
            }
        }
        let stream = format!("0331{node}00000000000000010000000000000002");
        match ask("n1", &stream) {
            Answer::Result(got) => assert_eq!(
                got["fields"]["tlv3"],
                json!({"node_id": node, "amount_msat_1": "1", "amount_msat_2": "2"})
            ),
            other => panic!("{other:?}"),
        }
        for (namespace, stream) in [
            ("n1", "010100"),
            ("n1", "01020001"),
            ("n1", "0109ffffffffffffffffff"),
            ("n1", "0207010101010101"),
            ("n1", "fd00fe0101"),
            ("n1", "fd00fe03010101"),
            ("n1", "0000"),
            ("n2", "0b0500000000"),
            ("n2", "0b050101010101"),
        ] {
            assert!(
                matches!(ask(namespace, stream), Answer::Error(_)),
                "{namespace} {stream}"
            );
        }
        assert!(matches!(ask("n3", ""), Answer::Error(_)));
    }
}
