//! The list of what runs, and a watchdog that outlives the harness.
//!
//! A harness that is killed with SIGKILL cannot tidy up. The kernel kills its direct children
//! ([`crate::process`]), but not theirs, nor a bitcoind that another crate started, nor folders.
//! So a second process of the same binary, in a session of its own, holds the list: it reads it
//! from a pipe, and when the pipe ends without a goodbye, it ends everything on the list.
//!
//! Lines on the pipe: `pid N STARTED`, `gone N`, `dir PATH`, `keep PATH`, `done`.

use crate::run::{self, RunDir};
use crate::sys::{self, Identity, Signal};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long children have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long a killed process may take to be gone; longer only in an uninterruptible sleep.
const KILLED: Duration = Duration::from_secs(1);

struct Registry {
    children: BTreeMap<u32, (Identity, String)>,
    dirs: Vec<PathBuf>,
    watchdog: Option<Child>,
    pipe: Option<ChildStdin>,
    holders: usize,
    stopping: bool,
}

impl Registry {
    /// Tells the watchdog; without one, or with one that died, there is nobody to tell.
    fn tell(&mut self, line: std::fmt::Arguments<'_>) {
        if let Some(pipe) = &mut self.pipe
            // One write a line, so that a harness killed in between leaves no half line behind.
            && pipe.write_all(format!("{line}\n").as_bytes()).is_err()
        {
            self.pipe = None;
        }
    }

    fn tell_dir(&mut self, word: &str, path: &Path) {
        // A path that does not fit into a line is not removed by the watchdog, but by `clean`.
        if let Some(text) = path.to_str().filter(|t| !t.contains('\n')) {
            self.tell(format_args!("{word} {text}"));
        }
    }
}

fn registry() -> MutexGuard<'static, Registry> {
    static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
        children: BTreeMap::new(),
        dirs: Vec::new(),
        watchdog: None,
        pipe: None,
        holders: 0,
        stopping: false,
    });
    // A panic elsewhere must not keep the list from being used to stop things.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a process on the list; false when the run is being stopped and the caller must end it.
#[must_use]
pub(crate) fn register(process: Identity, label: &str) -> bool {
    let mut list = registry();
    if list.stopping {
        return false;
    }
    list.children
        .insert(process.pid, (process, label.to_owned()));
    list.tell(format_args!("pid {} {}", process.pid, process.started));
    true
}

/// Takes a process off the list, once it has been reaped.
pub(crate) fn forget(process: Identity) {
    let mut list = registry();
    if list
        .children
        .get(&process.pid)
        .is_some_and(|(known, _)| *known == process)
    {
        list.children.remove(&process.pid);
        list.tell(format_args!("gone {}", process.pid));
    }
}

/// Puts a run folder on the list.
pub(crate) fn register_dir(path: &Path) {
    let mut list = registry();
    list.dirs.push(path.to_owned());
    list.tell_dir("dir", path);
}

/// Takes a run folder off the list: it was removed, or is to stay.
pub(crate) fn forget_dir(path: &Path) {
    let mut list = registry();
    list.dirs.retain(|d| d != path);
    list.tell_dir("keep", path);
}

/// Whether [`stop_all`] has been called.
pub(crate) fn stopping() -> bool {
    registry().stopping
}

/// Stops every child of this process and removes its run folders (kept ones stay): SIGTERM to
/// each group, SIGKILL to what is left after two seconds; at most four seconds in all. From then
/// on nothing is started any more. Made for a thread that waits for signals; the caller then exits.
///
/// Returns the labels of the children that had to be killed.
pub fn stop_all() -> Vec<String> {
    let (children, dirs) = {
        let mut list = registry();
        list.stopping = true;
        let children: Vec<_> = list.children.values().cloned().collect();
        (children, list.dirs.clone())
    };
    for (child, _) in &children {
        sys::signal_tree(*child, Signal::Terminate);
    }
    let stubborn = wait_gone(&children, GRACE);
    for (child, _) in &stubborn {
        sys::signal_tree(*child, Signal::Kill);
    }
    wait_gone(&stubborn, KILLED);
    for dir in &dirs {
        if run::remove(dir).is_ok() {
            forget_dir(dir);
        }
    }
    stubborn.into_iter().map(|(_, label)| label).collect()
}

/// Waits until the processes and their groups are gone; returns those that are not in time.
fn wait_gone(processes: &[(Identity, String)], limit: Duration) -> Vec<(Identity, String)> {
    let deadline = Instant::now() + limit;
    let mut left = processes.to_vec();
    loop {
        left.retain(|(p, _)| sys::tree_alive(*p));
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The watchdog of this process. Dropping it says that all is tidy, and ends it.
///
/// A harness that ends without dropping it (killed, or `std::process::exit`) leaves the rest to
/// the watchdog.
#[derive(Debug)]
pub struct Reaper(());

impl Reaper {
    /// Starts the watchdog as `SELF_EXE reap RUN_ID`; that hidden command must call [`main`].
    /// What runs already is put on its list. A second one in the same process shares the first.
    ///
    /// # Errors
    /// When the process cannot be started. The run may go on: [`crate::clean`] remains.
    pub fn start(self_exe: &Path, run: &RunDir) -> io::Result<Self> {
        let mut list = registry();
        if list.holders == 0 {
            let mut command = Command::new(self_exe);
            command
                .args(["reap", run.id()])
                // It outlives the harness: it must not keep a pipe of the harness open, nor a
                // folder in use, nor be taken for a child of the run.
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .current_dir(std::path::MAIN_SEPARATOR_STR)
                .env_remove(crate::RUN_ENV);
            let mut child = command.spawn()?;
            list.pipe = child.stdin.take();
            list.watchdog = Some(child);
            let known: Vec<_> = list.children.values().map(|(p, _)| *p).collect();
            for process in known {
                list.tell(format_args!("pid {} {}", process.pid, process.started));
            }
            for dir in list.dirs.clone() {
                list.tell_dir("dir", &dir);
            }
        }
        list.holders += 1;
        Ok(Self(()))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let watchdog = {
            let mut list = registry();
            list.holders -= 1;
            if list.holders > 0 {
                return;
            }
            list.tell(format_args!("done"));
            list.pipe = None;
            list.watchdog.take()
        };
        if let Some(mut watchdog) = watchdog {
            // It ends at once after `done`; reaped here, it is not left as a zombie.
            let _ = watchdog.wait();
        }
    }
}

/// The watchdog itself, for the hidden command `reap`: reads the list from standard input.
///
/// # Errors
/// When standard input cannot be read; the list is worked off all the same.
pub fn main() -> io::Result<()> {
    #[cfg(unix)]
    // Refused to a group's leader; the group is then protection enough against the terminal.
    let _ = rustix::process::setsid();
    watch(io::stdin().lock())
}

fn watch(input: impl BufRead) -> io::Result<()> {
    let mut list = List::default();
    let outcome = list.read(input);
    if !list.done {
        list.end();
    }
    outcome
}

/// What the harness wanted ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    processes: BTreeMap<u32, Identity>,
    dirs: Vec<PathBuf>,
    done: bool,
}

impl List {
    fn read(&mut self, input: impl BufRead) -> io::Result<()> {
        for line in input.lines() {
            self.take(&line?);
            if self.done {
                break;
            }
        }
        Ok(())
    }

    /// A line that makes no sense is passed over: the harness may have died while writing it.
    fn take(&mut self, line: &str) {
        match line.split_once(' ') {
            None => self.done = line == "done",
            Some(("pid", rest)) => {
                if let Some((pid, started)) = rest.split_once(' ')
                    && let (Ok(pid), Ok(started)) = (pid.parse(), started.parse())
                {
                    self.processes.insert(pid, Identity { pid, started });
                }
            }
            Some(("gone", pid)) => {
                if let Ok(pid) = pid.parse() {
                    self.processes.remove(&pid);
                }
            }
            Some(("dir", path)) => self.dirs.push(path.into()),
            Some(("keep", path)) => self.dirs.retain(|d| d != Path::new(path)),
            Some(_) => {}
        }
    }

    fn end(&self) {
        let processes: Vec<_> = self
            .processes
            .values()
            .map(|p| (*p, String::new()))
            .collect();
        for (process, _) in &processes {
            sys::signal_tree(*process, Signal::Kill);
        }
        wait_gone(&processes, 3 * KILLED);
        for dir in &self.dirs {
            // What cannot be removed stays for `clean`, which can say why.
            let _ = run::remove(dir);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::process;

    fn sleeper() -> process::Child {
        let mut command = Command::new("sleep");
        command.arg("60");
        process::spawn(command, "sleeper").unwrap()
    }

    fn run_dir(name: &str) -> RunDir {
        RunDir::create(&format!("test-reaper-{name}-{}", std::process::id())).unwrap()
    }

    #[test]
    fn the_list_follows_the_lines_and_passes_over_nonsense() {
        let mut list = List::default();
        let text = "pid 10 100\npid 11 101\ngone 10\ndir /a b\ndir /c\nkeep /c\nwhat now\npid x y\ngone\npid 12 1";
        list.read(text.as_bytes()).unwrap();
        assert_eq!(list.processes.keys().copied().collect::<Vec<_>>(), [11, 12]);
        assert_eq!(list.dirs, [PathBuf::from("/a b")]);
        assert!(!list.done);
        list.read("done\npid 13 1\n".as_bytes()).unwrap();
        assert!(list.done);
        assert!(!list.processes.contains_key(&13));
    }

    #[test]
    fn an_end_without_goodbye_kills_and_removes() {
        let mut child = sleeper();
        let dir = run_dir("eof");
        let text = format!(
            "pid {} {}\ndir {}\n",
            child.id(),
            Identity::of(child.id()).started,
            dir.path().display()
        );
        watch(text.as_bytes()).unwrap();
        assert!(
            child
                .wait_deadline(Duration::from_secs(5))
                .unwrap()
                .is_some()
        );
        assert!(!dir.path().exists());
    }

    #[test]
    fn a_goodbye_leaves_everything_alone() {
        let mut child = sleeper();
        let dir = run_dir("done");
        let text = format!(
            "pid {} {}\ndir {}\ndone\n",
            child.id(),
            Identity::of(child.id()).started,
            dir.path().display()
        );
        watch(text.as_bytes()).unwrap();
        assert!(
            child
                .wait_deadline(Duration::from_millis(50))
                .unwrap()
                .is_none()
        );
        assert!(dir.path().exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_number_that_another_process_has_by_now_is_left_alone() {
        let mut child = sleeper();
        let text = format!(
            "pid {} {}\n",
            child.id(),
            Identity::of(child.id()).started - 1
        );
        watch(text.as_bytes()).unwrap();
        assert!(
            child
                .wait_deadline(Duration::from_millis(50))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_folder_that_is_no_run_folder_is_left_alone() {
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("precious"), "x").unwrap();
        watch(format!("dir {}\n", other.path().display()).as_bytes()).unwrap();
        assert!(other.path().join("precious").exists());
    }
}
