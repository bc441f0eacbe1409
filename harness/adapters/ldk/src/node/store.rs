//! The node's store, and what passes through it that ldk-node 0.7 shows to nobody.
//!
//! - LDK keeps a BOLT 12 invoice with each HTLC that pays it, in what it stores of a channel before the
//!   HTLC goes out.
//! - It keeps an invoice request, and the nonce that the request's key came from, with its payments
//!   until the invoice is there. It stores that as soon as the request is made, and before it sends it
//!   unless something else keeps the connection busy; it has not to wait for it, so that a nonce may be
//!   missed in theory.

use super::payer_key::Nonce;
use super::running::lock;
use ldk_node::bitcoin::secp256k1::PublicKey;
use ldk_node::io::sqlite_store::{KV_TABLE_NAME, SQLITE_DB_FILE_NAME, SqliteStore};
use ldk_node::lightning::io;
use ldk_node::lightning::offers::invoice::Bolt12Invoice;
use ldk_node::lightning::offers::invoice_request::InvoiceRequest;
use ldk_node::lightning::util::persist::{
    CHANNEL_MANAGER_PERSISTENCE_KEY, CHANNEL_MANAGER_PERSISTENCE_PRIMARY_NAMESPACE,
    CHANNEL_MONITOR_PERSISTENCE_PRIMARY_NAMESPACE,
    CHANNEL_MONITOR_UPDATE_PERSISTENCE_PRIMARY_NAMESPACE, KVStore, KVStoreSync,
};
use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Invoices that the node has paid or is paying: TLV streams by payment hash.
    pub(super) invoices: HashMap<[u8; 32], Vec<u8>>,
    /// Nonces of invoice requests, by the key that each was for.
    pub(super) nonces: HashMap<PublicKey, Nonce>,
}

/// ldk-node's own SQLite store, as its builder would make it.
pub(super) struct Store {
    inner: SqliteStore,
    seen: Arc<Mutex<Seen>>,
}

impl Store {
    /// Opens the store in `dir`; what is stored from now on is looked at for `seen`.
    pub(super) fn open(dir: PathBuf, seen: Arc<Mutex<Seen>>) -> io::Result<Self> {
        let inner = SqliteStore::new(
            dir,
            Some(SQLITE_DB_FILE_NAME.into()),
            Some(KV_TABLE_NAME.into()),
        )?;
        Ok(Self { inner, seen })
    }

    fn look(&self, namespace: &str, key: &str, value: &[u8]) {
        match (namespace, key) {
            (
                CHANNEL_MONITOR_PERSISTENCE_PRIMARY_NAMESPACE
                | CHANNEL_MONITOR_UPDATE_PERSISTENCE_PRIMARY_NAMESPACE,
                _,
            ) => lock(&self.seen).invoices.extend(invoices(value)),
            (CHANNEL_MANAGER_PERSISTENCE_PRIMARY_NAMESPACE, CHANNEL_MANAGER_PERSISTENCE_KEY) => {
                lock(&self.seen).nonces.extend(nonces(value));
            }
            _ => {}
        }
    }
}

/// The invoices inside `bytes`, with their payment hashes.
///
/// Each has its length in front (three bytes, as none is below 253), and begins with the payer's
/// metadata, record 0. What looks like one is one if it can be read to its last byte and its signature
/// is right.
fn invoices(bytes: &[u8]) -> impl Iterator<Item = ([u8; 32], Vec<u8>)> + '_ {
    bytes.windows(4).enumerate().filter_map(|(at, window)| {
        let [0xfd, high, low, 0] = *window else {
            return None;
        };
        let start = at + 3;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let stream = bytes.get(start..start.checked_add(length)?)?.to_vec();
        let invoice = Bolt12Invoice::try_from(stream.clone()).ok()?;
        Some((invoice.payment_hash().0, stream))
    })
}

/// The keys of the invoice requests inside `bytes`, with their nonces.
///
/// Each request stands in a TLV stream of LDK's own, as record 0; a flag of one byte follows as record
/// 1, and the nonce of 16 as record 2. What stands in front of a flag and a nonce is a request if it can
/// be read from its first byte to its last and its signature is right.
fn nonces(bytes: &[u8]) -> impl Iterator<Item = (PublicKey, Nonce)> + '_ {
    bytes.windows(21).enumerate().filter_map(|(end, window)| {
        let [1, 1, _, 2, 16, nonce @ ..] = window else {
            return None;
        };
        let request = (1..=end.min(MOST)).find_map(|length| {
            let start = end - length;
            let front = match u8::try_from(length) {
                Ok(short @ 0..0xfd) => vec![0, short],
                _ => {
                    let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
                    vec![0, 0xfd, high, low]
                }
            };
            bytes[..start].ends_with(&front).then_some(())?;
            InvoiceRequest::try_from(bytes[start..end].to_vec()).ok()
        })?;
        Some((request.payer_signing_pubkey(), nonce.try_into().ok()?))
    })
}

/// Longest request that is looked for, bytes.
const MOST: usize = 8192;

type Later<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl KVStore for Store {
    fn read(&self, primary: &str, secondary: &str, key: &str) -> Later<Vec<u8>> {
        KVStore::read(&self.inner, primary, secondary, key)
    }

    fn write(&self, primary: &str, secondary: &str, key: &str, value: Vec<u8>) -> Later<()> {
        self.look(primary, key, &value);
        KVStore::write(&self.inner, primary, secondary, key, value)
    }

    fn remove(&self, primary: &str, secondary: &str, key: &str, lazy: bool) -> Later<()> {
        KVStore::remove(&self.inner, primary, secondary, key, lazy)
    }

    fn list(&self, primary: &str, secondary: &str) -> Later<Vec<String>> {
        KVStore::list(&self.inner, primary, secondary)
    }
}

impl KVStoreSync for Store {
    fn read(&self, primary: &str, secondary: &str, key: &str) -> io::Result<Vec<u8>> {
        KVStoreSync::read(&self.inner, primary, secondary, key)
    }

    fn write(&self, primary: &str, secondary: &str, key: &str, value: Vec<u8>) -> io::Result<()> {
        self.look(primary, key, &value);
        KVStoreSync::write(&self.inner, primary, secondary, key, value)
    }

    fn remove(&self, primary: &str, secondary: &str, key: &str, lazy: bool) -> io::Result<()> {
        KVStoreSync::remove(&self.inner, primary, secondary, key, lazy)
    }

    fn list(&self, primary: &str, secondary: &str) -> io::Result<Vec<String>> {
        KVStoreSync::list(&self.inner, primary, secondary)
    }
}

#[cfg(test)]
mod tests {
    use super::super::payer_key::tests::{NONCE, asked_and_answered};
    use super::*;
    use ldk_node::lightning::util::ser::{BigSize, Writeable};

    /// Bytes behind their length, between others.
    fn among_others(bytes: &[u8]) -> Vec<u8> {
        let length = BigSize(bytes.len() as u64).encode();
        [&[0xfd, 0, 9, 0, 1, 1, 1], &length[..], bytes, &[0xfd, 0]].concat()
    }

    #[test]
    fn an_invoice_is_found_wherever_it_stands() {
        let (_, invoice) = asked_and_answered();
        let stored = among_others(&invoice);
        let found: Vec<_> = invoices(&stored).collect();
        assert_eq!(found, [([8; 32], invoice.clone())]);
        // Not where a byte of it is another, nor where its end is missing.
        let mut wrong = stored.clone();
        wrong[100] ^= 1;
        assert_eq!(invoices(&wrong).count(), 0);
        assert_eq!(invoices(&stored[..stored.len() - 3]).count(), 0);
        assert_eq!(invoices(&[0xfd]).count(), 0);
    }

    #[test]
    fn a_nonce_is_found_behind_its_request() {
        let (request, _) = asked_and_answered();
        let payer = request.payer_signing_pubkey();
        let stored = |request: &[u8]| {
            let length = BigSize(request.len() as u64).encode();
            let front = [&[0], &length[..], request];
            let nonce = [&[1, 1, 1, 2, 16][..], &NONCE[..]].concat();
            [&front.concat()[..], &nonce[..], &[1, 1, 1]].concat()
        };
        let bytes = stored(&request.encode());
        assert_eq!(nonces(&bytes).collect::<Vec<_>>(), [(payer, NONCE)]);
        let mut wrong = bytes.clone();
        wrong[20] ^= 1;
        assert_eq!(nonces(&wrong).count(), 0);
        assert_eq!(nonces(&bytes[..bytes.len() - 4]).count(), 0);
    }
}
