//! The few system calls that the loader makes, each with its `unsafe` kept inside.
//!
//! Plain `libc`: std has no epoll, and a runtime between the loop and the kernel would cost CPU
//! that the proxy under test should be given as load.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub struct Epoll(OwnedFd);

/// Readiness of one registered descriptor.
#[derive(Clone, Copy)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
}

/// What to be woken for; always edge-triggered.
#[derive(Clone, Copy)]
pub enum Interest {
    Read,
    ReadWrite,
}

const BATCH: usize = 256;

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the returned descriptor is owned by nobody else.
        unsafe {
            let fd = check(libc::epoll_create1(libc::EPOLL_CLOEXEC) as isize)? as RawFd;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    pub fn add(&self, fd: &impl AsRawFd, interest: Interest, token: u64) -> io::Result<()> {
        let flags = libc::EPOLLET
            | match interest {
                Interest::Read => libc::EPOLLIN,
                Interest::ReadWrite => libc::EPOLLIN | libc::EPOLLOUT,
            };
        let mut event = libc::epoll_event { events: flags as u32, u64: token };
        // SAFETY: both descriptors are open, `event` lives through the call.
        let done = unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event)
        };
        check(done as isize).map(drop)
    }

    /// Replaces `ready` by what has happened, waiting for it at most `timeout`.
    pub fn wait(&self, ready: &mut Vec<Ready>, timeout: Duration) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        // SAFETY: `events` has room for BATCH entries.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                BATCH as i32,
                timeout.as_millis() as i32,
            )
        };
        ready.clear();
        match check(count as isize) {
            Ok(count) => ready.extend(events[..count].iter().map(|event| Ready {
                token: event.u64,
                readable: event.events & !(libc::EPOLLOUT as u32) != 0,
            })),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// A non-blocking TCP connection. Unlike `TcpStream`, `send` never raises SIGPIPE.
pub struct Socket(OwnedFd);

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Socket {
    pub fn connect(port: u16) -> io::Result<Self> {
        Self::prepare(TcpStream::connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?)
    }

    /// The next waiting connection, if there is one.
    pub fn accept(listener: &TcpListener) -> io::Result<Option<Self>> {
        match listener.accept() {
            Ok((stream, _)) => Self::prepare(stream).map(Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn prepare(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self(stream.into()))
    }

    /// `None`: nothing there now. `Some(0)`: the other side has closed.
    pub fn recv(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        // SAFETY: writes at most `into.len()` bytes into `into`.
        let count = unsafe {
            libc::recv(self.0.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT)
        };
        would_block(count)
    }

    /// How many bytes the kernel took; `None`: its buffer is full.
    pub fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        // SAFETY: reads at most `bytes.len()` bytes from `bytes`.
        let count = unsafe {
            libc::send(
                self.0.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
            )
        };
        would_block(count)
    }
}

/// Position of the first `byte`; the C library's vectorised search.
pub fn find_byte(byte: u8, within: &[u8]) -> Option<usize> {
    // SAFETY: looks at `within` only, and the result points into it.
    unsafe {
        let found = libc::memchr(within.as_ptr().cast(), i32::from(byte), within.len());
        (!found.is_null()).then(|| found as usize - within.as_ptr() as usize)
    }
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn would_block(result: isize) -> io::Result<Option<usize>> {
    match check(result) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
