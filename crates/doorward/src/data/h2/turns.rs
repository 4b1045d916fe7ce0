//! Whose turn it is on a connection of HTTP/2 (RFC 9218): while its client takes less than there is to
//! send, what is more urgent goes first.
//!
//! The library sends what its streams have queued in turn, a frame of each. So a stream that may wait
//! queues nothing more while one that is more urgent waits for room.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::HeaderMap;
use http::header::HeaderName;
use wire::priority::Priority;

use super::io::Meter;

/// Levels of urgency (RFC 9218, 4.1).
const LEVELS: usize = 8;

/// How long a stream lets others go first before it sends something, so that neither its service nor a
/// deadline takes the client for gone.
const HELD_MAX_MS: u64 = 5_000;

/// What the streams of one connection know of each other.
#[derive(Default)]
pub(super) struct Turns {
    /// Whether there was more than the socket took, of late.
    is_scarce: Cell<bool>,
    /// Whether the socket took all there was.
    is_drained: Cell<bool>,
    /// How many streams of each urgency wait for room.
    waiting: [Cell<u32>; LEVELS],
    /// Whether one got some since the last [`Self::settle`], while room was scarce.
    moved: Cell<bool>,
    /// Streams that let others go first: since when, and whom to wake.
    held: RefCell<HashMap<u64, (u64, Waker)>>,
}

impl Turns {
    /// The socket takes nothing more for now.
    pub(super) fn fill(&self) {
        self.is_scarce.set(true);
        self.is_drained.set(false);
    }

    /// The socket took all there was.
    pub(super) fn drain(&self) {
        self.is_drained.set(true);
    }

    /// Lets go on who waited long enough, or for nothing. To be called when the connection was
    /// written; it is polled again where that is to be seen.
    pub(super) fn settle(&self, now_ms: u64, cx: &Context<'_>) {
        if !self.is_scarce.get() {
            return;
        }
        let held = &*self.held.borrow();
        let moved = self.moved.take();
        if self.is_drained.get() {
            // The kernel takes some hundred kilobytes at once. Whoever is more urgent gets them if he
            // has so much: he was woken before this task is once more.
            if moved && !held.is_empty() {
                cx.waker().wake_by_ref();
            } else {
                self.is_scarce.set(false);
            }
        }
        for (since_ms, waker) in held.values() {
            if !self.is_scarce.get() || since_ms + HELD_MAX_MS <= now_ms {
                waker.wake_by_ref();
            }
        }
    }

    fn is_urgent_waiting(&self, urgency: u8) -> bool {
        self.waiting[..usize::from(urgency)].iter().any(|count| count.get() > 0)
    }
}

/// One stream's part in it.
pub(super) struct Turn {
    meter: Rc<Meter>,
    /// The stream's number on its connection.
    number: u64,
    urgency: u8,
    waits: bool,
}

impl Turn {
    /// Of a request with `fields`.
    pub(super) fn new(meter: Rc<Meter>, number: u64, fields: &HeaderMap) -> Self {
        const PRIORITY: HeaderName = HeaderName::from_static("priority");
        let written = fields.get(PRIORITY).map(|value| Priority::read(value.as_bytes()));
        let urgency = written.unwrap_or_default().urgency;
        Self { meter, number, urgency, waits: false }
    }

    /// Ready unless others go first.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let turns = &self.meter.turns;
        if !turns.is_scarce.get() && turns.held.borrow().is_empty() {
            return Poll::Ready(());
        }
        let (now_ms, mut held) = (self.meter.now_ms(), turns.held.borrow_mut());
        let since_ms = held.get(&self.number).map_or(now_ms, |(since_ms, _)| *since_ms);
        let is_late = since_ms + HELD_MAX_MS <= now_ms;
        if !turns.is_scarce.get() || is_late || !turns.is_urgent_waiting(self.urgency) {
            held.remove(&self.number);
            return Poll::Ready(());
        }
        held.insert(self.number, (since_ms, cx.waker().clone()));
        Poll::Pending
    }

    /// Whether it waits for room now, or got some.
    pub(super) fn wait(&mut self, waits: bool) {
        if !waits && self.meter.turns.is_scarce.get() {
            self.meter.turns.moved.set(true);
        }
        if self.waits != waits {
            self.waits = waits;
            let count = &self.meter.turns.waiting[usize::from(self.urgency)];
            count.set(if waits { count.get() + 1 } else { count.get() - 1 });
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.wait(false);
        let held = &mut *self.meter.turns.held.borrow_mut();
        held.remove(&self.number);
        // Perhaps it was this one for which they waited.
        for (_, waker) in held.values() {
            waker.wake_by_ref();
        }
    }
}
