//! Clusters that stay up after a failure (`run --keep`), and how to get at their nodes.
//!
//! Nodes and bitcoind stay children of the process that ran them, so that they end with it whatever
//! happens; it is that process that does not end. The adapters stay attached as well: each can be asked
//! over a Unix socket in its node's folder, one JSON object a line, as in the adapter protocol. A node
//! without an RPC of its own is reached that way, in the very state that the failure left it in.

use crate::cluster::{Cluster, LiveNode};
use crate::shell;
use lnconform_protocol::Answer;
use lnconform_regtest::chain::{Chain, ChainInfo};
use lnconform_regtest::electrum_server::ElectrumServer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many clusters stay up at most: each has a bitcoind and several nodes.
pub const MOST: usize = 4;
/// How long an operation may take that is asked for by hand.
const BY_HAND: Duration = Duration::from_secs(120);
/// The socket in a node's folder.
const SOCKET: &str = "adapter.sock";

/// The clusters of a run that stay up.
#[derive(Default)]
pub struct Kept {
    clusters: Mutex<Vec<Standing>>,
    folders: AtomicBool,
}

/// A cluster that stays up.
struct Standing {
    page: String,
    // In the order in which they end.
    _nodes: Arc<BTreeMap<String, LiveNode>>,
    _electrum: Option<ElectrumServer>,
    _chain: Chain,
}

impl Kept {
    fn list(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.list().len() < MOST
    }

    /// Whether no cluster stays up.
    pub fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// Keeps a cluster up, in which `check` has failed.
    pub(crate) fn take(&self, check: &str, who: &str, cluster: Cluster) {
        let Cluster {
            chain,
            electrum,
            nodes,
            dir,
            ..
        } = cluster;
        let nodes = Arc::new(nodes);
        let mut page = format!(
            "{check} ({who})\n  folder: {}\n  bitcoind: {}\n",
            dir.display(),
            bitcoin_cli(chain.info())
        );
        if let Some(server) = &electrum {
            // A text cannot fail to take a line.
            let _ = writeln!(page, "  electrum server: {}", server.url());
        }
        for (role, node) in nodes.iter() {
            let socket = node.dir.join(SOCKET);
            let open = answer_at(&socket, role, &nodes);
            page.push_str(&of_node(node, open.then_some(&socket)));
        }
        self.list().push(Standing {
            page,
            _nodes: nodes,
            _electrum: electrum,
            _chain: chain,
        });
    }

    /// The folder of a cluster that did not come up stays.
    pub(crate) fn leave_folder(&self) {
        self.folders.store(true, Ordering::Relaxed);
    }

    /// Whether folders stay without a cluster.
    pub fn leaves_folders(&self) -> bool {
        self.folders.load(Ordering::Relaxed)
    }

    /// For people: what stays up, and how to get at it. Empty if nothing does.
    pub fn page(&self) -> String {
        let list = self.list();
        let mut page = String::new();
        for standing in list.iter() {
            page.push_str(&standing.page);
        }
        page
    }
}

fn bitcoin_cli(info: &ChainInfo) -> String {
    format!(
        "bitcoin-cli -regtest -rpcconnect={} -rpcport={} -rpcuser={} -rpcpassword={} getblockchaininfo",
        info.rpc_host, info.rpc_port, info.user, info.password
    )
}

/// What is to be said of a node: who it is, and every way to it.
fn of_node(node: &LiveNode, socket: Option<&PathBuf>) -> String {
    let record = &node.record;
    let mut text = format!(
        "  {}: {} {}{}\n    node id: {}\n",
        record.role,
        record.implementation,
        record.version,
        if node.running { "" } else { " (stopped)" },
        record.node_id
    );
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "    {name}: {value}");
    };
    if let Some(address) = node.started["address"].as_str() {
        line("address", address);
    }
    if let Some(folder) = node.start["data_dir"].as_str() {
        line("data dir", folder);
    }
    // The adapter knows what its node understands.
    for way in node.attach.as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (way["name"].as_str(), way["value"].as_str()) {
            line(name, value);
        }
    }
    if let Some(socket) = socket {
        let ask = json!({"id": 1, "op": "channel.list", "params": {}});
        line(
            "adapter",
            &format!("echo '{ask}' | nc -N -U {}", quoted(socket)),
        );
    }
    text
}

/// A path as a word for the shell.
fn quoted(path: &Path) -> String {
    shell::word(&path.to_string_lossy()).into_owned()
}

/// What an adapter makes of a line: the answer with the line's id.
fn ask(node: &LiveNode, line: &str) -> Value {
    let refused = |id: Value, message: String| json!({"id": id, "error": {"kind": "invalid", "message": message}});
    let request: Value = match serde_json::from_str(line) {
        Ok(request) => request,
        Err(e) => return refused(Value::Null, format!("the line is no JSON: {e}")),
    };
    let id = request["id"].clone();
    let Some(op) = request["op"].as_str() else {
        return refused(
            id,
            "write {\"id\": 1, \"op\": NAME, \"params\": {…}}".into(),
        );
    };
    let params = request.get("params").cloned().unwrap_or_else(|| json!({}));
    let (name, value) = match node.adapter.call(op, &params, BY_HAND) {
        Ok(Answer::Result(value)) => ("result", value),
        Ok(Answer::Error(e)) => ("error", json!({"kind": e.kind, "message": e.message})),
        Ok(Answer::Unsupported(u)) => ("unsupported", json!({"reason": u.reason})),
        Err(fault) => (
            "error",
            json!({"kind": "internal", "message": fault.message}),
        ),
    };
    json!({"id": id, name: value})
}

/// Answers for the adapter of a role at a socket, until the process ends. False where there can be
/// none: a path that is too long, or a system without such sockets.
#[cfg(unix)]
fn answer_at(path: &Path, role: &str, nodes: &Arc<BTreeMap<String, LiveNode>>) -> bool {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    fn serve(stream: &UnixStream, node: &LiveNode) -> std::io::Result<()> {
        let mut out = stream;
        for line in BufReader::new(stream).lines() {
            // In one piece: a client that reads once has the whole answer.
            let answer = format!("{}\n", ask(node, &line?));
            out.write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    let Ok(listener) = UnixListener::bind(path) else {
        return false;
    };
    // Not the nodes themselves: they end when the cluster is let go.
    let (nodes, role) = (Arc::downgrade(nodes), role.to_owned());
    let answering = std::thread::Builder::new()
        .name("answer".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(nodes) = nodes.upgrade() else { return };
                let role = role.clone();
                // One for each caller, since an operation may wait.
                std::thread::spawn(move || {
                    if let Some(node) = nodes.get(&role) {
                        // Whoever asked has gone away.
                        let _ = serve(&stream, node);
                    }
                });
            }
        });
    answering.is_ok()
}

#[cfg(not(unix))]
fn answer_at(_path: &Path, _role: &str, _nodes: &Arc<BTreeMap<String, LiveNode>>) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_is_one_word() {
        assert_eq!(quoted(Path::new("/a/b-c.sock")), "/a/b-c.sock");
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }

    #[test]
    fn without_a_cluster_there_is_nothing_to_say() {
        let kept = Kept::default();
        assert!(kept.is_empty() && kept.has_room() && !kept.leaves_folders());
        assert_eq!(kept.page(), "");
        kept.leave_folder();
        assert!(kept.is_empty() && kept.leaves_folders());
    }
}
