//! Keysend proofs (`specs/drafts/keysend-proof.md`) of the honest probe, in both roles: as the payee it
//! decides whether a receipt is due, and makes it; as the payer it remembers its requests, and judges the
//! receipts that come back.
//!
//! No clock and no node: heights and times are given. Whatever is wrong with a request, the payment is
//! kept as plain keysend, which the draft allows.

mod form;
pub(crate) mod lies;
pub(crate) mod pool;
mod receipts;
pub(crate) mod state;
#[cfg(test)]
mod testing;
pub(crate) mod tunnel;

use crate::misbehave::Plan;
use crate::node::Node;
use crate::node::env::lock;
use crate::ops;
use crate::payee::Set;
use crate::proofs::pool::Tunnels;
use crate::proofs::receipts::{First, Receipts};
use crate::proofs::tunnel::{Arrival, Seals};
use bitcoin::constants::ChainHash;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::amp_tunnel;
use lnconform_drafts::keys;
use lnconform_drafts::keysend_proof::{
    self, Decision, PREIMAGE_BOUND, Payment, Proof, RECEIPT_TYPE, REPLY_TYPE, REQUEST_TYPE,
    Receipt, Request, Seen, Statement, Window, accept, verify,
};
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Keysend proof, return channels, payer: a receipt for a payment that was none.
pub const MATCH_RECEIPT: &str = "keysend-proof/payer/match-receipt";
/// Keysend proof, payer: a request is not sent twice.
pub const NO_RESEND: &str = "keysend-proof/payer/no-resend";
/// Keysend proof, contradictory receipts.
pub const CONTRADICTION: &str = "keysend-proof/verifier/contradiction";

/// What a receipt takes that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What it is over.
    pub commitment: [u8; 32],
    /// What it states.
    pub statement: Statement,
    /// What the request asked to be paid, in msat.
    pub amount_msat: u64,
    /// Where it goes.
    pub reply: Option<PublicKey>,
}

/// A payment that was made with a request.
struct Made {
    to: [u8; 33],
    request: Vec<u8>,
    receipt: First,
}

/// What payer and payee remember.
pub struct Proofs {
    rules: Rules,
    id: [u8; 33],
    receipts: Receipts<Due>,
    hashes: Vec<[u8; 32]>,
    commitments: Vec<[u8; 32]>,
    made: HashMap<[u8; 32], Made>,
    /// Decided before the settlement, and not told yet.
    ahead: HashMap<[u8; 32], Result<(), Violation>>,
    /// Those of AMP sets.
    pub seals: Seals,
    /// Tunnels beside AMP sets.
    pub tunnels: Tunnels,
}

/// The chain hash of regtest.
pub fn chain_hash() -> [u8; 32] {
    ChainHash::REGTEST.to_bytes()
}

/// The value of a record.
pub fn value(records: &[Record], kind: u64) -> Option<&[u8]> {
    let record = records.iter().find(|record| record.kind == kind)?;
    Some(&record.value)
}

impl Proofs {
    /// Of a node with this id.
    pub fn new(id: &PublicKey) -> Self {
        Self {
            rules: Rules::all(),
            id: id.serialize(),
            receipts: Receipts::default(),
            hashes: Vec::new(),
            commitments: Vec::new(),
            made: HashMap::new(),
            ahead: HashMap::new(),
            seals: Seals::default(),
            tunnels: Tunnels::default(),
        }
    }

    // ---- payer

    /// Remembers the request of a payment that is about to be made, if it has one.
    ///
    /// # Errors
    /// The payer's rule against a request that was sent before, whatever became of that payment.
    pub fn sending(&mut self, plan: &Plan) -> Result<(), Violation> {
        let Some(request) = value(&plan.records, REQUEST_TYPE) else {
            return Ok(());
        };
        if !plan.again && self.made.values().any(|made| made.request == request) {
            return Err(Violation {
                rule: NO_RESEND,
                message: "the request was sent before".into(),
            });
        }
        let made = Made {
            to: plan.to.serialize(),
            request: request.to_vec(),
            receipt: First::default(),
        };
        self.made.insert(plan.hash(), made);
        Ok(())
    }

    /// Whether a payment was made with a request that asks for a receipt.
    pub fn wants(&self, hash: &[u8; 32]) -> bool {
        let made = self.made.get(hash);
        let request = made.map(|made| Request::decode(&self.rules, &made.request));
        matches!(request, Some(Ok(request)) if request.receipt_wanted())
    }

    /// Judges a receipt that has come; answers its tier.
    ///
    /// # Errors
    /// The rule of the payer or of the verifier by which it is refused.
    pub fn judge(&mut self, receipt: &[u8]) -> Result<u8, Violation> {
        let decoded = Receipt::decode(&self.rules, receipt)?;
        let hash = decoded.statement.payment_hash;
        let Some(made) = self.made.get_mut(&hash) else {
            return Err(Violation {
                rule: MATCH_RECEIPT,
                message: "no payment with its payment hash was made with a request".into(),
            });
        };
        let chain_hash = chain_hash();
        let proof = Proof {
            chain_hash: &chain_hash,
            recipient_id: &made.to,
            request: &made.request,
            receipt: Some(receipt),
            challenge: None,
            claim: None,
        };
        let verified = verify(&self.rules, &proof)?;
        let (rules, commitment) = (&self.rules, &*verified.opening.commitment);
        made.receipt.hold(receipt, CONTRADICTION, |both| {
            let judged = keysend_proof::contradiction(rules, &made.to, commitment, both)?;
            Ok(judged.proven.then_some(judged.statement))
        })?;
        Ok(verified.tier)
    }

    // ---- payee

    /// Decides about the receipt for a set that was settled `now`, in seconds. `None` if the payer has
    /// sent no request.
    pub fn settled(
        &mut self,
        hash: [u8; 32],
        set: &Set,
        now: u64,
    ) -> Option<Result<(), Violation>> {
        if let Some(decided) = self.ahead.remove(&hash) {
            return Some(decided);
        }
        let request = value(&set.records, REQUEST_TYPE)?;
        let decided = match set.preimage.filter(|_| set.keysend) {
            Some(preimage) => self.decide(hash, set, request, &preimage, now),
            // Of an invoice: there is no keysend preimage that the hash could be of.
            None => Err(Violation {
                rule: rules::KSP_RECIPIENT_PREIMAGE_HASH,
                message: "no keysend preimage came with the request".into(),
            }),
        };
        if let Ok(due) = &decided {
            self.hashes.push(hash);
            self.commitments.push(due.commitment);
        }
        Some(self.receipts.decided(hash, decided))
    }

    /// Decides as [`Proofs::settled`] does, before the settlement, which then finds it decided. Whether a
    /// receipt is due.
    pub fn settle_ahead(&mut self, hash: [u8; 32], set: &Set, now: u64) -> bool {
        let decided = self.settled(hash, set, now);
        let due = matches!(decided, Some(Ok(())));
        if let Some(decided) = decided {
            self.ahead.insert(hash, decided);
        }
        due
    }

    fn decide(
        &self,
        hash: [u8; 32],
        set: &Set,
        request: &[u8],
        preimage: &[u8; 32],
        now: u64,
    ) -> Result<Due, Violation> {
        let chain_hash = chain_hash();
        let payment = Payment {
            chain_hash: &chain_hash,
            recipient_id: &self.id,
            request,
            preimage,
            payment_hash: &hash,
            received_msat: set.amount_msat,
            now,
        };
        let seen = Seen {
            payment_hashes: &self.hashes,
            commitments: &self.commitments,
        };
        let amount_msat = Request::decode(&self.rules, request)?.amount_msat;
        match accept(&self.rules, &payment, Window::default(), seen)? {
            Decision::NotWanted(message) => Err(Violation {
                rule: rules::KSP_RECIPIENT_RECEIPT_WANTED,
                message,
            }),
            Decision::Due(opening) => Ok(Due {
                commitment: *opening.commitment,
                statement: Statement {
                    payment_hash: hash,
                    received_msat: set.amount_msat,
                    settled_time: now,
                },
                amount_msat,
                reply: self.reply(&set.records).ok().flatten(),
            }),
        }
    }

    /// Where the payer wants the receipt, if it says so.
    ///
    /// # Errors
    /// The rules of the record, by which it is as if it were absent.
    pub fn reply(&self, records: &[Record]) -> Result<Option<PublicKey>, Violation> {
        let Some(bytes) = value(records, REPLY_TYPE) else {
            return Ok(None);
        };
        let point = keysend_proof::decode_reply(&self.rules, bytes)?;
        Ok(PublicKey::from_slice(&point).ok())
    }

    /// The receipt for a payment: the same bytes each time, unless there is a lie in it.
    ///
    /// # Errors
    /// `rejected`, with the rule by which none is due.
    pub fn receipt(
        &self,
        hash: &[u8; 32],
        algorithm: u8,
        secret: &SecretKey,
        lie: Option<&str>,
    ) -> Result<(Due, Vec<u8>), OpError> {
        let due = self.receipts.due(hash, "payment with this hash")?;
        let receipt = match lie {
            None => sign(due, algorithm, secret),
            Some(lie) => lies::receipt(due, algorithm, secret, lie),
        };
        let receipt = receipt.ok_or_else(|| {
            OpError::invalid(
                "param algorithm is neither 0 nor 1, or misbehave is no lie in this receipt",
            )
        })?;
        Ok((due.clone(), receipt))
    }

    /// What an event says of a set besides the set: `proof` {`receipt_due`, and the `rule` and `message`
    /// by which none is; `reply_rule`} of one that came with a request, `receipt` {`tier`, or `rule` and
    /// `message`} of one that came with a receipt; `amp` of a set of AMP ([`Arrival::json`]).
    pub fn fields(
        &mut self,
        fields: ResultObject,
        hash: [u8; 32],
        set: &Set,
        now: u64,
    ) -> ResultObject {
        let of_amp = set.arrival.as_ref().zip(set.set_id);
        let decided = match of_amp {
            Some((arrival, set_id)) => {
                self.tunnels.amp_settled(set_id, arrival);
                self.seals.settled(self.id, &set_id, arrival, now)
            }
            None => self.settled(hash, set, now),
        };
        let proof = decided.map(|decided| {
            let reply = self.reply(&set.records).err();
            let refused = decided.err();
            ResultObject::new()
                .with("receipt_due", refused.is_none())
                .maybe("rule", refused.as_ref().map(|v| v.rule))
                .maybe("message", refused.as_ref().map(|v| v.message.clone()))
                .maybe("reply_rule", reply.map(|v| v.rule))
                .done()
        });
        let judged = match value(&set.records, RECEIPT_TYPE) {
            Some(receipt) => Some(self.judge(receipt)),
            None => value(&set.records, amp_tunnel::RECEIPT_TYPE)
                .map(|receipt| self.seals.judge(receipt)),
        };
        let receipt = judged.map(|judged| match judged {
            Ok(tier) => ResultObject::new().with("tier", tier).done(),
            Err(violation) => ResultObject::new()
                .with("rule", violation.rule)
                .with("message", violation.message)
                .done(),
        });
        let amp = set.arrival.as_ref().map(Arrival::json);
        fields
            .maybe("amp", amp)
            .maybe("proof", proof)
            .maybe("receipt", receipt)
    }
}

/// Signs a receipt. `None` for an unknown algorithm.
pub fn sign(due: &Due, algorithm: u8, secret: &SecretKey) -> Option<Vec<u8>> {
    let (statement, commitment) = (&due.statement, &due.commitment);
    let signed = statement.sign(&Rules::all(), algorithm, commitment, secret, None);
    signed.ok().map(|(receipt, _)| receipt.encode())
}

/// Whether the preimage of a request's payment has to be the derived one.
pub fn is_bound(request: &Request) -> bool {
    request.flags & PREIMAGE_BOUND != 0
}

/// `receipt.send`: `payment_hash`, or `set_id` of an AMP set; `to` (the node of the payer's `ksp_reply` where it is absent),
/// `amount_msat` (1000), `algorithm` (0), `misbehave` → what `keysend.send` answers, and the `receipt`.
pub(crate) fn send(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let set_id = params.maybe("set_id", Params::array::<32>)?;
    let hash = match set_id {
        Some(_) => None,
        None => Some(params.array::<32>("payment_hash")?),
    };
    let to = params.get("to").map(|_| ops::public_key(params, "to"));
    let to = to.transpose()?;
    let amount = params.maybe("amount_msat", Params::number)?;
    let algorithm = params.maybe("algorithm", Params::u32)?.unwrap_or(0);
    let algorithm = u8::try_from(algorithm).unwrap_or(u8::MAX);
    let lie = ops::misbehaviour(params, "receipt.send")?;
    let node = node()?;
    let (secret, lie) = (&node.hook.secret, lie.as_deref());
    let (reply, kind, receipt) = match (set_id, hash) {
        (Some(set_id), _) => {
            let made = lock(&node.proofs).seals.receipt(&set_id, secret, lie);
            (None, amp_tunnel::RECEIPT_TYPE, made?)
        }
        (None, hash) => {
            let hash = hash.unwrap_or_default();
            let made = lock(&node.proofs).receipt(&hash, algorithm, secret, lie);
            let (due, receipt) = made?;
            (due.reply, RECEIPT_TYPE, receipt)
        }
    };
    let to = to.or(reply).ok_or_else(|| {
        OpError::invalid(
            "param to is missing, and the payer has not said where it wants the receipt",
        )
    })?;
    let preimage = node.hook.draw();
    let amounts = vec![amount.unwrap_or(1_000)];
    let mut plan = Plan::new(to, keys::sha256(&[&preimage]), amounts, ops::FINAL_DELTA);
    plan.keysend = Some(preimage.to_vec());
    plan.records = vec![Record::new(kind, receipt.clone())];
    let mut sent = ops::start(&node, &plan)?;
    if let Value::Object(fields) = &mut sent {
        fields.insert("receipt".into(), hex(receipt).into());
    }
    Ok(sent)
}
