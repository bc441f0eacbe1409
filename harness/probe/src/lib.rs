//! The probe: a Lightning node that the harness plays itself, well-behaved or cheating in one named
//! way.
//!
//! Funding, channel state, gossip and reconnection are LDK's, of a real `ChannelManager`. What is the
//! probe's own are the onions that it sends, what it makes of those that it gets, and what it fails
//! them with ([`node::hook`]). As payee it judges by the rules of `drafts` ([`payee`]); as payer it does what
//! a step asks for, and with `misbehave` one thing more ([`misbehave`]).
//!
//! Beyond the protocol's page,
//! - `keysend.send` takes `final_cltv_delta` (blocks from the tip until the last HTLC expires, 80),
//!   `payment_secret`, `total_msat`, `parts` [{`amount_msat`}] and `misbehave`; `invoice.pay` takes
//!   `final_cltv_delta`, `parts` and `misbehave`; `amp.send` takes what `keysend.send` takes but for the
//!   preimage, and draws root, set id and shares itself; AMP invoices and chosen shards are of [`amp`],
//!   pools and tunnels beside an AMP payment of [`proofs::pool`];
//! - `probe.clock` (`ahead`, in seconds) sets the payee's clock ahead: that of what it decides, not that of
//!   its channels;
//! - `receipt.send` (`payment_hash`, `to`, `amount_msat`, `algorithm`, `misbehave`) pays back with the
//!   receipt of a keysend proof, and answers the `receipt`; a `payment-received` has `proof` where a request
//!   came with it, and `receipt` where a receipt did ([`proofs`]);
//! - `payment.wait` answers `htlcs` [{`status`, `preimage`, `failure`}] too, and the status `partly`
//!   where some were settled and some failed. A `failure` has `code`, `name`, `data` (hex) and `hop`
//!   (0 is the peer), `malformed` where the peer could not read the onion, or else `reason`
//!   (`unreadable`, `channel-closed`, `not-sent`) and `message`;
//! - events are also `payment-refused` (`rule`, `code`, `message`), `payment-sent`, `payment-failed`,
//!   `channel-pending`, `peer-disconnected` (`warning`) and `peer-error` (`data`);
//! - `probe.transcript` answers what was said about HTLCs, as it is in every run ([`node::dialogue`]);
//! - `payment.cancel` takes `code`, `data` (hex, behind the code), `misbehave` ([`failures`]), and `malformed`
//!   (bool): the HTLC is failed as one whose onion could not be read. Without `code`, one that came along a
//!   blinded path is failed as the path's nodes have to;
//! - `invoice.create` with `blinded` takes `via`, `fee_base_msat`, `htlc_minimum_msat`, `override` (bool: the
//!   data of the last node before the recipient names the next path key) and `misbehave`, and
//!   answers `paths`; `blinded_path.pay` (`path`, `payment_hash`, `amount_msat`, `misbehave`) pays along one
//!   ([`blind`]), with `trampolines` by trampolines ([`trampoline::blinded`]).
//!
//! - `fulfillment.next` (`misbehave`): the next HTLC that the node settles, as payee or on the way, goes wrong
//!   in that way; and events are also `fulfillment` ([`fulfillment`]);
//! - `async.path`, `async.send`, `async.offer`, and `hold` of `keysend.send`: see [`messages::async_wire`] and
//!   [`messages::static_invoice`]; the static invoice server and its client, [`messages::invoice_server`].
//!   Operations `raw.*` need no channel: see [`raw`]. Onion messages are of [`messages`], and BOLT 12 on
//!   them, with its operations and events, of [`messages::offers`]; bLIP 32 is of [`messages::dns`].
//!
//! `options` of `node.start`: `amp` (bool; without it AMP is taken for invoices alone), `announce` (bool),
//! `attribution` (bool: fulfillment payloads, with `option_attribution_data`, [`fulfillment`]), `forwards`
//! (bool), `trampoline` (`pr-836`: it speaks that dialect as trampoline and as recipient,
//! [`trampoline::pr836`]; `invoice.pay` with `trampolines` pays in it) and `watch`
//! (bool; it changes nothing, for the probe always tells of onion messages and held HTLCs). With `forwards`
//! it is a trampoline
//! of `trampoline/acinq-legacy` that holds a payment (`payment-held`, `next`) until it has a usable channel
//! with the next node, tries that up to three times, and then settles or fails the first payment
//! (`payment-forwarded`, `attempts`). Everything that is said goes
//! into `transcript.jsonl` in the node's folder, in the clear. A node that starts in the folder of an
//! earlier one has its channels, and holds what that one held ([`node::state`]): it tells of it again, with
//! `payment-held`.

mod amp;
mod blind;
mod failures;
mod fulfillment;
mod messages;
mod misbehave;
mod node;
mod onward;
mod ops;
mod payee;
mod proofs;
mod raw;
mod shot;
mod trampoline;

use lnconform_protocol::concurrent::{ConcurrentHandler, serve_concurrent};
use lnconform_protocol::events::Events;
use lnconform_protocol::outcome::{Fail, Outcome, answer};
use lnconform_protocol::params::{Params, ResultObject};
use lnconform_protocol::{Answer, Hello, Implementation, OpError, PROTOCOL};
use node::chain::Bitcoind;
use node::{Config, Node};
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

/// Version of the probe: this project's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Operations that the probe answers.
pub const OPERATIONS: [&str; 53] = [
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
    "blinded_path.pay",
    "keysend.send",
    "amp.send",
    "receipt.send",
    "fulfillment.next",
    "offer.create",
    "offer.request",
    "offer.pay",
    "refund.create",
    "refund.pay",
    "dns.serve",
    "dns.query",
    "payment.wait",
    "payment.settle",
    "payment.cancel",
    "probe.transcript",
    "probe.clock",
    "tunnel.pool",
    "tunnel.assign",
    "tunnel.pay",
    "tunnel.settle",
    "event.next",
    "event.list",
    "async.offer",
    "async.path",
    "async.send",
    "async.hold",
    "async.server_paths",
    "async.use_server",
    "async.update_invoice",
    "raw.connect",
    "raw.listen",
    "raw.accepted",
    "raw.send",
    "raw.onion_message",
    "raw.next",
    "raw.ping",
    "raw.closed",
    "raw.close",
];

/// Options of `node.start`.
const OPTIONS: [&str; 6] = [
    "amp",
    "announce",
    "attribution",
    "forwards",
    "trampoline",
    "watch",
];

/// Serves the probe on this process's standard input and output.
///
/// # Errors
/// When the harness has gone away.
pub fn serve_stdio() -> io::Result<()> {
    serve_concurrent(&Probe::default(), io::stdin().lock(), io::stdout())
}

/// The handler: no node until `node.start`, and again none after `node.stop`.
#[derive(Default)]
pub struct Probe {
    running: Mutex<Option<Arc<Node>>>,
    events: Arc<Events>,
}

impl ConcurrentHandler for Probe {
    fn hello(&self) -> Hello {
        Hello {
            implementation: Implementation {
                name: "probe".into(),
                version: VERSION.into(),
                language: "Rust".into(),
                source: "in this repository, on rust-lightning 0.3".into(),
            },
            protocol: PROTOCOL,
            operations: OPERATIONS.map(String::from).to_vec(),
            dialects: vec![
                "trampoline/acinq-legacy".into(),
                "trampoline/pr-836".into(),
                "async/ldk".into(),
            ],
        }
    }

    fn waits(&self, op: &str, params: &Value) -> bool {
        // The offer of a receiver that is often offline waits for its server.
        let offer = op == "offer.create" && params["async"] == true;
        offer
            || matches!(
                op,
                "chain.sync"
                    | "peer.connect"
                    | "peer.disconnect"
                    | "channel.open"
                    | "offer.pay"
                    | "payment.wait"
                    | "event.next"
                    | "raw.connect"
                    | "raw.accepted"
                    | "raw.next"
                    | "raw.ping"
                    | "raw.closed"
            )
    }

    fn call(&self, op: &str, params: &Value) -> Answer {
        let params = Params::new(params);
        answer(match op {
            "node.start" => self.start(params),
            "node.stop" => self.stop(params),
            _ if op.starts_with("raw.") => raw::call(op, params, || self.node()),
            _ => ops::call(op, params, || self.node()),
        })
    }

    fn closing(&self) {
        self.events.close();
    }

    fn shutdown(&self) {
        if let Some(node) = self.slot().take() {
            node.stop(false);
        }
    }
}

impl Probe {
    fn slot(&self) -> MutexGuard<'_, Option<Arc<Node>>> {
        node::env::lock(&self.running)
    }

    fn node(&self) -> Result<Arc<Node>, Fail> {
        self.slot()
            .clone()
            .ok_or_else(|| OpError::rejected("no node is running; node.start comes first").into())
    }

    fn start(&self, params: Params<'_>) -> Outcome {
        let config = read(params)?;
        let mut slot = self.slot();
        if slot.is_some() {
            return Err(OpError::rejected("the node is running; node.stop comes first").into());
        }
        let node = Node::start(config, self.events.clone())?;
        let started = ResultObject::new()
            .with("node_id", node.id.to_string())
            .maybe("address", node.listen.map(|address| address.to_string()))
            .with("version", VERSION)
            .done();
        *slot = Some(node);
        Ok(started)
    }

    fn stop(&self, params: Params<'_>) -> Outcome {
        let kill = params.maybe("how", Params::str)? == Some("kill");
        let node = self.node()?;
        self.slot().take();
        self.events.node_stopped();
        node.stop(kill);
        Ok(json!({}))
    }
}

/// The params of `node.start`.
fn read(params: Params<'_>) -> Result<Config, Fail> {
    let network = params.str("network")?;
    if network != "regtest" {
        let why = format!("network is {network}; only regtest is allowed");
        return Err(OpError::rejected(why).into());
    }
    let seed = params.array::<32>("seed")?;
    let data_dir = PathBuf::from(params.str("data_dir")?);
    let bitcoind = Params::new(Params::new(params.need("chain")?).need("bitcoind")?);
    let host = bitcoind.str("rpc_host")?;
    if host != "127.0.0.1" && host != "localhost" {
        return Err(OpError::rejected(format!("rpc_host {host} is not loopback")).into());
    }
    let port = u16::try_from(bitcoind.u32("rpc_port")?)
        .map_err(|_| OpError::invalid("param rpc_port is no port"))?;
    let (user, password) = (bitcoind.str("user")?, bitcoind.str("password")?);
    let bitcoind = Bitcoind::new(host, port, user, password)?;
    let listen = params.maybe("listen", Params::loopback)?;
    let none = Value::Null;
    let given = params.get("options").unwrap_or(&none);
    let names = given
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name);
    if let Some(name) = names
        .into_iter()
        .find(|name| !OPTIONS.contains(&name.as_str()))
    {
        return Err(Fail::Unsupported(format!("the probe has no option {name}")));
    }
    let options = Params::new(given);
    let pr836 = match options.maybe("trampoline", Params::str)? {
        None => false,
        Some(trampoline::pr836::OPTION) => true,
        Some(other) => {
            let why = format!(
                "the probe is no trampoline of {other}; it knows {}",
                trampoline::pr836::OPTION
            );
            return Err(Fail::Unsupported(why));
        }
    };
    Ok(Config {
        seed,
        data_dir,
        bitcoind,
        listen,
        alias: params
            .maybe("alias", Params::str)?
            .unwrap_or("probe")
            .to_owned(),
        announce: options
            .maybe("announce", Params::bool)?
            .unwrap_or(listen.is_some()),
        forwards: options.maybe("forwards", Params::bool)?.unwrap_or(false),
        pr836,
        amp: options.maybe("amp", Params::bool)?.unwrap_or(true),
        attribution: options.maybe("attribution", Params::bool)?.unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_protocol::ErrorKind;

    fn ask(op: &str, params: Value) -> OpError {
        match Probe::default().call(op, &params) {
            Answer::Error(e) => e,
            other => panic!("{op}: {other:?}"),
        }
    }

    #[test]
    fn every_operation_refuses_an_empty_request_before_there_is_a_node() {
        for op in OPERATIONS {
            let e = ask(op, json!({}));
            let missing = e.kind == ErrorKind::Invalid && e.message.contains("is missing");
            let stopped = e.kind == ErrorKind::Rejected && e.message.contains("node.start");
            assert!(missing || stopped, "{op}: {e:?}");
        }
    }

    #[test]
    fn only_regtest_and_loopback() {
        let start = |network: &str, host: &str, listen: &str| {
            ask(
                "node.start",
                json!({"network": network, "seed": "00".repeat(32), "data_dir": "/dev/null/x",
                       "chain": {"bitcoind": {"rpc_host": host, "rpc_port": 1, "user": "u", "password": "p"}},
                       "listen": listen}),
            )
        };
        for (e, named) in [
            (start("bitcoin", "127.0.0.1", "127.0.0.1:1"), "regtest"),
            (start("regtest", "10.0.0.1", "127.0.0.1:1"), "rpc_host"),
            (start("regtest", "127.0.0.1", "0.0.0.0:1"), "listen"),
            (start("regtest", "127.0.0.1", "127.0.0.1:1"), "data_dir"),
        ] {
            assert_eq!(e.kind, ErrorKind::Rejected);
            assert!(e.message.contains(named), "{e:?}");
        }
    }

    #[test]
    fn a_wrong_that_nobody_knows_is_refused() {
        let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        for (name, says) in [
            ("keysend-preimage-32", "does not know"),
            ("invoice-secret-wrong", "nothing that keysend.send can do"),
        ] {
            let e = ask(
                "keysend.send",
                json!({"to": key, "amount_msat": "1", "misbehave": name}),
            );
            assert_eq!(e.kind, ErrorKind::Invalid);
            assert!(e.message.contains(says), "{e:?}");
        }
    }
}
