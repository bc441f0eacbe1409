//! Core Lightning as an adapter: one process, one node, driven by JSON-RPC over lightningd's unix
//! socket. The user brings lightningd (`CLN_EXE`).
//!
//! Never run against the real node in our CI: it was written against the published schemas of the
//! calls, and its tests run against a stand-in. The stand-in reads every request into the request
//! type of the published client `cln-rpc` and every answer into its response type, refuses a field
//! that the type does not have, and so stands for the schema. The client itself is a
//! dev-dependency only: it is asynchronous, has no deadline for a call, and brings tokio, while the
//! adapter needs a dozen lines of framing.
//!
//! What Core Lightning cannot be asked for is `unsupported`, with the reason: a preimage, a record
//! of the onion or an expiry of the caller's for keysend (its `keysend` draws its own), several
//! parts by hand, AMP, and held payments. Custom records that arrive are told by Core Lightning to
//! its plugins alone, so that `payment-received` has no `records`.
//!
//! `options` of `node.start`: `forwards` (true alone: it always forwards), `announce` (bool; it
//! announces itself with its first public channel, whatever is asked), `log_level`.
//!
//! lightningd reaches bitcoind through its own plugin `bcli`, which runs `bitcoin-cli`: that has to
//! be on PATH.

#![cfg(unix)]

mod node;
mod ops;
mod pay;
mod rpc;
#[cfg(test)]
mod standin;
#[cfg(test)]
mod tests;
mod watch;

use lnconform_adapter_process::NodeAdapter;
use std::io;
use std::path::Path;

/// Serves the adapter on standard input and output until `shutdown` or the end of input.
/// `lightningd` is the node's program.
///
/// # Errors
/// When `lightningd` does not say its version, or the harness has gone away.
pub fn serve_stdio(lightningd: &Path) -> io::Result<()> {
    let adapter = NodeAdapter::new(node::Cln::new(lightningd)?);
    lnconform_protocol::concurrent::serve_concurrent(&adapter, io::stdin().lock(), io::stdout())
}
