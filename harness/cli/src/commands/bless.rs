//! `bless`: accepts the observations of the last run as snapshots.

use crate::args::BlessArgs;
use crate::failure::{Done, Failure, print};
use crate::world::World;
use lnconform_engine::filter::Filters;
use lnconform_engine::snapshot::{self, SnapshotStore};
use lnconform_vectors::case::Origin;
use std::collections::HashMap;
use std::path::Path;

/// Writes the snapshots that the filters take.
pub fn bless(args: &BlessArgs) -> Done {
    let filters = Filters::parse(&args.filters).map_err(Failure::usage)?;
    let world = World::load(None, &[])?;
    let files: HashMap<&str, String> = world
        .set
        .cases
        .iter()
        .filter(|c| c.origin == Origin::BuiltIn)
        .map(|c| (c.id.as_str(), c.file.to_string_lossy().replace('\\', "/")))
        .collect();
    let vector = |id: &str| files.get(id.split('#').next().unwrap_or(id));
    let builtin = |name: &String| lnconform_adapters::registry::builtin(name).is_some();
    let folder = args
        .snapshots
        .as_deref()
        .unwrap_or(Path::new("tests/snapshots"));
    let store = SnapshotStore::open(folder);
    let mut matched = false;
    let blessed = snapshot::bless(
        &store,
        &args.results,
        |o| {
            // The built-in store holds built-in implementations on this repository's vectors.
            let ours = vector(&o.id).is_some()
                && o.implementation.iter().all(builtin)
                && o.roles.iter().flat_map(|r| r.values()).all(builtin);
            let wanted = (ours || args.snapshots.is_some()) && filters.matches(&o.id);
            matched |= wanted;
            wanted
        },
        |id| vector(id).cloned().unwrap_or_default(),
    )?;
    if !matched {
        let results = args.results.display();
        return Err(Failure::usage(match args.snapshots {
            Some(_) => {
                format!("nothing in {results} matches; `lnconform run` with the same filter first")
            }
            None => format!(
                "nothing in {results} that is kept here matches; `lnconform run` with the same filter \
                 first, or name a store of your own with --snapshots DIR"
            ),
        }));
    }
    for path in &blessed.written {
        print(path.display());
    }
    print(format!(
        "{} written, {} as they were",
        blessed.written.len(),
        blessed.same
    ));
    if blessed.unfinished {
        print("the run was ended before its end, so there may be more");
    }
    Ok(0)
}
