//! Route blinding of BOLT 4: building a blinded path, and reading it hop by hop.

use crate::keys::{self, KeyError, Point};
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::Reader;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};

/// How a blinded path names the node where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstNode {
    /// By its public key.
    NodeId(Point),
    /// By a channel: end 0 or 1 of the announcement of that short channel id.
    Channel {
        /// 0 for the first node of the announcement, 1 for the second.
        end: u8,
        /// The channel.
        short_channel_id: u64,
    },
}

impl FirstNode {
    /// The bytes of the wire: 33 for a key, 9 for a channel.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            FirstNode::NodeId(key) => key.to_vec(),
            FirstNode::Channel {
                end,
                short_channel_id,
            } => [&[*end][..], &short_channel_id.to_be_bytes()].concat(),
        }
    }
}

/// One hop of a blinded path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindedHop {
    /// The node's tweaked key.
    pub blinded_node_id: Point,
    /// What only that node can read.
    pub encrypted_data: Vec<u8>,
}

/// A blinded path, as offers and invoices carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindedPath {
    /// Where it begins.
    pub first_node: FirstNode,
    /// The key that the first node shares a secret with.
    pub first_path_key: Point,
    /// The hops, the last one being the recipient.
    pub hops: Vec<BlindedHop>,
}

impl BlindedPath {
    /// Reads one path. A path without hops is read; to refuse it is the caller's rule.
    ///
    /// # Errors
    /// `bolt01/types/sciddir-or-pubkey`, `bolt01/types/point`, `bolt01/tlv/value-length`.
    pub fn read(rules: &Rules, value: &mut Reader<'_>) -> Result<Self, Violation> {
        let mut ahead = *value;
        let first = ahead.u8()?;
        rules.check(rules::TYPES_SCIDDIR_OR_PUBKEY, first <= 3, || {
            format!("a path begins with byte {first}, neither a channel's end nor a key")
        })?;
        let first_node = if first <= 1 {
            let [end] = value.array()?;
            FirstNode::Channel {
                end,
                short_channel_id: value.u64()?,
            }
        } else if first <= 3 {
            FirstNode::NodeId(value.point()?)
        } else {
            // Reached with the rule off only; then any 33 bytes are a key.
            FirstNode::NodeId(value.array()?)
        };
        let first_path_key = value.point()?;
        let count = value.u8()?;
        let mut hops = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let blinded_node_id = value.point()?;
            let length = value.u16()?;
            let encrypted_data = value.bytes(usize::from(length))?.to_vec();
            hops.push(BlindedHop {
                blinded_node_id,
                encrypted_data,
            });
        }
        Ok(Self {
            first_node,
            first_path_key,
            hops,
        })
    }

    /// The bytes of the wire.
    ///
    /// # Errors
    /// [`PathTooLong`] when the number of hops or the length of a hop's data has no encoding.
    pub fn encode(&self) -> Result<Vec<u8>, PathTooLong> {
        let mut out = self.first_node.encode();
        out.extend_from_slice(&self.first_path_key);
        out.push(u8::try_from(self.hops.len()).map_err(|_| PathTooLong)?);
        for hop in &self.hops {
            let length = u16::try_from(hop.encrypted_data.len()).map_err(|_| PathTooLong)?;
            out.extend_from_slice(&hop.blinded_node_id);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&hop.encrypted_data);
        }
        Ok(out)
    }
}

/// A path that has no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a blinded path holds 255 hops at most, each with 65535 bytes of data at most")]
pub struct PathTooLong;

/// What its builder knows of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The path to hand out.
    pub path: BlindedPath,
    /// Each hop's path key.
    pub path_keys: Vec<Point>,
    /// The secret behind each hop's path key.
    pub path_secrets: Vec<SecretKey>,
    /// Each hop's shared secret.
    pub shared_secrets: Vec<[u8; 32]>,
}

/// Why a path was not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A path ends at somebody.
    #[error("a blinded path needs one hop at least")]
    NoHops,
    /// See [`KeyError`].
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Builds a path through `hops`, each a node and the TLV stream that it shall read.
///
/// BOLT 4, route blinding, writer: one ephemeral key walks along the path; each hop's shared
/// secret yields the key of its data and the tweak of its id.
///
/// # Errors
/// [`BuildError`].
pub fn build(session_key: &SecretKey, hops: &[(PublicKey, Vec<u8>)]) -> Result<Built, BuildError> {
    let Some(((first, _), _)) = hops.split_first() else {
        return Err(BuildError::NoHops);
    };
    let mut secret = *session_key;
    let mut built = Built {
        path: BlindedPath {
            first_node: FirstNode::NodeId(first.serialize()),
            first_path_key: keys::public(&secret).serialize(),
            hops: Vec::with_capacity(hops.len()),
        },
        path_keys: Vec::with_capacity(hops.len()),
        path_secrets: Vec::with_capacity(hops.len()),
        shared_secrets: Vec::with_capacity(hops.len()),
    };
    for (node_id, data) in hops {
        let path_key = keys::public(&secret).serialize();
        let shared_secret = keys::ecdh(node_id, &secret);
        let tweak = keys::derive("blinded_node_id", &shared_secret);
        built.path.hops.push(BlindedHop {
            blinded_node_id: keys::multiply_point(node_id, tweak)?.serialize(),
            encrypted_data: encrypt(&rho(&shared_secret), data),
        });
        built.path_keys.push(path_key);
        built.path_secrets.push(secret);
        built.shared_secrets.push(shared_secret);
        secret = keys::multiply_secret(&secret, keys::sha256(&[&path_key, &shared_secret]))?;
    }
    Ok(built)
}

/// BOLT 4, route blinding: the key that a hop's data is encrypted with.
pub fn rho(shared_secret: &[u8; 32]) -> [u8; 32] {
    keys::derive("rho", shared_secret)
}

/// ChaCha20-Poly1305 with an all-zero nonce and no associated data: ciphertext, then the tag.
pub(crate) fn encrypt(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    // It fails above 256 GiB only, and no caller holds that much.
    ChaCha20Poly1305::new(&(*key).into())
        .encrypt(&Nonce::default(), plain)
        .unwrap_or_default()
}

/// Seals a stream under a hop's [`rho`].
pub fn seal(rho: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    encrypt(rho, plain)
}

pub(crate) fn decrypt(key: &[u8; 32], cipher: &[u8]) -> Option<Vec<u8>> {
    ChaCha20Poly1305::new(&(*key).into())
        .decrypt(&Nonce::default(), cipher)
        .ok()
}

/// What a hop reads from its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unblinded {
    /// The decrypted TLV stream.
    pub tlvs: Vec<u8>,
    /// Its fields.
    pub data: Data,
    /// The secret shared with the builder.
    pub shared_secret: [u8; 32],
    /// The secret key behind the blinded node id.
    pub blinded_secret: SecretKey,
    /// The path key that follows from this one.
    pub next_path_key: Point,
}

impl Unblinded {
    /// The path key to send on: the builder's own choice if there is one.
    pub fn forward_path_key(&self) -> Point {
        // BOLT 4, route blinding, reader: an override takes the place of the derived key.
        self.data
            .next_path_key_override
            .unwrap_or(self.next_path_key)
    }
}

/// Why a hop could not read its data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnblindError {
    /// A rule refused it.
    #[error(transparent)]
    Rule(#[from] Violation),
    /// See [`KeyError`].
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Reads the data of one hop.
///
/// With a rule off: a path key that is no point gives the all-zero shared secret, and data whose
/// tag is wrong is what the stream cipher makes of it.
///
/// # Errors
/// A [`Violation`] of `bolt01/types/point` (path key), `bolt04/blinding/decrypt`,
/// `bolt04/blinding/unknown-even`, or of the rules of BOLT 1 on the decrypted stream.
pub fn unblind(
    rules: &Rules,
    node_secret: &SecretKey,
    path_key: &Point,
    encrypted_data: &[u8],
) -> Result<Unblinded, UnblindError> {
    unblind_under(
        rules,
        rules::BLINDING_DECRYPT,
        node_secret,
        path_key,
        encrypted_data,
    )
}

/// As [`unblind`], with the rule that data decrypts under another id.
pub(crate) fn unblind_under(
    rules: &Rules,
    decrypt_id: &'static str,
    node_secret: &SecretKey,
    path_key: &Point,
    encrypted_data: &[u8],
) -> Result<Unblinded, UnblindError> {
    let point = PublicKey::from_slice(path_key).ok();
    rules.check(rules::TYPES_POINT, point.is_some(), || {
        "the path key is no point of the curve".into()
    })?;
    let shared_secret = point.map_or([0; 32], |point| keys::ecdh(&point, node_secret));
    let key = rho(&shared_secret);
    let plain = decrypt(&key, encrypted_data);
    rules.check(decrypt_id, plain.is_some(), || {
        if encrypted_data.is_empty() {
            "there is no encrypted data".into()
        } else {
            "the encrypted data does not decrypt with this node's and this path's key".into()
        }
    })?;
    let tlvs = plain.unwrap_or_else(|| unauthenticated(&key, encrypted_data));
    let data = Data::read(rules, &tlvs)?;
    let tweak = keys::derive("blinded_node_id", &shared_secret);
    let next_path_key = match point {
        Some(point) => {
            keys::multiply_point(&point, keys::sha256(&[path_key, &shared_secret]))?.serialize()
        }
        None => *path_key,
    };
    Ok(Unblinded {
        tlvs,
        data,
        shared_secret,
        blinded_secret: keys::multiply_secret(node_secret, tweak)?,
        next_path_key,
    })
}

/// What a reader sees that forgets the tag.
pub(crate) fn unauthenticated(key: &[u8; 32], cipher: &[u8]) -> Vec<u8> {
    let mut plain = cipher[..cipher.len().saturating_sub(16)].to_vec();
    let mut stream = ChaCha20::new(&(*key).into(), &Default::default());
    // Block 0 makes the key of the tag.
    if stream.try_seek(64_u32).is_ok() {
        // The stream is 256 GiB long; the data is not.
        let _ = stream.try_apply_keystream(&mut plain);
    }
    plain
}

/// Field numbers of `encrypted_data_tlv`.
pub mod kind {
    #![allow(missing_docs)]
    pub const PADDING: u64 = 1;
    pub const SHORT_CHANNEL_ID: u64 = 2;
    pub const NEXT_NODE_ID: u64 = 4;
    pub const PATH_ID: u64 = 6;
    pub const NEXT_PATH_KEY_OVERRIDE: u64 = 8;
    pub const PAYMENT_RELAY: u64 = 10;
    pub const PAYMENT_CONSTRAINTS: u64 = 12;
    pub const ALLOWED_FEATURES: u64 = 14;
}

/// What a hop takes for passing a payment on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relay {
    /// Blocks between the incoming and the outgoing expiry.
    pub cltv_expiry_delta: u16,
    /// Parts in a million of what is passed on.
    pub fee_proportional_millionths: u32,
    /// In msat.
    pub fee_base_msat: u32,
}

impl Relay {
    /// BOLT 4, payload format, reader: the amount to pass on of `amount_msat`; `None` where that
    /// does not even cover the base fee.
    pub fn forwarded(&self, amount_msat: u64) -> Option<u64> {
        let rest = u128::from(amount_msat.checked_sub(u64::from(self.fee_base_msat))?);
        let whole = 1_000_000 + u128::from(self.fee_proportional_millionths);
        u64::try_from((rest * 1_000_000).div_ceil(whole)).ok()
    }
}

/// What a payment along the path has to keep to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    /// Highest block height at which the HTLC may expire.
    pub max_cltv_expiry: u32,
    /// Lowest amount in msat.
    pub htlc_minimum_msat: u64,
}

/// The fields of `encrypted_data_tlv`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// All records, in the order of the stream.
    pub records: Vec<Record>,
    /// The channel to the next node.
    pub short_channel_id: Option<u64>,
    /// The next node.
    pub next_node_id: Option<Point>,
    /// The recipient's mark.
    pub path_id: Option<Vec<u8>>,
    /// The path key that the creator put in place of the derived one.
    pub next_path_key_override: Option<Point>,
    /// Fees and delta.
    pub payment_relay: Option<Relay>,
    /// Limits.
    pub payment_constraints: Option<Constraints>,
    /// Feature bitmap.
    pub allowed_features: Option<Vec<u8>>,
}

impl Data {
    /// BOLT 4, `encrypted_data_tlv`: framing, unknown even types, and the form of each known value.
    ///
    /// # Errors
    /// A [`Violation`] of `bolt04/blinding/unknown-even` or of a rule of BOLT 1.
    pub fn read(rules: &Rules, stream: &[u8]) -> Result<Self, Violation> {
        let records = tlv::frames(rules, stream)?;
        tlv::refuse_unknown_even(rules, rules::BLINDING_UNKNOWN_EVEN, &records, |kind| {
            matches!(kind, 2 | 4 | 6 | 8 | 10 | 12 | 14)
        })?;
        Self::from_records(rules, records)
    }

    /// The fields of records, in whatever order.
    ///
    /// # Errors
    /// A [`Violation`] of a rule of BOLT 1 on a value.
    pub fn from_records(rules: &Rules, records: Vec<Record>) -> Result<Self, Violation> {
        let mut data = Data::default();
        for record in &records {
            let named = |name| Reader::new(rules, name, &record.value);
            let mut value;
            match record.kind {
                kind::SHORT_CHANNEL_ID => {
                    value = named("short_channel_id");
                    data.short_channel_id = Some(value.u64()?);
                }
                kind::NEXT_NODE_ID => {
                    value = named("next_node_id");
                    data.next_node_id = Some(value.point()?);
                }
                kind::PATH_ID => {
                    data.path_id = Some(record.value.clone());
                    continue;
                }
                kind::NEXT_PATH_KEY_OVERRIDE => {
                    value = named("next_path_key_override");
                    data.next_path_key_override = Some(value.point()?);
                }
                kind::PAYMENT_RELAY => {
                    value = named("payment_relay");
                    data.payment_relay = Some(Relay {
                        cltv_expiry_delta: value.u16()?,
                        fee_proportional_millionths: value.u32()?,
                        fee_base_msat: value.tu32()?,
                    });
                }
                kind::PAYMENT_CONSTRAINTS => {
                    value = named("payment_constraints");
                    data.payment_constraints = Some(Constraints {
                        max_cltv_expiry: value.u32()?,
                        htlc_minimum_msat: value.tu64()?,
                    });
                }
                kind::ALLOWED_FEATURES => {
                    data.allowed_features = Some(record.value.clone());
                    continue;
                }
                _ => continue,
            }
            value.end()?;
        }
        data.records = records;
        Ok(data)
    }

    /// BOLT 4, payload format, reader: features that are not named are none.
    pub fn features(&self) -> &[u8] {
        self.allowed_features.as_deref().unwrap_or_default()
    }
}

/// What a payer has to know of a path for payments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayInfo {
    /// In msat.
    pub fee_base_msat: u64,
    /// Parts in a million.
    pub fee_proportional_millionths: u64,
    /// Blocks.
    pub cltv_expiry_delta: u32,
}

impl PayInfo {
    /// BOLT 4, payload format, creator: fees and delta of a whole route, added up from the recipient
    /// towards the payer.
    pub fn of(relays: &[Relay], min_final_cltv_expiry_delta: u16) -> Self {
        const MILLION: u128 = 1_000_000;
        let (mut base, mut proportional) = (0_u128, 0_u128);
        let mut delta = u32::from(min_final_cltv_expiry_delta);
        for relay in relays.iter().rev() {
            let part = u128::from(relay.fee_proportional_millionths);
            // A total that no 64 bits hold is one that nobody can pay.
            base = (u128::from(relay.fee_base_msat) * MILLION + base * (MILLION + part))
                .div_ceil(MILLION)
                .min(u128::from(u64::MAX));
            proportional = ((proportional + part) * MILLION + proportional * part)
                .div_ceil(MILLION)
                .min(u128::from(u64::MAX));
            delta = delta.saturating_add(u32::from(relay.cltv_expiry_delta));
        }
        Self {
            fee_base_msat: u64::try_from(base).unwrap_or(u64::MAX),
            fee_proportional_millionths: u64::try_from(proportional).unwrap_or(u64::MAX),
            cltv_expiry_delta: delta,
        }
    }
}

/// What the creator of a path for payments knows beside its data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Creator<'a> {
    /// Height at which the path shall end for the recipient.
    pub max_cltv_expiry: Option<u32>,
    /// Blocks that the recipient wants to have left.
    pub min_final_cltv_expiry_delta: u16,
    /// The lowest amount that each node allows, in msat.
    pub minimums: &'a [u64],
}

/// BOLT 4, payload format: checks the data of a path for payments, one entry a node, the recipient
/// last; answers the streams and what the payer has to know.
///
/// With a rule off, a `payment_relay` that is missing counts as one that takes nothing.
///
/// # Errors
/// A [`Violation`] of a `bolt04/blinded-payment/creator/…` rule, of `bolt01/tlv/sender/order`, or of
/// the form of a value.
pub fn payment_data(
    rules: &Rules,
    hops: &[Option<Vec<Record>>],
    creator: &Creator<'_>,
) -> Result<(Vec<Vec<u8>>, PayInfo), Violation> {
    let mut datas = Vec::with_capacity(hops.len());
    let mut streams = Vec::with_capacity(hops.len());
    for (at, records) in hops.iter().enumerate() {
        rules.check(rules::ROUTE_DATA_EACH, records.is_some(), || {
            format!("node {at} of the route has no data")
        })?;
        let records = records.clone().unwrap_or_default();
        streams.push(tlv::encode(rules, &records)?);
        datas.push(Data::from_records(rules, records)?);
    }
    let before_last = &datas[..datas.len().saturating_sub(1)];
    let minimum = creator.minimums.iter().max();
    let mut relays = Vec::with_capacity(before_last.len());
    // From the recipient on, since each expiry is built on the one behind it.
    let mut expiry = creator
        .max_cltv_expiry
        .map(|height| u64::from(height) + u64::from(creator.min_final_cltv_expiry_delta));
    for (at, data) in before_last.iter().enumerate().rev() {
        rules.check(rules::ROUTE_RELAY, data.payment_relay.is_some(), || {
            format!("the data of node {at} has no payment_relay")
        })?;
        let named =
            usize::from(data.short_channel_id.is_some()) + usize::from(data.next_node_id.is_some());
        rules.check(rules::ROUTE_NEXT, named == 1, || {
            format!("the data of node {at} names the next node {named} times, and not once")
        })?;
        let relay = data.payment_relay.unwrap_or_default();
        expiry = expiry.map(|height| height + u64::from(relay.cltv_expiry_delta));
        let constraints = data.payment_constraints;
        rules.check(
            rules::ROUTE_MAX_CLTV,
            constraints.is_some_and(|c| {
                expiry.is_none_or(|height| u64::from(c.max_cltv_expiry) == height)
            }),
            || match (constraints, expiry) {
                (Some(c), Some(height)) => format!(
                    "max_cltv_expiry of node {at} is {}, and not {height}",
                    c.max_cltv_expiry
                ),
                _ => format!("the data of node {at} has no payment_constraints"),
            },
        )?;
        rules.check(
            rules::ROUTE_HTLC_MINIMUM,
            constraints.is_none_or(|c| minimum.is_none_or(|m| c.htlc_minimum_msat == *m)),
            || format!("htlc_minimum_msat of node {at} is not the highest minimum of the route"),
        )?;
        relays.push(relay);
    }
    relays.reverse();
    for (at, data) in datas.iter().enumerate() {
        rules.check(
            rules::ROUTE_FEATURES_EMPTY,
            data.features().is_empty(),
            || format!("the data of node {at} allows features"),
        )?;
    }
    Ok((
        streams,
        PayInfo::of(&relays, creator.min_final_cltv_expiry_delta),
    ))
}

/// BOLT 4, onion messages: checks the data of a path for messages, the recipient last; answers the
/// streams.
///
/// # Errors
/// A [`Violation`] of a `bolt04/onion-message/creator/…` rule, of `bolt01/tlv/sender/order`, or of
/// the form of a value.
pub fn message_data(rules: &Rules, hops: &[Vec<Record>]) -> Result<Vec<Vec<u8>>, Violation> {
    let mut streams = Vec::with_capacity(hops.len());
    for (at, records) in hops.iter().enumerate() {
        streams.push(tlv::encode(rules, records)?);
        let data = Data::from_records(rules, records.clone())?;
        rules.check(
            rules::MESSAGE_CREATOR_NO_RELAY,
            data.payment_relay.is_none() && data.payment_constraints.is_none(),
            || format!("the data of node {at} has a field that is for payments"),
        )?;
        let last = at + 1 == hops.len();
        let next = data.next_node_id.is_some() || data.short_channel_id.is_some();
        rules.check(rules::MESSAGE_CREATOR_NEXT, last || next, || {
            format!("the data of node {at} names no next node")
        })?;
    }
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(byte: u8) -> SecretKey {
        SecretKey::from_slice(&[byte; 32]).unwrap()
    }

    fn path(data: &[&[u8]]) -> Built {
        let hops: Vec<_> = data
            .iter()
            .zip(0x41..)
            .map(|(data, key)| (keys::public(&secret(key)), data.to_vec()))
            .collect();
        build(&secret(1), &hops).unwrap()
    }

    #[test]
    fn each_hop_reads_its_own_data_and_the_next_key() {
        let built = path(&[&[2, 8, 0, 0, 0, 0, 0, 0, 0, 7], &[6, 1, 9]]);
        let mut path_key = built.path.first_path_key;
        for (at, hop) in built.path.hops.iter().enumerate() {
            let node = secret(0x41 + at as u8);
            assert_eq!(path_key, built.path_keys[at]);
            let read = unblind(&Rules::all(), &node, &path_key, &hop.encrypted_data).unwrap();
            assert_eq!(read.shared_secret, built.shared_secrets[at]);
            assert_eq!(
                keys::public(&read.blinded_secret).serialize(),
                hop.blinded_node_id
            );
            path_key = read.forward_path_key();
        }
        assert_eq!(build(&secret(1), &[]), Err(BuildError::NoHops));
    }

    #[test]
    fn an_override_replaces_the_next_key() {
        let other = keys::public(&secret(9)).serialize();
        let built = path(&[&[&[8, 33][..], &other].concat()]);
        let hop = &built.path.hops[0];
        let read = unblind(
            &Rules::all(),
            &secret(0x41),
            &built.path_keys[0],
            &hop.encrypted_data,
        )
        .unwrap();
        assert_ne!(read.next_path_key, other);
        assert_eq!(read.forward_path_key(), other);
    }

    fn rule(rules: &Rules, path_key: &Point, data: &[u8]) -> Option<&'static str> {
        match unblind(rules, &secret(0x41), path_key, data) {
            Ok(_) => None,
            Err(UnblindError::Rule(violation)) => Some(violation.rule),
            Err(UnblindError::Key(e)) => panic!("{e}"),
        }
    }

    #[test]
    fn each_rule_is_named_and_can_be_off() {
        let good = path(&[&[6, 1, 9]]);
        let key = good.path_keys[0];
        let mut forged = good.path.hops[0].encrypted_data.clone();
        *forged.last_mut().unwrap() ^= 1;
        let odd = path(&[&[16, 0]]).path.hops[0].encrypted_data.clone();
        let short = path(&[&[2, 0]]).path.hops[0].encrypted_data.clone();
        for (data, id) in [
            (&forged, rules::BLINDING_DECRYPT),
            (&vec![], rules::BLINDING_DECRYPT),
            (&odd, rules::BLINDING_UNKNOWN_EVEN),
            (&short, rules::TLV_VALUE_LENGTH),
        ] {
            assert_eq!(rule(&Rules::all(), &key, data), Some(id));
            assert_eq!(
                rule(&Rules::all().without(id).unwrap(), &key, data),
                None,
                "{id}"
            );
        }
        // Without its tag the data still reads.
        let off = Rules::all().without(rules::BLINDING_DECRYPT).unwrap();
        assert_eq!(
            unblind(&off, &secret(0x41), &key, &forged).unwrap().tlvs,
            [6, 1, 9]
        );
        // A sender that knows of the defect encrypts to the all-zero secret.
        let zero = encrypt(&rho(&[0; 32]), &[6, 0]);
        assert_eq!(
            rule(&Rules::all(), &[4; 33], &zero),
            Some(rules::TYPES_POINT)
        );
        let off = Rules::all().without(rules::TYPES_POINT).unwrap();
        assert_eq!(rule(&off, &[4; 33], &zero), None);
    }

    #[test]
    fn a_path_is_written_as_it_is_read() {
        let rules = Rules::all();
        let mut paths = vec![path(&[&[6, 1, 9], &[1, 0]]).path];
        paths.push(BlindedPath {
            first_node: FirstNode::Channel {
                end: 1,
                short_channel_id: 550,
            },
            ..paths[0].clone()
        });
        for path in paths {
            let bytes = path.encode().unwrap();
            let mut value = Reader::new(&rules, "offer_paths", &bytes);
            assert_eq!(BlindedPath::read(&rules, &mut value).unwrap(), path);
            assert!(value.is_empty());
            for cut in 0..bytes.len() {
                let mut value = Reader::new(&rules, "offer_paths", &bytes[..cut]);
                let refused = BlindedPath::read(&rules, &mut value).unwrap_err();
                assert_eq!(refused.rule, rules::TLV_VALUE_LENGTH, "cut at {cut}");
            }
        }
        let mut value = Reader::new(&rules, "offer_paths", &[5; 80]);
        let refused = BlindedPath::read(&rules, &mut value).unwrap_err();
        assert_eq!(refused.rule, rules::TYPES_SCIDDIR_OR_PUBKEY);
    }

    fn relay(delta: u16, proportional: u32, base: u32) -> Vec<u8> {
        let mut value = delta.to_be_bytes().to_vec();
        value.extend_from_slice(&proportional.to_be_bytes());
        value.extend_from_slice(&crate::value::truncated(u64::from(base)));
        value
    }

    fn constraints(height: u32, minimum: u64) -> Vec<u8> {
        let mut value = height.to_be_bytes().to_vec();
        value.extend_from_slice(&crate::value::truncated(minimum));
        value
    }

    fn route() -> Vec<Option<Vec<Record>>> {
        let node = keys::public(&secret(2)).serialize();
        vec![
            Some(vec![
                Record::new(4, node),
                Record::new(10, relay(40, 1000, 500)),
                Record::new(12, constraints(900 + 18 + 20 + 40, 7)),
            ]),
            Some(vec![
                Record::new(2, [0, 0, 0, 0, 0, 0, 0, 5]),
                Record::new(10, relay(20, 0, 1)),
                Record::new(12, constraints(900 + 18 + 20, 7)),
                Record::new(14, []),
            ]),
            Some(vec![Record::new(6, [1, 2, 3])]),
        ]
    }

    const CREATOR: Creator<'static> = Creator {
        max_cltv_expiry: Some(900),
        min_final_cltv_expiry_delta: 18,
        minimums: &[7, 3],
    };

    #[test]
    fn a_payment_route_adds_up_and_each_rule_is_named() {
        let (streams, payinfo) = payment_data(&Rules::all(), &route(), &CREATOR).unwrap();
        assert_eq!(streams[2], [6, 3, 1, 2, 3]);
        // The first hop takes its part of the second one's fee as well, rounded up.
        assert_eq!(
            payinfo,
            PayInfo {
                fee_base_msat: 502,
                fee_proportional_millionths: 1000,
                cltv_expiry_delta: 78
            }
        );
        type Change = fn(&mut Vec<Option<Vec<Record>>>);
        let cases: &[(Change, &str)] = &[
            (|r| r[1] = None, rules::ROUTE_DATA_EACH),
            (
                |r| drop(r[0].as_mut().unwrap().remove(1)),
                rules::ROUTE_RELAY,
            ),
            (
                |r| drop(r[0].as_mut().unwrap().remove(0)),
                rules::ROUTE_NEXT,
            ),
            (
                |r| r[0].as_mut().unwrap().insert(0, Record::new(2, [0; 8])),
                rules::ROUTE_NEXT,
            ),
            (
                |r| r[1].as_mut().unwrap()[2].value[3] ^= 1,
                rules::ROUTE_MAX_CLTV,
            ),
            (
                |r| r[0].as_mut().unwrap()[2].value[4] = 3,
                rules::ROUTE_HTLC_MINIMUM,
            ),
            (
                |r| r[1].as_mut().unwrap()[3].value = vec![2],
                rules::ROUTE_FEATURES_EMPTY,
            ),
        ];
        for (change, id) in cases {
            let mut hops = route();
            change(&mut hops);
            let refused = payment_data(&Rules::all(), &hops, &CREATOR).unwrap_err();
            assert_eq!(refused.rule, *id, "{}", refused.message);
        }
    }

    #[test]
    fn the_amount_to_pass_on_leaves_the_fee() {
        let relay = Relay {
            cltv_expiry_delta: 0,
            fee_proportional_millionths: 1000,
            fee_base_msat: 500,
        };
        assert_eq!(relay.forwarded(499), None);
        assert_eq!(relay.forwarded(500), Some(0));
        assert_eq!(relay.forwarded(150_150_500), Some(150_000_000));
        assert_eq!(relay.forwarded(u64::MAX), Some(18_428_315_757_951_599_516));
    }

    #[test]
    fn a_message_route_names_each_next_node_and_nothing_of_payments() {
        let next = Record::new(2, [0; 8]);
        let end = vec![Record::new(6, [1])];
        let ok = message_data(&Rules::all(), &[vec![next.clone()], end.clone()]).unwrap();
        assert_eq!(ok[1], [6, 1, 1]);
        let rule = |hops: &[Vec<Record>]| message_data(&Rules::all(), hops).unwrap_err().rule;
        assert_eq!(rule(&[vec![], end.clone()]), rules::MESSAGE_CREATOR_NEXT);
        let with_relay = vec![next, Record::new(10, relay(1, 1, 1))];
        assert_eq!(rule(&[with_relay, end]), rules::MESSAGE_CREATOR_NO_RELAY);
    }

    proptest! {
        #[test]
        fn what_is_passed_on_costs_no_more_than_what_came(amount in 0..=21_u64 * 100_000_000_000_000_000, proportional: u32, base: u32) {
            let relay = Relay { cltv_expiry_delta: 0, fee_proportional_millionths: proportional, fee_base_msat: base };
            if let Some(forwarded) = relay.forwarded(amount) {
                let fee = u128::from(base) + u128::from(forwarded) * u128::from(proportional) / 1_000_000;
                prop_assert!(u128::from(forwarded) + fee <= u128::from(amount) + 1 + u128::from(proportional) / 1_000_000);
            } else {
                prop_assert!(amount < u64::from(base));
            }
        }

        #[test]
        fn any_data_is_read_or_refused(data: Vec<u8>, key: [u8; 32], which in 0..rules::ALL.len()) {
            let off = Rules::all().without(rules::ALL[which].id).unwrap();
            let key: Point = [&[2][..], &key].concat().try_into().unwrap();
            for rules in [Rules::all(), off] {
                let _ = unblind(&rules, &secret(3), &key, &data);
                let _ = Data::read(&rules, &data);
                let _ = BlindedPath::read(&rules, &mut Reader::new(&rules, "path", &data));
            }
        }
    }
}
