//! One end of an exchange: a client, or an endpoint of a service.

use std::task::{Context, Poll};

use super::stream::{Stream, Why};
use super::transfer::Side;

/// How an end of an exchange is reached.
pub(crate) enum End {
    /// A connection of HTTP/1, for one exchange after the other.
    H1(Side),
    /// One stream of a connection that carries many exchanges at once.
    Stream(Box<Stream>),
    /// Nobody is there any more, or somebody else talks to them.
    Closed,
}

impl End {
    /// Whether messages are made of frames here, not of lines and chunks.
    pub(crate) fn is_framed(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// The connection of HTTP/1 that only its own code asks for.
    pub(crate) fn side(&mut self) -> &mut Side {
        match self {
            Self::H1(side) => side,
            Self::Stream(_) | Self::Closed => unreachable!("asked only where HTTP/1 is spoken"),
        }
    }

    /// Ready when nobody waits for an answer any more. A connection of HTTP/1 does not tell.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H1(_) | Self::Closed => Poll::Pending,
            Self::Stream(stream) => stream.poll_gone(cx),
        }
    }

    /// Makes the end of this side look broken off, not whole.
    pub(crate) fn break_off(&mut self) {
        match self {
            Self::H1(side) => side.socket.reset_on_close(),
            Self::Stream(stream) => stream.reset(Why::Cancelled),
            Self::Closed => {}
        }
    }
}
