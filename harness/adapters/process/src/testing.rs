//! What the tests of the adapters share. Only with the feature `testing`.

use lnconform_protocol::concurrent::ConcurrentHandler;
use lnconform_protocol::{Answer, ErrorKind, OpError};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// For what comes as soon as the machine gets to it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A point, in hex.
pub const KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
/// Another one.
pub const OTHER: &str = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5";

/// The result of an operation.
///
/// # Panics
/// When it has none.
pub fn result(adapter: &impl ConcurrentHandler, op: &str, params: Value) -> Value {
    match adapter.call(op, &params) {
        Answer::Result(result) => result,
        other => panic!("{op} {params}: {other:?}"),
    }
}

/// The error of an operation.
///
/// # Panics
/// When it answers something else.
pub fn error(adapter: &impl ConcurrentHandler, op: &str, params: Value) -> OpError {
    match adapter.call(op, &params) {
        Answer::Error(e) => e,
        other => panic!("{op} {params}: {other:?}"),
    }
}

/// Why an operation is unsupported.
///
/// # Panics
/// When it answers something else.
pub fn unsupported(adapter: &impl ConcurrentHandler, op: &str, params: Value) -> String {
    match adapter.call(op, &params) {
        Answer::Unsupported(u) => u.reason,
        other => panic!("{op} {params}: {other:?}"),
    }
}

/// Waits until `done`.
///
/// # Panics
/// When that takes too long, with `what` was waited for.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// An operation, its params, and the result that is to come.
pub type Row = (&'static str, Value, Value);

/// Asks each of a table. With `apart`, what has tests of its own, these are all operations of `hello`.
///
/// # Panics
/// At another result, and where an operation is announced and in neither, or the other way round.
pub fn answers(adapter: &impl ConcurrentHandler, table: &[Row], apart: &[&str]) {
    for (op, params, shown) in table {
        assert_eq!(result(adapter, op, params.clone()), *shown, "{op} {params}");
    }
    let mut asked: Vec<&str> = table.iter().map(|row| row.0).collect();
    asked.extend(apart);
    asked.sort_unstable();
    asked.dedup();
    let mut announced = adapter.hello().operations;
    announced.sort_unstable();
    assert_eq!(asked, announced, "asked for by tests, and announced");
}

/// A graph of one channel between two nodes, of which one has announced itself.
pub fn graph() -> [Row; 2] {
    let nodes = json!([{"node_id": KEY, "alias": "a", "features": "80",
        "addresses": ["127.0.0.1:9735"]}, {"node_id": OTHER}]);
    let channels = json!([{"scid": "103x1x0", "nodes": [KEY, OTHER], "directions": 2}]);
    [
        ("graph.channels", json!({}), channels),
        ("graph.nodes", json!({}), nodes),
    ]
}

/// Stops a node and starts it again with `start`.
///
/// # Panics
/// When one of it goes wrong, or a stopped node answers.
pub fn stops_and_starts(adapter: &impl ConcurrentHandler, start: Value) {
    assert_eq!(result(adapter, "node.stop", json!({})), json!({}));
    let stopped = error(adapter, "channel.list", json!({}));
    assert!(stopped.message.contains("node.start"), "{stopped:?}");
    result(adapter, "node.start", start);
}

/// Asks for the balance of a node that ends instead of answering; its last word is `gone`. Answers what
/// is said of it.
///
/// # Panics
/// When the end of `program` is not told.
pub fn tells_of_its_end(adapter: &impl ConcurrentHandler, program: &str) -> String {
    let e = error(adapter, "wallet.balance", json!({}));
    assert_eq!(e.kind, ErrorKind::Internal);
    let ended = format!("{program} has ended by itself");
    assert!(
        e.message.contains(&ended) && e.message.contains("gone"),
        "{e:?}"
    );
    e.message
}

/// Waits for height 111 of a node at height 110.
///
/// # Panics
/// When the deadline does not end it.
pub fn waits_for_blocks_in_vain(adapter: &impl ConcurrentHandler) {
    let params = json!({"height": 111, "deadline_ms": 20});
    let e = error(adapter, "chain.sync", params);
    assert_eq!(e.kind, ErrorKind::Timeout, "{e:?}");
    let said = e.message.contains("height 111") && e.message.contains("it is 110");
    assert!(said, "{e:?}");
}

/// What a test has a stand-in say, before what it usually says.
type Script<F, R> = Box<dyn Fn(&str, &F) -> Option<R> + Send>;

/// The test's side of a stand-in for a node: what it is asked, with fields `F`, and what it is to reply.
pub struct Played<F, R> {
    script: Mutex<Script<F, R>>,
    asked: Mutex<Vec<(String, F)>>,
    wrong: Mutex<Vec<String>>,
}

impl<F, R> Default for Played<F, R> {
    fn default() -> Self {
        Self {
            script: Mutex::new(Box::new(|_, _| None)),
            asked: Mutex::default(),
            wrong: Mutex::default(),
        }
    }
}

impl<F: Clone, R> Played<F, R> {
    /// From now on `script` answers first; what it leaves is answered as usual.
    pub fn plays(&self, script: impl Fn(&str, &F) -> Option<R> + Send + 'static) {
        *crate::lock(&self.script) = Box::new(script);
    }

    /// The fields of the requests for `call` so far.
    pub fn asked(&self, call: &str) -> Vec<F> {
        let asked = crate::lock(&self.asked);
        let of_call = asked.iter().filter(|(c, _)| c == call);
        of_call.map(|(_, fields)| fields.clone()).collect()
    }

    /// Keeps what was asked.
    pub fn note(&self, call: &str, fields: F) {
        crate::lock(&self.asked).push((call.to_owned(), fields));
    }

    /// Keeps what was asked, and says what the script has for it.
    pub fn hear(&self, call: &str, fields: &F) -> Option<R> {
        self.note(call, fields.clone());
        crate::lock(&self.script)(call, fields)
    }

    /// Keeps that something is not as published.
    pub fn is_wrong(&self, what: String) {
        crate::lock(&self.wrong).push(what);
    }

    /// What was not as published; none of it is kept.
    pub fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut *crate::lock(&self.wrong))
    }

    /// For the end of a stand-in.
    ///
    /// # Panics
    /// When something was not as published, unless a test has failed already.
    pub fn judge(&self) {
        let wrong = self.wrong();
        if !thread::panicking() {
            assert!(wrong.is_empty(), "not as published: {wrong:#?}");
        }
    }
}

/// Asks every operation of `hello` without params and without a node: each names what is missing,
/// or that no node is running.
///
/// # Panics
/// When one answers something else.
pub fn refuses_empty_requests(adapter: &impl ConcurrentHandler) {
    let operations = adapter.hello().operations;
    assert!(!operations.is_empty());
    for op in operations {
        let e = error(adapter, &op, json!({}));
        let missing = e.kind == ErrorKind::Invalid
            && (e.message.contains("is missing") || e.message.contains("is needed"));
        let stopped = e.kind == ErrorKind::Rejected && e.message.contains("node.start");
        assert!(missing || stopped, "{op}: {e:?}");
    }
}

/// The params of a `node.start` in `data_dir`, with a bitcoind at `rpc_port` whose user is `u`.
pub fn start_params(data_dir: &Path, rpc_port: u16, password: &str, options: &Value) -> Value {
    json!({
        "network": "regtest", "data_dir": data_dir, "alias": "payee",
        "listen": "127.0.0.1:9735", "options": options,
        "chain": {"bitcoind": {
            "rpc_host": "127.0.0.1", "rpc_port": rpc_port, "user": "u", "password": password,
            "zmq_block": "tcp://127.0.0.1:2", "zmq_tx": "tcp://127.0.0.1:3"}}})
}

/// Asks for what no node can do, without a node: each is refused, and the param named.
///
/// # Panics
/// When one is not.
pub fn judges_params(adapter: &impl ConcurrentHandler) {
    let peer =
        |address: &str| json!({"node_id": KEY, "address": address, "capacity_sat": "100000"});
    let keysend = |more: &str, value: Value| {
        let mut params = json!({"to": KEY, "amount_msat": "1"});
        params[more] = value;
        params
    };
    for (op, params, kind, named) in [
        (
            "chain.sync",
            json!({"height": "5"}),
            ErrorKind::Invalid,
            "height",
        ),
        (
            "peer.connect",
            json!({"node_id": "02", "address": "127.0.0.1:1"}),
            ErrorKind::Invalid,
            "node_id",
        ),
        (
            "peer.connect",
            peer("nowhere"),
            ErrorKind::Invalid,
            "address",
        ),
        (
            "peer.connect",
            peer("8.8.8.8:1"),
            ErrorKind::Rejected,
            "loopback",
        ),
        (
            "channel.open",
            peer("8.8.8.8:1"),
            ErrorKind::Rejected,
            "loopback",
        ),
        (
            "channel.open",
            json!({"node_id": KEY, "capacity_sat": "-1"}),
            ErrorKind::Invalid,
            "capacity_sat",
        ),
        (
            "keysend.send",
            keysend("amount_msat", json!("x")),
            ErrorKind::Invalid,
            "amount_msat",
        ),
        (
            "keysend.send",
            keysend("records", json!([{}])),
            ErrorKind::Invalid,
            "type",
        ),
        (
            "invoice.create",
            json!({"preimage": "00"}),
            ErrorKind::Invalid,
            "preimage",
        ),
        (
            "event.next",
            json!({"kinds": [1]}),
            ErrorKind::Invalid,
            "kinds",
        ),
        (
            "node.stop",
            json!({"how": "gently"}),
            ErrorKind::Invalid,
            "how",
        ),
        (
            "node.start",
            json!({"network": "bitcoin"}),
            ErrorKind::Rejected,
            "regtest",
        ),
    ] {
        let e = error(adapter, op, params.clone());
        assert_eq!(e.kind, kind, "{op} {params}: {e:?}");
        assert!(e.message.contains(named), "{op} {params}: {e:?}");
    }
}

/// Head (its lines ended, without the empty one) and body of an HTTP request; nothing at the end
/// of the connection.
///
/// # Panics
/// When its length is none.
pub fn read_request(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end + 2]).into_owned();
        let length = header(&head, "content-length").map_or(0, |l| l.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            return Some((head, bytes[end + 4..].to_vec()));
        }
    }
}

/// A header's value.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// Writes a program. The file is closed by another process, so that no fork of this one holds it
/// open for writing when it is started.
///
/// # Panics
/// When that cannot be done.
#[cfg(unix)]
pub fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).unwrap();
    }
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    let copied = std::process::Command::new("cp")
        .arg(&draft)
        .arg(path)
        .status();
    assert!(copied.unwrap().success());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
