//! Connections that are not HTTP, through the whole program.

mod beginning;
mod life;
mod tls;

use std::net::SocketAddr;

use crate::door::Door;

/// An entry for any free port, with `more` keys, that leads to a service of the same name.
fn entry(name: &str, address: SocketAddr, more: &str) -> String {
    format!(
        "[[tcp]]\nlisten = \"127.0.0.1:0\"\nservice = \"{name}\"\n{more}\n\
         [service.{name}]\nendpoints = [\"{address}\"]\n"
    )
}

/// The listener of the door's entries.
fn listener(door: &Door) -> SocketAddr {
    door.tcp[0]
}
