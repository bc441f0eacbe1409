//! The payee over a restart: invoices, AMP invoices, blinded paths, what was paid, and the sets that it holds. Sets
//! of AMP that are not settled are left out.

use super::amp_payee::AmpInvoice;
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
    /// Hashes whose invoices take no several parts.
    #[serde(with = "crate::node::hexed::list")]
    single: Vec<Bytes>,
    /// Hashes of the entries of pools.
    #[serde(with = "crate::node::hexed::list")]
    entries: Vec<Bytes>,
    /// Blinded paths that were made for an invoice, whose secret is the mark in the path.
    paths: Vec<Invoiced>,
    amp_invoices: Vec<AmpInvoiceState>,
    /// Payment secrets and set ids of AMP sets that were settled.
    amp_settled: Vec<(Text, Text)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AmpInvoiceState {
    secret: Text,
    payment_hash: Text,
    amount_msat: Option<u64>,
    expires: u64,
    closed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct SetState {
    hash: Bytes,
    parts: Vec<PartState>,
    preimage: Option<Bytes>,
    #[serde(default)]
    keysend: bool,
    records: Vec<(u64, Vec<u8>)>,
    amount_msat: u64,
    set_id: Option<Bytes>,
    trampoline: Option<Vec<u8>>,
    cltv_expiry: u32,
    #[serde(default)]
    path_key: Option<Hexed<[u8; 33]>>,
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
        let sets = self.sets.iter().map(|(hash, set)| SetState {
            hash: *hash,
            parts: set.parts.iter().map(part_state).collect(),
            preimage: set.preimage,
            keysend: set.keysend,
            records: set
                .records
                .iter()
                .map(|r| (r.kind, r.value.to_vec()))
                .collect(),
            amount_msat: set.amount_msat,
            set_id: set.set_id,
            trampoline: set.trampoline.clone(),
            cltv_expiry: set.cltv_expiry,
            path_key: set.path_key.map(Hexed),
        });
        let amp_invoices = self.amp.invoices.iter();
        let amp_invoices = amp_invoices.map(|(secret, invoice)| AmpInvoiceState {
            secret: Hexed(*secret),
            payment_hash: Hexed(invoice.payment_hash),
            amount_msat: invoice.amount_msat,
            expires: invoice.expires,
            closed: invoice.closed,
        });
        let amp_settled = self.amp.done.iter();
        let amp_settled = amp_settled.map(|(secret, id)| (Hexed(*secret), Hexed(*id)));
        State {
            invoices: self.invoices.iter().map(|(h, i)| invoiced(h, i)).collect(),
            sets: sets.collect(),
            paid: self.paid.iter().copied().collect(),
            seen: self.seen.iter().copied().collect(),
            single: self.single.iter().copied().collect(),
            entries: self.entries.iter().copied().collect(),
            paths: self.paths.0.values().map(|(h, i)| invoiced(h, i)).collect(),
            amp_invoices: amp_invoices.collect(),
            amp_settled: amp_settled.collect(),
        }
    }

    /// Takes up what was remembered.
    pub fn recall(&mut self, state: State) {
        self.invoices
            .extend(state.invoices.into_iter().map(invoice));
        for (hash, invoice) in state.paths.into_iter().map(invoice) {
            self.paths.expect(hash, invoice);
        }
        for asked in state.amp_invoices {
            let invoice = AmpInvoice {
                payment_hash: asked.payment_hash.0,
                amount_msat: asked.amount_msat,
                expires: asked.expires,
                closed: asked.closed,
            };
            self.amp.expect(asked.secret.0, invoice);
        }
        let settled = state.amp_settled.into_iter();
        self.amp
            .done
            .extend(settled.map(|(secret, id)| (secret.0, id.0)));
        self.single.extend(state.single);
        self.entries.extend(state.entries);
        for set in state.sets {
            let records = set.records.into_iter();
            // What comes with AMP is not remembered.
            let taken = Set {
                parts: set.parts.into_iter().map(part).collect(),
                preimage: set.preimage,
                keysend: set.keysend,
                records: records
                    .map(|(kind, value)| Record::new(kind, value))
                    .collect(),
                amount_msat: set.amount_msat,
                set_id: set.set_id,
                trampoline: set.trampoline,
                cltv_expiry: set.cltv_expiry,
                path_key: set.path_key.map(|key| key.0),
                ..Set::default()
            };
            self.sets.insert(set.hash, taken);
        }
        self.paid.extend(state.paid);
        self.seen.extend(state.seen);
    }
}

fn invoiced(hash: &Bytes, invoice: &Invoice) -> Invoiced {
    (
        Hexed(*hash),
        invoice.preimage.map(Hexed),
        Hexed(invoice.secret),
        invoice.amount_msat,
    )
}

fn invoice((hash, preimage, secret, amount_msat): Invoiced) -> (Bytes, Invoice) {
    let invoice = Invoice {
        preimage: preimage.map(|preimage| preimage.0),
        secret: secret.0,
        amount_msat,
    };
    (hash.0, invoice)
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
            keysend: true,
            path_key: Some([2; 33]),
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
        assert_eq!((set.keysend, set.path_key), (true, Some([2; 33])));
        assert_eq!(
            (set.parts(), set.amount_msat, set.cltv_expiry),
            (1, 1_000, 600)
        );
        assert_eq!(set.records, [Record::new(65_537, [1, 2])]);
        assert_eq!(again.held([1; 32]), Held::Gone);
    }

    #[test]
    fn what_was_asked_for_is_asked_for_after_a_restart() {
        let mut payee = Payee::default();
        let open = AmpInvoice {
            payment_hash: [8; 32],
            amount_msat: Some(7),
            expires: 9,
            closed: false,
        };
        let closed = AmpInvoice {
            closed: true,
            ..open.clone()
        };
        payee.amp.expect([1; 32], open.clone());
        payee.amp.expect([2; 32], closed.clone());
        payee.amp.done.insert(([1; 32], [3; 32]));
        let along = Invoice {
            preimage: Some([4; 32]),
            secret: [5; 32],
            amount_msat: None,
        };
        payee.paths.expect([6; 32], along.clone());
        payee.single_part([7; 32]);
        payee.entries.insert([9; 32]);

        let text = serde_json::to_string(&payee.remember()).unwrap();
        let mut again = Payee::default();
        again.recall(serde_json::from_str(&text).unwrap());
        assert_eq!(again.amp.invoices[&[1; 32]], open);
        assert_eq!(again.amp.invoices[&[2; 32]], closed);
        assert!(again.amp.done.contains(&([1; 32], [3; 32])));
        assert_eq!(again.paths.of(&[6; 32]), Some(along));
        assert!(again.single.contains(&[7; 32]) && again.entries.contains(&[9; 32]));
    }
}
