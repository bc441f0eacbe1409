//! Multiplies a case by the axes of its `matrix`.

use super::{Whole, step_named};
use crate::case::{RoleChoice, Topology, TopologyChannel, TopologyNode};
use crate::expect::{self, Fault};
use crate::file::VectorFile;
use crate::mutate::{Change, Codecs, apply};
use serde_json::{Map, Value, json};

/// Cases that one `matrix` may make.
const MAX_MATRIX: usize = 10_000;

pub(super) type Variant = (String, Vec<String>, Whole);

/// The cases of a matrix: end of the id, implementations, and the whole with the values put in.
pub(super) fn variants(own: &VectorFile, whole: &Whole) -> Result<Vec<Variant>, Fault> {
    let Some(matrix) = &own.matrix else {
        return Ok(vec![(String::new(), Vec::new(), whole.clone())]);
    };
    let mut axes: Vec<(&str, Vec<(String, &Value)>)> = Vec::new();
    let mut total = 1usize;
    for (axis, values) in matrix {
        let values: Vec<(String, &Value)> = match values {
            Value::Array(list) if !list.is_empty() => list
                .iter()
                .enumerate()
                .map(|(i, v)| (label(i, v), v))
                .collect(),
            Value::Object(map) if !map.is_empty() => map
                .iter()
                .enumerate()
                .map(|(i, (k, v))| (label(i, &json!(k)), v))
                .collect(),
            _ => {
                return Err(Fault::new(
                    &["matrix", axis],
                    format!("the axis `{axis}` has no values"),
                )
                .help("write a list, or a mapping of label to value"));
            }
        };
        total = total.saturating_mul(values.len());
        axes.push((axis, values));
    }
    if total > MAX_MATRIX || axes.is_empty() {
        return Err(match axes.is_empty() {
            true => Fault::new(&["matrix"], "the matrix has no axis").help("write AXIS: [VALUES]"),
            false => Fault::new(&["matrix"], format!("the matrix makes {total} cases"))
                .help(format!("{MAX_MATRIX} at most")),
        });
    }
    let last = |axis: &str| axis.rsplit('.').next().unwrap_or(axis).to_owned();
    let names: Vec<String> = axes
        .iter()
        .map(|(axis, _)| {
            let short = last(axis);
            if axes.iter().filter(|(a, _)| last(a) == short).count() == 1 {
                short
            } else {
                (*axis).to_owned()
            }
        })
        .collect();
    let mut made: Vec<Variant> = vec![(String::new(), Vec::new(), whole.clone())];
    for ((axis, values), name) in axes.iter().zip(&names) {
        let mut next = Vec::with_capacity(made.len() * values.len());
        for (suffix, implementations, whole) in &made {
            for (label, value) in values {
                let (mut implementations, mut whole) = (implementations.clone(), whole.clone());
                put(axis, value, &mut implementations, &mut whole).map_err(|(m, h)| Fault {
                    help: h,
                    ..Fault::new(&["matrix", axis], m)
                })?;
                let sign = if suffix.is_empty() { '?' } else { '&' };
                next.push((
                    format!("{suffix}{sign}{name}={label}"),
                    implementations,
                    whole,
                ));
            }
        }
        made = next;
    }
    Ok(made)
}

/// How a value shows in an id.
fn label(place: usize, value: &Value) -> String {
    let text = match value {
        Value::String(s) => s.clone(),
        Value::Number(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        // `roles: [{payer: ldk-node, payee: lnd}]` reads as `ldk-node+lnd`.
        Value::Object(map) if map.values().all(Value::is_string) => map
            .values()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join("+"),
        _ => String::new(),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
    if (1..=40).contains(&text.len()) && text.bytes().all(plain) {
        text
    } else {
        (place + 1).to_string()
    }
}

/// Puts one value of an axis in.
fn put(
    axis: &str,
    value: &Value,
    implementations: &mut Vec<String>,
    whole: &mut Whole,
) -> Result<(), (String, Option<String>)> {
    let codec = whole.operation.is_some();
    let segments: Vec<&str> = axis.split('.').collect();
    let fail = |message: String, help: &str| Err((message, Some(help.to_owned())));
    match (segments.as_slice(), codec) {
        (["implementation"], true) => match value.as_str() {
            Some(name) => {
                implementations.push(name.to_owned());
                Ok(())
            }
            None => fail(
                "`implementation` lists names".into(),
                "write `implementation: [reference, ldk-0.2]`",
            ),
        },
        (["implementation"], false) => fail(
            "`implementation` is an axis of codec vectors".into(),
            "in a scenario the axis is `roles`",
        ),
        (["roles"], false) => {
            let Value::Object(map) = value else {
                return fail(
                    "`roles` lists mappings of role to implementation".into(),
                    "write `roles: [{payer: ldk-node, payee: lnd}]`",
                );
            };
            for (role, name) in map {
                let Some(name) = name.as_str() else {
                    return fail(
                        format!("the role `{role}` is given no name"),
                        "write one implementation's name",
                    );
                };
                whole
                    .roles
                    .insert(role.clone(), RoleChoice::Of(vec![name.to_owned()]));
            }
            Ok(())
        }
        (["hops"], false) => {
            let count = value
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| (1..=20).contains(n));
            let Some(count) = count else {
                return fail(
                    "`hops` lists numbers of channels, 1 to 20".into(),
                    "write `hops: [1, 2, 3]`",
                );
            };
            match whole.topology.as_ref().and_then(|t| line(t, count)) {
                Some(topology) => {
                    if let Some(choice) = whole.roles.get("forwarder").cloned() {
                        for name in topology.nodes.keys().filter(|n| n.starts_with("forwarder")) {
                            whole.roles.insert(name.clone(), choice.clone());
                        }
                    }
                    whole.roles.retain(|role, choice| {
                        *choice == RoleChoice::Codec || topology.nodes.contains_key(role)
                    });
                    whole.topology = Some(topology);
                    Ok(())
                }
                None => fail(
                    "`hops` needs a topology `line-N`, from `payer` to `payee`".into(),
                    "use `topology: line-3`",
                ),
            }
        }
        (["server"], false) => {
            let name = serde_json::from_value(value.clone());
            match (whole.topology.as_mut(), name) {
                (Some(topology), Ok(name)) => {
                    topology.server = Some(name);
                    Ok(())
                }
                _ => fail(
                    "`server` lists Electrum servers of a topology: e-x, electrs".into(),
                    "write `server: [e-x, electrs]`",
                ),
            }
        }
        (["roles" | "hops" | "server"], true) => fail(
            format!("`{axis}` is an axis of scenarios"),
            "in a codec vector name a path such as `input.amount_msat`",
        ),
        (["input", rest @ ..], true) if !rest.is_empty() => {
            expect::numbers(value, rest.last().copied().unwrap_or_default())
                .map_err(|f| (f.message, f.help))?;
            set_path(&mut whole.input, rest, value).map_err(|e| (e, None))
        }
        (["steps", name, "with", rest @ ..], false) if !rest.is_empty() => {
            expect::numbers(value, rest.last().copied().unwrap_or_default())
                .map_err(|f| (f.message, f.help))?;
            let step = step_named(&mut whole.steps, name).map_err(|e| (e, None))?;
            set_path(&mut step.with, rest, value).map_err(|e| (e, None))
        }
        (_, true) => fail(
            format!("there is no axis `{axis}`"),
            "axes: `implementation`, and paths that begin with `input.`",
        ),
        (_, false) => fail(
            format!("there is no axis `{axis}`"),
            "axes: `roles`, `hops`, `server`, and paths that begin with `steps.NAME.with.`",
        ),
    }
}

/// Sets a field, new or not, in a mapping that is there.
fn set_path(map: &mut Map<String, Value>, path: &[&str], value: &Value) -> Result<(), String> {
    match path {
        [] => Ok(()),
        [key] => {
            map.insert((*key).to_owned(), value.clone());
            Ok(())
        }
        [key, rest @ ..] => match map.get_mut(*key) {
            Some(Value::Object(inner)) => set_path(inner, rest, value),
            Some(other) => apply(
                other,
                rest,
                &Change::Set(value.clone()),
                &Codecs::standard(),
            ),
            None => Err(format!("there is no `{key}` to put a value into")),
        },
    }
}

/// A line of `count` channels like those of `topology`, from `payer` to `payee`.
fn line(topology: &Topology, count: usize) -> Option<Topology> {
    if !topology.name.starts_with("line-") {
        return None;
    }
    let first: &TopologyChannel = topology.channels.first()?;
    let payer = topology.nodes.get("payer")?;
    let payee = topology.nodes.get("payee")?;
    let forwarder = topology
        .nodes
        .get("forwarder")
        .cloned()
        .unwrap_or_else(|| TopologyNode {
            forwards: true,
            ..payer.clone()
        });
    let name = |i: usize| match i {
        0 => "payer".to_owned(),
        i if i == count => "payee".to_owned(),
        1 => "forwarder".to_owned(),
        i => format!("forwarder-{i}"),
    };
    let nodes = (0..=count)
        .map(|i| {
            let node = if i == 0 {
                payer
            } else if i == count {
                payee
            } else {
                &forwarder
            };
            (name(i), node.clone())
        })
        .collect();
    let channels = (0..count)
        .map(|i| TopologyChannel {
            from: name(i),
            to: name(i + 1),
            ..first.clone()
        })
        .collect();
    Some(Topology {
        server: topology.server,
        name: format!("line-{}", count + 1),
        nodes,
        channels,
        connect: topology.connect.clone(),
        ready: topology.ready.clone(),
    })
}
