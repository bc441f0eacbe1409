//! The property lane: what one implementation writes, every other one reads, and reads the same.
//!
//! Whoever is built in takes part, each in a process of its own, by the operations that its
//! `hello` names.

use lnconform_adapters::registry::{BUILTINS, Kind, Start};
use lnconform_adapters::{Adapter, Launch, Limits};
use lnconform_protocol::Answer;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::Duration;

/// Cases of each property: so many that the whole stays in seconds with debug builds.
const CASES: u32 = 48;

/// Public keys of the secrets 0x41 and 0x42, 32 times over each.
const ISSUER: &str = "02eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f283686619";
const PAYER: &str = "0324653eac434488002cc06bbfb7f10fe18991e35f9fe4302dbea6d2353dc0ab1c";
/// Regtest, as a chain hash.
const REGTEST: &str = "06226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f";
/// A path of one hop to the payer, and what it costs.
const PATH: &str = "02eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f28368661902eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f283686619010324653eac434488002cc06bbfb7f10fe18991e35f9fe4302dbea6d2353dc0ab1c0001aa";
const PAYINFO: &str = "000000010000000a00280000000000000001000000003b9aca000000";
/// A preimage of 0x0c, 32 times over, and its hash.
const PREIMAGE: &str = "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c";
const HASH: &str = "308c1cf897a05c3584d7186e30bb80ba686ce171f54cb380b20fab93799f7341";

fn secret(byte: u8) -> String {
    hex(&[byte; 32])
}

fn hex(bytes: &[u8]) -> String {
    lnconform_protocol::params::hex(bytes)
}

/// Everybody, each in a process.
struct Crew(RefCell<Vec<Adapter>>);

impl Crew {
    fn new() -> Self {
        let start = |builtin: &lnconform_adapters::registry::Builtin| {
            // What has to be installed first is not there for everybody who runs the tests.
            let codec = builtin.processes.iter().find(|p| p.kind == Kind::Codec)?;
            let Start::SelfExec(args) = codec.start else {
                return None;
            };
            builtin.needs.is_empty().then(|| Launch {
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                run: "writers".into(),
                seed: 1,
                ..Launch::new(builtin.name, env!("CARGO_BIN_EXE_lnconform"))
            })
        };
        let launches: Vec<Launch> = BUILTINS.iter().filter_map(start).collect();
        let adapters = launches
            .into_iter()
            .map(|launch| Adapter::start(launch, Limits::default()).unwrap())
            .collect();
        Self(RefCell::new(adapters))
    }

    /// What each of those that have the operation answers; who says that it cannot is left out.
    fn ask(&self, op: &str, params: &Value) -> Vec<(String, Result<Value, String>)> {
        let mut adapters = self.0.borrow_mut();
        let speaks = |a: &Adapter| a.hello().operations.iter().any(|o| o == op);
        let mut answers = Vec::new();
        for adapter in adapters.iter_mut().filter(|a| speaks(a)) {
            let name = adapter.hello().implementation.name.clone();
            match adapter.call(op, params, Duration::from_secs(5)).unwrap() {
                Answer::Result(value) => answers.push((name, Ok(value))),
                Answer::Error(error) => answers.push((name, Err(error.message))),
                Answer::Unsupported(_) => {}
            }
        }
        answers
    }

    /// The same where all are to accept.
    fn accepted(&self, op: &str, params: &Value) -> Result<Vec<(String, Value)>, TestCaseError> {
        let answers = self.ask(op, params).into_iter().map(|(name, answer)| {
            let value = answer.map_err(|e| {
                TestCaseError::fail(format!("{name} refuses {op} of {params}: {e}"))
            })?;
            Ok((name, value))
        });
        answers.collect()
    }

    /// All that have the operation refuse, and they are `least` at the least.
    fn refused(&self, op: &str, params: &Value, least: usize) -> TestCaseResult {
        let answers = self.ask(op, params);
        prop_assert!(answers.len() >= least, "{op}: {answers:?}");
        for (name, answer) in answers {
            prop_assert!(answer.is_err(), "{name} accepts {op} of {params}");
        }
        Ok(())
    }

    /// Reads a message with everybody: all accept, and all show the same records and the same
    /// values of whichever field two of them show. Answers the records and the fields.
    fn read(&self, op: &str, params: &Value, least: usize) -> Result<Value, TestCaseError> {
        let answers = self.accepted(op, params)?;
        prop_assert!(answers.len() >= least, "{op} was read by {answers:?}");
        let mut all = json!({});
        for (name, value) in answers {
            for (field, value) in value.as_object().unwrap() {
                let seen = all.get(field).cloned();
                match seen {
                    None => all[field] = value.clone(),
                    Some(seen) => prop_assert_eq!(
                        &seen,
                        value,
                        "{} shows another {} of {}",
                        name,
                        field,
                        params
                    ),
                }
            }
        }
        Ok(all)
    }
}

fn check<S: Strategy>(strategy: S, property: impl Fn(&Crew, S::Value) -> TestCaseResult) {
    let crew = Crew::new();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&strategy, |case| property(&crew, case));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn record(kind: u64, value: impl Into<String>) -> Value {
    json!({"type": kind.to_string(), "value": value.into()})
}

/// A number in as few bytes as it needs.
fn tu(number: u64) -> String {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    hex(&bytes[zeros..])
}

fn text() -> impl Strategy<Value = String> {
    "[ -~\u{e4}\u{20bf}]{0,12}"
}

fn bytes(longest: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<u8>(), 0..=longest).prop_map(|b| hex(&b))
}

/// Records of an offer, and the quantity that its requests name.
fn offer() -> impl Strategy<Value = (Vec<Value>, Option<u64>)> {
    let priced = proptest::option::of((1..=1_000_000_000_000_u64, text()));
    (
        any::<bool>(),
        proptest::option::of(bytes(20)),
        priced,
        proptest::option::of(1_u64..),
        any::<bool>(),
        proptest::option::of(text()),
        proptest::option::of(0..=1000_u64),
        proptest::option::of(bytes(4)),
    )
        .prop_map(
            |(chain, metadata, priced, expiry, paths, issuer, max, unknown)| {
                let mut records = Vec::new();
                let mut put = |kind, value: Option<String>| {
                    records.extend(value.map(|value| record(kind, value)));
                };
                put(2, chain.then(|| REGTEST.to_owned()));
                put(4, metadata);
                let (amount, description) = priced.unzip();
                put(8, amount.map(tu));
                put(10, description.map(|text| hex(text.as_bytes())));
                put(14, expiry.map(tu));
                put(16, paths.then(|| PATH.to_owned()));
                put(18, issuer.map(|text| hex(text.as_bytes())));
                put(20, max.map(tu));
                put(22, Some(ISSUER.to_owned()));
                put(1_000_000_001, unknown);
                (records, max.map(|max| max.max(1)))
            },
        )
}

/// Records of a request for an offer, without a signature; and its amount in msat.
fn request() -> impl Strategy<Value = (Vec<Value>, u64)> {
    (
        offer(),
        bytes(20),
        1_000_000_000_u64..2_000_000_000,
        proptest::option::of(text()),
        proptest::option::of(bytes(4)),
    )
        .prop_map(|((mut records, quantity), metadata, more, note, unknown)| {
            let find = |kind: &str| records.iter().find(|r| r["type"] == kind);
            let price = find("8").map(|r| u64::from_str_radix(r["value"].as_str().unwrap(), 16));
            let least = price.map_or(0, |p| p.unwrap() * quantity.unwrap_or(1));
            let amount = least + more;
            let chain = find("2").is_some();
            records.push(record(0, metadata));
            if chain {
                records.push(record(80, REGTEST));
            }
            records.push(record(82, tu(amount)));
            records.extend(quantity.map(|q| record(86, tu(q))));
            records.push(record(88, PAYER));
            records.extend(note.map(|text| record(89, hex(text.as_bytes()))));
            records.extend(unknown.map(|value| record(2_000_000_001, value)));
            (sorted(records), amount)
        })
}

/// Records of an invoice for a request, without a signature.
fn invoice() -> impl Strategy<Value = Vec<Value>> {
    (request(), any::<u32>(), proptest::option::of(any::<u32>())).prop_map(
        |((mut records, amount), created, expiry)| {
            records.push(record(160, PATH));
            records.push(record(162, PAYINFO));
            records.push(record(164, tu(created.into())));
            records.extend(expiry.map(|seconds| record(166, tu(seconds.into()))));
            records.push(record(168, HASH));
            records.push(record(170, tu(amount)));
            records.push(record(176, ISSUER));
            sorted(records)
        },
    )
}

fn kind(record: &Value) -> u64 {
    record["type"].as_str().unwrap().parse().unwrap()
}

fn sorted(mut records: Vec<Value>) -> Vec<Value> {
    records.sort_by_key(kind);
    records
}

/// The stream, by the one writer that takes any records.
fn stream(crew: &Crew, records: &[Value]) -> String {
    let params = json!({"records": records, "unchecked": true});
    let answers = crew.ask("tlv.encode", &params);
    let (_, stream) = answers.first().expect("the reference writes streams");
    stream.as_ref().unwrap()["stream"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Signs with every signer; all signatures verify with every verifier and are those of the same
/// message; answers it with each of them.
fn signed(
    crew: &Crew,
    message: &str,
    records: &[Value],
    byte: u8,
    public: &str,
) -> Result<Vec<String>, TestCaseError> {
    let named = json!({
        "message_name": message, "field_name": "signature", "records": records,
        "secret_key": secret(byte),
    });
    let signatures = crew.accepted("bolt12.sign", &named)?;
    prop_assert!(signatures.len() >= 3, "{:?}", signatures);
    let mut streams = Vec::new();
    for (signer, answer) in signatures {
        let signature = answer["signature"].as_str().unwrap();
        let mut params = named.clone();
        params["public_key"] = public.into();
        params["signature"] = signature.into();
        for (verifier, answer) in crew.accepted("bolt12.verify", &params)? {
            prop_assert_eq!(&answer["valid"], true, "{} by {}", signer, verifier);
        }
        // Wrong in one bit, it is nobody's.
        let last = signature.chars().last().unwrap();
        let other = if last == '0' { '1' } else { '0' };
        params["signature"] = format!("{}{other}", &signature[..127]).into();
        for (verifier, answer) in crew.ask("bolt12.verify", &params) {
            let valid = answer.is_ok_and(|a| a["valid"] == true);
            prop_assert!(!valid, "{} takes a wrong one", verifier);
        }
        let mut whole = records.to_vec();
        whole.push(record(240, signature));
        streams.push(stream(crew, &sorted(whole)));
    }
    Ok(streams)
}

#[test]
fn an_offer_is_read_by_everybody_as_it_was_written() {
    check(offer(), |crew, (records, _)| {
        let written = crew.accepted("bolt12.offer.encode", &json!({"records": records}))?;
        prop_assert!(!written.is_empty());
        for (_, written) in written {
            let read = crew.read("bolt12.offer.decode", &written, 3)?;
            prop_assert_eq!(&read["records"], &json!(records));
            prop_assert_eq!(&read["issuer_id"], ISSUER);
            let cut = written["offer"].as_str().unwrap();
            crew.refused(
                "bolt12.offer.decode",
                &json!({"offer": cut[..cut.len() - 2]}),
                3,
            )?;
        }
        Ok(())
    });
}

#[test]
fn a_request_is_signed_and_read_by_everybody() {
    check(request(), |crew, (records, amount)| {
        let mut streams = signed(crew, "invoice_request", &records, 0x42, PAYER)?;
        let params = json!({"records": records, "secret_key": secret(0x42)});
        for (_, written) in crew.accepted("bolt12.invoice_request.encode", &params)? {
            streams.push(written["bytes"].as_str().unwrap().to_owned());
        }
        prop_assert!(streams.len() >= 4);
        for bytes in streams {
            let op = "bolt12.invoice_request.decode";
            let read = crew.read(op, &json!({ "bytes": bytes }), 3)?;
            let without: Vec<_> = read["records"].as_array().unwrap().clone();
            let without: Vec<_> = without.into_iter().filter(|r| kind(r) != 240).collect();
            prop_assert_eq!(&without, &records);
            prop_assert_eq!(&read["invreq_amount"], &amount.to_string());
            prop_assert_eq!(&read["invreq_payer_id"], PAYER);
            // The same message for another payer.
            let other = bytes.replace(PAYER, ISSUER);
            crew.refused(op, &json!({ "bytes": other }), 3)?;
        }
        Ok(())
    });
}

#[test]
fn an_invoice_is_signed_and_read_by_everybody() {
    check(invoice(), |crew, records| {
        for bytes in signed(crew, "invoice", &records, 0x41, ISSUER)? {
            let op = "bolt12.invoice.decode";
            let read = crew.read(op, &json!({ "bytes": bytes }), 3)?;
            prop_assert_eq!(&read["invoice_payment_hash"], HASH);
            prop_assert_eq!(&read["invoice_node_id"], ISSUER);
            let other = bytes.replace(HASH, PREIMAGE);
            crew.refused(op, &json!({ "bytes": other }), 3)?;
        }
        Ok(())
    });
}

#[test]
fn a_payer_proof_is_read_by_everybody_who_reads_them() {
    let case = (invoice(), any::<u64>(), proptest::option::of(text()));
    check(case, |crew, (records, chosen, note)| {
        let invoice = signed(crew, "invoice", &records, 0x41, ISSUER)?.remove(0);
        let always = [88, 168, 174, 176];
        let include: Vec<u64> = records
            .iter()
            .map(kind)
            .enumerate()
            .filter(|(at, kind)| *kind != 0 && !always.contains(kind) && chosen >> at & 1 == 1)
            .map(|(_, kind)| kind)
            .collect();
        let shown: Vec<&Value> = records
            .iter()
            .filter(|r| include.contains(&kind(r)) || always.contains(&kind(r)))
            .collect();
        let mut params = json!({
            "invoice": invoice, "preimage": PREIMAGE, "payer_secret": secret(0x42),
            "include": include.iter().map(u64::to_string).collect::<Vec<_>>(),
        });
        if let Some(note) = &note {
            params["note"] = note.clone().into();
        }
        let proofs = crew.accepted("payer_proof.create", &params)?;
        prop_assert!(proofs.len() >= 2, "{:?}", proofs);
        for (_, proof) in proofs {
            let op = "payer_proof.verify";
            let read = crew.read(op, &proof, 2)?;
            prop_assert_eq!(&read["disclosed"], &json!(shown));
            prop_assert_eq!(&read["payer_id"], PAYER);
            prop_assert_eq!(&read["preimage"], PREIMAGE);
            let said = read.get("note").and_then(Value::as_str).map(str::to_owned);
            prop_assert_eq!(said, note.clone());
            let text = proof["proof"].as_str().unwrap();
            let (at, c) = (text.len() / 2, &text[text.len() / 2..=text.len() / 2]);
            let other = if c == "q" { "p" } else { "q" };
            let wrong = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            crew.refused(op, &json!({ "proof": wrong }), 2)?;
        }
        Ok(())
    });
}
