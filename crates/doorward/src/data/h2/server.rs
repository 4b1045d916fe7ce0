//! A client's connection of HTTP/2: accepts streams, starts one task for each.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use ::h2::server::{Builder, Connection as Streams, SendResponse};
use ::h2::{Reason, RecvStream};
use http::Request;
use rules::Fault;
use rules::flood::{Flood, FrameGuard};
use rules::forward::Peer;

use super::io::{Io, Meter};
use super::turns::Turn;
use super::{Stream, heads};
use crate::control::snapshot::Limits;
use crate::data::connection::{After, Connection};
use crate::data::deadline::Watch;
use crate::data::end::End;
use crate::data::listen::Listener;
use crate::data::piece::Piece;
use crate::data::serve;
use crate::data::stream::{self, Why};
use crate::data::tls::Secured;
use crate::data::worker::Worker;

/// What every client of HTTP/2 sends first (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client may send on one stream before we have passed it on. Enough for 1 Gbit/s over 8 ms.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The same for all streams of a connection together: what one client can make us hold.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// What is queued for one stream before the service is made to wait.
const SEND_BYTES_MAX: usize = 128 * 1024;

/// So many times the streams that a client may have open may be at work for it: those that it gave
/// up need a moment to end (CVE-2023-44487).
const STREAMS_OPEN_FACTOR: usize = 2;

/// How long a client may take to read what was sent last.
const FAREWELL_MS: u64 = 2_000;

/// Serves the client at `connection` by HTTP/2 until it ends.
pub(crate) async fn run(connection: &mut Connection) -> After {
    let limits = connection.worker.pin().limits;
    let side = std::mem::replace(&mut connection.client, End::Closed);
    let End::H1(side) = side else { return After::Drop };
    let socket = Rc::new(RefCell::new(side));
    connection.watch.set(limits.header_ms);
    let meter = Meter::of_client(Rc::clone(&connection.worker.deadlines));
    let (side, preface_bytes) = (Rc::clone(&socket), PREFACE.len());
    let io = Io { side, meter: Rc::clone(&meter), preface_bytes };
    let handshake = builder(&limits).handshake(io);
    let mut handshake = pin!(handshake);
    let watch = &connection.watch;
    let streams = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Pending if watch.is_over() => Poll::Ready(None),
        polled => polled.map(Result::ok),
    })
    .await;
    let after = match streams {
        Some(streams) => accept(connection, &limits, &meter, streams).await,
        None => After::Close,
    };
    // Whatever still held the socket is gone with the streams.
    if let Ok(side) = Rc::try_unwrap(socket) {
        connection.client = End::H1(side.into_inner());
        return after;
    }
    After::Drop
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.head.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BYTES_MAX)
        .enable_connect_protocol();
    builder
}

/// Accepts streams until there are no more.
async fn accept(
    connection: &mut Connection,
    limits: &Limits,
    meter: &Rc<Meter>,
    mut streams: Streams<Io, Piece>,
) -> After {
    let open_max = STREAMS_OPEN_FACTOR * limits.streams_max as usize;
    let open = Rc::new(Cell::new(0_usize));
    let mut stage = Stage::Serving { idle: false };
    connection.watch.set_idle(limits.keep_alive_idle_ms);
    loop {
        let accepted = poll_fn(|cx| {
            let accepted = if open.get() < open_max {
                streams.poll_accept(cx)
            } else {
                // They take their time to end: no new ones until then, but these go on.
                streams.poll_closed(cx).map(|closed| closed.err().map(Err))
            };
            meter.turns.settle(meter.now_ms(), cx);
            if let Some(flood) = meter.look(FrameGuard::over)
                && !matches!(stage, Stage::Gone)
            {
                count_flood(connection, flood);
                streams.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                connection.watch.set(FAREWELL_MS);
                stage = Stage::Gone;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if accepted.is_pending() && !stage.go_on(connection, limits, open.get(), &mut streams) {
                return Poll::Ready(None);
            }
            accepted
        })
        .await;
        match accepted {
            Some(Ok((request, respond))) => {
                connection.served += 1;
                if connection.served >= limits.requests_per_connection_max {
                    streams.graceful_shutdown();
                }
                let opened = Opened {
                    worker: Rc::clone(&connection.worker),
                    listener: Rc::clone(&connection.listener),
                    peer: connection.peer,
                    tls: connection.tls.clone(),
                    served: connection.served,
                    turn: Turn::new(Rc::clone(meter), connection.served, request.headers()),
                    request,
                    respond,
                    _open: Open::new(Rc::clone(&open)),
                };
                connection.worker.streams.start(opened, Opened::serve);
            }
            // The client is told why by the library, before it says so here.
            Some(Err(error)) => {
                let calm = error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
                if calm && !matches!(stage, Stage::Gone) {
                    count_flood(connection, meter.look(FrameGuard::last).unwrap_or(Flood::Reset));
                }
                return After::Close;
            }
            None => return After::Close,
        }
    }
}

/// Counts a client that was thrown out, and says so.
fn count_flood(connection: &Connection, flood: Flood) {
    connection.worker.counters().floods[flood as usize].add(1);
}

/// How far a connection is.
enum Stage {
    Serving {
        /// Whether it waits for a stream.
        idle: bool,
    },
    /// No new streams; those that are open go on.
    Leaving,
    /// The last bytes have a time limit.
    Gone,
}

impl Stage {
    /// Looks at the time when nothing else is to do; false if the connection is to end.
    fn go_on(
        &mut self,
        connection: &Connection,
        limits: &Limits,
        open: usize,
        streams: &mut Streams<Io, Piece>,
    ) -> bool {
        let watch = &connection.watch;
        match self {
            Self::Serving { idle } => {
                if connection.worker.draining.get() || (*idle && open == 0 && watch.is_over()) {
                    streams.graceful_shutdown();
                    watch.set(if open == 0 { FAREWELL_MS } else { u64::MAX });
                    *self = if open == 0 { Self::Gone } else { Self::Leaving };
                } else if *idle != (open == 0) {
                    *idle = open == 0;
                    // Without end while a stream is open: each has deadlines of its own. It can be
                    // woken all the same, to tell the client that no more streams are welcome.
                    watch.set_idle(if *idle { limits.keep_alive_idle_ms } else { u64::MAX });
                }
                true
            }
            Self::Leaving => {
                if open == 0 {
                    watch.set(FAREWELL_MS);
                    *self = Self::Gone;
                }
                true
            }
            Self::Gone => !watch.is_over(),
        }
    }
}

/// A stream that is to be served.
pub(crate) struct Opened {
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    peer: Peer,
    tls: Option<Rc<Secured>>,
    served: u64,
    turn: Turn,
    request: Request<RecvStream>,
    respond: SendResponse<Piece>,
    /// Held as long as the stream is open.
    _open: Open,
}

impl Opened {
    async fn serve(self) {
        let Self { worker, listener, peer, tls, served, turn, request, respond, _open } = self;
        let watch = Watch::new(Rc::clone(&worker.deadlines)).await;
        let (parts, recv) = request.into_parts();
        let client =
            End::Stream(Box::new(stream::Stream::H2(Stream::of_client(recv, respond, turn))));
        let mut stream = Connection { worker, listener, client, peer, tls, watch, served };
        serve_one(&mut stream, &Request::from_parts(parts, ())).await;
    }
}

async fn serve_one(stream: &mut Connection, request: &Request<()>) {
    let snapshot = stream.worker.pin();
    let mut scratch = stream.worker.take_scratch();
    let limits = &snapshot.limits.head;
    let read =
        heads::read(request, stream.peer.https, &mut scratch.request, &mut scratch.out, limits);
    let why = match read {
        Ok(()) => match serve::serve(stream, &snapshot, &mut scratch).await {
            After::Reset => Some(Why::Internal),
            After::Drop => Some(Why::Cancelled),
            After::Persist | After::Close => None,
        },
        Err(fault) => {
            let malformed =
                matches!(fault, Fault::Malformed(malformed) if malformed.status() == 400);
            serve::refuse(stream, &snapshot, &mut scratch, fault).await;
            // RFC 9113, 8.1.1: a malformed request is "a stream error of type PROTOCOL_ERROR"; the
            // answer may go before it.
            malformed.then_some(Why::Malformed)
        }
    };
    if let (Some(why), End::Stream(client)) = (why, &mut stream.client) {
        client.reset(why);
    }
    stream.worker.return_scratch(scratch);
}

/// Counts an open stream, however it ends.
struct Open(Rc<Cell<usize>>);

impl Open {
    fn new(count: Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
