//! Invoice requests and invoices of the probe's own making, honest or wrong in one named way.
//!
//! No clock and no node: times and draws are given. The list of wrongs, with the statements that they
//! break, is `specs/misbehaviours.yaml`.

use bitcoin::constants::ChainHash as Chain;
use bitcoin::secp256k1::SecretKey;
use lnconform_drafts::blinding::{self, BlindedPath};
use lnconform_drafts::bolt12::invoice::{self, MultiPart, Payer, Via};
use lnconform_drafts::bolt12::invoice_request::{self, Form};
use lnconform_drafts::bolt12::offer::{self, ChainHash, Context, Offer};
use lnconform_drafts::bolt12::{SIGNATURE, key_of, sign};
use lnconform_drafts::features;
use lnconform_drafts::keys::{self, Point};
use lnconform_drafts::onion_message::kind as message;
use lnconform_drafts::payload;
use lnconform_drafts::rules::{Rules, Violation};
use lnconform_drafts::tlv::{self, Record};
use lnconform_drafts::value::truncated;
use std::collections::BTreeMap;

/// Blocks that a payer of the probe's invoices adds to the tip.
const DELTA: u16 = 80;

/// The most that the probe's invoices let an HTLC hold, in msat.
const MOST_MSAT: u64 = 10_000_000_000;

/// A feature that nobody has defined, and that has to be understood.
const UNKNOWN_FEATURE: u16 = 100;

/// The wrong of an invoice whose first path asks for that feature, and the others do not.
pub const FIRST_PATH_UNUSABLE: &str = "invoice-payinfo-features-first";

/// The chain that every node of a run is on, in the order of the wire.
pub fn regtest() -> ChainHash {
    Chain::REGTEST.to_bytes()
}

/// Fields by their type.
type Fields = BTreeMap<u64, Vec<u8>>;

fn records(fields: &Fields) -> Vec<Record> {
    fields
        .iter()
        .map(|(kind, value)| Record::new(*kind, value.clone()))
        .collect()
}

/// A path that nobody can go: it has no hops.
fn path_without_hops(id: &Point) -> Vec<u8> {
    [&id[..], &id[..], &[0]].concat()
}

/// The name of a key beside the one that is right.
fn other(secret: &SecretKey) -> SecretKey {
    let mut bytes = keys::sha256(&[b"lnconform probe other", &secret.secret_bytes()]);
    loop {
        // One in 2^127 of these is no key.
        match SecretKey::from_slice(&bytes) {
            Ok(key) => return key,
            Err(_) => bytes = keys::sha256(&[&bytes]),
        }
    }
}

/// A payload of BOLT 12 as it goes into an onion message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its records, as they are sent.
    pub records: Vec<Record>,
    /// The type of the field of the onion message that it goes into.
    pub kind: u64,
    /// Bytes behind the records.
    pub tail: Vec<u8>,
    /// Further fields of the onion message.
    pub beside: Vec<Record>,
    /// It goes to the other's node id, where it belongs on a path.
    pub past_path: bool,
    /// It goes along a path that was given out for something else.
    pub along: bool,
}

impl Sealed {
    fn honest(kind: u64, records: Vec<Record>) -> Self {
        Self {
            records,
            kind,
            tail: Vec::new(),
            beside: Vec::new(),
            past_path: false,
            along: false,
        }
    }

    /// A request that was sent before, once more.
    pub fn again(asked: &Asked) -> Self {
        Self::honest(message::INVOICE_REQUEST, asked.records.clone())
    }

    /// Its TLV stream.
    pub fn stream(&self) -> Vec<u8> {
        [&tlv::encode_unchecked(&self.records)[..], &self.tail].concat()
    }

    /// The fields of the onion message's last payload, in order, the reply path aside.
    pub fn fields(&self) -> Vec<Record> {
        let mut fields = self.beside.clone();
        fields.push(Record::new(self.kind, self.stream()));
        fields.sort_by_key(|field| field.kind);
        fields
    }

    /// What is done once the signature is there. Answers whether it knows the name.
    fn after_signing(&mut self, name: &str) -> bool {
        let at = self.records.iter().position(|r| r.kind == SIGNATURE);
        match (name, at) {
            ("invreq-signature" | "invoice-signature", Some(at)) => {
                self.records[at].value[63] ^= 1;
            }
            ("invreq-signature-missing" | "invoice-signature-missing", Some(at)) => {
                self.records.remove(at);
            }
            ("invreq-record-twice" | "invoice-record-twice", Some(at)) => {
                let again = self.records[at].clone();
                self.records.insert(at, again);
            }
            // A type of three bytes, of which one is there.
            ("invreq-type-cut" | "invoice-type-cut", _) => self.tail = vec![0xfd],
            // An empty record of type 241 behind the signature, its type in three bytes.
            ("invreq-type-long" | "invoice-type-long", _) => self.tail = vec![0xfd, 0, 241, 0],
            ("message-two-payloads", _) => {
                let kind = match self.kind {
                    message::INVOICE_REQUEST => message::INVOICE,
                    _ => message::INVOICE_ERROR,
                };
                self.beside.push(Record::new(kind, self.stream()));
            }
            ("message-unknown-even-field", _) => self.beside.push(Record::new(62, [])),
            ("message-unknown-even-payload", _) => self.kind = 88,
            ("message-other-reply", _) => self.kind = message::INVOICE_REQUEST,
            (
                "invreq-past-the-path"
                | "invoice-past-the-reply-path"
                | "refund-invoice-past-the-path",
                _,
            ) => self.past_path = true,
            ("invreq-other-path" | "invreq-along-a-path" | "refund-invoice-along-a-path", _) => {
                self.along = true;
            }
            _ => return false,
        }
        true
    }
}

/// What a payer wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// In msat.
    pub amount_msat: Option<u64>,
    /// How many items.
    pub quantity: Option<u64>,
    /// A note to the payee.
    pub note: Option<String>,
    /// Bits of `invreq_features`.
    pub features: Vec<u16>,
}

/// A request for an invoice. `metadata` and `payer` are drawn for it alone; an unknown `wrong` is as
/// none.
///
/// # Errors
/// Without a `wrong`, the [`Violation`] of a rule for the writer: what is wished for does not go
/// together with the offer.
pub fn ask(
    offer: &Offer,
    wish: &Wish,
    metadata: [u8; 32],
    payer: &SecretKey,
    wrong: Option<&str>,
) -> Result<Sealed, Violation> {
    use invoice_request::kind;
    let mut fields: Fields = offer
        .records
        .iter()
        .map(|record| (record.kind, record.value.clone()))
        .collect();
    fields.insert(kind::METADATA, metadata.to_vec());
    fields.insert(kind::CHAIN, regtest().to_vec());
    if let Some(amount) = wish.amount_msat {
        fields.insert(kind::AMOUNT, truncated(amount));
    }
    if let Some(quantity) = wish.quantity {
        fields.insert(kind::QUANTITY, truncated(quantity));
    }
    if let Some(note) = &wish.note {
        fields.insert(kind::PAYER_NOTE, note.clone().into_bytes());
    }
    if !wish.features.is_empty() {
        let bits = wish.features.iter().copied();
        fields.insert(kind::FEATURES, features::from_bits(bits));
    }
    let id = key_of(payer);
    fields.insert(kind::PAYER_ID, id.to_vec());
    let Some(name) = wrong else {
        let writer = invoice_request::Writer {
            offer: Some(offer),
            secret: Some(payer),
            ..Default::default()
        };
        let rules = Rules::all();
        let written = invoice_request::write(&rules, Form::Answer, &records(&fields), &writer)?;
        return Ok(Sealed::honest(message::INVOICE_REQUEST, written));
    };
    let asked = wish.quantity.unwrap_or(1);
    match name {
        "invreq-metadata-missing" => drop(fields.remove(&kind::METADATA)),
        "invreq-payer-id-missing" => drop(fields.remove(&kind::PAYER_ID)),
        "invreq-payer-id-no-point" => drop(fields.insert(kind::PAYER_ID, vec![4; 33])),
        "invreq-amount-missing" => drop(fields.remove(&kind::AMOUNT)),
        "invreq-amount-below" => {
            let expected = offer.amount.unwrap_or(0).saturating_mul(asked);
            fields.insert(kind::AMOUNT, truncated(expected.saturating_sub(1)));
        }
        "invreq-quantity-missing" => drop(fields.remove(&kind::QUANTITY)),
        "invreq-quantity-zero" => drop(fields.insert(kind::QUANTITY, Vec::new())),
        "invreq-quantity-above" => {
            let most = offer.quantity_max.unwrap_or(0);
            fields.insert(kind::QUANTITY, truncated(most.saturating_add(1)));
        }
        "invreq-quantity-unwanted" => drop(fields.insert(kind::QUANTITY, vec![1])),
        "invreq-chain-missing" => drop(fields.remove(&kind::CHAIN)),
        "invreq-chain-other" => drop(fields.insert(kind::CHAIN, vec![0x11; 32])),
        "invreq-features-unknown-even" => {
            fields.insert(kind::FEATURES, features::from_bits([UNKNOWN_FEATURE]));
        }
        "invreq-unknown-even" => drop(fields.insert(92, Vec::new())),
        "invreq-type-outside" => drop(fields.insert(161, Vec::new())),
        "invreq-note-not-utf8" => drop(fields.insert(kind::PAYER_NOTE, vec![0xc3])),
        "invreq-path-without-hops" => drop(fields.insert(kind::PATHS, path_without_hops(&id))),
        "invreq-bip-353-name" => drop(fields.insert(kind::BIP_353_NAME, b"\x01@\x01x".to_vec())),
        "invreq-offer-invalid" => {
            let unknown = features::from_bits([UNKNOWN_FEATURE]);
            fields.insert(offer::kind::FEATURES, unknown);
        }
        "invreq-offer-description" => {
            fields.insert(offer::kind::DESCRIPTION, b"Another thing".to_vec());
        }
        "invreq-offer-cheaper" => drop(fields.insert(offer::kind::AMOUNT, vec![1])),
        "invreq-offer-field-added" => drop(fields.insert(33, vec![1])),
        "invreq-offer-expired" => {}
        _ => {}
    }
    let signed = sign(invoice_request::MESSAGE, &records(&fields), payer);
    let mut sealed = Sealed::honest(message::INVOICE_REQUEST, signed);
    sealed.after_signing(name);
    Ok(sealed)
}

/// What a refund says.
#[derive(Clone, Debug)]
pub struct Refund<'a> {
    /// In msat.
    pub amount_msat: u64,
    /// What it is for.
    pub description: &'a str,
    /// Seconds since 1970 after which nobody is to ask for it.
    pub until: Option<u64>,
    /// The path to the payer; without one the payer id is the node's.
    pub path: Option<&'a BlindedPath>,
}

/// A request for no offer: whoever answers it with an invoice is paid. It has no signature. An
/// unknown `wrong` is as none.
///
/// # Errors
/// Without a `wrong`, the [`Violation`] of a rule for the writer.
pub fn refund(
    wish: &Refund<'_>,
    metadata: [u8; 32],
    payer: &SecretKey,
    wrong: Option<&str>,
) -> Result<Sealed, Violation> {
    use invoice_request::kind;
    let mut fields = Fields::from([
        (kind::METADATA, metadata.to_vec()),
        (offer::kind::DESCRIPTION, wish.description.into()),
        (kind::CHAIN, regtest().to_vec()),
        (kind::AMOUNT, truncated(wish.amount_msat)),
        (kind::PAYER_ID, key_of(payer).to_vec()),
    ]);
    if let Some(until) = wish.until {
        fields.insert(offer::kind::ABSOLUTE_EXPIRY, truncated(until));
    }
    if let Some(path) = wish.path {
        // A path of the probe's own making is short.
        fields.insert(kind::PATHS, path.encode().unwrap_or_default());
    }
    let written = match wrong {
        None => {
            let writer = invoice_request::Writer {
                chain: Some(regtest()),
                ..Default::default()
            };
            let rules = Rules::all();
            invoice_request::write(&rules, Form::Refund, &records(&fields), &writer)?
        }
        Some(name) => {
            match name {
                "refund-chains" => {
                    fields.insert(offer::kind::CHAINS, regtest().to_vec());
                }
                "refund-amount-missing" => drop(fields.remove(&kind::AMOUNT)),
                _ => {}
            }
            records(&fields)
        }
    };
    Ok(Sealed::honest(message::INVOICE_REQUEST, written))
}

/// An offer of the probe's own.
#[derive(Clone, Debug)]
pub struct Made {
    /// The offer.
    pub offer: Offer,
    /// The mark in its path; an offer without paths has none.
    pub path_id: Option<Vec<u8>>,
    /// The key that its invoices are signed with.
    pub secret: SecretKey,
}

impl Made {
    /// What answers a request for no offer: its invoice may be signed with any key.
    pub fn none(secret: SecretKey) -> Self {
        Self {
            offer: Offer::default(),
            path_id: None,
            secret,
        }
    }
}

/// What goes into one invoice beside the request.
#[derive(Clone, Debug)]
pub struct Terms {
    /// In msat.
    pub amount_msat: u64,
    /// What opens the hash.
    pub preimage: [u8; 32],
    /// The paths of the payment.
    pub paths: Vec<BlindedPath>,
    /// Whether several parts may pay.
    pub multi_part: MultiPart,
    /// Further bits of `invoice_features`.
    pub features: Vec<u16>,
    /// Seconds since 1970.
    pub now: u64,
}

impl Terms {
    /// What the invoice is paid with.
    pub fn payment_hash(&self) -> [u8; 32] {
        keys::sha256(&[&self.preimage])
    }

    /// The bitmap of `invoice_features`.
    fn bitmap(&self) -> Vec<u8> {
        let parts: &[u16] = match self.multi_part {
            MultiPart::Required => &[16],
            MultiPart::Allowed => &[17],
            MultiPart::Forbidden => &[],
        };
        features::from_bits(parts.iter().chain(&self.features).copied())
    }
}

/// What a payer has to know of a path without forwarders.
fn payinfo(unknown: bool) -> Vec<u8> {
    let allowed = if unknown {
        features::from_bits([UNKNOWN_FEATURE])
    } else {
        Vec::new()
    };
    let length = u16::try_from(allowed.len()).unwrap_or_default();
    [
        &0_u32.to_be_bytes()[..],
        &0_u32.to_be_bytes(),
        &DELTA.to_be_bytes(),
        &1_u64.to_be_bytes(),
        &MOST_MSAT.to_be_bytes(),
        &length.to_be_bytes(),
        &allowed,
    ]
    .concat()
}

/// An invoice for the request that has these `asked` records.
///
/// # Errors
/// Without a `wrong`, the [`Violation`] of a rule for the writer.
pub fn answer(
    asked: &[Record],
    made: &Made,
    terms: &Terms,
    wrong: Option<&str>,
) -> Result<Sealed, Violation> {
    use invoice::kind;
    use invoice_request::kind as request;
    let mut fields: Fields = asked
        .iter()
        .filter(|record| invoice_request::in_range(record.kind))
        .map(|record| (record.kind, record.value.clone()))
        .collect();
    let node_id = key_of(&made.secret);
    let paths = terms.paths.iter();
    let paths: Vec<Vec<u8>> = paths.map(|p| p.encode().unwrap_or_default()).collect();
    fields.insert(kind::PATHS, paths.concat());
    fields.insert(kind::BLINDEDPAY, payinfo(false).repeat(paths.len()));
    let bitmap = terms.bitmap();
    if !bitmap.is_empty() {
        fields.insert(kind::FEATURES, bitmap);
    }
    fields.insert(kind::CREATED_AT, truncated(terms.now));
    fields.insert(kind::PAYMENT_HASH, terms.payment_hash().to_vec());
    fields.insert(kind::AMOUNT, truncated(terms.amount_msat));
    fields.insert(kind::NODE_ID, node_id.to_vec());
    let Some(name) = wrong else {
        let writer = invoice::Writer {
            request: Some(asked),
            preimage: Some(terms.preimage),
            multi_part: Some(terms.multi_part),
            sent_to: made.path_id.as_ref().map(|_| node_id),
            secret: Some(&made.secret),
            ..Default::default()
        };
        let rules = Rules::all();
        let kind = invoice::Kind::Invoice;
        let written = invoice::write(&rules, kind, &records(&fields), &writer)?;
        return Ok(Sealed::honest(message::INVOICE, written));
    };
    let stranger = other(&made.secret);
    let mut signer = &made.secret;
    match name {
        "invoice-amount-other" => {
            fields.insert(kind::AMOUNT, truncated(terms.amount_msat.saturating_add(1)));
        }
        "invoice-amount-missing" => drop(fields.remove(&kind::AMOUNT)),
        "invoice-created-at-missing" => drop(fields.remove(&kind::CREATED_AT)),
        "invoice-payment-hash-missing" => drop(fields.remove(&kind::PAYMENT_HASH)),
        "invoice-node-id-missing" => drop(fields.remove(&kind::NODE_ID)),
        "invoice-node-id-other" | "invoice-node-id-not-the-end" => {
            fields.insert(kind::NODE_ID, key_of(&stranger).to_vec());
            signer = &stranger;
        }
        "invoice-signer-other" => signer = &stranger,
        "invoice-paths-missing" => drop(fields.remove(&kind::PATHS)),
        "invoice-path-without-hops" => {
            drop(fields.insert(kind::PATHS, path_without_hops(&node_id)))
        }
        "invoice-blindedpay-missing" => drop(fields.remove(&kind::BLINDEDPAY)),
        "invoice-blindedpay-more" => {
            fields.insert(kind::BLINDEDPAY, payinfo(false).repeat(2));
        }
        "invoice-payinfo-features" => drop(fields.insert(kind::BLINDEDPAY, payinfo(true))),
        FIRST_PATH_UNUSABLE => {
            let rest = payinfo(false).repeat(paths.len().saturating_sub(1));
            fields.insert(kind::BLINDEDPAY, [payinfo(true), rest].concat());
        }
        "invoice-features-unknown-even" => {
            fields.insert(kind::FEATURES, features::from_bits([UNKNOWN_FEATURE]));
        }
        "invoice-unknown-even" => drop(fields.insert(178, Vec::new())),
        "invoice-expired" => {
            fields.insert(kind::CREATED_AT, truncated(terms.now.saturating_sub(100)));
            fields.insert(kind::RELATIVE_EXPIRY, vec![10]);
        }
        "invoice-expired-default" => {
            let age = u64::from(invoice::DEFAULT_EXPIRY) + 100;
            fields.insert(kind::CREATED_AT, truncated(terms.now.saturating_sub(age)));
        }
        "invoice-chain-missing" => drop(fields.remove(&request::CHAIN)),
        "invoice-chain-other" => drop(fields.insert(request::CHAIN, vec![0x11; 32])),
        "invoice-metadata-other" => {
            if let Some(last) = fields
                .get_mut(&request::METADATA)
                .and_then(|v| v.last_mut())
            {
                *last ^= 1;
            }
        }
        "invoice-payer-id-other" => {
            fields.insert(request::PAYER_ID, key_of(&stranger).to_vec());
        }
        "invoice-other-request" => {
            fields.insert(request::PAYER_ID, key_of(&stranger).to_vec());
            fields.insert(request::METADATA, vec![7; 32]);
        }
        "invoice-note-other" => {
            fields.insert(request::PAYER_NOTE, b"not what was written".to_vec());
        }
        "invoice-request-field-added" => drop(fields.insert(93, vec![1])),
        "invoice-offer-description" => {
            fields.insert(offer::kind::DESCRIPTION, b"Another thing".to_vec());
        }
        _ => {}
    }
    let message_name = invoice::Kind::Invoice.message();
    let signed = sign(message_name, &records(&fields), signer);
    let mut sealed = Sealed::honest(message::INVOICE, signed);
    sealed.after_signing(name);
    Ok(sealed)
}

/// A request that was sent, and what is known of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its records.
    pub records: Vec<Record>,
    /// The mark in its reply path.
    pub path_id: [u8; 32],
    /// The point that it was sent to.
    pub sent_to: Option<Point>,
}

impl Asked {
    /// Its bytes.
    pub fn stream(&self) -> Vec<u8> {
        tlv::encode_unchecked(&self.records)
    }

    /// Reads an invoice for it, which came along the path with this mark.
    ///
    /// # Errors
    /// A [`Violation`] of a reader rule of invoices.
    pub fn read(
        &self,
        stream: &[u8],
        path_id: Option<&[u8]>,
        now: u64,
    ) -> Result<invoice::Invoice, Violation> {
        let own = self.records.iter().map(|record| record.kind);
        let of_the_request = own.into_iter().any(|k| k == invoice_request::kind::PATHS);
        let via = match path_id {
            None => Via::Direct,
            // A path in the request itself takes the place of a reply path.
            Some(mark) if mark == self.path_id && of_the_request => Via::RequestPath,
            Some(mark) if mark == self.path_id => Via::ReplyPath,
            Some(_) => Via::OtherPath,
        };
        self.check(stream, Some(via), now, None)
    }

    /// Whether an invoice that was read may be paid with these parts: the path of each, by index.
    ///
    /// # Errors
    /// As [`Asked::read`], and the rules of the payment.
    pub fn pays(&self, stream: &[u8], now: u64, parts: &[usize]) -> Result<(), Violation> {
        self.check(stream, None, now, Some(parts)).map(|_| ())
    }

    fn check(
        &self,
        stream: &[u8],
        via: Option<Via>,
        now: u64,
        parts: Option<&[usize]>,
    ) -> Result<invoice::Invoice, Violation> {
        let chains = [regtest()];
        let payer = Payer {
            context: Context {
                now: Some(now),
                chains: Some(&chains),
            },
            request: Some(&self.records),
            sent_to: self.sent_to,
            via,
            parts,
        };
        invoice::match_request(&Rules::all(), stream, &payer)
    }
}

/// Reads a request for an offer of the probe's; `path_id` is the mark of the path that it came along.
///
/// # Errors
/// A [`Violation`] of a reader rule of invoice requests.
pub fn read_request(
    stream: &[u8],
    made: Option<&Made>,
    path_id: Option<&[u8]>,
    now: u64,
) -> Result<invoice_request::Response, Violation> {
    let via = match (path_id, made.and_then(|made| made.path_id.as_deref())) {
        (None, _) => invoice_request::Via::Direct,
        (Some(mark), Some(own)) if mark == own => invoice_request::Via::OfferPath,
        (Some(_), _) => invoice_request::Via::OtherPath,
    };
    let chains = [regtest()];
    let none = Offer::default();
    let responder = invoice_request::Responder {
        context: Context {
            now: Some(now),
            chains: Some(&chains),
        },
        // What is for no offer of the probe's is for one that was never made.
        offer: Some(made.map_or(&none, |made| &made.offer)),
        via: Some(via),
        ..Default::default()
    };
    invoice_request::respond(&Rules::all(), stream, &responder)
}

/// Reads a request for no offer from its string.
///
/// # Errors
/// A [`Violation`] of the encoding or of a reader rule of invoice requests.
pub fn read_refund(text: &str, now: u64) -> Result<invoice_request::Response, Violation> {
    let all = Rules::all();
    let stream = invoice_request::unwrap(&all, text)?;
    let chains = [regtest()];
    let context = Context {
        now: Some(now),
        chains: Some(&chains),
    };
    invoice_request::read_refund(&all, &stream, context)?;
    let responder = invoice_request::Responder {
        context,
        ..Default::default()
    };
    invoice_request::respond(&all, &stream, &responder)
}

/// The payload of an HTLC along a path of the probe's invoices, as that of a payment to its node id:
/// the mark of the path is the payment secret. Absent for any other payload.
pub fn unblinded(secret: &SecretKey, payload: &[u8]) -> Option<Vec<u8>> {
    use payload::kind;
    let all = Rules::all();
    let mut records = tlv::frames(&all, payload).ok()?;
    let find = |kind| records.iter().find(|record| record.kind == kind);
    let path_key: Point = find(kind::PATH_KEY)?.value.as_slice().try_into().ok()?;
    let sealed = find(kind::ENCRYPTED_DATA)?.value.clone();
    let total = find(kind::TOTAL)?.value.clone();
    let read = blinding::unblind(&all, secret, &path_key, &sealed).ok()?;
    let mark = read.data.path_id.filter(|mark| mark.len() == 32)?;
    let blinded = [kind::PATH_KEY, kind::ENCRYPTED_DATA, kind::TOTAL];
    records.retain(|record| !blinded.contains(&record.kind));
    records.push(Record::new(kind::PAYMENT_DATA, [mark, total].concat()));
    records.sort_by_key(|record| record.kind);
    Some(tlv::encode_unchecked(&records))
}

#[cfg(test)]
mod tests;
