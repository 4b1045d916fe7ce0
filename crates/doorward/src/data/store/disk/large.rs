//! Objects that are too large for memory: each lies in a segment of its own, is written there as it
//! arrives, and read from there as it is sent.
//!
//! Nothing but its head is ever in memory. The body's chunks are written first and the header last, so
//! that a crash leaves a segment without a record, which is as if it were not there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::record::{self, CHUNK_BYTES, Place, SUM_BYTES};
use super::{Shared, locked};

/// Whoever brings a large object, and is told how far it is written.
pub(crate) trait Bringer: Send + Sync {
    /// What was written can be read by `large` from now on.
    fn begun(&self, large: Arc<Large>);
    /// So many chunks are written.
    fn written(&self, chunks: u64);
    /// No more is written.
    fn failed(&self);
}

/// Tells a bringer that nothing more is written, when this is dropped, unless all was.
pub(super) struct Telling {
    pub(super) bringer: Arc<dyn Bringer>,
    pub(super) whole: bool,
}

impl Telling {
    pub(super) fn new(bringer: Arc<dyn Bringer>) -> Self {
        Self { bringer, whole: false }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if !self.whole {
            self.bringer.failed();
        }
    }
}

/// A body on the disk.
#[derive(Debug)]
pub(crate) struct Large {
    /// Gone when its segment is.
    file: Weak<File>,
    /// Of its key.
    hash: u64,
    place: Place,
    /// Where its first chunk stands in the file.
    start: u64,
    /// Something of it could not be read, or was wrong.
    broken: AtomicBool,
    shared: Weak<Shared>,
}

impl Large {
    pub(super) fn new(
        file: &Arc<File>,
        (hash, place): (u64, Place),
        start: u64,
        shared: &Arc<Shared>,
    ) -> Arc<Self> {
        let (file, shared) = (Arc::downgrade(file), Arc::downgrade(shared));
        let broken = AtomicBool::new(false);
        Arc::new(Self { file, hash, place, start, broken, shared })
    }

    /// Whether all of it is still there, as far as anybody knows.
    pub(crate) fn is_there(&self) -> bool {
        self.file.strong_count() > 0 && !self.broken.load(Ordering::Relaxed)
    }

    /// Reads the chunk with this `number`, of a body that has so many `bytes`: nothing if anything is wrong.
    pub(crate) fn read(self: &Arc<Self>, number: u64, bytes: u64) -> JoinHandle<Option<Bytes>> {
        let this = Arc::clone(self);
        tokio::task::spawn(async move {
            let shared = this.shared.upgrade()?;
            let _permit = shared.reads.acquire().await.ok()?;
            // A disk blocks; a worker must not.
            tokio::task::spawn_blocking(move || this.read_now(number, bytes)).await.ok()?
        })
    }

    fn read_now(&self, number: u64, bytes: u64) -> Option<Bytes> {
        let (file, shared) = (self.file.upgrade()?, self.shared.upgrade()?);
        let chunk = self.read_chunk(&shared, &file, number, bytes);
        if chunk.is_none() {
            // Nobody is to begin with it who would not come to its end.
            self.broken.store(true, Ordering::Relaxed);
            locked(&shared.index).remove(self.hash, self.place);
        }
        chunk
    }

    fn read_chunk(&self, shared: &Shared, file: &File, number: u64, bytes: u64) -> Option<Bytes> {
        let first = number * CHUNK_BYTES as u64;
        let data_bytes = bytes.checked_sub(first)?.min(CHUNK_BYTES as u64) as usize;
        let mut read = vec![0; data_bytes + SUM_BYTES];
        let offset = self.start + number * (CHUNK_BYTES + SUM_BYTES) as u64;
        shared.read_at(file, &mut read, offset)?;
        let (chunk, said) = read.split_last_chunk()?;
        let number = u32::try_from(number).ok()?;
        if u32::from_le_bytes(*said) != record::part_sum(self.place, number, chunk) {
            shared.note_corrupt(self.place);
            return None;
        }
        read.truncate(data_bytes);
        Some(read.into())
    }
}

/// Appends `chunk` with its sum, as the chunk with this number.
pub(super) fn write_chunk(
    file: &File,
    (place, start): (Place, u64),
    number: u32,
    chunk: &[u8],
) -> std::io::Result<()> {
    let said = record::part_sum(place, number, chunk);
    let offset = start + u64::from(number) * (CHUNK_BYTES + SUM_BYTES) as u64;
    file.write_all_at(chunk, offset)?;
    file.write_all_at(&said.to_le_bytes(), offset + chunk.len() as u64)
}
