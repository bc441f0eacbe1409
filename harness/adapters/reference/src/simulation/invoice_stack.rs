//! An LSP that holds what a recipient left with it for payers, and hands it out twice.

use super::each;
use crate::Outcome;
use crate::operations::{refused, secret_key};
use lnconform_drafts::bolt12::merkle;
use lnconform_drafts::keys::{self, PublicKey, SecretKey, sha256};
use lnconform_drafts::keysend_proof::{
    self, Decision, Opening, Payment, Proof, Request, Seen, Statement, Window,
};
use lnconform_drafts::rules::{Rules, Violation};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

/// What the LSP, which is the last node before the recipient, has learned.
#[derive(Default)]
struct Lsp {
    preimages: Vec<[u8; 32]>,
}

impl Lsp {
    /// A preimage that settles `hash`, if it has seen one.
    fn preimage_of(&self, hash: &[u8; 32]) -> Option<[u8; 32]> {
        let known = self.preimages.iter();
        known.copied().find(|x| sha256(&[x]) == *hash)
    }
}

/// Who settled a payment.
enum Settled {
    Recipient([u8; 32]),
    Lsp([u8; 32]),
    /// Nobody: it went back, for that reason.
    Nobody(Violation),
    /// Nobody: the recipient does not know the hash, or has used it.
    Unknown,
}

/// Sums, in msat.
#[derive(Default)]
struct Sums {
    recipient: u64,
    lsp: u64,
    returned: u64,
}

impl Sums {
    /// Adds an amount where it went; the words for the result.
    fn add(&mut self, settled: &Settled, amount_msat: u64) -> &'static str {
        let (sum, who) = match settled {
            Settled::Recipient(_) => (&mut self.recipient, "recipient"),
            Settled::Lsp(_) => (&mut self.lsp, "lsp"),
            Settled::Nobody(_) | Settled::Unknown => (&mut self.returned, "nobody"),
        };
        *sum = sum.saturating_add(amount_msat);
        who
    }
}

/// What stands for a one-use invoice: the recipient's signature over hash and amount. Nothing
/// depends on the other fields of a BOLT 11 invoice.
struct Invoice {
    hash: [u8; 32],
    signature: [u8; 64],
}

fn invoice_digest(hash: &[u8; 32], amount_msat: u64) -> [u8; 32] {
    let preimage = [hash.as_slice(), &amount_msat.to_be_bytes()].concat();
    merkle::tagged_hash(b"lnconform/simulation/invoice", &preimage)
}

/// `simulation.invoice_stack`: what an LSP gains that hands one thing to two payers.
///
/// Params: `secret_key` of the recipient, `design`, `payments` in order. With `design`
/// `invoice-stack`: `preimages` of the one-use invoices that the recipient left, `amount_msat` of
/// each, and payments {`invoice`: its place}. With `keysend-proof`: `chain_hash`, `now`, and payments
/// {`request`} of the amount in it. The LSP settles itself what it can and passes on the rest.
///
/// Result: `payments` [{`payment_hash`, `settled_by`: `recipient`, `lsp` or `nobody`, `rule`,
/// `payer_holds_proof`}], `recipient_msat`, `lsp_msat`, `returned_msat`, `false_proofs` (payments
/// that the LSP took and for which the payer holds evidence against the recipient), `statement`
/// (what that shows, in a sentence).
pub(crate) fn invoice_stack(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = secret_key(p, "secret_key")?;
    match p.str("design")? {
        "invoice-stack" => of_invoices(&secret, p),
        "keysend-proof" => of_requests(rules, &secret, p),
        design => Err(OpError::invalid(format!(
            "param design is {design}, not invoice-stack or keysend-proof"
        ))),
    }
}

fn of_invoices(secret: &SecretKey, p: Params<'_>) -> Outcome {
    let key = keys::public(secret);
    let amount_msat = p.u64("amount_msat")?;
    let preimages = super::arrays::<32>(p, "preimages")?;
    let stack: Vec<Invoice> = preimages
        .iter()
        .map(|x| {
            let hash = sha256(&[x]);
            Invoice {
                hash,
                signature: merkle::sign(&invoice_digest(&hash, amount_msat), secret, None),
            }
        })
        .collect();
    let mut lsp = Lsp::default();
    let mut used = vec![false; stack.len()];
    let (mut sums, mut false_proofs) = (Sums::default(), 0u32);
    let payments = each(p, "payments", |p| {
        let at = usize::try_from(p.u32("invoice")?).unwrap_or(usize::MAX);
        let Some(invoice) = stack.get(at) else {
            return Err(OpError::invalid(format!(
                "param invoice is {at}, and there are {}",
                stack.len()
            )));
        };
        let settled = match lsp.preimage_of(&invoice.hash) {
            Some(preimage) => Settled::Lsp(preimage),
            None if used[at] => Settled::Unknown,
            None => {
                used[at] = true;
                Settled::Recipient(preimages[at])
            }
        };
        if let Settled::Recipient(preimage) = settled {
            lsp.preimages.push(preimage);
        }
        // The payer's evidence: an invoice of the recipient's, and its preimage.
        let holds = match &settled {
            Settled::Recipient(x) | Settled::Lsp(x) => {
                let x_only = key.x_only_public_key().0.serialize();
                let digest = invoice_digest(&invoice.hash, amount_msat);
                sha256(&[x]) == invoice.hash && merkle::verify(&digest, &x_only, &invoice.signature)
            }
            Settled::Nobody(_) | Settled::Unknown => false,
        };
        false_proofs += u32::from(holds && matches!(settled, Settled::Lsp(_)));
        let who = sums.add(&settled, amount_msat);
        Ok(shown(&invoice.hash, who, &settled, holds))
    })?;
    Ok(result(payments, &sums, false_proofs))
}

fn shown(hash: &[u8; 32], who: &str, settled: &Settled, holds: bool) -> Value {
    let mut shown = json!({
        "payment_hash": hex(hash),
        "settled_by": who,
        "payer_holds_proof": holds,
    });
    if let Settled::Nobody(violation) = settled {
        shown["rule"] = violation.rule.into();
        shown["reason"] = violation.message.clone().into();
    }
    shown
}

fn result(payments: Vec<Value>, sums: &Sums, false_proofs: u32) -> Value {
    let statement = match (sums.lsp, false_proofs) {
        (0, _) => "The LSP could settle no payment itself.",
        (_, 0) => {
            "The LSP settled a payment itself, and its payer holds no proof against the recipient."
        }
        (_, _) => {
            "The LSP settled a payment itself, and its payer holds a proof that the recipient was \
             paid, which it was not."
        }
    };
    ResultObject::new()
        .with("payments", payments)
        .with("statement", statement)
        .with("recipient_msat", sums.recipient.to_string())
        .with("lsp_msat", sums.lsp.to_string())
        .with("returned_msat", sums.returned.to_string())
        .with("false_proofs", false_proofs)
        .done()
}

/// The recipient of keysend proofs, and what it has signed for.
struct Recipient<'a> {
    rules: &'a Rules,
    secret: &'a SecretKey,
    id: PublicKey,
    chain_hash: [u8; 32],
    now: u64,
    hashes: Vec<[u8; 32]>,
    commitments: Vec<[u8; 32]>,
}

impl Recipient<'_> {
    /// Settles, with a receipt, or lets the payment go.
    fn take(
        &mut self,
        request: &[u8],
        opening: &Opening,
        received_msat: u64,
    ) -> Result<Option<Vec<u8>>, Violation> {
        let id = self.id.serialize();
        let payment = Payment {
            chain_hash: &self.chain_hash,
            recipient_id: &id,
            request,
            preimage: &opening.preimage,
            payment_hash: &opening.payment_hash,
            received_msat,
            now: self.now,
        };
        let seen = Seen {
            payment_hashes: &self.hashes,
            commitments: &self.commitments,
        };
        let decision = keysend_proof::accept(self.rules, &payment, Window::default(), seen)?;
        let Decision::Due(opening) = decision else {
            return Ok(None);
        };
        let statement = Statement {
            payment_hash: opening.payment_hash,
            received_msat,
            settled_time: self.now,
        };
        let (receipt, _) = statement.sign(self.rules, 0, &opening.commitment, self.secret, None)?;
        self.hashes.push(opening.payment_hash);
        self.commitments.push(*opening.commitment);
        Ok(Some(receipt.encode()))
    }
}

fn of_requests(rules: &Rules, secret: &SecretKey, p: Params<'_>) -> Outcome {
    let mut recipient = Recipient {
        rules,
        secret,
        id: keys::public(secret),
        chain_hash: p.array("chain_hash")?,
        now: p.u64("now")?,
        hashes: Vec::new(),
        commitments: Vec::new(),
    };
    let id = recipient.id.serialize();
    let mut lsp = Lsp::default();
    let (mut sums, mut false_proofs) = (Sums::default(), 0u32);
    let payments = each(p, "payments", |p| {
        // The payer's side: the hash commits to its request.
        let bytes = p.hex("request")?;
        let request = Request::decode(rules, &bytes).map_err(refused)?;
        let opening =
            Opening::derive(rules, &recipient.chain_hash, &id, &request).map_err(refused)?;
        let hash = opening.payment_hash;
        let mut receipt = None;
        // All that the LSP sees of the payment is its hash.
        let settled = match lsp.preimage_of(&hash) {
            Some(preimage) => Settled::Lsp(preimage),
            None => match recipient.take(&bytes, &opening, request.amount_msat) {
                Ok(signed) => {
                    receipt = signed;
                    Settled::Recipient(*opening.preimage)
                }
                Err(violation) => Settled::Nobody(violation),
            },
        };
        if let Settled::Recipient(preimage) = settled {
            lsp.preimages.push(preimage);
        }
        let holds = receipt.is_some_and(|receipt| {
            let proof = Proof {
                chain_hash: &recipient.chain_hash,
                recipient_id: &id,
                request: &bytes,
                receipt: Some(&receipt),
                challenge: None,
                claim: None,
            };
            keysend_proof::verify(&Rules::all(), &proof).is_ok_and(|verified| verified.tier > 0)
        });
        false_proofs += u32::from(holds && matches!(settled, Settled::Lsp(_)));
        let who = sums.add(&settled, request.amount_msat);
        Ok(shown(&hash, who, &settled, holds))
    })?;
    Ok(result(payments, &sums, false_proofs))
}
