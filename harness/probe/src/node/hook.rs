//! The message handler around the `ChannelManager`: what goes out is changed, what comes in is read.
//!
//! The onion is no part of a commitment transaction, so the one that LDK has made can be replaced on
//! its way out. The other way round, LDK is handed an onion of the probe's to itself, so that it holds
//! whatever has come; how the HTLC is answered is the probe's own affair. LDK settles and fails; the
//! packet of a failure is replaced on its way out like the onion.

use crate::amp;
use crate::blind::{self, Judged};
use crate::fulfillment::{self as payloads, Fulfillments};
use crate::messages::static_invoice;
use crate::node::Cm;
use crate::node::book::{Answer, Book, Incoming};
use crate::node::env::{Env, lock};
use crate::node::state::Keeper;
use crate::node::transcript::{Direction, Transcript, spelled};
use crate::payee::{Arrived, Decision, Payee, Refusal, details};
use crate::shot::{payment_data, read_failure, truncated};
use crate::trampoline::pr836;
use bitcoin::constants::ChainHash;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lightning03::ln::channelmanager::PaymentId;
use lightning03::ln::msgs::{self, BaseMessageHandler, ChannelMessageHandler, MessageSendEvent};
use lightning03::ln::types::ChannelId;
use lightning03::types::features::{InitFeatures, NodeFeatures};
use lightning03::types::payment::{PaymentHash, PaymentSecret};
use lightning03::util::ser::{LengthReadable, Readable, Writeable};
use lnconform_drafts::failure::{self, code};
use lnconform_drafts::keys;
use lnconform_drafts::onion::{self, Context, Hop, PAYMENT_SIZE};
use lnconform_drafts::payload::kind;
use lnconform_drafts::rules::{self, Rules};
use lnconform_drafts::tlv::{self, Record};
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

    fn note(&self, direction: Direction, peer: PublicKey, message: &str, fields: Value) {
        self.transcript.note(direction, peer, message, fields);
    }

    fn heard(&self, peer: PublicKey, message: &str, bytes: &impl Writeable) {
        let fields = json!({"bytes": hex(bytes.encode())});
        self.note(Direction::In, peer, message, fields);
    }

    // ---- out

    /// Puts the shot's onion in the place of LDK's.
    fn shoot(&self, peer: PublicKey, add: &mut msgs::UpdateAddHTLC) {
        self.flag(add);
        let mut book = lock(&self.book);
        let htlc = (add.channel_id, add.htlc_id);
        let packed = match book.launch(htlc, add.payment_hash.0, add.amount_msat, add.cltv_expiry) {
            Ok(Some(packed)) => packed,
            Ok(None) => {
                drop(book);
                let onion = add.onion_routing_packet.encode();
                self.fulfillments.forwards(htlc, &onion);
                self.note_add(Direction::Out, peer, add, None);
                return;
            }
            Err(e) => {
                eprintln!("adapter: an onion cannot be made, and LDK's goes out instead: {e}");
                return;
            }
        };
        match msgs::OnionPacket::read(&mut &packed.packet[..]) {
            Ok(packet) => add.onion_routing_packet = packet,
            Err(e) => eprintln!("adapter: an onion cannot be put into LDK's form: {e}"),
        }
        add.blinding_point = packed.path_key;
        let payload = packed.payload.clone();
        drop(book);
        self.note_add(Direction::Out, peer, add, Some(payload_value(&payload)));
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

    /// Puts the failure that was meant in the place of LDK's, which is encrypted for nobody. Both
    /// messages take an HTLC away alike, so that the one for an onion that could not be read may stand
    /// for the other.
    fn fail(
        &self,
        peer: PublicKey,
        fail: &mut msgs::UpdateFailHTLC,
    ) -> Option<msgs::UpdateFailMalformedHTLC> {
        let mut book = lock(&self.book);
        let incoming = book.answer(&(fail.channel_id, fail.htlc_id))?;
        if let Some((onion, code)) = incoming.malformed {
            let bytes = [
                &fail.channel_id.0[..],
                &fail.htlc_id.to_be_bytes(),
                &onion,
                &code.to_be_bytes(),
            ];
            return reread(&bytes.concat());
        }
        let (failure, garble) = (incoming.failure.clone(), incoming.garble.clone());
        let (secret, refused, hash) = (incoming.shared_secret, incoming.refused, incoming.hash);
        drop(book);
        if !refused {
            // The payee took it, and LDK has reasons of its own; its log has them.
            let fields = ResultObject::new()
                .with("payment_hash", hex(hash))
                .with("message", "LDK does not hold it: see the log")
                .done();
            self.events.push("payment-refused", None, (), fields);
        }
        let inner = lock(&self.pr836).inner(&hash);
        let packet = match pr836::failure(inner, &secret, &failure) {
            Ok(packet) => match garble {
                Some(name) => crate::failures::garbled(&name, &secret, packet),
                None => packet,
            },
            Err(e) => {
                eprintln!("adapter: a failure cannot be made: {e}");
                return None;
            }
        };
        let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        let bytes = [
            &fail.channel_id.0[..],
            &fail.htlc_id.to_be_bytes(),
            &length.to_be_bytes(),
            &packet,
        ]
        .concat();
        match reread(&bytes) {
            Some(message) => *fail = message,
            None => eprintln!("adapter: a failure cannot be put into LDK's form"),
        }
        let fields = ResultObject::new()
            .with("channel_id", hex(fail.channel_id.0))
            .with("htlc_id", fail.htlc_id)
            .with("failure", failure_fields(&failure).done())
            .done();
        self.note(Direction::Out, peer, "update_fail_htlc", fields);
        None
    }

    fn outgoing(&self, event: &mut MessageSendEvent) {
        match event {
            MessageSendEvent::UpdateHTLCs {
                node_id, updates, ..
            } => {
                let peer = *node_id;
                for add in &mut updates.update_add_htlcs {
                    self.shoot(peer, add);
                }
                for mut fail in std::mem::take(&mut updates.update_fail_htlcs) {
                    match self.fail(peer, &mut fail) {
                        Some(malformed) => updates.update_fail_malformed_htlcs.push(malformed),
                        None => updates.update_fail_htlcs.push(fail),
                    }
                }
                for malformed in &updates.update_fail_malformed_htlcs {
                    let fields = json!({
                        "channel_id": hex(malformed.channel_id.0),
                        "htlc_id": malformed.htlc_id,
                        "failure": {"code": malformed.failure_code},
                    });
                    self.note(Direction::Out, peer, "update_fail_malformed_htlc", fields);
                }
                for fulfil in &updates.update_fulfill_htlcs {
                    let htlc = (fulfil.channel_id, fulfil.htlc_id);
                    let taken = lock(&self.book).answer(&htlc).map(|i| i.shared_secret);
                    let hash = keys::sha256(&[&fulfil.payment_preimage.0]);
                    self.fulfillments.settles(htlc, hash, taken);
                    let fields = json!({
                        "channel_id": hex(fulfil.channel_id.0),
                        "htlc_id": fulfil.htlc_id,
                        "preimage": hex(fulfil.payment_preimage.0),
                    });
                    self.note(Direction::Out, peer, "update_fulfill_htlc", fields);
                }
            }
            MessageSendEvent::SendRevokeAndACK { node_id, msg } => {
                self.give_release_paths(*node_id, msg);
                self.note(Direction::Out, *node_id, "revoke_and_ack", json!({}));
            }
            MessageSendEvent::HandleError { node_id, action } => {
                let (message, data) = match action {
                    msgs::ErrorAction::SendErrorMessage { msg }
                    | msgs::ErrorAction::DisconnectPeer { msg: Some(msg) } => {
                        ("error", msg.data.clone())
                    }
                    msgs::ErrorAction::SendWarningMessage { msg, .. }
                    | msgs::ErrorAction::DisconnectPeerWithWarning { msg } => {
                        ("warning", msg.data.clone())
                    }
                    _ => return,
                };
                self.note(Direction::Out, *node_id, message, json!({"data": data}));
            }
            other => {
                // LDK's names for what it sends are those of the messages, but for their form.
                let text = format!("{other:?}");
                let name = text.split([' ', '(', '{']).next().unwrap_or_default();
                let node = text.split("node_id: PublicKey(").nth(1);
                let key = node.and_then(|text| text.get(..66)?.parse::<PublicKey>().ok());
                if let (Some(peer), false) = (key, name.contains("Gossip")) {
                    self.note(Direction::Out, peer, &spelled(name), json!({}));
                }
            }
        }
    }

    // ---- in

    /// What LDK is handed in the place of an HTLC that has come.
    fn arrive(&self, peer: PublicKey, add: &msgs::UpdateAddHTLC) -> msgs::UpdateAddHTLC {
        let packet = add.onion_routing_packet.encode();
        let context = Context {
            associated_data: &add.payment_hash.0,
            size: Some(PAYMENT_SIZE),
            path_key: add.blinding_point,
        };
        let peeled = match onion::peel(&Rules::all(), &self.secret, &packet, context) {
            Ok(peeled) => peeled,
            Err(e) => {
                self.note_add(Direction::In, peer, add, None);
                let (rule, message) = match &e {
                    onion::Error::Rule(violation) => (Some(violation.rule), e.to_string()),
                    _ => (None, e.to_string()),
                };
                self.refused(add, rule, onion_code(rule), &message);
                // LDK answers for itself: there is no secret to answer with.
                return add.clone();
            }
        };
        let seen = payload_value(&peeled.payload);
        self.note_add(Direction::In, peer, add, Some(seen));
        let hash = add.payment_hash.0;
        // Payments along paths of BOLT 12 invoices of the probe's are taken as those to its node id.
        let of_static = self.of_static_invoice(&peeled.payload);
        let is_static = of_static.is_some();
        let adapted = of_static.or_else(|| {
            let known = lock(&self.payee).invoice(&hash).is_some();
            known.then(|| crate::messages::bolt12::unblinded(&self.secret, &peeled.payload))?
        });
        let height = self.height() - if is_static { static_invoice::SPARE } else { 0 };
        let htlc = Arrived {
            hash,
            amount_msat: add.amount_msat,
            cltv_expiry: add.cltv_expiry,
            payload: adapted.as_deref().unwrap_or(&peeled.payload),
            shared_secret: peeled.shared_secret,
            height,
            now: self.now(),
        };
        let (onion, last) = (keys::sha256(&[&packet]), peeled.next.is_none());
        let again = lock(&self.book).is_said_again(&(add.channel_id, add.htlc_id), &onion);
        let ways = if last {
            Vec::new()
        } else {
            crate::onward::ways(&self.cm)
        };
        let mut payee = lock(&self.payee);
        if again {
            payee.forget_onion(&peeled.shared_secret);
        }
        let judged = if adapted.is_some() {
            Judged::Plain
        } else {
            blind::judge(
                &mut payee,
                &self.secret,
                &htlc,
                add.blinding_point,
                last,
                &onion,
            )
        };
        let judged = match judged {
            Judged::Plain if !last => crate::onward::refused(&payee.rules, &htlc, &ways)
                .map_or(Judged::Plain, |refused| {
                    Judged::Decided(Decision::Refuse(refused))
                }),
            other => other,
        };
        let decision = match judged {
            Judged::Decided(decision) => decision,
            Judged::Plain if is_static => static_invoice::judged(payee.arrive(&htlc)),
            Judged::Plain if last => payee.arrive(&htlc),
            // On the way the probe is LDK.
            Judged::Plain | Judged::PassOn => {
                drop(payee);
                let change = self.is_asked_to_hold(add);
                let htlc = (add.channel_id, add.htlc_id);
                let next = peeled.next.as_deref().unwrap_or_default();
                let passing = Some((peeled.shared_secret, next));
                let blinded = add.blinding_point.is_some();
                self.fulfillments.arrived(htlc, blinded, passing);
                return change;
            }
        };
        drop(payee);
        // What it is failed with if it is failed later on.
        let fallback = details(&htlc, None, "the payment was given up");
        let (failure, taken) = match decision {
            Decision::Take {
                amount_msat,
                total_msat,
                ..
            } => (fallback.failure, Some((amount_msat, total_msat))),
            Decision::Refuse(refusal) => {
                self.refuse(add, &refusal);
                (refusal.failure, None)
            }
            Decision::RefuseSet(refusal, hashes) => {
                self.refuse(add, &refusal);
                for hash in hashes {
                    lock(&self.payee).failed(&hash);
                    lock(&self.book).fail_with(&hash, &refusal.failure);
                }
                (refusal.failure, None)
            }
        };
        let incoming = Incoming {
            hash: add.payment_hash.0,
            shared_secret: peeled.shared_secret,
            failure,
            // BOLT 2, removing an HTLC: so is every one failed that came with a path key.
            malformed: add
                .blinding_point
                .map(|_| (onion, code::INVALID_ONION_BLINDING)),
            onion,
            garble: None,
            refused: taken.is_none(),
            answered: false,
        };
        let htlc = (add.channel_id, add.htlc_id);
        let blinded = add.blinding_point.is_some();
        self.fulfillments.arrived(htlc, blinded, None);
        lock(&self.book).arrived((add.channel_id, add.htlc_id), incoming);
        let (secret, amount_msat, total_msat) = match taken {
            Some((amount, total)) => (self.ldk_secret(add.payment_hash), amount, total),
            // LDK fails what has not its secret.
            None => ([0; 32], add.amount_msat, add.amount_msat),
        };
        let mut handed = add.clone();
        handed.blinding_point = None;
        if let Some(packet) = self.to_ourselves(add, &secret, amount_msat, total_msat) {
            handed.onion_routing_packet = packet;
        }
        handed
    }

    fn refuse(&self, add: &msgs::UpdateAddHTLC, refusal: &Refusal) {
        self.refused(add, refusal.rule, Some(refusal.code), &refusal.message);
    }

    fn refused(
        &self,
        add: &msgs::UpdateAddHTLC,
        rule: Option<&str>,
        code: Option<u16>,
        message: &str,
    ) {
        let fields = ResultObject::new()
            .with("payment_hash", hex(add.payment_hash.0))
            .with("amount_msat", add.amount_msat.to_string())
            .maybe("rule", rule)
            .maybe("code", code)
            .with("message", message)
            .done();
        self.events.push("payment-refused", None, (), fields);
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

    fn ldk_secret(&self, hash: PaymentHash) -> [u8; 32] {
        let mut secrets = lock(&self.secrets);
        if let Some(secret) = secrets.get(&hash.0) {
            return secret.0;
        }
        let asked = self
            .cm
            .create_inbound_payment_for_hash(hash, None, 7200, None, None);
        match asked {
            Ok((secret, _)) => {
                secrets.insert(hash.0, secret);
                secret.0
            }
            Err(()) => {
                eprintln!("adapter: LDK gives no payment secret");
                [0; 32]
            }
        }
    }

    /// An onion of one hop from the probe to itself.
    fn to_ourselves(
        &self,
        add: &msgs::UpdateAddHTLC,
        secret: &[u8; 32],
        amount_msat: u64,
        total_msat: u64,
    ) -> Option<msgs::OnionPacket> {
        let payload = tlv::encode_unchecked(&[
            Record::new(kind::AMOUNT, truncated(amount_msat)),
            Record::new(kind::CLTV, truncated(add.cltv_expiry.into())),
            payment_data(secret, total_msat),
        ]);
        let hop = Hop {
            pubkey: keys::public(&self.secret),
            framed: onion::frame(&payload),
        };
        let hash = &add.payment_hash.0;
        let built = onion::build(&Rules::all(), &self.draw_key(), hash, &[hop], PAYMENT_SIZE);
        let packet = built.ok()?.packet;
        msgs::OnionPacket::read(&mut &packet[..]).ok()
    }

    fn answered(&self, channel: ChannelId, htlc_id: u64, answer: Answer) {
        let ended = lock(&self.book).answered((channel, htlc_id), answer);
        if let Some(ended) = ended {
            self.events.push(
                ended.kind(),
                Some(ended.payment.clone()),
                (),
                ended.fields(),
            );
        }
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
        if let Some(ended) = ended {
            self.events.push(
                ended.kind(),
                Some(ended.payment.clone()),
                (),
                ended.fields(),
            );
        }
    }
}

/// The code that a node answers a broken onion with, by the rule that it breaks.
fn onion_code(rule: Option<&str>) -> Option<u16> {
    Some(match rule? {
        rules::ONION_VERSION => failure::BADONION | failure::PERM | 4,
        rules::ONION_HMAC => failure::BADONION | failure::PERM | 5,
        rules::ONION_PUBLIC_KEY => failure::BADONION | failure::PERM | 6,
        _ => failure::PERM | 22,
    })
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
        self.events.push("peer-disconnected", None, (), fields);
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
        if let Err(violation) = payload {
            let why = violation.to_string();
            let closed = self
                .cm
                .force_close_broadcasting_latest_txn(&channel, &peer, why);
            if let Err(e) = closed {
                eprintln!("adapter: LDK does not fail a channel: {e:?}");
            }
        }
        self.answered(channel, id, Answer::Settled { preimage });
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
        self.events.push("peer-error", None, (), fields);
        self.cm.handle_error(peer, msg);
    }

    fn get_chain_hashes(&self) -> Option<Vec<ChainHash>> {
        self.cm.get_chain_hashes()
    }

    fn message_received(&self) {
        self.cm.message_received();
    }
}
