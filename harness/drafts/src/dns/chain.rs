//! The records of a proof: an `AuthenticationChain` of RFC 9102, resource records on the wire one
//! after the other, none of their names compressed.

use super::Name;

/// A resource record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Whose it is.
    pub name: Name,
    /// Its type.
    pub kind: u16,
    /// Time to live, in seconds.
    pub ttl: u32,
    /// Its data, names in it in lower case.
    pub data: Vec<u8>,
}

/// Types of resource records.
pub mod kind {
    pub const CNAME: u16 = 5;
    pub const TXT: u16 = 16;
    pub const DNAME: u16 = 39;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const DNSKEY: u16 = 48;
}

/// The class of the internet.
const IN: u16 = 1;

fn number16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

fn number32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// One record, and what follows.
fn record(bytes: &[u8]) -> Option<(Resource, u16, &[u8])> {
    let (name, rest) = Name::read(bytes)?;
    let (kind, rest) = number16(rest)?;
    let (class, rest) = number16(rest)?;
    let (ttl, rest) = number32(rest)?;
    let (length, rest) = number16(rest)?;
    let (data, rest) = rest.split_at_checked(usize::from(length))?;
    // RFC 4034, 6.2: names in the data of these types count in lower case.
    let data = match kind {
        kind::CNAME | kind::DNAME => Name::read(data)
            .filter(|(_, rest)| rest.is_empty())?
            .0
            .wire(),
        _ => data.to_vec(),
    };
    let record = Resource {
        name,
        kind,
        ttl,
        data,
    };
    Some((record, class, rest))
}

/// Reads all records.
///
/// # Errors
/// Which record, from 1, is cut short or of another class, as a lower-case fragment; there are
/// none.
pub fn read(mut bytes: &[u8]) -> Result<Vec<Resource>, String> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let number = records.len() + 1;
        let (record, class, rest) =
            record(bytes).ok_or_else(|| format!("record {number} does not have its form"))?;
        if class != IN {
            return Err(format!("record {number} has class {class}, not {IN}"));
        }
        records.push(record);
        bytes = rest;
    }
    if records.is_empty() {
        return Err("there are none".into());
    }
    Ok(records)
}

/// `RRSIG` (RFC 4034, 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Type of the records that are signed.
    pub covers: u16,
    /// How.
    pub algorithm: u8,
    /// Labels of the name as it was signed; fewer than the record has where it is of a wildcard.
    pub labels: u8,
    /// Until when it holds, in seconds since 1970 modulo 2^32.
    pub expiration: u32,
    /// From when on.
    pub inception: u32,
    /// Tag of the key.
    pub key_tag: u16,
    /// Zone of the key.
    pub signer: Name,
    /// Its data without the signature, in canonical form.
    pub head: Vec<u8>,
    /// The time to live that is signed.
    pub ttl: u32,
    /// The signature itself.
    pub signature: Vec<u8>,
}

impl Signature {
    /// Reads the data of an `RRSIG`.
    pub fn read(data: &[u8]) -> Option<Self> {
        let (fixed, rest) = data.split_at_checked(18)?;
        let (covers, after) = number16(fixed)?;
        let ([algorithm, labels], after) = after.split_first_chunk()?;
        let (ttl, after) = number32(after)?;
        let (expiration, after) = number32(after)?;
        let (inception, after) = number32(after)?;
        let (key_tag, _) = number16(after)?;
        let (signer, signature) = Name::read(rest)?;
        Some(Self {
            covers,
            algorithm: *algorithm,
            labels: *labels,
            expiration,
            inception,
            key_tag,
            head: [fixed, &signer.wire()].concat(),
            signer,
            ttl,
            signature: signature.to_vec(),
        })
    }
}

/// `DNSKEY` (RFC 4034, 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whether it is a zone key that is not revoked (RFC 5011).
    pub is_zone_key: bool,
    /// How it signs.
    pub algorithm: u8,
    /// Its tag (RFC 4034, appendix B).
    pub tag: u16,
    /// All of its data.
    pub data: Vec<u8>,
}

impl Key {
    /// Reads the data of a `DNSKEY`.
    pub fn read(data: &[u8]) -> Option<Self> {
        let (flags, rest) = number16(data)?;
        let ([protocol, algorithm], _) = rest.split_first_chunk()?;
        let mut sum = 0_u32;
        for (at, byte) in data.iter().enumerate() {
            let shift = if at % 2 == 0 { 8 } else { 0 };
            sum = sum.wrapping_add(u32::from(*byte) << shift);
        }
        sum = sum.wrapping_add(sum >> 16 & 0xffff);
        Some(Self {
            is_zone_key: *protocol == 3 && flags & 0x0100 != 0 && flags & 0x0080 == 0,
            algorithm: *algorithm,
            tag: u16::try_from(sum & 0xffff).unwrap_or_default(),
            data: data.to_vec(),
        })
    }

    /// The key itself, as its algorithm has it.
    pub fn public(&self) -> &[u8] {
        self.data.get(4..).unwrap_or_default()
    }
}

/// `DS` (RFC 4034, 5.1): which key a zone is trusted to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Tag of the key.
    pub key_tag: u16,
    /// How it signs.
    pub algorithm: u8,
    /// How it is hashed: 1 is SHA-1, 2 SHA-256, 4 SHA-384.
    pub digest_type: u8,
    /// Hash of the zone's name and the key.
    pub digest: Vec<u8>,
}

impl Anchor {
    /// Reads the data of a `DS`.
    pub fn read(data: &[u8]) -> Option<Self> {
        let (key_tag, rest) = number16(data)?;
        let ([algorithm, digest_type], digest) = rest.split_first_chunk()?;
        Some(Self {
            key_tag,
            algorithm: *algorithm,
            digest_type: *digest_type,
            digest: digest.to_vec(),
        })
    }
}

/// The strings of a `TXT`, joined (RFC 1035, 3.3.14; BIP 353 joins them).
pub fn text(mut data: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    while let Some((&length, rest)) = data.split_first() {
        let (part, rest) = rest.split_at_checked(usize::from(length))?;
        joined.extend_from_slice(part);
        data = rest;
    }
    Some(joined)
}
