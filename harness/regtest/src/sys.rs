//! The few questions about processes that differ between systems.
//!
//! Windows only has to build (the codec lane): there a process is killed through its handle by
//! [`crate::process::Child`], and nothing else is known.

/// The temporary folder that all users and runs of the machine share, whatever TMPDIR says.
pub(crate) fn shared_tmp() -> std::path::PathBuf {
    let shared = std::path::Path::new("/tmp");
    if shared.is_dir() {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// How many bytes this user may still write to the file system of `path`, where that is known.
pub(crate) fn free_bytes(path: &std::path::Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let answer = rustix::fs::statvfs(path).ok()?;
        // Such as /proc, which has no size.
        (answer.f_blocks > 0).then(|| answer.f_bavail.saturating_mul(answer.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// A process, named so that a later one with the same number is never taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The process id.
    pub pid: u32,
    /// Clock ticks from boot to its start; 0 where the system does not say.
    pub started: u64,
}

impl Identity {
    /// The process that has this number now.
    pub fn of(pid: u32) -> Self {
        Self {
            pid,
            started: start_time(pid).unwrap_or(0),
        }
    }

    /// This process.
    pub fn me() -> Self {
        Self::of(std::process::id())
    }

    /// What is known about the number now.
    pub fn state(self) -> State {
        if !exists(self.pid) {
            return State::Gone;
        }
        match stat(self.pid) {
            Some(stat) if self.started != 0 && stat.started != self.started => State::Other,
            Some(stat) if matches!(stat.state, 'Z' | 'X') => State::Dead,
            Some(_) => State::Running,
            // No /proc here, or the process ended between the two questions.
            None if cfg!(target_os = "linux") => State::Gone,
            None => State::Running,
        }
    }
}

/// What a process number stands for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The same process, alive.
    Running,
    /// The same process, ended and not yet reaped by its parent.
    Dead,
    /// No process has the number.
    Gone,
    /// Another process has it by now.
    Other,
}

/// How hard to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Signals the group that the process leads, or the process alone if it leads none.
///
/// A leader that is gone may have left members: as long as a group has any, the system gives its
/// number to nobody else, so the group is still the one that was meant. A number that belongs to
/// another process by now is left alone.
pub(crate) fn signal_tree(process: Identity, signal: Signal) {
    match process.state() {
        State::Other => {}
        State::Gone => signal_group(process.pid, signal),
        State::Running | State::Dead => {
            if leads_group(process.pid) {
                signal_group(process.pid, signal);
            } else {
                signal_one(process.pid, signal);
            }
        }
    }
}

/// Whether anybody is left of the process or of the group that it leads.
pub(crate) fn tree_alive(process: Identity) -> bool {
    match process.state() {
        State::Running => true,
        State::Other => false,
        State::Dead | State::Gone => group_alive(process.pid),
    }
}

/// The fields of `/proc/PID/stat` that matter here.
struct Stat {
    state: char,
    parent: u32,
    group: u32,
    started: u64,
}

/// `/proc/PID/stat`, or none: no such process, or a system without it.
fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the command's name in parentheses and may itself hold spaces and
/// parentheses, so that counting starts after the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // Field 22 of proc(5), counted from 1; `group` was field 5.
    let started = fields.nth(16)?.parse().ok()?;
    Some(Stat {
        state,
        parent,
        group,
        started,
    })
}

/// Clock ticks from boot to the start of the process, where the system says.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat(pid).map(|s| s.started)
}

/// The id of the parent, where the system says.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid).map(|s| s.parent)
}

/// The environment a process was started with, if this user may read it.
pub(crate) fn environment(pid: u32) -> Option<Vec<String>> {
    Some(zero_separated(
        &std::fs::read(format!("/proc/{pid}/environ")).ok()?,
    ))
}

/// The command line of a process, for people to read.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    Some(zero_separated(&std::fs::read(format!("/proc/{pid}/cmdline")).ok()?).join(" "))
}

fn zero_separated(bytes: &[u8]) -> Vec<String> {
    bytes
        .split(|b| *b == 0)
        .filter(|s| !s.is_empty())
        .map(|s| String::from_utf8_lossy(s).into_owned())
        .collect()
}

/// The ids of all processes, where `/proc` exists.
pub(crate) fn all_pids() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether a process that is not a zombie belongs to the group.
fn group_alive(group: u32) -> bool {
    if !group_exists(group) {
        return false;
    }
    let members: Vec<_> = all_pids()
        .into_iter()
        .filter_map(stat)
        .filter(|s| s.group == group)
        .collect();
    // Without /proc only the group's existence is known.
    members.is_empty() && !cfg!(target_os = "linux")
        || members.iter().any(|s| !matches!(s.state, 'Z' | 'X'))
}

#[cfg(unix)]
mod system {
    use super::Signal;
    use rustix::process as p;

    fn pid_of(pid: u32) -> Option<p::Pid> {
        // 0 and 1 would mean "my own group" and init: never a target.
        p::Pid::from_raw(i32::try_from(pid).ok().filter(|n| *n > 1)?)
    }

    fn signal_of(signal: Signal) -> p::Signal {
        match signal {
            Signal::Terminate => p::Signal::TERM,
            Signal::Kill => p::Signal::KILL,
        }
    }

    // The results are ignored on purpose: the target may have ended just now.
    pub(crate) fn signal_one(pid: u32, signal: Signal) {
        if let Some(pid) = pid_of(pid) {
            let _ = p::kill_process(pid, signal_of(signal));
        }
    }

    pub(crate) fn signal_group(pid: u32, signal: Signal) {
        if let Some(pid) = pid_of(pid) {
            let _ = p::kill_process_group(pid, signal_of(signal));
        }
    }

    /// Whether a process has the number (a zombie and somebody else's process included).
    pub(crate) fn exists(pid: u32) -> bool {
        pid_of(pid).is_some_and(
            |pid| !matches!(p::test_kill_process(pid), Err(e) if e == rustix::io::Errno::SRCH),
        )
    }

    pub(crate) fn group_exists(pid: u32) -> bool {
        pid_of(pid).is_some_and(|pid| {
            !matches!(p::test_kill_process_group(pid), Err(e) if e == rustix::io::Errno::SRCH)
        })
    }

    pub(crate) fn leads_group(pid: u32) -> bool {
        pid_of(pid).is_some_and(|pid| p::getpgid(Some(pid)) == Ok(pid))
    }
}

#[cfg(not(unix))]
mod system {
    use super::Signal;

    pub(crate) fn signal_one(_pid: u32, _signal: Signal) {}

    pub(crate) fn signal_group(_pid: u32, _signal: Signal) {}

    pub(crate) fn exists(_pid: u32) -> bool {
        false
    }

    pub(crate) fn group_exists(_pid: u32) -> bool {
        false
    }

    pub(crate) fn leads_group(_pid: u32) -> bool {
        false
    }
}

pub(crate) use system::{exists, group_exists, leads_group, signal_group, signal_one};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_a_command_name_with_spaces_and_parentheses() {
        let line = "42 (a) b (c) S 1 77 77 0 -1 4194304 1 0 0 0 5 6 0 0 20 0 1 0 987654 1 1";
        let stat = parse_stat(line).unwrap();
        assert_eq!(
            (stat.state, stat.parent, stat.group, stat.started),
            ('S', 1, 77, 987654)
        );
        assert!(parse_stat("42 (cut").is_none());
        assert!(parse_stat("42 (x) S 1 77").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn free_room_is_known_for_disks_only() {
        assert!(free_bytes(std::path::Path::new("/")).is_some());
        assert_eq!(free_bytes(std::path::Path::new("/proc")), None);
        assert_eq!(free_bytes(std::path::Path::new("/nonexistent")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_identity_tells_the_same_process_from_another_one() {
        let me = Identity::me();
        assert_ne!(me.started, 0);
        assert_eq!(me.state(), State::Running);
        assert_eq!(
            Identity {
                started: me.started + 1,
                ..me
            }
            .state(),
            State::Other
        );
        assert_eq!(
            Identity {
                pid: u32::MAX,
                started: 1
            }
            .state(),
            State::Gone
        );
    }
}
