//! Floods of HTTP/2 and HTTP/3: frames that cost their sender next to nothing and us some work each.
//!
//! What a client sends is counted by kind as it is read, before anything acts on it. Each kind has a
//! bucket: it fills by one a frame, drains with time and with the bytes that we send, and running
//! over is the end of the connection with `ENHANCE_YOUR_CALM` (RFC 9113, 10.5) or
//! `H3_EXCESSIVE_LOAD` (RFC 9114, 10.5). The sizes are far
//! above what browsers, gRPC and proxies do, and far below what a flood is.

/// A kind of frame that can be a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Streams opened and reset at once (CVE-2023-44487), or ones whose reset is provoked.
    Reset,
    /// One head in ever more frames (CVE-2024-27316).
    Continuation,
    /// Settings, each of which must be acknowledged (CVE-2019-9515).
    Settings,
    /// Pings, each of which must be answered (CVE-2019-9512).
    Ping,
    /// Window updates without anything sent.
    WindowUpdate,
    /// Frames without content (CVE-2019-9518).
    Empty,
    /// Priorities (CVE-2019-9513), and frames of kinds that nobody knows.
    Priority,
    /// Connection ids of QUIC, each of which has to be kept or made anew.
    ConnectionId,
}

/// How many kinds there are.
const KINDS: usize = 8;

impl Flood {
    /// All of them.
    pub const ALL: [Self; KINDS] = [
        Self::Reset,
        Self::Continuation,
        Self::Settings,
        Self::Ping,
        Self::WindowUpdate,
        Self::Empty,
        Self::Priority,
        Self::ConnectionId,
    ];

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Continuation => "continuation",
            Self::Settings => "settings",
            Self::Ping => "ping",
            Self::WindowUpdate => "window-update",
            Self::Empty => "empty",
            Self::Priority => "priority",
            Self::ConnectionId => "connection-id",
        }
    }

    /// How many may come at once, and how many a second after that.
    const fn allowance(self) -> (u64, u64) {
        match self {
            // A map that is scrolled gives up hundreds of tiles.
            Self::Reset => (500, 100),
            // Even the largest head has no more than a few full frames.
            Self::Continuation => (64, 10),
            // A client that moves takes one or two new ids each time.
            Self::Settings | Self::ConnectionId => (100, 10),
            // gRPC estimates bandwidth by pings, one a round trip.
            Self::Ping | Self::Empty | Self::Priority => (1_000, 100),
            // Some clients send two for each frame of ours, however small: see `sent`.
            Self::WindowUpdate => (2_000, 500),
        }
    }
}

/// Watches one connection.
#[derive(Debug, Default)]
pub struct FrameGuard {
    /// The head of a frame, as far as it has come.
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// How much of the frame's payload is still to come.
    payload_bytes: usize,
    buckets: Buckets,
    last: Option<Flood>,
}

/// One bucket for each kind.
#[derive(Debug, Default)]
struct Buckets {
    /// How full each is, in thousandths of a frame.
    levels: [u64; KINDS],
    drained_ms: u64,
    over: Option<Flood>,
}

/// RFC 9113, 4.1: length 24, type 8, flags 8, stream 32.
const HEAD_BYTES: usize = 9;

/// One frame in a bucket.
const FRAME: u64 = 1_000;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;

impl FrameGuard {
    /// Looks at bytes that the client sent, behind its preface, at `now_ms`.
    pub fn received(&mut self, mut bytes: &[u8], now_ms: u64) {
        while !bytes.is_empty() {
            if self.payload_bytes > 0 {
                let skipped = self.payload_bytes.min(bytes.len());
                self.payload_bytes -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD_BYTES - self.head_bytes).min(bytes.len());
            self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&bytes[..taken]);
            self.head_bytes += taken;
            bytes = &bytes[taken..];
            if self.head_bytes == HEAD_BYTES {
                self.head_bytes = 0;
                self.count(now_ms);
            }
        }
    }

    /// Notes that `bytes` were sent to the client in one write: it may answer each frame in them.
    pub fn sent(&mut self, bytes: usize) {
        // A hundred calls of gRPC have their small messages in one write, and their client answers
        // each by two updates: the frame of the smallest message has 15 bytes.
        self.buckets.relieve(Flood::WindowUpdate, 4 + bytes as u64 / 7);
    }

    /// The kind of which there were too many.
    #[must_use]
    pub const fn over(&self) -> Option<Flood> {
        self.buckets.over
    }

    /// The kind that came last of those that can be floods.
    #[must_use]
    pub const fn last(&self) -> Option<Flood> {
        self.last
    }

    fn count(&mut self, now_ms: u64) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.payload_bytes = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let empty = self.payload_bytes == 0;
        let flood = match kind {
            0 | 1 if empty && flags & END_STREAM == 0 => Flood::Empty,
            0 | 1 => return,
            3 => Flood::Reset,
            4 if flags & ACK == 0 => Flood::Settings,
            6 if flags & ACK == 0 => Flood::Ping,
            8 => Flood::WindowUpdate,
            9 => Flood::Continuation,
            // Also answers to what we never asked.
            _ => Flood::Priority,
        };
        self.last = Some(flood);
        self.buckets.add(flood, 1, now_ms);
    }
}

impl Buckets {
    fn add(&mut self, flood: Flood, count: u64, now_ms: u64) {
        self.drain(now_ms);
        let level = &mut self.levels[flood as usize];
        *level += count * FRAME;
        if *level > flood.allowance().0 * FRAME {
            self.over.get_or_insert(flood);
        }
    }

    fn relieve(&mut self, flood: Flood, count: u64) {
        let level = &mut self.levels[flood as usize];
        *level = level.saturating_sub(count * FRAME);
    }

    fn drain(&mut self, now_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.drained_ms);
        if passed_ms == 0 {
            return;
        }
        self.drained_ms = now_ms;
        for flood in Flood::ALL {
            // So many a second are so many thousandths a millisecond.
            let drained = passed_ms.saturating_mul(flood.allowance().1);
            let level = &mut self.levels[flood as usize];
            *level = level.saturating_sub(drained);
        }
    }
}

/// Watches one connection of HTTP/3, whose frames others count.
#[derive(Debug, Default)]
pub struct Gauge {
    buckets: Buckets,
    /// How many of each kind there had been.
    totals: [u64; KINDS],
}

impl Gauge {
    /// So many frames of a kind have come until `now_ms`, all told.
    pub fn reached(&mut self, flood: Flood, total: u64, now_ms: u64) {
        let before = std::mem::replace(&mut self.totals[flood as usize], total);
        if total > before {
            self.buckets.add(flood, total - before, now_ms);
        }
    }

    /// So many more came at `now_ms`.
    pub fn add(&mut self, flood: Flood, count: u64, now_ms: u64) {
        self.buckets.add(flood, count, now_ms);
    }

    /// So many were called for.
    pub fn relieve(&mut self, flood: Flood, count: u64) {
        self.buckets.relieve(flood, count);
    }

    /// Notes that `datagrams` were sent to the client: it may answer each by some updates.
    pub fn sent(&mut self, datagrams: u64) {
        self.buckets.relieve(Flood::WindowUpdate, 4 * datagrams);
    }

    /// The kind of which there were too many.
    #[must_use]
    pub const fn over(&self) -> Option<Flood> {
        self.buckets.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("small").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD_BYTES + payload, 0x55);
        frame
    }

    /// The kind that `count` of `frame`, all at once, are too many of.
    fn flood(frame: &[u8], count: usize) -> Option<Flood> {
        let mut guard = FrameGuard::default();
        guard.received(&frame.repeat(count), 0);
        guard.over()
    }

    #[test]
    fn each_kind_has_its_measure() {
        for (sent, flood_of, allowed) in [
            (frame(3, 0, 4), Flood::Reset, 500),
            (frame(9, 0, 4), Flood::Continuation, 64),
            (frame(4, 0, 6), Flood::Settings, 100),
            (frame(6, 0, 8), Flood::Ping, 1000),
            (frame(8, 0, 4), Flood::WindowUpdate, 2000),
            (frame(0, 0, 0), Flood::Empty, 1000),
            (frame(1, 4, 0), Flood::Empty, 1000),
            (frame(2, 0, 5), Flood::Priority, 1000),
            (frame(16, 0, 9), Flood::Priority, 1000),
            (frame(77, 0, 1), Flood::Priority, 1000),
        ] {
            assert_eq!(flood(&sent, allowed), None, "{flood_of:?}");
            assert_eq!(flood(&sent, allowed + 1), Some(flood_of), "{flood_of:?}");
        }
    }

    #[test]
    fn work_is_no_flood() {
        for work in [frame(0, 0, 1), frame(0, 1, 0), frame(1, 5, 20), frame(0, 0, 16_384)] {
            assert_eq!(flood(&work, 10_000), None);
        }
    }

    #[test]
    fn buckets_drain_with_time_and_with_what_is_sent() {
        let mut guard = FrameGuard::default();
        for second in 0..60 {
            guard.received(&frame(6, 0, 8).repeat(100), second * 1000);
        }
        assert_eq!(guard.over(), None, "a hundred a second are allowed");
        for _ in 0..100_000 {
            guard.sent(29);
            guard.received(&frame(8, 0, 4).repeat(2), 60_000);
        }
        assert_eq!(guard.over(), None, "one for the stream, one for the connection");
        for _ in 0..1_000 {
            guard.sent(15 * 100);
            guard.received(&frame(8, 0, 4).repeat(2 * 100), 60_000);
        }
        assert_eq!(guard.over(), None, "many calls at once, each with a small message");
        guard.received(&frame(8, 0, 4).repeat(3000), 60_000);
        assert_eq!(guard.over(), Some(Flood::WindowUpdate));
    }

    #[test]
    fn frames_are_found_wherever_reads_end() {
        let bytes = [frame(0, 0, 300), frame(6, 0, 8).repeat(1001), frame(1, 0, 7)].concat();
        for step in [1, 2, 8, 9, 10, 17, 299, 5000] {
            let mut guard = FrameGuard::default();
            for part in bytes.chunks(step) {
                guard.received(part, 0);
            }
            assert_eq!(guard.over(), Some(Flood::Ping), "{step}");
            assert_eq!(guard.last(), Some(Flood::Ping), "{step}");
        }
    }

    #[test]
    fn totals_are_counted_by_what_they_grow() {
        let mut gauge = Gauge::default();
        for second in 0..60 {
            gauge.reached(Flood::Ping, second * 100, second * 1000);
        }
        assert_eq!(gauge.over(), None, "a hundred a second are allowed");
        gauge.add(Flood::Priority, 900, 60_000);
        gauge.relieve(Flood::Priority, 2);
        gauge.add(Flood::Priority, 102, 60_000);
        assert_eq!(gauge.over(), None, "two were called for");
        gauge.reached(Flood::Ping, 5_900 + 1_001, 60_000);
        assert_eq!(gauge.over(), Some(Flood::Ping));
    }
}
