//! One connected socket, of a client or of a service.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::tls::Tls;

/// A stream of bytes in both directions.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Tls>),
}

/// Does one thing with a socket of the kernel, another with one behind TLS.
macro_rules! on {
    ($socket:expr, $stream:ident => $act:expr, $tls:ident => $behind:expr) => {
        match $socket {
            Socket::Tcp($stream) => $act,
            Socket::Unix($stream) => $act,
            Socket::Tls($tls) => $behind,
        }
    };
}

impl Socket {
    /// Reads what is there, or waits for it. Zero bytes are the end.
    ///
    /// This is `poll_read` and not `try_read`: only the former clears the readiness after a short
    /// read, which saves the next call a fruitless system call and keeps [`Socket::is_quiet`] true
    /// to its name.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(room);
        let read = on!(self,
            stream => Pin::new(stream).poll_read(cx, &mut buffer),
            tls => return tls.poll_read(cx, room));
        read.map_ok(|()| buffer.filled().len())
    }

    /// As [`Socket::poll_read`], into a buffer of tokio's.
    pub(crate) fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on!(self, stream => Pin::new(stream).poll_read(cx, buffer), tls => {
            let count = ready!(tls.poll_read(cx, buffer.initialize_unfilled()))?;
            buffer.advance(count);
            Poll::Ready(Ok(()))
        })
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on!(self,
            stream => Pin::new(stream).poll_write(cx, bytes),
            tls => tls.poll_write_vectored(cx, &[IoSlice::new(bytes)]))
    }

    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on!(self,
            stream => Pin::new(stream).poll_write_vectored(cx, slices),
            tls => tls.poll_write_vectored(cx, slices))
    }

    /// Ends our side; the other side may still send.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, stream => Pin::new(stream).poll_shutdown(cx), tls => tls.poll_shutdown(cx))
    }

    /// Ready when something may wait to be read, if only the end. Makes no system call.
    pub(crate) fn poll_stirs(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        on!(self, stream => stream.poll_read_ready(cx).map(drop), tls => tls.poll_stirs(cx))
    }

    /// Lets go of the task that waited here last: it may have ended, and its memory should not stay.
    pub(crate) fn forget_waiter(&mut self) {
        let _ = self.poll_stirs(&mut Context::from_waker(Waker::noop()));
    }

    /// Whether nothing waits to be read: no bytes, no end, no error. Costs no system call unless
    /// the last read filled its buffer to the brim.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let blocks = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        on!(self, stream => stream.try_read(&mut [0]).is_err_and(blocks), tls => tls.is_quiet())
    }

    /// Makes the drop of this socket a reset: the other side sees an error, not an end.
    pub(crate) fn reset_on_close(&self) {
        let linger = Some(std::time::Duration::ZERO);
        // Failing to set it leaves an ordinary close, which is no worse than what peers do.
        let _ = on!(self,
            stream => socket2::SockRef::from(stream).set_linger(linger),
            tls => return tls.reset_on_close());
    }
}
