//! The LND adapter by itself: `cargo run -p lnconform-adapter-lnd --example lnd_adapter LND [CODEC]`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(lnd) = args.next() else {
        eprintln!("usage: lnd_adapter LND [CODEC]");
        return ExitCode::FAILURE;
    };
    match lnconform_adapter_lnd::serve_stdio(&lnd, args.next().as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("adapter lnd: {e}");
            ExitCode::FAILURE
        }
    }
}
