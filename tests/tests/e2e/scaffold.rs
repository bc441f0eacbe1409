//! `spec scaffold`: a text gives a catalogue, which loads once it is filled in.

use crate::{screen, screens};
use lnconform_tests::{Place, repository, upstream};
use std::collections::BTreeSet;

const TEXT: &str = "\
# Party Manners

## Greeting

The sender of a `hello`:
  - MUST set `volume_level` above 3.
  - if it is late:
    - MAY whisper.

The recipient:
  - SHOULD answer.
";

/// The last line goes, and one comes below the condition.
const DIFF: &str = "\
--- a/texts/party.md
+++ b/texts/party.md
@@ -7,5 +7,5 @@
   - if it is late:
     - MAY whisper.
+    - MUST NOT sing.
 
 The recipient:
-  - SHOULD answer.
";

fn place() -> Place {
    let place = Place::new();
    place
        .write("checkout/texts/party.md", TEXT)
        .write("pr.diff", DIFF);
    place
}

#[test]
fn a_text_becomes_a_catalogue_that_coverage_lists() {
    let place = place();
    let run = place.run(&[
        "run",
        "keysend-proof/request/encode",
        "--adapter",
        "reference",
    ]);
    assert_eq!(run.code, Some(0), "{}", run.screen());
    let catalogue = "specs/catalogue/party.yaml";
    let written = place
        .run(&[
            "spec",
            "scaffold",
            "checkout/texts/party.md",
            "--specs",
            "checkout",
            "-o",
            catalogue,
        ])
        .code(0);
    let coverage = [
        "spec",
        "coverage",
        ".lnconform/last.jsonl",
        "--spec",
        "party",
    ];
    let empty = place.run(&coverage).code(2);
    let again = place
        .run(&[
            "spec",
            "scaffold",
            "checkout/texts/party.md",
            "-o",
            catalogue,
        ])
        .code(2);
    let filled = place
        .read(catalogue)
        .replace("paraphrase: ''", "paraphrase: Said otherwise.");
    place.write(catalogue, &filled);
    let listed = place.run(&coverage).code(0);
    let known = place
        .run(&["spec", "scaffold", "checkout/texts/party.md"])
        .code(2);
    // Beside it, the built-in vectors and their catalogues are what they were.
    let run = place.run(&[
        "run",
        "keysend-proof/request/encode",
        "--adapter",
        "reference",
    ]);
    assert_eq!(run.code, Some(0), "{}", run.screen());
    let explained = place
        .run(&["explain", "party/sender/whisper", "--specs", "checkout"])
        .code(0);
    screen!(
        "spec_scaffold",
        screens(&[written, empty, again, listed, known, explained])
    );
}

#[test]
fn a_diff_gives_what_is_new_in_it() {
    let place = place();
    let new = place
        .run(&[
            "spec", "scaffold", "pr.diff", "--specs", "checkout", "--name", "pr-7", "--quote",
        ])
        .code(0);
    let alone = place.run(&["spec", "scaffold", "pr.diff"]).code(2);
    place.write("checkout/texts/party.md", "# Something Else\n");
    let other = place
        .run(&["spec", "scaffold", "pr.diff", "--specs", "checkout"])
        .code(2);
    let nothing = place
        .run(&["spec", "scaffold", "checkout/texts/party.md"])
        .code(2);
    screen!("spec_scaffold_diff", screens(&[new, alone, other, nothing]));
}

/// Our own draft whole, and where it is at hand BOLT 12: as many entries as the catalogue has.
#[test]
fn a_whole_draft_gives_an_entry_for_each_entry_of_its_catalogue() {
    let hashes = |yaml: &str| -> BTreeSet<String> {
        // Of a sentence of prose, whoever writes the catalogue decides whether it is a statement.
        let entries = yaml.split("  - id: ").skip(1).zip(yaml.split("  - id: "));
        let entries = entries.filter(|(_, before)| !before.ends_with("of prose\n"));
        let hash = |entry: &str| -> Option<String> {
            let mut lines = entry.lines();
            let hash = lines.find_map(|l| l.trim().strip_prefix("sentence: "))?;
            Some(hash.trim_matches('"').to_owned())
        };
        entries.filter_map(|(entry, _)| hash(entry)).collect()
    };
    let place = Place::new();
    let mut texts = vec![(
        repository("specs/drafts/keysend-proof.md"),
        repository("specs/catalogue/keysend-proof.yaml"),
    )];
    if let Some(specs) = upstream() {
        texts.push((
            specs.join("bolts/12-offer-encoding.md"),
            repository("specs/catalogue/bolt12.yaml"),
        ));
    }
    for (text, catalogue) in texts {
        let text = text.to_str().unwrap();
        let ran = place.run(&["spec", "scaffold", text, "--all"]).code(0);
        let made = hashes(&ran.stdout);
        let kept = std::fs::read_to_string(&catalogue).unwrap();
        // A catalogue may have more: definitions without a keyword, which no tool can tell.
        let kept = hashes(&kept);
        let lost: Vec<_> = made.difference(&kept).collect();
        assert!(made.len() > 100 && lost.is_empty(), "{text}: {lost:?}");
    }
}
