//! Proofs, pools and tunnels over a restart: requests that were sent, receipts that are due, and whose entries
//! were handed out or released.

use super::pool::{Own, Tunnels};
use super::receipts::{First, Receipts};
use super::tunnel::{self, Arrival, Seals};
use super::{Due, Made, Proofs};
use crate::node::hexed::Hexed;
use bitcoin::secp256k1::PublicKey;
use lnconform_drafts::amp_tunnel::{self, Assigned, Htlc, Part, Place, Used};
use lnconform_drafts::keysend_proof::Statement;
use lnconform_drafts::rules::{self, Violation};
use serde::{Deserialize, Serialize};

type Key = Hexed<[u8; 32]>;
type Point = Hexed<[u8; 33]>;
type Bytes = Hexed<Vec<u8>>;

/// What is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    due: Vec<(Key, DueState)>,
    refused: Vec<(Key, Refused)>,
    #[serde(with = "crate::node::hexed::list")]
    hashes: Vec<[u8; 32]>,
    #[serde(with = "crate::node::hexed::list")]
    commitments: Vec<[u8; 32]>,
    /// By payment hash: whom it was sent to, the request, and the first receipt.
    made: Vec<(Key, Point, Bytes, Option<Bytes>)>,
    ahead: Vec<(Key, Option<Refused>)>,
    seals: SealsState,
    tunnels: TunnelsState,
}

#[derive(Debug, Serialize, Deserialize)]
struct DueState {
    commitment: Key,
    payment_hash: Key,
    received_msat: u64,
    settled_time: u64,
    amount_msat: u64,
    reply: Option<Point>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    rule: String,
    message: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SealsState {
    due: Vec<SealDue>,
    refused: Vec<(Key, Refused)>,
    #[serde(with = "crate::node::hexed::list")]
    commitments: Vec<[u8; 32]>,
    #[serde(with = "crate::node::hexed::list")]
    set_ids: Vec<[u8; 32]>,
    made: Vec<SealMade>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SealDue {
    commitment: Key,
    set_id: Key,
    root_hash: Key,
    set_digest: Key,
    received_msat: u64,
    settled_time: u64,
    amount_msat: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct SealMade {
    place: PlaceState,
    request: Bytes,
    set_id: Key,
    /// Hash, and amount in msat.
    htlcs: Vec<(Key, u64)>,
    receipt: Option<Bytes>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlaceState {
    chain_hash: Key,
    recipient_id: Point,
    payment_addr: Key,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct TunnelsState {
    pools: Vec<OwnState>,
    settled: Vec<(Key, ArrivalState)>,
    /// By root: index and assignee.
    assigned: Vec<(Key, Vec<(u32, Key)>)>,
    sent: Vec<(Bytes, String)>,
    sets: Vec<(Key, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OwnState {
    place: PlaceState,
    header: Bytes,
    #[serde(with = "crate::node::hexed::list")]
    hashes: Vec<[u8; 32]>,
    #[serde(with = "crate::node::hexed::list")]
    secrets: Vec<[u8; 32]>,
    /// Index and commitment.
    used: Vec<(u32, Key)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ArrivalState {
    payment_addr: Key,
    total_msat: u64,
    parts: Vec<PartState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PartState {
    request: Option<Bytes>,
    share: Key,
    index: u32,
    payment_hash: Key,
    amount_msat: u64,
}

impl Proofs {
    /// What a restart has to leave as it is.
    pub fn remember(&self) -> State {
        let made = self.made.iter().map(|(hash, made)| {
            let request = Hexed(made.request.clone());
            (Hexed(*hash), Hexed(made.to), request, first(&made.receipt))
        });
        let ahead = self.ahead.iter().map(|(hash, decided)| {
            let refused = decided.as_ref().err().map(Refused::from);
            (Hexed(*hash), refused)
        });
        let due = self.receipts.due.iter();
        State {
            due: due.map(|(hash, due)| (Hexed(*hash), due.into())).collect(),
            refused: refused(&self.receipts),
            hashes: self.hashes.clone(),
            commitments: self.commitments.clone(),
            made: made.collect(),
            ahead: ahead.collect(),
            seals: self.seals.remember(),
            tunnels: self.tunnels.remember(),
        }
    }

    /// Takes up what was remembered.
    pub fn recall(&mut self, state: State) {
        let due = state.due.into_iter();
        self.receipts
            .due
            .extend(due.map(|(hash, due)| (hash.0, due.into())));
        recall_refused(&mut self.receipts, state.refused);
        self.hashes.extend(state.hashes);
        self.commitments.extend(state.commitments);
        for (hash, to, request, receipt) in state.made {
            let made = Made {
                to: to.0,
                request: request.0,
                receipt: First(receipt.map(|receipt| receipt.0)),
            };
            self.made.insert(hash.0, made);
        }
        for (hash, refused) in state.ahead {
            let decided = refused.map_or(Ok(()), |refused| Err(refused.into()));
            self.ahead.insert(hash.0, decided);
        }
        self.seals.recall(state.seals);
        self.tunnels.recall(state.tunnels);
    }
}

fn first(receipt: &First) -> Option<Bytes> {
    receipt.0.clone().map(Hexed)
}

fn refused<D>(receipts: &Receipts<D>) -> Vec<(Key, Refused)> {
    let refused = receipts.refused.iter();
    refused
        .map(|(payment, violation)| (Hexed(*payment), violation.into()))
        .collect()
}

fn recall_refused<D>(receipts: &mut Receipts<D>, refused: Vec<(Key, Refused)>) {
    let refused = refused.into_iter();
    receipts
        .refused
        .extend(refused.map(|(payment, why)| (payment.0, why.into())));
}

impl From<&Violation> for Refused {
    fn from(violation: &Violation) -> Self {
        Self {
            rule: violation.rule.to_owned(),
            message: violation.message.clone(),
        }
    }
}

impl From<Refused> for Violation {
    fn from(refused: Refused) -> Self {
        let known = rules::find(&refused.rule).map(|rule| rule.id);
        Self {
            // Some are the probe's own; there are as many as payments that were refused.
            rule: known.unwrap_or_else(|| refused.rule.leak()),
            message: refused.message,
        }
    }
}

impl From<&Due> for DueState {
    fn from(due: &Due) -> Self {
        Self {
            commitment: Hexed(due.commitment),
            payment_hash: Hexed(due.statement.payment_hash),
            received_msat: due.statement.received_msat,
            settled_time: due.statement.settled_time,
            amount_msat: due.amount_msat,
            reply: due.reply.map(|key| Hexed(key.serialize())),
        }
    }
}

impl From<DueState> for Due {
    fn from(due: DueState) -> Self {
        Self {
            commitment: due.commitment.0,
            statement: Statement {
                payment_hash: due.payment_hash.0,
                received_msat: due.received_msat,
                settled_time: due.settled_time,
            },
            amount_msat: due.amount_msat,
            reply: due
                .reply
                .and_then(|point| PublicKey::from_slice(&point.0).ok()),
        }
    }
}

impl From<&Place> for PlaceState {
    fn from(place: &Place) -> Self {
        Self {
            chain_hash: Hexed(place.chain_hash),
            recipient_id: Hexed(place.recipient_id),
            payment_addr: Hexed(place.payment_addr),
        }
    }
}

impl From<PlaceState> for Place {
    fn from(place: PlaceState) -> Self {
        Self {
            chain_hash: place.chain_hash.0,
            recipient_id: place.recipient_id.0,
            payment_addr: place.payment_addr.0,
        }
    }
}

impl Seals {
    fn remember(&self) -> SealsState {
        let due = self.receipts.due.values().map(|due| SealDue {
            commitment: Hexed(due.commitment),
            set_id: Hexed(due.statement.set_id),
            root_hash: Hexed(due.statement.root_hash),
            set_digest: Hexed(due.statement.set_digest),
            received_msat: due.statement.received_msat,
            settled_time: due.statement.settled_time,
            amount_msat: due.amount_msat,
        });
        let made = self.made.iter().map(|made| SealMade {
            place: (&made.place).into(),
            request: Hexed(made.request.clone()),
            set_id: Hexed(made.set_id),
            htlcs: made
                .htlcs
                .iter()
                .map(|htlc| (Hexed(htlc.payment_hash), htlc.amount_msat))
                .collect(),
            receipt: first(&made.receipt),
        });
        SealsState {
            due: due.collect(),
            refused: refused(&self.receipts),
            commitments: self.commitments.clone(),
            set_ids: self.set_ids.clone(),
            made: made.collect(),
        }
    }

    fn recall(&mut self, state: SealsState) {
        for due in state.due {
            let set_id = due.set_id.0;
            let due = tunnel::Due {
                commitment: due.commitment.0,
                statement: amp_tunnel::Statement {
                    set_id,
                    root_hash: due.root_hash.0,
                    set_digest: due.set_digest.0,
                    received_msat: due.received_msat,
                    settled_time: due.settled_time,
                },
                amount_msat: due.amount_msat,
            };
            self.receipts.due.insert(set_id, due);
        }
        recall_refused(&mut self.receipts, state.refused);
        self.commitments.extend(state.commitments);
        self.set_ids.extend(state.set_ids);
        let made = state.made.into_iter();
        self.made.extend(made.map(|made| tunnel::Made {
            place: made.place.into(),
            request: made.request.0,
            set_id: made.set_id.0,
            htlcs: made.htlcs.into_iter().map(htlc).collect(),
            receipt: First(made.receipt.map(|receipt| receipt.0)),
        }));
    }
}

fn htlc((payment_hash, amount_msat): (Key, u64)) -> Htlc {
    Htlc {
        payment_hash: payment_hash.0,
        amount_msat,
    }
}

impl Tunnels {
    fn remember(&self) -> TunnelsState {
        let pools = self.pools.iter().map(|own| OwnState {
            place: (&own.place).into(),
            header: Hexed(own.header.clone()),
            hashes: own.hashes.clone(),
            secrets: own.secrets.clone(),
            used: own
                .used
                .iter()
                .map(|used| (used.index, Hexed(used.commitment)))
                .collect(),
        });
        let settled = self.settled.iter();
        let assigned = self.assigned.iter().map(|(root, assigned)| {
            let assigned = assigned.iter().map(|a| (a.index, Hexed(a.assignee)));
            (Hexed(*root), assigned.collect())
        });
        let sent = self.sent.iter();
        let sets = self.sets.iter();
        TunnelsState {
            pools: pools.collect(),
            settled: settled
                .map(|(set_id, arrival)| (Hexed(*set_id), arrival.into()))
                .collect(),
            assigned: assigned.collect(),
            sent: sent
                .map(|(request, payment)| (Hexed(request.clone()), payment.clone()))
                .collect(),
            sets: sets
                .map(|(set_id, payment)| (Hexed(*set_id), payment.clone()))
                .collect(),
        }
    }

    fn recall(&mut self, state: TunnelsState) {
        let pools = state.pools.into_iter();
        self.pools.extend(pools.map(|own| {
            Own {
                place: own.place.into(),
                header: own.header.0,
                hashes: own.hashes,
                secrets: own.secrets,
                used: own
                    .used
                    .into_iter()
                    .map(|(index, commitment)| Used {
                        index,
                        commitment: commitment.0,
                    })
                    .collect(),
            }
        }));
        let settled = state.settled.into_iter();
        self.settled
            .extend(settled.map(|(set_id, arrival)| (set_id.0, arrival.into())));
        for (root, assigned) in state.assigned {
            let assigned = assigned.into_iter().map(|(index, assignee)| Assigned {
                index,
                assignee: assignee.0,
            });
            self.assigned.insert(root.0, assigned.collect());
        }
        let sent = state.sent.into_iter();
        self.sent
            .extend(sent.map(|(request, payment)| (request.0, payment)));
        let sets = state.sets.into_iter();
        self.sets
            .extend(sets.map(|(set_id, payment)| (set_id.0, payment)));
    }
}

impl From<&Arrival> for ArrivalState {
    fn from(arrival: &Arrival) -> Self {
        let parts = arrival.parts.iter().map(|part| PartState {
            request: part.request.clone().map(Hexed),
            share: Hexed(*part.share),
            index: part.index,
            payment_hash: Hexed(part.htlc.payment_hash),
            amount_msat: part.htlc.amount_msat,
        });
        Self {
            payment_addr: Hexed(arrival.payment_addr),
            total_msat: arrival.total_msat,
            parts: parts.collect(),
        }
    }
}

impl From<ArrivalState> for Arrival {
    fn from(arrival: ArrivalState) -> Self {
        let parts = arrival.parts.into_iter().map(|part| Part {
            request: part.request.map(|request| request.0),
            share: part.share.0.into(),
            index: part.index,
            htlc: htlc((part.payment_hash, part.amount_msat)),
        });
        Self {
            payment_addr: arrival.payment_addr.0,
            total_msat: arrival.total_msat,
            parts: parts.collect(),
        }
    }
}
