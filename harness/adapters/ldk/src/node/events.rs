//! What the node told, in order, for whoever asks.

use ldk_node::bitcoin::OutPoint;
use ldk_node::payment::PaymentKind;
use ldk_node::{CustomTlvRecord, Event, Node, UserChannelId};
use lnconform_protocol::params;
use lnconform_protocol::params::{ResultObject, hex};
use serde_json::{Map, Value};

/// The node's events; the channel is kept where one is about a channel.
pub(super) type Events = lnconform_protocol::events::Events<Option<UserChannelId>>;
/// One of them.
pub(super) type Seen = lnconform_protocol::events::Seen<Option<UserChannelId>>;

/// Appends an event of ldk-node's.
pub(super) fn push(events: &Events, event: Event) {
    let (kind, payment, channel, fields) = read(event);
    events.push(kind, payment, channel, fields);
}

/// Appends an event of ldk-node's with more fields.
pub(super) fn push_with(events: &Events, event: Event, more: Map<String, Value>) {
    let (kind, payment, channel, mut fields) = read(event);
    if let Some(fields) = fields.as_object_mut() {
        fields.extend(more);
    }
    events.push(kind, payment, channel, fields);
}

/// What the request for a received payment said: `note` and `quantity`, where it is a BOLT 12 payment
/// and they are given. ldk-node keeps them with the payment and leaves them out of the event.
pub(super) fn request(node: &Node, event: &Event) -> Map<String, Value> {
    let id = match event {
        Event::PaymentReceived { payment_id, .. } => *payment_id,
        _ => None,
    };
    let mut fields = Map::new();
    let (note, quantity) = match id.and_then(|id| node.payment(&id)).map(|p| p.kind) {
        Some(
            PaymentKind::Bolt12Offer {
                payer_note,
                quantity,
                ..
            }
            | PaymentKind::Bolt12Refund {
                payer_note,
                quantity,
                ..
            },
        ) => (payer_note, quantity),
        _ => return fields,
    };
    if let Some(note) = note {
        fields.insert("note".into(), note.0.into());
    }
    if let Some(quantity) = quantity {
        fields.insert("quantity".into(), quantity.to_string().into());
    }
    fields
}

fn outpoint(txo: OutPoint) -> String {
    format!("{}:{}", txo.txid, txo.vout)
}

fn records(found: &[CustomTlvRecord]) -> Value {
    params::records(found.iter().map(|r| (r.type_num, &r.value[..])))
}

type Read = (&'static str, Option<String>, Option<UserChannelId>, Value);

fn read(event: Event) -> Read {
    match event {
        Event::PaymentSuccessful {
            payment_id,
            payment_hash,
            payment_preimage,
            fee_paid_msat,
        } => {
            let payment = payment_id.map(|id| hex(id.0));
            let fields = ResultObject::new()
                .maybe("payment", payment.clone())
                .with("payment_hash", hex(payment_hash.0))
                .maybe("preimage", payment_preimage.map(|p| hex(p.0)))
                .maybe("fee_msat", fee_paid_msat.map(|v| v.to_string()));
            ("payment-sent", payment, None, fields.done())
        }
        Event::PaymentFailed {
            payment_id,
            payment_hash,
            reason,
        } => {
            let payment = payment_id.map(|id| hex(id.0));
            let fields = ResultObject::new()
                .maybe("payment", payment.clone())
                .maybe("payment_hash", payment_hash.map(|h| hex(h.0)))
                .maybe("reason", reason.map(|r| format!("{r:?}")));
            ("payment-failed", payment, None, fields.done())
        }
        Event::PaymentReceived {
            payment_id,
            payment_hash,
            amount_msat,
            custom_records,
        } => {
            let payment = payment_id.map(|id| hex(id.0));
            let fields = ResultObject::new()
                .maybe("payment", payment.clone())
                .with("payment_hash", hex(payment_hash.0))
                .with("amount_msat", amount_msat.to_string())
                .with("records", records(&custom_records));
            ("payment-received", payment, None, fields.done())
        }
        Event::PaymentClaimable {
            payment_id,
            payment_hash,
            claimable_amount_msat,
            claim_deadline,
            custom_records,
        } => {
            let payment = hex(payment_id.0);
            let fields = ResultObject::new()
                .with("payment", payment.clone())
                .with("payment_hash", hex(payment_hash.0))
                .with("amount_msat", claimable_amount_msat.to_string())
                .maybe("claim_height", claim_deadline)
                .with("records", records(&custom_records));
            ("payment-held", Some(payment), None, fields.done())
        }
        Event::PaymentForwarded {
            prev_node_id,
            next_node_id,
            total_fee_earned_msat,
            outbound_amount_forwarded_msat,
            claim_from_onchain_tx,
            ..
        } => {
            let fields = ResultObject::new()
                .maybe("from", prev_node_id.map(|v| v.to_string()))
                .maybe("to", next_node_id.map(|v| v.to_string()))
                .maybe(
                    "amount_msat",
                    outbound_amount_forwarded_msat.map(|v| v.to_string()),
                )
                .maybe("fee_msat", total_fee_earned_msat.map(|v| v.to_string()))
                .with("onchain", claim_from_onchain_tx);
            ("payment-forwarded", None, None, fields.done())
        }
        Event::ChannelPending {
            user_channel_id,
            counterparty_node_id,
            funding_txo,
            ..
        } => {
            let fields = ResultObject::new()
                .with("peer", counterparty_node_id.to_string())
                .with("funding", outpoint(funding_txo));
            (
                "channel-pending",
                None,
                Some(user_channel_id),
                fields.done(),
            )
        }
        Event::ChannelReady {
            user_channel_id,
            counterparty_node_id,
            funding_txo,
            ..
        } => {
            let fields = ResultObject::new()
                .maybe("peer", counterparty_node_id.map(|v| v.to_string()))
                .maybe("funding", funding_txo.map(outpoint));
            ("channel-ready", None, Some(user_channel_id), fields.done())
        }
        Event::ChannelClosed {
            user_channel_id,
            counterparty_node_id,
            reason,
            ..
        } => {
            let fields = ResultObject::new()
                .maybe("peer", counterparty_node_id.map(|v| v.to_string()))
                .maybe("reason", reason.map(|r| r.to_string()));
            ("channel-closed", None, Some(user_channel_id), fields.done())
        }
        Event::SplicePending {
            user_channel_id,
            counterparty_node_id,
            new_funding_txo,
            ..
        } => {
            let fields = ResultObject::new()
                .with("peer", counterparty_node_id.to_string())
                .with("funding", outpoint(new_funding_txo));
            ("splice-pending", None, Some(user_channel_id), fields.done())
        }
        Event::SpliceFailed {
            user_channel_id,
            counterparty_node_id,
            ..
        } => {
            let fields = ResultObject::new().with("peer", counterparty_node_id.to_string());
            ("splice-failed", None, Some(user_channel_id), fields.done())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldk_node::lightning::ln::channelmanager::PaymentId;
    use ldk_node::lightning_types::payment::PaymentHash;
    use serde_json::json;

    #[test]
    fn events_are_shown_in_the_protocols_form() {
        let events = Events::default();
        let event = Event::PaymentReceived {
            payment_id: Some(PaymentId([7; 32])),
            payment_hash: PaymentHash([7; 32]),
            amount_msat: 1000,
            custom_records: vec![CustomTlvRecord {
                type_num: 65537,
                value: vec![0x68],
            }],
        };
        push(&events, event);
        let shown = events.find(|s| Some(s.shown())).unwrap();
        assert_eq!(
            shown,
            json!({
                "seq": 1,
                "kind": "payment-received",
                "payment": "07".repeat(32),
                "payment_hash": "07".repeat(32),
                "amount_msat": "1000",
                "records": [{"type": "65537", "value": "68"}],
            })
        );
    }
}
