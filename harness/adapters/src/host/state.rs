//! What is outstanding in one adapter process.

use super::batch::Inbox;
use crate::fault::{Culprit, Fault, FaultKind};
use crate::ids::Ids;
use lnconform_protocol::Answer;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answered requests of which the operation is still known, for messages.
const HISTORY: u64 = 1024;

/// Who waits for an answer.
pub(crate) enum Sink {
    /// A callback.
    Done(Box<dyn FnOnce(Result<Answer, Fault>) + Send>),
    /// The batch; the position in it.
    Batch(usize),
}

impl Sink {
    pub(crate) fn finish(self, result: Result<Answer, Fault>) {
        match self {
            Sink::Done(done) => done(result),
            // A batch hears of a fault once, through its inbox.
            Sink::Batch(_) => {}
        }
    }
}

/// A request that is unanswered.
pub(crate) struct Open {
    pub(crate) op: usize,
    pub(crate) sent: Instant,
    pub(crate) deadline: Duration,
    /// Whether the deadline counts from `sent`; otherwise from when it became the oldest.
    pub(crate) strict: bool,
    pub(crate) index: Option<usize>,
    pub(crate) sink: Sink,
}

pub(crate) enum Slot {
    Open(Open),
    Answered { op: usize, index: Option<usize> },
}

/// Something written that nobody asked for.
pub(crate) struct Breach {
    pub(crate) kind: FaultKind,
    pub(crate) what: String,
    pub(crate) request: Option<Culprit>,
    pub(crate) at: Instant,
}

pub(crate) struct State {
    ids: Ids,
    /// Counter of `slots[0]`.
    base: u64,
    slots: VecDeque<Slot>,
    /// Counter of the oldest unanswered request, or of the next one.
    oldest: u64,
    oldest_since: Instant,
    /// How many are unanswered, `extra` included.
    pub(crate) open: usize,
    /// Requests with an id of `adapter check`'s choice.
    pub(crate) extra: HashMap<u64, Open>,
    ops: Vec<Arc<str>>,
    op_at: HashMap<Arc<str>, usize>,
    /// Bytes that the writer has not taken.
    pub(crate) out: Vec<u8>,
    pub(crate) batch: Option<Arc<Inbox>>,
    pub(crate) next_wake: Option<Instant>,
    pub(crate) breach: Option<Breach>,
    pub(crate) unasked: usize,
    pub(crate) fault: Option<Fault>,
    /// `hello` was answered properly.
    pub(crate) greeted: bool,
    /// A fault is being made.
    pub(crate) breaking: bool,
    /// The end of the process is expected.
    pub(crate) stopping: bool,
    /// Standard input is to be closed once `out` is written.
    pub(crate) close_stdin: bool,
    /// The adapter has closed its standard input.
    pub(crate) stdin_gone: bool,
    /// The output has ended as it should.
    pub(crate) ended: bool,
    /// The adapter was dropped.
    pub(crate) closed: bool,
}

/// What an answer's id turned out to be.
pub(crate) enum Match {
    Asked(Sink),
    Twice(Culprit),
    Never,
}

impl State {
    pub(crate) fn new(ids: Ids) -> Self {
        Self {
            ids,
            base: 0,
            slots: VecDeque::new(),
            oldest: 0,
            oldest_since: Instant::now(),
            open: 0,
            extra: HashMap::new(),
            ops: Vec::new(),
            op_at: HashMap::new(),
            out: Vec::new(),
            batch: None,
            next_wake: None,
            breach: None,
            unasked: 0,
            fault: None,
            greeted: false,
            breaking: false,
            stopping: false,
            close_stdin: false,
            stdin_gone: false,
            ended: false,
            closed: false,
        }
    }

    /// The number of an operation's name.
    pub(crate) fn op(&mut self, op: &str) -> usize {
        if let Some(&at) = self.op_at.get(op) {
            return at;
        }
        let name: Arc<str> = op.into();
        self.ops.push(name.clone());
        self.op_at.insert(name, self.ops.len() - 1);
        self.ops.len() - 1
    }

    /// Adds an unanswered request and answers its id.
    pub(crate) fn push(&mut self, open: Open) -> u64 {
        let counter = self.base + self.slots.len() as u64;
        self.slots.push_back(Slot::Open(open));
        self.open += 1;
        self.ids.id(counter)
    }

    fn culprit(&self, id: u64, op: usize, index: Option<usize>) -> Culprit {
        Culprit {
            id,
            op: self.ops[op].clone(),
            index,
        }
    }

    /// Takes the request that an answer is for.
    pub(crate) fn take(&mut self, id: u64) -> Match {
        if !self.extra.is_empty()
            && let Some(open) = self.extra.remove(&id)
        {
            self.open -= 1;
            return Match::Asked(open.sink);
        }
        let Some(counter) = self.ids.counter(id) else {
            return Match::Never;
        };
        let unknown = || Culprit {
            id,
            op: Arc::from("an earlier request"),
            index: None,
        };
        if counter < self.base {
            return Match::Twice(unknown());
        }
        let at = usize::try_from(counter - self.base).unwrap_or(usize::MAX);
        match self.slots.get_mut(at) {
            None => Match::Never,
            Some(Slot::Answered { op, index }) => {
                let (op, index) = (*op, *index);
                Match::Twice(self.culprit(id, op, index))
            }
            Some(slot @ Slot::Open(_)) => {
                let (op, index) = match slot {
                    Slot::Open(open) => (open.op, open.index),
                    Slot::Answered { op, index } => (*op, *index),
                };
                match std::mem::replace(slot, Slot::Answered { op, index }) {
                    Slot::Open(open) => {
                        self.open -= 1;
                        Match::Asked(open.sink)
                    }
                    Slot::Answered { .. } => Match::Never,
                }
            }
        }
    }

    /// Moves on to the oldest request that is unanswered, after answers were taken.
    pub(crate) fn advance(&mut self, now: Instant) {
        let before = self.oldest;
        while let Some(Slot::Answered { .. }) = self
            .slots
            .get(usize::try_from(self.oldest - self.base).unwrap_or(usize::MAX))
        {
            self.oldest += 1;
        }
        if self.oldest != before {
            self.oldest_since = now;
        }
        while self.base + HISTORY < self.oldest {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    /// The oldest unanswered request.
    pub(crate) fn oldest(&self) -> Option<Culprit> {
        match self.opened().next() {
            Some((at, open)) => Some(self.culprit(self.ids.id(at), open.op, open.index)),
            None => {
                let (id, open) = self.extra.iter().min_by_key(|(_, open)| open.sent)?;
                Some(self.culprit(*id, open.op, None))
            }
        }
    }

    /// Counters and unanswered requests, oldest first.
    fn opened(&self) -> impl Iterator<Item = (u64, &Open)> {
        let skip = usize::try_from(self.oldest - self.base).unwrap_or(usize::MAX);
        self.slots
            .iter()
            .enumerate()
            .skip(skip)
            .filter_map(|(i, slot)| match slot {
                Slot::Open(open) => Some((self.base + i as u64, open)),
                Slot::Answered { .. } => None,
            })
    }

    /// The request whose deadline has run out, and when to look again.
    pub(crate) fn deadlines(&self, now: Instant) -> (Option<(Culprit, Duration)>, Option<Instant>) {
        let mut next: Option<Instant> = None;
        for (at, open) in self.opened() {
            let expiry = if open.strict {
                open.sent + open.deadline
            } else if at == self.oldest {
                open.sent.max(self.oldest_since) + open.deadline
            } else {
                // Its clock has not started; it cannot run out before this.
                now + open.deadline
            };
            if expiry <= now {
                let culprit = self.culprit(self.ids.id(at), open.op, open.index);
                return (Some((culprit, open.deadline)), None);
            }
            next = Some(next.map_or(expiry, |n| n.min(expiry)));
        }
        for (id, open) in &self.extra {
            let expiry = open.sent + open.deadline;
            if expiry <= now {
                return (
                    Some((self.culprit(*id, open.op, None), open.deadline)),
                    None,
                );
            }
            next = Some(next.map_or(expiry, |n| n.min(expiry)));
        }
        (None, next)
    }

    /// Takes all that is unanswered.
    pub(crate) fn drain(&mut self) -> Vec<Sink> {
        self.base += self.slots.len() as u64;
        self.oldest = self.base;
        self.open = 0;
        let extra = std::mem::take(&mut self.extra).into_values();
        std::mem::take(&mut self.slots)
            .into_iter()
            .filter_map(|slot| match slot {
                Slot::Open(open) => Some(open),
                Slot::Answered { .. } => None,
            })
            .chain(extra)
            .map(|open| open.sink)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(state: &mut State, strict: bool, sent: Instant) -> u64 {
        let op = state.op("op");
        let deadline = Duration::from_secs(5);
        state.push(Open {
            op,
            sent,
            deadline,
            strict,
            index: None,
            sink: Sink::Batch(0),
        })
    }

    #[test]
    fn answers_are_told_apart() {
        let mut state = State::new(Ids::new(1, 0));
        let now = Instant::now();
        let (a, b) = (open(&mut state, true, now), open(&mut state, true, now));
        assert!(matches!(state.take(b), Match::Asked(_)));
        assert!(matches!(state.take(b), Match::Twice(c) if c.id == b && &*c.op == "op"));
        assert!(matches!(state.take(b ^ 1), Match::Never));
        assert_eq!(state.oldest().unwrap().id, a);
        assert!(matches!(state.take(a), Match::Asked(_)));
        state.advance(now);
        assert!(state.oldest().is_none());
        assert_eq!(state.open, 0);
    }

    #[test]
    fn memory_of_answered_requests_is_bounded() {
        let mut state = State::new(Ids::new(1, 0));
        let now = Instant::now();
        let first = open(&mut state, true, now);
        state.take(first);
        for _ in 0..HISTORY * 3 {
            let id = open(&mut state, true, now);
            state.take(id);
            state.advance(now);
        }
        assert!(state.slots.len() as u64 <= HISTORY + 1);
        assert!(matches!(state.take(first), Match::Twice(_)));
    }

    #[test]
    fn a_queued_request_s_clock_starts_when_it_is_the_oldest() {
        let mut state = State::new(Ids::new(1, 0));
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let (a, b) = (
            open(&mut state, false, start),
            open(&mut state, false, start),
        );
        assert_eq!(state.deadlines(at(5)).0.unwrap().0.id, a);
        state.take(a);
        state.advance(at(4));
        assert!(state.deadlines(at(8)).0.is_none());
        assert_eq!(state.deadlines(at(9)).0.unwrap().0.id, b);
    }

    #[test]
    fn a_strict_deadline_counts_from_sending() {
        let mut state = State::new(Ids::new(1, 0));
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let (_a, b) = (
            open(&mut state, false, at(3)),
            open(&mut state, true, start),
        );
        assert!(state.deadlines(at(4)).0.is_none());
        assert_eq!(state.deadlines(at(5)).0.unwrap().0.id, b);
    }
}
