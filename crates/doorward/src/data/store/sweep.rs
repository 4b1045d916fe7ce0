//! Gives the memory back that purged objects hold: a purge touches none of them, and what nobody asks for
//! would stay until it makes room.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rules::store::Purged;
use tokio::time::Instant;

use super::{Counts, Store};

/// How many places of a shard are looked at under one lock: a few microseconds.
pub(super) const PIECE: usize = 128;

/// How long purged objects lie there at least. Purges come in crowds, and one sweep is for all of them.
const REST: Duration = Duration::from_secs(5);

/// A sweep of ten million objects takes about a second. However often somebody purges, it takes no more
/// than this share of a core.
const REST_FOR_EACH: u32 = 20;

impl Store {
    /// Sweeps whenever something was purged, at leisure, as long as the process lives.
    pub(crate) async fn sweep_for_ever(self: Arc<Self>) {
        let mut rest = REST;
        loop {
            tokio::time::sleep(rest).await;
            if self.swept.load(Ordering::Relaxed) == self.generation() {
                continue;
            }
            let began = Instant::now();
            let store = Arc::clone(&self);
            let _ = tokio::task::spawn_blocking(move || store.sweep()).await;
            rest = REST.max(began.elapsed() * REST_FOR_EACH);
        }
    }

    /// Takes out all that a hard purge touched up to now.
    pub(super) fn sweep(&self) {
        let generation = self.generation();
        for shard in &self.shards {
            let mut from = 0;
            loop {
                let mut left = Vec::new();
                let dead = |object: &Arc<_>| self.purged(object) == Purged::Hard;
                let more = shard.lock().sweep(from, from + PIECE, dead, &mut left);
                self.counts.swept.fetch_add(left.len() as u64, Ordering::Relaxed);
                // Here nobody waits for the lock.
                drop(left);
                if !more {
                    break;
                }
                from += PIECE;
            }
        }
        self.swept.store(generation, Ordering::Relaxed);
    }

    /// How many objects in memory a purge touched that are stored for one of the `urls`, which are tags. It
    /// looks at all objects.
    pub(crate) fn count_purged(&self, urls: &HashSet<u64>) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            let mut from = 0;
            loop {
                let shard = shard.lock();
                let Some(piece) = shard.look(from, from + PIECE) else { break };
                let is_meant = |object: &super::Object| {
                    object.stored.tags.first().is_some_and(|url| urls.contains(url))
                };
                count += piece
                    .filter(|seen| is_meant(seen.value) && self.purged(seen.value) != Purged::No)
                    .count() as u64;
                from += PIECE;
            }
        }
        count
    }

    /// Objects that were purged, and taken out since.
    pub(crate) fn swept(&self) -> u64 {
        let Counts { swept, .. } = &self.counts;
        swept.load(Ordering::Relaxed)
    }
}
