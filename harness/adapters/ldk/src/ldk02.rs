//! The codec of lightning 0.2.

pub(crate) use lightning02 as lightning;

use lightning::bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning::ln::channelmanager::RecipientOnionFields;
use lightning::ln::onion_utils::create_payment_onion;
use lightning::routing::router::Path;
use lightning::types::payment::{PaymentHash, PaymentPreimage, PaymentSecret};
use lightning::util::ser::Writeable;
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
#[allow(clippy::duplicate_mod, reason = "as for the codec")]
#[path = "dns.rs"]
mod dns;
#[allow(clippy::duplicate_mod, reason = "as for the codec")]
#[path = "onion.rs"]
mod onion;
#[allow(clippy::duplicate_mod, reason = "as for the codec")]
#[path = "onion_message.rs"]
mod onion_message;

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

/// The onion of a payment; `Err` in LDK's own words.
fn payment_onion(
    path: &Path,
    session: &SecretKey,
    to: &onion::Payee,
    payment_hash: [u8; 32],
    seed: [u8; 32],
) -> Result<Vec<u8>, String> {
    let mut fields = RecipientOnionFields::spontaneous_empty();
    fields.payment_secret = to.payment_secret.map(PaymentSecret);
    fields.payment_metadata.clone_from(&to.payment_metadata);
    let fields = fields
        .with_custom_tlvs(to.custom.clone())
        .map_err(|()| "custom records that LDK does not send".to_owned())?;
    let made = create_payment_onion(
        &Secp256k1::new(),
        path,
        session,
        to.total_msat,
        &fields,
        0,
        &PaymentHash(payment_hash),
        &to.keysend_preimage.map(PaymentPreimage),
        None,
        seed,
    );
    made.map(|(onion, ..)| onion.encode())
        .map_err(|e| format!("{e:?}"))
}

/// Further operations.
pub(crate) const MORE: &[&str] = async_messages::OPERATIONS;

/// Answers one of [`MORE`].
pub(crate) fn more(op: &str, params: Params<'_>) -> Option<Outcome> {
    async_messages::answer(op, params)
}
