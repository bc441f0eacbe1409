//! Payments, from their start to their end.

use super::*;
use crate::standin::{Reply, attempt, preimage};
use lnconform_adapter_process::testing::unsupported;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

fn wait(adapter: &Adapter, sent: &Value) -> Value {
    result(adapter, "payment.wait", json!({"payment": sent["payment"]}))
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
    // The thread of the payment notices the end of its call.
    eventually("a payment that can be taken up", || {
        stand_in.asked("keysend").len() == 1 && resumable(&adapter)
    });
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
