//! A run: both lanes at work, each result judged once and handed to the sink as it comes.

use crate::able::lacks;
use crate::codec::{self, Differences, Done};
use crate::groups::groups;
use crate::judge::{Finding, Judge, Requirements};
use crate::kept::Kept;
use crate::ledger::{Ledger, PlanScope};
use crate::plan::{Participant, Plan, Unit, Who, role_names};
use crate::record::{
    Blame, Check, Disagreement, Failure, Lane, Observation, Outcome, Phase, Record, Run,
    RunImplementation, SnapshotState, Summary,
};
use crate::redact::Redactions;
use crate::results::{Actor, Counters, Sink};
use crate::scenario::{self, Event, Item, Played, Stage};
use crate::shell;
use crate::snapshot::{SnapshotKey, SnapshotStore, version_of};
use crate::turns::Turns;
use crate::wait::Stop;
use jiff::civil::Date;
use lnconform_adapters::{Adapter, Limits};
use lnconform_protocol::Answer;
use lnconform_regtest::electrum_server::Servers;
use lnconform_regtest::run::RunDir;
use lnconform_vectors::case::{Body, Case, Expect, Origin};
use lnconform_vectors::matchers::Checker;
use serde_json::Value;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How often the sink learns that time passes.
const TICK: Duration = Duration::from_millis(50);

/// How many clusters may be alive for each that is at work: the others start, stop, or wait.
const ALIVE: usize = 4;

/// Exit codes of `run`, in the order in which the first that applies is taken.
pub mod exit {
    /// All as expected.
    pub const OK: u8 = 0;
    /// An unexpected result.
    pub const UNEXPECTED: u8 = 1;
    /// The user's mistake.
    pub const USAGE: u8 = 2;
    /// A stale, expired or unmatched expectation; a changed or missing snapshot.
    pub const STALE: u8 = 3;
    /// Nothing passed or failed.
    pub const NOTHING: u8 = 4;
    /// Something asked for by name is missing, or did not say hello.
    pub const COULD_NOT_RUN: u8 = 5;
    /// A fault of the harness.
    pub const HARNESS: u8 = 6;
    /// Stopped by SIGINT (128 + 2).
    pub const INTERRUPTED: u8 = 130;
}

/// bitcoind is missing.
#[derive(Clone, Debug)]
pub struct Missing {
    /// What is missing, and what to type.
    pub reason: String,
    /// Whether that fails the run.
    pub named: bool,
}

/// Waits for bitcoind (it may be building) and answers its path. Called once, from a thread of its
/// own, and only if a scenario is planned.
pub type Bitcoind<'a> = Box<dyn FnOnce() -> Result<PathBuf, Missing> + Send + 'a>;

/// Everything a run needs.
pub struct Setup<'a> {
    /// All cases, planned or not.
    pub cases: &'a [Case],
    /// The units to run.
    pub plan: &'a Plan,
    /// Who takes part, introduced by [`introduce`].
    pub participants: &'a [Participant],
    /// Who answers the steps of scenarios on `codec`; see [`Stage::oracle`].
    pub oracle: Option<&'a Participant>,
    /// Keywords of requirements.
    pub requirements: &'a dyn Requirements,
    /// Expected failures.
    pub ledger: &'a Ledger,
    /// Stored observations.
    pub snapshots: &'a SnapshotStore,
    /// Leaves a `.snap.new` beside snapshots that are new or changed.
    pub propose: bool,
    /// What is replaced by symbols before observations are compared.
    pub redactions: &'a Redactions,
    /// Revision of each specification, for the snapshots.
    pub specs: &'a BTreeMap<String, String>,
    /// No filter of any kind was given, so that orphans and unknown ids can be told.
    pub unfiltered: bool,
    /// Id prefixes of the upstream files that lie below `--specs`.
    pub upstream: BTreeSet<String>,
    /// The day by which ledger entries expire.
    pub today: Date,
    /// SHOULD counts like MUST.
    pub strict: bool,
    /// Stops at the first unexpected result.
    pub fail_fast: bool,
    /// Clusters at work at a time, at least 1; as many others may be starting, ready or stopping.
    pub jobs: usize,
    /// The Electrum servers at hand.
    pub electrum: Option<&'a Servers>,
    /// Takes clusters that are to stay up after a failure.
    pub keep: Option<&'a Kept>,
    /// Gives every scenario a cluster of its own.
    pub fresh_clusters: bool,
    /// Limits for the adapters.
    pub limits: Limits,
    /// Folder of the run on the temporary disk.
    pub run_dir: &'a RunDir,
    /// Upstream files that could not be read as what their name says: id and why. Each is one
    /// `could-not-run`.
    pub problems: Vec<(String, String)>,
    /// Where the logs of failures go.
    pub evidence: PathBuf,
    /// Appended to rerun commands: `--specs DIR` and the like.
    pub rerun: String,
}

/// Asks every participant who it is, all at the same time. One that does not answer becomes
/// unavailable, with its fault as the reason.
pub fn introduce(participants: &mut [Participant], limits: &Limits) {
    std::thread::scope(|scope| {
        for participant in participants.iter_mut() {
            if participant.unavailable.is_some() {
                continue;
            }
            // Where codec and node are two processes, each says what it can.
            let mut launches: Vec<_> = participant
                .codec
                .iter()
                .chain(&participant.node)
                .cloned()
                .collect();
            launches.dedup_by(|a, b| (&a.program, &a.args) == (&b.program, &b.args));
            scope.spawn(move || {
                for launch in launches {
                    match Adapter::start(launch, limits.clone()) {
                        Ok(adapter) => {
                            let hello = adapter.hello().clone();
                            participant.version = hello.implementation.version;
                            participant.operations.extend(hello.operations);
                            participant.dialects.extend(hello.dialects);
                            let _ = adapter.shutdown();
                        }
                        Err(fault) => {
                            let tail = fault.stderr_tail.trim();
                            let tail = tail.lines().last().map(|l| format!("; it wrote: {l}"));
                            // Dying or talking garbage is a failure of the implementation, and each of
                            // its checks will show it; only silence and absence are `could not run`.
                            if fault.could_not_run() {
                                participant.unavailable =
                                    Some(format!("{}{}", fault.message, tail.unwrap_or_default()));
                                participant.named = true;
                            }
                        }
                    }
                }
            });
        }
    });
}

/// The header's list of implementations.
pub fn header_implementations(participants: &[Participant], plan: &Plan) -> Vec<RunImplementation> {
    let plays = |place: usize| {
        let with = |unit: &Unit| match &unit.who {
            Who::Roles(roles) => roles.values().any(|p| *p == place),
            Who::Implementation(p) => *p == place,
        };
        plan.units.iter().any(with)
    };
    participants
        .iter()
        .enumerate()
        .filter(|(place, p)| p.own.is_none() || plays(*place))
        .map(|(_, p)| p)
        .map(|p| RunImplementation {
            name: p.name.clone(),
            version: p.version.clone(),
            available: p.unavailable.is_none(),
            reason: p.unavailable.clone(),
            self_reported: None,
            untested: None,
        })
        .collect()
}

enum Message {
    Codec(Done),
    Cluster(Event),
    Phase(Phase),
}

/// Runs the plan: hands the header, every record and the summary to the sink.
pub fn run(
    setup: &Setup<'_>,
    bitcoind: Bitcoind<'_>,
    header: Run,
    sink: &mut dyn Sink,
    stop: &Stop,
) -> Summary {
    let clock = Instant::now();
    sink.record(&Record::Run(header));
    let mut tally = Tally::new(setup);
    let mut ticked = Instant::now();
    let (send, receive) = sync_channel::<Message>(4096);
    std::thread::scope(|scope| {
        for (place, participant) in setup.participants.iter().enumerate() {
            let units = units_of(setup, place);
            if !units.is_empty() && participant.unavailable.is_none() {
                let send = send.clone();
                scope.spawn(move || {
                    codec::run(
                        participant,
                        &units,
                        setup.cases,
                        &setup.limits,
                        stop,
                        |done| {
                            // The receiver is gone only when the run has ended.
                            let _ = send.send(Message::Codec(done));
                        },
                    );
                });
            }
        }
        let scenarios = scenarios_of(setup);
        if !scenarios.is_empty() {
            let send = send.clone();
            scope.spawn(move || cluster_lane(setup, &scenarios, bitcoind, stop, &send));
        }
        drop(send);
        tally.absent(sink);
        loop {
            match receive.recv_timeout(TICK) {
                Ok(message) => tally.take(message, sink, stop),
                Err(RecvTimeoutError::Timeout) => sink.tick(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if ticked.elapsed() >= TICK {
                sink.tick();
                ticked = Instant::now();
            }
        }
    });
    let summary = tally.finish(sink, stop, clock.elapsed());
    sink.record(&Record::Summary(summary.clone()));
    summary
}

fn units_of<'a>(setup: &Setup<'a>, participant: usize) -> Vec<(usize, &'a Unit)> {
    let of_them = |u: &Unit| u.who == Who::Implementation(participant);
    let units = setup.plan.units.iter().enumerate();
    units
        .filter(|(_, u)| of_them(u) && lacks_of(setup, u).is_none())
        .collect()
}

/// Why a unit need not be tried.
fn lacks_of(setup: &Setup<'_>, unit: &Unit) -> Option<(Outcome, String)> {
    lacks(&setup.cases[unit.case], unit, setup.participants)
}

/// Places of the scenario units that can run.
fn scenarios_of(setup: &Setup<'_>) -> Vec<usize> {
    let able = |u: &Unit| match &u.who {
        Who::Roles(roles) => roles
            .values()
            .all(|p| setup.participants[*p].gone(&u.who).is_none()),
        Who::Implementation(_) => false,
    };
    setup
        .plan
        .units
        .iter()
        .enumerate()
        .filter(|(_, u)| able(u) && lacks_of(setup, u).is_none() && no_server(setup, u).is_none())
        .map(|(i, _)| i)
        .collect()
}

/// Why the Electrum server that the topology of a scenario asks for is not at hand.
fn no_server(setup: &Setup<'_>, unit: &Unit) -> Option<String> {
    let Body::Scenario(scenario) = &setup.cases[unit.case].body else {
        return None;
    };
    let topology = &scenario.topology;
    if topology.server.is_none() && topology.nodes.values().all(|n| n.chain.is_none()) {
        return None;
    }
    let kind = crate::cluster::server(topology);
    match setup.electrum {
        Some(servers) => servers.get(kind).err().map(str::to_owned),
        None => Some(kind.missing()),
    }
}

fn cluster_lane(
    setup: &Setup<'_>,
    scenarios: &[usize],
    bitcoind: Bitcoind<'_>,
    stop: &Stop,
    send: &SyncSender<Message>,
) {
    let clock = Instant::now();
    let bitcoind = match bitcoind() {
        Ok(path) => path,
        Err(missing) => {
            for place in scenarios {
                let unit = &setup.plan.units[*place];
                let played = could_not_run(&setup.cases[unit.case], &missing.reason, missing.named);
                let _ = send.send(Message::Cluster(Event::Played(*place, Box::new(played))));
            }
            return;
        }
    };
    if clock.elapsed() > Duration::from_millis(50) {
        let phase = Phase::new("install", clock.elapsed());
        let _ = send.send(Message::Phase(phase));
    }
    let foretold = |item: &Item<'_>, finding: Option<&Finding>| foretold(setup, item, finding);
    // A cluster that starts mostly waits for its nodes: while `jobs` clusters are at work, others
    // are made ready.
    let (starting, working) = (Turns::new(setup.jobs + 2), Turns::new(setup.jobs));
    let stage = Stage {
        starting: &starting,
        working: &working,
        foretold: &foretold,
        run: setup.run_dir,
        bitcoind: &bitcoind,
        electrum: setup.electrum,
        participants: setup.participants,
        oracle: setup.oracle,
        limits: &setup.limits,
        stop,
        evidence: &setup.evidence,
        keep: setup.keep,
    };
    let groups = groups(setup.plan, scenarios, setup.cases, setup.fresh_clusters);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..(ALIVE * setup.jobs.max(1)).min(groups.len()) {
            scope.spawn(|| {
                while !stop.is_set() {
                    let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    let mut items: Vec<Item<'_>> =
                        group.iter().filter_map(|p| item(setup, *p)).collect();
                    // What fails as foretold may leave more behind than what passes.
                    if !setup.plan.shuffled {
                        items.sort_by_cached_key(|item| foretold(item, None));
                    }
                    scenario::run(&stage, &items, &mut |event| {
                        let _ = send.send(Message::Cluster(event));
                    });
                }
            });
        }
    });
}

fn item<'a>(setup: &Setup<'a>, place: usize) -> Option<Item<'a>> {
    let unit = &setup.plan.units[place];
    let case = &setup.cases[unit.case];
    match &case.body {
        Body::Scenario(scenario) => Some(Item {
            place,
            unit,
            case,
            scenario,
        }),
        Body::Codec(_) => None,
    }
}

/// Whether the ledger foretells a finding of a scenario; without one, whether it foretells that any
/// of the scenario's checks fails.
fn foretold(setup: &Setup<'_>, item: &Item<'_>, finding: Option<&Finding>) -> bool {
    let Who::Roles(roles) = &item.unit.who else {
        return false;
    };
    let actor = Actor::Roles(role_names(roles, setup.participants));
    let foretells = |id: &str, failure: Option<&Failure>| {
        let ledger = setup.ledger;
        ledger.foretells(id, &actor, failure, setup.today)
    };
    match finding {
        None => scenario::checks(item.case, item.scenario).any(|(id, _)| foretells(&id, None)),
        Some(finding) => {
            let failure = Failure {
                message: finding.message.clone().unwrap_or_default(),
                ..finding.failure.clone().unwrap_or_default()
            };
            finding.outcome == Outcome::Failed && foretells(&finding.id, Some(&failure))
        }
    }
}

/// Every check of a case as `could-not-run`.
fn could_not_run(case: &Case, reason: &str, named: bool) -> Played {
    let blame = Some(Blame::Environment);
    let mut findings = every(case, Outcome::CouldNotRun, blame, reason);
    findings.iter_mut().for_each(|f| f.missing = named);
    Played {
        findings,
        ..Played::default()
    }
}

/// Every check of a case with one outcome.
fn every(case: &Case, outcome: Outcome, blame: Option<Blame>, reason: &str) -> Vec<Finding> {
    check_requirements(case)
        .iter()
        .map(|(id, covers)| Finding::other(id, covers, outcome, blame, reason))
        .collect()
}

/// Counts and judges; lives in one thread.
struct Tally<'a> {
    setup: &'a Setup<'a>,
    judge: Judge<'a>,
    counters: Counters,
    /// Snapshots that changed or are missing, one line each.
    stale: Vec<String>,
    differences: Differences,
    /// Compiled expectations, by case.
    checkers: HashMap<usize, Checker>,
    versions: BTreeMap<String, String>,
    /// (id, who) to passes and failures, kept only when checks are repeated.
    repeats: HashMap<(String, String), (u64, u64)>,
    repeated: bool,
    produced: HashSet<SnapshotKey>,
    /// Snapshots that `stale` tells of already.
    noted: HashSet<SnapshotKey>,
    /// What each snapshot was last compared with and what came of it, kept only when checks are
    /// repeated.
    compared: HashMap<SnapshotKey, (Value, SnapshotState, Option<String>)>,
    completed: HashSet<(String, Actor)>,
}

impl<'a> Tally<'a> {
    fn new(setup: &'a Setup<'a>) -> Self {
        let judge = Judge {
            requirements: setup.requirements,
            ledger: setup.ledger,
            today: setup.today,
            strict: setup.strict,
            participants: setup.participants,
            rerun: &setup.rerun,
        };
        let versions = setup
            .participants
            .iter()
            .map(|p| (p.name.clone(), p.version.clone()));
        Self {
            setup,
            judge,
            counters: Counters::default(),
            stale: Vec::new(),
            differences: Differences::default(),
            checkers: HashMap::new(),
            versions: versions.collect(),
            repeats: HashMap::new(),
            repeated: setup.plan.units.iter().any(|u| u.attempt > 1),
            produced: HashSet::new(),
            noted: HashSet::new(),
            compared: HashMap::new(),
            completed: HashSet::new(),
        }
    }

    /// Units whose implementation is not at hand or says that it lacks something, and files that are
    /// not what their name says: shown, and counted.
    fn absent(&mut self, sink: &mut dyn Sink) {
        for (id, why) in &self.setup.problems {
            let check = Check {
                id: id.clone(),
                attempt: 1,
                implementation: None,
                roles: None,
                cluster: None,
                lane: Lane::Codec,
                outcome: Outcome::CouldNotRun,
                expected: true,
                warning: false,
                flaky: false,
                simulation: false,
                blame: Some(Blame::Environment),
                requirements: Vec::new(),
                keyword: None,
                duration_us: 0,
                message: Some(why.clone()),
                want: None,
                got: None,
                expectation: None,
                evidence: Vec::new(),
                rerun: None,
                log_tail: None,
                transcripts: Vec::new(),
                failure: None,
                source: None,
            };
            self.counters.check(&check);
            sink.record(&Record::Check(Box::new(check)));
        }
        for unit in &self.setup.plan.units {
            let gone = self
                .people(unit)
                .find_map(|p| Some((p, p.gone(&unit.who)?)));
            if let Some((participant, reason)) = gone {
                let case = &self.setup.cases[unit.case];
                let played = could_not_run(case, reason, participant.named);
                self.findings(unit, played.findings, None, sink);
            } else if let Some((outcome, why)) = lacks_of(self.setup, unit) {
                let case = &self.setup.cases[unit.case];
                self.findings(unit, every(case, outcome, None, &why), None, sink);
            } else if let Some(why) = no_server(self.setup, unit) {
                let case = &self.setup.cases[unit.case];
                let played = could_not_run(case, &why, false);
                self.findings(unit, played.findings, None, sink);
            }
        }
    }

    /// Who a unit runs on.
    fn people(&self, unit: &Unit) -> impl Iterator<Item = &'a Participant> + use<'a> {
        let places: Vec<usize> = match &unit.who {
            Who::Implementation(p) => vec![*p],
            Who::Roles(roles) => roles.values().copied().collect(),
        };
        let participants = self.setup.participants;
        places.into_iter().map(|p| &participants[p])
    }

    fn actor(&self, unit: &Unit) -> Actor {
        match &unit.who {
            Who::Implementation(p) => {
                Actor::Implementation(self.setup.participants[*p].name.clone())
            }
            Who::Roles(roles) => Actor::Roles(role_names(roles, self.setup.participants)),
        }
    }

    fn take(&mut self, message: Message, sink: &mut dyn Sink, stop: &Stop) {
        match message {
            Message::Codec(done) => self.codec(done, sink),
            Message::Cluster(Event::Nodes(nodes)) => {
                for node in nodes {
                    sink.record(&Record::Node(node));
                }
            }
            Message::Cluster(Event::Phases(phases)) => {
                for phase in phases {
                    sink.record(&Record::Phase(phase));
                }
            }
            Message::Cluster(Event::Played(place, played)) => {
                let unit = &self.setup.plan.units[place];
                let case = &self.setup.cases[unit.case];
                let unsteady =
                    self.findings(unit, played.findings, played.cluster.as_deref(), sink);
                let steady = |(id, _): &(String, Value)| !unsteady.contains(id);
                for (id, value) in played.observations.into_iter().filter(steady) {
                    self.observe(case, unit, &id, value, sink);
                }
            }
            Message::Phase(phase) => sink.record(&Record::Phase(phase)),
        }
        if self.setup.fail_fast && self.counters.unexpected > 0 {
            stop.set();
        }
    }

    fn codec(&mut self, done: Done, sink: &mut dyn Sink) {
        let mut unit = self.setup.plan.units[done.unit].clone();
        // An id and an implementation have one result for each attempt.
        unit.attempt = done.again.unwrap_or(unit.attempt);
        let unit = &unit;
        let case = &self.setup.cases[unit.case];
        let Body::Codec(body) = &case.body else {
            return;
        };
        let checker = match self.checkers.entry(unit.case) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match Checker::compile(&body.expect) {
                Ok(checker) => place.insert(checker),
                Err(e) => {
                    // The loader compiles every pattern, so this is a fault of ours.
                    let finding = Finding::other(
                        &case.id,
                        &case.covers,
                        Outcome::Failed,
                        Some(Blame::Harness),
                        e.to_string(),
                    );
                    self.findings(unit, vec![finding], None, sink);
                    return;
                }
            },
        };
        let finding = codec::finding(case, checker, &done.answer, done.duration);
        let unsteady = self.findings(unit, vec![finding], None, sink);
        let Ok(answer) = done.answer else { return };
        if matches!(answer, Answer::Unsupported(_)) || !unsteady.is_empty() {
            return;
        }
        if unit.attempt == 1 && matches!(body.expect, Expect::Observe | Expect::OneOf(_)) {
            let who = unit.who_text(self.setup.participants);
            self.differences
                .note(unit.case, &who, &answer, &body.observe);
        }
        self.observe(
            case,
            unit,
            &case.id,
            codec::observation(body, &answer),
            sink,
        );
    }

    /// Judges and records findings. Answers the checks that failed as the ledger says they do at
    /// times: their snapshot is of the other times, and what they showed now stands in the check.
    fn findings(
        &mut self,
        unit: &Unit,
        findings: Vec<Finding>,
        cluster: Option<&str>,
        sink: &mut dyn Sink,
    ) -> HashSet<String> {
        let mut unsteady = HashSet::new();
        let case = &self.setup.cases[unit.case];
        for finding in findings {
            let mut check = self.judge.check(case, unit, finding);
            check.cluster = cluster.map(str::to_owned);
            self.counters.check(&check);
            if self.repeated {
                let (passed, failed) = self
                    .repeats
                    .entry((check.id.clone(), check.who()))
                    .or_default();
                *passed += u64::from(check.outcome == Outcome::Passed);
                *failed += u64::from(check.outcome == Outcome::Failed);
            }
            let seen = matches!(
                check.outcome,
                Outcome::Passed | Outcome::Failed | Outcome::Unsupported
            );
            if check.outcome == Outcome::Failed && check.expected && check.flaky {
                unsteady.insert(check.id.clone());
            } else if seen && self.keeps(case, unit) {
                self.completed.insert((check.id.clone(), self.actor(unit)));
            }
            sink.record(&Record::Check(Box::new(check)));
        }
        unsteady
    }

    /// Whether the store keeps what a unit shows.
    fn keeps(&self, case: &Case, unit: &Unit) -> bool {
        self.setup.snapshots.is_named()
            || (case.origin == Origin::BuiltIn
                && self
                    .people(unit)
                    // Snapshots are of the usual version; other versions have rows of their own.
                    .all(|p| p.builtin && !p.name.contains('@')))
    }

    fn observe(&mut self, case: &Case, unit: &Unit, id: &str, value: Value, sink: &mut dyn Sink) {
        let who = self.actor(unit);
        let revision = case
            .spec
            .as_deref()
            .and_then(|spec| match spec.split_once('@') {
                Some((_, revision)) => Some(revision.to_owned()),
                // Twelve digits tell two commits apart and keep the names of files readable.
                None => self
                    .setup
                    .specs
                    .get(spec)
                    .map(|r| r.chars().take(12).collect()),
            });
        let (implementation, roles) = match &who {
            Actor::Implementation(name) => (Some(name.clone()), None),
            Actor::Roles(roles) => (None, Some(roles.clone())),
        };
        let mut observation = Observation {
            id: id.to_owned(),
            implementation,
            roles,
            revision,
            value,
            snapshot: SnapshotState::New,
            diff: None,
        };
        if self.keeps(case, unit) {
            let lane = crate::plan::lane(case);
            observation.value = self.setup.redactions.apply(lane, &observation.value);
            if let Some(key) = SnapshotKey::of(&observation) {
                let version = version_of(&who, &self.versions);
                (observation.snapshot, observation.diff) =
                    self.compare(&key, &version, &observation.value, unit);
                self.produced.insert(key);
            }
        }
        sink.record(&Record::Observation(observation));
    }

    fn compare(
        &mut self,
        key: &SnapshotKey,
        version: &str,
        value: &Value,
        unit: &Unit,
    ) -> (SnapshotState, Option<String>) {
        if let Some((seen, state, diff)) = self.compared.get(key)
            && seen == value
        {
            return (*state, diff.clone());
        }
        let path = self.setup.snapshots.path(key);
        let path = path.display();
        let store = self
            .setup
            .snapshots
            .named()
            .map(|dir| format!(" --snapshots {}", shell::word(&dir.to_string_lossy())));
        let bless = format!(
            "lnconform bless '{}'{}",
            key.check,
            store.unwrap_or_default()
        );
        let (state, diff, note) = match self.setup.snapshots.compare(key, version, value) {
            Ok(found) => {
                let note = match found.state {
                    SnapshotState::Same | SnapshotState::Drift => None,
                    SnapshotState::New => Some(format!(
                        "{path}: no snapshot yet; look at it, then `{bless}`"
                    )),
                    SnapshotState::Changed => Some(format!(
                        "{path}: the observation changed; `{bless}` accepts it"
                    )),
                };
                self.propose(key, version, value, found.state, unit);
                (found.state, found.diff, note)
            }
            Err(e) => (SnapshotState::Changed, None, Some(e.to_string())),
        };
        // Once for each snapshot, whichever attempt shows it.
        if let Some(note) = note
            && self.noted.insert(key.clone())
        {
            self.stale.push(note);
        }
        if self.repeated {
            let compared = (value.clone(), state, diff.clone());
            self.compared.insert(key.clone(), compared);
        }
        (state, diff)
    }

    /// Leaves what is new or changed where `cargo insta review` finds it, and takes back what is
    /// settled. Nothing depends on it, so that a store which cannot be written does no harm.
    fn propose(
        &self,
        key: &SnapshotKey,
        version: &str,
        value: &Value,
        state: SnapshotState,
        unit: &Unit,
    ) {
        if !self.setup.propose || unit.attempt > 1 {
            return;
        }
        let store = self.setup.snapshots;
        match state {
            SnapshotState::Same => store.retract(key),
            SnapshotState::New | SnapshotState::Changed | SnapshotState::Drift => {
                let source = self.setup.cases[unit.case].file.to_string_lossy();
                let _ = store.propose(key, version, &source, value);
            }
        }
    }

    fn finish(mut self, sink: &mut dyn Sink, stop: &Stop, took: Duration) -> Summary {
        let interrupted = stop.is_set() && !(self.setup.fail_fast && self.counters.unexpected > 0);
        for (case, groups) in std::mem::take(&mut self.differences).groups() {
            let id = self.setup.cases[case].id.clone();
            sink.record(&Record::Disagreement(Disagreement { id, groups }));
        }
        let mut stale = std::mem::take(&mut self.stale);
        // A run that was cut short has not seen enough to call anything else stale.
        if !stop.is_set() {
            stale.extend(self.unmatched());
        }
        let count = stale.len() as u64;
        let exit_code = if interrupted {
            exit::INTERRUPTED
        } else {
            self.counters.exit_code(count, false, false)
        };
        stale.extend(self.flaky());
        Summary {
            stale: count,
            ..self.counters.summary(stale, exit_code, took)
        }
    }

    /// Ledger entries and snapshots that nothing in this run matches.
    fn unmatched(&self) -> Vec<String> {
        let cases = self.setup.cases;
        let first = self.setup.plan.units.iter().filter(|u| u.attempt == 1);
        let scope = PlanScope {
            planned: first
                .map(|u| (cases[u.case].id.clone(), self.actor(u)))
                .collect(),
            unfiltered: self.setup.unfiltered,
            known: cases.iter().map(|c| c.id.clone()).collect(),
            upstream: self.setup.upstream.clone(),
        };
        let mut notes: Vec<String> = self
            .setup
            .ledger
            .finish(&scope, self.setup.today)
            .iter()
            .map(ToString::to_string)
            .collect();
        match self
            .setup
            .snapshots
            .orphans(&self.produced, &self.completed, &scope)
        {
            Ok(orphans) => notes.extend(orphans.iter().map(ToString::to_string)),
            Err(e) => notes.push(e.to_string()),
        }
        notes
    }

    fn flaky(&self) -> Vec<String> {
        let mut flaky: Vec<String> = self
            .repeats
            .iter()
            .filter(|(_, (passed, failed))| *passed > 0 && *failed > 0)
            .map(|((id, who), (passed, failed))| {
                format!(
                    "flaky: {id} on {who} passed {passed} of {} times",
                    passed + failed
                )
            })
            .collect();
        flaky.sort();
        flaky
    }
}

/// The ids of the checks that a case makes, each with the requirements it covers.
pub fn check_requirements(case: &Case) -> Vec<(String, Vec<String>)> {
    match &case.body {
        Body::Codec(_) => vec![(case.id.clone(), case.covers.clone())],
        Body::Scenario(body) => scenario::checks(case, body)
            .map(|(id, covers)| (id, covers.to_vec()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Failure;
    use lnconform_vectors::case::Codec;
    use serde_json::json;

    struct NoRequirements;

    impl Requirements for NoRequirements {
        fn keyword(&self, _: &str) -> Option<crate::record::Keyword> {
            None
        }
    }

    #[derive(Default)]
    struct States(Vec<SnapshotState>);

    impl Sink for States {
        fn record(&mut self, record: &Record) {
            if let Record::Observation(observation) = record {
                self.0.push(observation.snapshot);
            }
        }
    }

    #[test]
    fn an_observation_that_changes_in_a_later_attempt_is_told_once() {
        on_codec_case("", |tally| {
            let unit = |attempt: u32| tally.setup.plan.units[attempt as usize - 1].clone();
            let case = &tally.setup.cases[0];
            let mut states = States::default();
            for (attempt, n) in (1..=4).zip([1, 2, 2, 1]) {
                tally.observe(case, &unit(attempt), "a/b", json!({"n": n}), &mut states);
            }
            use SnapshotState::{Changed, Same};
            assert_eq!(states.0, [Same, Changed, Changed, Same]);
            assert_eq!(tally.stale.len(), 1, "{:?}", tally.stale);
            assert!(tally.stale[0].contains("the observation changed"));
        });
    }

    #[test]
    fn a_failure_that_is_expected_at_times_has_no_snapshot() {
        let entry = |flaky| {
            format!(
                "- {{check: a/b, implementation: x, signature: {{kind: mismatch}}, flaky: {flaky}, \
                 reason: r, issue: \"none: r\", expires: 2026-12-31}}\n"
            )
        };
        let unsteady = |ledger: &str, outcome| {
            let mut found = None;
            on_codec_case(ledger, |tally| {
                let unit = tally.setup.plan.units[0].clone();
                let failure = Failure {
                    kind: Some("mismatch".into()),
                    ..Failure::default()
                };
                let finding = Finding {
                    failure: Some(failure),
                    ..Finding::other("a/b", &[], outcome, Some(Blame::Implementation), "m")
                };
                let answered = tally.findings(&unit, vec![finding], None, &mut States::default());
                found = Some((answered.contains("a/b"), tally.completed.len()));
            });
            found.unwrap()
        };
        assert_eq!(unsteady(&entry(true), Outcome::Failed), (true, 0));
        assert_eq!(unsteady(&entry(true), Outcome::Passed), (false, 1));
        assert_eq!(unsteady(&entry(false), Outcome::Failed), (false, 1));
        assert_eq!(unsteady("", Outcome::Failed), (false, 1));
    }

    /// Four attempts at one codec case, whose snapshot is `{"n": 1}`, under a ledger.
    fn on_codec_case(ledger: &str, test: impl FnOnce(&mut Tally<'_>)) {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = SnapshotStore::open(&dir.path().join("store"));
        let ledger = if ledger.is_empty() {
            Ledger::default()
        } else {
            Ledger::of_texts(&[("l.yaml".into(), ledger.into())], vec![]).unwrap()
        };
        let redactions = Redactions::default();
        let run_dir = RunDir::create_in(dir.path(), "attempts").unwrap();
        let participants = [Participant {
            name: "x".into(),
            codec: None,
            node: None,
            named: false,
            builtin: true,
            version: "1".into(),
            operations: BTreeSet::new(),
            dialects: BTreeSet::new(),
            unavailable: None,
            no_cluster: None,
            own: None,
        }];
        let cases = [Case {
            id: "a/b".into(),
            file: "a/b.yaml".into(),
            line: 1,
            description: String::new(),
            spec: None,
            covers: vec![],
            tags: vec![],
            needs: vec![],
            provenance: None,
            origin: Origin::BuiltIn,
            body: Body::Codec(Codec {
                operation: "op".into(),
                input: json!({}),
                expect: Expect::Observe,
                implementations: vec![],
                observe: vec![],
            }),
        }];
        let unit = |attempt| Unit {
            case: 0,
            who: Who::Implementation(0),
            attempt,
            seed: 0,
        };
        let plan = Plan {
            units: (1..=4).map(unit).collect(),
            ..Plan::default()
        };
        let specs = BTreeMap::new();
        let setup = Setup {
            oracle: None,
            cases: &cases,
            plan: &plan,
            participants: &participants,
            requirements: &NoRequirements,
            ledger: &ledger,
            snapshots: &snapshots,
            propose: false,
            redactions: &redactions,
            specs: &specs,
            unfiltered: false,
            upstream: BTreeSet::new(),
            today: jiff::civil::date(2026, 1, 1),
            strict: false,
            fail_fast: false,
            jobs: 1,
            electrum: None,
            keep: None,
            fresh_clusters: false,
            limits: Limits::default(),
            run_dir: &run_dir,
            problems: vec![],
            evidence: dir.path().join("evidence"),
            rerun: String::new(),
        };
        let key = SnapshotKey {
            check: "a/b".into(),
            who: Actor::Implementation("x".into()),
            revision: None,
        };
        snapshots.bless(&key, "1", "", &json!({"n": 1})).unwrap();

        test(&mut Tally::new(&setup));
    }
}
