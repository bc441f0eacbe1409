//! A small HTTP/1.1 client, a connection a call: for Eclair's interface and for bitcoind's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lnconform_protocol::outcome::Fail;
use lnconform_protocol::{ErrorKind, OpError};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer with its head, in bytes.
const ANSWER: usize = 32 * 1024 * 1024;

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer in time.
    #[error("{who} has not answered {call} by the deadline")]
    Timeout {
        /// The program.
        who: &'static str,
        /// The call.
        call: String,
    },
    /// The connection.
    #[error("{who}'s interface at {call}: {why}")]
    Io {
        /// The program.
        who: &'static str,
        /// The call.
        call: String,
        /// What went wrong.
        why: String,
    },
    /// What came is no answer.
    #[error("{who}'s answer to {call} is none: {why}")]
    Answer {
        /// The program.
        who: &'static str,
        /// The call.
        call: String,
        /// What is wrong with it.
        why: String,
    },
    /// It refused.
    #[error("{call}: {message} (HTTP {status})")]
    Refused {
        /// The call.
        call: String,
        /// HTTP's status.
        status: u16,
        /// Its own words.
        message: String,
    },
}

impl CallError {
    /// HTTP's status, where the call was refused.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            CallError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether its words contain `text`.
    pub(crate) fn says(&self, text: &str) -> bool {
        matches!(self, CallError::Refused { message, .. } if message.contains(text))
    }
}

impl From<CallError> for OpError {
    fn from(e: CallError) -> Self {
        let kind = match &e {
            CallError::Timeout { .. } => ErrorKind::Timeout,
            CallError::Io { .. } | CallError::Answer { .. } => ErrorKind::Internal,
            // The password is the adapter's own.
            CallError::Refused { status: 401, .. } => ErrorKind::Internal,
            CallError::Refused { .. } if e.says("form field") => ErrorKind::Invalid,
            CallError::Refused { .. } => ErrorKind::Rejected,
        };
        OpError::new(kind, e.to_string())
    }
}

impl From<CallError> for Fail {
    fn from(e: CallError) -> Self {
        match &e {
            CallError::Refused {
                call, status: 404, ..
            } if e.says("requested resource") => Fail::Unsupported(format!(
                "this eclair has no call {call}: it is of another version"
            )),
            _ => Fail::Error(e.into()),
        }
    }
}

/// A program that answers HTTP on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    who: &'static str,
    address: SocketAddr,
    authorization: String,
}

impl Client {
    /// `who` is the program's name for messages.
    pub(crate) fn new(who: &'static str, address: SocketAddr, user: &str, password: &str) -> Self {
        let token = STANDARD.encode(format!("{user}:{password}"));
        Self {
            who,
            address,
            authorization: format!("Basic {token}"),
        }
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The header that lets a request in.
    pub(crate) fn authorization(&self) -> &str {
        &self.authorization
    }

    /// A call of Eclair's: form fields, and an answer in JSON.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn form(
        &self,
        call: &str,
        fields: &[(&str, String)],
        limit: Duration,
    ) -> Result<Value, CallError> {
        let body: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let kind = "application/x-www-form-urlencoded";
        let (status, body) = self.exchange(call, kind, &body.join("&"), limit)?;
        let said = || String::from_utf8_lossy(&body).trim().to_owned();
        let value: Result<Value, _> = serde_json::from_slice(&body);
        if !(200..300).contains(&status) {
            let message = value
                .ok()
                .and_then(|v| v["error"].as_str().map(str::to_owned));
            return Err(CallError::Refused {
                call: call.into(),
                status,
                message: message.unwrap_or_else(said),
            });
        }
        value.map_err(|e| self.wrong(call, format!("it is no JSON ({e})")))
    }

    /// A call of bitcoind's: JSON-RPC.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn rpc(
        &self,
        method: &str,
        params: Value,
        limit: Duration,
    ) -> Result<Value, CallError> {
        let body = json!({"id": "lnconform", "method": method, "params": params}).to_string();
        let (status, body) = self.exchange("", "application/json", &body, limit)?;
        let answer: Value = serde_json::from_slice(&body).map_err(|_| match status {
            200 => self.wrong(method, "it is no JSON".into()),
            _ => CallError::Refused {
                call: method.into(),
                status,
                message: "bitcoind did not say why".into(),
            },
        })?;
        match &answer["error"] {
            Value::Null => Ok(answer["result"].clone()),
            error => Err(CallError::Refused {
                call: method.into(),
                status,
                message: format!(
                    "{} (code {})",
                    error["message"].as_str().unwrap_or_default(),
                    error["code"]
                ),
            }),
        }
    }

    fn wrong(&self, call: &str, why: String) -> CallError {
        CallError::Answer {
            who: self.who,
            call: call.into(),
            why,
        }
    }

    fn exchange(
        &self,
        call: &str,
        kind: &str,
        body: &str,
        limit: Duration,
    ) -> Result<(u16, Vec<u8>), CallError> {
        let deadline = Instant::now() + limit;
        let io_error = |e: io::Error| match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CallError::Timeout {
                who: self.who,
                call: call.into(),
            },
            _ => CallError::Io {
                who: self.who,
                call: call.into(),
                why: e.to_string(),
            },
        };
        let request = format!(
            "POST /{call} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\nAccept: */*\r\nConnection: close\r\n\r\n{body}",
            self.address,
            self.authorization,
            body.len()
        );
        let mut stream =
            TcpStream::connect_timeout(&self.address, left(deadline).map_err(io_error)?)
                .map_err(io_error)?;
        stream
            .set_write_timeout(Some(left(deadline).map_err(io_error)?))
            .map_err(io_error)?;
        stream.write_all(request.as_bytes()).map_err(io_error)?;
        let (mut bytes, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            stream
                .set_read_timeout(Some(left(deadline).map_err(io_error)?))
                .map_err(io_error)?;
            let n = match stream.read(&mut chunk) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(io_error)?,
            };
            bytes.extend_from_slice(&chunk[..n]);
            if bytes.len() > ANSWER {
                return Err(self.wrong(call, format!("it has more than {ANSWER} bytes")));
            }
            match whole(&bytes, n == 0) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) if n == 0 => {
                    let why = match bytes.len() {
                        0 => "it was closed without an answer".to_owned(),
                        n => format!("it was closed after {n} bytes of an answer"),
                    };
                    return Err(CallError::Io {
                        who: self.who,
                        call: call.into(),
                        why,
                    });
                }
                Ok(None) => {}
                Err(why) => return Err(self.wrong(call, why)),
            }
        }
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

/// Status and body, once all of the answer is there. `ended`: nothing more comes.
fn whole(bytes: &[u8], ended: bool) -> Result<Option<(u16, Vec<u8>)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(e) => return Err(format!("it is no HTTP ({e})")),
    };
    let status = head.code.unwrap_or_default();
    let header = |name: &str| {
        let found = head
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name));
        found.map(|h| String::from_utf8_lossy(h.value).trim().to_ascii_lowercase())
    };
    let body = &bytes[length..];
    if header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
        return Ok(chunks(body)?.map(|body| (status, body)));
    }
    match header("content-length") {
        Some(length) => {
            let length: usize = length
                .parse()
                .map_err(|_| format!("its length is {length}"))?;
            Ok(body.get(..length).map(|body| (status, body.to_vec())))
        }
        None if ended => Ok(Some((status, body.to_vec()))),
        None => Ok(None),
    }
}

/// The body of chunks, once the last of them is there.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let (start, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("its chunks have no size".into()),
        };
        if size == 0 {
            return Ok(Some(body));
        }
        let size = usize::try_from(size).map_err(|_| "a chunk is too long".to_owned())?;
        let end = start.saturating_add(size);
        let Some(chunk) = rest.get(start..end) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        match rest.get(end..end + 2) {
            Some(_) => rest = &rest[end + 2..],
            None => return Ok(None),
        }
    }
}

/// A value of a form field (application/x-www-form-urlencoded).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                out.push(char::from(b));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_escaped() {
        assert_eq!(escaped("a b&c=☕+/"), "a%20b%26c%3D%E2%98%95%2B%2F");
    }

    #[test]
    fn answers_are_whole_by_their_length_by_chunks_or_at_the_end() {
        let with_length = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let chunked =
            b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
        for (answer, status) in [(&with_length[..], 200), (&chunked[..], 400)] {
            let body = whole(answer, false).unwrap();
            assert_eq!(body, Some((status, b"{}".to_vec())));
            let cut = &answer[..answer.len() - if status == 200 { 1 } else { 9 }];
            assert_eq!(whole(cut, true).unwrap(), None);
        }
        let open = b"HTTP/1.1 200 OK\r\n\r\n[]";
        assert_eq!(whole(open, false).unwrap(), None);
        assert_eq!(whole(open, true).unwrap(), Some((200, b"[]".to_vec())));
        for wrong in [
            &b"hello\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(whole(wrong, true).is_err());
        }
    }
}
