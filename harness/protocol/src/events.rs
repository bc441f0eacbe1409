//! What a node told, in order, for whoever asks: the store behind `event.next`.

use crate::OpError;
use crate::outcome::Outcome;
use crate::params::{Params, ResultObject};
use serde_json::Value;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One event.
#[derive(Clone, Debug)]
pub struct Seen<T = ()> {
    /// Counted from 1, across restarts of the node in this process.
    pub seq: u32,
    /// Such as `payment-received`.
    pub kind: &'static str,
    /// The payment's handle, where it is about one.
    pub payment: Option<String>,
    /// What the adapter keeps with it and does not show.
    pub extra: T,
    /// The kind's own fields, an object in the protocol's form.
    pub fields: Value,
}

impl<T> Seen<T> {
    /// The event in the protocol's form.
    pub fn shown(&self) -> Value {
        let mut object = ResultObject::new()
            .with("seq", self.seq)
            .with("kind", self.kind);
        if let Value::Object(fields) = &self.fields {
            for (name, value) in fields {
                object = object.with(name, value.clone());
            }
        }
        object.done()
    }
}

#[derive(Debug)]
struct State<T> {
    seen: Vec<Seen<T>>,
    closing: bool,
    stops: u64,
}

/// Everything seen so far, and a bell.
#[derive(Debug)]
pub struct Events<T = ()> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Default for Events<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                seen: Vec::new(),
                closing: false,
                stops: 0,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<T> Events<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event and wakes those who wait.
    pub fn push(&self, kind: &'static str, payment: Option<String>, extra: T, fields: Value) {
        let mut state = self.state();
        let seq = u32::try_from(state.seen.len() + 1).unwrap_or(u32::MAX);
        state.seen.push(Seen {
            seq,
            kind,
            payment,
            extra,
            fields,
        });
        drop(state);
        self.changed.notify_all();
    }

    /// Those who wait answer now; the adapter is about to end.
    pub fn close(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    /// Those who wait answer now; the node was stopped.
    pub fn node_stopped(&self) {
        self.state().stops += 1;
        self.changed.notify_all();
    }

    /// Whether the adapter is about to end.
    pub fn is_closing(&self) -> bool {
        self.state().closing
    }

    /// The first event for which `want` answers something.
    pub fn find<R>(&self, want: impl FnMut(&Seen<T>) -> Option<R>) -> Option<R> {
        self.state().seen.iter().find_map(want)
    }

    /// The last event for which `want` answers something.
    pub fn find_last<R>(&self, want: impl FnMut(&Seen<T>) -> Option<R>) -> Option<R> {
        self.state().seen.iter().rev().find_map(want)
    }

    /// Number of the last event; 0 before the first.
    pub fn last(&self) -> u32 {
        self.state().seen.last().map_or(0, |s| s.seq)
    }

    /// As [`Events::find`], waiting until `deadline` for one to come. `what` names it in messages.
    ///
    /// # Errors
    /// `timeout` with what was waited for and what was seen instead; `rejected` when the node is
    /// stopped meanwhile.
    pub fn wait<R>(
        &self,
        deadline: Instant,
        what: &str,
        mut want: impl FnMut(&Seen<T>) -> Option<R>,
    ) -> Result<R, OpError> {
        let mut state = self.state();
        let stops = state.stops;
        let mut looked_at = 0;
        loop {
            if let Some(found) = state.seen[looked_at..].iter().find_map(&mut want) {
                return Ok(found);
            }
            looked_at = state.seen.len();
            if state.stops != stops {
                return Err(OpError::rejected(format!(
                    "the node was stopped before {what}"
                )));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closing {
                let why = if state.closing {
                    format!("the adapter was shut down before {what}")
                } else {
                    format!("no {what} by the deadline")
                };
                return Err(OpError::timeout(format!("{why}; {}", told(&state.seen))));
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The operation `event.next`: the first event after `after` of one of `kinds`, by
    /// `deadline_ms` (15 s where it is absent). Nothing is consumed. `where` {field: [values]} passes
    /// over those that have the field with another value.
    ///
    /// # Errors
    /// As [`Events::wait`]; `invalid` for ill-typed params.
    pub fn next(&self, params: Params<'_>) -> Outcome {
        let query = Query::read(params)?;
        Ok(self.wait(query.deadline, &query.what(), |seen| query.matches(seen))?)
    }

    /// The operation `event.list`: all events so far after `after` of one of `kinds`, in order and
    /// without their numbers, which say how busy a node was and not what it did. With `distinct`
    /// each is listed once, where it came first.
    ///
    /// # Errors
    /// `invalid` for ill-typed params.
    pub fn list(&self, params: Params<'_>) -> Outcome {
        let query = Query::read(params)?;
        let distinct = params.maybe("distinct", Params::bool)?.unwrap_or(false);
        let mut events: Vec<Value> = Vec::new();
        for seen in &self.state().seen {
            let Some(mut shown) = query.matches(seen) else {
                continue;
            };
            if let Value::Object(fields) = &mut shown {
                fields.shift_remove("seq");
            }
            if !distinct || !events.contains(&shown) {
                events.push(shown);
            }
        }
        Ok(serde_json::json!({ "events": events }))
    }
}

/// The params of `event.next`, so that they can be judged before there is a node.
#[derive(Clone, Debug)]
pub struct Query {
    after: u64,
    kinds: Option<Vec<String>>,
    values: Vec<(String, Vec<Value>)>,
    deadline: Instant,
}

impl Query {
    /// Reads the params.
    ///
    /// # Errors
    /// `invalid`, naming the param that is ill-typed.
    pub fn read(params: Params<'_>) -> Result<Self, OpError> {
        let kinds = params
            .maybe("kinds", Params::list)?
            .map(|kinds| {
                kinds
                    .iter()
                    .map(|k| k.as_str().map(str::to_owned).ok_or(k))
                    .collect::<Result<_, _>>()
                    .map_err(|k| {
                        OpError::invalid(format!("param kinds holds {k}, not the name of a kind"))
                    })
            })
            .transpose()?;
        let values = match params.get("where") {
            None => Vec::new(),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(field, values)| {
                    Ok((field.clone(), values.as_array().cloned().ok_or(field)?))
                })
                .collect::<Result<_, &String>>()
                .map_err(|field| {
                    OpError::invalid(format!("param where has no list of values for {field}"))
                })?,
            Some(_) => return Err(OpError::invalid("param where is no object")),
        };
        let ms = params.maybe("deadline_ms", Params::u32)?.unwrap_or(15_000);
        Ok(Self {
            after: params.maybe("after", Params::number)?.unwrap_or(0),
            kinds,
            values,
            deadline: Instant::now() + Duration::from_millis(ms.into()),
        })
    }

    fn what(&self) -> String {
        match &self.kinds {
            Some(kinds) => format!("event {} after {}", kinds.join(" or "), self.after),
            None => format!("event after {}", self.after),
        }
    }

    fn matches<T>(&self, seen: &Seen<T>) -> Option<Value> {
        let wanted = self
            .kinds
            .as_ref()
            .is_none_or(|kinds| kinds.iter().any(|k| k == seen.kind));
        let other = |(field, values): &(String, Vec<Value>)| {
            seen.fields.get(field).is_some_and(|v| !values.contains(v))
        };
        (wanted && !self.values.iter().any(other) && u64::from(seen.seq) > self.after)
            .then(|| seen.shown())
    }
}

/// The last events, for a message.
fn told<T>(seen: &[Seen<T>]) -> String {
    const SHOWN: usize = 8;
    if seen.is_empty() {
        return "no event was seen".into();
    }
    let skipped = seen.len().saturating_sub(SHOWN);
    let last: Vec<String> = seen[skipped..]
        .iter()
        .map(|s| format!("{} {}", s.seq, s.kind))
        .collect();
    let more = if skipped > 0 { "…, " } else { "" };
    format!("seen: {more}{}", last.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::outcome::Fail;
    use serde_json::json;
    use std::sync::Arc;

    fn push(events: &Events, kind: &'static str) {
        events.push(kind, Some("07".into()), (), json!({"amount_msat": "1000"}));
    }

    #[test]
    fn events_are_counted_from_one_and_shown_in_the_protocols_form() {
        let events = Events::default();
        push(&events, "payment-received");
        let shown = events.find(|s| Some(s.shown())).unwrap();
        assert_eq!(
            shown,
            json!({"seq": 1, "kind": "payment-received", "amount_msat": "1000"})
        );
        assert_eq!(events.last(), 1);
    }

    #[test]
    fn nothing_is_consumed_and_a_later_event_wakes_those_who_wait() {
        let events = Arc::new(Events::default());
        let far = Instant::now() + Duration::from_secs(20);
        let waiting = {
            let events = events.clone();
            std::thread::spawn(move || {
                events.wait(far, "a sent payment", |s| {
                    (s.kind == "payment-sent").then_some(s.seq)
                })
            })
        };
        push(&events, "payment-received");
        push(&events, "payment-sent");
        assert_eq!(waiting.join().unwrap().unwrap(), 2);
        assert_eq!(events.wait(far, "any", |s| Some(s.seq)).unwrap(), 1);
        assert_eq!(events.wait(far, "any", |s| Some(s.seq)).unwrap(), 1);
    }

    #[test]
    fn the_next_event_is_chosen_by_its_number_and_kind() {
        let events = Events::default();
        for kind in ["channel-ready", "payment-received", "payment-received"] {
            push(&events, kind);
        }
        let next = |params: Value| events.next(Params::new(&params));
        let seq = |params| next(params).unwrap()["seq"].clone();
        assert_eq!(seq(json!({})), 1);
        assert_eq!(seq(json!({"kinds": ["payment-received"]})), 2);
        assert_eq!(seq(json!({"kinds": ["payment-received"], "after": 2})), 3);
        assert_eq!(seq(json!({"after": "1"})), 2);
        let none = json!({"kinds": ["payment-held"], "deadline_ms": 0});
        assert!(
            matches!(next(none), Err(Fail::Error(e)) if e.kind == ErrorKind::Timeout
                && e.message.contains("payment-held") && e.message.contains("1 channel-ready"))
        );
        events.push(
            "payment-received",
            None,
            (),
            json!({"amount_msat": "7", "to": "x"}),
        );
        assert_eq!(seq(json!({"where": {"amount_msat": ["7", "8"]}})), 4);
        // Who lacks the field has no other value.
        assert_eq!(seq(json!({"where": {"to": ["y"]}, "after": 2})), 3);
        let other = json!({"where": {"to": ["y"]}, "after": 3, "deadline_ms": 0});
        assert!(matches!(next(other), Err(Fail::Error(e)) if e.kind == ErrorKind::Timeout));
        for ill in [
            json!({"kinds": [1]}),
            json!({"where": []}),
            json!({"where": {"to": "x"}}),
        ] {
            let answer = next(ill.clone());
            let invalid = matches!(answer, Err(Fail::Error(e)) if e.kind == ErrorKind::Invalid);
            assert!(invalid, "{ill}");
        }
    }

    #[test]
    fn all_events_of_some_kinds_are_listed_in_order_and_once_where_asked() {
        let events = Events::default();
        for kind in [
            "channel-ready",
            "payment-received",
            "payment-sent",
            "payment-received",
        ] {
            push(&events, kind);
        }
        let list = |params: Value| events.list(Params::new(&params)).unwrap()["events"].clone();
        let event = |kind: &str| json!({"kind": kind, "amount_msat": "1000"});
        let kinds = json!(["payment-sent", "payment-received"]);
        assert_eq!(
            list(json!({"kinds": kinds})),
            json!([
                event("payment-received"),
                event("payment-sent"),
                event("payment-received")
            ])
        );
        assert_eq!(
            list(json!({"kinds": kinds, "distinct": true})),
            json!([event("payment-received"), event("payment-sent")])
        );
        assert_eq!(
            list(json!({"after": 3})),
            json!([event("payment-received")])
        );
        assert_eq!(list(json!({"kinds": ["payment-held"]})), json!([]));
        let ill = json!({"distinct": 1});
        let answer = events.list(Params::new(&ill));
        assert!(matches!(answer, Err(Fail::Error(e)) if e.kind == ErrorKind::Invalid));
    }

    #[test]
    fn closing_and_a_stopped_node_release_those_who_wait() {
        let far = Instant::now() + Duration::from_secs(20);
        for stop in [Events::<()>::close, Events::<()>::node_stopped] {
            let events = Arc::new(Events::default());
            let waiting = {
                let events = events.clone();
                std::thread::spawn(move || {
                    events.wait(far, "x", |_: &Seen| None::<()>).unwrap_err()
                })
            };
            // The state may change before the thread looks, so it is changed until it has ended.
            while !waiting.is_finished() {
                stop(&events);
                std::thread::yield_now();
            }
            assert!(Instant::now() < far);
            assert!(waiting.join().unwrap().message.contains("before x"));
        }
    }
}
