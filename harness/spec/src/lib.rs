//! Requirement catalogues, sources and pins, upstream vector files, coverage.
//!
//! A *requirement* is one normative statement of one specification. [`Catalogue`] lists them with
//! an id that outlives edits, [`text`] takes a specification's Markdown apart into the statements
//! themselves, [`Sources`] finds the texts below a folder that the user names, [`upstream`] turns
//! the vector files of the specifications into cases without copying them, [`mod@coverage`] counts
//! what a run really checked, and [`drift`] says what became of the statements between two
//! [`revisions`] of a text. [`mod@scaffold`] writes a catalogue to be filled in, and
//! [`sets`] are vectors that do not change any more. [`wire`] says what no peer can break or see.

pub mod catalogue;
pub mod coverage;
pub mod dialects;
pub mod drift;
mod markup;
pub mod misbehaviours;
pub mod proofs;
pub mod revisions;
pub mod scaffold;
pub mod sets;
pub mod sources;
pub mod text;
mod tree;
pub mod upstream;
pub mod wire;

pub use catalogue::{Catalogue, Class, Entry, Keyword, Role};
pub use coverage::{Coverage, Emitted, coverage};
pub use dialects::Dialects;
pub use proofs::Proofs;
pub use sources::{Found, Source, Sources};
pub use text::Statement;
pub use upstream::{UpstreamCase, UpstreamExpect, UpstreamProblem};

use include_dir::{Dir, include_dir};

/// `specs/` as it was when the binary was built.
static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../specs");

/// The folder of upstream's files for tests, from `LNCONFORM_SPECS`; a relative path counts from
/// the root of the workspace, since tests run in their crate's folder.
#[cfg(test)]
fn specs_for_tests() -> Option<std::path::PathBuf> {
    let dir = std::env::var_os("LNCONFORM_SPECS").filter(|dir| !dir.is_empty());
    if dir.is_none() {
        println!("upstream: not run");
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Some(root.join(dir?))
}
