//! Blinded payments: paths of the probe's own making, payments along anybody's path, and what becomes
//! of an HTLC that comes along one.
//!
//! BOLT 4, route blinding and payload format. Paths have one form for all who make them, `paths` of
//! `invoice.create` with `blinded`, so that a step can hand one to `blinded_path.pay`.

use crate::node::Node;
use crate::node::env::lock;
use crate::ops::{misbehaviour, public_key};
use crate::payee::{Arrived, Decision, Invoice, MIN_FINAL_DELTA, PAID, Payee, Refusal};
use crate::payee::{details, refusal, unreadable};
use crate::shot::{Forward, Shot, payment_data, truncated};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lightning03::routing::gossip::NodeId;
use lnconform_drafts::blinding::{self, BlindedHop, BlindedPath, Creator, FirstNode, kind as data};
use lnconform_drafts::bolt12::invoice::Payinfo;
use lnconform_drafts::failure::code;
use lnconform_drafts::keys::{self, Point};
use lnconform_drafts::mpp::Expected;
use lnconform_drafts::onion::{self, Hop};
use lnconform_drafts::payload::{self, Context, Position, RecipientPath, kind};
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// BOLT 4, route blinding, reader: the last hop knows its own path by the mark that it left there.
const PATH_ID: &str = "bolt04/blinding/path-id";
/// Blocks that may pass before a path of the probe's ends.
const LIFETIME: u32 = 144;
/// Blocks that `blinded-cltv-late` adds: more than a path of the probe's lasts.
const LATE: u32 = 2 * LIFETIME;

/// The operation that pays along a path.
pub const PAY: &str = "blinded_path.pay";
/// The operation that makes one, with `blinded`.
pub const CREATE: &str = "invoice.create";

// ---- the end of an onion that lies inside a path

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

// ---- a path as steps hand it on

/// A path for payments, and what a payer has to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The introduction node.
    pub(crate) first_node: PublicKey,
    /// What it opens its data with.
    pub(crate) path_key: Point,
    /// The introduction node first.
    pub(crate) hops: Vec<BlindedHop>,
    fee_base_msat: u64,
    fee_proportional_millionths: u64,
    /// Blocks, those that the recipient wants to have left among them.
    pub(crate) cltv_expiry_delta: u32,
    htlc_minimum_msat: u64,
}

impl Path {
    /// Reads what [`Path::value`] writes.
    fn read(params: Params<'_>) -> Result<Self, OpError> {
        let mut hops = Vec::new();
        for hop in params.list("hops")? {
            let hop = Params::new(hop);
            hops.push(BlindedHop {
                blinded_node_id: public_key(hop, "blinded_node_id")?.serialize(),
                encrypted_data: hop.hex("encrypted_data")?,
            });
        }
        if hops.is_empty() {
            return Err(OpError::invalid("param path has no hops"));
        }
        let info = Params::new(params.need("payinfo")?);
        Ok(Self {
            first_node: public_key(params, "first_node_id")?,
            path_key: public_key(params, "first_path_key")?.serialize(),
            hops,
            fee_base_msat: info.number("fee_base_msat")?,
            fee_proportional_millionths: info.number("fee_proportional_millionths")?,
            cltv_expiry_delta: info.u32("cltv_expiry_delta")?,
            htlc_minimum_msat: info.number("htlc_minimum_msat")?,
        })
    }

    fn value(&self) -> Value {
        let hop = |hop: &BlindedHop| {
            json!({
                "blinded_node_id": hex(hop.blinded_node_id),
                "encrypted_data": hex(&hop.encrypted_data),
            })
        };
        json!({
            "first_node_id": self.first_node.to_string(),
            "first_path_key": hex(self.path_key),
            "hops": self.hops.iter().map(hop).collect::<Value>(),
            "payinfo": {
                "fee_base_msat": self.fee_base_msat.to_string(),
                "fee_proportional_millionths": self.fee_proportional_millionths.to_string(),
                "cltv_expiry_delta": self.cltv_expiry_delta,
                "htlc_minimum_msat": self.htlc_minimum_msat.to_string(),
            },
        })
    }

    /// The path as `recipient_blinded_paths` of pull request 836 has it, with its payinfo.
    ///
    /// # Errors
    /// `invalid`: it has no such form.
    pub(crate) fn handed_over(&self) -> Result<Vec<u8>, OpError> {
        let long = |e: &dyn std::fmt::Display| OpError::invalid(format!("param path: {e}"));
        let path = BlindedPath {
            first_node: FirstNode::NodeId(self.first_node.serialize()),
            first_path_key: self.path_key,
            hops: self.hops.clone(),
        };
        let base = u32::try_from(self.fee_base_msat).map_err(|e| long(&e))?;
        let part = u32::try_from(self.fee_proportional_millionths).map_err(|e| long(&e))?;
        let delta = u16::try_from(self.cltv_expiry_delta).map_err(|e| long(&e))?;
        let mut bytes = path.encode().map_err(|e| long(&e))?;
        bytes.extend(base.to_be_bytes());
        bytes.extend(part.to_be_bytes());
        bytes.extend(delta.to_be_bytes());
        bytes.extend(self.htlc_minimum_msat.to_be_bytes());
        // No highest amount, and no features.
        bytes.extend(u64::MAX.to_be_bytes());
        bytes.extend([0, 0]);
        Ok(bytes)
    }

    /// The same read again; `None` where it begins at a channel instead of a node.
    pub(crate) fn taken_over(given: &RecipientPath) -> Option<Self> {
        let FirstNode::NodeId(first) = given.path.first_node else {
            return None;
        };
        let number = |at: std::ops::Range<usize>| {
            let bytes = given.payinfo.get(at)?;
            let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
            Some(bytes.iter().fold(0, add))
        };
        Some(Self {
            first_node: PublicKey::from_slice(&first).ok()?,
            path_key: given.path.first_path_key,
            hops: given.path.hops.clone(),
            fee_base_msat: number(0..4)?,
            fee_proportional_millionths: number(4..8)?,
            cltv_expiry_delta: u32::try_from(number(8..10)?).ok()?,
            htlc_minimum_msat: number(10..18)?,
        })
    }

    /// What the HTLC to the introduction node has to hold, in msat.
    pub(crate) fn with_fee(&self, amount_msat: u64) -> u64 {
        let part =
            u128::from(amount_msat) * u128::from(self.fee_proportional_millionths) / 1_000_000;
        let part = u64::try_from(part).unwrap_or(u64::MAX);
        amount_msat
            .saturating_add(self.fee_base_msat)
            .saturating_add(part)
    }
}

// ---- the payer

/// A blinded payment before it is sent: everything that a misbehaviour may change.
#[derive(Clone, Debug)]
struct Plan {
    /// The node that the first blinded layer is for.
    first: PublicKey,
    /// In msat, to that node.
    htlc_msat: u64,
    /// Blocks from the tip until that HTLC expires.
    delta: u32,
    tail: Tail,
}

fn key(point: &Point) -> Result<PublicKey, OpError> {
    PublicKey::from_slice(point).map_err(|e| OpError::invalid(format!("param path: {e}")))
}

impl Plan {
    /// An honest payment. Where the path begins at `own`, its first hop is taken here: `next` finds who
    /// is at the other end of a channel.
    fn new(
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
    fn misbehave(&mut self, name: &str, path: &Path) -> bool {
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

    fn shot(&self, hash: [u8; 32], route: Vec<Forward>, session: SecretKey) -> Shot {
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
    let next = |scid| peer_of(node, scid);
    let mut plan = Plan::new(path, amount, &node.hook.secret, next)?;
    if let Some(name) = wrong.filter(|name| !plan.misbehave(name, path)) {
        let why = format!("the probe has {name} in its list and does not know how");
        return Err(OpError::internal(why).into());
    }
    let route = node.route(plan.first, plan.htlc_msat)?;
    Ok(plan.shot(hash, route, node.hook.draw_key()))
}

/// Who is at the other end of a channel of the probe's.
fn peer_of(node: &Node, scid: u64) -> Option<PublicKey> {
    let channels = node.cm.list_channels();
    let named = |c: &&lightning03::ln::channel_state::ChannelDetails| {
        [
            c.short_channel_id,
            c.outbound_scid_alias,
            c.inbound_scid_alias,
        ]
        .contains(&Some(scid))
    };
    channels.iter().find(named).map(|c| c.counterparty.node_id)
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
    let next = |scid| peer_of(node, scid);
    let mut plan = Plan::new(&path, amount_msat, &node.hook.secret, next)?;
    plan.last(|records| records.extend(more));
    let route = node.route(plan.first, plan.htlc_msat)?;
    Ok(plan.shot(hash, route, node.hook.draw_key()))
}

// ---- the creator of a path

/// What a node of a path asks for passing on to the next one.
#[derive(Clone, Copy, Debug)]
struct Step {
    scid: u64,
    relay: blinding::Relay,
    minimum_msat: u64,
}

/// What a path is made of.
struct Draft {
    /// Who passes on, the introduction node first.
    via: Vec<(PublicKey, Step)>,
    recipient: PublicKey,
    path_id: [u8; 32],
    /// Height of the tip.
    height: u32,
    minimum_msat: u64,
    /// From the recipient on, another secret than what would follow: BOLT 4, route blinding, writer.
    over: Option<SecretKey>,
}

impl Draft {
    fn build(&self, session: &SecretKey, wrong: Option<&str>) -> Result<Path, OpError> {
        let rules = Rules::all();
        let refused = |e: &dyn std::fmt::Display| {
            OpError::invalid(format!("no blinded path can be made of this: {e}"))
        };
        let last_delta = u16::try_from(MIN_FINAL_DELTA).unwrap_or(u16::MAX);
        let ends = self.height + LIFETIME;
        let limits = |max: u32| {
            let value = [&max.to_be_bytes()[..], &truncated(self.minimum_msat)].concat();
            Record::new(data::PAYMENT_CONSTRAINTS, value)
        };
        let mut max = ends + MIN_FINAL_DELTA;
        let mut hops = vec![vec![Record::new(data::PATH_ID, self.path_id), limits(max)]];
        for (_, step) in self.via.iter().rev() {
            let relay = step.relay;
            max += u32::from(relay.cltv_expiry_delta);
            let value = [
                &relay.cltv_expiry_delta.to_be_bytes()[..],
                &relay.fee_proportional_millionths.to_be_bytes(),
                &truncated(relay.fee_base_msat.into()),
            ];
            let mut hop = vec![Record::new(data::SHORT_CHANNEL_ID, step.scid.to_be_bytes())];
            if let (Some(over), 1) = (&self.over, hops.len()) {
                let next = keys::public(over).serialize();
                hop.push(Record::new(data::NEXT_PATH_KEY_OVERRIDE, next));
            }
            hop.push(Record::new(data::PAYMENT_RELAY, value.concat()));
            hop.push(limits(max));
            hops.push(hop);
        }
        hops.reverse();
        // BOLT 4, route blinding, writer: the data of all hops has one length.
        let length = |hop: &[Record]| tlv::encode_unchecked(hop).len();
        let longest = hops.iter().map(|hop| length(hop)).max().unwrap_or(0);
        for hop in &mut hops {
            let padding = vec![0; longest - length(hop)];
            hop.insert(0, Record::new(data::PADDING, padding));
        }
        let creator = Creator {
            max_cltv_expiry: Some(ends),
            min_final_cltv_expiry_delta: last_delta,
            minimums: &[self.minimum_msat],
        };
        let given: Vec<_> = hops.iter().cloned().map(Some).collect();
        let (mut streams, info) =
            blinding::payment_data(&rules, &given, &creator).map_err(|e| refused(&e))?;
        if let (Some(name), Some(at)) = (wrong, self.via.len().checked_sub(1)) {
            let mut records = hops[at].clone();
            let next = self
                .via
                .get(at + 1)
                .map_or(self.recipient, |(node, _)| *node);
            if !spoil(&mut records, name, next) {
                let why = format!("the probe has {name} in its list and does not know how");
                return Err(OpError::internal(why));
            }
            records.sort_by_key(|record| record.kind);
            streams[at] = tlv::encode_unchecked(&records);
        }
        let nodes = self
            .via
            .iter()
            .map(|(node, _)| *node)
            .chain([self.recipient]);
        let nodes: Vec<_> = nodes.zip(streams).collect();
        let split = if self.over.is_some() {
            self.via.len()
        } else {
            nodes.len()
        };
        let mut built = blinding::build(session, &nodes[..split]).map_err(|e| refused(&e))?;
        if let Some(over) = &self.over {
            let rest = blinding::build(over, &nodes[split..]).map_err(|e| refused(&e))?;
            built.path.hops.extend(rest.path.hops);
        }
        let first_node = match built.path.first_node {
            FirstNode::NodeId(id) => key(&id)?,
            FirstNode::Channel { .. } => {
                return Err(OpError::internal("a path begins at a channel"));
            }
        };
        Ok(Path {
            first_node,
            path_key: built.path.first_path_key,
            hops: built.path.hops,
            fee_base_msat: info.fee_base_msat,
            fee_proportional_millionths: info.fee_proportional_millionths,
            cltv_expiry_delta: info.cltv_expiry_delta,
            htlc_minimum_msat: self.minimum_msat,
        })
    }
}

/// Spoils the data of the last node that passes on. `false` if nobody has said how.
fn spoil(records: &mut Vec<Record>, name: &str, next: PublicKey) -> bool {
    match name {
        "path-unknown-even" => records.push(Record::new(65_536, [])),
        "path-next-twice" => records.push(Record::new(data::NEXT_NODE_ID, next.serialize())),
        "path-next-missing" => records.retain(|r| r.kind != data::SHORT_CHANNEL_ID),
        "path-relay-missing" => records.retain(|r| r.kind != data::PAYMENT_RELAY),
        "path-feature" => records.push(Record::new(data::ALLOWED_FEATURES, [2])),
        _ => return false,
    }
    true
}

/// What gossip says that `from` asks for passing on to `to`.
fn step(node: &Node, from: PublicKey, to: PublicKey) -> Result<Step, OpError> {
    let graph = node.graph.read_only();
    let (from_id, to_id) = (NodeId::from_pubkey(&from), NodeId::from_pubkey(&to));
    let channels = graph.node(&from_id).map(|info| info.channels.clone());
    let mut channels = channels.unwrap_or_default();
    channels.sort_unstable();
    let found = channels.into_iter().find_map(|scid| {
        let channel = graph.channel(scid)?;
        let update = if (channel.node_one, channel.node_two) == (from_id, to_id) {
            channel.one_to_two.as_ref()
        } else if (channel.node_two, channel.node_one) == (from_id, to_id) {
            channel.two_to_one.as_ref()
        } else {
            None
        }?;
        Some(Step {
            scid,
            relay: blinding::Relay {
                cltv_expiry_delta: update.cltv_expiry_delta,
                fee_proportional_millionths: update.fees.proportional_millionths,
                fee_base_msat: update.fees.base_msat,
            },
            minimum_msat: update.htlc_minimum_msat,
        })
    });
    found.ok_or_else(|| {
        OpError::rejected(format!(
            "gossip shows no channel from {from} to {to} that is in use"
        ))
    })
}

/// `invoice.create` with `blinded`: a path to the probe over the nodes of `via` (the introduction node
/// first; none: the probe itself), for `amount_msat`. `preimage`, or `payment_hash` for a payment that is
/// held. `fee_base_msat` (msat, number) is what the last node of `via` shall take instead of what it
/// announces, `htlc_minimum_msat` (msat) the lowest amount. With `override` the data of that node names a
/// path key of its own for the probe. Answers `payment_hash` and `paths`.
///
/// # Errors
/// `rejected` where gossip knows no channel between two nodes of the path.
pub fn create(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let amount = params.number("amount_msat")?;
    let mut via = Vec::new();
    if params.get("via").is_some() {
        for id in params.list("via")? {
            let id = json!({ "via": id });
            via.push(public_key(Params::new(&id), "via")?);
        }
    }
    let fee_base = params.maybe("fee_base_msat", Params::number)?;
    let minimum = params.maybe("htlc_minimum_msat", Params::number)?;
    let preimage = params.maybe("preimage", Params::array::<32>)?;
    let hash = params.maybe("payment_hash", Params::array::<32>)?;
    if preimage.is_some() && hash.is_some() {
        return Err(OpError::invalid("params preimage and payment_hash exclude another").into());
    }
    let wrong = misbehaviour(params, CREATE)?;
    let over = params.maybe("override", Params::bool)?.unwrap_or(false);
    if over && via.is_empty() {
        return Err(
            OpError::invalid("param via is missing: there is no path key to override").into(),
        );
    }
    if wrong.is_some() && via.is_empty() {
        return Err(OpError::invalid("param via is missing: nobody's data can be spoilt").into());
    }
    let node = node()?;
    let mut steps = Vec::with_capacity(via.len());
    for (at, from) in via.iter().enumerate() {
        let to = via.get(at + 1).copied().unwrap_or(node.id);
        steps.push((*from, step(&node, *from, to)?));
    }
    if let (Some(fee), Some((_, last))) = (fee_base, steps.last_mut()) {
        last.relay.fee_base_msat = u32::try_from(fee)
            .map_err(|_| OpError::invalid("param fee_base_msat fits into no path"))?;
    }
    let minimums = steps.iter().map(|(_, step)| step.minimum_msat);
    let minimum_msat = minimum.or(minimums.max()).unwrap_or(1);
    let (preimage, hash) = match (preimage, hash) {
        (None, Some(hash)) => (None, hash),
        (preimage, _) => {
            let preimage = preimage.unwrap_or_else(|| node.hook.draw());
            (Some(preimage), keys::sha256(&[&preimage]))
        }
    };
    let draft = Draft {
        via: steps,
        recipient: node.id,
        path_id: node.hook.draw(),
        height: node.hook.height(),
        minimum_msat,
        over: over.then(|| node.hook.draw_key()),
    };
    let path = draft.build(&node.hook.draw_key(), wrong.as_deref())?;
    let invoice = Invoice {
        preimage,
        secret: draft.path_id,
        amount_msat: Some(amount),
    };
    lock(&node.hook.payee).paths.expect(hash, invoice);
    Ok(ResultObject::new()
        .with("payment_hash", hex(hash))
        .with("paths", vec![path.value()])
        .done())
}

// ---- those who get an HTLC

/// Paths to the probe that wait for a payment, by the mark in them.
#[derive(Default)]
pub struct Paths(HashMap<[u8; 32], ([u8; 32], Invoice)>);

impl Paths {
    pub(crate) fn expect(&mut self, hash: [u8; 32], invoice: Invoice) {
        self.0.insert(invoice.secret, (hash, invoice));
    }

    /// What was asked for with the path that was made for a hash; its secret is the mark in the path.
    pub(crate) fn of(&self, hash: &[u8; 32]) -> Option<Invoice> {
        let mut known = self.0.values().filter(|(known, _)| known == hash);
        known.next().map(|(_, invoice)| invoice.clone())
    }
}

/// What becomes of an HTLC that may have to do with a blinded path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It has not.
    Plain,
    /// The probe is on the way, and nothing is wrong.
    PassOn,
    /// The probe is its end, or refuses to pass it on.
    Decided(Decision),
}

/// An error of a node inside a path, or at its beginning: BOLT 4, failure messages, has one code for all
/// of them, with the SHA-256 of the onion.
fn masked(refused: Refusal, onion: &[u8; 32]) -> Refusal {
    let blinding = code::INVALID_ONION_BLINDING;
    refusal(refused.rule, blinding, onion.to_vec(), &refused.message)
}

/// Judges an HTLC. `path_key` came in the message, `last` says that the onion ends here, `onion` is the
/// SHA-256 of the onion as it came.
pub fn judge(
    payee: &mut Payee,
    secret: &SecretKey,
    htlc: &Arrived<'_>,
    path_key: Option<PublicKey>,
    last: bool,
    onion: &[u8; 32],
) -> Judged {
    let frames = tlv::frames(&Rules::all(), htlc.payload).unwrap_or_default();
    let names = |r: &Record| matches!(r.kind, kind::ENCRYPTED_DATA | kind::PATH_KEY);
    let has = |kind| frames.iter().any(|r| r.kind == kind);
    // Pull request 836: a path key beside a trampoline onion is for what lies inside.
    if payee.pr836 && has(kind::TRAMPOLINE_ONION) && !has(kind::ENCRYPTED_DATA) {
        return Judged::Plain;
    }
    if path_key.is_none() && !frames.iter().any(names) {
        return Judged::Plain;
    }
    // The last node may answer as it likes where the path key is in the payload.
    let in_payload = frames.iter().any(|r| r.kind == kind::PATH_KEY);
    let hidden = path_key.is_some() || in_payload && !last;
    let refuse = |refused: Refusal| {
        let refused = if hidden {
            masked(refused, onion)
        } else {
            refused
        };
        Judged::Decided(Decision::Refuse(refused))
    };
    let context = Context {
        path_key: path_key.map(|key| key.serialize()),
        secret: Some(secret),
        amount_msat: Some(htlc.amount_msat),
        cltv_expiry: Some(htlc.cltv_expiry),
        height: Some(htlc.height),
        min_final_cltv_expiry_delta: Some(MIN_FINAL_DELTA),
        ..Context::default()
    };
    let position = Position {
        last,
        trampoline: false,
    };
    let read = |expected_msat| {
        let context = Context {
            expected_msat,
            ..context
        };
        payload::read(&payee.rules, htlc.payload, position, &context)
    };
    let mut payload = match read(None) {
        Ok(payload) => payload,
        Err(e) => return refuse(unreadable(htlc, e)),
    };
    if !last {
        return Judged::PassOn;
    }
    let amount = payload.amt_to_forward.unwrap_or_default();
    let mark = payload
        .data
        .as_ref()
        .and_then(|data| data.path_id.as_deref());
    let mark = mark.and_then(|mark| <[u8; 32]>::try_from(mark).ok());
    let known = mark.and_then(|mark| payee.paths.0.get(&mark)).cloned();
    let Some((_, invoice)) = known.filter(|(hash, _)| *hash == htlc.hash) else {
        let why = "it has not come along a path that was made for this hash";
        return refuse(details(htlc, Some(PATH_ID), why));
    };
    let total = payload.total_msat().unwrap_or(amount);
    if let (Err(e), true) = (read(invoice.amount_msat), total == amount) {
        return refuse(unreadable(htlc, e));
    }
    if payee.paid.contains(&htlc.hash) {
        return refuse(details(htlc, Some(PAID), "the hash was paid before"));
    }
    // The mark does for a blinded recipient what a payment secret does for others.
    payload.payment_data = Some((invoice.secret, total));
    let expected = Expected {
        basic_mpp: true,
        amount_msat: invoice.amount_msat,
        payment_secret: Some(invoice.secret),
        now: htlc.now,
    };
    let hide = |refused| {
        if hidden {
            masked(refused, onion)
        } else {
            refused
        }
    };
    Judged::Decided(
        match payee.add(htlc, &payload, &expected, invoice.preimage) {
            Decision::Refuse(refused) => Decision::Refuse(hide(refused)),
            Decision::RefuseSet(refused, hashes) => Decision::RefuseSet(hide(refused), hashes),
            taken => taken,
        },
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lnconform_drafts::onion::{Context as OnionContext, PAYMENT_SIZE};
    use lnconform_spec::misbehaviours;
    use proptest::prelude::*;

    const HASH: [u8; 32] = [1; 32];
    const HEIGHT: u32 = 500;
    const SCID: u64 = 7;
    const MINIMUM: u64 = 200_000;
    const AMOUNT: u64 = 300_000;
    /// No wrong: the path names a path key of its own.
    const OVERRIDE: &str = "path-override";

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_slice(&[n; 32]).unwrap()
    }

    fn public(n: u8) -> PublicKey {
        keys::public(&secret(n))
    }

    /// A path over 8 to 9, and 9 who waits for a payment along it.
    fn path(wrong: Option<&str>) -> (Path, Payee) {
        let relay = blinding::Relay {
            cltv_expiry_delta: 40,
            fee_proportional_millionths: 10,
            fee_base_msat: 5_000,
        };
        let step = Step {
            scid: SCID,
            relay,
            minimum_msat: 1,
        };
        let draft = Draft {
            via: vec![(public(8), step)],
            recipient: public(9),
            path_id: [3; 32],
            height: HEIGHT,
            // Less than a fee is less than most minimums, too.
            minimum_msat: if wrong == Some("blinded-fee-none") {
                1
            } else {
                MINIMUM
            },
            over: (wrong == Some(OVERRIDE)).then(|| secret(4)),
        };
        let mut payee = Payee::default();
        let invoice = Invoice {
            preimage: None,
            secret: draft.path_id,
            amount_msat: Some(AMOUNT),
        };
        payee.paths.expect(HASH, invoice);
        let by_creator = wrong.filter(|name| name.starts_with("path-") && *name != OVERRIDE);
        (draft.build(&secret(5), by_creator).unwrap(), payee)
    }

    /// A path over 8 and 9 to 10, by channels of these numbers.
    pub(crate) fn trampolines() -> Path {
        let step = |scid| Step {
            scid,
            relay: blinding::Relay {
                cltv_expiry_delta: 40,
                fee_proportional_millionths: 10,
                fee_base_msat: 5_000,
            },
            minimum_msat: 1,
        };
        let draft = Draft {
            via: vec![(public(8), step(8)), (public(9), step(9))],
            recipient: public(10),
            path_id: [3; 32],
            height: HEIGHT,
            minimum_msat: MINIMUM,
            over: None,
        };
        draft.build(&secret(5), None).unwrap()
    }

    /// What becomes of a payment by `payer`: the rule that refuses it and the code, or nothing if 9
    /// takes it.
    fn travel(payer: u8, wrong: Option<&str>) -> Option<(&'static str, u16)> {
        let (path, payee) = path(wrong);
        let next = |scid| (scid == SCID).then(|| public(9));
        let mut plan = Plan::new(&path, AMOUNT, &secret(payer), next).unwrap();
        if let Some(name) = wrong.filter(|name| !name.starts_with("path-")) {
            assert!(
                plan.misbehave(name, &path),
                "{name} is in the list and not here"
            );
        }
        let (at, amount) = (if plan.first == public(8) { 8 } else { 9 }, plan.htlc_msat);
        let shot = plan.shot(HASH, Vec::new(), secret(6));
        let cltv = HEIGHT + shot.first_delta();
        let packed = shot.pack(cltv).unwrap();
        walk(payee, at, &packed.packet, packed.path_key, amount, cltv)
    }

    fn walk(
        mut payee: Payee,
        at: u8,
        packet: &[u8],
        path_key: Option<PublicKey>,
        amount_msat: u64,
        cltv_expiry: u32,
    ) -> Option<(&'static str, u16)> {
        let context = OnionContext {
            associated_data: &HASH,
            size: Some(PAYMENT_SIZE),
            path_key,
        };
        let peeled = onion::peel(&Rules::all(), &secret(at), packet, context).unwrap();
        let htlc = Arrived {
            hash: HASH,
            amount_msat,
            cltv_expiry,
            payload: &peeled.payload,
            shared_secret: crate::payee::tests::fresh(),
            height: HEIGHT,
            now: 1_000,
        };
        let mut other = Payee::default();
        let judge_of = if at == 9 { &mut payee } else { &mut other };
        let last = peeled.next.is_none();
        let judged = judge(judge_of, &secret(at), &htlc, path_key, last, &[4; 32]);
        match judged {
            Judged::Plain => panic!("it is blinded"),
            Judged::Decided(Decision::Take { whole, .. }) => {
                assert!(whole && at == 9);
                None
            }
            Judged::Decided(Decision::Refuse(refused) | Decision::RefuseSet(refused, _)) => {
                Some((refused.rule.unwrap(), refused.code))
            }
            Judged::PassOn => {
                let read = payload::read(
                    &Rules::all(),
                    &peeled.payload,
                    Position::default(),
                    &Context {
                        path_key: path_key.map(|key| key.serialize()),
                        secret: Some(&secret(at)),
                        amount_msat: Some(amount_msat),
                        cltv_expiry: Some(cltv_expiry),
                        ..Context::default()
                    },
                )
                .unwrap();
                let (amount, cltv) = read.forward.unwrap();
                let next = PublicKey::from_slice(&read.next_path_key.unwrap()).unwrap();
                walk(payee, 9, &peeled.next.unwrap(), Some(next), amount, cltv)
            }
        }
    }

    #[test]
    fn an_honest_payment_arrives_from_either_end_of_the_first_channel() {
        assert_eq!(travel(7, None), None);
        assert_eq!(travel(8, None), None);
    }

    #[test]
    fn a_path_key_that_the_creator_names_is_the_next_one() {
        assert_eq!(travel(7, Some(OVERRIDE)), None);
        assert_eq!(travel(8, Some(OVERRIDE)), None);
        let (named, derived) = (path(Some(OVERRIDE)).0, path(None).0);
        assert_ne!(
            named.hops[1].blinded_node_id,
            derived.hops[1].blinded_node_id
        );
    }

    #[test]
    fn a_path_comes_back_from_a_trampoline_s_form() {
        let (path, _) = path(None);
        let bytes = path.handed_over().unwrap();
        let record = vec![Record::new(kind::RECIPIENT_PATHS, bytes)];
        let dialect = Some(payload::Dialect::Pr836);
        let read = payload::Payload::from_records(&Rules::all(), record, dialect).unwrap();
        let given = read.recipient_paths.unwrap();
        assert_eq!(Path::taken_over(&given[0]), Some(path));
    }

    #[test]
    fn each_is_noticed_by_the_statement_that_the_list_names() {
        let mut seen = 0;
        for wrong in misbehaviours::all().unwrap() {
            let ours = |o: &String| [PAY, CREATE].contains(&o.as_str());
            // What is done to trampolines has its tests there.
            let by_trampolines = wrong.name.starts_with("trampoline-");
            if by_trampolines || !wrong.operations.iter().any(ours) {
                continue;
            }
            seen += 1;
            let name = wrong.name.as_str();
            let reader = wrong.reader.as_deref();
            let of_last = name.starts_with("blinded-final")
                || [
                    "blinded-data-missing",
                    "blinded-fee-short",
                    "blinded-cltv-short",
                ]
                .contains(&name);
            // 7 pays over 8, the introduction node; 8 pays 9 itself.
            let payer = if of_last { 8 } else { 7 };
            let noticed = travel(payer, Some(name));
            assert_eq!(noticed.map(|(rule, _)| rule), reader, "{name}");
            let code = match name {
                // Nothing tells these that they are inside a path.
                "blinded-path-key-missing" => code::INVALID_ONION_PAYLOAD,
                "blinded-to-introduction" => code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS,
                _ => code::INVALID_ONION_BLINDING,
            };
            assert_eq!(noticed.map(|(_, code)| code), Some(code), "{name}");
        }
        assert!(seen >= 25, "{seen}");
        // The first node of a path may be its end.
        for name in [
            "blinded-path-key-missing",
            "blinded-path-key-twice",
            "blinded-data-altered",
        ] {
            let wanted = misbehaviours::find(name).unwrap().reader;
            let noticed = travel(8, Some(name)).map(|(rule, _)| rule);
            assert_eq!(noticed, wanted.as_deref());
        }
    }

    #[test]
    fn a_path_is_for_its_hash_alone() {
        let (path, mut payee) = path(None);
        let next = |_| Some(public(9));
        let plan = Plan::new(&path, AMOUNT, &secret(8), next).unwrap();
        let shot = plan.shot([2; 32], Vec::new(), secret(6));
        let cltv = HEIGHT + shot.first_delta();
        let packed = shot.pack(cltv).unwrap();
        let htlc = Arrived {
            hash: [2; 32],
            amount_msat: plan.htlc_msat,
            cltv_expiry: cltv,
            payload: &packed.payload,
            shared_secret: crate::payee::tests::fresh(),
            height: HEIGHT,
            now: 1_000,
        };
        let judged = judge(
            &mut payee,
            &secret(9),
            &htlc,
            packed.path_key,
            true,
            &[4; 32],
        );
        let Judged::Decided(Decision::Refuse(refused)) = judged else {
            panic!("{judged:?}");
        };
        assert_eq!(
            (refused.rule, refused.code),
            (Some(PATH_ID), code::INVALID_ONION_BLINDING)
        );
        assert_eq!(refused.failure[2..], [4; 32]);
    }

    #[test]
    fn what_has_nothing_to_do_with_a_path_is_left_to_others() {
        let htlc = Arrived {
            hash: HASH,
            amount_msat: 1,
            cltv_expiry: 600,
            payload: &[2, 1, 1],
            shared_secret: crate::payee::tests::fresh(),
            height: HEIGHT,
            now: 1_000,
        };
        let mut payee = Payee::default();
        let judged = judge(&mut payee, &secret(9), &htlc, None, true, &[4; 32]);
        assert_eq!(judged, Judged::Plain);
    }

    #[test]
    fn the_data_of_all_hops_has_one_length() {
        let (path, _) = path(None);
        let lengths: Vec<_> = path
            .hops
            .iter()
            .map(|hop| hop.encrypted_data.len())
            .collect();
        assert_eq!(lengths[0], lengths[1]);
    }

    #[test]
    fn a_path_that_is_none_is_refused() {
        let (path, _) = path(None);
        for (member, value) in [
            ("hops", json!([])),
            ("first_node_id", json!("02")),
            ("payinfo", json!({})),
        ] {
            let mut given = path.value();
            given[member] = value;
            assert!(Path::read(Params::new(&given)).is_err(), "{member}");
        }
        // 9 is the end of its path, not a payer along it.
        let own = Path {
            first_node: public(9),
            hops: path.hops[1..].to_vec(),
            ..path
        };
        assert!(Plan::new(&own, AMOUNT, &secret(9), |_| None).is_err());
    }

    proptest! {
        #[test]
        fn a_path_comes_back_from_its_form(
            base: u64, part: u64, delta: u32, minimum: u64,
            data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..4),
        ) {
            let hop = |data: &Vec<u8>| BlindedHop {
                blinded_node_id: public(3).serialize(),
                encrypted_data: data.clone(),
            };
            let path = Path {
                first_node: public(1),
                path_key: public(2).serialize(),
                hops: data.iter().map(hop).collect(),
                fee_base_msat: base,
                fee_proportional_millionths: part,
                cltv_expiry_delta: delta,
                htlc_minimum_msat: minimum,
            };
            let value = path.value();
            let read = Path::read(Params::new(&value)).unwrap();
            prop_assert_eq!(read.value(), value);
        }
    }
}
