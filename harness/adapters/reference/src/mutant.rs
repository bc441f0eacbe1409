//! Mutants by request: one process that is each of them in turn, for those who ask thousands.
//!
//! - `mutant.call` `{op, params, mutants: [ids]}` answers `op` as the reference does that is all of
//!   these mutants at once.
//! - `mutant.trace` `{op, params}` answers `{mutants: [ids]}`: those whose defect alone changes what
//!   some rule decides on the way. Every other mutant answers that request like the right
//!   reference.
//!
//! A mutant's id is `without:RULE`, `lax:RULE`, `strict:RULE` or `mistake:VALUE=NAME`. Only a process that was started
//! with `--mutants` has these operations.

use lnconform_drafts::Rules;
use lnconform_drafts::rules::{Shift, Switch, SwitchError};
use lnconform_protocol::params::{Params, ResultObject};
use lnconform_protocol::{Answer, OpError};
use serde_json::{Value, json};

/// An operation; unlike others it may answer what another one does.
type Operation = fn(&Rules, &Value) -> Answer;

/// The operations by name.
pub(crate) const NAMES: &[(&str, Operation)] = &[("mutant.call", call), ("mutant.trace", trace)];

pub(crate) fn find(op: &str) -> Option<Operation> {
    NAMES.iter().find(|(name, _)| *name == op).map(|n| n.1)
}

fn call(rules: &Rules, params: &Value) -> Answer {
    let p = Params::new(params);
    let read = || -> Result<Answer, OpError> {
        let mut rules = rules.clone();
        for mutant in p.list("mutants")? {
            let one = json!({ "mutants": mutant });
            rules = switched(rules, Params::new(&one).str("mutants")?)?;
        }
        Ok(crate::answer(&rules, p.str("op")?, p.need("params")?))
    };
    read().unwrap_or_else(Answer::Error)
}

fn switched(rules: Rules, mutant: &str) -> Result<Rules, OpError> {
    let done = match mutant.split_once(':') {
        Some(("without", rule)) => rules.without(rule),
        Some(("lax", rule)) => rules.shift(rule, Shift::Lax),
        Some(("strict", rule)) => rules.shift(rule, Shift::Strict),
        Some(("mistake", mistake)) => match mistake.split_once('=') {
            Some((value, name)) => rules.mistake(value, name),
            None => Err(SwitchError::UnknownMistake(mistake.to_owned())),
        },
        _ => Err(SwitchError::Unknown(mutant.to_owned())),
    };
    done.map_err(|e| OpError::invalid(format!("param mutants holds {mutant}: {e}")))
}

fn trace(rules: &Rules, params: &Value) -> Answer {
    let p = Params::new(params);
    let traced = || -> Result<Answer, OpError> {
        let (op, params) = (p.str("op")?, p.need("params")?);
        let (rules, trace) = rules.clone().traced();
        if let Answer::Unsupported(unsupported) = crate::answer(&rules, op, params) {
            return Ok(Answer::Unsupported(unsupported));
        }
        let ids: Vec<String> = trace
            .switches()
            .into_iter()
            .map(|(rule, switch)| match switch {
                Switch::Without => format!("without:{rule}"),
                Switch::Shifted(Shift::Lax) => format!("lax:{rule}"),
                Switch::Shifted(Shift::Strict) => format!("strict:{rule}"),
                Switch::Mistake(name) => format!("mistake:{rule}={name}"),
            })
            .collect();
        Ok(Answer::Result(
            ResultObject::new().with("mutants", ids).done(),
        ))
    };
    traced().unwrap_or_else(Answer::Error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reference;
    use lnconform_protocol::Handler;

    fn mutants() -> Reference {
        Reference::from_args(&["--mutants".to_owned()]).unwrap()
    }

    /// A number that is one byte longer than it needs to be.
    fn request(more: Value) -> Value {
        let mut request = json!({"op": "bigsize.decode", "params": {"bytes": "fd00fc"}});
        let fields = more.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(fields);
        request
    }

    fn rule(answer: &Answer) -> Option<&str> {
        match answer {
            Answer::Error(error) => error.rule.as_deref(),
            _ => None,
        }
    }

    #[test]
    fn one_process_is_each_mutant_in_turn() {
        let right = mutants().answer("mutant.call", &request(json!({"mutants": []})));
        assert_eq!(rule(&right), Some("bolt01/bigsize/minimal"));
        let without = json!({"mutants": ["without:bolt01/bigsize/minimal"]});
        let off = mutants().answer("mutant.call", &request(without));
        let Answer::Result(result) = off else {
            panic!("{off:?}");
        };
        assert_eq!(result["value"], "252");
        let again = mutants().answer("mutant.call", &request(json!({"mutants": []})));
        assert_eq!(again, right);
        for wrong in ["without:bolt01/bigsize/minimum", "bolt01/bigsize/minimal"] {
            let answer = mutants().answer("mutant.call", &request(json!({"mutants": [wrong]})));
            assert!(matches!(&answer, Answer::Error(e) if e.rule.is_none()));
        }
    }

    #[test]
    fn a_trace_names_the_mutants_that_differ() {
        let answer = mutants().answer("mutant.trace", &request(json!({})));
        let want = json!({"mutants": ["without:bolt01/bigsize/minimal"]});
        assert_eq!(answer, Answer::Result(want));
    }

    #[test]
    fn whoever_is_in_no_trace_answers_as_the_right_one_does() {
        let stream = |bytes: &str| ("tlv.decode", json!({"stream": bytes, "known": ["2", "4"]}));
        let offer = |offer: &str| ("bolt12.offer.decode", json!({ "offer": offer }));
        let asks = [
            stream("0200"),
            stream("02000400"),
            stream("04000200"),
            stream("02fd0001"),
            stream("020201"),
            stream("06"),
            offer("lno1"),
            offer("lno1pqqs5"),
            offer("lnx1pg9"),
            ("bigsize.decode", json!({"bytes": "fd00"})),
        ];
        let mut differing = 0;
        for (op, params) in asks {
            let right = Reference::default().answer(op, &params);
            let asked = json!({"op": op, "params": params});
            let Answer::Result(trace) = mutants().answer("mutant.trace", &asked) else {
                panic!("{op} has no trace");
            };
            let traced = |id: &str| trace["mutants"].as_array().unwrap().iter().any(|m| m == id);
            for rule in crate::RULES {
                let kinds = match rule.bounded {
                    true => ["without", "lax", "strict"].as_slice(),
                    false => &["without"],
                };
                for id in kinds.iter().map(|kind| format!("{kind}:{}", rule.id)) {
                    let asked = json!({"op": op, "params": params, "mutants": [id]});
                    let differs = mutants().answer("mutant.call", &asked) != right;
                    assert!(traced(&id) || !differs, "{id} differs in {op} {params}");
                    differing += usize::from(differs);
                }
            }
        }
        assert!(differing >= 8, "{differing}");
    }

    #[test]
    fn nobody_else_has_these_operations() {
        let plain = Reference::default();
        for (name, _) in NAMES {
            assert!(!plain.hello().operations.iter().any(|o| o == name));
            assert!(mutants().hello().operations.iter().any(|o| o == name));
            let answer = plain.answer(name, &request(json!({"mutants": []})));
            assert!(matches!(answer, Answer::Unsupported(_)));
            // Nor can one be asked for inside another.
            let inner = json!({"op": name, "params": request(json!({})), "mutants": []});
            let answer = mutants().answer("mutant.call", &inner);
            assert!(matches!(answer, Answer::Unsupported(_)));
        }
    }
}
