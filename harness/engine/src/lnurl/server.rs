//! The service of LUD-06, well behaved or wrong in a named way.

use super::{MAX_BODY, http, metadata};
use lnconform_protocol::OpError;
use lnconform_protocol::params::Params;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use url::form_urlencoded;

/// Longest that one connection may keep the service from the next.
const PATIENCE: Duration = Duration::from_secs(2);
/// Paths of the two requests of LUD-06.
const PAY: &str = "/pay";
const CALLBACK: &str = "/pay/invoice";

/// A way in which the service is wrong, so that the payer's checks can be seen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Says that there is an error.
    Error,
    /// Says that there is an error when asked for the invoice.
    CallbackError,
    /// Sends the payer elsewhere.
    Redirect,
    /// Answers no JSON.
    NotJson,
    /// Answers more than the payer reads.
    Long,
    /// Ends its answer early.
    Cut,
    /// Never answers.
    Silence,
    /// Offers a withdrawal.
    Tag,
    /// Offers a range whose end lies before its beginning.
    Range,
    /// Names a callback that is not on the loopback interface.
    Callback,
    /// Shows metadata without a description.
    MetadataForm,
    /// Shows metadata that the invoice does not commit to.
    Metadata,
    /// Leaves out the invoice.
    NoInvoice,
    /// Gives routes, which only an earlier revision had.
    Routes,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 14] = [
        Fault::Error,
        Fault::CallbackError,
        Fault::Redirect,
        Fault::NotJson,
        Fault::Long,
        Fault::Cut,
        Fault::Silence,
        Fault::Tag,
        Fault::Range,
        Fault::Callback,
        Fault::MetadataForm,
        Fault::Metadata,
        Fault::NoInvoice,
        Fault::Routes,
    ];

    /// Its name, as param `fault` has it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Error => "error",
            Fault::CallbackError => "callback-error",
            Fault::Redirect => "redirect",
            Fault::NotJson => "not-json",
            Fault::Long => "long",
            Fault::Cut => "cut",
            Fault::Silence => "silence",
            Fault::Tag => "tag",
            Fault::Range => "range",
            Fault::Callback => "callback",
            Fault::MetadataForm => "metadata-form",
            Fault::Metadata => "metadata",
            Fault::NoInvoice => "no-invoice",
            Fault::Routes => "routes",
        }
    }
}

/// What a service offers.
#[derive(Clone, Debug)]
pub(super) struct Shop {
    metadata: String,
    /// Amount in msat and invoice.
    invoices: Vec<(u64, String)>,
    /// The invoice for every other amount.
    any: Option<String>,
    min_msat: u64,
    max_msat: u64,
    fault: Option<Fault>,
}

impl Shop {
    /// Reads the params of `lnurl.serve`.
    pub(super) fn read(p: Params<'_>, metadata: String) -> Result<Self, OpError> {
        let mut invoices = Vec::new();
        for entry in p
            .maybe("invoices", |p, name| p.list(name).map(<[Value]>::to_vec))?
            .unwrap_or_default()
        {
            let entry = Params::new(&entry);
            invoices.push((entry.u64("amount_msat")?, entry.str("invoice")?.to_owned()));
        }
        let any = p.maybe("invoice", |p, name| p.str(name).map(str::to_owned))?;
        if invoices.is_empty() && any.is_none() {
            return Err(OpError::invalid("param invoices or invoice is missing"));
        }
        let amounts = || invoices.iter().map(|(amount, _)| *amount);
        // Without a word on it: what the invoices allow, or up to 10 bitcoin.
        let (min, max) = match &any {
            Some(_) => (1, 1_000_000_000_000),
            None => (amounts().min().unwrap_or(1), amounts().max().unwrap_or(1)),
        };
        let fault = p.maybe("fault", |p, name| p.str(name).map(str::to_owned))?;
        let fault = match fault {
            None => None,
            Some(name) => Some(
                Fault::ALL
                    .into_iter()
                    .find(|f| f.name() == name)
                    .ok_or_else(|| {
                        let names = Fault::ALL.map(Fault::name).join(", ");
                        OpError::invalid(format!("param fault: {name} is none of {names}"))
                    })?,
            ),
        };
        Ok(Shop {
            metadata,
            min_msat: p.maybe("min_msat", Params::u64)?.unwrap_or(min),
            max_msat: p.maybe("max_msat", Params::u64)?.unwrap_or(max),
            invoices,
            any,
            fault,
        })
    }

    /// The invoice for an amount: the same for everybody.
    fn invoice(&self, amount: u64) -> Option<&str> {
        let of_amount = self.invoices.iter().find(|(a, _)| *a == amount);
        of_amount
            .map(|(_, invoice)| invoice)
            .or(self.any.as_ref())
            .map(String::as_str)
    }

    /// LUD-06, the first answer.
    fn offer(&self, address: SocketAddr) -> Value {
        let mut offer = json!({
            "tag": "payRequest",
            "callback": format!("http://{address}{CALLBACK}"),
            "minSendable": self.min_msat,
            "maxSendable": self.max_msat,
            "metadata": self.metadata,
        });
        match self.fault {
            Some(Fault::Error) => return refusal("out of order"),
            Some(Fault::Tag) => offer["tag"] = json!("withdrawRequest"),
            Some(Fault::Range) => offer["minSendable"] = json!(self.max_msat.saturating_add(1)),
            // TEST-NET-1: nobody's address.
            Some(Fault::Callback) => offer["callback"] = json!("http://192.0.2.1/pay/invoice"),
            Some(Fault::MetadataForm) => {
                offer["metadata"] = json!("[[\"text/long-desc\",\"tea\"]]")
            }
            Some(Fault::Metadata) => offer["metadata"] = json!(metadata("another description")),
            _ => {}
        }
        offer
    }

    /// LUD-06, the second answer; true where it holds an invoice.
    fn give(&self, query: &str) -> (Value, bool) {
        let mut amounts = form_urlencoded::parse(query.as_bytes()).filter(|(k, _)| k == "amount");
        let amount: Option<u64> = match (amounts.next(), amounts.next()) {
            (Some((_, text)), None) => text.parse().ok(),
            _ => None,
        };
        let Some(amount) = amount else {
            return (refusal("amount is missing or no number"), false);
        };
        if !(self.min_msat..=self.max_msat).contains(&amount) {
            return (refusal("amount is out of range"), false);
        }
        let Some(invoice) = self.invoice(amount) else {
            return (refusal("there is no invoice for this amount"), false);
        };
        match self.fault {
            Some(Fault::CallbackError) => (refusal("sold out"), false),
            Some(Fault::NoInvoice) => (json!({"routes": []}), false),
            Some(Fault::Routes) => (json!({"pr": invoice, "routes": [[]]}), true),
            _ => (json!({"pr": invoice, "routes": []}), true),
        }
    }
}

fn refusal(reason: &str) -> Value {
    json!({"status": "ERROR", "reason": reason})
}

/// A running service. It stops, and its port is released, when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    requests: AtomicU32,
    invoices: AtomicU32,
}

impl Server {
    /// Serves on a free port of the loopback interface.
    pub(super) fn start(shop: Shop) -> Result<Self, OpError> {
        let lacking =
            |e| OpError::internal(format!("no LNURL service on the loopback interface: {e}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(lacking)?;
        let address = listener.local_addr().map_err(lacking)?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("lnurl".into())
            .spawn(move || serve(&listener, &shop, address, &of_thread))
            .map_err(lacking)?;
        Ok(Server {
            address,
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}{PAY}", self.address)
    }

    /// Stops it; how many requests were answered, and how many with an invoice.
    pub(super) fn stop(mut self) -> (u32, u32) {
        self.end();
        let count = |n: &AtomicU32| n.load(Ordering::Relaxed);
        (count(&self.shared.requests), count(&self.shared.invoices))
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let woken = TcpStream::connect_timeout(&self.address, PATIENCE).is_ok();
        // One that cannot be woken is left behind, rather than waited for without end.
        if woken {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn serve(listener: &TcpListener, shop: &Shop, address: SocketAddr, shared: &Shared) {
    // Connections that are never answered, open until the service ends.
    let mut silent = Vec::new();
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        // A connection that breaks is the payer's business, and the next one is served.
        let Ok(mut stream) = stream else { continue };
        let Some(request) = read_request(&mut stream) else {
            continue;
        };
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if shop.fault == Some(Fault::Silence) {
            silent.push(stream);
            continue;
        }
        let (bytes, invoice) = respond(shop, address, &request);
        if invoice {
            shared.invoices.fetch_add(1, Ordering::Relaxed);
        }
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
    }
}

/// Method and target of a request.
struct Request {
    method: String,
    target: String,
}

/// `None` where none comes in time, or none that is HTTP/1.1.
fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let deadline = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let mut headers = [httparse::EMPTY_HEADER; http::MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(&received).ok()?.is_complete() {
            return Some(Request {
                method: request.method?.to_owned(),
                target: request.path?.to_owned(),
            });
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || received.len() >= http::MAX_HEAD {
            return None;
        }
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            n => received.extend_from_slice(&chunk[..n]),
        }
    }
}

/// The answer's bytes, and whether it holds an invoice.
fn respond(shop: &Shop, address: SocketAddr, request: &Request) -> (Vec<u8>, bool) {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((request.target.as_str(), ""));
    let (body, invoice) = match (request.method.as_str(), path) {
        ("GET", PAY) => (shop.offer(address), false),
        ("GET", CALLBACK) => shop.give(query),
        ("GET", _) => {
            return (
                message(
                    "404 Not Found",
                    "",
                    refusal("not here").to_string().as_bytes(),
                ),
                false,
            );
        }
        _ => {
            let body = refusal("GET only").to_string();
            return (
                message("405 Method Not Allowed", "Allow: GET\r\n", body.as_bytes()),
                false,
            );
        }
    };
    let body = body.to_string();
    let bytes = match shop.fault {
        Some(Fault::Redirect) => {
            let location = format!("Location: http://{address}{CALLBACK}\r\n");
            message("302 Found", &location, body.as_bytes())
        }
        Some(Fault::NotJson) => message("200 OK", "", b"<p>sold out</p>"),
        Some(Fault::Long) => message("200 OK", "", &[b' '; MAX_BODY + 1]),
        Some(Fault::Cut) => {
            let mut whole = message("200 OK", "", body.as_bytes());
            whole.truncate(whole.len() - 1);
            whole
        }
        _ => message("200 OK", "", body.as_bytes()),
    };
    (bytes, invoice)
}

/// LUD-01 wants the second header for wallets inside browsers.
fn message(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\
         Access-Control-Allow-Origin: *\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
