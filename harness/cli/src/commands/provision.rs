//! `install` and `doctor`.

use crate::args::{DoctorArgs, InstallArgs, Select, TextOrJson};
use crate::failure::{Done, Failure, print, print_json};
use crate::guard::{Guard, draw_id};
use crate::world::participants;
use lnconform_adapters::Limits;
use lnconform_regtest::provision::{
    self, Found, Lookup, ProgramError, ProvisionError, Provisioner,
};
use lnconform_report::Progress;
use serde_json::json;
use std::time::Instant;

/// Installs into the cache.
pub fn install(args: &InstallArgs) -> Done {
    let names: Vec<&str> = if args.names.is_empty() {
        provision::defaults()
    } else {
        args.names.iter().map(String::as_str).collect()
    };
    // A build that is interrupted takes its compilers with it.
    let _guard = Guard::start(&draw_id())?;
    for name in names {
        let mut lines = Lines::with(Progress::new(0));
        let found =
            provision::install(name, args.apt, &mut |p| lines.tell(&p)).map_err(|e| match e {
                // The version table has no such thing.
                ProvisionError::Program(
                    ProgramError::Unknown { .. } | ProgramError::NoSuchVersion { .. },
                ) => Failure::usage(e),
                other => Failure::environment(other),
            })?;
        let show = |found: &Found| {
            print(format!(
                "{} {} at {} ({})",
                found.name,
                found.label,
                found.path.display(),
                found.from
            ));
        };
        show(&found);
        let host = Provisioner::from_env();
        for follower in host.followers(&found) {
            if let Ok(Lookup::Found(found)) = host.find(&follower) {
                show(&found);
            }
        }
    }
    Ok(0)
}

/// Installs those of `names` that are missing, for a run with `--install`, and returns those for
/// which that failed, each with the reason. Whether the run fails for it is for the run to say.
pub fn before(names: &[String]) -> Vec<(String, String)> {
    let mut failed = Vec::new();
    for name in names {
        let mut lines = Lines::with(Progress::new(0));
        if let Err(error) = provision::install(name, true, &mut |p| lines.tell(&p)) {
            failed.push((name.clone(), error.to_string()));
        }
    }
    failed
}

/// Progress as lines: each phase once, and a long one every ten percent.
pub struct Lines {
    progress: Progress,
    last: Option<(String, Option<u8>)>,
    since: Instant,
}

impl Lines {
    /// Lines beside the progress of a run.
    pub fn with(progress: Progress) -> Self {
        Self {
            progress,
            last: None,
            since: Instant::now(),
        }
    }

    /// Shows a step.
    pub fn tell(&mut self, progress: &provision::Progress) {
        let step = (progress.phase.to_string(), progress.percent.map(|p| p / 10));
        if self.last.as_ref() == Some(&step) {
            return;
        }
        self.last = Some(step);
        let percent = progress
            .percent
            .map(|p| format!(" {p} %"))
            .unwrap_or_default();
        self.progress.note(&format!(
            "install {}: {}{percent}: {} ({} s)",
            progress.name,
            progress.phase,
            progress.message,
            self.since.elapsed().as_secs()
        ));
    }
}

/// Programs that were found and do not go with the bitcoind that was found.
fn incompatible(programs: &[provision::Doctor]) -> Vec<String> {
    let version = |d: &provision::Doctor| provision::parse_version(d.version.as_deref()?);
    let chain = programs
        .iter()
        .find(|d| d.name == "bitcoind")
        .and_then(version);
    let Some(chain) = chain else {
        return Vec::new();
    };
    let host = Provisioner::from_env();
    programs
        .iter()
        .filter_map(|d| {
            let name = d.name.split('@').next()?;
            let fits = host.compatible(name, &version(d)?, "bitcoind", &chain);
            fits.err().map(|e| e.to_string())
        })
        .collect()
}

/// What stands in the way of a run, in a line each.
fn problems(programs: &[provision::Doctor]) -> Vec<String> {
    let mut problems: Vec<String> = programs.iter().flat_map(|d| d.problems.clone()).collect();
    // Nothing stands in the way of installing it, but it is missing all the same.
    let absent = programs
        .iter()
        // What is taken only where it is asked for, or what the user may bring, is not missing.
        .filter(|d| !d.found && d.problems.is_empty() && !d.optional && d.untested.is_none());
    problems.extend(absent.map(|d| format!("{} is not installed: type `{}`", d.name, d.install)));
    problems.extend(incompatible(programs));
    if let Ok(ledger) =
        lnconform_engine::ledger::Ledger::find::<&str>(&[], std::path::Path::new(""))
    {
        problems.extend(ledger.unexplained().map(|e| {
            format!(
                "{}: the reason of an expected failure is still open; say why it fails",
                e.place()
            )
        }));
    }
    let leftovers = lnconform_regtest::clean::plan();
    if !leftovers.is_empty() {
        problems.push(format!(
            "{} things are left of killed runs: `lnconform clean`",
            leftovers.len()
        ));
    }
    problems
}

/// A line on a program.
fn show(program: &provision::Doctor) {
    match (&program.version, &program.path) {
        (Some(version), Some(path)) => {
            // The version stands beside it.
            let name = program.name.split('@').next().unwrap_or_default();
            let mark = program.untested.map(|m| format!(" ({m})"));
            let mark = mark.unwrap_or_default();
            print(format!("{name:<12} {version} at {}{mark}", path.display()));
        }
        _ if program.untested.is_some() => {
            let mark = program.untested.unwrap_or_default();
            print(format!(
                "{:<12} yours to bring: {} ({mark})",
                program.name, program.install
            ));
        }
        _ => print(format!(
            "{:<12} not installed: {}",
            program.name, program.install
        )),
    }
}

/// Shows what is here and what is missing.
pub fn doctor(args: &DoctorArgs) -> Done {
    let programs = provision::doctor();
    // One that is installed is among the programs.
    let builtins: Vec<_> = lnconform_adapters::registry::BUILTINS
        .iter()
        .filter(|b| b.needs.is_empty())
        .collect();
    let problems = problems(&programs);
    if args.format == TextOrJson::Json {
        // Each says its own version.
        let people = participants(&Select::default(), &draw_id(), 0, &Limits::default(), true)?;
        let version = |name: &str| {
            let own = people.iter().find(|p| p.name == name);
            own.map(|p| p.version.clone()).unwrap_or_default()
        };
        let mut list: Vec<_> = builtins
            .iter()
            .map(|b| {
                json!({"name": b.name, "found": true, "version": version(b.name),
                    "path": "built in", "install": ""})
            })
            .collect();
        for program in &programs {
            list.push(serde_json::to_value(program).map_err(Failure::harness)?);
        }
        print_json(&json!({"implementations": list, "problems": problems}).to_string());
        return Ok(0);
    }
    for builtin in &builtins {
        print(format!("{:<12} built in: {}", builtin.name, builtin.about));
    }
    programs.iter().for_each(show);
    if problems.is_empty() {
        print("nothing is missing");
    }
    for problem in &problems {
        print(format!("- {problem}"));
    }
    Ok(0)
}
