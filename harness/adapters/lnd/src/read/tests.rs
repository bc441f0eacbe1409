//! Answers written by hand in LND's published REST schema.

use super::*;

const SET_A: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

fn b(byte: u8) -> String {
    base64([byte; 32])
}

fn h(byte: u8) -> String {
    hex([byte; 32])
}

fn shard(index: u32, amount: &str, state: &str, set: u8, records: Value) -> Value {
    json!({
        "chan_id": "113249697726464", "htlc_index": "0", "amt_msat": amount, "accept_height": 110,
        "state": state, "custom_records": records, "mpp_total_amt_msat": "1000000",
        "amp": {"root_share": b(1), "set_id": b(set), "child_index": index, "hash": b(3), "preimage": b(4)},
    })
}

#[test]
fn an_amp_set_is_one_event_with_the_amount_of_the_set() {
    let records = json!({"1095324721": "qrs=", "106823": "AA=="});
    let invoice = json!({
        "r_hash": b(9), "payment_addr": b(8), "is_amp": true, "is_keysend": false,
        "state": "SETTLED", "settle_date": "99", "value_msat": "0",
        // The sum over all sets that LND has seen for this invoice.
        "amt_paid_msat": "1500000",
        "htlcs": [
            shard(1, "400000", "SETTLED", 10, records.clone()),
            shard(0, "600000", "SETTLED", 10, records),
            shard(0, "77", "SETTLED", 11, json!({})),
            shard(2, "5", "CANCELED", 10, json!({})),
        ],
        "amp_invoice_state": {
            SET_A: {"state": "SETTLED", "settle_index": "3", "settle_time": "1700000000", "amt_paid_msat": "1000000"},
        },
    });
    let events = received(&invoice);
    assert_eq!(events.len(), 1);
    let (payment, fields) = &events[0];
    assert_eq!(payment.as_deref(), Some(SET_A));
    assert_eq!(fields["amount_msat"], "1000000");
    assert_eq!(fields["set_id"], SET_A);
    assert_eq!(fields["payment_secret"], h(8).as_str());
    assert_eq!(fields["settled_time"], "1700000000");
    let record =
        json!([{"type": "106823", "value": "00"}, {"type": "1095324721", "value": "aabb"}]);
    assert_eq!(fields["records"], record);
    let parts = fields["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 2);
    // In the order of their indexes, whatever the order of arrival.
    assert_eq!(parts[0]["amount_msat"], "600000");
    assert_eq!(
        parts[0]["amp"],
        json!({"root_share": h(1), "set_id": SET_A, "index": 0, "payment_hash": h(3), "preimage": h(4)})
    );
}

#[test]
fn what_has_not_settled_is_no_received_payment() {
    let open = json!({"r_hash": b(9), "state": "OPEN", "is_keysend": true, "htlcs": []});
    assert!(received(&open).is_empty());
    let waiting = json!({"r_hash": b(9), "state": "OPEN", "is_amp": true,
        "htlcs": [shard(0, "1", "ACCEPTED", 10, json!({}))],
        "amp_invoice_state": {SET_A: {"state": "ACCEPTED"}}});
    assert!(received(&waiting).is_empty());
}

#[test]
fn a_keysend_shows_all_records_but_its_preimage() {
    let htlc = |state: &str| {
        json!({"amt_msat": "100000", "state": state, "mpp_total_amt_msat": "0", "amp": null,
            "custom_records": {"5482373484": b(7), "1263751217": "AQ==", "65536": "", "106823": "AA=="}})
    };
    let invoice = |state: &str| {
        json!({"r_hash": b(9), "payment_addr": b(0), "is_keysend": true, "is_amp": false,
            "state": state, "settle_date": "5", "amt_paid_msat": "100000", "htlcs": [htlc(state)],
            "amp_invoice_state": {}})
    };
    let records = json!([{"type": "65536", "value": ""}, {"type": "106823", "value": "00"},
        {"type": "1263751217", "value": "01"}]);
    let events = received(&invoice("SETTLED"));
    let (payment, fields) = &events[0];
    assert_eq!(payment.as_deref(), Some(h(9).as_str()));
    assert_eq!(fields["records"], records);
    assert_eq!(
        (&fields["amount_msat"], &fields["keysend"]),
        (&json!("100000"), &json!(true))
    );
    assert_eq!(fields["settled_time"], "5");
    // An address of zeros is none.
    assert!(fields.get("payment_secret").is_none());
    let fields = held(&invoice("ACCEPTED"));
    assert_eq!(fields["records"], records);
    assert_eq!(fields["amount_msat"], "100000");
    assert_eq!(held(&invoice("CANCELED"))["amount_msat"], "0");
}

#[test]
fn a_looked_up_invoice_shows_sets_and_htlcs() {
    let seen = invoice(&json!({
        "r_hash": b(9), "payment_addr": b(8), "is_amp": true, "state": "OPEN",
        "value_msat": "0", "amt_paid_msat": "0", "settle_date": "0",
        "htlcs": [{"amt_msat": "1", "mpp_total_amt_msat": "2", "state": "ACCEPTED", "custom_records": {},
            "amp": {"root_share": b(1), "set_id": b(10), "child_index": 0, "hash": b(3), "preimage": ""}}],
        "amp_invoice_state": {SET_A: {"state": "ACCEPTED", "settle_time": "0", "amt_paid_msat": "1"}},
    }));
    assert_eq!(seen["state"], "open");
    assert_eq!(
        seen["sets"],
        json!([{"set_id": SET_A, "state": "accepted", "received_msat": "1"}])
    );
    assert_eq!(seen["htlcs"][0]["state"], "accepted");
    assert_eq!(seen["htlcs"][0]["total_msat"], "2");
    assert!(seen["htlcs"][0]["amp"].get("preimage").is_none());
    assert!(seen.get("settled_time").is_none());
}

fn attempted(status: &str, preimage: u8, failure: Value, amp: Value) -> Value {
    json!({"attempt_id": "1", "status": status, "preimage": b(preimage), "failure": failure,
        "route": {"hops": [
            {"amt_to_forward_msat": "1003", "amp_record": null},
            {"amt_to_forward_msat": "1000", "amp_record": amp}]}})
}

#[test]
fn a_settled_payment_has_its_preimage_and_its_parts() {
    let seen = payment(&json!({
        "payment_hash": h(9), "payment_preimage": h(7), "status": "SUCCEEDED", "fee_msat": "3",
        "failure_reason": "FAILURE_REASON_NONE",
        "htlcs": [attempted("FAILED", 0, json!({"code": "TEMPORARY_CHANNEL_FAILURE", "failure_source_index": 1}), json!(null)),
            attempted("SUCCEEDED", 7, json!(null), json!(null))],
    }));
    assert_eq!(seen["status"], "succeeded");
    assert_eq!(
        (&seen["payment_hash"], &seen["preimage"]),
        (&json!(h(9)), &json!(h(7)))
    );
    assert_eq!(
        (&seen["fee_msat"], &seen["parts"]),
        (&json!("3"), &json!(1))
    );
    assert_eq!(
        seen["htlcs"][1],
        json!({"amount_msat": "1000", "status": "succeeded", "preimage": h(7)})
    );
    assert!(seen.get("failure").is_none() && seen.get("set_id").is_none());
}

#[test]
fn a_failed_payment_says_which_hop_and_which_code() {
    let failure =
        json!({"code": "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS", "failure_source_index": 2});
    let seen = payment(&json!({
        "payment_hash": h(9), "payment_preimage": h(0), "status": "FAILED", "fee_msat": "0",
        "failure_reason": "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS",
        "htlcs": [attempted("FAILED", 0, failure, json!(null))],
    }));
    assert_eq!(
        seen["failure"],
        json!({"code": 16399, "hop": 1, "reason": "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS"})
    );
    assert!(seen.get("preimage").is_none() && seen.get("fee_msat").is_none());
    // The payer's own node is no hop, and its own failures have no number.
    let own =
        super::failure(&json!({"code": "UNREADABLE_FAILURE", "failure_source_index": 0})).unwrap();
    assert_eq!(own, json!({"reason": "UNREADABLE_FAILURE"}));
    assert!(super::failure(&json!(null)).is_none());
}

#[test]
fn the_identifier_of_an_amp_payment_is_its_set() {
    let record = json!({"root_share": b(1), "set_id": b(10), "child_index": 2});
    let seen = payment(&json!({
        "payment_hash": SET_A, "payment_preimage": h(7), "status": "SUCCEEDED", "fee_msat": "0",
        "htlcs": [attempted("SUCCEEDED", 7, json!(null), record)],
    }));
    assert_eq!(seen["set_id"], SET_A);
    assert!(seen.get("payment_hash").is_none() && seen.get("preimage").is_none());
    assert_eq!(seen["htlcs"][0]["amp"]["index"], 2);
}

#[test]
fn a_payment_is_over_when_lnd_says_so() {
    for (status, over) in [
        ("INITIATED", false),
        ("IN_FLIGHT", false),
        ("SUCCEEDED", true),
        ("FAILED", true),
    ] {
        assert_eq!(is_final(&json!({"status": status})), over, "{status}");
    }
}

#[test]
fn features_are_written_with_the_highest_byte_first() {
    let map = json!({"0": {}, "9": {}, "17": {}});
    assert_eq!(features(&map).as_deref(), Some("020201"));
    assert_eq!(features(&json!({})), None);
    // A number that no feature has costs no memory.
    assert_eq!(features(&json!({"4294967295": {}})), None);
}

#[test]
fn numbers_come_in_both_forms_and_short_channel_ids_are_split_at_the_right_bits() {
    assert_eq!(
        (
            number(&json!("18446744073709551615")),
            number(&json!(7)),
            number(&json!(null))
        ),
        (u64::MAX, 7, 0)
    );
    assert_eq!(scid(103 << 40 | 2 << 16 | 1), "103x2x1");
}

#[test]
fn records_are_written_as_lnd_reads_them() {
    let written = custom_records(&[(65_537, vec![0xaa, 0xbb]), (KEYSEND, vec![])]);
    assert_eq!(written, json!({"65537": "qrs=", "5482373484": ""}));
}
