//! One outgoing HTLC: what it says and what its onion says, which need not agree.

use crate::blind::Tail;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::failure;
use lnconform_drafts::onion::{self, Hop, PAYMENT_SIZE};
use lnconform_drafts::payload::kind;
use lnconform_drafts::rules::{Rules, Violation};
use lnconform_drafts::tlv::{self, Record};
use serde::{Deserialize, Serialize};

/// Type of the record that holds a keysend preimage: bLIP 3.
pub const KEYSEND: u64 = 5_482_373_484;

/// A node on the way that passes the HTLC on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Who.
    pub node: PublicKey,
    /// The channel it is told to use.
    pub scid: u64,
    /// What it keeps, in msat.
    pub fee_msat: u64,
    /// Blocks between its incoming and its outgoing HTLC.
    pub delta: u32,
}

/// What is done to a payload's bytes, or to an onion's, that no list of records can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// The record of this type stands there twice.
    Twice(u64),
    /// The record of this type stands first, before those of lower types.
    First(u64),
    /// The record of this type is left out.
    Without(u64),
    /// The value of the record of this type has a zero byte in front, which a truncated integer may
    /// not have.
    LeadingZero(u64),
    /// The length of the record of this type takes three bytes where one is enough.
    LongLength(u64),
    /// The last record ends one byte before its length says.
    Cut,
    /// The version byte of the onion is 1.
    Version,
    /// The ephemeral key of the onion is no point.
    Key,
    /// The HMAC of the onion is wrong.
    Hmac,
    /// What stands in the onion for the length of the payload.
    Length(Length),
}

/// What stands in the onion for the length of the recipient's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// The right number, in three bytes where one is enough.
    Long,
    /// 0 or 1, which are reserved; a payload of so many bytes.
    Reserved(u8),
    /// Another number, in three bytes.
    Is(u16),
}

impl Length {
    /// As many bytes as the onion has, all of its payloads unwrapped: one more than are left behind the
    /// length.
    pub const BEYOND: Self = Self::Is(2 * PAYMENT - 2);
    /// Leaves 31 bytes for the HMAC of the next packet.
    pub const NO_HMAC: Self = Self::Is(2 * PAYMENT - 3 - 31);
    /// Leaves one byte too few for the next packet.
    pub const OVERRUN: Self = Self::Is(PAYMENT - 3 - 32 + 1);

    fn frame(self, payload: &[u8]) -> Vec<u8> {
        let long = |number: u16| {
            let [high, low] = number.to_be_bytes();
            [&[0xfd, high, low][..], payload].concat()
        };
        match self {
            Self::Long => long(u16::try_from(payload.len()).unwrap_or(u16::MAX)),
            Self::Reserved(length) => vec![length; usize::from(length) + 1],
            Self::Is(number) => long(number),
        }
    }
}

/// [`PAYMENT_SIZE`], in bytes.
const PAYMENT: u16 = 1300;

/// One HTLC to send.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Its hash.
    pub hash: [u8; 32],
    /// Amount of the last HTLC of the route, in msat.
    pub htlc_msat: u64,
    /// Blocks from the tip until the last HTLC of the route expires.
    pub delta: u32,
    /// Those who pass it on, the peer first.
    pub route: Vec<Forward>,
    /// The recipient.
    pub to: PublicKey,
    /// What the recipient's payload says of the amount, in msat.
    pub amount_msat: u64,
    /// How many blocks later than the HTLC the recipient's payload says it expires.
    pub cltv_above: u32,
    /// The rest of the recipient's payload.
    pub records: Vec<Record>,
    /// What is wrong with the bytes.
    pub twist: Option<Twist>,
    /// Key that the onion is made with.
    pub session: SecretKey,
    /// What lies inside a blinded path; then the recipient is the first node of it.
    pub tail: Option<Tail>,
}

/// An onion for a shot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// The packet.
    #[serde(with = "crate::node::hexed")]
    pub packet: Vec<u8>,
    /// The secrets shared with the hops, the peer first.
    #[serde(with = "crate::node::hexed::list")]
    pub secrets: Vec<[u8; 32]>,
    /// The recipient's payload, without its length.
    #[serde(with = "crate::node::hexed")]
    pub payload: Vec<u8>,
    /// The path key that goes into the message.
    pub path_key: Option<PublicKey>,
    /// Hops that get no path key in their message.
    #[serde(default)]
    pub open: usize,
}

impl Shot {
    /// The next node.
    pub fn peer(&self) -> PublicKey {
        self.route.first().map_or(self.to, |hop| hop.node)
    }

    /// Amount of the first HTLC, in msat.
    pub fn first_msat(&self) -> u64 {
        let fees = self.route.iter().map(|hop| hop.fee_msat);
        fees.fold(self.htlc_msat, u64::saturating_add)
    }

    /// Blocks from the tip until the first HTLC expires.
    pub fn first_delta(&self) -> u32 {
        let deltas = self.route.iter().map(|hop| hop.delta);
        deltas.fold(self.delta, u32::saturating_add)
    }

    /// The onion for a first HTLC that expires at `cltv_expiry`.
    ///
    /// # Errors
    /// [`onion::Error`]: the payloads do not fit.
    pub fn pack(&self, cltv_expiry: u32) -> Result<Packed, onion::Error> {
        let mut hops = Vec::with_capacity(self.route.len() + 1);
        let (mut amount, mut cltv) = (self.first_msat(), cltv_expiry);
        for hop in &self.route {
            amount = amount.saturating_sub(hop.fee_msat);
            cltv = cltv.saturating_sub(hop.delta);
            let payload = tlv::encode_unchecked(&[
                Record::new(kind::AMOUNT, truncated(amount)),
                Record::new(kind::CLTV, truncated(cltv.into())),
                Record::new(kind::SHORT_CHANNEL_ID, hop.scid.to_be_bytes()),
            ]);
            hops.push(Hop {
                pubkey: hop.node,
                framed: onion::frame(&payload),
            });
        }
        let payload = match &self.tail {
            Some(tail) => tail.push(&mut hops, cltv),
            None => {
                let payload = self.last(cltv);
                let framed = match self.twist {
                    Some(Twist::Length(length)) => length.frame(&payload),
                    _ => onion::frame(&payload),
                };
                hops.push(Hop {
                    pubkey: self.to,
                    framed,
                });
                payload
            }
        };
        let first_is_open = self.tail.as_ref().is_none_or(|t| t.message_key.is_none());
        let rules = Rules::all();
        let built = onion::build(&rules, &self.session, &self.hash, &hops, PAYMENT_SIZE)?;
        let mut packet = built.packet;
        match self.twist {
            Some(Twist::Version) => packet[0] = 1,
            Some(Twist::Key) => packet[1] = 5,
            Some(Twist::Hmac) => {
                if let Some(last) = packet.last_mut() {
                    *last ^= 1;
                }
            }
            _ => {}
        }
        Ok(Packed {
            packet,
            secrets: built.shared_secrets,
            payload,
            path_key: self.tail.as_ref().and_then(|tail| tail.message_key),
            open: self.route.len() + usize::from(first_is_open),
        })
    }

    /// The recipient's payload, for an HTLC that expires at `cltv`.
    fn last(&self, cltv: u32) -> Vec<u8> {
        let mut records = vec![
            Record::new(kind::AMOUNT, truncated(self.amount_msat)),
            Record::new(
                kind::CLTV,
                truncated(cltv.saturating_add(self.cltv_above).into()),
            ),
        ];
        records.extend(self.records.iter().cloned());
        records.sort_by_key(|record| record.kind);
        self.twisted(records)
    }

    fn twisted(&self, mut records: Vec<Record>) -> Vec<u8> {
        let place = |records: &[Record], kind| records.iter().position(|r| r.kind == kind);
        match self.twist {
            Some(Twist::Twice(kind)) => {
                if let Some(at) = place(&records, kind) {
                    records.insert(at, records[at].clone());
                }
            }
            Some(Twist::First(kind)) => {
                if let Some(at) = place(&records, kind) {
                    records[..=at].rotate_right(1);
                }
            }
            Some(Twist::Without(kind)) => records.retain(|r| r.kind != kind),
            Some(Twist::LeadingZero(kind)) => {
                if let Some(at) = place(&records, kind) {
                    records[at].value.insert(0, 0);
                }
            }
            Some(Twist::LongLength(kind)) => {
                let mut out = Vec::new();
                for record in &records {
                    if record.kind == kind {
                        let mut whole = record.encode();
                        let at = whole.len() - record.value.len() - 1;
                        let length = whole[at];
                        whole.splice(at..=at, [0xfd, 0, length]);
                        out.extend(whole);
                    } else {
                        record.write(&mut out);
                    }
                }
                return out;
            }
            Some(Twist::Cut) => {
                let mut bytes = tlv::encode_unchecked(&records);
                bytes.pop();
                return bytes;
            }
            Some(Twist::Version | Twist::Key | Twist::Hmac | Twist::Length(_)) | None => {}
        }
        tlv::encode_unchecked(&records)
    }
}

/// BOLT 1, fundamental types: an integer without leading zero bytes.
pub fn truncated(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros..].to_vec()
}

/// `payment_data`: secret, and total in msat.
pub fn payment_data(secret: &[u8; 32], total_msat: u64) -> Record {
    let value = [&secret[..], &truncated(total_msat)].concat();
    Record::new(kind::PAYMENT_DATA, value)
}

/// What a failure packet says to whoever shares the secrets.
///
/// # Errors
/// A [`Violation`] when it is nobody's, or ill-formed.
pub fn read_failure(secrets: &[[u8; 32]], packet: &[u8]) -> Result<failure::Decoded, Violation> {
    failure::decode(&Rules::all(), secrets, packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_drafts::keys;
    use lnconform_drafts::payload::{self, Context, Position};
    use lnconform_drafts::rules;

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_slice(&[n; 32]).unwrap()
    }

    fn shot() -> Shot {
        Shot {
            hash: [1; 32],
            htlc_msat: 100_000,
            delta: 42,
            route: Vec::new(),
            to: keys::public(&secret(9)),
            amount_msat: 100_000,
            cltv_above: 0,
            records: vec![Record::new(KEYSEND, [3; 32]), Record::new(65_537, [4])],
            twist: None,
            session: secret(5),
            tail: None,
        }
    }

    fn peel(packet: &[u8], key: u8) -> onion::Peeled {
        try_peel(packet, key).unwrap()
    }

    fn try_peel(packet: &[u8], key: u8) -> Result<onion::Peeled, onion::Error> {
        let context = onion::Context {
            associated_data: &[1; 32],
            size: Some(PAYMENT_SIZE),
            path_key: None,
        };
        onion::peel(&Rules::all(), &secret(key), packet, context)
    }

    fn rule(shot: &Shot) -> Option<&'static str> {
        let packed = shot.pack(600).unwrap();
        let peeled = peel(&packed.packet, 9);
        let context = Context {
            amount_msat: Some(shot.htlc_msat),
            cltv_expiry: Some(600),
            known: &[KEYSEND],
            ..Context::default()
        };
        let last = Position::find("final").unwrap();
        match payload::read(&Rules::all(), &peeled.payload, last, &context) {
            Ok(_) => None,
            Err(payload::Error::Refused(refusal)) => Some(refusal.violation.rule),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn an_honest_shot_is_read_as_it_was_meant() {
        let packed = shot().pack(600).unwrap();
        let peeled = peel(&packed.packet, 9);
        assert_eq!(peeled.payload, packed.payload);
        assert_eq!(packed.secrets, [peeled.shared_secret]);
        assert_eq!(rule(&shot()), None);
    }

    #[test]
    fn those_on_the_way_are_told_what_they_pass_on() {
        let shot = Shot {
            route: vec![Forward {
                node: keys::public(&secret(8)),
                scid: 7,
                fee_msat: 1_100,
                delta: 40,
            }],
            ..shot()
        };
        assert_eq!((shot.first_msat(), shot.first_delta()), (101_100, 82));
        let packed = shot.pack(640).unwrap();
        let first = peel(&packed.packet, 8);
        let context = Context {
            amount_msat: Some(101_100),
            cltv_expiry: Some(640),
            ..Context::default()
        };
        let middle = Position::find("intermediate").unwrap();
        let read = payload::read(&Rules::all(), &first.payload, middle, &context).unwrap();
        assert_eq!(read.amt_to_forward, Some(100_000));
        assert_eq!(read.outgoing_cltv_value, Some(600));
        assert_eq!(read.short_channel_id, Some(7));
        assert_eq!(peel(&first.next.unwrap(), 9).payload, packed.payload);
    }

    #[test]
    fn each_twist_of_a_payload_breaks_the_rule_that_it_is_for() {
        let twisted = |twist| {
            rule(&Shot {
                twist: Some(twist),
                ..shot()
            })
        };
        assert_eq!(twisted(Twist::Twice(KEYSEND)), Some(rules::TLV_ORDER));
        assert_eq!(twisted(Twist::First(KEYSEND)), Some(rules::TLV_ORDER));
        assert_eq!(twisted(Twist::Cut), Some(rules::TLV_LENGTH));
        assert_eq!(
            twisted(Twist::LeadingZero(kind::AMOUNT)),
            Some("bolt01/tlv/value-minimal")
        );
        assert_eq!(
            twisted(Twist::LongLength(KEYSEND)),
            Some("bolt01/tlv/minimal")
        );
        for kind in [kind::AMOUNT, kind::CLTV] {
            assert_eq!(
                twisted(Twist::Without(kind)),
                Some("bolt04/payload/reader/amount-cltv")
            );
        }
    }

    #[test]
    fn each_twist_of_an_onion_breaks_the_rule_that_it_is_for() {
        for (twist, id) in [
            (Twist::Version, rules::ONION_VERSION),
            (Twist::Key, rules::ONION_PUBLIC_KEY),
            (Twist::Hmac, rules::ONION_HMAC),
            (Twist::Length(Length::Long), rules::ONION_PAYLOAD_LENGTH),
            (
                Twist::Length(Length::Reserved(0)),
                rules::ONION_PAYLOAD_LENGTH_RESERVED,
            ),
            (
                Twist::Length(Length::Reserved(1)),
                rules::ONION_PAYLOAD_LENGTH_RESERVED,
            ),
            (
                Twist::Length(Length::BEYOND),
                rules::ONION_PAYLOAD_REMAINING,
            ),
            (
                Twist::Length(Length::NO_HMAC),
                rules::ONION_NEXT_HMAC_REMAINING,
            ),
            (Twist::Length(Length::OVERRUN), rules::ONION_OVERRUN),
        ] {
            let twist = Some(twist);
            let packed = Shot { twist, ..shot() }.pack(600).unwrap();
            match try_peel(&packed.packet, 9) {
                Err(onion::Error::Rule(violation)) => assert_eq!(violation.rule, id),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_lengths_are_the_first_that_are_too_long() {
        let peels = |number| {
            let twist = Some(Twist::Length(Length::Is(number)));
            let packed = Shot { twist, ..shot() }.pack(600).unwrap();
            match try_peel(&packed.packet, 9) {
                Ok(_) => None,
                Err(onion::Error::Rule(violation)) => Some(violation.rule),
                Err(other) => panic!("{other}"),
            }
        };
        let number = |length: Length| match length {
            Length::Is(number) => number,
            other => panic!("{other:?}"),
        };
        // One byte less, and the rule before it speaks, or none.
        assert_eq!(
            peels(number(Length::BEYOND) - 1),
            Some(rules::ONION_NEXT_HMAC_REMAINING)
        );
        assert_eq!(
            peels(number(Length::NO_HMAC) - 1),
            Some(rules::ONION_OVERRUN)
        );
        assert_eq!(peels(number(Length::OVERRUN) - 1), None);
        assert_eq!(usize::from(PAYMENT), PAYMENT_SIZE);
    }

    #[test]
    fn integers_lose_their_zeros() {
        assert_eq!(truncated(0), [0_u8; 0]);
        assert_eq!(truncated(256), [1, 0]);
        assert_eq!(truncated(u64::MAX), [255; 8]);
    }
}
