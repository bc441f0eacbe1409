//! Coverage: which requirements a run really checked, and who satisfies them.

mod pages;

pub use pages::Group;

use crate::catalogue::{Catalogue, Class, Entry};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// One check that a run emitted.
#[derive(Clone, Copy, Debug)]
pub struct Emitted<'a> {
    /// Id of the check.
    pub check: &'a str,
    /// Ids of the requirements that it names.
    pub requirements: &'a [String],
    /// `passed`, `failed`, `unsupported`, `not-applicable` or `could-not-run`.
    pub outcome: &'a str,
    /// The implementation that it ran on; several where roles were filled.
    pub implementations: &'a [&'a str],
    /// It ran on live nodes, one of which the harness played itself: what was seen was seen on the wire.
    pub wire: bool,
}

/// What a run made of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A check of it passed or failed.
    Covered,
    /// Excluded with a reason, and not covered all the same.
    Excluded,
    /// Neither.
    Uncovered,
}

impl State {
    /// `covered`, `excluded` or `uncovered`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Covered => "covered",
            Self::Excluded => "excluded",
            Self::Uncovered => "uncovered",
        }
    }
}

/// A requirement and what covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// Its id.
    pub id: String,
    /// Name of the specification.
    pub spec: String,
    /// `MUST`, `MUST NOT`, `SHOULD`, `SHOULD NOT` or `MAY`.
    pub keyword: String,
    /// The headings above the statement; empty where no catalogue has it.
    pub section: String,
    /// What it asks, in our words.
    pub paraphrase: String,
    /// Ids of the checks that passed or failed on at least one implementation.
    pub checks: BTreeSet<String>,
    /// Those among them that saw it on the wire: on live nodes, one of which the harness played itself.
    pub wire: BTreeSet<String>,
    /// Why no peer can break it, or see it kept, on the wire ([`crate::wire`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_wire: Option<String>,
    /// Its own mutant is caught by a check that names it.
    pub tested: bool,
    /// Why it cannot be observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
    /// Implementations for which at least one of the checks passed and none failed. In a scenario
    /// that passed, all that took a role.
    pub satisfied: BTreeSet<String>,
    /// Implementations for which a check failed that ran on them alone.
    pub violated: BTreeSet<String>,
    /// Implementations that took part in a scenario that failed. Which of them is at fault, the check
    /// itself says.
    pub involved: BTreeSet<String>,
    #[serde(skip)]
    class: Option<Class>,
    /// A MUST for who reads: the wire is asked about it.
    #[serde(skip)]
    asked_of_wire: bool,
}

impl Requirement {
    /// What the run made of it.
    pub fn state(&self) -> State {
        match (self.checks.is_empty(), &self.excluded) {
            (false, _) => State::Covered,
            (true, Some(_)) => State::Excluded,
            (true, None) => State::Uncovered,
        }
    }

    /// It is a MUST or MUST NOT; absent where no catalogue has it.
    pub fn is_must(&self) -> Option<bool> {
        self.class.map(|class| class == Class::Must)
    }

    /// Those that failed only together with others.
    pub fn together(&self) -> impl Iterator<Item = &str> {
        self.involved.difference(&self.violated).map(String::as_str)
    }

    /// Who does not satisfy it; of several that failed together, each with a question mark.
    pub fn not_by(&self) -> BTreeSet<String> {
        let together = self.together().map(|who| format!("{who} (?)"));
        self.violated.iter().cloned().chain(together).collect()
    }
}

/// What the vectors make of the mutants of one section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Name of the specification.
    pub spec: String,
    /// The headings; empty for requirements that no catalogue has.
    pub section: String,
    /// Mutants that a check caught which names their requirement.
    pub caught: usize,
    /// Those that nothing can catch, with a reason.
    pub explained: usize,
    /// The others.
    pub survived: usize,
}

impl Score {
    /// The specification, and the section where there is one.
    pub fn title(&self) -> String {
        match self.section.is_empty() {
            true => self.spec.clone(),
            false => format!("{}: {}", self.spec, self.section),
        }
    }

    /// Caught mutants of a hundred that something could catch; none where there is none.
    pub fn percent(&self) -> Option<usize> {
        (100 * self.caught).checked_div(self.caught + self.survived)
    }
}

/// Counts mutants by the section of their requirement, in the order of the catalogues. Of each: the
/// requirement, whether it was caught, and whether its survival is explained.
pub fn scores<'a>(
    catalogue: &Catalogue,
    mutants: impl IntoIterator<Item = (&'a str, bool, bool)>,
) -> Vec<Score> {
    let place = |requirement: &str| match catalogue.get(requirement) {
        Some(entry) => (entry.spec.clone(), entry.section.clone()),
        None => (spec_of(requirement), String::new()),
    };
    let mut order: BTreeMap<(String, String), usize> = BTreeMap::new();
    for entry in catalogue.entries() {
        let next = order.len();
        let key = (entry.spec.clone(), entry.section.clone());
        order.entry(key).or_insert(next);
    }
    let mut found: BTreeMap<(usize, (String, String)), Score> = BTreeMap::new();
    for (requirement, caught, explained) in mutants {
        let key = place(requirement);
        let at = order.get(&key).copied().unwrap_or(usize::MAX);
        let (spec, section) = key.clone();
        let score = found.entry((at, key)).or_insert(Score {
            spec,
            section,
            caught: 0,
            explained: 0,
            survived: 0,
        });
        match (caught, explained) {
            (true, _) => score.caught += 1,
            (false, true) => score.explained += 1,
            (false, false) => score.survived += 1,
        }
    }
    found.into_values().collect()
}

/// The table of scores for a terminal, with their sum.
pub fn score_table(scores: &[Score]) -> String {
    let name = Score::title;
    let mut sum = Score {
        spec: "all sections".to_owned(),
        section: String::new(),
        caught: 0,
        explained: 0,
        survived: 0,
    };
    for score in scores {
        sum.caught += score.caught;
        sum.explained += score.explained;
        sum.survived += score.survived;
    }
    let rows: Vec<&Score> = scores.iter().chain([&sum]).collect();
    let width = rows.iter().map(|s| name(s).chars().count()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for score in rows {
        let percent = score.percent().map_or("-".to_owned(), |p| format!("{p} %"));
        let _ = writeln!(
            text,
            "{:<width$}  {percent:>5}   {:>4} caught, {:>3} explained, {:>3} survived",
            name(score),
            score.caught,
            score.explained,
            score.survived
        );
    }
    text
}

/// What the id of a requirement begins with.
fn spec_of(requirement: &str) -> String {
    requirement.split('/').next().unwrap_or_default().to_owned()
}

/// Coverage of all catalogues by one run. Its JSON form is that of `spec coverage --format json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// In the order of the catalogues; then ids that checks named and no catalogue has.
    pub requirements: Vec<Requirement>,
    /// How the vectors do against mutants, by section; empty where no mutants were tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Score>,
}

/// How many requirements of one specification and class are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// A check of it passed or failed.
    pub covered: usize,
    /// Excluded with a reason, and not covered all the same.
    pub excluded: usize,
    /// Neither.
    pub uncovered: usize,
    /// Those of the covered ones that a check saw on the wire.
    pub wire: usize,
}

impl Counts {
    /// All that can be observed.
    pub fn asked(&self) -> usize {
        self.covered + self.uncovered
    }

    /// `12/13`: the covered ones among those that can be observed.
    pub fn share(&self) -> String {
        format!("{}/{}", self.covered, self.asked())
    }

    /// `4/13`: those seen on the wire among those that can be observed.
    pub fn wire_share(&self) -> String {
        format!("{}/{}", self.wire, self.asked())
    }

    /// The sum of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            covered: self.covered + other.covered,
            excluded: self.excluded + other.excluded,
            uncovered: self.uncovered + other.uncovered,
            wire: self.wire + other.wire,
        }
    }
}

/// `n` of `all` in a hundred; `-` where there are none.
pub fn percent(n: usize, all: usize) -> String {
    let percent = (100 * n).checked_div(all);
    percent.map_or_else(|| "-".to_owned(), |p| format!("{p} %"))
}

/// Counts what `emitted` covered. A requirement is covered by a check that passed or failed; one
/// that did not run covers nothing.
pub fn coverage<'a>(
    catalogue: &Catalogue,
    emitted: impl IntoIterator<Item = Emitted<'a>>,
) -> Coverage {
    #[derive(Default)]
    struct Seen<'a> {
        checks: BTreeSet<&'a str>,
        wire: BTreeSet<&'a str>,
        passed: BTreeSet<&'a str>,
        violated: BTreeSet<&'a str>,
        involved: BTreeSet<&'a str>,
    }
    let mut seen: BTreeMap<&str, Seen<'_>> = BTreeMap::new();
    for one in emitted {
        if !matches!(one.outcome, "passed" | "failed") {
            continue;
        }
        for id in one.requirements {
            let seen = seen.entry(id).or_default();
            seen.checks.insert(one.check);
            if one.wire {
                seen.wire.insert(one.check);
            }
            let who = match (one.outcome, one.implementations) {
                ("passed", _) => &mut seen.passed,
                (_, [_]) => &mut seen.violated,
                _ => &mut seen.involved,
            };
            who.extend(one.implementations);
        }
    }
    let strings = |set: &BTreeSet<&str>| set.iter().map(|s| (*s).to_owned()).collect();
    let fill = |requirement: Requirement, seen: Option<Seen<'_>>| match seen {
        None => requirement,
        Some(mut seen) => {
            let bad = |who: &&str| seen.violated.contains(who) || seen.involved.contains(who);
            seen.passed = seen
                .passed
                .iter()
                .copied()
                .filter(|who| !bad(who))
                .collect();
            Requirement {
                checks: strings(&seen.checks),
                wire: strings(&seen.wire),
                satisfied: strings(&seen.passed),
                violated: strings(&seen.violated),
                involved: strings(&seen.involved),
                ..requirement
            }
        }
    };
    let blank = |id: &str, spec: String| Requirement {
        id: id.to_owned(),
        spec,
        keyword: String::new(),
        section: String::new(),
        paraphrase: String::new(),
        checks: BTreeSet::new(),
        wire: BTreeSet::new(),
        off_wire: None,
        tested: false,
        excluded: None,
        satisfied: BTreeSet::new(),
        violated: BTreeSet::new(),
        involved: BTreeSet::new(),
        class: None,
        asked_of_wire: false,
    };
    let of_entry = |entry: &Entry| Requirement {
        keyword: entry.keyword.as_str().to_owned(),
        section: entry.section.clone(),
        paraphrase: entry.paraphrase.clone(),
        excluded: entry.excluded.clone(),
        class: Some(entry.keyword.class()),
        asked_of_wire: crate::wire::asked(entry),
        ..blank(&entry.id, entry.spec.clone())
    };
    let mut requirements: Vec<Requirement> = Vec::new();
    for entry in catalogue.entries() {
        requirements.push(fill(of_entry(entry), seen.remove(entry.id.as_str())));
    }
    // Somebody else's vectors may name requirements of catalogues that are not at hand.
    for (id, one) in seen {
        requirements.push(fill(blank(id, spec_of(id)), Some(one)));
    }
    Coverage {
        requirements,
        sections: Vec::new(),
    }
}

impl Coverage {
    /// Marks `id` as tested: its own mutant was caught by a check that names it.
    pub fn set_tested(&mut self, id: &str) {
        if let Some(one) = self.requirements.iter_mut().find(|r| r.id == id) {
            one.tested = true;
        }
    }

    /// Marks what no peer can break or see, with the reason: [`crate::wire::reasons`].
    pub fn set_off_wire(&mut self, reasons: &BTreeMap<String, String>) {
        for one in &mut self.requirements {
            one.off_wire = reasons.get(&one.id).cloned();
        }
    }

    /// For a terminal, of the MUST and MUST NOT for who reads, receives or is a node: how many a check
    /// saw on the wire, how many no peer can break or see, how many are open; then the open ones by id,
    /// and, with `every`, the reasons.
    pub fn wire_table(&self, every: bool) -> String {
        let mut specs: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        let (mut open, mut reasons) = (Vec::new(), BTreeMap::<&str, Vec<&str>>::new());
        for one in self.requirements.iter().filter(|r| r.asked_of_wire) {
            let state = match (one.wire.is_empty(), &one.off_wire) {
                (false, _) => 0,
                (true, Some(reason)) => {
                    reasons.entry(reason).or_default().push(&one.id);
                    1
                }
                (true, None) => {
                    open.push(&one.id);
                    2
                }
            };
            specs.entry(&one.spec).or_default()[state] += 1;
        }
        let mut total = [0; 3];
        for counts in specs.values() {
            for (sum, count) in total.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        let width = specs.keys().map(|s| s.len()).max().unwrap_or(0);
        let width = width.max("total".len());
        let mut text =
            String::from("MUST and MUST NOT for who reads, receives or is a node, on the wire:\n");
        for (name, [seen, off, open]) in specs.into_iter().chain([("total", total)]) {
            let _ = writeln!(
                text,
                "{name:<width$}   {seen:>4} seen, {off:>4} no peer can break or see, {open:>4} open"
            );
        }
        if !open.is_empty() {
            text.push_str("\nopen:\n");
        }
        for id in open {
            let _ = writeln!(text, "  {id}");
        }
        if every && !reasons.is_empty() {
            text.push_str("\nwhy no peer can:\n");
            for (reason, ids) in reasons {
                let _ = writeln!(text, "  {reason}");
                for id in ids {
                    let _ = writeln!(text, "    {id}");
                }
            }
        }
        text
    }

    /// Counts by specification: MUST-class first, then SHOULD and MAY together.
    pub fn counts(&self) -> BTreeMap<String, [Counts; 2]> {
        let mut all: BTreeMap<String, [Counts; 2]> = BTreeMap::new();
        for one in &self.requirements {
            let Some(class) = one.class else { continue };
            let counts =
                &mut all.entry(one.spec.clone()).or_default()[usize::from(class != Class::Must)];
            match one.state() {
                State::Covered => {
                    counts.covered += 1;
                    counts.wire += usize::from(!one.wire.is_empty());
                }
                State::Excluded => counts.excluded += 1,
                State::Uncovered => counts.uncovered += 1,
            }
        }
        all
    }

    /// The sum of [`Coverage::counts`] over all specifications.
    pub fn total(&self) -> [Counts; 2] {
        let counts = self.counts().into_values();
        counts.fold([Counts::default(); 2], |[a, b], [c, d]| {
            [a.plus(c), b.plus(d)]
        })
    }

    /// The table for a terminal: a line a specification, MUST-class and SHOULD/MAY apart, and which
    /// share of the MUST-class a check saw on the wire; then the uncovered MUSTs by id.
    pub fn table(&self) -> String {
        let counts = self.counts();
        let width = counts
            .keys()
            .map(String::len)
            .max()
            .unwrap_or(0)
            .max("total".len());
        let mut text = String::new();
        let mut line = |name: &str, [must, rest]: &[Counts; 2]| {
            let _ = write!(text, "{name:<width$}");
            for (label, c) in [("MUST", must), ("SHOULD/MAY", rest)] {
                let (cell, percent) = (c.share(), percent(c.covered, c.asked()));
                let _ = write!(
                    text,
                    "   {label} {cell:>7} {percent:>5}, excluded {:>2}",
                    c.excluded
                );
            }
            let (cell, percent) = (must.wire_share(), percent(must.wire, must.asked()));
            let _ = writeln!(text, "   MUST on the wire {cell:>7} {percent:>5}");
        };
        for (spec, both) in &counts {
            line(spec, both);
        }
        line("total", &self.total());
        let open = |r: &&Requirement| r.is_must() == Some(true) && r.state() == State::Uncovered;
        let open: Vec<_> = self.requirements.iter().filter(open).collect();
        if !open.is_empty() {
            text.push_str("\nuncovered MUST and MUST NOT:\n");
        }
        for one in open {
            let _ = writeln!(text, "  {}", one.id);
        }
        let unknown: Vec<_> = self
            .requirements
            .iter()
            .filter(|r| r.class.is_none())
            .collect();
        if !unknown.is_empty() {
            text.push_str("\nnamed by checks, in no catalogue:\n");
        }
        for one in unknown {
            let _ = writeln!(text, "  {}", one.id);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn example() -> Coverage {
        let entry = |id: &str, keyword: &str, more: &str| {
            format!(
                "  - {{id: {id}, keyword: {keyword}, section: S, sentence: 0123456789abcdef, \
                 role: reader, paraphrase: P{more}}}\n"
            )
        };
        let text = [
            "spec: a\ndocument: a.md\nrevision: '1'\ntitle: A\nentries:\n".to_owned(),
            entry("a/covered", "MUST NOT", ""),
            entry("a/failed", "MUST", ""),
            entry("a/unsupported", "MUST", ""),
            entry("a/hidden", "MUST", ", excluded: not seen"),
            entry("a/should", "SHOULD", ""),
            entry("a/seen-after-all", "MAY", ", excluded: not seen"),
        ]
        .concat();
        let catalogue = Catalogue::from_texts(&[(Path::new("a.yaml"), &text)]).unwrap();
        let names = |ids: &[&str]| ids.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>();
        let checks = [
            (
                "v/one",
                names(&["a/covered", "a/seen-after-all"]),
                "passed",
                &["good"][..],
            ),
            ("v/one", names(&["a/covered"]), "failed", &["<bad>"]),
            (
                "v/two",
                names(&["a/covered", "a/failed", "x/unknown"]),
                "failed",
                &["good", "other"],
            ),
            (
                "v/three",
                names(&["a/unsupported", "a/should"]),
                "unsupported",
                &["good"],
            ),
            (
                "v/four",
                names(&["a/unsupported"]),
                "could-not-run",
                &["good"],
            ),
            (
                "v/five",
                names(&["a/covered"]),
                "passed",
                &["third", "<bad>"],
            ),
        ];
        coverage(
            &catalogue,
            checks
                .iter()
                .map(|(check, requirements, outcome, implementations)| Emitted {
                    check,
                    requirements,
                    outcome,
                    implementations,
                    wire: implementations.len() > 1,
                }),
        )
    }

    #[test]
    fn only_checks_that_passed_or_failed_cover() {
        let mut coverage = example();
        let checks: Vec<_> = coverage
            .requirements
            .iter()
            .map(|r| (r.id.as_str(), r.checks.len()))
            .collect();
        assert_eq!(
            checks,
            [
                ("a/covered", 3),
                ("a/failed", 1),
                ("a/unsupported", 0),
                ("a/hidden", 0),
                ("a/should", 0),
                ("a/seen-after-all", 1),
                ("x/unknown", 1),
            ]
        );
        let [must, rest] = coverage.counts()["a"];
        assert_eq!(
            must,
            Counts {
                covered: 2,
                excluded: 1,
                uncovered: 1,
                wire: 2
            }
        );
        assert_eq!(
            rest,
            Counts {
                covered: 1,
                excluded: 0,
                uncovered: 1,
                wire: 0
            }
        );
        coverage.set_tested("a/failed");
        assert!(coverage.requirements[1].tested && !coverage.requirements[0].tested);
    }

    #[test]
    fn the_json_form_is_that_of_the_interface() {
        let json = serde_json::to_value(example()).unwrap();
        assert_eq!(
            json["requirements"][0],
            serde_json::json!({"id": "a/covered", "spec": "a", "keyword": "MUST NOT",
                "section": "S", "paraphrase": "P", "checks": ["v/five", "v/one", "v/two"],
                "wire": ["v/five", "v/two"], "tested": false, "satisfied": ["third"], "violated": ["<bad>"],
                "involved": ["good", "other"]})
        );
        assert_eq!(json["requirements"][3]["excluded"], "not seen");
    }

    #[test]
    fn scores_are_by_section_in_the_order_of_the_catalogue() {
        let coverage = example();
        let text = "spec: a\ndocument: a.md\nrevision: '1'\ntitle: A\nentries:\n";
        let entry = |id: &str, section: &str| {
            format!(
                "- {{id: {id}, keyword: MUST, section: {section}, sentence: 0123456789abcdef, role: node, paraphrase: P}}\n"
            )
        };
        let text = [
            text,
            &entry("a/x", "Zebra"),
            &entry("a/y", "Ant"),
            &entry("a/z", "Zebra"),
        ]
        .concat();
        let catalogue = Catalogue::from_texts(&[(Path::new("a.yaml"), &text)]).unwrap();
        let mutants = [
            ("a/y", true, false),
            ("a/x", true, false),
            ("a/z", false, false),
            ("a/z", false, true),
            ("b/unknown", false, true),
        ];
        let scores = scores(&catalogue, mutants);
        insta::assert_snapshot!(score_table(&scores), @"
        a: Zebra       50 %      1 caught,   1 explained,   1 survived
        a: Ant        100 %      1 caught,   0 explained,   0 survived
        b                 -      0 caught,   1 explained,   0 survived
        all sections   66 %      2 caught,   2 explained,   1 survived
        ");
        assert_eq!(scores[0].percent(), Some(50));
        assert_eq!(scores[2].percent(), None);
        let scored = Coverage {
            sections: scores,
            ..coverage
        };
        let json = serde_json::to_value(scored).unwrap();
        assert_eq!(
            json["sections"][1],
            serde_json::json!(
            {"spec": "a", "section": "Ant", "caught": 1, "explained": 0, "survived": 0})
        );
    }

    #[test]
    fn the_pages_list_each_statement_and_escape_what_is_not_ours() {
        let mut coverage = example();
        coverage.set_tested("a/covered");
        insta::assert_snapshot!("statements", coverage.statements());
        insta::assert_snapshot!("markdown", coverage.markdown());
    }

    #[test]
    fn the_wire_has_a_table_of_its_own() {
        let mut coverage = example();
        coverage.set_off_wire(&BTreeMap::from([(
            "a/unsupported".to_owned(),
            "It has no effect.".to_owned(),
        )]));
        insta::assert_snapshot!(coverage.wire_table(true), @"
        MUST and MUST NOT for who reads, receives or is a node, on the wire:
        a          2 seen,    1 no peer can break or see,    0 open
        total      2 seen,    1 no peer can break or see,    0 open

        why no peer can:
          It has no effect.
            a/unsupported
        ");
        let json = serde_json::to_value(&coverage).unwrap();
        assert_eq!(json["requirements"][2]["off_wire"], "It has no effect.");
        coverage.set_off_wire(&BTreeMap::new());
        insta::assert_snapshot!(coverage.wire_table(false), @"
        MUST and MUST NOT for who reads, receives or is a node, on the wire:
        a          2 seen,    0 no peer can break or see,    1 open
        total      2 seen,    0 no peer can break or see,    1 open

        open:
          a/unsupported
        ");
    }

    #[test]
    fn the_table_counts_and_names_what_is_open() {
        insta::assert_snapshot!(example().table(), @"
        a       MUST     2/3  66 %, excluded  1   SHOULD/MAY     1/2  50 %, excluded  0   MUST on the wire     2/3  66 %
        total   MUST     2/3  66 %, excluded  1   SHOULD/MAY     1/2  50 %, excluded  0   MUST on the wire     2/3  66 %

        uncovered MUST and MUST NOT:
          a/unsupported

        named by checks, in no catalogue:
          x/unknown
        ");
    }
}
