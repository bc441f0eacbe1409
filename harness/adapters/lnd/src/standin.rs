//! A stand-in for lnd: a program that does nothing, and a TLS server that answers where its
//! configuration file says.
//!
//! It knows, of each call that the adapter makes, the fields of LND's published REST schema that the
//! adapter may have use for, and the form of each. Any other field is refused, and so is a call
//! that is not in the list. Where the schema has a 64-bit number, it wants decimal digits.

use crate::read::base64;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use lnconform_adapter_process::lock;
use lnconform_adapter_process::testing::{KEY, OTHER, Played, header, read_request, write_program};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// The form of a field.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Base64; in a path as URLs have it.
    Bytes,
    /// A number of up to 32 bits.
    Int,
    /// A number of 64 bits, in digits.
    Long,
    /// True or false.
    Bool,
    /// Any text.
    Text,
    /// 33 bytes, hex.
    Key,
    /// 32 bytes, hex.
    Hash,
    /// Types and base64.
    Records,
    /// A list of base64.
    BytesList,
    /// A list of objects.
    Objects(&'static [(&'static str, Form)]),
    /// An object.
    Object(&'static [(&'static str, Form)]),
}

use Form::{Bool, Bytes, BytesList, Hash, Int, Key, Long, Object, Objects, Records, Text};

impl Form {
    /// Whether a value is of the form. In a path or a query every value is text.
    fn fits(self, value: &Value, in_url: bool) -> Result<(), String> {
        let text = value.as_str().unwrap_or_default();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let hex = |n: usize| text.len() == 2 * n && text.bytes().all(|b| b.is_ascii_hexdigit());
        let right = match self {
            Bytes if in_url => URL_SAFE.decode(text).is_ok(),
            Bytes => value.is_string() && STANDARD.decode(text).is_ok(),
            Int if in_url => text.parse::<u32>().is_ok(),
            Int => value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
            Long => digits,
            Bool if in_url => matches!(text, "true" | "false"),
            Bool => value.is_boolean(),
            Text => value.is_string(),
            Key => hex(33),
            Hash => hex(32),
            Records => value.as_object().is_some_and(|records| {
                records.iter().all(|(kind, value)| {
                    kind.parse::<u64>().is_ok() && Bytes.fits(value, false).is_ok()
                })
            }),
            BytesList => value
                .as_array()
                .is_some_and(|list| list.iter().all(|v| Bytes.fits(v, false).is_ok())),
            Objects(fields) => {
                let list = value.as_array().ok_or("it is no list")?;
                return list.iter().try_for_each(|v| Object(fields).fits(v, false));
            }
            Object(fields) => {
                let object = value.as_object().ok_or("it is no object")?;
                return fit(object, fields, in_url);
            }
        };
        match right {
            true => Ok(()),
            false => Err(format!("it is {value}, not {self:?}")),
        }
    }
}

fn fit(object: &Map<String, Value>, fields: &[(&str, Form)], in_url: bool) -> Result<(), String> {
    object.iter().try_for_each(|(name, value)| {
        let known = fields.iter().find(|(known, _)| known == name);
        let (_, form) = known.ok_or_else(|| format!("{name} is unknown"))?;
        form.fits(value, in_url)
            .map_err(|why| format!("{name}: {why}"))
    })
}

const INVOICE: &[(&str, Form)] = &[
    ("memo", Text),
    ("r_preimage", Bytes),
    ("value_msat", Long),
    ("description_hash", Bytes),
    ("expiry", Long),
    ("private", Bool),
    ("is_amp", Bool),
    ("is_blinded", Bool),
    (
        "blinded_path_config",
        Object(&[
            ("min_num_real_hops", Int),
            ("num_hops", Int),
            ("max_num_paths", Int),
        ]),
    ),
];

const HODL: &[(&str, Form)] = &[
    ("memo", Text),
    ("hash", Bytes),
    ("value_msat", Long),
    ("description_hash", Bytes),
    ("expiry", Long),
    ("private", Bool),
];

const SEND: &[(&str, Form)] = &[
    ("dest", Bytes),
    ("payment_hash", Bytes),
    ("final_cltv_delta", Int),
    ("payment_request", Text),
    ("timeout_seconds", Int),
    ("dest_custom_records", Records),
    ("amt_msat", Long),
    ("fee_limit_msat", Long),
    ("max_parts", Int),
    ("payment_addr", Bytes),
    ("max_shard_size_msat", Long),
    ("amp", Bool),
    ("cancelable", Bool),
];

const ROUTE: &[(&str, Form)] = &[
    ("total_time_lock", Int),
    ("total_fees_msat", Long),
    ("total_amt_msat", Long),
    (
        "hops",
        Objects(&[
            ("chan_id", Long),
            ("expiry", Int),
            ("amt_to_forward_msat", Long),
            ("fee_msat", Long),
            ("pub_key", Key),
            (
                "mpp_record",
                Object(&[("payment_addr", Bytes), ("total_amt_msat", Long)]),
            ),
            (
                "amp_record",
                Object(&[
                    ("root_share", Bytes),
                    ("set_id", Bytes),
                    ("child_index", Int),
                ]),
            ),
            ("custom_records", Records),
        ]),
    ),
];

/// Method, path, the fields of path and query, and those of the body.
type Call = (
    &'static str,
    &'static str,
    &'static [(&'static str, Form)],
    &'static [(&'static str, Form)],
);

/// The calls. A field in the path stands in braces.
const CALLS: &[Call] = &[
    ("GET", "/v1/state", &[], &[]),
    ("GET", "/v1/getinfo", &[], &[]),
    ("POST", "/v1/stop", &[], &[]),
    (
        "GET",
        "/v1/newaddress",
        &[("type", Text), ("account", Text)],
        &[],
    ),
    (
        "GET",
        "/v1/balance/blockchain",
        &[("account", Text), ("min_confs", Int)],
        &[],
    ),
    ("GET", "/v1/balance/channels", &[], &[]),
    ("GET", "/v1/peers", &[("latest_error", Bool)], &[]),
    (
        "POST",
        "/v1/peers",
        &[],
        &[
            ("addr", Object(&[("pubkey", Key), ("host", Text)])),
            ("perm", Bool),
            ("timeout", Long),
        ],
    ),
    ("DELETE", "/v1/peers/{pub_key}", &[("pub_key", Key)], &[]),
    (
        "POST",
        "/v1/channels",
        &[],
        &[
            ("node_pubkey", Bytes),
            ("local_funding_amount", Long),
            ("push_sat", Long),
            ("private", Bool),
            ("min_confs", Int),
            ("spend_unconfirmed", Bool),
        ],
    ),
    (
        "GET",
        "/v1/channels",
        &[("active_only", Bool), ("peer", Bytes)],
        &[],
    ),
    (
        "GET",
        "/v1/channels/pending",
        &[("include_raw_tx", Bool)],
        &[],
    ),
    ("GET", "/v1/channels/subscribe", &[], &[]),
    ("GET", "/v1/graph", &[("include_unannounced", Bool)], &[]),
    ("POST", "/v1/invoices", &[], INVOICE),
    (
        "GET",
        "/v1/invoices",
        &[("pending_only", Bool), ("num_max_invoices", Long)],
        &[],
    ),
    (
        "GET",
        "/v1/invoices/subscribe",
        &[("add_index", Long), ("settle_index", Long)],
        &[],
    ),
    ("POST", "/v2/invoices/hodl", &[], HODL),
    ("POST", "/v2/invoices/settle", &[], &[("preimage", Bytes)]),
    (
        "POST",
        "/v2/invoices/cancel",
        &[],
        &[("payment_hash", Bytes)],
    ),
    (
        "GET",
        "/v2/invoices/subscribe/{r_hash}",
        &[("r_hash", Bytes)],
        &[],
    ),
    (
        "GET",
        "/v1/invoice/{r_hash_str}",
        &[("r_hash_str", Hash)],
        &[],
    ),
    ("GET", "/v1/payreq/{pay_req}", &[("pay_req", Text)], &[]),
    ("POST", "/v2/router/mc/reset", &[], &[]),
    ("POST", "/v2/router/send", &[], SEND),
    (
        "GET",
        "/v2/router/track/{payment_hash}",
        &[("payment_hash", Bytes)],
        &[],
    ),
    (
        "POST",
        "/v2/router/route",
        &[],
        &[
            ("amt_msat", Long),
            ("final_cltv_delta", Int),
            ("hop_pubkeys", BytesList),
        ],
    ),
    (
        "GET",
        "/v1/graph/routes/{pub_key}/{amt}",
        &[
            ("pub_key", Key),
            ("amt", Long),
            ("amt_msat", Long),
            ("final_cltv_delta", Int),
        ],
        &[],
    ),
    (
        "POST",
        "/v2/router/route/send",
        &[],
        &[("payment_hash", Bytes), ("route", Object(ROUTE))],
    ),
    ("GET", "/v2/router/htlcevents", &[], &[]),
    // A websocket: what is checked is each order.
    (
        "GET",
        "/v2/router/htlcinterceptor",
        &[("method", Text)],
        &[
            (
                "incoming_circuit_key",
                Object(&[("chan_id", Long), ("htlc_id", Long)]),
            ),
            ("action", Text),
            ("preimage", Bytes),
            ("failure_code", Text),
        ],
    ),
    ("POST", "/v1/signmessage", &[], &[("msg", Bytes)]),
    (
        "POST",
        "/v1/verifymessage",
        &[],
        &[("msg", Bytes), ("signature", Text)],
    ),
    (
        "POST",
        "/v2/signer/signmessage",
        &[],
        &[
            ("msg", Bytes),
            (
                "key_loc",
                Object(&[("key_family", Int), ("key_index", Int)]),
            ),
            ("schnorr_sig", Bool),
            ("tag", Bytes),
        ],
    ),
    (
        "POST",
        "/v2/signer/verifymessage",
        &[],
        &[
            ("msg", Bytes),
            ("signature", Bytes),
            ("pubkey", Bytes),
            ("is_schnorr_sig", Bool),
            ("tag", Bytes),
        ],
    ),
];

/// The fields in a path, where it is of the pattern.
fn in_path(pattern: &str, path: &str) -> Option<Map<String, Value>> {
    let (wanted, given): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    if wanted.len() != given.len() {
        return None;
    }
    let mut fields = Map::new();
    for (wanted, given) in wanted.into_iter().zip(given) {
        match wanted.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
            Some(name) => drop(fields.insert(name.into(), given.into())),
            None if wanted == given => {}
            None => return None,
        }
    }
    Some(fields)
}

/// What is asked: the call's name (method and path of the list) and all its fields.
pub(crate) fn request_of(
    method: &str,
    target: &str,
    body: &Map<String, Value>,
) -> Result<(String, Value), String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let found = CALLS.iter().find_map(|call| match call.0 == method {
        // A path without fields comes before one with them.
        true => in_path(call.1, path).map(|fields| (call, fields)),
        false => None,
    });
    let (call, mut fields) = found.ok_or("there is no such call")?;
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    fields.extend(query.map(|(name, value)| (name.to_owned(), value.into())));
    fit(&fields, call.2, true)?;
    fit(body, call.3, false)?;
    fields.extend(body.clone());
    Ok((format!("{} {}", call.0, call.1), fields.into()))
}

/// What the stand-in does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with a result.
    Result(Value),
    /// Refuses, with a status of gRPC.
    Error(u64, &'static str),
    /// Answers with these messages, and ends the stream.
    Messages(Vec<Value>),
    /// Answers with what the test tells, until the end.
    Stream,
    /// Writes these bytes, whatever they are, and closes.
    Raw(&'static str),
    /// The process ends instead of answering.
    Die,
}

/// A certificate as LND makes it: self-signed, and marked as an authority.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Vec<u8>,
    pem: String,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
            pem: certificate.pem(),
        }
    }

    /// Of a server that shows it.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![self.certificate.clone()],
                PrivateKeyDer::try_from(self.key.clone()).unwrap(),
            );
        Arc::new(config.unwrap())
    }
}

struct World {
    data_dir: PathBuf,
    end: PathBuf,
    config: Arc<ServerConfig>,
    certificate: String,
    played: Played<Value, Reply>,
    streams: Mutex<HashMap<String, Vec<Sender<Value>>>>,
    over: AtomicBool,
}

/// Everything that a test sees of the stand-in.
pub(crate) struct StandIn {
    dir: tempfile::TempDir,
    world: Arc<World>,
}

impl Deref for StandIn {
    type Target = Played<Value, Reply>;

    fn deref(&self) -> &Self::Target {
        &self.world.played
    }
}

impl StandIn {
    /// A stand-in that answers as a node with one channel does.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::new();
        let world = Arc::new(World {
            data_dir: dir.path().join("data"),
            end: dir.path().join("end"),
            config: identity.config(),
            certificate: identity.pem,
            played: Played::default(),
            streams: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let end = world.end.display();
        write_program(
            &dir.path().join("lnd"),
            &format!(
                "#!/bin/sh\n\
                 case \"$1\" in --version) echo lnd version 0.21.2-beta commit=x; exit 0;; esac\n\
                 echo started with \"$@\"\n\
                 while [ ! -e \"{end}\" ]; do sleep 0.01; done\n\
                 rm \"{end}\"; echo gone\n"
            ),
        );
        let of_node = world.clone();
        thread::spawn(move || serve(&of_node));
        Self { dir, world }
    }

    /// The program.
    pub(crate) fn program(&self) -> PathBuf {
        self.dir.path().join("lnd")
    }

    /// The data directory for which it answers.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.world.data_dir.clone()
    }

    /// Whether anybody reads the stream of `call`.
    pub(crate) fn is_read(&self, call: &str) -> bool {
        lock(&self.world.streams).contains_key(call)
    }

    /// Sends a message to whoever reads the stream of `call`; one at least does.
    pub(crate) fn tell(&self, call: &str, message: &Value) {
        let streams = lock(&self.world.streams);
        let readers = streams.get(call).map(Vec::as_slice).unwrap_or_default();
        let told = readers.iter().filter(|r| r.send(message.clone()).is_ok());
        assert!(told.count() > 0, "nobody reads {call}");
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.world.over.store(true, Ordering::Relaxed);
        self.judge();
    }
}

/// Listens at each port that a start names, and leaves certificate and macaroon as lnd does.
fn serve(world: &Arc<World>) {
    let mut last = String::new();
    while !world.over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(2));
        let Ok(settings) = std::fs::read_to_string(world.data_dir.join("lnd.conf")) else {
            continue;
        };
        let Some(address) = settings
            .lines()
            .find_map(|line| line.strip_prefix("restlisten="))
            .filter(|address| *address != last)
        else {
            continue;
        };
        let Ok(listener) = TcpListener::bind(address) else {
            continue;
        };
        last = address.to_owned();
        let folder = world.data_dir.join("data/chain/bitcoin/regtest");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(world.data_dir.join("tls.cert"), &world.certificate).unwrap();
        std::fs::write(folder.join("admin.macaroon"), [0xab, 1]).unwrap();
        let of_node = world.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let session = ServerConnection::new(of_node.config.clone()).unwrap();
                let (tls, world) = (StreamOwned::new(session, socket), of_node.clone());
                thread::spawn(move || connection(tls, &world));
            }
        });
    }
}

/// Answers one request after the other.
fn connection(mut tls: Tls, world: &World) {
    while let Some((head, body)) = read_request(&mut tls) {
        let mut words = head.split_whitespace();
        let (method, target) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let wrong = |what: String| world.played.is_wrong(what);
        if header(&head, "grpc-metadata-macaroon") != Some("ab01") {
            wrong(format!("{method} {target}: no or another macaroon"));
        }
        let body: Value = match body.is_empty() {
            true => json!({}),
            false => serde_json::from_slice(&body).unwrap_or_default(),
        };
        let fields = body.as_object().cloned().unwrap_or_default();
        let (call, fields) = match request_of(method, target, &fields) {
            Ok(request) => request,
            Err(why) => {
                wrong(format!("{method} {target} {body}: {why}"));
                return;
            }
        };
        if call.ends_with("/htlcinterceptor") {
            return intercept(tls, &head, &call, world);
        }
        let scripted = world.played.hear(&call, &fields);
        let reply = scripted.unwrap_or_else(|| usual(&call, &fields));
        let (status, value) = match reply {
            Reply::Result(value) => (200, value),
            Reply::Error(code, message) => (
                500,
                json!({"code": code, "message": message, "details": []}),
            ),
            Reply::Messages(messages) => {
                // Nobody may read them any more.
                let _ = messages
                    .iter()
                    .enumerate()
                    .try_for_each(|(n, message)| tell(&mut tls, n == 0, message))
                    .and_then(|()| write(&mut tls, "0\r\n\r\n"));
                continue;
            }
            Reply::Stream => return stream(tls, &call, world),
            Reply::Raw(bytes) => {
                let _ = write(&mut tls, bytes);
                return;
            }
            Reply::Die => {
                std::fs::write(&world.end, "").unwrap();
                return;
            }
        };
        if call == "POST /v1/stop" && status == 200 {
            std::fs::write(&world.end, "").unwrap();
        }
        let body = value.to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
        if write(&mut tls, &format!("{head}{body}")).is_err() {
            return;
        }
    }
}

fn write(tls: &mut Tls, text: &str) -> std::io::Result<()> {
    tls.write_all(text.as_bytes())?;
    tls.flush()
}

/// One message of a stream; the head comes with the first, as LND sends it.
fn tell(tls: &mut Tls, first: bool, message: &Value) -> std::io::Result<()> {
    if first {
        write(tls, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    }
    let line = format!("{}\n", json!({ "result": message }));
    write(tls, &format!("{:x}\r\n{line}\r\n", line.len()))
}

fn stream(mut tls: Tls, call: &str, world: &World) {
    let (sender, told) = mpsc::channel();
    lock(&world.streams)
        .entry(call.to_owned())
        .or_default()
        .push(sender);
    let mut first = true;
    // It says when it has begun.
    if call.ends_with("/htlcevents") {
        let begun = json!({"event_type": "UNKNOWN", "subscribed_event": {}});
        first = tell(&mut tls, true, &begun).is_err();
    }
    while !world.over.load(Ordering::Relaxed) {
        match told.recv_timeout(Duration::from_millis(20)) {
            Ok(message) => {
                if tell(&mut tls, first, &message).is_err() {
                    return;
                }
                first = false;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The websocket of the interceptor: shows what the test tells, and keeps the orders.
fn intercept(mut tls: Tls, head: &str, call: &str, world: &World) {
    let key = header(head, "sec-websocket-key").unwrap_or_default();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    write(&mut tls, &answer).unwrap();
    let (sender, told) = mpsc::channel();
    lock(&world.streams)
        .entry(call.to_owned())
        .or_default()
        .push(sender);
    let mut log = OpenOptions::new()
        .append(true)
        .open(world.data_dir.join("lnd.log"))
        .unwrap();
    writeln!(log, "[DBG] HSWC: Interceptor connected").unwrap();
    let limit = Some(Duration::from_millis(5));
    tls.sock.set_read_timeout(limit).unwrap();
    let mut socket = WebSocket::from_raw_socket(tls, Role::Server, None);
    let fields = CALLS
        .iter()
        .find(|c| c.1.ends_with("/htlcinterceptor"))
        .unwrap()
        .3;
    while !world.over.load(Ordering::Relaxed) {
        while let Ok(message) = told.try_recv() {
            let text = json!({ "result": message }).to_string();
            socket.send(Message::text(text)).unwrap();
        }
        match socket.read() {
            Ok(Message::Text(text)) => {
                let order: Value = serde_json::from_str(&text).unwrap();
                if let Err(why) = Object(fields).fits(&order, false) {
                    world.played.is_wrong(format!("order {order}: {why}"));
                }
                world.played.note(call, order);
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(e)) if lnconform_adapter_process::http::is_timeout(&e) => {}
            Err(_) => return,
        }
    }
}

/// A hash of the stand-in's payments, in LND's two forms: SHA-256 of 32 bytes 07.
pub(crate) fn hash() -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest([7; 32]).into()
}

/// One HTLC of a payment, as LND lists it.
pub(crate) fn attempt(status: &str) -> Value {
    json!({
        "status": status, "attempt_id": "1",
        "preimage": base64([7; 32]),
        "route": {"hops": [{"pub_key": OTHER, "chan_id": "113249697726464",
            "amt_to_forward_msat": "100000", "fee_msat": "0"}]}})
}

/// A payment that has ended well.
pub(crate) fn payment(status: &str) -> Value {
    json!({
        "payment_hash": lnconform_protocol::params::hex(hash()), "status": status,
        "payment_preimage": "07".repeat(32), "value_msat": "100000", "fee_msat": "101",
        "failure_reason": "FAILURE_REASON_NONE", "htlcs": [attempt(status)]})
}

fn usual(call: &str, fields: &Value) -> Reply {
    let policy = json!({"time_lock_delta": 80, "fee_base_msat": "1000"});
    let route = json!({
        "total_time_lock": 190, "total_amt_msat": "100000", "total_fees_msat": "0",
        "hops": [{"chan_id": "113249697726464", "pub_key": OTHER, "expiry": 190,
            "amt_to_forward_msat": "100000", "fee_msat": "0"}]});
    Reply::Result(match call {
        "GET /v1/state" => json!({"state": "SERVER_ACTIVE"}),
        "GET /v1/getinfo" => json!({
            "identity_pubkey": KEY, "version": "0.21.2-beta commit=v0.21.2-beta",
            "block_height": 110, "synced_to_chain": true,
            "features": {"9": {"name": "tlv-onion", "is_known": true}}}),
        "POST /v1/stop" | "POST /v2/router/mc/reset" => json!({}),
        "GET /v1/newaddress" => json!({"address": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"}),
        "GET /v1/balance/blockchain" => {
            json!({"confirmed_balance": "20000000", "total_balance": "20005000"})
        }
        "GET /v1/balance/channels" => {
            json!({"local_balance": {"sat": "5000000", "msat": "5000000000"}})
        }
        "GET /v1/peers" => json!({"peers": [{"pub_key": OTHER, "address": "127.0.0.1:9735",
            "flap_count": 1, "last_flap_ns": "5"}]}),
        "POST /v1/peers" | "DELETE /v1/peers/{pub_key}" => json!({"status": "done"}),
        "POST /v1/channels" => {
            let mut txid = [4; 32];
            // LND writes it in the order of its bytes.
            txid[31] = 5;
            json!({"funding_txid_bytes": base64(txid), "output_index": 1})
        }
        "GET /v1/channels" => json!({"channels": [{
            "active": true, "remote_pubkey": OTHER, "channel_point": format!("{}:1", "04".repeat(32)),
            "chan_id": "113249697726464", "capacity": "10000000", "local_balance": "5000000",
            "remote_balance": "4990000", "private": false, "initiator": true, "pending_htlcs": [],
            "local_constraints": {"chan_reserve_sat": "100000"},
            "remote_constraints": {"chan_reserve_sat": "100000"}}]}),
        "GET /v1/channels/pending" => json!({"pending_open_channels": [{"channel": {
            "remote_node_pub": OTHER, "channel_point": format!("{}:0", "06".repeat(32)),
            "capacity": "500000", "initiator": "INITIATOR_REMOTE", "private": true}}]}),
        "GET /v1/graph" => json!({
            "nodes": [
                {"pub_key": OTHER, "last_update": 0},
                {"pub_key": KEY, "last_update": 1_700_000_000, "alias": "a",
                    "addresses": [{"network": "tcp", "addr": "127.0.0.1:9735"}],
                    "features": {"7": {"is_known": true}}}],
            "edges": [{"channel_id": "113249697726464", "node1_pub": KEY, "node2_pub": OTHER,
                "node1_policy": policy, "node2_policy": policy}]}),
        "POST /v1/invoices" => json!({"r_hash": base64(hash()), "payment_request": "lnbcrt1x",
            "add_index": "1", "payment_addr": base64([8; 32])}),
        "POST /v2/invoices/hodl" => json!({"payment_request": "lnbcrt1held", "add_index": "2",
            "payment_addr": base64([8; 32])}),
        "GET /v1/invoices" => json!({"invoices": []}),
        "GET /v1/invoice/{r_hash_str}" => json!({
            "r_hash": base64(hash()), "r_preimage": base64([7; 32]), "state": "SETTLED",
            "value_msat": "100000", "amt_paid_msat": "100000", "settle_date": "1700000000",
            "payment_addr": base64([8; 32]), "is_amp": false, "is_keysend": false, "htlcs": []}),
        "POST /v2/invoices/settle" | "POST /v2/invoices/cancel" => json!({}),
        "GET /v1/payreq/{pay_req}" => json!({"destination": OTHER, "num_msat": "100000",
            "payment_addr": base64([8; 32]), "cltv_expiry": "80", "blinded_paths": [{
                "blinded_path": {"introduction_node": base64([2; 33]),
                    "blinding_point": base64([3; 33]),
                    "blinded_hops": [{"blinded_node": base64([2; 33]), "encrypted_data": "AQI="}]},
                "base_fee_msat": "1", "proportional_fee_rate": 2, "total_cltv_delta": 80,
                "htlc_min_msat": "1"}]}),
        "POST /v2/router/send" => {
            // An AMP payment is called by its set.
            let amp = fields["amp"] == true;
            let messages = ["IN_FLIGHT", "SUCCEEDED"].map(|status| {
                let mut payment = payment(status);
                if amp {
                    let record = json!({"root_share": base64([1; 32]), "set_id": base64(hash()),
                        "child_index": 0});
                    payment["htlcs"][0]["route"]["hops"][0]["amp_record"] = record;
                }
                payment
            });
            return Reply::Messages(messages.to_vec());
        }
        "POST /v2/router/route" => json!({ "route": route }),
        "GET /v1/graph/routes/{pub_key}/{amt}" => json!({ "routes": [route] }),
        "POST /v2/router/route/send" => attempt("SUCCEEDED"),
        "GET /v1/invoices/subscribe"
        | "GET /v1/channels/subscribe"
        | "GET /v2/router/htlcevents"
        | "GET /v2/router/track/{payment_hash}"
        | "GET /v2/invoices/subscribe/{r_hash}" => return Reply::Stream,
        "POST /v1/signmessage" => json!({"signature": "d9sig"}),
        "POST /v1/verifymessage" => json!({"valid": false, "pubkey": KEY}),
        "POST /v2/signer/signmessage" => json!({"signature": base64([9; 64])}),
        "POST /v2/signer/verifymessage" => json!({"valid": true}),
        _ => return Reply::Error(5, "Not Found"),
    })
}
