//! One running node: LDK's parts put together, and the thread that moves them.

pub(crate) mod book;
pub(crate) mod chain;
pub(crate) mod dialogue;
pub(crate) mod env;
mod events;
pub(crate) mod hexed;
pub(crate) mod hook;
pub(crate) mod net;
mod relays;
mod route;
mod slots;
pub(crate) mod state;
pub(crate) mod tap;
mod tip;
pub(crate) mod transcript;

pub use events::set_fields;

use crate::messages::Messages;
use crate::messages::async_wire;
use crate::messages::dns::Dns;
use crate::messages::invoice_server::InvoiceServer;
use crate::messages::offers::Offers;
use crate::node::chain::{Bitcoind, ChainError, Wallet};
use crate::node::env::{Env, NoRoutes, lock};
use crate::node::hook::{Hook, now};
use crate::node::net::Descriptor;
use crate::node::state::Store;
use crate::node::tap::Secrets;
use crate::node::tip::Tip;
use crate::node::transcript::Transcript;
use crate::proofs::Proofs;
use crate::raw::Raw;
use crate::trampoline::relay::Relay;
use bitcoin::Network;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lightning03::chain::BlockLocator;
use lightning03::chain::chainmonitor::ChainMonitor;
use lightning03::events::{Event, EventsProvider, ReplayEvent};
use lightning03::ln::channelmanager::{ChainParameters, ChannelManager};
use lightning03::ln::msgs::SocketAddress;
use lightning03::ln::peer_handler::{IgnoringMessageHandler, MessageHandler, PeerManager};
use lightning03::onion_message::messenger::NullMessageRouter;
use lightning03::routing::gossip::{NetworkGraph, NodeId, P2PGossipSync};
use lightning03::routing::utxo::{UtxoLookup, UtxoResult};
use lightning03::sign::{InMemorySigner, KeysManager, NodeSigner};
use lightning03::types::payment::PaymentHash;
use lightning03::util::config::{MaxDustHTLCExposure, UserConfig};
use lightning03::util::ser::ReadableArgs;
use lightning03::util::wakers::Notifier;
use lnconform_drafts::keys;
use lnconform_protocol::OpError;
use lnconform_protocol::events::Events;
use lnconform_protocol::outcome::Fail;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Watches the channels.
pub type Monitor = ChainMonitor<
    InMemorySigner,
    Arc<Env>,
    Arc<Env>,
    Arc<Env>,
    Arc<Env>,
    Arc<Env>,
    Arc<KeysManager>,
>;
/// Holds the channels.
pub type Cm = ChannelManager<
    Arc<Monitor>,
    Arc<Env>,
    Arc<KeysManager>,
    Arc<KeysManager>,
    Arc<KeysManager>,
    Arc<Env>,
    Arc<NoRoutes>,
    Arc<NullMessageRouter>,
    Arc<Env>,
>;
type Graph = NetworkGraph<Arc<Env>>;
type Gossip = P2PGossipSync<Arc<Graph>, Arc<Unchecked>, Arc<Env>>;
/// Holds the connections.
pub type Peers = PeerManager<
    Descriptor,
    Arc<Hook>,
    Arc<Gossip>,
    Arc<Messages>,
    Arc<Env>,
    IgnoringMessageHandler,
    Arc<KeysManager>,
    IgnoringMessageHandler,
>;

/// Channels are believed without a look at the chain.
pub struct Unchecked;

impl UtxoLookup for Unchecked {
    fn get_utxo(
        &self,
        _chain: &bitcoin::constants::ChainHash,
        _scid: u64,
        _notifier: Arc<Notifier>,
    ) -> UtxoResult {
        UtxoResult::Sync(Err(lightning03::routing::utxo::UtxoLookupError::UnknownTx))
    }
}

/// How long the loop waits for LDK to have something to do.
const STEP: Duration = Duration::from_millis(5);
/// How often the chain is looked at without being asked.
const LOOK: Duration = Duration::from_millis(250);
/// How often LDK is told that time passes: connections are looked after, and sets of parts that
/// nobody completes.
const TICK: Duration = Duration::from_secs(10);
/// How often a node announcement is sent, a second apart: an early one is dropped by those who do not
/// know a channel of the node yet.
const ANNOUNCEMENTS: u32 = 6;

/// What may be lost in outputs too small for the chain, in msat: no limit that a scenario meets.
const DUST_MSAT: u64 = 5_000_000_000;

/// What a node is started with.
pub struct Config {
    /// Draws all keys.
    pub seed: [u8; 32],
    /// The folder of its log and transcript.
    pub data_dir: PathBuf,
    /// The chain.
    pub bitcoind: Bitcoind,
    /// Where it takes connections.
    pub listen: Option<SocketAddr>,
    /// Its name in its announcement.
    pub alias: String,
    /// Whether it announces itself.
    pub announce: bool,
    /// Takes HTLCs for channels that are not announced.
    pub forwards: bool,
    /// Speaks the trampoline dialect of pull request 836.
    pub pr836: bool,
    /// Takes AMP payments without an invoice.
    pub amp: bool,
    /// Makes, passes on and reads fulfillment payloads.
    pub attribution: bool,
}

/// A running node.
pub struct Node {
    /// LDK's channels.
    pub cm: Arc<Cm>,
    pub(crate) monitor: Arc<Monitor>,
    /// LDK's connections.
    pub peers: Arc<Peers>,
    /// What is between the two.
    pub hook: Arc<Hook>,
    /// Connections without LDK.
    pub raw: Arc<Raw>,
    /// Its onion messages.
    pub messages: Arc<Messages>,
    /// What it offers and asks for.
    pub offers: Arc<Offers>,
    /// Static invoices that it keeps for others, or has left with others.
    pub(crate) invoice_server: Arc<InvoiceServer>,
    /// The names that it answers for and asks for.
    pub dns: Arc<Dns>,
    /// What gossip tells.
    pub graph: Arc<Graph>,
    /// Its key.
    pub id: PublicKey,
    /// Where it takes connections.
    pub listen: Option<SocketAddr>,
    bitcoind: Arc<Bitcoind>,
    /// Its coins.
    pub wallet: Mutex<Wallet>,
    tip: Mutex<Tip>,
    alias: String,
    announce: bool,
    stop: Arc<AtomicBool>,
    looping: Mutex<Option<JoinHandle<()>>>,
    listening: Mutex<Option<JoinHandle<()>>>,
    /// Addresses of those it has connected to.
    pub addresses: Mutex<HashMap<PublicKey, String>>,
    /// What has been used as a preimage of keysend.
    pub used: Mutex<HashSet<[u8; 32]>>,
    /// Hashes of invoices that it has paid.
    pub invoices_paid: Mutex<HashSet<[u8; 32]>>,
    /// Hashes that are held until somebody says what becomes of them.
    pub held: Mutex<HashSet<[u8; 32]>>,
    /// Keysend proofs.
    pub proofs: Mutex<Proofs>,
    /// Payments for others that are held, by hash.
    pub(crate) relays: Mutex<HashMap<[u8; 32], Relay>>,
}

fn environment(what: &str, e: impl ToString) -> OpError {
    OpError::rejected(format!("{what}: {}", e.to_string()))
}

impl From<ChainError> for Fail {
    fn from(e: ChainError) -> Self {
        OpError::rejected(e.to_string()).into()
    }
}

impl Node {
    /// Builds a node and starts it, with the channels of one that was in this folder before.
    ///
    /// # Errors
    /// `rejected` where folder, port or bitcoind do not do, or the state that lies in the folder.
    pub fn start(config: Config, events: Arc<Events>) -> Result<Arc<Self>, Fail> {
        let dir = &config.data_dir;
        let unusable = |e| environment(&format!("data_dir {} cannot be used", dir.display()), e);
        std::fs::create_dir_all(dir).map_err(unusable)?;
        let transcript = Transcript::open(&dir.join("transcript.jsonl")).map_err(unusable)?;
        let bitcoind = Arc::new(config.bitcoind);
        let store = Store::open(dir.join("state")).map_err(unusable)?;
        let env = Env::new(bitcoind.clone(), &dir.join("probe.log"), store).map_err(unusable)?;
        let env = Arc::new(env);

        // No two lives may draw the same keys.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = nanos.map_or(0, |since| since.subsec_nanos());
        let keys_manager = Arc::new(KeysManager::new(&config.seed, now(), nanos, true));
        let secret = keys_manager.get_node_secret_key();
        let monitor = Arc::new(Monitor::new(
            None,
            env.clone(),
            env.clone(),
            env.clone(),
            env.clone(),
            keys_manager.clone(),
            keys_manager.get_peer_storage_key(),
            false,
        ));
        let before = state::load(
            &env,
            &keys_manager,
            &monitor,
            &bitcoind,
            user_config(config.forwards),
            &keys::public(&secret).to_string(),
        )?;
        let (cm, (height, best), before) = match before {
            Some((cm, tip, left)) => (cm, tip, Some(left)),
            None => {
                let best = bitcoind.best()?;
                let height = bitcoind.height(best)?;
                let params = ChainParameters {
                    network: Network::Regtest,
                    best_block: BlockLocator::new(best, height),
                };
                let cm = Cm::new(
                    env.clone(),
                    monitor.clone(),
                    env.clone(),
                    Arc::new(NoRoutes),
                    Arc::new(NullMessageRouter {}),
                    env.clone(),
                    keys_manager.clone(),
                    keys_manager.clone(),
                    keys_manager.clone(),
                    user_config(config.forwards),
                    params,
                    u32::try_from(now()).unwrap_or(u32::MAX),
                );
                (cm, (height, best), None)
            }
        };
        let cm = Arc::new(cm);
        let hook = Arc::new(Hook::new(
            cm.clone(),
            env.clone(),
            secret,
            events,
            transcript,
            config.seed,
        ));
        let graph = state::graph(&env.store, |bytes| Graph::read(bytes, env.clone()).ok());
        let graph = graph.unwrap_or_else(|| Graph::new(Network::Regtest, env.clone()));
        let graph = Arc::new(graph);
        let gossip = Arc::new(Gossip::new(graph.clone(), None, env.clone()));
        let messages = Arc::new(Messages::new(hook.clone(), graph.clone()));
        // Set once, here.
        let _ = hook.onions.set(Arc::downgrade(&messages));
        async_wire::listen(&hook, &messages);
        // It hears of requests before the offers do: those for static invoices that it keeps.
        let invoice_server = messages.listening::<InvoiceServer>();
        let offers = messages.listening::<Offers>();
        let dns = messages.listening::<Dns>();
        let handlers = MessageHandler {
            chan_handler: hook.clone(),
            route_handler: gossip,
            onion_message_handler: messages.clone(),
            custom_message_handler: IgnoringMessageHandler {},
            send_only_message_handler: IgnoringMessageHandler {},
        };
        let random = hook.draw();
        if config.attribution {
            let node = secret;
            hook.fulfillments.start(Secrets { node, random });
        }
        let peers = Arc::new(Peers::new(
            handlers,
            u32::try_from(now()).unwrap_or(u32::MAX),
            &random,
            env,
            keys_manager,
        ));
        let coin = keys::sha256(&[b"lnconform probe coin", &config.seed]);
        let coin = SecretKey::from_slice(&coin)
            .map_err(|e| OpError::invalid(format!("param seed gives no key: {e}")))?;
        let node = Arc::new(Self {
            id: keys::public(&secret),
            cm,
            monitor,
            peers,
            raw: Arc::new(Raw::new(hook.clone())),
            hook,
            messages,
            offers,
            invoice_server,
            dns,
            graph,
            listen: config.listen,
            bitcoind,
            wallet: Mutex::new(Wallet::new(coin)),
            tip: Mutex::new(Tip {
                blocks: VecDeque::from([(height, best)]),
            }),
            alias: config.alias,
            announce: config.announce,
            stop: Arc::default(),
            looping: Mutex::default(),
            listening: Mutex::default(),
            addresses: Mutex::default(),
            used: Mutex::default(),
            invoices_paid: Mutex::default(),
            held: Mutex::default(),
            proofs: Mutex::new(Proofs::new(&keys::public(&secret))),
            relays: Mutex::default(),
        });
        lock(&node.hook.payee).trampoline = config.forwards && !config.pr836;
        lock(&node.hook.payee).pr836 = config.pr836;
        lock(&node.hook.payee).amp.invoices_only = !config.amp;
        if let Some(left) = before {
            node.take_up(left)?;
        }
        node.hook.keeper.attach(&node);
        if let Some(address) = config.listen {
            let listening = net::listen(&node, address, node.stop.clone())
                .map_err(|e| environment(&format!("{address} cannot be listened on"), e))?;
            *lock(&node.listening) = Some(listening);
        }
        let own = node.clone();
        let looping = thread::Builder::new()
            .name("loop".into())
            .spawn(move || own.run())
            .map_err(|e| environment("no thread for the node", e))?;
        *lock(&node.looping) = Some(looping);
        Ok(node)
    }

    /// Stops the node. Its state stays: with `kill` what it was when it was last written, else what it
    /// is now.
    pub fn stop(&self, kill: bool) {
        self.stop.store(true, Ordering::Relaxed);
        if kill {
            self.hook.env.store.close();
        }
        for thread in [&self.looping, &self.listening] {
            let thread = lock(thread).take();
            if let Some(thread) = thread {
                // One that has panicked has said so on standard error.
                let _ = thread.join();
            }
        }
        self.peers.disconnect_all_peers();
        self.raw.close();
        self.save(true);
        self.hook.env.store.close();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn run(&self) {
        let (mut looked, mut ticked, mut announced) =
            (Instant::now(), Instant::now(), Instant::now());
        let mut announcements = 0;
        let mut complaint = String::new();
        let mut gossip = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            self.cm
                .get_event_or_persistence_needed_future()
                .wait_timeout(STEP);
            self.work();
            self.save(false);
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                if let Err(e) = self.look() {
                    // Said once, and not four times a second.
                    let text = e.to_string();
                    if text != complaint {
                        eprintln!("adapter: {text}");
                        complaint = text;
                    }
                }
                self.overdue();
                self.pass_on();
                self.save_graph(&mut gossip);
            }
            if ticked.elapsed() > TICK {
                ticked = Instant::now();
                self.peers.timer_tick_occurred();
            }
            if self.announce
                && announcements < ANNOUNCEMENTS
                && announced.elapsed() > Duration::from_secs(1)
                && self.is_known()
            {
                announced = Instant::now();
                announcements += 1;
                self.announce();
            }
        }
    }

    /// Does what has to be done now.
    fn work(&self) {
        self.hook.release_held();
        // LDK may not hold it yet, so it is told until it has failed it.
        let to_fail = lock(&self.hook.book).to_fail();
        for hash in to_fail {
            self.cm.fail_htlc_backwards(&PaymentHash(hash));
        }
        let handle = |event: Event| -> Result<(), ReplayEvent> {
            self.event(event);
            Ok(())
        };
        self.cm.process_pending_events(&handle);
        self.tell_fulfillments();
        self.monitor.process_pending_events(&handle);
        if self.cm.needs_pending_htlc_processing() {
            self.cm.process_pending_htlc_forwards();
            self.cm.process_pending_events(&handle);
        }
        self.peers.process_events();
    }

    fn is_known(&self) -> bool {
        let graph = self.graph.read_only();
        let known = graph.node(&NodeId::from_pubkey(&self.id));
        known.is_some_and(|node| !node.channels.is_empty())
    }

    fn announce(&self) {
        let mut alias = [0; 32];
        for (place, byte) in alias.iter_mut().zip(self.alias.bytes()) {
            *place = byte;
        }
        let addresses = self.listen.map(SocketAddress::from).into_iter().collect();
        self.peers
            .broadcast_node_announcement([0; 3], alias, addresses);
    }
}

fn user_config(forwards: bool) -> UserConfig {
    let mut config = UserConfig::default();
    let handshake = &mut config.channel_handshake_config;
    handshake.announced_channel_max_inbound_htlc_value_in_flight_percentage = 100;
    handshake.unannounced_channel_max_inbound_htlc_value_in_flight_percentage = 100;
    handshake.our_htlc_minimum_msat = 1;
    config
        .channel_handshake_limits
        .force_announced_channel_preference = false;
    config.accept_forwards_to_priv_channels = forwards;
    config.enable_htlc_hold = forwards;
    config.channel_config.forwarding_fee_base_msat = 1_000;
    // LDK would refuse small HTLCs for the fee rate that LND gives its commitments.
    config.channel_config.max_dust_htlc_exposure = MaxDustHTLCExposure::FixedLimitMsat(DUST_MSAT);
    config
}
