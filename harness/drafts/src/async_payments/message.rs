//! The onion messages: payloads of the last node, each a TLV stream.

use super::Dialect;
use crate::bigsize::{self, Ids};
use crate::blinding::{BlindedPath, PathTooLong};
use crate::bolt12::{self, invoice::Invoice};
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::Reader;

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Pull request 1149: an HTLC waits for the receiver of the message.
    HeldHtlcAvailable,
    /// Pull request 1149: the HTLC may go on.
    ReleaseHeldHtlc,
    /// bLIP 66: the receiver asks its server for paths to put into an offer.
    OfferPathsRequest,
    /// bLIP 66: the paths.
    OfferPaths,
    /// bLIP 66: the static invoice of an offer with these paths.
    ServeStaticInvoice,
    /// bLIP 66: the server has it.
    StaticInvoicePersisted,
}

impl Name {
    /// All of them.
    pub const ALL: [Name; 6] = [
        Name::HeldHtlcAvailable,
        Name::ReleaseHeldHtlc,
        Name::OfferPathsRequest,
        Name::OfferPaths,
        Name::ServeStaticInvoice,
        Name::StaticInvoicePersisted,
    ];

    /// The name in the texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Name::HeldHtlcAvailable => "held_htlc_available",
            Name::ReleaseHeldHtlc => "release_held_htlc",
            Name::OfferPathsRequest => "offer_paths_request",
            Name::OfferPaths => "offer_paths",
            Name::ServeStaticInvoice => "serve_static_invoice",
            Name::StaticInvoicePersisted => "static_invoice_persisted",
        }
    }

    /// The message of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Its type in `onionmsg_tlv`. The draft gives the first two none.
    pub fn number(self, dialect: Dialect) -> Option<u64> {
        match (self, dialect) {
            (Name::HeldHtlcAvailable | Name::ReleaseHeldHtlc, Dialect::Pr1149) => None,
            (Name::HeldHtlcAvailable, Dialect::Ldk) => Some(72),
            (Name::ReleaseHeldHtlc, Dialect::Ldk) => Some(74),
            (Name::OfferPathsRequest, Dialect::Pr1149) => Some(65540),
            (Name::OfferPaths, Dialect::Pr1149) => Some(65542),
            (Name::ServeStaticInvoice, Dialect::Pr1149) => Some(65544),
            (Name::StaticInvoicePersisted, Dialect::Pr1149) => Some(65546),
            (Name::OfferPathsRequest, Dialect::Ldk) => Some(75540),
            (Name::OfferPaths, Dialect::Ldk) => Some(75542),
            (Name::ServeStaticInvoice, Dialect::Ldk) => Some(75544),
            (Name::StaticInvoicePersisted, Dialect::Ldk) => Some(75546),
        }
    }

    /// The message of that type.
    pub fn by_number(dialect: Dialect, number: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|name| name.number(dialect) == Some(number))
    }

    /// Types of its stream.
    fn known(self) -> &'static [u64] {
        match self {
            Name::HeldHtlcAvailable | Name::ReleaseHeldHtlc | Name::StaticInvoicePersisted => &[],
            Name::OfferPathsRequest => &[kind::INVOICE_SLOT],
            Name::OfferPaths => &[kind::PATHS, kind::PATHS_ABSOLUTE_EXPIRY],
            Name::ServeStaticInvoice => &[kind::STATIC_INVOICE, kind::FORWARD_INVOICE_REQUEST_PATH],
        }
    }
}

/// Field numbers of the streams, the same in both dialects.
pub mod kind {
    #![allow(missing_docs)]
    pub const INVOICE_SLOT: u64 = 0;
    pub const PATHS: u64 = 0;
    pub const PATHS_ABSOLUTE_EXPIRY: u64 = 2;
    pub const STATIC_INVOICE: u64 = 0;
    pub const FORWARD_INVOICE_REQUEST_PATH: u64 = 2;
}

/// A message. Fields are there only if their record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which one.
    pub name: Name,
    /// All records, in the order of the stream.
    pub records: Vec<Record>,
    /// `offer_paths_request`: where the server shall keep the invoice.
    pub slot: Option<u16>,
    /// `offer_paths`: what an offer may have as its paths.
    pub paths: Option<Vec<BlindedPath>>,
    /// `offer_paths`: when they expire, in seconds since 1970.
    pub paths_absolute_expiry: Option<u64>,
    /// `serve_static_invoice`: the TLV stream of the invoice, and what it says.
    pub invoice: Option<(Vec<u8>, Box<Invoice>)>,
    /// `serve_static_invoice`: where requests for invoices go on to.
    pub forward_path: Option<BlindedPath>,
}

impl Message {
    /// Reads the value of a record of `onionmsg_tlv`.
    ///
    /// A field that the text asks its sender for, and that is not there, is absent: what a reader
    /// does then the text does not say.
    ///
    /// # Errors
    /// A [`Violation`] of a rule of BOLT 1, or, for the invoice inside, of BOLT 12.
    pub fn decode(
        rules: &Rules,
        dialect: Dialect,
        name: Name,
        value: &[u8],
    ) -> Result<Self, Violation> {
        let stream = if dialect.length_in_front() {
            behind_length(rules, value)?
        } else {
            value
        };
        let records = tlv::decode(rules, stream, |kind| name.known().contains(&kind))?;
        Self::from_records(rules, dialect, name, records)
    }

    /// The fields of records, in whatever order.
    ///
    /// # Errors
    /// As [`Message::decode`], but for the framing.
    pub fn from_records(
        rules: &Rules,
        dialect: Dialect,
        name: Name,
        records: Vec<Record>,
    ) -> Result<Self, Violation> {
        let mut message = Self {
            name,
            records,
            slot: None,
            paths: None,
            paths_absolute_expiry: None,
            invoice: None,
            forward_path: None,
        };
        for record in &message.records {
            let named = |name| Reader::new(rules, name, &record.value);
            match (name, record.kind) {
                (Name::OfferPathsRequest, kind::INVOICE_SLOT) => {
                    let mut value = named("invoice_slot");
                    message.slot = Some(value.u16()?);
                    value.end()?;
                }
                (Name::OfferPaths, kind::PATHS) => {
                    message.paths = Some(read_paths(rules, "offer_paths", &record.value)?);
                }
                (Name::OfferPaths, kind::PATHS_ABSOLUTE_EXPIRY) => {
                    let mut value = named("paths_absolute_expiry");
                    message.paths_absolute_expiry = Some(value.u64()?);
                    value.end()?;
                }
                (Name::ServeStaticInvoice, kind::STATIC_INVOICE) => {
                    let invoice = bolt12::invoice::read(
                        rules,
                        dialect.invoice(),
                        &record.value,
                        bolt12::offer::Context::default(),
                    )?;
                    message.invoice = Some((record.value.clone(), Box::new(invoice)));
                }
                (Name::ServeStaticInvoice, kind::FORWARD_INVOICE_REQUEST_PATH) => {
                    let mut value = named("forward_invoice_request_path");
                    message.forward_path = Some(BlindedPath::read(rules, &mut value)?);
                    value.end()?;
                }
                _ => {}
            }
        }
        Ok(message)
    }

    /// Writes the value of a record of `onionmsg_tlv` by the sender's rules.
    ///
    /// # Errors
    /// A [`Violation`] of a `blip-0066/…` rule or of `bolt01/tlv/sender/order`.
    pub fn encode(
        &self,
        rules: &Rules,
        dialect: Dialect,
        sender: &Sender<'_>,
    ) -> Result<Vec<u8>, Violation> {
        self.check(rules, sender)?;
        let stream = tlv::encode(rules, &self.records)?;
        let mut value = Vec::with_capacity(stream.len() + 9);
        if dialect.length_in_front() {
            bigsize::write(stream.len() as u64, &mut value);
        }
        value.extend_from_slice(&stream);
        Ok(value)
    }

    /// bLIP 66, requirements: what the senders of its messages put there.
    fn check(&self, rules: &Rules, sender: &Sender<'_>) -> Result<(), Violation> {
        let reply_path = match self.name {
            Name::OfferPathsRequest => Some(rules::BLIP_66_REQUEST_REPLY_PATH),
            Name::OfferPaths => Some(rules::BLIP_66_PATHS_REPLY_PATH),
            Name::ServeStaticInvoice => Some(rules::BLIP_66_SERVE_REPLY_PATH),
            _ => None,
        };
        if let Some(id) = reply_path {
            rules.check(id, sender.reply_path, || {
                format!("{} goes out without a reply path", self.name.as_str())
            })?;
        }
        match self.name {
            Name::OfferPaths => {
                let paths = self.paths.as_ref().map_or(0, Vec::len) as u64;
                rules.at_least(rules::BLIP_66_PATHS_PATHS, paths, 1, || {
                    "offer_paths has no path".into()
                })
            }
            Name::ServeStaticInvoice => {
                rules.check(
                    rules::BLIP_66_SERVE_FORWARD_PATH,
                    self.forward_path.is_some(),
                    || "serve_static_invoice has no path for invoice requests".into(),
                )?;
                self.check_offer(rules, sender)
            }
            _ => Ok(()),
        }
    }

    fn check_offer(&self, rules: &Rules, sender: &Sender<'_>) -> Result<(), Violation> {
        let (Some(given), Some((_, invoice))) = (sender.offer_paths, &self.invoice) else {
            return Ok(());
        };
        let paths = invoice.request.offer.paths.as_deref().unwrap_or_default();
        rules.check(
            rules::BLIP_66_SERVE_OFFER_PATHS,
            !paths.is_empty() && paths.iter().all(|path| given.contains(path)),
            || "the invoice's offer has other paths than those of offer_paths".into(),
        )
    }
}

/// What a sender does beside the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender<'a> {
    /// The onion message has a reply path.
    pub reply_path: bool,
    /// The paths of the `offer_paths` that an invoice follows on.
    pub offer_paths: Option<&'a [BlindedPath]>,
}

/// A stream that has its length in front; with the rule off, what there is of it.
fn behind_length<'a>(rules: &Rules, value: &'a [u8]) -> Result<&'a [u8], Violation> {
    let ids = Ids {
        truncated: rules::TLV_VALUE_LENGTH,
        minimal: rules::TLV_VALUE_MINIMAL,
    };
    let (length, rest) = bigsize::read(rules, ids, value)?;
    let there = rest.len() as u64;
    rules.check(rules::TLV_VALUE_LENGTH, length == there, || {
        format!("the stream has {there} bytes, and {length} by its length")
    })?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Ok(&rest[..length.min(rest.len())])
}

/// Reads a value that is paths and nothing else.
///
/// # Errors
/// As [`BlindedPath::read`].
pub fn read_paths(rules: &Rules, name: &str, value: &[u8]) -> Result<Vec<BlindedPath>, Violation> {
    let mut value = Reader::new(rules, name, value);
    let mut paths = Vec::new();
    while !value.is_empty() {
        paths.push(BlindedPath::read(rules, &mut value)?);
    }
    Ok(paths)
}

/// Paths one behind the other.
///
/// # Errors
/// [`PathTooLong`].
pub fn write_paths(paths: &[BlindedPath]) -> Result<Vec<u8>, PathTooLong> {
    let mut out = Vec::new();
    for path in paths {
        out.extend_from_slice(&path.encode()?);
    }
    Ok(out)
}
