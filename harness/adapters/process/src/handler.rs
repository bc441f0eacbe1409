//! The handler: no node until `node.start`, and again none after `node.stop`.

use crate::{Config, lock};
use lnconform_protocol::concurrent::ConcurrentHandler;
use lnconform_protocol::events::{Events, Query};
use lnconform_protocol::outcome::{Fail, Outcome, answer};
use lnconform_protocol::params::Params;
use lnconform_protocol::{Answer, Hello, OpError};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// How an operation gets at the running node: asked once its params have been read, so that wrong
/// params are told before a missing node is.
pub type Access<'a, R> = &'a dyn Fn() -> Result<Arc<R>, Fail>;

/// What is different from one implementation to the next.
pub trait Backend: Sync {
    /// A started node.
    type Running: Send + Sync;

    /// Who it is, with the operations that [`NodeAdapter`] answers by itself: `node.start`,
    /// `node.stop`, `event.next` and `event.list`.
    fn hello(&self) -> Hello;

    /// The options of `node.start` that it knows.
    fn options(&self) -> &'static [&'static str];

    /// Whether the operation waits for the world.
    fn waits(&self, op: &str) -> bool;

    /// Starts a node and answers it with the result of `node.start`.
    ///
    /// # Errors
    /// Why there is none.
    fn start(
        &self,
        config: &Config,
        events: &Arc<Events>,
    ) -> Result<(Arc<Self::Running>, Value), Fail>;

    /// Ends it; with `kill` as SIGKILL does.
    ///
    /// # Errors
    /// `internal` when it had to be killed though that was not asked for.
    fn end(&self, running: &Self::Running, kill: bool) -> Result<(), OpError>;

    /// Answers any other operation.
    ///
    /// # Errors
    /// As the protocol has them.
    fn call(&self, op: &str, params: Params<'_>, node: Access<'_, Self::Running>) -> Outcome;
}

/// An adapter with at most one running node.
#[derive(Debug)]
pub struct NodeAdapter<B: Backend> {
    backend: B,
    running: Mutex<Option<Arc<B::Running>>>,
    events: Arc<Events>,
}

impl<B: Backend> NodeAdapter<B> {
    /// An adapter without a node.
    pub fn new(backend: B) -> Self {
        Self {
            backend,
            running: Mutex::new(None),
            events: Arc::default(),
        }
    }

    /// What is behind it.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    fn node(&self) -> Result<Arc<B::Running>, Fail> {
        lock(&self.running)
            .clone()
            .ok_or_else(|| OpError::rejected("no node is running; node.start comes first").into())
    }

    fn start(&self, params: Params<'_>) -> Outcome {
        let name = self.backend.hello().implementation.name;
        let config = Config::read(params, &name, self.backend.options())?;
        let mut slot = lock(&self.running);
        if slot.is_some() {
            return Err(OpError::rejected("the node is running; node.stop comes first").into());
        }
        let (running, started) = self.backend.start(&config, &self.events)?;
        *slot = Some(running);
        Ok(started)
    }

    fn stop(&self, params: Params<'_>) -> Outcome {
        let kill = match params.maybe("how", Params::str)? {
            None | Some("clean") => false,
            Some("kill") => true,
            Some(how) => {
                return Err(
                    OpError::invalid(format!("param how is {how}, not clean or kill")).into(),
                );
            }
        };
        let running = self.node()?;
        lock(&self.running).take();
        let outcome = self.backend.end(&running, kill);
        self.events.node_stopped();
        outcome?;
        Ok(json!({}))
    }
}

impl<B: Backend> ConcurrentHandler for NodeAdapter<B> {
    fn hello(&self) -> Hello {
        self.backend.hello()
    }

    fn waits(&self, op: &str, _: &Value) -> bool {
        op == "event.next" || self.backend.waits(op)
    }

    fn call(&self, op: &str, params: &Value) -> Answer {
        let params = Params::new(params);
        answer(match op {
            "node.start" => self.start(params),
            "node.stop" => self.stop(params),
            "event.next" | "event.list" => Query::read(params)
                .map_err(Fail::from)
                .and_then(|_| self.node())
                .and_then(|_| match op {
                    "event.next" => self.events.next(params),
                    _ => self.events.list(params),
                }),
            _ => self.backend.call(op, params, &|| self.node()),
        })
    }

    fn closing(&self) {
        self.events.close();
    }

    fn shutdown(&self) {
        if let Some(running) = lock(&self.running).take()
            && let Err(e) = self.backend.end(&running, false)
        {
            eprintln!("adapter: {}", e.message);
        }
    }
}
