//! Why an installation failed.

use super::install::PYTHON;
use super::{ProgramError, install_line};
use semver::Version;
use std::path::PathBuf;

/// An installation that failed: whose fault, and what to type.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// What was asked for, or what is named by an environment variable.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The user brings it, and has not.
    #[error("{0}")]
    Brought(super::Missing),
    /// No folder for the cache.
    #[error("there is no folder for the cache: set LNCONFORM_CACHE to one you may write to")]
    NoCache,
    /// The cache cannot be written.
    #[error(
        "the cache cannot be written at {} ({error}): make it writable, or set LNCONFORM_CACHE to a folder that is",
        .path.display()
    )]
    CacheNotWritable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// The disk is full.
    #[error(
        "the disk that holds {} is full: free about 0.5 GB there, or set LNCONFORM_CACHE to a folder on another disk, then type `{}`; what is built so far is kept",
        .path.display(), install_line(.name)
    )]
    DiskFull {
        /// The program.
        name: String,
        /// Where.
        path: PathBuf,
    },
    /// System packages are missing and may not, or cannot, be installed from here.
    #[error("{name} needs system packages that are missing ({}): type `{line}`{why}", .missing.join(", "))]
    Packages {
        /// The program.
        name: String,
        /// The packages.
        missing: Vec<String>,
        /// What to type.
        line: String,
        /// Why it was not done here.
        why: String,
    },
    /// apt failed.
    #[error("apt-get failed ({said}): type `{line}` to see why, then `{}`", install_line(.name))]
    Apt {
        /// The program.
        name: String,
        /// What to type.
        line: String,
        /// The end of what it said.
        said: String,
    },
    /// No usable Python.
    #[error(
        "{name} needs Python {}.{} {upto}, and PATH has none ({seen}): type `{line}`, or put such a one on PATH",
        .oldest.0, .oldest.1
    )]
    NoPython {
        /// The program.
        name: String,
        /// The oldest version that will do.
        oldest: (u32, u32),
        /// `or newer`, or up to which version.
        upto: String,
        /// What was seen.
        seen: String,
        /// What to type.
        line: String,
    },
    /// The registry was not reached.
    #[error(
        "the Python package registry could not be reached to {what} ({said}): connect this machine to it, or point pip at a mirror (PIP_INDEX_URL), then type `{}`",
        install_line(.name)
    )]
    NoNetwork {
        /// The program.
        name: String,
        /// What was to be fetched.
        what: String,
        /// The end of what pip said.
        said: String,
    },
    /// No apt, where a package of Debian's archive is needed.
    #[error(
        "{name} comes from Debian's package archive, which is read with {tool}, and this system has none: install it on Debian, Ubuntu or their kin"
    )]
    NoApt {
        /// The program.
        name: String,
        /// The program that is missing.
        tool: String,
    },
    /// Debian's archive was not reached, or no longer has the file.
    #[error(
        "Debian's package archive did not give {file} ({said}): connect this machine to it, or name an archive of Debian that has it in apt's sources, then type `{}`",
        install_line(.name)
    )]
    NoArchive {
        /// The program.
        name: String,
        /// The file.
        file: String,
        /// The end of what apt said.
        said: String,
    },
    /// No usable Go toolchain.
    #[error("{name} needs Go {oldest} or newer, and there is none ({seen}): {line}")]
    NoGo {
        /// The program.
        name: String,
        /// The oldest version that will do.
        oldest: Version,
        /// What was seen.
        seen: String,
        /// What to type.
        line: String,
    },
    /// The Go module proxy was not reached.
    #[error(
        "the Go module proxy could not be reached for {what} ({said}): connect this machine to it, or point Go at a mirror (GOPROXY, and GOSUMDB for its checksum database), then type `{}`",
        install_line(.name)
    )]
    NoProxy {
        /// The program.
        name: String,
        /// The step.
        what: String,
        /// The end of what Go said.
        said: String,
    },
    /// A module with another checksum.
    #[error(
        "{module} is not the module that the version table names ({what} has the checksum {found} instead of {expected}): it was altered on its way, at its source or in Go's module cache; nothing of it was run. `go clean -modcache` empties that cache; then try `{}` again, from another network if it happens twice",
        install_line(.name)
    )]
    Module {
        /// The program.
        name: String,
        /// The module with its version.
        module: String,
        /// Which part of it.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// No usable JDK.
    #[error(
        "{name} needs a JDK of Java {oldest} or newer, and there is none ({seen}): type `{line}`, or name such a one in JAVA_HOME, then type `{}`",
        install_line(.name)
    )]
    NoJava {
        /// The program.
        name: String,
        /// The oldest version that will do.
        oldest: u32,
        /// What was seen.
        seen: String,
        /// What to type.
        line: String,
    },
    /// Maven's registry was not reached.
    #[error(
        "Maven's registry could not be reached ({said}): connect this machine to it, or name a mirror in Maven's settings (~/.m2/settings.xml), then type `{}`",
        install_line(.name)
    )]
    NoMaven {
        /// The program.
        name: String,
        /// The end of what Maven said.
        said: String,
    },
    /// No usable cargo.
    #[error(
        "{name} needs Rust {oldest} or newer, and there is none ({seen}): install it as https://rustup.rs says, or put such a cargo on PATH, then type `{}`",
        install_line(.name)
    )]
    NoCargo {
        /// The program.
        name: String,
        /// The oldest version that will do.
        oldest: Version,
        /// What was seen.
        seen: String,
    },
    /// The Rust registry was not reached.
    #[error(
        "the Rust registry could not be reached for {what} ({said}): connect this machine to it, or name a mirror in cargo's configuration (source replacement), then type `{}`",
        install_line(.name)
    )]
    NoCrates {
        /// The program.
        name: String,
        /// The step.
        what: String,
        /// The end of what cargo said.
        said: String,
    },
    /// A library with another checksum.
    #[error(
        "{file} is not the library that the version table names (SHA-256 {found} instead of {expected}): it was altered on its way or at its source; nothing of it was kept or compiled. Try `{}` again, from another network if it happens twice",
        install_line(.name)
    )]
    Library {
        /// The program.
        name: String,
        /// The file.
        file: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The registry has another file, or something altered it on its way.
    #[error(
        "{file} is not the file that the version table names (SHA-256 {found} instead of {expected}): it was altered on its way or at its source; nothing of it was run or kept. Try `{}` again, from another network if it happens twice",
        install_line(.name)
    )]
    Checksum {
        /// The program.
        name: String,
        /// The file.
        file: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The registry has the package, but not for this machine.
    #[error(
        "{what} is not to be had built for this machine and its Python, and {name} is not compiled here: put another Python from {}.{} on, a usual build for Linux (glibc) or macOS, on PATH; {name} is known to work on x86-64 and aarch64",
        PYTHON.0, PYTHON.1
    )]
    NoWheel {
        /// The program.
        name: String,
        /// What was to be fetched.
        what: String,
    },
    /// A step failed in another way.
    #[error("{name} could not be installed: {step} failed ({said}); the whole log: {}", .log.display())]
    Step {
        /// The program.
        name: String,
        /// The step.
        step: String,
        /// The end of what it said.
        said: String,
        /// The log.
        log: PathBuf,
    },
    /// The harness is being stopped.
    #[error("the installation of {name} was interrupted: `{}` takes it up again", install_line(.name))]
    Interrupted {
        /// The program.
        name: String,
    },
}
