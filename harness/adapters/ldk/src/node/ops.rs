//! The operations of a running node.

use super::blinded;
use super::events::Seen;
use super::log::{forget_complaint, take_complaint};
use super::payer_key;
use super::running::{Running, lock, refused, socket};
use ldk_node::bitcoin::hashes::{Hash, sha256};
use ldk_node::bitcoin::secp256k1::PublicKey;
use ldk_node::lightning::blinded_path::message::BlindedMessagePath;
use ldk_node::lightning::ln::channelmanager::PaymentId;
use ldk_node::lightning::ln::msgs::SocketAddress;
use ldk_node::lightning::offers::invoice::Bolt12Invoice;
use ldk_node::lightning::offers::offer::Offer;
use ldk_node::lightning::offers::refund::Refund;
use ldk_node::lightning::util::ser::{LengthReadable, Writeable};
use ldk_node::lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescription, Description};
use ldk_node::lightning_types::payment::{PaymentHash, PaymentPreimage};
use ldk_node::payment::{PaymentDetails, PaymentDirection, PaymentKind, PaymentStatus};
use ldk_node::{CustomTlvRecord, NodeError};
use lnconform_protocol::OpError;
use lnconform_protocol::events::Query;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often something is looked at that tells nothing by itself.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Answers one operation; `node` is asked for once the params have been read.
pub(super) fn call(
    op: &str,
    params: Params<'_>,
    node: impl Fn() -> Result<Arc<Running>, Fail>,
) -> Outcome {
    match op {
        "chain.sync" => chain_sync(params, node),
        "wallet.new_address" => new_address(&*node()?),
        "wallet.balance" => Ok(balance(&*node()?)),
        "peer.connect" => connect(params, node),
        "peer.disconnect" => disconnect(params, node),
        "peer.list" => Ok(peers(&*node()?)),
        "channel.open" => open_channel(params, node),
        "channel.list" => Ok(channels(&*node()?)),
        "graph.channels" => Ok(graph_channels(&*node()?)),
        "graph.nodes" => Ok(graph_nodes(&*node()?)),
        "invoice.create" => create_invoice(params, node),
        "invoice.pay" => pay_invoice(params, node),
        "keysend.send" => keysend(params, node),
        "offer.create" => create_offer(params, node),
        "offer.pay" => pay_offer(params, node),
        "refund.create" => create_refund(params, node),
        "refund.pay" => pay_refund(params, node),
        "async.server_paths" => server_paths(params, node),
        "async.use_server" => use_server(params, node),
        "payment.wait" => wait_payment(params, node),
        "payment.invoice" => paid_invoice(params, node),
        "payment.settle" => settle(params, node),
        "payment.cancel" => cancel(params, node),
        "event.next" => next_event(params, node),
        "event.list" => list_events(params, node),
        "message.sign" => sign_message(params, node),
        "message.verify" => verify_message(params, node),
        _ => Err(Fail::Unsupported(format!("ldk-node has no operation {op}"))),
    }
}

/// Seconds, of which LDK takes 32 bits.
fn expiry(params: Params<'_>) -> Result<Option<u32>, OpError> {
    let Some(seconds) = params.maybe("expiry", Params::number)? else {
        return Ok(None);
    };
    let seconds = u32::try_from(seconds)
        .map_err(|_| OpError::invalid(format!("param expiry is {seconds}, above 2^32 s")))?;
    Ok(Some(seconds))
}

fn deadline(params: Params<'_>, default_ms: u32) -> Result<Instant, OpError> {
    let ms = params
        .maybe("deadline_ms", Params::u32)?
        .unwrap_or(default_ms);
    Ok(Instant::now() + Duration::from_millis(ms.into()))
}

fn public_key(params: Params<'_>, name: &str) -> Result<PublicKey, OpError> {
    PublicKey::from_slice(&params.array::<33>(name)?)
        .map_err(|e| OpError::invalid(format!("param {name} is no public key: {e}")))
}

fn chain_sync(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let wanted = params.u32("height")?;
    let deadline = deadline(params, 25_000)?;
    let running = node()?;
    loop {
        // It may join a poll that began before the block was there, hence the loop.
        forget_complaint();
        let synced = running.node.sync_wallets();
        let height = running.node.status().current_best_block.height;
        if synced.is_ok() && height >= wanted {
            return Ok(json!({ "height": height }));
        }
        if matches!(synced, Err(NodeError::NotRunning)) {
            return Err(refused(NodeError::NotRunning).into());
        }
        if Instant::now() >= deadline || running.events.is_closing() {
            let why = take_complaint()
                .map(|w| format!("; {w}"))
                .unwrap_or_default();
            return Err(OpError::timeout(format!(
                "height {wanted} was not reached by the deadline: it is {height}{why}"
            ))
            .into());
        }
        if height < wanted {
            thread::sleep(LOOK_EVERY);
        }
    }
}

fn new_address(running: &Running) -> Outcome {
    let address = running
        .node
        .onchain_payment()
        .new_address()
        .map_err(refused)?;
    Ok(json!({"address": address.to_string()}))
}

/// `confirmed_sat` counts change of the wallet's own transactions before they are confirmed, as
/// LDK does.
fn balance(running: &Running) -> Value {
    let balances = running.node.list_balances();
    let reserve = balances.total_anchor_channels_reserve_sats;
    let spendable = balances.spendable_onchain_balance_sats;
    let confirmed = (spendable + reserve).min(balances.total_onchain_balance_sats);
    json!({
        "confirmed_sat": confirmed.to_string(),
        "spendable_sat": spendable.to_string(),
        "total_sat": balances.total_onchain_balance_sats.to_string(),
        "lightning_sat": balances.total_lightning_balance_sats.to_string(),
    })
}

fn connect(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let peer = public_key(params, "node_id")?;
    let address = socket("address", params.str("address")?)?;
    let persist = params.maybe("persist", Params::bool)?.unwrap_or(false);
    node()?
        .node
        .connect(peer, address, persist)
        .map_err(refused)?;
    Ok(json!({}))
}

fn disconnect(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let peer = public_key(params, "node_id")?;
    let deadline = deadline(params, 5_000)?;
    let running = node()?;
    running.node.disconnect(peer).map_err(refused)?;
    // LDK closes the connection soon after; a connect before that would find it open.
    while running
        .node
        .list_peers()
        .iter()
        .any(|p| p.node_id == peer && p.is_connected)
    {
        if Instant::now() >= deadline || running.events.is_closing() {
            return Err(OpError::timeout(format!("{peer} is still connected")).into());
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(json!({}))
}

fn peers(running: &Running) -> Value {
    let peers = running.node.list_peers();
    peers
        .iter()
        .map(|p| {
            json!({
                "node_id": p.node_id.to_string(),
                "address": p.address.to_string(),
                "connected": p.is_connected,
            })
        })
        .collect()
}

fn open_channel(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let peer = public_key(params, "node_id")?;
    let capacity = params.number("capacity_sat")?;
    let push = params.maybe("push_msat", Params::number)?;
    let announce = params.maybe("announce", Params::bool)?.unwrap_or(false);
    let address = params.maybe("address", Params::str)?;
    let address = address.map(|text| socket("address", text)).transpose()?;
    let deadline = deadline(params, 20_000)?;
    let running = node()?;
    let address = match address {
        Some(address) => address,
        None => known_address(&running, peer)?,
    };
    let open = |address| {
        let node = &running.node;
        if announce {
            node.open_announced_channel(peer, address, capacity, push, None)
        } else {
            node.open_channel(peer, address, capacity, push, None)
        }
    };
    let id = open(address).map_err(refused)?;
    let what = format!("channel-pending with {peer}");
    let funding = running.events.wait(deadline, &what, |seen| {
        if seen.extra != Some(id) {
            return None;
        }
        match seen.kind {
            "channel-pending" => Some(Ok(seen.fields["funding"].clone())),
            "channel-closed" => Some(Err(OpError::rejected(format!(
                "the channel was closed before it was funded: {}",
                seen.fields["reason"].as_str().unwrap_or("no reason given")
            )))),
            _ => None,
        }
    })??;
    Ok(json!({ "funding": funding }))
}

fn known_address(running: &Running, peer: PublicKey) -> Result<SocketAddress, OpError> {
    running
        .node
        .list_peers()
        .into_iter()
        .find(|p| p.node_id == peer)
        .map(|p| p.address)
        .ok_or_else(|| OpError::invalid("param address is missing, and the node is no peer yet"))
}

fn channels(running: &Running) -> Value {
    let channels = running.node.list_channels();
    channels
        .iter()
        .map(|c| {
            ResultObject::new()
                .with("peer", c.counterparty_node_id.to_string())
                .with("usable", c.is_usable)
                .with("ready", c.is_channel_ready)
                .with("announced", c.is_announced)
                .with("outbound", c.is_outbound)
                .maybe(
                    "funding",
                    c.funding_txo.map(|o| format!("{}:{}", o.txid, o.vout)),
                )
                .maybe("scid", c.short_channel_id.map(scid))
                .maybe("confirmations", c.confirmations)
                .with("capacity_sat", c.channel_value_sats.to_string())
                .with("outbound_msat", c.outbound_capacity_msat.to_string())
                .with("inbound_msat", c.inbound_capacity_msat.to_string())
                .done()
        })
        .collect()
}

/// Short channel id in its usual form: block, transaction, output.
fn scid(id: u64) -> String {
    format!("{}x{}x{}", id >> 40, id >> 16 & 0xff_ffff, id & 0xffff)
}

fn graph_channels(running: &Running) -> Value {
    let graph = running.node.network_graph();
    let mut ids = graph.list_channels();
    ids.sort_unstable();
    ids.into_iter()
        .filter_map(|id| {
            let channel = graph.channel(id)?;
            let directions = [&channel.one_to_two, &channel.two_to_one];
            Some(json!({
                "scid": scid(id),
                "nodes": [channel.node_one.to_string(), channel.node_two.to_string()],
                "directions": directions.iter().filter(|d| d.is_some()).count(),
            }))
        })
        .collect()
}

fn graph_nodes(running: &Running) -> Value {
    let graph = running.node.network_graph();
    let mut ids = graph.list_nodes();
    ids.sort_unstable();
    ids.into_iter()
        .filter_map(|id| {
            let announced = graph.node(&id)?.announcement_info;
            let object = ResultObject::new().with("node_id", id.to_string());
            let Some(announced) = announced else {
                return Some(object.done());
            };
            let features: Vec<u8> = announced
                .features()
                .le_flags()
                .iter()
                .rev()
                .copied()
                .collect();
            let addresses = announced.addresses().iter().map(ToString::to_string);
            Some(
                object
                    .with("alias", announced.alias().to_string())
                    .with("features", hex(features))
                    .with("addresses", Value::from_iter(addresses))
                    .done(),
            )
        })
        .collect()
}

fn create_invoice(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    if params.maybe("amp", Params::bool)? == Some(true) {
        return Err(Fail::Unsupported("LDK has no AMP".into()));
    }
    let amount = params.maybe("amount_msat", Params::number)?;
    let description = params
        .maybe("description", Params::str)?
        .unwrap_or_default();
    let description = Description::new(description.to_owned())
        .map(Bolt11InvoiceDescription::Direct)
        .map_err(|e| OpError::invalid(format!("param description: {e:?}")))?;
    let expiry = expiry(params)?.unwrap_or(3600);
    if params.maybe("blinded", Params::bool)? == Some(true) {
        return blinded::create(amount, params, node);
    }
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    let hash = params.maybe("payment_hash", Params::array::<32>)?;
    let hash = match (preimage, hash) {
        (Some(_), Some(_)) => {
            return Err(
                OpError::invalid("params preimage and payment_hash exclude another").into(),
            );
        }
        (Some(preimage), None) => Some(sha256::Hash::hash(&preimage).to_byte_array()),
        (None, hash) => hash,
    };
    let running = node()?;
    if let (Some(preimage), Some(hash)) = (preimage, hash) {
        lock(&running.preimages).insert(hash, preimage);
    }
    let payment = running.node.bolt11_payment();
    let invoice = match (amount, hash.map(PaymentHash)) {
        (Some(msat), None) => payment.receive(msat, &description, expiry),
        (Some(msat), Some(hash)) => payment.receive_for_hash(msat, &description, expiry, hash),
        (None, None) => payment.receive_variable_amount(&description, expiry),
        (None, Some(hash)) => payment.receive_variable_amount_for_hash(&description, expiry, hash),
    }
    .map_err(refused)?;
    Ok(json!({
        "invoice": invoice.to_string(),
        "payment_hash": invoice.payment_hash().to_string(),
    }))
}

/// Sends, and remembers where among the events the payment began.
fn send(running: &Running, send: impl FnOnce() -> Result<PaymentId, NodeError>) -> Outcome {
    let last = running.events.last();
    let payment = hex(send().map_err(refused)?.0);
    lock(&running.sent_after).insert(payment.clone(), last);
    Ok(json!({ "payment": payment }))
}

fn pay_invoice(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    if params.maybe("amp", Params::bool)? == Some(true) {
        return Err(Fail::Unsupported("LDK has no AMP".into()));
    }
    let invoice: Bolt11Invoice = params
        .str("invoice")?
        .parse()
        .map_err(|e| OpError::invalid(format!("param invoice: {e:?}")))?;
    let amount = params.maybe("amount_msat", Params::number)?;
    let max_parts = params.maybe("max_parts", Params::u32)?;
    let running = node()?;
    let route = max_parts
        .map(|parts| {
            let max_path_count = u8::try_from(parts)
                .map_err(|_| OpError::invalid(format!("param max_parts is {parts}, above 255")))?;
            Ok::<_, OpError>(
                ldk_node::lightning::routing::router::RouteParametersConfig {
                    max_path_count,
                    ..Default::default()
                },
            )
        })
        .transpose()?;
    let payment = running.node.bolt11_payment();
    send(&running, || match amount {
        Some(msat) => payment.send_using_amount(&invoice, msat, route),
        None => payment.send(&invoice, route),
    })
}

fn keysend(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let to = public_key(params, "to")?;
    let amount = params.number("amount_msat")?;
    let preimage = params
        .maybe("preimage", Params::array::<32>)?
        .map(PaymentPreimage);
    let records: Vec<CustomTlvRecord> = params
        .maybe("records", Params::records)?
        .unwrap_or_default()
        .into_iter()
        .map(|(type_num, value)| CustomTlvRecord { type_num, value })
        .collect();
    let running = node()?;
    let payment = running.node.spontaneous_payment();
    send(&running, || match (preimage, records.is_empty()) {
        (None, true) => payment.send(amount, to, None),
        (None, false) => payment.send_with_custom_tlvs(amount, to, None, records),
        (Some(preimage), true) => payment.send_with_preimage(amount, to, preimage, None),
        (Some(preimage), false) => {
            payment.send_with_preimage_and_custom_tlvs(amount, to, records, preimage, None)
        }
    })
}

fn create_offer(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let amount = params.maybe("amount_msat", Params::number)?;
    let description = params
        .maybe("description", Params::str)?
        .unwrap_or_default();
    let expiry = expiry(params)?;
    let quantity = params.maybe("quantity_max", Params::number)?;
    if params.maybe("async", Params::bool)? == Some(true) {
        return async_offer(params, node);
    }
    let running = node()?;
    let payment = running.node.bolt12_payment();
    let offer = match amount {
        Some(msat) => payment.receive(msat, description, expiry, quantity),
        None if quantity.is_some() => {
            return Err(Fail::Unsupported(
                "ldk-node makes no offer with a quantity and without an amount".into(),
            ));
        }
        None => payment.receive_variable_amount(description, expiry),
    }
    .map_err(refused)?;
    Ok(json!({"offer": offer.to_string()}))
}

/// The offer of an async recipient: LDK builds it with the server that `async.use_server` named.
fn async_offer(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let deadline = deadline(params, 20_000)?;
    let running = node()?;
    loop {
        match running.node.bolt12_payment().receive_async() {
            Ok(offer) => return Ok(json!({"offer": offer.to_string()})),
            Err(e) if Instant::now() >= deadline || running.events.is_closing() => {
                return Err(OpError::timeout(format!(
                    "the static invoice server has not answered by the deadline: {}",
                    refused(e).message
                ))
                .into());
            }
            Err(_) => thread::sleep(LOOK_EVERY),
        }
    }
}

fn pay_offer(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let offer: Offer = params
        .str("offer")?
        .parse()
        .map_err(|e| OpError::invalid(format!("param offer: {e:?}")))?;
    let amount = params.maybe("amount_msat", Params::number)?;
    let quantity = params.maybe("quantity", Params::number)?;
    let note = params.maybe("note", Params::str)?.map(str::to_owned);
    for chosen in ["records", "preimage"] {
        if params.get(chosen).is_some() {
            return Err(Fail::Unsupported(format!(
                "LDK takes no {chosen} for a payment of an offer: it sends no custom records there, \
                 and draws the preimage of an async payment itself"
            )));
        }
    }
    let running = node()?;
    let payment = running.node.bolt12_payment();
    send(&running, || match amount {
        Some(msat) => payment.send_using_amount(&offer, msat, quantity, note, None),
        None => payment.send(&offer, quantity, note, None),
    })
}

fn create_refund(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let amount = params.number("amount_msat")?;
    let expiry = expiry(params)?.unwrap_or(3600);
    let quantity = params.maybe("quantity", Params::number)?;
    let note = params.maybe("note", Params::str)?.map(str::to_owned);
    // ldk-node's refunds have no description of the caller's; its note is what there is.
    let note = note.or(params.maybe("description", Params::str)?.map(str::to_owned));
    let running = node()?;
    let payment = running.node.bolt12_payment();
    let _one_at_a_time = lock(&running.refund);
    let last = running.events.last();
    let before = refunds(&running);
    let refund = payment
        .initiate_refund(amount, expiry, quantity, note, None)
        .map_err(refused)?;
    let new: Vec<PaymentId> = refunds(&running).difference(&before).copied().collect();
    let payment = match new[..] {
        [id] => hex(id.0),
        _ => return Err(OpError::internal("ldk-node does not list the new refund").into()),
    };
    lock(&running.sent_after).insert(payment.clone(), last);
    Ok(json!({"refund": refund.to_string(), "payment": payment}))
}

fn refunds(running: &Running) -> HashSet<PaymentId> {
    let refund = |p: &&PaymentDetails| {
        p.direction == PaymentDirection::Outbound
            && matches!(p.kind, PaymentKind::Bolt12Refund { .. })
    };
    running
        .node
        .list_payments_with_filter(refund)
        .into_iter()
        .map(|p| p.id)
        .collect()
}

fn pay_refund(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let refund: Refund = params
        .str("refund")?
        .parse()
        .map_err(|e| OpError::invalid(format!("param refund: {e:?}")))?;
    let running = node()?;
    let invoice = running
        .node
        .bolt12_payment()
        .request_refund_payment(&refund)
        .map_err(refused)?;
    let hash = hex(invoice.payment_hash().0);
    Ok(json!({"payment": hash, "payment_hash": hash, "invoice": hex(invoice.encode())}))
}

/// The BOLT 12 invoice of a payment that this node sends, and the key that asked for it.
fn paid_invoice(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let id = PaymentId(params.array::<32>("payment")?);
    let running = node()?;
    let kind = running.node.payment(&id).map(|p| p.kind);
    let hash = match kind {
        Some(PaymentKind::Bolt12Offer { hash, .. } | PaymentKind::Bolt12Refund { hash, .. }) => {
            hash
        }
        Some(_) => {
            return Err(OpError::rejected("the payment is not for a BOLT 12 invoice").into());
        }
        None => return Err(OpError::rejected("the node knows no such payment").into()),
    };
    let none = "no HTLC has been sent for the payment since the node was started";
    let seen = lock(&running.seen);
    let invoice = hash.and_then(|hash| seen.invoices.get(&hash.0));
    let invoice = invoice.ok_or_else(|| OpError::rejected(none))?;
    let payer = Bolt12Invoice::try_from(invoice.clone())
        .map_err(|e| OpError::internal(format!("the invoice cannot be read again: {e:?}")))?
        .payer_signing_pubkey();
    let secret = match (running.seed, seen.nonces.get(&payer)) {
        (Some(seed), Some(nonce)) => payer_key::secret(&seed, nonce, invoice)?,
        _ => None,
    };
    Ok(ResultObject::new()
        .with("invoice", hex(invoice))
        .maybe("payer_secret", secret.map(hex))
        .done())
}

fn server_paths(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let recipient = params.hex("recipient")?;
    let running = node()?;
    let payment = running.node.bolt12_payment();
    let paths = payment
        .blinded_paths_for_async_recipient(recipient)
        .map_err(refused)?;
    let paths: Vec<String> = paths.iter().map(|p| hex(p.encode())).collect();
    Ok(json!({ "paths": paths }))
}

fn use_server(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let mut paths = Vec::new();
    for path in params.list("paths")? {
        let bytes = Params::new(&json!({ "path": path })).hex("path")?;
        let path = BlindedMessagePath::read_from_fixed_length_buffer(&mut &bytes[..])
            .map_err(|e| OpError::invalid(format!("param paths: {e:?}")))?;
        paths.push(path);
    }
    let running = node()?;
    running
        .node
        .bolt12_payment()
        .set_paths_to_static_invoice_server(paths)
        .map_err(refused)?;
    Ok(json!({}))
}

fn wait_payment(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let id = PaymentId(params.array::<32>("payment")?);
    let deadline = deadline(params, 25_000)?;
    let running = node()?;
    let Some(stored) = running.node.payment(&id) else {
        return Err(OpError::rejected("the node knows no such payment").into());
    };
    let payment = hex(id.0);
    let sent = lock(&running.sent_after).get(&payment).copied();
    let after = sent.unwrap_or(0);
    let ended = |seen: &Seen| {
        if seen.seq <= after || seen.payment.as_ref() != Some(&payment) {
            return None;
        }
        let fields = Params::new(&seen.fields);
        let base = ResultObject::new().maybe("payment_hash", fields.get("payment_hash").cloned());
        match seen.kind {
            "payment-sent" => Some(
                base.with("status", "succeeded")
                    .maybe("preimage", fields.get("preimage").cloned())
                    .maybe("fee_msat", fields.get("fee_msat").cloned())
                    .done(),
            ),
            "payment-received" => Some(
                base.with("status", "succeeded")
                    .maybe("amount_msat", fields.get("amount_msat").cloned())
                    .done(),
            ),
            "payment-failed" => Some(
                base.with("status", "failed")
                    .with(
                        "failure",
                        ResultObject::new()
                            .maybe("reason", fields.get("reason").cloned())
                            .done(),
                    )
                    .done(),
            ),
            _ => None,
        }
    };
    if let Some(result) = running.events.find(ended) {
        return Ok(result);
    }
    // It may have ended in an earlier life of the node, of which there are no events. Of what this
    // one sent there will be one, which says more than the store does.
    if sent.is_none()
        && let Some(result) = stored_end(&stored)
    {
        return Ok(result);
    }
    Ok(running
        .events
        .wait(deadline, &format!("end of payment {payment}"), ended)?)
}

fn stored_end(stored: &PaymentDetails) -> Option<Value> {
    let (hash, preimage) = match &stored.kind {
        PaymentKind::Bolt11 { hash, preimage, .. }
        | PaymentKind::Bolt11Jit { hash, preimage, .. }
        | PaymentKind::Spontaneous { hash, preimage } => (Some(*hash), *preimage),
        PaymentKind::Bolt12Offer { hash, preimage, .. }
        | PaymentKind::Bolt12Refund { hash, preimage, .. } => (*hash, *preimage),
        PaymentKind::Onchain { .. } => (None, None),
    };
    let base = ResultObject::new().maybe("payment_hash", hash.map(|h| hex(h.0)));
    match stored.status {
        PaymentStatus::Pending => None,
        PaymentStatus::Succeeded => Some(
            base.with("status", "succeeded")
                .maybe("preimage", preimage.map(|p| hex(p.0)))
                .maybe("fee_msat", stored.fee_paid_msat.map(|v| v.to_string()))
                .done(),
        ),
        PaymentStatus::Failed => Some(
            base.with("status", "failed")
                .with("failure", json!({}))
                .done(),
        ),
    }
}

fn settle(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let preimage = PaymentPreimage(params.array::<32>("preimage")?);
    let running = node()?;
    let Some((seq, amount)) = held(&running, &hex(hash)) else {
        return Err(OpError::rejected("no payment with this hash is held").into());
    };
    let payment = running.node.bolt11_payment();
    payment
        .claim_for_hash(PaymentHash(hash), amount, preimage)
        .map_err(refused)?;
    lock(&running.released).insert(seq);
    Ok(json!({}))
}

fn cancel(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let running = node()?;
    let Some((seq, _)) = held(&running, &hex(hash)) else {
        return Err(OpError::rejected("no payment with this hash is held").into());
    };
    let payment = running.node.bolt11_payment();
    payment.fail_for_hash(PaymentHash(hash)).map_err(refused)?;
    lock(&running.released).insert(seq);
    Ok(json!({}))
}

/// Event and amount of the payment that is held for a hash. The latest counts: an invoice may be
/// paid again after its payment was cancelled.
fn held(running: &Running, hash: &str) -> Option<(u32, u64)> {
    let (seq, amount) = running.events.find_last(|seen| {
        if seen.kind != "payment-held" || seen.fields["payment_hash"] != hash {
            return None;
        }
        Some((seen.seq, Params::new(&seen.fields).u64("amount_msat").ok()?))
    })?;
    (!lock(&running.released).contains(&seq)).then_some((seq, amount))
}

fn next_event(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    // Wrong params are told before a missing node is.
    Query::read(params)?;
    node()?.events.next(params)
}

fn list_events(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    Query::read(params)?;
    node()?.events.list(params)
}

/// The message's bytes; only LDK's own scheme is there.
fn message(params: Params<'_>) -> Result<Vec<u8>, Fail> {
    let bytes = params.hex("message")?;
    match params.maybe("algorithm", Params::str)? {
        None | Some("lightning-signed-message") => Ok(bytes),
        Some(other) => Err(Fail::Unsupported(format!(
            "ldk-node signs lightning-signed-message, not {other}"
        ))),
    }
}

fn sign_message(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let message = message(params)?;
    Ok(json!({"signature": node()?.node.sign_message(&message)}))
}

fn verify_message(params: Params<'_>, node: impl Fn() -> Result<Arc<Running>, Fail>) -> Outcome {
    let message = message(params)?;
    let signature = params.str("signature")?;
    let key = match params.get("public_key") {
        Some(_) => Some(public_key(params, "public_key")?),
        None => None,
    };
    let running = node()?;
    let key = key.unwrap_or_else(|| running.node.node_id());
    Ok(json!({"valid": running.node.verify_signature(&message, signature, &key)}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_protocol::ErrorKind;

    fn ask(op: &str, params: Value) -> Result<Value, Fail> {
        call(op, Params::new(&params), || {
            Err(OpError::rejected("no node").into())
        })
    }

    fn error(op: &str, params: Value) -> OpError {
        match ask(op, params.clone()) {
            Err(Fail::Error(e)) => e,
            other => panic!("{op} {params}: {other:?}"),
        }
    }

    const KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    #[test]
    fn params_are_judged_before_there_is_a_node() {
        for (op, params, named) in [
            ("chain.sync", json!({"height": "5"}), "height"),
            (
                "peer.connect",
                json!({"node_id": "02", "address": "127.0.0.1:1"}),
                "node_id",
            ),
            (
                "peer.connect",
                json!({"node_id": KEY, "address": "nowhere"}),
                "address",
            ),
            (
                "channel.open",
                json!({"node_id": KEY, "capacity_sat": "-1"}),
                "capacity_sat",
            ),
            (
                "keysend.send",
                json!({"to": KEY, "amount_msat": "x"}),
                "amount_msat",
            ),
            (
                "keysend.send",
                json!({"to": KEY, "amount_msat": "1", "preimage": "00"}),
                "preimage",
            ),
            ("offer.pay", json!({"offer": "lno1x"}), "offer"),
            ("refund.pay", json!({"refund": "lnr1x"}), "refund"),
            ("invoice.pay", json!({"invoice": "lnbcrt1x"}), "invoice"),
            ("offer.create", json!({"expiry": "4294967296"}), "expiry"),
            ("event.next", json!({"kinds": [1]}), "kinds"),
            ("async.use_server", json!({"paths": ["00"]}), "paths"),
        ] {
            let e = error(op, params.clone());
            assert_eq!(e.kind, ErrorKind::Invalid, "{op} {params}: {e:?}");
            assert!(e.message.contains(named), "{op} {params}: {e:?}");
        }
    }

    #[test]
    fn right_params_are_only_stopped_by_the_missing_node() {
        for (op, params) in [
            ("chain.sync", json!({"height": 5})),
            (
                "peer.connect",
                json!({"node_id": KEY, "address": "127.0.0.1:1"}),
            ),
            (
                "channel.open",
                json!({"node_id": KEY, "capacity_sat": "100000"}),
            ),
            (
                "keysend.send",
                json!({"to": KEY, "amount_msat": "1", "records": []}),
            ),
            (
                "event.next",
                json!({"kinds": ["payment-received"], "after": 3}),
            ),
        ] {
            let e = error(op, params);
            assert_eq!(
                (e.kind, &e.message[..]),
                (ErrorKind::Rejected, "no node"),
                "{op}"
            );
        }
    }

    /// An offer of an issuer that nobody runs.
    const OFFER: &str = "lno1qgsqvgnwgcg35z6ee2h3yczraddm72xrfua9uve2rlrm9deu7xyfzrcgqtp4qzswfahx2grrw4czqmmxyp6x2cgwqn6gv4cqzcssx0x93p99a20lqv37zkuzgvnxf8zj8watajgmwkdjnewdqea5mc6y";

    #[test]
    fn what_ldk_lacks_is_unsupported() {
        for (op, params) in [
            ("invoice.create", json!({"amp": true})),
            ("invoice.pay", json!({"amp": true, "invoice": "x"})),
            ("offer.pay", json!({"offer": OFFER, "records": []})),
            (
                "offer.pay",
                json!({"offer": OFFER, "preimage": "00".repeat(32)}),
            ),
            (
                "message.sign",
                json!({"message": "00", "algorithm": "bip340"}),
            ),
        ] {
            assert!(matches!(ask(op, params), Err(Fail::Unsupported(_))), "{op}");
        }
    }

    #[test]
    fn short_channel_ids_are_split_at_the_right_bits() {
        assert_eq!(scid(550), "0x0x550");
        assert_eq!(scid(103 << 40 | 2 << 16 | 1), "103x2x1");
    }
}
