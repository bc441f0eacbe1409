//! How far a run is: a bar on a terminal, a line now and then elsewhere.

use crate::text::{clean, count};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a plain line tells how far the run is.
const EVERY: Duration = Duration::from_secs(30);

/// The progress of a run, on standard error. Clones show the same bar, so that a thread which
/// builds something can say so.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    plain: bool,
    done: u64,
    total: u64,
    unexpected: u64,
    told: Instant,
}

impl Progress {
    /// A bar where standard error is a terminal and `CI` is not set; else a line every 30
    /// seconds. `total` is the number of checks planned.
    pub fn new(total: u64) -> Self {
        let ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
        let terminal = std::io::stderr().is_terminal() && !ci;
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("[{bar:24}] {pos}/{len} {elapsed} {wide_msg}");
            bar.with_style(
                style
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> "),
            )
        });
        Self {
            plain: bar.is_none(),
            bar,
            ..Self::hidden()
        }
        .with_total(total)
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        Self {
            bar: None,
            plain: false,
            done: 0,
            total: 0,
            unexpected: 0,
            told: Instant::now(),
        }
    }

    fn with_total(mut self, total: u64) -> Self {
        self.total = total;
        self
    }

    /// Says what is being done, such as `building bitcoind, usually 6 minutes`.
    pub fn note(&self, what: &str) {
        let what = clean(what);
        match &self.bar {
            Some(bar) => bar.set_message(what.into_owned()),
            None if self.plain => {
                let _ = writeln!(std::io::stderr(), "lnconform: {what}");
            }
            None => {}
        }
    }

    pub(crate) fn step(&mut self, unexpected: bool) {
        self.done += 1;
        self.unexpected += u64::from(unexpected);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    pub(crate) fn tick(&mut self) {
        if let Some(bar) = &self.bar {
            bar.tick();
        } else if self.plain && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            let _ = writeln!(std::io::stderr(), "lnconform: {}", self.line());
        }
    }

    fn line(&self) -> String {
        format!(
            "{} of {}, {} unexpected",
            self.done,
            count(self.total, "check"),
            self.unexpected
        )
    }

    /// Runs `print` while the bar is out of the way.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_it_is() {
        let mut progress = Progress::hidden().with_total(3);
        progress.step(false);
        progress.step(true);
        assert_eq!(progress.line(), "2 of 3 checks, 1 unexpected");
    }
}
