//! Asks git about a checkout.

use std::path::Path;
use std::process::{Command, Stdio};

/// What git answers to `args` in the folder `dir`, or the last line of what it says against it.
///
/// # Errors
/// The system's words where git cannot be run at all.
pub fn ask(dir: &Path, args: &[&str]) -> Result<Result<Vec<u8>, String>, String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(args)
        // Another repository than the one of the folder is not meant.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(Ok(output.stdout));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last();
    Ok(Err(last.unwrap_or("it says nothing").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_answers_or_says_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let why = ask(dir.path(), &["rev-parse", "--git-dir"]).unwrap();
        let why = why.unwrap_err();
        assert!(why.starts_with("fatal: "), "{why}");
        ask(dir.path(), &["init", "--quiet"]).unwrap().unwrap();
        let answer = ask(dir.path(), &["rev-parse", "--git-dir"]).unwrap();
        assert_eq!(answer.unwrap(), b".git\n");
    }
}
