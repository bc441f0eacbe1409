//! `report`, `diff`, and the screen of `run`.

use crate::args::{DiffArgs, ReportArgs, RunFormat};
use crate::failure::{Done, Failure};
use lnconform_engine::record::Record;
use lnconform_engine::results::Sink;
use lnconform_report::github::{self, GithubView};
use lnconform_report::json::{self, JsonView};
use lnconform_report::terminal;
use lnconform_report::{Progress, ReportError, Requirement, Requirements, Style, View, diff};
use lnconform_spec::Catalogue;
use std::io::{self, Stdout, stdout};
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
        other => Failure::environment(other),
    }
}

/// Shows a result file.
pub fn report(args: &ReportArgs) -> Done {
    let own = Path::new("specs");
    let catalogue = Catalogue::open(own.join("catalogue").is_dir().then_some(own))?;
    let shown = match args.format {
        RunFormat::Pretty => terminal::show(
            &args.results,
            stdout(),
            Style::of_stdout(),
            requirements(&catalogue),
        ),
        RunFormat::Json => json::show(&args.results, stdout()),
        RunFormat::Github => github::show(&args.results, stdout(), step_summary()),
    };
    shown.map(|_| 0).map_err(failed)
}

/// Shows what changed between two result files.
pub fn diff(args: &DiffArgs) -> Done {
    let diff = diff::compare(&args.old, &args.new)?;
    // Whoever closed the pipe has seen enough.
    let _ = diff.write(&mut stdout(), Style::of_stdout());
    let fails = args.fail_on.is_some() && diff.new_trouble() > 0;
    Ok(u8::from(fails))
}
