use super::*;
use lnconform_drafts::rules;
use lnconform_protocol::ErrorKind;
use lnconform_protocol::params::hex;
use proptest::prelude::*;
use serde_json::json;

fn ok(op: &str, params: Value) -> Value {
    match Reference::default().answer(op, &params) {
        Answer::Result(result) => result,
        other => panic!("{op} {params}: {other:?}"),
    }
}

fn refused(reference: &Reference, op: &str, params: Value) -> OpError {
    match reference.answer(op, &params) {
        Answer::Error(error) => error,
        other => panic!("{op} {params}: {other:?}"),
    }
}

fn key(byte: u8) -> String {
    let secret = lnconform_drafts::keys::SecretKey::from_slice(&[byte; 32]).unwrap();
    hex(lnconform_drafts::keys::public(&secret).serialize())
}

#[test]
fn bigsize_and_streams() {
    let all = Reference::default();
    assert_eq!(
        ok("bigsize.decode", json!({"bytes": "fd00fd07"})),
        json!({"value": "253", "rest": "07"})
    );
    assert_eq!(
        ok("bigsize.encode", json!({"value": "253"})),
        json!({"bytes": "fd00fd"})
    );
    let error = refused(&all, "bigsize.decode", json!({"bytes": "fd00fc"}));
    assert_eq!(
        (error.kind, error.rule.as_deref()),
        (ErrorKind::Invalid, Some(rules::BIGSIZE_MINIMAL))
    );

    let records = json!([{"type": "2", "value": ""}, {"type": "33", "value": "07"}]);
    assert_eq!(
        ok("tlv.encode", json!({"records": records})),
        json!({"stream": "0200210107"})
    );
    let known = json!({"stream": "0200210107", "known": ["2"]});
    assert_eq!(ok("tlv.decode", known), json!({"records": records}));
    let error = refused(
        &all,
        "tlv.decode",
        json!({"stream": "0200", "known": ["4"]}),
    );
    assert_eq!(error.rule.as_deref(), Some(rules::TLV_UNKNOWN_EVEN));
    let reversed = json!([{"type": "33", "value": ""}, {"type": "2", "value": ""}]);
    let error = refused(&all, "tlv.encode", json!({"records": reversed}));
    assert_eq!(error.rule.as_deref(), Some(rules::TLV_SENDER_ORDER));
    let unchecked = json!({"records": reversed, "unchecked": true});
    assert_eq!(ok("tlv.encode", unchecked), json!({"stream": "21000200"}));
}

#[test]
fn namespaces_show_their_fields() {
    let n1 = ok(
        "tlv.namespace.decode",
        json!({"namespace": "n1", "stream": "01010102080000000000000226fd00fe020226"}),
    );
    assert_eq!(
        n1["fields"],
        json!({"tlv1": {"amount_msat": "1"}, "tlv2": {"scid": "0x0x550"}, "tlv4": {"cltv_delta": 550}})
    );
    let n2 = ok(
        "tlv.namespace.decode",
        json!({"namespace": "n2", "stream": "0001010b0105"}),
    );
    assert_eq!(
        n2["fields"],
        json!({"tlv1": {"amount_msat": "1"}, "tlv2": {"cltv_expiry": 5}})
    );
    let error = refused(
        &Reference::default(),
        "tlv.namespace.decode",
        json!({"namespace": "n3", "stream": ""}),
    );
    assert_eq!(error.rule, None);
}

#[test]
fn an_offer_is_written_and_read() {
    let records = json!([
        {"type": "8", "value": "03e8"}, {"type": "10", "value": hex("tea")},
        {"type": "14", "value": "64"}, {"type": "22", "value": key(7)},
    ]);
    let offer = ok("bolt12.offer.encode", json!({"records": records}))["offer"].clone();
    let read = ok("bolt12.offer.decode", json!({"offer": offer, "now": "100"}));
    assert_eq!(read["records"], records);
    assert_eq!(
        read["offer_id"],
        ok("bolt12.merkle", json!({"records": records}))["root"]
    );
    assert_eq!(read["amount"], "1000");
    assert_eq!(read["description"], "tea");
    assert_eq!(read["absolute_expiry"], "100");
    assert_eq!(read["issuer_id"], json!(key(7)));
    assert_eq!(read.get("currency"), None);

    let all = Reference::default();
    let error = refused(
        &all,
        "bolt12.offer.decode",
        json!({"offer": offer, "now": "101"}),
    );
    assert_eq!(
        (error.kind, error.rule.as_deref()),
        (ErrorKind::Rejected, Some(rules::OFFER_EXPIRY))
    );
    let error = refused(
        &all,
        "bolt12.offer.decode",
        json!({"offer": offer, "chains": ["00".repeat(32)]}),
    );
    assert_eq!(
        (error.kind, error.rule.as_deref()),
        (ErrorKind::Rejected, Some(rules::OFFER_CHAIN_BITCOIN))
    );
    let string = ok("bolt12.string.decode", json!({"string": offer}));
    assert_eq!(string["hrp"], "lno");
    assert_eq!(
        string["bytes"],
        ok("tlv.encode", json!({"records": records}))["stream"]
    );
}

#[test]
fn a_signature_verifies_with_either_form_of_the_key() {
    let mut params = json!({
        "message_name": "invoice", "field_name": "signature",
        "records": [{"type": "0", "value": "00"}, {"type": "88", "value": key(7)}],
        "secret_key": "07".repeat(32),
    });
    params["signature"] = ok("bolt12.sign", params.clone())["signature"].clone();
    for public_key in [key(7), key(7)[2..].to_owned()] {
        params["public_key"] = json!(public_key);
        assert_eq!(ok("bolt12.verify", params.clone())["valid"], true);
    }
    params["field_name"] = json!("other");
    assert_eq!(ok("bolt12.verify", params.clone())["valid"], false);
    params["public_key"] = json!("00");
    assert!(
        refused(&Reference::default(), "bolt12.verify", params)
            .rule
            .is_none()
    );
}

#[test]
fn an_onion_is_built_and_peeled() {
    let hops =
        json!([{"pubkey": key(1), "payload": "020102"}, {"pubkey": key(2), "payload": "03010203"}]);
    let mut params = json!({"session_key": "09".repeat(32), "associated_data": "aa", "hops": hops});
    let built = ok("onion.build", params.clone());
    let mut onion = built["onion"].clone();
    assert_eq!(onion.as_str().unwrap().len(), 2 * 1366);
    for (at, payload) in ["020102", "03010203"].into_iter().enumerate() {
        let secret = format!("{:02}", at + 1).repeat(32);
        let peeled = ok(
            "onion.peel",
            json!({"node_secret": secret, "onion": onion, "associated_data": "aa", "size": 1300}),
        );
        assert_eq!(
            (&peeled["payload"], &peeled["tlvs"]),
            (&json!(payload), &json!(payload[2..]))
        );
        assert_eq!(peeled["shared_secret"], built["shared_secrets"][at]);
        onion = peeled["next_onion"].clone();
    }
    assert_eq!(onion, Value::Null);

    let all = Reference::default();
    params["hops"][1]["payload"] = json!("040102");
    let error = refused(&all, "onion.build", params.clone());
    assert!(
        error.rule.is_none() && error.message.starts_with("hops[1]"),
        "{error:?}"
    );
    params["raw"] = json!(true);
    params["size"] = json!(50);
    let error = refused(&all, "onion.build", params);
    assert_eq!(error.rule.as_deref(), Some(rules::ONION_FITS));
}

#[test]
fn an_onion_is_processed_with_the_htlc_it_came_in() {
    let hops = json!([
        {"pubkey": key(1), "payload": "12020203e8040203200608000000000000000a"},
        {"pubkey": key(2), "payload": format!("2c020203e8040203200822{}03e8", "2a".repeat(32))},
    ]);
    let built = ok(
        "onion.build",
        json!({"session_key": "09".repeat(32), "associated_data": "aa", "hops": hops}),
    );
    let params = |secret: &str, onion: &Value| {
        json!({
            "node_secret": secret.repeat(32), "onion": onion, "associated_data": "aa",
            "amount_msat": "1000", "cltv_expiry": 800,
        })
    };
    let first = ok("onion.process", params("01", &built["onion"]));
    assert_eq!(first["short_channel_id"], "10");
    assert_eq!(first["shared_secret"], built["shared_secrets"][0]);
    let second = ok("onion.process", params("02", &first["next_onion"]));
    assert_eq!(second["total_msat"], "1000");
    assert!(second.get("next_onion").is_none());

    // The HTLC brings too little, and the onion is another one's.
    let all = Reference::default();
    let mut less = params("02", &first["next_onion"]);
    less["amount_msat"] = json!("999");
    let error = refused(&all, "onion.process", less);
    assert_eq!(error.code, Some(19), "{error:?}");
    let error = refused(&all, "onion.process", params("03", &built["onion"]));
    assert_eq!(error.rule.as_deref(), Some(rules::ONION_HMAC));
}

#[test]
fn a_blinded_path_is_built_and_read() {
    let hops = json!([{"pubkey": key(1), "encrypted_data": "060109"}]);
    let built = ok(
        "blinded_path.build",
        json!({"session_key": "09".repeat(32), "hops": hops}),
    );
    assert_eq!(built["first_node_id"], json!(key(1)));
    let mut params = json!({
        "node_secret": "01".repeat(32), "path_key": built["first_path_key"],
        "encrypted_recipient_data": built["hops"][0]["encrypted_recipient_data"],
    });
    let read = ok("blinded_path.unblind", params.clone());
    assert_eq!(read["tlvs"], "060109");
    assert_eq!(read["next_path_key"], read["derived_path_key"]);
    params
        .as_object_mut()
        .unwrap()
        .remove("encrypted_recipient_data");
    let error = refused(&Reference::default(), "blinded_path.unblind", params);
    assert_eq!(error.rule.as_deref(), Some(rules::BLINDING_DECRYPT));
}

#[test]
fn features_are_named() {
    assert_eq!(
        ok(
            "features.decode",
            json!({"features": "80000000020001", "context": "init"})
        ),
        json!({"bits": [0, 17, 55], "names": ["option_data_loss_protect", "basic_mpp", "keysend"]})
    );
}

#[test]
fn arguments_make_a_mutant() {
    let args =
        |text: &str| Reference::from_args(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let request = json!({"bytes": "fd00fc"});
    for text in [
        "--without bolt01/bigsize/minimal",
        "--without=bolt01/bigsize/minimal",
    ] {
        let mutant = args(text).unwrap();
        assert!(matches!(
            mutant.answer("bigsize.decode", &request),
            Answer::Result(_)
        ));
    }
    let lax = args("--shift bolt12/encoding/padding=lax").unwrap();
    let string = json!({"string": "lno1q"});
    assert_eq!(
        refused(
            &Reference::default(),
            "bolt12.string.decode",
            string.clone()
        )
        .rule
        .as_deref(),
        Some(rules::ENCODING_PADDING)
    );
    assert!(matches!(
        lax.answer("bolt12.string.decode", &string),
        Answer::Result(_)
    ));
    assert!(args("--shift=bolt12/encoding/padding=strict").is_ok());
    for (text, want) in [
        ("--without", "needs the id"),
        ("--without bolt01/odd", "no rule bolt01/odd"),
        ("--shift bolt01/tlv/minimal=lax", "no boundary"),
        ("--shift bolt12/encoding/padding=up", "lax or RULE=strict"),
        ("--odd", "not --odd"),
        ("odd", "not odd"),
    ] {
        let error = args(text).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn every_operation_refuses_empty_params_without_a_rule() {
    let hello = Reference::default().hello();
    assert_eq!(hello.operations.len(), operations::NAMES.len());
    for op in &hello.operations {
        let error = refused(&Reference::default(), op, json!({}));
        assert_eq!(
            (error.kind, error.rule.as_deref()),
            (ErrorKind::Invalid, None),
            "{op}"
        );
        assert!(error.message.contains("missing"), "{op}: {}", error.message);
    }
    assert!(matches!(
        Reference::default().answer("made.up", &json!({})),
        Answer::Unsupported(_)
    ));
}

/// A payment from request to fraud proof, with the fields that the protocol names.
#[test]
fn a_keysend_proof_from_end_to_end() {
    let all = Reference::default();
    let (payee_secret, payer_secret) = ("42".repeat(32), "24".repeat(32));
    let names =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let request = ok(
        "keysend_proof.request.encode",
        json!({
            "flags": 3, "nonce": "05".repeat(32), "payment_time": "1700000000",
            "amount_msat": "50000", "payer_key": key(0x24)[2..],
        }),
    )["request"]
        .clone();
    let fields = ok("keysend_proof.request.decode", json!({"request": request}));
    assert_eq!(
        names(&fields),
        [
            "version",
            "flags",
            "nonce",
            "payment_time",
            "amount_msat",
            "payer_key",
            "terms_hash",
            "receipt_wanted",
            "preimage_bound"
        ]
    );
    assert_eq!(
        ok("keysend_proof.request.encode", fields.clone())["request"],
        request
    );

    let place =
        json!({"chain_hash": "06".repeat(32), "recipient_id": key(0x42), "request": request});
    let with = |base: &Value, more: Value| {
        let mut all = base.clone();
        let more = more.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(more);
        all
    };
    let opening = ok("keysend_proof.commit", place.clone());
    assert_eq!(names(&opening), ["commitment", "preimage", "payment_hash"]);
    let payment = with(
        &place,
        json!({
            "preimage": opening["preimage"], "payment_hash": opening["payment_hash"],
            "received_msat": "50000", "now": "1700000000", "seen": [],
        }),
    );
    assert_eq!(
        ok("keysend_proof.accept", payment.clone()),
        json!({"receipt_due": true, "commitment": opening["commitment"]})
    );
    for (more, kind, rule) in [
        (
            json!({"seen": [opening["payment_hash"]]}),
            ErrorKind::Rejected,
            rules::KSP_RECIPIENT_SECOND_PAYMENT,
        ),
        (
            json!({"now": "1700000011", "window_past": "10"}),
            ErrorKind::Rejected,
            rules::KSP_RECIPIENT_TIME_PAST,
        ),
        (
            json!({"preimage": "00".repeat(32)}),
            ErrorKind::Invalid,
            rules::KSP_RECIPIENT_PREIMAGE_HASH,
        ),
    ] {
        let error = refused(&all, "keysend_proof.accept", with(&payment, more));
        assert_eq!((error.kind, error.rule.as_deref()), (kind, Some(rule)));
    }

    let stated = json!({
        "commitment": opening["commitment"], "payment_hash": opening["payment_hash"],
        "received_msat": "50000", "settled_time": "1700000005",
    });
    let mut receipts = Vec::new();
    for algorithm in [0, 1] {
        let stated = with(&stated, json!({"algorithm": algorithm}));
        let signed = ok(
            "keysend_proof.receipt.sign",
            with(&stated, json!({"secret_key": payee_secret})),
        );
        assert_eq!(names(&signed), ["receipt", "digest"]);
        let message = ok("keysend_proof.receipt.message", stated.clone());
        assert_eq!(message["digest"], signed["digest"]);
        let read = ok(
            "keysend_proof.receipt.decode",
            json!({"receipt": signed["receipt"]}),
        );
        let bytes = lnconform_protocol::params::hex_bytes(read["signature"].as_str().unwrap());
        let mut forms = vec![read["signature"].clone()];
        if algorithm == 1 {
            forms.push(json!(lnconform_drafts::keysend_proof::zbase32_encode(
                &bytes.unwrap()
            )));
        }
        for form in forms {
            let parts = with(
                &stated,
                json!({"signature": form, "recipient_id": key(0x42)}),
            );
            assert_eq!(
                ok("keysend_proof.receipt.assemble", parts.clone())["receipt"],
                signed["receipt"]
            );
            let foreign = with(&parts, json!({"recipient_id": key(0x24)}));
            let error = refused(&all, "keysend_proof.receipt.assemble", foreign);
            assert!(error.rule.unwrap().contains("/verifier/signature"));
        }
        receipts.push(signed["receipt"].clone());
    }

    let challenge = "09".repeat(32);
    let claim = ok(
        "keysend_proof.claim.sign",
        with(
            &place,
            json!({"secret_key": payer_secret, "challenge": challenge}),
        ),
    )["claim"]
        .clone();
    for (more, tier) in [
        (json!({}), 0),
        (json!({"receipt": receipts[0]}), 1),
        (
            json!({"receipt": receipts[1], "challenge": challenge, "claim": claim}),
            2,
        ),
    ] {
        let verified = ok("keysend_proof.verify", with(&place, more));
        assert_eq!(verified["tier"], tier);
        assert_eq!(verified["payment_hash"], opening["payment_hash"]);
        let text = verified["statement"].as_str().unwrap();
        assert!(text.contains(" Not proven: That"), "{text}");
    }
    let lone = with(&place, json!({"receipt": receipts[0], "claim": claim}));
    let error = refused(&all, "keysend_proof.verify", lone);
    assert_eq!(
        error.rule.as_deref(),
        Some(rules::KSP_CLAIM_WITHOUT_CHALLENGE)
    );

    let other = ok(
        "keysend_proof.receipt.sign",
        with(
            &stated,
            json!({"algorithm": 0, "secret_key": payee_secret, "received_msat": "50001"}),
        ),
    );
    let fraud = |second: &Value| {
        let receipts = json!({"receipts": [receipts[0], second]});
        ok("keysend_proof.fraud", with(&place, receipts))
    };
    assert_eq!(fraud(&receipts[1])["proven"], false);
    let proven = fraud(&other["receipt"]);
    assert_eq!(proven["proven"], true);
    assert_eq!(proven["differs"], json!(["received_msat"]));
    ok("keysend_proof.reply.decode", json!({"reply": key(1)}));
}

/// Params of the names that operations read, with values of fitting and unfitting form.
fn any_params() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(
        &[
            "bytes",
            "value",
            "stream",
            "known",
            "records",
            "namespace",
            "string",
            "offer",
            "now",
            "chains",
            "message_name",
            "field_name",
            "secret_key",
            "public_key",
            "signature",
            "session_key",
            "associated_data",
            "hops",
            "size",
            "node_secret",
            "onion",
            "path_key",
            "encrypted_recipient_data",
            "features",
            "raw",
            "unchecked",
            "via",
            "parts",
            "sent_to",
            "expiry",
            "dialect",
            "multi_part",
            "allowed_features",
            "resolved_from",
            "chain_hash",
            "recipient_id",
            "request",
            "preimage",
            "payment_hash",
            "received_msat",
            "seen",
            "receipt",
            "receipts",
            "claim",
            "challenge",
            "commitment",
            "algorithm",
            "settled_time",
            "reply",
            "flags",
        ][..],
    );
    let bytes = prop::collection::vec(any::<u8>(), 0..100).prop_map(|b| json!(hex(b)));
    let record = (any::<u64>(), prop::collection::vec(any::<u8>(), 0..9))
        .prop_map(|(kind, value)| json!({"type": kind.to_string(), "value": hex(value)}));
    let value = prop_oneof![
        bytes,
        prop::sample::select(&["01", "02", "ff"][..]).prop_map(|b| json!(b.repeat(32))),
        Just(json!(key(7))),
        any::<u64>().prop_map(|n| json!(n.to_string())),
        any::<u32>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(Value::Bool),
        prop::sample::select(&["n1", "n2", "lno1pqqsq", "signature"][..]).prop_map(|s| json!(s)),
        prop::collection::vec(record, 0..4).prop_map(Value::Array),
        Just(json!([{"pubkey": key(7), "payload": "020000", "encrypted_data": "0600"}])),
    ];
    prop::collection::btree_map(name, value, 0..12).prop_map(|map| json!(map))
}

proptest! {
    #[test]
    fn no_params_make_an_operation_panic(params in any_params(), which in 0..rules::ALL.len()) {
        let id = rules::ALL[which].id;
        let mut references = vec![Reference::default()];
        references.push(Reference::new(Rules::all().without(id).unwrap()));
        for shift in [Shift::Lax, Shift::Strict] {
            references.extend(Rules::all().shift(id, shift).ok().map(Reference::new));
        }
        for (op, _) in operations::NAMES {
            for reference in &references {
                if let Answer::Error(error) = reference.answer(op, &params) {
                    prop_assert_ne!(error.kind, ErrorKind::Internal);
                }
            }
        }
    }
}

#[test]
fn a_receipt_is_not_assembled_for_an_id_that_is_no_point() {
    let commitment = "22".repeat(32);
    let mut params = json!({
        "secret_key": "07".repeat(32), "algorithm": 0, "commitment": commitment,
        "payment_hash": "33".repeat(32), "received_msat": "1", "settled_time": "2",
    });
    let receipt = ok("keysend_proof.receipt.sign", params.clone())["receipt"].clone();
    let receipt = receipt.as_str().unwrap();
    params["signature"] = json!(receipt[receipt.len() - 128..]);
    params["recipient_id"] = json!(key(7));
    assert_eq!(
        ok("keysend_proof.receipt.assemble", params.clone())["receipt"],
        receipt
    );
    params["recipient_id"] = json!(format!("04{}", &key(7)[2..]));
    let refusal = refused(
        &Reference::default(),
        "keysend_proof.receipt.assemble",
        params,
    );
    assert_eq!(
        refusal.rule.as_deref(),
        Some("keysend-proof/derivation/recipient-id")
    );
}

/// A set of two HTLCs from its records to its preimages, in each form.
#[test]
fn amp_in_each_form() {
    let (root, left, right) = ("11".repeat(32), "01".repeat(32), "10".repeat(32));
    let all = Reference::default();
    for dialect in ["amp/lnd", "amp/2021", "amp/pr-658"] {
        let mut children = Vec::new();
        let mut preimages = Vec::new();
        for (share, index) in [(&left, 0), (&right, 0xffff)] {
            let mut fields =
                json!({"root_share": share, "set_id": "22".repeat(32), "index": index});
            if dialect == "amp/pr-658" {
                fields["payment_id"] = json!("33".repeat(32));
                fields["total_msat"] = json!("18446744073709551615");
            }
            let with = |more: &Value| {
                let mut params = more.clone();
                params["dialect"] = json!(dialect);
                params
            };
            let record = ok("amp.record.encode", with(&fields));
            assert_eq!(ok("amp.record.decode", with(&record)), fields, "{dialect}");
            let child = ok(
                "amp.child",
                with(&json!({"root": root, "share": share, "index": index})),
            );
            preimages.push(child["preimage"].clone());
            children.push(
                json!({"share": share, "index": index, "payment_hash": child["payment_hash"]}),
            );
        }
        let set = json!({"children": children, "dialect": dialect});
        assert_eq!(
            ok("amp.reconstruct", set),
            json!({"root": root, "preimages": preimages})
        );
        let half = json!({"children": children[..1], "dialect": dialect});
        let error = refused(&all, "amp.reconstruct", half);
        assert_eq!(
            (error.kind, error.rule.as_deref()),
            (ErrorKind::Invalid, Some(rules::AMP_PAYMENT_HASH))
        );
        assert!(all.hello().dialects.contains(&dialect.to_owned()));
    }
}

#[test]
fn amp_params_that_are_missing_or_foreign() {
    let all = Reference::default();
    let zeros = "00".repeat(32);
    let error = refused(&all, "amp.reconstruct", json!({"children": []}));
    assert!(error.message.contains("one HTLC at least"), "{error:?}");
    // Only the form of 2019 does without the share.
    let mut child = json!({"root": zeros, "index": 0});
    assert!(
        refused(&all, "amp.child", child.clone())
            .message
            .contains("share")
    );
    child["dialect"] = json!("amp/pr-658");
    ok("amp.child", child);
    let record = json!({"record": "00".repeat(64), "type": "10"});
    let error = refused(&all, "amp.record.decode", record);
    assert_eq!(error.rule.as_deref(), Some(rules::AMP_TYPE));
    assert!(error.message.ends_with("amp/2021"), "{error:?}");
    let total = json!({"root_share": zeros, "set_id": zeros, "index": 0, "dialect": "amp/pr-658"});
    assert!(
        refused(&all, "amp.record.encode", total)
            .message
            .contains("total_msat")
    );
    // A form that nobody knows is missing, not wrong.
    let foreign = json!({"record": "", "dialect": "amp/2031"});
    assert!(matches!(
        all.answer("amp.record.decode", &foreign),
        Answer::Unsupported(_)
    ));
    assert!(matches!(
        all.answer("amp.record.decode", &json!({"record": "", "dialect": 7})),
        Answer::Error(_)
    ));
}
