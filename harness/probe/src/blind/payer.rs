//! The payer along a blinded path: the blinded end of an onion, honest or wrong in one named way, and
//! `blinded_path.pay`.

use super::{LIFETIME, PAY, Path, key};
use crate::node::Node;
use crate::ops::misbehaviour;
use crate::shot::{Forward, Shot, payment_data, truncated};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::blinding::{self, BlindedPath};
use lnconform_drafts::bolt12::invoice::Payinfo;
use lnconform_drafts::keys;
use lnconform_drafts::onion::{self, Hop};
use lnconform_drafts::payload::kind;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, hex};
use serde_json::json;
use std::sync::Arc;

/// Blocks that `blinded-cltv-late` adds: more than a path of the probe's lasts.
const LATE: u32 = 2 * LIFETIME;

/// A layer of the onion for a node of a blinded path.
#[derive(Clone, Debug)]
struct Layer {
    /// The key that it is encrypted to.
    key: PublicKey,
    records: Vec<Record>,
}

/// The blinded end of an HTLC's onion.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The path key that goes into the message: the first layer is for a node behind the introduction
    /// node.
    pub message_key: Option<PublicKey>,
    layers: Vec<Layer>,
    /// How many blocks before the HTLC to the first layer's node the recipient's payload says that it
    /// expires. `None`: it does not say.
    back: Option<i64>,
}

impl Tail {
    /// Appends its layers, for an HTLC to the first of its nodes that expires at `cltv`; answers the
    /// recipient's payload.
    pub fn push(&self, hops: &mut Vec<Hop>, cltv: u32) -> Vec<u8> {
        let mut payload = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let mut records = layer.records.clone();
            if let Some(back) = self.back.filter(|_| at + 1 == self.layers.len()) {
                let height = u64::try_from(i64::from(cltv) - back).unwrap_or(0);
                records.push(Record::new(kind::CLTV, truncated(height)));
            }
            records.sort_by_key(|record| record.kind);
            payload = tlv::encode_unchecked(&records);
            hops.push(Hop {
                pubkey: layer.key,
                framed: onion::frame(&payload),
            });
        }
        payload
    }
}

/// A blinded payment before it is sent: everything that a misbehaviour may change.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The node that the first blinded layer is for.
    pub(super) first: PublicKey,
    /// In msat, to that node.
    pub(super) htlc_msat: u64,
    /// Blocks from the tip until that HTLC expires.
    delta: u32,
    tail: Tail,
}

impl Plan {
    /// An honest payment. Where the path begins at `own`, its first hop is taken here: `next` finds who
    /// is at the other end of a channel.
    pub(super) fn new(
        path: &Path,
        amount_msat: u64,
        own: &SecretKey,
        next: impl Fn(u64) -> Option<PublicKey>,
    ) -> Result<Self, OpError> {
        let rules = Rules::all();
        let mut htlc_msat = path.with_fee(amount_msat);
        let mut delta = path.cltv_expiry_delta;
        let (mut first, mut hops, mut message_key) = (path.first_node, &path.hops[..], None);
        if path.first_node == keys::public(own) {
            let unreadable = |e: &dyn std::fmt::Display| {
                OpError::invalid(format!(
                    "the path begins at the probe, which cannot read its part: {e}"
                ))
            };
            let Some((mine, others)) = hops.split_first().filter(|(_, rest)| !rest.is_empty())
            else {
                return Err(OpError::invalid("the path begins and ends at the probe"));
            };
            let read = blinding::unblind(&rules, own, &path.path_key, &mine.encrypted_data)
                .map_err(|e| unreadable(&e))?;
            let by_channel = read.data.short_channel_id.and_then(next);
            let by_id = read.data.next_node_id.map(|id| key(&id)).transpose()?;
            first = by_channel
                .or(by_id)
                .ok_or_else(|| unreadable(&"it names no peer of the probe's"))?;
            let relay = read.data.payment_relay.unwrap_or_default();
            htlc_msat = relay
                .forwarded(htlc_msat)
                .ok_or_else(|| unreadable(&"the amount does not cover its fee"))?;
            delta = delta.saturating_sub(relay.cltv_expiry_delta.into());
            message_key = Some(key(&read.forward_path_key())?);
            hops = others;
        }
        let mut layers = Vec::with_capacity(hops.len());
        for (at, hop) in hops.iter().enumerate() {
            let mut records = vec![Record::new(
                kind::ENCRYPTED_DATA,
                hop.encrypted_data.clone(),
            )];
            let at_introduction = at == 0 && message_key.is_none();
            if at_introduction {
                records.push(Record::new(kind::PATH_KEY, path.path_key));
            }
            if at + 1 == hops.len() {
                records.push(Record::new(kind::AMOUNT, truncated(amount_msat)));
                records.push(Record::new(kind::TOTAL, truncated(amount_msat)));
            }
            layers.push(Layer {
                // BOLT 4, route blinding: the introduction node's layer is for its own key.
                key: if at_introduction {
                    first
                } else {
                    key(&hop.blinded_node_id)?
                },
                records,
            });
        }
        Ok(Self {
            first,
            htlc_msat,
            delta,
            tail: Tail {
                message_key,
                layers,
                // BOLT 4, payload format, writer: the current height is what the recipient is told.
                back: Some(delta.into()),
            },
        })
    }

    /// Does wrong what `name` says. `false` if nobody has said how.
    pub(super) fn misbehave(&mut self, name: &str, path: &Path) -> bool {
        let amount_msat = self.htlc_msat;
        let Some(first) = self.tail.layers.first_mut() else {
            return false;
        };
        match name {
            "blinded-extra" => first.records.push(Record::new(65_537, [1])),
            "blinded-amount" => first
                .records
                .push(Record::new(kind::AMOUNT, truncated(amount_msat))),
            "blinded-cltv" => first.records.push(Record::new(kind::CLTV, [1])),
            "blinded-path-key-missing" => {
                first.records.retain(|r| r.kind != kind::PATH_KEY);
                // Without a path key only this node's own key opens the layer.
                first.key = self.first;
                self.tail.message_key = None;
            }
            "blinded-path-key-twice" => match self.tail.message_key {
                Some(sent) => first
                    .records
                    .push(Record::new(kind::PATH_KEY, sent.serialize())),
                None => {
                    let blinded = path.hops.first().map(|hop| key(&hop.blinded_node_id));
                    let (Some(Ok(blinded)), Ok(sent)) = (blinded, key(&path.path_key)) else {
                        return false;
                    };
                    first.key = blinded;
                    self.tail.message_key = Some(sent);
                }
            },
            "blinded-data-altered" => {
                let sealed = first
                    .records
                    .iter_mut()
                    .find(|r| r.kind == kind::ENCRYPTED_DATA);
                if let Some(byte) = sealed.and_then(|record| record.value.first_mut()) {
                    *byte ^= 1;
                }
            }
            "blinded-data-missing" => first.records.retain(|r| r.kind != kind::ENCRYPTED_DATA),
            "blinded-fee-short" => self.htlc_msat = amount_msat.saturating_sub(1),
            "blinded-fee-none" => self.htlc_msat = path.fee_base_msat.saturating_sub(1),
            "blinded-below-minimum" => self.htlc_msat = path.htlc_minimum_msat.saturating_sub(1),
            "blinded-cltv-short" => self.delta = self.delta.saturating_sub(1),
            "blinded-cltv-late" => {
                self.delta += LATE;
                self.tail.back = self.tail.back.map(|back| back + i64::from(LATE));
            }
            "blinded-to-introduction" => {
                let last = self.tail.layers.pop();
                self.tail.layers.truncate(1);
                let own = |r: &Record| matches!(r.kind, kind::AMOUNT | kind::TOTAL);
                let moved = last.into_iter().flat_map(|layer| layer.records).filter(own);
                if let Some(layer) = self.tail.layers.first_mut() {
                    layer.records.extend(moved);
                }
            }
            "blinded-final-extra" => self.last(|records| records.push(Record::new(65_537, [1]))),
            "blinded-final-secret" => {
                self.last(|records| records.push(payment_data(&[1; 32], amount_msat)));
            }
            "blinded-final-without-amount" => self.last(|r| r.retain(|r| r.kind != kind::AMOUNT)),
            "blinded-final-without-total" => self.last(|r| r.retain(|r| r.kind != kind::TOTAL)),
            "blinded-final-without-cltv" => self.tail.back = None,
            "blinded-final-amount-below" => self.last(|records| {
                for record in records {
                    if matches!(record.kind, kind::AMOUNT | kind::TOTAL) {
                        less(&mut record.value);
                    }
                }
            }),
            "blinded-final-cltv-above" => self.tail.back = Some(-1),
            _ => return false,
        }
        true
    }

    fn last(&mut self, change: impl FnOnce(&mut Vec<Record>)) {
        if let Some(layer) = self.tail.layers.last_mut() {
            change(&mut layer.records);
        }
    }

    pub(super) fn shot(&self, hash: [u8; 32], route: Vec<Forward>, session: SecretKey) -> Shot {
        Shot {
            hash,
            htlc_msat: self.htlc_msat,
            delta: self.delta,
            route,
            to: self.first,
            amount_msat: self.htlc_msat,
            cltv_above: 0,
            records: Vec::new(),
            twist: None,
            session,
            tail: Some(self.tail.clone()),
        }
    }
}

/// One less than a truncated integer that is not zero.
fn less(value: &mut Vec<u8>) {
    let number = value
        .iter()
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    *value = truncated(number.saturating_sub(1));
}

/// `blinded_path.pay`: `path`, `payment_hash`, `amount_msat` (msat, for the recipient); answers
/// `payment` and `payment_hash`.
///
/// # Errors
/// `invalid` where the path cannot be read or begins at the probe and leads nowhere, `rejected` where
/// its introduction node cannot be reached.
pub fn pay(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let path = Path::read(Params::new(params.need("path")?))?;
    let hash = params.array::<32>("payment_hash")?;
    let amount = params.number("amount_msat")?;
    let wrong = misbehaviour(params, PAY)?;
    let by_trampolines = params.get("trampolines").is_some();
    if let Some(name) = &wrong
        && name.starts_with("trampoline-") != by_trampolines
    {
        let with = if by_trampolines { "without" } else { "with" };
        let why = format!("param misbehave is {name}, which is for a payment {with} trampolines");
        return Err(OpError::invalid(why).into());
    }
    let node = node()?;
    if by_trampolines {
        let wrong = wrong.as_deref();
        return crate::trampoline::blinded::pay(params, &node, (&path, hash, amount), wrong);
    }
    let shot = shot_along(&node, &path, hash, amount, wrong.as_deref())?;
    let payment = hex(node.hook.draw());
    node.send(&payment, vec![shot]);
    Ok(json!({"payment": payment, "payment_hash": hex(hash)}))
}

/// The HTLC that pays `amount` msat along a path.
///
/// # Errors
/// As [`pay`].
pub(crate) fn shot_along(
    node: &Node,
    path: &Path,
    hash: [u8; 32],
    amount: u64,
    wrong: Option<&str>,
) -> Result<Shot, Fail> {
    let next = |scid| node.peer_of(scid);
    let mut plan = Plan::new(path, amount, &node.hook.secret, next)?;
    if let Some(name) = wrong.filter(|name| !plan.misbehave(name, path)) {
        let why = format!("the probe has {name} in its list and does not know how");
        return Err(OpError::internal(why).into());
    }
    let route = node.route(plan.first, plan.htlc_msat)?;
    Ok(plan.shot(hash, route, node.hook.draw_key()))
}

/// An HTLC along a path of an invoice, whose first node is given with it, for `amount_msat` at the
/// recipient; `more` are further records of the recipient's payload.
///
/// # Errors
/// `invalid` where the path leads nowhere, `rejected` where its first node cannot be reached.
pub(crate) fn along(
    node: &Node,
    (path, first_node, info): (&BlindedPath, PublicKey, &Payinfo),
    hash: [u8; 32],
    amount_msat: u64,
    more: Vec<Record>,
) -> Result<Shot, Fail> {
    let path = Path {
        first_node,
        path_key: path.first_path_key,
        hops: path.hops.clone(),
        fee_base_msat: info.fee_base_msat.into(),
        fee_proportional_millionths: info.fee_proportional_millionths.into(),
        cltv_expiry_delta: info.cltv_expiry_delta.into(),
        htlc_minimum_msat: info.htlc_minimum_msat,
    };
    let next = |scid| node.peer_of(scid);
    let mut plan = Plan::new(&path, amount_msat, &node.hook.secret, next)?;
    plan.last(|records| records.extend(more));
    let route = node.route(plan.first, plan.htlc_msat)?;
    Ok(plan.shot(hash, route, node.hook.draw_key()))
}
