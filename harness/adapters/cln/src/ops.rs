//! The operations of a running node.

use crate::node::Running;
use crate::pay;
use crate::rpc::CallError;
use lnconform_adapter_process::{
    Access, KEYSEND_ONION, OpenChannel, deadline, disconnected, entries, key, label, lacks, number,
    signed_message, sum, until,
};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

type Node<'a> = Access<'a, Running>;

/// Answers one operation; `node` is asked for once the params have been read.
pub(crate) fn call(op: &str, params: Params<'_>, node: Node<'_>) -> Outcome {
    match op {
        "chain.sync" => chain_sync(params, node),
        "wallet.new_address" => new_address(node),
        "wallet.balance" => balance(node),
        "peer.connect" => connect(params, node),
        "peer.disconnect" => disconnect(params, node),
        "peer.list" => peers(node),
        "channel.open" => open_channel(params, node),
        "channel.list" => channels(node),
        "graph.channels" => graph_channels(node),
        "graph.nodes" => graph_nodes(node),
        "invoice.create" => create_invoice(params, node),
        "invoice.lookup" => lookup_invoice(params, node),
        "invoice.pay" => pay_invoice(params, node),
        "keysend.send" => keysend(params, node),
        "offer.create" => create_offer(params, node),
        "offer.pay" => pay_offer(params, node),
        "payment.wait" => {
            // Wrong params are told before a missing node is.
            params.str("payment")?;
            pay::wait(params, &*node()?)
        }
        "payment.invoice" => {
            params.str("payment")?;
            pay::invoice_of(params, &*node()?)
        }
        "message.sign" => sign(params, node),
        "message.verify" => verify(params, node),
        _ => Err(Fail::Unsupported(format!("cln has no operation {op}"))),
    }
}

/// An amount in msat. Core Lightning writes a number; before 23.08 it was `"1000msat"`.
pub(crate) fn msat(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.trim_end_matches("msat").parse().unwrap_or(0),
        other => number(other),
    }
}

/// A field that every answer of the call has.
fn need<'a>(answer: &'a Value, method: &str, field: &str) -> Result<&'a str, OpError> {
    lnconform_adapter_process::need(&answer[field], "lightningd", method, field)
}

fn chain_sync(params: Params<'_>, node: Node<'_>) -> Outcome {
    lnconform_adapter_process::chain_sync(params, node, Running::over, |running| {
        let info = running.call("getinfo", &json!({}))?;
        let warning = ["warning_bitcoind_sync", "warning_lightningd_sync"]
            .iter()
            .find_map(|w| info[*w].as_str());
        Ok::<_, CallError>((number(&info["blockheight"]), warning.map(str::to_owned)))
    })
}

fn new_address(node: Node<'_>) -> Outcome {
    let answer = node()?.call("newaddr", &json!({"addresstype": "bech32"}))?;
    Ok(json!({"address": need(&answer, "newaddr", "bech32")?}))
}

fn balance(node: Node<'_>) -> Outcome {
    let funds = node()?.call("listfunds", &json!({}))?;
    let outputs = |confirmed: bool| -> u64 {
        let outputs = entries(&funds["outputs"]).iter();
        let counted = outputs.filter(|o| {
            o["reserved"] != true
                && (o["status"] == "confirmed" || !confirmed && o["status"] == "unconfirmed")
        });
        sum(counted.map(|o| msat(&o["amount_msat"]))) / 1000
    };
    let channels = entries(&funds["channels"]).iter();
    let in_channels = sum(channels.map(|c| msat(&c["our_amount_msat"]))) / 1000;
    Ok(json!({
        "confirmed_sat": outputs(true).to_string(),
        "spendable_sat": outputs(false).to_string(),
        "lightning_sat": in_channels.to_string(),
    }))
}

fn connect(params: Params<'_>, node: Node<'_>) -> Outcome {
    let peer = key(params, "node_id")?;
    let address = params.loopback("address")?;
    let deadline = deadline(params, 10_000)?;
    let running = node()?;
    connect_to(&running, &peer, address, deadline)?;
    Ok(json!({}))
}

fn connected(running: &Running, peer: &str) -> Result<bool, CallError> {
    let list = running.call("listpeers", &json!({"id": peer}))?;
    Ok(entries(&list["peers"])
        .iter()
        .any(|p| p["id"] == peer && p["connected"] == true))
}

fn connect_to(
    running: &Running,
    peer: &str,
    address: SocketAddr,
    deadline: Instant,
) -> Result<(), Fail> {
    let host = address.ip().to_string();
    let ask = json!({"id": peer, "host": host, "port": address.port()});
    let what = format!("{peer} is not connected");
    until(
        deadline,
        &what,
        || running.over(),
        || match running.call("connect", &ask) {
            Ok(_) => Ok(Ok(())),
            // 402: all addresses failed, as they do while the other end still starts; 400 and 401:
            // an earlier connection has not been forgotten yet (lightning-connect).
            Err(e) if matches!(e.code(), Some(400..=402)) => Ok(Err(e.to_string())),
            Err(e) => Err(e),
        },
    )?;
    until(
        deadline,
        &what,
        || running.over(),
        || {
            connected(running, peer).map(|there| match there {
                true => Ok(()),
                false => Err("it is not among the peers".into()),
            })
        },
    )
}

/// Core Lightning connects again by itself to a peer with which it has a channel.
fn disconnect(params: Params<'_>, node: Node<'_>) -> Outcome {
    let peer = key(params, "node_id")?;
    let deadline = deadline(params, 1_000)?;
    let running = node()?;
    running.call("disconnect", &json!({"id": peer, "force": true}))?;
    disconnected(
        deadline,
        &peer,
        || running.over(),
        || connected(&running, &peer),
    )
}

fn peers(node: Node<'_>) -> Outcome {
    let list = node()?.call("listpeers", &json!({}))?;
    Ok(entries(&list["peers"])
        .iter()
        .map(|p| {
            ResultObject::new()
                .maybe("node_id", p["id"].as_str())
                .maybe("address", entries(&p["netaddr"]).first().cloned())
                .with("connected", p["connected"] == true)
                .done()
        })
        .collect())
}

fn open_channel(params: Params<'_>, node: Node<'_>) -> Outcome {
    let open = OpenChannel::read(params)?;
    let running = node()?;
    if let Some(address) = open.address {
        connect_to(&running, &open.peer, address, open.deadline)?;
    }
    let ask = json!({
        "id": open.peer,
        "amount": format!("{}sat", open.capacity_sat),
        "push_msat": open.push_msat,
        "announce": open.announce,
        // A second channel is funded with the change of the first before that is confirmed.
        "minconf": 0,
        // There is nothing to estimate on this chain.
        "feerate": "5000perkb",
    });
    let opened = until(
        open.deadline,
        "the channel was not opened",
        || running.over(),
        || match running.call_for("fundchannel", &ask, Some(open.left())) {
            Ok(opened) => Ok(Ok(opened)),
            // 304: still syncing; 305: the peer is not connected (lightning-fundchannel).
            Err(e) if matches!(e.code(), Some(304 | 305)) => Ok(Err(e.to_string())),
            Err(e) => Err(e),
        },
    )?;
    let txid = need(&opened, "fundchannel", "txid")?;
    Ok(json!({"funding": format!("{txid}:{}", number(&opened["outnum"]))}))
}

/// `outbound_msat` and `inbound_msat` leave out the reserve, as everywhere; `local_msat` and
/// `remote_msat` do not. A channel is `usable` once both ends have told what they ask for it.
fn channels(node: Node<'_>) -> Outcome {
    let list = node()?.call("listpeerchannels", &json!({}))?;
    Ok(entries(&list["channels"]).iter().map(channel).collect())
}

fn channel(c: &Value) -> Value {
    let ready = c["state"] == "CHANNELD_NORMAL";
    let updates = &c["updates"];
    let known = updates["local"].is_object() && updates["remote"].is_object();
    let usable = ready && known && c["peer_connected"] == true && c["reestablished"] != false;
    let (total, local) = (msat(&c["total_msat"]), msat(&c["to_us_msat"]));
    let remote = total.saturating_sub(local);
    let without = |sum: u64, reserve: &Value| match ready {
        true => sum.saturating_sub(msat(reserve)),
        false => 0,
    };
    let funding = match (c["funding_txid"].as_str(), c["funding_outnum"].as_u64()) {
        (Some(txid), Some(output)) => Some(format!("{txid}:{output}")),
        _ => None,
    };
    ResultObject::new()
        .maybe("peer", c["peer_id"].as_str())
        .with("usable", usable)
        .with("ready", ready)
        .with("announced", c["private"] == false)
        .with("outbound", c["opener"] == "local")
        .maybe("funding", funding)
        .maybe("scid", c["short_channel_id"].as_str())
        .with("capacity_sat", (total / 1000).to_string())
        .with(
            "outbound_msat",
            without(local, &c["our_reserve_msat"]).to_string(),
        )
        .with(
            "inbound_msat",
            without(remote, &c["their_reserve_msat"]).to_string(),
        )
        .with("local_msat", local.to_string())
        .with("remote_msat", remote.to_string())
        .with("htlcs", entries(&c["htlcs"]).len())
        .done()
}

/// Core Lightning lists a channel once for each direction of which it has an update.
fn graph_channels(node: Node<'_>) -> Outcome {
    let graph = node()?.call("listchannels", &json!({}))?;
    let mut edges: BTreeMap<&str, (Vec<Value>, usize)> = BTreeMap::new();
    for half in entries(&graph["channels"]) {
        let (Some(scid), true) = (half["short_channel_id"].as_str(), half["public"] != false)
        else {
            continue;
        };
        let edge = edges.entry(scid).or_default();
        edge.1 += 1;
        // Direction 0 leads from the first node of the announcement to the second.
        let (first, second) = match number(&half["direction"]) {
            0 => ("source", "destination"),
            _ => ("destination", "source"),
        };
        edge.0 = vec![half[first].clone(), half[second].clone()];
    }
    Ok(edges
        .into_iter()
        .map(|(scid, (nodes, directions))| {
            json!({"scid": scid, "nodes": nodes, "directions": directions})
        })
        .collect())
}

/// A node of which only a channel is known has no announcement, and so no features here.
fn graph_nodes(node: Node<'_>) -> Outcome {
    let graph = node()?.call("listnodes", &json!({}))?;
    let mut nodes: Vec<&Value> = entries(&graph["nodes"]).iter().collect();
    nodes.sort_by_key(|n| n["nodeid"].as_str());
    Ok(nodes
        .into_iter()
        .map(|n| {
            let object = ResultObject::new().maybe("node_id", n["nodeid"].as_str());
            if n.get("last_timestamp").is_none() {
                return object.done();
            }
            let addresses: Vec<Value> = entries(&n["addresses"])
                .iter()
                .filter_map(|a| Some(format!("{}:{}", a["address"].as_str()?, number(&a["port"]))))
                .map(Value::from)
                .collect();
            object
                .maybe("alias", n["alias"].as_str())
                .with("features", n["features"].as_str().unwrap_or_default())
                .with("addresses", addresses)
                .done()
        })
        .collect())
}

fn create_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let amount = params.maybe("amount_msat", Params::number)?;
    let description = params.maybe("description", Params::str)?.unwrap_or("");
    let expiry = params.maybe("expiry", Params::number)?;
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    let hash = params.maybe("payment_hash", Params::array::<32>)?;
    if hash.is_some() && preimage.is_some() {
        return Err(OpError::invalid("params preimage and payment_hash exclude another").into());
    }
    let held = "Core Lightning holds payments with a plugin that is not its own only";
    lacks(params, "cln", &["payment_hash"], held)?;
    let whole = "its invoice takes the description itself and hashes it";
    lacks(params, "cln", &["description_hash"], whole)?;
    lacks(params, "cln", &["amp"], "Core Lightning has no AMP")?;
    let ask = ResultObject::new()
        .with(
            "amount_msat",
            amount.map_or("any".to_owned(), |a| format!("{a}msat")),
        )
        .with("label", label()?)
        .with("description", description)
        .maybe("expiry", expiry)
        .maybe("preimage", preimage.map(hex))
        .done();
    let answer = node()?.call("invoice", &ask)?;
    Ok(ResultObject::new()
        .with("invoice", need(&answer, "invoice", "bolt11")?)
        .with("payment_hash", need(&answer, "invoice", "payment_hash")?)
        .maybe("payment_secret", answer["payment_secret"].as_str())
        .done())
}

fn lookup_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let hash = hex(params.array::<32>("payment_hash")?);
    let list = node()?.call("listinvoices", &json!({"payment_hash": hash}))?;
    let Some(invoice) = entries(&list["invoices"]).first() else {
        return Err(OpError::rejected("the node has no invoice of this payment hash").into());
    };
    let state = match invoice["status"].as_str() {
        Some("paid") => "settled",
        Some("expired") => "canceled",
        _ => "open",
    };
    let received = msat(&invoice["amount_received_msat"]);
    let time = invoice["paid_at"].as_u64().map(|t| t.to_string());
    Ok(ResultObject::new()
        .with("payment_hash", hash)
        .with("state", state)
        .with("is_amp", false)
        .with("received_msat", received.to_string())
        .maybe("settled_time", time)
        .done())
}

fn pay_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let invoice = params.str("invoice")?.to_owned();
    let amount = params.maybe("amount_msat", Params::number)?;
    let own = "Core Lightning splits a payment as it sees fit, and adds no records";
    let lacking = ["amp", "max_parts", "max_shard_msat", "records", "split"];
    lacks(params, "cln", &lacking, own)?;
    pay::send(&node()?, move |running, label| {
        pay::invoice(running, label, &invoice, amount)
    })
}

fn keysend(params: Params<'_>, node: Node<'_>) -> Outcome {
    let to = key(params, "to")?;
    let amount = params.maybe("amount_msat", Params::number)?;
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    let own = "Core Lightning's keysend draws the preimage and builds the onion itself";
    lacks(params, "cln", &KEYSEND_ONION, own)?;
    let amount = match amount {
        Some(amount) => amount,
        None => params.number("amount_msat")?,
    };
    let extra: Map<String, Value> = records
        .iter()
        .map(|(kind, value)| (kind.to_string(), hex(value).into()))
        .collect();
    pay::send(&node()?, move |running, label| {
        let ask = ResultObject::new()
            .with("destination", to)
            .with("amount_msat", amount)
            .with("label", label)
            .with("retry_for", pay::TRY_FOR)
            .maybe("extratlvs", (!extra.is_empty()).then_some(extra))
            .done();
        pay::keysend(running, &ask)
    })
}

fn create_offer(params: Params<'_>, node: Node<'_>) -> Outcome {
    let amount = params.maybe("amount_msat", Params::number)?;
    let description = params.maybe("description", Params::str)?;
    let expiry = params.maybe("expiry", Params::number)?;
    let quantity = params.maybe("quantity_max", Params::number)?;
    let online = "Core Lightning answers invoice requests itself, while it is online";
    lacks(params, "cln", &["async"], online)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let ask = ResultObject::new()
        .with(
            "amount",
            amount.map_or("any".to_owned(), |a| format!("{a}msat")),
        )
        .maybe("description", description)
        .maybe("absolute_expiry", expiry.map(|s| now.saturating_add(s)))
        .maybe("quantity_max", quantity)
        // Two offers that are alike would be one.
        .with("label", label()?)
        .done();
    let answer = node()?.call("offer", &ask)?;
    Ok(json!({"offer": need(&answer, "offer", "bolt12")?}))
}

fn pay_offer(params: Params<'_>, node: Node<'_>) -> Outcome {
    let offer = params.str("offer")?;
    let ask = ResultObject::new()
        .with("offer", offer)
        .maybe("amount_msat", params.maybe("amount_msat", Params::number)?)
        .maybe("quantity", params.maybe("quantity", Params::number)?)
        .maybe("payer_note", params.maybe("note", Params::str)?)
        .with("timeout", pay::TRY_FOR)
        .done();
    let own = "Core Lightning pays the invoice that it is given, and adds nothing";
    lacks(params, "cln", &["records", "preimage"], own)?;
    pay::send(&node()?, move |running, label| {
        pay::offer(running, label, &ask)
    })
}

/// The message of a signature: Core Lightning signs text.
fn message(params: Params<'_>) -> Result<String, Fail> {
    String::from_utf8(signed_message(params, "cln")?)
        .map_err(|_| Fail::Unsupported("cln signs text, and param message is not UTF-8".to_owned()))
}

fn sign(params: Params<'_>, node: Node<'_>) -> Outcome {
    let message = message(params)?;
    let answer = node()?.call("signmessage", &json!({ "message": message }))?;
    Ok(json!({"signature": need(&answer, "signmessage", "zbase")?}))
}

fn verify(params: Params<'_>, node: Node<'_>) -> Outcome {
    let message = message(params)?;
    let signature = params.str("signature")?;
    let given = params.maybe("public_key", Params::array::<33>)?;
    let running = node()?;
    let key = given.map_or_else(|| running.node_id.clone(), hex);
    let ask = json!({"message": message, "zbase": signature, "pubkey": key});
    let valid = match running.call("checkmessage", &ask) {
        Ok(answer) => answer["verified"] == true,
        // What recovers to no key is a wrong signature, not a wrong question.
        Err(CallError::Refused { .. }) => false,
        Err(e) => return Err(e.into()),
    };
    Ok(json!({ "valid": valid }))
}
