//! Payments for somebody else that are held: sent on once the next node can be reached, settled or failed with
//! what becomes of that.

use super::{Node, set_fields};
use crate::node::env::lock;
use crate::trampoline::relay::{ATTEMPTS, Relay, RelayError};
use lightning03::types::payment::PaymentPreimage;
use lnconform_drafts::failure::{NODE, code};
use lnconform_protocol::params::{hex, hex_bytes};
use serde_json::json;

/// The code of the dialect in use for too low a fee, or too near an expiry.
const LEGACY_FEE: u16 = NODE | 51;

impl Node {
    /// A payment for somebody else has come, all of it.
    pub(super) fn relay(&self, hash: [u8; 32]) {
        if lock(&self.relays).contains_key(&hash) {
            return;
        }
        let set = lock(&self.hook.payee).set(&hash).cloned();
        let Some(set) = set else { return };
        if lock(&self.hook.payee).pr836 {
            return self.relay_pr836(hash, &set);
        }
        let onion = set.trampoline.as_deref().unwrap_or_default();
        let incoming = (set.amount_msat, set.cltv_expiry);
        match Relay::open(&self.hook.secret, hash, onion, incoming) {
            Ok(mut relay) => {
                // Sent on before a restart, and not answered yet.
                relay.payment = lock(&self.hook.book).under_way(&hash);
                let fields = set_fields(hash, &set).with("next", relay.next.to_string());
                lock(&self.relays).insert(hash, relay);
                self.push("payment-held", fields.done());
            }
            Err(e) => {
                let code = match e {
                    RelayError::Fee { .. } | RelayError::Expiry { .. } => LEGACY_FEE,
                    _ => code::INVALID_ONION_PAYLOAD,
                };
                self.give_up(hash, code, &e.to_string());
            }
        }
    }

    pub(crate) fn give_up(&self, hash: [u8; 32], code: u16, message: &str) {
        let relay = lock(&self.relays).remove(&hash);
        lock(&self.hook.payee).failed(&hash);
        let mut failure = code.to_be_bytes().to_vec();
        if code == code::INVALID_ONION_PAYLOAD {
            failure.extend([0, 0, 0]);
        }
        if let Some(masked) = relay.and_then(|relay| relay.masked) {
            failure = masked;
        }
        lock(&self.hook.book).fail_with(&hash, &failure);
        let fields = json!({"payment_hash": hex(hash), "code": code, "message": message});
        self.push("payment-refused", fields);
    }

    /// Sends on what is held for those who can be reached now, and settles or fails what has ended.
    pub(super) fn pass_on(&self) {
        let relays: Vec<Relay> = lock(&self.relays).values().cloned().collect();
        for mut relay in relays {
            let Some(payment) = &relay.payment else {
                self.try_to(relay);
                continue;
            };
            let ended = self.hook.events.find(|seen| {
                let ours = seen.payment.as_ref() == Some(payment);
                ours.then(|| seen.fields["preimage"].as_str().and_then(hex_bytes))
            });
            let preimage =
                ended.map(|preimage| preimage.and_then(|p| <[u8; 32]>::try_from(p).ok()));
            match preimage {
                None => {}
                Some(Some(preimage)) => self
                    .cm
                    .claim_funds_with_known_custom_tlvs(PaymentPreimage(preimage)),
                Some(None) if relay.attempts >= ATTEMPTS => {
                    let code = code::TEMPORARY_TRAMPOLINE_FAILURE;
                    self.give_up(relay.hash, code, "the next node has not taken it");
                }
                Some(None) => {
                    relay.payment = None;
                    self.put(relay);
                }
            }
        }
    }

    fn try_to(&self, mut relay: Relay) {
        let channels = self.cm.list_channels();
        let there = channels
            .iter()
            .any(|c| c.counterparty.node_id == relay.next && c.is_usable);
        if !there {
            return;
        }
        if let Some(path) = relay.path.clone() {
            return self.deliver(relay, &path);
        }
        let mut plan = relay.plan(self.hook.height(), self.hook.draw());
        if lock(&self.hook.payee).pr836 {
            crate::trampoline::pr836::translate(&mut plan);
        }
        let shots = plan.shots(&[], || self.hook.draw_key());
        let payment = hex(self.hook.draw());
        relay.payment = Some(payment.clone());
        relay.attempts += 1;
        self.put(relay);
        self.send(&payment, shots);
    }

    /// Keeps what has become of a relay, unless it was given up meanwhile.
    pub(crate) fn put(&self, relay: Relay) {
        let mut relays = lock(&self.relays);
        if let Some(place) = relays.get_mut(&relay.hash) {
            *place = relay;
        }
    }
}
