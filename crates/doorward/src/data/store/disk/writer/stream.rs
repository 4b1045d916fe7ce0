//! What the thread that writes does for objects that are written while they arrive.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use rules::cache::{Stored, hash};

use super::Writer;
use crate::data::store::disk::index::Entry;
use crate::data::store::disk::large::{Large, Telling, write_chunk};
use crate::data::store::disk::record::{self, CHUNK_BYTES, SUM_BYTES};
use crate::data::store::disk::segment::{self, Segment};
use crate::data::store::disk::{LARGE_SHARE, LargeJob, locked};
use crate::observe::log;

/// An object that is being written, in a segment of its own.
pub(super) struct LargeRecord {
    pub(super) segment: Segment,
    telling: Telling,
    /// The bytes of what stands before the first chunk. It is written last.
    start_bytes: usize,
    chunks: u32,
}

impl Writer {
    pub(super) fn write_large(&mut self, number: u64, job: LargeJob) -> io::Result<()> {
        match job {
            LargeJob::Begin(stored, telling) => self.begin_large(number, &stored, telling),
            LargeJob::Chunk(chunk) => {
                let limit = self.bytes_max / LARGE_SHARE;
                let Some(record) = self.large.get_mut(&number) else {
                    return Ok(());
                };
                let Some(place) = record.segment.first() else {
                    return Ok(());
                };
                let start = u64::from(place.offset) + record.start_bytes as u64;
                write_chunk(&record.segment.file, (place, start), record.chunks, &chunk)?;
                record.chunks += 1;
                record.segment.bytes += (chunk.len() + SUM_BYTES) as u64;
                if record.segment.bytes > limit {
                    return self.abort_large(number);
                }
                record.telling.bringer.written(u64::from(record.chunks));
                Ok(())
            }
            LargeJob::End(stored, until) => {
                let ended = self.end_large(number, &stored);
                drop(until);
                ended
            }
            LargeJob::Abort => self.abort_large(number),
        }
    }

    fn begin_large(&mut self, number: u64, stored: &Stored, telling: Telling) -> io::Result<()> {
        let mut segment = self.new_segment()?;
        let start = segment.first().and_then(|place| record::encode_start(stored, place));
        let (Some(place), Some((header, start))) = (segment.first(), start) else {
            return segment::delete(&self.folder, segment.number);
        };
        segment.bytes += start.len() as u64;
        segment.oldest = header.generation;
        let first_chunk = u64::from(place.offset) + start.len() as u64;
        let at = (hash(&stored.key), place);
        telling.bringer.begun(Large::new(&segment.file, at, first_chunk, &self.shared));
        let record = LargeRecord { segment, telling, start_bytes: start.len(), chunks: 0 };
        self.large.insert(number, record);
        Ok(())
    }

    /// Writes what stands before the chunks, and only then tells where it is.
    fn end_large(&mut self, number: u64, stored: &Stored) -> io::Result<()> {
        let Some(record) = self.large.remove(&number) else {
            return Ok(());
        };
        let LargeRecord { mut segment, start_bytes, chunks, mut telling } = record;
        let place = segment.first();
        let start = place.and_then(|place| Some((place, record::encode_start(stored, place)?)));
        let whole = stored.body_bytes.div_ceil(CHUNK_BYTES as u64) == u64::from(chunks);
        let Some((place, (header, start))) =
            start.filter(|(_, (_, start))| whole && start.len() == start_bytes)
        else {
            return segment::delete(&self.folder, segment.number);
        };
        segment.file.write_all_at(&start, u64::from(place.offset))?;
        let entry = Entry::of(&header);
        segment.seal(&self.folder, &[entry])?;
        self.offer(&segment);
        locked(&self.shared.index).insert(entry);
        self.shared.counts.written.fetch_add(1, Ordering::Relaxed);
        telling.whole = true;
        segment.alone = Some(entry);
        self.segments.insert(segment.number, segment);
        Ok(())
    }

    fn abort_large(&mut self, number: u64) -> io::Result<()> {
        let Some(record) = self.large.remove(&number) else {
            return Ok(());
        };
        segment::delete(&self.folder, record.segment.number)
    }

    /// The disk has failed: nobody waits for it any more.
    pub(super) fn abort_all(&mut self) {
        for record in std::mem::take(&mut self.large).into_values() {
            if segment::delete(&self.folder, record.segment.number).is_err() {
                log::warn("cache", "a file of the cache's disk could not be deleted");
            }
        }
    }

    /// Which segment goes next: the oldest, but for large objects that were read since it last came to
    /// them.
    pub(super) fn next_to_go(&self) -> Option<u32> {
        let candidates = || self.segments.values().filter(|segment| segment.number != self.active);
        let mut index = locked(&self.shared.index);
        let unused =
            candidates().find(|segment| !segment.alone.is_some_and(|entry| index.take_use(&entry)));
        unused.or_else(|| candidates().next()).map(|segment| segment.number)
    }
}
