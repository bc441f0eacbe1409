//! Observations as snapshots, in insta's file format.
//!
//! A snapshot lies at `<check>/<implementation or roles>@<spec revision>.snap` below
//! `tests/snapshots/observed` and holds the redacted observation as YAML. The head names the
//! version of the implementation that was seen, so that a difference under another version is
//! told apart ([`SnapshotState::Drift`]). `lnconform bless` accepts, and so does `cargo insta
//! review` where [`SnapshotStore::propose`] has left a `.snap.new`.

use crate::ledger::PlanScope;
use crate::record::{Observation, Record, SnapshotState, roles_text};
use crate::redact::{Redactions, sorted};
use crate::results::{self, Actor, ResultsError};
use include_dir::{Dir, include_dir};
use lnconform_yaml::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../tests/snapshots/observed");

/// Where the store lies, in this repository and in a working directory.
pub const FOLDER: &str = "tests/snapshots";

/// In place of a revision, where the case belongs to no pinned specification.
const UNPINNED: &str = "unpinned";

/// The longest part of a path, in bytes, before it is shortened; file systems allow 255, and
/// `.snap.new` comes on top.
const LONGEST: usize = 200;

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotKey {
    /// Id of the check.
    pub check: String,
    /// Who was observed.
    pub who: Actor,
    /// Pinned revision of the specification that the case belongs to.
    pub revision: Option<String>,
}

impl SnapshotKey {
    /// Of an observation in a result file; `None` where it names nobody.
    pub fn of(observation: &Observation) -> Option<Self> {
        Some(Self {
            check: observation.id.clone(),
            who: Actor::of_observation(observation)?,
            revision: observation.revision.clone(),
        })
    }

    /// The path below the store, with `/` between its parts.
    ///
    /// Letters, digits and `-_.~,=+` stand for themselves, other bytes as `%` and two hex digits;
    /// a part that would be too long is cut and ends in `%~` and 16 hex digits of its SHA-256
    /// (the head of the file then has the whole name). So no two keys share a path.
    pub fn path(&self) -> String {
        let mut path: String = self.check.split('/').map(|part| safe(part) + "/").collect();
        let revision = self.revision.as_deref().unwrap_or(UNPINNED);
        path.push_str(&shortened(format!(
            "{}@{}",
            escaped(&self.who.to_string()),
            escaped(revision)
        )));
        path.push_str(".snap");
        path
    }
}

fn safe(part: &str) -> String {
    shortened(escaped(part))
}

fn escaped(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for (i, byte) in part.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric()
            || b"-_~,=+".contains(&byte)
            // A leading dot hides a file, and `..` leaves the folder.
            || (byte == b'.' && i > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn shortened(part: String) -> String {
    if part.len() <= LONGEST {
        return part;
    }
    let digest = hex::encode(&Sha256::digest(part.as_bytes())[..8]);
    let mut end = LONGEST - 20;
    // Not in the middle of an escape.
    while part[..end].ends_with('%') || part[..end - 1].ends_with('%') {
        end -= 1;
    }
    format!("{}%~{digest}", &part[..end])
}

/// The inverse of [`safe`], except for what was shortened.
fn unescaped(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The head of a snapshot; insta knows `source`, `expression` and `info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    source: String,
    expression: String,
    info: Info,
}

/// What we add to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Info {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    implementation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roles: Option<BTreeMap<String, String>>,
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
}

/// A stored snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it is of.
    pub key: SnapshotKey,
    /// Version of the implementation (`role=version,…` for roles) that was seen.
    pub version: String,
    /// The observation as YAML, without the line end at its end.
    pub body: String,
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store in the binary cannot be written.
    #[error(
        "the snapshots in the binary cannot be changed; run it in the repository, or name a store with `--snapshots DIR`"
    )]
    ReadOnly,
    /// The file system refuses.
    #[error("the snapshot {} cannot be written: {why}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: io::Error,
    },
    /// The file system refuses.
    #[error("the snapshot {} cannot be read: {why}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        why: io::Error,
    },
    /// Not a snapshot.
    #[error("the snapshot {} is broken: {why}; remove it and run `lnconform bless`", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The result file that is to be blessed.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// An observation cannot be told as YAML.
    #[error("the observation of {id} cannot be stored: {why}")]
    Value {
        /// The check.
        id: String,
        /// The serialiser's words.
        why: String,
    },
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The verdict.
    pub state: SnapshotState,
    /// A unified diff, for `changed` and `drift`.
    pub diff: Option<String>,
    /// The version that the stored one was seen under.
    pub stored_version: Option<String>,
}

/// A file in the store that nothing produces any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The file.
    pub file: PathBuf,
    /// What it was of.
    pub key: SnapshotKey,
    /// Why it is an orphan and what to do.
    pub why: String,
}

impl std::fmt::Display for Orphan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

/// A store of snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    /// `None`: the copy in the binary.
    folder: Option<PathBuf>,
    /// Whether somebody named it with `--snapshots`.
    named: bool,
    /// Revisions whose snapshots are kept beside those of the run's.
    held: HashSet<String>,
}

impl SnapshotStore {
    /// The store in a folder such as `tests/snapshots`: its `observed` holds the snapshots. It
    /// need not exist yet.
    pub fn open(folder: &Path) -> Self {
        Self {
            folder: Some(folder.into()),
            named: true,
            held: HashSet::new(),
        }
    }

    /// The read-only store in the binary.
    pub fn embedded() -> Self {
        Self {
            folder: None,
            named: false,
            held: HashSet::new(),
        }
    }

    /// The store of a run: the folder named with `--snapshots`, else `tests/snapshots` in the
    /// working directory, else (unless the directory has vectors of its own) the one in the binary.
    /// A `tests/snapshots` without `observed` is
    /// somebody else's, since many projects keep a folder of that name.
    pub fn find(given: Option<&Path>, working_dir: &Path) -> Self {
        match given {
            Some(folder) => Self::open(folder),
            None if working_dir.join(FOLDER).join("observed").is_dir() => Self {
                folder: Some(working_dir.join(FOLDER)),
                named: false,
                held: HashSet::new(),
            },
            // The directory has vectors of its own, which the store in the binary is not about.
            None if working_dir.join("vectors").is_dir() => Self {
                folder: Some(working_dir.join(FOLDER)),
                named: false,
                held: HashSet::new(),
            },
            None => Self::embedded(),
        }
    }

    /// The same store, which holds snapshots of these revisions beside those of the run's: they are
    /// no orphans where a run is of another one.
    #[must_use]
    pub fn holding(self, revisions: impl IntoIterator<Item = String>) -> Self {
        let held = revisions.into_iter().collect();
        Self { held, ..self }
    }

    /// Whether `--snapshots` named it, so that everybody's observations count.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The folder that `--snapshots` named.
    pub fn named(&self) -> Option<&Path> {
        self.folder.as_deref().filter(|_| self.named)
    }

    /// Whether it can be written.
    pub fn is_writable(&self) -> bool {
        self.folder.is_some()
    }

    /// The redactions of the store, else those in the binary.
    ///
    /// # Errors
    /// Every mistake in the rules, with its place.
    pub fn redactions(&self) -> Result<Redactions, Vec<Diagnostic>> {
        match &self.folder {
            Some(folder) if folder.join("redactions.yaml").is_file() => {
                Redactions::load(&folder.join("redactions.yaml"))
            }
            _ => Redactions::embedded(),
        }
    }

    /// Where a snapshot lies, or would.
    pub fn path(&self, key: &SnapshotKey) -> PathBuf {
        let folder = self.folder.as_deref().unwrap_or(Path::new(FOLDER));
        folder.join("observed").join(key.path())
    }

    /// The stored snapshot of a key.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Broken`]; that there is none is no error.
    pub fn get(&self, key: &SnapshotKey) -> Result<Option<Stored>, SnapshotError> {
        let path = self.path(key);
        let text = match &self.folder {
            None => EMBEDDED
                .get_file(key.path())
                .and_then(|f| f.contents_utf8())
                .map(str::to_owned),
            Some(_) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(text),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(why) => return Err(SnapshotError::Read { path, why }),
            },
        };
        text.map(|text| parse(&path, &text)).transpose()
    }

    /// Compares a redacted observation with the stored one. `version` is the implementation's, or
    /// `role=version,…`.
    ///
    /// # Errors
    /// As [`SnapshotStore::get`], and [`SnapshotError::Value`].
    pub fn compare(
        &self,
        key: &SnapshotKey,
        version: &str,
        value: &Value,
    ) -> Result<Compared, SnapshotError> {
        let Some(stored) = self.get(key)? else {
            return Ok(Compared {
                state: SnapshotState::New,
                diff: None,
                stored_version: None,
            });
        };
        let body = body(key, value)?;
        if body == stored.body {
            return Ok(Compared {
                state: SnapshotState::Same,
                diff: None,
                stored_version: Some(stored.version),
            });
        }
        let same_version = stored.version == version;
        let diff = similar::TextDiff::from_lines(&stored.body, &body)
            .unified_diff()
            .context_radius(2)
            .missing_newline_hint(false)
            .header(
                &format!("stored ({})", stored.version),
                &format!("seen ({version})"),
            )
            .to_string();
        Ok(Compared {
            state: if same_version {
                SnapshotState::Changed
            } else {
                SnapshotState::Drift
            },
            diff: Some(diff),
            stored_version: Some(stored.version),
        })
    }

    /// Writes a snapshot. `source` is the vector's file, for whoever reviews.
    ///
    /// # Errors
    /// [`SnapshotError::ReadOnly`], [`SnapshotError::Write`], [`SnapshotError::Value`].
    pub fn bless(
        &self,
        key: &SnapshotKey,
        version: &str,
        source: &str,
        value: &Value,
    ) -> Result<PathBuf, SnapshotError> {
        let path = self.path(key);
        self.write(&path, &render(key, version, source, value)?)?;
        // A proposal for `cargo insta review` is answered by this.
        let _ = std::fs::remove_file(path.with_extension("snap.new"));
        Ok(path)
    }

    /// Leaves a `.snap.new` beside the snapshot, for `cargo insta review`.
    ///
    /// # Errors
    /// As [`SnapshotStore::bless`].
    pub fn propose(
        &self,
        key: &SnapshotKey,
        version: &str,
        source: &str,
        value: &Value,
    ) -> Result<PathBuf, SnapshotError> {
        let path = self.path(key).with_extension("snap.new");
        self.write(&path, &render(key, version, source, value)?)?;
        Ok(path)
    }

    /// Takes a proposal back: what was observed is what is stored.
    pub fn retract(&self, key: &SnapshotKey) {
        if self.folder.is_some() {
            // There is seldom one.
            let _ = std::fs::remove_file(self.path(key).with_extension("snap.new"));
        }
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), SnapshotError> {
        if self.folder.is_none() {
            return Err(SnapshotError::ReadOnly);
        }
        let failed = |why| SnapshotError::Write {
            path: path.into(),
            why,
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // Whole or not at all: another run may read it at this moment. The name is this
        // process's own, since two may bless the same snapshot.
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let draft = PathBuf::from(draft);
        let done = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, path));
        done.map_err(|why| {
            let _ = std::fs::remove_file(&draft);
            failed(why)
        })
    }

    /// Every snapshot in the store.
    ///
    /// # Errors
    /// A folder or file that cannot be read, or a broken file whose name was shortened.
    pub fn keys(&self) -> Result<Vec<(PathBuf, SnapshotKey)>, SnapshotError> {
        let mut found = Vec::new();
        match &self.folder {
            None => {
                let mut folders = vec![&EMBEDDED];
                while let Some(folder) = folders.pop() {
                    folders.extend(folder.dirs());
                    for file in folder.files().filter(|f| is_snapshot(f.path())) {
                        let path = Path::new(FOLDER).join("observed").join(file.path());
                        let text = file.contents_utf8().unwrap_or_default();
                        found.push((
                            path.clone(),
                            key_of(file.path(), &path, || Ok(text.into()))?,
                        ));
                    }
                }
            }
            Some(folder) => {
                let root = folder.join("observed");
                let mut folders = vec![root.clone()];
                while let Some(folder) = folders.pop() {
                    let failed = |why| SnapshotError::Read {
                        path: folder.clone(),
                        why,
                    };
                    let entries = match std::fs::read_dir(&folder) {
                        Ok(entries) => entries,
                        Err(e) if e.kind() == io::ErrorKind::NotFound && folder == root => break,
                        Err(e) => return Err(failed(e)),
                    };
                    for entry in entries {
                        let entry = entry.map_err(failed)?;
                        let path = entry.path();
                        if entry.file_type().map_err(failed)?.is_dir() {
                            folders.push(path);
                        } else if is_snapshot(&path) {
                            let below = path.strip_prefix(&root).unwrap_or(&path);
                            let key = key_of(below, &path, || std::fs::read_to_string(&path))?;
                            found.push((path, key));
                        }
                    }
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Snapshots that nothing produces any more.
    ///
    /// - `produced`: the keys of this run's observations;
    /// - `completed`: checks and who they ran on, where they passed, failed or were unsupported
    ///   (what could not run says nothing).
    ///
    /// A snapshot of a completed check is an orphan if the run did not produce it (a new revision
    /// of the text, say, unless the store holds the other one). One of a check that no case has is an
    /// orphan in an unfiltered run.
    ///
    /// # Errors
    /// As [`SnapshotStore::keys`].
    pub fn orphans(
        &self,
        produced: &HashSet<SnapshotKey>,
        completed: &HashSet<(String, Actor)>,
        plan: &PlanScope,
    ) -> Result<Vec<Orphan>, SnapshotError> {
        let mut orphans = Vec::new();
        for (file, key) in self.keys()? {
            if produced.contains(&key) {
                continue;
            }
            let held = key.revision.as_ref().is_some_and(|r| self.held.contains(r));
            if held
                && plan
                    .known
                    .contains(key.check.split('#').next().unwrap_or_default())
            {
                continue;
            }
            let case = key.check.split('#').next().unwrap_or_default();
            let why = if completed.contains(&(key.check.clone(), key.who.clone())) {
                let other = produced
                    .iter()
                    .any(|p| p.check == key.check && p.who == key.who);
                Some(if other {
                    "of another revision of the specification"
                } else {
                    "its check no longer observes anything"
                })
            } else if plan.unfiltered && !plan.known.contains(case) && plan.has_file_of(case) {
                Some("no check has this id")
            } else if plan.unfiltered && key.check.contains('#') && finished(case, &key, completed)
            {
                Some("its scenario has no such step")
            } else {
                None
            };
            if let Some(why) = why {
                let why = format!("{why}; remove the file");
                orphans.push(Orphan { file, key, why });
            }
        }
        Ok(orphans)
    }
}

/// Whether the whole scenario ran: a check of the scenario's own id stands for its end.
fn finished(case: &str, key: &SnapshotKey, completed: &HashSet<(String, Actor)>) -> bool {
    completed.contains(&(case.to_owned(), key.who.clone()))
}

fn is_snapshot(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "snap")
}

/// The key that a path below the store stands for; the head of the file where it was shortened.
fn key_of(
    below: &Path,
    path: &Path,
    text: impl FnOnce() -> io::Result<String>,
) -> Result<SnapshotKey, SnapshotError> {
    let from_name = || -> Option<SnapshotKey> {
        let parts: Option<Vec<&str>> = below
            .iter()
            .map(|p| p.to_str().filter(|p| !p.contains("%~")))
            .collect();
        let parts = parts?;
        let (name, folders) = parts.split_last()?;
        let check: Option<Vec<String>> = folders.iter().map(|p| unescaped(p)).collect();
        let (who, revision) = name.strip_suffix(".snap")?.split_once('@')?;
        let revision = unescaped(revision)?;
        Some(SnapshotKey {
            check: check?.join("/"),
            who: actor(&unescaped(who)?),
            revision: (revision != UNPINNED).then_some(revision),
        })
    };
    if let Some(key) = from_name() {
        return Ok(key);
    }
    let text = text().map_err(|why| SnapshotError::Read {
        path: path.into(),
        why,
    })?;
    Ok(parse(path, &text)?.key)
}

/// The inverse of `Actor`'s text: names of implementations hold no `=`.
fn actor(text: &str) -> Actor {
    let roles: Option<BTreeMap<String, String>> = text
        .split(',')
        .map(|part| {
            part.split_once('=')
                .map(|(r, i)| (r.to_owned(), i.to_owned()))
        })
        .collect();
    match roles {
        Some(roles) => Actor::Roles(roles),
        None => Actor::Implementation(text.to_owned()),
    }
}

fn body(key: &SnapshotKey, value: &Value) -> Result<String, SnapshotError> {
    let text = serde_yaml::to_string(&sorted(value)).map_err(|e| SnapshotError::Value {
        id: key.check.clone(),
        why: e.to_string(),
    })?;
    Ok(text.trim_end().to_owned())
}

fn render(
    key: &SnapshotKey,
    version: &str,
    source: &str,
    value: &Value,
) -> Result<String, SnapshotError> {
    let (implementation, roles) = match &key.who {
        Actor::Implementation(name) => (Some(name.clone()), None),
        Actor::Roles(roles) => (None, Some(roles.clone())),
    };
    let head = Head {
        source: source.to_owned(),
        expression: key.check.clone(),
        info: Info {
            implementation,
            roles,
            version: version.to_owned(),
            revision: key.revision.clone(),
        },
    };
    let head = serde_yaml::to_string(&head).map_err(|e| SnapshotError::Value {
        id: key.check.clone(),
        why: e.to_string(),
    })?;
    Ok(format!("---\n{head}---\n{}\n", body(key, value)?))
}

fn parse(path: &Path, text: &str) -> Result<Stored, SnapshotError> {
    let broken = |why: &str| SnapshotError::Broken {
        path: path.into(),
        why: why.into(),
    };
    let text = text.replace("\r\n", "\n");
    let rest = text
        .strip_prefix("---\n")
        .ok_or_else(|| broken("it does not begin with `---`"))?;
    let (head, body) = rest
        .split_once("\n---\n")
        .ok_or_else(|| broken("its head does not end with `---`"))?;
    let head: Head = serde_yaml::from_str(head).map_err(|e| broken(&e.to_string()))?;
    let who = match (head.info.implementation, head.info.roles) {
        (Some(name), _) => Actor::Implementation(name),
        (None, Some(roles)) => Actor::Roles(roles),
        (None, None) => return Err(broken("its head names no implementation")),
    };
    Ok(Stored {
        key: SnapshotKey {
            check: head.expression,
            who,
            revision: head.info.revision,
        },
        version: head.info.version,
        body: body.trim_end().to_owned(),
    })
}

/// The version under which somebody was observed: the implementation's own, or `role=version,…`.
pub fn version_of(who: &Actor, versions: &BTreeMap<String, String>) -> String {
    let version = |name: &String| versions.get(name).cloned().unwrap_or_default();
    match who {
        Actor::Implementation(name) => version(name),
        Actor::Roles(roles) => {
            roles_text(&roles.iter().map(|(r, i)| (r.clone(), version(i))).collect())
        }
    }
}

/// What `bless` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blessed {
    /// Files written.
    pub written: Vec<PathBuf>,
    /// Observations that were stored so already.
    pub same: u64,
    /// The run was ended before its end, so there may be more.
    pub unfinished: bool,
}

/// Accepts the observations of a result file that `wanted` takes; of repeats, the last counts.
/// `source` tells the file of a check's vector.
///
/// # Errors
/// A result file that cannot be read, a store that cannot be written.
pub fn bless(
    store: &SnapshotStore,
    file: &Path,
    mut wanted: impl FnMut(&Observation) -> bool,
    source: impl Fn(&str) -> String,
) -> Result<Blessed, SnapshotError> {
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    let mut seen: BTreeMap<SnapshotKey, Value> = BTreeMap::new();
    let end = results::visit(file, |record| match record {
        Record::Run(run) => {
            versions.extend(run.implementations.into_iter().map(|i| (i.name, i.version)));
        }
        Record::Observation(observation) if wanted(&observation) => {
            if let Some(key) = SnapshotKey::of(&observation) {
                seen.insert(key, observation.value);
            }
        }
        _ => {}
    })?;
    let mut done = Blessed {
        unfinished: end.unfinished,
        ..Blessed::default()
    };
    for (key, value) in seen {
        let version = version_of(&key.who, &versions);
        let stored = store.get(&key).ok().flatten();
        let same = match stored {
            Some(stored) => stored.version == version && stored.body == body(&key, &value)?,
            None => false,
        };
        if same {
            done.same += 1;
        } else {
            done.written
                .push(store.bless(&key, &version, &source(&key.check), &value)?);
        }
    }
    Ok(done)
}

/// The parts of a value that `paths` name (JSON pointers `/a/0`, or `a.0`), as an object by path;
/// the whole where `paths` is empty. A part that is not there is left out, so that its coming and
/// going shows in a diff.
pub fn pick(value: &Value, paths: &[String]) -> Value {
    if paths.is_empty() {
        return value.clone();
    }
    let found = |path: &String| {
        let pointer = if path.starts_with('/') || path.is_empty() {
            path.clone()
        } else {
            format!("/{}", path.replace('.', "/"))
        };
        value
            .pointer(&pointer)
            .map(|part| (path.clone(), part.clone()))
    };
    paths.iter().filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{head, write_file};
    use proptest::prelude::*;
    use serde_json::json;

    fn key(check: &str, who: &str, revision: Option<&str>) -> SnapshotKey {
        SnapshotKey {
            check: check.into(),
            who: actor(who),
            revision: revision.map(str::to_owned),
        }
    }

    fn store() -> (tempfile::TempDir, SnapshotStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = SnapshotStore::open(dir.path());
        (dir, store)
    }

    #[test]
    fn what_was_blessed_is_the_same_and_a_difference_is_shown() {
        let (_dir, store) = store();
        let k = key(
            "keysend/direct#pay",
            "payee=lnd,payer=ldk-node",
            Some("0123abc"),
        );
        let seen = json!({"status": "succeeded", "parts": [{"b": 1, "a": "2"}]});
        let compare = |version: &str, value: &Value| store.compare(&k, version, value).unwrap();
        assert_eq!(compare("1", &seen).state, SnapshotState::New);
        let path = store
            .bless(&k, "1", "vectors/keysend/direct.yaml", &seen)
            .unwrap();
        assert!(
            path.ends_with("observed/keysend/direct%23pay/payee=lnd,payer=ldk-node@0123abc.snap")
        );
        let other_order = json!({"parts": [{"a": "2", "b": 1}], "status": "succeeded"});
        assert_eq!(compare("1", &other_order).state, SnapshotState::Same);
        assert_eq!(compare("2", &seen).state, SnapshotState::Same);
        let other = json!({"status": "failed", "parts": []});
        let changed = compare("1", &other);
        assert_eq!(changed.state, SnapshotState::Changed);
        insta::assert_snapshot!(changed.diff.unwrap(), @r"
        --- stored (1)
        +++ seen (1)
        @@ -1,4 +1,2 @@
        -parts:
        -- a: '2'
        -  b: 1
        -status: succeeded
        +parts: []
        +status: failed
        ");
        assert_eq!(compare("2", &other).state, SnapshotState::Drift);
    }

    #[test]
    fn insta_reads_what_we_write() {
        let (_dir, store) = store();
        let k = key("a/b?x=1#2", "ldk-0.2", Some("v1"));
        let seen = json!({"text": "---\n: # \u{1}", "empty": "", "n": 3});
        for path in [
            store.bless(&k, "0.2.1", "vectors/a/b.yaml", &seen).unwrap(),
            store
                .propose(&k, "0.2.1", "vectors/a/b.yaml", &seen)
                .unwrap(),
        ] {
            let read = insta::Snapshot::from_file(&path).unwrap();
            assert_eq!(read.metadata().source(), Some("vectors/a/b.yaml"));
            assert_eq!(read.metadata().expression(), Some("a/b?x=1#2"));
            assert!(format!("{:?}", read.metadata()).contains("0.2.1"));
            let body: Value = serde_yaml::from_str(&read.as_text().unwrap().to_string()).unwrap();
            assert_eq!(body, seen);
        }
        assert_eq!(store.get(&k).unwrap().unwrap().key, k);
    }

    /// As `cargo insta accept` does it: the proposal takes the place of the snapshot.
    #[test]
    fn an_accepted_proposal_is_the_snapshot() {
        let (_dir, store) = store();
        let k = key("a/b", "lnd", None);
        let proposed = store.propose(&k, "1", "v", &json!({"x": 1})).unwrap();
        assert_eq!(
            store.compare(&k, "1", &json!({"x": 1})).unwrap().state,
            SnapshotState::New
        );
        insta::Snapshot::from_file(&proposed)
            .unwrap()
            .save(&store.path(&k))
            .unwrap();
        assert_eq!(
            store.compare(&k, "1", &json!({"x": 1})).unwrap().state,
            SnapshotState::Same
        );
        store.bless(&k, "1", "v", &json!({"x": 2})).unwrap();
        assert!(!proposed.exists(), "blessing answers the proposal");
    }

    #[test]
    fn a_broken_snapshot_is_named() {
        let (_dir, store) = store();
        let k = key("a/b", "lnd", None);
        let path = store.bless(&k, "1", "v", &json!(1)).unwrap();
        for text in [
            "",
            "--- no\n",
            "---\nsource: v\n",
            "---\nsource: v\n---\nx\n",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = store.compare(&k, "1", &json!(1)).unwrap_err().to_string();
            assert!(
                error.contains("is broken") && error.contains("lnconform bless"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_store_in_the_binary_is_read_only() {
        let store = SnapshotStore::embedded();
        let k = key("a/b", "lnd", None);
        assert!(matches!(
            store.bless(&k, "1", "v", &json!(1)),
            Err(SnapshotError::ReadOnly)
        ));
        assert!(!store.is_writable() && !store.is_named());
        store.keys().unwrap();
        store.redactions().unwrap();
    }

    #[test]
    fn a_nearer_store_wins_but_not_anybodys() {
        let dir = tempfile::tempdir().unwrap();
        let found = || SnapshotStore::find(None, dir.path());
        assert!(!found().is_writable());
        std::fs::create_dir_all(dir.path().join(FOLDER)).unwrap();
        assert!(
            !found().is_writable(),
            "a folder of that name is not yet a store"
        );
        std::fs::create_dir_all(dir.path().join(FOLDER).join("observed")).unwrap();
        assert!(found().is_writable() && !found().is_named());
        assert!(SnapshotStore::find(Some(dir.path()), dir.path()).is_named());
    }

    #[test]
    fn orphans_are_told_from_what_was_not_asked_for() {
        let (_dir, store) = store();
        let of = |check: &str, revision: &str| key(check, "lnd", Some(revision));
        let stored = [
            of("a/b", "r1"),
            of("a/b", "r2"),
            of("a/gone", "r1"),
            of("a/other", "r1"),
            of("a/silent", "r1"),
            of("upstream/bolt12/f/x", "r1"),
        ];
        for k in &stored {
            store.bless(k, "1", "v", &json!(1)).unwrap();
        }
        let produced = HashSet::from([of("a/b", "r2")]);
        let lnd = actor("lnd");
        let completed = ["a/b", "a/silent"]
            .map(|id| (id.to_owned(), lnd.clone()))
            .into();
        let mut plan = PlanScope {
            known: ["a/b", "a/other", "a/silent"].map(str::to_owned).into(),
            unfiltered: true,
            ..PlanScope::default()
        };
        let found = |plan: &PlanScope| -> Vec<String> {
            let orphans = store.orphans(&produced, &completed, plan).unwrap();
            orphans
                .iter()
                .map(|o| format!("{}: {}", o.key.check, o.why))
                .collect()
        };
        assert_eq!(
            found(&plan),
            [
                "a/b: of another revision of the specification; remove the file",
                "a/gone: no check has this id; remove the file",
                "a/silent: its check no longer observes anything; remove the file",
            ]
        );
        plan.upstream.insert("upstream/bolt12/f".into());
        assert_eq!(found(&plan).len(), 4);
        plan.unfiltered = false;
        assert_eq!(found(&plan).len(), 2);
    }

    #[test]
    fn bless_takes_the_observations_of_a_result_file() {
        let observation = |id: &str, value: Value| {
            Record::Observation(Observation {
                id: id.into(),
                implementation: Some("lnd".into()),
                roles: None,
                value,
                snapshot: SnapshotState::New,
                revision: Some("r1".into()),
                diff: None,
            })
        };
        let (_results, file) = write_file(&[
            Record::Run(head()),
            observation("a/b", json!(1)),
            observation("a/b", json!(2)),
            observation("a/unwanted", json!(3)),
        ]);
        let (_dir, store) = store();
        let wanted = |o: &Observation| o.id != "a/unwanted";
        let done = bless(&store, &file, wanted, |id| format!("vectors/{id}.yaml")).unwrap();
        assert_eq!(
            (done.written.len(), done.same, done.unfinished),
            (1, 0, true)
        );
        let k = key("a/b", "lnd", Some("r1"));
        let stored = store.get(&k).unwrap().unwrap();
        assert_eq!(
            (stored.version.as_str(), stored.body.as_str()),
            ("0.19.3-beta", "2")
        );
        let again = bless(&store, &file, wanted, |id| format!("vectors/{id}.yaml")).unwrap();
        assert_eq!((again.written.len(), again.same), (0, 1));
    }

    #[test]
    fn long_names_are_cut_and_still_known() {
        let (_dir, store) = store();
        let long = key(
            &format!("a/{}", "x#".repeat(150)),
            &"y".repeat(300),
            Some("r"),
        );
        let other = key(
            &format!("a/{}", "x#".repeat(151)),
            &"y".repeat(300),
            Some("r"),
        );
        for k in [&long, &other] {
            store.bless(k, "1", "v", &json!(1)).unwrap();
        }
        let mut keys: Vec<SnapshotKey> =
            store.keys().unwrap().into_iter().map(|(_, k)| k).collect();
        keys.sort();
        let mut want = vec![long, other];
        want.sort();
        assert_eq!(keys, want);
    }

    #[test]
    fn parts_are_picked_by_path() {
        let value = json!({"a": {"b": [1, 2]}, "c": 3});
        assert_eq!(pick(&value, &[]), value);
        let paths = ["a.b.1".to_owned(), "/c".to_owned(), "gone".to_owned()];
        assert_eq!(pick(&value, &paths), json!({"a.b.1": 2, "/c": 3}));
    }

    proptest! {
        #[test]
        fn names_are_safe_and_reversible(check in "[^/\u{0}][^\u{0}]{0,40}[^/\u{0}]", who in "[a-z@.0-9]{1,10}", revision in proptest::option::of("[a-z0-9.#@/]{1,10}")) {
            prop_assume!(!check.contains("//") && revision.as_deref() != Some(UNPINNED));
            let k = key(&check, &who, revision.as_deref());
            let path = k.path();
            prop_assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_~,=+.%@/".contains(&b)), "{}", path);
            prop_assert!(path.split('/').all(|p| !p.starts_with('.') && !p.is_empty() && p.len() < 255));
            prop_assume!(!path.contains("%~"));
            let read = key_of(Path::new(&path), Path::new(&path), || Ok(String::new())).unwrap();
            prop_assert_eq!(read, k);
        }
    }
}
