//! What the honest end of a raw connection makes of a message, rule by rule.

use super::message::{Init, NO_PONG, kind, name};
use bitcoin::secp256k1::SecretKey;
use lnconform_drafts::features;
use lnconform_drafts::onion_message::{self, Context, Message, NextNode};
use lnconform_drafts::rules::{Rules, Violation};
use lnconform_drafts::tlv;
use lnconform_protocol::params::{self, ResultObject, hex};
use serde_json::{Value, json};

/// BOLT 1, message format, receiver: a known message that is shorter than its fields.
const LENGTH: &str = "bolt01/message/length";
/// BOLT 1, message format, receiver: a message of an unknown even type.
const UNKNOWN_EVEN: &str = "bolt01/message/unknown-even";
/// BOLT 1, init, receiver: an unknown even feature bit.
const INIT_UNKNOWN_EVEN: &str = "bolt01/init/reader/unknown-even";
/// BOLT 1, init, receiver: a feature without those that it needs.
const INIT_DEPENDENCIES: &str = "bolt01/init/reader/dependencies";
/// BOLT 1, init, sender: `init` comes first.
const INIT_FIRST: &str = "bolt01/init/sender/first";
/// BOLT 1, ping, receiver: more bytes than a pong may have.
const PING_TOO_MANY: &str = "bolt01/ping/reader/too-many";

/// BOLT 9, dependencies: the even bit of a feature, and that of the one that it needs. Those that
/// every node is assumed to have are left out.
const DEPENDENCIES: &[(u64, u64)] = &[(50, 46), (60, 26)];

/// Even bits that are known beyond BOLT 9: AMP (30), and trampolines of the dialects in use (56,
/// 148, 150).
const FURTHER: &[u64] = &[30, 56, 148, 150];

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is dealt with.
    Take,
    /// It is passed over.
    Ignore,
    /// The connection is closed.
    Close,
}

/// A message that was read.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its type; 0 where there is none.
    pub kind: u16,
    /// What becomes of it.
    pub act: Act,
    /// The statement that it breaks, and how.
    pub broken: Option<(&'static str, String)>,
    /// What it says.
    pub fields: ResultFields,
    /// What goes back.
    pub answer: Option<Vec<u8>>,
    /// Where an onion message goes on.
    pub forward: Option<(NextNode, Message)>,
    /// The first message of the connection, once it has been read.
    pub init: Option<Init>,
}

/// The fields of a message as results have them.
pub type ResultFields = Value;

/// One end of a connection that keeps to the rules.
pub struct Reader {
    secret: SecretKey,
    begun: bool,
}

/// A cursor over a payload.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}

impl Reader {
    /// One whose node has this key.
    pub fn new(secret: SecretKey) -> Self {
        Self {
            secret,
            begun: false,
        }
    }

    /// Reads the next message of the connection.
    pub fn read(&mut self, bytes: &[u8]) -> Judged {
        let mut cursor = Cursor(bytes);
        let Some(kind) = cursor.u16() else {
            return Judged::new(0).close(LENGTH, "the message ends before its type");
        };
        let judged = Judged::new(kind);
        if !self.begun && kind != kind::INIT {
            let why = format!("message {kind} comes before init");
            return judged.close(INIT_FIRST, why);
        }
        let short = || format!("{} ends before its fields do", name(kind).unwrap_or("it"));
        match kind {
            kind::INIT => match init(&mut cursor) {
                None => judged.close(LENGTH, short()),
                Some(Err(violation)) => judged.close(violation.rule, violation.message),
                Some(Ok(init)) => self.init(judged, init),
            },
            kind::PING => {
                let fields = cursor.u16().zip(cursor.counted());
                let Some((wanted, _)) = fields else {
                    return judged.close(LENGTH, short());
                };
                let judged = judged.with(json!({ "num_pong_bytes": wanted }));
                if wanted >= NO_PONG {
                    return judged.ignore(PING_TOO_MANY, format!("{wanted} bytes fit in no pong"));
                }
                Judged {
                    answer: Some(super::message::pong(wanted)),
                    ..judged
                }
            }
            kind::PONG => match cursor.counted() {
                None => judged.close(LENGTH, short()),
                Some(bytes) => {
                    let zeros = bytes.iter().all(|byte| *byte == 0);
                    judged.with(json!({ "byteslen": bytes.len(), "zeros": zeros }))
                }
            },
            kind::ERROR | kind::WARNING => {
                let fields = cursor.take(32).zip(cursor.counted());
                let Some((channel, data)) = fields else {
                    return judged.close(LENGTH, short());
                };
                let data = String::from_utf8_lossy(data).into_owned();
                judged.with(json!({ "channel_id": hex(channel), "data": data }))
            }
            kind::ONION_MESSAGE => {
                let fields = cursor.take(33).zip(cursor.counted());
                let Some((path_key, packet)) = fields else {
                    return judged.close(LENGTH, short());
                };
                let mut message = Message {
                    path_key: [0; 33],
                    packet: packet.to_vec(),
                };
                message.path_key.copy_from_slice(path_key);
                self.onion(judged, &message)
            }
            _ if name(kind).is_none() && kind % 2 == 0 => {
                judged.close(UNKNOWN_EVEN, format!("type {kind} is even and unknown"))
            }
            // BOLT 1: it is ok to be odd. Of the messages that are known the rest is about channels
            // and gossip, of which this end has none.
            _ => Judged {
                act: if name(kind).is_some() {
                    Act::Take
                } else {
                    Act::Ignore
                },
                ..judged
            },
        }
    }

    fn init(&mut self, judged: Judged, init: Init) -> Judged {
        self.begun = true;
        let all = init.combined();
        let bits: Vec<u64> = features::bits(&all).collect();
        let unknown = bits
            .iter()
            .find(|bit| *bit % 2 == 0 && features::name(**bit).is_none() && !FURTHER.contains(bit));
        if let Some(bit) = unknown {
            return judged.close(INIT_UNKNOWN_EVEN, format!("feature {bit} is unknown"));
        }
        let has = |even: u64| bits.contains(&even) || bits.contains(&(even + 1));
        let lacking = DEPENDENCIES.iter().find(|(of, on)| has(*of) && !has(*on));
        if let Some((of, on)) = lacking {
            let why = format!("feature {of} is there without {on}");
            return judged.close(INIT_DEPENDENCIES, why);
        }
        Judged {
            init: Some(init.clone()),
            ..judged.with(init_fields(&init))
        }
    }

    fn onion(&self, judged: Judged, message: &Message) -> Judged {
        // A node without channels knows none of them by a number.
        let context = Context {
            channels: Some(&[]),
            known: &[],
            ..Context::default()
        };
        match onion_message::peel(&Rules::all(), &self.secret, message, &context) {
            Ok(peeled) => {
                let records = peeled.records.iter().filter(|r| r.kind != 4);
                let fields = ResultObject::new()
                    .with("packet_length", message.packet.len())
                    .with("last", peeled.last)
                    .with(
                        "records",
                        params::records(records.map(|r| (r.kind, &r.value[..]))),
                    )
                    .done();
                Judged {
                    forward: peeled.next,
                    ..judged.with(fields)
                }
            }
            Err(onion_message::Error::Rule(violation)) => {
                judged.ignore(violation.rule, violation.message)
            }
            Err(e) => judged.ignore("bolt04/onion-message/reader/valid", e.to_string()),
        }
    }
}

/// `None`: it is too short.
fn init(cursor: &mut Cursor<'_>) -> Option<Result<Init, Violation>> {
    let global = cursor.counted()?.to_vec();
    let features = cursor.counted()?.to_vec();
    let records = tlv::decode(&Rules::all(), cursor.0, |_| false);
    Some(records.map(|records| Init {
        global,
        features,
        records,
    }))
}

/// What a result says of an init.
pub fn init_fields(init: &Init) -> Value {
    let highest = features::bits(&init.global).last();
    let networks = init.networks();
    ResultObject::new()
        .with("globalfeatures", hex(&init.global))
        .with("features", hex(&init.features))
        .with("bits", features::bits(&init.combined()).collect::<Vec<_>>())
        .with("global_at_most_13", highest.is_none_or(|bit| bit <= 13))
        .with("minimal", init.features.first() != Some(&0))
        .maybe(
            "networks",
            networks.map(|chains| chains.iter().map(hex).collect::<Vec<_>>()),
        )
        .done()
}

impl Judged {
    fn new(kind: u16) -> Self {
        Self {
            kind,
            act: Act::Take,
            broken: None,
            fields: json!({}),
            answer: None,
            forward: None,
            init: None,
        }
    }

    fn with(self, fields: Value) -> Self {
        Self { fields, ..self }
    }

    fn close(self, rule: &'static str, why: impl Into<String>) -> Self {
        Self {
            act: Act::Close,
            broken: Some((rule, why.into())),
            ..self
        }
    }

    fn ignore(self, rule: &'static str, why: impl Into<String>) -> Self {
        Self {
            act: Act::Ignore,
            broken: Some((rule, why.into())),
            ..self
        }
    }
}
