//! The GitHub action and the workflows: the action's shell steps are played here as GitHub plays
//! them, and what keeps them harmless is looked at.

use crate::{bigsize, place, screen};
use lnconform_tests::{Place, binary, repository};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) const ACTION: &str = ".github/actions/conformance";

pub(crate) fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What the action did: output of the steps, outputs of the action, the page of the run.
struct Played {
    screen: String,
    outputs: BTreeMap<String, String>,
    code: i32,
}

/// `${{ … }}` with a name in it becomes its value; anything else is a mistake of the action's.
fn expand(expression: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = expression;
    while let Some((before, after)) = rest.split_once("${{") {
        let (name, after) = after.split_once("}}").expect("an expression ends");
        let value = known.get(name.trim());
        out += before;
        out += value.unwrap_or_else(|| panic!("nobody knows {}", name.trim()));
        rest = after;
    }
    out + rest
}

/// The steps with `run`, one after the other, in a place; those with `uses` are somebody else's and
/// left out. As on GitHub, a step that fails ends it.
fn play(place: &Place, inputs: &[(&str, &str)]) -> Played {
    let action = yaml(&repository(ACTION).join("action.yml"));
    let mut known = BTreeMap::new();
    for (name, input) in action["inputs"].as_object().expect("inputs") {
        known.insert(format!("inputs.{name}"), text(&input["default"]).to_owned());
    }
    for (name, value) in inputs {
        let before = known.insert(format!("inputs.{name}"), (*value).to_owned());
        assert!(before.is_some(), "the action has no input {name}");
    }
    let folder = repository(ACTION);
    known.insert("github.action_path".into(), folder.display().to_string());
    known.insert("github.action_repository".into(), "owner/lnconform".into());
    known.insert("runner.temp".into(), place.tmp().display().to_string());
    for step in action["runs"]["steps"].as_array().expect("steps") {
        let outputs = place.path("outputs");
        let page = place.path("page.md");
        let Some(run) = step["run"].as_str() else {
            continue;
        };
        std::fs::write(&outputs, "").unwrap();
        let mut command = place.within(Path::new("bash"), &["-eo", "pipefail", "-c", run]);
        let none = Map::new();
        for (name, value) in step["env"].as_object().unwrap_or(&none) {
            command.env(name, expand(text(value), &known));
        }
        command
            .env("GITHUB_OUTPUT", &outputs)
            .env("GITHUB_STEP_SUMMARY", &page);
        let ran = place.finish(command, &[], "");
        known.entry("log".into()).or_default().push_str(&format!(
            "-- {}\n{}{}",
            step["name"].as_str().unwrap_or("step"),
            ran.stdout,
            ran.stderr
        ));
        for line in std::fs::read_to_string(&outputs).unwrap().lines() {
            let (name, value) = line.split_once('=').expect("an output is NAME=VALUE");
            known.insert(
                format!("steps.{}.outputs.{name}", text(&step["id"])),
                value.into(),
            );
        }
        let last = ran.code.unwrap_or(-1);
        let page = std::fs::read_to_string(&page).unwrap_or_default();
        let screen = ran.redacted(&format!("{}-- page\n{page}", known["log"]));
        known.insert("screen".into(), screen);
        known.insert("code".into(), last.to_string());
        if last != 0 {
            break;
        }
    }
    let outputs = action["outputs"].as_object().expect("outputs").iter();
    Played {
        outputs: outputs
            .filter_map(|(name, output)| {
                let from = text(&output["value"]).replace("${{", "").replace("}}", "");
                Some((name.clone(), known.get(from.trim())?.clone()))
            })
            .collect(),
        screen: known["screen"].clone(),
        code: known["code"].parse().unwrap(),
    }
}

fn said(played: &Played) -> String {
    let outputs = json!(played.outputs);
    let outputs = serde_json::to_string_pretty(&outputs).unwrap();
    format!(
        "{}-- outputs\n{outputs}\nexit code {}\n",
        played.screen, played.code
    )
}

#[test]
fn a_good_and_a_bad_adapter() {
    let place = place();
    let binary = binary().display().to_string();
    let filters = "  bolt01/bigsize/decode-*\n\nbolt01/bigsize/*-minimal*\n";
    let with = |adapter: &str, more: &[(&str, &str)]| {
        let inputs = [
            ("binary", &*binary),
            ("filters", filters),
            ("adapter", adapter),
        ];
        play(&place, &[&inputs[..], more].concat())
    };
    let good = with(&bigsize("good", "right"), &[]);
    assert_eq!(good.code, 0, "{}", said(&good));
    screen!("action_good", said(&good));
    std::fs::copy(
        place.path(".lnconform/last.jsonl"),
        place.path("before.jsonl"),
    )
    .unwrap();
    std::fs::remove_file(place.path("page.md")).unwrap();

    let bad = with(&bigsize("good", "off-by-one"), &[]);
    assert_eq!(
        (bad.code, &*bad.outputs["verdict"]),
        (1, "failed"),
        "{}",
        said(&bad)
    );
    screen!("action_bad", said(&bad));
    for file in ["report.html", "junit.xml", "badge.json"] {
        assert!(place.path(".lnconform").join(file).is_file(), "{file}");
    }
    std::fs::copy(
        place.path(".lnconform/last.jsonl"),
        place.path("known.jsonl"),
    )
    .unwrap();

    // Against an earlier run only what is new counts.
    let new = with(
        &bigsize("good", "off-by-one"),
        &[("baseline", "before.jsonl")],
    );
    assert_eq!(new.code, 1, "{}", said(&new));
    let old = with(
        &bigsize("good", "off-by-one"),
        &[("baseline", "known.jsonl")],
    );
    assert_eq!(
        (old.code, &*old.outputs["verdict"]),
        (0, "passed"),
        "{}",
        said(&old)
    );
    // A mistake of the user's is told as one.
    let none = with(&bigsize("good", "right"), &[("set", "nowhere")]);
    assert_eq!(
        (none.code, &*none.outputs["exit-code"]),
        (2, "2"),
        "{}",
        said(&none)
    );
}

/// Inputs are data, whatever is written in them.
#[test]
fn inputs_are_never_run() {
    let place = place();
    let binary = binary().display().to_string();
    let evil = "bolt01/$(touch pwned)`touch pwned`; touch pwned\n--results=pwned\n'\"";
    let inputs = [
        "filters",
        "set",
        "specs",
        "expectations",
        "baseline",
        "version",
    ];
    for input in inputs {
        let mut given = vec![
            ("binary", &*binary),
            ("adapter", "reference"),
            ("filters", "bolt01/bigsize/decode-0"),
        ];
        given.retain(|(name, _)| *name != input);
        given.push((input, evil));
        let played = play(&place, &given);
        assert_ne!(played.code, 127, "{}", said(&played));
        assert!(!place.path("pwned").exists(), "{input}: {}", said(&played));
    }
}

/// Without a binary a release is taken by its checksum, and nothing else.
#[test]
fn a_release_is_taken_by_its_checksum() {
    let mut place = place();
    let kept = place.path("bin");
    let curl = "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = --output ] && cp \"$ARCHIVE\" \"$2\"; shift; done\n";
    place.program("bin/curl", curl);
    let path = format!("{}:{}", kept.display(), std::env::var("PATH").unwrap());
    place.env("PATH", path);
    let archive = place.path("archive.tar.gz");
    place.env("ARCHIVE", &archive);
    // An action of its own, whose list of releases has one.
    let own = place.path("own/.github/actions/conformance");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::copy(repository(ACTION).join("get.sh"), own.join("get.sh")).unwrap();
    place.write("own/Cargo.toml", "version = \"9.9.9\"\n");
    let name = format!(
        "lnconform-v9.9.9-{}-unknown-linux-gnu",
        std::env::consts::ARCH
    );
    place.program(
        &format!("made/{name}/lnconform"),
        "#!/bin/sh\necho lnconform 9.9.9\n",
    );
    let made = place.path("made");
    let made = made.to_str().unwrap();
    let tar = place.within(
        Path::new("tar"),
        &["-czf", archive.to_str().unwrap(), "-C", made, &name],
    );
    assert_eq!(place.finish(tar, &[], "").code, Some(0));
    let sum = place.within(Path::new("sha256sum"), &[archive.to_str().unwrap()]);
    let sum = place.finish(sum, &[], "").stdout;
    let sum = sum.split(' ').next().unwrap().to_owned();
    let get = |sum: &str, version: &str| {
        let list = format!(
            "# a comment\nv9.9.9 {}-unknown-linux-gnu {sum}\n",
            std::env::consts::ARCH
        );
        place.write("own/.github/actions/conformance/releases.txt", &list);
        let script = own.join("get.sh");
        let mut command = place.within(Path::new("bash"), &[script.to_str().unwrap()]);
        let keep: PathBuf = place.path("keep");
        let _ = std::fs::remove_dir_all(&keep);
        command
            .envs([
                ("BINARY", ""),
                ("VERSION", version),
                ("REPOSITORY", "owner/lnconform"),
            ])
            .env("ACTION", &own)
            .env("KEEP", &keep)
            .env("GITHUB_OUTPUT", place.path("outputs"));
        place.finish(command, &[], "")
    };
    let got = get(&sum, "");
    assert_eq!(
        (got.code, &*got.stdout),
        (Some(0), "lnconform 9.9.9\n"),
        "{}",
        got.screen()
    );
    let changed = get(&"0".repeat(64), "v9.9.9");
    assert_eq!(changed.code, Some(5), "{}", changed.screen());
    assert!(
        changed.stdout.contains("is not what was released"),
        "{}",
        changed.screen()
    );
    assert!(!place.path("keep/v9.9.9").exists());
    let unknown = get(&sum, "v1.2.3");
    assert_eq!(unknown.code, Some(2), "{}", unknown.screen());
    for written in ["v1;ls", "9.9.9", "latest"] {
        let none = get(&sum, written);
        assert_eq!(none.code, Some(2), "{}", none.screen());
        let told = "write it as v9.9.9";
        assert!(none.stdout.contains(told), "{written}: {}", none.screen());
    }
}

/// Every workflow and the action: code of others by its hash, rights as few as they can be,
/// and nothing from outside pasted into a script.
#[test]
fn workflows_keep_to_least_privilege() {
    let folder = repository(".github/workflows");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.push(repository(ACTION).join("action.yml"));
    assert!(files.len() > 3);
    for file in files {
        let what = yaml(&file);
        let name = file.display();
        let none = json!({});
        let jobs = what.get("jobs").unwrap_or(&none).as_object().unwrap();
        if !jobs.is_empty() {
            assert_eq!(what["permissions"], json!({"contents": "read"}), "{name}");
        }
        let mut steps: Vec<(&Value, &Value)> = Vec::new();
        for job in jobs.values() {
            let own = job["steps"].as_array().into_iter().flatten();
            steps.extend(own.map(|step| (step, &job["permissions"])));
            assert!(
                job["timeout-minutes"].is_number(),
                "{name}: a job without an end"
            );
        }
        let composite = what["runs"]["steps"].as_array().into_iter().flatten();
        steps.extend(composite.map(|step| (step, &Value::Null)));
        assert!(!steps.is_empty(), "{name}");
        for (step, rights) in steps {
            if let Some(uses) = step["uses"].as_str().filter(|u| !u.starts_with("./")) {
                let (action, hash) = uses.split_once('@').expect("an action has a version");
                let pinned = hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
                assert!(pinned, "{name}: {uses} is not pinned by hash");
                // What may write is GitHub's own.
                let writes = rights
                    .as_object()
                    .is_some_and(|r| r.values().any(|v| v == "write"));
                assert!(!writes || action.starts_with("actions/"), "{name}: {uses}");
                if action == "actions/checkout" {
                    assert_eq!(step["with"]["persist-credentials"], json!(false), "{name}");
                }
            }
            let run = text(&step["run"]);
            assert!(
                !run.contains("${{"),
                "{name}: an expression in a script: {run}"
            );
        }
    }
}

/// The page about the action has its inputs and outputs, and shows steps that it and the rules above take.
#[test]
fn the_page_has_every_input_and_output_and_its_examples_fit() {
    let page = std::fs::read_to_string(repository("docs/actions.md")).unwrap();
    let action = yaml(&repository(ACTION).join("action.yml"));
    let inputs = action["inputs"].as_object().unwrap();
    let names = inputs
        .keys()
        .chain(action["outputs"].as_object().unwrap().keys());
    let missing: Vec<_> = names
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/actions.md does not name {missing:?}"
    );

    let fenced = page.split("```yaml\n").skip(1);
    let shown: Vec<Value> = fenced
        .filter_map(|rest| rest.split("```").next())
        .map(|text| serde_yaml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}")))
        .collect();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["permissions"], json!({"contents": "read"}));
    let whole = shown[0]["jobs"]["conformance"]["steps"].as_array();
    let steps = whole.into_iter().chain(shown[1].as_array()).flatten();
    let mut ours = 0;
    for step in steps {
        let Some(uses) = step["uses"].as_str() else {
            continue;
        };
        if uses == "OWNER/lnconform/.github/actions/conformance@COMMIT" {
            ours += 1;
            for name in step["with"].as_object().unwrap().keys() {
                assert!(inputs.contains_key(name), "the action has no input {name}");
            }
            continue;
        }
        let hash = uses.split_once('@').map_or("", |(_, hash)| hash);
        assert!(hash.len() == 40, "{uses} is not pinned by hash");
    }
    assert_eq!(ours, 2);
}
