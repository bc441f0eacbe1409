//! The book over a restart: what is under way, and what may have to be said again.

use super::{Answer, Book, Htlc, Incoming, Payment, Sent};
use crate::node::hexed::Hexed;
use crate::shot::Packed;
use lightning03::ln::types::ChannelId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How many answered HTLCs of a channel are remembered, counted from its last: a failure that the
/// peer has not confirmed is sent again after a restart.
const ANSWERED: u64 = 64;

/// What is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    sent: Vec<SentState>,
    incoming: Vec<(Hexed<[u8; 32]>, u64, Incoming)>,
    payments: Vec<PaymentState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SentState {
    #[serde(with = "crate::node::hexed")]
    channel: [u8; 32],
    id: u64,
    packed: Packed,
    payment: String,
    part: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct PaymentState {
    payment: String,
    #[serde(with = "crate::node::hexed")]
    hash: [u8; 32],
    fee_msat: u64,
    answers: Vec<Option<Answer>>,
}

impl Book {
    /// What a restart has to leave as it is.
    pub fn remember(&self) -> State {
        let open = |(_, sent): &(&Htlc, &Sent)| !sent.answered;
        let sent = self.sent.iter().filter(open);
        let mut last: HashMap<ChannelId, u64> = HashMap::new();
        for (channel, id) in self.incoming.keys() {
            let known = last.entry(*channel).or_default();
            *known = (*known).max(*id);
        }
        let kept = |(htlc, incoming): &(&Htlc, &Incoming)| {
            !incoming.answered
                || last
                    .get(&htlc.0)
                    .is_some_and(|last| htlc.1 + ANSWERED > *last)
        };
        let incoming = self.incoming.iter().filter(kept);
        let under_way =
            |(_, payment): &(&String, &Payment)| payment.answers.iter().any(Option::is_none);
        let payments = self.payments.iter().filter(under_way);
        State {
            sent: sent
                .map(|(htlc, sent)| SentState {
                    channel: htlc.0.0,
                    id: htlc.1,
                    packed: sent.packed.clone(),
                    payment: sent.payment.clone(),
                    part: sent.part,
                })
                .collect(),
            incoming: incoming
                .map(|(htlc, incoming)| (Hexed(htlc.0.0), htlc.1, incoming.clone()))
                .collect(),
            payments: payments
                .map(|(name, payment)| PaymentState {
                    payment: name.clone(),
                    hash: payment.hash,
                    fee_msat: payment.fee_msat,
                    answers: payment.answers.clone(),
                })
                .collect(),
        }
    }

    /// Takes up what was remembered; the hashes that are not answered yet.
    pub fn recall(&mut self, state: State) -> Vec<[u8; 32]> {
        for sent in state.sent {
            let htlc = (ChannelId(sent.channel), sent.id);
            let sent = Sent {
                packed: sent.packed,
                payment: sent.payment,
                part: sent.part,
                answered: false,
            };
            self.sent.insert(htlc, sent);
        }
        let mut unanswered = Vec::new();
        for (channel, id, incoming) in state.incoming {
            if !incoming.answered {
                unanswered.push(incoming.hash);
            }
            self.incoming.insert((ChannelId(channel.0), id), incoming);
        }
        for payment in state.payments {
            let record = Payment {
                hash: payment.hash,
                fee_msat: payment.fee_msat,
                answers: payment.answers,
            };
            self.payments.insert(payment.payment, record);
        }
        unanswered
    }

    /// Whatever is held for a hash shall be failed with what was foreseen for that.
    pub fn give_up(&mut self, hash: &[u8; 32]) {
        let held = |i: &&mut Incoming| i.hash == *hash && !i.answered;
        for incoming in self.incoming.values_mut().filter(held) {
            incoming.refused = true;
        }
    }

    /// The payment for a hash that has not ended.
    pub fn under_way(&self, hash: &[u8; 32]) -> Option<String> {
        let open = |payment: &Payment| {
            payment.hash == *hash && payment.answers.iter().any(Option::is_none)
        };
        let mut found = self.payments.iter().filter(|(_, payment)| open(payment));
        found.next().map(|(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::book::tests::{htlc, shot};

    #[test]
    fn an_htlc_that_is_sent_again_after_a_restart_has_the_same_onion() {
        let mut book = Book::default();
        let mut second = shot(2_000);
        second.hash = [2; 32];
        book.begin("p", &[(shot(1_000), [1; 32]), (second, [2; 32])]);
        let first = book.launch(htlc(0), [1; 32], 1_000, 600).unwrap().cloned();
        book.launch(htlc(1), [2; 32], 2_000, 600).unwrap();
        let settled = Answer::Settled { preimage: [3; 32] };
        assert_eq!(book.answered(htlc(1), settled.clone()), None);

        let text = serde_json::to_string(&book.remember()).unwrap();
        let mut again = Book::default();
        again.recall(serde_json::from_str(&text).unwrap());
        assert_eq!(again.under_way(&[1; 32]).as_deref(), Some("p"));
        assert_eq!(
            again.launch(htlc(0), [1; 32], 1_000, 600).unwrap().cloned(),
            first
        );
        assert_eq!(again.secrets(&htlc(0)), book.secrets(&htlc(0)));
        let ended = again.answered(htlc(0), settled).unwrap();
        assert_eq!(ended.status(), "succeeded");
        assert_eq!(again.under_way(&[1; 32]), None);
    }

    #[test]
    fn what_has_come_is_answered_as_it_would_have_been() {
        let incoming = |hash, answered| Incoming {
            hash: [hash; 32],
            shared_secret: [hash; 32],
            failure: vec![0x40, 0x0f],
            answered,
            ..Incoming::default()
        };
        let mut book = Book::default();
        book.arrived(htlc(0), incoming(1, true));
        book.arrived(htlc(ANSWERED), incoming(2, true));
        book.arrived(htlc(ANSWERED - 1), incoming(3, false));
        let text = serde_json::to_string(&book.remember()).unwrap();
        let mut again = Book::default();
        assert_eq!(
            again.recall(serde_json::from_str(&text).unwrap()),
            [[3; 32]]
        );
        // Long confirmed, and forgotten.
        assert!(again.answer(&htlc(0)).is_none());
        let failure = again.answer(&htlc(ANSWERED)).unwrap();
        assert_eq!(
            (failure.shared_secret, &failure.failure[..]),
            ([2; 32], &[0x40, 0x0f][..])
        );
        assert!(again.to_fail().is_empty());
        again.give_up(&[3; 32]);
        assert_eq!(again.to_fail(), [[3; 32]].into());
    }
}
