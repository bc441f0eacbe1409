//! `merge`: result files of shards as one.

use crate::args::MergeArgs;
use crate::failure::{Done, Failure, note, print};
use lnconform_engine::merge::{self, MergeError, Part};
use lnconform_engine::run::exit;
use std::path::PathBuf;

/// Puts result files together.
pub fn merge(args: &MergeArgs) -> Done {
    let of = |paths: &[PathBuf], self_reported| -> Vec<Part> {
        let part = |path: &PathBuf| Part {
            path: path.clone(),
            self_reported,
        };
        paths.iter().map(part).collect()
    };
    let mut parts = of(&args.results, false);
    parts.extend(of(&args.self_reported, true));
    let merged = merge::merge_into(&parts, &args.output).map_err(|e| match e {
        MergeError::Results(e) => e.into(),
        other => Failure::usage(other),
    })?;
    for line in &merged.notes {
        note(format!("lnconform: {line}"));
    }
    let verdict = match &merged.summary {
        Some(end) => format!(
            "{} unexpected, exit code of the whole {}",
            end.unexpected, end.exit_code
        ),
        None => "without an end".to_owned(),
    };
    print(format!(
        "{}: {} files, {verdict}; `lnconform report {}` shows it",
        args.output.display(),
        parts.len(),
        super::run::quoted(&args.output)
    ));
    Ok(exit::OK)
}
