//! What the tests of both proofs and of tunnels have in common: keys, a request, and payments that come in
//! at the honest payee.

use crate::misbehave::Plan;
use crate::payee::{Arrived, Decision, Payee};
use crate::proofs::Proofs;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::keys;
use lnconform_drafts::onion;
use lnconform_drafts::rules::Rules;
use lnconform_spec::misbehaviours::{self, Misbehaviour};

/// When requests are made, in seconds since 1970.
pub(crate) const NOW: u64 = 2_000_000_000;
/// Whose key the honest payee has.
pub(crate) const PAYEE: u8 = 9;

/// The secret key that is this byte 32 times.
pub(crate) fn secret(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

/// Its public key.
pub(crate) fn id(byte: u8) -> PublicKey {
    keys::public(&secret(byte))
}

/// A request of either proof for 100000 msat.
pub(crate) fn request(nonce: u8, flags: u8) -> Vec<u8> {
    [
        &[0, flags][..],
        &[nonce; 32],
        &NOW.to_be_bytes(),
        &100_000_u64.to_be_bytes(),
        &[3; 32],
        &[0; 32],
    ]
    .concat()
}

/// Hands the HTLCs of a payment to the payee, which takes them; answers their hashes.
pub(crate) fn arrive(payee: &mut Payee, plan: &Plan) -> Vec<[u8; 32]> {
    let mut hashes = Vec::new();
    for shot in plan.shots(&[], || secret(5)) {
        let packed = shot.pack(580).unwrap();
        let context = onion::Context {
            associated_data: &shot.hash,
            size: Some(onion::PAYMENT_SIZE),
            path_key: None,
        };
        let peeled = onion::peel(&Rules::all(), &secret(PAYEE), &packed.packet, context).unwrap();
        let decision = payee.arrive(&Arrived {
            hash: shot.hash,
            amount_msat: shot.htlc_msat,
            cltv_expiry: 580,
            payload: &peeled.payload,
            shared_secret: crate::payee::tests::fresh(),
            height: 500,
            now: NOW,
        });
        assert!(matches!(decision, Decision::Take { .. }), "{decision:?}");
        hashes.push(shot.hash);
    }
    hashes
}

/// The wrongs whose names begin so, of which there are some.
pub(crate) fn named(prefix: &str) -> Vec<Misbehaviour> {
    let mut all = misbehaviours::all().unwrap();
    all.retain(|m| m.name.starts_with(prefix));
    assert!(!all.is_empty(), "{prefix}");
    all
}

/// What a node of that key still knows after a restart.
pub(crate) fn restarted(proofs: &Proofs, key: u8) -> Proofs {
    let text = serde_json::to_string(&proofs.remember()).unwrap();
    let mut again = Proofs::new(&id(key));
    again.recall(serde_json::from_str(&text).unwrap());
    again
}
