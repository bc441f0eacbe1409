//! Inputs alone; what needs processes is in the end-to-end tests.

use super::message::Message;
use super::*;
use serde_json::json;

fn start(operation: &str, params: Value) -> Start {
    Start {
        id: "a/b".into(),
        operation: operation.into(),
        params,
        covers: vec!["r".into()],
        selected: true,
    }
}

fn with_source<T>(corpus: &[Start], seed: u64, look: impl FnOnce(&Source<'_>) -> T) -> T {
    let makers: Vec<&Maker> = MAKERS.iter().collect();
    let stop = Stop::default();
    let setup = Setup {
        subjects: vec![],
        oracle: "reference",
        corpus,
        seed,
        time: Duration::ZERO,
        inputs: None,
        limits: Limits::default(),
        out: Path::new("."),
        version: "0",
        stop: &stop,
    };
    look(&Source::new(&setup, &makers))
}

#[test]
fn input_n_is_the_same_whatever_was_drawn_before_it() {
    let corpus = [start("bolt12.offer.decode", json!({"offer": "lno1qq"}))];
    let (one, two) = with_source(&corpus, 5, |source| {
        let all: Vec<Input> = (0..300).map(|n| source.input(n)).collect();
        (all, source.input(299))
    });
    assert_eq!(one[299], two);
    let other = with_source(&corpus, 6, |source| source.input(299));
    assert_ne!(one[299], other);
    let from: BTreeSet<&str> = one.iter().map(|i| i.from.as_str()).collect();
    assert_eq!(from, BTreeSet::from(["a/b", "made"]));
    let ops: BTreeSet<&str> = one.iter().map(|i| i.operation.as_str()).collect();
    assert_eq!(ops, operations().collect());
    let signed = one.iter().filter(|i| i.changes.contains(&"signed again"));
    assert!(signed.count() > 50);
    let plain = one.iter().filter(|i| i.changes.is_empty());
    assert!(plain.count() > 10);
}

#[test]
fn a_message_is_found_and_put_back() {
    for (params, field) in [
        (json!({"bytes": "0001ff", "now": "5"}), "bytes"),
        (json!({"offer": "lno1qqqsq"}), "offer"),
        (json!({"string": "lnr1qqqsq"}), "string"),
    ] {
        let message = Message::of(&params).unwrap();
        assert_eq!(message.field, field);
        let mut again = params.clone();
        message.put(&mut again, &message.bytes);
        assert_eq!(again, params);
    }
    assert_eq!(Message::of(&json!({"bytes": "xyz"})), None);
    assert_eq!(Message::of(&json!({})), None);
}

#[test]
fn a_find_covers_what_vectors_of_its_operation_cover() {
    let corpus = [start("bolt12.offer.decode", json!({}))];
    with_source(&corpus, 1, |source| {
        assert_eq!(source.covers("bolt12.offer.decode"), ["r"]);
        assert!(source.covers("bolt12.refund.decode").is_empty());
    });
}
