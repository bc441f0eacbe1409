//! What third parties do: claims, the verifier, contradictory receipts.

use super::{Contradiction, Hash, Opening, Receipt, Request, check_recipient_id, tagged};
use crate::bolt12::merkle;
use crate::keys::{Point, SecretKey, public};
use crate::rules::{self, Rules, Violation};

/// Keysend proof, derivation: what a claim signs.
pub fn claim_digest(commitment: &Hash, challenge: &[u8; 32]) -> Hash {
    tagged(b"ln-ksp/0/claim", &[commitment, challenge])
}

/// Answers a challenge. `payer_key` is that of the request, where the caller has it. Answers the
/// digest as well.
///
/// # Errors
/// Keysend proof, claim: `secret` is not the secret key of `payer_key`.
pub fn sign_claim(
    rules: &Rules,
    secret: &SecretKey,
    payer_key: Option<&[u8; 32]>,
    commitment: &Hash,
    challenge: &[u8; 32],
    aux: Option<&[u8; 32]>,
) -> Result<([u8; 64], Hash), Violation> {
    let own = public(secret).x_only_public_key().0.serialize();
    rules.check(
        rules::KSP_CLAIM_SIGN,
        payer_key.is_none_or(|key| *key == own),
        || "the secret key is not that of the payer key in the request".into(),
    )?;
    let digest = match rules.mistaken(rules::KSP_DERIVED_CLAIM, "challenge-first") {
        true => claim_digest(challenge, commitment),
        false => claim_digest(commitment, challenge),
    };
    Ok((merkle::sign(&digest, secret, aux), digest))
}

/// What a verifier is given.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// Chain of the payment.
    pub chain_hash: &'a Hash,
    /// Node id of the recipient.
    pub recipient_id: &'a Point,
    /// Bytes of the request.
    pub request: &'a [u8],
    /// Bytes of the receipt.
    pub receipt: Option<&'a [u8]>,
    /// What the verifier asked the claimant to sign.
    pub challenge: Option<&'a [u8; 32]>,
    /// The claimant's answer.
    pub claim: Option<&'a [u8]>,
}

/// A proof that holds, and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// 0: no receipt. 1: a receipt. 2: a receipt and a claim.
    pub tier: u8,
    /// Sentences of what is proven.
    pub proven: Vec<&'static str>,
    /// Sentences of what is not.
    pub not_proven: Vec<&'static str>,
    /// The request.
    pub request: Request,
    /// What it opens.
    pub opening: Opening,
    /// The receipt.
    pub receipt: Option<Receipt>,
}

impl Verified {
    /// What is proven and what is not, in one text.
    pub fn statement(&self) -> String {
        format!(
            "Proven: {} Not proven: {}",
            self.proven.join(" "),
            self.not_proven.join(" ")
        )
    }

    /// Hash of the payment: the receipt's, else the derived one.
    pub fn payment_hash(&self) -> Hash {
        self.receipt
            .as_ref()
            .map_or(self.opening.payment_hash, |r| r.statement.payment_hash)
    }
}

/// What holds of a proof: whether the preimage is bound, there is a receipt, there is a claim.
type Facts = (bool, bool, bool);

/// When a sentence belongs to the statement.
type Applies = fn(Facts) -> bool;

// Keysend proof, verifier: the two tables of sentences, in their order.
const PROVEN: [(Applies, &str); 4] = [
    (
        |(bound, _, _)| bound,
        "The payment hash is that of a preimage that commits to this chain, this recipient key and \
         this request with its nonce, time, amount, payer key and terms.",
    ),
    (
        |(_, receipt, _)| receipt,
        "The recipient key states that it received the amount in the receipt for this request and \
         this payment hash.",
    ),
    (
        |(_, receipt, _)| receipt,
        "The receipt belongs to this request alone.",
    ),
    (
        |(_, _, claim)| claim,
        "Whoever answered the challenge controls the payer key in the request.",
    ),
];
const NOT_PROVEN: [(Applies, &str); 9] = [
    (
        |(_, receipt, _)| !receipt,
        "That the recipient was paid or knows of the payment: the payer alone can make this.",
    ),
    (
        |(bound, _, _)| !bound,
        "That the payment hash belongs to this request, other than by the word of the recipient.",
    ),
    (
        |_| true,
        "That value moved: payer and recipient together can make any receipt.",
    ),
    (
        |_| true,
        "That the payment was made at the time in the request, which is the word of the payer.",
    ),
    (
        |(_, receipt, _)| receipt,
        "That the payment was settled at the time in the receipt, which is the word of the \
         recipient.",
    ),
    (
        |(_, _, claim)| !claim,
        "That the holder of the payer key took part: anybody can name a key.",
    ),
    (
        |(_, _, claim)| claim,
        "That the funds came from whoever answered the challenge: another may have paid and named \
         that key.",
    ),
    (|_| true, "What was paid in routing fees."),
    (|_| true, "Who stands behind the keys."),
];

/// Sentences, each with the facts that it applies to.
type Table<F> = [(fn(F) -> bool, &'static str)];

/// The sentences of a table that apply to what was found.
pub(crate) fn sentences<F: Copy>(table: &Table<F>, facts: F) -> Vec<&'static str> {
    table
        .iter()
        .filter(|(applies, _)| applies(facts))
        .map(|(_, sentence)| *sentence)
        .collect()
}

/// Checks a proof. With the rules on the pair off, a claim or a challenge that is alone is ignored.
///
/// # Errors
/// Keysend proof, verifier, and those of [`Request::decode`] and [`Receipt::decode`].
pub fn verify(rules: &Rules, proof: &Proof<'_>) -> Result<Verified, Violation> {
    check_recipient_id(rules, proof.recipient_id)?;
    let request = Request::decode(rules, proof.request)?;
    let (claim, challenge) = (proof.claim, proof.challenge);
    rules.check(
        rules::KSP_CLAIM_WITHOUT_CHALLENGE,
        claim.is_none() || challenge.is_some(),
        || "there is a claim and no challenge that it answers".into(),
    )?;
    rules.check(
        rules::KSP_CHALLENGE_WITHOUT_CLAIM,
        challenge.is_none() || claim.is_some(),
        || "there is a challenge and no claim that answers it".into(),
    )?;
    let receipt = proof
        .receipt
        .map(|bytes| Receipt::decode(rules, bytes))
        .transpose()?;
    rules.check(
        rules::KSP_NOTHING_PROVEN,
        receipt.is_some() || request.preimage_bound(),
        || {
            "without a receipt, a request that is not bound to the preimage (bit 1) proves \
             nothing"
                .into()
        },
    )?;
    let opening = Opening::derive(rules, proof.chain_hash, proof.recipient_id, &request)?;

    if let Some(receipt) = &receipt {
        let stated = &receipt.statement;
        rules.check(
            rules::KSP_PAYMENT_HASH,
            !request.preimage_bound() || stated.payment_hash == opening.payment_hash,
            || "the receipt names another payment hash than the one derived".into(),
        )?;
        let (received, amount) = (stated.received_msat, request.amount_msat);
        rules.at_least(rules::KSP_AMOUNT, received, amount, || {
            format!("the receipt states {received} msat, less than the {amount} msat requested")
        })?;
        receipt.check_signature(rules, proof.recipient_id, &opening.commitment)?;
    }
    let claimed = match (claim, challenge) {
        (Some(claim), Some(challenge)) => {
            let digest = claim_digest(&opening.commitment, challenge);
            let valid = <&[u8; 64]>::try_from(claim)
                .is_ok_and(|claim| merkle::verify(&digest, &request.payer_key, claim));
            rules.check(rules::KSP_CLAIM, valid, || {
                "the claim is no signature of the challenge under the payer key".into()
            })?;
            true
        }
        _ => false,
    };

    let facts = (request.preimage_bound(), receipt.is_some(), claimed);
    Ok(Verified {
        tier: match (receipt.is_some(), claimed) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        },
        proven: sentences(&PROVEN, facts),
        not_proven: sentences(&NOT_PROVEN, facts),
        request,
        opening,
        receipt,
    })
}

/// Judges two receipts for one commitment.
///
/// Keysend proof, contradictory receipts: both are signed by the recipient, and what they state
/// differs. The bytes of the signatures do not matter.
///
/// # Errors
/// Those of [`Receipt::decode`], and that on the recipient id.
pub fn contradiction(
    rules: &Rules,
    recipient_id: &Point,
    commitment: &Hash,
    receipts: [&[u8]; 2],
) -> Result<Contradiction, Violation> {
    check_recipient_id(rules, recipient_id)?;
    let [first, second] = receipts;
    let (first, second) = (
        Receipt::decode(rules, first)?,
        Receipt::decode(rules, second)?,
    );
    let signed = first.is_signed_by(rules, recipient_id, commitment)
        && second.is_signed_by(rules, recipient_id, commitment);
    let (a, b) = (&first.statement, &second.statement);
    let fields = [
        ("payment_hash", a.payment_hash != b.payment_hash),
        ("received_msat", a.received_msat != b.received_msat),
        ("settled_time", a.settled_time != b.settled_time),
    ];
    let by = [
        rules::KSP_CONTRADICTION_SIGNATURES,
        rules::KSP_CONTRADICTION_DIFFERS,
    ];
    Ok(Contradiction::judge(rules, by, signed, &fields))
}
