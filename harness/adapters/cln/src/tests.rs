//! The adapter against the stand-in: every operation once right, and what goes wrong told with whose
//! fault it is.

use crate::node::{Cln, MESSAGES, OPERATIONS};
use crate::standin::{
    KEY, OTHER, Reply, StandIn, attempt, hash, paid, paid_invoice, preimage, request_fits,
    response_fits, write_program,
};
use lnconform_adapter_process::NodeAdapter;
use lnconform_protocol::concurrent::ConcurrentHandler;
use lnconform_protocol::{Answer, ErrorKind, OpError};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type Adapter = NodeAdapter<Cln>;

fn adapter(stand_in: &StandIn) -> Adapter {
    NodeAdapter::new(Cln::new(&stand_in.program()).unwrap())
}

fn start(stand_in: &StandIn) -> Value {
    json!({
        "network": "regtest", "data_dir": stand_in.data_dir(), "alias": "payee",
        "listen": "127.0.0.1:9735", "options": {"announce": true},
        "chain": {"bitcoind": {
            "rpc_host": "127.0.0.1", "rpc_port": 1, "user": "u", "password": "secret",
            "zmq_block": "tcp://127.0.0.1:2", "zmq_tx": "tcp://127.0.0.1:3"}}})
}

/// An adapter whose node is the stand-in.
fn started(stand_in: &StandIn) -> Adapter {
    let adapter = adapter(stand_in);
    result(&adapter, "node.start", start(stand_in));
    adapter
}

fn result(adapter: &Adapter, op: &str, params: Value) -> Value {
    match adapter.call(op, &params) {
        Answer::Result(result) => result,
        other => panic!("{op} {params}: {other:?}"),
    }
}

fn error(adapter: &Adapter, op: &str, params: Value) -> OpError {
    match adapter.call(op, &params) {
        Answer::Error(e) => e,
        other => panic!("{op} {params}: {other:?}"),
    }
}

fn unsupported(adapter: &Adapter, op: &str, params: Value) -> String {
    match adapter.call(op, &params) {
        Answer::Unsupported(u) => u.reason,
        other => panic!("{op} {params}: {other:?}"),
    }
}

fn wait(adapter: &Adapter, sent: &Value) -> Value {
    result(adapter, "payment.wait", json!({"payment": sent["payment"]}))
}

#[test]
fn a_node_is_started_with_its_own_settings_and_stopped() {
    let stand_in = StandIn::new();
    let adapter = adapter(&stand_in);
    let started = result(&adapter, "node.start", start(&stand_in));
    assert_eq!(started["node_id"], KEY);
    assert_eq!(started["address"], "127.0.0.1:9735");
    assert_eq!(started["version"], "v25.09");
    assert_eq!(started["features"], "0880");
    let again = error(&adapter, "node.start", start(&stand_in));
    assert!(again.message.contains("node.stop"), "{again:?}");
    let settings = std::fs::read_to_string(stand_in.data_dir().join("config")).unwrap();
    for line in [
        "network=regtest",
        "bitcoin-rpcport=1",
        "bitcoin-rpcpassword=secret",
        "bind-addr=127.0.0.1:9735",
        "alias=payee",
        "disable-plugin=clnrest",
        "developer",
        "dev-bitcoind-poll=1",
    ] {
        assert!(settings.lines().any(|l| l == line), "{line}: {settings}");
    }
    use std::os::unix::fs::PermissionsExt;
    let file = std::fs::metadata(stand_in.data_dir().join("config")).unwrap();
    assert_eq!(file.permissions().mode() & 0o077, 0);
    // The stand-in writes its command line into the log.
    // Its socket may be there before the shell has written that.
    let file = stand_in.data_dir().join("lightningd.log");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut log = String::new();
    while !log.ends_with('\n') && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(2));
        log = std::fs::read_to_string(&file).unwrap();
    }
    assert!(
        log.contains("--conf=") && !log.contains("secret"),
        "{log:?}"
    );
    assert_eq!(result(&adapter, "node.stop", json!({})), json!({}));
    assert_eq!(stand_in.asked("stop").len(), 1);
    let stopped = error(&adapter, "channel.list", json!({}));
    assert!(stopped.message.contains("node.start"), "{stopped:?}");
    result(&adapter, "node.start", start(&stand_in));
    adapter.closing();
    adapter.shutdown();
    assert_eq!(stand_in.asked("stop").len(), 2);
}

#[test]
fn every_operation_asks_as_published_and_shows_what_it_saw() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    for (op, params, shown) in [
        ("chain.sync", json!({"height": 110}), json!({"height": 110})),
        (
            "wallet.new_address",
            json!({}),
            json!({"address": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"}),
        ),
        (
            "wallet.balance",
            json!({}),
            json!({"confirmed_sat": "20000000", "spendable_sat": "20005000",
                "lightning_sat": "5000000"}),
        ),
        (
            "peer.connect",
            json!({"node_id": OTHER, "address": "127.0.0.1:9735"}),
            json!({}),
        ),
        (
            "peer.disconnect",
            json!({"node_id": OTHER, "deadline_ms": 30}),
            json!({}),
        ),
        (
            "peer.list",
            json!({}),
            json!([{"node_id": OTHER, "address": "127.0.0.1:9735", "connected": true}]),
        ),
        (
            "channel.open",
            json!({"node_id": OTHER, "address": "127.0.0.1:9735", "capacity_sat": "10000000",
                "push_msat": "5000000001", "announce": true}),
            json!({"funding": format!("{}:1", "04".repeat(32))}),
        ),
        (
            "channel.list",
            json!({}),
            json!([{"peer": OTHER, "usable": true, "ready": true, "announced": true,
                "outbound": true, "funding": format!("{}:1", "04".repeat(32)), "scid": "103x1x0",
                "capacity_sat": "10000000", "outbound_msat": "4900000000",
                "inbound_msat": "4900000000", "local_msat": "5000000000",
                "remote_msat": "5000000000", "htlcs": 0}]),
        ),
        (
            "graph.channels",
            json!({}),
            json!([{"scid": "103x1x0", "nodes": [KEY, OTHER], "directions": 2}]),
        ),
        (
            "graph.nodes",
            json!({}),
            json!([{"node_id": KEY, "alias": "a", "features": "80",
                "addresses": ["127.0.0.1:9735"]}, {"node_id": OTHER}]),
        ),
        (
            "invoice.create",
            json!({"amount_msat": "100000", "description": "tea", "expiry": "60",
                "preimage": preimage()}),
            json!({"invoice": "lnbcrt1x", "payment_hash": hash(),
                "payment_secret": "08".repeat(32)}),
        ),
        (
            "invoice.lookup",
            json!({"payment_hash": hash()}),
            json!({"payment_hash": hash(), "state": "settled", "is_amp": false,
                "received_msat": "100000", "settled_time": "1700000000"}),
        ),
        (
            "offer.create",
            json!({"amount_msat": "50000", "description": "tea", "expiry": "60",
                "quantity_max": "5"}),
            json!({"offer": "lno1qgqsw"}),
        ),
        (
            "message.sign",
            json!({"message": "6869"}),
            json!({"signature": "d9sig"}),
        ),
        (
            "message.verify",
            json!({"message": "6869", "signature": "d9sig", "public_key": OTHER}),
            json!({"valid": true}),
        ),
        ("event.list", json!({}), json!({"events": []})),
    ] {
        assert_eq!(result(&adapter, op, params.clone()), shown, "{op} {params}");
    }
    assert_eq!(
        stand_in.asked("fundchannel"),
        [
            json!({"id": OTHER, "amount": "10000000sat", "push_msat": 5_000_000_001_u64,
            "announce": true, "minconf": 0, "feerate": "5000perkb"})
        ]
    );
    let invoice = &stand_in.asked("invoice")[0];
    assert_eq!(invoice["amount_msat"], "100000msat");
    assert_eq!(
        (&invoice["expiry"], &invoice["preimage"]),
        (&json!(60), &json!(preimage()))
    );
    let offer = &stand_in.asked("offer")[0];
    assert_eq!(
        (&offer["amount"], &offer["quantity_max"]),
        (&json!("50000msat"), &json!(5))
    );
    assert!(offer["absolute_expiry"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(stand_in.asked("signmessage"), [json!({"message": "hi"})]);
    // Without an amount the payer names it.
    result(&adapter, "invoice.create", json!({"description": "any"}));
    assert_eq!(stand_in.asked("invoice")[1]["amount_msat"], "any");
    result(&adapter, "offer.create", json!({"description": "any"}));
    assert_eq!(stand_in.asked("offer")[1]["amount"], "any");
    // Without a key it is the node's own.
    result(
        &adapter,
        "message.verify",
        json!({"message": "6869", "signature": "x"}),
    );
    assert_eq!(stand_in.asked("checkmessage")[1]["pubkey"], KEY);
}

#[test]
fn payments_are_sent_and_waited_for() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let done = json!({"status": "succeeded", "payment_hash": hash(), "preimage": preimage(),
        "fee_msat": "101", "parts": 1});
    let sent = result(
        &adapter,
        "keysend.send",
        json!({"to": OTHER, "amount_msat": "100000",
            "records": [{"type": "65537", "value": "68690a"}]}),
    );
    assert_eq!(wait(&adapter, &sent), done);
    let ask = &stand_in.asked("keysend")[0];
    assert_eq!(ask["extratlvs"], json!({"65537": "68690a"}));
    assert_eq!(
        (&ask["destination"], &ask["amount_msat"]),
        (&json!(OTHER), &json!(100_000))
    );
    assert_eq!(ask["label"], sent["payment"]);

    let params = json!({"invoice": "lnbcrt1x", "amount_msat": "100000"});
    let sent = result(&adapter, "invoice.pay", params);
    assert_eq!(wait(&adapter, &sent), done);
    let ask = &stand_in.asked("pay")[0];
    assert_eq!(
        (&ask["bolt11"], &ask["amount_msat"]),
        (&json!("lnbcrt1x"), &json!(100_000))
    );
    let e = error(
        &adapter,
        "payment.invoice",
        json!({"payment": sent["payment"]}),
    );
    assert!(e.message.contains("BOLT 12"), "{e:?}");

    let params = json!({"offer": "lno1x", "amount_msat": "70000", "quantity": "2", "note": "hi"});
    let sent = result(&adapter, "offer.pay", params);
    assert_eq!(wait(&adapter, &sent), done);
    let ask = &stand_in.asked("fetchinvoice")[0];
    assert_eq!(
        (
            &ask["offer"],
            &ask["amount_msat"],
            &ask["quantity"],
            &ask["payer_note"]
        ),
        (&json!("lno1x"), &json!(70_000), &json!(2), &json!("hi"))
    );
    assert_eq!(stand_in.asked("pay")[1]["bolt11"], "lni1qgqsw");
    assert_eq!(
        result(
            &adapter,
            "payment.invoice",
            json!({"payment": sent["payment"]})
        ),
        json!({"invoice": "020107"})
    );
    let unknown = error(&adapter, "payment.wait", json!({"payment": "x"}));
    assert_eq!(unknown.kind, ErrorKind::Rejected);
}

#[test]
fn the_newer_calls_are_made_where_the_older_are_gone() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let gone = || Some(Reply::Error(-32601, "Unknown command", Value::Null));
    stand_in.plays(move |method, _| match method {
        "pay" | "keysend" => gone(),
        _ => None,
    });
    for (op, params) in [
        (
            "keysend.send",
            json!({"to": OTHER, "amount_msat": "1", "records": [{"type": "65537", "value": ""}]}),
        ),
        ("invoice.pay", json!({"invoice": "lnbcrt1x"})),
    ] {
        let sent = result(&adapter, op, params);
        let done = wait(&adapter, &sent);
        // The hash is that of the preimage, which alone is told.
        assert_eq!(
            (&done["payment_hash"], &done["parts"]),
            (&json!(hash()), &json!(1))
        );
    }
    assert_eq!(stand_in.asked("xpay")[0]["invstring"], "lnbcrt1x");
    stand_in.plays(move |method, _| match method {
        "pay" | "xpay" => gone(),
        _ => None,
    });
    let why = unsupported(&adapter, "invoice.pay", json!({"invoice": "lnbcrt1x"}));
    assert!(why.contains("xpay"), "{why}");
}

#[test]
fn a_payment_that_fails_is_told_with_the_failure_of_its_onion() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let send = || {
        result(
            &adapter,
            "keysend.send",
            json!({"to": OTHER, "amount_msat": "1"}),
        )
    };
    let onion = json!({"erring_index": 1, "failcode": 16399,
        "failcodename": "WIRE_INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS"});
    let shown = json!({"status": "failed", "failure": {"code": 16399, "hop": 0,
        "reason": "WIRE_INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS"}});
    // In the error itself.
    let data = onion.clone();
    stand_in.plays(move |method, _| {
        (method == "keysend").then(|| Reply::Error(203, "failed at the end", data.clone()))
    });
    assert_eq!(wait(&adapter, &send()), shown);
    // Of the last attempt that failed.
    let asked = Mutex::new(Value::Null);
    stand_in.plays(move |method, params| match method {
        "keysend" => {
            *asked.lock().unwrap() = params["label"].clone();
            Some(Reply::Error(
                210,
                "ran out of routes",
                json!({"attempts": []}),
            ))
        }
        "listsendpays" => {
            let payments = [
                attempt(&json!("another"), "failed"),
                attempt(&asked.lock().unwrap(), "failed"),
            ];
            Some(Reply::Result(json!({ "payments": payments })))
        }
        "waitsendpay" => Some(Reply::Error(204, "failed", onion.clone())),
        _ => None,
    });
    assert_eq!(wait(&adapter, &send()), shown);
    let ask = stand_in.asked("waitsendpay");
    assert_eq!(
        ask,
        [json!({"payment_hash": hash(), "timeout": 1, "partid": 2, "groupid": 1})]
    );
    // There was no attempt.
    stand_in.plays(|method, _| {
        (method == "keysend").then(|| Reply::Error(205, "no route to the payee", Value::Null))
    });
    assert_eq!(
        wait(&adapter, &send()),
        json!({"status": "failed", "failure": {"reason": "no route to the payee"}})
    );
    // The payee does not answer an invoice request.
    stand_in.plays(|method, _| {
        (method == "fetchinvoice").then(|| Reply::Error(1005, "no answer", Value::Null))
    });
    let sent = result(&adapter, "offer.pay", json!({"offer": "lno1x"}));
    assert_eq!(wait(&adapter, &sent)["failure"]["reason"], "no answer");
}

#[test]
fn what_is_refused_before_it_is_tried_is_no_payment() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    for (code, kind) in [
        (201, ErrorKind::Rejected),
        (207, ErrorKind::Rejected),
        (-32602, ErrorKind::Invalid),
        (-1, ErrorKind::Rejected),
    ] {
        stand_in.plays(move |method, _| {
            (method == "pay").then(|| Reply::Error(code, "so it is", Value::Null))
        });
        let e = error(&adapter, "invoice.pay", json!({"invoice": "lnbcrt1x"}));
        assert_eq!(e.kind, kind, "{e:?}");
        assert!(e.message.contains("pay: so it is"), "{e:?}");
    }
    stand_in.plays(|method, _| {
        (method == "fetchinvoice").then(|| Reply::Error(1002, "Offer expired", Value::Null))
    });
    let e = error(&adapter, "offer.pay", json!({"offer": "lno1x"}));
    assert_eq!(e.kind, ErrorKind::Rejected);
    // Nothing was told of any of them.
    assert_eq!(
        result(&adapter, "event.list", json!({"kinds": ["payment-failed"]})),
        json!({"events": []})
    );
}

/// A payment that is under way until the test lets it end.
fn under_way(stand_in: &StandIn, end: Reply) -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let label = Arc::new(Mutex::new(Value::Null));
    let over_now = over.clone();
    stand_in.plays(move |method, params| match method {
        "keysend" => {
            *label.lock().unwrap() = params["label"].clone();
            Some(end.clone())
        }
        "listsendpays" => {
            let label = label.lock().unwrap();
            let status = match over_now.load(Ordering::Relaxed) {
                true => "complete",
                false => "pending",
            };
            let payments: Vec<Value> = (!label.is_null())
                .then(|| attempt(&label, status))
                .into_iter()
                .collect();
            Some(Reply::Result(json!({ "payments": payments })))
        }
        _ => None,
    });
    over
}

#[test]
fn a_payment_under_way_has_a_handle_and_is_found_again_after_a_restart() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let over = under_way(&stand_in, Reply::Hold);
    let sent = result(
        &adapter,
        "keysend.send",
        json!({"to": OTHER, "amount_msat": "1"}),
    );
    let soon = json!({"payment": sent["payment"], "deadline_ms": 30});
    assert_eq!(
        error(&adapter, "payment.wait", soon).kind,
        ErrorKind::Timeout
    );
    result(&adapter, "node.stop", json!({"how": "kill"}));
    // The stand-in's socket outlives its program; what holds there is let go.
    std::fs::write(stand_in.data_dir().join("end"), "").unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while stand_in.data_dir().join("end").exists() && std::time::Instant::now() < deadline {
        // The thread of the payment notices the end of its call before the file goes.
        if stand_in.asked("keysend").len() == 1 && resumable(&adapter) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::remove_file(stand_in.data_dir().join("end")).unwrap();
    over.store(true, Ordering::Relaxed);
    result(&adapter, "node.start", start(&stand_in));
    let done = wait(&adapter, &sent);
    assert_eq!(done["status"], "succeeded");
    assert_eq!(done["preimage"], preimage());
}

/// Whether the adapter knows of a payment whose end it has not seen.
fn resumable(adapter: &Adapter) -> bool {
    adapter.backend().has_open()
}

#[test]
fn payments_that_arrive_are_told_once_with_what_their_request_said() {
    let stand_in = StandIn::new();
    stand_in.plays(|method, params| {
        let after = params["lastpay_index"].as_u64();
        match (method, after) {
            ("waitanyinvoice", Some(0)) => Some(Reply::Result(paid_invoice(3))),
            ("waitanyinvoice", Some(3)) => {
                let mut invoice = paid_invoice(4);
                invoice["bolt12"] = json!("lni1qgqsw");
                Some(Reply::Result(invoice))
            }
            ("decode", _) => Some(Reply::Result(
                json!({"type": "bolt12 invoice", "valid": true,
                "invreq_quantity": 5, "invreq_payer_note": "no sugar"}),
            )),
            _ => None,
        }
    });
    let adapter = started(&stand_in);
    let next = |after: u64| {
        let params = json!({"kinds": ["payment-received"], "after": after});
        result(&adapter, "event.next", params)
    };
    assert_eq!(
        next(0),
        json!({"seq": 1, "kind": "payment-received", "payment": hash(), "payment_hash": hash(),
            "amount_msat": "100000", "settled_time": "1700000000"})
    );
    let second = next(1);
    assert_eq!(
        (&second["note"], &second["quantity"]),
        (&json!("no sugar"), &json!("5"))
    );
    let none = json!({"kinds": ["payment-received"], "after": 2, "deadline_ms": 0});
    assert_eq!(error(&adapter, "event.next", none).kind, ErrorKind::Timeout);
}

#[test]
fn forwards_are_told_when_they_have_ended() {
    let stand_in = StandIn::new();
    let forward = |status: &str, index: u64| {
        json!({"created_index": index, "updated_index": index, "in_channel": "103x1x0",
            "in_htlc_id": 1, "in_msat": 100_101, "out_channel": "104x1x0", "out_msat": 100_000,
            "fee_msat": 101, "status": status, "received_time": 1_700_000_000.5})
    };
    stand_in.plays(move |method, params| match method {
        "wait" if params["nextvalue"] == 1 => Some(Reply::Result(
            json!({"subsystem": "forwards", "updated": 3}),
        )),
        "listforwards" => {
            let mut failed = forward("failed", 3);
            failed["failcode"] = json!(16399);
            failed["failreason"] = json!("WIRE_X");
            let forwards = [failed, forward("offered", 1), forward("settled", 2)];
            Some(Reply::Result(json!({ "forwards": forwards })))
        }
        _ => None,
    });
    let adapter = started(&stand_in);
    let next = |kind: &str| result(&adapter, "event.next", json!({"kinds": [kind]}));
    let settled = next("payment-forwarded");
    assert_eq!(
        settled,
        json!({"seq": 1, "kind": "payment-forwarded", "from_scid": "103x1x0",
            "to_scid": "104x1x0", "from": OTHER, "to": OTHER, "amount_msat": "100000",
            "incoming_msat": "100101", "fee_msat": "101"})
    );
    let failed = next("forward-failed");
    assert_eq!(
        (&failed["code"], &failed["reason"]),
        (&json!(16399), &json!("WIRE_X"))
    );
    // It is waited for the change after the last.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while stand_in.asked("wait").len() < 2 && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(stand_in.asked("wait")[1]["nextvalue"], 4);
}

#[test]
fn a_wrong_answer_is_lightningds_fault() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    for (reply, said) in [
        (Reply::Raw("hello"), "no JSON object"),
        (Reply::Raw("{]}"), "none"),
        (Reply::Raw(r#"{"id":"x","result":{}}"#), "its id is"),
        (Reply::Raw(""), "closed without an answer"),
        (Reply::Raw("{\"id\":"), "closed after 6 bytes"),
        (
            Reply::Wrong(json!({})),
            "lightningd's answer to newaddr has no bech32",
        ),
    ] {
        stand_in.plays(move |method, _| (method == "newaddr").then(|| reply.clone()));
        let e = error(&adapter, "wallet.new_address", json!({}));
        assert_eq!(e.kind, ErrorKind::Internal, "{e:?}");
        assert!(
            e.message.contains("lightningd") && e.message.contains(said),
            "{e:?}"
        );
    }
}

#[test]
fn an_answer_that_does_not_come_is_a_timeout_and_names_the_call() {
    let stand_in = StandIn::new();
    stand_in.plays(|method, _| (method == "getinfo").then_some(Reply::Hold));
    let limit = Some(Duration::from_millis(40));
    let e = stand_in
        .client()
        .call("getinfo", &json!({}), limit)
        .unwrap_err();
    let e = OpError::from(e);
    assert_eq!(e.kind, ErrorKind::Timeout);
    assert!(
        e.message.contains("lightningd has not answered getinfo"),
        "{e:?}"
    );
}

#[test]
fn a_height_that_does_not_come_is_told_with_the_last_one_seen() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let e = error(
        &adapter,
        "chain.sync",
        json!({"height": 111, "deadline_ms": 30}),
    );
    assert_eq!(e.kind, ErrorKind::Timeout);
    assert!(
        e.message.contains("height 111") && e.message.contains("it is 110"),
        "{e:?}"
    );
}

#[test]
fn a_node_that_dies_is_named_with_the_end_of_its_log() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    stand_in.plays(|method, _| (method == "listfunds").then_some(Reply::Die));
    let e = error(&adapter, "wallet.balance", json!({}));
    assert_eq!(e.kind, ErrorKind::Internal);
    assert!(
        e.message.contains("lightningd has ended by itself"),
        "{e:?}"
    );
    assert!(e.message.contains("gone"), "{e:?}");
}

#[test]
fn a_program_that_ends_at_once_is_quoted() {
    let stand_in = StandIn::new();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("lightningd");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo v25.09; exit 0; }\n\
        echo bitcoin-cli not found; exit 1\n";
    write_program(&program, script);
    let adapter = NodeAdapter::new(Cln::new(&program).unwrap());
    let mut params = start(&stand_in);
    params["data_dir"] = json!(dir.path().join("data"));
    let e = error(&adapter, "node.start", params);
    assert_eq!(e.kind, ErrorKind::Rejected);
    assert!(e.message.contains("bitcoin-cli not found"), "{e:?}");
    for program in ["/nonexistent/lightningd", "true", "false"] {
        let e = Cln::new(Path::new(program)).unwrap_err().to_string();
        assert!(
            e.contains(program) && e.contains("is it lightningd?"),
            "{e}"
        );
    }
}

#[test]
fn a_long_path_is_no_obstacle_to_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("d".repeat(120));
    std::fs::create_dir(&folder).unwrap();
    let short = dir.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&short).unwrap();
    std::fs::rename(&short, folder.join("lightning-rpc")).unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 256]).unwrap();
        stream
            .write_all(br#"{"id":"lnconform-1","result":{"a":1}}"#)
            .unwrap();
    });
    let client = crate::rpc::Client::new(&folder);
    let limit = Some(Duration::from_secs(20));
    assert_eq!(
        client.call("x", &json!({}), limit).unwrap(),
        json!({"a": 1})
    );
}

#[test]
fn params_are_judged_before_there_is_a_node() {
    let stand_in = StandIn::new();
    let adapter = adapter(&stand_in);
    for op in OPERATIONS.iter().chain(&MESSAGES) {
        let e = error(&adapter, op, json!({}));
        let missing = e.kind == ErrorKind::Invalid && e.message.contains("is missing");
        let stopped = e.kind == ErrorKind::Rejected && e.message.contains("node.start");
        assert!(missing || stopped, "{op}: {e:?}");
    }
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
            "peer.connect",
            json!({"node_id": KEY, "address": "8.8.8.8:1"}),
            "loopback",
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
            json!({"to": KEY, "amount_msat": "1", "records": [{}]}),
            "type",
        ),
        ("invoice.create", json!({"preimage": "00"}), "preimage"),
        (
            "invoice.create",
            json!({"preimage": hash(), "payment_hash": hash()}),
            "exclude",
        ),
        ("offer.create", json!({"quantity_max": "x"}), "quantity_max"),
        (
            "offer.pay",
            json!({"offer": "lno1", "quantity": "x"}),
            "quantity",
        ),
        ("event.next", json!({"kinds": [1]}), "kinds"),
        ("node.stop", json!({"how": "gently"}), "how"),
    ] {
        let e = error(&adapter, op, params.clone());
        assert!(e.message.contains(named), "{op} {params}: {e:?}");
        assert!(
            matches!(e.kind, ErrorKind::Invalid | ErrorKind::Rejected),
            "{e:?}"
        );
    }
    for (op, params, named) in [
        (
            "keysend.send",
            json!({"to": KEY, "amount_msat": "1", "preimage": hash()}),
            "preimage",
        ),
        (
            "keysend.send",
            json!({"to": KEY, "parts": [{"amount_msat": "1"}]}),
            "parts",
        ),
        (
            "invoice.create",
            json!({"payment_hash": hash()}),
            "payment_hash",
        ),
        ("invoice.create", json!({"amp": true}), "amp"),
        (
            "invoice.pay",
            json!({"invoice": "x", "max_parts": 2}),
            "max_parts",
        ),
        ("offer.create", json!({"async": true}), "async"),
        ("message.sign", json!({"message": "ff"}), "UTF-8"),
        (
            "message.sign",
            json!({"message": "00", "algorithm": "bip340"}),
            "bip340",
        ),
    ] {
        let why = unsupported(&adapter, op, params.clone());
        assert!(why.contains(named), "{op} {params}: {why}");
    }
    // False asks for nothing.
    let e = error(&adapter, "invoice.create", json!({"amp": false}));
    assert!(e.message.contains("node.start"), "{e:?}");
    let mut params = start(&stand_in);
    params["network"] = json!("bitcoin");
    assert!(
        error(&adapter, "node.start", params)
            .message
            .contains("regtest")
    );
    for (options, named) in [
        (json!({"forwards": false}), "forwards"),
        (json!({"watch": true}), "watch"),
    ] {
        let mut params = start(&stand_in);
        params["options"] = options;
        let why = unsupported(&adapter, "node.start", params);
        assert!(why.contains(named), "{why}");
    }
    let mut params = start(&stand_in);
    params["options"] = json!({"log_level": "loud"});
    assert!(
        error(&adapter, "node.start", params)
            .message
            .contains("log_level")
    );
}

#[test]
fn the_stand_in_refuses_what_is_not_published() {
    let right = json!({"destination": KEY, "amount_msat": 1, "label": "x"});
    request_fits("keysend", &right).unwrap();
    for (field, value, said) in [
        ("preimage", json!("00"), "preimage is unknown"),
        ("destination", json!("02"), "public key"),
        ("label", json!(5), "string"),
    ] {
        let mut wrong = right.clone();
        wrong[field] = value;
        let why = request_fits("keysend", &wrong).unwrap_err();
        assert!(why.contains(said), "{why}");
    }
    let why = request_fits("keysend", &json!({"amount_msat": 1})).unwrap_err();
    assert!(why.contains("destination"), "{why}");
    assert!(request_fits("keysendd", &right).is_err());
    response_fits("keysend", &paid()).unwrap();
    let mut wrong = paid();
    wrong["preimage"] = json!("x");
    assert!(response_fits("keysend", &wrong).is_err());
    // And says so at the end.
    let stand_in = StandIn::new();
    let _ = stand_in.client().call(
        "newaddr",
        &json!({"type": "x"}),
        Some(Duration::from_secs(20)),
    );
    let wrong = stand_in.wrong();
    assert!(
        wrong.len() == 1 && wrong[0].contains("type is unknown"),
        "{wrong:?}"
    );
}
