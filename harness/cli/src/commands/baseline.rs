//! `baseline init|update|prune`: the ledger of expected failures, written from results.

use crate::args::BaselineFile;
use crate::failure::{Done, Failure, print};
use lnconform_engine::baseline::{self, BaselineError, Changed};
use lnconform_engine::ledger::{self, Ledger};
use std::path::Path;

fn failed(error: BaselineError) -> Failure {
    match error {
        BaselineError::Ledger(diagnostics) => diagnostics.into(),
        other => Failure::usage(other),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let told = |e: std::io::Error| {
        Failure::environment(format!(
            "{} cannot be written: {e}; give another place with -o",
            path.display()
        ))
    };
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(told)?;
    }
    std::fs::write(path, text).map_err(told)
}

/// Writes a new ledger; one that exists is not written over.
pub fn init(file: &BaselineFile) -> Done {
    if file.output.exists() {
        return Err(Failure::usage(format!(
            "{} exists; `lnconform baseline update` adds to it",
            file.output.display()
        )));
    }
    let text = baseline::init(&file.results, ledger::today()).map_err(failed)?;
    write(&file.output, &text)?;
    print(format!(
        "{}: say why each of them fails, and where that is followed up",
        file.output.display()
    ));
    Ok(0)
}

fn rewrite(file: &BaselineFile, changed: Changed, nothing: &str) -> Done {
    if changed.what.is_empty() {
        print(nothing);
        return Ok(0);
    }
    write(&file.output, &changed.text)?;
    for line in changed.what {
        print(line);
    }
    Ok(0)
}

fn existing(file: &BaselineFile) -> Result<String, Failure> {
    if !file.output.exists() {
        return Err(Failure::usage(format!(
            "{} does not exist; `lnconform baseline init` writes it, -o names another",
            file.output.display()
        )));
    }
    Ok(lnconform_yaml::read(&file.output)?)
}

/// Adds what is new.
pub fn update(file: &BaselineFile) -> Done {
    let text = existing(file)?;
    // Entries of the run's other ledgers are not repeated.
    let known = Ledger::find::<&Path>(&[], Path::new(""))?;
    let changed = baseline::update(&file.output, &text, &known, &file.results, ledger::today())
        .map_err(failed)?;
    rewrite(
        file,
        changed,
        "nothing new: every unexpected failure has its entry",
    )
}

/// Removes what nothing matches.
pub fn prune(file: &BaselineFile) -> Done {
    let text = existing(file)?;
    let changed = baseline::prune(&file.output, &text, &file.results).map_err(failed)?;
    rewrite(
        file,
        changed,
        "nothing to remove: every entry matches something in the results",
    )
}
