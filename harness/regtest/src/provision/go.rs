//! Programs of a Go module: the toolchain, the module with its checksums, the build.
//!
//! Nothing is compiled that the version table does not vouch for: the table has the module's
//! checksum, the module has a go.sum, and `go build -mod=readonly` takes no dependency whose
//! checksum is not in there. So a proxy needs no trust, with or without Go's checksum database.

use super::ProvisionError;
use super::install::{Installation, Phase};
use super::{GoBuild, Provisioner, parse_version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use semver::Version;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that names a Go toolchain's `go`, before PATH.
pub(super) const GO_ENV: &str = "GO";

/// Where Go's own instructions put the toolchain, often without telling PATH.
pub(super) const PLACES: &[&str] = &["/usr/local/go/bin"];

/// No toolchain is fetched behind the user's back: what compiles is the Go that `doctor` names.
pub(super) const LOCAL: (&str, &str) = ("GOTOOLCHAIN", "local");

/// The first Go that can fetch another one by itself.
const FETCHES: Version = Version::new(1, 21, 0);

/// What Go says when the network is in the way.
pub(super) const NO_NETWORK: &[&str] = &[
    "dial tcp",
    "no such host",
    "i/o timeout",
    "connection refused",
    "connection reset",
    "TLS handshake timeout",
    "network is unreachable",
    "tls: failed to verify certificate",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "module lookup disabled by GOPROXY=off",
];

/// Lists the packages that Go has not compiled before: those that it will name while it does.
const NOT_COMPILED: &str = concat!(
    "{{if .Stale}}{{if ne .StaleReason \"not installed but available in build cache\"}}",
    "{{.ImportPath}}{{end}}{{end}}"
);

/// What `go mod download -json` answers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Download {
    dir: PathBuf,
    sum: String,
    go_mod_sum: String,
    error: String,
}

/// The version in `lnd version 0.21.2-beta commit=…`.
pub(super) fn version_in(name: &str, line: &str) -> Option<Version> {
    let rest = line.strip_prefix(name)?.trim_start();
    parse_version(rest.strip_prefix("version")?.split_whitespace().next()?)
}

/// The version in `go version go1.25.10 linux/amd64`; a pre-release counts as the release.
fn toolchain_in(said: &str) -> Option<Version> {
    let rest = said
        .split_whitespace()
        .find_map(|w| w.strip_prefix("go1."))?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let mut numbers = rest[..end].split('.').map(str::parse);
    let minor = numbers.next()?.ok()?;
    Some(Version::new(
        1,
        minor,
        numbers.next().unwrap_or(Ok(0)).ok()?,
    ))
}

impl Provisioner {
    /// A Go toolchain that is new enough: the one that `GO` names, else one of PATH, else one in
    /// the place where Go's instructions put it.
    ///
    /// # Errors
    /// [`ProvisionError::NoGo`], with what was seen and what to type. What the user names in `GO`
    /// is used or refused, never passed over.
    pub(super) fn go(&self, name: &str, oldest: &Version) -> Result<PathBuf, ProvisionError> {
        let named = self.vars.get(GO_ENV).map(PathBuf::from);
        let candidates: Vec<PathBuf> = match named {
            // A bare name is one of PATH.
            Some(path) if path.components().count() == 1 => {
                let program = path.to_string_lossy();
                self.on_path(&program).into_iter().take(1).collect()
            }
            Some(path) => vec![path],
            None => {
                let elsewhere = self.go_places.iter().map(|p| p.join("go"));
                self.on_path("go")
                    .into_iter()
                    .chain(elsewhere.filter(|p| super::executable(p)))
                    .collect()
            }
        };
        let (mut seen, mut fetches) = (Vec::new(), None);
        for path in candidates {
            let said = self.quiet(&path, &["version"]);
            match said.as_ref().and_then(|(_, said)| toolchain_in(said)) {
                Some(version) if version >= *oldest => return Ok(path),
                Some(version) => {
                    seen.push(format!("{} is {version}", path.display()));
                    if version >= FETCHES {
                        fetches.get_or_insert(path);
                    }
                }
                None => seen.push(format!("{} does not run", path.display())),
            }
        }
        let install = super::install_line(name);
        let line = match fetches {
            Some(go) => format!(
                "type `GO=\"$(GOTOOLCHAIN=go{oldest} {} env GOROOT)/bin/go\" {install}`, which lets that one fetch it",
                go.display()
            ),
            None => format!("type {}, then `{install}`", get_go(oldest)),
        };
        Err(ProvisionError::NoGo {
            name: name.to_owned(),
            oldest: oldest.clone(),
            seen: if seen.is_empty() {
                format!(
                    "no `go` on PATH, none in {}, {GO_ENV} is not set",
                    PLACES.join(", ")
                )
            } else {
                seen.join(", ")
            },
            line,
        })
    }
}

/// What brings a toolchain to this machine.
fn get_go(oldest: &Version) -> String {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if cfg!(target_os = "linux") {
        format!(
            "`curl -L https://go.dev/dl/go{oldest}.linux-{machine}.tar.gz | sudo tar -xz -C /usr/local`"
        )
    } else if cfg!(target_os = "macos") {
        "`brew install go`".to_owned()
    } else {
        format!("what https://go.dev/dl/ says for Go {oldest}")
    }
}

impl Installation<'_> {
    /// The module's source, checked, and the program compiled in it.
    pub(super) fn go_program(
        &mut self,
        build: &GoBuild,
        go: &Path,
    ) -> Result<PathBuf, ProvisionError> {
        let version = self.entry.label(&self.entry.version);
        let module = format!("{}@{version}", build.module);
        let dir = self.go_download(build, go, &module)?;
        let source = self.work.join("source");
        self.say(Phase::Unpack, None, format!("checking {module}"));
        let copy = || -> io::Result<String> {
            if source.exists() {
                std::fs::remove_dir_all(&source)?;
            }
            // The module cache is the user's, and closed to writing.
            copy_tree(&dir, &source)?;
            checksum(&source, &module)
        };
        let found = copy().map_err(|e| self.io(&source, &e))?;
        // What go answered is what it noted when it unpacked; this is what will be compiled.
        self.go_sum(&module, "its source", &build.sum, &found)?;
        if !build.files.is_empty() {
            let folder = source.join(&build.package);
            let lay = || -> io::Result<()> {
                std::fs::create_dir_all(&folder)?;
                for (file, content) in &build.files {
                    std::fs::write(folder.join(file), content)?;
                }
                Ok(())
            };
            lay().map_err(|e| self.io(&folder, &e))?;
        }
        self.go_build(build, go, &source)
    }

    /// Fetches the module into Go's own cache; returns the folder there.
    fn go_download(
        &mut self,
        build: &GoBuild,
        go: &Path,
        module: &str,
    ) -> Result<PathBuf, ProvisionError> {
        self.say(Phase::Download, None, format!("fetching {module}"));
        let mut command = self.go_command(go, &self.work.join("tmp"));
        command.args(["mod", "download", "-json", module]);
        let step = format!("go mod download {module}");
        let log = self.work.join("build.log");
        let (ok, said) = self.capture(command, &step, Some(&log), &mut |_| None)?;
        // Beside the answer there may be lines about what go does.
        let answer = said
            .match_indices('{')
            .find(|(at, _)| *at == 0 || said.as_bytes()[at - 1] == b'\n')
            .and_then(|(at, _)| {
                let mut values = serde_json::Deserializer::from_str(&said[at..]).into_iter();
                values.next()?.ok()
            });
        let answer: Download = match answer {
            Some(answer) => answer,
            None => return Err(self.blame(&step, &said, log)),
        };
        if !ok || !answer.error.is_empty() {
            let said = if answer.error.is_empty() {
                said
            } else {
                // Whatever its lines, it is one error.
                answer
                    .error
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            return Err(self.blame(&step, &said, log));
        }
        self.go_sum(module, "its source", &build.sum, &answer.sum)?;
        self.go_sum(module, "its go.mod", &build.go_mod_sum, &answer.go_mod_sum)?;
        Ok(answer.dir)
    }

    fn go_sum(
        &self,
        module: &str,
        what: &str,
        expected: &str,
        found: &str,
    ) -> Result<(), ProvisionError> {
        if found == expected {
            return Ok(());
        }
        Err(ProvisionError::Module {
            name: self.name.to_owned(),
            module: module.to_owned(),
            what: what.to_owned(),
            expected: expected.to_owned(),
            found: if found.is_empty() { "none" } else { found }.to_owned(),
        })
    }

    /// Compiles; returns the executable.
    fn go_build(
        &mut self,
        build: &GoBuild,
        go: &Path,
        source: &Path,
    ) -> Result<PathBuf, ProvisionError> {
        let tags = build.tags.join(",");
        self.say(Phase::Download, None, "fetching the modules that it needs");
        let mut command = self.go_command(go, source);
        command
            .args(["list", "-deps", "-trimpath", "-tags", &tags])
            .args(["-f", NOT_COMPILED, &build.package]);
        let mut packages = 0usize;
        self.step("go list", command, &mut |line| {
            packages += usize::from(!line.is_empty() && !line.starts_with("go: "));
            None
        })?;
        let minutes = self.entry.minutes;
        let usual = format!("compiling, usually takes {minutes} minutes");
        self.say(Phase::Build, Some(0), usual.clone());
        let program = self.work.join(&self.entry.program);
        let mut command = self.go_command(go, source);
        command.args([
            "build",
            "-v",
            "-trimpath",
            "-buildvcs=false",
            "-tags",
            &tags,
        ]);
        command.arg("-o").arg(&program).arg(&build.package);
        let (mut done, mut last) = (0usize, 0u8);
        self.step("go build", command, &mut |line| {
            done += usize::from(!line.starts_with("go: ") && !line.starts_with('#'));
            let percent = (done * 100).checked_div(packages)?.min(99);
            let percent = u8::try_from(percent).ok()?;
            let news = percent != last;
            last = percent;
            news.then(|| (Phase::Build, percent, usual.clone()))
        })?;
        Ok(program)
    }

    /// Go in a folder, at low priority. Proxy, checksum database and caches are the user's.
    fn go_command(&self, go: &Path, folder: &Path) -> Command {
        let mut command = self.low_priority(go);
        command
            .current_dir(folder)
            .env(LOCAL.0, LOCAL.1)
            .env("GOWORK", "off")
            // In place of the user's flags, which may be made for other projects.
            .env("GOFLAGS", "-mod=readonly")
            .env("GO111MODULE", "on");
        command
    }
}

/// Copies folders and files, all of them writable. A module has nothing else.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for item in std::fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        let kind = item.file_type()?;
        if kind.is_dir() {
            copy_tree(&item.path(), &target)?;
        } else if kind.is_file() {
            io::copy(
                &mut std::fs::File::open(item.path())?,
                &mut std::fs::File::create(&target)?,
            )?;
        } else {
            return Err(io::Error::other(format!(
                "{} is neither file nor folder",
                item.path().display()
            )));
        }
    }
    Ok(())
}

/// The checksum of a module, as go.sum has it: the SHA-256 of a list that has, for each file in
/// order of its name, the file's SHA-256 and `MODULE@VERSION/NAME` (Go modules reference, section
/// on go.sum; `golang.org/x/mod/sumdb/dirhash`, hash 1).
pub(super) fn checksum(folder: &Path, module: &str) -> io::Result<String> {
    let mut files = Vec::new();
    list(folder, &mut String::new(), &mut files)?;
    files.sort();
    let mut all = Sha256::new();
    for file in files {
        let digest = super::sha256_file(&folder.join(&file))?;
        all.update(format!("{digest}  {module}/{file}\n"));
    }
    Ok(format!("h1:{}", STANDARD.encode(all.finalize())))
}

/// The files below a folder, with `/` in their names.
fn list(folder: &Path, prefix: &mut String, files: &mut Vec<String>) -> io::Result<()> {
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        let name = item.file_name().into_string().map_err(|name| {
            io::Error::other(format!("the file name {} is not text", name.display()))
        })?;
        let length = prefix.len();
        prefix.push_str(&name);
        if item.file_type()?.is_dir() {
            prefix.push('/');
            list(&item.path(), prefix, files)?;
        } else {
            files.push(prefix.clone());
        }
        prefix.truncate(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_out_of_what_programs_say() {
        let read = |line: &str| version_in("lnd", line).map(|v| v.to_string());
        assert_eq!(
            read("lnd version 0.21.2-beta commit=v0.21.2-beta").as_deref(),
            Some("0.21.2-beta")
        );
        assert_eq!(
            read("lnd version v0.20.0-beta.rc1").as_deref(),
            Some("0.20.0-beta.rc1")
        );
        for other in ["lncli version 0.21.2-beta", "lnd version", "lnd 0.21", ""] {
            assert_eq!(read(other), None, "{other}");
        }
        let go = |said: &str| toolchain_in(said).map(|v| v.to_string());
        assert_eq!(
            go("go version go1.25.10 linux/amd64").as_deref(),
            Some("1.25.10")
        );
        assert_eq!(
            go("go version go1.26rc2 linux/amd64").as_deref(),
            Some("1.26.0")
        );
        assert_eq!(
            go("go version devel go1.27-abc Mon linux/amd64").as_deref(),
            Some("1.27.0")
        );
        assert_eq!(go("gccgo 14"), None);
    }

    #[test]
    fn a_checksum_is_gos_and_covers_names_and_contents() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("go.mod", "module example.com/m\n");
        write("a/b.txt", "b\n");
        write("a.txt", "a\n");
        let sum = || checksum(folder.path(), "example.com/m@v1.0.0").unwrap();
        // From the definition: `a.txt` before `a/b.txt`, as bytes order them.
        let line = |name: &str, text: &str| {
            format!(
                "{}  example.com/m@v1.0.0/{name}\n",
                hex::encode(Sha256::digest(text))
            )
        };
        let list = [
            line("a.txt", "a\n"),
            line("a/b.txt", "b\n"),
            line("go.mod", "module example.com/m\n"),
        ];
        let wanted = format!("h1:{}", STANDARD.encode(Sha256::digest(list.concat())));
        assert_eq!(sum(), wanted);
        write("a.txt", "x\n");
        assert_ne!(sum(), wanted);
        write("a.txt", "a\n");
        assert_eq!(sum(), wanted);
        write("more.txt", "");
        assert_ne!(sum(), wanted);
    }
}
