//! A socket as the HTTP/2 library reads and writes it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rules::flood::FrameGuard;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::data::deadline::Deadlines;
use crate::data::transfer::Side;

/// What is noticed about a connection as it is read and written.
pub(super) struct Meter {
    deadlines: Rc<Deadlines>,
    /// Counts what a client sends; services are not suspected.
    guard: Option<RefCell<FrameGuard>>,
    /// When something was read last, in milliseconds of the worker's clock.
    pub(super) read_at_ms: Cell<u64>,
}

impl Meter {
    pub(super) fn of_client(deadlines: Rc<Deadlines>) -> Rc<Self> {
        let guard = Some(RefCell::default());
        Rc::new(Self { deadlines, guard, read_at_ms: Cell::new(0) })
    }

    pub(super) fn of_service(deadlines: Rc<Deadlines>) -> Rc<Self> {
        Rc::new(Self { deadlines, guard: None, read_at_ms: Cell::new(0) })
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.deadlines.now_ms()
    }

    /// What the guard has to say.
    pub(super) fn look<T>(&self, look: impl FnOnce(&FrameGuard) -> Option<T>) -> Option<T> {
        self.guard.as_ref().and_then(|guard| look(&guard.borrow()))
    }

    fn received(&self, bytes: &[u8]) {
        self.read_at_ms.set(self.now_ms());
        if let Some(guard) = &self.guard {
            guard.borrow_mut().received(bytes, self.now_ms());
        }
    }

    fn sent(&self, bytes: usize) {
        if let Some(guard) = &self.guard {
            guard.borrow_mut().sent(bytes);
        }
    }
}

/// The socket of a connection; what was read before the library came goes first.
pub(super) struct Io {
    pub(super) side: Rc<RefCell<Side>>,
    pub(super) meter: Rc<Meter>,
    /// Bytes of the preface that are still to be read; they are no frames.
    pub(super) preface_bytes: usize,
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        {
            let side = &mut *self.side.borrow_mut();
            if side.incoming.is_empty() {
                ready!(side.socket.poll_read_buf(cx, buffer))?;
            } else {
                let bytes = side.incoming.bytes();
                let count = bytes.len().min(buffer.remaining());
                buffer.put_slice(&bytes[..count]);
                side.incoming.consume(count);
            }
        }
        let read = &buffer.filled()[before..];
        let preface_bytes = self.preface_bytes.min(read.len());
        self.meter.received(&read[preface_bytes..]);
        self.preface_bytes -= preface_bytes;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.side.borrow_mut().socket.poll_write(cx, bytes))?;
        self.meter.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.side.borrow_mut().socket.poll_write_vectored(cx, slices))?;
        self.meter.sent(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.borrow_mut().socket.poll_shutdown(cx)
    }
}
