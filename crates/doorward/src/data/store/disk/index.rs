//! Where on the disk the objects are that are there.

use hashbrown::HashTable;

use super::record::{Header, Place};

/// One record. About 32 bytes of memory with its share of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) place: Place,
    pub(super) variant: u32,
    /// Of the whole record; as many as fit, if there are more.
    pub(super) bytes: u32,
    /// Whether it was read since it was written.
    pub(super) used: bool,
}

impl Entry {
    pub(super) fn of(header: &Header) -> Self {
        let bytes = u32::try_from(header.record_bytes()).unwrap_or(u32::MAX);
        let Header { hash, variant, place, .. } = *header;
        Self { hash, place, variant, bytes, used: false }
    }
}

#[derive(Debug, Default)]
pub(super) struct Index {
    table: HashTable<Entry>,
}

impl Index {
    /// Notes a record. Of two of the same variant, the one that was written later stays.
    pub(super) fn insert(&mut self, entry: Entry) {
        let same = |other: &Entry| other.hash == entry.hash && other.variant == entry.variant;
        match self.table.find_mut(entry.hash, same) {
            Some(other) if other.place > entry.place => {}
            Some(other) => *other = entry,
            None => {
                self.table.insert_unique(entry.hash, entry, |other| other.hash);
            }
        }
    }

    /// The records under `hash`, the newest first. They count as used.
    pub(super) fn find(&mut self, hash: u64) -> Vec<Entry> {
        let mut found = Vec::new();
        for entry in self.table.iter_hash_mut(hash).filter(|entry| entry.hash == hash) {
            entry.used = true;
            found.push(*entry);
        }
        found.sort_by_key(|entry| std::cmp::Reverse(entry.place));
        found
    }

    /// Whether `entry` was read since it was asked last.
    pub(super) fn take_use(&mut self, entry: &Entry) -> bool {
        let is_it = |other: &Entry| other.hash == entry.hash && other.place == entry.place;
        let known = self.table.find_mut(entry.hash, is_it);
        known.is_some_and(|known| std::mem::take(&mut known.used))
    }

    /// Forgets the record at `place`; returns it if it was known.
    pub(super) fn remove(&mut self, hash: u64, place: Place) -> Option<Entry> {
        let is_it = |entry: &Entry| entry.hash == hash && entry.place == place;
        self.table.find_entry(hash, is_it).ok().map(|entry| entry.remove().0)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn clear(&mut self) {
        self.table = HashTable::new();
    }
}
