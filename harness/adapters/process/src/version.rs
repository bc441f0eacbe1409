//! The version of a program, as it says itself.

use lnconform_regtest::process::spawn_beside;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take to say it; `hello` has 10 s.
const LIMIT: Duration = Duration::from_secs(8);
/// How much it may say, in bytes.
const SAYS: u64 = 64 * 1024;

/// Asks `program --version`; `read` finds the version in the first line. `name` is what the program
/// should be.
///
/// # Errors
/// Naming the program, when it cannot be run, fails, says nothing in time or something else.
pub fn version(
    program: &Path,
    name: &str,
    read: impl Fn(&str) -> Option<String>,
) -> io::Result<String> {
    within(LIMIT, program, name, read)
}

fn within(
    limit: Duration,
    program: &Path,
    name: &str,
    read: impl Fn(&str) -> Option<String>,
) -> io::Result<String> {
    let failed = |what: String| {
        io::Error::other(format!(
            "{} --version: {what}; is it {name}?",
            program.display()
        ))
    };
    let deadline = Instant::now() + limit;
    let late = || failed(format!("no answer within {} s", limit.as_secs_f32()));
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = spawn_beside(command).map_err(|e| failed(e.to_string()))?;
    let out = child.stdout.take();
    // A child of the program's may hold its output open for longer than the program runs.
    let (tell, told) = mpsc::channel();
    thread::Builder::new()
        .name("version".into())
        .spawn(move || {
            let mut bytes = Vec::new();
            let read = out.map_or(Ok(0), |out| out.take(SAYS).read_to_end(&mut bytes));
            // Nobody waits for it any more where it came too late.
            let _ = tell.send(read.map(|_| bytes));
        })?;
    let said = told.recv_timeout(limit);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < deadline && said.is_ok() => {
                thread::sleep(crate::LOOK_EVERY);
            }
            Ok(None) => break Err(late()),
            Err(e) => break Err(failed(e.to_string())),
        }
    };
    if status.is_err() {
        // An error says that it has ended meanwhile.
        let _ = child.kill();
        let _ = child.wait();
    }
    let status = status?;
    let said = said
        .map_err(|_| late())?
        .map_err(|e| failed(e.to_string()))?;
    let said = String::from_utf8_lossy(&said);
    let first = said.lines().next().unwrap_or_default().trim();
    match read(first).filter(|_| status.success()) {
        Some(version) => Ok(version),
        None => Err(failed(format!("{status}: it says {first:?}"))),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::testing::write_program;

    fn ask(script: &str, limit: Duration) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("theprogram");
        write_program(&program, &format!("#!/bin/sh\n{script}\n"));
        let numbers = |line: &str| line.strip_prefix("node ").map(str::to_owned);
        within(limit, &program, "thenode", numbers).map_err(|e| e.to_string())
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn the_first_line_is_read() {
        let said = ask("[ \"$1\" = --version ] && echo node 1.2; echo more", LONG);
        assert_eq!(said.unwrap(), "1.2");
    }

    #[test]
    fn what_is_no_version_is_quoted_and_the_program_named() {
        for (script, said) in [
            ("echo hello", "\"hello\""),
            ("echo node 1.2; exit 3", "3"),
            ("exit 0", "\"\""),
        ] {
            let e = ask(script, LONG).unwrap_err();
            assert!(
                e.contains("theprogram --version") && e.contains("is it thenode?"),
                "{e}"
            );
            assert!(e.contains(said), "{e}");
        }
        let none = version(Path::new("/nonexistent/x"), "thenode", |_| None);
        assert!(none.unwrap_err().to_string().contains("/nonexistent/x"));
    }

    #[test]
    fn a_program_that_does_not_end_is_given_up_on() {
        for script in ["exec sleep 60", "echo node 1.2; exec sleep 60 >/dev/null"] {
            let e = ask(script, Duration::from_millis(50)).unwrap_err();
            assert!(e.contains("no answer within"), "{e}");
        }
    }
}
