//! What outlives the process: channels, what is held, and which onion went with which HTLC.
//!
//! Everything lies in `state/` below the node's folder. LDK's manager, its monitors and the probe's own
//! memory share one file, so that none can be older than the others: LDK closes a channel whose monitor
//! knows more than its manager. The file is written before a message goes out and before an event is told,
//! so that nobody has seen what a killed probe does not remember ([`slots`](crate::node::slots)). It is not synced
//! to the disk: a regtest node has to outlive its process, not the machine.
//!
//! Not remembered: AMP sets that are not settled (their HTLCs are failed), HTLCs that LDK has not sent yet, what
//! was said in onion messages, and the inner secrets of trampoline payments.
//!
//! Each part of the probe writes down its own ([`book::state`], [`payee::state`], [`proofs::state`],
//! [`fulfillment::state`]); all of it has one version.

use crate::fulfillment;
use crate::node::book;
use crate::node::chain::Bitcoind;
use crate::node::env::{Env, NoRoutes, lock};
use crate::node::hexed::Hexed;
use crate::node::slots::Slots;
use crate::node::{Cm, Monitor, Node};
use crate::payee::{self, Held};
use crate::proofs;
use bitcoin::{Block, BlockHash, OutPoint};
use lightning03::chain::channelmonitor::ChannelMonitor;
use lightning03::chain::{BlockLocator, Listen};
use lightning03::ln::channelmanager::ChannelManagerReadArgs;
use lightning03::onion_message::messenger::NullMessageRouter;
use lightning03::sign::{InMemorySigner, KeysManager};
use lightning03::types::payment::PaymentHash;
use lightning03::util::config::UserConfig;
use lightning03::util::ser::{ReadableArgs, Writeable};
use lnconform_protocol::OpError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// The file of the manager, the monitors and the probe's memory.
const NODE: &str = "node";
/// The file of what gossip has told.
const GRAPH: &str = "graph";
/// Draws that may have been made and not remembered: as many are left out.
const DRAWS: u64 = 1_000;

/// The folder of a node's state.
pub struct Store {
    dir: PathBuf,
    /// None once the node has stopped: whoever still runs must not write over its successor's.
    files: Mutex<Option<Files>>,
    monitors: Mutex<Monitors>,
}

/// By what is in them.
type Files = BTreeMap<String, Slots>;

/// What LDK wants to have kept of each channel, by its name.
#[derive(Default)]
struct Monitors {
    bytes: BTreeMap<String, Vec<u8>>,
    /// How often something has changed, and how often when it was last written.
    changes: u64,
    written: u64,
}

impl Store {
    /// The folder, made where there is none.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self {
            dir,
            files: Mutex::new(Some(Files::new())),
            monitors: Mutex::default(),
        })
    }

    /// Writes one of the files, whole or not at all.
    ///
    /// # Errors
    /// What the system says, and that the node has stopped.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Held while writing, so that nothing is written any more once it is closed.
        let mut files = lock(&self.files);
        self.slots(&mut files, name)?.put(bytes)
    }

    /// What was last written to one of the files, if anything was.
    ///
    /// # Errors
    /// What the system says, and that the node has stopped.
    pub fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut files = lock(&self.files);
        self.slots(&mut files, name)?.get()
    }

    fn slots<'a>(&self, files: &'a mut Option<Files>, name: &str) -> io::Result<&'a mut Slots> {
        let files = files
            .as_mut()
            .ok_or_else(|| io::Error::other("the node has stopped"))?;
        match files.entry(name.to_owned()) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(free) => Ok(free.insert(Slots::open(&self.dir, name)?)),
        }
    }

    /// Takes the state of a channel, which is written with the next state of the node, before a message can
    /// tell of it. `false` once the node has stopped: the channel rests.
    pub fn put_monitor(&self, name: &str, monitor: &ChannelMonitor<InMemorySigner>) -> bool {
        self.put_channel(name, monitor.encode());
        lock(&self.files).is_some()
    }

    fn put_channel(&self, name: &str, bytes: Vec<u8>) {
        let mut monitors = lock(&self.monitors);
        monitors.bytes.insert(name.to_owned(), bytes);
        monitors.changes += 1;
    }

    /// Takes the state of a channel away that is over.
    pub fn remove_monitor(&self, name: &str) {
        let mut monitors = lock(&self.monitors);
        monitors.bytes.remove(name);
        monitors.changes += 1;
    }

    /// Whether the state of a channel is not written yet.
    fn has_news(&self) -> bool {
        let monitors = lock(&self.monitors);
        monitors.changes != monitors.written
    }

    /// The manager's state with that of all channels at the same moment, and the number of their changes.
    fn together(&self, manager: impl Fn() -> Vec<u8>) -> (Vec<u8>, BTreeMap<String, Vec<u8>>, u64) {
        loop {
            let before = lock(&self.monitors).changes;
            let manager = manager();
            let monitors = lock(&self.monitors);
            // LDK has gone on meanwhile, and a channel is newer than the manager.
            if monitors.changes == before {
                return (manager, monitors.bytes.clone(), before);
            }
        }
    }

    /// From now on nothing is written.
    pub fn close(&self) {
        *lock(&self.files) = None;
    }
}

/// A hash or a secret.
type Key = Hexed<[u8; 32]>;

/// The form of [`Memory`]: one more with each change by which an older one would be read wrongly.
const VERSION: u32 = 1;

/// What the probe remembers beside LDK.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    version: u32,
    /// Whose it is.
    node_id: String,
    draws: u64,
    /// By payment hash.
    secrets: Vec<(Key, Key)>,
    book: book::state::State,
    payee: payee::state::State,
    proofs: proofs::state::State,
    fulfillments: fulfillment::state::State,
    /// Outpoint and satoshi.
    coins: Vec<(String, u64)>,
    #[serde(with = "crate::node::hexed::list")]
    used: Vec<[u8; 32]>,
    #[serde(with = "crate::node::hexed::list")]
    invoices_paid: Vec<[u8; 32]>,
    /// Hashes of payments that wait for a word, or for the next node.
    #[serde(with = "crate::node::hexed::list")]
    held: Vec<[u8; 32]>,
    addresses: Vec<(String, String)>,
}

impl Memory {
    /// # Errors
    /// `rejected`: it was written by a probe of another version.
    fn check_version(&self) -> Result<(), OpError> {
        if self.version == VERSION {
            return Ok(());
        }
        let version = self.version;
        Err(OpError::rejected(format!(
            "the probe's state in data_dir has version {version}, and this probe reads version {VERSION}: \
             start with an empty data_dir"
        )))
    }
}

/// Writes the state of a node when told.
#[derive(Default)]
pub struct Keeper {
    node: OnceLock<Weak<Node>>,
    /// One at a time, or an older state could be the last one written.
    saving: Mutex<()>,
}

impl Keeper {
    /// Whose state it is.
    pub fn attach(&self, node: &Arc<Node>) {
        // The only one that is ever attached is the node that it was made for.
        let _ = self.node.set(Arc::downgrade(node));
    }

    /// Writes the state if it has changed; to be called before a message goes out.
    pub fn save(&self) {
        if let Some(node) = self.node.get().and_then(Weak::upgrade) {
            node.save(false);
        }
    }
}

/// The height and the hash of a block.
pub type Tip = (u32, BlockHash);

/// What was read back beside the channels.
pub struct Left {
    /// Blocks that the wallet has not seen.
    unseen: Vec<Block>,
    monitors: Vec<ChannelMonitor<InMemorySigner>>,
    memory: Memory,
}

fn broken(what: &str, e: impl std::fmt::Debug) -> OpError {
    OpError::rejected(format!(
        "the probe's state in data_dir cannot be used ({what}: {e:?}): start with an empty data_dir"
    ))
}

/// What was stored by a node that was here before: its channels, the tip that they have been shown, and
/// what it is to take up.
///
/// # Errors
/// `rejected`: it cannot be read, is another node's, or bitcoind does not know its blocks.
pub fn load(
    env: &Arc<Env>,
    keys: &Arc<KeysManager>,
    monitor: &Arc<Monitor>,
    bitcoind: &Bitcoind,
    config: UserConfig,
    node_id: &str,
) -> Result<Option<(Cm, Tip, Left)>, OpError> {
    let Some(bytes) = env.store.get(NODE).map_err(|e| broken("reading", e))? else {
        return Ok(None);
    };
    let short = || broken("its file", "cut short");
    let (memory, rest) = unpack(&bytes).ok_or_else(short)?;
    memory.check_version()?;
    let (manager, stored) = unpack_channels(rest).ok_or_else(short)?;
    if memory.node_id != node_id {
        return Err(broken("it is another node's", memory.node_id));
    }
    let mut monitors = Vec::with_capacity(stored.len());
    for (name, bytes) in stored {
        let args = (&**keys, &**keys);
        let (_, monitor) =
            <(BlockLocator, ChannelMonitor<InMemorySigner>)>::read(&mut &bytes[..], args)
                .map_err(|e| broken("a channel", e))?;
        monitors.push(monitor);
        env.store.put_channel(&name, bytes.to_vec());
    }
    let args = ChannelManagerReadArgs::new(
        keys.clone(),
        keys.clone(),
        keys.clone(),
        env.clone(),
        monitor.clone(),
        env.clone(),
        Arc::new(NoRoutes),
        Arc::new(NullMessageRouter {}),
        env.clone(),
        config,
        monitors.iter().collect(),
    );
    let (at, cm) = <(BlockLocator, Cm)>::read(&mut &manager[..], args)
        .map_err(|e| broken("the channels", e))?;

    // Each is shown the blocks that it lacks: LDK writes a monitor less often than blocks come.
    let heights = monitors.iter().map(|m| m.current_best_block().height);
    let lowest = heights.fold(at.height, u32::min);
    let chain = |e: crate::node::chain::ChainError| broken("its blocks", e.to_string());
    let best = bitcoind.best().map_err(chain)?;
    let height = bitcoind.height(best).map_err(chain)?;
    let mut blocks = Vec::new();
    let mut hash = best;
    for _ in lowest..height {
        let block = bitcoind.block(hash).map_err(chain)?;
        hash = block.header.prev_blockhash;
        blocks.push(block);
    }
    blocks.reverse();
    for (block, height) in blocks.iter().zip(lowest + 1..) {
        let txs: Vec<_> = block.txdata.iter().enumerate().collect();
        for monitor in &monitors {
            if monitor.current_best_block().height < height {
                monitor.block_connected(&block.header, &txs, height, env.clone(), env.clone(), env);
            }
        }
        if at.height < height {
            cm.block_connected(block, height);
        }
    }
    let seen = usize::try_from(at.height - lowest).unwrap_or(usize::MAX);
    let left = Left {
        unseen: blocks.into_iter().skip(seen).collect(),
        monitors,
        memory,
    };
    Ok(Some((cm, (height, best), left)))
}

/// Memory, manager and monitors in one file, each behind its length.
fn pack(memory: &[u8], manager: &[u8], monitors: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let monitors = monitors
        .iter()
        .flat_map(|(name, bytes)| [name.as_bytes(), bytes]);
    let mut packed = Vec::new();
    for part in [memory, manager].into_iter().chain(monitors) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        packed.extend(length.to_be_bytes());
        packed.extend(part);
    }
    packed
}

/// The first part, and the rest.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

fn unpack(bytes: &[u8]) -> Option<(Memory, &[u8])> {
    let (memory, rest) = part(bytes)?;
    Some((serde_json::from_slice(memory).ok()?, rest))
}

/// Monitors, by their names.
type Channels<'a> = Vec<(String, &'a [u8])>;

/// The manager, and the monitors.
fn unpack_channels(bytes: &[u8]) -> Option<(&[u8], Channels<'_>)> {
    let (manager, mut rest) = part(bytes)?;
    let mut monitors = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = part(rest)?;
        let (bytes, behind) = part(behind)?;
        monitors.push((String::from_utf8(name.to_vec()).ok()?, bytes));
        rest = behind;
    }
    Some((manager, monitors))
}

/// What gossip had told a node that was here before.
pub fn graph<T>(store: &Store, read: impl FnOnce(&mut &[u8]) -> Option<T>) -> Option<T> {
    // One that cannot be read is heard again.
    let bytes = store.get(GRAPH).ok().flatten()?;
    read(&mut &bytes[..])
}

impl Node {
    /// Takes up what a node that was here before has left. What it held it tells of again.
    ///
    /// # Errors
    /// `rejected`: LDK does not take a channel.
    pub(crate) fn take_up(&self, left: Left) -> Result<(), OpError> {
        for monitor in left.monitors {
            let id = monitor.channel_id();
            self.monitor
                .load_existing_monitor(id, monitor)
                .map_err(|()| broken("a channel", "LDK does not take it"))?;
        }
        let memory = left.memory;
        *lock(&self.hook.draws) = memory.draws + DRAWS;
        let secrets = memory.secrets.into_iter();
        self.hook
            .remember_secrets(secrets.map(|(hash, secret)| (hash.0, secret.0)).collect());
        let outpoint = |text: &str| text.parse::<OutPoint>().ok();
        {
            let mut wallet = lock(&self.wallet);
            let coins = memory.coins.iter();
            wallet.coins = coins
                .filter_map(|(coin, sat)| Some((outpoint(coin)?, *sat)))
                .collect();
            for tx in left.unseen.iter().flat_map(|block| &block.txdata) {
                wallet.see(tx);
            }
        }
        lock(&self.used).extend(memory.used);
        lock(&self.invoices_paid).extend(memory.invoices_paid);
        let addresses = memory.addresses.into_iter();
        lock(&self.addresses).extend(addresses.filter_map(|(id, at)| Some((id.parse().ok()?, at))));
        lock(&self.hook.payee).recall(memory.payee);
        lock(&self.proofs).recall(memory.proofs);
        self.hook.fulfillments.recall(memory.fulfillments);
        let unanswered = lock(&self.hook.book).recall(memory.book);
        for hash in unanswered {
            let known = lock(&self.hook.payee).set(&hash).is_some();
            if !known {
                // Of an AMP set, which is not remembered.
                lock(&self.hook.book).give_up(&hash);
            }
        }
        for hash in memory.held {
            let held = lock(&self.hook.payee).held(hash);
            match held {
                Held::Hold | Held::Relay => self.claimable(hash),
                _ => self.cm.fail_htlc_backwards(&PaymentHash(hash)),
            }
        }
        Ok(())
    }

    /// Writes the state, if LDK says that it has changed or `always`.
    pub(crate) fn save(&self, always: bool) {
        let _order = lock(&self.hook.keeper.saving);
        let store = &self.hook.env.store;
        let has_changed = self.cm.get_and_clear_needs_persistence();
        if !has_changed && !always && !store.has_news() {
            return;
        }
        // First LDK's: what the probe knows of an HTLC that LDK does not know does no harm.
        let (manager, monitors, changes) = store.together(|| self.cm.encode());
        let memory = match serde_json::to_vec(&self.memory()) {
            Ok(memory) => memory,
            Err(e) => {
                eprintln!("adapter: the probe's memory cannot be written down: {e}");
                return;
            }
        };
        match store.put(NODE, &pack(&memory, &manager, &monitors)) {
            Ok(()) => lock(&store.monitors).written = changes,
            Err(e) if !self.is_stopping() => {
                eprintln!("adapter: the probe's state cannot be written: {e}");
            }
            Err(_) => {}
        }
    }

    /// Writes what gossip has told; `last` is what was written before.
    pub(crate) fn save_graph(&self, last: &mut Vec<u8>) {
        let graph = self.graph.encode();
        if graph != *last && self.hook.env.store.put(GRAPH, &graph).is_ok() {
            *last = graph;
        }
    }

    fn memory(&self) -> Memory {
        let mut held: Vec<[u8; 32]> = lock(&self.held).iter().copied().collect();
        held.extend(lock(&self.relays).keys());
        let coins = lock(&self.wallet);
        let coins = coins
            .coins
            .iter()
            .map(|(coin, sat)| (coin.to_string(), *sat));
        let secrets = self.hook.known_secrets();
        // One lock at a time.
        let proofs = lock(&self.proofs).remember();
        let fulfillments = self.hook.fulfillments.remember();
        Memory {
            version: VERSION,
            node_id: self.id.to_string(),
            draws: *lock(&self.hook.draws),
            secrets: secrets
                .into_iter()
                .map(|(hash, secret)| (Hexed(hash), Hexed(secret)))
                .collect(),
            book: lock(&self.hook.book).remember(),
            payee: lock(&self.hook.payee).remember(),
            proofs,
            fulfillments,
            coins: coins.collect(),
            used: lock(&self.used).iter().copied().collect(),
            invoices_paid: lock(&self.invoices_paid).iter().copied().collect(),
            held,
            addresses: lock(&self.addresses)
                .iter()
                .map(|(id, at)| (id.to_string(), at.clone()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_never_once_the_node_has_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state")).unwrap();
        assert_eq!(store.get("a").unwrap(), None);
        store.put("a", b"1").unwrap();
        store.put("a", b"22").unwrap();
        assert_eq!(store.get("a").unwrap().unwrap(), b"22");
        let successor = Store::open(dir.path().join("state")).unwrap();
        store.close();
        assert!(store.put("a", b"333").is_err());
        assert_eq!(successor.get("a").unwrap().unwrap(), b"22");
    }

    #[test]
    fn the_manager_is_written_with_the_channels_of_its_moment() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_owned()).unwrap();
        store.put_channel("a", vec![1]);
        store.put_channel("b", vec![1]);
        store.remove_monitor("b");
        let asked = std::cell::Cell::new(0);
        let (manager, monitors, changes) = store.together(|| {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                // LDK takes a message while the manager is written down.
                store.put_channel("a", vec![2]);
            }
            vec![asked.get()]
        });
        assert_eq!((manager, changes), (vec![2], 4));
        assert_eq!(monitors, [("a".to_owned(), vec![2])].into());
        assert!(store.has_news());
        lock(&store.monitors).written = changes;
        assert!(!store.has_news());
    }

    #[test]
    fn memory_manager_and_monitors_share_a_file() {
        let memory = Memory {
            node_id: "02".into(),
            draws: 7,
            held: vec![[3; 32]],
            ..Memory::default()
        };
        let monitors = [("a", vec![1]), ("b", vec![])].map(|(n, b)| (n.to_owned(), b));
        let memory = serde_json::to_vec(&memory).unwrap();
        let packed = pack(&memory, b"manager", &monitors.clone().into());
        let (read, rest) = unpack(&packed).unwrap();
        assert_eq!(
            (read.node_id.as_str(), read.draws, &read.held[..]),
            ("02", 7, &[[3; 32]][..])
        );
        let (manager, channels) = unpack_channels(rest).unwrap();
        assert_eq!(manager, b"manager");
        let channels: Vec<_> = channels.into_iter().map(|(n, b)| (n, b.to_vec())).collect();
        assert_eq!(channels, monitors);
        for cut in [0, 7, 8, 20] {
            assert!(unpack(&packed[..cut]).is_none(), "{cut}");
        }
        for cut in [0, 14, 20, rest.len() - 1] {
            assert!(unpack_channels(&rest[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_memory_of_another_version_is_refused() {
        let read = |text: &str| serde_json::from_str::<Memory>(text).unwrap();
        // One from before there were versions names none.
        for other in ["{}", r#"{"version": 2}"#] {
            let refused = read(other).check_version().unwrap_err();
            assert!(refused.message.contains("empty data_dir"), "{refused:?}");
        }
        let own = format!(r#"{{"version": {VERSION}}}"#);
        assert!(read(&own).check_version().is_ok());
    }
}
