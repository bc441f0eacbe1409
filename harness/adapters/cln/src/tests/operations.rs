//! What is asked and answered at once, and what is refused.

use super::*;
use crate::standin::{Reply, paid, preimage, request_fits, response_fits};
use lnconform_adapter_process::testing::{
    answers, graph, judges_params, refuses_empty_requests, unsupported, waits_for_blocks_in_vain,
};
use lnconform_protocol::OpError;

#[test]
fn every_operation_asks_as_published_and_shows_what_it_saw() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
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
        channels,
        nodes,
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
    ];
    // The others have tests of their own.
    let apart = [
        "node.start",
        "node.stop",
        "invoice.pay",
        "keysend.send",
        "offer.pay",
        "payment.wait",
        "payment.invoice",
        "event.next",
    ];
    answers(&adapter, &table, &apart);
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
fn a_height_that_does_not_come_is_told_with_the_last_one_seen() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    waits_for_blocks_in_vain(&adapter);
}

#[test]
fn params_are_judged_before_there_is_a_node() {
    let stand_in = StandIn::new();
    let adapter = adapter(&stand_in);
    refuses_empty_requests(&adapter);
    judges_params(&adapter);
    for (op, params, named) in [
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
