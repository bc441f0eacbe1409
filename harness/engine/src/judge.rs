//! From what was seen to a check: outcome, expectation, blame.

use crate::ledger::Ledger;
use crate::plan::{Participant, Unit, Who, role_names};
use crate::record::{Blame, Check, Failure, Keyword, Outcome, Transcript};
use crate::shell;
use jiff::civil::Date;
use lnconform_protocol::Answer;
use lnconform_vectors::case::Case;
use serde_json::{Value, json};
use std::time::Duration;

/// Tag of vectors that simulate what no node can be asked for.
const SIMULATION: &str = "simulation";

/// One assertion as the lanes see it, before the ledger and the keyword are asked.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Id of the check, `#step` included.
    pub id: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Whose fault a failure is.
    pub blame: Option<Blame>,
    /// Why it failed or did not run.
    pub message: Option<String>,
    /// What was expected.
    pub want: Option<Value>,
    /// What was answered.
    pub got: Option<Value>,
    /// How it failed, in terms that stay the same from run to run; its message is the finding's.
    pub failure: Option<Failure>,
    /// How long it took.
    pub duration: Duration,
    /// Paths of logs.
    pub evidence: Vec<String>,
    /// Tail of the log.
    pub log_tail: Option<String>,
    /// What nodes that keep a transcript said and heard.
    pub transcripts: Vec<Transcript>,
    /// Requirement ids.
    pub covers: Vec<String>,
    /// Something that was asked for by name is missing, or did not say hello: exit code 5.
    pub missing: bool,
}

impl Finding {
    /// A pass.
    pub fn passed(id: impl Into<String>, covers: &[String], duration: Duration) -> Self {
        Self {
            id: id.into(),
            outcome: Outcome::Passed,
            blame: None,
            message: None,
            want: None,
            got: None,
            failure: None,
            duration,
            evidence: Vec::new(),
            log_tail: None,
            transcripts: Vec::new(),
            covers: covers.to_vec(),
            missing: false,
        }
    }

    /// Anything else.
    pub fn other(
        id: impl Into<String>,
        covers: &[String],
        outcome: Outcome,
        blame: Option<Blame>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            outcome,
            blame,
            message: Some(message.into()),
            ..Self::passed(id, covers, Duration::ZERO)
        }
    }
}

/// What the judge needs to know about requirements.
pub trait Requirements: Sync {
    /// The keyword of a requirement; `None` for an unknown id.
    fn keyword(&self, id: &str) -> Option<Keyword>;
}

/// Turns findings into checks.
pub struct Judge<'a> {
    /// Keywords.
    pub requirements: &'a dyn Requirements,
    /// Expected failures.
    pub ledger: &'a Ledger,
    /// The day by which entries expire.
    pub today: Date,
    /// SHOULD counts like MUST.
    pub strict: bool,
    /// Who takes part.
    pub participants: &'a [Participant],
    /// What stands behind the id in the command that runs a check again.
    pub rerun: &'a str,
}

impl Judge<'_> {
    /// Makes the check of a finding.
    pub fn check(&self, case: &Case, unit: &Unit, finding: Finding) -> Check {
        let covers = if finding.covers.is_empty() {
            &case.covers
        } else {
            &finding.covers
        };
        let keyword = covers
            .iter()
            .filter_map(|r| self.requirements.keyword(r))
            .max();
        let (implementation, roles) = match &unit.who {
            Who::Implementation(p) => (Some(self.participants[*p].name.clone()), None),
            Who::Roles(r) => (None, Some(role_names(r, self.participants))),
        };
        let version = match &unit.who {
            Who::Implementation(p) => self.participants[*p].version.as_str(),
            Who::Roles(_) => "",
        };
        let passed = finding.outcome == Outcome::Passed;
        let failure = Failure {
            message: finding.message.clone().unwrap_or_default(),
            ..finding.failure.unwrap_or_default()
        };
        let mut check = Check {
            id: finding.id,
            attempt: unit.attempt,
            implementation,
            roles,
            cluster: None,
            lane: crate::plan::lane(case),
            outcome: finding.outcome,
            expected: true,
            warning: false,
            flaky: false,
            simulation: case.tags.iter().any(|tag| tag == SIMULATION),
            blame: finding.blame,
            requirements: covers.clone(),
            keyword,
            duration_us: u64::try_from(finding.duration.as_micros()).unwrap_or(u64::MAX),
            message: finding.message,
            want: finding.want,
            got: finding.got,
            expectation: None,
            evidence: finding.evidence,
            rerun: None,
            log_tail: finding.log_tail,
            transcripts: finding.transcripts,
            failure: None,
            source: (!passed).then(|| format!("{}:{}", case.file.display(), case.line)),
        };
        let verdict = self.ledger.judge(&check, version, &failure, self.today);
        check.expected = verdict.expected;
        check.flaky = verdict.flaky;
        check.expectation = verdict.entry;
        if let Some(note) = verdict.note {
            let message = check.message.take().unwrap_or_default();
            let joint = if message.is_empty() { "" } else { "; " };
            check.message = Some(format!("{message}{joint}{note}"));
        }
        match check.outcome {
            Outcome::Failed if !check.expected => self.soften(&mut check, &failure),
            Outcome::CouldNotRun => check.expected = !finding.missing,
            _ => {}
        }
        if check.outcome == Outcome::Failed {
            check.failure = Some(failure);
        }
        if check.outcome == Outcome::Failed || !check.expected {
            check.rerun = Some(self.rerun_command(&check));
        }
        check
    }

    /// A failed SHOULD is a warning, a failed MAY only an observation; but never where the
    /// implementation crashed or the harness is to blame.
    fn soften(&self, check: &mut Check, failure: &Failure) {
        let broke = matches!(failure.kind.as_deref(), Some("crash" | "hang" | "protocol"));
        if check.blame != Some(Blame::Implementation) || broke {
            return;
        }
        match check.keyword {
            Some(Keyword::Should) => {
                check.warning = true;
                check.expected = !self.strict;
            }
            Some(Keyword::May) => check.expected = true,
            Some(Keyword::Must) | None => {}
        }
    }

    fn rerun_command(&self, check: &Check) -> String {
        let mut command = format!("lnconform run {}", shell::quoted(&check.id));
        match (&check.implementation, &check.roles) {
            (Some(name), _) => command.push_str(&format!(" --adapter {}", self.adapter(name))),
            (None, Some(roles)) => {
                for (role, name) in roles {
                    command.push_str(&format!(" --role {role}={name}"));
                }
            }
            (None, None) => {}
        }
        command.push_str(self.rerun);
        command
    }

    /// `--adapter`'s value for a participant: with its command where it is not built in.
    fn adapter(&self, name: &str) -> String {
        let foreign = self
            .participants
            .iter()
            .find(|p| p.name == name && !p.builtin);
        match foreign.and_then(|p| p.codec.as_ref().or(p.node.as_ref())) {
            Some(launch) => {
                let words = std::iter::once(launch.program.to_string_lossy().into_owned())
                    .chain(launch.args.iter().cloned());
                // Split like shell words once by us, and once by the shell it is typed into.
                let words: Vec<String> =
                    words.map(|word| shell::word(&word).into_owned()).collect();
                shell::quoted(&format!("{name}={}", words.join(" ")))
            }
            None => name.to_owned(),
        }
    }
}

/// An answer as a value: `{"error": …}`, `{"unsupported": …}`, or the result itself.
pub fn answer_value(answer: &Answer) -> Value {
    match answer {
        Answer::Result(value) => value.clone(),
        Answer::Error(error) => json!({"error": error}),
        Answer::Unsupported(unsupported) => json!({"unsupported": unsupported}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_vectors::case::{Body, Codec, Expect, Origin};

    struct Nothing;

    impl Requirements for Nothing {
        fn keyword(&self, _: &str) -> Option<Keyword> {
            None
        }
    }

    #[test]
    fn the_tag_of_a_vector_marks_its_checks_as_simulations() {
        let participants = [Participant {
            name: "reference".into(),
            codec: None,
            node: None,
            named: false,
            builtin: true,
            version: String::new(),
            operations: Default::default(),
            dialects: Default::default(),
            unavailable: None,
            no_cluster: None,
            own: None,
        }];
        let ledger = Ledger::default();
        let judge = Judge {
            requirements: &Nothing,
            ledger: &ledger,
            today: Date::constant(2026, 1, 1),
            strict: false,
            participants: &participants,
            rerun: "",
        };
        let unit = Unit {
            case: 0,
            who: Who::Implementation(0),
            attempt: 1,
            seed: 0,
        };
        let tagged = |tags: &[&str]| {
            let case = Case {
                id: "a/b".into(),
                file: "v.yaml".into(),
                line: 1,
                description: String::new(),
                spec: None,
                covers: vec![],
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                needs: vec![],
                provenance: None,
                origin: Origin::BuiltIn,
                body: Body::Codec(Codec {
                    operation: "x".into(),
                    input: json!({}),
                    expect: Expect::Observe,
                    implementations: vec![],
                    observe: vec![],
                }),
            };
            let finding = Finding::passed("a/b", &[], Duration::ZERO);
            let check = judge.check(&case, &unit, finding);
            (check.simulation, json!(check).get("simulation").cloned())
        };
        assert_eq!(tagged(&["slow", "simulation"]), (true, Some(json!(true))));
        assert_eq!(tagged(&["slow"]), (false, None));
    }
}
