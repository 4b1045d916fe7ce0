//! Tells systemd how far we are (`sd_notify`), if it asked to know.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::observe::log;

/// Says that a reload begins. systemd wants to know when, to tell it from an older one.
pub(crate) fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    systemd(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// Sends `state` (`READY=1`, `RELOADING=1`, `STOPPING=1`) to the socket in `NOTIFY_SOCKET`.
pub(crate) fn systemd(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent = UnixDatagram::unbound().and_then(|socket| {
        let bytes = path.as_encoded_bytes();
        let address = match bytes.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&path)?,
        };
        socket.send_to_addr(state.as_bytes(), &address)
    });
    if let Err(error) = sent {
        log::warn("systemd", format!("cannot send `{state}` to NOTIFY_SOCKET: {error}"));
    }
}
