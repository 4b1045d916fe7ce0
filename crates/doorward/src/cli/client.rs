//! A small HTTP client for the command line: one request, one connection, the whole answer.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use rustls::ClientConfig;
use wire::h1::read_answer;
use wire::{Method, ResponseHead};

use super::{Failure, https};

/// Longest time for connecting and for each read.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Sends a request to `authority`, through TLS if there is a configuration for it, and reads the answer: its head and its body.
///
/// # Errors
/// What went wrong, in words.
pub(crate) fn send(
    authority: &str,
    tls: Option<ClientConfig>,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<(ResponseHead, Vec<u8>), Failure> {
    let unreachable = |error: std::io::Error| Failure::new(format!("{authority}: {error}"));
    let address = with_port(authority, if tls.is_some() { 443 } else { 80 })
        .to_socket_addrs()
        .map_err(unreachable)?
        .next()
        .ok_or_else(|| Failure::new(format!("{authority} has no address")))?;
    let stream = TcpStream::connect_timeout(&address, TIME_LIMIT).map_err(unreachable)?;
    stream.set_read_timeout(Some(TIME_LIMIT)).map_err(unreachable)?;
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(config) => Box::new(https::wrap(config, authority, stream)?),
    };
    let host = if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        String::new()
    } else {
        format!("Host: {authority}\r\n")
    };
    let mut request = format!("{method} {target} HTTP/1.1\r\n{host}Connection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    stream.write_all(body).map_err(unreachable)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(unreachable)?;
    read_answer(answer, Method::of(method.as_bytes()))
        .map_err(|malformed| Failure::new(format!("{authority}: {}", malformed.reason())))
}

/// What can be read and written.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

fn with_port(authority: &str, port: u16) -> String {
    let host_end = authority.rfind(']').unwrap_or(0);
    if authority[host_end..].contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:{port}")
    }
}
