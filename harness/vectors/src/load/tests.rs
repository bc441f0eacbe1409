use super::*;
use crate::case::Scenario;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Known: everything that begins with `known/`.
struct Few;

impl Requirements for Few {
    fn knows(&self, id: &str) -> bool {
        ["known/a", "known/b"].contains(&id)
    }
    fn nearest(&self, id: &str) -> Option<String> {
        suggest(id, ["known/a", "known/b"]).map(str::to_owned)
    }
}

fn load_with(files: &[(&str, &str)], options: &Options<'_>) -> Result<Set, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Vectors::load(&[Root::Added(dir.path().to_owned())], &[], options).map_err(|problems| {
        let prefix = format!("{}/", dir.path().display());
        problems
            .iter()
            .map(|d| d.to_string().replace(&prefix, ""))
            .collect()
    })
}

fn load(files: &[(&str, &str)]) -> Result<Set, Vec<String>> {
    load_with(
        files,
        &Options {
            requirements: Some(&Few),
            ..Options::default()
        },
    )
}

fn ids(set: &Set) -> Vec<&str> {
    set.cases.iter().map(|c| c.id.as_str()).collect()
}

const CODEC: &str = "description: d\ncovers: [known/a]\noperation: o\ninput: {stream: \"080100\", n: 1}\nexpect: {a: 1}\n";
const SCENARIO: &str = "description: d
covers: [known/a]
topology: pair
roles: {payer: [ldk-node, lnd], payee: any}
steps:
  - {on: payer, do: keysend.send, with: {to: $payee.node_id, amount_msat: \"1\"}, bind: payment}
  - {name: paid, on: payer, do: payment.wait, with: {payment: $payment}, deadline: 15s, expect: {status: succeeded}}
  - {on: chain, do: chain.mine, with: {blocks: 1}}
";
const PAIR: &str = "nodes: {payer: {funded_sat: 1000000}, payee: {}}
channels:
  - {from: payer, to: payee, capacity_sat: 100000, push_msat: \"1000\", announce: true}
ready: [channels-usable]
";

#[test]
fn a_codec_vector_is_read() {
    let set = load(&[(
        "a/b.yaml",
        &format!("# first\n\n{CODEC}tags: [slow]\nneeds: [x]\nprovenance: {{text: Appendix A}}\n"),
    )])
    .unwrap();
    let case = set.get("a/b").unwrap();
    assert_eq!((case.line, case.origin), (3, Origin::Added));
    assert_eq!(case.tags, ["slow"]);
    assert_eq!(case.provenance, Some(Provenance::Text("Appendix A".into())));
    match &case.body {
        Body::Codec(c) => {
            assert_eq!(c.operation, "o");
            assert_eq!(c.input, json!({"stream": "080100", "n": 1}));
            assert_eq!(c.expect, Expect::Result(json!({"a": 1})));
        }
        other => panic!("{other:?}"),
    }
    assert!(set.hash.starts_with("sha256:") && set.hash.len() == 71);
}

#[test]
fn without_a_text_there_may_be_no_requirement() {
    let vector = |provenance: &str| CODEC.replace("covers: [known/a]\n", provenance);
    let load = |text: &str| load(&[("v.yaml", text)]);
    let none = load(&vector("provenance: {text: Appendix A}\n")).unwrap_err();
    assert!(none[0].contains("no requirement is covered"), "{none:?}");
    let set = load(&vector(
        "provenance: {draft-by-implementation: \"no text\"}\n",
    ))
    .unwrap();
    assert!(set.cases[0].covers.is_empty());
}

#[test]
fn a_scenario_is_read() {
    let set = load(&[("s.yaml", SCENARIO), ("topologies/pair.yaml", PAIR)]).unwrap();
    assert_eq!(ids(&set), ["s"]);
    let Body::Scenario(s) = &set.cases[0].body else {
        panic!("no scenario")
    };
    assert_eq!(s.topology.name, "pair");
    assert_eq!(s.topology.channels[0].push_msat, 1000);
    assert_eq!(
        s.roles["payer"],
        RoleChoice::Of(vec!["ldk-node".into(), "lnd".into()])
    );
    assert_eq!(s.roles["payee"], RoleChoice::Any);
    let steps: Vec<_> = s
        .steps
        .iter()
        .map(|s| (s.name.as_str(), s.line, s.deadline))
        .collect();
    assert_eq!(
        steps,
        [
            ("1", 6, None),
            ("paid", 7, Some(Duration::from_secs(15))),
            ("3", 8, None)
        ]
    );
    assert_eq!(s.steps[0].bind.as_deref(), Some("payment"));
}

#[test]
fn a_role_without_a_node_is_a_codec_s() {
    let text = SCENARIO.replacen("payee: any}", "payee: any, verifier: codec}", 1)
        + "  - {on: verifier, do: bolt12.invoice.decode, with: {bytes: $payment.invoice}, expect: {}}\n"
        + "needs: [\"verifier: bolt12.invoice.decode\"]\n";
    let set = load(&[("s.yaml", &text), ("topologies/pair.yaml", PAIR)]).unwrap();
    let Body::Scenario(s) = &set.cases[0].body else {
        panic!("no scenario")
    };
    assert_eq!(s.codec_roles().collect::<Vec<_>>(), ["verifier"]);
    assert_eq!(s.roles.len(), 3);
    assert_eq!(s.topology.nodes.len(), 2);
    assert_eq!(s.steps[3].on, "verifier");
}

#[test]
fn a_child_takes_over_what_it_does_not_state() {
    let set = load(&[
        ("p.yaml", &format!("{CODEC}spec: x\ntags: [t]\n")),
        ("c.yaml", "description: e\ncovers: [known/b]\nextends: p\ninput: {n: 2}\n"),
        ("m.yaml", "description: e\ncovers: [known/b]\nextends: c\nmutate: {input.stream.8: \"+1\"}\nexpect: {error: {rule: known/b}}\n"),
    ])
    .unwrap();
    let Body::Codec(c) = &set.get("c").unwrap().body else {
        panic!()
    };
    assert_eq!(c.input, json!({"stream": "080100", "n": 2}));
    assert_eq!(c.expect, Expect::Result(json!({"a": 1})));
    let m = set.get("m").unwrap();
    assert_eq!(
        (m.spec.as_deref(), m.tags.as_slice(), m.description.as_str()),
        (Some("x"), &["t".to_owned()][..], "e")
    );
    let Body::Codec(c) = &m.body else { panic!() };
    assert_eq!(c.input, json!({"stream": "080101", "n": 2}));
}

#[test]
fn a_matrix_multiplies() {
    let text = format!(
        "{CODEC}matrix:\n  implementation: [reference, ldk-0.2]\n  input.x.amount: {{big one: \"1\", \"2\": \"2\"}}\n"
    );
    let text = text.replace("n: 1}", "n: 1, x: {}}");
    let set = load(&[("v.yaml", &text)]).unwrap();
    assert_eq!(
        ids(&set),
        [
            "v?implementation=reference&amount=1",
            "v?implementation=reference&amount=2",
            "v?implementation=ldk-0.2&amount=1",
            "v?implementation=ldk-0.2&amount=2"
        ]
    );
    let Body::Codec(c) = &set.cases[3].body else {
        panic!()
    };
    assert_eq!(
        (c.implementations.as_slice(), &c.input["x"]["amount"]),
        (&["ldk-0.2".to_owned()][..], &json!("2"))
    );
}

#[test]
fn a_matrix_of_a_scenario_takes_roles_hops_and_amounts() {
    let text = SCENARIO
        .replace("topology: pair", "topology: line-3")
        .replace("payee: any", "payee: any, forwarder: lnd");
    let text = format!(
        "{text}matrix:\n  hops: [1, 3]\n  roles: [{{payee: ldk-node}}]\n  steps.1.with.amount_msat: [\"1\"]\n"
    );
    let line = "nodes: {payer: {funded_sat: 1000000}, forwarder: {forwards: true, funded_sat: 1000000}, payee: {}}
channels:
  - {from: payer, to: forwarder, capacity_sat: 100000}
  - {from: forwarder, to: payee, capacity_sat: 100000}
connect: [[payer, payee]]
";
    let set = load(&[("s.yaml", &text), ("topologies/line-3.yaml", line)]).unwrap();
    assert_eq!(
        ids(&set),
        [
            "s?hops=1&roles=ldk-node&amount_msat=1",
            "s?hops=3&roles=ldk-node&amount_msat=1"
        ]
    );
    let roles: Vec<Vec<String>> = set
        .cases
        .iter()
        .map(|c| match &c.body {
            Body::Scenario(s) => {
                assert_eq!(s.topology.channels.len() + 1, s.topology.nodes.len());
                assert_eq!(s.roles["payee"], RoleChoice::Of(vec!["ldk-node".into()]));
                s.topology.nodes.keys().cloned().collect()
            }
            Body::Codec(_) => panic!(),
        })
        .collect();
    assert_eq!(roles[0], ["payee", "payer"]);
    assert_eq!(roles[1], ["forwarder", "forwarder-2", "payee", "payer"]);
}

#[test]
fn hidden_files_schemas_and_topologies_are_no_vectors() {
    let set = load(&[
        ("v.yaml", CODEC),
        (".w.yaml", "x"),
        ("schema/x.yaml", "x"),
        ("topologies/pair.yaml", PAIR),
        ("README.md", "x"),
        (".git/z.yaml", "x"),
    ])
    .unwrap();
    assert_eq!(ids(&set), ["v"]);
}

#[test]
fn the_hash_changes_with_content_and_name() {
    let hash = |name: &str, text: &str| load(&[(name, text)]).unwrap().hash;
    assert_eq!(hash("v.yaml", CODEC), hash("v.yaml", CODEC));
    assert_ne!(hash("v.yaml", CODEC), hash("w.yaml", CODEC));
    assert_ne!(hash("v.yaml", CODEC), hash("v.yaml", &format!("{CODEC}\n")));
}

#[test]
fn upstream_cases_stand_beside_ours_as_patterns() {
    let case = UpstreamCase {
        id: "upstream/x".into(),
        file: "bolt12/x.json".into(),
        line: 1,
        name: "n".into(),
        operation: "o".into(),
        input: json!({}),
        expect: UpstreamExpect::Result(json!({"note": "$absent"})),
        covers: vec![],
        spec: "bolt12".into(),
    };
    let set = Vectors::load(&[], std::slice::from_ref(&case), &Options::default()).unwrap();
    let Body::Codec(c) = &set.cases[0].body else {
        panic!()
    };
    assert_eq!(c.expect, Expect::Result(json!({"note": "$absent"})));
    assert_eq!(set.cases[0].origin, Origin::Upstream);
    let twice = Vectors::load(&[], &[case.clone(), case], &Options::default()).unwrap_err();
    assert!(twice[0].to_string().contains("two cases have the id"));
}

#[test]
fn a_clash_names_both_files() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&a, &b] {
        std::fs::write(dir.path().join("v.yaml"), CODEC).unwrap();
    }
    let roots = [&a, &b].map(|d| Root::Added(d.path().to_owned()));
    let problems = Vectors::load(&roots, &[], &Options::default()).unwrap_err();
    assert_eq!(problems.len(), 1);
    let text = problems[0].to_string();
    assert!(text.contains("the id `v` is that of"), "{text}");
    for dir in [&a, &b] {
        assert!(text.contains(&*dir.path().to_string_lossy()), "{text}");
    }
}

#[test]
fn a_missing_folder_is_a_diagnostic() {
    let problems = Vectors::load(
        &[Root::Added("no/such/folder".into())],
        &[],
        &Options::default(),
    )
    .unwrap_err();
    assert!(
        problems[0]
            .to_string()
            .starts_with("no/such/folder: cannot be read")
    );
}

/// The message of one mistaken file beside the good ones.
fn mistake(text: &str) -> String {
    match load(&[
        ("p.yaml", CODEC),
        ("s.yaml", SCENARIO),
        ("topologies/pair.yaml", PAIR),
        ("v.yaml", text),
    ]) {
        Ok(_) => format!("ACCEPTED: {text}"),
        Err(problems) => problems.join("\n"),
    }
}

#[test]
fn each_mistake_has_its_message() {
    let codec = |from: &str, to: &str| {
        assert!(CODEC.contains(from), "{from}");
        CODEC.replacen(from, to, 1)
    };
    let scenario = |from: &str, to: &str| {
        assert!(SCENARIO.contains(from), "{from}");
        SCENARIO.replacen(from, to, 1)
    };
    let child = |rest: &str| format!("description: d\ncovers: [known/a]\n{rest}\n");
    let expect = |e: &str| codec("{a: 1}", e);
    let mistakes = [
        codec("description: d", "description: ["),
        codec("description: d", "descripton: d"),
        codec("description: d", "description: ' '"),
        codec("description: d\n", ""),
        format!("{CODEC}description: d\n"),
        format!("{CODEC}format: 2\n"),
        codec("covers: [known/a]\n", ""),
        codec("covers: [known/a]", "covers: [known/a, known/c]"),
        codec("covers: [known/a]", "covers: [zebra/crossing/stripes]"),
        child(""),
        child("operation: o"),
        format!("{CODEC}roles: {{payer: any}}\n"),
        format!("{SCENARIO}operation: o\n"),
        format!("{SCENARIO}expect: {{}}\n"),
        codec("n: 1", "n: 4294967296"),
        codec("n: 1", "n: 1.5"),
        codec("n: 1", "n: -1"),
        codec("n: 1", "n: null"),
        codec("n: 1", "amount_msat: 5"),
        codec("n: 1", "bytes: 12"),
        codec("n: 1", "known: [1, 3]"),
        codec("n: 1", "records: [{type: \"1\", value: 10}]"),
        expect("{a: $hex(x)}"),
        expect("{a: $hax(3)}"),
        expect("{a: $payee.node_id}"),
        expect("{a: $fill}"),
        expect("{a: 1, error: {}}"),
        expect("{error: {rul: x}}"),
        expect("{error: {kind: invald}}"),
        expect("{error: {rule: known/c}}"),
        expect("{one_of: [{because: a}, {because: b, error: {rule: known/c}}]}"),
        expect("{error: any}"),
        expect("{one_of: [{because: a}]}"),
        expect("{one_of: [{because: a}, {x: 1}]}"),
        expect("{observe: a}"),
        expect("result"),
        expect(""),
        format!("{CODEC}provenance: {{txt: a}}\n"),
        format!("{CODEC}mutate: {{input.n: 2}}\n"),
        format!("{CODEC}resign: true\n"),
        child("extends: q"),
        child("extends: zebra"),
        child("extends: v"),
        child("extends: p\nmutate: {input.n: 2}"),
        child("extends: p\nexpect: {}\nmutate: {input.m: 2}"),
        child("extends: p\nexpect: {}\nmutate: {input.n: 1}"),
        child("extends: p\nexpect: {}\nmutate: {n: 2}"),
        child("extends: p\nexpect: {}\nmutate: {input.stream.9: {drop: true}}"),
        child("extends: p\nexpect: {}\nmutate: {input.n: {dorp: true}}"),
        child("extends: p\nexpect: {}\nmutate: {}"),
        child("extends: p\nexpect: {}\nmutate: {input.n: 2}\nresign: true"),
        child("extends: s\nexpect: {}"),
        child("extends: s\nmutate: {steps.9.with.amount_msat: \"2\"}"),
        format!("{CODEC}matrix: {{}}\n"),
        format!("{CODEC}matrix: {{input.n: []}}\n"),
        format!("{CODEC}matrix: {{roles: [{{payer: x}}]}}\n"),
        format!("{CODEC}matrix: {{n: [1]}}\n"),
        format!("{CODEC}matrix: {{input.n: [1, 1]}}\n"),
        format!("{CODEC}matrix: {{implementation: [1]}}\n"),
        format!("{SCENARIO}matrix: {{hops: [2]}}\n"),
        format!("{SCENARIO}matrix: {{implementation: [lnd]}}\n"),
        scenario("topology: pair", "topology: pear"),
        scenario("topology: pair\n", ""),
        scenario(
            "topology: pair",
            "topology: {nodes: {a: {}}, channels: [{from: a, to: b, capacity_sat: 1}]}",
        ),
        scenario("topology: pair", "topology: {node: {}}"),
        scenario("payee: any", "paye: any"),
        scenario("payee: any", "payee: []"),
        scenario("payee: any", "payee: codec"),
        scenario("payee: any", "payee: any, chain: codec"),
        scenario("payee: any", "payee: any, verifier: [codec]"),
        scenario("payee: any", "payee: any, verifier: any"),
        scenario("$payee.node_id", "$verifier.node_id").replacen(
            "payee: any",
            "payee: any, verifier: codec",
            1,
        ),
        scenario("bind: payment", "bind: verifier").replacen(
            "payee: any",
            "payee: any, verifier: codec",
            1,
        ),
        format!("{SCENARIO}options: {{verifier: {{a: 1}}}}\n").replacen(
            "payee: any",
            "payee: any, verifier: codec",
            1,
        ),
        scenario("on: payer", "on: payr"),
        scenario("on: payer", "on: chain"),
        scenario("on: chain", "on: payer"),
        scenario("on: payer", "onn: payer"),
        scenario("$payee.node_id", "$paye.node_id"),
        scenario("$payee.node_id", "$hex(33)"),
        scenario("$payee.node_id", "$"),
        scenario("with: {payment: $payment}", "with: {payment: $later}"),
        scenario("bind: payment", "bind: payer"),
        scenario("status: succeeded", "status: $paymnt"),
        scenario("status: succeeded", "error: {rule: known/c}"),
        scenario("deadline: 15s", "covers: [known/c]"),
        scenario("deadline: 15s", "deadline: 15"),
        scenario("deadline: 15s", "until: true"),
        scenario("name: paid", "name: Paid It"),
        scenario("amount_msat: \"1\"", "amount_msat: 1"),
        format!("{CODEC}cluster: own\n"),
        format!("{CODEC}options: {{a: {{}}}}\n"),
        "steps: 5\n".to_owned(),
        String::new(),
    ];
    let text: Vec<String> = mistakes.iter().map(|m| mistake(m)).collect();
    for (text, mistake) in text.iter().zip(&mistakes) {
        assert!(!text.starts_with("ACCEPTED"), "{mistake}");
    }
    insta::assert_snapshot!(text.join("\n"));
}

/// The scenario whose first step misbehaves, with what else is changed.
fn misbehaving(name: &str, old: &str, new: &str) -> String {
    SCENARIO
        .replacen("payer: [ldk-node, lnd]", "payer: [probe]", 1)
        .replacen(
            "bind: payment",
            &format!("bind: payment, misbehave: {name}"),
            1,
        )
        .replacen(old, new, 1)
}

#[test]
fn a_misbehaviour_goes_to_the_probe_in_its_params() {
    let scenario = scenario_of(&misbehaving("onion-hmac", "", "")).unwrap();
    assert_eq!(scenario.steps[0].with["misbehave"], "onion-hmac");
    assert_eq!(scenario.steps[1].with.get("misbehave"), None);
}

#[test]
fn a_misbehaviour_that_nobody_can_do_is_refused() {
    let refused = |name: &str, old: &str, new: &str| {
        let text = misbehaving(name, old, new);
        scenario_of(&text).unwrap_err()
    };
    let unknown = refused("onion-hmca", "", "");
    assert!(
        unknown.contains("there is no misbehaviour `onion-hmca`"),
        "{unknown}"
    );
    assert!(unknown.contains("onion-hmac"), "{unknown}");
    let other = refused("amp-early", "", "");
    assert!(
        other.contains("nothing that `keysend.send` can do wrong"),
        "{other}"
    );
    for roles in ["payer: any", "payer: [probe, lnd]", "payer: [lnd]"] {
        let others = refused("onion-hmac", "payer: [probe]", roles);
        assert!(others.contains("only `probe` misbehaves"), "{others}");
    }
    let param = refused(
        "onion-hmac",
        "amount_msat:",
        "misbehave: onion-hmac, amount_msat:",
    );
    assert!(param.contains("write it beside `with`"), "{param}");
}

#[test]
fn a_step_may_be_done_by_a_codec_or_by_the_harness() {
    let step = |text: &str| {
        let vector = format!("{SCENARIO}  - {text}\n");
        load(&[("s.yaml", &vector), ("topologies/pair.yaml", PAIR)])
            .map(|set| match &set.cases[0].body {
                Body::Scenario(s) => s.steps.last().unwrap().clone(),
                Body::Codec(_) => panic!("a codec vector"),
            })
            .map_err(|problems| problems.join("\n"))
    };
    let taken = step(
        "{on: codec, do: made.up, with: {chain_hash: $run.chain_hash, now: $run.now, n: [$run.nonce, $run.nonce-2]}, bind: x}",
    )
    .unwrap();
    assert_eq!(
        (taken.on.as_str(), taken.operation.as_str()),
        ("codec", "made.up")
    );
    for good in [
        "{on: harness, do: file.write, with: {name: receipt, bytes: \"00\"}}",
        "{on: harness, do: file.read, with: {name: receipt}, expect: {bytes: \"00\"}}",
        "{on: harness, do: values.keep, with: {past: $run.past, future: $run.future}}",
        "{on: codec, do: x, expect: {time: $run.now}}",
    ] {
        step(good).unwrap();
    }
    for (wrong, said) in [
        (
            "{on: harness, do: file.wriet}",
            "the harness has no operation `file.wriet`; did you mean `file.write`?",
        ),
        (
            "{on: payer, do: file.read}",
            "`file.read` is not done by a node; write `on: harness`",
        ),
        (
            "{on: codec, do: chain.mine}",
            "`chain.mine` is not done by a node; write `on: chain`",
        ),
        ("{on: codce, do: x}", "did you mean `codec`?"),
        (
            "{on: codec, do: x, with: {a: $run.nwo}}",
            "`$run.nwo` is no value of the run; did you mean `now`?",
        ),
        (
            "{on: codec, do: x, with: {a: $run}}",
            "`$run` alone is no value",
        ),
        (
            "{on: codec, do: x, expect: {a: $run.now.x}}",
            "`$run.now.x` is no value of the run",
        ),
        ("{on: codec, do: x, bind: codec}", "`codec` cannot be bound"),
        (
            "{on: codec, do: x, bind: harness}",
            "`harness` cannot be bound",
        ),
        ("{on: codec, do: x, bind: run}", "`run` cannot be bound"),
    ] {
        let problem = step(wrong).unwrap_err();
        assert!(problem.contains(said), "{wrong}: {problem}");
    }
}

fn scenario_of(text: &str) -> Result<Scenario, String> {
    load(&[("s.yaml", text), ("topologies/pair.yaml", PAIR)])
        .map(|set| match &set.cases[0].body {
            Body::Scenario(s) => s.clone(),
            Body::Codec(_) => panic!("a codec vector"),
        })
        .map_err(|problems| problems.join("\n"))
}

#[test]
fn options_of_a_scenario_go_over_those_of_its_topology() {
    let pair = PAIR.replace("payee: {}", "payee: {options: {a: 1, b: x}}");
    let child =
        "description: d\ncovers: [known/a]\nextends: s\noptions: {payee: {b: y, c: true}}\n";
    let set = load(&[
        (
            "s.yaml",
            &format!("{SCENARIO}options: {{payer: {{d: 2}}}}\n"),
        ),
        ("t.yaml", child),
        ("topologies/pair.yaml", &pair),
    ])
    .unwrap();
    let options = |id: &str, role: &str| match &set.get(id).unwrap().body {
        Body::Scenario(s) => json!(s.topology.nodes[role].options),
        Body::Codec(_) => panic!("a codec vector"),
    };
    assert_eq!(options("s", "payee"), json!({"a": 1, "b": "x"}));
    assert_eq!(options("s", "payer"), json!({"d": 2}));
    assert_eq!(options("t", "payee"), json!({"a": 1, "b": "y", "c": true}));
    assert_eq!(options("t", "payer"), json!({"d": 2}));
    for (wrong, said) in [
        ("{paye: {a: 1}}", "did you mean `payee`?"),
        ("{payee: {forwards: true}}", "write `forwards` beside"),
        ("{payee: {announce: true}}", "write `announced` beside"),
        ("{payee: {a: $payer.node_id}}", "an option is literal"),
        ("{payee: {a: 4294967296}}", "quote it"),
    ] {
        let problem = scenario_of(&format!("{SCENARIO}options: {wrong}\n")).unwrap_err();
        assert!(problem.contains(said), "{wrong}: {problem}");
    }
    let problem = load(&[(
        "topologies/pair.yaml",
        &PAIR.replace("payee: {}", "payee: {options: {forwards: true}}"),
    )])
    .unwrap_err();
    assert!(
        problem[0].contains("write `forwards` beside"),
        "{problem:?}"
    );
}

#[test]
fn who_disturbs_others_has_a_cluster_for_itself() {
    let own = |text: &str| scenario_of(text).unwrap().own_cluster;
    let step = |text: &str| own(&format!("{SCENARIO}{text}"));
    let intercept = |on: &str, role: &str| {
        format!("  - {{on: {role}, do: htlc.intercept, with: {{on: {on}}}}}\n")
    };
    assert!(!own(SCENARIO));
    assert!(!step("cluster: shared\n"));
    assert!(step("cluster: own\n"));
    assert!(step("  - {on: payee, do: node.stop, with: {how: kill}}\n"));
    assert!(step("  - {on: payee, do: node.start}\n"));
    assert!(step(&intercept("true", "payee")));
    assert!(!step(
        &(intercept("true", "payee") + &intercept("false", "payee"))
    ));
    assert!(step(
        &(intercept("true", "payee") + &intercept("false", "payer"))
    ));
    assert!(scenario_of(&format!("{SCENARIO}cluster: mine\n")).is_err());
}

#[test]
fn a_need_may_be_that_of_one_role() {
    let needs = |needs: &str| scenario_of(&format!("{SCENARIO}needs: [\"{needs}\"]\n"));
    needs("amp/lnd").unwrap();
    needs("payee: amp/lnd").unwrap();
    let problem = needs("paye: amp/lnd").unwrap_err();
    assert!(problem.contains("did you mean `payee`?"), "{problem}");
}

#[test]
fn mistakes_of_topologies_and_names_have_their_message() {
    let topology = |from: &str, to: &str| {
        assert!(PAIR.contains(from), "{from}");
        match load(&[("topologies/t.yaml", &PAIR.replacen(from, to, 1))]) {
            Ok(_) => format!("ACCEPTED: {to}"),
            Err(problems) => problems.join("\n"),
        }
    };
    let name = |name: &str| {
        load(&[(name, CODEC)]).map_or_else(|p| p.join("\n"), |_| format!("ACCEPTED: {name}"))
    };
    let all = [
        topology("to: payee", "to: paye"),
        topology("to: payee", "to: payer"),
        topology("\"1000\"", "\"100000001\""),
        topology("\"1000\"", "1000"),
        topology("1000000}", "100}"),
        topology("channels-usable", "channel-usable"),
        topology("payee: {}", "payee: {}, any: {}"),
        topology("capacity_sat", "capacity"),
        name("a b.yaml"),
        name("a?b.yaml"),
        name("upstream/a.yaml"),
        name("a.yml"),
    ];
    assert!(all.iter().all(|t| !t.starts_with("ACCEPTED")), "{all:?}");
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn all_mistakes_are_collected_and_a_bad_parent_is_reported_once() {
    let problems = load(&[
        ("a.yaml", "descripton: d\n"),
        ("b.yaml", "description: d\ncovers: [known/a]\nextends: a\n"),
        ("c.yaml", &CODEC.replace("n: 1", "n: 1.5")),
    ])
    .unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    let ring = load(&[
        ("a.yaml", "description: d\ncovers: [known/a]\nextends: b\n"),
        ("b.yaml", "description: d\ncovers: [known/a]\nextends: a\n"),
    ])
    .unwrap_err();
    assert_eq!(
        ring,
        [
            "b.yaml:3:10: `extends` goes round in a circle: a → b → a; a parent must stand on its own"
        ]
    );
}

#[test]
fn the_repositorys_own_vectors_are_sound_and_the_embedded_copy_is_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors");
    let catalogue = lnconform_spec::Catalogue::embedded().unwrap();
    let options = Options {
        requirements: Some(&catalogue),
        ..Options::default()
    };
    let show = |p: Vec<Diagnostic>| {
        p.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let disk = Vectors::load(&[Root::BuiltIn(folder)], &[], &options)
        .map_err(show)
        .unwrap_or_else(|e| panic!("{e}"));
    let inside = Vectors::load(&[Root::Embedded], &[], &options)
        .map_err(show)
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(disk.hash, inside.hash);
    assert_eq!(ids(&disk), ids(&inside));
    assert!(disk.cases.len() > 60, "{}", disk.cases.len());
    for case in &disk.cases {
        // Every negative of ours names its rule, and covers it.
        if let Body::Codec(Codec {
            expect: Expect::Error(e),
            ..
        }) = &case.body
        {
            let rule = e
                .rule
                .as_ref()
                .unwrap_or_else(|| panic!("{} names no rule", case.id));
            assert!(
                case.covers.contains(rule),
                "{} does not cover {rule}",
                case.id
            );
        }
        assert!(
            case.provenance.is_some() || matches!(case.body, Body::Scenario(_)),
            "{} has no provenance",
            case.id
        );
    }
}

/// Loads 1,000 vectors; run by hand in an optimised build, the figure is printed.
#[test]
fn a_thousand_vectors_load_fast() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..1000 {
        let text = CODEC.replace("n: 1", &format!("n: {i}"));
        std::fs::create_dir_all(dir.path().join(format!("d{}", i % 20))).unwrap();
        std::fs::write(dir.path().join(format!("d{}/v{i}.yaml", i % 20)), text).unwrap();
    }
    let start = std::time::Instant::now();
    let set = Vectors::load(
        &[Root::Added(dir.path().to_owned())],
        &[],
        &Options::default(),
    )
    .unwrap();
    let took = start.elapsed();
    println!("1000 vectors in {} ms", took.as_millis());
    assert_eq!(set.cases.len(), 1000);
    // A loose bound that an unoptimised build keeps too; the benchmark holds the tight one.
    assert!(took < Duration::from_secs(3), "{took:?}");
}

fn any_yaml() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just(String::new()),
        "(description|covers|operation|input|expect|extends|mutate|matrix|steps|topology|roles|tags|format): [\\[\\]{}a-z$0-9:,\"'*&!|> .+-]{0,20}",
        "  ?- ?\\{?[a-z]{0,4}: [a-z0-9$\\[\\]{}]{0,8}\\}?",
        "[\\x00-\\x7f]{0,12}",
    ];
    prop::collection::vec(line, 0..12).prop_map(|l| l.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn no_yaml_makes_the_loader_panic(text in any_yaml()) {
        let _ = load(&[("p.yaml", CODEC), ("v.yaml", &text)]);
    }

    #[test]
    fn ids_are_unique(n in prop::collection::vec(0u32..5, 1..6), amounts in prop::collection::vec("[a-z /]{0,50}", 1..4)) {
        let text = format!("{CODEC}matrix: {{input.n: {n:?}, input.x: {}}}\n", json!(amounts));
        match load(&[("v.yaml", &text), ("w.yaml", CODEC)]) {
            Ok(set) => {
                let distinct: BTreeSet<_> = set.cases.iter().map(|c| &c.id).collect();
                prop_assert_eq!(distinct.len(), set.cases.len());
                prop_assert_eq!(set.cases.len(), n.len() * amounts.len() + 1);
            }
            Err(problems) => prop_assert!(problems[0].contains("two cases have the id"), "{problems:?}"),
        }
    }
}

#[test]
fn no_key_of_an_embedded_vector_stands_twice() {
    // Since the loader does not look for them there.
    let text = "description: d\ninput:\n  a: 1\n  a: 2\n";
    assert!(lnconform_yaml::duplicate_key(text).is_some());
    fn look(dir: &Dir<'_>) -> usize {
        let yaml = |f: &&include_dir::File<'_>| f.path().extension().is_some_and(|e| e == "yaml");
        let mut files = 0;
        for file in dir.files().filter(yaml) {
            let twice = lnconform_yaml::duplicate_key(file.contents_utf8().unwrap());
            assert_eq!(twice, None, "{}", file.path().display());
            files += 1;
        }
        files + dir.dirs().map(look).sum::<usize>()
    }
    assert!(look(&EMBEDDED) > 1000);
}
