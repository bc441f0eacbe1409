//! The cluster lane: one scenario on one cluster, step by step.

use crate::cluster::{self, Cluster, ClusterError, OPERATION, Recipe};
use crate::codec::{failure, fault_finding, fault_kind};
use crate::judge::{Finding, answer_value};
use crate::plan::{Participant, Unit, Who};
use crate::record::{Blame, Failure, Node, Outcome, Phase};
use crate::wait::Stop;
use bitcoin::constants::ChainHash;
use lnconform_adapters::{Fault, Limits, Supervised};
use lnconform_protocol::params::Params;
use lnconform_protocol::{Answer, OpError};
use lnconform_regtest::run::RunDir;
use lnconform_vectors::bindings::{Bindings, RUN_FIELDS};
use lnconform_vectors::case::{Case, Expect, Scenario, Step};
use lnconform_vectors::matchers::{Verdict, check_answer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What one scenario left: findings, what was seen, and where the time went.
#[derive(Debug, Default)]
pub struct Played {
    /// One for each step with an expectation.
    pub findings: Vec<Finding>,
    /// (check id, value) of each step that was observed.
    pub observations: Vec<(String, Value)>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Where the time went.
    pub phases: Vec<Phase>,
}

/// What all scenarios of a run share.
pub struct Stage<'a> {
    /// Folder of the run.
    pub run: &'a RunDir,
    /// The bitcoind to use.
    pub bitcoind: &'a Path,
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
    /// Leaves the folder of a cluster where it is, and says so.
    pub keep: bool,
}

/// Runs one unit of the cluster lane.
pub fn run(
    stage: &Stage<'_>,
    case: &Case,
    scenario: &Scenario,
    unit: &Unit,
    number: usize,
) -> Played {
    let Who::Roles(roles) = &unit.who else {
        return Played::default();
    };
    let name = format!("c{number}");
    let recipe = Recipe {
        run: stage.run,
        name: &name,
        bitcoind: stage.bitcoind,
        topology: &scenario.topology,
        roles,
        participants: stage.participants,
        limits: stage.limits,
        seed: unit.seed,
        stop: stage.stop,
    };
    let mut outcome = Played::default();
    let dir = stage.run.path().join(&name);
    let failed = |findings: &[Finding]| findings.iter().any(|f| f.outcome != Outcome::Passed);
    let tail = match Cluster::start(&recipe) {
        Err(error) => {
            outcome.findings = not_started(case, scenario, &error);
            log_tails(&dir)
        }
        Ok(mut cluster) => {
            let clock = Instant::now();
            let mut play = Play::new(&cluster, case, scenario, stage, unit.seed);
            play.run(&mut cluster, stage.stop);
            if let Some(oracle) = play.oracle.take() {
                // Its answers are in; how it goes down is `adapter check`'s business.
                let _ = oracle.shutdown();
            }
            outcome.findings = play.findings;
            outcome.observations = play.observations;
            outcome.nodes = cluster.nodes.values().map(|n| n.record.clone()).collect();
            let duration_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
            cluster.phases.push(Phase {
                name: "steps".into(),
                duration_ms,
                id: None,
            });
            // Before the nodes are stopped, or there would be nothing but how they end.
            let tail = if failed(&outcome.findings) {
                log_tails(&dir)
            } else {
                String::new()
            };
            outcome.phases = cluster.stop();
            tail
        }
    };
    for phase in &mut outcome.phases {
        phase.id = Some(case.id.clone());
    }
    let folders = chain_folders(stage.run.path(), &name);
    if stage.stop.is_set() {
        // A stop takes the nodes away from under the steps: what it cut off is no result.
        outcome.findings.retain(|f| f.outcome == Outcome::Passed);
    } else if failed(&outcome.findings) {
        let place = stage.evidence.join(file_name(&case.id, unit.attempt));
        let mut saved = save_logs(&dir, &place);
        for folder in &folders {
            saved.extend(save_logs(folder, &place.join("bitcoind")));
        }
        for finding in outcome
            .findings
            .iter_mut()
            .filter(|f| f.outcome == Outcome::Failed)
        {
            finding
                .evidence
                .extend(saved.iter().map(|p| p.to_string_lossy().into_owned()));
            if finding.log_tail.is_none() && !tail.is_empty() {
                finding.log_tail = Some(tail.clone());
            }
        }
    }
    if !stage.keep {
        for folder in std::iter::once(&dir).chain(&folders) {
            // What cannot be removed now goes with the folder of the run.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
    outcome
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

struct Play<'a> {
    case: &'a Case,
    scenario: &'a Scenario,
    bindings: Bindings,
    findings: Vec<Finding>,
    observations: Vec<(String, Value)>,
    /// The last event that each role has shown, so that `event.next` goes on from there.
    seen: BTreeMap<String, Value>,
    /// Who answers steps on `codec`; its process starts with the first of them.
    oracle: Option<Supervised>,
    /// How long the oracle may take for an answer.
    patience: Duration,
    /// Where `file.write` writes to.
    files: PathBuf,
    /// `$run.nonce` and `$run.nonce-2`.
    nonces: [String; 2],
}

/// What a step came to.
enum Came {
    Answer(Answer),
    Fault(Fault),
    /// A reference that could not be resolved, or a fault of the chain.
    Broken(Blame, String),
}

impl<'a> Play<'a> {
    fn new(
        cluster: &Cluster,
        case: &'a Case,
        scenario: &'a Scenario,
        stage: &Stage<'_>,
        seed: u64,
    ) -> Self {
        let mut bindings = Bindings::default();
        for (role, node) in &cluster.nodes {
            bindings.bind(role, node.started.clone());
        }
        Self {
            case,
            scenario,
            bindings,
            findings: Vec::new(),
            observations: Vec::new(),
            seen: BTreeMap::new(),
            oracle: stage
                .oracle
                .and_then(|oracle| oracle.codec.clone())
                .map(|launch| Supervised::new(launch, stage.limits.clone())),
            patience: stage.limits.codec,
            files: cluster.dir.join("files"),
            nonces: ["nonce", "nonce-2"].map(|name| cluster::seed(seed, name)),
        }
    }

    fn run(&mut self, cluster: &mut Cluster, stop: &Stop) {
        let mut broken: Option<(String, Option<Blame>)> = None;
        let scenario = self.scenario;
        for step in &scenario.steps {
            let id = format!("{}#{}", self.case.id, step.name);
            let covers = if step.covers.is_empty() {
                &self.case.covers
            } else {
                &step.covers
            };
            if let Some((why, blame)) = &broken {
                if step.expect.is_some() {
                    self.findings.push(Finding::other(
                        id,
                        covers,
                        Outcome::CouldNotRun,
                        *blame,
                        format!("not reached: {why}"),
                    ));
                }
                continue;
            }
            if stop.is_set() {
                return;
            }
            let finding = self.step(cluster, step, &id, covers, stop);
            if finding.outcome != Outcome::Passed {
                let came = if finding.outcome == Outcome::Failed {
                    "failed"
                } else {
                    "did not run"
                };
                let why = format!(
                    "step {} ({} on {}) {came}",
                    step.name, step.operation, step.on
                );
                // Where an operation is lacking, nobody else is to blame.
                let blame = finding.blame.or(Some(Blame::Implementation));
                broken = Some((why, blame));
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
            "harness" => return act_on_harness(step, &params, &self.files),
            _ => {}
        }
        let node = match cluster.node(&step.on) {
            Ok(node) => node,
            Err(e) => return Came::Broken(Blame::Harness, e.to_string()),
        };
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
        match node.adapter.call(&step.operation, &params, patience) {
            Ok(answer) => Came::Answer(answer),
            Err(fault) => Came::Fault(fault),
        }
    }

    fn act_on_codec(&mut self, step: &Step, params: &Value) -> Came {
        let Some(oracle) = &mut self.oracle else {
            return Came::Broken(
                Blame::Harness,
                "this run has no adapter for the steps on `codec`".into(),
            );
        };
        match oracle.call(&step.operation, params, self.patience) {
            Ok(answer) => Came::Answer(answer),
            // The oracle stands on the harness's side: what breaks there is nobody else's fault.
            Err(fault) => Came::Broken(Blame::Harness, fault.message),
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
            let blocks = params["blocks"].as_u64().unwrap_or(1);
            match cluster.mine(blocks) {
                Ok(height) => Came::Answer(Answer::Result(json!({"height": height}))),
                Err(e) => Came::Broken(e.blame(), e.to_string()),
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
    path.extension().is_some_and(|e| e == "log") && !path.file_stem().is_some_and(digits)
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

/// The last lines of each node's log, few enough to fit on a screen together.
fn log_tails(dir: &Path) -> String {
    const LINES: usize = 10;
    let text_of = |log: &PathBuf| {
        let bytes = tail(log, 4096).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let mut nodes: BTreeMap<PathBuf, (PathBuf, String)> = BTreeMap::new();
    for log in logs(dir) {
        let name = log.strip_prefix(dir).unwrap_or(&log).to_owned();
        let Some(node) = name.iter().next().map(PathBuf::from) else {
            continue;
        };
        // What the adapter says comes first in the order of names, and tells the most in a line.
        if let Some(text) = (!nodes.contains_key(&node))
            .then(|| text_of(&log))
            .flatten()
        {
            nodes.insert(node, (name, text));
        }
    }
    let each = (LINES / nodes.len().max(1)).saturating_sub(1).max(2);
    let mut shown = String::new();
    for (name, text) in nodes.values() {
        let lines: Vec<&str> = text.lines().collect();
        shown.push_str(&format!("{}:\n", name.display()));
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
                },
                roles: BTreeMap::new(),
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
            log_tails(dir.path()),
            "forwarder/data/node.log:\n  only this\n\
             payee/adapter.log:\n  payee 19\n  payee 20\n\
             payer/adapter.log:\n  payer 19\n  payer 20\n"
        );
        assert_eq!(log_tails(&dir.path().join("none")), "");
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
