//! A socket behind TLS, driven by hand.
//!
//! The library encrypts and decrypts; when bytes move is decided here. Several records leave in one
//! system call, and many are read by one. A connection that waits holds no buffer of ours, and of
//! the library's only the few kilobytes of its last read.

use std::io::{self, IoSlice, Read, Write};
use std::task::{Context, Poll, Waker, ready};

use rustls::Connection;

use crate::data::buffer::Incoming;
use crate::data::socket::Socket;

/// The bytes of another socket, encrypted: the accepting and the connecting side alike.
pub(crate) struct Tls {
    below: Socket,
    session: Connection,
    /// Records that were read and that the library has not taken yet.
    received: Incoming,
    /// Bytes that the caller gave and that are encrypted, but not all on their way: the caller is
    /// told of them when they are. So what is reported as written is in the kernel, as without TLS.
    accepted: usize,
}

impl Tls {
    /// `received` is what was read from `below` already.
    pub(crate) fn new(below: Socket, received: Incoming, session: Connection) -> Self {
        Self { below, session, received, accepted: 0 }
    }

    /// What was agreed on.
    pub(crate) fn session(&self) -> &Connection {
        &self.session
    }

    /// The socket without TLS, and what was read from it last: for the end of a failed handshake.
    pub(crate) fn into_below(self) -> (Socket, Incoming) {
        (self.below, self.received)
    }

    /// Drives the handshake. Ready when both sides may send data.
    ///
    /// # Errors
    /// Of the socket; or, inside of an [`io::ErrorKind::InvalidData`], a [`rustls::Error`]. The alert
    /// that says so has been sent, as far as the socket took it.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_send(cx))?;
            if !self.session.is_handshaking() {
                break;
            }
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        // The tickets of TLS 1.3 may go with the first response. In TLS 1.2 the client waits for the
        // last message.
        match self.session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) if !self.is_client() => Poll::Ready(Ok(())),
            _ => self.poll_send(cx),
        }
    }

    /// The name that a client asked for.
    pub(super) fn server_name(&self) -> Option<&str> {
        match &self.session {
            Connection::Server(session) => session.server_name(),
            Connection::Client(_) => None,
        }
    }

    fn is_client(&self) -> bool {
        matches!(self.session, Connection::Client(_))
    }

    /// As [`Socket::poll_read`]. An end without `close_notify` is an error: it may be somebody else's
    /// doing (RFC 8446, 6.1).
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.session.reader().read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
            if self.poll_receive(cx)?.is_pending() {
                // Answers to the other side's requests for new keys, and tickets. If they cannot be sent
                // the other side may still have said something before it left.
                let _ = self.poll_send(cx);
                return Poll::Pending;
            }
        }
    }

    /// Takes in records that were read, or reads some. Zero bytes are the end of the socket.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.received.is_empty() {
            let (room, _) = self.received.room();
            let read = self.below.poll_read(cx, room);
            if let Poll::Ready(Ok(count)) = read {
                self.received.grow(count);
            }
            self.received.release();
            ready!(read)?;
        }
        // No bytes tell the library that the socket has ended.
        let taken = self.session.read_tls(&mut self.received.bytes())?;
        self.received.consume(taken);
        if let Err(error) = self.session.process_new_packets() {
            // The alert that says so. Who does not take it now will not be told.
            let _ = self.poll_send(cx);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(taken))
    }

    /// Ready when all records have left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Below { socket: &mut self.below, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// As [`Socket::poll_write_vectored`]; but who was told to wait comes back with the same bytes,
    /// for they are encrypted already. The library takes 64 KiB at once, which bounds what is held.
    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.accepted == 0 {
            self.accepted = self.session.writer().write_vectored(slices)?;
        }
        ready!(self.poll_send(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.accepted)))
    }

    /// As [`Socket::poll_shutdown`], with a `close_notify` before.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.send_close_notify();
        ready!(self.poll_send(cx))?;
        self.below.poll_shutdown(cx)
    }

    /// Whether no data waits to be read, and no end and no error. Records that carry none, such as
    /// tickets, are taken in.
    /// Ready when records may wait to be read. What was read of them has been taken by then: a head is
    /// read until there is no more.
    pub(crate) fn poll_stirs(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.received.is_empty() {
            true => self.below.poll_stirs(cx),
            false => Poll::Ready(()),
        }
    }

    pub(crate) fn is_quiet(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        loop {
            let Ok(state) = self.session.process_new_packets() else { return false };
            if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                return false;
            }
            if self.received.is_empty() && self.below.is_quiet() {
                return true;
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return false,
                Poll::Pending => return true,
            }
        }
    }

    pub(crate) fn reset_on_close(&self) {
        self.below.reset_on_close();
    }
}

/// A socket as the library writes to it.
struct Below<'a, 'b> {
    socket: &'a mut Socket,
    cx: &'a mut Context<'b>,
}

impl Below<'_, '_> {
    fn blocking<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
        match polled {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Below<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::blocking(self.socket.poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.write(one),
            _ => Self::blocking(self.socket.poll_write_vectored(self.cx, slices)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
