//! Upstream's own vector files, where `LNCONFORM_SPECS` names a checkout.

use lnconform_tests::{Place, upstream};
use std::collections::{BTreeMap, BTreeSet};

/// The files whose cases are all answered by the reference.
const FILES: [&str; 14] = [
    "upstream/bolt01/bigsize",
    "upstream/bolt01/tlv",
    "upstream/bolt04/04-onion-routing",
    "upstream/bolt04/blinded-onion-message-onion-test",
    "upstream/bolt04/blinded-payment-onion-test",
    "upstream/bolt04/onion-error-test",
    "upstream/bolt04/onion-test",
    "upstream/bolt04/route-blinding-test",
    "upstream/bolt04/trampoline-payment-onion-test",
    "upstream/bolt04/trampoline-to-blinded-path-payment-onion-test",
    "upstream/bolt12/format-string-test",
    "upstream/bolt12/offers-test",
    "upstream/bolt12/payer-proof-test",
    "upstream/bolt12/signature-test",
];

#[test]
fn every_case_passes_on_the_reference() {
    let Some(specs) = upstream() else { return };
    let specs = specs.to_string_lossy();
    let place = Place::new();
    let args = [
        "run",
        "--lane",
        "codec",
        "--specs",
        &specs,
        "--adapter",
        "reference",
    ];
    let ran = place.run(&args).code(0);
    let mut outcomes: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for check in place.last("check") {
        let id = check["id"].as_str().unwrap();
        let Some(rest) = id.strip_prefix("upstream/") else {
            continue;
        };
        let file = rest.split('/').take(2).collect::<Vec<_>>().join("/");
        let outcome = check["outcome"].as_str().unwrap().to_owned();
        *outcomes
            .entry((format!("upstream/{file}"), outcome))
            .or_default() += 1;
        assert!(seen.insert(id.to_owned()), "{id} twice");
    }
    println!("{outcomes:#?}");
    assert!(!seen.is_empty(), "{}", ran.screen());
    for ((file, outcome), n) in &outcomes {
        let implemented = FILES.contains(&file.as_str());
        assert!(
            outcome == "passed" || (!implemented && outcome == "unsupported"),
            "{n} of {file}: {outcome}"
        );
    }
    // What is there of these files was read.
    let import = place.run(&["spec", "import", "--specs", &specs]).code(0);
    let here = FILES.iter().filter(|f| {
        let name = f.rsplit('/').next().unwrap();
        import.stdout.contains(&format!("{name}.json"))
    });
    for file in here {
        assert!(
            outcomes.keys().any(|(f, _)| f == file),
            "no case of {file}\n{}",
            import.screen()
        );
    }
}
