//! Operations `simulation.*`: constructions that no node can be asked for, computed from end to
//! end in one process. Only the reference lists them.
//!
//! | operation | what |
//! |---|---|
//! | `simulation.point_lock.pool` | a recipient makes a pool of nonce pairs |
//! | `simulation.point_lock.pool.verify` | a payer checks the entry that it was handed |
//! | `simulation.point_lock.lock` | a payer makes the lock of a payment and of its route |
//! | `simulation.point_lock.redeem` | the recipient decides, marks and reveals |
//! | `simulation.point_lock.extract` | a payer makes the proof of what settled its payment |
//! | `simulation.point_lock.verify` | anybody checks a proof |
//! | `simulation.point_lock.session` | one recipient, one LSP, several payments (N5, N6, N7) |
//! | `simulation.point_lock.additive` | one opening of an additive tweak, and of a point lock (N1, N2) |
//! | `simulation.point_lock.nonce_reuse` | reveals with nonces that were used before (N3, N4) |
//! | `simulation.amp_ptlc.lock` | a payer makes the locks of a set |
//! | `simulation.amp_ptlc.redeem` | the recipient decides on a set, marks and reveals |
//! | `simulation.amp_ptlc.extract` | a payer makes the proof of what settled one shard |
//! | `simulation.amp_ptlc.verify` | anybody checks a proof |
//! | `simulation.amp_ptlc.session` | one recipient, one LSP, several sets, and who cheats |
//! | `simulation.amp_ptlc.attempt` | which lock gives a secret that is bound to the attempt |
//! | `simulation.amp_ptlc.designs` | what each party gains by cheating, from AMP to point locks |
//! | `simulation.evidence` | what a payer holds after a payment, and whom it convinces |
//! | `simulation.invoice_stack` | an LSP that hands out what it should not (LS1, LS2) |

pub(crate) mod amp_ptlc;
pub(crate) mod evidence;
pub(crate) mod invoice_stack;
pub(crate) mod point_lock;

use crate::operations::refused;
use lnconform_drafts::point_lock::{NoncePair, PointLockError, Scalar};
use lnconform_protocol::OpError;
use lnconform_protocol::params::Params;
use serde_json::{Value, json};

/// Reads each object of a list and says which one is at fault.
fn each<T>(
    p: Params<'_>,
    name: &str,
    mut read: impl FnMut(Params<'_>) -> Result<T, OpError>,
) -> Result<Vec<T>, OpError> {
    p.list(name)?
        .iter()
        .enumerate()
        .map(|(at, value)| {
            read(Params::new(value)).map_err(|e| OpError {
                message: format!("{name}[{at}]: {}", e.message),
                ..e
            })
        })
        .collect()
}

/// A list of byte strings of one length.
fn arrays<const N: usize>(p: Params<'_>, name: &str) -> Result<Vec<[u8; N]>, OpError> {
    p.list(name)?
        .iter()
        .map(|value| Params::new(&json!({ name: value })).array(name))
        .collect()
}

/// A number below the group order, 32 bytes.
fn scalar(p: Params<'_>, name: &str) -> Result<Scalar, OpError> {
    Scalar::from_bytes(p.array(name)?)
        .ok_or_else(|| OpError::invalid(format!("param {name} is not below the group order")))
}

fn scalars(p: Params<'_>, name: &str) -> Result<Vec<Scalar>, OpError> {
    p.list(name)?
        .iter()
        .map(|value| scalar(Params::new(&json!({ name: value })), name))
        .collect()
}

/// `{r1, r2}`, two secret keys.
fn nonce_pair(p: Params<'_>) -> Result<NoncePair, OpError> {
    Ok(NoncePair {
        r1: crate::operations::secret_key(p, "r1")?,
        r2: crate::operations::secret_key(p, "r2")?,
    })
}

fn point_lock_error(error: PointLockError) -> OpError {
    match error {
        PointLockError::Rule(violation) => refused(violation),
        other @ (PointLockError::NoPoint(_) | PointLockError::NoShards) => {
            OpError::invalid(other.to_string())
        }
    }
}

/// Sentences as a list.
fn sentences(texts: &[&str]) -> Value {
    texts.iter().copied().collect()
}

#[cfg(test)]
mod tests;
