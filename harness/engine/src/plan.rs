//! From cases and implementations to units of work: which check runs on whom, and what is left out.

use crate::able;
use crate::filter::Filters;
use crate::record::{Lane, roles_text};
use lnconform_adapters::Launch;
use lnconform_vectors::case::{Body, Case, RoleChoice, Scenario};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// An implementation that takes part in a run, or would if it were installed.
#[derive(Clone, Debug)]
pub struct Participant {
    /// Name of its row: `lnd`, or `lnd@v0.20.3-beta`.
    pub name: String,
    /// How the adapter that answers codec operations is started, if there is one.
    pub codec: Option<Launch>,
    /// How the adapter that drives a node is started, if there is one; often the same.
    pub node: Option<Launch>,
    /// It was asked for by name, so its absence fails the run.
    pub named: bool,
    /// It is part of this project, so its observations have snapshots here.
    pub builtin: bool,
    /// Its own version, from `hello`; empty until asked.
    pub version: String,
    /// Operations, from `hello`.
    pub operations: BTreeSet<String>,
    /// Dialects, from `hello`.
    pub dialects: BTreeSet<String>,
    /// Why it cannot run, with the command that installs it.
    pub unavailable: Option<String>,
    /// Why its nodes cannot be started in a cluster here, though it is installed: its version and
    /// bitcoind's do not go together. Its codec is not concerned.
    pub no_cluster: Option<String>,
    /// It is one of the harness's own, and takes a role only where the scenario names it.
    pub own: Option<Own>,
}

/// Where one of the harness's own takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// In every scenario that names it.
    Everywhere,
    /// Only together with somebody who is not the harness's own: the run is about others.
    WithOthers,
}

impl Participant {
    /// Why it cannot take part in a unit of that kind.
    pub fn gone(&self, who: &Who) -> Option<&str> {
        let no_cluster = match who {
            Who::Roles(_) => self.no_cluster.as_deref(),
            Who::Implementation(_) => None,
        };
        self.unavailable.as_deref().or(no_cluster)
    }

    /// Whether one of the names is that of its row, or its name without the version: `lnd` means
    /// every version of LND.
    pub fn is_among(&self, names: &[String]) -> bool {
        let bare = self.name.split('@').next().unwrap_or_default();
        names.iter().any(|n| *n == self.name || n == bare)
    }
}

/// What a run was asked to do.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Codec, cluster, or both when empty.
    pub lane: Option<Lane>,
    /// Check ids.
    pub filters: Filters,
    /// Only the cases with these ids, from a frozen set.
    pub only: Option<HashSet<String>>,
    /// Specifications, `name` or `name@revision`.
    pub specs: Vec<String>,
    /// Pinned revision of each specification, for vectors that name none.
    pub pins: BTreeMap<String, String>,
    /// Requirement ids.
    pub requirements: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Takes what is tagged `slow` too.
    pub slow: bool,
    /// Only these (check id, implementation or roles), from `--failed`.
    pub failed: Option<HashSet<(String, String)>>,
    /// Role to the implementations allowed there.
    pub roles: BTreeMap<String, Vec<String>>,
    /// K and N of `--shard K/N`, K from 1.
    pub shard: Option<(u32, u32)>,
    /// How often each check runs, at least 1.
    pub repeat: u32,
    /// Random order, by the seed.
    pub shuffle: bool,
    /// Seed of the run.
    pub seed: u64,
}

/// Who a unit runs on; the numbers are places in the list of participants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One codec adapter.
    Implementation(usize),
    /// A node for each role, or a codec where the role is one's.
    Roles(BTreeMap<String, usize>),
}

/// One piece of work: a case on somebody, once.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Place in the list of cases.
    pub case: usize,
    /// On whom.
    pub who: Who,
    /// From 1.
    pub attempt: u32,
    /// Seed of this unit: a hash of run seed, id and attempt.
    pub seed: u64,
}

impl Unit {
    /// `reference`, or `payee=lnd,payer=ldk-node`.
    pub fn who_text(&self, participants: &[Participant]) -> String {
        match &self.who {
            Who::Implementation(p) => participants[*p].name.clone(),
            Who::Roles(roles) => roles_text(&role_names(roles, participants)),
        }
    }
}

/// Roles with the names of their implementations.
pub fn role_names(
    roles: &BTreeMap<String, usize>,
    participants: &[Participant],
) -> BTreeMap<String, String> {
    roles
        .iter()
        .map(|(r, p)| (r.clone(), participants[*p].name.clone()))
        .collect()
}

/// The units of a run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Codec units first, grouped by participant; then scenarios.
    pub units: Vec<Unit>,
    /// Cases left out for their tag `slow`.
    pub slow_left_out: usize,
    /// Cases left out because no participant can take them: ids.
    pub nobody: Vec<String>,
    /// The order was drawn, and is to be kept.
    pub shuffled: bool,
}

/// Why no plan could be made; the user's mistake, exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A filter that matches nothing.
    #[error("the filter `{0}` matches no check; `lnconform list` shows the ids")]
    Idle(String),
    /// A requirement that no selected vector covers.
    #[error(
        "no vector covers the requirement `{0}`; `lnconform spec coverage` lists the requirements"
    )]
    Requirement(String),
    /// A specification that no vector belongs to.
    #[error("no vector belongs to the specification `{0}`; known: {1}")]
    Spec(String, String),
    /// A tag that no vector has.
    #[error("no vector has the tag `{0}`; known: {1}")]
    Tag(String, String),
    /// A role that no scenario has.
    #[error("no scenario has a role `{0}`; known: {1}")]
    Role(String, String),
}

/// Makes the plan.
///
/// # Errors
/// [`PlanError`] when something that was asked for does not exist.
pub fn plan(
    cases: &[Case],
    participants: &[Participant],
    selection: &Selection,
) -> Result<Plan, PlanError> {
    check_selection(cases, selection)?;
    let mut plan = Plan {
        shuffled: selection.shuffle,
        ..Plan::default()
    };
    for (place, case) in cases.iter().enumerate() {
        if !selected(case, selection) {
            continue;
        }
        // What failed is run again, whatever its tags: the earlier run had `--slow`.
        let failed = selection.failed.as_ref().is_some_and(|failed| {
            let of_this = |id: &str| id.split('#').next() == Some(case.id.as_str());
            failed.iter().any(|(id, _)| of_this(id))
        });
        if case.tags.iter().any(|t| t == "slow")
            && !failed
            && !selection.slow
            && !selection.tags.iter().any(|t| t == "slow")
        {
            plan.slow_left_out += 1;
            continue;
        }
        let who = match &case.body {
            Body::Codec(codec) => participants
                .iter()
                .enumerate()
                .filter(|(_, p)| {
                    p.codec.is_some()
                        && (codec.implementations.is_empty() || p.is_among(&codec.implementations))
                })
                .map(|(i, _)| Who::Implementation(i))
                .collect::<Vec<_>>(),
            Body::Scenario(scenario) => assignments(case, scenario, participants, &selection.roles)
                .into_iter()
                .map(Who::Roles)
                .collect(),
        };
        if who.is_empty() {
            plan.nobody.push(case.id.clone());
        }
        for who in who {
            for attempt in 1..=selection.repeat.max(1) {
                let seed = derive(selection.seed, &case.id, attempt);
                let unit = Unit {
                    case: place,
                    who: who.clone(),
                    attempt,
                    seed,
                };
                let name = unit.who_text(participants);
                if let Some(failed) = &selection.failed {
                    let of_this = |(id, w): &(String, String)| {
                        *w == name && id.split('#').next() == Some(case.id.as_str())
                    };
                    if !failed.iter().any(of_this) {
                        continue;
                    }
                }
                if !in_shard(selection.shard, case, &name) {
                    continue;
                }
                plan.units.push(unit);
            }
        }
    }
    order(&mut plan.units, cases, selection);
    Ok(plan)
}

fn check_selection(cases: &[Case], selection: &Selection) -> Result<(), PlanError> {
    let ids: Vec<String> = cases.iter().flat_map(check_ids).collect();
    if let Some(idle) = selection.filters.idle(ids.iter().map(String::as_str)) {
        return Err(PlanError::Idle(idle.to_owned()));
    }
    for wanted in &selection.requirements {
        if !cases.iter().any(|c| covers(c, wanted)) {
            return Err(PlanError::Requirement(wanted.clone()));
        }
    }
    for wanted in &selection.specs {
        if !cases.iter().any(|c| of_spec(c, wanted, &selection.pins)) {
            let known = listed(cases.iter().filter_map(|c| c.spec.as_deref()));
            return Err(PlanError::Spec(wanted.clone(), known));
        }
    }
    for wanted in &selection.tags {
        if !cases.iter().any(|c| c.tags.contains(wanted)) {
            let known = cases.iter().flat_map(|c| &c.tags).map(String::as_str);
            return Err(PlanError::Tag(wanted.clone(), listed(known)));
        }
    }
    for wanted in selection.roles.keys() {
        let has = |c: &Case| match &c.body {
            Body::Scenario(s) => s.all_roles().any(|role| role == wanted),
            Body::Codec(_) => false,
        };
        if !cases.iter().any(has) {
            let known = cases.iter().filter_map(|c| match &c.body {
                Body::Scenario(s) => Some(s.all_roles()),
                Body::Codec(_) => None,
            });
            return Err(PlanError::Role(
                wanted.clone(),
                listed(known.flatten().map(String::as_str)),
            ));
        }
    }
    Ok(())
}

/// Names once each, in order.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

fn covers(case: &Case, requirement: &str) -> bool {
    let steps = match &case.body {
        Body::Scenario(s) => s
            .steps
            .iter()
            .any(|s| s.covers.iter().any(|c| c == requirement)),
        Body::Codec(_) => false,
    };
    steps || case.covers.iter().any(|c| c == requirement)
}

fn of_spec(case: &Case, wanted: &str, pins: &BTreeMap<String, String>) -> bool {
    let Some(spec) = case.spec.as_deref() else {
        return false;
    };
    let (name, revision) = match spec.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (spec, pins.get(spec).map(String::as_str)),
    };
    match wanted.split_once('@') {
        None => wanted == name,
        // Seven digits of a commit are enough to mean it; either side may be the shorter one.
        Some((wanted, r)) => {
            let means = |pin: &str| {
                pin == r
                    || (pin.len().min(r.len()) >= 7 && (pin.starts_with(r) || r.starts_with(pin)))
            };
            wanted == name && revision.is_some_and(means)
        }
    }
}

/// Which lane a case runs in.
pub fn lane(case: &Case) -> Lane {
    match case.body {
        Body::Codec(_) => Lane::Codec,
        Body::Scenario(_) => Lane::Cluster,
    }
}

/// The ids that filters are about: the case's own, and of a scenario those of all its steps, since
/// one that asserts nothing is a check too when it goes wrong.
fn check_ids(case: &Case) -> Vec<String> {
    let mut ids = vec![case.id.clone()];
    if let Body::Scenario(scenario) = &case.body {
        let steps = scenario.steps.iter();
        ids.extend(steps.map(|step| format!("{}#{}", case.id, step.name)));
    }
    ids
}

fn selected(case: &Case, s: &Selection) -> bool {
    s.lane.is_none_or(|l| l == lane(case))
        && s.only.as_ref().is_none_or(|ids| ids.contains(&case.id))
        && (s.filters.is_empty() || check_ids(case).iter().any(|id| s.filters.matches(id)))
        && (s.specs.is_empty() || s.specs.iter().any(|w| of_spec(case, w, &s.pins)))
        && (s.requirements.is_empty() || s.requirements.iter().any(|r| covers(case, r)))
        && (s.tags.is_empty() || s.tags.iter().any(|t| case.tags.contains(t)))
}

/// Every way to fill the roles of a scenario with those who can take them; and each of those who say
/// that they cannot, once, so that they are counted. In every combination they would be most of a
/// run: five roles of three implementations can be filled in 243 ways.
fn assignments(
    case: &Case,
    scenario: &Scenario,
    participants: &[Participant],
    wished: &BTreeMap<String, Vec<String>>,
) -> Vec<BTreeMap<String, usize>> {
    let mut all = vec![BTreeMap::new()];
    let mut unable: Vec<(&String, usize)> = Vec::new();
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for role in scenario.all_roles() {
        let may = |p: &Participant| {
            (match scenario.roles.get(role) {
                None | Some(RoleChoice::Any) => p.node.is_some() && p.own.is_none(),
                Some(RoleChoice::Of(names)) => p.node.is_some() && p.is_among(names),
                Some(RoleChoice::Codec) => p.codec.is_some(),
            }) && wished.get(role).is_none_or(|names| names.contains(&p.name))
        };
        let takers: Vec<usize> = participants
            .iter()
            .enumerate()
            .filter(|(_, p)| may(p))
            .map(|(i, _)| i)
            .collect();
        let (takers, lacking): (Vec<usize>, Vec<usize>) = takers
            .into_iter()
            .partition(|taker| able::can_take(case, scenario, role, &participants[*taker]));
        if let Some(taker) = takers.first().or(lacking.first()) {
            first.insert(role.clone(), *taker);
        }
        unable.extend(lacking.into_iter().map(|taker| (role, taker)));
        all = all
            .into_iter()
            .flat_map(|done: BTreeMap<String, usize>| {
                takers.iter().map(move |taker| {
                    let mut next = done.clone();
                    next.insert(role.clone(), *taker);
                    next
                })
            })
            .collect();
    }
    // Among themselves they are of interest to the harness alone.
    let others = |roles: &BTreeMap<String, usize>| {
        let own = |place: &usize| participants[*place].own == Some(Own::WithOthers);
        !roles.values().all(own)
    };
    all.retain(others);
    // Whoever takes a role that nobody else may take is filled in with it: no combination without.
    if first.len() == scenario.all_roles().count() {
        for (role, taker) in unable {
            let mut with = first.clone();
            with.insert(role.clone(), taker);
            if !all.contains(&with) {
                all.push(with);
            }
        }
    }
    all
}

/// A 64-bit number from the run's seed and what names a unit.
pub fn derive(seed: u64, id: &str, attempt: u32) -> u64 {
    hash(&[&seed.to_be_bytes(), id.as_bytes(), &attempt.to_be_bytes()])
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    let digest = sha.finalize();
    digest.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}

/// Whether a unit belongs to the shard. What is compared or shared stays together: all
/// implementations of a codec check, since their answers may disagree; and the scenarios of one
/// topology and one choice of implementations, which have a cluster in common.
fn in_shard(shard: Option<(u32, u32)>, case: &Case, who: &str) -> bool {
    let Some((k, n)) = shard else { return true };
    let together = match &case.body {
        Body::Scenario(s) => [s.topology.name.as_bytes(), who.as_bytes()],
        Body::Codec(_) => [case.id.as_bytes(), b""],
    };
    hash(&together) % u64::from(n.max(1)) + 1 == u64::from(k)
}

fn order(units: &mut [Unit], cases: &[Case], selection: &Selection) {
    let rank = |u: &Unit| match &u.who {
        Who::Implementation(p) => (0, *p),
        Who::Roles(_) => (1, 0),
    };
    if selection.shuffle {
        units.sort_by_key(|u| {
            (
                rank(u),
                hash(&[&u.seed.to_be_bytes(), cases[u.case].id.as_bytes()]),
            )
        });
    } else {
        // Repeats of a scenario come round after round, so that the first round is soon complete.
        units.sort_by_key(|u| (rank(u), if rank(u).0 == 1 { u.attempt } else { 0 }, u.case));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lnconform_vectors::case::{Codec, Expect, Topology, TopologyNode};
    use proptest::prelude::*;
    use serde_json::json;

    pub(crate) fn participant(name: &str, codec: bool) -> Participant {
        Participant {
            name: name.into(),
            codec: codec.then(Launch::default),
            node: (!codec).then(Launch::default),
            named: false,
            builtin: true,
            version: String::new(),
            operations: BTreeSet::new(),
            dialects: BTreeSet::new(),
            unavailable: None,
            no_cluster: None,
            own: None,
        }
    }

    pub(crate) fn case(id: &str, body: Body) -> Case {
        Case {
            id: id.into(),
            file: "v.yaml".into(),
            line: 1,
            description: String::new(),
            spec: Some("bolt01@x".into()),
            covers: vec!["bolt01/a".into()],
            tags: vec![],
            needs: vec![],
            provenance: None,
            origin: lnconform_vectors::case::Origin::BuiltIn,
            body,
        }
    }

    fn codec(id: &str) -> Case {
        case(
            id,
            Body::Codec(Codec {
                operation: "x".into(),
                input: json!({}),
                expect: Expect::Observe,
                implementations: vec![],
                observe: vec![],
            }),
        )
    }

    pub(crate) fn pair(id: &str, payee: RoleChoice) -> Case {
        let nodes = [
            ("payer", TopologyNode::default()),
            ("payee", TopologyNode::default()),
        ]
        .map(|(n, t)| (n.to_owned(), t))
        .into();
        let topology = Topology {
            server: None,
            name: "pair".into(),
            nodes,
            channels: vec![],
            connect: vec![],
            ready: vec![],
        };
        let roles = [("payee".to_owned(), payee)].into();
        case(
            id,
            Body::Scenario(Scenario {
                topology,
                roles,
                steps: vec![],
                own_cluster: false,
            }),
        )
    }

    fn people() -> Vec<Participant> {
        vec![
            participant("reference", true),
            participant("ldk-node", false),
            participant("lnd", false),
        ]
    }

    #[test]
    fn one_of_the_harness_s_own_takes_only_roles_that_name_it() {
        let probe = |own| Participant {
            own: Some(own),
            ..participant("probe", false)
        };
        let units = |case: &Case, own| {
            let people = [participant("lnd", false), probe(own)];
            let plan = plan(std::slice::from_ref(case), &people, &Selection::default()).unwrap();
            let who = plan.units.iter().map(|unit| unit.who_text(&people));
            who.collect::<Vec<_>>()
        };
        let any = pair("a", RoleChoice::Any);
        assert_eq!(units(&any, Own::Everywhere), ["payee=lnd,payer=lnd"]);
        let named = pair("b", RoleChoice::Of(vec!["probe".into()]));
        for own in [Own::Everywhere, Own::WithOthers] {
            assert_eq!(units(&named, own), ["payee=probe,payer=lnd"]);
        }
        let mut alone = named.clone();
        if let Body::Scenario(scenario) = &mut alone.body {
            scenario
                .roles
                .insert("payer".into(), RoleChoice::Of(vec!["probe".into()]));
        }
        assert_eq!(units(&alone, Own::Everywhere), ["payee=probe,payer=probe"]);
        assert!(units(&alone, Own::WithOthers).is_empty());
    }

    #[test]
    fn roles_are_filled_in_every_way() {
        let cases = [
            pair("k/any", RoleChoice::Any),
            pair("k/lnd", RoleChoice::Of(vec!["lnd".into()])),
        ];
        let plan = plan(
            &cases,
            &people(),
            &Selection {
                repeat: 1,
                ..Default::default()
            },
        )
        .unwrap();
        let who = plan
            .units
            .iter()
            .map(|u| u.who_text(&people()))
            .collect::<Vec<_>>();
        assert_eq!(
            who,
            [
                "payee=ldk-node,payer=ldk-node",
                "payee=ldk-node,payer=lnd",
                "payee=lnd,payer=ldk-node",
                "payee=lnd,payer=lnd",
                "payee=lnd,payer=ldk-node",
                "payee=lnd,payer=lnd",
            ]
        );
    }

    #[test]
    fn who_cannot_take_a_role_is_counted_once_in_it() {
        let mut case = pair("k/x", RoleChoice::Any);
        case.needs.push("payer: keysend.send".into());
        let mut people = ["ldk-node", "lnd", "electrum"].map(|n| participant(n, false));
        for (person, operation) in
            people
                .iter_mut()
                .zip(["keysend.send", "keysend.send", "invoice.pay"])
        {
            person.operations.insert(operation.into());
        }
        let who = |people: &[Participant]| {
            let plan = plan(std::slice::from_ref(&case), people, &Selection::default()).unwrap();
            let who = plan.units.iter().map(|u| u.who_text(people));
            who.collect::<Vec<_>>()
        };
        // As payee, Electrum is asked for nothing that it lacks.
        assert_eq!(
            who(&people),
            [
                "payee=ldk-node,payer=ldk-node",
                "payee=ldk-node,payer=lnd",
                "payee=lnd,payer=ldk-node",
                "payee=lnd,payer=lnd",
                "payee=electrum,payer=ldk-node",
                "payee=electrum,payer=lnd",
                "payee=ldk-node,payer=electrum",
            ]
        );
        assert_eq!(who(&people[2..]), ["payee=electrum,payer=electrum"]);
        // Nothing is known of who was not asked.
        people[2].operations.clear();
        assert_eq!(who(&people).len(), 9);
    }

    #[test]
    fn a_codec_s_role_is_taken_by_codecs_alone() {
        let mut read = pair("k/read", RoleChoice::Of(vec!["lnd".into()]));
        if let Body::Scenario(s) = &mut read.body {
            s.roles.insert("verifier".into(), RoleChoice::Codec);
        }
        let mut people = people();
        people.push(participant("ldk-0.3", true));
        let who = |wished: &[&str]| {
            let mut selection = Selection::default();
            selection
                .roles
                .insert("payer".into(), vec!["ldk-node".into()]);
            if !wished.is_empty() {
                let wished = wished.iter().map(|w| (*w).to_owned()).collect();
                selection.roles.insert("verifier".into(), wished);
            }
            let plan = plan(std::slice::from_ref(&read), &people, &selection).unwrap();
            let who = plan.units.iter().map(|u| u.who_text(&people));
            who.collect::<Vec<_>>()
        };
        assert_eq!(
            who(&[]),
            [
                "payee=lnd,payer=ldk-node,verifier=reference",
                "payee=lnd,payer=ldk-node,verifier=ldk-0.3",
            ]
        );
        assert_eq!(
            who(&["ldk-0.3"]),
            ["payee=lnd,payer=ldk-node,verifier=ldk-0.3"]
        );
        assert!(who(&["lnd"]).is_empty());
    }

    #[test]
    fn versions_of_one_implementation_are_rows_of_their_own() {
        let people = vec![
            participant("ldk-node", false),
            participant("lnd", false),
            participant("lnd@v0.20.3-beta", false),
        ];
        let who = |payee: &[&str], wished: &[&str]| {
            let names = |of: &[&str]| of.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
            let cases = [pair("k/x", RoleChoice::Of(names(payee)))];
            let mut selection = Selection::default();
            selection.roles.insert("payer".into(), names(&["ldk-node"]));
            if !wished.is_empty() {
                selection.roles.insert("payee".into(), names(wished));
            }
            let plan = plan(&cases, &people, &selection).unwrap();
            let who = plan.units.iter().map(|u| u.who_text(&people));
            who.map(|w| w.replace("payee=", "").replace(",payer=ldk-node", ""))
                .collect::<Vec<_>>()
        };
        assert_eq!(who(&["lnd"], &[]), ["lnd", "lnd@v0.20.3-beta"]);
        assert_eq!(who(&["lnd@v0.20.3-beta"], &[]), ["lnd@v0.20.3-beta"]);
        assert_eq!(who(&["lnd"], &["lnd"]), ["lnd"]);
        assert_eq!(who(&["ldk-node"], &[]), ["ldk-node"]);

        // In a role that anybody may take, each is somebody.
        let any = plan(
            &[pair("k/x", RoleChoice::Any)],
            &people,
            &Selection::default(),
        );
        assert_eq!(any.unwrap().units.len(), 9);

        let mut of_lnd = codec("a/b");
        if let Body::Codec(codec) = &mut of_lnd.body {
            codec.implementations = vec!["lnd".into()];
        }
        let people = ["lnd", "lnd@v0.20.3-beta", "lndx"].map(|n| participant(n, true));
        let of_lnd = plan(&[of_lnd], &people, &Selection::default()).unwrap();
        assert_eq!(of_lnd.units.len(), 2);
    }

    #[test]
    fn what_was_asked_for_must_exist() {
        let cases = [codec("a/b")];
        let with = |s: Selection| plan(&cases, &people(), &s).map(|p| p.units.len());
        assert_eq!(with(Selection::default()).unwrap(), 1);
        assert!(matches!(
            with(Selection {
                filters: Filters::parse(&["z"]).unwrap(),
                ..Default::default()
            }),
            Err(PlanError::Idle(_))
        ));
        assert!(
            with(Selection {
                specs: vec!["bolt01".into()],
                ..Default::default()
            })
            .is_ok()
        );
        assert!(
            with(Selection {
                specs: vec!["bolt02".into()],
                ..Default::default()
            })
            .is_err()
        );
        assert!(
            with(Selection {
                tags: vec!["t".into()],
                ..Default::default()
            })
            .is_err()
        );
        assert!(
            with(Selection {
                requirements: vec!["q".into()],
                ..Default::default()
            })
            .is_err()
        );
        let roles = [("payer".to_owned(), vec![])].into();
        assert!(
            with(Selection {
                roles,
                ..Default::default()
            })
            .is_err()
        );
    }

    #[test]
    fn slow_cases_wait_to_be_asked_for() {
        let mut slow = codec("a/slow");
        slow.tags.push("slow".into());
        let cases = [codec("a/b"), slow];
        let all = plan(&cases, &people(), &Selection::default()).unwrap();
        assert_eq!((all.units.len(), all.slow_left_out), (1, 1));
        let slow = Selection {
            slow: true,
            ..Default::default()
        };
        assert_eq!(plan(&cases, &people(), &slow).unwrap().units.len(), 2);
    }

    proptest! {
        #[test]
        fn shards_part_the_whole(n in 1u32..7, ids in prop::collection::btree_set("[a-z]{1,4}/[a-z]{1,4}", 1..20)) {
            let cases: Vec<Case> = ids.iter().map(|i| codec(i)).collect();
            let count = |shard| {
                plan(&cases, &people(), &Selection { shard, ..Default::default() }).unwrap().units.len()
            };
            let parts: usize = (1..=n).map(|k| count(Some((k, n)))).sum();
            prop_assert_eq!(parts, count(None));
        }

        /// Answers are compared, and clusters shared, within one shard.
        #[test]
        fn a_shard_keeps_together_what_belongs_together(n in 1u32..7, id in "[a-z]{1,4}/[a-z]{1,4}", other in "[a-z]{1,4}/[a-z]{1,4}") {
            let of = |case: &Case, who: &str| (1..=n).filter(|k| in_shard(Some((*k, n)), case, who)).collect::<Vec<_>>();
            let answer = codec(&id);
            prop_assert_eq!(of(&answer, "lnd"), of(&answer, "reference"));
            let (one, two) = (pair(&id, RoleChoice::Any), pair(&other, RoleChoice::Any));
            prop_assert_eq!(of(&one, "payer=lnd"), of(&two, "payer=lnd"));
        }

        #[test]
        fn a_seed_fixes_the_order(seed: u64) {
            let cases: Vec<Case> = (0..20).map(|i| codec(&format!("a/{i}"))).collect();
            let order = || {
                let s = Selection { seed, shuffle: true, ..Default::default() };
                plan(&cases, &people(), &s).unwrap().units.iter().map(|u| u.case).collect::<Vec<_>>()
            };
            prop_assert_eq!(order(), order());
        }
    }
}
