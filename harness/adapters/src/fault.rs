//! What an adapter process did wrong, as one result.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The implementation, or the adapter in front of it.
    Implementation,
    /// This program.
    Harness,
    /// The machine: something is not installed, or the system refused something.
    Environment,
}

impl Blame {
    /// The name in the result file.
    pub fn as_str(self) -> &'static str {
        match self {
            Blame::Implementation => "implementation",
            Blame::Harness => "harness",
            Blame::Environment => "environment",
        }
    }
}

/// The ways in which an adapter process fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Its program is missing or cannot be executed.
    NotFound,
    /// `hello` was not answered before its deadline.
    NoHello,
    /// `hello` was answered with something that is no `hello` result.
    BadHello,
    /// `hello` was answered with a protocol version that the harness does not speak.
    WrongProtocol,
    /// The process ended while it was needed.
    Died,
    /// The process ended, or closed its output, in the middle of a line.
    DiedMidLine,
    /// The process closed its standard output and lives on.
    ClosedStdout,
    /// A request was not answered before its deadline.
    Hung,
    /// More unasked answers than the limit.
    Flood,
    /// A request was answered a second time.
    AnsweredTwice,
    /// An answer for an id that was never asked.
    NeverAsked,
    /// A line that is no answer.
    Garbage,
    /// A line that is not UTF-8.
    NotUtf8,
    /// A line longer than the limit.
    LineTooLong,
}

impl FaultKind {
    /// The name in reports and in the ledger's `signature.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::NotFound => "not-found",
            FaultKind::NoHello => "no-hello",
            FaultKind::BadHello => "bad-hello",
            FaultKind::WrongProtocol => "wrong-protocol",
            FaultKind::Died => "died",
            FaultKind::DiedMidLine => "died-mid-line",
            FaultKind::ClosedStdout => "closed-stdout",
            FaultKind::Hung => "hung",
            FaultKind::Flood => "flood",
            FaultKind::AnsweredTwice => "answered-twice",
            FaultKind::NeverAsked => "never-asked",
            FaultKind::Garbage => "garbage",
            FaultKind::NotUtf8 => "not-utf8",
            FaultKind::LineTooLong => "line-too-long",
        }
    }

    /// Whose fault a fault of this kind is.
    pub fn blame(self) -> Blame {
        match self {
            FaultKind::NotFound => Blame::Environment,
            _ => Blame::Implementation,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The request that a fault is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// Its id on the wire.
    pub id: u64,
    /// Its operation.
    pub op: Arc<str>,
    /// Its index in the batch, if it was sent in one.
    pub index: Option<usize>,
}

/// What an adapter process did wrong. Every request that it left unanswered fails with a copy.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Which way it failed.
    pub kind: FaultKind,
    /// What the adapter did, in a sentence, with the offending line shortened.
    pub message: String,
    /// The end of what it wrote on standard error, at most 64 KiB.
    pub stderr_tail: String,
    /// Whose fault it is.
    pub blame: Blame,
    /// Whether it happened before `hello` was answered.
    pub before_hello: bool,
    /// The request it is about: the one answered twice, the one whose deadline ran out, else the
    /// oldest that was unanswered. `None` if nothing was outstanding.
    pub request: Option<Culprit>,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            stderr_tail: String::new(),
            blame: kind.blame(),
            before_hello: true,
            request: None,
        }
    }

    /// Whether this is `could-not-run` and not `failed`: the program is missing, or never said
    /// `hello` (exit code 5).
    pub fn could_not_run(&self) -> bool {
        matches!(self.kind, FaultKind::NotFound | FaultKind::NoHello)
    }
}

/// The start of a line for a message: at most 160 characters, without control characters.
pub(crate) fn shorten(line: &[u8]) -> String {
    const SHOWN: usize = 160;
    let piece = &line[..line.len().min(SHOWN * 4)];
    let text = String::from_utf8_lossy(piece);
    let mut shown = String::with_capacity(SHOWN);
    for c in text.chars().take(SHOWN) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.chars().count() > SHOWN || piece.len() < line.len() {
        shown.push_str(&format!("… ({} bytes)", line.len()));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shortened_and_made_printable() {
        assert_eq!(shorten(b"short"), "short");
        assert_eq!(shorten(b"a\x1b[31m\t"), "a\\u{1b}[31m\\t");
        assert_eq!(shorten(b"\xff"), "\u{fffd}");
        let long = shorten(&vec![b'x'; 5000]);
        assert!(long.ends_with("… (5000 bytes)"), "{long}");
        assert!(long.len() < 200);
    }

    #[test]
    fn names_are_those_of_serde() {
        for kind in [
            FaultKind::NotUtf8,
            FaultKind::DiedMidLine,
            FaultKind::NeverAsked,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn only_a_missing_program_is_the_environment_s_fault() {
        assert_eq!(FaultKind::NotFound.blame(), Blame::Environment);
        assert_eq!(FaultKind::NoHello.blame(), Blame::Implementation);
        assert!(Fault::new(FaultKind::NoHello, "").could_not_run());
        assert!(!Fault::new(FaultKind::Died, "").could_not_run());
    }
}
