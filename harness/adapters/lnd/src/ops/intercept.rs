//! HTLCs that the node is to forward, and that wait for an answer.

use super::Node;
use crate::intercept::{Action, Interceptor, Rules};
use crate::node::Running;
use lnconform_adapter_process::{deadline, lock};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::Params;
use serde_json::json;
use std::sync::Arc;

pub(super) fn intercept(params: Params<'_>, node: Node<'_>) -> Outcome {
    let on = params.bool("on")?;
    let rules = Rules::read(params)?;
    let running = node()?;
    let mut slot = lock(&running.interceptor);
    if !on {
        slot.take();
        return Ok(json!({}));
    }
    match &*slot {
        Some(interceptor) => interceptor.set(rules),
        None => *slot = Some(Arc::new(Interceptor::start(&running, rules)?)),
    }
    Ok(json!({}))
}

fn interceptor(running: &Arc<Running>) -> Result<Arc<Interceptor>, OpError> {
    lock(&running.interceptor)
        .clone()
        .ok_or_else(|| OpError::rejected("nothing is intercepted; htlc.intercept comes first"))
}

pub(super) fn next_htlc(params: Params<'_>, node: Node<'_>) -> Outcome {
    let deadline = deadline(params, 15_000)?;
    Ok(interceptor(&node()?)?.next(deadline)?)
}

pub(super) fn resolve(params: Params<'_>, node: Node<'_>) -> Outcome {
    let handle = params.str("htlc")?;
    let action = Action::read(params)?;
    interceptor(&node()?)?.resolve(handle, &action)?;
    Ok(json!({}))
}
