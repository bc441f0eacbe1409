//! Adapters that break: one clear result each, and the run goes on.

use crate::{READ, place, screen};
use lnconform_tests::{Place, faulty};
use std::sync::Mutex;

/// The faults, and what the result says. Those that wait do so beside the others.
const FAULTS: &[(&str, &str)] = &[
    ("crash", "exited with code 3"),
    ("crash-at-start", "exited with code 3"),
    ("hang", "did not answer"),
    ("garbage", "DEBUG"),
    ("garbage-before-hello", "Welcome"),
    ("wrong-id", "never asked"),
    ("double-answer", "second time"),
    ("flood", "more than 100"),
    ("slow-start", "did not answer `hello` within 10 s"),
    ("hang-hello", "did not answer `hello` within 10 s"),
    ("dies-mid-line", "in the middle of a line"),
    ("closes-stdout", "closed its standard output"),
    ("not-utf8", "not UTF-8"),
    ("long-line", "4194304"),
    ("two-answers-in-one", "more than one of"),
    ("two-objects-in-a-line", "not JSON"),
    ("wrong-protocol", "protocol 2"),
    ("bad-hello", "operations"),
];

#[test]
fn a_broken_adapter_is_one_clear_result_and_the_run_goes_on() {
    let screens = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (fault, said) in FAULTS {
            let screens = &screens;
            scope.spawn(move || {
                let place = place();
                std::fs::remove_file(place.path("v/mine/refused.yaml")).unwrap();
                let broken = format!("broken={}", faulty(fault));
                let args = ["--adapter", &broken, "--adapter", "reference"];
                let ran = place.run(
                    &[
                        &["run", "mine/**", "--vectors", "v", "--seed", "7"],
                        &args[..],
                    ]
                    .concat(),
                );
                let of = |who: &str| {
                    let checks = place.last("check").into_iter();
                    checks
                        .filter(|c| c["implementation"] == who)
                        .collect::<Vec<_>>()
                };
                let broken = of("broken");
                // An answer that came before the fault stays what it was.
                let bad: Vec<_> = broken.iter().filter(|c| c["outcome"] != "passed").collect();
                assert_eq!(bad.len(), 1, "{}", ran.screen());
                let check = bad[0];
                let message = check["message"].as_str().unwrap();
                assert!(message.contains(said), "{fault}: {message}");
                assert_eq!(check["expected"], false, "{fault}");
                if matches!(*fault, "slow-start" | "hang-hello") {
                    assert!(ran.took.as_secs() >= 10, "{:?}", ran.took);
                    assert_eq!(
                        (check["outcome"].as_str(), ran.code),
                        (Some("could-not-run"), Some(5))
                    );
                } else {
                    assert_eq!(
                        (check["outcome"].as_str(), ran.code),
                        (Some("failed"), Some(1)),
                        "{fault}"
                    );
                    assert_eq!(check["blame"], "implementation", "{fault}");
                }
                let right = of("reference");
                assert_eq!(
                    (right.len(), right[0]["outcome"].as_str()),
                    (1, Some("passed"))
                );
                let screen = ran.screen();
                let shown = screen
                    .lines()
                    .skip_while(|l| !l.contains("mine/read on broken"))
                    .take_while(|l| !l.starts_with("  again"));
                let text = shown.collect::<Vec<_>>().join("\n");
                screens
                    .lock()
                    .unwrap()
                    .push((*fault, format!("{fault}:\n{text}\n")));
            });
        }
    });
    let mut screens = screens.into_inner().unwrap();
    screens.sort();
    let text: Vec<String> = screens.into_iter().map(|(_, text)| text).collect();
    screen!("faulty_adapters", text.join("\n"));
}

#[test]
fn a_right_adapter_passes_beside_them() {
    let place = place();
    let right = format!(
        "right={}",
        lnconform_tests::script("docs/examples/adapter.py", "")
    );
    let _ = place
        .run(&["run", "bolt01/bigsize/**", "--adapter", &right])
        .code(0);
    let checks = place.last("check");
    let passed = checks.iter().filter(|c| c["outcome"] == "passed").count();
    assert!(
        passed >= 20 && passed == checks.len(),
        "{passed} of {}",
        checks.len()
    );
}

/// Restarted three times, then its remaining checks fail at once, and say why.
#[test]
fn an_adapter_that_always_dies_does_not_hold_up_a_long_run() {
    const MANY: usize = 600;
    let place = Place::new();
    let bytes: Vec<_> = (0..MANY)
        .map(|n| format!("\"{:04x}\"", ((n % 253) << 8) | (n / 253)))
        .collect();
    let matrix = format!(
        "matrix: {{input.bytes: [{}]}}\nexpect: {{}}\n",
        bytes.join(", ")
    );
    let head = READ.split("expect").next().unwrap();
    place.write("v/mine/many.yaml", &format!("{head}{matrix}"));
    let broken = format!("broken={}", faulty("crash"));
    let args = ["--adapter", &broken, "--adapter", "reference"];
    let ran = place
        .run(&[&["run", "mine/**", "--vectors", "v"], &args[..]].concat())
        .code(1);
    let checks = place.last("check");
    let (broken, right): (Vec<_>, Vec<_>) =
        checks.iter().partition(|c| c["implementation"] == "broken");
    assert_eq!((broken.len(), right.len()), (MANY, MANY));
    assert!(right.iter().all(|c| c["outcome"] == "passed"));
    assert!(
        broken
            .iter()
            .all(|c| c["outcome"] == "failed" && c["blame"] == "implementation")
    );
    let last = broken[MANY - 1]["message"].as_str().unwrap();
    assert!(last.contains("broke more than 3 times"), "{last}");
    // However much is wrong, the screen stays readable.
    assert!(
        ran.stdout.lines().count() < 600,
        "{}",
        ran.stdout.lines().count()
    );
}
