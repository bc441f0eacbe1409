//! Onion messages of BOLT 4: message 513, its onion, and the rules of writer and reader.

use crate::blinding::{self, BlindedPath, Data, UnblindError};
use crate::features;
use crate::keys::{KeyError, Point, PublicKey, SecretKey};
use crate::onion::{self, Hop};
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::Reader;

/// The type of the message.
pub const TYPE: u16 = 513;

/// Sizes of the payloads, in bytes, that a packet should have one of.
pub const SIZES: [usize; 2] = [1300, 32768];

/// Field numbers of `onionmsg_tlv`.
pub mod kind {
    #![allow(missing_docs)]
    pub const REPLY_PATH: u64 = 2;
    pub const ENCRYPTED_DATA: u64 = 4;
    pub const INVOICE_REQUEST: u64 = 64;
    pub const INVOICE: u64 = 66;
    pub const INVOICE_ERROR: u64 = 68;
    /// From here on a field is a payload for the last node.
    pub const FIRST_PAYLOAD: u64 = 64;
}

/// Message 513.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What the receiver shares a secret through.
    pub path_key: Point,
    /// The onion.
    pub packet: Vec<u8>,
}

impl Message {
    /// Type, path key, length and packet.
    ///
    /// # Errors
    /// [`Error::Size`] when the packet is longer than its length can say.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let length = u16::try_from(self.packet.len()).map_err(|_| Error::Size)?;
        let mut out = TYPE.to_be_bytes().to_vec();
        out.extend_from_slice(&self.path_key);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.packet);
        Ok(out)
    }

    /// Reads a message. What stands behind the packet is an extension and is passed over.
    ///
    /// # Errors
    /// [`Error::Type`], or a [`Violation`] of `bolt01/tlv/value-length`.
    pub fn decode(rules: &Rules, bytes: &[u8]) -> Result<Self, Error> {
        let mut value = Reader::new(rules, "onion_message", bytes);
        let kind = value.u16()?;
        if kind != TYPE {
            return Err(Error::Type(kind));
        }
        let path_key = value.array()?;
        let length = value.u16()?;
        Ok(Self {
            path_key,
            packet: value.bytes(usize::from(length))?.to_vec(),
        })
    }
}

/// Why a message was not built or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule refused it.
    #[error(transparent)]
    Rule(#[from] Violation),
    /// It is another message.
    #[error("the message has type {0}, and onion messages have type 513")]
    Type(u16),
    /// It fits into no message.
    #[error("an onion message holds a packet of 65535 bytes at most")]
    Size,
    /// See [`onion::Error`].
    #[error(transparent)]
    Onion(onion::Error),
    /// See [`KeyError`].
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<onion::Error> for Error {
    fn from(e: onion::Error) -> Self {
        match e {
            onion::Error::Rule(violation) => Error::Rule(violation),
            other => Error::Onion(other),
        }
    }
}

impl From<UnblindError> for Error {
    fn from(e: UnblindError) -> Self {
        match e {
            UnblindError::Rule(violation) => Error::Rule(violation),
            UnblindError::Key(e) => Error::Key(e),
        }
    }
}

/// One node of the message's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Its blinded id.
    pub blinded_node_id: PublicKey,
    /// Its sealed data.
    pub encrypted_data: Vec<u8>,
    /// What else it gets; for the last one a reply path and a payload.
    pub records: Vec<Record>,
}

/// What a writer decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer<'a> {
    /// Bytes of payloads; `None`: the smaller of [`SIZES`] that they fit into.
    pub size: Option<usize>,
    /// Version of the packet.
    pub version: u8,
    /// What the onion commits to beside the payloads.
    pub associated_data: &'a [u8],
    /// The last node may reply; `None` where nothing is said about it.
    pub may_reply: Option<bool>,
}

/// Builds a message along `stops` for the node that `path_key` is for.
///
/// # Errors
/// A [`Violation`] of a `bolt04/onion-message/writer/…` rule, `bolt04/onion/fits`,
/// `bolt01/tlv/sender/order`, or [`Error`].
pub fn build(
    rules: &Rules,
    session_key: &SecretKey,
    path_key: &Point,
    stops: &[Stop],
    writer: &Writer<'_>,
) -> Result<(Message, onion::Built), Error> {
    rules.check(rules::MESSAGE_WRITER_VERSION, writer.version == 0, || {
        format!("the version is {}", writer.version)
    })?;
    let associated = writer.associated_data;
    rules.check(
        rules::MESSAGE_WRITER_NO_ASSOCIATED_DATA,
        associated.is_empty(),
        || format!("the onion commits to {} more bytes", associated.len()),
    )?;
    let mut hops = Vec::with_capacity(stops.len());
    for (at, stop) in stops.iter().enumerate() {
        let last = at + 1 == stops.len();
        if !last {
            rules.check(
                rules::MESSAGE_WRITER_NON_FINAL_FIELDS,
                stop.records.is_empty(),
                || format!("node {at} forwards and gets more than its data"),
            )?;
        } else if writer.may_reply == Some(false) {
            let reply = stop.records.iter().any(|r| r.kind == kind::REPLY_PATH);
            rules.check(rules::MESSAGE_WRITER_NO_REPLY_PATH, !reply, || {
                "the last node may not reply and gets a reply path".into()
            })?;
        }
        let mut records = stop.records.clone();
        let before = records
            .iter()
            .position(|r| r.kind > kind::ENCRYPTED_DATA)
            .unwrap_or(records.len());
        records.insert(
            before,
            Record::new(kind::ENCRYPTED_DATA, stop.encrypted_data.clone()),
        );
        hops.push(Hop {
            pubkey: stop.blinded_node_id,
            framed: onion::frame(&tlv::encode(rules, &records)?),
        });
    }
    let needed = onion::needed(&hops);
    let size = writer.size.unwrap_or_else(|| {
        let fits = SIZES.iter().find(|size| **size >= needed);
        fits.copied().unwrap_or(needed)
    });
    rules.check(rules::MESSAGE_WRITER_LENGTH, SIZES.contains(&size), || {
        format!(
            "the packet has {} bytes, neither 1366 nor 32834",
            size + onion::OVERHEAD
        )
    })?;
    let mut built = onion::build(rules, session_key, associated, &hops, size)?;
    built.packet[0] = writer.version;
    let message = Message {
        path_key: *path_key,
        packet: built.packet.clone(),
    };
    Ok((message, built))
}

/// A reply path that the reader gave out, by the mark that it put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyPath {
    /// The mark.
    pub path_id: Vec<u8>,
    /// Types of payloads that are a reply to what went with it.
    pub answers: Vec<u64>,
}

/// What a reader knows beside the message. What it does not know it does not check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Feature bits that the message uses.
    pub features_used: &'a [u64],
    /// Its channels, with the node at the other end.
    pub channels: Option<&'a [(u64, Point)]>,
    /// Reply paths that it gave out.
    pub reply_paths: &'a [ReplyPath],
    /// Further types that it knows.
    pub known: &'a [u64],
}

/// Who gets the message next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextNode {
    /// The node of this id.
    Id(Point),
    /// The node at the other end of this channel, which the reader was not told of.
    Channel(u64),
}

/// What a node finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeled {
    /// The records, in the order of the stream.
    pub records: Vec<Record>,
    /// The fields of the sealed data.
    pub data: Data,
    /// The onion has no further layer.
    pub last: bool,
    /// Who gets what next; absent at the last node.
    pub next: Option<(NextNode, Message)>,
    /// The path for a reply.
    pub reply_path: Option<BlindedPath>,
    /// The payload for the last node.
    pub payload: Option<Record>,
    /// The secret shared with the sender.
    pub shared_secret: [u8; 32],
}

/// Peels a message and reads it by the rules for the node's position. What is refused is passed
/// over by a node: nothing goes back.
///
/// With a rule off, a node that forwards without knowing to whom has no next message.
///
/// # Errors
/// A [`Violation`] of a rule on onions, on blinding, of BOLT 1, or of
/// `bolt04/onion-message/reader/…`; [`Error`].
pub fn peel(
    rules: &Rules,
    node_secret: &SecretKey,
    message: &Message,
    context: &Context<'_>,
) -> Result<Peeled, Error> {
    let path_key = PublicKey::from_slice(&message.path_key).ok();
    rules.check(rules::TYPES_POINT, path_key.is_some(), || {
        "the path key is no point of the curve".into()
    })?;
    let onion = onion::peel(
        rules,
        node_secret,
        &message.packet,
        onion::Context {
            associated_data: &[],
            size: None,
            path_key,
        },
    )?;
    let records = tlv::frames(rules, &onion.payload)?;
    tlv::refuse_unknown_even(rules, rules::MESSAGE_UNKNOWN_EVEN, &records, |kind| {
        matches!(kind, 2 | 4 | 64 | 66 | 68) || context.known.contains(&kind)
    })?;
    let find = |kind: u64| records.iter().find(|record| record.kind == kind);
    let reply_path = match find(kind::REPLY_PATH) {
        Some(record) => {
            let mut value = Reader::new(rules, "reply_path", &record.value);
            let path = BlindedPath::read(rules, &mut value)?;
            value.end()?;
            Some(path)
        }
        None => None,
    };
    let sealed = find(kind::ENCRYPTED_DATA).map_or(&[][..], |record| &record.value);
    let read = blinding::unblind(rules, node_secret, &message.path_key, sealed)?;
    check_features(rules, &read.data, context)?;
    let last = onion.next.is_none();
    let mut peeled = Peeled {
        data: read.data.clone(),
        last,
        next: None,
        reply_path,
        payload: None,
        shared_secret: onion.shared_secret,
        records,
    };
    match onion.next {
        Some(packet) => {
            let next = next_node(rules, &peeled, context)?;
            // BOLT 4, onion messages, reader: the next path key goes along.
            let path_key = read.forward_path_key();
            peeled.next = next.map(|node| (node, Message { path_key, packet }));
        }
        None => check_last(rules, &mut peeled, context)?,
    }
    Ok(peeled)
}

fn check_features(rules: &Rules, data: &Data, context: &Context<'_>) -> Result<(), Violation> {
    let Some(allowed) = &data.allowed_features else {
        return Ok(());
    };
    // BOLT 9 has no feature for this place, so every bit is unknown.
    let unknown = features::bits(allowed).next();
    rules.check(rules::MESSAGE_FEATURES_UNKNOWN, unknown.is_none(), || {
        format!(
            "allowed_features has bit {}, which is unknown",
            unknown.unwrap_or_default()
        )
    })?;
    let allowed: Vec<u64> = features::bits(allowed).map(|bit| bit / 2).collect();
    let used = context
        .features_used
        .iter()
        .find(|bit| !allowed.contains(&(*bit / 2)));
    rules.check(rules::MESSAGE_FEATURES_USED, used.is_none(), || {
        format!(
            "the message uses feature {}, which the path does not allow",
            used.copied().unwrap_or_default()
        )
    })
}

/// BOLT 4, onion messages, reader: a node that forwards.
fn next_node(
    rules: &Rules,
    peeled: &Peeled,
    context: &Context<'_>,
) -> Result<Option<NextNode>, Violation> {
    let other = peeled
        .records
        .iter()
        .find(|record| record.kind != kind::ENCRYPTED_DATA);
    rules.check(rules::MESSAGE_NON_FINAL_FIELDS, other.is_none(), || {
        format!(
            "record {} is not for a node that forwards",
            other.map_or(0, |record| record.kind)
        )
    })?;
    let data = &peeled.data;
    rules.check(
        rules::MESSAGE_NON_FINAL_PATH_ID,
        data.path_id.is_none(),
        || "there is a path_id at a node that forwards".into(),
    )?;
    let next = match (data.next_node_id, data.short_channel_id, context.channels) {
        (Some(id), ..) => Some(NextNode::Id(id)),
        (None, Some(channel), None) => Some(NextNode::Channel(channel)),
        (None, Some(channel), Some(channels)) => channels
            .iter()
            .find(|(known, _)| *known == channel)
            .map(|(_, id)| NextNode::Id(*id)),
        (None, None, _) => None,
    };
    rules.check(rules::MESSAGE_NO_NEXT, next.is_some(), || {
        "the data names no next node that there is".into()
    })?;
    Ok(next)
}

/// BOLT 4, onion messages, reader: the last node.
fn check_last(rules: &Rules, peeled: &mut Peeled, context: &Context<'_>) -> Result<(), Violation> {
    let mut payloads = peeled
        .records
        .iter()
        .filter(|record| record.kind >= kind::FIRST_PAYLOAD);
    let first = payloads.next();
    let second = payloads.next();
    let expected = peeled.data.path_id.as_ref().and_then(|path_id| {
        context
            .reply_paths
            .iter()
            .find(|path| path.path_id == *path_id)
    });
    if let Some(expected) = expected {
        let reply = first.is_some_and(|record| expected.answers.contains(&record.kind));
        rules.check(rules::MESSAGE_OTHER_REPLY, reply, || {
            "the message came along a reply path and is no reply".into()
        })?;
    }
    rules.check(rules::MESSAGE_ONE_PAYLOAD, second.is_none(), || {
        format!(
            "there are payloads {} and {}",
            first.map_or(0, |record| record.kind),
            second.map_or(0, |record| record.kind)
        )
    })?;
    peeled.payload = first.cloned();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use proptest::prelude::*;

    fn secret(byte: u8) -> SecretKey {
        SecretKey::from_slice(&[byte; 32]).unwrap()
    }

    fn id(byte: u8) -> Point {
        keys::public(&secret(byte)).serialize()
    }

    /// A message of 0x41, 0x42 and so on, each with its data.
    fn message(data: &[&[u8]], last: Vec<Record>) -> Message {
        let nodes: Vec<_> = data
            .iter()
            .zip(0x41..)
            .map(|(data, key)| (keys::public(&secret(key)), data.to_vec()))
            .collect();
        let path = blinding::build(&secret(7), &nodes).unwrap().path;
        let stops: Vec<Stop> = path
            .hops
            .iter()
            .enumerate()
            .map(|(at, hop)| Stop {
                blinded_node_id: PublicKey::from_slice(&hop.blinded_node_id).unwrap(),
                encrypted_data: hop.encrypted_data.clone(),
                records: if at + 1 == data.len() {
                    last.clone()
                } else {
                    Vec::new()
                },
            })
            .collect();
        let off = Rules::all()
            .without(rules::TLV_SENDER_ORDER)
            .unwrap()
            .without(rules::MESSAGE_WRITER_LENGTH)
            .unwrap();
        let writer = Writer::default();
        build(&off, &secret(9), &path.first_path_key, &stops, &writer)
            .unwrap()
            .0
    }

    fn to(byte: u8) -> Vec<u8> {
        [&[4, 33][..], &id(byte)].concat()
    }

    #[test]
    fn a_message_travels_to_its_end() {
        let sent = message(
            &[&to(0x42), &to(0x43), &[6, 1, 5]],
            vec![Record::new(64, [1, 2, 3])],
        );
        assert_eq!(sent.packet.len(), 1366);
        let mut at = sent;
        for node in [0x41, 0x42] {
            let wire = at.encode().unwrap();
            assert_eq!(Message::decode(&Rules::all(), &wire).unwrap(), at);
            let peeled = peel(&Rules::all(), &secret(node), &at, &Context::default()).unwrap();
            let (next, onward) = peeled.next.unwrap();
            assert_eq!(next, NextNode::Id(id(node + 1)));
            at = onward;
        }
        let peeled = peel(&Rules::all(), &secret(0x43), &at, &Context::default()).unwrap();
        assert!(peeled.last && peeled.next.is_none());
        assert_eq!(peeled.payload, Some(Record::new(64, [1, 2, 3])));
        assert_eq!(peeled.data.path_id, Some(vec![5]));
    }

    fn rule(rules: &Rules, sent: &Message, context: &Context<'_>) -> Option<&'static str> {
        match peel(rules, &secret(0x41), sent, context) {
            Ok(_) => None,
            Err(Error::Rule(violation)) => Some(violation.rule),
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn each_rule_of_the_reader_is_named_and_can_be_off() {
        let channel = [2, 8, 0, 0, 0, 0, 0, 0, 0, 7];
        let channels = [(8, id(1))];
        let replies = [ReplyPath {
            path_id: vec![5],
            answers: vec![66, 68],
        }];
        let context = Context {
            channels: Some(&channels),
            reply_paths: &replies,
            features_used: &[],
            known: &[],
        };
        let used = Context {
            features_used: &[17],
            ..context
        };
        let end: &[u8] = &[6, 1, 9];
        for (sent, context, id) in [
            (
                message(&[end], vec![Record::new(70, [])]),
                context,
                rules::MESSAGE_UNKNOWN_EVEN,
            ),
            (
                message(&[&[14, 1, 2]], vec![]),
                context,
                rules::MESSAGE_FEATURES_UNKNOWN,
            ),
            (
                message(&[&[14, 0]], vec![]),
                used,
                rules::MESSAGE_FEATURES_USED,
            ),
            (
                message(&[&[&to(0x42)[..], &[6, 1, 1]].concat(), end], vec![]),
                context,
                rules::MESSAGE_NON_FINAL_PATH_ID,
            ),
            (
                message(&[&[], end], vec![]),
                context,
                rules::MESSAGE_NO_NEXT,
            ),
            (
                message(&[&channel, end], vec![]),
                context,
                rules::MESSAGE_NO_NEXT,
            ),
            (
                message(&[&[6, 1, 5]], vec![Record::new(64, [])]),
                context,
                rules::MESSAGE_OTHER_REPLY,
            ),
            (
                message(&[end], vec![Record::new(64, []), Record::new(66, [])]),
                context,
                rules::MESSAGE_ONE_PAYLOAD,
            ),
        ] {
            assert_eq!(rule(&Rules::all(), &sent, &context), Some(id));
            let off = Rules::all().without(id).unwrap();
            assert_eq!(rule(&off, &sent, &context), None, "{id}");
        }
        let open = Context::default();
        assert_eq!(
            rule(&Rules::all(), &message(&[&channel, end], vec![]), &open),
            None
        );
        let reply = message(&[&[6, 1, 5]], vec![Record::new(66, [])]);
        assert_eq!(rule(&Rules::all(), &reply, &context), None);
    }

    #[test]
    fn each_rule_of_the_writer_is_named() {
        let stop = |records| Stop {
            blinded_node_id: keys::public(&secret(5)),
            encrypted_data: vec![1],
            records,
        };
        let reply = vec![Record::new(2, [])];
        let odd = |stops: &[Stop], writer: Writer<'_>| match build(
            &Rules::all(),
            &secret(9),
            &id(7),
            stops,
            &writer,
        ) {
            Err(Error::Rule(violation)) => violation.rule,
            other => panic!("{other:?}"),
        };
        let plain = Writer::default();
        assert_eq!(
            odd(
                &[stop(vec![])],
                Writer {
                    version: 1,
                    ..plain
                }
            ),
            rules::MESSAGE_WRITER_VERSION
        );
        assert_eq!(
            odd(
                &[stop(vec![])],
                Writer {
                    associated_data: &[1],
                    ..plain
                }
            ),
            rules::MESSAGE_WRITER_NO_ASSOCIATED_DATA
        );
        assert_eq!(
            odd(
                &[stop(vec![])],
                Writer {
                    size: Some(1301),
                    ..plain
                }
            ),
            rules::MESSAGE_WRITER_LENGTH
        );
        assert_eq!(
            odd(&[stop(reply.clone()), stop(vec![])], plain),
            rules::MESSAGE_WRITER_NON_FINAL_FIELDS
        );
        assert_eq!(
            odd(
                &[stop(reply)],
                Writer {
                    may_reply: Some(false),
                    ..plain
                }
            ),
            rules::MESSAGE_WRITER_NO_REPLY_PATH
        );
        let large = [stop(vec![Record::new(65, vec![0; 1300])])];
        let (message, _) = build(&Rules::all(), &secret(9), &id(7), &large, &plain).unwrap();
        assert_eq!(message.packet.len(), 32834);
    }

    #[test]
    fn other_messages_are_told_apart() {
        assert_eq!(
            Message::decode(&Rules::all(), &[0, 18, 0]),
            Err(Error::Type(18))
        );
        let short = message(&[&[]], vec![]).encode().unwrap();
        let cut = Message::decode(&Rules::all(), &short[..short.len() - 1]);
        assert!(matches!(cut, Err(Error::Rule(v)) if v.rule == rules::TLV_VALUE_LENGTH));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..150), which in 0..rules::ALL.len()) {
            let off = Rules::all().without(rules::ALL[which].id).unwrap();
            let bytes = [&TYPE.to_be_bytes()[..], &bytes].concat();
            for rules in [Rules::all(), off] {
                if let Ok(message) = Message::decode(&rules, &bytes) {
                    let _ = peel(&rules, &secret(3), &message, &Context::default());
                }
            }
        }
    }
}
