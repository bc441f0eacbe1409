//! Whether a proof proves the TXT records of a name.

use super::chain::{self, Anchor, Key, Resource, Signature, kind};
use super::{Name, signature};
use crate::rules::{self, Rules, Violation};
use std::collections::BTreeMap;

/// Fewest bits of an RSA key that may be relied on.
const LEAST_RSA_BITS: u64 = 1024;
/// Most names that one leads to another.
const MOST_ALIASES: usize = 8;
/// Most signatures that are tried in one proof. A chain of eight zones has some thirty.
const MOST_ATTEMPTS: usize = 512;

/// What a proof proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The TXT records, strings joined, in the order of their bytes.
    pub texts: Vec<Vec<u8>>,
    /// The name that they are of, after aliases.
    pub name: Name,
    /// From when on all signatures hold, in seconds since 1970.
    pub from: u64,
    /// Until when they do.
    pub until: u64,
}

/// All records of one name and type.
struct Set {
    name: Name,
    kind: u16,
    /// In the order of their bytes, each once (RFC 4034, 6.3).
    data: Vec<Vec<u8>>,
    /// When it is signed in an unbroken chain: from when on and until when.
    signed: Option<(u64, u64)>,
    /// Why a signature of it was not taken.
    refused: Option<Violation>,
}

struct Chain<'a> {
    rules: &'a Rules,
    now: u64,
    checks_time: bool,
    sets: Vec<Set>,
    signatures: Vec<(Name, Signature)>,
    /// Keys of zones that an anchor or a parent names.
    zones: BTreeMap<Name, Vec<Key>>,
    attempts: usize,
}

/// The keys of the root that the root's operator publishes (IANA, root anchors: 20326 of 2017 and
/// 38696 of 2024).
pub fn root_anchors() -> Vec<Anchor> {
    let anchor = |key_tag, digest: [u8; 32]| Anchor {
        key_tag,
        algorithm: 8,
        digest_type: 2,
        digest: digest.to_vec(),
    };
    vec![
        anchor(
            20326,
            [
                0xe0, 0x6d, 0x44, 0xb8, 0x0b, 0x8f, 0x1d, 0x39, 0xa9, 0x5c, 0x0b, 0x0d, 0x7c, 0x65,
                0xd0, 0x84, 0x58, 0xe8, 0x80, 0x40, 0x9b, 0xbc, 0x68, 0x34, 0x57, 0x10, 0x42, 0x37,
                0xc7, 0xf8, 0xec, 0x8d,
            ],
        ),
        anchor(
            38696,
            [
                0x68, 0x3d, 0x2d, 0x0a, 0xcb, 0x8c, 0x9b, 0x71, 0x2a, 0x19, 0x48, 0xb2, 0x7f, 0x74,
                0x12, 0x19, 0x29, 0x8d, 0x0a, 0x45, 0x0d, 0x61, 0x2c, 0x48, 0x3a, 0xf4, 0x44, 0xa4,
                0xc0, 0xfb, 0x2b, 0x16,
            ],
        ),
    ]
}

/// Checks `proof` down from `anchors` and answers the TXT records of `name`. Without `now` (seconds
/// since 1970) times are not looked at.
///
/// Records that a wildcard stands for are refused: their proof holds records about what is not
/// there, which this does not read.
///
/// # Errors
/// bLIP 32, recipient of a proof: a record is not signed in an unbroken chain, a signature is made
/// with SHA-1 or a short RSA key, or does not hold now; there is no TXT record of the name.
pub fn verify(
    rules: &Rules,
    name: &Name,
    proof: &[u8],
    anchors: &[Anchor],
    now: Option<u64>,
) -> Result<Proven, Violation> {
    let records = chain::read(proof).or_else(|why| {
        refuse(rules, || format!("the proof cannot be read: {why}"))?;
        Ok(Vec::new())
    })?;
    let mut chain = Chain::new(rules, records, now)?;
    chain.follow(anchors);
    chain.all_signed()?;
    chain.texts(name)
}

/// The rule that every record is signed.
fn refuse(rules: &Rules, why: impl FnOnce() -> String) -> Result<(), Violation> {
    rules.check(rules::DNS_PROOF_SIGNATURES, false, why)
}

/// A time of 32 bits, which counts modulo 2^32, as the one nearest to `now` (RFC 4034, 3.1.5).
fn near(now: u64, time: u32) -> u64 {
    // The low half of the time is what is compared.
    #[allow(clippy::cast_possible_truncation)]
    let ahead = time.wrapping_sub(now as u32).cast_signed();
    now.saturating_add_signed(i64::from(ahead))
}

impl<'a> Chain<'a> {
    fn new(rules: &'a Rules, records: Vec<Resource>, now: Option<u64>) -> Result<Self, Violation> {
        let mut sets: Vec<Set> = Vec::new();
        let mut signatures = Vec::new();
        for record in records {
            if record.kind == kind::RRSIG {
                match Signature::read(&record.data) {
                    Some(signature) => signatures.push((record.name, signature)),
                    None => refuse(rules, || {
                        format!("a signature of {} does not have its form", record.name)
                    })?,
                }
                continue;
            }
            let of = |set: &&mut Set| set.name == record.name && set.kind == record.kind;
            match sets.iter_mut().find(of) {
                Some(set) => set.data.push(record.data),
                None => sets.push(Set {
                    name: record.name,
                    kind: record.kind,
                    data: vec![record.data],
                    signed: None,
                    refused: None,
                }),
            }
        }
        for set in &mut sets {
            set.data.sort();
            set.data.dedup();
        }
        Ok(Self {
            rules,
            // Without a time, any near to the signatures will do.
            now: now.unwrap_or_else(|| {
                let first = signatures.first();
                first.map_or(0, |(_, s)| u64::from(s.inception))
            }),
            checks_time: now.is_some(),
            sets,
            signatures,
            zones: BTreeMap::new(),
            attempts: 0,
        })
    }

    /// Signs off sets until none is left that a trusted key signed.
    fn follow(&mut self, anchors: &[Anchor]) {
        loop {
            let open = |set: &Set| set.signed.is_none();
            let before = self.sets.iter().filter(|set| open(set)).count();
            for at in 0..self.sets.len() {
                if !open(&self.sets[at]) {
                    continue;
                }
                if self.sets[at].kind == kind::DNSKEY {
                    self.sign_off_keys(at, anchors);
                } else {
                    self.sign_off(at);
                }
            }
            if self.sets.iter().filter(|set| open(set)).count() == before {
                return;
            }
        }
    }

    /// A zone's keys are trusted if one of them that the parent, or an anchor, names signed them.
    fn sign_off_keys(&mut self, at: usize, anchors: &[Anchor]) {
        let zone = self.sets[at].name.clone();
        let keys: Vec<Key> = self.sets[at]
            .data
            .iter()
            .filter_map(|d| Key::read(d))
            .collect();
        let parents: Vec<Anchor> = if zone == Name::root() {
            anchors.to_vec()
        } else {
            let is_ds = |set: &&Set| set.name == zone && set.kind == kind::DS;
            let ds = self
                .sets
                .iter()
                .filter(is_ds)
                .filter(|set| set.signed.is_some());
            ds.flat_map(|set| &set.data)
                .filter_map(|d| Anchor::read(d))
                .collect()
        };
        let named: Vec<Key> = keys
            .iter()
            .filter(|key| key.is_zone_key)
            .filter(|key| parents.iter().any(|ds| signature::names(ds, &zone, key)))
            .cloned()
            .collect();
        if self.try_signatures(at, |signer| (*signer == zone).then(|| named.clone())) {
            let keys = keys.into_iter().filter(|key| key.is_zone_key).collect();
            self.zones.insert(zone, keys);
        }
    }

    fn sign_off(&mut self, at: usize) {
        let (name, is_ds) = (self.sets[at].name.clone(), self.sets[at].kind == kind::DS);
        let zones = std::mem::take(&mut self.zones);
        // A zone does not speak for its parent: its DS is the parent's.
        self.try_signatures(at, |signer| {
            let may = name.is_in(signer) && !(is_ds && name == *signer);
            may.then(|| zones.get(signer).cloned()).flatten()
        });
        self.zones = zones;
    }

    /// Looks for a signature of a set by one of the keys of its signer. The first violation is kept.
    fn try_signatures(&mut self, at: usize, keys: impl Fn(&Name) -> Option<Vec<Key>>) -> bool {
        for number in 0..self.signatures.len() {
            let (owner, signature) = &self.signatures[number];
            let set = &self.sets[at];
            if *owner != set.name || signature.covers != set.kind {
                continue;
            }
            let of =
                |key: &Key| key.tag == signature.key_tag && key.algorithm == signature.algorithm;
            let keys = keys(&signature.signer).unwrap_or_default();
            for key in keys.iter().filter(|key| of(key)) {
                self.attempts += 1;
                if self.attempts > MOST_ATTEMPTS {
                    return false;
                }
                match self.relied_on(&self.sets[at], &self.signatures[number].1, key) {
                    Ok(window) => {
                        self.sets[at].signed = Some(window);
                        return true;
                    }
                    Err(violation) => {
                        self.sets[at].refused.get_or_insert(violation);
                    }
                }
            }
        }
        false
    }

    /// The rules about one signature.
    fn relied_on(&self, set: &Set, signed: &Signature, key: &Key) -> Result<(u64, u64), Violation> {
        let rules = self.rules;
        let of = &set.name;
        rules.check(
            rules::DNS_PROOF_ALGORITHMS,
            !signature::is_sha1(signed.algorithm),
            || format!("a signature of {of} is over a SHA-1 hash"),
        )?;
        if let Some(bits) = signature::rsa_bits(key) {
            rules.at_least(rules::DNS_PROOF_ALGORITHMS, bits, LEAST_RSA_BITS, || {
                format!("a signature of {of} is by an RSA key of {bits} bits, fewer than 1024")
            })?;
        }
        let from = near(self.now, signed.inception);
        let until = near(self.now, signed.expiration);
        if self.checks_time {
            let now = self.now;
            rules.at_least(rules::DNS_PROOF_TIMES, now, from, || {
                format!("a signature of {of} holds from {from} on, and now is {now}")
            })?;
            rules.at_most(rules::DNS_PROOF_TIMES, now, until, || {
                format!("a signature of {of} held until {until}, and now is {now}")
            })?;
        }
        rules.check(
            rules::DNS_PROOF_SIGNATURES,
            usize::from(signed.labels) == of.labels(),
            || format!("{of} is not the name that was signed, which a wildcard may stand for"),
        )?;
        rules.check(
            rules::DNS_PROOF_SIGNATURES,
            signature::verify(key, &message(set, signed), &signed.signature),
            || {
                format!(
                    "a signature of {of} is not that of the key of {}",
                    signed.signer
                )
            },
        )?;
        Ok((from, until))
    }

    /// bLIP 32, recipient of a proof: every record in it is signed in an unbroken chain.
    fn all_signed(&self) -> Result<(), Violation> {
        let open = || self.sets.iter().filter(|set| set.signed.is_none());
        // What a signature breaks says more than that records above or below have none.
        let other = |v: &&Violation| v.rule != rules::DNS_PROOF_SIGNATURES;
        let refused = || open().filter_map(|set| set.refused.as_ref());
        if let Some(violation) = refused().find(other) {
            return Err(violation.clone());
        }
        match (refused().next(), open().next()) {
            (Some(violation), _) => Err(violation.clone()),
            (None, Some(set)) => refuse(self.rules, || {
                format!(
                    "records of {} of type {} are not signed in a chain from the trust anchor",
                    set.name, set.kind
                )
            }),
            (None, None) => Ok(()),
        }
    }

    /// The TXT records of `name`, or of what it is an alias of.
    fn texts(&self, name: &Name) -> Result<Proven, Violation> {
        let mut name = name.clone();
        let (mut from, mut until) = (0, u64::MAX);
        for set in &self.sets {
            if let Some((begin, end)) = set.signed {
                from = from.max(begin);
                until = until.min(end);
            }
        }
        for _ in 0..MOST_ALIASES {
            let of = |kind| self.sets.iter().find(|s| s.name == name && s.kind == kind);
            if let Some(set) = of(kind::TXT) {
                let texts = set
                    .data
                    .iter()
                    .filter_map(|data| chain::text(data))
                    .collect();
                return Ok(Proven {
                    texts,
                    name,
                    from,
                    until,
                });
            }
            let target = |set: &Set| Some(Name::read(set.data.first()?)?.0);
            let moved = || {
                let dnames = self.sets.iter().filter(|set| set.kind == kind::DNAME);
                dnames
                    .filter_map(|set| name.moved(&set.name, &target(set)?))
                    .next()
            };
            match of(kind::CNAME).and_then(target).or_else(moved) {
                Some(next) => name = next,
                None => break,
            }
        }
        refuse(self.rules, || {
            format!("no TXT record of {name} is in the proof")
        })?;
        Ok(Proven {
            texts: Vec::new(),
            name,
            from,
            until,
        })
    }
}

/// What a signature of a set is over (RFC 4034, 3.1.8.1).
fn message(set: &Set, signed: &Signature) -> Vec<u8> {
    let mut message = signed.head.clone();
    for data in &set.data {
        message.extend(set.name.wire());
        message.extend(set.kind.to_be_bytes());
        message.extend([0, 1]);
        message.extend(signed.ttl.to_be_bytes());
        // It was read with a length of two bytes.
        message.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
        message.extend_from_slice(data);
    }
    message
}
