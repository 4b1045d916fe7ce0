//! Connections that are not HTTP, through the whole program.

mod beginning;
mod life;
mod tls;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use crate::door::{Door, End, Wire};

/// An entry for any free port, with `more` keys, that leads to a service of the same name.
fn entry(name: &str, address: SocketAddr, more: &str) -> String {
    format!(
        "[[tcp]]\nlisten = \"127.0.0.1:0\"\nservice = \"{name}\"\n{more}\n\
         [service.{name}]\nendpoints = [\"{address}\"]\n"
    )
}

/// How a connection ends that is refused at once, perhaps before the client knows that it has it.
#[track_caller]
fn refused(address: SocketAddr) -> End {
    match TcpStream::connect(address) {
        Ok(stream) => Wire::over(stream).expect_end(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            End::Reset
        }
    }
}

/// The listener of the door's entries.
fn listener(door: &Door) -> SocketAddr {
    door.tcp[0]
}
