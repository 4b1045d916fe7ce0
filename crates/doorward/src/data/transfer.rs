//! Moves one message body from one end of an exchange to the other, with back-pressure.
//!
//! The same code carries request bodies, response bodies and both directions of an upgraded
//! connection, whichever version of HTTP either end speaks. It is polled and not awaited, so that one task can drive both directions. It holds a
//! buffer only while bytes wait to be written, and reads no more until they are.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rules::grpc::Status;
use wire::Fields;
use wire::h1::{self, BodyDecoder, BodyLimits, Framing, Malformed};

use super::buffer::{Buffer, SMALL_BYTES};
use super::cache::{Fetch, Source};
use super::call::Recoding;
use super::end::End;
use super::mirror;
use super::piece::Piece;
pub(crate) use super::side::Side;
use super::socket::Socket;
use super::stream::Stream;

/// Which end a transfer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Read,
    Write,
}

/// Why a transfer ended early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The reading side failed.
    Read,
    /// The reading side sent what is not a body, or closed too early.
    Malformed(Malformed),
    /// The body is larger than the limit.
    TooLarge,
    /// The writing side failed.
    Write,
}

/// Up to here data is copied: behind the head, because one `write` of a few kilobytes costs less
/// than a vectored one; or by itself, because a piece that waits in a stream's queue would hold a
/// whole buffer.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// How much of a body is read while its stream has no room for any: perhaps it is the end, for which
/// there always is. A client that takes nothing on hundreds of streams does not make us hold more.
const UNTAKEN_BYTES_MAX: usize = 4 * 1024;

/// Bytes that wait to be written: a head or chunk line, data, and what ends a chunk or the body.
#[derive(Default)]
struct Outgoing {
    head: Vec<u8>,
    data: Option<Piece>,
    tail: &'static [u8],
    trailers: Vec<u8>,
    written: usize,
    /// Towards frames: the end of the body waits to be sent.
    end: Option<Ending>,
}

/// How a body ends in frames.
enum Ending {
    Data,
    Trailers(Box<Fields>),
}

impl Outgoing {
    fn len(&self) -> usize {
        let data = self.data.as_ref().map_or(0, |piece| piece.len());
        self.head.len() + data + self.tail.len() + self.trailers.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0 && self.end.is_none()
    }

    /// Moves the head in front of the data, where the head that was read mostly leaves room for it:
    /// then both leave in one plain write.
    fn join(&mut self) {
        let Some(Piece::Lent(buffer, data)) = &mut self.data else { return };
        if self.written == 0 && self.head.len() <= data.start {
            let start = data.start - self.head.len();
            buffer[start..data.start].copy_from_slice(&self.head);
            data.start = start;
            self.head.clear();
        }
    }

    #[inline]
    fn poll_flush(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let len = self.len();
        while self.written < len {
            let count = if self.written == 0 && self.head.len() == len {
                ready!(socket.poll_write(cx, &self.head))?
            } else {
                ready!(self.poll_write_parts(socket, cx))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.head.clear();
        self.data = None;
        self.tail = &[];
        self.trailers.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_write_parts(
        &self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let data = self.data.as_deref().unwrap_or_default();
        let mut slices = [IoSlice::new(&[]); 4];
        let (mut count, mut skip) = (0, self.written);
        for part in [&self.head[..], data, self.tail, &self.trailers] {
            let cut = skip.min(part.len());
            skip -= cut;
            if cut < part.len() {
                slices[count] = IoSlice::new(&part[cut..]);
                count += 1;
            }
        }
        if count == 1 {
            return socket.poll_write(cx, &slices[0]);
        }
        socket.poll_write_vectored(cx, &slices[..count])
    }

    /// As [`Self::poll_flush`], in frames, as far as flow control allows.
    fn poll_flush_frames(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        debug_assert!(self.head.is_empty(), "the head of a stream is no bytes");
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        while let Some(piece) = &mut self.data {
            if piece.is_empty() {
                self.data = None;
                break;
            }
            let room = ready!(stream.poll_room(cx, piece.len())).map_err(gone)?;
            let first = piece.split_to(room);
            let last = piece.is_empty() && matches!(self.end, Some(Ending::Data));
            stream.send_data(first, last).map_err(gone)?;
            self.written += room;
        }
        match self.end.take() {
            Some(Ending::Trailers(trailers)) => stream.send_trailers(&trailers).map_err(gone)?,
            Some(Ending::Data) if !stream.is_done() => {
                stream.send_data(Piece::Owned(Bytes::new()), true).map_err(gone)?;
            }
            _ => {}
        }
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// As [`Self::poll_flush`], to nobody.
    fn forget(&mut self) -> Poll<io::Result<()>> {
        self.head.clear();
        *self = Self { head: std::mem::take(&mut self.head), ..Self::default() };
        Poll::Ready(Ok(()))
    }

    /// As [`Self::poll_flush`], into memory.
    fn poll_flush_fetch(
        &mut self,
        fetch: &mut Fetch,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(piece) = &self.data {
            ready!(fetch.poll_room(cx));
            self.written += piece.len();
            fetch.push(piece);
        }
        self.data = None;
        if let Some(Ending::Trailers(trailers)) = self.end.take() {
            fetch.set_trailers(trailers);
        }
        self.head.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// A body on its way. What is written first is the head that was given.
pub(crate) struct Transfer {
    decoder: BodyDecoder,
    /// Whether the data leaves in chunks.
    chunked: bool,
    /// Whether the data leaves in frames.
    frames: bool,
    limits: BodyLimits,
    out: Outgoing,
    large: bool,
    /// Everything has been read; what is left is in `out`.
    read_all: bool,
    /// Data bytes that may pass.
    bytes_max: u64,
    /// Data bytes that passed.
    pub(crate) bytes: u64,
    pub(crate) wait: Wait,
    /// Counts steps forward, whatever they were.
    pub(crate) progress: u32,
    /// Whether anything was written.
    pub(crate) begun: bool,
    /// A copy of what was carried so far, for sending it again.
    copy: Option<Carried>,
    /// The most bytes that it may have.
    copy_bytes_max: usize,
    /// Who gets that copy when it is whole.
    mirror: Option<Box<mirror::Copy>>,
    /// What the body becomes on its way, if it becomes another.
    recoding: Option<Recoding>,
    /// What comes behind the data that waits to be written.
    last: Option<(Bytes, Option<Box<Fields>>)>,
    /// What the trailers say of a call of gRPC.
    pub(crate) grpc_status: Option<Status>,
}

#[derive(Default)]
struct Carried {
    data: Vec<u8>,
    trailers: Option<Box<Fields>>,
}

impl Transfer {
    /// `from` is how the body arrives, `to` how it leaves towards `end`; `head` is written before
    /// it. Towards a stream the head has been sent, and with it the end if there is no body.
    pub(crate) fn new(
        from: Framing,
        end: &End,
        to: Framing,
        limits: BodyLimits,
        bytes_max: u64,
        head: Vec<u8>,
    ) -> Self {
        let decoder = BodyDecoder::new(from, limits);
        Self {
            large: decoder.bytes_left().is_some_and(|left| left > SMALL_BYTES as u64),
            read_all: decoder.is_done(),
            decoder,
            chunked: to == Framing::Chunked && !end.is_framed(),
            frames: end.is_framed(),
            limits,
            out: Outgoing { head, ..Outgoing::default() },
            bytes_max,
            bytes: 0,
            wait: Wait::Write,
            progress: 0,
            begun: false,
            copy: None,
            copy_bytes_max: 0,
            mirror: None,
            recoding: None,
            last: None,
            grpc_status: None,
        }
    }

    /// Keeps a copy of the data, if there is any and as long as it has no more than `bytes_max`, for
    /// [`Transfer::rewind`].
    pub(crate) fn keep_copy(&mut self, bytes_max: usize) {
        if !self.read_all {
            (self.copy, self.copy_bytes_max) = (Some(Carried::default()), bytes_max);
        }
    }

    /// Sends the copy of the data on its way when it is whole.
    pub(crate) fn copy_to(&mut self, mirror: mirror::Copy) {
        if self.copy.is_none() && self.recoding.is_none() {
            self.keep_copy(0);
        }
        self.copy_bytes_max = self.copy_bytes_max.max(mirror::BODY_BYTES_MAX);
        self.mirror = Some(Box::new(mirror));
    }

    /// Makes the body another one on its way.
    pub(crate) fn recode(&mut self, recoding: Recoding) {
        self.recoding = Some(recoding);
        // What was carried is not what was read: it is not carried again.
        self.copy = None;
    }

    /// Whether nothing more is to be read of it.
    pub(crate) fn has_read_all(&self) -> bool {
        self.read_all
    }

    /// Whether what was carried so far is still known.
    pub(crate) fn can_rewind(&self) -> bool {
        self.bytes == 0 || self.copy.is_some()
    }

    /// Makes the transfer start again from `head`; only if it [`can_rewind`](Self::can_rewind).
    pub(crate) fn rewind(mut self, head: Vec<u8>) -> Self {
        let carried = self.copy.take().unwrap_or_default();
        self.out = Outgoing { head, ..Outgoing::default() };
        if !carried.data.is_empty() {
            let data = Bytes::copy_from_slice(&carried.data);
            self.put(Piece::Owned(data));
        }
        if self.read_all {
            self.end(carried.trailers.clone());
        }
        self.copy = Some(carried);
        self
    }

    /// The vector that held the head, for the next one; a new one while it is still needed.
    pub(crate) fn reclaim(&mut self) -> Vec<u8> {
        if self.out.is_empty() { std::mem::take(&mut self.out.head) } else { Vec::new() }
    }

    /// Moves what can be moved now. Ready when the body is whole and written.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        from: &mut End,
        to: &mut End,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            // Data that is already here goes out with the head, in one write.
            if self.out.data.is_none() && !self.read_all {
                match from {
                    End::H1(side) if !side.incoming.is_empty() => self.take_incoming(side)?,
                    // The first of it; what is still being fetched is not waited for.
                    End::Cached(source) if self.bytes == 0 && !self.out.head.is_empty() => {
                        if let Poll::Ready(read) = self.poll_cached(source, cx) {
                            read?;
                        }
                    }
                    _ => {}
                }
            }
            if !self.out.is_empty() {
                self.wait = Wait::Write;
                let before = self.out.written;
                let flushed = match to {
                    End::H1(side) => self.out.poll_flush(&mut side.socket, cx),
                    End::Stream(stream) => self.out.poll_flush_frames(stream, cx),
                    End::Fetch(fetch) => self.out.poll_flush_fetch(fetch, cx),
                    End::Mirror(_) => self.out.forget(),
                    End::Cached(_) | End::Closed => return Poll::Ready(Err(Broken::Write)),
                };
                let written = flushed.is_ready() || self.out.written > before;
                self.progress += u32::from(written);
                self.begun |= written;
                ready!(flushed).map_err(|_| Broken::Write)?;
            }
            if let Some((last, trailers)) = self.last.take() {
                self.put(Piece::Owned(last));
                self.end(trailers);
                continue;
            }
            if self.read_all {
                return Poll::Ready(Ok(()));
            }
            self.wait = Wait::Read;
            let read = match from {
                End::H1(side) if !side.incoming.is_empty() => Poll::Ready(Ok(())),
                End::H1(side) => {
                    let is_taken = match to {
                        End::Stream(stream) => stream.has_room(),
                        _ => true,
                    };
                    self.poll_read(side, is_taken, cx)
                }
                End::Stream(stream) => self.poll_frames(stream, cx),
                End::Cached(source) => self.poll_cached(source, cx),
                End::Mirror(mirror) => Poll::Ready(self.take_mirrored(mirror)),
                End::Fetch(_) | End::Closed => return Poll::Ready(Err(Broken::Read)),
            };
            match read {
                Poll::Ready(read) => read?,
                Poll::Pending => match self.recoding.as_mut().map(Recoding::flush).transpose()? {
                    Some(Some(held)) => self.put(Piece::Owned(held)),
                    _ => return Poll::Pending,
                },
            }
        }
    }

    /// Reads the next data, or the end, of a body that comes in frames.
    fn poll_frames(&mut self, from: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match ready!(from.poll_data(cx)).map_err(|_| Broken::Read)? {
            Some(data) => {
                self.progress += 1;
                self.count(&data)?;
                if !data.is_empty() {
                    self.pass(Piece::Owned(data))?;
                }
            }
            None => {
                let bytes_max = self.limits.trailer_bytes_max;
                let trailers =
                    ready!(from.poll_trailers(cx, bytes_max)).map_err(|_| Broken::Read)?;
                self.progress += 1;
                self.finish(trailers)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the next data, or the end, of a body that lies in memory or comes by another's fetch.
    fn poll_cached(&mut self, from: &mut Source, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let data = ready!(from.poll_data(cx)).map_err(|_| Broken::Read)?;
        self.progress += 1;
        match data {
            Some(data) => {
                self.count(&data)?;
                if !data.is_empty() {
                    self.pass(Piece::Owned(data))?;
                }
            }
            None => self.finish(from.trailers())?,
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the whole body of a copy, or its end.
    fn take_mirrored(&mut self, from: &mut mirror::Mirror) -> Result<(), Broken> {
        self.progress += 1;
        match from.take_data() {
            Some(data) => {
                self.count(&data)?;
                self.pass(Piece::Owned(data))
            }
            None => self.finish(from.take_trailers()),
        }
    }

    /// `is_taken`: it can be written now.
    fn poll_read(
        &mut self,
        from: &mut Side,
        is_taken: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        let mut buffer = if self.large && is_taken { Buffer::large() } else { Buffer::small() };
        // More room than the body needs: only a short read tells that nothing is left to read.
        let bytes_max = if is_taken { buffer.len() } else { UNTAKEN_BYTES_MAX };
        let read = ready!(from.socket.poll_read(cx, &mut buffer[..bytes_max]));
        let count = read.map_err(|_| Broken::Read)?;
        self.progress += 1;
        if count == 0 {
            self.decoder.close().map_err(Broken::Malformed)?;
            self.finish(None)?;
            return Poll::Ready(Ok(()));
        }
        self.large |= count == SMALL_BYTES;
        self.queue(buffer, 0..count, from)?;
        Poll::Ready(Ok(()))
    }

    fn take_incoming(&mut self, from: &mut Side) -> Result<(), Broken> {
        match from.incoming.take() {
            Some((buffer, range)) => self.queue(buffer, range, from),
            None => Ok(()),
        }
    }

    /// Understands `buffer[range]` and queues its data for writing.
    fn queue(
        &mut self,
        mut buffer: Buffer,
        range: Range<usize>,
        from: &mut Side,
    ) -> Result<(), Broken> {
        let decoded = self.decoder.decode(&mut buffer[range.clone()]).map_err(Broken::Malformed)?;
        let data = range.start + decoded.data.start..range.start + decoded.data.end;
        let surplus = range.start + decoded.consumed..range.end;
        if !surplus.is_empty() {
            let mut rest =
                if surplus.len() > SMALL_BYTES { Buffer::large() } else { Buffer::small() };
            rest[..surplus.len()].copy_from_slice(&buffer[surplus.clone()]);
            from.incoming.put(rest, 0..surplus.len());
        }
        if !data.is_empty() {
            self.count(&buffer[data.clone()])?;
            self.pass(Piece::Lent(buffer, data))?;
        }
        if self.decoder.is_done() {
            let trailers = self.decoder.take_trailers();
            self.finish(trailers)?;
        }
        Ok(())
    }

    /// Notes that `data` passes, if it may.
    fn count(&mut self, data: &[u8]) -> Result<(), Broken> {
        self.bytes += data.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(Broken::TooLarge);
        }
        if let Some(copy) = &mut self.copy {
            if copy.data.len() + data.len() <= self.copy_bytes_max {
                copy.data.extend_from_slice(data);
            } else {
                self.copy = None;
            }
        }
        Ok(())
    }

    /// Queues data for writing, as what it is to become.
    #[inline]
    fn pass(&mut self, piece: Piece) -> Result<(), Broken> {
        let piece = match &mut self.recoding {
            None => piece,
            Some(recoding) => recoding.data(piece)?,
        };
        if !piece.is_empty() {
            self.put(piece);
        }
        Ok(())
    }

    /// Queues data for writing.
    #[inline]
    fn put(&mut self, piece: Piece) {
        if self.frames {
            let small = !matches!(piece, Piece::Owned(_)) && piece.len() <= COPIED_BYTES_MAX;
            self.out.data = Some(match small {
                true => Piece::Owned(Bytes::copy_from_slice(&piece)),
                false => piece,
            });
            return;
        }
        if self.chunked {
            let (line, bytes) = h1::chunk_head(piece.len());
            self.out.head.extend_from_slice(&line[..bytes]);
            self.out.tail = b"\r\n";
        }
        if piece.len() <= COPIED_BYTES_MAX {
            self.out.head.extend_from_slice(&piece);
            self.out.head.extend_from_slice(self.out.tail);
            self.out.tail = &[];
        } else {
            self.out.data = Some(piece);
            self.out.join();
        }
    }

    /// Everything was read.
    fn finish(&mut self, trailers: Option<Box<Fields>>) -> Result<(), Broken> {
        self.read_all = true;
        let status = trailers.as_ref().and_then(|trailers| trailers.get_named("grpc-status"));
        self.grpc_status = status.map(Status::read);
        if let Some(recoding) = &mut self.recoding {
            let last = recoding.end(trailers.as_deref())?;
            let trailers = trailers.filter(|_| recoding.keeps_trailers());
            if last.is_empty() {
                self.end(trailers);
            } else {
                self.last = Some((last, trailers));
            }
            return Ok(());
        }
        if let Some(copy) = &mut self.copy {
            copy.trailers.clone_from(&trailers);
            if let Some(mirror) = self.mirror.take() {
                mirror.go(Bytes::copy_from_slice(&copy.data), trailers.clone());
            }
        }
        self.end(trailers);
        Ok(())
    }

    /// Queues what ends the body.
    fn end(&mut self, trailers: Option<Box<Fields>>) {
        if self.frames {
            self.out.end = Some(trailers.map_or(Ending::Data, Ending::Trailers));
        } else if !self.chunked {
            // The length, or the close, is the end.
        } else if let Some(trailers) = trailers {
            h1::encode_trailers(Some(&trailers), &mut self.out.trailers);
        } else if self.out.tail.is_empty() && self.out.data.is_none() {
            self.out.head.extend_from_slice(h1::LAST_CHUNK);
        } else {
            self.out.tail = b"\r\n0\r\n\r\n";
        }
    }
}
