//! What outlives the process: channels, what is held, and which onion went with which HTLC.
//!
//! Everything lies in `state/` below the node's folder. LDK's monitors have a file each, written
//! whenever LDK asks. LDK's manager and the probe's own memory share one file, so that neither can be
//! older than the other; it is written before a message goes out and before an event is told, so that
//! nobody has seen what a killed probe does not remember. Files are replaced by renaming. They are not
//! synced to the disk: a regtest node has to outlive its process, not the machine.
//!
//! Not remembered: AMP sets that are not settled (their HTLCs are failed), AMP invoices, pools and proofs,
//! and HTLCs that LDK has not sent yet.

use crate::node::book;
use crate::node::chain::Bitcoind;
use crate::node::env::{Env, NoRoutes, lock};
use crate::node::hexed::Hexed;
use crate::node::{Cm, Monitor, Node};
use crate::payee::{self, Held};
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
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// The file of the manager and the probe's memory.
const NODE: &str = "node";
/// What the file of a monitor is called, before its name.
const MONITOR: &str = "monitor-";
/// The file of what gossip has told.
const GRAPH: &str = "graph";
/// Draws that may have been made and not remembered: as many are left out.
const DRAWS: u64 = 1_000;

/// The folder of a node's state.
pub struct Store {
    dir: PathBuf,
    /// False once the node has stopped: whoever still runs must not write over its successor's.
    open: Mutex<bool>,
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
            open: Mutex::new(true),
        })
    }

    /// Puts a file there, whole or not at all.
    ///
    /// # Errors
    /// What the system says, and that the node has stopped.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Held while writing, so that nothing is written any more once it is closed.
        let open = lock(&self.open);
        if !*open {
            return Err(io::Error::other("the node has stopped"));
        }
        let new = self.dir.join(format!("{name}.new"));
        fs::write(&new, bytes)?;
        fs::rename(&new, self.dir.join(name))
    }

    /// A file's bytes, if it is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.dir.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Puts the state of a channel there.
    pub fn put_monitor(&self, name: &str, monitor: &ChannelMonitor<InMemorySigner>) -> bool {
        let put = self.put(&format!("{MONITOR}{name}"), &monitor.encode());
        if let Err(e) = &put
            && *lock(&self.open)
        {
            eprintln!("adapter: a channel's state cannot be written, and the channel rests: {e}");
        }
        put.is_ok()
    }

    /// Takes the state of a channel away that is over.
    pub fn remove_monitor(&self, name: &str) {
        // One that stays is read again, and does no harm.
        let _ = fs::remove_file(self.dir.join(format!("{MONITOR}{name}")));
    }

    /// From now on nothing is written.
    pub fn close(&self) {
        *lock(&self.open) = false;
    }

    fn monitors(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if is_monitor(&path) {
                found.push((path.clone(), fs::read(path)?));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, bytes)| bytes).collect())
    }
}

fn is_monitor(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(MONITOR) && !name.ends_with(".new"))
}

/// A hash or a secret.
type Key = Hexed<[u8; 32]>;

/// What the probe remembers beside LDK.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// Whose it is.
    node_id: String,
    draws: u64,
    /// By payment hash.
    secrets: Vec<(Key, Key)>,
    book: book::state::State,
    payee: payee::state::State,
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
    let (memory, manager) = unpack(&bytes).ok_or_else(|| broken("its file", "cut short"))?;
    if memory.node_id != node_id {
        return Err(broken("it is another node's", memory.node_id));
    }
    let stored = env.store.monitors().map_err(|e| broken("reading", e))?;
    let mut monitors = Vec::with_capacity(stored.len());
    for bytes in stored {
        let args = (&**keys, &**keys);
        let (_, monitor) =
            <(BlockLocator, ChannelMonitor<InMemorySigner>)>::read(&mut &bytes[..], args)
                .map_err(|e| broken("a channel", e))?;
        monitors.push(monitor);
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

/// Memory and manager in one file.
fn pack(memory: &[u8], manager: &[u8]) -> Vec<u8> {
    let length = u64::try_from(memory.len()).unwrap_or(u64::MAX);
    [&length.to_be_bytes()[..], memory, manager].concat()
}

fn unpack(bytes: &[u8]) -> Option<(Memory, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let (memory, manager) = rest.split_at_checked(length)?;
    Some((serde_json::from_slice(memory).ok()?, manager))
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
        if !self.cm.get_and_clear_needs_persistence() && !always {
            return;
        }
        // First LDK's: what the probe knows of an HTLC that LDK does not know does no harm.
        let manager = self.cm.encode();
        let memory = match serde_json::to_vec(&self.memory()) {
            Ok(memory) => memory,
            Err(e) => {
                eprintln!("adapter: the probe's memory cannot be written down: {e}");
                return;
            }
        };
        let store = &self.hook.env.store;
        if let Err(e) = store.put(NODE, &pack(&memory, &manager))
            && !self.is_stopping()
        {
            eprintln!("adapter: the probe's state cannot be written: {e}");
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
        Memory {
            node_id: self.id.to_string(),
            draws: *lock(&self.hook.draws),
            secrets: secrets
                .into_iter()
                .map(|(hash, secret)| (Hexed(hash), Hexed(secret)))
                .collect(),
            book: lock(&self.hook.book).remember(),
            payee: lock(&self.hook.payee).remember(),
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
        store.close();
        assert!(store.put("a", b"333").is_err());
        assert_eq!(store.get("a").unwrap().unwrap(), b"22");
        assert!(!dir.path().join("state/a.new").exists());
    }

    #[test]
    fn only_finished_monitors_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_owned()).unwrap();
        for name in ["monitor-b", "monitor-a", "node"] {
            store.put(name, name.as_bytes()).unwrap();
        }
        fs::write(dir.path().join("monitor-c.new"), "half").unwrap();
        let found = store.monitors().unwrap();
        assert_eq!(found, [b"monitor-a".to_vec(), b"monitor-b".to_vec()]);
    }

    #[test]
    fn memory_and_manager_share_a_file() {
        let memory = Memory {
            node_id: "02".into(),
            draws: 7,
            held: vec![[3; 32]],
            ..Memory::default()
        };
        let packed = pack(&serde_json::to_vec(&memory).unwrap(), b"manager");
        let (read, manager) = unpack(&packed).unwrap();
        assert_eq!(
            (read.node_id.as_str(), read.draws, &read.held[..]),
            ("02", 7, &[[3; 32]][..])
        );
        assert_eq!(manager, b"manager");
        for cut in [0, 7, 8, 20] {
            assert!(unpack(&packed[..cut]).is_none(), "{cut}");
        }
    }
}
