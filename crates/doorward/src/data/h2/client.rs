//! Requests to services by HTTP/2: many at once on each connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use ::h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use ::h2::ext::Protocol;
use ::h2::{Error, Ping, Reason};
use http::{Method, Request, Uri};
use rules::Fault;
use rules::fault::NoTls;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use wire::framed;
use wire::h1::{HeadLimits, Malformed, ToUpstream};
use wire::{RequestHead, ResponseHead, Version};

use super::heads;
use super::io::{Io, Meter};
use super::stream::{Receiving, Stream};
use crate::control::snapshot::{Endpoint, Service};
use crate::data::deadline::Watch;
use crate::data::piece::Piece;
use crate::data::transfer::Side;
use crate::data::upstream;
use crate::data::worker::Worker;

/// What a service may send on one stream before the client has taken it. Enough for 2 Gbit/s over a
/// millisecond, which is as far as services are.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The same for a whole connection: as much as all streams together, so that clients that read
/// slowly cannot hold up those that do not.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX as u32;

/// The most streams on one connection; then another one is opened.
const STREAMS_MAX: usize = 256;

/// The most connections of one worker to one endpoint: that is 16,384 requests at once. Beyond it,
/// requests wait their turn.
const LINKS_MAX: usize = 64;

/// What is queued for one stream before the client is made to wait.
const SEND_BYTES_MAX: usize = 128 * 1024;

/// How long a connection that is of no use any more may take to say goodbye.
const FAREWELL_MS: u64 = 2_000;

/// All connections of HTTP/2 from one worker to services.
#[derive(Default)]
pub(crate) struct Links(RefCell<Vec<Hub>>);

/// The connections to one endpoint.
#[derive(Default)]
struct Hub {
    links: Vec<Link>,
    /// Set while one is being opened: whoever comes meanwhile waits for that.
    joining: Option<Rc<Joining>>,
    /// Connections that say goodbye, and until when.
    leaving: Vec<(AbortHandle, u64)>,
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Link {
    requests: SendRequest<Piece>,
    state: Rc<State>,
}

/// What is known about a connection.
pub(super) struct State {
    meter: Rc<Meter>,
    /// Streams that are open.
    open: Cell<usize>,
    /// No more streams here.
    over: Cell<bool>,
    idle_since_ms: Cell<u64>,
    /// How long it may be so.
    idle_ms: u64,
    task: Cell<Option<AbortHandle>>,
}

/// A connection that is being opened.
#[derive(Default)]
struct Joining {
    opened: Notify,
    fault: Cell<Option<Fault>>,
}

enum Find {
    Link(Link),
    Join(Rc<Joining>),
    Open,
}

impl Links {
    fn find(&self, endpoint: usize, links_max: usize) -> Find {
        let mut hubs = self.0.borrow_mut();
        if hubs.len() <= endpoint {
            hubs.resize_with(endpoint + 1, Hub::default);
        }
        let hub = &mut hubs[endpoint];
        hub.forget_those_that_are_over();
        let has_room = |link: &&Link| link.state.open.get() < link.streams_max();
        if let Some(link) = hub.links.iter().find(has_room) {
            return Find::Link(link.clone());
        }
        if let Some(joining) = &hub.joining {
            return Find::Join(Rc::clone(joining));
        }
        if hub.links.len() >= links_max
            && let Some(link) = hub.links.iter().min_by_key(|link| link.state.open.get())
        {
            return Find::Link(link.clone());
        }
        hub.joining = Some(Rc::default());
        Find::Open
    }

    /// Ends the wait of those who joined, with a link or with `fault`.
    fn joined(&self, endpoint: usize, opened: Result<Link, Option<Fault>>) {
        let hub = &mut self.0.borrow_mut()[endpoint];
        let joining = hub.joining.take();
        let fault = match opened {
            Ok(link) => {
                hub.links.push(link);
                None
            }
            Err(fault) => fault,
        };
        if let Some(joining) = joining {
            joining.fault.set(fault);
            joining.opened.notify_waiters();
        }
    }

    /// Closes what has been idle for too long.
    pub(crate) fn close_idle(&self, now_ms: u64) {
        for hub in &mut *self.0.borrow_mut() {
            hub.forget_those_that_are_over();
            for link in hub.links.extract_if(.., |link| link.is_idle(now_ms)) {
                // With the last handle the library says goodbye.
                if let Some(task) = link.state.task.take() {
                    hub.leaving.push((task, now_ms + FAREWELL_MS));
                }
            }
            hub.leaving.retain(|(task, until_ms)| {
                let late = *until_ms <= now_ms;
                if late {
                    task.abort();
                }
                !late && !task.is_finished()
            });
        }
    }

    /// Whether no connection is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().iter().all(|hub| hub.links.is_empty() && hub.leaving.is_empty())
    }
}

impl Hub {
    fn forget_those_that_are_over(&mut self) {
        self.links.retain_mut(Link::is_usable);
    }
}

impl Link {
    fn is_usable(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        !self.state.over.get() && !matches!(self.requests.poll_ready(cx), Poll::Ready(Err(_)))
    }

    fn is_idle(&self, now_ms: u64) -> bool {
        let state = &self.state;
        state.open.get() == 0 && state.idle_since_ms.get().saturating_add(state.idle_ms) <= now_ms
    }

    fn streams_max(&self) -> usize {
        self.requests.current_max_send_streams().clamp(1, STREAMS_MAX)
    }
}

/// A connection to `endpoint` that takes another stream, and whether it had been there.
///
/// # Errors
/// Why there is none.
pub(crate) async fn link(
    worker: &Worker,
    service: &Service,
    endpoint: &Endpoint,
    watch: &Watch,
) -> Result<(Link, bool), Fault> {
    let links_max = LINKS_MAX.min(service.connections_max as usize);
    loop {
        let joining = match worker.links.find(endpoint.index, links_max) {
            Find::Link(link) => return Ok((link, true)),
            Find::Join(joining) => joining,
            Find::Open => {
                let mut opening = Opening { worker, endpoint: endpoint.index, done: false };
                let opened = open(worker, service, endpoint, watch).await;
                opening.done(opened.clone().map_err(Some));
                return opened.map(|link| (link, false));
            }
        };
        watch.set(service.times.connect_ms);
        let mut opened = pin!(joining.opened.notified());
        let joined = poll_fn(|cx| match opened.as_mut().poll(cx) {
            Poll::Pending if watch.is_over() => Poll::Ready(Err(Fault::ConnectTimeout)),
            polled => polled.map(Ok),
        });
        joined.await?;
        if let Some(fault) = joining.fault.get() {
            return Err(fault);
        }
    }
}

/// Whoever waits for a connection hears of it, even if the opener is gone.
struct Opening<'w> {
    worker: &'w Worker,
    endpoint: usize,
    done: bool,
}

impl Opening<'_> {
    fn done(&mut self, opened: Result<Link, Option<Fault>>) {
        self.worker.links.joined(self.endpoint, opened);
        self.done = true;
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.done {
            // Somebody else tries.
            self.done(Err(None));
        }
    }
}

async fn open(
    worker: &Worker,
    service: &Service,
    endpoint: &Endpoint,
    watch: &Watch,
) -> Result<Link, Fault> {
    let side = upstream::connect(worker, service, endpoint, watch).await?;
    let meter = Meter::of_service(Rc::clone(&worker.deadlines));
    let side: Rc<RefCell<Side>> = Rc::new(RefCell::new(side));
    let io = Io { side: Rc::clone(&side), meter: Rc::clone(&meter), preface_bytes: 0 };
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(HeadLimits::MAX.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BYTES_MAX)
        .enable_push(false);
    let (requests, connection) = match shake_hands(&builder, io, watch).await {
        Ok(settled) => settled,
        Err(fault) => return Err(why(fault, &side, &meter, watch).await),
    };
    let state = Rc::new(State {
        meter,
        open: Cell::new(0),
        over: Cell::new(false),
        idle_since_ms: Cell::new(worker.deadlines.now_ms()),
        idle_ms: service.idle_ms,
        task: Cell::new(None),
    });
    let seen = Rc::clone(&state);
    let driving = tokio::task::spawn_local(async move {
        // Why it ended is what its streams are told.
        let mut connection = connection;
        let _ = poll_fn(|cx| Pin::new(&mut connection).poll(cx)).await;
        seen.over.set(true);
    });
    state.task.set(Some(driving.abort_handle()));
    Ok(Link { requests, state })
}

async fn shake_hands(
    builder: &Builder,
    io: Io,
    watch: &Watch,
) -> Result<(SendRequest<Piece>, Connection<Io, Piece>), Fault> {
    // It only writes the preface, which fits into any socket's buffer.
    let shaken = builder.handshake(io).await;
    let (requests, mut connection) = shaken.map_err(|_| Fault::ConnectFailed)?;
    settle(&mut connection, watch).await?;
    Ok((requests, connection))
}

/// Why there is no connection, if not just for `fault`: a service that wants another certificate, or
/// any, says so behind the handshake of TLS, and may be gone before we are done writing.
async fn why(fault: Fault, side: &RefCell<Side>, meter: &Meter, watch: &Watch) -> Fault {
    if meter.write_failed.get() {
        poll_fn(|cx| {
            loop {
                match side.borrow_mut().poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(Ok(0)) => return Poll::Ready(()),
                    Poll::Ready(Err(error)) => {
                        meter.failed(&error);
                        return Poll::Ready(());
                    }
                    Poll::Pending if watch.is_over() => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
    match meter.no_certificate.get() {
        true => Fault::NoTls(NoTls::ClientCertificate),
        false => fault,
    }
}

/// Waits for the service's settings, which say how many streams it takes and what else it knows. It
/// sends them before it answers a ping (RFC 9113, 3.4).
async fn settle(connection: &mut Connection<Io, Piece>, watch: &Watch) -> Result<(), Fault> {
    let mut pings = connection.ping_pong().expect("it is taken once");
    pings.send_ping(Ping::opaque()).map_err(|_| Fault::ConnectFailed)?;
    poll_fn(|cx| {
        match Pin::new(&mut *connection).poll(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Err(Fault::ConnectFailed)),
            Poll::Ready(Err(error)) => {
                let fault = fault(&error);
                return Poll::Ready(Err(match fault {
                    Fault::UpstreamMalformed(_) => fault,
                    _ => Fault::ConnectFailed,
                }));
            }
            Poll::Pending => {}
        }
        match pings.poll_pong(cx) {
            Poll::Pending if watch.is_over() => Poll::Ready(Err(Fault::ConnectTimeout)),
            Poll::Pending => Poll::Pending,
            Poll::Ready(pong) => Poll::Ready(pong.map(drop).map_err(|_| Fault::ConnectFailed)),
        }
    })
    .await
}

/// What a stream keeps of its request and its connection.
pub(super) struct Asked {
    state: Rc<State>,
    /// The protocol that an extended CONNECT asked for.
    protocol: Option<Box<[u8]>>,
    begun_ms: u64,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let state = &self.state;
        state.open.set(state.open.get() - 1);
        state.idle_since_ms.set(state.meter.now_ms());
    }
}

/// Sends the head of a request on `link`; with `ends` nothing follows.
///
/// An upgrade becomes an extended CONNECT, where the service knows such (RFC 8441); elsewhere it is
/// left out, as any proxy may.
///
/// # Errors
/// Why it cannot be sent.
pub(crate) fn ask(
    mut link: Link,
    head: &RequestHead,
    to: &ToUpstream<'_>,
    https: bool,
) -> Result<Stream, Fault> {
    let protocol = to.upgrade.filter(|_| link.requests.is_extended_connect_protocol_enabled());
    let request = request(head, to, https, protocol)?;
    let ends = !to.framing.has_body() && protocol.is_none();
    let sent = link.requests.send_request(request, ends);
    let (response, send) = sent.map_err(|error| fault(&error))?;
    let state = link.state;
    state.open.set(state.open.get() + 1);
    let begun_ms = state.meter.now_ms();
    let asked = Asked { state, protocol: protocol.map(Box::from), begun_ms };
    Ok(Stream::of_service(response, send, asked, ends))
}

fn request(
    head: &RequestHead,
    to: &ToUpstream<'_>,
    https: bool,
    protocol: Option<&[u8]>,
) -> Result<Request<()>, Fault> {
    // What `wire` has read is all of this; the library's own idea of it is no stricter.
    let unfit = |_| Fault::Malformed(Malformed::Target);
    let mut target = Vec::new();
    head.write_target(&mut target);
    let uri = Uri::builder()
        .scheme(if https { "https" } else { "http" })
        .authority(to.authority)
        .path_and_query(&target[..]);
    let mut request = Request::new(());
    *request.uri_mut() = uri.build().map_err(unfit)?;
    *request.method_mut() = match protocol {
        Some(_) => Method::CONNECT,
        None => Method::from_bytes(head.method_text().as_bytes())
            .map_err(|_| Fault::Malformed(Malformed::RequestLine))?,
    };
    if let Some(protocol) = protocol {
        let protocol = String::from_utf8_lossy(protocol);
        request.extensions_mut().insert(Protocol::from(&*protocol));
    }
    let map = request.headers_mut();
    map.reserve(head.fields.len() + 8);
    framed::request_fields(head, to, |known, name, value| {
        // RFC 8441, 5: the handshake needs no key there.
        if protocol.is_none() || !name.eq_ignore_ascii_case(b"sec-websocket-key") {
            heads::append(map, known, name, value);
        }
    });
    Ok(request)
}

impl Stream {
    /// The next head of the answer: interim ones, then the final one. The 2xx that opens a tunnel
    /// comes as the 101 that it is in HTTP/1.1.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Fault>> {
        let Receiving::Head(response, asked) = &mut self.recv else {
            return Poll::Ready(Err(Fault::UpstreamMalformed(Malformed::Frame)));
        };
        if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            let interim = interim.map_err(|error| fault(&error))?;
            return Poll::Ready(read(head, &interim, None));
        }
        let response = ready!(Pin::new(response).poll(cx)).map_err(|error| fault(&error))?;
        let opened = response.status().is_success().then_some(asked.protocol.as_deref()).flatten();
        let read = read(head, &response, opened);
        self.receive(response.into_body());
        Poll::Ready(read)
    }
}

fn read<T>(
    head: &mut ResponseHead,
    response: &http::Response<T>,
    opened: Option<&[u8]>,
) -> Result<(), Fault> {
    let mut text = Vec::with_capacity(512);
    let fields = heads::iter(response.headers());
    let limits = &HeadLimits::MAX;
    let status = response.status().as_u16();
    let read = match opened {
        None => head.assemble(Version::Http2, status, fields, &mut text, limits),
        Some(protocol) => head.assemble_switch(Version::Http2, protocol, fields, &mut text, limits),
    };
    read.map_err(Fault::UpstreamMalformed)
}

impl Asked {
    /// Nothing came for this request in time. If nothing came for any other either, the connection
    /// is dead, and the next request is to try another one.
    pub(super) fn suspect(&self) {
        if self.state.meter.read_at_ms.get() < self.begun_ms {
            self.state.over.set(true);
        }
    }
}

/// What it means that a stream ended before its answer began.
fn fault(error: &Error) -> Fault {
    // RFC 9113, 8.7: streams that were refused, and those beyond the last one that GOAWAY names,
    // were not looked at.
    if error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote()) {
        return Fault::StreamRefused;
    }
    if error.is_library() {
        // What the service sent is no HTTP/2.
        return Fault::UpstreamMalformed(Malformed::Frame);
    }
    Fault::UpstreamClosed
}

/// A response that has not begun.
pub(super) type Response = ResponseFuture;
