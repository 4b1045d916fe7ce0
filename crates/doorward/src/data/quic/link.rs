//! One connection of QUIC, and the task that drives it.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{
    Connection, ConnectionError, ConnectionEvent, ConnectionHandle, Dir, EndpointEvent, Event,
    FrameStats, ReadError, StreamEvent, StreamId, Transmit, VarInt, WriteError,
};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant as TimerInstant, Sleep};

use super::endpoint::Endpoint;
use crate::control::trust::ClientsTls;
use crate::data::stream::Gone;
use crate::data::tls::{Protocol, Proven, Secured};

/// Datagrams that may wait for the connection's task; more are lost, as in any full queue on the way.
/// One round of the endpoint's brings no more than a few hundred.
const WAITING_MAX: usize = 4096;

/// Datagrams that one connection sends before the others get their turn.
const DATAGRAMS_A_TURN: usize = 128;

/// A connection.
pub(crate) struct Link {
    endpoint: Rc<Endpoint>,
    handle: ConnectionHandle,
    proto: RefCell<Connection>,
    waiting: RefCell<VecDeque<ConnectionEvent>>,
    driver: RefCell<Waker>,
    /// Whether the driver will run soon, whoever else has something for it.
    awake: Cell<bool>,
    /// Tasks that wait for something on their stream. Each stream has one task.
    blocked: RefCell<HashMap<StreamId, Waker>>,
    /// What flow control did not let through yet.
    unsent: RefCell<HashMap<StreamId, Unsent>>,
    /// Streams to reset when what is to be sent on them has gone.
    dying: RefCell<Vec<(StreamId, VarInt)>>,
    lost: Cell<bool>,
    unproven: Cell<bool>,
}

/// Bytes of one stream that wait for flow control.
struct Unsent {
    chunks: VecDeque<Bytes>,
    /// Whether nothing comes behind them.
    ends: bool,
}

/// What came of a stream that was read.
#[derive(Debug)]
pub(crate) enum Taken {
    Bytes(Bytes),
    End,
}

/// What happened to a connection.
pub(crate) enum Happened {
    /// The handshake is done.
    Connected,
    /// There are new streams in both directions.
    Streams,
    /// There are new streams in one direction.
    OneWayStreams,
    /// There is something to read on a stream that nobody waits for.
    Readable(StreamId),
    /// It is over.
    Lost(ConnectionError),
}

impl Link {
    pub(super) fn new(
        endpoint: Rc<Endpoint>,
        handle: ConnectionHandle,
        connection: Connection,
    ) -> Self {
        endpoint.unproven.set(endpoint.unproven.get() + 1);
        Self {
            endpoint,
            handle,
            proto: RefCell::new(connection),
            waiting: RefCell::default(),
            driver: RefCell::new(Waker::noop().clone()),
            awake: Cell::new(false),
            blocked: RefCell::default(),
            unsent: RefCell::default(),
            dying: RefCell::default(),
            lost: Cell::new(false),
            unproven: Cell::new(true),
        }
    }

    pub(super) fn receive(&self, event: ConnectionEvent) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < WAITING_MAX {
            waiting.push_back(event);
            drop(waiting);
            self.wake();
        }
    }

    /// Lets the driver look what is to do.
    pub(crate) fn wake(&self) {
        if !self.awake.replace(true) {
            self.driver.borrow().wake_by_ref();
        }
    }

    /// Whether nobody is there any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    /// Whether it is to end as soon as it can.
    pub(crate) fn is_unwelcome(&self) -> bool {
        self.endpoint.is_stopped()
    }

    /// What was agreed on in the handshake; services are told of a certificate as `clients` says.
    pub(crate) fn secured(&self, clients: Option<&ClientsTls>) -> Secured {
        let proto = self.proto.borrow();
        let data = proto.crypto_session().handshake_data();
        let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
        let name = data.and_then(|data| data.server_name);
        let chain = proto.crypto_session().peer_identity();
        let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        let chain = chain.as_ref().map(|chain| &***chain);
        Secured {
            // RFC 9001, 4.2: nothing older.
            version: "TLSv1.3",
            cipher: None,
            proven: Proven::new(name.as_deref(), chain, clients),
            resumed: None,
            protocol: Protocol::H3,
        }
    }

    /// Where the client is now.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.proto.borrow().remote_address()
    }

    /// The frames that came so far.
    pub(crate) fn frames(&self) -> FrameStats {
        self.proto.borrow().stats().frame_rx
    }

    /// Datagrams that were sent so far.
    pub(crate) fn datagrams_sent(&self) -> u64 {
        self.proto.borrow().stats().udp_tx.datagrams
    }

    /// Shows the client that we are there.
    pub(crate) fn ping(&self) {
        self.proto.borrow_mut().ping();
        self.wake();
    }

    /// Ends the connection.
    pub(crate) fn close(&self, code: u32) {
        self.proto.borrow_mut().close(Instant::now(), VarInt::from_u32(code), Bytes::new());
        self.lose();
        self.wake();
    }

    /// Takes the next stream that the client has opened.
    pub(crate) fn accept(&self, dir: Dir) -> Option<StreamId> {
        self.proto.borrow_mut().streams().accept(dir)
    }

    /// Opens a stream to the client, if it lets us.
    pub(crate) fn open(&self) -> Option<StreamId> {
        self.proto.borrow_mut().streams().open(Dir::Uni)
    }

    /// Streams on which something may not have arrived yet.
    pub(crate) fn sending(&self) -> usize {
        self.proto.borrow_mut().streams().send_streams()
    }

    /// Reads what is there of stream `id`, at most `bytes_max`.
    pub(crate) fn read(&self, id: StreamId, bytes_max: usize) -> Poll<Result<Taken, Gone>> {
        if self.is_lost() {
            return Poll::Ready(Err(Gone));
        }
        let mut proto = self.proto.borrow_mut();
        let mut stream = proto.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return Poll::Ready(Err(Gone)) };
        let taken = match chunks.next(bytes_max) {
            Ok(Some(chunk)) => Poll::Ready(Ok(Taken::Bytes(chunk.bytes))),
            Ok(None) => Poll::Ready(Ok(Taken::End)),
            Err(ReadError::Blocked) => Poll::Pending,
            Err(ReadError::Reset(_)) => Poll::Ready(Err(Gone)),
        };
        if chunks.finalize().should_transmit() {
            drop(proto);
            self.wake();
        }
        taken
    }

    /// As [`Self::read`], for the task of the stream.
    pub(crate) fn poll_read(
        &self,
        id: StreamId,
        bytes_max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Taken, Gone>> {
        let read = self.read(id, bytes_max);
        if read.is_pending() {
            self.wait(id, cx);
        }
        read
    }

    /// Wakes the task when something happens to stream `id`.
    pub(crate) fn wait(&self, id: StreamId, cx: &Context<'_>) {
        let mut blocked = self.blocked.borrow_mut();
        match blocked.get_mut(&id) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => drop(blocked.insert(id, cx.waker().clone())),
        }
    }

    /// Writes `bytes` to stream `id`, with `ends` as the last ones. What flow control does not let
    /// through is kept, and goes when it does: see [`Self::poll_flushed`].
    pub(crate) fn write(&self, id: StreamId, bytes: Bytes, ends: bool) -> Result<(), Gone> {
        if self.is_lost() {
            return Err(Gone);
        }
        if let Some(unsent) = self.unsent.borrow_mut().get_mut(&id) {
            unsent.chunks.push_back(bytes);
            unsent.ends |= ends;
            return Ok(());
        }
        let mut unsent = Unsent { chunks: VecDeque::new(), ends };
        let left = self.write_now(id, bytes)?;
        if left.is_empty() {
            if ends {
                self.finish(id)?;
            }
        } else {
            unsent.chunks.push_back(left);
            self.unsent.borrow_mut().insert(id, unsent);
        }
        self.wake();
        Ok(())
    }

    /// Writes what goes of `bytes`, and gives back the rest.
    fn write_now(&self, id: StreamId, bytes: Bytes) -> Result<Bytes, Gone> {
        let mut chunks = [bytes];
        // Only a write that is refused is told when it would not be.
        while !chunks[0].is_empty() {
            let written = self.proto.borrow_mut().send_stream(id).write_chunks(&mut chunks);
            match written {
                Ok(written) if written.chunks == 1 => chunks[0].clear(),
                Ok(_) => {}
                Err(WriteError::Blocked) => break,
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => return Err(Gone),
            }
        }
        let [left] = chunks;
        Ok(left)
    }

    fn finish(&self, id: StreamId) -> Result<(), Gone> {
        self.proto.borrow_mut().send_stream(id).finish().map_err(|_| Gone)
    }

    /// Writes what is left of stream `id`; true if nothing is left then.
    fn go_on(&self, id: StreamId) -> bool {
        let Some(mut unsent) = self.unsent.borrow_mut().remove(&id) else { return true };
        while let Some(bytes) = unsent.chunks.pop_front() {
            match self.write_now(id, bytes) {
                Ok(left) if left.is_empty() => {}
                Ok(left) => {
                    unsent.chunks.push_front(left);
                    self.unsent.borrow_mut().insert(id, unsent);
                    return false;
                }
                Err(Gone) => return true,
            }
        }
        if unsent.ends {
            // A client that wants nothing more does not care how it ends.
            let _ = self.finish(id);
        }
        true
    }

    /// Ready when all that was written to stream `id` has been let through.
    pub(crate) fn poll_flushed(&self, id: StreamId, cx: &Context<'_>) -> Poll<Result<(), Gone>> {
        if self.is_lost() {
            return Poll::Ready(Err(Gone));
        }
        if !self.is_flushed(id) {
            self.wait(id, cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether all that was written to stream `id` has been let through.
    pub(crate) fn is_flushed(&self, id: StreamId) -> bool {
        !self.unsent.borrow().contains_key(&id)
    }

    /// Whether the client wants nothing more of stream `id`.
    pub(crate) fn is_unwanted(&self, id: StreamId) -> bool {
        self.is_lost() || matches!(self.proto.borrow_mut().send_stream(id).stopped(), Ok(Some(_)))
    }

    /// Breaks off what is sent on stream `id`.
    pub(crate) fn reset(&self, id: StreamId, code: u32) {
        self.unsent.borrow_mut().remove(&id);
        // It may have ended by itself.
        let _ = self.proto.borrow_mut().send_stream(id).reset(VarInt::from_u32(code));
        self.wake();
    }

    /// As [`Self::reset`], behind what was written.
    pub(crate) fn reset_behind(&self, id: StreamId, code: u32) {
        self.dying.borrow_mut().push((id, VarInt::from_u32(code)));
        self.wake();
    }

    /// Asks the client to send nothing more on stream `id`.
    pub(crate) fn stop(&self, id: StreamId, code: u32) {
        // It may have ended by itself.
        let _ = self.proto.borrow_mut().recv_stream(id).stop(VarInt::from_u32(code));
        self.wake();
    }

    /// The task of stream `id` does not wait any more.
    pub(crate) fn forget(&self, id: StreamId) {
        self.blocked.borrow_mut().remove(&id);
    }

    /// The higher `priority`, the sooner is sent what is written to stream `id`.
    pub(crate) fn prioritise(&self, id: StreamId, priority: i32) {
        // One that is gone needs none.
        let _ = self.proto.borrow_mut().send_stream(id).set_priority(priority);
    }

    fn wake_stream(&self, id: StreamId) -> bool {
        let waker = self.blocked.borrow_mut().remove(&id);
        waker.map(Waker::wake).is_some()
    }

    fn lose(&self) {
        self.lost.set(true);
        self.prove();
        self.unsent.take();
        let blocked = self.blocked.take();
        blocked.into_values().for_each(Waker::wake);
    }

    /// The client's address is its own, or does not matter any more.
    fn prove(&self) {
        if self.unproven.replace(false) {
            self.endpoint.unproven.set(self.endpoint.unproven.get() - 1);
        }
    }
}

/// Drives a connection: only its task may have it.
pub(crate) struct Driver {
    link: Rc<Link>,
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off.
    armed_at: Option<Instant>,
    /// What the kernel did not take yet.
    unsent: Option<(Transmit, Vec<u8>)>,
    drained: bool,
}

impl Driver {
    pub(crate) fn new(link: Rc<Link>) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(TimerInstant::now()));
        Self { link, timer, armed_at: None, unsent: None, drained: false }
    }

    /// Takes in what arrived and what the time says. Behind it come [`Self::happened`] until it has
    /// nothing more to tell, and [`Self::poll_send`].
    pub(crate) fn receive(&mut self, cx: &Context<'_>) {
        let link = &*self.link;
        link.awake.set(false);
        link.driver.borrow_mut().clone_from(cx.waker());
        let mut proto = link.proto.borrow_mut();
        for event in link.waiting.borrow_mut().drain(..) {
            proto.handle_event(event);
        }
        if let Some(at) = proto.poll_timeout() {
            let now = Instant::now();
            if at <= now {
                proto.handle_timeout(now);
            }
        }
    }

    /// What else happened.
    pub(crate) fn happened(&mut self) -> Option<Happened> {
        let link = &*self.link;
        loop {
            let event = link.proto.borrow_mut().poll()?;
            match event {
                Event::Connected => {
                    link.prove();
                    return Some(Happened::Connected);
                }
                Event::ConnectionLost { reason } => {
                    link.lose();
                    return Some(Happened::Lost(reason));
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    return Some(Happened::Streams);
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                    return Some(Happened::OneWayStreams);
                }
                Event::Stream(StreamEvent::Readable { id }) => {
                    if !link.wake_stream(id) {
                        return Some(Happened::Readable(id));
                    }
                }
                Event::Stream(StreamEvent::Writable { id }) => {
                    if link.go_on(id) {
                        link.wake_stream(id);
                    }
                }
                Event::Stream(StreamEvent::Stopped { id, .. }) => {
                    link.unsent.borrow_mut().remove(&id);
                    link.wake_stream(id);
                }
                Event::Stream(StreamEvent::Finished { .. } | StreamEvent::Available { .. })
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
    }

    /// Sends what is to be sent and sets the timer. Ready when nothing of the connection is left.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let link = Rc::clone(&self.link);
        let now = Instant::now();
        self.send(&link, now);
        if !link.dying.borrow().is_empty() && self.unsent.is_none() {
            for (id, code) in link.dying.take() {
                let _ = link.proto.borrow_mut().send_stream(id).reset(code);
            }
            self.send(&link, now);
        }
        self.tell_endpoint(&link);
        if self.drained {
            return Poll::Ready(());
        }
        self.poll_timer(link.proto.borrow_mut(), cx);
        Poll::Pending
    }

    fn send(&mut self, link: &Rc<Link>, now: Instant) {
        let socket = &link.endpoint.socket;
        if let Some((transmit, bytes)) = self.unsent.take()
            && !socket.send(&transmit, &bytes)
        {
            self.unsent = Some((transmit, bytes));
            link.endpoint.block(Rc::clone(link));
            return;
        }
        let mut out = link.endpoint.out.borrow_mut();
        let mut proto = link.proto.borrow_mut();
        let mut datagrams = 0;
        loop {
            out.clear();
            let transmit = proto.poll_transmit(now, socket.segments_max(), &mut out);
            let Some(transmit) = transmit else { return };
            datagrams += transmit.segment_size.map_or(1, |size| transmit.size.div_ceil(size));
            if !socket.send(&transmit, &out) {
                self.unsent = Some((transmit, std::mem::take(&mut *out)));
                link.endpoint.block(Rc::clone(link));
                return;
            }
            if datagrams >= DATAGRAMS_A_TURN {
                drop(proto);
                link.wake();
                return;
            }
        }
    }

    fn tell_endpoint(&mut self, link: &Link) {
        let mut proto = link.proto.borrow_mut();
        while let Some(event) = proto.poll_endpoint_events() {
            self.drained |= event.is_drained();
            if let Some(answer) = link.endpoint.hear(link.handle, event) {
                proto.handle_event(answer);
                link.wake();
            }
        }
    }

    /// Most deadlines move on before they are over: the timer is set anew only when it goes off too
    /// early, or would be late.
    fn poll_timer(&mut self, mut proto: RefMut<'_, Connection>, cx: &mut Context<'_>) {
        let Some(at) = proto.poll_timeout() else { return };
        loop {
            if self.armed_at.is_none_or(|armed_at| at < armed_at) {
                self.timer.as_mut().reset(TimerInstant::from_std(at));
                self.armed_at = Some(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.armed_at = None;
            if at <= Instant::now() {
                drop(proto);
                self.link.wake();
                return;
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.link.lose();
        if !self.drained {
            self.link.endpoint.hear(self.link.handle, EndpointEvent::drained());
        }
    }
}
