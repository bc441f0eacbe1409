//! One module a command, or a family of them.

pub mod adapter;
pub mod baseline;
pub mod bless;
pub mod clean;
pub mod coverage;
pub mod drift;
pub mod explain;
pub mod export;
pub mod fill;
pub mod fuzz;
pub mod init;
pub mod list;
pub mod merge;
pub mod mutants;
pub mod proofs;
pub mod provision;
pub mod report;
pub mod run;
pub mod scaffold;
pub mod schema;
pub mod sets;
pub mod spec;
