//! Threads that read LND's streams and tell events.

use crate::http::{CallError, Client};
use crate::node::{Running, Shared};
use crate::read;
use lnconform_adapter_process::{lock, spawn};
use lnconform_protocol::OpError;
use lnconform_protocol::events::Events;
use lnconform_protocol::params::{ResultObject, hex};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Until LND has confirmed a subscription.
const SUBSCRIBED: Duration = Duration::from_secs(10);

/// Subscribes to invoices, channels and HTLCs, and to every invoice whose payment is to be held.
///
/// # Errors
/// When LND does not take the subscriptions.
pub(crate) fn start(running: &Arc<Running>) -> Result<(), OpError> {
    let client = &running.client;
    let (added, settled) = *lock(&running.shared.indexes);
    let path = format!("/v1/invoices/subscribe?add_index={added}&settle_index={settled}");
    let mut invoices = client.stream("GET", &path, None)?;
    let mut channels = client.stream("GET", "/v1/channels/subscribe", None)?;
    let mut htlcs = client.stream("GET", "/v2/router/htlcevents", None)?;
    // The only one of the three that says when it has begun; asked for last, it speaks for all.
    htlcs.next(Some(Instant::now() + SUBSCRIBED))?;

    let own = Watcher::of(running);
    spawn("invoices", move || {
        while let Some(invoice) = own.more(invoices.next(None), "invoices") {
            own.invoice(&invoice);
        }
    })?;
    let own = Watcher::of(running);
    spawn("channels", move || {
        while let Some(update) = own.more(channels.next(None), "channels") {
            own.channel(&update);
        }
    })?;
    let own = Watcher::of(running);
    spawn("htlcs", move || {
        let mut forwards = HashMap::new();
        while let Some(event) = own.more(htlcs.next(None), "HTLC events") {
            own.htlc(&event, &mut forwards);
        }
    })?;

    // What was held, or open to be held, before a restart.
    let pending = client.get(
        "/v1/invoices?pending_only=true&num_max_invoices=1000",
        crate::lnd::CALL,
    )?;
    for invoice in read::entries(&pending["invoices"]) {
        let no_preimage =
            read::bytes(&invoice["r_preimage"]).is_none_or(|p| p.iter().all(|b| *b == 0));
        let keysend = invoice["is_keysend"] == true && running.holds_keysend;
        if invoice["is_amp"] != true
            && (no_preimage || keysend)
            && let Some(hash) = read::bytes(&invoice["r_hash"])
        {
            hold(running, &hash)?;
        }
    }
    Ok(())
}

/// Watches one invoice for a payment that is held.
///
/// # Errors
/// When LND does not take the subscription.
pub(crate) fn hold(running: &Arc<Running>, hash: &[u8]) -> Result<(), OpError> {
    Watcher::of(running).hold(hash)
}

/// Channel and number of an incoming HTLC.
type Circuit = (u64, u64);

#[derive(Clone, Debug)]
struct Watcher {
    client: Arc<Client>,
    events: Arc<Events>,
    shared: Arc<Shared>,
    holds_keysend: bool,
}

impl Watcher {
    fn of(running: &Running) -> Self {
        Self {
            client: running.client.clone(),
            events: running.events.clone(),
            shared: running.shared.clone(),
            holds_keysend: running.holds_keysend,
        }
    }

    /// A message, or the end of the stream, which is noted unless the node was stopped.
    fn more(&self, next: Result<Option<Value>, CallError>, what: &str) -> Option<Value> {
        match next {
            Ok(message) => message,
            Err(e) => {
                if !self.client.is_ending() {
                    eprintln!("adapter: the stream of {what} has ended: {e}");
                }
                None
            }
        }
    }

    fn invoice(&self, invoice: &Value) {
        {
            let mut indexes = lock(&self.shared.indexes);
            indexes.0 = indexes.0.max(read::number(&invoice["add_index"]));
            indexes.1 = indexes.1.max(read::number(&invoice["settle_index"]));
            let sets = invoice["amp_invoice_state"]
                .as_object()
                .into_iter()
                .flatten();
            for (_, set) in sets {
                indexes.1 = indexes.1.max(read::number(&set["settle_index"]));
            }
        }
        if self.holds_keysend
            && invoice["is_keysend"] == true
            && invoice["state"] == "OPEN"
            && let Some(hash) = read::bytes(&invoice["r_hash"])
            && let Err(e) = self.hold(&hash)
        {
            eprintln!("adapter: a held keysend is not watched: {}", e.message);
        }
        for (payment, fields) in read::received(invoice) {
            self.events.push("payment-received", payment, (), fields);
        }
    }

    fn hold(&self, hash: &[u8]) -> Result<(), OpError> {
        let path = format!("/v2/invoices/subscribe/{}", read::base64_url(hash));
        let mut stream = self.client.stream("GET", &path, None)?;
        let own = self.clone();
        spawn("held", move || {
            while let Some(invoice) = own.more(stream.next(None), "one invoice") {
                match invoice["state"].as_str() {
                    Some("ACCEPTED") => {
                        let fields = read::held(&invoice);
                        let payment = read::hex_of(&invoice["r_hash"]);
                        own.events.push("payment-held", payment, (), fields);
                    }
                    Some("CANCELED") => {
                        let hash = read::hex_of(&invoice["r_hash"]);
                        let fields = ResultObject::new().maybe("payment_hash", hash.clone());
                        let fields = fields.done();
                        own.events.push("payment-canceled", hash, (), fields);
                        return;
                    }
                    Some("SETTLED") => return,
                    _ => {}
                }
            }
        })
    }

    fn channel(&self, update: &Value) {
        let events = &self.events;
        match update["type"].as_str() {
            Some("PENDING_OPEN_CHANNEL") => {
                let pending = &update["pending_open_channel"];
                let fields = ResultObject::new().maybe(
                    "funding",
                    outpoint(&pending["txid"], &pending["output_index"]),
                );
                events.push("channel-pending", None, (), fields.done());
            }
            Some("OPEN_CHANNEL") => {
                let open = &update["open_channel"];
                let fields = ResultObject::new()
                    .maybe("peer", open["remote_pubkey"].as_str())
                    .maybe("funding", open["channel_point"].as_str())
                    .with("scid", read::scid(read::number(&open["chan_id"])));
                events.push("channel-ready", None, (), fields.done());
            }
            Some("CLOSED_CHANNEL") => {
                let closed = &update["closed_channel"];
                let fields = ResultObject::new()
                    .maybe("peer", closed["remote_pubkey"].as_str())
                    .maybe("funding", closed["channel_point"].as_str())
                    .maybe("reason", closed["close_type"].as_str());
                events.push("channel-closed", None, (), fields.done());
            }
            _ => {}
        }
    }

    /// Forwards: LND tells of each when it goes out and when it comes back.
    fn htlc(&self, event: &Value, forwards: &mut HashMap<Circuit, Value>) {
        if event["event_type"] != "FORWARD" {
            return;
        }
        let incoming = read::number(&event["incoming_channel_id"]);
        let outgoing = read::number(&event["outgoing_channel_id"]);
        let circuit = (incoming, read::number(&event["incoming_htlc_id"]));
        if event["forward_event"].is_object() {
            forwards.insert(circuit, event["forward_event"]["info"].clone());
            return;
        }
        let known = || forwards.get(&circuit).cloned().unwrap_or_default();
        let base = |info: &Value| {
            let (received, sent) = (
                read::number(&info["incoming_amt_msat"]),
                read::number(&info["outgoing_amt_msat"]),
            );
            ResultObject::new()
                .with("from_scid", read::scid(incoming))
                .with("to_scid", read::scid(outgoing))
                .maybe("from", self.peer_of(incoming))
                .maybe("to", self.peer_of(outgoing))
                .maybe("amount_msat", (sent != 0).then(|| sent.to_string()))
                .maybe(
                    "incoming_msat",
                    (received != 0).then(|| received.to_string()),
                )
                .maybe(
                    "fee_msat",
                    received
                        .checked_sub(sent)
                        .filter(|_| sent != 0)
                        .map(|f| f.to_string()),
                )
        };
        if let Some(preimage) = read::bytes(&event["settle_event"]["preimage"]) {
            let info = known();
            forwards.remove(&circuit);
            let fields = base(&info)
                .with("payment_hash", hex(Sha256::digest(&preimage)))
                .with("preimage", hex(&preimage))
                .with("onchain", false)
                .done();
            self.events.push("payment-forwarded", None, (), fields);
        } else if event["link_fail_event"].is_object() {
            let fail = &event["link_fail_event"];
            let name = fail["wire_failure"].as_str().unwrap_or_default();
            let fields = base(&fail["info"])
                .maybe("code", crate::codes::number(name))
                .maybe("reason", fail["failure_string"].as_str())
                .done();
            forwards.remove(&circuit);
            self.events.push("forward-failed", None, (), fields);
        } else if event["forward_fail_event"].is_object() {
            let info = known();
            forwards.remove(&circuit);
            let fields = base(&info).done();
            self.events.push("forward-failed", None, (), fields);
        }
    }

    /// The peer at the other end of a channel of this node.
    fn peer_of(&self, channel: u64) -> Option<String> {
        peer_of(&self.client, channel)
    }
}

/// The peer at the other end of a channel of this node.
pub(crate) fn peer_of(client: &Client, channel: u64) -> Option<String> {
    let list = client.get("/v1/channels", crate::lnd::CALL).ok()?;
    read::entries(&list["channels"])
        .iter()
        .find(|c| {
            read::number(&c["chan_id"]) == channel
                || read::entries(&c["alias_scids"])
                    .iter()
                    .any(|a| read::number(a) == channel)
        })
        .and_then(|c| c["remote_pubkey"].as_str().map(str::to_owned))
}

/// `txid:index` from a transaction id in the order of its bytes.
pub(crate) fn outpoint(txid: &Value, index: &Value) -> Option<String> {
    let mut bytes = read::bytes(txid)?;
    bytes.reverse();
    Some(format!("{}:{}", hex(bytes), read::number(index)))
}
