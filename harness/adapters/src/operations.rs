//! The operation names of the protocol.
//!
//! An adapter may have more; these are the ones with agreed params and results.

/// Codec operations: stateless, answered within 5 s.
pub const CODEC: &[&str] = &[
    "bigsize.decode",
    "bigsize.encode",
    "tlv.decode",
    "bolt11.decode",
    "bolt12.offer.decode",
    "bolt12.offer.encode",
    "bolt12.invoice_request.decode",
    "bolt12.invoice.decode",
    "bolt12.static_invoice.decode",
    "bolt12.refund.decode",
    "bolt12.invoice_request.respond",
    "bolt12.invoice.match",
    "bolt12.merkle",
    "bolt12.sign",
    "bolt12.verify",
    "payer_proof.create",
    "payer_proof.verify",
    "amp.child",
    "amp.reconstruct",
    "amp.record.decode",
    "amp.record.encode",
    "keysend_proof.commit",
    "keysend_proof.request.decode",
    "keysend_proof.request.encode",
    "keysend_proof.receipt.sign",
    "keysend_proof.accept",
    "keysend_proof.verify",
    "amp_tunnel.commit",
    "amp_tunnel.verify",
    "onion.build",
    "onion.peel",
    "onion.process",
    "onion.failure.create",
    "onion.failure.wrap",
    "onion.failure.decode",
    "onion.failure.plain",
    "onion.attribution.update",
    "onion.attribution.decode",
    "fulfillment.create",
    "fulfillment.pass",
    "fulfillment.decode",
    "fulfillment.attribution.update",
    "fulfillment.attribution.decode",
    "fulfillment.receipt",
    "onion.trace",
    "onion.keys",
    "payload.decode",
    "payload.refuse",
    "payload.encode",
    "blinded_path.build",
    "blinded_path.trace",
    "blinded_path.keys",
    "blinded_path.unblind",
    "blinded_path.data",
    "trampoline.build",
    "trampoline.peel",
    "trampoline.failure.create",
    "trampoline.failure.wrap",
    "trampoline.failure.decode",
    "trampoline.failure.answer",
    "trampoline.send",
    "trampoline.receive",
    "async.message.decode",
    "async.message.encode",
    "async.update_add_htlc.decode",
    "async.update_add_htlc.encode",
    "async.revoke_and_ack.decode",
    "async.revoke_and_ack.encode",
    "async.features",
    "async.announce",
    "async.hold",
    "async.payload.encode",
    "async.payload.claim",
    "async.server.receive",
    "async.receiver.receive",
    "async.receiver.update",
    "onion_message.build",
    "onion_message.peel",
    "mpp.send",
    "mpp.receive",
    "features.decode",
];

/// Node operations: they drive the one live node behind the adapter, within 30 s each.
pub const NODE: &[&str] = &[
    "node.start",
    "node.stop",
    "chain.sync",
    "wallet.new_address",
    "wallet.balance",
    "peer.connect",
    "peer.disconnect",
    "channel.open",
    "graph.channels",
    "channel.list",
    "invoice.create",
    "invoice.pay",
    "blinded_path.pay",
    "keysend.send",
    "amp.send",
    "offer.create",
    "offer.pay",
    "async.server_paths",
    "async.use_server",
    "payment.wait",
    "payment.invoice",
    "refund.create",
    "refund.pay",
    "onion_message.send",
    "htlc.next",
    "htlc.resolve",
    "event.list",
    "event.next",
    "payment.settle",
    "payment.cancel",
    "message.sign",
    "message.verify",
];

/// Whether the operation drives a live node.
pub fn is_node(op: &str) -> bool {
    NODE.contains(&op)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_there_twice() {
        let mut all: Vec<_> = CODEC.iter().chain(NODE).collect();
        let n = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), n);
    }

    #[test]
    fn lanes() {
        assert!(is_node("node.start") && !is_node("amp.child"));
    }
}
