//! What the requests of both proofs have in common for whoever lies in one: their layout, and what is
//! derived from them. A lie is one field; the rest is as an honest payer would have it, made anew where it
//! depends on that field.

use crate::misbehave::Plan;
use crate::proofs::value;
use bitcoin::secp256k1::SecretKey;
use lnconform_drafts::keys;
use lnconform_drafts::keysend_proof::{Request, Window};
use lnconform_drafts::rules::{Rules, Violation};

/// Seconds outside the recipient's window, so that no slow machine is back inside.
const OUTSIDE: u64 = 600;

/// Does something else to what was derived.
type Derive = fn(&mut Plan, before: &Request, after: &Request);

/// One of the two proofs, as far as its request goes.
pub struct Form {
    /// Type of the record that holds the request.
    pub kind: u64,
    /// How its names begin.
    pub prefix: &'static str,
    /// Reads a request.
    pub read: fn(&Rules, &[u8]) -> Result<Request, Violation>,
    /// Derives from the request as it is said now what a bound one is bound to.
    pub seal: fn(&mut Plan, &Request),
    /// Leaves bound to the request as it was before what the recipient is to find wrong.
    pub unseal: Derive,
}

impl Form {
    /// The request of a payment, if it is well formed.
    pub fn request(&self, plan: &Plan) -> Option<Request> {
        (self.read)(&Rules::all(), value(&plan.records, self.kind)?).ok()
    }

    /// Says something else, and derives all that depends on it.
    pub fn sealed(&self, plan: &mut Plan, change: impl FnOnce(&mut Request)) {
        if let Some((_, after)) = self.say(plan, change) {
            (self.seal)(plan, &after);
        }
    }

    /// Says something else; what was derived stays what it was.
    pub fn unsealed(&self, plan: &mut Plan, change: impl FnOnce(&mut Request)) {
        if let Some((before, after)) = self.say(plan, change) {
            (self.unseal)(plan, &before, &after);
        }
    }

    fn say(
        &self,
        plan: &mut Plan,
        change: impl FnOnce(&mut Request),
    ) -> Option<(Request, Request)> {
        let before = self.request(plan)?;
        let mut after = before.clone();
        change(&mut after);
        let said = after.encode_unchecked().to_vec();
        record(plan, self.kind, |value| *value = said);
        Some((before, after))
    }

    /// Lies that both proofs know, by their names without the prefix. `false` if it is none.
    #[must_use]
    pub fn misbehave(&self, plan: &mut Plan, name: &str) -> bool {
        let Some(lie) = name.strip_prefix(self.prefix) else {
            return false;
        };
        match lie {
            "length" => record(plan, self.kind, |value| value.push(0)),
            "nonce" => self.unsealed(plan, |r| r.nonce[0] ^= 1),
            "time" => self.unsealed(plan, |r| r.payment_time ^= 1),
            "key" => self.unsealed(plan, |r| r.payer_key[31] ^= 1),
            "terms" => self.unsealed(plan, |r| r.terms_hash[31] ^= 1),
            "version" => self.sealed(plan, |r| r.version = 1),
            "flags" => self.sealed(plan, |r| r.flags |= 4),
            "unwanted" => self.sealed(plan, |r| r.flags &= !1),
            "time-past" => {
                let back = Window::default().past + OUTSIDE;
                self.sealed(plan, |r| {
                    r.payment_time = r.payment_time.saturating_sub(back);
                });
            }
            "time-future" => {
                let ahead = Window::default().future + OUTSIDE;
                self.sealed(plan, |r| {
                    r.payment_time = r.payment_time.saturating_add(ahead);
                });
            }
            "again" => plan.again = true,
            _ => return false,
        }
        true
    }
}

/// Changes the record of this type, if there is one.
pub fn record(plan: &mut Plan, kind: u64, change: impl FnOnce(&mut Vec<u8>)) {
    if let Some(record) = plan.records.iter_mut().find(|r| r.kind == kind) {
        change(&mut record.value);
    }
}

/// Another byte at a place, if the place is there.
pub fn flip(bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
}

/// A key that is not this one.
pub fn another(secret: &SecretKey) -> Option<SecretKey> {
    SecretKey::from_slice(&keys::sha256(&[&secret.secret_bytes()])).ok()
}
