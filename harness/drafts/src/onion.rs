//! Sphinx onions of BOLT 4, of any size: building and peeling.
//!
//! A packet is one byte of version, 33 of ephemeral key, `size` of hop payloads and 32 of HMAC.
//! Payments use a size of 1300; onion messages and trampoline onions other ones.

use crate::bigsize;
use crate::keys::{self, KeyError, Point};
use crate::rules::{self, Rules, Violation};
use bitcoin::hashes::cmp::fixed_time_eq;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

/// Size of the hop payloads of a payment onion, in bytes.
pub const PAYMENT_SIZE: usize = 1300;

/// Highest size taken: a packet has to fit into one Lightning message (65535 bytes) at least.
pub const MAX_SIZE: usize = 65535 - OVERHEAD;

/// Bytes of a packet beside the hop payloads.
pub const OVERHEAD: usize = 1 + 33 + HMAC;

const HMAC: usize = 32;

/// One hop to build for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The node's key, or its blinded one.
    pub pubkey: PublicKey,
    /// What the hop shall read: its payload behind the payload's length as a BigSize. Nothing
    /// looks at it here, so that malformed ones can be built.
    pub framed: Vec<u8>,
}

/// `payload` behind its length as a BigSize.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut framed = bigsize::encode(payload.len() as u64);
    framed.extend_from_slice(payload);
    framed
}

/// A built onion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The packet for the first hop.
    pub packet: Vec<u8>,
    /// The secret shared with each hop.
    pub shared_secrets: Vec<[u8; 32]>,
    /// The ephemeral key that each hop receives.
    pub ephemeral_keys: Vec<Point>,
    /// What each hop multiplies its ephemeral key with for the next one.
    pub blinding_factors: Vec<[u8; 32]>,
    /// The packet that each hop receives; the first is [`Built::packet`].
    pub packets: Vec<Vec<u8>>,
}

/// BOLT 4, key generation: the key of the stream that a layer is encrypted with.
pub fn rho(shared_secret: &[u8; 32]) -> [u8; 32] {
    keys::derive("rho", shared_secret)
}

/// BOLT 4, key generation: the key of a layer's HMAC.
pub fn mu(shared_secret: &[u8; 32]) -> [u8; 32] {
    keys::derive("mu", shared_secret)
}

/// Bytes that payloads, each behind its length, take in an onion: what a size has to be at least.
pub fn needed(hops: &[Hop]) -> usize {
    hops.iter().map(|hop| hop.framed.len() + HMAC).sum()
}

/// Why an onion was not built or peeled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule refused it.
    #[error(transparent)]
    Rule(#[from] Violation),
    /// An onion is for somebody.
    #[error("an onion needs one hop at least")]
    NoHops,
    /// The size is out of range.
    #[error("an onion of {0} bytes fits into no message; {MAX_SIZE} is the most")]
    Size(usize),
    /// See [`KeyError`].
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// XORs the keystream that `key` makes, from its start, onto `bytes`.
pub(crate) fn apply_stream(key: &[u8; 32], bytes: &mut [u8]) {
    let mut stream = ChaCha20::new(&(*key).into(), &Default::default());
    // The keystream is 256 GiB long, so this cannot run out.
    let _ = stream.try_apply_keystream(bytes);
}

/// Builds an onion of `size` bytes of hop payloads.
///
/// BOLT 4, packet construction: from the last hop to the first, each layer shifts the payloads
/// right, puts its own in front and encrypts all of it; the filler makes the HMACs come out the
/// way that the hops will see them.
///
/// # Errors
/// A [`Violation`] of `bolt04/onion/fits` (never switched off: there is no room), or [`Error`].
pub fn build(
    rules: &Rules,
    session_key: &SecretKey,
    associated_data: &[u8],
    hops: &[Hop],
    size: usize,
) -> Result<Built, Error> {
    if hops.is_empty() {
        return Err(Error::NoHops);
    }
    if size > MAX_SIZE {
        return Err(Error::Size(size));
    }
    let needed = needed(hops);
    let misfit = || format!("the payloads need {needed} bytes, and the onion has {size}");
    rules.at_most(rules::ONION_FITS, needed as u64, size as u64, misfit)?;
    if needed > size {
        return Err(Violation {
            rule: rules::ONION_FITS,
            message: misfit(),
        }
        .into());
    }

    let mut shared_secrets = Vec::with_capacity(hops.len());
    let mut ephemeral_keys = Vec::with_capacity(hops.len());
    let mut blinding_factors = Vec::with_capacity(hops.len());
    let mut ephemeral = *session_key;
    for hop in hops {
        let shared_secret = keys::ecdh(&hop.pubkey, &ephemeral);
        let public = keys::public(&ephemeral).serialize();
        let factor = keys::sha256(&[&public, &shared_secret]);
        ephemeral = keys::multiply_secret(&ephemeral, factor)?;
        shared_secrets.push(shared_secret);
        ephemeral_keys.push(public);
        blinding_factors.push(factor);
    }

    let filler = filler(hops, &shared_secrets, size);
    let mut payloads = vec![0; size];
    apply_stream(
        &keys::derive("pad", &session_key.secret_bytes()),
        &mut payloads,
    );
    let mut hmac = [0; HMAC];
    let mut packets = Vec::with_capacity(hops.len());
    for (at, (hop, shared_secret)) in hops.iter().zip(&shared_secrets).enumerate().rev() {
        let shift = hop.framed.len() + HMAC;
        payloads.copy_within(..size - shift, shift);
        payloads[..hop.framed.len()].copy_from_slice(&hop.framed);
        payloads[hop.framed.len()..shift].copy_from_slice(&hmac);
        apply_stream(&rho(shared_secret), &mut payloads);
        if at == hops.len() - 1 {
            payloads[size - filler.len()..].copy_from_slice(&filler);
        }
        hmac = keys::hmac(&mu(shared_secret), &[&payloads, associated_data]);
        // Thanks to the filler this is what the hop will see, byte for byte.
        packets.push(pack(&ephemeral_keys[at], &payloads, &hmac));
    }
    packets.reverse();
    Ok(Built {
        packet: packets[0].clone(),
        shared_secrets,
        ephemeral_keys,
        blinding_factors,
        packets,
    })
}

/// BOLT 4, filler generation: what the hops before the last one will have appended, encrypted
/// as often as they do.
fn filler(hops: &[Hop], shared_secrets: &[[u8; 32]], size: usize) -> Vec<u8> {
    let mut filler = Vec::new();
    let before_last = hops
        .iter()
        .zip(shared_secrets)
        .take(hops.len().saturating_sub(1));
    for (hop, shared_secret) in before_last {
        let end_before = filler.len();
        filler.resize(end_before + hop.framed.len() + HMAC, 0);
        let mut stream = vec![0; size + filler.len() - end_before];
        apply_stream(&keys::derive("rho", shared_secret), &mut stream);
        // The filler's bytes are the last of what this hop decrypts.
        let tail = stream.len() - filler.len();
        for (byte, mask) in filler.iter_mut().zip(&stream[tail..]) {
            *byte ^= mask;
        }
    }
    filler
}

fn pack(key: &Point, payloads: &[u8], hmac: &[u8; HMAC]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(payloads.len() + OVERHEAD);
    packet.push(0);
    packet.extend_from_slice(key);
    packet.extend_from_slice(payloads);
    packet.extend_from_slice(hmac);
    packet
}

/// What a hop gets out of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeled {
    /// The payload, without its length.
    pub payload: Vec<u8>,
    /// The secret shared with the sender.
    pub shared_secret: [u8; 32],
    /// The packet for the next hop; `None` at the last one.
    pub next: Option<Vec<u8>>,
}

/// What a hop knows beside the packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// What the sender committed to: the payment hash, or nothing.
    pub associated_data: &'a [u8],
    /// The size that the hop payloads must have; `None` takes any.
    pub size: Option<usize>,
    /// The path key that came with the packet, inside a blinded path.
    pub path_key: Option<PublicKey>,
}

/// Takes one layer off.
///
/// With a rule off: missing bytes count as zero; a key that is no point gives the all-zero
/// shared secret; a payload that reaches beyond the end is what is there of it.
///
/// # Errors
/// A [`Violation`] of a `bolt04/onion/…` rule, or [`Error::Key`].
pub fn peel(
    rules: &Rules,
    node_secret: &SecretKey,
    packet: &[u8],
    context: Context<'_>,
) -> Result<Peeled, Error> {
    let total = packet.len();
    match context.size {
        Some(size) => rules.check(rules::ONION_LENGTH, total == size + OVERHEAD, || {
            format!("the packet has {total} bytes, not {}", size + OVERHEAD)
        })?,
        None => rules.at_least(rules::ONION_LENGTH, total as u64, OVERHEAD as u64, || {
            format!("the packet has {total} bytes, and needs {OVERHEAD} at least")
        })?,
    }
    let padded;
    let packet = if total < OVERHEAD {
        padded = [packet, &vec![0; OVERHEAD - total]].concat();
        &padded
    } else {
        packet
    };
    let version = packet[0];
    let mut key: Point = [0; 33];
    key.copy_from_slice(&packet[1..34]);
    let (payloads, hmac) = packet[34..].split_at(packet.len() - OVERHEAD);
    let size = payloads.len();

    rules.check(rules::ONION_VERSION, version == 0, || {
        format!("the version is {version}")
    })?;
    let point = PublicKey::from_slice(&key).ok();
    rules.check(rules::ONION_PUBLIC_KEY, point.is_some(), || {
        "the ephemeral key is no point of the curve".into()
    })?;
    let node_secret = match context.path_key {
        None => *node_secret,
        // BOLT 4, onion decryption: inside a blinded path the onion is for the tweaked key.
        Some(path_key) => {
            let blinding = keys::ecdh(&path_key, node_secret);
            keys::multiply_secret(node_secret, keys::derive("blinded_node_id", &blinding))?
        }
    };
    let shared_secret = point.map_or([0; 32], |point| keys::ecdh(&point, &node_secret));
    let computed = keys::hmac(&mu(&shared_secret), &[payloads, context.associated_data]);
    // BOLT 4, onion decryption: the comparison takes the same time wherever they differ.
    rules.check(rules::ONION_HMAC, fixed_time_eq(&computed, hmac), || {
        "the HMAC is not that of these payloads and associated data".into()
    })?;

    let mut unwrapped = vec![0; 2 * size];
    unwrapped[..size].copy_from_slice(payloads);
    apply_stream(&keys::derive("rho", &shared_secret), &mut unwrapped);
    let ids = bigsize::Ids {
        truncated: rules::ONION_PAYLOAD_LENGTH,
        minimal: rules::ONION_PAYLOAD_LENGTH,
    };
    let (length, rest) = bigsize::read(rules, ids, &unwrapped)?;
    rules.at_least(rules::ONION_PAYLOAD_LENGTH_RESERVED, length, 2, || {
        format!("payload length {length} is reserved")
    })?;
    let left = rest.len();
    rules.at_most(rules::ONION_PAYLOAD_REMAINING, length, left as u64, || {
        format!("the payload has length {length}, but {left} bytes are left")
    })?;
    let (payload, rest) = rest.split_at(usize::try_from(length).unwrap_or(left).min(left));
    let left = rest.len();
    rules.at_least(
        rules::ONION_NEXT_HMAC_REMAINING,
        left as u64,
        HMAC as u64,
        || format!("{left} bytes are left for the next HMAC"),
    )?;
    let (found, rest) = rest.split_at(left.min(HMAC));
    let mut next_hmac = [0; HMAC];
    next_hmac[..found.len()].copy_from_slice(found);
    let left = rest.len();
    rules.at_least(rules::ONION_OVERRUN, left as u64, size as u64, || {
        format!(
            "payload and HMAC reach {} bytes beyond the packet",
            size - left
        )
    })?;
    let payload = payload.to_vec();

    // BOLT 4, onion decryption: an HMAC of zeros marks the last hop.
    if fixed_time_eq(&next_hmac, &[0; HMAC]) {
        return Ok(Peeled {
            payload,
            shared_secret,
            next: None,
        });
    }
    let next_key = match point {
        Some(point) => {
            keys::multiply_point(&point, keys::sha256(&[&key, &shared_secret]))?.serialize()
        }
        None => key,
    };
    let mut next_payloads = rest[..left.min(size)].to_vec();
    next_payloads.resize(size, 0);
    let next = Some(pack(&next_key, &next_payloads, &next_hmac));
    Ok(Peeled {
        payload,
        shared_secret,
        next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(byte: u8) -> SecretKey {
        SecretKey::from_slice(&[byte; 32]).unwrap()
    }

    fn hops(framed: &[Vec<u8>]) -> Vec<Hop> {
        framed
            .iter()
            .zip(0x41..)
            .map(|(framed, key)| Hop {
                pubkey: keys::public(&secret(key)),
                framed: framed.clone(),
            })
            .collect()
    }

    fn one(framed: &[u8], size: usize) -> Vec<u8> {
        build(
            &Rules::all(),
            &secret(1),
            b"data",
            &hops(&[framed.to_vec()]),
            size,
        )
        .unwrap()
        .packet
    }

    const CONTEXT: Context<'_> = Context {
        associated_data: b"data",
        size: None,
        path_key: None,
    };

    fn rule(rules: &Rules, packet: &[u8]) -> Option<&'static str> {
        match peel(rules, &secret(0x41), packet, CONTEXT) {
            Ok(_) => None,
            Err(Error::Rule(violation)) => Some(violation.rule),
            Err(e) => panic!("{e}"),
        }
    }

    /// Makes the HMAC of a packet right again, as somebody who knows the secret can.
    fn resign(packet: &mut [u8], shared_secret: [u8; 32]) {
        let end = packet.len() - HMAC;
        let mu = keys::derive("mu", &shared_secret);
        let hmac = keys::hmac(&mu, &[&packet[34..end], b"data"]);
        packet[end..].copy_from_slice(&hmac);
    }

    #[test]
    fn each_rule_is_named_and_can_be_off() {
        let good = one(&frame(&[1, 2, 3]), 100);
        assert_eq!(rule(&Rules::all(), &good), None);
        let mut version = good.clone();
        version[0] = 1;
        let mut hmac = good.clone();
        hmac[40] ^= 1;
        // Whoever skips the check on the key shares the all-zero secret.
        let mut key = good.clone();
        key[1] = 4;
        let mut plain = vec![0; 100];
        plain[..4].copy_from_slice(&frame(&[1, 2, 3]));
        apply_stream(&keys::derive("rho", &[0; 32]), &mut plain);
        key[34..134].copy_from_slice(&plain);
        resign(&mut key, [0; 32]);
        for (packet, id) in [
            (version, rules::ONION_VERSION),
            (key, rules::ONION_PUBLIC_KEY),
            (hmac, rules::ONION_HMAC),
            (
                one(&[0xfd, 0, 3, 1, 2, 3], 100),
                rules::ONION_PAYLOAD_LENGTH,
            ),
            (one(&[0], 100), rules::ONION_PAYLOAD_LENGTH_RESERVED),
            (one(&[1, 7], 100), rules::ONION_PAYLOAD_LENGTH_RESERVED),
            (one(&[80, 7], 100), rules::ONION_OVERRUN),
        ] {
            assert_eq!(rule(&Rules::all(), &packet), Some(id));
            let off = Rules::all().without(id).unwrap();
            assert_eq!(rule(&off, &packet), None, "without {id}");
        }
        // These two reach beyond twice the size, so the overrun is there as well.
        let far = one(&[0xfd, 1, 0], 100);
        assert_eq!(
            rule(&Rules::all(), &far),
            Some(rules::ONION_PAYLOAD_REMAINING)
        );
        let far = one(&[180], 100);
        assert_eq!(
            rule(&Rules::all(), &far),
            Some(rules::ONION_NEXT_HMAC_REMAINING)
        );
    }

    #[test]
    fn lengths_are_checked_before_anything_is_read() {
        for length in [0, 1, 33, OVERHEAD - 1] {
            assert_eq!(
                rule(&Rules::all(), &vec![0; length]),
                Some(rules::ONION_LENGTH)
            );
        }
        // No payload at all: there is no length to read.
        let mut empty = one(&frame(&[1, 2]), 35)[..34].to_vec();
        empty.resize(OVERHEAD, 0);
        let off = Rules::all().without(rules::ONION_HMAC).unwrap();
        assert_eq!(rule(&off, &empty), Some(rules::ONION_PAYLOAD_LENGTH));
        let context = Context {
            size: Some(PAYMENT_SIZE),
            ..CONTEXT
        };
        let packet = one(&frame(&[1, 2]), 35);
        let refused = peel(&Rules::all(), &secret(0x41), &packet, context).unwrap_err();
        assert!(matches!(refused, Error::Rule(v) if v.rule == rules::ONION_LENGTH));
    }

    #[test]
    fn what_does_not_fit_is_not_built() {
        let hops = hops(&[frame(&[0; 10])]);
        let fits = |size| build(&Rules::all(), &secret(1), b"", &hops, size).is_ok();
        assert!(fits(43) && !fits(42));
        let off = Rules::all().without(rules::ONION_FITS).unwrap();
        assert!(build(&off, &secret(1), b"", &hops, 42).is_err());
        assert_eq!(build(&off, &secret(1), b"", &[], 42), Err(Error::NoHops));
        assert_eq!(
            build(&off, &secret(1), b"", &hops, MAX_SIZE + 1),
            Err(Error::Size(MAX_SIZE + 1))
        );
    }

    #[test]
    fn inside_a_blinded_path_the_tweaked_key_peels() {
        let path_key = keys::public(&secret(9));
        let blinding = keys::ecdh(&path_key, &secret(0x41));
        let tweak = keys::derive("blinded_node_id", &blinding);
        let pubkey = keys::multiply_point(&keys::public(&secret(0x41)), tweak).unwrap();
        let hop = Hop {
            pubkey,
            framed: frame(&[1, 2]),
        };
        let built = build(&Rules::all(), &secret(1), b"data", &[hop], 100).unwrap();
        let context = Context {
            path_key: Some(path_key),
            ..CONTEXT
        };
        let peeled = peel(&Rules::all(), &secret(0x41), &built.packet, context).unwrap();
        assert_eq!(peeled.payload, [1, 2]);
        assert_eq!(rule(&Rules::all(), &built.packet), Some(rules::ONION_HMAC));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn every_hop_reads_its_payload(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 2..300), 1..6),
            data: Vec<u8>,
            spare in 0_usize..200,
        ) {
            let framed: Vec<_> = payloads.iter().map(|p| frame(p)).collect();
            let size = framed.iter().map(|f| f.len() + HMAC).sum::<usize>() + spare;
            let built = build(&Rules::all(), &secret(1), &data, &hops(&framed), size).unwrap();
            let context = Context { associated_data: &data, size: Some(size), path_key: None };
            let mut packet = Some(built.packet);
            for (at, payload) in payloads.iter().enumerate() {
                let node = secret(0x41 + at as u8);
                let peeled = peel(&Rules::all(), &node, &packet.unwrap(), context).unwrap();
                prop_assert_eq!(&peeled.payload, payload);
                prop_assert_eq!(peeled.shared_secret, built.shared_secrets[at]);
                packet = peeled.next;
            }
            prop_assert_eq!(packet, None);
        }

        #[test]
        fn any_packet_is_peeled_or_refused(packet in prop::collection::vec(any::<u8>(), 0..200), which in 0..rules::ALL.len()) {
            let mut off = Rules::all().without(rules::ALL[which].id).unwrap();
            let _ = peel(&off, &secret(3), &packet, CONTEXT);
            // Deeper in: with the first four checks off, anything is decrypted.
            for id in [rules::ONION_LENGTH, rules::ONION_VERSION, rules::ONION_PUBLIC_KEY, rules::ONION_HMAC] {
                off = off.without(id).unwrap();
            }
            let _ = peel(&off, &secret(3), &packet, CONTEXT);
        }
    }
}
