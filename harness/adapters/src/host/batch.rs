//! Many requests through one process, with little work for each.

use super::{Adapter, Inner, Open, Params, Sink, lock, wait, write_request};
use crate::fault::Fault;
use lnconform_protocol::Answer;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Requests that are serialised before the first of them is sent on.
const STRIDE: usize = 256;

/// An answer to the request at a position of the batch.
pub(crate) struct Done {
    pub(crate) at: usize,
    pub(crate) answer: Answer,
}

/// Where the reader puts answers of a batch, many at a time.
#[derive(Default)]
pub(crate) struct Inbox {
    got: Mutex<Got>,
    arrived: Condvar,
}

#[derive(Default)]
struct Got {
    done: Vec<Done>,
    at: Option<Instant>,
    fault: Option<Fault>,
}

impl Inbox {
    pub(crate) fn put(&self, mut done: Vec<Done>, at: Instant) {
        let mut got = lock(&self.got);
        got.done.append(&mut done);
        got.at = Some(at);
        self.arrived.notify_one();
    }

    pub(crate) fn fail(&self, fault: Fault) {
        lock(&self.got).fault = Some(fault);
        self.arrived.notify_one();
    }
}

/// One request of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) index: usize,
    pub(crate) op: &'a str,
    pub(crate) params: Params<'a>,
}

/// The process broke: how, and what it had not answered, oldest first.
pub(crate) struct Broken<'a> {
    pub(crate) fault: Fault,
    pub(crate) unanswered: Vec<Ask<'a>>,
}

impl Adapter {
    /// Sends all `requests`, at most `window` of them unanswered at a time, and calls `each` once
    /// for every one of them, in the order of the answers, with its index.
    ///
    /// `deadline` is for one request and counts from when all earlier ones were answered. The
    /// duration handed to `each` is the request's share of the time that passed: what came
    /// together shares equally, so that durations add up to the time of the batch.
    ///
    /// # Errors
    /// The process's fault. Requests that were unanswered, or not sent yet, have failed with it;
    /// if none was, it is about [`Fault::request`], or about none in particular.
    pub fn batch<'a, P: Into<Params<'a>>>(
        &mut self,
        requests: impl IntoIterator<Item = (&'a str, P)>,
        window: usize,
        deadline: Duration,
        mut each: impl FnMut(usize, Result<Answer, Fault>, Duration),
    ) -> Result<(), Fault> {
        let mut source = requests
            .into_iter()
            .enumerate()
            .map(|(index, (op, params))| Ask {
                index,
                op,
                params: params.into(),
            })
            .fuse();
        let result = self.run(&mut source, window, deadline, &mut |index, answer, took| {
            each(index, Ok(answer), took);
        });
        match result {
            Ok(()) => self.settle(),
            Err(Broken { fault, unanswered }) => {
                for ask in unanswered {
                    each(ask.index, Err(fault.clone()), Duration::ZERO);
                }
                // There may be very many of these; the tail is with those above.
                let brief = Fault {
                    stderr_tail: String::new(),
                    ..fault.clone()
                };
                for ask in source {
                    each(ask.index, Err(brief.clone()), Duration::ZERO);
                }
                Err(fault)
            }
        }
    }

    /// The same without a settlement, and with what was left unanswered.
    pub(crate) fn run<'a>(
        &mut self,
        source: &mut dyn Iterator<Item = Ask<'a>>,
        window: usize,
        deadline: Duration,
        each: &mut dyn FnMut(usize, Answer, Duration),
    ) -> Result<(), Broken<'a>> {
        let window = window.max(1);
        let inner: &Inner = &self.inner;
        let inbox = Arc::new(Inbox::default());
        {
            let mut state = lock(&inner.state);
            if let Some(fault) = state.fault.clone() {
                return Err(Broken {
                    fault,
                    unanswered: Vec::new(),
                });
            }
            state.batch = Some(inbox.clone());
        }
        // What is unanswered, by position; the front is at position `first`.
        let mut asked: VecDeque<Option<Ask<'a>>> = VecDeque::new();
        let mut first = 0;
        let mut open = 0;
        let mut exhausted = false;
        let mut fresh: Vec<Ask<'a>> = Vec::with_capacity(STRIDE);
        let mut ids = Vec::with_capacity(STRIDE);
        let mut bytes = Vec::new();
        let mut done = Vec::new();
        let mut clock = Instant::now();
        loop {
            // Refilling only once there is some room keeps the pieces that are written large.
            let room = window - open;
            if !exhausted && room >= window.div_ceil(4) {
                fresh.clear();
                fresh.extend((&mut *source).take(room.min(STRIDE)));
                exhausted = fresh.len() < room.min(STRIDE);
                if !fresh.is_empty() {
                    let sent = Instant::now();
                    if open == 0 {
                        clock = sent;
                    }
                    ids.clear();
                    {
                        let mut state = lock(&inner.state);
                        for ask in &fresh {
                            let op = state.op(ask.op);
                            let sink = Sink::Batch(first + asked.len());
                            let index = Some(ask.index);
                            ids.push(state.push(Open {
                                op,
                                sent,
                                deadline,
                                strict: false,
                                index,
                                sink,
                            }));
                            asked.push_back(Some(*ask));
                        }
                        inner.wake_watch(&mut state, sent + deadline);
                    }
                    open += fresh.len();
                    bytes.clear();
                    for (ask, id) in fresh.iter().zip(&ids) {
                        write_request(&mut bytes, *id, ask.op, ask.params);
                    }
                    inner.append(&mut lock(&inner.state), &bytes);
                }
            }
            if open == 0 && exhausted {
                lock(&inner.state).batch = None;
                return Ok(());
            }
            let full = exhausted || window - open < window.div_ceil(4);
            let (at, fault) = {
                let mut got = lock(&inbox.got);
                while full && got.done.is_empty() && got.fault.is_none() {
                    got = wait(&inbox.arrived, got);
                }
                std::mem::swap(&mut got.done, &mut done);
                (got.at, got.fault.clone())
            };
            if !done.is_empty() {
                let now = at.unwrap_or(clock);
                let share = now.saturating_duration_since(clock)
                    / u32::try_from(done.len()).unwrap_or(u32::MAX);
                clock = now;
                for Done { at, answer } in done.drain(..) {
                    if let Some(ask) = asked.get_mut(at - first).and_then(Option::take) {
                        open -= 1;
                        each(ask.index, answer, share);
                    }
                }
                while let Some(None) = asked.front() {
                    asked.pop_front();
                    first += 1;
                }
            }
            if let Some(fault) = fault {
                let unanswered = asked.into_iter().flatten().collect();
                return Err(Broken { fault, unanswered });
            }
        }
    }
}
