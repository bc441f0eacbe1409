use crate::Reference;
use lnconform_drafts::keys;
use lnconform_drafts::rules;
use lnconform_protocol::{Answer, ErrorKind};
use serde_json::{Value, json};

fn ok(op: &str, params: &Value) -> Value {
    match Reference::default().answer(op, params) {
        Answer::Result(result) => result,
        other => panic!("{op} {params}: {other:?}"),
    }
}

fn message(op: &str, params: &Value) -> String {
    match Reference::default().answer(op, params) {
        Answer::Error(error) => {
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert_eq!(error.rule, None);
            error.message
        }
        other => panic!("{op} {params}: {other:?}"),
    }
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

/// Time 1000, amount 5000.
fn request(nonce: u8) -> String {
    let (time, amount) = (1000, 5000);
    format!(
        "0003{}{time:016x}{amount:016x}{}{}",
        hex(nonce),
        &node_id(9)[2..],
        hex(0)
    )
}

fn node_id(byte: u8) -> String {
    let secret = keys::SecretKey::from_slice(&[byte; 32]).unwrap();
    lnconform_protocol::params::hex(keys::public(&secret).serialize())
}

fn session(payments: Value) -> Value {
    json!({
        "secret_key": hex(1), "lsp_secret_key": hex(2), "chain_hash": hex(3),
        "nonces": [{"r1": hex(4), "r2": hex(5)}, {"r1": hex(6), "r2": hex(7)}],
        "expiry": "2000", "now": "1500", "payments": payments,
    })
}

fn payment(index: u32, nonce: u8) -> Value {
    json!({"index": index, "request": request(nonce), "tweaks": [hex(20), hex(21)], "amount_msat": "5000"})
}

/// `status` and `rule` of each payment.
fn ends(result: &Value) -> Vec<(&str, Option<&str>)> {
    let payments = result["payments"].as_array().unwrap();
    payments
        .iter()
        .map(|p| {
            (
                p["status"].as_str().unwrap(),
                p.get("rule").and_then(Value::as_str),
            )
        })
        .collect()
}

#[test]
fn a_session_ends_each_payment_in_its_own_way() {
    let op = "simulation.point_lock.session";
    let substitute = json!({"r1": hex(30), "r2": hex(31)});
    let with = |field: &str, value: Value| {
        let mut payment = payment(1, 12);
        payment["substitute"] = substitute.clone();
        payment[field] = value;
        payment
    };
    let result = ok(
        op,
        &session(json!([
            payment(0, 10),
            payment(0, 11),
            with("payer_checks", json!(true)),
            with("own_header", json!(true)),
            with("payer_checks", json!(false)),
            payment(2, 13),
            payment(1, 14),
        ])),
    );
    assert_eq!(
        ends(&result),
        [
            ("settled", None),
            ("returned", Some(rules::POINT_LOCK_ENTRY_UNUSED)),
            ("not-sent", Some(rules::POINT_LOCK_ENTRY_INCLUSION)),
            ("not-sent", Some(rules::POINT_LOCK_POOL_SIGNATURE)),
            ("returned", Some(rules::POINT_LOCK_LOCK)),
            ("not-sent", Some(rules::POINT_LOCK_ENTRY_INDEX)),
            ("settled", None),
        ]
    );
    assert_eq!(result["received_msat"], "10000");
    assert_eq!(result["returned_msat"], "10000");
    assert_eq!(result["stolen_msat"], "0");
    assert_eq!(result["payments"][0]["proof_verifies"], true);
    let verified = ok(
        "simulation.point_lock.verify",
        &json!({
            "chain_hash": hex(3), "recipient_id": node_id(1), "request": request(10),
            "proof": result["payments"][0]["proof"],
        }),
    );
    assert_eq!(verified["amount_msat"], "5000");
    let text = message(op, &session(json!([payment(0, 10), {"index": 0}])));
    assert!(text.starts_with("payments[1]: "), "{text}");
    let mut routeless = payment(0, 10);
    routeless["tweaks"] = json!([]);
    assert!(message(op, &session(json!([routeless]))).contains("a route has a hop"));
}

/// The one case in which the LSP can open the lock: the recipient's key is its own.
#[test]
fn who_has_the_key_does_steal() {
    let mut own = session(json!([payment(0, 10)]));
    own["lsp_secret_key"] = hex(1).into();
    own["payments"][0]["substitute"] = json!({"r1": hex(30), "r2": hex(31)});
    own["payments"][0]["payer_checks"] = false.into();
    let result = ok("simulation.point_lock.session", &own);
    assert_eq!(result["payments"][0]["status"], "stolen");
    assert_eq!(result["stolen_msat"], "5000");
    let tries: Vec<bool> = result["payments"][0]["lsp_tries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["opens"].as_bool().unwrap())
        .collect();
    assert!(tries[3] && !tries[0] && !tries[1], "{tries:?}");
}

#[test]
fn a_lock_may_be_made_for_what_is_no_request() {
    let mut params = json!({
        "recipient_id": node_id(1), "chain_hash": hex(3), "request": "00",
        "r1": node_id(4), "r2": node_id(5), "tweaks": [],
    });
    let op = "simulation.point_lock.lock";
    match Reference::default().answer(op, &params) {
        Answer::Error(error) => {
            assert_eq!(error.rule.as_deref(), Some(rules::POINT_LOCK_REQUEST));
        }
        other => panic!("{other:?}"),
    }
    params["unchecked"] = true.into();
    let made = ok(op, &params);
    assert_eq!(made["route_locks"], json!([]));
    assert_eq!(made["route_sum"], hex(0));
    params["r1"] = format!("04{}", hex(4)).into();
    assert!(message(op, &params).contains("nonce R1 is no point"));
    params["tweaks"] = json!([hex(0xff)]);
    assert!(message(op, &params).contains("group order"));
}

#[test]
fn an_lsp_gains_from_a_stack_and_not_from_a_key() {
    let op = "simulation.invoice_stack";
    let stack = |places: &[u32]| {
        let payments: Vec<Value> = places.iter().map(|i| json!({"invoice": i})).collect();
        json!({
            "design": "invoice-stack", "secret_key": hex(1), "amount_msat": "7",
            "preimages": [hex(5), hex(6)], "payments": payments,
        })
    };
    let sums = |result: &Value| {
        ["recipient_msat", "lsp_msat", "returned_msat"]
            .map(|f| result[f].as_str().unwrap().to_owned())
    };
    let result = ok(op, &stack(&[0, 1, 0]));
    assert_eq!(sums(&result), ["14", "7", "0"]);
    assert_eq!(result["false_proofs"], 1);
    assert!(message(op, &stack(&[2])).contains("there are 2"));

    let keys = |nonces: &[u8], now: &str| {
        let payments: Vec<Value> = nonces
            .iter()
            .map(|n| json!({"request": request(*n)}))
            .collect();
        json!({
            "design": "keysend-proof", "secret_key": hex(1), "chain_hash": hex(3), "now": now,
            "payments": payments,
        })
    };
    let result = ok(op, &keys(&[1, 2, 1], "1500"));
    assert_eq!(sums(&result), ["10000", "5000", "0"]);
    assert_eq!(result["false_proofs"], 0);
    assert_eq!(result["payments"][2]["payer_holds_proof"], false);
    // What the recipient does not accept goes back.
    let result = ok(op, &keys(&[1], "99999999"));
    assert_eq!(sums(&result), ["0", "0", "5000"]);
    assert_eq!(
        result["payments"][0]["rule"],
        rules::KSP_RECIPIENT_TIME_PAST
    );
    let other = json!({"design": "x", "secret_key": hex(1)});
    assert!(message(op, &other).contains("not invoice-stack or keysend-proof"));
}

#[test]
fn schemes_have_names() {
    let params = json!({
        "scheme": "x", "secret_key": hex(1), "paid": request(1), "claimed": request(2),
    });
    let text = message("simulation.point_lock.additive", &params);
    assert!(text.contains("not additive or point-lock"), "{text}");
}

fn set_session(payments: Value) -> Value {
    json!({
        "secret_key": hex(1), "lsp_id": node_id(2), "chain_hash": hex(3), "payment_addr": hex(8),
        "nonces": [{"r1": hex(4), "r2": hex(5)}, {"r1": hex(6), "r2": hex(7)}],
        "expiry": "2000", "now": "1500", "payments": payments,
    })
}

/// A set of two shards for a request that binds no root.
fn set(index: u32, nonce: u8) -> Value {
    let request = request(nonce).replacen("0003", "0001", 1);
    json!({"index": index, "request": request, "shards": [
        {"share": hex(40), "child_index": 0, "tweaks": [hex(20), hex(21)], "amount_msat": "2000"},
        {"share": hex(41), "child_index": 1, "tweaks": [hex(22)], "amount_msat": "3000"},
    ]})
}

#[test]
fn a_session_of_sets_ends_each_set_in_its_own_way() {
    let op = "simulation.amp_ptlc.session";
    let mut lost = set(1, 12);
    lost["shards"][0]["lost"] = true.into();
    let mut foreign = set(1, 13);
    foreign["substitute"] = json!({"r1": hex(30), "r2": hex(31)});
    let mut bound = set(1, 14);
    bound["request"] = request(14).into();
    let result = ok(
        op,
        &set_session(json!([
            set(0, 10),
            set(0, 11),
            lost,
            foreign,
            bound,
            set(1, 15)
        ])),
    );
    assert_eq!(
        ends(&result),
        [
            ("settled", None),
            ("returned", Some(rules::AIT_POINT_ENTRY_UNUSED)),
            ("returned", Some(rules::AIT_POINT_LOCK)),
            ("not-sent", Some(rules::POINT_LOCK_ENTRY_INCLUSION)),
            ("not-sent", Some(rules::AIT_POINT_ROOT_UNBOUND)),
            ("settled", None),
        ]
    );
    assert_eq!(result["received_msat"], "10000");
    assert_eq!(result["returned_msat"], "10000");
    assert_eq!(result["stolen_msat"], "0");
    assert_eq!(result["payments"][2]["recipient_could_open"], 0);
    assert_eq!(result["payments"][1].get("recipient_tries"), None);
    assert_eq!(result["equations"], 2);
    let verified = ok(
        "simulation.amp_ptlc.verify",
        &json!({
            "chain_hash": hex(3), "recipient_id": node_id(1), "payment_addr": hex(8),
            "request": set(0, 10)["request"], "proof": result["payments"][0]["proofs"][0],
        }),
    );
    assert_eq!(verified["amount_msat"], "5000");
}

#[test]
fn a_session_of_sets_says_what_it_cannot_play() {
    let op = "simulation.amp_ptlc.session";
    let text = message(op, &set_session(json!([set(0, 10), set(2, 11)])));
    assert!(text.starts_with("payments[1]: param index is 2"), "{text}");
    let mut empty = set(0, 10);
    empty["shards"] = json!([]);
    assert!(message(op, &set_session(json!([empty]))).contains("a set has a shard"));
    let mut routeless = set(0, 10);
    routeless["shards"][1]["tweaks"] = json!([]);
    assert!(message(op, &set_session(json!([routeless]))).contains("a route has a hop"));
    let mut ignoring = set_session(json!([]));
    ignoring["ignores"] = json!(["amp-tunnel/point-lock/x"]);
    assert!(message(op, &ignoring).contains("no rule amp-tunnel/point-lock/x"));
}

#[test]
fn a_careless_recipient_pays_with_its_key() {
    let mut careless = set_session(json!([set(0, 10), set(0, 11), set(0, 12)]));
    careless["ignores"] = json!([rules::AIT_POINT_ENTRY_UNUSED]);
    let result = ok("simulation.amp_ptlc.session", &careless);
    assert_eq!(result["recovered_key"], hex(1));
    careless["payments"] = json!([set(0, 10), set(0, 11)]);
    let result = ok("simulation.amp_ptlc.session", &careless);
    assert_eq!(result["key_recovered"], false);
    assert_eq!(result.get("recovered_key"), None);
}

#[test]
fn a_set_of_nothing_is_not_redeemed() {
    let params = json!({
        "secret_key": hex(1), "chain_hash": hex(3), "payment_addr": hex(8),
        "nonces": [{"r1": hex(4), "r2": hex(5)}], "pool_expiry": "2000", "shards": [], "now": "1",
    });
    let text = message("simulation.amp_ptlc.redeem", &params);
    assert!(text.contains("the set has no shards"), "{text}");
}

#[test]
fn designs_have_bounds() {
    let op = "simulation.amp_ptlc.designs";
    let params = |tunnel: &str, shards: u32| json!({"amount_msat": "1000", "tunnels": [tunnel], "shards": shards, "seed": hex(1)});
    let result = ok(op, &params("200", 1));
    let rows = result["rows"].as_array().unwrap();
    let risks: Vec<&str> = rows
        .iter()
        .map(|row| row["at_risk_msat"].as_str().unwrap())
        .collect();
    assert_eq!(risks, ["1000", "1000", "1800", "1000", "0"]);
    assert!(message(op, &params("1001", 1)).contains("1001 msat of an amount"));
    assert!(message(op, &params("1", 9)).contains("not 1 to 8"));
    assert!(message(op, &params("1", 0)).contains("not 1 to 8"));
}
