//! One stream: bodies in both directions, polled, with flow control passed on.

use std::task::{Context, Poll, Waker, ready};

use ::h2::server::SendResponse;
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use wire::h1::ToClient;
use wire::{Fields, ResponseHead};

use super::client::{Asked, Response};
use super::heads;
use super::turns::Turn;
use crate::data::piece::Piece;
use crate::data::stream::{Gone, Why};

/// A stream of HTTP/2.
pub(crate) struct Stream {
    pub(super) recv: Receiving,
    send: Sending,
    /// Bytes that were read and whose place in the window the sender has not got back: it gets it
    /// when they have gone on, so that a slow receiver slows the sender down.
    unreleased_bytes: usize,
    /// The data that an announced length still lets us send.
    left_bytes: Option<u64>,
    /// Everything was sent.
    done: bool,
    /// Towards a service: holds the place on its connection.
    asked: Option<Asked>,
    /// Towards a client: whether others go first.
    turn: Option<Turn>,
}

pub(super) enum Receiving {
    /// A service whose head has not come.
    Head(Response, Asked),
    Body(RecvStream),
}

enum Sending {
    /// A client that waits for a head.
    Head(SendResponse<Piece>),
    Body(SendStream<Piece>),
}

impl Stream {
    /// A client's request, whose body comes from `recv`.
    pub(super) fn of_client(recv: RecvStream, respond: SendResponse<Piece>, turn: Turn) -> Self {
        let stream = Self::new(Receiving::Body(recv), Sending::Head(respond), false);
        Self { turn: Some(turn), ..stream }
    }

    /// A request to a service, whose head was sent; with `done` that was all.
    pub(super) fn of_service(
        response: Response,
        send: SendStream<Piece>,
        asked: Asked,
        done: bool,
    ) -> Self {
        Self::new(Receiving::Head(response, asked), Sending::Body(send), done)
    }

    fn new(recv: Receiving, send: Sending, done: bool) -> Self {
        Self { recv, send, unreleased_bytes: 0, left_bytes: None, done, asked: None, turn: None }
    }

    /// The head has come: what follows comes from `recv`.
    pub(super) fn receive(&mut self, recv: RecvStream) {
        if let Receiving::Head(_, asked) = std::mem::replace(&mut self.recv, Receiving::Body(recv))
        {
            self.asked = Some(asked);
        }
    }

    /// Nothing came from a service in time.
    pub(crate) fn suspect(&self) {
        if let Receiving::Head(_, asked) = &self.recv {
            asked.suspect();
        }
    }

    /// Whether the other side has sent everything.
    pub(crate) fn is_received(&self) -> bool {
        matches!(&self.recv, Receiving::Body(recv) if recv.is_end_stream())
    }

    /// The next data; `None` at its end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Gone>> {
        let Receiving::Body(recv) = &mut self.recv else { return Poll::Ready(Err(Gone)) };
        if self.unreleased_bytes > 0 {
            let bytes = std::mem::take(&mut self.unreleased_bytes);
            recv.flow_control().release_capacity(bytes).map_err(|_| Gone)?;
        }
        match ready!(recv.poll_data(cx)) {
            Some(Ok(bytes)) => {
                self.unreleased_bytes = bytes.len();
                Poll::Ready(Ok(Some(bytes)))
            }
            Some(Err(_)) => Poll::Ready(Err(Gone)),
            None => Poll::Ready(Ok(None)),
        }
    }

    /// The trailers behind the data, if there are any; what may not stand there is left out.
    pub(crate) fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Result<Option<Box<Fields>>, Gone>> {
        let Receiving::Body(recv) = &mut self.recv else { return Poll::Ready(Err(Gone)) };
        let trailers = ready!(recv.poll_trailers(cx)).map_err(|_| Gone)?;
        let Some(trailers) = trailers else { return Poll::Ready(Ok(None)) };
        let trailers = Fields::of_trailers(heads::iter(&trailers), bytes_max);
        Poll::Ready(trailers.map(Some).map_err(|_| Gone))
    }

    /// Sends an interim response.
    pub(crate) fn send_interim(&mut self, head: &ResponseHead) -> Result<(), Gone> {
        let Sending::Head(respond) = &mut self.send else { return Err(Gone) };
        let response = heads::response(head, &ToClient::default());
        respond.send_informational(response).map_err(|_| Gone)
    }

    /// Sends the final head. With `ends` nothing follows.
    pub(crate) fn send_head(
        &mut self,
        head: &ResponseHead,
        to: &ToClient<'_>,
        ends: bool,
    ) -> Result<(), Gone> {
        let Sending::Head(respond) = &mut self.send else { return Err(Gone) };
        let send = respond.send_response(heads::response(head, to), ends).map_err(|_| Gone)?;
        (self.send, self.done) = (Sending::Body(send), ends);
        self.left_bytes = match to.framing {
            wire::h1::Framing::Length(bytes) => Some(bytes),
            _ => None,
        };
        Ok(())
    }

    /// Whether anything can be sent now.
    pub(crate) fn has_room(&mut self) -> bool {
        let Sending::Body(send) = &mut self.send else { return false };
        send.reserve_capacity(1);
        send.capacity() > 0
    }

    /// How many of `wanted` bytes may be sent now; at least one.
    pub(crate) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, Gone>> {
        let Sending::Body(send) = &mut self.send else { return Poll::Ready(Err(Gone)) };
        if let Some(turn) = &mut self.turn {
            ready!(turn.poll(cx));
        }
        send.reserve_capacity(wanted);
        let room = loop {
            let room = send.capacity();
            if room > 0 {
                break Poll::Ready(Ok(room.min(wanted)));
            }
            match send.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => break Poll::Ready(Err(Gone)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if let Some(turn) = &mut self.turn {
            turn.wait(room.is_pending());
        }
        room
    }

    /// Sends `piece`, for which there is room. With `ends` nothing follows.
    pub(crate) fn send_data(&mut self, piece: Piece, ends: bool) -> Result<(), Gone> {
        let Sending::Body(send) = &mut self.send else { return Err(Gone) };
        let bytes = piece.len() as u64;
        send.send_data(piece, ends).map_err(|_| Gone)?;
        if let Some(left_bytes) = &mut self.left_bytes {
            *left_bytes = left_bytes.saturating_sub(bytes);
        }
        self.done |= ends;
        Ok(())
    }

    /// Whether `bytes` more are all that was announced.
    pub(crate) fn is_last(&self, bytes: usize) -> bool {
        self.left_bytes == Some(bytes as u64)
    }

    /// Sends the trailers, and with them the end.
    pub(crate) fn send_trailers(&mut self, trailers: &Fields) -> Result<(), Gone> {
        let Sending::Body(send) = &mut self.send else { return Err(Gone) };
        send.send_trailers(heads::map(trailers)).map_err(|_| Gone)?;
        self.done = true;
        Ok(())
    }

    /// Whether everything was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Ready when the receiver wants nothing more.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.send {
            Sending::Head(respond) => respond.poll_reset(cx).map(|_| ()),
            Sending::Body(send) => send.poll_reset(cx).map(|_| ()),
        }
    }

    /// The code with which the other side reset the stream, if it did.
    pub(crate) fn reset_code(&mut self) -> Option<u32> {
        let Sending::Body(send) = &mut self.send else { return None };
        match send.poll_reset(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(reason)) => Some(reason.into()),
            _ => None,
        }
    }

    /// Breaks the stream off: the other side must not take it for whole.
    pub(crate) fn reset(&mut self, why: Why) {
        let reason = match why {
            Why::Cancelled => Reason::CANCEL,
            Why::Malformed => Reason::PROTOCOL_ERROR,
            Why::Internal => Reason::INTERNAL_ERROR,
        };
        match &mut self.send {
            Sending::Head(respond) => respond.send_reset(reason),
            Sending::Body(send) => send.send_reset(reason),
        }
    }
}
