//! The payer by trampolines: the onion inside, honest or with a lie in it, and `invoice.pay` with
//! `trampolines`.

use super::{FEE_MSAT, node_ids};
use crate::misbehave::Plan;
use crate::node::Node;
use crate::node::env::lock;
use crate::ops;
use crate::shot::{payment_data, truncated};
use crate::trampoline::relay::DELTA;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::onion::{self, Hop};
use lnconform_drafts::payload::kind;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::Params;

/// A payment through trampolines.
pub struct Through<'a> {
    /// The trampolines, and the recipient behind them.
    pub nodes: &'a [PublicKey],
    /// Of the invoice.
    pub hash: [u8; 32],
    /// Of the invoice.
    pub secret: [u8; 32],
    /// What the recipient is to get, in msat.
    pub amount_msat: u64,
    /// When its HTLC expires, blocks from `height`.
    pub delta: u32,
    /// Of the tip.
    pub height: u32,
    /// What each trampoline keeps, in msat.
    pub fee_msat: u64,
    /// What each trampoline has between the two expiries, in blocks.
    pub step: u32,
    /// The HTLCs to the first trampoline, in msat; none: all of it in one.
    pub parts: &'a [u64],
}

impl Through<'_> {
    /// The payment to the first trampoline, and what is shared with the nodes of the inner onion.
    /// `outer` is the payment secret of the outer onion, `session` the key of the inner one.
    ///
    /// # Errors
    /// There are no nodes, or their payloads do not fit.
    pub fn plan(
        &self,
        outer: [u8; 32],
        session: &SecretKey,
        lie: Option<&str>,
    ) -> Result<(Plan, Vec<[u8; 32]>), OpError> {
        let first = self.nodes.first();
        let first = *first.ok_or_else(|| OpError::invalid("param trampolines is empty"))?;
        let mut hops = Vec::with_capacity(self.nodes.len());
        let (mut amount, mut delta) = (self.amount_msat, self.delta);
        // What a trampoline is to pass on is what the next one is to get.
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let cltv = self.height.saturating_add(delta);
            let mut records = vec![
                Record::new(kind::AMOUNT, truncated(amount)),
                Record::new(kind::CLTV, truncated(cltv.into())),
            ];
            match self.nodes.get(at + 1) {
                Some(next) => {
                    records.push(Record::new(kind::OUTGOING_NODE_ID, next.serialize()));
                    amount = amount.saturating_add(self.fee_msat);
                    delta = delta.saturating_add(self.step);
                }
                None => records.push(payment_data(&self.secret, self.amount_msat)),
            }
            hops.push((*node, records));
        }
        hops.reverse();
        let honest = hops.clone();
        if let Some(lie) = lie {
            self.lie(lie, &mut hops);
            let elsewhere = [
                "trampoline-version",
                "trampoline-key",
                "trampoline-hmac",
                "trampoline-cut",
                "trampoline-final-total",
            ];
            if hops == honest && !elsewhere.contains(&lie) {
                return Err(OpError::invalid(format!(
                    "param misbehave is {lie}, which changes nothing in this payment"
                )));
            }
        }
        let framed = hops.iter().map(|(pubkey, records)| Hop {
            pubkey: *pubkey,
            framed: onion::frame(&tlv::encode_unchecked(records)),
        });
        let framed: Vec<Hop> = framed.collect();
        let size = onion::needed(&framed);
        let built = onion::build(&Rules::all(), session, &self.hash, &framed, size)
            .map_err(|e| OpError::invalid(format!("the trampoline onion cannot be made: {e}")))?;
        let mut packet = built.packet;
        match lie {
            Some("trampoline-version") => packet[0] = 1,
            Some("trampoline-key") => packet[1] = 5,
            Some("trampoline-cut") => packet.truncate(onion::OVERHEAD - 1),
            Some("trampoline-hmac") => {
                if let Some(last) = packet.last_mut() {
                    *last ^= 1;
                }
            }
            _ => {}
        }
        let mut parts = match self.parts {
            [] => vec![amount],
            parts => parts.to_vec(),
        };
        if parts.iter().sum::<u64>() != amount {
            let why = format!("param parts does not add up to the {amount} msat with fees");
            return Err(OpError::invalid(why));
        }
        if lie == Some("trampoline-final-total") {
            match &mut parts[..] {
                [_, .., last] if *last > 0 => *last -= 1,
                _ => {
                    let why =
                        "param misbehave is trampoline-final-total, which needs several parts";
                    return Err(OpError::invalid(why));
                }
            }
        }
        let mut plan = Plan::new(first, self.hash, parts, delta);
        plan.with_secret(outer);
        plan.records = vec![Record::new(kind::TRAMPOLINE_ONION, packet)];
        Ok((plan, built.shared_secrets))
    }

    /// Changes what the payloads of the inner onion say.
    fn lie(&self, name: &str, hops: &mut [(PublicKey, Vec<Record>)]) {
        let set = |records: &mut Vec<Record>, kind: u64, value: Vec<u8>| {
            for record in records.iter_mut().filter(|r| r.kind == kind) {
                record.value.clone_from(&value);
            }
        };
        let above = self.height.saturating_add(self.delta).saturating_add(1);
        if let Some((_, last)) = hops.last_mut() {
            match name {
                "trampoline-final-amount" => {
                    set(
                        last,
                        kind::AMOUNT,
                        truncated(self.amount_msat.saturating_add(1)),
                    );
                }
                "trampoline-final-cltv" => set(last, kind::CLTV, truncated(above.into())),
                "trampoline-final-secret" => last.retain(|r| r.kind != kind::PAYMENT_DATA),
                _ => {}
            }
        }
        if let Some((_, first)) = hops.first_mut() {
            match name {
                "trampoline-no-amount" => first.retain(|r| r.kind != kind::AMOUNT),
                "trampoline-no-cltv" => first.retain(|r| r.kind != kind::CLTV),
                "trampoline-no-node" => first.retain(|r| r.kind != kind::OUTGOING_NODE_ID),
                "trampoline-unknown-even" => first.push(Record::new(65_536, [])),
                _ => {}
            }
        }
    }
}

/// `invoice.pay` with `trampolines` [node ids], the first of them a peer, and for each of them
/// `trampoline_fee_msat` (1000) and `trampoline_delta` (blocks, 40). `parts` are the HTLCs to the first. With
/// none, the recipient itself gets the trampoline onion.
pub(crate) fn pay(
    params: Params<'_>,
    node: &Node,
    hash: [u8; 32],
    secret: [u8; 32],
    (to, amount_msat, delta): (PublicKey, u64, u32),
    lie: Option<&str>,
) -> Outcome {
    if let Some(name) = lie.filter(|name| !name.starts_with("trampoline-")) {
        let why = format!("param misbehave is {name}, which a payment by trampolines cannot do");
        return Err(OpError::invalid(why).into());
    }
    let mut nodes = node_ids(params)?;
    nodes.push(to);
    let parts = match params.get("parts") {
        None => Vec::new(),
        Some(_) => ops::parts(params, 0)?,
    };
    let fee_msat = params.maybe("trampoline_fee_msat", Params::number)?;
    let step = params.maybe("trampoline_delta", Params::u32)?;
    let through = Through {
        nodes: &nodes,
        hash,
        secret,
        amount_msat,
        delta,
        height: node.hook.height(),
        fee_msat: fee_msat.unwrap_or(FEE_MSAT),
        step: step.unwrap_or(DELTA),
        parts: &parts,
    };
    let (plan, inner) = through.plan(node.hook.draw(), &node.hook.draw_key(), lie)?;
    lock(&node.hook.pr836).sent(hash, inner);
    ops::start(node, &plan)
}
