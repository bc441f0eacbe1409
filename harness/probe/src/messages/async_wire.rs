//! Async payments on the wire, in LDK's dialect: the flag by which an HTLC is held, the paths over which
//! it is released, and the onion messages that go over them.
//!
//! - `keysend.send` takes `hold` (bool): its HTLC asks the next node to hold it. The path that the next
//!   node answers with is the event `release-path` (`payment_hash`, `path`). With `release_early` the
//!   probe releases it itself, before the HTLC is irrevocably committed.
//! - With the option `forwards` the probe holds what it is asked to hold: `htlc-held`, then
//!   `htlc-released` (`held`: it was held by then) and `payment-forwarded`, or `htlc-not-held`. A message
//!   that it cannot read, or that is not the one that the path was made for, is `onion-message-refused`
//!   (`rule`, `message`).
//! - `async.hold` {`paths` (1), `misbehave`} says how many paths the next HTLC that is to be held gets for
//!   its release, and what is done wrong with it. `payment.cancel` fails one that is held.
//! - `async.path` gives a path over which the probe may be told of a held HTLC; what comes is the event
//!   `onion-message` (`direction`, `message`, `reply_path`; `over_again`, `reply_path_again`: that path, or
//!   that reply path, has come before), and the answer goes back at once unless
//!   `answers` is false.
//! - `async.send` sends `message` over `path`, with `reply_path` where one is given.

use crate::messages::static_invoice::Offered;
use crate::messages::{Messages, Received, To, reply_record};
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::Hook;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::secp256k1::PublicKey;
use lightning03::blinded_path::message::{AsyncPaymentsContext, BlindedMessagePath};
use lightning03::ln::channelmanager::InterceptId;
use lightning03::ln::msgs::{self, MessageSendEvent};
use lightning03::ln::types::ChannelId;
use lightning03::onion_message::async_payments::{AsyncPaymentsMessageHandler, ReleaseHeldHtlc};
use lightning03::util::ser::{Readable, Writeable};
use lnconform_drafts::async_payments::message::{Message, Sender};
use lnconform_drafts::async_payments::{Dialect, Name};
use lnconform_drafts::blinding::{self, BlindedPath};
use lnconform_drafts::keys::{self, Point};
use lnconform_drafts::onion_message::kind;
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_drafts::tlv::{self, Record};
use lnconform_drafts::value::Reader;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use lnconform_spec::misbehaviours;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What is spoken.
pub const DIALECT: Dialect = Dialect::Ldk;
/// Types of onion messages that are read, beside those of BOLT 4.
const KNOWN: [u64; 2] = [72, 74];

/// An HTLC: its channel, and its number there.
type Htlc = (ChannelId, u64);

/// What a path of the probe's own making is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The release of an HTLC that came from this peer.
    Release(Htlc, PublicKey),
    /// News of a held HTLC: whether it is answered, and which static invoice has the path.
    Available(bool, Option<&'static str>),
    /// A request for an invoice for the offer of this number.
    Request(usize),
    /// A payment.
    Payment,
    /// The word of the receiver of a payment of this hash that its HTLC may come.
    Paying([u8; 32]),
}

/// An HTLC that came with the flag.
#[derive(Clone, Debug)]
struct Held {
    hash: [u8; 32],
    /// Who has sent it.
    from: Option<PublicKey>,
    /// How many paths it gets for its release.
    wanted: usize,
    /// Those, once they were sent.
    paths: Vec<BlindedPath>,
    wrong: Option<String>,
}

/// An HTLC that is to be held goes on at once.
const EARLY: &str = "hold-forwarded-early";
/// Nobody is told how it would be released.
const WITHOUT_PATH: &str = "hold-without-release-path";

/// What the probe knows of async payments.
#[derive(Default)]
pub struct State {
    /// Hashes of payments that are sent with the flag, and whether they are released early.
    asked: HashMap<[u8; 32], bool>,
    /// The probe's HTLCs that went out with the flag.
    sent: HashMap<Htlc, [u8; 32]>,
    /// HTLCs that came with the flag.
    held: HashMap<Htlc, Held>,
    released: HashSet<Htlc>,
    marks: HashMap<Vec<u8>, Mark>,
    /// Messages about channels that wait until an onion message has gone out.
    delayed: Vec<MessageSendEvent>,
    delays: HashSet<PublicKey>,
    offers: Vec<Offered>,
    /// What is done wrong with the next HTLC that is to be held.
    hold_wrong: Option<String>,
    /// How many paths the next HTLC that is held gets for its release.
    release_paths: usize,
    /// HTLCs that are to be failed instead of released.
    giving_up: Vec<(Htlc, PublicKey)>,
    /// Paths by which the probe was told of an HTLC, and those that were to bring its answer.
    told_over: HashSet<Vec<u8>>,
    replies: HashSet<Vec<u8>>,
    to_release: Vec<AsyncPaymentsContext>,
}

impl State {
    /// The payment of this hash is sent with the flag.
    pub fn ask(&mut self, hash: [u8; 32], early: bool) {
        self.asked.insert(hash, early);
    }

    /// A path with this mark is given out.
    pub(crate) fn mark(&mut self, path_id: Vec<u8>, mark: Mark) {
        self.marks.insert(path_id, mark);
    }

    /// What a path was given out for.
    pub(crate) fn find(&self, path_id: &Vec<u8>) -> Option<Mark> {
        self.marks.get(path_id).copied()
    }

    /// The number of the next offer.
    pub(crate) fn next_offer(&self) -> usize {
        self.offers.len()
    }

    /// An offer is made.
    pub(crate) fn offer(&mut self, offered: Offered) {
        self.offers.push(offered);
    }

    /// The offer of that number.
    pub(crate) fn offered(&self, number: usize) -> Option<Offered> {
        self.offers.get(number).cloned()
    }

    /// What goes out now of messages about channels: those for a peer that is to get an onion message
    /// first are kept until it has gone, which `waits` says.
    fn in_turn(
        &mut self,
        events: Vec<MessageSendEvent>,
        waits: impl Fn(&PublicKey) -> bool,
    ) -> Vec<MessageSendEvent> {
        if self.delays.is_empty() && self.delayed.is_empty() {
            return events;
        }
        self.delays.retain(waits);
        let mut all = std::mem::take(&mut self.delayed);
        all.extend(events);
        let (later, now): (Vec<_>, Vec<_>) = all.into_iter().partition(|event| match event {
            MessageSendEvent::SendRevokeAndACK { node_id, .. }
            | MessageSendEvent::UpdateHTLCs { node_id, .. } => self.delays.contains(node_id),
            _ => false,
        });
        self.delayed = later;
        now
    }
}

/// Why an onion message was not sent or not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule is broken.
    #[error(transparent)]
    Rule(#[from] Violation),
    /// A key is none.
    #[error("the path has a key that is no point")]
    Key,
    /// What else there is.
    #[error("{0}")]
    Other(String),
}

impl From<Error> for Fail {
    fn from(e: Error) -> Self {
        OpError::invalid(format!("the message cannot be sent: {e}")).into()
    }
}

/// The record of the onion message, and its value.
fn payload(name: Name) -> Result<Record, Error> {
    let number = name.number(DIALECT);
    let number = number.ok_or_else(|| Error::Other(format!("{} has no type", name.as_str())))?;
    let message = Message {
        name,
        records: Vec::new(),
        slot: None,
        paths: None,
        paths_absolute_expiry: None,
        invoice: None,
        forward_path: None,
    };
    let value = message.encode(&Rules::all(), DIALECT, &Sender::default())?;
    Ok(Record::new(number, value))
}

pub(crate) fn read_path(bytes: &[u8]) -> Result<BlindedPath, Violation> {
    let rules = Rules::all();
    let mut value = Reader::new(&rules, "path", bytes);
    let path = BlindedPath::read(&rules, &mut value)?;
    value.end()?;
    Ok(path)
}

/// LDK's form of a path.
fn to_ldk(path: &BlindedPath) -> Option<BlindedMessagePath> {
    let bytes = path.encode().ok()?;
    BlindedMessagePath::read(&mut &bytes[..]).ok()
}

impl Hook {
    // ---- HTLCs that are held

    /// An HTLC of the probe's goes out.
    pub(crate) fn flag(&self, add: &mut msgs::UpdateAddHTLC) {
        let mut state = lock(&self.wire);
        if state.asked.contains_key(&add.payment_hash.0) {
            add.hold_htlc = Some(());
            let htlc = (add.channel_id, add.htlc_id);
            state.sent.insert(htlc, add.payment_hash.0);
        }
    }

    /// An HTLC for somebody else has come. Answers what LDK is handed in its place.
    pub(crate) fn is_asked_to_hold(&self, add: &msgs::UpdateAddHTLC) -> msgs::UpdateAddHTLC {
        let mut handed = add.clone();
        if add.hold_htlc.is_none() {
            return handed;
        }
        let htlc = (add.channel_id, add.htlc_id);
        let mut state = lock(&self.wire);
        if !state.held.contains_key(&htlc) {
            let held = Held {
                hash: add.payment_hash.0,
                from: None,
                wanted: std::mem::take(&mut state.release_paths).max(1),
                paths: Vec::new(),
                wrong: state.hold_wrong.take(),
            };
            state.held.insert(htlc, held);
        }
        let wrong = state.held.get(&htlc).and_then(|held| held.wrong.as_deref());
        if wrong == Some(EARLY) {
            handed.hold_htlc = None;
        }
        handed
    }

    /// A `revoke_and_ack` goes out: the paths in it are made to be the probe's own.
    pub(crate) fn give_release_paths(&self, peer: PublicKey, msg: &mut msgs::RevokeAndACK) {
        let mut ids: Vec<u64> = Vec::new();
        for (id, _) in &msg.release_htlc_message_paths {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        {
            // LDK has no path for what it was not asked to hold.
            let state = lock(&self.wire);
            let early = state.held.iter().filter(|(htlc, held)| {
                htlc.0 == msg.channel_id
                    && held.paths.is_empty()
                    && held.wrong.as_deref() == Some(EARLY)
            });
            ids.extend(early.map(|(htlc, _)| htlc.1));
        }
        let mut given = Vec::new();
        for id in ids {
            let htlc = (msg.channel_id, id);
            let known = lock(&self.wire).held.get(&htlc).cloned();
            let Some(mut held) = known else {
                let of_ldk = msg.release_htlc_message_paths.iter();
                given.extend(of_ldk.filter(|(of, _)| *of == id).cloned());
                continue;
            };
            if held.paths.is_empty() {
                for _ in 0..held.wanted {
                    match self.own_path(Mark::Release(htlc, peer)) {
                        Ok(own) => held.paths.push(own),
                        Err(e) => eprintln!("adapter: no path can be made: {e}"),
                    }
                }
                held.from = Some(peer);
                lock(&self.wire).held.insert(htlc, held.clone());
                let fields = json!({"payment_hash": hex(held.hash)});
                self.tell("htlc-held", fields);
            }
            if held.wrong.as_deref() != Some(WITHOUT_PATH) {
                given.extend(held.paths.iter().filter_map(to_ldk).map(|path| (id, path)));
            }
        }
        msg.release_htlc_message_paths = given;
    }

    /// Fails an HTLC that is held, as soon as LDK has it. Answers whether there is one of this hash.
    pub(crate) fn give_up_held(&self, hash: &[u8; 32]) -> bool {
        let mut state = lock(&self.wire);
        let mut all = state.held.iter();
        let found = all.find_map(|(htlc, held)| {
            let waits = held.hash == *hash
                && held.wrong.as_deref() != Some(EARLY)
                && !state.released.contains(htlc);
            waits.then_some((*htlc, held.from?))
        });
        state.giving_up.extend(found);
        found.is_some()
    }

    /// A `revoke_and_ack` has come.
    pub(crate) fn release_paths_came(&self, peer: PublicKey, msg: &msgs::RevokeAndACK) {
        for (id, path) in &msg.release_htlc_message_paths {
            let (hash, early) = {
                let state = lock(&self.wire);
                let hash = state.sent.get(&(msg.channel_id, *id)).copied();
                let early = hash.and_then(|hash| state.asked.get(&hash).copied());
                (hash, early.unwrap_or(false))
            };
            let bytes = path.encode();
            let fields = ResultObject::new()
                .maybe("payment_hash", hash.map(hex))
                .with("path", hex(&bytes))
                .done();
            self.tell("release-path", fields);
            if !early {
                continue;
            }
            let sent = read_path(&bytes)
                .map_err(Error::from)
                .and_then(|path| self.send_over(&path, payload(Name::ReleaseHeldHtlc)?, None));
            match sent {
                Ok(()) => {
                    lock(&self.wire).delays.insert(peer);
                }
                Err(e) => eprintln!("adapter: the HTLC is not released: {e}"),
            }
        }
    }

    /// What LDK has to say about channels, without what has to wait for an onion message.
    pub(crate) fn in_turn(&self, events: Vec<MessageSendEvent>) -> Vec<MessageSendEvent> {
        let messages = self.messages();
        let waits = |peer: &PublicKey| messages.as_ref().is_some_and(|m| m.waits_for(peer));
        lock(&self.wire).in_turn(events, waits)
    }

    // ---- onion messages

    /// A path of one hop to the probe.
    pub(crate) fn own_path(&self, mark: Mark) -> Result<BlindedPath, Error> {
        let path_id = self.draw().to_vec();
        let data = tlv::encode_unchecked(&[Record::new(blinding::kind::PATH_ID, path_id.clone())]);
        let own = keys::public(&self.secret);
        let built = blinding::build(&self.draw_key(), &[(own, data)]);
        let built = built.map_err(|e| Error::Other(e.to_string()))?;
        lock(&self.wire).mark(path_id, mark);
        Ok(built.path)
    }

    /// Sends a message over a path.
    pub(crate) fn send_over(
        &self,
        path: &BlindedPath,
        payload: Record,
        reply_path: Option<&BlindedPath>,
    ) -> Result<(), Error> {
        let messages = self.messages();
        let messages = messages.ok_or_else(|| Error::Other("the node is stopping".into()))?;
        let mut records: Vec<Record> = reply_path.map(reply_record).into_iter().collect();
        records.push(payload);
        let sent = messages.send(&[], &To::Path(path.clone()), records);
        sent.map_err(|e| Error::Other(e.to_string()))
    }

    /// The ids of the probe's channels, with the node at the other end of each.
    pub(crate) fn channel_ends(&self) -> Vec<(u64, Point)> {
        let channels = self.cm.list_channels();
        let ends = channels.iter().flat_map(|c| {
            let ids = [
                c.short_channel_id,
                c.outbound_scid_alias,
                c.inbound_scid_alias,
            ];
            let id = c.counterparty.node_id.serialize();
            ids.into_iter().flatten().map(move |scid| (scid, id))
        });
        ends.collect()
    }

    pub(crate) fn message_event(
        &self,
        direction: &str,
        name: &str,
        reply_path: Option<&BlindedPath>,
        about: Option<&str>,
    ) {
        let reply_path = reply_path.and_then(|path| path.encode().ok()).map(hex);
        let fields = ResultObject::new()
            .with("direction", direction)
            .with("message", name)
            .maybe("reply_path", reply_path)
            .maybe("about", about)
            .done();
        self.tell("onion-message", fields);
    }

    /// The probe is told of an HTLC: for the first time over this path, with this reply path, or again.
    fn told_event(
        &self,
        over: Option<&Vec<u8>>,
        reply_path: Option<&BlindedPath>,
        about: Option<&str>,
    ) {
        let reply = reply_path.and_then(|path| path.encode().ok());
        let mut state = lock(&self.wire);
        let over_again = over.is_some_and(|id| !state.told_over.insert(id.clone()));
        let again = reply
            .as_ref()
            .is_some_and(|path| !state.replies.insert(path.clone()));
        drop(state);
        let fields = ResultObject::new()
            .with("direction", "received")
            .with("message", Name::HeldHtlcAvailable.as_str())
            .maybe("reply_path", reply.map(hex))
            .with("over_again", over_again)
            .with("reply_path_again", again)
            .maybe("about", about)
            .done();
        self.tell("onion-message", fields);
    }

    /// A message has come. Answers whether it is of async payments: by its type, or by the path that it
    /// came over.
    pub(crate) fn async_message(&self, received: &Received) -> bool {
        let Some(payload) = &received.payload else {
            return false;
        };
        let mark = received.path_id.as_ref();
        let mark = mark.and_then(|id| lock(&self.wire).find(id));
        if mark.is_none() && !KNOWN.contains(&payload.kind) {
            return false;
        }
        if let Err(e) = self.message_came(received, payload, mark) {
            let rule = match &e {
                Error::Rule(violation) => Some(violation.rule),
                _ => None,
            };
            let fields = ResultObject::new()
                .maybe("rule", rule)
                .with("message", e.to_string())
                .done();
            self.tell("onion-message-refused", fields);
        }
        true
    }

    fn message_came(
        &self,
        received: &Received,
        payload: &Record,
        mark: Option<Mark>,
    ) -> Result<(), Error> {
        let rules = Rules::all();
        let reply_path = received.reply_path.as_ref();
        if payload.kind == kind::INVOICE_REQUEST {
            self.message_event("received", "invoice_request", reply_path, None);
            return match mark {
                Some(Mark::Request(number)) => {
                    self.request_came(number, &payload.value, reply_path)
                }
                _ => Err(Error::Other(
                    "the request came over no path of an offer".into(),
                )),
            };
        }
        let Some(name) = Name::by_number(DIALECT, payload.kind) else {
            return Ok(());
        };
        Message::decode(&rules, DIALECT, name, &payload.value)?;
        let about = match mark {
            Some(Mark::Available(_, about)) => about,
            _ => None,
        };
        if name == Name::HeldHtlcAvailable {
            self.told_event(received.path_id.as_ref(), reply_path, about);
        } else {
            self.message_event("received", name.as_str(), reply_path, about);
        }
        match (mark, name) {
            (Some(Mark::Release(htlc, from)), Name::ReleaseHeldHtlc) => self.release(htlc, from),
            (Some(Mark::Available(true, _)), Name::HeldHtlcAvailable) => {
                if let Some(reply) = reply_path {
                    // Pull request 1149: the receiver is there, so the HTLC may come.
                    self.send_over(reply, self::payload(Name::ReleaseHeldHtlc)?, None)?;
                    self.message_event("sent", Name::ReleaseHeldHtlc.as_str(), None, about);
                }
            }
            (Some(Mark::Available(false, _)), Name::HeldHtlcAvailable) => {}
            (Some(Mark::Paying(hash)), Name::ReleaseHeldHtlc) => {
                let fields = json!({"payment_hash": hex(hash)});
                self.tell("payment-asked-for", fields);
            }
            (Some(Mark::Release(..)), _) => {
                // Pull request 1149: the HTLC goes on after its release, and after nothing else.
                rules.check(rules::PR_1149_HOLD_WAIT, false, || {
                    format!("{} came over the path for a release", name.as_str())
                })?;
            }
            _ => {
                let name = name.as_str();
                return Err(Error::Other(format!(
                    "{name} came over no path made for it"
                )));
            }
        }
        Ok(())
    }

    /// The HTLC may go on.
    fn release(&self, htlc: Htlc, from: PublicKey) {
        let mut state = lock(&self.wire);
        let wrong = state.held.get(&htlc).and_then(|held| held.wrong.as_deref());
        if wrong == Some(EARLY) || !state.released.insert(htlc) {
            drop(state);
            // Pull request 1149: one release is enough, and another finds nothing that is held.
            self.tell("htlc-not-held", json!({}));
            return;
        }
        drop(state);
        let channels = self.cm.list_channels();
        let alias = channels.iter().find(|c| c.channel_id == htlc.0);
        let Some(alias) = alias.and_then(|c| c.outbound_scid_alias) else {
            eprintln!("adapter: the channel of a held HTLC is gone");
            return;
        };
        self.tell("htlc-released", json!({}));
        let release = AsyncPaymentsContext::ReleaseHeldHtlc {
            intercept_id: intercept_id(htlc, from),
            prev_outbound_scid_alias: alias,
            htlc_id: htlc.1,
        };
        lock(&self.wire).to_release.push(release);
    }

    /// Has LDK release what is to be released, and fail what is given up. By the thread that has it look
    /// at HTLCs: in the midst of that LDK does not find the HTLC, and forgets the release.
    pub(crate) fn release_held(&self) {
        let releases = std::mem::take(&mut lock(&self.wire).to_release);
        for release in releases {
            self.cm
                .handle_release_held_htlc(ReleaseHeldHtlc {}, release);
        }
        let giving_up = lock(&self.wire).giving_up.clone();
        for (htlc, from) in giving_up {
            // LDK has it once both sides are committed to it.
            let failed = self.cm.fail_intercepted_htlc(intercept_id(htlc, from));
            if failed.is_ok() {
                lock(&self.wire)
                    .giving_up
                    .retain(|(waits, _)| *waits != htlc);
            }
        }
    }
}

/// LDK's number for an HTLC that it holds.
fn intercept_id(htlc: Htlc, from: PublicKey) -> InterceptId {
    let mut engine = sha256::Hash::engine();
    engine.input(&htlc.1.to_be_bytes());
    engine.input(&htlc.0.0);
    engine.input(&from.serialize());
    InterceptId(sha256::Hash::from_engine(engine).to_byte_array())
}

/// The message by which a receiver is told of an HTLC.
pub(crate) fn held_htlc_available() -> Result<Record, Error> {
    payload(Name::HeldHtlcAvailable)
}

impl Hook {
    /// A peer has gone, and with it what was to be said to it first.
    pub(crate) fn peer_gone(&self, peer: PublicKey) {
        let mut state = lock(&self.wire);
        state.delays.remove(&peer);
        // LDK says again what was not said.
        state.delayed.retain(|event| match event {
            MessageSendEvent::SendRevokeAndACK { node_id, .. }
            | MessageSendEvent::UpdateHTLCs { node_id, .. } => *node_id != peer,
            _ => true,
        });
    }
}

/// Has the hook hear of messages, before those who listen already would.
pub fn listen(hook: &Arc<Hook>, messages: &Messages) {
    let hook = hook.clone();
    messages.listen(
        &KNOWN,
        Box::new(move |_, received| hook.async_message(received)),
    );
}

// ---- operations

/// `async.path`.
pub fn path(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let answers = params.maybe("answers", Params::bool)?.unwrap_or(true);
    let node = node()?;
    let path = node.hook.own_path(Mark::Available(answers, None))?;
    let path = path.encode().map_err(|e| Error::Other(e.to_string()))?;
    Ok(json!({"path": hex(path)}))
}

/// `async.hold`.
pub fn hold(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let paths = params.maybe("paths", Params::u32)?.unwrap_or(1);
    let wrong = crate::ops::misbehaviour(params, "async.hold")?;
    let node = node()?;
    let mut state = lock(&node.hook.wire);
    state.release_paths = usize::try_from(paths).unwrap_or(1);
    state.hold_wrong = wrong;
    Ok(json!({}))
}

/// What is done wrong with a message.
fn misbehave(name: &str, path: &mut BlindedPath, payload: &mut Record) -> Result<(), Error> {
    match name {
        "release-path-altered" => {
            let last = path.hops.last_mut();
            if let Some(byte) = last.and_then(|hop| hop.encrypted_data.last_mut()) {
                *byte ^= 1;
            }
        }
        "release-other-message" => *payload = self::payload(Name::HeldHtlcAvailable)?,
        _ => {
            return Err(Error::Other(format!(
                "{name} is in the list, and the probe does not know how"
            )));
        }
    }
    Ok(())
}

/// `async.send`.
pub fn send(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.str("message")?;
    let given = |what: &str, bytes: Vec<u8>| {
        read_path(&bytes).map_err(|e| OpError::invalid(format!("param {what} is no path: {e}")))
    };
    let mut path = given("path", params.hex("path")?)?;
    let reply_path = match params.maybe("reply_path", Params::hex)? {
        Some(bytes) => Some(given("reply_path", bytes)?),
        None => None,
    };
    let wrong = params.maybe("misbehave", Params::str)?;
    let name = Name::find(name)
        .ok_or_else(|| OpError::invalid(format!("param message is {name}, no async message")))?;
    let mut payload = payload(name)?;
    if let Some(wrong) = wrong {
        let known = misbehaviours::find(wrong);
        if !known.is_some_and(|m| m.operations.iter().any(|o| o == "async.send")) {
            return Err(OpError::invalid(format!(
                "param misbehave is {wrong}, which is nothing that async.send can do"
            ))
            .into());
        }
        misbehave(wrong, &mut path, &mut payload)?;
    }
    let node = node()?;
    node.hook.send_over(&path, payload, reply_path.as_ref())?;
    node.hook.message_event("sent", name.as_str(), None, None);
    node.peers.process_events();
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::pack;
    use bitcoin::secp256k1::SecretKey;
    use lnconform_drafts::onion_message::{self, Context};

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_slice(&[n; 32]).unwrap()
    }

    fn path_to(n: u8) -> BlindedPath {
        let data = tlv::encode_unchecked(&[Record::new(blinding::kind::PATH_ID, [7; 32])]);
        let hops = [(keys::public(&secret(n)), data)];
        blinding::build(&secret(5), &hops).unwrap().path
    }

    /// A message over a path to node 9.
    fn over(path: &BlindedPath, records: Vec<Record>) -> onion_message::Message {
        let sessions = [secret(4), secret(6)];
        let to = To::Path(path.clone());
        pack(sessions, &[], keys::public(&secret(9)), &to, records)
            .unwrap()
            .1
    }

    /// What node 9 finds in the message.
    fn read(message: &onion_message::Message) -> Result<onion_message::Peeled, Violation> {
        let context = Context {
            known: &KNOWN,
            ..Context::default()
        };
        let peeled = onion_message::peel(&Rules::all(), &secret(9), message, &context);
        peeled.map_err(|e| match e {
            onion_message::Error::Rule(violation) => violation,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn a_message_arrives_with_the_mark_of_its_path() {
        let path = path_to(9);
        let release = payload(Name::ReleaseHeldHtlc).unwrap();
        // LDK has a length in front of the stream, here of nothing.
        assert_eq!((release.kind, &release.value[..]), (74, &[0][..]));
        let reply = path_to(8);
        let message = over(&path, vec![reply_record(&reply), release]);
        let peeled = read(&message).unwrap();
        assert_eq!(peeled.data.path_id, Some(vec![7; 32]));
        assert_eq!(peeled.payload.unwrap().kind, 74);
        assert_eq!(peeled.reply_path, Some(reply));
        // LDK's form and back.
        assert_eq!(to_ldk(&path).unwrap().encode(), path.encode().unwrap());
        // Another node cannot read it.
        assert!(
            onion_message::peel(&Rules::all(), &secret(8), &message, &Context::default()).is_err()
        );
    }

    #[test]
    fn what_is_done_wrong_shows() {
        let wrong = |name: &str| {
            let (mut path, mut record) = (path_to(9), payload(Name::ReleaseHeldHtlc).unwrap());
            misbehave(name, &mut path, &mut record).unwrap();
            read(&over(&path, vec![record]))
        };
        let altered = wrong("release-path-altered").unwrap_err();
        assert_eq!(altered.rule, rules::BLINDING_DECRYPT);
        let other = wrong("release-other-message").unwrap();
        assert_eq!(other.payload.unwrap().kind, 72);
        assert!(misbehave("nothing", &mut path_to(9), &mut Record::new(74, [0])).is_err());
    }

    #[test]
    fn each_misbehaviour_with_a_message_is_known() {
        let list = misbehaviours::all().unwrap();
        let ours = list
            .iter()
            .filter(|m| m.operations.iter().any(|o| o == "async.send"));
        let mut count = 0;
        for known in ours {
            count += 1;
            let (mut path, mut record) = (path_to(9), payload(Name::ReleaseHeldHtlc).unwrap());
            misbehave(&known.name, &mut path, &mut record).unwrap();
        }
        assert!(count > 0);
    }

    #[test]
    fn a_channel_waits_for_the_onion_message_and_no_other_does() {
        let (peer, other) = (keys::public(&secret(1)), keys::public(&secret(2)));
        let revoke = |node_id| MessageSendEvent::SendRevokeAndACK {
            node_id,
            msg: msgs::RevokeAndACK {
                channel_id: ChannelId([0; 32]),
                per_commitment_secret: [1; 32],
                next_per_commitment_point: peer,
                release_htlc_message_paths: Vec::new(),
            },
        };
        let to = |events: &[MessageSendEvent]| -> Vec<PublicKey> {
            let node = |event: &MessageSendEvent| match event {
                MessageSendEvent::SendRevokeAndACK { node_id, .. } => *node_id,
                _ => unreachable!(),
            };
            events.iter().map(node).collect()
        };
        let mut state = State::default();
        state.delays.insert(peer);
        let now = state.in_turn(vec![revoke(peer), revoke(other)], |_| true);
        assert_eq!(to(&now), [other]);
        assert!(state.in_turn(Vec::new(), |_| true).is_empty());
        let gone = |_: &PublicKey| false;
        assert_eq!(to(&state.in_turn(vec![revoke(other)], gone)), [peer, other]);
        assert_eq!(to(&state.in_turn(vec![revoke(peer)], |_| true)), [peer]);
    }
}
