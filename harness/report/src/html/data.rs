//! What the page's script reads: every check of the run as compact JSON.

use super::sequence::{self, Sequences};
use super::{Sentences, embedded};
use crate::difference::{self, Lines};
use crate::digest::{Digest, column};
use crate::text::{clean, clean_json, clean_lines, cut};
use lnconform_engine::record::{
    Blame, Check, Dialect, Disagreement, Keyword, Lane, Observation, Outcome, Phase, Record, Run,
    SnapshotState,
};
use lnconform_engine::results::{ReadEnd, ResultsError, Sink, visit};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The longest text of a check, in bytes: an answer, a log.
const TEXT: usize = 16 * 1024;
/// Characters of a line of a difference.
const WIDTH: usize = 200;
/// Lines of a difference.
const LINES: usize = 80;
/// Disagreements that are kept.
const DISAGREEMENTS: usize = 2000;

/// A run, as the page shows it.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub digest: Digest,
    pub checks: Vec<Check>,
    pub observations: Vec<Observation>,
    pub disagreements: Vec<Disagreement>,
    pub phases: Vec<Phase>,
    pub dialects: Vec<Dialect>,
    /// Who the nodes of the run were.
    pub nodes: sequence::Nodes,
    /// The last line of the file is cut in the middle.
    pub cut: bool,
    /// Earlier runs, the oldest first.
    pub past: Vec<Past>,
}

/// An earlier run.
#[derive(Debug)]
pub(super) struct Past {
    pub header: Run,
    /// (id, who) to the worst column of its attempts.
    pub columns: HashMap<(String, String), usize>,
}

/// Reads the latest run whole, and of the others what came of each check.
///
/// # Errors
/// Of [`visit`].
pub(super) fn read<P: AsRef<Path>>(paths: &[P]) -> Result<(Model, ReadEnd), ResultsError> {
    let mut heads: Vec<(String, &Path)> = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let mut started = String::new();
        if paths.len() > 1 {
            visit(path, |record| {
                if let Record::Run(run) = record {
                    started = run.started;
                }
            })?;
        }
        heads.push((started, path));
    }
    // RFC 3339 in UTC sorts as text; of runs that began together, the later argument counts.
    heads.sort_by(|a, b| a.0.cmp(&b.0));
    let mut model = Model::default();
    let Some((_, latest)) = heads.pop() else {
        return Ok((model, ReadEnd::default()));
    };
    let end = visit(latest, |record| {
        model.digest.record(&record);
        match record {
            Record::Check(check) => model.checks.push(*check),
            Record::Observation(observation) => model.observations.push(observation),
            Record::Disagreement(d) if model.disagreements.len() < DISAGREEMENTS => {
                model.disagreements.push(d);
            }
            Record::Phase(phase) => model.phases.push(phase),
            Record::Dialect(dialect) => model.dialects.push(dialect),
            Record::Node(node) => model.nodes.add(node),
            _ => {}
        }
    })?;
    model.cut = end.cut;
    for (_, path) in heads {
        let mut header = None;
        let mut columns: HashMap<(String, String), usize> = HashMap::new();
        visit(path, |record| match record {
            Record::Run(run) => header = header.take().or(Some(run)),
            Record::Check(check) => {
                let new = column(&check);
                let who = check.who();
                columns
                    .entry((check.id, who))
                    .and_modify(|old| *old = worse(*old, new))
                    .or_insert(new);
            }
            _ => {}
        })?;
        if let Some(header) = header {
            model.past.push(Past { header, columns });
        }
    }
    Ok((model, end))
}

/// Of two columns the one that a reader has to know of.
fn worse(a: usize, b: usize) -> usize {
    let rank = |c: usize| crate::digest::SEVERITY.iter().position(|s| *s == c);
    if rank(a) <= rank(b) { a } else { b }
}

/// Texts, each kept once.
#[derive(Default)]
struct Texts {
    list: Vec<String>,
    places: HashMap<String, usize>,
}

impl Texts {
    /// The place of a text that is safe already.
    fn place(&mut self, text: String) -> usize {
        if let Some(place) = self.places.get(&text) {
            return *place;
        }
        let place = self.list.len();
        self.list.push(text.clone());
        self.places.insert(text, place);
        place
    }

    /// The place of one line from outside.
    fn line(&mut self, text: &str) -> usize {
        self.place(clean(text).into_owned())
    }
}

/// Several lines from outside, made safe and cut.
fn lines(text: &str) -> String {
    let lines: Vec<_> = clean_lines(text).collect();
    bounded(&lines.join("\n"))
}

fn bounded(text: &str) -> String {
    if text.len() <= TEXT {
        return text.to_owned();
    }
    let mut end = TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}\n… cut; the whole is in the result file", &text[..end])
}

/// A value as text for people.
fn value(value: &Value) -> String {
    let sorted = lnconform_engine::redact::sorted(value);
    let text = serde_json::to_string_pretty(&sorted).unwrap_or_default();
    bounded(&clean_json(&text))
}

fn difference(lines: &Lines) -> Value {
    lines
        .iter()
        .map(|(mark, line)| json!(format!("{}{line}", mark.sign())))
        .collect()
}

/// The JSON, ready to stand in the page, and the diagrams that it names by their places.
///
/// `texts` [text]; `who` [[name, 0 implementation or 1 roles, versions]]; `requirements`
/// [[id, keyword, section, paraphrase, sentence]]; `cases` [[place of id, [requirements], keyword,
/// lane, place of source or -1, 1 simulation]]; `rows` nine numbers a check: case, who, outcome + 8 ×
/// column + 64 × flaky, attempt, microseconds, place of message or -1, detail or -1, place of
/// observation or -1, its state; `details` objects; `history` [{run, started, versions}], the oldest
/// first; `past` for each check a place of a text with a letter for each of them.
pub(super) fn json(model: &Model, sentences: &Sentences<'_>) -> (String, Vec<String>) {
    let mut texts = Texts::default();
    let mut requirements: Vec<Value> = Vec::new();
    let mut requirement_places: HashMap<&str, usize> = HashMap::new();
    let mut people: Vec<Value> = Vec::new();
    let mut people_places: HashMap<String, usize> = HashMap::new();
    type Key<'a> = (&'a str, &'a [String], u8, bool, bool);
    let mut cases: Vec<Value> = Vec::new();
    let mut case_places: HashMap<Key<'_>, usize> = HashMap::new();
    let mut rows: Vec<i64> = Vec::with_capacity(model.checks.len() * 9);
    let mut details: Vec<Value> = Vec::new();
    let mut past: Vec<usize> = Vec::new();

    let versions: BTreeMap<&str, &str> = model
        .digest
        .header
        .iter()
        .flat_map(|h| &h.implementations)
        .map(|i| (i.name.as_str(), i.version.as_str()))
        .collect();
    let mut seen: HashMap<(&str, String), &Observation> = HashMap::new();
    for o in &model.observations {
        let who = match (&o.implementation, &o.roles) {
            (Some(name), _) => name.clone(),
            (None, Some(roles)) => lnconform_engine::record::roles_text(roles),
            (None, None) => String::new(),
        };
        seen.insert((&o.id, who), o);
    }

    let sequences = Sequences::of(&model.checks, &model.nodes);
    for check in &model.checks {
        let who = check.who();
        let person = *people_places.entry(who.clone()).or_insert_with(|| {
            let version = |name: &String| {
                let version = versions.get(name.as_str()).copied().unwrap_or_default();
                clean(&format!("{name} {version}")).trim().to_owned()
            };
            let told: Vec<String> = match (&check.implementation, &check.roles) {
                (Some(name), _) => vec![version(name)],
                (None, Some(roles)) => roles
                    .iter()
                    .map(|(role, name)| format!("{}: {}", clean(role), version(name)))
                    .collect(),
                (None, None) => vec![],
            };
            people.push(json!([
                clean(if who.is_empty() { "(nobody)" } else { &who }),
                u8::from(check.implementation.is_none()),
                told,
            ]));
            people.len() - 1
        });
        let key: Key<'_> = (
            &check.id,
            &check.requirements,
            check.keyword.map_or(0, keyword),
            check.lane == Lane::Cluster,
            check.simulation,
        );
        let case = match case_places.get(&key) {
            Some(place) => *place,
            None => {
                let mut ids = Vec::new();
                for id in &check.requirements {
                    let place = *requirement_places.entry(id).or_insert_with(|| {
                        requirements.push(match sentences(id) {
                            Some(s) => {
                                let r = s.requirement;
                                let mut told = vec![
                                    clean(id).into_owned(),
                                    r.keyword,
                                    clean(&r.section).into_owned(),
                                    clean(&r.paraphrase).into_owned(),
                                ];
                                told.extend(s.sentence.map(|s| clean(&s).into_owned()));
                                json!(told)
                            }
                            None => json!([clean(id)]),
                        });
                        requirements.len() - 1
                    });
                    ids.push(place);
                }
                let id = texts.line(&check.id);
                let source = -1_i64;
                cases.push(json!([
                    id,
                    ids,
                    key.2,
                    u8::from(key.3),
                    source,
                    u8::from(key.4),
                ]));
                case_places.insert(key, cases.len() - 1);
                cases.len() - 1
            }
        };
        if let Some(source) = &check.source
            && let Some(known) = cases[case].get_mut(4)
            && known.as_i64() == Some(-1)
        {
            *known = json!(texts.line(source));
        }
        let observation = seen.get(&(check.id.as_str(), who.clone())).copied();
        let mut detail = detail(check, observation);
        if let Some(drawn) = sequences.places(check) {
            detail.insert("sequence".into(), json!(drawn));
        }
        let detail = if detail.is_empty() {
            -1
        } else {
            details.push(Value::Object(detail));
            place(details.len() - 1)
        };
        let message = check
            .message
            .as_deref()
            .map_or(-1, |m| place(texts.place(lines(m))));
        let (observed, state) = match observation {
            Some(o) => (
                place(texts.place(value(&o.value))),
                match o.snapshot {
                    SnapshotState::Same => 0,
                    SnapshotState::New => 1,
                    SnapshotState::Changed => 2,
                    SnapshotState::Drift => 3,
                },
            ),
            None => (-1, 0),
        };
        let outcome = match check.outcome {
            Outcome::Passed => 0,
            Outcome::Failed => 1,
            Outcome::Unsupported => 2,
            Outcome::NotApplicable => 3,
            Outcome::CouldNotRun => 4,
        };
        rows.extend([
            place(case),
            place(person),
            outcome + 8 * place(column(check)) + 64 * i64::from(check.flaky),
            i64::from(check.attempt),
            i64::try_from(check.duration_us).unwrap_or(i64::MAX),
            message,
            detail,
            observed,
            state,
        ]);
        if !model.past.is_empty() {
            let key = (check.id.clone(), who);
            let line: String = model
                .past
                .iter()
                .map(|p| match p.columns.get(&key) {
                    Some(column) => char::from(b'0' + u8::try_from(*column).unwrap_or(0)),
                    None => '-',
                })
                .collect();
            past.push(texts.place(line));
        }
    }
    let history: Vec<Value> = model
        .past
        .iter()
        .map(|p| {
            let versions: Map<String, Value> = p
                .header
                .implementations
                .iter()
                .filter(|i| i.available)
                .map(|i| (clean(&i.name).into_owned(), json!(clean(&i.version))))
                .collect();
            json!({"run": clean(&p.header.run), "started": clean(&p.header.started), "versions": versions})
        })
        .collect();
    let all = json!({
        "texts": texts.list,
        "who": people,
        "requirements": requirements,
        "cases": cases,
        "rows": rows,
        "details": details,
        "history": history,
        "past": past,
    });
    (embedded(&all.to_string()), sequences.drawn)
}

fn keyword(keyword: Keyword) -> u8 {
    match keyword {
        Keyword::May => 1,
        Keyword::Should => 2,
        Keyword::Must => 3,
    }
}

fn place(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(-1)
}

/// What only some checks have.
fn detail(check: &Check, observation: Option<&Observation>) -> Map<String, Value> {
    let mut d = Map::new();
    let mut put = |key: &str, value: Value| {
        d.insert(key.to_owned(), value);
    };
    if let Some(blame) = check.blame {
        put(
            "blame",
            json!(match blame {
                Blame::Implementation => "implementation",
                Blame::Harness => "harness",
                Blame::Environment => "environment",
            }),
        );
    }
    if let Some(want) = &check.want {
        put("want", json!(value(want)));
    }
    if let Some(got) = &check.got {
        put("got", json!(value(got)));
    }
    if let (Some(want), Some(got)) = (&check.want, &check.got) {
        let lines = difference::of_values(want, got, WIDTH, LINES);
        put("diff", difference(&lines));
    }
    if let Some(log) = &check.log_tail {
        put("log", json!(lines(log)));
    }
    if let Some(again) = &check.rerun {
        put("rerun", json!(clean(again)));
    }
    if !check.evidence.is_empty() {
        let paths: Vec<_> = check.evidence.iter().take(100).map(|p| clean(p)).collect();
        put("evidence", json!(paths));
    }
    if let Some(entry) = &check.expectation {
        put("ledger", json!(clean(entry)));
    }
    if let Some(failure) = &check.failure {
        let code = failure.code.map(|c| format!("code 0x{c:04x}"));
        let parts = [failure.kind.clone(), code, failure.rule.clone()];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            put("failure", json!(cut(&clean(&parts.join(", ")), WIDTH)));
        }
    }
    if let Some(cluster) = &check.cluster {
        put("cluster", json!(clean(cluster)));
    }
    if let Some(diff) = observation.and_then(|o| o.diff.as_deref()) {
        let lines = difference::of_unified(diff, WIDTH, LINES);
        put("moved", difference(&lines));
    }
    d
}
