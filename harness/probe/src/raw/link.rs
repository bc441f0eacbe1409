//! One raw connection: a thread that reads, and whoever sends.

use super::message::{self, Init, kind};
use super::noise::{ACT_ONE, ACT_THREE, ACT_TWO, HEADER, Initiator, NoiseError, Responder};
use super::noise::{Opener, Sealer, Session, TAG};
use super::reader::{Act, Judged, Reader};
use crate::node::env::lock;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The system says so; above all that the peer has hung up.
    #[error("the connection ended in the handshake: {0}")]
    Io(#[from] io::Error),
    /// The peer answers with something else.
    #[error(transparent)]
    Noise(#[from] NoiseError),
}

/// A message that has come.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its type.
    pub kind: u16,
    /// Everything behind the type.
    pub payload: Vec<u8>,
    /// What becomes of it at an honest end.
    pub act: Act,
    /// The statement that it breaks, and how.
    pub broken: Option<(&'static str, String)>,
    /// What it says.
    pub fields: Value,
}

#[derive(Default)]
struct State {
    messages: Vec<Received>,
    /// Messages that somebody has been shown, or that were passed over for one.
    shown: usize,
    init: Option<Init>,
    closed: bool,
}

/// A connection after its handshake.
pub struct Link {
    /// This end's id.
    pub me: PublicKey,
    /// The other end's.
    pub peer: PublicKey,
    stream: TcpStream,
    sealer: Mutex<Sealer>,
    state: Mutex<State>,
    changed: Condvar,
}

/// What is left of a handshake for the thread that reads.
pub struct Ear {
    opener: Opener,
    reader: Reader,
    stream: TcpStream,
}

fn exactly<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Link {
    /// The handshake of the end that has connected; it takes `deadline` at most for each act.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn initiate(
        mut stream: TcpStream,
        deadline: Duration,
        (secret, ephemeral): (SecretKey, SecretKey),
        peer: PublicKey,
    ) -> Result<(Self, Ear), LinkError> {
        begin(&stream, deadline)?;
        let (initiator, one) = Initiator::start(secret, ephemeral, &peer);
        stream.write_all(&one)?;
        let (three, session) = initiator.finish(&exactly::<ACT_TWO>(&mut stream)?)?;
        stream.write_all(&three)?;
        Ok(Self::new(stream, &secret, peer, session)?)
    }

    /// The handshake of the end that was connected to.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn respond(
        mut stream: TcpStream,
        deadline: Duration,
        (secret, ephemeral): (SecretKey, SecretKey),
    ) -> Result<(Self, Ear), LinkError> {
        begin(&stream, deadline)?;
        let one = exactly::<ACT_ONE>(&mut stream)?;
        let (responder, two) = Responder::answer(&secret, ephemeral, &one)?;
        stream.write_all(&two)?;
        let (peer, session) = responder.finish(&exactly::<ACT_THREE>(&mut stream)?)?;
        Ok(Self::new(stream, &secret, peer, session)?)
    }

    fn new(
        stream: TcpStream,
        secret: &SecretKey,
        peer: PublicKey,
        session: Session,
    ) -> io::Result<(Self, Ear)> {
        stream.set_read_timeout(None)?;
        let ear = Ear {
            opener: session.opener,
            reader: Reader::new(*secret),
            stream: stream.try_clone()?,
        };
        let link = Self {
            me: lnconform_drafts::keys::public(secret),
            peer,
            stream,
            sealer: Mutex::new(session.sealer),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        Ok((link, ear))
    }

    /// Sends a message. `false`: the connection has ended.
    pub fn send(&self, bytes: &[u8]) -> bool {
        let mut sealer = lock(&self.sealer);
        let Ok(sealed) = sealer.seal(bytes) else {
            return false;
        };
        (&self.stream).write_all(&sealed).is_ok()
    }

    /// Ends the connection.
    pub fn close(&self) {
        // The other end may have been faster.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Reads until the connection ends; `seen` is told of each message before anybody else is.
    pub fn listen(&self, mut ear: Ear, seen: impl Fn(&Judged, &[u8])) {
        while let Some(bytes) = ear.next() {
            let judged = ear.reader.read(&bytes);
            seen(&judged, &bytes);
            if let Some(answer) = &judged.answer {
                self.send(answer);
            }
            let act = judged.act;
            let mut state = lock(&self.state);
            if let Some(init) = judged.init {
                state.init = Some(init);
            }
            state.messages.push(Received {
                kind: judged.kind,
                payload: bytes.get(2..).unwrap_or_default().to_vec(),
                act,
                broken: judged.broken,
                fields: judged.fields,
            });
            drop(state);
            self.changed.notify_all();
            if act == Act::Close {
                break;
            }
        }
        self.close();
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    /// Waits until `done` answers something, or the connection ends, or the deadline is there.
    fn until<T>(
        &self,
        deadline: Instant,
        mut done: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            if let Some(value) = done(&mut state) {
                return Some(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed {
                return None;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// What the peer has said first, waited for.
    pub fn init(&self, deadline: Instant) -> Option<Init> {
        self.until(deadline, |state| state.init.clone())
    }

    /// The type of the first message that has come, if there is one.
    pub fn first(&self) -> Option<u16> {
        lock(&self.state).messages.first().map(|m| m.kind)
    }

    /// The next message of one of these types, or of any; those before it are passed over.
    pub fn next(&self, deadline: Instant, kinds: Option<&[u16]>) -> Option<Received> {
        self.until(deadline, |state| {
            let left = state.messages.get(state.shown..)?;
            let wanted = |m: &Received| kinds.is_none_or(|kinds| kinds.contains(&m.kind));
            let at = state.shown + left.iter().position(wanted)?;
            state.shown = at + 1;
            state.messages.get(at).cloned()
        })
    }

    /// How many messages have come.
    pub fn count(&self) -> usize {
        lock(&self.state).messages.len()
    }

    /// Waits until `wanted` is among the messages behind the first `after`; answers with its place.
    pub fn find(
        &self,
        deadline: Instant,
        after: usize,
        wanted: impl Fn(&Received) -> bool,
    ) -> Option<Vec<Received>> {
        self.until(deadline, |state| {
            let since = state.messages.get(after..)?;
            let at = since.iter().position(&wanted)?;
            Some(since[..=at].to_vec())
        })
    }

    /// Waits for the end of the connection. `false`: it is there at the deadline.
    pub fn closed(&self, deadline: Instant) -> bool {
        self.until(deadline, |state| state.closed.then_some(()))
            .is_some()
            || lock(&self.state).closed
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// The last error or warning that has come, by its name.
    pub fn complaint(&self, wanted: u16) -> Option<Value> {
        let state = lock(&self.state);
        let found = state.messages.iter().rev().find(|m| m.kind == wanted)?;
        found.fields.get("data").cloned()
    }

    /// Names of the messages that have come, in their order.
    pub fn heard(&self) -> Vec<String> {
        let state = lock(&self.state);
        state.messages.iter().map(|m| spelled(m.kind)).collect()
    }
}

/// The name of a message, or its number.
pub fn spelled(wanted: u16) -> String {
    message::name(wanted).map_or_else(|| wanted.to_string(), str::to_owned)
}

fn begin(stream: &TcpStream, deadline: Duration) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(deadline))
}

impl Ear {
    /// The next message; `None` at the end of the connection, which bytes that do not decrypt are.
    fn next(&mut self) -> Option<Vec<u8>> {
        let header = exactly::<HEADER>(&mut self.stream).ok()?;
        let length = self.opener.length(&header).ok()?;
        let mut cipher = vec![0; length + TAG];
        self.stream.read_exact(&mut cipher).ok()?;
        self.opener.message(&cipher).ok()
    }
}

/// Whether a message is the pong of so many bytes.
pub fn is_pong(received: &Received, length: u16) -> bool {
    received.kind == kind::PONG && received.fields["byteslen"] == length
}
