//! One running node: LDK's parts put together, and the thread that moves them.

pub(crate) mod book;
pub(crate) mod chain;
pub(crate) mod dialogue;
pub(crate) mod env;
pub(crate) mod hexed;
pub(crate) mod hook;
pub(crate) mod net;
pub(crate) mod state;
pub(crate) mod tap;
pub(crate) mod transcript;

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
use crate::node::transcript::Transcript;
use crate::payee::Held;
use crate::proofs::Proofs;
use crate::raw::Raw;
use crate::shot::{Forward, Shot};
use crate::trampoline::relay::{ATTEMPTS, Relay, RelayError};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use bitcoin::{BlockHash, Network};
use lightning03::chain::chainmonitor::ChainMonitor;
use lightning03::chain::{BlockLocator, Listen};
use lightning03::events::{Event, EventsProvider, ReplayEvent};
use lightning03::ln::channelmanager::{ChainParameters, ChannelManager, PaymentId};
use lightning03::ln::msgs::SocketAddress;
use lightning03::ln::outbound_payment::RecipientOnionFields;
use lightning03::ln::peer_handler::{IgnoringMessageHandler, MessageHandler, PeerManager};
use lightning03::onion_message::messenger::NullMessageRouter;
use lightning03::routing::gossip::{NetworkGraph, NodeId, P2PGossipSync};
use lightning03::routing::router::{Path, Route, RouteHop};
use lightning03::routing::utxo::{UtxoLookup, UtxoResult};
use lightning03::sign::{InMemorySigner, KeysManager, NodeSigner};
use lightning03::types::features::{ChannelFeatures, NodeFeatures};
use lightning03::types::payment::{PaymentHash, PaymentPreimage, PaymentSecret};
use lightning03::util::config::{MaxDustHTLCExposure, UserConfig};
use lightning03::util::ser::ReadableArgs;
use lightning03::util::wakers::Notifier;
use lnconform_drafts::failure::{NODE, code};
use lnconform_drafts::keys;
use lnconform_protocol::OpError;
use lnconform_protocol::events::Events;
use lnconform_protocol::outcome::Fail;
use lnconform_protocol::params::{self, ResultObject, hex, hex_bytes};
use serde_json::json;
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
/// Blocks that a fork may go back.
const FORK: usize = 100;

/// What may be lost in outputs too small for the chain, in msat: no limit that a scenario meets.
const DUST_MSAT: u64 = 5_000_000_000;

/// The code of the dialect in use for too low a fee, or too near an expiry.
const LEGACY_FEE: u16 = NODE | 51;

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

/// The chain that LDK has been shown: heights and hashes, the last FORK of them.
struct Tip {
    blocks: VecDeque<(u32, BlockHash)>,
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
        let invoice_server = InvoiceServer::listening(hook.clone(), &messages);
        let offers = Offers::listening(hook.clone(), &messages);
        let dns = Dns::listening(hook.clone(), &messages);
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

    fn push(&self, kind: &'static str, fields: serde_json::Value) {
        // What was told, a restart must not forget.
        self.save(true);
        self.hook.events.push(kind, None, (), fields);
    }

    fn event(&self, event: Event) {
        match event {
            Event::FundingGenerationReady {
                temporary_channel_id,
                counterparty_node_id,
                channel_value_satoshis,
                output_script,
                ..
            } => {
                let paid = lock(&self.wallet).pay(output_script, channel_value_satoshis);
                let given = paid.map_err(|e| e.to_string()).and_then(|tx| {
                    self.cm
                        .funding_transaction_generated(
                            temporary_channel_id,
                            counterparty_node_id,
                            tx,
                        )
                        .map_err(|e| format!("{e:?}"))
                });
                if let Err(why) = given {
                    let fields = json!({"peer": counterparty_node_id.to_string(), "reason": why});
                    self.push("channel-closed", fields);
                }
            }
            Event::OpenChannelRequest {
                temporary_channel_id,
                counterparty_node_id,
                ..
            } => {
                let accepted = self.cm.accept_inbound_channel(
                    &temporary_channel_id,
                    &counterparty_node_id,
                    0,
                    None,
                );
                if let Err(e) = accepted {
                    eprintln!("adapter: a channel was not accepted: {e:?}");
                }
            }
            Event::ChannelPending {
                counterparty_node_id,
                funding_txo,
                ..
            } => {
                let funding = format!("{}:{}", funding_txo.txid, funding_txo.vout);
                let peer = counterparty_node_id.to_string();
                self.push("channel-pending", json!({"peer": peer, "funding": funding}));
            }
            Event::ChannelReady {
                counterparty_node_id,
                ..
            } => {
                let peer = counterparty_node_id.to_string();
                self.push("channel-ready", json!({"peer": peer}));
            }
            Event::ChannelClosed {
                channel_id,
                reason,
                counterparty_node_id,
                ..
            } => {
                let reason = reason.to_string();
                let fields = ResultObject::new()
                    .maybe("peer", counterparty_node_id.map(|peer| peer.to_string()))
                    .with("reason", reason.clone())
                    .done();
                self.push("channel-closed", fields);
                self.hook.channel_closed(channel_id, &reason);
            }
            Event::PaymentClaimable { payment_hash, .. } => self.claimable(payment_hash.0),
            Event::PaymentClaimed { payment_hash, .. } => self.claimed(payment_hash.0),
            Event::PaymentForwarded { .. } => self.push("payment-forwarded", json!({})),
            _ => {}
        }
    }

    /// LDK holds all HTLCs of a hash. After a restart it may say so twice.
    pub(crate) fn claimable(&self, hash: [u8; 32]) {
        let held = lock(&self.hook.payee).held(hash);
        match held {
            Held::Settle(preimages) => {
                self.receipt_ahead(hash);
                for preimage in preimages {
                    self.cm
                        .claim_funds_with_known_custom_tlvs(PaymentPreimage(preimage));
                }
            }
            Held::Hold => {
                if !lock(&self.held).insert(hash) {
                    return;
                }
                let set = lock(&self.hook.payee).set(&hash).cloned();
                if let Some(set) = set {
                    self.push("payment-held", set_fields(hash, &set).done());
                }
            }
            Held::Relay => self.relay(hash),
            Held::Wait => {}
            // It was given up in the meantime.
            Held::Gone => self.cm.fail_htlc_backwards(&PaymentHash(hash)),
        }
    }

    fn claimed(&self, hash: [u8; 32]) {
        lock(&self.held).remove(&hash);
        let set = lock(&self.hook.payee).settled(hash);
        let Some(set) = set else { return };
        let relay = lock(&self.relays).remove(&hash);
        match relay {
            Some(relay) => {
                let fields = ResultObject::new()
                    .with("payment_hash", hex(hash))
                    .with("amount_msat", relay.amount_msat.to_string())
                    .with("next", relay.next.to_string())
                    .with("attempts", relay.attempts)
                    .done();
                self.push("payment-forwarded", fields);
            }
            None => {
                let fields = set_fields(hash, &set);
                let fields = lock(&self.proofs).fields(fields, hash, &set, self.hook.now());
                self.push("payment-received", fields.done());
            }
        }
    }

    /// A payment for somebody else has come, all of it.
    fn relay(&self, hash: [u8; 32]) {
        if lock(&self.relays).contains_key(&hash) {
            return;
        }
        let set = lock(&self.hook.payee).set(&hash).cloned();
        let Some(set) = set else { return };
        if lock(&self.hook.payee).pr836 {
            return self.relay_pr836(hash, &set);
        }
        let onion = set.trampoline.as_deref().unwrap_or_default();
        let incoming = (set.amount_msat, set.cltv_expiry);
        match Relay::open(&self.hook.secret, hash, onion, incoming) {
            Ok(mut relay) => {
                // Sent on before a restart, and not answered yet.
                relay.payment = lock(&self.hook.book).under_way(&hash);
                let fields = set_fields(hash, &set).with("next", relay.next.to_string());
                lock(&self.relays).insert(hash, relay);
                self.push("payment-held", fields.done());
            }
            Err(e) => {
                let code = match e {
                    RelayError::Fee { .. } | RelayError::Expiry { .. } => LEGACY_FEE,
                    _ => code::INVALID_ONION_PAYLOAD,
                };
                self.give_up(hash, code, &e.to_string());
            }
        }
    }

    pub(crate) fn give_up(&self, hash: [u8; 32], code: u16, message: &str) {
        let relay = lock(&self.relays).remove(&hash);
        lock(&self.hook.payee).failed(&hash);
        let mut failure = code.to_be_bytes().to_vec();
        if code == code::INVALID_ONION_PAYLOAD {
            failure.extend([0, 0, 0]);
        }
        if let Some(masked) = relay.and_then(|relay| relay.masked) {
            failure = masked;
        }
        lock(&self.hook.book).fail_with(&hash, &failure);
        let fields = json!({"payment_hash": hex(hash), "code": code, "message": message});
        self.push("payment-refused", fields);
    }

    /// Sends on what is held for those who can be reached now, and settles or fails what has ended.
    fn pass_on(&self) {
        let relays: Vec<Relay> = lock(&self.relays).values().cloned().collect();
        for mut relay in relays {
            let Some(payment) = &relay.payment else {
                self.try_to(relay);
                continue;
            };
            let ended = self.hook.events.find(|seen| {
                let ours = seen.payment.as_ref() == Some(payment);
                ours.then(|| seen.fields["preimage"].as_str().and_then(hex_bytes))
            });
            let preimage =
                ended.map(|preimage| preimage.and_then(|p| <[u8; 32]>::try_from(p).ok()));
            match preimage {
                None => {}
                Some(Some(preimage)) => self
                    .cm
                    .claim_funds_with_known_custom_tlvs(PaymentPreimage(preimage)),
                Some(None) if relay.attempts >= ATTEMPTS => {
                    let code = code::TEMPORARY_TRAMPOLINE_FAILURE;
                    self.give_up(relay.hash, code, "the next node has not taken it");
                }
                Some(None) => {
                    relay.payment = None;
                    self.put(relay);
                }
            }
        }
    }

    fn try_to(&self, mut relay: Relay) {
        let channels = self.cm.list_channels();
        let there = channels
            .iter()
            .any(|c| c.counterparty.node_id == relay.next && c.is_usable);
        if !there {
            return;
        }
        if let Some(path) = relay.path.clone() {
            return self.deliver(relay, &path);
        }
        let mut plan = relay.plan(self.hook.height(), self.hook.draw());
        if lock(&self.hook.payee).pr836 {
            crate::trampoline::pr836::translate(&mut plan);
        }
        let shots = plan.shots(&[], || self.hook.draw_key());
        let payment = hex(self.hook.draw());
        relay.payment = Some(payment.clone());
        relay.attempts += 1;
        self.put(relay);
        self.send(&payment, shots);
    }

    /// Keeps what has become of a relay, unless it was given up meanwhile.
    pub(crate) fn put(&self, relay: Relay) {
        let mut relays = lock(&self.relays);
        if let Some(place) = relays.get_mut(&relay.hash) {
            *place = relay;
        }
    }

    fn overdue(&self) {
        let late = lock(&self.hook.payee).overdue(self.hook.now());
        for (hash, refusal) in late {
            lock(&self.hook.book).fail_with(&hash, &refusal.failure);
            let fields = ResultObject::new()
                .with("payment_hash", hex(hash))
                .maybe("rule", refusal.rule)
                .with("code", refusal.code)
                .with("message", refusal.message)
                .done();
            self.push("payment-refused", fields);
        }
    }

    // ---- chain

    /// Shows LDK the blocks that have come since the last look, and answers the height.
    ///
    /// # Errors
    /// bitcoind does not answer.
    pub fn look(&self) -> Result<u32, ChainError> {
        let mut tip = lock(&self.tip);
        let best = self.bitcoind.best()?;
        // From the new tip back to a block that LDK knows.
        let mut missing = Vec::new();
        let mut hash = best;
        while !tip.blocks.iter().any(|(_, known)| *known == hash) {
            let block = self.bitcoind.block(hash)?;
            hash = block.header.prev_blockhash;
            missing.push(block);
        }
        let fork = tip.blocks.iter().position(|(_, known)| *known == hash);
        if let Some(at) = fork.filter(|at| at + 1 < tip.blocks.len()) {
            tip.blocks.truncate(at + 1);
            if let Some((height, hash)) = tip.blocks.back() {
                let point = BlockLocator::new(*hash, *height);
                self.monitor.blocks_disconnected(point);
                self.cm.blocks_disconnected(point);
            }
        }
        let mut height = tip.blocks.back().map_or(0, |(height, _)| *height);
        for block in missing.iter().rev() {
            height += 1;
            self.monitor.block_connected(block, height);
            self.cm.block_connected(block, height);
            let mut wallet = lock(&self.wallet);
            for tx in &block.txdata {
                wallet.see(tx);
            }
            tip.blocks.push_back((height, block.block_hash()));
            if tip.blocks.len() > FORK {
                tip.blocks.pop_front();
            }
        }
        Ok(height)
    }

    // ---- routes

    /// Who is on the way to a node: nobody where it is a peer with a usable channel.
    ///
    /// # Errors
    /// No way is known.
    pub fn route(&self, to: PublicKey, amount_msat: u64) -> Result<Vec<Forward>, Fail> {
        let first: HashSet<PublicKey> = self
            .cm
            .list_channels()
            .iter()
            .filter(|c| c.is_usable)
            .map(|c| c.counterparty.node_id)
            .collect();
        if first.contains(&to) {
            return Ok(Vec::new());
        }
        let graph = self.graph.read_only();
        let goal = NodeId::from_pubkey(&to);
        // From the recipient backwards, so that a node is reached with the fewest hops left.
        let mut towards: HashMap<NodeId, (u64, NodeId)> = HashMap::new();
        let mut queue = VecDeque::from([goal]);
        let mut start = None;
        'search: while let Some(node) = queue.pop_front() {
            let Some(info) = graph.node(&node) else {
                continue;
            };
            let mut channels = info.channels.clone();
            channels.sort_unstable();
            for scid in channels {
                let Some(channel) = graph.channel(scid) else {
                    continue;
                };
                let (from, update) = if channel.node_one == node {
                    (channel.node_two, &channel.two_to_one)
                } else {
                    (channel.node_one, &channel.one_to_two)
                };
                let usable = update.as_ref().is_some_and(|update| update.enabled);
                if !usable || from == goal || towards.contains_key(&from) {
                    continue;
                }
                towards.insert(from, (scid, node));
                let key = from.as_pubkey().ok().filter(|key| first.contains(key));
                if let Some(key) = key {
                    start = Some(key);
                    break 'search;
                }
                queue.push_back(from);
            }
        }
        let start = start.ok_or_else(|| {
            OpError::rejected(format!(
                "the probe knows no way to {to}: it has no usable channel there, and gossip shows none"
            ))
        })?;
        let mut route = Vec::new();
        let mut at = NodeId::from_pubkey(&start);
        while let Some((scid, next)) = towards.get(&at).copied() {
            let node = at
                .as_pubkey()
                .map_err(|e| OpError::internal(format!("gossip has a node without a key: {e}")))?;
            let update = graph.channel(scid).and_then(|channel| {
                if channel.node_one == at {
                    channel.one_to_two.clone()
                } else {
                    channel.two_to_one.clone()
                }
            });
            if let Some(update) = update {
                let hop = Forward {
                    node,
                    scid,
                    fee_msat: 0,
                    delta: update.cltv_expiry_delta.into(),
                };
                route.push((hop, update.fees));
            }
            at = next;
        }
        // From the recipient backwards: who passes on more asks for more.
        let mut amount = amount_msat;
        for (hop, fees) in route.iter_mut().rev() {
            let part = amount.saturating_mul(fees.proportional_millionths.into()) / 1_000_000;
            hop.fee_msat = part.saturating_add(fees.base_msat.into());
            amount = amount.saturating_add(hop.fee_msat);
        }
        let route = route.into_iter().map(|(hop, _)| hop).collect();
        Ok(route)
    }

    /// Sends the HTLCs of a payment. One that LDK does not send has failed.
    pub fn send(&self, payment: &str, shots: Vec<Shot>) {
        let shots: Vec<_> = shots
            .into_iter()
            .map(|shot| (shot, self.hook.draw()))
            .collect();
        lock(&self.hook.book).begin(payment, &shots);
        for (shot, id) in &shots {
            let peer = shot.peer();
            let amount = shot.first_msat();
            let channels = self.cm.list_channels();
            let channel = channels.iter().find(|c| {
                c.counterparty.node_id == peer
                    && c.is_usable
                    && c.next_outbound_htlc_limit_msat >= amount
            });
            let id = PaymentId(*id);
            let scid = channel.and_then(|c| c.get_outbound_payment_scid());
            let Some(scid) = scid else {
                let why = format!("no usable channel with {peer} has {amount} msat to send");
                self.hook.not_sent(payment, id, &why);
                continue;
            };
            let hop = RouteHop {
                pubkey: peer,
                node_features: NodeFeatures::empty(),
                short_channel_id: scid,
                channel_features: ChannelFeatures::empty(),
                fee_msat: amount,
                // LDK counts from the block that comes next.
                cltv_expiry_delta: shot.first_delta().saturating_sub(1),
                maybe_announced_channel: true,
            };
            let route = Route {
                paths: vec![Path {
                    hops: vec![hop],
                    blinded_tail: None,
                }],
                route_params: None,
            };
            let onion = RecipientOnionFields::secret_only(PaymentSecret([0; 32]), amount);
            let sent = self
                .cm
                .send_payment_with_route(route, PaymentHash(shot.hash), onion, id);
            if let Err(e) = sent {
                self.hook.not_sent(payment, id, &format!("{e:?}"));
            }
        }
        self.peers.process_events();
    }
}

/// The fields of an event about a set.
pub fn set_fields(hash: [u8; 32], set: &crate::payee::Set) -> ResultObject {
    ResultObject::new()
        .with("payment", hex(hash))
        .with("payment_hash", hex(hash))
        .with("amount_msat", set.amount_msat.to_string())
        .with(
            "records",
            params::records(set.records.iter().map(|r| (r.kind, &r.value[..]))),
        )
        .with("parts", set.parts())
        .maybe("set_id", set.set_id.map(hex))
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
