//! Adapter processes: the registry of implementations, the process host, adapter check.
//!
//! An adapter is a child process that makes one implementation testable; `docs/adapter.md`
//! describes the protocol. This crate is the harness's side of it:
//!
//! - [`registry`]: which implementations there are and how each is started;
//! - [`host`]: one process, its pipes, its deadlines, and what went wrong with it as a [`Fault`];
//! - [`supervise`]: a host that starts a broken process again and finds the request to blame;
//! - [`mod@check`]: `adapter check`, the rules of the protocol against one adapter;
//! - [`operations`]: the operation names of the protocol.
//!
//! No implementation is linked in here: built-in adapters are the program itself, run again.

pub mod check;
pub mod fault;
pub mod host;
mod ids;
pub mod launch;
pub mod operations;
pub mod registry;
pub mod supervise;

pub use fault::{Blame, Culprit, Fault, FaultKind};
pub use host::{Adapter, Params};
pub use launch::{Launch, Limits};
pub use supervise::{Late, Supervised};
