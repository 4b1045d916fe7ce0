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
use super::worker::Worker;
use crate::admin::Admin;
use crate::control::snapshot::covers;
use crate::observe::log;

/// One address that clients connect to.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// Set if each connection begins with a PROXY header; only these peers may connect then.
    pub(crate) proxy_protocol: Option<Arc<[config::Network]>>,
    /// Set on the listener of the admin API.
    pub(crate) admin: Option<Rc<Admin>>,
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
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/problem+json\r\n\
    Content-Length: 75\r\n\
    Retry-After: 5\r\n\
    Connection: close\r\n\r\n\
    {\"title\":\"The server has as many connections as it can take\",\"status\":503}\n";

/// Tells a client that there is no room, without waiting for it longer than a moment.
fn refuse(refusals: &Rc<()>, stream: TcpStream) {
    if Rc::strong_count(refusals) > REFUSALS_MAX {
        return;
    }
    let held = Rc::clone(refusals);
    tokio::task::spawn_local(async move {
        let _held = held;
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
        let [a, b]: [IpAddr; 2] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().expect("one"));
        assert!(per_client.enter(a, 2) && per_client.enter(b, 2) && !per_client.enter(a, 2));
        per_client.leave(b);
        assert!(per_client.enter(a, 2));
    }
}
