//! Several result files as one: shards are the whole run again, and what somebody else reports
//! stands apart.

use crate::{bigsize, place};
use lnconform_tests::Place;
use serde_json::Value;

/// The lines of a result file, sorted, without what differs from run to run.
fn lines(place: &Place, file: &str) -> Vec<String> {
    let mut lines: Vec<String> = place
        .results(file)
        .into_iter()
        .filter(|line| line["type"] != "phase")
        .map(|mut line| {
            let fields = line.as_object_mut().expect("a record is an object");
            for chance in ["run", "started", "command", "duration_us", "duration_ms"] {
                fields.remove(chance);
            }
            line.to_string()
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn shards_merged_are_the_run_that_was_not_sharded() {
    let mut place = place();
    // No bitcoind: the scenarios could not run, and are results all the same.
    place.env("PATH", place.path("nothing"));
    let run = |shard: &[&str], file: &str| {
        let what = ["bolt01/**", "bolt12/{offer,encoding,live}/**", "keysend/**"];
        let who = ["reference", "ldk-0.3", "ldk-node"].map(|name| ["--adapter", name]);
        let how = ["--seed", "7", "--results", file];
        place.run(&[&["run"], &what[..], &who.concat(), shard, &how].concat())
    };
    // ldk-node is named and has no chain: exit code 5, of the whole and of a part with scenarios.
    let _ = run(&[], "whole.jsonl").code(5);
    let parts = ["1.jsonl", "2.jsonl", "3.jsonl"];
    for (shard, file) in ["1/3", "2/3", "3/3"].into_iter().zip(parts) {
        let _ = run(&["--shard", shard], file).code(5);
    }
    let merged = place.run(&["merge", "1.jsonl", "2.jsonl", "3.jsonl", "-o", "all.jsonl"]);
    let merged = merged.code(0);
    assert_eq!(merged.stderr, "");
    assert!(
        merged.stdout.contains("exit code of the whole 5"),
        "{}",
        merged.screen()
    );
    let (whole, all) = (lines(&place, "whole.jsonl"), lines(&place, "all.jsonl"));
    assert!(whole.len() > 500, "{}", whole.len());
    for line in &whole {
        assert!(
            all.binary_search(line).is_ok(),
            "not in the merged file: {line}"
        );
    }
    assert_eq!(whole, all);
    let _ = place.run(&["report", "all.jsonl"]).code(0);

    // One that is missing is named, and so is a file that is of another run.
    let short = place.run(&["merge", "1.jsonl", "3.jsonl"]).code(0);
    assert!(
        short.stderr.contains("shard 2/3 is missing"),
        "{}",
        short.screen()
    );
    let twice = place.run(&["merge", "1.jsonl", "whole.jsonl"]).code(2);
    assert!(
        twice.stderr.contains("the number of shards is 3"),
        "{}",
        twice.screen()
    );
    let none = place.run(&["merge", "nowhere.jsonl"]).code(2);
    assert!(
        none.stderr.contains("nowhere.jsonl cannot be read"),
        "{}",
        none.screen()
    );
}

#[test]
fn somebody_elses_results_stand_apart() {
    let place = place();
    let theirs = bigsize("theirs", "off-by-one");
    let _ = place
        .run(&[
            "run",
            "bolt01/bigsize/**",
            "--adapter",
            "reference",
            "--results",
            "ours.jsonl",
        ])
        .code(0);
    place.run(&[
        "run",
        "bolt01/bigsize/**",
        "--adapter",
        &theirs,
        "--results",
        "theirs.jsonl",
    ]);
    let _ = place
        .run(&[
            "merge",
            "ours.jsonl",
            "--self-reported",
            "theirs.jsonl",
            "-o",
            "all.jsonl",
        ])
        .code(0);
    let all = place.results("all.jsonl");
    let who: std::collections::BTreeSet<&str> = all
        .iter()
        .filter(|line| line["type"] == "check")
        .filter_map(|line| line["implementation"].as_str())
        .collect();
    assert_eq!(who, ["reference", "theirs (self-reported)"].into());
    let heads: Vec<&Value> = all[0]["implementations"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    assert!(
        heads[1]["self_reported"]
            .as_str()
            .is_some_and(|s| s.contains("the same vectors"))
    );
    let shown = place.run(&["report", "all.jsonl"]).code(0);
    assert!(
        shown.stdout.contains("theirs (self-reported)"),
        "{}",
        shown.screen()
    );
}
