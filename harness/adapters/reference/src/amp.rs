//! The operations `amp.*`: what LND does (`specs/drafts/amp-reusable-invoice.md`) and, with param
//! `dialect`, the two forms before it.
//!
//! Secrets that come as params are test data; copies that the caller's JSON holds are not wiped.

use crate::Outcome;
use crate::operations::{hexes, refused};
use lnconform_drafts::amp::{self, Child, DIALECTS, Dialect, OwnPaymentData, Part, Record};
use lnconform_drafts::rules::Rules;
use lnconform_protocol::params::{Params, ResultObject, hex};
use lnconform_protocol::{OpError, Unsupported};
use serde_json::Value;

/// The names of the forms, for `hello`.
pub(crate) fn dialects() -> Vec<String> {
    DIALECTS.iter().map(|d| d.name.to_owned()).collect()
}

/// Says that a form is not there, where `params` of an operation `amp.*` name one that is not.
pub(crate) fn unsupported(op: &str, params: &Value) -> Option<Unsupported> {
    if !op.starts_with("amp.") {
        return None;
    }
    let name = params.get("dialect")?.as_str()?;
    Dialect::named(name).is_none().then(|| Unsupported {
        reason: format!("the reference has no dialect {name}"),
        issue: None,
    })
}

/// Param `dialect`; LND's where it is left out.
fn dialect(p: Params<'_>) -> Result<&'static Dialect, OpError> {
    let named = |p: Params<'_>, name: &str| {
        let name = p.str(name)?;
        Dialect::named(name).ok_or_else(|| OpError::invalid(format!("no dialect {name}")))
    };
    Ok(p.maybe("dialect", named)?.unwrap_or(&amp::LND))
}

/// `amp.child`: `root`, `share` (not needed in the form of pull request 658), `index`, `dialect` →
/// `preimage`, `payment_hash`.
pub(crate) fn child(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let dialect = dialect(p)?;
    let root = p.array("root")?;
    let share = match dialect.share_in_preimage {
        true => p.array("share")?,
        false => p.maybe("share", Params::array)?.unwrap_or([0; 32]),
    };
    let child = Child::derive(rules, dialect, &root, &share, p.u32("index")?).map_err(refused)?;
    Ok(ResultObject::new()
        .with("preimage", hex(child.preimage.as_slice()))
        .with("payment_hash", hex(child.payment_hash))
        .done())
}

/// `amp.reconstruct`: `children` [{`share`, `index`, `payment_hash`}], `dialect` → `root`,
/// `preimages` in the order of the children.
pub(crate) fn reconstruct(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let parts = p
        .list("children")?
        .iter()
        .map(|child| {
            let child = Params::new(child);
            Ok(Part {
                share: child.array::<32>("share")?.into(),
                index: child.u32("index")?,
                payment_hash: child.array("payment_hash")?,
            })
        })
        .collect::<Result<Vec<_>, OpError>>()?;
    if parts.is_empty() {
        return Err(OpError::invalid(
            "param children is empty, and a set has one HTLC at least",
        ));
    }
    let set = amp::reconstruct(rules, dialect(p)?, &parts).map_err(refused)?;
    Ok(ResultObject::new()
        .with("root", hex(set.root.as_slice()))
        .with("preimages", hexes(set.preimages.iter().map(|p| &**p)))
        .done())
}

/// `amp.record.decode`: `record` (the value, without type and length), `type` (under which it came;
/// not looked at where it is left out), `dialect` → `root_share`, `set_id`, `index`, and in the form
/// of pull request 658 `payment_id` and `total_msat`.
pub(crate) fn record_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (bytes, dialect) = (p.hex("record")?, dialect(p)?);
    if let Some(kind) = p.maybe("type", Params::u64)? {
        dialect
            .check_type(rules, kind, bytes.len())
            .map_err(refused)?;
    }
    let record = Record::decode(rules, dialect, &bytes).map_err(refused)?;
    let own = record.own_payment_data;
    Ok(ResultObject::new()
        .with("root_share", hex(record.root_share.as_slice()))
        .with("set_id", hex(record.set_id))
        .with("index", record.index)
        .maybe("payment_id", own.map(|own| hex(own.payment_id)))
        .maybe("total_msat", own.map(|own| own.total_msat.to_string()))
        .done())
}

/// `amp.record.encode`: `root_share`, `set_id`, `index`, `dialect`, and in the form of pull request
/// 658 `payment_id` (zeros where it is left out) and `total_msat` → `record`.
pub(crate) fn record_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let dialect = dialect(p)?;
    let own_payment_data = match dialect.own_payment_data {
        false => None,
        true => Some(OwnPaymentData {
            payment_id: p.maybe("payment_id", Params::array)?.unwrap_or([0; 32]),
            total_msat: p.u64("total_msat")?,
        }),
    };
    let record = Record {
        root_share: p.array::<32>("root_share")?.into(),
        set_id: p.array("set_id")?,
        index: p.u32("index")?,
        own_payment_data,
    };
    let bytes = record.encode(rules, dialect).map_err(refused)?;
    Ok(ResultObject::new()
        .with("record", hex(bytes.as_slice()))
        .done())
}
