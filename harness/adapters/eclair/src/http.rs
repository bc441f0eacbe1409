//! A small HTTP/1.1 client, a connection a call: for Eclair's interface and for bitcoind's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lnconform_adapter_process::http::{DecodeError, Decoder, is_timeout, left};
use lnconform_protocol::outcome::Fail;
use lnconform_protocol::{ErrorKind, OpError};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

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
    #[error("{who} refused {call}: {message} (HTTP {status})")]
    Refused {
        /// The program.
        who: &'static str,
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
                who: self.who,
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
                who: self.who,
                call: method.into(),
                status,
                message: "it did not say why".into(),
            },
        })?;
        match &answer["error"] {
            Value::Null => Ok(answer["result"].clone()),
            error => Err(CallError::Refused {
                who: self.who,
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

    fn broken(&self, call: &str, why: String) -> CallError {
        CallError::Io {
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
        let io_error = |e: io::Error| match is_timeout(&e) {
            true => CallError::Timeout {
                who: self.who,
                call: call.into(),
            },
            false => self.broken(call, e.to_string()),
        };
        let no_answer = |e: DecodeError| match e {
            DecodeError::Malformed(why) => self.wrong(call, why),
            DecodeError::Ended(_) => self.broken(call, e.to_string()),
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
        let (mut decoder, mut chunk) = (Decoder::default(), vec![0; 1 << 16]);
        while !decoder.is_done() {
            stream
                .set_read_timeout(Some(left(deadline).map_err(io_error)?))
                .map_err(io_error)?;
            match stream.read(&mut chunk) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(io_error(e)),
                Ok(0) => decoder.end().map_err(no_answer)?,
                Ok(n) => {
                    decoder.feed(&chunk[..n]);
                    decoder.advance().map_err(no_answer)?;
                }
            }
        }
        Ok((decoder.status(), std::mem::take(decoder.body())))
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
}
