//! One adapter process: its pipes, its deadlines, its faults.
//!
//! Four threads a process: one writes requests, one reads answers, one keeps the tail of standard
//! error, one watches deadlines. The first thing that goes wrong becomes the process's one
//! [`Fault`]: its process group is killed and every request that is unanswered fails with it.

mod batch;
mod pipes;
mod state;

use crate::fault::Culprit;
use lnconform_protocol::{Answer, Hello, HelloParams, PROTOCOL};
use lnconform_regtest::process::{self, Child};
use serde_json::Value;
use state::{Open, Sink, State};
use std::io;
use std::process::ExitStatus;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use crate::fault::{Blame, Fault, FaultKind};
pub use crate::launch::{Launch, Limits};
pub use crate::supervise::{Late, Supervised};
pub(crate) use batch::{Ask, Broken};

/// Bytes of requests that may wait for the adapter to read them before `submit` blocks.
const HIGH_WATER: usize = 8 * 1024 * 1024;

/// How long the end of a process, of its standard error or of its output is waited for once the
/// others have ended.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The params of a request.
#[derive(Clone, Copy, Debug)]
pub enum Params<'a> {
    /// A JSON object.
    Value(&'a Value),
    /// The same as text, which is sent as it is (newlines become spaces).
    Raw(&'a str),
}

impl<'a> From<&'a Value> for Params<'a> {
    fn from(value: &'a Value) -> Self {
        Params::Value(value)
    }
}

/// A running adapter process. Dropping it kills the process and all it started.
pub struct Adapter {
    inner: Arc<Inner>,
    hello: OnceLock<Hello>,
}

pub(crate) struct Inner {
    name: String,
    limits: Limits,
    child: Mutex<Child>,
    state: Mutex<State>,
    /// There is something to write, or nothing more to come.
    writable: Condvar,
    /// The writer has taken what waited.
    room: Condvar,
    /// A deadline is nearer than the watch knows, or the watch may end.
    watch: Condvar,
    /// There is a fault, or the output has ended.
    changed: Condvar,
    tail: pipes::Tail,
    /// Every line that came, for `adapter check`.
    tap: Option<Mutex<Vec<Vec<u8>>>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A callback that panicked says nothing about what the lock guards.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

fn wait_until<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    until: Instant,
) -> MutexGuard<'a, T> {
    let left = until.saturating_duration_since(Instant::now());
    condvar
        .wait_timeout(guard, left)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}

impl Adapter {
    /// Starts the process and exchanges `hello`.
    ///
    /// # Errors
    /// A [`Fault`]: the program is missing, or did not say a proper `hello` in time.
    pub fn start(launch: Launch, limits: Limits) -> Result<Self, Fault> {
        let adapter = Self::open(&launch, &limits, 0, false)?;
        adapter.greet()?;
        Ok(adapter)
    }

    /// Starts the process and says nothing yet. `life` counts the restarts.
    pub(crate) fn open(
        launch: &Launch,
        limits: &Limits,
        life: u64,
        tap: bool,
    ) -> Result<Self, Fault> {
        let mut child =
            process::spawn(launch.command(), &launch.name).map_err(|e| cannot_spawn(launch, &e))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let inner = Arc::new(Inner {
            name: launch.name.clone(),
            limits: limits.clone(),
            child: Mutex::new(child),
            state: Mutex::new(State::new(crate::ids::Ids::new(launch.seed, life))),
            writable: Condvar::new(),
            room: Condvar::new(),
            watch: Condvar::new(),
            changed: Condvar::new(),
            tail: pipes::Tail::default(),
            tap: tap.then(Mutex::default),
        });
        let adapter = Self {
            inner: inner.clone(),
            hello: OnceLock::new(),
        };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(Fault::new(
                FaultKind::NotFound,
                format!("adapter {} was started without pipes", launch.name),
            ));
        };
        let log = launch.log.clone();
        let thread = |what: &str, body: Box<dyn FnOnce(&Inner) + Send>| {
            let inner = inner.clone();
            thread::Builder::new()
                .name(format!("{what} {}", launch.name))
                .spawn(move || body(&inner))
                .map(drop)
                .map_err(|e| Fault {
                    blame: Blame::Environment,
                    ..Fault::new(
                        FaultKind::NotFound,
                        format!("adapter {}: the system gives no thread: {e}", launch.name),
                    )
                })
        };
        thread("write", Box::new(|inner| pipes::write_loop(inner, stdin)))?;
        thread(
            "stderr",
            Box::new(move |inner| inner.tail.read_loop(stderr, log.as_deref())),
        )?;
        thread("watch", Box::new(Inner::watch_loop))?;
        thread("read", Box::new(|inner| pipes::read_loop(inner, stdout)))?;
        Ok(adapter)
    }

    /// Exchanges `hello`, within [`Limits::hello`].
    pub(crate) fn greet(&self) -> Result<&Hello, Fault> {
        let answer = self.call("hello", &hello_params(PROTOCOL), self.inner.limits.hello)?;
        match read_hello(&answer) {
            Ok(hello) => {
                lock(&self.inner.state).greeted = true;
                Ok(self.hello.get_or_init(|| hello))
            }
            Err((kind, what)) => Err(self.inner.break_down(kind, what, None)),
        }
    }

    /// What the adapter answered to `hello`.
    pub fn hello(&self) -> &Hello {
        static NONE: OnceLock<Hello> = OnceLock::new();
        self.hello.get().unwrap_or_else(|| {
            // Only `adapter check` opens an adapter without a greeting, and it does not ask.
            NONE.get_or_init(|| Hello {
                implementation: lnconform_protocol::Implementation {
                    name: String::new(),
                    version: String::new(),
                    language: String::new(),
                    source: String::new(),
                },
                protocol: 0,
                operations: Vec::new(),
                dialects: Vec::new(),
            })
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        lock(&self.inner.child).id()
    }

    /// Sends one request and waits for its answer. Several threads may call at once; requests
    /// are pipelined and answers may come in any order.
    ///
    /// # Errors
    /// The process's [`Fault`]. A request that is unanswered `deadline` after it was sent is one
    /// ([`FaultKind::Hung`]).
    pub fn call<'a>(
        &self,
        op: &str,
        params: impl Into<Params<'a>>,
        deadline: Duration,
    ) -> Result<Answer, Fault> {
        self.begin(op, params, deadline).wait()
    }

    /// Sends one request; the answer is waited for later. The deadline counts from now.
    pub(crate) fn begin<'a>(
        &self,
        op: &str,
        params: impl Into<Params<'a>>,
        deadline: Duration,
    ) -> Waiting {
        let (sink, waiting) = Waiting::new();
        self.inner
            .submit(None, op, params.into(), deadline, true, sink);
        waiting
    }

    /// The same with an id of the caller's choice, for `adapter check`.
    pub(crate) fn begin_as<'a>(
        &self,
        id: u64,
        op: &str,
        params: impl Into<Params<'a>>,
        deadline: Duration,
    ) -> Waiting {
        let (sink, waiting) = Waiting::new();
        self.inner
            .submit(Some(id), op, params.into(), deadline, true, sink);
        waiting
    }

    /// Sends one request; `on_done` is called once, with the answer or the process's fault, on a
    /// thread of the adapter. It must not block, and so must not submit.
    ///
    /// The deadline counts from when all earlier requests were answered, so that a long queue is
    /// no reason to call an adapter hung. Blocks while 8 MiB of requests wait to be read.
    pub fn submit<'a>(
        &self,
        op: &str,
        params: impl Into<Params<'a>>,
        deadline: Duration,
        on_done: impl FnOnce(Result<Answer, Fault>) + Send + 'static,
    ) {
        let sink = Sink::Done(Box::new(on_done));
        self.inner
            .submit(None, op, params.into(), deadline, false, sink);
    }

    /// Writes bytes as they are, for `adapter check`.
    pub(crate) fn send_raw(&self, bytes: &[u8]) {
        let mut state = lock(&self.inner.state);
        self.inner.append(&mut state, bytes);
    }

    /// Closes the adapter's standard input once all has been written. From here on the end of its
    /// output is expected.
    pub(crate) fn close_input(&self) {
        let mut state = lock(&self.inner.state);
        state.stopping = true;
        state.close_stdin = true;
        self.inner.writable.notify_all();
    }

    /// From here on the end of its output is expected.
    pub(crate) fn expect_end(&self) {
        lock(&self.inner.state).stopping = true;
    }

    /// Every line that came so far, if the adapter was opened with a tap.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        self.inner
            .tap
            .as_ref()
            .map(|tap| lock(tap).clone())
            .unwrap_or_default()
    }

    /// Asks `hello` once more and waits for the answer: whatever an adapter that answers in order
    /// wrote beside its answers has been seen by then.
    ///
    /// # Errors
    /// The fault that came to light.
    pub fn settle(&self) -> Result<(), Fault> {
        self.call("hello", &hello_params(PROTOCOL), self.inner.limits.codec)?;
        let breach = lock(&self.inner.state).breach.is_some();
        if breach {
            let limit = self.inner.limits.grace + Duration::from_secs(5);
            if let Some(fault) = self.wait_fault(limit) {
                return Err(fault);
            }
        }
        Ok(())
    }

    /// The fault, if there is one within `limit`.
    pub(crate) fn wait_fault(&self, limit: Duration) -> Option<Fault> {
        let until = Instant::now() + limit;
        let mut state = lock(&self.inner.state);
        while state.fault.is_none() && Instant::now() < until {
            state = wait_until(&self.inner.changed, state, until);
        }
        state.fault.clone()
    }

    /// Waits until the process has exited and its output has ended.
    ///
    /// # Errors
    /// [`FaultKind::Hung`] if it has not exited after `limit`, or the fault that its last lines
    /// were.
    pub(crate) fn wait_exit(&self, limit: Duration) -> Result<ExitStatus, Fault> {
        let until = Instant::now() + limit;
        let Some(status) = self.inner.wait_child(until) else {
            return Err(self.inner.break_down(
                FaultKind::Hung,
                format!(
                    "did not exit within {} after it was asked to stop",
                    seconds(limit)
                ),
                None,
            ));
        };
        // A grandchild may hold the pipes open; what it does is not waited for.
        let until = Instant::now() + LAST_WORDS;
        let mut state = lock(&self.inner.state);
        while state.fault.is_none() {
            if state.breaking {
                state = wait(&self.inner.changed, state);
            } else if !state.ended && Instant::now() < until {
                state = wait_until(&self.inner.changed, state, until);
            } else {
                break;
            }
        }
        let breach = state.breach.take();
        let fault = state.fault.clone();
        drop(state);
        match (fault, breach) {
            (Some(fault), _) => Err(fault),
            (None, Some(b)) => Err(self.inner.break_down(b.kind, b.what, b.request)),
            (None, None) => Ok(status),
        }
    }

    /// Asks the adapter to stop and waits for its end.
    ///
    /// # Errors
    /// The process's [`Fault`], also if it exits before it has answered everything, `shutdown`
    /// included, or is not gone after [`Limits::shutdown`]; it is killed then.
    pub fn shutdown(self) -> Result<ExitStatus, Fault> {
        let limit = self.inner.limits.shutdown;
        let until = Instant::now() + limit;
        self.expect_end();
        let answer = self.begin("shutdown", Params::Raw("{}"), limit);
        self.close_input();
        answer.wait()?;
        self.wait_exit(until.saturating_duration_since(Instant::now()))
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        {
            let mut state = lock(&self.inner.state);
            // Nobody is left to hear of a fault.
            state.breaking = true;
            state.closed = true;
        }
        {
            // Also where the process itself has ended: what it started may live on. This comes
            // before its input is closed, or it might end by itself in between.
            let mut child = lock(&self.inner.child);
            child.kill_group();
            let _ = child.wait();
        }
        self.inner.writable.notify_all();
        self.inner.room.notify_all();
        self.inner.watch.notify_all();
        self.inner.changed.notify_all();
    }
}

/// An answer that is still to come.
pub(crate) struct Waiting(std::sync::mpsc::Receiver<Result<Answer, Fault>>);

impl Waiting {
    fn new() -> (Sink, Self) {
        let (tx, rx) = sync_channel(1);
        let done = move |result| {
            // The caller may have given up on it.
            let _ = tx.send(result);
        };
        (Sink::Done(Box::new(done)), Self(rx))
    }

    /// Waits; the deadline was given with the request.
    pub(crate) fn wait(self) -> Result<Answer, Fault> {
        self.0.recv().unwrap_or_else(|_| {
            Err(Fault {
                blame: Blame::Harness,
                ..Fault::new(
                    FaultKind::Died,
                    "the adapter was dropped before it answered",
                )
            })
        })
    }
}

impl Inner {
    fn append(&self, state: &mut State, bytes: &[u8]) {
        if state.stdin_gone || state.fault.is_some() {
            return;
        }
        if state.out.is_empty() {
            self.writable.notify_one();
        }
        state.out.extend_from_slice(bytes);
    }

    fn submit(
        &self,
        id: Option<u64>,
        op: &str,
        params: Params<'_>,
        deadline: Duration,
        strict: bool,
        sink: Sink,
    ) {
        let mut state = lock(&self.state);
        while state.out.len() > HIGH_WATER
            && state.fault.is_none()
            && !state.stdin_gone
            && !state.closed
        {
            state = wait(&self.room, state);
        }
        if let Some(fault) = state.fault.clone() {
            drop(state);
            sink.finish(Err(fault));
            return;
        }
        let op_at = state.op(op);
        let sent = Instant::now();
        let open = Open {
            op: op_at,
            sent,
            deadline,
            strict,
            index: None,
            sink,
        };
        let id = match id {
            Some(id) => {
                state.extra.insert(id, open);
                state.open += 1;
                id
            }
            None => state.push(open),
        };
        let mut line = Vec::with_capacity(256);
        write_request(&mut line, id, op, params);
        self.append(&mut state, &line);
        self.wake_watch(&mut state, sent + deadline);
    }

    fn wake_watch(&self, state: &mut State, expiry: Instant) {
        if state.next_wake.is_none_or(|wake| expiry < wake) {
            state.next_wake = Some(expiry);
            self.watch.notify_one();
        }
    }

    /// Watches deadlines, and turns unasked answers into a fault after a moment's grace.
    fn watch_loop(&self) {
        let mut state = lock(&self.state);
        loop {
            if state.breaking || state.fault.is_some() || state.closed {
                return;
            }
            let now = Instant::now();
            if let Some(breach) = state.breach.take_if(|b| now >= b.at + self.limits.grace) {
                drop(state);
                self.break_down(breach.kind, breach.what, breach.request);
                return;
            }
            let (expired, mut next) = state.deadlines(now);
            if let Some((culprit, deadline)) = expired {
                let mut what = format!(
                    "did not answer `{}` within {}",
                    culprit.op,
                    seconds(deadline)
                );
                if state.stdin_gone {
                    what.push_str("; it has closed its standard input");
                }
                drop(state);
                self.break_down(FaultKind::Hung, what, Some(culprit));
                return;
            }
            if let Some(breach) = &state.breach {
                let at = breach.at + self.limits.grace;
                next = Some(next.map_or(at, |n| n.min(at)));
            }
            state.next_wake = next;
            state = match next {
                Some(until) => wait_until(&self.watch, state, until),
                None => wait(&self.watch, state),
            };
        }
    }

    /// Makes the first fault the process's fault: kills it, collects its last words, fails what is
    /// unanswered. Answers the fault that counts, which may be an earlier one.
    fn break_down(&self, kind: FaultKind, what: String, request: Option<Culprit>) -> Fault {
        let mut state = lock(&self.state);
        if state.breaking {
            while state.fault.is_none() && !state.closed {
                state = wait(&self.changed, state);
            }
            return state
                .fault
                .clone()
                .unwrap_or_else(|| Fault::new(kind, what));
        }
        state.breaking = true;
        let before_hello = !state.greeted;
        let request = request.or_else(|| state.oldest());
        let unanswered = state.open;
        drop(state);

        lock(&self.child).kill_group();
        let stderr_tail = self.tail.finish(LAST_WORDS);
        self.wait_child(Instant::now() + LAST_WORDS);

        let kind = match kind {
            FaultKind::Hung if before_hello => FaultKind::NoHello,
            kind => kind,
        };
        let mut message = format!("adapter {} {what}", self.name);
        if unanswered > 1 {
            message.push_str(&format!("; {unanswered} requests were unanswered"));
        }
        let fault = Fault {
            message,
            stderr_tail,
            before_hello,
            request,
            ..Fault::new(kind, String::new())
        };

        let mut state = lock(&self.state);
        state.fault = Some(fault.clone());
        state.out = Vec::new();
        let open = state.drain();
        let batch = state.batch.take();
        self.writable.notify_all();
        self.room.notify_all();
        self.watch.notify_all();
        self.changed.notify_all();
        drop(state);
        for sink in open {
            sink.finish(Err(fault.clone()));
        }
        if let Some(batch) = batch {
            batch.fail(fault.clone());
        }
        fault
    }

    /// Waits for the process's exit and reaps it.
    fn wait_child(&self, until: Instant) -> Option<ExitStatus> {
        let mut pause = Duration::from_micros(200);
        loop {
            if let Ok(Some(status)) = lock(&self.child).try_wait() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            // The standard library has no wait with a deadline.
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

fn cannot_spawn(launch: &Launch, error: &io::Error) -> Fault {
    let (name, program) = (&launch.name, launch.program.display());
    let what = match error.kind() {
        io::ErrorKind::NotFound if launch.cwd.as_ref().is_some_and(|d| !d.is_dir()) => {
            format!("adapter {name}: its working directory is missing; create it")
        }
        io::ErrorKind::NotFound if launch.program.exists() => {
            format!("adapter {name}: {program} names an interpreter that is not installed")
        }
        io::ErrorKind::NotFound => {
            format!("adapter {name}: there is no program {program}; install it, or give its path")
        }
        io::ErrorKind::PermissionDenied => {
            format!("adapter {name}: {program} is not executable; `chmod +x` it")
        }
        _ => format!("adapter {name}: {program} cannot be started: {error}"),
    };
    Fault::new(FaultKind::NotFound, what)
}

pub(crate) fn hello_params(protocol: u32) -> Value {
    let params = HelloParams {
        protocol,
        harness: concat!("lnconform ", env!("CARGO_PKG_VERSION")).into(),
    };
    serde_json::to_value(params).unwrap_or_default()
}

/// Reads the answer to `hello`; the error says in which way it is none.
pub(crate) fn read_hello(answer: &Answer) -> Result<Hello, (FaultKind, String)> {
    let result = match answer {
        Answer::Result(result) => result,
        Answer::Error(e) => {
            return Err((
                FaultKind::WrongProtocol,
                format!("refused `hello` with protocol {PROTOCOL}: {}", e.message),
            ));
        }
        Answer::Unsupported(u) => {
            return Err((
                FaultKind::BadHello,
                format!("answered `hello` with unsupported: {}", u.reason),
            ));
        }
    };
    // The version first: a later protocol may well have another `hello`.
    if let Some(protocol) = result.get("protocol").and_then(Value::as_u64)
        && protocol != u64::from(PROTOCOL)
    {
        return Err((
            FaultKind::WrongProtocol,
            format!("answered `hello` with protocol {protocol}; {PROTOCOL} was asked for"),
        ));
    }
    serde_json::from_value(result.clone()).map_err(|e| {
        (
            FaultKind::BadHello,
            format!("answered `hello` with no hello result: {e}"),
        )
    })
}

fn write_request(out: &mut Vec<u8>, id: u64, op: &str, params: Params<'_>) {
    use std::io::Write as _;
    // Writing to memory does not fail.
    let _ = write!(out, "{{\"id\":{id},\"op\":");
    let _ = serde_json::to_writer(&mut *out, op);
    out.extend_from_slice(b",\"params\":");
    match params {
        Params::Value(Value::Null) => out.extend_from_slice(b"{}"),
        Params::Value(value) => {
            let _ = serde_json::to_writer(&mut *out, value);
        }
        // A newline can stand only between tokens: inside a JSON string it is escaped.
        Params::Raw(text) => {
            out.extend(
                text.bytes()
                    .map(|b| if b == b'\n' || b == b'\r' { b' ' } else { b }),
            );
        }
    }
    out.extend_from_slice(b"}\n");
}

pub(crate) fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_one_line() {
        let mut out = Vec::new();
        write_request(&mut out, 7, "a\"b", Params::Raw("{\n\"x\": 1}"));
        assert_eq!(
            out,
            b"{\"id\":7,\"op\":\"a\\\"b\",\"params\":{ \"x\": 1}}\n"
        );
        assert!(lnconform_protocol::message::parse_request(&out).is_ok());
        out.clear();
        write_request(&mut out, 7, "op", Params::Value(&json!({"t": "a\nb"})));
        assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 1);
    }

    #[test]
    fn hello_is_read_and_each_wrong_one_named() {
        let good = json!({"implementation": {"name": "x", "version": "1"}, "protocol": 1, "operations": []});
        assert_eq!(
            read_hello(&Answer::Result(good.clone()))
                .unwrap()
                .implementation
                .name,
            "x"
        );
        let mut later = good.clone();
        later["protocol"] = json!(2);
        assert_eq!(
            read_hello(&Answer::Result(later)).unwrap_err().0,
            FaultKind::WrongProtocol
        );
        let mut short = good;
        short.as_object_mut().unwrap().remove("operations");
        assert_eq!(
            read_hello(&Answer::Result(short)).unwrap_err().0,
            FaultKind::BadHello
        );
        assert_eq!(
            read_hello(&Answer::Result(Value::Null)).unwrap_err().0,
            FaultKind::BadHello
        );
    }
}
