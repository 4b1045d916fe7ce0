//! Asks one instance whether it is well.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rules::service::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::ResponseHead;
use wire::h1::{HeadLimits, HeadScan, Scanned};

use super::failure::spelled;
use super::probe_h2;
use super::spec::{Ask, Health};

/// How long to read what follows the head. Closing on a service that still writes would put
/// "connection reset" into its log, once a second.
const REST_LIMIT: Duration = Duration::from_millis(100);

/// Bytes of it that are read.
const REST_BYTES_MAX: usize = 64 * 1024;

/// One check.
///
/// # Errors
/// Why it failed, as a clause.
pub(super) async fn probe(port: u16, health: &Health) -> Result<(), String> {
    let checked = tokio::time::timeout(health.timeout, check(port, health)).await;
    let (mut stream, mut buffer) = match checked {
        Ok(Ok(Some(answered))) => answered,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(why)) => return Err(why),
        Err(_) => return Err(format!("no answer within {}", spelled(health.timeout))),
    };
    let rest = async {
        while buffer.len() < REST_BYTES_MAX
            && stream.read_buf(&mut buffer).await.is_ok_and(|count| count > 0)
        {}
    };
    let _ = tokio::time::timeout(REST_LIMIT, rest).await;
    Ok(())
}

/// Connects, and if there is a path asks for it: what is left to read.
async fn check(port: u16, health: &Health) -> Result<Option<(TcpStream, Vec<u8>)>, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let clause = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        std::io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
        _ => error.to_string(),
    };
    let mut stream = TcpStream::connect(address).await.map_err(clause)?;
    // While nobody listens on it, our own end may by chance be given this very port: TCP then
    // connects to itself.
    if stream.local_addr().is_ok_and(|own| own == address) {
        return Err("the connection was refused".to_owned());
    }
    let path = match (&health.ask, health.protocol) {
        (Ask::Connection, _) => return Ok(None),
        (Ask::Path(path), Protocol::Http1) => path,
        (ask @ (Ask::Path(_) | Ask::Grpc(_)), _) => {
            return probe_h2::check(stream, address, ask).await.map(|()| None);
        }
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: doorward-health\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(clause)?;
    let limits = HeadLimits::default();
    let (mut buffer, mut scan, mut head) =
        (Vec::new(), HeadScan::default(), ResponseHead::default());
    loop {
        let malformed = |fault: wire::h1::Malformed| format!("not HTTP: {}", fault.reason());
        match scan.look(&buffer, &limits).map_err(malformed)? {
            Scanned::Partial => {
                let count = stream.read_buf(&mut buffer).await.map_err(clause)?;
                if count == 0 {
                    return Err("the connection was closed without an answer".to_owned());
                }
            }
            Scanned::Whole { start, end } => {
                head.parse(&buffer[start..end], &limits).map_err(malformed)?;
                match head.status {
                    // An interim response; the real one follows.
                    100..200 => {
                        buffer.drain(..end);
                        scan = HeadScan::default();
                    }
                    200..300 => return Ok(Some((stream, buffer))),
                    status => return Err(format!("`{path}` answered {status}")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What a check says of a service that answers with `answer`, in pieces, and then closes or
    /// stays.
    async fn verdict(answer: &[&'static [u8]], stays: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let health = Health {
            ask: Ask::Path("/up?x=1".to_owned()),
            timeout: Duration::from_millis(300),
            ..Health::default()
        };
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).await.expect("a request");
            assert!(request[..count].starts_with(b"GET /up?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
            for piece in answer {
                let _ = stream.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            stays.then_some(stream)
        };
        let (result, _stream) = tokio::join!(probe(port, &health), serve);
        result.err().unwrap_or_else(|| "well".to_owned())
    }

    #[test]
    fn only_a_2xx_in_time_is_well() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let ok: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            assert_eq!(verdict(&[ok], false).await, "well");
            assert_eq!(verdict(&[ok], true).await, "well");
            assert_eq!(verdict(&[&ok[..9], &ok[9..20], &ok[20..]], false).await, "well");
            let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
            assert_eq!(verdict(&[interim, ok], false).await, "well");
            let moved = b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n";
            assert_eq!(verdict(&[moved], false).await, "`/up?x=1` answered 301");
            let closed = "the connection was closed without an answer";
            assert_eq!(verdict(&[&ok[..12]], false).await, closed);
            assert_eq!(verdict(&[&ok[..12]], true).await, "no answer within 300ms");
            let answer = verdict(&[b"\x15\x03\x01\x00\x02\x02\x16"], true).await;
            assert!(answer.starts_with("not HTTP: "), "{answer}");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("a port").port();
            assert_eq!(probe(port, &Health::default()).await, Ok(()));
            drop(listener);
            let refused = probe(port, &Health::default()).await;
            assert_eq!(refused, Err("the connection was refused".to_owned()));
        });
    }
}
