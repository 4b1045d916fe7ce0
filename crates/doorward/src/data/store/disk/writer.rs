//! The one thread that writes.

mod stream;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::oneshot;

use self::stream::LargeRecord;
use super::index::Entry;
use super::purges::{self, Purge, PurgeLog};
use super::record::{self, HEADER_BYTES, Header, Place};
use super::segment::{self, Segment};
use super::{Job, Object, Shared, locked};
use crate::observe::log;

/// The tier is cut into so many segments: each time one goes, that share goes.
const SEGMENTS: u64 = 32;

const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// A larger one takes longer to be looked through after a crash.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Records that are written with one call.
const BATCH_BYTES: usize = 1 << 20;

pub(super) struct Writer {
    folder: PathBuf,
    bytes_max: u64,
    shared: Arc<Shared>,
    purges: PurgeLog,
    segments: BTreeMap<u32, Segment>,
    /// The one that records are appended to.
    active: u32,
    /// The number of the next one.
    next: u32,
    /// Objects that are written as they arrive, each in a segment of its own.
    large: HashMap<u64, LargeRecord>,
    /// Of the active segment.
    entries: Vec<Entry>,
    /// Segments of an earlier life that were not looked at yet, the newest last.
    unread: Vec<u32>,
    /// Held as long as we write: two processes must not.
    _lock: File,
}

impl Writer {
    /// Opens the folder; also returns what was purged in earlier lives.
    ///
    /// # Errors
    /// If the folder cannot be had, or another process has it.
    pub(super) fn open(
        folder: PathBuf,
        bytes_max: u64,
        shared: &Arc<Shared>,
    ) -> io::Result<(Self, Vec<Purge>)> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another process uses it"))?;
        let mut unread = segment::numbers(&folder)?;
        let (purges, found) = PurgeLog::open(&folder)?;
        let next = unread.last().map_or(1, |last| last + 1);
        let found = match found {
            Ok(found) => found.0,
            Err(_) => {
                if !unread.is_empty() {
                    let text =
                        "the log of purges is missing or wrong: what lay on the disk is forgotten";
                    log::warn("cache", text);
                }
                // Nobody knows what was purged.
                for number in unread.drain(..) {
                    segment::delete(&folder, number)?;
                }
                Vec::new()
            }
        };
        let mut writer = Self {
            segments: BTreeMap::new(),
            active: next,
            next,
            large: HashMap::new(),
            entries: Vec::new(),
            shared: Arc::clone(shared),
            folder,
            bytes_max,
            purges,
            unread,
            _lock: lock,
        };
        writer.begin_segment()?;
        Ok((writer, found))
    }

    pub(super) fn run(mut self) {
        let mut ended = false;
        // Whoever waits for a purge waits until it is noted, or until nothing is believed any more.
        let mut waiting = Vec::new();
        while !ended {
            let outcome = match self.next_jobs() {
                Some(jobs) => self.work(jobs, &mut waiting, &mut ended),
                None => self.read_segment(),
            };
            if let Err(error) = outcome {
                self.give_up(&error);
                break;
            }
        }
    }

    /// Ends the use of the disk. What lies there is of no use to the next start, which would not know what is
    /// purged from now on; and a disk that is full is so for others, too.
    fn give_up(&mut self, error: &io::Error) {
        let _ = std::fs::remove_file(self.folder.join(purges::NAME));
        self.shared.fail(&self.folder, error);
        self.abort_all();
        let segments = std::mem::take(&mut self.segments).into_keys();
        let mut all = segments.chain(self.unread.drain(..));
        // Where one cannot be deleted, none can.
        let _ = all.try_for_each(|number| segment::delete(&self.folder, number));
    }

    /// All jobs that wait; waits for one if there is nothing else to do.
    fn next_jobs(&self) -> Option<Vec<Job>> {
        let mut queue = locked(&self.shared.queue);
        loop {
            if !queue.jobs.is_empty() {
                queue.write_bytes = 0;
                return Some(queue.jobs.drain(..).collect());
            }
            if !self.unread.is_empty() {
                return None;
            }
            self.shared.unread.store(false, Ordering::Relaxed);
            queue = self.shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(
        &mut self,
        jobs: Vec<Job>,
        waiting: &mut Vec<oneshot::Sender<()>>,
        ended: &mut bool,
    ) -> io::Result<()> {
        let mut batch = Batch::default();
        let mut purges = Vec::new();
        #[cfg(test)]
        let mut told = Vec::new();
        let mut outcome = Ok(());
        for job in jobs {
            let done = match job {
                Job::Purge(purge, done) => {
                    purges.push(purge);
                    waiting.push(done);
                    Ok(())
                }
                // What failed ends it; but whoever waits for a purge behind it must not be let go before
                // nothing is believed any more.
                _ if outcome.is_err() => continue,
                Job::Write(object) => self.write(&object, &mut batch),
                Job::Large(number, job) => self.write_large(number, job),
                Job::Resize(bytes_max) => {
                    self.bytes_max = bytes_max;
                    Ok(())
                }
                Job::Failed(error) => Err(error),
                #[cfg(test)]
                Job::Flushed(done) => {
                    told.push(done);
                    Ok(())
                }
                Job::End => {
                    *ended = true;
                    Ok(())
                }
            };
            outcome = outcome.and(done);
        }
        outcome?;
        if !purges.is_empty() {
            // One wait for the disk for all that came meanwhile.
            self.purges.append(&purges)?;
            for done in waiting.drain(..) {
                let _ = done.send(());
            }
        }
        self.flush(&mut batch)?;
        self.evict()?;
        self.count_bytes();
        self.shorten_log()?;
        if *ended {
            self.seal()?;
        }
        #[cfg(test)]
        for done in told {
            let _ = done.send(());
        }
        Ok(())
    }

    /// Leaves out of the log what was purged before anything here was stored.
    fn shorten_log(&mut self) -> io::Result<()> {
        if !self.purges.is_large() || !self.unread.is_empty() {
            return Ok(());
        }
        let large = self.large.values().map(|record| &record.segment);
        let oldest = self.segments.values().chain(large).map(|segment| segment.oldest).min();
        self.purges.rewrite(oldest.unwrap_or_default()).map(drop)
    }

    fn active(&mut self) -> &mut Segment {
        self.segments.get_mut(&self.active).expect("one is always begun")
    }

    fn segment_bytes(&self) -> u64 {
        (self.bytes_max / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
    }

    fn write(&mut self, object: &Object, batch: &mut Batch) -> io::Result<()> {
        let limit = self.segment_bytes();
        if self.active().bytes + batch.bytes.len() as u64 >= limit {
            self.flush(batch)?;
            self.seal()?;
            self.begin_segment()?;
        }
        let Some(Place { segment, offset }) = self.active().next() else {
            return Ok(());
        };
        let Ok(written) = u32::try_from(batch.bytes.len()) else {
            return Ok(());
        };
        let place = Place { segment, offset: offset + written };
        if let Some(header) = record::encode(object, place, &mut batch.bytes) {
            batch.headers.push(header);
        }
        if batch.bytes.len() >= BATCH_BYTES { self.flush(batch) } else { Ok(()) }
    }

    /// Appends what is in `batch`, and only then tells where it is.
    fn flush(&mut self, batch: &mut Batch) -> io::Result<()> {
        if batch.bytes.is_empty() {
            return Ok(());
        }
        let active = self.active();
        active.append(&batch.bytes)?;
        for header in &batch.headers {
            active.oldest = active.oldest.min(header.generation);
        }
        let entries: Vec<Entry> = batch.headers.iter().map(Entry::of).collect();
        let mut index = locked(&self.shared.index);
        for entry in &entries {
            index.insert(*entry);
        }
        drop(index);
        let counts = &self.shared.counts;
        counts.written.fetch_add(entries.len() as u64, Ordering::Relaxed);
        self.entries.extend(entries);
        batch.bytes.clear();
        batch.headers.clear();
        self.count_bytes();
        Ok(())
    }

    fn count_bytes(&self) {
        let bytes = self.bytes();
        self.shared.counts.bytes.store(bytes, Ordering::Relaxed);
    }

    /// What lies in all files.
    fn bytes(&self) -> u64 {
        let large = self.large.values().map(|record| record.segment.bytes);
        self.segments.values().map(|segment| segment.bytes).chain(large).sum()
    }

    fn new_segment(&mut self) -> io::Result<Segment> {
        let segment = Segment::create(&self.folder, self.next)?;
        self.next += 1;
        Ok(segment)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let segment = self.new_segment()?;
        self.active = segment.number;
        self.offer(&segment);
        self.segments.insert(segment.number, segment);
        Ok(())
    }

    /// Lets others read `segment`.
    fn offer(&self, segment: &Segment) {
        let mut files = self.files();
        files.insert(segment.number, Arc::clone(&segment.file));
    }

    fn files(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<u32, Arc<File>>> {
        self.shared.files.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn seal(&mut self) -> io::Result<()> {
        let entries = std::mem::take(&mut self.entries);
        let folder = self.folder.clone();
        self.active().seal(&folder, &entries)
    }

    /// Looks at one segment of an earlier life, the newest first.
    fn read_segment(&mut self) -> io::Result<()> {
        let Some(number) = self.unread.pop() else {
            return Ok(());
        };
        match Segment::open(&self.folder, number) {
            // Also what a crash left of an object that was being written.
            Ok((_, entries)) if entries.is_empty() => segment::delete(&self.folder, number)?,
            Ok((segment, entries)) => {
                self.offer(&segment);
                self.segments.insert(number, segment);
                for some in entries.chunks(1024) {
                    // Others get in between.
                    let mut index = locked(&self.shared.index);
                    for entry in some {
                        index.insert(*entry);
                    }
                }
            }
            Err(error) => {
                log::warn("cache", format!("segment {number} is given up: {error}"));
                segment::delete(&self.folder, number)?;
            }
        }
        self.count_bytes();
        self.evict()
    }

    /// Deletes the oldest segments until there is room. What was read since it was written is
    /// written anew, as long as that is less than half of what goes.
    fn evict(&mut self) -> io::Result<()> {
        loop {
            if self.bytes() <= self.bytes_max || self.segments.len() < 2 {
                return Ok(());
            }
            if self.segments.first_key_value().is_some_and(|(number, _)| *number == self.active) {
                // Only objects with segments of their own are younger.
                self.seal()?;
                self.begin_segment()?;
            }
            let Some(number) = self.next_to_go() else {
                return Ok(());
            };
            let Some(oldest) = self.segments.remove(&number) else {
                return Ok(());
            };
            let mut kept_bytes = 0;
            let mut batch = Batch::default();
            for listed in segment::list(&self.folder, number) {
                let known = locked(&self.shared.index).remove(listed.hash, listed.place);
                let in_memory = |entry: &Entry| entry.used && entry.bytes <= KEPT_BYTES_MAX;
                let Some(entry) = known.filter(in_memory) else {
                    continue;
                };
                if kept_bytes + u64::from(entry.bytes) <= oldest.bytes / 2 {
                    kept_bytes += u64::from(entry.bytes);
                    if let Some(object) = read(&oldest, entry) {
                        self.write(&object, &mut batch)?;
                    }
                }
            }
            self.flush(&mut batch)?;
            self.files().remove(&number);
            segment::delete(&self.folder, number)?;
            self.count_bytes();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whoever waits for a purge hears that nobody will note it, even if this was a panic.
        if std::thread::panicking() {
            self.give_up(&io::Error::other("a bug"));
        }
        self.shared.close();
    }
}

/// What is written anew passes through memory: larger records are not.
const KEPT_BYTES_MAX: u32 = 16 << 20;

/// Records that are put together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    headers: Vec<Header>,
}

/// The object of a record, if it is right.
fn read(segment: &Segment, entry: Entry) -> Option<Object> {
    let mut bytes = vec![0; entry.bytes as usize];
    segment.file.read_exact_at(&mut bytes, u64::from(entry.place.offset)).ok()?;
    let header = Header::decode(&bytes, entry.place)?;
    let stored = record::decode_head(&header, &bytes[HEADER_BYTES..])?;
    let head_end = HEADER_BYTES + header.head_bytes as usize + record::SUM_BYTES;
    let mut chunks = Vec::new();
    let sound = record::decode_body(&header, &bytes[head_end..], |data| {
        chunks.push(bytes::Bytes::copy_from_slice(data));
    });
    sound.then(|| Object::new(stored, super::Body::of(chunks)))
}
