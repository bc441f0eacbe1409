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
fn encrypt(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    // It fails above 256 GiB only, and no caller holds that much.
    ChaCha20Poly1305::new(&(*key).into())
        .encrypt(&Nonce::default(), plain)
        .unwrap_or_default()
}

fn decrypt(key: &[u8; 32], cipher: &[u8]) -> Option<Vec<u8>> {
    ChaCha20Poly1305::new(&(*key).into())
        .decrypt(&Nonce::default(), cipher)
        .ok()
}

/// What a hop reads from its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unblinded {
    /// The decrypted TLV stream.
    pub tlvs: Vec<u8>,
    /// Its records.
    pub records: Vec<Record>,
    /// The secret shared with the builder.
    pub shared_secret: [u8; 32],
    /// The secret key behind the blinded node id.
    pub blinded_secret: SecretKey,
    /// The path key that follows from this one.
    pub next_path_key: Point,
    /// The path key that the builder put in its place (type 8).
    pub next_path_key_override: Option<Point>,
}

impl Unblinded {
    /// The path key to send on: the builder's own choice if there is one.
    pub fn forward_path_key(&self) -> Point {
        // BOLT 4, route blinding, reader: an override takes the place of the derived key.
        self.next_path_key_override.unwrap_or(self.next_path_key)
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
    let point = PublicKey::from_slice(path_key).ok();
    rules.check(rules::TYPES_POINT, point.is_some(), || {
        "the path key is no point of the curve".into()
    })?;
    let shared_secret = point.map_or([0; 32], |point| keys::ecdh(&point, node_secret));
    let key = rho(&shared_secret);
    let plain = decrypt(&key, encrypted_data);
    rules.check(rules::BLINDING_DECRYPT, plain.is_some(), || {
        if encrypted_data.is_empty() {
            "there is no encrypted data".into()
        } else {
            "the encrypted data does not decrypt with this node's and this path's key".into()
        }
    })?;
    let tlvs = plain.unwrap_or_else(|| unauthenticated(&key, encrypted_data));
    let (records, next_path_key_override) = read_data(rules, &tlvs)?;
    let tweak = keys::derive("blinded_node_id", &shared_secret);
    let next_path_key = match point {
        Some(point) => {
            keys::multiply_point(&point, keys::sha256(&[path_key, &shared_secret]))?.serialize()
        }
        None => *path_key,
    };
    Ok(Unblinded {
        tlvs,
        records,
        shared_secret,
        blinded_secret: keys::multiply_secret(node_secret, tweak)?,
        next_path_key,
        next_path_key_override,
    })
}

/// What a reader sees that forgets the tag.
fn unauthenticated(key: &[u8; 32], cipher: &[u8]) -> Vec<u8> {
    let mut plain = cipher[..cipher.len().saturating_sub(16)].to_vec();
    let mut stream = ChaCha20::new(&(*key).into(), &Default::default());
    // Block 0 makes the key of the tag.
    if stream.try_seek(64_u32).is_ok() {
        // The stream is 256 GiB long; the data is not.
        let _ = stream.try_apply_keystream(&mut plain);
    }
    plain
}

/// BOLT 4, `encrypted_data_tlv`: framing, unknown even types, and the form of each known value.
fn read_data(rules: &Rules, stream: &[u8]) -> Result<(Vec<Record>, Option<Point>), Violation> {
    let records = tlv::frames(rules, stream)?;
    tlv::refuse_unknown_even(rules, rules::BLINDING_UNKNOWN_EVEN, &records, |kind| {
        matches!(kind, 2 | 4 | 6 | 8 | 10 | 12 | 14)
    })?;
    let mut next_path_key_override = None;
    for record in &records {
        let named = |name| Reader::new(rules, name, &record.value);
        let mut value;
        match record.kind {
            2 => {
                value = named("short_channel_id");
                value.u64()?;
            }
            4 => {
                value = named("next_node_id");
                value.point()?;
            }
            8 => {
                value = named("next_path_key_override");
                next_path_key_override = Some(value.point()?);
            }
            10 => {
                value = named("payment_relay");
                value.u16()?;
                value.u32()?;
                value.tu32()?;
            }
            12 => {
                value = named("payment_constraints");
                value.u32()?;
                value.tu64()?;
            }
            _ => continue,
        }
        value.end()?;
    }
    Ok((records, next_path_key_override))
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

    proptest! {
        #[test]
        fn any_data_is_read_or_refused(data: Vec<u8>, key: [u8; 32], which in 0..rules::ALL.len()) {
            let off = Rules::all().without(rules::ALL[which].id).unwrap();
            let key: Point = [&[2][..], &key].concat().try_into().unwrap();
            for rules in [Rules::all(), off] {
                let _ = unblind(&rules, &secret(3), &key, &data);
                let _ = read_data(&rules, &data);
                let _ = BlindedPath::read(&rules, &mut Reader::new(&rules, "path", &data));
            }
        }
    }
}
