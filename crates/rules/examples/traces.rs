//! Hit ratios of the store's S3-FIFO beside LRU, and beside S3-FIFO as its paper has it, on made traces.
//!
//! `cargo run --release -p rules --example traces`. Zipf is how often pages of one site are asked for; a
//! scan is a crawler that asks for each page once, in between. Objects have sizes as web pages do
//! (log-normal, a median of 8 KiB) or are all alike.

#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use rules::store::Fifo;

/// How many different objects are asked for again and again.
const OBJECTS: u64 = 100_000;

/// How many times something is asked for; the first fifth is not counted.
const REQUESTS: usize = 1_000_000;

struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks from 0, the first the most frequent.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(alpha: f64) -> Self {
        let mut sum = 0.0;
        let ends = (1..=OBJECTS).map(|rank| {
            sum += (rank as f64).powf(-alpha);
            sum
        });
        Self(ends.collect())
    }

    fn draw(&self, chance: &mut Chance) -> u64 {
        let wanted = chance.fraction() * self.0.last().copied().unwrap_or_default();
        self.0.partition_point(|end| *end < wanted) as u64
    }
}

/// The keys of a trace; `scan` is the share of requests for what is asked for once.
fn trace(alpha: f64, scan: f64) -> Vec<u64> {
    let (zipf, mut chance) = (Zipf::new(alpha), Chance(1));
    let mut next = OBJECTS;
    let mut left_of_scan = 0;
    (0..REQUESTS)
        .map(|_| {
            // A crawler comes in bursts of ten thousand.
            if left_of_scan == 0 && chance.fraction() < scan / (1.0 - scan) / 10_000.0 {
                left_of_scan = 10_000;
            }
            if left_of_scan > 0 {
                left_of_scan -= 1;
                next += 1;
                return next;
            }
            zipf.draw(&mut chance)
        })
        .collect()
}

fn bytes(key: u64, alike: bool) -> usize {
    if alike {
        return 8 << 10;
    }
    let mut chance = Chance(key);
    // The sum of twelve is as good as normal.
    let normal = (0..12).map(|_| chance.fraction()).sum::<f64>() - 6.0;
    ((8192.0 * (1.2 * normal).exp()) as usize).clamp(200, 1 << 20)
}

fn hash(key: u64) -> u64 {
    Chance(key ^ 0x5555).draw()
}

/// The share of hits, of requests and of bytes.
fn run(trace: &[u64], alike: bool, mut ask: impl FnMut(u64, usize) -> bool) -> (f64, f64) {
    let (mut hits, mut hit_bytes, mut all, mut all_bytes) = (0, 0, 0, 0);
    for (at, &key) in trace.iter().enumerate() {
        let bytes = bytes(key, alike);
        let hit = ask(key, bytes);
        if at >= REQUESTS / 5 {
            (all, all_bytes) = (all + 1, all_bytes + bytes);
            (hits, hit_bytes) = (hits + usize::from(hit), hit_bytes + usize::from(hit) * bytes);
        }
    }
    (f64::from(hits as u32) / f64::from(all as u32), hit_bytes as f64 / all_bytes as f64)
}

fn fifo(limit: usize) -> impl FnMut(u64, usize) -> bool {
    let mut objects = Fifo::new(limit);
    let mut left = Vec::new();
    move |key, bytes| {
        let hit = objects.find(hash(key), |value| *value == key).is_some();
        if !hit {
            let _ = objects.insert(hash(key), bytes, key, |value| *value == key, &mut left);
            left.clear();
        }
        hit
    }
}

fn lru(limit: usize) -> impl FnMut(u64, usize) -> bool {
    let (mut by_use, mut objects) = (BTreeMap::new(), HashMap::new());
    let (mut turn, mut held) = (0_u64, 0);
    move |key, bytes| {
        turn += 1;
        by_use.insert(turn, key);
        if let Some((before, _)) = objects.insert(key, (turn, bytes)) {
            by_use.remove(&before);
            return true;
        }
        held += bytes;
        while held > limit {
            let (_, oldest) = by_use.pop_first().expect("it holds something");
            held -= objects.remove(&oldest).map_or(0, |(_, bytes)| bytes);
        }
        false
    }
}

/// Algorithm 1 of "FIFO Queues are All You Need for Cache Eviction" (Yang and others, SOSP 2023), by bytes: a
/// tenth is the small queue, two uses there lead to the main one, and as many are remembered as the main
/// queue holds.
#[derive(Default)]
struct Paper {
    small: VecDeque<u64>,
    main: VecDeque<u64>,
    small_bytes: usize,
    main_bytes: usize,
    ghosts: VecDeque<u64>,
    remembered: HashSet<u64>,
    /// The uses, at most three, and the bytes of what is held.
    held: HashMap<u64, (u8, usize)>,
}

impl Paper {
    fn make_room(&mut self, limit: usize) {
        while self.small_bytes + self.main_bytes > limit {
            if self.small_bytes >= limit / 10 || self.main.is_empty() {
                self.evict_small();
            } else {
                self.evict_main();
            }
        }
    }

    fn evict_small(&mut self) {
        let Some(key) = self.small.pop_front() else { return };
        let entry = self.held.get_mut(&key).expect("what is queued is held");
        self.small_bytes -= entry.1;
        if entry.0 > 1 {
            entry.0 = 0;
            self.main_bytes += entry.1;
            return self.main.push_back(key);
        }
        self.held.remove(&key);
        if self.remembered.insert(key) {
            self.ghosts.push_back(key);
        }
        while self.ghosts.len() > self.main.len().max(1) {
            let oldest = self.ghosts.pop_front();
            oldest.map(|oldest| self.remembered.remove(&oldest));
        }
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop_front() {
            let entry = self.held.get_mut(&key).expect("what is queued is held");
            if entry.0 == 0 {
                self.main_bytes -= entry.1;
                self.held.remove(&key);
                return;
            }
            entry.0 -= 1;
            self.main.push_back(key);
        }
    }
}

fn paper(limit: usize) -> impl FnMut(u64, usize) -> bool {
    let mut cache = Paper::default();
    move |key, bytes| {
        if let Some(entry) = cache.held.get_mut(&key) {
            entry.0 = (entry.0 + 1).min(3);
            return true;
        }
        cache.held.insert(key, (0, bytes));
        if cache.remembered.remove(&key) {
            cache.ghosts.retain(|ghost| *ghost != key);
            cache.main.push_back(key);
            cache.main_bytes += bytes;
        } else {
            cache.small.push_back(key);
            cache.small_bytes += bytes;
        }
        cache.make_room(limit);
        false
    }
}

/// How many misses are spared, of those of LRU.
fn spared(ratio: f64, lru: f64) -> f64 {
    (ratio - lru) / (1.0 - lru) * 100.0
}

fn main() {
    println!(
        "| trace | memory | LRU | paper | ours | misses fewer than LRU: paper | ours |\n\
         | --- | --- | --- | --- | --- | --- | --- |"
    );
    for alike in [true, false] {
        for (alpha, scan) in [(0.7, 0.0), (0.9, 0.0), (1.1, 0.0), (0.9, 0.2), (1.1, 0.5)] {
            let trace = trace(alpha, scan);
            let whole: usize = (0..OBJECTS).map(|key| bytes(key, alike)).sum();
            for share in [0.01, 0.1] {
                let limit = (whole as f64 * share) as usize;
                let (lru, _) = run(&trace, alike, lru(limit));
                let (paper, _) = run(&trace, alike, paper(limit));
                let (ours, _) = run(&trace, alike, fifo(limit));
                let sizes = if alike { "alike" } else { "of pages" };
                println!(
                    "| Zipf {alpha}, {:.0} % scan, {sizes} | {:.0} % | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.1} % |",
                    scan * 100.0,
                    share * 100.0,
                    lru * 100.0,
                    paper * 100.0,
                    ours * 100.0,
                    spared(paper, lru),
                    spared(ours, lru)
                );
            }
        }
    }
}
