//! Where cached responses lie: in memory, shared by all workers.
//!
//! What stays is decided in `rules` (`store/fifo.rs`), and so is what a purge touched
//! (`store/purge.rs`). The memory is cut into shards by the hash of the key. Each has a lock, which is
//! held for a look into a table and the count of a use, some tens of nanoseconds, and never while
//! anything is dropped or copied. With many shards two workers seldom meet at one, and an
//! object that is being sent needs no lock: it is counted, immutable, and its bytes go out from where
//! they lie.

mod disk;
mod object;
mod show;
mod sweep;

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rules::cache::{Stored, hash};
use rules::store::{Fifo, Purged, Purges, Receipt, Scope};

pub(crate) use disk::{Bringer, Disk, DiskStats, Large, LargeWriting};
pub(crate) use object::{Body, Forms, Object};
pub(crate) use show::By;

use crate::control::model::Cache as CacheConfig;

/// In what pieces a large body is read and written.
pub(crate) const CHUNK_BYTES: u64 = disk::CHUNK_BYTES;

/// The most shards: with 64 of them and 16 workers that all look something up at once, half of the
/// workers meet nobody.
const SHARDS_MAX: usize = 64;

/// A shard has room for so many of the largest objects, so that a few of them do not drive out
/// everything else in it.
const LARGEST_PER_SHARD: u64 = 16;

/// Why an object is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Larger than `[cache] object`.
    TooLarge,
    /// A purge came while it was being fetched.
    Purged,
}

impl Refused {
    /// For the trail.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "it is larger than `[cache] object`",
            Self::Purged => "a purge came while it was being fetched",
        }
    }
}

/// On cache lines of its own, so that locking one does not slow its neighbours down.
#[repr(align(128))]
struct Shard(Mutex<Fifo<Arc<Object>>>);

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Fifo<Arc<Object>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All cached responses of the process. Outlives reloads.
pub(crate) struct Store {
    shards: Box<[Shard]>,
    purges: Purges,
    /// Of the configuration in use.
    memory_bytes: AtomicU64,
    object_bytes_max: AtomicUsize,
    disk: Option<Disk>,
    counts: Counts,
    /// Up to which generation what was purged has been swept out.
    swept: AtomicU64,
}

/// Counted where it happens seldom: when something is stored or purged, never on a hit.
#[derive(Default)]
struct Counts {
    stored: AtomicU64,
    too_large: AtomicU64,
    purged_on_the_way: AtomicU64,
    purges: AtomicU64,
    swept: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Store {
    /// A store as large as `config` says: empty, but for what lies on the disk. `folder` is the
    /// configuration's.
    pub(crate) fn new(config: &CacheConfig, folder: &Path) -> Self {
        let fitting = config.memory.as_bytes() / (config.object_bytes_max() * LARGEST_PER_SHARD);
        let count = usize::try_from(fitting).unwrap_or(SHARDS_MAX).clamp(1, SHARDS_MAX);
        // A power of two, rounded down: a hash finds its shard by its upper bits.
        let count = 1 << count.ilog2();
        let purges = Purges::default();
        let disk = config
            .disk
            .as_ref()
            .map(|disk| Disk::open(disk.path(folder), disk.size.as_bytes(), &purges));
        let store = Self {
            shards: (0..count).map(|_| Shard(Mutex::new(Fifo::new(0)))).collect(),
            purges,
            disk,
            memory_bytes: AtomicU64::new(0),
            object_bytes_max: AtomicUsize::new(0),
            counts: Counts::default(),
            swept: AtomicU64::new(0),
        };
        store.resize(config);
        store
    }

    /// Takes as much memory as `config` says from now on. The number of shards stays.
    pub(crate) fn resize(&self, config: &CacheConfig) {
        let memory_bytes = config.memory.as_bytes();
        self.memory_bytes.store(memory_bytes, Ordering::Relaxed);
        let object_bytes_max = usize::try_from(config.object_bytes_max()).unwrap_or(usize::MAX);
        self.object_bytes_max.store(object_bytes_max, Ordering::Relaxed);
        if let (Some(disk), Some(config)) = (&self.disk, &config.disk) {
            disk.resize(config.size.as_bytes());
        }
        let each = config.memory.as_usize() / self.shards.len();
        for shard in &self.shards {
            let mut left = Vec::new();
            shard.lock().resize(each, &mut left);
        }
    }

    fn shard(&self, hash: u64) -> &Shard {
        // The lower bits find the place within a shard.
        &self.shards[(hash >> 48) as usize & (self.shards.len() - 1)]
    }

    /// The newest object under `key` that `choose` takes; it counts as used. `hash` is the key's.
    #[inline]
    pub(crate) fn find(
        &self,
        hash: u64,
        key: &[u8],
        mut choose: impl FnMut(&Arc<Object>) -> bool,
    ) -> Option<Arc<Object>> {
        let mut shard = self.shard(hash).lock();
        let found = shard.find(hash, |object| *object.stored.key == *key && choose(object));
        found.cloned()
    }

    /// Stores `object` in the place of the one that is the same variant.
    ///
    /// # Errors
    /// Why it is not stored.
    pub(crate) fn insert(&self, object: Arc<Object>) -> Result<(), Refused> {
        let bytes = object.heap_bytes();
        if bytes > self.object_bytes_max.load(Ordering::Relaxed) {
            Counts::add(&self.counts.too_large);
            return Err(Refused::TooLarge);
        }
        if self.purged(&object) == Purged::Hard {
            Counts::add(&self.counts.purged_on_the_way);
            return Err(Refused::Purged);
        }
        if !self.keep(Arc::clone(&object), bytes, true) {
            Counts::add(&self.counts.too_large);
            return Err(Refused::TooLarge);
        }
        Counts::add(&self.counts.stored);
        if let (Some(disk), Body::Here(_)) = (&self.disk, &object.body) {
            disk.write(&object);
        }
        Ok(())
    }

    /// The largest object that is kept, wherever.
    pub(crate) fn large_bytes_max(&self) -> u64 {
        self.disk.as_ref().map_or(0, Disk::object_bytes_max)
    }

    /// Begins to write an object to the disk whose body comes by and by; `None` if there is no disk.
    pub(crate) fn begin_large(
        &self,
        stored: &Stored,
        bringer: Arc<dyn Bringer>,
    ) -> Option<LargeWriting> {
        let disk = self.disk.as_ref().filter(|disk| disk.is_up())?;
        Some(disk.begin(stored.clone(), bringer))
    }

    /// Keeps `object` in memory; false if it is too large. One that comes from the disk does not `replace`
    /// what has come meanwhile.
    fn keep(&self, object: Arc<Object>, bytes: usize, replace: bool) -> bool {
        let hash = hash(&object.stored.key);
        let mut left = Vec::new();
        let same = Arc::clone(&object);
        let same = |other: &Arc<Object>| same.stored.same_variant(&other.stored);
        let mut shard = self.shard(hash).lock();
        // What was purged is in nobody's place.
        let stands = |other: &Arc<Object>| same(other) && self.purged(other) != Purged::Hard;
        if !replace && shard.contains(hash, stands) {
            return true;
        }
        let inserted = shard.insert(hash, bytes, object, same, &mut left);
        drop(shard);
        // Here nobody waits for the lock.
        drop(left);
        inserted.is_ok()
    }

    /// Notes that another one was made of the `forms` of an object under `hash`.
    pub(crate) fn weigh_forms(&self, hash: u64, forms: &Arc<Forms>) {
        let mut left = Vec::new();
        let has = |object: &Arc<Object>| object.has(forms);
        self.shard(hash).lock().weigh(hash, has, |object| object.heap_bytes(), &mut left);
    }

    /// As [`Store::find`], on the disk: to be asked when nothing was found in memory. What is found is
    /// in memory from then on.
    pub(crate) async fn find_on_disk(
        &self,
        hash: u64,
        key: &[u8],
        choose: impl FnMut(&Stored) -> bool,
    ) -> Option<Arc<Object>> {
        let disk = self.disk.as_ref()?;
        let object = disk.find((hash, self.object_bytes_max()), key, choose).await?;
        if self.purged(&object) == Purged::Hard {
            disk.forget(&object);
            return None;
        }
        self.keep(Arc::clone(&object), object.heap_bytes(), false);
        Some(object)
    }

    /// Whether it is worth to ask [`Store::find_on_disk`].
    #[inline]
    pub(crate) fn has_disk(&self) -> bool {
        self.disk.as_ref().is_some_and(Disk::is_up)
    }

    /// Forgets `object`, if it is still what is stored.
    pub(crate) fn remove(&self, object: &Arc<Object>) {
        let hash = hash(&object.stored.key);
        let removed = self.shard(hash).lock().remove(hash, |other| Arc::ptr_eq(other, object));
        drop(removed);
        if let Some(disk) = &self.disk {
            disk.forget(object);
        }
    }

    /// The number of the newest purge; to be asked *before* a request goes to the service, and kept in
    /// what is made of its answer.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.purges.generation()
    }

    /// Whether a purge touched `object`. One load and a comparison, unless there was a purge since it
    /// was asked last.
    #[inline]
    pub(crate) fn purged(&self, object: &Object) -> Purged {
        let now = self.purges.generation();
        let seen = object.seen();
        if seen.generation == now { seen.purged() } else { self.look(object, now) }
    }

    #[cold]
    fn look(&self, object: &Object, now: u64) -> Purged {
        let seen = object.seen();
        let Stored { tags, .. } = &object.stored;
        let since = seen.generation;
        let purged = self.purges.look(since, object.stored.url(), tags).max(seen.purged());
        if purged != Purged::Hard {
            object.note_seen(now, purged);
        }
        purged
    }

    /// Whether a purge touched `stored`, which is not stored yet.
    pub(crate) fn purged_since(&self, stored: &Stored) -> Purged {
        self.purges.look(stored.generation, stored.url(), &stored.tags)
    }

    /// The largest object that is kept.
    pub(crate) fn object_bytes_max(&self) -> usize {
        self.object_bytes_max.load(Ordering::Relaxed)
    }

    /// How much memory the objects may take.
    pub(crate) fn memory_bytes(&self) -> usize {
        usize::try_from(self.memory_bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Purges `scope`. When this returns, no worker finds what it touched any more.
    pub(crate) fn purge(&self, scope: &Scope, soft: bool) -> Receipt {
        let receipt = self.purge_in_memory(scope, soft);
        if let Some(disk) = &self.disk {
            drop(disk.note(&receipt, scope));
        }
        receipt
    }

    /// As [`Store::purge`], and when it is ready, no restart undoes it.
    pub(crate) async fn purge_durably(&self, scope: &Scope, soft: bool) -> Receipt {
        let receipt = self.purge_in_memory(scope, soft);
        if let Some(disk) = &self.disk {
            // If the disk fails, what lies there is not believed after a restart.
            let _ = disk.note(&receipt, scope).await;
        }
        receipt
    }

    fn purge_in_memory(&self, scope: &Scope, soft: bool) -> Receipt {
        Counts::add(&self.counts.purges);
        self.purges.purge(scope, soft)
    }

    /// How it is with the disk, if there is to be one.
    pub(crate) fn disk_stats(&self) -> Option<DiskStats> {
        self.disk.as_ref().map(Disk::stats)
    }
}

#[cfg(test)]
mod tests;
