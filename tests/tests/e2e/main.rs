//! The binary, as a user runs it: exit codes, screens, files.
//!
//! One program, so that what waits for a deadline waits beside the rest. What needs live nodes is
//! in `live.rs` and `kill.rs`.

mod action;
mod adapters;
mod audit;
mod authors;
mod bad_input;
mod commands;
mod coverage;
mod docs;
mod drift;
mod escaping;
mod exit_codes;
mod export;
mod faulty;
mod features;
mod fuzz;
mod merge;
mod proofs;
mod release;
mod reports;
mod revisions;
mod scaffold;
mod selection;
mod sets;
mod snapshots;
mod upstream;
mod wire;

use lnconform_tests::{Place, script};

/// Compares a screen with the one that is kept in `tests/snapshots/screens`.
macro_rules! screen {
    ($name:literal, $text:expr) => {
        insta::with_settings!({
            snapshot_path => "../../snapshots/screens",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!($name, $text);
        })
    };
}
pub(crate) use screen;

/// A vector that the reference passes.
const READ: &str = "\
description: 253 is read from its three bytes.
covers: [bolt01/bigsize/form]
operation: bigsize.decode
input: {bytes: \"fd00fd\"}
expect: {value: \"253\", rest: \"\"}
";

/// Its negative: one byte less in the same three bytes.
const REFUSED: &str = "\
description: 252 in three bytes is refused.
covers: [bolt01/bigsize/minimal]
operation: bigsize.decode
input: {bytes: \"fd00fc\"}
expect: {error: {rule: bolt01/bigsize/minimal}}
";

/// A place with two vectors in `v`: `mine/read` and `mine/refused`.
fn place() -> Place {
    let place = Place::new();
    place
        .write("v/mine/read.yaml", READ)
        .write("v/mine/refused.yaml", REFUSED);
    place
}

/// The command line of a run of these two on an adapter, with `more` behind it.
fn running<'a>(who: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["run", "mine/*", "--vectors", "v", "--adapter", who];
    [&args[..], more].concat()
}

/// The adapter for BigSize numbers of `tests/adapters`, as `NAME=COMMAND`.
fn bigsize(name: &str, mode: &str) -> String {
    format!("{name}={}", script("tests/adapters/bigsize.py", mode))
}

/// Several screens one after the other.
fn screens(all: &[lnconform_tests::Ran]) -> String {
    all.iter()
        .map(lnconform_tests::Ran::screen)
        .collect::<Vec<_>>()
        .join("\n")
}
