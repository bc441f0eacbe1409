//! The folder of a run.
//!
//! All that a run writes lies in `$TMPDIR/lnconform-<run id>/`, with a file that says whose it
//! is, so that a later `clean` can tell a killed run from one that still works.

pub use crate::reaper::stop_all;

use crate::reaper;
use crate::sys::{Identity, State};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a run folder's name begins with; the run's id follows.
pub(crate) const PREFIX: &str = "lnconform-";

/// The file in a run folder that names its owner.
const OWNER: &str = "owner.json";

/// Whose a run folder is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The harness's process id.
    pub pid: u32,
    /// Its start in clock ticks from boot (0: not known), so that a reused id is told apart.
    pub start_time: u64,
    /// The run's id.
    pub run: String,
    /// When the run began, in seconds since 1970.
    pub started: u64,
}

impl Owner {
    /// The owner named in a run folder; none if there is no readable file.
    pub fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(OWNER)).ok()?).ok()
    }

    /// Whether the run's harness still runs.
    pub fn alive(&self) -> bool {
        Identity {
            pid: self.pid,
            started: self.start_time,
        }
        .state()
            == State::Running
    }
}

/// The run folder could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The id cannot be a part of a file name.
    #[error(
        "the run id {0:?} cannot name a folder: use 1 to 64 letters, digits, dots, dashes, underscores"
    )]
    Id(String),
    /// A folder of that name exists.
    #[error(
        "{} exists already: another run has this id, or was killed; `lnconform clean` removes what killed runs left",
        .0.display()
    )]
    Exists(PathBuf),
    /// The system refused.
    #[error(
        "the folder {} for this run cannot be made ({error}): free space there or set TMPDIR to a folder you may write to",
        .path.display()
    )]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A run's folder. Removed when dropped, unless [`RunDir::keep`] was called.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    id: String,
    kept: AtomicBool,
}

impl RunDir {
    /// Makes `$TMPDIR/lnconform-<run_id>/`, readable by this user only, and has the watchdog
    /// remove it should the harness be killed.
    ///
    /// # Errors
    /// An id that cannot name a folder, a folder that exists, a full or read-only disk.
    pub fn create(run_id: &str) -> Result<Self, RunDirError> {
        Self::create_in(&std::env::temp_dir(), run_id)
    }

    /// Like [`RunDir::create`], below another folder than the system's temporary one.
    ///
    /// # Errors
    /// Those of [`RunDir::create`].
    pub fn create_in(parent: &Path, run_id: &str) -> Result<Self, RunDirError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if run_id.is_empty() || run_id.len() > 64 || !run_id.chars().all(fits) {
            return Err(RunDirError::Id(run_id.to_owned()));
        }
        let path = parent.join(format!("{PREFIX}{run_id}"));
        if path.exists() {
            return Err(RunDirError::Exists(path));
        }
        // Made aside and renamed, so that nobody ever sees a run folder without an owner.
        let aside = parent.join(format!(".{PREFIX}{run_id}.{}", std::process::id()));
        let made = make(&aside, run_id).and_then(|()| std::fs::rename(&aside, &path));
        if let Err(error) = made {
            let _ = std::fs::remove_dir_all(&aside);
            return Err(if path.exists() {
                RunDirError::Exists(path)
            } else {
                RunDirError::Io { path, error }
            });
        }
        reaper::register_dir(&path);
        Ok(Self {
            path,
            id: run_id.to_owned(),
            kept: AtomicBool::new(false),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's id, the value of [`crate::RUN_ENV`] for its children.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Makes a folder in it; one that exists is fine.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn folder(&self, name: &str) -> Result<PathBuf, RunDirError> {
        let path = self.path.join(name);
        match std::fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(error) => Err(RunDirError::Io { path, error }),
        }
    }

    /// Leaves the folder where it is when this value is dropped, or the harness killed.
    pub fn keep(&self) {
        if !self.kept.swap(true, Ordering::Relaxed) {
            reaper::forget_dir(&self.path);
        }
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !*self.kept.get_mut() {
            // What cannot be removed now is found by `clean`, whose business it is to say why.
            let _ = remove(&self.path);
            reaper::forget_dir(&self.path);
        }
    }
}

fn make(path: &Path, run_id: &str) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        // Keys and credentials of the nodes lie in it.
        builder.mode(0o700);
    }
    builder.create(path)?;
    let me = Identity::me();
    let owner = Owner {
        pid: me.pid,
        start_time: me.started,
        run: run_id.to_owned(),
        started: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
    };
    std::fs::write(path.join(OWNER), serde_json::to_vec(&owner)?)
}

/// Removes a run folder; anything else is refused. One that is gone is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let named = path
        .file_name()
        .and_then(|n| n.to_str())
        .is_some_and(|n| n.starts_with(PREFIX));
    if !named || Owner::read(path).is_none() {
        return Err(io::Error::other(format!(
            "{} is not a run folder",
            path.display()
        )));
    }
    // The owner file goes last: a removal that is cut short can be taken up again by `clean`.
    let mut outcome = Ok(());
    for _ in 0..20 {
        outcome = remove_but_owner(path).and_then(|()| std::fs::remove_dir_all(path));
        match &outcome {
            // A process that is just ending may still have put a file there.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                thread::sleep(Duration::from_millis(10));
            }
            _ => break,
        }
    }
    outcome
}

fn remove_but_owner(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == OWNER {
            continue;
        }
        let gone = if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())
        } else {
            std::fs::remove_file(entry.path())
        };
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_names_its_owner_and_goes_when_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create_in(parent.path(), "r1").unwrap();
        let path = run.path().to_owned();
        assert_eq!(path.file_name().unwrap(), "lnconform-r1");
        std::fs::write(run.folder("a/b").unwrap().join("file"), "x").unwrap();
        let owner = Owner::read(&path).unwrap();
        assert_eq!((owner.pid, owner.run.as_str()), (std::process::id(), "r1"));
        assert!(owner.alive());
        drop(run);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_kept_folder_stays() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create_in(parent.path(), "r1").unwrap();
        run.keep();
        drop(run);
        assert!(parent.path().join("lnconform-r1").exists());
    }

    #[test]
    fn two_runs_never_share_a_folder() {
        let parent = tempfile::tempdir().unwrap();
        let _run = RunDir::create_in(parent.path(), "r1").unwrap();
        let error = RunDir::create_in(parent.path(), "r1").unwrap_err();
        assert!(matches!(error, RunDirError::Exists(_)));
        assert!(error.to_string().contains("lnconform clean"), "{error}");
    }

    #[test]
    fn an_id_cannot_leave_the_temporary_folder() {
        for id in ["", "../x", "a/b", "a b", &"x".repeat(65)] {
            assert!(
                matches!(RunDir::create(id), Err(RunDirError::Id(_))),
                "{id}"
            );
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named_with_what_to_do() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = RunDir::create_in(file.path(), "r1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("TMPDIR") && error.contains("lnconform-r1"),
            "{error}"
        );
    }
}
