//! The socket of one worker: receives datagrams and hands them to their connections.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::UdpSocket as StdSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{
    ConnectionEvent, ConnectionHandle, DatagramEvent, EndpointEvent, Incoming, ServerConfig,
    Transmit,
};
use tokio::sync::watch;

use super::beginnings::Beginnings;
use super::cross::{Arrival, Arrivals, Crossing, Whose};
use super::link::Link;
use super::socket::{Room, Socket};

/// A client that wants a connection.
pub(crate) type Newcomer = Incoming;

/// How many datagrams are received before the connections that they are for get their turn. It takes
/// less than a millisecond.
const DATAGRAMS_A_TURN: usize = 512;

/// How long a worker deals with what may begin connections before others get their turn. Keys are made for each, and an
/// answer: 20 us to ask for a proof of the address, and a signature where one gets a connection.
const BEGINNINGS_A_TURN: Duration = Duration::from_millis(1);

/// Pause after receiving failed for want of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// Who decides about clients, and is told of what goes wrong.
pub(crate) trait Host {
    /// A client wants a connection: give it one, or say what it hears instead.
    fn greet(&self, endpoint: &Rc<Endpoint>, newcomer: Newcomer);

    /// There were too many of those, and one was lost unseen.
    fn lose(&self);

    /// Nothing can be received for now.
    fn complain(&self, error: io::Error);
}

/// How a turn of an endpoint ended, if it does not wait for anything.
enum Turn {
    /// More is there already: others have waited long enough.
    More,
    /// Nothing is left to do.
    Over,
}

/// One socket, and the connections that began on it.
pub(crate) struct Endpoint {
    proto: RefCell<quinn_proto::Endpoint>,
    pub(super) socket: Socket,
    crossing: Crossing,
    worker: usize,
    /// By the number of their handle.
    links: RefCell<Vec<Option<Rc<Link>>>>,
    open: Cell<usize>,
    /// Connections whose client has not shown yet that its address is its own.
    pub(super) unproven: Cell<usize>,
    /// Whether no more connections are welcome.
    stopped: Cell<bool>,
    /// What may begin connections, and waits.
    beginnings: RefCell<Beginnings>,
    /// Connections that wait until the kernel takes more.
    blocked: RefCell<Vec<Rc<Link>>>,
    waker: RefCell<Waker>,
    /// Where packets are made.
    pub(super) out: RefCell<Vec<u8>>,
}

impl Endpoint {
    /// On `socket`, of the worker that is `worker`th of those in `crossing`.
    ///
    /// # Errors
    /// If the socket cannot do what it has to.
    pub(crate) fn new(
        socket: StdSocket,
        terms: Arc<ServerConfig>,
        crossing: Crossing,
        worker: usize,
    ) -> io::Result<Rc<Self>> {
        let socket = Socket::new(socket)?;
        let config = Arc::new(crossing.endpoint(worker));
        let finds_limits = socket.finds_path_limits();
        let proto = quinn_proto::Endpoint::new(config, Some(terms), finds_limits, None);
        Ok(Rc::new(Self {
            proto: RefCell::new(proto),
            socket,
            crossing,
            worker,
            links: RefCell::default(),
            open: Cell::new(0),
            unproven: Cell::new(0),
            stopped: Cell::new(false),
            beginnings: RefCell::default(),
            blocked: RefCell::default(),
            waker: RefCell::new(Waker::noop().clone()),
            out: RefCell::default(),
        }))
    }

    /// Receives until `stop` says so and the last connection has ended.
    pub(crate) async fn run(
        self: Rc<Self>,
        mut arrivals: Arrivals,
        mut stop: watch::Receiver<bool>,
        host: &impl Host,
    ) {
        let mut room = Room::default();
        loop {
            let turn = tokio::select! {
                biased;
                _ = stop.wait_for(|&stop| stop), if !self.stopped.get() => {
                    self.leave();
                    continue;
                }
                turn = poll_fn(|cx| self.poll_turn(cx, &mut room, &mut arrivals, host)) => turn,
            };
            match turn {
                Ok(Turn::Over) => return,
                // Waking oneself would be too soon: it is not before all who are awake had their
                // turn, but it is before the sockets are looked at.
                Ok(Turn::More) => tokio::task::yield_now().await,
                Err(error) => {
                    host.complain(error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn poll_turn(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        room: &mut Room,
        arrivals: &mut Arrivals,
        host: &impl Host,
    ) -> Poll<io::Result<Turn>> {
        self.waker.borrow_mut().clone_from(cx.waker());
        let now = Instant::now();
        let is_full = self.receive_all(cx, now, room, arrivals, host)?;
        let waits = self.begin_some(now, host);
        if !self.blocked.borrow().is_empty() && self.socket.poll_writable(cx).is_ready() {
            for link in self.blocked.take() {
                link.wake();
            }
        }
        if self.stopped.get() && self.open.get() == 0 {
            return Poll::Ready(Ok(Turn::Over));
        }
        match is_full || waits {
            true => Poll::Ready(Ok(Turn::More)),
            false => Poll::Pending,
        }
    }

    /// Receives what is there, and hands it to its connections or lets it wait. True if there may be
    /// more than fits into one turn.
    fn receive_all(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        now: Instant,
        room: &mut Room,
        arrivals: &mut Arrivals,
        host: &impl Host,
    ) -> io::Result<bool> {
        let mut left = DATAGRAMS_A_TURN;
        while left > 0
            && let Poll::Ready(Some(arrival)) = arrivals.poll_recv(cx)
        {
            left -= 1;
            self.sort(now, arrival, host);
        }
        while left > 0 {
            let Poll::Ready(received) = self.socket.poll_receive(cx, room) else {
                return Ok(false);
            };
            let messages = match received {
                Ok(messages) => messages,
                // What a client's system sent back because it knows no such port.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
                Err(error) => return Err(error),
            };
            for (meta, ecn, datagram) in room.datagrams(messages) {
                left = left.saturating_sub(1);
                let (remote, local) = (meta.addr, meta.dst_ip);
                let data = BytesMut::from(datagram);
                self.sort(now, Arrival { remote, local, ecn, data }, host);
            }
        }
        Ok(true)
    }

    /// Hands `arrival` to whom it is for, or lets it wait.
    fn sort(self: &Rc<Self>, now: Instant, arrival: Arrival, host: &impl Host) {
        let is_answered = match self.crossing.whose(self.worker, &arrival.data) {
            Whose::Own => return self.receive(now, arrival, host),
            // A full queue loses datagrams, here as anywhere.
            Whose::Other(other) => return drop(other.try_send(arrival)),
            Whose::Answered => true,
            Whose::Newcomer => false,
        };
        if !self.beginnings.borrow_mut().push(arrival, is_answered) {
            host.lose();
        }
    }

    /// Begins some connections, or says why not. True if more wait for it.
    fn begin_some(self: &Rc<Self>, now: Instant, host: &impl Host) -> bool {
        let begun = Instant::now();
        loop {
            let arrival = self.beginnings.borrow_mut().pop();
            let Some(arrival) = arrival else { return false };
            self.receive(now, arrival, host);
            if begun.elapsed() >= BEGINNINGS_A_TURN {
                return !self.beginnings.borrow().is_empty();
            }
        }
    }

    /// Hands one datagram to its connection.
    fn receive(self: &Rc<Self>, now: Instant, arrival: Arrival, host: &impl Host) {
        let Arrival { remote, local, ecn, data } = arrival;
        let mut out = self.out.borrow_mut();
        out.clear();
        let (mut proto, answer) = (self.proto.borrow_mut(), &mut *out);
        let handle = || proto.handle(now, remote, local, ecn, data, answer);
        // A bug that a datagram of one client brings to light is not to end everybody's connections.
        // The panic hook has counted it.
        let event = catch_unwind(AssertUnwindSafe(handle)).unwrap_or_default();
        drop(proto);
        match event {
            None => {}
            Some(DatagramEvent::Response(transmit)) => {
                self.socket.send(&transmit, &out);
            }
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(Some(link)) = self.links.borrow().get(handle.0) {
                    link.receive(event);
                }
            }
            Some(DatagramEvent::NewConnection(newcomer)) => {
                drop(out);
                host.greet(self, newcomer);
            }
        }
    }

    /// Gives `newcomer` a connection, unless what it sent is no beginning of one.
    pub(crate) fn accept(
        self: &Rc<Self>,
        newcomer: Newcomer,
        terms: Arc<ServerConfig>,
    ) -> Option<Rc<Link>> {
        let mut out = self.out.borrow_mut();
        out.clear();
        let accepted =
            self.proto.borrow_mut().accept(newcomer, Instant::now(), &mut out, Some(terms));
        match accepted {
            Ok((handle, connection)) => {
                let link = Rc::new(Link::new(Rc::clone(self), handle, connection));
                let mut links = self.links.borrow_mut();
                if links.len() <= handle.0 {
                    links.resize(handle.0 + 1, None);
                }
                links[handle.0] = Some(Rc::clone(&link));
                self.open.set(self.open.get() + 1);
                Some(link)
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.socket.send(&transmit, &out);
                }
                None
            }
        }
    }

    /// Tells `newcomer` that there is no room.
    pub(crate) fn refuse(&self, newcomer: Newcomer) {
        self.answer(|proto, out| Some(proto.refuse(newcomer, out)));
    }

    /// Asks `newcomer` to show that its address is its own (RFC 9000, 8.1.2).
    pub(crate) fn ask_back(&self, newcomer: Newcomer) {
        self.answer(|proto, out| proto.retry(newcomer, out).ok());
    }

    /// Says nothing to `newcomer`.
    pub(crate) fn ignore(&self, newcomer: Newcomer) {
        self.proto.borrow_mut().ignore(newcomer);
    }

    fn answer(
        &self,
        answer: impl FnOnce(&mut quinn_proto::Endpoint, &mut Vec<u8>) -> Option<Transmit>,
    ) {
        let mut out = self.out.borrow_mut();
        out.clear();
        if let Some(transmit) = answer(&mut self.proto.borrow_mut(), &mut out) {
            self.socket.send(&transmit, &out);
        }
    }

    /// Connections whose client has not shown yet that its address is its own.
    pub(crate) fn unproven(&self) -> usize {
        self.unproven.get()
    }

    /// Whether no more connections are welcome, and those that are open are to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    fn leave(&self) {
        self.stopped.set(true);
        for link in self.links.borrow().iter().flatten() {
            link.wake();
        }
    }

    /// What the connection `handle` has to say to the endpoint, and the answer.
    pub(super) fn hear(
        &self,
        handle: ConnectionHandle,
        event: EndpointEvent,
    ) -> Option<ConnectionEvent> {
        let over = event.is_drained();
        let answer = self.proto.borrow_mut().handle_event(handle, event);
        if over {
            self.links.borrow_mut()[handle.0] = None;
            self.open.set(self.open.get() - 1);
            if self.stopped.get() {
                self.waker.borrow().wake_by_ref();
            }
        }
        answer
    }

    /// `link` waits until the kernel takes more.
    pub(super) fn block(&self, link: Rc<Link>) {
        self.blocked.borrow_mut().push(link);
        self.waker.borrow().wake_by_ref();
    }
}
