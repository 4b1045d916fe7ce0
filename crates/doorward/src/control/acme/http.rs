//! HTTP/1.1 over TLS towards an authority: one request, one connection, the whole answer.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Uri};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::h1::read_answer;
use wire::{Known, Method, ResponseHead};

/// How long one request may take, connecting included.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The largest answer that is read. A directory takes 1 KiB, a chain 10 KiB.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Talks to an authority.
#[derive(Clone)]
pub(crate) struct Client {
    tls: TlsConnector,
    /// How many seconds the authority wants to be left alone, of the last refusal that said so.
    retry_after: Arc<Mutex<Option<u64>>>,
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) struct NoAnswer(String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAnswer {}

impl Client {
    /// A client that verifies authorities by `roots`.
    pub(crate) fn new(roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Ten connections in ninety days need no memory of each other.
        config.resumption = Resumption::disabled();
        Self { tls: TlsConnector::from(Arc::new(config)), retry_after: Arc::default() }
    }

    /// Forgets what was said about when to come again, and returns it.
    pub(crate) fn take_retry_after(&self) -> Option<u64> {
        self.retry_after.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, NoAnswer> {
        let uri = request.uri().clone();
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let sending = self.exchange(request, &uri, &authority);
        let (head, body) = match tokio::time::timeout(TIME_LIMIT, sending).await {
            Ok(answered) => answered?,
            Err(_) => {
                let seconds = TIME_LIMIT.as_secs();
                return Err(NoAnswer(format!("{authority} did not answer within {seconds} s")));
            }
        };
        let kind = head.fields.get(Known::ContentType).unwrap_or_default();
        if head.status >= 400 {
            let after = head.fields.get(Known::RetryAfter).and_then(seconds_of);
            if after.is_some() {
                *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = after;
            }
            if !kind.starts_with(b"application/problem+json") {
                return Err(NoAnswer(format!("{authority} answered {} to {uri}", head.status)));
            }
        }
        let mut response = http::Response::builder().status(head.status);
        for name in ["replay-nonce", "location", "retry-after", "content-type", "link"] {
            if let Some(value) = head.fields.get_named(name) {
                response = response.header(name, value);
            }
        }
        let response =
            response.body(()).map_err(|error| NoAnswer(format!("{authority}: {error}")))?;
        Ok(BytesResponse { parts: response.into_parts().0, body: Box::new(Bytes::from(body)) })
    }

    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
        uri: &Uri,
        authority: &str,
    ) -> Result<(ResponseHead, Vec<u8>), NoAnswer> {
        let said = |error: std::io::Error| NoAnswer(format!("{authority}: {error}"));
        if uri.scheme_str() != Some("https") {
            return Err(NoAnswer(format!("{uri} is not a URL with `https://`")));
        }
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| NoAnswer(format!("`{host}` is not the name of a machine")))?;
        let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(443)));
        let stream = stream
            .await
            .map_err(|error| NoAnswer(format!("{authority} cannot be reached: {error}")))?;
        let mut stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(|error| NoAnswer(format!("{authority} cannot be verified: {error}")))?;
        let method = Method::of(request.method().as_str().as_bytes());
        let bytes = written(request, uri, authority).await?;
        stream.write_all(&bytes).await.map_err(said)?;
        let mut answer = Vec::new();
        // Some authorities close without saying so; framing tells whether all has come.
        let ended = (&mut stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await;
        match ended {
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                return Err(said(error));
            }
            _ => {}
        }
        read_answer(answer, method)
            .map_err(|malformed| NoAnswer(format!("{authority}: {}", malformed.reason())))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            client.send(request).await.map_err(|no_answer| Error::Other(Box::new(no_answer)))
        })
    }
}

/// The request as it goes over the wire.
async fn written(
    request: Request<BodyWrapper<Bytes>>,
    uri: &Uri,
    authority: &str,
) -> Result<Vec<u8>, NoAnswer> {
    let (parts, body) = request.into_parts();
    // The library opens its bodies in responses only.
    let content = BytesResponse::from(http::Response::new(body)).body.into_bytes().await;
    let content = content.map_err(|error| NoAnswer(error.to_string()))?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut text = format!(
        "{} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\
         User-Agent: doorward/{} instant-acme\r\n",
        parts.method,
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(kind) = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok()) {
        text += &format!("Content-Type: {kind}\r\n");
    }
    if parts.method == http::Method::POST {
        text += &format!("Content-Length: {}\r\n", content.len());
    }
    text += "\r\n";
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&content);
    Ok(bytes)
}

/// The seconds in a `Retry-After` (RFC 9110, 10.2.3): a number, or a date.
fn seconds_of(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).map_or(0, |wait| wait.as_secs()))
}
