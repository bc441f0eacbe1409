//! Implementations: the built-in ones as data, and foreign ones from the command line.

use crate::launch::Launch;
use lnconform_regtest::provision::{Lookup, Provisioner, install_line};
use std::path::{Path, PathBuf};

/// What an adapter process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Answers codec operations; needs no node and no bitcoind.
    Codec,
    /// Drives one live node.
    Node,
}

/// How a process of a built-in implementation is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// This program, run again with these arguments.
    SelfExec(&'static [&'static str]),
    /// What is installed under this name of the version table.
    Installed(&'static str),
}

/// One process of an implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// What it does.
    pub kind: Kind,
    /// How it is started.
    pub start: Start,
}

/// A built-in implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// Its name in runs, ledgers and snapshots.
    pub name: &'static str,
    /// What it is, for lists.
    pub about: &'static str,
    /// Its processes, at most one of a kind.
    pub processes: &'static [Process],
    /// Programming language.
    pub language: &'static str,
    /// Whether a run that names no adapters has it.
    pub default: bool,
    /// Entries of the version table that have to be installed before it runs, without those of
    /// the chain that every node needs.
    pub needs: &'static [&'static str],
}

const fn codec(args: &'static [&'static str]) -> Process {
    Process {
        kind: Kind::Codec,
        start: Start::SelfExec(args),
    }
}

const fn node(args: &'static [&'static str]) -> Process {
    Process {
        kind: Kind::Node,
        start: Start::SelfExec(args),
    }
}

/// The built-in implementations, in the order in which they are shown.
pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "reference",
        about: "the drafts as pure functions, in this repository",
        processes: &[codec(&["adapter", "reference"])],
        language: "Rust",
        default: true,
        needs: &[],
    },
    Builtin {
        name: "draft-py",
        about: "our own drafts, written a second time from their text",
        processes: &[Process {
            kind: Kind::Codec,
            start: Start::Installed("draft-py"),
        }],
        language: "Python",
        default: true,
        needs: &["draft-py"],
    },
    Builtin {
        name: "ldk-0.2",
        about: "rust-lightning 0.2",
        processes: &[codec(&["adapter", "ldk-0.2"])],
        language: "Rust",
        default: true,
        needs: &[],
    },
    Builtin {
        name: "ldk-0.3",
        about: "rust-lightning 0.3, release candidate",
        processes: &[codec(&["adapter", "ldk-0.3"])],
        language: "Rust",
        default: true,
        needs: &[],
    },
    Builtin {
        name: "ldk-node",
        about: "ldk-node 0.7, one process a node",
        processes: &[node(&["adapter", "ldk-node"])],
        language: "Rust",
        default: true,
        needs: &[],
    },
];

/// The built-in implementation of that name, without version.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|b| b.name == name)
}

/// Why an argument names no implementation; the user's mistake, exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Not built in, and no command was given.
    #[error("there is no built-in implementation `{name}`{}; built in: {}. For an adapter of your own give its command: `{name}=COMMAND`", suggestion(.near.as_deref()), names())]
    Unknown {
        /// What was given.
        name: String,
        /// The built-in name that was probably meant.
        near: Option<String>,
    },
    /// The name could not be shown or stored.
    #[error(
        "`{0}` is no name for an implementation; use lower-case letters, digits, `-`, `.` and `_`"
    )]
    Name(String),
    /// `NAME@` without a version.
    #[error("`{0}` has an empty version; write `{name}@VERSION` or `{name}`", name = .0.trim_end_matches('@'))]
    Version(String),
    /// The command has no words.
    #[error("the command of `{0}` is empty; write `{0}=COMMAND`")]
    Empty(String),
    /// The command's quotes do not match.
    #[error("the command `{0}` cannot be split into words: a quote or a backslash is left open")]
    Quotes(String),
}

/// Why a built-in implementation cannot be started here, and what to type; exit code 5 where it was
/// asked for by name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotInstalled(String);

fn suggestion(near: Option<&str>) -> String {
    near.map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"))
}

fn names() -> String {
    BUILTINS
        .iter()
        .map(|b| b.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The built-in name that is nearest to a mistyped one.
pub fn nearest(name: &str) -> Option<&'static str> {
    BUILTINS
        .iter()
        .map(|b| (strsim::damerau_levenshtein(b.name, name), b.name))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

/// How the processes of an implementation are started.
#[derive(Clone, Debug, PartialEq, Eq)]
enum How {
    Builtin(&'static Builtin),
    Command { program: PathBuf, args: Vec<String> },
}

/// An implementation that an argument named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its name, without version.
    pub name: String,
    /// The version that was asked for.
    pub version: Option<String>,
    how: How,
}

impl Resolved {
    /// `name` or `name@version`: the name of its row in results.
    pub fn row(&self) -> String {
        match &self.version {
            Some(version) => format!("{}@{version}", self.name),
            None => self.name.clone(),
        }
    }

    /// The built-in entry, unless a command was given.
    pub fn builtin(&self) -> Option<&'static Builtin> {
        match self.how {
            How::Builtin(builtin) => Some(builtin),
            How::Command { .. } => None,
        }
    }

    /// Whether it has a process of that kind. `None` for a foreign one: its `hello` says so
    /// (an adapter that lists `node.start` drives a node).
    pub fn has(&self, kind: Kind) -> Option<bool> {
        self.builtin()
            .map(|b| b.processes.iter().any(|p| p.kind == kind))
    }

    /// What it needs of the version table and does not find, with what to type.
    ///
    /// # Errors
    /// [`NotInstalled`] for the first of them. A foreign one needs nothing.
    pub fn installed(&self, host: &Provisioner) -> Result<(), NotInstalled> {
        for name in self.builtin().map_or(&[][..], |b| b.needs) {
            let found = match host.find(name) {
                Ok(Lookup::Found(found)) => found,
                Ok(Lookup::Missing(missing)) => return Err(NotInstalled(missing.to_string())),
                Err(error) => return Err(NotInstalled(error.to_string())),
            };
            // The version of an implementation that is one program is that program's.
            if let Some(wanted) = &self.version
                && *name == self.name
                && *wanted != found.version.to_string()
            {
                return Err(NotInstalled(format!(
                    "{} is not to be had here: `{}` installs {}",
                    self.row(),
                    install_line(name),
                    found.version
                )));
            }
        }
        Ok(())
    }

    /// How its process of that kind is started; `None` when a built-in one has none. A foreign
    /// adapter is one command for both kinds.
    ///
    /// `this` is the path of this program, `run` the run's id. One that is not
    /// [installed](Self::installed) has a launch that finds no program: it is planned, and shown as
    /// not installed.
    pub fn launch(
        &self,
        kind: Kind,
        this: &Path,
        host: &Provisioner,
        run: &str,
        seed: u64,
    ) -> Option<Launch> {
        let (program, args) = match &self.how {
            How::Command { program, args } => (program.clone(), args.clone()),
            How::Builtin(builtin) => match builtin.processes.iter().find(|p| p.kind == kind)?.start
            {
                Start::SelfExec(args) => (
                    this.to_owned(),
                    args.iter().map(|&a| a.to_owned()).collect(),
                ),
                Start::Installed(name) => match host.find(name) {
                    Ok(Lookup::Found(found)) => {
                        let (program, args) = found.command();
                        let args = args.iter().map(|a| a.to_string_lossy().into_owned());
                        (program, args.collect())
                    }
                    Ok(Lookup::Missing(_)) | Err(_) => (PathBuf::from(name), Vec::new()),
                },
            },
        };
        Some(Launch {
            args,
            run: run.to_owned(),
            seed,
            ..Launch::new(self.row(), program)
        })
    }

    /// How every process of it is started, with its kind: what `adapter check` goes through. The
    /// kind is `None` for a foreign one.
    pub fn launches(
        &self,
        this: &Path,
        host: &Provisioner,
        run: &str,
        seed: u64,
    ) -> Vec<(Option<Kind>, Launch)> {
        match self.builtin() {
            None => self
                .launch(Kind::Codec, this, host, run, seed)
                .map(|l| (None, l))
                .into_iter()
                .collect(),
            Some(builtin) => builtin
                .processes
                .iter()
                .filter_map(|p| Some((Some(p.kind), self.launch(p.kind, this, host, run, seed)?)))
                .collect(),
        }
    }
}

/// Reads the argument of `--adapter`, `--require` and the like: `NAME[@VERSION][=COMMAND]`.
///
/// # Errors
/// [`RegistryError`]: the name is not built in and there is no command, or one of the parts is
/// malformed.
pub fn resolve(arg: &str) -> Result<Resolved, RegistryError> {
    let (row, command) = match arg.split_once('=') {
        Some((row, command)) => (row, Some(command)),
        None => (arg, None),
    };
    let (name, version) = match row.split_once('@') {
        Some((_, "")) => return Err(RegistryError::Version(row.to_owned())),
        Some((name, version)) => (name, Some(version.to_owned())),
        None => (row, None),
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    let starts = name
        .as_bytes()
        .first()
        .is_some_and(u8::is_ascii_alphanumeric);
    let how = match command {
        // Without a command a name is only looked up, and the nearest one is of more use than
        // rules for names.
        None => How::Builtin(builtin(name).ok_or_else(|| RegistryError::Unknown {
            name: name.to_owned(),
            near: nearest(name).map(str::to_owned),
        })?),
        Some(_) if !starts || !name.bytes().all(plain) => {
            return Err(RegistryError::Name(name.to_owned()));
        }
        Some(command) => words(name, command)?,
    };
    Ok(Resolved {
        name: name.to_owned(),
        version,
        how,
    })
}

/// Reads the argument of `adapter check`: a built-in name first, else a command. A command's
/// implementation is called after its program until `hello` says better.
///
/// # Errors
/// [`RegistryError`] when the command is empty or its quotes do not match.
pub fn resolve_check(arg: &str) -> Result<Resolved, RegistryError> {
    if let Ok(resolved) = resolve(arg)
        && resolved.builtin().is_some()
    {
        return Ok(resolved);
    }
    let how = words("adapter", arg)?;
    let name = match &how {
        How::Command { program, .. } => program
            .file_name()
            .map(|n| n.to_string_lossy().into_owned()),
        How::Builtin(builtin) => Some(builtin.name.to_owned()),
    };
    Ok(Resolved {
        name: name.unwrap_or_else(|| arg.to_owned()),
        version: None,
        how,
    })
}

/// Splits a command like shell words; no shell is run.
fn words(name: &str, command: &str) -> Result<How, RegistryError> {
    let words = shlex::split(command).ok_or_else(|| RegistryError::Quotes(command.to_owned()))?;
    let mut words = words.into_iter();
    match words.next() {
        Some(program) if !program.is_empty() => Ok(How::Command {
            program: program.into(),
            args: words.collect(),
        }),
        _ => Err(RegistryError::Empty(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIS: &str = "/bin/lnconform";

    /// A machine on which nothing is installed.
    fn bare() -> Provisioner {
        Provisioner::new("/nonexistent", "", [])
    }

    #[test]
    fn every_builtin_can_be_launched_and_is_named_once() {
        for b in BUILTINS {
            let resolved = resolve(b.name).unwrap();
            let launches = resolved.launches(Path::new(THIS), &bare(), "r", 1);
            assert_eq!(launches.len(), b.processes.len());
            for (kind, launch) in launches {
                let kind = kind.unwrap();
                assert_eq!(resolved.has(kind), Some(true));
                match b.processes.iter().find(|p| p.kind == kind).unwrap().start {
                    Start::SelfExec(_) => {
                        assert_eq!(launch.program, Path::new(THIS));
                        assert_eq!(launch.args, ["adapter", b.name]);
                    }
                    Start::Installed(name) => assert!(b.needs.contains(&name)),
                }
                assert_eq!(b.processes.iter().filter(|p| p.kind == kind).count(), 1);
            }
            assert_eq!(BUILTINS.iter().filter(|o| o.name == b.name).count(), 1);
        }
        assert_eq!(resolve("ldk-node").unwrap().has(Kind::Codec), Some(false));
        assert!(
            resolve("ldk-node")
                .unwrap()
                .launch(Kind::Codec, Path::new(THIS), &bare(), "r", 1)
                .is_none()
        );
    }

    #[test]
    fn what_is_not_installed_says_what_to_type_and_has_a_launch_all_the_same() {
        let resolved = resolve("draft-py").unwrap();
        insta::assert_snapshot!(resolved.installed(&bare()).unwrap_err(), @"draft-py is not installed: `lnconform install draft-py` installs it");
        assert!(
            resolved
                .launch(Kind::Codec, Path::new(THIS), &bare(), "r", 1)
                .is_some()
        );
        for other in ["reference", "mine=./mine"] {
            assert_eq!(resolve(other).unwrap().installed(&bare()), Ok(()));
        }
    }

    #[test]
    fn what_is_installed_is_started_itself_and_has_its_own_version() {
        let host = Provisioner::from_env();
        if let Err(error) = host.install("draft-py", false, &mut |_| {}) {
            panic!("{error}");
        }
        let resolved = resolve("draft-py").unwrap();
        assert_eq!(resolved.installed(&host), Ok(()));
        let launch = resolved
            .launch(Kind::Codec, Path::new(THIS), &host, "r", 1)
            .unwrap();
        assert!(
            launch.program.starts_with(host.cache().unwrap()),
            "{launch:?}"
        );
        assert!(launch.args.iter().any(|a| a.ends_with("adapter.py")));
        let adapter = crate::Adapter::start(launch, crate::Limits::default()).unwrap();
        let version = adapter.hello().implementation.version.clone();
        let row = format!("draft-py@{version}");
        assert_eq!(resolve(&row).unwrap().installed(&host), Ok(()));
        let error = resolve("draft-py@0.0.1").unwrap().installed(&host);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("lnconform install draft-py"), "{error}");
    }

    #[test]
    fn a_version_makes_a_row_of_its_own() {
        let resolved = resolve("ldk-0.2@0.2.1").unwrap();
        assert_eq!(
            (resolved.name.as_str(), resolved.version.as_deref()),
            ("ldk-0.2", Some("0.2.1"))
        );
        assert_eq!(resolved.row(), "ldk-0.2@0.2.1");
        assert_eq!(
            resolve("ldk-0.2@").unwrap_err(),
            RegistryError::Version("ldk-0.2@".into())
        );
    }

    #[test]
    fn a_command_is_split_like_shell_words() {
        let resolved = resolve("mine@2=python3 'my adapter.py' --key=value").unwrap();
        assert_eq!(resolved.row(), "mine@2");
        assert_eq!(resolved.has(Kind::Node), None);
        let launch = resolved
            .launch(Kind::Node, Path::new(THIS), &bare(), "r", 1)
            .unwrap();
        assert_eq!(launch.program, Path::new("python3"));
        assert_eq!(launch.args, ["my adapter.py", "--key=value"]);
        // A built-in name with a command is that command under that name.
        assert!(resolve("reference=./mine").unwrap().builtin().is_none());
    }

    #[test]
    fn mistakes_are_told_apart() {
        assert_eq!(
            resolve("mine=").unwrap_err(),
            RegistryError::Empty("mine".into())
        );
        assert_eq!(
            resolve("mine=''").unwrap_err(),
            RegistryError::Empty("mine".into())
        );
        assert_eq!(
            resolve("mine='x").unwrap_err(),
            RegistryError::Quotes("'x".into())
        );
        for name in ["", "../x", "a b", "-x", "Ä"] {
            assert_eq!(
                resolve(&format!("{name}=x")).unwrap_err(),
                RegistryError::Name(name.into())
            );
        }
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        insta::assert_snapshot!(resolve("refrence").unwrap_err(), @"there is no built-in implementation `refrence` (did you mean `reference`?); built in: reference, draft-py, ldk-0.2, ldk-0.3, ldk-node. For an adapter of your own give its command: `refrence=COMMAND`");
        insta::assert_snapshot!(resolve("mynode").unwrap_err(), @"there is no built-in implementation `mynode`; built in: reference, draft-py, ldk-0.2, ldk-0.3, ldk-node. For an adapter of your own give its command: `mynode=COMMAND`");
        assert_eq!(nearest("LDK-NODE"), None);
        assert_eq!(nearest("ldknode"), Some("ldk-node"));
    }

    #[test]
    fn check_takes_a_name_first_and_a_command_else() {
        assert!(resolve_check("reference").unwrap().builtin().is_some());
        let resolved = resolve_check("python3 ./tests/x.py A=B").unwrap();
        assert_eq!(resolved.name, "python3");
        let (kind, launch) = &resolved.launches(Path::new(THIS), &bare(), "r", 1)[0];
        assert_eq!((*kind, launch.args.len()), (None, 2));
        assert_eq!(
            resolve_check(" ").unwrap_err(),
            RegistryError::Empty("adapter".into())
        );
    }
}
