//! Programs in Python: an environment of their own, with packages whose hashes the table has.

use super::install::{Installation, Phase};
use super::{Found, ProvisionError, Source, VenvBuild, debian, venv_version};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

impl Installation<'_> {
    pub(super) fn make_venv(&mut self, venv: &Venv, python: &Path) -> Result<(), ProvisionError> {
        let mut make = Command::new(python);
        make.args(["-m", "venv", "--clear"]).arg(&venv.folder);
        self.step("python3 -m venv", make, &mut |_| None)
    }

    /// A Python environment in the build folder, with the packages that the table pins.
    pub(super) fn packages_of(
        &mut self,
        build: &VenvBuild,
        python: &Path,
    ) -> Result<Venv, ProvisionError> {
        let venv = Venv::in_folder(&self.work);
        let names = build.packages.keys().chain(build.sources.keys());
        let names = names.map(String::as_str).collect::<Vec<_>>().join(" ");
        // The Python may have changed since an earlier try; then what it left is of no use.
        let mark = self.work.join("packages");
        let state = format!("{} {names}", python.display());
        if venv.python().exists() && std::fs::read_to_string(&mark).is_ok_and(|m| m == state) {
            return Ok(venv);
        }
        self.say(
            Phase::Tools,
            None,
            format!("getting {names} for Python, usually takes some seconds"),
        );
        self.make_venv(&venv, python)?;
        let list = self.work.join("requirements.txt");
        std::fs::write(&list, requirements(&build.packages)).map_err(|e| self.io(&list, &e))?;
        let mut pip = venv.pip();
        // Nothing that is not in the list, and nothing that would have to run to be installed.
        pip.args(["install", "--no-deps", "--only-binary", ":all:"])
            .args(["--require-hashes", "-r"])
            .arg(&list);
        self.step(&format!("pip install {names}"), pip, &mut |_| None)?;
        if !build.sources.is_empty() {
            let list = self.work.join("sources.txt");
            std::fs::write(&list, requirements(&build.sources)).map_err(|e| self.io(&list, &e))?;
            let mut pip = venv.pip();
            pip.args(["install", "--no-deps", "--no-binary", ":all:"])
                .args(["--no-build-isolation", "--require-hashes", "-r"])
                .arg(&list);
            let names: Vec<&str> = build.sources.keys().map(String::as_str).collect();
            let step = format!("pip install {}", names.join(" "));
            self.step(&step, pip, &mut |_| None)?;
        }
        self.compile_archive(build, &venv)?;
        std::fs::write(&mark, state).map_err(|e| self.io(&mark, &e))?;
        Ok(venv)
    }

    /// Compiles what was unpacked, as pip does what it installs: the program is started so that it
    /// writes nothing, and would else compile all of it at each start.
    pub(super) fn compile_archive(
        &mut self,
        build: &VenvBuild,
        venv: &Venv,
    ) -> Result<(), ProvisionError> {
        if build.archive.is_empty() {
            return Ok(());
        }
        let mut compile = Command::new(venv.python());
        compile
            .args(["-m", "compileall", "-q"])
            .arg(self.work.join(debian::FOLDER));
        self.step("compiling with Python", compile, &mut |_| None)
    }

    /// The same for a Python environment and the program that runs in it.
    pub(super) fn store_venv(
        &mut self,
        build: &VenvBuild,
        venv: &Venv,
    ) -> Result<Found, ProvisionError> {
        self.say(Phase::Store, None, "putting it into the cache");
        let entry = self.entry;
        for (file, content) in &build.files {
            let path = self.work.join(file);
            std::fs::write(&path, content).map_err(|e| self.io(&path, &e))?;
        }
        let version = venv_version(self.name, &venv.python(), &self.work.join(&entry.program))?;
        self.built(&version)?;
        let base = venv.base().map_err(|e| self.io(&venv.python(), &e))?;
        let work = self.work.clone();
        let folder = self.put(|part| {
            std::fs::create_dir_all(part)?;
            for file in build.files.keys() {
                std::fs::copy(work.join(file), part.join(file))?;
            }
            // The environment can be moved: Python finds its packages from where it is started.
            std::fs::rename(&venv.folder, &Venv::in_folder(part).folder)?;
            if !build.archive.is_empty() {
                std::fs::rename(work.join(debian::FOLDER), part.join(debian::FOLDER))?;
            }
            Ok((part.join(&entry.program), base))
        })?;
        Ok(Found {
            name: self.name.to_owned(),
            path: folder.join(&entry.program),
            label: entry.label(&version),
            version,
            from: Source::Cache,
            interpreter: Some(Venv::in_folder(&folder).python()),
        })
    }
}

/// A Python environment.
pub(super) struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// The one in a build folder, or in an entry's folder of the cache.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.join("venv"),
        }
    }

    pub(super) fn bin(&self) -> PathBuf {
        self.folder
            .join(if cfg!(windows) { "Scripts" } else { "bin" })
    }

    pub(super) fn python(&self) -> PathBuf {
        let name = if cfg!(windows) {
            "python.exe"
        } else {
            "python"
        };
        self.bin().join(name)
    }

    /// The Python outside of it that it leans on, with no link left in its path; none where the
    /// environment has a copy of its own.
    pub(super) fn base(&self) -> io::Result<Option<PathBuf>> {
        let python = std::fs::canonicalize(self.python())?;
        let own = std::fs::canonicalize(&self.folder)?;
        Ok((!python.starts_with(own)).then_some(python))
    }

    /// pip, which must neither ask nor look for news of itself.
    pub(super) fn pip(&self) -> Command {
        let mut pip = Command::new(self.python());
        pip.args([
            "-m",
            "pip",
            "--no-input",
            "--disable-pip-version-check",
            "--no-cache-dir",
            "--retries",
            "3",
        ]);
        pip
    }
}

/// Packages and the hashes of their files, as pip reads them.
pub(super) fn requirements(packages: &BTreeMap<String, Vec<String>>) -> String {
    let line = |(package, hashes): (&String, &Vec<String>)| {
        let hashes: Vec<_> = hashes
            .iter()
            .map(|h| format!(" --hash=sha256:{h}"))
            .collect();
        format!("{package}{}\n", hashes.concat())
    };
    packages.iter().map(line).collect()
}

/// The hash of what was fetched, where pip says that it is not the one that was asked for.
pub(super) fn pip_hash(said: &str) -> Option<String> {
    let rest = said.split("DO NOT MATCH THE HASHES").nth(1)?;
    let got = rest.lines().find_map(|l| l.trim().strip_prefix("Got"))?;
    Some(got.trim().to_owned())
}
