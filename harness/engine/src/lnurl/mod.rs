//! LNURL-pay on the loopback interface: an invoice that a web service hands out.
//!
//! Sources: LUD-01 (the encoding, and how an answer is read) and LUD-06 (`payRequest`) of the
//! lnurl/luds repository. They ask for https or an onion service; here everything is plain HTTP on
//! the loopback interface, and every other address is refused.
//!
//! **Reusable AMP invoices.** LUD-06 has the wallet refuse an invoice whose amount is not the one
//! that it asked for, so an invoice without an amount does not fit, and one invoice serves one
//! amount. The service keeps one reusable AMP invoice for each amount and gives the same one to
//! everybody who asks for that amount, as often as they ask: what LNURL does with a fresh invoice
//! for every payment, AMP does without the recipient's node having to be there.
//!
//! The operations of scenarios, `on: harness`, with their params and results:
//!
//! | operation | params | result |
//! |---|---|---|
//! | `lnurl.metadata` | `description` | `metadata`, `description_hash` (for the invoice) |
//! | `lnurl.serve` | `description` or `metadata`; `invoices` [{`amount_msat`, `invoice`}], or `invoice` for every amount; `min_msat`, `max_msat`; `fault` | `url`, `lnurl`, `metadata`, `description_hash` |
//! | `lnurl.fetch` | `url` or `lnurl`, `amount_msat`, `accept` [checks that may fail] | `invoice`, `metadata`, `description`, `description_hash`, `min_msat`, `max_msat`, `amp`, `deviations` [checks that failed and were accepted] |
//! | `lnurl.stop` | `url` | `requests`, `invoices`: how many were answered, and with an invoice |
//!
//! `lnurl.fetch` is the payer: it makes the checks of LUD-06 and answers an error that names the
//! one that failed in `rule`; see [`Check`]. A service that still runs when its scenario ends is
//! stopped then, and its port released.

mod encoding;
mod http;
mod invoice;
mod payer;
mod server;
#[cfg(test)]
mod tests;

use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::{Duration, Instant};

pub use server::Fault;

/// Most bytes of an answer's body: LUD-06 allows an image of 136,536 characters of base64 in the
/// metadata, and this leaves room for what is around it.
const MAX_BODY: usize = 256 * 1024;

/// The operations, for a step's `do`.
pub const OPERATIONS: [&str; 4] = ["lnurl.metadata", "lnurl.serve", "lnurl.fetch", "lnurl.stop"];

/// A check that the payer makes. Its name is the `rule` of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// LUD-01: bech32 under the prefix `lnurl` that holds a URL.
    Encoding,
    /// LUD-01: the answer is a JSON object.
    Answer,
    /// LUD-06: the answer is no `"status": "ERROR"`.
    Status,
    /// LUD-06: `tag` is `payRequest`.
    Tag,
    /// LUD-06: `callback` is a URL.
    Callback,
    /// LUD-06: `minSendable` is at least 1, and not above `maxSendable`.
    Range,
    /// LUD-06: `metadata` is a string with a JSON list of lists, one of them `text/plain`.
    Metadata,
    /// LUD-06: the amount lies between `minSendable` and `maxSendable`.
    Amount,
    /// LUD-06: `pr` is a BOLT 11 invoice, and `routes` an empty list.
    Invoice,
    /// LUD-06: `h` of the invoice is the SHA-256 of the metadata. A later revision drops this.
    MetadataHash,
    /// LUD-06: the invoice has the amount that was asked for.
    InvoiceAmount,
    /// Of the harness: plain HTTP on the loopback interface.
    Loopback,
    /// Of the harness: the invoice is for regtest.
    Regtest,
    /// Of the harness: the service can be reached.
    Reachable,
    /// Of the harness: whole HTTP/1.1 answers within the bounds.
    Http,
    /// Of the harness: no redirect, which could lead anywhere.
    Redirect,
    /// Of the harness: an answer before the step's deadline.
    Deadline,
}

impl Check {
    /// The check's name, as it stands in an error's `rule`.
    pub fn name(self) -> &'static str {
        match self {
            Check::Encoding => "lud-01/encoding",
            Check::Answer => "lud-01/answer",
            Check::Status => "lud-06/status",
            Check::Tag => "lud-06/tag",
            Check::Callback => "lud-06/callback",
            Check::Range => "lud-06/range",
            Check::Metadata => "lud-06/metadata",
            Check::Amount => "lud-06/amount",
            Check::Invoice => "lud-06/invoice",
            Check::MetadataHash => "lud-06/metadata-hash",
            Check::InvoiceAmount => "lud-06/invoice-amount",
            Check::Loopback => "lnurl/loopback",
            Check::Regtest => "lnurl/regtest",
            Check::Reachable => "lnurl/reachable",
            Check::Http => "lnurl/http",
            Check::Redirect => "lnurl/redirect",
            Check::Deadline => "lnurl/deadline",
        }
    }

    /// An error that says what the check found.
    fn error(self, found: impl fmt::Display) -> OpError {
        let message = format!("{}: {found}", self.name());
        let mut error = match self {
            Check::Status | Check::Amount | Check::Redirect => OpError::rejected(message),
            Check::Reachable => OpError::internal(message),
            Check::Deadline => OpError::timeout(message),
            _ => OpError::invalid(message),
        };
        error.rule = Some(self.name().to_owned());
        error
    }

    /// [`Check::error`] unless `holds`.
    fn that(self, holds: bool, found: impl FnOnce() -> String) -> Result<(), OpError> {
        if holds {
            Ok(())
        } else {
            Err(self.error(found()))
        }
    }
}

/// The services of one scenario. They stop when this is dropped.
#[derive(Debug, Default)]
pub struct Lnurl {
    servers: Vec<server::Server>,
}

impl Lnurl {
    /// Does one of [`OPERATIONS`]. `patience` bounds what the payer waits for.
    ///
    /// # Errors
    /// `invalid` for params; for `lnurl.fetch` also the [`Check`] that failed, in `rule`; `internal`
    /// where this machine gives no port or thread.
    pub fn call(
        &mut self,
        operation: &str,
        params: &Value,
        patience: Duration,
    ) -> Result<Value, OpError> {
        let p = Params::new(params);
        match operation {
            "lnurl.metadata" => Ok(hashed(&metadata(p.str("description")?)).done()),
            "lnurl.serve" => self.serve(p),
            "lnurl.fetch" => payer::fetch(p, Instant::now() + patience),
            "lnurl.stop" => self.stop(p.str("url")?),
            other => Err(OpError::internal(format!(
                "the harness has no operation {other}"
            ))),
        }
    }

    fn serve(&mut self, p: Params<'_>) -> Result<Value, OpError> {
        let text = match p.maybe("metadata", |p, name| p.str(name).map(str::to_owned))? {
            Some(text) => text,
            None => metadata(p.str("description")?),
        };
        let server = server::Server::start(server::Shop::read(p, text.clone())?)?;
        let url = server.url();
        let result = hashed(&text)
            .with("lnurl", encoding::encode(&url)?)
            .with("url", url)
            .done();
        self.servers.push(server);
        Ok(result)
    }

    fn stop(&mut self, url: &str) -> Result<Value, OpError> {
        let place = self.servers.iter().position(|s| s.url() == url);
        let Some(place) = place else {
            return Err(OpError::invalid(format!(
                "param url: no service of this scenario is at {url}"
            )));
        };
        let (requests, invoices) = self.servers.swap_remove(place).stop();
        Ok(json!({"requests": requests, "invoices": invoices}))
    }
}

/// The metadata of a service that says no more than a description.
fn metadata(description: &str) -> String {
    json!([["text/plain", description]]).to_string()
}

fn hashed(metadata: &str) -> ResultObject {
    ResultObject::new()
        .with("metadata", metadata)
        .with("description_hash", hex(hash(metadata)))
}

/// LUD-06: what the invoice's `h` commits to.
fn hash(metadata: &str) -> [u8; 32] {
    Sha256::digest(metadata.as_bytes()).into()
}
