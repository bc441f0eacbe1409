//! The page of `spec coverage`: every statement, its checks, and who satisfies it.
//!
//! What it shows comes in plain structs: the catalogues and the counting are somebody else's.

use super::{Frame, encoded};
use crate::text::{clean, cut};
use askama::Template;
use std::collections::BTreeSet;
use std::io;

/// The page's behaviour: a filter over the rows that are there.
pub(super) const SCRIPT: &str = concat!(
    include_str!("../../templates/list.js"),
    include_str!("../../templates/coverage.js")
);
/// Checks of a statement that are named.
const CHECKS: usize = 200;
/// Characters of a text from outside.
const TEXT: usize = 600;

/// What one run covered.
#[derive(Clone, Debug)]
pub struct Coverage<'a> {
    /// Which run it is of.
    pub heading: &'a str,
    /// Each specification, in the order of the table.
    pub specs: Vec<(&'a str, Totals)>,
    /// All specifications together.
    pub all: Totals,
    /// What the vectors make of the mutants of each section; empty where none were tried.
    pub scores: Vec<Score>,
    /// The statements; those of one specification follow one another.
    pub groups: Vec<Group<'a>>,
}

/// Counts of a specification.
#[derive(Clone, Copy, Debug)]
pub struct Totals {
    /// Of MUST and MUST NOT.
    pub must: Counts,
    /// Of SHOULD and MAY.
    pub rest: Counts,
}

/// How many statements are in which state.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// A check of them passed or failed.
    pub covered: usize,
    /// Those among the covered ones that a check saw on the wire.
    pub wire: usize,
    /// Those that can be observed, of which the shares are taken.
    pub asked: usize,
    /// Those that cannot.
    pub excluded: usize,
}

/// Mutants of one section.
#[derive(Clone, Debug)]
pub struct Score {
    /// The specification and the section.
    pub title: String,
    /// Those that a check caught.
    pub caught: usize,
    /// Those that nothing can catch, with a reason.
    pub explained: usize,
    /// The others.
    pub survived: usize,
}

/// The statements of one class of one specification.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Name of the specification.
    pub spec: &'a str,
    /// Name of the class: `MUST and MUST NOT`.
    pub class: &'static str,
    /// They are MUST or MUST NOT; absent where no catalogue has them.
    pub must: Option<bool>,
    /// The statements.
    pub statements: Vec<Statement<'a>>,
}

/// What the run made of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A check of it passed or failed.
    Covered,
    /// It cannot be observed, and no check covers it.
    Excluded,
    /// Neither.
    Uncovered,
}

/// A statement, what covers it and who satisfies it.
#[derive(Clone, Debug)]
pub struct Statement<'a> {
    /// Id of its requirement.
    pub id: &'a str,
    /// `MUST`, `SHOULD NOT`, …; empty where no catalogue has it, as the section and the paraphrase.
    pub keyword: &'a str,
    /// The headings above it.
    pub section: &'a str,
    /// What it asks, in our words.
    pub paraphrase: &'a str,
    /// What the run made of it.
    pub state: State,
    /// Its own mutant is caught by a check that names it.
    pub tested: bool,
    /// Why it cannot be observed.
    pub excluded: Option<&'a str>,
    /// Ids of the checks that cover it.
    pub checks: &'a BTreeSet<String>,
    /// How many of them saw it on the wire.
    pub wire: usize,
    /// Implementations that satisfy it.
    pub satisfied: &'a BTreeSet<String>,
    /// Those that do not.
    pub violated: &'a BTreeSet<String>,
    /// Those that failed only together with others.
    pub together: Vec<&'a str>,
}

#[derive(Template)]
#[template(path = "coverage.html")]
struct Page {
    frame: Frame,
    heading: String,
    all: TotalsView,
    specs: Vec<SpecView>,
    scores: Vec<(String, String, usize, usize)>,
    groups: Vec<GroupView>,
    people: Vec<String>,
    statements: usize,
}

/// Counts as they are shown.
struct TotalsView {
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
    totals: TotalsView,
}

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
    together: Vec<String>,
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

/// `n` of `all` in a hundred; `-` where there are none.
fn percent(n: usize, all: usize) -> String {
    let percent = (100 * n).checked_div(all);
    percent.map_or_else(|| "-".to_owned(), |p| format!("{p} %"))
}

fn share(n: usize, all: usize) -> Share {
    Share(format!("{n}/{all}"), percent(n, all))
}

impl From<Totals> for TotalsView {
    fn from(Totals { must, rest }: Totals) -> Self {
        Self {
            must: share(must.covered, must.asked),
            must_excluded: must.excluded,
            wire: share(must.wire, must.asked),
            rest: share(rest.covered, rest.asked),
            rest_excluded: rest.excluded,
        }
    }
}

impl From<&Statement<'_>> for RowView {
    fn from(one: &Statement<'_>) -> Self {
        let (state, sign, look) = match one.state {
            State::Covered => ("covered", "✓", "passed"),
            State::Excluded => ("excluded", "–", "not-applicable"),
            State::Uncovered => ("uncovered", "□", "not-run"),
        };
        let unsatisfied = !one.violated.is_empty() || !one.together.is_empty();
        let facts = [
            (true, state),
            (one.tested, "tested"),
            (one.wire > 0, "wire"),
            (unsatisfied, "unsatisfied"),
        ];
        let facts: Vec<&str> = facts.iter().filter(|f| f.0).map(|f| f.1).collect();
        Self {
            state,
            sign,
            look,
            tested: one.tested,
            id: safe(one.id),
            keyword: safe(one.keyword),
            paraphrase: safe(one.paraphrase),
            section: safe(one.section),
            excluded: one.excluded.map(safe),
            checks: one.checks.iter().take(CHECKS).map(|id| safe(id)).collect(),
            more: one.checks.len().saturating_sub(CHECKS),
            count: one.checks.len(),
            wire: one.wire,
            satisfied: names(one.satisfied),
            violated: names(one.violated),
            together: one.together.iter().map(|name| safe(name)).collect(),
            facts: facts.join(" "),
        }
    }
}

/// The groups as they are shown; a specification has its heading above its first one.
fn groups(groups: &[Group<'_>]) -> Vec<GroupView> {
    let mut shown: Vec<GroupView> = Vec::with_capacity(groups.len());
    for group in groups {
        let spec = safe(group.spec);
        let last = shown.last();
        let first = last.is_none_or(|last| last.spec != spec);
        shown.push(GroupView {
            place: last.map_or(0, |last| last.place + usize::from(first)),
            first,
            spec,
            class: group.class,
            kind: match group.must {
                Some(true) => "must",
                Some(false) => "rest",
                None => "unknown",
            },
            rows: group.statements.iter().map(RowView::from).collect(),
        });
    }
    shown
}

/// The page, which needs no network.
///
/// # Errors
/// A template that cannot be filled, which no input brings about.
pub fn page(coverage: &Coverage<'_>) -> io::Result<String> {
    let statements = || coverage.groups.iter().flat_map(|g| &g.statements);
    let people: BTreeSet<String> = statements()
        .flat_map(|one| {
            let alone = one.satisfied.iter().chain(one.violated).map(String::as_str);
            alone.chain(one.together.iter().copied())
        })
        .map(safe)
        .collect();
    let spec = |(name, totals): &(&str, Totals)| SpecView {
        href: format!("#spec={}", encoded(&safe(name))),
        name: safe(name),
        totals: (*totals).into(),
    };
    let score = |score: &Score| {
        let Share(caught, percent) = share(score.caught, score.caught + score.survived);
        let caught = format!("{caught} ({percent})");
        (safe(&score.title), caught, score.explained, score.survived)
    };
    let page = Page {
        frame: Frame::new(&[SCRIPT]),
        heading: safe(coverage.heading),
        all: coverage.all.into(),
        specs: coverage.specs.iter().map(spec).collect(),
        scores: coverage.scores.iter().map(score).collect(),
        groups: groups(&coverage.groups),
        people: people.into_iter().collect(),
        statements: statements().count(),
    };
    page.render().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: &str = "</td><script>alert(1)</script>\u{202e}";

    fn made() -> String {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let (none, wire, bad) = (set(&[]), set(&["v/wire"]), set(&[BAD]));
        let both = set(&["lnd", "probe"]);
        let statement = |id, keyword| Statement {
            id,
            keyword,
            section: "S",
            paraphrase: "P",
            state: State::Uncovered,
            tested: false,
            excluded: None,
            checks: &none,
            wire: 0,
            satisfied: &none,
            violated: &none,
            together: Vec::new(),
        };
        let failed = |id, keyword| Statement {
            state: State::Covered,
            checks: &bad,
            violated: &bad,
            together: vec!["eclair"],
            ..statement(id, keyword)
        };
        let musts = vec![
            Statement {
                state: State::Covered,
                tested: true,
                checks: &wire,
                wire: 1,
                satisfied: &both,
                ..statement("a/covered", "MUST NOT")
            },
            statement("a/open", "MUST"),
            Statement {
                state: State::Excluded,
                excluded: Some("not <seen>"),
                ..statement("a/hidden", "MUST")
            },
        ];
        let group = |spec, class, must, statements| Group {
            spec,
            class,
            must,
            statements,
        };
        let counts = |covered, wire, asked, excluded| Counts {
            covered,
            wire,
            asked,
            excluded,
        };
        let totals = Totals {
            must: counts(1, 1, 2, 1),
            rest: counts(1, 0, 1, 0),
        };
        let coverage = Coverage {
            heading: &format!("Run {BAD}"),
            specs: vec![("a", totals)],
            all: totals,
            scores: vec![Score {
                title: BAD.to_owned(),
                caught: 2,
                explained: 1,
                survived: 1,
            }],
            groups: vec![
                group("a", "MUST and MUST NOT", Some(true), musts),
                group(
                    "a",
                    "SHOULD and MAY",
                    Some(false),
                    vec![failed("a/should", "SHOULD")],
                ),
                group(BAD, "in no catalogue", None, vec![failed(BAD, "")]),
            ],
        };
        page(&coverage).unwrap()
    }

    #[test]
    fn every_statement_stands_with_its_checks_and_who_satisfies_it() {
        let page = made();
        for part in [
            "data-facts=\"covered tested wire\"",
            "data-facts=\"covered unsatisfied\"",
            "data-facts=\"excluded\"",
            "not &#60;seen&#62;",
            "id=\"spec-0\"",
            "id=\"spec-1\"",
            "data-kind=\"must\"",
            "data-kind=\"rest\"",
            "data-kind=\"unknown\"",
            "MUST and MUST NOT",
            "SHOULD and MAY",
            "in no catalogue",
            "v/wire",
            "<option>eclair</option>",
            ">1/2</td>",
            ">50 %</td>",
            "<td>2/3 (66 %)</td><td>1</td><td>1</td>",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        // Excluded for a reason: it is in no share, and the reason is told.
        assert_eq!(page.matches("data-facts=\"uncovered\"").count(), 1);
        assert_eq!(page.matches("<tr data-facts").count(), 5);
        assert!(page.contains("5 statements"));
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        let page = made();
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
