//! All fetches of the process: which requests may follow which one, and of which it is known that nobody
//! else may.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::flight::{Flight, Reader};
use super::spill;

/// So many locks for all flights: workers that fetch seldom meet.
const SHARDS: usize = 64;

/// The most keys of each shard of which it is known that their answers are not stored. It is half a
/// megabyte for all; what is forgotten is waited for once.
const UNCACHEABLE_MAX: usize = 1024;

/// How long it is remembered that an answer is not stored, so that requests do not wait for one
/// another in vain. Long enough that they seldom do, short enough that a page which becomes
/// cacheable soon is.
const UNCACHEABLE_MS: u64 = 10_000;

/// All fetches of the process.
pub(crate) struct Flights {
    shards: Box<[Mutex<Shard>]>,
    /// The bytes of all bodies on their way into the store.
    pub(super) bytes: AtomicUsize,
    /// How many bodies go to the disk as they come.
    spills: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    flights: HashMap<Box<[u8]>, Arc<Flight>>,
    /// Until when the answers under a key are taken for uncacheable, by the key's hash.
    uncacheable: HashMap<u64, u64>,
}

impl Default for Flights {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, bytes: AtomicUsize::new(0), spills: AtomicUsize::new(0) }
    }
}

impl Flights {
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[(hash >> 32) as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request follow the flight to `destination`, if there is one that it `may` follow;
    /// otherwise begins one, which the caller has to fly.
    pub(super) fn board(
        &self,
        hash: u64,
        destination: &[u8],
        generation: u64,
        may: impl Fn(&Flight) -> bool,
    ) -> (Reader, bool) {
        let mut shard = self.shard(hash);
        let known = shard.flights.get(destination).filter(|flight| may(flight));
        if let Some(reader) = known.and_then(Flight::board) {
            return (reader, false);
        }
        let flight = Flight::new(generation);
        let reader = flight.lock().seat(&flight);
        shard.flights.insert(destination.into(), flight);
        (reader, true)
    }

    /// Begins a flight that nobody follows yet; `None` if one is on its way.
    pub(super) fn depart(
        &self,
        hash: u64,
        destination: &[u8],
        generation: u64,
    ) -> Option<Arc<Flight>> {
        let mut shard = self.shard(hash);
        if shard.flights.contains_key(destination) {
            return None;
        }
        let flight = Flight::new(generation);
        shard.flights.insert(destination.into(), Arc::clone(&flight));
        Some(flight)
    }

    /// Nobody else is to follow `flight`.
    pub(super) fn arrive(&self, hash: u64, destination: &[u8], flight: &Arc<Flight>) {
        let mut shard = self.shard(hash);
        if shard.flights.get(destination).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            shard.flights.remove(destination);
        }
    }

    /// Whether a moment ago the answer under a key was none that is stored.
    pub(super) fn is_uncacheable(&self, hash: u64, now_ms: u64) -> bool {
        let mut shard = self.shard(hash);
        match shard.uncacheable.get(&hash) {
            Some(&until_ms) if now_ms < until_ms => true,
            Some(_) => {
                shard.uncacheable.remove(&hash);
                false
            }
            None => false,
        }
    }

    /// Remembers whether the answer under a key is stored.
    pub(super) fn note(&self, hash: u64, is_stored: bool, now_ms: u64) {
        let mut shard = self.shard(hash);
        if is_stored {
            shard.uncacheable.remove(&hash);
            return;
        }
        if shard.uncacheable.len() >= UNCACHEABLE_MAX {
            shard.uncacheable.retain(|_, until_ms| *until_ms > now_ms);
            if shard.uncacheable.len() >= UNCACHEABLE_MAX {
                shard.uncacheable.clear();
            }
        }
        shard.uncacheable.insert(hash, now_ms + UNCACHEABLE_MS);
    }

    /// Counts a body that goes to the disk as it comes; false if there are enough.
    pub(super) fn take_spill(&self) -> bool {
        let taken = self.spills.fetch_add(1, Ordering::Relaxed) < spill::SPILLS_MAX;
        if !taken {
            self.give_back_spill();
        }
        taken
    }

    pub(super) fn give_back_spill(&self) {
        self.spills.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts bytes on their way; false if there are more than `bytes_max`.
    pub(super) fn take(&self, bytes: usize, bytes_max: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= bytes_max
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
