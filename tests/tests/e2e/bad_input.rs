//! What users and machines do wrong: whose fault it is, and what to type.

use crate::{READ, REFUSED, bigsize, place, running, screen, screens};
use lnconform_tests::{Place, Ran, not_run, repository};
use std::path::Path;
use std::process::Command;

#[test]
fn mistakes_in_vectors_are_named_with_their_place() {
    let run = |files: &[(&str, &str)]| {
        let place = Place::new();
        for (name, text) in files {
            place.write(name, text);
        }
        place
            .run(&["run", "--vectors", "v", "--adapter", "reference"])
            .code(2)
    };
    let with = |from: &str, to: &str| READ.replacen(from, to, 1);
    let one = |text: &str| run(&[("v/mine/read.yaml", text)]);
    let all = [
        // Broken YAML, and YAML of another kind.
        one("description: \"253\noperation: bigsize.decode\n"),
        one("operation: [bigsize.decode\ninput: {}\n"),
        one(""),
        one("- a list\n"),
        // Unknown and doubled keys.
        one(&with("covers", "cover")),
        one(&with("input", "inputs")),
        one(&format!("{READ}expect: {{}}\n")),
        one(&format!("{READ}topology: pair\n")),
        // What is named and does not exist.
        one(&with("bolt01/bigsize/form", "bolt01/bigsize/from")),
        one(&with(
            "operation: bigsize.decode\n",
            "extends: bolt01/bigsize/decode-25\n",
        )),
        one(&with("\"253\"", "$hex(three)")),
        // A 64-bit number that is not quoted.
        one(&with("\"fd00fd\"", "4294967296")),
        // The same id twice.
        run(&[("v/bolt01/bigsize/decode-0.yaml", READ)]),
        // All mistakes at once.
        run(&[
            ("v/mine/a.yaml", &with("covers", "cover")),
            ("v/mine/b.yaml", &with("input", "inputs")),
        ]),
    ];
    screen!("mistakes_in_vectors", screens(&all));
    // The same id in two folders of the user's.
    let place = place();
    place.write("w/mine/read.yaml", REFUSED);
    let twice = place
        .run(&["run", "--vectors", "v", "--vectors", "w"])
        .code(2);
    screen!("mistakes_in_vectors_twice", twice.screen());
}

#[test]
fn mistakes_in_the_ledger_are_named_with_their_place() {
    let place = place();
    let good = "- check: mine/read\n  implementation: reference\n  signature: {kind: mismatch}\n  reason: It was.\n  \
                issue: {none: for this test}\n  expires: 2099-12-31\n";
    let run = |text: &str| {
        place.write("ledger.yaml", text);
        let args = running("reference", &[]);
        place
            .run(&[&args[..], &["--expectations", "ledger.yaml"]].concat())
            .code(2)
    };
    let with = |from: &str, to: &str| run(&good.replacen(from, to, 1));
    let all = [
        run("- check: [mine\n"),
        run("check: mine/read\n"),
        with("reason", "raeson"),
        with("  expires: 2099-12-31\n", ""),
        with("2099-12-31", "2099-02-30"),
        with("{kind: mismatch}", "{}"),
        with("{none: for this test}", "later"),
        with("mine/read", "mine/["),
        with("  implementation: reference\n", ""),
        with("  reason", "  versions: new\n  reason"),
        with("check: mine/read", "check: mine/read\n  check: mine/read"),
    ];
    let gone = place
        .run(&[
            "run",
            "mine/*",
            "--vectors",
            "v",
            "--expectations",
            "gone.yaml",
        ])
        .code(2);
    screen!(
        "mistakes_in_the_ledger",
        format!("{}\n{}", screens(&all), gone.screen())
    );
    assert!(!place.path(".lnconform").exists());
}

#[test]
fn a_results_file_that_was_cut_can_be_read() {
    let place = place();
    let args = running("reference", &[]);
    let _ = place.run(&args).code(0);
    let whole = place.read(".lnconform/last.jsonl");
    // In the middle of the second check.
    let lines: Vec<&str> = whole.lines().collect();
    let second = lines
        .iter()
        .enumerate()
        .filter(|(_, l)| l.contains("\"type\":\"check\""))
        .nth(1);
    let (at, line) = second.unwrap();
    let cut = format!("{}\n{}", lines[..at].join("\n"), &line[..line.len() / 2]);
    place.write("cut.jsonl", &cut);
    let report = place.run(&["report", "cut.jsonl"]).code(0);
    let coverage = place
        .run(&["spec", "coverage", "cut.jsonl", "--spec", "blip-0003"])
        .code(0);
    let diff = place
        .run(&["diff", "cut.jsonl", ".lnconform/last.jsonl"])
        .code(0);
    let baseline = place
        .run(&["baseline", "init", "--results", "cut.jsonl", "-o", "l.yaml"])
        .code(0);
    let bless = place
        .run(&["bless", "--results", "cut.jsonl", "--snapshots", "store"])
        .code(0);
    screen!("results_cut", screens(&[report, diff, baseline, bless]));
    assert!(coverage.stdout.contains("blip-0003"));
    // A broken line in the middle is another matter.
    place.write(
        "broken.jsonl",
        &whole.replacen("\"type\":\"check\"", "\"type\":\"check", 1),
    );
    let broken = place.run(&["report", "broken.jsonl"]).code(2);
    assert!(
        broken.stderr.contains("broken.jsonl:"),
        "{}",
        broken.screen()
    );
}

#[test]
fn a_result_file_that_cannot_be_written() {
    let place = place();
    place.write("file", "");
    let args = running("reference", &["--results"]);
    let below = place
        .run(&[&args[..], &["file/last.jsonl"]].concat())
        .code(2);
    let folder = place.run(&[&args[..], &["v"]].concat()).code(2);
    screen!("results_not_writable", screens(&[below, folder]));
}

/// Nothing that was measured is lost: the whole file is saved elsewhere.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let place = place();
    let args = running("reference", &["--results"]);
    let ran = place.run(&[&args[..], &["/dev/full"]].concat()).code(5);
    assert!(ran.stdout.contains("2 checks in "), "{}", ran.screen());
    let saved: Vec<_> = std::fs::read_dir(place.tmp()).unwrap().flatten().collect();
    assert_eq!(saved.len(), 1, "{saved:?}");
    let name = saved[0].file_name().into_string().unwrap();
    let text = std::fs::read_to_string(saved[0].path()).unwrap();
    assert_eq!(
        text.lines()
            .filter(|l| l.contains("\"outcome\":\"passed\""))
            .count(),
        2
    );
    assert!(
        text.lines()
            .last()
            .unwrap()
            .contains("\"type\":\"summary\""),
        "{text}"
    );
    std::fs::remove_file(saved[0].path()).unwrap();
    screen!(
        "disk_full",
        ran.screen().replace(&name, "lnconform-results-[PID].jsonl")
    );
}

/// A command line in namespaces of its own, as root of the machine or of the namespace; `None`
/// where this system does not allow it.
fn apart(kinds: &str) -> Option<Vec<String>> {
    [format!("-{kinds}"), format!("-r{kinds}")]
        .into_iter()
        .find_map(|flag| {
            let mut try_out = Command::new("unshare");
            let done = try_out
                .args([flag.as_str(), "/bin/sh", "-c", "true"])
                .output();
            done.is_ok_and(|o| o.status.success())
                .then(|| vec![flag, "/bin/sh".into(), "-c".into()])
        })
}

/// Runs a shell script that ends in `exec "$0" …` apart; `$0` is the binary.
fn run_apart(place: &Place, kinds: &str, script: &str, args: &[&str]) -> Option<Ran> {
    let mut words = apart(kinds)?;
    words.push(script.to_owned());
    words.push(lnconform_tests::binary().to_string_lossy().into_owned());
    words.extend(args.iter().map(|a| (*a).to_owned()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = place.within(Path::new("unshare"), &words);
    Some(place.finish(command, args, ""))
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_during_the_run() {
    const MANY: usize = 400;
    let place = Place::new();
    let bytes: Vec<_> = (0..MANY)
        .map(|n| format!("\"{:02x}{n:04x}\"", n % 250))
        .collect();
    let matrix = format!(
        "matrix: {{input.bytes: [{}]}}\nexpect: {{}}\n",
        bytes.join(", ")
    );
    place.write(
        "v/mine/many.yaml",
        &format!("{}{matrix}", READ.split("expect").next().unwrap()),
    );
    std::fs::create_dir(place.path("small")).unwrap();
    let mount = "mount -t tmpfs -o size=64k none small || exit 99; \"$0\" \"$@\"; code=$?; cat small/r.jsonl > kept.jsonl; exit $code";
    let args = running("reference", &["--results", "small/r.jsonl"]);
    let Some(ran) = run_apart(&place, "m", mount, &args).filter(|r| r.code != Some(99)) else {
        return not_run(
            "a disk that fills up",
            "no file system can be mounted here (unshare -m)",
        );
    };
    let ran = ran.code(5);
    assert!(ran.stdout.contains("400 checks in "), "{}", ran.screen());
    assert!(
        ran.stderr.contains("No space left on device") && ran.stderr.contains("was saved as"),
        "{}",
        ran.screen()
    );
    // What lay on the small disk can be read, to its last whole line.
    let report = place.run(&["report", "kept.jsonl"]).code(0);
    assert!(
        report.stdout.contains("the run was ended before its end"),
        "{}",
        report.screen()
    );
    let saved = std::fs::read_dir(place.tmp())
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&saved).unwrap();
    assert_eq!(
        text.lines()
            .filter(|l| l.contains("\"outcome\":\"passed\""))
            .count(),
        MANY
    );
    std::fs::remove_file(saved).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn no_room_for_temporary_files() {
    let mut place = place();
    std::fs::create_dir(place.path("small")).unwrap();
    let args = running("reference", &[]);
    let mount = "mount -t tmpfs -o size=4k,nr_inodes=1 none small || exit 99; exec \"$0\" \"$@\"";
    let tmp = place.tmp();
    place.env("TMPDIR", place.path("small"));
    let ran = run_apart(&place, "m", mount, &args).filter(|r| r.code != Some(99));
    place.env("TMPDIR", tmp);
    match ran {
        Some(ran) => {
            let ran = ran.code(5);
            let text = ran.screen();
            let id = text
                .split("lnconform-")
                .nth(1)
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .to_owned();
            screen!("disk_full_for_temporary_files", text.replace(&id, "[RUN]"));
        }
        None => not_run(
            "no room for temporary files",
            "no file system can be mounted here (unshare -m)",
        ),
    }
}

/// Programs that a build needs, as stand-ins: a Python that has no network.
fn no_network(place: &mut Place) {
    let python = "#!/bin/sh\nPATH=/usr/bin:/bin\ncase \"$*\" in\n  *sys.version_info*) echo 3 11; exit;;\n  \
                  *ensurepip*) exit;;\n  \
                  \"-m venv \"*) for d; do :; done; mkdir -p \"$d/bin\" && cp \"$0\" \"$d/bin/python\"; exit;;\nesac\n\
                  echo \"WARNING: Retrying after connection broken by 'NewConnectionError: Temporary failure in name resolution'\"\n\
                  echo \"ERROR: No matching distribution found for it\" >&2\nexit 1\n";
    place.program("bin/python3", python);
    for name in ["cmake", "ninja", "c++", "g++", "pkg-config", "make"] {
        place.program(&format!("bin/{name}"), "#!/bin/sh\nexit 0\n");
    }
    // No dpkg-query: which libraries this machine has is not of this test.
    place.env("PATH", place.path("bin"));
}

#[cfg(unix)]
#[test]
fn an_installation_that_cannot_be_done() {
    let mut place = Place::new();
    no_network(&mut place);
    let offline = place.run(&["install", "bitcoind"]).code(5);
    // All that is needed: what is quick to get goes first, and fails first.
    let all_offline = place.run(&["install"]).code(5);
    let unknown = place.run(&["install", "bitcoin"]).code(2);
    let version = place.run(&["install", "bitcoind@1.0.0"]).code(2);
    // A cache that cannot be written, not even by root: it lies below a file.
    place.write("file", "");
    let cache = place.cache();
    place.env("LNCONFORM_CACHE", place.path("file/cache"));
    let cache_below_file = place.run(&["install", "bitcoind"]).code(5);
    let doctor = place.run(&["doctor"]).code(0);
    assert!(
        doctor
            .stdout
            .contains("set LNCONFORM_CACHE to a folder that is"),
        "{}",
        doctor.screen()
    );
    place.env("LNCONFORM_CACHE", cache);
    // Nothing to build with.
    place.env("PATH", place.path("nothing"));
    let nothing = place.run(&["install", "bitcoind"]).code(5);
    let all = [offline, unknown, version, cache_below_file, nothing];
    // Which libraries are missing depends on the machine, and only where there is dpkg-query.
    screen!(
        "install_fails",
        screens(&all).replace(&table("version"), "[VERSION]")
    );
    assert!(all_offline.stderr.contains("lnconform install draft-py"));
    let seconds = |r: &Ran| r.took.as_secs();
    assert!(all.iter().all(|r| seconds(r) < 20));
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_cache() {
    let mut place = Place::new();
    no_network(&mut place);
    let mount = "PATH=/usr/bin:/bin:/sbin:/usr/sbin mount -t tmpfs -o ro none \"$LNCONFORM_CACHE\" || exit 99; exec \"$0\" \"$@\"";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bin = place.path("bin");
    let mut all = vec![bin];
    all.extend(std::env::split_paths(&path));
    place.env("PATH", std::env::join_paths(all).unwrap());
    match run_apart(&place, "m", mount, &["install", "bitcoind"]).filter(|r| r.code != Some(99)) {
        Some(ran) if ran.stderr.contains("system packages") => {
            // Which is told first, since nothing can be built without them.
            let _ = ran.code(5);
            not_run(
                "a read-only cache",
                "this machine lacks packages to build with",
            );
        }
        Some(ran) => screen!("cache_read_only", ran.code(5).screen()),
        None => not_run(
            "a read-only cache",
            "no file system can be mounted here (unshare -m)",
        ),
    }
}

/// What the version table says of bitcoind.
fn table(key: &str) -> String {
    let text = std::fs::read_to_string(repository("harness/regtest/versions.yaml")).unwrap();
    let (_, entry) = text.split_once("\nbitcoind:\n").unwrap();
    let key = format!("  {key}: ");
    let value = entry.lines().find_map(|l| l.strip_prefix(&key)).unwrap();
    value.trim_matches('"').to_owned()
}

/// A bitcoind of the version that is installed, which only knows that.
fn broken_bitcoind(place: &Place) -> std::path::PathBuf {
    let said = format!("Bitcoin Core daemon version v{}", table("version"));
    fake_bitcoind(place, "bitcoind", &said)
}

/// A bitcoind that only knows its version.
fn fake_bitcoind(place: &Place, name: &str, version: &str) -> std::path::PathBuf {
    place.program(
        name,
        &format!(
            "#!/bin/sh\nfor a; do [ \"$a\" = -version ] && echo '{version}' && exit 0; done\n\
             echo 'Error: no block chain here' >&2\nexit 1\n"
        ),
    )
}

#[cfg(unix)]
#[test]
fn a_bitcoind_that_is_not_the_right_one() {
    let mut place = Place::new();
    let old = fake_bitcoind(
        &place,
        "old/bitcoind",
        "Bitcoin Core daemon version v27.0.0",
    );
    let other = fake_bitcoind(&place, "other/bitcoind", "Hello, I am something else");
    let run = [
        "run",
        "--lane",
        "cluster",
        "--adapter",
        "ldk-node",
        "keysend/direct",
    ];
    // Whole, since a screen breaks its lines where the path of this machine ends.
    let reason =
        |ran: Ran, place: &Place| ran.redacted(place.last("check")[0]["message"].as_str().unwrap());
    let mut all = Vec::new();
    place.env("PATH", place.path("nothing"));
    for exe in [&old, &other, &place.path("gone")] {
        place.env("BITCOIND_EXE", exe);
        all.push(reason(place.run(&run).code(5), &place));
        let checks = place.last("check");
        assert!(!checks.is_empty() && checks.iter().all(|c| c["blame"] == "environment"));
        // Named by the user, so it is used or refused, whatever the lane.
        let _ = place.run(&["run", "keysend/direct"]).code(5);
        let _ = place.run(&["install", "bitcoind"]).code(5);
        let doctor = place.run(&["doctor"]).code(0);
        assert!(doctor.stdout.contains("- "), "{}", doctor.screen());
    }
    place.env("BITCOIND_EXE", "");
    // On PATH it is passed over, and that is said.
    place.env("PATH", place.path("old"));
    all.push(reason(place.run(&run).code(5), &place));
    let text = all.join("\n").replace(&table("supported"), "[SUPPORTED]");
    screen!("bitcoind_refused", text);
}

#[cfg(unix)]
#[test]
fn a_bitcoind_that_does_not_start_is_the_environment() {
    let mut place = Place::new();
    let broken = broken_bitcoind(&place);
    place.env("BITCOIND_EXE", broken);
    let ran = place
        .run(&[
            "run",
            "--lane",
            "cluster",
            "--adapter",
            "ldk-node",
            "keysend/direct",
        ])
        .code(5);
    for check in place.last("check") {
        assert_eq!(
            (&check["outcome"], &check["blame"]),
            (&"could-not-run".into(), &"environment".into()),
            "{check}"
        );
        assert!(
            check["message"]
                .as_str()
                .unwrap()
                .contains("no block chain here"),
            "{check}"
        );
    }
    assert!(ran.took.as_secs() < 30, "{:?}", ran.took);
}

/// All ports that a run may take are in use, in a network of its own; and the folder of the locks
/// on ports is its own too, so that no other run on this machine is disturbed.
#[cfg(target_os = "linux")]
#[test]
fn no_free_port() {
    let mut place = Place::new();
    let fake = broken_bitcoind(&place);
    place.env("BITCOIND_EXE", fake);
    place.write(
        "hold.py",
        "import os, resource, socket, sys\n\
         most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n\
         resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\n\
         if most < 10100: sys.exit(99)\n\
         held = []\n\
         for port in range(20000, 30000):\n    \
         s = socket.socket()\n    \
         s.bind(('127.0.0.1', port))\n    \
         s.listen(1)\n    \
         held.append(s)\n\
         if os.fork() == 0:\n    \
         os.execv(sys.argv[1], sys.argv[1:])\n\
         _, status = os.wait()\n\
         sys.exit(os.waitstatus_to_exitcode(status))\n",
    );
    let python = lnconform_tests::python();
    let script = format!(
        "ip link set lo up && mkdir -p -m 1777 /tmp/lnconform-ports && \
         mount -t tmpfs none /tmp/lnconform-ports || exit 99; exec {python} -I -S hold.py \"$0\" \"$@\""
    );
    let args = [
        "run",
        "--lane",
        "cluster",
        "--adapter",
        "ldk-node",
        "keysend/direct",
    ];
    match run_apart(&place, "nm", &script, &args).filter(|r| r.code != Some(99)) {
        Some(ran) => {
            let ran = ran.code(5);
            let message = place.last("check")[0]["message"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(
                message.contains("were needed and 0 found")
                    && message.contains("`ss -ltnp` shows them"),
                "{}",
                ran.screen()
            );
        }
        None => not_run(
            "no free port",
            "no network namespace can be made here (unshare -nm)",
        ),
    }
}

#[test]
fn upstream_files_of_another_shape_are_shown_and_fail_nothing() {
    let place = Place::new();
    // A `vectors/` here takes the place of the built-in ones, which makes the run short.
    place.write("vectors/mine/read.yaml", READ);
    place.write("specs/bolt12/offers-test.json", "{\"not\": \"a list\"}\n");
    place.write("specs/bolt12/unheard-of-test.json", "[]\n");
    place.write("specs/bolt12/signature-test.json", "[broken\n");
    let mine = bigsize("mine", "right");
    let args = [
        "run",
        "--lane",
        "codec",
        "--adapter",
        &mine,
        "--specs",
        "specs",
    ];
    let ran = place.run(&args).code(0);
    let checks = place.last("check");
    let upstream: Vec<_> = checks.iter().filter(|c| c["id"] != "mine/read").collect();
    assert_eq!(upstream.len(), 2);
    for check in upstream {
        assert_eq!(check["outcome"], "could-not-run");
        assert_eq!(check["blame"], "environment");
        assert_eq!(check["expected"], true);
    }
    let import = place.run(&["spec", "import", "--specs", "specs"]).code(0);
    screen!("upstream_of_another_shape", screens(&[ran, import]));
}
