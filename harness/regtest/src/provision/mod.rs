//! Finding what is not built into this program, and installing it.
//!
//! A program is looked for in its environment variable, on PATH, in the cache, in this order; what
//! is not there can be built into the cache (`$LNCONFORM_CACHE`, else `~/.cache/lnconform`). The
//! version table says what, from which source, with which checksum.

mod install;
mod table;
#[cfg(all(test, unix))]
mod tests;

pub use install::{Phase, Progress, ProvisionError};
pub use table::{Build, CmakeBuild, Entry, VERSIONS, VenvBuild, table};

use crate::process;
use semver::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a program may take to say its version.
const ASK: Duration = Duration::from_secs(10);

/// Where a program was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Its environment variable.
    Env,
    /// A folder of PATH.
    Path,
    /// The cache.
    Cache,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Env => "environment",
            Self::Path => "PATH",
            Self::Cache => "cache",
        })
    }
}

/// A program that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name in the version table.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// The version that it says it has.
    pub version: Version,
    /// Where it was found.
    pub from: Source,
    /// The interpreter that runs it, where it does not run by itself.
    pub interpreter: Option<PathBuf>,
}

impl Found {
    /// What to start: the program, and the arguments that come before any other.
    pub fn command(&self) -> (PathBuf, Vec<OsString>) {
        match &self.interpreter {
            None => (self.path.clone(), Vec::new()),
            Some(python) => (python.clone(), python_args(&self.path)),
        }
    }
}

/// The arguments with which Python runs a file of the cache: without the user's own packages and
/// settings, and without writing compiled files there.
fn python_args(file: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-B", "-E", "-s"].map(OsString::from).into();
    args.push(file.into());
    args
}

/// A program that is not there, or not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name in the version table.
    pub name: String,
    /// The line that installs it.
    pub install_line: String,
    /// What was found and could not be used, each with the reason.
    pub problems: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not installed: `{}` installs it",
            self.name, self.install_line
        )?;
        for problem in &self.problems {
            write!(f, "; {problem}")?;
        }
        Ok(())
    }
}

/// The answer to a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// There it is.
    Found(Found),
    /// It is not.
    Missing(Missing),
}

/// An executable that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// It does not run.
    #[error("{} does not run ({reason}): `{install}` installs one that does", .path.display())]
    Broken {
        /// The executable.
        path: PathBuf,
        /// What happened.
        reason: String,
        /// What to type.
        install: String,
    },
    /// It runs, and is something else.
    #[error("{} is not {name}: asked for its version it said {said:?}; `{install}` installs {name}", .path.display())]
    Other {
        /// The executable.
        path: PathBuf,
        /// What was wanted.
        name: String,
        /// Its first line.
        said: String,
        /// What to type.
        install: String,
    },
    /// The wrong version.
    #[error(
        "{} is {name} {found}, which this harness does not support (supported: {supported}): `{}` installs one that it does",
        .path.display(), install_line(.name)
    )]
    Version {
        /// The executable.
        path: PathBuf,
        /// What it is.
        name: String,
        /// Its version.
        found: String,
        /// The versions that are supported.
        supported: String,
    },
    /// No such entry.
    #[error("the version table has no {name:?}; it has {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
}

/// The line that installs a program.
pub fn install_line(name: &str) -> String {
    format!("lnconform install {name}")
}

/// What `doctor` says about one program.
#[derive(Clone, Debug, Serialize)]
pub struct Doctor {
    /// Its name.
    pub name: String,
    /// Whether it can be used.
    pub found: bool,
    /// Its version, if found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its path, if found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Where it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Source>,
    /// The line that installs it.
    pub install: String,
    /// What is wrong or missing, each with what to type.
    pub problems: Vec<String>,
}

/// The surroundings in which programs are looked for and installed.
#[derive(Clone, Debug)]
pub struct Provisioner {
    entries: BTreeMap<String, Entry>,
    cache: Option<PathBuf>,
    path: OsString,
    vars: BTreeMap<String, OsString>,
}

impl Provisioner {
    /// This process's environment.
    pub fn from_env() -> Self {
        let entries = table().cloned().unwrap_or_default();
        let vars = entries
            .values()
            .filter_map(|e| e.env.clone())
            .filter_map(|name| std::env::var_os(&name).map(|value| (name, value)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self {
            entries,
            cache: cache_dir(),
            path: std::env::var_os("PATH").unwrap_or_default(),
            vars,
        }
    }

    /// Chosen surroundings: the cache's folder, the value of PATH, and environment variables.
    pub fn new(
        cache: impl Into<PathBuf>,
        path: impl Into<OsString>,
        vars: impl IntoIterator<Item = (String, OsString)>,
    ) -> Self {
        Self {
            entries: table().cloned().unwrap_or_default(),
            cache: Some(cache.into()),
            path: path.into(),
            vars: vars.into_iter().collect(),
        }
    }

    /// The cache's folder; none if neither `LNCONFORM_CACHE` nor a home folder is set.
    pub fn cache(&self) -> Option<&Path> {
        self.cache.as_deref()
    }

    fn entry(&self, name: &str) -> Result<&Entry, ProgramError> {
        self.entries.get(name).ok_or_else(|| ProgramError::Unknown {
            name: name.to_owned(),
            known: self.entries.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Looks for a program: environment variable, PATH, cache. What a user names in the variable
    /// is used or refused, never passed over; a wrong version on PATH is passed over and noted.
    ///
    /// # Errors
    /// A name that the table lacks; a program named in the variable that cannot be used.
    pub fn find(&self, name: &str) -> Result<Lookup, ProgramError> {
        let entry = self.entry(name)?;
        if let Some(value) = entry.env.as_ref().and_then(|env| self.vars.get(env)) {
            let path = PathBuf::from(value);
            let version = self.check(name, entry, &path)?;
            return Ok(Lookup::Found(Found {
                name: name.into(),
                path,
                version,
                from: Source::Env,
                interpreter: None,
            }));
        }
        let mut problems = Vec::new();
        let on_path = match &entry.build {
            Build::BitcoinCoreCmake(_) => self.on_path(&entry.program),
            // A program of this repository, of which nobody has another.
            Build::Venv(_) => Vec::new(),
        };
        for path in on_path {
            match self.check(name, entry, &path) {
                Ok(version) => {
                    let name = name.to_owned();
                    return Ok(Lookup::Found(Found {
                        name,
                        path,
                        version,
                        from: Source::Path,
                        interpreter: None,
                    }));
                }
                Err(error) => problems.push(error.to_string()),
            }
        }
        match self.cached(name, entry, false) {
            Ok(Some(found)) => return Ok(Lookup::Found(found)),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        let name = name.to_owned();
        Ok(Lookup::Missing(Missing {
            install_line: install_line(&name),
            name,
            problems,
        }))
    }

    /// The program in the cache, if a complete installation is there. Its checksum is computed only
    /// if asked for, since that takes longer than everything else; its size always tells a file
    /// that was cut.
    fn cached(&self, name: &str, entry: &Entry, thorough: bool) -> Result<Option<Found>, String> {
        let Some(cache) = &self.cache else {
            return Ok(None);
        };
        let folder = cache.join(name).join(entry.version.to_string());
        let Some(manifest) = Manifest::read(&folder) else {
            return Ok(None);
        };
        let anew = |path: &Path, why: &str| {
            format!(
                "{} is not what was installed there ({why}): `{}` installs it anew",
                path.display(),
                install_line(name)
            )
        };
        let (path, interpreter) = match &entry.build {
            Build::BitcoinCoreCmake(_) => {
                let path = folder.join("bin").join(&entry.program);
                let same = std::fs::metadata(&path).is_ok_and(|m| m.len() == manifest.size)
                    && (!thorough || sha256_file(&path).is_ok_and(|d| d == manifest.sha256));
                if !same {
                    return Err(anew(&path, "its size or checksum changed"));
                }
                (path, None)
            }
            Build::Venv(build) => {
                let path = folder.join(&entry.program);
                if manifest.recipe != install::recipe_hash(entry) {
                    return Err(format!(
                        "{} was installed by another lnconform: `{}` installs this one's",
                        path.display(),
                        install_line(name)
                    ));
                }
                for (file, content) in &build.files {
                    let file = folder.join(file);
                    if !std::fs::read(&file).is_ok_and(|bytes| bytes == content.as_bytes()) {
                        return Err(anew(&file, "its content changed"));
                    }
                }
                let venv = install::Venv::in_folder(&folder);
                let python = venv.python();
                // An upgrade of the system replaces the Python that the environment leans on.
                if venv.base().ok() != Some(manifest.python) {
                    return Err(anew(&python, "the Python behind it is gone or another"));
                }
                if thorough {
                    let version = venv_version(name, &python, &path).map_err(|e| e.to_string())?;
                    if version != entry.version {
                        return Err(anew(&path, &format!("it says that it is {version}")));
                    }
                }
                (path, Some(python))
            }
        };
        Ok(Some(Found {
            name: name.to_owned(),
            path,
            version: entry.version.clone(),
            from: Source::Cache,
            interpreter,
        }))
    }

    fn check(&self, name: &str, entry: &Entry, path: &Path) -> Result<Version, ProgramError> {
        let version = program_version(name, path)?;
        if entry.supported.matches(&version) {
            return Ok(version);
        }
        Err(ProgramError::Version {
            path: path.to_owned(),
            name: name.to_owned(),
            found: version.to_string(),
            supported: entry.supported.to_string(),
        })
    }

    /// The executables of that name on PATH, in its order.
    fn on_path(&self, program: &str) -> Vec<PathBuf> {
        std::env::split_paths(&self.path)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(program))
            .filter(|path| executable(path))
            .collect()
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.on_path(name).into_iter().next()
    }

    /// What is here, what is missing, what to type, for every entry of the table.
    pub fn doctor(&self) -> Vec<Doctor> {
        self.entries
            .iter()
            .map(|(name, entry)| self.examine(name, entry))
            .collect()
    }

    fn examine(&self, name: &str, entry: &Entry) -> Doctor {
        let mut doctor = Doctor {
            name: name.to_owned(),
            found: false,
            version: None,
            path: None,
            from: None,
            install: install_line(name),
            problems: Vec::new(),
        };
        match self.find(name) {
            Ok(Lookup::Found(found)) => {
                if found.from == Source::Cache
                    && let Err(problem) = self.cached(name, entry, true)
                {
                    doctor.problems.push(problem);
                    return doctor;
                }
                doctor.found = true;
                doctor.version = Some(found.version.to_string());
                doctor.path = Some(found.path);
                doctor.from = Some(found.from);
            }
            Ok(Lookup::Missing(missing)) => {
                doctor.problems = missing.problems;
                doctor.problems.extend(self.obstacles(entry));
            }
            Err(error) => doctor.problems.push(error.to_string()),
        }
        doctor
    }
}

/// `$LNCONFORM_CACHE`, `$XDG_CACHE_HOME/lnconform`, `~/.cache/lnconform`: the first that is set.
pub fn cache_dir() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    // Absolute, since nodes are started in other folders.
    let absolute = |p: PathBuf| std::path::absolute(&p).unwrap_or(p);
    set("LNCONFORM_CACHE")
        .map(absolute)
        // A relative value is to be ignored (XDG base directory specification).
        .or_else(|| {
            set("XDG_CACHE_HOME")
                .filter(|p| p.is_absolute())
                .map(|p| p.join("lnconform"))
        })
        .or_else(|| set("HOME").map(|p| absolute(p.join(".cache").join("lnconform"))))
}

/// [`Provisioner::find`] in this process's environment.
///
/// # Errors
/// Those of [`Provisioner::find`].
pub fn find(name: &str) -> Result<Lookup, ProgramError> {
    Provisioner::from_env().find(name)
}

/// [`Provisioner::install`] in this process's environment.
///
/// # Errors
/// Those of [`Provisioner::install`].
pub fn install(
    spec: &str,
    apt: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Found, ProvisionError> {
    Provisioner::from_env().install(spec, apt, progress)
}

/// The entries that are installed and required where nothing is named, quick ones first.
pub fn defaults() -> Vec<&'static str> {
    let Ok(table) = table() else {
        return Vec::new();
    };
    let mut entries: Vec<_> = table.iter().filter(|(_, e)| e.default).collect();
    entries.sort_by_key(|(_, e)| e.minutes);
    entries.into_iter().map(|(name, _)| name.as_str()).collect()
}

/// [`Provisioner::doctor`] in this process's environment.
pub fn doctor() -> Vec<Doctor> {
    Provisioner::from_env().doctor()
}

/// Checks that `path` is the program `name` of the table, in a version that is supported.
///
/// # Errors
/// [`ProgramError`], which says what was found, what is supported, and what to type.
pub fn check_program(name: &str, path: &Path) -> Result<Version, ProgramError> {
    let host = Provisioner::from_env();
    host.check(name, host.entry(name)?, path)
}

/// Asks bitcoind for its version.
fn program_version(name: &str, path: &Path) -> Result<Version, ProgramError> {
    let mut command = Command::new(path);
    // Even when only asked for its version, bitcoind reads the user's configuration and writes a
    // settings file beside it, where two at once fail. In a folder that exists, without both, it
    // leaves nothing behind.
    let mut folder = OsString::from("-datadir=");
    folder.push(std::env::temp_dir());
    command
        .arg(folder)
        .args(["-noconf", "-nosettings", "-version"]);
    let said = first_line(name, path, command)?;
    version_in(&said).ok_or_else(|| ProgramError::Other {
        path: path.to_owned(),
        name: name.to_owned(),
        said,
        install: install_line(name),
    })
}

/// Asks a Python program of this repository for its version. It answers only if all its packages
/// can be imported.
fn venv_version(name: &str, python: &Path, file: &Path) -> Result<Version, ProgramError> {
    let mut command = Command::new(python);
    command.args(python_args(file)).arg("--version");
    let said = first_line(name, file, command)?;
    said.strip_prefix(name)
        .and_then(|rest| rest.trim().parse().ok())
        .ok_or_else(|| ProgramError::Other {
            path: file.to_owned(),
            name: name.to_owned(),
            said,
            install: install_line(name),
        })
}

/// The first line that a program prints when it is asked for its version.
fn first_line(name: &str, path: &Path, mut command: Command) -> Result<String, ProgramError> {
    let install = install_line(name);
    let broken = |reason: String| ProgramError::Broken {
        path: path.to_owned(),
        reason,
        install: install.clone(),
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = process::spawn(command, name).map_err(|e| broken(e.to_string()))?;
    let status = match child.wait_deadline(ASK) {
        Ok(Some(status)) => status,
        Ok(None) => {
            return Err(broken(format!(
                "it did not say its version within {} s",
                ASK.as_secs()
            )));
        }
        Err(error) => return Err(broken(error.to_string())),
    };
    let mut text = Vec::new();
    if let Some(out) = &mut child.stdout {
        let _ = out.take(4096).read_to_end(&mut text);
    }
    if !status.success() {
        return Err(broken(format!(
            "asked for its version it ended with {status}"
        )));
    }
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The version in "Bitcoin Core daemon version v31.99.0-unk bitcoind" and the like. What follows
/// the three numbers (a release candidate, a commit) decides nothing here.
fn version_in(line: &str) -> Option<Version> {
    if !line.starts_with("Bitcoin Core") {
        return None;
    }
    let word = line.split(" version v").nth(1)?;
    let end = word
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(word.len());
    let mut numbers = word[..end].trim_end_matches('.').split('.').map(str::parse);
    let mut next = || numbers.next().unwrap_or(Ok(0)).ok();
    Some(Version::new(next()?, next()?, next()?))
}

/// What lies beside an installed program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// SHA-256 of the executable.
    sha256: String,
    /// Its size in bytes.
    size: u64,
    /// Hash of the recipe by which it was built.
    recipe: String,
    /// The Python, with no link left in its path, that the environment was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    python: Option<PathBuf>,
}

impl Manifest {
    const FILE: &str = "manifest.json";

    fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(Self::FILE)).ok()?).ok()
    }
}

fn sha256_file(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}

fn executable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    {
        path.is_file() || path.with_extension("exe").is_file()
    }
}

/// PATH with a folder in front.
fn path_with(first: &Path, path: &OsStr) -> OsString {
    let all = std::iter::once(first.to_owned()).chain(std::env::split_paths(path));
    // Fails only for a folder whose own path holds the separator; then it cannot be on PATH.
    std::env::join_paths(all).unwrap_or_else(|_| path.to_owned())
}
