//! A release from its tag to the machine of whoever uses the action: the steps of the release
//! workflow are played here as GitHub plays them, what they make is served over TLS on loopback, and
//! the action fetches it with the curl of this machine.
//!
//! What is not GitHub's and too slow for a test is stood in for: `cargo` leaves a script in the place
//! of the program, which runs the program under test, and `gh` writes down what it was asked.

use crate::action::{ACTION, yaml};
use lnconform_tests::{Place, Ran, binary, not_run, python, repository};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const WORKFLOW: &str = ".github/workflows/release.yml";

/// Serves a folder as `https://localhost:PORT`, says the port, and writes down what is asked for.
const SERVER: &str = r#"
import functools, http.server, ssl, sys
folder, key, asked = sys.argv[1:]
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *rest):
        pass
    def log_request(self, code="-", size="-"):
        with open(asked, "a") as log:
            print(int(code), self.path, file=log)
server = http.server.HTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// The target that this machine is in the workflow and in the action.
fn target() -> String {
    let arch = std::env::consts::ARCH;
    match std::env::consts::OS {
        "macos" => format!("{arch}-apple-darwin"),
        _ => format!("{arch}-unknown-linux-gnu"),
    }
}

/// The version of the workspace, as its tag has it.
fn tag() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("v{version}")
}

/// A place that is a checkout as far as a release looks at one, with stand-ins first on PATH.
fn checkout() -> Place {
    let mut place = Place::new();
    for file in ["Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        std::fs::copy(repository(file), place.path(file)).unwrap();
    }
    let stand_in = format!("#!/bin/sh\nexec '{}' \"$@\"\n", binary().display());
    let stand_in = place.program("stand-in", &stand_in);
    let calls = place.path("calls");
    // Where it builds to: `target`, or what `--target-dir` says.
    place.program(
        "bin/cargo",
        &format!(
            "#!/bin/sh\necho \"cargo $*\" >>'{}'\nto=target\n\
             while [ $# -gt 0 ]; do [ \"$1\" = --target-dir ] && to=$2; shift; done\n\
             mkdir -p \"$to/release\"\ncp '{}' \"$to/release/lnconform\"\n",
            calls.display(),
            stand_in.display()
        ),
    );
    for name in ["gh", "rustup"] {
        let script = format!("#!/bin/sh\necho \"{name} $*\" >>'{}'\n", calls.display());
        place.program(&format!("bin/{name}"), &script);
    }
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", place.path("bin").display());
    place.env("PATH", path);
    place
}

/// The steps of a job that are scripts, one after the other, in a folder; ends at the first that
/// fails. GitHub runs them so: `bash -e`.
fn play(place: &Place, job: &str, folder: &Path, tag: &str) -> Vec<Ran> {
    let workflow = yaml(&repository(WORKFLOW));
    let steps = workflow["jobs"][job]["steps"].as_array().expect("steps");
    let mut done = Vec::new();
    for script in steps.iter().filter_map(|step| step["run"].as_str()) {
        let mut command = place.within(Path::new("bash"), &["-e", "-c", script]);
        command
            .current_dir(folder)
            .env("GITHUB_REF_NAME", tag)
            .env("TARGET", target());
        let ran = place.finish(command, &[], "");
        let failed = ran.code != Some(0);
        done.push(ran);
        if failed {
            break;
        }
    }
    done
}

fn all_good(steps: &[Ran]) {
    for step in steps {
        assert_eq!(step.code, Some(0), "{}", step.screen());
    }
}

/// A release: the folder with what is published, and the lines for the action's list.
fn release(place: &Place) -> (PathBuf, String) {
    all_good(&play(place, "build", &place.dir(), &tag()));
    let archive = format!("lnconform-{}-{}.tar.gz", tag(), target());
    let published = place.path("published");
    std::fs::create_dir_all(&published).unwrap();
    std::fs::rename(place.path(&archive), published.join(&archive)).unwrap();
    all_good(&play(place, "release", &published, &tag()));
    let notes = std::fs::read_to_string(published.join("notes.md")).unwrap();
    let lines = notes.lines().filter_map(|line| line.strip_prefix("    "));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{notes}");
    (published, format!("{}\n", lines[0]))
}

#[test]
fn a_tag_makes_an_archive_and_its_checksum() {
    let place = checkout();
    let (published, lines) = release(&place);
    let name = format!("lnconform-{}-{}", tag(), target());
    let archive = published.join(format!("{name}.tar.gz"));
    let tar = place.within(Path::new("tar"), &["-tzf", archive.to_str().unwrap()]);
    let held = place.finish(tar, &[], "").code(0).stdout;
    let files = [
        "",
        "lnconform",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ];
    let files: BTreeSet<String> = files.iter().map(|f| format!("{name}/{f}")).collect();
    assert_eq!(
        held.lines().map(str::to_owned).collect::<BTreeSet<_>>(),
        files
    );
    // What people check by hand, and what the action checks, is the sum of this very file.
    let mut check = place.within(
        Path::new("sha256sum"),
        &["--check", "--strict", "SHA256SUMS"],
    );
    check.current_dir(&published);
    let _ = place.finish(check, &[], "").code(0);
    let sums = std::fs::read_to_string(published.join("SHA256SUMS")).unwrap();
    let (sum, _) = sums.split_once(' ').unwrap();
    assert_eq!(lines, format!("{} {} {sum}\n", tag(), target()));
    let calls = place.read("calls");
    assert!(
        calls.contains("cargo build --locked --release --package lnconform\n"),
        "{calls}"
    );
    let published = format!(
        "gh release create {} --draft --notes-file notes.md -- {name}.tar.gz SHA256SUMS\n",
        tag()
    );
    assert!(calls.ends_with(&published), "{calls}");
}

#[test]
fn a_tag_that_is_not_the_version_makes_nothing() {
    let place = checkout();
    let steps = play(&place, "build", &place.dir(), "v99.0.0");
    assert_ne!(steps.last().unwrap().code, Some(0));
    let calls = std::fs::read_to_string(place.path("calls")).unwrap_or_default();
    assert!(!calls.contains("cargo"), "{calls}");
}

/// The server, which ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server of `folder`, its address, and the certificate that a client needs. None without the
/// programs for it.
fn serve(place: &Place, folder: &Path) -> Option<(Server, String, PathBuf)> {
    let (key, certificate) = (place.path("key.pem"), place.path("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    let curl = Command::new("curl").arg("--version").output();
    match (made, curl) {
        (Ok(made), Ok(_)) => assert!(made.status.success(), "{made:?}"),
        _ => {
            not_run("release over TLS", "no openssl or no curl");
            return None;
        }
    }
    let both = ["key.pem", "certificate.pem"].map(|file| place.read(file));
    place.write("both.pem", &both.concat());
    let mut child = place
        .within(Path::new(python()), &["-I", "-S", "-c", SERVER])
        .arg(folder)
        .arg(place.path("both.pem"))
        .arg(place.path("asked"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    let out = child.stdout.take().unwrap();
    let server = Server(child);
    BufReader::new(out).read_line(&mut port).unwrap();
    let address = format!("https://localhost:{}", port.trim());
    Some((server, address, certificate))
}

#[test]
fn the_action_fetches_what_was_released() {
    let place = checkout();
    let (published, lines) = release(&place);
    let (_, sum) = lines.trim().rsplit_once(' ').unwrap();
    let archive = format!("lnconform-{}-{}.tar.gz", tag(), target());
    let at = format!("owner/lnconform/releases/download/{}/{archive}", tag());
    let served = place.path("served");
    let there = served.join(&at);
    std::fs::create_dir_all(there.parent().unwrap()).unwrap();
    std::fs::copy(published.join(&archive), &there).unwrap();
    let Some((_server, address, certificate)) = serve(&place, &served) else {
        return;
    };
    // The action as it stands in its repository after the release.
    let action = place.path(ACTION);
    std::fs::create_dir_all(&action).unwrap();
    std::fs::copy(repository(ACTION).join("get.sh"), action.join("get.sh")).unwrap();
    let list = action.join("releases.txt");
    let get = |keep: &str| {
        let script = action.join("get.sh");
        let mut command = place.within(Path::new("bash"), &[script.to_str().unwrap()]);
        command
            .envs([
                ("BINARY", ""),
                ("VERSION", ""),
                ("REPOSITORY", "owner/lnconform"),
            ])
            .envs([("NO_PROXY", "localhost"), ("no_proxy", "localhost")])
            .env("GITHUB_SERVER_URL", &address)
            .env("CURL_CA_BUNDLE", &certificate)
            .env("ACTION", &action)
            .env("KEEP", place.path(keep))
            .env("GITHUB_OUTPUT", place.path("outputs"));
        place.finish(command, &[], "")
    };
    let asked = || std::fs::read_to_string(place.path("asked")).unwrap_or_default();
    let version = format!("lnconform {}\n", env!("CARGO_PKG_VERSION"));
    let once = format!("200 /{at}\n");

    // By its checksum, once; then it is kept, and the archive is not.
    std::fs::write(&list, &lines).unwrap();
    for _ in 0..2 {
        let got = get("keep").code(0);
        assert_eq!((&got.stdout, asked()), (&version, once.clone()));
        assert!(!place.path("keep").join(&archive).exists());
    }
    let program = place.path("keep").join(tag()).join("lnconform");
    let outputs = place.read("outputs");
    assert_eq!(outputs, format!("binary={}\n", program.display()).repeat(2));

    // Changed after it was released: nothing of it is kept or run.
    let mut bytes = std::fs::read(&there).unwrap();
    bytes.push(0);
    std::fs::write(&there, bytes).unwrap();
    let changed = get("changed").code(5);
    assert!(
        changed.stdout.contains("is not what was released"),
        "{}",
        changed.screen()
    );
    assert!(changed.stdout.contains(sum) && !changed.stdout.contains(&version));
    let left = std::fs::read_dir(place.path("changed")).unwrap().count();
    assert_eq!(left, 0);

    // Gone: said, and not built in its place.
    std::fs::remove_file(&there).unwrap();
    let before = place.read("calls");
    let gone = get("gone").code(5);
    assert!(
        gone.stdout.contains("cannot be had from"),
        "{}",
        gone.screen()
    );
    assert_eq!(place.read("calls"), before);

    // No release for this machine: built from the source that the action came with, and nothing is
    // asked for.
    std::fs::write(&list, format!("{} other-machine {sum}\n", tag())).unwrap();
    let asked_before = asked();
    let built = get("built").code(0);
    assert!(built.stdout.ends_with(&version), "{}", built.screen());
    assert_eq!(asked(), asked_before);
    let calls = place.read("calls");
    let call = calls.strip_prefix(&before).unwrap();
    for part in ["cargo build --locked --release", "--package lnconform"] {
        assert!(call.contains(part), "{call}");
    }
}
