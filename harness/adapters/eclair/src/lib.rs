//! Eclair as an adapter: one process, one node, driven over its HTTP interface with form fields, and
//! its events over a websocket. The user brings Eclair (`ECLAIR_HOME`, the unpacked folder of a
//! release) and a Java that runs it, on PATH.
//!
//! Never run against the real node in our CI: it was written against the published interface, and
//! its tests run against a stand-in that knows each call's fields, which of them are needed, and of
//! which form they are, and refuses any other.
//!
//! Eclair keeps no coins itself: each node gets a wallet of its own in the cluster's bitcoind.
//!
//! What Eclair cannot be asked for over this interface is `unsupported`, with the reason: for
//! keysend a preimage, records or anything else of the onion, several parts by hand, AMP, held
//! payments, a payer's note, and offers with a quantity. Custom records that arrive are not told.
//!
//! `options` of `node.start`: `forwards` (true alone: it always forwards) and `announce` (bool;
//! without `listen` it cannot).

#![cfg(unix)]

mod http;
mod node;
mod ops;
mod pay;
#[cfg(test)]
mod standin;
#[cfg(test)]
mod tests;
mod watch;

use lnconform_adapter_process::NodeAdapter;
use std::io;
use std::path::Path;

/// Serves the adapter on standard input and output until `shutdown` or the end of input. `program`
/// is `bin/eclair-node.sh` of the unpacked release.
///
/// # Errors
/// When the release says no version, or the harness has gone away.
pub fn serve_stdio(program: &Path) -> io::Result<()> {
    let adapter = NodeAdapter::new(node::Eclair::new(program)?);
    lnconform_protocol::concurrent::serve_concurrent(&adapter, io::stdin().lock(), io::stdout())
}
