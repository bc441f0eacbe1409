//! Why a command ended without doing what it was asked to, and the exit code that says so.

use lnconform_engine::results::ReadEnd;
use lnconform_engine::run::exit;
use lnconform_report::text::{clean, clean_json};
use lnconform_yaml::Diagnostic;
use std::fmt;
use std::path::Path;

/// A command's failure: one or more lines for standard error, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// One of `exit`.
    pub code: u8,
    /// What to tell the user; whose fault it is and what to do.
    pub lines: Vec<String>,
}

/// What a command answers: its exit code.
pub type Done = Result<u8, Failure>;

impl Failure {
    /// A mistake in the command line or in a file of the user's: exit code 2.
    pub fn usage(what: impl fmt::Display) -> Self {
        Self {
            code: exit::USAGE,
            lines: vec![what.to_string()],
        }
    }

    /// Something is missing here, or the machine did not allow it: exit code 5.
    pub fn environment(what: impl fmt::Display) -> Self {
        Self {
            code: exit::COULD_NOT_RUN,
            lines: vec![what.to_string()],
        }
    }

    /// A fault of ours: exit code 6.
    pub fn harness(what: impl fmt::Display) -> Self {
        let line = format!("a fault of lnconform itself, please report it: {what}");
        Self {
            code: exit::HARNESS,
            lines: vec![line],
        }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::usage(diagnostic)
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        let lines = diagnostics.iter().map(ToString::to_string).collect();
        Self {
            code: exit::USAGE,
            lines,
        }
    }
}

impl From<lnconform_engine::results::ResultsError> for Failure {
    fn from(error: lnconform_engine::results::ResultsError) -> Self {
        Self {
            code: error.exit_code(),
            lines: vec![error.to_string()],
        }
    }
}

impl From<lnconform_engine::snapshot::SnapshotError> for Failure {
    fn from(error: lnconform_engine::snapshot::SnapshotError) -> Self {
        Self::usage(error)
    }
}

/// Writes lines to standard output. What stands in them may come from files and adapters, so it
/// is made safe. A reader that has gone away (`| head`) ends the program quietly.
pub fn print(text: impl fmt::Display) {
    let text = text.to_string();
    let mut lines: Vec<_> = text.lines().map(clean).collect();
    if lines.is_empty() {
        lines.push("".into());
    }
    write(&lines.join("\n"));
}

/// Writes JSON to standard output, as safe and with the same meaning.
pub fn print_json(text: &str) {
    write(&clean_json(text));
}

/// Writes a line to standard error, made safe: what is said beside the output.
pub fn note(text: impl fmt::Display) {
    use std::io::Write;
    let text = text.to_string();
    let lines: Vec<_> = text.lines().map(clean).collect();
    // Nobody listens any more: nothing to do about that.
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}

/// Says on standard error that a result file may not hold all of its run.
pub fn note_of_end(file: &Path, end: &ReadEnd) {
    if end.cut || end.unfinished {
        let file = file.display();
        note(format!(
            "{file}: the run was ended before its end, so there may be more"
        ));
    }
}

fn write(text: &str) {
    use std::io::Write;
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}
