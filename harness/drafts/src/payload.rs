//! Payloads of onion hops: BOLT 4, payload format, and what pull request 836 adds for trampolines.
//!
//! The reader knows which field is at fault and which failure code a node answers with.

use crate::blinding::{self, BlindedPath, Data};
use crate::failure::code;
use crate::keys::{KeyError, Point, SecretKey};
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::Reader;
use crate::{bigsize, features};

/// Field numbers.
pub mod kind {
    #![allow(missing_docs)]
    pub const AMOUNT: u64 = 2;
    pub const CLTV: u64 = 4;
    pub const SHORT_CHANNEL_ID: u64 = 6;
    pub const PAYMENT_DATA: u64 = 8;
    pub const ENCRYPTED_DATA: u64 = 10;
    pub const PATH_KEY: u64 = 12;
    pub const METADATA: u64 = 16;
    pub const TOTAL: u64 = 18;
    /// Pull request 836; LND's AMP record has the same number.
    pub const OUTGOING_NODE_ID: u64 = 14;
    /// Pull request 836.
    pub const TRAMPOLINE_ONION: u64 = 20;
    /// Pull request 836.
    pub const RECIPIENT_FEATURES: u64 = 21;
    /// Pull request 836.
    pub const RECIPIENT_PATHS: u64 = 22;
    /// Pull request 1292, mini-trampoline.
    pub const MINI_TRAMPOLINE: u64 = 1;
    /// Prototype of ACINQ's.
    pub const LEGACY_FEATURES: u64 = 66097;
    /// Prototype of ACINQ's.
    pub const LEGACY_OUTGOING_NODE_ID: u64 = 66098;
    /// Prototype of ACINQ's: routing hints of a BOLT 11 invoice.
    pub const LEGACY_ROUTING_INFO: u64 = 66099;
    /// Prototype of ACINQ's.
    pub const LEGACY_TRAMPOLINE_ONION: u64 = 66100;
    /// Prototype of ACINQ's.
    pub const LEGACY_RECIPIENT_PATHS: u64 = 66102;
}

/// Ways to write a trampoline payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Pull request 836: types 14, 20, 21 and 22.
    Pr836,
    /// The prototype of ACINQ's and Electrum: types 66097 to 66102.
    AcinqLegacy,
    /// Pull request 1292: type 1. It is recognised, not spoken.
    Mini,
}

impl Dialect {
    /// The name in the adapter protocol.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Pr836 => "trampoline/pr-836",
            Dialect::AcinqLegacy => "trampoline/acinq-legacy",
            Dialect::Mini => "trampoline/pr-1292",
        }
    }

    /// The dialect of that name.
    pub fn find(name: &str) -> Option<Self> {
        [Dialect::Pr836, Dialect::AcinqLegacy, Dialect::Mini]
            .into_iter()
            .find(|dialect| dialect.name() == name)
    }

    /// The dialects whose field numbers are among the records.
    ///
    /// Type 14 alone does not tell: LND writes its AMP record there.
    pub fn seen(records: &[Record]) -> Vec<Self> {
        let any = |kinds: &[u64]| records.iter().any(|r| kinds.contains(&r.kind));
        let mut seen = Vec::new();
        if any(&[
            kind::TRAMPOLINE_ONION,
            kind::RECIPIENT_FEATURES,
            kind::RECIPIENT_PATHS,
        ]) {
            seen.push(Dialect::Pr836);
        }
        if records
            .iter()
            .any(|r| (kind::LEGACY_FEATURES..=kind::LEGACY_RECIPIENT_PATHS).contains(&r.kind))
        {
            seen.push(Dialect::AcinqLegacy);
        }
        if any(&[kind::MINI_TRAMPOLINE]) {
            seen.push(Dialect::Mini);
        }
        seen
    }

    fn knows(self, kind: u64) -> bool {
        match self {
            Dialect::Pr836 => matches!(kind, 14 | 20 | 22),
            Dialect::AcinqLegacy => matches!(kind, 66098 | 66100 | 66102),
            Dialect::Mini => false,
        }
    }
}

/// Where a payload stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The onion has no further layer.
    pub last: bool,
    /// The onion is a trampoline onion.
    pub trampoline: bool,
}

impl Position {
    /// Names of the adapter protocol. Whether a hop lies in a blinded route is to be seen in its
    /// payload; the name with `blinded-` says no more than the one without.
    pub fn find(name: &str) -> Option<Self> {
        let (last, trampoline) = match name {
            "intermediate" | "blinded-intermediate" => (false, false),
            "final" | "blinded-final" => (true, false),
            "trampoline" => (false, true),
            "trampoline-final" => (true, true),
            _ => return None,
        };
        Some(Self { last, trampoline })
    }
}

/// The fee schedule of an outgoing channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// In msat.
    pub fee_base_msat: u32,
    /// Parts in a million of what is passed on.
    pub fee_proportional_millionths: u32,
    /// Blocks.
    pub cltv_expiry_delta: u16,
}

/// Fields of the payload that a trampoline onion came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outer {
    /// In msat.
    pub amt_to_forward: Option<u64>,
    /// Block height.
    pub outgoing_cltv_value: Option<u32>,
    /// In msat.
    pub total_msat: Option<u64>,
    /// The HTLC is one of several.
    pub multi_part: bool,
    /// The path key there.
    pub path_key: Option<Point>,
}

/// What a node knows beside the payload. What it does not know it does not check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The path key that came in `update_add_htlc`.
    pub path_key: Option<Point>,
    /// The node's key, to open the data with.
    pub secret: Option<&'a SecretKey>,
    /// What the data opens to, where that is known without a key.
    pub data: Option<&'a [u8]>,
    /// The incoming amount in msat.
    pub amount_msat: Option<u64>,
    /// The height at which the incoming HTLC expires.
    pub cltv_expiry: Option<u32>,
    /// The current height.
    pub height: Option<u32>,
    /// Blocks that the recipient wants to have left.
    pub min_final_cltv_expiry_delta: Option<u32>,
    /// What the recipient expects, in msat.
    pub expected_msat: Option<u64>,
    /// The schedule of the outgoing channel.
    pub channel: Option<Channel>,
    /// Channels that lead on.
    pub channels: Option<&'a [u64]>,
    /// Feature bits that the payment uses.
    pub features_used: &'a [u64],
    /// Further types that the reader knows.
    pub known: &'a [u64],
    /// The dialect of trampolines that it speaks; inside a trampoline onion absent means
    /// [`Dialect::Pr836`].
    pub dialect: Option<Dialect>,
    /// The payload around a trampoline onion.
    pub outer: Option<Outer>,
}

/// A path to a recipient that is no trampoline, with what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientPath {
    /// The path.
    pub path: BlindedPath,
    /// Fees, delta, limits and features, as BOLT 12 has them.
    pub payinfo: Vec<u8>,
}

/// A payload, and what follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// All records, in the order of the stream.
    pub records: Vec<Record>,
    /// In msat.
    pub amt_to_forward: Option<u64>,
    /// Block height.
    pub outgoing_cltv_value: Option<u32>,
    /// The channel to forward to.
    pub short_channel_id: Option<u64>,
    /// Payment secret, and total in msat.
    pub payment_data: Option<([u8; 32], u64)>,
    /// What the creator of the blinded route sealed for this node.
    pub encrypted_data: Option<Vec<u8>>,
    /// The path key, at the first node of a blinded route.
    pub path_key: Option<Point>,
    /// The next trampoline.
    pub outgoing_node_id: Option<Point>,
    /// Of the invoice.
    pub metadata: Option<Vec<u8>>,
    /// In msat, for a blinded recipient.
    pub total_amount_msat: Option<u64>,
    /// The onion inside.
    pub trampoline_onion: Option<Vec<u8>>,
    /// Of the recipient's invoice.
    pub recipient_features: Option<Vec<u8>>,
    /// Of the recipient's invoice.
    pub recipient_paths: Option<Vec<RecipientPath>>,
    /// What the sealed data says, where it could be opened.
    pub data: Option<Data>,
    /// The path key to send on, where the data was opened with a key.
    pub next_path_key: Option<Point>,
    /// Amount in msat and expiry to pass on inside a blinded route.
    pub forward: Option<(u64, u32)>,
}

impl Payload {
    /// BOLT 4, payload format, reader: a total that is not there is the amount itself.
    pub fn total_msat(&self) -> Option<u64> {
        self.total_amount_msat
            .or(self.payment_data.map(|(_, total)| total))
            .or(self.amt_to_forward)
    }

    /// The fields of records, in whatever order, by the numbers of `dialect`.
    ///
    /// # Errors
    /// A [`Violation`] of a rule of BOLT 1 on a value, and the type of the record.
    pub fn from_records(
        rules: &Rules,
        records: Vec<Record>,
        dialect: Option<Dialect>,
    ) -> Result<Self, Fault> {
        let mut payload = Payload::default();
        for record in &records {
            payload
                .field(rules, record, dialect)
                .map_err(|violation| Fault {
                    violation,
                    kind: Some(record.kind),
                })?;
        }
        payload.records = records;
        Ok(payload)
    }

    fn field(
        &mut self,
        rules: &Rules,
        record: &Record,
        dialect: Option<Dialect>,
    ) -> Result<(), Violation> {
        let named = |name| Reader::new(rules, name, &record.value);
        let (pr836, legacy) = (
            dialect == Some(Dialect::Pr836),
            dialect == Some(Dialect::AcinqLegacy),
        );
        let mut value;
        match record.kind {
            kind::AMOUNT => {
                value = named("amt_to_forward");
                self.amt_to_forward = Some(value.tu64()?);
            }
            kind::CLTV => {
                value = named("outgoing_cltv_value");
                self.outgoing_cltv_value = Some(value.tu32()?);
            }
            kind::SHORT_CHANNEL_ID => {
                value = named("short_channel_id");
                self.short_channel_id = Some(value.u64()?);
            }
            kind::PAYMENT_DATA => {
                value = named("payment_data");
                self.payment_data = Some((value.array()?, value.tu64()?));
            }
            kind::ENCRYPTED_DATA => {
                value = named("encrypted_recipient_data");
                self.encrypted_data = Some(value.remainder().to_vec());
            }
            kind::PATH_KEY => {
                value = named("current_path_key");
                self.path_key = Some(value.point()?);
            }
            kind::METADATA => {
                value = named("payment_metadata");
                self.metadata = Some(value.remainder().to_vec());
            }
            kind::TOTAL => {
                value = named("total_amount_msat");
                self.total_amount_msat = Some(value.tu64()?);
            }
            kind::OUTGOING_NODE_ID if pr836 => {
                value = named("outgoing_node_id");
                self.outgoing_node_id = Some(value.point()?);
            }
            kind::LEGACY_OUTGOING_NODE_ID if legacy => {
                value = named("outgoing_node_id");
                self.outgoing_node_id = Some(value.point()?);
            }
            kind::TRAMPOLINE_ONION if pr836 => {
                value = named("trampoline_onion_packet");
                self.trampoline_onion = Some(value.remainder().to_vec());
            }
            kind::LEGACY_TRAMPOLINE_ONION if legacy => {
                value = named("trampoline_onion_packet");
                self.trampoline_onion = Some(value.remainder().to_vec());
            }
            kind::RECIPIENT_FEATURES if pr836 => {
                value = named("recipient_features");
                self.recipient_features = Some(value.remainder().to_vec());
            }
            kind::LEGACY_FEATURES if legacy => {
                value = named("recipient_features");
                self.recipient_features = Some(value.remainder().to_vec());
            }
            kind::RECIPIENT_PATHS if pr836 => {
                value = named("recipient_blinded_paths");
                self.recipient_paths = Some(recipient_paths(rules, &mut value)?);
            }
            kind::LEGACY_RECIPIENT_PATHS if legacy => {
                value = named("recipient_blinded_paths");
                self.recipient_paths = Some(recipient_paths(rules, &mut value)?);
            }
            _ => return Ok(()),
        }
        value.end()
    }
}

fn recipient_paths(rules: &Rules, value: &mut Reader<'_>) -> Result<Vec<RecipientPath>, Violation> {
    let mut paths = Vec::new();
    while !value.is_empty() {
        let path = BlindedPath::read(rules, value)?;
        let mut payinfo = value.bytes(4 + 4 + 2 + 8 + 8)?.to_vec();
        let length = value.u16()?;
        payinfo.extend_from_slice(&length.to_be_bytes());
        payinfo.extend_from_slice(value.bytes(usize::from(length))?);
        paths.push(RecipientPath { path, payinfo });
    }
    Ok(paths)
}

/// What is wrong, and with which field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{violation}")]
pub struct Fault {
    /// The rule.
    pub violation: Violation,
    /// The type of the record at fault, where there is one.
    pub kind: Option<u64>,
}

/// Why a payload is refused, and what a node answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{violation}")]
pub struct Refusal {
    /// The rule.
    pub violation: Violation,
    /// The failure code, flags included.
    pub code: u16,
    /// Type and place (in bytes) of the field at fault, for `invalid_onion_payload`.
    pub at: Option<(u64, u16)>,
}

/// Why a payload was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule refused it.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// See [`KeyError`].
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A step of the reader.
type Step<T> = Result<T, Stop>;

enum Stop {
    Fault(Fault),
    Key(KeyError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

impl From<KeyError> for Stop {
    fn from(e: KeyError) -> Self {
        Stop::Key(e)
    }
}

/// A fault with the field `kind`.
fn at(kind: u64) -> impl Fn(Violation) -> Stop {
    move |violation| {
        Stop::Fault(Fault {
            violation,
            kind: Some(kind),
        })
    }
}

/// A fault with no field in particular.
fn whole(violation: Violation) -> Stop {
    Stop::Fault(Fault {
        violation,
        kind: None,
    })
}

/// Reads a payload (without its length) by the rules of its position.
///
/// With a rule off, a value that is missing counts as zero or empty, and data that does not decrypt
/// is what the stream cipher makes of it.
///
/// # Errors
/// [`Error::Refused`] for a rule of BOLT 1, a `bolt04/payload/reader/…` or `bolt04/blinding/…` rule,
/// or a `trampoline/receiver/…` rule; [`Error::Key`].
pub fn read(
    rules: &Rules,
    stream: &[u8],
    position: Position,
    context: &Context<'_>,
) -> Result<Payload, Error> {
    let dialect = match (context.dialect, position.trampoline) {
        (None, true) => Some(Dialect::Pr836),
        (dialect, _) => dialect,
    };
    let mut payload = Payload::default();
    let stopped = match steps(rules, stream, position, dialect, context, &mut payload) {
        Ok(()) => return Ok(payload),
        Err(stopped) => stopped,
    };
    let Fault {
        mut violation,
        kind,
    } = match stopped {
        Stop::Fault(fault) => fault,
        Stop::Key(e) => return Err(Error::Key(e)),
    };
    let spoken: Vec<Dialect> = Dialect::seen(&payload.records)
        .into_iter()
        .filter(|seen| dialect != Some(*seen))
        .collect();
    // A record of type 1 alone is too little to go by outside of trampolines.
    for other in spoken {
        if position.trampoline || other != Dialect::Mini {
            violation.message += &format!("; the payload has a field of {}", other.name());
        }
    }
    let code = failure_code(violation.rule, position, context, &payload);
    let place = kind
        .filter(|_| code == code::INVALID_ONION_PAYLOAD)
        .map(|kind| (kind, offset(stream, kind)));
    Err(Error::Refused(Box::new(Refusal {
        violation,
        code,
        at: place,
    })))
}

/// Where the record of type `kind` begins; 0 where it is not there.
fn offset(stream: &[u8], kind: u64) -> u16 {
    let rules = Rules::all();
    let mut rest = stream;
    while !rest.is_empty() {
        let place = stream.len() - rest.len();
        let Ok((found, after)) = bigsize::decode(&rules, rest) else {
            break;
        };
        if found == kind {
            return u16::try_from(place).unwrap_or(u16::MAX);
        }
        let Ok((length, after)) = bigsize::decode(&rules, after) else {
            break;
        };
        let taken = usize::try_from(length).unwrap_or(after.len());
        rest = after.get(taken..).unwrap_or_default();
    }
    0
}

/// The type that framing stops at.
fn framing_fault(stream: &[u8]) -> Option<u64> {
    let rules = Rules::all();
    let (mut rest, mut last) = (stream, None);
    while !rest.is_empty() {
        let (kind, after) = bigsize::decode(&rules, rest).ok()?;
        if last.is_some_and(|last| kind <= last) {
            return Some(kind);
        }
        let Ok((length, after)) = bigsize::decode(&rules, after) else {
            return Some(kind);
        };
        let Some(left) = usize::try_from(length)
            .ok()
            .and_then(|length| after.get(length..))
        else {
            return Some(kind);
        };
        (rest, last) = (left, Some(kind));
    }
    None
}

/// BOLT 4, failure messages: the code for a rule. Inside a blinded route it is one and the same, so
/// that a payer learns nothing of the route.
fn failure_code(rule: &str, position: Position, context: &Context<'_>, payload: &Payload) -> u16 {
    // BOLT 4, failure messages, erring node: a path key came with the HTLC, or the payload has one
    // and this is not the last node.
    if context.path_key.is_some() || payload.path_key.is_some() && !position.last {
        return code::INVALID_ONION_BLINDING;
    }
    // Pull request 836, receiver: inside a blinded path, but not at its beginning.
    if position.trampoline && context.outer.is_some_and(|outer| outer.path_key.is_some()) {
        return code::INVALID_ONION_BLINDING;
    }
    match rule {
        rules::PAYLOAD_FORWARDABLE => code::UNKNOWN_NEXT_PEER,
        rules::PAYLOAD_FEE => code::FEE_INSUFFICIENT,
        rules::PAYLOAD_CLTV_DELTA => code::INCORRECT_CLTV_EXPIRY,
        rules::PAYLOAD_FINAL_CLTV
        | rules::PAYLOAD_BLINDED_FINAL_CLTV
        | rules::TRAMPOLINE_FINAL_CLTV => code::FINAL_INCORRECT_CLTV_EXPIRY,
        rules::PAYLOAD_FINAL_AMOUNT
        | rules::TRAMPOLINE_FINAL_AMOUNT
        | rules::TRAMPOLINE_FINAL_TOTAL => code::FINAL_INCORRECT_HTLC_AMOUNT,
        rules::PAYLOAD_FINAL_HEIGHT
        | rules::PAYLOAD_BLINDED_FINAL_HEIGHT
        | rules::PAYLOAD_BLINDED_FINAL_AMOUNT => code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS,
        _ => code::INVALID_ONION_PAYLOAD,
    }
}

fn steps(
    rules: &Rules,
    stream: &[u8],
    position: Position,
    dialect: Option<Dialect>,
    context: &Context<'_>,
    payload: &mut Payload,
) -> Step<()> {
    let records = tlv::frames(rules, stream).map_err(|violation| Fault {
        violation,
        kind: framing_fault(stream),
    })?;
    // Kept even if what follows fails: they say which dialect was meant.
    payload.records.clone_from(&records);
    for record in &records {
        tlv::refuse_unknown_even(
            rules,
            rules::TLV_UNKNOWN_EVEN,
            std::slice::from_ref(record),
            |kind| {
                matches!(kind, 2 | 4 | 6 | 8 | 10 | 12 | 16 | 18)
                    || dialect.is_some_and(|dialect| dialect.knows(kind))
                    || context.known.contains(&kind)
            },
        )
        .map_err(at(record.kind))?;
    }
    *payload = Payload::from_records(rules, records, dialect)?;
    match (position.trampoline, payload.encrypted_data.is_some()) {
        (false, true) => {
            let path_key = path_key(rules, context, payload)?;
            open(rules, context, payload, path_key)?;
            if position.last {
                blinded_final(rules, context, payload)
            } else {
                blinded_forward(rules, context, payload)
            }
        }
        (false, false) => unblinded(rules, position, context, payload),
        (true, _) => trampoline(rules, position, context, payload),
    }
}

/// BOLT 4, payload format, reader: the path key comes in one of two ways.
fn path_key(rules: &Rules, context: &Context<'_>, payload: &Payload) -> Step<Option<Point>> {
    match (context.path_key, payload.path_key) {
        (Some(_), inner) => {
            rules
                .check(rules::PAYLOAD_PATH_KEY_TWICE, inner.is_none(), || {
                    "there is a path key in the message, and one in the payload".into()
                })
                .map_err(at(kind::PATH_KEY))?;
        }
        (None, inner) => {
            rules
                .check(rules::PAYLOAD_PATH_KEY_MISSING, inner.is_some(), || {
                    "there is no path key, in the message or in the payload".into()
                })
                .map_err(at(kind::PATH_KEY))?;
        }
    }
    Ok(context.path_key.or(payload.path_key))
}

/// Opens the data and checks what holds for every node of a blinded route.
fn open(
    rules: &Rules,
    context: &Context<'_>,
    payload: &mut Payload,
    path_key: Option<Point>,
) -> Step<()> {
    let sealed = payload.encrypted_data.as_deref().unwrap_or_default();
    let data = match (context.data, context.secret, path_key) {
        (Some(plain), ..) => Data::read(rules, plain).map_err(at(kind::ENCRYPTED_DATA))?,
        (None, Some(secret), Some(path_key)) => {
            let read =
                blinding::unblind_under(rules, rules::PAYLOAD_DECRYPT, secret, &path_key, sealed)
                    .map_err(|e| match e {
                    blinding::UnblindError::Rule(violation) => at(kind::ENCRYPTED_DATA)(violation),
                    blinding::UnblindError::Key(e) => Stop::Key(e),
                })?;
            payload.next_path_key = Some(read.forward_path_key());
            read.data
        }
        _ => return Ok(()),
    };
    let fault = at(kind::ENCRYPTED_DATA);
    if let Some(limits) = data.payment_constraints {
        if let Some(expiry) = context.cltv_expiry {
            let most = limits.max_cltv_expiry;
            rules
                .at_most(
                    rules::PAYLOAD_MAX_CLTV_EXPIRY,
                    expiry.into(),
                    most.into(),
                    || format!("the HTLC expires at {expiry}, and the route ends at {most}"),
                )
                .map_err(&fault)?;
        }
        if let Some(amount) = context.amount_msat {
            let least = limits.htlc_minimum_msat;
            rules
                .at_least(rules::PAYLOAD_HTLC_MINIMUM, amount, least, || {
                    format!(
                        "the amount is {amount} msat, and the route takes {least} msat at least"
                    )
                })
                .map_err(&fault)?;
        }
    }
    // BOLT 9 has no feature for this place, so every bit is unknown.
    let unknown = features::bits(data.features()).next();
    rules
        .check(rules::PAYLOAD_FEATURES_UNKNOWN, unknown.is_none(), || {
            format!(
                "allowed_features has bit {}, which is unknown",
                unknown.unwrap_or_default()
            )
        })
        .map_err(&fault)?;
    rules
        .check(
            rules::PAYLOAD_NEXT_TWICE,
            data.short_channel_id.is_none() || data.next_node_id.is_none(),
            || "the data names the next node by a channel and by its id".into(),
        )
        .map_err(&fault)?;
    let allowed: Vec<u64> = features::bits(data.features()).map(|bit| bit / 2).collect();
    let used = context
        .features_used
        .iter()
        .find(|bit| !allowed.contains(&(*bit / 2)));
    rules
        .check(rules::PAYLOAD_FEATURES_USED, used.is_none(), || {
            format!(
                "the payment uses feature {}, which the route does not allow",
                used.copied().unwrap_or_default()
            )
        })
        .map_err(&fault)?;
    payload.data = Some(data);
    Ok(())
}

/// The first record whose type is none of `kinds`.
fn other(records: &[Record], kinds: &[u64]) -> Option<u64> {
    records
        .iter()
        .map(|record| record.kind)
        .find(|kind| !kinds.contains(kind))
}

fn check_extra(rules: &Rules, id: &'static str, payload: &Payload, kinds: &[u64]) -> Step<()> {
    match other(&payload.records, kinds) {
        None => Ok(()),
        Some(kind) => rules
            .check(id, false, || {
                format!("record {kind} has no place inside a blinded route")
            })
            .map_err(at(kind)),
    }
}

/// BOLT 4, payload format, reader: a node that forwards inside a blinded route.
fn blinded_forward(rules: &Rules, context: &Context<'_>, payload: &mut Payload) -> Step<()> {
    check_extra(rules, rules::PAYLOAD_BLINDED_EXTRA, payload, &[10, 12])?;
    forward(rules, context, payload)
}

/// What the data of a node that forwards has, and what follows for the next HTLC.
fn forward(rules: &Rules, context: &Context<'_>, payload: &mut Payload) -> Step<()> {
    let Some(data) = &payload.data else {
        return Ok(());
    };
    let fault = at(kind::ENCRYPTED_DATA);
    rules
        .check(
            rules::PAYLOAD_BLINDED_NEXT,
            data.short_channel_id.is_some() || data.next_node_id.is_some(),
            || "the data names no next node".into(),
        )
        .map_err(&fault)?;
    rules
        .check(
            rules::PAYLOAD_BLINDED_RELAY,
            data.payment_relay.is_some(),
            || "the data has no payment_relay".into(),
        )
        .map_err(&fault)?;
    let relay = data.payment_relay.unwrap_or_default();
    if let (Some(amount), Some(expiry)) = (context.amount_msat, context.cltv_expiry) {
        let forwarded = relay.forwarded(amount);
        // BOLT 4, payload format, reader: a fee that the amount does not cover leaves nothing.
        rules
            .check(rules::PAYLOAD_FEE, forwarded.is_some(), || {
                format!(
                    "the amount is {amount} msat, less than the base fee of {} msat",
                    relay.fee_base_msat
                )
            })
            .map_err(&fault)?;
        let delta = u32::from(relay.cltv_expiry_delta);
        payload.forward = Some((forwarded.unwrap_or_default(), expiry.saturating_sub(delta)));
    }
    Ok(())
}

/// BOLT 4, payload format, reader: the recipient of a blinded route.
fn blinded_final(rules: &Rules, context: &Context<'_>, payload: &Payload) -> Step<()> {
    // With a trampoline onion inside, the outer payload has room for it.
    let kinds: &[u64] = match payload.trampoline_onion {
        None => &[2, 4, 10, 12, 18],
        Some(_) => &[2, 4, 10, 12, 18, 20, 66100],
    };
    check_extra(rules, rules::PAYLOAD_BLINDED_FINAL_EXTRA, payload, kinds)?;
    let missing = [
        (kind::AMOUNT, payload.amt_to_forward.is_none()),
        (kind::CLTV, payload.outgoing_cltv_value.is_none()),
        (kind::TOTAL, payload.total_amount_msat.is_none()),
    ]
    .into_iter()
    .find(|(_, missing)| *missing);
    if let Some((kind, _)) = missing {
        rules
            .check(rules::PAYLOAD_BLINDED_FINAL_FIELDS, false, || {
                format!("record {kind} is missing")
            })
            .map_err(at(kind))?;
    }
    let amount = payload.amt_to_forward.unwrap_or_default();
    final_amount(rules, context, amount)?;
    if let Some(expected) = context.expected_msat {
        rules
            .at_least(
                rules::PAYLOAD_BLINDED_FINAL_AMOUNT,
                amount,
                expected,
                || format!("the amount is {amount} msat, and {expected} msat are expected"),
            )
            .map_err(at(kind::AMOUNT))?;
    }
    final_expiry(
        rules,
        rules::PAYLOAD_BLINDED_FINAL_CLTV,
        rules::PAYLOAD_BLINDED_FINAL_HEIGHT,
        context,
        payload,
    )
}

/// BOLT 4, payload format, reader: this holds for every last node, in a blinded route or not.
fn final_amount(rules: &Rules, context: &Context<'_>, amount: u64) -> Step<()> {
    let Some(incoming) = context.amount_msat else {
        return Ok(());
    };
    rules
        .at_least(rules::PAYLOAD_FINAL_AMOUNT, incoming, amount, || {
            format!("the HTLC brings {incoming} msat, and the payload says {amount} msat")
        })
        .map_err(at(kind::AMOUNT))
}

fn final_expiry(
    rules: &Rules,
    cltv: &'static str,
    height: &'static str,
    context: &Context<'_>,
    payload: &Payload,
) -> Step<()> {
    let Some(expiry) = context.cltv_expiry else {
        return Ok(());
    };
    let least = payload.outgoing_cltv_value.unwrap_or_default();
    rules
        .at_least(cltv, expiry.into(), least.into(), || {
            format!("the HTLC expires at {expiry}, and the payload says {least}")
        })
        .map_err(at(kind::CLTV))?;
    if let (Some(now), Some(delta)) = (context.height, context.min_final_cltv_expiry_delta) {
        let least = u64::from(now) + u64::from(delta);
        rules
            .at_least(height, expiry.into(), least, || {
                format!("the HTLC expires at {expiry}, before {least}")
            })
            .map_err(whole)?;
    }
    Ok(())
}

/// BOLT 4, payload format, reader: outside of a blinded route.
fn unblinded(
    rules: &Rules,
    position: Position,
    context: &Context<'_>,
    payload: &Payload,
) -> Step<()> {
    // Pull request 836, receiver: the path key next to a trampoline onion is for what lies inside.
    let inner = payload.path_key.is_some() && payload.trampoline_onion.is_none();
    rules
        .check(
            rules::PAYLOAD_PATH_KEY_UNBLINDED,
            context.path_key.is_none() && !inner,
            || "there is a path key, but no data to open with it".into(),
        )
        .map_err(at(kind::PATH_KEY))?;
    amount_cltv(rules, payload)?;
    if position.last {
        final_amount(rules, context, payload.amt_to_forward.unwrap_or_default())?;
        return final_expiry(
            rules,
            rules::PAYLOAD_FINAL_CLTV,
            rules::PAYLOAD_FINAL_HEIGHT,
            context,
            payload,
        );
    }
    rules
        .check(
            rules::PAYLOAD_SHORT_CHANNEL_ID,
            payload.short_channel_id.is_some() || payload.outgoing_node_id.is_some(),
            || "record 6 is missing".into(),
        )
        .map_err(at(kind::SHORT_CHANNEL_ID))?;
    if let (Some(channel), Some(known)) = (payload.short_channel_id, context.channels) {
        rules
            .check(rules::PAYLOAD_FORWARDABLE, known.contains(&channel), || {
                format!("channel {channel} does not lead on from here")
            })
            .map_err(at(kind::SHORT_CHANNEL_ID))?;
    }
    let Some(channel) = context.channel else {
        return Ok(());
    };
    let amount = payload.amt_to_forward.unwrap_or_default();
    if let Some(incoming) = context.amount_msat {
        // BOLT 7, fees: of the amount that is passed on.
        let fee = u128::from(channel.fee_base_msat)
            + u128::from(amount) * u128::from(channel.fee_proportional_millionths) / 1_000_000;
        let least = u64::try_from(u128::from(amount) + fee).unwrap_or(u64::MAX);
        rules
            .at_least(rules::PAYLOAD_FEE, incoming, least, || {
                format!("the HTLC brings {incoming} msat, and needs {least} msat")
            })
            .map_err(whole)?;
    }
    if let Some(expiry) = context.cltv_expiry {
        let outgoing = payload.outgoing_cltv_value.unwrap_or_default();
        let least = u64::from(outgoing) + u64::from(channel.cltv_expiry_delta);
        rules
            .at_least(rules::PAYLOAD_CLTV_DELTA, expiry.into(), least, || {
                format!("the HTLC expires at {expiry}, before {least}")
            })
            .map_err(whole)?;
    }
    Ok(())
}

fn amount_cltv(rules: &Rules, payload: &Payload) -> Step<()> {
    for (kind, missing) in [
        (kind::AMOUNT, payload.amt_to_forward.is_none()),
        (kind::CLTV, payload.outgoing_cltv_value.is_none()),
    ] {
        rules
            .check(rules::PAYLOAD_AMOUNT_CLTV, !missing, || {
                format!("record {kind} is missing")
            })
            .map_err(at(kind))?;
    }
    Ok(())
}

/// Pull request 836, receiver: a payload inside a trampoline onion.
fn trampoline(
    rules: &Rules,
    position: Position,
    context: &Context<'_>,
    payload: &mut Payload,
) -> Step<()> {
    let outer = context.outer.unwrap_or_default();
    if payload.encrypted_data.is_some() {
        let (inner, around) = (payload.path_key, outer.path_key);
        rules
            .check(
                rules::TRAMPOLINE_PATH_KEY_MISSING,
                inner.is_some() || around.is_some(),
                || "there is no path key, in the trampoline onion or around it".into(),
            )
            .map_err(at(kind::PATH_KEY))?;
        rules
            .check(
                rules::TRAMPOLINE_PATH_KEY_TWICE,
                inner.is_none() || around.is_none(),
                || "there is a path key in the trampoline onion, and one around it".into(),
            )
            .map_err(at(kind::PATH_KEY))?;
        open(rules, context, payload, inner.or(around))?;
        if !position.last {
            return forward(rules, context, payload);
        }
    }
    let relayed = !position.last || payload.recipient_paths.is_some();
    if payload.encrypted_data.is_none() {
        // Pull request 836, receiver: the inner onion is processed as any onion is.
        amount_cltv(rules, payload)?;
        rules
            .check(
                rules::PAYLOAD_SHORT_CHANNEL_ID,
                position.last
                    || payload.outgoing_node_id.is_some()
                    || payload.recipient_paths.is_some(),
                || "there is neither an outgoing_node_id nor a path to the recipient".into(),
            )
            .map_err(at(kind::OUTGOING_NODE_ID))?;
    }
    if relayed {
        return Ok(());
    }
    if let Some(outside) = outer.outgoing_cltv_value {
        let inside = payload.outgoing_cltv_value.unwrap_or_default();
        rules
            .at_least(
                rules::TRAMPOLINE_FINAL_CLTV,
                outside.into(),
                inside.into(),
                || format!("the outer onion says {outside}, and the inner one {inside}"),
            )
            .map_err(at(kind::CLTV))?;
    }
    let inside = payload.amt_to_forward.unwrap_or_default();
    let (id, outside, what) = if outer.multi_part {
        (rules::TRAMPOLINE_FINAL_TOTAL, outer.total_msat, "total")
    } else {
        (
            rules::TRAMPOLINE_FINAL_AMOUNT,
            outer.amt_to_forward,
            "amount",
        )
    };
    if let Some(outside) = outside {
        rules
            .at_least(id, outside, inside, || {
                format!("the outer {what} is {outside} msat, and the inner amount {inside} msat")
            })
            .map_err(at(kind::AMOUNT))?;
    }
    Ok(())
}

/// What a payer knows beside the records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer<'a> {
    /// Of the recipient's invoice.
    pub payment_secret: Option<[u8; 32]>,
    /// Of the recipient's invoice.
    pub metadata: Option<&'a [u8]>,
    /// What the recipient sealed for this node of its route.
    pub encrypted_data: Option<&'a [u8]>,
    /// The first path key of the recipient's route.
    pub path_key: Option<Point>,
    /// The node is the first one of that route.
    pub first_blinded: bool,
    /// All that will be sent, in msat.
    pub total_msat: Option<u64>,
    /// The current height.
    pub height: Option<u32>,
}

/// Writes a payload (without its length) by the rules of BOLT 4 for its position.
///
/// # Errors
/// A [`Fault`] with a `bolt04/payload/writer/…` rule, `bolt01/tlv/sender/order`, or the form of a
/// value.
pub fn write(
    rules: &Rules,
    records: &[Record],
    position: Position,
    blinded: bool,
    writer: &Writer<'_>,
) -> Result<Vec<u8>, Fault> {
    let fault = |violation| Fault {
        violation,
        kind: None,
    };
    let stream = tlv::encode(rules, records).map_err(fault)?;
    let payload = Payload::from_records(rules, records.to_vec(), None)?;
    if blinded {
        write_blinded(rules, &payload, position, writer).map_err(fault)?;
    } else {
        write_unblinded(rules, &payload, position, writer).map_err(fault)?;
    }
    Ok(stream)
}

fn write_blinded(
    rules: &Rules,
    payload: &Payload,
    position: Position,
    writer: &Writer<'_>,
) -> Result<(), Violation> {
    rules.check(
        rules::PAYLOAD_WRITER_BLINDED_DATA,
        payload.encrypted_data.is_some()
            && writer
                .encrypted_data
                .is_none_or(|data| payload.encrypted_data.as_deref() == Some(data)),
        || "the data that the recipient made for this node is not there".into(),
    )?;
    if writer.first_blinded {
        rules.check(
            rules::PAYLOAD_WRITER_FIRST_PATH_KEY,
            payload.path_key.is_some()
                && writer
                    .path_key
                    .is_none_or(|key| payload.path_key == Some(key)),
            || "the first node of the route gets no path key of the recipient's".into(),
        )?;
    }
    let mut kinds = vec![kind::ENCRYPTED_DATA];
    if writer.first_blinded {
        kinds.push(kind::PATH_KEY);
    }
    if position.last {
        kinds.extend([kind::AMOUNT, kind::CLTV, kind::TOTAL]);
        rules.check(
            rules::PAYLOAD_WRITER_BLINDED_FINAL_FIELDS,
            payload.amt_to_forward.is_some()
                && payload.outgoing_cltv_value.is_some()
                && payload.total_amount_msat.is_some(),
            || "the recipient of a blinded route gets amount, expiry and total".into(),
        )?;
        if let (Some(height), Some(expiry)) = (writer.height, payload.outgoing_cltv_value) {
            rules.at_least(
                rules::PAYLOAD_WRITER_BASELINE_HEIGHT,
                expiry.into(),
                height.into(),
                || format!("the expiry is {expiry}, before the current height {height}"),
            )?;
        }
    }
    let extra = other(&payload.records, &kinds);
    rules.check(rules::PAYLOAD_WRITER_BLINDED_ONLY, extra.is_none(), || {
        format!(
            "record {} has no place inside a blinded route",
            extra.unwrap_or_default()
        )
    })
}

fn write_unblinded(
    rules: &Rules,
    payload: &Payload,
    position: Position,
    writer: &Writer<'_>,
) -> Result<(), Violation> {
    rules.check(
        rules::PAYLOAD_WRITER_AMOUNT_CLTV,
        payload.amt_to_forward.is_some() && payload.outgoing_cltv_value.is_some(),
        || "a payload needs amount and expiry".into(),
    )?;
    let channel = payload.short_channel_id.is_some();
    if !position.last {
        rules.check(rules::PAYLOAD_WRITER_SHORT_CHANNEL_ID, channel, || {
            "who forwards needs the channel to forward to".into()
        })?;
        return rules.check(
            rules::PAYLOAD_WRITER_NO_PAYMENT_DATA,
            payload.payment_data.is_none(),
            || "who forwards gets no payment_data".into(),
        );
    }
    rules.check(rules::PAYLOAD_WRITER_FINAL_NO_CHANNEL, !channel, || {
        "the recipient gets no channel".into()
    })?;
    if let Some(secret) = writer.payment_secret {
        rules.check(
            rules::PAYLOAD_WRITER_PAYMENT_DATA,
            payload.payment_data.is_some(),
            || "the recipient gave a payment secret and gets no payment_data".into(),
        )?;
        if let Some((written, total)) = payload.payment_data {
            rules.check(
                rules::PAYLOAD_WRITER_PAYMENT_SECRET,
                written == secret,
                || "the payment secret is not the recipient's".into(),
            )?;
            rules.check(
                rules::PAYLOAD_WRITER_TOTAL,
                writer.total_msat.is_none_or(|sent| sent == total),
                || format!("total_msat is {total} msat, and another amount will be sent"),
            )?;
        }
    }
    if let Some(metadata) = writer.metadata {
        rules.check(
            rules::PAYLOAD_WRITER_METADATA,
            payload.metadata.as_deref() == Some(metadata),
            || "the recipient does not get its metadata".into(),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
