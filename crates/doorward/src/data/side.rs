//! A connection of HTTP/1, and what was read from it too early.

use std::io;
use std::task::{Context, Poll};

use super::buffer::{Buffer, Incoming};
use super::held::Held;
use super::socket::Socket;

/// A socket and what was read from it too early.
pub(crate) struct Side {
    pub(crate) socket: Socket,
    pub(crate) incoming: Incoming,
    /// Counts it, if it leads to a service.
    #[expect(dead_code, reason = "it counts for as long as it is here")]
    pub(crate) held: Option<Box<Held>>,
}

impl Side {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, incoming: Incoming::default(), held: None }
    }

    /// Reads more bytes behind those that are here; for heads. Zero bytes are the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.incoming.is_empty() {
            let mut buffer = Buffer::small();
            let read = self.socket.poll_read(cx, &mut buffer);
            if let Poll::Ready(Ok(count)) = read {
                self.incoming.put(buffer, 0..count);
            }
            return read;
        }
        let (room, _) = self.incoming.room();
        let read = self.socket.poll_read(cx, room);
        if let Poll::Ready(Ok(count)) = read {
            self.incoming.grow(count);
        }
        read
    }
}
