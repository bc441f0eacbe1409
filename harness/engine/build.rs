//! The binary carries the ledger and the snapshots; a file added there must rebuild it.

fn main() {
    for folder in [
        "tests/expectations",
        "tests/snapshots/observed",
        "tests/snapshots/redactions.yaml",
    ] {
        println!("cargo:rerun-if-changed=../../{folder}");
    }
}
