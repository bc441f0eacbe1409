//! The child process `lnd`.

use crate::http::{CallError, Client};
use lnconform_adapter_process::{Config, Node, write_private};
use lnconform_protocol::OpError;
use lnconform_protocol::params::Params;
use lnconform_regtest::ports::{self, Port};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// From the start of the process to an RPC that answers.
const START: Duration = Duration::from_secs(55);
/// From `/v1/stop` to the end of the process; the protocol allows 5 s in all.
const STOP: Duration = Duration::from_millis(4000);
/// One short call.
pub(crate) const CALL: Duration = Duration::from_secs(10);

/// Options of `node.start` that this adapter knows.
pub(crate) const OPTIONS: [&str; 7] = [
    "forwards",
    "announce",
    "keysend",
    "amp",
    "keysend_hold",
    "onion_relay_all",
    "log_level",
];

/// The values of the options.
#[derive(Debug)]
pub(crate) struct Settings {
    announce: bool,
    reject_forwards: bool,
    keysend: bool,
    amp: bool,
    /// Seconds for which a keysend is held before it is cancelled.
    pub(crate) keysend_hold: Option<u32>,
    onion_relay_all: bool,
    log_level: String,
}

impl Settings {
    /// Reads them; what can be refused without a node is refused here.
    ///
    /// # Errors
    /// `invalid` for what is ill-typed, or cannot be.
    pub(crate) fn read(config: &Config) -> Result<Self, OpError> {
        let levels = ["trace", "debug", "info", "warn", "error", "critical", "off"];
        let options = config.options();
        let flag = |name: &str| options.maybe(name, Params::bool);
        Ok(Self {
            announce: config.announce()?.unwrap_or(config.listen.is_some()),
            reject_forwards: flag("forwards")? == Some(false),
            keysend: flag("keysend")?.unwrap_or(true),
            amp: flag("amp")?.unwrap_or(true),
            keysend_hold: options
                .maybe("keysend_hold", Params::u32)?
                .filter(|s| *s > 0),
            onion_relay_all: flag("onion_relay_all")?.unwrap_or(false),
            log_level: config.log_level("info", &levels)?.to_owned(),
        })
    }

    /// The configuration file. The password of bitcoind is in it and on no command line.
    fn file(&self, config: &Config, rpc: u16, rest: u16) -> String {
        let (host, port, user, password) = &config.rpc;
        let mut text = String::from("[Application Options]\n");
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}={value}");
        };
        match config.listen {
            Some(address) => line("listen", &address),
            None => line("nolisten", &true),
        }
        if let Some(address) = config.listen.filter(|_| self.announce) {
            line("externalip", &address);
        }
        line("rpclisten", &format_args!("127.0.0.1:{rpc}"));
        line("restlisten", &format_args!("127.0.0.1:{rest}"));
        line("alias", &config.alias);
        // HSWC tells when an interceptor is connected, which no call does.
        line(
            "debuglevel",
            &format_args!("{0},HSWC=debug", self.log_level),
        );
        // The certificate would name every address of the machine.
        line("tlsdisableautofill", &true);
        line("noseedbackup", &true);
        line("nobootstrap", &true);
        line("trickledelay", &50);
        line("maxpendingchannels", &10);
        line("accept-keysend", &self.keysend);
        line("accept-amp", &self.amp);
        line("rejecthtlc", &self.reject_forwards);
        if let Some(seconds) = self.keysend_hold {
            line("keysend-hold-time", &format_args!("{seconds}s"));
        }
        // Versions before 0.21 know no such line, and forward no onion messages.
        if self.onion_relay_all {
            line("protocol.onion-msg-relay-all", &true);
        }
        line("gossip.sub-batch-delay", &"50ms");
        // What the graph is now, not what it was a minute ago.
        line("caches.rpc-graph-cache-duration", &"0s");
        // The log is the standard output.
        line("logging.file.disable", &true);
        line("bitcoin.regtest", &true);
        line("bitcoin.node", &"bitcoind");
        line("bitcoind.rpchost", &format_args!("{host}:{port}"));
        line("bitcoind.rpcuser", user);
        line("bitcoind.rpcpass", password);
        match &config.zmq {
            Some((block, tx)) => {
                line("bitcoind.zmqpubrawblock", block);
                line("bitcoind.zmqpubrawtx", tx);
            }
            None => {
                line("bitcoind.rpcpolling", &true);
                line("bitcoind.blockpollinginterval", &"200ms");
                line("bitcoind.txpollinginterval", &"200ms");
            }
        }
        text
    }
}

/// A node that was started and answers.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) node: Node,
    pub(crate) client: Client,
    /// What `/v1/getinfo` said.
    pub(crate) info: Value,
    /// To be held for as long as the node may bind them.
    pub(crate) ports: Vec<Port>,
}

/// Starts `program` in its data directory and waits until it answers.
///
/// # Errors
/// `rejected` when the data directory or the program cannot be used, with the end of the log
/// when lnd ends by itself; `timeout` when it does not answer.
pub(crate) fn start(
    program: &Path,
    config: &Config,
    settings: &Settings,
) -> Result<Started, OpError> {
    let dir = config.folder()?;
    let ports = ports::reserve(2).map_err(|e| OpError::internal(e.to_string()))?;
    let (rpc, rest) = match ports.as_slice() {
        [rpc, rest] => (rpc.number(), rest.number()),
        _ => return Err(OpError::internal("two ports were asked for, and not given")),
    };
    let file = dir.join("lnd.conf");
    write_private(&file, &settings.file(config, rpc, rest))?;
    let mut command = Command::new(program);
    command
        .arg(format!("--lnddir={}", dir.display()))
        .arg(format!("--configfile={}", file.display()));
    let node = Node::start("lnd", command, &dir.join("lnd.log"))?;
    let certificate = dir.join("tls.cert");
    let macaroon = dir.join("data/chain/bitcoin/regtest/admin.macaroon");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rest));
    let (client, info) = node.ready(START, |left| {
        // Both are there from an earlier start, or come one after another; a file that is half
        // written is one that does not work yet.
        let certificate = CertificateDer::from_pem_file(&certificate)
            .map_err(|_| "no certificate yet".to_owned())?;
        let macaroon = std::fs::read(&macaroon).unwrap_or_default();
        if macaroon.is_empty() {
            return Err("no macaroon yet".into());
        }
        let client = Client::new(address, certificate, &macaroon).map_err(|e| e.to_string())?;
        let info = ready(&client, left.clamp(Duration::from_millis(1), CALL))?;
        Ok((client, info))
    })?;
    Ok(Started {
        node,
        client,
        info,
        ports,
    })
}

/// Asks the node to stop and waits; kills it when it does not.
///
/// # Errors
/// `internal` when it had to be killed.
pub(crate) fn stop(node: &Node, client: &Client) -> Result<(), OpError> {
    node.stop(STOP, |left| {
        client.post("/v1/stop", &json!({}), left).map(drop)
    })
}

/// Asks until every RPC is served: the state needs no macaroon, and `/v1/getinfo` needs a wallet.
fn ready(client: &Client, limit: Duration) -> Result<Value, String> {
    let said = |e: CallError| e.to_string();
    let state = client.get("/v1/state", limit).map_err(said)?;
    if state["state"] != "SERVER_ACTIVE" {
        return Err(format!("its state is {}", state["state"]));
    }
    client.get("/v1/getinfo", limit).map_err(said)
}
