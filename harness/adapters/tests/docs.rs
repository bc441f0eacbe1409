//! The page about adapters names every operation and every rule.

mod common;

use lnconform_adapters::{Limits, check, operations};

#[test]
fn the_page_names_every_operation_and_every_rule() {
    let page = std::fs::read_to_string(common::repository("docs/adapter.md")).unwrap();
    let names = operations::CODEC.iter().chain(operations::NODE).copied();
    let missing: Vec<_> = names
        .chain(check::rule_ids())
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/adapter.md does not name {missing:?}"
    );
}

#[test]
fn the_page_states_the_limits_that_hold() {
    let page = std::fs::read_to_string(common::repository("docs/adapter.md")).unwrap();
    let limits = Limits::default();
    for row in [
        format!("| a line | {} MiB |", limits.line >> 20),
        format!("| `hello` | {} s from", limits.hello.as_secs()),
        format!("| a codec operation | {} s |", limits.codec.as_secs()),
        format!(
            "| `shutdown` to the end of the process | {} s |",
            limits.shutdown.as_secs()
        ),
        format!("| answers that nobody asked for | {}, ", limits.unasked),
        format!("protocol | {}; then", limits.restarts),
    ] {
        assert!(page.contains(&row), "docs/adapter.md does not say {row:?}");
    }
}
