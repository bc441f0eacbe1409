//! Implementations: the built-in ones as data, and foreign ones from the command line.

use crate::launch::Launch;
use lnconform_regtest::provision::{Lookup, ProgramError, Provisioner, brought};
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
    /// This program, run again with these arguments; after them, for each entry that the
    /// implementation [needs](Builtin::needs), `--ENTRY` and the path of what is installed.
    SelfExec(&'static [&'static str]),
    /// What is installed under this name of the version table.
    Installed(&'static str),
    /// The same, with these arguments.
    InstalledWith(&'static str, &'static [&'static str]),
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

/// The implementation that is no implementation: the harness's own peer.
pub const PROBE: &str = "probe";

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
    Builtin {
        name: "lnd",
        about: "LND, one process a node, and LND's own packages as codec",
        processes: &[codec(&["adapter", "lnd"]), node(&["adapter", "lnd"])],
        language: "Go",
        default: true,
        needs: &["lnd", "lnd-codec"],
    },
    Builtin {
        name: "electrum",
        about: "Electrum, one process a node, and its own modules as codec",
        processes: &[
            Process {
                kind: Kind::Codec,
                start: Start::InstalledWith("electrum", &["--codec"]),
            },
            Process {
                kind: Kind::Node,
                start: Start::InstalledWith("electrum", &["--node"]),
            },
        ],
        language: "Python",
        default: true,
        // Its nodes take their chain from an Electrum server.
        needs: &["electrum", "e-x"],
    },
    Builtin {
        name: "kmp",
        about: "lightning-kmp 1.8 of October 2024, the library of Phoenix",
        processes: &[Process {
            kind: Kind::Codec,
            start: Start::Installed("kmp"),
        }],
        language: "Kotlin",
        default: true,
        needs: &["kmp"],
    },
    Builtin {
        name: "cln",
        about: "Core Lightning, one process a node; you bring lightningd",
        processes: &[node(&["adapter", "cln"])],
        language: "C",
        default: false,
        needs: &["cln"],
    },
    Builtin {
        name: "eclair",
        about: "Eclair, one process a node; you bring eclair-node",
        processes: &[node(&["adapter", "eclair"])],
        language: "Scala",
        default: false,
        needs: &["eclair"],
    },
    Builtin {
        name: PROBE,
        about: "the peer that the harness plays itself, and that may cheat",
        processes: &[node(&["adapter", PROBE])],
        language: "Rust",
        // It is there wherever a scenario names it, and nowhere else.
        default: false,
        needs: &[],
    },
];

impl Builtin {
    /// Where its adapter has met a stand-in only: the mark that goes with every result of it.
    pub fn untested(&self) -> Option<&'static str> {
        brought(self.name).map(|b| b.untested())
    }
}

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
    /// A version that the version table lacks.
    #[error(transparent)]
    NoSuchVersion(ProgramError),
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

    /// The entries of the version table that it needs, as `NAME`, or `NAME@VERSION` where a version
    /// was asked for.
    pub fn needs(&self) -> Vec<String> {
        let needs = self.builtin().map_or(&[][..], |b| b.needs);
        needs.iter().map(|name| self.spec(name)).collect()
    }

    fn spec(&self, name: &str) -> String {
        match &self.version {
            // Of what it needs, some has versions of its own.
            Some(version)
                if name == self.name || Provisioner::table_alone().label(name, version).is_ok() =>
            {
                format!("{name}@{version}")
            }
            Some(_) | None => name.to_owned(),
        }
    }

    /// What it needs of the version table and does not find, with what to type.
    ///
    /// # Errors
    /// [`NotInstalled`] for the first of them. A foreign one needs nothing.
    pub fn installed(&self, host: &Provisioner) -> Result<(), NotInstalled> {
        for spec in self.needs() {
            match host.find(&spec) {
                Ok(Lookup::Found(_)) => {}
                Ok(Lookup::Missing(missing)) => return Err(NotInstalled(missing.to_string())),
                Err(error) => return Err(NotInstalled(error.to_string())),
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
                Start::SelfExec(args) => {
                    let mut args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
                    for name in builtin.needs {
                        if let Ok(Lookup::Found(found)) = host.find(&self.spec(name)) {
                            args.push(format!("--{name}"));
                            args.push(found.path.to_string_lossy().into_owned());
                        }
                    }
                    (this.to_owned(), args)
                }
                Start::Installed(name) => self.of_installed(host, name, &[]),
                Start::InstalledWith(name, args) => self.of_installed(host, name, args),
            },
        };
        Some(Launch {
            args,
            run: run.to_owned(),
            seed,
            ..Launch::new(self.row(), program)
        })
    }

    /// The program of an installed entry and all its arguments; its name alone where it is not there.
    fn of_installed(
        &self,
        host: &Provisioner,
        name: &str,
        more: &[&str],
    ) -> (PathBuf, Vec<String>) {
        match host.find(&self.spec(name)) {
            Ok(Lookup::Found(found)) => {
                let (program, args) = found.command();
                let args = args.iter().map(|a| a.to_string_lossy().into_owned());
                let more = more.iter().map(|a| (*a).to_owned());
                (program, args.chain(more).collect())
            }
            Ok(Lookup::Missing(_)) | Err(_) => (PathBuf::from(name), Vec::new()),
        }
    }

    /// How every process of it is started, with its kind: what `adapter check` goes through. One
    /// that is both kinds in one is there once, as codec. The kind is `None` for a foreign one.
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
            Some(builtin) => {
                let mut all: Vec<(Option<Kind>, Launch)> = Vec::new();
                for process in builtin.processes {
                    if let Some(launch) = self.launch(process.kind, this, host, run, seed)
                        && !all.iter().any(|(_, other)| {
                            (&other.program, &other.args) == (&launch.program, &launch.args)
                        })
                    {
                        all.push((Some(process.kind), launch));
                    }
                }
                all
            }
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
    let mut version = version;
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
    // One that comes from the version table has the versions there, under the names they have there.
    if let (How::Builtin(builtin), Some(wanted)) = (&how, &version)
        && builtin.needs.contains(&name)
    {
        let label = Provisioner::table_alone().label(name, wanted);
        version = Some(label.map_err(RegistryError::NoSuchVersion)?);
    }
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
            // LND's node and codec are one process. Two that are not installed are told apart by
            // nothing.
            let one = ["lnd", "electrum"].contains(&b.name);
            assert_eq!(launches.len(), if one { 1 } else { b.processes.len() });
            for (kind, launch) in launches {
                let kind = kind.unwrap();
                assert_eq!(resolved.has(kind), Some(true));
                match b.processes.iter().find(|p| p.kind == kind).unwrap().start {
                    Start::SelfExec(_) => {
                        assert_eq!(launch.program, Path::new(THIS));
                        // Nothing is installed, so there are no paths.
                        assert_eq!(launch.args, ["adapter", b.name]);
                    }
                    Start::Installed(name) | Start::InstalledWith(name, _) => {
                        assert!(b.needs.contains(&name));
                    }
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
    }

    /// A machine with stand-ins for LND and its codec in the cache's place.
    #[cfg(unix)]
    #[test]
    fn the_paths_of_what_is_needed_are_given_to_the_adapter_in_the_version_asked_for() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let lnd = folder.path().join("lnd");
        let script = "#!/bin/sh\necho lnd version 0.20.2-beta commit=x\n";
        std::fs::write(&lnd, script).unwrap();
        std::fs::set_permissions(&lnd, std::fs::Permissions::from_mode(0o755)).unwrap();
        let host = Provisioner::new(folder.path().join("cache"), folder.path(), []);
        let args = |row: &str| {
            let resolved = resolve(row).unwrap();
            let launch = resolved.launch(Kind::Node, Path::new(THIS), &host, "r", 1);
            let launch = launch.unwrap();
            assert_eq!(launch.name, row);
            launch.args
        };
        let with_lnd = ["adapter", "lnd", "--lnd", lnd.to_str().unwrap()];
        assert_eq!(args("lnd"), with_lnd);
        assert_eq!(args("lnd@v0.20.2-beta"), with_lnd);
        assert_eq!(args("lnd@v0.21.2-beta"), ["adapter", "lnd"]);
        let missing = |row: &str| resolve(row).unwrap().installed(&host).unwrap_err();
        insta::assert_snapshot!(missing("lnd@v0.21.2-beta"), @"lnd@v0.21.2-beta is not installed: `lnconform install lnd@v0.21.2-beta` installs it");
        // LND is there, and its codec is not.
        insta::assert_snapshot!(missing("lnd"), @"lnd-codec is not installed: `lnconform install lnd-codec` installs it");
    }

    #[test]
    fn a_version_is_one_of_the_table_whatever_its_first_letter() {
        assert_eq!(
            resolve("lnd@0.20.2-beta").unwrap().row(),
            "lnd@v0.20.2-beta"
        );
        assert_eq!(
            resolve("lnd@v0.20.2-beta").unwrap().needs(),
            ["lnd@v0.20.2-beta", "lnd-codec@v0.20.2-beta"]
        );
        assert_eq!(resolve("lnd").unwrap().needs(), ["lnd", "lnd-codec"]);
        insta::assert_snapshot!(resolve("lnd@v0.1.0-beta").unwrap_err(), @"lnd v0.1.0-beta is not in the version table, which has v0.21.2-beta, v0.21.1-beta, v0.20.2-beta: `lnconform install lnd` installs the first");
        // A command of the user's own has whatever version it likes.
        assert_eq!(resolve("lnd@v0.1.0=./x").unwrap().row(), "lnd@v0.1.0");
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
        insta::assert_snapshot!(resolve("refrence").unwrap_err(), @"there is no built-in implementation `refrence` (did you mean `reference`?); built in: reference, draft-py, ldk-0.2, ldk-0.3, ldk-node, lnd, electrum, kmp, cln, eclair, probe. For an adapter of your own give its command: `refrence=COMMAND`");
        insta::assert_snapshot!(resolve("mynode").unwrap_err(), @"there is no built-in implementation `mynode`; built in: reference, draft-py, ldk-0.2, ldk-0.3, ldk-node, lnd, electrum, kmp, cln, eclair, probe. For an adapter of your own give its command: `mynode=COMMAND`");
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
