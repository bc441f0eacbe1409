//! `clean`: what killed runs left.

use crate::args::CleanArgs;
use crate::failure::{Done, Failure, print};
use lnconform_regtest::clean as leftovers;

/// Removes it, or shows it.
pub fn clean(args: &CleanArgs) -> Done {
    let found = leftovers::plan();
    if found.is_empty() {
        print("nothing is left of earlier runs");
        return Ok(0);
    }
    for leftover in &found {
        print(leftover);
    }
    if args.dry_run {
        return Ok(0);
    }
    leftovers::remove(&found).map_err(|errors| Failure {
        code: 5,
        lines: errors.iter().map(ToString::to_string).collect(),
    })?;
    print(format!("{} removed", found.len()));
    Ok(0)
}
