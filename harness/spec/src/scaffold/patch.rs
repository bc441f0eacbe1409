//! A unified diff, such as that of a pull request, applied to texts in memory.

use std::path::Path;

/// Why a diff could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// No Markdown text in it.
    #[error(
        "the diff changes no Markdown text; give a text, or the diff of a pull request that changes one"
    )]
    NoText,
    /// Several, and none was chosen.
    #[error("the diff changes {}; choose one with `--document PATH`", .0.join(", "))]
    Several(Vec<String>),
    /// The chosen one is not among them.
    #[error("the diff does not change `{wanted}`; it changes {}", .paths.join(", "))]
    NotAmong {
        /// As given.
        wanted: String,
        /// Those it changes.
        paths: Vec<String>,
    },
    /// A hunk that is cut off or does not add up.
    #[error("line {line} of the diff: {what}; fetch it anew")]
    Broken {
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The text before the change is needed and not at hand.
    #[error(
        "a diff shows only parts of `{0}`, and a statement's hash takes the bullets above it: name a checkout that has the text with `--specs DIR`"
    )]
    NoBase(String),
    /// The text at hand is another one.
    #[error(
        "the diff does not fit `{path}`: line {line} reads otherwise there; check out the revision that the pull request is based on, or its own"
    )]
    Misfit {
        /// The text.
        path: String,
        /// Of the text, from 1.
        line: usize,
    },
}

/// A hunk: where it begins in the old and in the new text, from 0, and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hunk {
    old: usize,
    new: usize,
    /// ` `, `-` or `+`, and the rest of the line.
    lines: Vec<(char, String)>,
}

/// The change of one Markdown text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Path after the change.
    pub path: String,
    /// Path before it.
    pub old_path: String,
    /// The text is new.
    pub created: bool,
    hunks: Vec<Hunk>,
}

/// Whether a file is a unified diff and no text.
pub fn is_patch(text: &str) -> bool {
    let mut lines = text.lines();
    let begins = |line: &str| line.starts_with("diff --git ") || line.starts_with("--- ");
    // What `git format-patch` and mail put in front is passed over.
    lines.clone().any(begins) && lines.any(|line| line.starts_with("@@ -"))
}

impl Patch {
    /// The changes of Markdown texts in a unified diff, in their order.
    ///
    /// # Errors
    /// [`PatchError::NoText`], [`PatchError::Broken`].
    pub fn parse(diff: &str) -> Result<Vec<Self>, PatchError> {
        let mut found: Vec<Self> = Vec::new();
        let lines: Vec<&str> = diff.lines().collect();
        let mut at = 0;
        while at + 1 < lines.len() {
            let (Some(old), Some(new)) = (
                lines[at].strip_prefix("--- "),
                lines[at + 1].strip_prefix("+++ "),
            ) else {
                at += 1;
                continue;
            };
            at += 2;
            let mut hunks = Vec::new();
            while at < lines.len() && lines[at].starts_with("@@ -") {
                hunks.push(hunk(&lines, &mut at)?);
            }
            let (old, new) = (path(old), path(new));
            if new.ends_with(".md") {
                found.push(Self {
                    created: old == "/dev/null",
                    path: new,
                    old_path: old,
                    hunks,
                });
            }
        }
        if found.is_empty() {
            return Err(PatchError::NoText);
        }
        Ok(found)
    }

    /// The one change that is meant: of `document` where it is given, else the only one.
    ///
    /// # Errors
    /// [`PatchError::Several`], [`PatchError::NotAmong`].
    pub fn choose(patches: Vec<Self>, document: Option<&str>) -> Result<Self, PatchError> {
        let names: Vec<String> = patches.iter().map(|p| p.path.clone()).collect();
        match document {
            None if patches.len() > 1 => Err(PatchError::Several(names)),
            None => patches.into_iter().next().ok_or(PatchError::NoText),
            Some(wanted) => {
                let is = |p: &Self| Path::new(wanted).ends_with(&p.path) || p.path == wanted;
                let found = patches.into_iter().find(is);
                found.ok_or_else(|| PatchError::NotAmong {
                    wanted: wanted.to_owned(),
                    paths: names,
                })
            }
        }
    }

    /// The text before and after the change. `base` is the text as it lies in a checkout, before the
    /// change or after it; a new text needs none.
    ///
    /// # Errors
    /// [`PatchError::NoBase`], [`PatchError::Misfit`].
    pub fn apply(&self, base: Option<&str>) -> Result<(String, String), PatchError> {
        if self.created {
            let lines = self.hunks.iter().flat_map(|h| &h.lines);
            let text: String = lines.map(|(_, line)| format!("{line}\n")).collect();
            return Ok((String::new(), text));
        }
        let Some(base) = base else {
            return Err(PatchError::NoBase(self.path.clone()));
        };
        let lines: Vec<&str> = base.lines().collect();
        match self.turn(&lines, '-') {
            Ok(new) => Ok((base.to_owned(), new)),
            // A checkout of the pull request itself has the text after the change.
            Err(line) => match self.turn(&lines, '+') {
                Ok(old) => Ok((old, base.to_owned())),
                Err(_) => Err(PatchError::Misfit {
                    path: self.path.clone(),
                    line,
                }),
            },
        }
    }

    /// Takes the lines of `from` out and puts the others in; the line, from 1, that does not fit.
    fn turn(&self, lines: &[&str], from: char) -> Result<String, usize> {
        let mut out: Vec<&str> = Vec::with_capacity(lines.len());
        let mut at = 0;
        for hunk in &self.hunks {
            let start = if from == '-' { hunk.old } else { hunk.new };
            if start < at || start > lines.len() {
                return Err(start + 1);
            }
            out.extend(&lines[at..start]);
            at = start;
            for (tag, line) in &hunk.lines {
                if *tag == ' ' || *tag == from {
                    if lines.get(at).map(|l| l.trim_end()) != Some(line.trim_end()) {
                        return Err(at + 1);
                    }
                    at += 1;
                }
                if *tag != from {
                    out.push(line);
                }
            }
        }
        out.extend(&lines[at..]);
        Ok(out.iter().map(|line| format!("{line}\n")).collect())
    }
}

/// `a/x.md<tab>date` as a path.
fn path(text: &str) -> String {
    let text = text.split('\t').next().unwrap_or_default().trim();
    let text = text.trim_matches('"');
    let inner = text.strip_prefix("a/").or_else(|| text.strip_prefix("b/"));
    inner.unwrap_or(text).to_owned()
}

/// `@@ -12,3 +14,4 @@` and its lines.
fn hunk(lines: &[&str], at: &mut usize) -> Result<Hunk, PatchError> {
    let line = *at + 1;
    let broken = |line: usize, what: &str| PatchError::Broken {
        line,
        what: what.to_owned(),
    };
    let range = |text: &str| -> Option<(usize, usize)> {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        Some((start.parse().ok()?, count.parse().ok()?))
    };
    let head = lines[*at].strip_prefix("@@ -").and_then(|rest| {
        let (old, rest) = rest.split_once(" +")?;
        let (new, _) = rest.split_once(" @@")?;
        Some((range(old)?, range(new)?))
    });
    let Some(((old, mut old_left), (new, mut new_left))) = head else {
        return Err(broken(line, "this is no head of a hunk"));
    };
    *at += 1;
    let mut found = Vec::new();
    while old_left > 0 || new_left > 0 {
        let Some(text) = lines.get(*at) else {
            return Err(broken(*at, "the hunk is cut off"));
        };
        let mut rest = text.chars();
        // Some tools take the space of an empty line away.
        let tag = rest.next().unwrap_or(' ');
        let (takes_old, takes_new) = match tag {
            ' ' => (1, 1),
            '-' => (1, 0),
            '+' => (0, 1),
            '\\' => (0, 0),
            _ => {
                return Err(broken(
                    *at + 1,
                    "a line of a hunk begins with a space, `-` or `+`",
                ));
            }
        };
        if takes_old > old_left || takes_new > new_left {
            return Err(broken(
                *at + 1,
                "the hunk has more lines than its head says",
            ));
        }
        old_left -= takes_old;
        new_left -= takes_new;
        if tag != '\\' {
            found.push((tag, rest.as_str().to_owned()));
        }
        *at += 1;
    }
    // `\ No newline at end of file`
    while lines.get(*at).is_some_and(|l| l.starts_with('\\')) {
        *at += 1;
    }
    // A range without lines names the line before it.
    let from_zero = |start: usize, any: bool| if any { start.saturating_sub(1) } else { start };
    let any = |side: char| found.iter().any(|(tag, _)| *tag == ' ' || *tag == side);
    Ok(Hunk {
        old: from_zero(old, any('-')),
        new: from_zero(new, any('+')),
        lines: found,
    })
}
