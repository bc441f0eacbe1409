//! What third parties do: claims, the verifier, and what convicts a recipient or an LSP.

use super::pool::{Assignment, Entry, Header, check_entry};
use super::receipt::{Htlc, Receipt, set_digest, set_sum};
use super::{
    Contradiction, Hash, Message, Opening, Place, Request, check_recipient_id, decode_request,
    root_bound, root_hash,
};
use crate::keys::{Point, SecretKey, public, sha256};
use crate::keysend_proof::sentences;
use crate::rules::{self, Rules, Violation};

/// AMP proofs, derivation: what a claim signs.
pub fn claim_message(commitment: &Hash, challenge: &[u8; 32]) -> Message {
    Message::new("ln-ait/0/claim", &[commitment, challenge])
}

/// Answers a challenge. `payer_key` is that of the request, where the caller has it.
///
/// # Errors
/// AMP proofs, claim: `secret` is not the secret key of `payer_key`.
pub fn sign_claim(
    rules: &Rules,
    secret: &SecretKey,
    payer_key: Option<&[u8; 32]>,
    message: &Message,
    aux: Option<&[u8; 32]>,
) -> Result<[u8; 64], Violation> {
    let own = public(secret).x_only_public_key().0.serialize();
    rules.check(
        rules::AIT_CLAIM_SIGN,
        payer_key.is_none_or(|key| *key == own),
        || "the secret key is not that of the payer key in the request".into(),
    )?;
    Ok(message.sign(secret, aux))
}

/// An assignment that somebody else showed.
#[derive(Clone, Copy, Debug)]
pub struct Other<'a> {
    /// To what it assigns.
    pub assignee: Hash,
    /// Its bytes.
    pub assignment: &'a [u8],
}

/// A tunnel as it is shown to a verifier.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Bytes of the pool's header.
    pub header: &'a [u8],
    /// The recipient's signature of it.
    pub header_signature: &'a [u8],
    /// Which entry.
    pub index: u32,
    /// Neighbours from its leaf up to the root.
    pub path: &'a [Hash],
    /// Its secret.
    pub secret: Hash,
    /// Bytes of the assignment.
    pub assignment: Option<&'a [u8]>,
    /// What others have shown.
    pub others: &'a [Other<'a>],
}

/// What a verifier is given.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// Whom the payment was for.
    pub place: &'a Place,
    /// Bytes of the request.
    pub request: &'a [u8],
    /// Bytes of the receipt.
    pub receipt: Option<&'a [u8]>,
    /// The HTLCs of the receipt.
    pub htlcs: Option<&'a [Htlc]>,
    /// The tunnel.
    pub tunnel: Option<Shown<'a>>,
    /// What the verifier asked the claimant to sign.
    pub challenge: Option<&'a [u8; 32]>,
    /// The claimant's answer.
    pub claim: Option<&'a [u8]>,
}

/// A proof that holds, and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// 0: neither receipt nor tunnel. 1: a tunnel that anybody may show. 2: a tunnel with its
    /// assignment. 3: a receipt.
    pub tier: u8,
    /// Whether a claim was made.
    pub claimed: bool,
    /// Whether another assignment takes away the one that was shown.
    pub rebutted: bool,
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
    /// Header of the tunnel's pool, and hash of its entry.
    pub tunnel: Option<(Header, Hash)>,
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
}

/// What holds of a proof.
#[derive(Clone, Copy, Default)]
struct Facts {
    bound: bool,
    receipt: bool,
    htlcs: bool,
    tunnel: bool,
    /// There is an assignment, and it is not rebutted.
    assigned: bool,
    rebutted: bool,
    claim: bool,
}

/// When a sentence belongs to the statement.
type Applies = fn(Facts) -> bool;

// AMP proofs, verifier: the two tables of sentences, in their order.
const PROVEN: [(Applies, &str); 9] = [
    (
        |f| f.bound,
        "Root and set id of the AMP set that this request asks for commit to this chain, this \
         recipient key, this payment address and this request with its nonce, time, amount, payer \
         key and terms.",
    ),
    (
        |f| f.receipt,
        "The recipient key states that it received the amount in the receipt for this request, in \
         the HTLCs whose digest the receipt holds.",
    ),
    (|f| f.receipt, "The receipt belongs to this request alone."),
    (
        |f| f.receipt && f.htlcs,
        "The HTLCs shown are those of the receipt.",
    ),
    (
        |f| f.tunnel,
        "The secret of this entry, in a pool that the recipient key signed, is known outside of the \
         recipient.",
    ),
    (
        |f| f.assigned,
        "The LSP key that the recipient key named assigned this entry to this request.",
    ),
    (
        |f| f.assigned,
        "If the LSP assigned this entry once and the recipient released its secret by the rules, it \
         released it for this request, and the whole amount had arrived.",
    ),
    (
        |f| f.rebutted,
        "The LSP key assigned this entry to two requests.",
    ),
    (
        |f| f.claim,
        "Whoever answered the challenge controls the payer key in the request.",
    ),
];
const NOT_PROVEN: [(Applies, &str); 13] = [
    (
        |f| !f.receipt && !f.tunnel,
        "That the recipient was paid or knows of the payment: the payer alone can make this.",
    ),
    (
        |f| f.tunnel && !f.assigned && !f.rebutted,
        "That the secret was released for this request: whoever learned it, such as a node on the \
         route, can show it with a request of their own.",
    ),
    (
        |f| f.assigned,
        "That the LSP assigned the entry to nobody else: an LSP that knows the secret can assign \
         the entry to itself or to a second payer, which only another assignment refutes, so ask \
         the recipient for the one that it redeemed.",
    ),
    (
        |f| f.rebutted,
        "For which of the two requests the secret was released: assignments have no order.",
    ),
    (
        |f| f.tunnel && !f.receipt,
        "That the rest of the amount arrived, other than by the rules of the recipient.",
    ),
    (
        |f| !f.bound,
        "That any AMP set belongs to this request, other than by the word of the recipient.",
    ),
    (
        |_| true,
        "That value moved: payer and recipient together can make all of this.",
    ),
    (
        |_| true,
        "That the payment was made at the time in the request, which is the word of the payer.",
    ),
    (
        |f| f.receipt,
        "That the payment was settled at the time in the receipt, which is the word of the \
         recipient.",
    ),
    (
        |f| !f.claim,
        "That the holder of the payer key took part: anybody can name a key.",
    ),
    (
        |f| f.claim,
        "That the funds came from whoever answered the challenge: another may have paid and named \
         that key.",
    ),
    (|_| true, "What was paid in routing fees."),
    (|_| true, "Who stands behind the keys."),
];

/// Checks a receipt, with the HTLCs where they are shown, against request and opening.
fn check_receipt(
    rules: &Rules,
    proof: &Proof<'_>,
    request: &Request,
    opening: &Opening,
    receipt: &Receipt,
) -> Result<(), Violation> {
    let stated = &receipt.statement;
    let bound = root_bound(request);
    rules.check(
        rules::AIT_SET_ID,
        !bound || stated.set_id == *opening.set_id,
        || "the receipt names another set id than the one derived".into(),
    )?;
    rules.check(
        rules::AIT_ROOT,
        !bound || stated.root_hash == root_hash(&opening.root),
        || "the receipt names another root than the one derived".into(),
    )?;
    let (received, amount) = (stated.received_msat, request.amount_msat);
    rules.at_least(rules::AIT_AMOUNT, received, amount, || {
        format!("the receipt states {received} msat, less than the {amount} msat requested")
    })?;
    receipt.check_signature(rules, &proof.place.recipient_id, &opening.commitment)?;
    let Some(htlcs) = proof.htlcs else {
        return Ok(());
    };
    rules.check(
        rules::AIT_SET_DIGEST,
        set_digest(htlcs) == stated.set_digest,
        || "the HTLCs are not those whose digest the receipt holds".into(),
    )?;
    rules.check(rules::AIT_SET_SUM, set_sum(htlcs) == Some(received), || {
        format!("the HTLCs do not add up to the {received} msat that the receipt states")
    })
}

/// Whether another assignment of the same entry, by the same LSP, is to another request.
fn rebuts(rules: &Rules, header: &Header, index: u32, assignee: &Hash, other: &Other<'_>) -> bool {
    Assignment::decode(rules, other.assignment).is_ok_and(|a| {
        a.root == header.root
            && a.index == index
            && other.assignee != *assignee
            && a.is_signed_by(&header.lsp_id, &other.assignee)
    })
}

/// Checks a proof. With the rules on pairs off, a claim or a challenge that is alone, and HTLCs
/// without a receipt, are ignored.
///
/// # Errors
/// AMP proofs, verifier, and those of [`decode_request`], [`Receipt::decode`], [`check_entry`] and
/// [`Assignment::check`].
pub fn verify(rules: &Rules, proof: &Proof<'_>) -> Result<Verified, Violation> {
    check_recipient_id(rules, &proof.place.recipient_id)?;
    let request = decode_request(rules, proof.request)?;
    let (claim, challenge) = (proof.claim, proof.challenge);
    rules.check(
        rules::AIT_CLAIM_WITHOUT_CHALLENGE,
        claim.is_none() || challenge.is_some(),
        || "there is a claim and no challenge that it answers".into(),
    )?;
    rules.check(
        rules::AIT_CHALLENGE_WITHOUT_CLAIM,
        challenge.is_none() || claim.is_some(),
        || "there is a challenge and no claim that answers it".into(),
    )?;
    let receipt = proof
        .receipt
        .map(|bytes| Receipt::decode(rules, bytes))
        .transpose()?;
    rules.check(
        rules::AIT_SET_WITHOUT_RECEIPT,
        proof.htlcs.is_none() || receipt.is_some(),
        || "there are HTLCs and no receipt that names them".into(),
    )?;
    rules.check(
        rules::AIT_NOTHING_PROVEN,
        receipt.is_some() || proof.tunnel.is_some() || root_bound(&request),
        || {
            "without a receipt and a tunnel, a request that is not bound to the root (bit 1) proves \
             nothing"
                .into()
        },
    )?;
    let opening = Opening::derive(rules, proof.place, &request)?;
    let mut facts = Facts {
        bound: root_bound(&request),
        receipt: receipt.is_some(),
        htlcs: proof.htlcs.is_some(),
        ..Facts::default()
    };

    if let Some(receipt) = &receipt {
        check_receipt(rules, proof, &request, &opening, receipt)?;
    }
    let mut tunnel = None;
    if let Some(shown) = &proof.tunnel {
        let hash = sha256(&[&shown.secret]);
        let entry = Entry {
            header: shown.header,
            signature: shown.header_signature,
            index: shown.index,
            hash,
            path: shown.path,
        };
        let header = check_entry(rules, proof.place, &entry)?;
        facts.tunnel = true;
        let htlcs = proof.htlcs.filter(|_| facts.receipt);
        rules.check(
            rules::AIT_TUNNEL_IN_SET,
            htlcs.is_none_or(|htlcs| htlcs.iter().any(|htlc| htlc.payment_hash == hash)),
            || "the tunnel is not among the HTLCs of the receipt".into(),
        )?;
        if let Some(assignment) = shown.assignment {
            let assignee = &opening.assignee;
            Assignment::decode(rules, assignment)?.check(rules, &header, shown.index, assignee)?;
            let rebutted = shown
                .others
                .iter()
                .any(|other| rebuts(rules, &header, shown.index, assignee, other));
            let rebuttal = rules.check(rules::AIT_REBUTTAL, !rebutted, String::new);
            facts.rebutted = rebuttal.is_err();
            facts.assigned = !facts.rebutted;
        }
        tunnel = Some((header, hash));
    }
    if let (Some(claim), Some(challenge)) = (claim, challenge) {
        let message = claim_message(&opening.commitment, challenge);
        rules.check(
            rules::AIT_CLAIM,
            message.is_signed_by_key(&request.payer_key, claim),
            || "the claim is no signature of the challenge under the payer key".into(),
        )?;
        facts.claim = true;
    }

    Ok(Verified {
        tier: match facts {
            Facts { receipt: true, .. } => 3,
            Facts { assigned: true, .. } => 2,
            Facts { tunnel: true, .. } => 1,
            _ => 0,
        },
        claimed: facts.claim,
        rebutted: facts.rebutted,
        proven: sentences(&PROVEN, facts),
        not_proven: sentences(&NOT_PROVEN, facts),
        request,
        opening,
        receipt,
        tunnel,
    })
}

/// Judges two receipts for one commitment: both are signed by the recipient, and what they state
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
    let signed = first.is_signed_by(recipient_id, commitment)
        && second.is_signed_by(recipient_id, commitment);
    let (a, b) = (&first.statement, &second.statement);
    let fields = [
        ("set_id", a.set_id != b.set_id),
        ("root_hash", a.root_hash != b.root_hash),
        ("set_digest", a.set_digest != b.set_digest),
        ("received_msat", a.received_msat != b.received_msat),
        ("settled_time", a.settled_time != b.settled_time),
    ];
    let by = [
        rules::AIT_CONTRADICTION_SIGNATURES,
        rules::AIT_CONTRADICTION_DIFFERS,
    ];
    Ok(Contradiction::judge(rules, by, signed, &fields))
}

/// Whether two assignments convict an LSP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fraud {
    /// They do.
    pub proven: bool,
    /// What is, or is not, proven.
    pub statement: &'static str,
    /// Root of the pool and index of the entry, where it is proven.
    pub entry: Option<(Hash, u32)>,
}

/// Judges two assignments under one LSP: both are signed by it, they are of one entry, and to two
/// requests.
///
/// # Errors
/// Those of [`Assignment::decode`].
pub fn fraud(
    rules: &Rules,
    lsp_id: &Point,
    assignments: [Other<'_>; 2],
) -> Result<Fraud, Violation> {
    let [first, second] = assignments;
    let (a, b) = (
        Assignment::decode(rules, first.assignment)?,
        Assignment::decode(rules, second.assignment)?,
    );
    let signed =
        a.is_signed_by(lsp_id, &first.assignee) && b.is_signed_by(lsp_id, &second.assignee);
    let checks = [
        (
            rules::AIT_FRAUD_SIGNATURES,
            signed,
            "Not both assignments are signed by the LSP key for their assignee.",
        ),
        (
            rules::AIT_FRAUD_SAME_ENTRY,
            (a.root, a.index) == (b.root, b.index),
            "The assignments are of two entries.",
        ),
        (
            rules::AIT_FRAUD_DIFFERS,
            first.assignee != second.assignee,
            "Both assignments are to the same request.",
        ),
    ];
    for (rule, holds, otherwise) in checks {
        if let Err(_innocent) = rules.check(rule, holds, String::new) {
            return Ok(Fraud {
                proven: false,
                statement: otherwise,
                entry: None,
            });
        }
    }
    Ok(Fraud {
        proven: true,
        statement: "The LSP key assigned one entry to two requests.",
        entry: Some((a.root, a.index)),
    })
}
