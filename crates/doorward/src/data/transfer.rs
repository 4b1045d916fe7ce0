//! Moves one message body from one socket to another, with back-pressure.
//!
//! The same code carries request bodies, response bodies and both directions of an upgraded
//! connection. It is polled and not awaited, so that one task can drive both directions. It holds a
//! buffer only while bytes wait to be written, and reads no more until they are.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::task::{Context, Poll, ready};

use wire::h1::{self, BodyDecoder, BodyLimits, Framing, Malformed};

use super::buffer::{Buffer, Incoming, SMALL_BYTES};
use super::socket::Socket;

/// A socket and what was read from it too early.
pub(crate) struct Side {
    pub(crate) socket: Socket,
    pub(crate) incoming: Incoming,
}

impl Side {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, incoming: Incoming::default() }
    }

    /// Reads more bytes behind those that are here; for heads. Zero bytes are the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (room, _) = self.incoming.room();
        let read = self.socket.poll_read(cx, room);
        if let Poll::Ready(Ok(count)) = read {
            self.incoming.grow(count);
        }
        self.incoming.release();
        read
    }
}

/// Which socket a transfer waits for.
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

/// Up to here data is copied behind the head, because one `write` of a few kilobytes costs less
/// than a vectored one.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// Bytes that wait to be written: a head or chunk line, data, and what ends a chunk or the body.
#[derive(Default)]
struct Outgoing {
    head: Vec<u8>,
    data: Option<(Buffer, Range<usize>)>,
    tail: &'static [u8],
    trailers: Vec<u8>,
    written: usize,
}

impl Outgoing {
    fn len(&self) -> usize {
        let data = self.data.as_ref().map_or(0, |(_, range)| range.len());
        self.head.len() + data + self.tail.len() + self.trailers.len()
    }

    /// Moves the head in front of the data, where the head that was read mostly leaves room for it:
    /// then both leave in one plain write.
    fn join(&mut self) {
        let Some((buffer, data)) = &mut self.data else { return };
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
        let data = self.data.as_ref().map_or(&[][..], |(buffer, range)| &buffer[range.clone()]);
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
}

/// A body on its way. What is written first is the head that was given.
pub(crate) struct Transfer {
    decoder: BodyDecoder,
    /// Whether the data leaves in chunks.
    chunked: bool,
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
}

#[derive(Default)]
struct Carried {
    data: Vec<u8>,
    /// The last chunk with its trailers, if there are any.
    trailers: Vec<u8>,
}

/// The most body bytes that are kept for sending a request again.
const COPY_BYTES_MAX: usize = 64 * 1024;

impl Transfer {
    /// `from` is how the body arrives, `to` how it leaves; `head` is written before it.
    pub(crate) fn new(
        from: Framing,
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
            chunked: to == Framing::Chunked,
            out: Outgoing { head, ..Outgoing::default() },
            bytes_max,
            bytes: 0,
            wait: Wait::Write,
            progress: 0,
            begun: false,
            copy: None,
        }
    }

    /// Keeps a copy of the data, as long as it is small, for [`Transfer::rewind`].
    pub(crate) fn keep_copy(&mut self) {
        self.copy = Some(Carried::default());
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
            if self.chunked {
                let (line, bytes) = h1::chunk_head(carried.data.len());
                self.out.head.extend_from_slice(&line[..bytes]);
            }
            self.out.head.extend_from_slice(&carried.data);
            if self.chunked {
                self.out.head.extend_from_slice(b"\r\n");
            }
        }
        if self.read_all && self.chunked {
            match carried.trailers.is_empty() {
                true => self.out.tail = h1::LAST_CHUNK,
                false => self.out.trailers.clone_from(&carried.trailers),
            }
        }
        self.copy = Some(carried);
        self
    }

    /// The vector that held the head, for the next one; a new one while it is still needed.
    pub(crate) fn reclaim(&mut self) -> Vec<u8> {
        if self.out.len() == 0 { std::mem::take(&mut self.out.head) } else { Vec::new() }
    }

    /// Moves what can be moved now. Ready when the body is whole and written.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        from: &mut Side,
        to: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            // Data that is already here goes out with the head, in one write.
            if self.out.data.is_none() && !self.read_all && !from.incoming.is_empty() {
                self.take_incoming(from)?;
            }
            if self.out.len() > 0 {
                self.wait = Wait::Write;
                let before = self.out.written;
                let flushed = self.out.poll_flush(to, cx);
                let written = flushed.is_ready() || self.out.written > before;
                self.progress += u32::from(written);
                self.begun |= written;
                ready!(flushed).map_err(|_| Broken::Write)?;
            }
            if self.read_all {
                return Poll::Ready(Ok(()));
            }
            self.wait = Wait::Read;
            if from.incoming.is_empty() {
                ready!(self.poll_read(from, cx))?;
            }
        }
    }

    fn poll_read(&mut self, from: &mut Side, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut buffer = if self.large { Buffer::large() } else { Buffer::small() };
        // More room than the body needs: only a short read tells that nothing is left to read.
        let count = ready!(from.socket.poll_read(cx, &mut buffer)).map_err(|_| Broken::Read)?;
        self.progress += 1;
        if count == 0 {
            self.decoder.close().map_err(Broken::Malformed)?;
            self.end();
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
            self.bytes += data.len() as u64;
            if self.bytes > self.bytes_max {
                return Err(Broken::TooLarge);
            }
            self.remember(&buffer[data.clone()]);
            if self.chunked {
                let (line, bytes) = h1::chunk_head(data.len());
                self.out.head.extend_from_slice(&line[..bytes]);
                self.out.tail = b"\r\n";
            }
            if data.len() <= COPIED_BYTES_MAX {
                self.out.head.extend_from_slice(&buffer[data]);
                self.out.head.extend_from_slice(self.out.tail);
                self.out.tail = &[];
            } else {
                self.out.data = Some((buffer, data));
                self.out.join();
            }
        }
        if self.decoder.is_done() {
            self.end();
        }
        Ok(())
    }

    /// Everything was read: queues what ends the body.
    fn end(&mut self) {
        self.read_all = true;
        if !self.chunked {
            return;
        }
        if let Some(trailers) = self.decoder.take_trailers() {
            h1::encode_trailers(Some(&trailers), &mut self.out.trailers);
            if let Some(copy) = &mut self.copy {
                copy.trailers.clone_from(&self.out.trailers);
            }
        } else if self.out.tail.is_empty() && self.out.data.is_none() {
            self.out.head.extend_from_slice(h1::LAST_CHUNK);
        } else {
            self.out.tail = b"\r\n0\r\n\r\n";
        }
    }

    fn remember(&mut self, data: &[u8]) {
        if let Some(copy) = &mut self.copy {
            if copy.data.len() + data.len() <= COPY_BYTES_MAX {
                copy.data.extend_from_slice(data);
            } else {
                self.copy = None;
            }
        }
    }
}
