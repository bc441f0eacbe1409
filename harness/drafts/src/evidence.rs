//! What a payer holds after a payment, and whom it convinces: one payment in one form, played with
//! the verifiers of the drafts.
//!
//! Nothing here is a rule of any text. It asks of each form of payment the questions that a wallet's
//! author asks: could the payer have shown this without paying, does it come with the settlement or
//! at the recipient's pleasure, and what is it worth in the hands of somebody else.
//! [`crate::amp_ptlc::designs`] asks the same of the forms that divide a payment.

use crate::amp;
use crate::amp_tunnel::{self, Place};
use crate::bolt12::invoice::{self, Kind};
use crate::bolt12::merkle::{self, tagged_hash};
use crate::bolt12::offer::Context;
use crate::bolt12::{self, invoice_request};
use crate::keys::{self, Point, SecretKey, sha256};
use crate::keysend_proof::{self, Request};
use crate::payer_proof;
use crate::point_lock::Scalar;
use crate::rules::{Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::truncated;

/// Form of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A BOLT 11 invoice that nobody else was given. Of it only what the recipient signs counts
    /// here: hash and amount.
    Bolt11,
    /// Keysend of bLIP 3.
    Keysend,
    /// Keysend with the request of keysend proofs, and its receipt.
    KeysendProof,
    /// AMP of one HTLC.
    Amp,
    /// AMP of one HTLC with the request of AMP proofs, and its receipt.
    AmpReceipt,
    /// An invoice of BOLT 12, shown as a payer proof.
    Bolt12,
    /// A static invoice of pull request 1149.
    StaticInvoice,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Bolt11,
        Self::Keysend,
        Self::KeysendProof,
        Self::Amp,
        Self::AmpReceipt,
        Self::Bolt12,
        Self::StaticInvoice,
    ];

    /// Its name: `keysend-proof`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bolt11 => "bolt11",
            Self::Keysend => "keysend",
            Self::KeysendProof => "keysend-proof",
            Self::Amp => "amp",
            Self::AmpReceipt => "amp-receipt",
            Self::Bolt12 => "bolt12",
            Self::StaticInvoice => "static-invoice",
        }
    }

    /// The form of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }

    /// What the payer shows, by name.
    pub fn evidence(self) -> &'static [&'static str] {
        match self {
            Self::Bolt11 => &["invoice", "preimage"],
            Self::Keysend => &["preimage"],
            Self::KeysendProof | Self::AmpReceipt => &["request", "receipt"],
            Self::Amp => &["root", "share", "index"],
            Self::Bolt12 => &["payer proof"],
            Self::StaticInvoice => &["static invoice", "invoice request", "preimage"],
        }
    }
}

/// Who convinces a verifier. To *show* is to hand over what one has; to *claim* is to answer a
/// challenge of the verifier's beside it, with the key that the evidence names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// The payer, before anything has been settled.
    pub unpaid_payer_shows: bool,
    /// The payer of a payment that the recipient has settled and answered as it should.
    pub payer_shows: bool,
    /// The payer of a payment that the recipient has settled and not answered.
    pub unanswered_payer_shows: bool,
    /// The payer, for twice the amount that it paid.
    pub other_amount_shows: bool,
    /// Somebody to whom the payer has shown it.
    pub copy_shows: bool,
    /// A node that passed the payment on, and knows the invoice where there is one.
    pub hop_shows: bool,
    /// The payer, challenged.
    pub payer_claims: bool,
    /// Whoever the payer has shown it to, challenged.
    pub copy_claims: bool,
    /// That node, challenged.
    pub hop_claims: bool,
}

impl Played {
    /// Whether what the payer holds after the payment tells that it was settled.
    pub fn proves(&self) -> bool {
        self.payer_shows && !self.unpaid_payer_shows
    }

    /// Whether the recipient cannot settle without giving that away.
    pub fn atomic(&self) -> bool {
        self.proves() && self.unanswered_payer_shows
    }
}

/// What somebody has to show.
#[derive(Clone, Default)]
struct Bundle {
    amount_msat: u64,
    hash: [u8; 32],
    /// Root of the set, which is the share of its one HTLC.
    root: Option<[u8; 32]>,
    preimage: Option<[u8; 32]>,
    /// What the recipient signed before it was paid.
    invoice: Vec<u8>,
    /// The payer's request.
    request: Vec<u8>,
    receipt: Option<Vec<u8>>,
    /// A payer proof that was made before.
    proof: Option<String>,
}

struct World<'a> {
    rules: &'a Rules,
    form: Form,
    recipient: SecretKey,
    recipient_id: Point,
    payment_addr: [u8; 32],
    challenge: [u8; 32],
}

const CHAIN: [u8; 32] = [0; 32];
/// When everything happens, in seconds since 1970.
const NOW: u64 = 1_767_225_600;
/// BOLT 12 numbers of the fields that a payer proof always shows, and of the amount.
const SHOWN: [u64; 4] = [88, 168, 170, 176];

fn draw(seed: &[u8; 32], what: &str) -> [u8; 32] {
    let text = [seed.as_slice(), what.as_bytes()].concat();
    tagged_hash(b"lnconform/simulation/evidence", &text)
}

/// A secret key; `None` for seeds that nobody will find.
fn key(seed: &[u8; 32], what: &str) -> Option<SecretKey> {
    Scalar::reduce(draw(seed, what)).secret_key()
}

fn x_only(secret: &SecretKey) -> [u8; 32] {
    keys::public(secret).x_only_public_key().0.serialize()
}

/// Plays one payment of `amount_msat`; everything that the parties draw follows from `seed`. The
/// verifiers are those of `rules`. `None` for seeds that nobody will find.
pub fn play(rules: &Rules, form: Form, amount_msat: u64, seed: [u8; 32]) -> Option<Played> {
    let recipient = key(&seed, "recipient")?;
    let payer = key(&seed, "payer")?;
    let stranger = key(&seed, "stranger")?;
    let hop = key(&seed, "hop")?;
    let world = World {
        rules,
        form,
        recipient,
        recipient_id: keys::public(&recipient).serialize(),
        payment_addr: draw(&seed, "payment address"),
        challenge: draw(&seed, "challenge"),
    };
    // The payer's side, up to the moment at which it sends.
    let (unpaid, opens) = world.prepare(&payer, amount_msat, &seed).ok()?;
    // The recipient settles: the preimage is out, to the payer and to every node on the way.
    let unanswered = Bundle {
        preimage: Some(opens),
        ..unpaid.clone()
    };
    let mut paid = Bundle {
        receipt: world.receipt(&unanswered).ok()?,
        ..unanswered.clone()
    };
    let payer_shows = world.shows(&paid, &payer);
    let twice = Bundle {
        amount_msat: amount_msat.saturating_mul(2),
        ..paid.clone()
    };
    let other_amount_shows = world.shows(&twice, &payer);
    // What the payer hands to a verifier is a copy from then on.
    if form == Form::Bolt12 {
        paid.proof = world.payer_proof(&paid, &payer, None);
    }
    let (own, _) = world.prepare(&hop, amount_msat, &draw(&seed, "own")).ok()?;
    let seen = Bundle {
        hash: unpaid.hash,
        preimage: Some(opens),
        root: None,
        invoice: unpaid.invoice.clone(),
        ..own
    };
    Some(Played {
        unpaid_payer_shows: world.shows(&unpaid, &payer),
        payer_shows,
        unanswered_payer_shows: world.shows(&unanswered, &payer),
        other_amount_shows,
        copy_shows: world.shows(&paid, &stranger),
        hop_shows: world.shows(&seen, &hop),
        payer_claims: world.claims(&paid, &payer),
        copy_claims: world.claims(&paid, &stranger),
        hop_claims: world.claims(&seen, &hop),
    })
}

impl World<'_> {
    fn place(&self) -> Place {
        Place {
            chain_hash: CHAIN,
            recipient_id: self.recipient_id,
            payment_addr: self.payment_addr,
        }
    }

    /// What the payer has before it sends, and the preimage that settles the payment. Where the
    /// payer drew that itself, it has it.
    fn prepare(
        &self,
        payer: &SecretKey,
        amount_msat: u64,
        seed: &[u8; 32],
    ) -> Result<(Bundle, [u8; 32]), Violation> {
        let rules = self.rules;
        let drawn = draw(seed, "preimage");
        let mut bundle = Bundle {
            amount_msat,
            hash: sha256(&[&drawn]),
            ..Bundle::default()
        };
        let request = Request {
            version: 0,
            flags: keysend_proof::RECEIPT_WANTED | keysend_proof::PREIMAGE_BOUND,
            nonce: draw(seed, "nonce").into(),
            payment_time: NOW,
            amount_msat,
            payer_key: x_only(payer),
            terms_hash: [0; 32],
        };
        let opens = match self.form {
            Form::Bolt11 => {
                let digest = invoice_digest(&bundle.hash, amount_msat);
                bundle.invoice = merkle::sign(&digest, &self.recipient, None).to_vec();
                return Ok((bundle, drawn));
            }
            Form::Bolt12 => {
                bundle.invoice = self.bolt12_invoice(payer, &bundle);
                return Ok((bundle, drawn));
            }
            Form::StaticInvoice => {
                bundle.invoice = self.static_invoice();
                bundle.request = self.invoice_request(payer, amount_msat);
                drawn
            }
            Form::Keysend => drawn,
            Form::KeysendProof => {
                let opening =
                    keysend_proof::Opening::derive(rules, &CHAIN, &self.recipient_id, &request)?;
                bundle.request = request.encode(rules)?.to_vec();
                *opening.preimage
            }
            Form::Amp | Form::AmpReceipt => {
                let root = if self.form == Form::Amp {
                    draw(seed, "root")
                } else {
                    let opening = amp_tunnel::Opening::derive(rules, &self.place(), &request)?;
                    bundle.request = amp_tunnel::encode_request(rules, &request)?.to_vec();
                    *opening.root
                };
                bundle.root = Some(root);
                *amp::Child::derive(rules, &amp::LND, &root, &root, 0)?.preimage
            }
        };
        bundle.hash = sha256(&[&opens]);
        bundle.preimage = Some(opens);
        Ok((bundle, opens))
    }

    /// What the recipient signs once it is paid.
    fn receipt(&self, paid: &Bundle) -> Result<Option<Vec<u8>>, Violation> {
        match self.form {
            Form::KeysendProof => {
                let request = Request::decode(self.rules, &paid.request)?;
                let opening = keysend_proof::Opening::derive(
                    self.rules,
                    &CHAIN,
                    &self.recipient_id,
                    &request,
                )?;
                let statement = keysend_proof::Statement {
                    payment_hash: paid.hash,
                    received_msat: paid.amount_msat,
                    settled_time: NOW,
                };
                let (receipt, _) =
                    statement.sign(self.rules, 0, &opening.commitment, &self.recipient, None)?;
                Ok(Some(receipt.encode()))
            }
            Form::AmpReceipt => {
                let request = amp_tunnel::decode_request(self.rules, &paid.request)?;
                let opening = amp_tunnel::Opening::derive(self.rules, &self.place(), &request)?;
                let statement = amp_tunnel::Statement {
                    set_id: *opening.set_id,
                    root_hash: amp_tunnel::root_hash(&opening.root),
                    set_digest: amp_tunnel::set_digest(&[htlc(paid)]),
                    received_msat: paid.amount_msat,
                    settled_time: NOW,
                };
                let receipt = statement.sign(&opening.commitment, &self.recipient, None);
                Ok(Some(receipt.encode().to_vec()))
            }
            _ => Ok(None),
        }
    }

    /// The invoice of BOLT 12 that answers a request of `payer`: the fields that a payer proof
    /// needs, and the amount.
    fn bolt12_invoice(&self, payer: &SecretKey, bundle: &Bundle) -> Vec<u8> {
        let records = [
            Record::new(0, self.payment_addr),
            Record::new(88, bolt12::key_of(payer)),
            Record::new(168, bundle.hash),
            Record::new(170, truncated(bundle.amount_msat)),
            Record::new(176, self.recipient_id),
        ];
        let message = Kind::Invoice.message();
        tlv::encode_unchecked(&bolt12::sign(message, &records, &self.recipient))
    }

    /// A static invoice of the recipient's, with the numbers of pull request 1149.
    fn static_invoice(&self) -> Vec<u8> {
        let id = self.recipient_id.as_slice();
        let path = [id, id, &[1], id, &[0, 1, 0xaa]].concat();
        let records = [
            Record::new(10, *b"tea"),
            Record::new(22, self.recipient_id),
            Record::new(160, path.clone()),
            // Fees and expiry of the path, of zero, and no features.
            Record::new(162, [0; 28]),
            Record::new(164, truncated(NOW)),
            Record::new(176, self.recipient_id),
            Record::new(178, path),
        ];
        let message = Kind::StaticPr1149.message();
        tlv::encode_unchecked(&bolt12::sign(message, &records, &self.recipient))
    }

    fn invoice_request(&self, payer: &SecretKey, amount_msat: u64) -> Vec<u8> {
        let records = [
            Record::new(0, self.payment_addr),
            Record::new(10, *b"tea"),
            Record::new(22, self.recipient_id),
            Record::new(82, truncated(amount_msat)),
            Record::new(88, bolt12::key_of(payer)),
        ];
        tlv::encode_unchecked(&bolt12::sign(invoice_request::MESSAGE, &records, payer))
    }

    /// A payer proof by `presenter`, as well as it can.
    fn payer_proof(
        &self,
        bundle: &Bundle,
        presenter: &SecretKey,
        note: Option<&str>,
    ) -> Option<String> {
        let payment = payer_proof::Payment {
            invoice: &bundle.invoice,
            preimage: bundle.preimage.as_ref()?,
            include: &SHOWN,
            note,
        };
        let records = payer_proof::create_unchecked(self.rules, &payment, presenter).ok()?;
        Some(payer_proof::encode(&records))
    }

    /// Whether a verifier that asks nothing is convinced.
    fn shows(&self, bundle: &Bundle, presenter: &SecretKey) -> bool {
        self.convinces(bundle, presenter, false)
    }

    /// Whether a verifier that asks for an answer to its challenge is convinced.
    fn claims(&self, bundle: &Bundle, presenter: &SecretKey) -> bool {
        self.convinces(bundle, presenter, true)
    }

    /// The most that can be checked in each form by somebody who took no part and knows the
    /// recipient's key.
    fn convinces(&self, bundle: &Bundle, presenter: &SecretKey, challenged: bool) -> bool {
        let opened = || {
            bundle
                .preimage
                .is_some_and(|x| sha256(&[&x]) == bundle.hash)
        };
        match self.form {
            // These name no key that could answer.
            Form::Bolt11 | Form::Keysend | Form::Amp if challenged => false,
            Form::Bolt11 => {
                let digest = invoice_digest(&bundle.hash, bundle.amount_msat);
                let signature = bundle.invoice.as_slice().try_into();
                let signed =
                    signature.is_ok_and(|s| merkle::verify(&digest, &x_only(&self.recipient), s));
                signed && opened()
            }
            Form::Keysend => opened(),
            Form::Amp => bundle.root.is_some_and(|root| {
                amp::Child::derive(self.rules, &amp::LND, &root, &root, 0)
                    .is_ok_and(|child| child.payment_hash == bundle.hash)
            }),
            Form::KeysendProof => self.keysend_proof(bundle, presenter, challenged),
            Form::AmpReceipt => self.amp_receipt(bundle, presenter, challenged),
            Form::Bolt12 => self.bolt12(bundle, presenter, challenged),
            Form::StaticInvoice => {
                self.static_invoice_names(bundle).is_some_and(|payer| {
                    !challenged || {
                        let digest = tagged_hash(b"lnconform/simulation/claim", &self.challenge);
                        let claim = merkle::sign(&digest, presenter, None);
                        merkle::verify(&digest, &payer, &claim)
                    }
                }) && opened()
            }
        }
    }

    fn keysend_proof(&self, bundle: &Bundle, presenter: &SecretKey, challenged: bool) -> bool {
        let Ok(request) = Request::decode(self.rules, &bundle.request) else {
            return false;
        };
        let opening =
            keysend_proof::Opening::derive(self.rules, &CHAIN, &self.recipient_id, &request);
        let claim = opening.and_then(|opening| {
            let (commitment, challenge) = (&opening.commitment, &self.challenge);
            keysend_proof::sign_claim(self.rules, presenter, None, commitment, challenge, None)
        });
        let Ok((claim, _)) = claim else {
            return false;
        };
        let proof = keysend_proof::Proof {
            chain_hash: &CHAIN,
            recipient_id: &self.recipient_id,
            request: &bundle.request,
            receipt: bundle.receipt.as_deref(),
            challenge: challenged.then_some(&self.challenge),
            claim: challenged.then_some(&claim),
        };
        // Tier 0 is what the payer alone can make.
        keysend_proof::verify(self.rules, &proof).is_ok_and(|verified| {
            verified.tier > 0 && verified.request.amount_msat == bundle.amount_msat
        })
    }

    fn amp_receipt(&self, bundle: &Bundle, presenter: &SecretKey, challenged: bool) -> bool {
        let place = self.place();
        let Ok(request) = amp_tunnel::decode_request(self.rules, &bundle.request) else {
            return false;
        };
        let Ok(opening) = amp_tunnel::Opening::derive(self.rules, &place, &request) else {
            return false;
        };
        let message = amp_tunnel::claim_message(&opening.commitment, &self.challenge);
        let Ok(claim) = amp_tunnel::sign_claim(self.rules, presenter, None, &message, None) else {
            return false;
        };
        let htlcs = [htlc(bundle)];
        let proof = amp_tunnel::Proof {
            place: &place,
            request: &bundle.request,
            receipt: bundle.receipt.as_deref(),
            htlcs: bundle.receipt.as_ref().map(|_| &htlcs[..]),
            tunnel: None,
            challenge: challenged.then_some(&self.challenge),
            claim: challenged.then_some(&claim),
        };
        amp_tunnel::verify(self.rules, &proof).is_ok_and(|verified| {
            verified.tier == 3 && verified.request.amount_msat == bundle.amount_msat
        })
    }

    fn bolt12(&self, bundle: &Bundle, presenter: &SecretKey, challenged: bool) -> bool {
        let note: String = self.challenge.iter().map(|b| format!("{b:02x}")).collect();
        let note = challenged.then_some(note);
        let proof = match (&bundle.proof, &note) {
            // Somebody else's proof is shown as it is; under a challenge one has to make another.
            (Some(proof), None) => Some(proof.clone()),
            _ => self.payer_proof(bundle, presenter, note.as_deref()),
        };
        let Some(Ok(read)) = proof.map(|text| payer_proof::verify(self.rules, &text)) else {
            return false;
        };
        let amount = truncated(bundle.amount_msat);
        read.invoice_node_id == Some(self.recipient_id)
            && read.note == note
            && read
                .disclosed
                .iter()
                .any(|r| r.kind == 170 && r.value == amount)
    }

    /// The payer that the invoice request names, where it and the static invoice are what they seem:
    /// signed by payer and recipient.
    fn static_invoice_names(&self, bundle: &Bundle) -> Option<[u8; 32]> {
        let anywhere = Context::default();
        invoice::read(self.rules, Kind::StaticPr1149, &bundle.invoice, anywhere).ok()?;
        let request = invoice_request::read(self.rules, &bundle.request, anywhere).ok()?;
        let id = request.fields.payer_id?;
        id[1..].try_into().ok()
    }
}

/// What stands for a BOLT 11 invoice.
fn invoice_digest(hash: &[u8; 32], amount_msat: u64) -> [u8; 32] {
    let text = [hash.as_slice(), &amount_msat.to_be_bytes()].concat();
    tagged_hash(b"lnconform/simulation/invoice", &text)
}

/// The one HTLC of an AMP set.
fn htlc(bundle: &Bundle) -> amp_tunnel::Htlc {
    amp_tunnel::Htlc {
        payment_hash: bundle.hash,
        amount_msat: bundle.amount_msat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    fn played(rules: &Rules, form: Form) -> Played {
        play(rules, form, 100_000, [7; 32]).unwrap()
    }

    #[test]
    fn each_form_leaves_what_it_leaves() {
        let nothing = Played {
            unpaid_payer_shows: true,
            payer_shows: true,
            unanswered_payer_shows: true,
            other_amount_shows: true,
            copy_shows: true,
            hop_shows: true,
            payer_claims: false,
            copy_claims: false,
            hop_claims: false,
        };
        let receipt = Played {
            unpaid_payer_shows: false,
            unanswered_payer_shows: false,
            other_amount_shows: false,
            hop_shows: false,
            payer_claims: true,
            ..nothing
        };
        let expected = [
            (
                Form::Bolt11,
                Played {
                    unpaid_payer_shows: false,
                    other_amount_shows: false,
                    ..nothing
                },
            ),
            (Form::Keysend, nothing),
            (Form::KeysendProof, receipt),
            (
                Form::Amp,
                Played {
                    hop_shows: false,
                    ..nothing
                },
            ),
            (Form::AmpReceipt, receipt),
            (
                Form::Bolt12,
                Played {
                    unanswered_payer_shows: true,
                    ..receipt
                },
            ),
            (
                Form::StaticInvoice,
                Played {
                    payer_claims: true,
                    hop_claims: true,
                    ..nothing
                },
            ),
        ];
        for (form, expected) in expected {
            assert_eq!(played(&Rules::all(), form), expected, "{}", form.name());
            assert_eq!(Form::named(form.name()), Some(form));
        }
        let proves = Form::ALL.map(|form| {
            let played = played(&Rules::all(), form);
            (form.name(), played.proves(), played.atomic())
        });
        assert_eq!(
            proves,
            [
                ("bolt11", true, true),
                ("keysend", false, false),
                ("keysend-proof", true, false),
                ("amp", false, false),
                ("amp-receipt", true, false),
                ("bolt12", true, true),
                ("static-invoice", false, false),
            ]
        );
        assert_eq!(Form::named("lnurl"), None);
    }

    /// What the game says is what the verifiers say: one that lacks a rule is taken in.
    #[test]
    fn a_verifier_without_its_rule_is_convinced_by_the_wrong_one() {
        let without = |id, form| played(&Rules::all().without(id).unwrap(), form);
        let ksp = without(rules::KSP_CLAIM, Form::KeysendProof);
        assert!(ksp.copy_claims && !ksp.hop_claims);
        let ait = without(rules::AIT_CLAIM, Form::AmpReceipt);
        assert!(ait.copy_claims && !ait.hop_claims);
        let proof = without(rules::PROOF_PROOF_SIGNATURE, Form::Bolt12);
        assert!(proof.copy_claims && proof.hop_claims && proof.hop_shows);
    }
}
