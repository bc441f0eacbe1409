//! AMP on point locks: the operations of payer, recipient and verifier, whole sessions with a
//! cheating party, and what each design between the invoice stack and this one is worth.

use super::{each, nonce_pair, point_lock_error, scalar, scalars, sentences};
use crate::Outcome;
use crate::operations::{hexes, public_key, refused, secret_key, unchecked};
use crate::simulation::point_lock::{no_hop, nonce_points, points, window};
use lnconform_drafts::amp_ptlc::attacks::{self, Known, Settled, Try, Waiting};
use lnconform_drafts::amp_ptlc::attempt::{self, Form};
use lnconform_drafts::amp_ptlc::designs::{self, Design, Game};
use lnconform_drafts::amp_ptlc::recipient::{Incoming, Recipient};
use lnconform_drafts::amp_ptlc::{self as amp_ptlc, NOT_PROVEN, PROVEN};
use lnconform_drafts::keys::{self, PublicKey, SecretKey};
use lnconform_drafts::point_lock::pool::{self, Assignment, Pool};
use lnconform_drafts::point_lock::recipient::{self as single, Mark, Memory};
use lnconform_drafts::point_lock::{self, Lock, NoncePair, PointLockError, Scalar, Terms};
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

/// What a request commits to: the opening of the commitment, and what follows from it.
struct Opened {
    commitment: [u8; 32],
    message: [u8; 32],
    terms: Terms,
}

fn open(
    rules: &Rules,
    recipient: &PublicKey,
    chain_hash: &[u8; 32],
    payment_addr: &[u8; 32],
    request: &[u8],
) -> Result<Opened, OpError> {
    let terms = amp_ptlc::terms(rules, request).map_err(refused)?;
    let commitment = amp_ptlc::commitment(chain_hash, recipient, payment_addr, &terms.request);
    Ok(Opened {
        commitment,
        message: amp_ptlc::message(&commitment),
        terms,
    })
}

/// A shard as its payer makes it.
struct Shard {
    share: [u8; 32],
    child_index: u32,
    tweaks: Vec<Scalar>,
    /// In place of the derived one, for what no hash gives.
    child: Option<Scalar>,
}

fn shard(p: Params<'_>) -> Result<Shard, OpError> {
    let shard = Shard {
        share: p.array("share")?,
        child_index: p.u32("child_index")?,
        tweaks: scalars(p, "tweaks")?,
        child: p.maybe("child_scalar", scalar)?,
    };
    if shard.tweaks.is_empty() {
        return Err(no_hop());
    }
    Ok(shard)
}

fn root(shards: &[Shard]) -> [u8; 32] {
    amp_ptlc::root(shards.iter().map(|shard| &shard.share))
}

fn children(shards: &[Shard]) -> Vec<Scalar> {
    let root = root(shards);
    let of = |shard: &Shard| {
        let derived = || amp_ptlc::child(&root, &shard.share, shard.child_index);
        shard.child.unwrap_or_else(derived)
    };
    shards.iter().map(of).collect()
}

/// `simulation.amp_ptlc.lock`: a payer makes the locks of a set. Params: `recipient_id`,
/// `chain_hash`, `payment_addr`, `request`, `r1`, `r2` (points), `shards` [{`share`, `child_index`,
/// `tweaks` [scalars, the payer's own hop first], `child_scalar` (in place of the derived one)}];
/// `unchecked` takes a request that is none → `commitment`, `message`, `root`, `nonce`, `lock`,
/// `shards` [{`child_scalar`, `lock`, `route_locks`, `route_sum`}], `set`.
pub(crate) fn lock(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let recipient = public_key(p, "recipient_id")?;
    let read = if unchecked(p)? {
        rules
            .clone()
            .without(rules::AIT_POINT_REQUEST)
            .and_then(|rules| rules.without(rules::AIT_POINT_ROOT_UNBOUND))
    } else {
        Ok(rules.clone())
    };
    let read = read.map_err(|e| OpError::invalid(e.to_string()))?;
    let opened = open(
        &read,
        &recipient,
        &p.array("chain_hash")?,
        &p.array("payment_addr")?,
        &p.hex("request")?,
    )?;
    amp_ptlc::payable(&read, &opened.terms).map_err(refused)?;
    let shards = each(p, "shards", shard)?;
    let lock = point_lock::lock(&recipient, &nonce_points(p)?, &opened.message)
        .map_err(point_lock_error)?;
    let children = children(&shards);
    let routes = routes(rules, &lock, &shards, &children)?;
    let last: Vec<_> = routes.iter().map(|route| route.last).collect();
    let shown: Value = routes
        .iter()
        .zip(&shards)
        .zip(&children)
        .map(|((route, shard), child)| {
            json!({
                "child_scalar": hex(child.to_bytes()),
                "lock": hex(route.shard.serialize()),
                "route_locks": points(&route.locks),
                "route_sum": hex(point_lock::route_sum(&shard.tweaks).to_bytes()),
            })
        })
        .collect();
    Ok(ResultObject::new()
        .with("commitment", hex(opened.commitment))
        .with("message", hex(opened.message))
        .with("root", hex(root(&shards)))
        .with("nonce", hex(lock.nonce.serialize()))
        .with("lock", hex(lock.point.serialize()))
        .with("shards", shown)
        .with("set", hex(amp_ptlc::set_digest(&last)))
        .done())
}

/// The locks of one shard.
struct Route {
    /// `T`.
    shard: PublicKey,
    /// Of every hop, the payer's own first.
    locks: Vec<PublicKey>,
    /// Of the last hop.
    last: [u8; 33],
}

fn routes(
    rules: &Rules,
    lock: &Lock,
    shards: &[Shard],
    children: &[Scalar],
) -> Result<Vec<Route>, OpError> {
    let locks = amp_ptlc::shard_locks(rules, lock, children).map_err(point_lock_error)?;
    locks
        .into_iter()
        .zip(shards)
        .map(|(at, shard)| {
            let locks = point_lock::route_locks(&at, &shard.tweaks).map_err(point_lock_error)?;
            let last = locks.last().ok_or_else(no_hop)?.serialize();
            Ok(Route {
                shard: at,
                locks,
                last,
            })
        })
        .collect()
}

fn mark(p: Params<'_>) -> Result<Mark<[u8; 32]>, OpError> {
    Ok(Mark {
        index: p.u32("index")?,
        message: p.array("message")?,
        lock: p.array("set")?,
    })
}

fn shown_mark(mark: &Mark<[u8; 32]>) -> Value {
    json!({"index": mark.index, "message": hex(mark.message), "set": hex(mark.lock)})
}

/// `simulation.amp_ptlc.redeem`: the recipient decides on a set. Params: `secret_key`,
/// `chain_hash`, `payment_addr`, `nonces` [{`r1`, `r2`}] secret, `pool_expiry`, `shards` [{`entry`,
/// `request`, `share`, `child_index`, `lock` (of the last hop), `tweak` (sum of the route's),
/// `received_msat`}], `now`; `used` [{`index`, `message`, `set`}] marks, `durable` (false: the
/// storage does not take the mark), `window_past`, `window_future` (seconds) → `scalars`, `mark`,
/// `resumed`; a refusal is the whole set returned.
pub(crate) fn redeem(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let nonces = each(p, "nonces", nonce_pair)?;
    let recipient = Recipient {
        own: single::Recipient {
            secret: secret_key(p, "secret_key")?,
            chain_hash: p.array("chain_hash")?,
            nonces: &nonces,
            expiry: p.u64("pool_expiry")?,
            window: window(p)?,
        },
        payment_addr: p.array("payment_addr")?,
    };
    let requests = each(p, "shards", |p| p.hex("request"))?;
    let mut bytes = requests.iter();
    let shards = each(p, "shards", |p| {
        Ok(Incoming {
            entry: p.u32("entry")?,
            request: bytes.next().map_or(&[], Vec::as_slice),
            share: p.array("share")?,
            child_index: p.u32("child_index")?,
            lock: p.array("lock")?,
            tweak: scalar(p, "tweak")?,
            received_msat: p.u64("received_msat")?,
        })
    })?;
    let marks = match p.get("used") {
        None => Vec::new(),
        Some(_) => each(p, "used", mark)?,
    };
    let mut memory = Memory {
        marks,
        writable: p.maybe("durable", Params::bool)?.unwrap_or(true),
    };
    let redeemed = recipient
        .redeem(rules, &shards, p.u64("now")?, &mut memory)
        .map_err(point_lock_error)?;
    let scalars = redeemed.scalars.iter();
    Ok(ResultObject::new()
        .with(
            "scalars",
            scalars.map(|t| hex(t.to_bytes())).collect::<Value>(),
        )
        .with("mark", shown_mark(&redeemed.mark))
        .with("resumed", redeemed.resumed)
        .done())
}

/// `simulation.amp_ptlc.extract`: `recipient_id`, `chain_hash`, `payment_addr`, `request`, `r1`,
/// `r2` (points), `child_scalar`, `tweak` (of the payer's own hop), `scalar` (what settled it) →
/// `proof`.
pub(crate) fn extract(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let recipient = public_key(p, "recipient_id")?;
    let opened = open(
        rules,
        &recipient,
        &p.array("chain_hash")?,
        &p.array("payment_addr")?,
        &p.hex("request")?,
    )?;
    let lock = point_lock::lock(&recipient, &nonce_points(p)?, &opened.message)
        .map_err(point_lock_error)?;
    let (child, tweak, settled) = (
        scalar(p, "child_scalar")?,
        scalar(p, "tweak")?,
        scalar(p, "scalar")?,
    );
    let proof = amp_ptlc::extract(rules, &lock, child, tweak, settled).map_err(point_lock_error)?;
    Ok(ResultObject::new().with("proof", hex(proof)).done())
}

/// `simulation.amp_ptlc.verify`: `chain_hash`, `recipient_id`, `payment_addr`, `request`, `proof` →
/// `proven`, `not_proven` [sentences], `payment_time`, `amount_msat`.
pub(crate) fn verify(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let terms = amp_ptlc::verify(
        rules,
        &p.array("chain_hash")?,
        &public_key(p, "recipient_id")?,
        &p.array("payment_addr")?,
        &p.hex("request")?,
        &p.hex("proof")?,
    )
    .map_err(refused)?;
    Ok(ResultObject::new()
        .with("proven", sentences(&PROVEN))
        .with("not_proven", sentences(&NOT_PROVEN))
        .with("payment_time", terms.payment_time.to_string())
        .with("amount_msat", terms.amount_msat.to_string())
        .done())
}

/// One shard of a session's payment.
struct Sent {
    shard: Shard,
    msat: u64,
    /// The LSP keeps it back.
    lost: bool,
    /// The recipient is told this share instead of the one that the payer locked to.
    told: Option<[u8; 32]>,
}

/// One payment of a session.
struct Payment {
    index: u32,
    request: Vec<u8>,
    shards: Vec<Sent>,
    /// Nonces of the LSP's own, in place of the recipient's.
    substitute: Option<NoncePair>,
    /// The payer checks what it is handed.
    checks: bool,
    /// The payer makes the last share so that the root is the one that the commitment gives.
    bound: bool,
}

fn payment(p: Params<'_>) -> Result<Payment, OpError> {
    let flag = |name, default| Ok(p.maybe(name, Params::bool)?.unwrap_or(default));
    let payment = Payment {
        index: p.u32("index")?,
        request: p.hex("request")?,
        shards: each(p, "shards", |p| {
            Ok(Sent {
                shard: shard(p)?,
                msat: p.u64("amount_msat")?,
                lost: p.maybe("lost", Params::bool)?.unwrap_or(false),
                told: p.maybe("told_share", Params::array)?,
            })
        })?,
        substitute: match p.get("substitute") {
            None => None,
            Some(value) => Some(nonce_pair(Params::new(value))?),
        },
        checks: flag("payer_checks", true)?,
        bound: flag("root_bound", false)?,
    };
    if payment.shards.is_empty() {
        return Err(OpError::invalid("param shards is empty; a set has a shard"));
    }
    Ok(payment)
}

/// The parties of a session.
struct World<'a> {
    rules: &'a Rules,
    recipient: Recipient<'a>,
    recipient_id: PublicKey,
    lsp_id: [u8; 33],
    pool: Pool,
    now: u64,
}

/// What a session remembers.
#[derive(Default)]
struct Memories {
    marks: Memory<[u8; 32]>,
    /// What settled payments left with the LSP, their payers taking part.
    known: Vec<Known>,
    /// What all payers together have seen.
    settled: Vec<Settled>,
}

/// How a payment ended.
enum End {
    /// The payer refused what the LSP handed out.
    NotSent(Violation),
    /// The recipient let it go, and nobody else could settle a shard.
    Returned(Violation),
    /// The recipient was paid, and the payer has the proof.
    Settled,
    /// The LSP settled a shard.
    Stolen,
}

fn tries(tried: &[Try]) -> Value {
    tried
        .iter()
        .map(|one| json!({"how": one.how, "opens": one.opens}))
        .collect()
}

impl World<'_> {
    fn pay(&self, payment: &Payment, memories: &mut Memories) -> Result<(End, Value), OpError> {
        let mut shown = json!({});
        let honest = usize::try_from(payment.index)
            .ok()
            .and_then(|at| self.pool.entries.get(at))
            .copied();
        let nonces = match (&payment.substitute, honest) {
            (Some(own), _) => own.points(),
            (None, Some(entry)) => entry,
            (None, None) => {
                return Err(OpError::invalid(format!(
                    "param index is {}, and the pool has {} entries",
                    payment.index,
                    self.pool.entries.len()
                )));
            }
        };
        if payment.checks {
            let header = self.pool.header.encode();
            let path = self.pool.path(payment.index).unwrap_or_default();
            let assignment = Assignment {
                header: &header,
                signature: &self.pool.signature,
                index: payment.index,
                nonces,
                path: &path,
            };
            match pool::check(
                self.rules,
                &self.recipient_id,
                &self.lsp_id,
                &assignment,
                self.now,
            ) {
                Ok(_) => {}
                Err(PointLockError::Rule(violation)) => {
                    return Ok((End::NotSent(violation), shown));
                }
                Err(other) => return Err(point_lock_error(other)),
            }
        }

        let opened = open(
            self.rules,
            &self.recipient_id,
            &self.recipient.own.chain_hash,
            &self.recipient.payment_addr,
            &payment.request,
        )?;
        if let Err(violation) = amp_ptlc::payable(self.rules, &opened.terms) {
            return Ok((End::NotSent(violation), shown));
        }
        let lock = point_lock::lock(&self.recipient_id, &nonces, &opened.message)
            .map_err(point_lock_error)?;
        let shards = self.shards(payment, &opened.commitment);
        let children = children(&shards);
        let routes = routes(self.rules, &lock, &shards, &children)?;
        let there: Vec<(usize, Waiting)> = shards
            .iter()
            .zip(&routes)
            .zip(&payment.shards)
            .enumerate()
            .filter(|(_, (_, sent))| !sent.lost)
            .map(|(at, ((shard, route), sent))| {
                let waiting = Waiting {
                    share: sent.told.unwrap_or(shard.share),
                    child_index: shard.child_index,
                    lock: route.last,
                    tweak: point_lock::route_sum(&shard.tweaks),
                };
                (at, waiting)
            })
            .collect();
        let incoming: Vec<Incoming<'_>> = there
            .iter()
            .map(|(at, waiting)| Incoming {
                entry: payment.index,
                request: &payment.request,
                share: waiting.share,
                child_index: waiting.child_index,
                lock: waiting.lock,
                tweak: waiting.tweak,
                received_msat: payment.shards[*at].msat,
            })
            .collect();
        let redeemed =
            match self
                .recipient
                .redeem(self.rules, &incoming, self.now, &mut memories.marks)
            {
                Ok(redeemed) => redeemed,
                Err(PointLockError::Rule(violation)) => {
                    let waiting: Vec<Waiting> = there.iter().map(|(_, one)| *one).collect();
                    // Whether a recipient that wanted to could take a part of what came. Only an
                    // entry of its own has secrets to try with.
                    if let Some(own) = self.nonces(payment.index)
                        && violation.rule == rules::AIT_POINT_LOCK
                    {
                        let s =
                            point_lock::opening(&self.recipient.own.secret, own, &opened.message)
                                .map_err(point_lock_error)?;
                        let tried = attacks::on_incomplete(s, &opened.commitment, &waiting);
                        let opens = tried.iter().map(|one| one.opens).max().unwrap_or(0);
                        shown["recipient_tries"] = tries(&tried);
                        shown["recipient_could_open"] = opens.into();
                    }
                    let tried = attacks::on_shards(&lock, &children, &memories.known)
                        .map_err(point_lock_error)?;
                    shown["lsp_tries"] = tries(&tried);
                    let end = if tried.iter().any(|one| one.opens > 0) {
                        End::Stolen
                    } else {
                        End::Returned(violation)
                    };
                    return Ok((end, shown));
                }
                Err(other) => return Err(point_lock_error(other)),
            };

        let mut proofs: Vec<[u8; 64]> = Vec::new();
        for ((at, _), scalar) in there.iter().zip(&redeemed.scalars) {
            let (shard, child) = (&shards[*at], children[*at]);
            let own = point_lock::route_scalars(*scalar, &shard.tweaks);
            let (Some(own), Some(tweak)) = (own.first(), shard.tweaks.first()) else {
                return Err(no_hop());
            };
            let proof = amp_ptlc::extract(self.rules, &lock, child, *tweak, *own)
                .map_err(point_lock_error)?;
            memories.settled.push(Settled {
                message: opened.message,
                nonces,
                child,
                scalar: own.minus(*tweak),
            });
            if !proofs.contains(&proof) {
                proofs.push(proof);
            }
        }
        let locks: Vec<_> = there.iter().map(|(_, one)| one.lock).collect();
        let opened_by_others = attacks::opened_by_others(&locks, &redeemed.scalars);
        let verified = proofs.first().is_some_and(|proof| {
            amp_ptlc::verify(
                &Rules::all(),
                &self.recipient.own.chain_hash,
                &self.recipient_id,
                &self.recipient.payment_addr,
                &payment.request,
                proof,
            )
            .is_ok()
        });
        if let Some(proof) = proofs.first() {
            let mut s = [0; 32];
            s.copy_from_slice(&proof[32..]);
            if let Some(s) = Scalar::from_bytes(s) {
                memories.known.push(Known { lock, s });
            }
        }
        shown["proofs"] = hexes(&proofs);
        shown["proof_verifies"] = verified.into();
        shown["opened_by_others"] = opened_by_others.into();
        shown["mark"] = shown_mark(&redeemed.mark);
        Ok((End::Settled, shown))
    }

    fn nonces(&self, index: u32) -> Option<&NoncePair> {
        usize::try_from(index)
            .ok()
            .and_then(|at| self.recipient.own.nonces.get(at))
    }

    /// The shards, the last one's share changed where the root is to be the commitment's.
    fn shards(&self, payment: &Payment, commitment: &[u8; 32]) -> Vec<Shard> {
        let mut shards: Vec<Shard> = payment
            .shards
            .iter()
            .map(|sent| Shard {
                share: sent.shard.share,
                child_index: sent.shard.child_index,
                tweaks: sent.shard.tweaks.clone(),
                child: sent.shard.child,
            })
            .collect();
        if payment.bound
            && let Some((last, others)) = shards.split_last_mut()
        {
            let whole = amp_ptlc::bound_root(commitment);
            let others = amp_ptlc::root(others.iter().map(|shard| &shard.share));
            last.share = amp_ptlc::root([&whole, &others]);
        }
        shards
    }
}

/// `simulation.amp_ptlc.session`: one recipient, one LSP, several payments. Params: `secret_key`
/// (recipient), `lsp_id`, `chain_hash`, `payment_addr`, `nonces` [{`r1`, `r2`}] secret, `expiry`,
/// `now`, `window_past`, `window_future`, `ignores` [ids of rules that everybody forgets],
/// `payments` [{`index`, `request`, `shards` [{`share`, `child_index`, `tweaks`, `child_scalar`,
/// `amount_msat`, `lost` (the LSP keeps it back), `told_share` (what the recipient is told instead)}],
/// `substitute` {`r1`, `r2`} (nonces of the LSP's), `payer_checks` (default true), `root_bound` (the
/// last share is changed so that the root is the one that the commitment gives)}] → `payments`
/// [{`status`: `settled`, `returned`, `not-sent` or `stolen`, `rule`, `reason`, `proofs` (those that
/// differ), `proof_verifies`, `opened_by_others` (locks that another shard's scalar opens), `mark`,
/// `recipient_tries`, `recipient_could_open` (of an incomplete set), `lsp_tries`}],
/// `received_msat`, `returned_msat`, `stolen_msat`, `equations`, `unknowns`, `key_recovered`,
/// `recovered_key` (what all payers together learn of the recipient's key).
pub(crate) fn session(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let mut rules = rules.clone();
    if p.get("ignores").is_some() {
        for id in p.list("ignores")? {
            let id = id.as_str().unwrap_or_default();
            rules = rules
                .without(id)
                .map_err(|e| OpError::invalid(format!("param ignores: {e}")))?;
        }
    }
    let nonces = each(p, "nonces", nonce_pair)?;
    let secret = secret_key(p, "secret_key")?;
    let (expiry, now) = (p.u64("expiry")?, p.u64("now")?);
    let lsp_id = public_key(p, "lsp_id")?.serialize();
    let world = World {
        rules: &rules,
        recipient_id: keys::public(&secret),
        pool: Pool::new(&secret, lsp_id, expiry, &nonces),
        recipient: Recipient {
            own: single::Recipient {
                secret,
                chain_hash: p.array("chain_hash")?,
                nonces: &nonces,
                expiry,
                window: window(p)?,
            },
            payment_addr: p.array("payment_addr")?,
        },
        lsp_id,
        now,
    };
    let mut memories = Memories::default();
    let (mut received, mut returned, mut stolen) = (0u64, 0u64, 0u64);
    let payments = each(p, "payments", |p| {
        let payment = payment(p)?;
        let (end, mut shown) = world.pay(&payment, &mut memories)?;
        let amounts = payment.shards.iter().map(|sent| sent.msat);
        let amount = amounts.fold(0u64, u64::saturating_add);
        let (status, violation, total) = match end {
            End::NotSent(violation) => ("not-sent", Some(violation), None),
            End::Returned(violation) => ("returned", Some(violation), Some(&mut returned)),
            End::Settled => ("settled", None, Some(&mut received)),
            End::Stolen => ("stolen", None, Some(&mut stolen)),
        };
        if let Some(total) = total {
            *total = total.saturating_add(amount);
        }
        shown["status"] = status.into();
        if let Some(violation) = violation {
            shown["rule"] = violation.rule.into();
            shown["reason"] = violation.message.into();
        }
        Ok(shown)
    })?;
    let recovery =
        attacks::from_settled(&world.recipient_id, &memories.settled).map_err(point_lock_error)?;
    Ok(ResultObject::new()
        .with("payments", payments)
        .with("received_msat", received.to_string())
        .with("returned_msat", returned.to_string())
        .with("stolen_msat", stolen.to_string())
        .with("equations", recovery.equations)
        .with("unknowns", recovery.unknowns)
        .with("key_recovered", recovery.key.is_some())
        .maybe(
            "recovered_key",
            recovery.key.map(|key: SecretKey| hex(key.secret_bytes())),
        )
        .done())
}

/// `simulation.amp_ptlc.attempt`: what lock a secret of one attempt needs. Params: `secret_key`
/// (recipient), `nonces` {`r1`, `r2`} secret, `preimage` (of the recipient's hash), `commitment`,
/// `attempts` [32 bytes each, such as a set id] of one payment, which a careless recipient settles
/// one and all → `forms` [{`form`: `payer-hash`, `recipient-hash`, `request-point` or
/// `attempt-point`, `locks`, `secrets`, `lock_follows_attempt`, `secrets_distinct`, `payer_opens`,
/// `settlements_shown`, `key_recovered`}].
pub(crate) fn attempt(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = secret_key(p, "secret_key")?;
    let nonces = nonce_pair(Params::new(p.need("nonces")?))?;
    let (preimage, commitment) = (p.array("preimage")?, p.array("commitment")?);
    let attempts = super::arrays::<32>(p, "attempts")?;
    let forms = Form::ALL
        .into_iter()
        .map(|form| {
            let compared =
                attempt::compare(form, &secret, &nonces, &preimage, &commitment, &attempts)?;
            let locks = compared.attempts.iter().map(|one| hex(&one.lock));
            let secrets = compared.attempts.iter().map(|one| hex(one.secret));
            Ok(json!({
                "form": form.name(),
                "locks": locks.collect::<Value>(),
                "secrets": secrets.collect::<Value>(),
                "lock_follows_attempt": compared.lock_follows_attempt,
                "secrets_distinct": compared.secrets_distinct,
                "payer_opens": compared.payer_opens,
                "settlements_shown": compared.settlements_shown,
                "key_recovered": compared.recovery.key.is_some(),
            }))
        })
        .collect::<Result<Vec<Value>, PointLockError>>()
        .map_err(point_lock_error)?;
    Ok(ResultObject::new().with("forms", forms).done())
}

/// `simulation.amp_ptlc.designs`: what each party gains by cheating, in each design. Params:
/// `amount_msat`, `tunnels` [msat, one row of the tunnel designs each], `shards` (1 to 8), `seed`
/// (32 bytes) → `rows` [{`design`: `amp`, `tunnel`, `tunnel-open-commitment`, `invoice-stack` or
/// `point-lock`, `recipient_locked_msat`, `lsp_takes_msat`, `recipient_keeps_msat`, `at_risk_msat`
/// (the sum of both), `second_payment` {`lsp_msat`, `recipient_msat`, `returned_msat`}, `payer_proves`,
/// `unpaid_payer_proves`, `robbed_payer_proves`, `lsp_proves`, `hop_proves`}], in the order of the
/// designs.
pub(crate) fn designs(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let amount_msat = p.u64("amount_msat")?;
    let shards = usize::try_from(p.u32("shards")?).unwrap_or(usize::MAX);
    if !(1..=designs::MOST_SHARDS).contains(&shards) {
        return Err(OpError::invalid(format!(
            "param shards is {shards}, not 1 to {}",
            designs::MOST_SHARDS
        )));
    }
    let seed = p.array("seed")?;
    let tunnels = p
        .list("tunnels")?
        .iter()
        .map(|value| Params::new(&json!({ "tunnels": value })).u64("tunnels"))
        .collect::<Result<Vec<u64>, _>>()?;
    if let Some(more) = tunnels.iter().find(|tunnel| **tunnel > amount_msat) {
        return Err(OpError::invalid(format!(
            "param tunnels has {more} msat of an amount of {amount_msat} msat"
        )));
    }
    let mut rows = Vec::new();
    for design in Design::ALL {
        let parts = match design {
            Design::Tunnel { .. } => tunnels.as_slice(),
            _ => &[0],
        };
        for tunnel_msat in parts {
            let played = designs::play(Game {
                design,
                amount_msat,
                tunnel_msat: *tunnel_msat,
                shards,
                seed,
            })
            .map_err(point_lock_error)?;
            let risk = played
                .lsp_takes_msat
                .saturating_add(played.recipient_keeps_msat);
            rows.push(json!({
                "design": design.name(),
                "recipient_locked_msat": played.recipient_locked_msat.to_string(),
                "lsp_takes_msat": played.lsp_takes_msat.to_string(),
                "recipient_keeps_msat": played.recipient_keeps_msat.to_string(),
                "at_risk_msat": risk.to_string(),
                "second_payment": {
                    "lsp_msat": played.lsp_takes_msat.to_string(),
                    "recipient_msat": played.recipient_takes_msat.to_string(),
                    "returned_msat": played.returned_msat.to_string(),
                },
                "payer_proves": played.payer_proves,
                "unpaid_payer_proves": played.unpaid_payer_proves,
                "robbed_payer_proves": played.robbed_payer_proves,
                "lsp_proves": played.lsp_proves,
                "hop_proves": played.hop_proves,
            }));
        }
    }
    Ok(ResultObject::new().with("rows", rows).done())
}
