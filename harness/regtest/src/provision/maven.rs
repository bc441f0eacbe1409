//! Programs on the JVM: the toolchain, libraries from Maven's registry with their checksums, the
//! compilation of a program of this repository.
//!
//! Maven fetches, and nothing else: it has the user's settings and mirrors. What it brings is held
//! against the checksums of the version table, since its own come from the same place as the
//! libraries. Compiling is left to the JDK: Maven's plug-ins would be a hundred more files that no
//! checksum vouches for.

use super::ProvisionError;
use super::install::{Installation, Phase};
use super::{Found, MavenBuild, ProgramError, Provisioner, Source, first_line, sha256_file};
use semver::Version;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that names a JDK's folder, before PATH.
pub(super) const JAVA_ENV: &str = "JAVA_HOME";

/// What apt calls the compiler and Maven.
const JDK_PACKAGE: &str = "default-jdk-headless";
const MAVEN_PACKAGE: &str = "maven";

/// What Maven says when the network is in the way.
pub(super) const NO_NETWORK: &[&str] = &[
    "Unknown host",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Connect timed out",
    "Read timed out",
    "Network is unreachable",
    "No route to host",
    "PKIX path building failed",
    "status: 502",
    "status: 503",
    "in offline mode",
];

/// A JDK: the programs of one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Jdk {
    /// Its home folder, with no link left in its path.
    home: PathBuf,
}

impl Jdk {
    fn tool(&self, name: &str) -> PathBuf {
        self.home
            .join("bin")
            .join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// The JVM.
    pub(super) fn java(&self) -> PathBuf {
        self.tool("java")
    }
}

/// The feature version in `javac 17.0.15`, or in `javac 1.8.0_442`, which is 8.
fn javac_version(said: &str) -> Option<u32> {
    let version = said.trim().strip_prefix("javac ")?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        feature => Some(feature),
    }
}

/// The archive of classes, which makes the start quicker, beside the program.
fn archive(jar: &Path) -> PathBuf {
    jar.with_extension("jsa")
}

/// The arguments with which the JVM runs a program of the cache: a small and quick one that leaves
/// no file anywhere and keeps its own words off standard output.
pub(super) fn java_args(jar: &Path) -> Vec<OsString> {
    let mut args = quiet_args();
    let mut shared = OsString::from("-XX:SharedArchiveFile=");
    shared.push(archive(jar));
    args.extend([shared, "-jar".into(), jar.into()]);
    args
}

/// The same without archive and program.
fn quiet_args() -> Vec<OsString> {
    [
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xmx128m",
        // Neither a file for tools that watch a JVM, nor one where it crashed.
        "-XX:-UsePerfData",
        "-XX:+ErrorFileToStderr",
        // By default its warnings go to standard output.
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
    ]
    .map(OsString::from)
    .into()
}

/// Asks a program on the JVM for its version. It answers only if everything in it works.
pub(super) fn jar_version(name: &str, java: &Path, jar: &Path) -> Result<Version, ProgramError> {
    let mut command = Command::new(java);
    command.args(java_args(jar)).arg("--version");
    let said = first_line(name, jar, command)?;
    said.strip_prefix(name)
        .and_then(|rest| rest.trim().parse().ok())
        .ok_or_else(|| ProgramError::Other {
            path: jar.to_owned(),
            name: name.to_owned(),
            said,
            install: super::install_line(name),
        })
}

/// `GROUP:ARTIFACT:VERSION` in its three parts.
pub(super) fn coordinates(library: &str) -> Option<[&str; 3]> {
    let parts: Vec<&str> = library.split(':').collect();
    let plain = |part: &&str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        !part.is_empty() && part.bytes().all(fits)
    };
    parts.iter().all(plain).then_some(())?;
    parts.try_into().ok()
}

/// The file name of a library.
pub(super) fn jar_name([_, artifact, version]: [&str; 3]) -> String {
    format!("{artifact}-{version}.jar")
}

/// Where Maven keeps a library, below its local repository.
fn place([group, artifact, version]: [&str; 3]) -> PathBuf {
    let mut path: PathBuf = group.split('.').collect();
    path.extend([artifact, version]);
    path.join(jar_name([group, artifact, version]))
}

/// A project that needs the libraries and does nothing. As extensions they are resolved by Maven
/// itself; as dependencies they would be by a plug-in, that is, by a program that is fetched too.
fn project<'a>(libraries: impl Iterator<Item = [&'a str; 3]>) -> String {
    let extensions: String = libraries
        .map(|[group, artifact, version]| {
            format!(
                "<extension><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                 <version>{version}</version></extension>\n"
            )
        })
        .collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n\
         <modelVersion>4.0.0</modelVersion>\n\
         <groupId>lnconform</groupId><artifactId>fetch</artifactId><version>1</version>\n\
         <packaging>pom</packaging>\n\
         <build><extensions>\n{extensions}</extensions></build>\n\
         </project>\n"
    )
}

/// The manifest of the program's own archive: what starts, and which libraries it needs beside it.
fn manifest(main: &str, libraries: &[String]) -> String {
    let mut text = format!("Main-Class: {main}\n");
    let path: Vec<String> = libraries.iter().map(|jar| format!("jars/{jar}")).collect();
    // No line has more than 72 bytes; one that begins with a space continues the one before.
    let line = format!("Class-Path: {}", path.join(" "));
    let mut rest = line.as_str();
    let mut room = 70;
    while rest.len() > room {
        let (now, later) = rest.split_at(room);
        text.push_str(now);
        text.push_str("\n ");
        rest = later;
        room = 69;
    }
    text.push_str(rest);
    text.push('\n');
    text
}

impl Provisioner {
    /// A JDK that is new enough: the one that `JAVA_HOME` names, else that of a `javac` on PATH; or
    /// what was seen instead.
    ///
    /// What the user names in `JAVA_HOME` is used or refused, never passed over.
    pub(super) fn jdk(&self, oldest: u32) -> Result<Jdk, String> {
        let named = self.vars.get(JAVA_ENV).filter(|home| !home.is_empty());
        let compilers = match named {
            Some(home) => vec![
                Path::new(home)
                    .join("bin")
                    .join(format!("javac{}", std::env::consts::EXE_SUFFIX)),
            ],
            None => self.on_path("javac"),
        };
        let mut seen = Vec::new();
        for javac in compilers {
            let said = self.quiet(&javac, &["-version"]);
            match said.as_ref().and_then(|(_, said)| javac_version(said)) {
                Some(version) if version >= oldest => {
                    // On PATH there are links, and the JVM belongs to the compiler.
                    let real = std::fs::canonicalize(&javac).unwrap_or_else(|_| javac.clone());
                    let home = real.parent().and_then(Path::parent).map(Path::to_owned);
                    let jdk = home.map(|home| Jdk { home });
                    match jdk.filter(|jdk| super::executable(&jdk.java())) {
                        Some(jdk) => return Ok(jdk),
                        None => seen.push(format!("{} has no java beside it", javac.display())),
                    }
                }
                Some(version) => seen.push(format!("{} is {version}", javac.display())),
                None => seen.push(format!("{} does not run", javac.display())),
            }
        }
        Err(if seen.is_empty() {
            format!("no `javac` on PATH, and {JAVA_ENV} is not set")
        } else {
            seen.join(", ")
        })
    }

    /// The error for that.
    pub(super) fn no_jdk(&self, name: &str, build: &MavenBuild, seen: String) -> ProvisionError {
        ProvisionError::NoJava {
            name: name.to_owned(),
            oldest: build.java,
            seen,
            line: super::install::apt_line(&[JDK_PACKAGE.to_owned()]),
        }
    }

    /// The system packages that are missing, as apt calls them. A JDK that is too old, or that the
    /// user named, is not helped by one.
    pub(super) fn missing_for_maven(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let named = self.vars.get(JAVA_ENV).is_some_and(|home| !home.is_empty());
        if !named && self.program("javac").is_none() {
            missing.push(JDK_PACKAGE.to_owned());
        }
        if self.program("mvn").is_none() {
            missing.push(MAVEN_PACKAGE.to_owned());
        }
        missing
    }
}

impl Installation<'_> {
    /// Fetches, checks, compiles, tries, and puts the program into the cache.
    pub(super) fn java_program(
        &mut self,
        build: &MavenBuild,
        jdk: &Jdk,
    ) -> Result<Found, ProvisionError> {
        let jars = self.libraries(build, jdk)?;
        self.compile(build, jdk, &jars)?;
        self.store_jar(&jars, jdk)
    }

    /// The libraries, each with the checksum of the version table; their file names in `jars/`.
    fn libraries(&mut self, build: &MavenBuild, jdk: &Jdk) -> Result<Vec<String>, ProvisionError> {
        let repository = self.work.join("repository");
        let jars = self.work.join("jars");
        let wanted: BTreeMap<[&str; 3], &String> = build
            .libraries
            .iter()
            .filter_map(|(library, sha256)| Some((coordinates(library)?, sha256)))
            .collect();
        let fetched = |library: &[&str; 3]| repository.join(place(*library));
        let right = |library: &[&str; 3], sha256: &str| {
            sha256_file(&fetched(library)).is_ok_and(|found| found == sha256)
        };
        if !wanted
            .iter()
            .all(|(library, sha256)| right(library, sha256))
        {
            self.say(
                Phase::Download,
                None,
                format!("fetching {} libraries with Maven", wanted.len()),
            );
            let project_file = self.work.join("fetch.xml");
            std::fs::write(&project_file, project(wanted.keys().copied()))
                .map_err(|e| self.io(&project_file, &e))?;
            let mvn = self
                .host
                .program("mvn")
                .unwrap_or_else(|| PathBuf::from("mvn"));
            let mut command = self.low_priority(&mvn);
            let mut local = OsString::from("-Dmaven.repo.local=");
            local.push(&repository);
            command
                .args(["--batch-mode", "--no-transfer-progress", "--file"])
                .arg(&project_file)
                .arg(local)
                .arg("validate")
                .env(JAVA_ENV, &jdk.home)
                .current_dir(&self.work);
            self.step("fetching with mvn", command, &mut |_| None)?;
        }
        self.say(Phase::Unpack, None, "checking the libraries");
        for (library, expected) in &wanted {
            let file = fetched(library);
            let found = sha256_file(&file).map_err(|e| ProvisionError::Step {
                name: self.name.to_owned(),
                step: "fetching with mvn".into(),
                said: format!("it did not bring {} ({e})", jar_name(*library)),
                log: self.work.join("build.log"),
            })?;
            if found != **expected {
                // So that the next try fetches anew.
                let _ = std::fs::remove_dir_all(&repository);
                return Err(ProvisionError::Library {
                    name: self.name.to_owned(),
                    file: jar_name(*library),
                    expected: (*expected).clone(),
                    found,
                });
            }
        }
        let lay = || -> io::Result<Vec<String>> {
            if jars.exists() {
                std::fs::remove_dir_all(&jars)?;
            }
            std::fs::create_dir_all(&jars)?;
            let mut names = Vec::new();
            for library in wanted.keys() {
                let name = jar_name(*library);
                std::fs::copy(fetched(library), jars.join(&name))?;
                names.push(name);
            }
            Ok(names)
        };
        lay().map_err(|e| self.io(&jars, &e))
    }

    /// Compiles the program into `PROGRAM` in the build folder.
    fn compile(
        &mut self,
        build: &MavenBuild,
        jdk: &Jdk,
        jars: &[String],
    ) -> Result<(), ProvisionError> {
        self.say(Phase::Build, None, "compiling, usually takes some seconds");
        let (source, classes) = (self.work.join("source"), self.work.join("classes"));
        let manifest_file = self.work.join("manifest.txt");
        let lay = || -> io::Result<Vec<PathBuf>> {
            for folder in [&source, &classes] {
                if folder.exists() {
                    std::fs::remove_dir_all(folder)?;
                }
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&manifest_file, manifest(&build.main, jars))?;
            let mut files = Vec::new();
            for (name, content) in &build.files {
                let file = source.join(name);
                std::fs::write(&file, content)?;
                files.push(file);
            }
            Ok(files)
        };
        let files = lay().map_err(|e| self.io(&source, &e))?;
        let path = jars.iter().map(|jar| self.work.join("jars").join(jar));
        // Fails only for a folder whose own path holds the separator; javac will say what it lacks.
        let path = std::env::join_paths(path).unwrap_or_default();
        let mut javac = self.low_priority(&jdk.tool("javac"));
        javac
            .args(["-encoding", "UTF-8", "-nowarn", "--release"])
            .arg(build.java.to_string())
            .arg("-classpath")
            .arg(path)
            .arg("-d")
            .arg(&classes)
            .args(files);
        self.step("compiling with javac", javac, &mut |_| None)?;
        let mut jar = Command::new(jdk.tool("jar"));
        jar.arg("--create")
            .arg("--file")
            .arg(self.work.join(&self.entry.program))
            .arg("--manifest")
            .arg(&manifest_file)
            .arg("-C")
            .arg(&classes)
            .arg(".");
        self.step("jar", jar, &mut |_| None)
    }

    /// Tries the program where it was built, and puts it into the cache.
    fn store_jar(&mut self, jars: &[String], jdk: &Jdk) -> Result<Found, ProvisionError> {
        let entry = self.entry;
        let built = self.work.join(&entry.program);
        let mut unpack = Command::new(jdk.java());
        unpack
            .args(quiet_args())
            .arg("-jar")
            .arg(&built)
            .arg("--unpack")
            .arg(&self.work);
        self.step("unpacking the native library", unpack, &mut |_| None)?;
        let version = jar_version(self.name, &jdk.java(), &built)?;
        self.built(&version)?;
        self.say(Phase::Store, None, "putting it into the cache");
        let work = self.work.clone();
        let folder = self.put(|part| {
            std::fs::create_dir_all(part.join("jars"))?;
            for jar in jars {
                std::fs::copy(work.join("jars").join(jar), part.join("jars").join(jar))?;
            }
            std::fs::rename(work.join("native"), part.join("native"))?;
            let target = part.join(&entry.program);
            std::fs::copy(&built, &target)?;
            Ok((target, Some(jdk.java())))
        })?;
        let path = folder.join(&entry.program);
        // Only where it lies: an archive holds the paths of what it was made from. Without it the
        // start takes longer, and nothing else changes.
        let mut dump = Command::new(jdk.java());
        let mut into = OsString::from("-XX:ArchiveClassesAtExit=");
        into.push(archive(&path));
        dump.args(quiet_args())
            .arg(into)
            .arg("-jar")
            .arg(&path)
            .arg("--version");
        let _ = self.capture(dump, "archiving classes", None, &mut |_| None)?;
        Ok(Found {
            name: self.name.to_owned(),
            path,
            label: entry.label(&version),
            version,
            from: Source::Cache,
            interpreter: Some(jdk.java()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::{Build, table};

    #[test]
    fn versions_are_read_out_of_what_a_compiler_says() {
        for (said, version) in [
            ("javac 17.0.15\n", Some(17)),
            ("javac 21", Some(21)),
            ("javac 11.0.2-ea", Some(11)),
            ("javac 1.8.0_442", Some(8)),
            ("java 17", None),
            ("javac x", None),
            ("", None),
        ] {
            assert_eq!(javac_version(said), version, "{said}");
        }
    }

    #[test]
    fn a_library_has_three_parts_and_a_place() {
        let parts = coordinates("org.example:lib-jvm:1.0").unwrap();
        assert_eq!(parts, ["org.example", "lib-jvm", "1.0"]);
        assert_eq!(
            place(parts),
            Path::new("org/example/lib-jvm/1.0/lib-jvm-1.0.jar")
        );
        for wrong in ["", "a:b", "a:b:c:d", "a::c", "a:b/..:c", "a:b:<c>"] {
            assert_eq!(coordinates(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_manifests_lines_are_short_and_say_the_same_joined() {
        let jars: Vec<String> = (0..20).map(|n| format!("library-{n}.jar")).collect();
        let text = manifest("a.b.Main", &jars);
        assert!(text.lines().all(|line| line.len() <= 72), "{text}");
        let joined = text.replace("\n ", "");
        let path: Vec<_> = jars.iter().map(|jar| format!("jars/{jar}")).collect();
        assert_eq!(
            joined,
            format!("Main-Class: a.b.Main\nClass-Path: {}\n", path.join(" "))
        );
    }

    fn kmp() -> MavenBuild {
        match &table().unwrap()["kmp"].build {
            Build::Maven(build) => build.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// A source file that is added to the program is added to the list, too.
    #[test]
    fn all_sources_of_the_program_on_the_jvm_are_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../adapters/kmp/src/main/java/lnconform/kmp");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".java"))
            .collect();
        there.sort();
        assert_eq!(kmp().files.keys().cloned().collect::<Vec<_>>(), there);
    }

    /// The project file is for people; the table is what is installed.
    #[test]
    fn the_project_file_names_the_library_and_the_java_of_the_table() {
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/kmp/pom.xml");
        let text: String = std::fs::read_to_string(text)
            .unwrap()
            .split_whitespace()
            .collect();
        let entry = &table().unwrap()["kmp"];
        let version = &entry.version;
        let library = format!(
            "<artifactId>lightning-kmp-jvm</artifactId><version>{version}</version></dependency>"
        );
        assert!(text.contains(&library));
        assert!(text.contains(&format!(
            "<maven.compiler.release>{}</maven.compiler.release>",
            kmp().java
        )));
        let pinned = format!("fr.acinq.lightning:lightning-kmp-jvm:{version}");
        assert!(kmp().libraries.contains_key(&pinned));
    }
}

/// Installations with stand-ins for Maven and the JDK: shell scripts on a PATH that has nothing else.
#[cfg(all(test, unix))]
mod stand_ins {
    use super::*;
    use crate::provision::tests::write_program;
    use crate::provision::{Build, Lookup, Progress};
    use sha2::{Digest, Sha256};

    /// Maven: brings one library. `offline`, `altered`, `nothing`: what goes wrong.
    const MVN: &str = r#"
if [ -e "$T/offline" ]; then
  echo "[ERROR] Could not transfer artifact a:b:pom:1 from/to central: Unknown host repo: Name or service not known"
  exit 1
fi
for a; do case "$a" in -Dmaven.repo.local=*) repo=${a#*=};; esac; done
[ -n "$JAVA_HOME" ] || exit 8
[ -e "$T/nothing" ] && exit
mkdir -p "$repo/org/example/lib/1.0"
if [ -e "$T/altered" ]; then echo evil; else printf 'the library'; fi > "$repo/org/example/lib/1.0/lib-1.0.jar""#;

    /// The compiler: `javac-version` is what it says it is; `fail`: it does not compile.
    const JAVAC: &str = r#"
case "$*" in
  -version) echo "javac $(cat "$T/javac-version" 2>/dev/null || echo 17.0.1)"; exit;;
esac
[ -e "$T/fail" ] && { echo "Main.java:1: error: no such thing" >&2; exit 1; }
exit 0"#;

    const JAR: &str = r#"
while [ "$1" != --file ]; do shift; done
echo program > "$2""#;

    /// The JVM: `built-version` is what the program says it is; `broken`: it does not start.
    const JAVA: &str = r#"
[ -e "$T/broken" ] && exit 1
for a; do :; done
case "$*" in
  *--unpack*) mkdir -p "$a/native" && echo library > "$a/native/lib.so";;
  *ArchiveClassesAtExit*) for a; do case "$a" in *ArchiveClassesAtExit=*) echo classes > "${a#*=}";; esac; done;;
  *--version) echo "kmp $(cat "$T/built-version" 2>/dev/null || echo 1.8.4)";;
esac"#;

    struct Stage {
        folder: tempfile::TempDir,
    }

    impl Stage {
        fn new() -> Self {
            let stage = Self {
                folder: tempfile::tempdir().unwrap(),
            };
            std::fs::create_dir(stage.path("bin")).unwrap();
            for (name, body) in [("mvn", MVN), ("javac", JAVAC), ("jar", JAR), ("java", JAVA)] {
                let text = format!(
                    "#!/bin/sh\nPATH=/usr/bin:/bin; T='{}'\necho \"{name} $*\" >> \"$T/calls\"\n{body}\n",
                    stage.folder.path().display()
                );
                write_program(&stage.path("bin").join(name), &text);
            }
            stage
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn set(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).unwrap();
        }

        fn unset(&self, name: &str) {
            std::fs::remove_file(self.path(name)).unwrap();
        }

        fn calls(&self, word: &str) -> usize {
            let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
            text.lines().filter(|l| l.starts_with(word)).count()
        }

        fn host_with(&self, vars: Vec<(String, OsString)>) -> Provisioner {
            let mut host = Provisioner::new(self.path("cache"), self.path("bin"), vars);
            match &mut host.entries.get_mut("kmp").unwrap().build {
                Build::Maven(build) => {
                    let sha256 = hex::encode(Sha256::digest("the library"));
                    build.libraries = [("org.example:lib:1.0".to_owned(), sha256)].into();
                }
                other => panic!("{other:?}"),
            }
            host
        }

        fn host(&self) -> Provisioner {
            self.host_with(Vec::new())
        }

        fn install(&self) -> Result<Found, ProvisionError> {
            self.host().install("kmp", false, &mut |_| {})
        }

        fn problems(&self) -> Vec<String> {
            let rows = self.host().doctor();
            let row = rows.into_iter().find(|row| row.name == "kmp").unwrap();
            assert!(!row.found);
            row.problems
        }
    }

    #[test]
    fn a_program_on_the_jvm_is_fetched_checked_compiled_and_found_again() {
        let stage = Stage::new();
        let mut phases = Vec::new();
        let found = stage
            .host()
            .install("kmp", false, &mut |progress: Progress| {
                phases.push(progress.phase);
            })
            .unwrap();
        assert_eq!(
            phases,
            [Phase::Download, Phase::Unpack, Phase::Build, Phase::Store]
        );
        let folder = stage.path("cache/kmp/1.8.4");
        assert_eq!(
            (found.label.as_str(), &found.from),
            ("1.8.4", &Source::Cache)
        );
        assert_eq!(found.path, folder.join("kmp.jar"));
        for file in [
            "jars/lib-1.0.jar",
            "native/lib.so",
            "kmp.jsa",
            "manifest.json",
        ] {
            assert!(folder.join(file).is_file(), "{file}");
        }
        assert!(!stage.path("cache/tmp/kmp-1.8.4").exists());
        let (program, args) = found.command();
        assert_eq!(
            program,
            std::fs::canonicalize(stage.path("bin/java")).unwrap()
        );
        assert!(args.contains(&"-Xmx128m".into()), "{args:?}");
        assert_eq!(
            args[args.len() - 2..],
            ["-jar".into(), found.path.clone().into_os_string()]
        );
        assert_eq!(stage.install().unwrap(), found);
        assert_eq!(stage.calls("mvn"), 1, "it is there already");
        match stage.host().find("kmp").unwrap() {
            Lookup::Found(again) => assert_eq!(again, found),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_table_does_not_vouch_for_is_neither_compiled_nor_kept() {
        let stage = Stage::new();
        stage.set("altered", "");
        let error = stage.install().unwrap_err();
        assert!(matches!(error, ProvisionError::Library { .. }), "{error:?}");
        assert!(error.to_string().contains("lib-1.0.jar"), "{error}");
        assert_eq!(stage.calls("javac -encoding"), 0);
        assert!(!stage.path("cache/kmp").exists());
        stage.unset("altered");
        stage.install().unwrap();
    }

    #[test]
    fn each_failure_says_whose_fault_it_is_and_what_to_type() {
        let stage = Stage::new();
        stage.set("offline", "");
        let error = stage.install().unwrap_err();
        assert!(matches!(error, ProvisionError::NoMaven { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("Unknown host repo") && text.contains("settings.xml"),
            "{text}"
        );
        stage.unset("offline");

        stage.set("nothing", "");
        let text = stage.install().unwrap_err().to_string();
        assert!(text.contains("did not bring lib-1.0.jar"), "{text}");
        stage.unset("nothing");

        stage.set("fail", "");
        let text = stage.install().unwrap_err().to_string();
        assert!(
            text.contains("compiling with javac failed") && text.contains("no such thing"),
            "{text}"
        );
        stage.unset("fail");

        stage.set("built-version", "1.8.3");
        let text = stage.install().unwrap_err().to_string();
        assert!(text.contains("1.8.3") && text.contains("1.8.4"), "{text}");
        stage.unset("built-version");
        stage.install().unwrap();
    }

    #[test]
    fn without_maven_or_a_jdk_that_is_new_enough_the_line_to_type_is_shown() {
        let stage = Stage::new();
        stage.set("javac-version", "11.0.2");
        let error = stage.install().unwrap_err();
        assert!(matches!(error, ProvisionError::NoJava { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("is 11") && text.contains("Java 17"), "{text}");
        assert!(stage.problems().iter().any(|p| p.contains("Java 17")));
        // One that is named is used or refused, whatever PATH has.
        stage.unset("javac-version");
        let named = vec![(
            JAVA_ENV.to_owned(),
            stage.path("elsewhere").into_os_string(),
        )];
        let host = stage.host_with(named);
        let text = host
            .install("kmp", false, &mut |_| {})
            .unwrap_err()
            .to_string();
        assert!(text.contains("elsewhere/bin/javac does not run"), "{text}");
        for program in ["mvn", "javac"] {
            std::fs::remove_file(stage.path("bin").join(program)).unwrap();
        }
        let text = stage.install().unwrap_err().to_string();
        assert!(
            text.contains("sudo apt-get install -y default-jdk-headless maven"),
            "{text}"
        );
        let problems = stage.problems();
        assert!(problems.iter().any(|p| p.contains("maven")), "{problems:?}");
    }

    #[test]
    fn an_installation_that_changed_or_lost_its_jvm_is_made_anew() {
        let stage = Stage::new();
        let found = stage.install().unwrap();
        let missing = || match stage.host().find("kmp").unwrap() {
            Lookup::Missing(missing) => missing.to_string(),
            other => panic!("{other:?}"),
        };
        let library = found.path.with_file_name("jars").join("lib-1.0.jar");
        std::fs::remove_file(&library).unwrap();
        assert!(missing().contains("lib-1.0.jar is not what was installed"));
        stage.install().unwrap();
        std::fs::write(&found.path, "another").unwrap();
        assert!(missing().contains("kmp.jar is not what was installed"));
        stage.install().unwrap();
        // Same size, other content: seen where checksums are computed.
        std::fs::write(&library, "the librarx").unwrap();
        assert!(stage.problems().iter().any(|p| p.contains("lib-1.0.jar")));
        assert_eq!(stage.install().unwrap(), found);
        let java = stage.path("bin/java");
        std::fs::rename(&java, stage.path("java")).unwrap();
        assert!(missing().contains("the JVM that runs it is gone"));
        std::fs::rename(stage.path("java"), &java).unwrap();
        stage.set("broken", "");
        assert!(
            stage
                .problems()
                .iter()
                .any(|p| p.contains("kmp.jar does not run"))
        );
    }
}
