//! A cluster: one bitcoind and a node for each role, brought to the state that a topology asks
//! for, and taken down again.
//!
//! The order of steps is the one that was measured to be fast and free of races: blocks before
//! nodes, one funding transaction for all, channels in parallel, gossip checked and cured.

use crate::plan::Participant;
use crate::record::{Blame, Node, Phase};
use crate::wait::{Stop, WaitError, until};
use bitcoin::Txid;
use lnconform_adapters::{Adapter, Fault, Launch, Limits};
use lnconform_protocol::{Answer, ErrorKind};
use lnconform_regtest::chain::{Chain, ChainError, ChainInfo};
use lnconform_regtest::electrum_server::{self, ElectrumServer, Kind, ServerError, Servers};
use lnconform_regtest::ports::{self, Port};
use lnconform_regtest::run::RunDir;
use lnconform_vectors::case::{ServerName, Topology, TopologyChannel};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Deadline of a node operation unless its step says otherwise.
pub const OPERATION: Duration = Duration::from_secs(30);
/// Deadline of `node.start`.
pub const START: Duration = Duration::from_secs(60);
/// Deadline for each of the conditions a topology is brought to.
const READY: Duration = Duration::from_secs(30);
/// How long a channel that is there may be unusable before its ends are connected anew. LND takes
/// about two seconds by itself.
const UPDATE_LOST: Duration = Duration::from_secs(4);
/// How long no node may tell anything, once no payment is under way, before the next scenario of a
/// cluster begins: what comes later than that belongs to it.
const QUIET: Duration = Duration::from_millis(60);
/// How long nodes may take to be quiet, and payments to be over, between two scenarios.
const SETTLE: Duration = Duration::from_secs(2);
/// What a node that accepts a channel has on chain at least: LDK refuses an anchor channel when it
/// could not pay for a fee bump of its own (25000 sat are kept for each channel).
const RESERVE_SAT: u64 = 100_000;
/// Confirmations until every implementation here uses a channel.
const CONFIRMATIONS: u64 = 6;
/// The dialect of an adapter whose node can take its chain from bitcoind, and does unless told
/// otherwise.
const BITCOIND_TOO: &str = "chain/bitcoind";

/// A running node.
pub struct LiveNode {
    /// Its adapter.
    pub adapter: Adapter,
    /// What `node.start` answered, for `$role.node_id` and the like.
    pub started: Value,
    /// What `node.start` was asked for, so that a step can start the same node again.
    pub start: Value,
    /// The record for the result file.
    pub record: Node,
    /// The folder with its data and logs.
    pub dir: PathBuf,
    /// Between `node.start` and `node.stop`.
    pub running: bool,
    /// What the adapter says of how to get at its node: [{`name`, `value`}], for people.
    pub attach: Value,
    port: Port,
    launch: Launch,
    limits: Limits,
    /// How often its process was killed.
    kills: u32,
}

impl LiveNode {
    /// Asks the node something and takes anything but a result for a failure.
    ///
    /// # Errors
    /// [`ClusterError`], naming the role and the operation.
    pub fn ask(&self, op: &str, params: &Value, deadline: Duration) -> Result<Value, ClusterError> {
        let fail = |message: String, kind: Option<&str>, blame| ClusterError::Node {
            role: self.record.role.clone(),
            op: op.to_owned(),
            message,
            kind: kind.map(str::to_owned),
            blame,
        };
        match self.adapter.call(op, params, deadline) {
            Ok(Answer::Result(value)) => Ok(value),
            Ok(Answer::Error(e)) => {
                let kind = e.kind.as_str();
                Err(fail(
                    format!("{kind}: {}", e.message),
                    Some(kind),
                    Blame::Implementation,
                ))
            }
            Ok(Answer::Unsupported(u)) => Err(ClusterError::Unsupported {
                role: self.record.role.clone(),
                implementation: self.record.implementation.clone(),
                op: op.to_owned(),
                reason: u.reason,
            }),
            Err(fault) => {
                let kind = crate::codec::fault_kind(&fault);
                Err(fail(
                    fault.message.clone(),
                    Some(kind),
                    crate::codec::blame(&fault),
                ))
            }
        }
    }

    /// Ends the adapter's process as `kill -9` does, and with it the node and all that it had not
    /// stored. Another process takes its place and waits for `node.start`.
    ///
    /// # Errors
    /// When that does not start.
    fn kill(&mut self) -> Result<(), ClusterError> {
        self.kills += 1;
        let mut launch = self.launch.clone();
        launch.log = Some(self.dir.join(format!("adapter-{}.log", self.kills + 1)));
        // It touches nothing of the node's before it is asked to start one.
        let next = start_process(&self.record.role, launch, &self.limits)?;
        drop(std::mem::replace(&mut self.adapter, next));
        self.running = false;
        Ok(())
    }

    fn node_id(&self) -> &str {
        &self.record.node_id
    }
}

/// Why a cluster did not come up.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// bitcoind, or the machine below it.
    #[error("{0}")]
    Chain(#[from] ChainError),
    /// The Electrum server beside it.
    #[error("{0}")]
    Server(#[from] ServerError),
    /// The adapter of a role did not start.
    #[error("the adapter of {role} did not start: {}", fault.message)]
    Adapter {
        /// The role.
        role: String,
        /// What it did.
        fault: Box<Fault>,
    },
    /// An operation on a node failed.
    #[error("{role} failed at {op}: {message}")]
    Node {
        /// The role.
        role: String,
        /// The operation.
        op: String,
        /// In the implementation's words.
        message: String,
        /// The kind of the failure, as the ledger of expected failures knows it.
        kind: Option<String>,
        /// Whose fault.
        blame: Blame,
    },
    /// A node lacks what the topology asks of it: an operation, or an option of `node.start`.
    #[error("{implementation} ({role}) answered `unsupported` to {op}: {reason}")]
    Unsupported {
        /// The role.
        role: String,
        /// Who takes it.
        implementation: String,
        /// The operation.
        op: String,
        /// In the adapter's words.
        reason: String,
    },
    /// A condition did not come.
    #[error("{0}")]
    Wait(String),
    /// The run was stopped.
    #[error("the run was stopped")]
    Stopped,
    /// A folder or port of ours.
    #[error("{0}")]
    Environment(String),
}

impl ClusterError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            ClusterError::Chain(_)
            | ClusterError::Server(_)
            | ClusterError::Environment(_)
            | ClusterError::Stopped => Blame::Environment,
            ClusterError::Adapter { fault, .. } => crate::codec::blame(fault),
            ClusterError::Node { blame, .. } => *blame,
            ClusterError::Wait(_) | ClusterError::Unsupported { .. } => Blame::Implementation,
        }
    }
}

impl From<WaitError<ClusterError>> for ClusterError {
    fn from(error: WaitError<ClusterError>) -> Self {
        match error {
            WaitError::Probe(e) => e,
            WaitError::Stopped(_) => ClusterError::Stopped,
            WaitError::Deadline { .. } => ClusterError::Wait(error.to_string()),
        }
    }
}

/// A running cluster.
pub struct Cluster {
    /// Its chain.
    pub chain: Chain,
    /// The Electrum server from which some of the nodes take the chain.
    pub electrum: Option<ElectrumServer>,
    /// Role to node.
    pub nodes: BTreeMap<String, LiveNode>,
    /// Where the time went so far.
    pub phases: Vec<Phase>,
    /// The folder that holds everything of this cluster.
    pub dir: PathBuf,
    /// The last event that each role had told when the scenario began that now has the cluster.
    pub told: BTreeMap<String, Value>,
    /// The payment hashes that were met in the scenarios before that one. What a node still tells
    /// of these payments is not for it.
    pub earlier: HashSet<String>,
    /// What the channels held at first.
    opening: Balances,
    stop: Stop,
}

/// What a node holds in its channels with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Balance {
    /// All of them usable.
    usable: bool,
    /// Millisatoshi.
    capacity: u64,
    /// Millisatoshi.
    outbound: u64,
    /// Out- and inbound together, millisatoshi: less than at first while a payment is held.
    both: u64,
    /// How many channels there are.
    channels: u64,
    /// HTLCs that are under way, where the node counts them.
    htlcs: u64,
}

/// By role and the peer's node id.
type Balances = BTreeMap<(String, String), Balance>;

/// What a cluster is made of.
pub struct Recipe<'a> {
    /// Folder of the run, on the machine's temporary disk.
    pub run: &'a RunDir,
    /// Name of the cluster within the run.
    pub name: &'a str,
    /// The bitcoind to use.
    pub bitcoind: &'a Path,
    /// The Electrum servers at hand, for nodes that need one.
    pub electrum: Option<&'a Servers>,
    /// Nodes and channels.
    pub topology: &'a Topology,
    /// Who takes each role.
    pub roles: &'a BTreeMap<String, usize>,
    /// The people that `roles` points to.
    pub participants: &'a [Participant],
    /// Limits for the adapters.
    pub limits: &'a Limits,
    /// Seed of the unit.
    pub seed: u64,
    /// Stops the waiting.
    pub stop: &'a Stop,
}

impl Cluster {
    /// Brings a cluster up.
    ///
    /// # Errors
    /// [`ClusterError`]; whatever had started is stopped. The folder is left for the evidence.
    pub fn start(recipe: &Recipe<'_>) -> Result<Self, ClusterError> {
        let clock = Instant::now();
        let dir = recipe
            .run
            .folder(recipe.name)
            .map_err(|e| ClusterError::Environment(e.to_string()))?;
        // The adapters start beside bitcoind, but it mines its first blocks before the nodes
        // exist: a node fetches every block after its birth.
        let (chain, adapters) = std::thread::scope(|scope| {
            let chain = scope.spawn(|| start_chain(recipe));
            let adapters = start_adapters(recipe, &dir);
            (join(chain), adapters)
        });
        let (chain, electrum) = chain?;
        let mut source = json!({"bitcoind": access(chain.info())});
        if let Some(server) = &electrum {
            source["electrum"] = json!(server.url());
        }
        let nodes = start_nodes(recipe, &source, adapters?)?;
        let mut cluster = Self {
            chain,
            electrum,
            nodes,
            phases: Vec::new(),
            dir,
            told: BTreeMap::new(),
            earlier: HashSet::new(),
            opening: Balances::new(),
            stop: recipe.stop.clone(),
        };
        cluster.phase("start", clock);
        let clock = Instant::now();
        cluster.fund(recipe.topology)?;
        cluster.phase("fund", clock);
        let clock = Instant::now();
        cluster.open(recipe.topology)?;
        cluster.phase("open", clock);
        let clock = Instant::now();
        cluster.connect(recipe.topology)?;
        if complete(recipe.topology) {
            cluster.complete_graph(recipe.topology)?;
            cluster.know_each_other()?;
        }
        cluster.opening = cluster.balances(recipe.topology)?;
        // What went before the first scenario is not for it either. A node that tells no events
        // shows that in a step that asks for one.
        let _ = cluster.listen(Duration::from_millis(1));
        cluster.phase("graph", clock);
        Ok(cluster)
    }

    /// Makes the cluster ready for one more scenario: waits until every node is quiet and no
    /// payment is under way. With `graph`, for after a failure, every node also has to know every
    /// announced channel still: some take one out of theirs because of a payment.
    ///
    /// # Errors
    /// Why the cluster is not as a fresh one would be, and has to be thrown away: a node is gone,
    /// a channel is not usable or has moved by more than a quarter of its capacity, a payment is
    /// still held, or a graph lacks a channel.
    pub fn hand_over(&mut self, topology: &Topology, graph: bool) -> Result<(), String> {
        // Payments end first, and their events come with that; only then does quiet mean something. One
        // that begins anew meanwhile is seen at the end.
        self.as_at_first(topology)?;
        self.listen(QUIET)?;
        if graph && complete(topology) {
            let gaps = self.gaps(topology).map_err(|e| e.to_string())?;
            if !gaps.is_empty() {
                return Err(said(&gaps));
            }
        }
        self.as_at_first(topology)
    }

    /// Waits until no payment is under way, and says so where the channels are not fit for more.
    fn as_at_first(&self, topology: &Topology) -> Result<(), String> {
        until("the channels as at first", SETTLE, &self.stop, || {
            let now = self.balances(topology)?;
            Ok::<_, ClusterError>(drifted(&self.opening, &now))
        })
        .map_err(|e| e.to_string())?
    }

    /// Reads the events of all nodes until each is quiet for so long.
    fn listen(&mut self, quiet: Duration) -> Result<(), String> {
        let told = &self.told;
        let heard = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .nodes
                .iter()
                .map(|(role, node)| {
                    scope.spawn(move || (role, listen(node, told.get(role).cloned(), quiet)))
                })
                .collect();
            threads.into_iter().map(join).collect::<Vec<_>>()
        });
        for (role, heard) in heard {
            let (last, hashes) = heard.map_err(|why| format!("{role}: {why}"))?;
            self.earlier.extend(hashes);
            if let Some(last) = last {
                self.told.insert(role.clone(), last);
            }
        }
        Ok(())
    }

    /// What every node holds in its channels of the topology.
    fn balances(&self, topology: &Topology) -> Result<Balances, ClusterError> {
        let mut found = Balances::new();
        for (role, node) in &self.nodes {
            let ends = |c: &lnconform_vectors::case::TopologyChannel| {
                let (from, to) = (c.from.as_str(), c.to.as_str());
                match role.as_str() {
                    role if role == from => Some(to.to_owned()),
                    role if role == to => Some(from.to_owned()),
                    _ => None,
                }
            };
            let peers: BTreeSet<String> = topology.channels.iter().filter_map(ends).collect();
            if peers.is_empty() {
                continue;
            }
            let list = node.ask("channel.list", &json!({}), OPERATION)?;
            for peer in peers {
                let id = self.node(&peer)?.node_id().to_owned();
                let with_peer = list.as_array().into_iter().flatten();
                let with_peer = with_peer.filter(|c| c["peer"].as_str() == Some(&id));
                let mut balance = Balance {
                    usable: true,
                    capacity: 0,
                    outbound: 0,
                    both: 0,
                    channels: 0,
                    htlcs: 0,
                };
                for channel in with_peer {
                    let number = |field: &str| -> u64 {
                        let text = channel[field].as_str();
                        text.and_then(|t| t.parse().ok()).unwrap_or(0)
                    };
                    balance.usable &= channel["usable"] == json!(true);
                    balance.capacity += number("capacity_sat").saturating_mul(1000);
                    balance.outbound += number("outbound_msat");
                    balance.both += number("outbound_msat") + number("inbound_msat");
                    balance.channels += 1;
                    balance.htlcs += channel["htlcs"].as_u64().unwrap_or(0);
                }
                found.insert((role.clone(), id), balance);
            }
        }
        Ok(found)
    }

    fn phase(&mut self, name: &str, since: Instant) {
        self.phases.push(Phase::new(name, since.elapsed()));
    }

    /// The node of a role.
    ///
    /// # Errors
    /// When the topology has no such role, which the loader has already refused.
    pub fn node(&self, role: &str) -> Result<&LiveNode, ClusterError> {
        of(&self.nodes, role)
    }

    /// Kills the process of a role's adapter, and the node in it; `node.start` starts it again.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn kill(&mut self, role: &str) -> Result<(), ClusterError> {
        let node = self.nodes.get_mut(role);
        let missing = || ClusterError::Environment(format!("the topology has no role {role}"));
        node.ok_or_else(missing)?.kill()?;
        // The next process counts its events from 1.
        self.told.remove(role);
        Ok(())
    }

    /// Mines `blocks` blocks and waits until every node that runs has seen them.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn mine(&mut self, blocks: u64) -> Result<u64, ClusterError> {
        let height = self.chain.mine(blocks)?;
        self.sync(height)?;
        Ok(height)
    }

    fn sync(&self, height: u64) -> Result<(), ClusterError> {
        each(&self.nodes, |node| {
            if !node.running {
                return Ok(());
            }
            node.ask("chain.sync", &json!({"height": height}), OPERATION)
                .map(drop)
        })
    }

    fn fund(&mut self, topology: &Topology) -> Result<(), ClusterError> {
        let wishes = wishes(topology);
        let mut outputs = Vec::new();
        for (role, wish) in &wishes {
            let answer = self
                .node(role)?
                .ask("wallet.new_address", &json!({}), OPERATION)?;
            let address = text(&answer, "address", role, "wallet.new_address")?;
            outputs.push((address.to_owned(), *wish));
        }
        let outputs: Vec<(&str, u64)> = outputs.iter().map(|(a, sat)| (a.as_str(), *sat)).collect();
        if !outputs.is_empty() {
            self.chain.fund(&outputs)?;
        }
        self.mine(1)?;
        let stop = self.stop.clone();
        for (role, wish) in &wishes {
            let node = self.node(role)?;
            until(&format!("the balance of {role}"), READY, &stop, || {
                let answer = node.ask("wallet.balance", &json!({}), OPERATION)?;
                let sat: u64 = text(&answer, "confirmed_sat", role, "wallet.balance")?
                    .parse()
                    .unwrap_or(0);
                Ok::<_, ClusterError>(if sat >= *wish {
                    Ok(())
                } else {
                    Err(format!("{sat} of {wish} sat confirmed"))
                })
            })?;
        }
        Ok(())
    }

    fn open(&mut self, topology: &Topology) -> Result<(), ClusterError> {
        if topology.channels.is_empty() {
            return Ok(());
        }
        // Channels of one opener one after another (its wallet picks coins), openers in parallel.
        let openers: BTreeSet<&str> = topology.channels.iter().map(|c| c.from.as_str()).collect();
        let nodes = &self.nodes;
        let opened = std::thread::scope(|scope| {
            let threads: Vec<_> = openers
                .iter()
                .map(|opener| scope.spawn(|| open_from(nodes, opener, topology)))
                .collect();
            threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()
        })?;
        let funding: Vec<Txid> = opened.into_iter().flatten().collect();
        self.chain.mempool_contains(&funding, READY)?;
        self.mine(CONFIRMATIONS)?;
        let stop = self.stop.clone();
        for (role, node) in &self.nodes {
            let wanted = topology
                .channels
                .iter()
                .filter(|c| c.from == *role || c.to == *role)
                .count();
            let mut waits_since = Instant::now();
            until(&format!("channels of {role} usable"), READY, &stop, || {
                let list = node.ask("channel.list", &json!({}), OPERATION)?;
                let (usable, others): (Vec<&Value>, Vec<&Value>) = list
                    .as_array()
                    .into_iter()
                    .flatten()
                    .partition(|c| c["usable"] == json!(true));
                if usable.len() >= wanted {
                    return Ok(Ok(()));
                }
                if waits_since.elapsed() > UPDATE_LOST {
                    self.reconnect(topology, role, &others)?;
                    waits_since = Instant::now();
                }
                let count = usable.len();
                Ok::<_, ClusterError>(Err(format!("{count} of {wanted} usable: {list}")))
            })?;
        }
        Ok(())
    }

    /// Connects the ends of a role's channels anew. A channel is not usable to LND without its peer's
    /// update, which it drops if it arrives too early, and which the peer sends to a new connection
    /// again.
    fn reconnect(
        &self,
        topology: &Topology,
        role: &str,
        channels: &[&Value],
    ) -> Result<(), ClusterError> {
        for channel in topology
            .channels
            .iter()
            .filter(|c| c.from == role || c.to == role)
        {
            let other = if channel.from == role {
                &channel.to
            } else {
                &channel.from
            };
            let id = self.node(other)?.node_id();
            if channels.iter().any(|c| c["peer"].as_str() == Some(id)) {
                self.connect_anew(&channel.from, &channel.to)?;
            }
        }
        Ok(())
    }

    fn connect_anew(&self, from: &str, to: &str) -> Result<(), ClusterError> {
        let peer = json!({"node_id": self.node(to)?.node_id()});
        self.node(from)?.ask("peer.disconnect", &peer, OPERATION)?;
        self.connect_pair(from, to)
    }

    fn connect(&self, topology: &Topology) -> Result<(), ClusterError> {
        for [from, to] in &topology.connect {
            self.connect_pair(from, to)?;
        }
        Ok(())
    }

    fn connect_pair(&self, from: &str, to: &str) -> Result<(), ClusterError> {
        let peer = self.node(to)?;
        let address = text(&peer.started, "address", to, "node.start")?;
        let params = json!({"node_id": peer.node_id(), "address": address});
        self.node(from)?
            .ask("peer.connect", &params, OPERATION)
            .map(drop)
    }

    /// Waits until every node knows every announced channel with both directions.
    ///
    /// An update that arrives before its channel's announcement is dropped, and nobody sends it
    /// again; reconnecting the two ends of that channel makes them. What does not help at once is not
    /// done dozens of times: a node asks only its first few connections for all they know. Every other
    /// time the node that lacks an update is connected anew to its peers, for an update that both
    /// ends have long sent.
    fn complete_graph(&self, topology: &Topology) -> Result<(), ClusterError> {
        /// How long gossip may take before the first cure; twice as long before each later one, up
        /// to eight times.
        const PATIENCE: Duration = Duration::from_millis(400);
        if topology.channels.iter().all(|c| !c.announce) {
            return Ok(());
        }
        let mut quiet_since = Instant::now();
        let mut cures = 0_u32;
        until(
            "the complete graph at every node",
            READY,
            &self.stop,
            || {
                let lacking = self.gaps(topology)?;
                if lacking.is_empty() {
                    return Ok(Ok(()));
                }
                if quiet_since.elapsed() > PATIENCE * (1 << cures.min(3)) {
                    let of_channel = |c: &TopologyChannel| (c.from.clone(), c.to.clone());
                    let pairs: BTreeSet<(String, String)> = if cures.is_multiple_of(2) {
                        lacking.iter().map(|gap| of_channel(gap.channel)).collect()
                    } else {
                        let poor: BTreeSet<&str> = lacking.iter().map(|gap| gap.role).collect();
                        let poor = |role: &String| poor.contains(role.as_str());
                        let near = |c: &&TopologyChannel| poor(&c.from) || poor(&c.to);
                        topology
                            .channels
                            .iter()
                            .filter(near)
                            .map(of_channel)
                            .collect()
                    };
                    for (from, to) in &pairs {
                        self.connect_anew(from, to)?;
                    }
                    cures += 1;
                    quiet_since = Instant::now();
                }
                Ok::<_, ClusterError>(Err(said(&lacking)))
            },
        )?;
        Ok(())
    }

    /// The announced channels that nodes know not at all or in one direction only.
    fn gaps<'a>(&'a self, topology: &'a Topology) -> Result<Vec<Gap<'a>>, ClusterError> {
        let mut gaps = Vec::new();
        for (role, node) in &self.nodes {
            let graph = node.ask("graph.channels", &json!({}), OPERATION)?;
            for channel in topology.channels.iter().filter(|c| c.announce) {
                let ends = [
                    self.node(&channel.from)?.node_id(),
                    self.node(&channel.to)?.node_id(),
                ];
                let directions = directions(&graph, ends);
                if directions < 2 {
                    gaps.push(Gap {
                        role,
                        channel,
                        directions,
                    });
                }
            }
        }
        Ok(gaps)
    }

    /// Waits a while until the nodes that have announced themselves know so of each other: without
    /// the announcement, LND does not know that a payee several hops away takes AMP.
    ///
    /// Who announces itself later (LDK does after half a minute) is not waited for, and what is
    /// still lacking in the end is not the cluster's failure: most payments do without.
    fn know_each_other(&self) -> Result<(), ClusterError> {
        const PATIENCE: Duration = Duration::from_secs(3);
        let look = |node: &LiveNode| match node.ask("graph.nodes", &json!({}), OPERATION) {
            Err(ClusterError::Unsupported { .. }) => Ok(BTreeSet::new()),
            nodes => nodes.map(|nodes| announced(&nodes)),
        };
        let waited = until("the announcements of nodes", PATIENCE, &self.stop, || {
            let known: Vec<(&LiveNode, BTreeSet<String>)> = self
                .nodes
                .values()
                .map(|node| Ok((node, look(node)?)))
                .collect::<Result<_, ClusterError>>()?;
            Ok::<_, ClusterError>(lacking(known.iter().map(|(n, k)| (n.node_id(), k))))
        });
        match waited {
            Ok(()) | Err(WaitError::Deadline { .. }) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Stops every node and the chain. Nodes that do not go within 5 s are killed.
    pub fn stop(self) -> Vec<Phase> {
        let clock = Instant::now();
        let Self {
            chain,
            electrum,
            nodes,
            mut phases,
            ..
        } = self;
        std::thread::scope(|scope| {
            for (_, node) in nodes {
                // How an adapter goes down is judged by `adapter check`, not here.
                scope.spawn(move || drop(node.adapter.shutdown()));
            }
        });
        drop(electrum);
        chain.stop();
        phases.push(Phase::new("stop", clock.elapsed()));
        phases
    }
}

/// What a node does not know of a channel.
struct Gap<'a> {
    role: &'a str,
    channel: &'a TopologyChannel,
    /// How many it knows.
    directions: u64,
}

fn said(gaps: &[Gap<'_>]) -> String {
    let said = gaps.iter().map(|gap| {
        let (from, to) = (&gap.channel.from, &gap.channel.to);
        format!(
            "{} knows {} directions of {from}-{to}",
            gap.role, gap.directions
        )
    });
    said.collect::<Vec<_>>().join(", ")
}

/// Whether every node of a topology has to know all announced channels.
fn complete(topology: &Topology) -> bool {
    topology.ready.iter().any(|r| r == "graph-complete")
}

/// What each role gets on chain, satoshi; roles that get nothing are left out.
fn wishes(topology: &Topology) -> BTreeMap<&str, u64> {
    let accepts = |role: &str| topology.channels.iter().any(|c| c.to == role);
    let wish = |(role, node): (&'_ String, &lnconform_vectors::case::TopologyNode)| {
        let least = if accepts(role) { RESERVE_SAT } else { 0 };
        node.funded_sat.max(least)
    };
    let all = topology.nodes.iter().map(|n| (n.0.as_str(), wish(n)));
    all.filter(|(_, sat)| *sat > 0).collect()
}

/// Whether the channels are still fit for another scenario. `Err` is a state that may pass, and the
/// inner error one that does not.
fn drifted(opening: &Balances, now: &Balances) -> Result<Result<(), String>, String> {
    for ((role, peer), before) in opening {
        let Some(now) = now.get(&(role.clone(), peer.clone())) else {
            return Ok(Err(format!("{role} has no channel with {peer} any more")));
        };
        let peer = &peer[..peer.len().min(8)];
        if !now.usable || now.capacity != before.capacity {
            return Err(format!("a channel of {role} with {peer} is not usable"));
        }
        // Some nodes count whole satoshi, and so leave one away on either side.
        let whole = 2000 * before.channels;
        if now.htlcs > 0 || now.both.abs_diff(before.both) > whole {
            return Err(format!(
                "a payment is under way: the channels of {role} with {peer} hold {} msat, not {}",
                now.both, before.both
            ));
        }
        let moved = now.outbound.abs_diff(before.outbound);
        if moved > before.capacity / 4 {
            return Ok(Err(format!(
                "{moved} msat have moved between {role} and {peer}, more than a quarter of what \
                 their channels hold"
            )));
        }
    }
    Ok(Ok(()))
}

/// Reads the events of a node after the last that is known until it is quiet for so long. Answers
/// the last one's number, and the payment hashes that were told.
fn listen(
    node: &LiveNode,
    mut last: Option<Value>,
    quiet: Duration,
) -> Result<(Option<Value>, HashSet<String>), String> {
    let end = Instant::now() + SETTLE;
    let mut hashes = HashSet::new();
    loop {
        let mut params = json!({"deadline_ms": ms(quiet)});
        if let Some(last) = &last {
            params["after"] = last.clone();
        }
        match node.adapter.call("event.next", &params, OPERATION) {
            Ok(Answer::Result(event)) => {
                payment_hashes(&event, &mut hashes);
                last = Some(event["seq"].clone());
            }
            Ok(Answer::Error(e)) if e.kind == ErrorKind::Timeout => return Ok((last, hashes)),
            Ok(Answer::Unsupported(_)) => return Ok((last, hashes)),
            Ok(Answer::Error(e)) => return Err(format!("event.next: {}", e.message)),
            Err(fault) => return Err(fault.message),
        }
        if Instant::now() > end {
            return Err("its events do not cease".into());
        }
    }
}

/// The payment hashes that stand anywhere in an answer.
pub(crate) fn payment_hashes(answer: &Value, found: &mut HashSet<String>) {
    match answer {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(hash) if key == "payment_hash" => {
                        found.insert(hash.to_owned());
                    }
                    _ => payment_hashes(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|v| payment_hashes(v, found)),
        _ => {}
    }
}

/// Opens the channels of one role and answers their funding transaction ids.
fn open_from(
    nodes: &BTreeMap<String, LiveNode>,
    opener: &str,
    topology: &Topology,
) -> Result<Vec<Txid>, ClusterError> {
    let node = of(nodes, opener)?;
    let mut ids = Vec::new();
    for channel in topology.channels.iter().filter(|c| c.from == opener) {
        let peer = of(nodes, &channel.to)?;
        let answer = node.ask(
            "channel.open",
            &json!({
                "node_id": peer.node_id(),
                "address": text(&peer.started, "address", &channel.to, "node.start")?,
                "capacity_sat": channel.capacity_sat.to_string(),
                "push_msat": channel.push_msat.to_string(),
                "announce": channel.announce,
            }),
            OPERATION,
        )?;
        let outpoint = text(&answer, "funding", opener, "channel.open")?;
        let txid = outpoint.split(':').next().unwrap_or_default();
        ids.push(txid.parse().map_err(|e| ClusterError::Node {
            role: opener.to_owned(),
            op: "channel.open".into(),
            message: format!("`{outpoint}` is not TXID:VOUT: {e}"),
            kind: Some("mismatch".into()),
            blame: Blame::Implementation,
        })?);
    }
    Ok(ids)
}

fn of<'a>(nodes: &'a BTreeMap<String, LiveNode>, role: &str) -> Result<&'a LiveNode, ClusterError> {
    nodes
        .get(role)
        .ok_or_else(|| ClusterError::Environment(format!("the topology has no role {role}")))
}

/// The nodes of a graph with an announcement.
fn announced(nodes: &Value) -> BTreeSet<String> {
    let all = nodes.as_array().into_iter().flatten();
    all.filter(|n| n["features"].as_str().is_some_and(|f| !f.is_empty()))
        .filter_map(|n| n["node_id"].as_str().map(str::to_owned))
        .collect()
}

/// Whether all that know their own announcement know each other's.
fn lacking<'a>(known: impl Iterator<Item = (&'a str, &'a BTreeSet<String>)>) -> Result<(), String> {
    let prompt: Vec<_> = known.filter(|(id, known)| known.contains(*id)).collect();
    for (id, known) in &prompt {
        if let Some((other, _)) = prompt.iter().find(|(other, _)| !known.contains(*other)) {
            return Err(format!("{id} does not know the announcement of {other}"));
        }
    }
    Ok(())
}

fn directions(graph: &Value, ends: [&str; 2]) -> u64 {
    let of_these = |channel: &&Value| {
        channel["nodes"].as_array().is_some_and(|nodes| {
            ends.iter()
                .all(|e| nodes.iter().any(|n| n.as_str() == Some(e)))
        })
    };
    graph
        .as_array()
        .and_then(|channels| channels.iter().find(of_these))
        .and_then(|channel| channel["directions"].as_u64())
        .unwrap_or(0)
}

/// The Electrum server that a topology is to have, if one at all.
pub(crate) fn server(topology: &Topology) -> Kind {
    match topology.server {
        None | Some(ServerName::Ex) => Kind::Ex,
        Some(ServerName::Electrs) => Kind::Electrs,
    }
}

/// Starts the chain, and the Electrum server beside it where a node asks for one.
fn start_chain(recipe: &Recipe<'_>) -> Result<(Chain, Option<ElectrumServer>), ClusterError> {
    let people = recipe.roles.iter().map(|(role, &who)| (role, who));
    let mut asking = people.filter(|(role, who)| {
        let has = |dialect: &str| recipe.participants[*who].dialects.contains(dialect);
        let wish = recipe.topology.nodes.get(*role);
        wish.is_some_and(|node| node.chain.is_some())
            || (has(electrum_server::DIALECT) && !has(BITCOIND_TOO))
    });
    let Some((role, who)) = asking.next() else {
        let chain = Chain::start(recipe.run, recipe.bitcoind, recipe.name)?;
        return Ok((chain, None));
    };
    let kind = server(recipe.topology);
    let program = match recipe.electrum.map(|servers| servers.get(kind)) {
        Some(Ok(program)) => program,
        missing => {
            let why = match missing {
                Some(Err(why)) => why.to_owned(),
                _ => kind.missing(),
            };
            return Err(ClusterError::Environment(format!(
                "{} ({role}) takes its chain from an Electrum server: {why}",
                recipe.participants[who].name,
            )));
        }
    };
    let options = electrum_server::BITCOIND_OPTIONS;
    let chain = Chain::start_with(recipe.run, recipe.bitcoind, recipe.name, options)?;
    let server = ElectrumServer::start(recipe.run, program, chain.info(), recipe.name)?;
    Ok((chain, Some(server)))
}

/// Starts the adapter of every role; no node exists yet.
fn start_adapters(recipe: &Recipe<'_>, dir: &Path) -> Result<Vec<LiveNode>, ClusterError> {
    let roles: Vec<&String> = recipe.topology.nodes.keys().collect();
    let ports =
        ports::reserve(roles.len()).map_err(|e| ClusterError::Environment(e.to_string()))?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = roles
            .into_iter()
            .zip(ports)
            .map(|(role, port)| scope.spawn(move || start_adapter(recipe, dir, role, port)))
            .collect();
        threads.into_iter().map(join).collect()
    })
}

fn start_adapter(
    recipe: &Recipe<'_>,
    dir: &Path,
    role: &str,
    port: Port,
) -> Result<LiveNode, ClusterError> {
    let clock = Instant::now();
    let node_dir = dir.join(role);
    std::fs::create_dir_all(&node_dir).map_err(|e| {
        ClusterError::Environment(format!(
            "the folder {} cannot be made: {e}",
            node_dir.display()
        ))
    })?;
    let participant = &recipe.participants[recipe.roles[role]];
    let Some(mut launch) = participant.node.clone() else {
        return Err(ClusterError::Environment(format!(
            "{} drives no node",
            participant.name
        )));
    };
    let log = node_dir.join("adapter.log");
    launch.log = Some(log.clone());
    let adapter = start_process(role, launch.clone(), recipe.limits)?;
    let version = adapter.hello().implementation.version.clone();
    Ok(LiveNode {
        adapter,
        started: Value::Null,
        start: Value::Null,
        record: Node {
            role: role.to_owned(),
            implementation: participant.name.clone(),
            version,
            node_id: String::new(),
            started_ms: ms(clock.elapsed()),
            cluster: None,
            log: log.to_string_lossy().into_owned(),
        },
        dir: node_dir,
        running: false,
        attach: Value::Null,
        port,
        launch,
        limits: recipe.limits.clone(),
        kills: 0,
    })
}

fn start_process(role: &str, launch: Launch, limits: &Limits) -> Result<Adapter, ClusterError> {
    Adapter::start(launch, limits.clone()).map_err(|fault| ClusterError::Adapter {
        role: role.to_owned(),
        fault: Box::new(fault),
    })
}

/// Starts the nodes, all at the same time.
fn start_nodes(
    recipe: &Recipe<'_>,
    chain: &Value,
    adapters: Vec<LiveNode>,
) -> Result<BTreeMap<String, LiveNode>, ClusterError> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = adapters
            .into_iter()
            .map(|node| scope.spawn(move || start_node(recipe, chain, node)))
            .collect();
        threads.into_iter().map(join).collect()
    })
}

fn start_node(
    recipe: &Recipe<'_>,
    chain: &Value,
    mut node: LiveNode,
) -> Result<(String, LiveNode), ClusterError> {
    let clock = Instant::now();
    let role = node.record.role.clone();
    let wish = &recipe.topology.nodes[&role];
    let mut options = Map::new();
    if wish.forwards {
        options.insert("forwards".into(), json!(true));
    }
    let announced = wish.announced
        || wish.forwards
        || recipe
            .topology
            .channels
            .iter()
            .any(|c| c.announce && (c.from == role || c.to == role));
    options.insert("announce".into(), json!(announced));
    options.extend(wish.options.clone());
    let alone = json!({"electrum": chain["electrum"]});
    let chain = if wish.chain.is_some() { &alone } else { chain };
    let params = json!({
        "network": "regtest",
        "seed": seed(recipe.seed, &role),
        "data_dir": node.dir.join("data"),
        "chain": chain,
        "listen": format!("127.0.0.1:{}", node.port.number()),
        "alias": format!("lnconform-{role}"),
        "options": options,
    });
    node.started = node.ask("node.start", &params, START)?;
    node.record.node_id = text(&node.started, "node_id", &role, "node.start")?.to_owned();
    node.start = params;
    node.running = true;
    node.attach = node.started["attach"].clone();
    // What the adapter and the node took, without the wait for bitcoind in between.
    node.record.started_ms += ms(clock.elapsed());
    Ok((role, node))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A chain as `node.start` takes it.
fn access(chain: &ChainInfo) -> Value {
    json!({
        "rpc_host": chain.rpc_host,
        "rpc_port": chain.rpc_port,
        "user": chain.user,
        "password": chain.password,
        "zmq_block": chain.zmq_block,
        "zmq_tx": chain.zmq_tx,
        "p2p_port": chain.p2p.port(),
    })
}

/// 32 bytes drawn from the seed of the unit for a role, or for something else with a name, in hex.
pub(crate) fn seed(unit: u64, role: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(
        Sha256::new()
            .chain_update(unit.to_be_bytes())
            .chain_update(role)
            .finalize(),
    )
}

/// A string field of an answer; its absence is the adapter's fault.
fn text<'a>(answer: &'a Value, field: &str, role: &str, op: &str) -> Result<&'a str, ClusterError> {
    answer[field].as_str().ok_or_else(|| ClusterError::Node {
        role: role.to_owned(),
        op: op.to_owned(),
        message: format!("the answer has no string `{field}`: {answer}"),
        kind: Some("mismatch".into()),
        blame: Blame::Implementation,
    })
}

fn each(
    nodes: &BTreeMap<String, LiveNode>,
    job: impl Fn(&LiveNode) -> Result<(), ClusterError> + Sync,
) -> Result<(), ClusterError> {
    let job = &job;
    std::thread::scope(|scope| {
        let threads: Vec<_> = nodes
            .values()
            .map(|node| scope.spawn(move || job(node)))
            .collect();
        threads.into_iter().try_for_each(join)
    })
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    // A panic in a thread of ours is a fault of the harness and goes on to the top.
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balances(usable: bool, outbound: u64, both: u64) -> Balances {
        let balance = Balance {
            usable,
            capacity: 10_000,
            outbound,
            both,
            channels: 1,
            htlcs: 0,
        };
        [(("payer".to_owned(), "02aa".to_owned()), balance)].into()
    }

    #[test]
    fn a_channel_may_move_by_a_quarter_of_its_capacity() {
        let opening = balances(true, 5000, 9800);
        let good = |now: &Balances| drifted(&opening, now) == Ok(Ok(()));
        assert!(good(&opening));
        assert!(good(&balances(true, 2500, 7800)));
        assert!(good(&balances(true, 7500, 9800)));
        // These do not pass by waiting.
        for now in [
            balances(true, 2499, 9800),
            balances(true, 7501, 9800),
            Balances::new(),
        ] {
            assert!(matches!(drifted(&opening, &now), Ok(Err(_))), "{now:?}");
        }
        // These may: a payment is held, or peers are about to connect again.
        let mut counted = opening.clone();
        counted.values_mut().for_each(|b| b.htlcs = 1);
        for now in [
            balances(true, 5000, 7799),
            balances(false, 5000, 9800),
            counted,
        ] {
            assert!(drifted(&opening, &now).is_err(), "{now:?}");
        }
    }

    #[test]
    fn who_has_announced_itself_is_to_know_the_others() {
        let graph = json!([{"node_id": "a", "features": "80"}, {"node_id": "b"}, {"node_id": "c", "features": ""}]);
        assert_eq!(announced(&graph), ["a".to_owned()].into());
        let known = |graphs: &[(&str, &str)]| {
            let graphs: Vec<(&str, BTreeSet<String>)> = graphs
                .iter()
                .map(|(id, known)| (*id, known.chars().map(String::from).collect()))
                .collect();
            lacking(graphs.iter().map(|(id, known)| (*id, known)))
        };
        assert_eq!(known(&[("a", "ab"), ("b", "ab")]), Ok(()));
        // c has not announced itself, and need neither know nor be known.
        assert_eq!(known(&[("a", "ab"), ("b", "ab"), ("c", "")]), Ok(()));
        let error = known(&[("a", "ab"), ("b", "b")]).unwrap_err();
        assert_eq!(error, "b does not know the announcement of a");
    }

    #[test]
    fn who_accepts_a_channel_can_pay_for_its_fees() {
        let text = json!({
            "nodes": {"a": {"funded_sat": 20_000_000}, "b": {}, "c": {"funded_sat": 5}, "d": {}},
            "channels": [
                {"from": "a", "to": "b", "capacity_sat": 1000},
                {"from": "a", "to": "c", "capacity_sat": 1000},
            ],
        });
        let topology: Topology = serde_json::from_value(text).unwrap();
        let wanted = [("a", 20_000_000), ("b", RESERVE_SAT), ("c", RESERVE_SAT)];
        assert_eq!(wishes(&topology), wanted.into());
    }

    #[test]
    fn payment_hashes_are_found_wherever_they_stand() {
        let mut found = HashSet::new();
        let answer = json!({
            "payment_hash": "aa",
            "parts": [{"payment_hash": "bb"}, {"x": {"payment_hash": "cc"}}],
            "preimage": "dd",
            "other": {"payment_hash": 5},
        });
        payment_hashes(&answer, &mut found);
        let wanted = ["aa", "bb", "cc"].map(str::to_owned);
        assert_eq!(found, wanted.into());
    }
}
