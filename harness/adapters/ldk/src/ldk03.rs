//! The codec of lightning 0.3.

pub(crate) use lightning03 as lightning;

#[allow(
    clippy::duplicate_mod,
    reason = "one source is compiled against each version, so that both are asked alike"
)]
#[path = "codec.rs"]
pub mod codec;

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
