//! Read buffers, lent by each worker thread to whoever has something to read.
//!
//! A connection that waits holds no buffer: ten thousand idle clients cost no buffer memory. The
//! most recently returned buffer is lent first, so under load one buffer stays in the CPU's cache.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut, Range};

use super::kept::Kept;

/// Holds any allowed head (60 KiB) and most whole responses.
pub(crate) const SMALL_BYTES: usize = 64 * 1024;

/// For bodies that keep coming: fewer system calls, yet still within a core's second-level cache.
pub(crate) const LARGE_BYTES: usize = 256 * 1024;

/// How many unused buffers of each size a worker keeps at the most: as many as ten connections of a
/// hundred streams may have in flight at once, and of the large ones those of a few downloads. To make
/// one costs more than to fill and send it.
const SMALL_KEPT_MAX: usize = 1024;
const LARGE_KEPT_MAX: usize = 32;

thread_local! {
    static SMALL: RefCell<Kept<Box<[u8]>>> = const { RefCell::new(Kept::new(SMALL_KEPT_MAX)) };
    static LARGE: RefCell<Kept<Box<[u8]>>> = const { RefCell::new(Kept::new(LARGE_KEPT_MAX)) };
}

/// Frees half of the buffers of this thread that nobody wanted since the last call.
pub(crate) fn release_unused() {
    SMALL.with_borrow_mut(|kept| kept.unused().for_each(drop));
    LARGE.with_borrow_mut(|kept| kept.unused().for_each(drop));
}

/// Whether no unused buffer is kept on this thread.
pub(crate) fn none_kept() -> bool {
    [&SMALL, &LARGE].iter().all(|kept| kept.with_borrow(Kept::is_empty))
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
