//! `spec audit`: negative cases that are right for the wrong reason.

use crate::screen;
use crate::screens;
use lnconform_tests::{Place, Ran, repository, upstream};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A file of upstream's shape: an offer's negatives, of which the second and the third do not test
/// what they name, and one that is right.
const OFFERS: &str = r#"[
  {"description": "Invalid: zero offer_amount", "valid": false,
   "bolt12": "lno1pqqq5qm5v4s3vggr8nzcsjj748lsxglptwpyxfnyn3frhw47eydhtxefuhxsv76dudzq"},
  {"description": "Missing offer_description", "valid": false,
   "bolt12": "lno1zcssx0x93p99a20lqv37zkuzgvnxf8zj8watajgmwkdjnewdqea5mc6ypgphgetp"},
  {"description": "Malformed: truncated in description", "valid": false,
   "bolt12": "lno1pgphg"},
  {"description": "Something is wrong", "valid": false,
   "bolt12": "lno1zcssx0x93p99a20lqv37zkuzgvnxf8zj8watajgmwkdjnewdqea5mc6ypgphgetp"},
  {"description": "Minimal", "valid": true,
   "bolt12": "lno1zcssx0x93p99a20lqv37zkuzgvnxf8zj8watajgmwkdjnewdqea5mc6y",
   "fields": [{"type": 22, "hex": "033cc5884a5ea9ff0323e15b824326649c523bbabec91b759b29e5cd067b4de344"}]}
]
"#;

fn place() -> Place {
    let place = Place::new();
    place.write("bolts/bolt12/offers-test.json", OFFERS);
    place
}

fn cases(ran: &Ran) -> Vec<Value> {
    ran.json()["cases"].as_array().unwrap().clone()
}

/// The rules that refuse a case, in their order.
fn refused_by(case: &Value) -> Vec<&str> {
    let then = case["then"].as_array().into_iter().flatten();
    let by = case["rejected_by"].as_str().into_iter();
    by.chain(then.map(|rule| rule.as_str().unwrap())).collect()
}

#[test]
fn a_case_that_is_refused_for_another_reason_is_shown() {
    let place = place();
    let text = place.run(&["spec", "audit", "--specs", "bolts"]).code(0);
    let nothing = place.run(&["spec", "audit", "--specs", "work"]).code(2);
    let idle = place
        .run(&["spec", "audit", "bolt12/**", "--specs", "bolts"])
        .code(2);
    let without = place.run(&["spec", "audit"]).code(2);
    let help = place.run(&["spec", "audit", "--help"]).code(0);
    screen!("spec_audit", screens(&[text, nothing, idle, without, help]));
}

#[test]
fn the_audit_is_told_to_programs() {
    let place = place();
    let args = ["spec", "audit", "--specs", "bolts", "--format", "json"];
    let all = cases(&place.run(&args).code(0));
    let of = |named: &str| {
        let found = all.iter().find(|c| c["named"] == named);
        found.unwrap_or_else(|| panic!("no {named} among {all:#?}"))
    };
    assert_eq!(all.len(), 4);
    let zero = of("Invalid: zero offer_amount");
    assert!(
        zero["id"]
            .as_str()
            .unwrap()
            .starts_with("upstream/bolt12/offers-test/invalid-zero-offer-amount~"),
        "{zero}"
    );
    let rule = "bolt12/offer/reader/amount-zero";
    assert_eq!(
        (&zero["rule"], &zero["rejected_by"]),
        (&rule.into(), &rule.into())
    );
    assert_eq!(zero["isolates"], serde_json::json!([rule]));
    assert_eq!(zero["reaches"], true);
    // It isolates a rule, and not the one that it names.
    let missing = of("Missing offer_description");
    assert_eq!(missing["isolates"], serde_json::json!(["bolt01/tlv/order"]));
    assert_eq!(missing["reaches"], false);
    assert_eq!(
        missing["instead"],
        serde_json::json!(["bolt12/offer/amount-without-description"])
    );
    // It isolates none, as another rule refuses it as well.
    let cut = of("Malformed: truncated in description");
    assert_eq!(cut["isolates"], serde_json::json!([]));
    assert_eq!(
        refused_by(cut),
        ["bolt01/tlv/length", "bolt12/offer/reader/issuer-or-paths"]
    );
    assert_eq!(cut["accepted"], true);
    // Its name tells no requirement, so any will do.
    let some = of("Something is wrong");
    assert_eq!(some.get("rule"), None);
    assert_eq!(some["reaches"], true);

    let args = [&args[..], &["upstream/**/missing*"]].concat();
    assert_eq!(cases(&place.run(&args).code(0)).len(), 1);
    // A file that cannot be used is named, and the rest is judged.
    place.write("bolts/bolt12/payer-proof-test.json", "[]");
    let ran = place.run(&args).code(0);
    assert_eq!(cases(&ran).len(), 1);
    assert!(
        ran.stderr
            .contains("bolt12/payer-proof-test.json: the file has an unknown shape"),
        "{}",
        ran.screen()
    );
}

/// Cases of upstream's offers that another rule refuses than the one they name, each with that one.
const FOR_ANOTHER_REASON: [(&str, &str); 3] = [
    (
        "Malformed: truncated onionmsg_hop in blinded_path",
        "bolt01/tlv/order",
    ),
    (
        "Malformed: bad path_key in blinded_path",
        "bolt01/tlv/order",
    ),
    ("Contains type > 1999999999", "bolt01/tlv/length"),
];

/// What refuses upstream's payer proofs, one after the other, below `payer-proof/reader/`.
const CHAINS: [(&str, &str); 12] = [
    (
        "missing_invreq_payer_id",
        "payer-id-missing omitted-after-previous leaf-hashes missing-hashes signature",
    ),
    (
        "missing_invoice_node_id",
        "node-id-missing leaf-hashes proof-signature",
    ),
    ("missing_proof_preimage", "preimage-missing proof-signature"),
    (
        "missing_proof_leaf_hashes",
        "leaf-hashes-missing proof-signature",
    ),
    ("wrong_proof_preimage", "preimage proof-signature"),
    (
        "proof_omitted_tlvs_contains_zero",
        "omitted-zero proof-signature",
    ),
    (
        "proof_omitted_tlvs_contains_proof_field",
        "omitted-proof-type omitted-after-included missing-hashes signature proof-signature",
    ),
    (
        "proof_omitted_tlvs_contains_included_tlv_field",
        "omitted-included omitted-after-previous missing-hashes signature proof-signature",
    ),
    (
        "proof_leaf_hashes_too_few",
        "leaf-hashes signature proof-signature",
    ),
    (
        "proof_missing_hashes_too_few",
        "missing-hashes signature proof-signature",
    ),
    (
        "contains_invreq_metadata",
        "metadata leaf-hashes signature proof-signature",
    ),
    ("wrong_invoice_signature", "signature"),
];

#[test]
fn upstreams_own_files_are_audited_in_seconds() {
    let Some(specs) = upstream() else { return };
    let specs = specs.to_string_lossy();
    let place = Place::new();
    let ran = place.run(&["spec", "audit", "--specs", &specs, "--format", "json"]);
    let ran = ran.code(0);
    let all = cases(&ran);
    println!("{} negative cases in {:?}", all.len(), ran.took);
    let mut found = 0;
    let by_name: BTreeMap<&str, &Value> = all
        .iter()
        .map(|c| (c["named"].as_str().unwrap(), c))
        .collect();
    let mut see = |named: &str, reaches: bool, check: &dyn Fn(&Value)| {
        let Some(case) = by_name.get(named) else {
            return;
        };
        found += 1;
        assert_eq!(case["reaches"], reaches, "{case:#}");
        check(case);
    };
    for (named, by) in FOR_ANOTHER_REASON {
        see(named, false, &|case| {
            assert_eq!(case["rejected_by"], by, "{case:#}")
        });
    }
    for (named, chain) in CHAINS {
        see(named, !chain.contains(' '), &|case| {
            let rules = refused_by(case);
            let rules: Vec<&str> = rules
                .iter()
                .map(|r| r.trim_start_matches("payer-proof/reader/"))
                .collect();
            assert_eq!(rules.join(" "), chain, "{case:#}");
        });
    }
    println!("{found} of them are known");
    for case in &all {
        assert!(case.get("unsupported").is_none(), "{case:#}");
        // Whoever reaches its rule is refused by nothing else.
        assert!(
            case["reaches"] == false || case.get("then").is_none(),
            "{case:#}"
        );
    }
}

/// Rules that no vector isolates: whatever breaks them breaks another one too.
const NEVER_ALONE: [&str; 6] = [
    "amp-tunnel/settle/entry-known",
    "amp-tunnel/settle/tunnel-held",
    "bolt04/onion/fits",
    "bolt04/onion/next-hmac-remaining",
    "bolt04/onion/payload-remaining",
    "payer-proof/reader/omitted-proof-type",
];

/// Vectors of ours that do not isolate the rule they name, and cannot: this way of breaking it
/// breaks another one too.
const NOT_ISOLATED: &[(&str, &[&str])] = &[
    (
        "what is derived for an id that is no point, or from a request of another form, is not what \
         the HTLCs carry",
        &[
            "amp-tunnel/accept/recipient-off-curve",
            "amp-tunnel/accept/request-flag-bit-2",
            "amp-tunnel/accept/request-version-1",
            "amp-tunnel/settle/recipient-off-curve",
            "amp-tunnel/settle/request-version-1",
            "amp-tunnel/verify/recipient-off-curve",
        ],
    ),
    (
        "root and set id are derived from the same, so that both differ",
        &[
            "amp-tunnel/accept/wrong-chain",
            "amp-tunnel/accept/wrong-parity",
            "amp-tunnel/accept/wrong-payment-addr",
            "amp-tunnel/accept/wrong-recipient",
            "amp-tunnel/verify/bound-other-nonce",
            "amp-tunnel/verify/set-id-other-unwanted",
        ],
    ),
    (
        "what another key opens is no payload, and a payload of no bytes has no fields",
        &[
            "onion/process/blinded-other-path-key",
            "onion/process/key-off-curve",
            "onion/process/length-0",
        ],
    ),
    (
        "a record with a byte more than the others has another length as well",
        &["amp-tunnel/accept/request-other-bytes"],
    ),
    (
        "without HTLCs there is no sum, no hash to look for and nothing to assign",
        &[
            "amp-tunnel/attacks/d3",
            "amp-tunnel/attacks/d3-part",
            "amp-tunnel/settle/no-tunnel",
            "amp-tunnel/settle/tunnel-of-nothing",
            "amp-tunnel/verify/htlcs-empty",
        ],
    ),
    (
        "a hash that is not in the pool is not the assigned one, and in no receipt",
        &[
            "amp-tunnel/settle/unknown-hash",
            "amp-tunnel/verify/tunnel-receipt-other-secret",
        ],
    ),
    (
        "the bytes that are missing were signed, or belong to a key",
        &[
            "amp-tunnel/pool/check/assignment-100",
            "amp-tunnel/pool/check/header-174",
            "amp-tunnel/pool/header-78",
            "amp-tunnel/settle/assignment-100",
            "amp-tunnel/verify/receipt-176",
            "amp-tunnel/verify/tunnel-assignment-100",
            "amp-tunnel/verify/tunnel-header-174",
            "payer-proof/form/proof-signature-63-bytes",
            "payer-proof/form/signature-63-bytes",
        ],
    ),
    (
        "for what is no point, no signature is right",
        &[
            "amp-tunnel/pool/check/lsp-off-curve",
            "amp-tunnel/pool/check/recipient-off-curve",
            "payer-proof/form/payer-id-no-point",
        ],
    ),
    (
        "a hash too few gives the tree another root; a hash too many is refused for its number alone",
        &[
            "payer-proof/counts/leaf-hashes-33-bytes",
            "payer-proof/counts/leaf-hashes-none",
            "payer-proof/counts/leaf-hashes-too-few",
            "payer-proof/counts/missing-hashes-33-bytes",
            "payer-proof/counts/missing-hashes-none",
            "payer-proof/counts/missing-hashes-too-few",
            "payer-proof/omitted/too-few",
        ],
    ),
    (
        "31 bytes are no preimage and no hash of one",
        &[
            "payer-proof/form/payment-hash-31-bytes",
            "payer-proof/form/preimage-31-bytes",
        ],
    ),
    (
        "markers tell the places of fields, so that another order, and half a marker, give another tree",
        &["payer-proof/form/order", "payer-proof/omitted/cut"],
    ),
    (
        "the older form lacks every field that the newer one adds",
        &["payer-proof/form/older"],
    ),
    (
        "a marker is the next number, and no number of an invoice's field comes before this one",
        &[
            "payer-proof/omitted/proof-type-1001",
            "payer-proof/omitted/proof-type-999999999",
            "payer-proof/omitted/signature-type-1000",
            "payer-proof/omitted/too-high-4000000000",
        ],
    ),
    (
        "a packet has just the room that its size gives it: whoever skips the check has nowhere to go on",
        &["onion/build/too-full"],
    ),
    (
        "an onion that is cut has no whole HMAC, payload or HMAC of the next hop behind the place of the cut",
        &[
            "onion/peel/65-bytes",
            "onion/peel/66-bytes",
            "onion/peel/next-hmac-cut",
            "onion/peel/payload-beyond-the-end",
            "onion/peel/payload-to-the-end",
        ],
    ),
    (
        "what another key opens, or no tag holds together, is noise and no stream",
        &[
            "fulfillment/decode/hidden-twice",
            "fulfillment/decode/not-hidden",
            "fulfillment/decode/other-key",
            "fulfillment/decode/truncated",
        ],
    ),
];

#[test]
fn every_negative_vector_of_ours_isolates_its_rule_or_says_why_not() {
    let place = Place::new();
    let args = ["spec", "audit", "--own", "--format", "json"];
    let mut command = place.command(&args);
    command.current_dir(repository(""));
    let all = cases(&place.finish(command, &args, "").code(0));
    assert!(all.len() > 1000, "{}", all.len());
    let mut missing: BTreeMap<&str, &Value> = all
        .iter()
        .filter(|c| c["reaches"] == false)
        .map(|c| (c["id"].as_str().unwrap(), c))
        .collect();
    for (why, ids) in NOT_ISOLATED {
        for id in *ids {
            let Some(case) = missing.remove(id) else {
                panic!("{id} does isolate its rule; take it out of NOT_ISOLATED, behind: {why}");
            };
            // It is refused by its own rule first: the others only come behind it.
            assert_eq!(case["rejected_by"], case["rule"], "{case:#}");
        }
    }
    let of = |wanted: &dyn Fn(&Value) -> bool| -> BTreeSet<&str> {
        let of_them = all.iter().filter(|c| wanted(c));
        of_them.map(|c| c["rule"].as_str().unwrap()).collect()
    };
    let named = of(&|c| c["rule"].is_string());
    let isolated = of(&|c| c["reaches"] == true);
    let never: Vec<&str> = named.difference(&isolated).copied().collect();
    assert_eq!(never, NEVER_ALONE);
    assert!(
        missing.is_empty(),
        "vectors that do not isolate the rule they name; mend them, or say in NOT_ISOLATED why that \
         cannot be: {missing:#?}"
    );
}
