//! Mutants: the reference with one named defect each, and the vectors that notice.
//!
//! A rule of the reference is one thing (`rules.check(ID, …)`), so that a defect needs no code: the
//! adapter's arguments switch the rule off (`--without ID`), or move its boundary by one
//! (`--shift ID=lax`, `--shift ID=strict`). A value that a text fixes is got wrong in a named way
//! (`--mistake ID=NAME`), which the reference has code for. To judge all of them, processes are asked
//! that can be each in turn ([`Chameleon`]), and only about the cases in which the mutant decides
//! something otherwise than the right reference: in all others it answers the same.
//!
//! A mutant is caught if a check that passes on the right
//! reference fails on the mutant *and* names the requirement. One that fails without naming it is
//! luck: the next edit of that vector may lose it.

mod chameleon;

use crate::codec;
use crate::record::Outcome;
use crate::wait::Stop;
pub(crate) use chameleon::{Chameleon, TraceError};
use lnconform_adapters::{Fault, Launch, Limits};
use lnconform_vectors::case::{Body, Case, Codec, Origin};
use lnconform_vectors::matchers::Checker;
use lnconform_yaml::Diagnostic;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The explanations in the binary.
const EMBEDDED: &str = include_str!("../../../specs/mutants.yaml");
/// Where they lie in the repository.
const FILE: &str = "specs/mutants.yaml";

/// What is wrong with a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The rule is not enforced.
    Without,
    /// The first value that is against the rule passes.
    Lax,
    /// The last value that keeps the rule is refused.
    Strict,
    /// A value is got wrong in the way of this name.
    Mistake(String),
}

impl Defect {
    /// How the id of such a mutant begins.
    pub fn as_str(&self) -> &'static str {
        match self {
            Defect::Without => "without",
            Defect::Lax => "lax",
            Defect::Strict => "strict",
            Defect::Mistake(_) => "mistake",
        }
    }
}

/// A reference implementation with one named defect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Id of the requirement that it breaks.
    pub requirement: String,
    /// In which way.
    pub defect: Defect,
}

impl fmt::Display for Mutant {
    /// Its id: `without:RULE`, `lax:RULE`, `strict:RULE` or `mistake:VALUE=NAME`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.defect.as_str(), self.requirement)?;
        match &self.defect {
            Defect::Mistake(name) => write!(f, "={name}"),
            _ => Ok(()),
        }
    }
}

impl Mutant {
    /// Reads an id; `None` where `text` has another form. Whether there is such a rule is not
    /// asked.
    pub fn parse(text: &str) -> Option<Self> {
        let (defect, requirement) = text.split_once(':')?;
        if defect == "mistake" {
            let (requirement, name) = requirement.split_once('=')?;
            return Some(Self {
                requirement: requirement.to_owned(),
                defect: Defect::Mistake(name.to_owned()),
            });
        }
        let defect = [Defect::Without, Defect::Lax, Defect::Strict]
            .into_iter()
            .find(|d| d.as_str() == defect)?;
        Some(Self {
            requirement: requirement.to_owned(),
            defect,
        })
    }

    /// Whether it was thought of by hand; the others are one a rule.
    pub fn hand_written(&self) -> bool {
        self.defect != Defect::Without
    }

    /// Whether its requirement is tested once it is caught: the rule is gone altogether, or a value
    /// is wrong. A moved boundary is one of the finer points of a rule.
    fn decides(&self) -> bool {
        matches!(self.defect, Defect::Without | Defect::Mistake(_))
    }

    /// What makes the adapter that mutant, behind its other arguments.
    pub fn args(&self) -> [String; 2] {
        match &self.defect {
            Defect::Mistake(name) => ["--mistake".into(), format!("{}={name}", self.requirement)],
            Defect::Without => ["--without".into(), self.requirement.clone()],
            Defect::Lax | Defect::Strict => [
                "--shift".into(),
                format!("{}={}", self.requirement, self.defect.as_str()),
            ],
        }
    }
}

/// The specification of a requirement: what its id begins with.
fn spec(requirement: &str) -> &str {
    requirement.split('/').next().unwrap_or_default()
}

/// Every mutant that rules give, each with whether it has a boundary that can be moved.
pub fn mutants<'a>(rules: impl IntoIterator<Item = (&'a str, bool)>) -> Vec<Mutant> {
    let defects = |bounded| match bounded {
        true => [Defect::Without, Defect::Lax, Defect::Strict].as_slice(),
        false => &[Defect::Without],
    };
    rules
        .into_iter()
        .flat_map(|(rule, bounded)| {
            defects(bounded).iter().map(|defect| Mutant {
                requirement: rule.to_owned(),
                defect: defect.clone(),
            })
        })
        .collect()
}

/// Every mutant that values give, each with the names of its mistakes.
pub fn of_values<'a>(
    values: impl IntoIterator<Item = (&'a str, &'a [&'a str])>,
) -> impl Iterator<Item = Mutant> {
    values.into_iter().flat_map(|(value, mistakes)| {
        mistakes.iter().map(move |name| Mutant {
            requirement: value.to_owned(),
            defect: Defect::Mistake((*name).to_owned()),
        })
    })
}

/// Those mutants that the vectors are there for: of the specifications that `cases` belong to. A
/// vector that names no specification belongs to those of what it covers. Upstream's own cases help
/// to catch, but where there are others, they alone bring in no specification: they are not ours
/// to complete.
pub fn of_cases(mutants: Vec<Mutant>, cases: &[&Case]) -> Vec<Mutant> {
    let upstream_only = cases.iter().all(|case| case.origin == Origin::Upstream);
    let specs: BTreeSet<&str> = cases
        .iter()
        .filter(|case| upstream_only || case.origin != Origin::Upstream)
        .flat_map(|case| match &case.spec {
            Some(name) => vec![name.split('@').next().unwrap_or_default()],
            None => case.covers.iter().map(|c| spec(c)).collect(),
        })
        .collect();
    of_specs(mutants, |spec| specs.contains(spec))
}

/// Those mutants whose requirement belongs to a specification that `wanted` takes. A name may have
/// slashes (`bolt12/static-invoice`), and its statements belong to the shorter name as well.
pub fn of_specs(mutants: Vec<Mutant>, wanted: impl Fn(&str) -> bool) -> Vec<Mutant> {
    let belongs = |m: &Mutant| {
        let id = &m.requirement;
        id.match_indices('/').any(|(at, _)| wanted(&id[..at]))
    };
    mutants.into_iter().filter(belongs).collect()
}

/// Why some mutants survive, from `specs/mutants.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanations(BTreeMap<String, String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explanation {
    /// Id of the mutant.
    id: String,
    /// Why no vector can tell it from the right reference.
    reason: String,
}

impl Explanations {
    /// Those of the working directory `dir` if it has the file, else those in the binary.
    ///
    /// # Errors
    /// A file that cannot be read, an id that is none of `mutants`, or one that stands there twice.
    pub fn open(dir: &Path, mutants: &[Mutant]) -> Result<Self, Diagnostic> {
        let file = dir.join(FILE);
        if file.is_file() {
            Self::read(&file, &lnconform_yaml::read(&file)?, mutants)
        } else {
            Self::read(Path::new(FILE), EMBEDDED, mutants)
        }
    }

    fn read(file: &Path, text: &str, mutants: &[Mutant]) -> Result<Self, Diagnostic> {
        let ids: Vec<String> = mutants.iter().map(ToString::to_string).collect();
        let list: Vec<Explanation> = lnconform_yaml::from_str(file, text)?;
        let mut found = BTreeMap::new();
        for (place, one) in list.into_iter().enumerate() {
            let at = |message: String| {
                Diagnostic::new(file, message).at(text, &[&place.to_string(), "id"])
            };
            if !ids.contains(&one.id) {
                let near = lnconform_yaml::suggest(&one.id, ids.iter().map(String::as_str));
                let fault = at(format!("there is no mutant `{}`", one.id));
                return Err(match near {
                    Some(near) => fault.help(format!("did you mean `{near}`?")),
                    None => fault.help("`lnconform mutants` lists them"),
                });
            }
            if found.contains_key(&one.id) {
                return Err(at(format!("`{}` stands here twice", one.id)));
            }
            found.insert(one.id, one.reason);
        }
        Ok(Self(found))
    }

    /// The reason for a mutant.
    pub fn of(&self, mutant: &Mutant) -> Option<&str> {
        self.0.get(&mutant.to_string()).map(String::as_str)
    }
}

/// What came of one mutant; its JSON form is that of `mutants --format json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Id of the mutant.
    pub id: String,
    /// The requirement that it breaks.
    pub requirement: String,
    /// A check that names the requirement fails on it.
    pub caught: bool,
    /// Those checks.
    pub by: Vec<String>,
    /// Thought of by hand, such as a boundary moved by one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hand_written: bool,
    /// Why it survives, from `specs/mutants.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<String>,
    /// Checks that fail on it without naming the requirement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unnamed: Vec<String>,
    /// How many checks that pass on the right reference name the requirement.
    #[serde(default)]
    pub naming: usize,
}

impl Verdict {
    /// Neither caught nor explained.
    pub fn survives(&self) -> bool {
        !self.caught && self.explained.is_none()
    }
}

/// All mutants of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// In the order of the rules.
    pub mutants: Vec<Verdict>,
}

/// Why mutants could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum MutantsError {
    /// The adapter did not start as itself or as a mutant.
    #[error("the adapter does not start with {}: {}", if .args.is_empty() { "no arguments" } else { .args }, .fault.message)]
    Start {
        /// What made it a mutant.
        args: String,
        /// What it did.
        fault: Box<Fault>,
    },
    /// An expectation that the loader let through and that cannot be compiled: a fault of ours.
    #[error("the expectation of {0} cannot be read: {1}")]
    Pattern(String, String),
    /// The reference does not say which mutants a case concerns: a fault of ours.
    #[error("which mutants differ in {0} is not known: {1}")]
    Trace(String, String),
    /// Stopped before the end.
    #[error("stopped before every mutant was tried")]
    Stopped,
}

impl MutantsError {
    pub(crate) fn start(args: &str, fault: Fault) -> Self {
        Self::Start {
            args: args.to_owned(),
            fault: Box::new(fault),
        }
    }
}

/// What mutants are judged with.
pub struct Trial<'a> {
    /// How the right reference is started; a mutant has arguments more.
    pub launch: &'a Launch,
    /// Limits for the adapters.
    pub limits: &'a Limits,
    /// The selected cases; scenarios among them are passed over.
    pub cases: &'a [&'a Case],
    /// Why some survive.
    pub explanations: &'a Explanations,
    /// Stops between two mutants.
    pub stop: &'a Stop,
    /// Processes at a time, at least 1.
    pub jobs: usize,
}

/// A codec case, ready to be judged many times.
struct Ready<'a> {
    case: &'a Case,
    codec: &'a Codec,
    checker: Checker,
}

impl Trial<'_> {
    /// Runs the cases against the right reference and against each of `mutants`.
    ///
    /// # Errors
    /// [`MutantsError`].
    pub fn judge(&self, mutants: &[Mutant]) -> Result<Verdicts, MutantsError> {
        let mut ready = Vec::new();
        for case in self.cases {
            if let Body::Codec(codec) = &case.body {
                let checker = Checker::compile(&codec.expect)
                    .map_err(|e| MutantsError::Pattern(case.id.clone(), e.to_string()))?;
                ready.push(Ready {
                    case,
                    codec,
                    checker,
                });
            }
        }
        let right = self.right(&ready)?;
        // What does not pass on the right reference says nothing about a mutant.
        let mut right = right.iter();
        ready.retain(|_| right.next() == Some(&Outcome::Passed));
        let concerned = self.concerned(&ready)?;
        let next = AtomicUsize::new(0);
        let verdicts = Mutex::new(BTreeMap::new());
        let work = || -> Result<(), MutantsError> {
            let mut adapter = self.chameleon();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(mutant) = mutants.get(place) else {
                    return Ok(());
                };
                if self.stop.is_set() {
                    return Err(MutantsError::Stopped);
                }
                let cases = concerned.get(&mutant.to_string());
                let cases = cases.map_or(&[][..], Vec::as_slice);
                let outcomes = self.outcomes(&mut adapter, &ready, cases, mutant)?;
                let verdict = self.verdict(mutant, &ready, &outcomes);
                lock(&verdicts).insert(place, verdict);
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| {
                // A panic in a thread of ours is a fault of the harness and goes on to the top.
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })?;
        let verdicts = std::mem::take(&mut *lock(&verdicts));
        Ok(Verdicts {
            mutants: verdicts.into_values().collect(),
        })
    }

    /// What each case comes to, in their order, on the right reference.
    fn right(&self, ready: &[Ready<'_>]) -> Result<Vec<Outcome>, MutantsError> {
        let limits = Limits {
            // A crash is put down to its own check; none is failed unasked.
            restarts: u32::try_from(ready.len()).unwrap_or(u32::MAX),
            ..self.limits.clone()
        };
        let requests = ready
            .iter()
            .map(|r| (r.codec.operation.as_str(), &r.codec.input));
        let mut outcomes = vec![Outcome::CouldNotRun; ready.len()];
        let mut absent = None;
        codec::ask(
            self.launch.clone(),
            &limits,
            requests,
            |place, answer, took| {
                if let Err(fault) = &answer
                    && fault.could_not_run()
                {
                    absent.get_or_insert_with(|| fault.clone());
                }
                let one = &ready[place];
                outcomes[place] = codec::finding(one.case, &one.checker, &answer, took).outcome;
            },
        );
        match absent {
            None => Ok(outcomes),
            Some(fault) => Err(MutantsError::start("", fault)),
        }
    }

    fn chameleon(&self) -> Chameleon {
        Chameleon::new(self.launch, self.limits)
    }

    /// For each mutant's id the places of the cases that it may answer otherwise.
    fn concerned(&self, ready: &[Ready<'_>]) -> Result<BTreeMap<String, Vec<usize>>, MutantsError> {
        let asks: Vec<_> = ready
            .iter()
            .map(|r| (r.codec.operation.as_str(), &r.codec.input))
            .collect();
        let mut concerned: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let traces = self.chameleon().trace(&asks);
        for (place, trace) in traces.into_iter().enumerate() {
            let ids = match trace {
                Ok(ids) => ids,
                // A stop takes the process away.
                Err(_) if self.stop.is_set() => return Err(MutantsError::Stopped),
                Err(e) => {
                    let case = ready[place].case.id.clone();
                    return Err(MutantsError::Trace(case, e.to_string()));
                }
            };
            for id in ids {
                concerned.entry(id).or_default().push(place);
            }
        }
        Ok(concerned)
    }

    /// What each case comes to, in their order, on a mutant that is asked only those of `cases`.
    fn outcomes(
        &self,
        adapter: &mut Chameleon,
        ready: &[Ready<'_>],
        cases: &[usize],
        mutant: &Mutant,
    ) -> Result<Vec<Outcome>, MutantsError> {
        let id = mutant.to_string();
        let asks: Vec<_> = cases
            .iter()
            .map(|&place| {
                let codec = ready[place].codec;
                let who = std::slice::from_ref(&id);
                (codec.operation.as_str(), &codec.input, who)
            })
            .collect();
        // All have passed on the right reference, so they do where the mutant is no other.
        let mut outcomes = vec![Outcome::Passed; ready.len()];
        for (place, (answer, took)) in cases.iter().zip(adapter.ask(&asks)) {
            if let Err(fault) = &answer
                && fault.could_not_run()
            {
                return Err(MutantsError::start(chameleon::FLAG, fault.clone()));
            }
            let one = &ready[*place];
            outcomes[*place] = codec::finding(one.case, &one.checker, &answer, took).outcome;
        }
        Ok(outcomes)
    }

    fn verdict(&self, mutant: &Mutant, ready: &[Ready<'_>], outcomes: &[Outcome]) -> Verdict {
        let names = |case: &Case| case.covers.contains(&mutant.requirement);
        let (named, unnamed): (Vec<&Case>, Vec<&Case>) = ready
            .iter()
            .zip(outcomes)
            .filter(|(_, outcome)| **outcome == Outcome::Failed)
            .map(|(r, _)| r.case)
            .partition(|case| names(case));
        let ids = |cases: Vec<&Case>| cases.into_iter().map(|c| c.id.clone()).collect();
        Verdict {
            id: mutant.to_string(),
            requirement: mutant.requirement.clone(),
            caught: !named.is_empty(),
            by: ids(named),
            hand_written: mutant.hand_written(),
            explained: self.explanations.of(mutant).map(str::to_owned),
            unnamed: ids(unnamed),
            naming: ready.iter().filter(|r| names(r.case)).count(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic elsewhere leaves whole verdicts here.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Verdicts {
    /// Those that are neither caught nor explained.
    pub fn survivors(&self) -> impl Iterator<Item = &Verdict> {
        self.mutants.iter().filter(|v| v.survives())
    }

    /// Requirements whose own mutants were all caught: the one without the rule, or each that gets
    /// the value wrong.
    pub fn tested(&self) -> impl Iterator<Item = &str> {
        let mut tested = BTreeMap::new();
        for verdict in &self.mutants {
            if Mutant::parse(&verdict.id).is_some_and(|mutant| mutant.decides()) {
                *tested.entry(verdict.requirement.as_str()).or_insert(true) &= verdict.caught;
            }
        }
        tested
            .into_iter()
            .filter_map(|(requirement, caught)| caught.then_some(requirement))
    }

    /// The table for a terminal: a line a mutant, those that survive last; then the counts.
    pub fn table(&self) -> String {
        let width = self.mutants.iter().map(|v| v.id.len()).max().unwrap_or(0);
        let mut text = String::new();
        let mut counts = [0usize; 3];
        let rank = |v: &Verdict| match (v.caught, v.explained.is_some()) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        for (group, word) in ["caught", "explained", "survived"].into_iter().enumerate() {
            for verdict in self.mutants.iter().filter(|v| rank(v) == group) {
                counts[group] += 1;
                let id = format!("{:width$}", verdict.id);
                let _ = writeln!(text, "{word:<9}  {id}  {}", note(verdict));
            }
        }
        let total = self.mutants.len();
        let by_hand = self.mutants.iter().filter(|v| v.hand_written).count();
        let [caught, explained, survived] = counts;
        let _ = write!(
            text,
            "{total} mutants ({by_hand} by hand): {caught} caught, {explained} explained, {survived} survived"
        );
        text
    }
}

/// What stands behind a mutant in the table.
fn note(verdict: &Verdict) -> String {
    let some = |ids: &[String]| match ids {
        [] => String::new(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    let naming = match verdict.naming {
        0 => "no check names the requirement".to_owned(),
        1 => "the one check that names it passes".to_owned(),
        n => format!("the {n} checks that name it pass"),
    };
    match (verdict.caught, &verdict.explained) {
        (true, None) => some(&verdict.by),
        (true, Some(_)) => format!(
            "{}; its explanation in {FILE} is out of date",
            some(&verdict.by)
        ),
        (false, Some(reason)) => reason.clone(),
        (false, None) if verdict.unnamed.is_empty() => naming,
        (false, None) => format!(
            "{naming}; without naming it fails {}",
            some(&verdict.unnamed)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_vectors::case::Expect;
    use serde_json::json;

    fn case(id: &str, spec: Option<&str>, covers: &[&str]) -> Case {
        Case {
            id: id.into(),
            file: "v.yaml".into(),
            line: 1,
            description: String::new(),
            spec: spec.map(str::to_owned),
            covers: covers.iter().map(|c| (*c).to_owned()).collect(),
            tags: vec![],
            needs: vec![],
            provenance: None,
            origin: Origin::BuiltIn,
            body: Body::Codec(Codec {
                operation: "x".into(),
                input: json!({}),
                expect: Expect::Result(json!({})),
                implementations: vec![],
                observe: vec![],
            }),
        }
    }

    const RULES: [(&str, bool); 3] = [("a/x/one", false), ("a/x/two", true), ("b/x/one", false)];

    #[test]
    fn every_rule_gives_a_mutant_and_a_boundary_two_more() {
        let all = mutants(RULES);
        let ids: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            ids,
            [
                "without:a/x/one",
                "without:a/x/two",
                "lax:a/x/two",
                "strict:a/x/two",
                "without:b/x/one"
            ]
        );
        for (id, mutant) in ids.iter().zip(&all) {
            assert_eq!(Mutant::parse(id).as_ref(), Some(mutant));
            assert_eq!(mutant.hand_written(), !id.starts_with("without"));
        }
        assert_eq!(all[0].args(), ["--without", "a/x/one"]);
        assert_eq!(all[2].args(), ["--shift", "a/x/two=lax"]);
        assert_eq!(all[3].args(), ["--shift", "a/x/two=strict"]);
        assert_eq!(Mutant::parse("a/x/one"), None);
        let wrong: Vec<Mutant> = of_values([("a/x/value", ["odd", "even"].as_slice())]).collect();
        assert_eq!(wrong[1].to_string(), "mistake:a/x/value=even");
        assert_eq!(
            Mutant::parse("mistake:a/x/value=even").as_ref(),
            Some(&wrong[1])
        );
        assert_eq!(Mutant::parse("mistake:a/x/value"), None);
        assert!(wrong[1].hand_written());
        assert_eq!(wrong[1].args(), ["--mistake", "a/x/value=even"]);
        assert_eq!(Mutant::parse("loose:a/x/one"), None);
    }

    #[test]
    fn only_mutants_of_the_vectors_specifications_count() {
        let of = |cases: &[Case]| {
            let cases: Vec<&Case> = cases.iter().collect();
            of_cases(mutants(RULES), &cases).len()
        };
        assert_eq!(of(&[case("v", Some("a@1"), &["b/x/one"])]), 4);
        assert_eq!(of(&[case("v", None, &["b/x/one"])]), 1);
        assert_eq!(of(&[case("v", Some("c"), &["b/x/one"])]), 0);
        let mut upstream = case("upstream/b", Some("b"), &["b/x/one"]);
        upstream.origin = Origin::Upstream;
        assert_eq!(of(&[case("v", Some("a"), &[]), upstream.clone()]), 4);
        assert_eq!(of(&[upstream]), 1);
    }

    #[test]
    fn a_specification_may_have_a_slash_in_its_name() {
        let rules = [("a/part/x", false), ("a/y", false), ("ab/z", false)];
        let of = |name: &str| {
            let chosen = of_specs(mutants(rules), |spec| spec == name);
            chosen
                .into_iter()
                .map(|m| m.requirement)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("a/part"), ["a/part/x"]);
        assert_eq!(of("a"), ["a/part/x", "a/y"]);
        assert_eq!(of("a/p"), [""; 0]);
        let case = case("v", Some("a/part@1"), &["a/part/x"]);
        assert_eq!(of_cases(mutants(rules), &[&case]).len(), 1);
    }

    #[test]
    fn explanations_are_held_against_the_mutants() {
        let read = |text: &str| Explanations::read(Path::new("m.yaml"), text, &mutants(RULES));
        let one = "- {id: \"lax:a/x/two\", reason: why}\n";
        let explanations = read(one).unwrap();
        assert_eq!(explanations.of(&mutants(RULES)[2]), Some("why"));
        assert_eq!(explanations.of(&mutants(RULES)[0]), None);
        assert_eq!(read("[]").unwrap(), Explanations::default());
        let unknown = read("- {id: \"lax:a/x/tow\", reason: why}\n").unwrap_err();
        assert!(
            unknown.to_string().contains("did you mean `lax:a/x/two`?"),
            "{unknown}"
        );
        let twice = read(&one.repeat(2)).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
        assert!(read("- {id: \"lax:a/x/two\"}\n").is_err());
    }

    fn trial<'a>(cases: &'a [&'a Case], explanations: &'a Explanations) -> Verdicts {
        let launch = Launch::default();
        let limits = Limits::default();
        let stop = Stop::default();
        let trial = Trial {
            launch: &launch,
            limits: &limits,
            cases,
            explanations,
            stop: &stop,
            jobs: 1,
        };
        let ready: Vec<Ready<'_>> = cases
            .iter()
            .filter_map(|case| match &case.body {
                Body::Codec(codec) => Some(Ready {
                    case,
                    codec,
                    checker: Checker::compile(&codec.expect).unwrap(),
                }),
                Body::Scenario(_) => None,
            })
            .collect();
        let all = mutants(RULES);
        // What each of the three cases does on each of the five mutants.
        let outcomes = |place: usize| -> Vec<Outcome> {
            let fails: &[usize] = match place {
                0 => &[0, 2],
                2 => &[2],
                _ => &[],
            };
            (0..ready.len())
                .map(|c| match fails.contains(&c) {
                    true => Outcome::Failed,
                    false => Outcome::Passed,
                })
                .collect()
        };
        let verdict = |(place, m): (usize, &Mutant)| trial.verdict(m, &ready, &outcomes(place));
        Verdicts {
            mutants: all.iter().enumerate().map(verdict).collect(),
        }
    }

    #[test]
    fn a_mutant_is_caught_by_a_check_that_names_its_requirement() {
        let cases = [
            case("v/one", Some("a"), &["a/x/one"]),
            case("v/two", Some("a"), &["a/x/two", "a/x/one"]),
            case("v/other", Some("a"), &["a/x/other"]),
        ];
        let cases: Vec<&Case> = cases.iter().collect();
        let text = "- {id: \"strict:a/x/two\", reason: no value lies there}\n";
        let explanations = Explanations::read(Path::new("m.yaml"), text, &mutants(RULES)).unwrap();
        let verdicts = trial(&cases, &explanations);
        assert_eq!(verdicts.mutants[0].by, ["v/one"]);
        assert_eq!(verdicts.mutants[0].unnamed, ["v/other"]);
        assert!(!verdicts.mutants[2].caught && verdicts.mutants[2].survives());
        let survivors: Vec<&str> = verdicts.survivors().map(|v| v.id.as_str()).collect();
        assert_eq!(
            survivors,
            ["without:a/x/two", "lax:a/x/two", "without:b/x/one"]
        );
        assert_eq!(verdicts.tested().collect::<Vec<_>>(), ["a/x/one"]);
        insta::assert_snapshot!(verdicts.table(), @r"
        caught     without:a/x/one  v/one
        explained  strict:a/x/two   no value lies there
        survived   without:a/x/two  the one check that names it passes
        survived   lax:a/x/two      the one check that names it passes; without naming it fails v/other
        survived   without:b/x/one  no check names the requirement
        5 mutants (2 by hand): 1 caught, 1 explained, 3 survived
        ");
        let json = serde_json::to_value(&verdicts).unwrap();
        assert_eq!(json["mutants"][0]["caught"], true);
        assert_eq!(json["mutants"][0]["by"], json!(["v/one"]));
        assert_eq!(serde_json::from_value::<Verdicts>(json).unwrap(), verdicts);
    }
}
