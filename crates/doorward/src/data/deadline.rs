//! Deadlines without timers: each connection has one cell, a sweep finds those that are over.
//!
//! Setting a deadline is one store, so every read and write can have one. A timer wheel would cost
//! an insertion and a removal per request for deadlines that almost never come.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How often deadlines are looked at, and so how late one can be seen. The shortest configurable
/// time limit is ten times this.
pub(crate) const SWEEP: Duration = Duration::from_millis(50);

/// All deadlines of one worker.
pub(crate) struct Deadlines {
    started: Instant,
    /// Milliseconds since then, as of the last sweep.
    now_ms: Cell<u64>,
    slots: RefCell<Vec<Rc<Slot>>>,
    free: RefCell<Vec<usize>>,
    /// Wakes the sweep when the first slot is taken.
    taken: Notify,
}

/// Shared with its [`Watch`], so that a deadline is set by one store.
struct Slot {
    at_ms: Cell<u64>,
    /// Whether the connection waits for its next request and may be closed at any time.
    idle: Cell<bool>,
    /// The endpoint that it waits for, if it need not.
    endpoint: Cell<u32>,
    /// Who has it; nobody while it is free.
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    fn free() -> Self {
        Self {
            at_ms: Cell::new(NEVER),
            idle: Cell::new(false),
            endpoint: Cell::new(NOBODY),
            waker: RefCell::new(None),
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

const NEVER: u64 = u64::MAX;

/// No endpoint.
const NOBODY: u32 = u32::MAX;

impl Deadlines {
    /// Deadlines by a clock that began at `started`.
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            now_ms: Cell::new(0),
            slots: RefCell::default(),
            free: RefCell::default(),
            taken: Notify::new(),
        }
    }

    /// Milliseconds since the worker started; as old as one sweep at most.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Looks at the clock. While no connection is open nobody does, and the first deadline must not
    /// count from when the last one was.
    fn wake_clock(&self) {
        let elapsed_ms = self.started.elapsed().as_millis();
        self.now_ms.set(u64::try_from(elapsed_ms).unwrap_or(u64::MAX));
    }

    /// Advances the clock to `now_ms` and wakes every connection whose deadline is over.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.now_ms.set(now_ms);
        for slot in &*self.slots.borrow() {
            if slot.at_ms.get() <= now_ms {
                slot.wake();
            }
        }
    }

    /// Ends the wait of every connection that has no request in flight.
    pub(crate) fn end_idle(&self) {
        for slot in &*self.slots.borrow() {
            if slot.idle.get() {
                slot.at_ms.set(0);
                slot.wake();
            }
        }
    }

    /// Ends the wait of all who wait for the endpoint `id` and need not.
    pub(crate) fn give_up(&self, id: u32) {
        for slot in &*self.slots.borrow() {
            if slot.endpoint.get() == id {
                slot.at_ms.set(0);
                slot.wake();
            }
        }
    }

    /// How many connections have a slot.
    pub(crate) fn in_use(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len()
    }

    /// Waits until any connection takes a slot, so that an idle worker does not wake up at all. It may be
    /// gone by then, and have left lines for the log.
    pub(crate) async fn used(&self) {
        if self.in_use() == 0 {
            self.taken.notified().await;
        }
    }
}

/// One task's deadline.
pub(crate) struct Watch {
    deadlines: Rc<Deadlines>,
    slot: Rc<Slot>,
    /// The place of the slot.
    index: usize,
    /// No deadline is later than this, in milliseconds: the limit, or that of one attempt.
    latest_ms: Cell<u64>,
    /// When all is over, in milliseconds.
    limit_ms: Cell<u64>,
    limit_of_client: Cell<bool>,
}

impl Watch {
    /// Takes a slot for the task that awaits this; only that task may use it.
    pub(crate) async fn new(deadlines: Rc<Deadlines>) -> Self {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        if deadlines.in_use() == 0 {
            deadlines.wake_clock();
        }
        let (slot, index) = {
            let mut slots = deadlines.slots.borrow_mut();
            let index = deadlines.free.borrow_mut().pop().unwrap_or(slots.len());
            if index == slots.len() {
                slots.push(Rc::new(Slot::free()));
            }
            (Rc::clone(&slots[index]), index)
        };
        slot.waker.replace(Some(waker));
        deadlines.taken.notify_one();
        Self {
            deadlines,
            slot,
            index,
            latest_ms: Cell::new(NEVER),
            limit_ms: Cell::new(NEVER),
            limit_of_client: Cell::new(false),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.deadlines.now_ms()
    }

    /// The deadline is `after_ms` from now; `u64::MAX` is none.
    pub(crate) fn set(&self, after_ms: u64) {
        let at_ms = self.now_ms().saturating_add(after_ms).min(self.latest_ms.get());
        self.slot.at_ms.set(at_ms);
        self.slot.idle.set(false);
    }

    /// From now on this waits for the endpoint `id`, and need not if that turns out to be in vain; until
    /// [`Watch::expect_nobody`].
    pub(crate) fn expect(&self, id: u32) {
        self.slot.endpoint.set(id);
    }

    /// It waits for no endpoint, or for one that it has to wait for.
    pub(crate) fn expect_nobody(&self) {
        self.slot.endpoint.set(NOBODY);
    }

    /// Milliseconds until the limit; `None` if there is none.
    pub(crate) fn left_ms(&self) -> Option<u64> {
        Some(self.limit_ms()?.saturating_sub(self.now_ms()))
    }

    /// From now on no deadline is later than `at_ms` of the worker's clock, until
    /// [`Watch::unlimit`]. It may be the client that says so.
    pub(crate) fn limit(&self, at_ms: u64, by_client: bool) {
        self.limit_ms.set(at_ms);
        self.latest_ms.set(at_ms);
        self.limit_of_client.set(by_client);
    }

    /// From now on no deadline is later than `after_ms` from now, until [`Watch::end_try`].
    pub(crate) fn begin_try(&self, after_ms: u64) {
        let at_ms = self.now_ms().saturating_add(after_ms);
        self.latest_ms.set(at_ms.min(self.limit_ms.get()));
    }

    /// Deadlines may be as late as the limit.
    pub(crate) fn end_try(&self) {
        self.latest_ms.set(self.limit_ms.get());
    }

    /// Whether it is the client that set the limit.
    pub(crate) fn is_limit_of_client(&self) -> bool {
        self.limit_of_client.get()
    }

    /// The limit, by the worker's clock; `None` if there is none.
    pub(crate) fn limit_ms(&self) -> Option<u64> {
        Some(self.limit_ms.get()).filter(|limit_ms| *limit_ms != NEVER)
    }

    /// Deadlines may be as late as they like.
    pub(crate) fn unlimit(&self) {
        self.limit_ms.set(NEVER);
        self.latest_ms.set(NEVER);
    }

    /// Whether it is the limit that is over.
    pub(crate) fn is_limit_over(&self) -> bool {
        self.limit_ms.get() <= self.now_ms()
    }

    /// As [`Watch::set`], for a wait that may also be ended early by [`Deadlines::end_idle`].
    pub(crate) fn set_idle(&self, after_ms: u64) {
        let at_ms = self.now_ms().saturating_add(after_ms);
        self.slot.at_ms.set(at_ms);
        self.slot.idle.set(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.slot.at_ms.get() <= self.now_ms()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.slot.at_ms.set(NEVER);
        self.slot.idle.set(false);
        self.slot.endpoint.set(NOBODY);
        self.slot.waker.replace(None);
        self.deadlines.free.borrow_mut().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_is_over_after_its_time_and_not_before() {
        let deadlines = Rc::new(Deadlines::new(Instant::now()));
        let watch = Watch::new(Rc::clone(&deadlines)).await;
        assert!(!watch.is_over());
        watch.set(100);
        deadlines.sweep(99);
        assert!(!watch.is_over());
        deadlines.sweep(100);
        assert!(watch.is_over());
        watch.set(100);
        assert!(!watch.is_over());
        drop(watch);
        assert_eq!(deadlines.in_use(), 0);
    }

    #[tokio::test]
    async fn a_limit_cuts_every_deadline_that_is_set_behind_it() {
        let deadlines = Rc::new(Deadlines::new(Instant::now()));
        let watch = Watch::new(Rc::clone(&deadlines)).await;
        watch.limit(deadlines.now_ms() + 100, false);
        watch.set(1000);
        deadlines.sweep(deadlines.now_ms() + 99);
        assert!(!watch.is_over() && !watch.is_limit_over());
        deadlines.sweep(deadlines.now_ms() + 1);
        assert!(watch.is_over() && watch.is_limit_over());
        watch.unlimit();
        watch.set(1000);
        assert!(!watch.is_over() && !watch.is_limit_over());
    }

    #[tokio::test]
    async fn an_attempt_has_a_limit_of_its_own() {
        let deadlines = Rc::new(Deadlines::new(Instant::now()));
        let watch = Watch::new(Rc::clone(&deadlines)).await;
        let start_ms = deadlines.now_ms();
        watch.limit(start_ms + 300, false);
        watch.begin_try(100);
        watch.set(1000);
        deadlines.sweep(start_ms + 100);
        assert!(watch.is_over() && !watch.is_limit_over());
        watch.end_try();
        watch.begin_try(1000);
        watch.set(1000);
        assert!(!watch.is_over());
        deadlines.sweep(start_ms + 300);
        assert!(watch.is_over() && watch.is_limit_over());
    }

    #[tokio::test]
    async fn only_who_waits_for_an_endpoint_gives_it_up() {
        let deadlines = Rc::new(Deadlines::new(Instant::now()));
        let waits = Watch::new(Rc::clone(&deadlines)).await;
        let other = Watch::new(Rc::clone(&deadlines)).await;
        for watch in [&waits, &other] {
            watch.set(1000);
            watch.expect(7);
        }
        other.expect_nobody();
        deadlines.give_up(8);
        assert!(!waits.is_over());
        deadlines.give_up(7);
        assert!(waits.is_over() && !other.is_over());
    }

    #[tokio::test]
    async fn only_idle_waits_are_ended_early() {
        let deadlines = Rc::new(Deadlines::new(Instant::now()));
        let idle = Watch::new(Rc::clone(&deadlines)).await;
        let busy = Watch::new(Rc::clone(&deadlines)).await;
        idle.set_idle(1000);
        busy.set(1000);
        deadlines.end_idle();
        assert!(idle.is_over() && !busy.is_over());
    }
}
