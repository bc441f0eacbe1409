//! The texts of a folder, of one file, or of a revision in a git checkout.
//!
//! This room starts no process: who asks for a revision hands in what asks git ([`AskGit`]).

use crate::tree;
use std::path::{Path, PathBuf};

/// Asks git something in a folder: the folder and git's arguments, and what it answers, or the last
/// line of what it says against it. The outer error says why git cannot be run at all.
pub type AskGit<'a> = &'a dyn Fn(&Path, &[&str]) -> Result<Result<Vec<u8>, String>, String>;

/// A text larger than this, in bytes, is no specification.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// One Markdown text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Path below the folder or checkout, with `/`.
    pub below: String,
    /// What it says.
    pub content: String,
}

/// Why texts could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// Neither a path nor, without a checkout, anything else.
    #[error(
        "`{0}` is neither a folder nor a file; to name a git revision, name its checkout with `--specs DIR`"
    )]
    NoPath(String),
    /// A folder or file that cannot be read.
    #[error("{} cannot be read: {why}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// A file against a folder.
    #[error("`{0}` is a file and `{1}` is not; compare two files, or two folders or revisions")]
    FileAndFolder(String, String),
    /// The folder of `--specs` is no checkout.
    #[error(
        "`{revision}` is no path, and no revision either, since {} is no git checkout ({why}); name two folders, or a checkout with `--specs DIR`",
        dir.display()
    )]
    NoCheckout {
        /// The folder.
        dir: PathBuf,
        /// What was to be found in it.
        revision: String,
        /// git's words.
        why: String,
    },
    /// No such revision.
    #[error(
        "`{revision}` is neither a path nor a revision of {}; `git -C {} fetch origin pull/NUMBER/head` brings a pull request's",
        dir.display(), dir.display()
    )]
    NoRevision {
        /// The checkout.
        dir: PathBuf,
        /// As given.
        revision: String,
    },
    /// git is not there, or fails at what it always can.
    #[error("git cannot be run: {0}; install it, or name two folders")]
    Git(String),
}

impl RevisionError {
    /// Whether the machine, and not what was typed, is at fault.
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::Git(_))
    }
}

/// The texts of both sides. Each is a folder, a file, or a revision in the checkout `specs`; a path
/// that exists is taken for itself. Two files are compared under the path of the second one.
///
/// # Errors
/// [`RevisionError`].
pub fn both(
    old: &str,
    new: &str,
    specs: Option<&Path>,
    git: AskGit<'_>,
) -> Result<(Vec<Text>, Vec<Text>), RevisionError> {
    let is_file = |given: &str| Path::new(given).is_file();
    match (is_file(old), is_file(new)) {
        (true, true) => {
            let text = |given: &str| -> Result<Vec<Text>, RevisionError> {
                Ok(vec![Text {
                    below: new.to_owned(),
                    content: file(Path::new(given))?,
                }])
            };
            Ok((text(old)?, text(new)?))
        }
        (true, false) => Err(RevisionError::FileAndFolder(old.into(), new.into())),
        (false, true) => Err(RevisionError::FileAndFolder(new.into(), old.into())),
        (false, false) => Ok((texts(old, specs, git)?, texts(new, specs, git)?)),
    }
}

/// A text file.
///
/// # Errors
/// [`RevisionError::Read`].
pub fn file(path: &Path) -> Result<String, RevisionError> {
    std::fs::read_to_string(path).map_err(|e| RevisionError::Read {
        path: path.to_owned(),
        why: e.to_string(),
    })
}

fn texts(given: &str, specs: Option<&Path>, git: AskGit<'_>) -> Result<Vec<Text>, RevisionError> {
    let path = Path::new(given);
    if path.is_dir() {
        return folder(path);
    }
    match specs {
        Some(dir) => revision(dir, given, git),
        None => Err(RevisionError::NoPath(given.to_owned())),
    }
}

/// Every Markdown text below a folder, six folders deep at most.
fn folder(dir: &Path) -> Result<Vec<Text>, RevisionError> {
    let files = tree::scan(dir).map_err(|d| RevisionError::Read {
        path: dir.to_owned(),
        why: d.message,
    })?;
    let texts = files.into_iter().filter(|f| f.below.ends_with(".md"));
    texts
        .map(|f| {
            // As from git: a text of another encoding is no reason to read none.
            let bytes = std::fs::read(&f.path).map_err(|e| RevisionError::Read {
                path: f.path.clone(),
                why: e.to_string(),
            })?;
            Ok(Text {
                content: String::from_utf8_lossy(&bytes).into_owned(),
                below: f.below,
            })
        })
        .collect()
}

/// Every Markdown text of a commit, below `dir` where that is a folder in the checkout.
fn revision(dir: &Path, given: &str, git: AskGit<'_>) -> Result<Vec<Text>, RevisionError> {
    let git = |args: &[&str]| git(dir, args).map_err(RevisionError::Git);
    git(&["rev-parse", "--git-dir"])?.map_err(|why| RevisionError::NoCheckout {
        dir: dir.to_owned(),
        revision: given.to_owned(),
        why,
    })?;
    let unknown = |_| RevisionError::NoRevision {
        dir: dir.to_owned(),
        revision: given.to_owned(),
    };
    let wanted = format!("{given}^{{commit}}");
    let commit = git(&[
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &wanted,
    ])?
    .map_err(unknown)?;
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    let tree = git(&["ls-tree", "-r", "-l", "-z", &commit])?.map_err(unknown)?;
    let mut found = Vec::new();
    for line in tree.split(|b| *b == 0) {
        // MODE blob HASH SIZE<tab>PATH
        let line = String::from_utf8_lossy(line);
        let Some((head, below)) = line.split_once('\t') else {
            continue;
        };
        let mut head = head.split_whitespace().skip(1);
        let (Some("blob"), Some(hash), Some(size)) = (head.next(), head.next(), head.next()) else {
            continue;
        };
        let fits = size.parse().is_ok_and(|bytes: u64| bytes <= MAX_BYTES);
        if !below.ends_with(".md") || !fits {
            continue;
        }
        let content = git(&["cat-file", "blob", hash])?.map_err(|why| {
            RevisionError::Git(format!("the object {hash} cannot be read: {why}"))
        })?;
        found.push(Text {
            below: below.to_owned(),
            content: String::from_utf8_lossy(&content).into_owned(),
        });
    }
    found.sort_by(|a, b| a.below.cmp(&b.below));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(dir: &Path, args: &[&str]) -> Result<Result<Vec<u8>, String>, String> {
        let output = Command::new("git").arg("-C").arg(dir).args(args).output();
        let output = output.map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        Ok(match output.status.success() {
            true => Ok(output.stdout),
            false => Err(last.to_owned()),
        })
    }

    /// A checkout with two commits: `a.md` changes, `b/c.md` appears.
    fn checkout() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let run = |args: &[&str]| {
            git(dir.path(), args).unwrap().unwrap();
        };
        run(&["init", "--quiet"]);
        for (key, value) in [("user.name", "A"), ("user.email", "a@example.org")] {
            run(&["config", key, value]);
        }
        put("a.md", "# A\n");
        put("code.rs", "");
        run(&["add", "."]);
        run(&["commit", "--quiet", "-m", "one"]);
        put("a.md", "# B\n");
        put("b/c.md", "# C\n");
        run(&["add", "."]);
        run(&["commit", "--quiet", "-m", "two"]);
        dir
    }

    fn names(texts: &[Text]) -> Vec<(&str, &str)> {
        let pairs = texts.iter().map(|t| (t.below.as_str(), t.content.as_str()));
        pairs.collect()
    }

    #[test]
    fn a_revision_is_read_from_its_checkout_and_a_folder_in_it() {
        let dir = checkout();
        let (old, new) = both("HEAD~1", "HEAD", Some(dir.path()), &git).unwrap();
        assert_eq!(names(&old), [("a.md", "# A\n")]);
        assert_eq!(names(&new), [("a.md", "# B\n"), ("b/c.md", "# C\n")]);
        let inner = dir.path().join("b");
        assert_eq!(
            names(&revision(&inner, "HEAD", &git).unwrap()),
            [("c.md", "# C\n")]
        );
        assert_eq!(
            folder(dir.path()).unwrap(),
            new,
            "the folder is the last commit"
        );
        // One side may be a folder.
        let (old, _) = both(dir.path().to_str().unwrap(), "HEAD", Some(dir.path()), &git).unwrap();
        assert_eq!(old, new);
    }

    #[test]
    fn two_files_go_by_the_name_of_the_second() {
        let dir = checkout();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let no_git = |_: &Path, _: &[&str]| panic!("two files need no git");
        let (old, new) = both(&path("a.md"), &path("b/c.md"), None, &no_git).unwrap();
        assert_eq!(old[0].below, new[0].below);
        assert_eq!(
            (old[0].content.as_str(), new[0].content.as_str()),
            ("# B\n", "# C\n")
        );
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let dir = checkout();
        let elsewhere = tempfile::tempdir().unwrap();
        let wrong = |old: &str, new: &str, specs: Option<&Path>| {
            let error = both(old, new, specs, &git).unwrap_err();
            assert!(!error.is_environment());
            error.to_string()
        };
        let there = dir.path().to_str().unwrap();
        assert!(wrong("v1", there, None).starts_with("`v1` is neither a folder nor a file"));
        let text = wrong("v1", "HEAD", Some(dir.path()));
        assert!(
            text.starts_with("`v1` is neither a path nor a revision of "),
            "{text}"
        );
        let text = wrong("HEAD", "HEAD", Some(elsewhere.path()));
        assert!(text.contains("is no git checkout (fatal: "), "{text}");
        // What looks like an option is a revision all the same.
        let text = wrong("--all", "HEAD", Some(dir.path()));
        assert!(text.starts_with("`--all` is neither"), "{text}");
        let file = dir.path().join("a.md");
        let text = wrong(there, file.to_str().unwrap(), None);
        assert!(text.contains("is a file and"), "{text}");
        let without = |_: &Path, _: &[&str]| Err("no such program".to_owned());
        let error = both("HEAD", "HEAD", Some(dir.path()), &without).unwrap_err();
        assert!(error.is_environment(), "{error}");
    }
}
