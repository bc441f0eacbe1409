//! The probe as a trampoline that holds: it takes a payment for somebody who is not there, and sends it
//! on when they are, as often as it takes, without a new onion from the payer.
//!
//! The dialect is the one in use, `trampoline/acinq-legacy`. The two payments have nothing in common but
//! their hash, so LDK does not link them: the second one's preimage settles the first.

use crate::blind::Path;
use crate::misbehave::Plan;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::onion::{self, Context};
use lnconform_drafts::payload::{Dialect, Payload, kind};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};

/// How often the second payment is tried before the first is failed.
pub const ATTEMPTS: u32 = 3;
/// Blocks that must lie between the two expiries. LDK fails what it holds 39 blocks before it expires.
pub const DELTA: u32 = 40;

/// Why a payment is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The onion inside, or its payload.
    #[error("the trampoline onion is not understood: {0}")]
    Unreadable(String),
    /// A field is missing.
    #[error("the trampoline's payload has no {0}")]
    Missing(&'static str),
    /// It would cost the probe.
    #[error("{outgoing} msat are to be passed on, and {incoming} msat have come")]
    Fee {
        /// Millisatoshi.
        incoming: u64,
        /// Millisatoshi.
        outgoing: u64,
    },
    /// There would be no time to settle.
    #[error("it is to expire at {outgoing}, and what has come expires at {incoming}")]
    Expiry {
        /// Block height.
        incoming: u32,
        /// Block height.
        outgoing: u32,
    },
}

/// A payment to be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// To whom.
    pub next: PublicKey,
    /// Its hash.
    pub hash: [u8; 32],
    /// In msat.
    pub amount_msat: u64,
    /// Block height.
    pub cltv_expiry: u32,
    /// Payment secret and total in msat of an invoice of somebody who is no trampoline.
    pub payment_data: Option<([u8; 32], u64)>,
    /// The onion for the next trampoline.
    pub onion: Option<Vec<u8>>,
    /// The path key for it, where both lie inside a blinded path: pull request 836.
    pub path_key: Option<[u8; 33]>,
    /// The path of a recipient that is no trampoline: pull request 836.
    pub path: Option<Path>,
    /// What the payer is told if the next one does not take it: inside a blinded path that says nothing.
    pub masked: Option<Vec<u8>>,
    /// Of its invoice.
    pub metadata: Option<Vec<u8>>,
    /// The second payment that is under way.
    pub payment: Option<String>,
    /// How many there were.
    pub attempts: u32,
}

impl Relay {
    /// Takes a layer off the onion inside. `incoming` is what has come: msat, and the height at which
    /// the first of it expires.
    ///
    /// # Errors
    /// [`RelayError`].
    pub fn open(
        secret: &SecretKey,
        hash: [u8; 32],
        onion: &[u8],
        incoming: (u64, u32),
    ) -> Result<Self, RelayError> {
        let unreadable = |e: &dyn std::fmt::Display| RelayError::Unreadable(e.to_string());
        let rules = Rules::all();
        let context = Context {
            associated_data: &hash,
            size: None,
            path_key: None,
        };
        let peeled = onion::peel(&rules, secret, onion, context).map_err(|e| unreadable(&e))?;
        let records = tlv::frames(&rules, &peeled.payload).map_err(|e| unreadable(&e))?;
        let payload = Payload::from_records(&rules, records, Some(Dialect::AcinqLegacy))
            .map_err(|e| unreadable(&e))?;
        let amount_msat = payload
            .amt_to_forward
            .ok_or(RelayError::Missing("amount"))?;
        let cltv = payload.outgoing_cltv_value;
        let cltv_expiry = cltv.ok_or(RelayError::Missing("expiry"))?;
        let next = payload
            .outgoing_node_id
            .ok_or(RelayError::Missing("next node"))?;
        let next = PublicKey::from_slice(&next).map_err(|e| unreadable(&e))?;
        if amount_msat > incoming.0 {
            return Err(RelayError::Fee {
                incoming: incoming.0,
                outgoing: amount_msat,
            });
        }
        if cltv_expiry.saturating_add(DELTA) > incoming.1 {
            return Err(RelayError::Expiry {
                incoming: incoming.1,
                outgoing: cltv_expiry,
            });
        }
        Ok(Self {
            next,
            hash,
            amount_msat,
            cltv_expiry,
            // BOLT 11 with a recipient that is no trampoline: its secret is in the last payload.
            payment_data: payload.payment_data,
            onion: peeled.next.filter(|_| payload.payment_data.is_none()),
            path_key: None,
            path: None,
            masked: None,
            metadata: payload.metadata,
            payment: None,
            attempts: 0,
        })
    }

    /// The second payment at a height; `secret` is for a next trampoline, which gets one of its own.
    pub fn plan(&self, height: u32, secret: [u8; 32]) -> Plan {
        let delta = self.cltv_expiry.saturating_sub(height);
        let mut plan = Plan::new(self.next, self.hash, vec![self.amount_msat], delta);
        match self.payment_data {
            Some((secret, _)) => plan.with_secret(secret),
            None => plan.with_secret(secret),
        }
        if let Some(metadata) = &self.metadata {
            plan.records
                .push(Record::new(kind::METADATA, metadata.clone()));
        }
        if let Some(path_key) = self.path_key {
            plan.records.push(Record::new(kind::PATH_KEY, path_key));
        }
        if let Some(onion) = &self.onion {
            plan.records
                .push(Record::new(kind::LEGACY_TRAMPOLINE_ONION, onion.clone()));
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shot::{payment_data, truncated};
    use lnconform_drafts::keys;
    use lnconform_drafts::onion::Hop;

    const HASH: [u8; 32] = [1; 32];

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_slice(&[n; 32]).unwrap()
    }

    fn packet(records: &[Record]) -> Vec<u8> {
        let hop = |n, payload: &[Record]| Hop {
            pubkey: keys::public(&secret(n)),
            framed: onion::frame(&tlv::encode_unchecked(payload)),
        };
        let hops = [hop(8, records), hop(9, &[Record::new(2, [1])])];
        let size = onion::needed(&hops);
        onion::build(&Rules::all(), &secret(5), &HASH, &hops, size)
            .unwrap()
            .packet
    }

    fn fields() -> Vec<Record> {
        let next = keys::public(&secret(9)).serialize();
        vec![
            Record::new(kind::AMOUNT, truncated(90_000)),
            Record::new(kind::CLTV, truncated(560)),
            Record::new(kind::LEGACY_OUTGOING_NODE_ID, next),
        ]
    }

    fn open(records: &[Record], incoming: (u64, u32)) -> Result<Relay, RelayError> {
        Relay::open(&secret(8), HASH, &packet(records), incoming)
    }

    #[test]
    fn an_invoice_is_paid_with_its_secret() {
        let mut records = fields();
        records.insert(2, payment_data(&[7; 32], 90_000));
        let relay = open(&records, (91_000, 640)).unwrap();
        let plan = relay.plan(500, [6; 32]);
        assert_eq!((plan.delta, plan.to), (60, keys::public(&secret(9))));
        let part = &plan.parts[0];
        assert_eq!(
            (part.hash, part.amount_msat, part.secret),
            (HASH, 90_000, Some([7; 32]))
        );
        assert!(plan.records.is_empty());
    }

    #[test]
    fn another_trampoline_gets_the_rest_of_the_onion() {
        let relay = open(&fields(), (91_000, 640)).unwrap();
        let plan = relay.plan(500, [6; 32]);
        assert_eq!(plan.parts[0].secret, Some([6; 32]));
        let onion = &plan.records[0];
        assert_eq!(onion.kind, kind::LEGACY_TRAMPOLINE_ONION);
        let context = Context {
            associated_data: &HASH,
            size: None,
            path_key: None,
        };
        let peeled = onion::peel(&Rules::all(), &secret(9), &onion.value, context).unwrap();
        assert_eq!(peeled.payload, [2, 1, 1]);
    }

    #[test]
    fn what_would_cost_the_probe_is_not_passed_on() {
        assert!(open(&fields(), (90_000, 600)).is_ok());
        let poor = open(&fields(), (89_999, 600));
        assert!(matches!(poor, Err(RelayError::Fee { .. })), "{poor:?}");
        let late = open(&fields(), (90_000, 599));
        assert!(matches!(late, Err(RelayError::Expiry { .. })), "{late:?}");
        for (at, missing) in [(0, "amount"), (1, "expiry"), (2, "next node")] {
            let mut records = fields();
            records.remove(at);
            assert_eq!(
                open(&records, (90_000, 600)),
                Err(RelayError::Missing(missing))
            );
        }
        let foreign = Relay::open(&secret(7), HASH, &packet(&fields()), (90_000, 600));
        assert!(matches!(foreign, Err(RelayError::Unreadable(_))));
    }
}
