//! `export`: vectors as one file for everybody.

use crate::args::ExportArgs;
use crate::config::Config;
use crate::failure::{Done, Failure, note, print_json};
use crate::world::World;
use lnconform_engine::filter::Filters;
use lnconform_vectors::case::{Case, Origin};
use lnconform_vectors::export::write;
use std::collections::BTreeMap;

/// Writes the file.
pub fn export(args: &ExportArgs) -> Done {
    let mut vectors = args.vectors.clone();
    vectors.extend(Config::find()?.vectors);
    let world = World::load(None, &vectors)?;
    let filters = Filters::parse(&args.filters).map_err(Failure::usage)?;
    let ours = || {
        world
            .set
            .cases
            .iter()
            .filter(|c| c.origin != Origin::Upstream)
    };
    if let Some(idle) = filters.idle(ours().map(|c| c.id.as_str())) {
        return Err(Failure::usage(format!(
            "the filter `{idle}` matches no vector; `lnconform list` shows the ids"
        )));
    }
    let cases: Vec<&Case> = ours().filter(|c| filters.matches(&c.id)).collect();
    let says = |rule: &str| world.catalogue.get(rule).map(|e| e.paraphrase.clone());
    let exported = write(&cases, says);
    if exported.written == 0 {
        let why = exported.left_out.first().map_or("", |(_, why)| why);
        return Err(Failure::usage(format!(
            "none of these vectors can stand alone: {why}"
        )));
    }
    match &args.output {
        None => print_json(exported.json.trim_end()),
        Some(file) => std::fs::write(file, &exported.json)
            .map_err(|e| Failure::usage(format!("{} cannot be written: {e}", file.display())))?,
    }
    let s = if exported.written == 1 { "" } else { "s" };
    note(format!("{} vector{s} written", exported.written));
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, why) in &exported.left_out {
        reasons.entry(why).or_default().push(id);
    }
    for (why, ids) in reasons {
        let first = ids.first().copied().unwrap_or_default();
        note(match ids.len() {
            1 => format!("`{first}` is left out: {why}"),
            n => format!("{n} are left out, such as `{first}`: {why}"),
        });
    }
    Ok(0)
}
