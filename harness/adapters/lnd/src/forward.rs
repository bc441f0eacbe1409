//! Codec operations, handed on to a Go program that links LND's packages and speaks the same
//! protocol.
//!
//! It is started by the first codec operation and never again: an answer of a second process would
//! hide what ended the first.

use lnconform_protocol::framing::{Line, read_line};
use lnconform_protocol::message::parse_response;
use lnconform_protocol::{Answer, Hello, MAX_LINE, OpError, PROTOCOL, Request};
use lnconform_regtest::process::spawn_beside;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lnconform_adapter_process::lock;

/// One codec operation; the harness allows 5 s.
const LIMIT: Duration = Duration::from_millis(4800);
/// Requests that may wait for an answer.
const WAITING: usize = 1024;

/// The Go program.
#[derive(Debug)]
pub(crate) struct Codec {
    program: PathBuf,
    process: Mutex<Option<Result<Arc<Process>, String>>>,
}

#[derive(Debug)]
struct Process {
    name: String,
    stdin: Mutex<ChildStdin>,
    waiting: Arc<Mutex<Waiting>>,
    child: Mutex<Child>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    answers: HashMap<u64, SyncSender<Answer>>,
    /// Why there is nobody any more.
    ended: Option<String>,
}

impl Codec {
    pub(crate) fn new(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            process: Mutex::default(),
        }
    }

    /// Asks a process of its own for its identity and operations: a node that is asked for no codec
    /// operation keeps none running.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub(crate) fn hello(&self) -> Result<Hello, OpError> {
        let process = Process::start(&self.program).map_err(OpError::internal)?;
        let asked = json!({"protocol": PROTOCOL, "harness": "lnconform"});
        match process.ask("hello", &asked) {
            Answer::Result(value) => serde_json::from_value(value)
                .map_err(|e| OpError::internal(format!("{}: hello: {e}", process.name))),
            other => Err(OpError::internal(format!(
                "{}: hello: {other:?}",
                process.name
            ))),
        }
    }

    /// Answers one codec operation.
    pub(crate) fn ask(&self, op: &str, params: &Value) -> Answer {
        let process = lock(&self.process)
            .get_or_insert_with(|| Process::start(&self.program).map(Arc::new))
            .clone();
        match process {
            Ok(process) => process.ask(op, params),
            Err(why) => Answer::Error(OpError::internal(why)),
        }
    }
}

impl Process {
    fn start(program: &Path) -> Result<Self, String> {
        let name = program.display().to_string();
        let failed = |e: std::io::Error| format!("the codec program {name} cannot be started: {e}");
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn_beside(command).map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("the codec program {name} has no pipes"));
        };
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let theirs = waiting.clone();
        let reader = move || {
            let mut reader = BufReader::with_capacity(1 << 16, stdout);
            let mut line = Vec::new();
            let why = loop {
                match read_line(&mut reader, &mut line, MAX_LINE) {
                    Ok(Line::Whole | Line::Cut) => {}
                    Ok(Line::End) => break "it has ended".to_owned(),
                    Ok(Line::TooLong) => {
                        break format!("it wrote more than {MAX_LINE} bytes a line");
                    }
                    Err(e) => break e.to_string(),
                }
                match parse_response(&line) {
                    Ok(response) => {
                        let waits = lock(&theirs).answers.remove(&response.id);
                        if let Some(waits) = waits {
                            // Whoever asked may have given up.
                            let _ = waits.send(response.answer);
                        }
                    }
                    Err(e) => break e.to_string(),
                }
            };
            let mut waiting = lock(&theirs);
            waiting.ended = Some(why);
            waiting.answers.clear();
        };
        thread::Builder::new()
            .name("codec".into())
            .spawn(reader)
            .map_err(failed)?;
        Ok(Self {
            name,
            stdin: Mutex::new(stdin),
            waiting,
            child: Mutex::new(child),
        })
    }

    fn gone(&self) -> Answer {
        let why = lock(&self.waiting).ended.clone();
        Answer::Error(OpError::internal(format!(
            "the codec program {} answers no more: {}",
            self.name,
            why.as_deref().unwrap_or("its input is closed")
        )))
    }

    fn ask(&self, op: &str, params: &Value) -> Answer {
        let (reply, answer) = sync_channel(1);
        let id = {
            let mut waiting = lock(&self.waiting);
            if waiting.ended.is_some() {
                drop(waiting);
                return self.gone();
            }
            if waiting.answers.len() >= WAITING {
                return Answer::Error(OpError::internal(format!(
                    "{WAITING} requests wait for the codec program {}",
                    self.name
                )));
            }
            waiting.next += 1;
            let id = waiting.next;
            waiting.answers.insert(id, reply);
            id
        };
        let request = Request {
            id,
            op: op.to_owned(),
            params: params.clone(),
        };
        let mut line = match serde_json::to_vec(&request) {
            Ok(line) => line,
            Err(e) => return Answer::Error(OpError::internal(e.to_string())),
        };
        line.push(b'\n');
        if lock(&self.stdin).write_all(&line).is_err() {
            lock(&self.waiting).answers.remove(&id);
            return self.gone();
        }
        match answer.recv_timeout(LIMIT) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                lock(&self.waiting).answers.remove(&id);
                Answer::Error(OpError::timeout(format!(
                    "the codec program {} has not answered {op}",
                    self.name
                )))
            }
            Err(RecvTimeoutError::Disconnected) => self.gone(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // It has no state to lose.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn script(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("codec");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn answers_are_handed_back_and_a_dead_program_is_named_and_not_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let count = dir.path().join("starts");
        let program = script(
            dir.path(),
            &format!(
                "echo x >> {}; read line; echo '{{\"id\":1,\"result\":{{\"a\":1}}}}'",
                count.display()
            ),
        );
        let codec = Codec::new(&program);
        assert_eq!(
            codec.ask("amp.child", &json!({})),
            Answer::Result(json!({"a": 1}))
        );
        for _ in 0..2 {
            let Answer::Error(e) = codec.ask("amp.child", &json!({})) else {
                panic!("a dead program answered");
            };
            assert_eq!(e.kind, lnconform_protocol::ErrorKind::Internal);
            assert!(e.message.contains("codec"), "{e:?}");
        }
        assert_eq!(std::fs::read_to_string(count).unwrap(), "x\n");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let codec = Codec::new(Path::new("/nonexistent/codec"));
        assert!(
            codec
                .hello()
                .unwrap_err()
                .message
                .contains("/nonexistent/codec")
        );
        assert!(
            matches!(codec.ask("x", &json!({})), Answer::Error(e) if e.message.contains("/nonexistent/codec"))
        );
    }
}
