//! `init`: the configuration file of somebody else's repository.

use crate::args::InitArgs;
use crate::config;
use crate::failure::{Done, Failure, print};
use std::io::Write;

/// Writes the file; one that exists is not written over.
pub fn init(args: &InitArgs) -> Done {
    let told = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::usage(format!(
            "{} exists; edit it, or name another file",
            args.file.display()
        )),
        _ => Failure::environment(format!("{} cannot be written: {e}", args.file.display())),
    };
    let mut file = std::fs::File::create_new(&args.file).map_err(told)?;
    file.write_all(config::template().as_bytes())
        .map_err(told)?;
    print(format!(
        "{}: name your adapter in it, then `lnconform run`; without one, all that is installed takes part",
        args.file.display()
    ));
    Ok(0)
}
