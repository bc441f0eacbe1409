//! Who did what with whom: the scenarios of a folder against the choices of implementations for
//! their roles.

use crate::digest::Row;
use crate::style::{Paint, Style};
use crate::text::{clean, count, cut};
use lnconform_engine::record::{Check, Outcome};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Cells that are kept; what comes after them is counted, but not in the matrix.
const KEPT: usize = 10_000;
/// Rows of tables that a screen has: what a person reads and does not scroll past.
const SHOWN: usize = 40;

/// What came of a scenario with one choice of implementations: the worst of its checks, in the
/// order of what a reader has to know first. What follows a failure in a scenario is not reached,
/// so that a failure goes before what did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    Passed,
    NotApplicable,
    NotRun,
    Unsupported,
    Warned,
    Known,
    /// Somebody who was asked for by name is missing.
    Missing,
    Unexpected,
}

impl Cell {
    fn of(check: &Check) -> Self {
        match check.outcome {
            Outcome::CouldNotRun if !check.expected => Cell::Missing,
            _ if !check.expected => Cell::Unexpected,
            Outcome::Passed => Cell::Passed,
            Outcome::Failed if check.warning => Cell::Warned,
            Outcome::Failed => Cell::Known,
            Outcome::Unsupported => Cell::Unsupported,
            Outcome::NotApplicable => Cell::NotApplicable,
            Outcome::CouldNotRun => Cell::NotRun,
        }
    }

    /// The column of the table of counts it belongs to, from 0.
    pub(crate) fn column(self) -> usize {
        match self {
            Cell::Passed => 0,
            Cell::Unexpected | Cell::Missing => 1,
            Cell::Known => 2,
            Cell::Warned => 3,
            Cell::Unsupported => 4,
            Cell::NotApplicable => 5,
            Cell::NotRun => 6,
        }
    }

    /// The words of the table of counts; only what is unexpected is shouted.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Cell::Passed => "passed",
            Cell::NotApplicable => "n/a",
            Cell::NotRun => "not run",
            Cell::Unsupported => "unsupported",
            Cell::Warned => "warned",
            Cell::Known => "known",
            Cell::Missing => "NOT RUN",
            Cell::Unexpected => "UNEXPECTED",
        }
    }
}

/// Scenarios of one folder that have the same roles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Implementations, in the order of the roles, to scenario and cell.
    pub(crate) rows: BTreeMap<Vec<String>, BTreeMap<String, Cell>>,
}

/// The tables of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matrix {
    /// By folder, and by roles from the payer to the payee.
    tables: BTreeMap<(String, Vec<String>), Table>,
    cells: usize,
}

impl Matrix {
    /// Takes a check; one without roles is left alone.
    pub(crate) fn add(&mut self, check: &Check) {
        let Some(roles) = &check.roles else { return };
        let id = check.id.split('#').next().unwrap_or_default();
        // A matrix' value may hold a slash.
        let path = id.split('?').next().unwrap_or_default();
        let (folder, name) = match path.rfind('/') {
            Some(at) => (&id[..at], &id[at + 1..]),
            None => ("", id),
        };
        let mut people: Vec<(&String, &String)> = roles.iter().collect();
        people.sort_by_key(|(role, _)| (rank(role), *role));
        let (roles, who): (Vec<String>, Vec<String>) = people
            .into_iter()
            .map(|(role, who)| (role.clone(), who.clone()))
            .unzip();
        let full = self.cells >= KEPT;
        let table = self.tables.entry((folder.to_owned(), roles)).or_default();
        let row = table.rows.entry(who).or_default();
        let cell = Cell::of(check);
        match row.get_mut(name) {
            Some(known) => *known = cell.max(*known),
            None if full => {}
            None => {
                row.insert(name.to_owned(), cell);
                self.cells += 1;
            }
        }
    }

    /// Every table, with its folder and its roles from the payer to the payee.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&str, &[String], &Table)> {
        self.tables
            .iter()
            .map(|((folder, roles), table)| (folder.as_str(), roles.as_slice(), table))
    }

    /// The tables in which there is something to compare: those with more than one choice of
    /// implementations. No cell is empty: `-` is a choice that the scenario does not allow.
    ///
    /// Where they have more than [`SHOWN`] rows together, those in which something is unexpected are
    /// shown as far as they fit, and the rest is one table: what each implementation (`people`) came
    /// to in each role, with the command that shows the others. `results` is the file that it reads.
    pub(crate) fn text(
        &self,
        style: Style,
        people: &BTreeMap<String, BTreeMap<String, Row>>,
        results: Option<&Path>,
    ) -> String {
        let mut text = String::new();
        let tables = self.tables.iter().filter(|(_, t)| t.rows.len() > 1);
        let tables: Vec<_> = tables.collect();
        let all = tables.iter().map(|(_, t)| t.rows.len()).sum::<usize>() <= SHOWN;
        let (mut room, mut left_out) = (SHOWN, 0);
        for ((folder, roles), table) in tables {
            if !all && (!table.troubled() || table.rows.len() > room) {
                left_out += 1;
                continue;
            }
            room = room.saturating_sub(table.rows.len());
            let names: Vec<&str> = table.scenarios().into_iter().collect();
            let heading = format!("{folder}/, by who takes each role");
            let heading = cut(&clean(&heading), style.width).into_owned();
            let _ = writeln!(text, "{}", style.paint(Paint::Strong, &heading));
            table.write(&mut text, style, roles, &names);
        }
        if left_out > 0 {
            by_role(&mut text, style, people);
            let results = results.map_or("RESULTS".into(), |path| path.display().to_string());
            // Whole, since it holds a command.
            let _ = writeln!(
                text,
                "  scenario by scenario, {}: lnconform report {} --format html -o page.html",
                count(left_out, "table"),
                clean(&results)
            );
        }
        text
    }
}

/// Roles against implementations: how many checks passed, of those that passed or failed.
fn by_role(text: &mut String, style: Style, people: &BTreeMap<String, BTreeMap<String, Row>>) {
    let heading = "live nodes by role: passed, of those that passed or failed";
    let _ = writeln!(text, "{}", style.paint(Paint::Strong, heading));
    let mut roles: Vec<&str> = people
        .values()
        .flat_map(BTreeMap::keys)
        .map(String::as_str)
        .collect();
    roles.sort_by_key(|role| (rank(role), *role));
    roles.dedup();
    let shown = |text: &str| cut(&clean(text), 24).into_owned();
    let left = [Column {
        head: String::new(),
        cells: roles.iter().map(|role| (shown(role), None)).collect(),
    }];
    let cell = |row: Option<&Row>| {
        let Some(row) = row else {
            return ("-".to_owned(), None);
        };
        let judged = row.passed + row.unexpected + row.known + row.warned;
        let paint = (row.unexpected > 0).then_some(Paint::Bad);
        match judged {
            0 => ("0".to_owned(), paint),
            judged => (format!("{}/{judged}", row.passed), paint),
        }
    };
    let columns = people.iter().map(|(who, row)| Column {
        head: shown(who),
        cells: roles.iter().map(|role| cell(row.get(*role))).collect(),
    });
    beside(text, style, &left, columns);
}

/// Writes columns beside each other, as many as fit; those that follow stand below, with the left
/// ones again.
fn beside(
    text: &mut String,
    style: Style,
    left: &[Column],
    right: impl IntoIterator<Item = Column>,
) {
    let width = |columns: &[Column]| columns.iter().map(|c| c.width() + 2).sum::<usize>();
    let mut columns: Vec<Column> = Vec::new();
    for next in right {
        let wide = width(left) + width(&columns) + next.width() + 2 > style.width;
        if wide && !columns.is_empty() {
            lines(text, style, left, &columns);
            columns.clear();
        }
        columns.push(next);
    }
    lines(text, style, left, &columns);
}

/// The payer first and the payee last, as money goes.
pub(crate) fn rank(role: &str) -> u8 {
    match role {
        "payer" => 0,
        "payee" => 2,
        _ => 1,
    }
}

/// A column: its heading, and its cells from above.
struct Column {
    head: String,
    cells: Vec<(String, Option<Paint>)>,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|(text, _)| text.chars().count());
        cells
            .chain([self.head.chars().count()])
            .max()
            .unwrap_or_default()
    }
}

impl Table {
    /// The scenarios, by name.
    pub(crate) fn scenarios(&self) -> std::collections::BTreeSet<&str> {
        let all = self.rows.values().flat_map(BTreeMap::keys);
        all.map(String::as_str).collect()
    }

    /// Whether something in it is unexpected, or was asked for and is missing.
    fn troubled(&self) -> bool {
        let mut cells = self.rows.values().flat_map(BTreeMap::values);
        cells.any(|cell| *cell >= Cell::Missing)
    }

    fn write(&self, text: &mut String, style: Style, roles: &[String], names: &[&str]) {
        let shown = |text: &str| cut(&clean(text), 24).into_owned();
        let who = |place: usize| {
            let of_row =
                |who: &Vec<String>| (who.get(place).map_or(String::new(), |w| shown(w)), None);
            self.rows.keys().map(of_row).collect()
        };
        let left: Vec<Column> = roles
            .iter()
            .enumerate()
            .map(|(place, role)| Column {
                head: shown(role),
                cells: who(place),
            })
            .collect();
        let scenario = |name: &str, head: String| Column {
            head,
            cells: self
                .rows
                .values()
                .map(|row| match row.get(name) {
                    None => ("-".to_owned(), None),
                    Some(cell) => {
                        let paint = match cell {
                            Cell::Unexpected | Cell::Missing => Some(Paint::Bad),
                            Cell::Known | Cell::Warned => Some(Paint::Warn),
                            _ => None,
                        };
                        (cell.word().to_owned(), paint)
                    }
                })
                .collect(),
        };
        let width = |columns: &[Column]| columns.iter().map(|c| c.width() + 2).sum::<usize>();
        let named: Vec<Column> = names.iter().map(|n| scenario(n, shown(n))).collect();
        if width(&left) + width(&named) <= style.width {
            return lines(text, style, &left, &named);
        }
        // Numbers for names: what they stand for is told first.
        let numbered = names
            .iter()
            .enumerate()
            .map(|(i, name)| format!("{}={}", i + 1, clean(name)));
        let list = numbered.collect::<Vec<_>>().join(", ");
        for line in crate::text::wrap(&list, style.width.saturating_sub(2).max(20), usize::MAX) {
            let _ = writeln!(text, "  {line}");
        }
        let columns = names
            .iter()
            .enumerate()
            .map(|(i, name)| scenario(name, (i + 1).to_string()));
        beside(text, style, &left, columns);
    }
}

/// Writes columns beside each other.
fn lines(text: &mut String, style: Style, left: &[Column], right: &[Column]) {
    let columns: Vec<(&Column, usize)> = left.iter().chain(right).map(|c| (c, c.width())).collect();
    let mut head = String::new();
    for (column, width) in &columns {
        let _ = write!(head, "  {:<width$}", column.head);
    }
    let _ = writeln!(text, "{}", style.paint(Paint::Faint, head.trim_end()));
    let rows = left.first().map_or(0, |c| c.cells.len());
    for row in 0..rows {
        let mut line = String::new();
        for (place, (column, width)) in columns.iter().enumerate() {
            let Some((cell, paint)) = column.cells.get(row) else {
                continue;
            };
            let pad = if place + 1 == columns.len() {
                0
            } else {
                width - cell.chars().count()
            };
            let shown = match paint {
                Some(paint) => style.paint(*paint, cell).to_string(),
                None => cell.clone(),
            };
            let _ = write!(line, "  {shown}{}", " ".repeat(pad));
        }
        let _ = writeln!(text, "{line}");
    }
}
