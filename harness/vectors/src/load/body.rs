//! The body of a case: what is expected and referred to holds together.

use super::Whole;
use crate::bindings::{RESERVED, RUN_FIELDS, Reference, is_name};
use crate::case::{Codec, Expect, RoleChoice, Scenario, Step};
use crate::expect::{self, Fault};
use crate::file::{self, Sharing, StepFile};
use crate::matchers::Pattern;
use lnconform_spec::misbehaviours;
use lnconform_yaml::suggest;
use serde_json::Value;
use std::collections::BTreeSet;

/// Operations that the harness itself does, on `chain`.
const CHAIN_OPERATIONS: [&str; 1] = ["chain.mine"];
/// Operations that the harness itself does, on `harness`.
const HARNESS_OPERATIONS: [&str; 9] = [
    "file.write",
    "file.read",
    "values.keep",
    "bytes.xor",
    "process.kill",
    "lnurl.metadata",
    "lnurl.serve",
    "lnurl.fetch",
    "lnurl.stop",
];
/// What a step may be done on beside a role. `codec` answers what an adapter answers, so that its
/// operations are not known here.
const NO_ROLES: [&str; 3] = ["chain", "codec", "harness"];

/// The body of a codec vector.
pub(super) fn codec(
    whole: &Whole,
    implementations: Vec<String>,
    unfilled: bool,
) -> Result<Codec, Fault> {
    let value = whole.expect.as_ref().unwrap_or(&Value::Null);
    let read = expect::read(value).map_err(|f| f.below(&["expect"]))?;
    if read.unfilled && !unfilled {
        return Err(not_filled(&["expect"]));
    }
    let no_references = BTreeSet::new();
    if !read.unfilled {
        references(&read.expect, &no_references).map_err(|f| {
            f.below(&["expect"])
                .help("a codec vector binds nothing; its bytes are literal")
        })?;
    }
    Ok(Codec {
        operation: whole.operation.clone().unwrap_or_default(),
        input: Value::Object(whole.input.clone()),
        expect: read.expect,
        implementations,
        observe: read.observe,
    })
}

fn not_filled(path: &[&str]) -> Fault {
    Fault::new(path, "`$fill` is not filled yet").help("run `lnconform fill` with this file")
}

/// The body of a scenario.
pub(super) fn scenario(whole: &Whole, unfilled: bool) -> Result<Scenario, Fault> {
    let Some(mut topology) = whole.topology.clone() else {
        return Err(Fault::new(&[], "`topology` is missing").help("name a file of `topologies/`"));
    };
    if whole.steps.is_empty() {
        return Err(Fault::new(&["steps"], "a scenario needs a step"));
    }
    let names: Vec<String> = topology.nodes.keys().cloned().collect();
    let nodes: Vec<&str> = names.iter().map(String::as_str).collect();
    let codecs = codec_roles(whole, &nodes)?;
    let roles: Vec<&str> = nodes.iter().chain(&codecs).copied().collect();
    let is_role = |role: &str, path: &[&str], among: &[&str]| {
        if among.contains(&role) {
            return Ok(());
        }
        let fault = Fault::new(
            path,
            format!("the topology {} has no role `{role}`", topology.name),
        );
        Err(fault.help(did_you_mean(role, among)))
    };
    for role in whole.roles.keys() {
        is_role(role, &["roles", role], &roles)?;
    }
    for role in whole.options.keys() {
        is_role(role, &["options", role], &nodes)?;
    }
    for (i, need) in whole.needs.iter().enumerate() {
        if let Some((role, _)) = need.split_once(':') {
            is_role(role.trim(), &["needs", &i.to_string()], &roles)?;
        }
    }
    for (role, options) in &whole.options {
        if let Some(node) = topology.nodes.get_mut(role) {
            node.options.extend(options.clone());
        }
    }
    let mut known: BTreeSet<String> = nodes.iter().map(|r| (*r).to_owned()).collect();
    known.insert("run".to_owned());
    let mut names = BTreeSet::new();
    let mut steps = Vec::with_capacity(whole.steps.len());
    for (i, file) in whole.steps.iter().enumerate() {
        let number = (i + 1).to_string();
        let place = i.to_string();
        let step = step(file, &number, &roles, &mut known, unfilled)
            .map_err(|f| f.below(&["steps", &place]))?;
        // Whoever else may take the role would do the step right, and be judged for it.
        let alone = matches!(whole.roles.get(&step.on),
            Some(RoleChoice::Of(names)) if *names == [misbehaviours::WHO]);
        if file.misbehave.is_some() && !alone {
            let who = misbehaviours::WHO;
            let why = format!("only `{who}` misbehaves, and {} may be others too", step.on);
            return Err(Fault::new(&["steps", &place, "misbehave"], why)
                .help(format!("write `roles: {{{}: {who}}}`", step.on)));
        }
        if !names.insert(step.name.clone()) {
            return Err(Fault::new(
                &["steps", &place, "name"],
                format!("two steps are called `{}`", step.name),
            )
            .help("the name is part of the check's id; give another"));
        }
        steps.push(step);
    }
    let choices = roles
        .iter()
        .map(|r| {
            (
                (*r).to_owned(),
                whole.roles.get(*r).cloned().unwrap_or(RoleChoice::Any),
            )
        })
        .collect();
    let own_cluster = whole.cluster == Some(Sharing::Own) || disturbs(&steps);
    Ok(Scenario {
        topology,
        roles: choices,
        steps,
        own_cluster,
    })
}

/// The roles that have no node. None of them stands in the topology too, or is called as what is no
/// role.
fn codec_roles<'a>(whole: &'a Whole, nodes: &[&str]) -> Result<Vec<&'a str>, Fault> {
    let codec = |(role, choice): (&'a String, &RoleChoice)| {
        (*choice == RoleChoice::Codec).then_some(role.as_str())
    };
    let roles: Vec<&str> = whole.roles.iter().filter_map(codec).collect();
    for role in &roles {
        if nodes.contains(role) {
            let fault = Fault::new(
                &["roles", role],
                format!("`{role}` is a node of the topology and cannot be a codec too"),
            );
            return Err(fault.help("write `any`, or give the codec a name of its own"));
        }
        if !is_name(role) || RESERVED.contains(role) {
            let fault = Fault::new(&["roles", role], format!("`{role}` cannot be a role"));
            return Err(fault.help(
                "begin with a letter; use letters, digits, `-` and `_`, and no name that has a meaning",
            ));
        }
    }
    Ok(roles)
}

/// Whether the steps leave a node otherwise than they found it: stopped or started anew, or with
/// an interception that is still on.
fn disturbs(steps: &[Step]) -> bool {
    let restarts = |s: &Step| {
        matches!(
            s.operation.as_str(),
            "node.start" | "node.stop" | "process.kill"
        )
    };
    let mut intercepting = BTreeSet::new();
    for step in steps.iter().filter(|s| s.operation == "htlc.intercept") {
        if step.with["on"] == Value::Bool(false) {
            intercepting.remove(&step.on);
        } else {
            intercepting.insert(&step.on);
        }
    }
    !intercepting.is_empty() || steps.iter().any(restarts)
}

fn did_you_mean(word: &str, candidates: &[&str]) -> String {
    match suggest(word, candidates.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", candidates.join(", ")),
    }
}

fn step(
    file: &StepFile,
    number: &str,
    roles: &[&str],
    known: &mut BTreeSet<String>,
    unfilled: bool,
) -> Result<Step, Fault> {
    let name = file.name.clone().unwrap_or_else(|| number.to_owned());
    let readable = |n: &str| {
        is_name(n)
            && n.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if file.name.is_some() && !readable(&name) {
        return Err(
            Fault::new(&["name"], format!("`{name}` cannot be part of an id"))
                .help("begin with a letter; use lower case, digits and `-`"),
        );
    }
    place(file, roles)?;
    if file.operation.trim().is_empty() {
        return Err(Fault::new(&["do"], "the operation has no name"));
    }
    let mut with = file.with.clone();
    if with.contains_key("misbehave") {
        let fault = Fault::new(
            &["with", "misbehave"],
            "`misbehave` is no param of a vector",
        );
        return Err(fault.help("write it beside `with`, not in it"));
    }
    if let Some(name) = &file.misbehave {
        misbehaviour(file, name)?;
        with.insert("misbehave".into(), name.as_str().into());
    }
    let with = Value::Object(with);
    expect::numbers(&with, "").map_err(|f| f.below(&["with"]))?;
    sendable(&with, known).map_err(|f| f.below(&["with"]))?;
    let deadline = match &file.deadline {
        None => None,
        Some(text) => Some(file::duration(text).ok_or_else(|| {
            Fault::new(&["deadline"], format!("`{text}` is no deadline"))
                .help("write `15s`, `500ms` or `2m`, up to an hour")
        })?),
    };
    let mut observe = Vec::new();
    let expect = match &file.expect {
        None => None,
        Some(value) => {
            let read = expect::read(value).map_err(|f| f.below(&["expect"]))?;
            if read.unfilled && !unfilled {
                return Err(not_filled(&["expect"])
                    .help("the reference has no nodes; bind and match instead"));
            }
            if !read.unfilled {
                references(&read.expect, known).map_err(|f| f.below(&["expect"]))?;
            }
            observe = read.observe;
            Some(read.expect)
        }
    };
    if file.until && (expect.is_none() || deadline.is_none()) {
        return Err(Fault::new(
            &["until"],
            "`until` needs an `expect` to wait for and a `deadline`",
        ));
    }
    if let Some(bind) = &file.bind {
        if !is_name(bind) || RESERVED.contains(&bind.as_str()) || roles.contains(&bind.as_str()) {
            return Err(
                Fault::new(&["bind"], format!("`{bind}` cannot be bound")).help(
                    "use letters, digits, `-` and `_`, and neither a role nor a matcher's name",
                ),
            );
        }
        known.insert(bind.clone());
    }
    Ok(Step {
        name,
        on: file.on.clone(),
        operation: file.operation.clone(),
        with,
        bind: file.bind.clone(),
        deadline,
        until: file.until,
        expect,
        observe,
        covers: file.covers.clone(),
        line: file.line,
    })
}

/// That the probe knows how to do the step wrong in this way.
fn misbehaviour(file: &StepFile, name: &str) -> Result<(), Fault> {
    let list = misbehaviours::list().unwrap_or_default();
    let Some(known) = list.iter().find(|m| m.name == name) else {
        let names: Vec<&str> = list.iter().map(|m| m.name.as_str()).collect();
        let fault = Fault::new(&["misbehave"], format!("there is no misbehaviour `{name}`"));
        return Err(fault.help(did_you_mean(name, &names)));
    };
    if known.operations.contains(&file.operation) {
        return Ok(());
    }
    let operations: Vec<&str> = known.operations.iter().map(String::as_str).collect();
    Err(Fault::new(
        &["misbehave"],
        format!("`{name}` is nothing that `{}` can do wrong", file.operation),
    )
    .help(format!("it goes with {}", operations.join(", "))))
}

/// That the step is done on a role, or by the harness on what is its own.
fn place(file: &StepFile, roles: &[&str]) -> Result<(), Fault> {
    let own = [
        ("chain", CHAIN_OPERATIONS.as_slice()),
        ("harness", HARNESS_OPERATIONS.as_slice()),
    ];
    let operation = file.operation.as_str();
    if let Some((on, operations)) = own.iter().find(|(on, _)| *on == file.on) {
        if operations.contains(&operation) {
            return Ok(());
        }
        let fault = Fault::new(&["do"], format!("the {on} has no operation `{operation}`"));
        return Err(fault.help(did_you_mean(operation, operations)));
    }
    if let Some((on, _)) = own.iter().find(|(_, o)| o.contains(&operation)) {
        let fault = Fault::new(&["on"], format!("`{operation}` is not done by a node"));
        return Err(fault.help(format!("write `on: {on}`")));
    }
    if file.on == "codec" || roles.contains(&file.on.as_str()) {
        return Ok(());
    }
    let mut candidates = roles.to_vec();
    candidates.extend(NO_ROLES);
    let fault = Fault::new(&["on"], format!("there is no role `{}`", file.on));
    Err(fault.help(did_you_mean(&file.on, &candidates)))
}

/// Params hold references, but no matchers.
fn sendable(value: &Value, known: &BTreeSet<String>) -> Result<(), Fault> {
    match value {
        Value::String(text) if crate::bindings::literal(text).is_none() => {
            match Pattern::compile(value) {
                Ok(Pattern::Reference(reference)) => known_name(&reference, known),
                Ok(_) => Err(
                    Fault::new(&[], format!("`{text}` is a matcher and cannot be sent"))
                        .help("a literal dollar is `$$`"),
                ),
                Err(e) => Err(Fault {
                    path: Vec::new(),
                    message: e.message,
                    help: e.help,
                }),
            }
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .try_for_each(|(i, v)| sendable(v, known).map_err(|f| f.below(&[&i.to_string()]))),
        Value::Object(map) => map
            .iter()
            .try_for_each(|(k, v)| sendable(v, known).map_err(|f| f.below(&[k]))),
        _ => Ok(()),
    }
}

fn known_name(reference: &Reference, known: &BTreeSet<String>) -> Result<(), Fault> {
    let name = reference.name.as_str();
    if name == "run" {
        let fields: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        return match fields.as_slice() {
            [field] if RUN_FIELDS.contains(field) => Ok(()),
            [field, ..] => Err(
                Fault::new(&[], format!("`{reference}` is no value of the run"))
                    .help(did_you_mean(field, &RUN_FIELDS)),
            ),
            [] => Err(Fault::new(&[], "`$run` alone is no value")
                .help(format!("it has {}", RUN_FIELDS.join(", ")))),
        };
    }
    if known.contains(name) {
        return Ok(());
    }
    let fault = Fault::new(
        &[],
        format!("`{reference}`: `{name}` is neither a role nor bound by an earlier step"),
    );
    Err(match suggest(name, known.iter().map(String::as_str)) {
        Some(near) => fault.help(format!("did you mean `${near}`?")),
        None => fault,
    })
}

fn references(expect: &Expect, known: &BTreeSet<String>) -> Result<(), Fault> {
    match expect {
        Expect::Result(value) => {
            let pattern = Pattern::compile(value).map_err(|e| Fault {
                path: e.path,
                message: e.message,
                help: e.help,
            })?;
            let mut outcome = Ok(());
            pattern.references(&mut |path, reference| {
                if outcome.is_ok() {
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    outcome = known_name(reference, known).map_err(|f| f.below(&path));
                }
            });
            outcome
        }
        Expect::OneOf(list) => list.iter().enumerate().try_for_each(|(i, a)| {
            references(&a.expect, known).map_err(|f| f.below(&["one_of", &i.to_string()]))
        }),
        Expect::Error(_) | Expect::Observe => Ok(()),
    }
}
