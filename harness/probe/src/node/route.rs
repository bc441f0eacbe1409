//! Payments on their way out: who is between the probe and a recipient, and HTLCs along that route.

use super::Node;
use crate::node::env::lock;
use crate::shot::{Forward, Shot};
use bitcoin::secp256k1::PublicKey;
use lightning03::ln::channelmanager::PaymentId;
use lightning03::ln::outbound_payment::RecipientOnionFields;
use lightning03::routing::gossip::NodeId;
use lightning03::routing::router::{Path, Route, RouteHop};
use lightning03::types::features::{ChannelFeatures, NodeFeatures};
use lightning03::types::payment::{PaymentHash, PaymentSecret};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Fail;
use std::collections::{HashMap, HashSet, VecDeque};

impl Node {
    /// Who is at the other end of a channel of the probe's.
    pub(crate) fn peer_of(&self, scid: u64) -> Option<PublicKey> {
        let channels = self.cm.list_channels();
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

    /// Who is on the way to a node: nobody where it is a peer with a usable channel.
    ///
    /// # Errors
    /// No way is known.
    pub fn route(&self, to: PublicKey, amount_msat: u64) -> Result<Vec<Forward>, Fail> {
        let first: HashSet<PublicKey> = self
            .cm
            .list_channels()
            .iter()
            .filter(|c| c.is_usable)
            .map(|c| c.counterparty.node_id)
            .collect();
        if first.contains(&to) {
            return Ok(Vec::new());
        }
        let graph = self.graph.read_only();
        let goal = NodeId::from_pubkey(&to);
        // From the recipient backwards, so that a node is reached with the fewest hops left.
        let mut towards: HashMap<NodeId, (u64, NodeId)> = HashMap::new();
        let mut queue = VecDeque::from([goal]);
        let mut start = None;
        'search: while let Some(node) = queue.pop_front() {
            let Some(info) = graph.node(&node) else {
                continue;
            };
            let mut channels = info.channels.clone();
            channels.sort_unstable();
            for scid in channels {
                let Some(channel) = graph.channel(scid) else {
                    continue;
                };
                let (from, update) = if channel.node_one == node {
                    (channel.node_two, &channel.two_to_one)
                } else {
                    (channel.node_one, &channel.one_to_two)
                };
                let usable = update.as_ref().is_some_and(|update| update.enabled);
                if !usable || from == goal || towards.contains_key(&from) {
                    continue;
                }
                towards.insert(from, (scid, node));
                let key = from.as_pubkey().ok().filter(|key| first.contains(key));
                if let Some(key) = key {
                    start = Some(key);
                    break 'search;
                }
                queue.push_back(from);
            }
        }
        let start = start.ok_or_else(|| {
            OpError::rejected(format!(
                "the probe knows no way to {to}: it has no usable channel there, and gossip shows none"
            ))
        })?;
        let mut route = Vec::new();
        let mut at = NodeId::from_pubkey(&start);
        while let Some((scid, next)) = towards.get(&at).copied() {
            let node = at
                .as_pubkey()
                .map_err(|e| OpError::internal(format!("gossip has a node without a key: {e}")))?;
            let update = graph.channel(scid).and_then(|channel| {
                if channel.node_one == at {
                    channel.one_to_two.clone()
                } else {
                    channel.two_to_one.clone()
                }
            });
            if let Some(update) = update {
                let hop = Forward {
                    node,
                    scid,
                    fee_msat: 0,
                    delta: update.cltv_expiry_delta.into(),
                };
                route.push((hop, update.fees));
            }
            at = next;
        }
        // From the recipient backwards: who passes on more asks for more.
        let mut amount = amount_msat;
        for (hop, fees) in route.iter_mut().rev() {
            let part = amount.saturating_mul(fees.proportional_millionths.into()) / 1_000_000;
            hop.fee_msat = part.saturating_add(fees.base_msat.into());
            amount = amount.saturating_add(hop.fee_msat);
        }
        let route = route.into_iter().map(|(hop, _)| hop).collect();
        Ok(route)
    }

    /// Sends the HTLCs of a payment. One that LDK does not send has failed.
    pub fn send(&self, payment: &str, shots: Vec<Shot>) {
        let shots: Vec<_> = shots
            .into_iter()
            .map(|shot| (shot, self.hook.draw()))
            .collect();
        lock(&self.hook.book).begin(payment, &shots);
        for (shot, id) in &shots {
            let peer = shot.peer();
            let amount = shot.first_msat();
            let channels = self.cm.list_channels();
            let channel = channels.iter().find(|c| {
                c.counterparty.node_id == peer
                    && c.is_usable
                    && c.next_outbound_htlc_limit_msat >= amount
            });
            let id = PaymentId(*id);
            let scid = channel.and_then(|c| c.get_outbound_payment_scid());
            let Some(scid) = scid else {
                let why = format!("no usable channel with {peer} has {amount} msat to send");
                self.hook.not_sent(payment, id, &why);
                continue;
            };
            let hop = RouteHop {
                pubkey: peer,
                node_features: NodeFeatures::empty(),
                short_channel_id: scid,
                channel_features: ChannelFeatures::empty(),
                fee_msat: amount,
                // LDK counts from the block that comes next.
                cltv_expiry_delta: shot.first_delta().saturating_sub(1),
                maybe_announced_channel: true,
            };
            let route = Route {
                paths: vec![Path {
                    hops: vec![hop],
                    blinded_tail: None,
                }],
                route_params: None,
            };
            let onion = RecipientOnionFields::secret_only(PaymentSecret([0; 32]), amount);
            let sent = self
                .cm
                .send_payment_with_route(route, PaymentHash(shot.hash), onion, id);
            if let Err(e) = sent {
                self.hook.not_sent(payment, id, &format!("{e:?}"));
            }
        }
        self.peers.process_events();
    }
}
