//! The designs between the stack of invoices and the point lock, and what each party gains from
//! the cheats that there are.
//!
//! Nothing here is looked up: every figure comes from a payment that is played, in which a party
//! opens what it can open with what it has learned, and a verifier judges what it is shown.
//! Header, path and invoice are replaced by the recipient's signature of the entry's hash; nothing
//! depends on their other fields.
//!
//! Source: AMP tunneling draft, "Point locks", rationale.

use super::{
    ROOT_BOUND, Result, attacks, bound_root, child, commitment, message, root, shard_locks,
};
use crate::amp_tunnel;
use crate::bolt12::merkle::{self, tagged_hash};
use crate::keys::{self, PublicKey, SecretKey, sha256};
use crate::point_lock::{self, NoncePair, PointLockError, REQUEST_LENGTH, Scalar};
use crate::rules::Rules;

/// Most shards that a payment is played with: the recipient's choices are counted one by one.
pub const MOST_SHARDS: usize = 8;

/// How many indexes an LSP tries that knows the root.
const GUESSES: u32 = 16;

/// A way to pay an offline recipient through its LSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// AMP alone: the whole amount on hashes that the payer made.
    Amp,
    /// Invoice tunneling: a part of the amount on a hash that the recipient made, the rest by AMP
    /// with the root bound to the commitment.
    Tunnel {
        /// The LSP signs the assignment over the commitment itself, instead of a hash of it.
        open_commitment: bool,
    },
    /// One-use invoices that the recipient left: the whole amount on a hash that it made, and
    /// nothing that names the payer.
    InvoiceStack,
    /// AMP on point locks.
    PointLock,
}

impl Design {
    /// All of them, from no value on a lock of the recipient's to all of it.
    pub const ALL: [Self; 5] = [
        Self::Amp,
        Self::Tunnel {
            open_commitment: false,
        },
        Self::Tunnel {
            open_commitment: true,
        },
        Self::InvoiceStack,
        Self::PointLock,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amp => "amp",
            Self::Tunnel {
                open_commitment: false,
            } => "tunnel",
            Self::Tunnel {
                open_commitment: true,
            } => "tunnel-open-commitment",
            Self::InvoiceStack => "invoice-stack",
            Self::PointLock => "point-lock",
        }
    }
}

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Game {
    /// How the payment is locked.
    pub design: Design,
    /// What is paid, in msat.
    pub amount_msat: u64,
    /// How much of it goes through the tunnel, in msat; counts only in [`Design::Tunnel`], and is
    /// the whole amount at most.
    pub tunnel_msat: u64,
    /// Among how many HTLCs the rest is split, 1 to [`MOST_SHARDS`].
    pub shards: usize,
    /// Everything that the parties draw follows from this.
    pub seed: [u8; 32],
}

/// What came of it, in msat where a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// What of the amount is on locks that the recipient made.
    pub recipient_locked_msat: u64,
    /// The payer whose payment was settled has a proof.
    pub payer_proves: bool,
    /// A payer that has paid nothing has one.
    pub unpaid_payer_proves: bool,
    /// Most that the recipient can settle of a payment so that the payer has no proof.
    pub recipient_keeps_msat: u64,
    /// What the LSP settles itself of a second payment for which it hands out the same entry.
    pub lsp_takes_msat: u64,
    /// What the recipient takes of that second payment, by its rules.
    pub recipient_takes_msat: u64,
    /// What goes back to the second payer.
    pub returned_msat: u64,
    /// The second payer has a proof, with what the LSP has shown it in settling.
    pub robbed_payer_proves: bool,
    /// The LSP that passed the first payment on has a proof that it had paid itself.
    pub lsp_proves: bool,
    /// Another node that passed it on has one.
    pub hop_proves: bool,
}

#[derive(Clone, Copy)]
enum Lock {
    Hash([u8; 32]),
    Point(PublicKey),
}

impl Lock {
    fn opens(&self, secret: &[u8; 32]) -> bool {
        match self {
            Self::Hash(hash) => sha256(&[secret]) == *hash,
            Self::Point(point) => {
                Scalar::from_bytes(*secret).and_then(Scalar::point).as_ref() == Some(point)
            }
        }
    }
}

struct Part {
    msat: u64,
    lock: Lock,
    /// What the recipient opens it with.
    secret: [u8; 32],
    /// The recipient made the lock.
    recipients: bool,
}

/// One payer and its payment.
struct Payment {
    payer: SecretKey,
    request: [u8; REQUEST_LENGTH],
    commitment: [u8; 32],
    assignment: [u8; 64],
    parts: Vec<Part>,
    /// Where there is a point lock.
    point: Option<OnPoint>,
}

/// The lock of a set, what opens it, and the children of its shards.
struct OnPoint {
    lock: point_lock::Lock,
    s: Scalar,
    children: Vec<Scalar>,
}

impl Payment {
    /// What a proof by signature begins with; zeros where there is none.
    fn nonce_x(&self) -> [u8; 32] {
        let point = self.point.as_ref();
        point.map_or([0; 32], |point| point.lock.nonce_x())
    }
}

/// What somebody shows to a verifier.
struct Shown<'a> {
    request: &'a [u8; REQUEST_LENGTH],
    secret: [u8; 32],
    assignment: [u8; 64],
    /// The nonce that a signature begins with.
    nonce_x: [u8; 32],
    /// Whose key answers the verifier's challenge.
    claimant: &'a SecretKey,
}

struct World {
    game: Game,
    recipient: SecretKey,
    recipient_id: PublicKey,
    lsp: SecretKey,
    nonces: NoncePair,
    preimage: [u8; 32],
    payment_addr: [u8; 32],
}

const CHAIN: [u8; 32] = [0; 32];

fn draw(seed: &[u8; 32], what: &str, at: usize) -> [u8; 32] {
    let at = u64::try_from(at).unwrap_or(u64::MAX).to_be_bytes();
    tagged_hash(
        b"lnconform/simulation/designs",
        &[seed.as_slice(), what.as_bytes(), &at].concat(),
    )
}

fn key(seed: &[u8; 32], what: &str, at: usize) -> Result<SecretKey> {
    let scalar = Scalar::reduce(draw(seed, what, at));
    scalar
        .secret_key()
        .ok_or(PointLockError::NoPoint("secret key drawn from the seed"))
}

fn x_only(secret: &SecretKey) -> [u8; 32] {
    keys::public(secret).x_only_public_key().0.serialize()
}

/// Plays one design.
///
/// # Errors
/// [`PointLockError::NoPoint`] for seeds that nobody will find.
pub fn play(game: Game) -> Result<Played> {
    let seed = &game.seed;
    let recipient = key(seed, "recipient", 0)?;
    let game = Game {
        tunnel_msat: game.tunnel_msat.min(game.amount_msat),
        shards: game.shards.clamp(1, MOST_SHARDS),
        ..game
    };
    let world = World {
        recipient,
        recipient_id: keys::public(&recipient),
        lsp: key(seed, "lsp", 0)?,
        nonces: NoncePair {
            r1: key(seed, "nonce", 0)?,
            r2: key(seed, "nonce", 1)?,
        },
        preimage: draw(seed, "preimage", 0),
        payment_addr: draw(seed, "payment address", 0),
        game,
    };
    let first = world.pay(key(seed, "payer", 0)?, 0)?;
    let second = world.pay(key(seed, "payer", 1)?, 1)?;

    let all: Vec<[u8; 32]> = first.parts.iter().map(|part| part.secret).collect();
    // A payer knows what it made itself: the preimages of its own hashes, and the children.
    let own = |payment: &Payment| -> Vec<[u8; 32]> {
        let made = payment.parts.iter().filter(|part| !part.recipients);
        let made = made.map(|part| part.secret);
        let children = payment.point.iter().flat_map(|point| &point.children);
        made.chain(children.map(|child| child.to_bytes())).collect()
    };

    // The LSP passed the first payment on, and has seen all that opened it. With a point lock every
    // hop has a scalar of its own; give it those of the recipient, and the proof as well.
    let mut learned = all.clone();
    if let Some(point) = &first.point {
        learned.push(point.s.to_bytes());
        learned.push(point.lock.challenge.to_bytes());
    }
    let guesses = world.guesses(&second);
    let mut taken: Vec<[u8; 32]> = Vec::new();
    let (mut lsp_takes_msat, mut left) = (0u64, Vec::new());
    for part in &second.parts {
        let opening = learned
            .iter()
            .chain(&guesses)
            .copied()
            .find(|secret| part.lock.opens(secret));
        match opening {
            Some(secret) => {
                taken.push(secret);
                lsp_takes_msat = lsp_takes_msat.saturating_add(part.msat);
            }
            None => left.push(part),
        }
    }
    if let (Some(before), Some(point)) = (&first.point, &second.point) {
        let known = [attacks::Known {
            lock: before.lock.clone(),
            s: before.s,
        }];
        let opened = attacks::on_shards(&point.lock, &point.children, &known)?;
        if opened.iter().any(|one| one.opens > 0) {
            lsp_takes_msat = game.amount_msat;
        }
    }
    // The recipient has used its entry. What the payer made, it takes; that is AMP's part.
    let sum = |parts: &mut dyn Iterator<Item = &&Part>| {
        parts.fold(0u64, |sum, part| sum.saturating_add(part.msat))
    };
    let recipient_takes_msat = sum(&mut left.iter().filter(|part| !part.recipients));
    let returned_msat = sum(&mut left.iter().filter(|part| part.recipients));

    let mut robbed = own(&second);
    robbed.extend(&taken);
    Ok(Played {
        recipient_locked_msat: sum(&mut first
            .parts
            .iter()
            .collect::<Vec<_>>()
            .iter()
            .filter(|part| part.recipients)),
        payer_proves: world.proves(&first, &all),
        unpaid_payer_proves: world.proves(&first, &own(&first)),
        recipient_keeps_msat: world.keeps(&first, &own(&first)),
        lsp_takes_msat,
        recipient_takes_msat,
        returned_msat,
        robbed_payer_proves: lsp_takes_msat > 0 && world.proves(&second, &robbed),
        lsp_proves: world.proves_as(&key(seed, "own", 0)?, &first, &learned, true),
        hop_proves: world.proves_as(&key(seed, "own", 1)?, &first, &learned, false),
    })
}

impl World {
    fn pay(&self, payer: SecretKey, number: usize) -> Result<Payment> {
        let Game {
            design,
            amount_msat,
            tunnel_msat,
            shards,
            seed,
        } = &self.game;
        let bound = matches!(design, Design::Tunnel { .. });
        let request = self.request(&payer, number, bound);
        let commitment = commitment(&CHAIN, &self.recipient_id, &self.payment_addr, &request);
        let (by_hash, by_amp) = match design {
            Design::InvoiceStack => (*amount_msat, 0),
            Design::Tunnel { .. } => (*tunnel_msat, amount_msat - tunnel_msat),
            Design::Amp | Design::PointLock => (0, *amount_msat),
        };
        let mut parts = Vec::new();
        if by_hash > 0 {
            parts.push(Part {
                msat: by_hash,
                lock: Lock::Hash(sha256(&[&self.preimage])),
                secret: self.preimage,
                recipients: true,
            });
        }
        let whole = match design {
            Design::Tunnel { .. } => bound_root(&commitment),
            _ => draw(seed, "root", number),
        };
        let mut shares: Vec<[u8; 32]> = (1..*shards)
            .map(|at| draw(seed, "share", at + number * MOST_SHARDS))
            .collect();
        shares.push(root(shares.iter().chain([&whole])));
        let mut point = None;
        if by_amp > 0 {
            let amounts = split(by_amp, *shards);
            if *design == Design::PointLock {
                let (lock, s) = self.lock(&commitment)?;
                let children: Vec<Scalar> = (0u32..)
                    .zip(&shares)
                    .map(|(index, share)| child(&whole, share, index))
                    .collect();
                let locks = shard_locks(&Rules::all(), &lock, &children)?;
                for ((msat, lock), child) in amounts.into_iter().zip(locks).zip(&children) {
                    parts.push(Part {
                        msat,
                        lock: Lock::Point(lock),
                        secret: s.plus(*child).to_bytes(),
                        recipients: true,
                    });
                }
                point = Some(OnPoint { lock, s, children });
            } else {
                for ((index, share), msat) in (0u32..).zip(&shares).zip(amounts) {
                    let secret = amp_preimage(&whole, share, index);
                    parts.push(Part {
                        msat,
                        lock: Lock::Hash(sha256(&[&secret])),
                        secret,
                        recipients: false,
                    });
                }
            }
        }
        Ok(Payment {
            assignment: self.assign(&commitment),
            payer,
            request,
            commitment,
            parts,
            point,
        })
    }

    fn request(&self, payer: &SecretKey, number: usize, bound: bool) -> [u8; REQUEST_LENGTH] {
        let mut request = [0; REQUEST_LENGTH];
        request[1] = 1 | if bound { ROOT_BOUND } else { 0 };
        request[2..34].copy_from_slice(&draw(&self.game.seed, "request", number));
        request[42..50].copy_from_slice(&self.game.amount_msat.to_be_bytes());
        request[50..82].copy_from_slice(&x_only(payer));
        request
    }

    /// The lock of a commitment and what opens it.
    fn lock(&self, commitment: &[u8; 32]) -> Result<(point_lock::Lock, Scalar)> {
        let message = message(commitment);
        let lock = point_lock::lock(&self.recipient_id, &self.nonces.points(), &message)?;
        let s = point_lock::opening(&self.recipient, &self.nonces, &message)?;
        Ok((lock, s))
    }

    /// What the LSP signs for a payer, and what it learns of the payment in doing so.
    fn assigned(&self, commitment: &[u8; 32]) -> [u8; 32] {
        match self.game.design {
            Design::Tunnel {
                open_commitment: true,
            } => *commitment,
            _ => amp_tunnel::assignee(commitment),
        }
    }

    fn assignment_digest(&self, commitment: &[u8; 32]) -> [u8; 32] {
        let entry = sha256(&[&self.preimage]);
        let assigned = self.assigned(commitment);
        tagged_hash(b"ln-ait/0/assign", &[entry, assigned].concat())
    }

    fn assign(&self, commitment: &[u8; 32]) -> [u8; 64] {
        merkle::sign(&self.assignment_digest(commitment), &self.lsp, None)
    }

    /// The recipient's signature of the entry, which header and path give, or the invoice.
    fn entry_digest(&self) -> [u8; 32] {
        let entry = sha256(&[&self.preimage]);
        tagged_hash(b"lnconform/simulation/entry", &entry)
    }

    /// What an LSP tries that was shown `assigned`: AMP's preimages under that as the commitment,
    /// for a set of one HTLC, whose share is the root.
    fn guesses(&self, payment: &Payment) -> Vec<[u8; 32]> {
        if !matches!(self.game.design, Design::Tunnel { .. }) {
            return Vec::new();
        }
        let root = bound_root(&self.assigned(&payment.commitment));
        (0..GUESSES)
            .map(|index| amp_preimage(&root, &root, index))
            .collect()
    }

    /// Whether a verifier accepts what it is shown, under the name of `claimant`.
    fn accepts(&self, shown: &Shown<'_>) -> bool {
        let commitment = commitment(
            &CHAIN,
            &self.recipient_id,
            &self.payment_addr,
            shown.request,
        );
        let claims = || {
            let challenge = tagged_hash(
                b"ln-ait/0/claim",
                &[commitment, draw(&self.game.seed, "challenge", 0)].concat(),
            );
            let claim = merkle::sign(&challenge, shown.claimant, None);
            let mut named = [0; 32];
            named.copy_from_slice(&shown.request[50..82]);
            merkle::verify(&challenge, &named, &claim)
        };
        let opens_entry = || {
            if sha256(&[&shown.secret]) != sha256(&[&self.preimage]) {
                return false;
            }
            let signed = merkle::sign(&self.entry_digest(), &self.recipient, None);
            merkle::verify(&self.entry_digest(), &x_only(&self.recipient), &signed)
        };
        match self.game.design {
            // There is nothing of the recipient's to show.
            Design::Amp => false,
            // Whoever holds invoice and preimage.
            Design::InvoiceStack => opens_entry(),
            Design::Tunnel { .. } => {
                opens_entry()
                    && merkle::verify(
                        &self.assignment_digest(&commitment),
                        &x_only(&self.lsp),
                        &shown.assignment,
                    )
                    && claims()
            }
            Design::PointLock => {
                let proof = [shown.nonce_x, shown.secret].concat();
                super::verify(
                    &Rules::all(),
                    &CHAIN,
                    &self.recipient_id,
                    &self.payment_addr,
                    shown.request,
                    &proof,
                )
                .is_ok()
                    && claims()
            }
        }
    }

    /// Whether the payer makes a proof of the secrets that it has.
    fn proves(&self, payment: &Payment, secrets: &[[u8; 32]]) -> bool {
        let nonce_x = payment.nonce_x();
        let mut tried = secrets.to_vec();
        if let Some(point) = &payment.point {
            for secret in secrets.iter().filter_map(|s| Scalar::from_bytes(*s)) {
                tried.extend(point.children.iter().map(|d| secret.minus(*d).to_bytes()));
            }
        }
        tried.into_iter().any(|secret| {
            self.accepts(&Shown {
                request: &payment.request,
                secret,
                assignment: payment.assignment,
                nonce_x,
                claimant: &payment.payer,
            })
        })
    }

    /// Whether somebody else than the payer makes a proof under its own name of secrets that it has
    /// seen: with the payer's request, and with a request of its own, which only the LSP can assign
    /// the entry to.
    fn proves_as(
        &self,
        claimant: &SecretKey,
        seen: &Payment,
        secrets: &[[u8; 32]],
        is_lsp: bool,
    ) -> bool {
        let bound = matches!(self.game.design, Design::Tunnel { .. });
        let own = self.request(claimant, 9, bound);
        let nonce_x = seen.nonce_x();
        let of_own = commitment(&CHAIN, &self.recipient_id, &self.payment_addr, &own);
        let assignment = if is_lsp {
            self.assign(&of_own)
        } else {
            seen.assignment
        };
        secrets.iter().any(|secret| {
            [&seen.request, &own].into_iter().any(|request| {
                self.accepts(&Shown {
                    request,
                    secret: *secret,
                    assignment,
                    nonce_x,
                    claimant,
                })
            })
        })
    }

    /// Most that the recipient can settle so that the payer has no proof: every choice of parts.
    fn keeps(&self, payment: &Payment, own: &[[u8; 32]]) -> u64 {
        // A proof is made of one secret, so a choice gives one if one of its parts does.
        let at_once = self.proves(payment, own);
        let gives: Vec<bool> = payment
            .parts
            .iter()
            .map(|part| at_once || self.proves(payment, &[part.secret]))
            .collect();
        let mut most = 0u64;
        for choice in 0u32..1 << payment.parts.len() {
            let settled = || {
                let parts = payment.parts.iter().zip(&gives).enumerate();
                parts.filter_map(move |(at, part)| (choice >> at & 1 == 1).then_some(part))
            };
            if settled().any(|(_, gives)| *gives) {
                continue;
            }
            let sum = settled().fold(0u64, |sum, (part, _)| sum.saturating_add(part.msat));
            most = most.max(sum);
        }
        most
    }
}

/// AMP's child preimage.
fn amp_preimage(root: &[u8; 32], share: &[u8; 32], index: u32) -> [u8; 32] {
    sha256(&[root, share, &index.to_be_bytes()])
}

/// An amount in parts, the last one taking what is left over.
fn split(amount_msat: u64, parts: usize) -> Vec<u64> {
    let count = u64::try_from(parts).unwrap_or(1).max(1);
    let each = amount_msat / count;
    let mut amounts = vec![each; parts];
    if let Some(last) = amounts.last_mut() {
        *last += amount_msat % count;
    }
    amounts
}
