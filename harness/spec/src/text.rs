//! Specification texts, taken apart.
//!
//! A *statement* is a leaf bullet that contains an RFC 2119 keyword, or inherits one from a bullet
//! above it ("is refused if:" with nine bullets below counts nine). Fenced code is passed over.
//! The text of a statement is the bullets from the outermost one down to the leaf, joined by one
//! space, white space folded: a condition that changes moves every statement below it.

use crate::catalogue::{Catalogue, Entry, Keyword};
use crate::sources::Sources;
use lnconform_yaml::Diagnostic;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// Hex digits of a sentence hash; enough that two of the few thousand sentences never share one.
pub const HASH_DIGITS: usize = 16;

/// One normative statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The headings above it, at most three, joined by ` / `; the document's title is left out.
    pub section: String,
    /// Its own keyword, or the inherited one.
    pub keyword: Keyword,
    /// White space folded.
    pub text: String,
    /// See [`hash`].
    pub hash: String,
    /// Where its bullet begins, counted from 1.
    pub line: usize,
}

/// One sentence, normative or not: a bullet with those above it, or a sentence of prose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// As in [`Statement`].
    pub section: String,
    /// White space folded.
    pub text: String,
    /// See [`hash`].
    pub hash: String,
    /// Where its paragraph or bullet begins, counted from 1.
    pub line: usize,
}

/// The first [`HASH_DIGITS`] hex digits of the SHA-256 of `text`, white space folded.
pub fn hash(text: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(fold(text)));
    digits.truncate(HASH_DIGITS);
    digits
}

/// Every run of white space becomes one space; none is left at the ends.
pub fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The normative statements of a Markdown text, in order.
pub fn statements(markdown: &str) -> Vec<Statement> {
    let document = Document::parse(markdown);
    let mut found = Vec::new();
    for (index, item) in document
        .items
        .iter()
        .enumerate()
        .filter(|(_, item)| item.leaf)
    {
        let keyword = document
            .upwards(index)
            .find_map(|i| Keyword::first_in(&i.text));
        if let Some(keyword) = keyword {
            let text = document.chain(index);
            let hash = hash(&text);
            found.push(Statement {
                section: item.section.clone(),
                keyword,
                text,
                hash,
                line: item.line,
            });
        }
    }
    found
}

/// Every sentence of a Markdown text outside fenced code and headings.
pub fn sentences(markdown: &str) -> Vec<Sentence> {
    let document = Document::parse(markdown);
    let mut found = Vec::new();
    let mut push = |section: &str, text: String, line| {
        let hash = hash(&text);
        found.push(Sentence {
            section: section.to_owned(),
            text,
            hash,
            line,
        });
    };
    for (index, item) in document.items.iter().enumerate() {
        push(&item.section, document.chain(index), item.line);
    }
    for paragraph in &document.paragraphs {
        for sentence in split(&fold(&paragraph.text)) {
            push(&paragraph.section, sentence.to_owned(), paragraph.line);
        }
    }
    found
}

/// What a [`Unit`] is in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A bullet with none below it; with a keyword it is a statement.
    Leaf,
    /// A bullet with others below it.
    Condition,
    /// A sentence of a paragraph.
    Prose,
}

/// A sentence as [`crate::drift`] and [`crate::scaffold`] need it.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// What it is.
    pub form: Form,
    /// As in [`Statement`].
    pub section: String,
    /// Its own keyword, or the one that a leaf inherits; a condition has none of its own.
    pub keyword: Option<Keyword>,
    /// White space folded, with the bullets above it.
    pub text: String,
    /// Without the bullets above it.
    pub own: String,
    /// See [`hash`].
    pub hash: String,
    /// Where its paragraph or bullet begins, counted from 1.
    pub line: usize,
}

/// Every sentence of a Markdown text outside fenced code and headings, in the order of the lines.
pub(crate) fn units(markdown: &str) -> Vec<Unit> {
    let document = Document::parse(markdown);
    let mut found = Vec::new();
    for (index, item) in document.items.iter().enumerate() {
        let text = document.chain(index);
        let inherited = || {
            document
                .upwards(index)
                .find_map(|i| Keyword::first_in(&i.text))
        };
        found.push(Unit {
            form: if item.leaf {
                Form::Leaf
            } else {
                Form::Condition
            },
            section: item.section.clone(),
            keyword: item.leaf.then(inherited).flatten(),
            hash: hash(&text),
            text,
            own: fold(&item.text),
            line: item.line,
        });
    }
    for paragraph in &document.paragraphs {
        for sentence in split(&fold(&paragraph.text)) {
            found.push(Unit {
                form: Form::Prose,
                section: paragraph.section.clone(),
                keyword: Keyword::first_in(sentence),
                text: sentence.to_owned(),
                own: sentence.to_owned(),
                hash: hash(sentence),
                line: paragraph.line,
            });
        }
    }
    found.sort_by_key(|unit| unit.line);
    found
}

/// The title in the preamble of a bLIP, which is fenced code before the first heading; else the first
/// heading of a Markdown text.
pub(crate) fn title(markdown: &str) -> Option<String> {
    let mut fenced = false;
    markdown.lines().find_map(|line| {
        fenced ^= line.trim().starts_with("```");
        let found = if fenced {
            line.strip_prefix("Title:").map(str::trim)
        } else {
            heading(line).map(|(_, title)| title)
        };
        found.filter(|title| !title.is_empty()).map(str::to_owned)
    })
}

/// The lines of fenced code, without the fences.
pub(crate) fn fenced(markdown: &str) -> Vec<&str> {
    let mut inside = false;
    markdown
        .lines()
        .filter(|line| {
            let fence = line.trim().starts_with("```");
            inside ^= fence;
            inside && !fence
        })
        .collect()
}

/// The sentence of `entry` in the text below `dir`, for `explain`; `None` where the text is not
/// there or does not hold the sentence any more. A draft of our own needs no `dir`.
pub fn sentence_of(
    catalogue: &Catalogue,
    entry: &Entry,
    sources: &Sources,
    dir: Option<&Path>,
) -> Option<Sentence> {
    let text = text_of(catalogue, &entry.spec, sources, dir).ok()??;
    sentence_among(&sentences(&text), entry).cloned()
}

/// The sentence of `entry` among those of its text.
fn sentence_among<'a>(sentences: &'a [Sentence], entry: &Entry) -> Option<&'a Sentence> {
    let same = || sentences.iter().filter(|s| s.hash == entry.sentence);
    // A text may say the same in two places.
    let here = same().find(|s| s.section == entry.section);
    here.or_else(|| same().next())
}

/// The sentences of all entries whose text lies below `dir` or is a draft of our own, by the entry's
/// id. An entry whose sentence the text does not hold any more is left out.
///
/// # Errors
/// When `dir` or a text in it cannot be read.
pub fn sentences_of(
    catalogue: &Catalogue,
    sources: &Sources,
    dir: Option<&Path>,
) -> Result<HashMap<String, String>, Diagnostic> {
    let mut found = HashMap::new();
    for header in catalogue.headers() {
        let Some(text) = text_of(catalogue, &header.spec, sources, dir)? else {
            continue;
        };
        let texts: HashMap<String, String> = sentences(&text)
            .into_iter()
            .map(|s| (s.hash, s.text))
            .collect();
        for entry in catalogue.entries().filter(|e| e.spec == header.spec) {
            if let Some(text) = texts.get(&entry.sentence) {
                found.insert(entry.id.clone(), text.clone());
            }
        }
    }
    Ok(found)
}

/// A statement that has no entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Name of the specification.
    pub spec: String,
    /// The catalogue calls this section complete, so the statement ought to have an entry.
    pub claimed: bool,
    /// The statement.
    pub statement: Statement,
}

/// The statements without an entry, for every catalogue whose text lies below `dir` or is a draft of
/// our own. Of statements
/// with the same text, as many are missing as there are more of them than entries.
///
/// # Errors
/// When `dir` or a text in it cannot be read.
pub fn missing(
    catalogue: &Catalogue,
    sources: &Sources,
    dir: Option<&Path>,
) -> Result<Vec<Missing>, Diagnostic> {
    let mut found = Vec::new();
    for header in catalogue.headers() {
        let Some(text) = text_of(catalogue, &header.spec, sources, dir)? else {
            continue;
        };
        let mut entries: HashMap<&str, usize> = HashMap::new();
        for entry in catalogue.entries().filter(|e| e.spec == header.spec) {
            *entries.entry(&entry.sentence).or_default() += 1;
        }
        for statement in statements(&text) {
            match entries.get_mut(statement.hash.as_str()) {
                Some(left @ 1..) => *left -= 1,
                _ => found.push(Missing {
                    spec: header.spec.clone(),
                    claimed: header.complete.contains(&statement.section),
                    statement,
                }),
            }
        }
    }
    Ok(found)
}

/// The entries whose sentence the text below `dir`, or the draft of our own, does not hold: it was
/// changed or removed.
///
/// # Errors
/// When `dir` or a text in it cannot be read.
pub fn moved(
    catalogue: &Catalogue,
    sources: &Sources,
    dir: Option<&Path>,
) -> Result<Vec<Entry>, Diagnostic> {
    let mut found = Vec::new();
    let mut known: BTreeMap<String, Option<HashSet<String>>> = BTreeMap::new();
    for header in catalogue.headers() {
        let hashes = text_of(catalogue, &header.spec, sources, dir)?
            .map(|text| sentences(&text).into_iter().map(|s| s.hash).collect());
        known.insert(header.spec.clone(), hashes);
    }
    for entry in catalogue.entries() {
        if let Some(Some(hashes)) = known.get(&entry.spec)
            && !hashes.contains(&entry.sentence)
        {
            found.push(entry.clone());
        }
    }
    Ok(found)
}

/// The text that a catalogue was written from: the draft of our own, else the pinned text in `dir`
/// or the one that took its place there.
fn text_of(
    catalogue: &Catalogue,
    spec: &str,
    sources: &Sources,
    dir: Option<&Path>,
) -> Result<Option<String>, Diagnostic> {
    let Some(header) = catalogue.headers().find(|h| h.spec == spec) else {
        return Ok(None);
    };
    if let Some(draft) = sources.draft(&header.document)? {
        return Ok(Some(draft));
    }
    let Some(dir) = dir else {
        return Ok(None);
    };
    match sources.find_document(dir, &header.document)? {
        Some(found) => lnconform_yaml::read(&found.path).map(Some),
        None => Ok(None),
    }
}

/// A list item, bulleted or numbered.
struct Item {
    indent: usize,
    text: String,
    parent: Option<usize>,
    leaf: bool,
    section: String,
    line: usize,
}

struct Paragraph {
    text: String,
    section: String,
    line: usize,
}

#[derive(Default)]
struct Document {
    items: Vec<Item>,
    paragraphs: Vec<Paragraph>,
}

impl Document {
    fn parse(markdown: &str) -> Self {
        let mut document = Document::default();
        let mut headings: Vec<(usize, String)> = Vec::new();
        let mut section = String::new();
        let mut titled = false;
        let mut fenced = false;
        // The items that the next line may be nested in, the outermost first.
        let mut open: Vec<usize> = Vec::new();
        let mut in_item = false;
        let mut in_paragraph = false;
        for (index, line) in markdown.lines().enumerate() {
            let trimmed = line.trim();
            if trimmed.starts_with("```") {
                fenced = !fenced;
                in_paragraph = false;
                continue;
            }
            if fenced {
                continue;
            }
            if let Some((level, heading)) = heading(line) {
                headings.retain(|(l, _)| *l < level);
                // The first heading is the document's title.
                if titled {
                    headings.push((level, heading.to_owned()));
                }
                titled = true;
                let last = headings.len().saturating_sub(3);
                section = headings[last..]
                    .iter()
                    .map(|(_, h)| h.as_str())
                    .collect::<Vec<_>>()
                    .join(" / ");
                open.clear();
                (in_item, in_paragraph) = (false, false);
            } else if let Some((indent, text)) = item(line) {
                while open
                    .last()
                    .is_some_and(|&i| document.items[i].indent >= indent)
                {
                    open.pop();
                }
                let parent = open.last().copied();
                if let Some(parent) = parent {
                    document.items[parent].leaf = false;
                }
                open.push(document.items.len());
                document.items.push(Item {
                    indent,
                    text: text.to_owned(),
                    parent,
                    leaf: true,
                    section: section.clone(),
                    line: index + 1,
                });
                (in_item, in_paragraph) = (true, false);
            } else if trimmed.is_empty() {
                (in_item, in_paragraph) = (false, false);
            } else if in_item {
                if let Some(item) = document.items.last_mut() {
                    item.text.push(' ');
                    item.text.push_str(trimmed);
                }
            } else {
                // A paragraph at the margin ends the list; an indented one belongs to it.
                if !line.starts_with([' ', '\t']) {
                    open.clear();
                }
                match document.paragraphs.last_mut() {
                    Some(paragraph) if in_paragraph => {
                        paragraph.text.push(' ');
                        paragraph.text.push_str(trimmed);
                    }
                    _ => document.paragraphs.push(Paragraph {
                        text: trimmed.to_owned(),
                        section: section.clone(),
                        line: index + 1,
                    }),
                }
                in_paragraph = true;
            }
        }
        document
    }

    /// The item and those above it, the item first.
    fn upwards(&self, index: usize) -> impl Iterator<Item = &Item> {
        let mut next = Some(index);
        std::iter::from_fn(move || {
            let item = &self.items[next?];
            next = item.parent;
            Some(item)
        })
    }

    fn chain(&self, index: usize) -> String {
        let mut parts: Vec<&str> = self.upwards(index).map(|item| item.text.as_str()).collect();
        parts.reverse();
        fold(&parts.join(" "))
    }
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.len() - line.trim_start_matches('#').len();
    let rest = &line[level..];
    if level == 0 || !rest.starts_with([' ', '\t']) {
        return None;
    }
    Some((level, rest.trim().trim_end_matches('#').trim_end()))
}

/// The indent (in bytes) and text of a line that begins a list item.
fn item(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start();
    let indent = line.len() - rest.len();
    let after = match rest.strip_prefix(['-', '*', '+']) {
        Some(after) => after,
        None => {
            let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            if digits.len() == rest.len() {
                return None;
            }
            digits.strip_prefix(['.', ')'])?
        }
    };
    let text = after.trim();
    (after.starts_with(char::is_whitespace) && !text.is_empty()).then_some((indent, text))
}

/// Folded prose as sentences: cut after `.`, `?` or `!` (a bracket or quote may follow) where a
/// space and an upper-case letter, backtick or opening bracket come next, abbreviations excepted.
fn split(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut from = 0;
    while let Some(offset) = text[from..].find(' ') {
        let space = from + offset;
        from = space + 1;
        let Some(next) = text[from..].chars().next() else {
            break;
        };
        if !(next.is_ascii_uppercase() || matches!(next, '`' | '(' | '[')) {
            continue;
        }
        let before = &text[start..space];
        let ended = before.strip_suffix([')', '"', '\'']).unwrap_or(before);
        if !ended.ends_with(['.', '?', '!']) {
            continue;
        }
        let word = before
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .trim_start_matches('(');
        if ["e.g.", "i.e.", "etc.", "vs."]
            .iter()
            .any(|a| word.eq_ignore_ascii_case(a))
        {
            continue;
        }
        found.push(before);
        start = from;
    }
    if start < text.len() {
        found.push(&text[start..]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_title_is_that_of_the_preamble_or_the_first_heading() {
        let of = |text: &str| title(text);
        let blip = "```\nbLIP: 99\nTitle: Echo, twice\nStatus: Draft\n```\n\n## Abstract\n";
        assert_eq!(of(blip).as_deref(), Some("Echo, twice"));
        assert_eq!(of("```\n# no\n```\n# Yes\n").as_deref(), Some("Yes"));
        assert_eq!(of(TEXT).as_deref(), Some("A Made-up Protocol"));
        // Code below a heading is none of its title.
        assert_eq!(of("# A\n```\nTitle: B\n```\n").as_deref(), Some("A"));
        assert_eq!(of("words"), None);
    }

    const TEXT: &str = "\
# A Made-up Protocol

Nodes greet. They SHOULD be kind, e.g. Friday
greetings. `hello` is a word.

## Greeting

A greeter:
  - MUST say hello,
    and mean it.
  - if it is late:
    - MAY whisper.
    - otherwise it SHOULD NOT:
      - shout
      - sing
  - a remark without a keyword

```
- MUST be ignored in code
```

### Answers

1. a numbered item MUST NOT be missed
* MUST fail if:
    * tired

  * hungry
";

    #[test]
    fn sentences_of_all_entries_are_those_of_each() {
        let catalogue = Catalogue::embedded().unwrap();
        let sources = Sources::open(None).unwrap();
        let all = sentences_of(&catalogue, &sources, None).unwrap();
        let of_amp = || catalogue.entries().filter(|e| e.spec == "amp");
        assert!(of_amp().count() > 10);
        for entry in of_amp() {
            let one = sentence_of(&catalogue, entry, &sources, None).map(|s| s.text);
            assert_eq!(all.get(&entry.id), one.as_ref(), "{}", entry.id);
            assert!(one.is_some(), "{}", entry.id);
        }
        // A text that is not at hand has none.
        assert!(!all.keys().any(|id| id.starts_with("bolt12/offer/")));
    }

    #[test]
    fn leaves_with_their_own_or_an_inherited_keyword_count() {
        let found: Vec<_> = statements(TEXT)
            .into_iter()
            .map(|s| format!("{}|{}|{}|{}", s.line, s.section, s.keyword, s.text))
            .collect();
        assert_eq!(
            found,
            [
                "9|Greeting|MUST|MUST say hello, and mean it.",
                "12|Greeting|MAY|if it is late: MAY whisper.",
                "14|Greeting|SHOULD NOT|if it is late: otherwise it SHOULD NOT: shout",
                "15|Greeting|SHOULD NOT|if it is late: otherwise it SHOULD NOT: sing",
                "24|Greeting / Answers|MUST NOT|a numbered item MUST NOT be missed",
                "26|Greeting / Answers|MUST|MUST fail if: tired",
                "28|Greeting / Answers|MUST|MUST fail if: hungry",
            ]
        );
    }

    #[test]
    fn prose_is_cut_into_sentences_and_abbreviations_are_not_ends() {
        let prose: Vec<_> = sentences(TEXT)
            .into_iter()
            .filter(|s| s.line <= 8)
            .map(|s| s.text)
            .collect();
        assert_eq!(
            prose,
            [
                "Nodes greet.",
                "They SHOULD be kind, e.g. Friday greetings.",
                "`hello` is a word.",
                "A greeter:"
            ]
        );
    }

    #[test]
    fn a_hash_survives_other_line_breaks_and_nothing_else() {
        let moved = TEXT.replace(
            "say hello,\n    and mean it.",
            "say\n    hello, and mean   it.",
        );
        assert_eq!(statements(TEXT)[0].hash, statements(&moved)[0].hash);
        let changed = TEXT.replace("if it is late", "if it is early");
        assert_eq!(statements(TEXT)[0].hash, statements(&changed)[0].hash);
        assert_ne!(
            statements(TEXT)[1].hash,
            statements(&changed)[1].hash,
            "its condition changed"
        );
        assert_eq!(hash("a  b\n c").len(), HASH_DIGITS);
        assert_eq!(hash("a  b\n c"), hash("a b c"));
    }

    #[test]
    fn what_has_no_entry_and_what_has_no_sentence_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("texts")).unwrap();
        std::fs::write(dir.path().join("texts/greeting.md"), TEXT).unwrap();
        let sources = Sources::from_text(
            Path::new("sources.yaml"),
            "sources: [{name: greeting, kind: text, document: texts/greeting.md, repository: none, \
             revision: '1', blob: '0000000000000000000000000000000000000000'}]",
        )
        .unwrap();
        let first = &statements(TEXT)[0];
        let catalogue = Catalogue::from_texts(&[(
            Path::new("greeting.yaml"),
            &format!(
                "spec: greeting\ndocument: texts/greeting.md\nrevision: '1'\ntitle: Greeting\n\
                 complete: [Greeting]\nentries:\n\
                 - {{id: greeting/hello, keyword: MUST, section: Greeting, sentence: '{}', \
                    role: writer, paraphrase: Greet.}}\n\
                 - {{id: greeting/gone, keyword: MAY, section: Greeting, \
                    sentence: '00112233445566ff', role: writer, paraphrase: Was there once.}}\n",
                first.hash
            ),
        )])
        .unwrap();
        let missing = missing(&catalogue, &sources, Some(dir.path())).unwrap();
        assert_eq!(missing.len(), 6);
        assert_eq!(missing.iter().filter(|m| m.claimed).count(), 3);
        assert!(missing.iter().all(|m| m.statement.hash != first.hash));
        let moved = moved(&catalogue, &sources, Some(dir.path())).unwrap();
        assert_eq!(
            moved.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(),
            ["greeting/gone"]
        );
        let entry = catalogue.get("greeting/hello").unwrap();
        let sentence = sentence_of(&catalogue, entry, &sources, Some(dir.path())).unwrap();
        assert_eq!(
            (sentence.text.as_str(), sentence.line),
            ("MUST say hello, and mean it.", 9)
        );
        let gone = catalogue.get("greeting/gone").unwrap();
        assert_eq!(
            sentence_of(&catalogue, gone, &sources, Some(dir.path())),
            None
        );
    }

    /// Our own drafts are here, so this one always runs.
    #[test]
    fn every_statement_of_our_own_drafts_has_its_entry_and_the_other_way_round() {
        let sources = Sources::embedded().unwrap();
        let catalogue = Catalogue::embedded().unwrap();
        let mut drafts = 0;
        for header in catalogue.headers() {
            let Some(text) = sources.draft(&header.document).unwrap() else {
                continue;
            };
            drafts += 1;
            let statements = statements(&text);
            let entries: Vec<_> = catalogue
                .entries()
                .filter(|e| e.spec == header.spec)
                .collect();
            assert_eq!(statements.len(), entries.len(), "{}", header.spec);
            for (statement, entry) in statements.iter().zip(entries) {
                assert_eq!(
                    (&statement.hash, &statement.section, statement.keyword),
                    (&entry.sentence, &entry.section, entry.keyword),
                    "{} is not the statement of line {}: {}",
                    entry.id,
                    statement.line,
                    statement.text
                );
                let sentence = sentence_of(&catalogue, entry, &sources, None).unwrap();
                assert_eq!(sentence.line, statement.line, "{} stands twice", entry.id);
                assert!(header.complete.contains(&statement.section));
            }
        }
        assert!(drafts >= 1);
        assert_eq!(moved(&catalogue, &sources, None).unwrap(), []);
        assert_eq!(missing(&catalogue, &sources, None).unwrap(), []);
    }

    /// Against the pinned texts themselves, where a folder of them is at hand.
    #[test]
    fn every_entry_has_its_sentence_and_every_claimed_statement_its_entry() {
        let Some(dir) = crate::specs_for_tests() else {
            return;
        };
        let dir = dir.as_path();
        let sources = Sources::embedded().unwrap();
        let catalogue = Catalogue::embedded().unwrap();
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        for header in catalogue.headers() {
            if sources.draft(&header.document).unwrap().is_some() {
                continue;
            }
            let found = sources.find(dir, &header.spec).unwrap().unwrap();
            assert!(found.pinned, "{} is not the pinned text", found.below);
            let text = lnconform_yaml::read(&found.path).unwrap();
            let statements = statements(&text);
            let sentences = sentences(&text);
            let of_spec = || catalogue.entries().filter(|e| e.spec == header.spec);
            // The text is found and taken apart once for all of them; as `explain` does it, for one.
            let one = of_spec().next().unwrap();
            let explained = sentence_of(&catalogue, one, &sources, Some(dir));
            assert_eq!(explained.as_ref(), sentence_among(&sentences, one));
            for entry in of_spec() {
                let sentence = sentence_among(&sentences, entry);
                let sentence = sentence.unwrap_or_else(|| panic!("{}: no sentence", entry.id));
                assert_eq!(sentence.section, entry.section, "{}", entry.id);
                assert_eq!(
                    entry.definition,
                    Keyword::first_in(&sentence.text).is_none(),
                    "{}",
                    entry.id
                );
                if let Some(statement) = statements.iter().find(|s| s.hash == entry.sentence)
                    // One sentence holds a MUST for writers and a MAY for readers.
                    && entry.id != "bolt01/types/utf8"
                {
                    assert_eq!(statement.keyword, entry.keyword, "{}", entry.id);
                }
            }
            for statement in statements {
                *counts
                    .entry((header.spec.clone(), statement.section))
                    .or_default() += 1;
            }
        }
        let count = |spec: &str, section: &str| counts[&(spec.to_owned(), section.to_owned())];
        assert_eq!(count("blip-0003", "Specification"), 6);
        assert_eq!(count("bolt12", "Encoding / Requirements"), 6);
        assert_eq!(count("bolt12", "Offers / Requirements For Offers"), 44);
        assert_eq!(
            counts
                .iter()
                .filter(|(k, _)| k.0 == "bolt12")
                .map(|(_, n)| n)
                .sum::<usize>(),
            159
        );
        assert_eq!(
            count("bolt01", "Type-Length-Value Format / Requirements"),
            15
        );
        assert_eq!(count("bolt04", "Onion Decryption / Requirements"), 16);
        assert_eq!(
            count("bolt04", "Packet Structure / Route Blinding / Requirements"),
            32
        );
        assert_eq!(moved(&catalogue, &sources, Some(dir)).unwrap(), []);
        let missing = missing(&catalogue, &sources, Some(dir)).unwrap();
        assert!(!missing.is_empty(), "later sections have no entries yet");
        assert!(!missing.iter().any(|m| m.claimed), "{missing:?}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([-*#`1.( ]|MUST|SHOULD NOT|e\\.g\\.|[aBé]|\n){0,60}") {
            for s in statements(&text) {
                prop_assert_eq!(fold(&s.text), s.text);
            }
            sentences(&text);
        }
    }
}
