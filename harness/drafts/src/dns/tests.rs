use super::chain::{self, Anchor, Key, Signature, kind};
use super::message::{self, Answer};
use super::proof::{self, Proven};
use super::*;
use crate::rules::{self, Rules, Violation};
use bitcoin::hashes::{Hash, sha256};
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};

const NOW: u64 = 1_767_225_600;

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

/// A resource record.
fn record(name: &Name, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = name.wire();
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 60]);
    bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// A zone that signs by Ed25519.
struct Zone {
    name: Name,
    pair: Ed25519KeyPair,
}

impl Zone {
    fn new(text: &str, seed: u8) -> Self {
        Self {
            name: name(text),
            pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(),
        }
    }

    fn key(&self) -> Key {
        let data = [&[1, 1, 3, 15], self.pair.public_key().as_ref()].concat();
        Key::read(&data).unwrap()
    }

    fn anchor(&self) -> Anchor {
        let key = self.key();
        let hashed = [self.name.wire(), key.data].concat();
        Anchor {
            key_tag: key.tag,
            algorithm: 15,
            digest_type: 2,
            digest: sha256::Hash::hash(&hashed).as_byte_array().to_vec(),
        }
    }

    /// One record with its signature, good from an hour ago for two hours.
    fn signed(&self, of: &Name, kind: u16, data: &[u8]) -> Vec<u8> {
        let labels = u8::try_from(of.labels()).unwrap();
        let now = u32::try_from(NOW).unwrap();
        let mut head = kind.to_be_bytes().to_vec();
        head.extend([15, labels, 0, 0, 0, 60]);
        head.extend((now + 3600).to_be_bytes());
        head.extend((now - 3600).to_be_bytes());
        head.extend(self.key().tag.to_be_bytes());
        head.extend(self.name.wire());
        let record_bytes = record(of, kind, data);
        let signature = self.pair.sign(&[head.as_slice(), &record_bytes].concat());
        let data = [head.as_slice(), signature.as_ref()].concat();
        assert!(Signature::read(&data).is_some());
        [record_bytes, record(of, kind::RRSIG, &data)].concat()
    }

    fn keys(&self) -> Vec<u8> {
        self.signed(&self.name, kind::DNSKEY, &self.key().data)
    }

    fn delegates(&self, child: &Zone) -> Vec<u8> {
        let ds = child.anchor();
        let data = [&ds.key_tag.to_be_bytes()[..], &[15, 2], &ds.digest].concat();
        self.signed(&child.name, kind::DS, &data)
    }
}

fn root() -> Zone {
    Zone::new(".", 1)
}

fn example() -> Zone {
    Zone::new("example.", 2)
}

const ALICE: &str = "alice.user._bitcoin-payment.example.";

/// A proof whose last part is `last`.
fn ending(last: &[u8]) -> Vec<u8> {
    let (root, example) = (root(), example());
    [
        root.keys(),
        root.delegates(&example),
        example.keys(),
        last.to_vec(),
    ]
    .concat()
}

fn text_record() -> Vec<u8> {
    example().signed(&name(ALICE), kind::TXT, b"\x07bitcoin\x01:")
}

fn verify(rules: &Rules, proof: &[u8], now: Option<u64>) -> Result<Proven, Violation> {
    proof::verify(rules, &name(ALICE), proof, &[root().anchor()], now)
}

/// With every rule in force `id` refuses; with it off, nothing does.
fn isolates(id: &str, proof: &[u8], now: u64) {
    let named = verify(&Rules::all(), proof, Some(now))
        .err()
        .map(|v| v.rule);
    assert_eq!(named, Some(id));
    let off = Rules::all().without(id).unwrap();
    assert!(verify(&off, proof, Some(now)).is_ok(), "{id}");
}

#[test]
fn a_chain_proves_a_text_and_says_how_long() {
    let proven = verify(&Rules::all(), &ending(&text_record()), Some(NOW)).unwrap();
    let expected = Proven {
        texts: vec![b"bitcoin:".to_vec()],
        name: name(ALICE),
        from: NOW - 3600,
        until: NOW + 3600,
    };
    assert_eq!(proven, expected);
    let ever = verify(&Rules::all(), &ending(&text_record()), None).unwrap();
    assert_eq!(ever.until - ever.from, 7200);
    // The same chain from the root's real keys.
    let real = proof::root_anchors();
    let refused = proof::verify(
        &Rules::all(),
        &name(ALICE),
        &ending(&text_record()),
        &real,
        None,
    );
    assert_eq!(refused.unwrap_err().rule, rules::DNS_PROOF_SIGNATURES);
}

#[test]
fn each_rule_about_a_proof_is_named_and_can_be_off() {
    let good = ending(&text_record());
    isolates(rules::DNS_PROOF_TIMES, &good, NOW + 3601);
    isolates(rules::DNS_PROOF_TIMES, &good, NOW - 3601);
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    isolates(rules::DNS_PROOF_SIGNATURES, &flipped, NOW);
    isolates(rules::DNS_PROOF_SIGNATURES, &good[..good.len() - 1], NOW);
    isolates(rules::DNS_PROOF_SIGNATURES, &[], NOW);
    // A wildcard: the signature is over `*.example.`.
    let wild = example().signed(&name("*.example."), kind::TXT, b"\x01w");
    let at = name("*.example.").wire().len();
    let moved: Vec<u8> = [name(ALICE).wire(), wild[at..].to_vec()].concat();
    isolates(rules::DNS_PROOF_SIGNATURES, &ending(&moved), NOW);
}

/// A proof is bounded work, whatever is in it.
#[test]
fn a_proof_of_many_signatures_ends() {
    let one = text_record();
    let at = record(&name(ALICE), kind::TXT, b"\x07bitcoin\x01:").len();
    let mut signature = one[at..].to_vec();
    *signature.last_mut().unwrap() ^= 1;
    let proof = ending(&[&one[..at], &signature.repeat(400)].concat());
    let refused = verify(&Rules::all(), &proof, Some(NOW)).unwrap_err();
    assert_eq!(refused.rule, rules::DNS_PROOF_SIGNATURES);
}

#[test]
fn names_are_read_as_the_dns_has_them() {
    assert_eq!(name("."), Name::root());
    assert_eq!(name("Example"), name("example."));
    assert_eq!((name("*.a.b.").labels(), name("a.b.").labels()), (2, 2));
    assert!(name("a.b.").is_in(&name("b.")) && name("b.").is_in(&Name::root()));
    assert!(!name("ab.").is_in(&name("b.")));
    assert_eq!(
        name("x.a.").moved(&name("a."), &name("b.c.")),
        Some(name("x.b.c."))
    );
    assert_eq!(name("a.").moved(&name("a."), &name("b.")), None);
    assert_eq!(name("a.").to_string(), "a.");
    assert_eq!(Name::root().to_string(), ".");
    let long = [
        "a".repeat(63),
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(61),
    ]
    .join(".");
    assert_eq!(name(&long).wire().len(), 255);
    for wrong in ["a..b.", ".a.", &"a".repeat(64), &format!("{long}d")] {
        assert_eq!(Name::parse(wrong.as_bytes()), None, "{wrong}");
    }
    // A pointer, a label that is cut, no end.
    for wrong in [&[0xc0, 0x0c][..], &[3, b'a'], &[1, b'a']] {
        assert_eq!(Name::read(wrong), None);
    }
}

#[test]
fn messages_keep_their_rules() {
    let rule = |result: Result<_, Violation>| result.err().map(|v: Violation| v.rule);
    let query = |name: &[u8]| rule(message::query(&Rules::all(), name, Some(&[1])).map(|_| ()));
    assert_eq!(query(b" ~."), None);
    assert_eq!(query(b"a"), Some(rules::DNS_QUERY_NAME));
    assert_eq!(query(b"\x7f."), Some(rules::DNS_QUERY_NAME));
    let off = Rules::all().without(rules::DNS_QUERY_REPLY_PATH).unwrap();
    assert_eq!(message::query(&off, b"a.", None).unwrap().len(), 1);
    let off = Rules::all().without(rules::TLV_VALUE_LENGTH).unwrap();
    assert_eq!(message::read_query(&off, &[2, b'a']).unwrap(), b"");
    assert_eq!(message::read_query(&off, &[1, b'a', b'b']).unwrap(), b"a");
    assert_eq!(message::read_answer(&off, &[]).unwrap().proof, b"");
}

proptest! {
    #[test]
    fn names_survive(labels in proptest::collection::vec("[a-z0-9_-]{1,12}", 0..6)) {
        let text: String = labels.iter().map(|label| format!("{label}.")).collect();
        let name = name(&text);
        let wire = name.wire();
        prop_assert_eq!(Name::read(&wire), Some((name, &[][..])));
    }

    #[test]
    fn answers_survive(asked in "([ -\\-/-~]{1,60}\\.){1,4}", count in 1_usize..5) {
        let proof = text_record().repeat(count);
        let query = message::query(&Rules::all(), asked.as_bytes(), Some(&[])).unwrap();
        let record = message::answer(&Rules::all(), &query[1].value, Some(&[]), &proof);
        let value = record.unwrap().unwrap().value;
        let read = message::read_answer(&Rules::all(), &value).unwrap();
        prop_assert_eq!(read, Answer { domain_name: asked.into_bytes(), proof });
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = chain::read(&bytes);
        let _ = Signature::read(&bytes);
        let _ = Key::read(&bytes);
        let _ = Anchor::read(&bytes);
        let _ = chain::text(&bytes);
        prop_assert!(verify(&Rules::all(), &bytes, Some(NOW)).is_err());
    }

    /// Whatever byte of a signed text is changed, the text that comes out is the one that was signed.
    #[test]
    fn a_changed_proof_proves_nothing_else(at in any::<proptest::sample::Index>(), bit in 0_u8..8) {
        let mut proof = ending(&text_record());
        let at = at.index(proof.len());
        proof[at] ^= 1 << bit;
        if let Ok(proven) = verify(&Rules::all(), &proof, Some(NOW)) {
            prop_assert_eq!(proven.texts, [b"bitcoin:".to_vec()]);
        }
    }
}
