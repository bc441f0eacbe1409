//! A stand-in for lightningd: a program that does nothing, and a thread that answers at its socket.
//!
//! Every request is read into the request type of the published client `cln-rpc` and written out
//! again: what the type needs has to be there with its type, and a field that it does not have is
//! gone, and so refused. The answers that the stand-in gives are read into the response types in
//! the same way, so that they are of the published shape as well.

// The older of two calls are published as deprecated.
#![allow(deprecated)]

use crate::rpc::Client;
use cln_rpc::model::{requests, responses};
use lnconform_adapter_process::testing::{KEY, OTHER, Played, write_program};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::ops::Deref;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What the stand-in does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with a result, which is checked.
    Result(Value),
    /// Refuses.
    Error(i64, &'static str, Value),
    /// Writes these bytes, whatever they are, and closes.
    Raw(&'static str),
    /// Answers with a result of no published shape.
    Wrong(Value),
    /// Does not answer for as long as it runs.
    Hold,
    /// The process ends instead of answering.
    Die,
}

/// Everything that a test sees of the stand-in.
pub(crate) struct StandIn {
    dir: tempfile::TempDir,
    played: Arc<Played<Value, Reply>>,
    stop: Arc<AtomicBool>,
}

impl Deref for StandIn {
    type Target = Played<Value, Reply>;

    fn deref(&self) -> &Self::Target {
        &self.played
    }
}

impl StandIn {
    /// A stand-in that answers as a node with one channel does.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stand_in = Self {
            played: Arc::default(),
            stop: Arc::default(),
            dir,
        };
        // It says its version, and runs until somebody makes the file `end`.
        let program = "#!/bin/sh\n\
             case \"$1\" in --version) echo v25.09; exit 0;; --lightning-dir=*) dir=${1#*=};; esac\n\
             echo started with \"$@\"\n\
             while [ ! -e \"$dir/end\" ]; do sleep 0.01; done\n\
             rm \"$dir/end\"; echo gone\n";
        write_program(&stand_in.program(), program);
        std::fs::create_dir_all(stand_in.network()).unwrap();
        let listener = UnixListener::bind(stand_in.network().join("lightning-rpc")).unwrap();
        let (played, stop) = (stand_in.played.clone(), stand_in.stop.clone());
        let end = stand_in.data_dir().join("end");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (played, stop, end) = (played.clone(), stop.clone(), end.clone());
                thread::spawn(move || serve(stream, &played, &stop, &end));
            }
        });
        stand_in
    }

    /// The program.
    pub(crate) fn program(&self) -> PathBuf {
        self.dir.path().join("lightningd")
    }

    /// The data directory for which it answers.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn network(&self) -> PathBuf {
        self.data_dir().join("regtest")
    }

    /// A client at its socket.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.network())
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.judge();
    }
}

fn serve(mut stream: UnixStream, played: &Played<Value, Reply>, stop: &AtomicBool, end: &Path) {
    let Some(request) = read_request(&mut stream) else {
        return;
    };
    let method = request["method"].as_str().unwrap_or_default().to_owned();
    let params = request["params"].clone();
    let scripted = played.hear(&method, &params);
    if request["jsonrpc"] != "2.0" || !request["id"].is_string() {
        played.is_wrong(format!("{request}: no JSON-RPC 2.0"));
    }
    let reply = scripted.unwrap_or_else(|| usual(&method, &params));
    if let Err(why) = request_fits(&method, &params) {
        played.is_wrong(format!("request {method} {params}: {why}"));
    }
    let (name, value) = match reply {
        Reply::Result(result) => {
            if let Err(why) = response_fits(&method, &result) {
                played.is_wrong(format!("answer {method} {result}: {why}"));
            }
            ("result", result)
        }
        Reply::Wrong(result) => ("result", result),
        Reply::Error(code, message, data) => (
            "error",
            json!({"code": code, "message": message, "data": data}),
        ),
        Reply::Raw(bytes) => {
            let _ = stream.write_all(bytes.as_bytes());
            return;
        }
        Reply::Hold => {
            while !stop.load(Ordering::Relaxed) && !end.exists() {
                thread::sleep(Duration::from_millis(5));
            }
            return;
        }
        Reply::Die => {
            std::fs::write(end, "").unwrap();
            return;
        }
    };
    if method == "stop" && name == "result" {
        std::fs::write(end, "").unwrap();
    }
    let answer = json!({"jsonrpc": "2.0", "id": request["id"], name: value});
    // Nobody may wait for it any more.
    let _ = stream.write_all(format!("{answer}\n\n").as_bytes());
}

fn read_request(stream: &mut UnixStream) -> Option<Value> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        if let Ok(request) = serde_json::from_slice(&bytes) {
            return Some(request);
        }
    }
}

/// Whether a value is of a type, and has nothing that the type has not.
fn fits<T: Serialize + DeserializeOwned>(value: &Value) -> Result<(), String> {
    let typed: T = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
    let back = serde_json::to_value(&typed).map_err(|e| e.to_string())?;
    within("", value, &back)
}

fn within(place: &str, value: &Value, back: &Value) -> Result<(), String> {
    match (value, back) {
        (Value::Object(fields), Value::Object(known)) => {
            fields
                .iter()
                .try_for_each(|(name, field)| match known.get(name) {
                    Some(known) => within(&format!("{place}.{name}"), field, known),
                    // An empty list is as good as none.
                    None if field == &json!([]) => Ok(()),
                    None => Err(format!("{place}.{name} is unknown")),
                })
        }
        (Value::Array(items), Value::Array(known)) => items
            .iter()
            .zip(known)
            .try_for_each(|(item, known)| within(&format!("{place}[]"), item, known)),
        _ => Ok(()),
    }
}

macro_rules! published {
    ($($method:literal $request:ident $response:ident,)*) => {
        /// The request as the published client has it.
        pub(crate) fn request_fits(method: &str, params: &Value) -> Result<(), String> {
            match method {
                $($method => fits::<requests::$request>(params),)*
                _ => Err("there is no such call".into()),
            }
        }

        /// The answer as the published client has it.
        pub(crate) fn response_fits(method: &str, result: &Value) -> Result<(), String> {
            match method {
                $($method => fits::<responses::$response>(result),)*
                _ => Err("there is no such call".into()),
            }
        }
    };
}

published! {
    "getinfo" GetinfoRequest GetinfoResponse,
    "stop" StopRequest StopResponse,
    "newaddr" NewaddrRequest NewaddrResponse,
    "listfunds" ListfundsRequest ListfundsResponse,
    "connect" ConnectRequest ConnectResponse,
    "disconnect" DisconnectRequest DisconnectResponse,
    "listpeers" ListpeersRequest ListpeersResponse,
    "fundchannel" FundchannelRequest FundchannelResponse,
    "listpeerchannels" ListpeerchannelsRequest ListpeerchannelsResponse,
    "listchannels" ListchannelsRequest ListchannelsResponse,
    "listnodes" ListnodesRequest ListnodesResponse,
    "invoice" InvoiceRequest InvoiceResponse,
    "listinvoices" ListinvoicesRequest ListinvoicesResponse,
    "pay" PayRequest PayResponse,
    "xpay" XpayRequest XpayResponse,
    "keysend" KeysendRequest KeysendResponse,
    "xkeysend" XkeysendRequest XkeysendResponse,
    "listsendpays" ListsendpaysRequest ListsendpaysResponse,
    "waitsendpay" WaitsendpayRequest WaitsendpayResponse,
    "offer" OfferRequest OfferResponse,
    "fetchinvoice" FetchinvoiceRequest FetchinvoiceResponse,
    "decode" DecodeRequest DecodeResponse,
    "waitanyinvoice" WaitanyinvoiceRequest WaitanyinvoiceResponse,
    "wait" WaitRequest WaitResponse,
    "listforwards" ListforwardsRequest ListforwardsResponse,
    "signmessage" SignmessageRequest SignmessageResponse,
    "checkmessage" CheckmessageRequest CheckmessageResponse,
}

pub(crate) fn hash() -> String {
    // SHA-256 of 32 bytes 07.
    use sha2::{Digest, Sha256};
    lnconform_protocol::params::hex(Sha256::digest([7; 32]))
}

pub(crate) fn preimage() -> String {
    "07".repeat(32)
}

/// A payment that was made, as `pay` and `keysend` answer it.
pub(crate) fn paid() -> Value {
    json!({
        "amount_msat": 100_000, "amount_sent_msat": 100_101, "created_at": 1_700_000_000.5,
        "parts": 1, "payment_hash": hash(), "payment_preimage": preimage(), "status": "complete",
        "destination": OTHER})
}

/// An attempt, as `listsendpays` has it.
pub(crate) fn attempt(label: &Value, status: &str) -> Value {
    let mut attempt = json!({
        "id": 1, "created_index": 1, "groupid": 1, "partid": 2, "payment_hash": hash(),
        "status": status, "amount_sent_msat": 100_101, "amount_msat": 100_000,
        "created_at": 1_700_000_000, "label": label});
    if status == "complete" {
        attempt["payment_preimage"] = preimage().into();
    }
    attempt
}

/// An invoice that was paid, as `waitanyinvoice` and `listinvoices` have it.
pub(crate) fn paid_invoice(index: u64) -> Value {
    json!({
        "label": "x", "status": "paid", "created_index": 1, "expires_at": 1_700_003_600,
        "payment_hash": hash(), "pay_index": index, "amount_msat": 100_000,
        "amount_received_msat": 100_000, "paid_at": 1_700_000_000, "payment_preimage": preimage()})
}

fn usual(method: &str, params: &Value) -> Reply {
    let half = |direction: u64, from: &str, to: &str| {
        json!({
            "source": from, "destination": to, "short_channel_id": "103x1x0",
            "direction": direction, "public": true, "active": true, "amount_msat": 10_000_000_000_u64,
            "message_flags": 1, "channel_flags": direction, "last_update": 1_700_000_000,
            "base_fee_millisatoshi": 1, "fee_per_millionth": 10, "delay": 6, "features": "",
            "htlc_minimum_msat": 0, "htlc_maximum_msat": 9_900_000_000_u64})
    };
    let update = json!({
        "htlc_minimum_msat": 0, "htlc_maximum_msat": 9_900_000_000_u64, "cltv_expiry_delta": 6,
        "fee_base_msat": 1, "fee_proportional_millionths": 10});
    Reply::Result(match method {
        "getinfo" => json!({
            "id": KEY, "alias": "a", "color": "02bf81", "num_peers": 1, "num_pending_channels": 0,
            "num_active_channels": 1, "num_inactive_channels": 0, "version": "v25.09",
            "lightning-dir": "/x", "blockheight": 110, "network": "regtest",
            "fees_collected_msat": 0, "address": [],
            "our_features": {"init": "08", "node": "0880", "channel": "", "invoice": "02"}}),
        "stop" => json!({"result": "Shutdown complete"}),
        "newaddr" => json!({"bech32": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"}),
        "listfunds" => json!({
            "outputs": [
                {"txid": "01".repeat(32), "output": 0, "amount_msat": 20_000_000_000_u64,
                    "scriptpubkey": "00", "status": "confirmed", "blockheight": 102, "reserved": false},
                {"txid": "02".repeat(32), "output": 0, "amount_msat": 5_000_000,
                    "scriptpubkey": "00", "status": "unconfirmed", "reserved": false},
                {"txid": "03".repeat(32), "output": 0, "amount_msat": 7_000_000,
                    "scriptpubkey": "00", "status": "confirmed", "blockheight": 102, "reserved": true},
            ],
            "channels": [
                {"peer_id": OTHER, "our_amount_msat": 5_000_000_000_u64,
                    "amount_msat": 10_000_000_000_u64, "funding_txid": "04".repeat(32),
                    "funding_output": 1, "connected": true, "state": "CHANNELD_NORMAL",
                    "channel_id": "05".repeat(32), "short_channel_id": "103x1x0"}]}),
        "connect" => json!({
            "id": params["id"], "features": "08", "direction": "out",
            "address": {"type": "ipv4", "address": "127.0.0.1", "port": 9735}}),
        "disconnect" => json!({}),
        "listpeers" => json!({"peers": [
            {"id": OTHER, "connected": true, "num_channels": 1, "netaddr": ["127.0.0.1:9735"],
                "features": "08"}]}),
        "fundchannel" => json!({
            "tx": "00", "txid": "04".repeat(32), "outnum": 1, "channel_id": "05".repeat(32),
            "channel_type": {"bits": [12], "names": ["static_remotekey/even"]}}),
        "listpeerchannels" => json!({"channels": [{
            "peer_id": OTHER, "peer_connected": true, "reestablished": true, "opener": "local",
            "state": "CHANNELD_NORMAL", "features": [], "private": false,
            "short_channel_id": "103x1x0", "channel_id": "05".repeat(32),
            "funding_txid": "04".repeat(32), "funding_outnum": 1,
            "to_us_msat": 5_000_000_000_u64, "total_msat": 10_000_000_000_u64,
            "our_reserve_msat": 100_000_000, "their_reserve_msat": 100_000_000,
            "updates": {"local": update, "remote": update}, "htlcs": []}]}),
        "listchannels" => json!({"channels": [half(1, OTHER, KEY), half(0, KEY, OTHER)]}),
        "listnodes" => json!({"nodes": [
            {"nodeid": OTHER},
            {"nodeid": KEY, "alias": "a", "color": "02bf81", "last_timestamp": 1_700_000_000,
                "features": "80", "addresses": [
                    {"type": "ipv4", "address": "127.0.0.1", "port": 9735}]}]}),
        "invoice" => json!({
            "bolt11": "lnbcrt1x", "payment_hash": hash(), "payment_secret": "08".repeat(32),
            "expires_at": 1_700_003_600, "created_index": 1}),
        "listinvoices" => json!({"invoices": [paid_invoice(1)]}),
        "pay" | "keysend" => paid(),
        "xpay" | "xkeysend" => json!({
            "payment_preimage": preimage(), "failed_parts": 0, "successful_parts": 1,
            "amount_msat": 100_000, "amount_sent_msat": 100_101}),
        "listsendpays" => json!({"payments": []}),
        "offer" => json!({
            "offer_id": "09".repeat(32), "active": true, "single_use": false, "used": false,
            "created": true, "bolt12": "lno1qgqsw"}),
        "fetchinvoice" => json!({"invoice": "lni1qgqsw", "changes": {}}),
        "signmessage" => json!({"signature": "00", "recid": "00", "zbase": "d9sig"}),
        "checkmessage" => json!({"verified": true, "pubkey": KEY}),
        // What waits has nothing to tell.
        "waitanyinvoice" | "wait" => return Reply::Hold,
        _ => return Reply::Error(-32601, "Unknown command", Value::Null),
    })
}
