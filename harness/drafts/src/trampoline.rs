//! Trampoline payments of pull request 836: failures under two onions, what a sender puts where,
//! and what a trampoline does with what it finds.
//!
//! The inner onion is built and peeled by [`crate::onion`], its payloads are read by
//! [`crate::payload`].

use crate::failure::{self, Decoded, code};
use crate::keys::{self, Point, PublicKey, SecretKey};
use crate::onion::{self, Hop};
use crate::payload::{self, Dialect, Fault, Outer, Payload, Position, kind};
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};

/// Whose failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A hop of the route to the first trampoline, the trampoline itself included.
    Hop(usize),
    /// A hop of the trampoline onion.
    Trampoline(usize),
}

/// What a trampoline does with a failure for the payer: hidden under its inner secret first, then
/// under its outer one.
pub fn wrap_failure(inner: &[u8; 32], outer: &[u8; 32], packet: &[u8]) -> Vec<u8> {
    failure::wrap(outer, &failure::wrap(inner, packet))
}

/// Pull request 836, returning errors: the payer tries the secrets of its own onion, then those of
/// the trampoline onion.
///
/// # Errors
/// A [`Violation`] of `bolt04/error/hmac` or `bolt04/error/form`.
pub fn decode_failure(
    rules: &Rules,
    outer: &[[u8; 32]],
    inner: &[[u8; 32]],
    packet: &[u8],
) -> Result<(Whose, Decoded), Violation> {
    let secrets = [outer, inner].concat();
    let decoded = failure::decode(rules, &secrets, packet)?;
    let whose = match decoded.hop.checked_sub(outer.len()) {
        Some(hop) => Whose::Trampoline(hop),
        None => Whose::Hop(decoded.hop),
    };
    Ok((whose, decoded))
}

/// Where a trampoline stands in a blinded path of trampolines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In none.
    Outside,
    /// At its beginning.
    Introduction,
    /// Further along.
    Inside,
}

/// Pull request 836, receiver: the failure that goes back in `update_fail_htlc`. `failure` is the
/// trampoline's own, or what came from the next node.
pub fn answer_failure(place: Place, from_next: bool, failure: &[u8], onion: &[u8]) -> Vec<u8> {
    let blinded = || {
        let mut failure = code::INVALID_ONION_BLINDING.to_be_bytes().to_vec();
        failure.extend_from_slice(&keys::sha256(&[onion]));
        failure
    };
    match (place, from_next) {
        (Place::Inside, _) | (Place::Introduction, true) => blinded(),
        (Place::Introduction, false) | (Place::Outside, _) => failure.to_vec(),
    }
}

/// The invoice that is paid.
#[derive(Clone, Copy, Debug, Default)]
pub struct Invoice<'a> {
    /// Of BOLT 12, else of BOLT 11.
    pub bolt12: bool,
    /// The feature `trampoline_routing`.
    pub supports: bool,
    /// Of BOLT 11.
    pub payment_secret: Option<[u8; 32]>,
    /// Feature bitmap.
    pub features: Option<&'a [u8]>,
    /// Blinded paths, each with its payinfo behind it, as `recipient_blinded_paths` has them.
    pub paths: &'a [Vec<u8>],
    /// The sealed data of the path that the payer uses, one a node.
    pub path_data: &'a [Vec<u8>],
    /// The first path key of that path.
    pub path_key: Option<Point>,
}

/// A hop of either onion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendHop {
    /// The node, or its blinded id.
    pub pubkey: PublicKey,
    /// Its payload.
    pub records: Vec<Record>,
    /// The feature `trampoline_routing`, where the payer knows.
    pub supports: Option<bool>,
}

/// What a sender decides.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The invoice.
    pub invoice: Invoice<'a>,
    /// Of the outer onion.
    pub session_key: &'a SecretKey,
    /// Of the inner one.
    pub trampoline_session_key: &'a SecretKey,
    /// What both commit to.
    pub associated_data: &'a [u8],
    /// The trampolines, the recipient last where it is one.
    pub trampolines: &'a [SendHop],
    /// The route to the first trampoline; the inner onion is added to the payload of one of them.
    pub hops: &'a [SendHop],
    /// Which one: the last, unless a fault is wanted.
    pub carrier: Option<usize>,
    /// The payment has several parts.
    pub multi_part: bool,
    /// Bytes of the inner onion's payloads; `None`: what they need.
    pub trampoline_size: Option<usize>,
    /// Bytes of the outer onion's payloads.
    pub size: usize,
}

/// Why a payment was not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule refused it.
    #[error(transparent)]
    Rule(#[from] Violation),
    /// See [`onion::Error`].
    #[error(transparent)]
    Onion(onion::Error),
    /// See [`payload::Error`].
    #[error(transparent)]
    Payload(payload::Error),
    /// There is no such hop.
    #[error("there is no hop {0} to carry the trampoline onion")]
    Carrier(usize),
}

impl From<onion::Error> for Error {
    fn from(e: onion::Error) -> Self {
        match e {
            onion::Error::Rule(violation) => Error::Rule(violation),
            other => Error::Onion(other),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::Rule(fault.violation)
    }
}

fn fields(rules: &Rules, hop: &SendHop) -> Result<Payload, Fault> {
    Payload::from_records(rules, hop.records.clone(), Some(Dialect::Pr836))
}

fn framed(rules: &Rules, records: &[Record]) -> Result<Vec<u8>, Violation> {
    Ok(onion::frame(&tlv::encode(rules, records)?))
}

/// Builds both onions by the sender's rules: the inner one, and the outer one around it.
///
/// # Errors
/// A [`Violation`] of a `trampoline/sender/…` rule, `bolt04/onion/fits`, `bolt01/tlv/sender/order`,
/// or of the form of a value; [`Error`].
pub fn send(rules: &Rules, sender: &Sender<'_>) -> Result<(onion::Built, onion::Built), Error> {
    let trampolines = sender
        .trampolines
        .iter()
        .map(|hop| fields(rules, hop))
        .collect::<Result<Vec<_>, _>>()?;
    check_invoice(rules, sender, &trampolines)?;
    for (at, hop) in sender.trampolines.iter().enumerate() {
        rules.check(
            rules::TRAMPOLINE_SENDER_HOPS_SUPPORT,
            hop.supports != Some(false),
            || format!("trampoline {at} does not support trampoline_routing"),
        )?;
    }
    rules.check(
        rules::TRAMPOLINE_SENDER_SESSION_KEYS,
        sender.session_key != sender.trampoline_session_key,
        || "both onions have the same session key".into(),
    )?;
    let last = sender.hops.len().saturating_sub(1);
    let carrier = sender.carrier.unwrap_or(last);
    rules.check(rules::TRAMPOLINE_SENDER_LAST_HOP, carrier == last, || {
        format!("hop {carrier} carries the trampoline onion, and the last hop is {last}")
    })?;
    let Some(carrying) = sender.hops.get(carrier) else {
        return Err(Error::Carrier(carrier));
    };
    if sender.multi_part {
        let secret = fields(rules, carrying)?
            .payment_data
            .map(|(secret, _)| secret);
        rules.check(
            rules::TRAMPOLINE_SENDER_RANDOM_SECRET,
            secret.is_some(),
            || "the outer onion has no payment secret for several parts".into(),
        )?;
        rules.check(
            rules::TRAMPOLINE_SENDER_INVOICE_SECRET,
            secret.is_none() || secret != sender.invoice.payment_secret,
            || "the outer onion has the payment secret of the invoice".into(),
        )?;
    }

    let mut hops = Vec::with_capacity(sender.trampolines.len());
    for hop in sender.trampolines {
        hops.push(Hop {
            pubkey: hop.pubkey,
            framed: framed(rules, &hop.records)?,
        });
    }
    let size = sender.trampoline_size.unwrap_or(onion::needed(&hops));
    let inner = onion::build(
        rules,
        sender.trampoline_session_key,
        sender.associated_data,
        &hops,
        size,
    )?;
    let mut hops = Vec::with_capacity(sender.hops.len());
    for (at, hop) in sender.hops.iter().enumerate() {
        let mut records = hop.records.clone();
        if at == carrier {
            let before = records
                .iter()
                .position(|record| record.kind > kind::TRAMPOLINE_ONION)
                .unwrap_or(records.len());
            records.insert(
                before,
                Record::new(kind::TRAMPOLINE_ONION, inner.packet.clone()),
            );
        }
        hops.push(Hop {
            pubkey: hop.pubkey,
            framed: framed(rules, &records)?,
        });
    }
    let outer = onion::build(
        rules,
        sender.session_key,
        sender.associated_data,
        &hops,
        sender.size,
    )?;
    Ok((inner, outer))
}

/// Pull request 836, sender: what the kind of invoice asks of the inner payloads.
fn check_invoice(
    rules: &Rules,
    sender: &Sender<'_>,
    trampolines: &[Payload],
) -> Result<(), Violation> {
    let invoice = &sender.invoice;
    match (invoice.supports, invoice.bolt12) {
        (false, true) if !invoice.paths.is_empty() => {
            check_last_trampoline(rules, invoice, trampolines.last())
        }
        (false, _) => rules.check(rules::TRAMPOLINE_SENDER_UNSUPPORTED, false, || {
            "the invoice does not support trampoline_routing and has no blinded paths".into()
        }),
        (true, false) => check_bolt11(rules, invoice, trampolines),
        (true, true) => check_bolt12(rules, invoice, trampolines),
    }
}

fn check_last_trampoline(
    rules: &Rules,
    invoice: &Invoice<'_>,
    last: Option<&Payload>,
) -> Result<(), Violation> {
    let given: Vec<Vec<u8>> = last
        .and_then(|payload| payload.recipient_paths.as_ref())
        .into_iter()
        .flatten()
        .map(|path| {
            // Read from bytes, so that it can be written.
            let mut bytes = path.path.encode().unwrap_or_default();
            bytes.extend_from_slice(&path.payinfo);
            bytes
        })
        .collect();
    rules.check(
        rules::TRAMPOLINE_SENDER_RECIPIENT_PATHS,
        !given.is_empty() && given.iter().all(|path| invoice.paths.contains(path)),
        || "the last trampoline does not get paths of the invoice".into(),
    )?;
    rules.check(
        rules::TRAMPOLINE_SENDER_NO_OUTGOING_NODE,
        last.is_none_or(|payload| payload.outgoing_node_id.is_none()),
        || "the last trampoline gets an outgoing_node_id beside the paths".into(),
    )?;
    let features = last.and_then(|payload| payload.recipient_features.as_deref());
    rules.check(
        rules::TRAMPOLINE_SENDER_RECIPIENT_FEATURES,
        invoice.features.is_none() || features == invoice.features,
        || "the last trampoline does not get the features of the invoice".into(),
    )
}

fn check_bolt11(
    rules: &Rules,
    invoice: &Invoice<'_>,
    trampolines: &[Payload],
) -> Result<(), Violation> {
    for (at, payload) in trampolines.iter().enumerate() {
        rules.check(
            rules::TRAMPOLINE_SENDER_AMOUNT_CLTV,
            payload.amt_to_forward.is_some() && payload.outgoing_cltv_value.is_some(),
            || format!("trampoline {at} gets no amount or no expiry"),
        )?;
        if at + 1 < trampolines.len() {
            rules.check(
                rules::TRAMPOLINE_SENDER_OUTGOING_NODE,
                payload.outgoing_node_id.is_some() && payload.short_channel_id.is_none(),
                || format!("trampoline {at} needs the next node's id, and no channel"),
            )?;
        } else {
            let secret = payload.payment_data.map(|(secret, _)| secret);
            rules.check(
                rules::TRAMPOLINE_SENDER_PAYMENT_SECRET,
                secret.is_some()
                    && invoice
                        .payment_secret
                        .is_none_or(|asked| secret == Some(asked)),
                || "the recipient does not get the payment secret of the invoice".into(),
            )?;
        }
    }
    Ok(())
}

fn check_bolt12(
    rules: &Rules,
    invoice: &Invoice<'_>,
    trampolines: &[Payload],
) -> Result<(), Violation> {
    let first = trampolines.len().saturating_sub(invoice.path_data.len());
    for (at, payload) in trampolines[..first].iter().enumerate() {
        rules.check(
            rules::TRAMPOLINE_SENDER_PREPENDED_AMOUNT_CLTV,
            payload.amt_to_forward.is_some() && payload.outgoing_cltv_value.is_some(),
            || format!("trampoline {at} in front of the path gets no amount or no expiry"),
        )?;
        rules.check(
            rules::TRAMPOLINE_SENDER_PREPENDED_NODE,
            payload.outgoing_node_id.is_some(),
            || format!("trampoline {at} in front of the path gets no outgoing_node_id"),
        )?;
    }
    let blinded = &trampolines[first..];
    for (at, (payload, data)) in blinded.iter().zip(invoice.path_data).enumerate() {
        let (begins, ends) = (at == 0, at + 1 == blinded.len());
        rules.check(
            rules::TRAMPOLINE_SENDER_BLINDED_DATA,
            payload.encrypted_data.as_ref() == Some(data),
            || format!("node {at} of the path does not get its data"),
        )?;
        let mut kinds = vec![kind::ENCRYPTED_DATA];
        if begins {
            kinds.push(kind::PATH_KEY);
            rules.check(
                rules::TRAMPOLINE_SENDER_BLINDED_PATH_KEY,
                payload.path_key.is_some()
                    && invoice
                        .path_key
                        .is_none_or(|key| payload.path_key == Some(key)),
                || "the first node of the path does not get the path key".into(),
            )?;
        }
        if ends {
            kinds.extend([kind::AMOUNT, kind::CLTV, kind::TOTAL]);
            rules.check(
                rules::TRAMPOLINE_SENDER_BLINDED_FINAL_FIELDS,
                payload.amt_to_forward.is_some()
                    && payload.outgoing_cltv_value.is_some()
                    && payload.total_amount_msat.is_some(),
                || "the recipient does not get amount, expiry and total".into(),
            )?;
        }
        let extra = payload
            .records
            .iter()
            .map(|record| record.kind)
            .find(|kind| !kinds.contains(kind));
        rules.check(
            rules::TRAMPOLINE_SENDER_BLINDED_ONLY,
            extra.is_none(),
            || {
                format!(
                    "record {} has no place at node {at} of the path",
                    extra.unwrap_or_default()
                )
            },
        )?;
    }
    Ok(())
}

/// What a node knows beside the HTLC with a trampoline onion.
#[derive(Clone, Copy, Debug)]
pub struct Receiver<'a> {
    /// The feature `trampoline_routing`.
    pub supports: bool,
    /// Its key.
    pub secret: &'a SecretKey,
    /// What the onion commits to.
    pub associated_data: &'a [u8],
    /// The sum of the parts that are there, in msat.
    pub received_msat: u64,
    /// When the HTLC expires.
    pub cltv_expiry: Option<u32>,
}

/// What a trampoline does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Parts are missing.
    Wait,
    /// The payment is for this node.
    Receive,
    /// The payment goes on to the next trampoline, with these records in the payload for it.
    Forward {
        /// Who it is; absent where the sealed data names a channel.
        node: Option<Point>,
        /// The inner onion, and where the path goes on blinded the path key.
        records: Vec<Record>,
    },
    /// The payment goes on along the recipient's blinded paths.
    Deliver,
}

/// Pull request 836, receiver: peels the inner onion of an outer payload and decides.
///
/// # Errors
/// A [`Violation`] of a `trampoline/receiver/…` rule or of a rule on onions and payloads; [`Error`].
pub fn receive(
    rules: &Rules,
    outer: &Payload,
    receiver: &Receiver<'_>,
) -> Result<(Payload, Action), Error> {
    rules.check(rules::TRAMPOLINE_UNSUPPORTED, receiver.supports, || {
        "the node does not support trampoline_routing".into()
    })?;
    let packet = outer.trampoline_onion.as_deref().unwrap_or_default();
    let peeled = onion::peel(
        rules,
        receiver.secret,
        packet,
        onion::Context {
            associated_data: receiver.associated_data,
            size: None,
            path_key: outer
                .path_key
                .and_then(|key| PublicKey::from_slice(&key).ok()),
        },
    )?;
    let total = outer.total_msat();
    let multi_part = total > outer.amt_to_forward;
    let context = payload::Context {
        secret: Some(receiver.secret),
        amount_msat: Some(receiver.received_msat),
        cltv_expiry: receiver.cltv_expiry,
        dialect: Some(Dialect::Pr836),
        outer: Some(Outer {
            amt_to_forward: outer.amt_to_forward,
            outgoing_cltv_value: outer.outgoing_cltv_value,
            total_msat: total,
            multi_part,
            path_key: outer.path_key,
        }),
        ..payload::Context::default()
    };
    let position = Position {
        last: peeled.next.is_none(),
        trampoline: true,
    };
    let inner =
        payload::read(rules, &peeled.payload, position, &context).map_err(Error::Payload)?;
    let delivers = inner.recipient_paths.is_some();
    if position.last && !delivers {
        return Ok((inner, Action::Receive));
    }
    let missing = rules.at_least(
        rules::TRAMPOLINE_WAIT_PARTS,
        receiver.received_msat,
        total.unwrap_or_default(),
        String::new,
    );
    if missing.is_err() {
        return Ok((inner, Action::Wait));
    }
    if delivers {
        return Ok((inner, Action::Deliver));
    }
    let mut records = Vec::new();
    if let Some(path_key) = inner.next_path_key {
        records.push(Record::new(kind::PATH_KEY, path_key));
    }
    records.push(Record::new(
        kind::TRAMPOLINE_ONION,
        peeled.next.unwrap_or_default(),
    ));
    let sealed = inner.data.as_ref().and_then(|data| data.next_node_id);
    let node = inner.outgoing_node_id.or(sealed);
    Ok((inner, Action::Forward { node, records }))
}

#[cfg(test)]
mod tests;
