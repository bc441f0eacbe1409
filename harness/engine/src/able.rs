//! What an implementation says it lacks, before anything is started for it.

use crate::plan::{Participant, Unit, Who};
use crate::record::Outcome;
use lnconform_vectors::case::{Body, Case, Scenario};
use std::collections::BTreeMap;

/// Why a unit need not be tried: `unsupported` where an implementation's `hello` does not list an
/// operation that a step asks of it, `not-applicable` where it does not speak a dialect that the
/// case needs. `None` where it can be tried, and for an implementation whose `hello` is not known.
pub fn lacks(case: &Case, unit: &Unit, people: &[Participant]) -> Option<(Outcome, String)> {
    match (&case.body, &unit.who) {
        (Body::Codec(codec), Who::Implementation(p)) => {
            let person = &people[*p];
            // Where it lacks the operation itself, it says so when asked.
            person.operations.contains(&codec.operation).then_some(())?;
            let needs = case.needs.iter().map(String::as_str);
            first(needs.filter_map(|need| lacking(person, None, need)))
        }
        (Body::Scenario(scenario), Who::Roles(roles)) => {
            first(of_scenario(case, scenario, roles, people))
        }
        _ => None,
    }
}

/// An operation goes before a dialect: without it, the dialect has no meaning.
fn first(found: impl Iterator<Item = (Outcome, String)>) -> Option<(Outcome, String)> {
    found.min_by_key(|(outcome, _)| *outcome != Outcome::Unsupported)
}

/// Whether somebody has all that a role of a scenario asks for, as far as is known of them.
pub fn can_take(case: &Case, scenario: &Scenario, role: &str, person: &Participant) -> bool {
    let alone = BTreeMap::from([(role.to_owned(), 0)]);
    let people = std::slice::from_ref(person);
    of_scenario(case, scenario, &alone, people).next().is_none()
}

fn of_scenario(
    case: &Case,
    scenario: &Scenario,
    roles: &BTreeMap<String, usize>,
    people: &[Participant],
) -> impl Iterator<Item = (Outcome, String)> {
    let steps = scenario.steps.iter().filter_map(|step| {
        let person = &people[*roles.get(&step.on)?];
        lacking(person, Some(&step.on), &step.operation)
    });
    // A condition of the topology is asked of every node; a codec's role has none.
    let complete = scenario
        .topology
        .ready
        .iter()
        .any(|r| r == "graph-complete");
    let graph = complete.then(|| {
        let node = |(role, _): &(&String, &usize)| scenario.topology.nodes.contains_key(*role);
        let each = roles.iter().filter(node);
        each.filter_map(|(role, p)| lacking(&people[*p], Some(role), "graph.channels"))
    });
    let needs = case.needs.iter().flat_map(move |need| {
        let (of, need) = match need.split_once(':') {
            Some((role, need)) => (Some(role.trim()), need.trim()),
            None => (None, need.as_str()),
        };
        roles
            .iter()
            .filter(move |(role, _)| of.is_none_or(|of| of == role.as_str()))
            .filter_map(move |(role, p)| lacking(&people[*p], Some(role), need))
    });
    steps.chain(graph.into_iter().flatten()).chain(needs)
}

/// That somebody lacks an operation or a dialect. A dialect has a slash in its name, an operation
/// has none.
fn lacking(person: &Participant, role: Option<&str>, need: &str) -> Option<(Outcome, String)> {
    let known = !person.operations.is_empty();
    if !known || person.operations.contains(need) || person.dialects.contains(need) {
        return None;
    }
    let role = role.map(|role| format!(" ({role})")).unwrap_or_default();
    let name = &person.name;
    Some(if need.contains('/') {
        let why = format!("{name}{role} does not speak the dialect {need}");
        (Outcome::NotApplicable, why)
    } else {
        let why = format!("{name}{role} does not list the operation {need}");
        (Outcome::Unsupported, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{case, participant};
    use lnconform_vectors::case::{Codec, Expect, RoleChoice, Step, Topology, TopologyNode};
    use serde_json::json;

    fn person(name: &str, operations: &[&str], dialects: &[&str]) -> Participant {
        let names = |of: &[&str]| of.iter().map(|n| (*n).to_owned()).collect();
        Participant {
            operations: names(operations),
            dialects: names(dialects),
            ..participant(name, false)
        }
    }

    fn unit(who: Who) -> Unit {
        Unit {
            case: 0,
            who,
            attempt: 1,
            seed: 0,
        }
    }

    fn scenario(steps: &[(&str, &str)], needs: &[&str]) -> Case {
        let steps = steps.iter().map(|(on, operation)| Step {
            name: "x".into(),
            on: (*on).to_owned(),
            operation: (*operation).to_owned(),
            with: json!({}),
            bind: None,
            deadline: None,
            until: false,
            expect: None,
            observe: vec![],
            covers: vec![],
            line: 1,
        });
        let nodes = ["payee", "payer"].map(|n| (n.to_owned(), TopologyNode::default()));
        let mut case = case(
            "s",
            Body::Scenario(Scenario {
                topology: Topology {
                    server: None,
                    name: "pair".into(),
                    nodes: nodes.into(),
                    channels: vec![],
                    connect: vec![],
                    ready: vec![],
                },
                roles: [("payee".to_owned(), RoleChoice::Any)].into(),
                steps: steps.collect(),
                own_cluster: false,
            }),
        );
        case.needs = needs.iter().map(|n| (*n).to_owned()).collect();
        case
    }

    #[test]
    fn a_complete_graph_is_asked_of_every_node_before_one_is_started() {
        let graph = ["event.next", "graph.channels"];
        let people = [person("a", &graph, &[]), person("b", &["event.next"], &[])];
        let mut case = scenario(&[("payee", "event.next")], &[]);
        let lacks = |case: &Case, payer: usize| {
            let roles = [("payee".to_owned(), 0), ("payer".to_owned(), payer)];
            super::lacks(case, &unit(Who::Roles(roles.into())), &people)
        };
        assert_eq!(lacks(&case, 1), None);
        let Body::Scenario(scenario) = &mut case.body else {
            panic!()
        };
        scenario.topology.ready = vec!["channels-usable".into(), "graph-complete".into()];
        assert_eq!(lacks(&case, 0), None);
        let (outcome, why) = lacks(&case, 1).unwrap();
        assert_eq!(outcome, Outcome::Unsupported);
        assert_eq!(why, "b (payer) does not list the operation graph.channels");
    }

    #[test]
    fn what_a_role_lacks_is_named_with_the_implementation() {
        let people = [
            person("a", &["keysend.send", "event.next"], &["amp/lnd"]),
            person("b", &["event.next"], &[]),
            // One that died at `hello`: its failure is to be seen.
            person("c", &[], &[]),
        ];
        let lacks = |steps: &[(&str, &str)], needs: &[&str], payer: usize, payee: usize| {
            let roles = [("payee".to_owned(), payee), ("payer".to_owned(), payer)];
            super::lacks(
                &scenario(steps, needs),
                &unit(Who::Roles(roles.into())),
                &people,
            )
        };
        let steps = [("payer", "keysend.send"), ("payee", "event.next")];
        assert_eq!(lacks(&steps, &[], 0, 1), None);
        assert_eq!(
            lacks(&steps, &[], 1, 0),
            Some((
                Outcome::Unsupported,
                "b (payer) does not list the operation keysend.send".to_owned()
            ))
        );
        assert_eq!(lacks(&steps, &["payer: amp/lnd"], 0, 1), None);
        assert_eq!(
            lacks(&steps, &["amp/lnd"], 0, 1),
            Some((
                Outcome::NotApplicable,
                "b (payee) does not speak the dialect amp/lnd".to_owned()
            ))
        );
        // What is no dialect is an operation; it goes first.
        let (outcome, why) = lacks(&steps, &["amp/lnd", "payee: amp.send"], 0, 1).unwrap();
        assert_eq!(outcome, Outcome::Unsupported);
        assert_eq!(why, "b (payee) does not list the operation amp.send");
        // The harness's own steps are nobody's.
        assert_eq!(
            lacks(&[("chain", "chain.mine"), ("codec", "x")], &[], 1, 1),
            None
        );
        assert_eq!(lacks(&steps, &["amp/lnd"], 2, 2), None);
    }

    #[test]
    fn a_codec_that_lacks_the_operation_is_asked() {
        let people = [
            person("a", &["amp.child"], &["amp/lnd"]),
            person("b", &["amp.child"], &[]),
            person("c", &["other"], &[]),
        ];
        let body = Body::Codec(Codec {
            operation: "amp.child".into(),
            input: json!({}),
            expect: Expect::Observe,
            implementations: vec![],
            observe: vec![],
        });
        let mut case = case("a/b", body);
        case.needs = vec!["amp/lnd".into()];
        let of = |p| super::lacks(&case, &unit(Who::Implementation(p)), &people);
        assert_eq!(of(0), None);
        assert_eq!(
            of(1),
            Some((
                Outcome::NotApplicable,
                "b does not speak the dialect amp/lnd".to_owned()
            ))
        );
        assert_eq!(of(2), None);
    }
}
