//! Invoices, and static invoices, which are made once and answer many requests: reader and writer.

use super::invoice_request::{self as request, Fields, check_features};
use super::offer::{self, BITCOIN, Context};
use super::{SIGNATURE, Signature, array, check_hops, is_signed, merkle, paths, point, sign};
use crate::blinding::BlindedPath;
use crate::features;
use crate::keys::{Point, SecretKey, sha256};
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::Reader;
use std::collections::BTreeSet;

/// The human-readable prefix. BOLT 12 has none for invoices, since they travel in messages; this
/// one is in use.
pub const PREFIX: &str = "lni";

/// BOLT 12, invoices: seconds that an invoice lasts when it does not say.
pub const DEFAULT_EXPIRY: u32 = 7200;

/// Pull request 1149: seconds that a static invoice lasts when it does not say.
pub const STATIC_DEFAULT_EXPIRY: u32 = 14 * 24 * 3600;

/// BOLT 12, invoice features: the even bit of multi-part payment.
pub const MPP_COMPULSORY: u64 = 16;

/// BOLT 12, invoice features: the odd bit of multi-part payment.
pub const MPP_OPTIONAL: u64 = 17;

/// Field numbers, those of the request aside.
pub mod kind {
    #![allow(missing_docs)]
    pub const PATHS: u64 = 160;
    pub const BLINDEDPAY: u64 = 162;
    pub const CREATED_AT: u64 = 164;
    pub const RELATIVE_EXPIRY: u64 = 166;
    pub const PAYMENT_HASH: u64 = 168;
    pub const AMOUNT: u64 = 170;
    pub const FALLBACKS: u64 = 172;
    pub const FEATURES: u64 = 174;
    pub const NODE_ID: u64 = 176;
}

/// Features of invoices that the reader knows.
const KNOWN_FEATURES: &[u64] = &[MPP_COMPULSORY];

/// Features of payments along a blinded path that the reader knows: BOLT 9 defines none.
const KNOWN_PATH_FEATURES: &[u64] = &[];

/// Which kind of invoice, in which numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The answer to a request.
    Invoice,
    /// A static invoice with the numbers of LDK, dialect `async/ldk`.
    StaticLdk,
    /// A static invoice with the numbers of pull request 1149, dialect `async/pr-1149`.
    StaticPr1149,
}

impl Kind {
    /// The name of the message in the tag of its signature.
    pub fn message(self) -> &'static str {
        match self {
            Kind::Invoice => "invoice",
            Kind::StaticLdk | Kind::StaticPr1149 => "static_invoice",
        }
    }

    /// Type of the paths for the message about a held HTLC.
    pub fn message_paths(self) -> Option<u64> {
        match self {
            Kind::Invoice => None,
            Kind::StaticLdk => Some(236),
            Kind::StaticPr1149 => Some(178),
        }
    }

    fn is_static(self) -> bool {
        self != Kind::Invoice
    }

    fn default_expiry(self) -> u32 {
        match self {
            Kind::Invoice => DEFAULT_EXPIRY,
            Kind::StaticLdk | Kind::StaticPr1149 => STATIC_DEFAULT_EXPIRY,
        }
    }

    fn is_known(self, kind: u64) -> bool {
        request::is_known(kind)
            || matches!(kind, 160 | 162 | 164 | 166 | 168 | 170 | 172 | 174 | 176)
            || self.message_paths() == Some(kind)
    }
}

/// What a payment along a blinded path takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payinfo {
    /// In msat.
    pub fee_base_msat: u32,
    /// In millionths of the amount.
    pub fee_proportional_millionths: u32,
    /// In blocks.
    pub cltv_expiry_delta: u16,
    /// In msat.
    pub htlc_minimum_msat: u64,
    /// In msat.
    pub htlc_maximum_msat: u64,
    /// Feature bitmap.
    pub features: Vec<u8>,
}

impl Payinfo {
    fn read(value: &mut Reader<'_>) -> Result<Self, Violation> {
        Ok(Self {
            fee_base_msat: value.u32()?,
            fee_proportional_millionths: value.u32()?,
            cltv_expiry_delta: value.u16()?,
            htlc_minimum_msat: value.u64()?,
            htlc_maximum_msat: value.u64()?,
            features: {
                let length = value.u16()?;
                value.bytes(usize::from(length))?.to_vec()
            },
        })
    }
}

/// An address on the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallback {
    /// The witness version.
    pub version: u8,
    /// The witness program.
    pub address: Vec<u8>,
}

impl Fallback {
    fn read(value: &mut Reader<'_>) -> Result<Self, Violation> {
        let version = value.u8()?;
        let length = value.u16()?;
        Ok(Self {
            version,
            address: value.bytes(usize::from(length))?.to_vec(),
        })
    }

    /// BIP 141: a program of version 0 has 20 or 32 bytes. Version 1 has no such rule: BIP 341
    /// gives a meaning to 32 bytes and leaves other lengths valid.
    fn fits_version(&self) -> bool {
        self.version != 0 || matches!(self.address.len(), 20 | 32)
    }

    /// Checks the three conditions under which an address is used.
    fn check(&self, rules: &Rules, ids: [&'static str; 3]) -> Result<(), Violation> {
        let [version, length, program] = ids;
        let bytes = self.address.len() as u64;
        rules.at_most(version, u64::from(self.version), 16, || {
            format!("a fallback has version {}", self.version)
        })?;
        let message = || format!("a fallback has {bytes} bytes, not 2 to 40");
        rules.at_least(length, bytes, 2, message)?;
        rules.at_most(length, bytes, 40, message)?;
        rules.check(program, self.fits_version(), || {
            format!("a fallback of version 0 has {bytes} bytes, not 20 or 32")
        })
    }
}

/// Whether several parts may pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiPart {
    /// They must.
    Required,
    /// They may.
    Allowed,
    /// They may not.
    Forbidden,
}

/// An invoice that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invoice {
    /// All records, unknown odd ones included.
    pub records: Vec<Record>,
    /// The fields of the request; a static invoice has those of the offer only.
    pub request: Fields,
    /// Paths to the payee.
    pub paths: Option<Vec<BlindedPath>>,
    /// One for each of the paths.
    pub blindedpay: Option<Vec<Payinfo>>,
    /// Second of its making, since 1970.
    pub created_at: Option<u64>,
    /// Seconds from then in which it may be paid.
    pub relative_expiry: Option<u32>,
    /// What pays it.
    pub payment_hash: Option<[u8; 32]>,
    /// In msat.
    pub amount: Option<u64>,
    /// Addresses on the chain.
    pub fallbacks: Option<Vec<Fallback>>,
    /// Feature bitmap.
    pub features: Option<Vec<u8>>,
    /// The key that makes it.
    pub node_id: Option<Point>,
    /// Paths for the message about a held HTLC; static invoices only.
    pub message_paths: Option<Vec<BlindedPath>>,
    /// The node id's signature.
    pub signature: Option<Signature>,
    /// The last second in which it may be paid.
    pub expiry: u64,
    /// Which of the paths a payer may use, by index.
    pub usable_paths: Vec<usize>,
    /// The addresses that are not ignored.
    pub usable_fallbacks: Vec<Fallback>,
}

impl Invoice {
    /// BOLT 12, invoice features.
    pub fn multi_part(&self) -> MultiPart {
        let has = |bit| {
            let features = self.features.as_deref().unwrap_or_default();
            features::bits(features).any(|set| set == bit)
        };
        if has(MPP_COMPULSORY) {
            MultiPart::Required
        } else if has(MPP_OPTIONAL) {
            MultiPart::Allowed
        } else {
            MultiPart::Forbidden
        }
    }
}

/// Reads the value of each known field.
fn fields(rules: &Rules, kind: Kind, records: Vec<Record>) -> Result<Invoice, Violation> {
    let mut invoice = Invoice {
        request: request::fields(rules, &records)?,
        signature: request::signature(rules, &records)?,
        ..Invoice::default()
    };
    for record in &records {
        let value = record.value.as_slice();
        let named = |name| Reader::new(rules, name, value);
        match record.kind {
            kind::PATHS => invoice.paths = Some(paths(rules, "invoice_paths", value)?),
            kind::BLINDEDPAY => {
                let mut value = named("invoice_blindedpay");
                let mut pays = Vec::new();
                while !value.is_empty() {
                    pays.push(Payinfo::read(&mut value)?);
                }
                invoice.blindedpay = Some(pays);
            }
            kind::CREATED_AT => invoice.created_at = Some(named("invoice_created_at").tu64()?),
            kind::RELATIVE_EXPIRY => {
                invoice.relative_expiry = Some(named("invoice_relative_expiry").tu32()?);
            }
            kind::PAYMENT_HASH => {
                invoice.payment_hash = Some(array(rules, "invoice_payment_hash", value)?);
            }
            kind::AMOUNT => {
                invoice.amount = Some(request::amount(rules, "invoice_amount", value)?);
            }
            kind::FALLBACKS => {
                let mut value = named("invoice_fallbacks");
                let mut fallbacks = Vec::new();
                while !value.is_empty() {
                    fallbacks.push(Fallback::read(&mut value)?);
                }
                invoice.fallbacks = Some(fallbacks);
            }
            kind::FEATURES => invoice.features = Some(value.to_vec()),
            kind::NODE_ID => invoice.node_id = Some(point(rules, "invoice_node_id", value)?),
            other if kind.message_paths() == Some(other) => {
                invoice.message_paths = Some(paths(rules, "invoice_message_paths", value)?);
            }
            _ => {}
        }
    }
    invoice.expiry = invoice
        .created_at
        .unwrap_or_default()
        .saturating_add(u64::from(
            invoice.relative_expiry.unwrap_or(kind.default_expiry()),
        ));
    invoice.usable_paths = usable_paths(&invoice);
    invoice.usable_fallbacks = usable_fallbacks(rules, &invoice);
    Ok(Invoice { records, ..invoice })
}

/// BOLT 12, invoice reader: no path is used whose payinfo has an unknown even feature.
fn usable_paths(invoice: &Invoice) -> Vec<usize> {
    let paths = invoice.paths.iter().flatten();
    let pays = invoice.blindedpay.iter().flatten();
    paths
        .zip(pays)
        .enumerate()
        .filter(|(_, (_, pay))| {
            features::unknown_even(&pay.features, KNOWN_PATH_FEATURES).is_none()
        })
        .map(|(at, _)| at)
        .collect()
}

/// BOLT 12, invoice reader: the addresses that are not ignored. The conditions are those of the
/// bitcoin chain; for another there are none.
fn usable_fallbacks(rules: &Rules, invoice: &Invoice) -> Vec<Fallback> {
    let is_bitcoin = invoice.request.chain.is_none_or(|chain| chain == BITCOIN);
    let ids = [
        rules::INVOICE_FALLBACK_VERSION,
        rules::INVOICE_FALLBACK_LENGTH,
        rules::INVOICE_FALLBACK_PROGRAM,
    ];
    let fallbacks = invoice.fallbacks.iter().flatten();
    fallbacks
        .filter(|fallback| !is_bitcoin || fallback.check(rules, ids).is_ok())
        .cloned()
        .collect()
}

/// Reads an invoice from its TLV stream: framing, unknown even types, the form of each value, then
/// what its bytes alone can break, then what depends on chains and time.
///
/// # Errors
/// A [`Violation`] of a `bolt12/invoice/reader/…`, `bolt12/static-invoice/…`, `bolt01/tlv/…` or
/// `bolt01/types/…` rule.
pub fn read(
    rules: &Rules,
    kind: Kind,
    stream: &[u8],
    context: Context<'_>,
) -> Result<Invoice, Violation> {
    let records = tlv::frames(rules, stream)?;
    tlv::refuse_unknown_even(rules, rules::TLV_UNKNOWN_EVEN, &records, |other| {
        kind.is_known(other)
    })?;
    let invoice = fields(rules, kind, records)?;
    check(rules, kind, &invoice)?;
    invoice.request.check_chain(
        rules,
        [rules::INVOICE_CHAIN_BITCOIN, rules::INVOICE_CHAIN],
        context,
    )?;
    if let (Some(now), Some(_)) = (context.now, invoice.created_at) {
        let id = match (invoice.relative_expiry, kind) {
            (Some(_), _) => rules::INVOICE_EXPIRY,
            (None, Kind::Invoice) => rules::INVOICE_EXPIRY_DEFAULT,
            // The text gives writers of static invoices two weeks, and repeats two hours to
            // their readers. An invoice that is made once for many requests can only mean the
            // former.
            (None, _) => rules::STATIC_EXPIRY_DEFAULT,
        };
        rules.at_most(id, now, invoice.expiry, || {
            format!("the invoice expired at {}, and it is {now}", invoice.expiry)
        })?;
    }
    Ok(invoice)
}

/// BOLT 12, invoice reader: what the bytes alone can break.
fn check(rules: &Rules, kind: Kind, invoice: &Invoice) -> Result<(), Violation> {
    let there = |id, is, name| rules.check(id, is, || format!("there is no {name}"));
    if kind.is_static() {
        rules.check(
            rules::STATIC_NO_PAYMENT_HASH,
            invoice.payment_hash.is_none(),
            || "there is an invoice_payment_hash, so this is no static invoice".into(),
        )?;
    } else {
        there(
            rules::INVOICE_AMOUNT,
            invoice.amount.is_some(),
            "invoice_amount",
        )?;
    }
    there(
        rules::INVOICE_CREATED_AT,
        invoice.created_at.is_some(),
        "invoice_created_at",
    )?;
    if !kind.is_static() {
        there(
            rules::INVOICE_PAYMENT_HASH,
            invoice.payment_hash.is_some(),
            "invoice_payment_hash",
        )?;
    }
    there(
        rules::INVOICE_NODE_ID,
        invoice.node_id.is_some(),
        "invoice_node_id",
    )?;
    check_features(
        rules,
        rules::INVOICE_FEATURES_UNKNOWN_EVEN,
        invoice.features.as_deref(),
        KNOWN_FEATURES,
    )?;
    check_paths(rules, invoice)?;
    if kind.is_static() {
        rules.check(
            rules::STATIC_MESSAGE_PATHS,
            invoice
                .message_paths
                .as_ref()
                .is_some_and(|p| !p.is_empty()),
            || "a static invoice has no path for the message about a held HTLC".into(),
        )?;
    }
    if let Some(node_id) = invoice.node_id {
        match invoice.request.offer.issuer_id {
            Some(issuer_id) => {
                rules.check(rules::INVOICE_NODE_ID_ISSUER, node_id == issuer_id, || {
                    "invoice_node_id is not the offer_issuer_id".into()
                })?
            }
            // Which path the request took is not in the invoice; one of their ends it must be.
            None if invoice.request.offer.paths.is_some() => rules.check(
                rules::INVOICE_NODE_ID_PATH,
                invoice.request.path_ends().any(|end| end == node_id),
                || "invoice_node_id is the end of none of offer_paths".into(),
            )?,
            None => {}
        }
        let signed = invoice.signature.as_ref().is_some_and(|signature| {
            is_signed(kind.message(), &invoice.records, &node_id, signature)
        });
        rules.check(rules::INVOICE_SIGNATURE, signed, || {
            "there is no signature of invoice_node_id".into()
        })?;
    }
    if let (Some(asked), Some(amount)) = (invoice.request.amount, invoice.amount) {
        rules.check(rules::INVOICE_AMOUNT_REQUEST, asked == amount, || {
            format!("invreq_amount is {asked} msat, and invoice_amount {amount} msat")
        })?;
    }
    Ok(())
}

fn check_paths(rules: &Rules, invoice: &Invoice) -> Result<(), Violation> {
    let count = invoice.paths.as_ref().map_or(0, Vec::len);
    rules.check(rules::INVOICE_PATHS, count > 0, || {
        "there is no path in invoice_paths".into()
    })?;
    check_hops(
        rules,
        rules::INVOICE_PATH_HOPS,
        "invoice_paths",
        invoice.paths.as_ref(),
    )?;
    rules.check(
        rules::INVOICE_BLINDEDPAY,
        invoice.blindedpay.is_some(),
        || "there is no invoice_blindedpay".into(),
    )?;
    // With one of those rules off there is nothing to count, and nothing to use.
    let (1.., Some(pays)) = (count, &invoice.blindedpay) else {
        return Ok(());
    };
    rules.check(rules::INVOICE_BLINDEDPAY_COUNT, pays.len() == count, || {
        format!("there are {count} paths and {} payinfos", pays.len())
    })?;
    rules.check(
        rules::INVOICE_USABLE_PATHS,
        !invoice.usable_paths.is_empty(),
        || "every path has a feature that is even and unknown".into(),
    )
}

/// How an invoice came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Along no blinded path.
    Direct,
    /// Along one of `invreq_paths`.
    RequestPath,
    /// Along the reply path that went with the request.
    ReplyPath,
    /// Along another blinded path.
    OtherPath,
}

/// What a payer knows beside the invoice. What it does not know it does not check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payer<'a> {
    /// Time and chains.
    pub context: Context<'a>,
    /// The records of its request.
    pub request: Option<&'a [Record]>,
    /// The end of the path that the request was sent along.
    pub sent_to: Option<Point>,
    /// How the invoice came.
    pub via: Option<Via>,
    /// The path of each part that it would pay with, by index.
    pub parts: Option<&'a [usize]>,
}

/// The records that an invoice repeats of a request.
fn mirrored(records: &[Record]) -> impl Iterator<Item = &Record> {
    records.iter().filter(|r| request::in_range(r.kind))
}

/// BOLT 12, invoice reader: all of it, for the payer who sent the request.
///
/// # Errors
/// As [`read`], and the rules on the request, the way the invoice came and the payment.
pub fn match_request(
    rules: &Rules,
    stream: &[u8],
    payer: &Payer<'_>,
) -> Result<Invoice, Violation> {
    let invoice = read(rules, Kind::Invoice, stream, payer.context)?;
    let fields = &invoice.request;
    if let Some(request) = payer.request {
        let same = mirrored(request).eq(mirrored(&invoice.records));
        rules.check(rules::INVOICE_MIRROR, same, || {
            "its fields of the request are not those of the request that was sent".into()
        })?;
    }
    if let (Some(end), None, Some(_)) = (payer.sent_to, fields.offer.issuer_id, &fields.offer.paths)
    {
        rules.check(
            rules::INVOICE_NODE_ID_PATH,
            invoice.node_id == Some(end),
            || "invoice_node_id is not the end of the path that the request took".into(),
        )?;
    }
    if let Some(via) = payer.via {
        let (id, want) = if fields.paths.is_some() {
            (rules::INVOICE_VIA_INVREQ_PATH, Via::RequestPath)
        } else if fields.answers_offer() {
            (rules::INVOICE_VIA_REPLY_PATH, Via::ReplyPath)
        } else {
            (rules::INVOICE_VIA_NO_PATH, Via::Direct)
        };
        rules.check(id, via == want, || {
            format!("the invoice came by {via:?}, and not by {want:?}")
        })?;
    }
    if let Some(parts) = payer.parts {
        check_parts(rules, &invoice, parts)?;
    }
    Ok(invoice)
}

/// BOLT 12, invoice reader: the payment.
fn check_parts(rules: &Rules, invoice: &Invoice, parts: &[usize]) -> Result<(), Violation> {
    for part in parts {
        rules.check(
            rules::INVOICE_PAYINFO_FEATURES,
            invoice.usable_paths.contains(part),
            || format!("a part would take path {part}, which is not to be used"),
        )?;
    }
    match invoice.multi_part() {
        MultiPart::Required => {
            let paths = parts.iter().collect::<BTreeSet<_>>().len() as u64;
            rules.at_least(rules::INVOICE_MPP_COMPULSORY, paths, 2, || {
                format!("several parts must pay along several paths, not along {paths}")
            })
        }
        MultiPart::Allowed => Ok(()),
        MultiPart::Forbidden => {
            rules.at_most(rules::INVOICE_MPP_ABSENT, parts.len() as u64, 1, || {
                format!("one part must pay, not {}", parts.len())
            })
        }
    }
}

/// What a writer knows beside the records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer<'a> {
    /// The records of the request that is answered.
    pub request: Option<&'a [Record]>,
    /// What will be given in return for payment.
    pub preimage: Option<[u8; 32]>,
    /// Whether several parts may pay.
    pub multi_part: Option<MultiPart>,
    /// Seconds from its making in which it may be paid.
    pub expiry: Option<u32>,
    /// What the offer asks for, in msat.
    pub expected_amount: Option<u64>,
    /// The features that each path allows.
    pub allowed_features: Option<&'a [Vec<u8>]>,
    /// The end of the path that brought the request.
    pub sent_to: Option<Point>,
    /// The payee's key, to sign with.
    pub secret: Option<&'a SecretKey>,
}

/// Writes an invoice by the rules of the writer, signed if there is a key; answers its records.
///
/// # Errors
/// A [`Violation`] of a `bolt12/invoice/writer/…` or `bolt12/static-invoice/writer/…` rule, of
/// `bolt01/tlv/sender/order`, or of the form of a value.
pub fn write(
    rules: &Rules,
    kind: Kind,
    records: &[Record],
    writer: &Writer<'_>,
) -> Result<Vec<Record>, Violation> {
    tlv::check_order(rules, rules::TLV_SENDER_ORDER, records)?;
    let invoice = fields(rules, kind, records.to_vec())?;
    rules.check(
        rules::INVOICE_WRITER_CREATED_AT,
        invoice.created_at.is_some(),
        || "an invoice needs an invoice_created_at".into(),
    )?;
    if kind.is_static() {
        check_static(rules, kind, &invoice, writer)?;
    } else {
        check_answer(rules, &invoice, writer)?;
    }
    check_node_id(rules, &invoice, writer)?;
    check_fallbacks(rules, &invoice)?;
    check_written_paths(rules, &invoice, writer)?;

    let signed = match writer.secret {
        Some(secret) => sign(kind.message(), records, secret),
        None => records.to_vec(),
    };
    let elements: Vec<u64> = signed
        .iter()
        .map(|record| record.kind)
        .filter(|kind| merkle::SIGNATURE_TYPES.contains(kind))
        .collect();
    rules.check(
        rules::INVOICE_WRITER_SIGNATURE_SINGLE,
        elements == [SIGNATURE],
        || format!("an invoice has one signature, of type 240, and not {elements:?}"),
    )?;
    let valid = match (request::signature(rules, &signed)?, invoice.node_id) {
        (Some(signature), Some(key)) => is_signed(kind.message(), &signed, &key, &signature),
        // Reached with the rule on the signature elements off.
        (None, Some(_)) => true,
        (_, None) => false,
    };
    rules.check(rules::INVOICE_WRITER_SIGNATURE, valid, || {
        "an invoice needs the signature of its invoice_node_id".into()
    })?;
    Ok(signed)
}

/// BOLT 12, invoice writer: what an answer to a request has.
fn check_answer(rules: &Rules, invoice: &Invoice, writer: &Writer<'_>) -> Result<(), Violation> {
    rules.check(
        rules::INVOICE_WRITER_AMOUNT,
        invoice.amount.is_some(),
        || "an invoice needs an invoice_amount".into(),
    )?;
    if let Some(request) = writer.request {
        let same = mirrored(request).eq(mirrored(&invoice.records));
        rules.check(rules::INVOICE_WRITER_COPY_REQUEST, same, || {
            "the fields of the request are not copied as they are".into()
        })?;
    }
    match invoice.request.amount {
        Some(_) => rules.check(
            rules::INVOICE_WRITER_AMOUNT_REQUEST,
            invoice.amount == invoice.request.amount,
            || "invoice_amount is not the invreq_amount".into(),
        )?,
        None => {
            let expected = writer
                .expected_amount
                .or(invoice.request.expected_amount(rules, None));
            rules.check(
                rules::INVOICE_WRITER_AMOUNT_EXPECTED,
                expected.is_none_or(|expected| invoice.amount == Some(expected)),
                || "invoice_amount is not the expected amount".into(),
            )?;
        }
    }
    let hash = writer.preimage.map(|preimage| sha256(&[&preimage]));
    rules.check(
        rules::INVOICE_WRITER_PAYMENT_HASH,
        invoice.payment_hash.is_some()
            && hash.is_none_or(|hash| invoice.payment_hash == Some(hash)),
        || "invoice_payment_hash is not the hash of the preimage".into(),
    )?;
    match writer.multi_part {
        Some(MultiPart::Required) => rules.check(
            rules::INVOICE_WRITER_MPP_COMPULSORY,
            invoice.multi_part() == MultiPart::Required,
            || "an invoice that several parts must pay needs feature 16".into(),
        )?,
        Some(MultiPart::Allowed) => rules.check(
            rules::INVOICE_WRITER_MPP_OPTIONAL,
            invoice.multi_part() == MultiPart::Allowed,
            || "an invoice that several parts may pay needs feature 17, and not 16".into(),
        )?,
        Some(MultiPart::Forbidden) | None => {}
    }
    check_expiry(
        rules,
        rules::INVOICE_WRITER_RELATIVE_EXPIRY,
        invoice,
        writer.expiry,
        DEFAULT_EXPIRY,
    )
}

/// An expiry other than the usual one is stated.
fn check_expiry(
    rules: &Rules,
    id: &'static str,
    invoice: &Invoice,
    wanted: Option<u32>,
    usual: u32,
) -> Result<(), Violation> {
    let stated = invoice.relative_expiry.unwrap_or(usual);
    rules.check(id, wanted.is_none_or(|wanted| wanted == stated), || {
        format!("the invoice expires after {stated} seconds, which is not what is wanted")
    })
}

/// Pull request 1149, invoice writer: what a static invoice has and has not.
fn check_static(
    rules: &Rules,
    kind: Kind,
    invoice: &Invoice,
    writer: &Writer<'_>,
) -> Result<(), Violation> {
    rules.check(
        rules::STATIC_WRITER_PAYMENT_HASH,
        invoice.payment_hash.is_none(),
        || "a static invoice has no invoice_payment_hash".into(),
    )?;
    rules.check(
        rules::STATIC_WRITER_AMOUNT,
        invoice.amount.is_none(),
        || "a static invoice has no invoice_amount".into(),
    )?;
    let paths = invoice.message_paths.as_ref().map_or(0, Vec::len);
    rules.at_least(rules::STATIC_WRITER_MESSAGE_PATHS, paths as u64, 2, || {
        format!("a static invoice has two paths for messages at least, not {paths}")
    })?;
    let field = invoice
        .records
        .iter()
        .map(|record| record.kind)
        .find(|&kind| request::in_range(kind) && !offer::in_range(kind));
    rules.check(rules::STATIC_WRITER_INVREQ_FIELDS, field.is_none(), || {
        format!(
            "a static invoice has no field of a request such as type {}",
            field.unwrap_or_default()
        )
    })?;
    let chains = invoice.request.offer.chains.as_ref().map_or(0, Vec::len);
    rules.at_most(rules::STATIC_WRITER_ONE_CHAIN, chains as u64, 1, || {
        format!("the offer of a static invoice has one chain at most, not {chains}")
    })?;
    check_expiry(
        rules,
        rules::STATIC_WRITER_RELATIVE_EXPIRY,
        invoice,
        writer.expiry,
        kind.default_expiry(),
    )
}

fn check_node_id(rules: &Rules, invoice: &Invoice, writer: &Writer<'_>) -> Result<(), Violation> {
    let offer = &invoice.request.offer;
    match (offer.issuer_id, &offer.paths) {
        (Some(issuer_id), _) => rules.check(
            rules::INVOICE_WRITER_NODE_ID_ISSUER,
            invoice.node_id == Some(issuer_id),
            || "invoice_node_id is not the offer_issuer_id".into(),
        ),
        (None, Some(_)) => {
            let is_end = match writer.sent_to {
                Some(end) => invoice.node_id == Some(end),
                None => invoice
                    .request
                    .path_ends()
                    .any(|end| invoice.node_id == Some(end)),
            };
            rules.check(rules::INVOICE_WRITER_NODE_ID_PATH, is_end, || {
                "invoice_node_id is not the end of the path that brought the request".into()
            })
        }
        (None, None) => Ok(()),
    }
}

fn check_fallbacks(rules: &Rules, invoice: &Invoice) -> Result<(), Violation> {
    if invoice.request.chain.is_some_and(|chain| chain != BITCOIN) {
        return Ok(());
    }
    let ids = [rules::INVOICE_WRITER_FALLBACK_PROGRAM; 3];
    invoice
        .fallbacks
        .iter()
        .flatten()
        .try_for_each(|fallback| fallback.check(rules, ids))
}

fn check_written_paths(
    rules: &Rules,
    invoice: &Invoice,
    writer: &Writer<'_>,
) -> Result<(), Violation> {
    let count = invoice.paths.as_ref().map_or(0, Vec::len);
    rules.check(rules::INVOICE_WRITER_PATHS, count > 0, || {
        "an invoice needs a path in invoice_paths".into()
    })?;
    let pays = invoice.blindedpay.as_deref().unwrap_or_default();
    rules.check(
        rules::INVOICE_WRITER_BLINDEDPAY,
        pays.len() == count,
        || format!("there are {count} paths and {} payinfos", pays.len()),
    )?;
    if let Some(allowed) = writer.allowed_features {
        let same = pays.iter().map(|pay| &pay.features).eq(allowed);
        rules.check(rules::INVOICE_WRITER_PAYINFO_FEATURES, same, || {
            "the features of the payinfos are not those that the paths allow".into()
        })?;
    }
    Ok(())
}

/// Whether `value` is a value of field `kind`, where that is a field of invoices or requests.
pub(super) fn is_value_of(kind: u64, value: &[u8]) -> bool {
    fields(&Rules::all(), Kind::Invoice, vec![Record::new(kind, value)]).is_ok()
}
