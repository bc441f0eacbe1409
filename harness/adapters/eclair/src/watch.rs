//! The thread that reads Eclair's websocket and tells events.

use crate::node::Running;
use crate::pay;
use lnconform_adapter_process::{entries, number, spawn, sum};
use lnconform_protocol::OpError;
use lnconform_protocol::params::ResultObject;
use serde_json::Value;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use tungstenite::{ClientRequestBuilder, Message, WebSocket};

/// Until the websocket is open.
const CONNECT: Duration = Duration::from_secs(10);

/// Connects to Eclair's events; what happens from then on is told.
///
/// # Errors
/// `internal` when Eclair does not let it in.
pub(crate) fn start(running: &Arc<Running>) -> Result<(), OpError> {
    let failed = |e: &dyn std::fmt::Display| {
        OpError::internal(format!("eclair's websocket cannot be opened: {e}"))
    };
    let client = running.client();
    let stream = TcpStream::connect_timeout(&client.address(), CONNECT).map_err(|e| failed(&e))?;
    stream
        .set_read_timeout(Some(CONNECT))
        .map_err(|e| failed(&e))?;
    let uri = format!("ws://{}/ws", client.address())
        .parse()
        .map_err(|e| failed(&e))?;
    let request =
        ClientRequestBuilder::new(uri).with_header("Authorization", client.authorization());
    let (socket, _) = tungstenite::client(request, stream).map_err(|e| failed(&e))?;
    socket
        .get_ref()
        .set_read_timeout(None)
        .map_err(|e| failed(&e))?;
    let running = running.clone();
    spawn("events", move || listen(&running, socket))
}

fn listen(running: &Running, mut socket: WebSocket<TcpStream>) {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => match serde_json::from_str(&text) {
                Ok(event) => tell(running, &event),
                Err(e) => eprintln!("adapter: an event of eclair's is no JSON: {e}"),
            },
            Ok(_) => {}
            Err(e) => {
                if !running.is_ending() {
                    eprintln!("adapter: nothing more is told: eclair's websocket: {e}");
                }
                return;
            }
        }
    }
}

fn amounts(parts: &Value) -> u64 {
    sum(entries(parts).iter().map(|p| number(&p["amount"])))
}

fn tell(running: &Running, event: &Value) {
    let hash = event["paymentHash"].as_str().map(str::to_owned);
    match event["type"].as_str() {
        Some("payment-received") => {
            let parts: Value = entries(&event["parts"])
                .iter()
                .map(|p| {
                    ResultObject::new()
                        .with("amount_msat", number(&p["amount"]).to_string())
                        .done()
                })
                .collect();
            let amount = match &event["amount"] {
                Value::Number(amount) => amount.as_u64().unwrap_or(0),
                _ => amounts(&event["parts"]),
            };
            let fields = ResultObject::new()
                .maybe("payment", hash.as_deref())
                .maybe("payment_hash", hash.as_deref())
                .with("amount_msat", amount.to_string())
                .with("parts", parts)
                .done();
            running.events.push("payment-received", hash, (), fields);
        }
        Some(kind @ ("payment-relayed" | "trampoline-payment-relayed")) => {
            let (received, sent) = match kind {
                "payment-relayed" => (number(&event["amountIn"]), number(&event["amountOut"])),
                _ => (amounts(&event["incoming"]), amounts(&event["outgoing"])),
            };
            let fields = ResultObject::new()
                .maybe("payment_hash", hash)
                .with("amount_msat", sent.to_string())
                .with("incoming_msat", received.to_string())
                .with("fee_msat", received.saturating_sub(sent).to_string())
                .done();
            running.events.push("payment-forwarded", None, (), fields);
        }
        Some("payment-sent") => pay::sent(running, event),
        Some("payment-failed") => pay::failed(running, event),
        _ => {}
    }
}
