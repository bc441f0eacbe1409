//! LDK as adapters: `ldk-0.2` and `ldk-0.3` (codec), `ldk-node` (node).
//!
//! Every answer is LDK's own: where its public API cannot do an operation, the operation is not
//! listed, and nothing of ours fills the gap.

pub mod ldk02;
pub mod ldk03;
pub mod node;

use std::io;

/// Names that [`run`] serves.
pub const NAMES: [&str; 3] = ["ldk-0.2", "ldk-0.3", "ldk-node"];

/// Serves the adapter `name` on standard input and output until `shutdown` or the end of input.
///
/// No argument is known yet, and unknown ones are refused.
///
/// # Errors
/// `InvalidInput` when `name` is not one of [`NAMES`] or an argument is given; otherwise what the
/// streams answer when the harness has gone away.
pub fn run(name: &str, args: &[String]) -> io::Result<()> {
    if let Some(arg) = args.first() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("adapter {name} takes no argument, but {arg} was given"),
        ));
    }
    match name {
        "ldk-0.2" => lnconform_protocol::serve::serve_stdio(&mut ldk02::codec::Codec),
        "ldk-0.3" => lnconform_protocol::serve::serve_stdio(&mut ldk03::codec::Codec),
        "ldk-node" => node::serve_stdio(),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "no LDK adapter is called {name}; there are {}",
                NAMES.join(", ")
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_and_arguments_are_refused() {
        let e = run("ldk-9", &[]).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidInput);
        assert!(e.to_string().contains("ldk-0.2"));
        assert!(
            run("ldk-0.2", &["--x".into()])
                .unwrap_err()
                .to_string()
                .contains("--x")
        );
    }

    /// The versions that `hello` answers are those that are built in.
    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = include_str!("../../../../Cargo.lock");
        for (package, version) in [
            ("lightning", ldk02::VERSION),
            ("lightning", ldk03::VERSION),
            ("ldk-node", node::VERSION),
        ] {
            let entry = format!("name = \"{package}\"\nversion = \"{version}\"\n");
            assert!(
                lock.contains(&entry),
                "{package} {version} is not in Cargo.lock"
            );
        }
    }
}
