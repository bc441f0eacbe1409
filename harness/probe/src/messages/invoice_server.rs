//! bLIP 66 in LDK's dialect: the static invoice server, and the receiver who leaves an invoice with one.
//!
//! - `async.server_paths` {`recipient` (bytes), `misbehave`} answers `paths`, over which that receiver may
//!   ask for offer paths.
//! - `async.use_server` {`paths`, `slot` (0), `misbehave`, `server` (node id, where the misbehaviour goes
//!   past the paths)} asks a server, over such a path, for paths of an
//!   offer, and leaves a static invoice with it. Once the server has confirmed, there is the event
//!   `offer-ready` {`slot`, `offer`}, and `offer.create` with `async` answers that `offer`.
//! - `async.update_invoice` {`slot` (0)} leaves another invoice for the same offer, over the reply path that
//!   came with its paths.
//!
//! Every message is an event `onion-message` {`direction`, `message`, `about`, `reply_path`, `paths`,
//! `invoice`, `forward_path`, `breaks`}: `breaks` is the statement for its sender that one which came does
//! not keep. Who misbehaves does the wrong thing first (`about`: `wrong`) and the right one after it
//! (`right`), so that what comes of either can be told apart. What comes over no path that was made for it
//! is `onion-message-refused` {`rule`, `message`}.

use crate::messages::async_wire::{DIALECT, Mark as Own, read_path};
use crate::messages::static_invoice::{Parts, field};
use crate::messages::{Hears, Messages, Received, To, reply_record};
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::{Hook, now};
use crate::ops::{misbehaviour, public_key};
use lnconform_drafts::async_payments::message::{self, Message, Name, Sender, kind};
use lnconform_drafts::async_payments::server::{self, Incoming, Server};
use lnconform_drafts::async_payments::{Expected, Mark, offline};
use lnconform_drafts::blinding::BlindedPath;
use lnconform_drafts::bolt12::{self, offer};
use lnconform_drafts::onion_message::kind as payload;
use lnconform_drafts::rules::{Rules, Violation};
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The operation of the server.
pub const PATHS: &str = "async.server_paths";
/// The operation of its client.
pub const USE: &str = "async.use_server";

/// Types of payloads that are read here.
const KNOWN: [u64; 4] = [75_540, 75_542, 75_544, 75_546];
/// Seconds that paths of an offer have to last.
const LEAST_LIFETIME: u64 = 60;
/// How many invoices the server keeps for one client.
const LIMIT: u64 = 8;

const RIGHT: &str = "right";
const WRONG: &str = "wrong";

/// What a path of the probe's own making is for.
#[derive(Clone, Debug)]
struct Given {
    mark: Mark,
    /// It went along with a message that was wrong, or right.
    about: &'static str,
    /// Which turn to a server it belongs to.
    turn: u32,
}

/// An offer of a receiver.
#[derive(Clone, Debug)]
struct Left {
    slot: u16,
    records: Vec<Record>,
    /// The path for later invoices.
    update: Option<BlindedPath>,
    about: &'static str,
}

#[derive(Default)]
struct State {
    given: HashMap<Vec<u8>, Given>,
    server: Server,
    /// What the server does wrong, once.
    server_wrong: Option<String>,
    /// Paths that were given to a receiver, or over which it asked for them.
    paths: HashMap<Vec<u8>, Vec<BlindedPath>>,
    /// Paths to the server that the client was told of.
    server_paths: Vec<BlindedPath>,
    client_wrong: Option<String>,
    left: Vec<Left>,
    ready: Vec<(u16, String)>,
    /// How often the client has turned to a server.
    turn: u32,
}

/// The static invoice server, and its client.
pub struct InvoiceServer {
    hook: Arc<Hook>,
    state: Mutex<State>,
}

/// Why a message has come to nothing.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// A rule says so.
    #[error(transparent)]
    Rule(#[from] Violation),
    #[error("{0}")]
    Other(String),
}

impl Error {
    fn other(e: impl ToString) -> Self {
        Self::Other(e.to_string())
    }
}

/// The message with these records, as its sender has to make it.
fn seal(name: Name, records: Vec<Record>, sender: &Sender<'_>) -> Result<Record, Error> {
    let rules = Rules::all();
    let message = Message::from_records(&rules, DIALECT, name, records)?;
    let value = message.encode(&rules, DIALECT, sender)?;
    let number = name.number(DIALECT);
    let number = number.ok_or_else(|| Error::Other(format!("{} has no type", name.as_str())))?;
    Ok(Record::new(number, value))
}

/// The statement for its sender that a message does not keep.
fn breaks(message: &Message, sender: &Sender<'_>) -> Option<&'static str> {
    let sent = message.encode(&Rules::all(), DIALECT, sender);
    sent.err().map(|violation| violation.rule)
}

/// The offer with these paths, and its string.
fn offer_of(paths: &[BlindedPath], hook: &Hook) -> Result<(Vec<Record>, String), Error> {
    let records = vec![
        Record::new(field::CHAINS, crate::messages::bolt12::regtest()),
        Record::new(field::DESCRIPTION, *b"tea"),
        Record::new(
            field::OFFER_PATHS,
            message::write_paths(paths).map_err(Error::other)?,
        ),
        Record::new(field::ISSUER_ID, bolt12::key_of(&hook.secret)),
    ];
    let text = offer::encode(&Rules::all(), &records)?;
    Ok((records, text))
}

impl Hears for InvoiceServer {
    const KNOWN: &'static [u64] = &KNOWN;

    fn new(hook: Arc<Hook>) -> Self {
        let mut state = State::default();
        state.server.limit = Some(LIMIT);
        Self {
            hook,
            state: Mutex::new(state),
        }
    }

    fn hear(&self, messages: &Messages, received: &Received, payload: &Record) -> bool {
        let known = received.path_id.as_ref();
        let given = known.and_then(|id| lock(&self.state).given.get(id).cloned());
        let name = match payload.kind {
            payload::INVOICE_REQUEST if given.is_some() => None,
            kind if KNOWN.contains(&kind) => Name::by_number(DIALECT, kind),
            _ => return false,
        };
        // What comes over another path, or none, has no mark of the probe's.
        let given = given.unwrap_or(Given {
            mark: Mark::default(),
            about: RIGHT,
            turn: 0,
        });
        let answered = match name {
            None => self.requested(messages, received, &payload.value, &given),
            Some(name) => self.take(messages, received, name, &payload.value, &given),
        };
        if let Err(e) = answered {
            let rule = match &e {
                Error::Rule(violation) => Some(violation.rule),
                Error::Other(_) => None,
            };
            let fields = ResultObject::new()
                .with("peer", received.peer.to_string())
                .maybe("rule", rule)
                .with("message", e.to_string())
                .done();
            self.hook.tell("onion-message-refused", fields);
        }
        true
    }
}

impl InvoiceServer {
    fn push(&self, direction: &str, name: &str, about: &str, more: ResultObject) {
        let fields = more
            .with("direction", direction)
            .with("message", name)
            .with("about", about);
        self.hook.tell("onion-message", fields.done());
    }

    /// A path to the probe, marked.
    fn path(
        &self,
        messages: &Messages,
        mark: Mark,
        about: &'static str,
    ) -> Result<BlindedPath, Error> {
        let path_id = self.hook.draw();
        let path = messages.path(&[], &path_id).map_err(Error::other)?;
        let mut state = lock(&self.state);
        let turn = state.turn;
        state
            .given
            .insert(path_id.to_vec(), Given { mark, about, turn });
        drop(state);
        Ok(path)
    }

    fn send(
        &self,
        messages: &Messages,
        to: &To,
        (name, about): (&str, &'static str),
        reply_path: Option<&BlindedPath>,
        payload: Record,
    ) -> Result<(), Error> {
        let mut records: Vec<Record> = reply_path.map(reply_record).into_iter().collect();
        records.push(payload);
        messages.send(&[], to, records).map_err(Error::other)?;
        self.push("sent", name, about, ResultObject::new());
        Ok(())
    }

    fn take(
        &self,
        messages: &Messages,
        received: &Received,
        name: Name,
        value: &[u8],
        given: &Given,
    ) -> Result<(), Error> {
        let message = Message::decode(&Rules::all(), DIALECT, name, value)?;
        let offered = self.offer_paths_for(&given.mark);
        let sender = Sender {
            reply_path: received.reply_path.is_some(),
            offer_paths: offered.as_deref(),
        };
        let shown = |path: &BlindedPath| path.encode().ok().map(hex);
        let paths = message.paths.as_ref();
        let paths = paths.map(|paths| paths.iter().filter_map(shown).collect::<Value>());
        let fields = ResultObject::new()
            .maybe("reply_path", received.reply_path.as_ref().and_then(shown))
            .maybe("paths", paths)
            .maybe("invoice", message.invoice.as_ref().map(|(i, _)| hex(i)))
            .maybe(
                "forward_path",
                message.forward_path.as_ref().and_then(shown),
            )
            .maybe("breaks", breaks(&message, &sender));
        self.push("received", name.as_str(), given.about, fields);
        match name {
            Name::OfferPathsRequest | Name::ServeStaticInvoice => {
                self.serve(messages, received, &message, given)
            }
            _ => self.receive(messages, received, &message, given),
        }
    }

    // ---- the server

    /// The paths that the receiver of a mark was given for an offer.
    fn offer_paths_for(&self, mark: &Mark) -> Option<Vec<BlindedPath>> {
        mark.recipient.as_ref()?;
        lock(&self.state).paths.get(&offered_key(mark)).cloned()
    }

    fn keep(&self, key: Vec<u8>, path: BlindedPath) {
        lock(&self.state).paths.entry(key).or_default().push(path);
    }

    fn serve(
        &self,
        messages: &Messages,
        received: &Received,
        message: &Message,
        given: &Given,
    ) -> Result<(), Error> {
        let incoming = Incoming::Async(message);
        let answer = lock(&self.state)
            .server
            .receive(&Rules::all(), incoming, &given.mark)?;
        let Some(back) = &received.reply_path else {
            return Ok(());
        };
        let wrong = lock(&self.state).server_wrong.clone();
        match answer {
            server::Answer::OfferPaths { path, reply_path } => {
                // The client's path, over which a confirmation has nothing to say.
                self.keep(reply_key(&path), back.clone());
                if wrong.as_deref() == Some("offer-paths-stranger") {
                    self.done();
                    let to = To::Node(received.peer);
                    self.offer_paths(messages, &to, (&path, &reply_path), WRONG)?;
                }
                let to = To::Path(back.clone());
                self.offer_paths(messages, &to, (&path, &reply_path), RIGHT)
            }
            server::Answer::Persisted => {
                let confirmed = seal(Name::StaticInvoicePersisted, Vec::new(), &Sender::default())?;
                let told = Name::StaticInvoicePersisted.as_str();
                let elsewhere = match wrong.as_deref() {
                    Some("static-invoice-persisted-stranger") => Some(To::Node(received.peer)),
                    Some("static-invoice-persisted-other-path") => {
                        let paths = lock(&self.state)
                            .paths
                            .get(&reply_key(&given.mark))
                            .cloned();
                        paths.and_then(|mut paths| paths.pop()).map(To::Path)
                    }
                    Some("offer-paths-other-path") => {
                        self.done();
                        let path = Mark {
                            expects: Some(Expected::InvoiceRequest),
                            ..given.mark.clone()
                        };
                        let to = To::Path(back.clone());
                        self.offer_paths(messages, &to, (&path, &given.mark), WRONG)?;
                        None
                    }
                    _ => None,
                };
                if let Some(to) = elsewhere {
                    // The right one stays away: nothing else shows whether this one counted.
                    self.done();
                    return self.send(messages, &to, (told, WRONG), None, confirmed);
                }
                let to = To::Path(back.clone());
                self.send(messages, &to, (told, RIGHT), None, confirmed)
            }
            server::Answer::Invoice { .. } | server::Answer::Nothing => Ok(()),
        }
    }

    fn done(&self) {
        lock(&self.state).server_wrong = None;
    }

    fn offer_paths(
        &self,
        messages: &Messages,
        to: &To,
        (path, reply_path): (&Mark, &Mark),
        about: &'static str,
    ) -> Result<(), Error> {
        let offered = self.path(messages, path.clone(), about)?;
        let reply = self.path(messages, reply_path.clone(), about)?;
        let value = message::write_paths(std::slice::from_ref(&offered)).map_err(Error::other)?;
        let sender = Sender {
            reply_path: true,
            offer_paths: None,
        };
        let sealed = seal(
            Name::OfferPaths,
            vec![Record::new(kind::PATHS, value)],
            &sender,
        )?;
        self.keep(offered_key(path), offered);
        let name = Name::OfferPaths.as_str();
        self.send(messages, to, (name, about), Some(&reply), sealed)
    }

    /// A payer's request, or one that the server has passed on to the receiver.
    fn requested(
        &self,
        messages: &Messages,
        received: &Received,
        stream: &[u8],
        given: &Given,
    ) -> Result<(), Error> {
        let reply_path = received.reply_path.as_ref();
        let shown = reply_path.and_then(|path| path.encode().ok()).map(hex);
        let fields = ResultObject::new().maybe("reply_path", shown);
        self.push("received", "invoice_request", given.about, fields);
        let answer = lock(&self.state).server.receive(
            &Rules::all(),
            Incoming::InvoiceRequest,
            &given.mark,
        )?;
        let (
            server::Answer::Invoice {
                invoice,
                forward_path,
            },
            Some(back),
        ) = (answer, reply_path)
        else {
            return Ok(());
        };
        let to = To::Path(back.clone());
        let sealed = Record::new(DIALECT.static_invoice(), invoice);
        self.send(messages, &to, ("static_invoice", given.about), None, sealed)?;
        // bLIP 66, static invoice servers: the receiver may be there after all.
        if let Some(bytes) = forward_path {
            let to = To::Path(read_path(&bytes)?);
            let request = Record::new(payload::INVOICE_REQUEST, stream);
            let name = ("invoice_request", given.about);
            if let Err(e) = self.send(messages, &to, name, Some(back), request) {
                eprintln!("adapter: a request is not passed on: {e}");
            }
        }
        Ok(())
    }

    // ---- the receiver

    fn receive(
        &self,
        messages: &Messages,
        received: &Received,
        message: &Message,
        given: &Given,
    ) -> Result<(), Error> {
        let receiver = offline::Receiver {
            now: now(),
            least_lifetime: LEAST_LIFETIME,
            reply_path: received.reply_path.as_ref(),
        };
        let answer = offline::receive(&Rules::all(), &receiver, message, &given.mark)?;
        let turn = lock(&self.state).turn;
        if given.about == WRONG || given.turn != turn {
            // It shows that a wrong message was answered, which is all that was asked; or it is an answer
            // from before the client turned to a server again.
            return Ok(());
        }
        match answer {
            offline::Answer::Serve {
                slot,
                offer_paths,
                kept,
            } => {
                let slot = slot.unwrap_or_default();
                let (records, _) = offer_of(&offer_paths, &self.hook)?;
                let left = Left {
                    slot,
                    records,
                    update: kept,
                    about: RIGHT,
                };
                {
                    let mut state = lock(&self.state);
                    state.left.retain(|l| l.slot != slot);
                    state.left.push(left.clone());
                }
                let wrong = lock(&self.state).client_wrong.clone();
                let first = lock(&self.state).server_paths.first().cloned();
                match wrong.as_deref() {
                    Some("offer-paths-request-other-path") => {
                        lock(&self.state).client_wrong = None;
                        if let Some(path) = offer_paths.first() {
                            self.ask(messages, &To::Path(path.clone()), slot, WRONG)?;
                        }
                    }
                    Some("serve-static-invoice-stranger") => {
                        lock(&self.state).client_wrong = None;
                        self.leave(messages, &To::Node(received.peer), &left, WRONG)?;
                    }
                    Some("serve-static-invoice-other-path") => {
                        lock(&self.state).client_wrong = None;
                        if let Some(path) = first {
                            self.leave(messages, &To::Path(path), &left, WRONG)?;
                        }
                    }
                    _ => {}
                }
                match &left.update {
                    Some(back) => self.leave(messages, &To::Path(back.clone()), &left, RIGHT),
                    None => Ok(()),
                }
            }
            offline::Answer::Ready { slot } => {
                let slot = slot.unwrap_or_default();
                let left = lock(&self.state)
                    .left
                    .iter()
                    .find(|l| l.slot == slot)
                    .cloned();
                let Some(left) = left else { return Ok(()) };
                let text = offer::encode(&Rules::all(), &left.records)?;
                lock(&self.state).ready.push((slot, text.clone()));
                let fields = json!({"slot": slot, "offer": text});
                self.hook.tell("offer-ready", fields);
                Ok(())
            }
            offline::Answer::Release | offline::Answer::Nothing => Ok(()),
        }
    }

    /// Asks for offer paths.
    fn ask(
        &self,
        messages: &Messages,
        to: &To,
        slot: u16,
        about: &'static str,
    ) -> Result<(), Error> {
        let mark = Mark {
            expects: Some(Expected::Async(Name::OfferPaths)),
            recipient: None,
            slot: Some(slot),
        };
        let reply = self.path(messages, mark, about)?;
        let sender = Sender {
            reply_path: true,
            offer_paths: None,
        };
        let slot = Record::new(kind::INVOICE_SLOT, slot.to_be_bytes());
        let sealed = seal(Name::OfferPathsRequest, vec![slot], &sender)?;
        let name = Name::OfferPathsRequest.as_str();
        self.send(messages, to, (name, about), Some(&reply), sealed)
    }

    /// Leaves a new static invoice for an offer.
    fn leave(
        &self,
        messages: &Messages,
        to: &To,
        left: &Left,
        about: &'static str,
    ) -> Result<(), Error> {
        let own = |about| self.hook.own_path(Own::Available(true, Some(about)));
        let parts = Parts {
            offer: &left.records,
            payment_path: self.hook.payment_path().map_err(Error::other)?,
            message_paths: [
                own(about).map_err(Error::other)?,
                own(about).map_err(Error::other)?,
            ],
            now: now(),
        };
        let invoice = parts
            .invoice(&self.hook.secret, None)
            .map_err(Error::other)?;
        let forward = Mark {
            expects: None,
            recipient: None,
            slot: Some(left.slot),
        };
        let forward = self.path(messages, forward, left.about)?;
        let mark = Mark {
            expects: Some(Expected::Async(Name::StaticInvoicePersisted)),
            recipient: None,
            slot: Some(left.slot),
        };
        let reply = self.path(messages, mark, about)?;
        let records = vec![
            Record::new(kind::STATIC_INVOICE, invoice.clone()),
            Record::new(
                kind::FORWARD_INVOICE_REQUEST_PATH,
                forward.encode().map_err(Error::other)?,
            ),
        ];
        let sender = Sender {
            reply_path: true,
            offer_paths: None,
        };
        let sealed = seal(Name::ServeStaticInvoice, records, &sender)?;
        let shown = [reply_record(&reply), sealed];
        messages
            .send(&[], to, shown.to_vec())
            .map_err(Error::other)?;
        let fields = ResultObject::new().with("invoice", hex(invoice));
        self.push("sent", Name::ServeStaticInvoice.as_str(), about, fields);
        Ok(())
    }

    /// The offer that was confirmed last.
    fn ready(&self) -> Option<String> {
        lock(&self.state).ready.last().map(|(_, text)| text.clone())
    }
}

/// Where the path is kept that a receiver was given for the offer of a slot.
fn offered_key(mark: &Mark) -> Vec<u8> {
    key(b'o', mark)
}

/// Where the path is kept over which a receiver asked for it.
fn reply_key(mark: &Mark) -> Vec<u8> {
    key(b'r', mark)
}

fn key(what: u8, mark: &Mark) -> Vec<u8> {
    let mut key = vec![what];
    key.extend(mark.slot.unwrap_or_default().to_be_bytes());
    key.extend(mark.recipient.iter().flatten());
    key
}

// ---- operations

fn failed(e: &Error) -> OpError {
    OpError::rejected(format!("the message is not sent: {e}"))
}

/// `async.server_paths`.
///
/// # Errors
/// `invalid` for a misbehaviour of another operation.
pub fn server_paths(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let recipient = params.hex("recipient")?;
    let wrong = misbehaviour(params, PATHS)?;
    let node = node()?;
    let server = &node.invoice_server;
    let mark = Mark {
        expects: Some(Expected::Async(Name::OfferPathsRequest)),
        recipient: Some(recipient),
        slot: None,
    };
    let path = server
        .path(&node.messages, mark, RIGHT)
        .map_err(|e| failed(&e))?;
    lock(&server.state).server_wrong = wrong;
    let bytes = path.encode().map_err(|e| failed(&Error::other(e)))?;
    Ok(json!({"paths": [hex(bytes)]}))
}

/// `async.use_server`.
///
/// # Errors
/// `invalid` where there is no path, `rejected` where none can be gone.
pub fn use_server(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let mut paths = Vec::new();
    for path in params.list("paths")? {
        let bytes = Params::new(&json!({ "path": path })).hex("path")?;
        let path = read_path(&bytes)
            .map_err(|e| OpError::invalid(format!("param paths holds no path: {e}")))?;
        paths.push(path);
    }
    let slot = slot(params)?;
    let wrong = misbehaviour(params, USE)?;
    let Some(path) = paths.first().cloned() else {
        return Err(OpError::invalid("param paths is empty").into());
    };
    let stranger = wrong.as_deref() == Some("offer-paths-request-stranger");
    let past = stranger.then(|| public_key(params, "server")).transpose()?;
    let node = node()?;
    let (server, messages) = (&node.invoice_server, &node.messages);
    {
        let mut state = lock(&server.state);
        state.server_paths = paths;
        state.client_wrong = wrong.filter(|_| past.is_none());
        state.ready.clear();
        state.turn += 1;
    }
    if let Some(id) = past {
        let to = To::Node(id);
        server
            .ask(messages, &to, slot, WRONG)
            .map_err(|e| failed(&e))?;
    }
    server
        .ask(messages, &To::Path(path), slot, RIGHT)
        .map_err(|e| failed(&e))?;
    node.peers.process_events();
    Ok(json!({}))
}

fn slot(params: Params<'_>) -> Result<u16, OpError> {
    let slot = params.maybe("slot", Params::u32)?.unwrap_or(0);
    u16::try_from(slot).map_err(|_| OpError::invalid("param slot is above 65535"))
}

/// `async.update_invoice`.
///
/// # Errors
/// `rejected` where no server was asked for paths of this slot.
pub fn update(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let slot = slot(params)?;
    let node = node()?;
    let server = &node.invoice_server;
    let left = lock(&server.state)
        .left
        .iter()
        .find(|l| l.slot == slot)
        .cloned();
    let left = left.and_then(|left| Some((left.update.clone()?, left)));
    let Some((back, left)) = left else {
        return Err(OpError::rejected(format!("no server keeps an invoice of slot {slot}")).into());
    };
    server
        .leave(&node.messages, &To::Path(back), &left, RIGHT)
        .map_err(|e| failed(&e))?;
    node.peers.process_events();
    Ok(json!({}))
}

/// `offer.create` with `async`: waits until a server has confirmed an invoice.
///
/// # Errors
/// `timeout` where none has by the deadline.
pub fn offer(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let ms = params.maybe("deadline_ms", Params::u32)?.unwrap_or(15_000);
    let deadline = Instant::now() + Duration::from_millis(ms.into());
    let node = node()?;
    let ready = || node.invoice_server.ready();
    let offer = match ready() {
        Some(offer) => offer,
        None => {
            let what = "confirmation of a static invoice server";
            node.hook.events.wait(deadline, what, |_| ready())?
        }
    };
    Ok(json!({ "offer": offer }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_drafts::rules;
    use lnconform_spec::misbehaviours;

    #[test]
    fn what_a_sender_leaves_out_shows() {
        let slot = Record::new(kind::INVOICE_SLOT, [0, 1]);
        let sender = Sender {
            reply_path: true,
            offer_paths: None,
        };
        let sealed = seal(Name::OfferPathsRequest, vec![slot], &sender).unwrap();
        assert_eq!(sealed.kind, KNOWN[0]);
        let read = Message::decode(
            &Rules::all(),
            DIALECT,
            Name::OfferPathsRequest,
            &sealed.value,
        )
        .unwrap();
        assert_eq!(read.slot, Some(1));
        assert_eq!(breaks(&read, &sender), None);
        let silent = Sender::default();
        assert_eq!(
            breaks(&read, &silent),
            Some(rules::BLIP_66_REQUEST_REPLY_PATH)
        );
        let none = seal(Name::OfferPaths, Vec::new(), &sender);
        assert!(matches!(none, Err(Error::Rule(v)) if v.rule == rules::BLIP_66_PATHS_PATHS));
    }

    #[test]
    fn paths_of_receivers_and_slots_are_kept_apart() {
        let mark = |recipient: &[u8], slot| Mark {
            expects: None,
            recipient: Some(recipient.to_vec()),
            slot: Some(slot),
        };
        let keys = [
            offered_key(&mark(&[1], 0)),
            offered_key(&mark(&[1], 1)),
            offered_key(&mark(&[2], 0)),
            reply_key(&mark(&[1], 0)),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys[at + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn each_misbehaviour_has_the_statement_of_its_reader() {
        let mut count = 0;
        for known in misbehaviours::all().unwrap() {
            if known.operations.iter().any(|o| o == PATHS || o == USE) {
                count += 1;
                let reader = known.reader.unwrap();
                let message = known.name.rsplit_once('-').unwrap().0;
                let message = message.strip_suffix("-other").unwrap_or(message);
                assert_eq!(reader, format!("blip-0066/{message}/authenticate"));
            }
        }
        assert_eq!(count, 8);
    }
}
