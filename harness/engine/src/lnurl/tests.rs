//! Payer and service against each other, on the loopback interface.

use super::encoding::Long;
use super::{Check, Fault, Lnurl, MAX_BODY, encoding, hash, invoice, metadata};
use bech32::primitives::iter::Fe32IterExt;
use bech32::{Fe32, Hrp};
use lnconform_protocol::OpError;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);
const AMOUNT: u64 = 50_000_000;

fn fe32s(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let bits: Vec<bool> = bits.collect();
    bits.chunks(5)
        .map(|c| (0..5).fold(0, |v, i| v << 1 | u8::from(c.get(i) == Some(&true))))
        .collect()
}

fn field(kind: u8, groups: &[u8]) -> Vec<u8> {
    let (high, low) = ((groups.len() / 32) as u8, (groups.len() % 32) as u8);
    [&[kind, high, low][..], groups].concat()
}

/// A string of BOLT 11's form; nobody has signed it.
fn write_invoice(prefix: &str, fields: &[Vec<u8>]) -> String {
    let groups = [vec![0; 7], fields.concat(), vec![0; 104]].concat();
    let hrp = Hrp::parse(prefix).unwrap();
    groups
        .iter()
        .map(|&g| Fe32::try_from(g).unwrap())
        .with_checksum::<Long>(&hrp)
        .chars()
        .collect()
}

fn hash_field(hash: [u8; 32]) -> Vec<u8> {
    field(
        23,
        &fe32s(
            hash.iter()
                .flat_map(|b| (0..8).map(move |i| b >> (7 - i) & 1 == 1)),
        ),
    )
}

/// Bits 8, 14 and 30, as LND has them in a reusable AMP invoice.
fn amp_features() -> Vec<u8> {
    let bits = (0..35).rev().map(|bit| [8, 14, 30].contains(&bit));
    field(5, &fe32s(bits))
}

fn amp_invoice(amount: &str, description: &str) -> String {
    let hash = hash(&metadata(description));
    write_invoice(
        &format!("lnbcrt{amount}"),
        &[hash_field(hash), amp_features()],
    )
}

fn call(lnurl: &mut Lnurl, operation: &str, params: Value) -> Result<Value, OpError> {
    lnurl.call(operation, &params, LONG)
}

/// A service for one amount, with further params.
fn serve(lnurl: &mut Lnurl, invoice: &str, more: Value) -> Value {
    let mut params = json!({
        "description": "tea",
        "invoices": [{"amount_msat": AMOUNT.to_string(), "invoice": invoice}],
    });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    call(lnurl, "lnurl.serve", params).unwrap()
}

fn fetch(lnurl: &mut Lnurl, served: &Value) -> Result<Value, OpError> {
    let params = json!({"lnurl": served["lnurl"], "amount_msat": AMOUNT.to_string()});
    call(lnurl, "lnurl.fetch", params)
}

fn rule(result: Result<Value, OpError>) -> String {
    let error = result.unwrap_err();
    let rule = error.rule.clone().unwrap_or_default();
    assert!(error.message.starts_with(&rule), "{error:?}");
    rule
}

#[test]
fn one_amp_invoice_is_served_to_everybody_who_asks_for_its_amount() {
    let mut lnurl = Lnurl::default();
    let invoice = amp_invoice("500u", "tea");
    let served = serve(&mut lnurl, &invoice, json!({}));
    assert_eq!(served["metadata"], r#"[["text/plain","tea"]]"#);
    for _ in 0..2 {
        let got = fetch(&mut lnurl, &served).unwrap();
        assert_eq!(got["invoice"], invoice);
        assert_eq!(got["description"], "tea");
        assert_eq!(got["amp"], true);
        assert_eq!(got["deviations"], json!([]));
        assert_eq!(got["min_msat"], AMOUNT.to_string());
    }
    let by_url = json!({"url": served["url"], "amount_msat": AMOUNT.to_string()});
    assert_eq!(
        call(&mut lnurl, "lnurl.fetch", by_url).unwrap()["description_hash"],
        served["description_hash"]
    );
    let stopped = call(&mut lnurl, "lnurl.stop", json!({"url": served["url"]})).unwrap();
    assert_eq!(stopped, json!({"requests": 6, "invoices": 3}));
    assert_eq!(rule(fetch(&mut lnurl, &served)), "lnurl/reachable");
}

#[test]
fn metadata_is_known_before_the_service() {
    let mut lnurl = Lnurl::default();
    let before = call(
        &mut lnurl,
        "lnurl.metadata",
        json!({"description": "a \"cup\""}),
    )
    .unwrap();
    let params = json!({"metadata": before["metadata"], "invoice": amp_invoice("", "a \"cup\"")});
    let served = call(&mut lnurl, "lnurl.serve", params).unwrap();
    assert_eq!(served["description_hash"], before["description_hash"]);
    // An independent SHA-256 of [["text/plain","tea"]].
    assert_eq!(
        call(&mut lnurl, "lnurl.metadata", json!({"description": "tea"})).unwrap()["description_hash"],
        "fa0c62f5f0b1b5246942279647467ca8a1497c8eb3f526523f4dc2dc1e5d921d"
    );
}

#[test]
fn each_fault_of_the_service_is_named() {
    let mut lnurl = Lnurl::default();
    for fault in Fault::ALL {
        let served = serve(
            &mut lnurl,
            &amp_invoice("500u", "tea"),
            json!({"fault": fault.name()}),
        );
        let patience = if fault == Fault::Silence {
            Duration::from_millis(300)
        } else {
            LONG
        };
        let params = json!({"lnurl": served["lnurl"], "amount_msat": AMOUNT.to_string()});
        let got = rule(lnurl.call("lnurl.fetch", &params, patience));
        let want = match fault {
            Fault::Error | Fault::CallbackError => Check::Status,
            Fault::Redirect => Check::Redirect,
            Fault::NotJson => Check::Answer,
            Fault::Long | Fault::Cut => Check::Http,
            Fault::Silence => Check::Deadline,
            Fault::Tag => Check::Tag,
            Fault::Range => Check::Range,
            Fault::Callback => Check::Loopback,
            Fault::MetadataForm => Check::Metadata,
            Fault::Metadata => Check::MetadataHash,
            Fault::NoInvoice | Fault::Routes => Check::Invoice,
        };
        assert_eq!(got, want.name(), "{}", fault.name());
    }
    let unknown = json!({"description": "tea", "invoice": "x", "fault": "tags"});
    let error = call(&mut lnurl, "lnurl.serve", unknown).unwrap_err();
    assert!(error.message.contains("metadata-form"), "{}", error.message);
}

#[test]
fn the_invoice_is_held_against_what_was_asked_for() {
    let mut lnurl = Lnurl::default();
    let right = hash(&metadata("tea"));
    for (invoice, want) in [
        (amp_invoice("500u", "coffee"), Check::MetadataHash),
        (
            write_invoice("lnbcrt500u", &[amp_features()]),
            Check::MetadataHash,
        ),
        // 51 groups are no hash, and are passed over.
        (
            write_invoice("lnbcrt500u", &[field(23, &[0; 51])]),
            Check::MetadataHash,
        ),
        (amp_invoice("", "tea"), Check::InvoiceAmount),
        (amp_invoice("499u", "tea"), Check::InvoiceAmount),
        (amp_invoice("500000010p", "tea"), Check::InvoiceAmount),
        (
            write_invoice("lnbc500u", &[hash_field(right)]),
            Check::Regtest,
        ),
        (
            write_invoice("lntb500u", &[hash_field(right)]),
            Check::Regtest,
        ),
        (
            write_invoice("lnbcrt500x", &[hash_field(right)]),
            Check::Invoice,
        ),
        (
            write_invoice("lnbcrt500u", &[hash_field(right), vec![5, 1, 0]]),
            Check::Invoice,
        ),
        (
            write_invoice("lnbcrt500u", &[hash_field(right), vec![5]]),
            Check::Invoice,
        ),
        (
            amp_invoice("500u", "tea").replace("lnbcrt5", "lnbcrt6"),
            Check::Invoice,
        ),
        ("lnbcrt1qqq".to_owned(), Check::Invoice),
        (format!("lnbcrt1{}", "q".repeat(9000)), Check::Invoice),
        (String::new(), Check::Invoice),
    ] {
        let served = serve(&mut lnurl, &invoice, json!({}));
        assert_eq!(
            rule(fetch(&mut lnurl, &served)),
            want.name(),
            "{invoice:.60}"
        );
    }
}

#[test]
fn what_is_accepted_is_reported() {
    let mut lnurl = Lnurl::default();
    let served = serve(&mut lnurl, &amp_invoice("", "coffee"), json!({}));
    let mut params = json!({
        "url": served["url"],
        "amount_msat": AMOUNT.to_string(),
        "accept": ["lud-06/invoice-amount", "lud-06/metadata-hash"],
    });
    let got = call(&mut lnurl, "lnurl.fetch", params.clone()).unwrap();
    assert_eq!(
        got["deviations"],
        json!(["lud-06/metadata-hash", "lud-06/invoice-amount"])
    );
    params["accept"] = json!(["lud-06/invoice-amount"]);
    let result = call(&mut lnurl, "lnurl.fetch", params.clone());
    assert_eq!(rule(result), "lud-06/metadata-hash");
    params["accept"] = json!(["lud-06/tag"]);
    let error = call(&mut lnurl, "lnurl.fetch", params).unwrap_err();
    assert!(error.message.contains("accept"), "{}", error.message);
}

#[test]
fn amounts_out_of_range_are_not_asked_for() {
    let mut lnurl = Lnurl::default();
    let invoice = amp_invoice("500u", "tea");
    let served = serve(
        &mut lnurl,
        &invoice,
        json!({"min_msat": "40000000", "max_msat": "60000000"}),
    );
    for (amount, want) in [("39999999", "lud-06/amount"), ("60000001", "lud-06/amount")] {
        let params = json!({"url": served["url"], "amount_msat": amount});
        assert_eq!(rule(call(&mut lnurl, "lnurl.fetch", params)), want);
    }
    // In range, but the service has no invoice for it.
    for amount in ["40000000", "60000000"] {
        let params = json!({"url": served["url"], "amount_msat": amount});
        assert_eq!(
            rule(call(&mut lnurl, "lnurl.fetch", params)),
            "lud-06/status"
        );
    }
}

#[test]
fn only_the_loopback_interface_is_asked() {
    let mut lnurl = Lnurl::default();
    for (url, want) in [
        ("https://127.0.0.1:1/pay", Check::Loopback),
        ("http://192.0.2.1/pay", Check::Loopback),
        ("http://localhost:1/pay", Check::Loopback),
        ("http://127.0.0.1@192.0.2.1/pay", Check::Loopback),
        ("http://user@127.0.0.1:1/pay", Check::Loopback),
        ("http://[2001:db8::1]/pay", Check::Loopback),
        ("http://0.0.0.0:1/pay", Check::Loopback),
        ("ftp://127.0.0.1/pay", Check::Loopback),
        ("pay", Check::Encoding),
    ] {
        let params = json!({"url": url, "amount_msat": "1"});
        assert_eq!(
            rule(call(&mut lnurl, "lnurl.fetch", params)),
            want.name(),
            "{url}"
        );
        let params = json!({"lnurl": encoding::encode(url).unwrap(), "amount_msat": "1"});
        assert_eq!(
            rule(call(&mut lnurl, "lnurl.fetch", params)),
            want.name(),
            "{url}"
        );
    }
}

/// A server that sends these bytes for the first request, whatever it is.
fn raw(answer: &'static [u8]) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/pay", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).unwrap();
        let _ = stream.write_all(answer);
    });
    (url, thread)
}

#[test]
fn answers_are_read_within_bounds_and_whatever_their_status() {
    const OFFER: &[u8] =
        b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\n\r\n{\"tag\": \"login\"}";
    let long = Vec::leak([b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'a'; 20_000]].concat());
    let endless = Vec::leak(
        [
            b"HTTP/1.1 200 OK\r\n\r\n".as_slice(),
            &vec![b'1'; MAX_BODY + 1],
        ]
        .concat(),
    );
    for (answer, want) in [
        // LUD-01: neither the status nor the type means anything; the end is that of the stream.
        (OFFER, Check::Tag),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more",
            Check::Tag,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
            Check::Answer,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
            Check::Http,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
            Check::Http,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}",
            Check::Http,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            Check::Http,
        ),
        (
            b"HTTP/1.1 308 Permanent Redirect\r\nLocation: http://192.0.2.1/\r\n\r\n{}",
            Check::Redirect,
        ),
        (b"SSH-2.0-server\r\n", Check::Http),
        (b"HTTP/1.1 200 OK\r\nConten", Check::Http),
        (b"", Check::Http),
        (long, Check::Http),
        (endless, Check::Http),
    ] {
        let (url, thread) = raw(answer);
        let params = json!({"url": url, "amount_msat": "1"});
        let got = rule(Lnurl::default().call("lnurl.fetch", &params, LONG));
        assert_eq!(
            got,
            want.name(),
            "{}",
            String::from_utf8_lossy(&answer[..answer.len().min(60)])
        );
        thread.join().unwrap();
    }
}

#[test]
fn metadata_has_one_description_and_one_image_at_most() {
    let mut lnurl = Lnurl::default();
    for (text, want) in [
        (
            r#"[["text/plain","a"],["image/png;base64","x"],["other",1,{}]]"#,
            Check::MetadataHash,
        ),
        ("[]", Check::Metadata),
        ("{}", Check::Metadata),
        ("tea", Check::Metadata),
        (r#"["text/plain","a"]"#, Check::Metadata),
        (r#"[["text/plain"]]"#, Check::Metadata),
        (r#"[["text/plain",1]]"#, Check::Metadata),
        (
            r#"[["text/plain","a"],["text/plain","b"]]"#,
            Check::Metadata,
        ),
        (r#"[["text/plain","a"],[]]"#, Check::Metadata),
        (r#"[["text/plain","a"],[1]]"#, Check::Metadata),
        (
            r#"[["text/plain","a"],["image/png;base64","x"],["image/jpeg;base64","x"]]"#,
            Check::Metadata,
        ),
    ] {
        let served = serve(
            &mut lnurl,
            &amp_invoice("500u", "tea"),
            json!({"metadata": text}),
        );
        assert_eq!(rule(fetch(&mut lnurl, &served)), want.name(), "{text}");
    }
}

#[test]
fn strings_of_lud_01() {
    let url = "https://example.org/pay?tag=x";
    let text = encoding::encode(url).unwrap();
    assert!(text.starts_with("LNURL1"));
    assert_eq!(encoding::decode(&text).unwrap(), url);
    assert_eq!(encoding::decode(&text.to_lowercase()).unwrap(), url);
    let mixed = text.replacen("LNURL", "lnurl", 1);
    let wrong_end = format!(
        "{}{}",
        &text[..text.len() - 1],
        if text.ends_with('Q') { "P" } else { "Q" }
    );
    let prefix = Hrp::parse("lnurlx").unwrap();
    let other = bech32::encode_lower::<Long>(prefix, url.as_bytes()).unwrap();
    let prefix = Hrp::parse("lnurl").unwrap();
    let no_text = bech32::encode_lower::<Long>(prefix, &[0xff]).unwrap();
    let long = encoding::encode(&"a".repeat(6000)).unwrap();
    for wrong in [&mixed, &wrong_end, &other, &no_text, &long, "", "lnurl"] {
        let error = encoding::decode(wrong).unwrap_err();
        assert_eq!(
            error.rule.as_deref(),
            Some("lud-01/encoding"),
            "{wrong:.40}"
        );
    }
}

#[test]
fn a_service_ends_with_its_scenario() {
    let mut lnurl = Lnurl::default();
    let served = serve(&mut lnurl, "x", json!({"fault": "silence"}));
    let url = url::Url::parse(served["url"].as_str().unwrap()).unwrap();
    let address = (url.host_str().unwrap(), url.port().unwrap());
    // A connection that says nothing does not keep it.
    let idle = TcpStream::connect(address).unwrap();
    drop(lnurl);
    assert!(TcpStream::connect(address).is_err());
    drop(idle);
    let error = call(
        &mut Lnurl::default(),
        "lnurl.stop",
        json!({"url": url.as_str()}),
    )
    .unwrap_err();
    assert!(error.message.contains("no service"), "{}", error.message);
}

#[test]
fn params_are_checked() {
    let mut lnurl = Lnurl::default();
    for (operation, params, named) in [
        ("lnurl.metadata", json!({}), "description"),
        ("lnurl.serve", json!({"invoice": "x"}), "description"),
        ("lnurl.serve", json!({"description": "x"}), "invoice"),
        (
            "lnurl.serve",
            json!({"description": "x", "invoices": [{"invoice": "x"}]}),
            "amount_msat",
        ),
        (
            "lnurl.serve",
            json!({"description": "x", "invoice": "x", "min_msat": 1}),
            "min_msat",
        ),
        (
            "lnurl.fetch",
            json!({"url": "http://127.0.0.1/"}),
            "amount_msat",
        ),
        ("lnurl.fetch", json!({"amount_msat": "1"}), "url"),
        ("lnurl.stop", json!({}), "url"),
        ("lnurl.pay", json!({}), "lnurl.pay"),
    ] {
        let error = call(&mut lnurl, operation, params).unwrap_err();
        assert!(error.message.contains(named), "{}", error.message);
    }
}

proptest! {
    #[test]
    fn lnurls_come_back(url in "[ -~]{0,300}") {
        prop_assert_eq!(encoding::decode(&encoding::encode(&url).unwrap()).unwrap(), url);
    }

    #[test]
    fn invoices_come_back(
        hash in any::<[u8; 32]>(),
        amp in any::<bool>(),
        amount in proptest::option::of(1_u64..1_000_000_000),
    ) {
        let fields = if amp { vec![amp_features(), hash_field(hash)] } else { vec![hash_field(hash)] };
        // A picobitcoin is a tenth of a millisatoshi.
        let text = amount.map_or(String::new(), |msat| format!("{msat}0p"));
        let read = invoice::read(&write_invoice(&format!("lnbcrt{text}"), &fields)).unwrap();
        let want = invoice::Invoice { amount_msat: amount, description_hash: Some(hash), amp };
        prop_assert_eq!(read, want);
    }

    #[test]
    fn nothing_makes_the_reader_panic(text in "(lnbcrt[0-9munp]{0,4}1)?[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{0,400}") {
        let _ = invoice::read(&text);
        let _ = encoding::decode(&text);
    }
}
