//! Which HTLC belongs to what: the probe's own record beside LDK's.

pub(crate) mod state;

use crate::node::hook::failure_fields;
use crate::shot::{Packed, Shot};
use lightning03::ln::types::ChannelId;
use lnconform_drafts::onion;
use lnconform_protocol::params::{ResultObject, hex};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// An HTLC: its channel, and its number there.
pub type Htlc = (ChannelId, u64);

/// What a peer did with an HTLC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It gave the preimage.
    Settled {
        /// What opens the hash.
        preimage: [u8; 32],
    },
    /// It passed on a failure.
    Failed {
        /// Whose, counted from 0 at the peer.
        hop: Option<usize>,
        /// Code and data.
        failure: Vec<u8>,
        /// Bytes of the packet that it came in.
        length: usize,
    },
    /// It could not read the onion.
    Malformed {
        /// With its flags.
        code: u16,
        /// SHA-256 of the onion that it got.
        onion: Vec<u8>,
    },
    /// It passed on something that is no failure of any hop.
    Unreadable {
        /// Why not.
        reason: String,
        /// The statement by which it is none.
        rule: Option<String>,
        /// What it was.
        packet: Vec<u8>,
    },
    /// The channel was closed over it.
    Closed {
        /// In LDK's words.
        reason: String,
    },
    /// LDK has not sent it.
    NotSent {
        /// In LDK's words.
        reason: String,
    },
}

impl Answer {
    /// In the form of the protocol's `failure`.
    pub fn failure(&self) -> Value {
        match self {
            Answer::Settled { .. } => json!({}),
            Answer::Failed {
                hop,
                failure,
                length,
            } => failure_fields(failure)
                .maybe("hop", *hop)
                .with("length", *length)
                .done(),
            Answer::Malformed { code, onion } => {
                let failure = [&code.to_be_bytes()[..], onion].concat();
                failure_fields(&failure)
                    .with("hop", 0)
                    .with("malformed", true)
                    .done()
            }
            Answer::Unreadable {
                reason,
                rule,
                packet,
            } => ResultObject::new()
                .with("reason", "unreadable")
                .maybe("rule", rule.as_deref())
                .with("message", reason.as_str())
                .with("packet", hex(packet))
                .done(),
            Answer::Closed { reason } => json!({"reason": "channel-closed", "message": reason}),
            Answer::NotSent { reason } => json!({"reason": "not-sent", "message": reason}),
        }
    }

    fn value(&self) -> Value {
        match self {
            Answer::Settled { preimage } => {
                json!({"status": "succeeded", "preimage": hex(preimage)})
            }
            other => json!({"status": "failed", "failure": other.failure()}),
        }
    }
}

/// A payment all of whose HTLCs have been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its handle.
    pub payment: String,
    hash: [u8; 32],
    fee_msat: u64,
    answers: Vec<Answer>,
}

impl Ended {
    /// `succeeded` if every HTLC was settled, `failed` if none was, else `partly`.
    pub fn status(&self) -> &'static str {
        let settled = |answer: &&Answer| matches!(answer, Answer::Settled { .. });
        match self.answers.iter().filter(settled).count() {
            0 => "failed",
            n if n == self.answers.len() => "succeeded",
            _ => "partly",
        }
    }

    /// The kind of the event.
    pub fn kind(&self) -> &'static str {
        match self.status() {
            "failed" => "payment-failed",
            _ => "payment-sent",
        }
    }

    /// The result of `payment.wait`.
    pub fn fields(&self) -> Value {
        let preimage = self.answers.iter().find_map(|answer| match answer {
            Answer::Settled { preimage } => Some(hex(preimage)),
            _ => None,
        });
        let failed = |answer: &&Answer| !matches!(answer, Answer::Settled { .. });
        let failure = self.answers.iter().find(failed).map(Answer::failure);
        let status = self.status();
        let fee = (status == "succeeded").then(|| self.fee_msat.to_string());
        ResultObject::new()
            .with("status", status)
            .with("payment_hash", hex(self.hash))
            .maybe("preimage", preimage)
            .maybe("fee_msat", fee)
            .with("parts", self.answers.len())
            .maybe("failure", failure)
            .with(
                "htlcs",
                self.answers.iter().map(Answer::value).collect::<Value>(),
            )
            .done()
    }
}

/// An HTLC that has come, to be answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Incoming {
    /// Its hash.
    #[serde(with = "crate::node::hexed")]
    pub hash: [u8; 32],
    /// Shared with the payer.
    #[serde(with = "crate::node::hexed")]
    pub shared_secret: [u8; 32],
    /// What it is failed with, if it is.
    #[serde(with = "crate::node::hexed")]
    pub failure: Vec<u8>,
    /// It is failed as an onion that could not be read: SHA-256 of that onion, and the code.
    pub malformed: Option<([u8; 32], u16)>,
    /// SHA-256 of the onion that came with it.
    #[serde(with = "crate::node::hexed")]
    pub onion: [u8; 32],
    /// What is done to the packet that it is failed with ([`crate::failures`]).
    pub garble: Option<String>,
    /// The probe wants it failed.
    pub refused: bool,
    /// It has been settled or failed.
    pub answered: bool,
}

struct Waiting {
    shot: Shot,
    payment: String,
    id: [u8; 32],
    part: usize,
}

struct Sent {
    packed: Packed,
    payment: String,
    part: usize,
    answered: bool,
}

struct Payment {
    hash: [u8; 32],
    fee_msat: u64,
    answers: Vec<Option<Answer>>,
}

/// Every HTLC of either direction.
#[derive(Default)]
pub struct Book {
    waiting: Vec<Waiting>,
    sent: HashMap<Htlc, Sent>,
    incoming: HashMap<Htlc, Incoming>,
    payments: HashMap<String, Payment>,
}

impl Book {
    /// Whether a handle is known.
    pub fn knows(&self, payment: &str) -> bool {
        self.payments.contains_key(payment)
    }

    /// A payment begins: its HTLCs, each with LDK's number for it.
    pub fn begin(&mut self, payment: &str, shots: &[(Shot, [u8; 32])]) {
        let fees = shots.iter().flat_map(|(shot, _)| &shot.route);
        let record = Payment {
            hash: shots.first().map_or([0; 32], |(shot, _)| shot.hash),
            fee_msat: fees.map(|hop| hop.fee_msat).sum(),
            answers: vec![None; shots.len()],
        };
        self.payments.insert(payment.to_owned(), record);
        for (part, (shot, id)) in shots.iter().enumerate() {
            self.waiting.push(Waiting {
                shot: shot.clone(),
                payment: payment.to_owned(),
                id: *id,
                part,
            });
        }
    }

    /// LDK sends an HTLC: the onion that goes with it, the same one when it sends the HTLC again.
    /// `None` if the probe has not asked for it.
    ///
    /// # Errors
    /// The onion cannot be made.
    pub fn launch(
        &mut self,
        htlc: Htlc,
        hash: [u8; 32],
        amount_msat: u64,
        cltv_expiry: u32,
    ) -> Result<Option<&Packed>, onion::Error> {
        if !self.sent.contains_key(&htlc) {
            let fits = |w: &Waiting| w.shot.hash == hash && w.shot.first_msat() == amount_msat;
            let Some(at) = self.waiting.iter().position(fits) else {
                return Ok(None);
            };
            let packed = self.waiting[at].shot.pack(cltv_expiry)?;
            let waiting = self.waiting.remove(at);
            let sent = Sent {
                packed,
                payment: waiting.payment,
                part: waiting.part,
                answered: false,
            };
            self.sent.insert(htlc, sent);
        }
        Ok(self.sent.get(&htlc).map(|sent| &sent.packed))
    }

    /// The secrets that an HTLC's answer is read with.
    pub fn secrets(&self, htlc: &Htlc) -> Option<Vec<[u8; 32]>> {
        self.sent.get(htlc).map(|sent| sent.packed.secrets.clone())
    }

    /// How many hops of an HTLC's route get no path key in their message.
    pub fn open_hops(&self, htlc: &Htlc) -> usize {
        self.sent.get(htlc).map_or(0, |sent| sent.packed.open)
    }

    /// The hash of the payment that an HTLC belongs to.
    pub fn hash(&self, htlc: &Htlc) -> Option<[u8; 32]> {
        let payment = &self.sent.get(htlc)?.payment;
        self.payments.get(payment).map(|payment| payment.hash)
    }

    /// HTLCs of a channel that have no answer.
    pub fn open_on(&self, channel: &ChannelId) -> Vec<u64> {
        let open =
            |(htlc, sent): (&Htlc, &Sent)| (htlc.0 == *channel && !sent.answered).then_some(htlc.1);
        self.sent.iter().filter_map(open).collect()
    }

    /// An answer has come; the payment if it was the last one.
    pub fn answered(&mut self, htlc: Htlc, answer: Answer) -> Option<Ended> {
        let sent = self.sent.get_mut(&htlc)?;
        if std::mem::replace(&mut sent.answered, true) {
            return None;
        }
        let (payment, part) = (sent.payment.clone(), sent.part);
        self.set(payment, part, answer)
    }

    /// LDK did not send the HTLC of that number.
    pub fn not_sent(&mut self, payment: &str, id: &[u8; 32], reason: &str) -> Option<Ended> {
        let at = self.waiting.iter().position(|w| w.id == *id)?;
        let waiting = self.waiting.remove(at);
        let reason = reason.to_owned();
        self.set(payment.to_owned(), waiting.part, Answer::NotSent { reason })
    }

    fn set(&mut self, payment: String, part: usize, answer: Answer) -> Option<Ended> {
        let record = self.payments.get_mut(&payment)?;
        *record.answers.get_mut(part)? = Some(answer);
        let answers = record.answers.iter().cloned().collect::<Option<Vec<_>>>()?;
        Some(Ended {
            payment,
            hash: record.hash,
            fee_msat: record.fee_msat,
            answers,
        })
    }

    /// Whether an HTLC came before and is said again, after a reconnection or a restart.
    pub fn is_said_again(&self, htlc: &Htlc, onion: &[u8; 32]) -> bool {
        let known = self.incoming.get(htlc);
        known.is_some_and(|known| known.onion == *onion)
    }

    /// An HTLC has come.
    pub fn arrived(&mut self, htlc: Htlc, incoming: Incoming) {
        self.incoming.insert(htlc, incoming);
    }

    /// Whatever is held for a hash shall be failed with this.
    pub fn fail_with(&mut self, hash: &[u8; 32], failure: &[u8]) {
        let held = |i: &&mut Incoming| i.hash == *hash && !i.answered;
        for incoming in self.incoming.values_mut().filter(held) {
            incoming.failure = failure.to_vec();
            incoming.refused = true;
        }
    }

    /// Whatever is held for a hash shall be failed as if its onion could not be read.
    pub fn fail_malformed(&mut self, hash: &[u8; 32], code: u16) {
        let held = |i: &&mut Incoming| i.hash == *hash && !i.answered;
        for incoming in self.incoming.values_mut().filter(held) {
            incoming.malformed = Some((incoming.onion, code));
            incoming.refused = true;
        }
    }

    /// Whatever is held for a hash shall be failed with a packet that this is done to.
    pub fn garble(&mut self, hash: &[u8; 32], name: &str) {
        let held = |i: &&mut Incoming| i.hash == *hash && !i.answered;
        for incoming in self.incoming.values_mut().filter(held) {
            incoming.garble = Some(name.to_owned());
        }
    }

    /// Whatever is held for a hash shall be failed in the open, blinded path or not.
    pub fn unmask(&mut self, hash: &[u8; 32]) {
        let held = |i: &&mut Incoming| i.hash == *hash && !i.answered;
        for incoming in self.incoming.values_mut().filter(held) {
            incoming.malformed = None;
        }
    }

    /// An HTLC that has come is answered; what is known of it.
    pub fn answer(&mut self, htlc: &Htlc) -> Option<&Incoming> {
        let incoming = self.incoming.get_mut(htlc)?;
        incoming.answered = true;
        Some(incoming)
    }

    /// Hashes of HTLCs that are to be failed and have not been yet.
    pub fn to_fail(&self) -> BTreeSet<[u8; 32]> {
        let waiting = self.incoming.values().filter(|i| i.refused && !i.answered);
        waiting.map(|i| i.hash).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bitcoin::secp256k1::SecretKey;
    use lnconform_drafts::keys;

    pub(crate) fn shot(htlc_msat: u64) -> Shot {
        Shot {
            hash: [1; 32],
            htlc_msat,
            delta: 42,
            route: Vec::new(),
            to: keys::public(&SecretKey::from_slice(&[9; 32]).unwrap()),
            amount_msat: htlc_msat,
            cltv_above: 0,
            records: Vec::new(),
            twist: None,
            session: SecretKey::from_slice(&[5; 32]).unwrap(),
            tail: None,
        }
    }

    pub(crate) fn htlc(id: u64) -> Htlc {
        (ChannelId([7; 32]), id)
    }

    #[test]
    fn an_htlc_that_is_sent_again_has_the_same_onion() {
        let mut book = Book::default();
        book.begin("p", &[(shot(1_000), [1; 32])]);
        assert_eq!(book.launch(htlc(0), [1; 32], 999, 600).unwrap(), None);
        let first = book.launch(htlc(0), [1; 32], 1_000, 600).unwrap().cloned();
        assert!(first.is_some());
        let again = book.launch(htlc(0), [1; 32], 1_000, 600).unwrap().cloned();
        assert_eq!(first, again);
        assert_eq!(book.launch(htlc(1), [1; 32], 1_000, 600).unwrap(), None);
    }

    #[test]
    fn a_payment_ends_with_its_last_answer() {
        let mut book = Book::default();
        book.begin("p", &[(shot(1_000), [1; 32]), (shot(2_000), [2; 32])]);
        for (id, amount) in [(0, 2_000), (1, 1_000)] {
            assert!(
                book.launch(htlc(id), [1; 32], amount, 600)
                    .unwrap()
                    .is_some()
            );
        }
        let settled = Answer::Settled { preimage: [3; 32] };
        assert_eq!(book.answered(htlc(1), settled.clone()), None);
        assert_eq!(book.open_on(&ChannelId([7; 32])), [0]);
        let failed = Answer::Failed {
            hop: Some(0),
            failure: vec![0x40, 0x0f, 1],
            length: 292,
        };
        let ended = book.answered(htlc(0), failed.clone()).unwrap();
        assert_eq!(ended.answers, [settled.clone(), failed]);
        assert_eq!((ended.status(), ended.kind()), ("partly", "payment-sent"));
        let fields = ended.fields();
        assert_eq!(fields["failure"]["code"], 0x400f);
        assert_eq!(fields["failure"]["data"], "01");
        assert_eq!(fields["failure"]["length"], 292);
        assert_eq!(fields["htlcs"][0]["preimage"], "03".repeat(32));
        // A second answer to the same HTLC changes nothing.
        assert_eq!(book.answered(htlc(0), settled), None);
    }

    #[test]
    fn what_is_refused_is_failed_until_it_is() {
        let mut book = Book::default();
        let incoming = |hash| Incoming {
            hash: [hash; 32],
            shared_secret: [0; 32],
            failure: vec![0x40, 0x0f],
            malformed: None,
            onion: [7; 32],
            garble: None,
            refused: false,
            answered: false,
        };
        for (id, hash) in [(0, 1), (1, 1), (2, 2)] {
            book.arrived(htlc(id), incoming(hash));
        }
        assert!(book.to_fail().is_empty());
        // The first one is settled, so that it cannot be failed any more.
        book.answer(&htlc(0));
        book.fail_with(&[1; 32], &[0, 23]);
        assert_eq!(book.to_fail(), BTreeSet::from([[1; 32]]));
        assert_eq!(book.answer(&htlc(1)).unwrap().failure, [0, 23]);
        assert!(book.to_fail().is_empty());
        book.fail_malformed(&[2; 32], 0xc005);
        assert_eq!(book.to_fail(), BTreeSet::from([[2; 32]]));
        let third = book.answer(&htlc(2)).unwrap();
        assert_eq!(third.malformed, Some(([7; 32], 0xc005)));
    }

    #[test]
    fn what_is_not_sent_has_failed() {
        let mut book = Book::default();
        book.begin("p", &[(shot(1_000), [1; 32])]);
        let ended = book.not_sent("p", &[1; 32], "no channel").unwrap();
        assert_eq!(ended.status(), "failed");
        assert_eq!(ended.fields()["failure"]["reason"], "not-sent");
    }
}
