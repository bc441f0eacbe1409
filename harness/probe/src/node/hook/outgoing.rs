//! What goes out: the onion of an HTLC and the packet of a failure in the place of LDK's, and everything else as
//! LDK has made it, into the transcript.

use super::{Hook, failure_fields, payload_value, reread};
use crate::node::env::lock;
use crate::node::transcript::{Direction, spelled};
use crate::trampoline::pr836;
use bitcoin::secp256k1::PublicKey;
use lightning03::ln::msgs::{self, MessageSendEvent};
use lightning03::util::ser::{Readable, Writeable};
use lnconform_drafts::keys;
use lnconform_protocol::params::{ResultObject, hex};
use serde_json::json;

impl Hook {
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
            self.tell("payment-refused", fields);
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

    pub(super) fn outgoing(&self, event: &mut MessageSendEvent) {
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
}
