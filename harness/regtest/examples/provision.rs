//! Drives provisioning by hand: `find`, `install [--apt]` or `doctor`, and a name.
//!
//! The real recipe takes minutes, so no test runs it; this does.

use lnconform_regtest::provision::{self, Lookup};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = args
        .iter()
        .skip(1)
        .find(|a| !a.starts_with('-'))
        .map_or("bitcoind", String::as_str);
    match args.first().map(String::as_str) {
        Some("find") => match provision::find(name) {
            Ok(Lookup::Found(found)) => println!(
                "{} {} ({})",
                found.path.display(),
                found.version,
                found.from
            ),
            Ok(Lookup::Missing(missing)) => println!("{missing}"),
            Err(error) => return fail(&error),
        },
        Some("install") => {
            let begin = Instant::now();
            let apt = args.iter().any(|a| a == "--apt");
            let outcome = provision::install(name, apt, &mut |p| {
                let percent = p.percent.map(|p| format!(" {p} %")).unwrap_or_default();
                println!(
                    "{:6.1} s  {}{percent}: {}",
                    begin.elapsed().as_secs_f32(),
                    p.phase,
                    p.message
                );
            });
            match outcome {
                Ok(found) => println!(
                    "{} {} ({})",
                    found.path.display(),
                    found.version,
                    found.from
                ),
                Err(error) => return fail(&error),
            }
        }
        _ => {
            for doctor in provision::doctor() {
                println!("{doctor:#?}");
            }
        }
    }
    ExitCode::SUCCESS
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
