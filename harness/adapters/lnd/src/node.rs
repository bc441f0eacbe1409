//! The node: LND's process, and what is known of it.

use crate::forward::Codec;
use crate::http::Client;
use crate::intercept::Interceptor;
use crate::lnd::{self, OPTIONS, Settings, Started};
use crate::{ops, payments, read, watch};
use lnconform_adapter_process::{Access, Backend, Config, Node, lock, version};
use lnconform_protocol::events::Events;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject};
use lnconform_protocol::{Answer, ErrorKind, Hello, Implementation, OpError, PROTOCOL};
use lnconform_regtest::ports::Port;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Operations that the node answers.
const OPERATIONS: [&str; 26] = [
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
    "invoice.lookup",
    "invoice.pay",
    "keysend.send",
    "amp.send",
    "payment.wait",
    "payment.settle",
    "payment.cancel",
    "htlc.intercept",
    "htlc.next",
    "htlc.resolve",
    "event.next",
    "message.sign",
    "message.verify",
];

/// What outlives the node's process.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Last event before each payment was sent: a handle is used again when its payment is.
    pub(crate) sent_after: Mutex<HashMap<String, u32>>,
    /// Payments of which the end has not been seen, to be looked after when the node is back.
    pub(crate) open: Mutex<HashSet<String>>,
    /// Last `add_index` and `settle_index` of invoices that were told.
    pub(crate) indexes: Mutex<(u64, u64)>,
}

/// A started node and what belongs to it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) client: Arc<Client>,
    pub(crate) node: Node,
    pub(crate) events: Arc<Events>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) node_id: String,
    /// Whether every keysend is held.
    pub(crate) holds_keysend: bool,
    pub(crate) interceptor: Mutex<Option<Arc<Interceptor>>>,
    // Held for as long as the node may bind them.
    _ports: Vec<Port>,
}

impl Running {
    /// Whether nobody waits for an answer any more.
    pub(crate) fn over(&self) -> bool {
        self.client.is_ending() || self.events.is_closing()
    }

    /// The failure of an operation, with the node's end where it comes of that.
    fn told(&self, fail: Fail) -> Fail {
        match fail {
            Fail::Error(e) if e.kind == ErrorKind::Internal && !self.client.is_ending() => {
                match self.node.ended_soon() {
                    Some(how) => Fail::Error(OpError {
                        message: format!("{}; lnd has ended by itself ({how})", e.message),
                        ..e
                    }),
                    None => Fail::Error(e),
                }
            }
            other => other,
        }
    }
}

/// The adapter.
#[derive(Debug)]
pub(crate) struct LndNode {
    program: PathBuf,
    hello: Hello,
    codec: Option<Codec>,
    shared: Arc<Shared>,
}

impl LndNode {
    /// An adapter without a running node.
    ///
    /// # Errors
    /// When `lnd --version` cannot be run.
    pub(crate) fn new(lnd: &Path, codec: Option<&Path>) -> io::Result<Self> {
        let version = version(lnd, "lnd", version_in)?;
        let codec = codec.map(Codec::new);
        let mut operations: Vec<String> = OPERATIONS.map(String::from).to_vec();
        let mut dialects = vec!["amp/lnd".to_owned()];
        if let Some(codec) = &codec {
            match codec.hello() {
                Ok(theirs) => {
                    let new = |known: &Vec<String>, name: &String| !known.contains(name);
                    for name in theirs.operations {
                        if new(&operations, &name) {
                            operations.push(name);
                        }
                    }
                    for name in theirs.dialects {
                        if new(&dialects, &name) {
                            dialects.push(name);
                        }
                    }
                }
                Err(e) => eprintln!("adapter: no codec operations: {}", e.message),
            }
        }
        Ok(Self {
            program: lnd.to_owned(),
            hello: Hello {
                implementation: Implementation {
                    name: "lnd".into(),
                    version,
                    language: "Go".into(),
                    source: "https://github.com/lightningnetwork/lnd".into(),
                },
                protocol: PROTOCOL,
                operations,
                dialects,
            },
            codec,
            shared: Arc::default(),
        })
    }
}

impl Backend for LndNode {
    type Running = Running;

    fn hello(&self) -> Hello {
        self.hello.clone()
    }

    fn options(&self) -> &'static [&'static str] {
        &OPTIONS
    }

    fn waits(&self, op: &str) -> bool {
        matches!(
            op,
            "chain.sync"
                | "peer.connect"
                | "peer.disconnect"
                | "channel.open"
                | "invoice.pay"
                | "keysend.send"
                | "amp.send"
                | "payment.wait"
                | "htlc.next"
        )
    }

    fn start(&self, config: &Config, events: &Arc<Events>) -> Result<(Arc<Running>, Value), Fail> {
        let settings = Settings::read(config)?;
        let Started {
            node,
            client,
            info,
            ports,
        } = lnd::start(&self.program, config, &settings)?;
        let node_id = read::need(&info["identity_pubkey"], "/v1/getinfo", "identity_pubkey")?;
        let version = info["version"].as_str().unwrap_or_default();
        let started = ResultObject::new()
            .with("node_id", node_id)
            .maybe("address", config.address())
            .with("version", version_of(version))
            .maybe("features", read::features(&info["features"]))
            .with("pid", node.id())
            .maybe("attach", node.log().parent().map(crate::attach::ways))
            .done();
        let running = Arc::new(Running {
            client: Arc::new(client),
            node,
            events: events.clone(),
            shared: self.shared.clone(),
            node_id: node_id.to_owned(),
            holds_keysend: settings.keysend_hold.is_some(),
            interceptor: Mutex::default(),
            _ports: ports,
        });
        watch::start(&running)?;
        payments::resume(&running);
        Ok((running, started))
    }

    fn end(&self, running: &Running, kill: bool) -> Result<(), OpError> {
        // Streams that end from here on end because of this.
        running.client.expect_end();
        lock(&running.interceptor).take();
        let outcome = if kill {
            running.node.kill();
            Ok(())
        } else {
            lnd::stop(&running.node, &running.client)
        };
        running.client.close();
        outcome
    }

    fn elsewhere(&self, op: &str, params: &Value) -> Option<Answer> {
        let codec = self.codec.as_ref()?;
        (!OPERATIONS.contains(&op)).then(|| codec.ask(op, params))
    }

    fn closing(&self, running: &Running) {
        if let Some(interceptor) = &*lock(&running.interceptor) {
            interceptor.close();
        }
    }

    fn call(&self, op: &str, params: Params<'_>, node: Access<'_, Running>) -> Outcome {
        ops::call(op, params, node).map_err(|fail| match node() {
            Ok(running) => running.told(fail),
            Err(_) => fail,
        })
    }
}

/// `v0.21.2-beta` from what LND says of itself, which goes on with its commit.
fn version_of(said: &str) -> String {
    let version = said.split_whitespace().next().unwrap_or_default();
    if version.starts_with('v') {
        version.to_owned()
    } else {
        format!("v{version}")
    }
}

/// The version in `lnd version 0.21.2-beta commit=…`, where the first word is what the program is
/// called here.
fn version_in(line: &str) -> Option<String> {
    line.split_once(" version ")
        .map(|(_, rest)| version_of(rest))
}

#[cfg(test)]
mod tests;
