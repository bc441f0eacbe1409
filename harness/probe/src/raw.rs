//! Connections without LDK: the handshake of BOLT 8, and any message there is, with a key drawn for
//! each. For the rules that a peer without a channel can break.
//!
//! `raw.connect` and `raw.listen` make connections; their `connection` names one in the other
//! operations. A connection keeps to the rules but for what a step asks for: it begins with init,
//! answers pings, closes where BOLT 1 has a receiver close, and passes on the onion messages that are
//! for the other end of one of the node's raw connections.
//!
//! - `raw.connect` {`node_id`, `address`, `features` [bits], `networks` [chain hashes], `deadline_ms`} →
//!   `connection`, `node_id` (this end's), `open`, and `first` (the peer's first message) and `init`
//!   where it came;
//! - `raw.listen` {`features`, `networks`} → `connection` (the first that comes), `node_id`, `address`;
//! - `raw.accepted` {`connection`} → as `raw.connect`, for a connection that came;
//! - `raw.send` {`connection`, `type`, `payload`} → `sent`;
//! - `raw.onion_message` {`connection`, `path` [node ids, the peer first], `records`, `size`, `scid`} →
//!   `sent`;
//! - `raw.next` {`connection`, `types`, `deadline_ms`} → `found`, and the message's `type`, `message`
//!   (name), `payload`, `act` (`taken`, `ignored`, `closed`), `rule` and fields, or what was `heard`;
//! - `raw.ping` {`connection`, `num_pong_bytes`, `deadline_ms`} → `answered`, `zeros`, and `before`
//!   (lengths of other pongs that came first);
//! - `raw.closed` {`connection`, `deadline_ms`} → `closed`, and `error` and `warning` where they came;
//! - `raw.close` {`connection`}: that one, or all.
//!
//! Events: `message-refused` {`connection`, `message`, `rule`, `act`, `why`}.

mod link;
mod message;
pub(crate) mod noise;
mod reader;
mod wrong;

use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::Hook;
use crate::node::transcript::Direction;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use link::{Link, LinkError, Received, is_pong, spelled};
use lnconform_drafts::features;
use lnconform_drafts::keys;
use lnconform_drafts::onion_message::NextNode;
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex, hex_bytes};
use message::{Init, kind};
use reader::{Act, Judged, init_fields};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// What an end offers unless a step says otherwise: what BOLT 9 has every node support, multi-part
/// payments, anchors (which Electrum insists on), later segwit versions and onion messages, all of
/// them optional.
const FEATURES: [u16; 10] = [1, 5, 9, 13, 15, 17, 23, 27, 39, 45];

/// How long an act of the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often a listener looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The raw connections of a node.
pub struct Raw {
    hook: Arc<Hook>,
    links: Mutex<BTreeMap<String, Arc<Link>>>,
    came: Condvar,
    numbers: Mutex<u32>,
    stop: AtomicBool,
}

/// A handshake's key, and what is said first.
struct Manner {
    secret: SecretKey,
    first: Vec<u8>,
}

impl Raw {
    /// None yet.
    pub fn new(hook: Arc<Hook>) -> Self {
        Self {
            hook,
            links: Mutex::default(),
            came: Condvar::new(),
            numbers: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Ends all connections and listeners.
    pub fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        lock(&self.links).values().for_each(|link| link.close());
    }

    fn number(&self) -> u32 {
        let mut numbers = lock(&self.numbers);
        *numbers += 1;
        *numbers
    }

    fn get(&self, name: &str) -> Result<Arc<Link>, OpError> {
        lock(&self.links)
            .get(name)
            .cloned()
            .ok_or_else(|| OpError::rejected(format!("there is no connection {name}")))
    }

    /// The connection of that name, waited for.
    fn wait(&self, name: &str, deadline: Instant) -> Result<Arc<Link>, OpError> {
        let mut links = lock(&self.links);
        loop {
            if let Some(link) = links.get(name) {
                return Ok(link.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = format!("nobody has connected to {name} by the deadline");
                return Err(OpError::timeout(why));
            }
            links = self
                .came
                .wait_timeout(links, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Puts a connection to work: it says its first message and reads.
    fn take(self: &Arc<Self>, name: &str, link: Link, ear: link::Ear, first: &[u8]) -> Arc<Link> {
        let link = Arc::new(link);
        self.said(&link, first);
        lock(&self.links).insert(name.to_owned(), link.clone());
        self.came.notify_all();
        let (raw, own, name) = (Arc::downgrade(self), link.clone(), name.to_owned());
        let spawned = thread::Builder::new().name("raw".into()).spawn(move || {
            own.listen(ear, |judged, bytes| {
                if let Some(raw) = raw.upgrade() {
                    raw.heard(&name, &own, judged, bytes);
                }
            });
        });
        if let Err(e) = spawned {
            eprintln!("adapter: no thread for a raw connection: {e}");
            link.close();
        }
        link
    }

    /// Sends, and writes it down.
    fn said(&self, link: &Link, bytes: &[u8]) -> bool {
        let sent = link.send(bytes);
        let kind = bytes.first_chunk().map_or(0, |b| u16::from_be_bytes(*b));
        let fields = json!({"raw": true, "bytes": hex(bytes), "sent": sent});
        self.hook
            .transcript
            .note(Direction::Out, link.peer, &spelled(kind), fields);
        sent
    }

    fn heard(&self, name: &str, link: &Link, judged: &Judged, bytes: &[u8]) {
        let message = spelled(judged.kind);
        let fields = ResultObject::new()
            .with("raw", true)
            .with("bytes", hex(bytes))
            .maybe("rule", judged.broken.as_ref().map(|(rule, _)| *rule))
            .done();
        self.hook
            .transcript
            .note(Direction::In, link.peer, &message, fields);
        if let Some((rule, why)) = &judged.broken {
            let fields = ResultObject::new()
                .with("connection", name)
                .with("message", message)
                .with("rule", *rule)
                .with("act", spelled_act(judged.act))
                .with("why", why.clone())
                .done();
            self.hook.tell("message-refused", fields);
        }
        if let Some((NextNode::Id(id), message)) = &judged.forward {
            let next = lock(&self.links)
                .values()
                .find(|link| link.peer.serialize() == *id && !link.is_closed())
                .cloned();
            if let (Some(next), Ok(bytes)) = (next, message.encode()) {
                self.said(&next, &bytes);
            }
        }
    }

    fn answer(name: &str, link: &Link, deadline: Instant) -> Value {
        let init = link.init(deadline);
        ResultObject::new()
            .with("connection", name)
            .with("node_id", link.me.to_string())
            .with("peer", link.peer.to_string())
            .with("open", init.is_some() && !link.is_closed())
            .maybe("first", link.first().map(spelled))
            .maybe("init", init.as_ref().map(init_fields))
            .done()
    }

    fn listen(self: &Arc<Self>, door: String, listener: TcpListener, manner: Manner) {
        let raw: Weak<Self> = Arc::downgrade(self);
        let spawned = thread::Builder::new().name("raw".into()).spawn(move || {
            let mut number = 0_u32;
            loop {
                let Some(raw) = raw.upgrade() else { return };
                if raw.stop.load(Ordering::Relaxed) {
                    return;
                }
                match listener.accept() {
                    Ok((stream, _)) => {
                        let ephemeral = raw.hook.draw_key();
                        match Link::respond(stream, HANDSHAKE, (manner.secret, ephemeral)) {
                            Ok((link, ear)) => {
                                number += 1;
                                let name = match number {
                                    1 => door.clone(),
                                    _ => format!("{door}.{number}"),
                                };
                                raw.take(&name, link, ear, &manner.first);
                            }
                            Err(e) => eprintln!("adapter: a raw connection was not taken: {e}"),
                        }
                    }
                    // The one condition that a listener is asked for: somebody is there.
                    Err(_) => {
                        drop(raw);
                        thread::sleep(LOOK_EVERY);
                    }
                }
            }
        });
        if let Err(e) = spawned {
            eprintln!("adapter: no thread for raw connections: {e}");
        }
    }
}

fn spelled_act(act: Act) -> &'static str {
    match act {
        Act::Take => "taken",
        Act::Ignore => "ignored",
        Act::Close => "closed",
    }
}

/// A message as a result has it.
fn shown(received: &Received) -> Value {
    let mut object = ResultObject::new()
        .with("found", true)
        .with("type", received.kind.to_string())
        .with("message", spelled(received.kind))
        .with("payload", hex(&received.payload))
        .with("act", spelled_act(received.act))
        .maybe("rule", received.broken.as_ref().map(|(rule, _)| *rule));
    for (name, value) in received.fields.as_object().into_iter().flatten() {
        object = object.with(name, value.clone());
    }
    object.done()
}

/// Answers one operation; `node` is asked for once the params have been read.
pub fn call(op: &str, params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    match op {
        "raw.connect" => connect(params, node),
        "raw.listen" => listen(params, node),
        "raw.accepted" => accepted(params, node),
        "raw.send" => send(params, node),
        "raw.onion_message" => onion_message(params, node),
        "raw.next" => next(params, node),
        "raw.ping" => ping(params, node),
        "raw.closed" => closed(params, node),
        "raw.close" => close(params, node),
        _ => Err(Fail::Unsupported(format!(
            "the probe has no operation {op}"
        ))),
    }
}

fn deadline(params: Params<'_>, default_ms: u32) -> Result<Instant, OpError> {
    let ms = params.maybe("deadline_ms", Params::u32)?;
    // A result in time says more than no result: this end stops waiting before the harness does.
    let ms = ms.map_or(default_ms, |ms| ms.saturating_sub(ms / 10));
    Ok(Instant::now() + Duration::from_millis(ms.into()))
}

/// What the misbehaviour of a step is called, if it has one.
fn wrong(params: Params<'_>) -> Result<Option<&str>, OpError> {
    params.maybe("misbehave", Params::str)
}

/// The first message that params describe.
fn first(params: Params<'_>) -> Result<Vec<u8>, OpError> {
    let bits = match params.maybe("features", Params::list)? {
        None => FEATURES.to_vec(),
        Some(list) => {
            let bit = |value: &Value| value.as_u64().and_then(|bit| u16::try_from(bit).ok());
            let bits: Option<Vec<u16>> = list.iter().map(bit).collect();
            bits.ok_or_else(|| OpError::invalid("param features is no list of feature bits"))?
        }
    };
    let networks = match params.maybe("networks", Params::list)? {
        None => vec![message::regtest()],
        Some(list) => {
            let chain = |value: &Value| hex_bytes(value.as_str()?)?.try_into().ok();
            let chains: Option<Vec<[u8; 32]>> = list.iter().map(chain).collect();
            chains.ok_or_else(|| OpError::invalid("param networks is no list of chain hashes"))?
        }
    };
    let init = Init::new(features::from_bits(bits), &networks);
    let name = wrong(params)?;
    wrong::init(&init, name).ok_or_else(|| unknown(name.unwrap_or_default(), "init"))
}

fn unknown(name: &str, what: &str) -> OpError {
    OpError::invalid(format!("the probe does not know how to send {what} {name}"))
}

fn connect(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let peer = PublicKey::from_slice(&params.array::<33>("node_id")?)
        .map_err(|e| OpError::invalid(format!("param node_id is no public key: {e}")))?;
    let address = params.loopback("address")?;
    let first = first(params)?;
    let deadline = deadline(params, 12_000)?;
    let node = node()?;
    let raw = &node.raw;
    let refused = |e: LinkError| OpError::rejected(format!("no connection to {address}: {e}"));
    let stream =
        TcpStream::connect_timeout(&address, HANDSHAKE).map_err(|e| refused(LinkError::Io(e)))?;
    let keys = (node.hook.draw_key(), node.hook.draw_key());
    let (link, ear) = Link::initiate(stream, HANDSHAKE, keys, peer).map_err(refused)?;
    let name = format!("raw-{}", raw.number());
    let link = raw.take(&name, link, ear, &first);
    Ok(Raw::answer(&name, &link, deadline))
}

fn listen(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let first = first(params)?;
    let node = node()?;
    let unusable = |e| OpError::rejected(format!("no port for a raw connection: {e}"));
    let listener = TcpListener::bind("127.0.0.1:0").map_err(unusable)?;
    listener.set_nonblocking(true).map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let secret = node.hook.draw_key();
    let door = format!("door-{}", node.raw.number());
    node.raw
        .listen(door.clone(), listener, Manner { secret, first });
    Ok(json!({
        "connection": door,
        "node_id": keys::public(&secret).to_string(),
        "address": address.to_string(),
    }))
}

fn accepted(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.str("connection")?;
    let deadline = deadline(params, 12_000)?;
    let link = node()?.raw.wait(name, deadline)?;
    Ok(Raw::answer(name, &link, deadline))
}

fn send(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.str("connection")?;
    let bytes = match wrong(params)? {
        Some(wrong) => wrong::message(wrong).ok_or_else(|| unknown(wrong, "a message as"))?,
        None => {
            let kind = u16::try_from(params.number("type")?)
                .map_err(|_| OpError::invalid("param type is above 65535"))?;
            message::message(
                kind,
                &params.maybe("payload", Params::hex)?.unwrap_or_default(),
            )
        }
    };
    let node = node()?;
    let link = node.raw.get(name)?;
    Ok(json!({ "sent": node.raw.said(&link, &bytes) }))
}

fn onion_message(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.str("connection")?;
    let point = |value: &Value| PublicKey::from_slice(&hex_bytes(value.as_str()?)?).ok();
    let path: Option<Vec<PublicKey>> = params.list("path")?.iter().map(point).collect();
    let path = path.ok_or_else(|| OpError::invalid("param path is no list of node ids"))?;
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    let size = params.maybe("size", Params::u32)?;
    let plan = wrong::Plan {
        path,
        records: records
            .into_iter()
            .map(|(kind, value)| Record::new(kind, value))
            .collect(),
        size: size.and_then(|size| usize::try_from(size).ok()),
        scid: params.maybe("scid", Params::number)?,
    };
    let wrong = wrong(params)?;
    let node = node()?;
    let link = node.raw.get(name)?;
    let bytes = plan
        .message(wrong, || node.hook.draw_key())
        .map_err(|e| OpError::invalid(e.to_string()))?;
    Ok(json!({ "sent": node.raw.said(&link, &bytes) }))
}

fn next(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.str("connection")?;
    let kinds = match params.maybe("types", Params::list)? {
        None => None,
        Some(list) => {
            let kind = |value: &Value| value.as_u64().and_then(|kind| u16::try_from(kind).ok());
            let kinds: Option<Vec<u16>> = list.iter().map(kind).collect();
            Some(kinds.ok_or_else(|| OpError::invalid("param types is no list of numbers"))?)
        }
    };
    let deadline = deadline(params, 4_000)?;
    let link = node()?.raw.wait(name, deadline)?;
    Ok(match link.next(deadline, kinds.as_deref()) {
        Some(received) => shown(&received),
        None => json!({"found": false, "closed": link.is_closed(), "heard": link.heard()}),
    })
}

fn ping(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.str("connection")?;
    let wanted = u16::try_from(params.maybe("num_pong_bytes", Params::u32)?.unwrap_or(7))
        .map_err(|_| OpError::invalid("param num_pong_bytes is above 65535"))?;
    let deadline = deadline(params, 4_000)?;
    let node = node()?;
    let link = node.raw.wait(name, deadline)?;
    let before = link.count();
    node.raw.said(&link, &message::ping(wanted));
    let came = link.find(deadline, before, |m| is_pong(m, wanted));
    let object = ResultObject::new()
        .with("answered", came.is_some())
        .with("closed", link.is_closed());
    let Some(came) = came else {
        return Ok(object.with("heard", link.heard()).done());
    };
    let pongs = came.iter().filter(|m| m.kind == kind::PONG);
    let mut lengths: Vec<Value> = pongs.map(|m| m.fields["byteslen"].clone()).collect();
    lengths.pop();
    let zeros = came.last().map(|m| m.fields["zeros"].clone());
    Ok(object.maybe("zeros", zeros).with("before", lengths).done())
}

fn closed(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.str("connection")?;
    let deadline = deadline(params, 4_000)?;
    let link = node()?.raw.wait(name, deadline)?;
    Ok(ResultObject::new()
        .with("closed", link.closed(deadline))
        .maybe("error", link.complaint(kind::ERROR))
        .maybe("warning", link.complaint(kind::WARNING))
        .with("heard", link.heard())
        .done())
}

fn close(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.maybe("connection", Params::str)?;
    let node = node()?;
    match name {
        Some(name) => node.raw.get(name)?.close(),
        None => lock(&node.raw.links).values().for_each(|link| link.close()),
    }
    Ok(json!({}))
}

#[cfg(test)]
mod tests;
