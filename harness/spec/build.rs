//! The catalogues are embedded: build again when one changes.

fn main() {
    println!("cargo:rerun-if-changed=../../specs");
}
