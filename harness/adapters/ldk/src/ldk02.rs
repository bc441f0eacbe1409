//! The codec of lightning 0.2.

pub(crate) use lightning02 as lightning;

use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::Params;

#[allow(
    clippy::duplicate_mod,
    reason = "one source is compiled against each version, so that both are asked alike"
)]
#[path = "async_messages.rs"]
mod async_messages;
#[allow(
    clippy::duplicate_mod,
    reason = "one source is compiled against each version, so that both are asked alike"
)]
#[path = "codec.rs"]
pub mod codec;

/// Name of the adapter.
pub const NAME: &str = "ldk-0.2";
/// Version of `lightning` that is built in; a test holds it against the lock file.
pub const VERSION: &str = "0.2.7";

/// Paths for `held_htlc_available`, which this version calls the message paths.
pub(crate) fn held_htlc_paths(
    invoice: &lightning::offers::static_invoice::StaticInvoice,
) -> &[lightning::blinded_path::message::BlindedMessagePath] {
    invoice.message_paths()
}

/// Further operations.
pub(crate) const MORE: &[&str] = async_messages::OPERATIONS;

/// Answers one of [`MORE`].
pub(crate) fn more(op: &str, params: Params<'_>) -> Option<Outcome> {
    async_messages::answer(op, params)
}
