//! What the tests of live nodes share: bitcoind, runs that go on meanwhile, and eyes for what a
//! run starts and leaves.

// Each test program that includes this file uses a part of it.
#![allow(dead_code)]

use lnconform_tests::{Place, binary};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// For whatever comes as soon as the machine gets to it. It is long because a failure costs that
/// time only once, and two cores may be busy with builds.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The result file of a run that names none.
pub const RESULTS: &str = ".lnconform/last.jsonl";

/// A place in which live nodes can be started: with the cache of whoever runs the tests, which is
/// filled with bitcoind first, once a test program.
pub fn place() -> Place {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| install("bitcoind"));
    let mut place = Place::new();
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = || set("HOME").map(|home| PathBuf::from(home).join(".cache/lnconform").into());
    if let Some(cache) = set("LNCONFORM_CACHE").or_else(home) {
        place.env("LNCONFORM_CACHE", cache);
    }
    // Found there before the cache is looked into, so that it was not installed.
    if let Some(program) = set("BITCOIND_EXE") {
        place.env("BITCOIND_EXE", program);
    }
    place
}

/// Installs a program as a user does it, into the cache of whoever runs the tests, and never through
/// apt.
pub fn install(program: &str) {
    let output = Command::new(binary())
        .args(["install", program])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} could not be installed without apt; what follows says what to type:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs to the end and asserts that nothing is left of it. Answers what it said.
#[track_caller]
pub fn run(place: &Place, code: i32, args: &[&str]) -> String {
    let mut run = Running::start(place, args);
    let status = run.end();
    assert_eq!(status.code(), Some(code), "{}", run.said());
    assert_tidy(place, run.id());
    run.said()
}

/// The processes of a place that carry the label of a run.
pub fn labelled(place: &Place) -> Vec<Process> {
    let carries = |pid: u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ
            .split(|b| *b == 0)
            .any(|v| v.starts_with(b"LNCONFORM_RUN="))
    };
    processes(place)
        .into_iter()
        .filter(|p| carries(p.pid))
        .collect()
}

/// All processes of a place.
pub fn processes(place: &Place) -> Vec<Process> {
    let read = |line: String| {
        let (pid, command) = line.split_once(' ').unwrap();
        Process {
            pid: pid.parse().unwrap(),
            command: command.to_owned(),
        }
    };
    place.processes().into_iter().map(read).collect()
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

/// Asserts that nothing is left of a run of this process id, now and not only after a while: no
/// process, no file, no lock on a port.
#[track_caller]
pub fn assert_tidy(place: &Place, harness: u32) {
    let left = processes(place);
    assert!(left.is_empty(), "processes are left: {left:?}");
    let left = temporary(place);
    assert!(left.is_empty(), "files are left: {left:?}");
    let locks = locks(harness);
    assert!(locks.is_empty(), "locks on ports are left: {locks:?}");
}

/// What lies in the place's TMPDIR.
pub fn temporary(place: &Place) -> Vec<PathBuf> {
    std::fs::read_dir(place.tmp())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect()
}

/// The locks on ports that name this process as their holder.
fn locks(holder: u32) -> Vec<PathBuf> {
    // Ports belong to the machine: the folder does not follow TMPDIR.
    let Ok(entries) = std::fs::read_dir("/tmp/lnconform-ports") else {
        return Vec::new();
    };
    let holder = holder.to_string();
    let held = |path: &PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text == holder);
    entries.flatten().map(|e| e.path()).filter(held).collect()
}

/// A run that goes on. It is killed when a test gives up on it.
pub struct Running<'a> {
    child: Child,
    place: &'a Place,
    ended: bool,
}

impl<'a> Running<'a> {
    /// Starts one. What it says goes to a file, since nobody reads a pipe meanwhile.
    pub fn start(place: &'a Place, args: &[&str]) -> Self {
        let said = std::fs::File::create(place.path("said")).unwrap();
        let mut command = place.command(args);
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said);
        Self {
            child: command.spawn().unwrap(),
            place,
            ended: false,
        }
    }

    /// The process id of the harness.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `condition` holds; the run must not end before.
    #[track_caller]
    pub fn until(&mut self, what: &str, condition: impl Fn(&Place) -> bool) {
        let begin = Instant::now();
        while !condition(self.place) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the run ended ({status}) before {what}:\n{}", self.said());
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{what} did not come:\n{}",
                self.said()
            );
            pause();
        }
    }

    /// Waits for the end of the harness.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.ended = true;
                return status;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "the run does not end:\n{}",
                self.said()
            );
            pause();
        }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.place.read("said")
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Its watchdog does the rest.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether the result file has a check already.
pub fn has_result(place: &Place) -> bool {
    std::fs::read_to_string(place.path(RESULTS))
        .is_ok_and(|text| text.contains("\"type\":\"check\""))
}

/// Waits until `look` sees what is wanted and answers how long that took, from `begin` on.
#[track_caller]
pub fn within<T: std::fmt::Debug + PartialEq>(
    limit: Duration,
    begin: Instant,
    wanted: &T,
    look: impl Fn() -> T,
) -> Duration {
    loop {
        let seen = look();
        let took = begin.elapsed();
        if seen == *wanted {
            return took;
        }
        assert!(took < limit, "after {took:?}: {seen:?}, not {wanted:?}");
        pause();
    }
}

/// Between two looks at a named condition.
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// Sends a signal; a process that has ended by itself needs none.
pub fn signal(name: &str, pid: u32) {
    let pid = pid.to_string();
    Command::new("kill")
        .args([&format!("-{name}"), &pid])
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

/// The records of one type.
pub fn of_type<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|r| r["type"] == kind).collect()
}

/// The one check with this id.
#[track_caller]
pub fn check<'a>(records: &'a [Value], id: &str) -> &'a Value {
    let mut found = of_type(records, "check");
    found.retain(|c| c["id"] == id);
    assert_eq!(found.len(), 1, "checks with the id {id}: {found:?}");
    found[0]
}

/// The strings of a field, each once.
pub fn set<'a>(records: &[&'a Value], field: &str) -> BTreeSet<&'a str> {
    records.iter().filter_map(|r| r[field].as_str()).collect()
}
