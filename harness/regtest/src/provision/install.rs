//! Building a program into the cache.
//!
//! ```text
//! CACHE/NAME/VERSION/{bin/PROGRAM, manifest.json}    complete, or not there; versions side by side
//! CACHE/NAME/VERSION/{venv/, FILES, manifest.json}   the same, for a Python program
//! CACHE/NAME/VERSION/{PROGRAM, jars/, native/, manifest.json}   the same, for one on the JVM
//! CACHE/tmp/NAME-VERSION/                            the build; taken up again after an interruption
//! CACHE/tmp/NAME-VERSION.lock                        held while one process builds
//! ```
//!
//! Each step leaves a mark when it is done, and a build folder belongs to one recipe: if the
//! recipe has changed, the folder is thrown away.

use super::ProvisionError;
use super::venv::{Venv, pip_hash};
use super::{
    Build, Entry, Found, Lookup, Manifest, Provisioner, Source, cargo, go, maven, path_with,
    program_version, sha256_file, split,
};
use crate::process;
use crate::sys;
use fs4::FileExt;
use semver::Version;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Changed when the code below changes what comes out.
const RECIPE: &str = "1";

/// How long a lock of apt is waited for.
const APT: Duration = Duration::from_secs(120);

/// The oldest Python that the source package's build back end, and our own programs, work with.
pub(super) const PYTHON: (u32, u32) = (3, 9);

/// The versions of Python that will do for an entry: from the first to the second.
fn pythons(build: &Build) -> ((u32, u32), (u32, u32)) {
    match build {
        Build::BitcoinCoreCmake(_)
        | Build::GoModule(_)
        | Build::Maven(_)
        | Build::CargoCrate(_) => (PYTHON, (3, u32::MAX)),
        Build::Venv(build) => ((3, build.oldest_python), (3, build.newest_python)),
    }
}

/// What an installation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Another process installs the same.
    Wait,
    /// System packages.
    Packages,
    /// A Python environment and build tools.
    Tools,
    /// Fetching the source.
    Download,
    /// Checking and unpacking it.
    Unpack,
    /// Configuring.
    Configure,
    /// Compiling.
    Build,
    /// Putting it into the cache.
    Store,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wait => "wait",
            Self::Packages => "packages",
            Self::Tools => "tools",
            Self::Download => "download",
            Self::Unpack => "unpack",
            Self::Configure => "configure",
            Self::Build => "build",
            Self::Store => "store",
        })
    }
}

/// One step of an installation, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The program.
    pub name: String,
    /// What is being done.
    pub phase: Phase,
    /// How far the phase is, where that is known.
    pub percent: Option<u8>,
    /// A line for people.
    pub message: String,
}

impl Provisioner {
    /// Installs `NAME` or `NAME@VERSION` into the cache and returns where it is, and after it those
    /// that follow it, in its version. With a name only, one that is found already (variable, PATH,
    /// cache) is enough; with a version it has to be the one in the cache. System packages are
    /// installed only if `apt` is true.
    ///
    /// Two processes that install the same wait for one another. An interrupted installation is
    /// taken up where it stopped.
    ///
    /// # Errors
    /// [`ProvisionError`]: says whose fault it is and what to type.
    pub fn install(
        &self,
        spec: &str,
        apt: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Found, ProvisionError> {
        let found = self.install_one(spec, apt, progress)?;
        for follower in self.followers(&found) {
            self.install_one(&follower, apt, progress)?;
        }
        Ok(found)
    }

    /// What is installed with a program: each as `NAME@VERSION`, or as `NAME` where the table has
    /// it not in that version.
    pub fn followers(&self, found: &Found) -> Vec<String> {
        let follow = |(name, entry): (&String, &Entry)| {
            let follows = entry.follows.as_deref() == Some(found.name.as_str());
            follows.then(|| match entry.at(&found.version.to_string()) {
                Some(_) => format!("{name}@{}", found.label),
                None => name.clone(),
            })
        };
        self.entries.iter().filter_map(follow).collect()
    }

    fn install_one(
        &self,
        spec: &str,
        apt: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Found, ProvisionError> {
        let (name, _) = split(spec);
        if let Some(program) = super::brought(name) {
            return match self.find_brought(program, spec)? {
                Lookup::Found(found) => Ok(found),
                Lookup::Missing(missing) => Err(ProvisionError::Brought(missing)),
            };
        }
        let (entry, wanted) = self.entry_for(spec)?;
        if wanted.is_none()
            && let Lookup::Found(found) = self.find(name)?
            && (found.from != Source::Cache || self.cached(name, &entry, true).is_ok())
        {
            return Ok(found);
        }
        let cache = self.cache.as_deref().ok_or(ProvisionError::NoCache)?;
        let work = cache.join("tmp").join(format!("{name}-{}", entry.version));
        Installation {
            host: self,
            name,
            entry: &entry,
            cache,
            work,
            apt,
            progress,
        }
        .run()
    }

    /// What stands in the way of an installation, each with what to type.
    pub(super) fn obstacles(&self, entry: &Entry) -> Vec<String> {
        let mut found: Vec<String> = self
            .missing_packages(&entry.build)
            .into_iter()
            .map(|p| {
                format!(
                    "system package {p} is missing: type `{}`",
                    apt_line(std::slice::from_ref(&p))
                )
            })
            .collect();
        let needs_python = match &entry.build {
            Build::BitcoinCoreCmake(build) => Some(build.requirement.as_str()),
            Build::Venv(_) => Some(entry.program.as_str()),
            Build::GoModule(build) => {
                if let Err(error) = self.go(&entry.program, &build.go) {
                    found.push(error.to_string());
                }
                None
            }
            Build::Maven(build) => {
                // One that is not there at all is a missing package, which is told above.
                if self.missing_for_maven().is_empty()
                    && let Err(seen) = self.jdk(build.java)
                {
                    found.push(self.no_jdk(&entry.program, build, seen).to_string());
                }
                None
            }
            Build::CargoCrate(build) => {
                if let Err(seen) = self.cargo(&build.rust) {
                    found.push(self.no_cargo(&entry.program, build, seen).to_string());
                }
                None
            }
        };
        if let Build::Venv(build) = &entry.build
            && !build.archive.is_empty()
            && let Err(error) = self.archive_tools(&entry.program)
        {
            found.push(error.to_string());
        }
        if let Some(what) = needs_python
            && self.program("python3").is_some()
            && let Err(seen) = self.python(pythons(&entry.build))
        {
            found.push(no_python(what, &entry.build, seen).to_string());
        }
        match &self.cache {
            None => found.push(ProvisionError::NoCache.to_string()),
            Some(cache) => {
                if let Err((path, error)) = writable(cache) {
                    let error = ProvisionError::CacheNotWritable {
                        path,
                        error: error.to_string(),
                    };
                    found.push(error.to_string());
                }
            }
        }
        found
    }

    /// The system packages that are missing, as apt calls them.
    fn missing_packages(&self, build: &Build) -> Vec<String> {
        let mut missing = match build {
            Build::BitcoinCoreCmake(build) => self.missing_for(&build.programs, &build.libraries),
            Build::Venv(_) => Vec::new(),
            // Go brings all that it needs.
            Build::GoModule(_) => return Vec::new(),
            Build::Maven(_) => return self.missing_for_maven(),
            Build::CargoCrate(build) => {
                return self.missing_for(&build.programs, &build.libraries);
            }
        };
        match self.python(pythons(build)) {
            // Debian takes these out of Python's standard library.
            Ok(python)
                if self
                    .quiet(&python, &["-c", "import venv, ensurepip"])
                    .is_some_and(|o| o.0) => {}
            Ok(_) => missing.push("python3-venv".into()),
            Err(_) if self.program("python3").is_none() => {
                missing.extend(["python3".to_owned(), "python3-venv".into()]);
            }
            // One that is too old is not helped by the package that it came from.
            Err(_) => {}
        }
        missing
    }

    /// Compilers and libraries that are missing.
    fn missing_for(
        &self,
        programs: &BTreeMap<String, String>,
        libraries: &[String],
    ) -> Vec<String> {
        let mut missing: Vec<String> = programs
            .iter()
            .filter(|(program, _)| self.program(program).is_none())
            .map(|(_, package)| package.clone())
            .collect();
        // Elsewhere than on Debian and its kin, configuring will say what it lacks.
        if let Some(dpkg) = self.program("dpkg-query") {
            missing.extend(
                libraries
                    .iter()
                    .filter(|p| !self.has_package(&dpkg, p))
                    .cloned(),
            );
        }
        missing
    }

    fn has_package(&self, dpkg: &Path, package: &str) -> bool {
        self.quiet(dpkg, &["-W", "-f=${db:Status-Status}\n", package])
            // Several architectures: one line each.
            .is_some_and(|(ok, said)| ok && said.lines().any(|l| l == "installed"))
    }

    /// A Python on PATH between two versions, both included, or what was seen instead.
    fn python(&self, (oldest, newest): ((u32, u32), (u32, u32))) -> Result<PathBuf, String> {
        let mut seen = Vec::new();
        let newer = (9..=20).rev().map(|minor| format!("python3.{minor}"));
        for name in ["python3".to_owned()]
            .into_iter()
            .chain(newer)
            .chain(["python".to_owned()])
        {
            let Some(path) = self.program(&name) else {
                continue;
            };
            let script = "import sys; print(sys.version_info[0], sys.version_info[1])";
            let said = self
                .quiet(&path, &["-c", script])
                .map(|(_, said)| said)
                .unwrap_or_default();
            let mut numbers = said.split_whitespace().map(str::parse::<u32>);
            match (numbers.next(), numbers.next()) {
                (Some(Ok(major)), Some(Ok(minor)))
                    if (oldest..=newest).contains(&(major, minor)) =>
                {
                    return Ok(path);
                }
                (Some(Ok(major)), Some(Ok(minor))) => {
                    seen.push(format!("{name} is {major}.{minor}"))
                }
                _ => seen.push(format!("{name} does not run")),
            }
        }
        Err(if seen.is_empty() {
            "no python3 at all".into()
        } else {
            seen.join(", ")
        })
    }

    /// Runs a program for its answer: whether it succeeded, and what it printed.
    pub(super) fn quiet(&self, program: &Path, args: &[&str]) -> Option<(bool, String)> {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("PATH", &self.path)
            .env("LC_ALL", "C")
            .env(go::LOCAL.0, go::LOCAL.1);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = process::spawn(command, "probe").ok()?;
        // These answers fit into a pipe; a program that hangs is given up.
        let status = child.wait_deadline(Duration::from_secs(20)).ok()??;
        let mut text = Vec::new();
        child.stdout.take()?.read_to_end(&mut text).ok()?;
        Some((
            status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }
}

/// The one line that installs system packages.
pub(super) fn apt_line(packages: &[String]) -> String {
    format!("sudo apt-get install -y {}", packages.join(" "))
}

/// An error of the file system: whose fault it is.
pub(super) fn file_error(name: &str, path: &Path, error: &io::Error) -> ProvisionError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ProvisionError::DiskFull {
            name: name.to_owned(),
            path,
        },
        _ => ProvisionError::CacheNotWritable {
            path,
            error: error.to_string(),
        },
    }
}

fn no_python(name: &str, build: &Build, seen: String) -> ProvisionError {
    let line = apt_line(&["python3".into(), "python3-venv".into()]);
    let upto = match build {
        Build::BitcoinCoreCmake(_)
        | Build::GoModule(_)
        | Build::Maven(_)
        | Build::CargoCrate(_) => "or newer".to_owned(),
        Build::Venv(build) => format!("to 3.{}", build.newest_python),
    };
    ProvisionError::NoPython {
        name: name.to_owned(),
        oldest: pythons(build).0,
        upto,
        seen,
        line,
    }
}

/// Tries to write where the folder is, or would be made; else where it failed, and how.
fn writable(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let existing = folder.ancestors().find(|p| p.exists()).unwrap_or(folder);
    let probe = existing.join(format!(".lnconform-write-{}", std::process::id()));
    let tried = if existing.is_dir() {
        File::create(&probe).and_then(|mut f| f.write_all(b"x"))
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    };
    let _ = std::fs::remove_file(&probe);
    tried.map_err(|error| (existing.to_owned(), error))
}

/// Reads the progress out of a line of output: phase, percent, and a line for people.
pub(super) type Watch<'a> = &'a mut dyn FnMut(&str) -> Option<(Phase, u8, String)>;

/// One installation under way.
pub(super) struct Installation<'a> {
    pub(super) host: &'a Provisioner,
    pub(super) name: &'a str,
    pub(super) entry: &'a Entry,
    cache: &'a Path,
    pub(super) work: PathBuf,
    apt: bool,
    progress: &'a mut dyn FnMut(Progress),
}

impl Installation<'_> {
    fn run(&mut self) -> Result<Found, ProvisionError> {
        let parent = self.cache.join("tmp");
        std::fs::create_dir_all(&parent).map_err(|e| self.io(&parent, &e))?;
        let _lock = self.lock()?;
        if let Ok(Some(found)) = self.host.cached(self.name, self.entry, true) {
            return Ok(found);
        }
        self.packages()?;
        let python = || {
            let found = self.host.python(pythons(&self.entry.build));
            found.map_err(|seen| no_python(self.name, &self.entry.build, seen))
        };
        match &self.entry.build {
            Build::BitcoinCoreCmake(build) => {
                let python = python()?;
                self.open_work()?;
                let venv = self.tools(build, &python)?;
                let archive = self.download(build, &venv)?;
                self.unpack(build, &venv, &archive)?;
                let program = self.build(build, &venv)?;
                self.store(&program)
            }
            Build::Venv(build) => {
                let python = python()?;
                self.open_work()?;
                self.unpack_archive(build)?;
                let venv = self.packages_of(build, &python)?;
                self.store_venv(build, &venv)
            }
            Build::GoModule(build) => {
                let go = self.host.go(self.name, &build.go)?;
                self.open_work()?;
                let program = self.go_program(build, &go)?;
                self.store(&program)
            }
            Build::Maven(build) => {
                let jdk = self.host.jdk(build.java);
                let jdk = jdk.map_err(|seen| self.host.no_jdk(self.name, build, seen))?;
                self.open_work()?;
                self.java_program(build, &jdk)
            }
            Build::CargoCrate(build) => {
                let cargo = self.host.cargo(&build.rust);
                let cargo = cargo.map_err(|seen| self.host.no_cargo(self.name, build, seen))?;
                self.open_work()?;
                let program = self.cargo_program(build, &cargo)?;
                self.store(&program)
            }
        }
    }

    pub(super) fn say(&mut self, phase: Phase, percent: Option<u8>, message: impl Into<String>) {
        let (name, message) = (self.name.to_owned(), message.into());
        (self.progress)(Progress {
            name,
            phase,
            percent,
            message,
        });
    }

    pub(super) fn io(&self, path: &Path, error: &io::Error) -> ProvisionError {
        file_error(self.name, path, error)
    }

    /// Waits until no other process installs the same.
    fn lock(&mut self) -> Result<File, ProvisionError> {
        let mut path = self.work.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| self.io(&path, &e))?;
        let mut told = false;
        while FileExt::try_lock(&file).is_err() {
            if !told {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let who = if holder.is_empty() {
                    String::new()
                } else {
                    format!(" (process {holder})")
                };
                let minutes = self.entry.minutes;
                self.say(
                    Phase::Wait,
                    None,
                    format!("another lnconform{who} installs it now; waiting, usually {minutes} minutes at most"),
                );
                told = true;
            }
            if crate::reaper::stopping() {
                return Err(ProvisionError::Interrupted {
                    name: self.name.to_owned(),
                });
            }
            thread::sleep(Duration::from_millis(100));
        }
        // For the message of others only.
        let _ = file.set_len(0);
        let _ = file.rewind();
        let _ = write!(file, "{}", std::process::id());
        Ok(file)
    }

    /// The build folder, with what an interrupted build of the same recipe left there.
    fn open_work(&mut self) -> Result<(), ProvisionError> {
        let mark = self.work.join("recipe");
        let recipe = recipe_hash(self.entry);
        let same = std::fs::read_to_string(&mark).is_ok_and(|r| r == recipe);
        let fresh = || {
            if !same && self.work.exists() {
                std::fs::remove_dir_all(&self.work)?;
            }
            std::fs::create_dir_all(self.work.join("tmp"))?;
            std::fs::write(&mark, &recipe)
        };
        fresh().map_err(|e| self.io(&self.work, &e))
    }

    fn packages(&mut self) -> Result<(), ProvisionError> {
        let missing = self.host.missing_packages(&self.entry.build);
        if missing.is_empty() {
            return Ok(());
        }
        let line = apt_line(&missing);
        let refuse = |why: &str| ProvisionError::Packages {
            name: self.name.to_owned(),
            missing: missing.clone(),
            line: line.clone(),
            why: why.to_owned(),
        };
        if !self.apt {
            return Err(refuse(
                ", or run with --install as root or with passwordless sudo",
            ));
        }
        let Some(apt) = self.host.program("apt-get") else {
            return Err(ProvisionError::Packages {
                line: format!(
                    "your system's command for packages like {}",
                    missing.join(" ")
                ),
                name: self.name.to_owned(),
                why: " (this system has no apt-get)".into(),
                missing,
            });
        };
        let mut prefix: Vec<OsString> = Vec::new();
        if !is_root() {
            let sudo = self.host.program("sudo").filter(|sudo| {
                // -n: never ask for a password, which nobody could type here.
                self.host.quiet(sudo, &["-n", "true"]).is_some_and(|o| o.0)
            });
            match sudo {
                Some(sudo) => prefix.extend([sudo.into_os_string(), "-n".into()]),
                None => {
                    return Err(refuse(
                        " (this user is not root and sudo asks for a password)",
                    ));
                }
            }
        }
        prefix.push(apt.into_os_string());
        self.say(
            Phase::Packages,
            None,
            format!("installing {}", missing.join(", ")),
        );
        self.run_apt(&prefix, &missing, &line)
    }

    /// One apt at a time among our own, and patience with somebody else's.
    fn run_apt(
        &mut self,
        prefix: &[OsString],
        missing: &[String],
        line: &str,
    ) -> Result<(), ProvisionError> {
        let path = sys::shared_tmp().join("lnconform-apt.lock");
        // Another user's file may be closed to us; then apt's own lock has to do.
        let lock = OpenOptions::new().create(true).append(true).open(path).ok();
        while let Some(file) = &lock
            && FileExt::try_lock(file).is_err()
        {
            if crate::reaper::stopping() {
                return Err(ProvisionError::Interrupted {
                    name: self.name.to_owned(),
                });
            }
            thread::sleep(Duration::from_millis(100));
        }
        let install: Vec<&str> = ["install", "-y", "--no-install-recommends"]
            .into_iter()
            .chain(missing.iter().map(String::as_str))
            .collect();
        // Package lists may be old, or, in a fresh image, not there at all.
        let (ok, _) = self.apt_once(prefix, &install)?;
        if ok {
            return Ok(());
        }
        self.say(Phase::Packages, None, "updating the package lists");
        self.apt_once(prefix, &["update"])?;
        let (ok, said) = self.apt_once(prefix, &install)?;
        if ok {
            return Ok(());
        }
        Err(ProvisionError::Apt {
            name: self.name.to_owned(),
            line: line.to_owned(),
            said: last_lines(&said, 3),
        })
    }

    fn apt_once(
        &mut self,
        prefix: &[OsString],
        args: &[&str],
    ) -> Result<(bool, String), ProvisionError> {
        let deadline = Instant::now() + APT;
        loop {
            let mut command = Command::new(&prefix[0]);
            command
                .args(&prefix[1..])
                .args(["-o", &format!("DPkg::Lock::Timeout={}", APT.as_secs())])
                .args(args)
                .env("DEBIAN_FRONTEND", "noninteractive");
            let (ok, said) = self.capture(command, "apt-get", None, &mut |_| None)?;
            // The option above covers installing, not the lock on the lists.
            let locked = said.contains("Could not get lock") || said.contains("Unable to lock");
            if ok || !locked || Instant::now() >= deadline {
                return Ok((ok, said));
            }
            self.say(
                Phase::Packages,
                None,
                "another apt is at work; waiting for it",
            );
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// Runs a command, every line of its output into the log, and returns whether it succeeded and
    /// the end of its output. `percent` reads the progress out of a line.
    pub(super) fn capture(
        &mut self,
        mut command: Command,
        label: &str,
        log: Option<&Path>,
        percent: Watch<'_>,
    ) -> Result<(bool, String), ProvisionError> {
        if command.get_envs().all(|(k, _)| k != "PATH") {
            command.env("PATH", &self.host.path);
        }
        command.env("LC_ALL", "C").stdin(Stdio::null());
        let mut log = match log {
            Some(path) => Some(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|e| self.io(path, &e))?,
            ),
            None => None,
        };
        // One pipe for both, so that errors stay beside what they belong to.
        let (reader, writer) = io::pipe().map_err(|e| self.io(&self.work, &e))?;
        let copy = writer.try_clone().map_err(|e| self.io(&self.work, &e))?;
        command.stdout(writer).stderr(copy);
        let shown = format!("{command:?}");
        let mut child = match process::spawn(command, label) {
            Ok(child) => child,
            Err(_) if crate::reaper::stopping() => {
                return Err(ProvisionError::Interrupted {
                    name: self.name.to_owned(),
                });
            }
            Err(error) => return Ok((false, format!("{label} cannot be run: {error}"))),
        };
        if let Some(log) = &mut log {
            let _ = writeln!(log, "$ {shown}");
        }
        let mut tail: Vec<String> = Vec::new();
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if let Some(log) = &mut log {
                // A full disk shows in what the command itself says.
                let _ = writeln!(log, "{line}");
            }
            if let Some((phase, percent, message)) = percent(&line) {
                self.say(phase, Some(percent), message);
            }
            tail.push(line);
            if tail.len() > 60 {
                tail.remove(0);
            }
        }
        let status = child.wait().map_err(|e| self.io(&self.work, &e))?;
        if !status.success() && crate::reaper::stopping() {
            return Err(ProvisionError::Interrupted {
                name: self.name.to_owned(),
            });
        }
        Ok((status.success(), tail.join("\n")))
    }

    /// Runs a step that has to succeed.
    pub(super) fn step(
        &mut self,
        step: &str,
        mut command: Command,
        percent: Watch<'_>,
    ) -> Result<(), ProvisionError> {
        // Nothing is left outside the cache, by a step that is killed either.
        command
            .env("TMPDIR", self.work.join("tmp"))
            .env("CCACHE_DISABLE", "1");
        let log = self.work.join("build.log");
        let (ok, said) = self.capture(command, step, Some(&log), percent)?;
        if ok {
            Ok(())
        } else {
            Err(self.blame(step, &said, log))
        }
    }

    /// Whose fault a failed step is, from what it said.
    pub(super) fn blame(&self, step: &str, said: &str, log: PathBuf) -> ProvisionError {
        let name = self.name.to_owned();
        let has = |words: &[&str]| words.iter().any(|w| said.contains(w));
        if let Some(found) = pip_hash(said) {
            let (file, expected) = match &self.entry.build {
                Build::GoModule(build) => (build.module.clone(), build.sum.clone()),
                // No pip is run for it.
                Build::Maven(build) => (build.main.clone(), String::new()),
                Build::CargoCrate(build) => (build.package.clone(), build.sha256.clone()),
                Build::BitcoinCoreCmake(build) => (build.file.clone(), build.sha256.clone()),
                Build::Venv(build) => {
                    let all = || build.packages.iter().chain(&build.sources);
                    let hashes = all().map(|(_, hashes)| hashes.len()).sum::<usize>();
                    let names: Vec<_> = all().map(|(name, _)| name.clone()).collect();
                    (names.join(", "), format!("one of the {hashes} there"))
                }
            };
            return ProvisionError::Checksum {
                name,
                file,
                expected,
                found,
            };
        }
        // Python's venv, for one, keeps to itself what went wrong.
        let full = sys::free_bytes(&self.work).is_some_and(|free| free < 4 << 20);
        if full
            || has(&[
                "No space left on device",
                "no space left on device",
                "Errno 28",
                "Disk quota exceeded",
            ])
        {
            return ProvisionError::DiskFull {
                name,
                path: self.work.clone(),
            };
        }
        if has(&[
            "Read-only file system",
            "Permission denied",
            "Errno 13",
            "Errno 30",
        ]) {
            let (path, error) = (self.work.clone(), last_lines(said, 1));
            return ProvisionError::CacheNotWritable { path, error };
        }
        // pip lists what it found, and chose none of it.
        if step.starts_with("pip")
            && (has(&["is not a supported wheel"])
                || (said.contains("(from versions: ") && !said.contains("(from versions: none)")))
        {
            let what = step.strip_prefix("pip install ").unwrap_or(step).to_owned();
            return ProvisionError::NoWheel { name, what };
        }
        if step.starts_with("pip")
            && has(&[
                "NewConnectionError",
                "Temporary failure in name resolution",
                "Name or service not known",
                "Network is unreachable",
                "Connection refused",
                "Connection reset",
                "timed out",
                "Max retries exceeded",
                "ProxyError",
                "Cannot connect to proxy",
                "SSLError",
                "Could not find a version",
                "No matching distribution",
            ])
        {
            let what = step.strip_prefix("pip ").unwrap_or(step).to_owned();
            return ProvisionError::NoNetwork {
                name,
                what,
                said: last_lines(said, 1),
            };
        }
        if matches!(self.entry.build, Build::GoModule(_)) && has(go::NO_NETWORK) {
            return ProvisionError::NoProxy {
                name,
                what: step.to_owned(),
                said: last_lines(said, 1),
            };
        }
        if matches!(self.entry.build, Build::Maven(_)) && has(maven::NO_NETWORK) {
            return ProvisionError::NoMaven {
                name,
                said: said
                    .lines()
                    .find(|line| maven::NO_NETWORK.iter().any(|w| line.contains(w)))
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            };
        }
        if matches!(self.entry.build, Build::CargoCrate(_)) && has(cargo::NO_NETWORK) {
            return ProvisionError::NoCrates {
                name,
                what: step.to_owned(),
                said: last_lines(said, 1),
            };
        }
        let said = if has(&[
            "signal: killed",
            "Killed signal terminated",
            "signal 9",
            "cc1plus: out of memory",
        ]) {
            "the compiler was killed, most likely because memory ran out: close other programs and try again".into()
        } else {
            last_lines(said, 4)
        };
        ProvisionError::Step {
            name,
            step: step.to_owned(),
            said,
            log,
        }
    }

    /// A command at low priority, so that the checks that run meanwhile do not suffer.
    pub(super) fn nice(&self, program: &str, venv: &Venv) -> Command {
        let path = path_with(&venv.bin(), &self.host.path);
        let program = self
            .host
            .program(program)
            .unwrap_or_else(|| venv.bin().join(program));
        let mut command = self.low_priority(&program);
        command.env("PATH", path);
        command
    }

    /// The same for a program whose path is known.
    pub(super) fn low_priority(&self, program: &Path) -> Command {
        match self.host.program("nice") {
            Some(nice) => {
                let mut command = Command::new(nice);
                command.args(["-n", "10"]).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    /// Into the cache, complete or not at all; then the build folder goes.
    fn store(&mut self, program: &Path) -> Result<Found, ProvisionError> {
        self.say(Phase::Store, None, "putting it into the cache");
        let version = program_version(self.name, &self.entry.build, program)?;
        self.built(&version)?;
        let entry = self.entry;
        let folder = self.put(|part| {
            std::fs::create_dir_all(part.join("bin"))?;
            let target = part.join("bin").join(&entry.program);
            std::fs::copy(program, &target)?;
            Ok((target, None))
        })?;
        let path = folder.join("bin").join(&entry.program);
        Ok(Found {
            name: self.name.to_owned(),
            path,
            label: entry.label(&version),
            version,
            from: Source::Cache,
            interpreter: None,
        })
    }

    /// What was built has to be the version that was wanted.
    pub(super) fn built(&self, version: &Version) -> Result<(), ProvisionError> {
        if *version == self.entry.version {
            return Ok(());
        }
        Err(ProvisionError::Step {
            name: self.host.spec(self.name, self.entry),
            step: "the check of what was built".into(),
            said: format!(
                "it says that it is {version} and should be {}",
                self.entry.version
            ),
            log: self.work.join("build.log"),
        })
    }

    /// Puts into the cache, complete or not at all, what `fill` lays into the folder that it is
    /// given; it answers the program, and the Python that the program leans on. Then the build
    /// folder goes.
    pub(super) fn put(
        &self,
        fill: impl FnOnce(&Path) -> io::Result<(PathBuf, Option<PathBuf>)>,
    ) -> Result<PathBuf, ProvisionError> {
        let version = &self.entry.version;
        let folder = self.cache.join(self.name).join(version.to_string());
        let put = || -> io::Result<()> {
            // Beside its place, on the same file system, so that the rename is one step.
            let part = self.cache.join(self.name).join(format!(".{version}.part"));
            if part.exists() {
                std::fs::remove_dir_all(&part)?;
            }
            let (target, python) = fill(&part)?;
            let manifest = Manifest {
                sha256: sha256_file(&target)?,
                size: std::fs::metadata(&target)?.len(),
                recipe: recipe_hash(self.entry),
                python,
            };
            std::fs::write(
                part.join(Manifest::FILE),
                serde_json::to_vec_pretty(&manifest)?,
            )?;
            // A manifest that survives a power cut while the program does not would vouch for it.
            File::open(&target)?.sync_all()?;
            if folder.exists() {
                std::fs::remove_dir_all(&folder)?;
            }
            std::fs::rename(&part, &folder)
        };
        put().map_err(|e| self.io(&folder, &e))?;
        // Only room is lost if this fails.
        let _ = std::fs::remove_dir_all(&self.work);
        Ok(folder)
    }
}

/// A hash of all that decides what comes out.
pub(super) fn recipe_hash(entry: &Entry) -> String {
    let build = serde_json::to_string(&entry.build).unwrap_or_default();
    hex::encode(Sha256::digest(format!(
        "{RECIPE}\n{}\n{build}",
        entry.version
    )))
}

/// The last lines that say something, joined for a message.
pub(super) fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let said = all[all.len().saturating_sub(lines)..].join(" | ");
    if said.is_empty() {
        "it said nothing".into()
    } else {
        said
    }
}

fn is_root() -> bool {
    #[cfg(unix)]
    {
        rustix::process::geteuid().is_root()
    }
    #[cfg(not(unix))]
    {
        false
    }
}
