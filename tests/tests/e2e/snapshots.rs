//! Observations as snapshots: `bless`, changes, drift, orphans.

use crate::{READ, bigsize, running, screen, screens};
use lnconform_tests::Place;

/// A repository of its own with one vector: a `vectors/` in the working directory takes the
/// place of the built-in one.
fn repository() -> Place {
    let place = Place::new();
    place.write("vectors/mine/read.yaml", READ);
    place.write("tests/snapshots/redactions.yaml", "[]\n");
    place.write("tests/expectations/none.yaml", "[]\n");
    place
}

const RUN: &[&str] = &["run", "mine/*", "--adapter", "reference"];

fn stored(place: &Place) -> std::path::PathBuf {
    let folder = place.path("tests/snapshots/observed/mine/read");
    let mut files = std::fs::read_dir(folder).unwrap().flatten();
    let only = files.next().unwrap().path();
    assert!(files.next().is_none());
    only
}

#[test]
fn what_was_blessed_is_accepted() {
    let place = repository();
    let nothing = place.run(&["bless"]).code(2);
    let new = place.run(RUN).code(3);
    assert_eq!(place.last("observation")[0]["snapshot"], "new");
    let blessed = place.run(&["bless", "mine/*"]).code(0);
    let same = place.run(RUN).code(0);
    let again = place.run(&["bless"]).code(0);
    assert_eq!(place.last("observation")[0]["snapshot"], "same");
    // In insta's own format, so that `cargo insta review` works on it.
    let snapshot = insta::Snapshot::from_file(&stored(&place)).unwrap();
    assert_eq!(snapshot.metadata().source(), Some("vectors/mine/read.yaml"));
    assert_eq!(
        snapshot.as_text().unwrap().to_string().trim(),
        "rest: ''\nvalue: '253'"
    );
    let none = place.run(&["bless", "nothing/*"]).code(2);
    screen!(
        "bless",
        screens(&[nothing, new, blessed, same, again, none])
    );
}

#[test]
fn a_change_under_the_same_version_is_exit_code_3_and_under_another_is_drift() {
    let place = repository();
    let _ = place.run(RUN).code(3);
    let _ = place.run(&["bless"]).code(0);
    let file = stored(&place);
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, right.replace("value: '253'", "value: '254'")).unwrap();
    let changed = place.run(RUN).code(3);
    assert_eq!(place.last("observation")[0]["snapshot"], "changed");
    let version = env!("CARGO_PKG_VERSION");
    let older = right
        .replace("value: '253'", "value: '254'")
        .replace(version, "0.0.1");
    assert_ne!(older, right);
    std::fs::write(&file, older).unwrap();
    let drift = place.run(RUN).code(0);
    assert_eq!(place.last("observation")[0]["snapshot"], "drift");
    screen!(
        "snapshot_changed",
        screens(&[changed, drift]).replace(version, "[VERSION]")
    );
    // Blessed, it is as it was.
    let _ = place.run(&["bless"]).code(0);
    let _ = place.run(RUN).code(0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), right);
}

#[test]
fn a_snapshot_that_nothing_produces_is_an_orphan() {
    let place = repository();
    place.write("vectors/mine/more.yaml", READ);
    let _ = place.run(&["run"]).code(3);
    let _ = place.run(&["bless"]).code(0);
    let _ = place.run(&["run"]).code(0);
    std::fs::remove_file(place.path("vectors/mine/more.yaml")).unwrap();
    // A filtered run cannot tell.
    let _ = place.run(RUN).code(0);
    let orphan = place.run(&["run"]).code(3);
    screen!("snapshot_orphan", orphan.screen());
}

#[test]
fn a_broken_snapshot_is_named() {
    let place = repository();
    let _ = place.run(RUN).code(3);
    let _ = place.run(&["bless"]).code(0);
    std::fs::write(stored(&place), "no snapshot at all").unwrap();
    let broken = place.run(RUN);
    screen!("snapshot_broken", broken.code(3).screen());
}

/// What is not ours is `new` and changes no exit code, unless a store is named.
#[test]
fn others_have_snapshots_where_they_name_a_store() {
    let place = Place::new();
    place.write("v/mine/read.yaml", READ);
    let mine = bigsize("mine", "right");
    let run = running(&mine, &[]);
    let _ = place.run(&run).code(0);
    assert_eq!(place.last("observation")[0]["snapshot"], "new");
    let named = [&run[..], &["--snapshots", "store"]].concat();
    std::fs::create_dir(place.path("store")).unwrap();
    let _ = place.run(&named).code(3);
    let blessed = place.run(&["bless", "--snapshots", "store"]).code(0);
    assert!(
        blessed.stdout.contains("store/observed/mine/read/mine@"),
        "{}",
        blessed.screen()
    );
    let _ = place.run(&named).code(0);
    assert_eq!(place.last("observation")[0]["snapshot"], "same");
    // Without a name, the store is the one of this project, which keeps nothing of others.
    let refused = place.run(&["bless"]).code(2);
    screen!("bless_others", screens(&[blessed, refused]));
}

/// What a screen says to type accepts the change in the store that the run was given, not in another.
#[test]
fn what_accepts_names_the_store_of_the_run() {
    let place = Place::new();
    let run = |mode: &str, code: i32| {
        let adapter = bigsize("mine", mode);
        let check = "bolt01/bigsize/decode-253";
        let args = ["run", check, "--adapter", &adapter, "--snapshots", "my own"];
        place.run(&args).code(code)
    };
    let _ = run("right", 3);
    let _ = place.run(&["bless", "--snapshots", "my own"]).code(0);
    let _ = run("right", 0);
    let changed = run("off-by-one", 1).stdout;
    let accept = changed
        .lines()
        .find_map(|l| l.trim().strip_prefix("accept"));
    let line = accept.expect(&changed).trim();
    let line = line.replacen("lnconform", "\"$0\"", 1);
    let binary = lnconform_tests::binary().to_string_lossy();
    let shell = place.within("/bin/sh".as_ref(), &["-c", &line, &binary]);
    let blessed = place.finish(shell, &[], "").code(0);
    assert!(blessed.stdout.contains("1 written"), "{}", blessed.screen());
    let _ = run("right", 3);
}
