//! The cluster lane: one scenario on one cluster, step by step.

use crate::cluster::{self, Cluster, ClusterError, LiveNode, OPERATION, Recipe};
use crate::codec::{failure, fault_finding, fault_kind};
use crate::judge::{Finding, answer_value};
use crate::kept::Kept;
use crate::lnurl::{self, Lnurl};
use crate::plan::{Participant, Unit, Who};
use crate::record::{Blame, Failure, Node, Outcome, Phase, Transcript};
use crate::transcript;
use crate::turns::{Turn, Turns};
use crate::wait::Stop;
use bitcoin::constants::ChainHash;
use lnconform_adapters::{Fault, Limits, Supervised};
use lnconform_protocol::params::Params;
use lnconform_protocol::{Answer, OpError};
use lnconform_regtest::electrum_server::Servers;
use lnconform_regtest::run::RunDir;
use lnconform_vectors::bindings::{Bindings, RUN_FIELDS};
use lnconform_vectors::case::{Case, Expect, Scenario, Step};
use lnconform_vectors::matchers::{Verdict, check_answer};
use serde_json::{Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What one scenario left: findings, and what was seen.
#[derive(Debug, Default)]
pub struct Played {
    /// One for each step with an expectation.
    pub findings: Vec<Finding>,
    /// (check id, value) of each step that was observed.
    pub observations: Vec<(String, Value)>,
    /// The cluster it ran in, which may have had others before.
    pub cluster: Option<String>,
}

/// One unit of the cluster lane.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// Its place in the plan.
    pub place: usize,
    /// The unit.
    pub unit: &'a Unit,
    /// Its case.
    pub case: &'a Case,
    /// The case's body.
    pub scenario: &'a Scenario,
}

/// What happens while a group runs.
pub enum Event {
    /// A cluster came up: its nodes.
    Nodes(Vec<Node>),
    /// Where time went.
    Phases(Vec<Phase>),
    /// The unit at this place of the plan has ended.
    Played(usize, Box<Played>),
}

/// Whether the ledger foretells a finding of a scenario or, without one, any failure of it.
pub type Foretold<'a> = dyn Fn(&Item<'_>, Option<&Finding>) -> bool + Sync + 'a;

/// What all scenarios of a run share.
pub struct Stage<'a> {
    /// Who may start a cluster.
    pub starting: &'a Turns,
    /// Whose cluster may play scenarios.
    pub working: &'a Turns,
    /// Which failures are known beforehand: those do not spoil a cluster by themselves.
    pub foretold: &'a Foretold<'a>,
    /// Folder of the run.
    pub run: &'a RunDir,
    /// The bitcoind to use.
    pub bitcoind: &'a Path,
    /// The Electrum servers at hand, for nodes that need one.
    pub electrum: Option<&'a Servers>,
    /// Who takes part.
    pub participants: &'a [Participant],
    /// Who answers the steps on `codec`: an adapter that the harness trusts to work out what the
    /// nodes cannot. It takes no part in the verdict beyond its answers.
    pub oracle: Option<&'a Participant>,
    /// Limits for the adapters.
    pub limits: &'a Limits,
    /// Stops the waiting.
    pub stop: &'a Stop,
    /// Where the logs of failures go.
    pub evidence: &'a Path,
    /// Takes clusters in which something failed that the ledger does not foretell.
    pub keep: Option<&'a Kept>,
}

/// From when on it is told that a cluster that was ready had to wait.
const WAITED: Duration = Duration::from_millis(50);

/// Clusters in a row that may fail to start before the rest of a group is given up.
const STARTS: u32 = 2;

/// Runs scenarios that have topology and roles in common, one after another in one cluster.
///
/// A cluster from which a scenario did not end with all checks passed, or that is not as a fresh
/// one would be (see [`Cluster::hand_over`]), is thrown away, and the next scenario gets a fresh
/// one: a failure has no successors, and who is to blame stays clear. The exception is a check that
/// fails as the ledger foretells, is the last step or has steps that tidy up behind the last check,
/// and leaves a cluster that is as a fresh one.
pub fn run(stage: &Stage<'_>, items: &[Item<'_>], report: &mut dyn FnMut(Event)) {
    let mut group = Group {
        stage,
        turn: None,
        alone: items.len() == 1,
        running: None,
        oracle: None,
        codecs: BTreeMap::new(),
        failed: 0,
        rest: None,
    };
    for item in items {
        if stage.stop.is_set() {
            break;
        }
        group.play(item, report);
    }
    if let Some(running) = group.running.take() {
        group.end(running, None, report);
    }
    for codec in group
        .oracle
        .take()
        .into_iter()
        .chain(group.codecs.into_values())
    {
        // Its answers are in; how it goes down is `adapter check`'s business.
        let _ = codec.shutdown();
    }
}

/// Scenarios that may have a cluster in common, while they run.
struct Group<'a> {
    stage: &'a Stage<'a>,
    /// Held while its cluster plays.
    turn: Option<Turn<'a>>,
    /// There is one scenario, to which all of its cluster's time belongs.
    alone: bool,
    running: Option<Running>,
    /// Who answers steps on `codec`; its process starts with the first of them.
    oracle: Option<Supervised>,
    /// Codecs that have a role, by their place among the participants; each starts with its first step.
    codecs: BTreeMap<usize, Supervised>,
    /// Clusters in a row that did not start.
    failed: u32,
    /// What is to be said of each scenario that is left.
    rest: Option<Rest>,
}

/// A cluster at work.
struct Running {
    cluster: Cluster,
    name: String,
    /// The scenario that it was started for.
    first: String,
    /// A scenario has had it already.
    used: bool,
    /// Its last scenario failed, as foretold.
    suspect: bool,
}

/// Why the scenarios that are left are not tried.
enum Rest {
    /// Clusters do not start.
    Broken(Blame, String),
    /// A node lacks what the topology asks of it.
    Unsupported(String),
}

impl Group<'_> {
    fn play(&mut self, item: &Item<'_>, report: &mut dyn FnMut(Event)) {
        let Who::Roles(roles) = &item.unit.who else {
            return;
        };
        if let Some(rest) = &self.rest {
            let findings = rest.findings(item);
            let played = Played {
                findings,
                ..Played::default()
            };
            report(Event::Played(item.place, Box::new(played)));
            return;
        }
        let topology = &item.scenario.topology;
        if let Some(mut running) = self.running.take() {
            // To be quiet is to wait: meanwhile another cluster may play.
            self.turn = None;
            let clock = Instant::now();
            let handed_over = running.cluster.hand_over(topology, running.suspect);
            running.suspect = false;
            let mut settle = Phase::new("settle", clock.elapsed());
            settle.cluster = Some(running.name.clone());
            report(Event::Phases(vec![settle]));
            match handed_over {
                Ok(()) => self.running = Some(running),
                Err(why) => self.end(running, Some(why), report),
            }
        }
        let running = match self.running.take() {
            Some(running) => running,
            None => match self.start(item, roles, report) {
                Some(running) => running,
                None => return,
            },
        };
        if self.turn.is_none() {
            let clock = Instant::now();
            let Some(turn) = self.stage.working.take(self.stage.stop) else {
                return self.end(running, None, report);
            };
            self.turn = Some(turn);
            if clock.elapsed() > WAITED {
                let mut waited = Phase::new("turn", clock.elapsed());
                waited.cluster = Some(running.name.clone());
                report(Event::Phases(vec![waited]));
            }
        }
        self.steps(item, running, report);
    }

    /// Starts a cluster for a scenario; one that does not start is the scenario's result.
    fn start(
        &mut self,
        item: &Item<'_>,
        roles: &BTreeMap<String, usize>,
        report: &mut dyn FnMut(Event),
    ) -> Option<Running> {
        let stage = self.stage;
        let name = format!("c{}", item.place);
        let recipe = Recipe {
            run: stage.run,
            name: &name,
            bitcoind: stage.bitcoind,
            electrum: stage.electrum,
            topology: &item.scenario.topology,
            roles,
            participants: stage.participants,
            limits: stage.limits,
            seed: item.unit.seed,
            stop: stage.stop,
        };
        let turn = stage.starting.take(stage.stop)?;
        let started = Cluster::start(&recipe);
        drop(turn);
        let error = match started {
            Ok(cluster) => {
                self.failed = 0;
                let mut nodes: Vec<Node> =
                    cluster.nodes.values().map(|n| n.record.clone()).collect();
                nodes
                    .iter_mut()
                    .for_each(|n| n.cluster = Some(name.clone()));
                report(Event::Nodes(nodes));
                let mut running = Running {
                    first: item.case.id.clone(),
                    used: false,
                    suspect: false,
                    name,
                    cluster,
                };
                let phases = std::mem::take(&mut running.cluster.phases);
                report(Event::Phases(self.label(
                    &running.name,
                    &running.first,
                    phases,
                )));
                return Some(running);
            }
            Err(error) => error,
        };
        let mut played = Played {
            findings: not_started(item.case, item.scenario, &error),
            cluster: Some(name.clone()),
            ..Played::default()
        };
        self.failed += 1;
        match &error {
            ClusterError::Unsupported { .. } => {
                self.rest = Some(Rest::Unsupported(error.to_string()));
            }
            ClusterError::Stopped => {}
            _ if self.failed >= STARTS => {
                self.rest = Some(Rest::Broken(error.blame(), error.to_string()));
            }
            _ => {}
        }
        let said = Said::of(&stage.run.path().join(&name), &LogSizes::new());
        self.close(item, &name, &mut played, &said);
        report(Event::Played(item.place, Box::new(played)));
        match stage.keep {
            Some(kept) => kept.leave_folder(),
            None => self.remove(&name),
        }
        None
    }

    /// Plays a scenario on a cluster.
    fn steps(&mut self, item: &Item<'_>, mut running: Running, report: &mut dyn FnMut(Event)) {
        let stage = self.stage;
        let clock = Instant::now();
        // Of the first scenario the start of its nodes is a part.
        let before = if running.used {
            log_sizes(&running.cluster.dir)
        } else {
            LogSizes::new()
        };
        running.used = true;
        if self.oracle.is_none() {
            let launch = stage.oracle.and_then(|oracle| oracle.codec.clone());
            self.oracle = launch.map(|launch| Supervised::new(launch, stage.limits.clone()));
        }
        let places = codec_places(item);
        for place in places.values() {
            let launch = stage.participants.get(*place).and_then(|p| p.codec.clone());
            if let (Some(launch), Entry::Vacant(free)) = (launch, self.codecs.entry(*place)) {
                free.insert(Supervised::new(launch, stage.limits.clone()));
            }
        }
        let codecs = Codecs {
            oracle: self.oracle.as_mut(),
            of: &mut self.codecs,
            places,
            patience: stage.limits.codec,
        };
        let mut play = Play::new(&running.cluster, item, codecs);
        play.run(&mut running.cluster, self.turn.as_ref(), stage.stop);
        let mut played = Played {
            findings: play.findings,
            observations: play.observations,
            cluster: Some(running.name.clone()),
        };
        running.cluster.earlier.extend(play.hashes);
        let whole = play.whole;
        let mut steps = Phase::new("steps", clock.elapsed());
        steps.id = Some(item.case.id.clone());
        steps.cluster = Some(running.name.clone());
        report(Event::Phases(vec![steps]));
        let passed = |f: &Finding| f.outcome == Outcome::Passed;
        if played.findings.iter().all(passed) && !stage.stop.is_set() {
            report(Event::Played(item.place, Box::new(played)));
            self.running = Some(running);
            return;
        }
        // Before the nodes are stopped, or there would be nothing but how they end.
        let said = Said::of(&running.cluster.dir, &before);
        let name = running.name.clone();
        // What comes behind the first that did not pass was not reached.
        let first = played.findings.iter().find(|f| !passed(f));
        let harmless = first.is_some_and(|f| (stage.foretold)(item, Some(f)) && !broke(f));
        if whole && harmless && !stage.stop.is_set() {
            self.close(item, &name, &mut played, &said);
            report(Event::Played(item.place, Box::new(played)));
            running.suspect = true;
            self.running = Some(running);
            return;
        }
        let why = format!("{} did not pass", item.case.id);
        let failed = |f: &Finding| f.outcome == Outcome::Failed && !(stage.foretold)(item, Some(f));
        let failed = played.findings.iter().find(|f| failed(f));
        if let (Some(kept), Some(failed), false) = (stage.keep, failed, stage.stop.is_set())
            && kept.has_room()
        {
            let check = failed.id.clone();
            self.turn = None;
            self.close(item, &name, &mut played, &said);
            let who = item.unit.who_text(stage.participants);
            kept.take(&check, &who, running.cluster);
            report(Event::Played(item.place, Box::new(played)));
            return;
        }
        self.halt(running, Some(why), report);
        self.close(item, &name, &mut played, &said);
        report(Event::Played(item.place, Box::new(played)));
        self.remove(&name);
    }

    /// Stops a cluster and removes what it leaves.
    fn end(&mut self, running: Running, why: Option<String>, report: &mut dyn FnMut(Event)) {
        let name = running.name.clone();
        self.halt(running, why, report);
        self.remove(&name);
    }

    /// Stops a cluster; while it stops, another may play.
    fn halt(&mut self, running: Running, why: Option<String>, report: &mut dyn FnMut(Event)) {
        self.turn = None;
        let mut phases = running.cluster.stop();
        if let Some(stop) = phases.last_mut() {
            stop.note = why;
        }
        report(Event::Phases(self.label(
            &running.name,
            &running.first,
            phases,
        )));
    }

    /// Phases with the cluster that they belong to, and the scenario where there is only one.
    fn label(&self, cluster: &str, first: &str, mut phases: Vec<Phase>) -> Vec<Phase> {
        for phase in &mut phases {
            phase.cluster = Some(cluster.to_owned());
            if self.alone {
                phase.id = Some(first.to_owned());
            }
        }
        phases
    }

    /// Puts to the findings of a scenario what there is to see.
    fn close(&self, item: &Item<'_>, name: &str, played: &mut Played, said: &Said) {
        let stage = self.stage;
        let findings = &mut played.findings;
        if stage.stop.is_set() {
            // A stop takes the nodes away from under the steps: what it cut off is no result.
            findings.retain(|f| f.outcome == Outcome::Passed);
            return;
        }
        if findings.iter().all(|f| f.outcome != Outcome::Failed) {
            return;
        }
        let who = item.unit.who_text(stage.participants);
        let place = stage
            .evidence
            .join(file_name(&item.case.id, item.unit.attempt))
            .join(file_name(&who, 1));
        let mut saved = save_logs(&stage.run.path().join(name), &place);
        for folder in chain_folders(stage.run.path(), name) {
            saved.extend(save_logs(&folder, &place.join("bitcoind")));
        }
        for finding in findings.iter_mut().filter(|f| f.outcome == Outcome::Failed) {
            finding
                .evidence
                .extend(saved.iter().map(|p| p.to_string_lossy().into_owned()));
            if finding.log_tail.is_none() && !said.tail.is_empty() {
                finding.log_tail = Some(said.tail.clone());
            }
            finding.transcripts.clone_from(&said.transcripts);
        }
    }

    /// Removes the folders of a cluster that has stopped.
    fn remove(&self, name: &str) {
        let run = self.stage.run.path();
        for folder in std::iter::once(run.join(name)).chain(chain_folders(run, name)) {
            // What cannot be removed now goes with the folder of the run.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Rest {
    fn findings(&self, item: &Item<'_>) -> Vec<Finding> {
        let (outcome, blame, message) = match self {
            Rest::Broken(blame, why) => (
                Outcome::CouldNotRun,
                Some(*blame),
                format!(
                    "not tried: {STARTS} clusters in a row with this topology and these \
                     implementations did not start; the last: {why}"
                ),
            ),
            Rest::Unsupported(why) => (Outcome::Unsupported, None, why.clone()),
        };
        let of_check = |(id, covers)| Finding::other(id, covers, outcome, blame, message.as_str());
        checks(item.case, item.scenario).map(of_check).collect()
    }
}

/// The folders of a cluster's bitcoind, one for each try to start it.
fn chain_folders(run: &Path, cluster: &str) -> Vec<PathBuf> {
    let first = format!("chain-{cluster}");
    let of_cluster = |name: &str| {
        name.strip_prefix(&first)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let entries = std::fs::read_dir(run).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .filter(|e| e.file_name().to_str().is_some_and(of_cluster))
        .map(|e| e.path())
        .collect();
    folders.sort();
    folders
}

/// Whether the process behind a step may be gone.
fn broke(finding: &Finding) -> bool {
    let kind = finding.failure.as_ref().and_then(|f| f.kind.as_deref());
    matches!(kind, Some("crash" | "hang" | "protocol"))
}

/// Ids and requirements of the checks that a scenario makes.
pub fn checks<'a>(
    case: &'a Case,
    scenario: &'a Scenario,
) -> impl Iterator<Item = (String, &'a [String])> {
    scenario
        .steps
        .iter()
        .filter(|s| s.expect.is_some())
        .map(|s| {
            let covers = if s.covers.is_empty() {
                &case.covers
            } else {
                &s.covers
            };
            (format!("{}#{}", case.id, s.name), covers.as_slice())
        })
}

/// The checks of a scenario whose cluster did not come up. Where an implementation is to blame
/// that is one failure, the first check's, and the others were not reached.
fn not_started(case: &Case, scenario: &Scenario, error: &ClusterError) -> Vec<Finding> {
    if let ClusterError::Unsupported { .. } = error {
        let why = error.to_string();
        let lacks =
            |(id, covers)| Finding::other(id, covers, Outcome::Unsupported, None, why.as_str());
        return checks(case, scenario).map(lacks).collect();
    }
    let blame = error.blame();
    let message = format!("the cluster did not start: {error}");
    let finding =
        |id, covers, outcome| Finding::other(id, covers, outcome, Some(blame), message.as_str());
    let mut checks = checks(case, scenario);
    if blame != Blame::Implementation {
        return checks
            .map(|(id, covers)| Finding {
                missing: true,
                ..finding(id, covers, Outcome::CouldNotRun)
            })
            .collect();
    }
    let kind = match error {
        ClusterError::Wait(_) => Some("deadline".into()),
        ClusterError::Adapter { fault, .. } => Some(fault_kind(fault).to_owned()),
        ClusterError::Node { kind, .. } => kind.clone(),
        _ => None,
    };
    let first = checks.next().map(|(id, covers)| Finding {
        failure: Some(Failure {
            kind,
            ..Failure::default()
        }),
        ..finding(id, covers, Outcome::Failed)
    });
    let others = checks.map(|(id, covers)| Finding {
        message: Some(format!("not reached: {message}")),
        ..finding(id, covers, Outcome::CouldNotRun)
    });
    first.into_iter().chain(others).collect()
}

/// From which step on a scenario tidies up: what stands behind its last check is done after a check
/// that failed as well, so that others can have the cluster. As many as there are steps: it does not.
fn tidies_from(steps: &[Step]) -> usize {
    let last = steps.iter().rposition(|step| step.expect.is_some());
    last.map_or(steps.len(), |last| last + 1)
}

struct Play<'a> {
    /// No step was left out, or what tidies up was done.
    whole: bool,
    case: &'a Case,
    scenario: &'a Scenario,
    bindings: Bindings,
    findings: Vec<Finding>,
    observations: Vec<(String, Value)>,
    /// The last event that each role has shown, so that `event.next` goes on from there.
    seen: BTreeMap<String, Value>,
    /// The payment hashes that nodes have told of.
    hashes: HashSet<String>,
    /// Who answers steps that need no node.
    codecs: Codecs<'a>,
    /// Where `file.write` writes to.
    files: PathBuf,
    /// Services that it has started; they end with it.
    lnurl: Lnurl,
    /// `$run.nonce` and `$run.nonce-2`.
    nonces: [String; 2],
}

/// Adapters without a node that answer steps.
struct Codecs<'a> {
    /// Who answers steps on `codec`.
    oracle: Option<&'a mut Supervised>,
    /// The codecs of the group that are running, by their place among the participants.
    of: &'a mut BTreeMap<usize, Supervised>,
    /// Which of them has which role.
    places: BTreeMap<String, usize>,
    /// How long each may take for an answer.
    patience: Duration,
}

/// Which participant's codec has which role.
fn codec_places(item: &Item<'_>) -> BTreeMap<String, usize> {
    let Who::Roles(roles) = &item.unit.who else {
        return BTreeMap::new();
    };
    let codecs = item.scenario.codec_roles();
    codecs
        .filter_map(|role| Some((role.clone(), *roles.get(role)?)))
        .collect()
}

/// What a step came to.
enum Came {
    Answer(Answer),
    Fault(Fault),
    /// A reference that could not be resolved, or a fault of the chain.
    Broken(Blame, String),
}

impl<'a> Play<'a> {
    fn new(cluster: &Cluster, item: &Item<'a>, codecs: Codecs<'a>) -> Self {
        let mut bindings = Bindings::default();
        for (role, node) in &cluster.nodes {
            bindings.bind(role, node.started.clone());
        }
        Self {
            whole: true,
            case: item.case,
            scenario: item.scenario,
            bindings,
            findings: Vec::new(),
            observations: Vec::new(),
            seen: cluster.told.clone(),
            hashes: HashSet::new(),
            codecs,
            files: cluster.dir.join("files").join(item.place.to_string()),
            lnurl: Lnurl::default(),
            nonces: ["nonce", "nonce-2"].map(|name| cluster::seed(item.unit.seed, name)),
        }
    }

    fn run(&mut self, cluster: &mut Cluster, turn: Option<&Turn<'_>>, stop: &Stop) {
        let mut broken: Option<(Outcome, String, Option<Blame>)> = None;
        let scenario = self.scenario;
        let tidies_from = tidies_from(&scenario.steps);
        for (at, step) in scenario.steps.iter().enumerate() {
            let id = format!("{}#{}", self.case.id, step.name);
            let covers = if step.covers.is_empty() {
                &self.case.covers
            } else {
                &step.covers
            };
            if let Some((outcome, why, blame)) = &broken {
                if at >= tidies_from {
                    if stop.is_set() {
                        self.whole = false;
                        return;
                    }
                    let finding = self.step(cluster, step, &id, covers, stop);
                    self.whole &= finding.outcome == Outcome::Passed;
                    continue;
                }
                // What is left out is made up for where the scenario tidies up.
                self.whole &= tidies_from < scenario.steps.len();
                if step.expect.is_some() {
                    self.findings.push(Finding::other(
                        id,
                        covers,
                        *outcome,
                        *blame,
                        format!("not reached: {why}"),
                    ));
                }
                continue;
            }
            if stop.is_set() {
                self.whole = false;
                return;
            }
            let only_waits = step.until || waits(&step.operation);
            let rest = turn.filter(|_| only_waits).map(|turn| turn.rest(stop));
            let finding = self.step(cluster, step, &id, covers, stop);
            drop(rest);
            if finding.outcome != Outcome::Passed {
                let step = format!("step {} ({} on {})", step.name, step.operation, step.on);
                broken = Some(match finding.outcome {
                    // What an implementation lacks is no failure, and so is what hangs on it.
                    lacking @ (Outcome::Unsupported | Outcome::NotApplicable) => {
                        let why = finding.message.as_deref().unwrap_or_default();
                        (
                            lacking,
                            format!("{step} is {}: {why}", lacking.as_str()),
                            None,
                        )
                    }
                    Outcome::Failed => {
                        let blame = finding.blame.or(Some(Blame::Implementation));
                        (Outcome::CouldNotRun, format!("{step} failed"), blame)
                    }
                    _ => {
                        let why = format!("{step} did not run");
                        (Outcome::CouldNotRun, why, finding.blame)
                    }
                });
            }
            // A step that asserts nothing is a check only when it goes wrong.
            if step.expect.is_some() || finding.outcome != Outcome::Passed {
                self.findings.push(finding);
            }
        }
    }

    fn step(
        &mut self,
        cluster: &mut Cluster,
        step: &Step,
        id: &str,
        covers: &[String],
        stop: &Stop,
    ) -> Finding {
        let clock = Instant::now();
        let deadline = step.deadline.unwrap_or(OPERATION);
        let mut pause = Duration::from_millis(2);
        loop {
            // Read before the look, so that there is one at the deadline itself.
            let left = deadline.saturating_sub(clock.elapsed());
            // A condition is waited for by asking again and again; the deadline is its own, and
            // that of a single answer stays what it is.
            let patience = if step.until && !waits(&step.operation) {
                OPERATION
            } else {
                left
            };
            let came = self.act(cluster, step, patience);
            let (finding, answer) = self.judge(step, came, id, covers, clock.elapsed());
            let again = step.until
                && answer.is_some()
                && finding.outcome == Outcome::Failed
                && !left.is_zero()
                && !stop.is_set();
            if again {
                // Between two looks at the condition that the step names.
                std::thread::sleep(pause.min(deadline.saturating_sub(clock.elapsed())));
                pause = (pause * 3 / 2).min(Duration::from_millis(100));
                continue;
            }
            if let Some(answer) = answer {
                self.keep(step, id, &answer);
            }
            return finding;
        }
    }

    fn act(&mut self, cluster: &mut Cluster, step: &Step, deadline: Duration) -> Came {
        self.bindings.bind(
            "run",
            run_values(jiff::Timestamp::now().as_second(), &self.nonces),
        );
        let mut params = match self.bindings.resolve(&step.with) {
            Ok(params) => params,
            Err(why) => return Came::Broken(Blame::Harness, why),
        };
        match step.on.as_str() {
            "chain" => return act_on_chain(cluster, step, &params),
            "codec" => return self.act_on_codec(step, &params),
            "harness" if step.operation == "process.kill" => {
                return self.kill_process(cluster, &params);
            }
            "harness" if lnurl::OPERATIONS.contains(&step.operation.as_str()) => {
                let done = self.lnurl.call(&step.operation, &params, deadline);
                return Came::Answer(done.map_or_else(Answer::Error, Answer::Result));
            }
            "harness" => return act_on_harness(step, &params, &self.files),
            role => {
                if let Some(place) = self.codecs.places.get(role).copied() {
                    return self.act_on_codec_of(place, step, &params);
                }
            }
        }
        let node = match cluster.node(&step.on) {
            Ok(node) => node,
            Err(e) => return Came::Broken(Blame::Harness, e.to_string()),
        };
        if step.operation == "node.start" {
            params = with_params(&node.start, params);
        }
        // Operations that wait learn how long; the harness itself waits a little longer, so
        // that the adapter can say what it saw.
        let waits = waits(&step.operation);
        if waits && let Some(map) = params.as_object_mut() {
            let ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
            map.entry("deadline_ms").or_insert(json!(ms));
            if step.operation == "event.next"
                && let Some(seq) = self.seen.get(&step.on)
            {
                map.entry("after").or_insert(seq.clone());
            }
        }
        let patience = if waits {
            deadline + Duration::from_secs(5)
        } else {
            deadline
        };
        if step.operation == "event.next" {
            return next_event(node, &mut params, deadline, &cluster.earlier);
        }
        let answer = match node.adapter.call(&step.operation, &params, patience) {
            Ok(answer) => answer,
            Err(fault) => return Came::Fault(fault),
        };
        if let (Answer::Result(value), Some(node)) = (&answer, cluster.nodes.get_mut(&step.on)) {
            match step.operation.as_str() {
                "node.start" => {
                    node.running = true;
                    node.attach = value["attach"].clone();
                }
                "node.stop" => node.running = false,
                _ => {}
            }
        }
        Came::Answer(answer)
    }

    /// `process.kill` {`role`}: ends the process of a role's adapter, and the node in it, with SIGKILL.
    fn kill_process(&mut self, cluster: &mut Cluster, params: &Value) -> Came {
        let role = match Params::new(params).str("role") {
            Ok(role) => role,
            Err(e) => return Came::Broken(Blame::Harness, e.message),
        };
        if let Err(e) = cluster.kill(role) {
            return Came::Broken(e.blame(), e.to_string());
        }
        // The next process counts its events from 1.
        self.seen.remove(role);
        Came::Answer(Answer::Result(json!({})))
    }

    fn act_on_codec(&mut self, step: &Step, params: &Value) -> Came {
        let Some(oracle) = &mut self.codecs.oracle else {
            return Came::Broken(
                Blame::Harness,
                "this run has no adapter for the steps on `codec`".into(),
            );
        };
        match oracle.call(&step.operation, params, self.codecs.patience) {
            Ok(answer) => Came::Answer(answer),
            // The oracle stands on the harness's side: what breaks there is nobody else's fault.
            Err(fault) => Came::Broken(Blame::Harness, fault.message),
        }
    }

    /// A step on a role that is a codec's: unlike the oracle, it is tried like a node.
    fn act_on_codec_of(&mut self, place: usize, step: &Step, params: &Value) -> Came {
        let Some(codec) = self.codecs.of.get_mut(&place) else {
            let why = format!("the role {} has been given to nobody with a codec", step.on);
            return Came::Broken(Blame::Harness, why);
        };
        match codec.call(&step.operation, params, self.codecs.patience) {
            Ok(answer) => Came::Answer(answer),
            Err(fault) => Came::Fault(fault),
        }
    }

    fn judge(
        &self,
        step: &Step,
        came: Came,
        id: &str,
        covers: &[String],
        took: Duration,
    ) -> (Finding, Option<Answer>) {
        let base = Finding::passed(id, covers, took);
        let answer = match came {
            Came::Answer(answer) => answer,
            Came::Fault(fault) => return (fault_finding(id, covers, &fault, took), None),
            Came::Broken(blame, why) => {
                let finding = Finding {
                    duration: took,
                    ..Finding::other(id, covers, Outcome::Failed, Some(blame), why)
                };
                return (finding, None);
            }
        };
        let any = Expect::Result(json!({}));
        let expect = step.expect.as_ref().unwrap_or(&any);
        let finding = match check_answer(expect, &answer, &self.bindings) {
            Verdict::Pass => base,
            Verdict::Unsupported(reason) => Finding {
                outcome: Outcome::Unsupported,
                message: Some(reason),
                ..base
            },
            Verdict::Mismatch { want, got, message } => Finding {
                failure: Some(failure(&answer, &want)),
                outcome: Outcome::Failed,
                blame: Some(Blame::Implementation),
                message: Some(format!("{} on {}: {message}", step.operation, step.on)),
                want: Some(want),
                got: Some(got),
                ..base
            },
        };
        (finding, Some(answer))
    }

    fn keep(&mut self, step: &Step, id: &str, answer: &Answer) {
        if let Answer::Result(value) = answer {
            if !NO_ROLES.contains(&step.on.as_str()) {
                cluster::payment_hashes(value, &mut self.hashes);
            }
            if step.operation == "event.next" {
                self.seen.insert(step.on.clone(), value["seq"].clone());
            }
            if let Some(name) = &step.bind {
                self.bindings.bind(name, value.clone());
            }
        }
        if step.expect.is_some() || !step.observe.is_empty() {
            self.observations
                .push((id.to_owned(), observed(step, answer)));
        }
    }
}

/// Where steps are done that are no node's.
const NO_ROLES: [&str; 3] = ["chain", "codec", "harness"];

/// Asks for the next event, passing over those of payments that an earlier scenario of the cluster
/// made.
fn next_event(
    node: &LiveNode,
    params: &mut Value,
    deadline: Duration,
    earlier: &HashSet<String>,
) -> Came {
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let patience = left + Duration::from_secs(5);
        let event = match node.adapter.call("event.next", &*params, patience) {
            Ok(Answer::Result(event)) => event,
            Ok(answer) => return Came::Answer(answer),
            Err(fault) => return Came::Fault(fault),
        };
        let old = |hash: &Value| hash.as_str().is_some_and(|h| earlier.contains(h));
        if !event.get("payment_hash").is_some_and(old) || params.get("after") == event.get("seq") {
            return Came::Answer(Answer::Result(event));
        }
        params["after"] = event["seq"].clone();
        let left = end.saturating_duration_since(Instant::now());
        params["deadline_ms"] = json!(u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1));
    }
}

/// What a node was started with at first, and over it what a step names: without the first, a step
/// would have to know folders and ports.
fn with_params(first: &Value, named: Value) -> Value {
    match (first, named) {
        (Value::Object(first), Value::Object(named)) => {
            let mut all = first.clone();
            all.extend(named);
            Value::Object(all)
        }
        (_, named) => named,
    }
}

/// Whether an operation waits for something inside the adapter.
fn waits(operation: &str) -> bool {
    matches!(operation, "event.next" | "payment.wait" | "htlc.next")
}

/// What of a step's answer is observed. On live nodes much is left to chance (fees, times), so
/// that of a result only what the vector names is: the paths of `observe`, else the fields that
/// are expected.
fn observed(step: &Step, answer: &Answer) -> Value {
    let value = answer_value(answer);
    match (answer, &step.expect) {
        (Answer::Result(_), _) if !step.observe.is_empty() => {
            crate::snapshot::pick(&value, &step.observe)
        }
        (Answer::Result(_), Some(Expect::Result(Value::Object(map)))) => {
            // A matcher for the whole answer, such as `$contains`, names no field.
            let fields = map.keys().filter(|key| !key.starts_with('$'));
            match fields.cloned().collect::<Vec<_>>().as_slice() {
                [] => json!({}),
                named => crate::snapshot::pick(&value, named),
            }
        }
        (Answer::Result(_), _) => json!({}),
        // The oracle's own words tell of times and keys, and say nothing about a node.
        (Answer::Error(error), _) if step.on == "codec" => {
            json!({"error": {"kind": error.kind, "rule": error.rule}})
        }
        _ => value,
    }
}

/// What `$run` stands for in a step that begins at `now`, in seconds.
fn run_values(now: i64, nonces: &[String; 2]) -> Value {
    const HOUR: i64 = 3600;
    let time = |offset: i64| json!(now.saturating_add(offset).max(0).to_string());
    let values = RUN_FIELDS.map(|field| {
        let value = match field {
            "now" => time(0),
            "past" => time(-8 * 24 * HOUR),
            "future" => time(3 * HOUR),
            "chain_hash" => json!(hex::encode(ChainHash::REGTEST.to_bytes())),
            "nonce" => json!(nonces[0]),
            "nonce-2" => json!(nonces[1]),
            _ => Value::Null,
        };
        (field.to_owned(), value)
    });
    Value::Object(values.into_iter().collect())
}

fn act_on_chain(cluster: &mut Cluster, step: &Step, params: &Value) -> Came {
    match step.operation.as_str() {
        "chain.mine" => {
            let mut left = params["blocks"].as_u64().unwrap_or(1);
            // What a node does at a height it does only if it is not already far beyond it.
            let at_a_time = params["at_a_time"].as_u64().unwrap_or(left).max(1);
            loop {
                let blocks = left.min(at_a_time);
                left -= blocks;
                match cluster.mine(blocks) {
                    Ok(_) if left > 0 => {}
                    Ok(height) => return Came::Answer(Answer::Result(json!({"height": height}))),
                    Err(e) => return Came::Broken(e.blame(), e.to_string()),
                }
            }
        }
        other => Came::Broken(
            Blame::Harness,
            format!("the chain has no operation {other}; it has chain.mine"),
        ),
    }
}

/// What the harness itself does: it carries files from one role to another (a way to hand
/// something over that is no node's), and keeps values for later steps.
fn act_on_harness(step: &Step, params: &Value, folder: &Path) -> Came {
    let done = match step.operation.as_str() {
        "values.keep" => Ok(params.clone()),
        "file.write" => write_file(folder, params),
        "file.read" => read_file(folder, params),
        "bytes.xor" => xor(params),
        other => {
            return Came::Broken(
                Blame::Harness,
                format!("the harness has no operation {other}"),
            );
        }
    };
    match done {
        Ok(result) => Came::Answer(Answer::Result(result)),
        Err(error) => Came::Answer(Answer::Error(error)),
    }
}

/// `of` [hex, all of one length] -> `bytes`: their exclusive or, such as the share that completes
/// the root of an AMP payment.
fn xor(params: &Value) -> Result<Value, OpError> {
    let of = params["of"].as_array().map_or(&[][..], Vec::as_slice);
    let mut sum: Option<Vec<u8>> = None;
    for value in of {
        let bytes = value.as_str().and_then(|text| hex::decode(text).ok());
        let bytes =
            bytes.ok_or_else(|| OpError::invalid("param of holds something else than hex"))?;
        match &mut sum {
            None => sum = Some(bytes),
            Some(sum) if sum.len() == bytes.len() => {
                sum.iter_mut().zip(bytes).for_each(|(a, b)| *a ^= b);
            }
            Some(_) => return Err(OpError::invalid("param of holds bytes of several lengths")),
        }
    }
    let sum = sum.ok_or_else(|| OpError::invalid("param of is a list of hex strings"))?;
    Ok(json!({"bytes": hex::encode(sum)}))
}

fn write_file(folder: &Path, params: &Value) -> Result<Value, OpError> {
    let path = file_path(folder, params)?;
    let bytes = Params::new(params).hex("bytes")?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, &bytes))
        .map_err(|e| OpError::internal(format!("{}: {e}", path.display())))?;
    Ok(json!({"length": bytes.len()}))
}

fn read_file(folder: &Path, params: &Value) -> Result<Value, OpError> {
    let path = file_path(folder, params)?;
    match std::fs::read(&path) {
        Ok(bytes) => Ok(json!({"bytes": hex::encode(bytes)})),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(OpError::rejected(format!(
            "no step has written a file `{}`",
            params["name"].as_str().unwrap_or_default()
        ))),
        Err(e) => Err(OpError::internal(format!("{}: {e}", path.display()))),
    }
}

/// A file of the scenario; a name cannot lead out of its folder.
fn file_path(folder: &Path, params: &Value) -> Result<PathBuf, OpError> {
    let name = Params::new(params).str("name")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(OpError::invalid(format!(
            "param name is `{name}`; use letters, digits, `-`, `_` and `.`, and no `.` in front"
        )));
    }
    Ok(folder.join(name))
}

/// A check id as one file name.
fn file_name(id: &str, attempt: u32) -> String {
    let safe: String = id
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if attempt == 1 {
        safe
    } else {
        format!("{safe}-{attempt}")
    }
}

/// The log files below a cluster's folder.
fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(t) if t.is_dir() => folders.push(path),
                Ok(t) if t.is_file() && is_log(&path) => {
                    found.push(path);
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Whether a file is text for people: LevelDB calls its binary journals `000003.log`.
fn is_log(path: &Path) -> bool {
    let digits = |stem: &std::ffi::OsStr| stem.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let log = path.extension().is_some_and(|e| e == "log");
    let said = path
        .file_name()
        .is_some_and(|name| name == transcript::FILE);
    said || log && !path.file_stem().is_some_and(digits)
}

/// What a cluster's nodes had to say during a scenario.
struct Said {
    /// The last lines of their logs.
    tail: String,
    /// Of those that keep one.
    transcripts: Vec<Transcript>,
}

impl Said {
    /// What stands below a cluster's folder beyond the sizes given.
    fn of(dir: &Path, before: &LogSizes) -> Self {
        Self {
            tail: log_tails(dir, before),
            transcripts: transcripts(dir, before),
        }
    }
}

/// The transcripts below a cluster's folder, as far as they are new, by the folder of their node.
fn transcripts(dir: &Path, before: &LogSizes) -> Vec<Transcript> {
    let of_file = |path: PathBuf| {
        let role = path.strip_prefix(dir).ok()?.iter().next()?;
        let from = before.get(&path).copied().unwrap_or(0);
        transcript::read(&path, &role.to_string_lossy(), from)
    };
    let kept = |path: &PathBuf| path.file_name().is_some_and(|n| n == transcript::FILE);
    logs(dir)
        .into_iter()
        .filter(kept)
        .filter_map(of_file)
        .collect()
}

/// Most of a log that is kept as evidence, in bytes from its end.
const KEPT: u64 = 1 << 20;

/// Copies the logs of a cluster to where they outlive it.
fn save_logs(dir: &Path, to: &Path) -> Vec<PathBuf> {
    let mut saved = Vec::new();
    for log in logs(dir) {
        let Ok(inside) = log.strip_prefix(dir) else {
            continue;
        };
        let target = to.join(inside);
        let copied = target
            .parent()
            .map(std::fs::create_dir_all)
            .transpose()
            .and_then(|_| {
                let text = tail(&log, KEPT)?;
                std::fs::write(&target, text)
            });
        // Evidence that cannot be kept (a full disk) must not cost the verdict.
        if copied.is_ok() {
            saved.push(target);
        }
    }
    saved
}

fn tail(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How long each log was, bytes.
type LogSizes = BTreeMap<PathBuf, u64>;

fn log_sizes(dir: &Path) -> LogSizes {
    let size = |log: PathBuf| {
        let length = std::fs::metadata(&log).ok()?.len();
        Some((log, length))
    };
    logs(dir).into_iter().filter_map(size).collect()
}

/// The last lines that each node's log has beyond the sizes given, few enough to fit on a screen
/// together. Of a node that has written nothing since, what it wrote last, marked as that.
fn log_tails(dir: &Path, before: &LogSizes) -> String {
    const LINES: usize = 10;
    let text_of = |log: &PathBuf, old: u64| {
        let length = std::fs::metadata(log).map_or(0, |m| m.len());
        let new = length.saturating_sub(old);
        let bytes = tail(log, new.min(4096)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let mut nodes: BTreeMap<PathBuf, (String, String)> = BTreeMap::new();
    for new in [true, false] {
        for log in logs(dir) {
            let name = log.strip_prefix(dir).unwrap_or(&log).to_owned();
            let Some(node) = name.iter().next().map(PathBuf::from) else {
                continue;
            };
            // What the adapter says comes first in the order of names, and tells the most in a
            // line.
            if nodes.contains_key(&node) {
                continue;
            }
            let old = before.get(&log).copied().filter(|_| new).unwrap_or(0);
            if let Some(text) = text_of(&log, old) {
                let since = if new { "" } else { ", before this scenario" };
                nodes.insert(node, (format!("{}{since}", name.display()), text));
            }
        }
    }
    let each = (LINES / nodes.len().max(1)).saturating_sub(1).max(2);
    let mut shown = String::new();
    for (name, text) in nodes.values() {
        let lines: Vec<&str> = text.lines().collect();
        shown.push_str(&format!("{name}:\n"));
        for line in &lines[lines.len().saturating_sub(each)..] {
            shown.push_str(&format!("  {}\n", line.trim_start()));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_protocol::ErrorKind;

    fn step(on: &str, operation: &str) -> Step {
        Step {
            name: "x".into(),
            on: on.into(),
            operation: operation.into(),
            with: json!({}),
            bind: None,
            deadline: None,
            until: false,
            expect: None,
            observe: Vec::new(),
            covers: Vec::new(),
            line: 1,
        }
    }

    fn on_harness(operation: &str, params: Value, folder: &Path) -> Answer {
        match act_on_harness(&step("harness", operation), &params, folder) {
            Came::Answer(answer) => answer,
            Came::Broken(_, why) => panic!("{why}"),
            Came::Fault(fault) => panic!("{fault:?}"),
        }
    }

    fn kind(answer: Answer) -> ErrorKind {
        match answer {
            Answer::Error(error) => error.kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_node_starts_again_as_it_was_started_first() {
        let first = json!({"data_dir": "d", "options": {"amp": true}});
        assert_eq!(with_params(&first, json!({})), first);
        let other = json!({"options": {}});
        let merged = json!({"data_dir": "d", "options": {}});
        assert_eq!(with_params(&first, other), merged);
    }

    #[test]
    fn shares_are_put_together() {
        let folder = Path::new("unused");
        let of = |of: Value| on_harness("bytes.xor", json!({ "of": of }), folder);
        let bytes = |text: &str| Answer::Result(json!({ "bytes": text }));
        assert_eq!(of(json!(["00ff", "0f0f", "1000"])), bytes("1ff0"));
        assert_eq!(of(json!(["0102"])), bytes("0102"));
        for wrong in [
            json!([]),
            json!(["00", "0000"]),
            json!(["0x"]),
            json!([1]),
            json!("00"),
        ] {
            assert_eq!(kind(of(wrong)), ErrorKind::Invalid);
        }
    }

    #[test]
    fn files_go_from_role_to_role_and_stay_in_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("files");
        let read = |name: &str| on_harness("file.read", json!({"name": name}), &folder);
        assert_eq!(kind(read("receipt.bin")), ErrorKind::Rejected);
        let write = json!({"name": "receipt.bin", "bytes": "00ff"});
        assert_eq!(
            on_harness("file.write", write, &folder),
            Answer::Result(json!({"length": 2}))
        );
        assert_eq!(
            read("receipt.bin"),
            Answer::Result(json!({"bytes": "00ff"}))
        );
        for name in ["", "../receipt.bin", "a/b", ".hidden", "..", "a\\b"] {
            assert_eq!(kind(read(name)), ErrorKind::Invalid, "{name}");
            let write = json!({"name": name, "bytes": "00"});
            assert_eq!(
                kind(on_harness("file.write", write, &folder)),
                ErrorKind::Invalid,
                "{name}"
            );
        }
        let write = json!({"name": "x", "bytes": "0"});
        assert_eq!(
            kind(on_harness("file.write", write, &folder)),
            ErrorKind::Invalid
        );
    }

    #[test]
    fn kept_values_come_back() {
        let values = json!({"settled_time": "5"});
        let kept = on_harness("values.keep", values.clone(), Path::new("unused"));
        assert_eq!(kept, Answer::Result(values));
    }

    #[test]
    fn the_run_has_a_value_for_every_field() {
        let nonces = ["n1".to_owned(), "n2".to_owned()];
        let values = run_values(1_000_000, &nonces);
        for field in RUN_FIELDS {
            assert!(values[field].is_string(), "{field}");
        }
        assert_eq!(values["now"], "1000000");
        assert_eq!(values["past"], "308800");
        assert_eq!(values["future"], "1010800");
        assert_eq!(
            (&values["nonce"], &values["nonce-2"]),
            (&json!("n1"), &json!("n2"))
        );
        // The order of the wire: the reverse of how explorers show it.
        assert_eq!(
            values["chain_hash"],
            "06226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f"
        );
        assert_eq!(run_values(5, &nonces)["past"], "0");
    }

    #[test]
    fn what_the_vector_names_is_observed() {
        let answer = Answer::Result(json!({"a": "1", "b": "2", "c": "3"}));
        let mut named = step("payee", "event.next");
        named.expect = Some(Expect::Result(json!({"a": "1"})));
        assert_eq!(observed(&named, &answer), json!({"a": "1"}));
        named.observe = vec!["b".into()];
        assert_eq!(observed(&named, &answer), json!({"b": "2"}));
        let free = Step {
            expect: Some(Expect::Result(json!({}))),
            ..step("payee", "event.next")
        };
        assert_eq!(observed(&free, &answer), json!({}));
        let listed = Step {
            expect: Some(Expect::Result(json!({"$contains": {"a": "1"}}))),
            ..step("payee", "channel.list")
        };
        let list = Answer::Result(json!([{"a": "1"}]));
        assert_eq!(observed(&listed, &list), json!({}));
        let refused = Answer::Error(OpError::rejected("at 17:05"));
        let words = observed(&step("payee", "x"), &refused);
        assert_eq!(words["error"]["message"], "at 17:05");
        let words = observed(&step("codec", "x"), &refused);
        assert_eq!(words["error"]["kind"], "rejected");
        assert!(words["error"].get("message").is_none());
    }

    #[test]
    fn what_stands_behind_the_last_check_tidies_up() {
        let from = |names: &[&str]| {
            let steps: Vec<Step> = names.iter().map(|name| asserting(name)).collect();
            tidies_from(&steps)
        };
        assert_eq!(from(&["sent", "received", "sent", "sent"]), 2);
        assert_eq!(from(&["sent", "received"]), 2);
        // Without a check nothing can fail before the end.
        assert_eq!(from(&["sent", "sent"]), 2);
    }

    #[test]
    fn a_node_that_breaks_the_start_is_one_failure() {
        let case = Case {
            id: "keysend/x".into(),
            file: "x.yaml".into(),
            line: 1,
            description: String::new(),
            spec: None,
            covers: vec!["a".into()],
            tags: vec![],
            needs: vec![],
            provenance: None,
            origin: lnconform_vectors::case::Origin::BuiltIn,
            body: lnconform_vectors::case::Body::Scenario(Scenario {
                topology: lnconform_vectors::case::Topology {
                    name: "none".into(),
                    nodes: BTreeMap::new(),
                    channels: vec![],
                    connect: vec![],
                    ready: vec![],
                    server: None,
                },
                roles: BTreeMap::new(),
                own_cluster: false,
                steps: ["sent", "received", "paid"].map(asserting).into(),
            }),
        };
        let lnconform_vectors::case::Body::Scenario(scenario) = &case.body else {
            unreachable!()
        };
        let outcomes = |error: &ClusterError| {
            let findings = not_started(&case, scenario, error);
            findings
                .into_iter()
                .map(|f| (f.id, f.outcome, f.failure.and_then(|f| f.kind), f.missing))
                .collect::<Vec<_>>()
        };
        let broke = ClusterError::Node {
            role: "payer".into(),
            op: "channel.open".into(),
            message: "was ended by signal 9".into(),
            kind: Some("crash".into()),
            blame: Blame::Implementation,
        };
        let crash = Some("crash".to_owned());
        assert_eq!(
            outcomes(&broke),
            [
                (
                    "keysend/x#received".to_owned(),
                    Outcome::Failed,
                    crash,
                    false
                ),
                (
                    "keysend/x#paid".to_owned(),
                    Outcome::CouldNotRun,
                    None,
                    false
                ),
            ]
        );
        // Without bitcoind, nothing can be said of anybody.
        let none = ClusterError::Environment("no port".into());
        let lacking = |id: &str| (id.to_owned(), Outcome::CouldNotRun, None, true);
        assert_eq!(
            outcomes(&none),
            ["keysend/x#received", "keysend/x#paid"].map(lacking)
        );
    }

    /// A step that asserts something, unless it sends.
    fn asserting(name: &str) -> Step {
        Step {
            name: name.into(),
            on: "payer".into(),
            operation: "x".into(),
            with: json!({}),
            bind: None,
            deadline: None,
            until: false,
            expect: (name != "sent").then(|| Expect::Result(json!({}))),
            observe: vec![],
            covers: vec![],
            line: 1,
        }
    }

    #[test]
    fn the_tail_has_every_node_and_fits_on_a_screen() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for role in ["payee", "payer"] {
            let lines: String = (1..=20).map(|n| format!("  {role} {n}\n")).collect();
            write(&format!("{role}/adapter.log"), &lines);
            write(
                &format!("{role}/data/node.log"),
                "more than the adapter says",
            );
        }
        write("forwarder/adapter.log", "");
        write("forwarder/data/node.log", "only this\n");
        assert_eq!(
            log_tails(dir.path(), &LogSizes::new()),
            "forwarder/data/node.log:\n  only this\n\
             payee/adapter.log:\n  payee 19\n  payee 20\n\
             payer/adapter.log:\n  payer 19\n  payer 20\n"
        );
        assert_eq!(log_tails(&dir.path().join("none"), &LogSizes::new()), "");

        // What an earlier scenario left is called so.
        let before = log_sizes(dir.path());
        let all: String = (1..=21).map(|n| format!("  payee {n}\n")).collect();
        write("payee/adapter.log", &all);
        assert_eq!(
            log_tails(dir.path(), &before),
            "forwarder/data/node.log, before this scenario:\n  only this\n\
             payee/adapter.log:\n  payee 21\n\
             payer/adapter.log, before this scenario:\n  payer 19\n  payer 20\n"
        );
    }

    #[test]
    fn transcripts_are_those_of_the_scenario_by_role() {
        let dir = tempfile::tempdir().unwrap();
        let file = |role: &str| {
            let folder = dir.path().join(role).join("data");
            std::fs::create_dir_all(&folder).unwrap();
            folder.join("transcript.jsonl")
        };
        let line = |message: &str| format!("{{\"message\":\"{message}\"}}\n");
        std::fs::write(file("payer"), line("init")).unwrap();
        std::fs::write(file("payee"), line("init")).unwrap();
        std::fs::write(dir.path().join("payee/adapter.log"), line("no message")).unwrap();
        let all = transcripts(dir.path(), &LogSizes::new());
        let roles: Vec<&str> = all.iter().map(|t| t.role.as_str()).collect();
        assert_eq!(roles, ["payee", "payer"]);
        let before = log_sizes(dir.path());
        std::fs::write(file("payer"), line("init") + &line("ping")).unwrap();
        let [new] = transcripts(dir.path(), &before).try_into().unwrap();
        assert_eq!((new.role.as_str(), new.lines.len()), ("payer", 1));
        assert_eq!(new.lines[0]["message"], "ping");
    }

    #[test]
    fn a_cluster_s_chains_are_its_own() {
        let run = tempfile::tempdir().unwrap();
        for name in ["chain-c1", "chain-c1.2", "chain-c11", "c1"] {
            std::fs::create_dir(run.path().join(name)).unwrap();
        }
        let names = ["chain-c1", "chain-c1.2"].map(|n| run.path().join(n));
        assert_eq!(chain_folders(run.path(), "c1"), names);
    }

    #[test]
    fn ids_become_file_names() {
        assert_eq!(file_name("keysend/direct?a=1#2", 1), "keysend_direct_a_1_2");
        assert_eq!(file_name("keysend/direct", 3), "keysend_direct-3");
    }
}
