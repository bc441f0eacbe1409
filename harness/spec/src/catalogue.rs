//! Requirement catalogues: which normative statements a specification makes, in our words.
//!
//! A file of `specs/catalogue/` lists the statements of one specification. It holds no sentence of
//! the specification, only the hash of each ([`crate::text::hash`]) at the pinned revision and a
//! paraphrase, so that the tools can show the sentence, and see it move, given a checkout.

use lnconform_yaml::{Diagnostic, Place, suggest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

/// The RFC 2119 word of a statement. `MAY NOT`, which some drafts use, counts as `MAY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Keyword {
    /// An absolute demand.
    #[serde(rename = "MUST")]
    Must,
    /// An absolute ban.
    #[serde(rename = "MUST NOT")]
    MustNot,
    /// A demand with exceptions.
    #[serde(rename = "SHOULD")]
    Should,
    /// A ban with exceptions.
    #[serde(rename = "SHOULD NOT")]
    ShouldNot,
    /// A choice.
    #[serde(rename = "MAY")]
    May,
}

impl Keyword {
    /// The word as the texts write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Keyword::Must => "MUST",
            Keyword::MustNot => "MUST NOT",
            Keyword::Should => "SHOULD",
            Keyword::ShouldNot => "SHOULD NOT",
            Keyword::May => "MAY",
        }
    }

    /// What a failure weighs.
    pub fn class(self) -> Class {
        match self {
            Keyword::Must | Keyword::MustNot => Class::Must,
            Keyword::Should | Keyword::ShouldNot => Class::Should,
            Keyword::May => Class::May,
        }
    }

    /// The first keyword of `text` that stands as a word of its own.
    pub fn first_in(text: &str) -> Option<Self> {
        const WORDS: [(&str, Keyword); 6] = [
            ("MUST NOT", Keyword::MustNot),
            ("MUST", Keyword::Must),
            ("SHOULD NOT", Keyword::ShouldNot),
            ("SHOULD", Keyword::Should),
            ("MAY NOT", Keyword::May),
            ("MAY", Keyword::May),
        ];
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let mut before = None;
        for (at, c) in text.char_indices() {
            if !before.is_some_and(word) && matches!(c, 'M' | 'S') {
                let rest = &text[at..];
                let hit = WORDS.iter().find(|(w, _)| {
                    rest.strip_prefix(w)
                        .is_some_and(|after| !after.starts_with(word))
                });
                if let Some((_, keyword)) = hit {
                    return Some(*keyword);
                }
            }
            before = Some(c);
        }
        None
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a failure weighs: a MUST is an unexpected result, a SHOULD a warning, a MAY is only seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Class {
    /// Only observed.
    #[serde(rename = "MAY")]
    May,
    /// A failure is a warning.
    #[serde(rename = "SHOULD")]
    Should,
    /// A failure is unexpected.
    #[serde(rename = "MUST")]
    Must,
}

/// Whom a statement binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who decodes.
    Reader,
    /// Who encodes.
    Writer,
    /// Who sends a message or a payment.
    Sender,
    /// Who gets it.
    Receiver,
    /// Every node.
    Node,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// A semantic slug that outlives edits: `bolt12/offer/reader/amount-zero`.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)+$"))]
    pub id: String,
    /// The RFC 2119 word; `MUST` for a definition.
    pub keyword: Keyword,
    /// The text defines a form without an RFC 2119 word; what breaks it is no member of the form.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub definition: bool,
    /// The headings above the statement, at most three, joined by ` / `, without the title.
    pub section: String,
    /// The first 16 hex digits of the SHA-256 of the statement at the pinned revision, white space
    /// folded: the bullets from the outermost one down to the statement, joined by one space, or
    /// one sentence of prose.
    #[schemars(regex(pattern = "^[0-9a-f]{16}$"))]
    pub sentence: String,
    /// Whom it binds.
    pub role: Role,
    /// What it asks, in our own words.
    pub paraphrase: String,
    /// Why it cannot be observed; such a requirement leaves the denominator of coverage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
    /// Name of the specification, from the head of the file.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    pub spec: String,
}

/// Head of a catalogue file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name of the specification: `bolt12`.
    pub spec: String,
    /// Path of the text below a checkout, as `sources.yaml` lists it.
    pub document: String,
    /// The revision that the sentences are from.
    pub revision: String,
    /// Other revisions of the text, whose snapshots are kept.
    pub held: Vec<String>,
    /// Title of the specification.
    pub title: String,
    /// Sections all of whose statements have an entry.
    pub complete: Vec<String>,
    /// The catalogue file.
    pub file: PathBuf,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// Name of the specification: `bolt12`.
    spec: String,
    /// Path of the text below a checkout, as `sources.yaml` lists it.
    document: String,
    /// The revision that the sentences are from: a commit or a blob.
    revision: String,
    /// Other revisions of the text, whose snapshots are kept beside those of `revision`: `run --spec
    /// NAME@REV` compares with them.
    #[serde(default)]
    held: Vec<String>,
    /// Title of the specification.
    title: String,
    /// Sections all of whose statements have an entry.
    #[serde(default)]
    complete: Vec<String>,
    /// The requirements.
    entries: Vec<Entry>,
}

/// All catalogues together.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    headers: Vec<Header>,
    entries: Vec<Entry>,
    by_id: HashMap<String, usize>,
}

impl Catalogue {
    /// The catalogues that were built into the binary.
    ///
    /// # Errors
    /// Never in a tested build; see [`Catalogue::load`].
    pub fn embedded() -> Result<Self, Vec<Diagnostic>> {
        let mut texts = Vec::new();
        for file in crate::EMBEDDED
            .get_dir("catalogue")
            .into_iter()
            .flat_map(|dir| dir.files())
        {
            if is_yaml(file.path()) {
                let name = Path::new("specs").join(file.path());
                match file.contents_utf8() {
                    Some(text) => texts.push((name, text)),
                    None => return Err(vec![Diagnostic::new(name, "is not UTF-8")]),
                }
            }
        }
        texts.sort();
        Self::from_texts(
            &texts
                .iter()
                .map(|(n, t)| (n.as_path(), *t))
                .collect::<Vec<_>>(),
        )
    }

    /// The catalogues of `dir/catalogue/*.yaml`, where `dir` is laid out as `specs/` is.
    ///
    /// # Errors
    /// Every mistake in every file: what cannot be read, an unknown key, an id that two entries
    /// share (with both places), an id or a hash of the wrong form.
    pub fn load(dir: &Path) -> Result<Self, Vec<Diagnostic>> {
        let folder = dir.join("catalogue");
        let unreadable = |error: std::io::Error| {
            vec![Diagnostic::new(
                &folder,
                format!("the catalogues cannot be read: {error}"),
            )]
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if is_yaml(&path) {
                files.push(path);
            }
        }
        files.sort();
        let mut texts = Vec::new();
        let mut mistakes = Vec::new();
        for file in &files {
            match lnconform_yaml::read(file) {
                Ok(text) => texts.push((file.as_path(), text)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let texts: Vec<_> = texts.iter().map(|(f, t)| (*f, t.as_str())).collect();
        match Self::from_texts(&texts) {
            Ok(catalogue) if mistakes.is_empty() => Ok(catalogue),
            Ok(_) => Err(mistakes),
            Err(more) => Err(mistakes.into_iter().chain(more).collect()),
        }
    }

    /// The catalogues of `dir`, and those of the binary for all other specifications: for somebody
    /// who writes a catalogue outside of this repository, beside the built-in vectors.
    ///
    /// # Errors
    /// As [`Catalogue::load`].
    pub fn beside(dir: &Path) -> Result<Self, Vec<Diagnostic>> {
        let mut own = Self::load(dir)?;
        let built_in = Self::embedded()?;
        for header in built_in.headers {
            if own.headers.iter().all(|h| h.spec != header.spec) {
                own.headers.push(header);
            }
        }
        let there: Vec<String> = own.entries.iter().map(|e| e.spec.clone()).collect();
        for entry in built_in.entries {
            if !there.contains(&entry.spec) && !own.by_id.contains_key(&entry.id) {
                own.by_id.insert(entry.id.clone(), own.entries.len());
                own.entries.push(entry);
            }
        }
        Ok(own)
    }

    /// Reads catalogue files that are in memory.
    ///
    /// # Errors
    /// As [`Catalogue::load`].
    pub fn from_texts(texts: &[(&Path, &str)]) -> Result<Self, Vec<Diagnostic>> {
        let mut catalogue = Catalogue::default();
        let mut mistakes = Vec::new();
        // Where each id stands: index of the text and of the entry in it.
        let mut places: HashMap<String, (usize, usize)> = HashMap::new();
        for (number, (file, text)) in texts.iter().enumerate() {
            let parsed: File = match lnconform_yaml::from_str(file, text) {
                Ok(parsed) => parsed,
                Err(mistake) => {
                    mistakes.push(mistake);
                    continue;
                }
            };
            if let Some(other) = catalogue.headers.iter().find(|h| h.spec == parsed.spec) {
                mistakes.push(
                    Diagnostic::new(*file, format!("`{}` has a catalogue already", parsed.spec))
                        .at(text, &["spec"])
                        .help(format!("the other one is {}", other.file.display())),
                );
            }
            for (index, mut entry) in parsed.entries.into_iter().enumerate() {
                let number_text = index.to_string();
                let mut wrong = |key: &str, message: String, help: &str| {
                    let path = ["entries", number_text.as_str(), key];
                    mistakes.push(Diagnostic::new(*file, message).at(text, &path).help(help));
                };
                if !is_id(&entry.id) {
                    wrong(
                        "id",
                        format!("`{}` is no requirement id", entry.id),
                        "write lower-case words joined by `-` and `/`, such as `bolt12/offer/reader/expiry`",
                    );
                }
                if entry.sentence.len() != crate::text::HASH_DIGITS
                    || !entry
                        .sentence
                        .bytes()
                        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                {
                    wrong(
                        "sentence",
                        format!("`{}` is no sentence hash", entry.sentence),
                        "write the first 16 hex digits of the statement's SHA-256",
                    );
                }
                if entry.paraphrase.trim().is_empty() {
                    wrong(
                        "paraphrase",
                        "the paraphrase is empty".to_owned(),
                        "read the statement and say what it asks, in words of your own",
                    );
                }
                if entry
                    .excluded
                    .as_ref()
                    .is_some_and(|reason| reason.trim().is_empty())
                {
                    wrong(
                        "excluded",
                        "the reason is empty".to_owned(),
                        "say why it cannot be observed",
                    );
                }
                if let Some(&(other, first)) = places.get(&entry.id) {
                    let (other_file, other_text) = texts[other];
                    let first = first.to_string();
                    let path = ["entries", first.as_str(), "id"];
                    let other = match lnconform_yaml::locate(other_text, &path) {
                        Some(Place { line, column }) => {
                            format!("{}:{line}:{column}", other_file.display())
                        }
                        None => other_file.display().to_string(),
                    };
                    wrong(
                        "id",
                        format!(
                            "the requirement `{}` stands here for the second time",
                            entry.id
                        ),
                        &format!("the first is at {other}"),
                    );
                } else {
                    places.insert(entry.id.clone(), (number, index));
                }
                entry.spec.clone_from(&parsed.spec);
                catalogue
                    .by_id
                    .entry(entry.id.clone())
                    .or_insert(catalogue.entries.len());
                catalogue.entries.push(entry);
            }
            catalogue.headers.push(Header {
                spec: parsed.spec,
                document: parsed.document,
                revision: parsed.revision,
                held: parsed.held,
                title: parsed.title,
                complete: parsed.complete,
                file: file.to_path_buf(),
            });
        }
        if mistakes.is_empty() {
            Ok(catalogue)
        } else {
            Err(mistakes)
        }
    }

    /// The entry of that id.
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.by_id.get(id).map(|&index| &self.entries[index])
    }

    /// All entries, by file and in the order of the files.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// What a failure of requirement `id` weighs; `None` for an unknown id.
    pub fn keyword_class(&self, id: &str) -> Option<Class> {
        self.get(id).map(|entry| entry.keyword.class())
    }

    /// Heads of the files.
    pub fn headers(&self) -> impl Iterator<Item = &Header> {
        self.headers.iter()
    }

    /// Each specification's pinned revision, by name.
    pub fn specs(&self) -> BTreeMap<String, String> {
        self.headers
            .iter()
            .map(|h| (h.spec.clone(), h.revision.clone()))
            .collect()
    }

    /// The catalogues of these specifications alone; all of them where none is named.
    ///
    /// # Errors
    /// A specification that has no catalogue; names those that have one.
    pub fn only(&self, specs: &[String]) -> Result<Self, String> {
        let known = self.specs();
        if let Some(unknown) = specs.iter().find(|s| !known.contains_key(*s)) {
            let known = known.into_keys().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "there is no catalogue of `{unknown}`; there is {known}"
            ));
        }
        let wanted = |spec: &String| specs.is_empty() || specs.contains(spec);
        let headers = self.headers.iter().filter(|h| wanted(&h.spec));
        let entries: Vec<Entry> = self
            .entries()
            .filter(|e| wanted(&e.spec))
            .cloned()
            .collect();
        let places = entries.iter().enumerate().map(|(i, e)| (e.id.clone(), i));
        Ok(Self {
            headers: headers.cloned().collect(),
            by_id: places.collect(),
            entries,
        })
    }

    /// The known id that was probably meant.
    pub fn nearest(&self, id: &str) -> Option<&str> {
        suggest(id, self.entries.iter().map(|entry| entry.id.as_str()))
    }
}

/// The JSON Schema of a catalogue file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml")
        && !path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.'))
}

fn is_id(id: &str) -> bool {
    id.contains('/')
        && id.split('/').all(|part| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "spec: a\ndocument: a.md\nrevision: '1'\ntitle: A\nentries:\n";
    const ENTRY: &str = "  - {id: a/b, keyword: MUST, section: S, sentence: 0123456789abcdef, \
                         role: reader, paraphrase: P}\n";

    fn fault(texts: &[(&str, &str)]) -> String {
        let texts: Vec<_> = texts.iter().map(|(f, t)| (Path::new(*f), *t)).collect();
        let mistakes = Catalogue::from_texts(&texts).unwrap_err();
        mistakes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn keywords_are_found_as_words_the_longest_first() {
        assert_eq!(Keyword::first_in("it MUST NOT"), Some(Keyword::MustNot));
        assert_eq!(Keyword::first_in("MUST not produce"), Some(Keyword::Must));
        assert_eq!(Keyword::first_in("MAY, or SHOULD"), Some(Keyword::May));
        assert_eq!(Keyword::first_in("one MAY NOT"), Some(Keyword::May));
        assert_eq!(Keyword::first_in("MUSTARD, xMAY, must, MAY_BE"), None);
        assert_eq!(Keyword::MustNot.class(), Class::Must);
        assert_eq!(Keyword::ShouldNot.class(), Class::Should);
        assert!(Class::Must > Class::Should && Class::Should > Class::May);
    }

    #[test]
    fn the_built_in_catalogues_load_and_answer() {
        let catalogue = Catalogue::embedded().unwrap();
        assert_eq!(
            catalogue
                .entries()
                .filter(|e| e.spec == "blip-0003")
                .count(),
            6
        );
        let count = |section| {
            catalogue
                .entries()
                .filter(|e| e.spec == "bolt12" && e.section == section)
                .count()
        };
        assert_eq!(count("Encoding / Requirements"), 6);
        assert_eq!(count("Offers / Requirements For Offers"), 44);
        let entry = catalogue.get("bolt12/offer/reader/expiry").unwrap();
        assert_eq!(
            (entry.keyword, entry.spec.as_str()),
            (Keyword::MustNot, "bolt12")
        );
        assert_eq!(
            catalogue.keyword_class("bolt12/offer/reader/expiry"),
            Some(Class::Must)
        );
        assert_eq!(catalogue.keyword_class("bolt12/offer/reader/expirry"), None);
        assert_eq!(
            catalogue.nearest("bolt12/offer/reader/expirry"),
            Some("bolt12/offer/reader/expiry")
        );
        assert_eq!(
            catalogue.specs()["bolt12"],
            "a3772650d8ebc06acf457fcadf97968ebfc4dfff"
        );
        for entry in catalogue.entries() {
            assert!(
                entry.id.starts_with(&format!("{}/", entry.spec)),
                "{}",
                entry.id
            );
        }
    }

    #[test]
    fn an_id_given_twice_is_refused_with_both_places() {
        let text = format!("{HEAD}{ENTRY}");
        let other = text.replace("spec: a", "spec: b");
        assert_eq!(
            fault(&[("a.yaml", &text), ("b.yaml", &other)]),
            "b.yaml:6:10: the requirement `a/b` stands here for the second time; \
             the first is at a.yaml:6:10"
        );
        assert_eq!(
            fault(&[("a.yaml", &format!("{HEAD}{ENTRY}{ENTRY}"))]),
            "a.yaml:7:10: the requirement `a/b` stands here for the second time; \
             the first is at a.yaml:6:10"
        );
        assert_eq!(
            fault(&[("a.yaml", &text), ("c.yaml", &text.replace("a/b", "a/c"))]),
            "c.yaml:1:7: `a` has a catalogue already; the other one is a.yaml"
        );
    }

    #[test]
    fn keys_ids_and_hashes_are_strict() {
        let text = format!("{HEAD}{}", ENTRY.replace("section", "sectoin"));
        let message = fault(&[("a.yaml", &text)]);
        assert!(
            message.starts_with("a.yaml:6:30: unknown key `sectoin`; did you mean `section`?"),
            "{message}"
        );
        let text = format!("{HEAD}{}", ENTRY.replace("a/b", "A b"));
        assert!(
            fault(&[("a.yaml", &text)]).starts_with("a.yaml:6:10: `A b` is no requirement id; ")
        );
        let text = format!("{HEAD}{}", ENTRY.replace("0123456789abcdef", "'0123'"));
        assert!(fault(&[("a.yaml", &text)]).contains("`0123` is no sentence hash"));
        let text = format!(
            "{HEAD}{}",
            ENTRY.replace("paraphrase: P", "paraphrase: P, excluded: ' '")
        );
        assert!(fault(&[("a.yaml", &text)]).contains("the reason is empty"));
        let text = format!("{HEAD}{}", ENTRY.replace("MUST", "OUGHT"));
        assert!(
            fault(&[("a.yaml", &text)]).starts_with("a.yaml:6:"),
            "{}",
            fault(&[("a.yaml", &text)])
        );
    }

    #[test]
    fn a_folder_is_read_and_all_its_mistakes_are_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            Catalogue::load(dir.path()).unwrap_err()[0]
                .to_string()
                .contains("cannot be read")
        );
        let folder = dir.path().join("catalogue");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.yaml"), format!("{HEAD}{ENTRY}")).unwrap();
        let catalogue = Catalogue::load(dir.path()).unwrap();
        assert!(catalogue.get("a/b").is_some() && catalogue.get("bolt01/tlv/order").is_none());
        std::fs::write(folder.join("b.yaml"), "spec: 5\nx: 1\n").unwrap();
        std::fs::write(folder.join("c.yaml"), [0xff]).unwrap();
        assert_eq!(Catalogue::load(dir.path()).unwrap_err().len(), 2);
    }

    #[test]
    fn the_schema_names_every_key() {
        let text = schema().to_string();
        for key in [
            "complete",
            "sentence",
            "paraphrase",
            "excluded",
            "MUST NOT",
            "definition",
        ] {
            assert!(text.contains(&format!("\"{key}\"")), "{key}");
        }
    }
}
