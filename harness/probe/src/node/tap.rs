//! A connection of LDK's, seen in the clear: BOLT 8 below its `PeerManager`.
//!
//! LDK keeps one record of `update_fulfill_htlc` and drops every other one before a handler sees it, and
//! it sends that one alone. What it reads and writes is ciphertext; but the keys of a session follow from
//! the acts of the handshake, the node's secret, and the ephemeral one. LDK draws the ephemeral secrets
//! from 32 bytes that this node has given it: the n-th is the SHA-256 of those bytes and n. So the
//! node can follow its own handshakes. What comes is read and handed on as it is; what goes out is opened, changed where
//! somebody wants it changed, and sealed again with the same key and number, so that no message
//! more or less is counted on either side. What LDK had sealed never leaves the process.
//!
//! Where a handshake cannot be followed (another version of LDK may draw differently), the bytes go
//! through as they are, and standard error has a word about it.

use crate::raw::noise::{
    ACT_ONE, ACT_THREE, ACT_TWO, HEADER, Initiator, Opener, Responder, Sealer, Session, TAG,
};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::keys;

/// Connections that a node may have had: so many of LDK's ephemeral secrets are tried.
const CONNECTIONS: u64 = 10_000;

/// The secrets by which a node follows its handshakes.
#[derive(Clone)]
pub struct Secrets {
    /// The node's.
    pub node: SecretKey,
    /// What LDK draws the ephemeral ones from.
    pub random: [u8; 32],
}

impl Secrets {
    /// The ephemeral secret of this public key, if LDK has drawn it.
    fn ephemeral(&self, public: &[u8]) -> Option<SecretKey> {
        let drawn = |n: u64| {
            let bytes = keys::sha256(&[&self.random, &n.to_le_bytes()]);
            SecretKey::from_slice(&bytes).ok()
        };
        (0..CONNECTIONS)
            .filter_map(drawn)
            .find(|secret| keys::public(secret).serialize()[..] == *public)
    }
}

/// Sees each message that comes, and may change each that goes out.
pub trait Listener: Send + Sync {
    /// A message has come; its type stands in front.
    fn came(&self, message: &[u8]);
    /// A message goes out: what goes out in its place, if it is another.
    fn goes(&self, message: &[u8]) -> Option<Vec<u8>>;
}

enum Stage {
    /// Who has connected, before its first act.
    Connecting(PublicKey),
    /// Its first act has gone out.
    Asked(Initiator),
    /// The second act has come, and this third one is to go out.
    Agreed(Vec<u8>, Session),
    /// Who was connected to, before the first act.
    Accepting,
    /// The first act has come.
    Addressed([u8; ACT_ONE]),
    /// The second act has gone out.
    Answered(Responder),
    /// Messages.
    Open(Box<Open>),
    /// The handshake was another than could be followed.
    Lost,
}

struct Open {
    /// Opens what LDK has sealed.
    mine: Opener,
    /// Seals it again.
    sealer: Sealer,
    /// Opens what comes.
    theirs: Opener,
    mine_length: Option<usize>,
    theirs_length: Option<usize>,
}

impl Open {
    fn new(session: Session) -> Box<Self> {
        Box::new(Self {
            mine: session.sealer.opener(),
            sealer: session.sealer,
            theirs: session.opener,
            mine_length: None,
            theirs_length: None,
        })
    }
}

/// The next whole message in a buffer. `Err`: it is none.
fn next(
    opener: &mut Opener,
    length: &mut Option<usize>,
    buffer: &mut Vec<u8>,
) -> Result<Option<Vec<u8>>, ()> {
    if length.is_none() {
        let Some(header) = take::<HEADER>(buffer) else {
            return Ok(None);
        };
        *length = Some(opener.length(&header).map_err(drop)?);
    }
    let whole = length.unwrap_or_default() + TAG;
    if buffer.len() < whole {
        return Ok(None);
    }
    *length = None;
    let cipher: Vec<u8> = buffer.drain(..whole).collect();
    opener.message(&cipher).map(Some).map_err(drop)
}

fn take<const N: usize>(buffer: &mut Vec<u8>) -> Option<[u8; N]> {
    let taken = *buffer.first_chunk::<N>()?;
    buffer.drain(..N);
    Some(taken)
}

/// One connection.
pub struct Tap {
    secrets: Secrets,
    stage: Stage,
    /// What came and is not yet an act or a message.
    came: Vec<u8>,
    /// What LDK has sent and is not yet one.
    sent: Vec<u8>,
}

impl Tap {
    /// A connection to `peer`, or from somebody.
    pub fn new(secrets: Secrets, peer: Option<PublicKey>) -> Self {
        Self {
            secrets,
            stage: peer.map_or(Stage::Accepting, Stage::Connecting),
            came: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn lose(&mut self, why: &str) {
        eprintln!(
            "adapter: a handshake of LDK's cannot be followed, and its messages are not seen: {why}"
        );
        self.stage = Stage::Lost;
    }

    /// Bytes have come, and go to LDK after this.
    pub fn came(&mut self, bytes: &[u8], listener: &dyn Listener) {
        self.came.extend_from_slice(bytes);
        loop {
            match std::mem::replace(&mut self.stage, Stage::Lost) {
                Stage::Accepting => match take::<ACT_ONE>(&mut self.came) {
                    Some(act) => self.stage = Stage::Addressed(act),
                    None => return self.stage = Stage::Accepting,
                },
                Stage::Asked(initiator) => match take::<ACT_TWO>(&mut self.came) {
                    Some(act) => match initiator.finish(&act) {
                        Ok((three, session)) => self.stage = Stage::Agreed(three, session),
                        // LDK notices it too, and hangs up.
                        Err(_) => return,
                    },
                    None => return self.stage = Stage::Asked(initiator),
                },
                Stage::Answered(responder) => match take::<ACT_THREE>(&mut self.came) {
                    Some(act) => match responder.finish(&act) {
                        Ok((_, session)) => self.stage = Stage::Open(Open::new(session)),
                        Err(_) => return,
                    },
                    None => return self.stage = Stage::Answered(responder),
                },
                Stage::Open(mut open) => {
                    let Open {
                        theirs,
                        theirs_length,
                        ..
                    } = &mut *open;
                    match next(theirs, theirs_length, &mut self.came) {
                        Ok(Some(message)) => {
                            listener.came(&message);
                            self.stage = Stage::Open(open);
                        }
                        // What does not decrypt ends the connection.
                        Ok(None) | Err(()) => return self.stage = Stage::Open(open),
                    }
                }
                other => {
                    self.stage = other;
                    return;
                }
            }
        }
    }

    /// LDK sends bytes; what goes out in their place.
    pub fn goes(&mut self, bytes: &[u8], listener: &dyn Listener) -> Vec<u8> {
        self.sent.extend_from_slice(bytes);
        let mut out = Vec::new();
        loop {
            match std::mem::replace(&mut self.stage, Stage::Lost) {
                Stage::Connecting(peer) => {
                    let Some(act) = take::<ACT_ONE>(&mut self.sent) else {
                        self.stage = Stage::Connecting(peer);
                        return out;
                    };
                    out.extend(act);
                    let secret = self.secrets.ephemeral(&act[1..34]);
                    let begun = secret.map(|e| Initiator::start(self.secrets.node, e, &peer));
                    match begun {
                        Some((initiator, one)) if one == act => {
                            self.stage = Stage::Asked(initiator);
                        }
                        _ => self.lose("the first act is not one of this node's"),
                    }
                }
                Stage::Addressed(one) => {
                    let Some(act) = take::<ACT_TWO>(&mut self.sent) else {
                        self.stage = Stage::Addressed(one);
                        return out;
                    };
                    out.extend(act);
                    let secret = self.secrets.ephemeral(&act[1..34]);
                    let answered =
                        secret.and_then(|e| Responder::answer(&self.secrets.node, e, &one).ok());
                    match answered {
                        Some((responder, two)) if two == act => {
                            self.stage = Stage::Answered(responder);
                        }
                        _ => self.lose("the second act is not one of this node's"),
                    }
                }
                Stage::Agreed(three, session) => {
                    let Some(act) = take::<ACT_THREE>(&mut self.sent) else {
                        self.stage = Stage::Agreed(three, session);
                        return out;
                    };
                    out.extend(act);
                    if three == act {
                        self.stage = Stage::Open(Open::new(session));
                    } else {
                        self.lose("the third act is not one of this node's");
                    }
                }
                Stage::Open(mut open) => {
                    let Open {
                        mine, mine_length, ..
                    } = &mut *open;
                    match next(mine, mine_length, &mut self.sent) {
                        Ok(Some(message)) => {
                            let other = listener.goes(&message);
                            let sealed = open.sealer.seal(other.as_deref().unwrap_or(&message));
                            // A message that is too long was not LDK's; without it the session is over.
                            out.extend(sealed.unwrap_or_default());
                            self.stage = Stage::Open(open);
                        }
                        Ok(None) => {
                            self.stage = Stage::Open(open);
                            return out;
                        }
                        Err(()) => self.lose("LDK's messages do not decrypt"),
                    }
                }
                other => {
                    if matches!(other, Stage::Lost) {
                        out.append(&mut self.sent);
                        self.came.clear();
                    }
                    self.stage = other;
                    return out;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Replaces one word by another, and writes down what it sees.
    #[derive(Default)]
    struct Ear(Mutex<Vec<Vec<u8>>>);

    impl Listener for Ear {
        fn came(&self, message: &[u8]) {
            self.0.lock().unwrap().push(message.to_vec());
        }

        fn goes(&self, message: &[u8]) -> Option<Vec<u8>> {
            (message == b"old").then(|| b"another".to_vec())
        }
    }

    fn secrets(node: u8) -> Secrets {
        Secrets {
            node: SecretKey::from_slice(&[node; 32]).unwrap(),
            random: [node + 100; 32],
        }
    }

    fn drawn(secrets: &Secrets, n: u64) -> SecretKey {
        let bytes = keys::sha256(&[&secrets.random, &n.to_le_bytes()]);
        SecretKey::from_slice(&bytes).unwrap()
    }

    /// Both ends of a handshake as LDK would make it, each with its tap; `piece` bytes at a time.
    fn connected(piece: usize) -> ((Session, Tap), (Session, Tap), Ear) {
        let (a, b) = (secrets(1), secrets(2));
        let ear = Ear::default();
        let id = keys::public(&b.node);
        let mut tap_a = Tap::new(a.clone(), Some(id));
        let mut tap_b = Tap::new(b.clone(), None);
        let (initiator, one) = Initiator::start(a.node, drawn(&a, 3), &id);
        let one = across(&mut tap_a, &mut tap_b, &one, piece, &ear);
        let one: [u8; ACT_ONE] = one.try_into().unwrap();
        let (responder, two) = Responder::answer(&b.node, drawn(&b, 7), &one).unwrap();
        let two = across(&mut tap_b, &mut tap_a, &two, piece, &ear);
        let (three, session_a) = initiator.finish(&two.try_into().unwrap()).unwrap();
        let three = across(&mut tap_a, &mut tap_b, &three, piece, &ear);
        let (_, session_b) = responder.finish(&three.try_into().unwrap()).unwrap();
        ((session_a, tap_a), (session_b, tap_b), ear)
    }

    fn across(from: &mut Tap, to: &mut Tap, bytes: &[u8], piece: usize, ear: &Ear) -> Vec<u8> {
        let mut arrived = Vec::new();
        for piece in bytes.chunks(piece) {
            let out = from.goes(piece, ear);
            to.came(&out, ear);
            arrived.extend(out);
        }
        arrived
    }

    #[test]
    fn messages_are_seen_and_changed_in_both_directions_beyond_the_rotation_of_keys() {
        for piece in [1, 7, 1000] {
            let ((mut a, mut tap_a), (mut b, mut tap_b), ear) = connected(piece);
            for number in 0..700_u32 {
                let long = number.to_be_bytes().to_vec();
                for (message, read) in
                    [(long.clone(), long), (b"old".to_vec(), b"another".to_vec())]
                {
                    let sealed = a.sealer.seal(&message).unwrap();
                    let arrived = across(&mut tap_a, &mut tap_b, &sealed, piece, &ear);
                    assert_eq!(ear.0.lock().unwrap().pop().unwrap(), read);
                    let length = b.opener.length(arrived[..HEADER].try_into().unwrap());
                    assert_eq!(length.unwrap(), read.len());
                    assert_eq!(b.opener.message(&arrived[HEADER..]).unwrap(), read);
                }
            }
            let sealed = b.sealer.seal(b"back").unwrap();
            let arrived = across(&mut tap_b, &mut tap_a, &sealed, piece, &ear);
            assert_eq!(ear.0.lock().unwrap().pop().unwrap(), b"back");
            assert_eq!(arrived, sealed);
        }
    }

    #[test]
    fn a_handshake_of_another_s_goes_through_as_it_is() {
        let mut other = secrets(1);
        other.random = [9; 32];
        let id = keys::public(&secrets(2).node);
        let mut tap = Tap::new(other, Some(id));
        let (_, one) = Initiator::start(secrets(1).node, drawn(&secrets(1), 0), &id);
        assert_eq!(tap.goes(&one, &Ear::default()), one);
        assert_eq!(tap.goes(b"anything", &Ear::default()), b"anything");
        tap.came(b"more", &Ear::default());
        assert!(matches!(tap.stage, Stage::Lost));
    }

    #[test]
    fn two_acts_and_a_message_in_one_read_are_told_apart() {
        let (a, b) = (secrets(1), secrets(2));
        let ear = Ear::default();
        let id = keys::public(&b.node);
        let mut tap = Tap::new(b.clone(), None);
        let (initiator, one) = Initiator::start(a.node, drawn(&a, 0), &id);
        tap.came(&one, &ear);
        let (_, two) = Responder::answer(&b.node, drawn(&b, 0), &one.try_into().unwrap()).unwrap();
        assert_eq!(tap.goes(&two, &ear), two);
        let (three, mut session) = initiator.finish(&two.try_into().unwrap()).unwrap();
        let both = [three, session.sealer.seal(b"init").unwrap()].concat();
        tap.came(&both, &ear);
        assert_eq!(*ear.0.lock().unwrap(), [b"init".to_vec()]);
    }
}
