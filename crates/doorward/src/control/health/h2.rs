//! Asks an endpoint that speaks HTTP/2 whether it is well: by a path, or by gRPC's own check.

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Response};
use rules::grpc::{CHECK_PATH, Status, check_answer, check_request};
use rules::service::Get;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{BODY_BYTES_MAX, check_body};

const CLOSED: &str = "the connection was closed without an answer";

/// Drives a connection that was just opened, and asks on it.
async fn on<S, F: Future<Output = Result<(), String>>>(
    stream: S,
    ask: impl FnOnce(SendRequest<Bytes>) -> F,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shaken = h2::client::handshake(stream).await;
    let (requests, connection) = shaken.map_err(|error| format!("not HTTP/2: {error}"))?;
    tokio::select! {
        checked = ask(requests) => checked,
        ended = connection => Err(ended.err().map_or(CLOSED.to_owned(), |error| error.to_string())),
    }
}

/// Asks for a path.
pub(super) async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    authority: &str,
    get: &Get,
) -> Result<(), String> {
    let Get { path, body, .. } = get;
    on(stream, async |mut requests| {
        let request = request(Method::GET, authority, path)?;
        let (response, _) = requests.send_request(request, true).map_err(why)?;
        let response = response.await.map_err(why)?;
        let status = response.status().as_u16();
        if !get.takes(status) {
            return Err(format!("`{path}` answered {status}"));
        }
        match body {
            None => Ok(()),
            Some(_) => check_body(&read(response).await.map_err(why)?.0, body.as_deref()),
        }
    })
    .await
}

/// Asks by gRPC's own health check.
pub(super) async fn call(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    authority: &str,
    service: &str,
) -> Result<(), String> {
    on(stream, |requests| ask_service(requests, authority, service)).await
}

async fn ask_service(
    mut requests: SendRequest<Bytes>,
    authority: &str,
    service: &str,
) -> Result<(), String> {
    let mut request = request(Method::POST, authority, CHECK_PATH)?;
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    let (response, mut body) = requests.send_request(request, false).map_err(why)?;
    body.send_data(check_request(service).into(), true).map_err(why)?;
    let response = response.await.map_err(why)?;
    if response.status() != 200 {
        return Err(format!("the health check answered {}", response.status().as_u16()));
    }
    let (message, fields) = read(response).await.map_err(why)?;
    let status = fields.get("grpc-status").and_then(|status| status.to_str().ok());
    match status {
        Some("0") => check_answer(&message).map_err(ToOwned::to_owned),
        // What the check itself says of a service that it does not know.
        Some("5") => Err("it does not know the service".to_owned()),
        Some("12") => Err("it has no health check (`grpc.health.v1`)".to_owned()),
        Some(other) => {
            let number = other.parse().ok();
            let known = Status::ALL.iter().find(|status| number == Some(**status as u8));
            let name = known.map_or(other.to_owned(), |status| format!("{status:?}"));
            Err(format!("the health check failed: {name}"))
        }
        None => Err("the answer is not gRPC".to_owned()),
    }
}

fn request(method: Method, authority: &str, path: &str) -> Result<Request<()>, String> {
    let request = Request::builder().method(method).uri(format!("http://{authority}{path}"));
    let request = request.header("user-agent", "doorward-health").body(());
    request.map_err(|error| error.to_string())
}

/// The whole answer: its data, and its trailers, which may be its head.
async fn read(response: Response<RecvStream>) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let (head, mut body) = response.into_parts();
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if message.len() < BODY_BYTES_MAX {
            message.extend_from_slice(&data);
        }
        body.flow_control().release_capacity(data.len())?;
    }
    let trailers = body.trailers().await?;
    Ok((message, trailers.unwrap_or(head.headers)))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what errors are mapped by")]
fn why(error: h2::Error) -> String {
    if error.is_io() { CLOSED.to_owned() } else { error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rules::service::{Ask, Protocol};
    use tokio::net::TcpListener;

    use super::super::{Address, Checked};
    use super::*;

    /// What a check says of a service that answers with these messages and fields, the latter behind
    /// the former.
    async fn verdict(ask: Ask, status: u16, message: &[u8], trailers: &[(&str, &str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = Address::Tcp(listener.local_addr().expect("a port"));
        let mut checked = Checked::connections(Protocol::H2);
        (checked.health.ask, checked.health.timeout) = (ask, Duration::from_secs(10));
        let fields: HeaderMap = trailers
            .iter()
            .map(|(name, value)| {
                let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
                (name, value.parse().expect("a value"))
            })
            .collect();
        let serve = async {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
            let accepted = connection.accept().await.expect("a request");
            let (request, mut respond) = accepted.expect("a request");
            if let Ask::Grpc(_) = &checked.health.ask {
                assert_eq!(request.uri().path(), CHECK_PATH);
                assert_eq!(request.headers()["content-type"], "application/grpc");
            }
            let mut response = Response::builder().status(status).body(()).expect("a response");
            if message.is_empty() {
                *response.headers_mut() = fields;
                respond.send_response(response, true).expect("it is open");
            } else {
                let mut body = respond.send_response(response, false).expect("it is open");
                body.send_data(Bytes::copy_from_slice(message), false).expect("it is open");
                body.send_trailers(fields).expect("it is open");
            }
            // Until the other side has closed.
            while connection.accept().await.is_some() {}
        };
        let (result, ()) = tokio::join!(checked.check(&address), serve);
        result.err().unwrap_or_else(|| "well".to_owned())
    }

    #[test]
    fn only_a_service_that_serves_is_well() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let grpc = || Ask::Grpc("it.Calls".into());
            let serving = [0, 0, 0, 0, 2, 8, 1];
            let ok = [("grpc-status", "0")];
            assert_eq!(verdict(grpc(), 200, &serving, &ok).await, "well");
            let not = verdict(grpc(), 200, &[0, 0, 0, 0, 2, 8, 2], &ok).await;
            assert_eq!(not, "it says that it does not serve");
            let unknown = verdict(grpc(), 200, &[], &[("grpc-status", "5")]).await;
            assert_eq!(unknown, "it does not know the service");
            let none = verdict(grpc(), 200, &[], &[("grpc-status", "12")]).await;
            assert_eq!(none, "it has no health check (`grpc.health.v1`)");
            let failed = verdict(grpc(), 200, &serving, &[("grpc-status", "14")]).await;
            assert_eq!(failed, "the health check failed: Unavailable");
            let odd = verdict(grpc(), 200, &serving, &[("grpc-status", "x")]).await;
            assert_eq!(odd, "the health check failed: x");
            assert_eq!(verdict(grpc(), 200, &[], &[]).await, "the answer is not gRPC");
            assert_eq!(verdict(grpc(), 404, &[], &[]).await, "the health check answered 404");
            let path =
                || Ask::Get(Get { path: "/up".into(), statuses: [(200, 299)].into(), body: None });
            assert_eq!(verdict(path(), 204, &[], &[]).await, "well");
            assert_eq!(verdict(path(), 500, &[], &[]).await, "`/up` answered 500");
        });
    }

    #[test]
    fn what_does_not_speak_it_is_not_well() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = Address::Tcp(listener.local_addr().expect("a port"));
            let mut asked = Checked::connections(Protocol::H2);
            asked.health.ask = Ask::Grpc("".into());
            let hang_up = async { drop(listener.accept().await.expect("a connection")) };
            let (checked, ()) = tokio::join!(asked.check(&address), hang_up);
            assert!(checked.is_err(), "{checked:?}");
        });
    }
}
