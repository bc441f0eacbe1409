//! `report`, `diff`, and the screen of `run`.

use crate::args::{DiffArgs, DiffFormat, ReportArgs, ReportFormat, RunFormat};
use crate::failure::{Done, Failure};
use crate::world::{catalogue, sources};
use lnconform_engine::record::Record;
use lnconform_engine::results::Sink;
use lnconform_report::github::{self, GithubView};
use lnconform_report::html::{self, Sentence, Sentences};
use lnconform_report::json::{self, JsonView};
use lnconform_report::{Progress, ReportError, Requirement, Requirements, Style, View, diff};
use lnconform_report::{badge, junit, markdown, terminal};
use lnconform_spec::{Catalogue, text};
use std::fs;
use std::io::{self, Stdout, Write, stdout};
use std::path::{Path, PathBuf};

/// What a person (or GitHub) sees of a run while it goes.
pub enum Screen<'a> {
    /// `--format pretty`
    Pretty(Box<View<'a, Stdout>>),
    /// `--format json`
    Json(Box<JsonView<Stdout>>),
    /// `--format github`: annotations at the end, and before them what `pretty` shows, so that
    /// the log of the step tells the same.
    Github(Box<GithubView<Stdout>>, Box<View<'a, Stdout>>),
}

impl<'a> Screen<'a> {
    /// The screen for a format.
    pub fn new(
        format: RunFormat,
        results: Option<&Path>,
        progress: Progress,
        catalogue: &'a Catalogue,
    ) -> Self {
        match format {
            RunFormat::Pretty => {
                let view = View::new(stdout(), Style::of_stdout(), requirements(catalogue));
                let view = view.with_progress(progress);
                Self::Pretty(Box::new(match results {
                    Some(path) => view.with_results(path),
                    None => view,
                }))
            }
            RunFormat::Json => {
                let view = JsonView::new(stdout());
                Self::Json(Box::new(match results {
                    Some(path) => view.with_results(path),
                    None => view,
                }))
            }
            RunFormat::Github => Self::Github(
                Box::new(GithubView::new(stdout(), step_summary())),
                Box::new(
                    View::new(stdout(), Style::plain(), requirements(catalogue))
                        .with_progress(progress),
                ),
            ),
        }
    }

    /// The end of the run.
    ///
    /// # Errors
    /// When the output has gone away.
    pub fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Pretty(view) => view.finish(),
            Self::Json(view) => view.finish(),
            Self::Github(view, log) => log.finish().and_then(|()| view.finish()),
        }
    }
}

impl Sink for Screen<'_> {
    fn record(&mut self, record: &Record) {
        match self {
            Self::Pretty(view) => view.record(record),
            Self::Json(view) => view.record(record),
            Self::Github(view, log) => {
                view.record(record);
                log.record(record);
            }
        }
    }

    fn tick(&mut self) {
        match self {
            Self::Pretty(view) => view.tick(),
            Self::Json(view) => view.tick(),
            Self::Github(view, log) => {
                view.tick();
                log.tick();
            }
        }
    }
}

fn step_summary() -> Option<PathBuf> {
    std::env::var_os("GITHUB_STEP_SUMMARY")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

fn requirements(catalogue: &Catalogue) -> Requirements<'_> {
    Box::new(|id| {
        catalogue.get(id).map(|entry| Requirement {
            keyword: entry.keyword.as_str().to_owned(),
            section: format!("{}, {}", entry.spec, entry.section),
            paraphrase: entry.paraphrase.clone(),
        })
    })
}

fn failed(error: ReportError) -> Failure {
    match error {
        ReportError::Results(e) => e.into(),
        nobody @ ReportError::Nobody { .. } => Failure::usage(nobody),
        // A place that cannot be written to is what the user named; a full disk is not.
        ReportError::Output(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Failure::usage(ReportError::Output(e))
        }
        other => Failure::environment(other),
    }
}

/// Shows a result file.
pub fn report(args: &ReportArgs) -> Done {
    let catalogue = catalogue()?;
    let [results, more @ ..] = args.results.as_slice() else {
        return Err(Failure::usage("no result file is named"));
    };
    if !more.is_empty() && args.format != ReportFormat::Html {
        return Err(Failure::usage(
            "only `--format html` shows several result files; name one",
        ));
    }
    if args.implementation.is_some() && args.format != ReportFormat::Badge {
        return Err(Failure::usage(
            "only `--format badge` is of one implementation; leave `--implementation` out",
        ));
    }
    let output = args.output.as_deref();
    if let Some(output) = output {
        not_an_input(output, args.results.iter())?;
    }
    let rules = requirements(&catalogue);
    let shown = match args.format {
        ReportFormat::Github => {
            if let Some(page) = output {
                fresh(page)?;
            }
            let page = output.map(PathBuf::from).or_else(step_summary);
            github::show(results, stdout(), page)
        }
        ReportFormat::Pretty => {
            let style = match output {
                Some(_) => Style::plain(),
                None => Style::of_stdout(),
            };
            to(output, |out| terminal::show(results, out, style, rules))
        }
        ReportFormat::Json => to(output, |out| json::show(results, out)),
        ReportFormat::Html => {
            let sentences = sentences(&catalogue, args.specs.as_deref())?;
            to(output, |out| html::show(&args.results, out, &sentences))
        }
        ReportFormat::Junit => to(output, |out| junit::show(results, out)),
        ReportFormat::Markdown => to(output, |out| markdown::show(results, out, &rules)),
        ReportFormat::Badge => {
            let only = args.implementation.as_deref();
            to(output, |out| badge::show(results, only, out))
        }
    };
    match shown {
        // Whoever closed the pipe has seen enough.
        Err(ReportError::Output(e))
            if output.is_none() && e.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(0)
        }
        other => other.map(|_| 0).map_err(failed),
    }
}

/// Requirements with their sentences, where the texts are at hand: our own drafts, and what lies
/// below `specs`.
fn sentences<'a>(catalogue: &'a Catalogue, specs: Option<&Path>) -> Result<Sentences<'a>, Failure> {
    // A variable that is set to nothing names none.
    let specs = specs.filter(|dir| !dir.as_os_str().is_empty());
    if let Some(dir) = specs.filter(|dir| !dir.is_dir()) {
        return Err(Failure::usage(format!(
            "{} is no folder; `--specs` (or LNCONFORM_SPECS) names a checkout of the specifications",
            dir.display()
        )));
    }
    let texts = text::sentences_of(catalogue, &sources()?, specs)?;
    let rules = requirements(catalogue);
    Ok(Box::new(move |id| {
        Some(Sentence {
            requirement: rules(id)?,
            sentence: texts.get(id).cloned(),
        })
    }))
}

/// Writes to a file as a whole or not at all, or to standard output.
fn to<T>(
    output: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<T, ReportError>,
) -> Result<T, ReportError> {
    let Some(path) = output else {
        return write(&mut stdout());
    };
    let mut text = Vec::new();
    let done = write(&mut text)?;
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)?;
    Ok(done)
}

/// A file that is there and begins empty.
fn fresh(path: &Path) -> Result<(), Failure> {
    to(Some(path), |_| Ok(())).map_err(failed)
}

/// A report never overwrites what it is made from.
fn not_an_input<'a>(
    output: &Path,
    mut inputs: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), Failure> {
    let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    match inputs.find(|input| same(output, input)) {
        Some(_) => Err(Failure::usage(format!(
            "{} is the result file itself; name another file with `--output`",
            output.display()
        ))),
        None => Ok(()),
    }
}

/// Shows what changed between two result files.
pub fn diff(args: &DiffArgs) -> Done {
    let output = args.output.as_deref();
    if let Some(output) = output {
        not_an_input(output, [&args.old, &args.new].into_iter())?;
    }
    let diff = diff::compare(&args.old, &args.new)?;
    let style = match output {
        Some(_) => Style::plain(),
        None => Style::of_stdout(),
    };
    let written = to(output, |mut out| {
        match args.format {
            DiffFormat::Text => diff.write(&mut out, style)?,
            DiffFormat::Markdown => markdown::show_diff(&diff, out)?,
            DiffFormat::Html => html::show_diff(&diff, out)?,
        }
        Ok(())
    });
    // Whoever closed the pipe has seen enough; a file that cannot be written is a fault.
    if output.is_some() {
        written.map_err(failed)?;
    }
    let fails = args.fail_on.is_some() && diff.new_trouble() > 0;
    Ok(u8::from(fails))
}
