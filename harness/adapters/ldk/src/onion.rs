//! Onions, answered by one version of `lightning`: those of payments here, those of messages in
//! `onion_message`.
//!
//! This file is compiled once for each version: `super` says which. LDK shows no payload as bytes
//! and reads none but inside the onion of an HTLC, so `onion.peel` is not here; `onion.process` is
//! what its `peel_payment_onion` does. `payload.decode` and `trampoline.receive` put the payload that
//! is given into an onion of one layer ([`wrap`]) and leave everything else to LDK.

use super::codec::{Records, records_of_stream, refused};
use super::{lightning, onion_message, payment_onion};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use lightning::bitcoin::hashes::hmac::{Hmac, HmacEngine};
use lightning::bitcoin::hashes::{Hash, HashEngine, sha256};
use lightning::bitcoin::secp256k1::ecdh::SharedSecret;
use lightning::bitcoin::secp256k1::ecdsa::{RecoverableSignature, Signature as EcdsaSignature};
use lightning::bitcoin::secp256k1::schnorr::Signature;
use lightning::bitcoin::secp256k1::{PublicKey, Scalar, Secp256k1, SecretKey};
use lightning::bolt11_invoice::RawBolt11Invoice;
use lightning::ln::channelmanager::{MIN_CLTV_EXPIRY_DELTA, PendingHTLCInfo, PendingHTLCRouting};
use lightning::ln::inbound_payment::ExpandedKey;
use lightning::ln::msgs::{FinalOnionHopData, UnsignedGossipMessage, UpdateAddHTLC};
use lightning::ln::onion_payment::{InboundHTLCErr, peel_payment_onion};
use lightning::offers::invoice::UnsignedBolt12Invoice;
use lightning::routing::router::{Path, RouteHop};
use lightning::sign::{NodeSigner, PeerStorageKey, ReceiveAuthKey, Recipient};
use lightning::types::features::{ChannelFeatures, NodeFeatures};
use lightning::util::logger::{Logger, Record};
use lightning::util::ser::{BigSize, LengthReadable, Readable, Writeable};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex, records};
use serde_json::{Value, json};
use std::sync::Mutex;

/// Operations that are answered here.
pub(super) const OPERATIONS: [&str; 7] = [
    "onion.build",
    "onion.process",
    "payload.decode",
    "payload.refuse",
    "trampoline.receive",
    "onion_message.build",
    "onion_message.peel",
];

/// Answers one of [`OPERATIONS`]; `None` if it is none of them.
pub(super) fn call(op: &str, params: Params<'_>) -> Option<Outcome> {
    match op {
        "onion.build" => Some(build(params)),
        "onion.process" => Some(process(params)),
        "payload.decode" => Some(payload_decode(params)),
        "payload.refuse" => Some(payload_refuse(params)),
        "trampoline.receive" => Some(trampoline_receive(params)),
        "onion_message.build" => Some(onion_message::build(params)),
        "onion_message.peel" => Some(onion_message::peel(params)),
        _ => None,
    }
}

/// Bytes of the payloads in the onion of a payment.
const PAYLOADS: usize = 1300;
/// Bytes of a packet beside its payloads: version, key and HMAC.
const FRAME: usize = 1 + 33 + 32;
/// The node whose payload is read, where the params name none.
const NODE: [u8; 32] = [0x41; 32];
/// Session keys of [`wrap`].
const SESSION: [u8; 32] = [0x43; 32];
const INNER_SESSION: [u8; 32] = [0x44; 32];

/// A node of ours, with no more than the keys that LDK asks for when it opens an onion.
pub(super) struct Node {
    pub(super) secret: SecretKey,
}

impl Node {
    pub(super) fn new(secret: [u8; 32]) -> Result<Self, Fail> {
        let secret = SecretKey::from_slice(&secret).map_err(|e| refused("node_secret", &e))?;
        Ok(Self { secret })
    }

    pub(super) fn id(&self) -> PublicKey {
        PublicKey::from_secret_key(&Secp256k1::new(), &self.secret)
    }
}

impl NodeSigner for Node {
    fn get_expanded_key(&self) -> ExpandedKey {
        ExpandedKey::new([0x51; 32])
    }

    fn get_peer_storage_key(&self) -> PeerStorageKey {
        PeerStorageKey { inner: [0x52; 32] }
    }

    fn get_receive_auth_key(&self) -> ReceiveAuthKey {
        ReceiveAuthKey([0x53; 32])
    }

    fn get_node_id(&self, recipient: Recipient) -> Result<PublicKey, ()> {
        match recipient {
            Recipient::Node => Ok(self.id()),
            Recipient::PhantomNode => Err(()),
        }
    }

    fn ecdh(
        &self,
        recipient: Recipient,
        other: &PublicKey,
        tweak: Option<&Scalar>,
    ) -> Result<SharedSecret, ()> {
        if !matches!(recipient, Recipient::Node) {
            return Err(());
        }
        let mut secret = self.secret;
        if let Some(tweak) = tweak {
            secret = secret.mul_tweak(tweak).map_err(|_| ())?;
        }
        Ok(SharedSecret::new(other, &secret))
    }

    fn sign_invoice(&self, _: &RawBolt11Invoice, _: Recipient) -> Result<RecoverableSignature, ()> {
        Err(())
    }

    fn sign_bolt12_invoice(&self, _: &UnsignedBolt12Invoice) -> Result<Signature, ()> {
        Err(())
    }

    fn sign_gossip_message(&self, _: UnsignedGossipMessage<'_>) -> Result<EcdsaSignature, ()> {
        Err(())
    }

    fn sign_message(&self, _: &[u8]) -> Result<String, ()> {
        Err(())
    }
}

/// What LDK logs meanwhile: for many refusals the only place where it says why.
#[derive(Default)]
pub(super) struct Log(Mutex<Vec<String>>);

impl Logger for Log {
    fn log(&self, record: Record<'_>) {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(record.args.to_string());
    }
}

impl Log {
    pub(super) fn lines(self) -> String {
        let lines = self.0.into_inner();
        lines
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .join("; ")
    }
}

pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    for part in parts {
        engine.input(part);
    }
    Hmac::<sha256::Hash>::from_engine(engine).to_byte_array()
}

pub(super) fn public_key(p: Params<'_>, name: &str) -> Result<PublicKey, OpError> {
    PublicKey::from_slice(&p.array::<33>(name)?)
        .map_err(|e| OpError::invalid(format!("param {name}: {e}")))
}

fn node(p: Params<'_>) -> Result<Node, Fail> {
    Node::new(p.maybe("node_secret", Params::array::<32>)?.unwrap_or(NODE))
}

/// What the node's key is multiplied with inside a blinded path: BOLT 4, route blinding.
fn tweak(node: &Node, path_key: &PublicKey) -> Option<Scalar> {
    let shared = SharedSecret::new(path_key, &node.secret);
    Scalar::from_be_bytes(mac(b"blinded_node_id", &[&shared.secret_bytes()])).ok()
}

/// The id of the node inside a blinded path, or its own outside of one.
pub(super) fn addressed(node: &Node, path_key: Option<&PublicKey>) -> Result<PublicKey, Fail> {
    let Some(path_key) = path_key else {
        return Ok(node.id());
    };
    tweak(node, path_key)
        .and_then(|tweak| node.id().mul_tweak(&Secp256k1::new(), &tweak).ok())
        .ok_or_else(|| OpError::invalid("param path_key: it leads to no key").into())
}

/// What the node shares with the sender of a packet; `None` if the packet holds no key.
pub(super) fn shared_secret(
    node: &Node,
    packet: &[u8],
    path_key: Option<&PublicKey>,
) -> Option<SharedSecret> {
    let ephemeral = PublicKey::from_slice(packet.get(1..34)?).ok()?;
    let tweak = match path_key {
        Some(key) => Some(tweak(node, key)?),
        None => None,
    };
    node.ecdh(Recipient::Node, &ephemeral, tweak.as_ref()).ok()
}

/// Hides or opens the payloads of one layer, and the key of their HMAC.
pub(super) fn layer(shared: &SharedSecret, data: &mut [u8]) -> [u8; 32] {
    let rho = mac(b"rho", &[&shared.secret_bytes()]);
    ChaCha20::new(&rho.into(), &[0; 12].into()).apply_keystream(data);
    mac(b"mu", &[&shared.secret_bytes()])
}

/// An onion of one layer around a payload, for the key `to`: BOLT 4, packet structure. Behind the
/// payload stands the HMAC of a next packet, or none at the `last` hop, and then zeros: one hop sees
/// no difference from a longer route.
fn wrap(
    session: [u8; 32],
    to: &PublicKey,
    framed: &[u8],
    last: bool,
    size: usize,
    associated: &[u8],
) -> Result<Vec<u8>, Fail> {
    let session = SecretKey::from_slice(&session).map_err(|e| refused("session key", &e))?;
    let shared = SharedSecret::new(to, &session);
    let mut data = framed.to_vec();
    data.extend([if last { 0 } else { 1 }; 32]);
    if data.len() > size {
        return Err(Fail::Unsupported(format!(
            "the payload does not fit into an onion with {size} bytes for payloads"
        )));
    }
    data.resize(size, 0);
    let mu = layer(&shared, &mut data);
    let mut packet = vec![0];
    packet.extend(PublicKey::from_secret_key(&Secp256k1::new(), &session).serialize());
    packet.extend(&data);
    packet.extend(mac(&mu, &[&data, associated]));
    Ok(packet)
}

/// An HTLC as it comes from a peer: LDK reads the message, the onion in it included.
struct Htlc<'a> {
    onion: &'a [u8],
    payment_hash: [u8; 32],
    amount_msat: u64,
    cltv_expiry: u32,
    /// Height of the chain, blocks.
    height: u32,
    path_key: Option<PublicKey>,
    /// What the node shares with the maker of a trampoline onion inside, where it is known.
    inner_secret: Option<SharedSecret>,
}

impl Htlc<'_> {
    fn message(&self) -> Result<UpdateAddHTLC, Fail> {
        if self.onion.len() != PAYLOADS + FRAME {
            return Err(Fail::Unsupported(format!(
                "the message of an HTLC has {} bytes for the onion, so that no other length \
                 reaches LDK",
                PAYLOADS + FRAME
            )));
        }
        // Channel and number of the HTLC, which nothing here looks at.
        let mut wire = vec![0; 32 + 8];
        wire.extend(self.amount_msat.to_be_bytes());
        wire.extend(self.payment_hash);
        wire.extend(self.cltv_expiry.to_be_bytes());
        wire.extend(self.onion);
        if let Some(key) = self.path_key {
            wire.extend([0, 33]);
            wire.extend(key.serialize());
        }
        UpdateAddHTLC::read_from_fixed_length_buffer(&mut &wire[..])
            .map_err(|e| refused("update_add_htlc", &e))
    }

    fn peel(&self, node: &Node) -> Result<PendingHTLCInfo, Fail> {
        let message = self.message()?;
        let log = Log::default();
        let peeled = peel_payment_onion(
            &message,
            node,
            &log,
            &Secp256k1::verification_only(),
            self.height,
            false,
        );
        peeled.map_err(|e| {
            let outer = shared_secret(node, self.onion, self.path_key.as_ref());
            let secrets: Vec<SharedSecret> = outer.into_iter().chain(self.inner_secret).collect();
            refusal(&e, &log.lines(), &secrets)
        })
    }
}

/// Why nothing is asked of LDK as the recipient of a blinded path.
const OWN_DATA: &str =
    "the recipient of a blinded path reads data that LDK made itself, and no other";

/// What LDK says where it did read the payload, and refuses all the same.
const OWN_CLTV: &str = "incoming cltv check failed";
const TRAMPOLINE_FORWARD: &str = "Got Trampoline non final data with an HMAC of 0";

/// Under which of the secrets a failure is hidden.
#[derive(Debug)]
enum Hidden {
    /// The one that the sender of the onion has: nothing to say.
    Outer,
    Both,
    /// That of a trampoline onion inside alone, where the payer cannot open it.
    Inner,
}

/// A failure as BOLT 4, returning errors, hides it: its bytes, if one of the ways of hiding it opens
/// it. `secrets` are the outer one and that of a trampoline onion inside.
fn opened(secrets: &[SharedSecret], packet: &[u8]) -> Option<(Vec<u8>, Hidden)> {
    let failure = |secrets: &[SharedSecret]| {
        let mut packet = packet.to_vec();
        for secret in secrets {
            let ammag = mac(b"ammag", &[&secret.secret_bytes()]);
            ChaCha20::new(&ammag.into(), &[0; 12].into()).apply_keystream(&mut packet);
        }
        let um = mac(b"um", &[&secrets.last()?.secret_bytes()]);
        let (seal, body) = packet.split_first_chunk::<32>()?;
        if *seal != mac(&um, &[body]) {
            return None;
        }
        let (length, rest) = body.split_first_chunk::<2>()?;
        let failure = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        Some(failure.to_vec())
    };
    let outer = secrets.get(..1).and_then(failure);
    let both = || secrets.get(..2).and_then(failure);
    let inner = || secrets.get(1..2).and_then(failure);
    outer
        .map(|found| (found, Hidden::Outer))
        .or_else(|| both().map(|found| (found, Hidden::Both)))
        .or_else(|| inner().map(|found| (found, Hidden::Inner)))
}

fn refusal(e: &InboundHTLCErr, log: &str, secrets: &[SharedSecret]) -> Fail {
    match e.msg {
        OWN_CLTV => {
            return Fail::Unsupported(format!(
                "LDK reads and accepts the payload, and then refuses the HTLC by rules of its own \
                 on expiries ({:?}; it keeps {MIN_CLTV_EXPIRY_DELTA} blocks), which it cannot be \
                 told",
                e.reason
            ));
        }
        TRAMPOLINE_FORWARD => {
            return Fail::Unsupported(
                "LDK reads the payload of a trampoline that forwards, and forwards none".into(),
            );
        }
        _ => {}
    }
    let log = if log.is_empty() {
        String::new()
    } else {
        format!(" ({log})")
    };
    let words = format!("{}{log}", e.msg);
    // Where LDK has hidden the failure for its way back already, it names the same reason for all of
    // them, and the failure itself says more.
    let (code, data, words) = match opened(secrets, &e.err_data) {
        Some((failure, hidden)) => {
            let words = match hidden {
                Hidden::Outer => words,
                Hidden::Both => format!("{words}; hidden under both secrets"),
                Hidden::Inner => format!("{words}; hidden under the trampoline's secret alone"),
            };
            match failure.split_first_chunk::<2>() {
                Some((code, data)) => (Some(*code), data.to_vec(), words),
                None => (None, failure, words),
            }
        }
        // LDK writes a reason as its code, and then more.
        None => (
            e.reason.encode().first_chunk::<2>().copied(),
            e.err_data.clone(),
            format!("{:?}: {words}", e.reason),
        ),
    };
    OpError {
        code: code.map(u16::from_be_bytes),
        data: (!data.is_empty()).then(|| hex(data)),
        ..OpError::invalid(words)
    }
    .into()
}

fn payment_data(data: &FinalOnionHopData) -> Value {
    json!({
        "payment_secret": hex(data.payment_secret.0),
        "total_msat": data.total_msat.to_string(),
    })
}

/// The fields that LDK shows of a payload, and what it passes on.
fn shown(info: &PendingHTLCInfo) -> ResultObject {
    let amount = info.outgoing_amt_msat.to_string();
    let result = ResultObject::new();
    let (data, metadata, custom) = match &info.routing {
        PendingHTLCRouting::Forward {
            onion_packet,
            short_channel_id,
            blinded,
            ..
        } => {
            let channel = short_channel_id.to_string();
            let result = match blinded {
                None => result
                    .with("amt_to_forward", amount)
                    .with("outgoing_cltv_value", info.outgoing_cltv_value)
                    .with("short_channel_id", channel),
                Some(path) => result
                    .with("encrypted_data", json!({ "short_channel_id": channel }))
                    .with(
                        "forward",
                        json!({"amount_msat": amount, "cltv_expiry": info.outgoing_cltv_value}),
                    )
                    .maybe(
                        "next_path_key",
                        path.next_blinding_override.map(|key| key.to_string()),
                    ),
            };
            return result.with("next_onion", hex(onion_packet.encode()));
        }
        PendingHTLCRouting::TrampolineForward { node_id, .. } => {
            return result
                .with("amt_to_forward", amount)
                .with("outgoing_cltv_value", info.outgoing_cltv_value)
                .with("outgoing_node_id", node_id.to_string());
        }
        PendingHTLCRouting::Receive {
            payment_data,
            payment_metadata,
            custom_tlvs,
            ..
        } => (Some(payment_data), payment_metadata, custom_tlvs),
        PendingHTLCRouting::ReceiveKeysend {
            payment_data,
            payment_metadata,
            custom_tlvs,
            ..
        } => (payment_data.as_ref(), payment_metadata, custom_tlvs),
    };
    let total = data.map_or(info.outgoing_amt_msat, |data| data.total_msat);
    result
        .with("amt_to_forward", amount)
        .with("outgoing_cltv_value", info.outgoing_cltv_value)
        .maybe("payment_data", data.map(payment_data))
        .maybe("payment_metadata", metadata.as_ref().map(hex))
        .with("total_msat", total.to_string())
        .maybe(
            "custom_records",
            (!custom.is_empty())
                .then(|| records(custom.iter().map(|(kind, value)| (*kind, &value[..])))),
        )
}

/// The records of a payload behind its length, if it is a stream.
fn stream_of(framed: &[u8]) -> Option<Records> {
    let mut stream = framed;
    BigSize::read(&mut stream).ok()?;
    records_of_stream(stream)
}

/// Amount and expiry that stand in a payload, as far as they can be read: for an HTLC that suits it.
fn stated(framed: &[u8]) -> (Option<u64>, Option<u32>) {
    let found = stream_of(framed).unwrap_or_default();
    let number = |kind: u64| {
        let value = found.iter().find(|(k, _)| *k == kind).map(|(_, v)| v)?;
        let mut bytes = [0; 8];
        let at = bytes.len().checked_sub(value.len())?;
        bytes[at..].copy_from_slice(value);
        Some(u64::from_be_bytes(bytes))
    };
    let cltv = number(4).and_then(|n| u32::try_from(n).ok());
    (number(2), cltv)
}

/// Height at which LDK finds an incoming expiry neither too near nor too far: it wants more than 39
/// blocks to the expiry and at most 2016, and more than 3 to the expiry that it passes on.
fn height_for(cltv_expiry: u32) -> u32 {
    cltv_expiry.saturating_sub(2016)
}

/// The height that the params tell, or one that suits.
fn height(p: Params<'_>, cltv_expiry: u32) -> Result<u32, OpError> {
    Ok(p.maybe("block_height", Params::u32)?
        .unwrap_or_else(|| height_for(cltv_expiry)))
}

/// Refuses params that nothing in LDK's readers takes: they are judged elsewhere in its node.
pub(super) fn elsewhere(p: Params<'_>, names: &[&str]) -> Result<(), Fail> {
    match names.iter().find(|name| p.get(name).is_some()) {
        None => Ok(()),
        Some(name) => Err(Fail::Unsupported(format!(
            "LDK judges no {name} where it reads an onion"
        ))),
    }
}

/// What a node does with the onion of an HTLC: it peels a layer, reads the payload, and holds it
/// against the HTLC.
fn process(p: Params<'_>) -> Outcome {
    let node = Node::new(p.array("node_secret")?)?;
    let onion = p.hex("onion")?;
    let payment_hash = p.array("associated_data")?;
    elsewhere(
        p,
        &[
            "block_height",
            "channel",
            "channels",
            "features_used",
            "known",
        ],
    )?;
    let cltv_expiry = p.u32("cltv_expiry")?;
    let htlc = Htlc {
        onion: &onion,
        payment_hash,
        amount_msat: p.u64("amount_msat")?,
        cltv_expiry,
        height: height_for(cltv_expiry),
        path_key: p.maybe("path_key", public_key)?,
        inner_secret: None,
    };
    let info = htlc.peel(&node)?;
    Ok(shown(&info)
        .with("shared_secret", hex(info.incoming_shared_secret))
        .done())
}

fn payload_decode(p: Params<'_>) -> Outcome {
    let framed = p.hex("payload")?;
    let position = p.str("position")?;
    let (last, blinded, trampoline) = match position {
        "intermediate" => (false, false, false),
        "final" => (true, false, false),
        "blinded-intermediate" => (false, true, false),
        "blinded-final" => {
            return Err(Fail::Unsupported(OWN_DATA.into()));
        }
        "trampoline" => (false, false, true),
        "trampoline-final" => (true, false, true),
        other => {
            return Err(
                OpError::invalid(format!("param position is {other}, which is none")).into(),
            );
        }
    };
    elsewhere(
        p,
        &[
            "min_final_cltv_expiry_delta",
            "expected_msat",
            "channel",
            "channels",
            "features_used",
            "known",
            "encrypted_data",
        ],
    )?;
    if !last {
        elsewhere(p, &["block_height"])?;
    }
    if let Some(dialect) = p.maybe("dialect", Params::str)?
        && dialect != "trampoline/pr-836"
    {
        return Err(Fail::Unsupported(format!("LDK has no dialect {dialect}")));
    }
    let node = node(p)?;
    let path_key = p.maybe("path_key", public_key)?;
    let found = stream_of(&framed).unwrap_or_default();
    let has = |kind: u64| found.iter().any(|(k, _)| *k == kind);
    if !trampoline && has(20) {
        return Err(Fail::Unsupported(
            "LDK reads a payload and the trampoline onion in it at one go: trampoline.receive"
                .into(),
        ));
    }
    if has(10) && (has(12) || path_key.is_some()) && p.get("node_secret").is_none() {
        return Err(Fail::Unsupported(
            "LDK opens the data of a blinded path where it reads the payload".into(),
        ));
    }
    if trampoline {
        return inside_trampoline(p, &node, &framed, last);
    }
    elsewhere(p, &["outer"])?;
    if !last && !blinded {
        elsewhere(p, &["amount_msat", "cltv_expiry"])?;
    }
    if blinded && (p.get("amount_msat").is_none() || p.get("cltv_expiry").is_none()) {
        return Err(Fail::Unsupported(
            "inside a blinded path LDK reads a payload with its HTLC alone".into(),
        ));
    }
    let to = addressed(&node, path_key.as_ref())?;
    let associated = [0; 32];
    let onion = wrap(SESSION, &to, &framed, last, PAYLOADS, &associated)?;
    let (amount, expiry) = stated(&framed);
    let after = if last { 0 } else { MIN_CLTV_EXPIRY_DELTA };
    let cltv_expiry = match p.maybe("cltv_expiry", Params::u32)? {
        Some(told) => told,
        None => expiry.unwrap_or(800).saturating_add(after.into()),
    };
    let htlc = Htlc {
        onion: &onion,
        payment_hash: associated,
        amount_msat: match p.maybe("amount_msat", Params::u64)? {
            Some(told) => told,
            None => amount.unwrap_or(1000),
        },
        cltv_expiry,
        height: height(p, cltv_expiry)?,
        path_key,
        inner_secret: None,
    };
    Ok(shown(&htlc.peel(&node)?).done())
}

/// What LDK answers to a payload that it refuses: the code, and the data where it sends some.
fn payload_refuse(p: Params<'_>) -> Outcome {
    match payload_decode(p) {
        Ok(_) => Err(OpError::invalid("LDK does not refuse the payload").into()),
        Err(Fail::Error(OpError {
            code: Some(code),
            data,
            ..
        })) => Ok(ResultObject::new()
            .with("code", code)
            .maybe("data", data)
            .done()),
        Err(e) => Err(e),
    }
}

fn tlv(out: &mut Vec<u8>, kind: u64, value: &[u8]) {
    out.extend(BigSize(kind).encode());
    out.extend(BigSize(value.len() as u64).encode());
    out.extend(value);
}

/// A number without its leading zeros, as BOLT 1 has truncated integers.
fn truncated(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    bytes[zeros..].to_vec()
}

/// Reads a payload that lies in the trampoline onion of an outer payload for the same node.
fn inside_trampoline(p: Params<'_>, node: &Node, framed: &[u8], last: bool) -> Outcome {
    elsewhere(p, &["path_key", "amount_msat", "cltv_expiry"])?;
    let nothing = json!({});
    let outer = Params::new(p.get("outer").unwrap_or(&nothing));
    let (amount, expiry) = stated(framed);
    let amount = match outer.maybe("amt_to_forward", Params::u64)? {
        Some(told) => told,
        None => amount.unwrap_or(1000),
    };
    let expiry = match outer.maybe("outgoing_cltv_value", Params::u32)? {
        Some(told) => told,
        None => expiry.unwrap_or(800),
    };
    let total = outer.maybe("total_msat", Params::u64)?;
    let multi_part = outer.maybe("multi_part", Params::bool)?.unwrap_or(false);
    let path_key = outer.maybe("current_path_key", public_key)?;
    let own = stream_of(framed).is_some_and(|found| {
        let has = |kind: u64| found.iter().any(|(k, _)| *k == kind);
        has(10) && (has(12) || path_key.is_some()) && last
    });
    if own {
        return Err(Fail::Unsupported(OWN_DATA.into()));
    }
    let to = addressed(node, path_key.as_ref())?;
    let associated = [0; 32];
    let size = framed.len() + 32 + 64;
    let inner = wrap(INNER_SESSION, &to, framed, last, size, &associated)?;
    let mut stream = Vec::new();
    tlv(&mut stream, 2, &truncated(amount));
    tlv(&mut stream, 4, &truncated(expiry.into()));
    if multi_part || total.is_some() {
        let mut data = vec![0x45; 32];
        data.extend(truncated(total.unwrap_or(amount)));
        tlv(&mut stream, 8, &data);
    }
    if let Some(key) = path_key {
        tlv(&mut stream, 12, &key.serialize());
    }
    tlv(&mut stream, 20, &inner);
    let mut outer_framed = BigSize(stream.len() as u64).encode();
    outer_framed.extend(stream);
    let onion = wrap(
        SESSION,
        &node.id(),
        &outer_framed,
        true,
        PAYLOADS,
        &associated,
    )?;
    let htlc = Htlc {
        onion: &onion,
        payment_hash: associated,
        amount_msat: amount,
        cltv_expiry: expiry,
        height: height(p, expiry)?,
        path_key: None,
        inner_secret: shared_secret(node, &inner, path_key.as_ref()),
    };
    Ok(shown(&htlc.peel(node)?).done())
}

/// What a node does with an outer payload that holds a trampoline onion. LDK receives, and forwards
/// none.
fn trampoline_receive(p: Params<'_>) -> Outcome {
    let framed = p.hex("payload")?;
    let node = Node::new(p.array("node_secret")?)?;
    let associated = p.array::<32>("associated_data")?;
    if p.maybe("supports", Params::bool)? == Some(false) {
        return Err(Fail::Unsupported(
            "LDK cannot be told not to support trampoline payments".into(),
        ));
    }
    let found = stream_of(&framed).unwrap_or_default();
    if found.iter().any(|(kind, _)| *kind == 12) {
        return Err(Fail::Unsupported(format!(
            "{OWN_DATA}; and it forwards for no other"
        )));
    }
    let inner = found.iter().find(|(kind, _)| *kind == 20);
    let inner_secret = inner.and_then(|(_, inner)| shared_secret(&node, inner, None));
    let onion = wrap(SESSION, &node.id(), &framed, true, PAYLOADS, &associated)?;
    let (amount, expiry) = stated(&framed);
    let cltv_expiry = match p.maybe("cltv_expiry", Params::u32)? {
        Some(told) => told,
        None => expiry.unwrap_or(800),
    };
    let htlc = Htlc {
        onion: &onion,
        payment_hash: associated,
        amount_msat: match p.maybe("received_msat", Params::u64)? {
            Some(told) => told,
            None => amount.unwrap_or(1000),
        },
        cltv_expiry,
        height: height_for(cltv_expiry),
        path_key: None,
        inner_secret,
    };
    let info = htlc.peel(&node)?;
    Ok(ResultObject::new()
        .with("action", "receive")
        .with("payload", shown(&info).done())
        .done())
}

/// What the last payload of a payment says beside amount and expiry.
#[derive(Default)]
pub(super) struct Payee {
    pub(super) payment_secret: Option<[u8; 32]>,
    pub(super) total_msat: u64,
    pub(super) payment_metadata: Option<Vec<u8>>,
    pub(super) keysend_preimage: Option<[u8; 32]>,
    pub(super) custom: Records,
}

/// A record of a payment's last hop: the preimage of a keysend.
const KEYSEND: u64 = 5_482_373_484;

/// What LDK does not write, and why.
fn unwritten(why: &str) -> Fail {
    Fail::Unsupported(format!(
        "LDK makes an onion of a route, its fees and deltas, and not of payloads: {why}"
    ))
}

fn hop_to(pubkey: PublicKey, short_channel_id: u64) -> RouteHop {
    RouteHop {
        pubkey,
        node_features: NodeFeatures::empty(),
        short_channel_id,
        channel_features: ChannelFeatures::empty(),
        fee_msat: 0,
        cltv_expiry_delta: 0,
        maybe_announced_channel: true,
    }
}

/// LDK is given the route whose payloads are those that are asked for, if there is one: what a hop
/// passes on is what the later ones take as fee and delta, and what the last one gets.
fn build(p: Params<'_>) -> Outcome {
    let session = p.array::<32>("session_key")?;
    let session_key = SecretKey::from_slice(&session).map_err(|e| refused("session_key", &e))?;
    let payment_hash = p.array::<32>("associated_data")?;
    elsewhere(p, &["raw"])?;
    if p.maybe("size", Params::u32)?
        .is_some_and(|size| size != 1300)
    {
        return Err(unwritten("its onions for payments have 1300 bytes"));
    }
    let given = p.list("hops")?;
    let mut route: Vec<RouteHop> = Vec::new();
    let mut passed: Vec<(u64, u32)> = Vec::new();
    let mut recipient = Payee::default();
    let mut next_channel = 0;
    for (at, hop) in given.iter().enumerate() {
        let hop = Params::new(hop);
        let last = at + 1 == given.len();
        route.push(hop_to(public_key(hop, "pubkey")?, next_channel));
        let framed = hop.hex("payload")?;
        let found = stream_of(&framed).ok_or_else(|| unwritten("a payload is no stream"))?;
        let (Some(amount), Some(expiry)) = stated(&framed) else {
            return Err(unwritten("a payload without amount or expiry"));
        };
        passed.push((amount, expiry));
        recipient.total_msat = amount;
        for (kind, value) in found {
            let fixed = <[u8; 32]>::try_from(&value[..]);
            match (kind, last) {
                (2 | 4, _) => {}
                (6, false) => {
                    let id = <[u8; 8]>::try_from(&value[..]);
                    next_channel =
                        u64::from_be_bytes(id.map_err(|_| unwritten("a channel of its own form"))?);
                }
                (8, true) => {
                    let data = FinalOnionHopData::read(&mut &value[..])
                        .map_err(|e| refused("payment_data", &e))?;
                    recipient.payment_secret = Some(data.payment_secret.0);
                    recipient.total_msat = data.total_msat;
                }
                (16, true) => recipient.payment_metadata = Some(value),
                (KEYSEND, true) if fixed.is_ok() => recipient.keysend_preimage = fixed.ok(),
                (kind, true) if kind >= 1 << 16 => recipient.custom.push((kind, value)),
                _ => return Err(unwritten("a record of another kind")),
            }
        }
    }
    let end = passed.len();
    if end == 0 {
        return Err(OpError::invalid("param hops is empty").into());
    }
    let uneven = || unwritten("amounts or expiries that are no sums of fees and deltas");
    let (amount, expiry) = passed[end - 1];
    (route[end - 1].fee_msat, route[end - 1].cltv_expiry_delta) = (amount, expiry);
    if end > 1 && passed[end - 2] != passed[end - 1] {
        return Err(uneven());
    }
    for at in 1..end.saturating_sub(1) {
        let (before, after) = (passed[at - 1], passed[at]);
        let fee = before.0.checked_sub(after.0).ok_or_else(uneven)?;
        let delta = before.1.checked_sub(after.1).ok_or_else(uneven)?;
        (route[at].fee_msat, route[at].cltv_expiry_delta) = (fee, delta);
    }
    let path = Path {
        hops: route,
        blinded_tail: None,
    };
    let seed = mac(b"pad", &[&session]);
    let onion = payment_onion(&path, &session_key, &recipient, payment_hash, seed)
        .map_err(|e| Fail::from(OpError::invalid(e)))?;
    Ok(json!({ "onion": hex(onion) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lightning::blinded_path::BlindedHop;
    use lightning::routing::router::{BlindedTail, TrampolineHop};
    use lnconform_protocol::outcome::answer;
    use lnconform_protocol::{Answer, ErrorKind};

    fn ask(op: &str, params: &Value) -> Answer {
        answer(call(op, Params::new(params)).expect("an operation of this file"))
    }

    fn result(op: &str, params: &Value) -> Value {
        match ask(op, params) {
            Answer::Result(value) => value,
            other => panic!("{op} {params}: {other:?}"),
        }
    }

    fn error(op: &str, params: &Value) -> OpError {
        match ask(op, params) {
            Answer::Error(e) => e,
            other => panic!("{op} {params}: {other:?}"),
        }
    }

    fn node(byte: u8) -> Node {
        Node::new([byte; 32]).unwrap()
    }

    /// Payloads of a forwarding and of a last hop: 1,000,000 msat at block 800.
    const FORWARD: &str = "1302030f4240040203200608000000000000000a";
    fn last() -> String {
        format!("2e02030f4240040203200823{}0f4240", "2a".repeat(32))
    }

    #[test]
    fn every_operation_names_the_param_that_is_missing() {
        for op in OPERATIONS {
            let e = error(op, &json!({}));
            assert_eq!(e.kind, ErrorKind::Invalid, "{op}");
            assert!(e.message.contains("is missing"), "{op}: {e:?}");
        }
        assert!(call("onion.peel", Params::new(&json!({}))).is_none());
    }

    #[test]
    fn what_ldk_builds_ldk_processes_hop_by_hop() {
        let build = |forward: &str| {
            json!({
                "session_key": "09".repeat(32), "associated_data": "42".repeat(32),
                "hops": [
                    {"pubkey": node(0x41).id().to_string(), "payload": forward},
                    {"pubkey": node(0x42).id().to_string(), "payload": last()},
                ],
            })
        };
        let onion = result("onion.build", &build(FORWARD))["onion"].clone();
        let params = |node: &str, onion: &Value| {
            json!({
                "node_secret": node.repeat(32), "onion": onion, "amount_msat": "1000000",
                "associated_data": "42".repeat(32), "cltv_expiry": 848,
            })
        };
        let first = result("onion.process", &params("41", &onion));
        assert_eq!(first["short_channel_id"], "10");
        assert_eq!(first["outgoing_cltv_value"], 800);
        let second = result("onion.process", &params("42", &first["next_onion"]));
        assert_eq!(second["payment_data"]["total_msat"], "1000000");
        assert!(second.get("next_onion").is_none());

        // Another node, and another payment.
        let e = error("onion.process", &params("43", &onion));
        assert!(e.message.contains("HMAC"), "{e:?}");
        let mut other = params("41", &onion);
        other["associated_data"] = "43".repeat(32).into();
        assert!(error("onion.process", &other).message.contains("HMAC"));
        // The first hop cannot pass on another amount than the last one gets.
        let less = FORWARD.replace("0f4240", "0f4241");
        assert!(matches!(
            ask("onion.build", &build(&less)),
            Answer::Unsupported(_)
        ));
    }

    #[test]
    fn a_payload_is_read_as_that_of_a_node() {
        let decode = |payload: &str, position: &str| {
            ask(
                "payload.decode",
                &json!({"payload": payload, "position": position}),
            )
        };
        match decode(FORWARD, "intermediate") {
            Answer::Result(got) => assert_eq!(got["amt_to_forward"], "1000000"),
            other => panic!("{other:?}"),
        }
        match decode(&last(), "final") {
            Answer::Result(got) => {
                assert_eq!(got["payment_data"]["payment_secret"], "2a".repeat(32));
            }
            other => panic!("{other:?}"),
        }
        match decode(&last(), "trampoline-final") {
            Answer::Result(got) => assert_eq!(got["amt_to_forward"], "1000000"),
            other => panic!("{other:?}"),
        }
        // The expiry is missing, and the code is read out of the failure that LDK sends.
        let params = json!({"payload": "0502030f4240", "position": "final"});
        assert_eq!(error("payload.decode", &params).code, Some(0x4000 | 22));
        assert_eq!(
            result("payload.refuse", &params),
            json!({"code": 0x4000 | 22})
        );
        for (payload, position) in [
            (FORWARD, "blinded-final"),
            (FORWARD, "trampoline"),
            (FORWARD, "blinded-intermediate"),
        ] {
            let got = decode(payload, position);
            let told = !matches!(got, Answer::Result(_));
            assert!(told, "{position}: {got:?}");
        }
    }

    /// Pull request 836 has the last trampoline hide a failure with both of its secrets. LDK does not
    /// where it cannot read the payload inside.
    #[test]
    fn a_failure_inside_a_trampoline_onion_is_opened_however_it_is_hidden() {
        let secrets = [[1; 32], [2; 32]].map(SharedSecret::from_bytes);
        let body = [&[0, 2, 0x40, 22, 0, 1][..], &[0; 251]].concat();
        let hidden = |under: &[[u8; 32]]| {
            let seal = mac(&mac(b"um", &[&under[0]]), &[&body]);
            let mut packet = [&seal[..], &body].concat();
            for secret in under {
                let ammag = mac(b"ammag", &[secret]);
                ChaCha20::new(&ammag.into(), &[0; 12].into()).apply_keystream(&mut packet);
            }
            packet
        };
        for (under, way) in [
            (&[[1; 32]][..], "Outer"),
            (&[[2; 32], [1; 32]], "Both"),
            (&[[2; 32]], "Inner"),
        ] {
            let (failure, how) = opened(&secrets, &hidden(under)).unwrap();
            assert_eq!(failure, [0x40, 22]);
            assert_eq!(format!("{how:?}"), way);
        }
        assert!(opened(&secrets, &hidden(&[[3; 32]])).is_none());
        assert!(opened(&[], &hidden(&[[1; 32]])).is_none());
    }

    /// Types of the records that LDK writes for a recipient that is also the last trampoline.
    fn types_inside(keysend_preimage: Option<[u8; 32]>) -> Vec<u64> {
        let trampoline = node(0x41);
        let path_key = node(0x55).id();
        let mut hop = hop_to(trampoline.id(), 10);
        (hop.fee_msat, hop.cltv_expiry_delta) = (1000, 40);
        let blinded = addressed(&trampoline, Some(&path_key)).unwrap();
        let path = Path {
            hops: vec![hop],
            blinded_tail: Some(BlindedTail {
                trampoline_hops: vec![TrampolineHop {
                    pubkey: trampoline.id(),
                    node_features: NodeFeatures::empty(),
                    fee_msat: 1000,
                    cltv_expiry_delta: 40,
                }],
                hops: vec![BlindedHop {
                    blinded_node_id: blinded,
                    encrypted_payload: vec![7; 40],
                }],
                blinding_point: path_key,
                excess_final_cltv_expiry_delta: 0,
                final_value_msat: 1000,
            }),
        };
        let recipient = Payee {
            payment_secret: Some([0x2a; 32]),
            total_msat: 1000,
            keysend_preimage,
            ..Payee::default()
        };
        let session = SecretKey::from_slice(&[9; 32]).unwrap();
        let onion = payment_onion(&path, &session, &recipient, [0x42; 32], [3; 32]).unwrap();
        let read = |packet: &[u8]| {
            let shared = shared_secret(&trampoline, packet, None).unwrap();
            let mut data = packet[34..packet.len() - 32].to_vec();
            layer(&shared, &mut data);
            let mut rest = &data[..];
            let length = usize::try_from(BigSize::read(&mut rest).unwrap().0).unwrap();
            records_of_stream(&rest[..length]).unwrap()
        };
        let outer = read(&onion);
        let (_, inner) = outer.iter().find(|(kind, _)| *kind == 20).unwrap();
        read(inner).into_iter().map(|(kind, _)| kind).collect()
    }

    /// LDK writes the preimage of a keysend over trampolines as record 20, and its own reader of such
    /// payloads knows no record 20.
    #[test]
    fn a_keysend_over_trampolines_is_written_as_ldk_does_not_read_it() {
        assert_eq!(types_inside(None), [2, 4, 10, 12, 18]);
        assert_eq!(types_inside(Some([5; 32])), [2, 4, 10, 12, 18, 20]);
        let read = |record: &str, length: &str| {
            let payload = format!(
                "{length}02030f4240040203200823{}0f4240{record}20{}",
                "2a".repeat(32),
                "05".repeat(32)
            );
            error(
                "payload.decode",
                &json!({"payload": payload, "position": "trampoline-final"}),
            )
        };
        let unread = read("14", "50");
        assert!(unread.message.contains("Unable to decode"), "{unread:?}");
        // As record 5482373484 it is read: this one is no preimage of the payment.
        let read = read("ff0000000146c6616c", "58");
        assert!(read.message.contains("preimage"), "{read:?}");
    }
}
