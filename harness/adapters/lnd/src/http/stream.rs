//! What comes over one connection: a whole answer, or a stream of messages.

use super::tls::Tls;
use super::{CallError, Registered, io_error};
use lnconform_adapter_process::http::{DecodeError, Decoder, left};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::time::Instant;

/// Longest message of a stream, in bytes.
const MESSAGE: usize = 4 * 1024 * 1024;

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn no_answer(e: DecodeError) -> io::Error {
    match e {
        DecodeError::Malformed(why) => malformed(&format!("what it sent is no answer: {why}")),
        DecodeError::Ended(_) => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "lnd closed the connection in the middle",
        ),
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Whole {
    status: u16,
    body: Vec<u8>,
    call: String,
}

impl Whole {
    pub(super) fn read(self) -> Result<Value, CallError> {
        let value: Value = serde_json::from_slice(&self.body).map_err(|_| CallError::Io {
            error: malformed(&format!(
                "the answer with status {} is not JSON: {}",
                self.status,
                String::from_utf8_lossy(&self.body[..self.body.len().min(120)])
            )),
            call: self.call,
        })?;
        if (200..300).contains(&self.status) {
            Ok(value)
        } else {
            Err(refused(&value))
        }
    }
}

/// LND's error object: `{"code": 2, "message": "…", "details": []}`.
fn refused(value: &Value) -> CallError {
    let message = value["message"].as_str().or(value["error"].as_str());
    CallError::Refused {
        code: value["code"].as_u64().unwrap_or(2),
        message: message.map_or_else(|| value.to_string(), str::to_owned),
    }
}

/// The messages of one call.
#[derive(Debug)]
pub(crate) struct Stream {
    connection: Tls,
    decoder: Decoder,
    call: String,
    guard: Option<Registered>,
}

impl Stream {
    pub(super) fn over(connection: Tls, guard: Option<Registered>, call: String) -> Self {
        Self {
            connection,
            decoder: Decoder::default(),
            call,
            guard,
        }
    }

    pub(super) fn send(&mut self, request: &[u8], deadline: Instant) -> io::Result<()> {
        let left = Some(left(deadline)?);
        self.connection.sock.set_write_timeout(left)?;
        // The handshake reads as well.
        self.connection.sock.set_read_timeout(left)?;
        self.connection.write_all(request)?;
        self.connection.flush()
    }

    /// Reads what there is; false at the end of the connection. A timeout loses nothing.
    fn fill(&mut self, deadline: Option<Instant>) -> io::Result<bool> {
        let limit = deadline.map(left).transpose()?;
        self.connection.sock.set_read_timeout(limit)?;
        let mut piece = [0; 16 * 1024];
        let n = loop {
            match self.connection.read(&mut piece) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A server that just closes the socket, as LND does when it stops.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break 0,
                other => break other?,
            }
        };
        if n == 0 {
            return Ok(false);
        }
        self.decoder.feed(&piece[..n]);
        Ok(true)
    }

    /// Sends and reads the whole answer.
    pub(super) fn exchange(&mut self, request: &[u8], deadline: Instant) -> io::Result<Whole> {
        self.send(request, deadline)?;
        loop {
            self.decoder.advance().map_err(no_answer)?;
            if self.decoder.is_done() {
                return Ok(self.taken());
            }
            if !self.fill(Some(deadline))? {
                self.decoder.end().map_err(no_answer)?;
            }
        }
    }

    /// The connection, if another request may follow on it.
    pub(super) fn reusable(self) -> Option<Tls> {
        // The guard goes: an idle connection is closed by being dropped.
        drop(self.guard);
        self.decoder.is_reusable().then_some(self.connection)
    }

    /// The whole answer of a call that takes as long as the world does.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn whole(&mut self) -> Result<Value, CallError> {
        let call = self.call.clone();
        let fail = |error| io_error(error, call.clone());
        loop {
            self.decoder.advance().map_err(no_answer).map_err(fail)?;
            if self.decoder.is_done() {
                return self.taken().read();
            }
            if !self.fill(None).map_err(fail)? {
                self.decoder.end().map_err(no_answer).map_err(fail)?;
            }
        }
    }

    fn taken(&mut self) -> Whole {
        Whole {
            status: self.decoder.status(),
            body: std::mem::take(self.decoder.body()),
            call: self.call.clone(),
        }
    }

    /// The next message; `None` at the end of the stream. After a timeout it may be asked again.
    ///
    /// # Errors
    /// [`CallError`]; what LND refuses arrives here, as the first or the last message.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Result<Option<Value>, CallError> {
        let call = self.call.clone();
        let fail = |error| io_error(error, call.clone());
        loop {
            self.decoder.advance().map_err(no_answer).map_err(fail)?;
            let done = self.decoder.is_done();
            let body = self.decoder.body();
            let end = body.iter().position(|b| *b == b'\n');
            if end.is_none() && body.len() > MESSAGE {
                return Err(fail(malformed("a message is too long")));
            }
            let end = end.or((done && !body.is_empty()).then(|| body.len() - 1));
            if let Some(end) = end {
                let line: Vec<u8> = body.drain(..=end).collect();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let mut value: Value = serde_json::from_slice(&line)
                    .map_err(|_| fail(malformed("a message is not JSON")))?;
                let ok = (200..300).contains(&self.decoder.status());
                if value.get("error").is_none()
                    && ok
                    && let Some(result) = value.get_mut("result")
                {
                    return Ok(Some(result.take()));
                }
                let error = value.get("error").filter(|e| e.is_object());
                return Err(refused(error.unwrap_or(&value)));
            }
            if done {
                return Ok(None);
            }
            if !self.fill(deadline).map_err(fail)? {
                self.decoder.end().map_err(no_answer).map_err(fail)?;
            }
        }
    }
}
