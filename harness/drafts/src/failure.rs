//! Failures on their way back to the payer: BOLT 4, returning errors, with attribution data, and
//! the codes of pull request 836 and of the trampoline prototype.

use crate::bigsize;
use crate::keys;
use crate::onion::apply_stream;
use crate::rules::{self, Rules, Violation};
use crate::value::Reader;
use bitcoin::hashes::cmp::fixed_time_eq;

/// Flag: the sending peer's onion could not be parsed.
pub const BADONION: u16 = 0x8000;
/// Flag: trying again does not help.
pub const PERM: u16 = 0x4000;
/// Flag: the node failed, not a channel.
pub const NODE: u16 = 0x2000;
/// Flag: a parameter of the channel was violated.
pub const UPDATE: u16 = 0x1000;

/// Codes that readers answer with.
pub mod code {
    #![allow(missing_docs)]
    use super::{BADONION, NODE, PERM, UPDATE};
    pub const UNKNOWN_NEXT_PEER: u16 = PERM | 10;
    pub const FEE_INSUFFICIENT: u16 = UPDATE | 12;
    pub const INCORRECT_CLTV_EXPIRY: u16 = UPDATE | 13;
    pub const INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS: u16 = PERM | 15;
    pub const FINAL_INCORRECT_CLTV_EXPIRY: u16 = 18;
    pub const FINAL_INCORRECT_HTLC_AMOUNT: u16 = 19;
    pub const INVALID_ONION_PAYLOAD: u16 = PERM | 22;
    pub const MPP_TIMEOUT: u16 = 23;
    pub const INVALID_ONION_BLINDING: u16 = BADONION | PERM | 24;
    /// Pull request 836.
    pub const TEMPORARY_TRAMPOLINE_FAILURE: u16 = NODE | 25;
    /// Pull request 836.
    pub const TRAMPOLINE_FEE_OR_EXPIRY_INSUFFICIENT: u16 = NODE | 26;
    /// Pull request 836.
    pub const UNKNOWN_NEXT_TRAMPOLINE: u16 = PERM | 27;
}

/// What a field of a failure holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// Two bytes.
    U16(&'static str),
    /// Four bytes.
    U32(&'static str),
    /// Eight bytes.
    U64(&'static str),
    /// 32 bytes.
    Hash(&'static str),
    /// A BigSize.
    BigSize(&'static str),
    /// Two bytes of length, then as many.
    Sized(&'static str),
}

use Field::{BigSize, Hash, Sized, U16, U32, U64};

/// A failure that a document defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// With its flags.
    pub code: u16,
    /// The name in the document.
    pub name: &'static str,
    fields: &'static [Field],
}

const fn kind(code: u16, name: &'static str, fields: &'static [Field]) -> Kind {
    Kind { code, name, fields }
}

const ONION: &[Field] = &[Hash("sha256_of_onion")];
const CHANNEL_UPDATE: Field = Sized("channel_update");

/// Every failure of BOLT 4, of pull request 836, and of the trampoline prototype.
pub const KINDS: &[Kind] = &[
    kind(NODE | 2, "temporary_node_failure", &[]),
    kind(PERM | NODE | 2, "permanent_node_failure", &[]),
    kind(PERM | NODE | 3, "required_node_feature_missing", &[]),
    kind(BADONION | PERM | 4, "invalid_onion_version", ONION),
    kind(BADONION | PERM | 5, "invalid_onion_hmac", ONION),
    kind(BADONION | PERM | 6, "invalid_onion_key", ONION),
    kind(UPDATE | 7, "temporary_channel_failure", &[CHANNEL_UPDATE]),
    kind(PERM | 8, "permanent_channel_failure", &[]),
    kind(PERM | 9, "required_channel_feature_missing", &[]),
    kind(PERM | 10, "unknown_next_peer", &[]),
    kind(
        UPDATE | 11,
        "amount_below_minimum",
        &[U64("htlc_msat"), CHANNEL_UPDATE],
    ),
    kind(
        UPDATE | 12,
        "fee_insufficient",
        &[U64("htlc_msat"), CHANNEL_UPDATE],
    ),
    kind(
        UPDATE | 13,
        "incorrect_cltv_expiry",
        &[U32("cltv_expiry"), CHANNEL_UPDATE],
    ),
    kind(UPDATE | 14, "expiry_too_soon", &[CHANNEL_UPDATE]),
    kind(
        PERM | 15,
        "incorrect_or_unknown_payment_details",
        &[U64("htlc_msat"), U32("height")],
    ),
    kind(18, "final_incorrect_cltv_expiry", &[U32("cltv_expiry")]),
    kind(
        19,
        "final_incorrect_htlc_amount",
        &[U64("incoming_htlc_amt")],
    ),
    kind(
        UPDATE | 20,
        "channel_disabled",
        &[U16("disabled_flags"), CHANNEL_UPDATE],
    ),
    kind(21, "expiry_too_far", &[]),
    kind(
        PERM | 22,
        "invalid_onion_payload",
        &[BigSize("type"), U16("offset")],
    ),
    kind(23, "mpp_timeout", &[]),
    kind(BADONION | PERM | 24, "invalid_onion_blinding", ONION),
    kind(NODE | 25, "temporary_trampoline_failure", &[]),
    kind(
        NODE | 26,
        "trampoline_fee_or_expiry_insufficient",
        &[
            U32("fee_base_msat"),
            U32("fee_proportional_millionths"),
            U16("cltv_expiry_delta"),
        ],
    ),
    kind(PERM | 27, "unknown_next_trampoline", &[]),
    kind(NODE | 51, "trampoline_fee_insufficient", &[]),
    kind(NODE | 52, "trampoline_expiry_too_soon", &[]),
];

/// The failure of that code.
pub fn find(code: u16) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.code == code)
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of up to 32 bits.
    Number(u32),
    /// Of 64 bits, or a BigSize.
    Long(u64),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Kind {
    /// The fields of `data`, which is what stands behind the code.
    ///
    /// BOLT 4, receiving failure codes: extra bytes are ignored. Data that ends before its fields do
    /// has none: the code alone still says what happened.
    pub fn fields(&self, data: &[u8]) -> Option<Vec<(&'static str, Value)>> {
        let rules = Rules::all();
        let mut value = Reader::new(&rules, self.name, data);
        let mut found = Vec::with_capacity(self.fields.len());
        for field in self.fields {
            found.push(match *field {
                U16(name) => (name, Value::Number(value.u16().ok()?.into())),
                U32(name) => (name, Value::Number(value.u32().ok()?)),
                U64(name) => (name, Value::Long(value.u64().ok()?)),
                Hash(name) => (name, Value::Bytes(value.bytes(32).ok()?.to_vec())),
                Sized(name) => {
                    let length = value.u16().ok()?;
                    let bytes = value.bytes(length.into()).ok()?;
                    (name, Value::Bytes(bytes.to_vec()))
                }
                BigSize(name) => {
                    let mut rest = value;
                    let (number, after) = bigsize::decode(&rules, rest.remainder()).ok()?;
                    value = Reader::new(&rules, self.name, after);
                    (name, Value::Long(number))
                }
            });
        }
        Some(found)
    }
}

/// BOLT 4, key generation: the key of a failure's HMAC.
pub fn um(shared_secret: &[u8; 32]) -> [u8; 32] {
    keys::derive("um", shared_secret)
}

/// BOLT 4, key generation: the key of the stream that hides a failure.
pub fn ammag(shared_secret: &[u8; 32]) -> [u8; 32] {
    keys::derive("ammag", shared_secret)
}

/// BOLT 4, attribution data: the key of the stream that hides it.
pub fn ammagext(shared_secret: &[u8; 32]) -> [u8; 32] {
    keys::derive("ammagext", shared_secret)
}

/// Bytes that failure and padding have together, at least.
pub const PADDED: usize = 256;

/// Hops whose failures are tried, at most: BOLT 4 gives 27 as the longest route.
pub const MAX_HOPS: usize = 27;

/// What the failing hop makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// HMAC, failure and padding, before they are hidden.
    pub plain: Vec<u8>,
    /// The same, hidden: what the hop sends back.
    pub packet: Vec<u8>,
}

/// Why a failure was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// A rule refused it.
    #[error(transparent)]
    Rule(#[from] Violation),
    /// Its length has no encoding.
    #[error("a failure or padding of {0} bytes is longer than 65535")]
    Length(usize),
}

/// Makes the packet of the hop that fails. `failure` is code and data; failure and padding get
/// `padded` bytes together, or as many as the failure has.
///
/// # Errors
/// A [`Violation`] of `bolt04/error/pad-least`, or [`CreateError::Length`].
pub fn create(
    rules: &Rules,
    shared_secret: &[u8; 32],
    failure: &[u8],
    padded: usize,
) -> Result<Created, CreateError> {
    let length = |n: usize| u16::try_from(n).map_err(|_| CreateError::Length(n));
    let pad = padded.saturating_sub(failure.len());
    let whole = failure.len() + pad;
    rules.at_least(rules::ERROR_PAD_LEAST, whole as u64, PADDED as u64, || {
        format!("failure and padding have {whole} bytes, and need {PADDED}")
    })?;
    let mut body = length(failure.len())?.to_be_bytes().to_vec();
    body.extend_from_slice(failure);
    body.extend_from_slice(&length(pad)?.to_be_bytes());
    body.resize(body.len() + pad, 0);
    let plain = [&keys::hmac(&um(shared_secret), &[&body])[..], &body].concat();
    let packet = wrap(shared_secret, &plain);
    Ok(Created { plain, packet })
}

/// What every hop does with a packet on its way back. The same again takes it off.
pub fn wrap(shared_secret: &[u8; 32], packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    apply_stream(&ammag(shared_secret), &mut packet);
    packet
}

/// What the payer finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Who failed, counted from 0 along the secrets.
    pub hop: usize,
    /// Code and data, and what may stand behind them.
    pub failure: Vec<u8>,
}

impl Decoded {
    /// The code, flags included; of a failure of fewer than two bytes what is there of it.
    pub fn code(&self) -> u16 {
        let byte = |at| u16::from(self.failure.get(at).copied().unwrap_or_default());
        byte(0) << 8 | byte(1)
    }

    /// What stands behind the code.
    pub fn data(&self) -> &[u8] {
        self.failure.get(2..).unwrap_or_default()
    }
}

/// Takes layer after layer off a packet until the HMAC is that of the hop.
///
/// With the rule on the HMAC off, the packet is the last hop's; with the one on the form off, a
/// length that reaches beyond the packet ends there.
///
/// # Errors
/// A [`Violation`] of `bolt04/error/hmac` when it is nobody's, or of `bolt04/error/form`.
pub fn decode(
    rules: &Rules,
    shared_secrets: &[[u8; 32]],
    packet: &[u8],
) -> Result<Decoded, Violation> {
    let mut packet = packet.to_vec();
    let mut found = None;
    for (hop, shared_secret) in shared_secrets.iter().enumerate() {
        apply_stream(&ammag(shared_secret), &mut packet);
        let (hmac, body) = packet.split_at(packet.len().min(32));
        if fixed_time_eq_len(&keys::hmac(&um(shared_secret), &[body]), hmac) {
            found = Some((hop, body.to_vec()));
            break;
        }
    }
    rules.check(rules::ERROR_HMAC, found.is_some(), || {
        "the HMAC of the failure is that of no hop".into()
    })?;
    let (hop, body) = found.unwrap_or_else(|| {
        let body = packet.get(32..).unwrap_or_default().to_vec();
        (shared_secrets.len().saturating_sub(1), body)
    });
    let mut rest = body.as_slice();
    let mut sized = |what: &str| -> Result<Vec<u8>, Violation> {
        let length = match rest.split_first_chunk::<2>() {
            Some((length, after)) => {
                rest = after;
                usize::from(u16::from_be_bytes(*length))
            }
            None => {
                rules.check(rules::ERROR_FORM, false, || {
                    format!("the packet ends before the length of the {what}")
                })?;
                0
            }
        };
        let left = rest.len();
        rules.check(rules::ERROR_FORM, length <= left, || {
            format!("the {what} has length {length}, but {left} bytes are left")
        })?;
        let (taken, after) = rest.split_at(length.min(left));
        rest = after;
        Ok(taken.to_vec())
    };
    let failure = sized("failure")?;
    sized("padding")?;
    rules.check(rules::ERROR_FORM, failure.len() >= 2, || {
        "the failure has no code".into()
    })?;
    Ok(Decoded { hop, failure })
}

fn fixed_time_eq_len(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && fixed_time_eq(a, b)
}

/// Longest route that attribution data has room for.
pub const ATTRIBUTED_HOPS: usize = 20;

const TIME: usize = 4;
const SHORT_HMAC: usize = 4;
const TIMES: usize = ATTRIBUTED_HOPS * TIME;
const HMACS: usize = ATTRIBUTED_HOPS * (ATTRIBUTED_HOPS + 1) / 2;

/// Bytes of attribution data: a time for each hop, then 210 HMACs of 4 bytes.
pub const ATTRIBUTION: usize = TIMES + HMACS * SHORT_HMAC;

/// Attribution data, hidden or not.
pub type Attribution = [u8; ATTRIBUTION];

/// Where the HMAC lies that the node `from` added for the case that it is `hops` away from the end:
/// node 0 has one for each of the 20 places, node 1 for 19, the furthest place first.
fn place(from: usize, hops: usize) -> usize {
    let before: usize = (0..from).map(|node| ATTRIBUTED_HOPS - node).sum();
    TIMES + (before + ATTRIBUTED_HOPS - 1 - from - hops) * SHORT_HMAC
}

/// BOLT 4, attribution data: the HMAC of the node that has this data in front of it, for the case
/// that it is `hops` away from the end. It covers the packet, the times up to there and the HMACs
/// that the nodes behind it added for their own places in that case.
fn short_hmac(key: &[u8; 32], packet: &[u8], data: &Attribution, hops: usize) -> [u8; SHORT_HMAC] {
    let mut downstream = Vec::with_capacity(hops * SHORT_HMAC);
    for node in 1..=hops {
        let at = place(node, hops - node);
        downstream.extend_from_slice(&data[at..at + SHORT_HMAC]);
    }
    let full = keys::hmac(key, &[packet, &data[..(hops + 1) * TIME], &downstream]);
    [full[0], full[1], full[2], full[3]]
}

/// What a hop does with attribution data: it makes room, puts its own time and HMACs in front, and
/// hides all of it. `data` is what came from downstream; the failing hop, and one behind which
/// nobody reports, begin with zeros. `packet` is the failure before this hop hides it; for a
/// payment that succeeded it is empty.
pub fn attribute(
    shared_secret: &[u8; 32],
    packet: &[u8],
    data: Option<&Attribution>,
    hold_time: u32,
) -> Attribution {
    let mut own = [0; ATTRIBUTION];
    if let Some(data) = data {
        own[TIME..TIMES].copy_from_slice(&data[..TIMES - TIME]);
        // Each node moves one place away from us; the case that would make the route too long goes.
        for node in 1..ATTRIBUTED_HOPS {
            for hops in 0..ATTRIBUTED_HOPS - node {
                let (to, from) = (place(node, hops), place(node - 1, hops));
                own[to..to + SHORT_HMAC].copy_from_slice(&data[from..from + SHORT_HMAC]);
            }
        }
    }
    own[..TIME].copy_from_slice(&hold_time.to_be_bytes());
    let key = um(shared_secret);
    for hops in 0..ATTRIBUTED_HOPS {
        let hmac = short_hmac(&key, packet, &own, hops);
        let at = place(0, hops);
        own[at..at + SHORT_HMAC].copy_from_slice(&hmac);
    }
    apply_stream(&ammagext(shared_secret), &mut own);
    own
}

/// What attribution data says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributed {
    /// The time that each hop held the HTLC, in units of 100 ms, up to the failing one or the first
    /// whose HMAC is wrong.
    pub hold_times: Vec<u32>,
    /// The first hop whose HMAC is wrong.
    pub blame: Option<usize>,
}

/// Reads attribution data from the first hop on: `packet` is the failure as the payer received it,
/// empty for a payment that succeeded, and `end` the hop that failed, where known.
///
/// With the rule on HMACs off, every hop is believed.
pub fn attributed(
    rules: &Rules,
    shared_secrets: &[[u8; 32]],
    packet: &[u8],
    data: &Attribution,
    end: Option<usize>,
) -> Attributed {
    let mut packet = packet.to_vec();
    let mut peeled = Vec::with_capacity(shared_secrets.len());
    for shared_secret in shared_secrets.iter().take(ATTRIBUTED_HOPS) {
        apply_stream(&ammag(shared_secret), &mut packet);
        peeled.push(packet.clone());
    }
    let covered = |hop: usize| peeled.get(hop).cloned().unwrap_or_default();
    attributed_over(rules, shared_secrets, covered, data, end)
}

/// As [`attributed`]; `covered` says what the HMACs of each hop cover beside times and HMACs.
pub(crate) fn attributed_over(
    rules: &Rules,
    shared_secrets: &[[u8; 32]],
    covered: impl Fn(usize) -> Vec<u8>,
    data: &Attribution,
    end: Option<usize>,
) -> Attributed {
    let mut data = *data;
    let mut found = Attributed::default();
    let count = shared_secrets.len().min(ATTRIBUTED_HOPS);
    for (hop, shared_secret) in shared_secrets.iter().enumerate().take(count) {
        apply_stream(&ammagext(shared_secret), &mut data);
        let hops = count - 1 - hop;
        let at = place(0, hops);
        let right = short_hmac(&um(shared_secret), &covered(hop), &data, hops);
        let same = fixed_time_eq(&right, &data[at..at + SHORT_HMAC]);
        // Not an error to the payer: it knows now whom to blame.
        if rules
            .check(rules::ATTRIBUTION_HMAC, same, String::new)
            .is_err()
        {
            found.blame = Some(hop);
            break;
        }
        let [a, b, c, d, ..] = data;
        found.hold_times.push(u32::from_be_bytes([a, b, c, d]));
        if end == Some(hop) {
            break;
        }
        // The next hop's view: what this one moved back, moves forward again.
        let mut next = [0; ATTRIBUTION];
        next[..TIMES - TIME].copy_from_slice(&data[TIME..TIMES]);
        for node in 1..ATTRIBUTED_HOPS {
            for hops in 0..ATTRIBUTED_HOPS - node {
                let (from, to) = (place(node, hops), place(node - 1, hops));
                next[to..to + SHORT_HMAC].copy_from_slice(&data[from..from + SHORT_HMAC]);
            }
        }
        data = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRETS: [[u8; 32]; 4] = [[1; 32], [2; 32], [3; 32], [4; 32]];

    /// The failure of `hop`, as the payer gets it.
    fn sent(hop: usize, failure: &[u8]) -> Vec<u8> {
        let mut packet = create(&Rules::all(), &SECRETS[hop], failure, PADDED)
            .unwrap()
            .packet;
        for secret in SECRETS[..hop].iter().rev() {
            packet = wrap(secret, &packet);
        }
        packet
    }

    #[test]
    fn the_payer_finds_the_hop_and_its_failure() {
        for hop in 0..4 {
            let packet = sent(hop, &[0x40, 15, 7]);
            assert_eq!(packet.len(), 32 + 2 + 256 + 2);
            let decoded = decode(&Rules::all(), &SECRETS, &packet).unwrap();
            assert_eq!((decoded.hop, decoded.code()), (hop, PERM | 15));
            assert_eq!(decoded.data(), [7]);
        }
    }

    #[test]
    fn each_rule_is_named_and_can_be_off() {
        let mut forged = sent(2, &[0x40, 15]);
        forged[40] ^= 1;
        let refused = decode(&Rules::all(), &SECRETS, &forged).unwrap_err();
        assert_eq!(refused.rule, rules::ERROR_HMAC);
        let off = Rules::all().without(rules::ERROR_HMAC).unwrap();
        // What comes out is noise, so its lengths are most probably wrong.
        assert_ne!(decode(&off, &SECRETS, &forged).map(|d| d.hop), Ok(2));

        let body = [0, 9, 1, 2];
        let plain = [&keys::hmac(&um(&SECRETS[0]), &[&body])[..], &body].concat();
        let packet = wrap(&SECRETS[0], &plain);
        let refused = decode(&Rules::all(), &SECRETS, &packet).unwrap_err();
        assert_eq!(refused.rule, rules::ERROR_FORM);
        let off = Rules::all().without(rules::ERROR_FORM).unwrap();
        assert_eq!(decode(&off, &SECRETS, &packet).unwrap().failure, [1, 2]);

        let short = |rules: &Rules| create(rules, &SECRETS[0], &[0x20, 2], 255);
        assert!(matches!(
            short(&Rules::all()),
            Err(CreateError::Rule(v)) if v.rule == rules::ERROR_PAD_LEAST
        ));
        let off = Rules::all().without(rules::ERROR_PAD_LEAST).unwrap();
        assert_eq!(short(&off).unwrap().plain.len(), 32 + 2 + 255 + 2);
        assert!(matches!(
            create(&Rules::all(), &SECRETS[0], &[0; 65536], PADDED),
            Err(CreateError::Length(65536))
        ));
    }

    #[test]
    fn codes_are_unique_and_their_fields_are_read() {
        for (at, kind) in KINDS.iter().enumerate() {
            assert!(KINDS[..at].iter().all(|other| other.code != kind.code));
        }
        let details = find(0x400f).unwrap();
        let data = [0, 0, 0, 0, 0, 0, 0, 100, 0, 12, 53, 0, 99];
        assert_eq!(
            details.fields(&data),
            Some(vec![
                ("htlc_msat", Value::Long(100)),
                ("height", Value::Number(800_000))
            ])
        );
        assert_eq!(details.fields(&data[..11]), None);
        let payload = find(0x4016).unwrap();
        assert_eq!(
            payload.fields(&[0xfd, 1, 0, 0, 3]),
            Some(vec![
                ("type", Value::Long(256)),
                ("offset", Value::Number(3))
            ])
        );
        assert_eq!(
            find(0x1007).unwrap().fields(&[0, 2, 5, 6]).unwrap()[0].1,
            Value::Bytes(vec![5, 6])
        );
        assert_eq!(find(24), None);
    }

    /// Failure and attribution data of `hop`, as the payer gets them.
    fn attributed_failure(hop: usize) -> (Vec<u8>, Attribution) {
        let created = create(&Rules::all(), &SECRETS[hop], &[0x20, 2], PADDED).unwrap();
        let mut data = attribute(&SECRETS[hop], &created.plain, None, 10 + hop as u32);
        let mut packet = created.packet;
        for at in (0..hop).rev() {
            data = attribute(&SECRETS[at], &packet, Some(&data), 10 + at as u32);
            packet = wrap(&SECRETS[at], &packet);
        }
        (packet, data)
    }

    #[test]
    fn places_fill_the_data_without_a_gap() {
        let mut seen: Vec<usize> = (0..ATTRIBUTED_HOPS)
            .flat_map(|from| (0..ATTRIBUTED_HOPS - from).map(move |hops| place(from, hops)))
            .collect();
        seen.sort_unstable();
        let want: Vec<usize> = (0..HMACS).map(|at| TIMES + at * SHORT_HMAC).collect();
        assert_eq!(seen, want);
        assert_eq!(ATTRIBUTION, 920);
    }

    #[test]
    fn a_failure_of_the_last_hop_is_attributed_with_its_times() {
        let (packet, data) = attributed_failure(3);
        let found = attributed(&Rules::all(), &SECRETS, &packet, &data, None);
        assert_eq!(found.hold_times, [10, 11, 12, 13]);
        assert_eq!(found.blame, None);
        // Whoever alters it on the way is found: here hop 1, or its successor.
        let created = create(&Rules::all(), &SECRETS[3], &[0x20, 2], PADDED).unwrap();
        let mut data = attribute(&SECRETS[3], &created.plain, None, 3);
        let mut packet = created.packet;
        data = attribute(&SECRETS[2], &packet, Some(&data), 2);
        packet = wrap(&SECRETS[2], &packet);
        packet[50] ^= 1;
        for at in [1, 0] {
            data = attribute(&SECRETS[at], &packet, Some(&data), at as u32);
            packet = wrap(&SECRETS[at], &packet);
        }
        let found = attributed(&Rules::all(), &SECRETS, &packet, &data, None);
        assert_eq!(found.blame, Some(2));
        assert_eq!(found.hold_times, [0, 1]);
        let off = Rules::all().without(rules::ATTRIBUTION_HMAC).unwrap();
        assert_eq!(attributed(&off, &SECRETS, &packet, &data, None).blame, None);
    }

    proptest! {
        #[test]
        fn any_failure_comes_back(failure in prop::collection::vec(any::<u8>(), 2..400), hop in 0..4_usize) {
            let decoded = decode(&Rules::all(), &SECRETS, &sent(hop, &failure)).unwrap();
            prop_assert_eq!(decoded.hop, hop);
            prop_assert_eq!(decoded.failure, failure);
        }

        #[test]
        fn any_packet_is_read_or_refused(packet in prop::collection::vec(any::<u8>(), 0..80), which in 0..rules::ALL.len()) {
            let off = Rules::all().without(rules::ALL[which].id).unwrap();
            for rules in [Rules::all(), off] {
                let _ = decode(&rules, &SECRETS, &packet);
                let _ = decode(&rules, &[], &packet);
                let _ = attributed(&rules, &SECRETS, &packet, &[7; ATTRIBUTION], None);
            }
        }
    }
}
