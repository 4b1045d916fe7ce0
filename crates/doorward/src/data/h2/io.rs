//! A socket as the HTTP/2 library reads and writes it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rules::flood::FrameGuard;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::turns::Turns;
use crate::data::deadline::Deadlines;
use crate::data::tls;
use crate::data::transfer::Side;

/// What is noticed about a connection as it is read and written.
pub(super) struct Meter {
    deadlines: Rc<Deadlines>,
    /// Counts what a client sends; services are not suspected.
    guard: Option<RefCell<FrameGuard>>,
    /// When something was read last, in milliseconds of the worker's clock.
    pub(super) read_at_ms: Cell<u64>,
    /// Whether a service said that it does not take our certificate; the library keeps no more of an
    /// error than its text.
    pub(super) no_certificate: Cell<bool>,
    /// Whether the other side stopped reading. It may have said why.
    pub(super) write_failed: Cell<bool>,
    /// Which streams of a client go first.
    pub(super) turns: Turns,
}

impl Meter {
    pub(super) fn of_client(deadlines: Rc<Deadlines>) -> Rc<Self> {
        Rc::new(Self::new(deadlines, Some(RefCell::default())))
    }

    pub(super) fn of_service(deadlines: Rc<Deadlines>) -> Rc<Self> {
        Rc::new(Self::new(deadlines, None))
    }

    fn new(deadlines: Rc<Deadlines>, guard: Option<RefCell<FrameGuard>>) -> Self {
        Self {
            deadlines,
            guard,
            read_at_ms: Cell::new(0),
            no_certificate: Cell::default(),
            write_failed: Cell::default(),
            turns: Turns::default(),
        }
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

    pub(super) fn failed(&self, error: &io::Error) {
        if tls::refuses_certificate(error) {
            self.no_certificate.set(true);
        }
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(count)) => self.sent(*count),
            Poll::Ready(Err(_)) => self.write_failed.set(true),
            Poll::Pending => self.turns.fill(),
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
                let read = ready!(side.socket.poll_read_buf(cx, buffer));
                read.inspect_err(|error| self.meter.failed(error))?;
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
        let written = self.side.borrow_mut().socket.poll_write(cx, bytes);
        self.meter.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.side.borrow_mut().socket.poll_write_vectored(cx, slices);
        self.meter.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.meter.turns.drain();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.borrow_mut().socket.poll_shutdown(cx)
    }
}
