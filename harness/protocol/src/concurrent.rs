//! A serving loop for adapters whose operations wait for the world.
//!
//! [`crate::serve`] answers in order, one request at a time. A node is asked to wait
//! for an event and to send a payment at the same time, so here
//! - the calling thread reads, and answers `hello` and unknown operations at once;
//! - one thread works off the operations in the order asked, so that `peer.connect` sees the node
//!   that the `node.start` before it has started;
//! - an operation that waits ([`ConcurrentHandler::waits`]) gets a thread of its own when its turn
//!   comes, and holds up nobody.

use crate::framing::{Line, read_line};
use crate::message::{Response, parse_request};
use crate::{Answer, Handler, Hello, MAX_LINE, OpError};
use serde_json::{Map, Value};
use std::io::{self, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// An implementation behind the protocol that answers several requests at the same time.
pub trait ConcurrentHandler: Sync {
    /// Identity, operations and dialects. `protocol` is filled in by [`serve_concurrent`].
    fn hello(&self) -> Hello;

    /// Whether the request waits for the world (an event, a block, a peer), and so must not hold
    /// up those after it.
    fn waits(&self, op: &str, params: &Value) -> bool;

    /// Answers one operation. An operation outside [`Hello::operations`] never arrives here.
    /// A panic becomes an `internal` error, and the other requests are served.
    fn call(&self, op: &str, params: &Value) -> Answer;

    /// Nothing more will be asked: calls that wait must answer soon.
    fn closing(&self);

    /// Called once, after every earlier request has been answered.
    fn shutdown(&self);
}

/// Reads requests until `shutdown` or the end of `input`, and answers each on `output` as soon as
/// its answer is there. Every answer is one write, so that none mingles with another.
///
/// # Errors
/// When the harness has gone away, that is, when reading or writing fails.
pub fn serve_concurrent(
    handler: &impl ConcurrentHandler,
    input: impl Read,
    output: impl Write + Send,
) -> io::Result<()> {
    let hello = handler.hello();
    let writer = Writer {
        output: Mutex::new(output),
        failed: AtomicBool::new(false),
    };
    let asked_to_stop = thread::scope(|scope| {
        let (queue, work) = mpsc::channel::<(u64, String, Value)>();
        let writer = &writer;
        let worker = move || {
            for (id, op, params) in work {
                if handler.waits(&op, &params) {
                    // A machine out of threads answers late rather than never.
                    let shared = std::sync::Arc::new((op, params));
                    let own = shared.clone();
                    let spawned = thread::Builder::new()
                        .name(shared.0.clone())
                        .spawn_scoped(scope, move || {
                            writer.answer(id, guarded(handler, &own.0, &own.1))
                        });
                    if spawned.is_err() {
                        writer.answer(id, guarded(handler, &shared.0, &shared.1));
                    }
                } else {
                    writer.answer(id, guarded(handler, &op, &params));
                }
            }
        };
        scope.spawn(worker);
        let stop = read(&hello, input, writer, &queue);
        handler.closing();
        // The worker ends when the queue is empty, and the scope when every answer is written.
        drop(queue);
        stop
    })?;
    handler.shutdown();
    if let Some(id) = asked_to_stop {
        writer.answer(id, Answer::Result(Value::Object(Map::new())));
    }
    if writer.failed.load(Ordering::Relaxed) {
        return Err(io::Error::new(
            io::ErrorKind::BrokenPipe,
            "the harness no longer reads",
        ));
    }
    Ok(())
}

/// Reads until `shutdown`, whose id is returned, or the end of the input.
fn read(
    hello: &Hello,
    input: impl Read,
    writer: &Writer<impl Write>,
    queue: &mpsc::Sender<(u64, String, Value)>,
) -> io::Result<Option<u64>> {
    let mut reader = BufReader::with_capacity(1 << 16, input);
    let mut line = Vec::new();
    loop {
        match read_line(&mut reader, &mut line, MAX_LINE)? {
            Line::End => return Ok(None),
            Line::TooLong => {
                // Standard error may be closed; losing a note is no reason to stop.
                let _ = writeln!(
                    io::stderr(),
                    "adapter: a line of more than {MAX_LINE} bytes was passed over"
                );
                continue;
            }
            Line::Whole | Line::Cut => {}
        }
        match parse_request(&line) {
            Ok(request) if request.op == "shutdown" => return Ok(Some(request.id)),
            Ok(request) if hello.operations.contains(&request.op) => {
                if queue
                    .send((request.id, request.op, request.params))
                    .is_err()
                {
                    return Ok(None);
                }
            }
            // `hello`, unknown operations and lines that are no requests: the plain loop knows
            // what to do with them.
            _ => {
                let mut answers = Vec::new();
                crate::serve(&mut Identity(hello), &line[..], &mut answers)?;
                writer.write(&answers);
            }
        }
    }
}

/// Says who it is, and is asked for nothing else.
struct Identity<'a>(&'a Hello);

impl Handler for Identity<'_> {
    fn hello(&self) -> Hello {
        self.0.clone()
    }

    fn call(&mut self, op: &str, _: &Value) -> Answer {
        Answer::Error(OpError::internal(format!("{op} reached the wrong loop")))
    }
}

struct Writer<W> {
    output: Mutex<W>,
    failed: AtomicBool,
}

impl<W: Write> Writer<W> {
    fn output(&self) -> MutexGuard<'_, W> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, id: u64, answer: Answer) {
        match serde_json::to_vec(&Response { id, answer }) {
            Ok(mut line) => {
                line.push(b'\n');
                self.write(&line);
            }
            Err(_) => self.failed.store(true, Ordering::Relaxed),
        }
    }

    fn write(&self, lines: &[u8]) {
        let mut output = self.output();
        if output
            .write_all(lines)
            .and_then(|()| output.flush())
            .is_err()
        {
            self.failed.store(true, Ordering::Relaxed);
        }
    }
}

fn guarded(handler: &impl ConcurrentHandler, op: &str, params: &Value) -> Answer {
    catch_unwind(AssertUnwindSafe(|| handler.call(op, params))).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Answer::Error(OpError::internal(format!("{op} panicked: {what}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Implementation;
    use crate::message::parse_response;
    use serde_json::json;
    use std::sync::Condvar;
    use std::time::Duration;

    /// `wait` answers when `go` was called or the loop closes.
    #[derive(Default)]
    struct Gate {
        open: Mutex<(bool, bool)>,
        changed: Condvar,
        stopped: AtomicBool,
    }

    impl ConcurrentHandler for Gate {
        fn hello(&self) -> Hello {
            Hello {
                implementation: Implementation {
                    name: "gate".into(),
                    version: "1".into(),
                    language: "Rust".into(),
                    source: String::new(),
                },
                protocol: 1,
                operations: ["wait", "go", "panic"].map(String::from).to_vec(),
                dialects: vec![],
            }
        }

        fn waits(&self, op: &str, _: &Value) -> bool {
            op == "wait"
        }

        fn call(&self, op: &str, _: &Value) -> Answer {
            assert_ne!(op, "panic", "asked to");
            let mut state = self.open.lock().unwrap();
            if op == "go" {
                state.0 = true;
                self.changed.notify_all();
                return Answer::Result(json!({}));
            }
            let (state, timeout) = self
                .changed
                .wait_timeout_while(state, Duration::from_secs(20), |s| !s.0 && !s.1)
                .unwrap();
            assert!(!timeout.timed_out());
            Answer::Result(json!({ "opened": state.0 }))
        }

        fn closing(&self) {
            self.open.lock().unwrap().1 = true;
            self.changed.notify_all();
        }

        fn shutdown(&self) {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }

    fn talk(input: &[u8]) -> Vec<Response> {
        let gate = Gate::default();
        let mut out = Vec::new();
        serve_concurrent(&gate, input, &mut out).unwrap();
        assert!(gate.stopped.load(Ordering::Relaxed));
        out.split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| parse_response(l).unwrap())
            .collect()
    }

    #[test]
    fn a_waiting_request_holds_up_nobody_and_is_answered_before_the_end() {
        let answers = talk(
            b"{\"id\":1,\"op\":\"wait\"}\n{\"id\":2,\"op\":\"go\"}\n{\"id\":3,\"op\":\"shutdown\"}\n{\"id\":4,\"op\":\"go\"}\n",
        );
        assert_eq!(answers.len(), 3, "{answers:?}");
        assert_eq!(answers[2].id, 3);
        let waited = answers.iter().find(|a| a.id == 1).unwrap();
        assert!(matches!(waited.answer, Answer::Result(_)));
    }

    #[test]
    fn the_end_of_input_releases_those_that_wait() {
        let answers = talk(b"{\"id\":1,\"op\":\"wait\"}\n");
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].answer, Answer::Result(json!({"opened": false})));
    }

    #[test]
    fn a_panic_is_one_lost_request_and_other_lines_are_handled_as_everywhere() {
        let answers = talk(
            b"{\"id\":1,\"op\":\"panic\"}\nnot json\n[]\n\xff\n\n{\"id\":2,\"op\":\"made.up\"}\n{\"id\":3,\"op\":\"hello\",\"params\":{\"protocol\":4,\"harness\":\"x\"}}\n{\"id\":5,\"op\":\"go\"}\n",
        );
        assert_eq!(answers.len(), 4, "{answers:?}");
        let find = |id| &answers.iter().find(|a| a.id == id).unwrap().answer;
        assert!(matches!(find(1), Answer::Error(e) if e.message.contains("panicked")));
        assert!(matches!(find(2), Answer::Unsupported(_)));
        assert!(matches!(find(3), Answer::Result(v) if v["protocol"] == 1));
        assert!(matches!(find(5), Answer::Result(_)));
    }
}
