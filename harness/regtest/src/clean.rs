//! What killed runs left behind: folders, processes, locks; and clusters that a run has kept up.
//!
//! Normally there is nothing: a run tidies up, and after `kill -9` its watchdog does. Something
//! is left when the watchdog was killed as well, or the machine went down.

use crate::kept;
use crate::ports;
use crate::run::{self, Owner};
use crate::sys::{self, Identity, Signal, State};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// One thing that a killed run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A process labelled with the id of a run that is over.
    Process {
        /// Its id.
        pid: u32,
        /// Its start in clock ticks from boot, so that a reused id is never hit.
        start_time: u64,
        /// Its command line.
        command: String,
        /// The run's id.
        run: String,
    },
    /// A run that is over, whose process holds clusters up (`run --keep`).
    Kept {
        /// The process.
        pid: u32,
        /// Its start in clock ticks from boot.
        start_time: u64,
        /// The run's folder.
        path: PathBuf,
        /// The run's id.
        run: String,
    },
    /// The folder of a run that is over.
    Folder {
        /// Where.
        path: PathBuf,
        /// The run's id.
        run: String,
    },
    /// A lock on a port that nobody holds.
    PortLock {
        /// The file.
        path: PathBuf,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process {
                pid, command, run, ..
            } => {
                write!(f, "process {pid} of run {run}: {command}")
            }
            Self::Kept { pid, path, run, .. } => {
                let page = kept::page(path);
                write!(
                    f,
                    "clusters of run {run}, kept up by process {pid}: {}",
                    page.display()
                )
            }
            Self::Folder { path, run } => write!(f, "folder of run {run}: {}", path.display()),
            Self::PortLock { path, port } => {
                write!(f, "lock on port {port}: {}", path.display())
            }
        }
    }
}

/// Something could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("{what} could not be removed ({error}): remove it as the user whose it is")]
pub struct CleanError {
    /// What.
    pub what: String,
    /// What the system said.
    pub error: io::Error,
}

/// Finds what killed runs left. Touches nothing.
pub fn plan() -> Vec<Leftover> {
    let mut found = processes();
    found.extend(folders(&std::env::temp_dir()));
    found.extend(
        ports::stale(&ports::folder())
            .into_iter()
            .map(|(path, port)| Leftover::PortLock { path, port }),
    );
    found
}

/// Ends and removes what [`plan`] found, processes first. What is in use again by then is left.
///
/// # Errors
/// What could not be removed, and why; the rest is removed all the same.
pub fn remove(leftovers: &[Leftover]) -> Result<(), Vec<CleanError>> {
    let mut errors = Vec::new();
    let doomed: Vec<(Identity, &Leftover)> = leftovers
        .iter()
        .filter_map(|l| match l {
            Leftover::Process {
                pid, start_time, ..
            } => Some((
                Identity {
                    pid: *pid,
                    started: *start_time,
                },
                l,
            )),
            _ => None,
        })
        .collect();
    for (process, _) in &doomed {
        if process.state() == State::Running {
            sys::signal_one(process.pid, Signal::Kill);
        }
    }
    let deadline = Instant::now() + Duration::from_secs(3);
    for (process, what) in &doomed {
        while process.state() == State::Running {
            if Instant::now() >= deadline {
                let error = io::Error::other("it does not end, even on SIGKILL");
                errors.push(CleanError {
                    what: what.to_string(),
                    error,
                });
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    for what in leftovers {
        let outcome = match what {
            Leftover::Process { .. } => continue,
            Leftover::Kept {
                pid,
                start_time,
                path,
                ..
            } => kept::end(Identity {
                pid: *pid,
                started: *start_time,
            })
            .and_then(|()| run::remove(path)),
            Leftover::Folder { path, .. } => remove_folder(path),
            Leftover::PortLock { path, .. } => ports::remove_stale(path),
        };
        if let Err(error) = outcome {
            errors.push(CleanError {
                what: what.to_string(),
                error,
            });
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    // A new run with the same id may have begun since.
    if Owner::read(path).is_some_and(|o| o.alive()) {
        Ok(())
    } else {
        run::remove(path)
    }
}

/// The folders below `parent` whose run is over.
fn folders(parent: &Path) -> Vec<Leftover> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|e| {
            e.file_name()
                .to_str()
                .is_some_and(|n| n.starts_with(run::PREFIX))
        })
        .map(|e| e.path())
        .filter_map(|path| {
            // Without an owner file it is somebody else's folder that is called like ours.
            let owner = Owner::read(&path)?;
            if kept::holds(&path, &owner) {
                return Some(Leftover::Kept {
                    pid: owner.pid,
                    start_time: owner.start_time,
                    path,
                    run: owner.run,
                });
            }
            (!owner.alive()).then_some(Leftover::Folder {
                path,
                run: owner.run,
            })
        })
        .collect();
    found.sort_by_key(|l| match l {
        Leftover::Folder { path, .. } | Leftover::Kept { path, .. } => path.clone(),
        _ => PathBuf::new(),
    });
    found
}

/// The processes labelled with a run that is over.
fn processes() -> Vec<Leftover> {
    let me = std::process::id();
    sys::all_pids()
        .into_iter()
        .filter(|pid| *pid != me)
        .filter_map(|pid| {
            let environment = sys::environment(pid)?;
            let run = value(&environment, crate::RUN_ENV)?;
            let parent = value(&environment, "TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from);
            let process = Identity::of(pid);
            (process.state() == State::Running && over(&parent, &run, pid)).then(|| {
                Leftover::Process {
                    pid,
                    start_time: process.started,
                    command: sys::command_line(pid).unwrap_or_default(),
                    run,
                }
            })
        })
        .collect()
}

/// Whether the run is over to which the process belongs.
fn over(parent: &Path, run: &str, pid: u32) -> bool {
    match Owner::read(&parent.join(format!("{}{run}", run::PREFIX))) {
        Some(owner) => !owner.alive(),
        // No folder (a run of the codec lane has none). A process of a living run hangs, through
        // others of that run, below its harness; one that was left has been given to init.
        None => orphan(run, pid),
    }
}

fn orphan(run: &str, pid: u32) -> bool {
    let mut pid = pid;
    loop {
        match sys::parent(pid) {
            None => return false,
            Some(0 | 1) => return true,
            Some(parent) => {
                let labelled = sys::environment(parent)
                    .and_then(|e| value(&e, crate::RUN_ENV))
                    .is_some_and(|r| r == run);
                if !labelled {
                    return false;
                }
                pid = parent;
            }
        }
    }
}

fn value(environment: &[String], name: &str) -> Option<String> {
    environment
        .iter()
        .find_map(|v| v.strip_prefix(name)?.strip_prefix('='))
        .filter(|v| !v.is_empty())
        .map(str::to_owned)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::run::RunDir;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// A folder whose owner is a process that has ended.
    fn dead_run(parent: &Path, id: &str) -> PathBuf {
        let run = RunDir::create_in(parent, id).unwrap();
        run.keep();
        let file = run.path().join("owner.json");
        let text = std::fs::read_to_string(&file).unwrap();
        let mut owner: serde_json::Value = serde_json::from_str(&text).unwrap();
        // This very process id, but with another start: a reused number.
        owner["start_time"] = (owner["start_time"].as_u64().unwrap() + 1).into();
        std::fs::write(&file, owner.to_string()).unwrap();
        run.path().to_owned()
    }

    fn labelled(tmp: &Path, id: &str) -> crate::process::Child {
        let mut command = Command::new("sleep");
        command.arg("60").env(crate::RUN_ENV, id).env("TMPDIR", tmp);
        crate::process::spawn(command, "sleeper").unwrap()
    }

    fn of_run(id: &str) -> Vec<Leftover> {
        let mut found = processes();
        found.retain(|l| matches!(l, Leftover::Process { run, .. } if run == id));
        found
    }

    #[test]
    fn folders_of_dead_runs_are_found_and_those_of_living_ones_are_not() {
        let tmp = tempfile::tempdir().unwrap();
        let dead = dead_run(tmp.path(), "dead");
        let alive = RunDir::create_in(tmp.path(), "alive").unwrap();
        std::fs::create_dir(tmp.path().join("lnconform-foreign")).unwrap();
        let found = folders(tmp.path());
        assert_eq!(
            found,
            [Leftover::Folder {
                path: dead.clone(),
                run: "dead".into()
            }]
        );
        remove(&found).unwrap();
        assert!(!dead.exists());
        assert!(alive.path().exists());
        assert!(tmp.path().join("lnconform-foreign").exists());
        assert!(folders(tmp.path()).is_empty());
    }

    #[test]
    fn processes_of_dead_runs_are_found_and_killed() {
        let tmp = tempfile::tempdir().unwrap();
        let id = format!("clean-dead-{}", std::process::id());
        dead_run(tmp.path(), &id);
        let mut child = labelled(tmp.path(), &id);
        let found = of_run(&id);
        assert!(
            matches!(&found[..], [Leftover::Process { pid, command, .. }] if *pid == child.id() && command == "sleep 60"),
            "{found:?}"
        );
        remove(&found).unwrap();
        assert!(
            child
                .wait_deadline(Duration::from_secs(5))
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn processes_of_living_runs_are_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let id = format!("clean-alive-{}", std::process::id());
        let _run = RunDir::create_in(tmp.path(), &id).unwrap();
        let _child = labelled(tmp.path(), &id);
        assert_eq!(of_run(&id), []);
    }

    #[test]
    fn without_a_folder_only_orphans_count() {
        let tmp = tempfile::tempdir().unwrap();
        let id = format!("clean-orphan-{}", std::process::id());
        let _child = labelled(tmp.path(), &id);
        assert_eq!(of_run(&id), [], "a child of a living harness");
        // An intermediate shell that ends at once gives its child to init.
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 >/dev/null & echo $!"])
            .env(crate::RUN_ENV, &id)
            .env("TMPDIR", tmp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        shell.wait().unwrap();
        let orphan: u32 = line.trim().parse().unwrap();
        if sys::parent(orphan) != Some(1) {
            // A subreaper above us adopts orphans: then such processes cannot be told apart here.
            sys::signal_one(orphan, Signal::Kill);
            return;
        }
        let found = of_run(&id);
        assert!(
            matches!(&found[..], [Leftover::Process { pid, .. }] if *pid == orphan),
            "{found:?}"
        );
        remove(&found).unwrap();
        assert_eq!(of_run(&id), []);
    }

    #[test]
    fn a_process_that_took_over_the_number_is_not_killed() {
        let tmp = tempfile::tempdir().unwrap();
        let mut child = labelled(tmp.path(), "x");
        let stale = Leftover::Process {
            pid: child.id(),
            start_time: Identity::of(child.id()).started + 1,
            command: String::new(),
            run: "x".into(),
        };
        remove(&[stale]).unwrap();
        assert!(
            child
                .wait_deadline(Duration::from_millis(50))
                .unwrap()
                .is_none()
        );
    }
}
