//! Scenarios that have a cluster in common: what goes from one to the next, and what does not. On a
//! real bitcoind, with nodes that do what a step tells them to.

#![cfg(target_os = "linux")]

use lnconform_adapters::{Launch, Limits};
use lnconform_engine::judge::Requirements;
use lnconform_engine::ledger::Ledger;
use lnconform_engine::plan::{Participant, Selection, plan};
use lnconform_engine::record::{Blame, Check, Keyword, Outcome, Phase, Record, Run};
use lnconform_engine::redact::Redactions;
use lnconform_engine::results::{FORMAT, Sink};
use lnconform_engine::run::{Setup, introduce, run};
use lnconform_engine::snapshot::SnapshotStore;
use lnconform_engine::wait::Stop;
use lnconform_regtest::provision;
use lnconform_regtest::run::RunDir;
use lnconform_vectors::{Options, Root, Vectors};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

fn bitcoind() -> PathBuf {
    static EXE: OnceLock<PathBuf> = OnceLock::new();
    EXE.get_or_init(
        || match provision::install("bitcoind", false, &mut |_| {}) {
            Ok(found) => found.path,
            Err(error) => panic!("{error}"),
        },
    )
    .clone()
}

struct Nothing;

impl Requirements for Nothing {
    fn keyword(&self, _: &str) -> Option<Keyword> {
        None
    }
}

#[derive(Default)]
struct Seen {
    checks: Vec<Check>,
    phases: Vec<Phase>,
}

impl Sink for Seen {
    fn record(&mut self, record: &Record) {
        match record {
            Record::Check(check) => self.checks.push((**check).clone()),
            Record::Phase(phase) => self.phases.push(phase.clone()),
            _ => {}
        }
    }
}

impl Seen {
    /// The one check with this id.
    #[track_caller]
    fn check(&self, id: &str) -> &Check {
        let mut found = self.checks.iter().filter(|c| c.id == id);
        let check = found.next().unwrap_or_else(|| panic!("no check {id}"));
        assert!(found.next().is_none(), "two checks {id}");
        check
    }

    fn outcomes(&self) -> BTreeMap<&str, Outcome> {
        let of = |c: &'_ Check| c.outcome;
        self.checks.iter().map(|c| (c.id.as_str(), of(c))).collect()
    }

    /// The clusters that the checks ran in, each once.
    fn clusters(&self) -> BTreeSet<&str> {
        let clusters = self.checks.iter().filter_map(|c| c.cluster.as_deref());
        clusters.collect()
    }

    /// Why clusters were thrown away.
    fn thrown_away(&self) -> Vec<&str> {
        let notes = self.phases.iter().filter_map(|p| p.note.as_deref());
        notes.collect()
    }
}

/// What a run of some scenarios showed, and how often a node was started.
struct Came {
    seen: Seen,
    starts: usize,
}

/// Runs scenarios, each a file's name and the end of its text, on pairs of fake nodes.
fn play(scenarios: &[(&str, &str)], fresh: bool) -> Came {
    play_with(scenarios, fresh, &Ledger::default())
}

/// The same with failures that a ledger foretells.
fn play_with(scenarios: &[(&str, &str)], fresh: bool, ledger: &Ledger) -> Came {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let dir = tempfile::tempdir().unwrap();
    let vectors = dir.path().join("vectors");
    std::fs::create_dir(&vectors).unwrap();
    for (name, text) in scenarios {
        let text = format!(
            "description: d\ncovers: [a/b]\ntopology: {{nodes: {{payer: {{}}, payee: {{}}}}}}\n{text}"
        );
        std::fs::write(vectors.join(format!("{name}.yaml")), text).unwrap();
    }
    let set = Vectors::load(&[Root::Added(vectors)], &[], &Options::default()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_node.py");
    let starts = dir.path().join("starts");
    let limits = Limits::default();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id = format!("test-clusters-{}-{number}", std::process::id());
    let launch = Launch {
        args: vec![
            "-I".into(),
            "-S".into(),
            script.to_string_lossy().into_owned(),
        ],
        env: vec![(
            "LNCONFORM_TEST_STARTS".into(),
            starts.to_string_lossy().into_owned(),
        )],
        run: id.clone(),
        ..Launch::new("fake", "python3")
    };
    let mut participants = vec![Participant {
        name: "fake".into(),
        // Its codec is a process of its own.
        codec: Some(launch.clone()),
        node: Some(launch),
        named: true,
        builtin: false,
        version: String::new(),
        operations: BTreeSet::new(),
        dialects: BTreeSet::new(),
        unavailable: None,
        no_cluster: None,
        own: None,
    }];
    introduce(&mut participants, &limits);
    assert_eq!(participants[0].unavailable, None);
    let plan = plan(&set.cases, &participants, &Selection::default()).unwrap();
    let run_dir = RunDir::create_in(dir.path(), &id).unwrap();
    let snapshots = SnapshotStore::open(&dir.path().join("store"));
    let redactions = Redactions::default();
    let specs = BTreeMap::new();
    let setup = Setup {
        cases: &set.cases,
        plan: &plan,
        participants: &participants,
        oracle: None,
        requirements: &Nothing,
        ledger,
        snapshots: &snapshots,
        propose: false,
        redactions: &redactions,
        specs: &specs,
        unfiltered: false,
        upstream: BTreeSet::new(),
        today: jiff::civil::date(2026, 1, 1),
        strict: false,
        fail_fast: false,
        jobs: 1,
        electrum: None,
        keep: None,
        fresh_clusters: fresh,
        limits,
        run_dir: &run_dir,
        problems: vec![],
        evidence: dir.path().join("evidence"),
        rerun: String::new(),
    };
    let header = Run {
        format: FORMAT,
        run: id,
        harness: String::new(),
        vectors: String::new(),
        specs: specs.clone(),
        implementations: vec![],
        seed: "1".into(),
        machine: String::new(),
        started: String::new(),
        command: vec![],
        filtered: false,
        shard: None,
    };
    let mut seen = Seen::default();
    let bitcoind = bitcoind();
    run(
        &setup,
        Box::new(|| Ok(bitcoind)),
        header,
        &mut seen,
        &Stop::default(),
    );
    let starts = std::fs::read_to_string(&starts).unwrap_or_default();
    let left = std::fs::read_dir(run_dir.path()).unwrap().flatten();
    let left: Vec<_> = left.map(|e| e.file_name()).collect();
    let of_cluster = |name: &std::ffi::OsString| name.to_string_lossy().starts_with('c');
    assert!(!left.iter().any(of_cluster), "folders are left: {left:?}");
    Came {
        seen,
        starts: starts.lines().filter(|l| l.ends_with("payer")).count(),
    }
}

/// A scenario in which nothing is wrong, wherever it runs.
const VISIT: &str = "steps:\n  - {name: x, on: payer, do: fake.visit, expect: {visits: $any}}\n";
/// One that is the first to come to its node.
const FIRST: &str = "steps:\n  - {name: x, on: payer, do: fake.visit, expect: {visits: 1}}\n";
/// One that is not.
const SECOND: &str = "steps:\n  - {name: x, on: payer, do: fake.visit, expect: {visits: 2}}\n";

#[test]
fn scenarios_share_a_cluster_unless_told_otherwise() {
    let scenarios = [("a", FIRST), ("b", SECOND)];
    let shared = play(&scenarios, false);
    let all = [("a#x", Outcome::Passed), ("b#x", Outcome::Passed)].into();
    assert_eq!(shared.seen.outcomes(), all);
    assert_eq!((shared.starts, shared.seen.clusters().len()), (1, 1));
    // What both have in common belongs to neither.
    let phase = |seen: &Seen, name: &str| -> Vec<Option<String>> {
        let of_name = seen.phases.iter().filter(|p| p.name == name);
        of_name.map(|p| p.id.clone()).collect()
    };
    let ids = || vec![Some("a".to_owned()), Some("b".to_owned())];
    assert_eq!(phase(&shared.seen, "start"), [None]);
    assert_eq!(phase(&shared.seen, "stop"), [None]);
    assert_eq!(phase(&shared.seen, "steps"), ids());
    assert!(shared.seen.phases.iter().all(|p| p.cluster.is_some()));

    let fresh = play(&scenarios, true);
    assert_eq!(fresh.seen.check("b#x").outcome, Outcome::Failed);
    assert_eq!((fresh.starts, fresh.seen.clusters().len()), (2, 2));
    // Which of two that start at the same time is ready first is left to chance.
    let mut started = phase(&fresh.seen, "start");
    started.sort();
    assert_eq!(started, ids());

    let own = format!("cluster: own\n{FIRST}");
    let own = play(&[("a", FIRST), ("b", &own), ("c", SECOND)], false);
    let passed = |outcome: &Outcome| *outcome == Outcome::Passed;
    assert!(own.seen.outcomes().values().all(passed));
    assert_eq!((own.starts, own.seen.clusters().len()), (2, 2));
}

#[test]
fn what_a_scenario_leaves_behind_is_not_seen_by_the_next() {
    const LEAVES: &str = "steps:
  - {on: payee, do: fake.leave, with: {payment_hash: \"aa\", later_ms: 500}}
  - {name: x, on: payee, do: event.next, expect: {payment_hash: \"aa\"}, deadline: 5s}
";
    // The second event of the payment comes while this one waits, and so does one of its own.
    const LISTENS: &str = "steps:
  - {name: none, on: payee, do: event.next, expect: {error: {kind: timeout}}, deadline: 1s}
  - {on: payee, do: fake.leave, with: {payment_hash: \"bb\"}}
  - {name: own, on: payee, do: event.next, expect: {payment_hash: \"bb\"}, deadline: 5s}
";
    let scenarios = [("a", LEAVES), ("b", LISTENS), ("c", VISIT)];
    let shared = play(&scenarios, false);
    let fresh = play(&scenarios, true);
    assert_eq!(shared.seen.outcomes(), fresh.seen.outcomes());
    for check in &shared.seen.checks {
        assert_eq!(check.outcome, Outcome::Passed, "{check:?}");
    }
    assert_eq!((shared.starts, fresh.starts), (1, 3));

    // The event does come: a scenario that leaves it sees it itself.
    let twice = format!(
        "{LEAVES}  - {{name: y, on: payee, do: event.next, expect: {{payment_hash: \"aa\"}}, deadline: 5s}}\n"
    );
    let twice = play(&[("a", &twice)], false);
    assert_eq!(twice.seen.check("a#y").outcome, Outcome::Passed);
}

#[test]
fn a_failure_takes_its_cluster_with_it() {
    let wrong = VISIT.replace("$any", "7");
    let came = play(&[("a", FIRST), ("b", &wrong), ("c", FIRST)], false);
    let outcomes = ["a#x", "b#x", "c#x"].map(|id| came.seen.check(id).outcome);
    assert_eq!(
        outcomes,
        [Outcome::Passed, Outcome::Failed, Outcome::Passed]
    );
    assert_eq!(came.starts, 2);
    assert_eq!(came.seen.thrown_away(), ["b did not pass"]);
    let cluster = |id: &str| came.seen.check(id).cluster.clone().unwrap();
    assert_eq!(cluster("a#x"), cluster("b#x"));
    assert_ne!(cluster("b#x"), cluster("c#x"));
    // The log that is shown begins with the scenario that failed.
    let tail = came.seen.check("b#x").log_tail.clone().unwrap();
    assert!(
        tail.contains("visit 2") && !tail.contains("visit 1"),
        "{tail}"
    );
}

#[test]
fn a_node_that_died_after_its_scenario_is_nobody_else_s_failure() {
    const DIES: &str = "steps:
  - {name: x, on: payee, do: fake.die, expect: {}}
";
    let came = play(&[("a", DIES), ("b", FIRST)], false);
    for check in &came.seen.checks {
        assert_eq!(check.outcome, Outcome::Passed, "{check:?}");
    }
    assert_eq!(came.starts, 2);
    let why = came.seen.thrown_away();
    assert!(why.len() == 1 && why[0].starts_with("payee: "), "{why:?}");
}

#[test]
fn a_foretold_failure_spoils_no_cluster_and_comes_last() {
    let ledger = |kind: &str, flaky: bool| {
        let entry = |id: &str| {
            format!(
                "- check: {id}#x\n  roles: {{payer: fake}}\n  signature: {{kind: {kind}}}\n  \
                 flaky: {flaky}\n  reason: r\n  issue: \"none: a test\"\n  expires: 2026-02-01\n"
            )
        };
        let text = ["a", "b"].map(entry).concat();
        Ledger::of_texts(&[("l.yaml".into(), text)], Vec::new()).unwrap()
    };
    const WRONG: &str = "steps:\n  - {name: x, on: payer, do: fake.visit, expect: {visits: 9}}\n";
    let scenarios = [("a", WRONG), ("b", WRONG), ("c", FIRST), ("d", SECOND)];
    let came = play_with(&scenarios, false, &ledger("mismatch", false));
    let of = |outcome: Outcome| -> Vec<&str> {
        let checks = came.seen.checks.iter().filter(|c| c.outcome == outcome);
        checks.map(|c| c.id.as_str()).collect()
    };
    // Those that pass come first, whatever their names.
    assert_eq!(of(Outcome::Passed), ["c#x", "d#x"]);
    assert_eq!(of(Outcome::Failed), ["a#x", "b#x"]);
    assert!(came.seen.checks.iter().all(|c| c.expected));
    assert_eq!((came.starts, came.seen.clusters().len()), (1, 1));
    assert!(came.seen.thrown_away().is_empty());

    // Another failure than the one foretold, or one that may come or not, does.
    for other in [ledger("accepted", false), ledger("mismatch", true)] {
        let came = play_with(&scenarios[..2], false, &other);
        assert_eq!((came.starts, came.seen.clusters().len()), (2, 2));
    }
    // What stands behind the last check is done all the same, and the cluster is as good as new. Where that
    // fails, or where a step is left out and nothing comes behind the last check, it is spoiled.
    let visit = "  - {name: y, on: payer, do: fake.visit}\n";
    let lacks = "  - {name: y, on: payer, do: fake.lacks}\n";
    let check = "  - {name: z, on: payer, do: fake.visit, expect: {}}\n";
    for (behind, clusters) in [
        (visit.to_owned(), 1),
        (lacks.to_owned(), 2),
        ([visit, check].concat(), 2),
        (
            [visit, check, &visit.replace("name: y", "name: last")].concat(),
            1,
        ),
    ] {
        let cut = [WRONG, &behind].concat();
        let scenarios = [("a", cut.as_str()), ("b", cut.as_str())];
        let came = play_with(&scenarios, false, &ledger("mismatch", false));
        let seen = (came.starts, came.seen.clusters().len());
        assert_eq!(seen, (clusters, clusters), "{behind}");
    }
}

#[test]
fn what_nobody_can_is_unsupported_before_anything_starts() {
    let lacks = "steps:\n  - {name: x, on: payee, do: fake.fly, expect: {}}\n  - {name: y, on: payer, do: fake.visit, expect: {}}\n";
    let dialect = format!("needs: [\"payee: fake/2\"]\n{VISIT}");
    let came = play(&[("a", lacks), ("b", &dialect)], false);
    for id in ["a#x", "a#y"] {
        let check = came.seen.check(id);
        assert_eq!(check.outcome, Outcome::Unsupported, "{check:?}");
        let message = check.message.as_deref().unwrap();
        assert_eq!(message, "fake (payee) does not list the operation fake.fly");
    }
    let check = came.seen.check("b#x");
    assert_eq!(check.outcome, Outcome::NotApplicable, "{check:?}");
    assert_eq!(
        check.message.as_deref().unwrap(),
        "fake (payee) does not speak the dialect fake/2"
    );
    assert_eq!((came.starts, came.seen.phases.len()), (0, 0));
    let spoken = format!("needs: [\"payee: fake/1\", event.next]\n{VISIT}");
    assert_eq!(
        play(&[("a", &spoken)], false).seen.check("a#x").outcome,
        Outcome::Passed
    );
}

#[test]
fn a_codec_has_a_role_without_a_node() {
    let steps = "roles: {reader: codec}\nsteps:\n\
        - {name: node, on: payer, do: fake.visit, expect: {visits: $any}}\n\
        - {name: codec, on: reader, do: fake.visit, expect: {visits: 1}}\n";
    let came = play(&[("a", steps)], false);
    let check = came.seen.check("a#codec");
    assert_eq!(check.outcome, Outcome::Passed, "{check:?}");
    assert_eq!(check.roles.as_ref().unwrap()["reader"], "fake");
    // Two nodes, and no third.
    assert_eq!(came.seen.clusters().len(), 1);
    let wrong = steps.replace("visits: 1}", "visits: 7}");
    let came = play(&[("a", &wrong)], false);
    let check = came.seen.check("a#codec");
    assert_eq!(check.outcome, Outcome::Failed, "{check:?}");
    assert_eq!(check.blame, Some(Blame::Implementation), "{check:?}");
    let lacks = steps.replace("reader, do: fake.visit", "reader, do: fake.fly");
    let came = play(&[("a", &lacks)], false);
    assert_eq!(came.seen.check("a#node").outcome, Outcome::Unsupported);
    assert_eq!(came.starts, 0);
}

#[test]
fn what_hangs_on_a_lacking_step_is_lacking_too() {
    let steps = "steps:\n\
        - {name: sign, on: payee, do: fake.lacks, expect: {}}\n\
        - {name: after, on: payer, do: fake.visit, expect: {}}\n";
    let came = play(&[("a", steps)], false);
    let check = came.seen.check("a#after");
    assert_eq!(check.outcome, Outcome::Unsupported, "{check:?}");
    assert_eq!(check.blame, None, "{check:?}");
    let message = check.message.as_deref().unwrap();
    assert!(
        message.starts_with("not reached: step sign (fake.lacks on payee) is unsupported")
            && message.ends_with("not with these params"),
        "{message}"
    );
    // A failure is another thing: what follows it could not run.
    let fails = steps.replace("fake.lacks, expect: {}", "fake.visit, expect: {visits: 7}");
    let came = play(&[("a", &fails)], false);
    assert_eq!(came.seen.check("a#sign").outcome, Outcome::Failed);
    assert_eq!(came.seen.check("a#after").outcome, Outcome::CouldNotRun);
}

#[test]
fn an_option_that_a_node_does_not_know_makes_its_scenarios_unsupported() {
    let wish = |name: &str, steps: &str| format!("options: {{payee: {{{name}: true}}}}\n{steps}");
    let unknown = wish("gold", VISIT);
    let came = play(&[("a", &unknown), ("b", &unknown), ("c", FIRST)], false);
    for id in ["a#x", "b#x"] {
        let check = came.seen.check(id);
        assert_eq!(check.outcome, Outcome::Unsupported, "{check:?}");
        let message = check.message.as_deref().unwrap();
        assert_eq!(
            message,
            "fake (payee) answered `unsupported` to node.start: no option gold"
        );
    }
    assert_eq!(came.seen.check("c#x").outcome, Outcome::Passed);

    // After two clusters that did not start, the rest is not tried, and says so.
    let fails = wish("fails", VISIT);
    let came = play(&[("a", &fails), ("b", &fails), ("c", &fails)], false);
    let outcomes = ["a#x", "b#x", "c#x"].map(|id| came.seen.check(id).outcome);
    assert_eq!(
        outcomes,
        [Outcome::Failed, Outcome::Failed, Outcome::CouldNotRun]
    );
    let message = came.seen.check("c#x").message.clone().unwrap();
    assert!(
        message.starts_with("not tried: 2 clusters in a row") && message.contains("told to fail"),
        "{message}"
    );
}

#[test]
fn a_killed_process_is_replaced_by_one_that_has_seen_nothing() {
    let steps = "steps:
  - {name: first, on: payer, do: fake.visit, expect: {visits: 1}}
  - {name: tell, on: payer, do: fake.leave, with: {payment_hash: \"aa\"}}
  - {name: told, on: payer, do: event.next, deadline: 5s, expect: {payment_hash: \"aa\"}}
  - {name: kill, on: harness, do: process.kill, with: {role: payer}}
  - {name: start, on: payer, do: node.start}
  - {name: anew, on: payer, do: fake.visit, expect: {visits: 1}}
  - {name: tell-anew, on: payer, do: fake.leave, with: {payment_hash: \"bb\"}}
  - {name: told-anew, on: payer, do: event.next, deadline: 5s, expect: {payment_hash: \"bb\"}}
";
    let came = play(&[("a", steps), ("b", FIRST)], false);
    let passed = |outcome: &Outcome| *outcome == Outcome::Passed;
    assert!(
        came.seen.outcomes().values().all(passed),
        "{:?}",
        came.seen.checks
    );
    // Its cluster is nobody else's.
    assert_eq!((came.starts, came.seen.clusters().len()), (3, 2));
}

#[test]
fn blocks_are_waited_for_at_the_nodes_that_run_and_in_portions() {
    let steps = "steps:
  - {name: before, on: payee, do: fake.heights, bind: before}
  - {name: stop, on: payer, do: node.stop}
  - {name: mine, on: chain, do: chain.mine, with: {blocks: 5, at_a_time: 2}, bind: mined}
  - {name: portions, on: payee, do: fake.heights, expect: {heights: [$any, $any, $any, $mined.height]}}
  - {name: start, on: payer, do: node.start}
  - {name: one, on: chain, do: chain.mine}
  - {name: none-missed, on: payer, do: fake.heights, expect: {heights: [$any, $any]}}
";
    let came = play(&[("a", steps)], false);
    let passed = |outcome: &Outcome| *outcome == Outcome::Passed;
    assert!(
        came.seen.outcomes().values().all(passed),
        "{:?}",
        came.seen.checks
    );
}

#[test]
fn only_a_role_of_the_topology_is_killed() {
    let steps = "steps:
  - {name: kill, on: harness, do: process.kill, with: {role: nobody}, expect: {}}
";
    let came = play(&[("a", steps)], false);
    let check = came.seen.check("a#kill");
    let told = check.message.as_deref().unwrap_or_default();
    assert!(told.contains("no role nobody"), "{check:?}");
}
