use super::*;
use crate::Catalogue;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

/// A made-up text with the shapes of BOLT 1.
const MESSAGING: &str = r#"# A text

## Appendix A: BigSize Test Vectors

### BigSize Decoding Tests

```json
[
    {"name": "Two bytes, high", "value": 300, "bytes": "fd012c"},
    {"name": "too wide", "value": 0, "bytes": "fd0001", "exp_error": "is not canonical"},
    {"name": "cut", "value": 0, "bytes": "fd00", "exp_error": "unexpected EOF"}
]
```

### BigSize Encoding Tests

```json
[
    {"name": "Two bytes, high", "value": 18446744073709551615, "bytes": "ffffffffffffffffff"}
]
```

## Appendix B: Type-Length-Value Test Vectors

We speak of n1 and n2.

1. `tlv_stream`: `n1`
2. types:
   1. type: 1 (`tlv1`)

These streams in any namespace
should fail:

1. Invalid stream: 0x0f fd
2. Reason: (length truncated)

These in namespace `n1` are read:

1. Valid stream: 0x
2. Explanation: nothing

1. Valid stream: 0x01 01 07 fd00fe 02 0226
2. Values: `tlv1` `amount_msat`=7 `tlv4` `cltv_delta`=550

## Appendix C

1. Invalid stream: 0x00
2. Reason: not of this list
"#;

fn read_with(reader: Reader, text: &str) -> (Vec<UpstreamCase>, Option<String>) {
    read_file(reader, "upstream/bolt00/x", "bolt00/x.json", "bolt00", text)
}

#[test]
fn bolt_1_is_read_out_of_its_text() {
    let (cases, fault) = read_with(bolt01::messaging, MESSAGING);
    assert_eq!(fault, None);
    let seen: Vec<_> = cases
        .iter()
        .map(|c| {
            let id = c.id.trim_start_matches("upstream/bolt00/x/");
            let (start, end) = id.split_once('~').unwrap();
            let id = format!("{start}~{}", end.get(8..).unwrap());
            (
                c.line,
                id,
                c.operation.as_str(),
                c.input.clone(),
                c.expect.clone(),
                c.covers.join(" "),
            )
        })
        .collect();
    let result = UpstreamExpect::Result;
    let row = |line, id: &str, operation, input, expect, covers: &str| {
        (
            line,
            id.to_owned(),
            operation,
            input,
            expect,
            covers.to_owned(),
        )
    };
    let tlv = "tlv.namespace.decode";
    assert_eq!(
        seen,
        [
            row(
                9,
                "bigsize-decode/two-bytes-high~",
                "bigsize.decode",
                json!({"bytes": "fd012c"}),
                result(json!({"value": "300", "rest": ""})),
                "bolt01/bigsize/form"
            ),
            row(
                10,
                "bigsize-decode/too-wide~",
                "bigsize.decode",
                json!({"bytes": "fd0001"}),
                UpstreamExpect::Error,
                "bolt01/bigsize/minimal"
            ),
            row(
                11,
                "bigsize-decode/cut~",
                "bigsize.decode",
                json!({"bytes": "fd00"}),
                UpstreamExpect::Error,
                "bolt01/bigsize/truncated"
            ),
            row(
                19,
                "bigsize-encode/two-bytes-high~",
                "bigsize.encode",
                json!({"value": "18446744073709551615"}),
                result(json!({"bytes": "ffffffffffffffffff"})),
                "bolt01/bigsize/form"
            ),
            row(
                34,
                "tlv/length-truncated~/n1",
                tlv,
                json!({"namespace": "n1", "stream": "0ffd"}),
                UpstreamExpect::Error,
                "bolt01/tlv/truncated"
            ),
            row(
                34,
                "tlv/length-truncated~/n2",
                tlv,
                json!({"namespace": "n2", "stream": "0ffd"}),
                UpstreamExpect::Error,
                "bolt01/tlv/truncated"
            ),
            row(
                39,
                "tlv/nothing~/n1",
                tlv,
                json!({"namespace": "n1", "stream": ""}),
                result(json!({"fields": {}})),
                "bolt01/tlv/stop"
            ),
            row(
                42,
                "tlv/tlv1-amount-msat-7-tlv4-cltv-delta-550~/n1",
                tlv,
                json!({"namespace": "n1", "stream": "010107fd00fe020226"}),
                result(
                    json!({"fields": {"tlv1": {"amount_msat": "7"}, "tlv4": {"cltv_delta": 550}}})
                ),
                "bolt01/tlv/decode-known"
            ),
        ]
    );
}

#[test]
fn an_id_is_the_hash_of_the_case_and_not_of_its_spelling() {
    let entry = r#"[{"description": "A + b", "valid": false, "bolt12": "lno1"}]"#;
    let other = r#"[ {"bolt12":"lno1",
        "valid":false, "description":"A + b"} ]"#;
    let id = |text| read_with(bolt12::offers, text).0.remove(0).id;
    assert_eq!(id(entry), id(other));
    // printf '{"bolt12":"lno1","description":"A + b","valid":false}' | sha256sum
    assert_eq!(
        canonical(&parse(entry).unwrap()[0]),
        r#"{"bolt12":"lno1","description":"A + b","valid":false}"#
    );
    assert!(
        id(entry).starts_with("upstream/bolt00/x/a-b~"),
        "{}",
        id(entry)
    );
    assert_ne!(
        id(entry),
        id(&entry
            .replace("false", "true")
            .replace("\"lno1\"", "\"lno1\", \"fields\": []"))
    );
    assert_eq!(slug("…"), "case");
    assert_eq!(slug(&"long ".repeat(30)).len(), 59);
}

#[test]
fn offers_expect_their_records_or_an_error_and_name_the_rule() {
    let (cases, fault) = read_with(
        bolt12::offers,
        r#"[
  {"description": "fine", "valid": true, "bolt12": "lno1x", "fields": [{"type": 22, "length": 1, "hex": "02"}]},
  {"description": "Missing offer_amount with offer_currency", "valid": false, "bolt12": "lno1y"},
  {"description": "no verdict", "bolt12": "lno1z"},
  {"description": "$", "valid": true, "bolt12": "$", "fields": []}
]"#,
    );
    assert_eq!(
        fault.unwrap(),
        "the file has an unknown shape: line 4: there is no `valid`"
    );
    assert_eq!(cases.len(), 3);
    assert_eq!(
        cases[0].expect,
        UpstreamExpect::Result(json!({"records": [{"type": "22", "value": "02"}]}))
    );
    assert_eq!(cases[0].input, json!({"offer": "lno1x"}));
    assert_eq!(
        (cases[1].line, &cases[1].expect),
        (3, &UpstreamExpect::Error)
    );
    assert_eq!(
        cases[1].covers,
        ["bolt12/offer/reader/currency-without-amount"]
    );
    assert_eq!(
        literal(json!(["$any", {"a": "b$"}])),
        json!(["$$any", {"a": "b$"}])
    );
}

#[test]
fn every_value_of_a_merkle_tree_is_a_step() {
    let (cases, fault) = read_with(
        bolt12::signatures,
        r#"[{"comment": "two", "tlv": "invoice_request", "leaves": [
            {"H(`LnLeaf`,010107)": "aa", "H(`LnNonce`|first-tlv,1)": "ab", "H(`LnBranch`,leaf+nonce)": "ac"},
            {"H(`LnLeaf`,580102)": "ba", "H(`LnNonce`|first-tlv,88)": "bb", "H(`LnBranch`,leaf+nonce)": "bc"}],
          "branches": [{"desc": "1", "H(`LnBranch`,acbc)": "cc"}], "merkle": "cc",
          "signature_tag": "lightninginvoice_requestsignature", "H(signature_tag,merkle)": "dd",
          "signature": "ee"}]"#,
    );
    assert_eq!(fault, None);
    let steps: Vec<_> = cases
        .iter()
        .map(|c| c.id.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(
        steps,
        [
            "leaf-0",
            "nonce-0",
            "leaf-nonce-0",
            "leaf-1",
            "nonce-1",
            "leaf-nonce-1",
            "branch-0",
            "root",
            "verify",
            "digest"
        ]
    );
    assert_eq!(
        cases[0].input,
        json!({"records": [{"type": "1", "value": "07"}, {"type": "88", "value": "02"}]})
    );
    assert_eq!(
        cases[3].expect,
        UpstreamExpect::Result(json!({"leaves": ["$any", "ba"]}))
    );
    assert_eq!(
        cases[8].input,
        json!({"message_name": "invoice_request", "field_name": "signature",
            "records": [{"type": "1", "value": "07"}, {"type": "88", "value": "02"}],
            "public_key": "02", "signature": "ee"})
    );
}

#[test]
fn a_payer_proof_is_read_made_and_taken_apart() {
    let (cases, fault) = read_with(
        payer_proof::payer_proofs,
        r#"{"payer_secret": "42",
  "valid_vectors": [
    {"name": "Note", "input": {"invoice_hex": "0000", "preimage": "01", "note": "for $you",
        "invoice_fields": [{"tag": 0, "hex": "00", "included": false}, {"tag": 88, "hex": "02", "included": true},
            {"tag": 240, "hex": "05", "included": true}]},
     "working": {"invoice_merkle_root": "aa", "proof_omitted_tlvs": [1], "proof_missing_hashes": ["bb"], "proof_leaf_hashes": ["cc"]},
     "result": {"bech32": "lnp1x", "proof_fields": [{"tag": 88, "hex": "02"}, {"tag": 240, "hex": "05"}, {"tag": 1001, "hex": "01"}]}},
    {"name": "explicit", "input": {"invoice_hex": "0000", "preimage": "01", "invoice_fields": []},
     "working": {"invoice_merkle_root": "aa", "proof_omitted_tlvs": [], "proof_missing_hashes": [], "proof_leaf_hashes": []},
     "result": {"bech32": "lnp1x", "proof_fields": [{"tag": 1002, "hex": ""}]}}
  ],
  "invalid_vectors": [
    {"reason": "contains_invreq_metadata", "bech32": "lnp1y"},
    {"reason": "something new", "bech32": "lnp1z"},
    {"reason": "no proof"}
  ]}"#,
    );
    assert_eq!(
        fault.unwrap(),
        "the file has an unknown shape: line 15: there is no `bech32`"
    );
    let seen: Vec<_> = cases
        .iter()
        .map(|c| {
            (
                c.line,
                c.operation.as_str(),
                c.id.rsplit('/').next().unwrap(),
            )
        })
        .map(|(line, op, id)| (line, op, id.split('~').next().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            (3, "payer_proof.verify", "note"),
            (3, "payer_proof.create", "create"),
            (3, "payer_proof.disclose", "disclose"),
            // The writer leaves an empty field out, so this one it does not make.
            (8, "payer_proof.verify", "explicit"),
            (8, "payer_proof.disclose", "disclose"),
            (13, "payer_proof.verify", "contains-invreq-metadata"),
            (14, "payer_proof.verify", "something-new"),
        ]
    );
    assert_eq!(
        cases[0].expect,
        UpstreamExpect::Result(json!({"preimage": "01", "note": "for $you",
            "disclosed": [{"type": "88", "value": "02"}]}))
    );
    assert_eq!(
        cases[1].input,
        json!({"invoice": "0000", "preimage": "01", "payer_secret": "42", "include": ["88"], "note": "for $you"})
    );
    assert_eq!(
        cases[1].expect,
        UpstreamExpect::Result(json!({"proof": "lnp1x"}))
    );
    assert_eq!(
        cases[2].expect,
        UpstreamExpect::Result(
            json!({"root": "aa", "omitted": ["1"], "missing_hashes": ["bb"], "leaf_hashes": ["cc"]})
        )
    );
    assert_eq!(cases[5].covers, ["payer-proof/reader/metadata"]);
    assert_eq!(cases[6].covers, Vec::<String>::new());
}

#[test]
fn copies_are_one_and_contradictions_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let text = r#"[{"comment": "one", "valid": true, "string": "lno1"}]"#;
    put("a/bolt12/format-string-test.json", text);
    put("b/bolt12/format-string-test.json", text);
    put("c/bolt12/format-string-test.json", &text.replace(' ', "\n"));
    put("d/elsewhere/format-string-test.json", "not upstream's");
    let (cases_found, problems) = cases(dir.path()).unwrap();
    assert_eq!((cases_found.len(), problems.len()), (1, 0), "{problems:?}");
    assert_eq!(cases_found[0].file, "a/bolt12/format-string-test.json");

    put(
        "b/bolt12/format-string-test.json",
        &text.replace("one", "two"),
    );
    let (cases_found, problems) = cases(dir.path()).unwrap();
    assert_eq!((cases_found.len(), problems.len()), (1, 1));
    assert_eq!(problems[0].id, "upstream/bolt12/format-string-test");
    assert_eq!(problems[0].file, "b/bolt12/format-string-test.json");
    assert_eq!(
        problems[0].other.as_deref(),
        Some("a/bolt12/format-string-test.json")
    );

    // The folder itself may be named.
    let (cases_found, _) = cases(&dir.path().join("b/bolt12")).unwrap();
    assert_eq!(cases_found[0].name, "two");
    assert!(cases(&dir.path().join("gone")).is_err());
}

#[test]
fn an_unknown_shape_is_one_problem_each_and_never_a_panic() {
    for text in [
        "",
        "[]",
        "{}",
        "5",
        "[5]",
        "[[]]",
        r#"{"generate": {}}"#,
        r#"{"generate": {"hops": []}}"#,
        r#"{"generate":{"session_key":"","associated_data":"","hops":[]},"onion":"","decode":[]}"#,
        r#"[{"name":1}]"#,
        r#"{"valid_vectors":[1],"invalid_vectors":[{}]}"#,
    ] {
        let dir = tempfile::tempdir().unwrap();
        for (name, folder, _) in KNOWN {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join(name), text).unwrap();
        }
        let (cases, problems) = cases(dir.path()).unwrap();
        assert_eq!(
            (cases.len(), problems.len()),
            (0, KNOWN.len()),
            "{text}: {problems:?}"
        );
        for problem in problems {
            assert!(
                problem
                    .message
                    .starts_with("the file has an unknown shape: "),
                "{problem:?}"
            );
        }
    }
}

#[test]
fn what_is_not_read_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("bolt03")).unwrap();
    std::fs::write(dir.path().join("bolt03/keys-test.json"), "{}").unwrap();
    std::fs::write(dir.path().join("offers-test.json"), "{}").unwrap();
    let rows = import(dir.path()).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0].note.as_deref(),
        Some("the file has an unknown shape: it is no list")
    );
    assert_eq!(
        (rows[1].id.as_str(), rows[1].cases),
        ("upstream/bolt03/keys-test", 0)
    );
    assert!(rows[1].note.as_deref().unwrap().starts_with("not read"));
}

#[test]
fn every_requirement_named_here_has_an_entry() {
    let catalogue = Catalogue::embedded().unwrap();
    let (bolt01, _) = read_with(bolt01::messaging, MESSAGING);
    let named = bolt12::INVALID_OFFER
        .iter()
        .chain(bolt12::VALID_OFFER)
        .chain(payer_proof::INVALID)
        .map(|r| r.1)
        .chain(onion::CONSTRUCTION.iter().copied());
    for id in payer_proof::named() {
        assert!(catalogue.get(id).is_some(), "{id}");
    }
    for id in named.chain(
        bolt01
            .iter()
            .flat_map(|c| c.covers.iter().map(String::as_str)),
    ) {
        assert!(catalogue.get(id).is_some(), "{id}");
    }
}

const FAILURE: &str = r#"{
    "comment": "a failure",
    "generate": {"failure_message": "2002", "hops": [
        {"hop_shared_secret": "aa", "ammag_key": "a0"},
        {"hop_shared_secret": "bb", "ammag_key": "b0", "um_key": "b1", "payload": "00022002"}]},
    "errorpacket": "ff"
}"#;

#[test]
fn a_failure_gives_a_check_for_every_value() {
    let (cases, fault) = read_with(payment::onion_error, FAILURE);
    assert_eq!(fault, None);
    let step = |name: &str| {
        let found = cases.iter().find(|case| case.id.ends_with(name));
        found.unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(
        step("/um").expect,
        UpstreamExpect::Result(serde_json::json!({"um": "b1"}))
    );
    assert_eq!(step("/ammag-0").input["shared_secret"], "aa");
    assert_eq!(
        step("/decode-hop").expect,
        UpstreamExpect::Result(serde_json::json!({"hop": 1}))
    );
    assert_eq!(step("/decode-code").input["packet"], "ff");
    assert_eq!(step("/plain").operation, "onion.failure.plain");
    assert_eq!(cases.len(), 7);
}

/// A trace in the text: two nodes, of which the second fails.
fn trace(times: &str) -> String {
    let plain = format!("{}0002200200ff{}", "00".repeat(32), "00".repeat(255));
    format!(
        "# Text\n\n# Test Vector\n\n## Returning Errors\n\n{times}\n\
         \tencoded_failure_message = 2002\n\tshared_secret = bb\n\traw_error_packet = {plain}\n\
         \tshared_secret = bb\n\tammag_key = b0\n\terror packet for node 1: 01\n\
         \tattribution data for node 1: 11\n\tshared_secret = aa\n\tammag_key = a0\n\
         \terror packet for node 0: 02\n\tattribution data for node 0: 12\n\n\
         ## Returning success\n\nattribution data for node 1:\n21\n\n\
         attribution data for node 0:\n22\n"
    )
}

#[test]
fn the_traces_in_the_text_of_bolt_4_are_read() {
    let text = trace("\thtlc_hold_time[0] = 5\n\thtlc_hold_time[1] = 6\n");
    let (cases, fault) = read_with(payment::text, &text);
    assert_eq!(fault, None);
    let step = |name: &str| {
        let found = cases.iter().find(|case| case.id.ends_with(name));
        found.unwrap_or_else(|| panic!("{name}"))
    };
    // The times stand in the order in which the failure is met.
    assert_eq!(step("/attribution-1").input["hold_time"], 5);
    assert_eq!(step("/packet-1").input["pad_to"], 257);
    assert_eq!(step("/attribution-0").input["attribution_data"], "11");
    assert_eq!(
        step("/success-attribution-0").input["attribution_data"],
        "21"
    );
    assert_eq!(
        step("/decode-hold-times").expect,
        UpstreamExpect::Result(serde_json::json!({"hold_times": [6, 5], "hop": 1}))
    );
    // An older text has no times, and so no attribution data is asked for.
    let (cases, fault) = read_with(payment::text, &trace(""));
    assert_eq!(fault, None);
    assert!(
        cases
            .iter()
            .all(|case| case.input.get("hold_time").is_none())
    );
    assert!(cases.iter().any(|case| case.id.ends_with("/packet-0")));
}

/// Against the files themselves, where a folder of them is at hand.
#[test]
fn the_files_of_upstream_are_read_whole() {
    let Some(dir) = crate::specs_for_tests() else {
        return;
    };
    let dir = dir.as_path();
    let (cases, problems) = cases(dir).unwrap();
    assert_eq!(problems, []);
    let catalogue = Catalogue::embedded().unwrap();
    let mut ids = HashSet::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        assert!(ids.insert(&case.id), "{} twice", case.id);
        for id in &case.covers {
            assert!(catalogue.get(id).is_some(), "{id}");
        }
        *counts
            .entry(case.id.split('/').take(3).collect::<Vec<_>>().join("/"))
            .or_default() += 1;
    }
    println!("{counts:#?}");
    for row in import(dir).unwrap() {
        println!(
            "{:>4} {} {:?} {:?}",
            row.cases, row.file, row.operations, row.note
        );
    }
    for file in [
        "bolt01/01-messaging",
        "bolt04/04-onion-routing",
        "bolt04/onion-test",
        "bolt04/onion-error-test",
        "bolt04/blinded-payment-onion-test",
        "bolt04/route-blinding-test",
        "bolt12/offers-test",
        "bolt12/format-string-test",
        "bolt12/signature-test",
        "bolt12/payer-proof-test",
    ] {
        assert!(counts.contains_key(&format!("upstream/{file}")), "{file}");
    }
    // An invalid case that names no rule would cover nothing.
    for case in cases
        .iter()
        .filter(|c| c.expect == UpstreamExpect::Error && c.spec.starts_with("bolt"))
    {
        assert!(!case.covers.is_empty(), "{} ({})", case.id, case.name);
    }
}

proptest! {
    #[test]
    fn lines_of_elements_never_panic_and_never_fall(text in "[\\[\\]{}:,\"a1\\\\ \n]{0,60}") {
        let lines = element_lines(&text, None);
        prop_assert!(lines.windows(2).all(|w| w[0] <= w[1]));
        element_lines(&text, Some("a"));
    }

    #[test]
    fn a_text_never_makes_bolt_1_panic(text in "(## Type-length-value test vectors\n|# bigsize decoding\n|```json\n|```\n|1\\. Valid stream: |2\\. Values: |`n1` |0x|[=`\\[\\]{} \n]){0,20}") {
        read_with(bolt01::messaging, &text);
    }
}
