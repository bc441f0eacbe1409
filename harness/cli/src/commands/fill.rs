//! `fill`: expected values from the reference.

use crate::args::FillArgs;
use crate::failure::{Done, Failure, print};
use crate::world::catalogue;
use lnconform_vectors::load::{Options, Root, Vectors};
use lnconform_vectors::{file::VectorFile, fill as filling};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Fills files, or says which would change.
pub fn fill(args: &FillArgs) -> Done {
    let root = Path::new("vectors");
    if !root.is_dir() {
        return Err(Failure::usage(
            "there is no vectors/ here; `fill` works in a checkout",
        ));
    }
    let catalogue = catalogue()?;
    let options = Options {
        requirements: Some(&catalogue),
        unfilled: true,
        ..Options::default()
    };
    let set = Vectors::load(&[Root::BuiltIn(root.to_owned())], &[], &options)?;
    let files: Vec<PathBuf> = if args.files.is_empty() {
        // A matrix makes several cases of one file.
        let files: BTreeSet<&PathBuf> = set.cases.iter().map(|c| &c.file).collect();
        files.into_iter().cloned().collect()
    } else {
        args.files.clone()
    };
    let reference = lnconform_adapter_reference::Reference::default();
    let generator = filling::Generator {
        version: env!("CARGO_PKG_VERSION"),
        // The reference draws nothing; the seed is that of a run whose seed is not given.
        seed: Some("0"),
    };
    let mut changed = 0;
    for file in files {
        let text = lnconform_yaml::read(&file)?;
        let own: VectorFile = lnconform_yaml::from_str(&file, &text)?;
        if !filling::wants(&own) {
            continue;
        }
        let same = |c: &&lnconform_vectors::case::Case| {
            c.file == file || c.file.canonicalize().ok() == file.canonicalize().ok()
        };
        let case = set.cases.iter().find(same).ok_or_else(|| {
            Failure::usage(format!("{} is no vector below vectors/", file.display()))
        })?;
        let new = filling::fill(
            &file,
            &text,
            case,
            |op, input| reference.answer(op, input),
            &generator,
        )?;
        if new == text {
            continue;
        }
        changed += 1;
        if args.check {
            print(format!("{}: would change", file.display()));
        } else {
            std::fs::write(&file, new).map_err(|e| {
                Failure::environment(format!("{} cannot be written: {e}", file.display()))
            })?;
            print(file.display());
        }
    }
    print(format!(
        "{changed} {}",
        if args.check {
            "would change"
        } else {
            "changed"
        }
    ));
    Ok(u8::from(args.check && changed > 0))
}
