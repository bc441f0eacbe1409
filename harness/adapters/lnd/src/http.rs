//! A small HTTP/1.1 client for LND's REST interface.
//!
//! It trusts exactly one certificate, the node's own. LND marks that certificate as an authority,
//! which webpki refuses at a server, so it is compared byte for byte instead of being verified as
//! a chain; that the server has its key is still proven by the handshake.
//!
//! Nothing here waits without a deadline but a stream, and closing the client ends every stream.

use lnconform_protocol::outcome::Fail;
use lnconform_protocol::{ErrorKind, OpError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    StreamOwned,
};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest head of an answer, in bytes.
const HEAD: usize = 64 * 1024;
/// Longest body of an answer, in bytes: a description of the graph is the longest.
const BODY: usize = 32 * 1024 * 1024;
/// Longest message of a stream, in bytes.
const MESSAGE: usize = 4 * 1024 * 1024;
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

/// Trusts one certificate.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A configuration that trusts this certificate and no other.
fn trust_only(certificate: CertificateDer<'static>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Pinned {
        certificate,
        algorithms: provider.signature_verification_algorithms,
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// An encrypted connection.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            tls: Arc::new(trust_only(certificate)?),
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
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => CallError::Timeout { call },
        _ => CallError::Io { call, error },
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

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// What is left of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// The head has not come yet.
    Head,
    /// So many bytes.
    Length(usize),
    /// The size of a chunk comes next.
    ChunkSize,
    /// So many bytes of a chunk, and the end of its line.
    Chunk(usize),
    /// What follows the last chunk, up to an empty line.
    Trailer,
    /// The server closes the connection at the end.
    UntilClosed,
    /// Nothing.
    Done,
}

/// Decodes an answer as its bytes come, in whatever pieces.
#[derive(Debug)]
struct Decoder {
    raw: Vec<u8>,
    body: Vec<u8>,
    status: u16,
    close: bool,
    framing: Framing,
}

impl Decoder {
    fn new() -> Self {
        Self {
            raw: Vec::new(),
            body: Vec::new(),
            status: 0,
            close: false,
            framing: Framing::Head,
        }
    }

    /// Decodes as much as can be decoded.
    fn advance(&mut self) -> io::Result<()> {
        loop {
            match self.framing {
                Framing::Head => {
                    let mut headers = [httparse::EMPTY_HEADER; 64];
                    let mut answer = httparse::Response::new(&mut headers);
                    let parsed = answer
                        .parse(&self.raw)
                        .map_err(|_| malformed("the head of the answer is malformed"))?;
                    let httparse::Status::Complete(length) = parsed else {
                        if self.raw.len() > HEAD {
                            return Err(malformed("the head of the answer is too long"));
                        }
                        return Ok(());
                    };
                    self.status = answer.code.unwrap_or_default();
                    let mut framing = Framing::UntilClosed;
                    for header in answer.headers.iter() {
                        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
                        if header.name.eq_ignore_ascii_case("transfer-encoding")
                            && value.eq_ignore_ascii_case("chunked")
                        {
                            framing = Framing::ChunkSize;
                        } else if header.name.eq_ignore_ascii_case("content-length")
                            && framing == Framing::UntilClosed
                        {
                            let length =
                                value.parse().ok().filter(|n| *n <= BODY).ok_or_else(|| {
                                    malformed("the length of the answer is refused")
                                })?;
                            framing = Framing::Length(length);
                        } else if header.name.eq_ignore_ascii_case("connection") {
                            self.close |= value.eq_ignore_ascii_case("close");
                        }
                    }
                    self.raw.drain(..length);
                    self.framing = framing;
                }
                Framing::Length(left) => {
                    let n = left.min(self.raw.len());
                    self.body.extend(self.raw.drain(..n));
                    if n < left {
                        self.framing = Framing::Length(left - n);
                        return Ok(());
                    }
                    self.framing = Framing::Done;
                }
                Framing::ChunkSize => {
                    let Some(line) = self.line()? else {
                        return Ok(());
                    };
                    let digits = line.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(digits, 16)
                        .ok()
                        .filter(|n| *n <= BODY)
                        .ok_or_else(|| malformed("the size of a chunk is malformed"))?;
                    self.framing = if size == 0 {
                        Framing::Trailer
                    } else {
                        Framing::Chunk(size)
                    };
                }
                Framing::Chunk(0) => {
                    match self.line()? {
                        None => return Ok(()),
                        Some(line) if line.is_empty() => self.framing = Framing::ChunkSize,
                        Some(_) => return Err(malformed("a chunk is longer than its size")),
                    };
                }
                Framing::Chunk(left) => {
                    let n = left.min(self.raw.len());
                    self.body.extend(self.raw.drain(..n));
                    self.framing = Framing::Chunk(left - n);
                    if n < left {
                        return Ok(());
                    }
                }
                Framing::Trailer => match self.line()? {
                    None => return Ok(()),
                    Some(line) if line.is_empty() => self.framing = Framing::Done,
                    Some(_) => {}
                },
                Framing::UntilClosed => {
                    self.body.append(&mut self.raw);
                    return Ok(());
                }
                Framing::Done => return Ok(()),
            }
            if self.body.len() > BODY {
                return Err(malformed("the answer is too long"));
            }
        }
    }

    /// Takes one line, without its end.
    fn line(&mut self) -> io::Result<Option<String>> {
        let Some(end) = self.raw.iter().position(|b| *b == b'\n') else {
            if self.raw.len() > 1024 {
                return Err(malformed("a line between chunks is too long"));
            }
            return Ok(None);
        };
        let line: Vec<u8> = self.raw.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The connection has ended.
    fn end(&mut self) -> io::Result<()> {
        match self.framing {
            Framing::UntilClosed | Framing::Done => {
                self.framing = Framing::Done;
                self.close = true;
                Ok(())
            }
            _ => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "lnd closed the connection in the middle",
            )),
        }
    }
}

/// A whole answer.
#[derive(Debug)]
struct Whole {
    status: u16,
    body: Vec<u8>,
    call: String,
}

impl Whole {
    fn read(self) -> Result<Value, CallError> {
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
    fn over(connection: Tls, guard: Option<Registered>, call: String) -> Self {
        Self {
            connection,
            decoder: Decoder::new(),
            call,
            guard,
        }
    }

    fn send(&mut self, request: &[u8], deadline: Instant) -> io::Result<()> {
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
        self.decoder.raw.extend_from_slice(&piece[..n]);
        Ok(true)
    }

    /// Sends and reads the whole answer.
    fn exchange(&mut self, request: &[u8], deadline: Instant) -> io::Result<Whole> {
        self.send(request, deadline)?;
        loop {
            self.decoder.advance()?;
            if self.decoder.framing == Framing::Done {
                return Ok(self.taken());
            }
            if !self.fill(Some(deadline))? {
                self.decoder.end()?;
            }
        }
    }

    /// The connection, if another request may follow on it.
    fn reusable(self) -> Option<Tls> {
        // The guard goes: an idle connection is closed by being dropped.
        drop(self.guard);
        let clean = self.decoder.framing == Framing::Done
            && !self.decoder.close
            && self.decoder.raw.is_empty();
        clean.then_some(self.connection)
    }

    /// The whole answer of a call that takes as long as the world does.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn whole(&mut self) -> Result<Value, CallError> {
        let call = self.call.clone();
        let fail = |error| io_error(error, call.clone());
        loop {
            self.decoder.advance().map_err(fail)?;
            if self.decoder.framing == Framing::Done {
                return self.taken().read();
            }
            if !self.fill(None).map_err(fail)? {
                self.decoder.end().map_err(fail)?;
            }
        }
    }

    fn taken(&mut self) -> Whole {
        Whole {
            status: self.decoder.status,
            body: std::mem::take(&mut self.decoder.body),
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
            self.decoder.advance().map_err(fail)?;
            let done = self.decoder.framing == Framing::Done;
            let body = &mut self.decoder.body;
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
                let ok = (200..300).contains(&self.decoder.status);
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
                self.decoder.end().map_err(fail)?;
            }
        }
    }
}

#[cfg(test)]
mod tests;
