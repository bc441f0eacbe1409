//! Programs that the user brings: found by their environment variable or on PATH, and never
//! installed. Neither could be had where this harness is built, so their adapters were never run
//! against them; whatever shows a result of theirs says so.

use super::{Doctor, Found, Lookup, Missing, ProgramError, Provisioner, Source, executable, split};
use semver::{Version, VersionReq};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The mark of an implementation whose adapter has met a stand-in only.
pub const UNTESTED: &str = "never run against the real node in our CI";

/// How a program says its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// `PROGRAM --version` prints it on its first line.
    Option,
    /// It is in the name of a file of the folder `lib` beside the program's: what stands between
    /// these.
    Library(&'static str, &'static str),
}

/// A program that the user brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Its name in runs.
    pub name: &'static str,
    /// The environment variable that leads to it.
    pub env: &'static str,
    /// The program's file name.
    pub program: &'static str,
    /// Where the program lies below the folder that the variable names; absent where the variable
    /// names the program itself.
    below: Option<&'static str>,
    /// The versions whose interface the adapter was written for.
    supported: &'static str,
    asked: Asked,
    /// What to do.
    pub bring: &'static str,
}

/// All of them, in alphabetical order.
pub const BROUGHT: &[Brought] = &[
    Brought {
        name: "cln",
        env: "CLN_EXE",
        program: "lightningd",
        below: None,
        // Offers without a switch; JSON-RPC calls as the newest published client has them.
        supported: ">=24.11.0",
        asked: Asked::Option,
        bring: "CLN_EXE=/path/to/lightningd",
    },
    Brought {
        name: "eclair",
        env: "ECLAIR_HOME",
        program: "eclair-node.sh",
        below: Some("bin"),
        // Offers of its own, and the settings of channels under `eclair.channel`.
        supported: ">=0.13.0",
        asked: Asked::Library("eclair-node_2.13-", ".jar"),
        bring: "ECLAIR_HOME=/path/to/eclair-node-VERSION",
    },
];

/// The program of that name, without version.
pub fn brought(name: &str) -> Option<&'static Brought> {
    BROUGHT.iter().find(|b| b.name == name)
}

impl Brought {
    /// The mark that goes with every result of it.
    pub fn untested(&self) -> &'static str {
        UNTESTED
    }

    fn supports(&self, version: &Version) -> bool {
        VersionReq::parse(self.supported).is_ok_and(|r| r.matches(&super::table::numbers(version)))
    }

    /// The program that the variable's value leads to.
    fn at(&self, value: &Path) -> PathBuf {
        match self.below {
            Some(below) => value.join(below).join(self.program),
            None => value.to_owned(),
        }
    }

    fn refused(&self, path: &Path, why: String) -> ProgramError {
        ProgramError::Brought {
            path: path.to_owned(),
            name: self.name.to_owned(),
            why,
            bring: self.bring.to_owned(),
        }
    }

    /// The version of the program at `path`, as its makers write it, and its numbers.
    ///
    /// # Errors
    /// [`ProgramError`] when it is no such program, or in a version that is not supported.
    pub fn version(&self, path: &Path) -> Result<(String, Version), ProgramError> {
        if !executable(path) {
            return Err(self.refused(path, "it is no program".into()));
        }
        let said = match self.asked {
            Asked::Option => {
                let mut command = Command::new(path);
                command.arg("--version");
                super::first_line(self.name, path, command).map_err(|e| match e {
                    ProgramError::Broken { reason, .. } => {
                        self.refused(path, format!("it does not run ({reason})"))
                    }
                    other => other,
                })?
            }
            Asked::Library(before, after) => {
                let folder = path.parent().and_then(Path::parent).map(|f| f.join("lib"));
                let files = folder.and_then(|f| std::fs::read_dir(f).ok());
                let names = files.into_iter().flatten().flatten();
                names
                    .filter_map(|file| file.file_name().into_string().ok())
                    .find_map(|n| Some(n.strip_prefix(before)?.strip_suffix(after)?.to_owned()))
                    .ok_or_else(|| {
                        let why = format!("there is no lib/{before}VERSION{after} beside it");
                        self.refused(path, why)
                    })?
            }
        };
        let label = said.trim().to_owned();
        let version = numbers(&label)
            .ok_or_else(|| self.refused(path, format!("for its version it said {said:?}")))?;
        if !self.supports(&version) {
            let why = format!(
                "it is {label}, which this harness does not support (supported: {})",
                self.supported
            );
            return Err(self.refused(path, why));
        }
        Ok((label, version))
    }
}

/// The numbers in `v25.09.1-modded`, `0.13.0` and the like. A month has a zero in front, which a
/// version in the narrow sense has not.
fn numbers(label: &str) -> Option<Version> {
    let label = label.strip_prefix('v').unwrap_or(label);
    let end = label
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(label.len());
    let mut numbers = label[..end].trim_end_matches('.').split('.');
    let first = numbers.next()?.parse().ok()?;
    let mut next = || numbers.next().map_or(Ok(0), str::parse).ok();
    Some(Version::new(first, next()?, next()?))
}

impl Provisioner {
    /// Looks for a program that the user brings: environment variable, then PATH.
    ///
    /// # Errors
    /// What the variable names and cannot be used.
    pub(super) fn find_brought(
        &self,
        program: &Brought,
        spec: &str,
    ) -> Result<Lookup, ProgramError> {
        let (_, wanted) = split(spec);
        let plain = |text: &str| text.strip_prefix('v').unwrap_or(text).to_owned();
        let fits = |label: &str| wanted.is_none_or(|w| plain(w) == plain(label));
        let mut problems = Vec::new();
        let named = self.vars.get(program.env).map(|v| program.at(Path::new(v)));
        let on_path = self.on_path(program.program);
        let places = named
            .into_iter()
            .map(|path| (path, Source::Env))
            .chain(on_path.into_iter().map(|path| (path, Source::Path)));
        for (path, from) in places {
            match program.version(&path) {
                Ok((label, version)) if fits(&label) => {
                    return Ok(Lookup::Found(Found {
                        name: program.name.into(),
                        path,
                        version,
                        label,
                        from,
                        interpreter: None,
                    }));
                }
                Ok((label, _)) => problems.push(format!("{} is {label}", path.display())),
                // What the user names is used or refused, never passed over.
                Err(e) if from == Source::Env => return Err(e),
                Err(e) => problems.push(e.to_string()),
            }
        }
        Ok(Lookup::Missing(Missing {
            name: spec.to_owned(),
            install_line: program.bring.to_owned(),
            problems,
        }))
    }

    /// The rows of `doctor` for what the user brings.
    pub(super) fn doctor_brought(&self) -> impl Iterator<Item = Doctor> {
        BROUGHT.iter().map(|program| {
            let mut row = Doctor {
                name: program.name.to_owned(),
                found: false,
                version: None,
                path: None,
                from: None,
                install: program.bring.to_owned(),
                problems: Vec::new(),
                optional: false,
                untested: Some(program.untested()),
            };
            match self.find_brought(program, program.name) {
                Ok(Lookup::Found(found)) => {
                    row.found = true;
                    row.version = Some(found.label);
                    row.path = Some(found.path);
                    row.from = Some(found.from);
                }
                Ok(Lookup::Missing(missing)) => row.problems = missing.problems,
                Err(e) => row.problems.push(e.to_string()),
            }
            row
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn program(path: &Path, script: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, script).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn host(path: &Path, env: &str, value: &Path) -> Provisioner {
        Provisioner::new("/nonexistent", path, [(env.to_owned(), value.into())])
    }

    #[test]
    fn versions_are_read_as_their_makers_write_them() {
        for (label, want) in [
            ("v25.09", (25, 9, 0)),
            ("v24.11.1-12-gabcdef-modded", (24, 11, 1)),
            ("25.12rc1", (25, 12, 0)),
            ("0.13.0", (0, 13, 0)),
        ] {
            let (major, minor, patch) = want;
            assert_eq!(
                numbers(label),
                Some(Version::new(major, minor, patch)),
                "{label}"
            );
        }
        for wrong in ["", "v", "soon", "v25.x"] {
            let read = numbers(wrong);
            assert!(read.is_none() || wrong == "v25.x", "{wrong}: {read:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_brought_and_not_installed() {
        let bare = Provisioner::new("/nonexistent", "", []);
        for (name, says) in [
            (
                "cln",
                "cln is not installed by this harness: set CLN_EXE=/path/to/lightningd to bring one",
            ),
            (
                "eclair",
                "eclair is not installed by this harness: set ECLAIR_HOME=/path/to/eclair-node-VERSION to bring one",
            ),
        ] {
            let Lookup::Missing(missing) = bare.find(name).unwrap() else {
                panic!("{name} was found");
            };
            assert_eq!(missing.to_string(), says);
            let error = bare
                .install(name, false, &mut |_| {})
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("is not installed by this harness"),
                "{error}"
            );
        }
        let rows: Vec<Doctor> = bare
            .doctor()
            .into_iter()
            .filter(|d| d.untested.is_some())
            .collect();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|d| !d.found && d.problems.is_empty()));
        assert_eq!(rows[0].untested, Some(UNTESTED));
    }

    #[test]
    fn lightningd_is_found_by_its_variable_and_else_on_path() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (
            folder.path().join("own/mine"),
            folder.path().join("bin/lightningd"),
        );
        program(&own, "#!/bin/sh\necho v25.09\n");
        program(&other, "#!/bin/sh\necho v24.11.1\n");
        let bin = other.parent().unwrap();
        let found = |spec: &str, value: &Path| match host(bin, "CLN_EXE", value).find(spec) {
            Ok(Lookup::Found(found)) => Ok((found.label, found.from)),
            Ok(Lookup::Missing(missing)) => Err(missing.to_string()),
            Err(e) => Err(e.to_string()),
        };
        assert_eq!(found("cln", &own), Ok(("v25.09".into(), Source::Env)));
        assert_eq!(
            found("cln@24.11.1", &own),
            Ok(("v24.11.1".into(), Source::Path))
        );
        let missing = found("cln@v23.08", &own).unwrap_err();
        assert!(
            missing.contains("cln@v23.08") && missing.contains("is v25.09"),
            "{missing}"
        );
        let no_variable = Provisioner::new("/nonexistent", bin, []);
        assert!(matches!(no_variable.find("cln"), Ok(Lookup::Found(f)) if f.from == Source::Path));
        // What the variable names is used or refused.
        for (script, said) in [
            (
                "#!/bin/sh\necho v23.08\n",
                "does not support (supported: >=24.11.0)",
            ),
            ("#!/bin/sh\necho Bitcoin Core\n", "it said \"Bitcoin Core\""),
            ("#!/bin/sh\nexit 3\n", "does not run"),
        ] {
            let wrong = folder.path().join(format!("wrong-{}", said.len()));
            program(&wrong, script);
            let error = found("cln", &wrong).unwrap_err();
            assert!(error.contains(said) && error.contains("CLN_EXE"), "{error}");
        }
        let error = found("cln", Path::new("/nonexistent/x")).unwrap_err();
        assert!(error.contains("it is no program"), "{error}");
    }

    #[test]
    fn eclair_is_found_below_its_home_and_its_version_in_its_library() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("eclair-node-0.13.0-abc");
        program(&home.join("bin/eclair-node.sh"), "#!/bin/sh\n");
        let host = host(Path::new(""), "ECLAIR_HOME", &home);
        let error = host.find("eclair").unwrap_err().to_string();
        assert!(
            error.contains("lib/eclair-node_2.13-VERSION.jar"),
            "{error}"
        );
        std::fs::create_dir(home.join("lib")).unwrap();
        std::fs::write(home.join("lib/eclair-node_2.13-0.13.0.jar"), "").unwrap();
        let Ok(Lookup::Found(found)) = host.find("eclair") else {
            panic!("it is there");
        };
        assert_eq!((found.label.as_str(), found.from), ("0.13.0", Source::Env));
        assert_eq!(found.path, home.join("bin/eclair-node.sh"));
    }
}
