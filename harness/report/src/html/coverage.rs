//! The page of `spec coverage`: every statement, its checks, and who satisfies it.

use super::{STYLE, THEME, encoded, policy};
use crate::text::{clean, cut};
use askama::Template;
use lnconform_spec::coverage::{Counts, Coverage, Requirement, percent};
use std::collections::BTreeSet;
use std::io;

/// The page's behaviour: a filter over the rows that are there.
pub(super) const SCRIPT: &str = include_str!("../../templates/coverage.js");
/// Checks of a statement that are named.
const CHECKS: usize = 200;
/// Characters of a text from outside.
const TEXT: usize = 600;

#[derive(Template)]
#[template(path = "coverage.html")]
struct Page {
    policy: String,
    style: &'static str,
    theme: &'static str,
    script: &'static str,
    heading: String,
    all: Totals,
    specs: Vec<SpecView>,
    scores: Vec<(String, String, usize, usize)>,
    groups: Vec<GroupView>,
    people: Vec<String>,
    statements: usize,
}

/// Counts as they are shown.
struct Totals {
    must: Share,
    must_excluded: usize,
    wire: Share,
    rest: Share,
    rest_excluded: usize,
}

/// `12/13`, `92 %`.
struct Share(String, String);

struct SpecView {
    name: String,
    href: String,
    totals: Totals,
}

/// The statements of one class of one specification.
struct GroupView {
    spec: String,
    /// Its heading stands above this group.
    first: bool,
    /// Place of the specification, for its anchor.
    place: usize,
    class: &'static str,
    /// `must`, `rest` or `unknown`.
    kind: &'static str,
    rows: Vec<RowView>,
}

struct RowView {
    state: &'static str,
    sign: &'static str,
    look: &'static str,
    tested: bool,
    id: String,
    keyword: String,
    paraphrase: String,
    section: String,
    excluded: Option<String>,
    checks: Vec<String>,
    more: usize,
    count: usize,
    wire: usize,
    satisfied: Vec<String>,
    violated: Vec<String>,
    involved: Vec<String>,
    /// What the filter asks for, apart from words.
    facts: String,
}

/// Names, safe to show.
fn names(set: &BTreeSet<String>) -> Vec<String> {
    set.iter().map(|name| safe(name)).collect()
}

fn safe(text: &str) -> String {
    cut(&clean(text), TEXT).into_owned()
}

fn share(n: usize, counts: Counts) -> Share {
    let all = counts.asked();
    Share(format!("{n}/{all}"), percent(n, all))
}

fn totals([must, rest]: [Counts; 2]) -> Totals {
    Totals {
        must: share(must.covered, must),
        must_excluded: must.excluded,
        wire: share(must.wire, must),
        rest: share(rest.covered, rest),
        rest_excluded: rest.excluded,
    }
}

fn row(one: &Requirement) -> RowView {
    let state = one.state();
    let (sign, look) = match state {
        "covered" => ("✓", "passed"),
        "excluded" => ("–", "not-applicable"),
        _ => ("□", "not-run"),
    };
    let mut facts = vec![state];
    let told = [
        (one.tested, "tested"),
        (!one.wire.is_empty(), "wire"),
        (
            !one.violated.is_empty() || !one.involved.is_empty(),
            "unsatisfied",
        ),
    ];
    facts.extend(told.iter().filter(|(is, _)| *is).map(|(_, word)| *word));
    let involved = one.involved.difference(&one.violated);
    RowView {
        state,
        sign,
        look,
        tested: one.tested,
        id: safe(&one.id),
        keyword: safe(&one.keyword),
        paraphrase: safe(&one.paraphrase),
        section: safe(&one.section),
        excluded: one.excluded.as_deref().map(safe),
        checks: one.checks.iter().take(CHECKS).map(|id| safe(id)).collect(),
        more: one.checks.len().saturating_sub(CHECKS),
        count: one.checks.len(),
        wire: one.wire.len(),
        satisfied: names(&one.satisfied),
        violated: names(&one.violated),
        involved: involved.map(|name| safe(name)).collect(),
        facts: facts.join(" "),
    }
}

/// The page, which needs no network. `heading` says which run it is of.
///
/// # Errors
/// A template that cannot be filled, which no input brings about.
pub fn coverage(coverage: &Coverage, heading: &str) -> io::Result<String> {
    let counts = coverage.counts();
    let sum = counts
        .values()
        .fold([Counts::default(); 2], |[a, b], [c, d]| {
            [a.plus(*c), b.plus(*d)]
        });
    let all = coverage.requirements.iter();
    let people: BTreeSet<String> = all
        .flat_map(|r| r.satisfied.iter().chain(&r.violated).chain(&r.involved))
        .map(|name| safe(name))
        .collect();
    let mut groups: Vec<GroupView> = Vec::new();
    for (spec, class, rows) in coverage.groups() {
        let spec = safe(spec);
        let first = groups.last().is_none_or(|last| last.spec != spec);
        let place = groups
            .last()
            .map_or(0, |last| last.place + usize::from(first));
        groups.push(GroupView {
            first,
            place,
            spec,
            class,
            kind: match rows.first().and_then(|r| r.is_must()) {
                Some(true) => "must",
                Some(false) => "rest",
                None => "unknown",
            },
            rows: rows.into_iter().map(row).collect(),
        });
    }
    let page = Page {
        policy: policy(&[THEME, SCRIPT]),
        style: STYLE,
        theme: THEME,
        script: SCRIPT,
        heading: safe(heading),
        all: totals(sum),
        specs: counts
            .iter()
            .map(|(name, both)| SpecView {
                href: format!("#spec={}", encoded(&safe(name))),
                name: safe(name),
                totals: totals(*both),
            })
            .collect(),
        scores: coverage
            .sections
            .iter()
            .map(|score| {
                let all = score.caught + score.survived;
                let caught = format!("{}/{all} ({})", score.caught, percent(score.caught, all));
                (
                    safe(&score.title()),
                    caught,
                    score.explained,
                    score.survived,
                )
            })
            .collect(),
        groups,
        people: people.into_iter().collect(),
        statements: coverage.requirements.len(),
    };
    page.render().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_spec::Catalogue;
    use lnconform_spec::coverage::{Emitted, coverage as count};
    use std::path::Path;

    const BAD: &str = "</td><script>alert(1)</script>\u{202e}";

    fn page() -> String {
        let entry = |id: &str, keyword: &str, more: &str| {
            format!(
                "  - {{id: {id}, keyword: {keyword}, section: S, sentence: 0123456789abcdef, \
                 role: reader, paraphrase: P{more}}}\n"
            )
        };
        let text = [
            "spec: a\ndocument: a.md\nrevision: '1'\ntitle: A\nentries:\n".to_owned(),
            entry("a/covered", "MUST NOT", ""),
            entry("a/open", "MUST", ""),
            entry("a/hidden", "MUST", ", excluded: not <seen>"),
            entry("a/should", "SHOULD", ""),
        ]
        .concat();
        let catalogue = Catalogue::from_texts(&[(Path::new("a.yaml"), &text)]).unwrap();
        let covered = ["a/covered".to_owned()];
        let others = ["a/should".to_owned(), BAD.to_owned()];
        let one = Emitted {
            check: "v/wire",
            requirements: &covered,
            outcome: "passed",
            implementations: &["lnd", "probe"],
            wire: true,
        };
        let failed = Emitted {
            check: BAD,
            requirements: &others,
            outcome: "failed",
            implementations: &[BAD],
            wire: false,
        };
        let mut made = count(&catalogue, [one, failed]);
        made.set_tested("a/covered");
        coverage(&made, &format!("Run {BAD}")).unwrap()
    }

    #[test]
    fn every_statement_stands_with_its_checks_and_who_satisfies_it() {
        let page = page();
        for part in [
            "data-facts=\"covered tested wire\"",
            "data-facts=\"excluded\"",
            "not &#60;seen&#62;",
            "id=\"spec-0\"",
            "id=\"spec-1\"",
            "MUST and MUST NOT",
            "SHOULD and MAY",
            "in no catalogue",
            "v/wire",
            ">1/2</td>",
            ">50 %</td>",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        // Excluded for a reason: it is in no share, and the reason is told.
        assert_eq!(page.matches("data-facts=\"uncovered\"").count(), 1);
        assert_eq!(page.matches("<tr data-facts").count(), 5);
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        let page = page();
        assert_eq!(page.matches("<script").count(), 2);
        assert!(!page.contains("alert(1)</script>") && !page.contains('\u{202e}'));
        for word in ["http:", "https:", "src="] {
            assert!(!page.contains(word), "{word}");
        }
        let policy = page
            .split("Content-Security-Policy\" content=\"")
            .nth(1)
            .unwrap();
        assert!(
            policy.starts_with("default-src &#39;none&#39;;"),
            "{policy}"
        );
    }
}
