//! A stand-in for Eclair: a program that tells where it was told to listen, and a server that
//! answers there.
//!
//! It knows the form fields of each call as Eclair's interface publishes them: which are needed,
//! which may be there, and the form of each. Any other field is refused. A call that the adapter
//! makes and that is not in the list is refused as well.

use lnconform_adapter_process::lock;
use lnconform_adapter_process::testing::{KEY, OTHER, Played, header, read_request, write_program};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) const ID: &str = "11111111-1111-1111-1111-111111111111";

/// The form of a field.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// 33 bytes, hex.
    Key,
    /// 32 bytes, hex.
    Hash,
    /// Any bytes, hex.
    Hex,
    /// Any bytes, base64.
    Base64,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Bool,
    /// NODEID@HOST:PORT.
    Uri,
    /// A UUID.
    Id,
    /// A BOLT 11 invoice, or an offer: begins with this.
    Begins(&'static str),
    /// Any text.
    Text,
}

impl Form {
    fn fits(self, value: &str) -> bool {
        let hex = |n: usize| value.len() == 2 * n && value.bytes().all(|b| b.is_ascii_hexdigit());
        match self {
            Form::Key => hex(33),
            Form::Hash => hex(32),
            Form::Hex => hex(value.len() / 2),
            Form::Base64 => value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)),
            Form::Number => value.parse::<i64>().is_ok_and(|n| n >= 0),
            Form::Bool => matches!(value, "true" | "false"),
            Form::Uri => value.split_once('@').is_some_and(|(key, address)| {
                Form::Key.fits(key) && address.parse::<std::net::SocketAddr>().is_ok()
            }),
            Form::Id => value.len() == 36 && value.split('-').count() == 5,
            Form::Begins(with) => value.starts_with(with),
            Form::Text => true,
        }
    }
}

/// Needed, and allowed beside them.
type Fields = (
    &'static [(&'static str, Form)],
    &'static [(&'static str, Form)],
);

/// The calls, with their fields.
const CALLS: &[(&str, Fields)] = {
    use Form::{Base64, Begins, Bool, Hash, Hex, Id, Key, Number, Text, Uri};
    &[
        ("getinfo", (&[], &[])),
        ("getnewaddress", (&[], &[])),
        ("onchainbalance", (&[], &[])),
        ("connect", (&[("uri", Uri)], &[])),
        ("disconnect", (&[("nodeId", Key)], &[])),
        ("peers", (&[], &[])),
        (
            "open",
            (
                &[("nodeId", Key), ("fundingSatoshis", Number)],
                &[
                    ("pushMsat", Number),
                    ("channelType", Text),
                    ("fundingFeerateSatByte", Number),
                    ("fundingFeeBudgetSatoshis", Number),
                    ("requestFundingSatoshis", Number),
                    ("announceChannel", Bool),
                    ("openTimeoutSeconds", Number),
                ],
            ),
        ),
        ("channels", (&[], &[("nodeId", Key)])),
        ("channelbalances", (&[], &[])),
        ("allchannels", (&[], &[])),
        ("allupdates", (&[], &[("nodeId", Key)])),
        ("nodes", (&[], &[("nodeIds", Text)])),
        (
            // One of `description` and `descriptionHash` is needed, which is looked at apart.
            "createinvoice",
            (
                &[],
                &[
                    ("description", Text),
                    ("descriptionHash", Hash),
                    ("amountMsat", Number),
                    ("expireIn", Number),
                    ("fallbackAddress", Text),
                    ("paymentPreimage", Hash),
                ],
            ),
        ),
        ("getreceivedinfo", (&[("paymentHash", Hash)], &[])),
        (
            "payinvoice",
            (
                &[("invoice", Begins("ln"))],
                &[
                    ("amountMsat", Number),
                    ("maxAttempts", Number),
                    ("maxFeeFlatSat", Number),
                    ("maxFeePct", Number),
                    ("externalId", Text),
                    ("blocking", Bool),
                ],
            ),
        ),
        (
            "sendtonode",
            (
                &[("amountMsat", Number), ("nodeId", Key)],
                &[
                    ("maxAttempts", Number),
                    ("maxFeeFlatSat", Number),
                    ("maxFeePct", Number),
                    ("externalId", Text),
                ],
            ),
        ),
        ("getsentinfo", (&[("id", Id)], &[])),
        (
            "createoffer",
            (
                &[],
                &[
                    ("description", Text),
                    ("amountMsat", Number),
                    ("expireInSeconds", Number),
                    ("issuer", Text),
                    ("blindedPathsFirstNodeId", Key),
                ],
            ),
        ),
        (
            "payoffer",
            (
                &[("offer", Begins("lno1")), ("amountMsat", Number)],
                &[
                    ("quantity", Number),
                    ("maxAttempts", Number),
                    ("externalId", Text),
                    ("connectDirectly", Bool),
                    ("blocking", Bool),
                ],
            ),
        ),
        ("signmessage", (&[("msg", Base64)], &[])),
        ("verifymessage", (&[("msg", Base64), ("sig", Hex)], &[])),
    ]
};

/// Whether a request is as published.
pub(crate) fn request_fits(call: &str, fields: &BTreeMap<String, String>) -> Result<(), String> {
    let (_, (needed, allowed)) = CALLS
        .iter()
        .find(|(name, _)| *name == call)
        .ok_or("there is no such call")?;
    if let Some((name, _)) = needed.iter().find(|(name, _)| !fields.contains_key(*name)) {
        return Err(format!("{name} is missing"));
    }
    if call == "createinvoice"
        && fields.contains_key("description") == fields.contains_key("descriptionHash")
    {
        return Err("one of description and descriptionHash is needed".into());
    }
    for (name, value) in fields {
        let known = needed.iter().chain(*allowed).find(|(n, _)| n == name);
        let (_, form) = known.ok_or_else(|| format!("{name} is unknown"))?;
        if !form.fits(value) {
            return Err(format!("{name} is {value}, not {form:?}"));
        }
    }
    Ok(())
}

/// What the stand-in does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with a value.
    Result(Value),
    /// Refuses, with a status and words.
    Error(u16, &'static str),
    /// Writes these bytes, whatever they are, and closes.
    Raw(&'static str),
    /// The process ends instead of answering.
    Die,
}

type Request = BTreeMap<String, String>;
/// What is shared with the threads.
struct World {
    played: Played<Request, Reply>,
    events: Mutex<Vec<TcpStream>>,
    end: PathBuf,
    over: AtomicBool,
    data_dir: PathBuf,
}

/// Everything that a test sees of the stand-in.
pub(crate) struct StandIn {
    dir: tempfile::TempDir,
    world: Arc<World>,
    pub(crate) bitcoind: u16,
}

impl Deref for StandIn {
    type Target = Played<Request, Reply>;

    fn deref(&self) -> &Self::Target {
        &self.world.played
    }
}

impl StandIn {
    /// A stand-in that answers as a node with one channel does, and a bitcoind that makes wallets.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let world = Arc::new(World {
            played: Played::default(),
            events: Mutex::default(),
            end: dir.path().join("end"),
            over: AtomicBool::new(false),
            data_dir,
        });
        let home = dir.path();
        std::fs::create_dir_all(home.join("lib")).unwrap();
        std::fs::write(home.join("lib/eclair-node_2.13-0.13.0.jar"), "").unwrap();
        let end = world.end.display();
        let pid = world.data_dir.join("pid");
        let pid = pid.display();
        write_program(
            &home.join("bin/eclair-node.sh"),
            &format!(
                "#!/bin/sh\necho $$ > \"{pid}\"\necho started with \"$@\"\n\
                 while [ ! -e \"{end}\" ]; do sleep 0.01; done; echo gone\n"
            ),
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bitcoind = listener.local_addr().unwrap().port();
        let of_bitcoind = world.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                bitcoin(stream, &of_bitcoind);
            }
        });
        // The adapter draws the port and the password: they are in the settings that it writes.
        let of_node = world.clone();
        thread::spawn(move || serve(&of_node));
        Self {
            dir,
            world,
            bitcoind,
        }
    }

    /// The program.
    pub(crate) fn program(&self) -> PathBuf {
        self.dir.path().join("bin/eclair-node.sh")
    }

    /// The data directory for which it answers.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.world.data_dir.clone()
    }

    /// Sends an event to whoever listens.
    pub(crate) fn tell(&self, event: &Value) {
        let text = event.to_string();
        let length = u16::try_from(text.len()).unwrap();
        // RFC 6455: a whole text frame, not masked, its length in two bytes.
        let mut frame = vec![0x81, 126];
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(text.as_bytes());
        for stream in lock(&self.world.events).iter_mut() {
            let _ = stream.write_all(&frame);
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.world.over.store(true, Ordering::Relaxed);
        self.judge();
    }
}

/// A setting of the file, by the first line that has it after `section`.
fn setting(settings: &str, section: &str, name: &str) -> Option<String> {
    let of_section = settings.split_once(&format!("  {section} {{"))?.1;
    let line = of_section
        .lines()
        .find_map(|l| l.trim().strip_prefix(&format!("{name} = ")))?;
    Some(line.trim_matches('"').to_owned())
}

/// Listens at each port that a start names, once its program is there: one that is killed before it has
/// said its process id would never be missed.
fn serve(world: &Arc<World>) {
    let mut last = String::new();
    while !world.over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
        let path = world.data_dir.join("eclair.conf");
        let Ok(settings) = std::fs::read_to_string(path) else {
            continue;
        };
        let (Some(port), Some(password)) = (
            setting(&settings, "api", "port"),
            setting(&settings, "api", "password"),
        ) else {
            continue;
        };
        let said = std::fs::read_to_string(world.data_dir.join("pid")).unwrap_or_default();
        if port == last || !said.ends_with('\n') {
            continue;
        }
        let Ok(listener) = TcpListener::bind(format!("127.0.0.1:{port}")) else {
            continue;
        };
        last = port;
        answer_at(listener, &password, world);
    }
}

fn answer_at(listener: TcpListener, password: &str, world: &Arc<World>) {
    use base64::Engine as _;
    let token = base64::engine::general_purpose::STANDARD.encode(format!(":{password}"));
    listener.set_nonblocking(true).unwrap();
    while !world.over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                let (world, token) = (world.clone(), token.clone());
                thread::spawn(move || answer(stream, &token, &world));
            }
            Err(_) if gone(world) => break,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
    lock(&world.events).clear();
}

/// Whether the program that was started has gone: it has left its process id, and the process is
/// no more.
fn gone(world: &World) -> bool {
    let file = world.data_dir.join("pid");
    let Ok(pid) = std::fs::read_to_string(&file) else {
        return false;
    };
    let gone = !pid.trim().is_empty() && !Path::new(&format!("/proc/{}", pid.trim())).exists();
    if gone {
        std::fs::remove_file(file).unwrap();
    }
    gone
}

fn answer(mut stream: TcpStream, token: &str, world: &World) {
    let Some((head, body)) = read_request(&mut stream) else {
        return;
    };
    let call = head.split_whitespace().nth(1).unwrap_or_default();
    let call = call.trim_start_matches('/').to_owned();
    let wrong = |what: String| world.played.is_wrong(what);
    if header(&head, "authorization") != Some(&format!("Basic {token}")) {
        wrong(format!("{call}: no or another password"));
    }
    if call == "ws" {
        let key = header(&head, "sec-websocket-key").unwrap_or_default();
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        // Who has the answer takes itself to be listening, so that nothing is told in between.
        let mut events = lock(&world.events);
        stream.write_all(answer.as_bytes()).unwrap();
        events.push(stream);
        return;
    }
    if !head.starts_with("POST ") {
        wrong(format!("{head}: not POST"));
    }
    let fields: Request = String::from_utf8_lossy(&body)
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), unescaped(value)))
        .collect();
    let scripted = world.played.hear(&call, &fields);
    if let Err(why) = request_fits(&call, &fields) {
        wrong(format!("{call} {fields:?}: {why}"));
    }
    let reply = scripted.unwrap_or_else(|| usual(&call));
    let (status, value) = match reply {
        Reply::Result(value) => (200, value),
        Reply::Error(status, message) => (status, json!({ "error": message })),
        Reply::Raw(bytes) => {
            let _ = stream.write_all(bytes.as_bytes());
            return;
        }
        Reply::Die => {
            std::fs::write(&world.end, "").unwrap();
            return;
        }
    };
    let body = value.to_string();
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Nobody may wait for it any more.
    let _ = stream.write_all(answer.as_bytes());
}

/// bitcoind: it makes a wallet once, and then has it.
fn bitcoin(mut stream: TcpStream, world: &World) {
    let Some((head, body)) = read_request(&mut stream) else {
        return;
    };
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    // "u:p" in base64.
    if !head.contains("Authorization: Basic dTpw\r\n") {
        world.played.is_wrong(format!("bitcoind: {head}"));
    }
    let made = world.played.asked("bitcoind").is_empty();
    let method = request["method"].as_str().unwrap_or_default().to_owned();
    let wallet = request["params"][0].as_str().unwrap_or_default().to_owned();
    let fields = BTreeMap::from([
        ("method".to_owned(), method.clone()),
        ("wallet".into(), wallet),
    ]);
    world.played.note("bitcoind", fields);
    let (status, answer) = match method.as_str() {
        "createwallet" if made => (200, json!({"result": {"name": "x"}, "error": null})),
        "createwallet" => (
            500,
            json!({"result": null, "error": {"code": -4, "message": "exists"}}),
        ),
        _ => (
            500,
            json!({"result": null, "error": {"code": -35, "message": "loaded"}}),
        ),
    };
    let body = answer.to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b == b'%' {
            let pair: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.push(u8::from_str_radix(&pair, 16).unwrap());
        } else {
            bytes.push(b);
        }
    }
    String::from_utf8(bytes).unwrap()
}

pub(crate) fn hash() -> String {
    "0a".repeat(32)
}

/// A part of a payment, as `getsentinfo` has it.
pub(crate) fn part(status: &Value) -> Value {
    json!({
        "id": "22222222-2222-2222-2222-222222222222", "parentId": ID, "paymentHash": hash(),
        "paymentType": "Standard", "amount": 100_101, "recipientAmount": 100_000,
        "recipientNodeId": OTHER, "createdAt": {"iso": "x", "unix": 1_700_000_000},
        "status": status})
}

fn usual(call: &str) -> Reply {
    Reply::Result(match call {
        "getinfo" => json!({
            "version": "0.13.0-abcdef", "nodeId": KEY, "alias": "a", "color": "#49daaa",
            "features": {"activated": {"keysend": "optional"}, "unknown": []},
            "chainHash": hash(), "network": "regtest", "blockHeight": 110,
            "publicAddresses": [], "instanceId": ID}),
        "getnewaddress" => json!("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"),
        "onchainbalance" => json!({"confirmed": 20_000_000, "unconfirmed": 5000}),
        "connect" => json!("connected"),
        "disconnect" => json!("peer OTHER disconnecting"),
        "peers" => json!([
            {"nodeId": OTHER, "state": "CONNECTED", "address": "127.0.0.1:9735", "channels": 1},
            {"nodeId": KEY, "state": "DISCONNECTED", "channels": 1}]),
        "open" => json!(format!(
            "created channel {} with fundingTxId={} and fees=1000 sat",
            "05".repeat(32),
            "04".repeat(32)
        )),
        "channels" => json!([{
            "nodeId": OTHER, "channelId": "05".repeat(32), "state": "NORMAL",
            "data": {
                "aliases": {"localAlias": "0x7"},
                "lastAnnouncement": {"shortChannelId": "103x1x1"},
                "commitments": {"active": [{
                    "fundingTx": {"outPoint": format!("{}:1", "04".repeat(32))},
                    "localCommit": {"spec": {"htlcs": [], "toLocal": 5_000_000_000_u64,
                        "toRemote": 5_000_000_000_u64}}}]}}}]),
        "channelbalances" => json!([{
            "remoteNodeId": OTHER, "aliases": {"localAlias": "0x7"}, "canSend": 4_890_000_000_u64,
            "canReceive": 4_900_000_000_u64, "isPublic": true, "isEnabled": true}]),
        "allchannels" => json!([
            {"shortChannelId": "104x1x0", "a": KEY, "b": OTHER},
            {"shortChannelId": "103x1x1", "a": KEY, "b": OTHER}]),
        "allupdates" => json!([
            {"shortChannelId": "103x1x1", "feeBaseMsat": 1}, {"shortChannelId": "103x1x1"},
            {"shortChannelId": "104x1x0"}]),
        "nodes" => json!([{"nodeId": KEY, "alias": "a", "addresses": ["127.0.0.1:9735"]}]),
        "createinvoice" => json!({"serialized": "lnbcrt1x", "paymentHash": hash()}),
        "getreceivedinfo" => json!({"status": {"type": "received", "amount": 100_000,
            "receivedAt": {"iso": "x", "unix": 1_700_000_000}}}),
        "payinvoice" | "sendtonode" | "payoffer" => json!(ID),
        "createoffer" => json!({"amountMsat": 50_000, "encoded": "lno1qgqsw"}),
        "getsentinfo" => json!([part(&json!({"type": "pending"}))]),
        "signmessage" => json!({"nodeId": KEY, "message": "aGk=", "signature": "1f00"}),
        "verifymessage" => json!({"valid": true, "publicKey": OTHER}),
        _ => return Reply::Error(404, "The requested resource could not be found."),
    })
}
