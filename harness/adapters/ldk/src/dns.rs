//! The messages of bLIP 32, as LDK reads them.
//!
//! This file is compiled once for each version, as `codec.rs` is. LDK checks proofs in a node, for
//! queries of its own and from the root's real keys only, so that is no operation here.

use super::codec::refused;
use super::lightning::io::Read;
use super::lightning::ln::msgs::DecodeError;
use super::lightning::onion_message::dns_resolution::{
    DNSResolverMessage, DNSSECProof, DNSSECQuery,
};
use super::lightning::util::ser::{FixedLengthReader, ReadableArgs};
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};

/// Reads the value of a record, to its end: so LDK reads each record of an onion message.
fn read(params: Params<'_>, kind: u64) -> Result<DNSResolverMessage, Fail> {
    let bytes = params.hex("bytes")?;
    let mut rest = bytes.as_slice();
    let mut reader = FixedLengthReader::new(&mut rest, bytes.len() as u64);
    let message = <DNSResolverMessage as ReadableArgs<u64>>::read(&mut reader, kind);
    let message = message.map_err(|e| refused("message", &e))?;
    if reader.read(&mut [0]).is_ok_and(|more| more > 0) {
        return Err(refused("message", &DecodeError::InvalidValue));
    }
    Ok(message)
}

fn named(name: &str) -> ResultObject {
    ResultObject::new().with("domain_name", name)
}

/// `dns.query.decode`: `bytes` → `domain_name`.
pub(super) fn query_decode(params: Params<'_>) -> Outcome {
    match read(params, 65_536)? {
        DNSResolverMessage::DNSSECQuery(DNSSECQuery(name)) => Ok(named(name.as_str()).done()),
        other @ DNSResolverMessage::DNSSECProof(_) => {
            Err(refused("read as another message", &other))
        }
    }
}

/// `dns.proof.decode`: `bytes` → `domain_name`, `proof`.
pub(super) fn proof_decode(params: Params<'_>) -> Outcome {
    match read(params, 65_538)? {
        DNSResolverMessage::DNSSECProof(DNSSECProof { name, proof }) => {
            Ok(named(name.as_str()).with("proof", hex(proof)).done())
        }
        other @ DNSResolverMessage::DNSSECQuery(_) => {
            Err(refused("read as another message", &other))
        }
    }
}
