//! `adapter NAME` and `adapter check`.

use crate::failure::{Done, Failure, print};
use lnconform_adapters::check;
use lnconform_adapters::registry::{BUILTINS, nearest, resolve_check};
use lnconform_engine::run::exit;
use lnconform_regtest::provision::{self, Lookup, ProgramError, Provisioner};
use std::path::PathBuf;
use std::process::Command;

/// Is a built-in adapter on standard input and output.
pub fn be(name: &str, rest: &[String]) -> Done {
    ended(match name {
        "reference" => lnconform_adapter_reference::run(rest),
        "ldk-0.2" | "ldk-0.3" | "ldk-node" => lnconform_adapter_ldk::run(name, rest),
        "lnd" => return lnd(rest),
        #[cfg(unix)]
        "cln" => lnconform_adapter_cln::serve_stdio(&program(name, rest)?),
        #[cfg(unix)]
        "eclair" => lnconform_adapter_eclair::serve_stdio(&program(name, rest)?),
        "probe" if rest.is_empty() => lnconform_probe::serve_stdio(),
        "probe" => return Err(Failure::usage("adapter probe has no options")),
        "draft-py" | "electrum" | "kmp" => return installed(name, rest),
        _ => {
            let names = BUILTINS
                .iter()
                .map(|b| b.name)
                .collect::<Vec<_>>()
                .join(", ");
            let near = nearest(name).map(|n| format!(" (did you mean `{n}`?)"));
            return Err(Failure::usage(format!(
                "there is no built-in adapter `{name}`{}; built in: {names}",
                near.unwrap_or_default()
            )));
        }
    })
}

/// How an adapter ended.
fn ended(ended: std::io::Result<()>) -> Done {
    match ended {
        Ok(()) => Ok(exit::OK),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => Err(Failure::usage(e)),
        // The harness has gone away: nobody is left to tell.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(exit::OK),
        Err(e) => Err(Failure::environment(e)),
    }
}

/// The version of what is built into this binary; `None` for anybody else.
pub fn version(name: &str) -> Option<&'static str> {
    match name {
        "reference" => Some(lnconform_adapter_reference::VERSION),
        "ldk-0.2" => Some(lnconform_adapter_ldk::ldk02::VERSION),
        "ldk-0.3" => Some(lnconform_adapter_ldk::ldk03::VERSION),
        "ldk-node" => Some(lnconform_adapter_ldk::node::VERSION),
        "probe" => Some(lnconform_probe::VERSION),
        _ => None,
    }
}

/// Becomes an adapter that is installed.
fn installed(name: &str, rest: &[String]) -> Done {
    let found = match provision::find(name).map_err(Failure::environment)? {
        Lookup::Found(found) => found,
        Lookup::Missing(missing) => return Err(Failure::environment(missing)),
    };
    let (program, args) = found.command();
    let mut command = Command::new(&program);
    command.args(args).args(rest);
    let failed = |e: std::io::Error| {
        Failure::environment(format!("{} does not run: {e}", program.display()))
    };
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // Returns only where it failed.
        Err(failed(command.exec()))
    }
    #[cfg(not(unix))]
    {
        let status = command.status().map_err(failed)?;
        let code = status.code().and_then(|c| u8::try_from(c).ok());
        Ok(code.unwrap_or(exit::HARNESS))
    }
}

/// Options of the LND adapter, each with a value: which version, or where the programs are. The
/// harness gives the paths, since an adapter's environment lacks the variables that lead to them;
/// whoever starts it by hand need not.
fn lnd(rest: &[String]) -> Done {
    let (mut version, mut lnd, mut codec) = (None, None, None);
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--version" => &mut version,
            "--lnd" => &mut lnd,
            "--lnd-codec" => &mut codec,
            other => {
                return Err(Failure::usage(format!(
                    "adapter lnd has no option {other}; it has --version VERSION, --lnd PATH and --lnd-codec PATH"
                )));
            }
        };
        *place = Some(
            words
                .next()
                .ok_or_else(|| Failure::usage(format!("adapter lnd: {word} needs a value")))?,
        );
    }
    let path = |given: Option<&String>, name: &str| match given {
        Some(path) => Ok(PathBuf::from(path)),
        None => {
            let spec = match version {
                Some(version) => format!("{name}@{version}"),
                None => name.to_owned(),
            };
            match provision::find(&spec).map_err(|e| match e {
                ProgramError::NoSuchVersion { .. } => Failure::usage(e),
                other => Failure::environment(other),
            })? {
                Lookup::Found(found) => Ok(found.path),
                Lookup::Missing(missing) => Err(Failure::environment(missing)),
            }
        }
    };
    let (lnd, codec) = (path(lnd, "lnd")?, path(codec, "lnd-codec")?);
    ended(lnconform_adapter_lnd::serve_stdio(&lnd, Some(&codec)))
}

/// The program of an adapter whose one option names it: the harness gives the path, and whoever
/// starts the adapter by hand need not.
#[cfg(unix)]
fn program(name: &str, rest: &[String]) -> Result<PathBuf, Failure> {
    match rest {
        [] => match provision::find(name).map_err(Failure::environment)? {
            Lookup::Found(found) => Ok(found.path),
            Lookup::Missing(missing) => Err(Failure::environment(missing)),
        },
        [option, path] if *option == format!("--{name}") => Ok(PathBuf::from(path)),
        _ => Err(Failure::usage(format!(
            "adapter {name} has one option, --{name} PATH"
        ))),
    }
}

/// Tests an adapter against the protocol, a verdict a line.
pub fn check(adapter: &str) -> Done {
    let this = std::env::current_exe().map_err(Failure::environment)?;
    let resolved = resolve_check(adapter).map_err(Failure::usage)?;
    let host = Provisioner::from_env();
    resolved.installed(&host).map_err(Failure::environment)?;
    let mut accepted = true;
    for (_, launch) in resolved.launches(&this, &host, "check", 0) {
        let verdicts = check::check(&launch, &check::Options::default(), |verdict| {
            print(check::line(verdict));
        })
        .map_err(Failure::environment)?;
        print(check::summary(&verdicts));
        accepted &= check::accepted(&verdicts);
    }
    Ok(if accepted { exit::OK } else { exit::UNEXPECTED })
}
