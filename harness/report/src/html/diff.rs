//! The page of a difference.

use super::{Frame, safe};
use crate::diff::{Diff, State};
use crate::text::count;
use askama::Template;
use std::io::{self, Write};

/// Rows of a section.
const ROWS: usize = 2000;

#[derive(Template)]
#[template(path = "diff.html")]
struct Page {
    frame: Frame,
    verdict: String,
    mood: &'static str,
    summary: String,
    unfinished: Vec<String>,
    implementations: Vec<(String, String, String)>,
    sections: Vec<Section>,
    observations: Vec<(String, String)>,
    observed: usize,
}

struct Section {
    heading: &'static str,
    all: usize,
    /// Check, who, old, new.
    rows: Vec<(String, String, String, String)>,
}

/// Writes the difference of two result files as a page that needs no network.
///
/// # Errors
/// The output's.
pub fn show<W: Write>(diff: &Diff, mut out: W) -> io::Result<()> {
    let side = |s: &Option<State>| {
        s.as_ref()
            .map_or_else(|| "absent".to_owned(), |s| safe(&s.text()))
    };
    let version = |v: &Option<String>| v.as_deref().map_or("absent".to_owned(), safe);
    let trouble = diff.new_trouble();
    let page = Page {
        frame: Frame::new(&[]),
        verdict: match trouble {
            0 => "nothing is newly unexpected".to_owned(),
            n => format!("{} newly unexpected", count(n, "check")),
        },
        mood: if trouble == 0 { "good" } else { "bad" },
        summary: diff.summary(),
        unfinished: diff.ended_early(),
        implementations: diff
            .implementations
            .iter()
            .map(|(name, old, new)| (safe(name), version(old), version(new)))
            .collect(),
        sections: diff
            .kinds()
            .into_iter()
            .map(|(heading, changes)| Section {
                heading,
                all: changes.len(),
                rows: changes
                    .iter()
                    .take(ROWS)
                    .map(|c| (safe(&c.id), safe(&c.who), side(&c.old), side(&c.new)))
                    .collect(),
            })
            .collect(),
        observations: diff
            .observations
            .iter()
            .take(ROWS)
            .map(|(id, who)| (safe(id), safe(who)))
            .collect(),
        observed: diff.observations.len(),
    };
    let text = page.render().map_err(io::Error::other)?;
    out.write_all(text.as_bytes())?;
    out.flush()
}
