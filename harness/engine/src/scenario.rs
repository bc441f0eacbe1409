//! The cluster lane: one scenario on one cluster, step by step.

use crate::cluster::{Cluster, ClusterError, OPERATION, Recipe};
use crate::codec::{failure, fault_finding};
use crate::judge::{Finding, answer_value};
use crate::plan::{Participant, Unit, Who};
use crate::record::{Blame, Failure, Node, Outcome, Phase};
use crate::wait::Stop;
use lnconform_adapters::{Fault, Limits};
use lnconform_protocol::Answer;
use lnconform_regtest::run::RunDir;
use lnconform_vectors::bindings::Bindings;
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
    match Cluster::start(&recipe) {
        Err(error) => outcome.findings = not_started(case, scenario, &error),
        Ok(mut cluster) => {
            let clock = Instant::now();
            let mut play = Play::new(&cluster, case, scenario);
            play.run(&mut cluster, stage.stop);
            outcome.findings = play.findings;
            outcome.observations = play.observations;
            outcome.nodes = cluster.nodes.values().map(|n| n.record.clone()).collect();
            let duration_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
            cluster.phases.push(Phase {
                name: "steps".into(),
                duration_ms,
                id: None,
            });
            outcome.phases = cluster.stop();
        }
    }
    for phase in &mut outcome.phases {
        phase.id = Some(case.id.clone());
    }
    let bad = outcome
        .findings
        .iter()
        .any(|f| f.outcome != Outcome::Passed);
    if bad && !stage.stop.is_set() {
        let saved = save_logs(
            &dir,
            &stage.evidence.join(file_name(&case.id, unit.attempt)),
        );
        let tail = log_tails(&dir);
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
        // What cannot be removed now goes with the folder of the run.
        let _ = std::fs::remove_dir_all(&dir);
    }
    outcome
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

fn not_started(case: &Case, scenario: &Scenario, error: &ClusterError) -> Vec<Finding> {
    let blame = error.blame();
    let outcome = if blame == Blame::Implementation {
        Outcome::Failed
    } else {
        Outcome::CouldNotRun
    };
    checks(case, scenario)
        .map(|(id, covers)| Finding {
            failure: matches!(error, ClusterError::Wait(_)).then(|| Failure {
                kind: Some("deadline".into()),
                ..Failure::default()
            }),
            missing: outcome == Outcome::CouldNotRun,
            ..Finding::other(
                id,
                covers,
                outcome,
                Some(blame),
                format!("the cluster did not start: {error}"),
            )
        })
        .collect()
}

struct Play<'a> {
    case: &'a Case,
    scenario: &'a Scenario,
    bindings: Bindings,
    findings: Vec<Finding>,
    observations: Vec<(String, Value)>,
    /// The last event that each role has shown, so that `event.next` goes on from there.
    seen: BTreeMap<String, Value>,
}

/// What a step came to.
enum Came {
    Answer(Answer),
    Fault(Fault),
    /// A reference that could not be resolved, or a fault of the chain.
    Broken(Blame, String),
}

impl<'a> Play<'a> {
    fn new(cluster: &Cluster, case: &'a Case, scenario: &'a Scenario) -> Self {
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
        }
    }

    fn run(&mut self, cluster: &mut Cluster, stop: &Stop) {
        let mut broken: Option<String> = None;
        let scenario = self.scenario;
        for step in &scenario.steps {
            let id = format!("{}#{}", self.case.id, step.name);
            let covers = if step.covers.is_empty() {
                &self.case.covers
            } else {
                &step.covers
            };
            if let Some(why) = &broken {
                if step.expect.is_some() {
                    self.findings.push(Finding::other(
                        id,
                        covers,
                        Outcome::CouldNotRun,
                        Some(Blame::Implementation),
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
                broken = Some(format!(
                    "step {} ({} on {}) {}",
                    step.name,
                    step.operation,
                    step.on,
                    if finding.outcome == Outcome::Failed {
                        "failed"
                    } else {
                        "did not run"
                    }
                ));
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
        let mut pause = Duration::from_millis(20);
        loop {
            let came = self.act(cluster, step, deadline.saturating_sub(clock.elapsed()));
            let (finding, answer) = self.judge(step, came, id, covers, clock.elapsed());
            let again = step.until
                && finding.outcome == Outcome::Failed
                && clock.elapsed() + pause < deadline
                && !stop.is_set();
            if again {
                // Between two looks at the condition that the step names.
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(500));
                continue;
            }
            if let Some(answer) = answer {
                self.keep(step, id, &answer);
            }
            return finding;
        }
    }

    fn act(&mut self, cluster: &mut Cluster, step: &Step, deadline: Duration) -> Came {
        let mut params = match self.bindings.resolve(&step.with) {
            Ok(params) => params,
            Err(why) => return Came::Broken(Blame::Harness, why),
        };
        if step.on == "chain" {
            return act_on_chain(cluster, step, &params);
        }
        let node = match cluster.node(&step.on) {
            Ok(node) => node,
            Err(e) => return Came::Broken(Blame::Harness, e.to_string()),
        };
        // Operations that wait learn how long; the harness itself waits a little longer, so
        // that the adapter can say what it saw.
        let waits = matches!(
            step.operation.as_str(),
            "event.next" | "payment.wait" | "htlc.next"
        );
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
        let named: Vec<String> = match &step.expect {
            Some(Expect::Result(Value::Object(map))) => map.keys().cloned().collect(),
            _ => Vec::new(),
        };
        let fields: Vec<String> = named
            .into_iter()
            .chain(step.observe.iter().cloned())
            .collect();
        if step.expect.is_some() || !step.observe.is_empty() {
            // On live nodes much is left to chance (fees, times), so that only what the vector
            // names is observed; of an error or of a free result, all.
            let value = answer_value(answer);
            let picked = match answer {
                Answer::Result(_) if !fields.is_empty() => crate::snapshot::pick(&value, &fields),
                Answer::Result(_) => json!({}),
                _ => value,
            };
            self.observations.push((id.to_owned(), picked));
        }
    }
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
                Ok(t) if t.is_file() && path.extension().is_some_and(|e| e == "log") => {
                    found.push(path);
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
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

/// The last lines of each node's log.
fn log_tails(dir: &Path) -> String {
    const LINES: usize = 5;
    let mut text = String::new();
    for log in logs(dir) {
        let Ok(bytes) = tail(&log, 4096) else {
            continue;
        };
        let content = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = content.lines().collect();
        if lines.is_empty() {
            continue;
        }
        let name = log.strip_prefix(dir).unwrap_or(&log);
        text.push_str(&format!("{}:\n", name.display()));
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_file_names() {
        assert_eq!(file_name("keysend/direct?a=1#2", 1), "keysend_direct_a_1_2");
        assert_eq!(file_name("keysend/direct", 3), "keysend_direct-3");
    }
}
