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
//! - `async.path` gives a path over which the probe may be told of a held HTLC; what comes is the event
//!   `onion-message` (`direction`, `message`, `reply_path`), and the answer goes back at once unless
//!   `answers` is false.
//! - `async.send` sends `message` over `path`, with `reply_path` where one is given.

use crate::messages::Messages;
use crate::messages::static_invoice::Offered;
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::Hook;
use crate::node::transcript::Direction;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lightning03::blinded_path::message::{AsyncPaymentsContext, BlindedMessagePath};
use lightning03::ln::channelmanager::InterceptId;
use lightning03::ln::msgs::{self, BaseMessageHandler, MessageSendEvent, OnionMessageHandler};
use lightning03::ln::types::ChannelId;
use lightning03::onion_message::async_payments::{AsyncPaymentsMessageHandler, ReleaseHeldHtlc};
use lightning03::types::features::{InitFeatures, NodeFeatures};
use lightning03::util::ser::{LengthReadable, Readable, Writeable};
use lnconform_drafts::async_payments::message::{Message, Sender};
use lnconform_drafts::async_payments::{Dialect, Name};
use lnconform_drafts::blinding::{self, BlindedPath, FirstNode};
use lnconform_drafts::keys;
use lnconform_drafts::onion_message::{self, Context, NextNode, Stop, Writer, kind};
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_drafts::tlv::{self, Record};
use lnconform_drafts::value::Reader;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use lnconform_spec::misbehaviours;
use serde_json::json;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// What is spoken.
pub const DIALECT: Dialect = Dialect::Ldk;
/// Types of onion messages that are read, beside those of BOLT 4.
const KNOWN: [u64; 3] = [70, 72, 74];

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
}

/// What the probe knows of async payments.
#[derive(Default)]
pub struct State {
    out: HashMap<PublicKey, VecDeque<msgs::OnionMessage>>,
    /// Hashes of payments that are sent with the flag, and whether they are released early.
    asked: HashMap<[u8; 32], bool>,
    /// The probe's HTLCs that went out with the flag.
    sent: HashMap<Htlc, [u8; 32]>,
    /// HTLCs that came with the flag, with the path for their release once it was sent.
    held: HashMap<Htlc, ([u8; 32], Option<BlindedPath>)>,
    released: HashSet<Htlc>,
    marks: HashMap<Vec<u8>, Mark>,
    /// Messages about channels that wait until an onion message has gone out.
    delayed: Vec<MessageSendEvent>,
    delays: HashSet<PublicKey>,
    offers: Vec<Offered>,
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
    /// first are kept until it has gone.
    fn in_turn(&mut self, events: Vec<MessageSendEvent>) -> Vec<MessageSendEvent> {
        if self.delays.is_empty() && self.delayed.is_empty() {
            return events;
        }
        let out = &self.out;
        self.delays
            .retain(|peer| out.get(peer).is_some_and(|queue| !queue.is_empty()));
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
    /// A path may begin with a short channel id.
    #[error("the path begins at a channel that is none of the probe's")]
    Channel,
    /// A key is none.
    #[error("the path has a key that is no point")]
    Key,
    /// What else there is.
    #[error("{0}")]
    Other(String),
}

impl From<onion_message::Error> for Error {
    fn from(e: onion_message::Error) -> Self {
        match e {
            onion_message::Error::Rule(violation) => Error::Rule(violation),
            other => Error::Other(other.to_string()),
        }
    }
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

fn read_path(bytes: &[u8]) -> Result<BlindedPath, Violation> {
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

/// LDK's form of a message.
fn message_to_ldk(message: &onion_message::Message) -> Option<msgs::OnionMessage> {
    let bytes = message.encode().ok()?;
    // LDK's form has no type in front.
    msgs::OnionMessage::read_from_fixed_length_buffer(&mut bytes.get(2..)?).ok()
}

fn point(bytes: &[u8; 33]) -> Result<PublicKey, Error> {
    PublicKey::from_slice(bytes).map_err(|_| Error::Key)
}

/// The onion message that goes over a path.
fn pack(
    session: &SecretKey,
    path: &BlindedPath,
    payload: Record,
    reply_path: Option<&BlindedPath>,
) -> Result<onion_message::Message, Error> {
    let mut stops = Vec::with_capacity(path.hops.len());
    for hop in &path.hops {
        stops.push(Stop {
            blinded_node_id: point(&hop.blinded_node_id)?,
            encrypted_data: hop.encrypted_data.clone(),
            records: Vec::new(),
        });
    }
    if let Some(last) = stops.last_mut() {
        if let Some(reply) = reply_path {
            let bytes = reply.encode().map_err(|e| Error::Other(e.to_string()))?;
            last.records.push(Record::new(kind::REPLY_PATH, bytes));
        }
        last.records.push(payload);
    }
    let (message, _) = onion_message::build(
        &Rules::all(),
        session,
        &path.first_path_key,
        &stops,
        &Writer::default(),
    )?;
    Ok(message)
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

    /// An HTLC for somebody else has come.
    pub(crate) fn is_asked_to_hold(&self, add: &msgs::UpdateAddHTLC) {
        if add.hold_htlc.is_some() {
            let htlc = (add.channel_id, add.htlc_id);
            let held = (add.payment_hash.0, None);
            lock(&self.wire).held.entry(htlc).or_insert(held);
        }
    }

    /// A `revoke_and_ack` goes out: the paths in it are made to be the probe's own.
    pub(crate) fn give_release_paths(&self, peer: PublicKey, msg: &mut msgs::RevokeAndACK) {
        for (id, path) in &mut msg.release_htlc_message_paths {
            let htlc = (msg.channel_id, *id);
            let known = lock(&self.wire).held.get(&htlc).cloned();
            let Some((hash, made)) = known else { continue };
            let own = match made {
                Some(own) => own,
                None => match self.own_path(Mark::Release(htlc, peer)) {
                    Ok(own) => {
                        lock(&self.wire)
                            .held
                            .insert(htlc, (hash, Some(own.clone())));
                        let fields = json!({"payment_hash": hex(hash)});
                        self.events.push("htlc-held", None, (), fields);
                        own
                    }
                    Err(e) => {
                        eprintln!("adapter: no path can be made: {e}");
                        continue;
                    }
                },
            };
            if let Some(own) = to_ldk(&own) {
                *path = own;
            }
        }
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
            self.events.push("release-path", None, (), fields);
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
        lock(&self.wire).in_turn(events)
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

    /// Sends a message over a path that begins at a peer.
    pub(crate) fn send_over(
        &self,
        path: &BlindedPath,
        payload: Record,
        reply_path: Option<&BlindedPath>,
    ) -> Result<(), Error> {
        let first = match path.first_node {
            FirstNode::NodeId(first) => first,
            FirstNode::Channel {
                end,
                short_channel_id,
            } => self.end_of(short_channel_id, end).ok_or(Error::Channel)?,
        };
        let message = pack(&self.draw_key(), path, payload, reply_path)?;
        self.queue(point(&first)?, &message)
    }

    /// BOLT 7: the first node of a channel is the one with the lesser key. Only a channel of the probe's
    /// own is looked at, and only the peer can be meant.
    fn end_of(&self, short_channel_id: u64, end: u8) -> Option<[u8; 33]> {
        let channels = self.cm.list_channels();
        let channel = channels
            .iter()
            .find(|c| c.short_channel_id == Some(short_channel_id))?;
        let peer = channel.counterparty.node_id.serialize();
        let own = keys::public(&self.secret).serialize();
        let wanted = u8::from(peer > own);
        (end == wanted).then_some(peer)
    }

    fn queue(&self, peer: PublicKey, message: &onion_message::Message) -> Result<(), Error> {
        let message = message_to_ldk(message)
            .ok_or_else(|| Error::Other("LDK cannot take the message".into()))?;
        let mut state = lock(&self.wire);
        state.out.entry(peer).or_default().push_back(message);
        Ok(())
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
        self.events.push("onion-message", None, (), fields);
    }

    /// Whether a message ends here, and is of async payments: by its type, or by the path that it came over.
    fn is_async(&self, msg: &msgs::OnionMessage) -> bool {
        let Ok(peeled) = self.peel_message(msg) else {
            return false;
        };
        match peeled.next {
            Some((NextNode::Id(id), next)) if id == keys::public(&self.secret).serialize() => {
                message_to_ldk(&next).is_some_and(|next| self.is_async(&next))
            }
            Some(_) => false,
            None => {
                let of_type = peeled
                    .payload
                    .is_some_and(|payload| KNOWN.contains(&payload.kind));
                let marked = |id| lock(&self.wire).find(&id).is_some();
                of_type || peeled.data.path_id.is_some_and(marked)
            }
        }
    }

    fn peel_message(&self, msg: &msgs::OnionMessage) -> Result<onion_message::Peeled, Error> {
        let rules = Rules::all();
        let bytes = [&onion_message::TYPE.to_be_bytes()[..], &msg.encode()].concat();
        let message = onion_message::Message::decode(&rules, &bytes)?;
        let channels = self.cm.list_channels();
        let channels: Vec<_> = channels
            .iter()
            .flat_map(|c| {
                let ids = [
                    c.short_channel_id,
                    c.outbound_scid_alias,
                    c.inbound_scid_alias,
                ];
                let id = c.counterparty.node_id.serialize();
                ids.into_iter().flatten().map(move |scid| (scid, id))
            })
            .collect();
        let context = Context {
            known: &KNOWN,
            channels: Some(&channels),
            ..Context::default()
        };
        Ok(onion_message::peel(
            &rules,
            &self.secret,
            &message,
            &context,
        )?)
    }

    fn message_came(&self, msg: &msgs::OnionMessage) -> Result<(), Error> {
        let rules = Rules::all();
        let peeled = self.peel_message(msg)?;
        let own = |id: &[u8; 33]| *id == keys::public(&self.secret).serialize();
        match peeled.next {
            Some((NextNode::Id(id), next)) if own(&id) => {
                if let Some(next) = message_to_ldk(&next) {
                    return self.message_came(&next);
                }
                return Err(Error::Key);
            }
            // For somebody else: `is_async` lets none of these come here.
            Some(_) => return Err(Error::Channel),
            None => {}
        }
        let Some(payload) = &peeled.payload else {
            return Ok(());
        };
        let reply_path = peeled.reply_path.as_ref();
        let mark = peeled.data.path_id.as_ref();
        let mark = mark.and_then(|id| lock(&self.wire).find(id));
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
        self.message_event("received", name.as_str(), reply_path, about);
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
        if !lock(&self.wire).released.insert(htlc) {
            // Pull request 1149: one release is enough, and another finds nothing that is held.
            self.events.push("htlc-not-held", None, (), json!({}));
            return;
        }
        let channels = self.cm.list_channels();
        let alias = channels.iter().find(|c| c.channel_id == htlc.0);
        let Some(alias) = alias.and_then(|c| c.outbound_scid_alias) else {
            eprintln!("adapter: the channel of a held HTLC is gone");
            return;
        };
        // LDK's number for what it holds.
        let mut engine = sha256::Hash::engine();
        engine.input(&htlc.1.to_be_bytes());
        engine.input(&htlc.0.0);
        engine.input(&from.serialize());
        let intercept_id = InterceptId(sha256::Hash::from_engine(engine).to_byte_array());
        self.events.push("htlc-released", None, (), json!({}));
        let release = AsyncPaymentsContext::ReleaseHeldHtlc {
            intercept_id,
            prev_outbound_scid_alias: alias,
            htlc_id: htlc.1,
        };
        lock(&self.wire).to_release.push(release);
    }

    /// Has LDK release what is to be released. By the thread that has it look at HTLCs: in the midst of
    /// that LDK does not find the HTLC, and forgets the release.
    pub(crate) fn release_held(&self) {
        let releases = std::mem::take(&mut lock(&self.wire).to_release);
        for release in releases {
            self.cm
                .handle_release_held_htlc(ReleaseHeldHtlc {}, release);
        }
    }
}

/// The handler of onion messages: those of async payments are the hook's, all others go to [`Messages`].
pub struct Onions {
    hook: Arc<Hook>,
    others: Arc<Messages>,
}

impl Onions {
    /// A handler that hands what is not of async payments to `others`.
    pub fn new(hook: Arc<Hook>, others: Arc<Messages>) -> Self {
        // One that cannot be told for an async message, since its path does not open, is not refused for
        // its type either.
        others.listen(&KNOWN, Box::new(|_, _| false));
        Self { hook, others }
    }
}

impl BaseMessageHandler for Onions {
    fn get_and_clear_pending_msg_events(&self) -> Vec<MessageSendEvent> {
        self.others.get_and_clear_pending_msg_events()
    }

    fn peer_disconnected(&self, peer: PublicKey) {
        let mut state = lock(&self.hook.wire);
        state.out.remove(&peer);
        state.delays.remove(&peer);
        // LDK says again what was not said.
        state.delayed.retain(|event| match event {
            MessageSendEvent::SendRevokeAndACK { node_id, .. }
            | MessageSendEvent::UpdateHTLCs { node_id, .. } => *node_id != peer,
            _ => true,
        });
        drop(state);
        self.others.peer_disconnected(peer);
    }

    fn provided_node_features(&self) -> NodeFeatures {
        self.others.provided_node_features()
    }

    fn provided_init_features(&self, peer: PublicKey) -> InitFeatures {
        self.others.provided_init_features(peer)
    }

    fn peer_connected(&self, peer: PublicKey, init: &msgs::Init, inbound: bool) -> Result<(), ()> {
        self.others.peer_connected(peer, init, inbound)
    }
}

impl OnionMessageHandler for Onions {
    fn handle_onion_message(&self, peer: PublicKey, msg: &msgs::OnionMessage) {
        if !self.hook.is_async(msg) {
            return self.others.handle_onion_message(peer, msg);
        }
        let bytes = json!({"bytes": hex(msg.encode())});
        let hook = &self.hook;
        hook.transcript
            .note(Direction::In, peer, "onion_message", bytes);
        if let Err(e) = hook.message_came(msg) {
            let rule = match &e {
                Error::Rule(violation) => Some(violation.rule),
                _ => None,
            };
            let fields = ResultObject::new()
                .maybe("rule", rule)
                .with("message", e.to_string())
                .done();
            hook.events.push("onion-message-refused", None, (), fields);
        }
    }

    fn next_onion_message_for_peer(&self, peer: PublicKey) -> Option<msgs::OnionMessage> {
        let mut state = lock(&self.hook.wire);
        let Some(message) = state.out.get_mut(&peer).and_then(VecDeque::pop_front) else {
            drop(state);
            return self.others.next_onion_message_for_peer(peer);
        };
        drop(state);
        let bytes = json!({"bytes": hex(message.encode())});
        self.hook
            .transcript
            .note(Direction::Out, peer, "onion_message", bytes);
        Some(message)
    }

    fn timer_tick_occurred(&self) {}
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

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_slice(&[n; 32]).unwrap()
    }

    fn path_to(n: u8) -> BlindedPath {
        let data = tlv::encode_unchecked(&[Record::new(blinding::kind::PATH_ID, [7; 32])]);
        let hops = [(keys::public(&secret(n)), data)];
        blinding::build(&secret(5), &hops).unwrap().path
    }

    /// What node 9 finds in the message.
    fn read(message: &onion_message::Message) -> Result<onion_message::Peeled, Error> {
        let context = Context {
            known: &KNOWN,
            ..Context::default()
        };
        Ok(onion_message::peel(
            &Rules::all(),
            &secret(9),
            message,
            &context,
        )?)
    }

    #[test]
    fn a_message_arrives_with_the_mark_of_its_path() {
        let path = path_to(9);
        let release = payload(Name::ReleaseHeldHtlc).unwrap();
        // LDK has a length in front of the stream, here of nothing.
        assert_eq!((release.kind, &release.value[..]), (74, &[0][..]));
        let reply = path_to(8);
        let message = pack(&secret(4), &path, release, Some(&reply)).unwrap();
        let peeled = read(&message).unwrap();
        assert_eq!(peeled.data.path_id, Some(vec![7; 32]));
        assert_eq!(peeled.payload.unwrap().kind, 74);
        assert_eq!(peeled.reply_path, Some(reply));
        // LDK's form and back.
        let ldk = message_to_ldk(&message).unwrap();
        assert_eq!(ldk.encode(), message.encode().unwrap()[2..]);
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
            read(&pack(&secret(4), &path, record, None).unwrap())
        };
        let altered = wrong("release-path-altered").unwrap_err();
        assert!(matches!(altered, Error::Rule(v) if v.rule == rules::BLINDING_DECRYPT));
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
        let release = payload(Name::ReleaseHeldHtlc).unwrap();
        let message = pack(&secret(4), &path_to(9), release, None).unwrap();
        let queue = VecDeque::from([message_to_ldk(&message).unwrap()]);
        state.out.insert(peer, queue);
        state.delays.insert(peer);
        let now = state.in_turn(vec![revoke(peer), revoke(other)]);
        assert_eq!(to(&now), [other]);
        assert!(state.in_turn(Vec::new()).is_empty());
        state.out.clear();
        assert_eq!(to(&state.in_turn(vec![revoke(other)])), [peer, other]);
        assert_eq!(to(&state.in_turn(vec![revoke(peer)])), [peer]);
    }
}
