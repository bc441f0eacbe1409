//! Measures the host: `cargo run --release -p lnconform-adapters --example throughput`.
//!
//! The program runs itself again as an adapter with one trivial operation and sends it a million
//! requests.

use lnconform_adapters::{Adapter, Launch, Limits};
use lnconform_protocol::{Answer, Handler, Hello, Implementation};
use serde_json::{Value, json};
use std::time::Instant;

struct Echo;

impl Handler for Echo {
    fn hello(&self) -> Hello {
        Hello {
            implementation: Implementation {
                name: "echo".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                language: "Rust".into(),
                source: String::new(),
            },
            protocol: lnconform_protocol::PROTOCOL,
            operations: vec!["bigsize.decode".into()],
            dialects: vec![],
        }
    }

    fn call(&mut self, _op: &str, _params: &Value) -> Answer {
        Answer::Result(json!({"value": "253", "rest": ""}))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() == Some("adapter") {
        return Ok(lnconform_protocol::serve::serve_stdio(&mut Echo)?);
    }
    let args = vec!["adapter".to_owned()];
    let launch = Launch {
        args,
        ..Launch::new("echo", std::env::current_exe()?)
    };
    let limits = Limits::default();
    let mut adapter = Adapter::start(launch, limits.clone())?;
    let params = json!({"bytes": "fd00fd"});
    for window in [1, 64, 1024, 4096] {
        let n = if window == 1 { 20_000 } else { 1_000_000 };
        let start = Instant::now();
        let mut good = 0;
        adapter.batch(
            std::iter::repeat_n(("bigsize.decode", &params), n),
            window,
            limits.codec,
            |_, answer, _| good += usize::from(answer.is_ok()),
        )?;
        let took = start.elapsed();
        assert_eq!(good, n);
        println!(
            "window {window:>4}: {n} requests in {:.2} s, {:.0} a second",
            took.as_secs_f64(),
            n as f64 / took.as_secs_f64()
        );
    }
    println!("{}", adapter.shutdown()?);
    Ok(())
}
