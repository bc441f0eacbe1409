//! The node: lightningd's process, its settings, and what is known of it.

use crate::rpc::{CallError, Client};
use crate::{ops, pay, watch};
use lnconform_adapter_process::{Access, Backend, Config, Node, lock, version, write_private};
use lnconform_protocol::events::Events;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject};
use lnconform_protocol::{Hello, Implementation, OpError, PROTOCOL};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// From the start of the process to a call that is answered.
const START: Duration = Duration::from_secs(55);
/// From `stop` to the end of the process; the protocol allows 5 s in all.
const STOP: Duration = Duration::from_millis(4000);
/// One short call.
pub(crate) const CALL: Duration = Duration::from_secs(10);

/// Operations that the node answers.
const OPERATIONS: [&str; 24] = [
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
    "offer.create",
    "offer.pay",
    "payment.wait",
    "payment.invoice",
    "event.next",
    "event.list",
    "message.sign",
    "message.verify",
];

/// Plugins of Core Lightning's own that a node under test does not need: servers, backups, books
/// and clean-ups. Naming one that is not there does no harm.
const UNNEEDED: [&str; 10] = [
    "autoclean",
    "bookkeeper",
    "chanbackup",
    "cln-grpc",
    "cln-lsps-service",
    "clnrest",
    "commando",
    "recover",
    "sql",
    "wss-proxy",
];

/// What outlives the node's process.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Payments that were sent, by handle, with what is known of each.
    pub(crate) sent: Mutex<HashMap<String, pay::Sent>>,
    /// Those of which the end has not been seen because the node went away.
    pub(crate) open: Mutex<HashSet<String>>,
    /// `pay_index` of the last payment that arrived and was told.
    pub(crate) pay_index: AtomicU64,
    /// `updated_index` of the last forward that was told.
    pub(crate) forward_index: AtomicU64,
}

/// A started node.
#[derive(Debug)]
pub(crate) struct Running {
    client: Client,
    node: Node,
    pub(crate) events: Arc<Events>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) node_id: String,
    ending: AtomicBool,
}

impl Running {
    /// A call within `limit`; an error that comes of the node's end says so.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) fn call_for(
        &self,
        method: &str,
        params: &Value,
        limit: Option<Duration>,
    ) -> Result<Value, CallError> {
        let answer = self.client.call(method, params, limit);
        match answer {
            Err(CallError::Io { method, why }) => {
                // One that is being stopped is no surprise, and nobody waits for the reason.
                let ended = match self.is_ending() {
                    true => None,
                    false => self.node.ended_soon(),
                };
                let why = match ended {
                    Some(how) => format!("{why}; lightningd has ended by itself ({how})"),
                    None => why,
                };
                Err(CallError::Io { method, why })
            }
            other => other,
        }
    }

    /// A short call.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) fn call(&self, method: &str, params: &Value) -> Result<Value, CallError> {
        self.call_for(method, params, Some(CALL))
    }

    /// Whether it is being stopped, so that the end of a call is no surprise.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Whether nobody waits for an answer any more.
    pub(crate) fn over(&self) -> bool {
        self.is_ending() || self.events.is_closing()
    }
}

/// The adapter's side of Core Lightning.
#[derive(Debug)]
pub(crate) struct Cln {
    program: PathBuf,
    version: String,
    shared: Arc<Shared>,
}

impl Cln {
    /// An adapter without a running node.
    ///
    /// # Errors
    /// When `lightningd --version` says no version.
    pub(crate) fn new(program: &Path) -> io::Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            version: version(program, "lightningd", version_in)?,
            shared: Arc::default(),
        })
    }
}

#[cfg(test)]
impl Cln {
    /// Whether there are payments whose end was not seen.
    pub(crate) fn has_open(&self) -> bool {
        !lock(&self.shared.open).is_empty()
    }
}

impl Backend for Cln {
    type Running = Running;

    fn hello(&self) -> Hello {
        Hello {
            implementation: Implementation {
                name: "cln".into(),
                version: self.version.clone(),
                language: "C".into(),
                source: "https://github.com/ElementsProject/lightning".into(),
            },
            protocol: PROTOCOL,
            operations: OPERATIONS.map(String::from).into(),
            dialects: Vec::new(),
        }
    }

    fn options(&self) -> &'static [&'static str] {
        &["forwards", "announce", "log_level"]
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
                | "offer.pay"
                | "payment.wait"
        )
    }

    fn start(&self, config: &Config, events: &Arc<Events>) -> Result<(Arc<Running>, Value), Fail> {
        let settings = settings(config)?;
        let dir = config.folder()?;
        // lightningd's own folder of the network, in which its socket lies.
        let network = dir.join("regtest");
        std::fs::create_dir_all(&network)
            .map_err(|e| OpError::rejected(format!("{} cannot be made: {e}", network.display())))?;
        let file = dir.join("config");
        write_private(&file, &settings)?;
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--lightning-dir={}", dir.display()))
            .arg("--network=regtest")
            .arg(format!("--conf={}", file.display()));
        let node = Node::start("lightningd", command, &dir.join("lightningd.log"))?;
        let client = Client::new(&network);
        let info = node.ready(START, |left| {
            let info = client
                .call("getinfo", &json!({}), Some(left.min(CALL)))
                .map_err(|e| e.to_string())?;
            match info["network"].as_str() {
                Some("regtest") => Ok(info),
                other => Err(format!("its network is {other:?}")),
            }
        })?;
        let Some(node_id) = info["id"].as_str().map(str::to_owned) else {
            return Err(OpError::internal("lightningd's getinfo has no id").into());
        };
        let started = ResultObject::new()
            .with("node_id", node_id.as_str())
            .maybe("address", config.address())
            .with("version", self.version.as_str())
            .maybe("features", info["our_features"]["node"].as_str())
            .with("pid", node.id())
            .done();
        let running = Arc::new(Running {
            client,
            node,
            events: events.clone(),
            shared: self.shared.clone(),
            node_id,
            ending: AtomicBool::new(false),
        });
        watch::start(&running)?;
        pay::resume(&running)?;
        Ok((running, started))
    }

    fn end(&self, running: &Running, kill: bool) -> Result<(), OpError> {
        running.ending.store(true, Ordering::Relaxed);
        if kill {
            running.node.kill();
            return Ok(());
        }
        running.node.stop(STOP, |left| {
            let asked = running.client.call("stop", &json!({}), Some(left));
            asked.map(drop)
        })
    }

    fn call(&self, op: &str, params: Params<'_>, node: Access<'_, Running>) -> Outcome {
        ops::call(op, params, node)
    }
}

/// lightningd's configuration file. The password of bitcoind is in it and on no command line.
fn settings(config: &Config) -> Result<String, Fail> {
    config.forwards_always("cln")?;
    config.announce()?;
    let levels = ["io", "trace", "debug", "info", "unusual", "broken"];
    let level = config.log_level("debug", &levels)?;
    let (host, port, user, password) = &config.rpc;
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}={value}");
    };
    line("network", &"regtest");
    line("alias", &config.alias);
    line("log-level", &level);
    line("bitcoin-rpcconnect", host);
    line("bitcoin-rpcport", port);
    line("bitcoin-rpcuser", user);
    line("bitcoin-rpcpassword", password);
    // It never connects to a resolver or to anybody that it was not told of.
    line("disable-dns", &"");
    match config.listen {
        Some(address) => line("bind-addr", &address),
        None => line("autolisten", &false),
    }
    // Nodes of other makers have other ideas of a fee where a chain has no history.
    line("ignore-fee-limits", &true);
    for plugin in UNNEEDED {
        line("disable-plugin", &plugin);
    }
    // Developer's switches: blocks are noticed within a second, and gossip is not held back for
    // minutes.
    line("developer", &"");
    line("dev-bitcoind-poll", &1);
    line("dev-fast-gossip", &"");
    // Switches have no value.
    Ok(text.replace("=\n", "\n"))
}

/// The version in `v25.09`, which lightningd says alone on a line.
fn version_in(line: &str) -> Option<String> {
    let digits = line.strip_prefix('v').unwrap_or(line);
    let is_one = digits.starts_with(|c: char| c.is_ascii_digit());
    is_one.then(|| format!("v{digits}"))
}

/// What is known of a payment that was sent.
pub(crate) fn sent(running: &Running, payment: &str) -> Result<pay::Sent, OpError> {
    lock(&running.shared.sent)
        .get(payment)
        .cloned()
        .ok_or_else(|| OpError::rejected("the node was asked for no such payment"))
}
