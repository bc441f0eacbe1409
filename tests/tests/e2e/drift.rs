//! `spec drift`: each edit of a text is named, and nothing else.

use crate::{screen, screens};
use lnconform_tests::{Place, Ran, not_run, repository, upstream};
use serde_json::Value;
use std::process::Command;

const MOVED: &str = "  - SHOULD use a `payer_key` of its own for every recipient.\n";
const STORED: &str =
    "  - MUST store `commitment` and the receipt durably before it releases the preimage.\n";

/// Five edits of our own draft of keysend proofs: a keyword, other words, a statement that is gone, a
/// new one, and one that goes elsewhere.
fn edited(draft: &str) -> String {
    let mut text = draft.to_owned();
    for (from, to) in [
        (
            "MUST set `version` of the request",
            "SHOULD set `version` of the request",
        ),
        (
            "what it received is more than twice `amount_msat`",
            "what it received is more than three times `amount_msat`",
        ),
        (
            "  - MUST set `amount_msat` above 0.\n",
            "  - MUST round nothing.\n",
        ),
        (MOVED, ""),
        (STORED, &format!("{MOVED}{STORED}")),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    text
}

/// What `--format json` says of the changes of the only text that differs: kind, whether it moved,
/// and the entries.
fn changes(ran: &Ran) -> Vec<(String, bool, Vec<String>)> {
    let json = ran.json();
    let texts = json["texts"].as_array().unwrap();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    assert_eq!(
        texts[0]["beside"],
        serde_json::json!({"sentences": 0, "code_lines": 0})
    );
    assert_eq!(texts[0]["sections"], serde_json::json!([]));
    let strings = |v: &Value| -> Vec<String> {
        let all = v.as_array().unwrap().iter();
        all.map(|s| s.as_str().unwrap().to_owned()).collect()
    };
    let all = texts[0]["changes"].as_array().unwrap().iter();
    all.map(|c| {
        let kind = c["kind"].as_str().unwrap().to_owned();
        (kind, c["moved"] == true, strings(&c["entries"]))
    })
    .collect()
}

/// A place with our draft in `old/` and the edited one in `new/`.
fn drafts() -> Place {
    let place = Place::new();
    let draft = std::fs::read_to_string(repository("specs/drafts/keysend-proof.md")).unwrap();
    place
        .write("old/keysend-proof.md", &draft)
        .write("new/keysend-proof.md", &edited(&draft));
    for side in ["old", "new"] {
        place.write(&format!("{side}/other.md"), "# Other\n\n- MUST stay\n");
    }
    place
}

fn want() -> Vec<(String, bool, Vec<String>)> {
    [
        ("keyword", false, "keysend-proof/payer/version"),
        ("gone", false, "keysend-proof/payer/amount-positive"),
        ("new", false, ""),
        ("changed", false, "keysend-proof/recipient/amount-most"),
        ("moved", true, "keysend-proof/payer/key-per-recipient"),
    ]
    .into_iter()
    .map(|(kind, moved, entry)| {
        let entries = Some(entry.to_owned()).filter(|e| !e.is_empty());
        (kind.to_owned(), moved, entries.into_iter().collect())
    })
    .collect()
}

#[test]
fn five_edits_of_a_draft_are_named_and_nothing_else() {
    let place = drafts();
    let json = place
        .run(&["spec", "drift", "old", "new", "--format", "json"])
        .code(0);
    assert_eq!(changes(&json), want());
    assert_eq!(json.json()["same"], 1, "the other text");
    let text = place.run(&["spec", "drift", "old", "new"]).code(0);
    let markdown = place
        .run(&[
            "spec",
            "drift",
            "old/keysend-proof.md",
            "new/keysend-proof.md",
            "--format",
            "markdown",
        ])
        .code(0);
    let same = place.run(&["spec", "drift", "old", "old"]).code(0);
    let other = place
        .run(&["spec", "drift", "old", "new", "--spec", "bolt12"])
        .code(0);
    screen!("spec_drift", screens(&[text, markdown, same, other]));
}

#[test]
fn what_hangs_on_a_statement_is_there() {
    let place = drafts();
    let json = place
        .run(&["spec", "drift", "old", "new", "--format", "json"])
        .code(0);
    let changed = &json.json()["texts"][0]["changes"][3];
    let listed = |what: &str| -> Vec<String> {
        let all = changed[what].as_array().unwrap().iter();
        all.map(|s| s.as_str().unwrap().to_owned()).collect()
    };
    let list = place
        .run(&[
            "list",
            "--requirement",
            "keysend-proof/recipient/amount-most",
            "--format",
            "json",
        ])
        .code(0)
        .json();
    let mut covering: Vec<&str> = list["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| {
            let ids = check["requirements"].as_array().unwrap();
            ids.iter()
                .any(|id| id == "keysend-proof/recipient/amount-most")
        })
        .map(|check| check["id"].as_str().unwrap())
        .collect();
    covering.sort_unstable();
    assert!(!covering.is_empty());
    assert_eq!(listed("checks"), covering);
    let snapshots = listed("snapshots");
    assert!(!snapshots.is_empty());
    for path in snapshots {
        assert!(repository(&path).is_file(), "{path}");
    }
}

#[test]
fn revisions_of_a_checkout_are_compared() {
    let place = drafts();
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=A", "-c", "user.email=a@example.org"]);
        git.args(args).current_dir(place.path("checkout"));
        let output = git.output().expect("the tests need git");
        assert!(output.status.success(), "{output:?}");
    };
    place.write(
        "checkout/drafts/keysend-proof.md",
        &place.read("old/keysend-proof.md"),
    );
    git(&["init", "--quiet", "--initial-branch=trunk"]);
    for side in ["old", "new"] {
        place.write(
            "checkout/drafts/keysend-proof.md",
            &place.read(&format!("{side}/keysend-proof.md")),
        );
        git(&["add", "."]);
        git(&["commit", "--quiet", "--allow-empty", "-m", side]);
    }
    for specs in ["checkout", "checkout/drafts"] {
        let args = [
            "spec", "drift", "trunk~1", "trunk", "--specs", specs, "--format", "json",
        ];
        assert_eq!(changes(&place.run(&args).code(0)), want(), "{specs}");
    }
    // A folder on one side.
    let args = [
        "spec",
        "drift",
        "old",
        "trunk",
        "--specs",
        "checkout/drafts",
        "--format",
        "json",
    ];
    let json = place.run(&args).code(0).json();
    assert_eq!(json["texts"][0]["text"], "keysend-proof.md");
    assert_eq!(
        json["texts"][1]["state"], "gone",
        "only the folder has the other text"
    );

    let no_path = place.run(&["spec", "drift", "trunk", "new"]).code(2);
    let no_revision = place
        .run(&["spec", "drift", "nowhere", "trunk", "--specs", "checkout"])
        .code(2);
    let file = place.run(&["spec", "drift", "old/other.md", "new"]).code(2);
    let no_catalogue = place
        .run(&["spec", "drift", "old", "new", "--spec", "bolt99"])
        .code(2);
    screen!(
        "spec_drift_mistakes",
        screens(&[no_path, no_revision, file, no_catalogue])
    );
}

/// One bullet of a text, alone in its line, whose next line is a bullet beside it: what is done to it
/// is done to no other statement.
fn lone_bullets(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let bullet = |line: &str| line.trim_start().starts_with("- ");
    let once = |line: &str| lines.iter().filter(|l| l.trim() == line.trim()).count() == 1;
    (1..lines.len().saturating_sub(2))
        .filter(|i| {
            let beside = |line: &str| bullet(line) && indent(line) == indent(lines[*i]);
            let word = lines[*i]
                .trim_start()
                .strip_prefix("- ")
                .unwrap_or_default();
            beside(lines[*i])
                && beside(lines[i + 1])
                && (bullet(lines[i + 2]) && indent(lines[i + 2]) <= indent(lines[*i])
                    || lines[i + 2].is_empty())
                && word.starts_with("MUST ")
                && !word.starts_with("MUST NOT")
                && word.split(' ').count() > 4
                && once(lines[*i])
        })
        .collect()
}

/// Where the texts of the specifications are at hand: five edits of BOLT 12, made by their place.
#[test]
fn five_edits_of_bolt_12_are_named_and_nothing_else() {
    let Some(specs) = upstream() else { return };
    let Ok(text) = std::fs::read_to_string(specs.join("bolts/12-offer-encoding.md")) else {
        not_run("upstream", "LNCONFORM_SPECS names no folder with BOLT 12");
        return;
    };
    let found = lone_bullets(&text);
    // Far from each other, so that none of the edits touches another.
    let mut chosen: Vec<usize> = Vec::new();
    for line in found {
        if chosen.last().is_none_or(|last| last + 3 < line) {
            chosen.push(line);
        }
    }
    assert!(chosen.len() > 9, "{}", chosen.len());
    let chosen: Vec<usize> = (0..5).map(|i| chosen[i * (chosen.len() - 1) / 4]).collect();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let was = |line: usize| {
        text.lines()
            .nth(line)
            .unwrap()
            .trim()
            .trim_start_matches("- ")
            .to_owned()
    };
    // From the end, so that the places above stay what they are.
    lines.remove(chosen[4]);
    lines.swap(chosen[3], chosen[3] + 1);
    let indent: String = lines[chosen[2]].chars().take_while(|c| *c == ' ').collect();
    lines.insert(
        chosen[2],
        format!("{indent}- MUST juggle seven oranges every morning."),
    );
    lines[chosen[1]].push_str(" indeed");
    lines[chosen[0]] = lines[chosen[0]].replacen("MUST", "SHOULD", 1);

    let place = Place::new();
    let new = lines.join("\n") + "\n";
    place
        .write("old/12-offer-encoding.md", &text)
        .write("new/12-offer-encoding.md", &new);
    let ran = place
        .run(&["spec", "drift", "old", "new", "--format", "json"])
        .code(0);
    let all = changes(&ran);
    let kinds: Vec<&str> = all.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["keyword", "changed", "new", "moved", "gone"],
        "{all:?}"
    );
    let json = ran.json();
    let own = |change: usize, side: &str| {
        let one = &json["texts"][0]["changes"][change][side]["own"];
        one.as_str().unwrap().to_owned()
    };
    assert_eq!(own(0, "old"), was(chosen[0]));
    assert_eq!(own(1, "new"), format!("{} indeed", was(chosen[1])));
    assert_eq!(own(2, "new"), "MUST juggle seven oranges every morning.");
    // Of two that changed places, either one has moved.
    assert!([was(chosen[3]), was(chosen[3] + 1)].contains(&own(3, "old")));
    assert_eq!(own(4, "old"), was(chosen[4]));
    // BOLT 12 is catalogued whole.
    for (kind, _, entries) in &all {
        assert_eq!(entries.is_empty(), kind == "new", "{all:?}");
    }
}
