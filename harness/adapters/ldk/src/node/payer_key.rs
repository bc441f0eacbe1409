//! The key that asked for an invoice, which ldk-node 0.7 keeps to itself.
//!
//! LDK 0.2 draws a nonce for each invoice request and derives the key from the nonce, the request and a
//! key of the node. The last follows from the node's seed, which is the harness's own; the nonce stands
//! in what the node stores while it waits for the invoice ([`super::store`]). What is worked out here
//! answers only if it is the key that the invoice names, so that a mistake cannot pass for LDK's key.

use super::running::Seed;
use ldk_node::bitcoin::Network;
use ldk_node::bitcoin::bip32::{ChildNumber, Xpriv};
use ldk_node::bitcoin::hashes::hmac::{Hmac, HmacEngine};
use ldk_node::bitcoin::hashes::{Hash, HashEngine, sha256};
use ldk_node::bitcoin::secp256k1::{Secp256k1, SecretKey};
use ldk_node::lightning::offers::invoice::Bolt12Invoice;
use ldk_node::lightning::util::ser::{BigSize, Readable};
use lnconform_protocol::OpError;

/// The nonce of an invoice request.
pub(super) type Nonce = [u8; 16];

/// Child of LDK's master key that is for inbound payments and for offers.
const PAYMENTS: ChildNumber = ChildNumber::Hardened { index: 5 };
/// Name of the keys that follow from it.
const EXPANSION: &[u8] = b"LDK Inbound Payment Key Expansion";
/// Which of them is for offers, counted from 1.
const OFFERS: u8 = 4;
/// In front of what an invoice request's key is the code of.
const REQUEST: &[u8; 16] = b"LDK Invreq ~~~~~";
/// Behind it: that the code is a key, and that an encrypted payment id follows.
const KEYS_WITH_PAYMENT: [[u8; 16]; 2] = [[2; 16], [4; 16]];

/// BOLT 12 records: `invreq_metadata`, which holds the encrypted payment id.
const METADATA: u64 = 0;
/// `invreq_payer_id`.
const PAYER_ID: u64 = 88;
/// Records of an invoice from this one on are its own, up to the experimental ones.
const INVOICE: u64 = 160;
/// The experimental records of offer and request.
const EXPERIMENTAL: std::ops::Range<u64> = 1_000_000_000..3_000_000_000;

/// Secret key of the `invreq_payer_id` in `invoice` (a TLV stream), for which a node with this seed sent
/// a request with this nonce. `None` when the key does not come out.
pub(super) fn secret(
    seed: &Seed,
    nonce: &Nonce,
    invoice: &[u8],
) -> Result<Option<[u8; 32]>, OpError> {
    let parsed = Bolt12Invoice::try_from(invoice.to_vec())
        .map_err(|e| OpError::internal(format!("the invoice cannot be read: {e:?}")))?;
    let Some(records) = records(invoice) else {
        return Err(OpError::internal("the invoice is no TLV stream"));
    };
    let secp = Secp256k1::new();
    let underivable =
        |e: ldk_node::bitcoin::bip32::Error| OpError::internal(format!("no key of the seed: {e}"));
    // As ldk-node does it: the seed is that of a wallet, whose master key is the seed of LDK's keys.
    let wallet = Xpriv::new_master(Network::Regtest, seed).map_err(underivable)?;
    let payments = Xpriv::new_master(Network::Regtest, &wallet.private_key.secret_bytes())
        .and_then(|master| master.derive_priv(&secp, &PAYMENTS))
        .map_err(underivable)?;
    let mut data: Vec<&[u8]> = vec![REQUEST, nonce];
    let of_request = |kind: u64| kind < INVOICE || EXPERIMENTAL.contains(&kind);
    data.extend(
        records
            .iter()
            .filter(|r| of_request(r.kind) && ![METADATA, PAYER_ID].contains(&r.kind))
            .map(|r| r.whole),
    );
    data.extend(KEYS_WITH_PAYMENT.iter().map(<[u8; 16]>::as_slice));
    data.extend(records.iter().find(|r| r.kind == METADATA).map(|r| r.value));
    let key = code(&offers_key(&payments.private_key.secret_bytes()), &data);
    let Ok(secret) = SecretKey::from_slice(&key) else {
        return Ok(None);
    };
    let right = secret.public_key(&secp) == parsed.payer_signing_pubkey();
    Ok(right.then(|| secret.secret_bytes()))
}

/// HKDF (RFC 5869) with SHA-256, as far as the key for offers.
fn offers_key(material: &[u8; 32]) -> [u8; 32] {
    let extracted = code(EXPANSION, &[material]);
    let mut last = code(&extracted, &[&[1]]);
    for n in 2..=OFFERS {
        last = code(&extracted, &[&last, &[n]]);
    }
    last
}

fn code(key: &[u8], data: &[&[u8]]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    data.iter().for_each(|part| engine.input(part));
    Hmac::from_engine(engine).to_byte_array()
}

struct Record<'a> {
    kind: u64,
    value: &'a [u8],
    whole: &'a [u8],
}

fn records(stream: &[u8]) -> Option<Vec<Record<'_>>> {
    let mut found = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let mut at = rest;
        let kind = BigSize::read(&mut at).ok()?.0;
        let length = usize::try_from(BigSize::read(&mut at).ok()?.0).ok()?;
        let value = at.get(..length)?;
        let (whole, next) = rest.split_at(rest.len() - at.len() + length);
        found.push(Record { kind, value, whole });
        rest = next;
    }
    Some(found)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ldk_node::bitcoin::secp256k1::{Keypair, PublicKey};
    use ldk_node::lightning::blinded_path::BlindedHop;
    use ldk_node::lightning::blinded_path::payment::{BlindedPayInfo, BlindedPaymentPath};
    use ldk_node::lightning::ln::channelmanager::PaymentId;
    use ldk_node::lightning::offers::invoice::UnsignedBolt12Invoice;
    use ldk_node::lightning::offers::invoice_request::InvoiceRequest;
    use ldk_node::lightning::offers::nonce::Nonce as LdkNonce;
    use ldk_node::lightning::offers::offer::OfferBuilder;
    use ldk_node::lightning::sign::{KeysManager, NodeSigner};
    use ldk_node::lightning::types::features::BlindedHopFeatures;
    use ldk_node::lightning::util::ser::Writeable;
    use ldk_node::lightning_types::payment::PaymentHash;

    pub(crate) const SEED: Seed = [7; 64];
    pub(crate) const NONCE: Nonce = [9; 16];

    /// A request that LDK makes for a node with [`SEED`], and an invoice for it.
    pub(crate) fn asked_and_answered() -> (InvoiceRequest, Vec<u8>) {
        let secp = Secp256k1::new();
        let wallet = Xpriv::new_master(Network::Regtest, &SEED).unwrap();
        let keys = KeysManager::new(&wallet.private_key.secret_bytes(), 1, 2, false);
        let issuer = Keypair::from_seckey_slice(&secp, &[1; 32]).unwrap();
        let offer = OfferBuilder::new(issuer.public_key())
            .description("tea".into())
            .amount_msats(1000)
            .build()
            .unwrap();
        let nonce = LdkNonce::try_from(&NONCE[..]).unwrap();
        let request = offer
            .request_invoice(&keys.get_expanded_key(), nonce, &secp, PaymentId([3; 32]))
            .unwrap()
            .payer_note("no sugar".into())
            .build_and_sign()
            .unwrap();
        let key =
            |n: u8| -> PublicKey { SecretKey::from_slice(&[n; 32]).unwrap().public_key(&secp) };
        let hop = BlindedHop {
            blinded_node_id: key(4),
            encrypted_payload: vec![0; 40],
        };
        let info = BlindedPayInfo {
            fee_base_msat: 0,
            fee_proportional_millionths: 0,
            cltv_expiry_delta: 0,
            htlc_minimum_msat: 0,
            htlc_maximum_msat: 1_000_000,
            features: BlindedHopFeatures::empty(),
        };
        let path =
            BlindedPaymentPath::from_blinded_path_and_payinfo(key(5), key(6), vec![hop], info);
        let invoice = request
            .respond_with(vec![path], PaymentHash([8; 32]))
            .unwrap()
            .build()
            .unwrap()
            .sign(|m: &UnsignedBolt12Invoice| {
                Ok(secp.sign_schnorr_no_aux_rand(m.as_ref().as_digest(), &issuer))
            })
            .unwrap();
        (request, invoice.encode())
    }

    #[test]
    fn the_key_is_the_one_that_ldk_signs_a_request_with() {
        let (request, invoice) = asked_and_answered();
        let found = secret(&SEED, &NONCE, &invoice).unwrap().unwrap();
        let public = SecretKey::from_slice(&found)
            .unwrap()
            .public_key(&Secp256k1::new());
        assert_eq!(public, request.payer_signing_pubkey());
        // Another nonce or another node gives none.
        assert_eq!(secret(&SEED, &[8; 16], &invoice).unwrap(), None);
        assert_eq!(secret(&[8; 64], &NONCE, &invoice).unwrap(), None);
        assert!(secret(&SEED, &NONCE, &invoice[1..]).is_err());
    }
}
