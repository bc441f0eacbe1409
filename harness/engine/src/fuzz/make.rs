//! Valid messages with random optional fields.

use super::draw::Draw;
use lnconform_drafts::blinding::{BlindedHop, BlindedPath, FirstNode};
use lnconform_drafts::bolt12::invoice::Kind;
use lnconform_drafts::bolt12::{self, offer::BITCOIN};
use lnconform_drafts::keys::{self, Point, SecretKey};
use lnconform_drafts::payer_proof::{self, Payment};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use std::sync::LazyLock;

/// The keys in use are those that `resign: true` knows: one byte, 32 times over.
static KEYS: LazyLock<Vec<(SecretKey, Point)>> = LazyLock::new(|| {
    (1..=0x60)
        .filter_map(|byte| SecretKey::from_slice(&[byte; 32]).ok())
        .map(|secret| (secret, bolt12::key_of(&secret)))
        .collect()
});

/// Genesis block of regtest, as a chain hash.
const REGTEST: [u8; 32] = [
    0x06, 0x22, 0x6e, 0x46, 0x11, 0x1a, 0x0b, 0x59, 0xca, 0xaf, 0x12, 0x60, 0x43, 0xeb, 0x5b, 0xbf,
    0x28, 0xc3, 0x4f, 0x3a, 0x5e, 0x33, 0x2a, 0x1f, 0xc7, 0xb2, 0xb7, 0x3c, 0xf1, 0x88, 0x91, 0x0f,
];

/// The preimage of every invoice that is made here.
const PREIMAGE: [u8; 32] = [7; 32];

/// When every invoice is made: seconds since 1970.
pub(super) const CREATED_AT: u64 = 1_700_000_000;

const TEXTS: [&str; 6] = ["tea", "", "a", "caf\u{e9} \u{20bf}", "\u{0}", "line\nline"];

fn key(draw: &mut Draw) -> Point {
    draw.pick(&KEYS).1
}

fn secret_of(key: &Point) -> SecretKey {
    let found = KEYS.iter().find(|(_, point)| point == key);
    found.map_or(KEYS[0].0, |(secret, _)| *secret)
}

/// A number in as few bytes as it needs.
fn tu(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    bytes[zeros..].to_vec()
}

fn text(draw: &mut Draw) -> Vec<u8> {
    draw.pick(&TEXTS).as_bytes().to_vec()
}

fn chain(draw: &mut Draw) -> [u8; 32] {
    *draw.pick(&[BITCOIN, REGTEST])
}

/// An amount in msat that any of its sums stays below what there is.
fn amount(draw: &mut Draw) -> u64 {
    *draw.pick(&[1, 1000, 1001, 255, 256, 65_536, 4_294_967_296, 100_000_000])
}

/// Feature bits that are odd, so that nobody has to know them.
fn odd_features(draw: &mut Draw) -> Vec<u8> {
    draw.pick(&[
        vec![],
        vec![0x02],
        vec![0x08, 0x00],
        vec![0x00, 0x02],
        vec![0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
    ])
    .clone()
}

/// A path to `end`.
fn path_to(draw: &mut Draw, end: Point) -> BlindedPath {
    let first_node = match draw.below(5) {
        0 => {
            let mut short = [0; 8];
            short.copy_from_slice(&draw.bytes(8));
            FirstNode::Channel {
                end: u8::from(draw.one_in(2)),
                short_channel_id: u64::from_be_bytes(short),
            }
        }
        _ => FirstNode::NodeId(key(draw)),
    };
    let count = 1 + draw.below(3);
    let hops = (0..count).map(|at| BlindedHop {
        blinded_node_id: if at + 1 == count { end } else { key(draw) },
        encrypted_data: {
            let length = *draw.pick(&[0, 1, 20, 51]);
            draw.bytes(length)
        },
    });
    let hops = hops.collect();
    BlindedPath {
        first_node,
        first_path_key: key(draw),
        hops,
    }
}

/// Paths as the value of a field, each to a key of ours.
fn paths(draw: &mut Draw, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        let end = key(draw);
        let path = path_to(draw, end);
        bytes.extend(path.encode().unwrap_or_default());
    }
    bytes
}

fn payinfos(draw: &mut Draw, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        bytes.extend(draw.bytes(4));
        bytes.extend(draw.bytes(4));
        bytes.extend(draw.bytes(2));
        bytes.extend(tu(0).into_iter().chain([0; 7]).chain([draw.byte()]));
        bytes.extend([0, 0, 0, 1, 0, 0, 0, draw.byte()]);
        let features = odd_features(draw);
        bytes.extend([0, u8::try_from(features.len()).unwrap_or_default()]);
        bytes.extend(features);
    }
    bytes
}

fn fallbacks(draw: &mut Draw) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..draw.below(3) {
        let version = *draw.pick(&[0, 1, 16, 17, 255]);
        let length = *draw.pick(&[1, 2, 20, 32, 40, 41]);
        bytes.extend([version, 0, length]);
        bytes.extend(draw.bytes(usize::from(length)));
    }
    bytes
}

fn name(draw: &mut Draw) -> Vec<u8> {
    let part = |draw: &mut Draw| {
        let text = *draw.pick(&["a", "satoshi", "x-y_z.1", ""]);
        let mut bytes = vec![u8::try_from(text.len()).unwrap_or_default()];
        bytes.extend(text.as_bytes());
        bytes
    };
    let mut bytes = part(draw);
    bytes.extend(part(draw));
    bytes
}

/// A plausible value for the field of that type, in whichever message it is; some are at an edge.
pub(super) fn field(draw: &mut Draw, kind: u64) -> Option<Vec<u8>> {
    Some(match kind {
        0 | 4 => {
            let count = *draw.pick(&[0, 1, 8, 16, 32]);
            draw.bytes(count)
        }
        2 => (0..draw.below(4)).flat_map(|_| chain(draw)).collect(),
        80 => chain(draw).to_vec(),
        6 => draw
            .pick(&[
                b"USD".as_slice(),
                b"eur",
                b"XX",
                b"",
                b"USDT",
                b"U\xffD",
                b"US1",
            ])
            .to_vec(),
        8 | 14 | 20 | 82 | 86 | 164 | 170 => tu(draw.number()),
        166 => {
            let number = draw.number();
            tu(if draw.one_in(4) {
                number
            } else {
                number & 0xffff_ffff
            })
        }
        10 | 18 | 89 | 5 | 1005 => match draw.below(4) {
            0 => draw.bytes(3),
            _ => text(draw),
        },
        12 | 84 | 174 => match draw.below(3) {
            0 => odd_features(draw),
            1 => {
                let mut bytes = vec![0; 1 + draw.below(20)];
                bytes[0] = 1 << draw.below(8);
                bytes
            }
            _ => draw
                .pick(&[vec![1, 0, 0], vec![2, 0, 0], vec![3, 0, 0], vec![0, 0]])
                .clone(),
        },
        16 | 90 | 160 | 178 | 236 => match draw.below(6) {
            0 => Vec::new(),
            1 => {
                // A path without hops.
                let mut path = key(draw).to_vec();
                path.extend(key(draw));
                path.push(0);
                path
            }
            2 => {
                let mut bytes = paths(draw, 1);
                let at = draw.below(bytes.len());
                bytes[at] ^= 1 << draw.below(8);
                bytes
            }
            _ => {
                let count = 1 + draw.below(2);
                paths(draw, count)
            }
        },
        22 | 88 | 176 => {
            let mut point = key(draw).to_vec();
            match draw.below(6) {
                0 => point[0] ^= 1,
                1 => point[0] = 4,
                2 => point[1..].fill(0xff),
                _ => {}
            }
            point
        }
        91 => name(draw),
        162 => {
            let count = draw.below(3);
            payinfos(draw, count)
        }
        168 | 1001 => draw.bytes(32),
        172 => fallbacks(draw),
        240 | 241 => draw.bytes(64),
        1 | 3 => tu(draw.number()),
        1002 => {
            let count = draw.below(4);
            draw.bytes(count)
        }
        1003 | 1004 => {
            let count = 32 * draw.below(3);
            draw.bytes(count)
        }
        _ => return None,
    })
}

/// Records under construction.
#[derive(Default)]
struct Made(Vec<Record>);

impl Made {
    fn put(&mut self, kind: u64, value: impl Into<Vec<u8>>) {
        self.0.push(Record::new(kind, value));
    }

    fn value(&self, kind: u64) -> Option<&[u8]> {
        let found = self.0.iter().find(|r| r.kind == kind);
        found.map(|r| r.value.as_slice())
    }

    fn number(&self, kind: u64) -> Option<u64> {
        self.value(kind)
            .map(|v| v.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// An odd record that nobody knows, now and then.
    fn unknown(&mut self, draw: &mut Draw, kinds: &[u64]) {
        if draw.one_in(6) {
            let count = draw.below(4);
            let value = draw.bytes(count);
            let kind = *draw.pick(kinds);
            if self.value(kind).is_none() {
                self.put(kind, value);
            }
        }
    }

    fn sorted(mut self) -> Vec<Record> {
        self.0.sort_by_key(|r| r.kind);
        self.0
    }
}

/// Fields of an offer, and the keys that may sign an invoice for it.
fn put_offer(draw: &mut Draw, made: &mut Made) -> Vec<Point> {
    if draw.one_in(3) {
        let count = 1 + draw.below(2);
        let chains: Vec<u8> = (0..count).flat_map(|_| chain(draw)).collect();
        made.put(2, chains);
    }
    if draw.one_in(4) {
        let count = draw.below(40);
        let metadata = draw.bytes(count);
        made.put(4, metadata);
    }
    let priced = draw.one_in(2);
    if priced {
        if draw.one_in(10) {
            made.put(6, *draw.pick(&[b"USD", b"EUR"]));
        }
        made.put(8, tu(amount(draw)));
    }
    if priced || draw.one_in(2) {
        made.put(10, text(draw));
    }
    if draw.one_in(5) {
        made.put(12, odd_features(draw));
    }
    if draw.one_in(4) {
        made.put(14, tu(CREATED_AT + 1 + draw.below(1_000_000) as u64));
    }
    let mut signers = Vec::new();
    let by_path = draw.one_in(3);
    if by_path {
        let mut bytes = Vec::new();
        for _ in 0..1 + draw.below(2) {
            let end = key(draw);
            signers.push(end);
            bytes.extend(path_to(draw, end).encode().unwrap_or_default());
        }
        made.put(16, bytes);
    }
    if draw.one_in(4) {
        made.put(18, text(draw));
    }
    if draw.one_in(3) {
        made.put(20, tu(*draw.pick(&[0, 1, 5, 255, u64::MAX])));
    }
    if !by_path || draw.one_in(2) {
        let issuer = key(draw);
        signers = vec![issuer];
        made.put(22, issuer);
    }
    made.unknown(draw, &[1, 33, 79, 1_000_000_001, 1_999_999_999]);
    signers
}

/// Fields of a request for an offer that is there.
fn put_request(draw: &mut Draw, made: &mut Made) {
    let count = draw.below(33);
    let metadata = draw.bytes(count);
    made.put(0, metadata);
    if let Some(first) = made.value(2).and_then(|v| v.get(..32)) {
        let first = first.to_vec();
        if first != BITCOIN || draw.one_in(2) {
            made.put(80, first);
        }
    }
    let quantity = made.number(20).map(|max| match max {
        0 => *draw.pick(&[1, 2, 1000]),
        max => *draw.pick(&[1, max.min(3)]),
    });
    if let Some(quantity) = quantity {
        made.put(86, tu(quantity));
    }
    let least = made.number(8).map(|each| each * quantity.unwrap_or(1));
    match least {
        Some(least) if made.value(6).is_none() => {
            if draw.one_in(3) {
                made.put(82, tu(least + draw.below(2) as u64));
            }
        }
        // What a currency comes to is agreed on outside.
        _ => made.put(82, tu(amount(draw))),
    }
    if draw.one_in(5) {
        made.put(84, odd_features(draw));
    }
    put_payer(draw, made);
    if draw.one_in(6) {
        made.put(91, name(draw));
    }
    made.unknown(draw, &[93, 159, 2_000_000_001, 2_999_999_999]);
}

fn put_payer(draw: &mut Draw, made: &mut Made) {
    made.put(88, key(draw));
    if draw.one_in(3) {
        made.put(89, text(draw));
    }
}

fn put_refund(draw: &mut Draw, made: &mut Made) {
    let count = draw.below(33);
    let metadata = draw.bytes(count);
    made.put(0, metadata);
    made.put(10, text(draw));
    if draw.one_in(4) {
        made.put(14, tu(CREATED_AT + 1 + draw.below(1_000_000) as u64));
    }
    if draw.one_in(4) {
        made.put(18, text(draw));
    }
    if draw.one_in(4) {
        made.put(80, chain(draw));
    }
    made.put(82, tu(amount(draw)));
    if draw.one_in(5) {
        made.put(84, odd_features(draw));
    }
    if draw.one_in(6) {
        made.put(86, tu(*draw.pick(&[1, 2, 1000])));
    }
    put_payer(draw, made);
    if draw.one_in(3) {
        let count = 1 + draw.below(2);
        let paths = paths(draw, count);
        made.put(90, paths);
    }
    made.unknown(draw, &[93, 159, 1_000_000_001, 2_000_000_001]);
}

fn put_payment_paths(draw: &mut Draw, made: &mut Made) {
    let count = 1 + draw.below(2);
    let paths = paths(draw, count);
    made.put(160, paths);
    let infos = payinfos(draw, count);
    made.put(162, infos);
    made.put(164, tu(CREATED_AT));
    if draw.one_in(3) {
        made.put(166, tu(*draw.pick(&[0, 1, 7200, 4_294_967_295])));
    }
}

fn sign(message: &str, records: &[Record], key: &Point) -> Vec<Record> {
    bolt12::sign(message, records, &secret_of(key))
}

/// The records of an offer.
pub(super) fn offer(draw: &mut Draw) -> Vec<Record> {
    let mut made = Made::default();
    put_offer(draw, &mut made);
    made.sorted()
}

fn payer(made: &Made) -> Point {
    let mut point = [0; 33];
    if let Some(value) = made.value(88).filter(|v| v.len() == 33) {
        point.copy_from_slice(value);
    }
    point
}

/// A signed request for an offer.
pub(super) fn request(draw: &mut Draw) -> Vec<Record> {
    let mut made = Made::default();
    put_offer(draw, &mut made);
    put_request(draw, &mut made);
    let payer = payer(&made);
    sign("invoice_request", &made.sorted(), &payer)
}

/// A request without an offer, which has no signature.
pub(super) fn refund(draw: &mut Draw) -> Vec<Record> {
    let mut made = Made::default();
    put_refund(draw, &mut made);
    made.sorted()
}

/// A signed invoice for either.
pub(super) fn invoice(draw: &mut Draw) -> Vec<Record> {
    let mut made = Made::default();
    let signer = if draw.one_in(4) {
        put_refund(draw, &mut made);
        key(draw)
    } else {
        let signers = put_offer(draw, &mut made);
        put_request(draw, &mut made);
        *draw.pick(&signers)
    };
    put_payment_paths(draw, &mut made);
    made.put(168, keys::sha256(&[&PREIMAGE]));
    let asked = made.number(82);
    let priced = made.number(8).map(|n| n * made.number(86).unwrap_or(1));
    made.put(170, tu(asked.or(priced).unwrap_or(1000)));
    if draw.one_in(5) {
        let fallbacks = fallbacks(draw);
        made.put(172, fallbacks);
    }
    if draw.one_in(4) {
        let mpp = draw.pick(&[vec![1, 0, 0], vec![2, 0, 0], vec![]]).clone();
        made.put(174, mpp);
    }
    made.put(176, signer);
    made.unknown(draw, &[179, 239, 3_000_000_001, 3_999_999_999]);
    sign("invoice", &made.sorted(), &signer)
}

/// A signed static invoice in the numbers of `kind`.
pub(super) fn static_invoice(draw: &mut Draw, kind: Kind) -> Vec<Record> {
    let mut made = Made::default();
    let signers = put_offer(draw, &mut made);
    // Whoever asks for one comes by a path, and so does the message about the held HTLC.
    if made.value(16).is_none() {
        let paths = paths(draw, 1);
        made.put(16, paths);
    }
    let signer = *draw.pick(&signers);
    put_payment_paths(draw, &mut made);
    if draw.one_in(4) {
        made.put(174, odd_features(draw));
    }
    made.put(176, signer);
    if let Some(kind) = kind.message_paths() {
        let paths = paths(draw, 1);
        made.put(kind, paths);
    }
    sign(kind.message(), &made.sorted(), &signer)
}

/// An invoice error.
pub(super) fn invoice_error(draw: &mut Draw) -> Vec<Record> {
    let mut made = Made::default();
    if draw.one_in(2) {
        let kind = *draw.pick(&[8, 82, 86, 170]);
        made.put(1, tu(kind));
        if draw.one_in(2) {
            made.put(3, tu(draw.number()));
        }
    }
    made.put(5, text(draw));
    made.unknown(draw, &[7, 65_537]);
    made.sorted()
}

/// A payer proof of an invoice, with some of its fields.
pub(super) fn proof(draw: &mut Draw) -> Vec<Record> {
    let invoice = invoice(draw);
    let shown = 1 + draw.below(4);
    let include: Vec<u64> = invoice
        .iter()
        .map(|record| record.kind)
        .filter(|kind| *kind != 0 && !(240..=1000).contains(kind))
        .filter(|_| draw.below(4) < shown)
        .collect();
    let note = *draw.pick(&[None, None, Some("a note"), Some("")]);
    let stream = tlv::encode_unchecked(&invoice);
    let payment = Payment {
        invoice: &stream,
        preimage: &PREIMAGE,
        include: &include,
        note,
    };
    let payer = invoice.iter().find(|r| r.kind == 88);
    let payer = payer.and_then(|r| Point::try_from(r.value.as_slice()).ok());
    let secret = secret_of(&payer.unwrap_or(KEYS[0].1));
    // Whatever the writer would refuse is no proof to start from: the one with nothing shown is.
    payer_proof::create(&Rules::all(), &payment, &secret).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_drafts::bolt12::offer::Context;
    use lnconform_drafts::bolt12::{invoice, invoice_error, invoice_request, offer};

    /// What is made without a change is accepted, or the search begins behind a wall.
    #[test]
    fn what_is_made_is_valid() {
        let rules = Rules::all();
        let none = Context::default();
        let mut longest = 0;
        for number in 0..400 {
            let draw = &mut Draw::new(3, number);
            let offered = super::offer(draw);
            let stream = tlv::encode_unchecked(&offered);
            offer::read(&rules, &stream, none).unwrap();
            let stream = tlv::encode_unchecked(&request(draw));
            invoice_request::read(&rules, &stream, none).unwrap();
            let stream = tlv::encode_unchecked(&refund(draw));
            invoice_request::read_refund(&rules, &stream, none).unwrap();
            let stream = tlv::encode_unchecked(&super::invoice(draw));
            invoice::read(&rules, Kind::Invoice, &stream, none).unwrap();
            longest = longest.max(stream.len());
            for kind in [Kind::StaticLdk, Kind::StaticPr1149] {
                let stream = tlv::encode_unchecked(&static_invoice(draw, kind));
                invoice::read(&rules, kind, &stream, none).unwrap();
            }
            let stream = tlv::encode_unchecked(&super::invoice_error(draw));
            invoice_error::read(&rules, &stream).unwrap();
            let records = proof(draw);
            payer_proof::verify(&rules, &payer_proof::encode(&records)).unwrap();
        }
        assert!(longest > 600, "{longest}");
    }

    #[test]
    fn every_known_field_has_values() {
        let mut draw = Draw::new(1, 1);
        for kind in [0, 2, 8, 16, 22, 88, 91, 162, 172, 240, 1002] {
            let values: std::collections::BTreeSet<_> =
                (0..40).map(|_| field(&mut draw, kind)).collect();
            assert!(values.len() > 2, "{kind}");
        }
        assert_eq!(field(&mut draw, 77), None);
    }
}
