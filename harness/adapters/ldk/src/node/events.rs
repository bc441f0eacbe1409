//! What the node told, in order, for whoever asks.

use ldk_node::bitcoin::OutPoint;
use ldk_node::{CustomTlvRecord, Event, UserChannelId};
use lnconform_protocol::params::{ResultObject, hex};
use lnconform_protocol::{OpError, params};
use serde_json::Value;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Counted from 1, across restarts of the node in this process.
    pub(super) seq: u32,
    pub(super) kind: &'static str,
    /// The payment's handle, where it is about one.
    pub(super) payment: Option<String>,
    /// The channel, where it is about one.
    pub(super) channel: Option<UserChannelId>,
    /// The kind's own fields, in the protocol's form.
    pub(super) fields: Value,
}

impl Seen {
    /// The event in the protocol's form.
    pub(super) fn shown(&self) -> Value {
        let mut object = ResultObject::new()
            .with("seq", self.seq)
            .with("kind", self.kind);
        if let Value::Object(fields) = &self.fields {
            for (name, value) in fields {
                object = object.with(name, value.clone());
            }
        }
        object.done()
    }
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    closing: bool,
    stops: u64,
}

/// Everything seen so far, and a bell.
#[derive(Default)]
pub(super) struct Events {
    state: Mutex<State>,
    changed: Condvar,
}

impl Events {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event and wakes those who wait.
    pub(super) fn push(&self, event: Event) {
        let (kind, payment, channel, fields) = read(event);
        let mut state = self.state();
        let seq = u32::try_from(state.seen.len() + 1).unwrap_or(u32::MAX);
        state.seen.push(Seen {
            seq,
            kind,
            payment,
            channel,
            fields,
        });
        drop(state);
        self.changed.notify_all();
    }

    /// Those who wait answer now; the adapter is about to end.
    pub(super) fn close(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    /// Those who wait answer now; the node was stopped.
    pub(super) fn node_stopped(&self) {
        self.state().stops += 1;
        self.changed.notify_all();
    }

    /// Whether the adapter is about to end.
    pub(super) fn is_closing(&self) -> bool {
        self.state().closing
    }

    /// The first event for which `want` answers something.
    pub(super) fn find<T>(&self, want: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        self.state().seen.iter().find_map(want)
    }

    /// The last event for which `want` answers something.
    pub(super) fn find_last<T>(&self, want: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        self.state().seen.iter().rev().find_map(want)
    }

    /// Number of the last event; 0 before the first.
    pub(super) fn last(&self) -> u32 {
        self.state().seen.last().map_or(0, |s| s.seq)
    }

    /// As [`Events::find`], waiting until `deadline` for one to come.
    ///
    /// # Errors
    /// `timeout` with what was waited for and what was seen instead; `rejected` when the node is
    /// stopped meanwhile.
    pub(super) fn wait<T>(
        &self,
        deadline: Instant,
        what: &str,
        mut want: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T, OpError> {
        let mut state = self.state();
        let stops = state.stops;
        let mut looked_at = 0;
        loop {
            if let Some(found) = state.seen[looked_at..].iter().find_map(&mut want) {
                return Ok(found);
            }
            looked_at = state.seen.len();
            if state.stops != stops {
                return Err(OpError::rejected(format!(
                    "the node was stopped before {what}"
                )));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closing {
                let why = if state.closing {
                    format!("the adapter was shut down before {what}")
                } else {
                    format!("no {what} by the deadline")
                };
                return Err(OpError::timeout(format!("{why}; {}", told(&state.seen))));
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// The last events, for a message.
fn told(seen: &[Seen]) -> String {
    const SHOWN: usize = 8;
    if seen.is_empty() {
        return "no event was seen".into();
    }
    let skipped = seen.len().saturating_sub(SHOWN);
    let last: Vec<String> = seen[skipped..]
        .iter()
        .map(|s| format!("{} {}", s.seq, s.kind))
        .collect();
    let more = if skipped > 0 { "…, " } else { "" };
    format!("seen: {more}{}", last.join(", "))
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
    use ldk_node::lightning_types::payment::{PaymentHash, PaymentPreimage};
    use lnconform_protocol::ErrorKind;
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;

    fn received(byte: u8) -> Event {
        Event::PaymentReceived {
            payment_id: Some(PaymentId([byte; 32])),
            payment_hash: PaymentHash([byte; 32]),
            amount_msat: 1000,
            custom_records: vec![CustomTlvRecord {
                type_num: 65537,
                value: vec![0x68],
            }],
        }
    }

    fn sent(byte: u8) -> Event {
        Event::PaymentSuccessful {
            payment_id: Some(PaymentId([byte; 32])),
            payment_hash: PaymentHash([byte; 32]),
            payment_preimage: Some(PaymentPreimage([byte; 32])),
            fee_paid_msat: Some(0),
        }
    }

    #[test]
    fn events_are_counted_from_one_and_shown_in_the_protocols_form() {
        let events = Events::default();
        events.push(received(7));
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

    #[test]
    fn nothing_is_consumed_and_a_later_event_wakes_those_who_wait() {
        let events = Arc::new(Events::default());
        let far = Instant::now() + Duration::from_secs(20);
        let waiting = {
            let events = events.clone();
            std::thread::spawn(move || {
                events.wait(far, "a sent payment", |s| {
                    (s.kind == "payment-sent").then_some(s.seq)
                })
            })
        };
        events.push(received(1));
        events.push(sent(2));
        assert_eq!(waiting.join().unwrap().unwrap(), 2);
        assert_eq!(events.wait(far, "any", |s| Some(s.seq)).unwrap(), 1);
        assert_eq!(events.wait(far, "any", |s| Some(s.seq)).unwrap(), 1);
    }

    #[test]
    fn a_timeout_says_what_was_seen_instead() {
        let events = Events::default();
        events.push(received(1));
        let none = |_: &Seen| None::<()>;
        let e = events
            .wait(Instant::now(), "event payment-held", none)
            .unwrap_err();
        assert_eq!(e.kind, ErrorKind::Timeout);
        assert!(e.message.contains("payment-held") && e.message.contains("1 payment-received"));
    }

    #[test]
    fn closing_and_a_stopped_node_release_those_who_wait() {
        let far = Instant::now() + Duration::from_secs(20);
        let none = |_: &Seen| None::<()>;
        for stop in [Events::close, Events::node_stopped] {
            let events = Arc::new(Events::default());
            let waiting = {
                let events = events.clone();
                std::thread::spawn(move || events.wait(far, "x", none).unwrap_err())
            };
            // The state may change before the thread looks, so it is changed until it has ended.
            while !waiting.is_finished() {
                stop(&events);
                std::thread::yield_now();
            }
            assert!(Instant::now() < far);
            assert!(waiting.join().unwrap().message.contains("before x"));
        }
    }
}
