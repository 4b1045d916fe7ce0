//! Which stored responses a purge has touched, known without touching one of them.
//!
//! Each purge has a generation: a number, one higher than the purge before. A stored response keeps the
//! generation that was current when its fetch *began*. A purge only notes its own generation beside a tag or
//! a prefix, and every use of a response compares. So purging a tag on a million responses is one store
//! into a table, and a fetch that was on its way during a purge is touched by it, whenever it ends:
//! what it brings may have been read before the change that the purge tells of.
//!
//! Memory is bounded. What is forgotten is forgotten safely: its generation is kept for all that might
//! have had it, so that a response may be fetched once too often, and never stays too long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

/// What a purge is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All responses with this tag; the URL of a response is one of its tags.
    Tag(u64),
    /// All responses whose URL begins so.
    Prefix(Box<[u8]>),
    /// Everything.
    All,
}

/// Whether a purge touched a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purged {
    /// It stands.
    No,
    /// It may be served while a new one is fetched.
    Soft,
    /// It is as if it were not there.
    Hard,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its number. What was fetched before it, and what was being fetched, is touched.
    pub generation: u64,
    /// Whether it was soft.
    pub soft: bool,
    /// How many prefixes are looked at now.
    pub prefixes: usize,
    /// Whether something had to be forgotten for it, so that more is purged than was asked for.
    pub widened: bool,
}

/// The most prefixes that are kept apart. Each costs a comparison when a response is used for the
/// first time after it; when there are more, the two most alike become one shorter one.
pub const PREFIXES_MAX: usize = 256;

/// Tags are kept in so many buckets of [`WAYS`]: 131,072 tags of their own, in 3 MiB, which are taken
/// when the first tag is purged.
const BUCKETS: usize = 16 * 1024;
const WAYS: usize = 8;

/// The newest purges of one kind of thing, by their generations; zero is none.
#[derive(Debug, Default)]
struct Marks {
    hard: AtomicU64,
    soft: AtomicU64,
}

impl Marks {
    fn raise(&self, generation: u64, soft: bool) {
        let mark = if soft { &self.soft } else { &self.hard };
        mark.fetch_max(generation, Ordering::Release);
    }

    fn read(&self) -> (u64, u64) {
        (self.hard.load(Ordering::Acquire), self.soft.load(Ordering::Acquire))
    }

    /// What they mean for a response that no purge up to `since` touched.
    #[inline]
    fn since(&self, since: u64) -> Purged {
        let (hard, soft) = self.read();
        judge(hard, soft, since)
    }
}

#[inline]
fn judge(hard: u64, soft: u64, since: u64) -> Purged {
    match (hard > since, soft > since) {
        (true, _) => Purged::Hard,
        (false, true) => Purged::Soft,
        (false, false) => Purged::No,
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// Zero in one that is not used.
    tag: AtomicU64,
    marks: Marks,
}

#[derive(Debug, Default)]
struct Bucket {
    slots: [Slot; WAYS],
    /// Of all tags that had to leave this bucket.
    floor: Marks,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    text: Box<[u8]>,
    hard: u64,
    soft: u64,
}

impl Prefix {
    fn newest(&self) -> u64 {
        self.hard.max(self.soft)
    }
}

/// The purges so far, as far as they are remembered. Reading takes no lock unless there is a new
/// prefix.
#[derive(Debug, Default)]
pub struct Purges {
    /// The generation of the newest purge that is whole.
    current: AtomicU64,
    /// One purge after the other.
    writing: Mutex<()>,
    tags: OnceLock<Box<[Bucket]>>,
    all: Marks,
    /// Oldest first, by their newest generation.
    prefixes: RwLock<Vec<Prefix>>,
    newest_prefix: AtomicU64,
}

impl Purges {
    /// The generation of the newest purge. A fetch that begins now is touched by all later ones.
    #[must_use]
    #[inline]
    pub fn generation(&self) -> u64 {
        self.current.load(Ordering::Acquire)
    }

    /// Whether a purge later than `since` touched a response with this URL and these tags.
    #[must_use]
    pub fn look(&self, since: u64, url: &[u8], tags: &[u64]) -> Purged {
        let mut purged = Purged::No;
        if self.newest_prefix.load(Ordering::Acquire) > since {
            let prefixes = self.prefixes.read().unwrap_or_else(PoisonError::into_inner);
            let newer = prefixes.iter().rev().take_while(|prefix| prefix.newest() > since);
            for prefix in newer.filter(|prefix| url.starts_with(&prefix.text)) {
                purged = purged.max(judge(prefix.hard, prefix.soft, since));
            }
        }
        if let Some(buckets) = self.tags.get() {
            for tag in tags {
                purged = purged.max(look_up(buckets, *tag, since));
            }
        }
        // The last, because what it covers may be forgotten right behind it.
        purged.max(self.all.since(since))
    }

    /// Purges `scope`. When this returns, every later use of what it touches knows.
    pub fn purge(&self, scope: &Scope, soft: bool) -> Receipt {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.current.load(Ordering::Relaxed) + 1;
        self.note(scope, generation, soft)
    }

    /// Notes a purge that happened in an earlier life, with the generation that it had.
    pub fn replay(&self, scope: &Scope, generation: u64, soft: bool) {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.note(scope, generation, soft);
    }

    /// Goes on from `generation`, if it is not beyond it.
    pub fn advance(&self, generation: u64) {
        self.current.fetch_max(generation, Ordering::Release);
    }

    fn note(&self, scope: &Scope, generation: u64, soft: bool) -> Receipt {
        let widened = match scope {
            Scope::All => {
                self.all.raise(generation, soft);
                if !soft {
                    self.forget_older(generation);
                }
                false
            }
            Scope::Tag(tag) => {
                let new = || (0..BUCKETS).map(|_| Bucket::default()).collect();
                note_tag(self.tags.get_or_init(new), *tag, generation, soft)
            }
            Scope::Prefix(text) => self.note_prefix(text, generation, soft),
        };
        self.current.fetch_max(generation, Ordering::Release);
        let prefixes = self.prefixes.read().unwrap_or_else(PoisonError::into_inner).len();
        Receipt { generation, soft, prefixes, widened }
    }

    /// Everything older than `generation` is gone, whatever it was called.
    fn forget_older(&self, generation: u64) {
        let mut prefixes = self.prefixes.write().unwrap_or_else(PoisonError::into_inner);
        prefixes.retain(|prefix| prefix.newest() > generation);
        for slot in self.tags.get().into_iter().flatten().flat_map(|bucket| &bucket.slots) {
            let (hard, soft) = slot.marks.read();
            if hard.max(soft) < generation {
                slot.tag.store(0, Ordering::Release);
            }
        }
    }

    fn note_prefix(&self, text: &[u8], generation: u64, soft: bool) -> bool {
        let mut prefixes = self.prefixes.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = Prefix { text: text.into(), hard: 0, soft: 0 };
        *(if soft { &mut new.soft } else { &mut new.hard }) = generation;
        prefixes.retain(|old| {
            if old.text == new.text {
                (new.hard, new.soft) = (new.hard.max(old.hard), new.soft.max(old.soft));
            }
            // A newer purge of more, that is no weaker, says all that the older one said.
            !(old.text.starts_with(&new.text) && old.hard <= new.hard && old.soft <= new.newest())
        });
        let after = prefixes.partition_point(|old| old.newest() <= new.newest());
        prefixes.insert(after, new);
        let widened = prefixes.len() > PREFIXES_MAX;
        if widened {
            join_two(&mut prefixes);
        }
        self.newest_prefix.fetch_max(generation, Ordering::Release);
        widened
    }
}

/// Zero is an empty slot.
fn name(tag: u64) -> u64 {
    tag.max(1)
}

fn look_up(buckets: &[Bucket], tag: u64, since: u64) -> Purged {
    let name = name(tag);
    let bucket = &buckets[name as usize % BUCKETS];
    // A slot that is taken over by another tag between the two loads has newer marks: touched once
    // too often.
    let slot = bucket.slots.iter().find(|slot| slot.tag.load(Ordering::Acquire) == name);
    let own = slot.map_or(Purged::No, |slot| slot.marks.since(since));
    // Behind the slots: whoever empties one has raised the floor before.
    own.max(bucket.floor.since(since))
}

/// Whether another tag had to leave for it.
fn note_tag(buckets: &[Bucket], tag: u64, generation: u64, soft: bool) -> bool {
    let name = name(tag);
    let bucket = &buckets[name as usize % BUCKETS];
    let with =
        |wanted: u64| bucket.slots.iter().find(|slot| slot.tag.load(Ordering::Relaxed) == wanted);
    if let Some(slot) = with(name) {
        slot.marks.raise(generation, soft);
        return false;
    }
    let (slot, widened) = match with(0) {
        Some(empty) => (empty, false),
        None => {
            let newest = |slot: &&Slot| {
                let (hard, soft) = slot.marks.read();
                hard.max(soft)
            };
            let oldest = bucket.slots.iter().min_by_key(newest).expect("a bucket has slots");
            let (hard, soft) = oldest.marks.read();
            bucket.floor.raise(hard, false);
            bucket.floor.raise(soft, true);
            (oldest, true)
        }
    };
    slot.tag.store(0, Ordering::Release);
    let (hard, soft_mark) = if soft { (0, generation) } else { (generation, 0) };
    slot.marks.hard.store(hard, Ordering::Release);
    slot.marks.soft.store(soft_mark, Ordering::Release);
    slot.tag.store(name, Ordering::Release);
    widened
}

/// Makes one prefix of the two that have most in common.
fn join_two(prefixes: &mut Vec<Prefix>) {
    let mut order: Vec<usize> = (0..prefixes.len()).collect();
    order.sort_by(|a, b| prefixes[*a].text.cmp(&prefixes[*b].text));
    let common = |a: &[u8], b: &[u8]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    // In order, those with most in common are neighbours.
    let best = order
        .windows(2)
        .max_by_key(|pair| common(&prefixes[pair[0]].text, &prefixes[pair[1]].text));
    let Some(&[a, b]) = best else {
        return;
    };
    let (first, second) = (prefixes[a].clone(), prefixes[b].clone());
    let text = &first.text[..common(&first.text, &second.text)];
    let joined = Prefix {
        text: text.into(),
        hard: first.hard.max(second.hard),
        soft: first.soft.max(second.soft),
    };
    prefixes.retain(|prefix| *prefix != first && *prefix != second);
    let after = prefixes.partition_point(|old| old.newest() <= joined.newest());
    prefixes.insert(after, joined);
}

#[cfg(test)]
mod tests;
