//! `spec drift`: what became of the statements between two revisions, and what hangs on them.

use crate::args::{DriftArgs, Shown};
use crate::config::Config;
use crate::failure::{Done, Failure, print, print_json};
use crate::world::{World, catalogue, sources};
use lnconform_engine::run::check_requirements;
use lnconform_engine::snapshot::SnapshotStore;
use lnconform_regtest::git;
use lnconform_spec::drift::{Drift, drift as compare};
use lnconform_spec::revisions::{self, RevisionError};
use std::collections::BTreeMap;
use std::path::Path;

impl From<RevisionError> for Failure {
    fn from(error: RevisionError) -> Self {
        match error.is_environment() {
            true => Self::environment(error),
            false => Self::usage(error),
        }
    }
}

/// Compares two revisions and shows what differs.
pub fn drift(args: &DriftArgs) -> Done {
    let specs = args.specs.as_deref().filter(|d| !d.as_os_str().is_empty());
    let (old, new) = revisions::both(&args.old, &args.new, specs, &git::ask)?;
    let catalogue = catalogue()?.only(&args.specs_named);
    let catalogue = catalogue.map_err(Failure::usage)?;
    let mut drift = compare(&old, &new, &catalogue, &sources()?);
    if drift.has_entries() {
        attach(&mut drift, args)?;
    }
    match args.format {
        Shown::Json => print_json(&serde_json::to_string(&drift).map_err(Failure::harness)?),
        Shown::Text => print(drift.table().trim_end()),
        Shown::Markdown => print(drift.markdown().trim_end()),
    }
    Ok(0)
}

/// Looks for the checks that cover the entries, and for their snapshots.
fn attach(drift: &mut Drift, args: &DriftArgs) -> Result<(), Failure> {
    let mut vectors = args.vectors.clone();
    vectors.extend(Config::find()?.vectors);
    // Upstream's own cases lie in the checkout itself and move with it.
    let world = World::load(None, &vectors)?;
    let mut checks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (check, requirements) in world.set.cases.iter().flat_map(check_requirements) {
        for requirement in requirements {
            checks.entry(requirement).or_default().push(check.clone());
        }
    }
    let store = SnapshotStore::find(args.snapshots.as_deref(), Path::new(""));
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, key) in store.keys()? {
        let path = path.display().to_string();
        files.entry(key.check).or_default().push(path);
    }
    drift.attach(|entry| {
        let checks = checks.get(entry).cloned().unwrap_or_default();
        let files = checks.iter().filter_map(|check| files.get(check));
        let files = files.flatten().cloned().collect();
        (checks, files)
    });
    Ok(())
}
