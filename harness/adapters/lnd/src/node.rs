//! The handler: no node until `node.start`, and again none after `node.stop`.

use crate::forward::Codec;
use crate::http::Client;
use crate::intercept::Interceptor;
use crate::lnd::{Config, Lnd};
use crate::{ops, payments, read, watch};
use lnconform_protocol::concurrent::ConcurrentHandler;
use lnconform_protocol::events::Events;
use lnconform_protocol::outcome::{Fail, Outcome, answer};
use lnconform_protocol::params::{Params, ResultObject};
use lnconform_protocol::{Answer, Hello, Implementation, OpError, PROTOCOL};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Operations that the node answers.
pub(crate) const OPERATIONS: [&str; 26] = [
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

/// Locks, whatever happened to the last holder: every value behind these locks is whole at any
/// time.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What outlives the node's process.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// What the node told.
    pub(crate) events: Events,
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
    pub(crate) shared: Arc<Shared>,
    pub(crate) node_id: String,
    /// Whether every keysend is held.
    pub(crate) holds_keysend: bool,
    pub(crate) interceptor: Mutex<Option<Arc<Interceptor>>>,
    pub(crate) log: PathBuf,
    address: Option<String>,
    info: Value,
    pid: u32,
    lnd: Mutex<Option<Lnd>>,
}

impl Running {
    fn start(program: &Path, config: &Config, shared: Arc<Shared>) -> Result<Arc<Self>, Fail> {
        let (lnd, client, info) = Lnd::start(program, config)?;
        let Some(node_id) = info["identity_pubkey"].as_str().map(str::to_owned) else {
            return Err(OpError::internal("lnd's getinfo has no identity_pubkey").into());
        };
        let running = Arc::new(Self {
            client: Arc::new(client),
            shared,
            node_id,
            holds_keysend: config.keysend_hold.is_some(),
            interceptor: Mutex::default(),
            log: lnd.log().to_owned(),
            address: config.address(),
            info,
            pid: lnd.id(),
            lnd: Mutex::new(Some(lnd)),
        });
        watch::start(&running)?;
        payments::resume(&running);
        Ok(running)
    }

    fn started(&self) -> Value {
        ResultObject::new()
            .with("node_id", self.node_id.as_str())
            .maybe("address", self.address.clone())
            .with(
                "version",
                version_of(self.info["version"].as_str().unwrap_or_default()),
            )
            .maybe("features", read::features(&self.info["features"]))
            .with("pid", self.pid)
            .maybe("attach", self.log.parent().map(crate::attach::ways))
            .done()
    }

    fn end(&self, kill: bool) -> Result<(), OpError> {
        let lnd = lock(&self.lnd).take();
        // Streams that end from here on end because of this.
        self.client.expect_end();
        lock(&self.interceptor).take();
        let outcome = match lnd {
            None => Ok(()),
            Some(mut lnd) if kill => {
                lnd.kill();
                Ok(())
            }
            Some(lnd) => lnd.stop(&self.client),
        };
        self.client.close();
        outcome
    }
}

/// The adapter.
#[derive(Debug)]
pub(crate) struct LndNode {
    program: PathBuf,
    hello: Hello,
    codec: Option<Codec>,
    running: Mutex<Option<Arc<Running>>>,
    shared: Arc<Shared>,
}

impl LndNode {
    /// An adapter without a running node.
    ///
    /// # Errors
    /// When `lnd --version` cannot be run.
    pub(crate) fn new(lnd: &Path, codec: Option<&Path>) -> io::Result<Self> {
        let version = ask_version(lnd)?;
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
            running: Mutex::default(),
            shared: Arc::default(),
        })
    }

    fn node(&self) -> Result<Arc<Running>, Fail> {
        lock(&self.running)
            .clone()
            .ok_or_else(|| OpError::rejected("no node is running; node.start comes first").into())
    }

    fn start(&self, params: Params<'_>) -> Outcome {
        let config = Config::read(params)?.map_err(Fail::Unsupported)?;
        let mut slot = lock(&self.running);
        if slot.is_some() {
            return Err(OpError::rejected("the node is running; node.stop comes first").into());
        }
        let running = Running::start(&self.program, &config, self.shared.clone())?;
        let started = running.started();
        *slot = Some(running);
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
        lock(&self.running).take();
        let outcome = running.end(kill);
        self.shared.events.node_stopped();
        outcome?;
        Ok(json!({}))
    }
}

impl ConcurrentHandler for LndNode {
    fn hello(&self) -> Hello {
        self.hello.clone()
    }

    fn waits(&self, op: &str, _: &Value) -> bool {
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
                | "event.next"
        )
    }

    fn call(&self, op: &str, params: &Value) -> Answer {
        if !OPERATIONS.contains(&op)
            && let Some(codec) = &self.codec
        {
            return codec.ask(op, params);
        }
        let params = Params::new(params);
        answer(match op {
            "node.start" => self.start(params),
            "node.stop" => self.stop(params),
            _ => ops::call(op, params, || self.node()),
        })
    }

    fn closing(&self) {
        self.shared.events.close();
        if let Ok(running) = self.node()
            && let Some(interceptor) = &*lock(&running.interceptor)
        {
            interceptor.close();
        }
    }

    fn shutdown(&self) {
        if let Some(running) = lock(&self.running).take()
            && let Err(e) = running.end(false)
        {
            eprintln!("adapter: {}", e.message);
        }
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

/// Asks the program for its version: `lnd version 0.21.2-beta commit=…`, where the first word is
/// what the program is called here.
fn ask_version(program: &Path) -> io::Result<String> {
    let failed = |what: String| {
        io::Error::other(format!(
            "{} --version: {what}; is it lnd?",
            program.display()
        ))
    };
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = said.lines().next().unwrap_or_default();
    match first.split_once(" version ") {
        Some((_, rest)) if output.status.success() => Ok(version_of(rest)),
        _ => Err(failed(format!(
            "{}: {}",
            output.status,
            said.lines().next().unwrap_or("it says nothing")
        ))),
    }
}

#[cfg(test)]
mod tests;
