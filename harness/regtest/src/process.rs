//! Children that end with the harness.
//!
//! Every child leads a process group, so that what it starts itself can be stopped with it, and
//! on Linux it is killed by the kernel when the harness dies. That wish is tied to the *thread*
//! that spawned it, not to the process: a child of a worker thread would die with the worker.
//! So all children are spawned by one thread that lives as long as the harness.

use crate::reaper;
use crate::sys::{self, Identity, Signal};
use std::io;
use std::ops::{Deref, DerefMut};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// A running child that leads a process group. Dropping it kills the group and reaps the child.
///
/// It dereferences to [`std::process::Child`] for its pipes, its id and its status.
#[derive(Debug)]
pub struct Child {
    inner: std::process::Child,
    identity: Identity,
    label: String,
}

impl Child {
    /// What the child is called in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Sends SIGKILL to the child and to everything in its group. Does not wait.
    pub fn kill_group(&mut self) {
        sys::signal_tree(self.identity, Signal::Kill);
        if cfg!(not(unix)) {
            // An error says that it has ended already.
            let _ = self.inner.kill();
        }
    }

    /// Asks the child and everything in its group to end (SIGTERM). Does not wait.
    pub fn terminate_group(&mut self) {
        sys::signal_tree(self.identity, Signal::Terminate);
        if cfg!(not(unix)) {
            let _ = self.inner.kill();
        }
    }

    /// Waits until the child has ended; `None` if it still runs when `limit` is over.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn wait_deadline(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.inner.try_wait()? {
                return Ok(Some(status));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // std has no wait with a deadline; ends of children are rare enough to poll for.
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

impl Deref for Child {
    type Target = std::process::Child;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Child {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
        // After SIGKILL this cannot take long; without it the child would stay as a zombie.
        let _ = self.inner.wait();
        reaper::forget(self.identity);
    }
}

/// One order to the spawner thread.
struct Job {
    command: Command,
    reply: SyncSender<io::Result<std::process::Child>>,
}

/// Starts `command` in a process group of its own; on Linux the kernel kills it when the harness
/// dies. The caller sets pipes and environment, [`crate::RUN_ENV`] among it. `label` is what
/// messages call the child.
///
/// # Errors
/// When the program cannot be started (not found, not executable, no process left), or when the
/// run is being stopped.
pub fn spawn(mut command: Command, label: &str) -> io::Result<Child> {
    if reaper::stopping() {
        return Err(io::Error::other(
            "the run is being stopped, so nothing is started any more",
        ));
    }
    prepare(&mut command);
    let inner = from_spawner(command)?;
    let identity = Identity::of(inner.id());
    let child = Child {
        inner,
        identity,
        label: label.to_owned(),
    };
    // A stop that came in between has not seen this child: it is told, and the drop kills it.
    if !reaper::register(identity, label) {
        return Err(io::Error::other(
            "the run is being stopped, so nothing is started any more",
        ));
    }
    Ok(child)
}

/// Starts `command` in the process group of the caller: for a program that the harness has started
/// itself, an adapter, and that starts a node. Whoever stops the adapter's group stops the node
/// with it; on Linux the kernel kills the node when the adapter dies. The caller reaps it.
///
/// # Errors
/// When the program cannot be started.
#[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
pub fn spawn_beside(mut command: Command) -> io::Result<std::process::Child> {
    #[cfg(target_os = "linux")]
    die_with_parent(&mut command);
    from_spawner(command)
}

/// Has the spawner thread start the command.
fn from_spawner(command: Command) -> io::Result<std::process::Child> {
    let (reply, answer) = sync_channel(1);
    let gone = || io::Error::other("the thread that starts processes has ended");
    spawner()?
        .send(Job { command, reply })
        .map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// The one thread that starts processes.
fn spawner() -> io::Result<&'static Sender<Job>> {
    static SPAWNER: OnceLock<Option<Sender<Job>>> = OnceLock::new();
    SPAWNER
        .get_or_init(|| {
            let (orders, jobs) = channel::<Job>();
            thread::Builder::new()
                .name("spawner".into())
                .spawn(move || {
                    while let Ok(mut job) = jobs.recv() {
                        // A caller that gave up has dropped its end; the child then ends here.
                        if let Err(unwanted) = job.reply.send(job.command.spawn())
                            && let Ok(mut child) = unwanted.0
                        {
                            let _ = child.kill();
                            let _ = child.wait();
                        }
                    }
                })
                .ok()
                .map(|_| orders)
        })
        .as_ref()
        .ok_or_else(|| io::Error::other("no thread could be made to start processes from"))
}

/// Own group on Unix, and the kernel's promise on Linux.
fn prepare(command: &mut Command) {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    #[cfg(target_os = "linux")]
    die_with_parent(command);
    #[cfg(not(unix))]
    let _ = command;
}

/// Has the kernel send SIGKILL to the child when the thread that spawned it ends.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(crate) fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    use std::os::unix::process::CommandExt;

    let parent = std::process::id();
    let promise = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // A harness that died before the line above would never be noticed.
        let still =
            getppid().is_some_and(|p| u32::try_from(p.as_raw_nonzero().get()) == Ok(parent));
        if still {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(3))
        }
    };
    // SAFETY: the closure runs in the forked child before exec, where only async-signal-safe work
    // is allowed. It makes two system calls (prctl, getppid) and neither allocates nor locks.
    unsafe { command.pre_exec(promise) };
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::sys::State;
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).stdout(Stdio::piped());
        command
    }

    /// Waits until nothing of the process is left.
    fn gone(process: Identity) -> bool {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(process.state(), State::Running) {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// The process id that the child prints as its first line.
    fn printed(child: &mut Child) -> Identity {
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        Identity::of(line.trim().parse().unwrap())
    }

    #[test]
    fn the_child_leads_a_group_and_its_output_and_status_are_seen() {
        let mut child = spawn(sh("echo hello; exit 3"), "sh").unwrap();
        assert!(sys::leads_group(child.id()));
        let mut text = String::new();
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "hello\n");
        let status = child
            .wait_deadline(Duration::from_secs(5))
            .unwrap()
            .unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(child.label(), "sh");
    }

    #[test]
    fn a_deadline_passes_while_the_child_runs() {
        let mut child = spawn(sh("exec sleep 60"), "sleeper").unwrap();
        assert!(
            child
                .wait_deadline(Duration::from_millis(20))
                .unwrap()
                .is_none()
        );
        child.terminate_group();
        assert!(
            child
                .wait_deadline(Duration::from_secs(5))
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn dropping_kills_the_grandchildren_too() {
        let mut child = spawn(sh("sleep 60 & echo $!; wait"), "parent").unwrap();
        let grandchild = printed(&mut child);
        assert_eq!(grandchild.state(), State::Running);
        drop(child);
        assert!(gone(grandchild), "the grandchild outlived its group");
    }

    #[test]
    fn a_leader_that_ended_by_itself_does_not_save_its_group() {
        let mut child = spawn(sh("sleep 60 >/dev/null & echo $!"), "short").unwrap();
        let grandchild = printed(&mut child);
        assert!(
            child
                .wait_deadline(Duration::from_secs(5))
                .unwrap()
                .is_some()
        );
        assert_eq!(grandchild.state(), State::Running);
        drop(child);
        assert!(gone(grandchild), "the orphan outlived its group");
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let mut child = thread::spawn(|| spawn(sh("exec sleep 60"), "sleeper").unwrap())
            .join()
            .unwrap();
        // Had the kernel's promise been tied to that thread, the child would be dead by now.
        assert!(
            child
                .wait_deadline(Duration::from_millis(100))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn beside_the_caller_means_its_group_and_any_thread() {
        let mut child = thread::spawn(|| spawn_beside(sh("exec sleep 60")).unwrap())
            .join()
            .unwrap();
        assert!(!sys::leads_group(child.id()));
        let group = |pid| rustix::process::getpgid(rustix::process::Pid::from_raw(pid)).unwrap();
        assert_eq!(group(i32::try_from(child.id()).unwrap()), group(0));
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        let error = spawn(Command::new("/nonexistent/program"), "none").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
