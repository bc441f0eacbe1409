//! Programs that are compiled with CMake. Their source is fetched by pip: it reaches a registry where
//! nothing else is reachable.

use super::install::{Installation, Phase};
use super::venv::{Venv, requirements};
use super::{CmakeBuild, ProvisionError, sha256_file};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

impl Installation<'_> {
    /// A Python environment in the build folder, with what fetching and building need.
    pub(super) fn tools(
        &mut self,
        build: &CmakeBuild,
        python: &Path,
    ) -> Result<Venv, ProvisionError> {
        let venv = Venv::in_folder(&self.work);
        let mut packages = build.fetch.clone();
        packages.extend(
            build
                .wheels
                .iter()
                .filter(|(p, _)| self.host.program(p).is_none())
                .map(|(_, w)| w.clone()),
        );
        let mark = self.work.join("tools");
        if std::fs::read_to_string(&mark).is_ok_and(|m| m == packages.join(" ")) {
            return Ok(venv);
        }
        self.say(
            Phase::Tools,
            None,
            format!("getting {} for Python", packages.join(", ")),
        );
        self.make_venv(&venv, python)?;
        let mut pip = venv.pip();
        pip.arg("install").args(&packages);
        self.step(
            &format!("pip install {}", packages.join(" ")),
            pip,
            &mut |_| None,
        )?;
        std::fs::write(&mark, packages.join(" ")).map_err(|e| self.io(&mark, &e))?;
        Ok(venv)
    }

    /// The source package, with the right checksum.
    pub(super) fn download(
        &mut self,
        build: &CmakeBuild,
        venv: &Venv,
    ) -> Result<PathBuf, ProvisionError> {
        let folder = self.work.join("download");
        let archive = folder.join(&build.file);
        if sha256_file(&archive).is_ok_and(|d| d == build.sha256) {
            return Ok(archive);
        }
        self.say(
            Phase::Download,
            None,
            format!("fetching {}", build.requirement),
        );
        // pip checks the hash before it runs anything of the package, which it has to do to learn
        // the package's metadata.
        let list = self.work.join("requirements.txt");
        let one = [(build.requirement.clone(), vec![build.sha256.clone()])];
        std::fs::write(&list, requirements(&one.into())).map_err(|e| self.io(&list, &e))?;
        let mut pip = venv.pip();
        pip.args([
            "download",
            "--pre",
            "--no-deps",
            "--no-binary",
            ":all:",
            "--no-build-isolation",
        ])
        .arg("--require-hashes")
        .arg("--dest")
        .arg(&folder)
        .arg("-r")
        .arg(&list);
        self.step(
            &format!("pip download {}", build.requirement),
            pip,
            &mut |_| None,
        )?;
        let found = sha256_file(&archive).map_err(|e| ProvisionError::Step {
            name: self.name.to_owned(),
            step: format!("pip download {}", build.requirement),
            said: format!(
                "it did not bring {} ({e}): the version table may be wrong",
                build.file
            ),
            log: self.work.join("build.log"),
        })?;
        if found != build.sha256 {
            let _ = std::fs::remove_file(&archive);
            return Err(ProvisionError::Checksum {
                name: self.name.to_owned(),
                file: build.file.clone(),
                expected: build.sha256.clone(),
                found,
            });
        }
        Ok(archive)
    }

    pub(super) fn unpack(
        &mut self,
        build: &CmakeBuild,
        venv: &Venv,
        archive: &Path,
    ) -> Result<(), ProvisionError> {
        let (mark, source) = (self.work.join("unpacked"), self.work.join("source"));
        if mark.exists() {
            return Ok(());
        }
        self.say(Phase::Unpack, None, format!("unpacking {}", build.file));
        if source.exists() {
            std::fs::remove_dir_all(&source).map_err(|e| self.io(&source, &e))?;
        }
        let mut tar = Command::new(venv.python());
        tar.args(["-m", "tarfile", "-e"]).arg(archive).arg(&source);
        self.step("unpacking", tar, &mut |_| None)?;
        std::fs::write(&mark, "").map_err(|e| self.io(&mark, &e))
    }

    /// Configures and compiles; returns the executable.
    pub(super) fn build(
        &mut self,
        build: &CmakeBuild,
        venv: &Venv,
    ) -> Result<PathBuf, ProvisionError> {
        let (source, out) = (
            self.work.join("source").join(&build.folder),
            self.work.join("build"),
        );
        let mark = self.work.join("configured");
        if !mark.exists() {
            self.say(Phase::Configure, None, "configuring");
            if out.exists() {
                std::fs::remove_dir_all(&out).map_err(|e| self.io(&out, &e))?;
            }
            let mut cmake = self.nice("cmake", venv);
            cmake
                .args(["-G", "Ninja", "-S"])
                .arg(&source)
                .arg("-B")
                .arg(&out)
                .args(&build.cmake);
            self.step("configuring with cmake", cmake, &mut |_| None)?;
            std::fs::write(&mark, "").map_err(|e| self.io(&mark, &e))?;
        }
        let usual = format!("compiling, usually takes {} minutes", self.entry.minutes);
        self.say(Phase::Build, Some(0), usual.clone());
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        let mut cmake = self.nice("cmake", venv);
        cmake
            .arg("--build")
            .arg(&out)
            .args(["--target", &build.target, "-j", &jobs.to_string()]);
        // Ninja has no colours and one line a step when its output is a pipe.
        let mut last = 0;
        self.step("compiling", cmake, &mut |line| {
            let percent = ninja_percent(line)?;
            let news = percent != last;
            last = percent;
            news.then(|| (Phase::Build, percent, usual.clone()))
        })?;
        Ok(out.join("bin").join(&self.entry.program))
    }
}

/// The progress in a line of Ninja, `[12/324] Building …`.
fn ninja_percent(line: &str) -> Option<u8> {
    let (done, total) = line.strip_prefix('[')?.split_once(']')?.0.split_once('/')?;
    let (done, total): (u64, u64) = (done.trim().parse().ok()?, total.trim().parse().ok()?);
    u8::try_from((done * 100).checked_div(total)?.min(100)).ok()
}
