//! Against a server of the tests' own, with a certificate as LND makes it: self-signed, and marked
//! as an authority.

use super::*;
use crate::standin::Identity;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::JoinHandle;

/// Serves connections, one request each, with these pieces as the answer to each, and hands back
/// what was asked.
fn serve(
    identity: &Identity,
    answers: Vec<Vec<&'static [u8]>>,
) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let config = identity.config();
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for pieces in answers {
            let (socket, _) = listener.accept().unwrap();
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut tls = io::BufReader::new(StreamOwned::new(session, socket));
            let mut head = String::new();
            loop {
                let mut line = String::new();
                match tls.read_line(&mut line) {
                    Ok(0) | Err(_) => break,
                    Ok(_) if line == "\r\n" => break,
                    Ok(_) => head.push_str(&line),
                }
            }
            let length: usize = head
                .lines()
                .find_map(|l| l.strip_prefix("Content-Length: "))
                .map_or(0, |n| n.trim().parse().unwrap());
            let mut body = vec![0; length];
            if head.is_empty() || tls.read_exact(&mut body).is_err() {
                asked.push(String::new());
                continue;
            }
            asked.push(format!("{head}{}", String::from_utf8(body).unwrap()));
            for piece in pieces {
                let out = tls.get_mut();
                // A client that has given up is no failure of the server.
                if out.write_all(piece).and_then(|()| out.flush()).is_err() {
                    break;
                }
            }
        }
        asked
    });
    (address, thread)
}

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn the_pinned_certificate_is_trusted_though_it_is_an_authority() {
    let node = Identity::new();
    let (address, server) = serve(
        &node,
        vec![vec![
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
        ]],
    );
    let client = Client::new(address, node.certificate.clone(), &[0xab, 1]).unwrap();
    let body = serde_json::json!({"q": "x"});
    assert_eq!(client.post("/v1/x", &body, LIMIT).unwrap()["a"], 1);
    let asked = server.join().unwrap().remove(0);
    assert!(asked.starts_with("POST /v1/x HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("Grpc-Metadata-Macaroon: ab01\r\n"),
        "{asked}"
    );
    assert!(asked.ends_with("{\"q\":\"x\"}"), "{asked}");
}

#[test]
fn another_certificate_is_refused_before_anything_is_asked() {
    let (node, other) = (Identity::new(), Identity::new());
    let (address, server) = serve(
        &node,
        vec![vec![b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"]],
    );
    let client = Client::new(address, other.certificate.clone(), b"secret").unwrap();
    let e = client.get("/v1/x", LIMIT).unwrap_err();
    assert!(
        matches!(&e, CallError::Io { error, .. }
        if error.to_string().contains("ApplicationVerificationFailure")),
        "{e:?}"
    );
    // The macaroon has not been sent.
    assert_eq!(server.join().unwrap(), [""]);
}

#[test]
fn a_server_with_the_certificate_and_without_its_key_is_refused() {
    let node = Identity::new();
    let mut thief = Identity::new();
    thief.certificate = node.certificate.clone();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Thief(thief)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut session = ServerConnection::new(Arc::new(config)).unwrap();
        while session.is_handshaking() {
            if session.complete_io(&mut socket).is_err() {
                return false;
            }
        }
        true
    });
    let client = Client::new(address, node.certificate.clone(), b"secret").unwrap();
    let e = client.get("/v1/x", LIMIT).unwrap_err();
    assert!(e.to_string().contains("BadSignature"), "{e}");
    drop(client);
    server.join().unwrap();
}

/// Shows a certificate and signs with another key.
#[derive(Debug)]
struct Thief(Identity);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl rustls::server::ResolvesServerCert for Thief {
    fn resolve(
        &self,
        _: rustls::server::ClientHello<'_>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        let key = PrivateKeyDer::try_from(self.0.key.clone()).unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let chain = vec![self.0.certificate.clone()];
        Some(Arc::new(rustls::sign::CertifiedKey::new(chain, key)))
    }
}

#[test]
fn what_lnd_refuses_is_told_in_its_words_and_by_its_code() {
    let node = Identity::new();
    let (address, server) = serve(
        &node,
        vec![vec![
            b"HTTP/1.1 409 Conflict\r\nContent-Length: 62\r\n\r\n{\"code\":6,\"message\":\"invoice is already paid\",\"details\":[]}     ",
        ]],
    );
    let client = Client::new(address, node.certificate.clone(), b"").unwrap();
    let e = client.get("/v1/x", LIMIT).unwrap_err();
    assert!(e.says("already paid"));
    let e = OpError::from(e);
    assert_eq!(
        (e.kind, &e.message[..]),
        (ErrorKind::Rejected, "invoice is already paid")
    );
    server.join().unwrap();
}

#[test]
fn a_stream_is_read_in_whatever_pieces_it_comes() {
    let node = Identity::new();
    let (address, server) = serve(
        &node,
        vec![vec![
            b"HTTP/1.1 200 OK\r\nTransfer-",
            b"Encoding: chunked\r\n\r\n1",
            b"0\r\n{\"result\":{\"n\":1",
            b"\r\n4\r\n}}\n{\r\n1",
            b"1\r\n\"result\":{\"n\":2}}\r\n1\r\n\n\r\n",
            b"24\r\n{\"error\":{\"code\":2,\"message\":\"gone\"}\r\n2\r\n}\n\r\n0\r\n\r\n",
        ]],
    );
    let client = Client::new(address, node.certificate.clone(), b"").unwrap();
    let mut stream = client.stream("GET", "/v1/x", None).unwrap();
    let deadline = || Some(Instant::now() + LIMIT);
    assert_eq!(stream.next(deadline()).unwrap().unwrap()["n"], 1);
    assert_eq!(stream.next(deadline()).unwrap().unwrap()["n"], 2);
    assert!(stream.next(deadline()).unwrap_err().says("gone"));
    assert!(stream.next(deadline()).unwrap().is_none());
    server.join().unwrap();
}

#[test]
fn a_refused_stream_and_one_that_breaks_off_are_told_apart() {
    let node = Identity::new();
    let (address, server) = serve(
        &node,
        vec![
            vec![b"HTTP/1.1 404 Not Found\r\nContent-Length: 52\r\n\r\n{\"error\":{\"code\":5,\"message\":\"payment isn't known\"}}"],
            vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"],
        ],
    );
    let client = Client::new(address, node.certificate.clone(), b"").unwrap();
    let deadline = || Some(Instant::now() + LIMIT);
    let mut refused = client.stream("GET", "/v1/x", None).unwrap();
    assert!(refused.next(deadline()).unwrap_err().says("isn't known"));
    let mut broken = client.stream("GET", "/v1/x", None).unwrap();
    let e = broken.next(deadline()).unwrap_err();
    assert!(e.to_string().contains("in the middle"), "{e}");
    server.join().unwrap();
}

#[test]
fn a_silent_server_is_given_up_on_and_closing_ends_a_stream() {
    let node = Identity::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::new(address, node.certificate.clone(), b"").unwrap();
    let e = client.get("/v1/x", Duration::from_millis(30)).unwrap_err();
    assert_eq!(OpError::from(e).kind, ErrorKind::Timeout);

    let (address, server) = serve(
        &node,
        vec![vec![b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]],
    );
    let client = Arc::new(Client::new(address, node.certificate.clone(), b"").unwrap());
    let mut stream = client.stream("GET", "/v1/x", None).unwrap();
    let waiting = std::thread::spawn(move || stream.next(None));
    client.close();
    assert!(waiting.join().unwrap().is_err());
    assert!(client.is_ending());
    assert!(client.stream("GET", "/v1/x", None).is_err());
    server.join().unwrap();
}
