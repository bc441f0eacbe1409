//! The commands beside `run`.

use crate::{READ, bigsize, place, running, screen, screens};
use lnconform_tests::{Place, repository};
use serde_json::Value;

#[test]
fn help_names_every_command() {
    let place = Place::new();
    let help = place.run(&["--help"]).code(0);
    let run = place.run(&["run", "--help"]).code(0);
    let nothing = place.run(&[]).code(2);
    let unknown = place.run(&["rnu"]).code(2);
    screen!("help", screens(&[help, run, nothing, unknown]));
}

#[test]
fn explain_tells_what_an_id_is() {
    let place = place();
    let check = place
        .run(&["explain", "mine/refused", "--vectors", "v"])
        .code(0);
    let lenient = bigsize("lenient", "lenient");
    let _ = place.run(&running(&lenient, &[])).code(1);
    let requirement = place
        .run(&["explain", "blip-0003/sender/payment-hash"])
        .code(0);
    let requirement_said = requirement.stdout.clone();
    let after = place
        .run(&["explain", "mine/refused", "--vectors", "v"])
        .code(0);
    let all = place
        .run(&["explain", "blip-0003/sender/payment-hash", "--all"])
        .code(0);
    let outcomes = place
        .run(&["explain", "bolt01/bigsize/minimal", "--vectors", "v"])
        .code(0);
    let step = place.run(&["explain", "keysend/direct#paid"]).code(0);
    let nearly = place.run(&["explain", "bolt01/bigsize/minimum"]).code(2);
    let unknown = place.run(&["explain", "nothing/like/that"]).code(2);
    screen!(
        "explain",
        screens(&[check, requirement, outcomes, after, nearly, unknown])
    );
    // A statement fits on a screen; `--all` names each of its checks, as many as were counted.
    let lines = |text: &str| text.lines().count();
    assert!(lines(&requirement_said) < 15, "{requirement_said}");
    let counted = requirement_said
        .lines()
        .filter_map(|line| line.split_once(" in the ").map(|(n, _)| n))
        .map(|n| n.split(' ').next().unwrap().parse::<usize>().unwrap());
    let named = all
        .stdout
        .lines()
        .skip_while(|line| *line != "checks:")
        .skip(1);
    assert_eq!(named.count(), counted.sum::<usize>(), "{}", all.screen());
    assert!(
        step.stdout.contains("check keysend/direct#paid\n"),
        "{}",
        step.screen()
    );
    assert!(
        !step.stdout.contains("check keysend/direct#received\n"),
        "{}",
        step.screen()
    );
    assert!(
        step.stdout.contains("blip-0003/sender/payment-hash"),
        "{}",
        step.screen()
    );
}

#[test]
fn a_baseline_makes_what_fails_known() {
    let place = place();
    let ledger = "known/ledger.yaml";
    let lenient = bigsize("lenient", "lenient");
    let wrong = bigsize("lenient", "off-by-one");
    let run = |who: &str, code: i32| {
        let args = running(who, &[]);
        let known: &[&str] = if place.path(ledger).exists() {
            &["--expectations", ledger]
        } else {
            &[]
        };
        place.run(&[&args[..], known].concat()).code(code)
    };
    let baseline = |what: &str, code: i32| place.run(&["baseline", what, "-o", ledger]).code(code);
    let early = baseline("update", 2);
    let _ = run(&lenient, 1);
    let init = baseline("init", 0);
    let known = run(&lenient, 0);
    let again = baseline("init", 2);
    let same = baseline("update", 0);
    let _ = place
        .run(&running(&wrong, &["--expectations", ledger]))
        .code(1);
    let update = baseline("update", 0);
    let with_day = place.read(ledger);
    let prune = baseline("prune", 0);
    let _ = run(&wrong, 0);
    let nothing = baseline("prune", 0);
    let all = screens(&[early, init, known, again, same, update, prune, nothing]);
    let text: String = with_day
        .lines()
        .map(|l| {
            if l.starts_with("  expires: ") {
                "  expires: [DAY]\n".into()
            } else {
                format!("{l}\n")
            }
        })
        .collect();
    screen!(
        "baseline",
        format!("{all}\nknown/ledger.yaml after `update`:\n{text}")
    );
    // What `baseline` wrote has no reason yet; `doctor` says so where the ledger is the project's.
    let doctor = Place::new();
    doctor.write("tests/expectations/ledger.yaml", &with_day);
    let told = doctor.run(&["doctor"]).code(0);
    assert!(
        told.stdout
            .contains("ledger.yaml:4: the reason of an expected failure is still open"),
        "{}",
        told.screen()
    );
}

#[test]
fn report_shows_a_run_again() {
    let mut place = place();
    let wrong = bigsize("wrong", "off-by-one");
    let ran = place.run(&running(&wrong, &[])).code(1);
    let file = ".lnconform/last.jsonl";
    let shown = place.run(&["report", file]).code(0);
    assert_eq!(shown.stdout, ran.stdout);
    let json = place
        .run(&["report", file, "--format", "json"])
        .code(0)
        .json();
    assert_eq!(json["exit_code"], 1, "{json}");
    place.env("GITHUB_STEP_SUMMARY", place.path("summary.md"));
    let github = place.run(&["report", file, "--format", "github"]).code(0);
    assert!(
        github
            .stdout
            .contains("::error file=v/mine/read.yaml,line=1"),
        "{}",
        github.screen()
    );
    assert!(place.read("summary.md").contains("### Unexpected (1)"));
    let missing = place.run(&["report", "none.jsonl"]).code(2);
    place
        .write("other.jsonl", "{\"type\":\"check\"}\n")
        .write("empty.jsonl", "")
        .write("text.jsonl", "hello\n");
    let other = place.run(&["report", "other.jsonl"]).code(2);
    let empty = place.run(&["report", "empty.jsonl"]).code(2);
    let text = place.run(&["report", "text.jsonl"]).code(2);
    let newer = place.read(file).replacen("\"format\":1", "\"format\":2", 1);
    place.write("newer.jsonl", &newer);
    let newer = place.run(&["report", "newer.jsonl"]).code(2);
    screen!(
        "mistakes_in_results",
        screens(&[missing, other, empty, text, newer])
    );
}

#[test]
fn diff_tells_what_is_new() {
    let place = place();
    let run = |mode: &str, file: &str, code: i32| {
        let who = bigsize("mine", mode);
        let args = running(&who, &["--results", file]);
        let _ = place.run(&args).code(code);
    };
    run("right", "right.jsonl", 0);
    run("lenient", "lenient.jsonl", 1);
    run("off-by-one", "wrong.jsonl", 1);
    let diff = |old: &str, new: &str, code: i32| {
        place
            .run(&["diff", old, new, "--fail-on", "new"])
            .code(code)
    };
    let all = [
        diff("right.jsonl", "lenient.jsonl", 1),
        diff("lenient.jsonl", "right.jsonl", 0),
        diff("lenient.jsonl", "wrong.jsonl", 1),
        diff("wrong.jsonl", "wrong.jsonl", 0),
        place.run(&["diff", "right.jsonl", "lenient.jsonl"]).code(0),
        diff("right.jsonl", "gone.jsonl", 2),
    ];
    screen!("diff_of_runs", screens(&all));
}

#[test]
fn coverage_counts_what_a_run_emitted() {
    let place = place();
    let args = running("reference", &[]);
    let _ = place.run(&args).code(0);
    let coverage =
        |args: &[&str]| place.run(&[&["spec", "coverage", ".lnconform/last.jsonl"], args].concat());
    let json = coverage(&["--format", "json", "--spec", "bolt01"])
        .code(0)
        .json();
    let rows = json["requirements"].as_array().unwrap();
    let of = |id: &str| rows.iter().find(|r| r["id"] == id).unwrap();
    assert_eq!(
        of("bolt01/bigsize/minimal")["checks"],
        serde_json::json!(["mine/refused"])
    );
    assert_eq!(
        of("bolt01/bigsize/truncated")["checks"],
        serde_json::json!([])
    );
    assert!(of("bolt01/tlv/sender/custom-random")["excluded"].is_string());
    for row in rows {
        assert_eq!(row["spec"], "bolt01");
        assert!(
            row["keyword"].is_string() && row["tested"].is_boolean(),
            "{row}"
        );
    }
    let text = coverage(&["--spec", "blip-0003"]).code(0);
    let unknown = coverage(&["--spec", "blip-3"]).code(2);
    screen!("spec_coverage", screens(&[text, unknown]));
    let all = coverage(&[]).code(0);
    assert!(
        all.stdout.lines().count() > 100,
        "{}",
        all.stdout.lines().count()
    );
    let none = place.run(&["spec", "import"]).code(2);
    assert!(none.stderr.contains("--specs"), "{}", none.screen());
}

#[test]
fn every_schema_is_json() {
    let place = Place::new();
    let names = [
        "vector",
        "scenario",
        "topology",
        "result",
        "adapter",
        "expectations",
        "catalogue",
    ];
    for name in names {
        let schema = place.run(&["schema", name]).code(0).json();
        assert!(
            schema["$schema"]
                .as_str()
                .is_some_and(|s| s.contains("json-schema")),
            "{name}"
        );
    }
    // The copies that are checked in are the same.
    let copies = [
        ("vector", "vectors/schema/vector.json"),
        ("scenario", "vectors/schema/scenario.json"),
        ("topology", "vectors/schema/topology.json"),
        ("adapter", "docs/schema/adapter.json"),
    ];
    for (name, copy) in copies {
        let text = std::fs::read_to_string(repository(copy)).unwrap();
        let copy: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(place.run(&["schema", name]).code(0).json(), copy, "{name}");
    }
    let unknown = place.run(&["schema", "vectors"]).code(2);
    assert!(unknown.stderr.contains("'vector'"), "{}", unknown.screen());
}

#[test]
fn doctor_says_what_is_missing_and_what_to_type() {
    let mut place = Place::new();
    place.env("PATH", place.path("nothing"));
    // One may lie in the usual place of this machine.
    place.env("GO", place.path("nothing/go"));
    let text = place.run(&["doctor"]).code(0);
    let json = place.run(&["doctor", "--format", "json"]).code(0).json();
    let rows = json["implementations"].as_array().unwrap();
    for name in ["reference", "ldk-0.2", "ldk-0.3", "ldk-node"] {
        let row = rows.iter().find(|r| r["name"] == name).unwrap();
        assert_eq!(row["found"], true, "{row}");
    }
    let bitcoind = rows.iter().find(|r| r["name"] == "bitcoind").unwrap();
    assert_eq!(
        (&bitcoind["found"], &bitcoind["install"]),
        (&false.into(), &"lnconform install bitcoind".into())
    );
    assert!(!json["problems"].as_array().unwrap().is_empty(), "{json}");
    assert!(
        text.stdout.contains("python3 is missing: type `"),
        "{}",
        text.screen()
    );
    assert!(
        text.stdout.contains("- lnd needs Go 1.25.10 or newer"),
        "{}",
        text.screen()
    );
    // Which libraries this machine has, and what other runs on it left, is not of this test.
    let others = |l: &&str| {
        !l.contains("left of killed runs")
                && !l.starts_with("- system package")
                // What brings one differs by machine.
                && !l.starts_with("- lnd needs Go")
    };
    let text = text
        .screen()
        .lines()
        .filter(others)
        .collect::<Vec<_>>()
        .join("\n");
    screen!("doctor", text);
}

#[test]
fn clean_shows_and_removes_what_a_killed_run_left() {
    let place = Place::new();
    // The folder of a run whose process is over.
    let mut over = std::process::Command::new("true").spawn().unwrap();
    let pid = over.id();
    over.wait().unwrap();
    let folder = place.tmp().join("lnconform-abcdef012345");
    std::fs::create_dir(&folder).unwrap();
    let owner =
        format!("{{\"pid\":{pid},\"start_time\":1,\"run\":\"abcdef012345\",\"started\":1}}");
    std::fs::write(folder.join("owner.json"), owner).unwrap();
    let mine = |ran: &lnconform_tests::Ran| {
        let lines = ran.stdout.lines().filter(|l| l.contains("abcdef012345"));
        lines.map(|l| ran.redacted(l)).collect::<Vec<_>>()
    };
    let shown = place.run(&["clean", "--dry-run"]).code(0);
    assert_eq!(
        mine(&shown),
        ["folder of run abcdef012345: [TMP]/lnconform-abcdef012345"]
    );
    assert!(folder.exists());
    // Only this: a run that somebody else has killed at this moment is theirs to look into.
    std::fs::remove_dir_all(&folder).unwrap();
    let nothing = place.run(&["clean", "--dry-run"]).code(0);
    assert!(mine(&nothing).is_empty());
}

#[test]
fn fill_computes_what_a_vector_expects() {
    let place = Place::new();
    let filled = READ.replace("expect: {value: \"253\", rest: \"\"}", "expect: $fill");
    place.write("vectors/mine/read.yaml", &filled);
    let check = place.run(&["fill", "--check"]).code(1);
    let fill = place.run(&["fill"]).code(0);
    let text = place
        .read("vectors/mine/read.yaml")
        .replace(env!("CARGO_PKG_VERSION"), "[VERSION]");
    assert!(text.contains("\"253\""), "{text}");
    let same = place.run(&["fill", "--check"]).code(0);
    let _ = place.run(&["list", "mine/*"]).code(0);
    let nowhere = Place::new();
    let nowhere = nowhere.run(&["fill"]).code(2);
    screen!(
        "fill",
        format!("{}\n{text}", screens(&[check, fill, same, nowhere]))
    );
    // Every vector of the project is as the reference says.
    let mut all = place.command(&["fill", "--check"]);
    all.current_dir(repository(""));
    let _ = place.finish(all, &["fill", "--check"], "").code(0);
}
