//! As much HTTP/1.1 as LNURL needs: one GET a connection, on the loopback interface.
//!
//! Heads are parsed by `httparse`, the parser below hyper, which is kept by hyper's authors.
//! `tiny_http` has had no release since 2022, and the servers that are kept bring an async runtime,
//! which this workspace has only where a library hides it. What is left to do here is to read up to
//! a bound and before a deadline, which no library would take over.

use super::{Check, MAX_BODY};
use lnconform_protocol::OpError;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use url::{Host, Url};

/// Most bytes of a head, and most headers.
pub(super) const MAX_HEAD: usize = 16 * 1024;
pub(super) const MAX_HEADERS: usize = 64;

/// A URL that may be asked: plain HTTP on the loopback interface.
///
/// An address is wanted, no name: what a name resolves to is not the harness's to say.
pub(super) fn loopback(text: &str, as_what: Check) -> Result<Url, OpError> {
    let url = Url::parse(text).map_err(|e| as_what.error(format_args!("{text:?}: {e}")))?;
    address(&url)?;
    Ok(url)
}

fn address(url: &Url) -> Result<SocketAddr, OpError> {
    let refused = || {
        Check::Loopback.error(format_args!(
            "{url} is not plain HTTP on an address of the loopback interface"
        ))
    };
    let ip: IpAddr = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        Some(Host::Domain(_)) | None => return Err(refused()),
    };
    let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
    match url.port_or_known_default() {
        Some(port) if plain && ip.is_loopback() => Ok(SocketAddr::new(ip, port)),
        _ => Err(refused()),
    }
}

/// The body of the answer to a GET. LUD-01: status codes and headers mean nothing; only a redirect
/// is refused, since following it could lead away.
pub(super) fn get(url: &Url, deadline: Instant) -> Result<Vec<u8>, OpError> {
    let mut stream = TcpStream::connect_timeout(&address(url)?, left(deadline, url)?)
        .map_err(|e| failed(url, deadline, Check::Reachable, &e))?;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream
        .set_write_timeout(Some(left(deadline, url)?))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .map_err(|e| failed(url, deadline, Check::Reachable, &e))?;

    let mut received = Vec::new();
    let head = loop {
        if let Some(head) = Head::parse(&received, url)? {
            break head;
        }
        Check::Http.that(received.len() < MAX_HEAD, || {
            format!("{url} answers with a head of more than {MAX_HEAD} bytes")
        })?;
        let more = read_some(&mut stream, &mut received, deadline, url)?;
        Check::Http.that(more, || format!("{url} ends its answer within the head"))?;
    };
    Check::Redirect.that(!(300..400).contains(&head.status), || {
        format!("{url} answers {}, a redirect", head.status)
    })?;
    Check::Http.that(!head.encoded, || {
        format!("{url} answers with a transfer encoding, which was not asked for")
    })?;
    let mut body = received.split_off(head.length);
    let want = head.body.unwrap_or(MAX_BODY + 1);
    loop {
        Check::Http.that(
            body.len() <= MAX_BODY && head.body.is_none_or(|n| n <= MAX_BODY),
            || format!("{url} answers with more than {MAX_BODY} bytes"),
        )?;
        if body.len() >= want {
            body.truncate(want);
            return Ok(body);
        }
        if !read_some(&mut stream, &mut body, deadline, url)? {
            let got = body.len();
            Check::Http.that(head.body.is_none(), || {
                format!("{url} ends its answer after {got} of {want} bytes")
            })?;
            return Ok(body);
        }
    }
}

/// The head of an answer.
struct Head {
    status: u16,
    /// Bytes of the head itself.
    length: usize,
    /// `Content-Length`.
    body: Option<usize>,
    /// There is a `Transfer-Encoding`.
    encoded: bool,
}

impl Head {
    /// `None` while it is not whole.
    fn parse(received: &[u8], url: &Url) -> Result<Option<Self>, OpError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let wrong = |e: &str| Check::Http.error(format_args!("{url} answers no HTTP/1.1: {e}"));
        let length = match response
            .parse(received)
            .map_err(|e| wrong(&e.to_string()))?
        {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let mut head = Head {
            status: response.code.unwrap_or(0),
            length,
            body: None,
            encoded: false,
        };
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                head.encoded = true;
            } else if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).unwrap_or_default().trim();
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let number = text.parse().ok().filter(|_| digits);
                let number = number.ok_or_else(|| wrong("a Content-Length that is no number"))?;
                if head.body.is_some_and(|earlier| earlier != number) {
                    return Err(wrong("two Content-Length that differ"));
                }
                head.body = Some(number);
            }
        }
        Ok(Some(head))
    }
}

/// Appends what has come; false at the end.
fn read_some(
    stream: &mut TcpStream,
    into: &mut Vec<u8>,
    deadline: Instant,
    url: &Url,
) -> Result<bool, OpError> {
    let mut chunk = [0; 8192];
    loop {
        stream
            .set_read_timeout(Some(left(deadline, url)?))
            .map_err(|e| failed(url, deadline, Check::Http, &e))?;
        match stream.read(&mut chunk) {
            Ok(n) => {
                into.extend_from_slice(&chunk[..n]);
                return Ok(n > 0);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(url, deadline, Check::Http, &e)),
        }
    }
}

fn left(deadline: Instant, url: &Url) -> Result<Duration, OpError> {
    let left = deadline.saturating_duration_since(Instant::now());
    Check::Deadline.that(!left.is_zero(), || late(url))?;
    Ok(left)
}

fn late(url: &Url) -> String {
    format!("{url} has not answered before the step's deadline")
}

fn failed(url: &Url, deadline: Instant, check: Check, e: &io::Error) -> OpError {
    let late_kind = matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    );
    if late_kind || Instant::now() >= deadline {
        return Check::Deadline.error(late(url));
    }
    check.error(format_args!("{url}: {e}"))
}
