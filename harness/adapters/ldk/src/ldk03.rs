//! The codec of lightning 0.3.

pub(crate) use lightning03 as lightning;

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
mod payer_proof;

/// Name of the adapter.
pub const NAME: &str = "ldk-0.3";
/// Version of `lightning` that is built in; a test holds it against the lock file.
pub const VERSION: &str = "0.3.0-rc3";

/// Paths for `held_htlc_available`.
pub(crate) fn held_htlc_paths(
    invoice: &lightning::offers::static_invoice::StaticInvoice,
) -> &[lightning::blinded_path::message::BlindedMessagePath] {
    invoice.held_htlc_available_paths()
}

/// Operations of this version alone.
pub(crate) const MORE: &[&str] = &["payer_proof.create", "payer_proof.verify"];

/// Answers one of [`MORE`].
pub(crate) fn more(op: &str, params: Params<'_>) -> Option<Outcome> {
    match op {
        "payer_proof.create" => Some(payer_proof::create(params)),
        "payer_proof.verify" => Some(payer_proof::verify(params)),
        _ => None,
    }
}
