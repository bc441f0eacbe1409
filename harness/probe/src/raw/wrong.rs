//! What the raw transport sends, honest or wrong in one named way.

use super::message::{self, Init, NO_PONG, kind};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::blinding;
use lnconform_drafts::features;
use lnconform_drafts::keys::{self, Point};
use lnconform_drafts::onion::{self, Hop};
use lnconform_drafts::onion_message::{Message, SIZES, kind as field};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};

/// An even bit that no specification assigns, far from those that are.
const UNKNOWN_BIT: u16 = 998;
/// `option_zeroconf`, which needs `option_scid_alias`.
const ZEROCONF: u16 = 51;

/// An even type below the custom range that nothing assigns.
const UNKNOWN_TYPE: u16 = 32_766;
/// An even type in the custom range.
const UNKNOWN_CUSTOM_TYPE: u16 = 40_000;

/// The bytes of an init that is wrong as `name` says, or honest; `None` if nobody has said how.
pub fn init(init: &Init, name: Option<&str>) -> Option<Vec<u8>> {
    let more = |bitmap: &[u8], bit: u16| {
        let bits = features::bits(bitmap).filter_map(|bit| u16::try_from(bit).ok());
        features::from_bits(bits.chain([bit]))
    };
    let mut init = init.clone();
    match name {
        None => {}
        Some("init-unknown-even") => init.features = more(&init.features, UNKNOWN_BIT),
        Some("init-global-unknown-even") => init.global = more(&init.global, UNKNOWN_BIT),
        Some("init-dependency-missing") => init.features = more(&init.features, ZEROCONF),
        Some("init-cut") => {
            init.records.clear();
            let mut bytes = init.encode();
            bytes.pop();
            return Some(bytes);
        }
        Some(_) => return None,
    }
    Some(init.encode())
}

/// A message that is wrong as `name` says.
pub fn message(name: &str) -> Option<Vec<u8>> {
    Some(match name {
        "message-unknown-even" => message::message(UNKNOWN_TYPE, &[1, 2]),
        "message-unknown-even-custom" => message::message(UNKNOWN_CUSTOM_TYPE, &[1, 2]),
        "ping-cut" => message::message(kind::PING, &[0]),
        "ping-filling-cut" => message::message(kind::PING, &[0, 1, 0, 4, 0, 0]),
        "ping-asks-too-much" => message::ping(NO_PONG),
        _ => return None,
    })
}

/// An onion message to be made.
pub struct Plan {
    /// Those who pass it on, the peer first, and the recipient.
    pub path: Vec<PublicKey>,
    /// What the recipient gets beside its data.
    pub records: Vec<Record>,
    /// Bytes of payloads.
    pub size: Option<usize>,
    /// A channel that the peer is told of beside the next node, or in its place.
    pub scid: Option<u64>,
}

/// Why a plan is no message.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nobody has said how.
    #[error("nothing in the probe does {0} with an onion message")]
    Unknown(String),
    /// It is too long, or has no path.
    #[error("the onion message cannot be made: {0}")]
    Unmade(String),
}

impl From<onion::Error> for PlanError {
    fn from(e: onion::Error) -> Self {
        Self::Unmade(e.to_string())
    }
}

/// What the peer's data, payload, packet and message have become.
#[derive(Default)]
struct Change {
    /// More of the peer's data.
    data: Vec<Record>,
    /// More of the peer's payload.
    payload: Vec<Record>,
    without_next: bool,
    scid: Option<u64>,
    alter_data: bool,
    data_twice: bool,
    version: bool,
    key: bool,
    hmac: bool,
    path_key: bool,
    cut: bool,
}

impl Change {
    fn of(name: Option<&str>) -> Option<Self> {
        let mut change = Self::default();
        match name {
            None => {}
            Some("onion-message-version") => change.version = true,
            Some("onion-message-key") => change.key = true,
            Some("onion-message-hmac") => change.hmac = true,
            Some("onion-message-path-key") => change.path_key = true,
            Some("onion-message-cut") => change.cut = true,
            Some("onion-message-unknown-even") => change.payload.push(Record::new(6, [1])),
            Some("onion-message-extra-field") => change.payload.push(Record::new(65_537, [1])),
            Some("onion-message-path-id") => {
                change
                    .data
                    .push(Record::new(blinding::kind::PATH_ID, [7; 32]));
            }
            Some("onion-message-no-next") => change.without_next = true,
            Some("onion-message-unknown-channel") => {
                change.without_next = true;
                change.scid = Some(0x0001_0000_0100_0001);
            }
            Some("onion-message-allowed-features") => {
                let value = features::from_bits([UNKNOWN_BIT + 1]);
                change
                    .data
                    .push(Record::new(blinding::kind::ALLOWED_FEATURES, value));
            }
            Some("onion-message-data-altered") => change.alter_data = true,
            Some("onion-message-data-unknown-even") => {
                change.data.push(Record::new(16, [1]));
            }
            Some("onion-message-data-twice") => change.data_twice = true,
            Some("onion-message-two-payloads") => {
                change.payload.push(Record::new(field::INVOICE, []));
                change.payload.push(Record::new(field::INVOICE_ERROR, []));
            }
            Some(_) => return None,
        }
        Some(change)
    }
}

impl Plan {
    /// The message for the peer, wrong as `name` says; each key is drawn.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn message(
        &self,
        name: Option<&str>,
        mut draw: impl FnMut() -> SecretKey,
    ) -> Result<Vec<u8>, PlanError> {
        let unmade = |e: String| PlanError::Unmade(e);
        let change = Change::of(name)
            .ok_or_else(|| PlanError::Unknown(name.unwrap_or_default().to_owned()))?;
        let plain =
            |at: usize| {
                let mut records = Vec::new();
                if at == 0 {
                    let scid = change.scid.or(self.scid);
                    records.extend(scid.map(|scid| {
                        Record::new(blinding::kind::SHORT_CHANNEL_ID, scid.to_be_bytes())
                    }));
                    records.extend(change.data.iter().cloned());
                }
                let next = self.path.get(at + 1);
                if let (Some(next), false) = (next, at == 0 && change.without_next) {
                    let id = next.serialize();
                    records.push(Record::new(blinding::kind::NEXT_NODE_ID, id));
                }
                records.sort_by_key(|record| record.kind);
                tlv::encode_unchecked(&records)
            };
        let hops: Vec<(PublicKey, Vec<u8>)> = self
            .path
            .iter()
            .enumerate()
            .map(|(at, id)| (*id, plain(at)))
            .collect();
        let built = blinding::build(&draw(), &hops).map_err(|e| unmade(e.to_string()))?;
        let last = self.path.len().saturating_sub(1);
        let mut framed = Vec::new();
        for (at, hop) in built.path.hops.iter().enumerate() {
            let mut data = hop.encrypted_data.clone();
            if let (0, true, Some(byte)) = (at, change.alter_data, data.last_mut()) {
                *byte ^= 1;
            }
            let mut records = vec![Record::new(field::ENCRYPTED_DATA, data)];
            if at == 0 {
                if change.data_twice {
                    records.push(records[0].clone());
                }
                records.extend(change.payload.iter().cloned());
            }
            if at == last {
                records.extend(self.records.iter().cloned());
            }
            records.sort_by_key(|record| record.kind);
            framed.push(Hop {
                pubkey: PublicKey::from_slice(&hop.blinded_node_id)
                    .map_err(|e| unmade(e.to_string()))?,
                framed: onion::frame(&tlv::encode_unchecked(&records)),
            });
        }
        let needed = onion::needed(&framed);
        let fits = SIZES.iter().copied().find(|size| *size >= needed);
        let size = self.size.or(fits).unwrap_or(needed);
        let mut packet = onion::build(&Rules::all(), &draw(), &[], &framed, size)?.packet;
        let mut path_key: Point = built.path.first_path_key;
        if change.version {
            packet[0] = 1;
        }
        if change.key {
            off_the_curve(&mut packet[1..34]);
        }
        if let (true, Some(byte)) = (change.hmac, packet.last_mut()) {
            *byte ^= 1;
        }
        if change.path_key {
            off_the_curve(&mut path_key);
        }
        let mut bytes = Message { path_key, packet }
            .encode()
            .map_err(|e| unmade(e.to_string()))?;
        if change.cut {
            bytes.pop();
        }
        Ok(bytes)
    }
}

/// Makes 33 bytes no point: they have the form of one, and the curve has none there.
fn off_the_curve(bytes: &mut [u8]) {
    while keys::is_point(bytes) {
        if let Some(last) = bytes.last_mut() {
            *last = last.wrapping_add(1);
        }
    }
}
