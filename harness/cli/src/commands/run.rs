//! `run`: everything wired together.

use crate::args::{LaneArg, RunArgs, Select, TextOrJson};
use crate::commands::{list, provision as installing, report::Screen};
use crate::config::Config;
use crate::failure::{Done, Failure};
use crate::guard::{Guard, draw, draw_id};
use crate::keep;
use crate::world::{
    Keywords, World, frozen, merge, needs, oracle, participants, selection, unfiltered,
};
use lnconform_adapters::Limits;
use lnconform_adapters::registry::{self, resolve};
use lnconform_engine::dialects::Tally;
use lnconform_engine::kept::Kept;
use lnconform_engine::ledger::{self, Ledger};
use lnconform_engine::plan::{Participant, Plan, Who, plan};
use lnconform_engine::record::{Record, Run, RunImplementation, Shard, Summary};
use lnconform_engine::results::{FORMAT, ResultWriter, Sink};
use lnconform_engine::run::{self as engine, Bitcoind, Missing, Setup, exit};
use lnconform_engine::snapshot::SnapshotStore;
use lnconform_regtest::electrum_server::Servers;
use lnconform_regtest::provision::{self, Lookup};
use lnconform_report::Progress;
use lnconform_spec::Dialects;
use std::path::{Path, PathBuf};

/// Runs checks.
pub fn run(args: &RunArgs) -> Done {
    let watch = match args.keep && !args.dry_run {
        true if keep::is_behind() => Some(keep::Watch::start()),
        true => return keep::stand_in_front(),
        false => None,
    };
    let config = Config::find()?;
    let select = merge(&args.select, &config)?;
    // What is quick to look at goes first, so that a mistake in it is told at once.
    let today = match &args.today {
        Some(text) => ledger::date(text).map_err(|e| Failure::usage(format!("--today: {e}")))?,
        None => ledger::today(),
    };
    let mut expectations = config.expectations.clone();
    expectations.extend(args.expectations.iter().cloned());
    let mut ledger = Ledger::find(&expectations, Path::new(""))?;
    let seed = select.seed.unwrap_or_else(draw);
    let mut selection = selection(&select, seed)?;
    let mut world = World::load(select.specs.as_deref(), &select.vectors)?;
    let snapshots = SnapshotStore::find(args.snapshots.as_deref(), Path::new(""));
    let snapshots = snapshots.holding(world.held());
    let redactions = snapshots.redactions()?;
    let id = draw_id();
    let limits = Limits::default();
    selection.specs = world.named(&select.specs_named);
    selection.pins = world.pins();
    selection.only = frozen(&select, &world)?;
    // What was asked for and does not exist is told before anything is started.
    plan(&world.set.cases, &[], &selection).map_err(Failure::usage)?;

    // From here on processes are started: they, and the folder, go when this process goes.
    let guard = Guard::start(&id)?;
    let run_dir = &guard.run_dir;

    let people = people(args, &select, &id, seed, &limits)?;
    let plan = plan(&world.set.cases, &people, &selection).map_err(Failure::usage)?;
    if args.dry_run {
        list::show(&world.set.cases, &people, &plan, TextOrJson::Text);
        return Ok(exit::OK);
    }
    list::left_out(&plan);
    ledger.set_versions(
        people
            .iter()
            .map(|p| (p.name.clone(), p.version.clone()))
            .collect(),
    );

    let file = ResultWriter::create(&args.results)?;
    // A node that was asked for by name can do nothing without a chain.
    let cluster_named =
        select.lane == Some(LaneArg::Cluster) || people.iter().any(|p| p.named && p.node.is_some());
    let checks = plan
        .units
        .iter()
        .map(|u| engine::check_requirements(&world.set.cases[u.case]).len());
    let progress = Progress::new(checks.sum::<usize>() as u64);
    let bitcoind = bitcoind(&plan, args.install, cluster_named, progress.clone());
    let header = Run {
        format: FORMAT,
        run: id.clone(),
        harness: env!("CARGO_PKG_VERSION").into(),
        vectors: world.set.hash.clone(),
        specs: world.specs(),
        implementations: implementations(&people, &plan),
        seed: seed.to_string(),
        machine: machine(),
        started: jiff::Timestamp::now().to_string(),
        command: std::env::args().collect(),
        filtered: !unfiltered(&select),
        shard: selection.shard.map(|(part, of)| Shard {
            part,
            of,
            filtered: !unfiltered(&Select {
                shard: None,
                ..select.clone()
            }),
        }),
    };
    let specs = world.specs();
    let keywords = Keywords(&world.catalogue);
    let oracle = oracle(&id, seed)?;
    // What stands in its way is told by the nodes that need it.
    let electrum = Servers::find();
    // Ends before the guard, whose watchdog is there for what does not end.
    let kept = Kept::default();
    let setup = Setup {
        cases: &world.set.cases,
        plan: &plan,
        participants: &people,
        oracle: Some(&oracle),
        requirements: &keywords,
        ledger: &ledger,
        snapshots: &snapshots,
        // Where nobody will look at them, proposals are only in the way.
        propose: std::env::var_os("CI").is_none_or(|v| v.is_empty()),
        redactions: &redactions,
        specs: &specs,
        unfiltered: unfiltered(&select),
        upstream: world.upstream.clone(),
        problems: world
            .problems
            .iter()
            .filter(|p| select.lane != Some(LaneArg::Cluster) && selection.filters.matches(&p.id))
            .map(|p| (p.id.clone(), format!("{}: {}", p.file, p.message)))
            .collect(),
        today,
        strict: args.strict,
        fail_fast: args.fail_fast,
        jobs: args.jobs as usize,
        electrum: Some(&electrum),
        keep: args.keep.then_some(&kept),
        fresh_clusters: args.fresh_clusters,
        limits,
        run_dir,
        evidence: evidence(&args.results, &id),
        rerun: rerun(args, &select.specs, &select.vectors, seed),
    };
    let own = Path::new("specs");
    let dialects = Dialects::open(own.is_dir().then_some(own))?;
    let mut out = Out {
        file,
        dialects: Tally::new(&dialects, &world.set.cases, &people).map_err(Failure::usage)?,
        screen: Screen::new(args.format, Some(&args.results), progress, &world.catalogue),
    };
    let summary = engine::run(&setup, bitcoind, header, &mut out, &guard.stop);
    let ended = out.finish(summary);
    if let Some(watch) = watch {
        keep::leave(&kept, &guard);
        if let (false, Ok(code)) = (kept.is_empty(), &ended) {
            watch.hold(&kept, &guard, *code)?;
        }
    }
    ended
}

/// Who takes part, asked who they are; with `--install`, after what they need was installed.
fn people(
    args: &RunArgs,
    select: &Select,
    run: &str,
    seed: u64,
    limits: &Limits,
) -> Result<Vec<Participant>, Failure> {
    let mut uninstalled = Vec::new();
    if args.install && !args.dry_run {
        // What takes seconds has to be there before anybody is asked who they are; bitcoind, which
        // takes minutes, builds beside the codec lane.
        uninstalled = installing::before(&needs(select));
    }
    let mut people = participants(select, run, seed, limits, !args.dry_run)?;
    for person in people.iter_mut().filter(|p| p.unavailable.is_some()) {
        // `--install` requires what it installs.
        let needs = resolve(&person.name).map_or_else(|_| Vec::new(), |r| r.needs());
        if let Some((_, why)) = uninstalled.iter().find(|(spec, _)| needs.contains(spec)) {
            person.unavailable = Some(why.clone());
            person.named = true;
        }
    }
    Ok(people)
}

/// The implementations as the header has them, with a mark on those that we never ran.
fn implementations(people: &[Participant], plan: &Plan) -> Vec<RunImplementation> {
    let mut implementations = engine::header_implementations(people, plan);
    for one in &mut implementations {
        let name = one.name.split('@').next().unwrap_or_default();
        let mark = registry::builtin(name).and_then(|b| b.untested());
        // A command of the user's own under that name is none of ours.
        let ours = people.iter().any(|p| p.name == one.name && p.builtin);
        one.untested = mark.filter(|_| ours).map(str::to_owned);
    }
    implementations
}

/// The result file and the screen.
struct Out<'a> {
    file: ResultWriter,
    dialects: Tally,
    screen: Screen<'a>,
}

impl Out<'_> {
    /// Ends the file and the screen. Answers the exit code.
    fn finish(self, summary: Summary) -> Done {
        let Self {
            file, mut screen, ..
        } = self;
        let written = file.finish();
        // By the precedence of the codes: what is missing goes before what is stale.
        let code = match (&written, summary.exit_code) {
            (Err(e), exit::OK | exit::STALE | exit::NOTHING) => e.exit_code(),
            (_, code) => code,
        };
        if code != summary.exit_code {
            screen.record(&Record::Summary(Summary {
                exit_code: code,
                ..summary
            }));
        }
        // A terminal that has gone away changes no verdict.
        let _ = screen.finish();
        match written {
            Ok(_) => Ok(code),
            // Every result was shown; only the file is incomplete.
            Err(e) => Err(Failure {
                code,
                lines: vec![e.to_string()],
            }),
        }
    }
}

impl Sink for Out<'_> {
    fn record(&mut self, record: &Record) {
        self.dialects.record(record);
        if matches!(record, Record::Summary(_)) {
            for line in self.dialects.records() {
                self.file.record(&line);
                self.screen.record(&line);
            }
        }
        self.file.record(record);
        self.screen.record(record);
    }

    fn tick(&mut self) {
        self.file.tick();
        self.screen.tick();
    }
}

/// Looks for bitcoind, or begins to install it at once, so that it builds while the codec lane
/// runs; the closure waits for it.
fn bitcoind<'a>(plan: &Plan, install: bool, named: bool, progress: Progress) -> Bitcoind<'a> {
    if !plan.units.iter().any(|u| matches!(u.who, Who::Roles(_))) {
        let reason = "no scenario is planned".to_owned();
        return Box::new(move || {
            Err(Missing {
                reason,
                named: false,
            })
        });
    }
    let found = match provision::find("bitcoind") {
        Ok(Lookup::Found(found)) => Ok(found.path),
        Ok(Lookup::Missing(missing)) => Err(missing.to_string()),
        // What the user named in the environment is used or refused, and never passed over.
        Err(e) => {
            let reason = e.to_string();
            return Box::new(move || {
                Err(Missing {
                    reason,
                    named: true,
                })
            });
        }
    };
    match found {
        Ok(path) => Box::new(move || Ok(path)),
        Err(reason) if !install => Box::new(move || Err(Missing { reason, named })),
        Err(_) => {
            let building = std::thread::spawn(move || {
                let mut lines = installing::Lines::with(progress);
                provision::install("bitcoind", true, &mut |p| lines.tell(&p))
                    .map(|found| found.path)
                    .map_err(|e| e.to_string())
            });
            Box::new(move || match building.join() {
                Ok(Ok(path)) => Ok(path),
                Ok(Err(reason)) => Err(Missing {
                    reason,
                    named: true,
                }),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        }
    }
}

/// Where the logs of failures go: beside the result file.
fn evidence(results: &Path, run: &str) -> PathBuf {
    results
        .parent()
        .unwrap_or(Path::new(""))
        .join("evidence")
        .join(run)
}

/// A path as a word for the shell.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// What a rerun needs beside the check and who it runs on.
fn rerun(args: &RunArgs, specs: &Option<PathBuf>, vectors: &[PathBuf], seed: u64) -> String {
    let mut words = String::new();
    if let Some(dir) = specs {
        words.push_str(&format!(" --specs {}", quoted(dir)));
    }
    for dir in vectors {
        words.push_str(&format!(" --vectors {}", quoted(dir)));
    }
    for file in &args.expectations {
        words.push_str(&format!(" --expectations {}", quoted(file)));
    }
    if let Some(dir) = &args.snapshots {
        words.push_str(&format!(" --snapshots {}", quoted(dir)));
    }
    if args.strict {
        words.push_str(" --strict");
    }
    // By its id alone, a slow vector is left out.
    if args.select.slow || args.select.tags.iter().any(|t| t == "slow") {
        words.push_str(" --slow");
    }
    if let Some(day) = &args.today {
        words.push_str(&format!(" --today {day}"));
    }
    format!("{words} --seed {seed}")
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "{} {}, {cores} cores",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
