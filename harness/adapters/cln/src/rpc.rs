//! lightningd's JSON-RPC 2.0 over its unix socket. A connection a call: calls that wait hold up
//! nobody, and the end of the node ends every one of them.

use lnconform_adapter_process::http::{is_timeout, left};
use lnconform_protocol::outcome::Fail;
use lnconform_protocol::{ErrorKind, OpError};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longest answer, in bytes: the list of all channels of the graph is the longest.
const ANSWER: usize = 32 * 1024 * 1024;
/// Longest path that the address of a unix socket holds everywhere, in bytes.
const SOCKET_PATH: usize = 100;
/// JSON-RPC 2.0: a method that is not there.
const NO_SUCH_METHOD: i64 = -32601;
/// JSON-RPC 2.0: params that are not the method's.
const WRONG_PARAMS: i64 = -32602;

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer in time.
    #[error("lightningd has not answered {method} by the deadline")]
    Timeout {
        /// The call.
        method: String,
    },
    /// The connection.
    #[error("lightningd's socket at {method}: {why}")]
    Io {
        /// The call.
        method: String,
        /// What went wrong.
        why: String,
    },
    /// What came is no answer to the call.
    #[error("lightningd's answer to {method} is none: {why}")]
    Answer {
        /// The call.
        method: String,
        /// What is wrong with it.
        why: String,
    },
    /// lightningd refused.
    #[error("lightningd refused {method}: {message} (code {code})")]
    Refused {
        /// The call.
        method: String,
        /// lightningd's number for the error.
        code: i64,
        /// lightningd's own words.
        message: String,
        /// What else it said; an object, or null.
        data: Box<Value>,
    },
}

impl From<CallError> for OpError {
    fn from(e: CallError) -> Self {
        let kind = match &e {
            CallError::Timeout { .. } => ErrorKind::Timeout,
            CallError::Io { .. } | CallError::Answer { .. } => ErrorKind::Internal,
            CallError::Refused { code, .. } if *code == WRONG_PARAMS => ErrorKind::Invalid,
            CallError::Refused { .. } => ErrorKind::Rejected,
        };
        OpError::new(kind, e.to_string())
    }
}

impl From<CallError> for Fail {
    fn from(e: CallError) -> Self {
        match &e {
            CallError::Refused { method, .. } if e.no_such_method() => Fail::Unsupported(format!(
                "this lightningd has no call {method}: it is of another version, or the plugin \
                 that brings the call is not there"
            )),
            _ => Fail::Error(e.into()),
        }
    }
}

impl CallError {
    /// Whether lightningd does not know the call.
    pub(crate) fn no_such_method(&self) -> bool {
        self.code() == Some(NO_SUCH_METHOD)
    }

    /// lightningd's number, where it refused.
    pub(crate) fn code(&self) -> Option<i64> {
        match self {
            CallError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// lightningd's socket.
#[derive(Debug)]
pub(crate) struct Client {
    folder: PathBuf,
    /// Stands for a folder whose path is too long for a socket's address.
    handle: Option<File>,
    next: AtomicU64,
}

impl Client {
    /// The socket `lightning-rpc` in `folder`, which need not be there yet.
    pub(crate) fn new(folder: &Path) -> Self {
        let long = folder.as_os_str().len() + "/lightning-rpc".len() > SOCKET_PATH;
        Self {
            folder: folder.to_owned(),
            handle: if long { File::open(folder).ok() } else { None },
            next: AtomicU64::new(1),
        }
    }

    fn connect(&self) -> io::Result<UnixStream> {
        #[cfg(target_os = "linux")]
        if let Some(folder) = &self.handle {
            use std::os::fd::AsRawFd;
            let short = format!("/proc/self/fd/{}/lightning-rpc", folder.as_raw_fd());
            return UnixStream::connect(short);
        }
        UnixStream::connect(self.folder.join("lightning-rpc"))
    }

    /// One call and its answer, within `limit`; without one it waits for as long as the node runs.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn call(
        &self,
        method: &str,
        params: &Value,
        limit: Option<Duration>,
    ) -> Result<Value, CallError> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let io_error = |e: io::Error| match is_timeout(&e) {
            true => CallError::Timeout {
                method: method.into(),
            },
            false => CallError::Io {
                method: method.into(),
                why: e.to_string(),
            },
        };
        let wrong = |why: String| CallError::Answer {
            method: method.into(),
            why,
        };
        let id = format!("lnconform-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let mut stream = self.connect().map_err(io_error)?;
        stream
            .set_write_timeout(deadline.map(left).transpose().map_err(io_error)?)
            .map_err(io_error)?;
        stream
            .write_all(request.to_string().as_bytes())
            .map_err(io_error)?;
        let mut bytes = Vec::new();
        let mut chunk = vec![0; 1 << 16];
        let answer: Value = loop {
            let limit = deadline.map(left).transpose().map_err(io_error)?;
            stream.set_read_timeout(limit).map_err(io_error)?;
            let n = match stream.read(&mut chunk) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(io_error)?,
            };
            if n == 0 {
                let why = match bytes.len() {
                    0 => "it was closed without an answer".to_owned(),
                    n => format!("it was closed after {n} bytes of an answer"),
                };
                return Err(CallError::Io {
                    method: method.into(),
                    why,
                });
            }
            bytes.extend_from_slice(&chunk[..n]);
            if bytes.len() > ANSWER {
                return Err(wrong(format!("it has more than {ANSWER} bytes")));
            }
            // An answer is one object; what follows it is white space.
            if !bytes.trim_ascii_end().ends_with(b"}") {
                let start = bytes.trim_ascii_start();
                if !start.is_empty() && !start.starts_with(b"{") {
                    return Err(wrong("it is no JSON object".into()));
                }
                continue;
            }
            match serde_json::from_slice(&bytes) {
                Ok(answer) => break answer,
                Err(e) if e.is_eof() => {}
                Err(e) => return Err(wrong(e.to_string())),
            }
        };
        if answer["id"] != *id {
            return Err(wrong(format!("its id is {}", answer["id"])));
        }
        if let Some(error) = answer.get("error").filter(|e| !e.is_null()) {
            let said = error["message"].as_str().unwrap_or("it does not say why");
            return Err(CallError::Refused {
                method: method.into(),
                code: error["code"].as_i64().unwrap_or_default(),
                message: said.to_owned(),
                data: Box::new(error["data"].clone()),
            });
        }
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(wrong("it has neither result nor error".into())),
        }
    }
}
