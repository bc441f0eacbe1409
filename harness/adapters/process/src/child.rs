//! The node's process and its log.

use lnconform_protocol::OpError;
use lnconform_regtest::process::spawn_beside;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// How long after its last connection a process may take to go.
const GOES: Duration = Duration::from_millis(300);
/// How much of the end of a log is read for its last lines, in bytes.
const TAIL: u64 = 64 * 1024;

/// A node that runs as a child of the adapter and writes its log on standard output.
#[derive(Debug)]
pub struct Node {
    name: &'static str,
    child: Mutex<Child>,
    pid: u32,
    log: PathBuf,
    from: u64,
}

impl Node {
    /// Starts `command`, whose output is appended to `log`. `name` is the program's for messages.
    ///
    /// # Errors
    /// `rejected` when the log cannot be written or the program cannot be started.
    pub fn start(name: &'static str, mut command: Command, log: &Path) -> Result<Self, OpError> {
        let unusable =
            |e: std::io::Error| OpError::rejected(format!("{} cannot be used: {e}", log.display()));
        let mut options = OpenOptions::new();
        let mut out = options
            .create(true)
            .append(true)
            .open(log)
            .map_err(unusable)?;
        let from = out.seek(SeekFrom::End(0)).map_err(unusable)?;
        let err = out.try_clone().map_err(unusable)?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let program = command.get_program().to_owned();
        let child = spawn_beside(command).map_err(|e| {
            OpError::rejected(format!("{} cannot be started: {e}", program.display()))
        })?;
        Ok(Self {
            name,
            pid: child.id(),
            child: Mutex::new(child),
            log: log.to_owned(),
            from,
        })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// How it ended by itself, with the end of its log; `None` while it runs.
    pub fn ended(&self) -> Option<String> {
        match crate::lock(&self.child).try_wait() {
            Ok(Some(status)) => Some(format!("{status}: {}", self.tail())),
            _ => None,
        }
    }

    /// As [`Node::ended`], for a connection that breaks a moment before the process is gone.
    pub fn ended_soon(&self) -> Option<String> {
        let deadline = Instant::now() + GOES;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The error for something that failed because the node has ended; else `other`.
    pub fn blame(&self, other: impl FnOnce() -> OpError) -> OpError {
        match self.ended_soon() {
            Some(how) => OpError::internal(format!("{} has ended by itself ({how})", self.name)),
            None => other(),
        }
    }

    /// Waits until `look` answers, which says what it saw meanwhile.
    ///
    /// # Errors
    /// `rejected` with the end of the log when the node ends by itself; `timeout` when `limit` has
    /// passed.
    pub fn ready<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(Duration) -> Result<T, String>,
    ) -> Result<T, OpError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(how) = self.ended() {
                return Err(OpError::rejected(format!(
                    "{} ended before it answered ({how})",
                    self.name
                )));
            }
            let seen = match look(deadline.saturating_duration_since(Instant::now())) {
                Ok(found) => return Ok(found),
                Err(seen) => seen,
            };
            if Instant::now() >= deadline {
                return Err(OpError::timeout(format!(
                    "{} does not answer {} s after its start ({seen}): {}",
                    self.name,
                    limit.as_secs(),
                    self.tail()
                )));
            }
            thread::sleep(crate::LOOK_EVERY);
        }
    }

    /// The log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Where the log ends now, for [`Node::logged_since`].
    pub fn mark(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |file| file.len())
    }

    /// Whether `text` was written to the log after `mark`.
    pub fn logged_since(&self, mark: u64, text: &str) -> bool {
        read_from(&self.log, mark).is_ok_and(|said| said.contains(text))
    }

    /// The last lines of the log since the start.
    pub fn tail(&self) -> String {
        let from = self.from.max(self.mark().saturating_sub(TAIL));
        let text = read_from(&self.log, from).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(4)..];
        let mut text = last.join(" | ");
        if let Some((cut, _)) = text.char_indices().nth(800) {
            text.truncate(cut);
        }
        text
    }

    /// Asks it to end as SIGTERM does.
    pub fn terminate(&self) {
        #[cfg(unix)]
        if let Some(pid) = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            && self.ended().is_none()
        {
            // An error says that it has ended already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        #[cfg(not(unix))]
        self.kill();
    }

    /// Has `ask` ask it to stop, in the time that it is given, and waits for its end, both within
    /// `limit`; kills it when that does not come.
    ///
    /// # Errors
    /// `internal` when it had to be killed, or had ended by itself before it was asked.
    pub fn stop<E: std::fmt::Display>(
        &self,
        limit: Duration,
        ask: impl FnOnce(Duration) -> Result<(), E>,
    ) -> Result<(), OpError> {
        let deadline = Instant::now() + limit;
        match ask(limit) {
            Ok(()) => self.wait_until(deadline, limit),
            Err(e) => {
                // One that has ended by itself did not stop when it was asked to.
                let e = self.blame(|| {
                    OpError::internal(format!(
                        "{} cannot be asked to stop: {e}; it was killed",
                        self.name
                    ))
                });
                self.kill();
                Err(e)
            }
        }
    }

    /// Waits for its end and kills it when that does not come.
    ///
    /// # Errors
    /// `internal` when it had to be killed.
    pub fn wait(&self, limit: Duration) -> Result<(), OpError> {
        self.wait_until(Instant::now() + limit, limit)
    }

    fn wait_until(&self, deadline: Instant, limit: Duration) -> Result<(), OpError> {
        while Instant::now() < deadline {
            if self.ended().is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        Err(OpError::internal(format!(
            "{} did not stop within {} s; it was killed",
            self.name,
            limit.as_secs()
        )))
    }

    /// Ends it as SIGKILL does.
    pub fn kill(&self) {
        let mut child = crate::lock(&self.child);
        // An error says that it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read_from(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a file that only its owner reads: it holds bitcoind's password.
///
/// # Errors
/// `rejected` when that cannot be done.
pub fn write_private(path: &Path, text: &str) -> Result<(), OpError> {
    use std::io::Write;
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| OpError::rejected(format!("{} cannot be written: {e}", path.display())))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use lnconform_protocol::ErrorKind;

    fn shell(script: &str) -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let node = Node::start("thenode", command, &dir.path().join("log")).unwrap();
        (dir, node)
    }

    #[test]
    fn one_that_ends_before_it_answers_is_quoted() {
        let (_dir, node) = shell("echo no such chain; exit 3");
        let e = node
            .ready(Duration::from_secs(20), |_| Err::<(), _>("nothing".into()))
            .unwrap_err();
        assert_eq!(e.kind, ErrorKind::Rejected);
        assert!(e.message.contains("thenode ended") && e.message.contains("no such chain"));
        let later = node.blame(|| OpError::timeout("x"));
        assert!(later.message.contains("ended by itself"), "{later:?}");
    }

    #[test]
    fn one_that_stays_silent_is_told_with_what_was_seen() {
        let (_dir, node) = shell("sleep 60");
        let e = node
            .ready(Duration::from_millis(50), |_| {
                Err::<(), _>("no socket".into())
            })
            .unwrap_err();
        assert_eq!(e.kind, ErrorKind::Timeout);
        assert!(e.message.contains("no socket"), "{e:?}");
        assert_eq!(
            node.blame(|| OpError::timeout("x")).kind,
            ErrorKind::Timeout
        );
        node.terminate();
        node.wait(Duration::from_secs(20)).unwrap();
    }

    #[test]
    fn one_that_does_not_stop_is_killed() {
        let (_dir, node) = shell("trap '' TERM; while :; do sleep 60; done");
        let e = node.wait(Duration::from_millis(20)).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Internal);
        assert!(node.ended().is_some());
    }

    #[test]
    fn stopping_is_asked_for_and_a_refusal_is_told_with_whose_it_is() {
        let (_dir, node) = shell("sleep 60");
        let e = node
            .stop(Duration::from_secs(20), |_| Err("no such call"))
            .unwrap_err();
        assert_eq!(
            (e.kind, &e.message[..]),
            (
                ErrorKind::Internal,
                "thenode cannot be asked to stop: no such call; it was killed"
            )
        );
        assert!(node.ended().is_some());
        let (_dir, node) = shell("echo my own end; exit 3");
        let e = node
            .stop(Duration::from_secs(20), |_| Err("no connection"))
            .unwrap_err();
        assert!(e.message.contains("my own end"), "{e:?}");
        let (_dir, node) = shell("sleep 60");
        let asked = node.stop(Duration::from_secs(20), |left| {
            assert_eq!(left, Duration::from_secs(20));
            node.terminate();
            Ok::<(), String>(())
        });
        asked.unwrap();
    }

    #[test]
    fn of_a_long_log_the_end_is_read() {
        let (dir, node) = shell("exit 0");
        node.wait(Duration::from_secs(20)).unwrap();
        let long = format!("begin\n{}\nthe end\n", "x".repeat(1 << 20));
        std::fs::write(dir.path().join("log"), &long).unwrap();
        let tail = node.tail();
        assert!(tail.len() <= 800 && !tail.contains("begin"), "{tail}");
        let mark = node.mark();
        assert_eq!(mark, long.len() as u64);
        assert!(!node.logged_since(mark, "the end"));
        assert!(node.logged_since(mark - 8, "the end"));
        std::fs::write(dir.path().join("log"), "one\n\ntwo\n").unwrap();
        assert_eq!(node.tail(), "one | two");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let command = Command::new("/nonexistent/node");
        let e = Node::start("thenode", command, &dir.path().join("log")).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Rejected);
        assert!(e.message.contains("/nonexistent/node"), "{e:?}");
    }

    #[test]
    fn a_private_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conf");
        write_private(&path, "password=p\n").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        let e = write_private(&dir.path().join("no/conf"), "").unwrap_err();
        assert_eq!(e.kind, ErrorKind::Rejected);
    }
}
