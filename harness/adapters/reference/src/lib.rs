//! The reference implementation as an adapter: pure functions of the drafts behind the protocol.
//!
//! Every refusal names the rule that refused. `--without RULE`, `--shift RULE=lax` and
//! `--mistake VALUE=NAME` make a mutant: the same process with one named defect. `--mutants` makes a
//! process that can be each of them in turn: it has the operations `mutant.call` and `mutant.trace`
//! as well.

mod amp;
mod amp_tunnel;
mod async_messages;
mod blinded_path;
mod bolt12;
mod dns;
mod fulfillment;
mod keysend_proof;
mod mutant;
mod onion;
mod onion_message;
mod operations;
mod payer_proof;
mod payload;
mod simulation;
mod trampoline;

use lnconform_drafts::Rules;
/// Every rule that the reference refuses by; what `--without` and `--shift` take.
pub use lnconform_drafts::rules::ALL as RULES;
/// Every value that the reference can be made to get wrong; what `--mistake` takes.
pub use lnconform_drafts::rules::VALUES;
use lnconform_drafts::rules::{Shift, SwitchError};
use lnconform_protocol::serve::serve_stdio;
use lnconform_protocol::{Answer, Handler, Hello, Implementation, OpError, PROTOCOL, Unsupported};
use serde_json::Value;
use std::io;

/// The reference, with the rules that it enforces.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    rules: Rules,
    /// It answers `mutant.…`.
    mutants: bool,
}

impl Reference {
    /// The name under which it answers `hello`.
    pub const NAME: &'static str = "reference";

    /// A reference that enforces `rules`.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            mutants: false,
        }
    }

    /// Reads the adapter's arguments: `--without RULE` switches a rule off, `--shift RULE=lax`
    /// and `--shift RULE=strict` move its boundary by one, `--mistake VALUE=NAME` gets a value wrong
    /// in the way of that name. Each may be repeated, and `--without=RULE` is read as well.
    /// `--mutants` adds the operations `mutant.call` and `mutant.trace`.
    ///
    /// # Errors
    /// [`ArgumentError`] for anything else.
    pub fn from_args(args: &[String]) -> Result<Self, ArgumentError> {
        let mut rules = Rules::all();
        let mut mutants = false;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--mutants" {
                mutants = true;
                continue;
            }
            let (option, value) = match arg.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (arg.as_str(), None),
            };
            if !matches!(option, "--without" | "--shift" | "--mistake") {
                return Err(ArgumentError::Unknown(arg.clone()));
            }
            let value = match value {
                Some(value) => value,
                None => args
                    .next()
                    .ok_or_else(|| ArgumentError::NoValue(option.to_owned()))?,
            };
            rules = match (option, value.rsplit_once('=')) {
                ("--without", _) => rules.without(value)?,
                ("--mistake", Some((value, name))) => rules.mistake(value, name)?,
                ("--mistake", None) => return Err(ArgumentError::Mistake(value.to_owned())),
                (_, Some((rule, "lax"))) => rules.shift(rule, Shift::Lax)?,
                (_, Some((rule, "strict"))) => rules.shift(rule, Shift::Strict)?,
                _ => return Err(ArgumentError::Shift(value.to_owned())),
            };
        }
        Ok(Self { rules, mutants })
    }

    /// Answers one operation.
    pub fn answer(&self, op: &str, params: &Value) -> Answer {
        match mutant::find(op) {
            Some(operation) if self.mutants => operation(&self.rules, params),
            _ => answer(&self.rules, op, params),
        }
    }
}

/// Answers one operation by these rules.
fn answer(rules: &Rules, op: &str, params: &Value) -> Answer {
    if let Some(unsupported) = amp::unsupported(op, params) {
        return Answer::Unsupported(unsupported);
    }
    match operations::find(op) {
        Some(operation) => match operation(rules, params) {
            Ok(result) => Answer::Result(result),
            Err(error) => Answer::Error(error),
        },
        None => Answer::Unsupported(Unsupported {
            reason: format!("the reference has no operation {op}"),
            issue: None,
        }),
    }
}

/// An argument that the reference does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// No such option.
    #[error(
        "the reference takes --without RULE, --shift RULE=lax|strict, --mistake VALUE=NAME and \
         --mutants, not {0}"
    )]
    Unknown(String),
    /// The option's value is missing.
    #[error("{0} needs the id of a rule")]
    NoValue(String),
    /// Not a rule and a direction.
    #[error("--shift takes RULE=lax or RULE=strict, not {0}")]
    Shift(String),
    /// Not a value and the name of a mistake.
    #[error("--mistake takes VALUE=NAME, not {0}")]
    Mistake(String),
    /// The rule cannot be switched.
    #[error(transparent)]
    Rule(#[from] SwitchError),
}

/// The version that `hello` answers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Handler for Reference {
    fn hello(&self) -> Hello {
        let switched = mutant::NAMES.iter().filter(|_| self.mutants);
        Hello {
            implementation: Implementation {
                name: Self::NAME.into(),
                version: VERSION.into(),
                language: "Rust".into(),
                source: "harness/drafts".into(),
            },
            protocol: PROTOCOL,
            operations: operations::NAMES
                .iter()
                .map(|(name, _)| *name)
                .chain(switched.map(|(name, _)| *name))
                .map(str::to_owned)
                .collect(),
            dialects: [amp::dialects(), bolt12::dialects(), trampoline::dialects()].concat(),
        }
    }

    fn call(&mut self, op: &str, params: &Value) -> Answer {
        self.answer(op, params)
    }
}

/// Serves the reference on this process's standard input and output.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for arguments that it does not take; else what reading and
/// writing answer when the harness has gone away.
pub fn run(args: &[String]) -> io::Result<()> {
    let mut reference =
        Reference::from_args(args).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    serve_stdio(&mut reference)
}

/// What an operation answers.
type Outcome = Result<Value, OpError>;

#[cfg(test)]
mod tests;
