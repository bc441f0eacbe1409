use super::*;
use lnconform_adapter_process::testing::KEY;
use lnconform_protocol::{ErrorKind, OpError};
use serde_json::{Value, json};

fn ask(op: &str, params: Value) -> Outcome {
    call(op, Params::new(&params), &|| {
        Err(OpError::rejected("no node").into())
    })
}

fn error(op: &str, params: &Value) -> OpError {
    match ask(op, params.clone()) {
        Err(Fail::Error(e)) => e,
        other => panic!("{op} {params}: {other:?}"),
    }
}

#[test]
fn params_are_judged_before_there_is_a_node() {
    let hash = "07".repeat(32);
    for (op, params, named) in [
        (
            "channel.open",
            json!({"node_id": KEY, "capacity_sat": "1", "push_msat": "1"}),
            "push_msat",
        ),
        (
            "keysend.send",
            json!({"to": KEY, "amount_msat": "1", "preimage": "00"}),
            "preimage",
        ),
        (
            "keysend.send",
            json!({"to": KEY, "amount_msat": "1", "via": ["02"]}),
            "via",
        ),
        (
            "keysend.send",
            json!({"to": KEY, "amount_msat": "1", "total_msat": "2"}),
            "payment_secret",
        ),
        ("amp.send", json!({"amount_msat": "1"}), "invoice"),
        ("amp.send", json!({"to": KEY, "invoice": "x"}), "invoice"),
        ("amp.send", json!({"to": KEY, "shards": []}), "shards"),
        (
            "amp.send",
            json!({"to": KEY, "shards": [{"amount_msat": "1"}]}),
            "root_share",
        ),
        (
            "amp.send",
            json!({"to": KEY, "shards": [{"amount_msat": "1", "amp_record": false}]}),
            "payment_hash",
        ),
        ("invoice.pay", json!({}), "invoice"),
        (
            "invoice.create",
            json!({"payment_hash": "00"}),
            "payment_hash",
        ),
        (
            "invoice.create",
            json!({"payment_hash": hash, "preimage": hash}),
            "exclude",
        ),
        (
            "invoice.create",
            json!({"description": "x", "description_hash": hash}),
            "exclude",
        ),
        ("payment.wait", json!({"payment": "00"}), "payment"),
        ("htlc.intercept", json!({}), "on"),
        (
            "htlc.resolve",
            json!({"htlc": "1x1x1/0", "action": "drop"}),
            "action",
        ),
        (
            "message.verify",
            json!({"message": "00", "signature": "00", "public_key": "00"}),
            "public_key",
        ),
    ] {
        let e = error(op, &params);
        assert_eq!(e.kind, ErrorKind::Invalid, "{op} {params}: {e:?}");
        assert!(e.message.contains(named), "{op} {params}: {e:?}");
    }
    // A preimage that is not the hash's is refused here: LND would look for another payment.
    let e = error(
        "payment.settle",
        &json!({"payment_hash": hash, "preimage": hash}),
    );
    assert_eq!(e.kind, ErrorKind::Rejected);
    assert!(e.message.contains("preimage"), "{e:?}");
}

#[test]
fn right_params_are_only_stopped_by_the_missing_node() {
    let shard = json!({"amount_msat": "1", "root_share": "01".repeat(32), "set_id": "02".repeat(32),
        "index": 0, "payment_hash": "03".repeat(32), "via": [KEY]});
    for (op, params) in [
        ("chain.sync", json!({"height": 5})),
        (
            "peer.connect",
            json!({"node_id": KEY, "address": "127.0.0.1:1"}),
        ),
        (
            "channel.open",
            json!({"node_id": KEY, "capacity_sat": "100000", "push_msat": "5000"}),
        ),
        (
            "keysend.send",
            json!({"to": KEY, "amount_msat": "1", "records": []}),
        ),
        (
            "keysend.send",
            json!({"to": KEY, "parts": [{"amount_msat": "1"}], "keysend_record": "",
            "payment_secret": "04".repeat(32), "total_msat": "9"}),
        ),
        ("amp.send", json!({"to": KEY, "amount_msat": "1"})),
        (
            "amp.send",
            json!({"to": KEY, "payment_secret": "04".repeat(32), "shards": [shard]}),
        ),
        ("invoice.create", json!({"amount_msat": "1", "amp": true})),
        (
            "htlc.intercept",
            json!({"on": true, "otherwise": "continue"}),
        ),
    ] {
        let e = error(op, &params);
        assert_eq!(
            (e.kind, &e.message[..]),
            (ErrorKind::Rejected, "no node"),
            "{op} {params}"
        );
    }
}

#[test]
fn what_lnd_lacks_is_unsupported() {
    for (op, params) in [
        (
            "invoice.create",
            json!({"amp": true, "payment_hash": "07".repeat(32)}),
        ),
        (
            "message.sign",
            json!({"message": "00", "algorithm": "ed25519"}),
        ),
        ("offer.create", json!({})),
    ] {
        assert!(matches!(ask(op, params), Err(Fail::Unsupported(_))), "{op}");
    }
}
