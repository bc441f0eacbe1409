//! Those who get an HTLC that may have to do with a blinded path: what a node on the way, or at its end, makes
//! of it.

use crate::payee::{Arrived, Decision, Invoice, MIN_FINAL_DELTA, PAID, Payee, Refusal};
use crate::payee::{details, refusal, unreadable};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::failure::code;
use lnconform_drafts::mpp::Expected;
use lnconform_drafts::payload::{self, Context, Position, kind};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use std::collections::HashMap;

/// BOLT 4, route blinding, reader: the last hop knows its own path by the mark that it left there.
pub(super) const PATH_ID: &str = "bolt04/blinding/path-id";

/// Paths to the probe that wait for a payment, by the mark in them.
#[derive(Default)]
pub struct Paths(pub(crate) HashMap<[u8; 32], ([u8; 32], Invoice)>);

impl Paths {
    pub(crate) fn expect(&mut self, hash: [u8; 32], invoice: Invoice) {
        self.0.insert(invoice.secret, (hash, invoice));
    }

    /// What was asked for with the path that was made for a hash; its secret is the mark in the path.
    pub(crate) fn of(&self, hash: &[u8; 32]) -> Option<Invoice> {
        let mut known = self.0.values().filter(|(known, _)| known == hash);
        known.next().map(|(_, invoice)| invoice.clone())
    }
}

/// What becomes of an HTLC that may have to do with a blinded path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It has not.
    Plain,
    /// The probe is on the way, and nothing is wrong.
    PassOn,
    /// The probe is its end, or refuses to pass it on.
    Decided(Decision),
}

/// An error of a node inside a path, or at its beginning: BOLT 4, failure messages, has one code for all
/// of them, with the SHA-256 of the onion.
fn masked(refused: Refusal, onion: &[u8; 32]) -> Refusal {
    let blinding = code::INVALID_ONION_BLINDING;
    refusal(refused.rule, blinding, onion.to_vec(), &refused.message)
}

/// Judges an HTLC. `path_key` came in the message, `last` says that the onion ends here, `onion` is the
/// SHA-256 of the onion as it came.
pub fn judge(
    payee: &mut Payee,
    secret: &SecretKey,
    htlc: &Arrived<'_>,
    path_key: Option<PublicKey>,
    last: bool,
    onion: &[u8; 32],
) -> Judged {
    let frames = tlv::frames(&Rules::all(), htlc.payload).unwrap_or_default();
    let names = |r: &Record| matches!(r.kind, kind::ENCRYPTED_DATA | kind::PATH_KEY);
    let has = |kind| frames.iter().any(|r| r.kind == kind);
    // Pull request 836: a path key beside a trampoline onion is for what lies inside.
    if payee.pr836 && has(kind::TRAMPOLINE_ONION) && !has(kind::ENCRYPTED_DATA) {
        return Judged::Plain;
    }
    if path_key.is_none() && !frames.iter().any(names) {
        return Judged::Plain;
    }
    // The last node may answer as it likes where the path key is in the payload.
    let in_payload = frames.iter().any(|r| r.kind == kind::PATH_KEY);
    let hidden = path_key.is_some() || in_payload && !last;
    let refuse = |refused: Refusal| {
        let refused = if hidden {
            masked(refused, onion)
        } else {
            refused
        };
        Judged::Decided(Decision::Refuse(refused))
    };
    let context = Context {
        path_key: path_key.map(|key| key.serialize()),
        secret: Some(secret),
        amount_msat: Some(htlc.amount_msat),
        cltv_expiry: Some(htlc.cltv_expiry),
        height: Some(htlc.height),
        min_final_cltv_expiry_delta: Some(MIN_FINAL_DELTA),
        ..Context::default()
    };
    let position = Position {
        last,
        trampoline: false,
    };
    let read = |expected_msat| {
        let context = Context {
            expected_msat,
            ..context
        };
        payload::read(&payee.rules, htlc.payload, position, &context)
    };
    let mut payload = match read(None) {
        Ok(payload) => payload,
        Err(e) => return refuse(unreadable(htlc, e)),
    };
    if !last {
        return Judged::PassOn;
    }
    let amount = payload.amt_to_forward.unwrap_or_default();
    let mark = payload
        .data
        .as_ref()
        .and_then(|data| data.path_id.as_deref());
    let mark = mark.and_then(|mark| <[u8; 32]>::try_from(mark).ok());
    let known = mark.and_then(|mark| payee.paths.0.get(&mark)).cloned();
    let Some((_, invoice)) = known.filter(|(hash, _)| *hash == htlc.hash) else {
        let why = "it has not come along a path that was made for this hash";
        return refuse(details(htlc, Some(PATH_ID), why));
    };
    let total = payload.total_msat().unwrap_or(amount);
    if let (Err(e), true) = (read(invoice.amount_msat), total == amount) {
        return refuse(unreadable(htlc, e));
    }
    if payee.paid.contains(&htlc.hash) {
        return refuse(details(htlc, Some(PAID), "the hash was paid before"));
    }
    // The mark does for a blinded recipient what a payment secret does for others.
    payload.payment_data = Some((invoice.secret, total));
    let expected = Expected {
        basic_mpp: true,
        amount_msat: invoice.amount_msat,
        payment_secret: Some(invoice.secret),
        now: htlc.now,
    };
    let hide = |refused| {
        if hidden {
            masked(refused, onion)
        } else {
            refused
        }
    };
    Judged::Decided(
        match payee.add(htlc, &payload, &expected, invoice.preimage) {
            Decision::Refuse(refused) => Decision::Refuse(hide(refused)),
            Decision::RefuseSet(refused, hashes) => Decision::RefuseSet(hide(refused), hashes),
            taken => taken,
        },
    )
}
