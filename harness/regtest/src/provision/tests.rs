//! Installations with stand-ins for Python, CMake, dpkg and apt: shell scripts on a PATH that has
//! nothing else. Their behaviour is chosen by files in their folder.

use super::*;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

/// What the stand-in for the source package holds.
const SOURCE: &str = "the source";

/// Python: the environment, pip, tarfile, our own program's `--version`. `offline`, `no-wheel`,
/// `pip-fail`, `refused`, `altered`, `no-import`: what goes wrong.
const PYTHON: &str = r#"
case "$*" in
  *sys.version_info*) cat "$T/python-version" 2>/dev/null || echo 3 11; exit;;
  *ensurepip*) [ ! -e "$T/no-venv" ]; exit;;
  "-m venv "*) for d; do :; done; mkdir -p "$d/bin" && ln -sf "$0" "$d/bin/python"; exit;;
  "-B -E -s "*" --version") [ -e "$T/no-import" ] && exit 1
    echo "draft-py $(cat "$T/built-version" 2>/dev/null || echo 0.2.0)"; exit;;
esac
if [ -e "$T/offline" ]; then
  echo "WARNING: Retrying after connection broken by 'NewConnectionError: Temporary failure in name resolution'"
  echo "ERROR: No matching distribution found for it" >&2; exit 1
fi
if [ -e "$T/no-wheel" ]; then
  echo "ERROR: Could not find a version that satisfies the requirement it==2 (from versions: 1, 1.1)" >&2
  echo "ERROR: No matching distribution found for it==2" >&2; exit 1
fi
case "$*" in
  *" install "*)
    if [ -e "$T/pip-fail" ]; then . "$T/pip-fail"; fi
    case "$*" in *--require-hashes*) [ -e "$T/refused" ] || exit 0;; *) exit 0;; esac;;
esac
case "$*" in
  *" download "*|*" --require-hashes "*)
    if [ -e "$T/refused" ]; then
      echo "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. Otherwise" >&2
      echo "        Expected sha256 aa" >&2; echo "             Got        bb" >&2; exit 1
    fi
    while [ "$1" != --dest ]; do shift; done
    mkdir -p "$2"
    if [ -e "$T/altered" ]; then echo evil; else printf 'the source'; fi > "$2/src.tar.gz"; exit;;
  "-m tarfile "*) mkdir -p "$5/src"; exit;;
esac
exit 9"#;

/// CMake: `--build` waits for `go` if `wait` exists, and fails as `fail` says.
const CMAKE: &str = r#"
if [ "$1" = --build ]; then
  echo "[1/4] Building CXX object a.o"
  while [ -e "$T/wait" ] && [ ! -e "$T/go" ]; do sleep 0.02; done
  if [ -e "$T/fail" ]; then . "$T/fail"; fi
  echo "[4/4] Linking CXX executable bin/bitcoind"
  mkdir -p "$2/bin"
  v=$(cat "$T/built-version" 2>/dev/null || echo 31.99.0)
  printf '#!/bin/sh\necho "Bitcoin Core daemon version v%s"\n' "$v" > "$2/bin/bitcoind"
  chmod +x "$2/bin/bitcoind"
else
  while [ "$1" != -B ]; do shift; done
  mkdir -p "$2"
fi"#;

/// dpkg-query: what is listed in `absent` is not installed.
const DPKG: &str = r#"
for p; do :; done
if grep -qx -- "$p" "$T/absent" 2>/dev/null; then echo "dpkg-query: no packages found" >&2; exit 1; fi
echo installed"#;

/// apt-get: knows nothing before `update`; `locked` holds how often it finds the lock taken.
const APT: &str = r#"
n=$(cat "$T/locked" 2>/dev/null || echo 0)
if [ "$n" -gt 0 ]; then
  echo $((n - 1)) > "$T/locked"
  echo "E: Could not get lock /var/lib/apt/lists/lock" >&2; exit 100
fi
case "$*" in
  *" update") touch "$T/updated"; exit;;
  *) [ -e "$T/updated" ] || { echo "E: Unable to locate package" >&2; exit 100; };;
esac
rm -f "$T/absent" "$T/no-venv""#;

/// sudo without a password.
const SUDO: &str = r#"
shift
exec "$@""#;

/// Go: `version`, `mod download`, `list`, `build`. `go-version`, `answer`, `offline`, `refused`:
/// what it says; `wait`, `fail` and `built-version` as with CMake. What it builds says the version
/// that stands in the source, and, as its own, the name of its file.
const GO: &str = r#"
case "$*" in
  version) echo "go version go$(cat "$T/go-version" 2>/dev/null || echo 1.25.10) linux/amd64"; exit;;
esac
[ "$GOTOOLCHAIN $GOWORK $GOFLAGS" = "local off -mod=readonly" ] || exit 8
case "$*" in
  "mod download -json "*)
    v=${4#*@v}
    if [ -e "$T/offline" ]; then
      echo '{"Error": "lnd: Get "https://proxy": dial tcp: lookup proxy:
	no such host"}'; exit 1
    fi
    if [ -e "$T/refused" ]; then echo '{"Error": "unknown revision"}'; exit 1; fi
    echo "go: downloading something" >&2
    sum=$(cat "$T/answer" 2>/dev/null || cat "$T/sum-$v")
    mod=$(cat "$T/mod-answer" 2>/dev/null || echo h1:mod)
    printf '{
	"Dir": "%s",
	"Sum": "%s",
	"GoModSum": "%s"
}
' "$T/module-$v" "$sum" "$mod"
    exit;;
  "list "*) echo "go: downloading it"; echo a; echo; echo b; echo c; echo d; exit;;
  "build "*)
    echo a; echo b
    while [ -e "$T/wait" ] && [ ! -e "$T/go" ]; do sleep 0.02; done
    if [ -e "$T/fail" ]; then . "$T/fail"; fi
    echo c
    for package; do :; done
    [ -d "$package" ] || exit 7
    cat "$package"/*.go > "$T/built-from"
    while [ "$1" != -o ]; do shift; done
    v=$(cat "$T/built-version" 2>/dev/null || cat version)
    printf '#!/bin/sh
echo "%s version %s commit="
' "$(basename "$2")" "$v" > "$2"
    chmod +x "$2"; exit;;
esac
exit 9"#;

struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(stage.path("bin")).unwrap();
        for (name, body) in [
            ("python3", PYTHON),
            ("cmake", CMAKE),
            ("dpkg-query", DPKG),
            ("apt-get", APT),
            ("sudo", SUDO),
            ("go", GO),
        ] {
            stage.program(name, body);
        }
        for name in ["ninja", "c++", "pkg-config"] {
            stage.program(name, "exit 0");
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

    /// A shell script on PATH that notes each call in `calls`.
    fn program(&self, name: &str, body: &str) -> PathBuf {
        let text = format!(
            "#!/bin/sh\nPATH=/usr/bin:/bin; T='{}'\necho \"{name} $*\" >> \"$T/calls\"\n{body}\n",
            self.folder.path().display()
        );
        let path = self.path("bin").join(name);
        write_program(&path, &text);
        path
    }

    fn calls(&self, word: &str) -> usize {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().filter(|l| l.contains(word)).count()
    }

    fn host(&self) -> Provisioner {
        self.host_with_cache(self.path("cache"))
    }

    fn host_with_cache(&self, cache: PathBuf) -> Provisioner {
        let mut host = Provisioner::new(cache, self.path("bin"), []);
        let build = cmake(&mut host);
        build.sha256 = hex::encode(Sha256::digest(SOURCE));
        build.file = "src.tar.gz".into();
        build.folder = "src".into();
        host
    }

    /// A host for which the modules of LND are two folders here.
    fn go_host(&self) -> Provisioner {
        let mut host = Provisioner::new(self.path("cache"), self.path("bin"), []);
        for version in ["0.21.2-beta", "0.20.2-beta"] {
            let folder = self.path(&format!("module-{version}"));
            if !folder.exists() {
                std::fs::create_dir_all(folder.join("cmd/lnd")).unwrap();
                std::fs::write(folder.join("version"), version).unwrap();
                std::fs::write(folder.join("cmd/lnd/lnd.go"), "// lnd").unwrap();
                let module = format!("github.com/lightningnetwork/lnd@v{version}");
                let sum = go::checksum(&folder, &module).unwrap();
                self.set(&format!("sum-{version}"), &sum);
            }
            let sum = std::fs::read_to_string(self.path(&format!("sum-{version}"))).unwrap();
            for name in ["lnd", "lnd-codec"] {
                let entry = host.entries.get_mut(name).unwrap();
                match entry.versions.get_mut(version) {
                    Some(pins) => {
                        pins.insert("sum".into(), sum.clone().into());
                        pins.insert("go_mod_sum".into(), "h1:mod".into());
                    }
                    None => match &mut entry.build {
                        Build::GoModule(build) => {
                            build.sum = sum.clone();
                            build.go_mod_sum = "h1:mod".into();
                        }
                        other => panic!("{other:?}"),
                    },
                }
            }
        }
        host
    }

    fn install_go(&self, spec: &str) -> Result<Found, ProvisionError> {
        self.go_host().install(spec, false, &mut |_| {})
    }

    fn install_py(&self) -> Result<Found, ProvisionError> {
        self.host().install("draft-py", false, &mut |_| {})
    }

    fn install(&self) -> Result<Found, ProvisionError> {
        self.host().install("bitcoind", false, &mut |_| {})
    }

    fn work(&self) -> PathBuf {
        self.path("cache/tmp/bitcoind-31.99.0")
    }
}

fn cmake(host: &mut Provisioner) -> &mut CmakeBuild {
    match &mut host.entries.get_mut("bitcoind").unwrap().build {
        Build::BitcoinCoreCmake(build) => build,
        other => panic!("bitcoind is built by CMake: {other:?}"),
    }
}

fn doctor_of(host: &Provisioner, name: &str) -> Doctor {
    host.doctor().into_iter().find(|d| d.name == name).unwrap()
}

/// Written by another process: a file that this one holds open for writing could not be run by any
/// child until all children of other tests, in the moment between fork and exec, have closed it.
pub(super) fn write_program(path: &Path, text: &str) {
    use std::io::Write;
    let mut writer = Command::new("sh")
        .args(["-c", "rm -f \"$0\"; cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(writer.wait().unwrap().success());
}

#[test]
fn an_installation_goes_through_its_phases_and_is_found_afterwards() {
    let stage = Stage::new();
    let mut seen = Vec::new();
    let found = stage
        .host()
        .install("bitcoind", false, &mut |p| seen.push(p))
        .unwrap();
    assert_eq!(found.from, Source::Cache);
    assert_eq!(found.version, Version::new(31, 99, 0));
    assert_eq!(
        found.path,
        stage.path("cache/bitcoind/31.99.0/bin/bitcoind")
    );
    let mut phases: Vec<Phase> = seen.iter().map(|p| p.phase).collect();
    phases.dedup();
    let all = [
        Phase::Tools,
        Phase::Download,
        Phase::Unpack,
        Phase::Configure,
        Phase::Build,
        Phase::Store,
    ];
    assert_eq!(phases, all);
    let percents: Vec<u8> = seen.iter().filter_map(|p| p.percent).collect();
    assert_eq!(percents, [0, 25, 100]);
    assert!(
        seen.iter()
            .any(|p| p.message.contains("usually takes 7 minutes"))
    );
    assert!(!stage.work().exists(), "the build folder stays");

    assert_eq!(
        stage.host().find("bitcoind").unwrap(),
        Lookup::Found(found.clone())
    );
    let calls = stage.calls("");
    assert_eq!(stage.install().unwrap(), found);
    assert_eq!(
        stage
            .host()
            .install("bitcoind@31.99.0", false, &mut |_| {})
            .unwrap(),
        found
    );
    assert_eq!(
        stage.calls(""),
        calls,
        "something ran although all was there"
    );
}

#[test]
fn the_tools_that_are_missing_come_from_the_python_registry() {
    let stage = Stage::new();
    std::fs::remove_file(stage.path("bin/ninja")).unwrap();
    stage.install().unwrap();
    assert_eq!(
        stage.calls("install scikit-build-core setuptools_scm ninja"),
        1
    );
}

#[test]
fn without_a_network_the_registry_is_named_and_a_later_try_succeeds() {
    let stage = Stage::new();
    stage.set("offline", "");
    let error = stage.install().unwrap_err();
    assert!(matches!(error, ProvisionError::NoNetwork { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("PIP_INDEX_URL") && text.contains("lnconform install bitcoind"),
        "{text}"
    );
    stage.unset("offline");
    stage.install().unwrap();
}

#[test]
fn a_source_with_another_checksum_is_removed_and_never_unpacked() {
    let stage = Stage::new();
    stage.set("altered", "");
    let error = stage.install().unwrap_err();
    let ProvisionError::Checksum {
        expected, found, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(*expected, hex::encode(Sha256::digest(SOURCE)));
    assert_eq!(*found, hex::encode(Sha256::digest("evil\n")));
    assert!(!stage.work().join("download/src.tar.gz").exists());
    assert_eq!(stage.calls("tarfile"), 0);
    stage.unset("altered");
    stage.install().unwrap();
}

#[test]
fn a_source_that_pip_refuses_for_its_hash_is_the_same_error() {
    let stage = Stage::new();
    stage.set("refused", "");
    let error = stage.install().unwrap_err();
    assert!(
        matches!(&error, ProvisionError::Checksum { found, .. } if found == "bb"),
        "{error}"
    );
    assert_eq!(stage.calls("--require-hashes"), 1);
    let list = std::fs::read_to_string(stage.work().join("requirements.txt")).unwrap();
    let hash = hex::encode(Sha256::digest(SOURCE));
    assert_eq!(
        list,
        format!("py-bitcoinkernel==0.1.0a5 --hash=sha256:{hash}\n")
    );
}

#[test]
fn an_interrupted_build_is_taken_up_where_it_stopped() {
    let stage = Stage::new();
    stage.set("fail", "kill -9 $$");
    let error = stage.install().unwrap_err();
    assert!(matches!(error, ProvisionError::Step { .. }), "{error}");
    stage.unset("fail");
    stage.install().unwrap();
    for once in ["-m venv", " download ", "tarfile", "cmake -G"] {
        assert_eq!(stage.calls(once), 1, "{once}");
    }
    assert_eq!(stage.calls("cmake --build"), 2);
}

#[test]
fn what_another_recipe_left_is_thrown_away() {
    let stage = Stage::new();
    stage.set("fail", "exit 1");
    stage.install().unwrap_err();
    stage.unset("fail");
    let mut host = stage.host();
    cmake(&mut host).cmake.push("-DNEW=1".into());
    host.install("bitcoind", false, &mut |_| {}).unwrap();
    assert_eq!(stage.calls("tarfile"), 2);
    assert_eq!(stage.calls("-DNEW=1"), 1);
}

#[test]
fn two_at_once_build_once() {
    let stage = Stage::new();
    stage.set("wait", "");
    let (building, builds) = channel();
    let (waiting, waits) = channel();
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            stage.host().install("bitcoind", false, &mut |p| {
                if p.phase == Phase::Build {
                    let _ = building.send(());
                }
            })
        });
        builds.recv_timeout(Duration::from_secs(20)).unwrap();
        let second = scope.spawn(|| {
            let said = Mutex::new(String::new());
            let found = stage.host().install("bitcoind", false, &mut |p| {
                assert_eq!(p.phase, Phase::Wait, "{}", p.message);
                *said.lock().unwrap() = p.message;
                let _ = waiting.send(());
            });
            (found, said.into_inner().unwrap())
        });
        waits.recv_timeout(Duration::from_secs(20)).unwrap();
        stage.set("go", "");
        let first = first.join().unwrap().unwrap();
        let (second, said) = second.join().unwrap();
        assert_eq!(second.unwrap(), first);
        assert!(
            said.contains(&format!("(process {})", std::process::id())),
            "{said}"
        );
    });
    assert_eq!(stage.calls("cmake --build"), 1);
}

#[test]
fn a_cache_that_cannot_be_written_is_named_with_what_to_set() {
    let stage = Stage::new();
    stage.set("file", "");
    // Root may write everywhere but below a file and in /proc.
    for place in [stage.path("file/cache"), PathBuf::from("/proc/lnconform")] {
        let host = stage.host_with_cache(place.clone());
        let error = host.install("bitcoind", false, &mut |_| {}).unwrap_err();
        assert!(
            matches!(error, ProvisionError::CacheNotWritable { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("LNCONFORM_CACHE"), "{error}");
        let doctor = &host.doctor()[0];
        assert!(
            doctor
                .problems
                .iter()
                .any(|p| p.contains("LNCONFORM_CACHE")),
            "{doctor:?}"
        );
    }
    assert_eq!(stage.calls("-m venv"), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_what_was_built_stays() {
    let stage = Stage::new();
    // A write to this device fails as on a full disk.
    stage.set("fail", "/bin/echo x > /dev/full || exit 1");
    let error = stage.install().unwrap_err();
    assert!(matches!(error, ProvisionError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("LNCONFORM_CACHE"), "{error}");
    assert!(stage.work().join("configured").exists());
    // The harness's own writes.
    let full = std::fs::write("/dev/full", "x").unwrap_err();
    let error = install::file_error("bitcoind", &stage.work(), &full);
    assert!(matches!(error, ProvisionError::DiskFull { .. }), "{error}");
}

#[test]
fn missing_packages_are_named_in_one_line_and_not_installed_unasked() {
    let stage = Stage::new();
    stage.set("absent", "libzmq3-dev\nlibboost-dev\n");
    stage.set("no-venv", "");
    std::fs::remove_file(stage.path("bin/c++")).unwrap();
    let error = stage.install().unwrap_err();
    let line = "`sudo apt-get install -y g++ libboost-dev libzmq3-dev python3-venv`";
    assert!(error.to_string().contains(line), "{error}");
    assert_eq!(stage.calls("apt-get"), 0);
    let doctor = &stage.host().doctor()[0];
    for package in ["g++", "libboost-dev", "libzmq3-dev", "python3-venv"] {
        let line = format!("`sudo apt-get install -y {package}`");
        assert!(
            doctor.problems.iter().any(|p| p.contains(&line)),
            "{line}: {doctor:?}"
        );
    }
    assert_eq!(doctor.install, "lnconform install bitcoind");
}

#[test]
fn with_leave_packages_are_installed_and_a_lock_of_apt_is_waited_for() {
    let stage = Stage::new();
    stage.set("absent", "libzmq3-dev\n");
    stage.set("locked", "1");
    stage.host().install("bitcoind", true, &mut |_| {}).unwrap();
    assert!(
        stage.calls("DPkg::Lock::Timeout=120 install -y --no-install-recommends libzmq3-dev") >= 2
    );
    assert_eq!(stage.calls(" update"), 1);
}

#[test]
fn an_apt_that_fails_is_reported_with_its_words() {
    let stage = Stage::new();
    stage.set("absent", "libzmq3-dev\n");
    stage.program("apt-get", "echo 'E: the mirror is on fire'; exit 100");
    let error = stage
        .host()
        .install("bitcoind", true, &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(&error, ProvisionError::Apt { said, .. } if said.contains("on fire")),
        "{error}"
    );
}

#[test]
fn a_missing_or_old_python_is_named() {
    let stage = Stage::new();
    stage.set("python-version", "3 8");
    let error = stage.install().unwrap_err();
    assert!(
        matches!(&error, ProvisionError::NoPython { seen, .. } if seen == "python3 is 3.8"),
        "{error}"
    );
    let doctor = &stage.host().doctor()[0];
    assert!(
        doctor.problems.iter().any(|p| p.contains("python3 is 3.8")),
        "{doctor:?}"
    );
    std::fs::remove_file(stage.path("bin/python3")).unwrap();
    let error = stage.install().unwrap_err().to_string();
    assert!(
        error.contains("apt-get install -y python3 python3-venv"),
        "{error}"
    );
}

#[test]
fn the_order_is_variable_path_cache() {
    let stage = Stage::new();
    let from = |host: &Provisioner| match host.find("bitcoind").unwrap() {
        Lookup::Found(found) => Some((found.from, found.version.to_string())),
        Lookup::Missing(_) => None,
    };
    let version = |v: &str| format!("echo 'Bitcoin Core daemon version v{v}.0-rc1'");
    assert_eq!(from(&stage.host()), None);
    stage.install().unwrap();
    assert_eq!(from(&stage.host()), Some((Source::Cache, "31.99.0".into())));
    stage.program("bitcoind", &version("31.1"));
    assert_eq!(from(&stage.host()), Some((Source::Path, "31.1.0".into())));
    let other = stage.path("mine");
    write_program(&other, &format!("#!/bin/sh\n{}\n", version("31.2")));
    let mut host = stage.host();
    host.vars
        .insert("BITCOIND_EXE".into(), other.clone().into());
    assert_eq!(from(&host), Some((Source::Env, "31.2.0".into())));

    // A wrong one on PATH is passed over; a wrong one in the variable is the user's to mend.
    stage.program("bitcoind", &version("28.0"));
    assert_eq!(from(&stage.host()), Some((Source::Cache, "31.99.0".into())));
    write_program(&other, &format!("#!/bin/sh\n{}\n", version("28.0")));
    let error = host.find("bitcoind").unwrap_err();
    assert!(matches!(error, ProgramError::Version { .. }), "{error}");
    assert!(matches!(
        host.install("bitcoind", false, &mut |_| {}),
        Err(ProvisionError::Program(_))
    ));
    std::fs::remove_dir_all(stage.path("cache")).unwrap();
    let Lookup::Missing(missing) = stage.host().find("bitcoind").unwrap() else {
        panic!()
    };
    assert!(missing.to_string().contains("28.0.0"), "{missing}");
}

#[test]
fn a_program_that_was_damaged_in_the_cache_is_built_anew() {
    let stage = Stage::new();
    let found = stage.install().unwrap();
    let intact = std::fs::read(&found.path).unwrap();
    std::fs::write(&found.path, &intact[..20]).unwrap();
    assert!(matches!(
        stage.host().find("bitcoind").unwrap(),
        Lookup::Missing(_)
    ));
    // One of the same size is seen by the checksum, which `doctor` and `install` compute.
    std::fs::write(&found.path, vec![b'#'; intact.len()]).unwrap();
    assert!(!stage.host().doctor()[0].found);
    assert_eq!(stage.install().unwrap(), found);
    assert!(stage.host().doctor()[0].found);
    assert_eq!(stage.calls("cmake --build"), 2);
}

#[test]
fn a_build_that_is_another_version_is_not_stored() {
    let stage = Stage::new();
    stage.set("built-version", "30.0.0");
    let error = stage.install().unwrap_err();
    assert!(error.to_string().contains("30.0.0"), "{error}");
    assert!(!stage.path("cache/bitcoind/31.99.0").exists());
}

#[test]
fn a_compiler_error_is_shown_with_the_log() {
    let stage = Stage::new();
    stage.set("fail", "echo 'a.cpp:1: error: no such thing'; exit 1");
    let error = stage.install().unwrap_err();
    let ProvisionError::Step { said, log, .. } = &error else {
        panic!("{error}")
    };
    assert!(said.contains("no such thing"));
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains("no such thing")
    );
}

#[test]
fn unknown_names_and_versions_are_refused() {
    let stage = Stage::new();
    let error = stage
        .host()
        .install("bitcoind@1.2.3", false, &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(
            &error,
            ProvisionError::Program(ProgramError::NoSuchVersion { known, .. }) if known == "31.99.0"
        ),
        "{error}"
    );
    let error = stage
        .host()
        .install("bitcoin", false, &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(error.contains("it has bitcoind, draft-py"), "{error}");
}

#[test]
fn a_version_line_is_read_or_refused() {
    let cases = [
        (
            "Bitcoin Core daemon version v31.99.0-unk bitcoind",
            Some((31, 99, 0)),
        ),
        ("Bitcoin Core version v0.21.1", Some((0, 21, 1))),
        ("Bitcoin Core daemon version v31.1rc2", Some((31, 1, 0))),
        ("Bitcoin Knots daemon version v29.1.0", None),
        ("Bitcoin Core daemon version vNext", None),
        ("", None),
    ];
    for (line, wanted) in cases {
        assert_eq!(
            version_in(line).map(|v| (v.major, v.minor, v.patch)),
            wanted,
            "{line}"
        );
    }
}

#[test]
fn a_python_program_is_installed_with_pinned_packages_and_found_afterwards() {
    let stage = Stage::new();
    let Lookup::Missing(missing) = stage.host().find("draft-py").unwrap() else {
        panic!()
    };
    assert_eq!(missing.install_line, "lnconform install draft-py");
    let mut seen = Vec::new();
    let found = stage
        .host()
        .install("draft-py", false, &mut |p| seen.push(p.phase))
        .unwrap();
    assert_eq!(seen, [Phase::Tools, Phase::Store]);
    assert_eq!(
        stage.calls("dpkg-query"),
        0,
        "asked for bitcoind's libraries"
    );
    let folder = stage.path("cache/draft-py/0.2.0");
    assert_eq!(found.path, folder.join("adapter.py"));
    let (program, args) = found.command();
    assert_eq!(program, folder.join("venv/bin/python"));
    assert_eq!(args.last().unwrap(), found.path.as_os_str());
    // What the binary holds, and nothing from elsewhere.
    for file in [
        "adapter.py",
        "amp.py",
        "amp_tunnel.py",
        "common.py",
        "keysend_proof.py",
    ] {
        assert!(folder.join(file).exists(), "{file}");
    }
    assert!(!stage.path("cache/tmp/draft-py-0.2.0").exists());
    assert_eq!(
        stage.calls("install --no-deps --only-binary :all: --require-hashes -r"),
        1
    );

    assert_eq!(
        stage.host().find("draft-py").unwrap(),
        Lookup::Found(found.clone())
    );
    assert!(doctor_of(&stage.host(), "draft-py").found);
    assert_eq!(stage.install_py().unwrap(), found);
    assert_eq!(stage.calls("-m venv"), 1, "installed again");
}

#[test]
fn every_package_of_a_python_program_is_listed_with_its_hashes() {
    let stage = Stage::new();
    stage.set("pip-fail", "exit 1");
    let error = stage.install_py().unwrap_err();
    assert!(matches!(error, ProvisionError::Step { .. }), "{error}");
    let list = stage.path("cache/tmp/draft-py-0.2.0/requirements.txt");
    let list = std::fs::read_to_string(list).unwrap();
    let entries = table().unwrap();
    let Build::Venv(build) = &entries["draft-py"].build else {
        panic!()
    };
    for (package, hashes) in &build.packages {
        let line = list.lines().find(|l| l.starts_with(package)).unwrap();
        for hash in hashes {
            assert!(line.contains(&format!(" --hash=sha256:{hash}")), "{hash}");
        }
    }
    // The next try takes up the folder, and begins the environment anew.
    stage.unset("pip-fail");
    stage.install_py().unwrap();
    assert_eq!(stage.calls("-m venv"), 2);
}

#[test]
fn what_stops_a_python_program_is_told_apart() {
    let stage = Stage::new();
    stage.set("offline", "");
    let error = stage.install_py().unwrap_err();
    assert!(matches!(error, ProvisionError::NoNetwork { .. }), "{error}");
    assert!(
        error.to_string().contains("lnconform install draft-py"),
        "{error}"
    );
    stage.unset("offline");
    stage.set("no-wheel", "");
    let error = stage.install_py().unwrap_err();
    assert!(matches!(error, ProvisionError::NoWheel { .. }), "{error}");
    stage.unset("no-wheel");
    stage.set("refused", "");
    let error = stage.install_py().unwrap_err();
    assert!(
        matches!(&error, ProvisionError::Checksum { found, file, .. }
            if found == "bb" && file.starts_with("coincurve==")),
        "{error}"
    );
    stage.unset("refused");
    stage.set("built-version", "0.0.9");
    let error = stage.install_py().unwrap_err();
    assert!(error.to_string().contains("0.0.9"), "{error}");
    stage.unset("built-version");
    stage.set("no-import", "");
    let error = stage.install_py().unwrap_err();
    assert!(matches!(error, ProvisionError::Program(_)), "{error}");
    assert!(!stage.path("cache/draft-py").exists());
    stage.unset("no-import");
    stage.install_py().unwrap();
}

#[test]
fn a_python_that_is_too_new_for_the_packages_is_passed_over() {
    let stage = Stage::new();
    stage.set("python-version", "3 99");
    let error = stage.install_py().unwrap_err().to_string();
    assert!(error.contains("needs Python 3.9 to 3.13"), "{error}");
    assert!(error.contains("python3 is 3.99"), "{error}");
    let doctor = doctor_of(&stage.host(), "draft-py");
    assert!(
        doctor
            .problems
            .iter()
            .any(|p| p.contains("python3 is 3.99")),
        "{doctor:?}"
    );
    stage.program(
        "python3.12",
        &PYTHON
            .replace("echo 3 11", "echo 3 12")
            .replace("python-version", "none"),
    );
    stage.install_py().unwrap();
}

#[test]
fn a_python_program_that_is_not_this_binarys_is_installed_anew() {
    let stage = Stage::new();
    let found = stage.install_py().unwrap();
    let gone = |host: &Provisioner, why: &str| {
        let Lookup::Missing(missing) = host.find("draft-py").unwrap() else {
            panic!("{why}")
        };
        let text = missing.to_string();
        assert!(text.contains(why), "{text}");
        assert!(!doctor_of(host, "draft-py").found);
    };
    // Somebody edited it.
    std::fs::write(&found.path, "print()").unwrap();
    gone(&stage.host(), "its content changed");
    assert_eq!(stage.install_py().unwrap(), found);
    // The system's Python is another one.
    let python = found.interpreter.clone().unwrap();
    let other = stage.program("python3-other", PYTHON);
    std::fs::remove_file(&python).unwrap();
    std::os::unix::fs::symlink(other, &python).unwrap();
    gone(&stage.host(), "the Python behind it is gone or another");
    assert_eq!(stage.install_py().unwrap(), found);
    // A package was removed from it: only the thorough look of `doctor` and `install` sees that.
    stage.set("no-import", "");
    assert!(!doctor_of(&stage.host(), "draft-py").found);
    stage.unset("no-import");
    // Another binary brings other files under the same version.
    let mut host = stage.host();
    match &mut host.entries.get_mut("draft-py").unwrap().build {
        Build::Venv(build) => build.files.insert("adapter.py".into(), "# new".into()),
        other => panic!("{other:?}"),
    };
    gone(&host, "was installed by another lnconform");
    let found = host.install("draft-py", false, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read_to_string(found.path).unwrap(), "# new");
}

#[test]
fn two_at_once_install_a_python_program_once() {
    let stage = Stage::new();
    stage.set(
        "pip-fail",
        "while [ ! -e \"$T/go\" ]; do sleep 0.02; done; exit 0",
    );
    let (building, builds) = channel();
    let (waiting, waits) = channel();
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            stage.host().install("draft-py", false, &mut |p| {
                if p.phase == Phase::Tools {
                    let _ = building.send(());
                }
            })
        });
        builds.recv_timeout(Duration::from_secs(20)).unwrap();
        let second = scope.spawn(|| {
            stage.host().install("draft-py", false, &mut |p| {
                assert_eq!(p.phase, Phase::Wait, "{}", p.message);
                let _ = waiting.send(());
            })
        });
        waits.recv_timeout(Duration::from_secs(20)).unwrap();
        stage.set("go", "");
        let first = first.join().unwrap().unwrap();
        assert_eq!(second.join().unwrap().unwrap(), first);
    });
    assert_eq!(stage.calls("-m venv"), 1);
}

#[test]
fn the_defaults_begin_with_what_is_quick() {
    assert_eq!(
        defaults(),
        [
            "draft-py",
            "e-x",
            "electrum",
            "kmp",
            "lnd-codec",
            "lnd",
            "bitcoind"
        ]
    );
}

#[test]
fn a_go_program_is_built_from_the_checked_module_with_what_follows_it() {
    let stage = Stage::new();
    let mut seen = Vec::new();
    let found = stage
        .go_host()
        .install("lnd", false, &mut |p| seen.push(p))
        .unwrap();
    assert_eq!(found.path, stage.path("cache/lnd/0.21.2-beta/bin/lnd"));
    assert_eq!(
        (found.version.to_string().as_str(), found.label.as_str()),
        ("0.21.2-beta", "v0.21.2-beta")
    );
    let phases = |name: &str| {
        let mut phases: Vec<Phase> = seen
            .iter()
            .filter(|p| p.name == name)
            .map(|p| p.phase)
            .collect();
        phases.dedup();
        phases
    };
    let all = [
        Phase::Download,
        Phase::Unpack,
        Phase::Download,
        Phase::Build,
        Phase::Store,
    ];
    assert_eq!(phases("lnd"), all);
    assert_eq!(phases("lnd-codec"), all);
    // Of four packages that were not compiled before, three were named.
    let percents: Vec<u8> = seen.iter().filter_map(|p| p.percent).collect();
    assert_eq!(percents, [0, 25, 50, 75, 0, 25, 50, 75]);
    assert_eq!(
        stage.calls("build -v -trimpath -buildvcs=false -tags autopilotrpc,"),
        2
    );
    // The codec's source was laid into the module's.
    let built = std::fs::read_to_string(stage.path("built-from")).unwrap();
    assert!(built.contains("package main") && !built.contains("// lnd\n"));
    assert!(!stage.path("cache/tmp/lnd-0.21.2-beta").exists());
    assert!(!stage.path("cache/tmp/lnd-codec-0.21.2-beta").exists());
    assert_eq!(stage.calls("python3"), 0, "asked for Python");

    let host = stage.go_host();
    assert_eq!(host.find("lnd").unwrap(), Lookup::Found(found.clone()));
    let calls = stage.calls("");
    assert_eq!(stage.install_go("lnd").unwrap(), found);
    assert_eq!(
        stage.calls(""),
        calls,
        "something ran although all was there"
    );
}

#[test]
fn versions_lie_side_by_side_and_each_has_a_codec_of_its_own() {
    let stage = Stage::new();
    let (new, old) = (
        stage.install_go("lnd").unwrap(),
        stage.install_go("lnd@v0.20.2-beta").unwrap(),
    );
    assert_eq!(old.path, stage.path("cache/lnd/0.20.2-beta/bin/lnd"));
    let host = stage.go_host();
    let path = |spec: &str| match host.find(spec).unwrap() {
        Lookup::Found(found) => found.path,
        Lookup::Missing(missing) => panic!("{missing}"),
    };
    assert_eq!(path("lnd"), new.path);
    assert_eq!(path("lnd@v0.21.2-beta"), new.path);
    assert_eq!(path("lnd@0.20.2-beta"), old.path);
    assert_eq!(
        path("lnd-codec@v0.20.2-beta"),
        stage.path("cache/lnd-codec/0.20.2-beta/bin/lnd-codec")
    );
    let rows: Vec<String> = host
        .doctor()
        .into_iter()
        .filter(|d| d.found)
        .map(|d| format!("{} {}", d.name, d.version.unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            "lnd v0.21.2-beta",
            "lnd@v0.20.2-beta v0.20.2-beta",
            "lnd-codec v0.21.2-beta",
            "lnd-codec@v0.20.2-beta v0.20.2-beta"
        ]
    );
    let error = stage.install_go("lnd@v0.1.0-beta").unwrap_err().to_string();
    assert!(
        error.contains("v0.21.2-beta, v0.21.1-beta, v0.20.2-beta"),
        "{error}"
    );
    // One that is damaged is named with the line for it alone.
    std::fs::write(&old.path, "x").unwrap();
    let Lookup::Missing(missing) = host.find("lnd@v0.20.2-beta").unwrap() else {
        panic!()
    };
    assert!(
        missing
            .to_string()
            .contains("`lnconform install lnd@v0.20.2-beta` installs it anew"),
        "{missing}"
    );
    assert_eq!(path("lnd"), new.path);
}

#[test]
fn a_module_with_another_checksum_is_never_compiled() {
    let stage = Stage::new();
    let host = stage.go_host();
    let refused = |what: &str| {
        let error = host.install("lnd", false, &mut |_| {}).unwrap_err();
        let ProvisionError::Module { what: part, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(part, what);
        let text = error.to_string();
        assert!(
            text.contains("github.com/lightningnetwork/lnd@v0.21.2-beta")
                && text.contains("lnconform install lnd"),
            "{text}"
        );
        assert_eq!(stage.calls("go build"), 0);
        assert!(!stage.path("cache/lnd").exists());
    };
    // By what go says of it.
    stage.set("answer", "h1:other");
    refused("its source");
    stage.set("answer", "");
    refused("its source");
    stage.unset("answer");
    stage.set("mod-answer", "h1:other");
    refused("its go.mod");
    stage.unset("mod-answer");
    // By what lies there, whatever go says of it.
    let file = stage.path("module-0.21.2-beta/cmd/lnd/lnd.go");
    std::fs::write(&file, "// evil").unwrap();
    refused("its source");
    std::fs::write(&file, "// lnd").unwrap();
    host.install("lnd", false, &mut |_| {}).unwrap();
}

#[test]
fn a_missing_or_old_go_is_named_with_what_brings_one() {
    let stage = Stage::new();
    let said = |stage: &Stage| {
        let error = stage.install_go("lnd").unwrap_err();
        assert!(matches!(error, ProvisionError::NoGo { .. }), "{error}");
        let text = error.to_string();
        let doctor = doctor_of(&stage.go_host(), "lnd");
        assert!(doctor.problems.contains(&text), "{doctor:?}");
        text
    };
    stage.set("go-version", "1.24.9");
    let text = said(&stage);
    assert!(text.contains("needs Go 1.25.10 or newer"), "{text}");
    assert!(text.contains("is 1.24.9"), "{text}");
    assert!(text.contains("GOTOOLCHAIN=go1.25.10"), "{text}");
    // Too old to fetch another.
    stage.set("go-version", "1.19.8");
    let text = said(&stage);
    assert!(
        text.contains("is 1.19.8") && !text.contains("GOTOOLCHAIN"),
        "{text}"
    );
    // The older LND is content with an older Go.
    stage.set("go-version", "1.24.11");
    stage.install_go("lnd@v0.20.2-beta").unwrap();
    std::fs::remove_file(stage.path("bin/go")).unwrap();
    let text = said(&stage);
    assert!(text.contains("no `go` on PATH"), "{text}");
    // The usual place, and the variable, which is never passed over.
    let elsewhere = stage.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let new = GO.replace("go-version", "none");
    let program = stage.program("go", &new);
    std::fs::rename(program, elsewhere.join("go")).unwrap();
    let mut host = stage.go_host();
    host.go_places.push(elsewhere.clone());
    host.install("lnd", false, &mut |_| {}).unwrap();
    host.vars.insert("GO".into(), stage.path("nothing").into());
    std::fs::remove_dir_all(stage.path("cache")).unwrap();
    let error = host.install("lnd", false, &mut |_| {}).unwrap_err();
    assert!(
        error.to_string().contains("nothing does not run"),
        "{error}"
    );
    host.vars.insert("GO".into(), elsewhere.join("go").into());
    host.install("lnd", false, &mut |_| {}).unwrap();
}

#[test]
fn what_stops_a_go_program_is_told_apart() {
    let stage = Stage::new();
    stage.set("offline", "");
    let error = stage.install_go("lnd").unwrap_err();
    assert!(matches!(error, ProvisionError::NoProxy { .. }), "{error}");
    assert!(error.to_string().contains("GOPROXY"), "{error}");
    stage.unset("offline");
    stage.set("refused", "");
    let error = stage.install_go("lnd").unwrap_err();
    assert!(
        matches!(&error, ProvisionError::Step { said, .. } if said == "unknown revision"),
        "{error}"
    );
    stage.unset("refused");
    stage.set("fail", "echo 'x.go:1:1: no such thing'; exit 1");
    let error = stage.install_go("lnd").unwrap_err();
    assert!(
        matches!(&error, ProvisionError::Step { said, .. } if said.contains("no such thing")),
        "{error}"
    );
    stage.set("fail", "echo 'write x.a: no space left on device'; exit 1");
    let error = stage.install_go("lnd").unwrap_err();
    assert!(matches!(error, ProvisionError::DiskFull { .. }), "{error}");
    stage.set("fail", "echo 'compile: signal: killed'; exit 1");
    let error = stage.install_go("lnd").unwrap_err();
    assert!(error.to_string().contains("memory ran out"), "{error}");
    stage.unset("fail");
    stage.set("built-version", "0.21.0-beta");
    let error = stage.install_go("lnd").unwrap_err();
    assert!(error.to_string().contains("0.21.0-beta"), "{error}");
    assert!(!stage.path("cache/lnd").exists());
    stage.unset("built-version");
    stage.install_go("lnd").unwrap();
}

#[test]
fn an_lnd_of_the_users_own_comes_first_and_its_codec_follows_it() {
    let stage = Stage::new();
    let own = stage.path("mine");
    let says = |line: &str| write_program(&own, &format!("#!/bin/sh\necho {line}\n"));
    let mut host = stage.go_host();
    host.vars.insert("LND_EXE".into(), own.clone().into());
    let found = |host: &Provisioner, spec: &str| match host.find(spec).unwrap() {
        Lookup::Found(found) => Some((found.from, found.label)),
        Lookup::Missing(_) => None,
    };
    says("lnd version 0.20.2-beta commit=v0.20.2-beta");
    assert_eq!(
        found(&host, "lnd"),
        Some((Source::Env, "v0.20.2-beta".into()))
    );
    host.install("lnd", false, &mut |_| {}).unwrap();
    assert!(
        !stage.path("cache/lnd").exists(),
        "built one beside the user's"
    );
    assert_eq!(
        found(&host, "lnd-codec"),
        Some((Source::Cache, "v0.20.2-beta".into()))
    );
    // Another version is another row, which the variable does not touch.
    assert_eq!(found(&host, "lnd@v0.21.2-beta"), None);
    assert_eq!(
        found(&host, "lnd@v0.20.2-beta"),
        Some((Source::Env, "v0.20.2-beta".into()))
    );
    host.install("lnd@v0.21.2-beta", false, &mut |_| {})
        .unwrap();
    assert_eq!(
        found(&host, "lnd@v0.21.2-beta"),
        Some((Source::Cache, "v0.21.2-beta".into()))
    );
    // One that the table lacks is used as it is; the codec is then the usual one.
    says("lnd version 0.21.99-beta.rc1 commit=x");
    assert_eq!(
        found(&host, "lnd"),
        Some((Source::Env, "v0.21.99-beta.rc1".into()))
    );
    assert_eq!(
        found(&host, "lnd-codec"),
        Some((Source::Cache, "v0.21.2-beta".into()))
    );
    for wrong in [
        "lnd version 0.18.5-beta commit=",
        "lncli version 0.21.2-beta",
    ] {
        says(wrong);
        let error = host.find("lnd").unwrap_err().to_string();
        assert!(error.contains(&own.display().to_string()), "{error}");
        assert!(error.contains("lnconform install lnd"), "{error}");
        assert!(!doctor_of(&host, "lnd").found);
    }
}

#[test]
fn a_codec_that_is_not_this_binarys_is_built_anew() {
    let stage = Stage::new();
    stage.install_go("lnd").unwrap();
    let mut host = stage.go_host();
    match &mut host.entries.get_mut("lnd-codec").unwrap().build {
        Build::GoModule(build) => build.files.insert("main.go".into(), "// new".into()),
        other => panic!("{other:?}"),
    };
    let Lookup::Missing(missing) = host.find("lnd-codec").unwrap() else {
        panic!()
    };
    let text = missing.to_string();
    assert!(
        text.contains("was installed by another lnconform"),
        "{text}"
    );
    let builds = stage.calls("go build");
    host.install("lnd", false, &mut |_| {}).unwrap();
    assert_eq!(stage.calls("go build"), builds + 1, "LND itself stays");
    assert!(matches!(host.find("lnd-codec").unwrap(), Lookup::Found(_)));
}

#[test]
fn versions_that_do_not_go_together_are_named_with_what_to_install() {
    let stage = Stage::new();
    let host = stage.host();
    let version = |text: &str| text.parse::<Version>().unwrap();
    let check = |lnd: &str, bitcoind: &str| {
        host.compatible("lnd", &version(lnd), "bitcoind", &version(bitcoind))
    };
    for (lnd, bitcoind) in [
        ("0.21.2-beta", "31.99.0"),
        ("0.21.2-beta", "31.0.0"),
        ("0.20.2-beta", "31.0.0"),
    ] {
        assert_eq!(check(lnd, bitcoind), Ok(()), "{lnd} {bitcoind}");
    }
    let error = check("0.21.2-beta", "30.0.0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "lnd v0.21.2-beta does not work with bitcoind 30.0.0, since the version table rules the \
         pair out (it needs bitcoind >=31.0.0, <32.0.0): `lnconform install bitcoind@31.99.0` \
         brings such a one"
    );
    let error = check("0.20.2-beta", "31.99.0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "lnd v0.20.2-beta does not work with bitcoind 31.99.0, since it looks for taproot where \
         Bitcoin Core 32 no longer lists it (it needs bitcoind >=31.0.0, <31.99.0): `lnconform \
         install lnd@v0.21.2-beta` brings lnd v0.21.2-beta, which does, or name such a bitcoind \
         in BITCOIND_EXE"
    );
    // What the table does not know, it does not forbid.
    assert_eq!(check("0.99.0-beta", "30.0.0"), Ok(()));
    let none = host.compatible("ldk-node", &version("0.7.1"), "bitcoind", &version("1.0.0"));
    assert_eq!(none, Ok(()));
}
