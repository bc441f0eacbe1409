//! What the page's script reads: every check of the run as compact JSON.

use super::sequence::{self, Sequences};
use super::{Sentence, Sentences, embedded};
use crate::difference::{self, Lines};
use crate::digest::{Digest, column};
use crate::text::{clean, clean_json, clean_lines, cut};
use lnconform_engine::record::{
    Check, Dialect, Disagreement, Keyword, Lane, Observation, Outcome, Phase, Record, Run,
    SnapshotState,
};
use lnconform_engine::results::{ReadEnd, ResultsError, Sink, visit};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
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

/// Values, each kept once under its key.
struct Kept<K> {
    list: Vec<Value>,
    places: HashMap<K, usize>,
}

impl<K: Eq + Hash> Kept<K> {
    fn new() -> Self {
        Self {
            list: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// The place of a value, which is made where it is not there yet.
    fn place(&mut self, key: K, value: impl FnOnce() -> Value) -> usize {
        let list = &mut self.list;
        *self.places.entry(key).or_insert_with(|| {
            list.push(value());
            list.len() - 1
        })
    }
}

/// What the checks of one case have in common: id, requirements, keyword, whether it is of the cluster
/// lane, whether it is a simulation.
type Case<'a> = (&'a str, &'a [String], u8, bool, bool);

/// What checks share, in the lists of the page.
struct Lists<'a> {
    sentences: &'a dyn Fn(&str) -> Option<Sentence>,
    versions: BTreeMap<&'a str, &'a str>,
    texts: Texts,
    requirements: Kept<&'a str>,
    people: Kept<String>,
    cases: Kept<Case<'a>>,
    details: Vec<Value>,
}

impl<'a> Lists<'a> {
    /// The place of whoever a check ran on.
    fn person(&mut self, check: &Check, who: &str) -> usize {
        let version = |name: &String| {
            let version = self.versions.get(name.as_str()).copied();
            let text = format!("{name} {}", version.unwrap_or_default());
            clean(&text).trim().to_owned()
        };
        self.people.place(who.to_owned(), || {
            let told: Vec<String> = match (&check.implementation, &check.roles) {
                (Some(name), _) => vec![version(name)],
                (None, Some(roles)) => roles
                    .iter()
                    .map(|(role, name)| format!("{}: {}", clean(role), version(name)))
                    .collect(),
                (None, None) => vec![],
            };
            json!([
                clean(if who.is_empty() { "(nobody)" } else { who }),
                u8::from(check.implementation.is_none()),
                told,
            ])
        })
    }

    /// The place of a requirement.
    fn requirement(&mut self, id: &'a str) -> usize {
        let sentences = self.sentences;
        self.requirements.place(id, || match sentences(id) {
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
        })
    }

    /// The place of a check's case. Its source is told by the first check that knows it.
    fn case(&mut self, check: &'a Check) -> usize {
        let ids = check.requirements.iter();
        let ids: Vec<usize> = ids.map(|id| self.requirement(id)).collect();
        let case: Case<'_> = (
            &check.id,
            &check.requirements,
            check.keyword.map_or(0, keyword),
            check.lane == Lane::Cluster,
            check.simulation,
        );
        let texts = &mut self.texts;
        let place = self.cases.place(case, || {
            let (id, _, keyword, cluster, simulation) = case;
            json!([
                texts.line(id),
                ids,
                keyword,
                u8::from(cluster),
                -1,
                u8::from(simulation),
            ])
        });
        if let Some(source) = &check.source
            && let Some(known) = self.cases.list[place].get_mut(4)
            && known.as_i64() == Some(-1)
        {
            *known = json!(self.texts.line(source));
        }
        place
    }

    /// The numbers of a check.
    fn row(
        &mut self,
        check: &'a Check,
        who: &str,
        observation: Option<&Observation>,
        drawn: Option<Vec<i64>>,
    ) -> [i64; 9] {
        let person = self.person(check, who);
        let case = self.case(check);
        let mut detail = detail(check, observation);
        if let Some(drawn) = drawn {
            detail.insert("sequence".into(), json!(drawn));
        }
        let detail = if detail.is_empty() {
            -1
        } else {
            self.details.push(Value::Object(detail));
            place(self.details.len() - 1)
        };
        let message = check
            .message
            .as_deref()
            .map_or(-1, |m| place(self.texts.place(lines(m))));
        let (observed, state) = match observation {
            Some(o) => (
                place(self.texts.place(value(&o.value))),
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
        [
            place(case),
            place(person),
            outcome + 8 * place(column(check)) + 64 * i64::from(check.flaky),
            i64::from(check.attempt),
            i64::try_from(check.duration_us).unwrap_or(i64::MAX),
            message,
            detail,
            observed,
            state,
        ]
    }
}

/// The JSON, ready to stand in the page, and the diagrams that it names by their places.
///
/// `texts` [text]; `who` [[name, 0 implementation or 1 roles, versions]]; `requirements`
/// [[id, keyword, section, paraphrase, sentence]]; `cases` [[place of id, [requirements], keyword,
/// lane, place of source or -1, 1 simulation]]; `rows` nine numbers a check: case, who, outcome + 8 ×
/// column + 64 × flaky, attempt, microseconds, place of message or -1, detail or -1, place of
/// observation or -1, its state; `details` objects; `history` [{run, started, versions}], the oldest
/// first; `past` for each check a place of a text with a letter for each of them.
pub(super) fn json<'a>(model: &'a Model, sentences: &'a Sentences<'_>) -> (String, Vec<String>) {
    let mut lists = Lists {
        sentences,
        versions: model.digest.versions(),
        texts: Texts::default(),
        requirements: Kept::new(),
        people: Kept::new(),
        cases: Kept::new(),
        details: Vec::new(),
    };
    let mut rows: Vec<i64> = Vec::with_capacity(model.checks.len() * 9);
    let mut past: Vec<usize> = Vec::new();
    let seen: HashMap<(&str, String), &Observation> = model
        .observations
        .iter()
        .map(|o| ((o.id.as_str(), o.who()), o))
        .collect();
    let sequences = Sequences::of(&model.checks, &model.nodes);
    for check in &model.checks {
        let who = check.who();
        let observation = seen.get(&(check.id.as_str(), who.clone())).copied();
        rows.extend(lists.row(check, &who, observation, sequences.places(check)));
        if !model.past.is_empty() {
            let line = columns_of(&model.past, (check.id.clone(), who));
            past.push(lists.texts.place(line));
        }
    }
    let all = json!({
        "texts": lists.texts.list,
        "who": lists.people.list,
        "requirements": lists.requirements.list,
        "cases": lists.cases.list,
        "rows": rows,
        "details": lists.details,
        "history": model.past.iter().map(history).collect::<Vec<_>>(),
        "past": past,
    });
    (embedded(&all.to_string()), sequences.drawn)
}

/// What became of a check in earlier runs: a digit for its column, or `-`, for each.
fn columns_of(past: &[Past], key: (String, String)) -> String {
    past.iter()
        .map(|p| match p.columns.get(&key) {
            Some(column) => char::from(b'0' + u8::try_from(*column).unwrap_or(0)),
            None => '-',
        })
        .collect()
}

fn history(past: &Past) -> Value {
    let versions: Map<String, Value> = past
        .header
        .implementations
        .iter()
        .filter(|i| i.available)
        .map(|i| (clean(&i.name).into_owned(), json!(clean(&i.version))))
        .collect();
    json!({"run": clean(&past.header.run), "started": clean(&past.header.started), "versions": versions})
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
        put("blame", json!(blame.as_str()));
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
