//! Bytes from each of two sockets to the other, as they come, until both have ended.
//!
//! Nothing is understood on the way. A direction holds a buffer only while bytes wait to be written,
//! and reads no more until they are. A direction that has ended leaves the other one open:
//! half-closed is a state that protocols use.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use rules::Fault;

use super::buffer::{Buffer, SMALL_BYTES};
use super::deadline::Watch;
use super::socket::Socket;
use super::transfer::Side;

/// Both directions.
pub(crate) struct Relay {
    up: Way,
    down: Way,
}

/// One direction.
#[derive(Default)]
struct Way {
    /// Bytes of our own, written before all others.
    head: Vec<u8>,
    held: Option<(Buffer, Range<usize>)>,
    /// Whether the last read filled its buffer: then there is more.
    large: bool,
    state: State,
    /// Bytes that were read.
    bytes: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Moving,
    /// The sender has ended; the receiver is being told.
    Ending,
    Ended,
    /// The receiver is gone.
    Unheard,
}

/// Which side failed.
enum Broken {
    Read,
    Write,
}

impl Way {
    fn poll(
        &mut self,
        from: &mut Side,
        to: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            ready!(self.poll_write(to, cx)).map_err(|_| Broken::Write)?;
            match self.state {
                State::Moving => ready!(self.poll_read(from, cx)).map_err(|_| Broken::Read)?,
                State::Ending => {
                    ready!(to.poll_shutdown(cx)).map_err(|_| Broken::Write)?;
                    self.state = State::Ended;
                }
                State::Ended | State::Unheard => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Ready when nothing is held any more.
    fn poll_write(&mut self, to: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.head.is_empty() {
            let count = wrote(ready!(to.poll_write(cx, &self.head))?)?;
            self.head.drain(..count);
        }
        while let Some((buffer, range)) = &mut self.held {
            range.start += wrote(ready!(to.poll_write(cx, &buffer[range.clone()]))?)?;
            if range.start == range.end {
                self.held = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, from: &mut Side, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(held) = from.incoming.take() {
            self.hold(held);
            return Poll::Ready(Ok(()));
        }
        let mut buffer = if self.large { Buffer::large() } else { Buffer::small() };
        let count = ready!(from.socket.poll_read(cx, &mut buffer))?;
        match count {
            0 => self.state = State::Ending,
            _ => {
                self.large = count >= SMALL_BYTES;
                self.hold((buffer, 0..count));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn hold(&mut self, held: (Buffer, Range<usize>)) {
        self.bytes += held.1.len() as u64;
        self.held = Some(held);
    }
}

/// A socket that takes nothing will never take anything.
fn wrote(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
}

impl Relay {
    /// `head` goes up before what the client says.
    pub(crate) fn new(head: Vec<u8>) -> Self {
        Self { up: Way { head, ..Way::default() }, down: Way::default() }
    }

    /// Bytes so far, from the client and to it.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.up.bytes, self.down.bytes)
    }

    /// Moves bytes until both directions have ended. Whenever some moved, `count` is told how many,
    /// and the time limit `idle_ms` begins anew.
    ///
    /// # Errors
    /// Which side broke off, or that nothing moved for too long.
    pub(crate) async fn run(
        &mut self,
        client: &mut Side,
        upstream: &mut Side,
        (watch, idle_ms): (&Watch, u64),
        mut count: impl FnMut(u64, u64),
    ) -> Result<(), Fault> {
        let mut counted = (0, 0);
        let mut stood = None;
        let mut unheard = Ok(());
        poll_fn(|cx| {
            let up = self.up.poll(client, &mut upstream.socket, cx);
            let down = self.down.poll(upstream, &mut client.socket, cx);
            let bytes = self.bytes();
            if bytes != counted {
                count(bytes.0 - counted.0, bytes.1 - counted.1);
                counted = bytes;
            }
            // Who takes no more may have said something before, which still goes the other way.
            for (way, end, fault) in
                [(&mut self.up, &up, Fault::SendFailed), (&mut self.down, &down, Fault::ClientGone)]
            {
                if matches!(end, Poll::Ready(Err(Broken::Write))) {
                    (way.head, way.held, way.state) = (Vec::new(), None, State::Unheard);
                    unheard = Err(fault);
                }
            }
            match (up, down) {
                (Poll::Ready(Err(Broken::Read)), _) => return Poll::Ready(Err(Fault::ClientGone)),
                (_, Poll::Ready(Err(Broken::Read))) => {
                    return Poll::Ready(Err(Fault::UpstreamTruncated));
                }
                (Poll::Ready(_), Poll::Ready(_)) => return Poll::Ready(unheard),
                _ => {}
            }
            let stands = (counted, self.up.state, self.down.state, self.waiting());
            if stood != Some(stands) {
                stood = Some(stands);
                watch.set(idle_ms);
            } else if watch.is_over() {
                return Poll::Ready(Err(Fault::ConnectionIdle));
            }
            Poll::Pending
        })
        .await
    }

    /// Bytes that were read and not yet written: a slow reader is not idle.
    fn waiting(&self) -> (usize, usize) {
        let waiting =
            |way: &Way| way.head.len() + way.held.as_ref().map_or(0, |(_, range)| range.len());
        (waiting(&self.up), waiting(&self.down))
    }
}
