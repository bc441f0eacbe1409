//! Plan, schedule, execute: typed events and outcomes.

pub mod able;
pub mod audit;
pub mod baseline;
pub mod cluster;
pub mod codec;
pub mod dialects;
pub mod filter;
pub mod fuzz;
pub mod groups;
pub mod judge;
pub mod kept;
pub mod ledger;
pub mod lnurl;
pub mod merge;
pub mod mutants;
pub mod plan;
pub mod record;
pub mod redact;
pub mod results;
pub mod run;
pub mod scenario;
pub mod shell;
pub mod snapshot;
pub mod transcript;
pub mod turns;
pub mod wait;
