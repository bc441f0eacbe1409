//! What stands in the page as it is opened.

use super::data::{self, Model};
use super::{Frame, SCRIPT, Sentences, encoded, safe};
use crate::digest::{CLASSES, COLUMNS, Mark, Row, SEVERITY, SIGNS};
use crate::matrix::Cell;
use crate::sections::group;
use crate::text::{clean, count, cut, duration};
use askama::Template;
use lnconform_engine::record::{DisagreementGroup, Lane};
use std::collections::{BTreeMap, HashSet};
use std::io;

/// Disagreements on the page.
const DISAGREEMENTS: usize = 500;
/// Scenarios in the list of the slowest.
const SLOWEST: usize = 15;
/// Notes of a kind.
const NOTES: usize = 200;

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    frame: Frame,
    data: String,
    title: String,
    verdict: String,
    /// `good`, `bad`, or `warn` where the run has no end.
    mood: &'static str,
    summary: Vec<CountView>,
    facts: Vec<(&'static str, String)>,
    specs: Vec<(String, String)>,
    missing: Vec<Vec<(bool, String)>>,
    stale: Vec<String>,
    flaky: Vec<String>,
    legend: Vec<(Mark, &'static str)>,
    people: Vec<RowView>,
    choices: Vec<RowView>,
    /// Columns of the tables of counts, from 0: those that are empty throughout say nothing, except
    /// for the first two.
    columns: Vec<(usize, &'static str)>,
    implementations: Vec<Head>,
    sections: Vec<Group>,
    takers: Vec<String>,
    roles: Vec<RowView>,
    tables: Vec<TableView>,
    disagreements: Vec<DisagreementView>,
    disagreed: usize,
    drafts: Vec<crate::numbers::Draft>,
    /// Diagrams, each in a template of its own.
    sequences: Vec<String>,
    phases: Vec<PhaseView>,
    slowest: Vec<(String, String, String)>,
    lanes: Vec<LaneView>,
    history: Vec<(String, String, String)>,
}

struct CountView {
    mark: Mark,
    href: String,
}

/// A heading with a version under it.
struct Head {
    name: String,
    version: String,
}

/// A row of counts.
struct RowView {
    name: String,
    version: String,
    href: String,
    cells: Vec<CellView>,
}

/// A cell: what is in it, how it looks, where it leads.
struct CellView {
    marks: Vec<Mark>,
    class: &'static str,
    href: String,
}

/// Sections with the same first folder.
struct Group {
    sections: Vec<RowView>,
    /// One row with what all sections of the group hold together; absent where there is only one.
    total: Option<RowView>,
}

/// Scenarios of one folder against the choices of implementations.
struct TableView {
    folder: String,
    /// Roles, each with the implementation that takes it in every choice.
    roles: Vec<(String, Vec<String>)>,
    choices: usize,
    rows: Vec<ScenarioView>,
}

impl TableView {
    /// The worst cell, where it is not a pass.
    fn worst(&self) -> Option<&CellOf> {
        let cells = self.rows.iter().flat_map(|r| &r.cells).flatten();
        let rank = |c: &CellOf| SEVERITY.iter().position(|s| CLASSES[*s] == c.class);
        cells
            .map(|(cell, _)| cell)
            .min_by_key(|c| rank(c))
            .filter(|c| c.class != CLASSES[0])
    }
}

struct ScenarioView {
    name: String,
    href: String,
    /// Absent where the scenario does not allow the choice.
    cells: Vec<Option<(CellOf, String)>>,
}

struct CellOf {
    class: &'static str,
    sign: &'static str,
    word: &'static str,
}

struct DisagreementView {
    id: String,
    href: String,
    groups: Vec<(String, String)>,
}

struct PhaseView {
    name: String,
    count: usize,
    total: String,
    longest: String,
}

struct LaneView {
    name: String,
    checks: u64,
    total: String,
    each: String,
}

/// A link that narrows the list of checks.
fn link(parts: &[(&str, &str)]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|(k, v)| format!("{k}={}", encoded(v)))
        .collect();
    format!("#{}", parts.join("&"))
}

fn cell(row: Option<&Row>, place: &[(&str, &str)]) -> CellView {
    let marks = row.map(Row::marks).unwrap_or_default();
    let class = marks.first().map_or("none", |m| m.class);
    // A cell that holds one kind of thing leads to it; one that holds several, to all of them.
    let show = match marks.as_slice() {
        [only] => only.class,
        _ => "all",
    };
    let mut parts = vec![("show", show)];
    parts.extend_from_slice(place);
    CellView {
        href: link(&parts),
        class,
        marks,
    }
}

/// Microseconds for people.
fn micros(us: u64) -> String {
    match us {
        0..10_000 => format!("{us} µs"),
        _ => duration(us / 1000),
    }
}

/// Writes the page.
///
/// # Errors
/// A template that cannot be filled, which no input brings about.
pub(super) fn write(model: &Model, sentences: &Sentences<'_>) -> io::Result<String> {
    let digest = &model.digest;
    let header = digest.header.as_ref();
    let versions = digest.versions();
    let version = |name: &str| safe(versions.get(name).copied().unwrap_or_default());
    let mut all = Row::default();
    digest.rows.values().for_each(|r| all.merge(r));
    let scenarios: HashSet<String> = model
        .checks
        .iter()
        .filter(|c| c.roles.is_some())
        .map(|c| c.who())
        .collect();
    let (choices, people): (Vec<_>, Vec<_>) = digest
        .rows
        .iter()
        .partition(|(who, _)| scenarios.contains(*who));
    let counts = |rows: Vec<(&String, &Row)>| {
        let rows = rows.into_iter();
        rows.map(|(who, row)| counted(who, version(who), row))
            .collect()
    };
    let columns = digest.sections.columns();
    let (stale, flaky) = digest.notes();
    let notes = |notes: &[&str]| notes.iter().take(NOTES).map(|n| safe(n)).collect();
    let (takers, roles) = by_role(model);
    let (data, sequences) = data::json(model, sentences);
    let page = Page {
        frame: Frame::new(&[SCRIPT]),
        data,
        title: header.map(|h| safe(&h.run)).unwrap_or_default(),
        verdict: digest.verdict(),
        mood: match digest.summary.as_ref().map(|s| s.exit_code) {
            Some(0) => "good",
            None => "warn",
            Some(_) => "bad",
        },
        summary: SEVERITY
            .into_iter()
            .map(|c| CountView {
                mark: Mark::new(c, all.cells()[c]),
                href: link(&[("show", CLASSES[c])]),
            })
            .collect(),
        facts: facts(model),
        specs: header
            .iter()
            .flat_map(|h| &h.specs)
            .map(|(name, revision)| (safe(name), safe(revision)))
            .collect(),
        missing: digest.missing().map(|m| with_code(&safe(&m))).collect(),
        stale: notes(&stale),
        flaky: notes(&flaky),
        legend: LEGEND
            .iter()
            .map(|(c, meaning)| (Mark::new(*c, 0), *meaning))
            .collect(),
        people: counts(people),
        choices: counts(choices),
        columns: (0..COLUMNS.len())
            .filter(|c| *c < 2 || all.cells()[*c] > 0)
            .map(|c| (c, COLUMNS[c]))
            .collect(),
        implementations: columns
            .iter()
            .map(|c| Head {
                name: safe(c),
                version: version(c),
            })
            .collect(),
        sections: by_section(model, &columns),
        takers,
        roles,
        tables: tables(model),
        disagreements: disagreements(model),
        disagreed: model.disagreements.len(),
        drafts: crate::numbers::drafts(&model.dialects),
        sequences,
        phases: phases(model),
        slowest: slowest(model),
        lanes: lanes(model),
        history: model
            .past
            .iter()
            .rev()
            .map(|p| {
                let h = &p.header;
                (safe(&h.started), safe(&h.run), safe(&h.harness))
            })
            .collect(),
    };
    page.render().map_err(io::Error::other)
}

/// A row of the tables of counts; a cell for every column.
fn counted(who: &str, version: String, row: &Row) -> RowView {
    let name = safe(who);
    let cells = row.cells().into_iter().enumerate();
    RowView {
        version,
        href: link(&[("show", "all"), ("who", &name)]),
        cells: cells
            .map(|(c, n)| CellView {
                marks: if n == 0 {
                    vec![]
                } else {
                    vec![Mark::new(c, n)]
                },
                class: if n == 0 { "none" } else { CLASSES[c] },
                href: link(&[("show", CLASSES[c]), ("who", &name)]),
            })
            .collect(),
        name,
    }
}

fn disagreements(model: &Model) -> Vec<DisagreementView> {
    let group = |g: &DisagreementGroup| {
        let value = g.value.to_string();
        (
            safe(&g.implementations.join(", ")),
            cut(&clean(&value), 600).into_owned(),
        )
    };
    model
        .disagreements
        .iter()
        .take(DISAGREEMENTS)
        .map(|d| DisagreementView {
            id: safe(&d.id),
            href: link(&[("show", "all"), ("in", &safe(&d.id))]),
            groups: d.groups.iter().map(group).collect(),
        })
        .collect()
}

/// What each column means.
const LEGEND: [(usize, &str); 7] = [
    (
        1,
        "a failure, or a pass, that nobody expected; it decides the exit code",
    ),
    (2, "a failure that the ledger foretells, or of a MAY"),
    (3, "a SHOULD that does not hold"),
    (0, "as the text says"),
    (4, "the adapter says it lacks the operation"),
    (6, "the environment did not allow it"),
    (5, "the role or dialect does not exist there"),
];

fn facts(model: &Model) -> Vec<(&'static str, String)> {
    let digest = &model.digest;
    let mut facts = Vec::new();
    if let Some(h) = &digest.header {
        facts.push(("started", safe(&h.started)));
        if let Some(s) = &digest.summary {
            facts.push(("took", duration(s.duration_ms)));
        }
        facts.push(("run", safe(&h.run)));
        facts.push(("harness", format!("lnconform {}", safe(&h.harness))));
        facts.push(("seed", safe(&h.seed)));
        facts.push(("machine", safe(&h.machine)));
        facts.push(("vectors", safe(&h.vectors)));
        facts.push(("command", safe(&h.command.join(" "))));
        if h.filtered {
            facts.push((
                "narrowed",
                "filters, a lane, a shard or a choice of implementations; what is not here says nothing".into(),
            ));
        }
    }
    let s = digest.snapshots;
    if s != crate::digest::Snapshots::default() {
        facts.push((
            "observations",
            format!(
                "{} as stored, {} new, {} changed, {} drifted under another version",
                s.same, s.new, s.changed, s.drift
            ),
        ));
    }
    if digest.simulations > 0 {
        facts.push((
            "simulations",
            format!(
                "{} of simulations, which show a construction in one process and nothing of a node",
                count(digest.simulations, "check")
            ),
        ));
    }
    if model.cut {
        facts.push((
            "cut",
            "the last line of the result file is cut in the middle and does not count".into(),
        ));
    }
    facts
}

fn by_section(model: &Model, columns: &[&str]) -> Vec<Group> {
    let mut groups: Vec<(String, Vec<RowView>, BTreeMap<&str, Row>)> = Vec::new();
    for (section, row) in model.digest.sections.codec() {
        let name = safe(group(section));
        if groups.last().is_none_or(|(last, ..)| *last != name) {
            groups.push((name, Vec::new(), BTreeMap::new()));
        }
        let Some((_, sections, total)) = groups.last_mut() else {
            continue;
        };
        let here = safe(section);
        sections.push(RowView {
            cells: columns
                .iter()
                .map(|c| cell(row.get(*c), &[("who", &safe(c)), ("in", &here)]))
                .collect(),
            href: link(&[("show", "all"), ("in", &here)]),
            name: here,
            version: String::new(),
        });
        for (column, row) in columns.iter().filter_map(|c| Some((*c, row.get(*c)?))) {
            total.entry(column).or_default().merge(row);
        }
    }
    groups
        .into_iter()
        .map(|(name, sections, total)| Group {
            total: (sections.len() > 1).then(|| RowView {
                version: String::new(),
                href: link(&[("show", "all"), ("in", &name)]),
                cells: columns
                    .iter()
                    .map(|c| cell(total.get(c), &[("who", &safe(c)), ("in", &name)]))
                    .collect(),
                name,
            }),
            sections,
        })
        .collect()
}

/// Text in which what stands between backticks is to be typed.
fn with_code(text: &str) -> Vec<(bool, String)> {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(n, part)| (n % 2 == 1, part.to_owned()));
    parts.filter(|(_, part)| !part.is_empty()).collect()
}

/// Implementations as columns, and roles as rows: there are more of these, and their names are
/// longer.
fn by_role(model: &Model) -> (Vec<String>, Vec<RowView>) {
    let people = model.digest.sections.roles();
    let mut roles: Vec<&String> = people.values().flat_map(BTreeMap::keys).collect();
    roles.sort_by_key(|r| (crate::matrix::rank(r), *r));
    roles.dedup();
    let rows = roles
        .into_iter()
        .map(|role| RowView {
            name: safe(role),
            version: String::new(),
            href: link(&[
                ("show", "all"),
                ("lane", "cluster"),
                ("q", &format!("{}=", safe(role))),
            ]),
            cells: people
                .iter()
                .map(|(who, row)| {
                    let place = format!("{}={}", safe(role), safe(who));
                    cell(row.get(role), &[("lane", "cluster"), ("q", &place)])
                })
                .collect(),
        })
        .collect();
    (people.keys().map(|who| safe(who)).collect(), rows)
}

fn tables(model: &Model) -> Vec<TableView> {
    model
        .digest
        .matrix
        .tables()
        .map(|(folder, roles, table)| TableView {
            folder: safe(folder),
            roles: roles
                .iter()
                .enumerate()
                .map(|(place, role)| {
                    let who = table.rows.keys().map(|who| match who.get(place) {
                        Some(who) => safe(who),
                        None => String::new(),
                    });
                    (safe(role), who.collect())
                })
                .collect(),
            choices: table.rows.len(),
            rows: table
                .scenarios()
                .into_iter()
                .map(|name| {
                    let id = match folder {
                        "" => safe(name),
                        folder => safe(&format!("{folder}/{name}")),
                    };
                    ScenarioView {
                        name: safe(name),
                        href: link(&[("show", "all"), ("in", &id)]),
                        cells: table
                            .rows
                            .iter()
                            .map(|(who, row)| {
                                let cell = row.get(name)?;
                                let roles: BTreeMap<String, String> =
                                    roles.iter().cloned().zip(who.iter().cloned()).collect();
                                let who = safe(&lnconform_engine::record::roles_text(&roles));
                                let href = link(&[("show", "all"), ("who", &who), ("in", &id)]);
                                Some((of_cell(*cell), href))
                            })
                            .collect(),
                    }
                })
                .collect(),
        })
        .collect()
}

fn of_cell(cell: Cell) -> CellOf {
    CellOf {
        class: CLASSES[cell.column()],
        sign: SIGNS[cell.column()],
        word: cell.word(),
    }
}

fn phases(model: &Model) -> Vec<PhaseView> {
    let mut phases: Vec<(&str, usize, u64, u64)> = Vec::new();
    for phase in &model.phases {
        match phases.iter_mut().find(|p| p.0 == phase.name) {
            Some(p) => {
                p.1 += 1;
                p.2 += phase.duration_ms;
                p.3 = p.3.max(phase.duration_ms);
            }
            None => phases.push((&phase.name, 1, phase.duration_ms, phase.duration_ms)),
        }
    }
    phases
        .into_iter()
        .map(|(name, count, total, longest)| PhaseView {
            name: clean(name).into_owned(),
            count,
            total: duration(total),
            longest: duration(longest),
        })
        .collect()
}

/// The scenarios whose own phases took longest: id, time, link.
fn slowest(model: &Model) -> Vec<(String, String, String)> {
    let mut times: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for phase in &model.phases {
        if let Some(id) = &phase.id {
            let cluster = phase.cluster.as_deref().unwrap_or_default();
            *times.entry((id, cluster)).or_default() += phase.duration_ms;
        }
    }
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort_by_key(|(id, ms)| (std::cmp::Reverse(*ms), *id));
    times
        .into_iter()
        .take(SLOWEST)
        .map(|((id, _), ms)| {
            let id = clean(id).into_owned();
            let href = link(&[("show", "all"), ("in", &id)]);
            (id, duration(ms), href)
        })
        .collect()
}

/// The time of the codec lane, by implementation, of checks that passed or failed.
fn lanes(model: &Model) -> Vec<LaneView> {
    let mut times: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for check in &model.checks {
        use lnconform_engine::record::Outcome::{Failed, Passed};
        if check.lane == Lane::Codec
            && matches!(check.outcome, Passed | Failed)
            && let Some(who) = &check.implementation
        {
            let (checks, us) = times.entry(who).or_default();
            *checks += 1;
            *us = us.saturating_add(check.duration_us);
        }
    }
    times
        .into_iter()
        .map(|(who, (checks, us))| LaneView {
            name: clean(who).into_owned(),
            checks,
            total: micros(us),
            each: micros(us / checks.max(1)),
        })
        .collect()
}
