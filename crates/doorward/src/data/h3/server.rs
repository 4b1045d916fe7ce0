//! A client's connection of HTTP/3: accepts streams, starts one task for each.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn_proto::{ConnectionError, Dir, StreamId};
use rules::Fault;
use rules::flood::{Flood, Gauge};
use rules::forward::Peer;
use wire::h1::{Framing, Malformed};
use wire::h3::{self, Code, Control, Section};
use wire::priority::Priority;
use wire::{Known, Method};

use super::control::Controls;
use super::stream::{Stream, Wrong};
use crate::control::snapshot::{Limits, covers};
use crate::data::connection::{After, Connection};
use crate::data::deadline::Watch;
use crate::data::end::End;
use crate::data::listen::Listener;
use crate::data::quic::{Driver, Happened, Link};
use crate::data::scratch::Scratch;
use crate::data::serve;
use crate::data::stream::{self, Gone, Why};
use crate::data::tls::{Refused, Secured};
use crate::data::worker::{Pinned, Worker};

/// What RFC 9114, 4.2.2 adds to each field line when it counts.
const LINE_OVERHEAD_BYTES: usize = 32;

/// So many times the streams that a client may have open may be at work for it: those that it gave
/// up need a moment to end (CVE-2023-44487).
const STREAMS_OPEN_FACTOR: usize = 2;

/// How long a client may take to acknowledge what was sent last.
const FAREWELL_MS: u64 = 2_000;

/// How often a client that waits for an answer is shown that we are there: more often than any
/// client loses patience (RFC 9114, 5.1).
const SIGN_OF_LIFE_MS: u64 = 10_000;

/// What the streams of one connection share.
pub(super) struct Talk {
    pub(super) link: Rc<Link>,
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    /// The longest field section, before it is read and after.
    pub(super) section_bytes_max: usize,
    /// Where field sections are written.
    pub(super) section: RefCell<Vec<u8>>,
    /// Where field sections are read.
    reading: RefCell<Section>,
    /// What was agreed on in the handshake.
    secured: RefCell<Option<Rc<Secured>>>,
    open: Cell<usize>,
    served: Cell<u64>,
    /// What the client said about streams out of turn (RFC 9218, 7).
    priorities: RefCell<HashMap<u64, Priority>>,
}

impl Talk {
    /// Ends the connection for what the client did.
    pub(super) fn fail(&self, code: Code) {
        if code == Code::ExcessiveLoad {
            // All of these are frames that bring nothing.
            self.flood(Flood::Empty);
        } else if !self.link.is_lost() {
            self.link.close(code.number());
        }
    }

    fn flood(&self, flood: Flood) {
        if !self.link.is_lost() {
            self.worker.counters().floods[flood as usize].add(1);
            self.link.close(Code::ExcessiveLoad.number());
        }
    }

    /// Takes over what is known of the priority of stream `id`; before that, what `field` says.
    fn prioritise(&self, id: StreamId, field: Option<&[u8]>) {
        let said = self.priorities.borrow_mut().remove(&u64::from(id));
        if let Some(priority) = said.or_else(|| field.map(Priority::read)) {
            self.link.prioritise(id, rank(priority));
        }
    }
}

/// How QUIC's library is told of a priority: higher goes first, 0 is the default.
fn rank(priority: Priority) -> i32 {
    i32::from(Priority::default().urgency) - i32::from(priority.urgency)
}

/// Serves the client on `link` by HTTP/3 until it ends. `place` is what it takes of the limits.
pub(crate) async fn run<P>(worker: Rc<Worker>, listener: Rc<Listener>, link: Rc<Link>, place: P) {
    worker.wake();
    let watch = Watch::new(Rc::clone(&worker.deadlines)).await;
    let limits = worker.pin().limits;
    let driver = Driver::new(Rc::clone(&link));
    let mut session = Session::new(worker, listener, link, watch, limits, driver);
    poll_fn(|cx| session.poll(cx)).await;
    let Session { mut driver, .. } = session;
    drop(place);
    // It is over, but for what is still under way (RFC 9000, 10.2).
    poll_fn(|cx| {
        driver.receive(cx);
        while driver.happened().is_some() {}
        driver.poll_send(cx)
    })
    .await;
}

/// A connection, as its task sees it.
struct Session {
    talk: Rc<Talk>,
    watch: Watch,
    limits: Limits,
    driver: Driver,
    controls: Controls,
    /// Our own control stream.
    control: Option<StreamId>,
    gauge: Gauge,
    stage: Stage,
    /// The number of the next stream that the client opens for a request.
    next_id: u64,
    /// Whether there may be streams that were not taken yet.
    more: bool,
    datagrams_sent: u64,
}

/// Why a handshake ended without a connection.
fn refused(reason: &ConnectionError) -> Refused {
    match reason {
        ConnectionError::TimedOut => Refused::Timeout,
        // What we had against it: alerts of TLS stand behind 0x100 (RFC 9001, 4.8).
        ConnectionError::TransportError(error) => match u64::from(error.code) {
            0x178 => Refused::NoProtocol,
            0x128 => Refused::NoCipher,
            _ => Refused::Malformed,
        },
        // What the client had against us.
        ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
            0x12a..=0x130 => Refused::BadCertificate,
            0x100..=0x1ff => Refused::Alert,
            _ => Refused::Closed,
        },
        _ => Refused::Closed,
    }
}

/// How far a connection is.
enum Stage {
    Handshake,
    Serving {
        /// Whether it waits for a stream.
        idle: bool,
    },
    /// No new streams; those that are open go on.
    Leaving,
    /// The last bytes have a time limit.
    Gone,
}

impl Session {
    fn new(
        worker: Rc<Worker>,
        listener: Rc<Listener>,
        link: Rc<Link>,
        watch: Watch,
        limits: Limits,
        driver: Driver,
    ) -> Self {
        let head = &limits.head;
        let talk = Talk {
            link,
            worker,
            listener,
            section_bytes_max: head.head_bytes_max + head.fields_max * LINE_OVERHEAD_BYTES,
            section: RefCell::default(),
            reading: RefCell::default(),
            secured: RefCell::default(),
            open: Cell::new(0),
            served: Cell::new(0),
            priorities: RefCell::default(),
        };
        watch.set(limits.handshake_ms);
        Self {
            talk: Rc::new(talk),
            watch,
            limits,
            driver,
            controls: Controls::default(),
            control: None,
            gauge: Gauge::default(),
            stage: Stage::Handshake,
            next_id: 0,
            more: false,
            datagrams_sent: 0,
        }
    }

    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.driver.receive(cx);
        while let Some(happened) = self.driver.happened() {
            self.happened(happened);
        }
        self.look_for_floods();
        self.accept();
        if !self.talk.link.is_lost() {
            self.go_on();
        }
        let gone = self.driver.poll_send(cx);
        match gone.is_ready() || self.talk.link.is_lost() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn happened(&mut self, happened: Happened) {
        let read = match happened {
            Happened::Connected => self.begin(),
            Happened::Streams => {
                self.more = true;
                Ok(())
            }
            Happened::OneWayStreams => self.accept_one_way(),
            Happened::Readable(id) => self.read(id),
            Happened::Lost(reason) => {
                if matches!(self.stage, Stage::Handshake) {
                    let failures = &self.talk.worker.counters().handshake_failures;
                    failures[refused(&reason) as usize].add(1);
                }
                Ok(())
            }
        };
        if let Err(code) = read {
            self.talk.fail(code);
        }
    }

    /// The handshake is done: our settings go first.
    fn begin(&mut self) -> Result<(), Code> {
        // That of TLS 1.3, which does not tell whether it went on with an earlier session.
        self.talk.worker.counters().handshakes[1][0].add(1);
        let snapshot = self.talk.worker.pin();
        let https = snapshot.tls.as_ref();
        let clients = https.and_then(|https| https.at(self.talk.listener.written).1);
        let secured = self.talk.link.secured(clients.map(|clients| &**clients));
        *self.talk.secured.borrow_mut() = Some(Rc::new(secured));
        // RFC 9114, 6.2: a client "MUST" let us open this one.
        let id = self.talk.link.open().ok_or(Code::StreamCreation)?;
        self.control = Some(id);
        let mut start = Vec::with_capacity(32);
        h3::write_control_start(self.talk.section_bytes_max as u64, &mut start);
        let _ = self.talk.link.write(id, start.into(), false);
        // Before everything else: whoever waits for settings waits with all requests.
        self.talk.link.prioritise(id, i32::MAX);
        self.stage = Stage::Serving { idle: true };
        self.watch.set_idle(self.limits.keep_alive_idle_ms);
        Ok(())
    }

    fn accept_one_way(&mut self) -> Result<(), Code> {
        while let Some(id) = self.talk.link.accept(Dir::Uni) {
            // Streams that mean nothing cost as much as frames that do.
            self.gauge.add(Flood::Priority, 1, self.watch.now_ms());
            self.controls.add(id);
            self.read(id)?;
        }
        Ok(())
    }

    fn read(&mut self, id: StreamId) -> Result<(), Code> {
        let (talk, next_id) = (&*self.talk, self.next_id);
        let (gauge, now_ms) = (&mut self.gauge, self.watch.now_ms());
        let ids_max = next_id + 4 * u64::from(self.limits.streams_max);
        self.controls.read(&talk.link, id, |control| {
            if let Control::Settings(_) = control {
                return Ok(());
            }
            gauge.add(Flood::Priority, 1, now_ms);
            let Control::Priority(id, priority) = control else { return Ok(()) };
            if id >= ids_max {
                // RFC 9218, 7.2: beyond what the client may open.
                return Err(Code::Id);
            }
            if id < next_id {
                if let Ok(id) = quinn_proto::VarInt::from_u64(id) {
                    talk.link.prioritise(id.into(), rank(priority));
                }
            } else {
                talk.priorities.borrow_mut().insert(id, priority);
            }
            Ok(())
        })
    }

    /// Starts a task for each new stream.
    fn accept(&mut self) {
        let open_max = STREAMS_OPEN_FACTOR * self.limits.streams_max as usize;
        while self.more && !self.talk.link.is_lost() {
            if self.talk.open.get() >= open_max {
                // They take their time to end: no new ones until then.
                return;
            }
            let Some(id) = self.talk.link.accept(Dir::Bi) else {
                self.more = false;
                return;
            };
            if !matches!(self.stage, Stage::Serving { .. }) {
                // RFC 9114, 5.2: beyond what GOAWAY named. Nothing was done of it.
                self.talk.link.reset(id, Code::RequestRejected.number());
                self.talk.link.stop(id, Code::RequestRejected.number());
                continue;
            }
            self.next_id = u64::from(id) + 4;
            self.gauge.relieve(Flood::Priority, 2);
            let served = self.talk.served.get() + 1;
            self.talk.served.set(served);
            let opened = Opened { talk: Rc::clone(&self.talk), id, served };
            self.talk.open.set(self.talk.open.get() + 1);
            self.talk.worker.requests.start(opened, Opened::serve);
            if served >= self.limits.requests_per_connection_max {
                self.leave();
            }
        }
    }

    /// Counts what came that costs its sender next to nothing.
    fn look_for_floods(&mut self) {
        let (link, now_ms) = (&self.talk.link, self.watch.now_ms());
        let datagrams = link.datagrams_sent();
        self.gauge.sent(datagrams - self.datagrams_sent);
        self.datagrams_sent = datagrams;
        let frames = link.frames();
        for (flood, total) in [
            // A client that gives a request up sends both.
            (Flood::Reset, frames.reset_stream.max(frames.stop_sending)),
            (Flood::Ping, frames.ping + frames.path_challenge),
            (Flood::ConnectionId, frames.new_connection_id + frames.retire_connection_id),
            (
                Flood::WindowUpdate,
                frames.max_data
                    + frames.max_stream_data
                    + frames.max_streams_bidi
                    + frames.max_streams_uni
                    + frames.data_blocked
                    + frames.stream_data_blocked
                    + frames.streams_blocked_bidi
                    + frames.streams_blocked_uni,
            ),
        ] {
            self.gauge.reached(flood, total, now_ms);
        }
        if let Some(flood) = self.gauge.over() {
            self.talk.flood(flood);
        }
    }

    /// Looks at the time.
    fn go_on(&mut self) {
        let (talk, watch) = (Rc::clone(&self.talk), &self.watch);
        let open = talk.open.get();
        match &mut self.stage {
            Stage::Handshake => {
                if watch.is_over() || talk.link.is_unwelcome() {
                    let failures = &talk.worker.counters().handshake_failures;
                    failures[Refused::Timeout as usize].add(1);
                    talk.link.close(Code::None.number());
                }
            }
            Stage::Serving { idle } => {
                let unwelcome = talk.worker.draining.get() || talk.link.is_unwelcome();
                if unwelcome || (*idle && open == 0 && watch.is_over()) {
                    self.leave();
                } else if *idle != (open == 0) {
                    *idle = open == 0;
                    let wait_ms =
                        if *idle { self.limits.keep_alive_idle_ms } else { SIGN_OF_LIFE_MS };
                    watch.set_idle(wait_ms);
                } else if watch.is_over() {
                    talk.link.ping();
                    watch.set_idle(SIGN_OF_LIFE_MS);
                }
            }
            Stage::Leaving => {
                if open == 0 {
                    watch.set(FAREWELL_MS);
                    self.stage = Stage::Gone;
                    self.go_on();
                } else if watch.is_over() {
                    talk.link.ping();
                    watch.set(SIGN_OF_LIFE_MS);
                }
            }
            Stage::Gone => {
                // All but our control stream, which ends with the connection.
                if talk.link.sending() <= 1 || watch.is_over() {
                    talk.link.close(Code::None.number());
                }
            }
        }
    }

    /// Tells the client that no more streams are welcome.
    fn leave(&mut self) {
        let mut frame = Vec::with_capacity(16);
        h3::write_goaway(self.next_id, &mut frame);
        if let Some(control) = self.control {
            let _ = self.talk.link.write(control, Bytes::from(frame), false);
        }
        self.watch.set(SIGN_OF_LIFE_MS);
        self.stage = Stage::Leaving;
        self.talk.link.wake();
    }
}

/// A stream that is to be served.
pub(crate) struct Opened {
    talk: Rc<Talk>,
    id: StreamId,
    served: u64,
}

impl Drop for Opened {
    /// Counts an open stream out, however it ends.
    fn drop(&mut self) {
        self.talk.open.set(self.talk.open.get() - 1);
        self.talk.link.wake();
    }
}

impl Opened {
    async fn serve(self) {
        let (talk, id) = (&self.talk, self.id);
        let worker = Rc::clone(&talk.worker);
        let watch = Watch::new(Rc::clone(&worker.deadlines)).await;
        let mut stream = Stream::new(Rc::clone(talk), id);
        let snapshot = worker.pin();
        watch.set(snapshot.limits.header_ms);
        let head = poll_fn(|cx| match stream.poll_head(cx) {
            Poll::Pending if watch.is_over() => Poll::Ready(Err(None)),
            polled => polled.map_err(Some),
        })
        .await;
        let mut scratch = worker.take_scratch();
        let read = match head {
            Ok(()) => match read_head(talk, &snapshot, &mut stream, &mut scratch) {
                Ok(()) => settle(&mut stream, &watch, &scratch).await,
                failed => failed,
            },
            Err(None) => Err(Failed::Fault(Fault::HeadTimeout)),
            Err(Some(wrong)) => Err(wrong.into()),
        };
        let fault = match read {
            Ok(()) => Ok(None),
            Err(Failed::Fault(fault)) => Ok(Some(fault)),
            Err(Failed::Stream(code)) => Err(code),
            Err(Failed::Gone) => Err(Code::RequestCancelled),
            Err(Failed::Connection(code)) => {
                talk.fail(code);
                Err(code)
            }
        };
        match fault {
            Ok(fault) => self.answer(&snapshot, stream, watch, &mut scratch, fault).await,
            Err(code) => stream.reset_code(code),
        }
        worker.return_scratch(scratch);
    }

    /// Answers the request in `scratch`, or what is wrong with it.
    async fn answer(
        &self,
        snapshot: &Pinned,
        stream: Stream,
        watch: Watch,
        scratch: &mut Scratch,
        fault: Option<Fault>,
    ) {
        let address = self.talk.link.remote();
        let trusted = covers(&snapshot.trust, address.ip());
        let peer = Peer { address: Some(address), trusted, https: true };
        let client = End::Stream(Box::new(stream::Stream::H3(stream)));
        let mut connection = Connection {
            worker: Rc::clone(&self.talk.worker),
            listener: Rc::clone(&self.talk.listener),
            client,
            peer,
            tls: self.talk.secured.borrow().clone(),
            watch,
            served: self.served,
        };
        let why = match fault {
            None => match serve::serve(&mut connection, snapshot, scratch).await {
                After::Reset => Some(Why::Internal),
                After::Drop => Some(Why::Cancelled),
                After::Persist | After::Close => None,
            },
            Some(fault) => {
                serve::refuse(&mut connection, snapshot, scratch, fault).await;
                let malformed =
                    matches!(fault, Fault::Malformed(malformed) if malformed.status() == 400);
                // RFC 9114, 4.1.2: "a stream error of type H3_MESSAGE_ERROR"; the answer may go
                // before it.
                malformed.then_some(Why::Malformed)
            }
        };
        let Connection { client: End::Stream(mut client), watch, .. } = connection else { return };
        let stream::Stream::H3(stream) = &mut *client else { return };
        match why {
            Some(why) => stream.reset(why),
            None => linger(stream, &watch, snapshot.limits.body_idle_ms).await,
        }
    }
}

/// Waits for what follows the head of a request that will hardly have a body: if its end comes in a
/// packet of its own, the service is not to be told of a body that may come.
async fn settle(stream: &mut Stream, watch: &Watch, scratch: &Scratch) -> Result<(), Failed> {
    let request = &scratch.request;
    let bodiless = matches!(request.method, Method::Get | Method::Head);
    if !bodiless || request.connection.upgrade || request.fields.has(Known::ContentLength) {
        return Ok(());
    }
    poll_fn(|cx| match stream.poll_more(cx) {
        Poll::Pending if watch.is_over() => Poll::Ready(Ok(())),
        polled => polled.map_err(Failed::from),
    })
    .await
}

/// Waits until the client has room for what was sent last.
async fn linger(stream: &mut Stream, watch: &Watch, wait_ms: u64) {
    let mut armed = false;
    let flushed = poll_fn(|cx| match stream.poll_flushed(cx) {
        Poll::Pending if !armed => {
            armed = true;
            watch.unlimit();
            watch.set(wait_ms);
            Poll::Pending
        }
        Poll::Pending if watch.is_over() => Poll::Ready(Err(Gone)),
        polled => polled,
    })
    .await;
    if flushed.is_err() {
        stream.reset(Why::Cancelled);
    }
}

/// Why there is no request to serve.
enum Failed {
    Gone,
    Stream(Code),
    Connection(Code),
    Fault(Fault),
}

impl From<Wrong> for Failed {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Gone => Self::Gone,
            Wrong::Incomplete => Self::Stream(Code::RequestIncomplete),
            Wrong::TooLarge => Self::Fault(Fault::Malformed(Malformed::HeadTooLarge)),
            Wrong::Connection(code) => Self::Connection(code),
        }
    }
}

/// Reads the head that has come on `stream`.
fn read_head(
    talk: &Talk,
    snapshot: &Pinned,
    stream: &mut Stream,
    scratch: &mut Scratch,
) -> Result<(), Failed> {
    let malformed = |malformed| Failed::Fault(Fault::Malformed(malformed));
    let mut section = talk.reading.borrow_mut();
    section.read(stream.section(), talk.section_bytes_max).map_err(Wrong::from)?;
    let limits = &snapshot.limits.head;
    h3::read_request(&section, &mut scratch.request, &mut scratch.out, limits)
        .map_err(malformed)?;
    talk.prioritise(stream.id(), scratch.request.fields.get_named("priority"));
    if let Ok(Framing::Length(bytes)) = wire::h1::request_framing(&scratch.request) {
        if bytes > 0 && stream.is_received() {
            return Err(malformed(Malformed::Truncated));
        }
        stream.expect(bytes);
    }
    Ok(())
}
