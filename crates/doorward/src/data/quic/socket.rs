//! A UDP socket that takes and gives many datagrams at once, where the kernel can (GSO, GRO,
//! `recvmmsg`).

use std::io::{self, IoSliceMut};
use std::net::UdpSocket as StdSocket;
use std::task::{Context, Poll, ready};

use quinn_proto::{EcnCodepoint, Transmit};
use quinn_udp::{RecvMeta, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Messages that one system call may bring. Each may be many datagrams.
pub(super) const MESSAGES: usize = 8;

/// The largest message: what the kernel joins (GRO) is no longer.
const MESSAGE_BYTES: usize = 64 * 1024;

/// What the kernel may keep of either direction: a burst of a gigabit a second that comes while the
/// worker is busy for 16 ms. It gives as much as `net.core.rmem_max` and `wmem_max` allow.
const KERNEL_BYTES: usize = 2 * 1024 * 1024;

/// Datagrams that one system call may send: as many as fit into one message.
const SEGMENTS_MAX: usize = 32;

pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    pub(super) fn new(socket: StdSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        // Smaller buffers only lose datagrams sooner.
        let _ = state.set_recv_buffer_size((&socket).into(), KERNEL_BYTES);
        let _ = state.set_send_buffer_size((&socket).into(), KERNEL_BYTES);
        Ok(Self { io: UdpSocket::from_std(socket)?, state })
    }

    /// How many datagrams one system call may send.
    pub(super) fn segments_max(&self) -> usize {
        self.state.max_gso_segments().min(SEGMENTS_MAX)
    }

    /// Whether datagrams that are too large for the path are lost, and not cut into pieces.
    pub(super) fn finds_path_limits(&self) -> bool {
        !self.state.may_fragment()
    }

    /// Receives some messages into `room`.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        room: &mut Room,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = self.io.try_io(Interest::READABLE, || {
                let mut slices = room.bytes.chunks_mut(MESSAGE_BYTES).map(IoSliceMut::new);
                let mut slices: [_; MESSAGES] =
                    std::array::from_fn(|_| slices.next().expect("one for each message"));
                self.state.recv((&self.io).into(), &mut slices, &mut room.metas)
            });
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return Poll::Ready(received),
            }
        }
    }

    /// Sends `transmit`, whose bytes are `bytes`; false if the kernel takes nothing now.
    pub(super) fn send(&self, transmit: &Transmit, bytes: &[u8]) -> bool {
        let transmit = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: &bytes[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        // What else goes wrong concerns one datagram, which is as good as lost.
        !self
            .io
            .try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), &transmit))
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ready when the kernel takes something again.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_send_ready(cx).map(|_| ())
    }
}

/// Where messages are received.
pub(super) struct Room {
    bytes: Box<[u8]>,
    metas: [RecvMeta; MESSAGES],
}

impl Default for Room {
    fn default() -> Self {
        let bytes = vec![0; MESSAGES * MESSAGE_BYTES].into_boxed_slice();
        Self { bytes, metas: [RecvMeta::default(); MESSAGES] }
    }
}

impl Room {
    /// The datagrams of the first `messages`, and what is known of each.
    pub(super) fn datagrams(
        &self,
        messages: usize,
    ) -> impl Iterator<Item = (&RecvMeta, Option<EcnCodepoint>, &[u8])> {
        let messages = self.metas.iter().zip(self.bytes.chunks(MESSAGE_BYTES)).take(messages);
        messages.flat_map(|(meta, bytes)| {
            let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
            let datagrams = bytes[..meta.len].chunks(meta.stride.max(1));
            datagrams.map(move |datagram| (meta, ecn, datagram))
        })
    }
}
