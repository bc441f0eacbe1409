//! What LDK tells of channels and payments, and what the probe tells the harness of them.

use super::Node;
use crate::node::env::lock;
use crate::payee::Held;
use lightning03::events::Event;
use lightning03::types::payment::{PaymentHash, PaymentPreimage};
use lnconform_protocol::params::{self, ResultObject, hex};
use serde_json::json;

impl Node {
    pub(super) fn push(&self, kind: &'static str, fields: serde_json::Value) {
        // What was told, a restart must not forget.
        self.save(true);
        self.hook.tell(kind, fields);
    }

    pub(super) fn event(&self, event: Event) {
        match event {
            Event::FundingGenerationReady {
                temporary_channel_id,
                counterparty_node_id,
                channel_value_satoshis,
                output_script,
                ..
            } => {
                let paid = lock(&self.wallet).pay(output_script, channel_value_satoshis);
                let given = paid.map_err(|e| e.to_string()).and_then(|tx| {
                    self.cm
                        .funding_transaction_generated(
                            temporary_channel_id,
                            counterparty_node_id,
                            tx,
                        )
                        .map_err(|e| format!("{e:?}"))
                });
                if let Err(why) = given {
                    let fields = json!({"peer": counterparty_node_id.to_string(), "reason": why});
                    self.push("channel-closed", fields);
                }
            }
            Event::OpenChannelRequest {
                temporary_channel_id,
                counterparty_node_id,
                ..
            } => {
                let accepted = self.cm.accept_inbound_channel(
                    &temporary_channel_id,
                    &counterparty_node_id,
                    0,
                    None,
                );
                if let Err(e) = accepted {
                    eprintln!("adapter: a channel was not accepted: {e:?}");
                }
            }
            Event::ChannelPending {
                counterparty_node_id,
                funding_txo,
                ..
            } => {
                let funding = format!("{}:{}", funding_txo.txid, funding_txo.vout);
                let peer = counterparty_node_id.to_string();
                self.push("channel-pending", json!({"peer": peer, "funding": funding}));
            }
            Event::ChannelReady {
                counterparty_node_id,
                ..
            } => {
                let peer = counterparty_node_id.to_string();
                self.push("channel-ready", json!({"peer": peer}));
            }
            Event::ChannelClosed {
                channel_id,
                reason,
                counterparty_node_id,
                ..
            } => {
                let reason = reason.to_string();
                let fields = ResultObject::new()
                    .maybe("peer", counterparty_node_id.map(|peer| peer.to_string()))
                    .with("reason", reason.clone())
                    .done();
                self.push("channel-closed", fields);
                self.hook.channel_closed(channel_id, &reason);
            }
            Event::PaymentClaimable { payment_hash, .. } => self.claimable(payment_hash.0),
            Event::PaymentClaimed { payment_hash, .. } => self.claimed(payment_hash.0),
            Event::PaymentForwarded { .. } => self.push("payment-forwarded", json!({})),
            _ => {}
        }
    }

    /// LDK holds all HTLCs of a hash. After a restart it may say so twice.
    pub(crate) fn claimable(&self, hash: [u8; 32]) {
        let held = lock(&self.hook.payee).held(hash);
        match held {
            Held::Settle(preimages) => {
                self.receipt_ahead(hash);
                for preimage in preimages {
                    self.cm
                        .claim_funds_with_known_custom_tlvs(PaymentPreimage(preimage));
                }
            }
            Held::Hold => {
                if !lock(&self.held).insert(hash) {
                    return;
                }
                let set = lock(&self.hook.payee).set(&hash).cloned();
                if let Some(set) = set {
                    self.push("payment-held", set_fields(hash, &set).done());
                }
            }
            Held::Relay => self.relay(hash),
            Held::Wait => {}
            // It was given up in the meantime.
            Held::Gone => self.cm.fail_htlc_backwards(&PaymentHash(hash)),
        }
    }

    fn claimed(&self, hash: [u8; 32]) {
        lock(&self.held).remove(&hash);
        let set = lock(&self.hook.payee).settled(hash);
        let Some(set) = set else { return };
        let relay = lock(&self.relays).remove(&hash);
        match relay {
            Some(relay) => {
                let fields = ResultObject::new()
                    .with("payment_hash", hex(hash))
                    .with("amount_msat", relay.amount_msat.to_string())
                    .with("next", relay.next.to_string())
                    .with("attempts", relay.attempts)
                    .done();
                self.push("payment-forwarded", fields);
            }
            None => {
                let fields = set_fields(hash, &set);
                let fields = lock(&self.proofs).fields(fields, hash, &set, self.hook.now());
                self.push("payment-received", fields.done());
            }
        }
    }

    pub(super) fn overdue(&self) {
        let late = lock(&self.hook.payee).overdue(self.hook.now());
        for (hash, refusal) in late {
            lock(&self.hook.book).fail_with(&hash, &refusal.failure);
            let fields = ResultObject::new()
                .with("payment_hash", hex(hash))
                .maybe("rule", refusal.rule)
                .with("code", refusal.code)
                .with("message", refusal.message)
                .done();
            self.push("payment-refused", fields);
        }
    }
}

/// The fields of an event about a set.
pub fn set_fields(hash: [u8; 32], set: &crate::payee::Set) -> ResultObject {
    ResultObject::new()
        .with("payment", hex(hash))
        .with("payment_hash", hex(hash))
        .with("amount_msat", set.amount_msat.to_string())
        .with(
            "records",
            params::records(set.records.iter().map(|r| (r.kind, &r.value[..]))),
        )
        .with("parts", set.parts())
        .maybe("set_id", set.set_id.map(hex))
}
