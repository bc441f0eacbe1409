//! Plan, schedule, execute: typed events and outcomes.

pub mod record;
pub mod ledger;
pub mod redact;
pub mod results;
pub mod snapshot;
pub mod baseline;
pub mod cluster;
pub mod codec;
pub mod filter;
pub mod judge;
pub mod plan;
pub mod run;
pub mod scenario;
pub mod wait;
