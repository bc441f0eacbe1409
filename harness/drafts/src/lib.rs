//! The drafts as pure functions: no input or output, no YAML.
//!
//! Every rule that a reader enforces goes through [`rules::Rules`], one call a rule, and the
//! error names the requirement. A rule that is switched off there leaves a reader with exactly
//! that defect: every function says what it does in that case, and none of them panics.

pub mod amp;
pub mod amp_ptlc;
pub mod amp_tunnel;
pub mod async_payments;
pub mod bech32;
pub mod bigsize;
pub mod blinding;
pub mod bolt12;
pub mod dns;
pub mod evidence;
pub mod failure;
pub mod features;
pub mod fulfillment;
pub mod keys;
pub mod keysend_proof;
pub mod mpp;
pub mod namespace;
pub mod onion;
pub mod onion_message;
pub mod payer_proof;
pub mod payload;
pub mod point_lock;
pub mod rules;
pub mod tlv;
pub mod trampoline;
pub mod value;

pub use rules::{Rules, Violation};
