//! A run that has ended and whose process holds a failing cluster up (`run --keep`).
//!
//! The process that ran the checks goes on, without a terminal; `clean` asks it to end, and its nodes
//! end with it.

use crate::run::Owner;
use crate::sys::{self, Identity, Signal, State};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file in a run's folder that says how to get at what stays up; a run that still works has none.
pub const PAGE: &str = "attach.txt";

/// How long a process that holds a cluster up may take to end it: a node gets 5 s, all of them at once.
const END: Duration = Duration::from_secs(15);

/// Whether the run in this folder is over but for what it holds up.
pub(crate) fn holds(folder: &Path, owner: &Owner) -> bool {
    owner.alive() && folder.join(PAGE).exists()
}

/// Asks a process to end as Ctrl-C would: nothing where it has ended.
pub fn ask_to_end(pid: u32) {
    sys::signal_one(pid, Signal::Terminate);
}

/// Ends a process that holds a cluster up, and with it the cluster.
pub(crate) fn end(process: Identity) -> io::Result<()> {
    if process.state() != State::Running {
        return Ok(());
    }
    sys::signal_one(process.pid, Signal::Terminate);
    if gone(process, END) {
        return Ok(());
    }
    // Its watchdog ends what it leaves.
    sys::signal_one(process.pid, Signal::Kill);
    if gone(process, END) {
        Ok(())
    } else {
        Err(io::Error::other("it does not end, even on SIGKILL"))
    }
}

/// Waits until a process has ended.
fn gone(process: Identity, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while process.state() == State::Running {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Where the page of a run lies.
pub fn page(run: &Path) -> PathBuf {
    run.join(PAGE)
}
