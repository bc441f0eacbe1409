//! Onion messages, answered by one version of `lightning`.
//!
//! This file is compiled once for each version: `super` says which.

use super::codec::{message_path, records_of_stream, refused};
use super::lightning;
use super::onion::{Log, Node, elsewhere, layer, mac, public_key, shared_secret};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use lightning::bitcoin::secp256k1::ecdh::SharedSecret;
use lightning::bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning::blinded_path::message::{BlindedMessagePath, NextMessageHop};
use lightning::blinded_path::{BlindedHop, EmptyNodeIdLookUp};
use lightning::io;
use lightning::ln::msgs::{DecodeError, OnionMessage};
use lightning::onion_message::messenger::{
    CustomOnionMessageHandler, Destination, MessageSendInstructions, OnionMessagePath, PeeledOnion,
    Responder, ResponseInstruction, create_onion_message, peel_onion_message,
};
use lightning::onion_message::packet::OnionMessageContents;
use lightning::sign::EntropySource;
use lightning::util::ser::{BigSize, LengthReadable, Readable, Writeable, Writer};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::json;
use std::sync::Mutex;

/// Content of an onion message that LDK does not know, as bytes.
#[derive(Clone, Debug)]
struct Content {
    kind: u64,
    value: Vec<u8>,
}

impl Writeable for Content {
    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), io::Error> {
        writer.write_all(&self.value)
    }
}

impl OnionMessageContents for Content {
    fn tlv_type(&self) -> u64 {
        self.kind
    }

    fn msg_type(&self) -> &'static str {
        "content given as bytes"
    }
}

/// Takes the `known` contents that are none of LDK's own.
struct Contents {
    known: Vec<u64>,
}

impl CustomOnionMessageHandler for Contents {
    type CustomMessage = Content;

    fn handle_custom_message(
        &self,
        _: Content,
        _: Option<Vec<u8>>,
        _: Option<Responder>,
    ) -> Option<(Content, ResponseInstruction)> {
        None
    }

    fn read_custom_message<R: io::Read>(
        &self,
        kind: u64,
        buffer: &mut R,
    ) -> Result<Option<Content>, DecodeError> {
        if !self.known.contains(&kind) {
            return Ok(None);
        }
        let mut value = Vec::new();
        let mut chunk = [0; 1024];
        loop {
            match buffer.read(&mut chunk)? {
                0 => return Ok(Some(Content { kind, value })),
                n => value.extend_from_slice(&chunk[..n]),
            }
        }
    }

    fn release_pending_custom_messages(&self) -> Vec<(Content, MessageSendInstructions)> {
        Vec::new()
    }
}

/// Type of `onion_message` on the wire.
const ONION_MESSAGE: u16 = 513;

/// The randomness of a sender, in the order in which LDK asks for it: the session key, and the key
/// of the bytes behind the payloads. Both are the sender's choice; the second is the one that BOLT 4
/// derives, so that the onion is the one of the text's vectors.
struct Randomness(Mutex<Vec<[u8; 32]>>);

impl EntropySource for Randomness {
    fn get_secure_random_bytes(&self) -> [u8; 32] {
        let mut left = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        left.pop().unwrap_or([0x46; 32])
    }
}

pub(super) fn build(p: Params<'_>) -> Outcome {
    let session = p.array::<32>("session_key")?;
    SecretKey::from_slice(&session).map_err(|e| refused("session_key", &e))?;
    let path_key = public_key(p, "path_key")?;
    elsewhere(p, &["size", "version", "associated_data", "may_reply"])?;
    let given = p.list("hops")?;
    let (mut hops, mut content, mut reply_path) = (Vec::new(), None, None);
    for (at, hop) in given.iter().enumerate() {
        let hop = Params::new(hop);
        hops.push(BlindedHop {
            blinded_node_id: public_key(hop, "pubkey")?,
            encrypted_payload: hop.hex("encrypted_recipient_data")?,
        });
        let records = match hop.get("records") {
            None => Vec::new(),
            Some(_) => hop.records("records")?,
        };
        let last = at + 1 == given.len();
        for (kind, value) in records {
            match kind {
                2 if last && reply_path.is_none() => {
                    let mut bytes = &value[..];
                    let path = BlindedMessagePath::read(&mut bytes)
                        .map_err(|e| refused("reply path", &e))?;
                    reply_path = Some(path);
                }
                kind if last && kind >= 64 && content.is_none() => {
                    content = Some(Content { kind, value });
                }
                kind => {
                    return Err(Fail::Unsupported(format!(
                        "LDK writes no record {kind} for hop {at}"
                    )));
                }
            }
        }
    }
    let Some(content) = content else {
        return Err(Fail::Unsupported(
            "LDK writes no message without content".into(),
        ));
    };
    let Some(first) = hops.first() else {
        return Err(OpError::invalid("param hops is empty").into());
    };
    // Who introduces the path does not stand in the message; it only must not be the sender.
    let path = BlindedMessagePath::from_blinded_path(first.blinded_node_id, path_key, hops);
    let randomness = Randomness(Mutex::new(vec![mac(b"pad", &[&session]), session]));
    let sender = Node::new([0x47; 32])?;
    let made = create_onion_message(
        &&randomness,
        &&sender,
        &&EmptyNodeIdLookUp {},
        &Secp256k1::new(),
        OnionMessagePath {
            intermediate_nodes: Vec::new(),
            destination: Destination::BlindedPath(path),
            first_node_addresses: Vec::new(),
        },
        content,
        reply_path,
    );
    let (_, message, _) = made.map_err(|e| refused("message", &e))?;
    Ok(json!({
        "onion": hex(message.onion_routing_packet.encode()),
        "message": on_wire(&message),
    }))
}

fn on_wire(message: &OnionMessage) -> String {
    let mut wire = ONION_MESSAGE.to_be_bytes().to_vec();
    wire.extend(message.encode());
    hex(wire)
}

/// Whether the data for this node has records that are the recipient's own affair. They are sealed
/// by the recipient for itself, and LDK reads those that LDK writes: a message along such a path
/// never comes to it. `None` if they cannot be opened.
fn foreign_data(node: &Node, message: &OnionMessage) -> Option<bool> {
    let to_data = SharedSecret::new(&message.blinding_point, &node.secret);
    let packet = &message.onion_routing_packet;
    let to_onion = shared_secret(node, &packet.encode(), Some(&message.blinding_point))?;
    let mut data = packet.hop_data.clone();
    layer(&to_onion, &mut data);
    let mut rest = &data[..];
    let length = usize::try_from(BigSize::read(&mut rest).ok()?.0).ok()?;
    let found = records_of_stream(rest.get(..length)?)?;
    let sealed = &found.iter().find(|(kind, _)| *kind == 4)?.1;
    let mut plain = sealed.get(..sealed.len().checked_sub(16)?)?.to_vec();
    // The first block of the stream is the one that the tag is made with.
    let rho = mac(b"rho", &[&to_data.secret_bytes()]);
    let mut stream = ChaCha20::new(&rho.into(), &[0; 12].into());
    stream.apply_keystream(&mut [0; 64]);
    stream.apply_keystream(&mut plain);
    let found = records_of_stream(&plain)?;
    Some(found.iter().any(|(kind, _)| *kind == 6))
}

pub(super) fn peel(p: Params<'_>) -> Outcome {
    let node = Node::new(p.array("node_secret")?)?;
    let bytes = match p.maybe("message", Params::hex)? {
        Some(bytes) => match bytes.strip_prefix(&ONION_MESSAGE.to_be_bytes()) {
            Some(rest) => rest.to_vec(),
            None => return Err(OpError::invalid("param message is no onion_message").into()),
        },
        None => {
            let onion = p.hex("onion")?;
            let length = u16::try_from(onion.len())
                .map_err(|_| OpError::invalid("param onion has more than 65535 bytes"))?;
            let mut bytes = p.array::<33>("path_key")?.to_vec();
            bytes.extend(length.to_be_bytes());
            bytes.extend(onion);
            bytes
        }
    };
    elsewhere(p, &["features_used", "channels", "reply_paths"])?;
    let mut known = Vec::new();
    for kind in p.maybe("known", Params::list)?.unwrap_or_default() {
        known.push(Params::new(&json!({ "known": kind })).u64("known")?);
    }
    let message = OnionMessage::read_from_fixed_length_buffer(&mut &bytes[..])
        .map_err(|e| refused("onion_message", &e))?;
    if foreign_data(&node, &message) == Some(true) {
        return Err(Fail::Unsupported(
            "the data for this node has a path_id: the recipient seals it for itself, and LDK \
             seals and reads another record"
                .into(),
        ));
    }
    let log = Log::default();
    let contents = Contents { known };
    let peeled = peel_onion_message(&message, &Secp256k1::new(), &node, &log, &contents);
    let Ok(peeled) = peeled else {
        return Err(OpError::invalid(log.lines()).into());
    };
    let (kind, value, reply_path) = match peeled {
        PeeledOnion::Forward(next, message) => {
            let mut shown = match next {
                NextMessageHop::NodeId(id) => json!({"node_id": id.to_string()}),
                NextMessageHop::ShortChannelId(id) => json!({"short_channel_id": id.to_string()}),
            };
            shown["path_key"] = message.blinding_point.to_string().into();
            shown["onion"] = hex(message.onion_routing_packet.encode()).into();
            shown["message"] = on_wire(&message).into();
            return Ok(json!({"final": false, "next": shown}));
        }
        PeeledOnion::Offers(content, _, path) => (content.tlv_type(), content.encode(), path),
        PeeledOnion::AsyncPayments(content, _, path) => {
            (content.tlv_type(), content.encode(), path)
        }
        PeeledOnion::DNSResolver(content, _, path) => (content.tlv_type(), content.encode(), path),
        PeeledOnion::Custom(content, _, path) => (content.kind, content.value, path),
    };
    Ok(ResultObject::new()
        .with("final", true)
        .with(
            "payload",
            json!({"type": kind.to_string(), "value": hex(value)}),
        )
        .maybe("reply_path", reply_path.as_ref().map(message_path))
        .done())
}

#[cfg(test)]
mod tests {
    use super::super::onion::addressed;
    use super::*;
    use lnconform_protocol::Answer;
    use lnconform_protocol::outcome::answer;
    use serde_json::Value;

    /// A message for node 0x41 alone.
    fn message(sealed: &[u8], kind: u64) -> Value {
        let node = Node::new([0x41; 32]).unwrap();
        let path_key = Node::new([0x55; 32]).unwrap().id();
        let blinded = addressed(&node, Some(&path_key)).unwrap();
        let params = json!({
            "session_key": "09".repeat(32), "path_key": path_key.to_string(),
            "hops": [{
                "pubkey": blinded.to_string(), "encrypted_recipient_data": hex(sealed),
                "records": [{"type": kind.to_string(), "value": "0a0b"}],
            }],
        });
        match answer(build(Params::new(&params))) {
            Answer::Result(made) => made["message"].clone(),
            other => panic!("{other:?}"),
        }
    }

    fn peeled(message: &Value, known: &[&str]) -> Answer {
        let params = json!({
            "node_secret": "41".repeat(32), "message": message, "known": known,
        });
        answer(peel(Params::new(&params)))
    }

    /// Data of the records, sealed for node 0x41 with the path key of [`message`].
    fn sealed(records: &[u8]) -> Vec<u8> {
        let node = Node::new([0x41; 32]).unwrap();
        let path_key = Node::new([0x55; 32]).unwrap().id();
        let shared = SharedSecret::new(&path_key, &node.secret);
        let rho = mac(b"rho", &[&shared.secret_bytes()]);
        let mut data = records.to_vec();
        let mut stream = ChaCha20::new(&rho.into(), &[0; 12].into());
        stream.apply_keystream(&mut [0; 64]);
        stream.apply_keystream(&mut data);
        // The tag is wrong: LDK must not be asked before the path_id is seen.
        data.extend([0; 16]);
        data
    }

    #[test]
    fn data_with_a_path_id_is_not_asked_of_ldk_and_data_with_a_wrong_tag_is_refused() {
        let foreign = peeled(&message(&sealed(&[6, 1, 9]), 65), &["65"]);
        assert!(matches!(foreign, Answer::Unsupported(_)), "{foreign:?}");
        match peeled(&message(&sealed(&[1, 1, 9]), 65), &["65"]) {
            Answer::Error(e) => assert!(e.message.contains("Unable to decode"), "{e:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_onion_message_is_refused() {
        for message in ["", "0201", "020302"] {
            let got = peeled(&json!(message), &[]);
            assert!(matches!(got, Answer::Error(_)), "{message}: {got:?}");
        }
    }
}
