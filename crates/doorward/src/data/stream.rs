//! One stream of a connection that carries many exchanges at once, whichever version it speaks.

use std::task::{Context, Poll};

use bytes::Bytes;
use rules::Fault;
use wire::h1::ToClient;
use wire::{Fields, ResponseHead};

use super::piece::Piece;
use super::{h2, h3};

/// The stream is of no use any more: it was reset, or its connection is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

/// Why we break a stream off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody wants it any more.
    Cancelled,
    /// What came was malformed.
    Malformed,
    /// What we sent is not whole.
    Internal,
}

/// A stream.
pub(crate) enum Stream {
    H2(h2::Stream),
    H3(h3::Stream),
}

/// Asks whichever stream it is.
macro_rules! either {
    ($stream:expr, $one:ident => $ask:expr) => {
        match $stream {
            Stream::H2($one) => $ask,
            Stream::H3($one) => $ask,
        }
    };
}

impl Stream {
    /// Nothing came from a service in time.
    pub(crate) fn suspect(&self) {
        if let Self::H2(stream) = self {
            stream.suspect();
        }
    }

    /// The next head of a service's answer.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Fault>> {
        match self {
            Self::H2(stream) => stream.poll_head(cx, head),
            Self::H3(_) => unreachable!("services are not asked by HTTP/3"),
        }
    }

    /// Whether the other side has sent everything.
    pub(crate) fn is_received(&self) -> bool {
        either!(self, stream => stream.is_received())
    }

    /// The next data; `None` at its end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Gone>> {
        either!(self, stream => stream.poll_data(cx))
    }

    /// The trailers behind the data, if there are any; what may not stand there is left out.
    pub(crate) fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Result<Option<Box<Fields>>, Gone>> {
        either!(self, stream => stream.poll_trailers(cx, bytes_max))
    }

    /// Sends an interim response.
    pub(crate) fn send_interim(&mut self, head: &ResponseHead) -> Result<(), Gone> {
        either!(self, stream => stream.send_interim(head))
    }

    /// Sends the final head. With `ends` nothing follows.
    pub(crate) fn send_head(
        &mut self,
        head: &ResponseHead,
        to: &ToClient<'_>,
        ends: bool,
    ) -> Result<(), Gone> {
        either!(self, stream => stream.send_head(head, to, ends))
    }

    /// Whether anything can be sent now.
    pub(crate) fn has_room(&mut self) -> bool {
        either!(self, stream => stream.has_room())
    }

    /// How many of `wanted` bytes may be sent now; at least one.
    pub(crate) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, Gone>> {
        either!(self, stream => stream.poll_room(cx, wanted))
    }

    /// Sends `piece`, for which there is room. With `ends` nothing follows.
    pub(crate) fn send_data(&mut self, piece: Piece, ends: bool) -> Result<(), Gone> {
        either!(self, stream => stream.send_data(piece, ends))
    }

    /// Whether `bytes` more are all that was announced.
    pub(crate) fn is_last(&self, bytes: usize) -> bool {
        either!(self, stream => stream.is_last(bytes))
    }

    /// Sends the trailers, and with them the end.
    pub(crate) fn send_trailers(&mut self, trailers: &Fields) -> Result<(), Gone> {
        either!(self, stream => stream.send_trailers(trailers))
    }

    /// Whether everything was sent.
    pub(crate) fn is_done(&self) -> bool {
        either!(self, stream => stream.is_done())
    }

    /// Ready when the receiver wants nothing more.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        either!(self, stream => stream.poll_gone(cx))
    }

    /// The code with which a service reset the stream, if it did.
    pub(crate) fn reset_code(&mut self) -> Option<u32> {
        match self {
            Self::H2(stream) => stream.reset_code(),
            Self::H3(_) => None,
        }
    }

    /// Breaks the stream off: the other side must not take it for whole.
    pub(crate) fn reset(&mut self, why: Why) {
        either!(self, stream => stream.reset(why));
    }
}
