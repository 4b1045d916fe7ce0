//! Calls the other services through Doorward, and gives up on each before a reader would.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use crate::answer::JSON;

/// A part that takes longer is left out of the page.
const CALL_WAIT: Duration = Duration::from_millis(300);
/// No honest answer is longer; a hundred cards with summaries have about 60 KB.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Where Doorward listens if the environment does not say otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

pub struct Door {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
    calls: AtomicU64,
    failures: AtomicU64,
}

/// An answer, with the headers that tell by which tags it can be purged.
pub struct Part<T> {
    pub value: T,
    pub headers: HeaderMap,
}

/// Why there is no answer to show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gone {
    /// The service does not answer, or not in time, or not with anything that can be read.
    Away,
    /// The service says that there is no such thing.
    Absent,
    /// The service does not take what the reader sent.
    Refused,
}

impl Door {
    pub fn from_environment() -> Result<Door, String> {
        let base = std::env::var("DOORWARD_URL").unwrap_or_else(|_| DEFAULT_URL.to_owned());
        Door::build(base.trim_end_matches('/').to_owned())
    }

    fn build(base: String) -> Result<Door, String> {
        let plain = base
            .parse::<Uri>()
            .is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        if !plain {
            return Err(format!("DOORWARD_URL must be like {DEFAULT_URL}, not `{base}`"));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Door { base, client, calls: AtomicU64::new(0), failures: AtomicU64::new(0) })
    }

    /// Calls made so far, and how many of them got no usable answer.
    pub fn counts(&self) -> (u64, u64) {
        (self.calls.load(Relaxed), self.failures.load(Relaxed))
    }

    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Part<T>, Gone> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    pub async fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<Part<T>, Gone> {
        self.call(Method::POST, path, Bytes::from(body.to_string())).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Part<T>, Gone> {
        self.calls.fetch_add(1, Relaxed);
        let answer = tokio::time::timeout(CALL_WAIT, self.exchange(method, path, body)).await;
        let problem = match answer {
            Ok(Ok((StatusCode::OK | StatusCode::CREATED, headers, body))) => {
                match serde_json::from_slice(&body) {
                    Ok(value) => return Ok(Part { value, headers }),
                    Err(error) => format!("unreadable: {error}"),
                }
            }
            Ok(Ok((StatusCode::NOT_FOUND, ..))) => return Err(Gone::Absent),
            Ok(Ok((StatusCode::BAD_REQUEST, ..))) => return Err(Gone::Refused),
            Ok(Ok((status, ..))) => format!("status {}", status.as_u16()),
            Ok(Err(error)) => error,
            Err(_) => format!("no answer within {} ms", CALL_WAIT.as_millis()),
        };
        self.failures.fetch_add(1, Relaxed);
        eprintln!("front: {path}: {problem}");
        Err(Gone::Away)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, JSON)
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let (head, body) =
            self.client.request(request).await.map_err(|error| error.to_string())?.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        Ok((head.status, head.headers, body.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;

    async fn door_to(router: Router) -> Door {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Door::build(format!("http://{address}")).expect("a plain address")
    }

    #[tokio::test]
    async fn every_kind_of_answer_has_its_meaning() {
        let router = Router::new()
            .route("/good", get(|| async { ([("surrogate-key", "a b")], "[1,2]") }))
            .route("/bad", get(|| async { StatusCode::BAD_REQUEST }))
            .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
            .route("/odd", get(|| async { "<html>" }))
            .route("/slow", get(std::future::pending::<()>));
        let door = door_to(router).await;
        let good = door.read::<Vec<u32>>("/good").await.expect("an answer");
        assert_eq!(
            (good.value, &good.headers["surrogate-key"]),
            (vec![1, 2], &"a b".parse().expect("a header"))
        );
        for (path, expected) in [
            ("/missing", Gone::Absent),
            ("/bad", Gone::Refused),
            ("/broken", Gone::Away),
            ("/odd", Gone::Away),
            ("/slow", Gone::Away),
        ] {
            assert_eq!(door.read::<Vec<u32>>(path).await.err(), Some(expected), "{path}");
        }
        assert_eq!(door.counts(), (6, 3));
    }

    #[test]
    fn an_address_that_cannot_be_called_is_refused() {
        assert!(Door::build("localhost:8080".to_owned()).is_err());
        assert!(Door::build("https://127.0.0.1".to_owned()).is_err());
    }
}
