//! The sockets that clients connect to: opened, kept over reloads, taken from systemd.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use config::Network;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use super::workers::Workers;

/// An address to listen on, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenSpec {
    pub(crate) address: SocketAddr,
    /// The peers whose PROXY header is taken; `None` if connections begin with HTTP.
    pub(crate) proxy_protocol: Option<Arc<[Network]>>,
}

/// Connections that the kernel keeps for us until they are accepted; it cuts this to
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The open listeners.
pub(crate) struct Listeners {
    open: HashMap<SocketAddr, Open>,
    /// Sockets that systemd opened for us.
    inherited: Vec<TcpListener>,
}

struct Open {
    spec: ListenSpec,
    /// Where it really is: port 0 has become another.
    bound: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Listeners {
    /// Takes over what systemd passed (`LISTEN_FDS`), if it did.
    pub(crate) fn new() -> Self {
        let mut inherited = Vec::new();
        let mut passed = listenfd::ListenFd::from_env();
        for index in 0..passed.len() {
            if let Ok(Some(socket)) = passed.take_tcp_listener(index) {
                inherited.push(socket);
            }
        }
        Self {
            open: HashMap::new(),
            inherited,
        }
    }

    /// Opens what is wanted and not open, then closes what is open and not wanted.
    ///
    /// # Errors
    /// The address that cannot be had, and why. What was open before is open still.
    pub(crate) fn apply(
        &mut self,
        wanted: &[ListenSpec],
        workers: &Workers,
    ) -> Result<(), (SocketAddr, io::Error)> {
        let mut opened = Vec::new();
        for spec in wanted {
            if !self.open.contains_key(&spec.address) {
                let sockets = self
                    .sockets(spec.address, workers.count())
                    .map_err(|error| (spec.address, error))?;
                opened.push((spec.clone(), sockets));
            }
        }
        self.open.retain(|address, open| {
            let kept = wanted.iter().find(|spec| spec.address == *address);
            if kept.is_none() {
                open.stop.send_replace(true);
            }
            kept.is_some()
        });
        for (spec, sockets) in opened {
            let bound = sockets[0].local_addr().unwrap_or(spec.address);
            let (stop, stopped) = watch::channel(false);
            workers.listen(sockets, bound, spec.proxy_protocol.as_ref(), &stopped);
            self.open.insert(spec.address, Open { spec, bound, stop });
        }
        Ok(())
    }

    /// Whether a listener that stays would have to change its protocol, which takes a restart.
    pub(crate) fn changed_protocol(&self, wanted: &[ListenSpec]) -> Option<SocketAddr> {
        wanted
            .iter()
            .find(|spec| {
                self.open
                    .get(&spec.address)
                    .is_some_and(|open| open.spec != **spec)
            })
            .map(|spec| spec.address)
    }

    /// Stops accepting everywhere.
    pub(crate) fn stop(&mut self) {
        for open in self.open.values() {
            open.stop.send_replace(true);
        }
    }

    /// Where we listen.
    pub(crate) fn bound(&self) -> Vec<SocketAddr> {
        let mut bound: Vec<SocketAddr> = self.open.values().map(|open| open.bound).collect();
        bound.sort_unstable();
        bound
    }

    /// One socket for each worker. With `SO_REUSEPORT` the kernel spreads connections over them, so
    /// workers do not meet at one queue.
    fn sockets(&self, address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
        let same = |socket: &&TcpListener| socket.local_addr().is_ok_and(|at| at == address);
        if let Some(inherited) = self.inherited.iter().find(same) {
            inherited.set_nonblocking(true)?;
            return (0..count).map(|_| inherited.try_clone()).collect();
        }
        if address.port() != 0 {
            // `SO_REUSEPORT` would let two programs share the address, each with half the clients.
            drop(open(address, false)?);
        }
        let first = open(address, true)?;
        let bound = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..count {
            sockets.push(open(bound, true)?);
        }
        Ok(sockets)
    }
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
