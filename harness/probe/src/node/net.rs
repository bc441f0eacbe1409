//! Connections: a thread that reads and one that writes for each.
//!
//! LDK's `PeerManager` is driven from outside: it is given the bytes that came, and gives those to
//! send. What is to be sent waits in a queue, so that nobody blocks who holds its locks.

use crate::fulfillment::Fulfillments;
use crate::node::env::lock;
use crate::node::tap::Tap;
use crate::node::{Node, Peers};
use bitcoin::secp256k1::PublicKey;
use lightning03::ln::peer_handler::SocketDescriptor;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(5);

/// One connection, as LDK knows it.
#[derive(Clone)]
pub struct Descriptor {
    number: u64,
    stream: Arc<TcpStream>,
    to_send: Sender<Vec<u8>>,
    /// Sees it in the clear, where the node has the option `attribution`.
    tap: Option<Arc<(Mutex<Tap>, Arc<Fulfillments>)>>,
}

impl PartialEq for Descriptor {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Descriptor {}

impl Hash for Descriptor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl SocketDescriptor for Descriptor {
    fn send_data(&mut self, data: &[u8], _continue_read: bool) -> usize {
        if let Some((tap, listener)) = self.tap.as_deref() {
            // Sent while the tap is held, so that nothing overtakes.
            let mut tap = lock(tap);
            let goes = tap.goes(data, &**listener);
            let sent = goes.is_empty() || self.to_send.send(goes).is_ok();
            return if sent { data.len() } else { 0 };
        }
        if data.is_empty() || self.to_send.send(data.to_vec()).is_ok() {
            data.len()
        } else {
            0
        }
    }

    fn disconnect_socket(&mut self) {
        // An empty message closes the connection once everything before it is out; if nobody takes
        // it any more, the connection has ended.
        let _ = self.to_send.send(Vec::new());
    }
}

impl Descriptor {
    fn new(stream: TcpStream, tap: Option<(Tap, Arc<Fulfillments>)>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stream = Arc::new(stream);
        let (to_send, queue) = channel::<Vec<u8>>();
        let writer = stream.clone();
        thread::Builder::new().name("write".into()).spawn(move || {
            // Ends with the last descriptor of the connection, or with the connection.
            for data in queue {
                if data.is_empty() || (&*writer).write_all(&data).is_err() {
                    break;
                }
            }
            // The other end may have been faster.
            let _ = writer.shutdown(Shutdown::Both);
        })?;
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            stream,
            to_send,
            tap: tap.map(|(tap, listener)| Arc::new((Mutex::new(tap), listener))),
        })
    }

    /// Reads until the connection ends.
    fn read(mut self, peers: &Peers) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match (&*self.stream).read(&mut buffer) {
                Ok(0) | Err(_) => {
                    peers.socket_disconnected(&self);
                    return;
                }
                Ok(length) => {
                    if let Some((tap, listener)) = self.tap.as_deref() {
                        lock(tap).came(&buffer[..length], &**listener);
                    }
                    let read = peers.read_event(&mut self, &buffer[..length]);
                    if read.is_err() {
                        return;
                    }
                    peers.process_events();
                }
            }
        }
    }
}

/// Connects to a peer; the handshake goes on after it has returned.
///
/// # Errors
/// What the system says.
pub fn connect(node: &Arc<Node>, peer: PublicKey, address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&address, CONNECT)?;
    let mut descriptor = Descriptor::new(stream, tap(node, Some(peer)))?;
    let first = node
        .peers
        .new_outbound_connection(peer, descriptor.clone(), Some(address.into()))
        .map_err(|_| io::Error::other("LDK does not take the connection"))?;
    descriptor.send_data(&first, true);
    spawn_reader(node, descriptor)
}

/// What sees a connection to a peer, or from one, in the clear.
fn tap(node: &Node, peer: Option<PublicKey>) -> Option<(Tap, Arc<Fulfillments>)> {
    let fulfillments = &node.hook.fulfillments;
    let secrets = fulfillments.secrets()?;
    Some((Tap::new(secrets, peer), fulfillments.clone()))
}

fn spawn_reader(node: &Arc<Node>, descriptor: Descriptor) -> io::Result<()> {
    let peers = node.peers.clone();
    thread::Builder::new()
        .name("read".into())
        .spawn(move || descriptor.read(&peers))
        .map(drop)
}

/// Takes connections until `stop` is set; the thread that does ends soon after, and its port is free.
///
/// # Errors
/// What the system says about the listener.
pub fn listen(
    node: &Arc<Node>,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
) -> io::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let node: Weak<Node> = Arc::downgrade(node);
    thread::Builder::new().name("listen".into()).spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let Some(node) = node.upgrade() else { return };
            match listener.accept() {
                Ok((stream, from)) => {
                    if let Err(e) = accept(&node, stream, from) {
                        eprintln!("adapter: a connection was not taken: {e}");
                    }
                }
                // The one condition that a listener is asked for: somebody is there.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    drop(node);
                    thread::sleep(Duration::from_millis(5));
                }
                Err(e) => eprintln!("adapter: a connection was not taken: {e}"),
            }
        }
    })
}

fn accept(node: &Arc<Node>, stream: TcpStream, from: SocketAddr) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let descriptor = Descriptor::new(stream, tap(node, None))?;
    node.peers
        .new_inbound_connection(descriptor.clone(), Some(from.into()))
        .map_err(|_| io::Error::other("LDK does not take the connection"))?;
    spawn_reader(node, descriptor)
}
