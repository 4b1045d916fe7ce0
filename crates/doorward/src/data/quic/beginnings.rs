//! Where datagrams wait that may begin a connection, while those of connections are handled
//! (`docs/decisions/046-first-packets-wait.md`).

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use super::cross::Arrival;

/// Datagrams that may wait in one queue: what is worked off within some 10 ms. More are lost; who
/// means it sends again.
const WAITING_MAX: usize = 512;

/// Counters for addresses, some of which share one: a few addresses that say too much put less than a
/// hundredth of the others into their place. They are 8 KiB.
const COUNTERS: usize = 4096;

/// What may begin connections. A flood of first packets is not to keep those out who showed that
/// their address is their own, nor the other way round: both are taken in turn.
#[derive(Default)]
pub(super) struct Beginnings {
    newcomers: Queue,
    answered: Queue,
    is_turn_of_answered: bool,
}

impl Beginnings {
    /// Lets `arrival` wait; false if there is no room. `is_answered`: it comes from somebody who was
    /// told an id of ours.
    pub(super) fn push(&mut self, arrival: Arrival, is_answered: bool) -> bool {
        match is_answered {
            true => self.answered.push(arrival),
            false => self.newcomers.push(arrival),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Arrival> {
        self.is_turn_of_answered = !self.is_turn_of_answered;
        let Self { newcomers, answered, is_turn_of_answered } = self;
        match is_turn_of_answered {
            true => answered.pop().or_else(|| newcomers.pop()),
            false => newcomers.pop().or_else(|| answered.pop()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.newcomers.waiting.is_empty() && self.answered.waiting.is_empty()
    }
}

/// One of both. An address may have as much in it as is still free: a single one half of it, thirty
/// of them almost all, and there is always room for one that was not there yet.
struct Queue {
    waiting: VecDeque<Arrival>,
    /// How many of them come from which address.
    counts: Box<[u16]>,
    key: RandomState,
}

impl Default for Queue {
    fn default() -> Self {
        let counts = vec![0; COUNTERS].into_boxed_slice();
        Self { waiting: VecDeque::new(), counts, key: RandomState::new() }
    }
}

impl Queue {
    fn push(&mut self, arrival: Arrival) -> bool {
        let free = WAITING_MAX - self.waiting.len();
        let count = self.count(arrival.remote);
        if usize::from(*count) >= free {
            return false;
        }
        *count += 1;
        self.waiting.push_back(arrival);
        true
    }

    fn pop(&mut self) -> Option<Arrival> {
        let arrival = self.waiting.pop_front()?;
        *self.count(arrival.remote) -= 1;
        Some(arrival)
    }

    fn count(&mut self, address: SocketAddr) -> &mut u16 {
        &mut self.counts[self.key.hash_one(address) as usize % COUNTERS]
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bytes::BytesMut;

    use super::*;

    fn from(port: u16) -> Arrival {
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Arrival { remote, local: None, ecn: None, data: BytesMut::new() }
    }

    fn ports(beginnings: &mut Beginnings) -> Vec<u16> {
        std::iter::from_fn(|| beginnings.pop()).map(|arrival| arrival.remote.port()).collect()
    }

    #[test]
    fn both_kinds_are_taken_in_turn_and_each_in_its_order() {
        let mut beginnings = Beginnings::default();
        for (port, is_answered) in [(1, false), (2, false), (3, false), (11, true), (12, true)] {
            assert!(beginnings.push(from(port), is_answered));
        }
        assert_eq!(ports(&mut beginnings), [11, 1, 12, 2, 3]);
        assert!(beginnings.is_empty());
    }

    /// Lets those at `ports` say as much as is taken of it.
    fn fill(beginnings: &mut Beginnings, ports: std::ops::Range<u16>) -> usize {
        let mut round = || ports.clone().filter(|&port| beginnings.push(from(port), false)).count();
        std::iter::from_fn(|| Some(round()).filter(|&count| count > 0)).sum()
    }

    #[test]
    fn who_says_much_leaves_room_for_others() {
        let mut beginnings = Beginnings::default();
        assert_eq!(fill(&mut beginnings, 1..2), WAITING_MAX / 2, "half of it for one");
        let some = fill(&mut beginnings, 2..34);
        assert!(some > 200, "{some}");
        let others = (1000..1005).filter(|&port| beginnings.push(from(port), false)).count();
        assert!(others >= 3, "{others}: a few may share a counter with one of those");
        assert_eq!(ports(&mut beginnings).len(), WAITING_MAX / 2 + some + others);
        let again = fill(&mut beginnings, 1..2);
        assert_eq!(again, WAITING_MAX / 2, "what was taken is counted out");
    }

    #[test]
    fn it_is_bounded_however_many_there_are() {
        let mut beginnings = Beginnings::default();
        let taken = (1..60_000).filter(|&port| beginnings.push(from(port), false)).count();
        assert_eq!(taken, WAITING_MAX);
    }
}
