//! `spec scaffold`: a catalogue to be filled in.

use crate::args::ScaffoldArgs;
use crate::failure::{Done, Failure, note, print};
use crate::world::{catalogue, sources};
use lnconform_spec::revisions;
use lnconform_spec::scaffold::{Origin, Patch, PatchError, is_patch, scaffold as make};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

impl From<PatchError> for Failure {
    fn from(error: PatchError) -> Self {
        Self::usage(error)
    }
}

/// Writes the skeleton.
pub fn scaffold(args: &ScaffoldArgs) -> Done {
    let specs = args.specs.as_deref().filter(|d| !d.as_os_str().is_empty());
    let given = revisions::file(&args.text)?;
    let mut origin = Origin {
        path: args.document.clone().unwrap_or_default(),
        spec: args.name.clone(),
        revision: args.revision.clone(),
        quote: args.quote,
        all: args.all,
    };
    let (old, new) = if is_patch(&given) {
        let patch = Patch::choose(Patch::parse(&given)?, args.document.as_deref())?;
        if origin.path.is_empty() {
            origin.path.clone_from(&patch.path);
        }
        let base = specs.filter(|_| !patch.created);
        let base = base.map(|dir| base_of(dir, &patch)).transpose()?.flatten();
        let (old, new) = patch.apply(base.as_deref())?;
        (Some(old), new)
    } else {
        if origin.path.is_empty() {
            origin.path = path_of(&args.text, specs);
        }
        (None, given)
    };
    let skeleton = make(old.as_deref(), &new, &origin, &catalogue()?, &sources()?);
    if skeleton.entries == 0 {
        let why = match skeleton.known {
            0 => "no statement in it is new: no bullet and no sentence with an RFC 2119 keyword",
            _ => {
                "each of its statements has an entry in a catalogue; `--all` takes them all the same"
            }
        };
        return Err(Failure::usage(format!("{}: {why}", args.text.display())));
    }
    match &args.output {
        None => print(skeleton.yaml.trim_end()),
        Some(file) => write(file, &skeleton.yaml)?,
    }
    let entries = match skeleton.entries {
        1 => "1 entry".to_owned(),
        n => format!("{n} entries"),
    };
    note(format!(
        "{}: {entries}, each without its paraphrase yet; the file loads once they are written",
        skeleton.spec
    ));
    if let Some(source) = &skeleton.source {
        note("in this project's repository, specs/sources.yaml lists the text:");
        note(source);
    }
    Ok(0)
}

/// The text that a diff changes, in a checkout: at its new path, else at the old one, else without the
/// folders that the checkout may not have.
fn base_of(dir: &Path, patch: &Patch) -> Result<Option<String>, Failure> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let paths = [
        patch.path.clone(),
        patch.old_path.clone(),
        last(&patch.path),
    ];
    let mut files = paths.iter().map(|path| dir.join(path));
    Ok(match files.find(|file| file.is_file()) {
        Some(file) => Some(revisions::file(&file)?),
        None => None,
    })
}

/// The path of a text as a catalogue names it: from the checkout on where it lies in one.
fn path_of(text: &Path, specs: Option<&Path>) -> String {
    let below = specs.and_then(|dir| text.strip_prefix(dir).ok());
    let path = match below {
        Some(below) => below.to_owned(),
        None if text.is_relative() => text.to_owned(),
        // Where it lies on this machine is nobody else's business.
        None => text.file_name().map(Into::into).unwrap_or_default(),
    };
    path.to_string_lossy().replace('\\', "/")
}

fn write(file: &Path, yaml: &str) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        // What is wrong shows when the file is made.
        let _ = std::fs::create_dir_all(folder);
    }
    // Never over a catalogue that somebody has filled in.
    let open = OpenOptions::new().write(true).create_new(true).open(file);
    let done = open.and_then(|mut out| out.write_all(yaml.as_bytes()));
    done.map_err(|e| {
        let help = match e.kind() {
            std::io::ErrorKind::AlreadyExists => "; name a new file, or write to standard output",
            _ => "",
        };
        Failure::usage(format!("{} cannot be written: {e}{help}", file.display()))
    })
}
