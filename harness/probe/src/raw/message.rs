//! Messages as bytes: what the raw transport writes, and the names of what it reads.

use bitcoin::constants::ChainHash;
use lnconform_drafts::tlv::{self, Record};

/// Types of messages.
pub mod kind {
    #![allow(missing_docs)]
    pub const WARNING: u16 = 1;
    pub const INIT: u16 = 16;
    pub const ERROR: u16 = 17;
    pub const PING: u16 = 18;
    pub const PONG: u16 = 19;
    pub const ONION_MESSAGE: u16 = 513;
}

/// From this number on a ping is not answered: BOLT 1, ping.
pub const NO_PONG: u16 = 65_532;

/// Field of `init_tlvs` with the chains that the node is interested in.
pub const NETWORKS: u64 = 1;

/// Messages that the specifications define, ascending by type.
const NAMES: &[(u16, &str)] = &[
    (1, "warning"),
    (2, "stfu"),
    (7, "peer_storage"),
    (9, "peer_storage_retrieval"),
    (16, "init"),
    (17, "error"),
    (18, "ping"),
    (19, "pong"),
    (32, "open_channel"),
    (33, "accept_channel"),
    (34, "funding_created"),
    (35, "funding_signed"),
    (36, "channel_ready"),
    (38, "shutdown"),
    (39, "closing_signed"),
    (40, "closing_complete"),
    (41, "closing_sig"),
    (64, "open_channel2"),
    (65, "accept_channel2"),
    (66, "tx_add_input"),
    (67, "tx_add_output"),
    (68, "tx_remove_input"),
    (69, "tx_remove_output"),
    (70, "tx_complete"),
    (71, "tx_signatures"),
    (72, "tx_init_rbf"),
    (73, "tx_ack_rbf"),
    (74, "tx_abort"),
    (77, "splice_locked"),
    (80, "splice_init"),
    (81, "splice_ack"),
    (127, "start_batch"),
    (128, "update_add_htlc"),
    (130, "update_fulfill_htlc"),
    (131, "update_fail_htlc"),
    (132, "commitment_signed"),
    (133, "revoke_and_ack"),
    (134, "update_fee"),
    (135, "update_fail_malformed_htlc"),
    (136, "channel_reestablish"),
    (256, "channel_announcement"),
    (257, "node_announcement"),
    (258, "channel_update"),
    (259, "announcement_signatures"),
    (261, "query_short_channel_ids"),
    (262, "reply_short_channel_ids_end"),
    (263, "query_channel_range"),
    (264, "reply_channel_range"),
    (265, "gossip_timestamp_filter"),
    (513, "onion_message"),
];

/// The name of a message, if a specification defines it.
pub fn name(kind: u16) -> Option<&'static str> {
    let at = NAMES.binary_search_by_key(&kind, |(kind, _)| *kind).ok()?;
    Some(NAMES[at].1)
}

/// Type and payload.
pub fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], payload].concat()
}

/// Bytes behind their number, which is below 65536 for everything that is sent here.
pub fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

/// `ping`, which asks for `wanted` bytes.
pub fn ping(wanted: u16) -> Vec<u8> {
    message(kind::PING, &[&wanted.to_be_bytes()[..], &[0, 0]].concat())
}

/// `pong` of `length` zero bytes.
pub fn pong(length: u16) -> Vec<u8> {
    message(kind::PONG, &counted(&vec![0; usize::from(length)]))
}

/// What a node says first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// The bitmap that there once was for what concerns others.
    pub global: Vec<u8>,
    /// The bitmap.
    pub features: Vec<u8>,
    /// `init_tlvs`.
    pub records: Vec<Record>,
}

impl Init {
    /// One for regtest, with these features.
    pub fn new(features: Vec<u8>, networks: &[[u8; 32]]) -> Self {
        let records = match networks {
            [] => Vec::new(),
            chains => vec![Record::new(NETWORKS, chains.concat())],
        };
        Self {
            global: Vec::new(),
            features,
            records,
        }
    }

    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let payload = [
            counted(&self.global),
            counted(&self.features),
            tlv::encode_unchecked(&self.records),
        ];
        message(kind::INIT, &payload.concat())
    }

    /// Both bitmaps as one.
    pub fn combined(&self) -> Vec<u8> {
        let (long, short) = if self.global.len() > self.features.len() {
            (&self.global, &self.features)
        } else {
            (&self.features, &self.global)
        };
        let mut all = long.clone();
        for (byte, more) in all.iter_mut().rev().zip(short.iter().rev()) {
            *byte |= more;
        }
        all
    }

    /// The chains that it names, if it names any.
    pub fn networks(&self) -> Option<Vec<[u8; 32]>> {
        let record = self.records.iter().find(|record| record.kind == NETWORKS)?;
        let chains = record.value.chunks_exact(32);
        Some(chains.filter_map(|chain| chain.try_into().ok()).collect())
    }
}

/// The one chain that there is.
pub fn regtest() -> [u8; 32] {
    ChainHash::REGTEST.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_the_search() {
        assert!(NAMES.is_sorted());
        assert_eq!(name(513), Some("onion_message"));
        assert_eq!(name(32_766), None);
    }

    #[test]
    fn both_bitmaps_count_from_their_ends() {
        let init = |global: &[u8], features: &[u8]| Init {
            global: global.to_vec(),
            features: features.to_vec(),
            records: Vec::new(),
        };
        assert_eq!(init(&[1, 0], &[2]).combined(), [1, 2]);
        assert_eq!(init(&[1], &[2, 0]).combined(), [2, 1]);
        assert_eq!(init(&[], &[]).combined(), [0_u8; 0]);
    }

    #[test]
    fn an_init_says_its_chain() {
        let init = Init::new(vec![2], &[regtest()]);
        assert_eq!(init.networks(), Some(vec![regtest()]));
        assert_eq!(Init::new(vec![2], &[]).networks(), None);
        let bytes = init.encode();
        assert_eq!(bytes[..8], [0, 16, 0, 0, 0, 1, 2, 1]);
        assert_eq!(bytes.len(), 9 + 32);
    }
}
