//! The honest probe on the way: what becomes of an HTLC that it is to pass on over one of its channels, by
//! the rules of `drafts`. LDK passes on what nothing is wrong with.
//!
//! Blinded paths have rules of their own ([`crate::blind`]).

use crate::node::Cm;
use crate::payee::{Arrived, Refusal, unreadable};
use lnconform_drafts::failure::code;
use lnconform_drafts::payload::{self, Channel, Context, Position};
use lnconform_drafts::rules::Rules;

/// A channel that leads on: its ids, and what is asked for passing on.
#[derive(Clone, Debug)]
pub struct Way {
    ids: Vec<u64>,
    asks: Channel,
}

/// The channels of the probe.
pub fn ways(cm: &Cm) -> Vec<Way> {
    let channels = cm.list_channels();
    let way = |c: &lightning03::ln::channel_state::ChannelDetails| {
        let ids = [
            c.short_channel_id,
            c.inbound_scid_alias,
            c.outbound_scid_alias,
        ];
        let asks = c.config.map(|config| Channel {
            fee_base_msat: config.forwarding_fee_base_msat,
            fee_proportional_millionths: config.forwarding_fee_proportional_millionths,
            cltv_expiry_delta: config.cltv_expiry_delta,
        });
        Way {
            ids: ids.into_iter().flatten().collect(),
            asks: asks.unwrap_or_default(),
        }
    };
    channels.iter().map(way).collect()
}

/// Why an HTLC is not passed on, if it is not.
pub fn refused(rules: &Rules, htlc: &Arrived<'_>, ways: &[Way]) -> Option<Refusal> {
    let ids: Vec<u64> = ways.iter().flat_map(|way| way.ids.clone()).collect();
    let context = Context {
        amount_msat: Some(htlc.amount_msat),
        cltv_expiry: Some(htlc.cltv_expiry),
        channels: Some(&ids),
        ..Context::default()
    };
    let read = |context: &Context<'_>| {
        payload::read(rules, htlc.payload, Position::default(), context)
            .map_err(|e| with_data(htlc, unreadable(htlc, e)))
    };
    let payload = match read(&context) {
        Ok(payload) => payload,
        Err(refusal) => return Some(refusal),
    };
    let named = |way: &&Way| {
        payload
            .short_channel_id
            .is_some_and(|id| way.ids.contains(&id))
    };
    let channel = ways.iter().find(named).map(|way| way.asks);
    read(&Context { channel, ..context }).err()
}

/// BOLT 4, failure messages: what stands behind the codes of those who pass on. They may leave out the
/// update of the channel.
fn with_data(htlc: &Arrived<'_>, mut refusal: Refusal) -> Refusal {
    match refusal.code {
        code::FEE_INSUFFICIENT => refusal.failure.extend(htlc.amount_msat.to_be_bytes()),
        code::INCORRECT_CLTV_EXPIRY => refusal.failure.extend(htlc.cltv_expiry.to_be_bytes()),
        _ => return refusal,
    }
    refusal.failure.extend([0, 0]);
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misbehave::Plan;
    use crate::shot::Forward;
    use bitcoin::secp256k1::SecretKey;
    use lnconform_drafts::{keys, onion};
    use lnconform_spec::misbehaviours;

    const HASH: [u8; 32] = [1; 32];
    const SCID: u64 = 600 << 40 | 1 << 16;

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_slice(&[n; 32]).unwrap()
    }

    /// What 8 makes of a payment to 9 over it.
    fn judged(wrong: Option<&str>) -> Option<Refusal> {
        let mut plan = Plan::new(keys::public(&secret(9)), HASH, vec![100_000], 80);
        if let Some(name) = wrong {
            assert!(plan.misbehave(name), "{name} is in the list and not here");
        }
        let hop = Forward {
            node: keys::public(&secret(8)),
            scid: SCID,
            fee_msat: 1_001,
            delta: 40,
        };
        let shot = plan.shots(&[hop], || secret(5)).remove(0);
        let cltv_expiry = 500 + shot.first_delta();
        let packed = shot.pack(cltv_expiry).unwrap();
        let context = onion::Context {
            associated_data: &HASH,
            size: Some(onion::PAYMENT_SIZE),
            path_key: None,
        };
        let peeled = onion::peel(&Rules::all(), &secret(8), &packed.packet, context).unwrap();
        assert!(peeled.next.is_some());
        let htlc = Arrived {
            hash: HASH,
            amount_msat: shot.first_msat(),
            cltv_expiry,
            payload: &peeled.payload,
            shared_secret: peeled.shared_secret,
            height: 500,
            now: 1_000,
        };
        let way = Way {
            ids: vec![7, SCID],
            asks: Channel {
                fee_base_msat: 1_000,
                fee_proportional_millionths: 10,
                cltv_expiry_delta: 40,
            },
        };
        refused(&Rules::all(), &htlc, &[way])
    }

    #[test]
    fn what_nothing_is_wrong_with_is_passed_on() {
        assert_eq!(judged(None), None);
    }

    #[test]
    fn each_is_noticed_by_the_statement_that_the_list_names() {
        let mut all = misbehaviours::all().unwrap();
        all.retain(|m| m.name.starts_with("forward-"));
        assert_eq!(all.len(), 3);
        for m in all {
            let refusal = judged(Some(&m.name)).unwrap();
            assert_eq!(refusal.rule, m.reader.as_deref(), "{}", m.name);
            let kind = lnconform_drafts::failure::find(refusal.code).unwrap();
            assert!(kind.fields(&refusal.failure[2..]).is_some(), "{}", m.name);
        }
    }
}
