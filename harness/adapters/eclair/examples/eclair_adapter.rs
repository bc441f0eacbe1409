//! The Eclair adapter by itself:
//! `cargo run -p lnconform-adapter-eclair --example eclair_adapter ECLAIR_NODE_SH`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(program) = std::env::args_os().nth(1) else {
        eprintln!("usage: eclair_adapter ECLAIR_NODE_SH");
        return ExitCode::FAILURE;
    };
    match lnconform_adapter_eclair::serve_stdio(program.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("adapter eclair: {e}");
            ExitCode::FAILURE
        }
    }
}
