//! What adapters of a node that runs as a child process have in common: the params of `node.start`,
//! the child and its log, and the handler with at most one running node.
//!
//! Used by the adapters of nodes that the user brings (Core Lightning, Eclair).

mod child;
mod config;
mod handler;

pub use child::{Node, write_private};
pub use config::Config;
pub use handler::{Access, Backend, NodeAdapter};

use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Fail;
use lnconform_protocol::params::{Params, hex};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often something is looked at that tells nothing by itself.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Locks, whatever happened to the last holder: for values that are whole at any time.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The param `deadline_ms` (milliseconds from now), or its default.
///
/// # Errors
/// `invalid` where it is no number.
pub fn deadline(params: Params<'_>, default_ms: u32) -> Result<Instant, OpError> {
    let ms = params.maybe("deadline_ms", Params::u32)?;
    Ok(Instant::now() + Duration::from_millis(ms.unwrap_or(default_ms).into()))
}

/// A public key, 33 bytes, as lower-case hex; whether it is a point the node says.
///
/// # Errors
/// `invalid` where it is absent, no hex or of another length.
pub fn key(params: Params<'_>, name: &str) -> Result<String, OpError> {
    Ok(hex(params.array::<33>(name)?))
}

/// An address of this machine, `address:port`.
///
/// # Errors
/// `invalid` where it is none, `rejected` where it is another machine's.
pub fn loopback(name: &str, text: &str) -> Result<SocketAddr, OpError> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| OpError::invalid(format!("param {name} is {text}, not address:port")))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(OpError::rejected(format!("{name} {text} is not loopback")))
    }
}

/// Waits for `look` to answer something, and says what it saw last when it does not. `over` tells
/// that nobody waits any more.
///
/// # Errors
/// `timeout` with `what` and what was seen; whatever `look` fails with.
pub fn until<T>(
    deadline: Instant,
    what: &str,
    over: impl Fn() -> bool,
    mut look: impl FnMut() -> Result<Result<T, String>, Fail>,
) -> Result<T, Fail> {
    loop {
        let seen = match look()? {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if Instant::now() >= deadline || over() {
            return Err(OpError::timeout(format!("{what} by the deadline: {seen}")).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Refuses params that would change the meaning of the call and that `node` cannot follow. A param
/// with the value `false` asks for nothing.
///
/// # Errors
/// `unsupported`, with the first of them and `why`.
pub fn lacks(params: Params<'_>, node: &str, names: &[&str], why: &str) -> Result<(), Fail> {
    let asked = |name: &&&str| params.get(name).is_some_and(|v| v != false);
    match names.iter().find(asked) {
        None => Ok(()),
        Some(name) => Err(Fail::Unsupported(format!(
            "{node} has nothing for param {name}: {why}"
        ))),
    }
}

/// The TLV stream of a BOLT 12 string: bech32's alphabet without its checksum (BOLT 12, encoding). `None`
/// where it is none.
pub fn bolt12_bytes(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let (_, data) = text.rsplit_once('1')?;
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    for c in data.bytes() {
        let value = ALPHABET.iter().position(|a| *a == c.to_ascii_lowercase())?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    // Padding is shorter than a character, and zero.
    (held < 5 && bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bolt12_string_is_read_to_its_bytes() {
        // Type 2, length 1, byte 7: 00000 01000 00000 10000 01110 0.
        assert_eq!(bolt12_bytes("lni1qgqsw"), bolt12_bytes("LNI1QGQSW"));
        assert_eq!(bolt12_bytes("lni1qgqsw").unwrap(), [2, 1, 7]);
        for wrong in ["lni", "lni1b", "lni1q", "lni1qgqsl"] {
            assert_eq!(bolt12_bytes(wrong), None, "{wrong}");
        }
    }
}
