//! The ledger of expected failures (`tests/expectations/*.yaml`).
//!
//! An entry says: this check fails on this implementation, in this way, for this reason, until
//! this day. It mutes nothing. The check still runs, and the run fails when
//!
//! - the check passes (an unexpected result, exit code 1), unless the entry is `flaky`;
//! - it fails in another way (an unexpected result);
//! - the entry has expired: it still names the failure, and is itself stale (exit code 3);
//! - the entry matches nothing although its check and implementation were in the plan (stale), or
//!   names a check that does not exist (stale, only in an unfiltered run).
//!
//! ```yaml
//! - check: bolt12/offer/unknown-even        # a glob over check ids
//!   implementation: ldk-0.2                 # or roles: {payer: lnd}
//!   versions: "<0.2.1"                      # optional, a semver range
//!   signature: {kind: accepted}             # at least one of kind, code, rule, message
//!   reason: Unknown even types between 80 and 1000000000 are let through.
//!   issue: https://example.org/issues/1     # or `{none: why there is no issue}`
//!   expires: 2027-06-30                     # the last day on which it counts
//! ```

use crate::record::{Check, Outcome};
use crate::results::Actor;
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use include_dir::{Dir, include_dir};
use jiff::civil::Date;
use lnconform_yaml::{Diagnostic, locate, suggest};
use schemars::JsonSchema;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub use crate::record::Failure;

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../tests/expectations");

/// Where the ledger lies, in this repository and in a working directory.
pub const FOLDER: &str = "tests/expectations";

/// A reason that begins so was written by `baseline` and waits for a person.
pub const TODO: &str = "TODO";

/// The JSON Schema of a ledger file: a list of entries.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Vec<EntryText>).to_value()
}

/// One entry as it stands in a file; strict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryText {
    /// Glob over check ids; without `#`, it also means the steps of a scenario.
    pub check: String,
    /// Who fails: the implementation of a codec check, or one that takes any role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implementation: Option<String>,
    /// Who fails, by role; roles that are not named may be taken by anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<BTreeMap<String, String>>,
    /// Versions of the implementation (of every one named in `roles`) to which the entry applies,
    /// a semver range; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<String>,
    /// How it fails.
    pub signature: Signature,
    /// It sometimes passes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flaky: bool,
    /// Why it fails, for a person.
    pub reason: String,
    /// Where it is followed up.
    pub issue: Issue,
    /// The last day on which the entry counts, `YYYY-MM-DD`.
    pub expires: String,
}

/// How a check is expected to fail. What is absent is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Kind of the error that is answered, or `accepted`, `mismatch`, `crash`, `hang`,
    /// `protocol`, `deadline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// BOLT 4 failure code with its flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Requirement id in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// A part of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Signature {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first difference from a failure, as "expects …, this failure has …"; `None` on a match.
    pub fn difference(&self, failure: &Failure) -> Option<String> {
        let told = |name: &str, want: &dyn fmt::Display, got: Option<String>| {
            let got = got.map_or_else(|| "none".to_owned(), |g| format!("`{g}`"));
            Some(format!(
                "expects the {name} `{want}`, this failure has {got}"
            ))
        };
        if let Some(kind) = &self.kind
            && failure.kind.as_ref() != Some(kind)
        {
            return told("kind", kind, failure.kind.clone());
        }
        if let Some(code) = &self.code
            && failure.code.as_ref() != Some(code)
        {
            return told("code", code, failure.code.map(|c| c.to_string()));
        }
        if let Some(rule) = &self.rule
            && failure.rule.as_ref() != Some(rule)
        {
            return told("rule", rule, failure.rule.clone());
        }
        match &self.message {
            Some(part) if !failure.message.contains(part.as_str()) => {
                Some(format!("expects `{part}` in the message"))
            }
            _ => None,
        }
    }
}

/// Where a failure is followed up: a URL, or `none` with the reason. The reason may stand as
/// `{none: why}` or, quoted, as `"none: why"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Issue {
    /// `https://…`, or `none: why`.
    Text(String),
    /// No issue, and why.
    None {
        /// Why there is none.
        none: String,
    },
}

impl Default for Issue {
    fn default() -> Self {
        Issue::Text(String::new())
    }
}

/// A checked entry.
#[derive(Debug)]
pub struct Entry {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Line of the entry, counted from 1.
    pub line: usize,
    /// As written.
    pub text: EntryText,
    /// The last day on which it counts.
    pub expires: Date,
    versions: Option<VersionReq>,
    tally: Tally,
}

/// What a run did with an entry.
#[derive(Debug, Default)]
struct Tally {
    /// Failures with the right signature.
    hits: AtomicU64,
    /// Failures with another one.
    others: AtomicU64,
    /// Passes of the whole of what the entry names.
    passes: AtomicU64,
    /// `unsupported` or `not-applicable`.
    lacking: AtomicU64,
    /// Steps of a scenario that the entry names, or of a scenario of which it names a step, that
    /// passed.
    steps_passed: AtomicU64,
    /// The same, but not passed.
    steps_other: AtomicU64,
}

impl Entry {
    /// `file:line`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }

    /// Whether nobody has yet said why (`baseline` wrote the entry).
    pub fn unexplained(&self) -> bool {
        self.text.reason.starts_with(TODO)
    }

    /// Who is meant, as text.
    pub fn who(&self) -> String {
        match (&self.text.implementation, &self.text.roles) {
            (Some(name), _) => name.clone(),
            (None, Some(roles)) => crate::record::roles_text(roles),
            (None, None) => String::new(),
        }
    }

    /// Whether the whole of what it names passed in the checks judged so far.
    pub(crate) fn passed(&self) -> bool {
        self.tally.passes.load(Relaxed) > 0
    }

    /// Whether a check it names failed, but with another signature.
    pub(crate) fn failed_otherwise(&self) -> bool {
        self.tally.others.load(Relaxed) > 0
    }

    fn means(&self, actor: &Actor) -> bool {
        match (&self.text.implementation, &self.text.roles, actor) {
            (Some(name), _, Actor::Implementation(who)) => same_name(name, who),
            (Some(name), _, Actor::Roles(roles)) => roles.values().any(|who| same_name(name, who)),
            (None, Some(wanted), Actor::Roles(roles)) => wanted
                .iter()
                .all(|(role, name)| roles.get(role).is_some_and(|who| same_name(name, who))),
            (None, _, _) => false,
        }
    }

    fn version_applies(&self, actor: &Actor, version: &dyn Fn(&str) -> Option<String>) -> bool {
        let Some(range) = &self.versions else {
            return true;
        };
        let in_range = |who: &str| version(who).is_some_and(|v| in_range(range, &v));
        match (&self.text.implementation, &self.text.roles, actor) {
            (_, _, Actor::Implementation(who)) => in_range(who),
            (Some(name), _, Actor::Roles(roles)) => roles
                .values()
                .any(|who| same_name(name, who) && in_range(who)),
            (None, Some(wanted), Actor::Roles(roles)) => wanted
                .keys()
                .all(|role| roles.get(role).is_some_and(|who| in_range(who))),
            (None, None, _) => false,
        }
    }
}

/// `lnd` means every row of lnd, `lnd@v0.20` one of them.
fn same_name(wanted: &str, who: &str) -> bool {
    wanted == who || (!wanted.contains('@') && who.split('@').next() == Some(wanted))
}

/// Reads what implementations call their version (`v0.19.3-beta`, `0.7.1+g1a2b`, `24.08`) as
/// semver: the first number and what hangs on it, filled up to three parts.
fn lenient_version(text: &str) -> Option<Version> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let text = text[start..]
        .split(|c: char| c.is_whitespace() || c == ',')
        .next()?;
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let numbers = text[..end].trim_end_matches('.');
    let mut parts = [0u64; 3];
    for (i, part) in numbers.split('.').take(3).enumerate() {
        parts[i] = part.parse().ok()?;
    }
    let mut version = Version::new(parts[0], parts[1], parts[2]);
    let rest = text[end..].split('+').next().unwrap_or_default();
    let rest = rest.trim_start_matches(['-', '.', '_']);
    // `24.08rc2` and `0.3.0-rc3` both name a pre-release.
    version.pre = semver::Prerelease::new(rest).unwrap_or_default();
    Some(version)
}

/// Unlike cargo's rule, a range without pre-releases also takes them: LND calls every release
/// `-beta`, and `>=0.18` must mean those.
fn in_range(range: &VersionReq, version: &str) -> bool {
    let Some(mut version) = lenient_version(version) else {
        return *range == VersionReq::STAR;
    };
    if range.matches(&version) {
        return true;
    }
    if range.comparators.iter().any(|c| !c.pre.is_empty()) {
        return false;
    }
    version.pre = semver::Prerelease::EMPTY;
    range.matches(&version)
}

/// How much of an entry's check an id is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// The entry names exactly this.
    Whole,
    /// The entry names a scenario, this is one of its steps.
    Step,
    /// The entry names a step of the scenario, this is another one.
    Sibling,
}

/// What the ledger says of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the outcome was expected.
    pub expected: bool,
    /// An entry says that the check is flaky.
    pub flaky: bool,
    /// The entry that applied, `file:line`.
    pub entry: Option<String>,
    /// Why an entry did not cover it, or that it no longer fails.
    pub note: Option<String>,
}

/// What was planned, so that the ledger and the snapshots are judged by nothing else.
#[derive(Clone, Debug, Default)]
pub struct PlanScope {
    /// Id of the case (without `#step`) and who runs it.
    pub planned: Vec<(String, Actor)>,
    /// No filter, lane, shard or choice of implementations narrowed the run.
    pub unfiltered: bool,
    /// The ids of all cases that were loaded, planned or not.
    pub known: BTreeSet<String>,
    /// Id prefixes of the upstream files that lie below `--specs`, without a slash at the end:
    /// `upstream/bolt12/offers-test`.
    pub upstream: BTreeSet<String>,
}

impl PlanScope {
    /// Whether a pattern or id below `upstream/` belongs to a file that lies below `--specs`;
    /// true for everything else.
    pub fn has_file_of(&self, pattern: &str) -> bool {
        if !pattern.starts_with("upstream/") {
            return true;
        }
        let plain = pattern
            .split(['*', '?', '[', '{'])
            .next()
            .unwrap_or_default();
        self.upstream.iter().any(|file| {
            plain.strip_prefix(file.as_str()).is_some_and(|rest| {
                rest.starts_with('/') || (rest.is_empty() && plain.len() < pattern.len())
            })
        })
    }
}

/// An entry that no longer says anything true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// `file:line`.
    pub entry: String,
    /// Its check and who was meant.
    pub what: String,
    /// What is wrong with it and what to do.
    pub why: String,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.entry, self.what, self.why)
    }
}

/// The expected failures of a run. Judging takes `&self`, from any thread.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    globs: GlobSet,
    /// For patterns with `#`: what stands before it, so that the other steps can be noted.
    scenarios: GlobSet,
    scenario_entries: Vec<usize>,
    /// Patterns as plain ids, since an id may hold characters that a glob takes for its own.
    exact: HashMap<String, Vec<usize>>,
    versions: BTreeMap<String, String>,
}

fn embedded_texts() -> Vec<(PathBuf, String)> {
    let mut texts: Vec<(PathBuf, String)> = EMBEDDED
        .files()
        .filter(|f| is_yaml(f.path()))
        .filter_map(|f| {
            Some((
                Path::new(FOLDER).join(f.path()),
                f.contents_utf8()?.to_owned(),
            ))
        })
        .collect();
    texts.sort();
    texts
}

/// Reads files; a folder stands for its `*.yaml`.
fn read_all<P: AsRef<Path>>(
    files: &[P],
    texts: &mut Vec<(PathBuf, String)>,
    mistakes: &mut Vec<Diagnostic>,
) {
    for path in files {
        for file in yaml_files(path.as_ref(), mistakes) {
            match lnconform_yaml::read(&file) {
                Ok(text) => texts.push((file, text)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
    }
}

impl Ledger {
    /// Reads files; a folder stands for its `*.yaml`.
    ///
    /// # Errors
    /// Every mistake in every file, with its place.
    pub fn load<P: AsRef<Path>>(files: &[P]) -> Result<Self, Vec<Diagnostic>> {
        let (mut texts, mut mistakes) = (Vec::new(), Vec::new());
        read_all(files, &mut texts, &mut mistakes);
        Self::of_texts(&texts, mistakes)
    }

    /// The ledger of a run: `tests/expectations` in the working directory, else (unless the
    /// directory has vectors of its own, which the entries would not be about) the one in the
    /// binary; and the files given with `--expectations` beside it.
    ///
    /// # Errors
    /// As [`Ledger::load`].
    pub fn find<P: AsRef<Path>>(given: &[P], working_dir: &Path) -> Result<Self, Vec<Diagnostic>> {
        let mut mistakes = Vec::new();
        let mut texts = if working_dir.join(FOLDER).is_dir() {
            // Named as a user in that directory would name it, for short messages.
            let files = yaml_files(&working_dir.join(FOLDER), &mut mistakes);
            let mut texts = Vec::new();
            for file in files {
                let short = file
                    .strip_prefix(working_dir)
                    .map_or(file.clone(), Path::to_path_buf);
                match lnconform_yaml::read(&file) {
                    Ok(text) => texts.push((short, text)),
                    Err(mistake) => mistakes.push(mistake),
                }
            }
            texts
        } else if working_dir.join("vectors").is_dir() {
            Vec::new()
        } else {
            embedded_texts()
        };
        read_all(given, &mut texts, &mut mistakes);
        Self::of_texts(&texts, mistakes)
    }

    /// The ledger in the binary.
    ///
    /// # Errors
    /// As [`Ledger::load`]; a test keeps the embedded one free of them.
    pub fn embedded() -> Result<Self, Vec<Diagnostic>> {
        Self::of_texts(&embedded_texts(), Vec::new())
    }

    /// A ledger from texts, each with the name of its file.
    ///
    /// # Errors
    /// Every mistake in every text, and those given.
    pub fn of_texts(
        texts: &[(PathBuf, String)],
        mut mistakes: Vec<Diagnostic>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut entries: Vec<Entry> = Vec::new();
        for (file, text) in texts {
            match parse(file, text) {
                Ok(found) => entries.extend(found),
                Err(found) => mistakes.extend(found),
            }
        }
        for (i, entry) in entries.iter().enumerate() {
            let twin = entries[..i].iter().find(|e| {
                e.text.check == entry.text.check
                    && e.who() == entry.who()
                    && e.text.versions == entry.text.versions
                    && e.text.signature == entry.text.signature
            });
            if let Some(twin) = twin {
                mistakes.push(Diagnostic {
                    file: entry.file.clone(),
                    place: Some(lnconform_yaml::Place {
                        line: entry.line,
                        column: 1,
                    }),
                    message: format!("says the same as {}", twin.place()),
                    help: Some("keep one of the two".into()),
                });
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut globs = GlobSetBuilder::new();
        let mut scenarios = GlobSetBuilder::new();
        let mut scenario_entries = Vec::new();
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, entry) in entries.iter().enumerate() {
            if let Ok(glob) = glob(&entry.text.check) {
                globs.add(glob);
            }
            exact.entry(entry.text.check.clone()).or_default().push(i);
            if let Some((scenario, _)) = entry.text.check.split_once('#') {
                exact.entry(scenario.to_owned()).or_default().push(i);
                if let Ok(glob) = glob(scenario) {
                    scenarios.add(glob);
                    scenario_entries.push(i);
                }
            }
        }
        let built = |set: GlobSetBuilder| {
            set.build()
                .map_err(|e| vec![Diagnostic::new(FOLDER, e.to_string())])
        };
        Ok(Self {
            globs: built(globs)?,
            scenarios: built(scenarios)?,
            scenario_entries,
            exact,
            entries,
            versions: BTreeMap::new(),
        })
    }

    /// Tells which version each implementation (row of the run) has, for `versions`.
    pub fn set_versions(&mut self, versions: BTreeMap<String, String>) {
        self.versions = versions;
    }

    /// The entries, in the order of the files.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Entries whose reason is still `TODO`, for `doctor` and a line at the end of a run.
    pub fn unexplained(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|e| e.unexplained())
    }

    /// Judges one check by `today`. Call it once for every check, whatever came of it: passes and
    /// failures get their expectation, and the rest is noted for [`Ledger::finish`]
    /// (`expected: true`, which the caller overrules for what was named and is missing).
    /// `version` is that of a codec check's implementation, where [`Ledger::set_versions`] has
    /// not told it. `failure` is read only for a failed check.
    pub fn judge(&self, check: &Check, version: &str, failure: &Failure, today: Date) -> Judgement {
        let mut verdict = Judgement {
            expected: check.outcome != Outcome::Failed,
            flaky: false,
            entry: None,
            note: None,
        };
        if self.entries.is_empty() {
            return verdict;
        }
        let Some(actor) = Actor::of(check) else {
            return verdict;
        };
        let version_of = |who: &str| {
            let known = self
                .versions
                .get(who)
                .map(String::as_str)
                .unwrap_or(version);
            (!known.is_empty()).then(|| known.to_owned())
        };
        for (i, part) in self.candidates(&check.id) {
            let entry = &self.entries[i];
            if !entry.means(&actor) || !entry.version_applies(&actor, &version_of) {
                continue;
            }
            let tally = &entry.tally;
            if part != Part::Whole {
                let steps = match check.outcome {
                    Outcome::Passed => &tally.steps_passed,
                    _ => &tally.steps_other,
                };
                steps.fetch_add(1, Relaxed);
            }
            if part == Part::Sibling {
                continue;
            }
            if today > entry.expires {
                if check.outcome == Outcome::Failed && verdict.entry.is_none() {
                    verdict.note.get_or_insert_with(|| {
                        format!("{} expected this until {}", entry.place(), entry.expires)
                    });
                    // The failure is the one foretold, so nothing about the implementation is new:
                    // the entry is what fails the run, as stale (exit code 3, not 1).
                    if entry.text.signature.difference(failure).is_none() {
                        verdict.expected = true;
                        verdict.entry = Some(entry.place());
                    }
                }
                continue;
            }
            match check.outcome {
                Outcome::Failed => match entry.text.signature.difference(failure) {
                    None => {
                        tally.hits.fetch_add(1, Relaxed);
                        verdict.flaky |= entry.text.flaky;
                        // The first entry that covers it is named; the note of one that does not
                        // is moot then.
                        if !verdict.expected {
                            verdict.expected = true;
                            verdict.entry = Some(entry.place());
                            verdict.note = None;
                        }
                    }
                    Some(difference) => {
                        tally.others.fetch_add(1, Relaxed);
                        if !verdict.expected {
                            verdict.note = Some(format!(
                                "a failure is expected by {}, but another one: it {difference}",
                                entry.place()
                            ));
                        }
                    }
                },
                Outcome::Passed if part == Part::Whole => {
                    tally.passes.fetch_add(1, Relaxed);
                    if entry.text.flaky {
                        verdict.flaky = true;
                        verdict.entry.get_or_insert_with(|| entry.place());
                    } else {
                        verdict.expected = false;
                        verdict.entry = Some(entry.place());
                        verdict.note = Some(format!(
                            "passes, although {} expects it to fail; remove the entry if it is \
                             fixed, or say `flaky: true`",
                            entry.place()
                        ));
                    }
                }
                Outcome::Unsupported | Outcome::NotApplicable => {
                    tally.lacking.fetch_add(1, Relaxed);
                }
                // A step that passes says nothing yet, and what could not run is not judged.
                Outcome::Passed | Outcome::CouldNotRun => {}
            }
        }
        verdict
    }

    /// Whether an entry foretells that a check fails for these implementations: so, or, without a
    /// failure, in any way. One that is flaky or has expired foretells nothing. Nothing is counted.
    pub fn foretells(
        &self,
        id: &str,
        actor: &Actor,
        failure: Option<&Failure>,
        today: Date,
    ) -> bool {
        let version_of = |who: &str| self.versions.get(who).cloned();
        self.candidates(id).into_iter().any(|(i, part)| {
            let entry = &self.entries[i];
            part != Part::Sibling
                && !entry.text.flaky
                && today <= entry.expires
                && entry.means(actor)
                && entry.version_applies(actor, &version_of)
                && failure.is_none_or(|f| entry.text.signature.difference(f).is_none())
        })
    }

    /// Entries whose pattern takes an id or a part of it, each once.
    fn candidates(&self, id: &str) -> Vec<(usize, Part)> {
        let scenario = id.split_once('#').map(|(scenario, _)| scenario);
        let vector = id.find(['#', '?']).map(|at| &id[..at]);
        let mut found: BTreeSet<usize> = BTreeSet::new();
        for name in [Some(id), scenario, vector].into_iter().flatten() {
            found.extend(self.globs.matches(name));
            found.extend(self.exact.get(name).into_iter().flatten());
            let scenarios = self.scenarios.matches(name);
            found.extend(scenarios.into_iter().map(|g| self.scenario_entries[g]));
        }
        found
            .into_iter()
            .map(|i| {
                let pattern = &self.entries[i].text.check;
                let part = match (pattern.contains('#'), scenario.is_some()) {
                    (false, true) => Part::Step,
                    (true, true) if !self.matches_whole(i, id) => Part::Sibling,
                    (true, false) => Part::Sibling,
                    _ => Part::Whole,
                };
                (i, part)
            })
            .collect()
    }

    fn matches_whole(&self, entry: usize, id: &str) -> bool {
        self.entries[entry].text.check == id || self.globs.matches(id).contains(&entry)
    }

    /// The entries that are stale, once every check has been judged.
    pub fn finish(&self, plan: &PlanScope, today: Date) -> Vec<Stale> {
        let mut planned = vec![false; self.entries.len()];
        for (id, actor) in &plan.planned {
            for (i, _) in self.candidates(id) {
                planned[i] = planned[i] || self.entries[i].means(actor);
            }
        }
        let mut known = vec![false; self.entries.len()];
        if plan.unfiltered {
            for id in &plan.known {
                for (i, _) in self.candidates(id) {
                    known[i] = true;
                }
            }
        }
        let mut stale = Vec::new();
        for (i, entry) in self.entries.iter().enumerate() {
            let why = if planned[i] {
                self.judged(entry, today)
            } else if plan.unfiltered && !known[i] && plan.has_file_of(&entry.text.check) {
                let near = suggest(&entry.text.check, plan.known.iter().map(String::as_str));
                Some(match near {
                    Some(near) => format!("no check has this id; did you mean `{near}`?"),
                    None => "no check has this id; remove the entry".to_owned(),
                })
            } else {
                None
            };
            if let Some(why) = why {
                let what = format!("{} on {}", entry.text.check, entry.who());
                stale.push(Stale {
                    entry: entry.place(),
                    what,
                    why,
                });
            }
        }
        stale
    }

    /// Why an entry is stale whose check and implementation were in the plan.
    fn judged(&self, entry: &Entry, today: Date) -> Option<String> {
        let of = |count: &AtomicU64| count.load(Relaxed);
        let t = &entry.tally;
        if today > entry.expires {
            return Some(format!(
                "expired after {}; look again, then move the date or remove the entry",
                entry.expires
            ));
        }
        // A pass and another failure are unexpected results already.
        if of(&t.hits) + of(&t.others) + of(&t.passes) > 0 {
            return None;
        }
        if of(&t.lacking) > 0 {
            return Some(
                "the check did not fail, its operation or role is lacking; remove the entry".into(),
            );
        }
        if of(&t.steps_passed) > 0 && of(&t.steps_other) == 0 && !entry.text.flaky {
            return Some(if entry.text.check.contains('#') {
                "the scenario has no such step, and passed; remove the entry".into()
            } else {
                "every step passed; remove the entry if it is fixed, or say `flaky: true`".into()
            });
        }
        None
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

/// A file, or the YAML files of a folder in the order of their names.
fn yaml_files(path: &Path, mistakes: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_path_buf()];
    }
    let mut files = Vec::new();
    match std::fs::read_dir(path) {
        Ok(entries) => {
            files.extend(entries.flatten().map(|e| e.path()).filter(|p| is_yaml(p)));
        }
        Err(e) => mistakes.push(Diagnostic::new(path, format!("cannot be read: {e}"))),
    }
    files.sort();
    files
}

/// As for filters: `*` stays within a segment of an id, `**` does not.
fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).build()
}

/// Reads one file; an empty one holds no entries.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<Entry>, Vec<Diagnostic>> {
    let entries: Option<Vec<EntryText>> =
        lnconform_yaml::from_str(file, text).map_err(|e| vec![e])?;
    let mut good = Vec::new();
    let mut mistakes = Vec::new();
    for (i, entry) in entries.unwrap_or_default().into_iter().enumerate() {
        match check_entry(file, text, &i.to_string(), entry) {
            Ok(entry) => good.push(entry),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() {
        Ok(good)
    } else {
        Err(mistakes)
    }
}

fn check_entry(
    file: &Path,
    text: &str,
    index: &str,
    entry: EntryText,
) -> Result<Entry, Vec<Diagnostic>> {
    let mut mistakes = Vec::new();
    let mut wrong = |keys: &[&str], message: String, help: &str| {
        let path: Vec<&str> = std::iter::once(index).chain(keys.iter().copied()).collect();
        mistakes.push(Diagnostic::new(file, message).at(text, &path).help(help));
    };
    if entry.check.trim().is_empty() {
        wrong(
            &["check"],
            "names no check".into(),
            "give a check id or a glob",
        );
    } else if let Err(e) = glob(&entry.check) {
        wrong(
            &["check"],
            format!("`{}` is not a glob: {}", entry.check, e.kind()),
            "write `[` as `[[]`",
        );
    }
    match (&entry.implementation, &entry.roles) {
        (Some(_), Some(_)) => wrong(
            &["roles"],
            "both `implementation` and `roles` are given".into(),
            "keep `implementation` for a codec check, `roles` for a scenario",
        ),
        (None, None) => wrong(
            &[],
            "does not say who fails".into(),
            "add `implementation: NAME`, or `roles: {ROLE: NAME}`",
        ),
        (Some(name), None) if name.trim().is_empty() => {
            wrong(
                &["implementation"],
                "names nobody".into(),
                "give the name of an implementation",
            );
        }
        (None, Some(roles)) if roles.is_empty() => {
            wrong(
                &["roles"],
                "names no role".into(),
                "write `roles: {payer: NAME}`",
            );
        }
        _ => {}
    }
    let versions = entry
        .versions
        .as_deref()
        .and_then(|range| match VersionReq::parse(range) {
            Ok(range) => Some(range),
            Err(e) => {
                wrong(
                    &["versions"],
                    format!("`{range}` is not a range of versions: {e}"),
                    "write it like `<0.2.1` or `>=0.18, <0.20`",
                );
                None
            }
        });
    if entry.signature.is_empty() {
        wrong(
            &["signature"],
            "the signature is empty, so any failure would be expected".into(),
            "give at least one of `kind`, `code`, `rule`, `message`",
        );
    }
    if entry.reason.trim().is_empty() {
        wrong(
            &["reason"],
            "gives no reason".into(),
            "say why it fails, in a sentence",
        );
    }
    if !issue_is_good(&entry.issue) {
        wrong(
            &["issue"],
            "is neither the address of an issue nor a reason for having none".into(),
            "write `issue: https://…`, or `issue: {none: why}`",
        );
    }
    let expires = date(&entry.expires);
    if let Err(why) = &expires {
        wrong(&["expires"], why.clone(), "write it like `2027-01-31`");
    }
    let line = locate(text, &[index]).map_or(1, |p| p.line);
    match (expires, mistakes.is_empty()) {
        (Ok(expires), true) => Ok(Entry {
            file: file.into(),
            line,
            text: entry,
            expires,
            versions,
            tally: Tally::default(),
        }),
        _ => Err(mistakes),
    }
}

fn issue_is_good(issue: &Issue) -> bool {
    match issue {
        Issue::Text(text) => {
            let why = text
                .strip_prefix("none:")
                .is_some_and(|why| !why.trim().is_empty());
            why || ["https://", "http://"]
                .iter()
                .any(|s| text.strip_prefix(s).is_some_and(|rest| rest.len() > 3))
        }
        Issue::None { none } => !none.trim().is_empty(),
    }
}

/// Reads `YYYY-MM-DD`.
///
/// # Errors
/// What is wrong with it, as a fragment.
pub fn date(text: &str) -> Result<Date, String> {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    let parsed = shaped.then(|| text.parse::<Date>().ok()).flatten();
    parsed.ok_or_else(|| format!("`{text}` is not a date of the form YYYY-MM-DD"))
}

/// Today by the clock, in UTC, so that a ledger expires everywhere at once.
pub fn today() -> Date {
    jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{check, check_on};
    use proptest::prelude::*;

    const GOOD: &str = "\
- check: a/b
  implementation: ldk-0.2
  versions: \"<0.3\"
  signature: {kind: accepted}
  reason: Known.
  issue: https://example.org/1
  expires: 2026-12-31
";

    fn ledger(text: &str) -> Ledger {
        Ledger::of_texts(&[("l.yaml".into(), text.into())], vec![]).unwrap()
    }

    fn faults(text: &str) -> String {
        let found = Ledger::of_texts(&[("l.yaml".into(), text.into())], vec![]).unwrap_err();
        found.iter().map(|d| format!("{d}\n")).collect()
    }

    fn kind(kind: &str) -> Failure {
        Failure {
            kind: Some(kind.into()),
            message: format!("it says {kind}"),
            ..Failure::default()
        }
    }

    fn day(text: &str) -> Date {
        date(text).unwrap()
    }

    const DAY: &str = "2026-11-25";

    fn plan(ids: &[&str], name: &str) -> PlanScope {
        PlanScope {
            planned: ids
                .iter()
                .map(|i| ((*i).to_owned(), Actor::Implementation(name.into())))
                .collect(),
            unfiltered: true,
            known: ids.iter().map(|i| (*i).to_owned()).collect(),
            upstream: BTreeSet::new(),
        }
    }

    #[test]
    fn a_failure_is_expected_in_its_own_way_only() {
        let l = ledger(GOOD);
        let failed = check("a/b", "ldk-0.2", Outcome::Failed);
        let right = l.judge(&failed, "0.2.1", &kind("accepted"), day(DAY));
        assert_eq!(
            (right.expected, right.entry.as_deref()),
            (true, Some("l.yaml:1"))
        );
        let wrong = l.judge(&failed, "0.2.1", &kind("crash"), day(DAY));
        assert!(!wrong.expected);
        assert_eq!(
            wrong.note.unwrap(),
            "a failure is expected by l.yaml:1, but another one: it expects the kind `accepted`, \
             this failure has `crash`"
        );
        let newer = l.judge(&failed, "0.3.0", &kind("accepted"), day(DAY));
        assert_eq!((newer.expected, newer.note), (false, None));
        let other = check("a/b", "lnd", Outcome::Failed);
        assert!(
            !l.judge(&other, "0.2.1", &kind("accepted"), day(DAY))
                .expected
        );
        assert!(l.finish(&plan(&["a/b"], "ldk-0.2"), day(DAY)).is_empty());
    }

    #[test]
    fn what_is_foretold_is_known_without_being_counted() {
        let mut l = ledger(GOOD);
        l.set_versions([("ldk-0.2".to_owned(), "0.2.1".to_owned())].into());
        let actor = |name: &str| Actor::Implementation(name.into());
        let foretells = |l: &Ledger, who: &str, failure: Option<&Failure>| {
            l.foretells("a/b", &actor(who), failure, day(DAY))
        };
        assert!(foretells(&l, "ldk-0.2", None));
        assert!(foretells(&l, "ldk-0.2", Some(&kind("accepted"))));
        assert!(!foretells(&l, "ldk-0.2", Some(&kind("crash"))));
        assert!(!foretells(&l, "lnd", None));
        let late = day("2027-01-01");
        assert!(!l.foretells("a/b", &actor("ldk-0.2"), None, late));
        assert!(!l.foretells("a/c", &actor("ldk-0.2"), None, day(DAY)));
        let counted = |t: &Tally| t.hits.load(Relaxed) + t.others.load(Relaxed);
        assert_eq!(counted(&l.entries[0].tally), 0);
        let mut flaky = ledger(&format!("{GOOD}  flaky: true\n"));
        flaky.set_versions([("ldk-0.2".to_owned(), "0.2.1".to_owned())].into());
        assert!(!foretells(&flaky, "ldk-0.2", None));
    }

    #[test]
    fn a_pass_is_unexpected_unless_flaky() {
        let passed = check("a/b", "ldk-0.2", Outcome::Passed);
        let strict = ledger(GOOD).judge(&passed, "0.2.1", &Failure::default(), day(DAY));
        assert!(!strict.expected && strict.note.unwrap().contains("passes, although l.yaml:1"));
        let flaky = ledger(&format!("{GOOD}  flaky: true\n"));
        let verdict = flaky.judge(&passed, "0.2.1", &Failure::default(), day(DAY));
        assert!(verdict.expected && verdict.flaky);
        assert!(
            flaky
                .finish(&plan(&["a/b"], "ldk-0.2"), day(DAY))
                .is_empty()
        );
    }

    #[test]
    fn an_expired_entry_is_stale() {
        let l = ledger(GOOD);
        let failed = check("a/b", "ldk-0.2", Outcome::Failed);
        assert!(
            l.judge(&failed, "0.2.1", &kind("accepted"), day("2026-12-31"))
                .expected
        );
        let late = l.judge(&failed, "0.2.1", &kind("accepted"), day("2027-01-01"));
        assert_eq!(
            (late.expected, late.note.as_deref()),
            (true, Some("l.yaml:1 expected this until 2026-12-31"))
        );
        let passed = check("a/b", "ldk-0.2", Outcome::Passed);
        assert!(
            l.judge(&passed, "0.2.1", &Failure::default(), day("2027-01-01"))
                .expected
        );
        let stale = l.finish(&plan(&["a/b"], "ldk-0.2"), day("2027-01-01"));
        assert_eq!(
            stale[0].to_string(),
            "l.yaml:1: a/b on ldk-0.2: expired after 2026-12-31; look again, then move the date or remove the entry"
        );
        // Somebody else's run says nothing about it.
        assert!(
            l.finish(&plan(&["a/b"], "lnd"), day("2027-01-01"))
                .is_empty()
        );
    }

    #[test]
    fn an_entry_that_matches_nothing_is_stale() {
        let l = ledger(GOOD);
        let lacking = check("a/b", "ldk-0.2", Outcome::Unsupported);
        assert!(
            l.judge(&lacking, "0.2.1", &Failure::default(), day(DAY))
                .expected
        );
        let stale = l.finish(&plan(&["a/b"], "ldk-0.2"), day(DAY));
        assert!(stale[0].why.contains("did not fail"), "{stale:?}");
        // Planned, but it could not run, or the run was ended before.
        let l = ledger(GOOD);
        l.judge(
            &check("a/b", "ldk-0.2", Outcome::CouldNotRun),
            "0.2",
            &kind("x"),
            day(DAY),
        );
        assert!(l.finish(&plan(&["a/b"], "ldk-0.2"), day(DAY)).is_empty());
        // Unknown ids, in an unfiltered run.
        let mut elsewhere = plan(&["a/bb", "c"], "ldk-0.2");
        let stale = l.finish(&elsewhere, day(DAY));
        assert_eq!(stale[0].why, "no check has this id; did you mean `a/bb`?");
        elsewhere.unfiltered = false;
        assert!(l.finish(&elsewhere, day(DAY)).is_empty());
    }

    #[test]
    fn upstream_entries_are_judged_where_their_file_is() {
        let l = ledger(&GOOD.replace("a/b", "upstream/bolt12/offers-test/gone~01234567"));
        let mut scope = plan(&["a/b"], "ldk-0.2");
        assert!(l.finish(&scope, day(DAY)).is_empty());
        scope.upstream.insert("upstream/bolt12/offers".into());
        assert!(l.finish(&scope, day(DAY)).is_empty());
        scope.upstream.insert("upstream/bolt12/offers-test".into());
        assert_eq!(l.finish(&scope, day(DAY)).len(), 1);
    }

    #[test]
    fn steps_belong_to_their_scenario() {
        let roles = [("payee", "lnd"), ("payer", "ldk-node")];
        let text = GOOD
            .replace("implementation: ldk-0.2", "roles: {payer: ldk-node}")
            .replace("versions", "# versions");
        let planned = |name: &str| PlanScope {
            planned: vec![(
                "a/b".into(),
                Actor::of(&check_on(name, &roles, Outcome::Passed)).unwrap(),
            )],
            known: ["a/b".to_owned()].into(),
            unfiltered: true,
            ..PlanScope::default()
        };
        let judge = |l: &Ledger, id: &str, outcome| {
            l.judge(
                &check_on(id, &roles, outcome),
                "",
                &kind("accepted"),
                day(DAY),
            )
        };
        // The entry names the scenario: one step fails, the others pass.
        let l = ledger(&text);
        assert!(judge(&l, "a/b#1", Outcome::Passed).expected);
        assert!(judge(&l, "a/b#2", Outcome::Failed).expected);
        assert!(l.finish(&planned("a/b"), day(DAY)).is_empty());
        // All pass.
        let l = ledger(&text);
        assert!(judge(&l, "a/b#1", Outcome::Passed).expected);
        assert!(
            l.finish(&planned("a/b"), day(DAY))[0]
                .why
                .contains("every step passed")
        );
        // The entry names a step.
        let l = ledger(&text.replace("a/b", "a/b#2"));
        assert!(!judge(&l, "a/b#1", Outcome::Failed).expected);
        assert!(!judge(&l, "a/b#2", Outcome::Passed).expected);
        // A step that does not exist.
        let l = ledger(&text.replace("a/b", "a/*#7"));
        assert!(judge(&l, "a/b#1", Outcome::Passed).expected);
        assert!(
            l.finish(&planned("a/b"), day(DAY))[0]
                .why
                .contains("no such step")
        );
    }

    #[test]
    fn names_versions_and_matrices() {
        let l = ledger(
            &GOOD
                .replace("ldk-0.2", "lnd")
                .replace("<0.3", ">=0.18, <0.20"),
        );
        let one = |who: &str, id: &str, version: &str| {
            l.judge(
                &check(id, who, Outcome::Failed),
                version,
                &kind("accepted"),
                day(DAY),
            )
            .expected
        };
        assert!(one("lnd", "a/b", "v0.19.3-beta"));
        assert!(one("lnd@v0.18.4-beta", "a/b", "v0.18.4-beta"));
        assert!(one("lnd", "a/b?amount=1", "0.18.0"));
        assert!(!one("lnd", "a/b", "v0.20.3-beta"));
        assert!(!one("lnd", "a/b", ""));
        let r = |range: &str, version: &str| in_range(&VersionReq::parse(range).unwrap(), version);
        assert!(r("=0.3.0-rc3", "0.3.0-rc3") && !r("=0.3.0-rc2", "0.3.0-rc3"));
        assert!(!r(">=0.3.0-rc4", "0.3.0-rc3") && r(">=0.3", "0.3.0-rc3"));
        assert!(r("24", "v24.08.1-modded") && r("*", "unknown") && !r(">=1", "unknown"));
    }

    #[test]
    fn the_first_entry_that_covers_it_counts() {
        let second = GOOD.replace("accepted", "crash");
        let l = ledger(&format!("{GOOD}{second}"));
        let failed = check("a/b", "ldk-0.2", Outcome::Failed);
        let verdict = l.judge(&failed, "0.2.1", &kind("crash"), day(DAY));
        assert_eq!(
            (verdict.expected, verdict.entry.as_deref(), verdict.note),
            (true, Some("l.yaml:8"), None)
        );
    }

    #[test]
    fn mistakes_are_placed_and_corrected() {
        let bad = [
            GOOD.replace("versions: \"<0.3\"", "versions: newest"),
            GOOD.replace("{kind: accepted}", "{}"),
            GOOD.replace("kind:", "kinds:"),
            GOOD.replace("2026-12-31", "2026-13-01"),
            GOOD.replace("2026-12-31", "tomorrow"),
            GOOD.replace("https://example.org/1", "later"),
            GOOD.replace("  implementation: ldk-0.2\n", ""),
            GOOD.replace("Known.", "\"\""),
            GOOD.replace("a/b", "\"a/[\""),
            GOOD.replace("  issue: https://example.org/1\n", ""),
            GOOD.replace(
                "implementation: ldk-0.2",
                "implementation: ldk-0.2\n  roles: {payer: lnd}",
            ),
            format!("{GOOD}{GOOD}"),
            "entries: []\n".to_owned(),
        ];
        let all: String = bad.iter().map(|b| faults(b)).collect();
        insta::assert_snapshot!(all, @r#"
        l.yaml:3:13: `newest` is not a range of versions: unexpected character 'n' while parsing major version number; write it like `<0.2.1` or `>=0.18, <0.20`
        l.yaml:4:14: the signature is empty, so any failure would be expected; give at least one of `kind`, `code`, `rule`, `message`
        l.yaml:4:15: unknown key `kinds`; did you mean `kind`?
        l.yaml:7:12: `2026-13-01` is not a date of the form YYYY-MM-DD; write it like `2027-01-31`
        l.yaml:7:12: `tomorrow` is not a date of the form YYYY-MM-DD; write it like `2027-01-31`
        l.yaml:6:10: is neither the address of an issue nor a reason for having none; write `issue: https://…`, or `issue: {none: why}`
        l.yaml:1:3: does not say who fails; add `implementation: NAME`, or `roles: {ROLE: NAME}`
        l.yaml:5:11: gives no reason; say why it fails, in a sentence
        l.yaml:1:10: `a/[` is not a glob: unclosed character class; missing ']'; write `[` as `[[]`
        l.yaml:1:3: .[0]: missing field `issue`
        l.yaml:3:10: both `implementation` and `roles` are given; keep `implementation` for a codec check, `roles` for a scenario
        l.yaml:8:1: says the same as l.yaml:1; keep one of the two
        l.yaml:1:1: invalid type: map, expected a sequence
        "#);
    }

    #[test]
    fn an_issue_may_be_a_reason_for_having_none() {
        let none = |issue: &str| GOOD.replace("https://example.org/1", issue);
        for good in ["\"none: a draft\"", "{none: a draft}"] {
            assert_eq!(ledger(&none(good)).entries().len(), 1);
        }
        assert!(faults(&none("\"none:\"")).contains("neither the address"));
    }

    #[test]
    fn the_embedded_ledger_is_good_and_a_nearer_one_wins() {
        let built_in = Ledger::embedded().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let none: &[&Path] = &[];
        let found = Ledger::find(none, dir.path()).unwrap();
        assert_eq!(found.entries().len(), built_in.entries().len());
        std::fs::create_dir_all(dir.path().join(FOLDER)).unwrap();
        std::fs::write(dir.path().join(FOLDER).join("mine.yaml"), GOOD).unwrap();
        let found = Ledger::find(none, dir.path()).unwrap();
        assert_eq!(found.entries()[0].place(), "tests/expectations/mine.yaml:1");
        let given = dir.path().join("given.yaml");
        std::fs::write(&given, GOOD.replace("check: ", "check: more/")).unwrap();
        assert_eq!(
            Ledger::find(&[&given], dir.path()).unwrap().entries().len(),
            2
        );
        // Vectors of somebody's own have nothing to do with the entries in the binary.
        let theirs = tempfile::tempdir().unwrap();
        std::fs::create_dir(theirs.path().join("vectors")).unwrap();
        assert!(
            Ledger::find(none, theirs.path())
                .unwrap()
                .entries()
                .is_empty()
        );
        let gone = Ledger::find(&[dir.path().join("gone.yaml")], dir.path()).unwrap_err();
        assert!(gone[0].to_string().contains("gone.yaml: cannot be read"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-z:{}\\[\\]<>=0-9 \n\"/*]{0,80}") {
            let _ = Ledger::of_texts(&[("l.yaml".into(), text)], vec![]);
        }

        #[test]
        fn any_version_can_be_read(text in "\\PC{0,20}") {
            let _ = lenient_version(&text);
        }

        /// Without an entry, a failure is unexpected and everything else is not.
        #[test]
        fn an_entry_for_others_changes_nothing(id in "[a-z]{1,3}/[c-z]{1,3}", failed: bool) {
            let outcome = if failed { Outcome::Failed } else { Outcome::Passed };
            let verdict = ledger(GOOD).judge(&check(&id, "ldk-0.2", outcome), "0.2", &kind("accepted"), day(DAY));
            prop_assert_eq!(verdict.expected, !failed);
            prop_assert_eq!(verdict.entry, None);
        }
    }
}
