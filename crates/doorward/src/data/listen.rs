//! Accepts connections, within the limits.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::connection::Connection;
use super::socket::Socket;
use super::tcp;
use super::worker::Worker;
use crate::admin::Admin;
use crate::control::listeners::{ListenSpec, Speaks};
use crate::control::snapshot::covers;
use crate::observe::log;

/// One address that clients connect to.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// As it is written, by which the configuration knows it.
    pub(crate) written: SocketAddr,
    /// Set if each connection begins with a PROXY header; only these peers may connect then.
    pub(crate) proxy_protocol: Option<Arc<[config::Network]>>,
    /// Set on a listener for what is not HTTP: the address as it is written, by which rules know it.
    pub(crate) tcp: Option<SocketAddr>,
    /// Whether connections begin with TLS.
    pub(crate) tls: bool,
    /// The field line by which clients hear of HTTP/3 (RFC 7838), if it is spoken here.
    pub(crate) alt_svc: Option<Box<str>>,
    /// Set on the listener of the admin API.
    pub(crate) admin: Option<Rc<Admin>>,
}

impl Listener {
    /// For clients, at the address that `spec` came to have.
    pub(crate) fn new(address: SocketAddr, spec: ListenSpec) -> Self {
        let tcp = (spec.speaks == Speaks::Tcp).then_some(spec.address);
        let tls = spec.speaks == Speaks::Https;
        let alt_svc = spec.http3.then(|| alt_svc(address.port()));
        let ListenSpec { address: written, proxy_protocol, .. } = spec;
        Self { address, written, proxy_protocol, tcp, tls, alt_svc, admin: None }
    }

    /// For operators.
    pub(crate) fn of_admin(address: SocketAddr, admin: Admin) -> Self {
        Self {
            address,
            written: address,
            proxy_protocol: None,
            tcp: None,
            tls: false,
            alt_svc: None,
            admin: Some(Rc::new(admin)),
        }
    }
}

/// For how long a client may take the word that HTTP/3 is spoken here: a day, so that a visitor of
/// yesterday begins with it.
const ALT_SVC_S: u32 = 24 * 60 * 60;

fn alt_svc(port: u16) -> Box<str> {
    format!("Alt-Svc: h3=\":{port}\"; ma={ALT_SVC_S}\r\n").into()
}

/// How many open connections each client address has, over all workers.
#[derive(Clone, Default)]
pub(crate) struct PerClient(Arc<Mutex<HashMap<IpAddr, u32>>>);

impl PerClient {
    /// Counts one more, unless there are `max` already.
    fn enter(&self, client: IpAddr, max: u32) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(group(client)).or_insert(0);
        if *count >= max {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, client: IpAddr) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&group(client)) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&group(client));
            }
        }
    }
}

/// What counts as one client: an IPv6 user has a /64 of addresses.
fn group(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Refused connections that may linger at once, so that their clients can read why. Beyond this
/// they are just closed.
const REFUSALS_MAX: usize = 256;

/// Open connections to the admin side.
const OPERATORS_MAX: u64 = 256;

/// Pause after `accept` failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts on `socket` until `stop` says so; then takes what the kernel had already accepted, so
/// that no client that got through is turned away.
pub(crate) async fn accept(
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    socket: TcpListener,
    per_client: PerClient,
    mut stop: watch::Receiver<bool>,
) {
    let refusals = Rc::new(());
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            _ = stop.wait_for(|&stop| stop) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                admit(&worker, &listener, &per_client, &refusals, stream, address);
            }
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                log::error("listen", format!("cannot accept on {}: {error}", listener.address));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Ok((stream, address))) = socket.poll_accept(cx) {
        admit(&worker, &listener, &per_client, &refusals, stream, address);
    }
}

/// Errors of one connection that was gone before it was accepted.
fn is_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Starts a connection, or refuses it.
fn admit(
    worker: &Rc<Worker>,
    listener: &Rc<Listener>,
    per_client: &PerClient,
    refusals: &Rc<()>,
    stream: TcpStream,
    address: SocketAddr,
) {
    let counters = worker.counters();
    counters.accepted.add(1);
    if listener.proxy_protocol.as_ref().is_some_and(|trusted| !covers(trusted, address.ip())) {
        // Whoever may not speak for others could otherwise name any client it likes.
        counters.refused_total.add(1);
        return;
    }
    // Responses are written whole; Nagle's delay would only hold back their ends.
    let _ = stream.set_nodelay(true);
    let Some(open) = enter(worker, listener, per_client, address) else {
        refuse(listener, refusals, stream);
        return;
    };
    if let Some(written) = listener.tcp {
        let running = tcp::carry(Rc::clone(worker), Rc::clone(listener), written, stream, address);
        tokio::task::spawn_local(async move {
            let _open = open;
            running.await;
        });
        return;
    }
    let running =
        Connection::run(Rc::clone(worker), Rc::clone(listener), Socket::Tcp(stream), address);
    tokio::task::spawn_local(async move {
        let _open = open;
        running.await;
    });
}

/// Counts a connection of the client at `address` in, unless there is no room for it.
pub(crate) fn enter(
    worker: &Rc<Worker>,
    listener: &Listener,
    per_client: &PerClient,
    address: SocketAddr,
) -> Option<Open> {
    let (limits, counters) = (worker.pin().limits, worker.counters());
    let open = worker.metrics.connections.fetch_add(1, Ordering::Relaxed);
    let full = match listener.admin {
        // Clients must not be able to lock operators out.
        Some(_) => counters.open.read() >= OPERATORS_MAX,
        None => open >= limits.connections_max || worker.late.takes_nothing(),
    };
    if full {
        worker.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        counters.refused_total.add(1);
        return None;
    }
    if !per_client.enter(address.ip(), limits.connections_per_client_max) {
        worker.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        counters.refused_per_client.add(1);
        return None;
    }
    counters.open.add(1);
    Some(Open { worker: Rc::clone(worker), per_client: per_client.clone(), address })
}

/// Counts a connection out again, however it ends.
pub(crate) struct Open {
    worker: Rc<Worker>,
    per_client: PerClient,
    address: SocketAddr,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        self.worker.counters().open.sub(1);
        self.per_client.leave(self.address.ip());
    }
}

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/problem+json\r\n\
    Content-Length: 62\r\n\
    Retry-After: 5\r\n\
    Connection: close\r\n\r\n\
    {\"title\":\"The server is too busy at the moment\",\"status\":503}\n";

/// Tells a client that there is no room, without waiting for it longer than a moment.
fn refuse(listener: &Listener, refusals: &Rc<()>, stream: TcpStream) {
    if listener.tcp.is_some() || listener.tls || Rc::strong_count(refusals) > REFUSALS_MAX {
        return;
    }
    let held = Rc::clone(refusals);
    tokio::task::spawn_local(async move {
        let _ = stream.try_write(REFUSAL);
        let _ = rustix::net::shutdown(&stream, rustix::net::Shutdown::Write);
        // A close with unread bytes would be a reset, and the answer lost with it.
        let discard = async {
            let mut bytes = [0; 1024];
            while stream.readable().await.is_ok() {
                match stream.try_read(&mut bytes) {
                    Ok(0) => break,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                    _ => {}
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), discard).await;
        drop(held);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_framed_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[test]
    fn clients_are_counted_by_address_and_v6_network() {
        let per_client = PerClient::default();
        let [a, b]: [IpAddr; 2] =
            ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().expect("one"));
        assert!(per_client.enter(a, 2) && per_client.enter(b, 2) && !per_client.enter(a, 2));
        per_client.leave(b);
        assert!(per_client.enter(a, 2));
    }
}
