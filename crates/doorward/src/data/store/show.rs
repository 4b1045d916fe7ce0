//! What is in the store, for those who look at it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rules::store::Purged;
use serde::Serialize;

use super::sweep::PIECE;
use super::{Object, Store};

/// Sums over all shards.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Stats {
    pub(crate) objects: u64,
    /// Objects with their overhead.
    pub(crate) bytes: u64,
    pub(crate) limit_bytes: u64,
    pub(crate) stored: u64,
    pub(crate) evicted: u64,
    /// Purged, and taken out since.
    pub(crate) swept: u64,
    pub(crate) refused_too_large: u64,
    pub(crate) refused_purged: u64,
    pub(crate) purges: u64,
    /// The number of the newest purge.
    pub(crate) generation: u64,
}

/// One object, as it is shown.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Shown {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) hits: u32,
    pub(crate) age_seconds: u64,
    /// Negative once it is stale.
    pub(crate) fresh_seconds: i64,
    /// Whether a purge touched it.
    pub(crate) purged: &'static str,
    /// The request fields that chose it, with their values.
    pub(crate) vary: Vec<String>,
}

/// By what objects are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Bytes,
    Hits,
    /// Those that may not be used without asking the service, the oldest first.
    Staleness,
}

impl By {
    /// How far up in the list an object belongs; `None` if not at all.
    fn rank(self, bytes: u32, hits: u32, left_ms: i64, purged: Purged) -> Option<u64> {
        match self {
            Self::Bytes => Some(u64::from(bytes)),
            Self::Hits => Some(u64::from(hits)),
            Self::Staleness if left_ms > 0 && purged == Purged::No => None,
            Self::Staleness => Some(u64::try_from(-left_ms).unwrap_or_default()),
        }
    }
}

impl Store {
    pub(crate) fn stats(&self) -> Stats {
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = Stats {
            limit_bytes: load(&self.memory_bytes),
            stored: load(&self.counts.stored),
            swept: self.swept(),
            refused_too_large: load(&self.counts.too_large),
            refused_purged: load(&self.counts.purged_on_the_way),
            purges: load(&self.counts.purges),
            generation: self.generation(),
            ..Stats::default()
        };
        for shard in &self.shards {
            let shard = shard.lock();
            stats.objects += shard.len() as u64;
            stats.bytes += (shard.bytes() + shard.overhead_bytes()) as u64;
            stats.evicted += shard.evicted();
        }
        stats
    }

    /// The first `count` objects by `by`, as they are at `now_ms` since 1970.
    pub(crate) fn top(&self, by: By, count: usize, now_ms: u64) -> Vec<Shown> {
        let mut best: BinaryHeap<Reverse<Ranked>> = BinaryHeap::new();
        for shard in &self.shards {
            let mut from = 0;
            loop {
                let shard = shard.lock();
                let Some(piece) = shard.look(from, from + PIECE) else {
                    break;
                };
                for seen in piece {
                    let left_ms = seen.value.stored.left_ms(now_ms);
                    let purged = self.purged(seen.value);
                    let Some(rank) = by.rank(seen.bytes, seen.hits, left_ms, purged) else {
                        continue;
                    };
                    let least = best.peek().map_or(0, |Reverse(ranked)| ranked.rank);
                    if best.len() < count || rank > least {
                        let (bytes, hits) = (seen.bytes, seen.hits);
                        let object = Arc::clone(seen.value);
                        best.push(Reverse(Ranked { rank, bytes, hits, object }));
                        if best.len() > count {
                            best.pop();
                        }
                    }
                }
                from += PIECE;
            }
        }
        let best = best.into_sorted_vec();
        best.into_iter().map(|Reverse(ranked)| self.show(&ranked, now_ms)).collect()
    }

    fn show(&self, ranked: &Ranked, now_ms: u64) -> Shown {
        let stored = &ranked.object.stored;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Shown {
            url: text(stored.url()),
            status: stored.head.status,
            bytes: u64::from(ranked.bytes),
            hits: ranked.hits,
            age_seconds: stored.age_ms(now_ms) / 1000,
            fresh_seconds: stored.left_ms(now_ms).div_euclid(1000),
            purged: match self.purged(&ranked.object) {
                Purged::No => "no",
                Purged::Soft => "soft",
                Purged::Hard => "hard",
            },
            vary: stored
                .vary
                .iter()
                .map(|varied| {
                    let value = varied.value.as_deref().map_or("(none)".to_owned(), text);
                    format!("{}: {value}", varied.name)
                })
                .collect(),
        }
    }
}

struct Ranked {
    rank: u64,
    bytes: u32,
    hits: u32,
    object: Arc<Object>,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}
