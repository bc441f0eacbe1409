//! An HTLC that comes in: its onion peeled, who decides about it, and what LDK is handed in its place.

use super::{Hook, payload_value};
use crate::blind::{self, Judged};
use crate::messages::static_invoice;
use crate::node::book::Incoming;
use crate::node::env::lock;
use crate::node::transcript::Direction;
use crate::payee::{Arrived, Decision, Refusal, details};
use crate::shot::{payment_data, truncated};
use bitcoin::secp256k1::PublicKey;
use lightning03::ln::msgs;
use lightning03::types::payment::PaymentHash;
use lightning03::util::ser::{Readable, Writeable};
use lnconform_drafts::failure::{self, code};
use lnconform_drafts::keys;
use lnconform_drafts::onion::{self, Context, Hop, PAYMENT_SIZE};
use lnconform_drafts::payload::kind;
use lnconform_drafts::rules::{self, Rules};
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::params::{ResultObject, hex};

impl Hook {
    /// What LDK is handed in the place of an HTLC that has come.
    pub(super) fn arrive(&self, peer: PublicKey, add: &msgs::UpdateAddHTLC) -> msgs::UpdateAddHTLC {
        let packet = add.onion_routing_packet.encode();
        let context = Context {
            associated_data: &add.payment_hash.0,
            size: Some(PAYMENT_SIZE),
            path_key: add.blinding_point,
        };
        let peeled = match onion::peel(&Rules::all(), &self.secret, &packet, context) {
            Ok(peeled) => peeled,
            Err(e) => {
                self.note_add(Direction::In, peer, add, None);
                let (rule, message) = match &e {
                    onion::Error::Rule(violation) => (Some(violation.rule), e.to_string()),
                    _ => (None, e.to_string()),
                };
                self.refused(add, rule, onion_code(rule), &message);
                // LDK answers for itself: there is no secret to answer with.
                return add.clone();
            }
        };
        let seen = payload_value(&peeled.payload);
        self.note_add(Direction::In, peer, add, Some(seen));
        let hash = add.payment_hash.0;
        // Payments along paths of BOLT 12 invoices of the probe's are taken as those to its node id.
        let of_static = self.of_static_invoice(&peeled.payload);
        let is_static = of_static.is_some();
        let adapted = of_static.or_else(|| {
            let known = lock(&self.payee).invoice(&hash).is_some();
            known.then(|| crate::messages::bolt12::unblinded(&self.secret, &peeled.payload))?
        });
        let height = self.height() - if is_static { static_invoice::SPARE } else { 0 };
        let htlc = Arrived {
            hash,
            amount_msat: add.amount_msat,
            cltv_expiry: add.cltv_expiry,
            payload: adapted.as_deref().unwrap_or(&peeled.payload),
            shared_secret: peeled.shared_secret,
            height,
            now: self.now(),
        };
        let (onion, last) = (keys::sha256(&[&packet]), peeled.next.is_none());
        let again = lock(&self.book).is_said_again(&(add.channel_id, add.htlc_id), &onion);
        let ways = if last {
            Vec::new()
        } else {
            crate::onward::ways(&self.cm)
        };
        let mut payee = lock(&self.payee);
        if again {
            payee.forget_onion(&peeled.shared_secret);
        }
        let judged = if adapted.is_some() {
            Judged::Plain
        } else {
            blind::judge(
                &mut payee,
                &self.secret,
                &htlc,
                add.blinding_point,
                last,
                &onion,
            )
        };
        let judged = match judged {
            Judged::Plain if !last => crate::onward::refused(&payee.rules, &htlc, &ways)
                .map_or(Judged::Plain, |refused| {
                    Judged::Decided(Decision::Refuse(refused))
                }),
            other => other,
        };
        let decision = match judged {
            Judged::Decided(decision) => decision,
            Judged::Plain if is_static => static_invoice::judged(payee.arrive(&htlc)),
            Judged::Plain if last => payee.arrive(&htlc),
            // On the way the probe is LDK.
            Judged::Plain | Judged::PassOn => {
                drop(payee);
                let change = self.is_asked_to_hold(add);
                let htlc = (add.channel_id, add.htlc_id);
                let next = peeled.next.as_deref().unwrap_or_default();
                let passing = Some((peeled.shared_secret, next));
                let blinded = add.blinding_point.is_some();
                self.fulfillments.arrived(htlc, blinded, passing);
                return change;
            }
        };
        drop(payee);
        // What it is failed with if it is failed later on.
        let fallback = details(&htlc, None, "the payment was given up");
        let (failure, taken) = match decision {
            Decision::Take {
                amount_msat,
                total_msat,
                ..
            } => (fallback.failure, Some((amount_msat, total_msat))),
            Decision::Refuse(refusal) => {
                self.refuse(add, &refusal);
                (refusal.failure, None)
            }
            Decision::RefuseSet(refusal, hashes) => {
                self.refuse(add, &refusal);
                for hash in hashes {
                    lock(&self.payee).failed(&hash);
                    lock(&self.book).fail_with(&hash, &refusal.failure);
                }
                (refusal.failure, None)
            }
        };
        let incoming = Incoming {
            hash: add.payment_hash.0,
            shared_secret: peeled.shared_secret,
            failure,
            // BOLT 2, removing an HTLC: so is every one failed that came with a path key.
            malformed: add
                .blinding_point
                .map(|_| (onion, code::INVALID_ONION_BLINDING)),
            onion,
            garble: None,
            refused: taken.is_none(),
            answered: false,
        };
        let htlc = (add.channel_id, add.htlc_id);
        let blinded = add.blinding_point.is_some();
        self.fulfillments.arrived(htlc, blinded, None);
        lock(&self.book).arrived((add.channel_id, add.htlc_id), incoming);
        let (secret, amount_msat, total_msat) = match taken {
            Some((amount, total)) => (self.ldk_secret(add.payment_hash), amount, total),
            // LDK fails what has not its secret.
            None => ([0; 32], add.amount_msat, add.amount_msat),
        };
        let mut handed = add.clone();
        handed.blinding_point = None;
        if let Some(packet) = self.to_ourselves(add, &secret, amount_msat, total_msat) {
            handed.onion_routing_packet = packet;
        }
        handed
    }

    fn refuse(&self, add: &msgs::UpdateAddHTLC, refusal: &Refusal) {
        self.refused(add, refusal.rule, Some(refusal.code), &refusal.message);
    }

    fn refused(
        &self,
        add: &msgs::UpdateAddHTLC,
        rule: Option<&str>,
        code: Option<u16>,
        message: &str,
    ) {
        let fields = ResultObject::new()
            .with("payment_hash", hex(add.payment_hash.0))
            .with("amount_msat", add.amount_msat.to_string())
            .maybe("rule", rule)
            .maybe("code", code)
            .with("message", message)
            .done();
        self.tell("payment-refused", fields);
    }

    fn ldk_secret(&self, hash: PaymentHash) -> [u8; 32] {
        let mut secrets = lock(&self.secrets);
        if let Some(secret) = secrets.get(&hash.0) {
            return secret.0;
        }
        let asked = self
            .cm
            .create_inbound_payment_for_hash(hash, None, 7200, None, None);
        match asked {
            Ok((secret, _)) => {
                secrets.insert(hash.0, secret);
                secret.0
            }
            Err(()) => {
                eprintln!("adapter: LDK gives no payment secret");
                [0; 32]
            }
        }
    }

    /// An onion of one hop from the probe to itself.
    fn to_ourselves(
        &self,
        add: &msgs::UpdateAddHTLC,
        secret: &[u8; 32],
        amount_msat: u64,
        total_msat: u64,
    ) -> Option<msgs::OnionPacket> {
        let payload = tlv::encode_unchecked(&[
            Record::new(kind::AMOUNT, truncated(amount_msat)),
            Record::new(kind::CLTV, truncated(add.cltv_expiry.into())),
            payment_data(secret, total_msat),
        ]);
        let hop = Hop {
            pubkey: keys::public(&self.secret),
            framed: onion::frame(&payload),
        };
        let hash = &add.payment_hash.0;
        let built = onion::build(&Rules::all(), &self.draw_key(), hash, &[hop], PAYMENT_SIZE);
        let packet = built.ok()?.packet;
        msgs::OnionPacket::read(&mut &packet[..]).ok()
    }
}

/// The code that a node answers a broken onion with, by the rule that it breaks.
fn onion_code(rule: Option<&str>) -> Option<u16> {
    Some(match rule? {
        rules::ONION_VERSION => failure::BADONION | failure::PERM | 4,
        rules::ONION_HMAC => failure::BADONION | failure::PERM | 5,
        rules::ONION_PUBLIC_KEY => failure::BADONION | failure::PERM | 6,
        _ => failure::PERM | 22,
    })
}
