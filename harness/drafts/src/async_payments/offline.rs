//! The often-offline receiver: what it does with the messages of its server and of its payers.

use super::server::authentic;
use super::{Mark, Message, Name};
use crate::blinding::BlindedPath;
use crate::rules::{self, Rules, Violation};

/// What it knows beside the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Receiver<'a> {
    /// The time, in seconds since 1970.
    pub now: u64,
    /// How long paths of an offer have to last, in seconds.
    pub least_lifetime: u64,
    /// The reply path that came with the message.
    pub reply_path: Option<&'a BlindedPath>,
}

/// What it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answers `serve_static_invoice` over the reply path.
    Serve {
        /// The slot.
        slot: Option<u16>,
        /// What the offer has as its paths.
        offer_paths: Vec<BlindedPath>,
        /// What it keeps, to send later invoices over.
        kept: Option<BlindedPath>,
    },
    /// The offer of this slot is ready.
    Ready {
        /// The slot.
        slot: Option<u16>,
    },
    /// It answers `release_held_htlc` over the reply path.
    Release,
    /// Nothing.
    Nothing,
}

/// Takes a message that came over a path with this mark.
///
/// # Errors
/// A [`Violation`] of `blip-0066/…/authenticate` or `blip-0066/offer-paths/check-expiry`: the
/// message is passed over.
pub fn receive(
    rules: &Rules,
    receiver: &Receiver<'_>,
    message: &Message,
    over: &Mark,
) -> Result<Answer, Violation> {
    match message.name {
        Name::OfferPaths => {
            let id = rules::BLIP_66_PATHS_AUTHENTICATE;
            authentic(rules, id, Name::OfferPaths, over.slot.is_some(), over)?;
            if let Some(expiry) = message.paths_absolute_expiry {
                let lifetime = expiry.saturating_sub(receiver.now);
                let least = receiver.least_lifetime;
                rules.at_least(rules::BLIP_66_PATHS_CHECK_EXPIRY, lifetime, least, || {
                    format!("the paths last {lifetime} seconds more, fewer than {least}")
                })?;
            }
            let paths = message.paths.clone().unwrap_or_default();
            if paths.is_empty() || rules.mistaken(rules::BLIP_66_PATHS_RESPOND, "no-answer") {
                return Ok(Answer::Nothing);
            }
            let forgets = rules.mistaken(rules::BLIP_66_PATHS_KEEP_REPLY_PATH, "forgotten");
            Ok(Answer::Serve {
                slot: over.slot,
                offer_paths: paths,
                kept: receiver.reply_path.cloned().filter(|_| !forgets),
            })
        }
        Name::StaticInvoicePersisted => {
            let name = Name::StaticInvoicePersisted;
            let id = rules::BLIP_66_PERSISTED_AUTHENTICATE;
            authentic(rules, id, name, over.slot.is_some(), over)?;
            if rules.mistaken(rules::BLIP_66_PERSISTED_READY, "not-ready") {
                return Ok(Answer::Nothing);
            }
            Ok(Answer::Ready { slot: over.slot })
        }
        Name::HeldHtlcAvailable if receiver.reply_path.is_some() => Ok(Answer::Release),
        _ => Ok(Answer::Nothing),
    }
}

/// An invoice that the receiver left with its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The slot.
    pub slot: u16,
    /// When it was made, in seconds since 1970.
    pub made_at: u64,
    /// A channel was closed or fees changed since.
    pub changed: bool,
    /// The reply path of the `offer_paths` that it followed on.
    pub reply_path: Option<BlindedPath>,
}

/// bLIP 66, recipients of `static_invoice_persisted`: the invoices that are to be made anew, each
/// with the path over which the new one goes. `period` is in seconds.
pub fn updates(
    rules: &Rules,
    now: u64,
    period: u64,
    left: &[Left],
) -> Vec<(u16, Option<BlindedPath>)> {
    let id = rules::BLIP_66_PERSISTED_UPDATE;
    let mut due = Vec::new();
    for invoice in left {
        let old = now.saturating_sub(invoice.made_at) >= period;
        let old = old && !rules.mistaken(id, "after-changes-alone");
        let changed = invoice.changed && !rules.mistaken(id, "by-time-alone");
        let goes = (old || changed) && !rules.mistaken(id, "never");
        if goes {
            due.push((invoice.slot, invoice.reply_path.clone()));
        }
    }
    due
}
