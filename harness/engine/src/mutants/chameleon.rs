//! The reference that is any mutant, request by request.

use crate::codec::WINDOW;
use lnconform_adapters::{Fault, Launch, Limits, Supervised};
use lnconform_protocol::Answer;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The argument that makes the reference answer the two operations below.
pub(super) const FLAG: &str = "--mutants";
/// Answers what the given mutants, all at once, answer to a request.
const CALL: &str = "mutant.call";
/// Answers which mutants decide anything otherwise on the way to an answer.
const TRACE: &str = "mutant.trace";

/// An adapter process that is each mutant in turn: a rule that is off for one request is in force
/// for the next.
pub(crate) struct Chameleon {
    launch: Launch,
    limits: Limits,
    adapter: Supervised,
}

/// How often it may break within one batch of requests; a longer one may break once a request.
const RESTARTS: usize = 2000;

/// Why it is not known which mutants a request concerns.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    /// The reference has no such operation, so no rule of it is asked either.
    #[error("{0}")]
    Unsupported(String),
    /// It answered something else.
    #[error("`{TRACE}` answers {0}")]
    Shape(String),
    /// It broke down.
    #[error("{}", .0.message)]
    Fault(Box<Fault>),
}

#[derive(Deserialize)]
struct Traced {
    mutants: Vec<String>,
}

impl Chameleon {
    /// The reference that `launch` starts, with the argument that lets it change.
    pub fn new(launch: &Launch, limits: &Limits) -> Self {
        let mut launch = launch.clone();
        launch.args.push(FLAG.to_owned());
        Self {
            adapter: supervised(&launch, limits, 0),
            launch,
            limits: limits.clone(),
        }
    }

    /// The answers to requests, in their order, each with the ids of the mutants that answer it.
    pub fn ask(
        &mut self,
        asks: &[(&str, &Value, &[String])],
    ) -> Vec<(Result<Answer, Fault>, Duration)> {
        let params = asks
            .iter()
            .map(|(op, params, mutants)| json!({"op": op, "params": params, "mutants": mutants}))
            .collect();
        self.batch(CALL, params)
    }

    /// For each request the ids of the mutants that may answer otherwise than the right reference.
    pub fn trace(&mut self, asks: &[(&str, &Value)]) -> Vec<Result<Vec<String>, TraceError>> {
        let params = asks
            .iter()
            .map(|(op, params)| json!({"op": op, "params": params}))
            .collect();
        let read = |answer| match answer {
            Ok(Answer::Result(result)) => serde_json::from_value(result)
                .map(|traced: Traced| traced.mutants)
                .map_err(|e| TraceError::Shape(e.to_string())),
            Ok(Answer::Unsupported(unsupported)) => {
                Err(TraceError::Unsupported(unsupported.reason))
            }
            Ok(Answer::Error(error)) => Err(TraceError::Shape(error.message)),
            Err(fault) => Err(TraceError::Fault(Box::new(fault))),
        };
        let answers = self.batch(TRACE, params);
        answers
            .into_iter()
            .map(|(answer, _)| read(answer))
            .collect()
    }

    fn batch(
        &mut self,
        op: &'static str,
        params: Vec<Value>,
    ) -> Vec<(Result<Answer, Fault>, Duration)> {
        if params.is_empty() {
            // Nobody is started for nothing.
            return Vec::new();
        }
        if self.adapter.restarts() > 0 || params.len() > RESTARTS {
            self.adapter = supervised(&self.launch, &self.limits, params.len());
        }
        let mut answers: Vec<Option<(Result<Answer, Fault>, Duration)>> = vec![None; params.len()];
        let requests = params.iter().map(|params| (op, params));
        // A fault that no request bears says nothing about a mutant.
        let _ = self.adapter.batch(
            requests,
            WINDOW,
            self.limits.codec,
            |place, answer, took| {
                answers[place] = Some((answer, took));
            },
        );
        // `batch` hands on every request exactly once.
        answers.into_iter().flatten().collect()
    }
}

fn supervised(launch: &Launch, limits: &Limits, requests: usize) -> Supervised {
    let limits = Limits {
        // A mutant may well crash where the rule guards what follows. Each crash is put down to its
        // own request; none may be failed unasked, as that would catch the mutant for free.
        restarts: u32::try_from(requests.max(RESTARTS)).unwrap_or(u32::MAX),
        ..limits.clone()
    };
    Supervised::new(launch.clone(), limits)
}
