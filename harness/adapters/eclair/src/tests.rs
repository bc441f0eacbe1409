//! The adapter against the stand-in: every operation once right, and what goes wrong told with whose
//! fault it is.

use crate::node::Eclair;
use crate::standin::{ID, Reply, StandIn, hash, part, request_fits};
use lnconform_adapter_process::NodeAdapter;
use lnconform_adapter_process::testing::{
    KEY, OTHER, answers, error, judges_params, refuses_empty_requests, result, start_params,
    stops_and_starts, tells_of_its_end, unsupported, waits_for_blocks_in_vain,
};
use lnconform_protocol::ErrorKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

type Adapter = NodeAdapter<Eclair>;

fn adapter(stand_in: &StandIn) -> Adapter {
    NodeAdapter::new(Eclair::new(&stand_in.program()).unwrap())
}

fn start(stand_in: &StandIn) -> Value {
    let options = json!({"announce": true, "forwards": true});
    start_params(&stand_in.data_dir(), stand_in.bitcoind, "p", &options)
}

/// An adapter whose node is the stand-in.
fn started(stand_in: &StandIn) -> Adapter {
    let adapter = adapter(stand_in);
    result(&adapter, "node.start", start(stand_in));
    adapter
}

fn wait(adapter: &Adapter) -> Value {
    result(adapter, "payment.wait", json!({"payment": ID}))
}

#[test]
fn a_node_is_started_with_its_own_settings_and_wallet_and_stopped() {
    let stand_in = StandIn::new();
    let adapter = adapter(&stand_in);
    let started = result(&adapter, "node.start", start(&stand_in));
    assert_eq!(started["node_id"], KEY);
    assert_eq!(started["address"], "127.0.0.1:9735");
    assert_eq!(started["version"], "0.13.0");
    let settings = std::fs::read_to_string(stand_in.data_dir().join("eclair.conf")).unwrap();
    let wallet = &stand_in.asked("bitcoind")[0];
    assert_eq!(wallet["method"], "createwallet");
    for line in [
        "chain = \"regtest\"".to_owned(),
        "node-alias = \"payee\"".to_owned(),
        "port = 9735".to_owned(),
        format!("rpcport = {}", stand_in.bitcoind),
        "rpcpassword = \"p\"".to_owned(),
        format!("wallet = \"{}\"", wallet["wallet"]),
        "zmqblock = \"tcp://127.0.0.1:2\"".to_owned(),
        "keysend = optional".to_owned(),
    ] {
        assert!(
            settings.lines().any(|l| l.trim() == line),
            "{line}: {settings}"
        );
    }
    use std::os::unix::fs::PermissionsExt;
    let file = std::fs::metadata(stand_in.data_dir().join("eclair.conf")).unwrap();
    assert_eq!(file.permissions().mode() & 0o077, 0);
    let log = std::fs::read_to_string(stand_in.data_dir().join("adapter-eclair.log")).unwrap();
    assert!(log.contains("-Declair.datadir="), "{log}");
    let again = error(&adapter, "node.start", start(&stand_in));
    assert!(again.message.contains("node.stop"), "{again:?}");
    // The wallet is there already, and loaded.
    stops_and_starts(&adapter, start(&stand_in));
    let methods: Vec<String> = stand_in
        .asked("bitcoind")
        .iter()
        .map(|r| r["method"].clone())
        .collect();
    assert_eq!(methods, ["createwallet", "createwallet", "loadwallet"]);
    assert_eq!(
        result(&adapter, "node.stop", json!({"how": "kill"})),
        json!({})
    );
}

#[test]
fn every_operation_asks_as_published_and_shows_what_it_saw() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let table = [
        ("chain.sync", json!({"height": 110}), json!({"height": 110})),
        (
            "wallet.new_address",
            json!({}),
            json!({"address": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"}),
        ),
        (
            "wallet.balance",
            json!({}),
            json!({"confirmed_sat": "20000000", "spendable_sat": "20005000"}),
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
            json!([{"node_id": OTHER, "address": "127.0.0.1:9735", "connected": true},
                {"node_id": KEY, "connected": false}]),
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
                "funding": format!("{}:1", "04".repeat(32)), "scid": "103x1x1",
                "capacity_sat": "10000000", "outbound_msat": "4890000000",
                "inbound_msat": "4900000000", "local_msat": "5000000000",
                "remote_msat": "5000000000", "htlcs": 0}]),
        ),
        (
            "graph.channels",
            json!({}),
            json!([{"scid": "103x1x1", "nodes": [KEY, OTHER], "directions": 2},
                {"scid": "104x1x0", "nodes": [KEY, OTHER], "directions": 1}]),
        ),
        (
            "graph.nodes",
            json!({}),
            json!([{"node_id": KEY, "alias": "a", "addresses": ["127.0.0.1:9735"]}]),
        ),
        (
            "invoice.create",
            json!({"amount_msat": "100000", "description": "tea & ☕", "expiry": "60",
                "preimage": "07".repeat(32)}),
            json!({"invoice": "lnbcrt1x", "payment_hash": hash()}),
        ),
        (
            "invoice.lookup",
            json!({"payment_hash": hash()}),
            json!({"payment_hash": hash(), "state": "settled", "is_amp": false,
                "received_msat": "100000", "settled_time": "1700000000"}),
        ),
        (
            "offer.create",
            json!({"amount_msat": "50000", "description": "tea", "expiry": "60"}),
            json!({"offer": "lno1qgqsw"}),
        ),
        (
            "message.sign",
            json!({"message": "6869"}),
            json!({"signature": "1f00"}),
        ),
        (
            "message.verify",
            json!({"message": "6869", "signature": "1f00", "public_key": OTHER}),
            json!({"valid": true}),
        ),
        (
            "message.verify",
            json!({"message": "6869", "signature": "1f00"}),
            json!({"valid": false}),
        ),
        ("event.list", json!({}), json!({"events": []})),
    ];
    // The others have tests of their own.
    let apart = [
        "node.start",
        "node.stop",
        "invoice.pay",
        "keysend.send",
        "offer.pay",
        "payment.wait",
        "event.next",
    ];
    answers(&adapter, &table, &apart);
    let open = &stand_in.asked("open")[0];
    assert_eq!(open["pushMsat"], "5000000001");
    assert_eq!(
        (&open["announceChannel"][..], &open["fundingSatoshis"][..]),
        ("true", "10000000")
    );
    let invoice = &stand_in.asked("createinvoice")[0];
    assert_eq!(
        (&invoice["description"][..], &invoice["expireIn"][..]),
        ("tea & ☕", "60")
    );
    assert_eq!(stand_in.asked("signmessage")[0]["msg"], "aGk=");
    result(
        &adapter,
        "invoice.create",
        json!({"description_hash": hash()}),
    );
    assert_eq!(
        stand_in.asked("createinvoice")[1]["descriptionHash"],
        hash()
    );
}

#[test]
fn payments_are_sent_and_their_end_is_told() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let sent = json!({"type": "payment-sent", "id": ID, "paymentHash": hash(),
        "paymentPreimage": "0b".repeat(32), "recipientAmount": 100_000, "recipientNodeId": OTHER,
        "parts": [{"id": ID, "amount": 50_000, "feesPaid": 60, "toChannelId": hash()},
            {"id": ID, "amount": 50_000, "feesPaid": 41, "toChannelId": hash()}]});
    let done = json!({"status": "succeeded", "payment_hash": hash(), "preimage": "0b".repeat(32),
        "fee_msat": "101", "parts": 2});
    for (op, params, call, fields) in [
        (
            "keysend.send",
            json!({"to": OTHER, "amount_msat": "100000"}),
            "sendtonode",
            vec![("amountMsat", "100000"), ("nodeId", OTHER)],
        ),
        (
            "invoice.pay",
            json!({"invoice": "lnbcrt1x", "amount_msat": "5"}),
            "payinvoice",
            vec![("amountMsat", "5"), ("invoice", "lnbcrt1x")],
        ),
        (
            "offer.pay",
            json!({"offer": "lno1qgqsw", "amount_msat": "70000", "quantity": "2"}),
            "payoffer",
            vec![
                ("amountMsat", "70000"),
                ("offer", "lno1qgqsw"),
                ("quantity", "2"),
            ],
        ),
    ] {
        assert_eq!(result(&adapter, op, params), json!({"payment": ID}));
        let asked = stand_in.asked(call).pop().unwrap();
        let asked: Vec<_> = asked
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(asked, fields);
        let soon = json!({"payment": ID, "deadline_ms": 20});
        assert_eq!(
            error(&adapter, "payment.wait", soon).kind,
            ErrorKind::Timeout
        );
        stand_in.tell(&sent);
        assert_eq!(wait(&adapter), done);
    }
    let unknown = error(&adapter, "payment.wait", json!({"payment": "x"}));
    assert_eq!(unknown.kind, ErrorKind::Rejected);
    // An offer without an amount, and a payer who names none.
    let e = error(&adapter, "offer.pay", json!({"offer": "lno1qgqsw"}));
    assert!(
        e.kind == ErrorKind::Rejected && e.message.contains("amount_msat"),
        "{e:?}"
    );
}

#[test]
fn a_payment_that_fails_is_told_with_the_failure_of_its_onion() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let event = json!({"type": "payment-failed", "id": ID, "paymentHash": hash(), "failures": []});
    let fail = |failures: Value| {
        stand_in.plays(move |call, _| {
            let status = json!({"type": "failed", "failures": failures});
            (call == "getsentinfo").then(|| Reply::Result(json!([part(&status)])))
        });
        let params = json!({"to": OTHER, "amount_msat": "1"});
        result(&adapter, "keysend.send", params);
        stand_in.tell(&event);
        wait(&adapter)
    };
    let remote = json!([{"failureType": "Remote", "failedNode": OTHER,
        "failureMessage": "incorrect payment details or unknown payment hash",
        "failedRoute": [{"nodeId": KEY, "nextNodeId": OTHER}]}]);
    assert_eq!(
        fail(remote),
        json!({"status": "failed", "failure": {"code": 16399, "hop": 0,
            "reason": "incorrect payment details or unknown payment hash"}})
    );
    let other = json!([{"failureType": "Local", "failureMessage": "balance too low"}]);
    assert_eq!(
        fail(other),
        json!({"status": "failed", "failure": {"reason": "balance too low"}})
    );
    let none = fail(json!([]));
    assert!(
        none["failure"]["reason"]
            .as_str()
            .unwrap()
            .contains("no route")
    );
}

#[test]
fn a_payment_under_way_is_found_again_after_a_restart() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    result(
        &adapter,
        "keysend.send",
        json!({"to": OTHER, "amount_msat": "1"}),
    );
    result(&adapter, "node.stop", json!({"how": "kill"}));
    stand_in.plays(|call, _| {
        let status = json!({"type": "sent", "paymentPreimage": "0b".repeat(32), "feesPaid": 5});
        (call == "getsentinfo").then(|| Reply::Result(json!([part(&status)])))
    });
    result(&adapter, "node.start", start(&stand_in));
    let done = wait(&adapter);
    assert_eq!(done["status"], "succeeded");
    assert_eq!(done["preimage"], "0b".repeat(32));
}

#[test]
fn what_arrives_and_what_is_passed_on_is_told() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    stand_in.tell(&json!({"type": "payment-received", "paymentHash": hash(),
        "parts": [{"amount": 60_000, "fromChannelId": hash()},
            {"amount": 40_000, "fromChannelId": hash()}]}));
    stand_in.tell(
        &json!({"type": "payment-relayed", "amountIn": 100_101, "amountOut": 100_000,
        "paymentHash": hash(), "fromChannelId": hash(), "toChannelId": hash()}),
    );
    stand_in.tell(
        &json!({"type": "trampoline-payment-relayed", "paymentHash": hash(),
        "incoming": [{"amount": 60_000}, {"amount": 41_000}], "outgoing": [{"amount": 100_000}]}),
    );
    stand_in.tell(&json!({"type": "channel-closed"}));
    let next = |kind: &str| result(&adapter, "event.next", json!({"kinds": [kind]}));
    assert_eq!(
        next("payment-received"),
        json!({"seq": 1, "kind": "payment-received", "payment": hash(), "payment_hash": hash(),
            "amount_msat": "100000", "parts": [{"amount_msat": "60000"}, {"amount_msat": "40000"}]})
    );
    assert_eq!(
        next("payment-forwarded"),
        json!({"seq": 2, "kind": "payment-forwarded", "payment_hash": hash(),
            "amount_msat": "100000", "incoming_msat": "100101", "fee_msat": "101"})
    );
    let over_trampolines = json!({"kinds": ["payment-forwarded"], "after": 2});
    let forwarded = result(&adapter, "event.next", over_trampolines);
    assert_eq!(
        (&forwarded["incoming_msat"], &forwarded["fee_msat"]),
        (&json!("101000"), &json!("1000"))
    );
}

#[test]
fn a_wrong_answer_and_a_refusal_are_eclairs() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    for (reply, kind, said) in [
        (Reply::Raw("hello\r\n\r\n"), ErrorKind::Internal, "no HTTP"),
        (
            Reply::Raw(""),
            ErrorKind::Internal,
            "closed without an answer",
        ),
        (
            Reply::Raw("HTTP/1.1 200 OK\r\n"),
            ErrorKind::Internal,
            "closed after 17 bytes",
        ),
        (
            Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]"),
            ErrorKind::Internal,
            "no JSON",
        ),
        (
            Reply::Result(json!({})),
            ErrorKind::Internal,
            "has no address",
        ),
        (Reply::Error(401, "no"), ErrorKind::Internal, "HTTP 401"),
        (
            Reply::Error(500, "bitcoind is gone"),
            ErrorKind::Rejected,
            "bitcoind is gone",
        ),
        (
            Reply::Error(400, "The form field 'x' was malformed"),
            ErrorKind::Invalid,
            "form field",
        ),
    ] {
        stand_in.plays(move |call, _| (call == "getnewaddress").then(|| reply.clone()));
        let e = error(&adapter, "wallet.new_address", json!({}));
        assert_eq!(e.kind, kind, "{e:?}");
        assert!(e.message.contains(said), "{e:?}");
        assert!(e.message.contains("getnewaddress"), "{e:?}");
    }
    let none = "The requested resource could not be found.";
    stand_in.plays(move |call, _| (call == "payoffer").then_some(Reply::Error(404, none)));
    let params = json!({"offer": "lno1qgqsw", "amount_msat": "1"});
    let why = unsupported(&adapter, "offer.pay", params);
    assert!(why.contains("payoffer"), "{why}");
    stand_in.plays(|call, _| match call {
        "getreceivedinfo" => Some(Reply::Error(404, "Not found")),
        "open" => Some(Reply::Result(json!("peer is not connected"))),
        _ => None,
    });
    let e = error(&adapter, "invoice.lookup", json!({"payment_hash": hash()}));
    assert_eq!(e.kind, ErrorKind::Rejected);
    let params = json!({"node_id": OTHER, "capacity_sat": "100000"});
    let e = error(&adapter, "channel.open", params);
    assert!(e.message.contains("peer is not connected"), "{e:?}");
    waits_for_blocks_in_vain(&adapter);
}

#[test]
fn a_node_that_dies_is_named_with_the_end_of_its_log() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    stand_in.plays(|call, _| (call == "onchainbalance").then_some(Reply::Die));
    tells_of_its_end(&adapter, "eclair");
    let e = error(&adapter, "node.stop", json!({}));
    assert!(e.message.contains("ended by itself"), "{e:?}");
}

#[test]
fn a_bitcoind_that_is_not_there_is_named() {
    let stand_in = StandIn::new();
    let adapter = adapter(&stand_in);
    let mut params = start(&stand_in);
    params["chain"]["bitcoind"]["rpc_port"] = json!(1);
    let e = error(&adapter, "node.start", params);
    assert!(e.message.contains("bitcoind's interface"), "{e:?}");
    assert_eq!(e.kind, ErrorKind::Internal);
    let e = Eclair::new(Path::new("/nonexistent/bin/eclair-node.sh")).unwrap_err();
    assert!(e.to_string().contains("ECLAIR_HOME"), "{e}");
}

#[test]
fn params_are_judged_before_there_is_a_node() {
    let stand_in = StandIn::new();
    let adapter = adapter(&stand_in);
    refuses_empty_requests(&adapter);
    judges_params(&adapter);
    for (op, params, named) in [
        (
            "offer.pay",
            json!({"offer": "lno1", "quantity": "x"}),
            "quantity",
        ),
        (
            "message.verify",
            json!({"message": "00", "signature": "zz"}),
            "signature",
        ),
    ] {
        let e = error(&adapter, op, params.clone());
        assert!(e.message.contains(named), "{op} {params}: {e:?}");
        assert!(
            matches!(e.kind, ErrorKind::Invalid | ErrorKind::Rejected),
            "{e:?}"
        );
    }
    let records = json!([{"type": "65537", "value": "00"}]);
    for (op, params, named) in [
        (
            "keysend.send",
            json!({"to": KEY, "amount_msat": "1", "preimage": hash()}),
            "preimage",
        ),
        (
            "keysend.send",
            json!({"to": KEY, "amount_msat": "1", "records": records}),
            "records",
        ),
        (
            "invoice.create",
            json!({"payment_hash": hash()}),
            "payment_hash",
        ),
        (
            "invoice.pay",
            json!({"invoice": "x", "max_parts": 2}),
            "max_parts",
        ),
        ("offer.create", json!({"quantity_max": "5"}), "quantity_max"),
        ("offer.pay", json!({"offer": "lno1", "note": "hi"}), "note"),
        (
            "message.sign",
            json!({"message": "00", "algorithm": "bip340"}),
            "bip340",
        ),
    ] {
        let why = unsupported(&adapter, op, params.clone());
        assert!(why.contains(named), "{op} {params}: {why}");
    }
    let with = |path: &str, value: Value| {
        let mut params = start(&stand_in);
        params[path] = value;
        params
    };
    let why = unsupported(
        &adapter,
        "node.start",
        with("options", json!({"forwards": false})),
    );
    assert!(why.contains("forwards"), "{why}");
    let chain =
        json!({"bitcoind": {"rpc_host": "127.0.0.1", "rpc_port": 1, "user": "u", "password": "p"}});
    let e = error(&adapter, "node.start", with("chain", chain));
    assert!(e.message.contains("zmq_block"), "{e:?}");
}

#[test]
fn the_stand_in_refuses_what_is_not_published() {
    let fields = |more: &[(&str, &str)]| {
        let right = [("nodeId", KEY), ("fundingSatoshis", "100000")];
        let all = right.iter().chain(more);
        let all = all.map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        all.collect::<BTreeMap<_, _>>()
    };
    request_fits("open", &fields(&[("pushMsat", "1")])).unwrap();
    for (more, said) in [
        (("pushMsat", "1.5"), "pushMsat is 1.5"),
        (("announceChannel", "1"), "announceChannel"),
        (("private", "true"), "private is unknown"),
        (("nodeId", "02"), "nodeId"),
    ] {
        let why = request_fits("open", &fields(&[more])).unwrap_err();
        assert!(why.contains(said), "{why}");
    }
    let why = request_fits("open", &BTreeMap::new()).unwrap_err();
    assert!(why.contains("nodeId is missing"), "{why}");
    assert!(request_fits("opens", &BTreeMap::new()).is_err());
}
