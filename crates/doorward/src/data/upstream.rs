//! The service's side of a request: choose an endpoint, get a connection, send, await the head.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use rules::Fault;
use rules::fault::NoTls;
use tokio::net::{TcpStream, UnixStream};
use wire::ResponseHead;
use wire::h1::{Framing, HeadLimits, HeadScan, Malformed, ResponseFraming};

use super::connection::Connection;
use super::deadline::Watch;
use super::end::{End, Speech};
use super::held::Held;
use super::pace::Pace;
use super::socket::Socket;
use super::tls;
use super::transfer::{Broken, Side, Transfer, Wait};
use super::worker::Worker;
use crate::control::snapshot::{Address, Endpoint, Service, Times};

/// Opens a connection to `endpoint`, by TLS if its service is called so.
///
/// # Errors
/// The fault that tells why there is none.
pub(crate) async fn connect(
    worker: &Worker,
    service: &Service,
    endpoint: &Endpoint,
    watch: &Watch,
) -> Result<Side, Fault> {
    let held = Held::new(worker, service, endpoint)?;
    watch.set(service.times.connect_ms);
    let connected = match &endpoint.address {
        Address::Tcp(address) => {
            let connecting = within(watch, TcpStream::connect(*address)).await;
            connecting.map(|connected| {
                connected.and_then(|stream| {
                    // Requests are written whole; Nagle's delay would only hold back their ends.
                    stream.set_nodelay(true)?;
                    Ok(Socket::Tcp(stream))
                })
            })
        }
        Address::Unix(path) => {
            let connecting = within(watch, UnixStream::connect(path)).await;
            connecting.map(|connected| connected.map(Socket::Unix))
        }
    };
    let socket = match connected {
        Some(Ok(socket)) => socket,
        Some(Err(error)) => return Err(connect_fault(&error)),
        None => return Err(Fault::ConnectTimeout),
    };
    let Some(tls) = &endpoint.tls else {
        return Ok(Side { held: Some(held), ..Side::new(socket) });
    };
    let counters = &service.metrics.shards[worker.index];
    match tls::secure_service(socket, tls, watch).await {
        Ok((socket, resumed)) => {
            counters.handshakes[usize::from(resumed)].add(1);
            Ok(Side { held: Some(held), ..Side::new(socket) })
        }
        Err(fault) => {
            counters.handshake_failures.add(1);
            Err(fault)
        }
    }
}

/// Awaits `future` until the deadline of `watch`.
async fn within<T>(watch: &Watch, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if watch.is_over() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn connect_fault(error: &io::Error) -> Fault {
    match error.kind() {
        // A Unix socket whose file is missing is a service that is not there.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Fault::ConnectRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Fault::Unreachable,
        io::ErrorKind::TimedOut => Fault::ConnectTimeout,
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Fault::SocketsExhausted,
        _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            Fault::SocketsExhausted
        }
        _ => Fault::ConnectFailed,
    }
}

/// A request on its way and its answer.
pub(crate) struct Exchange {
    pub(crate) side: End,
    /// Carries the request: its head, then its body.
    pub(crate) request: Transfer,
    pub(crate) pace: Pace,
    pub(crate) times: Times,
    /// Whether the connection had served a request before.
    pub(crate) reused: bool,
    /// Whether the service stopped taking the request. It may have answered all the same (413).
    pub(crate) refused_body: bool,
    /// How far the client has come once all of its request was read.
    pub(crate) speech: Speech,
    /// Whether a byte of an answer came.
    pub(crate) answered: bool,
    /// How the body of the answer comes and is announced, as its final head says.
    pub(crate) framings: Result<ResponseFraming, Malformed>,
    /// Whether the client waits to be asked for the body: it is the service's turn.
    pub(crate) awaits_continue: bool,
    request_done: bool,
    /// The progress at which the deadline was set.
    armed_at: Option<u32>,
}

impl Exchange {
    pub(crate) fn new(
        side: End,
        request: Transfer,
        pace: Pace,
        times: Times,
        reused: bool,
    ) -> Self {
        Self {
            side,
            request,
            pace,
            times,
            reused,
            refused_body: false,
            speech: Speech::Over,
            answered: false,
            framings: Ok(ResponseFraming { announced: Framing::None, body: Framing::None }),
            awaits_continue: false,
            request_done: false,
            armed_at: None,
        }
    }

    /// Whether the whole request was sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.request_done && !self.refused_body
    }

    /// Sends on, and reads the next head of the answer into `response`.
    ///
    /// # Errors
    /// The fault that ended the exchange.
    pub(crate) async fn head(
        &mut self,
        connection: &mut Connection,
        response: &mut ResponseHead,
    ) -> Result<(), Fault> {
        let mut scan = HeadScan::of_response();
        if self.request_done {
            connection.watch.set(self.times.first_byte_ms);
        }
        // An interim response on its way to the client had a deadline of its own.
        self.armed_at = None;
        poll_fn(|cx| {
            if !self.request_done
                && let Poll::Ready(Err(fault)) = self.poll_send(connection, cx)
            {
                return Poll::Ready(Err(fault));
            }
            match self.poll_head(&mut scan, response, cx) {
                Poll::Pending if connection.watch.is_over() => {
                    let fault = self.late(connection);
                    if let End::Stream(stream) = &self.side {
                        stream.suspect();
                    }
                    Poll::Ready(Err(fault))
                }
                Poll::Pending if self.poll_client_gone(connection, cx).is_ready() => {
                    Poll::Ready(Err(Fault::ClientGone))
                }
                polled => polled,
            }
        })
        .await
    }

    /// Ready when the client does not wait for the answer any more.
    pub(crate) fn poll_client_gone(
        &self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let speech = if self.request.has_read_all() { self.speech } else { Speech::Within };
        connection.client.poll_gone(speech, cx)
    }

    /// The next head of the answer.
    pub(super) fn poll_head(
        &mut self,
        scan: &mut HeadScan,
        response: &mut ResponseHead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        let side = match &mut self.side {
            End::H1(side) => side,
            End::Stream(stream) => {
                let read = ready!(stream.poll_head(cx, response));
                self.answered |= read.is_ok();
                self.awaits_continue &= response.status != 100;
                // It may have stopped taking the request before the connection ended.
                let closed = self.refused_body && read == Err(Fault::UpstreamClosed);
                return Poll::Ready(if closed { Err(Fault::SendFailed) } else { read });
            }
            End::Fetch(_) | End::Mirror(_) | End::Cached(_) | End::Closed => {
                return Poll::Ready(Err(Fault::UpstreamClosed));
            }
        };
        loop {
            if !side.incoming.is_empty() {
                self.answered = true;
                // A service may send more than a client; its head is bounded all the same.
                match response.read(side.incoming.bytes(), scan, &HeadLimits::MAX) {
                    Ok(Some(end)) => {
                        side.incoming.consume(end);
                        self.awaits_continue &= response.status != 100;
                        return Poll::Ready(Ok(()));
                    }
                    Ok(None) => {}
                    Err(malformed) => {
                        return Poll::Ready(Err(Fault::UpstreamMalformed(malformed)));
                    }
                }
            }
            match ready!(side.poll_fill(cx)) {
                Ok(1..) => {}
                Err(error) if !self.answered && tls::refuses_certificate(&error) => {
                    return Poll::Ready(Err(Fault::NoTls(NoTls::ClientCertificate)));
                }
                Ok(0) | Err(_) => return Poll::Ready(Err(self.closed())),
            }
        }
    }

    /// How the body of the answer comes and is announced, if its head says `framing`: frames tell
    /// where a body ends, and whether there is one. To a client `in_frames` nothing has to be
    /// announced either.
    pub(crate) fn framing(&self, framing: ResponseFraming, in_frames: bool) -> ResponseFraming {
        let End::Stream(stream) = &self.side else { return framing };
        let ResponseFraming { announced, body } = framing;
        match (body, stream.is_received()) {
            (Framing::UntilClose | Framing::Chunked, true) => {
                let announced = if in_frames { Framing::None } else { Framing::Length(0) };
                ResponseFraming { announced, body: Framing::None }
            }
            (_, true) => ResponseFraming { announced, body: Framing::None },
            (Framing::UntilClose, false) => {
                ResponseFraming { announced: Framing::Chunked, body: Framing::Chunked }
            }
            (_, false) => framing,
        }
    }

    /// Sends what can be sent of the request, and sets the deadline for the rest or the answer.
    pub(crate) fn poll_send(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        let sent = self.request.poll(&mut connection.client, &mut self.side, cx);
        match sent {
            Poll::Ready(Ok(())) => {
                self.request_done = true;
                connection.watch.set(self.times.first_byte_ms);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(Broken::Write)) => {
                // The service may have answered before it closed: read on to find out.
                (self.request_done, self.refused_body) = (true, true);
                connection.watch.set(self.times.first_byte_ms);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(broken)) => Poll::Ready(Err(request_fault(&broken))),
            Poll::Pending => {
                if self.armed_at != Some(self.request.progress) {
                    self.armed_at = Some(self.request.progress);
                    let wait_ms = match self.request.wait {
                        Wait::Read if self.is_services_turn() => self.times.first_byte_ms,
                        Wait::Read => self.pace.wait(connection.watch.now_ms(), self.request.bytes),
                        Wait::Write => {
                            self.pace.go_on(connection.watch.now_ms());
                            self.times.send_ms
                        }
                    };
                    connection.watch.set(wait_ms);
                }
                Poll::Pending
            }
        }
    }

    /// Whether the client rightly sends nothing.
    fn is_services_turn(&self) -> bool {
        self.awaits_continue && self.request.bytes == 0
    }

    /// What it means that nothing more comes.
    fn closed(&self) -> Fault {
        match (self.answered, self.refused_body) {
            (true, _) => Fault::UpstreamTruncated,
            (false, true) => Fault::SendFailed,
            (false, false) => Fault::UpstreamClosed,
        }
    }

    /// What it means that the deadline is over.
    pub(super) fn late(&self, connection: &Connection) -> Fault {
        if self.request_done {
            return Fault::FirstByteTimeout;
        }
        match self.request.wait {
            Wait::Write => Fault::SendTimeout,
            Wait::Read if self.is_services_turn() => Fault::FirstByteTimeout,
            Wait::Read if self.pace.is_idle(connection.watch.now_ms()) => Fault::BodyIdle,
            Wait::Read => Fault::BodyTooSlow,
        }
    }
}

/// What it means for the client that its request could not be carried on.
fn request_fault(broken: &Broken) -> Fault {
    match broken {
        Broken::Read | Broken::Malformed(Malformed::Truncated) => Fault::ClientGone,
        Broken::Malformed(malformed) => Fault::BodyMalformed(*malformed),
        Broken::TooLarge => Fault::BodyTooLarge,
        Broken::Write => Fault::SendFailed,
    }
}
