//! Held HTLCs of pull request 1149: the fields of messages between peers and of the payload, who
//! sends what, and when a held HTLC goes on.

use super::{Dialect, Name, message::read_paths};
use crate::blinding::{BlindedPath, PathTooLong};
use crate::keys::{Point, sha256};
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::Reader;

/// Type of `update_add_htlc`.
pub const UPDATE_ADD_HTLC: u16 = 128;
/// Type of `revoke_and_ack`.
pub const REVOKE_AND_ACK: u16 = 133;
/// Bytes of an HTLC's onion.
pub const ONION: usize = 1366;
/// Type of the path key in `update_add_htlc`.
pub const PATH_KEY: u64 = 0;

/// Why a message was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule refused it.
    #[error(transparent)]
    Rule(#[from] Violation),
    /// It is another message.
    #[error("the message has type {got}, and {name} has type {want}")]
    Type {
        /// Its type.
        got: u16,
        /// What was to be read.
        name: &'static str,
        /// The type of that.
        want: u16,
    },
    /// See [`PathTooLong`].
    #[error(transparent)]
    Path(#[from] PathTooLong),
}

fn expect_type(value: &mut Reader<'_>, name: &'static str, want: u16) -> Result<(), Error> {
    let got = value.u16()?;
    if got == want {
        Ok(())
    } else {
        Err(Error::Type { got, name, want })
    }
}

/// `update_add_htlc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateAddHtlc {
    /// The channel.
    pub channel_id: [u8; 32],
    /// Number of the HTLC.
    pub id: u64,
    /// In msat.
    pub amount_msat: u64,
    /// What it is locked to.
    pub payment_hash: [u8; 32],
    /// Block height.
    pub cltv_expiry: u32,
    /// The onion, [`ONION`] bytes.
    pub onion: Vec<u8>,
    /// Inside a blinded route.
    pub path_key: Option<Point>,
    /// The next node shall hold it.
    pub hold: bool,
    /// Further records.
    pub more: Vec<Record>,
}

impl UpdateAddHtlc {
    /// Reads a message with its type in front.
    ///
    /// # Errors
    /// A [`Violation`] of a rule of BOLT 1, or [`Error::Type`].
    pub fn decode(rules: &Rules, dialect: Dialect, bytes: &[u8]) -> Result<Self, Error> {
        let mut value = Reader::new(rules, "update_add_htlc", bytes);
        expect_type(&mut value, "update_add_htlc", UPDATE_ADD_HTLC)?;
        let mut read = Self {
            channel_id: value.array()?,
            id: value.u64()?,
            amount_msat: value.u64()?,
            payment_hash: value.array()?,
            cltv_expiry: value.u32()?,
            onion: value.bytes(ONION)?.to_vec(),
            path_key: None,
            hold: false,
            more: Vec::new(),
        };
        let hold = dialect.hold_htlc();
        let known = |kind| kind == PATH_KEY || kind == hold;
        for record in tlv::decode(rules, value.remainder(), known)? {
            if record.kind == PATH_KEY {
                let mut value = Reader::new(rules, "path_key", &record.value);
                read.path_key = Some(value.point()?);
                value.end()?;
            } else if record.kind == hold {
                Reader::new(rules, "hold_htlc", &record.value).end()?;
                read.hold = true;
            } else {
                read.more.push(record);
            }
        }
        Ok(read)
    }

    /// Writes the message, type in front, by the sender's rules. What the sender expects is `None`
    /// where nothing is said about it.
    ///
    /// # Errors
    /// A [`Violation`] of `pr-1149/bolt02/hold/…` or of `bolt01/tlv/sender/order`.
    pub fn encode(
        &self,
        rules: &Rules,
        dialect: Dialect,
        receiver_offline: Option<bool>,
        sender_offline: Option<bool>,
    ) -> Result<Vec<u8>, Error> {
        if self.hold {
            rules.check(
                rules::PR_1149_HOLD_RECEIVER_OFFLINE,
                receiver_offline != Some(false),
                || "the HTLC is to be held for a receiver that is there".into(),
            )?;
            rules.check(
                rules::PR_1149_HOLD_SENDER_OFFLINE,
                sender_offline != Some(false),
                || "the HTLC is to be held for a sender that stays".into(),
            )?;
        }
        let mut records = self.more.clone();
        if let Some(path_key) = self.path_key {
            records.push(Record::new(PATH_KEY, path_key));
        }
        if self.hold {
            records.push(Record::new(dialect.hold_htlc(), []));
        }
        records.sort_by_key(|record| record.kind);
        let mut out = UPDATE_ADD_HTLC.to_be_bytes().to_vec();
        out.extend_from_slice(&self.channel_id);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&self.amount_msat.to_be_bytes());
        out.extend_from_slice(&self.payment_hash);
        out.extend_from_slice(&self.cltv_expiry.to_be_bytes());
        out.extend_from_slice(&self.onion);
        out.extend_from_slice(&tlv::encode(rules, &records)?);
        Ok(out)
    }
}

/// A path for the message that releases an HTLC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasePath {
    /// The HTLC, in the dialect that names it.
    pub htlc: Option<u64>,
    /// The path.
    pub path: BlindedPath,
}

/// `revoke_and_ack`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeAndAck {
    /// The channel.
    pub channel_id: [u8; 32],
    /// Secret of the commitment that is revoked.
    pub per_commitment_secret: [u8; 32],
    /// Point of the one after the next.
    pub next_per_commitment_point: Point,
    /// Paths for the messages that release HTLCs.
    pub release_paths: Option<Vec<ReleasePath>>,
    /// Further records.
    pub more: Vec<Record>,
}

impl RevokeAndAck {
    /// Reads a message with its type in front.
    ///
    /// # Errors
    /// A [`Violation`] of a rule of BOLT 1, or [`Error::Type`].
    pub fn decode(rules: &Rules, dialect: Dialect, bytes: &[u8]) -> Result<Self, Error> {
        let mut value = Reader::new(rules, "revoke_and_ack", bytes);
        expect_type(&mut value, "revoke_and_ack", REVOKE_AND_ACK)?;
        let mut read = Self {
            channel_id: value.array()?,
            per_commitment_secret: value.array()?,
            next_per_commitment_point: value.point()?,
            release_paths: None,
            more: Vec::new(),
        };
        let paths = dialect.release_paths();
        for record in tlv::decode(rules, value.remainder(), |kind| kind == paths)? {
            if record.kind == paths {
                read.release_paths = Some(read_release_paths(rules, dialect, &record.value)?);
            } else {
                read.more.push(record);
            }
        }
        Ok(read)
    }

    /// Writes the message, type in front, by the sender's rules: `held` is how many HTLCs it
    /// acknowledges that its sender shall hold, `advertised` whether the sender has the feature.
    ///
    /// # Errors
    /// A [`Violation`] of `pr-1149/bolt02/revoke/release-paths` or of `bolt01/tlv/sender/order`;
    /// [`Error::Path`].
    pub fn encode(
        &self,
        rules: &Rules,
        dialect: Dialect,
        held: bool,
        advertised: bool,
    ) -> Result<Vec<u8>, Error> {
        if held && advertised {
            let paths = self.release_paths.as_ref().map_or(0, Vec::len) as u64;
            rules.at_least(rules::PR_1149_REVOKE_RELEASE_PATHS, paths, 1, || {
                "an HTLC is held, and there is no path for the message that releases it".into()
            })?;
        }
        let mut records = self.more.clone();
        if let Some(paths) = &self.release_paths {
            let mut value = Vec::new();
            for path in paths {
                if dialect.htlc_in_front() {
                    value.extend_from_slice(&path.htlc.unwrap_or_default().to_be_bytes());
                }
                value.extend_from_slice(&path.path.encode()?);
            }
            records.push(Record::new(dialect.release_paths(), value));
            records.sort_by_key(|record| record.kind);
        }
        let mut out = REVOKE_AND_ACK.to_be_bytes().to_vec();
        out.extend_from_slice(&self.channel_id);
        out.extend_from_slice(&self.per_commitment_secret);
        out.extend_from_slice(&self.next_per_commitment_point);
        out.extend_from_slice(&tlv::encode(rules, &records)?);
        Ok(out)
    }
}

fn read_release_paths(
    rules: &Rules,
    dialect: Dialect,
    value: &[u8],
) -> Result<Vec<ReleasePath>, Violation> {
    let name = "release_held_htlc_message_paths";
    if !dialect.htlc_in_front() {
        let paths = read_paths(rules, name, value)?;
        let bare = |path| ReleasePath { htlc: None, path };
        return Ok(paths.into_iter().map(bare).collect());
    }
    let mut value = Reader::new(rules, name, value);
    let mut paths = Vec::new();
    while !value.is_empty() {
        paths.push(ReleasePath {
            htlc: Some(value.u64()?),
            path: BlindedPath::read(rules, &mut value)?,
        });
    }
    Ok(paths)
}

/// A message by which the sender of a held HTLC tells its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Which message it is.
    pub name: Option<Name>,
    /// The path that it takes to the receiver.
    pub over: BlindedPath,
    /// The path for the answer.
    pub reply_path: Option<BlindedPath>,
}

/// Pull request 1149, `revoke_and_ack`, receiver: what goes to the receiver of an HTLC whose next
/// node answered with `release_paths`.
///
/// # Errors
/// A [`Violation`] of a `pr-1149/bolt02/available/…` rule.
pub fn announce(
    rules: &Rules,
    release_paths: &[BlindedPath],
    announcements: &[Announcement],
) -> Result<(), Violation> {
    let mut reply_paths: Vec<&BlindedPath> = Vec::new();
    let mut ways: Vec<&BlindedPath> = Vec::new();
    for (announcement, at) in announcements.iter().zip(1..) {
        rules.check(
            rules::PR_1149_AVAILABLE_MESSAGE,
            announcement.name == Some(Name::HeldHtlcAvailable),
            || format!("message {at} is not held_htlc_available"),
        )?;
        let reply_path = announcement.reply_path.as_ref();
        rules.check(
            rules::PR_1149_AVAILABLE_REPLY_PATH_UNIQUE,
            reply_path
                .is_some_and(|path| release_paths.contains(path) && !reply_paths.contains(&path)),
            || format!("message {at} has no reply path of its own to the holder of the HTLC"),
        )?;
        reply_paths.extend(reply_path);
        if !ways.contains(&&announcement.over) {
            ways.push(&announcement.over);
        }
    }
    rules.at_least(
        rules::PR_1149_AVAILABLE_TWO_PATHS,
        ways.len() as u64,
        2,
        || format!("the receiver is told over {} path", ways.len()),
    )
}

/// What a holder of HTLCs meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `update_add_htlc`.
    Add {
        /// The HTLC.
        htlc: u64,
        /// With the flag.
        hold: bool,
    },
    /// Both sides are committed to the HTLC, and the holder has said so in `revoke_and_ack`.
    Committed {
        /// The HTLC.
        htlc: u64,
    },
    /// `release_held_htlc`.
    Release {
        /// The HTLC that the path is for over which it came; `None` for a path of another kind.
        htlc: Option<u64>,
    },
}

/// What a holder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It answers with a path for the message that releases an HTLC. Into the path it puts which.
    Path {
        /// At which event, counted from 0.
        at: usize,
        /// The HTLC that the data inside the path names.
        names: Option<u64>,
    },
    /// It passes an HTLC on.
    Forward {
        /// At which event.
        at: usize,
        /// The HTLC.
        htlc: u64,
    },
}

struct Held {
    htlc: u64,
    hold: bool,
    committed: bool,
    released: bool,
    gone: bool,
}

/// Pull request 1149, `update_add_htlc`, receiver: what a holder with the feature does, event by
/// event. A release may come before the HTLC is committed to; it counts all the same.
pub fn hold(rules: &Rules, events: &[Event]) -> Vec<Move> {
    let mut htlcs: Vec<Held> = Vec::new();
    let mut moves = Vec::new();
    for (at, event) in events.iter().enumerate() {
        match *event {
            Event::Add { htlc, hold } => htlcs.push(Held {
                htlc,
                hold: hold && !rules.mistaken(rules::PR_1149_HOLD_WAIT, "at-once"),
                committed: false,
                released: false,
                gone: false,
            }),
            Event::Committed { htlc } => {
                for held in htlcs.iter_mut().filter(|held| held.htlc == htlc) {
                    held.committed = true;
                    if held.hold {
                        let nameless = rules
                            .mistaken(rules::PR_1149_AVAILABLE_REPLY_PATH_CONTEXT, "htlc-left-out");
                        let names = (!nameless).then_some(htlc);
                        moves.push(Move::Path { at, names });
                    }
                }
            }
            Event::Release { htlc } => {
                let any = rules.mistaken(rules::PR_1149_HOLD_WAIT, "any-path");
                let early_lost = rules.mistaken(rules::PR_1149_HOLD_RELEASE, "early-one-lost");
                let twice = rules.mistaken(rules::PR_1149_HOLD_RELEASE, "twice");
                for held in htlcs.iter_mut().filter(|held| held.hold) {
                    let meant = htlc == Some(held.htlc) || any;
                    if meant && (held.committed || !early_lost) {
                        held.released = true;
                        held.gone &= !twice;
                    }
                }
            }
        }
        let stays = rules.mistaken(rules::PR_1149_HOLD_RELEASE, "stays");
        for held in htlcs.iter_mut().filter(|held| held.committed && !held.gone) {
            if !held.hold || held.released && !stays {
                held.gone = true;
                let htlc = held.htlc;
                moves.push(Move::Forward { at, htlc });
            }
        }
    }
    moves
}

/// What a payer puts into the payload of the last hop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payer<'a> {
    /// The invoice is a static one.
    pub static_invoice: bool,
    /// The hash that the HTLC is locked to.
    pub payment_hash: [u8; 32],
    /// `sender_provided_payment_preimage`.
    pub preimage: Option<[u8; 32]>,
    /// The TLV stream of the request that the invoice answers.
    pub invoice_request: Option<&'a [u8]>,
    /// Preimages of earlier payments.
    pub used: &'a [[u8; 32]],
}

/// Pull request 1149, payload, writer: adds to the `records` of a payload for the last node of a
/// blinded path what a static invoice takes.
///
/// # Errors
/// A [`Violation`] of a `pr-1149/bolt04/static-invoice/…` rule.
pub fn payload(
    rules: &Rules,
    dialect: Dialect,
    records: &[Record],
    payer: &Payer<'_>,
) -> Result<Vec<Record>, Violation> {
    if payer.static_invoice {
        rules.check(
            rules::PR_1149_PAYLOAD_PREIMAGE,
            payer.preimage.is_some_and(|own| !payer.used.contains(&own)),
            || "a payment to a static invoice has no preimage of its own".into(),
        )?;
        if let Some(preimage) = payer.preimage {
            rules.check(
                rules::PR_1149_PAYLOAD_PAYMENT_HASH,
                sha256(&[&preimage]) == payer.payment_hash,
                || "the HTLC is locked to something else than that preimage's hash".into(),
            )?;
        }
        rules.check(
            rules::PR_1149_PAYLOAD_INVOICE_REQUEST,
            payer.invoice_request.is_some(),
            || "the payload has no invoice request".into(),
        )?;
    } else {
        rules.check(
            rules::PR_1149_PAYLOAD_NO_PREIMAGE,
            payer.preimage.is_none(),
            || "there is a preimage, and the invoice is no static one".into(),
        )?;
    }
    let mut records = records.to_vec();
    if let Some(request) = payer.invoice_request {
        records.push(Record::new(dialect.payload_invoice_request(), request));
    }
    if let Some(preimage) = payer.preimage {
        records.push(Record::new(dialect.payload_preimage(), preimage));
    }
    records.sort_by_key(|record| record.kind);
    Ok(records)
}

/// What a payload says about a payment to a static invoice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The TLV stream of the payer's request.
    pub invoice_request: Option<Vec<u8>>,
    /// The preimage that came along.
    pub preimage: Option<[u8; 32]>,
    /// What the payee claims the HTLC with.
    pub claims_with: Option<[u8; 32]>,
}

/// Pull request 1149, payload, reader: reads the two records among those of a payload. `own` is the
/// preimage that the payee would have for the HTLC without them.
///
/// # Errors
/// A [`Violation`] of `bolt01/tlv/value-length`.
pub fn claim(
    rules: &Rules,
    dialect: Dialect,
    records: &[Record],
    own: Option<[u8; 32]>,
) -> Result<Told, Violation> {
    let mut told = Told::default();
    for record in records {
        if record.kind == dialect.payload_invoice_request() {
            told.invoice_request = Some(record.value.clone());
        } else if record.kind == dialect.payload_preimage() {
            let name = "sender_provided_payment_preimage";
            let mut value = Reader::new(rules, name, &record.value);
            told.preimage = Some(value.array()?);
            value.end()?;
        }
    }
    told.claims_with = if rules.mistaken(rules::PR_1149_PAYLOAD_CLAIM, "own-preimage") {
        own
    } else {
        told.preimage.or(own)
    };
    Ok(told)
}
