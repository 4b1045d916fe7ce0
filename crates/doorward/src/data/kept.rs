//! What is kept to be used again, for as long as somebody wants it.

/// Unused things of one kind, the last returned on top: that one is in the CPU's cache.
///
/// A burst leaves as many behind as it had in use at once, up to `count_max`. Those that nobody wants
/// any more go by and by ([`Kept::unused`]), so that memory follows the load.
pub(crate) struct Kept<T> {
    things: Vec<T>,
    count_max: usize,
    /// The fewest that there were since the last look at what is unused.
    fewest: usize,
}

impl<T> Kept<T> {
    pub(crate) const fn new(count_max: usize) -> Self {
        Self { things: Vec::new(), count_max, fewest: 0 }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let thing = self.things.pop();
        self.fewest = self.fewest.min(self.things.len());
        thing
    }

    /// Keeps `thing`, unless there are enough.
    #[inline]
    pub(crate) fn push(&mut self, thing: T) {
        if !self.is_full() {
            self.things.push(thing);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.things.len() >= self.count_max
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// Half of those that nobody wanted since the last call, to be let go of.
    pub(crate) fn unused(&mut self) -> impl Iterator<Item = T> {
        let count = self.fewest.div_ceil(2);
        self.fewest = self.things.len() - count;
        // Half, so that a load that comes in waves does not make them anew each time. They are those
        // that were returned first, which have been out of the CPU's cache for longest.
        self.things.drain(..count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_wants_goes_by_and_by() {
        let mut kept = Kept::new(8);
        (0..9).for_each(|thing| kept.push(thing));
        assert_eq!(kept.things.len(), 8, "a burst is kept, but no more");
        assert_eq!(kept.unused().count(), 0, "they were in use a moment ago");
        assert_eq!(kept.unused().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!([kept.pop(), kept.pop()], [Some(7), Some(6)]);
        (6..8).for_each(|thing| kept.push(thing));
        assert_eq!(kept.unused().collect::<Vec<_>>(), [4], "half of those that were not wanted");
        assert!((0..3).map(|_| kept.unused().count()).eq([2, 1, 0]) && kept.is_empty());
    }
}
