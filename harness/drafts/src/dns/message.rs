//! `dnssec_query` and `dnssec_proof`, records of an onion message.

use super::Name;
use crate::rules::{self, Rules, Violation};
use crate::tlv::Record;

/// Type of a query among the records of an onion message.
pub const QUERY_TYPE: u64 = 65_536;
/// Type of a proof among them.
pub const PROOF_TYPE: u64 = 65_538;
/// Type of a reply path (BOLT 4).
const REPLY_PATH_TYPE: u64 = 2;

/// `dnssec_proof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The name that was asked for.
    pub domain_name: Vec<u8>,
    /// Records as RFC 9102 has them, one after the other.
    pub proof: Vec<u8>,
}

/// BOLT 1: the value of a known type has the length that its encoding says. With the rule off,
/// what is missing is empty and what is left over is dropped.
fn exact<'a>(
    rules: &Rules,
    what: &str,
    read: Option<(&'a [u8], &'a [u8])>,
) -> Result<&'a [u8], Violation> {
    rules.check(
        rules::TLV_VALUE_LENGTH,
        matches!(read, Some((_, []))),
        || match read {
            Some((_, rest)) => format!("{} bytes follow on {what}", rest.len()),
            None => format!("the bytes end inside {what}"),
        },
    )?;
    Ok(read.map_or(&[], |(field, _)| field))
}

/// A field behind its length of one byte, and the rest.
fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(length))
}

/// A field behind its length of two bytes, and the rest.
fn long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Reads the value of a query: the name that is asked for, as it was written.
///
/// # Errors
/// BOLT 1: the value is longer or shorter than it says.
pub fn read_query(rules: &Rules, value: &[u8]) -> Result<Vec<u8>, Violation> {
    exact(rules, "domain_name", short(value)).map(<[u8]>::to_vec)
}

/// Reads the value of a proof.
///
/// # Errors
/// As [`read_query`].
pub fn read_answer(rules: &Rules, value: &[u8]) -> Result<Answer, Violation> {
    let Some((domain_name, rest)) = short(value) else {
        exact(rules, "domain_name", None)?;
        return Ok(Answer {
            domain_name: Vec::new(),
            proof: Vec::new(),
        });
    };
    Ok(Answer {
        domain_name: domain_name.to_vec(),
        proof: exact(rules, "proof", long(rest))?.to_vec(),
    })
}

/// A name as the record holds it, after its length. Beyond 255 bytes it is cut: no name is so long.
fn name_field(name: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let name = &name[..usize::from(length)];
    [&[length], name].concat()
}

/// The records of an onion message that asks for `domain_name`, in the order of their types.
///
/// # Errors
/// bLIP 32, sender of a query: there is no reply path; the name is not canonical.
pub fn query(
    rules: &Rules,
    domain_name: &[u8],
    reply_path: Option<&[u8]>,
) -> Result<Vec<Record>, Violation> {
    rules.check(rules::DNS_QUERY_REPLY_PATH, reply_path.is_some(), || {
        "the message has no reply path, so nobody can answer it".into()
    })?;
    let printable = |byte: &u8| matches!(byte, b' '..=b'~');
    rules.check(
        rules::DNS_QUERY_NAME,
        domain_name.iter().all(printable),
        || "the domain name is not printable ASCII throughout".into(),
    )?;
    rules.check(rules::DNS_QUERY_NAME, domain_name.ends_with(b"."), || {
        "the domain name does not end in a dot".into()
    })?;
    let is_name = Name::parse(domain_name).is_some();
    rules.check(rules::DNS_QUERY_NAME, is_name, || {
        "the domain name has an empty label, one of more than 63 bytes, or is too long".into()
    })?;
    let path = reply_path.map(|path| Record::new(REPLY_PATH_TYPE, path));
    let query = Record::new(QUERY_TYPE, name_field(domain_name));
    Ok(path.into_iter().chain([query]).collect())
}

/// What a resolver sends back along `reply_path`, the record of the message with the proof: `None`
/// where the query has no reply path.
///
/// # Errors
/// BOLT 1, for the query. bLIP 32, recipient of a query: `proof` is no series of records as
/// RFC 9102 has them.
pub fn answer(
    rules: &Rules,
    query: &[u8],
    reply_path: Option<&[u8]>,
    proof: &[u8],
) -> Result<Option<Record>, Violation> {
    let asked = read_query(rules, query)?;
    rules.check(
        rules::DNS_PROOF_FORMAT,
        super::chain::read(proof).is_ok(),
        || {
            let why = super::chain::read(proof).err().unwrap_or_default();
            format!("the proof is no series of records: {why}")
        },
    )?;
    if reply_path.is_none() && !rules.mistaken(rules::DNS_REPLY, "without-reply-path") {
        return Ok(None);
    }
    let name = match rules.mistaken(rules::DNS_PROOF_NAME, "without-its-dot") {
        true => asked.strip_suffix(b".").unwrap_or(&asked).to_vec(),
        false => asked,
    };
    let length = u16::try_from(proof.len()).unwrap_or(u16::MAX);
    let proof = &proof[..usize::from(length)];
    let value = [&name_field(&name), &length.to_be_bytes()[..], proof].concat();
    Ok(Some(Record::new(PROOF_TYPE, value)))
}
