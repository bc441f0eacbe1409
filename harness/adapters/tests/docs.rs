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

/// What the page has in a table is an operation for the harness too: an adapter of somebody else's that
/// lists it gets the time of its kind, and one of node operations alone is none of the codec lane.
#[test]
fn every_operation_of_the_tables_is_one() {
    let page = std::fs::read_to_string(common::repository("docs/adapter.md")).unwrap();
    let from = |heading: &str| page.split_once(heading).expect(heading).1;
    let codec = from("## Codec operations\n");
    let (codec, node) = codec.split_once("## Node operations\n").unwrap();
    let (node, _) = node.split_once("\n## ").unwrap();
    for (table, known) in [(codec, operations::CODEC), (node, operations::NODE)] {
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let cells = rows.filter_map(|row| row.split(" | ").next());
        // With a dot: the others are params that a row is about.
        let named = cells
            .flat_map(|cell| cell.split('`').step_by(2))
            .filter(|name| name.contains('.'));
        let (listed, unlisted): (Vec<_>, Vec<_>) = named.partition(|name| known.contains(name));
        assert!(
            unlisted.is_empty(),
            "the harness does not list {unlisted:?}"
        );
        assert!(listed.len() > 20, "{listed:?}");
    }
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
