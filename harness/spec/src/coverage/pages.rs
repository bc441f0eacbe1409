//! Coverage, statement by statement: for a terminal, as Markdown, as a page.

use super::{Counts, Coverage, Requirement, Score};
use crate::markup::{html, markdown};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Checks named, before the rest is counted.
const NAMED: usize = 3;

/// The look of the page: what the browser has, in its dark and its light form.
const STYLE: &str = "\
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif }
body { margin: 1rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8886 }
code { font-size: .9em; overflow-wrap: anywhere }
.uncovered, .violated { font-weight: bold }
.scroll { overflow-x: auto }
nav a { margin-right: 1rem }";

impl Coverage {
    /// Every statement with its checks and who satisfies it, for a terminal; MUST and the rest apart.
    pub fn statements(&self) -> String {
        let mut out = String::new();
        for (spec, group, rows) in self.groups() {
            let _ = writeln!(out, "{spec}, {group}");
            let mut section = None;
            for row in rows {
                if section != Some(&row.section) && !row.section.is_empty() {
                    let _ = writeln!(out, "  {}", row.section);
                }
                section = Some(&row.section);
                let tested = if row.tested { ", tested" } else { "" };
                let keyword = match row.keyword.as_str() {
                    "" => String::new(),
                    word => format!(" ({word}{tested})"),
                };
                let _ = writeln!(out, "    {:<9} {}{keyword}", row.state(), row.id);
                let mut line = |text: String| {
                    let _ = writeln!(out, "              {text}");
                };
                if let Some(reason) = row.excluded.as_ref().filter(|_| row.checks.is_empty()) {
                    line(reason.clone());
                }
                if !row.checks.is_empty() {
                    line(some(&row.checks, "check"));
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
        out.push_str("| specification | MUST | excluded | SHOULD, MAY | excluded |\n|---|---:|---:|---:|---:|\n");
        for (spec, [must, rest]) in self.counts() {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                markdown(&spec),
                share(must),
                must.excluded,
                share(rest),
                rest.excluded
            );
        }
        if !self.sections.is_empty() {
            out.push_str("\n### Mutants caught\n\n| section | caught | explained | survived |\n|---|---:|---:|---:|\n");
            for score in &self.sections {
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} |",
                    markdown(&title(score)),
                    caught(score),
                    score.explained,
                    score.survived
                );
            }
        }
        for (spec, group, rows) in self.groups() {
            let _ = writeln!(out, "\n### {}: {group}\n", markdown(spec));
            out.push_str(
                "| | statement | checks | satisfied by | not by |\n|---|---|---|---|---|\n",
            );
            for row in rows {
                let checks = match (row.checks.len(), &row.excluded) {
                    (0, Some(reason)) => markdown(reason),
                    (n, _) => n.to_string(),
                };
                let tested = if row.tested { ", tested" } else { "" };
                let _ = writeln!(
                    out,
                    "| {}{tested} | {}{} | {checks} | {} | {} |",
                    row.state(),
                    markdown(&row.id),
                    match row.keyword.as_str() {
                        "" => String::new(),
                        word => format!("<br>{word}: {}", markdown(&row.paraphrase)),
                    },
                    markdown(&joined(&row.satisfied)),
                    markdown(&joined(&not_by(row)))
                );
            }
        }
        out
    }

    /// Every statement, as one HTML page that needs nothing else. What is not ours is escaped.
    pub fn html(&self, heading: &str) -> String {
        let mut out = String::new();
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Coverage</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n\
             <h1>Coverage</h1>\n<p>{}</p>\n",
            html(heading)
        );
        let counts = self.counts();
        out.push_str("<nav aria-label=\"Specifications\">\n");
        for spec in counts.keys() {
            let _ = writeln!(out, "<a href=\"#{0}\">{0}</a>", html(spec));
        }
        out.push_str("</nav>\n");
        head(
            &mut out,
            "Covered statements",
            &[
                "specification",
                "MUST",
                "excluded",
                "SHOULD, MAY",
                "excluded",
            ],
        );
        for (spec, [must, rest]) in &counts {
            let cells = [
                share(*must),
                must.excluded.to_string(),
                share(*rest),
                rest.excluded.to_string(),
            ];
            row_of(&mut out, spec, &cells);
        }
        out.push_str("</tbody></table></div>\n");
        if !self.sections.is_empty() {
            head(
                &mut out,
                "Mutants",
                &["section", "caught", "explained", "survived"],
            );
            for score in &self.sections {
                let cells = [
                    caught(score),
                    score.explained.to_string(),
                    score.survived.to_string(),
                ];
                row_of(&mut out, &title(score), &cells);
            }
            out.push_str("</tbody></table></div>\n");
        }
        let mut last = "";
        for (spec, group, rows) in self.groups() {
            if spec != last {
                let _ = writeln!(out, "<h2 id=\"{0}\">{0}</h2>", html(spec));
                last = spec;
            }
            head(
                &mut out,
                group,
                &["state", "statement", "checks", "satisfied by", "not by"],
            );
            for row in rows {
                statement(&mut out, row);
            }
            out.push_str("</tbody></table></div>\n");
        }
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }

    /// By specification and class, in the order of the catalogues; MUST goes first.
    fn groups(&self) -> Vec<(&str, &'static str, Vec<&Requirement>)> {
        let mut specs: Vec<&str> = Vec::new();
        for one in &self.requirements {
            if !specs.contains(&one.spec.as_str()) {
                specs.push(&one.spec);
            }
        }
        let classes = [
            (Some(true), "MUST and MUST NOT"),
            (Some(false), "SHOULD and MAY"),
            (None, "in no catalogue"),
        ];
        let mut groups = Vec::new();
        for spec in specs {
            for (class, name) in classes {
                let rows = self.requirements.iter();
                let rows: Vec<_> = rows
                    .filter(|r| r.spec == spec && r.is_must() == class)
                    .collect();
                if !rows.is_empty() {
                    groups.push((spec, name, rows));
                }
            }
        }
        groups
    }
}

/// A table's caption and head.
fn head(out: &mut String, caption: &str, columns: &[&str]) {
    let _ = write!(
        out,
        "<div class=\"scroll\"><table><caption>{caption}</caption><thead><tr>"
    );
    for column in columns {
        let _ = write!(out, "<th scope=\"col\">{column}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
}

fn row_of(out: &mut String, name: &str, cells: &[String]) {
    let _ = write!(out, "<tr><th scope=\"row\">{}</th>", html(name));
    for cell in cells {
        let _ = write!(out, "<td>{cell}</td>");
    }
    out.push_str("</tr>\n");
}

fn statement(out: &mut String, row: &Requirement) {
    let state = row.state();
    let tested = if row.tested { ", tested" } else { "" };
    let _ = write!(
        out,
        "<tr><td class=\"{state}\">{state}{tested}</td><td><code>{}</code>{}</td><td>",
        html(&row.id),
        match row.keyword.as_str() {
            "" => String::new(),
            word => format!(
                "<br>{word}: {}<br>{}",
                html(&row.paraphrase),
                html(&row.section)
            ),
        }
    );
    match (row.checks.len(), &row.excluded) {
        (0, Some(reason)) => out.push_str(&html(reason)),
        (0, None) => out.push('0'),
        (n, _) => {
            let _ = write!(out, "<details><summary>{n}</summary>");
            for check in &row.checks {
                let _ = write!(out, "<code>{}</code><br>", html(check));
            }
            out.push_str("</details>");
        }
    }
    let _ = writeln!(
        out,
        "</td><td>{}</td><td class=\"violated\">{}</td></tr>",
        html(&joined(&row.satisfied)),
        html(&joined(&not_by(row)))
    );
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

/// Who does not satisfy it; of several that failed together, each with a question mark.
fn not_by(row: &Requirement) -> BTreeSet<String> {
    let together = row.involved.difference(&row.violated);
    let together = together.map(|who| format!("{who} (?)"));
    row.violated.iter().cloned().chain(together).collect()
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

/// `12/13`.
fn share(counts: Counts) -> String {
    format!("{}/{}", counts.covered, counts.covered + counts.uncovered)
}

fn title(score: &Score) -> String {
    match score.section.is_empty() {
        true => score.spec.clone(),
        false => format!("{}: {}", score.spec, score.section),
    }
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
