//! The disk tier: cached responses that outlive the process, and those for which memory is too small.
//!
//! What is stored in memory is also appended to a segment, by one thread with a bounded queue: no
//! worker waits for a disk. What the queue has no room for is not written. Reading is done on the
//! blocking pool of the worker that asks, a bounded number at once. An object is believed only
//! if every sum is right (`record.rs`), so a crash at any byte costs what was being written and
//! nothing else. When the segments are larger than allowed, the oldest goes; what was read since it
//! was written is appended anew first. What is too large for memory has a segment of its own (`large.rs`). If the disk fails, the tier ends, loudly: the log, a metric and
//! `doorward cache` say so.

mod index;
mod large;
mod purges;
mod record;
mod segment;
mod writer;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use rules::cache::Stored;
use rules::store::{Purges, Receipt, Scope};
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};

use self::index::{Entry, Index};
use self::large::Telling;
pub(crate) use self::large::{Bringer, Large};
use self::purges::Purge;
use self::record::{HEADER_BYTES, Header, Place, SUM_BYTES};
use super::object::{Body, Object};
use crate::observe::log;

/// The bytes of objects that wait to be written. A disk that is slower than the services for longer
/// than this lasts loses objects, not memory.
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// Reads at once: enough to keep a disk busy, few enough for threads.
const READS_MAX: usize = 32;

/// The variants under one hash whose heads are read until one fits.
const HEADS_READ_MAX: usize = 8;

/// What is read at first: most heads, and whole small objects.
const FIRST_READ_BYTES: usize = 16 * 1024;

/// The data in a chunk of a body.
pub(super) const CHUNK_BYTES: u64 = record::CHUNK_BYTES as u64;

/// An object takes at most this share of the disk: a few of them are not to drive out all others.
const LARGE_SHARE: u64 = 4;

/// How it is with the disk.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct DiskStats {
    /// Whether it is in use.
    pub(crate) up: bool,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    pub(crate) limit_bytes: u64,
    pub(crate) hits: u64,
    pub(crate) written: u64,
    /// Objects that were not written: the disk was too slow.
    pub(crate) dropped: u64,
    /// Records that were wrong when they were read.
    pub(crate) corrupt: u64,
    pub(crate) errors: u64,
}

#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    limit_bytes: AtomicU64,
    hits: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    corrupt: AtomicU64,
    errors: AtomicU64,
}

enum Job {
    Write(Arc<Object>),
    Purge(Purge, oneshot::Sender<()>),
    /// For the large object with this number.
    Large(u64, LargeJob),
    Resize(u64),
    /// Something could not be read.
    Failed(io::Error),
    /// Everything before it is on its way to the disk.
    #[cfg(test)]
    Flushed(std::sync::mpsc::Sender<()>),
    End,
}

/// What is to be done with an object that is written while it arrives.
enum LargeJob {
    Begin(Box<Stored>, Telling),
    /// The next one.
    Chunk(Bytes),
    /// All chunks were given; what is dropped when it can be found.
    End(Box<Stored>, Box<dyn Any + Send>),
    /// It will not be whole.
    Abort,
}

/// An object that is written while it arrives. Dropped without its end, it is forgotten.
pub(crate) struct LargeWriting {
    number: u64,
    shared: Arc<Shared>,
    ended: bool,
}

impl LargeWriting {
    /// The next chunk: of 64 KiB, but for the last one.
    pub(crate) fn chunk(&self, chunk: Bytes) {
        self.shared.push(Job::Large(self.number, LargeJob::Chunk(chunk)));
    }

    /// It is whole; `until` is dropped when it can be found, or never will be.
    pub(crate) fn end(mut self, stored: Stored, until: impl Any + Send) {
        self.ended = true;
        let job = LargeJob::End(Box::new(stored), Box::new(until));
        self.shared.push(Job::Large(self.number, job));
    }
}

impl Drop for LargeWriting {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.push(Job::Large(self.number, LargeJob::Abort));
        }
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    write_bytes: usize,
    /// Nobody takes jobs any more.
    closed: bool,
}

/// What the thread that writes and those who read share.
struct Shared {
    index: Mutex<Index>,
    files: RwLock<HashMap<u32, Arc<File>>>,
    queue: Mutex<Queue>,
    work: Condvar,
    up: AtomicBool,
    /// Whether somebody has told of a read that failed.
    failing: AtomicBool,
    /// Whether there are segments of earlier lives that were not looked at yet.
    unread: AtomicBool,
    /// Reads at once.
    reads: Semaphore,
    /// How many large objects were begun.
    large: AtomicU64,
    counts: Counts,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn push(&self, job: Job) {
        let mut queue = locked(&self.queue);
        // A job that is dropped tells whoever waits for it that it will not be done.
        if !queue.closed {
            queue.jobs.push_back(job);
            self.work.notify_one();
        }
    }

    fn close(&self) {
        let mut queue = locked(&self.queue);
        queue.closed = true;
        let jobs = std::mem::take(&mut queue.jobs);
        drop(queue);
        // Whoever hears of it may have something to be done.
        drop(jobs);
    }

    /// Ends the use of the disk `at` this place for `error`. From now on purges are not noted: what lies there
    /// must not be believed by the next start.
    fn fail(&self, at: &Path, error: &io::Error) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        locked(&self.index).clear();
        self.files.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.counts.bytes.store(0, Ordering::Relaxed);
        if self.up.swap(false, Ordering::Relaxed) {
            let at = at.display();
            let text = format!(
                "the cache's disk at {at}: {error}; going on without it until the next start"
            );
            log::error("cache", text);
        }
    }
}

/// The disk tier.
pub(crate) struct Disk {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Disk {
    /// Opens the folder at `path`, tells `purges` what was purged in earlier lives, and goes on: what lies
    /// there is found bit by bit, while clients are served.
    pub(crate) fn open(path: PathBuf, bytes_max: u64, purges: &Purges) -> Self {
        let shared = Arc::new(Shared {
            index: Mutex::default(),
            files: RwLock::default(),
            queue: Mutex::default(),
            work: Condvar::new(),
            up: AtomicBool::new(true),
            failing: AtomicBool::new(false),
            unread: AtomicBool::new(true),
            reads: Semaphore::new(READS_MAX),
            large: AtomicU64::new(0),
            counts: Counts::default(),
        });
        shared.counts.limit_bytes.store(bytes_max, Ordering::Relaxed);
        let started =
            writer::Writer::open(path.clone(), bytes_max, &shared).and_then(|(writer, found)| {
                for purge in found {
                    match &purge.scope {
                        Some(scope) => purges.replay(scope, purge.generation, purge.soft),
                        None => purges.advance(purge.generation),
                    }
                }
                std::thread::Builder::new()
                    .name("cache-disk".to_owned())
                    .spawn(move || writer.run())
            });
        let thread = match started {
            Ok(thread) => Some(thread),
            Err(error) => {
                shared.close();
                shared.fail(&path, &error);
                None
            }
        };
        Self { shared, thread: Mutex::new(thread) }
    }

    pub(super) fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Relaxed)
    }

    /// Writes `object`, if there is time for it.
    pub(super) fn write(&self, object: &Arc<Object>) {
        if !self.is_up() {
            return;
        }
        let bytes = object.heap_bytes();
        let mut queue = locked(&self.shared.queue);
        if queue.closed || queue.write_bytes + bytes > QUEUE_BYTES_MAX {
            self.shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.write_bytes += bytes;
        queue.jobs.push_back(Job::Write(Arc::clone(object)));
        drop(queue);
        self.shared.work.notify_one();
    }

    /// The largest object that is kept.
    pub(super) fn object_bytes_max(&self) -> u64 {
        let bytes = self.shared.counts.limit_bytes.load(Ordering::Relaxed);
        if self.is_up() { bytes / LARGE_SHARE } else { 0 }
    }

    /// Begins to write an object whose body comes by and by.
    pub(super) fn begin(&self, stored: Stored, bringer: Arc<dyn Bringer>) -> LargeWriting {
        let number = self.shared.large.fetch_add(1, Ordering::Relaxed);
        self.shared
            .push(Job::Large(number, LargeJob::Begin(Box::new(stored), Telling::new(bringer))));
        LargeWriting { number, shared: Arc::clone(&self.shared), ended: false }
    }

    /// Notes a purge on the disk; ready when not even a power failure undoes it.
    pub(super) fn note(&self, receipt: &Receipt, scope: &Scope) -> oneshot::Receiver<()> {
        let (done, noted) = oneshot::channel();
        if self.is_up() {
            let Receipt { generation, soft, .. } = *receipt;
            self.shared
                .push(Job::Purge(Purge { generation, soft, scope: Some(scope.clone()) }, done));
        }
        noted
    }

    pub(super) fn resize(&self, bytes_max: u64) {
        self.shared.counts.limit_bytes.store(bytes_max, Ordering::Relaxed);
        self.shared.push(Job::Resize(bytes_max));
    }

    /// The newest object under `key` that `choose` takes. What is larger than `bytes_max` stays there, and is
    /// read as it is sent.
    pub(super) async fn find(
        &self,
        (hash, bytes_max): (u64, usize),
        key: &[u8],
        mut choose: impl FnMut(&Stored) -> bool,
    ) -> Option<Arc<Object>> {
        let entries = match self.is_up() {
            true => locked(&self.shared.index).find(hash),
            false => return None,
        };
        for entry in entries.into_iter().take(HEADS_READ_MAX) {
            let _permit = self.shared.reads.acquire().await.ok()?;
            let shared = Arc::clone(&self.shared);
            let key: Box<[u8]> = key.into();
            // A disk blocks; a worker must not.
            let read = tokio::task::spawn_blocking(move || shared.read_head(entry, &key)).await;
            let Some(found) = read.ok()? else {
                continue;
            };
            if !choose(&found.stored) {
                continue;
            }
            if found.header.body_bytes > bytes_max as u64 {
                self.shared.counts.hits.fetch_add(1, Ordering::Relaxed);
                return Some(Arc::new(found.large(&self.shared)));
            }
            let shared = Arc::clone(&self.shared);
            let read = tokio::task::spawn_blocking(move || shared.read_body(found)).await;
            if let Some(object) = read.ok()? {
                self.shared.counts.hits.fetch_add(1, Ordering::Relaxed);
                return Some(Arc::new(object));
            }
        }
        None
    }

    /// Forgets what is under `object`'s key and variant.
    pub(super) fn forget(&self, object: &Object) {
        let hash = rules::cache::hash(&object.stored.key);
        let variant = record::variant(&object.stored);
        let mut index = locked(&self.shared.index);
        for entry in index.find(hash).into_iter().filter(|entry| entry.variant == variant) {
            index.remove(hash, entry.place);
        }
    }

    /// Waits until everything that was stored before is in a file.
    #[cfg(test)]
    pub(super) fn flush(&self) {
        let (done, flushed) = std::sync::mpsc::channel();
        self.shared.push(Job::Flushed(done));
        let _ = flushed.recv();
    }

    pub(crate) fn stats(&self) -> DiskStats {
        let counts = &self.shared.counts;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskStats {
            up: self.is_up(),
            objects: locked(&self.shared.index).len() as u64,
            bytes: load(&counts.bytes),
            limit_bytes: load(&counts.limit_bytes),
            hits: load(&counts.hits),
            written: load(&counts.written),
            dropped: load(&counts.dropped),
            corrupt: load(&counts.corrupt),
            errors: load(&counts.errors),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.push(Job::End);
        if let Some(thread) = locked(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

/// A record whose head was read.
struct Found {
    entry: Entry,
    header: Header,
    file: Arc<File>,
    stored: Stored,
    /// What was read behind the head.
    behind: Vec<u8>,
}

impl Found {
    /// The object, whose body stays where it is.
    fn large(self, shared: &Arc<Shared>) -> Object {
        let Self { entry, header, file, stored, .. } = self;
        let start = u64::from(entry.place.offset) + record::body_start(header.head_bytes);
        let large = Large::new(&file, (entry.hash, entry.place), start, shared);
        let bytes = header.body_bytes;
        Object::new(stored, Body::on_disk(large, bytes))
    }
}

impl Shared {
    fn read_head(&self, entry: Entry, key: &[u8]) -> Option<Found> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let file = Arc::clone(files.get(&entry.place.segment)?);
        drop(files);
        let offset = u64::from(entry.place.offset);
        let mut bytes = vec![0; FIRST_READ_BYTES.min(entry.bytes as usize)];
        self.read_at(&file, &mut bytes, offset)?;
        let Some(header) = Header::decode(&bytes, entry.place) else {
            return self.corrupt(entry);
        };
        let head_end = HEADER_BYTES + header.head_bytes as usize + SUM_BYTES;
        if head_end > bytes.len() {
            let read = bytes.len();
            if head_end > entry.bytes as usize {
                return self.corrupt(entry);
            }
            bytes.resize(head_end, 0);
            self.read_at(&file, &mut bytes[read..], offset + read as u64)?;
        }
        let Some(stored) = record::decode_head(&header, &bytes[HEADER_BYTES..]) else {
            return self.corrupt(entry);
        };
        let behind = bytes.split_off(head_end);
        // Two keys may have one hash.
        (*stored.key == *key).then_some(Found { entry, header, file, stored, behind })
    }

    fn read_body(&self, found: Found) -> Option<Object> {
        let Found { entry, header, file, stored, behind: mut bytes } = found;
        let head_end = HEADER_BYTES + header.head_bytes as usize + SUM_BYTES;
        let (read, whole) = (bytes.len(), header.record_bytes() as usize - head_end);
        bytes.resize(whole, 0);
        let offset = u64::from(entry.place.offset) + (head_end + read) as u64;
        if read < whole {
            self.read_at(&file, &mut bytes[read..], offset)?;
        }
        let mut chunks = Vec::with_capacity(whole.div_ceil(record::CHUNK_BYTES));
        if !record::decode_body(&header, &bytes, |data| chunks.push(Bytes::copy_from_slice(data))) {
            return self.corrupt(entry);
        }
        Some(Object::new(stored, Body::of(chunks)))
    }

    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> Option<()> {
        match file.read_exact_at(bytes, offset) {
            Ok(()) => Some(()),
            // A file that somebody cut short: no more than a wrong record.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.counts.corrupt.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(error) => {
                // Who writes sees to it that the next start believes nothing, before purges are lost.
                if !self.failing.swap(true, Ordering::Relaxed) {
                    self.push(Job::Failed(error));
                }
                None
            }
        }
    }

    fn note_corrupt(&self, place: Place) {
        if self.counts.corrupt.fetch_add(1, Ordering::Relaxed) == 0 {
            let text = format!("a wrong record in segment {} at {}", place.segment, place.offset);
            log::warn("cache", format!("{text}: it is fetched anew, and so are others like it"));
        }
    }

    fn corrupt<T>(&self, entry: Entry) -> Option<T> {
        self.note_corrupt(entry.place);
        locked(&self.index).remove(entry.hash, entry.place);
        None
    }
}

#[cfg(test)]
mod tests;
