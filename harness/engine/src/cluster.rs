//! A cluster: one bitcoind and a node for each role, brought to the state that a topology asks
//! for, and taken down again.
//!
//! The order of steps is the one that was measured to be fast and free of races: blocks before
//! nodes, one funding transaction for all, channels in parallel, gossip checked and cured.

use crate::plan::Participant;
use crate::record::{Blame, Node, Phase};
use crate::wait::{Stop, WaitError, until};
use bitcoin::Txid;
use lnconform_adapters::{Adapter, Fault, Limits};
use lnconform_protocol::Answer;
use lnconform_regtest::chain::{Chain, ChainError, ChainInfo};
use lnconform_regtest::ports::{self, Port};
use lnconform_regtest::run::RunDir;
use lnconform_vectors::case::Topology;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Deadline of a node operation unless its step says otherwise.
pub const OPERATION: Duration = Duration::from_secs(30);
/// Deadline of `node.start`.
pub const START: Duration = Duration::from_secs(60);
/// Deadline for each of the conditions a topology is brought to.
const READY: Duration = Duration::from_secs(30);
/// Confirmations until every implementation here uses a channel.
const CONFIRMATIONS: u64 = 6;

/// A running node.
pub struct LiveNode {
    /// Its adapter.
    pub adapter: Adapter,
    /// What `node.start` answered, for `$role.node_id` and the like.
    pub started: Value,
    /// The record for the result file.
    pub record: Node,
    /// The folder with its data and logs.
    pub dir: PathBuf,
    port: Port,
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
            Ok(Answer::Unsupported(u)) => Err(fail(
                format!("unsupported: {}", u.reason),
                None,
                Blame::Implementation,
            )),
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
            ClusterError::Chain(_) | ClusterError::Environment(_) | ClusterError::Stopped => {
                Blame::Environment
            }
            ClusterError::Adapter { fault, .. } => crate::codec::blame(fault),
            ClusterError::Node { blame, .. } => *blame,
            ClusterError::Wait(_) => Blame::Implementation,
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
    /// Role to node.
    pub nodes: BTreeMap<String, LiveNode>,
    /// Where the time went so far.
    pub phases: Vec<Phase>,
    /// The folder that holds everything of this cluster.
    pub dir: PathBuf,
    stop: Stop,
}

/// What a cluster is made of.
pub struct Recipe<'a> {
    /// Folder of the run, on the machine's temporary disk.
    pub run: &'a RunDir,
    /// Name of the cluster within the run.
    pub name: &'a str,
    /// The bitcoind to use.
    pub bitcoind: &'a Path,
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
            let chain = scope.spawn(|| Chain::start(recipe.run, recipe.bitcoind, recipe.name));
            let adapters = start_adapters(recipe, &dir);
            (join(chain), adapters)
        });
        let chain = chain?;
        let nodes = start_nodes(recipe, &access(chain.info()), adapters?)?;
        let mut cluster = Self {
            chain,
            nodes,
            phases: Vec::new(),
            dir,
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
        if recipe.topology.ready.iter().any(|r| r == "graph-complete") {
            cluster.complete_graph(recipe.topology)?;
        }
        cluster.phase("graph", clock);
        Ok(cluster)
    }

    fn phase(&mut self, name: &str, since: Instant) {
        let duration_ms = ms(since.elapsed());
        self.phases.push(Phase {
            name: name.into(),
            duration_ms,
            id: None,
        });
    }

    /// The node of a role.
    ///
    /// # Errors
    /// When the topology has no such role, which the loader has already refused.
    pub fn node(&self, role: &str) -> Result<&LiveNode, ClusterError> {
        of(&self.nodes, role)
    }

    /// Mines `blocks` blocks and waits until every node has seen them.
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
            node.ask("chain.sync", &json!({"height": height}), OPERATION)
                .map(drop)
        })
    }

    fn fund(&mut self, topology: &Topology) -> Result<(), ClusterError> {
        let mut outputs = Vec::new();
        for (role, wish) in topology.nodes.iter().filter(|(_, n)| n.funded_sat > 0) {
            let answer = self
                .node(role)?
                .ask("wallet.new_address", &json!({}), OPERATION)?;
            let address = text(&answer, "address", role, "wallet.new_address")?;
            outputs.push((address.to_owned(), wish.funded_sat));
        }
        let outputs: Vec<(&str, u64)> = outputs.iter().map(|(a, sat)| (a.as_str(), *sat)).collect();
        if !outputs.is_empty() {
            self.chain.fund(&outputs)?;
        }
        self.mine(1)?;
        let stop = self.stop.clone();
        for (role, wish) in topology.nodes.iter().filter(|(_, n)| n.funded_sat > 0) {
            let node = self.node(role)?;
            until(&format!("the balance of {role}"), READY, &stop, || {
                let answer = node.ask("wallet.balance", &json!({}), OPERATION)?;
                let sat: u64 = text(&answer, "confirmed_sat", role, "wallet.balance")?
                    .parse()
                    .unwrap_or(0);
                Ok::<_, ClusterError>(if sat >= wish.funded_sat {
                    Ok(())
                } else {
                    Err(format!("{sat} of {} sat confirmed", wish.funded_sat))
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
            until(&format!("channels of {role} usable"), READY, &stop, || {
                let list = node.ask("channel.list", &json!({}), OPERATION)?;
                let usable = list.as_array().map_or(0, |l| {
                    l.iter().filter(|c| c["usable"] == json!(true)).count()
                });
                Ok::<_, ClusterError>(if usable >= wanted {
                    Ok(())
                } else {
                    Err(format!("{usable} of {wanted} usable: {list}"))
                })
            })?;
        }
        Ok(())
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
    /// again; reconnecting the two ends of that channel makes them.
    fn complete_graph(&self, topology: &Topology) -> Result<(), ClusterError> {
        /// How long gossip may take before the cure, and between two cures.
        const PATIENCE: Duration = Duration::from_millis(400);
        let announced: Vec<_> = topology.channels.iter().filter(|c| c.announce).collect();
        if announced.is_empty() {
            return Ok(());
        }
        let mut quiet_since = Instant::now();
        until(
            "the complete graph at every node",
            READY,
            &self.stop,
            || {
                let mut lacking = Vec::new();
                for (role, node) in &self.nodes {
                    let graph = node.ask("graph.channels", &json!({}), OPERATION)?;
                    for channel in &announced {
                        let ends = [
                            self.node(&channel.from)?.node_id(),
                            self.node(&channel.to)?.node_id(),
                        ];
                        let directions = directions(&graph, ends);
                        if directions < 2 {
                            lacking.push((role, *channel, directions));
                        }
                    }
                }
                if lacking.is_empty() {
                    return Ok(Ok(()));
                }
                if quiet_since.elapsed() > PATIENCE {
                    let ends: BTreeSet<(&str, &str)> = lacking
                        .iter()
                        .map(|(_, c, _)| (c.from.as_str(), c.to.as_str()))
                        .collect();
                    for (from, to) in ends {
                        let peer = json!({"node_id": self.node(to)?.node_id()});
                        self.node(from)?.ask("peer.disconnect", &peer, OPERATION)?;
                        self.connect_pair(from, to)?;
                    }
                    quiet_since = Instant::now();
                }
                let state = lacking.iter().map(|(role, channel, directions)| {
                    format!(
                        "{role} knows {directions} directions of {}-{}",
                        channel.from, channel.to
                    )
                });
                Ok::<_, ClusterError>(Err(state.collect::<Vec<_>>().join(", ")))
            },
        )?;
        Ok(())
    }

    /// Stops every node and the chain. Nodes that do not go within 5 s are killed.
    pub fn stop(self) -> Vec<Phase> {
        let clock = Instant::now();
        let Self {
            chain,
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
        chain.stop();
        let duration_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        phases.push(Phase {
            name: "stop".into(),
            duration_ms,
            id: None,
        });
        phases
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
    let adapter =
        Adapter::start(launch, recipe.limits.clone()).map_err(|fault| ClusterError::Adapter {
            role: role.to_owned(),
            fault: Box::new(fault),
        })?;
    let version = adapter.hello().implementation.version.clone();
    Ok(LiveNode {
        adapter,
        started: Value::Null,
        record: Node {
            role: role.to_owned(),
            implementation: participant.name.clone(),
            version,
            node_id: String::new(),
            started_ms: ms(clock.elapsed()),
            log: log.to_string_lossy().into_owned(),
        },
        dir: node_dir,
        port,
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
    let params = json!({
        "network": "regtest",
        "seed": seed(recipe.seed, &role),
        "data_dir": node.dir.join("data"),
        "chain": {"bitcoind": chain},
        "listen": format!("127.0.0.1:{}", node.port.number()),
        "alias": format!("lnconform-{role}"),
        "options": options,
    });
    node.started = node.ask("node.start", &params, START)?;
    node.record.node_id = text(&node.started, "node_id", &role, "node.start")?.to_owned();
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
