//! Asks an endpoint that speaks HTTP/1.1 whether it is well.

use std::time::Duration;

use rules::service::Get;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::h1::{self, BodyDecoder, BodyLimits, HeadLimits, HeadScan, Malformed, Scanned};
use wire::{Method, ResponseHead};

use super::{BODY_BYTES_MAX, check_body, clause};

/// How long to read what follows the head. Closing on a service that still writes would put
/// "connection reset" into its log, once a second.
const REST_LIMIT: Duration = Duration::from_millis(100);

/// Asks on a connection that was just opened.
pub(super) async fn check(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    authority: &str,
    get: &Get,
) -> Result<(), String> {
    let path = &get.path;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: doorward-health\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(clause)?;
    let mut buffer = Vec::new();
    let head = read_head(&mut stream, &mut buffer).await?;
    if !get.takes(head.status) {
        return Err(format!("`{path}` answered {}", head.status));
    }
    if get.body.is_some() {
        let body = read_body(&mut stream, buffer, &head).await?;
        return check_body(&body, get.body.as_deref());
    }
    tokio::spawn(async move {
        let rest = async {
            while buffer.len() < BODY_BYTES_MAX
                && stream.read_buf(&mut buffer).await.is_ok_and(|count| count > 0)
            {}
        };
        let _ = tokio::time::timeout(REST_LIMIT, rest).await;
    });
    Ok(())
}

/// The final head; what follows it stays in `buffer`.
pub(crate) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<ResponseHead, String> {
    let limits = HeadLimits::default();
    let (mut scan, mut head) = (HeadScan::default(), ResponseHead::default());
    loop {
        match scan.look(buffer, &limits).map_err(malformed)? {
            Scanned::Partial => {
                let count = stream.read_buf(buffer).await.map_err(clause)?;
                if count == 0 {
                    return Err("the connection was closed without an answer".to_owned());
                }
            }
            Scanned::Whole { start, end } => {
                head.parse(&buffer[start..end], &limits).map_err(malformed)?;
                buffer.drain(..end);
                // An interim response is followed by the real one.
                if head.status >= 200 {
                    return Ok(head);
                }
                scan = HeadScan::default();
            }
        }
    }
}

/// The body behind `head`, as much of it as is looked at.
async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    mut buffer: Vec<u8>,
    head: &ResponseHead,
) -> Result<Vec<u8>, String> {
    let framing = h1::response_framing(head, Method::Get).map_err(malformed)?;
    let mut decoder = BodyDecoder::new(framing.body, BodyLimits::default());
    let mut body = Vec::new();
    while !decoder.is_done() && body.len() < BODY_BYTES_MAX {
        if buffer.is_empty() && stream.read_buf(&mut buffer).await.map_err(clause)? == 0 {
            decoder.close().map_err(malformed)?;
            break;
        }
        let decoded = decoder.decode(&mut buffer).map_err(malformed)?;
        body.extend_from_slice(&buffer[decoded.data]);
        buffer.drain(..decoded.consumed);
    }
    Ok(body)
}

fn malformed(fault: Malformed) -> String {
    format!("not HTTP: {}", fault.reason())
}

#[cfg(test)]
mod tests {
    use rules::service::{Ask, Protocol};
    use tokio::net::TcpListener;

    use super::super::{Address, Checked};
    use super::*;

    /// What a check says of a service that answers with `answer`, in pieces, and then closes or
    /// stays.
    async fn verdict(answer: &[&'static [u8]], stays: bool) -> String {
        verdict_with(None, answer, stays).await
    }

    async fn verdict_with(wanted: Option<&str>, answer: &[&'static [u8]], stays: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = Address::Tcp(listener.local_addr().expect("a port"));
        let mut checked = Checked::connections(Protocol::Http1);
        checked.health.ask = Ask::Get(Get {
            path: "/up?x=1".into(),
            statuses: [(200, 299)].into(),
            body: wanted.map(Box::from),
        });
        checked.health.timeout = Duration::from_millis(300);
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
        let (result, _stream) = tokio::join!(checked.check(&address), serve);
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
            let address = Address::Tcp(listener.local_addr().expect("a port"));
            let checked = Checked::connections(Protocol::Http1);
            assert_eq!(checked.check(&address).await, Ok(()));
            drop(listener);
            let refused = checked.check(&address).await;
            assert_eq!(refused, Err("the connection was refused".to_owned()));
        });
    }

    #[tokio::test]
    async fn a_body_is_read_as_it_is_framed() {
        let head: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let split: [&[u8]; 3] = [head, b"3\r\nall\r\n3\r\n go", b"\r\n2\r\nod\r\n0\r\n\r\n"];
        assert_eq!(verdict_with(Some("all good"), &split, true).await, "well");
        let none = "the answer has no `bad` in it";
        assert_eq!(verdict_with(Some("bad"), &split, true).await, none);
        let length: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(verdict_with(Some("ok"), &[length], true).await, "well");
        let close: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nok";
        assert_eq!(verdict_with(Some("ok"), &[close], false).await, "well");
        let short = verdict_with(Some("ok"), &[&length[..length.len() - 1]], false).await;
        assert!(short.starts_with("not HTTP: "), "{short}");
    }
}
