//! What proof of payment each form of payment leaves: claims, and the checks that show them.
//!
//! `specs/proofs.yaml` says of each form what its payer holds afterwards, what that proves, to whom,
//! and whether it comes with the settlement. Every claim names checks that fail if it is false. The
//! table joins them with the outcomes of a run, so that no line of it is anybody's opinion.

use crate::markup::cell as escape;
use lnconform_yaml::Diagnostic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A claim and what shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// One sentence, or two.
    pub says: String,
    /// Ids of checks; each fails if the claim is false.
    #[serde(default)]
    pub shown_by: Vec<String>,
    /// Ids of checks that every implementation lacks an operation for; one that has it refutes the
    /// claim.
    #[serde(default)]
    pub unsupported: Vec<String>,
}

/// One form of payment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// A slug: `keysend-proof`.
    pub form: String,
    /// Its name for people.
    pub name: String,
    /// What the payer holds after the payment.
    pub holds: Claim,
    /// What that proves.
    pub proves: Claim,
    /// To whom, and with what knowledge.
    pub to: Claim,
    /// Whether the recipient can settle and leave the payer without it.
    pub atomic: Claim,
    /// What else has to be known.
    #[serde(default)]
    pub limits: Vec<Claim>,
}

/// What a claim of a form is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// [`Form::holds`].
    Holds,
    /// [`Form::proves`].
    Proves,
    /// [`Form::to`].
    To,
    /// [`Form::atomic`].
    Atomic,
    /// [`Form::limits`].
    Limit,
}

impl About {
    fn title(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Proves => "proves",
            Self::To => "to whom",
            Self::Atomic => "atomic",
            Self::Limit => "but",
        }
    }
}

impl Form {
    /// Its claims, in the order in which they are lettered.
    fn claims(&self) -> impl Iterator<Item = (About, &Claim, Vec<String>)> {
        let key = |name: &str| vec![name.to_owned()];
        let four = [
            (About::Holds, &self.holds, key("holds")),
            (About::Proves, &self.proves, key("proves")),
            (About::To, &self.to, key("to")),
            (About::Atomic, &self.atomic, key("atomic")),
        ];
        let limits = self.limits.iter().enumerate().map(|(at, limit)| {
            let path = vec!["limits".to_owned(), at.to_string()];
            (About::Limit, limit, path)
        });
        four.into_iter().chain(limits)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    forms: Vec<Form>,
}

/// `specs/proofs.yaml`.
#[derive(Clone, Debug)]
pub struct Proofs {
    file: PathBuf,
    text: String,
    forms: Vec<Form>,
}

impl Proofs {
    /// The file of `dir`, laid out as `specs/` is, where it is given and holds one; else that of the
    /// binary.
    ///
    /// # Errors
    /// Every mistake in it: what cannot be read, an unknown key, a form that stands twice, a claim
    /// that nothing shows.
    pub fn open(dir: Option<&Path>) -> Result<Self, Vec<Diagnostic>> {
        match dir.map(|dir| dir.join("proofs.yaml")) {
            Some(file) if file.is_file() => {
                let text = lnconform_yaml::read(&file).map_err(|e| vec![e])?;
                Self::from_text(&file, &text)
            }
            _ => {
                let file = Path::new("specs/proofs.yaml");
                let text = crate::EMBEDDED.get_file("proofs.yaml");
                match text.and_then(|f| f.contents_utf8()) {
                    Some(text) => Self::from_text(file, text),
                    None => Err(vec![Diagnostic::new(file, "was not built in")]),
                }
            }
        }
    }

    /// Reads a file that is in memory.
    ///
    /// # Errors
    /// As [`Proofs::open`].
    pub fn from_text(file: &Path, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let File { forms } = lnconform_yaml::from_str(file, text).map_err(|e| vec![e])?;
        let mut mistakes = Vec::new();
        for (at, form) in forms.iter().enumerate() {
            let number = at.to_string();
            if forms[..at].iter().any(|other| other.form == form.form) {
                let message = format!("the form `{}` stands here for the second time", form.form);
                let path = ["forms", number.as_str(), "form"];
                mistakes.push(Diagnostic::new(file, message).at(text, &path));
            }
            for (_, claim, inner) in form.claims() {
                if claim.shown_by.is_empty() && claim.unsupported.is_empty() {
                    let mut path = vec!["forms", number.as_str()];
                    path.extend(inner.iter().map(String::as_str));
                    let message = "nothing shows this claim";
                    let help = "name a check under `shown_by` that fails if it is false, or drop the claim";
                    mistakes.push(Diagnostic::new(file, message).at(text, &path).help(help));
                }
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let (file, text) = (file.to_owned(), text.to_owned());
        Ok(Self { file, text, forms })
    }

    /// All ids of checks that claims rest on, each once.
    pub fn checks(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for (_, claim, _) in self.forms.iter().flat_map(Form::claims) {
            for id in claim.shown_by.iter().chain(&claim.unsupported) {
                if !ids.contains(&id.as_str()) {
                    ids.push(id);
                }
            }
        }
        ids
    }

    /// Compares the ids with those that there are.
    ///
    /// # Errors
    /// One for each id that is not among `known`, with its place.
    pub fn resolve(&self, known: &BTreeMap<String, bool>) -> Result<(), Vec<Diagnostic>> {
        let mut mistakes = Vec::new();
        for (at, form) in self.forms.iter().enumerate() {
            let number = at.to_string();
            for (_, claim, inner) in form.claims() {
                for (list, ids) in [
                    ("shown_by", &claim.shown_by),
                    ("unsupported", &claim.unsupported),
                ] {
                    for (place, id) in ids.iter().enumerate() {
                        if known.contains_key(id) {
                            continue;
                        }
                        let place = place.to_string();
                        let mut path = vec!["forms", number.as_str()];
                        path.extend(inner.iter().map(String::as_str));
                        path.extend([list, place.as_str()]);
                        let message = format!("no vector has the check `{id}`");
                        let mut mistake =
                            Diagnostic::new(&self.file, message).at(&self.text, &path);
                        if let Some(near) =
                            lnconform_yaml::suggest(id, known.keys().map(String::as_str))
                        {
                            mistake = mistake.help(format!("did you mean `{near}`?"));
                        }
                        mistakes.push(mistake);
                    }
                }
            }
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }

    /// The table. `known` says of each check whether it is a simulation; `recorded` is what a run
    /// brought.
    pub fn table(&self, known: &BTreeMap<String, bool>, recorded: Option<Recorded>) -> Table {
        let outcomes = recorded.as_ref().map(|r| &r.checks);
        let of = |id: &str, wanted: Wanted| Shown {
            check: id.to_owned(),
            wanted,
            simulation: known.get(id).copied().unwrap_or(false),
            state: outcomes.map(|all| wanted.state(all.get(id))),
        };
        let forms = self.forms.iter().zip(1..).map(|(form, number)| Row {
            form: form.form.clone(),
            name: form.name.clone(),
            number,
            claims: form
                .claims()
                .zip('a'..)
                .map(|((about, claim, _), letter)| {
                    let shown = claim.shown_by.iter().map(|id| of(id, Wanted::Passed));
                    let lacking = claim
                        .unsupported
                        .iter()
                        .map(|id| of(id, Wanted::Unsupported));
                    let checks: Vec<Shown> = shown.chain(lacking).collect();
                    Line {
                        number: format!("{number}{letter}"),
                        about,
                        says: claim.says.clone(),
                        state: checks.iter().filter_map(|check| check.state).max(),
                        checks,
                    }
                })
                .collect(),
        });
        Table {
            forms: forms.collect(),
            recorded,
        }
    }
}

/// How often who gave which outcome; who is an implementation, or all that took a role.
type Who = BTreeMap<String, u32>;

/// What came of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcomes {
    /// Passed.
    #[serde(default, skip_serializing_if = "Who::is_empty")]
    pub passed: Who,
    /// Failed, and nobody expected it.
    #[serde(default, skip_serializing_if = "Who::is_empty")]
    pub failed: Who,
    /// Failed, as the ledger foretells.
    #[serde(default, skip_serializing_if = "Who::is_empty")]
    pub known: Who,
    /// An operation is lacking.
    #[serde(default, skip_serializing_if = "Who::is_empty")]
    pub unsupported: Who,
    /// Not applicable, or could not run.
    #[serde(default, skip_serializing_if = "Who::is_empty")]
    pub not_run: Who,
}

impl Outcomes {
    /// Counts one result. `outcome` is that of the result file.
    pub fn add(&mut self, who: &str, outcome: &str, expected: bool) {
        let to = match outcome {
            "passed" => &mut self.passed,
            "failed" if expected => &mut self.known,
            "failed" => &mut self.failed,
            "unsupported" => &mut self.unsupported,
            _ => &mut self.not_run,
        };
        *to.entry(who.to_owned()).or_default() += 1;
    }
}

/// Outcomes of the checks that claims rest on, and of which run they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Version of the harness.
    pub harness: String,
    /// Day of the run, `YYYY-MM-DD`.
    pub day: String,
    /// Implementation to version.
    pub implementations: BTreeMap<String, String>,
    /// By id.
    pub checks: BTreeMap<String, Outcomes>,
}

/// What a claim needs of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// That it passes, somewhere, and fails nowhere unexpectedly.
    Passed,
    /// That nobody has the operation.
    Unsupported,
}

impl Wanted {
    fn state(self, outcomes: Option<&Outcomes>) -> State {
        let Some(o) = outcomes else {
            return State::NotRun;
        };
        match self {
            Self::Passed if !o.failed.is_empty() => State::Contradicted,
            Self::Passed if !o.passed.is_empty() => State::Shown,
            Self::Passed if !o.known.is_empty() || !o.unsupported.is_empty() => State::NotShown,
            Self::Unsupported
                if !(o.passed.is_empty() && o.failed.is_empty() && o.known.is_empty()) =>
            {
                State::Contradicted
            }
            Self::Unsupported if !o.unsupported.is_empty() => State::Shown,
            _ => State::NotRun,
        }
    }
}

/// What a run says about a claim; the greatest of its checks counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All its checks came out as it says.
    Shown,
    /// A check of it did not run.
    NotRun,
    /// A check of it passed nowhere.
    NotShown,
    /// A check of it came out otherwise.
    Contradicted,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::NotRun => "not run",
            Self::NotShown => "not shown",
            Self::Contradicted => "CONTRADICTED",
        }
    }
}

/// A check under a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its id.
    pub check: String,
    /// What the claim needs.
    pub wanted: Wanted,
    /// It shows a construction in one process, and nothing of a node.
    pub simulation: bool,
    /// What the run says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// A claim in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Number of the form and a letter: `2c`.
    pub number: String,
    /// What it is about.
    pub about: About,
    /// The claim.
    pub says: String,
    /// What the run says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// What it rests on.
    pub checks: Vec<Shown>,
}

/// A form in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its slug.
    pub form: String,
    /// Its name.
    pub name: String,
    /// From 1.
    pub number: u32,
    /// Its claims: the four of the columns, then its limits.
    pub claims: Vec<Line>,
}

/// Claims joined with outcomes. Its JSON form is that of `spec proofs --format json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The forms.
    pub forms: Vec<Row>,
    /// The outcomes, where a run was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
}

impl Table {
    /// Outcomes in words: `passed: reference, draft-py`.
    fn outcome(&self, check: &Shown) -> String {
        let Some(recorded) = &self.recorded else {
            return String::new();
        };
        let Some(o) = recorded.checks.get(&check.check) else {
            return "not run".to_owned();
        };
        let mut parts = Vec::new();
        let mut part = |word: &str, who: &Who| {
            if !who.is_empty() {
                parts.push(format!("{word}: {}", names(who)));
            }
        };
        part("passed", &o.passed);
        part("failed", &o.failed);
        part("known failure", &o.known);
        // Of most operations most implementations know nothing; that is told where it is the point.
        if o.passed.is_empty() {
            part("unsupported", &o.unsupported);
        }
        if parts.is_empty() {
            return "not run".to_owned();
        }
        parts.join("; ")
    }

    /// The run in a sentence; nothing without one.
    fn run(&self) -> String {
        let Some(run) = &self.recorded else {
            return String::new();
        };
        let took: Vec<String> = run
            .implementations
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        format!(
            "Outcomes of a run of {} with lnconform {}: {}.",
            run.day,
            run.harness,
            took.join(", ")
        )
    }

    /// The table as Markdown: the forms, then each form's claims with their checks.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| | form | the payer then holds | which proves | to whom | atomic |\n|---|---|---|---|---|---|\n",
        );
        for row in &self.forms {
            let cell = |about| {
                let line = row.claims.iter().find(|line| line.about == about);
                line.map_or_else(String::new, |line| {
                    format!("{} ({})", escape(&line.says), line.number)
                })
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                row.number,
                escape(&row.name),
                cell(About::Holds),
                cell(About::Proves),
                cell(About::To),
                cell(About::Atomic)
            );
        }
        let run = self.run();
        if !run.is_empty() {
            let _ = write!(text, "\n{run}\n");
        }
        for row in &self.forms {
            let _ = write!(text, "\n### {}. {}\n\n", row.number, escape(&row.name));
            let (head, rule) = match self.recorded {
                Some(_) => (" outcome |", "---|"),
                None => ("", ""),
            };
            let _ = writeln!(text, "| claim | | shown by |{head}\n|---|---|---|{rule}");
            for line in &row.claims {
                let says = match line.about {
                    About::Limit => escape(&line.says),
                    about => format!("*{}*", about.title()),
                };
                for (at, check) in line.checks.iter().enumerate() {
                    let (number, says) = match at {
                        0 => (line.number.as_str(), says.as_str()),
                        _ => ("", ""),
                    };
                    let kind = if check.simulation {
                        " (simulation)"
                    } else {
                        ""
                    };
                    let _ = write!(text, "| {number} | {says} | `{}`{kind} |", check.check);
                    if self.recorded.is_some() {
                        let state = match check.state {
                            None | Some(State::Shown | State::NotRun) => String::new(),
                            Some(state) => format!("**{}**; ", state.word()),
                        };
                        let _ = write!(text, " {state}{} |", escape(&self.outcome(check)));
                    }
                    text.push('\n');
                }
            }
        }
        text
    }

    /// The table for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for row in &self.forms {
            let _ = writeln!(text, "{}. {}", row.number, row.name);
            for line in &row.claims {
                let state = line
                    .state
                    .map_or_else(String::new, |s| format!("  [{}]", s.word()));
                let _ = writeln!(
                    text,
                    "  {:<3} {:<8} {}{state}",
                    line.number,
                    line.about.title(),
                    line.says
                );
                for check in &line.checks {
                    let outcome = self.outcome(check);
                    let outcome = match outcome.as_str() {
                        "" => outcome,
                        _ => format!("  {outcome}"),
                    };
                    let kind = if check.simulation {
                        " (simulation)"
                    } else {
                        ""
                    };
                    let _ = writeln!(text, "               {}{kind}{outcome}", check.check);
                }
            }
        }
        let run = self.run();
        if !run.is_empty() {
            let _ = writeln!(text, "{run}");
        }
        text
    }
}

/// `reference, draft-py`, or `5 choices of ldk-node, lnd` where several took roles together.
fn names(who: &Who) -> String {
    if who.keys().all(|name| !name.contains('+')) && who.values().all(|n| *n == 1) {
        return who.keys().cloned().collect::<Vec<_>>().join(", ");
    }
    let total: u32 = who.values().sum();
    let mut all: Vec<&str> = who.keys().flat_map(|name| name.split('+')).collect();
    all.sort_unstable();
    all.dedup();
    let s = if total == 1 { "" } else { "s" };
    format!("{total} choice{s} of {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "\
forms:
- form: plain
  name: Plain | form
  holds: {says: A preimage., shown_by: [a/held]}
  proves: {says: Nothing., shown_by: [a/held, b/live#paid]}
  to: {says: To nobody., shown_by: [b/live#paid]}
  atomic: {says: There is nothing to give., shown_by: [a/held]}
- form: other
  name: Other
  holds: {says: Nothing yet., unsupported: [c/live#received]}
  proves: {says: Something., shown_by: [d/known]}
  to: {says: To anybody., shown_by: [e/never]}
  atomic: {says: 'No.', shown_by: [f/broken]}
  limits:
  - {says: Beware., shown_by: [a/held]}
";

    fn proofs() -> Proofs {
        Proofs::from_text(Path::new("proofs.yaml"), TWO).unwrap()
    }

    fn known() -> BTreeMap<String, bool> {
        let ids = [
            "a/held",
            "b/live#paid",
            "c/live#received",
            "d/known",
            "e/never",
            "f/broken",
        ];
        ids.map(|id| (id.to_owned(), id == "a/held")).into()
    }

    fn recorded() -> Recorded {
        let mut checks: BTreeMap<String, Outcomes> = BTreeMap::new();
        for (id, who, outcome, expected) in [
            ("a/held", "reference", "passed", true),
            ("a/held", "draft-py", "passed", true),
            ("a/held", "lnd", "unsupported", true),
            ("b/live#paid", "lnd", "passed", true),
            ("b/live#paid", "ldk-node+lnd", "passed", true),
            ("b/live#paid", "ldk-node+lnd", "passed", true),
            ("c/live#received", "ldk-node", "unsupported", true),
            ("d/known", "lnd", "failed", true),
            ("e/never", "lnd", "could-not-run", true),
            ("f/broken", "lnd", "failed", false),
            ("f/broken", "reference", "passed", true),
        ] {
            checks
                .entry(id.to_owned())
                .or_default()
                .add(who, outcome, expected);
        }
        Recorded {
            harness: "0.1.0".into(),
            day: "2026-11-26".into(),
            implementations: [("lnd".into(), "v1".into())].into(),
            checks,
        }
    }

    #[test]
    fn a_claim_is_worth_what_its_worst_check_is() {
        let table = proofs().table(&known(), Some(recorded()));
        let states: Vec<_> = table
            .forms
            .iter()
            .flat_map(|row| &row.claims)
            .map(|line| (line.number.as_str(), line.state.unwrap()))
            .collect();
        assert_eq!(
            states,
            [
                ("1a", State::Shown),
                ("1b", State::Shown),
                ("1c", State::Shown),
                ("1d", State::Shown),
                ("2a", State::Shown),
                ("2b", State::NotShown),
                ("2c", State::NotRun),
                ("2d", State::Contradicted),
                ("2e", State::Shown),
            ]
        );
        // Somebody has learned it meanwhile.
        let mut later = recorded();
        let c = later.checks.get_mut("c/live#received").unwrap();
        c.add("ldk-node", "passed", true);
        let table = proofs().table(&known(), Some(later));
        assert_eq!(table.forms[1].claims[0].state, Some(State::Contradicted));
        // A run without the checks says nothing about them.
        let table = proofs().table(&known(), Some(Recorded::default()));
        assert_eq!(table.forms[1].claims[0].state, Some(State::NotRun));
        assert_eq!(
            proofs().table(&known(), None).forms[0].claims[0].state,
            None
        );
    }

    #[test]
    fn the_table_is_shown_with_and_without_a_run() {
        let table = proofs().table(&known(), Some(recorded()));
        insta::assert_snapshot!("proofs_markdown", table.markdown());
        insta::assert_snapshot!("proofs_text", table.text());
        let bare = proofs().table(&known(), None);
        insta::assert_snapshot!(
            "proofs_bare",
            format!("{}\n{}", bare.markdown(), bare.text())
        );
    }

    #[test]
    fn what_a_run_recorded_survives_being_written() {
        let text = serde_json::to_string(&recorded()).unwrap();
        assert_eq!(serde_json::from_str::<Recorded>(&text).unwrap(), recorded());
        assert!(serde_json::from_str::<Recorded>(&text.replace("\"day\"", "\"date\"")).is_err());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let wrong = |text: &str| {
            let mistakes = Proofs::from_text(Path::new("p.yaml"), text).unwrap_err();
            let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            all.join("\n")
        };
        let text = TWO.replace("unsupported: [c/live#received]", "shown_by: []");
        assert!(
            wrong(&text).contains("p.yaml:10:10: nothing shows this claim"),
            "{}",
            wrong(&text)
        );
        let text = TWO.replace("form: other", "form: plain");
        assert!(
            wrong(&text).contains("p.yaml:8:9: the form `plain`"),
            "{}",
            wrong(&text)
        );
        let text = TWO.replace("says: Beware.", "sais: Beware.");
        assert!(
            wrong(&text).contains("unknown key `sais`"),
            "{}",
            wrong(&text)
        );

        let mut known = known();
        assert!(proofs().resolve(&known).is_ok());
        known.remove("d/known");
        known.insert("d/know".into(), false);
        let mistakes = proofs().resolve(&known).unwrap_err();
        let text = mistakes[0].to_string();
        assert!(text.starts_with("proofs.yaml:11:"), "{text}");
        assert!(text.contains("no vector has the check `d/known`"), "{text}");
        assert_eq!(mistakes.len(), 1);
        assert_eq!(proofs().checks().len(), 6);
    }
}
