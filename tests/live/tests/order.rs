//! Scenarios that share a cluster come out the same in whatever order they run: the probe against
//! itself and against ldk-node, in order and shuffled with several seeds.
#![cfg(target_os = "linux")]

mod nodes;

use lnconform_tests::Place;
use nodes::{RESULTS, of_type, place};
use std::collections::{BTreeMap, BTreeSet};

/// What each check came to on each filling of its roles, over all its attempts, and the order in which
/// scenarios ran.
type Came = (BTreeMap<String, BTreeSet<String>>, Vec<String>);

#[track_caller]
fn run(place: &Place, more: &[&str]) -> Came {
    let args = [
        "run",
        "--adapter",
        "ldk-node",
        "--adapter",
        "probe",
        "wire/probe/keysend-*",
        "wire/keysend/preimage-*",
        "wire/restart/payee-*",
    ];
    nodes::run(place, 0, &[&args[..], more].concat());
    let records = place.results(RESULTS);
    let (mut came, mut order) = (BTreeMap::<_, BTreeSet<_>>::new(), Vec::new());
    for check in of_type(&records, "check") {
        let text = |field: &str| check[field].as_str().unwrap().to_owned();
        let who = format!("{} {}", text("id"), check["roles"]);
        came.entry(who.clone()).or_default().insert(text("outcome"));
        order.push(who);
    }
    (came, order)
}

#[test]
fn scenarios_come_out_the_same_in_any_order() {
    let place = place();
    let (in_order, first) = run(&place, &["--seed", "1"]);
    assert!(in_order.len() > 20, "{in_order:?}");
    for outcomes in in_order.values() {
        assert_eq!(*outcomes, BTreeSet::from(["passed".to_owned()]));
    }
    for seed in ["2", "3"] {
        let more = ["--shuffle", "--repeat", "2", "--seed", seed];
        let (shuffled, order) = run(&place, &more);
        assert_eq!(shuffled, in_order, "seed {seed}");
        assert_eq!(order.len(), 2 * first.len());
        assert_ne!(
            order[..first.len()],
            first[..],
            "seed {seed} changes nothing"
        );
    }
}
