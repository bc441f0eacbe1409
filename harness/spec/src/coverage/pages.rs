//! Coverage, statement by statement: for a terminal, and as Markdown.

use super::{Coverage, Requirement, Score, percent};
use crate::markup::markdown;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Checks named, before the rest is counted.
const NAMED: usize = 3;

impl Coverage {
    /// Every statement with its checks and who satisfies it, for a terminal; MUST and the rest apart.
    pub fn statements(&self) -> String {
        let mut out = String::new();
        for group in self.groups() {
            let _ = writeln!(out, "{}, {}", group.spec, group.class());
            let mut section = None;
            for row in group.rows {
                if section != Some(&row.section) && !row.section.is_empty() {
                    let _ = writeln!(out, "  {}", row.section);
                }
                section = Some(&row.section);
                let tested = if row.tested { ", tested" } else { "" };
                let keyword = match row.keyword.as_str() {
                    "" => String::new(),
                    word => format!(" ({word}{tested})"),
                };
                let _ = writeln!(out, "    {:<9} {}{keyword}", row.state().as_str(), row.id);
                let mut line = |text: String| {
                    let _ = writeln!(out, "              {text}");
                };
                if let Some(reason) = row.excluded.as_ref().filter(|_| row.checks.is_empty()) {
                    line(reason.clone());
                }
                if !row.checks.is_empty() {
                    line(some(&row.checks, "check"));
                }
                if !row.wire.is_empty() {
                    line(format!("on the wire: {}", some(&row.wire, "check")));
                }
                for (word, who) in who(row) {
                    line(format!("{word} {}", joined(who)));
                }
            }
            out.push('\n');
        }
        out
    }

    /// Every statement, for a page of Markdown. What is not ours is escaped.
    pub fn markdown(&self) -> String {
        let mut out = String::from("## Coverage\n\n");
        out.push_str("| specification | MUST | excluded | MUST on the wire | SHOULD, MAY | excluded |\n|---|---:|---:|---:|---:|---:|\n");
        for (spec, [must, rest]) in self.counts() {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} ({}) | {} | {} |",
                markdown(&spec),
                must.share(),
                must.excluded,
                must.wire_share(),
                percent(must.wire, must.asked()),
                rest.share(),
                rest.excluded
            );
        }
        if !self.sections.is_empty() {
            out.push_str("\n### Mutants caught\n\n| section | caught | explained | survived |\n|---|---:|---:|---:|\n");
            for score in &self.sections {
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} |",
                    markdown(&score.title()),
                    caught(score),
                    score.explained,
                    score.survived
                );
            }
        }
        for group in self.groups() {
            let spec = markdown(group.spec);
            let _ = writeln!(out, "\n### {spec}: {}\n", group.class());
            out.push_str(
                "| | statement | checks | on the wire | satisfied by | not by |\n|---|---|---|---|---|---|\n",
            );
            for row in group.rows {
                let checks = match (row.checks.len(), &row.excluded) {
                    (0, Some(reason)) => markdown(reason),
                    (n, _) => n.to_string(),
                };
                let tested = if row.tested { ", tested" } else { "" };
                let _ = writeln!(
                    out,
                    "| {}{tested} | {}{} | {checks} | {} | {} | {} |",
                    row.state().as_str(),
                    markdown(&row.id),
                    match row.keyword.as_str() {
                        "" => String::new(),
                        word => format!("<br>{word}: {}", markdown(&row.paraphrase)),
                    },
                    row.wire.len(),
                    markdown(&joined(&row.satisfied)),
                    markdown(&joined(&row.not_by()))
                );
            }
        }
        out
    }

    /// Statements by specification and class, in the order of the catalogues; MUST goes first, and
    /// what no catalogue has goes last.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut specs: Vec<&str> = Vec::new();
        for one in &self.requirements {
            if !specs.contains(&one.spec.as_str()) {
                specs.push(&one.spec);
            }
        }
        let mut groups = Vec::new();
        for spec in specs {
            for must in [Some(true), Some(false), None] {
                let rows = self.requirements.iter();
                let rows: Vec<_> = rows
                    .filter(|r| r.spec == spec && r.is_must() == must)
                    .collect();
                if !rows.is_empty() {
                    groups.push(Group { spec, must, rows });
                }
            }
        }
        groups
    }
}

/// The statements of one class of one specification.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Name of the specification.
    pub spec: &'a str,
    /// They are MUST or MUST NOT; absent where no catalogue has them.
    pub must: Option<bool>,
    /// The statements.
    pub rows: Vec<&'a Requirement>,
}

impl Group<'_> {
    /// Name of the class.
    pub fn class(&self) -> &'static str {
        match self.must {
            Some(true) => "MUST and MUST NOT",
            Some(false) => "SHOULD and MAY",
            None => "in no catalogue",
        }
    }
}

/// Who, and in which sense; empty ones left out.
fn who(row: &Requirement) -> impl Iterator<Item = (&'static str, &BTreeSet<String>)> {
    [
        ("satisfied by", &row.satisfied),
        ("violated by", &row.violated),
        ("failed together:", &row.involved),
    ]
    .into_iter()
    .filter(|(_, who)| !who.is_empty())
}

fn joined(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn some(ids: &BTreeSet<String>, what: &str) -> String {
    let named: Vec<&str> = ids.iter().take(NAMED).map(String::as_str).collect();
    let s = if ids.len() == 1 { "" } else { "s" };
    let more = if ids.len() > NAMED { ", …" } else { "" };
    format!("{} {what}{s}: {}{more}", ids.len(), named.join(", "))
}

fn caught(score: &Score) -> String {
    let percent = score
        .percent()
        .map_or(String::new(), |p| format!(" ({p} %)"));
    format!(
        "{}/{}{percent}",
        score.caught,
        score.caught + score.survived
    )
}
