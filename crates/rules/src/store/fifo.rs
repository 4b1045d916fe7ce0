//! S3-FIFO, by bytes: which objects stay in a bounded memory.
//!
//! Three queues instead of one list that every hit reorders ("FIFO queues are all you need for cache
//! eviction", SOSP 2023). New objects wait in a small queue, a tenth of the memory; what is used again
//! there goes on to the main queue, what is not leaves at once. So a scan, whose objects come once,
//! passes through that tenth and touches nothing else. What left is remembered for a while without its
//! bytes, and is taken into the main queue if it comes again. A hit changes one small number.

use hashbrown::HashTable;

use super::ghost::Ghost;

/// The most objects under one hash: the variants of a response. A look-up walks them, and a field
/// such as `User-Agent` in `Vary` makes as many as there are clients. The oldest makes room.
const VARIANTS_MAX: usize = 32;

/// The small queue's share: the paper's, who tried 1 % to 40 % on 6,594 traces.
const SMALL_DIVISOR: usize = 10;

/// Uses in the small queue that let an object stay.
const USES_TO_STAY: u8 = 1;

/// How far uses are counted: an object survives so many rounds of the main queue without another.
const USES_MAX: u8 = 3;

/// No node.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Small,
    Main,
}

#[derive(Debug)]
struct Node<V> {
    hash: u64,
    /// `None` in a node that waits to be used again.
    value: Option<V>,
    /// Towards the newer end of its queue; in an unused node, the next unused one.
    newer: u32,
    older: u32,
    /// The next older object under the same hash.
    variant: u32,
    bytes: u32,
    hits: u32,
    uses: u8,
    queue: Queue,
}

/// The ends of one queue, and what is in it.
#[derive(Debug)]
struct Ends {
    newest: u32,
    oldest: u32,
    bytes: usize,
    count: usize,
}

/// Objects by hash, within a number of bytes.
#[derive(Debug)]
pub struct Fifo<V> {
    nodes: Vec<Node<V>>,
    /// The newest node under each hash.
    table: HashTable<u32>,
    unused: u32,
    small: Ends,
    main: Ends,
    ghost: Ghost,
    bytes_max: usize,
    evicted: u64,
}

/// One object, for whoever looks at all of them.
#[derive(Debug)]
pub struct Seen<'a, V> {
    /// The object.
    pub value: &'a V,
    /// What it weighs.
    pub bytes: u32,
    /// How often it was found.
    pub hits: u32,
}

impl<V> Fifo<V> {
    /// An empty one, which takes `bytes_max` bytes at most, its own overhead included.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let empty = || Ends { newest: NONE, oldest: NONE, bytes: 0, count: 0 };
        Self {
            nodes: Vec::new(),
            table: HashTable::new(),
            unused: NONE,
            small: empty(),
            main: empty(),
            ghost: Ghost::default(),
            bytes_max,
            evicted: 0,
        }
    }

    /// The bytes of all objects, as they were weighed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.small.bytes + self.main.bytes
    }

    /// The bytes that it takes itself.
    #[must_use]
    pub fn overhead_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node<V>>()
            + self.table.allocation_size()
            + self.ghost.heap_bytes()
    }

    /// The number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.small.count + self.main.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many objects had to make room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The newest object under `hash` that `choose` takes. It counts as used.
    #[inline]
    pub fn find(&mut self, hash: u64, mut choose: impl FnMut(&V) -> bool) -> Option<&V> {
        let mut at = self.newest(hash)?;
        loop {
            let node = &self.nodes[at as usize];
            if node.value.as_ref().is_some_and(&mut choose) {
                break;
            }
            at = node.variant;
            if at == NONE {
                return None;
            }
        }
        let node = &mut self.nodes[at as usize];
        node.uses = (node.uses + 1).min(USES_MAX);
        node.hits = node.hits.saturating_add(1);
        node.value.as_ref()
    }

    /// Takes `value`, of so many bytes, in the place of the one under `hash` that is the `same`.
    /// What makes room is handed to `left`: dropping it may take longer than a lock should be held.
    ///
    /// # Errors
    /// The value, if it is too large for ever staying.
    pub fn insert(
        &mut self,
        hash: u64,
        bytes: usize,
        value: V,
        same: impl Fn(&V) -> bool,
        left: &mut Vec<V>,
    ) -> Result<(), V> {
        let Some(weight) = u32::try_from(bytes).ok().filter(|_| bytes <= self.bytes_max / 2) else {
            return Err(value);
        };
        if let Some(at) = self.position(hash, same) {
            let node = &mut self.nodes[at as usize];
            let before = std::mem::replace(&mut node.bytes, weight);
            left.extend(node.value.replace(value));
            let queue = node.queue;
            let ends = self.ends(queue);
            ends.bytes = ends.bytes - before as usize + bytes;
            self.bring_forward(at);
        } else {
            let was_here = self.ghost.take(hash, self.main.count);
            let queue = if was_here { Queue::Main } else { Queue::Small };
            let at = self.new_node(hash, weight, value, queue);
            self.push(at, queue);
            self.chain(at, left);
        }
        self.shrink(left);
        Ok(())
    }

    /// Whether there is an object under `hash` that is `wanted`. It does not count as used.
    #[must_use]
    pub fn contains(&self, hash: u64, wanted: impl Fn(&V) -> bool) -> bool {
        self.position(hash, wanted).is_some()
    }

    /// Weighs the object under `hash` that is `wanted` again.
    pub fn weigh(
        &mut self,
        hash: u64,
        wanted: impl Fn(&V) -> bool,
        weight: impl Fn(&V) -> usize,
        left: &mut Vec<V>,
    ) {
        let Some(at) = self.position(hash, wanted) else { return };
        let node = &mut self.nodes[at as usize];
        let (queue, bytes) = (node.queue, node.value.as_ref().map_or(0, weight));
        let after = u32::try_from(bytes).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut node.bytes, after);
        let ends = self.ends(queue);
        ends.bytes = ends.bytes - before as usize + after as usize;
        self.shrink(left);
    }

    /// Takes out the object under `hash` that is `wanted`.
    pub fn remove(&mut self, hash: u64, wanted: impl Fn(&V) -> bool) -> Option<V> {
        let at = self.position(hash, wanted)?;
        Some(self.take_out(at))
    }

    /// Takes up to `bytes_max` bytes from now on.
    pub fn resize(&mut self, bytes_max: usize, left: &mut Vec<V>) {
        self.bytes_max = bytes_max;
        self.shrink(left);
    }

    /// The objects among the places `from..to`; `None` behind the last place. Pieces let others in
    /// between.
    pub fn look(&self, from: usize, to: usize) -> Option<impl Iterator<Item = Seen<'_, V>>> {
        let nodes = self.nodes.get(from..to.min(self.nodes.len())).filter(|n| !n.is_empty())?;
        Some(nodes.iter().filter_map(|node| {
            let value = node.value.as_ref()?;
            Some(Seen { value, bytes: node.bytes, hits: node.hits })
        }))
    }

    /// Takes out what `dead` says of among the places `from..to`; false behind the last place.
    pub fn sweep(
        &mut self,
        from: usize,
        to: usize,
        dead: impl Fn(&V) -> bool,
        left: &mut Vec<V>,
    ) -> bool {
        for at in from..to.min(self.nodes.len()) {
            if self.nodes[at].value.as_ref().is_some_and(&dead) {
                left.push(self.take_out(at as u32));
            }
        }
        from < self.nodes.len()
    }

    #[inline]
    fn newest(&self, hash: u64) -> Option<u32> {
        self.table.find(hash, |at| self.nodes[*at as usize].hash == hash).copied()
    }

    fn position(&self, hash: u64, wanted: impl Fn(&V) -> bool) -> Option<u32> {
        let mut at = self.newest(hash)?;
        while at != NONE {
            let node = &self.nodes[at as usize];
            if node.value.as_ref().is_some_and(&wanted) {
                return Some(at);
            }
            at = node.variant;
        }
        None
    }

    fn ends(&mut self, queue: Queue) -> &mut Ends {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }

    fn new_node(&mut self, hash: u64, bytes: u32, value: V, queue: Queue) -> u32 {
        let node = Node {
            hash,
            value: Some(value),
            newer: NONE,
            older: NONE,
            variant: NONE,
            bytes,
            hits: 0,
            uses: 0,
            queue,
        };
        if self.unused != NONE {
            let at = self.unused;
            self.unused = self.nodes[at as usize].newer;
            self.nodes[at as usize] = node;
            return at;
        }
        if self.nodes.len() == self.nodes.capacity() {
            // Doubling would take, at once, a tenth of the memory for nothing.
            self.nodes.reserve_exact(self.nodes.len() / 8 + 16);
        }
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1)
            .expect("an object takes more bytes than a place's number")
    }

    /// Puts the new node in front of those with the same hash.
    fn chain(&mut self, at: u32, left: &mut Vec<V>) {
        let hash = self.nodes[at as usize].hash;
        let nodes = &self.nodes;
        let found = self.table.find_mut(hash, |other| nodes[*other as usize].hash == hash);
        let Some(newest) = found else {
            let nodes = &self.nodes;
            self.table.insert_unique(hash, at, |other| nodes[*other as usize].hash);
            return;
        };
        let mut next = std::mem::replace(newest, at);
        self.nodes[at as usize].variant = next;
        let mut count = 1;
        while next != NONE {
            count += 1;
            let older = self.nodes[next as usize].variant;
            if count > VARIANTS_MAX {
                left.push(self.take_out(next));
            }
            next = older;
        }
    }

    /// Makes `at` the first that is looked at under its hash.
    fn bring_forward(&mut self, at: u32) {
        let hash = self.nodes[at as usize].hash;
        if self.newest(hash) != Some(at) {
            self.unchain(at);
            // There is another one, so no place in the table has to be made.
            self.chain(at, &mut Vec::new());
        }
    }

    fn unchain(&mut self, at: u32) {
        let Node { hash, variant, .. } = self.nodes[at as usize];
        let nodes = &self.nodes;
        let found = self.table.find_entry(hash, |other| nodes[*other as usize].hash == hash);
        let Ok(mut entry) = found else {
            return;
        };
        if *entry.get() == at {
            match variant {
                NONE => drop(entry.remove()),
                next => *entry.get_mut() = next,
            }
            return;
        }
        let mut before = *entry.get();
        while self.nodes[before as usize].variant != at {
            before = self.nodes[before as usize].variant;
        }
        self.nodes[before as usize].variant = variant;
    }

    /// Puts `at` at the newer end of `queue`.
    fn push(&mut self, at: u32, queue: Queue) {
        let bytes = self.nodes[at as usize].bytes as usize;
        let ends = self.ends(queue);
        let before = std::mem::replace(&mut ends.newest, at);
        if before == NONE {
            ends.oldest = at;
        }
        ends.bytes += bytes;
        ends.count += 1;
        if before != NONE {
            self.nodes[before as usize].newer = at;
        }
        let node = &mut self.nodes[at as usize];
        (node.queue, node.older, node.newer) = (queue, before, NONE);
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, bytes, queue, .. } = self.nodes[at as usize];
        if newer != NONE {
            self.nodes[newer as usize].older = older;
        }
        if older != NONE {
            self.nodes[older as usize].newer = newer;
        }
        let ends = self.ends(queue);
        if ends.newest == at {
            ends.newest = older;
        }
        if ends.oldest == at {
            ends.oldest = newer;
        }
        ends.bytes -= bytes as usize;
        ends.count -= 1;
    }

    fn take_out(&mut self, at: u32) -> V {
        self.unchain(at);
        self.unlink(at);
        let unused = std::mem::replace(&mut self.unused, at);
        let node = &mut self.nodes[at as usize];
        node.newer = unused;
        node.value.take().expect("it was in a queue")
    }

    /// Evicts until everything fits.
    fn shrink(&mut self, left: &mut Vec<V>) {
        while !self.is_empty() && self.bytes() + self.overhead_bytes() > self.bytes_max {
            if self.small.bytes > self.bytes_max / SMALL_DIVISOR || self.main.count == 0 {
                self.shrink_small(left);
            } else {
                self.shrink_main(left);
            }
        }
    }

    /// One object leaves the small queue, or goes on to the main queue.
    fn shrink_small(&mut self, left: &mut Vec<V>) {
        let at = self.small.oldest;
        let node = &mut self.nodes[at as usize];
        if node.uses >= USES_TO_STAY {
            node.uses = 0;
            self.unlink(at);
            self.push(at, Queue::Main);
        } else {
            let hash = node.hash;
            self.ghost.note(hash, self.main.count);
            self.evicted += 1;
            left.push(self.take_out(at));
        }
    }

    /// One object leaves the main queue, or has another round for each use.
    fn shrink_main(&mut self, left: &mut Vec<V>) {
        loop {
            let at = self.main.oldest;
            let node = &mut self.nodes[at as usize];
            if node.uses == 0 {
                self.evicted += 1;
                left.push(self.take_out(at));
                return;
            }
            node.uses -= 1;
            self.unlink(at);
            self.push(at, Queue::Main);
        }
    }
}

#[cfg(test)]
mod tests;
