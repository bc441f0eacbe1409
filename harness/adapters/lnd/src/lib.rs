//! LND as an adapter: one process, one node, driven over LND's REST interface.
//!
//! TLS and macaroons are on, as LND starts by itself: they cost a tenth of a second a start and a
//! millisecond a connection. Every answer is LND's own; codec operations are answered by a Go
//! program that links LND's packages.
//!
//! Beyond the protocol's page there are `invoice.lookup`, `peer.list`, `graph.nodes` and
//! `htlc.intercept`; `docs/adapter.md` has their fields. `invoice.create` with `blinded` answers the `paths`
//! in the invoice too. `options` of `node.start`: `announce`
//! (bool; by default whether the node listens), `forwards` (false: it refuses to forward), `keysend`
//! and `amp` (bool; whether it takes spontaneous payments, by default both), `keysend_hold`
//! (seconds for which every keysend is held), `onion_relay_all` (bool; whether onion messages of peers
//! without a channel are passed on), `log_level`.
//!
//! Habits of LND that a harness meets:
//! - it forgets of which HTLCs a set was made when a second payer uses the set's id on the same
//!   invoice: what an event told is to be kept;
//! - of an AMP set nothing is held: it settles when it is complete;
//! - an AMP payment without liquidity is tried again beyond its timeout; the adapter ends that, but
//!   where a part of its set has arrived, the payee holds it for 120 s (BOLT 4, MPP timeout) and the
//!   payment is not over before;
//! - a payment by routes that the caller chose has no retries.

mod attach;
mod blinded;
mod codes;
mod forward;
mod http;
mod intercept;
mod lnd;
mod node;
mod ops;
mod payments;
mod read;
#[cfg(all(test, unix))]
mod standin;
#[cfg(all(test, unix))]
mod tests;
mod watch;

use lnconform_adapter_process::NodeAdapter;
use std::io;
use std::path::Path;

/// Serves the adapter on standard input and output until `shutdown` or the end of input. `lnd` is
/// the node's program; `codec` is the Go program that answers codec operations, absent where only
/// nodes are wanted.
///
/// # Errors
/// When `lnd` does not say its version, or the harness has gone away.
pub fn serve_stdio(lnd: &Path, codec: Option<&Path>) -> io::Result<()> {
    let adapter = NodeAdapter::new(node::LndNode::new(lnd, codec)?);
    lnconform_protocol::concurrent::serve_concurrent(&adapter, io::stdin().lock(), io::stdout())
}
