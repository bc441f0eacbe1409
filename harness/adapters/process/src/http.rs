//! The answers of an HTTP/1.1 server, as their bytes come, in whatever pieces. No I/O.

use std::io;
use std::time::{Duration, Instant};

/// Longest head of an answer, in bytes.
pub const HEAD: usize = 64 * 1024;
/// Longest body of an answer, in bytes: a description of the graph is the longest.
pub const BODY: usize = 32 * 1024 * 1024;
/// Longest line between chunks, in bytes.
const LINE: usize = 1024;

/// What is left until `deadline`.
///
/// # Errors
/// `TimedOut` where nothing is: a socket takes a limit of zero for none.
pub fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

/// Whether a socket's limit has passed.
pub fn is_timeout(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The server's bytes are no HTTP, or more than is taken.
    #[error("{0}")]
    Malformed(String),
    /// The connection was closed.
    #[error("{}", match .0 {
        0 => "it was closed without an answer".to_owned(),
        n => format!("it was closed after {n} bytes of an answer"),
    })]
    Ended(usize),
}

fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed(what.into())
}

/// What is left of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// The head has not come yet.
    Head,
    /// So many bytes.
    Length(usize),
    /// The size of a chunk comes next.
    ChunkSize,
    /// So many bytes of a chunk, and the end of its line.
    Chunk(usize),
    /// What follows the last chunk, up to an empty line.
    Trailer,
    /// The server closes the connection at the end.
    UntilClosed,
    /// Nothing.
    Done,
}

/// Decodes one answer. Feed it what comes, and ask it to go on.
#[derive(Debug)]
pub struct Decoder {
    raw: Vec<u8>,
    body: Vec<u8>,
    received: usize,
    status: u16,
    close: bool,
    framing: Framing,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            raw: Vec::new(),
            body: Vec::new(),
            received: 0,
            status: 0,
            close: false,
            framing: Framing::Head,
        }
    }
}

impl Decoder {
    /// Bytes that have come.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.received += bytes.len();
        self.raw.extend_from_slice(bytes);
    }

    /// HTTP's status; 0 before the head has come.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether all of the answer is there.
    pub fn is_done(&self) -> bool {
        self.framing == Framing::Done
    }

    /// Whether another request may follow on the connection.
    pub fn is_reusable(&self) -> bool {
        self.is_done() && !self.close && self.raw.is_empty()
    }

    /// What has come of the body and was not taken; the caller takes what it has read.
    pub fn body(&mut self) -> &mut Vec<u8> {
        &mut self.body
    }

    /// Decodes as much as can be decoded.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`].
    pub fn advance(&mut self) -> Result<(), DecodeError> {
        loop {
            match self.framing {
                Framing::Head => {
                    if !self.head()? {
                        return Ok(());
                    }
                }
                Framing::Length(left) => {
                    let n = left.min(self.raw.len());
                    self.body.extend(self.raw.drain(..n));
                    if n < left {
                        self.framing = Framing::Length(left - n);
                        return Ok(());
                    }
                    self.framing = Framing::Done;
                }
                Framing::ChunkSize => {
                    let Some(line) = self.line()? else {
                        return Ok(());
                    };
                    let digits = line.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(digits, 16)
                        .ok()
                        .filter(|n| *n <= BODY)
                        .ok_or_else(|| malformed("the size of a chunk is malformed"))?;
                    self.framing = if size == 0 {
                        Framing::Trailer
                    } else {
                        Framing::Chunk(size)
                    };
                }
                Framing::Chunk(0) => {
                    match self.line()? {
                        None => return Ok(()),
                        Some(line) if line.is_empty() => self.framing = Framing::ChunkSize,
                        Some(_) => return Err(malformed("a chunk is longer than its size")),
                    };
                }
                Framing::Chunk(left) => {
                    let n = left.min(self.raw.len());
                    self.body.extend(self.raw.drain(..n));
                    self.framing = Framing::Chunk(left - n);
                    self.check_size()?;
                    if n < left {
                        return Ok(());
                    }
                }
                Framing::Trailer => match self.line()? {
                    None => return Ok(()),
                    Some(line) if line.is_empty() => self.framing = Framing::Done,
                    Some(_) => {}
                },
                Framing::UntilClosed => {
                    self.body.append(&mut self.raw);
                    return self.check_size();
                }
                Framing::Done => return Ok(()),
            }
        }
    }

    fn check_size(&self) -> Result<(), DecodeError> {
        if self.body.len() > BODY {
            return Err(malformed(format!("it has more than {BODY} bytes")));
        }
        Ok(())
    }

    /// Reads the head, once all of it is there.
    fn head(&mut self) -> Result<bool, DecodeError> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer
            .parse(&self.raw)
            .map_err(|e| malformed(format!("it is no HTTP ({e})")))?;
        let httparse::Status::Complete(length) = parsed else {
            if self.raw.len() > HEAD {
                return Err(malformed(format!("its head has more than {HEAD} bytes")));
            }
            return Ok(false);
        };
        self.status = answer.code.unwrap_or_default();
        let mut framing = Framing::UntilClosed;
        for header in answer.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            if header.name.eq_ignore_ascii_case("transfer-encoding")
                && value.eq_ignore_ascii_case("chunked")
            {
                framing = Framing::ChunkSize;
            } else if header.name.eq_ignore_ascii_case("content-length")
                && framing == Framing::UntilClosed
            {
                let length = value.parse().ok().filter(|n| *n <= BODY);
                let length =
                    length.ok_or_else(|| malformed(format!("its length of {value} is refused")))?;
                framing = Framing::Length(length);
            } else if header.name.eq_ignore_ascii_case("connection") {
                self.close |= value.eq_ignore_ascii_case("close");
            }
        }
        self.raw.drain(..length);
        self.framing = framing;
        Ok(true)
    }

    /// Takes one line, without its end.
    fn line(&mut self) -> Result<Option<String>, DecodeError> {
        let Some(end) = self.raw.iter().position(|b| *b == b'\n') else {
            if self.raw.len() > LINE {
                return Err(malformed("a line between chunks is too long"));
            }
            return Ok(None);
        };
        let line: Vec<u8> = self.raw.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// [`DecodeError::Ended`] where the answer had not.
    pub fn end(&mut self) -> Result<(), DecodeError> {
        match self.framing {
            Framing::UntilClosed | Framing::Done => {
                self.framing = Framing::Done;
                self.close = true;
                Ok(())
            }
            _ => Err(DecodeError::Ended(self.received)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(text: &[u8]) -> (Decoder, Result<(), DecodeError>) {
        let mut decoder = Decoder::default();
        decoder.feed(text);
        let advanced = decoder.advance();
        (decoder, advanced)
    }

    #[test]
    fn answers_are_whole_by_their_length_by_chunks_or_at_the_end() {
        let with_length = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let chunked =
            b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n";
        for (answer, status) in [(&with_length[..], 200), (&chunked[..], 400)] {
            for cut in 1..answer.len() {
                let (mut decoder, advanced) = fed(&answer[..cut]);
                assert_eq!(advanced, Ok(()));
                assert!(!decoder.is_done(), "{cut}");
                assert_eq!(decoder.end(), Err(DecodeError::Ended(cut)));
                // In two pieces it is the same.
                let (mut decoder, _) = fed(&answer[..cut]);
                decoder.feed(&answer[cut..]);
                decoder.advance().unwrap();
                assert!(decoder.is_done() && decoder.is_reusable(), "{cut}");
                assert_eq!(
                    (decoder.status(), &decoder.body()[..]),
                    (status, &b"{}"[..])
                );
            }
        }
        let (mut open, _) = fed(b"HTTP/1.1 200 OK\r\n\r\n[]");
        assert!(!open.is_done());
        open.end().unwrap();
        assert!(open.is_done() && !open.is_reusable());
        assert_eq!(open.body(), b"[]");
    }

    #[test]
    fn a_connection_that_is_closed_or_goes_on_takes_no_other_request() {
        let close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let more = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP";
        for answer in [&close[..], &more[..]] {
            let (decoder, _) = fed(answer);
            assert!(decoder.is_done() && !decoder.is_reusable());
        }
    }

    #[test]
    fn nothing_that_a_server_sends_is_taken_without_bounds() {
        let refused = |text: &[u8]| match fed(text).1 {
            Err(DecodeError::Malformed(why)) => why,
            other => panic!("{other:?}"),
        };
        let chunked = |rest: &str| {
            refused(
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}").as_bytes(),
            )
        };
        for length in ["99999999999", "x", "-1"] {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            assert!(refused(head.as_bytes()).contains(length));
        }
        for size in ["ffffffffff\r\n", "zz\r\n", "\r\n"] {
            assert!(chunked(size).contains("size of a chunk"), "{size}");
        }
        assert!(chunked("1\r\nab\r\n").contains("longer than its size"));
        assert!(chunked(&"a".repeat(LINE + 1)).contains("between chunks"));
        let long = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; HEAD]].concat();
        assert!(refused(&long).contains("head"));
        assert!(refused(b"SSH-2.0-x\r\n").contains("no HTTP"));
        // A body that says no length is counted as it comes, and so are chunks together.
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'a'; BODY + 1]].concat();
        assert!(refused(&endless).contains("more than"));
        let half = BODY / 2 + 1;
        let chunk = format!("{half:x}\r\n{}\r\n", "a".repeat(half));
        assert!(chunked(&format!("{chunk}{chunk}")).contains("more than"));
        assert_eq!(fed(b"HTTP/1.1 200 OK\r\n").1, Ok(()));
    }

    #[test]
    fn what_is_left_of_no_time_is_a_timeout() {
        assert!(is_timeout(&left(Instant::now()).unwrap_err()));
        assert!(left(Instant::now() + Duration::from_secs(60)).is_ok());
        assert!(!is_timeout(&io::ErrorKind::BrokenPipe.into()));
    }

    #[test]
    fn a_closed_connection_says_after_how_much() {
        assert_eq!(
            DecodeError::Ended(0).to_string(),
            "it was closed without an answer"
        );
        assert_eq!(
            DecodeError::Ended(17).to_string(),
            "it was closed after 17 bytes of an answer"
        );
    }
}
