//! The operations of a running node.

use crate::blinded;
use crate::http::CallError;
use crate::intercept::{Action, Interceptor, Rules};
use crate::lnd::{CALL, LOOK_EVERY};
use crate::node::{Running, lock};
use crate::payments::{self, Route, Shard};
use crate::read::{self, KEYSEND};
use crate::watch;
use lnconform_protocol::OpError;
use lnconform_protocol::events::Query;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex, hex_bytes};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Blocks of delay for the last hop where the caller gives none: LND's own default.
const FINAL_CLTV_DELTA: u32 = 80;
/// Fees that a payment may cost at least, in msat.
const FEES: u64 = 100_000;

type Node<'a> = &'a dyn Fn() -> Result<Arc<Running>, Fail>;

/// Answers one operation; `node` is asked for once the params have been read.
pub(crate) fn call(
    op: &str,
    params: Params<'_>,
    node: impl Fn() -> Result<Arc<Running>, Fail>,
) -> Outcome {
    let node: Node<'_> = &node;
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
        "amp.send" => amp(params, node),
        "payment.wait" => wait_payment(params, node),
        "payment.settle" => settle(params, node),
        "payment.cancel" => cancel(params, node),
        "htlc.intercept" => intercept(params, node),
        "htlc.next" => next_htlc(params, node),
        "htlc.resolve" => resolve(params, node),
        "event.next" => {
            // Wrong params are told before a missing node is.
            Query::read(params)?;
            node()?.shared.events.next(params)
        }
        "message.sign" => sign(params, node),
        "message.verify" => verify(params, node),
        _ => Err(Fail::Unsupported(format!("lnd has no operation {op}"))),
    }
}

fn deadline(params: Params<'_>, default_ms: u32) -> Result<Instant, OpError> {
    let ms = params
        .maybe("deadline_ms", Params::u32)?
        .unwrap_or(default_ms);
    Ok(Instant::now() + Duration::from_millis(ms.into()))
}

/// A public key: 33 bytes; whether it is a point LND says.
fn key(params: Params<'_>, name: &str) -> Result<String, OpError> {
    Ok(hex(params.array::<33>(name)?))
}

/// Waits for `look` to answer something, and says what it saw last when it does not.
pub(crate) fn until<T>(
    running: &Running,
    deadline: Instant,
    what: &str,
    mut look: impl FnMut() -> Result<Result<T, String>, CallError>,
) -> Result<T, Fail> {
    loop {
        let seen = match look()? {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if Instant::now() >= deadline || running.shared.events.is_closing() {
            return Err(OpError::timeout(format!("{what} by the deadline: {seen}")).into());
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn chain_sync(params: Params<'_>, node: Node<'_>) -> Outcome {
    let wanted = params.u32("height")?;
    let deadline = deadline(params, 25_000)?;
    let running = node()?;
    let what = format!("height {wanted} was not reached");
    let height = until(&running, deadline, &what, || {
        let info = running.client.get("/v1/getinfo", CALL)?;
        let height = read::number(&info["block_height"]);
        let synced = info["synced_to_chain"] == true;
        Ok(if height >= u64::from(wanted) && synced {
            Ok(height)
        } else {
            Err(format!("it is {height}, synced_to_chain {synced}"))
        })
    })?;
    Ok(json!({ "height": height }))
}

fn new_address(node: Node<'_>) -> Outcome {
    let answer = node()?
        .client
        .get("/v1/newaddress?type=WITNESS_PUBKEY_HASH", CALL)?;
    Ok(json!({"address": answer["address"]}))
}

/// `spendable_sat` counts what may be spent in a channel's funding, unconfirmed change included.
fn balance(node: Node<'_>) -> Outcome {
    let running = node()?;
    let wallet = running
        .client
        .get("/v1/balance/blockchain?account=default", CALL)?;
    let channels = running.client.get("/v1/balance/channels", CALL)?;
    let sat = |value: &Value| read::number(value).to_string();
    Ok(json!({
        "confirmed_sat": sat(&wallet["confirmed_balance"]),
        "spendable_sat": sat(&wallet["total_balance"]),
        "total_sat": sat(&wallet["total_balance"]),
        "lightning_sat": sat(&channels["local_balance"]["sat"]),
    }))
}

fn connect(params: Params<'_>, node: Node<'_>) -> Outcome {
    let peer = key(params, "node_id")?;
    let address = params.str("address")?;
    let socket: std::net::SocketAddr = address
        .parse()
        .map_err(|_| OpError::invalid(format!("param address is {address}, not address:port")))?;
    if !socket.ip().is_loopback() {
        return Err(OpError::rejected(format!("address {address} is not loopback")).into());
    }
    let persist = params.maybe("persist", Params::bool)?.unwrap_or(false);
    let deadline = deadline(params, 10_000)?;
    let running = node()?;
    connect_to(&running, &peer, address, persist, deadline)?;
    Ok(json!({}))
}

fn connect_to(
    running: &Running,
    peer: &str,
    address: &str,
    persist: bool,
    deadline: Instant,
) -> Result<(), Fail> {
    let body = json!({"addr": {"pubkey": peer, "host": address}, "perm": persist, "timeout": "10"});
    loop {
        let refused = match running.client.post("/v1/peers", &body, CALL) {
            Ok(_) => break,
            Err(e) if e.says("already connected") => break,
            Err(e) => e,
        };
        // It says so while it starts, and while the other end has not noticed the end of an
        // earlier connection.
        let later = refused.says("server is still in the process of starting")
            || refused.says("EOF")
            || refused.says("connection reset");
        if !later || Instant::now() >= deadline || running.shared.events.is_closing() {
            return Err(refused.into());
        }
        thread::sleep(LOOK_EVERY);
    }
    let what = format!("{peer} is not connected");
    until(running, deadline, &what, || {
        let list = running.client.get("/v1/peers", CALL)?;
        let there = read::entries(&list["peers"])
            .iter()
            .any(|p| p["pub_key"] == *peer);
        Ok(if there {
            Ok(())
        } else {
            Err("it is not among the peers".into())
        })
    })
}

fn disconnect(params: Params<'_>, node: Node<'_>) -> Outcome {
    let peer = key(params, "node_id")?;
    let deadline = deadline(params, 5_000)?;
    let running = node()?;
    // LND connects again by itself to a peer with which it has a channel: then the number of
    // connections has grown.
    let flaps = || -> Result<Option<(u64, u64)>, CallError> {
        let list = running.client.get("/v1/peers", CALL)?;
        Ok(read::entries(&list["peers"])
            .iter()
            .find(|p| p["pub_key"] == peer)
            .map(|p| {
                (
                    read::number(&p["flap_count"]),
                    read::number(&p["last_flap_ns"]),
                )
            }))
    };
    let before = flaps()?;
    running
        .client
        .call("DELETE", &format!("/v1/peers/{peer}"), None, CALL)?;
    until(
        &running,
        deadline,
        &format!("{peer} is still connected"),
        || {
            let now = flaps()?;
            Ok(if now.is_none() || now != before {
                Ok(())
            } else {
                Err("it is among the peers".into())
            })
        },
    )?;
    Ok(json!({}))
}

fn peers(node: Node<'_>) -> Outcome {
    let list = node()?.client.get("/v1/peers", CALL)?;
    Ok(read::entries(&list["peers"])
        .iter()
        .map(|p| json!({"node_id": p["pub_key"], "address": p["address"], "connected": true}))
        .collect())
}

fn open_channel(params: Params<'_>, node: Node<'_>) -> Outcome {
    let peer = key(params, "node_id")?;
    let capacity = params.number("capacity_sat")?;
    let push = params.maybe("push_msat", Params::number)?.unwrap_or(0);
    if !push.is_multiple_of(1000) {
        return Err(OpError::invalid(format!(
            "param push_msat is {push}; lnd pushes whole satoshis"
        ))
        .into());
    }
    let announce = params.maybe("announce", Params::bool)?.unwrap_or(false);
    let address = params.maybe("address", Params::str)?;
    let deadline = deadline(params, 20_000)?;
    let running = node()?;
    if let Some(address) = address {
        connect_to(&running, &peer, address, false, deadline)?;
    }
    let body = json!({
        "node_pubkey": read::base64(hex_bytes(&peer).unwrap_or_default()),
        "local_funding_amount": capacity.to_string(),
        "push_sat": (push / 1000).to_string(),
        "private": !announce,
        // A second channel is funded with the change of the first before that is confirmed.
        "spend_unconfirmed": true,
        "min_confs": 0,
    });
    // A node that has just connected, or seen a block, says that it is not ready yet.
    let not_yet = |e: &CallError| {
        [
            "not online",
            "not synced",
            "still in the process of starting",
            "until the wallet is fully synced",
        ]
        .iter()
        .any(|text| e.says(text))
    };
    let point = until(&running, deadline, "the channel was not opened", || {
        let left = deadline.saturating_duration_since(Instant::now());
        match running
            .client
            .post("/v1/channels", &body, left.max(Duration::from_secs(1)))
        {
            Ok(point) => Ok(Ok(point)),
            Err(e) if not_yet(&e) => Ok(Err(e.to_string())),
            Err(e) => Err(e),
        }
    })?;
    let funding = watch::outpoint(&point["funding_txid_bytes"], &point["output_index"])
        .ok_or_else(|| OpError::internal(format!("lnd names no funding: {point}")))?;
    Ok(json!({ "funding": funding }))
}

/// `outbound_msat` and `inbound_msat` leave out the reserve, as everywhere; `local_msat` and
/// `remote_msat` do not. LND shows whole satoshis. A channel is `usable` once LND also has both
/// policies in its own graph: before, it finds no route through it.
fn channels(node: Node<'_>) -> Outcome {
    let running = node()?;
    let list = running.client.get("/v1/channels", CALL)?;
    let list = read::entries(&list["channels"]);
    let policies: HashSet<u64> = if list.iter().any(|c| c["active"] == true) {
        let graph = running
            .client
            .get("/v1/graph?include_unannounced=true", CALL)?;
        read::entries(&graph["edges"])
            .iter()
            .filter(|e| e["node1_policy"].is_object() && e["node2_policy"].is_object())
            .map(|e| read::number(&e["channel_id"]))
            .collect()
    } else {
        HashSet::new()
    };
    let open = list.iter().map(|c| {
        let id = read::number(&c["chan_id"]);
        let active = c["active"] == true;
        let sat = |value: &Value| read::number(value);
        let without = |balance: &Value, side: &Value| {
            sat(balance).saturating_sub(sat(&side["chan_reserve_sat"])) * 1000
        };
        ResultObject::new()
            .maybe("peer", c["remote_pubkey"].as_str())
            .with("usable", active && policies.contains(&id))
            .with("ready", true)
            .with("announced", c["private"] == false)
            .with("outbound", c["initiator"] == true)
            .maybe("funding", c["channel_point"].as_str())
            .with("scid", read::scid(id))
            .with("capacity_sat", sat(&c["capacity"]).to_string())
            .with(
                "outbound_msat",
                without(&c["local_balance"], &c["local_constraints"]).to_string(),
            )
            .with(
                "inbound_msat",
                without(&c["remote_balance"], &c["remote_constraints"]).to_string(),
            )
            .with("local_msat", (sat(&c["local_balance"]) * 1000).to_string())
            .with(
                "remote_msat",
                (sat(&c["remote_balance"]) * 1000).to_string(),
            )
            .with("htlcs", read::entries(&c["pending_htlcs"]).len())
            .done()
    });
    let pending = running.client.get("/v1/channels/pending", CALL)?;
    let pending = read::entries(&pending["pending_open_channels"])
        .iter()
        .map(|p| {
            let c = &p["channel"];
            ResultObject::new()
                .maybe("peer", c["remote_node_pub"].as_str())
                .with("usable", false)
                .with("ready", false)
                .with("announced", c["private"] == false)
                .with("outbound", c["initiator"] == "INITIATOR_LOCAL")
                .maybe("funding", c["channel_point"].as_str())
                .with("capacity_sat", read::number(&c["capacity"]).to_string())
                .with("outbound_msat", "0")
                .with("inbound_msat", "0")
                .done()
        });
    Ok(open.chain(pending).collect())
}

fn graph_channels(node: Node<'_>) -> Outcome {
    let graph = node()?.client.get("/v1/graph", CALL)?;
    let mut edges: Vec<&Value> = read::entries(&graph["edges"]).iter().collect();
    edges.sort_by_key(|e| read::number(&e["channel_id"]));
    Ok(edges
        .into_iter()
        .map(|e| {
            let directions = ["node1_policy", "node2_policy"];
            let known = directions.iter().filter(|d| e[**d].is_object()).count();
            json!({
                "scid": read::scid(read::number(&e["channel_id"])),
                "nodes": [e["node1_pub"], e["node2_pub"]],
                "directions": known,
            })
        })
        .collect())
}

fn graph_nodes(node: Node<'_>) -> Outcome {
    let graph = node()?.client.get("/v1/graph", CALL)?;
    let mut nodes: Vec<&Value> = read::entries(&graph["nodes"]).iter().collect();
    nodes.sort_by_key(|n| n["pub_key"].as_str());
    Ok(nodes
        .into_iter()
        .map(|n| {
            let object = ResultObject::new().maybe("node_id", n["pub_key"].as_str());
            // LND lists a node of which it knows a channel only, too.
            if read::number(&n["last_update"]) == 0 {
                return object.done();
            }
            let addresses: Vec<Value> = read::entries(&n["addresses"])
                .iter()
                .map(|a| a["addr"].clone())
                .collect();
            object
                .maybe("alias", n["alias"].as_str())
                .with(
                    "features",
                    read::features(&n["features"]).unwrap_or_default(),
                )
                .with("addresses", addresses)
                .done()
        })
        .collect())
}

fn create_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let amount = params.maybe("amount_msat", Params::number)?.unwrap_or(0);
    let memo = params
        .maybe("description", Params::str)?
        .unwrap_or_default();
    let memo_hash = params.maybe("description_hash", Params::array::<32>)?;
    if memo_hash.is_some() && !memo.is_empty() {
        return Err(
            OpError::invalid("params description and description_hash exclude another").into(),
        );
    }
    let expiry = params.maybe("expiry", Params::number)?;
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    let hash = params.maybe("payment_hash", Params::array::<32>)?;
    let amp = params.maybe("amp", Params::bool)?.unwrap_or(false);
    if hash.is_some() && preimage.is_some() {
        return Err(OpError::invalid("params preimage and payment_hash exclude another").into());
    }
    if amp && hash.is_some() {
        return Err(Fail::Unsupported("lnd holds no AMP payment".into()));
    }
    let blinded = params.maybe("blinded", Params::bool)?.unwrap_or(false);
    let via = params.maybe("via", Params::list)?;
    if blinded && (amp || hash.is_some()) {
        let why = "lnd makes no blinded paths for AMP, nor for a payment that is held";
        return Err(Fail::Unsupported(why.into()));
    }
    let running = node()?;
    let body = ResultObject::new()
        .with("memo", memo)
        .maybe("description_hash", memo_hash.map(read::base64))
        .with("value_msat", amount.to_string())
        .maybe("expiry", expiry.map(|s| s.to_string()))
        // Hints for channels that are not announced; without such channels there are none.
        .with("private", !blinded);
    let (answer, payment_hash) = match hash {
        Some(hash) => {
            let body = body.with("hash", read::base64(hash)).done();
            let answer = running.client.post("/v2/invoices/hodl", &body, CALL)?;
            watch::hold(&running, &hash)?;
            (answer, Some(hex(hash)))
        }
        None => {
            let body = body
                .maybe("r_preimage", preimage.map(read::base64))
                .with("is_amp", amp);
            if blinded {
                return blinded::create(&running, body, via);
            }
            let body = body.done();
            let answer = running.client.post("/v1/invoices", &body, CALL)?;
            let hash = read::hex_of(&answer["r_hash"]);
            (answer, hash)
        }
    };
    Ok(ResultObject::new()
        .maybe("invoice", answer["payment_request"].as_str())
        .maybe("payment_hash", payment_hash)
        .maybe("payment_secret", read::hex_of(&answer["payment_addr"]))
        .done())
}

fn lookup_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let path = format!("/v1/invoice/{}", hex(hash));
    Ok(read::invoice(&node()?.client.get(&path, CALL)?))
}

/// The body of SendPaymentV2 that all payments share.
fn payment(params: Params<'_>, amount: Option<u64>) -> Result<ResultObject, OpError> {
    let fees = amount.unwrap_or(0).max(FEES);
    Ok(ResultObject::new()
        .maybe("amt_msat", amount.map(|msat| msat.to_string()))
        .maybe("max_parts", params.maybe("max_parts", Params::u32)?)
        .maybe(
            "max_shard_size_msat",
            params
                .maybe("max_shard_msat", Params::number)?
                .map(|m| m.to_string()),
        )
        .with("fee_limit_msat", fees.to_string())
        .with("timeout_seconds", payments::TRY_FOR)
        // The end of its stream ends its attempts.
        .with("cancelable", true))
}

fn pay_invoice(params: Params<'_>, node: Node<'_>) -> Outcome {
    let invoice = params.str("invoice")?;
    let amount = params.maybe("amount_msat", Params::number)?;
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    let body = payment(params, amount)?
        .with("payment_request", invoice)
        .with("amp", params.maybe("amp", Params::bool)?.unwrap_or(false))
        .with("dest_custom_records", read::custom_records(&records));
    let running = node()?;
    let body = if amount.is_none() {
        // The limit is drawn from the invoice's amount.
        let decoded = decode(&running, invoice)?;
        let fees = read::number(&decoded["num_msat"]).max(FEES);
        body.with("fee_limit_msat", fees.to_string())
    } else {
        body
    };
    payments::send(&running, body.done())
}

/// LND's reading of an invoice (DecodePayReq).
fn decode(running: &Running, invoice: &str) -> Result<Value, Fail> {
    if !invoice.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(OpError::invalid("param invoice holds a character that no invoice has").into());
    }
    Ok(running.client.get(&format!("/v1/payreq/{invoice}"), CALL)?)
}

fn draw() -> Result<[u8; 32], OpError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| OpError::internal(format!("no random bytes: {e}")))?;
    Ok(bytes)
}

/// Node ids of hops.
fn via(params: Params<'_>) -> Result<Vec<Vec<u8>>, OpError> {
    params
        .maybe("via", Params::list)?
        .unwrap_or_default()
        .iter()
        .map(|hop| {
            Params::new(&json!({"via": hop}))
                .array::<33>("via")
                .map(Vec::from)
        })
        .collect()
}

fn mpp_record(secret: [u8; 32], total_msat: u64) -> (&'static str, Value) {
    let record = json!({
        "payment_addr": read::base64(secret),
        "total_amt_msat": total_msat.to_string(),
    });
    ("mpp_record", record)
}

fn keysend(params: Params<'_>, node: Node<'_>) -> Outcome {
    let to = params.array::<33>("to")?;
    let parts: Vec<u64> = params
        .maybe("parts", Params::list)?
        .unwrap_or_default()
        .iter()
        .map(|p| Params::new(p).number("amount_msat"))
        .collect::<Result<_, _>>()?;
    let sum = parts
        .iter()
        .try_fold(0_u64, |sum, part| sum.checked_add(*part));
    let amount = match (params.maybe("amount_msat", Params::number)?, sum) {
        (Some(amount), _) => amount,
        (None, Some(sum)) if !parts.is_empty() => sum,
        _ => params.number("amount_msat")?,
    };
    let preimage = match params.maybe("preimage", Params::array::<32>)? {
        Some(preimage) => preimage,
        None => draw()?,
    };
    let hash = params.maybe("payment_hash", Params::array::<32>)?;
    let hash = hash.unwrap_or_else(|| Sha256::digest(preimage).into());
    let mut records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    let record = params.maybe("keysend_record", Params::hex)?;
    if !records.iter().any(|(kind, _)| *kind == KEYSEND) {
        records.push((KEYSEND, record.unwrap_or_else(|| preimage.to_vec())));
    }
    let delta = params.maybe("final_cltv_delta", Params::u32)?;
    let secret = params.maybe("payment_secret", Params::array::<32>)?;
    let total = params.maybe("total_msat", Params::number)?;
    let via = via(params)?;
    let by_route = !via.is_empty() || !parts.is_empty() || secret.is_some() || total.is_some();
    if !by_route {
        let body = payment(params, Some(amount))?
            .with("dest", read::base64(to))
            .with("payment_hash", read::base64(hash))
            .maybe("final_cltv_delta", delta)
            .with("dest_custom_records", read::custom_records(&records))
            .done();
        return payments::send(&node()?, body);
    }
    let mut payload = vec![("custom_records", read::custom_records(&records))];
    match (secret, total) {
        (Some(secret), total) => payload.push(mpp_record(secret, total.unwrap_or(amount))),
        (None, Some(_)) => {
            return Err(OpError::invalid("param total_msat needs param payment_secret").into());
        }
        (None, None) => {}
    }
    let amounts = if parts.is_empty() {
        vec![amount]
    } else {
        parts
    };
    let shards: Vec<Shard> = amounts
        .into_iter()
        .map(|amount_msat| Shard {
            payment_hash: hash,
            route: Route {
                amount_msat,
                via: via.clone(),
                to: to.to_vec(),
                final_cltv_delta: delta.unwrap_or(FINAL_CLTV_DELTA),
                payload: payload.clone(),
            },
        })
        .collect();
    payments::send_shards(&node()?, &hex(hash), &shards)
}

fn amp(params: Params<'_>, node: Node<'_>) -> Outcome {
    let to = params.maybe("to", Params::array::<33>)?;
    let invoice = params.maybe("invoice", Params::str)?;
    if to.is_some() == invoice.is_some() {
        return Err(
            OpError::invalid("one of params to and invoice is needed, and not both").into(),
        );
    }
    let amount = params.maybe("amount_msat", Params::number)?;
    let records = params
        .maybe("records", Params::records)?
        .unwrap_or_default();
    if let Some(shards) = params.maybe("shards", Params::list)? {
        return amp_shards(params, node, to, invoice, &records, shards);
    }
    let body = payment(params, amount)?
        .with("amp", true)
        .maybe("payment_request", invoice)
        .maybe("dest", to.map(read::base64))
        .with("dest_custom_records", read::custom_records(&records))
        .done();
    payments::send(&node()?, body)
}

fn amp_shards(
    params: Params<'_>,
    node: Node<'_>,
    to: Option<[u8; 33]>,
    invoice: Option<&str>,
    records: &[(u64, Vec<u8>)],
    list: &[Value],
) -> Outcome {
    let read = list
        .iter()
        .map(|s| AmpShard::read(Params::new(s), records))
        .collect::<Result<Vec<_>, OpError>>()?;
    let Some(first) = read.first() else {
        return Err(OpError::invalid("param shards is empty").into());
    };
    let handle = hex(first.set_id.unwrap_or(first.payment_hash));
    let sum = read
        .iter()
        .try_fold(0_u64, |sum, s| sum.checked_add(s.amount_msat));
    let sum = sum.ok_or_else(|| OpError::invalid("the amounts of param shards overflow"))?;
    let total = params.maybe("total_msat", Params::number)?.unwrap_or(sum);
    let secret = params.maybe("payment_secret", Params::array::<32>)?;
    let delta = params.maybe("final_cltv_delta", Params::u32)?;
    let running = node()?;
    let decoded = invoice.map(|i| decode(&running, i)).transpose()?;
    let of_invoice = |field: &str| decoded.as_ref().map(|d| &d[field]);
    let to = match (to, of_invoice("destination").and_then(Value::as_str)) {
        (Some(to), _) => to.to_vec(),
        (None, Some(text)) => hex_bytes(text).unwrap_or_default(),
        (None, None) => return Err(OpError::internal("lnd names no destination").into()),
    };
    let of_invoice_secret = of_invoice("payment_addr")
        .and_then(read::bytes)
        .and_then(|b| <[u8; 32]>::try_from(b).ok());
    let Some(secret) = secret.or(of_invoice_secret) else {
        return Err(OpError::invalid("param payment_secret is missing").into());
    };
    let cltv = of_invoice("cltv_expiry")
        .map(read::number)
        .and_then(|n| u32::try_from(n).ok());
    let delta = delta.or(cltv).unwrap_or(FINAL_CLTV_DELTA);
    let shards: Vec<Shard> = read
        .into_iter()
        .map(|shard| {
            let mut payload = vec![("custom_records", shard.records)];
            if shard.payment_data {
                payload.push(mpp_record(secret, total));
            }
            if let Some(record) = shard.amp_record {
                payload.push(("amp_record", record));
            }
            Shard {
                payment_hash: shard.payment_hash,
                route: Route {
                    amount_msat: shard.amount_msat,
                    via: shard.via,
                    to: to.clone(),
                    final_cltv_delta: delta,
                    payload,
                },
            }
        })
        .collect();
    payments::send_shards(&running, &handle, &shards)
}

/// One HTLC of a set whose values the caller chose.
struct AmpShard {
    amount_msat: u64,
    payment_hash: [u8; 32],
    set_id: Option<[u8; 32]>,
    via: Vec<Vec<u8>>,
    amp_record: Option<Value>,
    payment_data: bool,
    records: Value,
}

impl AmpShard {
    fn read(params: Params<'_>, shared: &[(u64, Vec<u8>)]) -> Result<Self, OpError> {
        let with_record = params.maybe("amp_record", Params::bool)?.unwrap_or(true);
        let set_id = params.maybe("set_id", Params::array::<32>)?;
        let amp_record = with_record
            .then(|| -> Result<Value, OpError> {
                Ok(json!({
                    "root_share": read::base64(params.array::<32>("root_share")?),
                    "set_id": read::base64(params.array::<32>("set_id")?),
                    "child_index": params.u32("index")?,
                }))
            })
            .transpose()?;
        let records = params.maybe("records", Params::records)?;
        let records = records.as_deref().unwrap_or(shared);
        Ok(Self {
            amount_msat: params.number("amount_msat")?,
            payment_hash: params.array::<32>("payment_hash")?,
            set_id,
            via: via(params)?,
            amp_record,
            payment_data: params.maybe("payment_data", Params::bool)?.unwrap_or(true),
            records: read::custom_records(records),
        })
    }
}

fn wait_payment(params: Params<'_>, node: Node<'_>) -> Outcome {
    let payment = hex(params.array::<32>("payment")?);
    let deadline = deadline(params, 25_000)?;
    let running = node()?;
    let after = lock(&running.shared.sent_after).get(&payment).copied();
    let Some(after) = after else {
        return Err(OpError::rejected("the node was asked for no such payment").into());
    };
    let what = format!("end of payment {payment}");
    Ok(running.shared.events.wait(deadline, &what, |seen| {
        let ended = matches!(seen.kind, "payment-sent" | "payment-failed");
        if seen.seq <= after || !ended || seen.payment.as_ref() != Some(&payment) {
            return None;
        }
        let mut result = seen.fields.clone();
        if let Some(fields) = result.as_object_mut() {
            fields.shift_remove("payment");
        }
        Some(result)
    })?)
}

fn settle(params: Params<'_>, node: Node<'_>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    if preimage.is_some_and(|p| Sha256::digest(p).as_slice() != hash) {
        return Err(
            OpError::rejected("param preimage is not the one of param payment_hash").into(),
        );
    }
    let running = node()?;
    let preimage = match preimage {
        Some(preimage) => read::base64(preimage),
        // A held keysend brought it along.
        None => {
            let invoice = running
                .client
                .get(&format!("/v1/invoice/{}", hex(hash)), CALL)?;
            invoice["r_preimage"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        }
    };
    let body = json!({ "preimage": preimage });
    running.client.post("/v2/invoices/settle", &body, CALL)?;
    Ok(json!({}))
}

fn cancel(params: Params<'_>, node: Node<'_>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let body = json!({"payment_hash": read::base64(hash)});
    node()?.client.post("/v2/invoices/cancel", &body, CALL)?;
    Ok(json!({}))
}

fn intercept(params: Params<'_>, node: Node<'_>) -> Outcome {
    let on = params.bool("on")?;
    let rules = Rules::read(params)?;
    let running = node()?;
    let mut slot = lock(&running.interceptor);
    if !on {
        slot.take();
        return Ok(json!({}));
    }
    match &*slot {
        Some(interceptor) => interceptor.set(rules),
        None => *slot = Some(Arc::new(Interceptor::start(&running, rules)?)),
    }
    Ok(json!({}))
}

fn interceptor(running: &Arc<Running>) -> Result<Arc<Interceptor>, OpError> {
    lock(&running.interceptor)
        .clone()
        .ok_or_else(|| OpError::rejected("nothing is intercepted; htlc.intercept comes first"))
}

fn next_htlc(params: Params<'_>, node: Node<'_>) -> Outcome {
    let deadline = deadline(params, 15_000)?;
    Ok(interceptor(&node()?)?.next(deadline)?)
}

fn resolve(params: Params<'_>, node: Node<'_>) -> Outcome {
    let handle = params.str("htlc")?;
    let action = Action::read(params)?;
    interceptor(&node()?)?.resolve(handle, &action)?;
    Ok(json!({}))
}

/// How a message is signed.
enum Scheme {
    /// BIP 340 over the tagged hash of the message, by the node's key.
    Bip340(String),
    /// `lightning-signed-message`, as zbase32.
    Message,
}

fn scheme(params: Params<'_>) -> Result<Scheme, Fail> {
    match params.maybe("algorithm", Params::str)? {
        None | Some("lightning-signed-message") => Ok(Scheme::Message),
        Some("bip340") => Ok(Scheme::Bip340(
            params
                .maybe("tag", Params::str)?
                .unwrap_or_default()
                .to_owned(),
        )),
        Some(other) => Err(Fail::Unsupported(format!(
            "lnd signs bip340 and lightning-signed-message, not {other}"
        ))),
    }
}

fn sign(params: Params<'_>, node: Node<'_>) -> Outcome {
    let message = params.hex("message")?;
    let scheme = scheme(params)?;
    let running = node()?;
    let msg = read::base64(message);
    let signature = match scheme {
        Scheme::Message => {
            let answer = running
                .client
                .post("/v1/signmessage", &json!({ "msg": msg }), CALL)?;
            answer["signature"].as_str().map(str::to_owned)
        }
        Scheme::Bip340(tag) => {
            // Family 6, index 0 is the node's key.
            let body = json!({
                "msg": msg,
                "key_loc": {"key_family": 6, "key_index": 0},
                "schnorr_sig": true,
                "tag": read::base64(tag),
            });
            let answer = running.client.post("/v2/signer/signmessage", &body, CALL)?;
            read::hex_of(&answer["signature"])
        }
    };
    let signature = signature.ok_or_else(|| OpError::internal("lnd answers no signature"))?;
    Ok(json!({ "signature": signature }))
}

fn verify(params: Params<'_>, node: Node<'_>) -> Outcome {
    let message = params.hex("message")?;
    let scheme = scheme(params)?;
    let signature = params.str("signature")?;
    let key = params.maybe("public_key", Params::hex)?;
    if key.as_ref().is_some_and(|k| k.len() != 32 && k.len() != 33) {
        return Err(OpError::invalid("param public_key has neither 32 nor 33 bytes").into());
    }
    let running = node()?;
    let key = key.unwrap_or_else(|| hex_bytes(&running.node_id).unwrap_or_default());
    let msg = read::base64(message);
    let valid = match scheme {
        Scheme::Message => {
            let body = json!({"msg": msg, "signature": signature});
            let answer = running.client.post("/v1/verifymessage", &body, CALL);
            let found = match answer {
                Ok(answer) => answer["pubkey"].as_str().map(str::to_owned),
                // What recovers to no key is a wrong signature, not a wrong question.
                Err(CallError::Refused { .. }) => None,
                Err(e) => return Err(e.into()),
            };
            // LND's own verdict also asks whether the key is in its graph.
            found.is_some_and(|k| k.ends_with(&hex(&key)))
        }
        Scheme::Bip340(tag) => {
            let bytes = hex_bytes(signature)
                .ok_or_else(|| OpError::invalid("param signature is not hex"))?;
            let body = json!({
                "msg": msg,
                "signature": read::base64(bytes),
                "pubkey": read::base64(&key[key.len() - 32..]),
                "is_schnorr_sig": true,
                "tag": read::base64(tag),
            });
            match running.client.post("/v2/signer/verifymessage", &body, CALL) {
                Ok(answer) => answer["valid"] == true,
                Err(CallError::Refused { .. }) => false,
                Err(e) => return Err(e.into()),
            }
        }
    };
    Ok(json!({ "valid": valid }))
}

#[cfg(test)]
mod tests;
