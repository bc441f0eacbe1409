//! The operations of a running node.

mod chain;
mod channels;
mod intercept;
mod invoices;
mod messages;
mod send;
#[cfg(test)]
mod tests;

use crate::http::CallError;
use crate::node::Running;
use lnconform_adapter_process::Access;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::Params;
use std::time::Instant;

type Node<'a> = Access<'a, Running>;

/// Answers one operation; `node` is asked for once the params have been read.
pub(crate) fn call(op: &str, params: Params<'_>, node: Node<'_>) -> Outcome {
    match op {
        "chain.sync" => chain::chain_sync(params, node),
        "wallet.new_address" => chain::new_address(node),
        "wallet.balance" => chain::balance(node),
        "peer.connect" => channels::connect(params, node),
        "peer.disconnect" => channels::disconnect(params, node),
        "peer.list" => channels::peers(node),
        "channel.open" => channels::open_channel(params, node),
        "channel.list" => channels::channels(node),
        "graph.channels" => channels::graph_channels(node),
        "graph.nodes" => channels::graph_nodes(node),
        "invoice.create" => invoices::create_invoice(params, node),
        "invoice.lookup" => invoices::lookup_invoice(params, node),
        "payment.settle" => invoices::settle(params, node),
        "payment.cancel" => invoices::cancel(params, node),
        "invoice.pay" => send::pay_invoice(params, node),
        "keysend.send" => send::keysend(params, node),
        "amp.send" => send::amp(params, node),
        "payment.wait" => send::wait_payment(params, node),
        "htlc.intercept" => intercept::intercept(params, node),
        "htlc.next" => intercept::next_htlc(params, node),
        "htlc.resolve" => intercept::resolve(params, node),
        "message.sign" => messages::sign(params, node),
        "message.verify" => messages::verify(params, node),
        _ => Err(Fail::Unsupported(format!("lnd has no operation {op}"))),
    }
}

/// Waits for `look` to answer something, and says what it saw last when it does not.
pub(crate) fn until<T>(
    running: &Running,
    deadline: Instant,
    what: &str,
    look: impl FnMut() -> Result<Result<T, String>, CallError>,
) -> Result<T, Fail> {
    lnconform_adapter_process::until(deadline, what, || running.over(), look)
}
