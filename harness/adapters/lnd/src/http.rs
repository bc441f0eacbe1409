//! A small HTTP/1.1 client for LND's REST interface.
//!
//! Nothing here waits without a deadline but a stream, and closing the client ends every stream.

mod stream;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use stream::Stream;
pub(crate) use tls::Tls;

use lnconform_adapter_process::http::{is_timeout, left};
use lnconform_adapter_process::lock;
use lnconform_protocol::outcome::Fail;
use lnconform_protocol::{ErrorKind, OpError};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Idle connections that are kept.
const IDLE: usize = 4;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer in time.
    #[error("lnd has not answered {call} by the deadline")]
    Timeout {
        /// Method and path.
        call: String,
    },
    /// The connection, or what came over it.
    #[error("lnd's REST interface at {call}: {error}")]
    Io {
        /// Method and path.
        call: String,
        /// What went wrong.
        error: io::Error,
    },
    /// LND refused.
    #[error("{message}")]
    Refused {
        /// The status of gRPC.
        code: u64,
        /// LND's own words.
        message: String,
    },
}

impl From<CallError> for OpError {
    fn from(e: CallError) -> Self {
        let kind = match &e {
            CallError::Timeout { .. } => ErrorKind::Timeout,
            CallError::Io { .. } => ErrorKind::Internal,
            // gRPC: invalid argument; deadline exceeded; internal and unavailable. LND says
            // "unknown" for almost everything else that it refuses.
            CallError::Refused { code: 3, .. } => ErrorKind::Invalid,
            CallError::Refused { code: 4, .. } => ErrorKind::Timeout,
            CallError::Refused { code: 13 | 14, .. } => ErrorKind::Internal,
            CallError::Refused { .. } => ErrorKind::Rejected,
        };
        OpError::new(kind, e.to_string())
    }
}

impl From<CallError> for Fail {
    fn from(e: CallError) -> Self {
        Fail::Error(e.into())
    }
}

impl CallError {
    /// Whether LND's words contain `text`.
    pub(crate) fn says(&self, text: &str) -> bool {
        matches!(self, CallError::Refused { message, .. } if message.contains(text))
    }
}

/// LND's REST interface.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    macaroon: String,
    idle: Mutex<Vec<Tls>>,
    /// Connections of streams, to be closed with the client.
    open: Arc<Mutex<Open>>,
    ending: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    closed: bool,
    next: u64,
    sockets: HashMap<u64, TcpStream>,
}

impl Client {
    /// A client for the node at `address`, whose certificate and macaroon (raw) these are.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub(crate) fn new(
        address: SocketAddr,
        certificate: CertificateDer<'static>,
        macaroon: &[u8],
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            address,
            tls: Arc::new(tls::trust_only(certificate)?),
            macaroon: lnconform_protocol::params::hex(macaroon),
            idle: Mutex::default(),
            open: Arc::default(),
            ending: AtomicBool::new(false),
        })
    }

    /// The address, as a URL has it.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The macaroon, in hex.
    pub(crate) fn macaroon(&self) -> &str {
        &self.macaroon
    }

    /// Ends every stream and refuses new ones.
    pub(crate) fn close(&self) {
        self.expect_end();
        let mut open = lock(&self.open);
        open.closed = true;
        for socket in open.sockets.values() {
            // One that is broken already needs nothing.
            let _ = socket.shutdown(Shutdown::Both);
        }
        lock(&self.idle).clear();
    }

    /// From now on the end of a stream is no surprise.
    pub(crate) fn expect_end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether the node is being stopped.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// A new connection, which [`Client::close`] ends while the guard lives.
    pub(crate) fn connect(&self, deadline: Instant) -> io::Result<(Tls, Registered)> {
        let left = left(deadline)?;
        let socket = TcpStream::connect_timeout(&self.address, left)?;
        socket.set_nodelay(true)?;
        let guard = {
            let mut open = lock(&self.open);
            if open.closed {
                return Err(io::Error::other("the node is being stopped"));
            }
            let key = open.next;
            open.next += 1;
            open.sockets.insert(key, socket.try_clone()?);
            Registered {
                open: self.open.clone(),
                key,
            }
        };
        let name = ServerName::IpAddress(self.address.ip().into());
        let session = ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        Ok((StreamOwned::new(session, socket), guard))
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str, limit: Duration) -> Result<Value, CallError> {
        self.call("GET", path, None, limit)
    }

    /// `POST path` with a body.
    pub(crate) fn post(
        &self,
        path: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<Value, CallError> {
        self.call("POST", path, Some(body), limit)
    }

    /// One call and its answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Value, CallError> {
        let deadline = Instant::now() + limit;
        let name = || call_name(method, path);
        let fail = |error| io_error(error, name());
        // A connection that LND has closed meanwhile shows itself at the first byte; asking again
        // is safe only where asking changes nothing.
        let reused = if method == "GET" {
            lock(&self.idle).pop()
        } else {
            None
        };
        let request = self.request(method, path, body);
        if let Some(connection) = reused {
            let mut stream = Stream::over(connection, None, name());
            if let Ok(answer) = stream.exchange(&request, deadline) {
                self.keep(stream);
                return answer.read();
            }
        }
        let (connection, guard) = self.connect(deadline).map_err(fail)?;
        let mut stream = Stream::over(connection, Some(guard), name());
        let answer = stream.exchange(&request, deadline).map_err(fail)?;
        self.keep(stream);
        answer.read()
    }

    fn keep(&self, stream: Stream) {
        if let Some(connection) = stream.reusable() {
            let mut idle = lock(&self.idle);
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
    }

    /// Starts a call whose answer is a stream of messages. LND sends the head of the answer with
    /// the first message only, so this returns once the request has been written.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn stream(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Stream, CallError> {
        let name = || call_name(method, path);
        let deadline = Instant::now() + Duration::from_secs(10);
        let (connection, guard) = self.connect(deadline).map_err(|e| io_error(e, name()))?;
        let mut stream = Stream::over(connection, Some(guard), name());
        stream
            .send(&self.request(method, path, body), deadline)
            .map_err(|e| io_error(e, name()))?;
        Ok(stream)
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nGrpc-Metadata-Macaroon: {}\r\n",
            self.address, self.macaroon
        );
        let body = body.map(Value::to_string);
        if let Some(body) = &body {
            // Writing to a string cannot fail.
            let _ = write!(
                head,
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        head.push_str("\r\n");
        head.push_str(body.as_deref().unwrap_or_default());
        head.into_bytes()
    }
}

/// Takes a connection off the list of those that closing the client ends.
#[derive(Debug)]
pub(crate) struct Registered {
    open: Arc<Mutex<Open>>,
    key: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&self.open).sockets.remove(&self.key);
    }
}

fn call_name(method: &str, path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    format!("{method} {path}")
}

fn io_error(error: io::Error, call: String) -> CallError {
    match is_timeout(&error) {
        true => CallError::Timeout { call },
        false => CallError::Io { call, error },
    }
}
