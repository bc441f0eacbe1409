//! Starting, draining and stopping the node.

use super::VERSION;
use super::events::{self, Events};
use super::log::{Log, take_complaint};
use super::store::{Seen, Store};
use super::watch::Watch;
use ldk_node::bitcoin::Network;
use ldk_node::bitcoin::hashes::{Hash, sha256};
use ldk_node::config::{
    AnchorChannelsConfig, AsyncPaymentsRole, Config as NodeConfig, ElectrumSyncConfig,
};
use ldk_node::lightning::ln::msgs::SocketAddress;
use ldk_node::lightning::routing::gossip::NodeId;
use ldk_node::lightning_types::payment::PaymentPreimage;
use ldk_node::logger::LogLevel;
use ldk_node::{Builder, Event, Node, NodeError};
use lnconform_protocol::outcome::Fail;
use lnconform_protocol::params::{Params, ResultObject, hex};
use lnconform_protocol::{ErrorKind, OpError};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Locks, whatever happened to the last holder: every value behind these locks is whole at any
/// time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of ldk-node: its own name, and the reason that it logged on this thread.
pub(super) fn refused(e: NodeError) -> OpError {
    use NodeError as E;
    let kind = match e {
        E::InvalidAddress
        | E::InvalidSocketAddress
        | E::InvalidPublicKey
        | E::InvalidSecretKey
        | E::InvalidNodeId
        | E::InvalidUri
        | E::UriParameterParsingFailed => ErrorKind::Invalid,
        E::PaymentSendingFailed | E::ProbeSendingFailed => ErrorKind::PaymentFailed,
        E::FeerateEstimationUpdateTimeout
        | E::WalletOperationTimeout
        | E::TxSyncTimeout
        | E::GossipUpdateTimeout => ErrorKind::Timeout,
        E::PersistenceFailed
        | E::FeerateEstimationUpdateFailed
        | E::WalletOperationFailed
        | E::OnchainTxSigningFailed
        | E::TxSyncFailed
        | E::GossipUpdateFailed => ErrorKind::Internal,
        // The rest is refused for what it asks or for when it asks it.
        _ => ErrorKind::Rejected,
    };
    let message = match take_complaint() {
        Some(why) => format!("ldk-node answers {e:?}: {why}"),
        None => format!("ldk-node answers {e:?}"),
    };
    OpError::new(kind, message)
}

/// A socket address in the form that LDK has for it.
pub(super) fn socket(param: &str, text: &str) -> Result<SocketAddress, OpError> {
    text.parse()
        .map_err(|e| OpError::invalid(format!("param {param} is {text}: {e:?}")))
}

/// Options of `node.start` that this adapter has.
const OPTIONS: [&str; 6] = [
    "announce",
    "forwards",
    "role",
    "anchor_reserve_sat",
    "log_level",
    "watch",
];

/// Where the node takes the chain from.
enum Source {
    /// bitcoind's RPC: host, port, user, password.
    Bitcoind(String, u16, String, String),
    /// The address of an Electrum server.
    Electrum(String),
}

impl Source {
    /// Reads the param `chain`: bitcoind where it is named, else an Electrum server.
    fn read(chain: Params<'_>) -> Result<Self, OpError> {
        let Some(bitcoind) = chain.get("bitcoind") else {
            let Some(url) = chain.maybe("electrum", Params::str)? else {
                return Err(OpError::invalid(
                    "param chain has neither bitcoind nor electrum; this adapter needs one",
                ));
            };
            let address = url.strip_prefix("tcp://").and_then(|a| a.parse().ok());
            return match address {
                Some(SocketAddr::V4(a)) if a.ip().is_loopback() => Ok(Self::Electrum(url.into())),
                Some(_) => Err(OpError::rejected(format!("electrum {url} is not loopback"))),
                None => Err(OpError::invalid(
                    "param chain.electrum is no tcp://ADDRESS:PORT",
                )),
            };
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
        let user = bitcoind.str("user")?.to_owned();
        let password = bitcoind.str("password")?.to_owned();
        Ok(Self::Bitcoind(host.to_owned(), port, user, password))
    }
}

/// What `node.start` asks for.
pub(super) struct Config {
    seed: Option<[u8; 32]>,
    data_dir: PathBuf,
    chain: Source,
    listen: Option<(String, SocketAddress)>,
    alias: Option<String>,
    role: Option<AsyncPaymentsRole>,
    anchor_reserve_sat: Option<u64>,
    log_level: LogLevel,
    watch: bool,
}

impl Config {
    /// Reads the params; everything that can be refused without a node is refused here.
    pub(super) fn read(params: Params<'_>) -> Result<Self, Fail> {
        let network = params.str("network")?;
        if network != "regtest" {
            return Err(OpError::rejected(format!(
                "network {network} is refused: this adapter runs nodes on regtest only"
            ))
            .into());
        }
        let data_dir = PathBuf::from(params.str("data_dir")?);
        let seed = params.maybe("seed", Params::array::<32>)?;
        let chain = Source::read(Params::new(params.need("chain")?))?;
        let listen = match params.maybe("listen", Params::loopback)? {
            None => None,
            Some(_) => {
                let text = params.str("listen")?;
                Some((text.to_owned(), socket("listen", text)?))
            }
        };
        let none = Value::Null;
        let given = params.get("options").unwrap_or(&none);
        // A scenario that asks for a switch of another implementation does not exist here, which is
        // something else than a scenario that fails here.
        let unknown = given
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
            .find(|name| !OPTIONS.contains(&name.as_str()));
        if let Some(name) = unknown {
            return Err(Fail::Unsupported(format!("ldk-node has no option {name}")));
        }
        let options = Params::new(given);
        let announce = options.maybe("announce", Params::bool)?;
        if announce == Some(true) && listen.is_none() {
            return Err(OpError::invalid("option announce needs param listen").into());
        }
        let announce = announce.unwrap_or(listen.is_some());
        let alias = params.maybe("alias", Params::str)?;
        let alias = announce.then(|| alias.unwrap_or("ldk-node").to_owned());
        let forwards = options.maybe("forwards", Params::bool)?.unwrap_or(false);
        let role = match options.maybe("role", Params::str)? {
            Some("server") => Some(AsyncPaymentsRole::Server),
            Some("client") => Some(AsyncPaymentsRole::Client),
            Some("none") => None,
            Some(role) => {
                return Err(OpError::invalid(format!(
                    "option role is {role}, not server, client or none"
                ))
                .into());
            }
            // ldk-node forwards to channels that are not announced only in this role.
            None => forwards.then_some(AsyncPaymentsRole::Server),
        };
        if matches!(role, Some(AsyncPaymentsRole::Server)) && !announce {
            return Err(OpError::invalid(
                "a node that forwards, or role server, needs param listen and may not have option \
                 announce false",
            )
            .into());
        }
        let log_level = match options.maybe("log_level", Params::str)?.unwrap_or("debug") {
            "gossip" => LogLevel::Gossip,
            "trace" => LogLevel::Trace,
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            level => {
                return Err(OpError::invalid(format!(
                    "option log_level is {level}, not gossip, trace, debug, info, warn or error"
                ))
                .into());
            }
        };
        Ok(Self {
            seed,
            data_dir,
            chain,
            listen,
            alias,
            role,
            anchor_reserve_sat: options.maybe("anchor_reserve_sat", Params::u64)?,
            log_level,
            watch: options.maybe("watch", Params::bool)?.unwrap_or(false),
        })
    }
}

/// A started node and what belongs to it.
pub(super) struct Running {
    /// The node.
    pub(super) node: Arc<Node>,
    /// Where its events go.
    pub(super) events: Arc<Events>,
    /// Preimages that `invoice.create` was given, by payment hash.
    pub(super) preimages: Preimages,
    /// Last event before each payment was sent: LDK uses a handle again when an invoice is paid
    /// again.
    pub(super) sent_after: Mutex<HashMap<String, u32>>,
    /// Events of payments that were held and have been settled or cancelled since.
    pub(super) released: Mutex<HashSet<u32>>,
    /// BOLT 12 invoices and requests that were seen in its store.
    pub(super) seen: Arc<Mutex<Seen>>,
    /// What the node was given to draw its keys from.
    pub(super) seed: Option<Seed>,
    /// Held while a refund is created, whose handle is found by comparing before and after.
    pub(super) refund: Mutex<()>,
    address: Option<String>,
    /// Gone once the node has been stopped.
    runtime: Mutex<Option<Runtime>>,
    end_drain: Arc<Notify>,
}

/// Seed of a node, in the length that ldk-node wants.
pub(super) type Seed = [u8; 64];

type Preimages = Arc<Mutex<HashMap<[u8; 32], [u8; 32]>>>;

impl Running {
    /// Builds the node in its data directory and starts it.
    pub(super) fn start(config: Config, events: Arc<Events>) -> Result<Self, Fail> {
        let dir = &config.data_dir;
        let unusable = |e: std::io::Error| {
            OpError::rejected(format!("data_dir {} cannot be used: {e}", dir.display()))
        };
        std::fs::create_dir_all(dir).map_err(unusable)?;
        let watch = config.watch.then(|| Watch(events.clone()));
        let log = Log::open(&dir.join("ldk.log"), config.log_level, watch).map_err(unusable)?;
        let Some(dir) = dir.to_str() else {
            return Err(OpError::invalid("param data_dir is not UTF-8").into());
        };

        let mut anchors = AnchorChannelsConfig::default();
        if let Some(sat) = config.anchor_reserve_sat {
            anchors.per_channel_reserve_sats = sat;
        }
        let mut builder = Builder::from_config(NodeConfig {
            network: Network::Regtest,
            storage_dir_path: dir.to_owned(),
            anchor_channels_config: Some(anchors),
            ..NodeConfig::default()
        });
        builder.set_custom_logger(Arc::new(log));
        match config.chain {
            Source::Bitcoind(host, port, user, password) => {
                builder.set_chain_source_bitcoind_rpc(host, port, user, password);
            }
            Source::Electrum(url) => {
                // By itself it would look every 10 s at most; `chain.sync` looks when there is
                // something to see.
                let config = ElectrumSyncConfig {
                    background_sync_config: None,
                };
                builder.set_chain_source_electrum(url, Some(config));
            }
        }
        builder.set_gossip_source_p2p();
        let seed = config.seed.map(|seed| {
            // LDK wants 64 bytes; the second half follows from the first.
            let mut bytes: Seed = [0; 64];
            bytes[..32].copy_from_slice(&seed);
            bytes[32..].copy_from_slice(sha256::Hash::hash(&seed).as_byte_array());
            bytes
        });
        if let Some(seed) = seed {
            builder.set_entropy_seed_bytes(seed);
        }
        let built = |e: ldk_node::BuildError| {
            let why = take_complaint()
                .map(|why| format!(": {why}"))
                .unwrap_or_default();
            OpError::rejected(format!("ldk-node cannot be built: {e:?}{why}"))
        };
        if let Some((_, address)) = &config.listen {
            builder
                .set_listening_addresses(vec![address.clone()])
                .map_err(built)?;
        }
        if let Some(alias) = config.alias {
            builder.set_node_alias(alias).map_err(built)?;
        }
        builder
            .set_async_payments_role(config.role)
            .map_err(built)?;

        // A runtime of our own, so that a kill can take it away from under the node.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("ldk-node")
            .enable_all()
            .build()
            .map_err(|e| OpError::internal(format!("no runtime for the node: {e}")))?;
        builder.set_runtime(runtime.handle().clone());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let store = Store::open(dir.into(), seen.clone()).map_err(|e| {
            OpError::rejected(format!("data_dir {dir} cannot be used as a store: {e}"))
        })?;
        let node = builder.build_with_store(Arc::new(store)).map_err(built)?;
        let node = Arc::new(node);
        node.start().map_err(|e| match e {
            // So it answers for every way in which binding fails.
            NodeError::InvalidSocketAddress => OpError {
                kind: ErrorKind::Rejected,
                ..refused(e)
            },
            e => refused(e),
        })?;

        let preimages = Preimages::default();
        let end_drain = Arc::new(Notify::new());
        runtime.spawn(drain(
            node.clone(),
            events.clone(),
            preimages.clone(),
            end_drain.clone(),
        ));
        Ok(Self {
            node,
            events,
            preimages,
            sent_after: Mutex::default(),
            released: Mutex::default(),
            seen,
            seed,
            refund: Mutex::default(),
            address: config.listen.map(|(text, _)| text),
            runtime: Mutex::new(Some(runtime)),
            end_drain,
        })
    }

    /// The result of `node.start`.
    pub(super) fn started(&self) -> Value {
        let id = self.node.node_id();
        let announced = self.node.network_graph().node(&NodeId::from_pubkey(&id));
        let features = announced.and_then(|n| n.announcement_info).map(|a| {
            hex(a
                .features()
                .le_flags()
                .iter()
                .rev()
                .copied()
                .collect::<Vec<u8>>())
        });
        ResultObject::new()
            .with("node_id", id.to_string())
            .maybe("address", self.address.clone())
            .with("version", VERSION)
            .maybe("features", features)
            .done()
    }

    /// Stops the node as LDK does it: peers disconnected, everything stored.
    pub(super) fn stop(&self) -> Result<(), OpError> {
        let runtime = lock(&self.runtime).take();
        let Some(runtime) = runtime else {
            return Ok(());
        };
        let stopped = self.node.stop().map_err(refused);
        // What it told before it stopped is still to be read.
        while let Some(event) = self.node.next_event() {
            events::push(&self.events, event);
            if self.node.event_handled().is_err() {
                break;
            }
        }
        self.end_drain.notify_one();
        runtime.shutdown_timeout(Duration::from_secs(1));
        stopped
    }

    /// Takes the threads away from under the node and breaks its connections, as the end of its
    /// process would. What it had not stored is lost.
    pub(super) fn kill(&self) -> Result<(), OpError> {
        let Some(runtime) = lock(&self.runtime).take() else {
            return Ok(());
        };
        // Dropping the node would stop it in good order, so it stays in memory, where nothing
        // moves it any more.
        std::mem::forget(self.node.clone());
        runtime.shutdown_timeout(Duration::from_secs(2));
        break_connections().map_err(|e| {
            OpError::internal(format!(
                "the node is killed, but its peers will see that late, since its connections \
                 cannot be broken: {e}"
            ))
        })
    }
}

/// Breaks every TCP connection of this process; all of them are the node's.
#[cfg(target_os = "linux")]
fn break_connections() -> std::io::Result<()> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    // The handles lie inside the node. The kernel hands out second ones for this very process.
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(fd) = name.to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        // Standard streams are the harness's, and the folder's own handle is gone by now.
        if fd <= 2 {
            continue;
        }
        let socket = match pidfd_getfd(&this, fd, PidfdGetfdFlags::empty()) {
            Ok(socket) => std::net::TcpStream::from(socket),
            Err(rustix::io::Errno::BADF) => continue,
            Err(e) => return Err(e.into()),
        };
        // Whatever has no peer is no connection; one that is broken already needs nothing.
        if socket.peer_addr().is_ok() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn break_connections() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Moves events from the node's queue to ours as they come.
async fn drain(node: Arc<Node>, events: Arc<Events>, preimages: Preimages, end: Arc<Notify>) {
    loop {
        let event = tokio::select! {
            event = node.next_event_async() => event,
            () = end.notified() => return,
        };
        let claim = match &event {
            Event::PaymentClaimable {
                payment_hash,
                claimable_amount_msat,
                ..
            } => {
                let preimage = lock(&preimages).get(&payment_hash.0).copied();
                preimage.map(|p| (*payment_hash, *claimable_amount_msat, PaymentPreimage(p)))
            }
            _ => None,
        };
        match claim {
            // Whoever chose the preimage did not ask for the payment to be held; LDK has no other
            // way to take one that it did not draw itself.
            Some((hash, amount, preimage)) => {
                if let Err(e) = node.bolt11_payment().claim_for_hash(hash, amount, preimage) {
                    eprintln!("adapter: a payment could not be claimed: {e:?}");
                }
            }
            None => {
                let request = events::request(&node, &event);
                events::push_with(&events, event, request);
            }
        }
        if let Err(e) = node.event_handled() {
            eprintln!("adapter: an event could not be marked as handled: {e:?}");
            return;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    /// The only test of this crate that has TCP connections: it breaks all of the process.
    #[test]
    fn broken_connections_end_for_the_peer_though_their_handles_are_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _kept = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        peer.read(&mut [0])
            .expect_err("nothing was written, and the connection is open");
        break_connections().unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
}
