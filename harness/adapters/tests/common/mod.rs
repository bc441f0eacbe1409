//! The faulty adapters of `tests/faulty/adapter.py`.
#![allow(dead_code)]

use lnconform_adapters::{Launch, Limits};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// A path of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The interpreter itself: a `python3` on PATH may be a script that looks for it, which takes
/// longer than all the rest of a short test.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = "import sys; print(sys.executable, end='')";
        let output = Command::new("python3").args(["-c", script]).output();
        String::from_utf8(output.expect("the tests need python3 on PATH").stdout).unwrap()
    })
}

/// The adapter with that fault.
pub fn faulty(fault: &str) -> Launch {
    let script = repository("tests/faulty/adapter.py")
        .to_string_lossy()
        .into_owned();
    // -I and -S: nothing of the machine's Python set-up, and a start in 15 ms.
    let args = ["-I", "-S", script.as_str(), fault]
        .map(str::to_owned)
        .to_vec();
    Launch {
        args,
        run: "test".into(),
        seed: 1,
        ..Launch::new(fault, python())
    }
}

/// Limits that are short where a test waits for them to run out, and long where it must not.
pub fn limits() -> Limits {
    Limits {
        shutdown: Duration::from_secs(5),
        ..Limits::default()
    }
}
