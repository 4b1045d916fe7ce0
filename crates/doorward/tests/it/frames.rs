//! Clients and services of HTTP/2: streams by a foreign library, which a thread of its own drives
//! while the test waits for what it wants.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::door::LIMIT;

/// A connection of HTTP/2.
pub(crate) struct Frames {
    runtime: Handle,
    requests: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
    /// Ends the thread with the client.
    _alive: oneshot::Sender<()>,
}

/// A request that was sent, as far as it was.
pub(crate) struct Asked {
    pub(crate) response: ResponseFuture,
    pub(crate) body: SendStream<Bytes>,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The lines in order of their names, without those that every message gets.
    pub(crate) fn plain(&self) -> String {
        let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            format!("{name}: {}\n", value.to_str().expect("text"))
        };
        let mut lines: Vec<String> =
            self.fields.iter().filter(|(name, _)| *name != "date").map(line).collect();
        lines.sort();
        format!("{}\n{}\n{}", self.status, lines.concat(), self.text())
    }
}

impl Frames {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, &Builder::new())
    }

    /// A client with settings of its own.
    #[track_caller]
    pub(crate) fn connect_as(address: SocketAddr, builder: &Builder) -> Self {
        let (alive, gone) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let handle = runtime.handle().clone();
        std::thread::spawn(move || drop(runtime.block_on(gone)));
        let (requests, connection) = handle.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
            let (requests, connection) = builder.handshake(stream).await.expect("HTTP/2");
            (requests, tokio::spawn(connection))
        });
        Self { runtime: handle, requests, connection, _alive: alive }
    }

    /// A client that comes through TLS.
    #[track_caller]
    pub(crate) fn connect_tls(address: SocketAddr, config: rustls::ClientConfig) -> Self {
        let (alive, gone) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let handle = runtime.handle().clone();
        std::thread::spawn(move || drop(runtime.block_on(gone)));
        let (requests, connection) = handle.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let name = "localhost".try_into().expect("a name");
            let stream = connector.connect(name, stream).await.expect("TLS");
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (requests, connection) = Builder::new().handshake(stream).await.expect("HTTP/2");
            (requests, tokio::spawn(connection))
        });
        Self { runtime: handle, requests, connection, _alive: alive }
    }

    /// Waits for `future`.
    #[track_caller]
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let waited = self.runtime.block_on(async { tokio::time::timeout(LIMIT, future).await });
        waited.expect("it came in time")
    }

    /// Sends a head; with `ends` nothing follows.
    #[track_caller]
    pub(crate) fn open(&self, request: Request<()>, ends: bool) -> Asked {
        let ready = self.wait(self.requests.clone().ready());
        let opened = ready.expect("the connection is there").send_request(request, ends);
        let (response, body) = opened.expect("a request");
        Asked { response, body }
    }

    /// Sends a request with `body` and reads its answer.
    #[track_caller]
    pub(crate) fn ask(&self, request: Request<()>, body: &[u8]) -> Answer {
        let Asked { response, body: mut send } = self.open(request, body.is_empty());
        if !body.is_empty() {
            // One that is not wanted may be refused halfway; the answer says why.
            let _ = self.wait(say(&mut send, body, true));
        }
        self.answer(response).expect("an answer")
    }

    /// Reads the answer to its end.
    #[track_caller]
    pub(crate) fn answer(&self, response: ResponseFuture) -> Result<Answer, h2::Error> {
        self.wait(async { read(response.await?).await })
    }

    /// Waits until the connection is over.
    #[track_caller]
    pub(crate) fn ended(self) -> Result<(), h2::Error> {
        let Self { runtime, requests, connection, _alive } = self;
        drop(requests);
        let ended = runtime.block_on(async { tokio::time::timeout(LIMIT, connection).await });
        ended.expect("it ends").expect("it does not panic")
    }
}

/// Reads a response to its end.
pub(crate) async fn read(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut recv) = response.into_parts();
    let (body, trailers) = read_body(&mut recv).await?;
    Ok(Answer { status: parts.status.as_u16(), fields: parts.headers, body, trailers })
}

async fn read_body(recv: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = recv.data().await {
        let data = data?;
        body.extend_from_slice(&data);
        recv.flow_control().release_capacity(data.len())?;
    }
    Ok((body, recv.trailers().await?))
}

/// Sends `body` as fast as it is taken.
pub(crate) async fn say(
    send: &mut SendStream<Bytes>,
    body: &[u8],
    ends: bool,
) -> Result<(), h2::Error> {
    let mut rest = body;
    while !rest.is_empty() {
        send.reserve_capacity(rest.len());
        let room = poll_fn(|cx| send.poll_capacity(cx)).await;
        let room = room.ok_or(h2::Error::from(Reason::STREAM_CLOSED))??.min(rest.len());
        let (now, later) = rest.split_at(room);
        send.send_data(Bytes::copy_from_slice(now), ends && later.is_empty())?;
        rest = later;
    }
    Ok(())
}

/// A request of HTTP/2 by prior knowledge.
pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("http://h{path}"));
    request.body(()).expect("a request")
}

/// As [`request`], with fields.
pub(crate) fn request_with(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = request(method, path);
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        request.headers_mut().append(name, value.parse().expect("a value"));
    }
    request
}

/// A service of HTTP/2, whose requests come to the test.
pub(crate) struct FrameService {
    pub(crate) address: SocketAddr,
    runtime: Handle,
    served: Mutex<mpsc::Receiver<Served>>,
    _alive: oneshot::Sender<()>,
}

/// A request that came to a service.
pub(crate) struct Served {
    pub(crate) head: Request<()>,
    pub(crate) body: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
    /// Connections are counted from 1.
    pub(crate) connection: usize,
    /// Says that no more streams are welcome on this connection.
    pub(crate) goodbye: Arc<tokio::sync::Notify>,
}

impl FrameService {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A service with settings of its own.
    pub(crate) fn with(settings: impl Fn(&mut h2::server::Builder) + Send + 'static) -> Self {
        let (alive, mut gone) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let handle = runtime.handle().clone();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (send, served) = mpsc::channel();
        std::thread::spawn(move || {
            runtime.block_on(async {
                for connection in 1.. {
                    let (stream, _) = tokio::select! {
                        accepted = listener.accept() => accepted.expect("a connection"),
                        _ = &mut gone => return,
                    };
                    let mut builder = h2::server::Builder::new();
                    settings(&mut builder);
                    tokio::spawn(serve(stream, builder, connection, send.clone()));
                }
            });
        });
        Self { address, runtime: handle, served: Mutex::new(served), _alive: alive }
    }

    /// The next request.
    #[track_caller]
    pub(crate) fn accept(&self) -> Served {
        self.try_accept(LIMIT).expect("a request comes")
    }

    /// The next request, if it comes within `time`.
    pub(crate) fn try_accept(&self, time: Duration) -> Option<Served> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.recv_timeout(time).ok()
    }

    /// Waits for `future`.
    #[track_caller]
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let waited = self.runtime.block_on(async { tokio::time::timeout(LIMIT, future).await });
        waited.expect("it came in time")
    }

    /// Reads the body of a request, and its trailers.
    #[track_caller]
    pub(crate) fn read(
        &self,
        served: &mut Served,
    ) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
        self.wait(read_body(&mut served.body))
    }

    /// Answers with `status` and `body`, of unannounced length.
    #[track_caller]
    pub(crate) fn answer(&self, served: &mut Served, status: u16, body: &[u8]) {
        let response = Response::builder().status(status).body(()).expect("a response");
        let sent = served.respond.send_response(response, body.is_empty());
        let mut send = sent.expect("it is open");
        if !body.is_empty() {
            self.wait(say(&mut send, body, true)).expect("it takes the body");
        }
    }

    /// The configuration that leads everything here.
    pub(crate) fn config(&self) -> String {
        format!(
            "[[route]]\npath = \"/*\"\nservice = \"it\"\n[service.it]\nprotocol = \"h2\"\n\
             endpoints = [\"{}\"]\n",
            self.address
        )
    }
}

async fn serve(
    stream: tokio::net::TcpStream,
    builder: h2::server::Builder,
    connection: usize,
    served: mpsc::Sender<Served>,
) {
    let Ok(mut streams) = builder.handshake::<_, Bytes>(stream).await else { return };
    let goodbye = Arc::new(tokio::sync::Notify::new());
    loop {
        let accepted = tokio::select! {
            accepted = streams.accept() => accepted,
            () = goodbye.notified() => {
                streams.graceful_shutdown();
                continue;
            }
        };
        let Some(Ok((request, respond))) = accepted else { return };
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        let goodbye = Arc::clone(&goodbye);
        let _ = served.send(Served { head, body, respond, connection, goodbye });
    }
}
