//! The three pipes of an adapter process.

use super::batch::Done;
use super::state::{Breach, Match, Sink};
use super::{Inner, LAST_WORDS, lock, wait, wait_until};
use crate::fault::{FaultKind, shorten};
use lnconform_protocol::message::{Response, ResponseError, parse_response};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Bytes of standard error that are kept.
const TAIL: usize = 64 * 1024;

/// The end of what a process wrote on standard error.
#[derive(Default)]
pub(crate) struct Tail {
    kept: Mutex<Kept>,
    ended: Condvar,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    ended: bool,
}

impl Tail {
    /// Reads to the end, keeps the last 64 KiB, appends all to `log`.
    pub(crate) fn read_loop(&self, mut stderr: impl Read, log: Option<&Path>) {
        let mut log = log.and_then(|path| self.open_log(path));
        let mut buffer = [0; 8192];
        loop {
            let n = match stderr.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if let Some(file) = &mut log
                && let Err(e) = file.write_all(&buffer[..n])
            {
                self.note(&format!("(the log file could not be written: {e})\n"));
                log = None;
            }
            let mut kept = lock(&self.kept);
            kept.bytes.extend_from_slice(&buffer[..n]);
            if kept.bytes.len() > 2 * TAIL {
                let cut = kept.bytes.len() - TAIL;
                kept.bytes.drain(..cut);
            }
        }
        lock(&self.kept).ended = true;
        self.ended.notify_all();
    }

    fn open_log(&self, path: &Path) -> Option<File> {
        match OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => Some(file),
            Err(e) => {
                self.note(&format!("(no log file {}: {e})\n", path.display()));
                None
            }
        }
    }

    fn note(&self, text: &str) {
        lock(&self.kept).bytes.extend_from_slice(text.as_bytes());
    }

    /// What there is at the end, which is waited for no longer than `limit`.
    pub(crate) fn finish(&self, limit: Duration) -> String {
        let until = Instant::now() + limit;
        let mut kept = lock(&self.kept);
        while !kept.ended && Instant::now() < until {
            kept = wait_until(&self.ended, kept, until);
        }
        let from = kept.bytes.len().saturating_sub(TAIL);
        String::from_utf8_lossy(&kept.bytes[from..]).into_owned()
    }
}

/// Writes requests as they come, as many at once as there are.
pub(crate) fn write_loop(inner: &Inner, mut stdin: impl Write) {
    let mut bytes = Vec::new();
    loop {
        let mut state = lock(&inner.state);
        while state.out.is_empty() {
            if state.close_stdin || state.closed || state.fault.is_some() {
                return;
            }
            state = wait(&inner.writable, state);
        }
        std::mem::swap(&mut bytes, &mut state.out);
        inner.room.notify_all();
        drop(state);
        if stdin
            .write_all(&bytes)
            .and_then(|()| stdin.flush())
            .is_err()
        {
            // It closed its input or died. The end of its output, or a deadline, says which.
            let mut state = lock(&inner.state);
            state.stdin_gone = true;
            state.out = Vec::new();
            inner.room.notify_all();
            return;
        }
        bytes.clear();
    }
}

/// Reads answers and hands them on, as many at once as there are.
pub(crate) fn read_loop(inner: &Inner, mut stdout: impl Read) {
    let limit = inner.limits.line;
    let mut buffer = vec![0; 1 << 16];
    // The piece of the buffer that was read and is not yet parsed, and how much of it is known to
    // have no newline.
    let (mut start, mut end, mut searched) = (0, 0, 0);
    let mut answers: Vec<Answered> = Vec::new();
    loop {
        if end == buffer.len() {
            buffer.copy_within(start..end, 0);
            (searched, end, start) = (searched - start, end - start, 0);
            if end * 2 > buffer.len() {
                buffer.resize(buffer.len() * 2, 0);
            }
        }
        let n = match stdout.read(&mut buffer[end..]) {
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        if n == 0 {
            on_end(inner, &buffer[start..end]);
            return;
        }
        end += n;
        let mut wrong = None;
        while let Some(at) = buffer[searched..end].iter().position(|&b| b == b'\n') {
            let line = &buffer[start..searched + at];
            if let Some(tap) = &inner.tap {
                lock(tap).push(line.to_vec());
            }
            if line.len() > limit {
                wrong = Some(too_long(line, limit));
                break;
            }
            match parse_response(line) {
                Ok(response) => answers.push(Answered {
                    response,
                    at: (start, searched + at),
                }),
                Err(e) => {
                    wrong = Some(not_an_answer(&e, line));
                    break;
                }
            }
            start = searched + at + 1;
            searched = start;
        }
        deliver(inner, &mut answers, &buffer);
        if wrong.is_none() {
            searched = end;
            if end - start > limit {
                wrong = Some(too_long(&buffer[start..end], limit));
            }
        }
        if let Some((kind, mut what)) = wrong {
            if !lock(&inner.state).greeted {
                what.push_str("; it had not answered `hello`");
            }
            inner.break_down(kind, what, None);
            return;
        }
        if start == end {
            (start, end, searched) = (0, 0, 0);
        }
    }
}

struct Answered {
    response: Response,
    /// Where its line is in the buffer.
    at: (usize, usize),
}

fn too_long(line: &[u8], limit: usize) -> (FaultKind, String) {
    let start = shorten(&line[..line.len().min(60)]);
    (
        FaultKind::LineTooLong,
        format!("wrote a line of more than {limit} bytes, which begins with: {start}"),
    )
}

fn not_an_answer(error: &ResponseError, line: &[u8]) -> (FaultKind, String) {
    let kind = match error {
        ResponseError::Utf8 => FaultKind::NotUtf8,
        _ => FaultKind::Garbage,
    };
    let shown = if line.is_empty() {
        "an empty line".into()
    } else {
        shorten(line)
    };
    (
        kind,
        format!("wrote something that is no answer ({error}): {shown}"),
    )
}

/// Hands answers to those who wait for them.
fn deliver(inner: &Inner, answers: &mut Vec<Answered>, buffer: &[u8]) {
    if answers.is_empty() {
        return;
    }
    let now = Instant::now();
    let mut done = Vec::new();
    let mut batch = Vec::new();
    let mut flood = None;
    let mut state = lock(&inner.state);
    if state.breaking {
        answers.clear();
        return;
    }
    for Answered { response, at } in answers.drain(..) {
        let (kind, request, whose) = match state.take(response.id) {
            Match::Asked(Sink::Batch(at)) => {
                batch.push(Done {
                    at,
                    answer: response.answer,
                });
                continue;
            }
            Match::Asked(Sink::Done(callback)) => {
                done.push((callback, response.answer));
                continue;
            }
            Match::Twice(culprit) => {
                let whose = format!("answered `{}` a second time", culprit.op);
                (FaultKind::AnsweredTwice, Some(culprit), whose)
            }
            Match::Never => {
                let whose = format!("answered id {}, which was never asked", response.id);
                (FaultKind::NeverAsked, None, whose)
            }
        };
        state.unasked += 1;
        if state.unasked > inner.limits.unasked {
            let first = state.breach.take().map(|b| b.what).unwrap_or(whose);
            let limit = inner.limits.unasked;
            flood = Some(format!(
                "wrote more than {limit} answers that nobody asked for; first it {first}"
            ));
            break;
        }
        if state.breach.is_none() {
            // Not a fault at once: it may be the first of a flood, and asked answers may follow.
            let what = format!("{whose}: {}", shorten(&buffer[at.0..at.1]));
            state.breach = Some(Breach {
                kind,
                what,
                request,
                at: now,
            });
            inner.wake_watch(&mut state, now + inner.limits.grace);
        }
    }
    answers.clear();
    state.advance(now);
    let inbox = state.batch.clone().filter(|_| !batch.is_empty());
    drop(state);
    if let Some(inbox) = inbox {
        inbox.put(batch, now);
    }
    for (callback, answer) in done {
        callback(Ok(answer));
    }
    if let Some(what) = flood {
        inner.break_down(FaultKind::Flood, what, None);
    }
}

/// The output has ended: as asked, or because the process died or closed it.
fn on_end(inner: &Inner, rest: &[u8]) {
    {
        let mut state = lock(&inner.state);
        if state.breaking {
            return;
        }
        if state.stopping && state.open == 0 && rest.is_empty() {
            state.ended = true;
            inner.changed.notify_all();
            return;
        }
    }
    let status = inner.wait_child(Instant::now() + LAST_WORDS);
    let (stopping, request) = {
        let state = lock(&inner.state);
        (state.stopping, state.oldest())
    };
    let asked = request.map_or_else(String::new, |r| format!(" before it answered `{}`", r.op));
    let when = if stopping {
        " when it was asked to stop,"
    } else {
        ""
    };
    let (kind, what) = match (rest.is_empty(), status) {
        (false, status) => {
            let how = status.map_or_else(|| "closed its standard output".into(), ended);
            (
                FaultKind::DiedMidLine,
                format!("{how} in the middle of a line: {}", shorten(rest)),
            )
        }
        (true, Some(status)) => (FaultKind::Died, format!("{}{when}{asked}", ended(status))),
        (true, None) => (
            FaultKind::ClosedStdout,
            format!("closed its standard output{when}{asked}, and goes on running"),
        ),
    };
    inner.break_down(kind, what, None);
}

/// How a process ended, in words.
pub(crate) fn ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            4 => " (illegal instruction)",
            6 => " (abort)",
            9 => " (kill; out of memory?)",
            11 => " (segmentation fault)",
            15 => " (terminate)",
            _ => "",
        };
        return format!("was ended by signal {signal}{name}");
    }
    match status.code() {
        Some(code) => format!("exited with code {code}"),
        None => "ended".into(),
    }
}
