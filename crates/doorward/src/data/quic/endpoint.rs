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

use super::cross::{Arrival, Arrivals, Crossing};
use super::link::Link;
use super::socket::{Room, Socket};

/// A client that wants a connection.
pub(crate) type Newcomer = Incoming;

/// How many messages are received before the connections that they are for get their turn.
const MESSAGES_A_TURN: usize = 64;

/// Pause after receiving failed for want of memory.
const PAUSE: Duration = Duration::from_millis(50);

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
            blocked: RefCell::default(),
            waker: RefCell::new(Waker::noop().clone()),
            out: RefCell::default(),
        }))
    }

    /// Receives until `stop` says so and the last connection has ended. Each client that wants a
    /// connection is given to `greet`, what
    /// goes wrong to `complain`.
    pub(crate) async fn run(
        self: Rc<Self>,
        mut arrivals: Arrivals,
        mut stop: watch::Receiver<bool>,
        greet: impl Fn(&Rc<Self>, Newcomer),
        complain: impl Fn(io::Error),
    ) {
        let mut room = Room::default();
        loop {
            let turn = tokio::select! {
                biased;
                turn = poll_fn(|cx| self.poll_turn(cx, &mut room, &mut arrivals, &greet)) => turn,
                _ = stop.wait_for(|&stop| stop), if !self.stopped.get() => {
                    self.leave();
                    continue;
                }
            };
            match turn {
                Ok(()) => return,
                Err(error) => {
                    complain(error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Ready when nothing is left to do.
    fn poll_turn(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        room: &mut Room,
        arrivals: &mut Arrivals,
        greet: &impl Fn(&Rc<Self>, Newcomer),
    ) -> Poll<io::Result<()>> {
        self.waker.borrow_mut().clone_from(cx.waker());
        let now = Instant::now();
        while let Poll::Ready(Some(arrival)) = arrivals.poll_recv(cx) {
            self.receive(now, arrival, greet);
        }
        let mut left = MESSAGES_A_TURN;
        while let Poll::Ready(received) = self.socket.poll_receive(cx, room) {
            let messages = match received {
                Ok(messages) => messages,
                // What a client's system sent back because it knows no such port.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
                Err(error) => return Poll::Ready(Err(error)),
            };
            for (meta, ecn, datagram) in room.datagrams(messages) {
                let data = BytesMut::from(datagram);
                let arrival = Arrival { remote: meta.addr, local: meta.dst_ip, ecn, data };
                match self.crossing.other(self.worker, datagram) {
                    // A full queue loses datagrams, here as anywhere.
                    Some(other) => drop(other.try_send(arrival)),
                    None => self.receive(now, arrival, greet),
                }
            }
            left = left.saturating_sub(messages);
            if left == 0 {
                // Others have waited long enough.
                cx.waker().wake_by_ref();
                break;
            }
        }
        if !self.blocked.borrow().is_empty() && self.socket.poll_writable(cx).is_ready() {
            for link in self.blocked.take() {
                link.wake();
            }
        }
        match self.stopped.get() && self.open.get() == 0 {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// Hands one datagram to its connection.
    fn receive(
        self: &Rc<Self>,
        now: Instant,
        arrival: Arrival,
        greet: &impl Fn(&Rc<Self>, Newcomer),
    ) {
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
                greet(self, newcomer);
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
