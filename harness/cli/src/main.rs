//! `lnconform`: arguments, exit codes, wiring. What a command does lives in the rooms below.

mod args;
mod commands;
mod config;
mod failure;
mod guard;
mod keep;
mod world;

use args::{AdapterCommand, BaselineCommand, Cli, Command, SpecCommand};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no mistakes; everything else is the user's, exit code 2.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let done = match cli.command {
        Command::Run(args) => commands::run::run(&args),
        Command::List(args) => commands::list::list(&args),
        Command::Explain(args) => commands::explain::explain(&args),
        Command::Bless(args) => commands::bless::bless(&args),
        Command::Fill(args) => commands::fill::fill(&args),
        Command::Baseline(args) => match &args.command {
            BaselineCommand::Init(file) => commands::baseline::init(file),
            BaselineCommand::Update(file) => commands::baseline::update(file),
            BaselineCommand::Prune(file) => commands::baseline::prune(file),
        },
        Command::Report(args) => commands::report::report(&args),
        Command::Diff(args) => commands::report::diff(&args),
        Command::Merge(args) => commands::merge::merge(&args),
        Command::Spec { command } => match &command {
            SpecCommand::Coverage(args) => commands::coverage::coverage(args),
            SpecCommand::Import { specs } => commands::spec::import(specs),
            SpecCommand::Drift(args) => commands::drift::drift(args),
            SpecCommand::Scaffold(args) => commands::scaffold::scaffold(args),
            SpecCommand::Sets { format } => commands::sets::sets(*format),
            SpecCommand::Freeze(args) => commands::sets::freeze(args),
            SpecCommand::Audit(args) => commands::spec::audit(args),
            SpecCommand::Proofs {
                results,
                recorded,
                format,
            } => commands::proofs::proofs(results.as_deref(), recorded.as_deref(), *format),
        },
        Command::Export(args) => commands::export::export(&args),
        Command::Mutants(args) => commands::mutants::run(&args),
        Command::Fuzz(args) => commands::fuzz::fuzz(&args),
        Command::Adapter(args) => match &args.command {
            Some(AdapterCommand::Check { adapter }) => commands::adapter::check(adapter),
            None => commands::adapter::be(args.name.as_deref().unwrap_or_default(), &args.rest),
        },
        Command::Install(args) => commands::provision::install(&args),
        Command::Doctor(args) => commands::provision::doctor(&args),
        Command::Init(args) => commands::init::init(&args),
        Command::Clean(args) => commands::clean::clean(&args),
        Command::Schema(args) => commands::schema::schema(&args),
        Command::Reap { .. } => lnconform_regtest::reaper::main()
            .map(|()| 0)
            .map_err(Failure::harness),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            for line in &failure.lines {
                failure::note(format!("lnconform: {line}"));
            }
            ExitCode::from(failure.code)
        }
    }
}
