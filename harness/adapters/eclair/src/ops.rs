//! The operations of a running node.

use crate::http::CallError;
use crate::node::{CALL, Running};
use crate::pay;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lnconform_adapter_process::{
    Access, KEYSEND_ONION, OpenChannel, bolt12_bytes, deadline, disconnected, entries, key, lacks,
    number, signed_message, sum, until,
};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

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
        "message.sign" => sign(params, node),
        "message.verify" => verify(params, node),
        _ => Err(Fail::Unsupported(format!("eclair has no operation {op}"))),
    }
}

/// A text that every answer of the call has.
fn need<'a>(value: &'a Value, call: &str, what: &str) -> Result<&'a str, OpError> {
    lnconform_adapter_process::need(value, "eclair", call, what)
}

fn chain_sync(params: Params<'_>, node: Node<'_>) -> Outcome {
    lnconform_adapter_process::chain_sync(params, node, Running::over, |running| {
        let info = running.call("getinfo", &[])?;
        Ok::<_, CallError>((number(&info["blockHeight"]), None))
    })
}

fn new_address(node: Node<'_>) -> Outcome {
    let answer = node()?.call("getnewaddress", &[])?;
    Ok(json!({"address": need(&answer, "getnewaddress", "address")?}))
}

fn balance(node: Node<'_>) -> Outcome {
    let balance = node()?.call("onchainbalance", &[])?;
    let Some(confirmed) = balance["confirmed"].as_u64() else {
        let why = "eclair's answer to onchainbalance has no confirmed";
        return Err(OpError::internal(why).into());
    };
    let spendable = sum([confirmed, number(&balance["unconfirmed"])]);
    Ok(json!({
        "confirmed_sat": confirmed.to_string(),
        "spendable_sat": spendable.to_string(),
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
    let list = running.call("peers", &[])?;
    Ok(entries(&list)
        .iter()
        .any(|p| p["nodeId"] == peer && p["state"] == "CONNECTED"))
}

/// Eclair answers `connect` with words, whatever came of it; the list of peers decides.
fn connect_to(
    running: &Running,
    peer: &str,
    address: SocketAddr,
    deadline: Instant,
) -> Result<(), Fail> {
    let uri = [("uri", format!("{peer}@{address}"))];
    until(
        deadline,
        &format!("{peer} is not connected"),
        || running.over(),
        || {
            if connected(running, peer)? {
                return Ok(Ok(()));
            }
            let said = running.call("connect", &uri)?;
            Ok::<_, CallError>(match connected(running, peer)? {
                true => Ok(()),
                false => Err(format!("eclair said {said}")),
            })
        },
    )
}

/// Eclair connects again by itself to a peer with which it has a channel.
fn disconnect(params: Params<'_>, node: Node<'_>) -> Outcome {
    let peer = key(params, "node_id")?;
    let deadline = deadline(params, 1_000)?;
    let running = node()?;
    running.call("disconnect", &[("nodeId", peer.clone())])?;
    disconnected(
        deadline,
        &peer,
        || running.over(),
        || connected(&running, &peer),
    )
}

fn peers(node: Node<'_>) -> Outcome {
    let list = node()?.call("peers", &[])?;
    Ok(entries(&list)
        .iter()
        .map(|p| {
            ResultObject::new()
                .maybe("node_id", p["nodeId"].as_str())
                .maybe("address", p["address"].as_str())
                .with("connected", p["state"] == "CONNECTED")
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
    let left = open.left();
    let fields = [
        ("nodeId", open.peer),
        ("fundingSatoshis", open.capacity_sat.to_string()),
        ("pushMsat", open.push_msat.to_string()),
        ("announceChannel", open.announce.to_string()),
        // There is nothing to estimate on this chain.
        ("fundingFeerateSatByte", "5".to_owned()),
        ("openTimeoutSeconds", left.as_secs().max(1).to_string()),
    ];
    let answer = running.call_for("open", &fields, left + Duration::from_secs(1))?;
    let said = need(&answer, "open", "text")?;
    // "created channel ID with fundingTxId=TXID and …"; a text without it says what went wrong.
    let txid = said.split("fundingTxId=").nth(1).unwrap_or_default();
    let txid: String = txid.chars().take_while(char::is_ascii_hexdigit).collect();
    if txid.len() != 64 {
        return Err(OpError::rejected(format!("eclair did not open the channel: {said}")).into());
    }
    let list = running.call("channels", &[])?;
    let outpoint = entries(&list)
        .iter()
        .filter_map(funding)
        .find(|o| o.starts_with(&txid));
    Ok(json!({"funding": outpoint.unwrap_or(txid)}))
}

/// The newest commitment of a channel.
fn commitment(channel: &Value) -> &Value {
    &channel["data"]["commitments"]["active"][0]
}

fn funding(channel: &Value) -> Option<String> {
    let commitment = commitment(channel);
    let outpoint = commitment["fundingTx"]["outPoint"]
        .as_str()
        .or_else(|| commitment["fundingInput"].as_str())?;
    Some(outpoint.to_owned())
}

/// The identifier that a channel has in both lists.
fn alias(of: &Value) -> Option<&str> {
    [&of["aliases"], &of["shortIds"]]
        .iter()
        .find_map(|ids| ids["localAlias"].as_str())
}

/// `outbound_msat` and `inbound_msat` are what Eclair says it can send and receive, without the
/// reserve and the fees of the commitment; `local_msat` and `remote_msat` are whole.
fn channels(node: Node<'_>) -> Outcome {
    let running = node()?;
    let list = running.call("channels", &[])?;
    let balances = running.call("channelbalances", &[])?;
    Ok(entries(&list)
        .iter()
        .filter(|c| c["state"] != "CLOSED")
        .map(|c| {
            let of_this = |b: &&Value| {
                let id = alias(b);
                b["remoteNodeId"] == c["nodeId"] && id.is_some() && id == alias(&c["data"])
            };
            let balance = entries(&balances).iter().find(of_this);
            channel(c, balance.unwrap_or(&Value::Null))
        })
        .collect())
}

fn channel(c: &Value, balance: &Value) -> Value {
    let ready = c["state"] == "NORMAL";
    let spec = &commitment(c)["localCommit"]["spec"];
    let (local, remote) = (number(&spec["toLocal"]), number(&spec["toRemote"]));
    let htlcs = entries(&spec["htlcs"]);
    let in_flight = sum(htlcs
        .iter()
        .map(|h| number(&h["add"]["amountMsat"]).max(number(&h["amountMsat"]))));
    let data = &c["data"];
    let scid = [
        &data["lastAnnouncement"]["shortChannelId"],
        &data["shortIds"]["real"]["realScid"],
        &data["channelUpdate"]["shortChannelId"],
    ]
    .iter()
    .find_map(|s| s.as_str());
    ResultObject::new()
        .maybe("peer", c["nodeId"].as_str())
        .with("usable", ready && balance["isEnabled"] == true)
        .with("ready", ready)
        .maybe("announced", balance["isPublic"].as_bool())
        .maybe("funding", funding(c))
        .maybe("scid", scid)
        .with(
            "capacity_sat",
            (sum([local, remote, in_flight]) / 1000).to_string(),
        )
        .with("outbound_msat", number(&balance["canSend"]).to_string())
        .with("inbound_msat", number(&balance["canReceive"]).to_string())
        .with("local_msat", local.to_string())
        .with("remote_msat", remote.to_string())
        .with("htlcs", htlcs.len())
        .done()
}

/// Eclair lists announced channels and the updates for them apart.
fn graph_channels(node: Node<'_>) -> Outcome {
    let running = node()?;
    let list = running.call("allchannels", &[])?;
    let updates = running.call("allupdates", &[])?;
    let mut directions: BTreeMap<&str, usize> = BTreeMap::new();
    for update in entries(&updates) {
        if let Some(scid) = update["shortChannelId"].as_str() {
            *directions.entry(scid).or_default() += 1;
        }
    }
    let mut edges: Vec<Value> = entries(&list)
        .iter()
        .map(|c| {
            let scid = c["shortChannelId"].as_str().unwrap_or_default();
            let known = directions.get(scid).copied().unwrap_or(0);
            json!({"scid": scid, "nodes": [c["a"], c["b"]], "directions": known.min(2)})
        })
        .collect();
    edges.sort_by_key(|e| e["scid"].as_str().map(str::to_owned));
    Ok(Value::Array(edges))
}

/// Nodes with an announcement. Eclair shows features by name, so that there are none here.
fn graph_nodes(node: Node<'_>) -> Outcome {
    let list = node()?.call("nodes", &[])?;
    let mut nodes: Vec<&Value> = entries(&list)
        .iter()
        .map(|n| match n.get("announcement") {
            Some(inner) => inner,
            None => n,
        })
        .collect();
    nodes.sort_by_key(|n| n["nodeId"].as_str());
    Ok(nodes
        .into_iter()
        .map(|n| {
            ResultObject::new()
                .maybe("node_id", n["nodeId"].as_str())
                .maybe("alias", n["alias"].as_str())
                .with("addresses", entries(&n["addresses"]).to_vec())
                .done()
        })
        .collect())
}

fn create_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let amount = params.maybe("amount_msat", Params::number)?;
    let description = params.maybe("description", Params::str)?;
    let hashed = params.maybe("description_hash", Params::array::<32>)?;
    let expiry = params.maybe("expiry", Params::number)?;
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    if hashed.is_some() && description.is_some_and(|d| !d.is_empty()) {
        return Err(
            OpError::invalid("params description and description_hash exclude another").into(),
        );
    }
    lacks(
        params,
        "eclair",
        &["payment_hash"],
        "Eclair holds no payments",
    )?;
    lacks(params, "eclair", &["amp"], "Eclair has no AMP")?;
    let mut fields = vec![match hashed {
        Some(hash) => ("descriptionHash", hex(hash)),
        None => ("description", description.unwrap_or_default().to_owned()),
    }];
    fields.extend(amount.map(|a| ("amountMsat", a.to_string())));
    fields.extend(expiry.map(|e| ("expireIn", e.to_string())));
    fields.extend(preimage.map(|p| ("paymentPreimage", hex(p))));
    let answer = node()?.call("createinvoice", &fields)?;
    let invoice = need(&answer["serialized"], "createinvoice", "serialized")?;
    let hash = need(&answer["paymentHash"], "createinvoice", "paymentHash")?;
    Ok(json!({"invoice": invoice, "payment_hash": hash}))
}

fn lookup_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let hash = hex(params.array::<32>("payment_hash")?);
    let found = node()?.call("getreceivedinfo", &[("paymentHash", hash.clone())]);
    let info = match found {
        Err(e) if e.status() == Some(404) && !e.says("requested resource") => {
            let none = "the node has no invoice of this payment hash";
            return Err(OpError::rejected(none).into());
        }
        found => found?,
    };
    let status = &info["status"];
    let state = match status["type"].as_str() {
        Some("received") => "settled",
        Some("expired") => "canceled",
        _ => "open",
    };
    let time = status["receivedAt"]["unix"].as_u64();
    Ok(ResultObject::new()
        .with("payment_hash", hash)
        .with("state", state)
        .with("is_amp", false)
        .with("received_msat", number(&status["amount"]).to_string())
        .maybe("settled_time", time.map(|t| t.to_string()))
        .done())
}

fn pay_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let invoice = params.str("invoice")?.to_owned();
    let amount = params.maybe("amount_msat", Params::number)?;
    let own = "Eclair splits a payment as it sees fit, and adds no records";
    let lacking = ["amp", "max_parts", "max_shard_msat", "records", "split"];
    lacks(params, "eclair", &lacking, own)?;
    let mut fields = vec![("invoice", invoice)];
    fields.extend(amount.map(|a| ("amountMsat", a.to_string())));
    pay::send(&*node()?, "payinvoice", &fields)
}

fn keysend(params: Params<'_>, node: Node<'_>) -> Outcome {
    let to = key(params, "to")?;
    let amount = params.maybe("amount_msat", Params::number)?;
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    if !records.is_empty() {
        return Err(Fail::Unsupported(
            "eclair has nothing for param records: its sendtonode takes none".into(),
        ));
    }
    let own = "Eclair's sendtonode draws the preimage and builds the onion itself";
    lacks(params, "eclair", &KEYSEND_ONION, own)?;
    let amount = match amount {
        Some(amount) => amount,
        None => params.number("amount_msat")?,
    };
    let fields = [("amountMsat", amount.to_string()), ("nodeId", to)];
    pay::send(&*node()?, "sendtonode", &fields)
}

fn create_offer(params: Params<'_>, node: Node<'_>) -> Outcome {
    let amount = params.maybe("amount_msat", Params::number)?;
    let description = params.maybe("description", Params::str)?;
    let expiry = params.maybe("expiry", Params::number)?;
    lacks(
        params,
        "eclair",
        &["quantity_max"],
        "its createoffer takes no quantity",
    )?;
    let online = "Eclair answers invoice requests itself, while it is online";
    lacks(params, "eclair", &["async"], online)?;
    let mut fields = Vec::new();
    fields.extend(description.map(|d| ("description", d.to_owned())));
    fields.extend(amount.map(|a| ("amountMsat", a.to_string())));
    fields.extend(expiry.map(|e| ("expireInSeconds", e.to_string())));
    let answer = node()?.call("createoffer", &fields)?;
    let Some(offer) = offer_in(&answer) else {
        return Err(OpError::internal("eclair's answer to createoffer has no offer").into());
    };
    Ok(json!({ "offer": offer }))
}

/// The offer's string, under whatever name: versions differ.
fn offer_in(answer: &Value) -> Option<&str> {
    match answer {
        Value::String(text) => text.starts_with("lno1").then_some(text),
        Value::Object(fields) => fields.values().find_map(offer_in),
        _ => None,
    }
}

/// The amount that an offer asks for a piece, in msat (BOLT 12: type 8 without a currency, type 6).
fn asked_for(offer: &str) -> Option<u64> {
    let bytes = bolt12_bytes(offer)?;
    let mut rest = &bytes[..];
    let mut amount = None;
    // The fields wanted here have types and lengths of a byte; what comes after them does not
    // matter.
    while let [kind @ 0..=8, length, more @ ..] = rest {
        let value = more.get(..usize::from(*length))?;
        match kind {
            6 => return None,
            8 => amount = Some(value.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b))),
            _ => {}
        }
        rest = &more[usize::from(*length)..];
    }
    amount
}

fn pay_offer(params: Params<'_>, node: Node<'_>) -> Outcome {
    let offer = params.str("offer")?.to_owned();
    let amount = params.maybe("amount_msat", Params::number)?;
    let quantity = params.maybe("quantity", Params::number)?;
    let own = "Eclair's payoffer takes an offer, an amount and a quantity";
    lacks(params, "eclair", &["note", "records", "preimage"], own)?;
    // Eclair leaves it to its caller to know what the offer asks for.
    let asked = || asked_for(&offer)?.checked_mul(quantity.unwrap_or(1));
    let Some(amount) = amount.or_else(asked) else {
        return Err(OpError::rejected(
            "eclair is told the amount by its caller, and neither param amount_msat nor the offer has one in bitcoin",
        )
        .into());
    };
    let mut fields = vec![("offer", offer), ("amountMsat", amount.to_string())];
    fields.extend(quantity.map(|q| ("quantity", q.to_string())));
    pay::send(&*node()?, "payoffer", &fields)
}

/// The message of a signature.
fn message(params: Params<'_>) -> Result<String, Fail> {
    Ok(STANDARD.encode(signed_message(params, "eclair")?))
}

/// Eclair writes the signature as hex.
fn sign(params: Params<'_>, node: Node<'_>) -> Outcome {
    let message = message(params)?;
    let answer = node()?.call("signmessage", &[("msg", message)])?;
    Ok(json!({"signature": need(&answer["signature"], "signmessage", "signature")?}))
}

fn verify(params: Params<'_>, node: Node<'_>) -> Outcome {
    let message = message(params)?;
    let signature = hex(params.hex("signature")?);
    let given = params.maybe("public_key", Params::array::<33>)?;
    let running = node()?;
    let key = given.map_or_else(|| running.node_id.clone(), hex);
    let fields = [("msg", message), ("sig", signature)];
    let valid = match running.call_for("verifymessage", &fields, CALL) {
        Ok(answer) => answer["valid"] == true && answer["publicKey"] == *key,
        // What recovers to no key is a wrong signature, not a wrong question.
        Err(CallError::Refused { status: 400, .. }) => false,
        Err(e) => return Err(e.into()),
    };
    Ok(json!({ "valid": valid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_offer_asks_for_is_read_from_it() {
        assert_eq!(asked_for("lno1"), None);
        let text = |bytes: &[u8]| {
            const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
            let (mut held, mut bits, mut out) = (0_u32, 0_u32, String::from("lno1"));
            for b in bytes {
                bits = bits << 8 | u32::from(*b);
                held += 8;
                while held >= 5 {
                    held -= 5;
                    out.push(char::from(ALPHABET[(bits >> held & 31) as usize]));
                }
                bits &= (1 << held) - 1;
            }
            if held > 0 {
                out.push(char::from(ALPHABET[(bits << (5 - held) & 31) as usize]));
            }
            out
        };
        let asks = [8, 2, 0xc3, 0x50, 10, 1, b'x', 22, 1, 2];
        assert_eq!(asked_for(&text(&asks)), Some(50_000));
        let in_euro = [6, 3, b'E', b'U', b'R', 8, 1, 5];
        assert_eq!(asked_for(&text(&in_euro)), None);
        assert_eq!(asked_for(&text(&[10, 1, b'x'])), None);
        assert_eq!(asked_for(&text(&[8, 2, 1])), None);
        assert_eq!(asked_for("hello"), None);
    }
}
