//! Coverage: which requirements a run really checked.

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
    /// Ids of the checks that passed or failed on at least one implementation.
    pub checks: BTreeSet<String>,
    /// Its own mutant is caught by a check that names it.
    pub tested: bool,
    /// Why it cannot be observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
    #[serde(skip)]
    class: Option<Class>,
}

/// Coverage of all catalogues by one run. Its JSON form is that of `spec coverage --format json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// In the order of the catalogues; then ids that checks named and no catalogue has.
    pub requirements: Vec<Requirement>,
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
}

/// Counts what `emitted` covered. A requirement is covered by a check that passed or failed; one
/// that did not run covers nothing.
pub fn coverage<'a>(
    catalogue: &Catalogue,
    emitted: impl IntoIterator<Item = Emitted<'a>>,
) -> Coverage {
    let mut checks: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in emitted {
        if matches!(one.outcome, "passed" | "failed") {
            for id in one.requirements {
                checks.entry(id).or_default().insert(one.check);
            }
        }
    }
    let mut take = |id: &str| -> BTreeSet<String> {
        checks
            .remove(id)
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect()
    };
    let mut requirements: Vec<Requirement> = catalogue
        .entries()
        .map(|entry: &Entry| Requirement {
            id: entry.id.clone(),
            spec: entry.spec.clone(),
            keyword: entry.keyword.as_str().to_owned(),
            checks: take(&entry.id),
            tested: false,
            excluded: entry.excluded.clone(),
            class: Some(entry.keyword.class()),
        })
        .collect();
    // Somebody else's vectors may name requirements of catalogues that are not at hand.
    for (id, checks) in checks {
        requirements.push(Requirement {
            id: id.to_owned(),
            spec: id.split('/').next().unwrap_or_default().to_owned(),
            keyword: String::new(),
            checks: checks.into_iter().map(str::to_owned).collect(),
            tested: false,
            excluded: None,
            class: None,
        });
    }
    Coverage { requirements }
}

impl Coverage {
    /// Marks `id` as tested: its own mutant was caught by a check that names it.
    pub fn set_tested(&mut self, id: &str) {
        if let Some(one) = self.requirements.iter_mut().find(|r| r.id == id) {
            one.tested = true;
        }
    }

    /// Counts by specification: MUST-class first, then SHOULD and MAY together.
    pub fn counts(&self) -> BTreeMap<String, [Counts; 2]> {
        let mut all: BTreeMap<String, [Counts; 2]> = BTreeMap::new();
        for one in &self.requirements {
            let Some(class) = one.class else { continue };
            let counts =
                &mut all.entry(one.spec.clone()).or_default()[usize::from(class != Class::Must)];
            if !one.checks.is_empty() {
                counts.covered += 1;
            } else if one.excluded.is_some() {
                counts.excluded += 1;
            } else {
                counts.uncovered += 1;
            }
        }
        all
    }

    /// The table for a terminal: a line a specification, MUST-class and SHOULD/MAY apart; then the
    /// uncovered MUSTs by id.
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
                let asked = c.covered + c.uncovered;
                let cell = format!("{}/{asked}", c.covered);
                let percent = (100 * c.covered).checked_div(asked);
                let percent = percent.map_or_else(|| "-".to_owned(), |p| format!("{p} %"));
                let _ = write!(
                    text,
                    "   {label} {cell:>7} {percent:>5}, excluded {:>2}",
                    c.excluded
                );
            }
            text.push('\n');
        };
        let mut total = [Counts::default(); 2];
        for (spec, both) in &counts {
            line(spec, both);
            for (sum, c) in total.iter_mut().zip(both) {
                sum.covered += c.covered;
                sum.excluded += c.excluded;
                sum.uncovered += c.uncovered;
            }
        }
        line("total", &total);
        let open = |r: &&Requirement| {
            r.class == Some(Class::Must) && r.checks.is_empty() && r.excluded.is_none()
        };
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
            ("v/one", names(&["a/covered", "a/seen-after-all"]), "passed"),
            ("v/one", names(&["a/covered"]), "failed"),
            (
                "v/two",
                names(&["a/covered", "a/failed", "x/unknown"]),
                "failed",
            ),
            (
                "v/three",
                names(&["a/unsupported", "a/should"]),
                "unsupported",
            ),
            ("v/four", names(&["a/unsupported"]), "could-not-run"),
        ];
        coverage(
            &catalogue,
            checks.iter().map(|(check, requirements, outcome)| Emitted {
                check,
                requirements,
                outcome,
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
                ("a/covered", 2),
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
                uncovered: 1
            }
        );
        assert_eq!(
            rest,
            Counts {
                covered: 1,
                excluded: 0,
                uncovered: 1
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
                "checks": ["v/one", "v/two"], "tested": false})
        );
        assert_eq!(json["requirements"][3]["excluded"], "not seen");
    }

    #[test]
    fn the_table_counts_and_names_what_is_open() {
        insta::assert_snapshot!(example().table(), @"
        a       MUST     2/3  66 %, excluded  1   SHOULD/MAY     1/2  50 %, excluded  0
        total   MUST     2/3  66 %, excluded  1   SHOULD/MAY     1/2  50 %, excluded  0

        uncovered MUST and MUST NOT:
          a/unsupported

        named by checks, in no catalogue:
          x/unknown
        ");
    }
}
