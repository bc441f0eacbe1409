//! The payee over a restart: invoices, what was paid, and the sets that it holds.

use super::{Invoice, Payee, Set};
use crate::node::hexed::Hexed;
use lnconform_drafts::mpp::Part;
use lnconform_drafts::tlv::Record;
use serde::{Deserialize, Serialize};

type Bytes = [u8; 32];
type Text = Hexed<Bytes>;
type Invoiced = (Text, Option<Text>, Text, Option<u64>);

/// What is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Hash, preimage, secret, amount in msat.
    invoices: Vec<Invoiced>,
    sets: Vec<SetState>,
    #[serde(with = "crate::node::hexed::list")]
    paid: Vec<Bytes>,
    /// Shared secrets of onions.
    #[serde(with = "crate::node::hexed::list")]
    seen: Vec<Bytes>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SetState {
    hash: Bytes,
    parts: Vec<PartState>,
    preimage: Option<Bytes>,
    records: Vec<(u64, Vec<u8>)>,
    amount_msat: u64,
    set_id: Option<Bytes>,
    trampoline: Option<Vec<u8>>,
    cltv_expiry: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct PartState {
    payment_hash: Bytes,
    payment_secret: Option<Bytes>,
    amt_to_forward: u64,
    total_msat: Option<u64>,
    arrived: u64,
}

impl Payee {
    /// What a restart has to leave as it is.
    pub fn remember(&self) -> State {
        let invoices = self.invoices.iter();
        let sets = self.sets.iter().map(|(hash, set)| SetState {
            hash: *hash,
            parts: set.parts.iter().map(part_state).collect(),
            preimage: set.preimage,
            records: set
                .records
                .iter()
                .map(|r| (r.kind, r.value.to_vec()))
                .collect(),
            amount_msat: set.amount_msat,
            set_id: set.set_id,
            trampoline: set.trampoline.clone(),
            cltv_expiry: set.cltv_expiry,
        });
        State {
            invoices: invoices
                .map(|(hash, i)| {
                    let preimage = i.preimage.map(Hexed);
                    (Hexed(*hash), preimage, Hexed(i.secret), i.amount_msat)
                })
                .collect(),
            sets: sets.collect(),
            paid: self.paid.iter().copied().collect(),
            seen: self.seen.iter().copied().collect(),
        }
    }

    /// Takes up what was remembered.
    pub fn recall(&mut self, state: State) {
        for (hash, preimage, secret, amount_msat) in state.invoices {
            let invoice = Invoice {
                preimage: preimage.map(|preimage| preimage.0),
                secret: secret.0,
                amount_msat,
            };
            self.invoices.insert(hash.0, invoice);
        }
        for set in state.sets {
            let records = set.records.into_iter();
            // Whatever else a set has is not remembered.
            #[allow(clippy::needless_update)]
            let taken = Set {
                parts: set.parts.into_iter().map(part).collect(),
                preimage: set.preimage,
                records: records
                    .map(|(kind, value)| Record::new(kind, value))
                    .collect(),
                amount_msat: set.amount_msat,
                set_id: set.set_id,
                trampoline: set.trampoline,
                cltv_expiry: set.cltv_expiry,
                ..Set::default()
            };
            self.sets.insert(set.hash, taken);
        }
        self.paid.extend(state.paid);
        self.seen.extend(state.seen);
    }
}

fn part_state(part: &Part) -> PartState {
    PartState {
        payment_hash: part.payment_hash,
        payment_secret: part.payment_secret,
        amt_to_forward: part.amt_to_forward,
        total_msat: part.total_msat,
        arrived: part.arrived,
    }
}

fn part(state: PartState) -> Part {
    Part {
        payment_hash: state.payment_hash,
        payment_secret: state.payment_secret,
        amt_to_forward: state.amt_to_forward,
        total_msat: state.total_msat,
        arrived: state.arrived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payee::Held;

    #[test]
    fn a_set_that_is_held_is_held_after_a_restart_and_settled_once() {
        let mut payee = Payee::default();
        let invoice = Invoice {
            preimage: None,
            secret: [4; 32],
            amount_msat: Some(1_000),
        };
        payee.expect([1; 32], invoice.clone());
        let held = Set {
            parts: vec![Part {
                payment_hash: [1; 32],
                payment_secret: Some([4; 32]),
                amt_to_forward: 1_000,
                ..Part::default()
            }],
            records: vec![Record::new(65_537, [1, 2])],
            amount_msat: 1_000,
            cltv_expiry: 600,
            ..Set::default()
        };
        payee.sets.insert([1; 32], held);
        payee.settled([2; 32]);

        let text = serde_json::to_string(&payee.remember()).unwrap();
        let mut again = Payee::default();
        again.recall(serde_json::from_str(&text).unwrap());
        assert_eq!(again.invoices[&[1; 32]], invoice);
        assert!(again.paid.contains(&[2; 32]));
        assert_eq!(again.held([1; 32]), Held::Hold);
        let set = again.settled([1; 32]).unwrap();
        assert_eq!(
            (set.parts(), set.amount_msat, set.cltv_expiry),
            (1, 1_000, 600)
        );
        assert_eq!(set.records, [Record::new(65_537, [1, 2])]);
        assert_eq!(again.held([1; 32]), Held::Gone);
    }
}
