//! How an adapter process is started, and what it is allowed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How one adapter process is started.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Name of the implementation, as the run shows it.
    pub name: String,
    /// The program; looked up in PATH unless it has a slash.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment on top of the allow-list.
    pub env: Vec<(String, String)>,
    /// Id of the run, handed on as `LNCONFORM_RUN`.
    pub run: String,
    /// Working directory; the harness's own if `None`.
    pub cwd: Option<PathBuf>,
    /// File to which standard error is appended as well.
    pub log: Option<PathBuf>,
    /// Seed of the run; request ids are drawn from it.
    pub seed: u64,
}

/// Variables that an adapter inherits, beside `LNCONFORM_*`.
const ALLOWED: &[&str] = &["PATH", "HOME", "TMPDIR", "LANG"];

impl Launch {
    /// A launch of `program` with nothing else set.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            ..Self::default()
        }
    }

    /// The command, with three pipes and the allow-listed environment.
    pub(crate) fn command(&self) -> Command {
        // A relative program with a slash would otherwise depend on the working directory below.
        let program = match (&self.cwd, self.program.components().count()) {
            (Some(_), 2..) => absolute(&self.program),
            _ => self.program.clone(),
        };
        let mut command = Command::new(program);
        command
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear();
        for (name, value) in std::env::vars_os() {
            let inherited = name.to_str().is_some_and(|n| {
                ALLOWED.contains(&n)
                    || n.starts_with("LNCONFORM_")
                    || (cfg!(windows) && n.eq_ignore_ascii_case("SystemRoot"))
            });
            if inherited {
                command.env(name, value);
            }
        }
        command.env("LNCONFORM_RUN", &self.run);
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Limits and deadlines of one adapter process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest line, in bytes without its newline.
    pub line: usize,
    /// From the start of the process to the answer to `hello`.
    pub hello: Duration,
    /// One codec operation.
    pub codec: Duration,
    /// Unasked answers that are not yet a flood.
    pub unasked: usize,
    /// How often a dead or silent adapter is started again.
    pub restarts: u32,
    /// From `shutdown`, or the end of its input, to the end of the process.
    pub shutdown: Duration,
    /// How long after a first unasked answer more of them are counted before it is a fault.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: lnconform_protocol::MAX_LINE,
            hello: Duration::from_secs(10),
            codec: Duration::from_secs(5),
            unasked: 100,
            restarts: 3,
            shutdown: Duration::from_secs(5),
            grace: Duration::from_millis(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_the_allow_list_and_what_was_given() {
        let launch = Launch {
            run: "r1".into(),
            env: vec![("EXTRA".into(), "1".into())],
            ..Launch::new("x", "x")
        };
        let command = launch.command();
        let names: Vec<_> = command.get_envs().filter_map(|(k, _)| k.to_str()).collect();
        assert!(names.contains(&"PATH") && names.contains(&"EXTRA"));
        assert!(names.contains(&"LNCONFORM_RUN"));
        // cargo sets this one for every test.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        assert!(!names.contains(&"CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn a_relative_program_does_not_depend_on_the_working_directory() {
        let launch = Launch {
            cwd: Some("/".into()),
            ..Launch::new("x", "./bin/x")
        };
        assert!(Path::new(launch.command().get_program()).is_absolute());
        let launch = Launch {
            cwd: Some("/".into()),
            ..Launch::new("x", "python3")
        };
        assert_eq!(launch.command().get_program(), "python3");
    }
}
