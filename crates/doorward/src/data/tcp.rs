//! A connection that is not HTTP: which entry it is for, and its bytes in both directions.
//!
//! listen -> **beginning -> entry -> balancer -> upstream -> relay** -> account.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use rules::Fault;
use rules::balance::{Ask, Outcome};
use rules::tcp::{Beginning, TcpId};
use tokio::net::TcpStream;
use wire::hello::postgres::{self, Asks, TLS_REQUEST};
use wire::hello::{Alert, ClientHello, HelloScan, NotHello};
use wire::proxy_protocol;

use super::attempt;
use super::balance::Attempt;
use super::deadline::Watch;
use super::listen::Listener;
use super::proxied;
use super::relay::Relay;
use super::socket::Socket;
use super::transfer::Side;
use super::upstream;
use super::worker::{Pinned, Worker};
use crate::control::registry::milliseconds;
use crate::control::snapshot::{Endpoint, Service};
use crate::metrics::TcpMetrics;
use crate::observe::access::{AccessFormat, Passage};

/// How long a client may take to read why it was refused; a close with unread bytes would be a reset.
const LINGER_MS: u64 = 1_000;

/// A client, and what is known of its connection.
struct Carriage {
    worker: Rc<Worker>,
    watch: Watch,
    client: Side,
    /// As rules know the listener.
    listen: SocketAddr,
    seen: Passage,
    /// Where the client connected to.
    destination: SocketAddr,
    /// Whether the client speaks TLS, as far as anybody looked.
    tls: bool,
    /// Whether it asked for TLS as clients of PostgreSQL do: then the service has to be asked, too.
    postgres: bool,
    /// Whether the service hears it.
    joined: bool,
    metrics: Option<Open>,
}

/// What has to be known for as long as bytes move. Not the snapshot: a connection may live for days.
struct Way {
    upstream: Side,
    /// Keeps the instance from being stopped.
    _endpoint: Arc<Endpoint>,
    /// Counts as a request there.
    _attempt: Attempt,
    /// What the service is told first.
    head: Vec<u8>,
    idle_ms: u64,
}

/// Counts an entry's connection out again, however it ends.
struct Open(Arc<TcpMetrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Carries a connection to the listener that is written as `listen`, to its end.
pub(crate) async fn carry(
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    listen: SocketAddr,
    stream: TcpStream,
    address: SocketAddr,
) {
    worker.wake();
    let watch = Watch::new(Rc::clone(&worker.deadlines)).await;
    let began_ns = worker.now_ns();
    let mut carriage = Carriage {
        watch,
        destination: stream.local_addr().unwrap_or(listener.address),
        client: Side::new(Socket::Tcp(stream)),
        listen,
        seen: Passage::new(address, listener.address),
        tls: false,
        postgres: false,
        joined: false,
        metrics: None,
        worker,
    };
    if listener.proxy_protocol.is_some() && !carriage.read_proxy_header().await {
        return;
    }
    match carriage.pass().await {
        Ok(true) => {}
        // Nobody said anything.
        Ok(false) => return,
        Err(fault) => {
            carriage.seen.fault = Some(fault);
            carriage.end(fault).await;
        }
    }
    carriage.record(began_ns);
}

impl Carriage {
    async fn read_proxy_header(&mut self) -> bool {
        self.watch.set(self.worker.pin().limits.header_ms);
        let header = proxied::read_header(&mut self.client, &self.watch).await;
        let Some(header) = header else { return false };
        self.seen.client = header.source.unwrap_or(self.seen.client);
        self.destination = header.destination.unwrap_or(self.destination);
        true
    }

    /// Finds the entry and carries the connection; false if the client never said what it has to.
    async fn pass(&mut self) -> Result<bool, Fault> {
        let snapshot = self.worker.pin();
        let hello = match snapshot.rules.tcp().wants_name(self.listen) {
            false => None,
            true => match self.read_beginning(&snapshot).await? {
                None => return Ok(false),
                hello => hello,
            },
        };
        self.tls = hello.is_some();
        self.seen.server_name = hello.and_then(|hello| hello.server_name);
        let beginning = match self.tls {
            true => Beginning::Tls(self.seen.server_name.as_deref()),
            false => Beginning::Plain,
        };
        let (id, _) = snapshot.rules.tcp().find(self.listen, beginning)?;
        self.enter(&snapshot, id)?;
        let mut way = self.connect(&snapshot, id).await?;
        drop(snapshot);

        let worker = Rc::clone(&self.worker);
        let metrics = self.metrics.as_ref().map(|open| Arc::clone(&open.0));
        let shard = metrics.as_ref().map(|metrics| &metrics.shards[worker.index]);
        self.joined = true;
        let mut relay = Relay::new(way.head);
        let limit = (&self.watch, way.idle_ms);
        let carried = relay
            .run(&mut self.client, &mut way.upstream, limit, |up, down| {
                if let Some(shard) = shard {
                    shard.up_bytes.add(up);
                    shard.down_bytes.add(down);
                }
            })
            .await;
        (self.seen.up_bytes, self.seen.down_bytes) = relay.bytes();
        if carried.is_err() {
            // One side broke off: the other is not to take it for an orderly end.
            way.upstream.socket.reset_on_close();
            self.client.socket.reset_on_close();
        }
        carried.map(|()| true)
    }

    /// Reads the first message of TLS, and leaves it where it is; `None` if the client left, or was
    /// left, before it had begun.
    async fn read_beginning(&mut self, snapshot: &Pinned) -> Result<Option<ClientHello>, Fault> {
        // Who has not even begun is not waited for when the process is to end.
        self.watch.set_idle(snapshot.limits.header_ms);
        match self.read_until(|bytes| Ok((!bytes.is_empty()).then_some(()))).await {
            Err(Fault::ClientGone | Fault::HeadTimeout) => return Ok(None),
            begun => begun?,
        }
        self.watch.set(snapshot.limits.header_ms);
        self.answer_postgres().await?;
        let mut scan = HelloScan::default();
        let hello = self
            .read_until(|bytes| ClientHello::read(bytes, &mut scan).map_err(Fault::HelloMalformed));
        hello.await.map(Some)
    }

    /// Reads until `look` finds what it wants in all that came, which stays where it is.
    async fn read_until<T>(
        &mut self,
        mut look: impl FnMut(&[u8]) -> Result<Option<T>, Fault>,
    ) -> Result<T, Fault> {
        poll_fn(|cx| {
            loop {
                if let Some(found) = look(self.client.incoming.bytes()).transpose() {
                    return Poll::Ready(found);
                }
                match self.client.poll_fill(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::ClientGone)),
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

    /// Agrees to TLS if the client asks for it as those of PostgreSQL do.
    async fn answer_postgres(&mut self) -> Result<(), Fault> {
        // First by GSSAPI perhaps, then by TLS.
        for _ in 0..2 {
            let asks = self.read_until(|bytes| match postgres::asks(bytes) {
                Asks::Partial => Ok(None),
                // What came before the answer would be taken for encrypted (CVE-2021-23214).
                Asks::Tls | Asks::Gss if bytes.len() > TLS_REQUEST.len() => {
                    Err(Fault::HelloMalformed(NotHello::NotTls))
                }
                asks => Ok(Some(asks)),
            });
            let answer = match asks.await? {
                Asks::Gss => postgres::NO,
                Asks::Tls => postgres::YES,
                Asks::Nothing | Asks::Partial => return Ok(()),
            };
            self.client.incoming.consume(TLS_REQUEST.len());
            say(&mut self.client.socket, &[answer], &self.watch).await.ok_or(Fault::ClientGone)?;
            self.postgres |= answer == postgres::YES;
            if self.postgres {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Counts the connection in, if the entry has room.
    fn enter(&mut self, snapshot: &Pinned, id: TcpId) -> Result<(), Fault> {
        let entry = snapshot.rules.tcp().entry(id);
        let metrics = &snapshot.tcp_metrics[id.0 as usize];
        let shard = &metrics.shards[self.worker.index];
        shard.accepted.add(1);
        self.seen.sni.clone_from(&entry.sni);
        self.seen.service = snapshot.rules.service(entry.service).name.clone();
        let open = metrics.open.fetch_add(1, Ordering::Relaxed);
        self.metrics = Some(Open(Arc::clone(metrics)));
        match entry.connections_max {
            Some(max) if open >= max as usize => Err(Fault::TooManyConnections),
            _ => Ok(()),
        }
    }

    /// Opens a connection to an endpoint of the entry's service.
    async fn connect(&mut self, snapshot: &Pinned, id: TcpId) -> Result<Way, Fault> {
        let entry = snapshot.rules.tcp().entry(id);
        let service = &*snapshot.services[entry.service.0 as usize];
        let counters = &service.metrics.shards[self.worker.index];
        let connected = self.try_endpoints(service).await;
        let (upstream, attempt) = connected.inspect_err(|_| counters.failures.add(1))?;
        let endpoint = Arc::clone(&service.endpoints[attempt.at]);
        self.seen.endpoint = endpoint.shown();
        let mut head = Vec::new();
        if entry.proxy_protocol {
            proxy_protocol::encode_v2(self.seen.client, self.destination, &mut head);
        }
        let mut upstream = upstream;
        if self.postgres {
            head.extend_from_slice(&TLS_REQUEST);
            self.watch.set(service.times.connect_ms);
            ask_postgres(&mut upstream, &head, &self.watch).await?;
            head.clear();
        }
        let idle_ms = entry.idle.map_or(snapshot.limits.upgrade_idle_ms, milliseconds);
        Ok(Way { upstream, _endpoint: endpoint, _attempt: attempt.unmeasured(), head, idle_ms })
    }

    async fn try_endpoints(&mut self, service: &Service) -> Result<(Side, Attempt), Fault> {
        let counters = &service.metrics.shards[self.worker.index];
        let policy = &service.rules.policy.retry;
        let mut tried = Vec::new();
        let hash = service.rules.policy.hash.as_ref();
        let key = hash.and_then(|by| by.key_of_connection(self.seen.client.ip()));
        let mut last = attempt::nobody(service);
        while tried.len() < policy.attempts_max as usize {
            let ask = Ask {
                now_ns: self.worker.now_ns(),
                random: self.worker.draw(),
                tried: &tried,
                broke_off: !tried.is_empty(),
                key,
                ..Ask::default()
            };
            let (attempt, pick) = Attempt::begin(&self.worker, service, &ask).ok_or(last)?;
            let endpoint = &service.endpoints[pick.at];
            match upstream::connect(&self.worker, service, endpoint, &self.watch).await {
                Ok(side) => {
                    counters.connects.add(1);
                    return Ok((side, attempt));
                }
                Err(fault) => {
                    counters.connect_failures.add(1);
                    attempt.end(service, self.worker.now_ns(), Outcome::Refused);
                    last = fault;
                }
            }
            tried.push(pick.id);
            if pick.is_again || !policy.on_connect {
                break;
            }
        }
        Err(last)
    }

    /// Tells the client that its connection ends, in the one way that it may understand.
    async fn end(&mut self, fault: Fault) {
        let alert = match fault {
            Fault::HelloMalformed(wrong) => wrong.alert(),
            Fault::UnrecognizedName => Some(Alert::UnrecognizedName),
            _ if !self.joined => Some(Alert::InternalError),
            // The service may have spoken with it already.
            _ => None,
        };
        let understood = self.tls || matches!(fault, Fault::HelloMalformed(_));
        let Some(alert) = alert.filter(|_| understood) else {
            self.client.socket.reset_on_close();
            return;
        };
        self.watch.set(LINGER_MS);
        if say(&mut self.client.socket, &alert.record(), &self.watch).await.is_none() {
            return;
        }
        let mut shut = false;
        poll_fn(|cx| {
            loop {
                if !shut {
                    // A socket of TCP is shut at once.
                    let _ = self.client.socket.poll_shutdown(cx);
                    shut = true;
                }
                let waiting = self.client.incoming.bytes().len();
                self.client.incoming.consume(waiting);
                match self.client.poll_fill(cx) {
                    Poll::Ready(Ok(count)) if count > 0 && !self.watch.is_over() => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if self.watch.is_over() => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    /// Counts the connection, and writes it down if that is configured.
    fn record(mut self, began_ns: u64) {
        let worker = &self.worker;
        if let Some(fault) = self.seen.fault {
            worker.counters().faults[worker.metrics.fault_index(fault.slug())].add(1);
            if let Some(open) = &self.metrics {
                open.0.shards[worker.index].failures.add(1);
            }
        }
        let format = worker.pin().access;
        if format != AccessFormat::Off {
            self.seen.duration_us = (worker.now_ns() - began_ns) / 1000;
            worker.access_log.write_passage(format, &self.seen);
        }
    }
}

/// Writes all of `bytes` until the deadline of `watch`; `None` if they cannot be written.
async fn say(socket: &mut Socket, bytes: &[u8], watch: &Watch) -> Option<()> {
    let mut written = 0;
    poll_fn(|cx| {
        while written < bytes.len() {
            match socket.poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(count)) if count > 0 => written += count,
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending if watch.is_over() => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Some(()))
    })
    .await
}

/// Sends `head`, which asks a service of PostgreSQL for TLS, and reads its answer.
async fn ask_postgres(upstream: &mut Side, head: &[u8], watch: &Watch) -> Result<(), Fault> {
    say(&mut upstream.socket, head, watch).await.ok_or(Fault::SendFailed)?;
    poll_fn(|cx| {
        loop {
            match upstream.incoming.bytes() {
                [] => {}
                [postgres::YES] => {
                    upstream.incoming.consume(1);
                    return Poll::Ready(Ok(()));
                }
                // No, or more than it may say.
                _ => return Poll::Ready(Err(Fault::ConnectFailed)),
            }
            match upstream.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::UpstreamClosed)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if watch.is_over() => {
                    return Poll::Ready(Err(Fault::FirstByteTimeout));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
