//! Invoice requests, with an offer and without one, which is a refund: reader and writer.

use super::offer::{self, BITCOIN, ChainHash, Context, Offer};
use super::{SIGNATURE, Signature, array, check_hops, is_signed, paths, point, sign};
use crate::bech32;
use crate::blinding::BlindedPath;
use crate::features;
use crate::keys::{Point, SecretKey};
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::{MAX_MSAT, Reader};

/// The human-readable prefix.
pub const PREFIX: &str = "lnr";

/// The name of the message in the tag of its signature.
pub const MESSAGE: &str = "invoice_request";

/// Field numbers, those of the offer aside.
pub mod kind {
    #![allow(missing_docs)]
    pub const METADATA: u64 = 0;
    pub const CHAIN: u64 = 80;
    pub const AMOUNT: u64 = 82;
    pub const FEATURES: u64 = 84;
    pub const QUANTITY: u64 = 86;
    pub const PAYER_ID: u64 = 88;
    pub const PAYER_NOTE: u64 = 89;
    pub const PATHS: u64 = 90;
    pub const BIP_353_NAME: u64 = 91;
    /// bLIP 42.
    pub const CONTACT_SECRET: u64 = 2_000_001_729;
    /// bLIP 42.
    pub const PAYER_OFFER: u64 = 2_000_001_731;
    /// bLIP 42.
    pub const PAYER_BIP_353_NAME: u64 = 2_000_001_733;
    /// bLIP 42.
    pub const PAYER_BIP_353_SIGNATURE: u64 = 2_000_001_735;
}

/// Features of invoice requests that the reader knows: BOLT 12 defines none.
const KNOWN_FEATURES: &[u64] = &[];

/// A human-readable name of BIP 353.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// What stands before the `@`.
    pub name: Vec<u8>,
    /// What stands behind it.
    pub domain: Vec<u8>,
}

impl Name {
    fn read(rules: &Rules, name: &str, value: &[u8]) -> Result<Self, Violation> {
        let mut value = Reader::new(rules, name, value);
        let length = value.u8()?;
        let name = value.bytes(usize::from(length))?.to_vec();
        let length = value.u8()?;
        let domain = value.bytes(usize::from(length))?.to_vec();
        value.end()?;
        Ok(Self { name, domain })
    }
}

/// The fields that a request has, and that an invoice repeats. Types 0 to 159 and 1000000000 to
/// 2999999999.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The fields of the offer; its records are those in the ranges of offers.
    pub offer: Offer,
    /// The payer's own; unpredictable.
    pub metadata: Option<Vec<u8>>,
    /// The chain to pay on; absent means bitcoin.
    pub chain: Option<ChainHash>,
    /// The amount that will be paid, in msat.
    pub amount: Option<u64>,
    /// Feature bitmap.
    pub features: Option<Vec<u8>>,
    /// How many items.
    pub quantity: Option<u64>,
    /// The payer's key.
    pub payer_id: Option<Point>,
    /// A note to the payee.
    pub payer_note: Option<String>,
    /// Paths to the payer.
    pub paths: Option<Vec<BlindedPath>>,
    /// The name from which the offer was resolved.
    pub bip_353_name: Option<Name>,
}

impl Fields {
    /// Whether the request answers an offer: it has an issuer id or paths to an issuer.
    pub fn answers_offer(&self) -> bool {
        self.offer.issuer_id.is_some() || self.offer.paths.is_some()
    }

    /// The *expected amount* in msat: that of the offer times the quantity. `converted` is the
    /// amount of one item in msat, for an offer in a currency. Absent without an amount in the
    /// offer, and where that is in a currency and not converted. What does not fit into 64 bits is
    /// the highest number.
    pub fn expected_amount(&self, rules: &Rules, converted: Option<u64>) -> Option<u64> {
        let amount = self.offer.amount?;
        let one = match self.offer.currency {
            Some(_) if rules.mistaken(rules::INVREQ_EXPECTED_CURRENCY, "not-converted") => amount,
            Some(_) => converted?,
            None => amount,
        };
        let quantity = match rules.mistaken(rules::INVREQ_EXPECTED_QUANTITY, "quantity-ignored") {
            true => 1,
            false => self.quantity.unwrap_or(1),
        };
        Some(one.saturating_mul(quantity))
    }

    /// The last node of each path of the offer.
    pub fn path_ends(&self) -> impl Iterator<Item = Point> + '_ {
        self.offer
            .paths
            .iter()
            .flatten()
            .filter_map(|path| path.hops.last())
            .map(|hop| hop.blinded_node_id)
    }

    /// Checks the chain against those of `context`.
    pub(super) fn check_chain(
        &self,
        rules: &Rules,
        ids: [&'static str; 2],
        context: Context<'_>,
    ) -> Result<(), Violation> {
        let Some(accepted) = context.chains else {
            return Ok(());
        };
        let [bitcoin, other] = ids;
        match &self.chain {
            None => rules.check(bitcoin, accepted.contains(&BITCOIN), || {
                "it is for bitcoin, which is not supported".into()
            }),
            Some(chain) => rules.check(other, accepted.contains(chain), || {
                "invreq_chain is no supported chain".into()
            }),
        }
    }
}

/// The fields of bLIP 42. They are of odd type and BOLT 12 knows none of them, so that a
/// malformed one is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// What payer and payee know each other by.
    pub secret: Option<[u8; 32]>,
    /// The payer's own offer, as a TLV stream.
    pub offer: Option<Vec<u8>>,
    /// The payer's name.
    pub name: Option<Name>,
    /// A key of the payer's name, and its signature.
    pub signature: Option<(Point, Signature)>,
}

/// A request that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvoiceRequest {
    /// All records, unknown odd ones included.
    pub records: Vec<Record>,
    /// The fields.
    pub fields: Fields,
    /// The payer's signature; a refund has none.
    pub signature: Option<Signature>,
}

/// Where an invoice for a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyTo {
    /// Along the reply path of the message that brought the request.
    ReplyPath,
    /// Along one of `invreq_paths`.
    Paths,
    /// To the node `invreq_payer_id`.
    PayerId,
}

impl InvoiceRequest {
    /// BOLT 12, invoice request reader: where the invoice goes.
    pub fn reply_to(&self) -> ReplyTo {
        match (self.fields.answers_offer(), &self.fields.paths) {
            (true, _) => ReplyTo::ReplyPath,
            (false, Some(_)) => ReplyTo::Paths,
            (false, None) => ReplyTo::PayerId,
        }
    }

    /// The fields of bLIP 42 that are there and well formed.
    pub fn contact(&self) -> Contact {
        let all = Rules::all();
        let mut contact = Contact::default();
        for Record { kind, value } in &self.records {
            match *kind {
                kind::CONTACT_SECRET => contact.secret = value.as_slice().try_into().ok(),
                kind::PAYER_OFFER => contact.offer = Some(value.clone()),
                kind::PAYER_BIP_353_NAME => contact.name = Name::read(&all, "", value).ok(),
                kind::PAYER_BIP_353_SIGNATURE => {
                    let mut value = Reader::new(&all, "", value);
                    contact.signature = (|| {
                        let signature = (value.point()?, value.array()?);
                        value.end().map(|()| signature)
                    })()
                    .ok();
                }
                _ => {}
            }
        }
        contact
    }
}

/// Whether a type is a field of requests.
pub(super) fn is_known(kind: u64) -> bool {
    offer::is_known(kind) || matches!(kind, 0 | 80 | 82 | 84 | 86 | 88 | 90 | SIGNATURE)
}

/// Whether a type lies in the ranges of requests, 0 to 159 and 1000000000 to 2999999999.
pub fn in_range(kind: u64) -> bool {
    matches!(kind, 0..=159 | 1_000_000_000..=2_999_999_999)
}

/// BOLT 12, invoice requests: types 0 to 159 and 1000000000 to 2999999999 beside signatures, for
/// writers and readers.
fn check_ranges(rules: &Rules, id: &'static str, records: &[Record]) -> Result<(), Violation> {
    records
        .iter()
        .map(|record| record.kind)
        .filter(|kind| !super::merkle::SIGNATURE_TYPES.contains(kind))
        .try_for_each(|kind| {
            let message = || format!("type {kind} is outside of the ranges of invoice requests");
            if kind < 1_000_000_000 / 2 {
                rules.at_most(id, kind, 159, message)
            } else {
                rules.at_least(id, kind, 1_000_000_000, message)?;
                rules.at_most(id, kind, 2_999_999_999, message)
            }
        })
}

/// Reads the value of each known field of a request.
pub(super) fn fields(rules: &Rules, records: &[Record]) -> Result<Fields, Violation> {
    let offered: Vec<_> = records
        .iter()
        .filter(|record| offer::in_range(record.kind))
        .cloned()
        .collect();
    let mut fields = Fields {
        offer: offer::fields(rules, offered)?,
        ..Fields::default()
    };
    for Record { kind, value } in records {
        let named = |name| Reader::new(rules, name, value);
        match *kind {
            kind::METADATA => fields.metadata = Some(value.clone()),
            kind::CHAIN => fields.chain = Some(array(rules, "invreq_chain", value)?),
            kind::AMOUNT => fields.amount = Some(amount(rules, "invreq_amount", value)?),
            kind::FEATURES => fields.features = Some(value.clone()),
            kind::QUANTITY => fields.quantity = Some(named("invreq_quantity").tu64()?),
            kind::PAYER_ID => fields.payer_id = Some(point(rules, "invreq_payer_id", value)?),
            kind::PAYER_NOTE => fields.payer_note = Some(named("invreq_payer_note").utf8()?),
            kind::PATHS => fields.paths = Some(paths(rules, "invreq_paths", value)?),
            kind::BIP_353_NAME => {
                fields.bip_353_name = Some(Name::read(rules, "invreq_bip_353_name", value)?);
            }
            _ => {}
        }
    }
    Ok(fields)
}

/// Reads an amount in msat.
pub(super) fn amount(rules: &Rules, name: &str, value: &[u8]) -> Result<u64, Violation> {
    let amount = Reader::new(rules, name, value).tu64()?;
    rules.at_most(rules::TYPES_AMOUNT_BOUND, amount, MAX_MSAT, || {
        format!("{name} {amount} msat is more than there are bitcoin")
    })?;
    Ok(amount)
}

/// Reads the signature, if there is one.
pub(super) fn signature(rules: &Rules, records: &[Record]) -> Result<Option<Signature>, Violation> {
    records
        .iter()
        .find(|record| record.kind == SIGNATURE)
        .map(|record| array(rules, "signature", &record.value))
        .transpose()
}

/// Reads a request from its string.
///
/// # Errors
/// As [`read`], and the rules of the encoding.
pub fn decode(
    rules: &Rules,
    text: &str,
    context: Context<'_>,
) -> Result<InvoiceRequest, Violation> {
    read(rules, &unwrap(rules, text)?, context)
}

/// The stream in a string.
///
/// # Errors
/// A [`Violation`] of a `bolt12/encoding/…` rule or of the prefix.
pub fn unwrap(rules: &Rules, text: &str) -> Result<Vec<u8>, Violation> {
    let decoded = bech32::decode(rules, text)?;
    rules.check(rules::INVREQ_PREFIX, decoded.prefix == PREFIX, || {
        format!("the prefix is {}, not {PREFIX}", decoded.prefix)
    })?;
    Ok(decoded.bytes)
}

/// Reads a request from its TLV stream: framing, ranges, unknown even types, the form of each
/// value, then what its bytes alone can break, then what depends on time and chains.
///
/// # Errors
/// A [`Violation`] of a `bolt12/invoice-request/reader/…`, `bolt01/tlv/…` or `bolt01/types/…`
/// rule.
pub fn read(
    rules: &Rules,
    stream: &[u8],
    context: Context<'_>,
) -> Result<InvoiceRequest, Violation> {
    let records = tlv::frames(rules, stream)?;
    check_ranges(rules, rules::INVREQ_TYPE_RANGE, &records)?;
    tlv::refuse_unknown_even(rules, rules::TLV_UNKNOWN_EVEN, &records, is_known)?;
    let request = InvoiceRequest {
        fields: fields(rules, &records)?,
        signature: signature(rules, &records)?,
        records,
    };
    check(rules, &request)?;
    check_context(rules, &request, context)?;
    Ok(request)
}

/// Reads a request without an offer.
///
/// # Errors
/// As [`read`], and `bolt12/invoice-request/refund` for one that answers an offer.
pub fn read_refund(
    rules: &Rules,
    stream: &[u8],
    context: Context<'_>,
) -> Result<InvoiceRequest, Violation> {
    let request = read(rules, stream, context)?;
    // BOLT 12, invoice requests: one that is published by itself has neither of the two.
    rules.check(
        rules::INVREQ_REFUND,
        !request.fields.answers_offer(),
        || "it answers an offer, so it is no refund".into(),
    )?;
    Ok(request)
}

/// BOLT 12, invoice request reader: what the bytes alone can break.
fn check(rules: &Rules, request: &InvoiceRequest) -> Result<(), Violation> {
    let fields = &request.fields;
    let offer = &fields.offer;
    rules.check(rules::INVREQ_PAYER_ID, fields.payer_id.is_some(), || {
        "there is no invreq_payer_id".into()
    })?;
    rules.check(rules::INVREQ_METADATA, fields.metadata.is_some(), || {
        "there is no invreq_metadata".into()
    })?;
    check_features(
        rules,
        rules::INVREQ_FEATURES_UNKNOWN_EVEN,
        fields.features.as_deref(),
        KNOWN_FEATURES,
    )?;
    // A refund has no signature, by the rules for its writer; one that is there is checked.
    let signed = match (&request.signature, &fields.payer_id) {
        (Some(signature), Some(key)) => is_signed(MESSAGE, &request.records, key, signature),
        (None, Some(_)) => !fields.answers_offer(),
        // Reached with the rule on the payer id off.
        (_, None) => true,
    };
    rules.check(rules::INVREQ_SIGNATURE, signed, || {
        "there is no signature of invreq_payer_id".into()
    })?;
    check_hops(
        rules,
        rules::INVREQ_PATH_HOPS,
        "invreq_paths",
        fields.paths.as_ref(),
    )?;
    if fields.answers_offer() {
        let valid = offer::check(rules, offer, Context::default());
        rules.check(rules::INVREQ_OFFER_VALID, valid.is_ok(), || match &valid {
            Err(violation) => format!("its offer is not valid: {}", violation.message),
            Ok(()) => String::new(),
        })?;
        check_quantity(rules, fields)?;
        check_amount(rules, fields, None)?;
    } else {
        rules.check(
            rules::INVREQ_REFUND_FIELDS,
            offer.chains.is_none() && offer.features.is_none() && offer.quantity_max.is_none(),
            || {
                "there is no offer, and yet offer_chains, offer_features or offer_quantity_max"
                    .into()
            },
        )?;
        rules.check(rules::INVREQ_REFUND_AMOUNT, fields.amount.is_some(), || {
            "there is no offer, and no invreq_amount either".into()
        })?;
    }
    if let Some(Name { name, domain }) = &fields.bip_353_name {
        let odd = name.iter().chain(domain).find(|&&b| !is_name_byte(b));
        rules.check(rules::INVREQ_BIP_353_NAME, odd.is_none(), || {
            format!("invreq_bip_353_name holds byte {odd:02x?}")
        })?;
    }
    Ok(())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Refuses a bitmap with an even bit that is not `known`. Unknown odd bits are ignored.
pub(super) fn check_features(
    rules: &Rules,
    id: &'static str,
    bitmap: Option<&[u8]>,
    known: &[u64],
) -> Result<(), Violation> {
    let unknown = bitmap.and_then(|bitmap| features::unknown_even(bitmap, known));
    rules.check(id, unknown.is_none(), || {
        format!(
            "feature {} is even and unknown",
            unknown.unwrap_or_default()
        )
    })
}

fn check_quantity(rules: &Rules, fields: &Fields) -> Result<(), Violation> {
    let Some(max) = fields.offer.quantity_max else {
        return rules.check(
            rules::INVREQ_QUANTITY_UNWANTED,
            fields.quantity.is_none(),
            || "there is an invreq_quantity and the offer has no offer_quantity_max".into(),
        );
    };
    rules.check(
        rules::INVREQ_QUANTITY_MISSING,
        fields.quantity.is_some(),
        || "the offer has an offer_quantity_max and there is no invreq_quantity".into(),
    )?;
    // The text bounds the quantity where the offer has a limit only.
    if let (Some(quantity), 1..) = (fields.quantity, max) {
        rules.at_least(rules::INVREQ_QUANTITY_ZERO, quantity, 1, || {
            "invreq_quantity is zero".into()
        })?;
        rules.at_most(rules::INVREQ_QUANTITY_MAX, quantity, max, || {
            format!("invreq_quantity is {quantity}, and offer_quantity_max {max}")
        })?;
    }
    Ok(())
}

fn check_amount(rules: &Rules, fields: &Fields, converted: Option<u64>) -> Result<(), Violation> {
    if fields.offer.amount.is_none() {
        return rules.check(
            rules::INVREQ_AMOUNT_MISSING,
            fields.amount.is_some(),
            || "neither the offer nor the request has an amount".into(),
        );
    }
    if let (Some(amount), Some(expected)) =
        (fields.amount, fields.expected_amount(rules, converted))
    {
        rules.at_least(rules::INVREQ_AMOUNT_LEAST, amount, expected, || {
            format!("invreq_amount is {amount} msat, and {expected} msat are expected")
        })?;
    }
    Ok(())
}

/// BOLT 12, invoice request reader: what depends on the time and on the reader's chains.
fn check_context(
    rules: &Rules,
    request: &InvoiceRequest,
    context: Context<'_>,
) -> Result<(), Violation> {
    let fields = &request.fields;
    if let (true, Some(now), Some(expiry)) = (
        fields.answers_offer(),
        context.now,
        fields.offer.absolute_expiry,
    ) {
        rules.at_most(rules::INVREQ_OFFER_UNEXPIRED, now, expiry, || {
            format!("its offer expired at {expiry}, and it is {now}")
        })?;
    }
    fields.check_chain(
        rules,
        [rules::INVREQ_CHAIN_BITCOIN, rules::INVREQ_CHAIN],
        context,
    )
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Along no blinded path.
    Direct,
    /// Along one of the offer's paths.
    OfferPath,
    /// Along another blinded path.
    OtherPath,
}

/// What a responder knows beside the request. What it does not know it does not check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Responder<'a> {
    /// Time and chains.
    pub context: Context<'a>,
    /// The offer that it made.
    pub offer: Option<&'a Offer>,
    /// How the request came.
    pub via: Option<Via>,
    /// The amount of one item in msat, converted from the offer's currency.
    pub converted: Option<u64>,
    /// The metadata of requests that it answered before.
    pub seen: &'a [Vec<u8>],
    /// It would send the earlier invoice again.
    pub repeat: bool,
}

/// What a responder may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The request.
    pub request: InvoiceRequest,
    /// What the offer asks for, in msat.
    pub expected_amount: Option<u64>,
    /// What the invoice asks for, in msat.
    pub invoice_amount: Option<u64>,
    /// The keys that may make the invoice: the issuer id, else the ends of the paths. Empty
    /// without an offer.
    pub node_ids: Vec<Point>,
    /// Whether an earlier invoice may be sent again.
    pub may_repeat: bool,
}

/// BOLT 12, invoice request reader: all of it, for whoever is to answer.
///
/// # Errors
/// As [`read`], and the rules on the offer that was made, the way the request came and repetition.
pub fn respond(
    rules: &Rules,
    stream: &[u8],
    responder: &Responder<'_>,
) -> Result<Response, Violation> {
    let request = read(rules, stream, responder.context)?;
    let fields = &request.fields;
    if fields.answers_offer() {
        if let Some(made) = responder.offer {
            rules.check(
                rules::INVREQ_OFFER_MATCH,
                made.records == fields.offer.records,
                || "its offer's fields are not those of the offer that was made".into(),
            )?;
        }
        if let Some(via) = responder.via {
            match fields.offer.paths {
                Some(_) => {
                    rules.check(rules::INVREQ_VIA_OFFER_PATH, via == Via::OfferPath, || {
                        "the offer has paths, and the request came along none of them".into()
                    })?;
                }
                None => rules.check(rules::INVREQ_VIA_NO_PATH, via == Via::Direct, || {
                    "the offer has no paths, and the request came along one".into()
                })?,
            }
        }
        check_amount(rules, fields, responder.converted)?;
    }
    let may_repeat = fields.offer.issuer_id.is_some()
        && fields
            .metadata
            .as_ref()
            .is_some_and(|metadata| responder.seen.contains(metadata));
    rules.check(
        rules::INVREQ_PREVIOUS_INVOICE,
        may_repeat || !responder.repeat,
        || "an earlier invoice answers a repeated request to an issuer id only".into(),
    )?;
    let expected_amount = fields.expected_amount(rules, responder.converted);
    let node_ids = match (fields.answers_offer(), fields.offer.issuer_id) {
        (true, Some(id)) => vec![id],
        _ => fields.path_ends().collect(),
    };
    Ok(Response {
        expected_amount,
        invoice_amount: fields.amount.or(expected_amount),
        node_ids,
        may_repeat,
        request,
    })
}

/// What a writer knows beside the records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer<'a> {
    /// The offer to answer.
    pub offer: Option<&'a Offer>,
    /// The chain that a refund is for.
    pub chain: Option<ChainHash>,
    /// The name that BIP 353 resolved to the offer.
    pub resolved_from: Option<&'a Name>,
    /// The amount of one item in msat, converted from the offer's currency.
    pub converted: Option<u64>,
    /// The payer's key, to sign with.
    pub secret: Option<&'a SecretKey>,
}

/// Which request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The answer to an offer.
    Answer,
    /// A request without one.
    Refund,
}

/// Writes a request by the rules of the writer, signed if there is a key; answers its records.
///
/// # Errors
/// A [`Violation`] of a `bolt12/invoice-request/writer/…` rule, of `bolt01/tlv/sender/order`, or
/// of the form of a value.
pub fn write(
    rules: &Rules,
    form: Form,
    records: &[Record],
    writer: &Writer<'_>,
) -> Result<Vec<Record>, Violation> {
    tlv::check_order(rules, rules::TLV_SENDER_ORDER, records)?;
    check_ranges(rules, rules::INVREQ_WRITER_TYPE_RANGE, records)?;
    let fields = fields(rules, records)?;
    rules.check(
        rules::INVREQ_WRITER_METADATA,
        fields.metadata.is_some(),
        || "an invoice request needs an invreq_metadata".into(),
    )?;
    if let Some(Name { name, domain }) = writer.resolved_from {
        let there = fields.bip_353_name.as_ref();
        rules.check(
            rules::INVREQ_WRITER_BIP_353_NAME,
            there.is_some_and(|there| there.name == *name),
            || "invreq_bip_353_name does not hold the name that was resolved".into(),
        )?;
        rules.check(
            rules::INVREQ_WRITER_BIP_353_DOMAIN,
            there.is_some_and(|there| there.domain == *domain),
            || "invreq_bip_353_name does not hold the domain that was resolved".into(),
        )?;
    }
    match form {
        Form::Answer => {
            check_answer(rules, &fields, writer)?;
            let signed = match writer.secret {
                Some(secret) => sign(MESSAGE, records, secret),
                None => records.to_vec(),
            };
            let valid = match (signature(rules, &signed)?, &fields.payer_id) {
                (Some(signature), Some(key)) => is_signed(MESSAGE, &signed, key, &signature),
                (None, Some(_)) => false,
                // Reached with the rule on the payer id off.
                (_, None) => true,
            };
            rules.check(rules::INVREQ_WRITER_SIGNATURE, valid, || {
                "an answer to an offer needs the signature of its invreq_payer_id".into()
            })?;
            Ok(signed)
        }
        Form::Refund => {
            check_refund(rules, &fields, records, writer)?;
            Ok(records.to_vec())
        }
    }
}

/// BOLT 12, invoice request writer: the answer to an offer.
fn check_answer(rules: &Rules, fields: &Fields, writer: &Writer<'_>) -> Result<(), Violation> {
    let offer = &fields.offer;
    if let Some(made) = writer.offer {
        rules.check(
            rules::INVREQ_WRITER_COPY_OFFER,
            made.records == offer.records,
            || "the fields of the offer are not copied as they are".into(),
        )?;
    }
    let chain = fields.chain.unwrap_or(BITCOIN);
    match &offer.chains {
        Some(chains) => rules.check(rules::INVREQ_WRITER_CHAIN, chains.contains(&chain), || {
            "invreq_chain is none of offer_chains".into()
        })?,
        None => rules.check(rules::INVREQ_WRITER_CHAIN_BITCOIN, chain == BITCOIN, || {
            "the offer is for bitcoin, and invreq_chain is not".into()
        })?,
    }
    match offer.amount {
        None => rules.check(rules::INVREQ_WRITER_AMOUNT, fields.amount.is_some(), || {
            "the offer has no amount, so the request needs an invreq_amount".into()
        })?,
        Some(_) => {
            let expected = fields.expected_amount(rules, writer.converted);
            if let (Some(amount), Some(expected)) = (fields.amount, expected) {
                rules.at_least(rules::INVREQ_WRITER_AMOUNT_LEAST, amount, expected, || {
                    format!("invreq_amount is {amount} msat, and {expected} msat are expected")
                })?;
            }
        }
    }
    rules.check(
        rules::INVREQ_WRITER_PAYER_ID,
        fields.payer_id.is_some(),
        || "an invoice request needs an invreq_payer_id".into(),
    )?;
    match offer.quantity_max {
        Some(max) => {
            let quantity = fields.quantity.unwrap_or(0);
            rules.at_least(rules::INVREQ_WRITER_QUANTITY_POSITIVE, quantity, 1, || {
                "the offer has an offer_quantity_max, so invreq_quantity is 1 at least".into()
            })?;
            if max > 0 {
                rules.at_most(rules::INVREQ_WRITER_QUANTITY_MAX, quantity, max, || {
                    format!("invreq_quantity is {quantity}, and offer_quantity_max {max}")
                })?;
            }
        }
        None => rules.check(
            rules::INVREQ_WRITER_QUANTITY_ABSENT,
            fields.quantity.is_none(),
            || "there is an invreq_quantity and the offer has no offer_quantity_max".into(),
        )?,
    }
    Ok(())
}

/// BOLT 12, invoice request writer: a request without an offer.
fn check_refund(
    rules: &Rules,
    fields: &Fields,
    records: &[Record],
    writer: &Writer<'_>,
) -> Result<(), Violation> {
    rules.check(
        rules::INVREQ_WRITER_REFUND_DESCRIPTION,
        fields.offer.description.is_some(),
        || "a refund needs an offer_description".into(),
    )?;
    rules.check(
        rules::INVREQ_WRITER_REFUND_PAYER_ID,
        fields.payer_id.is_some(),
        || "a refund needs an invreq_payer_id".into(),
    )?;
    // Description, expiry and issuer are the fields of offers that a refund may have.
    let barred = records
        .iter()
        .map(|record| record.kind)
        .find(|&kind| matches!(kind, 2 | 4 | 6 | 8 | 12 | 16 | 20 | 22 | SIGNATURE));
    rules.check(rules::INVREQ_WRITER_REFUND_FIELDS, barred.is_none(), || {
        format!(
            "a refund has no field of type {}",
            barred.unwrap_or_default()
        )
    })?;
    if let Some(wanted) = writer.chain.filter(|chain| *chain != BITCOIN) {
        rules.check(
            rules::INVREQ_WRITER_REFUND_CHAIN,
            fields.chain == Some(wanted),
            || "a refund for another chain than bitcoin names it in invreq_chain".into(),
        )?;
    }
    rules.check(
        rules::INVREQ_WRITER_REFUND_AMOUNT,
        fields.amount.is_some(),
        || "a refund needs an invreq_amount".into(),
    )
}
