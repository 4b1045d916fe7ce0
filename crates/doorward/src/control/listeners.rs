//! The sockets that clients connect to: opened, kept over reloads, taken from systemd.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use config::Network;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use super::workers::Workers;
use crate::observe::log;

/// An address to listen on, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenSpec {
    pub(crate) address: SocketAddr,
    /// The peers whose PROXY header is taken; `None` if connections begin with HTTP.
    pub(crate) proxy_protocol: Option<Arc<[Network]>>,
    pub(crate) speaks: Speaks,
    /// Whether HTTP/3 is spoken on the UDP port of the same number.
    pub(crate) http3: bool,
}

/// The sockets of one listener: one of each kind for each worker.
pub(crate) struct Sockets {
    pub(crate) tcp: Vec<TcpListener>,
    /// Empty without HTTP/3.
    pub(crate) udp: Vec<UdpSocket>,
}

/// An address that cannot be had.
pub(crate) struct Unavailable {
    address: SocketAddr,
    /// Whether it is the UDP port.
    udp: bool,
    error: io::Error,
}

impl From<Unavailable> for io::Error {
    fn from(Unavailable { address, udp, error }: Unavailable) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 take CAP_NET_BIND_SERVICE".to_owned()
            }
            _ => error.to_string(),
        };
        let text = match udp {
            false => format!("cannot listen on {address}: {advice}"),
            true => format!(
                "cannot listen on {address} for HTTP/3 (UDP): {advice}; `http3 = false` at this \
                 listener goes without"
            ),
        };
        Self::new(error.kind(), text)
    }
}

impl Unavailable {
    pub(crate) fn tcp(address: SocketAddr, error: io::Error) -> Self {
        Self { address, udp: false, error }
    }
}

/// What connections begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http,
    /// TLS, and HTTP inside.
    Https,
    /// Whatever `[[tcp]]` passes on.
    Tcp,
}

impl ListenSpec {
    /// Whether one socket would do for both. Any free port is not the same as any other.
    fn is_same_place(&self, other: &Self) -> bool {
        self.address == other.address && (self.address.port() != 0 || self.speaks == other.speaks)
    }
}

/// Connections that the kernel keeps for us until they are accepted; it cuts this to
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How often another free port is tried because the UDP port of that number is taken.
const PORTS_TRIED_MAX: u32 = 16;

/// The open listeners.
pub(crate) struct Listeners {
    /// In the order of the configuration.
    open: Vec<Open>,
    /// Sockets that systemd opened for us, each with whether it was ever used.
    inherited: Vec<(TcpListener, bool)>,
}

/// What becomes of one wanted listener.
enum Planned {
    /// It is open already, at this place.
    Kept(usize),
    New(Sockets),
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
            match passed.take_tcp_listener(index) {
                Ok(Some(socket)) => inherited.push((socket, false)),
                Ok(None) => {}
                Err(error) => log::warn("listen", format!("socket {index} of systemd: {error}")),
            }
        }
        Self { open: Vec::new(), inherited }
    }

    /// The sockets that systemd opened and nothing uses: their clients would wait in vain.
    pub(crate) fn unused(&self) -> Vec<SocketAddr> {
        let unused = self.inherited.iter().filter(|(_, used)| !used);
        unused.filter_map(|(socket, _)| socket.local_addr().ok()).collect()
    }

    /// Looks whether `wanted` can be had, without keeping it.
    ///
    /// # Errors
    /// The first address that cannot, and why.
    pub(crate) fn probe(&mut self, wanted: &[ListenSpec]) -> Result<(), Unavailable> {
        wanted.iter().try_for_each(|spec| self.sockets(spec, 1).map(drop))
    }

    /// Opens what is wanted and not open, then closes what is open and not wanted.
    ///
    /// # Errors
    /// The address that cannot be had, and why. What was open before is open still.
    pub(crate) fn apply(
        &mut self,
        wanted: &[ListenSpec],
        workers: &Workers,
    ) -> Result<(), Unavailable> {
        let mut left: Vec<usize> = (0..self.open.len()).collect();
        let mut plan = Vec::new();
        for spec in wanted {
            let known = left.iter().position(|&at| self.open[at].spec.is_same_place(spec));
            plan.push(match known {
                Some(known) => Planned::Kept(left.remove(known)),
                None => Planned::New(self.sockets(spec, workers.count())?),
            });
        }
        let mut before: Vec<Option<Open>> = self.open.drain(..).map(Some).collect();
        for (planned, spec) in plan.into_iter().zip(wanted) {
            match planned {
                Planned::Kept(at) => self.open.extend(before[at].take()),
                Planned::New(sockets) => {
                    let bound = sockets.tcp[0].local_addr().unwrap_or(spec.address);
                    let (stop, stopped) = watch::channel(false);
                    workers.listen(sockets, bound, spec, &stopped);
                    let spec = spec.clone();
                    self.open.push(Open { spec, bound, stop });
                }
            }
        }
        for open in before.into_iter().flatten() {
            open.stop.send_replace(true);
        }
        Ok(())
    }

    /// Whether a listener that stays would have to change its protocol, which takes a restart.
    pub(crate) fn changed_protocol(&self, wanted: &[ListenSpec]) -> Option<SocketAddr> {
        let changed = wanted.iter().find(|spec| {
            let same = |open: &&Open| open.spec.is_same_place(spec);
            self.open.iter().find(same).is_some_and(|open| open.spec != **spec)
        });
        changed.map(|spec| spec.address)
    }

    /// Stops accepting everywhere.
    pub(crate) fn stop(&mut self) {
        for open in &self.open {
            open.stop.send_replace(true);
        }
    }

    /// Where we listen for what `speaks` says, in the order of the configuration.
    pub(crate) fn bound(&self, speaks: Speaks) -> Vec<SocketAddr> {
        let open = self.open.iter().filter(|open| open.spec.speaks == speaks);
        open.map(|open| open.bound).collect()
    }

    /// Where we listen for what is not HTTP, each address behind how it was written.
    pub(crate) fn bound_tcp(&self) -> Vec<(SocketAddr, SocketAddr)> {
        let tcp = self.open.iter().filter(|open| open.spec.speaks == Speaks::Tcp);
        tcp.map(|open| (open.spec.address, open.bound)).collect()
    }

    /// The sockets for what is wanted. Any free port is one that is free for all of them.
    fn sockets(&mut self, spec: &ListenSpec, count: usize) -> Result<Sockets, Unavailable> {
        let address = spec.address;
        let mut tried = 0;
        loop {
            let tcp = self.tcp_sockets(address, count);
            let tcp = tcp.map_err(|error| Unavailable::tcp(address, error))?;
            if !spec.http3 {
                return Ok(Sockets { tcp, udp: Vec::new() });
            }
            let bound = tcp[0].local_addr().unwrap_or(address);
            tried += 1;
            match udp_sockets(bound, count) {
                Ok(udp) => return Ok(Sockets { tcp, udp }),
                Err(_) if address.port() == 0 && tried < PORTS_TRIED_MAX => {}
                Err(error) => return Err(Unavailable { address, udp: true, error }),
            }
        }
    }

    /// One socket for each worker. With `SO_REUSEPORT` the kernel spreads connections over them, so
    /// workers do not meet at one queue.
    fn tcp_sockets(&mut self, address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
        let same = |(socket, _): &&mut (TcpListener, bool)| {
            socket.local_addr().is_ok_and(|at| at == address)
        };
        if let Some((inherited, used)) = self.inherited.iter_mut().find(same) {
            *used = true;
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

/// As the sockets of TCP; the kernel sends each client's datagrams to one of them.
fn udp_sockets(address: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    drop(open_udp(address, false)?);
    (0..count).map(|_| open_udp(address, true)).collect()
}

fn open_udp(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
