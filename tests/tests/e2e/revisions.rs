//! Several revisions of a draft at once, and what `explain` says of an implementation.

use crate::{running, screen, screens};
use lnconform_tests::{Place, Ran};

const VECTOR: &str = "description: One.\nspec: party\ncovers: [party/one]\noperation: bigsize.decode\n\
                      input: {bytes: \"01\"}\nexpect: {value: \"1\"}\n";

fn catalogue(held: &str) -> String {
    format!(
        "spec: party\ndocument: pr-7/party.md\nrevision: \"1111111111111111\"\n{held}title: Party\nentries:\n\
         - {{id: party/one, keyword: MUST, section: S, sentence: 0123456789abcdef, role: node, paraphrase: P}}\n"
    )
}

const HELD: &str = "held: [\"0000000000000000\"]\n";

#[test]
fn snapshots_of_two_revisions_stand_side_by_side() {
    let place = Place::new();
    place
        .write("vectors/a/one.yaml", VECTOR)
        .write("specs/catalogue/party.yaml", &catalogue(HELD));
    let run = |more: &[&str]| -> Ran {
        place.run(&[&["run", "--adapter", "reference", "--format", "json"], more].concat())
    };
    let snapshot = |more: &[&str]| {
        let _ = run(more);
        place.last("observation")[0]["snapshot"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let old = ["--spec", "party@0000000"];
    for more in [&[][..], &old] {
        assert_eq!(snapshot(more), "new", "{more:?}");
        let _ = place.run(&["bless", "a/one"]).code(0);
        assert_eq!(snapshot(more), "same", "{more:?}");
    }
    let names =
        |revision: &str| format!("tests/snapshots/observed/a/one/reference@{revision}.snap");
    let (new, held) = (names("111111111111"), names("000000000000"));
    assert!(place.path(&new).is_file() && place.path(&held).is_file());
    // The result file says which revision was meant.
    let _ = run(&old).code(0);
    assert_eq!(place.last("run")[0]["specs"]["party"], "0000000000000000");
    // Each is compared with its own.
    place.write(&held, &place.read(&held).replace("rest: ''", "rest: 'ff'"));
    assert_eq!(snapshot(&[]), "same");
    let _ = run(&old).code(3);
    // A revision that is neither pinned nor held belongs to nobody.
    let other = run(&["--spec", "party@2222222"]).code(2);
    assert!(other.stderr.contains("party@2222222"), "{}", other.stderr);
    // No longer held, its snapshot is an orphan.
    place.write("specs/catalogue/party.yaml", &catalogue(""));
    let orphan = place.run(&["run", "a/*", "--adapter", "reference"]).code(3);
    assert!(
        orphan.stdout.contains("of another revision"),
        "{}",
        orphan.screen()
    );
}

#[test]
fn a_pull_request_means_every_specification_that_is_written_from_it() {
    let place = Place::new();
    place
        .write("vectors/a/one.yaml", VECTOR)
        .write("vectors/b/other.yaml", &VECTOR.replace("spec: party\n", ""))
        .write("specs/catalogue/party.yaml", &catalogue(""));
    let list = |spec: &str| place.run(&["list", "--adapter", "reference", "--spec", spec]);
    for spec in ["pr-7", "pr-7@1111111", "party", "party@111111111"] {
        assert_eq!(list(spec).code(0).stdout, "a/one  reference\n", "{spec}");
    }
    for spec in ["pr-8", "pr-7@2222222", "pr"] {
        let _ = list(spec).code(2);
    }
}

#[test]
fn an_implementation_is_explained() {
    let place = crate::place();
    let _ = place.run(&running("reference", &[])).code(0);
    let reference = place.run(&["explain", "reference"]).code(0);
    let typo = place.run(&["explain", "referense"]).code(2);
    let ledger = place.run(&["explain", "ldk-0.2"]).code(0);
    let lines: Vec<&str> = ledger.stdout.lines().collect();
    assert_eq!(lines[0], "ldk-0.2");
    let entries = lines
        .iter()
        .position(|l| l.starts_with("expected failures: "))
        .unwrap();
    assert!(
        lines[entries + 1].contains("tests/expectations/ldk.yaml:"),
        "{}",
        lines[entries + 1]
    );
    screen!("explain_implementation", screens(&[reference, typo]));
}
