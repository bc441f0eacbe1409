//! The codec lane: one thread an adapter, requests pipelined, answers handed on as they come.

use crate::judge::{Finding, answer_value};
use crate::plan::{Participant, Unit};
use crate::record::{Blame, DisagreementGroup, Failure, Outcome};
use crate::wait::Stop;
use lnconform_adapters::{self as adapters, Fault, FaultKind, Late, Launch, Limits, Supervised};
use lnconform_protocol::Answer;
use lnconform_vectors::bindings::Bindings;
use lnconform_vectors::case::{Body, Case, Codec};
use lnconform_vectors::matchers::{Checker, Verdict};
use std::collections::BTreeMap;
use std::time::Duration;

/// What came of one unit.
#[derive(Debug)]
pub struct Done {
    /// Place of the unit in the plan.
    pub unit: usize,
    /// The answer, or what went wrong with the adapter.
    pub answer: Result<Answer, Fault>,
    /// From writing the request to reading the answer.
    pub duration: Duration,
    /// Where it is one result more of a unit that has had its own: the attempt that it counts as.
    pub again: Option<u32>,
}

/// Requests that may be under way at one adapter at once.
pub(crate) const WINDOW: usize = 256;

/// Runs the units of one participant and hands each result on.
///
/// A unit that the run was stopped before is not handed on.
pub fn run(
    participant: &Participant,
    units: &[(usize, &Unit)],
    cases: &[Case],
    limits: &Limits,
    stop: &Stop,
    mut done: impl FnMut(Done),
) {
    let Some(launch) = participant.codec.clone() else {
        return;
    };
    let requests = units
        .iter()
        .take_while(|_| !stop.is_set())
        .map(|(_, unit)| match &cases[unit.case].body {
            Body::Codec(Codec {
                operation, input, ..
            }) => (operation.as_str(), input),
            Body::Scenario(_) => ("", &serde_json::Value::Null),
        });
    let late = ask(launch, limits, requests, |place, answer, duration| {
        // A stop takes the process away from under its requests: what it cut off is no result.
        if answer.is_ok() || !stop.is_set() {
            let unit = units[place].0;
            done(Done {
                unit,
                answer,
                duration,
                again: None,
            });
        }
    });
    if stop.is_set() {
        return;
    }
    // A fault that no unanswered request bears is one result more, of the request it is about or
    // else of the last one.
    let last = units.iter().map(|(_, unit)| unit.attempt).max();
    for (late, again) in late.into_iter().zip(last.unwrap_or(0) + 1..) {
        let place = late.index.unwrap_or(units.len() - 1);
        let answer = Err(late.fault);
        done(Done {
            unit: units[place].0,
            answer,
            duration: Duration::ZERO,
            again: Some(again),
        });
    }
}

/// Asks an adapter of its own everything and calls `each` once for every request, in the order of
/// the answers, with its place among the requests. Answers the faults that no request bears.
pub(crate) fn ask<'a>(
    launch: Launch,
    limits: &Limits,
    requests: impl IntoIterator<Item = (&'a str, &'a serde_json::Value)>,
    each: impl FnMut(usize, Result<Answer, Fault>, Duration),
) -> Vec<Late> {
    let mut adapter = Supervised::new(launch, limits.clone());
    let late = adapter.batch(requests, WINDOW, limits.codec, each);
    // Its answers are in; how it goes down is `adapter check`'s business.
    let _ = adapter.shutdown();
    late
}

/// Judges one answer by the vector.
pub fn finding(
    case: &Case,
    checker: &Checker,
    answer: &Result<Answer, Fault>,
    duration: Duration,
) -> Finding {
    let answer = match answer {
        Ok(answer) => answer,
        Err(fault) => return fault_finding(&case.id, &case.covers, fault, duration),
    };
    let base = Finding::passed(&case.id, &case.covers, duration);
    match checker.check(answer, &Bindings::default()) {
        Verdict::Pass => base,
        Verdict::Unsupported(reason) => Finding {
            outcome: Outcome::Unsupported,
            message: Some(reason),
            ..base
        },
        Verdict::Mismatch { want, got, message } => Finding {
            failure: Some(failure(answer, &want)),
            outcome: Outcome::Failed,
            blame: Some(Blame::Implementation),
            message: Some(message),
            want: Some(want),
            got: Some(got),
            ..base
        },
    }
}

/// How an answer that was not the expected one differs, for the ledger: the error's own kind, or
/// `accepted` for a result where an error was due, or `mismatch`.
pub fn failure(answer: &Answer, want: &serde_json::Value) -> Failure {
    let kind = |kind: &str| Failure {
        kind: Some(kind.to_owned()),
        ..Failure::default()
    };
    match answer {
        Answer::Error(e) => Failure {
            code: e.code,
            rule: e.rule.clone(),
            ..kind(e.kind.as_str())
        },
        _ if want.get("error").is_some() => kind("accepted"),
        _ => kind("mismatch"),
    }
}

/// A finding for an adapter that broke down: `failed` where it is the adapter's doing,
/// `could-not-run` where it never said hello or does not exist.
pub fn fault_finding(id: &str, covers: &[String], fault: &Fault, duration: Duration) -> Finding {
    let absent = fault.could_not_run();
    let kind = Some(fault_kind(fault).to_owned());
    Finding {
        failure: Some(Failure {
            kind,
            ..Failure::default()
        }),
        outcome: if absent {
            Outcome::CouldNotRun
        } else {
            Outcome::Failed
        },
        blame: Some(blame(fault)),
        message: Some(fault.message.clone()),
        log_tail: (!fault.stderr_tail.is_empty()).then(|| fault.stderr_tail.to_string()),
        missing: absent,
        ..Finding::passed(id, covers, duration)
    }
}

/// How an adapter broke down, in the words of the ledger.
pub fn fault_kind(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::Died | FaultKind::DiedMidLine | FaultKind::ClosedStdout => "crash",
        FaultKind::Hung => "hang",
        _ => "protocol",
    }
}

/// Whose fault a fault is, in the words of the result file.
pub fn blame(fault: &Fault) -> Blame {
    match fault.blame {
        adapters::Blame::Implementation => Blame::Implementation,
        adapters::Blame::Environment => Blame::Environment,
        adapters::Blame::Harness => Blame::Harness,
    }
}

/// The observation of an answer: the whole of it, or what `observe` names.
pub fn observation(codec: &Codec, answer: &Answer) -> serde_json::Value {
    crate::snapshot::pick(&answer_value(answer), &codec.observe)
}

/// Answers of several implementations to one case, for disagreements.
#[derive(Debug, Default)]
pub struct Differences(BTreeMap<usize, Vec<(String, serde_json::Value)>>);

impl Differences {
    /// Notes an answer to an `observe`-only or `one_of` case; where the text decides, a
    /// difference is a failure and not a disagreement. Of a result, what `observe` names counts:
    /// one implementation answers more fields than another.
    pub fn note(&mut self, case: usize, who: &str, answer: &Answer, observe: &[String]) {
        let value = match answer {
            Answer::Result(value) => crate::snapshot::pick(value, observe),
            // Implementations word their errors differently; that they refuse is what counts.
            Answer::Error(error) => serde_json::json!({"error": {"kind": error.kind}}),
            Answer::Unsupported(_) => return,
        };
        self.0
            .entry(case)
            .or_default()
            .push((who.to_owned(), value));
    }

    /// Groups of implementations with the same answer, for each case with more than one group. In
    /// the order of the names: who answered first is chance.
    pub fn groups(self) -> Vec<(usize, Vec<DisagreementGroup>)> {
        let mut found = Vec::new();
        for (case, mut answers) in self.0 {
            answers.sort_by(|(a, _), (b, _)| a.cmp(b));
            let mut groups: Vec<DisagreementGroup> = Vec::new();
            for (who, value) in answers {
                match groups.iter_mut().find(|g| g.value == value) {
                    Some(group) => group.implementations.push(who),
                    None => groups.push(DisagreementGroup {
                        implementations: vec![who],
                        value,
                    }),
                }
            }
            if groups.len() > 1 {
                found.push((case, groups));
            }
        }
        found
    }
}
