//! One stream: bodies in both directions, polled, with flow control passed on.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use quinn_proto::StreamId;
use wire::h1::{Framing, ToClient};
use wire::h3::{self, Code, RequestFrames, RequestPart, Section, SectionWrong, StreamWrong};
use wire::{Fields, ResponseHead, framed};

use super::server::Talk;
use crate::data::piece::Piece;
use crate::data::quic::Taken;
use crate::data::stream::{Gone, Why};

/// What is read of a body before it is passed on: fewer and larger writes to the service.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// What is sent in one frame, and waits for flow control at most before the sender has to wait too.
const FRAME_BYTES_MAX: usize = 32 * 1024;

/// Up to here data is copied behind the head of its frame.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// What is wrong with what a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The client gave it up.
    Gone,
    /// It ended before there was a head.
    Incomplete,
    /// There is more of it than is allowed.
    TooLarge,
    /// The connection has to end.
    Connection(Code),
}

impl From<StreamWrong> for Wrong {
    fn from(wrong: StreamWrong) -> Self {
        match wrong {
            StreamWrong::Connection(code) => Self::Connection(code),
            StreamWrong::TooLarge => Self::TooLarge,
        }
    }
}

impl From<SectionWrong> for Wrong {
    fn from(wrong: SectionWrong) -> Self {
        match wrong {
            SectionWrong::Malformed => Self::Connection(Code::Decompression),
            SectionWrong::TooLarge => Self::TooLarge,
        }
    }
}

/// A request and its response.
pub(crate) struct Stream {
    talk: Rc<Talk>,
    id: StreamId,
    frames: RequestFrames,
    /// What was read and not taken apart yet.
    rest: Bytes,
    /// The client has sent everything.
    received: bool,
    /// The trailers have come.
    trailers: bool,
    /// The data that an announced length still lets the client send.
    expected_bytes: Option<u64>,
    /// The data that an announced length still lets us send.
    left_bytes: Option<u64>,
    /// Everything was sent, or nothing more will be.
    done: bool,
    /// It was broken off.
    broken: bool,
}

impl Stream {
    pub(super) fn new(talk: Rc<Talk>, id: StreamId) -> Self {
        Self {
            talk,
            id,
            frames: RequestFrames::default(),
            rest: Bytes::new(),
            received: false,
            trailers: false,
            expected_bytes: None,
            left_bytes: None,
            done: false,
            broken: false,
        }
    }

    /// Ready when the head is there: [`Self::section`].
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Wrong>> {
        match ready!(self.poll_part(cx))? {
            Some(RequestPart::Head) => {}
            _ => return Poll::Ready(Err(Wrong::Incomplete)),
        }
        if let Poll::Ready(more) = self.poll_more(cx) {
            // Mostly the end came with it.
            more?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when it is known whether anything follows what has been read.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Wrong>> {
        if self.rest.is_empty() && !self.received {
            match ready!(self.talk.link.poll_read(self.id, GATHERED_BYTES_MAX, cx)) {
                Ok(Taken::Bytes(bytes)) => self.rest = bytes,
                Ok(Taken::End) => self.received = true,
                Err(Gone) => return Poll::Ready(Err(Wrong::Gone)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The field section that came last.
    pub(super) fn section(&self) -> &[u8] {
        self.frames.section()
    }

    /// The client has announced so many bytes.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.expected_bytes = Some(bytes);
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    /// The next part of the request; `None` at its end.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RequestPart>, Wrong>> {
        loop {
            if !self.rest.is_empty() {
                let (done, part) = self.frames.read(&self.rest, self.talk.section_bytes_max)?;
                self.rest.advance(done);
                if part.is_some() {
                    return Poll::Ready(Ok(part));
                }
            }
            if self.received {
                return Poll::Ready(Ok(None));
            }
            match ready!(self.talk.link.poll_read(self.id, GATHERED_BYTES_MAX, cx)) {
                Ok(Taken::Bytes(bytes)) => self.rest = bytes,
                Ok(Taken::End) => {
                    self.received = true;
                    self.frames.end()?;
                }
                Err(Gone) => {
                    // There is nothing to be stopped any more.
                    self.received = true;
                    return Poll::Ready(Err(Wrong::Gone));
                }
            }
        }
    }

    /// Whether the client has sent everything.
    pub(crate) fn is_received(&self) -> bool {
        self.received && self.rest.is_empty()
    }

    /// The next data; `None` at its end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Gone>> {
        let (mut first, mut more) = (Bytes::new(), Vec::new());
        while first.len() + more.len() < GATHERED_BYTES_MAX && !self.trailers {
            match self.poll_part(cx) {
                Poll::Ready(Ok(Some(RequestPart::Data(bytes)))) => {
                    let data = self.rest.split_to(bytes);
                    self.count(data.len())?;
                    if first.is_empty() {
                        first = data;
                    } else {
                        more.extend_from_slice(&data);
                    }
                }
                Poll::Ready(Ok(Some(RequestPart::Trailers))) => self.trailers = true,
                Poll::Ready(Ok(Some(RequestPart::Head) | None)) => break,
                Poll::Ready(Err(wrong)) => return Poll::Ready(Err(self.fail(wrong))),
                Poll::Pending if first.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if first.is_empty() {
            // RFC 9114, 4.1.2: fewer than announced make the message malformed.
            return Poll::Ready(match self.expected_bytes {
                Some(1..) => Err(self.reset_malformed()),
                _ => Ok(None),
            });
        }
        if more.is_empty() {
            return Poll::Ready(Ok(Some(first)));
        }
        more.splice(0..0, first.iter().copied());
        Poll::Ready(Ok(Some(more.into())))
    }

    fn count(&mut self, bytes: usize) -> Result<(), Gone> {
        let Some(expected_bytes) = self.expected_bytes else { return Ok(()) };
        match expected_bytes.checked_sub(bytes as u64) {
            Some(left) => self.expected_bytes = Some(left),
            None => return Err(self.reset_malformed()),
        }
        Ok(())
    }

    fn reset_malformed(&mut self) -> Gone {
        self.reset(Why::Malformed);
        Gone
    }

    fn fail(&mut self, wrong: Wrong) -> Gone {
        match wrong {
            Wrong::Connection(code) => self.talk.fail(code),
            Wrong::TooLarge => self.reset(Why::Malformed),
            Wrong::Gone | Wrong::Incomplete => {}
        }
        Gone
    }

    /// The trailers behind the data, if there are any; what may not stand there is left out.
    pub(crate) fn poll_trailers(
        &mut self,
        _: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Result<Option<Box<Fields>>, Gone>> {
        if !self.trailers {
            return Poll::Ready(Ok(None));
        }
        let mut section = Section::default();
        if let Err(wrong) = section.read(self.frames.section(), self.talk.section_bytes_max) {
            return Poll::Ready(Err(self.fail(wrong.into())));
        }
        let trailers = Fields::of_trailers(section.iter(), bytes_max);
        Poll::Ready(trailers.map(Some).map_err(|_| self.reset_malformed()))
    }

    /// Sends an interim response.
    pub(crate) fn send_interim(&mut self, head: &ResponseHead) -> Result<(), Gone> {
        self.write_head(head, &ToClient::default(), false)
    }

    /// Sends the final head. With `ends` nothing follows.
    pub(crate) fn send_head(
        &mut self,
        head: &ResponseHead,
        to: &ToClient<'_>,
        ends: bool,
    ) -> Result<(), Gone> {
        self.left_bytes = match to.framing {
            Framing::Length(bytes) => Some(bytes),
            _ => None,
        };
        self.write_head(head, to, ends)
    }

    fn write_head(
        &mut self,
        head: &ResponseHead,
        to: &ToClient<'_>,
        ends: bool,
    ) -> Result<(), Gone> {
        let talk = Rc::clone(&self.talk);
        let mut section = talk.section.borrow_mut();
        section.clear();
        h3::begin_section(&mut section);
        h3::write_status(head.status, &mut section);
        framed::response_fields(head, to, |_, name, value| {
            h3::write_line(name, value, &mut section);
        });
        self.write_section(&section, ends)
    }

    fn write_section(&mut self, section: &[u8], ends: bool) -> Result<(), Gone> {
        let mut frame = Vec::with_capacity(section.len() + 8);
        h3::write_headers(section, &mut frame);
        self.write(frame.into(), ends)
    }

    fn write(&mut self, bytes: Bytes, ends: bool) -> Result<(), Gone> {
        if self.done {
            return Err(Gone);
        }
        self.done = ends;
        self.talk.link.write(self.id, bytes, ends)
    }

    /// Whether anything can be sent now.
    pub(crate) fn has_room(&mut self) -> bool {
        self.talk.link.is_flushed(self.id)
    }

    /// How many of `wanted` bytes may be sent now; at least one.
    pub(crate) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, Gone>> {
        ready!(self.poll_flushed(cx))?;
        Poll::Ready(Ok(wanted.min(FRAME_BYTES_MAX)))
    }

    /// Ready when everything that was sent is on its way.
    pub(super) fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.talk.link.poll_flushed(self.id, cx)
    }

    /// Sends `piece`, for which there is room. With `ends` nothing follows.
    pub(crate) fn send_data(&mut self, piece: Piece, ends: bool) -> Result<(), Gone> {
        if let Some(left_bytes) = &mut self.left_bytes {
            *left_bytes = left_bytes.saturating_sub(piece.len() as u64);
        }
        if piece.is_empty() {
            return self.write(Bytes::new(), ends);
        }
        match piece {
            Piece::Owned(bytes) if bytes.len() > COPIED_BYTES_MAX => {
                let mut frame = Vec::with_capacity(16);
                h3::write_data_head(bytes.len(), &mut frame);
                self.write(frame.into(), false)?;
                self.write(bytes, ends)
            }
            piece => {
                let mut frame = Vec::with_capacity(piece.len() + 8);
                h3::write_data_head(piece.len(), &mut frame);
                frame.extend_from_slice(&piece);
                self.write(frame.into(), ends)
            }
        }
    }

    /// Whether `bytes` more are all that was announced.
    pub(crate) fn is_last(&self, bytes: usize) -> bool {
        self.left_bytes == Some(bytes as u64)
    }

    /// Sends the trailers, and with them the end.
    pub(crate) fn send_trailers(&mut self, trailers: &Fields) -> Result<(), Gone> {
        let talk = Rc::clone(&self.talk);
        let mut section = talk.section.borrow_mut();
        section.clear();
        h3::begin_section(&mut section);
        trailers.each_but(0, &mut |_, name, value| h3::write_line(name, value, &mut section));
        self.write_section(&section, true)
    }

    /// Whether everything was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Ready when the receiver wants nothing more.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.talk.link.is_unwanted(self.id) {
            return Poll::Ready(());
        }
        self.talk.link.wait(self.id, cx);
        Poll::Pending
    }

    /// Breaks the stream off: the client must not take it for whole.
    pub(crate) fn reset(&mut self, why: Why) {
        if std::mem::replace(&mut self.broken, true) {
            // The first reason is the one that tells something.
            return;
        }
        let (link, code) = (&self.talk.link, code(why).number());
        match why {
            // What was sent before tells more than the code.
            Why::Malformed => link.reset_behind(self.id, code),
            Why::Cancelled | Why::Internal => link.reset(self.id, code),
        }
        self.refuse_rest(code);
        self.done = true;
    }

    /// Ends both directions with `code`.
    pub(super) fn reset_code(&mut self, code: Code) {
        self.broken = true;
        self.talk.link.reset(self.id, code.number());
        self.refuse_rest(code.number());
        self.done = true;
    }

    fn refuse_rest(&mut self, code: u32) {
        if !self.received {
            self.talk.link.stop(self.id, code);
            (self.received, self.rest) = (true, Bytes::new());
        }
    }
}

fn code(why: Why) -> Code {
    match why {
        Why::Cancelled => Code::RequestCancelled,
        Why::Malformed => Code::Message,
        Why::Internal => Code::Internal,
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.done {
            self.talk.link.reset(self.id, Code::Internal.number());
        }
        // RFC 9114, 4.1: who has answered already may say so, without an error.
        self.refuse_rest(Code::None.number());
        self.talk.link.forget(self.id);
    }
}
