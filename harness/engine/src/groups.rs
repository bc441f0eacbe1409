//! Which scenarios have a cluster in common, and which go first.

use crate::plan::{Plan, Unit, Who};
use lnconform_vectors::case::{Body, Case, Expect, Scenario, Step};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

/// Parts the units at `places` into groups that may run in one cluster: those with the same nodes,
/// options and channels, and the same implementation in each role. Repeats have clusters of their
/// own, and with `fresh` so has every unit.
///
/// The longest group goes first, so that several workers end together; in a shuffled plan, the
/// group of the first unit does. Earlier repeats go before later ones either way.
pub fn groups(plan: &Plan, places: &[usize], cases: &[Case], fresh: bool) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<(u32, String), usize> = HashMap::new();
    for place in places {
        let unit = &plan.units[*place];
        let key = match scenario(unit, cases) {
            Some(s) if !fresh && !s.own_cluster => key(unit, s),
            _ => None,
        };
        match key {
            None => groups.push(vec![*place]),
            Some(key) => match known.get(&(unit.attempt, key.clone())) {
                Some(group) => groups[*group].push(*place),
                None => {
                    known.insert((unit.attempt, key), groups.len());
                    groups.push(vec![*place]);
                }
            },
        }
    }
    if !plan.shuffled {
        groups.sort_by_key(|group| {
            let attempt = group.first().map_or(0, |p| plan.units[*p].attempt);
            (attempt, Reverse(cost(plan, group, cases)))
        });
    }
    groups
}

fn scenario<'a>(unit: &Unit, cases: &'a [Case]) -> Option<&'a Scenario> {
    match &cases[unit.case].body {
        Body::Scenario(scenario) => Some(scenario),
        Body::Codec(_) => None,
    }
}

/// What a cluster is made of, as text; the name of the topology's file is no part of it.
fn key(unit: &Unit, scenario: &Scenario) -> Option<String> {
    let Who::Roles(roles) = &unit.who else {
        return None;
    };
    // Whose codec reads what the nodes did makes no other cluster.
    let nodes: Vec<_> = roles
        .iter()
        .filter(|(role, _)| scenario.topology.nodes.contains_key(*role))
        .collect();
    serde_json::to_string(&(&scenario.topology, nodes)).ok()
}

/// About how long a group takes. Only the order of the figures counts.
fn cost(plan: &Plan, group: &[usize], cases: &[Case]) -> Duration {
    let scenarios = || {
        let of_place = |place: &usize| {
            let unit = &plan.units[*place];
            scenario(unit, cases).map(|s| (&cases[unit.case], s))
        };
        group.iter().filter_map(of_place)
    };
    let start = scenarios().next().map_or(Duration::ZERO, |(_, s)| {
        let nodes = u32::try_from(s.topology.nodes.len()).unwrap_or(u32::MAX);
        let channels = u32::try_from(s.topology.channels.len()).unwrap_or(u32::MAX);
        Duration::from_millis(1000).saturating_mul(nodes)
            + Duration::from_millis(200).saturating_mul(channels)
    });
    let steps = scenarios().map(|(case, s)| {
        let count = u32::try_from(s.steps.len()).unwrap_or(u32::MAX);
        // A slow one takes about as long as its longest step may.
        let longest = s.steps.iter().filter_map(|s| s.deadline).max();
        let slow = case.tags.iter().any(|tag| tag == "slow");
        // What is not to happen is waited for to the end.
        let in_vain: Duration = s
            .steps
            .iter()
            .filter(|s| waits(s))
            .filter_map(|s| s.deadline)
            .sum();
        Duration::from_millis(50).saturating_mul(count)
            + in_vain
            + longest.filter(|_| slow).unwrap_or(Duration::ZERO)
    });
    start + steps.sum::<Duration>()
}

/// Whether a step is to run into its deadline.
fn waits(step: &Step) -> bool {
    matches!(&step.expect, Some(Expect::Error(e)) if e.kind.as_deref() == Some("timeout"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{case, pair};
    use lnconform_vectors::case::{Codec, ErrorPattern, RoleChoice, TopologyNode};
    use serde_json::json;

    fn unit(case: usize, payer: usize, attempt: u32) -> Unit {
        let roles = [("payee".to_owned(), 0), ("payer".to_owned(), payer)];
        Unit {
            case,
            who: Who::Roles(roles.into()),
            attempt,
            seed: 0,
        }
    }

    fn plan(units: Vec<Unit>, shuffled: bool) -> Plan {
        Plan {
            units,
            shuffled,
            ..Plan::default()
        }
    }

    fn with(case: &Case, change: impl Fn(&mut Scenario)) -> Case {
        let mut case = case.clone();
        if let Body::Scenario(s) = &mut case.body {
            change(s);
        }
        case
    }

    #[test]
    fn a_cluster_is_shared_by_those_who_would_get_the_same() {
        let first = pair("k/a", RoleChoice::Any);
        let cases = [
            first.clone(),
            // Other words for the same cluster.
            with(&first, |s| s.topology.name = "other".into()),
            with(&first, |s| {
                let payee = s.topology.nodes.get_mut("payee").unwrap();
                payee.options.insert("amp".into(), json!(false));
            }),
            with(&first, |s| s.own_cluster = true),
            with(&first, |s| {
                s.topology.nodes.insert("x".into(), TopologyNode::default());
            }),
        ];
        let units: Vec<Unit> = (0..5)
            .map(|c| unit(c, 0, 1))
            .chain([unit(0, 1, 1), unit(1, 1, 1), unit(0, 0, 2), unit(1, 0, 2)])
            .collect();
        let places: Vec<usize> = (0..units.len()).collect();
        let shuffled = plan(units.clone(), true);
        let shared = groups(&shuffled, &places, &cases, false);
        let expected: [&[usize]; 6] = [&[0, 1], &[2], &[3], &[4], &[5, 6], &[7, 8]];
        assert_eq!(shared, expected);
        let fresh = groups(&shuffled, &places, &cases, true);
        assert_eq!(fresh, places.iter().map(|p| vec![*p]).collect::<Vec<_>>());
        // Only what can run is parted.
        assert_eq!(groups(&shuffled, &[1, 7], &cases, false), [[1], [7]]);

        // The longest first, but no later repeat before an earlier one.
        let ordered = groups(&plan(units, false), &places, &cases, false);
        assert_eq!(ordered[0], [4]);
        assert_eq!(ordered.last().unwrap(), &[7, 8]);
        let mut sorted = ordered.clone();
        sorted.sort();
        assert_eq!(sorted, expected);
    }

    #[test]
    fn whose_codec_reads_along_makes_no_other_cluster() {
        let read = with(&pair("k/read", RoleChoice::Any), |s| {
            s.roles.insert("verifier".into(), RoleChoice::Codec);
        });
        let cases = [pair("k/a", RoleChoice::Any), read];
        let by = |verifier: usize, payer: usize| {
            let mut unit = unit(1, payer, 1);
            if let Who::Roles(roles) = &mut unit.who {
                roles.insert("verifier".into(), verifier);
            }
            unit
        };
        let units = vec![unit(0, 0, 1), by(3, 0), by(4, 0), by(3, 1)];
        let plan = plan(units, true);
        assert_eq!(
            groups(&plan, &[0, 1, 2, 3], &cases, false),
            [vec![0, 1, 2], vec![3]]
        );
    }

    #[test]
    fn the_longest_group_goes_first() {
        let step = Step {
            name: "x".into(),
            on: "payer".into(),
            operation: "x".into(),
            with: json!({}),
            bind: None,
            deadline: Some(Duration::from_secs(90)),
            until: false,
            expect: None,
            observe: vec![],
            covers: vec![],
            line: 1,
        };
        let short = pair("k/a", RoleChoice::Any);
        let long = with(&short, |s| s.steps = vec![step.clone(); 3]);
        let mut slow = with(&short, |s| s.steps = vec![step.clone()]);
        slow.tags.push("slow".into());
        let body = Body::Codec(Codec {
            operation: "x".into(),
            input: json!({}),
            expect: Expect::Observe,
            implementations: vec![],
            observe: vec![],
        });
        // A step that is to see nothing for its time takes that time.
        let in_vain = Expect::Error(ErrorPattern {
            kind: Some("timeout".into()),
            ..ErrorPattern::default()
        });
        let patient = with(&short, |s| {
            let nothing = Step {
                deadline: Some(Duration::from_secs(4)),
                expect: Some(in_vain.clone()),
                ..step.clone()
            };
            s.steps = vec![nothing];
        });
        let cases = [short, long, slow, patient, case("c", body)];
        // Payers of their own, so that nobody shares.
        let units = (0..4).map(|c| unit(c, c, 1)).collect();
        let order = groups(&plan(units, false), &[0, 1, 2, 3], &cases, false);
        assert_eq!(order, [[2], [3], [1], [0]]);
    }
}
