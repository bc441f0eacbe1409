//! A bounded walk of a folder that a user named: which texts and vector files lie below it.

use lnconform_yaml::Diagnostic;
use sha1::{Digest, Sha1};
use std::path::{Path, PathBuf};

/// Deeper than any specification repository; a whole disk named by mistake is not searched.
const MAX_DEPTH: usize = 6;
/// Folder entries looked at in all.
const MAX_ENTRIES: usize = 50_000;
/// Larger files are no specification text and no vector file.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Folders that hold no texts, or copies of them.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

/// A text or vector file below the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Path below the folder, always with `/`.
    pub below: String,
    /// Path to open.
    pub path: PathBuf,
    /// How many folders lie between.
    pub depth: usize,
}

/// All `.md` and `.json` files below `dir`, by path. Links to folders are not followed.
///
/// # Errors
/// When `dir` is no folder that can be read. What cannot be read further down is passed over.
pub(crate) fn scan(dir: &Path) -> Result<Vec<File>, Diagnostic> {
    let top = std::fs::read_dir(dir).map_err(|error| {
        Diagnostic::new(
            dir,
            format!("the folder of specifications cannot be read: {error}"),
        )
        .help("name a checkout of lightning/bolts, lightning/blips, or a folder that holds some")
    })?;
    let mut files = Vec::new();
    let mut budget = MAX_ENTRIES;
    let mut open = vec![(top, String::new(), 0)];
    while let Some((entries, prefix, depth)) = open.pop() {
        for entry in entries.flatten() {
            if budget == 0 {
                break;
            }
            budget -= 1;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let below = format!("{prefix}{name}");
            if kind.is_dir() {
                if depth < MAX_DEPTH
                    && !SKIPPED.contains(&name.as_str())
                    && let Ok(inner) = std::fs::read_dir(entry.path())
                {
                    open.push((inner, format!("{below}/"), depth + 1));
                }
            } else if (name.ends_with(".md") || name.ends_with(".json"))
                && std::fs::metadata(entry.path())
                    .is_ok_and(|m| m.is_file() && m.len() <= MAX_BYTES)
            {
                files.push(File {
                    below,
                    path: entry.path(),
                    depth,
                });
            }
        }
    }
    files.sort_by(|a, b| a.below.cmp(&b.below));
    Ok(files)
}

/// The git blob hash of `content`, 40 hex digits.
pub(crate) fn blob(content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_hashed_as_git_does() {
        assert_eq!(blob(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(blob(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn the_walk_is_bounded_and_passes_over_git() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        write("b/one.md");
        write("a.json");
        write("other.txt");
        write(".git/hidden.md");
        write("1/2/3/4/5/6/deep.md");
        write("1/2/3/4/5/6/7/too-deep.md");
        let found: Vec<_> = scan(dir.path())
            .unwrap()
            .into_iter()
            .map(|f| (f.below, f.depth))
            .collect();
        assert_eq!(
            found,
            [
                ("1/2/3/4/5/6/deep.md".to_owned(), 6),
                ("a.json".to_owned(), 0),
                ("b/one.md".to_owned(), 1)
            ]
        );
        let missing = scan(&dir.path().join("gone")).unwrap_err().to_string();
        assert!(
            missing.contains("the folder of specifications cannot be read"),
            "{missing}"
        );
    }
}
