//! Right for the wrong reason: what negative cases really test.
//!
//! A negative case isolates rule R if the reference refuses it and, with R alone switched off,
//! accepts it. A case that isolates nothing is refused by an implementation that lacks the rule as
//! well, so that it cannot tell the two apart.

use crate::mutants::{Chameleon, MutantsError, TraceError};
use crate::wait::Stop;
use lnconform_adapters::{Launch, Limits};
use lnconform_protocol::Answer;
use lnconform_vectors::case::{Body, Case, Codec, Expect, Origin, Provenance};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// How many rules are switched off one after another at the most.
const CHAIN: usize = 32;

/// What one negative case tests; its JSON form is that of `spec audit --format json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// Id of the case.
    pub id: String,
    /// What it is about in its author's words: upstream's own name, verbatim.
    pub named: String,
    /// The requirement that it maps to; of upstream's cases those whose name tells one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The rule by which the reference refuses it; absent where it does not, or names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected_by: Option<String>,
    /// The rules without which, each alone, the reference accepts it.
    pub isolates: Vec<String>,
    /// `rule` is among those, or, without a `rule`, there is one.
    pub reaches: bool,
    /// What refuses it next, with the rules before switched off, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<String>,
    /// Without all of these the reference accepts it.
    pub accepted: bool,
    /// The file of the case.
    pub file: String,
    /// Vectors of this set that are refused by `rule` alone, where the case itself is not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instead: Vec<String>,
    /// Why it could not be judged: the reference lacks the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
}

/// All cases of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// In the order of the files.
    pub cases: Vec<Audited>,
}

/// What cases are judged with.
pub struct Auditor<'a> {
    /// How the right reference is started.
    pub launch: &'a Launch,
    /// Limits for it.
    pub limits: &'a Limits,
    /// Ends the work.
    pub stop: &'a Stop,
}

/// A codec case that nothing but an error answers, and the rule that it is about.
struct Negative<'a> {
    case: &'a Case,
    codec: &'a Codec,
    rule: Option<&'a str>,
}

/// A case as a negative one, if it is one.
fn negative(case: &Case) -> Option<Negative<'_>> {
    let Body::Codec(codec) = &case.body else {
        return None;
    };
    let Expect::Error(error) = &codec.expect else {
        return None;
    };
    let rule = match (&error.rule, case.origin, case.covers.as_slice()) {
        (Some(rule), ..) => Some(rule.as_str()),
        // Upstream's words may fit two, and then tell neither.
        (None, Origin::Upstream, [only]) => Some(only.as_str()),
        _ => None,
    };
    Some(Negative { case, codec, rule })
}

impl Negative<'_> {
    fn named(&self) -> &str {
        match &self.case.provenance {
            Some(Provenance::Upstream { case, .. }) => case,
            _ => &self.case.description,
        }
    }
}

/// Whether a case is negative: nothing but an error answers it.
pub fn is_negative(case: &Case) -> bool {
    negative(case).is_some()
}

/// Who answers requests as any mutants: the reference, or a stand-in of a test.
trait Mutable {
    fn trace(&mut self, asks: &[(&str, &Value)]) -> Vec<Result<Vec<String>, TraceError>>;
    fn ask(&mut self, asks: &[(&str, &Value, &[String])]) -> Result<Vec<Answer>, MutantsError>;
}

struct Process<'a> {
    chameleon: Chameleon,
    stop: &'a Stop,
}

impl Mutable for Process<'_> {
    fn trace(&mut self, asks: &[(&str, &Value)]) -> Vec<Result<Vec<String>, TraceError>> {
        self.chameleon.trace(asks)
    }

    fn ask(&mut self, asks: &[(&str, &Value, &[String])]) -> Result<Vec<Answer>, MutantsError> {
        let answers = self.chameleon.ask(asks).into_iter();
        answers
            .map(|(answer, _)| match answer {
                Ok(answer) => Ok(answer),
                Err(_) if self.stop.is_set() => Err(MutantsError::Stopped),
                Err(fault) if fault.could_not_run() => Err(MutantsError::start("--mutants", fault)),
                // A mutant that breaks neither accepts nor refuses.
                Err(fault) => Ok(Answer::Error(lnconform_protocol::OpError::internal(
                    fault.message,
                ))),
            })
            .collect()
    }
}

/// The id of the mutant without a rule.
fn without(rule: &str) -> String {
    format!("without:{rule}")
}

/// The rule that refuses.
fn refusing(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Error(error) => error.rule.as_deref(),
        Answer::Result(_) | Answer::Unsupported(_) => None,
    }
}

impl Auditor<'_> {
    /// Judges the negative ones among `cases`; others are passed over. Among `ours`, vectors are
    /// looked for that test what a case only names.
    ///
    /// # Errors
    /// [`MutantsError`].
    pub fn judge(&self, cases: &[&Case], ours: &[&Case]) -> Result<Audit, MutantsError> {
        let mut process = Process {
            chameleon: Chameleon::new(self.launch, self.limits),
            stop: self.stop,
        };
        let audit = judge(&mut process, cases, ours);
        match self.stop.is_set() {
            true => Err(MutantsError::Stopped),
            false => audit,
        }
    }
}

fn judge(who: &mut impl Mutable, cases: &[&Case], ours: &[&Case]) -> Result<Audit, MutantsError> {
    let negatives: Vec<Negative<'_>> = cases.iter().filter_map(|case| negative(case)).collect();
    let mut cases = isolated(who, &negatives)?;
    chains(who, &negatives, &mut cases)?;

    let missed: BTreeSet<(&str, &str)> = negatives
        .iter()
        .zip(&cases)
        .filter(|(_, audited)| audited.misses())
        .filter_map(|(n, _)| Some((n.codec.operation.as_str(), n.rule?)))
        .collect();
    let candidates: Vec<Negative<'_>> = ours
        .iter()
        .filter_map(|case| negative(case))
        .filter(|n| n.case.origin != Origin::Upstream)
        .filter(|n| {
            n.rule
                .is_some_and(|rule| missed.contains(&(n.codec.operation.as_str(), rule)))
        })
        .collect();
    let repaired = isolated(who, &candidates)?;
    for (n, audited) in negatives.iter().zip(&mut cases) {
        if audited.misses() {
            audited.instead = candidates
                .iter()
                .zip(&repaired)
                .filter(|(c, r)| {
                    r.reaches && c.rule == n.rule && c.codec.operation == n.codec.operation
                })
                .map(|(c, _)| c.case.id.clone())
                .collect();
            // One rule may be about many fields: the vector about the same one goes first.
            let words: BTreeSet<String> = words(&audited.named).collect();
            let common = |id: &String| self::words(id).filter(|w| words.contains(w)).count();
            audited
                .instead
                .sort_by_key(|id| std::cmp::Reverse(common(id)));
        }
    }
    Ok(Audit { cases })
}

/// The words of a name, in lower case.
fn words(name: &str) -> impl Iterator<Item = String> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
}

/// What each case isolates, and what refuses it.
fn isolated(
    who: &mut impl Mutable,
    negatives: &[Negative<'_>],
) -> Result<Vec<Audited>, MutantsError> {
    let asks: Vec<_> = negatives
        .iter()
        .map(|n| (n.codec.operation.as_str(), &n.codec.input))
        .collect();
    let mut audited = Vec::new();
    // Whoever is in no trace decides nothing otherwise, and so refuses as the right one does.
    let mut tried: Vec<(usize, String)> = Vec::new();
    for (place, (n, trace)) in negatives.iter().zip(who.trace(&asks)).enumerate() {
        let unsupported = match trace {
            Ok(mutants) => {
                let rules = mutants.iter().filter_map(|id| id.strip_prefix("without:"));
                tried.extend(rules.map(|rule| (place, rule.to_owned())));
                None
            }
            Err(TraceError::Unsupported(reason)) => Some(reason),
            Err(TraceError::Fault(fault)) if fault.could_not_run() => {
                return Err(MutantsError::start("--mutants", *fault));
            }
            Err(e) => return Err(MutantsError::Trace(n.case.id.clone(), e.to_string())),
        };
        audited.push(Audited {
            id: n.case.id.clone(),
            named: n.named().to_owned(),
            rule: n.rule.map(str::to_owned),
            file: n.case.file.display().to_string(),
            unsupported,
            ..Audited::default()
        });
    }
    let right: Vec<_> = asks
        .iter()
        .map(|(op, input)| (*op, *input, &[][..]))
        .collect();
    for (one, answer) in audited.iter_mut().zip(who.ask(&right)?) {
        one.rejected_by = refusing(&answer).map(str::to_owned);
        // What is accepted as it is isolates nothing.
        one.accepted = matches!(answer, Answer::Result(_));
    }
    tried.retain(|(place, _)| !audited[*place].accepted);
    let mutants: Vec<[String; 1]> = tried.iter().map(|(_, rule)| [without(rule)]).collect();
    let mutated: Vec<_> = tried
        .iter()
        .zip(&mutants)
        .map(|((place, _), mutants)| (asks[*place].0, asks[*place].1, mutants.as_slice()))
        .collect();
    for ((place, rule), answer) in tried.iter().zip(who.ask(&mutated)?) {
        if matches!(answer, Answer::Result(_)) {
            audited[*place].isolates.push(rule.clone());
        }
    }
    for one in &mut audited {
        one.reaches = match &one.rule {
            Some(rule) => one.isolates.contains(rule),
            None => !one.isolates.is_empty(),
        };
    }
    Ok(audited)
}

/// What refuses each case next, with the rules that refuse switched off one after the other.
fn chains(
    who: &mut impl Mutable,
    negatives: &[Negative<'_>],
    audited: &mut [Audited],
) -> Result<(), MutantsError> {
    // The cases that were refused by a rule last, each with the mutants it is asked of next.
    let mut open: Vec<(usize, Vec<String>)> = audited
        .iter()
        .enumerate()
        .filter_map(|(place, one)| Some((place, vec![without(one.rejected_by.as_deref()?)])))
        .collect();
    while !open.is_empty() {
        let asks: Vec<_> = open
            .iter()
            .map(|(place, off)| {
                let codec = negatives[*place].codec;
                (codec.operation.as_str(), &codec.input, off.as_slice())
            })
            .collect();
        let answers = who.ask(&asks)?;
        let mut next = Vec::new();
        for ((place, mut off), answer) in open.into_iter().zip(answers) {
            let one = &mut audited[place];
            one.accepted = matches!(answer, Answer::Result(_));
            // A rule that is off does not refuse; should one do so all the same, this ends too.
            if let Some(rule) = refusing(&answer)
                && off.len() < CHAIN
                && !off.contains(&without(rule))
            {
                one.then.push(rule.to_owned());
                off.push(without(rule));
                next.push((place, off));
            }
        }
        open = next;
    }
    Ok(())
}

/// How a case misses its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Miss {
    /// Another rule refuses it, before its own is asked.
    Other,
    /// Its own refuses it, and without that another one does.
    AsWell,
    /// Nothing refuses it.
    Accepted,
}

impl Audited {
    /// It was judged, and does not test what it names.
    pub fn misses(&self) -> bool {
        !self.reaches && self.unsupported.is_none()
    }

    fn how(&self) -> Miss {
        match (&self.rejected_by, &self.rule) {
            (None, _) if self.accepted => Miss::Accepted,
            (by, rule) if rule.is_some() && by != rule => Miss::Other,
            _ => Miss::AsWell,
        }
    }
}

impl Audit {
    /// Those that do not test what they name.
    pub fn missing(&self) -> impl Iterator<Item = &Audited> {
        self.cases.iter().filter(|c| c.misses())
    }

    /// The screen: some lines for each case that does not reach its rule, then the counts and what
    /// to do.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for case in self.missing() {
            let _ = writeln!(text, "{}", case.id);
            let _ = writeln!(text, "  named       {}", case.named);
            let rule = case.rule.as_deref();
            let _ = writeln!(
                text,
                "  maps to     {}",
                rule.unwrap_or("no requirement: its name tells none")
            );
            let _ = writeln!(text, "  refused by  {}", case.refusal());
            if let Some(instead) = some(&case.instead) {
                let _ = writeln!(text, "  instead     {instead}");
            } else if rule.is_some() {
                let _ = writeln!(text, "  instead     no vector here isolates that rule");
            }
            text.push('\n');
        }
        let count = |of: &dyn Fn(&&Audited) -> bool| self.cases.iter().filter(of).count();
        let missing = |how: Miss| self.missing().filter(|c| c.how() == how).count();
        let counts = [
            (
                count(&|c| c.reaches && c.rule.is_some()),
                "reaching the named rule",
            ),
            (
                count(&|c| c.reaches && c.rule.is_none()),
                "isolating a rule where none is named",
            ),
            (missing(Miss::Other), "refused by another rule first"),
            (missing(Miss::AsWell), "refused by other rules as well"),
            (missing(Miss::Accepted), "accepted by the reference"),
            (
                count(&|c| c.unsupported.is_some()),
                "not judged: the reference lacks the operation",
            ),
        ];
        let counts = counts.iter().filter(|(n, _)| *n > 0);
        let counts: Vec<String> = counts.map(|(n, what)| format!("{n} {what}")).collect();
        let _ = write!(text, "{} negative cases", self.cases.len());
        if !counts.is_empty() {
            let _ = write!(text, ": {}", counts.join(", "));
        }
        if self.missing().next().is_some() {
            text.push_str(
                "\nAn implementation without the named rule passes those above all the same. Use the vectors \
                 behind\n`instead`, or repair the case so that its rule alone refuses it.",
            );
        }
        text
    }
}

impl Audited {
    /// Which rules refuse, in their order.
    fn refusal(&self) -> String {
        let Some(first) = &self.rejected_by else {
            return match self.accepted {
                true => "nothing: the reference accepts it".to_owned(),
                false => "no rule that has a name".to_owned(),
            };
        };
        let mut text = first.clone();
        for rule in &self.then {
            let _ = write!(text, ", then {rule}");
        }
        if !self.accepted {
            text.push_str(", and then still refused");
        }
        text
    }
}

/// The first ids and how many more there are.
fn some(ids: &[String]) -> Option<String> {
    match ids {
        [] => None,
        [a, b, rest @ ..] if !rest.is_empty() => Some(format!("{a}, {b} and {} more", rest.len())),
        few => Some(few.join(", ")),
    }
}

#[cfg(test)]
mod tests;
