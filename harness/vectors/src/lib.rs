//! Vector files: types, loader, bindings, matchers, mutations, fill.
//!
//! A vector is one YAML file and one case. The loader turns a folder of them (and the cases that
//! `spec` reads from upstream's own files) into [`Case`](case::Case)s; the engine plans and runs
//! those.
//!
//! # The file
//!
//! Both forms: `description` (required), `covers` (required, at least one requirement id), `spec`,
//! `tags`, `needs`, `provenance`, `extends`, `mutate`, `matrix`, `format: 1`. Every other key is an error.
//!
//! - **Codec**: `operation`, `input`, `expect`, and beside `mutate` also
//!   `resign`.
//! - **Scenario**: `topology` (a name in `topologies/`, or a topology), `roles` (a name, a list of
//!   names, or `any`; a role left out is `any`), `steps` (`on`, `do`, `with`, `bind`, `deadline`,
//!   `until`, `expect`, `covers`, `name`).
//!
//! `expect` is explained in [`expect`], patterns in [`matchers`], references in [`bindings`],
//! changes in [`mutate`].
//!
//! # `extends`
//!
//! A child takes over the parent's `spec`, `tags`, `needs` and either `operation` and `input`, or
//! `topology`, `roles` and `steps`. What it states itself replaces the parent's: `input` and
//! `roles` key by key, `steps` as a whole. It inherits `expect` and `provenance` only if it has no
//! `mutate`. `covers`, `description` and `matrix` are never inherited.
//!
//! # `matrix`
//!
//! `matrix: {axis: [values]}` makes one case a value, several axes multiply. Axes: `implementation`
//! (codec), `roles` (mappings of role to implementation), `hops` (channels in a line, for
//! topologies `line-N`), and a dotted path below `input` or `steps.NAME.with`. Ids end in
//! `?axis=value&…`, with the last segment of the path as the axis' name. A value that does not read
//! well in an id (long, or with other characters than letters, digits, `.`, `_`, `+`, `-`) shows
//! as its number from 1; `axis: {label: value}` gives labels instead.

pub mod bindings;
pub mod case;
pub mod digest;
pub mod expect;
pub mod export;
pub mod file;
pub mod fill;
pub mod load;
pub mod matchers;
pub mod mutate;
pub mod schema;

pub use load::{Options, Requirements, Root, Set, Vectors};
