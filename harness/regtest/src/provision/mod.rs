//! Finding what is not built into this program, and installing it.
//!
//! A program is looked for in its environment variable, on PATH, in the cache, in this order; what
//! is not there can be built into the cache (`$LNCONFORM_CACHE`, else `~/.cache/lnconform`). The
//! version table says what, from which source, with which checksum.

mod brought;
mod cargo;
mod cmake;
mod debian;
mod error;
mod go;
mod install;
mod maven;
mod table;
#[cfg(all(test, unix))]
mod tests;
mod venv;

pub use brought::{BROUGHT, Brought, UNTESTED, brought};
pub use error::ProvisionError;
pub use install::{Phase, Progress};
pub use table::{
    ArchiveFile, Build, CargoBuild, CmakeBuild, Entry, GoBuild, MavenBuild, SystemLibrary,
    VERSIONS, VenvBuild, WorksWith, parse_version, table,
};

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
    /// The same as its makers write it (`v0.21.2-beta`), for people and for names of rows.
    pub label: String,
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
            Some(java) if self.path.extension().is_some_and(|e| e == "jar") => {
                (java.clone(), maven::java_args(&self.path))
            }
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
    /// Its name in the version table, with `@VERSION` where one was asked for.
    pub name: String,
    /// The line that installs it.
    pub install_line: String,
    /// What was found and could not be used, each with the reason.
    pub problems: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match brought(split(&self.name).0) {
            Some(program) => write!(
                f,
                "{} is not installed by this harness: set {} to bring one",
                self.name, program.bring
            )?,
            None => write!(
                f,
                "{} is not installed: `{}` installs it",
                self.name, self.install_line
            )?,
        }
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
    /// What the user brought cannot be used.
    #[error("{} is no {name} that can be used: {why}; set {bring} to another one", .path.display())]
    Brought {
        /// The program, or where it should be.
        path: PathBuf,
        /// What was wanted.
        name: String,
        /// What is wrong with it.
        why: String,
        /// What to set.
        bring: String,
    },
    /// No such entry.
    #[error("the version table has no {name:?}; it has {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Another version than those of the table.
    #[error("{name} {wanted} is not in the version table, which has {known}: `{}` installs the first", install_line(.name))]
    NoSuchVersion {
        /// The program.
        name: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
}

/// Two programs whose versions do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} {version} does not work with {other} {found}, since {why} (it needs {other} {accepts}): {}",
    .ways.join(", or ")
)]
pub struct Incompatible {
    /// The program.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The other program.
    pub other: String,
    /// Its version.
    pub found: String,
    /// What it should be.
    pub accepts: String,
    /// Why it does not work.
    pub why: String,
    /// What to do, each of them alone.
    pub ways: Vec<String>,
}

/// `NAME` and `VERSION` of `NAME[@VERSION]`.
fn split(spec: &str) -> (&str, Option<&str>) {
    match spec.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (spec, None),
    }
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
    /// It is installed only where it is asked for, and nothing is amiss without it.
    #[serde(skip)]
    pub optional: bool,
    /// Where its adapter was never run against the real thing: the mark that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untested: Option<&'static str>,
}

/// The surroundings in which programs are looked for and installed.
#[derive(Clone, Debug)]
pub struct Provisioner {
    entries: BTreeMap<String, Entry>,
    cache: Option<PathBuf>,
    path: OsString,
    vars: BTreeMap<String, OsString>,
    /// Folders in which a Go toolchain is looked for after PATH.
    go_places: Vec<PathBuf>,
}

impl Provisioner {
    /// This process's environment.
    pub fn from_env() -> Self {
        let entries = table().cloned().unwrap_or_default();
        let vars = entries
            .values()
            .filter_map(|e| e.env.clone())
            .chain([go::GO_ENV.to_owned()])
            .chain(BROUGHT.iter().map(|b| b.env.to_owned()))
            .filter_map(|name| std::env::var_os(&name).map(|value| (name, value)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self {
            entries,
            cache: cache_dir(),
            path: std::env::var_os("PATH").unwrap_or_default(),
            vars,
            go_places: go::PLACES.iter().map(PathBuf::from).collect(),
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
            go_places: Vec::new(),
        }
    }

    /// The version table alone: a machine on which nothing is.
    pub fn table_alone() -> Self {
        Self {
            entries: table().cloned().unwrap_or_default(),
            cache: None,
            path: OsString::new(),
            vars: BTreeMap::new(),
            go_places: Vec::new(),
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

    /// The entry for `NAME[@VERSION]`: that version's, else the default's. One that follows another
    /// program has, by default, the version in which that one is found.
    fn entry_for(&self, spec: &str) -> Result<(Entry, Option<Version>), ProgramError> {
        let (name, wanted) = split(spec);
        let entry = self.entry(name)?;
        if let Some(wanted) = wanted {
            let entry = entry
                .at(wanted)
                .ok_or_else(|| ProgramError::NoSuchVersion {
                    name: name.to_owned(),
                    wanted: wanted.to_owned(),
                    known: entry.labels(),
                })?;
            let version = entry.version.clone();
            return Ok((entry, Some(version)));
        }
        if let Some(leader) = &entry.follows
            && let Ok(Lookup::Found(found)) = self.find(leader)
            && let Some(entry) = entry.at(&found.version.to_string())
        {
            return Ok((entry, None));
        }
        Ok((entry.clone(), None))
    }

    /// `NAME`, or `NAME@VERSION` for another version than the default.
    fn spec(&self, name: &str, entry: &Entry) -> String {
        match self.entries.get(name) {
            Some(usual) if usual.version != entry.version => {
                format!("{name}@{}", entry.label(&entry.version))
            }
            _ => name.to_owned(),
        }
    }

    /// The version of `NAME@VERSION` as its makers write it, or the error that lists those known.
    ///
    /// # Errors
    /// [`ProgramError::Unknown`], [`ProgramError::NoSuchVersion`].
    pub fn label(&self, name: &str, version: &str) -> Result<String, ProgramError> {
        if brought(name).is_some() {
            return Ok(version.to_owned());
        }
        let (entry, _) = self.entry_for(&format!("{name}@{version}"))?;
        Ok(entry.label(&entry.version))
    }

    /// Looks for `NAME` or `NAME@VERSION`: environment variable, PATH, cache. What a user names in
    /// the variable is used or refused, never passed over; a wrong version on PATH is passed over
    /// and noted. Where a version is asked for, only that one will do, and another one in the
    /// variable stands for the name without a version.
    ///
    /// # Errors
    /// A name or version that the table lacks; a program named in the variable that cannot be used.
    pub fn find(&self, spec: &str) -> Result<Lookup, ProgramError> {
        let (name, _) = split(spec);
        if let Some(program) = brought(name) {
            return self.find_brought(program, spec);
        }
        let (entry, wanted) = self.entry_for(spec)?;
        let found = |path: PathBuf, version: Version, from: Source| {
            let label = entry.label(&version);
            Lookup::Found(Found {
                name: name.into(),
                path,
                version,
                label,
                from,
                interpreter: None,
            })
        };
        let fits = |version: &Version| wanted.as_ref().is_none_or(|w| w == version);
        if let Some(value) = entry.env.as_ref().and_then(|env| self.vars.get(env)) {
            let path = PathBuf::from(value);
            let version = self.check(name, &entry, &path)?;
            if fits(&version) {
                return Ok(found(path, version, Source::Env));
            }
        }
        let mut problems = Vec::new();
        // Without a variable it is a program of this repository, of which nobody has another.
        let on_path = match &entry.env {
            Some(_) => self.on_path(&entry.program),
            None => Vec::new(),
        };
        for path in on_path {
            match self.check(name, &entry, &path) {
                Ok(version) if fits(&version) => return Ok(found(path, version, Source::Path)),
                Ok(_) => {}
                Err(error) => problems.push(error.to_string()),
            }
        }
        match self.cached(name, &entry, false) {
            Ok(Some(found)) => return Ok(Lookup::Found(found)),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        let name = match wanted {
            Some(_) => format!("{name}@{}", entry.label(&entry.version)),
            None => name.to_owned(),
        };
        Ok(Lookup::Missing(Missing {
            install_line: install_line(&name),
            name,
            problems,
        }))
    }

    /// Whether a version of a program goes with a version of another one, as far as the table says.
    ///
    /// # Errors
    /// [`Incompatible`], which names both and what to install.
    pub fn compatible(
        &self,
        name: &str,
        version: &Version,
        other: &str,
        found: &Version,
    ) -> Result<(), Box<Incompatible>> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(());
        };
        let accepted = |version: &Version| -> Option<Vec<&WorksWith>> {
            let rows: Vec<_> = entry
                .works_with
                .iter()
                .filter(|r| r.program == other && r.versions.matches(&table::numbers(version)))
                .collect();
            let fits = |r: &&WorksWith| r.accepts.matches(&table::numbers(found));
            // What the table does not know, it does not forbid.
            (!rows.is_empty() && !rows.iter().any(fits)).then_some(rows)
        };
        let Some(rows) = accepted(version) else {
            return Ok(());
        };
        let accepts: Vec<_> = rows.iter().map(|r| r.accepts.to_string()).collect();
        let mut ways = Vec::new();
        if let Some(v) = entry.known().iter().find(|v| accepted(v).is_none()) {
            ways.push(format!(
                "`{}` brings {name} {}, which does",
                install_line(&format!("{name}@{}", entry.label(v))),
                entry.label(v)
            ));
        }
        if let Some(another) = self.entries.get(other) {
            let fits = |v: &&Version| rows.iter().any(|r| r.accepts.matches(&table::numbers(v)));
            if let Some(v) = another.known().iter().find(fits) {
                let spec = format!("{other}@{}", another.label(v));
                ways.push(format!("`{}` brings such a one", install_line(&spec)));
            } else if let Some(env) = &another.env {
                ways.push(format!("name such a {other} in {env}"));
            }
        }
        let why = rows.iter().find_map(|r| r.why.clone());
        Err(Box::new(Incompatible {
            name: name.to_owned(),
            version: entry.label(version),
            other: other.to_owned(),
            found: found.to_string(),
            accepts: accepts.join(" or "),
            why: why.unwrap_or_else(|| "the version table rules the pair out".into()),
            ways,
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
        let line = install_line(&self.spec(name, entry));
        let anew = |path: &Path, why: &str| {
            format!(
                "{} is not what was installed there ({why}): `{line}` installs it anew",
                path.display(),
            )
        };
        let another = |path: &Path| {
            format!(
                "{} was installed by another lnconform: `{line}` installs this one's",
                path.display(),
            )
        };
        let (path, interpreter) = match &entry.build {
            Build::BitcoinCoreCmake(_) | Build::GoModule(_) | Build::CargoCrate(_) => {
                let path = folder.join("bin").join(&entry.program);
                // A program of this repository is the one of this very binary.
                if entry.env.is_none() && manifest.recipe != install::recipe_hash(entry) {
                    return Err(another(&path));
                }
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
                    return Err(another(&path));
                }
                for (file, content) in &build.files {
                    let file = folder.join(file);
                    if !std::fs::read(&file).is_ok_and(|bytes| bytes == content.as_bytes()) {
                        return Err(anew(&file, "its content changed"));
                    }
                }
                if !build.archive.is_empty() && !folder.join(debian::FOLDER).is_dir() {
                    return Err(anew(&folder, "what was unpacked there is gone"));
                }
                let venv = venv::Venv::in_folder(&folder);
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
            Build::Maven(build) => {
                let path = folder.join(&entry.program);
                if manifest.recipe != install::recipe_hash(entry) {
                    return Err(another(&path));
                }
                let whole = |path: &Path, size: Option<u64>, sha256: &str| {
                    std::fs::metadata(path)
                        .is_ok_and(|m| m.is_file() && size.is_none_or(|s| s == m.len()))
                        && (!thorough || sha256_file(path).is_ok_and(|found| found == sha256))
                };
                if !whole(&path, Some(manifest.size), &manifest.sha256) {
                    return Err(anew(&path, "its size or checksum changed"));
                }
                for (library, sha256) in &build.libraries {
                    let file = maven::coordinates(library).map(maven::jar_name);
                    let file = folder.join("jars").join(file.unwrap_or_default());
                    if !whole(&file, None, sha256) {
                        return Err(anew(&file, "it is gone or its checksum changed"));
                    }
                }
                // An upgrade of the system may take the JVM away, or put another into its place.
                let java = manifest.python.unwrap_or_default();
                if !executable(&java) {
                    return Err(anew(&java, "the JVM that runs it is gone"));
                }
                if thorough {
                    let version =
                        maven::jar_version(name, &java, &path).map_err(|e| e.to_string())?;
                    if version != entry.version {
                        return Err(anew(&path, &format!("it says that it is {version}")));
                    }
                }
                (path, Some(java))
            }
        };
        Ok(Some(Found {
            name: name.to_owned(),
            path,
            version: entry.version.clone(),
            label: entry.label(&entry.version),
            from: Source::Cache,
            interpreter,
        }))
    }

    fn check(&self, name: &str, entry: &Entry, path: &Path) -> Result<Version, ProgramError> {
        let version = program_version(name, &entry.build, path)?;
        if entry.supports(&version) {
            return Ok(version);
        }
        Err(ProgramError::Version {
            path: path.to_owned(),
            name: name.to_owned(),
            found: entry.label(&version),
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

    /// What is here, what is missing, what to type: a row for every entry of the table, and one for
    /// each further version of it that is in the cache.
    pub fn doctor(&self) -> Vec<Doctor> {
        let mut rows = Vec::new();
        for (name, usual) in &self.entries {
            let row = self.examine(name);
            let shown = row.version.clone();
            rows.push(row);
            for version in usual.known() {
                let label = usual.label(&version);
                if shown.as_ref() == Some(&label) || version == usual.version {
                    continue;
                }
                let spec = format!("{name}@{label}");
                let there = usual.at(&label).map(|e| self.cached(name, &e, false));
                if let Some(Ok(Some(_)) | Err(_)) = there {
                    rows.push(self.examine(&spec));
                }
            }
        }
        rows.extend(self.doctor_brought());
        rows
    }

    fn examine(&self, spec: &str) -> Doctor {
        let mut doctor = Doctor {
            name: spec.to_owned(),
            found: false,
            version: None,
            path: None,
            from: None,
            install: install_line(spec),
            problems: Vec::new(),
            optional: false,
            untested: None,
        };
        let (name, _) = split(spec);
        let entry = match self.entry_for(spec) {
            Ok((entry, _)) => entry,
            Err(error) => {
                doctor.problems.push(error.to_string());
                return doctor;
            }
        };
        doctor.optional = !entry.default;
        match self.find(spec) {
            Ok(Lookup::Found(found)) => {
                if found.from == Source::Cache
                    && let Err(problem) = self.cached(name, &entry, true)
                {
                    doctor.problems.push(problem);
                    return doctor;
                }
                doctor.found = true;
                doctor.version = Some(found.label);
                doctor.path = Some(found.path);
                doctor.from = Some(found.from);
            }
            Ok(Lookup::Missing(missing)) => {
                doctor.problems = missing.problems;
                match &entry.follows {
                    // One line brings both, and what stands in its way is told there.
                    Some(leader) if !matches!(self.find(leader), Ok(Lookup::Found(_))) => {
                        doctor.install = install_line(leader);
                    }
                    // `install` tells what stands in the way of what nobody need have.
                    _ if doctor.optional => {}
                    _ => doctor.problems.extend(self.obstacles(&entry)),
                }
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

/// Asks a program for its version.
fn program_version(name: &str, build: &Build, path: &Path) -> Result<Version, ProgramError> {
    let (said, version) = match build {
        Build::BitcoinCoreCmake(_) | Build::Venv(_) | Build::Maven(_) => {
            let said = first_line(name, path, ask_bitcoind(path))?;
            let version = version_in(&said);
            (said, version)
        }
        Build::GoModule(_) | Build::CargoCrate(_) => {
            let mut command = Command::new(path);
            command.arg("--version");
            let said = first_line(name, path, command)?;
            let version = match build {
                Build::CargoCrate(_) => cargo::version_in(&said),
                _ => go::version_in(name, &said),
            };
            (said, version)
        }
    };
    version.ok_or_else(|| ProgramError::Other {
        path: path.to_owned(),
        name: name.to_owned(),
        said,
        install: install_line(name),
    })
}

fn ask_bitcoind(path: &Path) -> Command {
    let mut command = Command::new(path);
    // Even when only asked for its version, bitcoind reads the user's configuration and writes a
    // settings file beside it, where two at once fail. In a folder that exists, without both, it
    // leaves nothing behind.
    let mut folder = OsString::from("-datadir=");
    folder.push(std::env::temp_dir());
    command
        .arg(folder)
        .args(["-noconf", "-nosettings", "-version"]);
    command
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
    /// The Python, with no link left in its path, that the environment was made with; for a program
    /// on the JVM, that JVM.
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
