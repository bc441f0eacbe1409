//! The static invoice server of bLIP 66: whose messages it takes, and what it does with them.

use super::{Expected, Mark, Message, Name};
use crate::rules::{self, Rules, Violation};

/// An invoice that the server keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose it is.
    pub recipient: Vec<u8>,
    /// Which of its invoices.
    pub slot: u16,
    /// TLV stream of the invoice.
    pub invoice: Vec<u8>,
    /// Where requests go on to, as the bytes of a blinded path.
    pub forward_path: Option<Vec<u8>>,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// What it keeps.
    pub kept: Vec<Kept>,
    /// How many invoices it keeps for one client.
    pub limit: Option<u64>,
    /// Its storage fails.
    pub storage_fails: bool,
}

/// What the server does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answers `offer_paths`.
    OfferPaths {
        /// What it finds again with a request for an invoice that comes over the path.
        path: Mark,
        /// What it finds again with an invoice that comes over the reply path.
        reply_path: Mark,
    },
    /// It answers `static_invoice_persisted`.
    Persisted,
    /// It answers a request for an invoice.
    Invoice {
        /// The static invoice.
        invoice: Vec<u8>,
        /// The path over which the request goes on as well.
        forward_path: Option<Vec<u8>>,
    },
    /// Nothing.
    Nothing,
}

/// What comes in.
#[derive(Clone, Copy, Debug)]
pub enum Incoming<'a> {
    /// An async message.
    Async(&'a Message),
    /// A payer's request for an invoice.
    InvoiceRequest,
}

impl Server {
    /// Takes a message that came over a path with this mark.
    ///
    /// # Errors
    /// A [`Violation`] of `blip-0066/…/authenticate` or `blip-0066/serve-static-invoice/limit`: the
    /// server passes over the message.
    pub fn receive(
        &mut self,
        rules: &Rules,
        incoming: Incoming<'_>,
        over: &Mark,
    ) -> Result<Answer, Violation> {
        match incoming {
            Incoming::Async(message) if message.name == Name::OfferPathsRequest => {
                offer_paths(rules, message, over)
            }
            Incoming::Async(message) if message.name == Name::ServeStaticInvoice => {
                self.keep(rules, message, over)
            }
            Incoming::Async(_) => Ok(Answer::Nothing),
            Incoming::InvoiceRequest => Ok(self.reply(rules, over)),
        }
    }

    fn keep(&mut self, rules: &Rules, message: &Message, over: &Mark) -> Result<Answer, Violation> {
        authentic(
            rules,
            rules::BLIP_66_SERVE_AUTHENTICATE,
            Name::ServeStaticInvoice,
            over.recipient.is_some() && over.slot.is_some(),
            over,
        )?;
        let recipient = over.recipient.clone().unwrap_or_default();
        let slot = over.slot.unwrap_or_default();
        let others = self
            .kept
            .iter()
            .filter(|kept| kept.recipient == recipient && kept.slot != slot)
            .count() as u64;
        if let Some(limit) = self.limit {
            rules.at_most(rules::BLIP_66_SERVE_LIMIT, others + 1, limit, || {
                format!("the client has {others} other invoices here, and may have {limit}")
            })?;
        }
        let Some((invoice, _)) = &message.invoice else {
            return Ok(Answer::Nothing);
        };
        if self.storage_fails {
            let hasty = rules.mistaken(rules::BLIP_66_PERSISTED_WAIT, "before-it-is-stored");
            return Ok(if hasty {
                Answer::Persisted
            } else {
                Answer::Nothing
            });
        }
        let path_lost = rules.mistaken(rules::BLIP_66_SERVE_PERSIST, "path-forgotten");
        let kept = Kept {
            recipient,
            slot,
            invoice: invoice.clone(),
            forward_path: match &message.forward_path {
                // Read from bytes, so that it can be written.
                Some(path) if !path_lost => path.encode().ok(),
                _ => None,
            },
        };
        let old = self
            .kept
            .iter()
            .position(|k| k.recipient == kept.recipient && k.slot == kept.slot);
        match old {
            Some(_) if rules.mistaken(rules::BLIP_66_SERVE_REPLACE, "old-one-served") => {}
            Some(at) => self.kept[at] = kept,
            None if rules.mistaken(rules::BLIP_66_SERVE_PERSIST, "not-stored") => {}
            None => self.kept.push(kept),
        }
        if rules.mistaken(rules::BLIP_66_SERVE_PERSIST, "no-answer") {
            return Ok(Answer::Nothing);
        }
        Ok(Answer::Persisted)
    }

    /// bLIP 66, static invoice servers: a payer's request. Which invoice is meant is to be seen from
    /// the path alone.
    fn reply(&self, rules: &Rules, over: &Mark) -> Answer {
        let first = rules.mistaken(rules::BLIP_66_SERVER_REPLY, "first-invoice");
        let meant = |kept: &&Kept| {
            over.recipient.as_ref() == Some(&kept.recipient) && over.slot == Some(kept.slot)
        };
        let found = if over.expects != Some(Expected::InvoiceRequest) {
            None
        } else if first {
            self.kept.first()
        } else {
            self.kept.iter().find(meant)
        };
        match found {
            Some(kept) if !rules.mistaken(rules::BLIP_66_SERVER_REPLY, "no-reply") => {
                let alone = rules.mistaken(rules::BLIP_66_SERVER_FORWARD, "not-forwarded");
                Answer::Invoice {
                    invoice: kept.invoice.clone(),
                    forward_path: kept.forward_path.clone().filter(|_| !alone),
                }
            }
            _ => Answer::Nothing,
        }
    }
}

/// Whether a message came over a path that its receiver made for such messages.
pub(super) fn authentic(
    rules: &Rules,
    id: &'static str,
    name: Name,
    complete: bool,
    over: &Mark,
) -> Result<(), Violation> {
    let expected = over.expects == Some(Expected::Async(name));
    rules.check(id, expected && complete, || {
        format!("{} came over no path made for it", name.as_str())
    })
}

fn offer_paths(rules: &Rules, message: &Message, over: &Mark) -> Result<Answer, Violation> {
    authentic(
        rules,
        rules::BLIP_66_REQUEST_AUTHENTICATE,
        Name::OfferPathsRequest,
        over.recipient.is_some(),
        over,
    )?;
    if rules.mistaken(rules::BLIP_66_REQUEST_RESPOND, "no-answer") {
        return Ok(Answer::Nothing);
    }
    let mark = |id, expects| {
        let no_slot = rules.mistaken(id, "slot-left-out");
        let no_recipient = rules.mistaken(id, "recipient-left-out");
        Mark {
            expects: Some(expects),
            recipient: over.recipient.clone().filter(|_| !no_recipient),
            slot: message.slot.filter(|_| !no_slot),
        }
    };
    Ok(Answer::OfferPaths {
        path: mark(rules::BLIP_66_PATHS_IDENTIFY, Expected::InvoiceRequest),
        reply_path: mark(
            rules::BLIP_66_PATHS_REPLY_PATH_AGAIN,
            Expected::Async(Name::ServeStaticInvoice),
        ),
    })
}
