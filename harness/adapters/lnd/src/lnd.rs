//! The child process `lnd`.

use crate::http::{CallError, Client};
use lnconform_protocol::OpError;
use lnconform_protocol::params::Params;
use lnconform_regtest::ports::{self, Port};
use lnconform_regtest::process::spawn_beside;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often something is looked at that tells nothing by itself.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);
/// From the start of the process to an RPC that answers.
const START: Duration = Duration::from_secs(55);
/// From `/v1/stop` to the end of the process; the protocol allows 5 s in all.
const STOP: Duration = Duration::from_millis(4000);
/// One short call.
pub(crate) const CALL: Duration = Duration::from_secs(10);

/// What `node.start` asks for.
#[derive(Debug)]
pub(crate) struct Config {
    data_dir: PathBuf,
    rpc: (String, u16, String, String),
    zmq: Option<(String, String)>,
    listen: Option<SocketAddr>,
    alias: String,
    announce: bool,
    reject_forwards: bool,
    keysend: bool,
    amp: bool,
    /// Seconds for which a keysend is held before it is cancelled.
    pub(crate) keysend_hold: Option<u32>,
    onion_relay_all: bool,
    log_level: String,
}

/// Options of `node.start` that this adapter knows.
const OPTIONS: [&str; 7] = [
    "forwards",
    "announce",
    "keysend",
    "amp",
    "keysend_hold",
    "onion_relay_all",
    "log_level",
];

impl Config {
    /// Reads the params; what can be refused without a node is refused here. The second value
    /// names an option that is not known.
    pub(crate) fn read(params: Params<'_>) -> Result<Result<Self, String>, OpError> {
        let network = params.str("network")?;
        if network != "regtest" {
            return Err(OpError::rejected(format!(
                "network {network} is refused: this adapter runs nodes on regtest only"
            )));
        }
        let data_dir = PathBuf::from(params.str("data_dir")?);
        let chain = Params::new(params.need("chain")?);
        let Some(bitcoind) = chain.get("bitcoind") else {
            return Err(OpError::invalid(
                "param chain has no bitcoind; this adapter needs one",
            ));
        };
        let bitcoind = Params::new(bitcoind);
        let host = bitcoind.str("rpc_host")?;
        if !matches!(host, "127.0.0.1" | "localhost" | "::1") {
            return Err(OpError::rejected(format!(
                "rpc_host {host} is not loopback"
            )));
        }
        let port = u16::try_from(bitcoind.u32("rpc_port")?)
            .map_err(|_| OpError::invalid("param rpc_port is no port"))?;
        let plain = |name: &str| -> Result<String, OpError> {
            let text = bitcoind.str(name)?;
            // It goes into a line of a configuration file.
            if text.chars().any(char::is_control) {
                return Err(OpError::invalid(format!(
                    "param {name} holds a control character"
                )));
            }
            Ok(text.to_owned())
        };
        let rpc = (host.to_owned(), port, plain("user")?, plain("password")?);
        let zmq = match (bitcoind.get("zmq_block"), bitcoind.get("zmq_tx")) {
            (Some(_), Some(_)) => Some((plain("zmq_block")?, plain("zmq_tx")?)),
            _ => None,
        };
        let listen = match params.maybe("listen", Params::str)? {
            None => None,
            Some(text) => {
                let address: SocketAddr = text.parse().map_err(|_| {
                    OpError::invalid(format!("param listen is {text}, not address:port"))
                })?;
                if !address.ip().is_loopback() {
                    return Err(OpError::rejected(format!("listen {text} is not loopback")));
                }
                Some(address)
            }
        };
        let none = Value::Null;
        let given = params.get("options").unwrap_or(&none);
        let unknown = given
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
            .find(|name| !OPTIONS.contains(&name.as_str()));
        if let Some(name) = unknown {
            return Ok(Err(format!("lnd has no option {name}")));
        }
        let options = Params::new(given);
        let announce = options.maybe("announce", Params::bool)?;
        if announce == Some(true) && listen.is_none() {
            return Err(OpError::invalid("option announce needs param listen"));
        }
        let log_level = options.maybe("log_level", Params::str)?.unwrap_or("info");
        if !["trace", "debug", "info", "warn", "error", "critical", "off"].contains(&log_level) {
            return Err(OpError::invalid(format!(
                "option log_level is {log_level}, not trace, debug, info, warn, error, critical or off"
            )));
        }
        let alias = params.maybe("alias", Params::str)?.unwrap_or("lnd");
        // BOLT 7: 32 bytes; LND refuses to start with more.
        if alias.len() > 32 || alias.chars().any(char::is_control) {
            return Err(OpError::invalid(
                "param alias is longer than 32 bytes or holds a control character",
            ));
        }
        Ok(Ok(Self {
            data_dir,
            rpc,
            zmq,
            listen,
            alias: alias.to_owned(),
            announce: announce.unwrap_or(listen.is_some()),
            reject_forwards: options.maybe("forwards", Params::bool)? == Some(false),
            keysend: options.maybe("keysend", Params::bool)?.unwrap_or(true),
            amp: options.maybe("amp", Params::bool)?.unwrap_or(true),
            keysend_hold: options
                .maybe("keysend_hold", Params::u32)?
                .filter(|s| *s > 0),
            onion_relay_all: options
                .maybe("onion_relay_all", Params::bool)?
                .unwrap_or(false),
            log_level: log_level.to_owned(),
        }))
    }

    /// The address at which peers find it, if it listens.
    pub(crate) fn address(&self) -> Option<String> {
        self.listen.map(|a| a.to_string())
    }

    /// The configuration file. The password of bitcoind is in it and on no command line.
    fn file(&self, rpc: u16, rest: u16) -> String {
        let (host, port, user, password) = &self.rpc;
        let mut text = String::from("[Application Options]\n");
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}={value}");
        };
        match self.listen {
            Some(address) => line("listen", &address),
            None => line("nolisten", &true),
        }
        if let Some(address) = self.listen.filter(|_| self.announce) {
            line("externalip", &address);
        }
        line("rpclisten", &format_args!("127.0.0.1:{rpc}"));
        line("restlisten", &format_args!("127.0.0.1:{rest}"));
        line("alias", &self.alias);
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
        match &self.zmq {
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

/// A running `lnd`.
#[derive(Debug)]
pub(crate) struct Lnd {
    child: Child,
    log: PathBuf,
    // Held for as long as the node may bind them.
    _ports: Vec<Port>,
}

impl Lnd {
    /// Starts `program` in its data directory and waits until it answers. Answers the node, a
    /// client for it and what `/v1/getinfo` said.
    ///
    /// # Errors
    /// `rejected` when the data directory or the program cannot be used, with the end of the log
    /// when lnd ends by itself; `timeout` when it does not answer.
    pub(crate) fn start(program: &Path, config: &Config) -> Result<(Self, Client, Value), OpError> {
        let dir =
            std::path::absolute(&config.data_dir).map_err(|e| unusable(&config.data_dir, &e))?;
        std::fs::create_dir_all(&dir).map_err(|e| unusable(&dir, &e))?;
        let ports = ports::reserve(2).map_err(|e| OpError::internal(e.to_string()))?;
        let (rpc, rest) = match ports.as_slice() {
            [rpc, rest] => (rpc.number(), rest.number()),
            _ => return Err(OpError::internal("two ports were asked for, and not given")),
        };
        let file = dir.join("lnd.conf");
        write_private(&file, &config.file(rpc, rest)).map_err(|e| unusable(&dir, &e))?;
        let log = dir.join("lnd.log");
        let mut out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|e| unusable(&dir, &e))?;
        let from = out.seek(SeekFrom::End(0)).map_err(|e| unusable(&dir, &e))?;
        let err = out.try_clone().map_err(|e| unusable(&dir, &e))?;
        let mut command = Command::new(program);
        command
            .arg(format!("--lnddir={}", dir.display()))
            .arg(format!("--configfile={}", file.display()))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let child = spawn_beside(command).map_err(|e| {
            OpError::rejected(format!("{} cannot be started: {e}", program.display()))
        })?;
        let mut lnd = Self {
            child,
            log,
            _ports: ports,
        };
        let (client, info) = lnd.wait_ready(&dir, rest, from)?;
        Ok((lnd, client, info))
    }

    fn wait_ready(&mut self, dir: &Path, rest: u16, from: u64) -> Result<(Client, Value), OpError> {
        let deadline = Instant::now() + START;
        let certificate = dir.join("tls.cert");
        let macaroon = dir.join("data/chain/bitcoin/regtest/admin.macaroon");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rest));
        let mut seen = String::from("no certificate yet");
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(OpError::rejected(format!(
                    "lnd ended before it answered ({status}): {}",
                    self.tail(from)
                )));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(OpError::timeout(format!(
                    "lnd does not answer {} s after its start ({seen}): {}",
                    START.as_secs(),
                    self.tail(from)
                )));
            }
            // Both are there from an earlier start, or come one after another; a file that is half
            // written is one that does not work yet.
            match (
                CertificateDer::from_pem_file(&certificate),
                std::fs::read(&macaroon),
            ) {
                (Ok(certificate), Ok(macaroon)) if !macaroon.is_empty() => {
                    let client = Client::new(address, certificate, &macaroon)
                        .map_err(|e| OpError::internal(format!("no TLS: {e}")))?;
                    match ready(&client, left.min(CALL)) {
                        Ok(info) => return Ok((client, info)),
                        Err(why) => seen = why,
                    }
                }
                (Ok(_), _) => seen = "no macaroon yet".into(),
                _ => {}
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The last lines of the log since a position.
    fn tail(&self, from: u64) -> String {
        let text = read_from(&self.log, from).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(4)..];
        let mut text = last.join(" | ");
        if let Some((cut, _)) = text.char_indices().nth(800) {
            text.truncate(cut);
        }
        text
    }

    /// How many lines of the log hold `text`.
    pub(crate) fn logged(log: &Path, text: &str) -> usize {
        read_from(log, 0).map_or(0, |all| all.matches(text).count())
    }

    /// The log file.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Asks it to stop and waits; kills it when it does not.
    pub(crate) fn stop(mut self, client: &Client) -> Result<(), OpError> {
        let asked = client.post("/v1/stop", &Value::Object(Default::default()), STOP);
        let deadline = Instant::now() + STOP;
        while asked.is_ok() && Instant::now() < deadline {
            if self.ended() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(2));
        }
        let why = match asked {
            Ok(_) => format!("lnd did not stop within {} s", STOP.as_secs()),
            Err(e) => format!("lnd cannot be asked to stop: {e}"),
        };
        self.kill();
        Err(OpError::internal(format!("{why}; it was killed")))
    }

    /// Ends it as SIGKILL does.
    pub(crate) fn kill(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Lnd {
    fn drop(&mut self) {
        self.kill();
    }
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

fn unusable(dir: &Path, e: &std::io::Error) -> OpError {
    OpError::rejected(format!("data_dir {} cannot be used: {e}", dir.display()))
}

fn read_from(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a file that only its owner reads.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}
