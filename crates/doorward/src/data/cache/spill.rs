//! A body that is too large for memory and goes to the disk as it arrives, in chunks of one size. Those who
//! follow read it from where it is: what just came from memory, what came before from the disk.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::flight::Flight;
use crate::data::store::{Bringer, CHUNK_BYTES, Large};

/// How much of a body waits to be written at most. Behind that, the service is read as fast as the disk
/// writes.
pub(super) const WINDOW_BYTES: usize = 1024 * 1024;

/// So many bodies go to the disk at once: with what waits of each, 64 MiB.
pub(super) const SPILLS_MAX: usize = 64;

/// What has not become a chunk yet, and what of the others is written.
#[derive(Default)]
pub(super) struct Spill {
    pub(super) large: Option<Arc<Large>>,
    /// How many chunks are on the disk.
    pub(super) written: usize,
    tail: BytesMut,
    /// Of all that came.
    pub(super) bytes: u64,
}

impl Spill {
    /// Takes a piece of the body; `full` is handed each chunk that is whole with it.
    pub(super) fn append(&mut self, mut piece: &[u8], mut full: impl FnMut(Bytes)) {
        self.bytes += piece.len() as u64;
        while !piece.is_empty() {
            let room = CHUNK_BYTES as usize - self.tail.len();
            let (part, rest) = piece.split_at(room.min(piece.len()));
            if self.tail.is_empty() {
                self.tail.reserve(CHUNK_BYTES as usize);
            }
            self.tail.extend_from_slice(part);
            if self.tail.len() == CHUNK_BYTES as usize {
                full(self.take_tail());
            }
            piece = rest;
        }
    }

    /// What is left, as one chunk.
    pub(super) fn take_tail(&mut self) -> Bytes {
        std::mem::take(&mut self.tail).freeze()
    }

    /// The tail behind its first `skip` bytes: a copy, since it grows where it lies.
    pub(super) fn piece(&self, skip: usize) -> Option<Bytes> {
        let piece = self.tail.get(skip..).filter(|piece| !piece.is_empty())?;
        Some(Bytes::copy_from_slice(piece))
    }

    /// How many bytes can be read from the disk.
    pub(super) fn written_bytes(&self) -> u64 {
        (self.written as u64 * CHUNK_BYTES).min(self.bytes)
    }
}

impl Bringer for Flight {
    fn begun(&self, large: Arc<Large>) {
        if let Some(spill) = &mut self.lock().spill {
            spill.large = Some(large);
        }
    }

    fn written(&self, chunks: u64) {
        let mut state = self.lock();
        if let Some(spill) = &mut state.spill {
            spill.written = usize::try_from(chunks).unwrap_or(usize::MAX);
            state.trim();
            state.wake_writer();
        }
    }

    fn failed(&self) {
        self.lock().stop_spilling();
    }
}
