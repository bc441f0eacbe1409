use super::*;
use crate::text::statements;
use std::path::Path;

const TEXT: &str = "\
# A Made-up Protocol

Nodes greet. They SHOULD be kind.

## Greeting

A greeter:
  - MUST say hello to everybody in the room.
  - MUST shake hands with whoever offers one.
  - if it is late:
    - MAY whisper to those who are awake.
    - MUST NOT sing any song that has a chorus.

An answer is given within a minute of the greeting.

## Parting

Who leaves:
  - MUST say goodbye to the host.
  - SHOULD take the umbrella that was brought.
";

/// A catalogue with an entry for every statement of [`TEXT`], and one for the definition in it.
fn catalogue() -> Catalogue {
    let mut text =
        "spec: party\ndocument: texts/party.md\nrevision: '1'\ntitle: P\nentries:\n".to_owned();
    let mut entry = |id: &str, keyword: &str, section: &str, hash: &str, more: &str| {
        text.push_str(&format!(
            "- {{id: party/{id}, keyword: {keyword}, section: '{section}', sentence: '{hash}', \
             role: node, paraphrase: P{more}}}\n"
        ));
    };
    let ids = ["hello", "hands", "whisper", "sing", "goodbye", "umbrella"];
    let statements = statements(TEXT);
    assert_eq!(statements.len(), ids.len());
    for (id, s) in ids.iter().zip(&statements) {
        entry(id, s.keyword.as_str(), &s.section, &s.hash, "");
    }
    let minute = crate::text::hash("An answer is given within a minute of the greeting.");
    entry("minute", "MUST", "Greeting", &minute, ", definition: true");
    Catalogue::from_texts(&[(Path::new("party.yaml"), &text)]).unwrap()
}

fn sources() -> Sources {
    let text = "sources: [{name: party, kind: text, document: texts/party.md, repository: none, \
                revision: '1', blob: '0000000000000000000000000000000000000000'}]";
    Sources::from_text(Path::new("sources.yaml"), text).unwrap()
}

/// What stands there once, and what is put in its place.
type Edits<'a> = &'a [(&'a str, &'a str)];

/// The drift from [`TEXT`] to what `edits` make of it.
fn edited(edits: Edits<'_>) -> Drift {
    let mut new = TEXT.to_owned();
    for (from, to) in edits {
        assert_eq!(new.matches(from).count(), 1, "{from}");
        new = new.replace(from, to);
    }
    let side = |content: &str| {
        vec![Text {
            below: "party.md".into(),
            content: content.into(),
        }]
    };
    let mut drift = drift(&side(TEXT), &side(&new), &catalogue(), &sources());
    drift.attach(|entry| {
        let check = entry.replace("party/", "v/");
        (
            vec![format!("{check}-one"), format!("{check}-two")],
            vec![format!("s/{check}.snap")],
        )
    });
    drift
}

/// `kind moved entries`, a line a change.
fn told(drift: &Drift) -> Vec<String> {
    let all = drift.texts.iter().flat_map(|t| &t.changes);
    all.map(|c| {
        let moved = if c.moved { " moved" } else { "" };
        format!("{}{moved} {}", c.kind.as_str(), c.entries.join(" "))
    })
    .collect()
}

const UMBRELLA: &str = "  - SHOULD take the umbrella that was brought.\n";

#[test]
fn each_of_five_edits_is_named_and_nothing_else() {
    let drift = edited(&[
        ("MUST shake hands", "SHOULD shake hands"),
        ("to those who are awake", "to those who are still awake"),
        (
            "  - MUST say goodbye to the host.\n",
            "  - MUST thank whoever cooked the meal.\n",
        ),
        (UMBRELLA, ""),
        ("A greeter:\n", &format!("A greeter:\n{UMBRELLA}")),
    ]);
    assert_eq!(
        told(&drift),
        [
            "moved moved party/umbrella",
            "keyword party/hands",
            "changed party/whisper",
            "gone party/goodbye",
            "new ",
        ]
    );
    let text = &drift.texts[0];
    assert_eq!((text.unchanged, text.beside), (4, Beside::default()));
    assert_eq!(text.specs, ["party"]);
    insta::assert_snapshot!(drift.table());
    insta::assert_snapshot!(drift.markdown());
    let json = serde_json::to_value(&drift).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json["texts"][0]["changes"][2]).unwrap());
}

#[test]
fn each_edit_alone_is_the_only_one() {
    let cases: [(Edits<'_>, &[&str]); 13] = [
        // Other line breaks, and a fence.
        (
            &[(
                "MUST say hello to everybody",
                "MUST say\n    hello  to everybody",
            )],
            &[],
        ),
        (&[("MUST NOT sing", "MUST sing")], &["keyword party/sing"]),
        // A keyword gone, and one that comes.
        (
            &[("MUST say hello", "says hello")],
            &["keyword party/hello"],
        ),
        (&[("Nodes greet.", "Nodes MUST greet.")], &["keyword "]),
        // A definition without a keyword, and a sentence of prose with one.
        (
            &[("within a minute of", "within two minutes of")],
            &["changed party/minute"],
        ),
        (
            &[("They SHOULD be kind.", "They SHOULD be very kind.")],
            &["changed "],
        ),
        // The condition changes both below it.
        (
            &[("if it is late", "if it is very late")],
            &["changed party/whisper", "changed party/sing"],
        ),
        // Within a section.
        (
            &[
                ("  - MUST say hello to everybody in the room.\n", ""),
                (
                    "offers one.\n",
                    "offers one.\n  - MUST say hello to everybody in the room.\n",
                ),
            ],
            &["moved moved party/hello"],
        ),
        // Reworded and moved.
        (
            &[
                (UMBRELLA, ""),
                (
                    "A greeter:\n",
                    "A greeter:\n  - SHOULD take an umbrella that was brought.\n",
                ),
            ],
            &["changed moved party/umbrella"],
        ),
        // A leaf becomes a condition.
        (
            &[("offers one.\n", "offers one.\n    - unless it is wet\n")],
            &["changed party/hands"],
        ),
        (
            &[(
                "offers one.\n",
                "offers one.\n    - unless it is wet\n    - unless it is cold\n",
            )],
            &["changed party/hands", "new "],
        ),
        (&[("## Parting", "## Taking Leave")], &[]),
        (
            &[(
                "  - if it is late:\n",
                "  - MUST smile.\n  - if it is late:\n",
            )],
            &["new "],
        ),
    ];
    for (edits, want) in cases {
        assert_eq!(told(&edited(edits)), want, "{edits:?}");
    }
}

#[test]
fn a_renamed_heading_moves_nothing_and_names_its_entries() {
    let drift = edited(&[("## Parting", "## Taking Leave")]);
    assert_eq!(drift.texts[0].changes, []);
    let section = &drift.texts[0].sections[0];
    assert_eq!(
        (section.old.as_str(), section.new.as_str()),
        ("Parting", "Taking Leave")
    );
    assert_eq!(section.statements, 2);
    assert_eq!(section.entries, ["party/goodbye", "party/umbrella"]);
    insta::assert_snapshot!(drift.table());
}

#[test]
fn what_is_beside_the_statements_is_counted() {
    let drift = edited(&[(
        "## Parting\n",
        "## Parting\n\n```\ntype 1\n```\n\nPeople leave.\n",
    )]);
    assert_eq!(drift.texts[0].changes, []);
    assert_eq!(
        drift.texts[0].beside,
        Beside {
            sentences: 1,
            code_lines: 1
        }
    );
    insta::assert_snapshot!(drift.table());
}

#[test]
fn texts_that_one_side_lacks_and_texts_that_are_the_same() {
    let text = |below: &str, content: &str| Text {
        below: below.into(),
        content: content.into(),
    };
    let old = [
        text("party.md", TEXT),
        text("same.md", TEXT),
        text("README.md", "# R\n"),
    ];
    let wrapped = TEXT.replace("hello to", "hello\n    to");
    let new = [
        text("same.md", &wrapped),
        text("b/other.md", "- MUST be\n- MAY be\n"),
    ];
    let drift = drift(&old, &new, &catalogue(), &sources());
    assert_eq!(drift.same, 1);
    let states: Vec<_> = drift
        .texts
        .iter()
        .map(|t| (t.text.as_str(), t.state))
        .collect();
    assert_eq!(
        states,
        [("b/other.md", State::New), ("party.md", State::Gone)]
    );
    insta::assert_snapshot!(drift.table());
    insta::assert_snapshot!(drift.markdown());
}

#[test]
fn the_text_of_a_pull_request_brings_every_catalogue_of_its_name() {
    let entry = |spec: &str, document: &str, text: &str| {
        format!(
            "spec: {spec}\ndocument: {document}\nrevision: '1'\ntitle: T\nentries:\n\
             - {{id: {spec}/one, keyword: MUST, section: '', sentence: '{}', role: node, paraphrase: P}}\n",
            crate::text::hash(text)
        )
    };
    let texts = [
        entry("one", "a/party.md", "MUST be one"),
        entry("two", "pr-1/party.md", "MUST be two"),
        entry("far", "a/elsewhere.md", "MUST be two"),
        entry("blob", "a/renamed.md", "MUST be two"),
    ];
    let texts: Vec<_> = texts
        .iter()
        .map(|t| (Path::new("c.yaml"), t.as_str()))
        .collect();
    let catalogue = Catalogue::from_texts(&texts).unwrap();
    let old = "- MUST be one\n- MUST be two\n";
    let of = |path: &str, blob: &str| -> Vec<String> {
        let sources = format!(
            "sources: [{{name: blob, kind: text, document: a/renamed.md, repository: none, \
             revision: '1', blob: '{blob}'}}]"
        );
        let sources = Sources::from_text(Path::new("s.yaml"), &sources).unwrap();
        let entries = entries_of(path, old, "", &catalogue, &sources);
        entries.into_iter().map(|e| e.id.clone()).collect()
    };
    let other = "0".repeat(40);
    assert_eq!(of("x/party.md", &other), ["one/one", "two/one"]);
    assert_eq!(of("x/unknown.md", &other).len(), 1);
    let this = tree::blob(old.as_bytes());
    assert_eq!(of("x/unknown.md", &this), ["blob/one"]);
    assert_eq!(of("x/party.md", &this), ["blob/one", "one/one", "two/one"]);
}
