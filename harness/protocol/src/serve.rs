//! The adapter's side: a loop that reads requests and answers them.

use crate::framing::{Line, read_line};
use crate::message::{Answer, Hello, HelloParams, OpError, Response, Unsupported, parse_request};
use crate::{MAX_LINE, PROTOCOL};
use serde_json::Value;
use std::io::{self, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An implementation behind the protocol.
pub trait Handler {
    /// Identity, operations and dialects. `protocol` is filled in by [`serve`].
    fn hello(&self) -> Hello;

    /// Answers one operation. An operation outside [`Hello::operations`] never arrives here.
    /// A panic becomes an `internal` error, and the next request is served.
    fn call(&mut self, op: &str, params: &Value) -> Answer;

    /// Called once, after every earlier request has been answered; a node is stopped here,
    /// within 5 s.
    fn shutdown(&mut self) {}
}

/// Reads requests until `shutdown` or the end of `input`, and answers each on `output`.
///
/// Requests are answered in order. Output is flushed whenever no whole request is waiting, so a
/// pipelining harness pays for one write a batch. Lines that are no requests are noted on
/// standard error and passed over.
///
/// # Errors
/// When the harness has gone away, that is, when reading or writing fails.
pub fn serve(
    handler: &mut impl Handler,
    input: impl Read,
    mut output: impl Write,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, input);
    let mut line = Vec::new();
    let mut out = Vec::with_capacity(1 << 16);
    let hello = handler.hello();
    let mut asked_to_stop = None;
    loop {
        if !reader.buffer().contains(&b'\n') || out.len() > 1 << 16 {
            output.write_all(&out)?;
            output.flush()?;
            out.clear();
        }
        match read_line(&mut reader, &mut line, MAX_LINE)? {
            Line::End => break,
            Line::TooLong => {
                note(format_args!(
                    "a line of more than {MAX_LINE} bytes was passed over"
                ));
                continue;
            }
            Line::Whole | Line::Cut => {}
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let request = match parse_request(&line) {
            Ok(request) => request,
            Err(e) => {
                note(format_args!("{e}"));
                continue;
            }
        };
        let answer = match request.op.as_str() {
            "hello" => answer_hello(&hello, &request.params),
            "shutdown" => {
                asked_to_stop = Some(request.id);
                break;
            }
            op if hello.operations.iter().any(|o| o == op) => {
                match catch_unwind(AssertUnwindSafe(|| handler.call(op, &request.params))) {
                    Ok(answer) => answer,
                    Err(panic) => {
                        let what = panic
                            .downcast_ref::<String>()
                            .map(String::as_str)
                            .or_else(|| panic.downcast_ref::<&str>().copied())
                            .unwrap_or("no message");
                        Answer::Error(OpError::internal(format!("{op} panicked: {what}")))
                    }
                }
            }
            op => Answer::Unsupported(Unsupported {
                reason: format!("{} has no operation {op}", hello.implementation.name),
                issue: None,
            }),
        };
        push(
            &mut out,
            &Response {
                id: request.id,
                answer,
            },
        )?;
    }
    handler.shutdown();
    if let Some(id) = asked_to_stop {
        push(
            &mut out,
            &Response {
                id,
                answer: Answer::Result(Value::Object(Default::default())),
            },
        )?;
    }
    output.write_all(&out)?;
    output.flush()
}

fn push(out: &mut Vec<u8>, response: &Response) -> io::Result<()> {
    serde_json::to_writer(&mut *out, response)?;
    out.push(b'\n');
    Ok(())
}

fn note(what: std::fmt::Arguments<'_>) {
    // Standard error may be closed; losing a note is no reason to stop.
    let _ = writeln!(io::stderr(), "adapter: {what}");
}

fn answer_hello(hello: &Hello, params: &Value) -> Answer {
    match serde_json::from_value::<HelloParams>(params.clone()) {
        Ok(asked) if asked.protocol >= PROTOCOL => {
            let hello = Hello {
                protocol: PROTOCOL,
                ..hello.clone()
            };
            match serde_json::to_value(hello) {
                Ok(value) => Answer::Result(value),
                Err(e) => Answer::Error(OpError::internal(e.to_string())),
            }
        }
        Ok(asked) => Answer::Error(OpError::invalid(format!(
            "protocol {} was asked for; this adapter speaks {PROTOCOL} at the least",
            asked.protocol
        ))),
        Err(e) => Answer::Error(OpError::invalid(format!("hello: {e}"))),
    }
}

/// [`serve`] on this process's standard input and output.
///
/// # Errors
/// When the harness has gone away.
pub fn serve_stdio(handler: &mut impl Handler) -> io::Result<()> {
    serve(handler, io::stdin().lock(), io::stdout().lock())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ErrorKind, Implementation, parse_response};
    use serde_json::json;

    struct Echo {
        stopped: bool,
    }

    impl Handler for Echo {
        fn hello(&self) -> Hello {
            Hello {
                implementation: Implementation {
                    name: "echo".into(),
                    version: "1".into(),
                    language: "Rust".into(),
                    source: String::new(),
                },
                protocol: PROTOCOL,
                operations: vec!["echo".into(), "panic".into()],
                dialects: vec![],
            }
        }
        fn call(&mut self, op: &str, params: &Value) -> Answer {
            assert_ne!(op, "panic", "asked to");
            Answer::Result(params.clone())
        }
        fn shutdown(&mut self) {
            self.stopped = true;
        }
    }

    fn talk(input: &[u8]) -> (Vec<Response>, bool) {
        let mut echo = Echo { stopped: false };
        let mut out = Vec::new();
        serve(&mut echo, input, &mut out).unwrap();
        let answers = out
            .split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| parse_response(l).unwrap())
            .collect();
        (answers, echo.stopped)
    }

    #[test]
    fn requests_before_hello_and_lines_that_are_none_are_handled() {
        let (answers, stopped) = talk(
            b"{\"id\":1,\"op\":\"echo\",\"params\":{\"a\":1}}\nnot json\n[]\n\xff\n\n{\"id\":2,\"op\":\"made.up\"}\n",
        );
        assert!(stopped);
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].answer, Answer::Result(json!({"a": 1})));
        assert!(matches!(answers[1].answer, Answer::Unsupported(_)));
    }

    #[test]
    fn a_panic_is_one_lost_request() {
        let (answers, _) =
            talk(b"{\"id\":1,\"op\":\"panic\"}\n{\"id\":2,\"op\":\"echo\",\"params\":{}}\n");
        match &answers[0].answer {
            Answer::Error(e) => {
                assert_eq!(e.kind, ErrorKind::Internal);
                assert!(e.message.contains("panicked"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(answers[1].answer, Answer::Result(json!({})));
    }

    #[test]
    fn shutdown_is_answered_last_and_nothing_after_it() {
        let (answers, stopped) = talk(
            b"{\"id\":1,\"op\":\"echo\",\"params\":{}}\n{\"id\":2,\"op\":\"shutdown\"}\n{\"id\":3,\"op\":\"echo\"}\n",
        );
        assert!(stopped);
        assert_eq!(answers.iter().map(|a| a.id).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn hello_answers_the_highest_common_version() {
        let (answers, _) = talk(
            b"{\"id\":1,\"op\":\"hello\",\"params\":{\"protocol\":7,\"harness\":\"x\"}}\n{\"id\":2,\"op\":\"hello\",\"params\":{\"protocol\":0,\"harness\":\"x\"}}\n",
        );
        match &answers[0].answer {
            Answer::Result(v) => assert_eq!(v["protocol"], 1),
            other => panic!("{other:?}"),
        }
        assert!(matches!(answers[1].answer, Answer::Error(_)));
    }
}
