//! Programs of the Rust registry: the crate with its checksum, the build.
//!
//! Nothing is compiled that the version table does not vouch for: the table has the crate's
//! checksum, the crate has a Cargo.lock, and `cargo build --locked` takes no dependency whose
//! checksum is not in there.

use super::ProvisionError;
use super::install::{Installation, Phase};
use super::{CargoBuild, Provisioner, sha256_file};
use semver::Version;
use std::path::{Path, PathBuf};

/// What cargo says when the network is in the way.
pub(super) const NO_NETWORK: &[&str] = &[
    "failed to download",
    "Could not resolve host",
    "Couldn't connect to server",
    "Could not connect to server",
    "spurious network error",
    "Operation timed out",
    "download of config.json failed",
    "SSL connect error",
    "Failed to connect to",
];

/// The version in `cargo 1.95.0 (f2d3ce0bd 2026-03-21)`.
fn cargo_version(said: &str) -> Option<Version> {
    let word = said.strip_prefix("cargo ")?.split_whitespace().next()?;
    word.split('-').next()?.parse().ok()
}

/// The version in `v0.10.10`: electrs says no name.
pub(super) fn version_in(line: &str) -> Option<Version> {
    line.trim().strip_prefix('v')?.parse().ok()
}

/// Where cargo keeps what it has fetched: `CARGO_HOME`, else its usual folder.
fn home() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    let usual = || Some(PathBuf::from(set("HOME")?).join(".cargo"));
    set("CARGO_HOME").map(PathBuf::from).or_else(usual)
}

impl Provisioner {
    /// A cargo of PATH that is new enough, or what was seen instead.
    pub(super) fn cargo(&self, oldest: &Version) -> Result<PathBuf, String> {
        let mut seen = Vec::new();
        for path in self.on_path("cargo") {
            let said = self.quiet(&path, &["--version"]);
            match said.as_ref().and_then(|(_, said)| cargo_version(said)) {
                Some(version) if version >= *oldest => return Ok(path),
                Some(version) => seen.push(format!("{} is {version}", path.display())),
                None => seen.push(format!("{} does not run", path.display())),
            }
        }
        Err(if seen.is_empty() {
            "no `cargo` on PATH".into()
        } else {
            seen.join(", ")
        })
    }

    /// The same, as an installation says it.
    pub(super) fn no_cargo(&self, name: &str, build: &CargoBuild, seen: String) -> ProvisionError {
        ProvisionError::NoCargo {
            name: name.to_owned(),
            oldest: build.rust.clone(),
            seen,
        }
    }
}

impl Installation<'_> {
    /// The crate's source, checked, and the program compiled in it.
    pub(super) fn cargo_program(
        &mut self,
        build: &CargoBuild,
        cargo: &Path,
    ) -> Result<PathBuf, ProvisionError> {
        let version = self.entry.version.to_string();
        let archive = self.crate_file(build, cargo, &version)?;
        self.say(Phase::Unpack, None, format!("checking {}", build.package));
        let folder = self.work.join("crate");
        let source = folder.join(format!("{}-{version}", build.package));
        let fresh = || -> std::io::Result<()> {
            if folder.exists() {
                std::fs::remove_dir_all(&folder)?;
            }
            std::fs::create_dir_all(&folder)
        };
        fresh().map_err(|e| self.io(&folder, &e))?;
        let tar = self.host.program("tar").unwrap_or_else(|| "tar".into());
        let mut command = std::process::Command::new(tar);
        command.arg("-xzf").arg(&archive).arg("-C").arg(&folder);
        self.step("tar", command, &mut |_| None)?;
        let manifest = source.join("Cargo.toml");
        // Or cargo takes it for a member of the workspace in which the cache may lie.
        let own = |text: String| std::fs::write(&manifest, text + "\n[workspace]\n");
        let done = std::fs::read_to_string(&manifest).and_then(own);
        done.map_err(|e| self.io(&manifest, &e))?;
        self.cargo_build(build, cargo, &source)
    }

    /// Has cargo fetch the crate, and takes a copy of the file once its checksum is right.
    fn crate_file(
        &mut self,
        build: &CargoBuild,
        cargo: &Path,
        version: &str,
    ) -> Result<PathBuf, ProvisionError> {
        let spec = format!("{}@{version}", build.package);
        self.say(Phase::Download, None, format!("fetching {spec}"));
        let mut command = self.low_priority(cargo);
        command
            .current_dir(self.work.join("tmp"))
            .args(["info", "--color", "never", &spec]);
        self.step(&format!("cargo info {spec}"), command, &mut |_| None)?;
        let file = format!("{}-{version}.crate", build.package);
        // One folder for each registry or mirror that was ever used.
        let caches = home().map(|h| h.join("registry").join("cache"));
        let caches = caches.and_then(|c| std::fs::read_dir(c).ok());
        let target = self.work.join(&file);
        let mut seen = None;
        for cache in caches.into_iter().flatten().flatten() {
            let found = cache.path().join(&file);
            if !found.is_file() {
                continue;
            }
            std::fs::copy(&found, &target).map_err(|e| self.io(&target, &e))?;
            let digest = sha256_file(&target).map_err(|e| self.io(&target, &e))?;
            if digest == build.sha256 {
                return Ok(target);
            }
            seen = Some(digest);
        }
        Err(ProvisionError::Checksum {
            name: self.name.to_owned(),
            file,
            expected: build.sha256.clone(),
            found: seen.unwrap_or_else(|| "none".into()),
        })
    }

    /// Compiles; returns the executable.
    fn cargo_build(
        &mut self,
        build: &CargoBuild,
        cargo: &Path,
        source: &Path,
    ) -> Result<PathBuf, ProvisionError> {
        let system = build.system.as_ref().filter(|system| {
            let query = self.host.program("dpkg-query");
            let said = query.and_then(|q| {
                let args = ["-W", "-f=${Version}", &system.package];
                self.host.quiet(&q, &args)
            });
            said.is_some_and(|(ok, said)| ok && said.starts_with(&system.versions))
        });
        let usual = match (system, &build.system) {
            (None, Some(system)) => format!(
                "compiling with the library that it brings, since {} {} is not here: takes a \
                 quarter of an hour and more",
                system.package, system.versions
            ),
            _ => format!("compiling, usually takes {} minutes", self.entry.minutes),
        };
        self.say(Phase::Build, Some(0), usual.clone());
        let lock = std::fs::read_to_string(source.join("Cargo.lock")).unwrap_or_default();
        let packages = lock.matches("[[package]]").count();
        let target = self.work.join("target");
        let mut command = self.low_priority(cargo);
        command
            .current_dir(source)
            .args(["build", "--release", "--locked", "--color", "never"])
            .args(["--bin", &self.entry.program])
            .env("CARGO_TARGET_DIR", &target)
            // It takes minutes, and the program no faster.
            .env("CARGO_PROFILE_RELEASE_LTO", "false")
            .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
            // In place of the user's, which may be made for other projects.
            .env("RUSTFLAGS", "");
        if !build.default_features {
            command.arg("--no-default-features");
        }
        command.envs(system.into_iter().flat_map(|s| &s.env));
        let (mut done, mut last) = (0usize, 0u8);
        self.step("cargo build", command, &mut |line| {
            done += usize::from(line.trim_start().starts_with("Compiling "));
            let percent = (done * 100).checked_div(packages)?.min(99);
            let percent = u8::try_from(percent).ok()?;
            let news = percent != last;
            last = percent;
            news.then(|| (Phase::Build, percent, usual.clone()))
        })?;
        Ok(target.join("release").join(&self.entry.program))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_out_of_what_programs_say() {
        let cargo = |said: &str| cargo_version(said).map(|v| v.to_string());
        assert_eq!(
            cargo("cargo 1.95.0 (f2d3ce0bd 2026-03-21)\n").as_deref(),
            Some("1.95.0")
        );
        assert_eq!(cargo("cargo 1.97.0-nightly (x)").as_deref(), Some("1.97.0"));
        assert_eq!(cargo("rustc 1.95.0"), None);
        assert_eq!(
            version_in("v0.10.10").map(|v| v.to_string()).as_deref(),
            Some("0.10.10")
        );
        for other in ["0.10.10", "electrs v0.10.10", "v0.10", ""] {
            assert_eq!(version_in(other), None, "{other}");
        }
    }
}
