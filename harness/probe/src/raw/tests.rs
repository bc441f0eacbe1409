//! Both ends of raw connections, and each wrong before the honest reader.

use super::link::Link;
use super::message::{Init, kind, regtest};
use super::noise::tests::secret;
use super::noise::{HEADER, Initiator, Responder, Session, TAG};
use super::reader::{Act, Reader};
use super::*;
use lightning03::ln::peer_handler::{
    ErroringMessageHandler, IgnoringMessageHandler, MessageHandler, PeerManager, SocketDescriptor,
};
use lightning03::sign::KeysManager;
use lightning03::util::logger::{Logger, Record as LogRecord};
use lnconform_spec::misbehaviours::{self, Misbehaviour};
use std::hash::{Hash, Hasher};

fn honest_init() -> Vec<u8> {
    wrong::init(&offer(), None).unwrap()
}

fn offer() -> Init {
    Init::new(features::from_bits(FEATURES), &[regtest()])
}

/// The reader's node has key 9, and key 8 is that of the next one.
fn plan(last: bool) -> wrong::Plan {
    let path: &[u8] = if last { &[9] } else { &[9, 8] };
    wrong::Plan {
        path: path.iter().map(|n| keys::public(&secret(*n))).collect(),
        records: vec![Record::new(65_537, [1])],
        size: None,
        scid: None,
    }
}

fn draws() -> impl FnMut() -> SecretKey {
    let mut drawn = 20;
    move || {
        drawn += 1;
        secret(drawn)
    }
}

/// What the honest reader makes of what an operation sends.
fn judged(operation: &str, name: Option<&str>) -> Judged {
    let mut reader = Reader::new(secret(9));
    if operation == "raw.connect" || operation == "raw.listen" {
        return reader.read(&wrong::init(&offer(), name).unwrap());
    }
    assert!(reader.read(&honest_init()).broken.is_none());
    let bytes = match (operation, name) {
        ("raw.send", Some(name)) => wrong::message(name).unwrap(),
        ("raw.send", None) => message::ping(3),
        ("raw.onion_message", name) => {
            let last = name == Some("onion-message-two-payloads");
            plan(last).message(name, draws()).unwrap()
        }
        other => panic!("{other:?}"),
    };
    reader.read(&bytes)
}

fn ours() -> Vec<(String, Misbehaviour)> {
    let list = misbehaviours::all().unwrap();
    let each = list.into_iter().flat_map(|m| {
        let raw = m.operations.iter().filter(|op| op.starts_with("raw."));
        raw.map(|op| (op.clone(), m.clone())).collect::<Vec<_>>()
    });
    each.collect()
}

#[test]
fn the_honest_reader_notices_each_by_the_statement_that_the_list_names() {
    assert!(ours().len() > 20);
    for (operation, m) in ours() {
        let judged = judged(&operation, Some(&m.name));
        let noticed = judged.broken.map(|(rule, _)| rule);
        assert_eq!(noticed, m.reader.as_deref(), "{} on {operation}", m.name);
        assert_ne!(judged.act, Act::Take);
        assert!(judged.answer.is_none() && judged.forward.is_none());
    }
}

#[test]
fn without_it_the_same_is_taken() {
    for (operation, m) in ours() {
        let judged = judged(&operation, None);
        assert_eq!((judged.act, judged.broken), (Act::Take, None), "{}", m.name);
    }
    let forwarded = judged("raw.onion_message", None).forward.unwrap();
    let next = keys::public(&secret(8)).serialize();
    assert_eq!(forwarded.0, NextNode::Id(next));
    let mut reader = Reader::new(secret(8));
    reader.read(&honest_init());
    let last = reader.read(&forwarded.1.encode().unwrap());
    assert_eq!(last.fields["last"], true);
    assert_eq!(
        last.fields["records"],
        json!([{"type": "65537", "value": "01"}])
    );
}

#[test]
fn an_unknown_name_does_nothing() {
    assert!(wrong::init(&offer(), Some("init-known-even")).is_none());
    assert!(wrong::message("message-known-even").is_none());
    assert!(
        plan(false)
            .message(Some("onion-message-right"), draws())
            .is_err()
    );
}

#[test]
fn the_rules_of_init() {
    let read = |features: &[u16], networks: &[[u8; 32]]| {
        let init = Init::new(features::from_bits(features.iter().copied()), networks);
        Reader::new(secret(9)).read(&init.encode())
    };
    let rule = |judged: Judged| judged.broken.map(|(rule, _)| rule);
    assert_eq!(rule(read(&[999], &[])), None);
    assert_eq!(rule(read(&[30, 150], &[])), None);
    assert_eq!(
        rule(read(&[998], &[])),
        Some("bolt01/init/reader/unknown-even")
    );
    assert_eq!(rule(read(&[51, 47], &[])), None);
    assert_eq!(
        rule(read(&[61], &[])),
        Some("bolt01/init/reader/dependencies")
    );
    assert_eq!(rule(read(&[61, 26], &[])), None);
    let fields = read(&[1], &[regtest()]).fields;
    assert_eq!(fields["networks"], json!([hex(regtest())]));
    assert_eq!(fields["minimal"], true);
    let long = Init {
        features: vec![0, 2],
        global: vec![0x40, 0],
        records: Vec::new(),
    };
    let fields = Reader::new(secret(9)).read(&long.encode()).fields;
    assert_eq!(fields["minimal"], false);
    assert_eq!(fields["global_at_most_13"], false);
    let early = Reader::new(secret(9)).read(&message::ping(1));
    assert_eq!(rule(early), Some("bolt01/init/sender/first"));
}

#[test]
fn a_ping_is_answered_up_to_the_limit() {
    let mut reader = Reader::new(secret(9));
    reader.read(&honest_init());
    let answer = reader.read(&message::ping(65_531)).answer.unwrap();
    assert_eq!(answer.len(), 65_535);
    let ignored = reader.read(&message::ping(65_532));
    assert_eq!((ignored.act, ignored.answer), (Act::Ignore, None));
    assert_eq!(reader.read(&message::message(32_767, &[])).act, Act::Ignore);
    assert_eq!(reader.read(&[0]).act, Act::Close);
}

/// Both ends of a connection between keys 1 and 3, each reading.
fn linked() -> (Arc<Link>, Arc<Link>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        Link::respond(stream, HANDSHAKE, (secret(3), secret(4))).unwrap()
    });
    let stream = TcpStream::connect(address).unwrap();
    let peer = keys::public(&secret(3));
    let a = Link::initiate(stream, HANDSHAKE, (secret(1), secret(2)), peer).unwrap();
    let [a, b] = [a, other.join().unwrap()].map(|(link, ear)| {
        let link = Arc::new(link);
        let own = link.clone();
        thread::spawn(move || own.listen(ear, |_, _| {}));
        link
    });
    assert_eq!(b.peer, a.me);
    assert_eq!(b.me, a.peer);
    (a, b)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[test]
fn two_ends_talk_and_one_closes_on_what_may_not_be() {
    let (a, b) = linked();
    assert!(a.send(&honest_init()) && b.send(&honest_init()));
    assert!(a.init(soon()).is_some());
    assert_eq!(b.init(soon()), Some(offer()));
    assert!(a.send(&message::ping(5)));
    let pong = a.find(soon(), 0, |m| is_pong(m, 5)).unwrap();
    assert_eq!(pong.len(), 2);
    assert!(a.send(&message::message(32_767, &[1])));
    assert!(b.next(soon(), Some(&[32_767])).is_some());
    assert!(!b.is_closed());
    assert!(a.send(&wrong::message("message-unknown-even").unwrap()));
    assert!(b.closed(soon()) && a.closed(soon()));
    assert!(b.next(soon(), Some(&[kind::PING])).is_none());
}

/// What LDK has to send, put aside.
#[derive(Clone, Default)]
struct Aside(Arc<Mutex<Vec<u8>>>);

impl PartialEq for Aside {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Aside {}

impl Hash for Aside {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl SocketDescriptor for Aside {
    fn send_data(&mut self, data: &[u8], _continue_read: bool) -> usize {
        lock(&self.0).extend_from_slice(data);
        data.len()
    }

    fn disconnect_socket(&mut self) {}
}

struct Mute;

impl Logger for Mute {
    fn log(&self, _record: LogRecord) {}
}

type Ldk = PeerManager<
    Aside,
    Arc<ErroringMessageHandler>,
    IgnoringMessageHandler,
    IgnoringMessageHandler,
    Arc<Mute>,
    IgnoringMessageHandler,
    Arc<KeysManager>,
    IgnoringMessageHandler,
>;

fn ldk() -> (Ldk, PublicKey) {
    let keys = Arc::new(KeysManager::new(&[7; 32], 1, 1, true));
    let id = self::keys::public(&keys.get_node_secret_key());
    let handlers = MessageHandler {
        chan_handler: Arc::new(ErroringMessageHandler::new()),
        route_handler: IgnoringMessageHandler {},
        onion_message_handler: IgnoringMessageHandler {},
        custom_message_handler: IgnoringMessageHandler {},
        send_only_message_handler: IgnoringMessageHandler {},
    };
    (Ldk::new(handlers, 1, &[6; 32], Arc::new(Mute), keys), id)
}

/// What LDK answers to bytes.
fn told(ldk: &Ldk, aside: &Aside, bytes: &[u8]) -> Vec<u8> {
    ldk.read_event(&mut aside.clone(), bytes).unwrap();
    ldk.process_events();
    std::mem::take(&mut *lock(&aside.0))
}

/// All messages in what LDK has sent.
fn opened(session: &mut Session, mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
        let length = session.opener.length(header).unwrap();
        let (cipher, rest) = rest.split_at(length + TAG);
        messages.push(session.opener.message(cipher).unwrap());
        bytes = rest;
    }
    messages
}

/// Init both ways, then pings over more than two rotations of the keys.
fn talk(ldk: &Ldk, aside: &Aside, mut session: Session, their_init: Vec<u8>) {
    let sent = session.sealer.seal(&honest_init()).unwrap();
    let mut init = their_init;
    init.extend(told(ldk, aside, &sent));
    assert_eq!(opened(&mut session, &init)[0][..2], [0, 16]);
    assert_eq!(ldk.list_peers().len(), 1);
    for wanted in 0..1100 {
        let sent = session.sealer.seal(&message::ping(wanted)).unwrap();
        let answer = told(ldk, aside, &sent);
        // Among them are pings of LDK's own, after each 32 messages.
        assert!(opened(&mut session, &answer).contains(&message::pong(wanted)));
    }
}

#[test]
fn ldk_understands_the_initiator() {
    let (ldk, id) = ldk();
    let aside = Aside::default();
    ldk.new_inbound_connection(aside.clone(), None).unwrap();
    let (initiator, one) = Initiator::start(secret(1), secret(2), &id);
    let two = told(&ldk, &aside, &one);
    let (three, session) = initiator.finish(&two.try_into().unwrap()).unwrap();
    let init = told(&ldk, &aside, &three);
    talk(&ldk, &aside, session, init);
}

#[test]
fn ldk_understands_the_responder() {
    let (ldk, id) = ldk();
    let aside = Aside::default();
    let me = keys::public(&secret(3));
    let one = ldk
        .new_outbound_connection(me, aside.clone(), None)
        .unwrap();
    let (responder, two) =
        Responder::answer(&secret(3), secret(4), &one.try_into().unwrap()).unwrap();
    let rest = told(&ldk, &aside, &two);
    let (three, init) = rest.split_at(super::noise::ACT_THREE);
    let (who, session) = responder.finish(three.try_into().unwrap()).unwrap();
    assert_eq!(who, id);
    talk(&ldk, &aside, session, init.to_vec());
}
