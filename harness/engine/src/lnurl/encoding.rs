//! LUD-01: a URL as bech32 under the prefix `lnurl`.

use super::Check;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Checksum, Hrp};
use lnconform_protocol::OpError;

/// The checksum of BIP 173 for strings of any length: LNURL and BOLT 11 use it beyond the length up
/// to which it finds errors for certain.
pub(super) enum Long {}

impl Checksum for Long {
    type MidstateRepr = u32;
    const CODE_LENGTH: usize = usize::MAX;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32::TARGET_RESIDUE;
}

/// Longest string that is read, in characters.
const MAX_LENGTH: usize = 8192;

/// In upper case, as LUD-01 has it for QR codes.
pub(super) fn encode(url: &str) -> Result<String, OpError> {
    let too_long = |e: &dyn std::fmt::Display| OpError::internal(format!("lnurl of {url}: {e}"));
    let prefix = Hrp::parse("lnurl").map_err(|e| too_long(&e))?;
    bech32::encode_upper::<Long>(prefix, url.as_bytes()).map_err(|e| too_long(&e))
}

/// The URL of a string in upper or lower case.
pub(super) fn decode(text: &str) -> Result<String, OpError> {
    Check::Encoding.that(text.len() <= MAX_LENGTH, || {
        format!("{} characters are more than {MAX_LENGTH}", text.len())
    })?;
    let read = CheckedHrpstring::new::<Long>(text).map_err(|e| Check::Encoding.error(e))?;
    let prefix = read.hrp().to_lowercase();
    Check::Encoding.that(prefix == "lnurl", || {
        format!("the prefix is {prefix}, not lnurl")
    })?;
    String::from_utf8(read.byte_iter().collect())
        .map_err(|_| Check::Encoding.error("its bytes are not UTF-8"))
}
