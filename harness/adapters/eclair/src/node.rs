//! The node: Eclair's process, its settings, and what is known of it.

use crate::http::{CallError, Client};
use crate::{ops, pay, watch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lnconform_adapter_process::{Access, Backend, Config, LOOK_EVERY, Node, draw, write_private};
use lnconform_protocol::events::Events;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use lnconform_protocol::{Hello, Implementation, OpError, PROTOCOL};
use lnconform_regtest::ports::{self, Port};
use lnconform_regtest::provision::brought;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// From the start of the process to a call that is answered: a JVM on a busy machine.
const START: Duration = Duration::from_secs(55);
/// From the signal to the end of the process; the protocol allows 5 s in all.
const STOP: Duration = Duration::from_millis(4000);
/// How long after the end of the process its port may still be there.
const ANSWERS: Duration = Duration::from_millis(400);
/// How long a connection to that port may take.
const CONNECT: Duration = Duration::from_millis(300);
/// One short call.
pub(crate) const CALL: Duration = Duration::from_secs(15);

/// Operations that the node answers.
const OPERATIONS: [&str; 23] = [
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
    "event.next",
    "event.list",
    "message.sign",
    "message.verify",
];

/// What outlives the node's process.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Last event before each payment was sent, by handle.
    pub(crate) sent: Mutex<HashMap<String, u32>>,
    /// Payments of which the end has not been seen.
    pub(crate) open: Mutex<HashSet<String>>,
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
    // Held for as long as the node may bind it.
    _port: Vec<Port>,
}

impl Running {
    /// A call within `limit`; an error that comes of the node's end says so.
    ///
    /// # Errors
    /// As [`Client::form`].
    pub(crate) fn call_for(
        &self,
        call: &str,
        fields: &[(&str, String)],
        limit: Duration,
    ) -> Result<Value, CallError> {
        match self.client.form(call, fields, limit) {
            Err(CallError::Io { who, call, why }) if !self.is_ending() => {
                let why = match self.node.ended_soon() {
                    Some(how) => format!("{why}; eclair has ended by itself ({how})"),
                    None => why,
                };
                Err(CallError::Io { who, call, why })
            }
            other => other,
        }
    }

    /// A short call.
    ///
    /// # Errors
    /// As [`Client::form`].
    pub(crate) fn call(&self, call: &str, fields: &[(&str, String)]) -> Result<Value, CallError> {
        self.call_for(call, fields, CALL)
    }

    /// Its interface.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it is being stopped, so that the end of a connection is no surprise.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Whether nobody waits for an answer any more.
    pub(crate) fn over(&self) -> bool {
        self.is_ending() || self.events.is_closing()
    }
}

/// The adapter's side of Eclair.
#[derive(Debug)]
pub(crate) struct Eclair {
    program: PathBuf,
    version: String,
    shared: Arc<Shared>,
}

impl Eclair {
    /// An adapter without a running node.
    ///
    /// # Errors
    /// When `program` is not part of a release whose version is supported.
    pub(crate) fn new(program: &Path) -> io::Result<Self> {
        let known = brought("eclair").ok_or_else(|| io::Error::other("eclair is not known"))?;
        let (version, _) = known.version(program).map_err(io::Error::other)?;
        Ok(Self {
            program: program.to_owned(),
            version,
            shared: Arc::default(),
        })
    }
}

impl Backend for Eclair {
    type Running = Running;

    fn hello(&self) -> Hello {
        Hello {
            implementation: Implementation {
                name: "eclair".into(),
                version: self.version.clone(),
                language: "Scala".into(),
                source: "https://github.com/ACINQ/eclair".into(),
            },
            protocol: PROTOCOL,
            operations: OPERATIONS.map(String::from).into(),
            dialects: Vec::new(),
        }
    }

    fn options(&self) -> &'static [&'static str] {
        &["forwards", "announce"]
    }

    fn waits(&self, op: &str) -> bool {
        matches!(
            op,
            "chain.sync"
                | "peer.connect"
                | "peer.disconnect"
                | "channel.open"
                | "payment.wait"
                | "offer.pay"
        )
    }

    fn start(&self, config: &Config, events: &Arc<Events>) -> Result<(Arc<Running>, Value), Fail> {
        check(config)?;
        let dir = config.folder()?;
        let wallet = wallet(config, &dir)?;
        let port = ports::reserve(1).map_err(|e| OpError::internal(e.to_string()))?;
        let Some(number) = port.first().map(Port::number) else {
            return Err(OpError::internal("a port was asked for, and not given").into());
        };
        let password = STANDARD.encode(draw::<32>()?);
        let settings = settings(config, number, &password, &wallet);
        write_private(&dir.join("eclair.conf"), &settings)?;
        let mut command = Command::new(&self.program);
        command
            .arg(format!("-Declair.datadir={}", dir.display()))
            .env("JAVA_OPTS", "-Xmx512m");
        let node = Node::start("eclair", command, &dir.join("adapter-eclair.log"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
        let client = Client::new("eclair", address, "", &password);
        let info = node.ready(START, |left| {
            let info = client
                .form("getinfo", &[], left.clamp(Duration::from_millis(1), CALL))
                .map_err(|e| e.to_string())?;
            match info["network"].as_str() {
                Some("regtest") => Ok(info),
                other => Err(format!("its network is {other:?}")),
            }
        })?;
        let Some(node_id) = info["nodeId"].as_str().map(str::to_owned) else {
            return Err(OpError::internal("eclair's getinfo has no nodeId").into());
        };
        let started = ResultObject::new()
            .with("node_id", node_id.as_str())
            .maybe("address", config.address())
            .with("version", self.version.as_str())
            .with("pid", node.id())
            .done();
        let running = Arc::new(Running {
            client,
            node,
            events: events.clone(),
            shared: self.shared.clone(),
            node_id,
            ending: AtomicBool::new(false),
            _port: port,
        });
        watch::start(&running)?;
        pay::resume(&running)?;
        Ok((running, started))
    }

    fn end(&self, running: &Running, kill: bool) -> Result<(), OpError> {
        let died = running.node.ended();
        running.ending.store(true, Ordering::Relaxed);
        if kill {
            running.node.kill();
        } else {
            // The published way to stop Eclair is to end its process.
            running.node.terminate();
            running.node.wait(STOP)?;
            if let Some(how) = died {
                return Err(OpError::internal(format!(
                    "eclair has ended by itself ({how})"
                )));
            }
        }
        // What was started is a script: it has to have become Eclair.
        let (address, deadline) = (running.client.address(), Instant::now() + ANSWERS);
        while TcpStream::connect_timeout(&address, CONNECT).is_ok() {
            if Instant::now() >= deadline {
                return Err(OpError::internal(
                    "eclair's script has ended, and eclair itself has not: its interface still \
                     answers",
                ));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn call(&self, op: &str, params: Params<'_>, node: Access<'_, Running>) -> Outcome {
        ops::call(op, params, node)
    }
}

/// What can be refused before anything is touched.
fn check(config: &Config) -> Result<(), Fail> {
    config.forwards_always("eclair")?;
    config.announce()?;
    if config.zmq.is_none() {
        return Err(OpError::invalid(
            "param chain.bitcoind has no zmq_block and zmq_tx; eclair needs both",
        )
        .into());
    }
    Ok(())
}

/// The name of the node's own wallet in bitcoind, which is made or loaded.
fn wallet(config: &Config, dir: &Path) -> Result<String, Fail> {
    let (host, port, user, password) = &config.rpc;
    let name = format!(
        "eclair-{}",
        &hex(Sha256::digest(dir.as_os_str().as_encoded_bytes()))[..16]
    );
    let ip = match host.as_str() {
        "::1" => std::net::IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    let bitcoind = Client::new("bitcoind", SocketAddr::from((ip, *port)), user, password);
    let made = match bitcoind.rpc("createwallet", json!([name]), CALL) {
        // -4: there is one of that name already, of an earlier start.
        Err(e) if e.says("(code -4)") => bitcoind.rpc("loadwallet", json!([name]), CALL),
        other => other,
    };
    match made {
        // -35: it is loaded already.
        Err(e) if !e.says("(code -35)") => Err(OpError::from(e).into()),
        _ => Ok(name),
    }
}

/// Eclair's configuration file (HOCON). No value holds a quote or a backslash.
fn settings(config: &Config, api: u16, password: &str, wallet: &str) -> String {
    let (host, rpc_port, user, rpc_password) = &config.rpc;
    let (zmq_block, zmq_tx) = config.zmq.clone().unwrap_or_default();
    let alias = &config.alias;
    // Without an address to listen at it listens where nobody looks.
    let (ip, port) = match config.listen {
        Some(address) => (address.ip().to_string(), address.port()),
        None => ("127.0.0.1".to_owned(), 0),
    };
    format!(
        r#"eclair {{
  chain = "regtest"
  node-alias = "{alias}"
  server {{
    binding-ip = "{ip}"
    port = {port}
    public-ips = []
  }}
  api {{
    enabled = true
    binding-ip = "127.0.0.1"
    port = {api}
    password = "{password}"
  }}
  bitcoind {{
    host = "{host}"
    rpcport = {rpc_port}
    rpcuser = "{user}"
    rpcpassword = "{rpc_password}"
    wallet = "{wallet}"
    zmqblock = "{zmq_block}"
    zmqtx = "{zmq_tx}"
  }}
  features {{
    keysend = optional
  }}
  // As many as the harness mines after a channel was opened.
  channel.min-depth-blocks = 6
  // Gossip is not held back.
  router.broadcast-interval = 1 second
  initial-random-reconnect-delay = 1 second
  // Nodes of other makers have other ideas of a fee where a chain has no history.
  on-chain-fees.feerate-tolerance {{
    ratio-low = 0.001
    ratio-high = 1000.0
  }}
  file-backup.enabled = false
}}
"#
    )
}
