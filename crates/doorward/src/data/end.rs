//! One end of an exchange: a client, or an endpoint of a service.

use std::task::{Context, Poll, ready};

use wire::RequestHead;

use super::cache::{Fetch, Source};
use super::mirror::Mirror;
use super::stream::{Stream, Why};
use super::transfer::Side;

/// How an end of an exchange is reached.
pub(crate) enum End {
    /// A connection of HTTP/1, for one exchange after the other.
    H1(Side),
    /// One stream of a connection that carries many exchanges at once.
    Stream(Box<Stream>),
    /// A fetch that other requests follow; written to only.
    Fetch(Box<Fetch>),
    /// Nobody: a copy of a request, whose answer goes nowhere.
    Mirror(Box<Mirror>),
    /// What is stored, or another request's fetch; read from only.
    Cached(Source),
    /// Nobody is there any more, or somebody else talks to them.
    Closed,
}

/// How far a client of HTTP/1 has come with what it has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Its request is still being read, by who will notice its end.
    Within,
    /// Its request is whole, and others may follow: if it ends its side instead, it has left.
    Paused,
    /// It said that this request is its last. It may end its side, and wait for the answer.
    Over,
}

impl Speech {
    /// That of a client whose request has this head, and `was_read` or not.
    pub(crate) fn of(request: &RequestHead, was_read: bool) -> Self {
        match (was_read, request.connection.persists(request.version)) {
            (false, _) => Self::Within,
            (true, true) => Self::Paused,
            (true, false) => Self::Over,
        }
    }
}

impl End {
    /// Whether messages are made of frames here, not of lines and chunks.
    pub(crate) fn is_framed(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::Fetch(_) | Self::Mirror(_))
    }

    /// The connection of HTTP/1 that only its own code asks for.
    pub(crate) fn side(&mut self) -> &mut Side {
        match self {
            Self::H1(side) => side,
            _ => unreachable!("asked only where HTTP/1 is spoken"),
        }
    }

    /// Ready when nobody waits for an answer any more. Costs no system call until something comes.
    pub(crate) fn poll_gone(&mut self, speech: Speech, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H1(side) if speech != Speech::Within && side.incoming.is_empty() => {
                ready!(side.socket.poll_stirs(cx));
                match ready!(side.poll_fill(cx)) {
                    // The next request.
                    Ok(1..) => Poll::Pending,
                    Ok(0) if speech == Speech::Over => Poll::Pending,
                    Ok(0) | Err(_) => Poll::Ready(()),
                }
            }
            Self::H1(_) | Self::Cached(_) | Self::Mirror(_) | Self::Closed => Poll::Pending,
            Self::Fetch(fetch) => fetch.poll_gone(cx),
            Self::Stream(stream) => stream.poll_gone(cx),
        }
    }

    /// Makes the end of this side look broken off, not whole.
    pub(crate) fn break_off(&mut self) {
        match self {
            Self::H1(side) => side.socket.reset_on_close(),
            Self::Stream(stream) => stream.reset(Why::Cancelled),
            Self::Fetch(_) | Self::Mirror(_) | Self::Cached(_) | Self::Closed => {}
        }
    }
}
