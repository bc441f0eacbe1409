//! What lightningd tells by itself.

use super::*;
use crate::standin::{Reply, paid_invoice};

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
    eventually("the next wait", || stand_in.asked("wait").len() >= 2);
    assert_eq!(stand_in.asked("wait")[1]["nextvalue"], 4);
}
