//! The probe as trampoline: who is next and when a payment is held or tried again ([`relay`]), and
//! pull request 836's numbers for payer, trampoline and recipient ([`pr836`]), with blinded paths
//! ([`blinded`]).

pub(crate) mod blinded;
pub(crate) mod pr836;
pub(crate) mod relay;
