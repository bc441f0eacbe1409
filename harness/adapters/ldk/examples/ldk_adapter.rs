//! One LDK adapter by itself: `cargo run -p lnconform-adapter-ldk --example ldk_adapter ldk-0.2`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match lnconform_adapter_ldk::run(&name, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("adapter {name}: {e}");
            ExitCode::FAILURE
        }
    }
}
