//! The adapter against the stand-in: every operation once right, and what goes wrong told with whose
//! fault it is.

use crate::node::LndNode;
use crate::read::base64;
use crate::standin::{Reply, StandIn, attempt, hash, payment, request_of};
use lnconform_adapter_process::NodeAdapter;
use lnconform_adapter_process::testing::{
    KEY, OTHER, answers, error, eventually, graph, judges_params, result, start_params,
    stops_and_starts, tells_of_its_end, waits_for_blocks_in_vain,
};
use lnconform_protocol::ErrorKind;
use lnconform_protocol::concurrent::ConcurrentHandler;
use lnconform_protocol::params::hex;
use serde_json::{Value, json};

type Adapter = NodeAdapter<LndNode>;

/// Block 103, transaction 1, output 0.
const CHANNEL: &str = "113249697726464";

fn adapter(stand_in: &StandIn) -> Adapter {
    NodeAdapter::new(LndNode::new(&stand_in.program(), None).unwrap())
}

fn start(stand_in: &StandIn) -> Value {
    let options = json!({"announce": true});
    start_params(&stand_in.data_dir(), 1, "secret", &options)
}

/// An adapter whose node is the stand-in.
fn started(stand_in: &StandIn) -> Adapter {
    let adapter = adapter(stand_in);
    result(&adapter, "node.start", start(stand_in));
    adapter
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
    assert_eq!(started["version"], "v0.21.2-beta");
    assert_eq!(started["features"], "0200");
    assert_eq!(started["attach"][0]["name"], "lncli");
    let settings = std::fs::read_to_string(stand_in.data_dir().join("lnd.conf")).unwrap();
    for line in [
        "listen=127.0.0.1:9735",
        "externalip=127.0.0.1:9735",
        "alias=payee",
        "accept-keysend=true",
        "bitcoin.regtest=true",
        "bitcoind.rpchost=127.0.0.1:1",
        "bitcoind.rpcpass=secret",
        "bitcoind.zmqpubrawblock=tcp://127.0.0.1:2",
    ] {
        assert!(settings.lines().any(|l| l == line), "{line}: {settings}");
    }
    stops_and_starts(&adapter, start(&stand_in));
    assert_eq!(stand_in.asked("POST /v1/stop").len(), 1);
    let log = std::fs::read_to_string(stand_in.data_dir().join("lnd.log")).unwrap();
    assert!(
        log.contains("--lnddir=") && !log.contains("secret"),
        "{log:?}"
    );
    adapter.closing();
    adapter.shutdown();
    assert_eq!(stand_in.asked("POST /v1/stop").len(), 2);
}

#[test]
fn every_operation_asks_as_published_and_shows_what_it_saw() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let funding = format!("05{}:1", "04".repeat(31));
    let [channels, nodes] = graph();
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
            json!({"confirmed_sat": "20000000", "spendable_sat": "20005000",
                "total_sat": "20005000", "lightning_sat": "5000000"}),
        ),
        (
            "peer.connect",
            json!({"node_id": OTHER, "address": "127.0.0.1:9735"}),
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
                "push_msat": "5000000000", "announce": true}),
            json!({ "funding": funding }),
        ),
        (
            "channel.list",
            json!({}),
            json!([{"peer": OTHER, "usable": true, "ready": true, "announced": true,
                "outbound": true, "funding": format!("{}:1", "04".repeat(32)), "scid": "103x1x0",
                "capacity_sat": "10000000", "outbound_msat": "4900000000",
                "inbound_msat": "4890000000", "local_msat": "5000000000",
                "remote_msat": "4990000000", "htlcs": 0},
                {"peer": OTHER, "usable": false, "ready": false, "announced": false,
                "outbound": false, "funding": format!("{}:0", "06".repeat(32)),
                "capacity_sat": "500000", "outbound_msat": "0", "inbound_msat": "0"}]),
        ),
        channels,
        nodes,
        (
            "invoice.create",
            json!({"amount_msat": "100000", "description": "tea", "expiry": "60",
                "preimage": "07".repeat(32)}),
            json!({"invoice": "lnbcrt1x", "payment_hash": hex(hash()),
                "payment_secret": "08".repeat(32)}),
        ),
        (
            "invoice.lookup",
            json!({"payment_hash": hex(hash())}),
            json!({"payment_hash": hex(hash()), "payment_secret": "08".repeat(32),
                "state": "settled", "is_amp": false, "is_keysend": false,
                "amount_msat": "100000", "received_msat": "100000",
                "settled_time": "1700000000", "htlcs": []}),
        ),
        (
            "payment.settle",
            json!({"payment_hash": hex(hash()), "preimage": "07".repeat(32)}),
            json!({}),
        ),
        (
            "payment.cancel",
            json!({"payment_hash": hex(hash())}),
            json!({}),
        ),
        (
            "message.sign",
            json!({"message": "6869"}),
            json!({"signature": "d9sig"}),
        ),
        (
            "message.sign",
            json!({"message": "6869", "algorithm": "bip340", "tag": "x"}),
            json!({"signature": "09".repeat(64)}),
        ),
        (
            "message.verify",
            json!({"message": "6869", "signature": "d9sig"}),
            json!({"valid": true}),
        ),
        (
            "message.verify",
            json!({"message": "6869", "signature": "d9sig", "public_key": OTHER}),
            json!({"valid": false}),
        ),
        (
            "message.verify",
            json!({"message": "6869", "signature": "09".repeat(64), "algorithm": "bip340",
                "tag": "x"}),
            json!({"valid": true}),
        ),
    ];
    // The others have tests of their own.
    let apart = [
        "node.start",
        "node.stop",
        "peer.disconnect",
        "invoice.pay",
        "keysend.send",
        "amp.send",
        "payment.wait",
        "htlc.intercept",
        "htlc.next",
        "htlc.resolve",
        "event.next",
    ];
    answers(&adapter, &table, &apart);
    assert_eq!(
        stand_in.asked("POST /v1/channels"),
        [
            json!({"node_pubkey": base64(hex_bytes(OTHER)), "local_funding_amount": "10000000",
            "push_sat": "5000000", "private": false, "spend_unconfirmed": true, "min_confs": 0})
        ]
    );
    let invoice = &stand_in.asked("POST /v1/invoices")[0];
    assert_eq!(
        (&invoice["value_msat"], &invoice["r_preimage"]),
        (&json!("100000"), &json!(base64([7; 32])))
    );
    assert_eq!(
        stand_in.asked("POST /v2/invoices/settle"),
        [json!({"preimage": base64([7; 32])})]
    );
    // The x coordinate alone is what BIP 340 has of a key.
    let verified = &stand_in.asked("POST /v2/signer/verifymessage")[0];
    assert_eq!(verified["pubkey"], base64(&hex_bytes(KEY)[1..]));
}

fn hex_bytes(text: &str) -> Vec<u8> {
    lnconform_protocol::params::hex_bytes(text).unwrap()
}

#[test]
fn params_are_judged_before_there_is_a_node() {
    judges_params(&adapter(&StandIn::new()));
}

#[test]
fn invoices_of_every_kind_are_made() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let held = json!({"payment_hash": hex(hash()), "amount_msat": "5"});
    let made = result(&adapter, "invoice.create", held);
    assert_eq!(made["invoice"], "lnbcrt1held");
    assert_eq!(made["payment_hash"], hex(hash()));
    // It is watched from then on.
    let subscribe = "GET /v2/invoices/subscribe/{r_hash}";
    tell_until(
        &stand_in,
        subscribe,
        &json!({"r_hash": base64(hash()), "state": "ACCEPTED",
        "htlcs": [{"state": "ACCEPTED", "amt_msat": "5"}]}),
    );
    let told = result(&adapter, "event.next", json!({"kinds": ["payment-held"]}));
    assert_eq!(told["payment_hash"], hex(hash()));

    result(&adapter, "invoice.create", json!({"amp": true}));
    let asked = stand_in.asked("POST /v1/invoices");
    assert_eq!(asked.last().unwrap()["is_amp"], true);

    let first = hex([2; 33]);
    let blinded = json!({"amount_msat": "5", "blinded": true, "via": [first]});
    let made = result(&adapter, "invoice.create", blinded);
    assert_eq!(
        made["paths"],
        json!([{"first_node_id": first, "first_path_key": hex([3; 33]),
            "hops": [{"blinded_node_id": first, "encrypted_data": "0102"}],
            "payinfo": {"fee_base_msat": "1", "fee_proportional_millionths": "2",
                "cltv_expiry_delta": 80, "htlc_minimum_msat": "1"}}])
    );
    let elsewhere = json!({"amount_msat": "5", "blinded": true, "via": [OTHER]});
    let e = error(&adapter, "invoice.create", elsewhere);
    assert_eq!(e.kind, ErrorKind::Rejected);
}

/// Tells a stream once it is read.
fn tell_until(stand_in: &StandIn, call: &str, message: &Value) {
    eventually("somebody who reads the stream", || {
        !stand_in.asked(call).is_empty() && stand_in.is_read(call)
    });
    stand_in.tell(call, message);
}

#[test]
fn payments_are_sent_and_waited_for() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let htlc = json!({"amount_msat": "100000", "status": "succeeded", "preimage": "07".repeat(32)});
    let done = json!({"status": "succeeded", "payment_hash": hex(hash()),
        "preimage": "07".repeat(32), "fee_msat": "101", "parts": 1, "htlcs": [htlc]});
    let sent = result(
        &adapter,
        "keysend.send",
        json!({"to": OTHER, "amount_msat": "100000", "preimage": "07".repeat(32),
            "records": [{"type": "65537", "value": "68690a"}]}),
    );
    assert_eq!(sent, json!({"payment": hex(hash())}));
    assert_eq!(wait(&adapter, &sent), done);
    let ask = &stand_in.asked("POST /v2/router/send")[0];
    assert_eq!(ask["amt_msat"], "100000");
    assert_eq!(
        ask["dest_custom_records"],
        json!({"65537": "aGkK", "5482373484": base64([7; 32])})
    );
    assert_eq!(ask["payment_hash"], base64(hash()));

    let params = json!({"invoice": "lnbcrt1x", "max_parts": 2, "max_shard_msat": "60000"});
    let sent = result(&adapter, "invoice.pay", params);
    assert_eq!(wait(&adapter, &sent), done);
    let ask = &stand_in.asked("POST /v2/router/send")[1];
    assert_eq!(
        (&ask["payment_request"], &ask["max_parts"]),
        (&json!("lnbcrt1x"), &json!(2))
    );
    assert_eq!(stand_in.asked("GET /v1/payreq/{pay_req}").len(), 1);

    let sent = result(
        &adapter,
        "amp.send",
        json!({"to": OTHER, "amount_msat": "100000"}),
    );
    let done = wait(&adapter, &sent);
    assert_eq!(
        (&done["status"], &done["set_id"]),
        (&json!("succeeded"), &json!(hex(hash())))
    );
    assert_eq!(stand_in.asked("POST /v2/router/send")[2]["amp"], true);
    let unknown = json!({"payment": "00".repeat(32)});
    let unknown = error(&adapter, "payment.wait", unknown);
    assert_eq!(unknown.kind, ErrorKind::Rejected);
}

#[test]
fn htlcs_are_sent_over_routes_of_the_callers() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let secret = "04".repeat(32);
    let sent = result(
        &adapter,
        "keysend.send",
        json!({"to": OTHER, "preimage": "07".repeat(32), "payment_secret": secret,
            "total_msat": "9", "via": [OTHER], "parts": [{"amount_msat": "1"}, {"amount_msat": "2"}]}),
    );
    let done = wait(&adapter, &sent);
    assert_eq!(
        (&done["status"], &done["parts"]),
        (&json!("succeeded"), &json!(2))
    );
    let mut amounts: Vec<Value> = stand_in
        .asked("POST /v2/router/route")
        .iter()
        .map(|r| r["amt_msat"].clone())
        .collect();
    amounts.sort_by_key(Value::to_string);
    assert_eq!(amounts, ["1", "2"]);
    let route = &stand_in.asked("POST /v2/router/route/send")[0]["route"];
    assert_eq!(
        route["hops"][0]["mpp_record"],
        json!({"payment_addr": base64([4; 32]), "total_amt_msat": "9"})
    );

    let shard = json!({"amount_msat": "1", "root_share": "01".repeat(32),
        "set_id": "02".repeat(32), "index": 5, "payment_hash": "03".repeat(32)});
    let sent = result(
        &adapter,
        "amp.send",
        json!({"invoice": "lnbcrt1x", "shards": [shard]}),
    );
    assert_eq!(sent, json!({"payment": "02".repeat(32)}));
    assert_eq!(wait(&adapter, &sent)["set_id"], "02".repeat(32));
    let route = &stand_in.asked("POST /v2/router/route/send")[2]["route"];
    assert_eq!(
        route["hops"][0]["amp_record"],
        json!({"root_share": base64([1; 32]), "set_id": base64([2; 32]), "child_index": 5})
    );
    // Without hops LND looks for a way.
    let asked = stand_in.asked("GET /v1/graph/routes/{pub_key}/{amt}");
    assert_eq!(
        (&asked[0]["pub_key"], &asked[0]["amt_msat"]),
        (&json!(OTHER), &json!("1"))
    );
    for none in [json!({"routes": []}), json!({}), json!([])] {
        let none = Reply::Result(none);
        stand_in.plays(move |call, _| call.contains("/route").then(|| none.clone()));
        for via in [json!([]), json!([OTHER])] {
            let params = json!({"to": OTHER, "payment_secret": secret, "amount_msat": "1",
                "via": via});
            let e = error(&adapter, "keysend.send", params);
            assert!(e.message.contains("finds no route"), "{e:?}");
        }
    }
}

#[test]
fn a_payment_that_fails_is_told_with_the_failure_of_its_onion() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let send = || {
        let params = json!({"to": OTHER, "amount_msat": "1"});
        result(&adapter, "keysend.send", params)
    };
    stand_in.plays(|call, _| {
        let mut failed = payment("FAILED");
        failed["failure_reason"] = json!("FAILURE_REASON_INCORRECT_PAYMENT_DETAILS");
        failed["htlcs"][0]["failure"] = json!({"code": "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS",
            "failure_source_index": 1});
        (call == "POST /v2/router/send").then(|| Reply::Messages(vec![failed]))
    });
    let done = wait(&adapter, &send());
    assert_eq!(done["status"], "failed");
    assert_eq!(
        done["failure"],
        json!({"code": 16399, "hop": 0, "reason": "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS"})
    );
    // What is refused before it is tried is no payment.
    stand_in.plays(|call, _| {
        let paid = Reply::Error(6, "invoice is already paid");
        (call == "POST /v2/router/send").then_some(paid)
    });
    let e = error(&adapter, "invoice.pay", json!({"invoice": "lnbcrt1x"}));
    assert_eq!(
        (e.kind, &e.message[..]),
        (ErrorKind::Rejected, "invoice is already paid")
    );
    stand_in.plays(|call, _| {
        let failed = json!({"status": "FAILED", "route": attempt("FAILED")["route"],
            "failure": {"code": "MPP_TIMEOUT", "failure_source_index": 1}});
        (call == "POST /v2/router/route/send").then_some(Reply::Result(failed))
    });
    let params = json!({"to": OTHER, "amount_msat": "1", "via": [OTHER]});
    let sent = result(&adapter, "keysend.send", params);
    assert_eq!(wait(&adapter, &sent)["failure"]["code"], 23);
}

#[test]
fn a_payment_under_way_is_found_again_after_a_restart() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    stand_in.plays(|call, _| {
        let under_way = Reply::Messages(vec![payment("IN_FLIGHT")]);
        (call == "POST /v2/router/send").then_some(under_way)
    });
    let params = json!({"to": OTHER, "amount_msat": "1", "preimage": "07".repeat(32)});
    let sent = result(&adapter, "keysend.send", params);
    let soon = json!({"payment": sent["payment"], "deadline_ms": 20});
    assert_eq!(
        error(&adapter, "payment.wait", soon).kind,
        ErrorKind::Timeout
    );
    result(&adapter, "node.stop", json!({"how": "kill"}));
    result(&adapter, "node.start", start(&stand_in));
    let track = "GET /v2/router/track/{payment_hash}";
    tell_until(&stand_in, track, &payment("SUCCEEDED"));
    assert_eq!(wait(&adapter, &sent)["status"], "succeeded");
}

#[test]
fn what_arrives_and_what_is_passed_on_is_told() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let next = |kind: &str| result(&adapter, "event.next", json!({"kinds": [kind]}));
    stand_in.tell(
        "GET /v1/invoices/subscribe",
        &json!({"r_hash": base64(hash()), "state": "SETTLED", "settle_index": "1",
            "settle_date": "1700000000", "amt_paid_msat": "100000", "is_keysend": true,
            "htlcs": [{"state": "SETTLED", "amt_msat": "100000",
                "custom_records": {"65537": "aGk="}}]}),
    );
    let received = next("payment-received");
    assert_eq!(received["payment_hash"], hex(hash()));
    assert_eq!(
        (&received["amount_msat"], &received["records"]),
        (
            &json!("100000"),
            &json!([{"type": "65537", "value": "6869"}])
        )
    );
    let htlc = |more: Value| {
        let mut event = json!({"event_type": "FORWARD", "incoming_channel_id": CHANNEL,
            "outgoing_channel_id": CHANNEL, "incoming_htlc_id": "3"});
        for (name, value) in more.as_object().unwrap() {
            event[name] = value.clone();
        }
        stand_in.tell("GET /v2/router/htlcevents", &event);
    };
    let info = json!({"incoming_amt_msat": "100101", "outgoing_amt_msat": "100000"});
    htlc(json!({"forward_event": {"info": info}}));
    htlc(json!({"settle_event": {"preimage": base64([7; 32])}}));
    let forwarded = next("payment-forwarded");
    assert_eq!(
        forwarded,
        json!({"seq": 2, "kind": "payment-forwarded", "from_scid": "103x1x0",
            "to_scid": "103x1x0", "from": OTHER, "to": OTHER, "amount_msat": "100000",
            "incoming_msat": "100101", "fee_msat": "101", "payment_hash": hex(hash()),
            "preimage": "07".repeat(32), "onchain": false})
    );
    htlc(
        json!({"link_fail_event": {"info": info, "wire_failure": "TEMPORARY_CHANNEL_FAILURE",
        "failure_string": "no balance"}}),
    );
    let failed = next("forward-failed");
    assert_eq!(
        (&failed["code"], &failed["reason"]),
        (&json!(0x1007), &json!("no balance"))
    );
    stand_in.tell(
        "GET /v1/channels/subscribe",
        &json!({"type": "OPEN_CHANNEL", "open_channel": {"remote_pubkey": OTHER,
            "channel_point": "x:0", "chan_id": CHANNEL}}),
    );
    assert_eq!(next("channel-ready")["scid"], "103x1x0");
}

#[test]
fn forwards_are_intercepted_and_resolved() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let call = "GET /v2/router/htlcinterceptor";
    let e = error(&adapter, "htlc.next", json!({}));
    assert!(e.message.contains("htlc.intercept"), "{e:?}");
    let rule = json!({"payment_hash": "0a".repeat(32), "action": "fail", "code": 0x1007});
    let on = json!({"on": true, "rules": [rule]});
    result(&adapter, "htlc.intercept", on);
    let show = |id: &str, hash: &[u8]| {
        let circuit = json!({"chan_id": CHANNEL, "htlc_id": id});
        stand_in.tell(
            call,
            &json!({"incoming_circuit_key": circuit, "payment_hash": base64(hash),
                "incoming_amount_msat": "100101", "outgoing_amount_msat": "100000",
                "outgoing_requested_chan_id": CHANNEL, "custom_records": {}}),
        );
    };
    show("1", &[10; 32]);
    show("2", &hash());
    let htlc = result(&adapter, "htlc.next", json!({}));
    assert_eq!(
        (&htlc["htlc"], &htlc["payment_hash"], &htlc["amount_msat"]),
        (&json!("103x1x0/2"), &json!(hex(hash())), &json!("100101"))
    );
    assert_eq!(htlc["outgoing_node_id"], OTHER);
    let settle = |preimage: &str| json!({"htlc": "103x1x0/2", "action": "settle", "preimage": preimage.repeat(32)});
    let e = error(&adapter, "htlc.resolve", settle("08"));
    assert_eq!(e.kind, ErrorKind::Rejected);
    result(&adapter, "htlc.resolve", settle("07"));
    eventually("two orders", || stand_in.asked(call).len() >= 2);
    let circuit = |id: &str| json!({"chan_id": CHANNEL, "htlc_id": id});
    assert_eq!(
        stand_in.asked(call),
        [
            json!({"incoming_circuit_key": circuit("1"), "action": "FAIL",
                "failure_code": "TEMPORARY_CHANNEL_FAILURE"}),
            json!({"incoming_circuit_key": circuit("2"), "action": "SETTLE",
                "preimage": base64([7; 32])}),
        ]
    );
    result(&adapter, "htlc.intercept", json!({"on": false}));
    let e = error(&adapter, "htlc.next", json!({}));
    assert!(e.message.contains("htlc.intercept"), "{e:?}");
}

#[test]
fn a_peer_is_gone_or_there_by_a_new_connection() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    let gone = json!({"node_id": OTHER, "deadline_ms": 20});
    let e = error(&adapter, "peer.disconnect", gone.clone());
    assert!(
        e.kind == ErrorKind::Timeout && e.message.contains("still connected"),
        "{e:?}"
    );
    let flaps = std::sync::atomic::AtomicU64::new(1);
    stand_in.plays(move |call, _| {
        let n = flaps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let peers = json!({"peers": [{"pub_key": OTHER, "flap_count": n, "last_flap_ns": "5"}]});
        (call == "GET /v1/peers").then_some(Reply::Result(peers))
    });
    assert_eq!(result(&adapter, "peer.disconnect", gone), json!({}));
    let asked = stand_in.asked("DELETE /v1/peers/{pub_key}");
    assert_eq!(asked[0], json!({"pub_key": OTHER}));
}

#[test]
fn a_wrong_answer_and_a_refusal_are_lnds() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    for (reply, kind, said) in [
        (Reply::Raw("hello\r\n\r\n"), ErrorKind::Internal, "no HTTP"),
        (Reply::Raw(""), ErrorKind::Internal, "in the middle"),
        (
            Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]"),
            ErrorKind::Internal,
            "not JSON",
        ),
        (
            Reply::Result(json!({})),
            ErrorKind::Internal,
            "lnd's answer to /v1/newaddress has no address",
        ),
        (
            Reply::Error(2, "wallet locked"),
            ErrorKind::Rejected,
            "wallet locked",
        ),
        (
            Reply::Error(3, "unknown address type"),
            ErrorKind::Invalid,
            "unknown address type",
        ),
        (
            Reply::Error(14, "the RPC server is stopping"),
            ErrorKind::Internal,
            "the RPC server is stopping",
        ),
    ] {
        stand_in.plays(move |call, _| (call == "GET /v1/newaddress").then(|| reply.clone()));
        let e = error(&adapter, "wallet.new_address", json!({}));
        assert_eq!(e.kind, kind, "{e:?}");
        assert!(e.message.contains(said), "{e:?}");
    }
    stand_in.plays(|call, _| {
        let empty = Reply::Result(json!({"add_index": "1"}));
        call.starts_with("POST /v1/invoices").then_some(empty)
    });
    for params in [json!({}), json!({"blinded": true})] {
        let e = error(&adapter, "invoice.create", params);
        assert_eq!(e.kind, ErrorKind::Internal, "{e:?}");
        assert!(e.message.contains("has no payment_request"), "{e:?}");
    }
    waits_for_blocks_in_vain(&adapter);
}

#[test]
fn a_node_that_dies_is_named_with_the_end_of_its_log() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    stand_in.plays(|call, _| call.ends_with("/blockchain").then_some(Reply::Die));
    let said = tells_of_its_end(&adapter, "lnd");
    assert!(said.contains("/v1/balance/blockchain"), "{said}");
}

#[test]
fn the_stand_in_refuses_what_is_not_published() {
    let body = |more: &[(&str, Value)]| {
        let mut body = json!({"dest": base64([2; 33]), "amt_msat": "1"});
        for (name, value) in more {
            body[*name] = value.clone();
        }
        body.as_object().unwrap().clone()
    };
    let send = |more: &[(&str, Value)]| request_of("POST", "/v2/router/send", &body(more));
    send(&[("amp", json!(true))]).unwrap();
    for (name, value) in [
        ("amt_msat", json!(1)),
        ("amp", json!("true")),
        ("dest", json!("02!")),
        ("max_parts", json!("2")),
        ("dest_custom_records", json!({"x": "AA=="})),
        ("destination", json!("AA==")),
    ] {
        let why = send(&[(name, value)]).unwrap_err();
        assert!(why.contains(name), "{why}");
    }
    let (call, fields) = request_of("GET", "/v1/invoices/subscribe?add_index=5", &body(&[]))
        .map_err(|why| assert!(why.contains("unknown"), "{why}"))
        .unwrap_or_default();
    assert!(call.is_empty() && fields.is_null());
    let none = serde_json::Map::new();
    for (method, target) in [
        ("GET", "/v2/router/send"),
        ("GET", "/v1/channels/x"),
        ("GET", "/v1/graph?include=true"),
        ("DELETE", "/v1/peers/02"),
    ] {
        assert!(request_of(method, target, &none).is_err(), "{target}");
    }
    let (call, fields) = request_of("GET", "/v1/invoices/subscribe?add_index=5", &none).unwrap();
    assert_eq!(call, "GET /v1/invoices/subscribe");
    assert_eq!(fields, json!({"add_index": "5"}));
}
