//! The codec of lightning 0.2.

pub(crate) use lightning02 as lightning;

use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::Params;

#[allow(
    clippy::duplicate_mod,
    reason = "one source is compiled against each version, so that both are asked alike"
)]
#[path = "codec.rs"]
pub mod codec;
#[allow(clippy::duplicate_mod, reason = "as for the codec")]
#[path = "dns.rs"]
mod dns;

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

/// Operations of this version alone: none.
pub(crate) const MORE: &[&str] = &[];

/// Answers one of [`MORE`].
pub(crate) fn more(_: &str, _: Params<'_>) -> Option<Outcome> {
    None
}
