//! What the tests of the adapters share. Only with the feature `testing`.

use lnconform_protocol::concurrent::ConcurrentHandler;
use lnconform_protocol::{Answer, ErrorKind, OpError};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

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

/// Compares the operations that tests have asked for with those of `hello`.
///
/// # Panics
/// When one is announced and not among them, or the other way round.
pub fn announces<'a>(adapter: &impl ConcurrentHandler, asked: impl IntoIterator<Item = &'a str>) {
    let mut asked: Vec<&str> = asked.into_iter().collect();
    asked.sort_unstable();
    asked.dedup();
    let mut announced = adapter.hello().operations;
    announced.sort_unstable();
    assert_eq!(asked, announced, "asked for by tests, and announced");
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
