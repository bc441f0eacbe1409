//! Packages of Debian's archive, unpacked and not installed.
//!
//! apt fetches them, since it knows how this machine reaches an archive (a mirror, a proxy), and
//! `dpkg-deb` unpacks them. No list of packages is read and nothing of the system is changed: the
//! version table has a file's path and its SHA-256, and the archive keeps a version under that
//! path for as long as it has it.

use super::ProvisionError;
use super::install::{Installation, Phase, last_lines};
use super::{ArchiveFile, Provisioner, VenvBuild, sha256_file};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the packages are unpacked: in the build folder, then beside the program.
pub(super) const FOLDER: &str = "dist";

/// Fetches a file and compares its checksum; part of apt, and not on PATH.
const HELPER: &str = "/usr/lib/apt/apt-helper";

/// Archives to ask after those among apt's sources: the one that everybody reaches, for systems like
/// Ubuntu that have none of Debian's own, and the archive as it was on the day of the version table,
/// for files that the others no longer have.
const ARCHIVES: [&str; 2] = [
    "https://deb.debian.org/debian/",
    "https://snapshot.debian.org/archive/debian/20261125T000000Z/",
];

impl Provisioner {
    /// apt's helper and `dpkg-deb`.
    ///
    /// # Errors
    /// [`ProvisionError::NoApt`] for the first that is missing.
    pub(super) fn archive_tools(&self, name: &str) -> Result<(PathBuf, PathBuf), ProvisionError> {
        let missing = |tool: &str| ProvisionError::NoApt {
            name: name.to_owned(),
            tool: tool.to_owned(),
        };
        let helper = PathBuf::from(HELPER);
        if !helper.is_file() {
            return Err(missing("apt"));
        }
        let dpkg = self
            .program("dpkg-deb")
            .ok_or_else(|| missing("dpkg-deb"))?;
        Ok((helper, dpkg))
    }

    /// Debian's archives that apt has among its sources, and after them [`ARCHIVES`].
    fn archives(&self) -> Vec<String> {
        let args = [
            "indextargets",
            // Also where no list was fetched yet, as in a fresh image.
            "--no-release-info",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
        ];
        let said = self
            .program("apt-get")
            .and_then(|apt| self.quiet(&apt, &args))
            .map(|(_, said)| said)
            .unwrap_or_default();
        archives_in(&said)
    }
}

/// The main archives among apt's sources: their address ends in `debian`, that of the security
/// updates and of others does not.
fn archives_in(said: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let of_apt = said
        .lines()
        .map(|uri| format!("{}/", uri.trim().trim_end_matches('/')))
        .filter(|uri| uri.ends_with("/debian/"));
    for uri in of_apt.chain(ARCHIVES.map(String::from)) {
        if !found.contains(&uri) {
            found.push(uri);
        }
    }
    found
}

impl Installation<'_> {
    /// Fetches and unpacks the packages of an entry into [`FOLDER`].
    pub(super) fn unpack_archive(&mut self, build: &VenvBuild) -> Result<(), ProvisionError> {
        if build.archive.is_empty() {
            return Ok(());
        }
        let mark = self.work.join("archive");
        let folder = self.work.join(FOLDER);
        if mark.exists() && folder.is_dir() {
            return Ok(());
        }
        let (helper, dpkg) = self.host.archive_tools(self.name)?;
        let archives = self.host.archives();
        let downloads = self.work.join("download");
        for path in [&folder, &downloads] {
            std::fs::create_dir_all(path).map_err(|e| self.io(path, &e))?;
        }
        for file in build.archive_here() {
            let package = self.fetch(file, &helper, &archives, &downloads)?;
            let mut unpack = Command::new(&dpkg);
            unpack.arg("-x").arg(&package).arg(&folder);
            let step = format!("unpacking {}", file_name(file));
            self.step(&step, unpack, &mut |_| None)?;
        }
        std::fs::write(&mark, "").map_err(|e| self.io(&mark, &e))
    }

    /// One package, with the right checksum.
    fn fetch(
        &mut self,
        file: &ArchiveFile,
        helper: &Path,
        archives: &[String],
        downloads: &Path,
    ) -> Result<PathBuf, ProvisionError> {
        let name = file_name(file);
        let target = downloads.join(name);
        if sha256_file(&target).is_ok_and(|d| d == file.sha256) {
            return Ok(target);
        }
        self.say(Phase::Download, None, format!("fetching {name}"));
        let log = self.work.join("build.log");
        let mut last = String::from("there is no archive");
        for archive in archives {
            let mut fetch = Command::new(helper);
            fetch
                .arg("download-file")
                .arg(format!("{archive}{}", file.file))
                .arg(&target)
                .arg(format!("SHA256:{}", file.sha256));
            let (ok, said) = self.capture(fetch, "apt-helper", Some(&log), &mut |_| None)?;
            if let Some(found) = received(&said) {
                return Err(self.altered(file, found));
            }
            if ok {
                // apt has compared it, with our own checksum; a second look costs nothing.
                return match sha256_file(&target) {
                    Ok(found) if found == file.sha256 => Ok(target),
                    Ok(found) => Err(self.altered(file, found)),
                    Err(error) => Err(self.io(&target, &error)),
                };
            }
            last = last_lines(&said, 1);
        }
        Err(ProvisionError::NoArchive {
            name: self.name.to_owned(),
            file: name.to_owned(),
            said: last,
        })
    }

    fn altered(&self, file: &ArchiveFile, found: String) -> ProvisionError {
        ProvisionError::Checksum {
            name: self.name.to_owned(),
            file: file_name(file).to_owned(),
            expected: file.sha256.clone(),
            found,
        }
    }
}

fn file_name(file: &ArchiveFile) -> &str {
    file.file.rsplit('/').next().unwrap_or(&file.file)
}

/// The checksum of what came, where apt says that it is not the one that was asked for.
fn received(said: &str) -> Option<String> {
    let rest = said.split("Hashes of received file:").nth(1)?;
    let line = rest
        .lines()
        .find_map(|l| l.trim().strip_prefix("- SHA256:"))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_archive_of_the_machine_comes_before_those_of_everybody() {
        let said = "http://mirror.example/debian/\nhttp://mirror.example/debian\n\
                    http://mirror.example/debian-security/\nhttps://deb.example/node_20.x/\n";
        let [public, old] = ARCHIVES;
        assert_eq!(
            archives_in(said),
            ["http://mirror.example/debian/", public, old]
        );
        assert_eq!(archives_in(""), ARCHIVES);
        assert_eq!(archives_in(public), ARCHIVES);
    }

    #[test]
    fn another_file_than_the_one_asked_for_is_told_by_its_checksum() {
        let said = "Err:1 x\n  Hash Sum mismatch\n  Hashes of expected file:\n   - SHA256:aa\n  \
                    Hashes of received file:\n   - SHA256:bb\n   - Filesize:1 [weak]\n";
        assert_eq!(received(said).as_deref(), Some("bb"));
        assert_eq!(received("E: Failed to fetch x  404  Not Found"), None);
    }

    #[test]
    fn a_package_for_another_processor_is_not_fetched() {
        let file = |name: &str, arch: Option<&str>| ArchiveFile {
            file: format!("pool/{name}"),
            sha256: String::new(),
            arch: arch.map(str::to_owned),
        };
        let build = VenvBuild {
            oldest_python: 9,
            newest_python: 9,
            packages: Default::default(),
            sources: Default::default(),
            archive: vec![
                file("all.deb", None),
                file("here.deb", Some(std::env::consts::ARCH)),
                file("there.deb", Some("pdp11")),
            ],
            files: Default::default(),
        };
        let names: Vec<&str> = build.archive_here().map(file_name).collect();
        assert_eq!(names, ["all.deb", "here.deb"]);
    }
}
