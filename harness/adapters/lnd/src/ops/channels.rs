//! Peers, channels and the graph.

use super::{Node, until};
use crate::http::CallError;
use crate::lnd::CALL;
use crate::node::Running;
use crate::{read, watch};
use lnconform_adapter_process::{OpenChannel, deadline, key};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex_bytes};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Instant;

pub(super) fn connect(params: Params<'_>, node: Node<'_>) -> Outcome {
    let peer = key(params, "node_id")?;
    let address = params.loopback("address")?;
    let persist = params.maybe("persist", Params::bool)?.unwrap_or(false);
    let deadline = deadline(params, 10_000)?;
    let running = node()?;
    connect_to(&running, &peer, address, persist, deadline)?;
    Ok(json!({}))
}

fn connect_to(
    running: &Running,
    peer: &str,
    address: SocketAddr,
    persist: bool,
    deadline: Instant,
) -> Result<(), Fail> {
    let address = json!({"pubkey": peer, "host": address.to_string()});
    let body = json!({"addr": address, "perm": persist, "timeout": "10"});
    let what = format!("lnd does not connect to {peer}");
    until(running, deadline, &what, || {
        match running.client.post("/v1/peers", &body, CALL) {
            Ok(_) => Ok(Ok(())),
            Err(e) if e.says("already connected") => Ok(Ok(())),
            // It says so while it starts, and while the other end has not noticed the end of an
            // earlier connection.
            Err(e)
                if e.says("server is still in the process of starting")
                    || e.says("EOF")
                    || e.says("connection reset") =>
            {
                Ok(Err(e.to_string()))
            }
            Err(e) => Err(e),
        }
    })?;
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

pub(super) fn disconnect(params: Params<'_>, node: Node<'_>) -> Outcome {
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

pub(super) fn peers(node: Node<'_>) -> Outcome {
    let list = node()?.client.get("/v1/peers", CALL)?;
    Ok(read::entries(&list["peers"])
        .iter()
        .map(|p| json!({"node_id": p["pub_key"], "address": p["address"], "connected": true}))
        .collect())
}

pub(super) fn open_channel(params: Params<'_>, node: Node<'_>) -> Outcome {
    let open = OpenChannel::read(params)?;
    if !open.push_msat.is_multiple_of(1000) {
        return Err(OpError::invalid(format!(
            "param push_msat is {}; lnd pushes whole satoshis",
            open.push_msat
        ))
        .into());
    }
    let running = node()?;
    if let Some(address) = open.address {
        connect_to(&running, &open.peer, address, false, open.deadline)?;
    }
    let body = json!({
        "node_pubkey": read::base64(hex_bytes(&open.peer).unwrap_or_default()),
        "local_funding_amount": open.capacity_sat.to_string(),
        "push_sat": (open.push_msat / 1000).to_string(),
        "private": !open.announce,
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
    let what = "the channel was not opened";
    let point = until(&running, open.deadline, what, || {
        match running.client.post("/v1/channels", &body, open.left()) {
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
pub(super) fn channels(node: Node<'_>) -> Outcome {
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
        let msat = |value: &Value| sat(value).saturating_mul(1000);
        let without = |balance: &Value, side: &Value| {
            let without = sat(balance).saturating_sub(sat(&side["chan_reserve_sat"]));
            without.saturating_mul(1000)
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
            .with("local_msat", msat(&c["local_balance"]).to_string())
            .with("remote_msat", msat(&c["remote_balance"]).to_string())
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

pub(super) fn graph_channels(node: Node<'_>) -> Outcome {
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

pub(super) fn graph_nodes(node: Node<'_>) -> Outcome {
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
