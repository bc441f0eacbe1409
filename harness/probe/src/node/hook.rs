//! The message handler around the `ChannelManager`: what goes out is changed, what comes in is read.
//!
//! The onion is no part of a commitment transaction, so the one that LDK has made can be replaced on
//! its way out. The other way round, LDK is handed an onion of the probe's to itself, so that it holds
//! whatever has come; how the HTLC is answered is the probe's own affair. LDK settles and fails; the
//! packet of a failure is replaced on its way out like the onion.

mod incoming;
mod outgoing;

use crate::amp;
use crate::fulfillment::{self as payloads, Fulfillments};
use crate::node::Cm;
use crate::node::book::{Answer, Book, Ended};
use crate::node::env::{Env, lock};
use crate::node::state::Keeper;
use crate::node::transcript::{Direction, Transcript};
use crate::payee::Payee;
use crate::shot::read_failure;
use crate::trampoline::pr836;
use bitcoin::constants::ChainHash;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lightning03::ln::channelmanager::PaymentId;
use lightning03::ln::msgs::{self, BaseMessageHandler, ChannelMessageHandler, MessageSendEvent};
use lightning03::ln::types::ChannelId;
use lightning03::types::features::{InitFeatures, NodeFeatures};
use lightning03::types::payment::PaymentSecret;
use lightning03::util::ser::{LengthReadable, Writeable};
use lnconform_drafts::failure;
use lnconform_drafts::keys;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv;
use lnconform_protocol::events::Events;
use lnconform_protocol::params::{self, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

/// Feature bit of a trampoline of the dialect in use.
const TRAMPOLINE: usize = 151;

/// The probe's ears and mouth.
pub struct Hook {
    pub(crate) cm: Arc<Cm>,
    pub(crate) env: Arc<Env>,
    pub(crate) secret: SecretKey,
    pub(crate) events: Arc<Events>,
    pub(crate) transcript: Transcript,
    pub(crate) book: Mutex<Book>,
    pub(crate) payee: Mutex<Payee>,
    pub(crate) pr836: Mutex<pr836::Secrets>,
    pub(crate) keeper: Keeper,
    /// The secret that LDK wants to see in an HTLC for a hash. Asked twice it might give another, and
    /// a set would be split.
    secrets: Mutex<HashMap<[u8; 32], PaymentSecret>>,
    pub(crate) draws: Mutex<u64>,
    seed: [u8; 32],
    /// Seconds by which the payee's clock is ahead.
    pub(crate) ahead: AtomicU64,
    pub(crate) wire: Mutex<crate::messages::async_wire::State>,
    /// Its onion messages, once there are any.
    pub(crate) onions: OnceLock<Weak<crate::messages::Messages>>,
    pub(crate) fulfillments: Arc<Fulfillments>,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Reads a message of which LDK keeps a field to itself.
fn reread<T: LengthReadable>(bytes: &[u8]) -> Option<T> {
    T::read_from_fixed_length_buffer(&mut &bytes[..]).ok()
}

/// A failure as the transcript and the results have it.
pub fn failure_fields(failure: &[u8]) -> ResultObject {
    let decoded = failure::Decoded {
        hop: 0,
        failure: failure.to_vec(),
    };
    ResultObject::new()
        .with("code", decoded.code())
        .maybe("name", failure::find(decoded.code()).map(|kind| kind.name))
        .with("data", hex(decoded.data()))
}

/// The records of a payload, as far as they can be read.
fn payload_value(payload: &[u8]) -> Value {
    match tlv::frames(&Rules::all(), payload) {
        Ok(records) => params::records(records.iter().map(|r| (r.kind, &r.value[..]))),
        Err(e) => json!({"bytes": hex(payload), "breaks": e.rule}),
    }
}

impl Hook {
    pub(crate) fn new(
        cm: Arc<Cm>,
        env: Arc<Env>,
        secret: SecretKey,
        events: Arc<Events>,
        transcript: Transcript,
        seed: [u8; 32],
    ) -> Self {
        Self {
            cm,
            env,
            secret,
            events,
            transcript,
            book: Mutex::default(),
            payee: Mutex::default(),
            pr836: Mutex::default(),
            keeper: Keeper::default(),
            secrets: Mutex::default(),
            draws: Mutex::default(),
            seed,
            ahead: AtomicU64::new(0),
            wire: Mutex::default(),
            onions: OnceLock::new(),
            fulfillments: Arc::default(),
        }
    }

    /// Its onion messages; none while the node is put together or taken apart.
    pub(crate) fn messages(&self) -> Option<Arc<crate::messages::Messages>> {
        self.onions.get()?.upgrade()
    }

    /// 32 bytes that follow from the node's seed, others each time.
    pub(crate) fn draw(&self) -> [u8; 32] {
        let mut draws = lock(&self.draws);
        *draws += 1;
        keys::sha256(&[b"lnconform probe", &self.seed, &draws.to_be_bytes()])
    }

    /// A key that follows from the node's seed, another each time.
    pub(crate) fn draw_key(&self) -> SecretKey {
        loop {
            // One in 2^127 draws is no key.
            if let Ok(key) = SecretKey::from_slice(&self.draw()) {
                return key;
            }
        }
    }

    /// The payee's clock, in seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        now().saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    pub(crate) fn height(&self) -> u32 {
        self.cm.current_best_block().height
    }

    /// Tells the harness of something that has to do with no payment of the probe's own.
    pub(crate) fn tell(&self, kind: &'static str, fields: Value) {
        self.events.push(kind, None, (), fields);
    }

    fn note(&self, direction: Direction, peer: PublicKey, message: &str, fields: Value) {
        self.transcript.note(direction, peer, message, fields);
    }

    fn note_add(
        &self,
        direction: Direction,
        peer: PublicKey,
        add: &msgs::UpdateAddHTLC,
        payload: Option<Value>,
    ) {
        let fields = ResultObject::new()
            .with("channel_id", hex(add.channel_id.0))
            .with("htlc_id", add.htlc_id)
            .with("amount_msat", add.amount_msat.to_string())
            .with("payment_hash", hex(add.payment_hash.0))
            .with("cltv_expiry", add.cltv_expiry)
            .with("height", self.height())
            .maybe("path_key", add.blinding_point.map(|p| p.to_string()))
            .maybe("payload", payload)
            .done();
        self.note(direction, peer, "update_add_htlc", fields);
    }

    fn heard(&self, peer: PublicKey, message: &str, bytes: &impl Writeable) {
        let fields = json!({"bytes": hex(bytes.encode())});
        self.note(Direction::In, peer, message, fields);
    }

    /// The secrets that LDK wants to see, by hash.
    pub(crate) fn known_secrets(&self) -> Vec<([u8; 32], [u8; 32])> {
        let secrets = lock(&self.secrets);
        secrets.iter().map(|(hash, s)| (*hash, s.0)).collect()
    }

    /// Those of a node that was here before.
    pub(crate) fn remember_secrets(&self, known: Vec<([u8; 32], [u8; 32])>) {
        let known = known.into_iter().map(|(hash, s)| (hash, PaymentSecret(s)));
        lock(&self.secrets).extend(known);
    }

    fn answered(&self, channel: ChannelId, htlc_id: u64, answer: Answer) {
        let ended = lock(&self.book).answered((channel, htlc_id), answer);
        self.tell_ended(ended);
    }

    /// The channel is gone, and with it every answer.
    pub(crate) fn channel_closed(&self, channel: ChannelId, reason: &str) {
        let open = lock(&self.book).open_on(&channel);
        for htlc_id in open {
            let reason = reason.to_owned();
            self.answered(channel, htlc_id, Answer::Closed { reason });
        }
    }

    /// A payment that LDK did not send at all.
    pub(crate) fn not_sent(&self, payment: &str, id: PaymentId, reason: &str) {
        let ended = lock(&self.book).not_sent(payment, &id.0, reason);
        self.tell_ended(ended);
    }

    fn tell_ended(&self, ended: Option<Ended>) {
        if let Some(ended) = ended {
            let payment = Some(ended.payment.clone());
            self.events.push(ended.kind(), payment, (), ended.fields());
        }
    }
}

impl BaseMessageHandler for Hook {
    fn get_and_clear_pending_msg_events(&self) -> Vec<MessageSendEvent> {
        let mut events = self.cm.get_and_clear_pending_msg_events();
        for event in &mut events {
            self.outgoing(event);
        }
        let events = self.in_turn(events);
        // What a peer has heard of, a restart must not forget.
        self.keeper.save();
        events
    }

    fn peer_disconnected(&self, peer: PublicKey) {
        self.cm.peer_disconnected(peer);
        let warning = self.env.take_warning();
        let fields = ResultObject::new()
            .with("peer", peer.to_string())
            .maybe("warning", warning)
            .done();
        self.note(Direction::In, peer, "disconnect", fields.clone());
        self.tell("peer-disconnected", fields);
    }

    fn provided_node_features(&self) -> NodeFeatures {
        let features = self.cm.provided_node_features();
        NodeFeatures::from_le_bytes(amp::announced(features.le_flags()))
    }

    fn provided_init_features(&self, peer: PublicKey) -> InitFeatures {
        let mut features = self.cm.provided_init_features(peer);
        // Electrum asks this bit for whether a peer is a trampoline of its dialect.
        if lock(&self.payee).trampoline && features.set_optional_feature_bit(TRAMPOLINE).is_err() {
            eprintln!("adapter: LDK takes no feature bit {TRAMPOLINE}");
        }
        if lock(&self.payee).pr836 && features.set_optional_feature_bit(pr836::FEATURE).is_err() {
            eprintln!("adapter: LDK takes no feature bit {}", pr836::FEATURE);
        }
        let bit = payloads::FEATURE;
        if self.fulfillments.is_on() && features.set_optional_feature_bit(bit).is_err() {
            eprintln!("adapter: LDK takes no feature bit {bit}");
        }
        InitFeatures::from_le_bytes(amp::announced(features.le_flags()))
    }

    fn peer_connected(&self, peer: PublicKey, init: &msgs::Init, inbound: bool) -> Result<(), ()> {
        let features: Vec<u8> = init.features.le_flags().iter().rev().copied().collect();
        let fields = json!({"features": hex(features), "inbound": inbound});
        self.note(Direction::In, peer, "init", fields);
        self.cm.peer_connected(peer, init, inbound)
    }
}

/// Messages that go to LDK as they are.
macro_rules! pass {
    ($($method:ident($message:literal, $kind:ident)),* $(,)?) => {$(
        fn $method(&self, peer: PublicKey, msg: &msgs::$kind) {
            self.heard(peer, $message, msg);
            self.cm.$method(peer, msg);
        }
    )*};
}

impl ChannelMessageHandler for Hook {
    pass! {
        handle_open_channel("open_channel", OpenChannel),
        handle_open_channel_v2("open_channel2", OpenChannelV2),
        handle_accept_channel("accept_channel", AcceptChannel),
        handle_accept_channel_v2("accept_channel2", AcceptChannelV2),
        handle_funding_created("funding_created", FundingCreated),
        handle_funding_signed("funding_signed", FundingSigned),
        handle_channel_ready("channel_ready", ChannelReady),
        handle_shutdown("shutdown", Shutdown),
        handle_closing_signed("closing_signed", ClosingSigned),
        handle_stfu("stfu", Stfu),
        handle_splice_init("splice_init", SpliceInit),
        handle_splice_ack("splice_ack", SpliceAck),
        handle_splice_locked("splice_locked", SpliceLocked),
        handle_tx_add_input("tx_add_input", TxAddInput),
        handle_tx_add_output("tx_add_output", TxAddOutput),
        handle_tx_remove_input("tx_remove_input", TxRemoveInput),
        handle_tx_remove_output("tx_remove_output", TxRemoveOutput),
        handle_tx_complete("tx_complete", TxComplete),
        handle_tx_signatures("tx_signatures", TxSignatures),
        handle_tx_init_rbf("tx_init_rbf", TxInitRbf),
        handle_tx_ack_rbf("tx_ack_rbf", TxAckRbf),
        handle_tx_abort("tx_abort", TxAbort),
        handle_commitment_signed("commitment_signed", CommitmentSigned),
        handle_update_fee("update_fee", UpdateFee),
        handle_announcement_signatures("announcement_signatures", AnnouncementSignatures),
        handle_channel_reestablish("channel_reestablish", ChannelReestablish),
        handle_channel_update("channel_update", ChannelUpdate),
    }

    fn handle_revoke_and_ack(&self, peer: PublicKey, msg: &msgs::RevokeAndACK) {
        self.heard(peer, "revoke_and_ack", msg);
        self.release_paths_came(peer, msg);
        self.cm.handle_revoke_and_ack(peer, msg);
    }

    fn handle_peer_storage(&self, peer: PublicKey, msg: msgs::PeerStorage) {
        self.cm.handle_peer_storage(peer, msg);
    }

    fn handle_peer_storage_retrieval(&self, peer: PublicKey, msg: msgs::PeerStorageRetrieval) {
        self.cm.handle_peer_storage_retrieval(peer, msg);
    }

    fn handle_update_add_htlc(&self, peer: PublicKey, msg: &msgs::UpdateAddHTLC) {
        let handed = self.arrive(peer, msg);
        self.cm.handle_update_add_htlc(peer, &handed);
    }

    fn handle_update_fulfill_htlc(&self, peer: PublicKey, msg: msgs::UpdateFulfillHTLC) {
        let (channel, id, preimage) = (msg.channel_id, msg.htlc_id, msg.payment_preimage.0);
        let fields = json!({
            "channel_id": hex(channel.0), "htlc_id": id, "preimage": hex(preimage),
        });
        self.note(Direction::In, peer, "update_fulfill_htlc", fields);
        let htlc = (channel, id);
        let route = {
            let book = lock(&self.book);
            book.secrets(&htlc).map(|all| (all, book.open_hops(&htlc)))
        };
        let hash = keys::sha256(&[&preimage]);
        let payload = self.fulfillments.settled(&htlc, hash, route);
        self.cm.handle_update_fulfill_htlc(peer, msg);
        // Before the channel is failed, whose end answers what has no answer yet.
        self.answered(channel, id, Answer::Settled { preimage });
        if let Err(violation) = payload {
            let why = violation.to_string();
            let closed = self
                .cm
                .force_close_broadcasting_latest_txn(&channel, &peer, why);
            if let Err(e) = closed {
                eprintln!("adapter: LDK does not fail a channel: {e:?}");
            }
        }
    }

    fn handle_update_fail_htlc(&self, peer: PublicKey, msg: &msgs::UpdateFailHTLC) {
        // LDK keeps the packet to itself; on the wire it stands behind channel id and HTLC id.
        let bytes = msg.encode();
        let length = bytes
            .get(40..42)
            .map(|l| usize::from(l[0]) << 8 | usize::from(l[1]));
        let packet = length.and_then(|length| bytes.get(42..42 + length));
        let packet = packet.unwrap_or_default();
        let htlc = (msg.channel_id, msg.htlc_id);
        let (secrets, hash) = {
            let book = lock(&self.book);
            (book.secrets(&htlc), book.hash(&htlc))
        };
        let secrets = secrets.map(|outer| lock(&self.pr836).both(hash, outer));
        let answer = match secrets.map(|secrets| read_failure(&secrets, packet)) {
            Some(Ok(decoded)) => Answer::Failed {
                hop: Some(decoded.hop),
                failure: decoded.failure,
                length: packet.len(),
            },
            Some(Err(e)) => Answer::Unreadable {
                reason: e.to_string(),
                rule: Some(e.rule.to_owned()),
                packet: packet.to_vec(),
            },
            None => Answer::Unreadable {
                reason: "the HTLC is not one of the probe's".into(),
                rule: None,
                packet: packet.to_vec(),
            },
        };
        let fields = ResultObject::new()
            .with("channel_id", hex(msg.channel_id.0))
            .with("htlc_id", msg.htlc_id)
            .with("failure", answer.failure())
            .done();
        self.note(Direction::In, peer, "update_fail_htlc", fields);
        self.cm.handle_update_fail_htlc(peer, msg);
        self.answered(htlc.0, htlc.1, answer);
    }

    fn handle_update_fail_malformed_htlc(
        &self,
        peer: PublicKey,
        msg: &msgs::UpdateFailMalformedHTLC,
    ) {
        let bytes = msg.encode();
        let onion = bytes.get(40..72).unwrap_or_default().to_vec();
        let answer = Answer::Malformed {
            code: msg.failure_code,
            onion,
        };
        let fields = ResultObject::new()
            .with("channel_id", hex(msg.channel_id.0))
            .with("htlc_id", msg.htlc_id)
            .with("failure", answer.failure())
            .done();
        self.note(Direction::In, peer, "update_fail_malformed_htlc", fields);
        self.cm.handle_update_fail_malformed_htlc(peer, msg);
        self.answered(msg.channel_id, msg.htlc_id, answer);
    }

    fn handle_commitment_signed_batch(
        &self,
        peer: PublicKey,
        channel: ChannelId,
        batch: Vec<msgs::CommitmentSigned>,
    ) {
        self.cm.handle_commitment_signed_batch(peer, channel, batch);
    }

    fn handle_error(&self, peer: PublicKey, msg: &msgs::ErrorMessage) {
        let fields = json!({
            "peer": peer.to_string(), "channel_id": hex(msg.channel_id.0), "data": msg.data,
        });
        self.note(Direction::In, peer, "error", fields.clone());
        self.tell("peer-error", fields);
        self.cm.handle_error(peer, msg);
    }

    fn get_chain_hashes(&self) -> Option<Vec<ChainHash>> {
        self.cm.get_chain_hashes()
    }

    fn message_received(&self) {
        self.cm.message_received();
    }
}
