//! Whoever is asked, and how their answers differ.

use super::Input;
use crate::codec::fault_kind;
use crate::wait::Stop;
use lnconform_adapters::{Fault, Launch, Limits, Supervised};
use lnconform_protocol::{Answer, ErrorKind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// After so many starts an adapter is not asked any more.
const STARTS: u32 = 300;

/// Requests that may be under way at one adapter at once.
const WINDOW: usize = 64;

/// One implementation that is asked.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Name of its row.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// How it is started.
    pub launch: Launch,
    /// Operations, from its `hello`.
    pub operations: BTreeSet<String>,
}

/// What one implementation made of one input.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// A result.
    Accepted(Value),
    /// An error of the input's.
    Refused {
        /// The rule, where it names one.
        rule: Option<String>,
        /// Its own words.
        message: String,
    },
    /// No answer to the input: `crash`, `hang`, `protocol`, or `internal` for what it calls its own
    /// fault.
    Broke {
        /// Which of them.
        kind: &'static str,
        /// In words.
        message: String,
    },
    /// Not asked, or it says that it cannot.
    Silent,
}

/// What makes two differences the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The operation.
    pub operation: String,
    /// The rule by which the oracle refuses, or `accepted`.
    pub rule: String,
    /// What was done and by whom, such as `refused: ldk-0.2, ldk-0.3`.
    pub groups: Vec<String>,
    /// Why, where the oracle accepts: the words of those who refuse, without numbers; and the
    /// fields that are shown with other values.
    pub why: Vec<String>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} · {}", self.operation, self.rule)?;
        for part in self.groups.iter().chain(&self.why) {
            write!(f, " · {part}")?;
        }
        Ok(())
    }
}

/// Implementations with the same answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// `accepted`, `refused`, `crash`, `hang`, `protocol` or `internal`.
    pub did: &'static str,
    /// Their names.
    pub who: Vec<String>,
    /// The words of the first that refused or broke.
    pub message: Option<String>,
    /// The fields in which those differ that accept.
    pub fields: BTreeMap<String, Value>,
}

/// A difference between answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// What it is called.
    pub key: Key,
    /// One for each implementation that does not do what the oracle does. An input may show
    /// several differences at once; where all of its parts are known, so is it.
    pub parts: BTreeSet<String>,
    /// Who did what.
    pub groups: Vec<Group>,
    /// What the oracle answered.
    pub oracle: Said,
    /// The oracle's values of the fields that are shown differently; null where it shows none.
    pub fields: BTreeMap<String, Value>,
}

struct Seat<'a> {
    subject: &'a Subject,
    adapter: Supervised,
    /// Not asked any more.
    retired: bool,
}

/// The implementations, each in a process that lives on between two inputs.
pub(super) struct Panel<'a> {
    seats: Vec<Seat<'a>>,
    oracle: &'a str,
    limits: Limits,
    stop: &'a Stop,
    /// Fields that each has answered, by operation and place.
    fields: BTreeMap<(String, usize), BTreeSet<String>>,
    notes: Vec<String>,
}

impl<'a> Panel<'a> {
    pub fn new(subjects: &'a [Subject], oracle: &'a str, limits: &Limits, stop: &'a Stop) -> Self {
        // The panel itself counts the starts: what the host has given up answers for every
        // request, and each of those would be a find. One batch cannot use up what lies between.
        let limits = Limits {
            restarts: 5 * STARTS,
            ..limits.clone()
        };
        let seats = subjects
            .iter()
            .map(|subject| Seat {
                subject,
                adapter: Supervised::new(subject.launch.clone(), limits.clone()),
                retired: false,
            })
            .collect();
        Self {
            seats,
            oracle,
            limits,
            stop,
            fields: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// How many answer the operation.
    pub fn speakers(&self, operation: &str) -> usize {
        let speaks = |seat: &&Seat<'_>| seat.subject.operations.contains(operation);
        self.seats.iter().filter(speaks).count()
    }

    /// What happened since it was last asked.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// What each says to each input: for every input the answers in the order of the subjects.
    pub fn ask(&mut self, inputs: &[Input]) -> Vec<Vec<Said>> {
        let deadline = self.limits.codec;
        let mut columns: Vec<Vec<Said>> = Vec::new();
        let mut notes = Vec::new();
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .seats
                .iter_mut()
                .map(|seat| scope.spawn(move || ask(seat, inputs, deadline)))
                .collect();
            for thread in threads {
                // A panic in a thread of ours is a fault of the harness and goes on to the top.
                let (column, note) = thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                columns.push(column);
                notes.extend(note);
            }
        });
        if !self.stop.is_set() {
            self.notes.extend(notes);
        }
        (0..inputs.len())
            .map(|at| {
                let row = columns.iter_mut();
                row.map(|column| std::mem::replace(&mut column[at], Said::Silent))
                    .collect()
            })
            .collect()
    }

    /// Notes which fields each answers.
    pub fn learn(&mut self, operation: &str, said: &[Said]) {
        for (place, one) in said.iter().enumerate() {
            if let Said::Accepted(Value::Object(map)) = one {
                let known = self
                    .fields
                    .entry((operation.to_owned(), place))
                    .or_default();
                known.extend(map.keys().cloned());
            }
        }
    }

    fn knows(&self, operation: &str, place: usize, field: &str) -> bool {
        let known = self.fields.get(&(operation.to_owned(), place));
        known.is_some_and(|fields| fields.contains(field))
    }

    /// How the answers differ, if they do.
    pub fn difference(&self, operation: &str, said: &[Said]) -> Option<Difference> {
        let accepted: Vec<(usize, &Value)> = said
            .iter()
            .enumerate()
            .filter_map(|(place, one)| match one {
                Said::Accepted(value) => Some((place, value)),
                _ => None,
            })
            .collect();
        let differing = self.differing(operation, &accepted);
        let refused = said.iter().any(|s| matches!(s, Said::Refused { .. }));
        let broke = said.iter().any(|s| matches!(s, Said::Broke { .. }));
        if differing.is_empty() && !broke && (accepted.is_empty() || !refused) {
            return None;
        }
        let place = self
            .seats
            .iter()
            .position(|s| s.subject.name == self.oracle);
        let oracle = place.map_or(Said::Silent, |place| said[place].clone());
        let rule = match &oracle {
            Said::Refused { rule, message } => rule.clone().unwrap_or_else(|| gist(message)),
            Said::Accepted(_) => "accepted".into(),
            Said::Broke { kind, .. } => (*kind).into(),
            Said::Silent => "not asked".into(),
        };
        let mut groups: Vec<Group> = Vec::new();
        let mut why = BTreeSet::new();
        let mut parts = BTreeSet::new();
        let mut part = |what: String| parts.insert(format!("{operation} · {rule} · {what}"));
        for (place, one) in said.iter().enumerate() {
            let name = &self.seats[place].subject.name;
            let same = std::mem::discriminant(one) == std::mem::discriminant(&oracle);
            let (did, message, fields) = match one {
                Said::Silent => continue,
                Said::Accepted(value) => {
                    let fields: BTreeMap<String, Value> = differing
                        .iter()
                        .filter(|field| self.knows(operation, place, field))
                        .map(|field| (field.clone(), shown(value, field).clone()))
                        .collect();
                    if !same {
                        part(format!("accepted by {name}"));
                    }
                    for (field, value) in &fields {
                        if let Said::Accepted(right) = &oracle
                            && shown(right, field) != value
                        {
                            part(format!("field {field} by {name}"));
                        }
                    }
                    ("accepted", None, fields)
                }
                Said::Refused { message, .. } => {
                    // Where the oracle refuses, its rule says why.
                    if !same {
                        why.insert(format!("{name}: {}", gist(message)));
                        part(format!("refused by {name}: {}", gist(message)));
                    }
                    ("refused", Some(message.clone()), BTreeMap::new())
                }
                Said::Broke { kind, message } => {
                    part(format!("{kind} by {name}: {}", gist(message)));
                    (*kind, Some(message.clone()), BTreeMap::new())
                }
            };
            match groups
                .iter_mut()
                .find(|g| g.did == did && g.fields == fields)
            {
                Some(group) => group.who.push(name.clone()),
                None => groups.push(Group {
                    did,
                    who: vec![name.clone()],
                    message,
                    fields,
                }),
            }
        }
        why.extend(differing.iter().map(|field| format!("field {field}")));
        let mut named: Vec<String> = groups
            .iter()
            .map(|group| format!("{}: {}", group.did, group.who.join(", ")))
            .collect();
        named.sort();
        let fields = differing
            .into_iter()
            .map(|field| {
                let value = match &oracle {
                    Said::Accepted(value) => value[&field].clone(),
                    _ => Value::Null,
                };
                (field, value)
            })
            .collect();
        let key = Key {
            operation: operation.to_owned(),
            rule,
            groups: named,
            why: why.into_iter().collect(),
        };
        // Fields in which those differ that accept what the oracle does not read.
        if parts.is_empty() {
            parts.insert(key.to_string());
        }
        Some(Difference {
            key,
            parts,
            groups,
            oracle,
            fields,
        })
    }

    /// Fields of which those who know them show different values.
    fn differing(&self, operation: &str, accepted: &[(usize, &Value)]) -> Vec<String> {
        let names: BTreeSet<&String> = accepted
            .iter()
            .filter_map(|(_, value)| value.as_object())
            .flat_map(|map| map.keys())
            .collect();
        let differs = |field: &&String| {
            let mut values = accepted
                .iter()
                .filter(|(place, _)| self.knows(operation, *place, field))
                .map(|(_, value)| shown(value, field));
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        names.into_iter().filter(differs).cloned().collect()
    }

    /// Ends every process.
    pub fn shutdown(self) {
        for seat in self.seats {
            // Its answers are in; how it goes down is `adapter check`'s business.
            let _ = seat.adapter.shutdown();
        }
    }
}

/// What is shown of a field. One interface answers an empty list where another answers nothing.
fn shown<'v>(value: &'v Value, field: &str) -> &'v Value {
    match &value[field] {
        Value::Array(list) if list.is_empty() => &Value::Null,
        value => value,
    }
}

/// Asks one of them everything that it speaks.
fn ask(
    seat: &mut Seat<'_>,
    inputs: &[Input],
    deadline: std::time::Duration,
) -> (Vec<Said>, Vec<String>) {
    let mut said = vec![Said::Silent; inputs.len()];
    let mut notes = Vec::new();
    if seat.retired {
        return (said, notes);
    }
    let name = &seat.subject.name;
    let speaks = |input: &Input| seat.subject.operations.contains(&input.operation);
    let places: Vec<usize> = (0..inputs.len())
        .filter(|at| speaks(&inputs[*at]))
        .collect();
    let requests = places
        .iter()
        .map(|at| (inputs[*at].operation.as_str(), &inputs[*at].params));
    let mut gone = None;
    let late = seat
        .adapter
        .batch(requests, WINDOW, deadline, |index, answer, _| {
            if let Err(fault) = &answer
                && fault.could_not_run()
            {
                gone.get_or_insert_with(|| fault.message.clone());
                return;
            }
            said[places[index]] = of(answer);
        });
    for late in late {
        match late.index {
            Some(index) => said[places[index]] = broke(&late.fault),
            None => notes.push(format!(
                "{name} broke once, and not again when it was asked one by one: {}",
                late.fault.message
            )),
        }
    }
    if let Some(why) = gone {
        seat.retired = true;
        notes.push(format!("{name} is not asked any more: {why}"));
    } else if seat.adapter.restarts() >= u64::from(STARTS) {
        seat.retired = true;
        notes.push(format!(
            "{name} is not asked any more: it was started {STARTS} times"
        ));
    }
    (said, notes)
}

fn of(answer: Result<Answer, Fault>) -> Said {
    match answer {
        Ok(Answer::Result(value)) => Said::Accepted(value),
        Ok(Answer::Error(error)) if error.kind == ErrorKind::Internal => Said::Broke {
            kind: "internal",
            message: error.message,
        },
        Ok(Answer::Error(error)) => Said::Refused {
            rule: error.rule,
            message: error.message,
        },
        Ok(Answer::Unsupported(_)) => Said::Silent,
        Err(fault) => broke(&fault),
    }
}

fn broke(fault: &Fault) -> Said {
    Said::Broke {
        kind: fault_kind(fault),
        message: fault.message.clone(),
    }
}

/// The words of a refusal without what belongs to one input alone: whatever has a digit in it, or
/// is longer than words are.
fn gist(message: &str) -> String {
    const WORD: usize = 40;
    const SHOWN: usize = 120;
    let line = message.lines().next().unwrap_or_default();
    let mut out = String::new();
    let word_like = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = line;
    while !rest.is_empty() && out.len() < SHOWN {
        let end = rest.find(|c| !word_like(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        if word.len() > WORD || word.bytes().any(|b| b.is_ascii_digit()) {
            out.push('#');
        } else {
            out.push_str(word);
        }
        let mut tail = tail.chars();
        if let Some(c) = tail.next() {
            out.push(if c.is_control() { ' ' } else { c });
        }
        rest = tail.as_str();
    }
    out.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn subject(name: &str) -> Subject {
        Subject {
            name: name.into(),
            version: "1".into(),
            launch: Launch::new(name, "/nowhere"),
            operations: BTreeSet::from(["x".to_owned()]),
        }
    }

    fn ok(value: Value) -> Said {
        Said::Accepted(value)
    }

    fn no(rule: Option<&str>, message: &str) -> Said {
        Said::Refused {
            rule: rule.map(Into::into),
            message: message.into(),
        }
    }

    #[test]
    fn answers_differ_by_what_is_done_and_by_fields_that_both_know() {
        let subjects = [subject("ref"), subject("a"), subject("b")];
        let (limits, stop) = (Limits::default(), Stop::default());
        let mut panel = Panel::new(&subjects, "ref", &limits, &stop);
        panel.learn(
            "x",
            &[
                ok(json!({"f": 1, "g": 1})),
                ok(json!({"f": 1})),
                ok(json!({})),
            ],
        );
        let key = |said: &[Said]| panel.difference("x", said).map(|d| d.key.to_string());
        assert_eq!(
            key(&[ok(json!({"f": 1})), ok(json!({"f": 1})), Said::Silent]),
            None
        );
        // Who does not know a field may leave it out, and who knows it may not.
        assert_eq!(
            key(&[
                ok(json!({"f": 1, "g": 2})),
                ok(json!({"f": 1})),
                ok(json!({}))
            ]),
            None
        );
        assert_eq!(
            key(&[ok(json!({"f": 1})), ok(json!({})), ok(json!({}))]).unwrap(),
            "x · accepted · accepted: a · accepted: b · accepted: ref · field f"
        );
        assert_eq!(
            key(&[no(Some("r"), "m"), no(None, "n"), no(None, "o")]),
            None
        );
        assert_eq!(
            key(&[no(Some("r"), "m"), ok(json!({})), no(None, "o")]).unwrap(),
            "x · r · accepted: a · refused: ref, b"
        );
        // Where the oracle accepts, the others' words tell two refusals apart.
        let two = |words| key(&[ok(json!({})), no(None, words), Said::Silent]).unwrap();
        assert_eq!(
            two("record 17 is bad"),
            "x · accepted · accepted: ref · refused: a · a: record # is bad"
        );
        assert_eq!(two("record 18 is bad"), two("record 17 is bad"));
        assert_ne!(two("order"), two("length"));
        // Empty and absent are the same.
        assert_eq!(
            key(&[ok(json!({"f": []})), ok(json!({})), Said::Silent]),
            None
        );
        let crash = Said::Broke {
            kind: "crash",
            message: "died".into(),
        };
        assert_eq!(
            key(&[no(Some("r"), "m"), crash, no(None, "o")]).unwrap(),
            "x · r · crash: a · refused: ref, b"
        );
    }

    #[test]
    fn a_difference_has_a_part_for_whoever_does_not_do_as_the_oracle() {
        let subjects = [subject("ref"), subject("a"), subject("b")];
        let (limits, stop) = (Limits::default(), Stop::default());
        let mut panel = Panel::new(&subjects, "ref", &limits, &stop);
        let one = ok(json!({"f": 1}));
        panel.learn("x", &[one.clone(), one.clone(), one.clone()]);
        let parts = |said: &[Said]| -> Vec<String> {
            let parts = panel.difference("x", said).unwrap().parts;
            parts.into_iter().collect()
        };
        assert_eq!(
            parts(&[one.clone(), no(None, "p 1"), no(None, "q")]),
            [
                "x · accepted · refused by a: p #",
                "x · accepted · refused by b: q"
            ]
        );
        assert_eq!(
            parts(&[no(Some("r"), "m"), one.clone(), no(None, "q")]),
            ["x · r · accepted by a"]
        );
        assert_eq!(
            parts(&[one.clone(), ok(json!({"f": 2})), one.clone()]),
            ["x · accepted · field f by a"]
        );
        assert_eq!(
            parts(&[Said::Silent, one.clone(), no(None, "q")]),
            [
                "x · not asked · accepted by a",
                "x · not asked · refused by b: q"
            ]
        );
        assert_eq!(
            parts(&[no(Some("r"), "m"), one, ok(json!({"f": 2}))]),
            ["x · r · accepted by a", "x · r · accepted by b"]
        );
    }

    #[test]
    fn words_lose_what_belongs_to_one_input() {
        assert_eq!(gist("type 254 is bad"), "type # is bad");
        assert_eq!(
            gist("Decode(UnknownRequiredFeature)"),
            "Decode(UnknownRequiredFeature)"
        );
        assert_eq!(gist("key 02abc1 of x\nmore"), "key # of x");
        assert_eq!(gist(""), "");
        assert!(gist(&"ab ".repeat(500)).len() <= 120);
    }

    #[test]
    fn who_is_not_there_is_left_out_and_named() {
        let subjects = [subject("ref")];
        let (limits, stop) = (Limits::default(), Stop::default());
        let mut panel = Panel::new(&subjects, "ref", &limits, &stop);
        let input = Input {
            operation: "x".into(),
            params: json!({}),
            from: "made".into(),
            changes: vec![],
        };
        let said = panel.ask(std::slice::from_ref(&input));
        assert_eq!(said, [[Said::Silent]]);
        let notes = panel.notes();
        assert!(
            notes[0].starts_with("ref is not asked any more"),
            "{notes:?}"
        );
        assert_eq!(panel.ask(&[input]), [[Said::Silent]]);
        assert!(panel.notes().is_empty());
    }
}
