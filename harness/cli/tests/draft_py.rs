//! What an implementation that is installed, and not built in, looks like from the command line.

mod shared;

use shared::{finish, lnconform};
use std::path::Path;

struct Stage {
    dir: std::path::PathBuf,
    /// None is the machine's own.
    cache: Option<std::path::PathBuf>,
}

impl Stage {
    fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self { dir, cache: None }
    }

    fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = lnconform();
        command.args(args).current_dir(&self.dir);
        if let Some(cache) = &self.cache {
            command.env("LNCONFORM_CACHE", cache);
        }
        finish(&mut command)
    }
}

#[test]
fn one_that_is_not_installed_is_shown_and_fails_only_a_run_that_names_it() {
    let mut stage = Stage::new("draft-py-missing");
    stage.cache = Some(stage.dir.join("empty"));
    let line = "draft-py is not installed: `lnconform install draft-py` installs it";
    let check = "bolt01/bigsize/non-minimal-3";
    let (code, said) = stage.run(&["run", check]);
    assert!(
        said.contains(line) && said.contains("not run"),
        "{code:?} {said}"
    );
    assert_eq!(code, Some(0), "{said}");
    for named in [
        ["run", check, "--adapter", "draft-py"],
        ["run", check, "--require", "draft-py"],
    ] {
        let (code, said) = stage.run(&named);
        assert!(said.contains("lnconform install draft-py"), "{said}");
        assert_eq!(code, Some(5), "{named:?} {said}");
    }
    let (code, said) = stage.run(&["run", check, "--adapter", "draft-py@9.9.9"]);
    assert!(
        said.contains("draft-py 9.9.9 is not in the version table"),
        "{said}"
    );
    assert_eq!(code, Some(2), "{said}");
    for alone in [
        &["adapter", "draft-py"][..],
        &["adapter", "check", "draft-py"],
    ] {
        let (code, said) = stage.run(alone);
        assert!(said.contains(line), "{said}");
        assert_eq!(code, Some(5), "{alone:?} {said}");
    }
    let (_, said) = stage.run(&["doctor"]);
    assert!(said.contains("not installed: lnconform install draft-py"));
}

#[test]
fn an_installation_that_fails_fails_a_run_with_install() {
    let mut stage = Stage::new("draft-py-no-cache");
    // A file where the cache should be: nothing can be written below it.
    let file = stage.dir.join("file");
    std::fs::write(&file, "").unwrap();
    stage.cache = Some(file.join("cache"));
    let check = "bolt01/bigsize/non-minimal-3";
    let (code, said) = stage.run(&["run", check, "--install"]);
    assert!(said.contains("LNCONFORM_CACHE"), "{said}");
    assert_eq!(code, Some(5), "{said}");
    // Who does not take part is not installed.
    let (code, said) = stage.run(&["run", check, "--install", "--adapter", "reference"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn one_that_is_installed_takes_part_and_keeps_the_protocol() {
    let stage = Stage::new("draft-py-installed");
    let (code, said) = stage.run(&["install", "draft-py"]);
    assert_eq!(code, Some(0), "{said}");
    // It has no operation of BOLT 1, which it says, and which is not a failure.
    let check = "bolt01/bigsize/non-minimal-3";
    let (code, said) = stage.run(&["run", check, "--install"]);
    assert!(said.contains("draft-py"), "{said}");
    assert!(!said.contains("not run"), "{said}");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = stage.run(&["adapter", "check", "draft-py"]);
    assert!(!said.contains("warning"), "{said}");
    assert_eq!(code, Some(0), "{said}");
}
