//! The operations of a running node.

use crate::blind;
use crate::messages::async_wire;
use crate::messages::invoice_server;
use crate::messages::static_invoice;
use crate::misbehave::Plan;
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::now;
use crate::node::net;
use crate::payee::{Invoice, MIN_FINAL_DELTA};
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{PublicKey, Secp256k1};
use lightning03::bolt11_invoice::{Bolt11Invoice, Currency, InvoiceBuilder};
use lightning03::routing::gossip::NodeId;
use lightning03::types::payment::{PaymentHash, PaymentPreimage, PaymentSecret};
use lnconform_drafts::failure::code;
use lnconform_drafts::keys;
use lnconform_drafts::payload::kind;
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::events::Query;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use lnconform_spec::misbehaviours::{self, Misbehaviour};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How often something is looked at that tells nothing by itself.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a peer may take to say init before it is connected to once more.
const CONNECT_AGAIN: Duration = Duration::from_secs(2);
/// Blocks that the last HTLC has left, unless a step says otherwise.
pub(crate) const FINAL_DELTA: u32 = 80;

/// Operations by which the node has something to remember that LDK knows nothing of.
const REMEMBERED: [&str; 8] = [
    "invoice.create",
    "amp.send",
    "payment.cancel",
    "tunnel.pool",
    "tunnel.assign",
    "tunnel.pay",
    "tunnel.settle",
    crate::fulfillment::NEXT,
];

/// Answers one operation; `node` is asked for once the params have been read.
pub fn call(op: &str, params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let answer = perform(op, params, &node);
    if answer.is_ok()
        && REMEMBERED.contains(&op)
        && let Ok(node) = node()
    {
        // What was answered, a restart must not forget.
        node.save(true);
    }
    answer
}

fn perform(op: &str, params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    match op {
        "chain.sync" => chain_sync(params, node),
        "wallet.new_address" => Ok(json!({"address": lock(&node()?.wallet).address().to_string()})),
        "wallet.balance" => {
            Ok(json!({"confirmed_sat": lock(&node()?.wallet).balance().to_string()}))
        }
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
        "amp.send" => crate::amp::send(params, node),
        "receipt.send" => crate::proofs::send(params, node),
        "probe.clock" => clock(params, node),
        crate::fulfillment::NEXT => crate::fulfillment::next(params, node),
        _ if crate::proofs::pool::OPERATIONS.contains(&op) => {
            crate::proofs::pool::call(op, params, node)
        }
        "offer.create" | "offer.request" | "offer.pay" | "refund.create" | "refund.pay" => {
            crate::messages::offers::call(op, params, node)
        }
        "dns.serve" | "dns.query" => crate::messages::dns::call(op, params, node),
        blind::PAY => blind::pay(params, node),
        "payment.wait" => wait_payment(params, node),
        "payment.settle" => settle(params, node),
        "payment.cancel" => cancel(params, node),
        "async.offer" => static_invoice::offer(params, node),
        "async.path" => async_wire::path(params, node),
        "async.send" => async_wire::send(params, node),
        "async.hold" => async_wire::hold(params, node),
        invoice_server::PATHS => invoice_server::server_paths(params, node),
        invoice_server::USE => invoice_server::use_server(params, node),
        "async.update_invoice" => invoice_server::update(params, node),
        "probe.transcript" => crate::node::dialogue::transcript(params, node),
        "event.next" => {
            Query::read(params)?;
            node()?.hook.events.next(params)
        }
        "event.list" => {
            Query::read(params)?;
            node()?.hook.events.list(params)
        }
        _ => Err(Fail::Unsupported(format!(
            "the probe has no operation {op}"
        ))),
    }
}

fn deadline(params: Params<'_>, default_ms: u32) -> Result<Instant, OpError> {
    let ms = params.maybe("deadline_ms", Params::u32)?;
    Ok(Instant::now() + Duration::from_millis(ms.unwrap_or(default_ms).into()))
}

pub(crate) fn public_key(params: Params<'_>, name: &str) -> Result<PublicKey, OpError> {
    PublicKey::from_slice(&params.array::<33>(name)?)
        .map_err(|e| OpError::invalid(format!("param {name} is no public key: {e}")))
}

/// Waits until `done` answers something; `state` says what there is instead.
fn until<T>(
    node: &Node,
    deadline: Instant,
    mut done: impl FnMut() -> Option<T>,
    state: impl Fn() -> String,
) -> Result<T, OpError> {
    loop {
        if let Some(value) = done() {
            return Ok(value);
        }
        if Instant::now() >= deadline || node.hook.events.is_closing() {
            return Err(OpError::timeout(state()));
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn chain_sync(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let wanted = params.u32("height")?;
    let deadline = deadline(params, 25_000)?;
    let node = node()?;
    loop {
        let height = node.look()?;
        if height >= wanted {
            return Ok(json!({ "height": height }));
        }
        if Instant::now() >= deadline || node.hook.events.is_closing() {
            return Err(OpError::timeout(format!(
                "height {wanted} was not reached by the deadline: it is {height}"
            ))
            .into());
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn is_connected(node: &Node, peer: &PublicKey) -> bool {
    node.peers.peer_by_node_id(peer).is_some()
}

fn connect(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let peer = public_key(params, "node_id")?;
    let address = params.loopback("address")?;
    let deadline = deadline(params, 20_000)?;
    let node = node()?;
    connect_to(&node, peer, address, deadline)?;
    Ok(json!({}))
}

fn connect_to(
    node: &Arc<Node>,
    peer: PublicKey,
    address: SocketAddr,
    deadline: Instant,
) -> Result<(), OpError> {
    lock(&node.addresses).insert(peer, address.to_string());
    if is_connected(node, &peer) {
        return Ok(());
    }
    net::connect(node, peer, address)
        .map_err(|e| OpError::rejected(format!("no connection to {address}: {e}")))?;
    let mut tried = Instant::now();
    until(
        node,
        deadline,
        || {
            if is_connected(node, &peer) {
                return Some(());
            }
            // A peer that has not noticed the end of an earlier connection drops the new one.
            if tried.elapsed() > CONNECT_AGAIN {
                tried = Instant::now();
                if let Err(e) = net::connect(node, peer, address) {
                    eprintln!("adapter: no connection to {address}: {e}");
                }
            }
            None
        },
        || format!("{peer} at {address} has not said init by the deadline"),
    )
}

fn disconnect(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let peer = public_key(params, "node_id")?;
    let deadline = deadline(params, 5_000)?;
    let node = node()?;
    node.peers.disconnect_by_node_id(peer);
    until(
        &node,
        deadline,
        || (!is_connected(&node, &peer)).then_some(()),
        || format!("{peer} is still connected"),
    )?;
    Ok(json!({}))
}

fn peers(node: &Node) -> Value {
    let addresses = lock(&node.addresses);
    let list = node.peers.list_peers();
    list.iter()
        .map(|peer| {
            let id = peer.counterparty_node_id;
            ResultObject::new()
                .with("node_id", id.to_string())
                .maybe("address", addresses.get(&id).cloned())
                .with("connected", true)
                .done()
        })
        .collect()
}

fn open_channel(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let peer = public_key(params, "node_id")?;
    let capacity = params.number("capacity_sat")?;
    let push = params.maybe("push_msat", Params::number)?.unwrap_or(0);
    let announce = params.maybe("announce", Params::bool)?.unwrap_or(false);
    let address = params.maybe("address", Params::loopback)?;
    let deadline = deadline(params, 20_000)?;
    let node = node()?;
    if let Some(address) = address {
        connect_to(&node, peer, address, deadline)?;
    }
    let mut config = node.cm.get_current_config();
    config.channel_handshake_config.announce_for_forwarding = announce;
    let last = node.hook.events.last();
    node.cm
        .create_channel(peer, capacity, push, 0, None, Some(config))
        .map_err(|e| OpError::rejected(format!("LDK opens no channel: {e:?}")))?;
    node.peers.process_events();
    let peer = peer.to_string();
    let what = format!("channel-pending with {peer}");
    let funding = node.hook.events.wait(deadline, &what, |seen| {
        if seen.seq <= last || seen.fields["peer"] != peer.as_str() {
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

fn channels(node: &Node) -> Value {
    let channels = node.cm.list_channels();
    channels
        .iter()
        .map(|c| {
            let htlcs = c.pending_inbound_htlcs.len() + c.pending_outbound_htlcs.len();
            ResultObject::new()
                .with("peer", c.counterparty.node_id.to_string())
                .with("usable", c.is_usable)
                .with("ready", c.is_channel_ready)
                .with("announced", c.is_announced)
                .with("outbound", c.is_outbound)
                .maybe(
                    "funding",
                    c.funding_txo.map(|o| format!("{}:{}", o.txid, o.index)),
                )
                .maybe("scid", c.short_channel_id.map(scid))
                .with("capacity_sat", c.channel_value_satoshis.to_string())
                .with("outbound_msat", c.outbound_capacity_msat.to_string())
                .with("inbound_msat", c.inbound_capacity_msat.to_string())
                .with("htlcs", htlcs)
                .done()
        })
        .collect()
}

/// Short channel id in its usual form: block, transaction, output.
fn scid(id: u64) -> String {
    format!("{}x{}x{}", id >> 40, id >> 16 & 0xff_ffff, id & 0xffff)
}

fn graph_channels(node: &Node) -> Value {
    let graph = node.graph.read_only();
    let mut all: Vec<_> = graph.channels().unordered_iter().collect();
    all.sort_unstable_by_key(|(id, _)| **id);
    all.into_iter()
        .map(|(id, channel)| {
            let directions = [&channel.one_to_two, &channel.two_to_one];
            json!({
                "scid": scid(*id),
                "nodes": [channel.node_one.to_string(), channel.node_two.to_string()],
                "directions": directions.iter().filter(|d| d.is_some()).count(),
            })
        })
        .collect()
}

fn graph_nodes(node: &Node) -> Value {
    let graph = node.graph.read_only();
    let mut all: Vec<(NodeId, _)> = graph
        .nodes()
        .unordered_iter()
        .map(|(id, info)| (*id, info.announcement_info.clone()))
        .collect();
    all.sort_unstable_by_key(|(id, _)| *id);
    all.into_iter()
        .map(|(id, announced)| {
            let object = ResultObject::new().with("node_id", id.to_string());
            let Some(announced) = announced else {
                return object.done();
            };
            let features: Vec<u8> = announced
                .features()
                .le_flags()
                .iter()
                .rev()
                .copied()
                .collect();
            let addresses = announced.addresses().iter().map(ToString::to_string);
            object
                .with("alias", announced.alias().to_string())
                .with("features", hex(features))
                .with("addresses", Value::from_iter(addresses))
                .done()
        })
        .collect()
}

/// `probe.clock`: `ahead`, the seconds by which the payee's clock is ahead from now on → `now`.
fn clock(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let ahead = params.number("ahead")?;
    let node = node()?;
    node.hook.ahead.store(ahead, Ordering::Relaxed);
    Ok(json!({"now": node.hook.now().to_string()}))
}

pub(crate) fn create_invoice(
    params: Params<'_>,
    node: impl Fn() -> Result<Arc<Node>, Fail>,
) -> Outcome {
    if params.maybe("amp", Params::bool)? == Some(true) {
        return crate::amp::create(params, node);
    }
    if params.maybe("blinded", Params::bool)? == Some(true) {
        return blind::create(params, node);
    }
    if let Some(name) = misbehaviour(params, blind::CREATE)? {
        let why = format!("param misbehave is {name}, which needs param blinded");
        return Err(OpError::invalid(why).into());
    }
    let amount = params.maybe("amount_msat", Params::number)?;
    let description = params
        .maybe("description", Params::str)?
        .unwrap_or_default();
    let expiry = params.maybe("expiry", Params::number)?.unwrap_or(3600);
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    let hash = params.maybe("payment_hash", Params::array::<32>)?;
    if preimage.is_some() && hash.is_some() {
        return Err(OpError::invalid("params preimage and payment_hash exclude another").into());
    }
    let node = node()?;
    let (preimage, hash) = match (preimage, hash) {
        (None, Some(hash)) => (None, hash),
        (preimage, _) => {
            let preimage = preimage.unwrap_or_else(|| node.hook.draw());
            (Some(preimage), keys::sha256(&[&preimage]))
        }
    };
    let secret = node.hook.draw();
    let mut builder = InvoiceBuilder::new(Currency::Regtest)
        .description(description.to_owned())
        .payment_hash(PaymentHash(hash))
        .payment_secret(PaymentSecret(secret))
        .duration_since_epoch(Duration::from_secs(now()))
        .min_final_cltv_expiry_delta(MIN_FINAL_DELTA.into())
        .expiry_time(Duration::from_secs(expiry))
        .basic_mpp();
    if let Some(msat) = amount {
        builder = builder.amount_milli_satoshis(msat);
    }
    let key = node.hook.secret;
    let secp = Secp256k1::new();
    let invoice = builder
        .build_signed(|message| secp.sign_ecdsa_recoverable(message, &key))
        .map_err(|e| OpError::invalid(format!("no invoice can be made of this: {e}")))?;
    let expected = Invoice {
        preimage,
        secret,
        amount_msat: amount,
    };
    lock(&node.hook.payee).expect(hash, expected);
    Ok(json!({"invoice": invoice.to_string(), "payment_hash": hex(hash)}))
}

/// Amounts of the parts, in msat: all of it in one where none are given.
pub(crate) fn parts(params: Params<'_>, amount: u64) -> Result<Vec<u64>, OpError> {
    if params.get("parts").is_none() {
        return Ok(vec![amount]);
    }
    let parts = params.list("parts")?;
    if parts.is_empty() {
        return Err(OpError::invalid("param parts is empty"));
    }
    parts
        .iter()
        .map(|part| Params::new(part).number("amount_msat"))
        .collect()
}

/// The wrong that a step asks for, if it does.
pub(crate) fn misbehaviour(params: Params<'_>, op: &str) -> Result<Option<String>, OpError> {
    let Some(name) = params.maybe("misbehave", Params::str)? else {
        return Ok(None);
    };
    match misbehaviours::find(name) {
        Some(known) if known.operations.iter().any(|o| o == op) => Ok(Some(known.name)),
        Some(_) => Err(OpError::invalid(format!(
            "param misbehave is {name}, which is nothing that {op} can do"
        ))),
        None => Err(OpError::invalid(format!(
            "param misbehave is {name}, which the probe does not know"
        ))),
    }
}

pub(crate) fn apply(plan: &mut Plan, name: Option<&str>) -> Result<(), OpError> {
    match name {
        Some(name)
            if !crate::proofs::lies::fits(plan, name)
                || !crate::proofs::tunnel::fits(plan, name) =>
        {
            Err(OpError::invalid(format!(
                "param misbehave is {name}, and the payment has no well-formed record of that kind"
            )))
        }
        Some(name) => {
            let before = format!("{plan:?}");
            if !plan.misbehave(name) {
                return Err(OpError::internal(format!(
                    "the probe has {name} in its list and does not know how"
                )));
            }
            let known = misbehaviours::find(name);
            let is = |field: fn(&Misbehaviour) -> bool| known.as_ref().is_some_and(field);
            let idle = plan.parts.len() < 2 && is(|m| m.needs_parts);
            let same = format!("{plan:?}") == before && !is(|m| m.in_step);
            if idle || same {
                return Err(OpError::invalid(format!(
                    "param misbehave is {name}, which changes nothing in this payment"
                )));
            }
            Ok(())
        }
        None => Ok(()),
    }
}

fn keysend(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let to = public_key(params, "to")?;
    let amount = params.number("amount_msat")?;
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    let delta = params.maybe("final_cltv_delta", Params::u32)?;
    let secret = params.maybe("payment_secret", Params::array::<32>)?;
    let total = params.maybe("total_msat", Params::number)?;
    let amounts = parts(params, amount)?;
    let misbehaviour = misbehaviour(params, "keysend.send")?;
    let hold = params.maybe("hold", Params::bool)?.unwrap_or(false);
    let early = params.maybe("release_early", Params::bool)?;
    let node = node()?;
    let preimage = preimage.unwrap_or_else(|| node.hook.draw());
    let hash = keys::sha256(&[&preimage]);
    let mut plan = Plan::new(to, hash, amounts, delta.unwrap_or(FINAL_DELTA));
    plan.keysend = Some(preimage.to_vec());
    let records = records
        .into_iter()
        .map(|(kind, value)| Record::new(kind, value));
    plan.records = records.collect();
    if secret.is_some() || plan.parts.len() > 1 {
        plan.with_secret(secret.unwrap_or_else(|| node.hook.draw()));
    }
    if let Some(total) = total {
        plan.with_total(total);
    }
    apply(&mut plan, misbehaviour.as_deref())?;
    if !plan.again {
        // bLIP 3, sender: a preimage is new, and not one that an invoice was paid for.
        if lock(&node.invoices_paid).contains(&hash) {
            return Err(
                OpError::rejected("the preimage is that of an invoice that was paid")
                    .with_rule("blip-0003/sender/no-invoice-preimage")
                    .into(),
            );
        }
        if lock(&node.used).contains(&preimage) {
            return Err(OpError::rejected("the preimage was used before")
                .with_rule("blip-0003/sender/fresh-preimage")
                .into());
        }
    }
    lock(&node.proofs)
        .sending(&plan)
        .map_err(|v| OpError::rejected(v.message).with_rule(v.rule))?;
    lock(&node.used).insert(preimage);
    if hold {
        lock(&node.hook.wire).ask(plan.hash(), early.unwrap_or(false));
    }
    start(&node, &plan)
}

pub(crate) fn start(node: &Node, plan: &Plan) -> Outcome {
    let most = plan.parts.iter().map(|part| part.amount_msat).max();
    let route = node.route(plan.to, most.unwrap_or(0))?;
    if plan.to_forwarder.is_some() && route.is_empty() {
        let why = "param misbehave is for somebody who passes the payment on, and nobody does";
        return Err(OpError::invalid(why).into());
    }
    let shots = plan.shots(&route, || node.hook.draw_key());
    let payment = hex(node.hook.draw());
    node.send(&payment, shots);
    Ok(json!({"payment": payment, "payment_hash": hex(plan.hash())}))
}

fn pay_invoice(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    if crate::amp::is_amp(params.str("invoice")?) {
        return crate::amp::pay(params, node);
    }
    let invoice: Bolt11Invoice = params
        .str("invoice")?
        .parse()
        .map_err(|e| OpError::invalid(format!("param invoice: {e:?}")))?;
    let given = params.maybe("amount_msat", Params::number)?;
    let amount = invoice.amount_milli_satoshis().or(given);
    let amount = amount.ok_or_else(|| OpError::invalid("param amount_msat is missing"))?;
    let amounts = parts(params, given.unwrap_or(amount))?;
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    let misbehaviour = misbehaviour(params, "invoice.pay")?;
    let node = node()?;
    let to = invoice
        .payee_pub_key()
        .copied()
        .unwrap_or_else(|| invoice.recover_payee_pub_key());
    let hash = invoice.payment_hash().0;
    let delta = u32::try_from(invoice.min_final_cltv_expiry_delta()).unwrap_or(u32::MAX);
    let delta = params
        .maybe("final_cltv_delta", Params::u32)?
        .unwrap_or(delta);
    if params.get("trampolines").is_some() {
        let (secret, lie) = (invoice.payment_secret().0, misbehaviour.as_deref());
        return crate::trampoline::pr836::pay(
            params,
            &node,
            hash,
            secret,
            (to, amount, delta),
            lie,
        );
    }
    let mut plan = Plan::new(to, hash, amounts, delta);
    plan.with_secret(invoice.payment_secret().0);
    let records = records.into_iter();
    plan.records
        .extend(records.map(|(kind, value)| Record::new(kind, value)));
    if let Some(metadata) = invoice.payment_metadata() {
        plan.records
            .push(Record::new(kind::METADATA, metadata.clone()));
    }
    apply(&mut plan, misbehaviour.as_deref())?;
    lock(&node.invoices_paid).insert(hash);
    start(&node, &plan)
}

fn wait_payment(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let payment = hex(params.array::<32>("payment")?);
    let deadline = deadline(params, 25_000)?;
    let node = node()?;
    if !lock(&node.hook.book).knows(&payment) {
        return Err(OpError::rejected("the node knows no such payment").into());
    }
    let what = format!("end of payment {payment}");
    Ok(node.hook.events.wait(deadline, &what, |seen| {
        let ours = seen.payment.as_ref() == Some(&payment);
        ours.then(|| seen.fields.clone())
    })?)
}

fn settle(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let preimage = params.array::<32>("preimage")?;
    if sha256::Hash::hash(&preimage).to_byte_array() != hash {
        return Err(OpError::invalid("param preimage does not open param payment_hash").into());
    }
    let node = node()?;
    if !lock(&node.held).remove(&hash) {
        return Err(OpError::rejected("no payment with this hash is held").into());
    }
    node.cm
        .claim_funds_with_known_custom_tlvs(PaymentPreimage(preimage));
    Ok(json!({}))
}

fn cancel(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let given = params.maybe("code", Params::u32)?;
    let malformed = params.maybe("malformed", Params::bool)?.unwrap_or(false);
    let data = params.maybe("data", Params::hex)?.unwrap_or_default();
    let wrong = misbehaviour(params, crate::failures::CANCEL)?;
    if malformed && wrong.is_some() {
        let why = "params malformed and misbehave exclude another";
        return Err(OpError::invalid(why).into());
    }
    let node = node()?;
    if node.hook.give_up_held(&hash) || lock(&node.hook.payee).amp.close(&hash) {
        return Ok(json!({}));
    }
    if !lock(&node.held).remove(&hash) {
        return Err(OpError::rejected("no payment with this hash is held").into());
    }
    let set = lock(&node.hook.payee).failed(&hash);
    let code = given
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS);
    if malformed {
        lock(&node.hook.book).fail_malformed(&hash, code);
        return Ok(json!({"code": code}));
    }
    let mut failure = code.to_be_bytes().to_vec();
    if code == code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS {
        let amount = set.map_or(0, |set| set.amount_msat);
        failure.extend(amount.to_be_bytes());
        failure.extend(node.hook.height().to_be_bytes());
    }
    failure.extend(data);
    let mut book = lock(&node.hook.book);
    if let Some(name) = &wrong {
        book.garble(&hash, name);
    }
    if given.is_some() {
        book.unmask(&hash);
    }
    book.fail_with(&hash, &failure);
    Ok(json!({"code": code}))
}
