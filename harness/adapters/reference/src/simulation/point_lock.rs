//! The point-lock form of the keysend proof, and what breaks its neighbours.

use super::{arrays, each, nonce_pair, point_lock_error, scalar, scalars, sentences};
use crate::Outcome;
use crate::operations::{hexes, public_key, refused, secret_key, unchecked};
use lnconform_drafts::keys::{self, Point, PublicKey, SecretKey};
use lnconform_drafts::point_lock::attacks::{self, Attempt, Nonce, Paid};
use lnconform_drafts::point_lock::pool::{self, Assignment, Pool};
use lnconform_drafts::point_lock::recipient::{Incoming, Mark, Memory, Recipient, Window};
use lnconform_drafts::point_lock::{
    self, NOT_PROVEN, NoncePair, NoncePoints, PROVEN, PointLockError, Scalar,
};
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

/// `simulation.point_lock.pool`: `secret_key` of the recipient, `lsp_id`, `expiry` (seconds),
/// `nonces` [{`r1`, `r2`}] secret → `header`, `root`, `signature`, `entries` [{`index`, `r1`, `r2`,
/// `leaf`, `path`}].
pub(crate) fn make_pool(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let nonces = each(p, "nonces", nonce_pair)?;
    let pool = Pool::new(
        &secret_key(p, "secret_key")?,
        p.array("lsp_id")?,
        p.u64("expiry")?,
        &nonces,
    );
    let entries = (0u32..).zip(pool.entries.iter().zip(pool.leaves()));
    let entries: Value = entries
        .map(|(index, (points, leaf))| {
            json!({
                "index": index,
                "r1": hex(points.r1),
                "r2": hex(points.r2),
                "leaf": hex(leaf),
                "path": hexes(&pool.path(index).unwrap_or_default()),
            })
        })
        .collect();
    Ok(ResultObject::new()
        .with("header", hex(pool.header.encode()))
        .with("root", hex(pool.header.root))
        .with("signature", hex(pool.signature))
        .with("entries", entries)
        .done())
}

/// The public nonces `r1` and `r2`, not checked: that they are points is a rule.
pub(super) fn nonce_points(p: Params<'_>) -> Result<NoncePoints, OpError> {
    Ok(NoncePoints {
        r1: p.array("r1")?,
        r2: p.array("r2")?,
    })
}

/// `simulation.point_lock.pool.verify`: `recipient_id`, `lsp_id` (who served it), `header`,
/// `signature`, `index`, `r1`, `r2`, `path` [hashes], `now` → `lsp_id`, `count`, `expiry`, `root`.
pub(crate) fn verify_pool(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (header, signature, path) = (p.hex("header")?, p.array("signature")?, arrays(p, "path")?);
    let assignment = Assignment {
        header: &header,
        signature: &signature,
        index: p.u32("index")?,
        nonces: nonce_points(p)?,
        path: &path,
    };
    let header = pool::check(
        rules,
        &public_key(p, "recipient_id")?,
        &p.array("lsp_id")?,
        &assignment,
        p.u64("now")?,
    )
    .map_err(point_lock_error)?;
    Ok(ResultObject::new()
        .with("lsp_id", hex(header.lsp_id))
        .with("count", header.count)
        .with("expiry", header.expiry.to_string())
        .with("root", hex(header.root))
        .done())
}

/// `simulation.point_lock.lock`: `recipient_id`, `chain_hash`, `request`, `r1`, `r2` (points),
/// `tweaks` [scalars, the payer's own hop first]; `unchecked` takes a request that is none →
/// `commitment`, `message`, `coefficient`, `nonce`, `challenge`, `lock`, `route_locks`, `route_sum`.
pub(crate) fn make_lock(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let recipient = public_key(p, "recipient_id")?;
    let request = p.hex("request")?;
    let read = if unchecked(p)? {
        rules.clone().without(rules::POINT_LOCK_REQUEST)
    } else {
        Ok(rules.clone())
    };
    let read = read.map_err(|e| OpError::invalid(e.to_string()))?;
    let terms = point_lock::terms(&read, &request).map_err(refused)?;
    let commitment = point_lock::commitment(&p.array("chain_hash")?, &recipient, &terms.request);
    let message = point_lock::message(&commitment);
    let tweaks = scalars(p, "tweaks")?;
    let lock =
        point_lock::lock(&recipient, &nonce_points(p)?, &message).map_err(point_lock_error)?;
    let route = point_lock::route_locks(&lock.point, &tweaks).map_err(point_lock_error)?;
    Ok(ResultObject::new()
        .with("commitment", hex(commitment))
        .with("message", hex(message))
        .with("coefficient", hex(lock.coefficient.to_bytes()))
        .with("nonce", hex(lock.nonce.serialize()))
        .with("challenge", hex(lock.challenge.to_bytes()))
        .with("lock", hex(lock.point.serialize()))
        .with("route_locks", points(&route))
        .with("route_sum", hex(point_lock::route_sum(&tweaks).to_bytes()))
        .done())
}

pub(super) fn points(points: &[PublicKey]) -> Value {
    points.iter().map(|point| hex(point.serialize())).collect()
}

pub(super) fn window(p: Params<'_>) -> Result<Window, OpError> {
    let default = Window::default();
    Ok(Window {
        past: p.maybe("window_past", Params::u64)?.unwrap_or(default.past),
        future: p
            .maybe("window_future", Params::u64)?
            .unwrap_or(default.future),
    })
}

fn mark(p: Params<'_>) -> Result<Mark, OpError> {
    Ok(Mark {
        index: p.u32("index")?,
        message: p.array("message")?,
        lock: p.array("lock")?,
    })
}

/// `simulation.point_lock.redeem`: `secret_key`, `chain_hash`, `nonces` [{`r1`, `r2`}] secret,
/// `pool_expiry`, `index`, `request`, `lock` (of the last hop), `tweak` (sum of the route's),
/// `received_msat`, `now`; `used` [{`index`, `message`, `lock`}] marks, `durable` (false: the
/// storage does not take the mark), `window_past`, `window_future` (seconds) → `scalar`, `mark`,
/// `resumed`; a refusal is the payment returned.
pub(crate) fn redeem(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let nonces = each(p, "nonces", nonce_pair)?;
    let recipient = Recipient {
        secret: secret_key(p, "secret_key")?,
        chain_hash: p.array("chain_hash")?,
        nonces: &nonces,
        expiry: p.u64("pool_expiry")?,
        window: window(p)?,
    };
    let request = p.hex("request")?;
    let incoming = Incoming {
        index: p.u32("index")?,
        request: &request,
        lock: p.array("lock")?,
        tweak: scalar(p, "tweak")?,
        received_msat: p.u64("received_msat")?,
    };
    let marks = match p.get("used") {
        None => Vec::new(),
        Some(_) => each(p, "used", mark)?,
    };
    let mut memory = Memory {
        marks,
        writable: p.maybe("durable", Params::bool)?.unwrap_or(true),
    };
    let redeemed = recipient
        .redeem(rules, &incoming, p.u64("now")?, &mut memory)
        .map_err(point_lock_error)?;
    let Mark {
        index,
        message,
        lock,
    } = redeemed.mark;
    Ok(ResultObject::new()
        .with("scalar", hex(redeemed.scalar.to_bytes()))
        .with(
            "mark",
            json!({"index": index, "message": hex(message), "lock": hex(lock)}),
        )
        .with("resumed", redeemed.resumed)
        .done())
}

/// The message of a request, as its payer computes it.
fn message_of(
    rules: &Rules,
    chain_hash: &[u8; 32],
    recipient: &PublicKey,
    request: &[u8],
) -> Result<[u8; 32], OpError> {
    let terms = point_lock::terms(rules, request).map_err(refused)?;
    let commitment = point_lock::commitment(chain_hash, recipient, &terms.request);
    Ok(point_lock::message(&commitment))
}

/// `simulation.point_lock.extract`: `recipient_id`, `chain_hash`, `request`, `r1`, `r2` (points),
/// `tweak` (of the payer's own hop), `scalar` (what settled it) → `proof`.
pub(crate) fn extract(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let recipient = public_key(p, "recipient_id")?;
    let message = message_of(
        rules,
        &p.array("chain_hash")?,
        &recipient,
        &p.hex("request")?,
    )?;
    let lock =
        point_lock::lock(&recipient, &nonce_points(p)?, &message).map_err(point_lock_error)?;
    let proof = point_lock::extract(rules, &lock, scalar(p, "tweak")?, scalar(p, "scalar")?)
        .map_err(point_lock_error)?;
    Ok(ResultObject::new().with("proof", hex(proof)).done())
}

/// `simulation.point_lock.verify`: `chain_hash`, `recipient_id`, `request`, `proof` → `proven`,
/// `not_proven` [sentences], `payment_time`, `amount_msat`.
pub(crate) fn verify(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let terms = point_lock::verify(
        rules,
        &p.array("chain_hash")?,
        &public_key(p, "recipient_id")?,
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

/// One payment of a session.
struct Payment {
    index: u32,
    request: Vec<u8>,
    tweaks: Vec<Scalar>,
    amount_msat: u64,
    /// Nonces of the LSP's own, in place of the recipient's.
    substitute: Option<NoncePair>,
    /// The LSP signs a header of its own over them, too.
    own_header: bool,
    /// The payer checks what it is handed.
    checks: bool,
}

fn payment(p: Params<'_>) -> Result<Payment, OpError> {
    let flag = |name, default| Ok(p.maybe(name, Params::bool)?.unwrap_or(default));
    let payment = Payment {
        index: p.u32("index")?,
        request: p.hex("request")?,
        tweaks: scalars(p, "tweaks")?,
        amount_msat: p.u64("amount_msat")?,
        substitute: match p.get("substitute") {
            None => None,
            Some(value) => Some(nonce_pair(Params::new(value))?),
        },
        own_header: flag("own_header", false)?,
        checks: flag("payer_checks", true)?,
    };
    if payment.tweaks.is_empty() {
        return Err(no_hop());
    }
    Ok(payment)
}

pub(super) fn no_hop() -> OpError {
    OpError::invalid("param tweaks is empty; a route has a hop")
}

/// The parties of a session.
struct World<'a> {
    rules: &'a Rules,
    recipient: Recipient<'a>,
    recipient_id: PublicKey,
    lsp: SecretKey,
    lsp_id: Point,
    pool: Pool,
    now: u64,
}

/// How a payment ended.
enum End {
    /// The payer refused what the LSP handed out.
    NotSent(Violation),
    /// The recipient let it go, and nobody else could settle it.
    Returned(Violation),
    /// The recipient was paid, and the payer has the proof.
    Settled,
    /// The LSP settled it.
    Stolen,
}

impl World<'_> {
    /// What the LSP hands out: the header, its signature, the entry and its path.
    fn handed_out(&self, payment: &Payment) -> (Vec<u8>, [u8; 64], NoncePoints, Vec<pool::Node>) {
        let honest = || {
            let at = usize::try_from(payment.index).ok();
            let nonces = at.and_then(|at| self.pool.entries.get(at)).copied();
            // For an entry that is none, the LSP has to make something up.
            nonces.unwrap_or(NoncePoints {
                r1: self.lsp_id,
                r2: self.lsp_id,
            })
        };
        let path = self.pool.path(payment.index).unwrap_or_default();
        let header = self.pool.header.encode().to_vec();
        match &payment.substitute {
            None => (header, self.pool.signature, honest(), path),
            Some(nonces) if payment.own_header => {
                let count = usize::try_from(payment.index).map_or(1, |index| index + 1);
                let own = vec![*nonces; count.min(self.pool.entries.len().max(1))];
                let own = Pool::new(&self.lsp, self.lsp_id, self.pool.header.expiry, &own);
                let path = own.path(payment.index).unwrap_or_default();
                let header = own.header.encode().to_vec();
                (header, own.signature, nonces.points(), path)
            }
            Some(nonces) => (header, self.pool.signature, nonces.points(), path),
        }
    }

    fn pay(&self, payment: &Payment, marks: &mut Memory) -> Result<(End, Value), OpError> {
        let (header, signature, nonces, path) = self.handed_out(payment);
        let mut shown = json!({});
        if payment.checks {
            let assignment = Assignment {
                header: &header,
                signature: &signature,
                index: payment.index,
                nonces,
                path: &path,
            };
            let checked = pool::check(
                self.rules,
                &self.recipient_id,
                &self.lsp_id,
                &assignment,
                self.now,
            );
            match checked {
                Ok(_) => {}
                Err(PointLockError::Rule(violation)) => {
                    return Ok((End::NotSent(violation), shown));
                }
                Err(other) => return Err(point_lock_error(other)),
            }
        }

        let chain_hash = &self.recipient.chain_hash;
        let message = message_of(self.rules, chain_hash, &self.recipient_id, &payment.request)?;
        let lock =
            point_lock::lock(&self.recipient_id, &nonces, &message).map_err(point_lock_error)?;
        let route =
            point_lock::route_locks(&lock.point, &payment.tweaks).map_err(point_lock_error)?;
        shown["route_locks"] = points(&route);
        let Some(last) = route.last() else {
            return Err(no_hop());
        };
        let incoming = Incoming {
            index: payment.index,
            request: &payment.request,
            lock: last.serialize(),
            tweak: point_lock::route_sum(&payment.tweaks),
            received_msat: payment.amount_msat,
        };
        let redeemed = match self
            .recipient
            .redeem(self.rules, &incoming, self.now, marks)
        {
            Ok(redeemed) => redeemed,
            Err(PointLockError::Rule(violation)) => {
                // The LSP is the last hop before the recipient, and knows the tweaks up to itself;
                // give it all of them.
                let tried = self.lsp_tries(payment, &lock, &message);
                let opens = tried.iter().any(|(_, opens)| *opens);
                shown["lsp_tries"] = tried
                    .iter()
                    .map(|(how, opens)| json!({"how": how, "opens": opens}))
                    .collect();
                let end = if opens {
                    End::Stolen
                } else {
                    End::Returned(violation)
                };
                return Ok((end, shown));
            }
            Err(other) => return Err(point_lock_error(other)),
        };
        let scalars = point_lock::route_scalars(redeemed.scalar, &payment.tweaks);
        let (Some(first), Some(tweak)) = (scalars.first(), payment.tweaks.first()) else {
            return Err(no_hop());
        };
        let proof =
            point_lock::extract(self.rules, &lock, *tweak, *first).map_err(point_lock_error)?;
        let verified = point_lock::verify(
            &Rules::all(),
            chain_hash,
            &self.recipient_id,
            &payment.request,
            &proof,
        );
        shown["proof"] = hex(proof).into();
        shown["proof_verifies"] = verified.is_ok().into();
        Ok((End::Settled, shown))
    }

    /// What the LSP can put together for `S`: the nonce, if it is its own, with nothing, with the
    /// challenge, and with its own key in place of the recipient's.
    fn lsp_tries(
        &self,
        payment: &Payment,
        lock: &point_lock::Lock,
        message: &[u8; 32],
    ) -> Vec<(&'static str, bool)> {
        let substitute = payment.substitute.as_ref();
        let nonce = substitute.map_or(Scalar::ZERO, |own| lock.nonce_opening(own));
        let own_key = lock.challenge.by(self.lsp.into());
        let opens = |scalar: Scalar| scalar.point() == Some(lock.point);
        // A whole signature, by the only key that the LSP has.
        let own_opening =
            substitute.and_then(|own| point_lock::opening(&self.lsp, own, message).ok());
        vec![
            ("its nonce alone", opens(nonce)),
            (
                "its nonce and the challenge",
                opens(nonce.plus(lock.challenge)),
            ),
            ("its nonce and its own key", opens(nonce.plus(own_key))),
            ("its own signature", own_opening.is_some_and(opens)),
        ]
    }
}

/// `simulation.point_lock.session`: `secret_key` (recipient), `lsp_secret_key`, `chain_hash`,
/// `nonces` [{`r1`, `r2`}] secret, `expiry`, `now`, `payments` [{`index`, `request`, `tweaks`,
/// `amount_msat`, `substitute` {`r1`, `r2`} (nonces that the LSP puts in place of the entry's),
/// `own_header` (the LSP signs a header over them), `payer_checks` (default true)}] → `payments`
/// [{`status`: `settled`, `returned`, `not-sent` or `stolen`, `rule`, `reason`, `route_locks`,
/// `proof`, `proof_verifies`, `lsp_tries`}], `received_msat`, `returned_msat`, `stolen_msat`.
pub(crate) fn session(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let nonces = each(p, "nonces", nonce_pair)?;
    let (secret, lsp) = (
        secret_key(p, "secret_key")?,
        secret_key(p, "lsp_secret_key")?,
    );
    let (expiry, now) = (p.u64("expiry")?, p.u64("now")?);
    let lsp_id = keys::public(&lsp).serialize();
    let world = World {
        rules,
        recipient_id: keys::public(&secret),
        pool: Pool::new(&secret, lsp_id, expiry, &nonces),
        recipient: Recipient {
            secret,
            chain_hash: p.array("chain_hash")?,
            nonces: &nonces,
            expiry,
            window: window(p)?,
        },
        lsp,
        lsp_id,
        now,
    };
    let mut marks = Memory::default();
    let (mut received, mut returned, mut stolen) = (0u64, 0u64, 0u64);
    let payments = each(p, "payments", |p| {
        let payment = payment(p)?;
        let (end, mut shown) = world.pay(&payment, &mut marks)?;
        let amount = payment.amount_msat;
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
    Ok(ResultObject::new()
        .with("payments", payments)
        .with("received_msat", received.to_string())
        .with("returned_msat", returned.to_string())
        .with("stolen_msat", stolen.to_string())
        .done())
}

fn attempts(attempts: &[Attempt]) -> Value {
    attempts
        .iter()
        .map(|a| json!({"how": a.how, "is_key": a.is_key, "forgery_verifies": a.forgery_verifies}))
        .collect()
}

/// `simulation.point_lock.additive`: `scheme` (`additive`: `S = P + H(nonce, time, amount)*G`, or
/// `point-lock`), `secret_key` (recipient), `chain_hash`, `nonces` {`r1`, `r2`} (for `point-lock`),
/// `paid` and `claimed` (requests: the one that was paid, and one that never was) → `lock`,
/// `opening` (what the recipient revealed), `attempts` of the payer, `key_recovered`,
/// `recovered_key` (where it was), `forgery_verifies`.
pub(crate) fn additive(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = secret_key(p, "secret_key")?;
    let key = keys::public(&secret);
    let (paid, claimed) = (p.hex("paid")?, p.hex("claimed")?);
    for request in [&paid, &claimed] {
        point_lock::terms(rules, request).map_err(refused)?;
    }
    let (lock, opening, tried) = match p.str("scheme")? {
        "additive" => {
            let opening = attacks::additive_opening(&secret, &paid);
            let lock = attacks::additive_lock(&key, &paid)
                .ok_or(PointLockError::NoPoint("lock"))
                .map_err(point_lock_error)?;
            (
                lock,
                opening,
                attacks::on_additive(&key, &paid, opening, &claimed),
            )
        }
        "point-lock" => {
            let chain_hash = p.array("chain_hash")?;
            let nonces = nonce_pair(Params::new(p.need("nonces")?))?;
            let m = message_of(rules, &chain_hash, &key, &paid)?;
            let other = message_of(rules, &chain_hash, &key, &claimed)?;
            let lock = point_lock::lock(&key, &nonces.points(), &m).map_err(point_lock_error)?;
            let opening = point_lock::opening(&secret, &nonces, &m).map_err(point_lock_error)?;
            let (was, is) = (
                Paid {
                    message: &m,
                    request: &paid,
                },
                Paid {
                    message: &other,
                    request: &claimed,
                },
            );
            let tried = attacks::on_point_lock(&key, &nonces.points(), was, opening, is)
                .map_err(point_lock_error)?;
            (lock.point, opening, tried)
        }
        scheme => {
            return Err(OpError::invalid(format!(
                "param scheme is {scheme}, not additive or point-lock"
            )));
        }
    };
    let found = tried.iter().find(|attempt| attempt.is_key);
    Ok(ResultObject::new()
        .with("lock", hex(lock.serialize()))
        .with("opening", hex(opening.to_bytes()))
        .with("attempts", attempts(&tried))
        .with("key_recovered", found.is_some())
        .maybe("recovered_key", found.map(|a| hex(a.key.to_bytes())))
        .with(
            "forgery_verifies",
            tried.iter().any(|attempt| attempt.forgery_verifies),
        )
        .done())
}

/// `simulation.point_lock.nonce_reuse`: `secret_key` of a recipient that keeps no marks, `reveals`
/// [{`message`, `r1`, and `r2` for a pair}] (secret nonces) → `reveals` [{`points`, `signature`}]
/// as an attacker sees them, `equations`, `unknowns`, `key_recovered`, `recovered_key` (where it
/// was).
pub(crate) fn nonce_reuse(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = secret_key(p, "secret_key")?;
    let reveals = each(p, "reveals", |p| {
        let nonce = match p.get("r2") {
            Some(_) => Nonce::Pair(nonce_pair(p)?),
            None => Nonce::Single(secret_key(p, "r1")?),
        };
        attacks::reveal(&secret, &nonce, &p.array("message")?).map_err(point_lock_error)
    })?;
    let recovery = attacks::recover(&keys::public(&secret), &reveals).map_err(point_lock_error)?;
    let shown: Value = reveals
        .iter()
        .map(|reveal| json!({"points": hexes(&reveal.points), "signature": hex(reveal.signature)}))
        .collect();
    Ok(ResultObject::new()
        .with("reveals", shown)
        .with("equations", recovery.equations)
        .with("unknowns", recovery.unknowns)
        .with("key_recovered", recovery.key.is_some())
        .maybe(
            "recovered_key",
            recovery.key.map(|key| hex(key.secret_bytes())),
        )
        .done())
}
