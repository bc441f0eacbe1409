//! What one operation costs each implementation, side by side: BOLT 12 strings and streams decoded,
//! signatures over Merkle roots verified, payer proofs verified; onions built, peeled, and read with
//! their payload.
//!
//! Each implementation answers in its adapter process, as in a run, and the requests are the inputs
//! of vectors of this repository, so that any implementation with a codec adapter can be put here. A
//! figure holds the operation and the adapter's JSON; the row of `bigsize.decode`, where the
//! operation is next to nothing, shows what of it is JSON.
//!
//! `cargo bench -p lnconform --bench implementations` runs it; implementations that are not
//! installed are left out, and said to be.

use lnconform_vectors::case::{Body, Codec};
use lnconform_vectors::load::{Options, Root, Vectors};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What is put side by side. All have an adapter for the codec lane.
const IMPLEMENTATIONS: [&str; 6] = ["reference", "ldk-0.2", "ldk-0.3", "lnd", "electrum", "kmp"];
/// The vectors whose inputs are asked. Each expects a result, so that the whole of the work is done.
const VECTORS: [&str; 13] = [
    "bolt01/bigsize/decode-0",
    "bolt12/offer/chains",
    "bolt12/invoice-request/minimal",
    "bolt12/invoice/minimal",
    "bolt12/invoice/two-paths",
    "bolt12/signature/verify",
    "payer-proof/verify/amount-shown",
    "onion/build/route",
    "onion/peel/intermediate",
    "onion/process/intermediate",
    "onion/payload/intermediate-alone",
    "onion/message/build",
    "onion/message/forward",
];
/// Requests of a round, and rounds. The first round warms up (a JVM above all) and is not counted.
const ROUND: usize = 2_000;
const ROUNDS: usize = 8;

fn main() {
    // `cargo test --all-targets` starts it as well, and then nothing is measured.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let root = Root::Embedded;
    let set = Vectors::load(&[root], &[], &Options::default()).expect("the vectors load");
    print!("{:36}{:26}", "microseconds an operation", "");
    for name in IMPLEMENTATIONS {
        print!("{name:>14}");
    }
    println!();
    for id in VECTORS {
        let case = set.get(id).expect("a vector of this repository");
        let Body::Codec(Codec {
            operation, input, ..
        }) = &case.body
        else {
            panic!("{id} is no codec vector");
        };
        print!("{id:36}{operation:26}");
        for name in IMPLEMENTATIONS {
            match measure(name, operation, input) {
                Ok(took) => print!("{:>14.1}", took.as_secs_f64() * 1e6),
                Err(why) => print!("{why:>14}"),
            }
        }
        println!();
    }
}

/// The middle of the rounds, for one request.
fn measure(name: &str, operation: &str, params: &serde_json::Value) -> Result<Duration, String> {
    let mut adapter = Adapter::start(name);
    let hello = adapter.ask(
        1,
        &serde_json::json!({
            "id": 0, "op": "hello", "params": {"protocol": 1, "harness": "bench"},
        }),
    );
    let Some(hello) = hello else {
        return Err("not installed".to_string());
    };
    let spoken = hello["result"]["operations"].as_array();
    if !spoken.is_some_and(|all| all.iter().any(|o| o == operation)) {
        return Err("unsupported".to_string());
    }
    let request = serde_json::json!({"id": 1, "op": operation, "params": params});
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..=ROUNDS {
        let clock = Instant::now();
        let last = adapter.ask(ROUND, &request).expect("the adapter lives");
        rounds.push(clock.elapsed() / u32::try_from(ROUND).expect("a small number"));
        // An error costs next to nothing and would look fast.
        if last.get("result").is_none() {
            return Err("refused".to_string());
        }
    }
    let mut counted = rounds.split_off(1);
    counted.sort();
    Ok(counted[counted.len() / 2])
}

/// A running adapter.
struct Adapter {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Adapter {
    fn start(name: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lnconform"))
            .args(["adapter", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self {
            input: child.stdin.take(),
            child,
            output,
        }
    }

    /// The last answer to so many requests, `None` if the adapter has ended. They are written from
    /// a thread of their own: with requests and answers in one, both pipes would fill up.
    fn ask(&mut self, times: usize, request: &serde_json::Value) -> Option<serde_json::Value> {
        let line = format!("{request}\n");
        let mut input = self.input.take()?;
        let writer = std::thread::spawn(move || {
            let mut buffered = BufWriter::new(&mut input);
            let written = (0..times).try_for_each(|_| buffered.write_all(line.as_bytes()));
            let flushed = written.and_then(|()| buffered.flush());
            drop(buffered);
            flushed.ok().map(|()| input)
        });
        let mut answer = String::new();
        for _ in 0..times {
            answer.clear();
            if self.output.read_line(&mut answer).ok()? == 0 {
                break;
            }
        }
        self.input = writer.join().expect("the writer ends");
        serde_json::from_str(&answer).ok()
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
