//! The adapter against the stand-in: every operation once right, and what goes wrong told with whose
//! fault it is.

mod node;
mod operations;
mod payments;
mod told;

use crate::node::Cln;
use crate::standin::{StandIn, hash};
use lnconform_adapter_process::NodeAdapter;
use lnconform_adapter_process::testing::{KEY, OTHER, error, eventually, result, start_params};
use lnconform_protocol::ErrorKind;
use lnconform_protocol::concurrent::ConcurrentHandler;
use serde_json::{Value, json};
use std::time::Duration;

type Adapter = NodeAdapter<Cln>;

fn adapter(stand_in: &StandIn) -> Adapter {
    NodeAdapter::new(Cln::new(&stand_in.program()).unwrap())
}

fn start(stand_in: &StandIn) -> Value {
    let options = json!({"announce": true});
    start_params(&stand_in.data_dir(), 1, "secret", &options)
}

/// An adapter whose node is the stand-in.
fn started(stand_in: &StandIn) -> Adapter {
    let adapter = adapter(stand_in);
    result(&adapter, "node.start", start(stand_in));
    adapter
}
