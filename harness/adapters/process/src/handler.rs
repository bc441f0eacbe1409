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

    /// Operations that something else than a node answers; it is asked before the node is.
    fn elsewhere(&self, op: &str, params: &Value) -> Option<Answer> {
        let _ = (op, params);
        None
    }

    /// Nothing more will be asked: what waits inside this node must end soon. Events are ended
    /// already.
    fn closing(&self, running: &Self::Running) {
        let _ = running;
    }

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
        if let Some(answer) = self.backend.elsewhere(op, params) {
            return answer;
        }
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
        if let Ok(running) = self.node() {
            self.backend.closing(&running);
        }
    }

    fn shutdown(&self) {
        if let Some(running) = lock(&self.running).take()
            && let Err(e) = self.backend.end(&running, false)
        {
            eprintln!("adapter: {}", e.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{error, result};
    use lnconform_protocol::{ErrorKind, Implementation, PROTOCOL};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Starts whatever it is asked to, and counts the ends.
    #[derive(Debug, Default)]
    struct Fake {
        ends: AtomicUsize,
        closings: AtomicUsize,
    }

    impl Backend for Fake {
        type Running = bool;

        fn hello(&self) -> Hello {
            Hello {
                implementation: Implementation {
                    name: "fake".into(),
                    version: "1".into(),
                    language: String::new(),
                    source: String::new(),
                },
                protocol: PROTOCOL,
                operations: Vec::new(),
                dialects: Vec::new(),
            }
        }

        fn options(&self) -> &'static [&'static str] {
            &["announce"]
        }

        fn waits(&self, op: &str) -> bool {
            op == "payment.wait"
        }

        fn start(&self, _: &Config, events: &Arc<Events>) -> Result<(Arc<bool>, Value), Fail> {
            events.push("started", None, (), json!({}));
            Ok((Arc::new(true), json!({"node_id": "02"})))
        }

        fn end(&self, _: &bool, kill: bool) -> Result<(), OpError> {
            self.ends.fetch_add(1, Ordering::Relaxed);
            match kill {
                true => Ok(()),
                false => Err(OpError::internal("it was killed")),
            }
        }

        fn elsewhere(&self, op: &str, params: &Value) -> Option<Answer> {
            (op == "codec").then(|| Answer::Result(params.clone()))
        }

        fn closing(&self, _: &bool) {
            self.closings.fetch_add(1, Ordering::Relaxed);
        }

        fn call(&self, op: &str, params: Params<'_>, node: Access<'_, bool>) -> Outcome {
            params.str("needed")?;
            Ok(json!({"op": op, "running": *node()?}))
        }
    }

    fn start() -> Value {
        json!({"network": "regtest", "data_dir": "/d", "chain": {"bitcoind": {
            "rpc_host": "127.0.0.1", "rpc_port": 1, "user": "u", "password": "p"}}})
    }

    #[test]
    fn there_is_no_node_before_a_start_and_after_a_stop() {
        let adapter = NodeAdapter::new(Fake::default());
        for op in ["node.stop", "event.next", "event.list"] {
            let e = error(&adapter, op, json!({}));
            assert_eq!(e.kind, ErrorKind::Rejected);
            assert!(e.message.contains("node.start"), "{op}: {e:?}");
        }
        assert_eq!(
            result(&adapter, "node.start", start()),
            json!({"node_id": "02"})
        );
        let e = error(&adapter, "node.start", start());
        assert!(e.message.contains("node.stop comes first"), "{e:?}");
        assert_eq!(
            result(&adapter, "x", json!({"needed": "y"})),
            json!({"op": "x", "running": true})
        );
        let told = result(&adapter, "event.next", json!({"kinds": ["started"]}));
        assert_eq!(told["seq"], 1);
        // A stop that fails is told, and the node is gone all the same.
        assert_eq!(
            error(&adapter, "node.stop", json!({})).message,
            "it was killed"
        );
        let e = error(&adapter, "x", json!({"needed": "y"}));
        assert!(e.message.contains("node.start"), "{e:?}");
        result(&adapter, "node.start", start());
        result(&adapter, "node.stop", json!({"how": "kill"}));
        assert_eq!(adapter.backend().ends.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn params_are_judged_before_there_is_a_node() {
        let adapter = NodeAdapter::new(Fake::default());
        for (op, params, named) in [
            ("node.stop", json!({"how": "gently"}), "how"),
            ("event.next", json!({"kinds": [1]}), "kinds"),
            ("event.list", json!({"kinds": [1]}), "kinds"),
            ("x", json!({}), "needed"),
        ] {
            let e = error(&adapter, op, params);
            assert_eq!(e.kind, ErrorKind::Invalid);
            assert!(e.message.contains(named), "{op}: {e:?}");
        }
        assert!(adapter.waits("event.next", &Value::Null));
        assert!(adapter.waits("payment.wait", &Value::Null));
        assert!(!adapter.waits("node.start", &Value::Null));
    }

    #[test]
    fn what_something_else_answers_needs_no_node() {
        let adapter = NodeAdapter::new(Fake::default());
        assert_eq!(result(&adapter, "codec", json!({"a": 1})), json!({"a": 1}));
    }

    #[test]
    fn the_end_of_the_adapter_is_told_to_the_node_and_ends_it_once() {
        let adapter = NodeAdapter::new(Fake::default());
        adapter.closing();
        adapter.shutdown();
        let fake = adapter.backend();
        assert_eq!(fake.closings.load(Ordering::Relaxed), 0);
        assert_eq!(fake.ends.load(Ordering::Relaxed), 0);
        let adapter = NodeAdapter::new(Fake::default());
        result(&adapter, "node.start", start());
        adapter.closing();
        let e = error(&adapter, "event.next", json!({"kinds": ["never"]}));
        assert!(e.message.contains("shut down"), "{e:?}");
        adapter.shutdown();
        adapter.shutdown();
        let fake = adapter.backend();
        assert_eq!(fake.closings.load(Ordering::Relaxed), 1);
        assert_eq!(fake.ends.load(Ordering::Relaxed), 1);
    }
}
