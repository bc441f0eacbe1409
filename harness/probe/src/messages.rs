//! Onion messages: building one to a node or along a blinded path, and peeling what comes.
//!
//! [`Messages`] takes the place of LDK's messenger in its `PeerManager`. Whoever has a use for a kind of
//! content listens ([`Messages::listening`]), gives out paths to the probe ([`Messages::path`]), and sends
//! ([`Messages::send`]). What is passed over by a node, because a reader rule says so, is told as the
//! event `onion-message-refused` {`peer`, `rule`, `message`}. Everything goes into the transcript, peeled.

pub(crate) mod async_wire;
pub(crate) mod bolt12;
pub(crate) mod dns;
pub(crate) mod invoice_server;
pub(crate) mod offers;
pub(crate) mod static_invoice;

use crate::node::env::{Env, lock};
use crate::node::hook::Hook;
use crate::node::transcript::Direction;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lightning03::ln::msgs::{self, BaseMessageHandler, MessageSendEvent, OnionMessageHandler};
use lightning03::routing::gossip::NetworkGraph;
use lightning03::types::features::{InitFeatures, NodeFeatures};
use lightning03::util::ser::{LengthReadable, Writeable};
use lnconform_drafts::blinding::{self, BlindedPath, FirstNode};
use lnconform_drafts::keys::{self, Point};
use lnconform_drafts::onion_message::{
    self, Context, Message, NextNode, Peeled, ReplyPath, Stop, Writer, kind,
};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::params::{self, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

/// Feature bit of onion messages.
const ONION_MESSAGES: usize = 39;

/// What gossip tells.
type Graph = NetworkGraph<Arc<Env>>;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// To a node by its id, over these nodes.
    Node(PublicKey),
    /// Along a path that somebody gave out.
    Path(BlindedPath),
}

impl To {
    /// The point that the message is for: the node's id, or the blinded id at the end of the path.
    pub fn end(&self) -> Option<Point> {
        match self {
            Self::Node(id) => Some(id.serialize()),
            Self::Path(path) => path.hops.last().map(|hop| hop.blinded_node_id),
        }
    }
}

/// Why a message is not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nobody to give it to.
    #[error(
        "{0} is not connected to the probe, or takes no onion messages; peer.connect comes first"
    )]
    NoPeer(PublicKey),
    /// The first node of the path.
    #[error("the path begins at a channel that the probe has heard nothing of")]
    UnknownChannel,
    /// The path.
    #[error("the path cannot be gone: {0}")]
    Path(String),
    /// The onion.
    #[error("no message can be made of this: {0}")]
    Build(#[from] onion_message::Error),
}

/// A message for the probe.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who handed it over.
    pub peer: PublicKey,
    /// The mark in the path of the probe that it came along; none where it was sent to the node id.
    pub path_id: Option<Vec<u8>>,
    /// The one field for the last node, if there is one.
    pub payload: Option<Record>,
    /// The path for an answer.
    pub reply_path: Option<BlindedPath>,
}

/// Told of every message for the probe; answers whether it was one of its own.
pub type Listener = Box<dyn Fn(&Messages, &Received) -> bool + Send + Sync>;

/// A part of the probe that has a use for a kind of content.
pub(crate) trait Hears: Send + Sync + 'static {
    /// Types of payloads beside those of BOLT 12 that it reads.
    const KNOWN: &'static [u64];

    /// Made for a node with this hook.
    fn new(hook: Arc<Hook>) -> Self;

    /// Hears of a message for the probe; whether its payload was one of its own.
    fn hear(&self, messages: &Messages, received: &Received, payload: &Record) -> bool;
}

#[derive(Default)]
struct State {
    /// Those who take onion messages, with what is to be handed to them.
    peers: HashMap<PublicKey, VecDeque<msgs::OnionMessage>>,
    /// Paths for replies that were given out.
    reply_paths: Vec<ReplyPath>,
    /// Types of payloads beside those of BOLT 12 that somebody reads.
    known: Vec<u64>,
}

/// The probe's onion messages.
pub struct Messages {
    hook: Arc<Hook>,
    graph: Arc<Graph>,
    id: PublicKey,
    state: Mutex<State>,
    listeners: Mutex<Vec<Arc<Listener>>>,
}

/// A path through `nodes`, the last one its recipient, marked with `path_id`.
///
/// # Errors
/// [`blinding::BuildError`]: there are no nodes.
pub fn path_through(
    session: &SecretKey,
    nodes: &[PublicKey],
    path_id: &[u8],
) -> Result<BlindedPath, blinding::BuildError> {
    let data = |at: usize| {
        let record = match nodes.get(at + 1) {
            Some(next) => Record::new(blinding::kind::NEXT_NODE_ID, next.serialize()),
            None => Record::new(blinding::kind::PATH_ID, path_id),
        };
        tlv::encode_unchecked(&[record])
    };
    let hops: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(at, node)| (*node, data(at)))
        .collect();
    Ok(blinding::build(session, &hops)?.path)
}

fn stops(path: &BlindedPath) -> Result<Vec<Stop>, SendError> {
    path.hops
        .iter()
        .map(|hop| {
            let id = PublicKey::from_slice(&hop.blinded_node_id)
                .map_err(|e| SendError::Path(format!("a hop's id is no public key: {e}")))?;
            Ok(Stop {
                blinded_node_id: id,
                encrypted_data: hop.encrypted_data.clone(),
                records: Vec::new(),
            })
        })
        .collect()
}

/// A message with `records` to `to`, over the nodes `via` first; `first` is the first node of a path.
/// Answers whom to hand it to. `sessions` are the key of the path that is made, and that of the onion.
///
/// # Errors
/// [`SendError`]: the path or the records make no message.
pub fn pack(
    sessions: [SecretKey; 2],
    via: &[PublicKey],
    first: PublicKey,
    to: &To,
    records: Vec<Record>,
) -> Result<(PublicKey, Message), SendError> {
    let next = |id: &PublicKey| Record::new(blinding::kind::NEXT_NODE_ID, id.serialize());
    let mut own: Vec<(PublicKey, Vec<Record>)> = via
        .iter()
        .zip(via.iter().skip(1).chain([&first]))
        .map(|(node, behind)| (*node, vec![next(behind)]))
        .collect();
    let rest = match to {
        To::Node(id) => {
            own.push((*id, Vec::new()));
            None
        }
        To::Path(path) => {
            // Where the two paths meet, the next one's key takes the place of the own one.
            if let Some((_, data)) = own.last_mut() {
                let kind = blinding::kind::NEXT_PATH_KEY_OVERRIDE;
                data.push(Record::new(kind, path.first_path_key));
            }
            Some(path)
        }
    };
    let own: Vec<_> = own
        .into_iter()
        .map(|(node, data)| (node, tlv::encode_unchecked(&data)))
        .collect();
    let peer = own.first().map_or(first, |(node, _)| *node);
    let mut all = Vec::new();
    let mut path_key = rest.map(|path| path.first_path_key);
    if !own.is_empty() {
        let built = blinding::build(&sessions[0], &own)
            .map_err(|e| SendError::Path(e.to_string()))?
            .path;
        path_key = Some(built.first_path_key);
        all = stops(&built)?;
    }
    if let Some(path) = rest {
        all.extend(stops(path)?);
    }
    let (Some(path_key), Some(last)) = (path_key, all.last_mut()) else {
        return Err(SendError::Path("it has no hops".into()));
    };
    last.records = records;
    let writer = Writer::default();
    let (message, _) = onion_message::build(&Rules::all(), &sessions[1], &path_key, &all, &writer)?;
    Ok((peer, message))
}

impl Messages {
    pub(crate) fn new(hook: Arc<Hook>, graph: Arc<Graph>) -> Self {
        Self {
            id: keys::public(&hook.secret),
            hook,
            graph,
            state: Mutex::default(),
            listeners: Mutex::default(),
        }
    }

    /// Tells `listener` of every message for the probe, after those who listen already. `known` are
    /// types of payloads beside those of BOLT 12 that it reads.
    pub fn listen(&self, known: &[u64], listener: Listener) {
        lock(&self.state).known.extend(known);
        lock(&self.listeners).push(Arc::new(listener));
    }

    /// Makes a part of the probe that hears of messages, after those who do already.
    pub(crate) fn listening<T: Hears>(&self) -> Arc<T> {
        let part = Arc::new(T::new(self.hook.clone()));
        let ears = part.clone();
        let hear = move |messages: &Self, received: &Received| {
            let payload = received.payload.as_ref();
            payload.is_some_and(|payload| ears.hear(messages, received, payload))
        };
        self.listen(T::KNOWN, Box::new(hear));
        part
    }

    /// A path to the probe over the nodes `via`, which is marked with `path_id`.
    ///
    /// # Errors
    /// [`blinding::BuildError`].
    pub fn path(
        &self,
        via: &[PublicKey],
        path_id: &[u8],
    ) -> Result<BlindedPath, blinding::BuildError> {
        let nodes: Vec<PublicKey> = via.iter().copied().chain([self.id]).collect();
        path_through(&self.hook.draw_key(), &nodes, path_id)
    }

    /// As [`Messages::path`], for an answer whose payload has one of the types `answers`.
    ///
    /// # Errors
    /// [`blinding::BuildError`].
    pub fn reply_path(
        &self,
        via: &[PublicKey],
        path_id: &[u8],
        answers: &[u64],
    ) -> Result<BlindedPath, blinding::BuildError> {
        let path = self.path(via, path_id)?;
        lock(&self.state).reply_paths.push(ReplyPath {
            path_id: path_id.to_vec(),
            answers: answers.to_vec(),
        });
        Ok(path)
    }

    /// The node where a path begins.
    ///
    /// # Errors
    /// [`SendError::UnknownChannel`].
    pub(crate) fn first_node(&self, path: &BlindedPath) -> Result<PublicKey, SendError> {
        match path.first_node {
            FirstNode::NodeId(id) => PublicKey::from_slice(&id)
                .map_err(|e| SendError::Path(format!("its first node is no public key: {e}"))),
            FirstNode::Channel {
                end,
                short_channel_id,
            } => {
                let graph = self.graph.read_only();
                let channel = graph.channel(short_channel_id);
                let node = channel.map(|c| if end == 0 { c.node_one } else { c.node_two });
                let key = node.and_then(|node| node.as_pubkey().ok());
                key.ok_or(SendError::UnknownChannel)
            }
        }
    }

    /// Sends a message with `records`, which are the reply path and the payload of its last node, over
    /// the nodes `via`, the peer first; without them the first node of the way has to be a peer.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, via: &[PublicKey], to: &To, records: Vec<Record>) -> Result<(), SendError> {
        let first = match to {
            To::Node(id) => *id,
            To::Path(path) => self.first_node(path)?,
        };
        let shown = params::records(records.iter().map(|r| (r.kind, &r.value[..])));
        let sessions = [self.hook.draw_key(), self.hook.draw_key()];
        let (peer, message) = pack(sessions, via, first, to, records)?;
        if peer == self.id {
            // The path begins at the probe itself: it takes its own layer off.
            return self.pass_own(&message);
        }
        self.hand(peer, &message)?;
        let fields = json!({"bytes": hex(message.encode()?), "records": shown});
        self.note(Direction::Out, peer, fields);
        Ok(())
    }

    fn pass_own(&self, message: &Message) -> Result<(), SendError> {
        let peeled = self.peel(message)?;
        match peeled.next {
            Some((NextNode::Id(id), onward)) => {
                let peer = PublicKey::from_slice(&id)
                    .map_err(|e| SendError::Path(format!("a node's id is no public key: {e}")))?;
                self.hand(peer, &onward)
            }
            Some((NextNode::Channel(_), _)) => Err(SendError::UnknownChannel),
            None => Err(SendError::Path("it is the probe's own".into())),
        }
    }

    fn peel(&self, message: &Message) -> Result<Peeled, onion_message::Error> {
        let channels = self.hook.channel_ends();
        let state = lock(&self.state);
        let context = Context {
            reply_paths: &state.reply_paths,
            known: &state.known,
            channels: Some(&channels),
            ..Context::default()
        };
        onion_message::peel(&Rules::all(), &self.hook.secret, message, &context)
    }

    /// Whether a message waits for a peer.
    pub(crate) fn waits_for(&self, peer: &PublicKey) -> bool {
        let state = lock(&self.state);
        state.peers.get(peer).is_some_and(|queue| !queue.is_empty())
    }

    /// Puts a message into a peer's queue.
    fn hand(&self, peer: PublicKey, message: &Message) -> Result<(), SendError> {
        let bytes = message.encode()?;
        // LDK's form has no type in front.
        let read = msgs::OnionMessage::read_from_fixed_length_buffer(&mut &bytes[2..]);
        let read = read.map_err(|e| SendError::Path(format!("LDK cannot carry it: {e:?}")))?;
        let mut state = lock(&self.state);
        let queue = state.peers.get_mut(&peer);
        queue.ok_or(SendError::NoPeer(peer))?.push_back(read);
        Ok(())
    }

    fn note(&self, direction: Direction, peer: PublicKey, fields: Value) {
        let transcript = &self.hook.transcript;
        transcript.note(direction, peer, "onion_message", fields);
    }

    fn refused(&self, peer: PublicKey, bytes: &[u8], error: &onion_message::Error) {
        let rule = match error {
            onion_message::Error::Rule(violation) => Some(violation.rule),
            _ => None,
        };
        let fields = ResultObject::new()
            .with("bytes", hex(bytes))
            .maybe("breaks", rule)
            .done();
        self.note(Direction::In, peer, fields);
        let fields = ResultObject::new()
            .with("peer", peer.to_string())
            .maybe("rule", rule)
            .with("message", error.to_string())
            .done();
        self.hook.tell("onion-message-refused", fields);
    }

    fn arrive(&self, peer: PublicKey, bytes: &[u8]) {
        let message = match Message::decode(&Rules::all(), bytes) {
            Ok(message) => message,
            Err(e) => return self.refused(peer, bytes, &e),
        };
        self.arrived(peer, bytes, &message);
    }

    fn arrived(&self, peer: PublicKey, bytes: &[u8], message: &Message) {
        let peeled = match self.peel(message) {
            Ok(peeled) => peeled,
            Err(e) => return self.refused(peer, bytes, &e),
        };
        let records = peeled.records.iter().map(|r| (r.kind, &r.value[..]));
        let fields = ResultObject::new()
            .with("bytes", hex(bytes))
            .with("records", params::records(records))
            .with("last", peeled.last)
            .maybe("path_id", peeled.data.path_id.as_ref().map(hex))
            .done();
        self.note(Direction::In, peer, fields);
        if let Some((next, onward)) = &peeled.next {
            if *next == NextNode::Id(self.id.serialize()) {
                // Hops that only make a path longer are the probe's own as well.
                return self.arrived(peer, bytes, onward);
            }
            if let NextNode::Id(id) = next
                && let Ok(next) = PublicKey::from_slice(id)
                && let Err(e) = self.hand(next, onward)
            {
                eprintln!("adapter: an onion message goes nowhere: {e}");
            }
            return;
        }
        let received = Received {
            peer,
            path_id: peeled.data.path_id,
            payload: peeled.payload,
            reply_path: peeled.reply_path,
        };
        // Out of the lock: whoever hears of it may want to listen or to send.
        let listeners = lock(&self.listeners).clone();
        let taken = listeners.iter().any(|listener| listener(self, &received));
        if !taken {
            let fields = ResultObject::new()
                .with("direction", "received")
                .maybe("type", received.payload.map(|r| r.kind.to_string()))
                .with("reply_path", received.reply_path.is_some())
                .done();
            self.hook.tell("onion-message", fields);
        }
    }
}

impl BaseMessageHandler for Messages {
    fn get_and_clear_pending_msg_events(&self) -> Vec<MessageSendEvent> {
        Vec::new()
    }

    fn peer_disconnected(&self, peer: PublicKey) {
        lock(&self.state).peers.remove(&peer);
        self.hook.peer_gone(peer);
    }

    fn provided_node_features(&self) -> NodeFeatures {
        let mut features = NodeFeatures::empty();
        // A bit this low fits always.
        let _ = features.set_optional_feature_bit(ONION_MESSAGES);
        features
    }

    fn provided_init_features(&self, _peer: PublicKey) -> InitFeatures {
        let mut features = InitFeatures::empty();
        let _ = features.set_optional_feature_bit(ONION_MESSAGES);
        features
    }

    fn peer_connected(&self, peer: PublicKey, init: &msgs::Init, _inbound: bool) -> Result<(), ()> {
        if init.features.supports_onion_messages() {
            lock(&self.state).peers.insert(peer, VecDeque::new());
        }
        Ok(())
    }
}

impl OnionMessageHandler for Messages {
    fn handle_onion_message(&self, peer: PublicKey, msg: &msgs::OnionMessage) {
        let bytes = [&onion_message::TYPE.to_be_bytes()[..], &msg.encode()].concat();
        self.arrive(peer, &bytes);
    }

    fn next_onion_message_for_peer(&self, peer: PublicKey) -> Option<msgs::OnionMessage> {
        lock(&self.state).peers.get_mut(&peer)?.pop_front()
    }

    fn timer_tick_occurred(&self) {}
}

/// The record that holds a path for a reply.
pub fn reply_record(path: &BlindedPath) -> Record {
    // A path of the probe's own making is short.
    Record::new(kind::REPLY_PATH, path.encode().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> SecretKey {
        SecretKey::from_slice(&[byte; 32]).unwrap()
    }

    fn id(byte: u8) -> PublicKey {
        keys::public(&secret(byte))
    }

    /// Takes a message through the nodes of `way` and answers what the last one reads.
    fn travel(way: &[u8], peer: PublicKey, message: Message) -> Peeled {
        let (mut at, mut message) = (peer, message);
        for node in way {
            assert_eq!(at, id(*node));
            let peeled =
                onion_message::peel(&Rules::all(), &secret(*node), &message, &Context::default())
                    .unwrap();
            match peeled.next {
                Some((NextNode::Id(next), onward)) => {
                    (at, message) = (PublicKey::from_slice(&next).unwrap(), onward);
                }
                Some(_) => panic!("no path of ours names a channel"),
                None => return peeled,
            }
        }
        panic!("the message went on behind its end")
    }

    #[test]
    fn a_message_reaches_a_node_and_the_end_of_a_path_over_whom_it_shall() {
        let sessions = [secret(0x51), secret(0x52)];
        let payload = vec![Record::new(64, [1, 2])];
        let marked = path_through(&secret(0x53), &[id(4), id(5)], &[7, 7]).unwrap();
        for (via, to, first, way, mark) in [
            (vec![], To::Node(id(3)), id(3), vec![3], None),
            (
                vec![id(1), id(2)],
                To::Node(id(3)),
                id(3),
                vec![1, 2, 3],
                None,
            ),
            (
                vec![],
                To::Path(marked.clone()),
                id(4),
                vec![4, 5],
                Some(vec![7, 7]),
            ),
            (
                vec![id(1), id(2)],
                To::Path(marked.clone()),
                id(4),
                vec![1, 2, 4, 5],
                Some(vec![7, 7]),
            ),
        ] {
            let (peer, message) = pack(sessions, &via, first, &to, payload.clone()).unwrap();
            let read = travel(&way, peer, message);
            assert_eq!(read.payload.as_ref(), payload.first());
            assert_eq!(read.data.path_id, mark);
        }
    }

    #[test]
    fn a_path_without_hops_is_gone_by_nobody() {
        let mut path = path_through(&secret(0x53), &[id(4)], &[7]).unwrap();
        path.hops.clear();
        let sessions = [secret(0x51), secret(0x52)];
        let refused = pack(sessions, &[], id(4), &To::Path(path), vec![]);
        assert!(matches!(refused, Err(SendError::Path(_))));
        assert!(path_through(&secret(0x53), &[], &[7]).is_err());
    }

    #[test]
    fn the_end_is_what_an_invoice_may_be_signed_by() {
        assert_eq!(To::Node(id(3)).end(), Some(id(3).serialize()));
        let path = path_through(&secret(0x53), &[id(4)], &[7]).unwrap();
        let end = path.hops[0].blinded_node_id;
        assert_eq!(To::Path(path).end(), Some(end));
    }
}
