//! `explain` of an implementation: what it is, what is known to fail, what the last run saw.

use crate::failure::{Done, Failure, print};
use lnconform_adapters::registry::{Kind, builtin, resolve};
use lnconform_engine::ledger::Ledger;
use lnconform_engine::record::{Check, Record};
use lnconform_engine::results;
use lnconform_regtest::provision::Provisioner;
use std::collections::BTreeMap;
use std::path::Path;

/// Outcomes listed, before the rest is counted.
const LISTED: usize = 10;

/// Explains a built-in one by its name.
pub fn explain(name: &str, file: &Path) -> Done {
    let Some(builtin) = builtin(name) else {
        return Err(Failure::usage(format!("`{name}` is not built in")));
    };
    print(builtin.name);
    print(format!("  {}", builtin.about));
    let kinds = builtin.processes.iter().map(|p| match p.kind {
        Kind::Codec => "codec",
        Kind::Node => "node",
    });
    print(format!(
        "  {}, written in {}",
        kinds.collect::<Vec<_>>().join(" and "),
        builtin.language
    ));
    let resolved = resolve(name).map_err(Failure::usage)?;
    match resolved.installed(&Provisioner::from_env()) {
        Err(missing) => print(format!("  not installed: {missing}")),
        Ok(()) if builtin.needs.is_empty() => print("  a part of this program"),
        Ok(()) => print(format!("  installed: {}", builtin.needs.join(", "))),
    }
    if !builtin.default {
        print("  takes part only where it is named");
    }
    let ledger = Ledger::find::<&Path>(&[], Path::new(""))?;
    let known: Vec<_> = ledger
        .entries()
        .iter()
        .filter(|entry| {
            let mut roles = entry.text.roles.iter().flat_map(BTreeMap::values);
            entry.text.implementation.as_deref() == Some(name) || roles.any(|who| who == name)
        })
        .collect();
    print(match known.len() {
        0 => "no failure of it is expected".to_owned(),
        n => format!("expected failures: {n} entries of the ledger"),
    });
    for entry in known {
        print(format!("  {}  ({})", entry.text.check, entry.place()));
        print(format!("      {}", entry.text.reason));
    }
    seen(name, file);
    print(format!("run it: lnconform run --adapter {name}"));
    Ok(0)
}

/// What a result file says of it.
fn seen(name: &str, file: &Path) {
    let takes_part = |check: &Check| {
        let mut roles = check.roles.iter().flat_map(BTreeMap::values);
        check.implementation.as_deref() == Some(name) || roles.any(|who| who == name)
    };
    let mut version = None;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexpected = Vec::new();
    let read = results::visit(file, |record| match record {
        Record::Run(run) => {
            let this = run.implementations.into_iter().find(|i| i.name == name);
            version = this.map(|i| i.version).filter(|v| !v.is_empty());
        }
        Record::Check(check) if takes_part(&check) => {
            *counts.entry(check.outcome.as_str()).or_default() += 1;
            if !check.expected {
                let why = check.message.unwrap_or_default();
                let why = why.lines().next().unwrap_or_default().to_owned();
                unexpected.push(format!("  {} {}: {why}", check.id, check.outcome));
            }
        }
        _ => {}
    });
    if read.is_err() || counts.is_empty() {
        return;
    }
    let counts: Vec<String> = counts.iter().map(|(o, n)| format!("{n} {o}")).collect();
    let version = version.map_or(String::new(), |v| format!(", version {v}"));
    print(format!(
        "in {}{version}: {}",
        file.display(),
        counts.join(", ")
    ));
    let more = unexpected.len().saturating_sub(LISTED);
    for line in unexpected.into_iter().take(LISTED) {
        print(line);
    }
    if more > 0 {
        print(format!("  and {more} more that were not expected"));
    }
}
