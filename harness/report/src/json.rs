//! `--format json`: one object that sums the run up.

use crate::digest::{COLUMNS, Digest, KEPT};
use crate::text::clean_json;
use lnconform_engine::record::Record;
use lnconform_engine::results::{ReadEnd, Sink, visit};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes one JSON object at the end of a run:
///
/// `{"format": 1, "run", "exit_code" (absent for a run without an end), "verdict", "counts"
/// {outcome: n}, "implementations" {who: {"passed", "unexpected", "known", "warned",
/// "unsupported", "n/a", "not run"}}, "simulations" (checks of simulations that passed or failed),
/// "unexpected" [check records, at most 1000],
/// "unexpected_total", "warnings" [{"id", "who", "requirement", "message"}], "warnings_total",
/// "disagreements_total", "snapshots" {"same", "new", "changed", "drift"}, "stale" [text], "flaky" [text],
/// "untested" {name: mark} (absent where there is none), "not_installed" [{"name", "reason"}], "phases" {name: milliseconds}, "duration_ms", "results"}`
pub struct JsonView<W: Write> {
    out: W,
    results: Option<PathBuf>,
    digest: Digest,
}

impl<W: Write> JsonView<W> {
    /// A view on `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            results: None,
            digest: Digest::default(),
        }
    }

    /// Names the result file.
    #[must_use]
    pub fn with_results(mut self, path: &Path) -> Self {
        self.results = Some(path.into());
        self
    }

    /// Writes the object. Called once, after the last record.
    ///
    /// # Errors
    /// The output's.
    pub fn finish(&mut self) -> io::Result<()> {
        let value = summary(&self.digest, self.results.as_deref());
        let text = serde_json::to_string_pretty(&value)?;
        writeln!(self.out, "{}", clean_json(&text))?;
        self.out.flush()
    }
}

impl<W: Write> Sink for JsonView<W> {
    fn record(&mut self, record: &Record) {
        self.digest.record(record);
    }
}

/// Sums a result file up as one JSON object.
///
/// # Errors
/// The result file, the output.
pub fn show<W: Write>(path: &Path, out: W) -> Result<ReadEnd, crate::terminal::ReportError> {
    let mut view = JsonView::new(out).with_results(path);
    let end = visit(path, |record| view.record(&record))?;
    view.finish()?;
    Ok(end)
}

fn summary(digest: &Digest, results: Option<&Path>) -> Value {
    let mut object = Map::new();
    object.insert("format".into(), json!(1));
    if let Some(header) = &digest.header {
        object.insert("run".into(), json!(header.run));
    }
    if let Some(summary) = &digest.summary {
        object.insert("exit_code".into(), json!(summary.exit_code));
    }
    object.insert("verdict".into(), json!(digest.verdict()));
    let counts: Map<String, Value> = digest
        .counters
        .counts
        .iter()
        .map(|(o, n)| (o.as_str().into(), json!(n)))
        .collect();
    object.insert("counts".into(), Value::Object(counts));
    let rows: Map<String, Value> = digest
        .rows
        .iter()
        .map(|(who, row)| {
            let cells: Map<String, Value> = COLUMNS
                .iter()
                .zip(row.cells())
                .map(|(c, n)| ((*c).into(), json!(n)))
                .collect();
            (who.clone(), Value::Object(cells))
        })
        .collect();
    object.insert("implementations".into(), Value::Object(rows));
    let untested = digest.untested();
    let untested: Map<String, Value> = untested.map(|(n, m)| (n.into(), json!(m))).collect();
    if !untested.is_empty() {
        object.insert("untested".into(), Value::Object(untested));
    }
    object.insert("simulations".into(), json!(digest.simulations));
    debug_assert!(digest.unexpected.len() <= KEPT);
    object.insert("unexpected".into(), json!(digest.unexpected));
    object.insert("unexpected_total".into(), json!(digest.counters.unexpected));
    let warnings: Vec<Value> = digest
        .warnings
        .iter()
        .map(|w| {
            json!({"id": w.id, "who": w.who, "requirement": w.requirement.as_deref().unwrap_or_default(), "message": w.message})
        })
        .collect();
    object.insert("warnings".into(), Value::Array(warnings));
    object.insert("warnings_total".into(), json!(digest.counters.warnings));
    object.insert("disagreements_total".into(), json!(digest.disagreed));
    let s = digest.snapshots;
    object.insert(
        "snapshots".into(),
        json!({"same": s.same, "new": s.new, "changed": s.changed, "drift": s.drift}),
    );
    let (stale, flaky) = digest.notes();
    object.insert("stale".into(), json!(stale));
    object.insert("flaky".into(), json!(flaky));
    let absent: Vec<Value> = digest
        .absent()
        .map(|(name, reason)| json!({"name": name, "reason": reason}))
        .collect();
    object.insert("not_installed".into(), Value::Array(absent));
    let not_run: Vec<Value> = digest
        .not_run
        .iter()
        .map(|(reason, checks)| json!({"reason": reason, "checks": checks}))
        .collect();
    object.insert("not_run".into(), Value::Array(not_run));
    let phases: Map<String, Value> = digest
        .phases
        .iter()
        .map(|(name, ms)| (name.clone(), json!(ms)))
        .collect();
    object.insert("phases".into(), Value::Object(phases));
    if let Some(summary) = &digest.summary {
        object.insert("duration_ms".into(), json!(summary.duration_ms));
    }
    if let Some(path) = results {
        object.insert("results".into(), json!(path.display().to_string()));
    }
    Value::Object(object)
}
