//! bitcoind, ports, process groups, provisioning.
//!
//! Everything that the harness starts is started here, so that everything can be stopped: each
//! child has a process group of its own ([`process`]), a watchdog that outlives a killed harness
//! ([`reaper`]), a folder that names its owner ([`run`]), and a label (`LNCONFORM_RUN`) by which
//! [`clean`] finds what was left all the same. Regtest only, loopback only.

#![deny(unsafe_code)]

pub mod chain;
pub mod clean;
pub mod electrum_server;
pub mod git;
pub mod kept;
pub mod ports;
pub mod process;
pub mod provision;
pub mod reaper;
pub mod run;
mod sys;

/// The environment variable that labels every child with the id of its run.
pub const RUN_ENV: &str = "LNCONFORM_RUN";
