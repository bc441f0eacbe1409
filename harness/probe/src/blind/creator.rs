//! The creator of a blinded path: `invoice.create` with `blinded`, and what is wrong with the data of a node.

use super::{CREATE, LIFETIME, Path, key};
use crate::node::Node;
use crate::node::env::lock;
use crate::ops::{misbehaviour, public_key};
use crate::payee::{Invoice, MIN_FINAL_DELTA};
use crate::shot::truncated;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lightning03::routing::gossip::NodeId;
use lnconform_drafts::blinding::{self, Creator, FirstNode, kind as data};
use lnconform_drafts::keys;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::json;
use std::sync::Arc;

/// What a node of a path asks for passing on to the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) scid: u64,
    pub(super) relay: blinding::Relay,
    pub(super) minimum_msat: u64,
}

/// What a path is made of.
pub(super) struct Draft {
    /// Who passes on, the introduction node first.
    pub(super) via: Vec<(PublicKey, Step)>,
    pub(super) recipient: PublicKey,
    pub(super) path_id: [u8; 32],
    /// Height of the tip.
    pub(super) height: u32,
    pub(super) minimum_msat: u64,
    /// From the recipient on, another secret than what would follow: BOLT 4, route blinding, writer.
    pub(super) over: Option<SecretKey>,
}

impl Draft {
    pub(super) fn build(&self, session: &SecretKey, wrong: Option<&str>) -> Result<Path, OpError> {
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
