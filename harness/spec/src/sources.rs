//! Where the texts and vector files of the specifications are, below a folder that a user named.

use crate::tree;
use lnconform_yaml::Diagnostic;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Text, vector file or draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Markdown.
    Text,
    /// JSON.
    Vectors,
    /// Markdown of this repository: a draft of our own, built into the binary.
    Draft,
}

/// One file at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `bolt12`, or `pr-836/bolt12` for the text of a pull request.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its listed path: the name of a checkout, then the path in it.
    pub document: String,
    /// Where it comes from.
    pub repository: String,
    /// Commit, or another name of the revision.
    pub revision: String,
    /// SHA-1 of `blob <bytes>\0` and the content, 40 hex digits, as git counts it.
    pub blob: String,
    /// The hash is of a copy that holds a part of the cases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub part: bool,
}

/// A source below a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Path to open.
    pub path: PathBuf,
    /// Path below the folder, with `/`.
    pub below: String,
    /// Its content is the pinned one; otherwise it only stands where the pinned one would.
    pub pinned: bool,
}

/// `specs/sources.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    sources: Vec<Source>,
    /// The folder that the list was read from; drafts of our own lie in it. Without one they are
    /// those of the binary.
    #[serde(skip)]
    home: Option<PathBuf>,
}

impl Sources {
    /// The list that was built into the binary.
    ///
    /// # Errors
    /// Never in a tested build; see [`Sources::load`].
    pub fn embedded() -> Result<Self, Diagnostic> {
        let file = Path::new("specs/sources.yaml");
        let text = crate::EMBEDDED
            .get_file("sources.yaml")
            .and_then(|f| f.contents_utf8());
        Self::from_text(
            file,
            text.ok_or_else(|| Diagnostic::new(file, "was not built in"))?,
        )
    }

    /// `dir/sources.yaml`, where `dir` is laid out as `specs/` is.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a name given twice, a hash of the wrong form.
    pub fn load(dir: &Path) -> Result<Self, Diagnostic> {
        let file = dir.join("sources.yaml");
        let mut list = Self::from_text(&file, &lnconform_yaml::read(&file)?)?;
        list.home = Some(dir.to_path_buf());
        Ok(list)
    }

    /// The list of `dir` where it is given and holds one, else that of the binary.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub fn open(dir: Option<&Path>) -> Result<Self, Diagnostic> {
        match dir {
            Some(dir) if dir.join("sources.yaml").is_file() => Self::load(dir),
            _ => Self::embedded(),
        }
    }

    /// Reads a list that is in memory.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub fn from_text(file: &Path, text: &str) -> Result<Self, Diagnostic> {
        let list: Sources = lnconform_yaml::from_str(file, text)?;
        for (index, source) in list.sources.iter().enumerate() {
            let number = index.to_string();
            let wrong = |key, message| {
                Diagnostic::new(file, message).at(text, &["sources", number.as_str(), key])
            };
            if list.sources[..index].iter().any(|s| s.name == source.name) {
                return Err(wrong(
                    "name",
                    format!("the source `{}` is listed twice", source.name),
                ));
            }
            if source.blob.len() != 40
                || !source
                    .blob
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            {
                return Err(
                    wrong("blob", format!("`{}` is no git blob hash", source.blob))
                        .help("`git hash-object FILE` prints it"),
                );
            }
        }
        Ok(list)
    }

    /// All sources, as listed.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// The source of that name.
    pub fn get(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|s| s.name == name)
    }

    /// The source with that blob hash.
    pub(crate) fn by_blob(&self, blob: &str) -> Option<&Source> {
        self.sources.iter().find(|s| s.blob == blob)
    }

    /// The text of a draft of our own, by its listed path `specs/…`: from the folder that this
    /// list was read from, else the one that was built in. `None` for every other source.
    ///
    /// # Errors
    /// When the list names a draft that is not there.
    pub fn draft(&self, document: &str) -> Result<Option<String>, Diagnostic> {
        let listed = |s: &Source| s.kind == Kind::Draft && s.document == document;
        if !self.sources.iter().any(listed) {
            return Ok(None);
        }
        let inner = document.strip_prefix("specs/").unwrap_or(document);
        if let Some(home) = &self.home {
            return lnconform_yaml::read(&home.join(inner)).map(Some);
        }
        match crate::EMBEDDED.get_file(inner).map(|f| f.contents_utf8()) {
            Some(Some(text)) => Ok(Some(text.to_owned())),
            _ => Err(Diagnostic::new(document, "was not built in")),
        }
    }

    /// Finds the source `name` anywhere below `dir` by its blob hash (six folders deep at most),
    /// else at its listed path, else at that path without the checkout's name (where `dir` is the
    /// checkout). `None` where there is no such source, or no such file.
    ///
    /// # Errors
    /// When `dir` cannot be read.
    pub fn find(&self, dir: &Path, name: &str) -> Result<Option<Found>, Diagnostic> {
        match self.get(name) {
            Some(source) => find(dir, source),
            None => Ok(None),
        }
    }

    /// Finds a source by its listed path; see [`Sources::find`]. A path that is not listed is
    /// looked for as it stands.
    ///
    /// # Errors
    /// When `dir` cannot be read.
    pub fn find_document(&self, dir: &Path, document: &str) -> Result<Option<Found>, Diagnostic> {
        match self.sources.iter().find(|s| s.document == document) {
            Some(source) => find(dir, source),
            None => Ok(by_path(dir, document)),
        }
    }
}

fn find(dir: &Path, source: &Source) -> Result<Option<Found>, Diagnostic> {
    let extension = source.document.rsplit_once('.').map_or("", |(_, e)| e);
    let mut files = tree::scan(dir)?;
    // Where it is listed is where it mostly lies: the rest of the tree need not be hashed then.
    files.sort_by_key(|file| !below(&source.document).any(|listed| listed == file.below));
    for file in files {
        if !file.below.ends_with(&format!(".{extension}")) {
            continue;
        }
        // A file that vanished or may not be read is not the one looked for.
        let Ok(content) = std::fs::read(&file.path) else {
            continue;
        };
        if tree::blob(&content) == source.blob {
            return Ok(Some(Found {
                path: file.path,
                below: file.below,
                pinned: true,
            }));
        }
    }
    Ok(by_path(dir, &source.document))
}

/// Where a document may lie below a folder: as it is listed, or below its own repository.
fn below(document: &str) -> impl Iterator<Item = &str> {
    let inner = document.split_once('/').map(|(_, inner)| inner);
    [Some(document), inner].into_iter().flatten()
}

fn by_path(dir: &Path, document: &str) -> Option<Found> {
    let below = below(document).find(|p| dir.join(p).is_file())?;
    Some(Found {
        path: dir.join(below),
        below: below.to_owned(),
        pinned: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(blob: &str) -> Sources {
        let text = format!(
            "sources:\n  - name: a\n    kind: text\n    document: checkout/a.md\n    repository: r\n    \
             revision: '1'\n    blob: '{blob}'\n"
        );
        Sources::from_text(Path::new("sources.yaml"), &text).unwrap()
    }

    #[test]
    fn a_text_is_found_by_its_hash_wherever_it_lies_else_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let sources = list(&tree::blob(b"the text"));
        assert_eq!(sources.find(dir.path(), "a").unwrap(), None);
        put("a.md", "another text of that name");
        let found = sources.find(dir.path(), "a").unwrap().unwrap();
        assert_eq!((found.below.as_str(), found.pinned), ("a.md", false));
        put("checkout/a.md", "a later text");
        let found = sources.find(dir.path(), "a").unwrap().unwrap();
        assert_eq!(
            (found.below.as_str(), found.pinned),
            ("checkout/a.md", false)
        );
        put("x/y/renamed.md", "the text");
        let found = sources.find(dir.path(), "a").unwrap().unwrap();
        assert_eq!(
            (found.below.as_str(), found.pinned),
            ("x/y/renamed.md", true)
        );
        assert_eq!(sources.find(dir.path(), "b").unwrap(), None);
        assert!(sources.find(&dir.path().join("gone"), "a").is_err());
    }

    #[test]
    fn the_built_in_list_names_every_catalogue_s_text_once() {
        let sources = Sources::embedded().unwrap();
        for header in crate::Catalogue::embedded().unwrap().headers() {
            let source = sources
                .iter()
                .find(|s| s.document == header.document)
                .unwrap();
            assert_eq!(
                (&source.name, &source.revision),
                (&header.spec, &header.revision)
            );
        }
    }

    #[test]
    fn a_draft_of_our_own_is_built_in_and_a_folder_s_own_wins() {
        let sources = Sources::embedded().unwrap();
        let drafts: Vec<_> = sources.iter().filter(|s| s.kind == Kind::Draft).collect();
        assert!(!drafts.is_empty());
        for draft in drafts {
            let text = sources.draft(&draft.document).unwrap().unwrap();
            assert_eq!(tree::blob(text.as_bytes()), draft.blob, "{}", draft.name);
        }
        assert_eq!(sources.draft("bolts/12-offer-encoding.md").unwrap(), None);

        let dir = tempfile::tempdir().unwrap();
        let list = "sources:\n- {name: a, kind: draft, document: specs/drafts/a.md, repository: r, \
                    revision: '0', blob: '0000000000000000000000000000000000000000'}\n";
        std::fs::write(dir.path().join("sources.yaml"), list).unwrap();
        let sources = Sources::load(dir.path()).unwrap();
        assert!(
            sources.draft("specs/drafts/a.md").is_err(),
            "listed and gone"
        );
        std::fs::create_dir(dir.path().join("drafts")).unwrap();
        std::fs::write(dir.path().join("drafts/a.md"), "# A").unwrap();
        assert_eq!(
            sources.draft("specs/drafts/a.md").unwrap().as_deref(),
            Some("# A")
        );
    }

    #[test]
    fn a_name_twice_and_a_wrong_hash_are_refused() {
        let entry =
            "{name: a, kind: text, document: a.md, repository: r, revision: '1', blob: '00'}";
        let wrong = |text: &str| {
            Sources::from_text(Path::new("s.yaml"), text)
                .unwrap_err()
                .to_string()
        };
        let text = format!("sources:\n- {entry}\n");
        assert!(wrong(&text).starts_with("s.yaml:2:"), "{}", wrong(&text));
        assert!(wrong(&text).contains("`00` is no git blob hash"));
        let entry = entry.replace("'00'", &format!("'{}'", "0".repeat(40)));
        assert_eq!(
            wrong(&format!("sources:\n- {entry}\n- {entry}\n")),
            "s.yaml:3:10: the source `a` is listed twice"
        );
        assert!(wrong("sources: []\nmore: 1\n").contains("unknown key `more`"));
    }
}
