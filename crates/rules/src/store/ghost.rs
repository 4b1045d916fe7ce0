//! Remembers, in bounded memory, which objects left the small queue a short while ago.
//!
//! A four-way table of fingerprints, each with the turn at which it came in. What is older than so many
//! turns as there are objects in the main queue is forgotten, as the paper has it; a bucket that is full forgets
//! its oldest. A wrong yes needs 32 equal bits, and costs one place in the main queue.

/// Fingerprint in the upper half, turn in the lower; zero is an empty place.
type Mark = u64;

const WAYS: usize = 4;

/// The fewest buckets: a shard of few objects needs some memory, too.
const BUCKETS_MIN: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Ghost {
    buckets: Vec<[Mark; WAYS]>,
    turn: u32,
}

impl Ghost {
    /// Notes that the object of `hash` left; `span` is how many others may follow before it is
    /// forgotten.
    pub(super) fn note(&mut self, hash: u64, span: usize) {
        self.grow(span);
        self.turn = self.turn.wrapping_add(1);
        let mark = fingerprint(hash) << 32 | u64::from(self.turn);
        put(&mut self.buckets, mark, self.turn);
    }

    /// Whether it left a short while ago; then that is forgotten.
    pub(super) fn take(&mut self, hash: u64, span: usize) -> bool {
        let Some(mask) = self.buckets.len().checked_sub(1) else {
            return false;
        };
        let wanted = fingerprint(hash);
        let turn = self.turn;
        let bucket = &mut self.buckets[wanted as usize & mask];
        let found = bucket.iter_mut().find(|mark| **mark >> 32 == wanted);
        let Some(mark) = found else {
            return false;
        };
        let age = turn.wrapping_sub(*mark as u32);
        *mark = 0;
        (age as usize) < span.max(BUCKETS_MIN * WAYS)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<[Mark; WAYS]>()
    }

    /// Makes room for twice the span: half empty, a bucket is seldom full.
    fn grow(&mut self, span: usize) {
        let wanted = (span * 2 / WAYS).next_power_of_two().max(BUCKETS_MIN);
        if self.buckets.len() >= wanted {
            return;
        }
        let mut grown = vec![[0; WAYS]; wanted];
        for mark in self.buckets.iter().flatten().filter(|mark| **mark != 0) {
            put(&mut grown, *mark, self.turn);
        }
        self.buckets = grown;
    }
}

/// Never zero: that is an empty place.
fn fingerprint(hash: u64) -> u64 {
    (hash >> 32).max(1)
}

fn put(buckets: &mut [[Mark; WAYS]], mark: Mark, turn: u32) {
    let bucket = (mark >> 32) as usize & (buckets.len() - 1);
    let age = |mark: Mark| match mark {
        0 => u32::MAX,
        mark => turn.wrapping_sub(mark as u32),
    };
    let oldest = buckets[bucket].iter_mut().max_by_key(|mark| age(**mark));
    *oldest.expect("a bucket has places") = mark;
}
