//! One client connection: requests one after the other, until either side has had enough.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use rules::Fault;
use rules::forward::Peer;
use wire::h1::HeadScan;

use super::deadline::Watch;
use super::end::End;
use super::h2::{self, server::PREFACE};
use super::listen::Listener;
use super::proxied;
use super::scratch::Scratch;
use super::serve;
use super::socket::Socket;
use super::tls::{self, Protocol, Secured};
use super::transfer::Side;
use super::worker::{Pinned, Worker};
use crate::control::snapshot::covers;

/// A client, as far as it is connected.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: Rc<Listener>,
    pub(crate) client: End,
    pub(crate) peer: Peer,
    /// What was agreed on, if the client came through TLS.
    pub(crate) tls: Option<Rc<Secured>>,
    pub(crate) watch: Watch,
    /// Requests so far, the current one included.
    pub(crate) served: u64,
}

/// What becomes of the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It waits for the next request.
    Persist,
    /// We are done; the client may still have to read what was sent.
    Close,
    /// The response broke off: the client must not take it for whole.
    Reset,
    /// There is nobody left to talk to, or nothing to say.
    Drop,
}

/// How long a client may take to notice that we are done. Without this wait its own late bytes
/// would make the kernel send a reset, which can destroy the response before it is read (RFC 9112,
/// 9.6).
const LINGER_MS: u64 = 2_000;

/// How much of what a client still sends is thrown away before we give up on it.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

impl Connection {
    /// Serves the client on `socket` until the connection ends.
    pub(crate) async fn run(
        worker: Rc<Worker>,
        listener: Rc<Listener>,
        socket: Socket,
        address: SocketAddr,
    ) {
        worker.wake();
        let watch = Watch::new(Rc::clone(&worker.deadlines)).await;
        let peer = Peer { address: Some(address), trusted: false, https: false };
        let client = End::H1(Side::new(socket));
        let mut connection = Self { worker, listener, client, peer, tls: None, watch, served: 0 };
        let after = connection.talk().await;
        match after {
            After::Close => connection.linger().await,
            After::Reset => connection.client.break_off(),
            After::Persist | After::Drop => {}
        }
    }

    async fn talk(&mut self) -> After {
        if self.listener.proxy_protocol.is_some() && !self.read_proxy_header().await {
            return After::Drop;
        }
        self.peer.trusted = self.trusts_peer();
        if self.listener.tls {
            let secured = match Box::pin(tls::secure(self)).await {
                Ok(secured) => secured,
                Err(after) => return after,
            };
            let protocol = secured.protocol;
            self.peer.https = true;
            self.tls = Some(secured);
            match protocol {
                Protocol::H2 => return Box::pin(h2::server::run(self)).await,
                Protocol::Acme => return After::Close,
                // The last one is never agreed on here.
                Protocol::Http1 | Protocol::H3 => {}
            }
        }
        loop {
            if self.client.side().incoming.is_empty() && !self.wait_for_request().await {
                return After::Drop;
            }
            if self.served == 0 && self.listener.admin.is_none() && self.begins_with_preface().await
            {
                return Box::pin(h2::server::run(self)).await;
            }
            let snapshot = self.worker.pin();
            let mut scratch = self.worker.take_scratch();
            self.served += 1;
            let after = match self.read_head(&snapshot, &mut scratch).await {
                Ok(true) => serve::serve(self, &snapshot, &mut scratch).await,
                Ok(false) => After::Drop,
                Err(fault) => serve::refuse(self, &snapshot, &mut scratch, fault).await,
            };
            self.worker.return_scratch(scratch);
            if after != After::Persist {
                return after;
            }
        }
    }

    fn trusts_peer(&self) -> bool {
        let snapshot = self.worker.pin();
        self.peer.address.is_some_and(|address| covers(&snapshot.trust, address.ip()))
    }

    /// Waits for the first byte of a request; false if there will be none.
    async fn wait_for_request(&mut self) -> bool {
        let idle_ms = {
            let limits = self.worker.pin().limits;
            // A new connection is to say something soon.
            if self.served == 0 { limits.header_ms } else { limits.keep_alive_idle_ms }
        };
        if self.worker.draining.get() && self.served > 0 {
            return false;
        }
        self.watch.set_idle(idle_ms);
        poll_fn(|cx| match self.client.side().poll_fill(cx) {
            Poll::Ready(Ok(count)) => Poll::Ready(count > 0),
            Poll::Ready(Err(_)) => Poll::Ready(false),
            Poll::Pending if self.watch.is_over() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Whether the client speaks HTTP/2 without having asked (RFC 9113, 3.3): no request of HTTP/1
    /// begins like its preface.
    async fn begins_with_preface(&mut self) -> bool {
        poll_fn(|cx| {
            loop {
                let bytes = self.client.side().incoming.bytes();
                let common = bytes.len().min(PREFACE.len());
                if bytes[..common] != PREFACE[..common] {
                    return Poll::Ready(false);
                }
                if common == PREFACE.len() {
                    return Poll::Ready(true);
                }
                match self.client.side().poll_fill(cx) {
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending if self.watch.is_over() => return Poll::Ready(false),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Reads a request head into `scratch`; false if the client left in the middle.
    async fn read_head(&mut self, snapshot: &Pinned, scratch: &mut Scratch) -> Result<bool, Fault> {
        let limits = &snapshot.limits;
        let mut scan = HeadScan::default();
        let mut timed = false;
        poll_fn(|cx| {
            loop {
                let bytes = self.client.side().incoming.bytes();
                match scratch.request.read(bytes, &mut scan, &limits.head) {
                    Ok(Some(end)) => {
                        self.client.side().incoming.consume(end);
                        return Poll::Ready(Ok(true));
                    }
                    Ok(None) => {}
                    Err(malformed) => return Poll::Ready(Err(Fault::Malformed(malformed))),
                }
                if !timed {
                    // Most heads arrive whole and never get here.
                    self.watch.set(limits.header_ms);
                    timed = true;
                }
                match self.client.side().poll_fill(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(false)),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending if self.watch.is_over() => {
                        return Poll::Ready(Err(Fault::HeadTimeout));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Reads the PROXY protocol header; false if there is none, or it is broken.
    async fn read_proxy_header(&mut self) -> bool {
        let header_ms = self.worker.pin().limits.header_ms;
        self.watch.set(header_ms);
        let header = proxied::read_header(self.client.side(), &self.watch).await;
        let Some(header) = header else { return false };
        if let Some(source) = header.source {
            self.peer.address = Some(source);
        }
        true
    }

    /// Says that we are done, and waits until the client has noticed.
    async fn linger(&mut self) {
        self.watch.set(LINGER_MS);
        let mut discarded = 0;
        let mut shut = false;
        poll_fn(|cx| {
            if !shut {
                match self.client.side().socket.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending if self.watch.is_over() => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            loop {
                let waiting = self.client.side().incoming.bytes().len();
                self.client.side().incoming.consume(waiting);
                match self.client.side().poll_fill(cx) {
                    Poll::Ready(Ok(count)) if count > 0 && discarded < LINGER_BYTES_MAX => {
                        discarded += count;
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if self.watch.is_over() => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}
