//! How fast the codec lane is, measured on the binary as a user runs it: loading, planning, one
//! adapter process, judging, and writing the result file are all in the figures.
//!
//! It is a plain program and not a criterion benchmark, because what is measured is whole
//! processes that take from 50 ms to seconds: criterion would want hundreds of them for statistics
//! that nobody needs, and everybody would have to build it. A few rounds are run, and the middle
//! one and the best one are printed; on a machine that does something else, the best one says more.
//!
//! `cargo bench -p lnconform` runs it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Vector files that are generated.
const VECTORS: usize = 1_000;
/// How often each of them is run.
const REPEAT: usize = 100;
/// Rounds of a measurement that takes seconds, and of one that takes milliseconds.
const ROUNDS: (usize, usize) = (5, 21);

/// Checks in a second, at least.
const CHECKS: f64 = 50_000.0;
/// For loading all the vectors, at most.
const LOAD: Duration = Duration::from_millis(200);
/// For `list`, at most.
const LIST: Duration = Duration::from_millis(100);

fn main() {
    // `cargo test --all-targets` starts it as well, and then nothing is measured.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let place = tempfile::tempdir().expect("a folder for the vectors");
    generate(&place.path().join("bench"));

    let list = rounds(ROUNDS.1, || run(place.path(), &["list"]));
    show("list", list, LIST);

    let with = rounds(ROUNDS.1, || {
        run(place.path(), &["list", "--vectors", "bench"])
    });
    let of = |one: usize| with[one].saturating_sub(list[one]);
    show("1,000 vectors loaded", [of(0), of(1)], LOAD);

    let repeat = REPEAT.to_string();
    let args = [
        "run",
        "--lane",
        "codec",
        "--adapter",
        "reference",
        "--vectors",
        "bench",
        "bench/**",
        "--repeat",
        &repeat,
    ];
    let took = rounds(ROUNDS.0, || run(place.path(), &args));
    let checks = std::fs::read_to_string(place.path().join(".lnconform/last.jsonl"))
        .expect("the result file")
        .lines()
        .filter(|line| line.contains("\"type\":\"check\"") && line.contains("\"passed\""))
        .count();
    assert_eq!(
        checks,
        VECTORS * REPEAT,
        "some checks are missing or failed"
    );
    let [middle, best] = took.map(|t| checks as f64 / t.as_secs_f64());
    println!(
        "{checks} checks through one adapter: {middle:.0} a second, best {best:.0} (at least {CHECKS:.0}: {})",
        verdict(best >= CHECKS)
    );
}

/// Writes vectors of a trivial operation, with values of every size that BigSize has.
fn generate(folder: &Path) {
    let folder = folder.join("bench");
    std::fs::create_dir_all(&folder).expect("a folder for the vectors");
    for n in 0..VECTORS {
        let value = (n as u64) << (n % 55);
        let bytes = bigsize(value);
        let text = format!(
            "description: BigSize {value} is read.\n\
             spec: bolt01\n\
             covers: [bolt01/bigsize/form]\n\
             operation: bigsize.decode\n\
             input: {{bytes: \"{bytes}\"}}\n\
             expect: {{value: \"{value}\", rest: \"\"}}\n"
        );
        std::fs::write(folder.join(format!("v{n:04}.yaml")), text).expect("a vector");
    }
}

/// BOLT 1, "Fundamental Types", BigSize: in hex.
fn bigsize(value: u64) -> String {
    match value {
        0..=0xfc => format!("{value:02x}"),
        0xfd..=0xffff => format!("fd{value:04x}"),
        0x1_0000..=0xffff_ffff => format!("fe{value:08x}"),
        _ => format!("ff{value:016x}"),
    }
}

/// Runs the binary in a folder to its end, which has to be a good one.
fn run(folder: &Path, args: &[&str]) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lnconform"));
    command.args(args).current_dir(folder).stdout(Stdio::null());
    for name in ["LNCONFORM_SPECS", "LNCONFORM_SEED", "CI"] {
        command.env_remove(name);
    }
    let clock = Instant::now();
    let output = command.output().expect("the binary starts");
    let took = clock.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{args:?}: {}\n{said}",
        output.status
    );
    took
}

/// The middle one and the best one of some rounds.
fn rounds(count: usize, mut one: impl FnMut() -> Duration) -> [Duration; 2] {
    let mut all: Vec<Duration> = (0..count).map(|_| one()).collect();
    all.sort();
    [all[count / 2], all[0]]
}

fn show(what: &str, [middle, best]: [Duration; 2], most: Duration) {
    println!(
        "{what}: {:.1} ms, best {:.1} ms (at most {} ms: {})",
        middle.as_secs_f64() * 1e3,
        best.as_secs_f64() * 1e3,
        most.as_millis(),
        verdict(best <= most)
    );
}

fn verdict(good: bool) -> &'static str {
    if good { "met" } else { "MISSED" }
}
