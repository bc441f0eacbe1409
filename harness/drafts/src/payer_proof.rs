//! Payer proofs of BOLT 12: an invoice was paid, and by whom, with chosen fields of it shown.
//!
//! A proof holds the included fields of the invoice, the invoice's signature, what is needed to
//! rebuild the Merkle root that it signs, and a signature of the payer over all of that. This is
//! the final form, with the fields 241 and 1001 to 1005. Its text was not to be had: the sentences
//! of pull request 1295 are followed where they still hold, the rest is what the vectors of pull
//! request 1346 show. The form of pull request 1295 itself, with the fields 242 to 250, is
//! recognised and refused with its name.

use crate::bech32;
use crate::bigsize::{self, Ids};
use crate::blinding::BlindedPath;
use crate::bolt12::merkle::{self, Node, SIGNATURE_TYPES, TreeError};
use crate::keys::{self, Point, SecretKey};
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::Reader;
use std::ops::RangeInclusive;

/// The human-readable prefix.
pub const PREFIX: &str = "lnp";

/// Name of the message in the tag of the payer's signature.
pub const MESSAGE: &str = "payer_proof";

/// Name of the field in the tag of the payer's signature.
pub const FIELD: &str = "proof_signature";

/// Field numbers that the rules speak of.
pub mod kind {
    #![allow(missing_docs)]
    pub const INVREQ_METADATA: u64 = 0;
    pub const INVREQ_PAYER_ID: u64 = 88;
    pub const INVOICE_PAYMENT_HASH: u64 = 168;
    pub const INVOICE_FEATURES: u64 = 174;
    pub const INVOICE_NODE_ID: u64 = 176;
    pub const SIGNATURE: u64 = 240;
    pub const PROOF_SIGNATURE: u64 = 241;
    pub const PROOF_PREIMAGE: u64 = 1001;
    pub const PROOF_OMITTED_TLVS: u64 = 1002;
    pub const PROOF_MISSING_HASHES: u64 = 1003;
    pub const PROOF_LEAF_HASHES: u64 = 1004;
    pub const PROOF_NOTE: u64 = 1005;
}

/// Types of the proof's own fields; they are no fields of an invoice.
pub const PROOF_TYPES: RangeInclusive<u64> = 1001..=999_999_999;

/// The last type of an invoice below the signatures.
const LAST_BEFORE: u64 = 239;

/// The lowest experimental type.
const EXPERIMENTAL: u64 = 1_000_000_000;

/// The highest type of an invoice.
const HIGHEST: u64 = 3_999_999_999;

/// Types of the older form, in the range of signatures.
const OLDER: [u64; 5] = [242, 244, 246, 248, 250];

/// Even types that the reader knows.
const KNOWN: [u64; 30] = [
    0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 80, 82, 84, 86, 88, 90, 160, 162, 164, 166, 168,
    170, 172, 174, 176, 240, 1002, 1004,
];

/// A BigSize inside a value.
const IN_VALUE: Ids = Ids {
    truncated: rules::TLV_VALUE_LENGTH,
    minimal: rules::TLV_VALUE_MINIMAL,
};

/// The marker that follows a marker or the type of an included field.
///
/// One more, but nothing from 240 to 999999999: those types are no fields of an invoice, so 239 is
/// followed by 1000000000.
pub fn next_marker(previous: u64) -> u64 {
    if (LAST_BEFORE..EXPERIMENTAL).contains(&previous) {
        EXPERIMENTAL
    } else {
        previous.saturating_add(1)
    }
}

/// Whether a record of a proof is a field of the invoice.
fn is_of_invoice(kind: u64) -> bool {
    !SIGNATURE_TYPES.contains(&kind) && !PROOF_TYPES.contains(&kind)
}

/// What a proof says about the fields that it does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// A number for each omitted field but type 0, which shows no more than its place.
    pub markers: Vec<u64>,
    /// Roots of the largest trees of omitted fields alone, each when its neighbour is combined
    /// with it: depth first, left before right.
    pub missing_hashes: Vec<Node>,
    /// The nonce of each included field, in the order of types.
    pub leaf_hashes: Vec<Node>,
    /// Root of the invoice's tree.
    pub root: Node,
}

/// Works out what a proof says in place of the fields that `included` does not hold for.
///
/// `invoice` is in stream order; its signatures are left out.
///
/// # Errors
/// [`TreeError`].
pub fn disclose(
    rules: &Rules,
    invoice: &[Record],
    included: impl Fn(u64) -> bool,
) -> Result<Disclosure, TreeError> {
    let tree = merkle::tree(rules, invoice)?;
    let fields = invoice
        .iter()
        .filter(|record| !SIGNATURE_TYPES.contains(&record.kind));
    let mut markers = Vec::new();
    let mut leaf_hashes = Vec::new();
    let mut leaves = Vec::with_capacity(tree.pairs.len());
    let wrong = |id, how| rules.mistaken(id, how);
    // Payer proofs, writer: a marker is one more than the type or the marker before it.
    let marker = |last: u64, behind_included: bool, first: bool| {
        let mistake = match first {
            true => wrong(rules::PROOF_WRITER_MARKER_FIRST, "begins-at-2"),
            false => wrong(rules::PROOF_WRITER_MARKER_AFTER_MARKER, "two-more"),
        };
        let more = u64::from(mistake && !behind_included);
        let no_jump = wrong(rules::PROOF_WRITER_MARKER_JUMP, "no-jump")
            || behind_included && wrong(rules::PROOF_WRITER_MARKER_JUMP, "no-jump-behind-included");
        match no_jump {
            true => last.saturating_add(1 + more),
            false => next_marker(last).saturating_add(more),
        }
    };
    let mut behind_included = false;
    let mut last = 0;
    for ((field, nonce), pair) in fields.zip(&tree.nonces).zip(&tree.pairs) {
        let shown = included(field.kind);
        if shown != wrong(rules::PROOF_WRITER_LEAF_HASHES, "of-omitted-fields") {
            leaf_hashes.push(*nonce);
        }
        if shown {
            behind_included = true;
            if !wrong(
                rules::PROOF_WRITER_MARKER_AFTER_INCLUDED,
                "counted-on-from-marker",
            ) {
                last = field.kind;
            }
        } else if field.kind != kind::INVREQ_METADATA
            || wrong(rules::PROOF_WRITER_OMITTED, "type-0-too")
        {
            last = marker(last, behind_included, markers.is_empty());
            behind_included = false;
            markers.push(
                match wrong(rules::PROOF_WRITER_OMITTED, "types-themselves") {
                    true => field.kind,
                    false => last,
                },
            );
        }
        leaves.push((*pair, shown));
    }
    let mut missing_hashes = Vec::new();
    prune(rules, &leaves, &mut missing_hashes);
    if wrong(rules::PROOF_WRITER_MISSING_HASHES_ORDER, "top-first") {
        missing_hashes.reverse();
    }
    if wrong(rules::PROOF_WRITER_LEAF_HASHES, "leaf-for-nonce") {
        leaf_hashes = tree
            .leaves
            .iter()
            .zip(&leaves)
            .filter(|(_, (_, shown))| *shown)
            .map(|(leaf, _)| *leaf)
            .collect();
    }
    Ok(Disclosure {
        markers,
        missing_hashes,
        leaf_hashes,
        root: tree.root,
    })
}

/// Root of the tree over `leaves`, and whether any of them is shown.
fn prune(rules: &Rules, leaves: &[(Node, bool)], missing: &mut Vec<Node>) -> (Node, bool) {
    match leaves {
        [] => ([0; 32], false),
        [(leaf, shown)] => {
            // A mutant lists every leaf, and leaves it to the reader to combine them.
            if !shown && rules.mistaken(rules::PROOF_WRITER_MISSING_HASHES, "each-omitted-leaf") {
                missing.push(*leaf);
            }
            (*leaf, *shown)
        }
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let (left, left_shown) = prune(rules, left, missing);
            let (right, right_shown) = prune(rules, right, missing);
            // Payer proofs, example: where one side is omitted as a whole and the other is not,
            // its hash is appended.
            let each = rules.mistaken(rules::PROOF_WRITER_MISSING_HASHES, "each-omitted-leaf");
            match (left_shown, right_shown) {
                _ if each => {}
                (true, false) => missing.push(right),
                (false, true) => missing.push(left),
                _ => {}
            }
            (branch(&left, &right), left_shown || right_shown)
        }
    }
}

fn branch(a: &Node, b: &Node) -> Node {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    merkle::tagged_hash(b"LnBranch", &[*low, *high].concat())
}

/// What a payer makes a proof of.
#[derive(Clone, Copy, Debug)]
pub struct Payment<'a> {
    /// The invoice, as its TLV stream.
    pub invoice: &'a [u8],
    /// What paying it brought.
    pub preimage: &'a [u8; 32],
    /// Types of the fields to show beside those that every proof shows.
    pub include: &'a [u64],
    /// Text that the proof carries, such as a verifier's challenge.
    pub note: Option<&'a str>,
}

/// Makes the records of a proof.
///
/// Included beside what was asked for: payer id, payment hash, node id and, where the invoice has
/// them, its features. What the invoice does not have is not included.
///
/// # Errors
/// A [`Violation`] of a `payer-proof/writer/…` rule, of `payer-proof/markers/zero-implied` where
/// the invoice does not begin with its metadata, or of a `bolt01/tlv/…` rule for the invoice.
pub fn create(
    rules: &Rules,
    payment: &Payment<'_>,
    secret: &SecretKey,
) -> Result<Vec<Record>, Violation> {
    let invoice = tlv::frames(rules, payment.invoice)?;
    let value = |kind| value_of(&invoice, kind);
    rules.check(
        rules::PROOF_ZERO_IMPLIED,
        invoice
            .first()
            .is_some_and(|r| r.kind == kind::INVREQ_METADATA),
        || "the invoice does not begin with invreq_metadata, so no proof of it can be read".into(),
    )?;
    for (kind, name) in [
        (kind::INVREQ_PAYER_ID, "invreq_payer_id"),
        (kind::INVOICE_PAYMENT_HASH, "invoice_payment_hash"),
        (kind::INVOICE_NODE_ID, "invoice_node_id"),
        (kind::SIGNATURE, "signature"),
    ] {
        rules.check(rules::PROOF_WRITER_REQUIRED, value(kind).is_some(), || {
            format!("the invoice has no {name}, which a proof needs")
        })?;
    }
    for &included in payment.include {
        rules.check(
            rules::PROOF_WRITER_METADATA,
            included != kind::INVREQ_METADATA,
            || {
                "invreq_metadata is the nonce that hides omitted fields; it cannot be included"
                    .into()
            },
        )?;
        rules.check(
            rules::PROOF_WRITER_FROM_INVOICE,
            is_of_invoice(included),
            || format!("type {included} is no field of an invoice, so it cannot be included"),
        )?;
    }
    let hash = keys::sha256(&[payment.preimage]);
    rules.check(
        rules::PROOF_WRITER_PREIMAGE,
        value(kind::INVOICE_PAYMENT_HASH).is_none_or(|expected| *expected == hash),
        || "the preimage does not open invoice_payment_hash".into(),
    )?;
    let payer = keys::public(secret).serialize();
    rules.check(
        rules::PROOF_WRITER_SIGNATURE,
        value(kind::INVREQ_PAYER_ID).is_none_or(|id| *id == payer),
        || "payer_secret is not the key of invreq_payer_id".into(),
    )?;
    let always = [
        kind::INVREQ_PAYER_ID,
        kind::INVOICE_PAYMENT_HASH,
        kind::INVOICE_FEATURES,
        kind::INVOICE_NODE_ID,
    ];
    let included = |kind| always.contains(&kind) || payment.include.contains(&kind);
    write(rules, &invoice, payment, included, secret)
}

/// Makes the records of a proof that shows exactly `payment.include`, whatever that leads to; a
/// builder of invalid proofs needs that.
///
/// # Errors
/// A [`Violation`] of a `bolt01/tlv/…` rule for the invoice.
pub fn create_unchecked(
    rules: &Rules,
    payment: &Payment<'_>,
    secret: &SecretKey,
) -> Result<Vec<Record>, Violation> {
    let invoice = tlv::frames(rules, payment.invoice)?;
    let included = |kind| payment.include.contains(&kind);
    write(rules, &invoice, payment, included, secret)
}

fn write(
    rules: &Rules,
    invoice: &[Record],
    payment: &Payment<'_>,
    included: impl Fn(u64) -> bool,
    secret: &SecretKey,
) -> Result<Vec<Record>, Violation> {
    let wrong = |id, how| rules.mistaken(id, how);
    let included = |kind| is_of_invoice(kind) && included(kind);
    let disclosed = match disclose(rules, invoice, included) {
        Ok(disclosed) => disclosed,
        Err(TreeError::Rule(violation)) => return Err(violation),
        // An invoice of signatures alone, past every rule: there is nothing to show or to hide.
        Err(TreeError::Empty) => Disclosure {
            markers: Vec::new(),
            missing_hashes: Vec::new(),
            leaf_hashes: Vec::new(),
            root: [0; 32],
        },
    };
    let mut records: Vec<Record> = invoice
        .iter()
        .filter(|r| match r.kind {
            kind::SIGNATURE => !wrong(rules::PROOF_WRITER_INVOICE_SIGNATURE, "left-out"),
            odd if odd % 2 == 1 && wrong(rules::PROOF_WRITER_COPY, "unknown-left-out") => {
                included(odd) && [89, 91].contains(&odd)
            }
            kind => included(kind),
        })
        .cloned()
        .collect();
    records.push(Record::new(kind::PROOF_PREIMAGE, *payment.preimage));
    // Final form: the field may be left out where no marker is needed.
    if !disclosed.markers.is_empty() {
        let mut markers = Vec::new();
        for marker in &disclosed.markers {
            bigsize::write(*marker, &mut markers);
        }
        records.push(Record::new(kind::PROOF_OMITTED_TLVS, markers));
    }
    let missing = disclosed.missing_hashes.concat();
    records.push(Record::new(kind::PROOF_MISSING_HASHES, missing));
    let nonces = disclosed.leaf_hashes.concat();
    records.push(Record::new(kind::PROOF_LEAF_HASHES, nonces));
    let note = payment
        .note
        .filter(|note| !note.is_empty() || !wrong(rules::PROOF_NOTE_EMPTY, "left-out"))
        .map(|note| Record::new(kind::PROOF_NOTE, note));
    let unsigned = wrong(rules::PROOF_NOTE_SIGNED, "added-unsigned");
    let (signed, added) = if unsigned { (None, note) } else { (note, None) };
    records.extend(signed);
    records.sort_by_key(|record| record.kind);
    sign(rules, &mut records, secret)?;
    records.extend(added);
    Ok(records)
}

/// Puts the payer's signature over the other records, in the place of one that is there.
///
/// # Errors
/// A [`Violation`] of `bolt01/tlv/order`.
pub fn sign(rules: &Rules, records: &mut Vec<Record>, secret: &SecretKey) -> Result<(), Violation> {
    records.retain(|record| record.kind != kind::PROOF_SIGNATURE);
    let Some(root) = root_of(rules, records)? else {
        return Ok(());
    };
    let hash = merkle::signed_hash(rules, MESSAGE, FIELD, &root);
    let signature = Record::new(kind::PROOF_SIGNATURE, merkle::sign(&hash, secret, None));
    let at = records.partition_point(|r| r.kind < kind::PROOF_SIGNATURE);
    records.insert(at, signature);
    Ok(())
}

/// The root over all records but signatures; none where there is no other.
fn root_of(rules: &Rules, records: &[Record]) -> Result<Option<Node>, Violation> {
    match merkle::tree(rules, records) {
        Ok(tree) => Ok(Some(tree.root)),
        Err(TreeError::Empty) => Ok(None),
        Err(TreeError::Rule(violation)) => Err(violation),
    }
}

/// Writes records as a proof, whatever they are.
pub fn encode(records: &[Record]) -> String {
    bech32::encode(PREFIX, &tlv::encode_unchecked(records))
}

fn value_of(records: &[Record], kind: u64) -> Option<&[u8]> {
    records
        .iter()
        .find(|record| record.kind == kind)
        .map(|record| record.value.as_slice())
}

/// A proof that was read.
///
/// What every proof has is optional here, since a reader without the rule lets it be missing; what
/// depends on it is then not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// All records.
    pub records: Vec<Record>,
    /// Those that are fields of the invoice.
    pub disclosed: Vec<Record>,
    /// Key of who paid.
    pub payer_id: Option<Point>,
    /// Hash that the payment was locked to.
    pub payment_hash: Option<[u8; 32]>,
    /// Key of who made the invoice.
    pub invoice_node_id: Option<Point>,
    /// The invoice's signature.
    pub signature: Option<[u8; 64]>,
    /// The payer's signature.
    pub proof_signature: Option<[u8; 64]>,
    /// What the payment brought.
    pub preimage: Option<[u8; 32]>,
    /// Markers of omitted fields.
    pub omitted: Vec<u64>,
    /// Hashes that the tree lacks.
    pub missing_hashes: Option<Vec<Node>>,
    /// Nonces of the included fields.
    pub leaf_hashes: Option<Vec<Node>>,
    /// The payer's text.
    pub note: Option<String>,
}

/// Reads a proof from its string and checks it.
///
/// The encoding is checked first, then the framing of the stream, unknown even types, the form of
/// each known value, what must be there, the markers, the numbers of hashes, the preimage, and the
/// two signatures.
///
/// # Errors
/// A [`Violation`] of a `bolt12/encoding/…`, `bolt01/…` or `payer-proof/…` rule.
pub fn verify(rules: &Rules, text: &str) -> Result<Proof, Violation> {
    let decoded = bech32::decode(rules, text)?;
    rules.check(rules::PROOF_PREFIX, decoded.prefix == PREFIX, || {
        format!("the prefix is {}, not {PREFIX}", decoded.prefix)
    })?;
    verify_stream(rules, &decoded.bytes)
}

/// Reads a proof from its TLV stream and checks it.
///
/// # Errors
/// As [`verify`], the encoding aside.
pub fn verify_stream(rules: &Rules, stream: &[u8]) -> Result<Proof, Violation> {
    let records = tlv::frames(rules, stream)?;
    let has = |kind| value_of(&records, kind).is_some();
    let older = OLDER.iter().any(|kind| has(*kind))
        && !(kind::PROOF_PREIMAGE..=kind::PROOF_NOTE).any(has)
        && !has(kind::PROOF_SIGNATURE);
    rules.check(rules::TLV_UNKNOWN_EVEN, !older, || {
        "the proof has the older form of pull request 1295 (fields 242 to 250), not the final one \
         (fields 241 and 1001 to 1005); ask the payer for a new proof"
            .into()
    })?;
    tlv::refuse_unknown_even(rules, rules::TLV_UNKNOWN_EVEN, &records, |kind| {
        KNOWN.contains(&kind)
    })?;
    let proof = fields(rules, records)?;
    check_presence(rules, &proof)?;
    let positions = check_markers(rules, &proof)?;
    let root = rebuild(rules, &proof, &positions)?;
    if let (Some(preimage), Some(hash)) = (&proof.preimage, &proof.payment_hash) {
        rules.check(
            rules::PROOF_PREIMAGE,
            keys::sha256(&[preimage]) == *hash,
            || "proof_preimage does not open invoice_payment_hash".into(),
        )?;
    }
    if let (Some(root), Some(signature), Some(key)) =
        (root, &proof.signature, &proof.invoice_node_id)
    {
        let hash = merkle::signed_hash(rules, "invoice", "signature", &root);
        rules.check(
            rules::PROOF_SIGNATURE,
            merkle::verify(&hash, &x_only(key), signature),
            || "invoice_node_id did not sign the invoice that the proof rebuilds".into(),
        )?;
    }
    if let (Some(root), Some(signature), Some(key)) = (
        root_of(rules, &proof.records)?,
        &proof.proof_signature,
        &proof.payer_id,
    ) {
        let hash = merkle::signed_hash(rules, MESSAGE, FIELD, &root);
        rules.check(
            rules::PROOF_PROOF_SIGNATURE,
            merkle::verify(&hash, &x_only(key), signature),
            || "invreq_payer_id did not sign the proof".into(),
        )?;
    }
    Ok(proof)
}

fn x_only(point: &Point) -> [u8; 32] {
    let mut x = [0; 32];
    x.copy_from_slice(&point[1..]);
    x
}

/// Reads the value of each known field.
fn fields(rules: &Rules, records: Vec<Record>) -> Result<Proof, Violation> {
    let mut proof = Proof::default();
    for record in &records {
        match record.kind {
            kind::INVREQ_PAYER_ID => {
                proof.payer_id = Some(point(rules, "invreq_payer_id", &record.value)?);
            }
            kind::INVOICE_PAYMENT_HASH => {
                proof.payment_hash = Some(array(rules, "invoice_payment_hash", &record.value)?);
            }
            kind::INVOICE_NODE_ID => {
                proof.invoice_node_id = Some(point(rules, "invoice_node_id", &record.value)?);
            }
            kind::SIGNATURE => {
                proof.signature = Some(array(rules, "signature", &record.value)?);
            }
            kind::PROOF_SIGNATURE => {
                proof.proof_signature = Some(array(rules, "proof_signature", &record.value)?);
            }
            kind::PROOF_PREIMAGE => {
                proof.preimage = Some(array(rules, "proof_preimage", &record.value)?);
            }
            kind::PROOF_OMITTED_TLVS => {
                let mut rest = record.value.as_slice();
                while !rest.is_empty() {
                    let (marker, after) = bigsize::read(rules, IN_VALUE, rest)?;
                    proof.omitted.push(marker);
                    rest = after;
                }
            }
            kind::PROOF_MISSING_HASHES => {
                proof.missing_hashes = Some(hashes(rules, "proof_missing_hashes", &record.value)?);
            }
            kind::PROOF_LEAF_HASHES => {
                proof.leaf_hashes = Some(hashes(rules, "proof_leaf_hashes", &record.value)?);
            }
            kind::PROOF_NOTE => {
                let mut value = Reader::new(rules, "proof_note", &record.value);
                proof.note = Some(value.utf8()?);
            }
            kind => check_form(rules, kind, &record.value)?,
        }
        if is_of_invoice(record.kind) {
            proof.disclosed.push(record.clone());
        }
    }
    proof.records = records;
    Ok(proof)
}

fn array<const N: usize>(rules: &Rules, name: &str, value: &[u8]) -> Result<[u8; N], Violation> {
    let mut reader = Reader::new(rules, name, value);
    let array = reader.array()?;
    reader.end()?;
    Ok(array)
}

fn point(rules: &Rules, name: &str, value: &[u8]) -> Result<Point, Violation> {
    // The length first: what is too long is no case of a bad point.
    array::<33>(rules, name, value)?;
    Reader::new(rules, name, value).point()
}

fn hashes(rules: &Rules, name: &str, value: &[u8]) -> Result<Vec<Node>, Violation> {
    let mut reader = Reader::new(rules, name, value);
    let mut hashes = Vec::with_capacity(value.len() / 32);
    while !reader.is_empty() {
        hashes.push(reader.array()?);
    }
    Ok(hashes)
}

/// The form of the other fields of an invoice, which the proof shows and does not use.
fn check_form(rules: &Rules, kind: u64, value: &[u8]) -> Result<(), Violation> {
    let named = |name| Reader::new(rules, name, value);
    match kind {
        2 => hashes(rules, "offer_chains", value).map(drop),
        6 => named("offer_currency").utf8().map(drop),
        8 => named("offer_amount").tu64().map(drop),
        10 => named("offer_description").utf8().map(drop),
        14 => named("offer_absolute_expiry").tu64().map(drop),
        16 => paths(named("offer_paths"), rules),
        18 => named("offer_issuer").utf8().map(drop),
        20 => named("offer_quantity_max").tu64().map(drop),
        22 => point(rules, "offer_issuer_id", value).map(drop),
        80 => array::<32>(rules, "invreq_chain", value).map(drop),
        82 => named("invreq_amount").tu64().map(drop),
        86 => named("invreq_quantity").tu64().map(drop),
        89 => named("invreq_payer_note").utf8().map(drop),
        90 => paths(named("invreq_paths"), rules),
        91 => {
            let mut name = named("invreq_bip_353_name");
            for _ in 0..2 {
                let length = name.u8()?;
                name.bytes(length.into())?;
            }
            name.end()
        }
        160 => paths(named("invoice_paths"), rules),
        162 => {
            let mut payinfo = named("invoice_blindedpay");
            while !payinfo.is_empty() {
                // Two fees, an expiry, two limits, then the features.
                payinfo.bytes(4 + 4 + 2 + 8 + 8)?;
                let length = payinfo.u16()?;
                payinfo.bytes(length.into())?;
            }
            Ok(())
        }
        164 => named("invoice_created_at").tu64().map(drop),
        166 => named("invoice_relative_expiry").tu32().map(drop),
        170 => named("invoice_amount").tu64().map(drop),
        172 => {
            let mut fallbacks = named("invoice_fallbacks");
            while !fallbacks.is_empty() {
                fallbacks.u8()?;
                let length = fallbacks.u16()?;
                fallbacks.bytes(length.into())?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn paths(mut value: Reader<'_>, rules: &Rules) -> Result<(), Violation> {
    while !value.is_empty() {
        BlindedPath::read(rules, &mut value)?;
    }
    Ok(())
}

/// Payer proofs, reader: what must be there and what must not.
fn check_presence(rules: &Rules, proof: &Proof) -> Result<(), Violation> {
    for (id, there, name) in [
        (
            rules::PROOF_PAYER_ID_MISSING,
            proof.payer_id.is_some(),
            "invreq_payer_id",
        ),
        (
            rules::PROOF_PAYMENT_HASH_MISSING,
            proof.payment_hash.is_some(),
            "invoice_payment_hash",
        ),
        (
            rules::PROOF_NODE_ID_MISSING,
            proof.invoice_node_id.is_some(),
            "invoice_node_id",
        ),
        (
            rules::PROOF_SIGNATURE_MISSING,
            proof.signature.is_some(),
            "signature",
        ),
        (
            rules::PROOF_PROOF_SIGNATURE_MISSING,
            proof.proof_signature.is_some(),
            "proof_signature",
        ),
        (
            rules::PROOF_PREIMAGE_MISSING,
            proof.preimage.is_some(),
            "proof_preimage",
        ),
        (
            rules::PROOF_MISSING_HASHES_MISSING,
            proof.missing_hashes.is_some(),
            "proof_missing_hashes",
        ),
        (
            rules::PROOF_LEAF_HASHES_MISSING,
            proof.leaf_hashes.is_some(),
            "proof_leaf_hashes",
        ),
    ] {
        rules.check(id, there, || format!("the proof has no {name}"))?;
    }
    rules.check(
        rules::PROOF_METADATA,
        value_of(&proof.records, kind::INVREQ_METADATA).is_none(),
        || "the proof has invreq_metadata, which lets omitted fields be guessed".into(),
    )
}

/// Payer proofs, reader: the markers. Answers, for each leaf of the invoice's tree, whether it is
/// included.
///
/// With rules off, markers are placed in front of the first included type above them.
fn check_markers(rules: &Rules, proof: &Proof) -> Result<Vec<bool>, Violation> {
    let included: Vec<u64> = proof.disclosed.iter().map(|record| record.kind).collect();
    // With the rule on 0 off, a 0 in front stands for type 0 itself.
    let mut zero_listed = false;
    let mut previous = 0_u64;
    for (at, &marker) in proof.omitted.iter().enumerate() {
        rules.check(rules::PROOF_OMITTED_ZERO, marker != 0, || {
            "proof_omitted_tlvs contains 0, which is implied".into()
        })?;
        if at == 0 && marker == 0 {
            zero_listed = true;
            continue;
        }
        rules.check(
            rules::PROOF_OMITTED_SIGNATURE,
            !SIGNATURE_TYPES.contains(&marker),
            || format!("proof_omitted_tlvs contains {marker}, the type of a signature"),
        )?;
        rules.check(
            rules::PROOF_OMITTED_PROOF,
            !PROOF_TYPES.contains(&marker),
            || format!("proof_omitted_tlvs contains {marker}, a type of the proof's own fields"),
        )?;
        rules.at_most(rules::PROOF_OMITTED_HIGH, marker, HIGHEST, || {
            format!("proof_omitted_tlvs contains {marker}, above every type of an invoice")
        })?;
        rules.at_least(
            rules::PROOF_OMITTED_ORDER,
            marker,
            previous.saturating_add(1),
            || format!("proof_omitted_tlvs has {marker} behind {previous}"),
        )?;
        rules.check(
            rules::PROOF_OMITTED_INCLUDED,
            included.binary_search(&marker).is_err(),
            || format!("proof_omitted_tlvs contains {marker}, the type of an included field"),
        )?;
        // The jump over signatures and the proof's own fields is the rule of those ranges: here,
        // one more is right as well.
        let one_less = marker.checked_sub(1);
        let jumps = marker == EXPERIMENTAL;
        let is_included = |kind: &u64| included.binary_search(kind).is_ok();
        let in_sequence = one_less == Some(previous)
            || one_less.as_ref().is_some_and(is_included)
            || jumps && (previous == LAST_BEFORE || is_included(&LAST_BEFORE));
        let below = included[..included.partition_point(|kind| *kind < marker)].last();
        match below {
            Some(kind) if *kind > previous => rules.check(
                rules::PROOF_OMITTED_AFTER_INCLUDED,
                in_sequence,
                || {
                    let right = next_marker(*kind);
                    format!("proof_omitted_tlvs has {marker} behind the included type {kind}, not {right}")
                },
            )?,
            _ => rules.check(rules::PROOF_OMITTED_AFTER_PREVIOUS, in_sequence, || {
                let right = next_marker(previous);
                format!("proof_omitted_tlvs has {marker} behind {previous}, not {right}")
            })?,
        }
        previous = marker;
    }

    // Type 0 is in every invoice and never in a proof, so it needs no marker.
    let zero_shown = included.first() == Some(&kind::INVREQ_METADATA);
    let mut positions = Vec::with_capacity(1 + included.len() + proof.omitted.len());
    if !zero_listed && !zero_shown {
        positions.push(false);
    }
    let mut markers = proof.omitted.iter().peekable();
    for kind in included {
        while markers.next_if(|marker| **marker < kind).is_some() {
            positions.push(false);
        }
        positions.push(true);
    }
    positions.extend(markers.map(|_| false));
    Ok(positions)
}

/// Payer proofs, reader: rebuilds the invoice's root; none where a rule that is off let through
/// what makes that impossible.
fn rebuild(rules: &Rules, proof: &Proof, positions: &[bool]) -> Result<Option<Node>, Violation> {
    let (Some(missing), Some(nonces)) = (&proof.missing_hashes, &proof.leaf_hashes) else {
        return Ok(None);
    };
    let (given, wanted) = (nonces.len(), proof.disclosed.len());
    rules.check(rules::PROOF_LEAF_HASHES, given == wanted, || {
        format!("proof_leaf_hashes has {given} hashes for {wanted} included fields")
    })?;
    let mut shown = proof
        .disclosed
        .iter()
        .zip(nonces.iter().copied().chain(std::iter::repeat([0; 32])))
        .map(|(record, nonce)| branch(&merkle::tagged_hash(b"LnLeaf", &record.encode()), &nonce));
    let leaves: Vec<Option<Node>> = positions
        .iter()
        .map(|included| included.then(|| shown.next()).flatten())
        .collect();
    let mut taken = 0;
    let root = graft(&leaves, missing, &mut taken);
    let given = missing.len();
    rules.check(rules::PROOF_MISSING_HASHES, taken == given, || {
        format!("proof_missing_hashes has {given} hashes where the tree lacks {taken}")
    })?;
    Ok(root)
}

/// Root of the tree over `leaves`, of which some are missing; none where all are. A hash that is
/// needed and not given counts as zeros.
fn graft(leaves: &[Option<Node>], missing: &[Node], taken: &mut usize) -> Option<Node> {
    match leaves {
        [] => None,
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let left = graft(left, missing, taken);
            let right = graft(right, missing, taken);
            let (one, other) = match (left, right) {
                (None, None) => return None,
                (Some(left), Some(right)) => (left, right),
                (Some(one), None) | (None, Some(one)) => {
                    let other = missing.get(*taken).copied().unwrap_or([0; 32]);
                    *taken += 1;
                    (one, other)
                }
            };
            Some(branch(&one, &other))
        }
    }
}

#[cfg(test)]
mod tests;
