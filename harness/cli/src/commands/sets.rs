//! `spec sets` and `spec freeze`: vectors that do not change any more.

use crate::args::{FreezeArgs, TextOrJson};
use crate::failure::{Done, Failure, note, print, print_json};
use crate::world::{World, broken};
use lnconform_engine::filter::Filters;
use lnconform_engine::ledger;
use lnconform_spec::sets::{Broken, FrozenSet, is_set_name};
use lnconform_vectors::case::{Body, Case, Origin};
use lnconform_vectors::digest::digest;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Lists the sets.
pub fn sets(format: TextOrJson) -> Done {
    let world = World::load(None, &[])?;
    let mut rows: Vec<Value> = Vec::new();
    for set in FrozenSet::all(Path::new("specs"))? {
        let broken = broken(&set, &world);
        if format == TextOrJson::Text {
            let state = match broken.len() {
                0 => "as it was frozen".to_owned(),
                n => format!("{n} of them are not what they were"),
            };
            print(format!(
                "{}  of {}, {} vectors, {state}",
                set.set,
                set.frozen,
                set.vectors.len()
            ));
            for (id, how) in &broken {
                let how = match how {
                    Broken::Gone => "gone",
                    Broken::Changed => "changed",
                };
                print(format!("  {how:<7} {id}"));
            }
        }
        let broken: Vec<Value> = broken
            .into_iter()
            .map(|(id, how)| json!({"id": id, "how": how}))
            .collect();
        rows.push(json!({
            "set": set.set, "frozen": set.frozen, "vectors": set.vectors.len(), "broken": broken,
        }));
    }
    match format {
        TextOrJson::Json => print_json(&json!({"sets": rows}).to_string()),
        TextOrJson::Text if rows.is_empty() => print("there is no frozen set"),
        TextOrJson::Text => {}
    }
    Ok(0)
}

/// Writes a set.
pub fn freeze(args: &FreezeArgs) -> Done {
    let name = &args.name;
    if !is_set_name(name) {
        return Err(Failure::usage(format!(
            "`{name}` is no name of a set: write year and number, such as 2027.1"
        )));
    }
    let today = match &args.today {
        Some(text) => ledger::date(text).map_err(|e| Failure::usage(format!("--today: {e}")))?,
        None => ledger::today(),
    };
    let world = World::load(None, &[])?;
    let filters = Filters::parse(&args.filters).map_err(Failure::usage)?;
    let ours = |case: &&Case| {
        case.origin == Origin::BuiltIn && (args.scenarios || matches!(case.body, Body::Codec(_)))
    };
    let ids = || world.set.cases.iter().filter(ours).map(|c| c.id.as_str());
    if let Some(idle) = filters.idle(ids()) {
        return Err(Failure::usage(format!(
            "the filter `{idle}` matches no vector that can be frozen; `--scenarios` takes those on live nodes"
        )));
    }
    let cases = world.set.cases.iter().filter(ours);
    let cases = cases.filter(|c| filters.matches(&c.id));
    let set = FrozenSet {
        set: name.clone(),
        frozen: today.to_string(),
        vectors: cases.map(|c| (c.id.clone(), digest(c))).collect(),
    };
    let file = args.output.join(format!("{name}.yaml"));
    // What cannot be made shows when the file is.
    let _ = std::fs::create_dir_all(&args.output);
    let open = OpenOptions::new().write(true).create_new(true).open(&file);
    let written = open.and_then(|mut out| out.write_all(set.yaml().as_bytes()));
    written.map_err(|e| {
        let help = match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                "; a set that somebody may run is never changed, so choose the next name"
            }
            _ => "",
        };
        Failure::usage(format!("{} cannot be written: {e}{help}", file.display()))
    })?;
    note(format!("{}: {} vectors", file.display(), set.vectors.len()));
    Ok(0)
}
