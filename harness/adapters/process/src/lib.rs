//! What adapters of a node that runs as a child process have in common: the params of `node.start`,
//! the child, its log and its version, and the handler with at most one running node; the params
//! that operations share; waiting for what a node does; and the reading of its answers, HTTP's
//! among them.
//!
//! Used by the adapters of LND, Core Lightning and Eclair, which keep what is peculiar to each: its
//! calls, its settings and the meaning of its answers. It is a crate of its own below them, because
//! an adapter of one node is not to know another's, and the process host, beside which they lie,
//! knows none.

mod answer;
mod child;
mod config;
mod handler;
pub mod http;
mod params;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod version;
mod wait;

pub use answer::{entries, need, number, sum};
pub use child::{Node, write_private};
pub use config::Config;
pub use handler::{Access, Backend, NodeAdapter};
pub use params::{KEYSEND_ONION, OpenChannel, deadline, draw, key, label, lacks, signed_message};
pub use version::version;
pub use wait::{chain_sync, disconnected, payment_end, spawn, until};

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often something is looked at that tells nothing by itself.
pub const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Locks, whatever happened to the last holder: for values that are whole at any time.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
