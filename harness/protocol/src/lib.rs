//! The adapter protocol: messages, framing, JSON Schema.
//!
//! An adapter is a child process. It reads one JSON object a line on its standard input
//! and answers one JSON object a line on its standard output, each with the request's id.
//! `docs/adapter.md` explains the protocol to somebody who writes an adapter; this crate is
//! what both ends of the project's own implementation share.

pub mod concurrent;
pub mod events;
pub mod framing;
pub mod message;
pub mod outcome;
pub mod params;
pub mod schema;
pub mod serve;

pub use message::{
    Answer, ErrorKind, Hello, HelloParams, Implementation, OpError, Request, Response, Unsupported,
};
pub use serve::{Handler, serve};

/// The protocol version of this crate.
pub const PROTOCOL: u32 = 1;

/// Longest line, in bytes and without its newline, that either side accepts.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// Request ids are drawn below this bound, so that every JSON library holds them exactly.
pub const MAX_ID: u64 = 1 << 53;
