//! Those that wait for their turn: few, not for long, and the important ones in front.
//!
//! A queue that empties now and then is a good one: it takes up a burst, and who waits in it may wait
//! a while. One that never empties only makes everybody late by its length. So when it has not been
//! empty for a while, waiting is cut to what a draining queue would ask (controlled delay, Nichols and
//! Jacobson, 2012, in the form of Maurer, "Fail at Scale", 2015), and the last to come is the first
//! to be served: its client is the one that still waits (adaptive LIFO, the same).

use std::collections::VecDeque;

use super::Priority;

/// How many may wait, and how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueuePolicy {
    /// How many may wait, for the service as a whole.
    pub most: u32,
    /// How long they may wait as long as the queue empties now and then; and how long it may not do so.
    pub interval_ms: f32,
    /// How long they may wait in a queue that does not.
    pub target_ms: f32,
}

impl Default for QueuePolicy {
    fn default() -> Self {
        // "Fail at Scale" has 100 ms and 5 ms, and found them to fit all of its services.
        Self { most: 1_024, interval_ms: 100.0, target_ms: 5.0 }
    }
}

/// How long one may wait before the first answers have shown what they take: most take less than that.
const UNKNOWN_MS: f32 = 1_000.0;

/// One that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    since_ns: u64,
}

/// Those that wait for one service, at one worker.
#[derive(Clone, Debug)]
pub struct Queue {
    policy: QueuePolicy,
    most: usize,
    /// By priority; the oldest in front. Never more than `most` together.
    waiting: [VecDeque<Waiting>; 3],
    len: usize,
    next_ticket: u64,
    /// One that had to leave for a more important one.
    displaced: Option<Ticket>,
    empty_ns: u64,
}

impl Queue {
    pub(super) fn new(policy: QueuePolicy, workers: usize) -> Self {
        Self {
            policy,
            most: (policy.most as usize).div_ceil(workers.max(1)),
            waiting: Default::default(),
            len: 0,
            next_ticket: 0,
            displaced: None,
            empty_ns: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0 && self.displaced.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether it has not been empty for a while.
    fn is_standing(&self, now_ns: u64, base_ms: f32) -> bool {
        now_ns.saturating_sub(self.empty_ns) as f32 / 1e6 > self.interval_ms(base_ms)
    }

    /// Where an answer takes half a second, a burst takes longer to be worked off. As long as nobody
    /// knows what an answer takes, a burst is a start and no overload.
    fn interval_ms(&self, base_ms: f32) -> f32 {
        let least_ms = if base_ms == 0.0 { UNKNOWN_MS } else { base_ms * 2.0 };
        self.policy.interval_ms.max(least_ms)
    }

    /// How long one may wait.
    fn patience_ms(&self, priority: Priority, now_ns: u64, base_ms: f32) -> f32 {
        // What is critical is never cut short.
        if priority == Priority::Critical || !self.is_standing(now_ns, base_ms) {
            return self.interval_ms(base_ms);
        }
        self.policy.target_ms.max(base_ms / 4.0)
    }

    /// Takes one in, and says how long it may wait at most; `None` if there is no room for it. One
    /// that is less important may have to leave for it: [`Self::too_late`] has it.
    pub(super) fn push(
        &mut self,
        now_ns: u64,
        priority: Priority,
        base_ms: f32,
    ) -> Option<(Ticket, u64)> {
        if self.len >= self.most {
            if self.displaced.is_some() {
                return None;
            }
            let below = (priority as usize + 1..3).rev();
            let class = below.into_iter().find(|class| !self.waiting[*class].is_empty())?;
            let last = self.waiting[class].pop_front().expect("it was just seen not to be empty");
            self.len -= 1;
            self.displaced = Some(last.ticket);
        }
        if self.len == 0 {
            self.empty_ns = now_ns;
        }
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.waiting[priority as usize].push_back(Waiting { ticket, since_ns: now_ns });
        self.len += 1;
        Some((ticket, (f64::from(self.interval_ms(base_ms)) * 1e6) as u64))
    }

    /// One that has waited for too long, or had to leave.
    pub(super) fn too_late(&mut self, now_ns: u64, base_ms: f32) -> Option<(Ticket, &'static str)> {
        if let Some(ticket) = self.displaced.take() {
            return Some((ticket, "a more important one came"));
        }
        for priority in Priority::ALL.into_iter().rev() {
            let Some(oldest) = self.waiting[priority as usize].front() else { continue };
            let waited_ms = now_ns.saturating_sub(oldest.since_ns) as f32 / 1e6;
            if waited_ms > self.patience_ms(priority, now_ns, base_ms) {
                let ticket = oldest.ticket;
                self.waiting[priority as usize].pop_front();
                self.taken(now_ns);
                return Some((ticket, "it waited for longer than is of use"));
            }
        }
        None
    }

    /// The next one whose turn it is.
    pub(super) fn pop(&mut self, now_ns: u64, base_ms: f32) -> Option<Ticket> {
        let is_standing = self.is_standing(now_ns, base_ms);
        let waiting = self.waiting.iter_mut().find(|waiting| !waiting.is_empty())?;
        let next = if is_standing { waiting.pop_back() } else { waiting.pop_front() };
        self.taken(now_ns);
        next.map(|next| next.ticket)
    }

    pub(super) fn leave(&mut self, ticket: Ticket) -> bool {
        for waiting in &mut self.waiting {
            // Tickets are given in order.
            if let Ok(at) = waiting.binary_search_by_key(&ticket, |waiting| waiting.ticket) {
                waiting.remove(at);
                self.len -= 1;
                return true;
            }
        }
        false
    }

    fn taken(&mut self, now_ns: u64) {
        self.len -= 1;
        if self.len == 0 {
            self.empty_ns = now_ns;
        }
    }
}
