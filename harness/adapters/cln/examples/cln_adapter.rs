//! The Core Lightning adapter by itself:
//! `cargo run -p lnconform-adapter-cln --example cln_adapter LIGHTNINGD`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(program) = std::env::args_os().nth(1) else {
        eprintln!("usage: cln_adapter LIGHTNINGD");
        return ExitCode::FAILURE;
    };
    match lnconform_adapter_cln::serve_stdio(program.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("adapter cln: {e}");
            ExitCode::FAILURE
        }
    }
}
