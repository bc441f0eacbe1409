//! `export`: a file that somebody uses without the harness, and that the harness reads back.

use crate::{bigsize, screen, screens};
use lnconform_tests::{Place, python, repository};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// What each check of the last run came to on each implementation, by the part of its id behind
/// `prefix`.
fn outcomes(place: &Place, prefix: &str) -> BTreeMap<(String, String), (String, Value)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let one = |check: Value| {
        let id = text(&check["id"]);
        let id = id.strip_prefix(prefix).unwrap_or(&id).to_owned();
        (
            (id, text(&check["implementation"])),
            (text(&check["outcome"]), check["requirements"].clone()),
        )
    };
    place.last("check").into_iter().map(one).collect()
}

#[test]
fn what_is_exported_and_read_back_makes_the_same_checks() {
    let place = Place::new();
    let filters = [
        "bolt01/bigsize/**",
        "bolt12/encoding/**",
        "keysend-proof/verify/**",
    ];
    let export = [&["export"], &filters[..], &["-o", "theirs.json"]].concat();
    let ran = place.run(&export).code(0);
    let written = place.read("theirs.json");
    let count = serde_json::from_str::<Vec<Value>>(&written).unwrap().len();
    assert!(
        count > 60 && ran.stderr.starts_with(&format!("{count} vectors written")),
        "{}",
        ran.stderr
    );
    // Without -o, the same; and the same every time.
    let again = place
        .run(&[&export[..filters.len() + 1], &["--format", "bolt-json"]].concat())
        .code(0);
    assert_eq!(again.stdout, written);

    // An implementation that is wrong somewhere fails on the same ones.
    let wrong = bigsize("wrong", "lenient");
    let with = ["--adapter", "reference", "--adapter", &wrong];
    let ours = place.run(&[&["run"], &filters[..], &with].concat()).code(1);
    let before = outcomes(&place, "");
    let theirs = place
        .run(&[&["run", "theirs/**", "--vectors", "theirs.json"], &with[..]].concat())
        .code(1);
    assert_eq!(outcomes(&place, "theirs/"), before);
    assert!(
        before.len() >= 2 * count,
        "{} {}",
        before.len(),
        ours.screen()
    );
    assert!(
        theirs.stdout.contains("theirs/bolt01/bigsize"),
        "{}",
        theirs.screen()
    );
}

#[test]
fn a_reader_needs_nothing_else() {
    let place = Place::new();
    let _ = place
        .run(&[
            "export",
            "bolt01/bigsize/decode-*",
            "bolt01/bigsize/non-minimal-*",
            "bolt01/bigsize/truncated-*",
            "-o",
            "v.json",
        ])
        .code(0);
    let reader = repository("tests/adapters/read_vectors.py");
    let read = |more: &[&str]| {
        let args = [&["-I", "-S", reader.to_str().unwrap(), "v.json"], more].concat();
        let command = place.within(Path::new(python()), &args);
        place.finish(command, &args, "").code(0).stdout
    };
    let count = serde_json::from_str::<Vec<Value>>(&place.read("v.json"))
        .unwrap()
        .len();
    assert_eq!(read(&[]), format!("{count} passed, 0 failed\n"));
    // Of a file with more in it, it takes what it can.
    let more = ["export", "bolt01/bigsize/*", "-o", "v.json"];
    let _ = place.run(&more).code(0);
    let all = serde_json::from_str::<Vec<Value>>(&place.read("v.json")).unwrap();
    let others = all.len() - count;
    assert!(others > 0);
    let told = format!("{count} passed, 0 failed, {others} of other operations\n");
    assert_eq!(read(&[]), told);
    let lenient = read(&["lenient"]);
    assert!(!lenient.contains(" passed, 0 failed"), "{lenient}");
}

#[test]
fn what_cannot_be_exported_is_said() {
    let place = Place::new();
    let one = place.run(&["export", "bolt01/bigsize/non-minimal-3"]);
    let scenario = place.run(&["export", "keysend/direct"]).code(2);
    let idle = place.run(&["export", "nowhere/**"]).code(2);
    place.write("broken.json", "[{\"name\": \"a\"}]");
    let broken = place.run(&["list", "--vectors", "broken.json"]).code(2);
    let nowhere = place
        .run(&["export", "bolt01/**", "-o", "no/v.json"])
        .code(2);
    screen!("export", screens(&[one, scenario, idle, broken, nowhere]));
}
