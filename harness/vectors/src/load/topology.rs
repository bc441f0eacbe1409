//! What serde cannot check of a topology.

use crate::bindings::{RESERVED, is_name};
use crate::case::Topology;
use crate::expect::{self, Fault};
use lnconform_yaml::suggest;
use serde_json::{Map, Value};

/// That roles exist and amounts fit.
pub(super) fn check(topology: &Topology) -> Result<(), Fault> {
    const READY: [&str; 2] = ["channels-usable", "graph-complete"];
    let role = |name: &str, path: &[&str]| {
        if topology.nodes.contains_key(name) {
            return Ok(());
        }
        let fault = Fault::new(path, format!("there is no node `{name}`"));
        Err(
            match suggest(name, topology.nodes.keys().map(String::as_str)) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help("name one of `nodes`"),
            },
        )
    };
    for name in topology.nodes.keys() {
        if !is_name(name) || RESERVED.contains(&name.as_str()) {
            return Err(Fault::new(
                &["nodes", name],
                format!("`{name}` cannot be the name of a role"),
            )
            .help("use letters, digits, `-` and `_`, and none of the matchers' names"));
        }
    }
    for (name, node) in &topology.nodes {
        options(&node.options).map_err(|f| f.below(&["nodes", name, "options"]))?;
    }
    if topology.nodes.is_empty() {
        return Err(Fault::new(&["nodes"], "a topology needs a node"));
    }
    for (i, channel) in topology.channels.iter().enumerate() {
        let i = i.to_string();
        role(&channel.from, &["channels", &i, "from"])?;
        role(&channel.to, &["channels", &i, "to"])?;
        if channel.from == channel.to {
            return Err(Fault::new(
                &["channels", &i, "to"],
                "a channel needs two different nodes",
            ));
        }
        if channel.push_msat > channel.capacity_sat.saturating_mul(1000) {
            return Err(Fault::new(
                &["channels", &i, "push_msat"],
                "more is pushed than the channel holds",
            )
            .help("`push_msat` counts millisatoshi, `capacity_sat` satoshi"));
        }
        if topology.nodes[&channel.from].funded_sat <= channel.capacity_sat {
            return Err(Fault::new(
                &["channels", &i, "from"],
                format!("`{}` cannot fund this channel", channel.from),
            )
            .help(format!(
                "give it more than {} in `funded_sat`",
                channel.capacity_sat
            )));
        }
    }
    for (i, pair) in topology.connect.iter().enumerate() {
        for (j, name) in pair.iter().enumerate() {
            role(name, &["connect", &i.to_string(), &j.to_string()])?;
        }
    }
    for (i, condition) in topology.ready.iter().enumerate() {
        if !READY.contains(&condition.as_str()) {
            return Err(Fault::new(
                &["ready", &i.to_string()],
                format!("there is no condition `{condition}`"),
            )
            .help(format!("conditions: {}", READY.join(", "))));
        }
    }
    Ok(())
}

/// That options of a node are literal, and none that the topology itself decides.
pub(super) fn options(options: &Map<String, Value>) -> Result<(), Fault> {
    for (name, value) in options {
        let own = match name.as_str() {
            "forwards" => Some("forwards"),
            "announce" => Some("announced"),
            _ => None,
        };
        if let Some(key) = own {
            return Err(
                Fault::new(&[name], format!("`{name}` is not set among the options"))
                    .help(format!("write `{key}` beside `options`, in the topology")),
            );
        }
        expect::numbers(value, name).map_err(|f| f.below(&[name]))?;
        if value.as_str().is_some_and(|text| text.starts_with('$')) {
            return Err(Fault::new(
                &[name],
                "an option is literal: nothing is bound before the nodes start",
            ));
        }
    }
    Ok(())
}
