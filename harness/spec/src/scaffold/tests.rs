use super::*;
use proptest::prelude::*;
use std::path::Path;

const TEXT: &str = "\
# A Party: how to greet

The words MUST and MAY are used as in RFC 2119.

## Greeting

A sender of a `hello`:
  - MUST set `volume_level` above 3.
  - MUST NOT shout.
  - if it is late:
    - MAY whisper.

The recipient:
  - MUST set `volume_level` above 3.
  - SHOULD answer.

Every guest MUST be kind. Some are.
";

fn sources() -> Sources {
    Sources::from_text(Path::new("s.yaml"), "sources: []").unwrap()
}

fn origin() -> Origin {
    Origin {
        path: "blips/blip-0099.md".into(),
        ..Origin::default()
    }
}

/// A skeleton with its paraphrases written.
fn filled(yaml: &str) -> String {
    yaml.replace("paraphrase: ''", "paraphrase: 'In other words.'")
}

#[test]
fn every_statement_has_an_entry_that_loads_once_it_is_paraphrased() {
    let skeleton = scaffold(None, TEXT, &origin(), &Catalogue::default(), &sources());
    insta::assert_snapshot!(skeleton.yaml);
    insta::assert_snapshot!(skeleton.source.unwrap());
    assert_eq!(
        (skeleton.spec.as_str(), skeleton.entries, skeleton.known),
        ("blip-0099", 6, 0)
    );
    let load = |yaml: &str| Catalogue::from_texts(&[(Path::new("c.yaml"), yaml)]);
    let open = load(&skeleton.yaml).unwrap_err();
    assert_eq!(open.len(), 6);
    assert!(open[0].to_string().starts_with("c.yaml:19:"), "{}", open[0]);
    let catalogue = load(&filled(&skeleton.yaml)).unwrap();
    // Every statement of the text is known by now, and nothing else.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("blips")).unwrap();
    std::fs::write(dir.path().join("blips/blip-0099.md"), TEXT).unwrap();
    let dir = Some(dir.path());
    assert_eq!(text::missing(&catalogue, &sources(), dir).unwrap(), []);
    assert_eq!(text::moved(&catalogue, &sources(), dir).unwrap(), []);
    let complete = &catalogue.headers().next().unwrap().complete;
    assert_eq!(complete, &["Greeting"]);
    // What has an entry is left out, unless everything is asked for.
    let again = scaffold(None, TEXT, &origin(), &catalogue, &sources());
    assert_eq!((again.entries, again.known), (0, 6));
    let all = Origin {
        all: true,
        ..origin()
    };
    assert_eq!(
        scaffold(None, TEXT, &all, &catalogue, &sources()).entries,
        6
    );
}

#[test]
fn a_listed_text_has_its_name_and_the_sentence_may_stand_by() {
    let blob = tree::blob(TEXT.as_bytes());
    let list = format!(
        "sources: [{{name: party, kind: text, document: x/party.md, repository: r, revision: abc, blob: '{blob}'}}]"
    );
    let sources = Sources::from_text(Path::new("s.yaml"), &list).unwrap();
    let quote = Origin {
        quote: true,
        ..origin()
    };
    let skeleton = scaffold(None, TEXT, &quote, &Catalogue::default(), &sources);
    assert_eq!((skeleton.spec.as_str(), &skeleton.source), ("party", &None));
    assert!(
        skeleton
            .yaml
            .contains("document: 'x/party.md'\nrevision: 'abc'\n")
    );
    assert!(
        skeleton
            .yaml
            .contains("  # line 11\n  #   if it is late: MAY whisper.\n  - id: ")
    );
}

/// The change from [`TEXT`]: a statement reworded, one added below a condition, one removed.
const DIFF: &str = "\
diff --git a/blips/blip-0099.md b/blips/blip-0099.md
index 1111111..2222222 100644
--- a/blips/blip-0099.md
+++ b/blips/blip-0099.md
@@ -8,6 +8,7 @@ A sender of a `hello`:
   - MUST set `volume_level` above 3.
   - MUST NOT shout.
   - if it is late:
     - MAY whisper.
+    - MUST NOT sing.
 
 The recipient:
@@ -14,4 +15,3 @@ The recipient:
   - MUST set `volume_level` above 3.
-  - SHOULD answer.
 
-Every guest MUST be kind. Some are.
+Every guest MUST be very kind. Some are.
diff --git a/code.c b/code.c
--- a/code.c
+++ b/code.c
@@ -1 +1 @@
-a
+b
";

#[test]
fn of_a_diff_only_what_is_new_is_taken_and_what_changed_keeps_its_id() {
    let before = scaffold(None, TEXT, &origin(), &Catalogue::default(), &sources());
    let catalogue = filled(&before.yaml);
    let catalogue = Catalogue::from_texts(&[(Path::new("c.yaml"), &catalogue)]).unwrap();
    assert!(is_patch(DIFF) && !is_patch(TEXT));
    let patch = Patch::choose(Patch::parse(DIFF).unwrap(), None).unwrap();
    let (old, new) = patch.apply(Some(TEXT)).unwrap();
    assert_eq!(old, TEXT);
    assert!(new.contains("MUST NOT sing") && !new.contains("SHOULD answer"));
    // The text after the change does as well.
    assert_eq!(patch.apply(Some(&new)).unwrap(), (old.clone(), new.clone()));
    let skeleton = scaffold(Some(&old), &new, &origin(), &catalogue, &sources());
    insta::assert_snapshot!(skeleton.yaml);
    let entry = text::statements(&new)
        .into_iter()
        .find(|s| s.text.ends_with("sing."))
        .unwrap();
    assert!(
        skeleton.yaml.contains(&entry.hash),
        "with the condition above it"
    );
    assert_eq!(skeleton.entries, 1);
    // Without a catalogue, what changed is to be written as well.
    let skeleton = scaffold(
        Some(&old),
        &new,
        &origin(),
        &Catalogue::default(),
        &sources(),
    );
    assert_eq!(skeleton.entries, 2);
}

#[test]
fn a_new_text_needs_no_checkout_and_a_changed_one_does() {
    let lines: String = TEXT.lines().map(|l| format!("+{l}\n")).collect();
    let diff = format!(
        "--- /dev/null\n+++ b/blip-0099.md\n@@ -0,0 +1,{} @@\n{lines}",
        TEXT.lines().count()
    );
    let patch = Patch::choose(Patch::parse(&diff).unwrap(), None).unwrap();
    assert_eq!(patch.apply(None).unwrap(), (String::new(), TEXT.to_owned()));
    let patch = Patch::choose(Patch::parse(DIFF).unwrap(), None).unwrap();
    let text = patch.apply(None).unwrap_err().to_string();
    assert!(text.contains("name a checkout that has the text"), "{text}");
    let text = patch
        .apply(Some("# Another text\n"))
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("the diff does not fit `blips/blip-0099.md`: line 8 "),
        "{text}"
    );
}

#[test]
fn what_is_wrong_with_a_diff_is_said() {
    let wrong = |diff: &str| Patch::parse(diff).unwrap_err().to_string();
    assert!(
        wrong("--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-a\n+b\n").contains("changes no Markdown text")
    );
    assert_eq!(
        wrong("--- a/x.md\n+++ b/x.md\n@@ -1,2 +1 @@\n-a\n"),
        "line 4 of the diff: the hunk is cut off; fetch it anew"
    );
    assert!(
        wrong("--- a/x.md\n+++ b/x.md\n@@ -1 +1 @@\nno\n")
            .starts_with("line 4 of the diff: a line")
    );
    assert!(
        wrong("--- a/x.md\n+++ b/x.md\n@@ -x +1 @@\n")
            .starts_with("line 3 of the diff: this is no")
    );
    let two = format!("{DIFF}{}", DIFF.replace("0099", "0098"));
    let patches = Patch::parse(&two).unwrap();
    let text = Patch::choose(patches.clone(), None)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("blips/blip-0099.md, blips/blip-0098.md; choose"),
        "{text}"
    );
    let chosen = Patch::choose(patches.clone(), Some("blips/blip-0098.md")).unwrap();
    assert_eq!(chosen.path, "blips/blip-0098.md");
    let text = Patch::choose(patches, Some("x.md"))
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("the diff does not change `x.md`"),
        "{text}"
    );
}

#[test]
fn names_are_guessed_from_paths() {
    let of = |path: &str| super::slug::spec(path);
    assert_eq!(of("blips/blip-0032.md"), "blip-0032");
    assert_eq!(of("12-offer-encoding.md"), "bolt12");
    assert_eq!(of("My Draft.md"), "my-draft");
    assert_eq!(of("é.md"), "draft");
}

proptest! {
    /// Whatever the text, the skeleton loads once the paraphrases are written, and its ids are valid.
    #[test]
    fn every_skeleton_loads(text in "([-*# `':{}&!|>%@\"\\\\]|MUST|SHOULD NOT|[aBé]|if|:\n|\n  - |\n){0,80}") {
        let skeleton = scaffold(None, &text, &origin(), &Catalogue::default(), &sources());
        let yaml = filled(&skeleton.yaml);
        let loaded = Catalogue::from_texts(&[(Path::new("c.yaml"), &yaml)]);
        prop_assert!(loaded.is_ok(), "{loaded:?}\n{yaml}");
        prop_assert_eq!(loaded.unwrap().entries().count(), skeleton.entries);
    }

    #[test]
    fn no_diff_makes_it_panic(text in "(--- a/x.md\n\\+\\+\\+ b/x.md\n)?(@@ -[0-9],[0-9] \\+[0-9] @@\n|[ +-]a\n|\n){0,9}") {
        if let Ok(patches) = Patch::parse(&text) {
            for patch in patches {
                let _ = patch.apply(Some("a\na\n\na\n"));
            }
        }
    }
}
