//! Read buffers, lent by each worker thread to whoever has something to read.
//!
//! A connection that waits holds no buffer: ten thousand idle clients cost no buffer memory. The
//! most recently returned buffer is lent first, so under load one buffer stays in the CPU's cache.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut, Range};

/// Holds any allowed head (60 KiB) and most whole responses.
pub(crate) const SMALL_BYTES: usize = 64 * 1024;

/// For bodies that keep coming: fewer system calls, yet still within a core's second-level cache.
pub(crate) const LARGE_BYTES: usize = 256 * 1024;

/// How many unused buffers of each size a worker keeps at the most: as many as ten connections of a
/// hundred streams may have in flight at once, and of the large ones those of a few downloads. To make
/// one costs more than to fill and send it. Those that nobody wants any more go back by and by
/// ([`release_unused`]).
const SMALL_KEPT_MAX: usize = 1024;
const LARGE_KEPT_MAX: usize = 32;

thread_local! {
    static SMALL: RefCell<Kept> = const { RefCell::new(Kept::new(SMALL_KEPT_MAX)) };
    static LARGE: RefCell<Kept> = const { RefCell::new(Kept::new(LARGE_KEPT_MAX)) };
}

/// Unused buffers of one size.
struct Kept {
    buffers: Vec<Box<[u8]>>,
    count_max: usize,
    /// The fewest that there were since the last [`release_unused`].
    fewest: usize,
}

impl Kept {
    const fn new(count_max: usize) -> Self {
        Self { buffers: Vec::new(), count_max, fewest: 0 }
    }

    fn pop(&mut self) -> Option<Box<[u8]>> {
        let buffer = self.buffers.pop();
        self.fewest = self.fewest.min(self.buffers.len());
        buffer
    }

    fn push(&mut self, buffer: Box<[u8]>) {
        if self.buffers.len() < self.count_max {
            self.buffers.push(buffer);
        }
    }

    fn release_unused(&mut self) {
        // Half of them, so that a load that comes in waves does not make them anew each time. They
        // are those that were returned first, which have been out of the CPU's cache for longest.
        self.buffers.drain(..self.fewest.div_ceil(2));
        self.fewest = self.buffers.len();
    }
}

/// Frees half of the buffers of this thread that nobody wanted since the last call.
pub(crate) fn release_unused() {
    SMALL.with_borrow_mut(Kept::release_unused);
    LARGE.with_borrow_mut(Kept::release_unused);
}

/// Whether no unused buffer is kept on this thread.
pub(crate) fn none_kept() -> bool {
    [&SMALL, &LARGE].iter().all(|kept| kept.with_borrow(|kept| kept.buffers.is_empty()))
}

/// A buffer on loan; dropping it gives it back.
pub(crate) struct Buffer(Box<[u8]>);

impl Buffer {
    pub(crate) fn small() -> Self {
        Self(SMALL.with_borrow_mut(Kept::pop).unwrap_or_else(|| empty(SMALL_BYTES)))
    }

    pub(crate) fn large() -> Self {
        Self(LARGE.with_borrow_mut(Kept::pop).unwrap_or_else(|| empty(LARGE_BYTES)))
    }
}

fn empty(bytes: usize) -> Box<[u8]> {
    vec![0; bytes].into_boxed_slice()
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        let pool = if bytes.len() == LARGE_BYTES { &LARGE } else { &SMALL };
        // The thread may be ending: then the buffer is simply freed.
        let _ = pool.try_with(|pool| pool.borrow_mut().push(bytes));
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Bytes that were read and not yet understood.
#[derive(Default)]
pub(crate) struct Incoming {
    buffer: Option<Buffer>,
    range: Range<usize>,
}

impl Incoming {
    pub(crate) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer[self.range.clone()],
            None => &[],
        }
    }

    /// Takes `count` bytes off the front. The buffer goes back as soon as it holds nothing.
    pub(crate) fn consume(&mut self, count: usize) {
        self.range.start += count;
        debug_assert!(self.range.start <= self.range.end, "no more than there is");
        if self.range.is_empty() {
            self.buffer = None;
            self.range = 0..0;
        }
    }

    /// All bytes, with the buffer that they lie in.
    pub(crate) fn take(&mut self) -> Option<(Buffer, Range<usize>)> {
        let range = std::mem::take(&mut self.range);
        self.buffer.take().map(|buffer| (buffer, range))
    }

    /// Puts back what was read too far; nothing else may have been read meanwhile.
    pub(crate) fn put(&mut self, buffer: Buffer, range: Range<usize>) {
        debug_assert!(self.is_empty(), "bytes would change their order");
        if !range.is_empty() {
            (self.buffer, self.range) = (Some(buffer), range);
        }
    }

    /// Room to read more bytes behind those here: at least one byte, unless the head limit, which
    /// is below a small buffer's size, was not kept.
    pub(crate) fn room(&mut self) -> (&mut [u8], usize) {
        let buffer = self.buffer.get_or_insert_with(Buffer::small);
        if self.range.end == buffer.len() && self.range.start > 0 {
            buffer.copy_within(self.range.clone(), 0);
            self.range = 0..self.range.len();
        }
        let end = self.range.end;
        (&mut buffer[end..], end)
    }

    /// `count` bytes were read into the room.
    pub(crate) fn grow(&mut self, count: usize) {
        self.range.end += count;
    }

    /// Gives an empty buffer back after a read that brought nothing.
    pub(crate) fn release(&mut self) {
        if self.range.is_empty() {
            self.buffer = None;
            self.range = 0..0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_wants_goes_back() {
        let kept = || SMALL.with_borrow(|kept| kept.buffers.len());
        let lent: Vec<_> = (0..=SMALL_KEPT_MAX).map(|_| Buffer(Box::default())).collect();
        drop(lent);
        assert_eq!(kept(), SMALL_KEPT_MAX, "a burst is kept, but no more");
        release_unused();
        assert_eq!(kept(), SMALL_KEPT_MAX, "they were in use a moment ago");
        release_unused();
        assert_eq!(kept(), SMALL_KEPT_MAX / 2);
        drop((0..SMALL_KEPT_MAX / 4).map(|_| Buffer::small()).collect::<Vec<_>>());
        release_unused();
        assert_eq!(kept(), SMALL_KEPT_MAX * 3 / 8, "half of those that were not");
        (0..20).for_each(|_| release_unused());
        assert!(none_kept());
    }
}
