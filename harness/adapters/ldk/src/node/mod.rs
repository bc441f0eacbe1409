//! The adapter `ldk-node`: one process, one node.
//!
//! Beyond the protocol's page, [`OPERATIONS`] has
//! - `peer.list` → [{`node_id`, `address`, `connected`}];
//! - `graph.nodes` → [{`node_id`, `alias`, `features` (hex, highest byte first), `addresses`}],
//!   all but `node_id` absent until the node's announcement has arrived;
//! - `payment.invoice` (`payment`) → {`invoice` (the TLV stream of the BOLT 12 invoice that this node
//!   has paid or is paying), `payer_secret` (32 bytes: the secret key of its `invreq_payer_id`, for an
//!   offer and where `node.start` was given a `seed`)}.
//!
//! `invoice.create` with `blinded` answers the `paths` to this node of a BOLT 12 `invoice`, which it makes
//! for a refund of nobody's. `refund.pay` also answers the `invoice` that it sent. A `payment-received` for an offer or a refund
//! has `quantity` and `note` of its request where they are given.
//!
//! `options` of `node.start`: `announce` (bool; whether the node may have announced channels, by
//! default whether it listens), `forwards` (bool; also to channels that are not announced), `role`
//! (`server` or `client` of async payments, or `none`; `forwards` means `server`), `anchor_reserve_sat` (what
//! it keeps on chain for each anchors channel, by default LDK's 25000; with 0 a node without coins
//! accepts them), `log_level` (`gossip`, `trace`, `debug`, …), `watch` (bool; onion messages and held
//! HTLCs are events too, see [`watch`]).
//!
//! Every operation that waits takes `deadline_ms`. Events beside the protocol's are
//! `payment-sent`, `payment-failed`, `channel-pending`, `splice-pending` and `splice-failed`.
//!
//! Two habits of LDK that a harness meets:
//! - it handles no HTLC that it receives or forwards in the first 2 s after `node.start`
//!   (`INIT_FWD_DELAY` of its background processor), so the first payment after a start may take
//!   that long;
//! - it stores its channels after its channel monitors, so a node that is killed in the middle of
//!   a commitment dance, which goes on for a moment after the payer knows of its success, finds
//!   itself stale when it starts again and closes the channel.

mod blinded;
mod events;
mod log;
mod ops;
mod payer_key;
mod running;
mod store;
mod watch;

use events::Events;
use lnconform_protocol::concurrent::{ConcurrentHandler, serve_concurrent};
use lnconform_protocol::outcome::{Fail, Outcome, answer};
use lnconform_protocol::params::Params;
use lnconform_protocol::{Answer, Hello, Implementation, OpError, PROTOCOL};
use running::Running;
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// Version of ldk-node that is built in; a test holds it against the lock file.
pub const VERSION: &str = "0.7.1";

/// Operations that the node answers.
pub const OPERATIONS: [&str; 29] = [
    "node.start",
    "node.stop",
    "chain.sync",
    "wallet.new_address",
    "wallet.balance",
    "peer.connect",
    "peer.disconnect",
    "peer.list",
    "channel.open",
    "channel.list",
    "graph.channels",
    "graph.nodes",
    "invoice.create",
    "invoice.pay",
    "keysend.send",
    "offer.create",
    "offer.pay",
    "refund.create",
    "refund.pay",
    "async.server_paths",
    "async.use_server",
    "payment.wait",
    "payment.invoice",
    "payment.settle",
    "payment.cancel",
    "event.next",
    "event.list",
    "message.sign",
    "message.verify",
];

/// The protocol allows 5 s for stopping a node; after this the process ends without it.
const STOP_WITHIN: Duration = Duration::from_millis(4500);

/// Serves `ldk-node` on this process's standard input and output.
///
/// # Errors
/// When the harness has gone away.
pub fn serve_stdio() -> io::Result<()> {
    serve_concurrent(&LdkNode::default(), io::stdin().lock(), io::stdout())
}

/// The handler: no node until `node.start`, and again none after `node.stop`.
#[derive(Default)]
pub struct LdkNode {
    running: Mutex<Option<Arc<Running>>>,
    events: Arc<Events>,
}

impl ConcurrentHandler for LdkNode {
    fn hello(&self) -> Hello {
        Hello {
            implementation: Implementation {
                name: "ldk-node".into(),
                version: VERSION.into(),
                language: "Rust".into(),
                source: "https://github.com/lightningdevkit/ldk-node".into(),
            },
            protocol: PROTOCOL,
            operations: OPERATIONS.map(String::from).to_vec(),
            dialects: ["async/ldk", "chain/bitcoind", "chain/electrum"]
                .map(String::from)
                .to_vec(),
        }
    }

    fn waits(&self, op: &str, params: &Value) -> bool {
        match op {
            "chain.sync" | "peer.connect" | "peer.disconnect" | "channel.open" | "payment.wait"
            | "event.next" => true,
            "offer.create" => params["async"] == true,
            _ => false,
        }
    }

    fn call(&self, op: &str, params: &Value) -> Answer {
        log::forget_complaint();
        let params = Params::new(params);
        answer(match op {
            "node.start" => self.start(params),
            "node.stop" => self.stop(params),
            _ => ops::call(op, params, || self.node()),
        })
    }

    fn closing(&self) {
        self.events.close();
    }

    fn shutdown(&self) {
        let Some(running) = self.slot().take() else {
            return;
        };
        let (done, stopped) = mpsc::channel();
        // A node that does not stop must not keep the process: this thread ends with it.
        let stopping = thread::Builder::new().name("stop".into()).spawn(move || {
            let outcome = running.stop();
            // The receiver has given up if it is late.
            let _ = done.send(outcome);
        });
        let what = match stopping.map(|_| stopped.recv_timeout(STOP_WITHIN)) {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(e))) => e.message,
            Ok(Err(_)) => format!("the node did not stop within {STOP_WITHIN:?}"),
            Err(e) => e.to_string(),
        };
        eprintln!("adapter: {what}");
    }
}

impl LdkNode {
    fn slot(&self) -> MutexGuard<'_, Option<Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self) -> Result<Arc<Running>, Fail> {
        self.slot()
            .clone()
            .ok_or_else(|| OpError::rejected("no node is running; node.start comes first").into())
    }

    fn start(&self, params: Params<'_>) -> Outcome {
        let config = running::Config::read(params)?;
        let mut slot = self.slot();
        if slot.is_some() {
            return Err(OpError::rejected("the node is running; node.stop comes first").into());
        }
        let running = Running::start(config, self.events.clone())?;
        let started = running.started();
        *slot = Some(Arc::new(running));
        Ok(started)
    }

    fn stop(&self, params: Params<'_>) -> Outcome {
        let kill = match params.maybe("how", Params::str)? {
            None | Some("clean") => false,
            Some("kill") => true,
            Some(how) => {
                return Err(
                    OpError::invalid(format!("param how is {how}, not clean or kill")).into(),
                );
            }
        };
        let running = self.node()?;
        self.slot().take();
        self.events.node_stopped();
        if kill {
            running.kill()?;
        } else {
            running.stop()?;
        }
        Ok(json!({}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_protocol::ErrorKind;

    fn ask(node: &LdkNode, op: &str, params: Value) -> OpError {
        match node.call(op, &params) {
            Answer::Error(e) => e,
            other => panic!("{op}: {other:?}"),
        }
    }

    #[test]
    fn every_operation_refuses_an_empty_request_before_there_is_a_node() {
        let node = LdkNode::default();
        for op in OPERATIONS {
            let e = ask(&node, op, json!({}));
            let missing = e.kind == ErrorKind::Invalid && e.message.contains("is missing");
            let stopped = e.kind == ErrorKind::Rejected && e.message.contains("node.start");
            assert!(missing || stopped, "{op}: {e:?}");
        }
    }

    #[test]
    fn another_network_is_refused_before_anything_is_touched() {
        let node = LdkNode::default();
        for network in ["bitcoin", "mainnet", "testnet", "signet", "Regtest"] {
            let e = ask(
                &node,
                "node.start",
                json!({"network": network, "data_dir": "/dev/null/x"}),
            );
            assert_eq!(e.kind, ErrorKind::Rejected);
            assert!(e.message.contains("regtest"), "{e:?}");
        }
    }

    #[test]
    fn ill_typed_params_of_a_start_are_named() {
        let node = LdkNode::default();
        let chain = json!({"bitcoind": {
            "rpc_host": "127.0.0.1", "rpc_port": 1, "user": "u", "password": "p"}});
        let start = |more: Value| {
            let mut params = json!({
                "network": "regtest", "data_dir": "/dev/null/x", "chain": chain, "seed": "00".repeat(32)});
            for (name, value) in more.as_object().unwrap() {
                params[name] = value.clone();
            }
            ask(&node, "node.start", params)
        };
        for (more, named) in [
            (json!({"seed": "00"}), "seed"),
            (json!({"chain": {}}), "bitcoind"),
            (
                json!({"chain": {"electrum": "tcp://1.2.3.4:5"}}),
                "loopback",
            ),
            (
                json!({"chain": {"electrum": "ssl://127.0.0.1:5"}}),
                "chain.electrum",
            ),
            (json!({"listen": "nowhere"}), "listen"),
            (json!({"listen": "8.8.8.8:9735"}), "loopback"),
            (
                json!({"chain": {"bitcoind": {"rpc_host": "10.0.0.1", "rpc_port": 1, "user": "u", "password": "p"}}}),
                "loopback",
            ),
            (json!({"options": {"role": "bank"}}), "role"),
            (json!({"options": {"announce": true}}), "listen"),
            (json!({"options": {"log_level": "loud"}}), "log_level"),
        ] {
            let e = start(more.clone());
            assert!(e.message.contains(named), "{more}: {e:?}");
            assert!(
                matches!(e.kind, ErrorKind::Invalid | ErrorKind::Rejected),
                "{e:?}"
            );
        }
    }

    #[test]
    fn a_switch_of_another_implementation_is_unsupported() {
        let node = LdkNode::default();
        let chain = json!({"bitcoind": {
            "rpc_host": "127.0.0.1", "rpc_port": 1, "user": "u", "password": "p"}});
        let params = json!({
            "network": "regtest", "data_dir": "/dev/null/x", "chain": chain,
            "options": {"keysend_hold": 8}});
        match node.call("node.start", &params) {
            Answer::Unsupported(u) => assert!(u.reason.contains("keysend_hold"), "{u:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn stopping_needs_a_node_and_a_known_way() {
        let node = LdkNode::default();
        assert_eq!(
            ask(&node, "node.stop", json!({"how": "gently"})).kind,
            ErrorKind::Invalid
        );
        assert_eq!(
            ask(&node, "node.stop", json!({"how": "kill"})).kind,
            ErrorKind::Rejected
        );
    }
}
