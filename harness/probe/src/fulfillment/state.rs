//! Fulfillment payloads over a restart: what a node on the way and the final node need for HTLCs that are not
//! settled yet, and what went out with those that are, for it may have to be said again.

use super::{Came, Fulfillments, Passing};
use crate::node::book::Htlc;
use crate::node::env::lock;
use crate::node::hexed::Hexed;
use lightning03::ln::types::ChannelId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Key = Hexed<[u8; 32]>;
type Bytes = Hexed<Vec<u8>>;
/// Channel and number.
type HtlcState = (Key, u64);
/// Payload, and attribution data.
type CameState = (Option<Bytes>, Option<Bytes>);

/// How many settled HTLCs of a channel are remembered, counted from its last: a settlement that the peer has
/// not confirmed is sent again after a restart.
const SETTLED: u64 = 64;

/// What is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    lie: Option<String>,
    /// Milliseconds since 1970: time passes while the node is away.
    since: Vec<(HtlcState, u64)>,
    /// Secret, and SHA-256 of the onion that goes on.
    passing: Vec<(HtlcState, Key, Key)>,
    /// The HTLC that goes on, and the one that came.
    forwarded: Vec<(HtlcState, HtlcState)>,
    blinded: Vec<HtlcState>,
    receipts: Vec<(Key, Bytes)>,
    earlier: Option<Bytes>,
    downstream: Vec<(HtlcState, CameState)>,
    out: Vec<(HtlcState, CameState)>,
}

fn htlc_state(htlc: &Htlc) -> HtlcState {
    (Hexed(htlc.0.0), htlc.1)
}

fn htlc((channel, number): HtlcState) -> Htlc {
    (ChannelId(channel.0), number)
}

fn came_state(came: &Came) -> CameState {
    let data = came.data.map(|data| Hexed(data.to_vec()));
    (came.payload.clone().map(Hexed), data)
}

fn came((payload, data): CameState) -> Came {
    Came {
        payload: payload.map(|payload| payload.0),
        data: data.and_then(|data| data.0.try_into().ok()),
    }
}

/// Milliseconds since 1970.
fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

impl Fulfillments {
    /// What a restart has to leave as it is.
    pub fn remember(&self) -> State {
        let state = lock(&self.state);
        let mut last: HashMap<ChannelId, u64> = HashMap::new();
        for (channel, number) in state.out.keys() {
            let known = last.entry(*channel).or_default();
            *known = (*known).max(*number);
        }
        let is_kept = |htlc: &Htlc| {
            !state.out.contains_key(htlc)
                || last
                    .get(&htlc.0)
                    .is_none_or(|last| htlc.1 + SETTLED > *last)
        };
        let now = clock();
        let since = state.since.iter().filter(|(htlc, _)| is_kept(htlc));
        let since = since.map(|(htlc, since)| {
            let held = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            (htlc_state(htlc), now.saturating_sub(held))
        });
        let passing = state.passing.iter().map(|(htlc, passing)| {
            let (secret, onion) = (Hexed(passing.secret), Hexed(passing.onion));
            (htlc_state(htlc), secret, onion)
        });
        let forwarded = state.forwarded.iter();
        let blinded = state.blinded.iter().filter(|htlc| is_kept(htlc));
        let receipts = state.receipts.iter();
        let downstream = state.downstream.iter();
        let out = state.out.iter().filter(|(htlc, _)| is_kept(htlc));
        State {
            lie: state.lie.clone(),
            since: since.collect(),
            passing: passing.collect(),
            forwarded: forwarded
                .map(|(on, from)| (htlc_state(on), htlc_state(from)))
                .collect(),
            blinded: blinded.map(htlc_state).collect(),
            receipts: receipts
                .map(|(hash, receipt)| (Hexed(*hash), Hexed(receipt.clone())))
                .collect(),
            earlier: state.earlier.clone().map(Hexed),
            downstream: downstream
                .map(|(htlc, came)| (htlc_state(htlc), came_state(came)))
                .collect(),
            out: out
                .map(|(htlc, came)| (htlc_state(htlc), came_state(came)))
                .collect(),
        }
    }

    /// Takes up what was remembered.
    pub fn recall(&self, left: State) {
        let mut state = lock(&self.state);
        state.lie = left.lie;
        let (now, started) = (Instant::now(), clock());
        for (of, since) in left.since {
            let held = Duration::from_millis(started.saturating_sub(since));
            // A machine that has been up for less knows no time so early.
            state
                .since
                .insert(htlc(of), now.checked_sub(held).unwrap_or(now));
        }
        for (of, secret, onion) in left.passing {
            let (secret, onion) = (secret.0, onion.0);
            state.passing.insert(htlc(of), Passing { secret, onion });
        }
        let forwarded = left.forwarded.into_iter();
        state
            .forwarded
            .extend(forwarded.map(|(on, from)| (htlc(on), htlc(from))));
        state.blinded.extend(left.blinded.into_iter().map(htlc));
        let receipts = left.receipts.into_iter();
        state
            .receipts
            .extend(receipts.map(|(hash, receipt)| (hash.0, receipt.0)));
        state.earlier = left.earlier.map(|receipt| receipt.0);
        let downstream = left.downstream.into_iter();
        state
            .downstream
            .extend(downstream.map(|(of, what)| (htlc(of), came(what))));
        let out = left.out.into_iter();
        state
            .out
            .extend(out.map(|(of, what)| (htlc(of), came(what))));
    }
}
