//! Interception of forwards: LND asks over a websocket what to do with each, and waits.
//!
//! Closing the websocket lets every waiting HTLC go on.

use crate::codes;
use crate::http::{Client, Registered, Tls};
use crate::node::Running;
use crate::read;
use crate::watch::peer_of;
use lnconform_adapter_process::http::is_timeout;
use lnconform_adapter_process::{lock, spawn};
use lnconform_protocol::events::Events;
use lnconform_protocol::params::{Params, ResultObject, hex};
use lnconform_protocol::{ErrorKind, OpError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tungstenite::{ClientRequestBuilder, Message, WebSocket};

/// How long the connection is listened to before orders are looked at.
const LISTEN: Duration = Duration::from_millis(5);
/// Until LND has taken the interceptor.
const CONNECT: Duration = Duration::from_secs(10);
/// What LND writes into its log when it has; no call tells it.
const CONNECTED: &str = "Interceptor connected";

/// What to do with an HTLC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Forward it.
    Continue,
    /// Fail it, with a name of LND's for the reason.
    Fail(Option<&'static str>),
    /// Settle it with this preimage.
    Settle([u8; 32]),
}

impl Action {
    /// Reads `action`, `preimage` and `code`.
    pub(crate) fn read(params: Params<'_>) -> Result<Self, OpError> {
        match params.str("action")? {
            "continue" => Ok(Action::Continue),
            "settle" => Ok(Action::Settle(params.array::<32>("preimage")?)),
            "fail" => {
                let code = params.maybe("code", Params::u32)?;
                let name = code
                    .map(|n| {
                        u16::try_from(n).ok().and_then(codes::name).ok_or_else(|| {
                            OpError::invalid(format!("param code is {n}, no failure of BOLT 4"))
                        })
                    })
                    .transpose()?;
                Ok(Action::Fail(name))
            }
            other => Err(OpError::invalid(format!(
                "param action is {other}, not continue, fail or settle"
            ))),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Action::Continue => "continue",
            Action::Fail(_) => "fail",
            Action::Settle(_) => "settle",
        }
    }

    fn order(&self, circuit: &Value) -> Value {
        let object = ResultObject::new().with("incoming_circuit_key", circuit.clone());
        match self {
            Action::Continue => object.with("action", "RESUME"),
            Action::Fail(name) => object.with("action", "FAIL").maybe("failure_code", *name),
            Action::Settle(preimage) => object
                .with("action", "SETTLE")
                .with("preimage", read::base64(preimage)),
        }
        .done()
    }
}

/// What an LSP does by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    by_hash: Vec<(String, Action)>,
    continue_others: bool,
}

impl Rules {
    /// Reads `rules` and `otherwise`.
    pub(crate) fn read(params: Params<'_>) -> Result<Self, OpError> {
        let by_hash = params
            .maybe("rules", Params::list)?
            .unwrap_or_default()
            .iter()
            .map(|rule| {
                let rule = Params::new(rule);
                Ok((hex(rule.array::<32>("payment_hash")?), Action::read(rule)?))
            })
            .collect::<Result<_, OpError>>()?;
        let continue_others = match params.maybe("otherwise", Params::str)? {
            None | Some("wait") => false,
            Some("continue") => true,
            Some(other) => {
                return Err(OpError::invalid(format!(
                    "param otherwise is {other}, not continue or wait"
                )));
            }
        };
        Ok(Self {
            by_hash,
            continue_others,
        })
    }

    fn action(&self, hash: &str) -> Option<Action> {
        let own = self.by_hash.iter().find(|(h, _)| h == hash);
        own.map(|(_, action)| action.clone())
            .or(self.continue_others.then_some(Action::Continue))
    }
}

/// An HTLC that waits.
#[derive(Clone, Debug)]
struct Waiting {
    handle: String,
    circuit: Value,
    hash: String,
}

#[derive(Debug, Default)]
struct State {
    rules: Rules,
    waiting: Vec<Waiting>,
    /// How many of those that came have been given out by `htlc.next`.
    given: usize,
    arrived: Vec<Value>,
    ended: Option<String>,
}

/// A connected interceptor. Dropping it disconnects, and every waiting HTLC goes on.
#[derive(Debug)]
pub(crate) struct Interceptor {
    state: Arc<(Mutex<State>, Condvar)>,
    orders: Sender<Value>,
}

impl Interceptor {
    /// Connects, and waits until LND has taken it.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn start(running: &Running, rules: Rules) -> Result<Self, OpError> {
        let client = running.client.clone();
        let before = running.node.mark();
        let deadline = Instant::now() + CONNECT;
        let (socket, guard) = connect(&client, deadline)?;
        let (orders, todo) = mpsc::channel();
        let state = Arc::new((
            Mutex::new(State {
                rules,
                ..State::default()
            }),
            Condvar::new(),
        ));
        let worker = Worker {
            socket,
            _guard: guard,
            client,
            events: running.events.clone(),
            state: state.clone(),
            todo,
        };
        spawn("intercept", move || worker.run())?;
        while !running.node.logged_since(before, CONNECTED) {
            if Instant::now() >= deadline {
                return Err(OpError::timeout("lnd has not taken the interceptor"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(Self { state, orders })
    }

    /// New rules, for those that come and those that wait.
    pub(crate) fn set(&self, rules: Rules) {
        let mut state = lock(&self.state.0);
        state.rules = rules;
        let waiting = std::mem::take(&mut state.waiting);
        for htlc in waiting {
            match state.rules.action(&htlc.hash) {
                // An interceptor that has ended has let everything go.
                Some(action) => drop(self.orders.send(action.order(&htlc.circuit))),
                None => state.waiting.push(htlc),
            }
        }
    }

    /// The next HTLC that waits or has waited, in the order of arrival, each once.
    ///
    /// # Errors
    /// `timeout` when none comes.
    pub(crate) fn next(&self, deadline: Instant) -> Result<Value, OpError> {
        let mut state = lock(&self.state.0);
        loop {
            if let Some(htlc) = state.arrived.get(state.given).cloned() {
                state.given += 1;
                return Ok(htlc);
            }
            if let Some(why) = &state.ended {
                return Err(OpError::rejected(format!(
                    "nothing is intercepted any more: {why}"
                )));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(OpError::timeout(format!(
                    "no further HTLC was intercepted by the deadline; {} were",
                    state.given
                )));
            }
            state = self
                .state
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Resolves an HTLC that waits.
    ///
    /// # Errors
    /// `rejected` when none with this handle waits.
    pub(crate) fn resolve(&self, handle: &str, action: &Action) -> Result<(), OpError> {
        let mut state = lock(&self.state.0);
        let Some(place) = state.waiting.iter().position(|w| w.handle == handle) else {
            return Err(OpError::rejected(format!("no HTLC {handle} waits")));
        };
        if let Action::Settle(preimage) = action {
            let hash = hex(Sha256::digest(preimage));
            if hash != state.waiting[place].hash {
                return Err(OpError::rejected(format!(
                    "param preimage is not the one of HTLC {handle}"
                )));
            }
        }
        let htlc = state.waiting.remove(place);
        self.orders
            .send(action.order(&htlc.circuit))
            .map_err(|_| OpError::rejected("nothing is intercepted any more"))
    }

    /// Those who wait answer now.
    pub(crate) fn close(&self) {
        lock(&self.state.0)
            .ended
            .get_or_insert_with(|| "the adapter is shut down".into());
        self.state.1.notify_all();
    }
}

fn connect(client: &Client, deadline: Instant) -> Result<(WebSocket<Tls>, Registered), OpError> {
    let failed = |e: &dyn std::fmt::Display| {
        OpError::internal(format!("lnd's websocket for interception: {e}"))
    };
    let (tls, guard) = client.connect(deadline).map_err(|e| failed(&e))?;
    tls.sock
        .set_read_timeout(Some(CONNECT))
        .map_err(|e| failed(&e))?;
    let uri = format!(
        "wss://{}/v2/router/htlcinterceptor?method=POST",
        client.host()
    );
    let uri = uri.parse().map_err(|e| failed(&e))?;
    let request =
        ClientRequestBuilder::new(uri).with_header("Grpc-Metadata-Macaroon", client.macaroon());
    let (socket, _) = tungstenite::client(request, tls).map_err(|e| failed(&e))?;
    socket
        .get_ref()
        .sock
        .set_read_timeout(Some(LISTEN))
        .map_err(|e| failed(&e))?;
    Ok((socket, guard))
}

struct Worker {
    socket: WebSocket<Tls>,
    _guard: Registered,
    client: Arc<Client>,
    events: Arc<Events>,
    state: Arc<(Mutex<State>, Condvar)>,
    todo: Receiver<Value>,
}

impl Worker {
    fn run(mut self) {
        let why = self.work();
        if why.kind == ErrorKind::Internal && !self.client.is_ending() {
            eprintln!("adapter: {}", why.message);
        }
        lock(&self.state.0).ended = Some(why.message);
        self.state.1.notify_all();
    }

    fn work(&mut self) -> OpError {
        loop {
            loop {
                match self.todo.try_recv() {
                    Ok(order) => {
                        if let Err(e) = self.socket.send(Message::text(order.to_string())) {
                            return ended(&e);
                        }
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        // It was switched off; LND sees the end of the connection either way.
                        let _ = self.socket.close(None);
                        let _ = self.socket.flush();
                        return OpError::rejected("interception is off");
                    }
                }
            }
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let Ok(message) = serde_json::from_str::<Value>(&text) else {
                        return OpError::internal("lnd's interceptor sent what is not JSON");
                    };
                    if let Some(error) = message.get("error") {
                        return OpError::internal(format!(
                            "lnd has ended the interception: {error}"
                        ));
                    }
                    if let Err(e) = self.take(&message["result"]) {
                        return ended(&e);
                    }
                }
                Ok(Message::Close(_)) => {
                    return OpError::internal("lnd has closed its interceptor");
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(e)) if is_timeout(&e) => {}
                Err(e) => return ended(&e),
            }
        }
    }

    fn take(&mut self, request: &Value) -> Result<(), tungstenite::Error> {
        let circuit = &request["incoming_circuit_key"];
        if !circuit.is_object() {
            return Ok(());
        }
        let (incoming, id) = (
            read::number(&circuit["chan_id"]),
            read::number(&circuit["htlc_id"]),
        );
        let circuit = json!({"chan_id": incoming.to_string(), "htlc_id": id.to_string()});
        let handle = format!("{}/{id}", read::scid(incoming));
        let hash = read::hex_of(&request["payment_hash"]).unwrap_or_default();
        let outgoing = read::number(&request["outgoing_requested_chan_id"]);
        let to = read::hex_of(&request["outgoing_requested_node_id"])
            .or_else(|| peer_of(&self.client, outgoing));
        let shown = ResultObject::new()
            .with("htlc", handle.as_str())
            .with("payment_hash", hash.as_str())
            .with(
                "amount_msat",
                read::number(&request["incoming_amount_msat"]).to_string(),
            )
            .with(
                "outgoing_amount_msat",
                read::number(&request["outgoing_amount_msat"]).to_string(),
            )
            .maybe("outgoing_node_id", to)
            .with("from_scid", read::scid(incoming))
            .with("to_scid", read::scid(outgoing))
            .with("incoming_expiry", read::number(&request["incoming_expiry"]))
            .with("outgoing_expiry", read::number(&request["outgoing_expiry"]))
            .with(
                "auto_fail_height",
                read::number(&request["auto_fail_height"]),
            )
            .with("records", read::records(&request["custom_records"]))
            .done();
        let action = {
            let mut state = lock(&self.state.0);
            // LND shows an HTLC again when an interceptor comes back.
            if state.waiting.iter().any(|w| w.handle == handle) {
                return Ok(());
            }
            let action = state.rules.action(&hash);
            if action.is_none() {
                state.arrived.push(shown.clone());
                state.waiting.push(Waiting {
                    handle,
                    circuit: circuit.clone(),
                    hash,
                });
            }
            action
        };
        self.state.1.notify_all();
        let mut fields = shown;
        fields["action"] = action.as_ref().map_or("wait", Action::name).into();
        self.events.push("htlc-intercepted", None, (), fields);
        match action {
            Some(action) => self
                .socket
                .send(Message::text(action.order(&circuit).to_string())),
            None => Ok(()),
        }
    }
}

fn ended(e: &tungstenite::Error) -> OpError {
    OpError::internal(format!("lnd's interceptor: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(params: Value) -> Result<Rules, OpError> {
        Rules::read(Params::new(&params))
    }

    #[test]
    fn rules_choose_by_hash_and_then_the_default() {
        let (a, b) = ("0a".repeat(32), "0b".repeat(32));
        let rule = json!({"payment_hash": a, "action": "settle", "preimage": "07".repeat(32)});
        let waiting = rules(json!({"rules": [rule]})).unwrap();
        assert_eq!(waiting.action(&a), Some(Action::Settle([7; 32])));
        assert_eq!(waiting.action(&b), None);
        let going = rules(json!({"rules": [rule], "otherwise": "continue"})).unwrap();
        assert_eq!(going.action(&a), Some(Action::Settle([7; 32])));
        assert_eq!(going.action(&b), Some(Action::Continue));
    }

    #[test]
    fn ill_formed_rules_are_named() {
        for (params, named) in [
            (json!({"otherwise": "fail"}), "otherwise"),
            (json!({"rules": [{}]}), "payment_hash"),
            (
                json!({"rules": [{"payment_hash": "0a".repeat(32), "action": "settle"}]}),
                "preimage",
            ),
            (
                json!({"rules": [{"payment_hash": "0a".repeat(32), "action": "drop"}]}),
                "action",
            ),
            (
                json!({"rules": [{"payment_hash": "0a".repeat(32), "action": "fail", "code": 4711}]}),
                "code",
            ),
        ] {
            let e = rules(params).unwrap_err();
            assert!(e.message.contains(named), "{e:?}");
        }
    }

    #[test]
    fn orders_are_written_as_lnd_reads_them() {
        let circuit = json!({"chan_id": "1", "htlc_id": "2"});
        assert_eq!(
            Action::Settle([0; 32]).order(&circuit),
            json!({"incoming_circuit_key": circuit, "action": "SETTLE",
                "preimage": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="})
        );
        assert_eq!(
            Action::Fail(codes::name(0x1007)).order(&circuit),
            json!({"incoming_circuit_key": circuit, "action": "FAIL",
                "failure_code": "TEMPORARY_CHANNEL_FAILURE"})
        );
        assert_eq!(Action::Continue.order(&circuit)["action"], "RESUME");
    }
}
