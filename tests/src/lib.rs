//! What the end-to-end tests of the binary share: the binary itself, a place of its own for each
//! test, and its output as a screen that is the same on every machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a process may take to be gone after the one that started it.
const GONE: Duration = Duration::from_secs(10);

/// The program under test: the one that was built beside this test.
///
/// `cargo test --workspace` builds it, since `harness/cli/tests` needs it too.
///
/// # Panics
/// When it is not there; says what to type.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("the path of this test is known");
        // target/<profile>/deps/<test>
        let profile = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
        let binary = profile.join("lnconform").with_extension(std::env::consts::EXE_EXTENSION);
        let release = if profile.ends_with("release") { " --release" } else { "" };
        assert!(
            binary.is_file(),
            "{} is missing: type `cargo build -p lnconform{release}`, or `cargo test --workspace{release}`",
            binary.display()
        );
        binary
    })
}

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the tests lie in the repository").join(path)
}

/// The interpreter itself: a `python3` on PATH may be a script that looks for it, which takes
/// longer than all the rest of a short test.
///
/// # Panics
/// Without a `python3` on PATH.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = "import sys; print(sys.executable, end='')";
        let output = Command::new("python3").args(["-c", script]).output();
        let output = output.expect("the tests need python3 on PATH");
        String::from_utf8(output.stdout).expect("the path of python3 is UTF-8")
    })
}

/// A command that runs a Python script of the repository with arguments, for `--adapter`. With
/// nothing of the machine's Python set-up, which makes its start fast.
pub fn script(path: &str, args: &str) -> String {
    let command = format!("{} -I -S {} {args}", python(), repository(path).display());
    command.trim_end().to_owned()
}

/// Says that something was not tested, and why, past the capture of the test harness: nothing is
/// skipped in silence.
pub fn not_run(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "\n{what}: not run: {why}");
}

/// The checkout of the specifications that `LNCONFORM_SPECS` names; a relative path counts from the
/// repository. Where it names none, says that what needs one was not run.
pub fn upstream() -> Option<PathBuf> {
    let given = std::env::var_os("LNCONFORM_SPECS").filter(|dir| !dir.is_empty());
    if given.is_none() {
        not_run(
            "upstream",
            "LNCONFORM_SPECS names no checkout of the specifications",
        );
    }
    Some(repository("").join(given?))
}

/// The faulty adapter with that fault.
pub fn faulty(fault: &str) -> String {
    script("tests/faulty/adapter.py", fault)
}

/// A place for one test: a working directory in which nothing is, so that the binary takes the
/// vectors, the ledger and the snapshots that it carries; a folder for temporary files; and an
/// environment without what might steer the binary.
///
/// When it goes, no process of a run in it is left, and no file of a run in its folder for
/// temporary files.
pub struct Place {
    root: tempfile::TempDir,
    env: BTreeMap<String, OsString>,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// An empty place.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("e2e-")
            .tempdir()
            .expect("a temporary folder");
        for folder in ["work", "tmp", "home", "cache"] {
            std::fs::create_dir(root.path().join(folder)).expect("an empty folder");
        }
        let mut place = Self {
            root,
            env: BTreeMap::new(),
        };
        for (name, folder) in [
            ("TMPDIR", "tmp"),
            ("HOME", "home"),
            ("LNCONFORM_CACHE", "cache"),
        ] {
            let folder = place.root.path().join(folder);
            place.env(name, folder);
        }
        place.env("NO_COLOR", "1");
        place
    }

    /// Sets a variable for the commands that are run from here on.
    pub fn env(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// The working directory.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The folder for temporary files.
    pub fn tmp(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    /// The cache folder.
    pub fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    /// A path below the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file below the working directory, with its folders.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        let folder = path.parent().expect("a file lies in a folder");
        std::fs::create_dir_all(folder).expect("a folder for the file");
        std::fs::write(&path, text).expect("a file in it");
        self
    }

    /// Writes a program below the working directory.
    ///
    /// # Panics
    /// When it cannot be written.
    #[cfg(unix)]
    pub fn program(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        self.write(name, text);
        let path = self.path(name);
        let all = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, all).expect("a file of ours");
        path
    }

    /// Reads a file below the working directory.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The lines of a result file below the working directory, whole ones only.
    ///
    /// # Panics
    /// When it cannot be read, or a whole line is no JSON.
    pub fn results(&self, name: &str) -> Vec<serde_json::Value> {
        let text = self.read(name);
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole
            .lines()
            .map(|l| serde_json::from_str(l).expect("a line of JSON"))
            .collect()
    }

    /// The lines of one type of `.lnconform/last.jsonl`.
    ///
    /// # Panics
    /// As [`Place::results`].
    pub fn last(&self, kind: &str) -> Vec<serde_json::Value> {
        let all = self.results(".lnconform/last.jsonl");
        all.into_iter()
            .filter(|line| line["type"] == kind)
            .collect()
    }

    /// The binary with arguments, in this place.
    pub fn command(&self, args: &[&str]) -> Command {
        self.within(binary(), args)
    }

    /// Any program with arguments, in this place.
    pub fn within(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let steers = [
                "CI",
                "GITHUB_STEP_SUMMARY",
                "BITCOIND_EXE",
                "CLICOLOR_FORCE",
                "COLUMNS",
            ];
            if name.starts_with("LNCONFORM_") || steers.contains(&&*name) {
                command.env_remove(&*name);
            }
        }
        command.envs(&self.env);
        command
    }

    /// Runs the binary to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    /// Runs the binary to its end with something on its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run_with(&self, args: &[&str], input: &str) -> Ran {
        self.finish(self.command(args), args, input)
    }

    /// Runs a command of this place to its end; `args` are those that a screen shows.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn finish(&self, mut command: Command, args: &[&str], input: &str) -> Ran {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let clock = Instant::now();
        let mut child = command.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the binary ends");
        Ran {
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: clock.elapsed(),
            root: self.root.path().to_owned(),
        }
    }

    /// The processes that carry this place's TMPDIR in their environment: whatever a run in it
    /// started. Only Linux tells.
    pub fn processes(&self) -> Vec<String> {
        let mark = format!("TMPDIR={}", self.tmp().display());
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|e| {
                e.file_name()
                    .to_string_lossy()
                    .bytes()
                    .all(|b| b.is_ascii_digit())
            })
            .filter(|e| {
                let environ = std::fs::read(e.path().join("environ")).unwrap_or_default();
                environ.split(|b| *b == 0).any(|v| v == mark.as_bytes())
            })
            .map(|e| {
                let line = std::fs::read(e.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                format!("{} {line}", e.file_name().to_string_lossy())
            })
            .collect()
    }

    /// Waits until no process of this place is left and its folder for temporary files is empty.
    ///
    /// # Panics
    /// When something is left after ten seconds; says what.
    pub fn assert_clean(&self) {
        let deadline = Instant::now() + GONE;
        loop {
            let files = std::fs::read_dir(self.tmp()).expect("the folder of this place");
            let files: Vec<_> = files.flatten().map(|e| e.file_name()).collect();
            let processes = self.processes();
            if files.is_empty() && processes.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "left behind: {files:?}, {processes:#?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_clean();
        }
    }
}

/// A command that has come to its end.
pub struct Ran {
    args: Vec<String>,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
    root: PathBuf,
}

impl Ran {
    /// Itself, with that exit code.
    ///
    /// # Panics
    /// With another one; shows the screen.
    #[must_use]
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.screen());
        self
    }

    /// Its standard output as one JSON value.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.screen()))
    }

    /// What a person saw: the command, standard output, standard error, the exit code; without
    /// what differs from run to run and from machine to machine.
    pub fn screen(&self) -> String {
        let quoted = |arg: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=@,:#".contains(c);
            if !arg.is_empty() && arg.chars().all(plain) {
                arg.clone()
            } else {
                format!("'{arg}'")
            }
        };
        let args = self.args.iter().map(quoted).collect::<Vec<_>>().join(" ");
        let code = self.code.map_or("none".to_owned(), |c| c.to_string());
        let command = format!("lnconform {args}");
        let text = format!(
            "$ {}\n{}{}exit code {code}\n",
            command.trim_end(),
            self.stdout,
            self.stderr
        );
        self.redacted(&text)
    }

    /// A text without this place's paths, and without run ids, seeds, times and versions.
    pub fn redacted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let paths = [
            (self.root.join("work"), "[HERE]"),
            (self.root.join("cache"), "[CACHE]"),
            (self.root.join("tmp"), "[TMP]"),
            (self.root.clone(), "[PLACE]"),
            (binary().to_owned(), "[BINARY]"),
            (repository(""), "[REPOSITORY]/"),
            (PathBuf::from(python()), "python3"),
        ];
        for (path, name) in paths {
            let path = path.to_string_lossy();
            text = text.replace(&*path, name).replace(&on_page(&path), name);
        }
        text.split_inclusive('\n').map(line).collect()
    }
}

/// A path as the page for GitHub shows it: all punctuation but some as numbers.
fn on_page(path: &str) -> String {
    let number = |c: char| c.is_ascii_punctuation() && !"-/=,;".contains(c);
    path.chars()
        .map(|c| {
            if number(c) {
                format!("&#{};", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// One line without what differs from run to run.
fn line(line: &str) -> String {
    let mut line = line.to_owned();
    if line.starts_with("lnconform ") && line.contains(", run ") {
        return "lnconform [VERSION], run [RUN], seed [SEED]\n".into();
    }
    if let Some(who) = line.strip_prefix("with ") {
        // `with reference 0.1.0, ldk-0.2 0.2.7`
        let name = |part: &str| format!("{} [VERSION]", part.split(' ').next().unwrap_or_default());
        let names: Vec<_> = who.trim_end().split(", ").map(name).collect();
        return format!("with {}\n", names.join(", "));
    }
    let digit = |c: char| c.is_ascii_digit();
    let hex = |c: char| c.is_ascii_hexdigit();
    line = after(&line, "--seed ", digit, "[SEED]");
    line = after(&line, "evidence/", hex, "[RUN]");
    line = after(
        &line,
        "@",
        |c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase(),
        "[REVISION]",
    );
    line = line.replace(
        &format!("lnconform {}", env!("CARGO_PKG_VERSION")),
        "lnconform [VERSION]",
    );
    // `3 checks in 12 ms; exit code …`
    if let (Some(from), Some(to)) = (
        line.find(" checks in ").or(line.find(" check in ")),
        line.find("; exit code ").or(line.find("; **exit code ")),
    ) && let Some(value) = line[from..to].rfind(" in ")
    {
        line.replace_range(from + value + 4..to, "[TIME]");
    }
    if let Some(times) = line.strip_prefix("time ") {
        let parts = times.trim().split(", ");
        let names = parts.map(|p| format!("{} [TIME]", p.split(' ').next().unwrap_or_default()));
        return format!("time       {}\n", names.collect::<Vec<_>>().join(", "));
    }
    line
}

/// Replaces the eight or more characters of a kind that stand after a mark.
fn after(text: &str, mark: &str, kind: impl Fn(char) -> bool, name: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(mark) {
        let (before, value) = rest.split_at(at + mark.len());
        done.push_str(before);
        let end = value.find(|c| !kind(c)).unwrap_or(value.len());
        let short = if mark == "--seed " { 1 } else { 8 };
        done.push_str(if end >= short { name } else { &value[..end] });
        rest = &value[end..];
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_named() {
        let text = "lnconform 0.1.0, run 7fe0, seed 1\nwith a 0.1, ldk-0.2 0.2.7\n\
                    3 checks in 1.5 s; exit code 0: all as expected\ntime       start 4 ms, steps 1.5 s\n  \
                    again   lnconform run 'a' --seed 3 --strict\n  seen    x/evidence/0123456789ab/log\n\
                    a@a3772650d8eb.snap, a@b\n";
        let want = "lnconform [VERSION], run [RUN], seed [SEED]\nwith a [VERSION], ldk-0.2 [VERSION]\n\
                    3 checks in [TIME]; exit code 0: all as expected\ntime       start [TIME], steps [TIME]\n  \
                    again   lnconform run 'a' --seed [SEED] --strict\n  seen    x/evidence/[RUN]/log\n\
                    a@[REVISION].snap, a@b\n";
        let got: String = text.split_inclusive('\n').map(line).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn a_process_that_stays_is_seen() {
        let place = Place::new();
        let mut child = place.within(Path::new("sleep"), &["60"]).spawn().unwrap();
        // A process shows its environment only once it is what it was started as.
        let deadline = Instant::now() + GONE;
        while cfg!(target_os = "linux") && place.processes().len() != 1 {
            assert!(Instant::now() < deadline, "{:?}", place.processes());
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(place.processes().is_empty());
    }
}
