//! Async payments: the messages, fields and decisions of pull request 1149 and bLIP 66.
//!
//! Two dialects differ in their numbers, and in two forms besides: see [`Dialect`].

pub mod htlc;
pub mod message;
pub mod offline;
pub mod server;

pub use message::{Message, Name};

use crate::bolt12::invoice;

/// Ways to write an async payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The numbers of pull request 1149 and bLIP 66.
    Pr1149,
    /// Those of LDK 0.2 and 0.3.
    Ldk,
}

impl Dialect {
    /// Both.
    pub const ALL: [Dialect; 2] = [Dialect::Pr1149, Dialect::Ldk];

    /// The name in the adapter protocol.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Pr1149 => "async/pr-1149",
            Dialect::Ldk => "async/ldk",
        }
    }

    /// The dialect of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The even bit of the feature `option_htlc_hold`.
    pub fn hold_feature(self) -> u64 {
        match self {
            Dialect::Pr1149 => 52,
            Dialect::Ldk => 152,
        }
    }

    /// Type of `hold_htlc` in `update_add_htlc`.
    pub fn hold_htlc(self) -> u64 {
        match self {
            Dialect::Pr1149 => 2,
            Dialect::Ldk => 75537,
        }
    }

    /// Type of `release_held_htlc_message_paths` in `revoke_and_ack`.
    pub fn release_paths(self) -> u64 {
        match self {
            Dialect::Pr1149 => 0,
            Dialect::Ldk => 75537,
        }
    }

    /// Type of `invoice_request` in the payload of the last hop.
    pub fn payload_invoice_request(self) -> u64 {
        match self {
            Dialect::Pr1149 => 1,
            Dialect::Ldk => 77777,
        }
    }

    /// Type of `sender_provided_payment_preimage` there: that of a keysend payment.
    pub fn payload_preimage(self) -> u64 {
        5_482_373_484
    }

    /// Type of a static invoice in an onion message.
    pub fn static_invoice(self) -> u64 {
        70
    }

    /// How its static invoices are written.
    pub fn invoice(self) -> invoice::Kind {
        match self {
            Dialect::Pr1149 => invoice::Kind::StaticPr1149,
            Dialect::Ldk => invoice::Kind::StaticLdk,
        }
    }

    /// The length of a message's TLV stream stands in front of it, as a BigSize. The drafts have the
    /// stream alone.
    pub fn length_in_front(self) -> bool {
        self == Dialect::Ldk
    }

    /// Each release path has the id of its HTLC in front, 8 bytes. The draft has the paths alone.
    pub fn htlc_in_front(self) -> bool {
        self == Dialect::Ldk
    }
}

/// What a node put into a blinded path of its own making, and finds again with what comes over it.
/// Absent fields are those that it did not put there; a path of somebody else's has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Which message the path was given out for.
    pub expects: Option<Expected>,
    /// Whom it was given to.
    pub recipient: Option<Vec<u8>>,
    /// Which invoice it is about.
    pub slot: Option<u16>,
}

/// A message that a path is given out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// One of the async messages.
    Async(Name),
    /// A payer's request.
    InvoiceRequest,
}

impl Expected {
    /// The name in the adapter protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Expected::Async(name) => name.as_str(),
            Expected::InvoiceRequest => "invoice_request",
        }
    }

    /// The message of that name.
    pub fn find(name: &str) -> Option<Self> {
        match name {
            "invoice_request" => Some(Expected::InvoiceRequest),
            other => Name::find(other).map(Expected::Async),
        }
    }
}

#[cfg(test)]
mod tests;
